//! The promises of `docs/guarantees.md` and the bugs of `docs/bug-catalogue.md` against the tests
//! that they name: each line of a table has one, each is there, and each is run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGES: [&str; 2] = ["docs/guarantees.md", "docs/bug-catalogue.md"];

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn page(path: &str) -> String {
    read(path).expect("the page is there")
}

/// The words between backticks of one line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The file and the name, if that is what a word is.
fn reference(word: &str) -> Option<(&str, &str)> {
    word.split_once("::").filter(|(file, _)| is_source(file))
}

fn is_source(word: &str) -> bool {
    word.contains('/') && word.ends_with(".rs")
}

/// Whether it is a constant that is named, and not a test.
fn is_constant(name: &str) -> bool {
    !name.contains(|letter: char| letter.is_lowercase())
}

/// The lines of the tables, without heads.
fn rows(page: &str) -> Vec<&str> {
    let next = page.lines().skip(1).chain([""]);
    let rows = page.lines().zip(next).filter(|(line, next)| {
        let is_rule = |line: &str| line.starts_with("|---");
        line.starts_with('|') && !is_rule(line) && !is_rule(next)
    });
    rows.map(|(line, _)| line).collect()
}

/// The tests of a file that are run when nobody asks for others.
fn tests(source: &str) -> BTreeSet<&str> {
    let (mut is_test, mut is_ignored) = (false, false);
    let mut tests = BTreeSet::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("::test(");
            is_ignored |= line.starts_with("#[ignore");
        } else if !line.starts_with("//") {
            let name = line
                .split_once("fn ")
                .and_then(|(_, rest)| rest.split_once('('));
            if let Some((name, _)) = name.filter(|_| is_test && !is_ignored) {
                tests.insert(name);
            }
            (is_test, is_ignored) = (false, false);
        }
    }
    tests
}

fn has_constant(source: &str, name: &str) -> bool {
    source.contains(&format!("const {name}:"))
}

/// What is wrong with one word between backticks.
fn wrong_word(word: &str, documented: &str) -> Option<String> {
    if word.starts_with("OTEL_") || word.starts_with("TELEMETRY_RT_") {
        let name = word
            .split('=')
            .next()
            .expect("there is always a first part");
        let is_known = documented.contains(&format!("`{name}`"));
        return (!is_known).then(|| format!("{name} is not in docs/variables.md"));
    }
    let (file, name) = reference(word).unwrap_or((word, ""));
    if !is_source(file) {
        return None;
    }
    let Some(source) = read(file) else {
        return Some(format!("there is no file {file}"));
    };
    let is_there = match name {
        "" => true,
        name if is_constant(name) => has_constant(&source, name),
        name => tests(&source).contains(name),
    };
    (!is_there).then(|| format!("{name} is not in {file}, or is not run"))
}

/// All that is wrong with a page.
fn wrongs(page: &str) -> Vec<String> {
    let documented = read("docs/variables.md").expect("the table is there");
    let words = page.lines().flat_map(quoted);
    let mut wrongs: Vec<String> = words
        .filter_map(|word| wrong_word(word, &documented))
        .collect();
    let names_a_test = |row: &&str| {
        quoted(row)
            .filter_map(reference)
            .any(|(_, name)| !is_constant(name))
    };
    let without = rows(page).into_iter().filter(|row| !names_a_test(row));
    wrongs.extend(without.map(|row| format!("no test: {row}")));
    wrongs
}

#[test]
fn each_promise_and_each_bug_has_a_test_that_is_there_and_is_run() {
    for path in PAGES {
        let wrongs = wrongs(&page(path));
        assert!(wrongs.is_empty(), "{path}:\n{}", wrongs.join("\n"));
    }
}

#[test]
fn the_pages_are_read_as_what_they_are() {
    let rows_of = PAGES.map(|path| rows(&page(path)).len());
    assert!(rows_of[0] > 100 && rows_of[1] > 20, "{rows_of:?}");
    let tables = page(PAGES[0]).matches("|---").count();
    assert!(tables > 10, "{tables}");
}

#[test]
fn a_page_that_is_wrong_is_found_out() {
    const HEAD: &str = "| promise | test |\n|---|---|\n";
    let this = "tests/guarantees.rs::a_page_that_is_wrong_is_found_out";
    let complaint = |row: &str| wrongs(&format!("{HEAD}| {row} |\n")).join("\n");
    assert_eq!(complaint(&format!("it is right | `{this}`")), "");
    for (row, wrong) in [
        ("it has none |", "no test"),
        ("it has a word | `telemetry`", "no test"),
        ("it has a file only | `tests/guarantees.rs`", "no test"),
        (
            "it has a constant only | `src/fs/entries.rs::CHUNK`",
            "no test",
        ),
        (
            "its test is gone | `tests/guarantees.rs::gone`",
            "gone is not in",
        ),
        (
            "it is no test | `tests/guarantees.rs::wrong_word`",
            "wrong_word is not in",
        ),
        ("its file is gone | `tests/gone.rs::gone`", "no file"),
        (
            "its constant is gone | `src/fs/entries.rs::GONE`",
            "GONE is not in",
        ),
        (
            "its test is ignored | `tests/faults_fork.rs::program_forks_from_one_thread`",
            "or is not run",
        ),
        (
            "its variable is gone | `OTEL_GONE`",
            "OTEL_GONE is not in docs/variables.md",
        ),
    ] {
        let found = complaint(row);
        assert!(found.contains(wrong), "{row}: {found:?}");
    }
}

#[test]
fn tests_are_told_from_other_functions_whatever_stands_around_them() {
    let source = "
        #[test]
        fn plain() {}
        #[test]
        // Why it is so.
        #[should_panic(expected = \"no\")]
        fn panics() {}
        #[telemetry_rt::test(worker_threads = 2)]
        async fn asynchronous() {}
        #[cfg(test)]
        fn helper() {}
        #[test]
        #[ignore = \"slow\"]
        fn ignored() {}
        #[test]
        fn random(program in program()) {}
        fn other() {}
    ";
    let expected = BTreeSet::from(["plain", "panics", "asynchronous", "random"]);
    assert_eq!(tests(source), expected);
}
