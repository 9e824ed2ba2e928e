//! What each `OTEL_*` variable means, apart from those of the OTLP exporter.

use std::path::PathBuf;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SpanLimits};

use super::console::Console;
use super::env::{ConfigError, Env};
use super::exemplars::ExemplarFilter;
use super::exporter::{Exporter, Signal};
use super::globals::Propagator;
use super::only::Only;
use super::policy::Rootless;
use super::watchdog::{SIGNALS, Watching};
use crate::record::{NameList, PollDetail, Treatment};

/// What `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Otlp,
    Console,
    Prometheus,
    None,
}

const TRACES: &[(&str, Choice)] = &[
    ("otlp", Choice::Otlp),
    ("console", Choice::Console),
    ("none", Choice::None),
];

const METRICS: &[(&str, Choice)] = &[
    ("otlp", Choice::Otlp),
    ("console", Choice::Console),
    ("prometheus", Choice::Prometheus),
    ("none", Choice::None),
];

/// The exporters that the environment asks for.
pub(super) fn exporters(env: &Env<'_>) -> Vec<Box<dyn Exporter>> {
    let choices = Signal::ALL.map(|signal| (signal, choices(env, signal)));
    let wanted = |choice| -> Vec<Signal> {
        let wants = choices
            .iter()
            .filter(|(_, choices)| choices.contains(&choice));
        wants.map(|(signal, _)| *signal).collect()
    };
    let (console, otlp) = (wanted(Choice::Console), wanted(Choice::Otlp));
    let mut exporters: Vec<Box<dyn Exporter>> = Vec::new();
    match console[..] {
        [] => {}
        [signal] => exporters.push(Box::new(Only::new(signal, Console::stdout()))),
        _ => exporters.push(Box::new(Console::stdout())),
    }
    exporters.extend(self::otlp(env, &otlp));
    if !wanted(Choice::Prometheus).is_empty() {
        exporters.extend(prometheus(env));
    }
    exporters
}

fn choices(env: &Env<'_>, signal: Signal) -> Vec<Choice> {
    let name = format!("OTEL_{}_EXPORTER", signal.as_str().to_uppercase());
    let known = match signal {
        Signal::Traces => TRACES,
        Signal::Metrics => METRICS,
    };
    match env.words(&name, known) {
        Some(choices) => choices,
        // The specification's default is `otlp`; but a program that never asked for anything
        // must not open sockets, so that default needs an endpoint.
        None if has_endpoint(env, signal) => vec![Choice::Otlp],
        None => Vec::new(),
    }
}

fn has_endpoint(env: &Env<'_>, signal: Signal) -> bool {
    let signal = signal.as_str().to_uppercase();
    let specific = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
    [specific.as_str(), "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .iter()
        .any(|name| env.text(name).is_some())
}

#[cfg(feature = "otlp")]
fn otlp(env: &Env<'_>, signals: &[Signal]) -> Option<Box<dyn Exporter>> {
    let otlp = super::otlp::Otlp::from_variables(env, signals)?;
    Some(Box::new(otlp))
}

#[cfg(not(feature = "otlp"))]
fn otlp(env: &Env<'_>, signals: &[Signal]) -> Option<Box<dyn Exporter>> {
    if !signals.is_empty() {
        env.warn(
            "OTLP was asked for, but is not compiled in; \
             accepted: a build with the feature `otlp`; nothing is sent",
        );
    }
    None
}

#[cfg(feature = "prometheus")]
fn prometheus(env: &Env<'_>) -> Option<Box<dyn Exporter>> {
    Some(Box::new(super::prometheus::Prometheus::from_variables(env)))
}

#[cfg(not(feature = "prometheus"))]
fn prometheus(env: &Env<'_>) -> Option<Box<dyn Exporter>> {
    env.warn(
        "Prometheus was asked for, but is not compiled in; \
         accepted: a build with the feature `prometheus`; nothing is served",
    );
    None
}

/// Which durations become exemplars. One without a trace would say nothing, so there is no more
/// than those of sampled spans.
pub(super) fn exemplar_filter(env: &Env<'_>) -> ExemplarFilter {
    const NAME: &str = "OTEL_METRICS_EXEMPLAR_FILTER";
    let known = [
        ("trace_based", Some(ExemplarFilter::TraceBased)),
        ("always_off", Some(ExemplarFilter::AlwaysOff)),
        ("always_on", None),
    ];
    match env.word(NAME, &known) {
        Some(Some(filter)) => filter,
        Some(None) => {
            env.warn(format_args!(
                "{NAME} is \"always_on\"; accepted: trace_based, always_off; \
                 it is treated as trace_based, because an exemplar without a trace says nothing"
            ));
            ExemplarFilter::TraceBased
        }
        None => ExemplarFilter::default(),
    }
}

type Make = fn(f64) -> Rootless;

/// Names of samplers, whether they need a ratio, and how they are made.
const SAMPLERS: [(&str, (bool, Make)); 6] = [
    ("always_on", (false, |_| Rootless::new(Sampler::AlwaysOn))),
    ("always_off", (false, |_| Rootless::new(Sampler::AlwaysOff))),
    (
        "traceidratio",
        (true, |ratio| {
            Rootless::new(Sampler::TraceIdRatioBased(ratio))
        }),
    ),
    (
        "parentbased_always_on",
        (false, |_| Rootless::below(Sampler::AlwaysOn)),
    ),
    (
        "parentbased_always_off",
        (false, |_| Rootless::below(Sampler::AlwaysOff)),
    ),
    (
        "parentbased_traceidratio",
        (true, |ratio| {
            Rootless::below(Sampler::TraceIdRatioBased(ratio))
        }),
    ),
];

/// The sampler that `OTEL_TRACES_SAMPLER` names. The SDK reads that variable, too, but falls back
/// without a word.
pub(super) fn sampler(env: &Env<'_>) -> Rootless {
    let default: (bool, Make) = (false, |_| Rootless::below(Sampler::AlwaysOn));
    let (needs_ratio, make) = env
        .word("OTEL_TRACES_SAMPLER", &SAMPLERS)
        .unwrap_or(default);
    let ratio = match needs_ratio {
        true => ratio(env),
        false => 1.0,
    };
    make(ratio)
}

fn ratio(env: &Env<'_>) -> f64 {
    env.parsed(
        "OTEL_TRACES_SAMPLER_ARG",
        "a number from 0 to 1",
        1.0,
        |value| {
            value
                .parse()
                .ok()
                .filter(|ratio| (0.0..=1.0).contains(ratio))
        },
    )
}

/// How many parts a span keeps.
pub(super) fn span_limits(env: &Env<'_>) -> SpanLimits {
    let limit = |name, default: u32| {
        let count = env.count(name, 0, default as usize);
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let default = SpanLimits::default();
    let attributes = limit(
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        default.max_attributes_per_span,
    );
    SpanLimits {
        max_attributes_per_span: limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes),
        max_events_per_span: limit("OTEL_SPAN_EVENT_COUNT_LIMIT", default.max_events_per_span),
        max_links_per_span: limit("OTEL_SPAN_LINK_COUNT_LIMIT", default.max_links_per_span),
        max_attributes_per_event: limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", attributes),
        max_attributes_per_link: limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", attributes),
    }
}

/// How many characters a value of an attribute may have, if that is limited.
pub(super) fn value_length(env: &Env<'_>) -> Option<usize> {
    env.limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT")
        .or_else(|| env.limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"))
}

/// The propagators that `OTEL_PROPAGATORS` names; `none` among them means none.
pub(super) fn propagators(env: &Env<'_>) -> Vec<Propagator> {
    let known = [
        ("tracecontext", Some(Propagator::TraceContext)),
        ("baggage", Some(Propagator::Baggage)),
        ("none", None),
    ];
    let default = || vec![Some(Propagator::TraceContext), Some(Propagator::Baggage)];
    let words = env
        .words("OTEL_PROPAGATORS", &known)
        .unwrap_or_else(default);
    let named: Option<Vec<Propagator>> = words.into_iter().collect();
    named.unwrap_or_default()
}

/// A list of names. Unlike other variables, one that is set but empty has a meaning: no name.
pub(super) fn names(env: &Env<'_>, name: &str) -> NameList {
    env.raw(name)
        .map_or_else(NameList::all, |list| NameList::parse(&list))
}

/// What is said about the program itself. The SDK lets `service.name` in
/// `OTEL_RESOURCE_ATTRIBUTES` win over `OTEL_SERVICE_NAME`; the specification asks for the reverse.
pub(super) fn resource(env: &Env<'_>) -> Resource {
    // The SDK reads this one itself, and says nothing if it is no text; this does.
    env.raw("OTEL_RESOURCE_ATTRIBUTES");
    let builder = Resource::builder();
    match env.text("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// Says of settings that would change what is exported, if there were support for them.
pub(super) fn warn_of_unsupported(env: &Env<'_>) {
    const FILE: &str = "OTEL_CONFIG_FILE";
    if let Some(file) = env.text(FILE) {
        let error = ConfigError::new(FILE, file, "nothing, as there is no configuration by file");
        env.warn(format_args!("{error}; the other variables are used"));
    }
    const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    env.word(AGGREGATION, &[("explicit_bucket_histogram", ())]);
}

/// How polls and parents are treated.
pub(super) fn treatment(env: &Env<'_>) -> Treatment {
    let details = [
        ("off", PollDetail::Off),
        ("events", PollDetail::Events),
        ("spans", PollDetail::Spans),
    ];
    // The clock reads it by itself, before there is anybody to be warned.
    env.word(
        "OTEL_RUST_EXECUTOR_CLOCK",
        &[("auto", ()), ("monotonic", ())],
    );
    let default = Treatment::default();
    Treatment {
        poll_detail: env
            .word("OTEL_RUST_EXECUTOR_POLL_DETAIL", &details)
            .unwrap_or(default.poll_detail),
        slow_poll: env.duration("OTEL_RUST_EXECUTOR_SLOW_POLL", default.slow_poll),
        trace_futures: env.flag("OTEL_RUST_EXECUTOR_FUTURE_TRACE_ENABLED"),
        ..default
    }
}

/// What is watched for, and where what was seen is written.
pub(super) fn watching(env: &Env<'_>) -> Watching {
    Watching {
        stall: env.duration_or_off("OTEL_RUST_EXECUTOR_STALL", Watching::default().stall),
        folder: env.text("OTEL_RUST_EXECUTOR_FLIGHT_DIR").map(PathBuf::from),
        signal: env.word("OTEL_RUST_EXECUTOR_FLIGHT_SIGNAL", SIGNALS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_need_a_trace_whatever_was_asked_for() {
        for (value, filter, warned) in [
            ("", ExemplarFilter::TraceBased, None),
            ("trace_based", ExemplarFilter::TraceBased, None),
            ("Always_Off", ExemplarFilter::AlwaysOff, None),
            (
                "always_on",
                ExemplarFilter::TraceBased,
                Some("treated as trace_based"),
            ),
            (
                "some",
                ExemplarFilter::TraceBased,
                Some("accepted: trace_based, always_off"),
            ),
        ] {
            let get = |_: &str| Some(value.to_owned());
            let env = Env::new(&get);
            assert_eq!(exemplar_filter(&env), filter, "{value}");
            let warnings = env.into_warnings();
            assert_eq!(warnings.len(), usize::from(warned.is_some()), "{value}");
            assert!(warnings.iter().all(|said| said.contains(warned.unwrap())));
        }
    }
}
