//! What metrics, units and attributes of OpenTelemetry are called in Prometheus.
//!
//! By the compatibility page of the OpenTelemetry specification: a name gets its unit and, if it
//! is a counter, `_total`; what is neither letter, digit nor underscore becomes an underscore.

/// The name of a metric: its unit at the end, without `_total`.
pub(super) fn family(name: &str, unit: Option<&str>, counter: bool) -> String {
    let mut family = sanitized(name, ":");
    if family.starts_with(|first: char| first.is_ascii_digit()) {
        family.insert(0, '_');
    }
    if counter && let Some(stem) = family.strip_suffix("_total") {
        family.truncate(stem.len());
    }
    if let Some(unit) = unit
        && family
            .strip_suffix(unit)
            .is_none_or(|stem| !stem.ends_with('_'))
    {
        family = format!("{family}_{unit}");
    }
    family
}

/// The name of an attribute.
pub(super) fn label(key: &str) -> String {
    let label = sanitized(key, "");
    match label.starts_with(|first: char| first.is_ascii_digit()) || label.starts_with("__") {
        true => format!("key_{}", label.trim_start_matches('_')),
        false => label,
    }
}

/// The unit as a word, or none for what is only counted.
pub(super) fn unit(ucum: &str, gauge: bool) -> Option<String> {
    if ucum == "1" {
        return gauge.then(|| "ratio".to_owned());
    }
    let (unit, per) = ucum.split_once('/').unwrap_or((ucum, ""));
    let words = match (word(unit, &UNITS), word(per, &RATES)) {
        (words, None) => words?,
        (None, Some(per)) => format!("per_{per}"),
        (Some(unit), Some(per)) => format!("{unit}_per_{per}"),
    };
    Some(words)
}

/// Nothing of an annotation such as `{process}`; a known unit by its name; another as it is.
fn word(unit: &str, known: &[(&str, &str)]) -> Option<String> {
    if unit.is_empty() || unit.contains(['{', '}']) {
        return None;
    }
    let found = known.iter().find(|(short, _)| *short == unit);
    let word = found.map_or_else(|| sanitized(unit, ""), |(_, name)| (*name).to_owned());
    let word = word.trim_matches('_');
    (!word.is_empty()).then(|| word.to_owned())
}

const UNITS: [(&str, &str); 13] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("%", "percent"),
    ("Hz", "hertz"),
];

const RATES: [(&str, &str); 4] = [
    ("s", "second"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
];

/// The text with an underscore for each run of what may not stand in a name.
fn sanitized(text: &str, allowed: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if character.is_ascii_alphanumeric() || allowed.contains(character) => {
                name.push(character);
            }
            '_' => name.push('_'),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_the_specification_asks() {
        for (name, ucum, counter, named) in [
            ("process.duration", "s", false, "process_duration_seconds"),
            ("process.count", "{process}", true, "process_count"),
            ("process.count.total", "{process}", true, "process_count"),
            ("executor.busy.seconds", "s", true, "executor_busy_seconds"),
            ("seconds", "s", false, "seconds_seconds"),
            ("io", "By/s", false, "io_bytes_per_second"),
            ("calls", "{call}/s", false, "calls_per_second"),
            ("a..b-c", "", false, "a_b_c"),
            ("3d.points", "", false, "_3d_points"),
            ("ns:x", "furlong^2", false, "ns:x_furlong_2"),
        ] {
            let unit = unit(ucum, false);
            assert_eq!(
                family(name, unit.as_deref(), counter),
                named,
                "{name} {ucum}"
            );
        }
    }

    #[test]
    fn one_is_a_ratio_only_of_a_gauge() {
        assert_eq!(unit("1", true).as_deref(), Some("ratio"));
        assert_eq!(unit("1", false), None);
    }

    #[test]
    fn labels_are_letters_digits_and_underscores() {
        for (key, name) in [
            ("error.type", "error_type"),
            ("größe", "gr_e"),
            ("9lives", "key_9lives"),
            ("__name__", "key_name__"),
            ("a:b", "a_b"),
            ("_x", "_x"),
        ] {
            assert_eq!(label(key), name, "{key}");
        }
    }
}
