//! What each variable does to a whole program, through its real environment.
//!
//! The variables of a process are for its whole life, so each case runs [`program`] in a process of
//! its own: this very test binary, which prints what it sees. Variables of OTLP, of Prometheus and
//! of the limits on spans are tested where they are read, and their tests in `telemetry/tests`.
#![cfg(feature = "telemetry")]

use std::collections::BTreeSet;
use std::env;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::global;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::{ExportError, Exporter, Metric, MetricData, Otel};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task;

/// Says what the program is to wait for before it ends: a fact, or that the queue is full.
const WAIT_FOR: &str = "TEST_WAITS_FOR";

/// What a program prints, in no order.
type Facts = BTreeSet<String>;

/// Runs [`program`] with these variables and no others of ours.
#[track_caller]
fn facts(variables: &[(&str, &str)]) -> Facts {
    let output = run(variables);
    assert!(output.status.success(), "{variables:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let facts = text.lines().filter_map(|line| line.split_once("fact: "));
    facts.map(|(_, fact)| fact.to_owned()).collect()
}

fn run(variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "program", "--ignored", "--nocapture"]);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("TELEMETRY_RT_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn assert_fact(facts: &Facts, fact: &str) {
    assert!(facts.contains(fact), "no {fact:?} in {facts:?}");
}

fn spans(facts: &Facts) -> Vec<&str> {
    let spans = facts.iter().filter_map(|fact| fact.strip_prefix("span "));
    spans.collect()
}

// ----- the program -----

/// Prints what it is given, and holds spans back while it is shut.
#[derive(Clone, Default)]
struct Printer {
    printed: Arc<Mutex<Facts>>,
    shut: Arc<AtomicBool>,
}

impl Printer {
    fn print(&self, fact: String) {
        println!("fact: {fact}");
        self.printed.lock().unwrap().insert(fact);
    }

    fn wait_for(&self, fact: &str) {
        wait_until(|| self.printed.lock().unwrap().contains(fact));
        self.print(format!("by itself: {fact}"));
    }
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Exporter for Printer {
    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        wait_until(|| !self.shut.load(Ordering::SeqCst));
        self.print(format!("batch of {}", spans.len()));
        for span in spans {
            self.print(format!("span {}", span.name));
            for event in &span.events.events {
                self.print(format!("event {} of {}", event.name, span.name));
            }
        }
        Ok(())
    }

    fn export_metrics(&mut self, all: &[Metric], resource: &Resource) -> Result<(), ExportError> {
        for (key, value) in resource {
            self.print(format!("resource {key}={value}"));
        }
        let count = all.iter().find(|metric| metric.name == "process.count");
        let Some(MetricData::Sum { points, .. }) = count.map(|metric| &metric.data) else {
            panic!("no process.count in {all:?}");
        };
        self.print(format!("series {}", points.len()));
        Ok(())
    }
}

#[test]
#[ignore = "run by the other tests, each time in an environment of its own"]
fn program() {
    let printer = Printer::default();
    let otel = Otel::builder().exporter(printer.clone()).build();
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.enable_all().otel(otel).build().unwrap();
    printer.print(format!("workers {}", runtime.handle().num_workers()));
    printer.print(format!("propagated {:?}", propagated()));
    let wait_for = env::var(WAIT_FOR).ok();
    printer
        .shut
        .store(wait_for.as_deref() == Some("overflow"), Ordering::SeqCst);
    runtime.block_on(work());
    match wait_for.as_deref() {
        None => {}
        Some("overflow") => overflow(&runtime, &printer),
        Some(fact) => printer.wait_for(fact),
    }
    let report = runtime.shutdown(Duration::from_secs(20));
    printer.print(format!("exported: {}", report.is_some()));
}

async fn fetch() {}
async fn load() {}

async fn work() {
    task::spawn(fetch()).await.unwrap();
    task::spawn(load()).await.unwrap();
    let hash = task::Builder::new().name("hash").spawn_blocking(|| ());
    hash.await.unwrap();
}

/// The headers by which context is passed on.
fn propagated() -> Vec<String> {
    Otel::from_env().install_propagators();
    global::get_text_map_propagator(|propagator| {
        let mut fields: Vec<_> = propagator.fields().map(str::to_owned).collect();
        fields.sort_unstable();
        fields
    })
}

/// Records spans, which the exporter does not take, until there is no more room for them.
fn overflow(runtime: &Runtime, printer: &Printer) {
    wait_until(|| {
        runtime.block_on(work());
        let report = runtime.flush(Duration::from_millis(1)).unwrap();
        report.spans.dropped.queue_full > 0
    });
    printer.print("overflow".to_owned());
    printer.shut.store(false, Ordering::SeqCst);
}

// ----- the cases -----

#[test]
fn without_variables_everything_is_recorded() {
    let facts = facts(&[]);
    assert_eq!(spans(&facts), ["fetch", "hash", "load", "work"]);
    assert_fact(&facts, "series 4");
    assert_fact(&facts, "batch of 4");
    assert_fact(
        &facts,
        "propagated [\"baggage\", \"traceparent\", \"tracestate\"]",
    );
    let unnamed = |fact: &String| fact.starts_with("resource service.name=unknown_service");
    assert!(facts.iter().any(unnamed), "{facts:?}");
}

#[test]
fn the_resource_says_what_the_operator_says_of_the_program() {
    let named = facts(&[
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=red,tier=1"),
    ]);
    assert_fact(&named, "resource service.name=shop");
    assert_fact(&named, "resource team=red");
    assert_fact(&named, "resource tier=1");
    let by_attribute = facts(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop")]);
    assert_fact(&by_attribute, "resource service.name=shop");
}

/// As the specification asks; the SDK has it the other way round.
#[test]
fn the_name_of_the_service_wins_over_one_among_the_attributes() {
    let facts = facts(&[
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other"),
    ]);
    assert_fact(&facts, "resource service.name=shop");
}

#[test]
fn an_operator_turns_everything_off() {
    let off = facts(&[("OTEL_SDK_DISABLED", "true")]);
    assert_fact(&off, "exported: false");
    assert!(
        spans(&off).is_empty() && !off.contains("series 4"),
        "{off:?}"
    );
    let on = facts(&[("OTEL_SDK_DISABLED", "false")]);
    assert_fact(&on, "exported: true");
}

#[test]
fn the_sampler_leaves_spans_out_but_no_metrics() {
    for sampler in [
        &[("OTEL_TRACES_SAMPLER", "always_off")][..],
        &[
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ],
    ] {
        let facts = facts(sampler);
        assert!(spans(&facts).is_empty(), "{facts:?}");
        assert_fact(&facts, "series 4");
    }
}

#[test]
fn lists_of_names_leave_spans_out_but_no_metrics() {
    let facts = facts(&[
        (
            "OTEL_RUST_EXECUTOR_TASK_NAMES_TO_TRACE",
            "f*, variables::work",
        ),
        ("OTEL_RUST_EXECUTOR_BLOCKING_NAMES_TO_TRACE", ""),
    ]);
    assert_eq!(spans(&facts), ["fetch", "work"]);
    assert_fact(&facts, "series 4");
}

#[test]
fn propagators_are_those_that_were_named() {
    for (named, fields) in [
        ("baggage", "[\"baggage\"]"),
        ("tracecontext", "[\"traceparent\", \"tracestate\"]"),
        ("none", "[]"),
    ] {
        let facts = facts(&[("OTEL_PROPAGATORS", named)]);
        assert_fact(&facts, &format!("propagated {fields}"));
    }
}

#[test]
fn batches_are_as_large_as_was_asked_for_and_leave_as_soon() {
    let large = facts(&[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3")]);
    assert_fact(&large, "batch of 3");
    assert_fact(&large, "batch of 1");
    let soon = facts(&[("OTEL_BSP_SCHEDULE_DELAY", "10"), (WAIT_FOR, "span work")]);
    assert_fact(&soon, "by itself: span work");
}

#[test]
fn the_queue_is_as_long_as_was_asked_for() {
    let facts = facts(&[("OTEL_BSP_MAX_QUEUE_SIZE", "2"), (WAIT_FOR, "overflow")]);
    assert_fact(&facts, "overflow");
}

#[test]
fn metrics_are_pushed_as_often_as_was_asked_for() {
    let facts = facts(&[
        ("OTEL_METRIC_EXPORT_INTERVAL", "10"),
        (WAIT_FOR, "series 4"),
    ]);
    assert_fact(&facts, "by itself: series 4");
}

#[test]
fn a_runtime_has_as_many_workers_as_was_asked_for() {
    let facts = facts(&[("TELEMETRY_RT_WORKER_THREADS", "3")]);
    assert_fact(&facts, "workers 3");
}

#[test]
fn as_much_is_told_of_polls_as_was_asked_for() {
    const DETAIL: &str = "OTEL_RUST_EXECUTOR_POLL_DETAIL";
    const SLOW: (&str, &str) = ("OTEL_RUST_EXECUTOR_SLOW_POLL", "1m");
    let off = facts(&[SLOW]);
    assert!(
        !off.iter().any(|fact| fact.starts_with("event ")),
        "{off:?}"
    );
    let events = facts(&[(DETAIL, "events"), SLOW]);
    assert_fact(&events, "event poll of fetch");
    let all = facts(&[(DETAIL, "spans"), SLOW]);
    assert_eq!(spans(&all), ["fetch", "hash", "load", "poll", "work"]);
    let slow = facts(&[("OTEL_RUST_EXECUTOR_SLOW_POLL", "0")]);
    assert_fact(&slow, "event slow_poll of fetch");
    assert_fact(&slow, "event slow_poll of work");
}
