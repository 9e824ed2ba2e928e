//! What the environment asks for, as tables.

use telemetry_rt_telemetry::export::{InMemory, Otel};

fn otel(variables: &[(&str, &str)]) -> Otel {
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Otel::from_variables(&get)
}

/// The exporters' names, as `Debug` shows them.
fn exporters(otel: &Otel) -> String {
    let shown = format!("{otel:?}");
    let list = shown.split_once("exporters: [").unwrap().1;
    list.split_once(']').unwrap().0.replace('"', "")
}

const TRACES: &str = "OTEL_TRACES_EXPORTER";
const METRICS: &str = "OTEL_METRICS_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const DISABLED: &str = "OTEL_SDK_DISABLED";

#[test]
fn exporters_are_those_that_were_asked_for() {
    let otlp = if cfg!(feature = "otlp") { "otlp" } else { "" };
    for (variables, expected, spans) in [
        (&[][..], "", false),
        (&[(ENDPOINT, "http://h:4318")], otlp, cfg!(feature = "otlp")),
        (
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://h/m")],
            otlp,
            false,
        ),
        (&[(TRACES, "none"), (ENDPOINT, "http://h")], otlp, false),
        (
            &[(TRACES, "none"), (METRICS, "none"), (ENDPOINT, "http://h")],
            "",
            false,
        ),
        (&[(TRACES, "console")], "console", true),
        (&[(METRICS, "console")], "console", false),
        (
            &[(TRACES, "console"), (METRICS, "console")],
            "console",
            true,
        ),
        (&[(TRACES, "otlp"), (DISABLED, "true")], "", false),
        (&[(TRACES, "console"), (DISABLED, "false")], "console", true),
        (&[(TRACES, "zipkin,console")], "console", true),
        (&[(TRACES, "zipkin")], "", false),
        (&[(TRACES, "Console"), (METRICS, "NONE")], "console", true),
    ] {
        let otel = otel(variables);
        assert_eq!(exporters(&otel), expected, "{variables:?}");
        assert_eq!(otel.is_exporting(), !expected.is_empty(), "{variables:?}");
        let config = otel.recorder_config(2);
        assert_eq!(config.spans.is_some(), spans, "{variables:?}");
    }
}

#[test]
fn what_is_not_understood_is_said_with_variable_value_and_what_is_accepted() {
    for (name, value, accepted) in [
        (TRACES, "zipkin", "otlp, console, none"),
        (METRICS, "prometheus", "otlp, console, none"),
        (DISABLED, "yes", "true, false"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "a whole number from 1"),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "0",
            "a whole number from 1",
        ),
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            "5s",
            "milliseconds as a whole number from 1",
        ),
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "-1",
            "milliseconds as a whole number from 1",
        ),
        ("OTEL_TRACES_SAMPLER", "sometimes", "always_on, always_off"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext, baggage, none"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "x", "a whole number from 0"),
        (
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "-1",
            "a whole number from 0",
        ),
    ] {
        let otel = otel(&[(name, value)]);
        let start = format!("{name} is {value:?}; accepted: {accepted}");
        assert_eq!(otel.warnings().len(), 1, "{:?}", otel.warnings());
        assert!(
            otel.warnings()[0].starts_with(&start),
            "{:?}",
            otel.warnings()
        );
    }
    let otel = otel(&[
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ]);
    assert!(
        otel.warnings()[0].contains("a number from 0 to 1"),
        "{:?}",
        otel.warnings()
    );
}

#[test]
fn what_is_understood_is_not_warned_about() {
    for (name, value) in [
        (TRACES, "none"),
        (DISABLED, "False"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_PROPAGATORS", "tracecontext, baggage"),
        ("OTEL_BSP_SCHEDULE_DELAY", ""),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/protobuf"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
    ] {
        assert!(
            otel(&[(name, value)]).warnings().is_empty(),
            "{name}={value}"
        );
    }
}

#[test]
fn the_sampler_is_the_one_that_was_named() {
    for (name, ratio, shown) in [
        ("", "", "ParentBased(AlwaysOn)"),
        ("always_on", "", "sampler: AlwaysOn"),
        ("always_off", "", "sampler: AlwaysOff"),
        ("traceidratio", "0.25", "sampler: TraceIdRatioBased(0.25)"),
        ("parentbased_always_off", "", "ParentBased(AlwaysOff)"),
        (
            "parentbased_traceidratio",
            "0.5",
            "ParentBased(TraceIdRatioBased(0.5))",
        ),
        ("sometimes", "", "ParentBased(AlwaysOn)"),
    ] {
        let otel = otel(&[
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ]);
        assert!(format!("{otel:?}").contains(shown), "{name}: {otel:?}");
    }
}

#[test]
fn a_limit_beyond_32_bits_is_the_largest_there_is() {
    let otel = otel(&[("OTEL_SPAN_EVENT_COUNT_LIMIT", "4294967296")]);
    let shown = format!("{otel:?}");
    assert!(shown.contains("max_events_per_span: 4294967295"), "{shown}");
}

#[test]
fn name_lists_are_read_and_an_empty_one_lists_nothing() {
    const TASKS: &str = "OTEL_RUST_EXECUTOR_TASK_NAMES_TO_TRACE";
    const BLOCKING: &str = "OTEL_RUST_EXECUTOR_BLOCKING_NAMES_TO_TRACE";
    for (variables, tasks, blocking) in [
        (&[][..], true, true),
        (&[(TASKS, "")], false, true),
        (&[(BLOCKING, " ")], true, false),
        (
            &[(TASKS, "other, shop::*"), (BLOCKING, "other")],
            true,
            false,
        ),
    ] {
        let config = otel(variables).recorder_config(1);
        assert_eq!(
            config.task_names.lists("fetch", "shop::fetch"),
            tasks,
            "{variables:?}"
        );
        assert_eq!(
            config.blocking_names.lists("fetch", "shop::fetch"),
            blocking,
            "{variables:?}"
        );
    }
}

#[test]
fn spans_can_be_left_out() {
    let otel = Otel::builder()
        .exporter(InMemory::new())
        .without_spans()
        .build();
    assert!(otel.is_exporting() && otel.recorder_config(1).spans.is_none());
    assert!(!Otel::disabled().is_exporting());
}

#[cfg(not(feature = "otlp"))]
#[test]
fn otlp_that_is_not_compiled_in_is_said() {
    let otel = otel(&[(TRACES, "otlp")]);
    assert!(
        otel.warnings()[0].contains("feature `otlp`"),
        "{:?}",
        otel.warnings()
    );
}

#[cfg(feature = "otlp")]
#[test]
fn a_url_that_cannot_be_used_is_said_and_the_other_signal_is_sent() {
    let otel = otel(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
        (ENDPOINT, "http://h"),
    ]);
    assert_eq!(otel.warnings().len(), 1);
    assert!(
        otel.warnings()[0].ends_with("no traces are sent"),
        "{:?}",
        otel.warnings()
    );
    assert!(otel.is_exporting() && otel.recorder_config(1).spans.is_none());
}
