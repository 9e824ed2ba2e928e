//! What spans and metrics say about processes.

mod common;

use std::panic::Location;
use std::time::Duration;

use common::{BLOCKING, Bench, FAILED, FINISHED, LONG, attribute, done, number, sums, task, text};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanLimits};
use telemetry_rt_telemetry::export::{InMemory, Metric, MetricData, Otel, OtelBuilder};
use telemetry_rt_telemetry::record::{
    Ending, Lineage, NameList, Outcome, PollEnd, PollGuard, ProcessType, Spawning, Waiting,
};

fn exported(otel: OtelBuilder, run: impl FnOnce(&Bench)) -> (Vec<SpanData>, Vec<Metric>) {
    let memory = InMemory::new();
    let bench = Bench::new(otel.exporter(memory.clone()).build());
    run(&bench);
    bench.shutdown(LONG);
    (memory.spans(), memory.metrics())
}

fn one_span(run: impl FnOnce(&Bench)) -> SpanData {
    let (mut spans, _) = exported(Otel::builder(), run);
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

#[test]
fn busy_scheduled_and_idle_add_up_to_the_length_to_the_nanosecond() {
    let (spans, _) = exported(Otel::builder(), |bench| {
        for round in 0..200 {
            let mut account = bench.spawn(None);
            let wake = account.first_wake();
            let process = &mut task(&mut account, round);
            for step in 0..round % 5 {
                let mut poll = PollGuard::default();
                bench.worker.poll_started(&mut poll, process, &wake);
                std::hint::black_box((0..round * 100).sum::<u64>());
                let end = PollEnd {
                    waiting: Some(Waiting::ALL[step as usize]),
                    ..done(1)
                };
                bench.worker.poll_ended(&mut poll, process, end);
                // Idle until it is woken, scheduled until the worker is back.
                bench.worker.paused();
                std::thread::sleep(Duration::from_micros(50));
                wake.woken(|| round, || None);
                bench.worker.resumed();
            }
            drop(bench.worker.ended(process, FINISHED));
        }
    });
    assert_eq!(spans.len(), 200);
    assert!(
        spans
            .iter()
            .any(|span| number(span, "task.idle_ns") > 50_000)
    );
    for span in spans {
        let length = span.end_time.duration_since(span.start_time).unwrap();
        let parts =
            ["task.busy_ns", "task.scheduled_ns", "task.idle_ns"].map(|part| number(&span, part));
        assert_eq!(
            u128::from(parts.iter().sum::<u64>()),
            length.as_nanos(),
            "{span:?}"
        );
    }
}

#[test]
fn a_span_says_what_its_task_is_and_where_it_comes_from() {
    let before = std::time::SystemTime::now();
    let span = one_span(|bench| {
        let mut account = bench.spawn(None);
        let wake = account.first_wake();
        let process = &mut task(&mut account, 77);
        let mut poll = PollGuard::default();
        bench.worker.poll_started(&mut poll, process, &wake);
        bench.worker.poll_ended(&mut poll, process, done(2));
        drop(bench.worker.ended(process, FINISHED));
    });
    assert_eq!(span.name, "Fetch");
    for (key, value) in [
        ("task.id", "77"),
        ("task.type", "task"),
        ("task.state", "finished"),
        ("task.polls", "1"),
        ("task.wakes", "2"),
        ("task.migrations", "0"),
        ("code.function.name", "conversion::common::Fetch"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    assert!(
        attribute(&span, "code.file.path")
            .unwrap()
            .ends_with("conversion.rs")
    );
    assert!(attribute(&span, "code.line.number").is_some());
    assert_eq!(attribute(&span, "error.type"), None);
    assert_eq!(attribute(&span, "task.queued_ns"), None);
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.instrumentation_scope.name(), "telemetry_rt");
    let distance = span
        .start_time
        .duration_since(before)
        .unwrap_or_else(|error| error.duration());
    assert!(distance < Duration::from_secs(5), "{distance:?}");
}

#[test]
fn how_a_task_ended_is_its_state_status_and_error_type() {
    for (ending, state, status, error_type) in [
        (FINISHED, "finished", Status::Unset, None),
        (Ending::Cancelled, "cancelled", Status::Unset, None),
        (
            FAILED,
            "exception",
            Status::error("returned Err(alloc::string::String)"),
            Some("alloc::string::String"),
        ),
        (
            Ending::Panicked("oh no"),
            "exception",
            Status::error("panicked: oh no"),
            Some("panic"),
        ),
        (
            Ending::Returned(Outcome::TimedOut),
            "timeout",
            Status::error("its time was up"),
            Some("telemetry_rt::time::error::Elapsed"),
        ),
    ] {
        let span = one_span(|bench| bench.run_with("fetch", ending, || {}));
        assert_eq!(attribute(&span, "task.state").as_deref(), Some(state));
        assert_eq!(attribute(&span, "error.type").as_deref(), error_type);
        assert_eq!(span.status, status);
    }
}

#[test]
fn what_users_say_about_the_span_of_a_task_wins() {
    let span = one_span(|bench| {
        bench.run_with("fetch", FAILED, || {
            let context = Context::current();
            let span = context.span();
            span.update_name("fetch orders");
            span.set_attribute(KeyValue::new("shop", 7));
            span.set_attribute(KeyValue::new("task.id", "mine"));
            span.add_event("cached", vec![]);
            span.set_status(Status::Ok);
        });
    });
    assert_eq!(span.name, "fetch orders");
    assert_eq!(span.status, Status::Ok);
    assert_eq!(attribute(&span, "shop").as_deref(), Some("7"));
    assert_eq!(attribute(&span, "task.id").as_deref(), Some("mine"));
    assert_eq!(span.events.events[0].name, "cached");
    let ids = span
        .attributes
        .iter()
        .filter(|known| known.key.as_str() == "task.id");
    assert_eq!(ids.count(), 1);
}

#[test]
fn limits_cut_each_kind_of_part_and_count_what_was_cut() {
    let limits = SpanLimits {
        max_attributes_per_span: 15,
        max_events_per_span: 2,
        max_attributes_per_event: 1,
        ..SpanLimits::default()
    };
    let (spans, _) = exported(Otel::builder().span_limits(limits), |bench| {
        bench.run_with("fetch", FINISHED, || {
            let context = Context::current();
            for number in 0..10 {
                let pair = || KeyValue::new(format!("key{number}"), number);
                context.span().set_attribute(pair());
                context
                    .span()
                    .add_event("event", vec![pair(), KeyValue::new("more", 1)]);
            }
        });
    });
    let span = &spans[0];
    assert_eq!(span.attributes.len(), 15);
    assert_eq!(span.dropped_attributes_count as usize, 12 + 10 - 15);
    assert_eq!(
        (span.events.events.len(), span.events.dropped_count),
        (2, 8)
    );
    assert_eq!(span.events.events[0].attributes.len(), 1);
    assert_eq!(span.events.events[0].dropped_attributes_count, 1);
}

#[test]
fn a_function_on_the_blocking_pool_says_how_long_it_queued_and_where_it_ran() {
    let span = one_span(|bench| {
        let thread = bench.recorder.blocking("rt-blocking-3".into());
        let mut account = bench.recorder.spawned(Spawning {
            meta: &BLOCKING,
            name: None,
            site: Location::caller(),
            lineage: Lineage::Inherit,
        });
        let wake = account.first_wake();
        let process = &mut account.process(1, ProcessType::Blocking);
        std::thread::sleep(Duration::from_millis(2));
        let mut poll = PollGuard::default();
        thread.poll_started(&mut poll, process, &wake);
        thread.poll_ended(&mut poll, process, done(1));
        drop(thread.ended(process, FINISHED));
    });
    assert_eq!(
        attribute(&span, "thread.name").as_deref(),
        Some("rt-blocking-3")
    );
    assert!(number(&span, "task.queued_ns") >= 1_900_000);
    assert_eq!(
        number(&span, "task.queued_ns"),
        number(&span, "task.scheduled_ns")
    );
}

#[test]
fn metrics_merge_what_they_do_not_tell_apart_and_are_complete_without_spans() {
    let otel = Otel::builder().task_names(NameList::none());
    let (spans, metrics) = exported(otel, |bench| {
        bench.run("fetch");
        bench.run("fetch");
        bench.run_with("fetch", FAILED, || {});
        bench.run_with("fetch", Ending::Panicked("x"), || {});
        bench.run("load");
    });
    assert!(spans.is_empty());
    let expected = [
        (
            "type=task name=fetch state=exception error.type=alloc::string::String",
            1,
        ),
        ("type=task name=fetch state=exception error.type=panic", 1),
        ("type=task name=fetch state=finished", 2),
        ("type=task name=load state=finished", 1),
    ];
    let counts = sums(&metrics, "process.count");
    let counts: Vec<_> = counts
        .iter()
        .map(|(labels, count)| (labels.as_str(), *count))
        .collect();
    assert_eq!(counts, expected);
    let MetricData::Histogram { bounds, points } = &metrics[0].data else {
        panic!("{metrics:?}");
    };
    assert_eq!(
        (metrics[0].name.as_ref(), metrics[0].unit.as_ref()),
        ("process.duration", "s")
    );
    for (point, (_, count)) in points.iter().zip(expected) {
        assert_eq!(point.count as i64, count);
        assert_eq!(point.buckets.len(), bounds.len() + 1);
        assert_eq!(point.buckets.iter().sum::<u64>(), point.count);
        assert!(point.min.unwrap() <= point.max.unwrap());
        assert!(point.sum >= point.max.unwrap());
    }
}

#[test]
fn names_past_the_bound_are_one_overflow() {
    let memory = InMemory::new();
    let otel = Otel::builder().exporter(memory.clone()).build();
    let mut config = otel.recorder_config(1);
    config.kind_limit = 1;
    let recorder = telemetry_rt_telemetry::record::Recorder::new(config);
    let pipeline = telemetry_rt_telemetry::export::Pipeline::start(otel, recorder.clone()).unwrap();
    let bench = Bench {
        worker: recorder.worker(0),
        recorder,
        pipeline,
    };
    for name in ["first", "second", "third"] {
        bench.run_with(name, FAILED, || {});
    }
    bench.shutdown(LONG);
    let counts = sums(&memory.metrics(), "process.count");
    assert_eq!(
        counts[0],
        (
            "type=task state=exception otel.metric.overflow=true".to_owned(),
            2
        )
    );
    let spans = memory.spans();
    let overflow: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "overflow")
        .collect();
    assert_eq!(overflow.len(), 2);
    assert_eq!(
        text(&overflow[0].attributes, "otel.metric.overflow").as_deref(),
        Some("true")
    );
    assert_eq!(attribute(overflow[0], "code.function.name"), None);
}

#[test]
fn a_root_is_sampled_like_any_root_and_links_to_its_spawner() {
    let (spans, _) = exported(Otel::builder(), |bench| {
        bench.run_with("parent", FINISHED, || {
            let mut record = bench.recorder.spawned(Spawning {
                meta: &common::TASK,
                name: Some("root"),
                site: Location::caller(),
                lineage: Lineage::Root,
            });
            drop(bench.worker.ended(&mut task(&mut record, 1), FINISHED));
        });
    });
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (parent, root) = (find("parent"), find("root"));
    assert_ne!(parent.span_context.trace_id(), root.span_context.trace_id());
    assert_eq!(root.links.links[0].span_context, parent.span_context);
}

#[test]
fn the_event_about_a_panic_stays_however_many_others_there_are() {
    let limits = SpanLimits {
        max_events_per_span: 3,
        ..SpanLimits::default()
    };
    for (others, kept, dropped) in [(0, 1, 0), (2, 3, 0), (3, 3, 1), (9, 3, 7)] {
        let (spans, _) = exported(Otel::builder().span_limits(limits), |bench| {
            bench.run_with("fetch", Ending::Panicked("oh no"), || {
                let context = Context::current();
                (0..others).for_each(|_| context.span().add_event("event", vec![]));
            });
        });
        let events = &spans[0].events;
        assert_eq!((events.events.len(), events.dropped_count), (kept, dropped));
        let last = events.events.last().unwrap();
        assert_eq!(last.name, "exception", "{others}");
        assert_eq!(last.timestamp, spans[0].end_time);
    }
}

#[test]
fn values_of_attributes_are_cut_to_the_length_that_was_asked_for() {
    let (spans, _) = exported(Otel::builder().value_length(3), |bench| {
        bench.run_with("fetch", FINISHED, || {
            let context = Context::current();
            let span = context.span();
            span.set_attribute(KeyValue::new("key", "äöüß"));
            span.add_event("event", vec![KeyValue::new("key", "abcd")]);
        });
    });
    assert_eq!(attribute(&spans[0], "key").as_deref(), Some("äöü"));
    assert_eq!(attribute(&spans[0], "task.state").as_deref(), Some("fin"));
    let event = &spans[0].events.events[0];
    assert_eq!(text(&event.attributes, "key").as_deref(), Some("abc"));
}
