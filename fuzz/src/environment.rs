//! Is there an environment that configures no runtime? What is not understood is a warning, short
//! and without secrets, and never a panic.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use telemetry_rt_telemetry::export::Otel;

/// All variables that the documentation names. Those that name files are left out: the fuzzer
/// would have them read.
pub fn variables() -> &'static [&'static str] {
    static ALL: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let words = include_str!("../../docs/variables.md").split('`');
        let mut names: Vec<_> = words
            .filter(|word| word.starts_with("OTEL_") && !word.contains([' ', '*', '=']))
            .filter(|word| !word.ends_with("CERTIFICATE") && !word.ends_with("_KEY"))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    });
    &ALL
}

/// Lines `NAME=value`, or a byte that is the number of a variable and then its value.
pub fn environment(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let set: BTreeMap<&str, &str> = text.lines().filter_map(variable).collect();
    let get = |name: &str| set.get(name).map(|value| (*value).to_owned());
    let (first, second) = (Otel::from_variables(&get), Otel::from_variables(&get));
    assert_eq!(first.warnings(), second.warnings());
    assert_eq!(first.is_exporting(), second.is_exporting());
    for warning in first.warnings() {
        assert!(!warning.contains(['\n', '\r', '\u{1b}']), "{warning:?}");
        let secret = "password-that-nobody-sees";
        let is_secret =
            |(name, value): (&&str, &&str)| name.ends_with("HEADERS") && value.contains(secret);
        let leaks = set.iter().any(is_secret) && warning.contains(secret);
        assert!(!leaks, "{warning:?}");
    }
}

fn variable(line: &str) -> Option<(&str, &str)> {
    if let Some((name, value)) = line.split_once('=')
        && name.starts_with("OTEL_")
    {
        return Some((name, value));
    }
    let number = line.chars().next()?;
    let names = variables();
    let name = names[number as usize % names.len()];
    Some((name, &line[number.len_utf8()..]))
}
