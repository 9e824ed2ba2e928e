//! What is told of single polls: nothing, an event each, a span each; and of slow ones always.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

mod observed;

use std::time::{Duration, SystemTime};

use observed::{Observed, Seen, idle, in_event, number, on_each, polls_of, text};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanLimits};
use telemetry_rt::otel::{OtelBuilder, PollDetail};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, yield_now};
use telemetry_rt::time::sleep;

const NEVER: Duration = Duration::from_secs(3600);

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

/// A runtime for which no poll is slow unless `configure` says so.
fn observed(mut builder: Builder, configure: impl Fn(OtelBuilder) -> OtelBuilder) -> Observed {
    Observed::with(&mut builder, |otel| configure(otel.slow_poll(NEVER)))
}

async fn yields(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Runs a task that is polled so many times.
fn run_polls(observed: Observed, polls: usize) -> Seen {
    observed.run(async move {
        named("polled").spawn(yields(polls - 1)).await.unwrap();
    })
}

fn numbers(span: &SpanData) -> Vec<String> {
    let polls = polls_of(span).into_iter();
    polls.map(|poll| in_event(poll, "poll.number")).collect()
}

fn poll_spans(seen: &Seen) -> Vec<&SpanData> {
    let mut spans: Vec<_> = seen
        .spans
        .iter()
        .filter(|span| span.name == "poll")
        .collect();
    spans.sort_by_key(|span| span.start_time);
    spans
}

#[test]
fn without_detail_polls_are_not_told() {
    on_each(|builder| {
        let seen = run_polls(observed(builder, |otel| otel), 5);
        assert!(poll_spans(&seen).is_empty());
        assert!(seen.spans.iter().all(|span| span.events.is_empty()));
        assert_eq!(seen.total("executor.polls.slow", &[]), 0.0);
    });
}

#[test]
fn each_poll_is_an_event_in_order_within_the_span() {
    on_each(|builder| {
        let detailed = |otel: OtelBuilder| otel.poll_detail(PollDetail::Events);
        let seen = run_polls(observed(builder, detailed), 4);
        let span = seen.named("polled");
        assert_eq!(numbers(span), ["1", "2", "3", "4"]);
        let times = polls_of(span).into_iter().map(|poll| poll.timestamp);
        let times: Vec<SystemTime> = times.collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(times[0] >= span.start_time && times[3] <= span.end_time);
        assert!(poll_spans(&seen).is_empty());
    });
}

#[test]
fn an_event_of_a_poll_says_what_it_took_and_what_came_of_it() {
    let detailed = |otel: OtelBuilder| otel.poll_detail(PollDetail::Events);
    let seen = observed(Builder::new_current_thread(), detailed).run(async {
        let (sender, receiver) = oneshot::channel();
        let polled = named("polled").spawn(async move {
            receiver.await.unwrap();
            sleep(Duration::from_millis(1)).await;
        });
        idle("polled").await;
        sender.send(()).unwrap();
        polled.await.unwrap();
    });
    let span = seen.named("polled");
    let polls = polls_of(span);
    let of = |key| {
        polls
            .iter()
            .map(|poll| in_event(poll, key))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("poll.wake_cause"), ["spawn", "task", "timer"]);
    assert_eq!(of("poll.waits_for"), ["other", "timer", ""]);
    assert_eq!(of("worker.index"), ["0", "0", "0"]);
    assert_eq!(of("poll.slow"), ["", "", ""]);
    let sum = |key| {
        let nanos = of(key)
            .into_iter()
            .map(|nanos| nanos.parse::<i64>().unwrap());
        nanos.sum::<i64>()
    };
    // Each is rounded down.
    let busy = number(span, "task.busy_ns");
    assert!((busy - 6..=busy).contains(&sum("poll.busy_ns")), "{span:?}");
    let scheduled = number(span, "task.scheduled_ns");
    assert!(
        (scheduled - 3..=scheduled).contains(&sum("poll.scheduled_ns")),
        "{span:?}"
    );
}

#[test]
fn each_poll_is_a_span_below_that_of_its_task_and_within_it() {
    on_each(|builder| {
        let detailed = |otel: OtelBuilder| otel.poll_detail(PollDetail::Spans);
        let seen = run_polls(observed(builder, detailed), 4);
        let task = seen.named("polled");
        let own = task.span_context.span_id();
        let polls = poll_spans(&seen).into_iter();
        let polls: Vec<_> = polls.filter(|poll| poll.parent_span_id == own).collect();
        let numbers = polls.iter().map(|poll| text(poll, "poll.number"));
        assert!(numbers.eq(["1", "2", "3", "4"]));
        for poll in polls {
            assert_eq!(poll.span_context.trace_id(), task.span_context.trace_id());
            assert_eq!(text(poll, "task.id"), text(task, "task.id"));
            assert!(poll.start_time >= task.start_time, "{poll:?} of {task:?}");
            // Ends are rounded one by one.
            let slack = Duration::from_nanos(2);
            assert!(
                poll.end_time <= task.end_time + slack,
                "{poll:?} of {task:?}"
            );
        }
        assert!(task.events.is_empty(), "{task:?}");
        let of_root = poll_spans(&seen).len() - 4;
        assert!(of_root >= 1, "the polls of block_on are told, too");
    });
}

#[test]
fn spans_of_polls_are_counted_like_others() {
    let detailed = |otel: OtelBuilder| otel.poll_detail(PollDetail::Spans);
    let observed = observed(Builder::new_current_thread(), detailed);
    observed.runtime.block_on(named_yields(50));
    let report = observed.runtime.flush(Duration::from_secs(20)).unwrap();
    assert!(report.spans.is_balanced(), "{report:?}");
    assert_eq!(
        report.spans.exported as usize,
        observed.memory.spans().len()
    );
}

async fn named_yields(times: usize) {
    named("polled").spawn(yields(times)).await.unwrap();
}

/// A slow poll, between two that are not.
async fn slow_once() {
    yield_now().await;
    std::thread::sleep(Duration::from_millis(60));
    yield_now().await;
}

#[test]
fn a_slow_poll_is_an_event_however_much_is_told() {
    for detail in [PollDetail::Off, PollDetail::Events, PollDetail::Spans] {
        on_each(|builder| {
            let slow = Duration::from_millis(50);
            let seen =
                observed(builder, |otel| otel.poll_detail(detail).slow_poll(slow)).run(async {
                    named("slow").spawn(slow_once()).await.unwrap();
                });
            let span = seen.named("slow");
            let polls = polls_of(span);
            let slow: Vec<_> = polls
                .iter()
                .filter(|poll| poll.name == "slow_poll")
                .collect();
            // On a machine that is busy otherwise any poll may be.
            assert!(slow.iter().any(|poll| in_event(poll, "poll.number") == "2"));
            for poll in &slow {
                assert_eq!(in_event(poll, "poll.slow"), "true");
                let busy: u64 = in_event(poll, "poll.busy_ns").parse().unwrap();
                assert!(busy >= 50_000_000, "{busy}");
            }
            let told = if detail == PollDetail::Events {
                3
            } else {
                slow.len()
            };
            assert_eq!(polls.len(), told);
            let all = seen.spans.iter().flat_map(polls_of);
            let all = all.filter(|poll| poll.name == "slow_poll").count();
            assert_eq!(seen.total("executor.polls.slow", &[]) as usize, all);
        });
    }
}

#[test]
fn slow_polls_of_what_is_not_traced_are_counted_only() {
    let all_slow = |otel: OtelBuilder| otel.slow_poll(Duration::ZERO);
    let unsampled = observed(Builder::new_current_thread(), |otel| {
        all_slow(otel).sampler(Sampler::AlwaysOff)
    });
    let unlisted = observed(Builder::new_current_thread(), |otel| {
        all_slow(otel).task_names(telemetry_rt::otel::NameList::none())
    });
    for observed in [unsampled, unlisted] {
        let seen = run_polls(observed, 5);
        assert!(seen.spans.is_empty(), "{:?}", seen.spans);
        // Those of `block_on` are the others.
        assert!(seen.total("executor.polls.slow", &[]) >= 5.0 + 1.0);
    }
}

#[test]
fn a_blocking_function_is_never_slow() {
    let seen = observed(Builder::new_current_thread(), |otel| {
        otel.slow_poll(Duration::ZERO)
    });
    let before = {
        let runtime = &seen.runtime;
        let (sender, receiver) = std::sync::mpsc::channel();
        runtime.spawn_blocking(move || sender.send(()).unwrap());
        receiver.recv().unwrap();
        runtime.handle().metrics().slow_poll_count()
    };
    assert_eq!(before, 0);
}

#[test]
fn a_span_keeps_so_many_events_and_counts_the_others() {
    let detailed = |otel: OtelBuilder| otel.poll_detail(PollDetail::Events);
    for (polls, kept, dropped) in [(128, 128, 0), (129, 128, 1), (1000, 128, 872)] {
        let seen = run_polls(observed(Builder::new_current_thread(), detailed), polls);
        let span = seen.named("polled");
        assert_eq!(
            (span.events.len(), span.events.dropped_count),
            (kept, dropped)
        );
        assert_eq!(numbers(span)[127], "128");
    }
}

#[test]
fn the_limit_on_events_is_that_of_spans() {
    for limit in [0, 3] {
        let limits = SpanLimits {
            max_events_per_span: limit,
            ..SpanLimits::default()
        };
        let limited = |otel: OtelBuilder| otel.poll_detail(PollDetail::Events).span_limits(limits);
        let seen = run_polls(observed(Builder::new_current_thread(), limited), 10);
        let span = seen.named("polled");
        let (kept, dropped) = (span.events.len(), span.events.dropped_count);
        assert_eq!((kept, dropped), (limit as usize, 10 - limit));
    }
}

/// The user's events and those of polls share the limit, and stand in the order of time.
#[test]
fn events_of_users_stand_between_those_of_polls() {
    let detailed = |otel: OtelBuilder| otel.poll_detail(PollDetail::Events);
    let seen = observed(Builder::new_current_thread(), detailed).run(async {
        let task = named("polled").spawn(async {
            std::thread::sleep(Duration::from_millis(1));
            opentelemetry::Context::current()
                .span()
                .add_event("mine", Vec::new());
            std::thread::sleep(Duration::from_millis(1));
            yield_now().await;
            panic!("at last");
        });
        assert!(task.await.is_err());
    });
    let events = &seen.named("polled").events;
    let names: Vec<_> = events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["poll", "mine", "poll", "exception"]);
}

#[test]
fn detail_is_changed_while_a_task_runs() {
    on_each(|builder| {
        let seen = observed(builder, |otel| otel).run(async {
            let handle = Handle::current();
            let changes = named("polled").spawn(async move {
                yield_now().await;
                handle.set_poll_detail(PollDetail::Events);
                yield_now().await;
                yield_now().await;
                handle.set_poll_detail(PollDetail::Spans);
                yield_now().await;
                handle.set_poll_detail(PollDetail::Off);
                yield_now().await;
                handle.set_slow_poll(Duration::ZERO);
                yield_now().await;
                handle.set_slow_poll(NEVER);
            });
            changes.await.unwrap();
        });
        let span = seen.named("polled");
        // How a poll is told is asked when it ends.
        assert_eq!(numbers(span), ["2", "3", "6"]);
        let own = span.span_context.span_id();
        let spans = poll_spans(&seen).into_iter();
        let spans = spans.filter(|poll| poll.parent_span_id == own);
        assert!(spans.map(|poll| text(poll, "poll.number")).eq(["4"]));
    });
}

#[test]
fn a_change_of_one_setting_leaves_the_others() {
    let observed = observed(Builder::new_current_thread(), |otel| {
        otel.poll_detail(PollDetail::Spans).most_children(7)
    });
    let handle = observed.runtime.handle();
    handle.set_slow_poll(Duration::from_micros(1500));
    handle.set_future_tracing(true);
    let treatment = handle.recorder().treatment();
    assert_eq!(treatment.poll_detail, PollDetail::Spans);
    assert_eq!(treatment.most_children, 7);
    assert!(treatment.trace_futures);
    let off = treatment.slow_poll.abs_diff(Duration::from_micros(1500));
    assert!(off < Duration::from_micros(1), "{treatment:?}");
}
