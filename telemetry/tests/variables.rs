//! What the environment asks for, as tables.

use std::path::Path;
use std::time::Duration;

use telemetry_rt_telemetry::export::{InMemory, Otel, Watching};
use telemetry_rt_telemetry::record::{PollDetail, Treatment};

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
const POLL_DETAIL: &str = "OTEL_RUST_EXECUTOR_POLL_DETAIL";
const SLOW_POLL: &str = "OTEL_RUST_EXECUTOR_SLOW_POLL";
const STALL: &str = "OTEL_RUST_EXECUTOR_STALL";
const FUTURES: &str = "OTEL_RUST_EXECUTOR_FUTURE_TRACE_ENABLED";
const FOLDER: &str = "OTEL_RUST_EXECUTOR_FLIGHT_DIR";
const SIGNAL: &str = "OTEL_RUST_EXECUTOR_FLIGHT_SIGNAL";

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
        (TRACES, "prometheus", "otlp, console, none"),
        (METRICS, "statsd", "otlp, console, prometheus, none"),
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
        (
            "OTEL_METRICS_EXEMPLAR_FILTER",
            "some",
            "trace_based, always_off",
        ),
        (POLL_DETAIL, "all", "off, events, spans"),
        (SLOW_POLL, "soon", "a whole number with a unit"),
        (SLOW_POLL, "off", "a whole number with a unit"),
        (STALL, "1.5s", "a whole number with a unit"),
        (FUTURES, "yes", "true, false"),
        (
            "OTEL_CONFIG_FILE",
            "otel.yaml",
            "nothing, as there is no configuration by file",
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
            "explicit_bucket_histogram",
        ),
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
        (POLL_DETAIL, "Spans"),
        (SLOW_POLL, "2 s"),
        (STALL, "OFF"),
        (FUTURES, "TRUE"),
        (FOLDER, "/tmp"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
        ),
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
fn each_limit_is_the_one_that_was_asked_for_and_the_general_one_stands_in() {
    const GENERAL: &str = "OTEL_ATTRIBUTE_COUNT_LIMIT";
    let per_span = "max_attributes_per_span";
    let per_event = "max_attributes_per_event";
    let per_link = "max_attributes_per_link";
    for (name, limited) in [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", &[per_span][..]),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", &[per_event]),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", &[per_link]),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", &["max_events_per_span"]),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", &["max_links_per_span"]),
        (GENERAL, &[per_span, per_event, per_link]),
    ] {
        let alone = format!("{:?}", otel(&[(name, "7")]));
        let beside = format!("{:?}", otel(&[(name, "7"), (GENERAL, "9")]));
        for limit in limited {
            assert!(alone.contains(&format!("{limit}: 7")), "{name}: {alone}");
            assert!(
                name == GENERAL || beside.contains(&format!("{limit}: 7")),
                "{name}: {beside}"
            );
        }
        assert_eq!(alone.matches(": 128").count(), 5 - limited.len(), "{alone}");
    }
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

#[cfg(not(feature = "prometheus"))]
#[test]
fn prometheus_that_is_not_compiled_in_is_said() {
    let otel = otel(&[(METRICS, "prometheus")]);
    assert!(
        otel.warnings()[0].contains("feature `prometheus`"),
        "{:?}",
        otel.warnings()
    );
    assert!(!otel.is_exporting());
}

#[cfg(feature = "prometheus")]
#[test]
fn prometheus_is_one_of_the_exporters_of_metrics() {
    const PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";
    for (variables, expected, warned) in [
        (&[(METRICS, "prometheus")][..], "prometheus", false),
        (
            &[(METRICS, "console,prometheus")],
            "console, prometheus",
            false,
        ),
        (
            &[(METRICS, "prometheus"), (TRACES, "console"), (PORT, "0")],
            "console, prometheus",
            false,
        ),
        (&[(METRICS, "prometheus"), (PORT, "x")], "prometheus", true),
        (
            &[(METRICS, "prometheus"), (PORT, "65536")],
            "prometheus",
            true,
        ),
        (&[(METRICS, "prometheus"), (DISABLED, "true")], "", false),
    ] {
        let otel = otel(variables);
        assert_eq!(exporters(&otel), expected, "{variables:?}");
        assert_eq!(!otel.warnings().is_empty(), warned, "{variables:?}");
        assert!(
            otel.warnings()
                .iter()
                .all(|warning| warning.contains("accepted: a port from 0 to 65535")),
            "{:?}",
            otel.warnings()
        );
    }
}

#[test]
fn polls_and_futures_are_treated_as_was_asked_for() {
    let default = Treatment::default();
    for (variables, expected) in [
        (&[][..], default),
        (
            &[(POLL_DETAIL, "events")],
            Treatment {
                poll_detail: PollDetail::Events,
                ..default
            },
        ),
        (
            &[(POLL_DETAIL, "spans"), (FUTURES, "true")],
            Treatment {
                poll_detail: PollDetail::Spans,
                trace_futures: true,
                ..default
            },
        ),
        (
            &[(SLOW_POLL, "250us"), (POLL_DETAIL, "none")],
            Treatment {
                slow_poll: Duration::from_micros(250),
                ..default
            },
        ),
        // Not a number of polls: all of them are slow.
        (
            &[(SLOW_POLL, "0")],
            Treatment {
                slow_poll: Duration::ZERO,
                ..default
            },
        ),
        // There is always a threshold.
        (&[(SLOW_POLL, "off")], default),
    ] {
        let treatment = otel(variables).recorder_config(1).treatment;
        assert_eq!(treatment, expected, "{variables:?}");
    }
}

#[test]
fn what_is_watched_for_is_what_was_asked_for() {
    let watching = |variables: &[(&str, &str)]| otel(variables).watching();
    let exporting = (TRACES, "console");
    assert_eq!(watching(&[]), None, "nobody takes anything");
    assert_eq!(watching(&[exporting]), Some(Watching::default()));
    assert_eq!(watching(&[exporting, (STALL, "off")]), None);
    let stall = |watching: Option<Watching>| watching.unwrap().stall;
    assert_eq!(
        stall(watching(&[exporting, (STALL, "250ms")])),
        Some(Duration::from_millis(250))
    );
    let in_folder = watching(&[(FOLDER, "/tmp/x"), (STALL, "off")]).unwrap();
    assert_eq!(in_folder.folder.as_deref(), Some(Path::new("/tmp/x")));
    assert_eq!((in_folder.stall, in_folder.signal), (None, None));
    let signals = ["SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGHUP"].map(|signal| {
        let watching = watching(&[(FOLDER, "/tmp"), (SIGNAL, signal)]);
        watching.unwrap().signal.unwrap()
    });
    let different: std::collections::BTreeSet<_> = signals.into();
    assert_eq!(different.len(), 4);
}

#[test]
fn a_signal_needs_a_folder_and_must_be_one_that_is_known() {
    let alone = otel(&[(SIGNAL, "SIGUSR1")]);
    assert!(
        alone.warnings()[0].contains(FOLDER),
        "{:?}",
        alone.warnings()
    );
    assert_eq!(alone.watching(), None);
    let unknown = otel(&[(SIGNAL, "SIGKILL"), (FOLDER, "/tmp")]);
    let accepted = "accepted: SIGUSR1, SIGUSR2, SIGQUIT, SIGHUP";
    assert!(
        unknown.warnings()[0].contains(accepted),
        "{:?}",
        unknown.warnings()
    );
    assert_eq!(unknown.watching().unwrap().signal, None);
}
