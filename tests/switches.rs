//! What can be changed while a runtime works: whether it records, and which names it traces.
#![cfg(feature = "telemetry")]

mod observed;

use std::time::Duration;

use observed::{Observed, Seen, on_each};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{SpanId, TraceId};
use telemetry_rt::otel::NameList;
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task::{self, LocalSet, yield_now};

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

/// The names of the spans, in alphabetical order.
fn spans(seen: &Seen) -> Vec<&str> {
    let mut names: Vec<&str> = seen.spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    names
}

/// The names and numbers in `process.count`.
fn counts(seen: &Seen) -> Vec<(String, i64)> {
    let counts = seen.counts().into_iter();
    counts.map(|(series, count)| (series.1, count)).collect()
}

fn counted(names: &[(&str, i64)]) -> Vec<(String, i64)> {
    let names = names.iter();
    names
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

async fn main_future() {
    let handle = Handle::current();
    assert!(handle.is_recording());
    named("before").spawn(async {}).await.unwrap();
    handle.set_recording(false);
    assert!(!handle.is_recording());
    for _ in 0..3 {
        named("during").spawn(async {}).await.unwrap();
        named("during").spawn_blocking(|| ()).await.unwrap();
    }
    handle.set_recording(true);
    named("after").spawn(async {}).await.unwrap();
    named("after").spawn(async {}).await.unwrap();
}

#[test]
fn exactly_those_that_are_spawned_while_it_is_on_are_recorded() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(main_future());
        assert_eq!(spans(&seen), ["after", "after", "before", "main_future"]);
        let expected = [("main_future", 1), ("after", 2), ("before", 1)];
        assert_eq!(counts(&seen), counted(&expected));
    });
}

#[test]
fn the_runtime_counts_its_own_numbers_all_the_same() {
    let observed = Observed::one_thread();
    observed.runtime.handle().set_recording(false);
    let seen = observed.run(async {
        named("polled").spawn(yield_now()).await.unwrap();
    });
    assert!(seen.spans.is_empty());
    assert!(seen.counts().is_empty());
    assert_eq!(seen.total("executor.wakes", &[("cause", "spawn")]), 2.0);
}

/// What is told of a process is decided when it is spawned.
#[test]
fn those_that_run_while_it_is_switched_are_recorded_to_their_end_or_not_at_all() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let handle = Handle::current();
            let (on, mut goes_on) = tokio::sync::oneshot::channel::<()>();
            let old = named("old").spawn(async move {
                while goes_on.try_recv().is_err() {
                    yield_now().await
                }
            });
            handle.set_recording(false);
            let new = named("new").spawn(async { yield_now().await });
            handle.set_recording(true);
            on.send(()).unwrap();
            new.await.unwrap();
            old.await.unwrap();
        });
        assert!(spans(&seen).contains(&"old") && !spans(&seen).contains(&"new"));
        assert_eq!(seen.end_of("old"), observed::FINISHED);
    });
}

/// A process without a span hands its spawner's on.
#[test]
fn children_of_what_was_not_recorded_hang_below_the_nearest_that_was() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let outer = named("outer").spawn(async {
                let handle = Handle::current();
                handle.set_recording(false);
                let hidden = named("hidden").spawn(async move {
                    Handle::current().set_recording(true);
                    named("inner").spawn(async {}).await.unwrap();
                });
                hidden.await.unwrap();
            });
            outer.await.unwrap();
        });
        assert!(!spans(&seen).contains(&"hidden"));
        seen.assert_child("inner", "outer");
    });
}

#[test]
fn a_context_from_afar_is_handed_on_while_nothing_is_recorded() {
    let remote = SpanContext::new(
        TraceId::from(0xabc_u128),
        SpanId::from(0xdef_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let observed = Observed::one_thread();
    observed.runtime.handle().set_recording(false);
    let seen_inside = {
        let _attached = Context::new()
            .with_remote_span_context(remote.clone())
            .attach();
        observed.runtime.block_on(async {
            let child =
                named("child").spawn(async { Context::current().span().span_context().clone() });
            child.await.unwrap()
        })
    };
    assert_eq!(seen_inside, remote);
}

#[test]
fn local_tasks_are_switched_like_others() {
    let observed = Observed::one_thread();
    let handle = observed.runtime.handle().clone();
    LocalSet::new().block_on(&observed.runtime, async move {
        handle.set_recording(false);
        named("off").spawn_local(async {}).await.unwrap();
        handle.set_recording(true);
        named("on").spawn_local(async {}).await.unwrap();
    });
    let seen = observed.end();
    assert!(spans(&seen).contains(&"on") && !spans(&seen).contains(&"off"));
}

async fn spawn_each() {
    for name in ["alpha", "beta"] {
        named(name).spawn(async {}).await.unwrap();
        let blocking = format!("{name}_blocking");
        named(&blocking).spawn_blocking(|| ()).await.unwrap();
    }
    unnamed_task().await;
}

/// A kind without a name of its own, which threads remember.
async fn unnamed_task() {
    async fn gamma() {}
    task::spawn(gamma()).await.unwrap();
}

#[test]
fn lists_of_names_are_changed_for_kinds_that_are_known_and_for_new_ones() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        let spans_with = |tasks: &str, blocking: &str| {
            handle.set_task_names(NameList::parse(tasks));
            handle.set_blocking_names(NameList::parse(blocking));
            observed.memory.reset();
            observed.runtime.block_on(spawn_each());
            observed.runtime.flush(Duration::from_secs(20)).unwrap();
            let spans = observed.memory.spans().into_iter();
            let mut names: Vec<_> = spans.map(|span| span.name.into_owned()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        // The first of these sees new kinds, the others known ones.
        assert_eq!(spans_with("alpha", ""), "alpha");
        assert_eq!(
            spans_with("beta, gamma", "alpha*"),
            "alpha_blocking beta gamma"
        );
        assert_eq!(spans_with("", "*"), "alpha_blocking beta_blocking");
        assert_eq!(
            spans_with("*", ""),
            "alpha beta gamma spawn_each",
            "the future of block_on is among the tasks"
        );
        let seen = observed.end();
        let all: i64 = counts(&seen).iter().map(|(_, count)| count).sum();
        assert_eq!(all, 4 * 6, "metrics are complete whatever the lists say");
    });
}

#[test]
fn a_runtime_that_exports_nothing_can_be_switched_too() {
    let otel = telemetry_rt::otel::Otel::disabled();
    let runtime = Builder::new_current_thread().otel(otel).build().unwrap();
    runtime.handle().set_recording(false);
    runtime.handle().set_task_names(NameList::none());
    assert_eq!(
        runtime.block_on(async { task::spawn(async { 3 }).await.unwrap() }),
        3
    );
}

/// Many threads switch while others spawn: each process is counted or not, and none is torn.
#[test]
fn switching_beside_spawning_loses_nothing() {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    let observed = Observed::new(builder);
    let handle = observed.runtime.handle().clone();
    let switching = std::thread::spawn(move || {
        for round in 0..2_000 {
            handle.set_recording(round % 2 == 1);
            handle.set_task_names(NameList::parse(if round % 3 == 0 { "" } else { "*" }));
        }
        handle.set_recording(true);
    });
    let seen = observed.run(async move {
        let mut tasks = Vec::new();
        while !switching.is_finished() {
            tasks.extend((0..10).map(|_| task::spawn(async {})));
            yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let ended: i64 = counts(&seen).iter().map(|(_, count)| count).sum();
    assert!(
        ended as usize >= seen.spans.len(),
        "a span of what was not counted"
    );
}
