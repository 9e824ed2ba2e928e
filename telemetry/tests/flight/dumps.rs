//! Files of flight records: their names, their rights, and that there are not too many.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use telemetry_rt_telemetry::export::flight::{Dumps, Program};
use tempfile::tempdir;

use crate::{program, small};

fn names(folder: &std::path::Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_dump_is_a_complete_file_for_its_owner_alone() {
    let folder = tempdir().unwrap();
    let dumps = Dumps::new(folder.path().join("not/yet/there"), program());
    let path = dumps.write(&small()).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(file["otherData"]["service"], "shop");
    assert_eq!(
        names(path.parent().unwrap()).len(),
        1,
        "and nothing beside it"
    );
}

#[test]
fn names_tell_the_program_the_date_and_the_number() {
    let folder = tempdir().unwrap();
    let hostile = Program {
        name: "../../etc/pass wd\n\u{1f980}".to_owned(),
        pid: 7,
    };
    let dumps = Dumps::new(folder.path(), hostile);
    let path = dumps.write(&small()).unwrap();
    assert_eq!(path.parent(), Some(folder.path()));
    let name = path.file_name().unwrap().to_str().unwrap();
    let (start, rest) = name.split_at("_.._etc_pass_wd__-7-".len());
    let (date, end) = rest.split_at("20261121T074512Z".len());
    assert_eq!(start, "_.._etc_pass_wd__-7-");
    assert_eq!(end, "-1.perfetto.json");
    assert!(date.ends_with('Z') && date.contains('T'), "{date}");
}

#[test]
fn what_is_there_already_is_never_replaced() {
    let folder = tempdir().unwrap();
    let record = small();
    let first = Dumps::new(folder.path(), program()).write(&record).unwrap();
    fs::write(&first, "precious").unwrap();
    // Another run with the same number, at the same time: in another container, say.
    let second = Dumps::new(folder.path(), program()).write(&record).unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::read_to_string(&first).unwrap(), "precious");
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn past_the_limit_dumps_are_refused_and_counted() {
    let folder = tempdir().unwrap();
    let dumps = Dumps::new(folder.path(), program()).with_limit(2);
    let record = small();
    let written: BTreeSet<PathBuf> = (0..2).map(|_| dumps.write(&record).unwrap()).collect();
    assert_eq!(written.len(), 2);
    assert!(dumps.write(&record).unwrap_err().is_refused());
    let error = dumps.write(&record).unwrap_err();
    let said = format!(
        "no flight record was written to {}: it has 2 of this run already, which is the limit; 2 \
         refused so far",
        folder.path().display()
    );
    assert_eq!(error.to_string(), said);
    assert_eq!(dumps.refused(), 2);
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn threads_that_dump_at_once_keep_to_the_limit_together() {
    let folder = tempdir().unwrap();
    let dumps = Dumps::new(folder.path(), program()).with_limit(5);
    let record = small();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..4).for_each(|_| drop(dumps.write(&record))));
        }
    });
    assert_eq!(names(folder.path()).len(), 5);
    assert_eq!(dumps.refused(), 11);
}

#[test]
fn an_error_names_the_path_and_costs_none_of_the_files_that_are_allowed() {
    let folder = tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, "").unwrap();
    let dumps = Dumps::new(&taken, program()).with_limit(1);
    let error = dumps.write(&small()).unwrap_err();
    assert!(!error.is_refused());
    assert_eq!(error.path(), taken);
    let said = error.to_string();
    assert!(
        said.contains(&format!("{} cannot be written: ", taken.display())),
        "{said}"
    );
    fs::remove_file(&taken).unwrap();
    dumps.write(&small()).unwrap();
    assert_eq!(dumps.refused(), 0);
}
