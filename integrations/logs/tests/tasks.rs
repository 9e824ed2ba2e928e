//! Which ids does a record have that is written in a task?

mod support;

use std::collections::HashMap;
use std::sync::Mutex;

use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, SpanId, TraceId};
use serde_json::Value;
use support::{Kept, ids, runtime};
use telemetry_rt::otel::{InMemory, Otel};
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{self, spawn_blocking, yield_now};
use telemetry_rt_logs::{Format, Logs};

/// The subscriber is one for the process, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn with_lines(test: impl FnOnce(&Kept)) {
    static KEPT: Mutex<Option<(Kept, Logs)>> = Mutex::new(None);
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let kept = {
        let mut installed = KEPT.lock().unwrap();
        let (kept, _) = installed.get_or_insert_with(|| {
            let kept = Kept::default();
            let logs = Logs::builder()
                .format(Format::Json)
                .filter("info")
                .writer(kept.clone())
                .init()
                .unwrap();
            (kept, logs)
        });
        kept.clone()
    };
    kept.take();
    test(&kept);
}

/// The ids of each line, by its message.
fn ids_by_message(lines: &[Value]) -> HashMap<&str, (TraceId, SpanId)> {
    let ids = |line: &Value| {
        let hex = |name: &str| line[name].as_str().unwrap().to_owned();
        (
            TraceId::from_hex(&hex("trace_id")).unwrap(),
            SpanId::from_hex(&hex("span_id")).unwrap(),
        )
    };
    let message = |line: &'_ Value| ids(line);
    lines
        .iter()
        .map(|line| (line["message"].as_str().unwrap(), message(line)))
        .collect()
}

fn ids_by_span(memory: &InMemory) -> HashMap<String, (TraceId, SpanId)> {
    let spans = memory.spans().into_iter();
    let ids = spans.map(|span| {
        let context = &span.span_context;
        let ids = (context.trace_id(), context.span_id());
        (span.name.to_string(), ids)
    });
    ids.collect()
}

#[test]
fn a_record_has_the_ids_of_the_span_that_is_exported_for_where_it_was_written() {
    with_lines(|kept| {
        let (runtime, memory) = runtime();
        runtime.block_on(async {
            let child = task::Builder::new().name("child").spawn(async {
                tracing::info!("child");
                let hop = task::Builder::new().name("hop");
                hop.spawn_blocking(|| tracing::info!("hop")).await.unwrap();
                let guard = telemetry_rt::span("scope");
                yield_now().await;
                log::info!("scope");
                drop(guard);
                tracing::info!("child again");
            });
            child.await.unwrap();
        });
        drop(runtime);
        let lines = kept.take_json();
        let (written, spans) = (ids_by_message(&lines), ids_by_span(&memory));
        assert_eq!(written["child"], spans["child"]);
        assert_eq!(written["hop"], spans["hop"]);
        assert_eq!(written["scope"], spans["scope"]);
        assert_eq!(written["child again"], spans["child"]);
        assert_eq!(written.len(), 4);
        assert_eq!(lines[0]["trace_flags"], "01");
    });
}

#[test]
fn records_of_tasks_that_run_at_the_same_time_are_not_mixed_up() {
    with_lines(|kept| {
        let (runtime, _memory) = runtime();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..8)
                .map(|number| {
                    telemetry_rt::spawn(async move {
                        for step in 0..20 {
                            let (trace, span) = ids();
                            tracing::info!(%trace, %span, number, step, "step");
                            // A yielded task is polled by whichever worker is free.
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let lines = kept.take_json();
        assert_eq!(lines.len(), 160);
        let mut spans = HashMap::new();
        for line in &lines {
            let fields = &line["fields"];
            assert_eq!(line["trace_id"], fields["trace"]);
            assert_eq!(line["span_id"], fields["span"]);
            let number = fields["number"].as_u64().unwrap();
            let span = spans.entry(number).or_insert(&line["span_id"]);
            assert_eq!(*span, &line["span_id"], "task {number} has one span");
        }
        assert_eq!(spans.len(), 8);
    });
}

#[test]
fn outside_of_any_span_there_are_no_ids() {
    with_lines(|kept| {
        tracing::info!("outside");
        let nothing = SpanContext::empty_context();
        let _attached = Context::new().with_remote_span_context(nothing).attach();
        tracing::info!("in a span that is none");
        let lines = kept.take_json();
        assert_eq!(lines.len(), 2);
        let objects = lines.iter().filter_map(Value::as_object);
        let names: Vec<&String> = objects.flat_map(|object| object.keys()).collect();
        assert!(
            !names.iter().any(|name| name.contains("trace_")),
            "{names:?}"
        );
        assert!(
            !names.iter().any(|name| name.contains("span_")),
            "{names:?}"
        );
    });
}

#[test]
fn the_task_of_a_runtime_that_exports_nothing_has_no_ids_of_zeros() {
    with_lines(|kept| {
        let otel = Otel::builder().build();
        let runtime = Builder::new_current_thread().otel(otel).build().unwrap();
        runtime.block_on(async {
            telemetry_rt::spawn(async { tracing::info!("in a task") })
                .await
                .unwrap();
        });
        let lines = kept.take_json();
        assert_eq!(lines[0]["message"], "in a task");
        assert_eq!(lines[0].get("trace_id"), None);
    });
}

#[test]
fn a_task_that_is_not_sampled_has_ids_and_flags_that_say_so() {
    with_lines(|kept| {
        let memory = InMemory::new();
        let otel = Otel::builder()
            .exporter(memory.clone())
            .sampler(opentelemetry_sdk::trace::Sampler::AlwaysOff)
            .build();
        let runtime = Builder::new_current_thread().otel(otel).build().unwrap();
        runtime.block_on(async {
            let task = telemetry_rt::spawn(async {
                tracing::info!("unsampled");
                spawn_blocking(|| tracing::info!("hop")).await.unwrap();
            });
            task.await.unwrap();
        });
        drop(runtime);
        assert!(memory.spans().is_empty());
        let lines = kept.take_json();
        let written = ids_by_message(&lines);
        assert_eq!(written["unsampled"].0, written["hop"].0);
        assert!(lines.iter().all(|line| line["trace_flags"] == "00"));
    });
}

#[test]
fn a_record_that_is_written_while_a_thread_ends_is_a_line_without_ids() {
    struct Writes;
    impl Drop for Writes {
        fn drop(&mut self) {
            tracing::info!(at = "the end", "dropped");
        }
    }
    thread_local! {
        static FIRST: Writes = const { Writes };
    }
    with_lines(|kept| {
        // What is used first is destroyed last: after the thread-locals of the libraries.
        let ends = std::thread::spawn(|| {
            FIRST.with(|_| ());
            Context::map_current(|_| ());
            let _entered = tracing::info_span!("entered").entered();
            tracing::info!("alive");
        });
        ends.join().unwrap();
        let lines = kept.take_json();
        let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["alive", "dropped"]);
        assert_eq!(lines[1]["fields"]["at"], "the end");
    });
}

#[test]
fn the_first_record_of_a_thread_may_come_after_the_thread_locals_are_gone() {
    struct Writes;
    impl Drop for Writes {
        fn drop(&mut self) {
            tracing::info!("only");
        }
    }
    thread_local! {
        static FIRST: Writes = const { Writes };
    }
    with_lines(|kept| {
        let ends = std::thread::spawn(|| {
            FIRST.with(|_| ());
            Context::map_current(|_| ());
        });
        ends.join().unwrap();
        assert_eq!(kept.take_json()[0]["message"], "only");
    });
}
