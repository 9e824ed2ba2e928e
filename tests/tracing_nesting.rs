//! Do spans of `tracing`, by way of tracing-opentelemetry, nest below tasks, and tasks below them?
//!
//! They do in both directions, because that layer makes the context of a span the current one while
//! the span is entered, and takes the current context for the parent of a new span. It needs to be
//! left switched on (`with_context_activation`, the default) and a tracer of any provider.
//!
//! A subscriber is global here, as it is in programs, for the polls of all threads; so this is a
//! file of its own, and each test asks for the spans of its own trace only.
//!
//! What does not work: a guard of ours that is held across awaits *within* a future that was given to
//! `instrument`, or an `async fn` under `#[instrument]`. Those enter their span at each poll, after
//! the guard's, and so hide it from the second poll on. `#[telemetry_rt::span]` and `around` within
//! them are right, see the last test.
#![cfg(all(feature = "telemetry", feature = "macros"))]

mod observed;
mod spans;

use std::sync::OnceLock;

use observed::{Observed, on_each};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::SpanData;
use spans::{Users, current_id, lines, named, spawn_task, tree};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task::{LocalSet, yield_now};
use telemetry_rt::{span, span_builder};
use tracing::{Instrument, info_span, instrument};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::layer::SubscriberExt;

/// The provider to which the spans of `tracing` go.
fn users() -> &'static Users {
    static USERS: OnceLock<Users> = OnceLock::new();
    USERS.get_or_init(|| {
        let users = Users::new();
        let layer = OpenTelemetryLayer::new(users.tracer());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber).unwrap();
        users
    })
}

/// Runs a task named `task` on each flavour, and compares the tree of spans below it.
#[track_caller]
fn assert_tree<F>(work: impl Fn() -> F, expected: &str)
where
    F: Future<Output = ()> + Send + 'static,
{
    let users = users();
    on_each(|builder| {
        let observed = Observed::new(builder);
        let trace = observed.runtime.block_on(async {
            let work = work();
            let task = spawn_task(async {
                let trace = Context::current().span().span_context().trace_id();
                work.await;
                trace
            });
            task.await.unwrap()
        });
        let spans: Vec<SpanData> = users
            .with(&observed.end())
            .into_iter()
            .filter(|span| span.span_context.trace_id() == trace)
            .collect();
        assert_eq!(tree(&spans, "task"), lines(expected));
    });
}

#[instrument]
async fn fetches(id: u32) -> u32 {
    yield_now().await;
    named("spawned").spawn(parses()).await.unwrap();
    yield_now().await;
    named("hop").spawn_blocking(counts).await.unwrap();
    id
}

#[instrument]
async fn parses() {
    yield_now().await;
}

#[instrument]
fn counts() {}

#[test]
fn an_instrumented_function_is_below_its_task_and_above_what_it_spawns() {
    assert_tree(
        || async {
            fetches(1).await;
            counts();
        },
        "
        task
          counts
          fetches
            hop
              counts
            spawned
              parses
        ",
    );
}

#[test]
fn a_span_that_is_entered_is_above_what_is_spawned_in_it() {
    assert_tree(
        || async {
            let request = info_span!("request");
            let task = request.in_scope(|| named("spawned").spawn(async { counts() }));
            task.await.unwrap();
            let entered = info_span!("entered").entered();
            let hop = named("hop").spawn_blocking(|| ());
            drop(entered);
            hop.await.unwrap();
            counts();
        },
        "
        task
          counts
          entered
            hop
          request
            spawned
              counts
        ",
    );
}

#[test]
fn an_instrumented_future_is_right_across_awaits_and_side_by_side() {
    async fn step() {
        yield_now().await;
        counts();
        yield_now().await;
        named("spawned").spawn(yield_now()).await.unwrap();
    }

    assert_tree(
        || async {
            let here = current_id();
            tokio::join!(
                step().instrument(info_span!("left")),
                step().instrument(info_span!("right")),
            );
            assert_eq!(current_id(), here);
            counts();
        },
        "
        task
          counts
          left
            counts
            spawned
          right
            counts
            spawned
        ",
    );
}

#[test]
fn spans_of_both_kinds_alternate() {
    #[telemetry_rt::span]
    async fn ours() {
        yield_now().await;
        theirs().await;
    }

    #[instrument]
    async fn theirs() {
        yield_now().await;
        ours_again();
    }

    #[telemetry_rt::span]
    fn ours_again() {
        counts();
    }

    assert_tree(
        || async {
            let _guard = span("guard");
            yield_now().await;
            let work = async { named("spawned").spawn(ours()).await.unwrap() };
            work.instrument(info_span!("request")).await;
        },
        "
        task
          guard
            request
              spawned
                ours
                  theirs
                    ours_again
                      counts
        ",
    );
}

#[test]
fn local_tasks_and_what_is_blocked_on_are_below_the_span_that_is_entered() {
    async fn blocked_on() {
        let set = LocalSet::new();
        let local = async {
            let entered = info_span!("in set");
            let local = entered.in_scope(|| named("local").spawn_local(async { counts() }));
            local.await.unwrap();
        };
        set.run_until(local).await;
    }

    assert_tree(
        || async {
            let hop = named("hop").spawn_blocking(|| {
                let _entered = info_span!("in hop").entered();
                Handle::current().block_on(blocked_on());
            });
            hop.await.unwrap();
        },
        "
        task
          hop
            in hop
              blocked_on
                in set
                  local
                    counts
        ",
    );
}

#[test]
fn a_task_spawned_into_a_span_by_instrument_has_that_as_a_child() {
    // `spawn(future.instrument(span))`, as is the custom: the span exists before the task, whose
    // parent is the spawner; the span's is so, too. They are siblings.
    assert_tree(
        || async {
            let work = async { counts() }.instrument(info_span!("work"));
            named("spawned").spawn(work).await.unwrap();
        },
        "
        task
          spawned
          work
            counts
        ",
    );
}

#[test]
fn a_span_may_be_given_the_task_as_its_parent_by_hand() {
    assert_tree(
        || async {
            let context = Context::current();
            let task = named("other").spawn(async move {
                let linked = info_span!("by hand");
                linked.set_parent(context).unwrap();
                linked.in_scope(counts);
            });
            task.await.unwrap();
        },
        "
        task
          by hand
            counts
          other
        ",
    );
}

#[test]
fn a_guard_within_an_instrumented_future_is_hidden_after_an_await_unless_it_has_an_owner() {
    assert_tree(
        || async {
            let guarded = async {
                let _guard = span("hidden");
                drop(span("first poll"));
                yield_now().await;
                drop(span("second poll"));
            };
            guarded.instrument(info_span!("without")).await;
            let guarded = async {
                let _guard = span("seen");
                yield_now().await;
                counts();
            };
            let owned = span_builder("owner").around(guarded);
            owned.instrument(info_span!("with")).await;
        },
        "
        task
          with
            owner
              seen
                counts
          without
            hidden
              first poll
            second poll
        ",
    );
}

#[test]
fn a_subscriber_of_one_thread_is_seen_by_the_tasks_of_a_runtime_on_it() {
    users();
    let own = Users::new();
    let layer = OpenTelemetryLayer::new(own.tracer());
    let subscriber = tracing_subscriber::registry().with(layer);
    let observed = Observed::new(Builder::new_current_thread());
    tracing::subscriber::with_default(subscriber, || {
        observed.runtime.block_on(async {
            spawn_task(parses()).await.unwrap();
        });
    });
    let spans = own.with(&observed.end());
    assert_eq!(tree(&spans, "task"), "task\n  parses\n");
}
