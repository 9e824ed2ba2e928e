//! The documented table of environment variables against the sources and the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = "docs/variables.md";

/// The heading below which stand those that are not honoured.
const NOT_HONOURED: &str = "## Standard variables that are not honoured";

/// Read for us by the SDK: when a `Resource` is made, and when log records are exported.
const READ_BY_THE_SDK: [&str; 9] = [
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
];

const SOURCES: [&str; 8] = [
    "src",
    "clock/src",
    "reactor/src",
    "telemetry/src",
    "executor/src",
    "macros/src",
    "integrations/http/src",
    "integrations/logs/src",
];

type Names = BTreeSet<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the tables, as the names in their first column and the rest.
fn rows(text: &str) -> Vec<(Names, &str)> {
    let cells = text.lines().filter_map(|line| {
        let line = line.strip_prefix("| `")?;
        line.split_once("` |")
    });
    cells
        .map(|(names, rest)| (names.split("`, `").map(str::to_owned).collect(), rest))
        .collect()
}

/// All names in the tables: those that are honoured, and those that are not.
fn documented() -> (Names, Names) {
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let (honoured, others) = text.split_once(NOT_HONOURED).unwrap();
    let names = |part| {
        rows(part)
            .into_iter()
            .flat_map(|(names, _)| names)
            .collect()
    };
    (names(honoured), names(others))
}

/// All but this file, which names variables without setting them.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with(file!())
        {
            files.push(path);
        }
    }
}

/// The files of these folders, each cut into what is the product's and what is its unit tests.
fn files(folders: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    assert!(!paths.is_empty(), "no files in {folders:?}");
    let cut = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let only_tests = path.ends_with("tests.rs");
        let product = match text.find("#[cfg(test)]\nmod tests") {
            _ if only_tests => 0,
            Some(tests) => tests,
            None => text.len(),
        };
        let (product, tests) = text.split_at(product);
        (product.to_owned(), tests.to_owned())
    });
    cut.collect()
}

/// The text between quotes, line by line, without comments.
fn literals(code: &str) -> impl Iterator<Item = &str> {
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
}

fn is_name(text: &str) -> bool {
    let capital = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    text.len() > 3 && text.bytes().all(capital)
}

/// The variables that a file reads. In names that are put together, `{what}` is each word of
/// capitals in the same file, and any other gap is a signal.
fn read_by(code: &str) -> Names {
    let words: Vec<&str> = literals(code)
        .filter(|text| is_name(text) && !is_variable(text))
        .collect();
    let mut names: Vec<String> = literals(code)
        .filter(|text| is_variable(text))
        .map(str::to_owned)
        .collect();
    for (gap, fillings) in [
        ("{what}", &words[..]),
        ("{signal}", &SIGNALS),
        ("{}", &SIGNALS),
    ] {
        names = names
            .iter()
            .flat_map(|name| filled(name, gap, fillings))
            .collect();
    }
    names.into_iter().collect()
}

const SIGNALS: [&str; 2] = ["METRICS", "TRACES"];

/// The gap in a variable's name that the application fills, and what a test fills it with.
const KEY: (&str, &str) = ("{key}", "SHOP");

fn is_variable(text: &str) -> bool {
    let begins = text.starts_with("OTEL_") || text.starts_with("TELEMETRY_RT_");
    begins
        && is_name(
            &text
                .replace(['{', '}'], "")
                .replace("what", "")
                .replace("key", "")
                .replace("signal", ""),
        )
}

fn filled(name: &str, gap: &str, fillings: &[&str]) -> Vec<String> {
    match name.contains(gap) {
        true => fillings
            .iter()
            .map(|word| name.replace(gap, word))
            .collect(),
        false => vec![name.to_owned()],
    }
}

fn read_by_sources() -> Names {
    let files = files(&SOURCES);
    let mut read: Names = files
        .iter()
        .flat_map(|(product, _)| read_by(product))
        .collect();
    read.extend(READ_BY_THE_SDK.map(str::to_owned));
    read
}

#[test]
fn the_table_names_each_variable_that_is_read_and_no_other() {
    let (honoured, others) = documented();
    let read = read_by_sources();
    assert!(read.len() > 40, "only {} are read: {read:?}", read.len());
    let undocumented: Vec<_> = read
        .iter()
        .filter(|name| !honoured.contains(*name) && !others.contains(*name))
        .collect();
    assert!(undocumented.is_empty(), "not in {TABLE}: {undocumented:?}");
    let unread: Vec<_> = honoured.difference(&read).collect();
    assert!(
        unread.is_empty(),
        "{TABLE} has what nothing reads: {unread:?}"
    );
    let both: Vec<_> = honoured.intersection(&others).collect();
    assert!(both.is_empty(), "twice in {TABLE}: {both:?}");
}

/// One that is read after all can only be read to be warned about.
#[test]
fn a_variable_that_is_not_honoured_and_yet_read_is_said_to_be_a_warning() {
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let (_, others) = text.split_once(NOT_HONOURED).unwrap();
    let read = read_by_sources();
    for (names, rest) in rows(others) {
        let said = rest.trim_start();
        let is_read = names.iter().any(|name| read.contains(name));
        let start = if is_read { "A warning" } else { "Ignored" };
        assert!(said.starts_with(start), "{names:?}: {said}");
    }
}

#[test]
fn each_variable_is_set_by_a_test() {
    let tests = files(&[
        "tests",
        "telemetry/tests",
        "executor/tests",
        "integrations/http/tests",
        "integrations/logs/tests",
    ]);
    let units = files(&SOURCES);
    let texts = tests.iter().map(|(product, _)| product);
    let texts: Vec<&String> = texts.chain(units.iter().map(|(_, tests)| tests)).collect();
    let is_set = |name: &str| {
        let quoted = format!("\"{}\"", name.replace(KEY.0, KEY.1));
        texts.iter().any(|text| text.contains(&quoted))
    };
    // One of a signal is read by the same line as the general one.
    let general = |name: &str| {
        let mut names = SIGNALS.iter().chain(&["LOGS"]);
        names.any(|signal| is_set(&name.replace(&format!("OTLP_{signal}_"), "OTLP_")))
    };
    let (honoured, _) = documented();
    let untested: Vec<_> = honoured
        .iter()
        .filter(|name| !is_set(name) && !general(name))
        .collect();
    assert!(untested.is_empty(), "no test sets {untested:?}");
}

#[test]
fn names_that_are_put_together_are_found() {
    let code = r#"
        format!("OTEL_{}_EXPORTER");
        // "OTEL_IN_A_COMMENT"
        format!("OTEL_X_{what}"), format!("OTEL_X_{}_{what}");
        variable("HEADERS"), "a sentence about OTEL_NOTHING", "OTEL_PLAIN"
    "#;
    let expected = [
        "OTEL_METRICS_EXPORTER",
        "OTEL_PLAIN",
        "OTEL_TRACES_EXPORTER",
        "OTEL_X_HEADERS",
        "OTEL_X_METRICS_HEADERS",
        "OTEL_X_TRACES_HEADERS",
    ];
    assert_eq!(read_by(code), expected.map(str::to_owned).into());
}
