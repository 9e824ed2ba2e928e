//! What each `OTEL_*` variable means, apart from those of the OTLP exporter.

use opentelemetry_sdk::trace::{Sampler, ShouldSample, SpanLimits};

use super::console::Console;
use super::env::Env;
use super::exporter::{Exporter, Signal};
use super::globals::Propagator;
use super::only::Only;
use crate::record::NameList;

/// What `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Otlp,
    Console,
    None,
}

const CHOICES: [(&str, Choice); 3] = [
    ("otlp", Choice::Otlp),
    ("console", Choice::Console),
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
    exporters
}

fn choices(env: &Env<'_>, signal: Signal) -> Vec<Choice> {
    let name = format!("OTEL_{}_EXPORTER", signal.as_str().to_uppercase());
    match env.words(&name, &CHOICES) {
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

type Make = fn(f64) -> Box<dyn ShouldSample>;

/// Names of samplers, whether they need a ratio, and how they are made.
const SAMPLERS: [(&str, (bool, Make)); 6] = [
    ("always_on", (false, |_| Box::new(Sampler::AlwaysOn))),
    ("always_off", (false, |_| Box::new(Sampler::AlwaysOff))),
    (
        "traceidratio",
        (true, |ratio| Box::new(Sampler::TraceIdRatioBased(ratio))),
    ),
    (
        "parentbased_always_on",
        (false, |_| below(Sampler::AlwaysOn)),
    ),
    (
        "parentbased_always_off",
        (false, |_| below(Sampler::AlwaysOff)),
    ),
    (
        "parentbased_traceidratio",
        (true, |ratio| below(Sampler::TraceIdRatioBased(ratio))),
    ),
];

fn below(root: Sampler) -> Box<dyn ShouldSample> {
    Box::new(Sampler::ParentBased(Box::new(root)))
}

/// The sampler that `OTEL_TRACES_SAMPLER` names. The SDK reads that variable, too, but falls back
/// without a word.
pub(super) fn sampler(env: &Env<'_>) -> Box<dyn ShouldSample> {
    let default: (bool, Make) = (false, |_| below(Sampler::AlwaysOn));
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
