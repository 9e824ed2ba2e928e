//! What do the variables say, and which of them are not understood?

use telemetry_rt::__private::warn;

use opentelemetry_sdk::Resource;

/// The value without white space around it. An empty one counts as none.
pub fn text(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?;
    let Some(value) = value.to_str() else {
        warn(format_args!(
            "{name} is no text; accepted: UTF-8; it is ignored"
        ));
        return None;
    };
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn flag(name: &str) -> bool {
    let known = [("true", true), ("false", false)];
    match text(name) {
        None => false,
        Some(value) => word(name, &value, &known).unwrap_or(false),
    }
}

fn word<T: Copy>(name: &str, value: &str, known: &[(&str, T)]) -> Option<T> {
    let found = known
        .iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word));
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let words = words.join(", ");
        warn(format_args!(
            "{name} is {value:?}; accepted: {words}; it is ignored"
        ));
    }
    found.map(|(_, meaning)| *meaning)
}

/// What is done with records beside what the code says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exporters {
    /// They go to a collector.
    pub otlp: bool,
    /// They are lines, even if the code does not ask for any.
    pub console: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Choice {
    Otlp,
    Console,
    None,
}

const LOGS: &[(&str, Choice)] = &[
    ("otlp", Choice::Otlp),
    ("console", Choice::Console),
    ("none", Choice::None),
];

pub fn exporters() -> Exporters {
    const NAME: &str = "OTEL_LOGS_EXPORTER";
    if flag("OTEL_SDK_DISABLED") {
        return Exporters::default();
    }
    let Some(list) = text(NAME) else {
        // The specification's default is `otlp`; but a program that never asked for anything must
        // not open sockets, so that default needs an endpoint.
        return Exporters {
            otlp: has_endpoint(),
            console: false,
        };
    };
    let words = list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let choices: Vec<Choice> = words.filter_map(|value| word(NAME, value, LOGS)).collect();
    Exporters {
        otlp: choices.contains(&Choice::Otlp),
        console: choices.contains(&Choice::Console),
    }
}

fn has_endpoint() -> bool {
    let names = [
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    names.iter().any(|name| text(name).is_some())
}

/// What is said about the program itself: the resource that a runtime has which is configured from
/// the environment. The SDK lets `service.name` in `OTEL_RESOURCE_ATTRIBUTES` win over
/// `OTEL_SERVICE_NAME`; the specification asks for the reverse.
pub fn resource() -> Resource {
    let builder = Resource::builder();
    match text("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// A whole number from 1.
#[cfg(feature = "otlp")]
pub fn count(name: &str, default: usize) -> usize {
    let Some(value) = text(name) else {
        return default;
    };
    let count = value.parse().ok().filter(|&count| count > 0);
    count.unwrap_or_else(|| {
        warn(format_args!(
            "{name} is {value:?}; accepted: a whole number from 1; {default} is used"
        ));
        default
    })
}

/// The variable of the logs, if it is set, else that of all signals.
#[cfg(feature = "otlp")]
pub fn otlp(what: &str) -> String {
    let specific = format!("OTEL_EXPORTER_OTLP_LOGS_{what}");
    match text(&specific) {
        Some(_) => specific,
        None => format!("OTEL_EXPORTER_OTLP_{what}"),
    }
}
