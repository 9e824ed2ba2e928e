//! Are spans that are held open across awaits where they belong? Guards and `#[span]`, side by side
//! in one task, moved between threads and tasks, dropped in any order and for any reason.
#![cfg(all(feature = "telemetry", feature = "macros"))]

mod observed;
mod spans;

use std::future::pending;
use std::num::ParseIntError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, ThreadId};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use observed::{Observed, number, on_each, text};
use opentelemetry::trace::{
    FutureExt, Link, SpanId, SpanKind, Status, TraceContextExt, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use spans::{current_id, lines, named, run_task, spawn_task, tree};
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{LocalSet, spawn_blocking, spawn_local, yield_now};
use telemetry_rt::{SpanBuilder, SpanGuard, span, span_builder};
use tokio::sync::oneshot;

fn id_of(guard: &SpanGuard) -> SpanId {
    guard.context().span().span_context().span_id()
}

fn error(description: &'static str) -> Status {
    Status::error(description)
}

#[test]
fn guards_and_builders_go_anywhere() {
    fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    anywhere::<SpanGuard>();
    anywhere::<SpanBuilder>();
}

// ----- one task -----

#[test]
fn a_guard_is_current_across_awaits_until_it_is_dropped() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            let load = span("load");
            yield_now().await;
            {
                let _parse = span(format!("parse {}", 1));
                yield_now().await;
                named("child").spawn(yield_now()).await.unwrap();
                drop(span("below parse"));
            }
            yield_now().await;
            named("hop")
                .spawn_blocking(|| drop(span("in hop")))
                .await
                .unwrap();
            drop(load);
            yield_now().await;
            drop(span("after"));
        });
        let expected = "
            task
              after
              load
                hop
                  in hop
                parse 1
                  below parse
                  child
            ";
        assert_eq!(tree(&seen.spans, "task"), lines(expected));
    });
}

#[test]
fn guards_may_be_dropped_in_any_order_with_and_without_awaits_between() {
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    on_each(|builder| {
        run_task(builder, async {
            let task = current_id();
            for (order, awaits) in ORDERS
                .iter()
                .flat_map(|order| (0..16).map(move |a| (order, a)))
            {
                let mut guards = [const { None::<SpanGuard> }; 3];
                for guard in &mut guards {
                    *guard = Some(span("guard"));
                }
                for (step, guard) in order.iter().enumerate() {
                    if awaits & (1 << step) != 0 {
                        yield_now().await;
                    }
                    guards[*guard] = None;
                    let innermost = guards.iter().rev().flatten().next();
                    assert_eq!(current_id(), innermost.map_or(task, id_of), "{order:?}");
                    if awaits & 8 != 0 {
                        yield_now().await;
                    }
                    assert_eq!(current_id(), innermost.map_or(task, id_of), "{order:?}");
                }
            }
        });
    });
}

#[test]
fn a_guard_below_a_context_that_the_user_attached_does_not_come_up_above_it() {
    run_task(Builder::new_current_thread(), async {
        let (first, second) = (span("first"), span("second"));
        yield_now().await;
        let of_first = first.context().span().span_context().clone();
        let attached = Context::new().with_remote_span_context(of_first).attach();
        let here = current_id();
        drop(second);
        assert_eq!(current_id(), here);
        drop(attached);
        assert_eq!(current_id(), id_of(&first));
    });
}

#[test]
fn attributes_errors_and_the_place_are_on_the_span() {
    let seen = run_task(Builder::new_current_thread(), async {
        let parse = |text: &str| text.parse::<u8>().unwrap_err();
        let handled = span("handled");
        handled.record_error(&parse("one"));
        handled.set_attribute("id", 2);
        let failed = span_builder("failed")
            .with("id", 3)
            .with("who", "ada")
            .open();
        failed.set_error(&parse("two"));
        let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(parse("three"));
        span("of any type").set_error(&*boxed);
    });
    let handled = seen.named("handled");
    assert_eq!(number(handled, "id"), 2);
    assert_eq!(handled.status, Status::Unset);
    assert_eq!(handled.events[0].name, "exception");
    assert_eq!(text(handled, "error.type"), "");
    assert!(text(handled, "code.file.path").ends_with("scopes.rs"));
    assert!(number(handled, "code.line.number") > 100);

    let failed = seen.named("failed");
    let message = "invalid digit found in string";
    assert_eq!((number(failed, "id"), &*text(failed, "who")), (3, "ada"));
    assert_eq!(
        text(failed, "error.type"),
        std::any::type_name::<ParseIntError>()
    );
    assert_eq!(failed.status, error(message));
    let attributes: Vec<_> = failed.events[0].attributes.iter().collect();
    let expected = KeyValue::new("exception.message", message);
    assert!(attributes.contains(&&expected), "{attributes:?}");
    assert_eq!(
        text(seen.named("of any type"), "error.type"),
        "dyn core::error::Error"
    );
}

#[test]
fn a_sampler_sees_the_attributes_that_a_span_begins_with() {
    #[derive(Clone, Debug)]
    struct Wanted;

    impl ShouldSample for Wanted {
        fn should_sample(
            &self,
            _: Option<&Context>,
            _: TraceId,
            _: &str,
            _: &SpanKind,
            attributes: &[KeyValue],
            _: &[Link],
        ) -> SamplingResult {
            let wanted = attributes.contains(&KeyValue::new("wanted", true));
            SamplingResult {
                decision: match wanted {
                    true => SamplingDecision::RecordAndSample,
                    false => SamplingDecision::Drop,
                },
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            }
        }
    }

    let observed = Observed::with(&mut Builder::new_current_thread(), |otel| {
        otel.sampler(Wanted)
    });
    let seen = observed.run(async {
        drop(span_builder("wanted").with("wanted", true).open());
        span("too late").set_attribute("wanted", true);
    });
    assert_eq!(seen.spans.len(), 1);
    seen.named("wanted");
}

#[test]
fn where_telemetry_is_suppressed_a_guard_changes_nothing_and_ends_nothing() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            let suppressed = Context::current().with_telemetry_suppressed();
            let task = current_id();
            let work = async {
                let guard = span("suppressed");
                guard.set_attribute("of nobody", true);
                yield_now().await;
                assert_eq!(current_id(), task);
                assert!(Context::is_current_telemetry_suppressed());
            };
            let work = span_builder("suppressed").around(work);
            work.with_context(suppressed).await;
            Context::current().span().update_name("not ended");
        });
        assert_eq!(text(seen.named("not ended"), "of nobody"), "");
        assert!(seen.spans.iter().all(|span| span.name != "suppressed"));
    });
}

#[test]
fn outside_of_a_runtime_a_guard_goes_to_the_global_provider_and_above_what_is_blocked_on() {
    let before = current_id();
    let guard = span("nobody takes it");
    assert!(!guard.context().span().span_context().is_valid());
    drop(guard);
    assert_eq!(current_id(), before);
    on_each(|builder| {
        let observed = Observed::new(builder);
        {
            let _entered = observed.runtime.enter();
            let outside = span("outside");
            observed.runtime.block_on(async {
                named("inside").spawn(yield_now()).await.unwrap();
                let _own = span("own");
                yield_now().await;
            });
            assert_eq!(current_id(), id_of(&outside));
        }
        let seen = observed.end();
        let root =
            "outside_of_a_runtime_a_guard_goes_to_the_global_provider_and_above_what_is_blocked_on";
        seen.assert_child(root, "outside");
        seen.assert_child("inside", root);
        seen.assert_child("own", root);
    });
}

// ----- panics and cancellation -----

#[test]
fn a_panic_that_unwinds_through_a_guard_marks_its_span() {
    struct OpensInDrop;

    impl Drop for OpensInDrop {
        fn drop(&mut self) {
            drop(span("in destructor"));
        }
    }

    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let task = spawn_task(async {
                let _held = span("held");
                yield_now().await;
                let _caught = catch_unwind(AssertUnwindSafe(|| {
                    let _inner = span("inner");
                    let _opens = OpensInDrop;
                    panic!("boom")
                }));
                drop(span("after"));
                panic!("again")
            });
            task.await.unwrap_err();
        });
        let state = |name| {
            let span = seen.named(name);
            (text(span, "error.type"), span.status.clone())
        };
        let panicked = || ("panic".to_owned(), error("panicked"));
        let fine = || (String::new(), Status::Unset);
        assert_eq!(state("held"), panicked());
        assert_eq!(state("inner"), panicked());
        assert_eq!(state("after"), fine());
        assert_eq!(state("in destructor"), fine());
        seen.assert_child("in destructor", "inner");
    });
}

#[test]
fn the_guards_of_an_aborted_task_end_with_it_and_are_no_errors() {
    #[span]
    async fn never() {
        let _within = span("within");
        let _last = Last;
        pending().await
    }

    /// What a destructor does when the task is dropped is where it would be if it ran.
    struct Last;

    impl Drop for Last {
        fn drop(&mut self) {
            drop(span("in destructor"));
        }
    }

    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let (started, has_started) = oneshot::channel();
            let task = spawn_task(async {
                let _held = span("held");
                started.send(()).unwrap();
                never().await;
            });
            has_started.await.unwrap();
            yield_now().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_ne!(current_id(), SpanId::INVALID);
        });
        let expected = "
            task
              held
                never
                  within
                    in destructor
            ";
        assert_eq!(tree(&seen.spans, "task"), lines(expected));
        for name in ["held", "never", "within"] {
            assert_eq!(seen.named(name).status, Status::Unset);
        }
    });
}

// ----- side by side in one task -----

/// Holds a guard across awaits, with something below it before and after, and lets others have
/// their turn in between.
#[span(name = "branch", attributes(number = number))]
async fn branch(number: i64) -> i64 {
    held(number).await
}

async fn held(number: i64) -> i64 {
    let branch = current_id();
    let guard = span_builder("guard").with("number", number).open();
    for _ in 0..3 {
        yield_now().await;
        assert_eq!(current_id(), id_of(&guard));
        drop(span_builder("leaf").with("number", number).open());
    }
    let task = span_builder("child").with("number", number).around(async {
        telemetry_rt::spawn(yield_now()).await.unwrap();
    });
    task.await;
    drop(guard);
    assert_eq!(current_id(), branch);
    yield_now().await;
    assert_eq!(current_id(), branch);
    number
}

/// Each branch hangs below `above`, and has its own guard, leaves and children.
#[track_caller]
fn assert_separate(seen: &observed::Seen, above: &str, branches: i64) {
    let above = seen.named(above).span_context.span_id();
    let of = |name: &'static str, branch: i64| {
        let of_name = seen.spans.iter().filter(move |span| span.name == name);
        of_name.filter(move |span| number(span, "number") == branch)
    };
    for number in 0..branches {
        let one = |name| {
            let found: Vec<_> = of(name, number).collect();
            assert_eq!(found.len(), 1, "{name} {number}");
            (found[0].parent_span_id, found[0].span_context.span_id())
        };
        let (branch, guard, child) = (one("branch"), one("guard"), one("child"));
        assert_eq!(branch.0, above);
        assert_eq!(guard.0, branch.1);
        assert_eq!(child.0, guard.1);
        assert_eq!(of("leaf", number).count(), 3);
        assert!(of("leaf", number).all(|leaf| leaf.parent_span_id == guard.1));
        let grandchildren = seen.spans.iter();
        let grandchildren = grandchildren.filter(|span| span.parent_span_id == child.1);
        assert_eq!(grandchildren.count(), 1);
    }
}

#[test]
fn the_branches_of_a_join_do_not_see_one_anothers_guards() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            let _above = span("above");
            tokio::join!(branch(0), branch(1), async { branch(2).await });
        });
        assert_separate(&seen, "above", 3);
    });
}

#[test]
fn blocks_of_a_join_are_separate_with_a_span_around_each() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            let around = |number| {
                let branch = span_builder("branch").with("number", number);
                branch.around(held(number))
            };
            tokio::join!(around(0), around(1));
            drop(span("after"));
        });
        assert_separate(&seen, "task", 2);
        seen.assert_child("after", "task");
    });
}

#[test]
fn many_futures_of_one_task_are_separate() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            let mut all: FuturesUnordered<_> = (0..20).map(branch).collect();
            let mut sum = 0;
            while let Some(number) = all.next().await {
                sum += number;
            }
            assert_eq!(sum, 190);
        });
        assert_separate(&seen, "task", 20);
    });
}

#[test]
fn the_loser_of_a_select_ends_and_leaves_nothing_behind() {
    #[span]
    async fn loser() {
        let _guard = span("guard of loser");
        pending().await
    }

    #[span]
    async fn winner() {
        let _guard = span("guard of winner");
        yield_now().await;
        drop(span("leaf"));
    }

    on_each(|builder| {
        let seen = run_task(builder, async {
            let here = current_id();
            tokio::select! {
                biased;
                () = loser() => unreachable!("it never ends"),
                () = winner() => assert_eq!(current_id(), here),
            }
            assert_eq!(current_id(), here);
            drop(span("after"));
        });
        let expected = "
            task
              after
              loser
                guard of loser
              winner
                guard of winner
                  leaf
            ";
        assert_eq!(tree(&seen.spans, "task"), lines(expected));
        let end = |name| seen.named(name).end_time;
        assert!(end("loser") <= end("after") && end("guard of loser") <= end("loser"));
    });
}

#[test]
fn plain_branches_share_their_task_and_nest_as_they_were_opened() {
    let seen = run_task(Builder::new_current_thread(), async {
        let hold = async |name: &'static str| {
            let _guard = span(name);
            yield_now().await;
        };
        tokio::join!(hold("first"), hold("second"));
        drop(span("after"));
    });
    let expected = "
        task
          after
          first
            second
        ";
    assert_eq!(tree(&seen.spans, "task"), lines(expected));
}

#[test]
fn interleaved_local_tasks_are_separate_from_one_another_and_from_the_task_around_them() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let _outer = span("outer");
            let set = LocalSet::new();
            let above = span("above");
            let tasks: Vec<_> = (0..5)
                .map(|number| named("local").spawn_local_on(branch(number), &set))
                .collect();
            drop(above);
            let here = current_id();
            set.run_until(async {
                for task in tasks {
                    task.await.unwrap();
                    assert_eq!(current_id(), here);
                }
            })
            .await;
            assert_eq!(current_id(), here);
        });
        let above = seen.named("above").span_context.span_id();
        let tasks = seen
            .spans
            .iter()
            .filter(|span| span.parent_span_id == above);
        let tasks: Vec<_> = tasks.map(|span| span.span_context.span_id()).collect();
        assert_eq!(tasks.len(), 5);
        assert_eq!(
            tasks.len(),
            seen.spans
                .iter()
                .filter(|span| span.name == "local")
                .count()
        );
        let branches = seen.spans.iter().filter(|span| span.name == "branch");
        let mut parents: Vec<_> = branches.map(|span| span.parent_span_id).collect();
        parents.sort_by_key(|id| tasks.iter().position(|task| task == id));
        assert_eq!(parents, tasks);
        let guards = seen.spans.iter().filter(|span| span.name == "guard");
        for guard in guards {
            let parent = seen.spans.iter();
            let parent = parent.filter(|span| span.span_context.span_id() == guard.parent_span_id);
            assert!(parent.clone().all(|span| span.name == "branch"));
            assert_eq!(parent.count(), 1);
        }
    });
}

// ----- guards that travel -----

#[test]
fn a_guard_stays_with_its_task_when_that_moves_to_another_worker() {
    let mut two = Builder::new_multi_thread();
    let observed = Observed::new({
        two.worker_threads(2);
        two
    });
    let (opened, has_opened) = mpsc::channel();
    let (go_on, may_go_on) = oneshot::channel();
    let moving = observed.runtime.spawn(async move {
        let guard = span("held");
        opened.send(thread::current().id()).unwrap();
        may_go_on.await.unwrap();
        assert_eq!(current_id(), id_of(&guard));
        drop(span("below"));
        thread::current().id()
    });
    let first: ThreadId = has_opened.recv().unwrap();

    // Both workers are blocked, and only the other one is let go.
    let barrier = Arc::new(Barrier::new(3));
    let blocked: Vec<_> = (0..2)
        .map(|_| {
            let (release, released) = mpsc::channel::<()>();
            let (tell, thread) = mpsc::channel();
            let barrier = Arc::clone(&barrier);
            observed.runtime.spawn(async move {
                tell.send(thread::current().id()).unwrap();
                barrier.wait();
                // Until the sender is dropped.
                let _ = released.recv();
            });
            (release, thread)
        })
        .collect();
    barrier.wait();
    let (stays, goes): (Vec<_>, Vec<_>) = blocked
        .into_iter()
        .partition(|(_, thread)| thread.recv().unwrap() == first);
    assert_eq!((stays.len(), goes.len()), (1, 1));
    drop(goes);
    go_on.send(()).unwrap();
    let second = observed.runtime.block_on(moving).unwrap();
    assert_ne!(first, second);
    drop(stays);
    let seen = observed.end();
    seen.assert_child("below", "held");
}

#[test]
fn a_guard_may_be_sent_to_another_task_and_dropped_there() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let (send, receive) = oneshot::channel();
            let (dropped, is_dropped) = oneshot::channel();
            let opener = spawn_task(async {
                let task = current_id();
                let guard = span("sent");
                yield_now().await;
                assert!(send.send(guard).is_ok());
                is_dropped.await.unwrap();
                assert_eq!(current_id(), task);
                drop(span("after"));
            });
            let other = named("other").root().spawn(async {
                let other = current_id();
                let guard = receive.await.unwrap();
                // To hold it does not make it this task's.
                yield_now().await;
                assert_eq!(current_id(), other);
                drop(guard);
                dropped.send(()).unwrap();
            });
            opener.await.unwrap();
            other.await.unwrap();
        });
        let expected = "
            task
              after
              sent
            ";
        assert_eq!(tree(&seen.spans, "task"), lines(expected));
    });
}

#[test]
fn a_guard_may_outlive_its_task_and_end_on_the_blocking_pool() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            let held = named("opener").spawn(async { span("held") }).await.unwrap();
            let task = current_id();
            spawn_blocking(move || drop(held)).await.unwrap();
            assert_eq!(current_id(), task);
        });
        seen.assert_child("held", "opener");
    });
}

#[test]
fn a_guard_may_be_dropped_within_a_span_further_in_and_is_gone_at_once() {
    #[span]
    async fn takes(guard: SpanGuard) {
        yield_now().await;
        drop(guard);
        drop(span("within"));
    }

    #[span]
    fn takes_sync(guard: SpanGuard) {
        drop(guard);
        drop(span("within sync"));
    }

    on_each(|builder| {
        let seen = run_task(builder, async {
            let task = current_id();
            takes(span("given")).await;
            assert_eq!(current_id(), task);
            let sync = span("given to sync");
            yield_now().await;
            takes_sync(sync);
            assert_eq!(current_id(), task);
        });
        let expected = "
            task
              given
                takes
                  within
              given to sync
                takes_sync
                  within sync
            ";
        assert_eq!(tree(&seen.spans, "task"), lines(expected));
    });
}

#[test]
fn a_guard_that_a_function_returns_is_its_callers() {
    #[span]
    async fn begins() -> SpanGuard {
        yield_now().await;
        span("returned")
    }

    #[span]
    fn begins_sync() -> SpanGuard {
        span("returned by sync")
    }

    let seen = run_task(Builder::new_current_thread(), async {
        let task = current_id();
        let guard = begins().await;
        // It belongs to the function, which has ended.
        assert_eq!(current_id(), task);
        drop(guard);
        let guard = begins_sync();
        yield_now().await;
        assert_eq!(current_id(), id_of(&guard));
        drop(guard);
        assert_eq!(current_id(), task);
    });
    seen.assert_child("returned", "begins");
    seen.assert_child("returned by sync", "begins_sync");
}

#[test]
fn a_local_task_may_drop_a_guard_of_the_task_around_it() {
    let seen = Observed::new(Builder::new_current_thread()).run(async {
        let here = current_id();
        let guard = span("given");
        let set = LocalSet::new();
        set.run_until(async {
            // As it would be in a poll of the set, further in.
            spawn_local(async move {
                yield_now().await;
                drop(guard);
            })
            .await
            .unwrap();
            assert_eq!(current_id(), here);
        })
        .await;
        assert_eq!(current_id(), here);
    });
    seen.named("given");
}

#[test]
fn a_guard_in_a_thread_local_ends_with_its_thread() {
    std::thread_local! {
        static KEPT: std::cell::RefCell<Option<SpanGuard>> = const { std::cell::RefCell::new(None) };
    }
    thread::spawn(|| {
        // First used before the contexts, and so destroyed after them.
        KEPT.set(None);
        KEPT.set(Some(span("kept")));
    })
    .join()
    .unwrap();
}
