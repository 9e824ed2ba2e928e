//! What is recorded is what happened: spans, parents, ledger, metrics, context.
#![cfg(feature = "telemetry")]

use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;

use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanId, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use telemetry_rt::otel::{InMemory, Metric, MetricData, NameList, Number, Otel, OtelBuilder};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task::{self, JoinHandle};
use telemetry_rt::time::{error::Elapsed, sleep, timeout};

/// A runtime whose spans and metrics end up in memory.
struct Observed {
    runtime: Runtime,
    memory: InMemory,
}

/// What an observed runtime has recorded, after it was shut down.
struct Seen {
    spans: Vec<SpanData>,
    metrics: Vec<Metric>,
}

impl Observed {
    fn new(mut builder: Builder) -> Observed {
        Observed::with(&mut builder, |otel| otel)
    }

    fn with(builder: &mut Builder, configure: impl FnOnce(OtelBuilder) -> OtelBuilder) -> Observed {
        let memory = InMemory::new();
        let otel = configure(Otel::builder().exporter(memory.clone())).build();
        let runtime = builder.enable_all().otel(otel).build().unwrap();
        Observed { runtime, memory }
    }

    fn run<F: Future>(self, future: F) -> Seen {
        self.runtime.block_on(future);
        self.end()
    }

    fn end(self) -> Seen {
        drop(self.runtime);
        Seen {
            spans: self.memory.spans(),
            metrics: self.memory.metrics(),
        }
    }
}

/// Runs a test on both flavours.
fn on_each(test: impl Fn(Builder)) {
    test(Builder::new_current_thread());
    let mut two = Builder::new_multi_thread();
    two.worker_threads(2);
    test(two);
}

impl Seen {
    fn named(&self, name: &str) -> &SpanData {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
        assert!(found.next().is_none(), "several spans {name}");
        span
    }

    fn parent_of(&self, name: &str) -> Option<&SpanData> {
        let parent = self.named(name).parent_span_id;
        self.spans
            .iter()
            .find(|span| span.span_context.span_id() == parent)
    }

    #[track_caller]
    fn assert_child(&self, child: &str, parent: &str) {
        let found = self.parent_of(child).map(|span| span.name.as_ref());
        assert_eq!(found, Some(parent), "parent of {child}");
        assert_eq!(
            self.named(child).span_context.trace_id(),
            self.named(parent).span_context.trace_id()
        );
    }

    /// The points of `process.count`: (type, name, state, error type) and how many.
    fn counts(&self) -> HashMap<(String, String, String, Option<String>), u64> {
        let metric = self.metric("process.count");
        let MetricData::Sum { points, .. } = &metric.data else {
            panic!("process.count is no sum");
        };
        points
            .iter()
            .map(|point| {
                let Number::Int(count) = point.value else {
                    panic!("process.count is no whole number");
                };
                (series(&point.attributes), count as u64)
            })
            .collect()
    }

    fn count(&self, process_type: &str, name: &str, state: &str, error: Option<&str>) -> u64 {
        let key = (
            process_type.to_owned(),
            name.to_owned(),
            state.to_owned(),
            error.map(str::to_owned),
        );
        self.counts().get(&key).copied().unwrap_or(0)
    }

    fn metric(&self, name: &str) -> &Metric {
        let found = self.metrics.iter().rfind(|metric| metric.name == name);
        found.unwrap_or_else(|| panic!("no metric {name}"))
    }
}

fn series(attributes: &[KeyValue]) -> (String, String, String, Option<String>) {
    let text = |key: &str| {
        let found = attributes.iter().find(|kv| kv.key.as_str() == key);
        found.map(|kv| kv.value.to_string())
    };
    (
        text("type").unwrap_or_default(),
        text("name").unwrap_or_default(),
        text("state").unwrap_or_default(),
        text("error.type"),
    )
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|kv| kv.key.as_str() == key);
    found.map(|kv| &kv.value)
}

fn number(span: &SpanData, key: &str) -> i64 {
    match attribute(span, key) {
        Some(Value::I64(number)) => *number,
        other => panic!("{key} of {} is {other:?}", span.name),
    }
}

fn text(span: &SpanData, key: &str) -> String {
    attribute(span, key)
        .map(Value::to_string)
        .unwrap_or_default()
}

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

async fn fetch() -> Result<u8, std::io::Error> {
    Err(std::io::ErrorKind::NotFound.into())
}

async fn too_slow() -> Result<(), Elapsed> {
    timeout(Duration::from_millis(1), pending()).await
}

#[test]
fn five_ways_to_end_are_told_apart_in_spans_and_metrics() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            named("fine").spawn(async { 1 }).await.unwrap();
            named("failed").spawn(fetch()).await.unwrap().unwrap_err();
            named("slow").spawn(too_slow()).await.unwrap().unwrap_err();
            let panicking = named("panicking").spawn(async { panic!("on purpose") });
            panicking.await.unwrap_err();
            let aborted = named("aborted").spawn(pending::<()>());
            task::yield_now().await;
            aborted.abort();
            aborted.await.unwrap_err();
        });
        for (name, state, error) in [
            ("fine", "finished", None),
            ("failed", "exception", Some("std::io::error::Error")),
            (
                "slow",
                "timeout",
                Some("telemetry_rt::time::error::Elapsed"),
            ),
            ("panicking", "exception", Some("panic")),
            ("aborted", "cancelled", None),
        ] {
            let span = seen.named(name);
            assert_eq!(text(span, "task.state"), state, "{name}");
            let is_error = matches!(span.status, Status::Error { .. });
            assert_eq!(is_error, error.is_some(), "{name}: {:?}", span.status);
            let recorded = text(span, "error.type");
            assert_eq!(recorded.is_empty(), error.is_none(), "{name}: {recorded}");
            let last = error.map(|error| error.rsplit("::").next().unwrap());
            assert!(recorded.ends_with(last.unwrap_or("")), "{name}: {recorded}");
            assert_eq!(
                seen.count(
                    "task",
                    name,
                    state,
                    attribute(span, "error.type").map(|_| recorded.as_str())
                ),
                1
            );
        }
        // Before it there may be that of a slow poll: printing the panic is part of the poll.
        let events = &seen.named("panicking").events;
        let event = events.last().unwrap();
        assert_eq!(event.name, "exception");
        let has = |key: &str, value: &str| {
            let mut all = event.attributes.iter();
            all.any(|kv| kv.key.as_str() == key && kv.value.as_str().ends_with(value))
        };
        assert!(has("exception.type", "panic"));
        assert!(has("exception.message", "on purpose"));
        assert!(has("code.file.path", "tests/telemetry.rs"));
    });
}

#[test]
fn a_task_is_named_after_its_function_and_knows_where_it_was_spawned() {
    async fn compute() -> u8 {
        7
    }
    let line = line!() + 2;
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        task::spawn(compute()).await.unwrap();
    });
    let span = seen.named("compute");
    assert!(
        text(span, "code.function.name").ends_with("::compute"),
        "{span:?}"
    );
    assert!(text(span, "code.file.path").ends_with("tests/telemetry.rs"));
    assert_eq!(number(span, "code.line.number"), i64::from(line));
    assert_eq!(text(span, "task.type"), "task");
}

#[test]
fn busy_scheduled_and_idle_add_up_to_the_length_to_the_nanosecond() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let tasks: Vec<JoinHandle<()>> = (0..200_u64)
                .map(|number| {
                    task::spawn(async move {
                        for _ in 0..number % 5 {
                            task::yield_now().await;
                        }
                        if number % 3 == 0 {
                            sleep(Duration::from_millis(number % 4)).await;
                        }
                        if number % 7 == 0 {
                            task::spawn_blocking(|| ()).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(seen.spans.len() > 200);
        for span in &seen.spans {
            let length = span.end_time.duration_since(span.start_time).unwrap();
            let parts = number(span, "task.busy_ns")
                + number(span, "task.scheduled_ns")
                + number(span, "task.idle_ns");
            assert_eq!(parts, length.as_nanos() as i64, "{}", span.name);
            assert!(number(span, "task.idle_ns") >= 0);
            assert!(number(span, "task.polls") >= 1);
        }
    });
}

#[test]
fn the_three_parts_are_where_the_time_went() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let busy = named("busy").spawn(async { std::thread::sleep(Duration::from_millis(30)) });
        let waiting = named("waiting").spawn(async {});
        let idle = named("idle").spawn(sleep(Duration::from_millis(30)));
        busy.await.unwrap();
        waiting.await.unwrap();
        idle.await.unwrap();
    });
    let at_least = |name: &str, part: &str| {
        let nanos = number(seen.named(name), part);
        assert!(nanos >= 25_000_000, "{part} of {name} is {nanos}");
    };
    at_least("busy", "task.busy_ns");
    at_least("idle", "task.idle_ns");
    // One of the two tasks behind the busy one waited for it; both were spawned before it ran.
    at_least("waiting", "task.scheduled_ns");
}

#[test]
fn a_task_is_not_charged_for_what_the_root_future_does() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let task = named("innocent").spawn(async {});
        std::thread::sleep(Duration::from_millis(30));
        task.await.unwrap();
    });
    let span = seen.named("innocent");
    assert!(number(span, "task.busy_ns") < 25_000_000, "{span:?}");
    assert!(number(span, "task.scheduled_ns") >= 25_000_000, "{span:?}");
}

#[test]
fn a_task_that_is_dropped_with_its_runtime_was_idle_until_then_and_not_polled_for_it() {
    let observed = Observed::new(Builder::new_current_thread());
    observed.runtime.block_on(async {
        drop(named("idle").spawn(pending::<()>()));
        task::yield_now().await;
    });
    std::thread::sleep(Duration::from_millis(30));
    let seen = observed.end();
    let span = seen.named("idle");
    assert!(number(span, "task.idle_ns") >= 25_000_000, "{span:?}");
    assert!(number(span, "task.scheduled_ns") < 25_000_000, "{span:?}");
    assert_eq!(number(span, "task.polls"), 1);
}

#[test]
fn local_tasks_are_recorded_also_when_they_were_spawned_outside_of_the_runtime() {
    let observed = Observed::new(Builder::new_current_thread());
    let set = task::LocalSet::new();
    let before = task::Builder::new()
        .name("before")
        .spawn_local_on(async { 1 }, &set);
    let sum = set.block_on(&observed.runtime, async {
        let within = task::Builder::new().name("within").spawn_local(async { 2 });
        before.await.unwrap() + within.await.unwrap()
    });
    assert_eq!(sum, 3);
    drop(
        task::Builder::new()
            .name("left")
            .spawn_local_on(pending::<()>(), &set),
    );
    drop(set);
    let seen = observed.end();
    for (name, state) in [
        ("before", "finished"),
        ("within", "finished"),
        ("left", "cancelled"),
    ] {
        assert_eq!(seen.count("task", name, state, None), 1, "{name}");
        assert_eq!(text(seen.named(name), "task.state"), state);
    }
}

#[test]
fn a_local_task_without_a_span_does_not_take_that_of_the_task_around_it() {
    let mut builder = Builder::new_current_thread();
    let observed = Observed::with(&mut builder, |otel| {
        otel.task_names(NameList::parse("listed"))
    });
    let seen = observed.run(async {
        let set = task::LocalSet::new();
        let unlisted = task::Builder::new().name("unlisted").root().spawn_local_on(
            async { Context::current().span().span_context().is_valid() },
            &set,
        );
        let valid = set.run_until(unlisted).await.unwrap();
        assert!(!valid);
    });
    assert!(seen.spans.is_empty());
}

#[test]
fn children_hang_below_the_task_that_spawned_them_and_hops_below_theirs() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            named("parent")
                .spawn(async {
                    task::yield_now().await;
                    let child = named("child").spawn(async {
                        named("hop").spawn_blocking(|| ()).await.unwrap();
                        named("grandchild").spawn(async {}).await.unwrap();
                    });
                    child.await.unwrap();
                })
                .await
                .unwrap();
        });
        seen.assert_child("child", "parent");
        seen.assert_child("hop", "child");
        seen.assert_child("grandchild", "child");
        let root = seen.parent_of("parent").unwrap();
        assert_eq!(text(root, "task.type"), "future");
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        assert_eq!(text(seen.named("hop"), "task.type"), "blocking");
        assert!(number(seen.named("hop"), "task.queued_ns") > 0);
        assert!(text(seen.named("hop"), "thread.name").contains("blocking"));
    });
}

#[test]
fn a_root_task_begins_a_trace_of_its_own_with_a_link_to_where_it_was_spawned() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let spawner = named("spawner").spawn(async {
            named("own").root().spawn(async {}).await.unwrap();
        });
        spawner.await.unwrap();
    });
    let (own, spawner) = (seen.named("own"), seen.named("spawner"));
    assert_eq!(own.parent_span_id, SpanId::INVALID);
    assert_ne!(own.span_context.trace_id(), spawner.span_context.trace_id());
    assert_eq!(
        own.links[0].span_context.span_id(),
        spawner.span_context.span_id()
    );
}

#[test]
fn the_span_of_a_task_is_current_while_it_is_polled_and_keeps_what_users_put_on_it() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let task = named("task").spawn(async {
                let before = Context::current().span().span_context().clone();
                task::yield_now().await;
                let context = Context::current();
                assert_eq!(*context.span().span_context(), before);
                context.span().set_attribute(KeyValue::new("order", 7));
                context.span().add_event("halfway", vec![]);
                context.span().end();
                assert!(context.span().is_recording());
                context
            });
            let outlived = task.await.unwrap();
            assert!(!outlived.span().is_recording());
            outlived.span().set_attribute(KeyValue::new("late", true));
            // Nothing of the task is left on this thread.
            assert_ne!(
                Context::current().span().span_context().span_id(),
                outlived.span().span_context().span_id()
            );
        });
        let span = seen.named("task");
        assert_eq!(number(span, "order"), 7);
        assert_eq!(span.events[0].name, "halfway");
        assert!(attribute(span, "late").is_none());
    });
}

#[test]
fn spans_of_users_nest_below_tasks_and_tasks_below_them() {
    let memory = InMemory::new();
    let otel = Otel::builder().exporter(memory.clone()).build();
    let mut builder = Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(2)
        .enable_all()
        .otel(otel)
        .build()
        .unwrap();
    runtime.block_on(async {
        named("outer").spawn(work()).await.unwrap();
    });
    drop(runtime);
    let seen = Seen {
        spans: memory.spans(),
        metrics: memory.metrics(),
    };
    seen.assert_child("work", "outer");
    seen.assert_child("inner", "work");
    seen.assert_child("sync_part", "inner");

    #[telemetry_rt::span]
    async fn work() {
        task::yield_now().await;
        named("inner").spawn(async { sync_part() }).await.unwrap();
    }

    #[telemetry_rt::span]
    fn sync_part() {}
}

#[test]
fn spans_of_users_are_right_inside_of_join_and_end_when_they_are_cancelled() {
    #[telemetry_rt::span(name = "step", attributes(number = number))]
    async fn step(number: i64) {
        for _ in 0..3 {
            task::yield_now().await;
        }
        below(number);
    }

    #[telemetry_rt::span(attributes(number = number))]
    fn below(number: i64) {
        let _ = number;
    }

    #[telemetry_rt::span]
    async fn never() {
        // A task that outlives the span keeps the span's context.
        drop(task::spawn(sleep(Duration::from_millis(50))));
        pending().await
    }

    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let together = named("together").spawn(async {
            telemetry_rt::join!(step(1), step(2));
        });
        together.await.unwrap();
        timeout(Duration::from_millis(5), never())
            .await
            .unwrap_err();
        sleep(Duration::from_millis(60)).await;
    });
    let together = seen.named("together").span_context.span_id();
    let steps: Vec<_> = seen
        .spans
        .iter()
        .filter(|span| span.name == "step")
        .collect();
    assert_eq!(steps.len(), 2);
    for step in steps {
        assert_eq!(step.parent_span_id, together);
        assert!(
            text(step, "code.function.name").ends_with("::step"),
            "{step:?}"
        );
        let mut below = seen.spans.iter().filter(|span| span.name == "below");
        let child = below.find(|below| number(below, "number") == number(step, "number"));
        assert_eq!(child.unwrap().parent_span_id, step.span_context.span_id());
    }
    let never = seen.named("never");
    let length = never.end_time.duration_since(never.start_time).unwrap();
    assert!(length < Duration::from_millis(40), "{length:?}");
}

#[test]
fn a_span_adds_a_constant_to_the_size_of_a_future() {
    #[telemetry_rt::span]
    async fn one(bytes: [u8; 64]) -> [u8; 64] {
        task::yield_now().await;
        bytes
    }
    #[telemetry_rt::span]
    async fn two(bytes: [u8; 64]) -> [u8; 64] {
        one(bytes).await
    }
    #[telemetry_rt::span]
    async fn three(bytes: [u8; 64]) -> [u8; 64] {
        two(bytes).await
    }
    let [one, two, three] = [
        size_of_val(&one([0; 64])),
        size_of_val(&two([0; 64])),
        size_of_val(&three([0; 64])),
    ];
    assert!(three - two <= 2 * (two - one), "{one}, {two}, {three}");
    assert!(three < 1500, "{one}, {two}, {three}");
}

#[test]
fn bursts_from_local_sets_and_the_blocking_pool_are_drained_in_time() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let set = task::LocalSet::new();
        set.run_until(async {
            for _ in 0..30 {
                let tasks: Vec<_> = (0..1000).map(|_| task::spawn_local(async {})).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }
        })
        .await;
    });
    let lost = seen.metric("executor.spans.dropped");
    assert!(
        seen.spans.len() > 25_000,
        "{} spans, {lost:?}",
        seen.spans.len()
    );
}

#[test]
fn baggage_and_suppression_are_inherited() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let context = Context::current_with_baggage(vec![KeyValue::new("tenant", "blue")]);
        let guard = context.attach();
        let task = named("with baggage").spawn(async {
            task::spawn_blocking(|| {
                let context = Context::current();
                context.baggage().get("tenant").map(ToString::to_string)
            })
            .await
            .unwrap()
        });
        drop(guard);
        assert_eq!(task.await.unwrap().as_deref(), Some("blue"));

        let guard = Context::enter_telemetry_suppressed_scope();
        let task = named("suppressed").spawn(async {
            task::yield_now().await;
            Context::is_current_telemetry_suppressed()
        });
        drop(guard);
        assert!(task.await.unwrap());
    });
    assert!(seen.spans.iter().all(|span| span.name != "suppressed"));
    assert_eq!(seen.count("task", "suppressed", "finished", None), 1);
}

#[test]
fn unsampled_tasks_have_no_spans_but_a_valid_context_and_all_metrics() {
    let mut builder = Builder::new_multi_thread();
    let observed = Observed::with(builder.worker_threads(2), |otel| {
        otel.sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
    });
    let seen = observed.run(async {
        let task = named("unsampled").spawn(async {
            let context = Context::current().span().span_context().clone();
            assert!(context.is_valid() && !context.is_sampled());
            named("below").spawn(async {}).await.unwrap();
            context.trace_id()
        });
        task.await.unwrap();
    });
    assert!(seen.spans.is_empty(), "{:?}", seen.spans);
    assert_eq!(seen.count("task", "unsampled", "finished", None), 1);
    assert_eq!(seen.count("task", "below", "finished", None), 1);
}

#[test]
fn only_listed_names_get_spans_and_children_skip_those_that_are_not() {
    let mut builder = Builder::new_current_thread();
    let observed = Observed::with(&mut builder, |otel| {
        otel.task_names(NameList::parse("top, b*"))
            .blocking_names(NameList::none())
    });
    let seen = observed.run(async {
        let top = named("top").spawn(async {
            let middle = named("middle").spawn(async {
                named("bottom").spawn(async {}).await.unwrap();
                named("hop").spawn_blocking(|| ()).await.unwrap();
            });
            middle.await.unwrap();
        });
        top.await.unwrap();
    });
    let mut names: Vec<_> = seen.spans.iter().map(|span| span.name.as_ref()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bottom", "top"]);
    seen.assert_child("bottom", "top");
    for (process_type, name) in [("task", "middle"), ("task", "top"), ("blocking", "hop")] {
        assert_eq!(
            seen.count(process_type, name, "finished", None),
            1,
            "{name}"
        );
    }
}

#[test]
fn tasks_that_the_runtime_drops_are_cancelled_in_spans_and_metrics() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            drop(named("left behind").spawn(pending::<()>()));
            task::yield_now().await;
        });
        let seen = observed.end();
        assert_eq!(text(seen.named("left behind"), "task.state"), "cancelled");
        assert_eq!(seen.count("task", "left behind", "cancelled", None), 1);
    });
}

#[test]
fn a_task_aborted_before_its_first_poll_is_counted_and_has_a_span() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let task = named("never polled").spawn(async {});
        task.abort();
        task.await.unwrap_err();
    });
    assert_eq!(text(seen.named("never polled"), "task.state"), "cancelled");
    assert_eq!(seen.count("task", "never polled", "cancelled", None), 1);
}

#[test]
fn every_completion_is_in_the_metrics_before_its_joiner_goes_on() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let tasks: Vec<_> = (0..5_000)
                .map(|_| named("one of many").spawn(task::yield_now()))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(seen.count("task", "one of many", "finished", None), 5_000);
        let MetricData::Histogram { points, .. } = &seen.metric("process.duration").data else {
            panic!("process.duration is no histogram");
        };
        let point = points
            .iter()
            .find(|point| series(&point.attributes).1 == "one of many")
            .unwrap();
        assert_eq!(point.count, 5_000);
        assert_eq!(point.buckets.iter().sum::<u64>(), 5_000);
    });
}

#[test]
fn a_span_of_the_users_does_not_wait_for_what_was_spawned_in_it() {
    let exporter = opentelemetry_sdk::trace::InMemorySpanExporter::default();
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        // Such a span ends when nobody keeps it any more.
        let inside = |_| named("child").spawn(async {});
        let child = provider.tracer("library").in_span("request", inside);
        let ended = exporter.get_finished_spans().unwrap();
        assert_eq!(ended.len(), 1, "before the child was polled");
        child.await.unwrap();
    });
    let request = &exporter.get_finished_spans().unwrap()[0];
    let child = seen.named("child");
    assert_eq!(child.parent_span_id, request.span_context.span_id());
    assert_eq!(
        child.span_context.trace_id(),
        request.span_context.trace_id()
    );
}

#[test]
fn a_foreign_provider_sees_the_task_as_the_parent_of_its_spans() {
    let exporter = opentelemetry_sdk::trace::InMemorySpanExporter::default();
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let tracer = provider.tracer("library");
        let task = named("task").spawn(async move {
            tracer.in_span("library work", |_| ());
        });
        task.await.unwrap();
    });
    let foreign = &exporter.get_finished_spans().unwrap()[0];
    let task = seen.named("task");
    assert_eq!(foreign.parent_span_id, task.span_context.span_id());
    assert_eq!(
        foreign.span_context.trace_id(),
        task.span_context.trace_id()
    );
}
