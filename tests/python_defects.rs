//! What Python's asyncio instrumentor gets wrong, coming out right.
//!
//! opentelemetry-instrumentation-asyncio wraps functions of asyncio from outside. Its defects were
//! found by running it; each that can happen to a Rust program has a test here, marked `D1` to `D11`.
//! What it does not record at all stands at the end. `docs/asks.md` has the list.
#![cfg(all(feature = "telemetry", feature = "macros"))]

mod observed;

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use observed::{
    CANCELLED, FINISHED, Observed, Seen, attribute, has_ended, idle, in_event, live, number,
    on_each, series, text, wait_until,
};
use opentelemetry::trace::{TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use telemetry_rt::otel::{HistogramPoint, MetricData, NameList, Otel, OtelBuilder};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task::{self, JoinHandle, JoinSet, LocalSet, yield_now};
use telemetry_rt::time::error::Elapsed;
use telemetry_rt::time::{sleep, timeout};
use tokio::sync::oneshot;

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

// ----- D1: the span of a task is never made current -----

// D1: tasks, blocking calls and spans of users hang below the root instead of the task.
#[test]
fn what_a_task_starts_hangs_below_the_task() {
    #[telemetry_rt::span]
    async fn work() {
        yield_now().await;
        named("below work").spawn(async {}).await.unwrap();
    }
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let outer = named("outer").spawn(async {
                yield_now().await;
                named("child").spawn(async {}).await.unwrap();
                named("call").spawn_blocking(|| ()).await.unwrap();
                let mut group = JoinSet::new();
                group.build_task().name("member").spawn(async {});
                group.join_next().await;
                work().await;
            });
            outer.await.unwrap();
        });
        for child in ["child", "call", "member", "work"] {
            seen.assert_child(child, "outer");
        }
        seen.assert_child("below work", "work");
    });
}

// D1: attributes that a task sets end up on the root.
#[test]
fn attributes_that_a_task_sets_are_on_its_own_span() {
    let seen = Observed::one_thread().run(async {
        let task = named("task").spawn(async {
            yield_now().await;
            let context = Context::current();
            context.span().set_attribute(KeyValue::new("order", 7));
        });
        task.await.unwrap();
    });
    let with_order = seen
        .spans
        .iter()
        .filter(|span| attribute(&span.attributes, "order").is_some());
    let names: Vec<_> = with_order.map(|span| &*span.name).collect();
    assert_eq!(names, ["task"]);
}

// D1: a blocking call that outlives its cancelled caller loses its parent.
#[test]
fn a_blocking_call_keeps_its_parent_when_the_caller_is_cancelled_meanwhile() {
    let seen = Observed::one_thread().run(async {
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = oneshot::channel();
        let caller = named("caller").spawn(async {
            let call = named("call").spawn_blocking(move || released.recv().unwrap());
            tell.send(call.abort_handle()).unwrap();
            call.await.unwrap();
        });
        let call = told.await.unwrap();
        caller.abort();
        caller.await.unwrap_err();
        release.send(()).unwrap();
        has_ended(&call).await;
    });
    seen.assert_child("call", "caller");
    assert_eq!(seen.end_of("caller"), CANCELLED);
    assert_eq!(seen.end_of("call"), FINISHED);
}

// D1: exemplars point at the root instead of the task.
#[test]
fn an_exemplar_points_at_the_span_of_the_process_that_was_measured() {
    let seen = Observed::one_thread().run(async {
        named("task").spawn(work()).await.unwrap();
    });
    let mut points = seen.durations().iter();
    let of_task = points.find(|point| series(&point.attributes).1 == "task");
    let [exemplar] = of_task.unwrap().exemplars[..] else {
        panic!("not one exemplar in {of_task:?}");
    };
    let span = &seen.named("task").span_context;
    assert_eq!(exemplar.trace_id, span.trace_id());
    assert_eq!(exemplar.span_id, span.span_id());
}

// ----- D2: recorded from the first step only, counted at the end -----

// D2: a task that is cancelled before its first step has no span and no point.
#[test]
fn a_task_that_is_cancelled_before_its_first_poll_is_recorded_and_took_no_time() {
    let seen = Observed::one_thread().run(async {
        let task = named("cancelled").spawn(async {});
        task.abort();
        task.await.unwrap_err();
        let mut group = JoinSet::new();
        group.build_task().name("sibling").spawn(async {});
        drop(group);
        yield_now().await;
    });
    for name in ["cancelled", "sibling"] {
        assert_eq!(seen.end_of(name), CANCELLED);
        let span = seen.named(name);
        assert_eq!(number(span, "task.polls"), 0);
        assert_eq!(number(span, "task.idle_ns"), 0);
    }
}

// D2: a limit of zero cancels the task before it is ever seen.
#[test]
fn a_task_whose_joiner_does_not_wait_at_all_is_recorded() {
    let seen = Observed::one_thread().run(async {
        let task = named("unwaited").spawn(sleep(Duration::from_millis(1)));
        let ended = task.abort_handle();
        timeout(Duration::ZERO, task).await.unwrap_err();
        has_ended(&ended).await;
    });
    // Unlike asyncio's, a joiner that gives up does not cancel.
    assert_eq!(seen.end_of("unwaited"), FINISHED);
}

// D2: what waits to run, and for how long, is not to be seen.
#[test]
fn the_time_before_the_first_poll_belongs_to_the_task() {
    let seen = Observed::one_thread().run(async {
        let late = named("late").spawn(async {});
        std::thread::sleep(Duration::from_millis(20));
        late.await.unwrap();
    });
    let scheduled = number(seen.named("late"), "task.scheduled_ns");
    assert!(scheduled >= 19_000_000, "{scheduled} ns");
}

// ----- D3: only ordinary exceptions are seen -----

// D3: what unwinds and is no ordinary exception leaves `finished`.
#[test]
fn a_panic_of_any_payload_is_an_exception_and_never_a_finish() {
    let seen = Observed::one_thread().run(async {
        let text = named("text").spawn(async { panic!("no") });
        text.await.unwrap_err();
        let other = named("other").spawn(async { panic::panic_any(7) });
        other.await.unwrap_err();
    });
    for name in ["text", "other"] {
        let end = seen.end_of(name);
        assert!(
            end.starts_with("exception [panic] error: panicked"),
            "{end}"
        );
        assert!(end.ends_with("[\"exception\"]"), "{end}");
    }
}

// D3: a task that is pending when the loop closes leaves `finished`.
#[test]
fn a_task_that_is_pending_when_the_runtime_goes_is_cancelled() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        drop(named("pending").spawn_on(pending::<()>(), observed.runtime.handle()));
        assert_eq!(observed.end().end_of("pending"), CANCELLED);
    });
}

// ----- D4: a timeout looks like a cancellation -----

// D4: the one whose time is up is `cancelled`.
#[test]
fn a_task_whose_time_is_up_is_a_timeout_and_an_error() {
    async fn slow() -> Result<u8, Elapsed> {
        timeout(Duration::from_millis(1), pending()).await
    }
    let seen = Observed::one_thread().run(async {
        named("whole").spawn(slow()).await.unwrap().unwrap_err();
        // The limit is the task's future itself, and its name that of what is limited.
        let limited = timeout(Duration::from_millis(1), pending::<()>());
        named("limit").spawn(limited).await.unwrap().unwrap_err();
        // What was limited is dropped, but the task goes on and ends well.
        let coping = named("coping").spawn(async { slow().await.unwrap_or(7) });
        assert_eq!(coping.await.unwrap(), 7);
    });
    let timed_out = "timeout [telemetry_rt::time::error::Elapsed] error: its time was up []";
    assert_eq!(seen.end_of("whole"), timed_out);
    assert_eq!(seen.end_of("limit"), timed_out);
    assert_eq!(seen.end_of("coping"), FINISHED);
}

// ----- D5: entry points that are not patched -----

/// Type and name of every process, and how many there were. All have ended well.
fn processes(seen: &Seen) -> BTreeMap<(String, String), i64> {
    let counts = seen.counts().into_iter();
    counts
        .map(|((process_type, name, state, _), count)| {
            assert_eq!(state, "finished", "{name}");
            ((process_type, name), count)
        })
        .collect()
}

#[track_caller]
fn assert_processes(seen: &Seen, expected: &[(&str, &str, i64)]) {
    let expected = expected
        .iter()
        .map(|&(process_type, name, count)| ((process_type.into(), name.into()), count));
    assert_eq!(processes(seen), expected.collect());
    let spans = i64::try_from(seen.spans.len()).unwrap();
    assert_eq!(spans, processes(seen).values().sum::<i64>());
}

async fn work() {}

async fn everything() {
    task::spawn(work()).await.unwrap();
    named("of a builder").spawn(work()).await.unwrap();
    named("on a handle")
        .spawn_on(work(), &Handle::current())
        .await
        .unwrap();
    Handle::current().spawn(work()).await.unwrap();
    task::spawn_blocking(|| ()).await.unwrap();
    named("call").spawn_blocking(|| ()).await.unwrap();
    Handle::current().spawn_blocking(|| ()).await.unwrap();
}

// D5: only eight patched functions are seen.
#[test]
fn each_way_to_spawn_is_recorded_once() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(everything());
        assert_processes(
            &seen,
            &[
                ("blocking", "call", 1),
                ("blocking", "everything", 2),
                ("future", "everything", 1),
                ("task", "of a builder", 1),
                ("task", "on a handle", 1),
                ("task", "work", 2),
            ],
        );
    });
}

// D5: the main coroutine of `asyncio.run` is not seen.
#[test]
fn the_root_future_is_a_process_on_each_way_in() {
    let observed = Observed::one_thread();
    observed.runtime.block_on(work());
    observed.runtime.handle().block_on(work());
    LocalSet::new().block_on(&observed.runtime, work());
    observed
        .runtime
        .block_on(observed.runtime.spawn(work()))
        .unwrap();
    let seen = observed.end();
    assert_processes(
        &seen,
        &[
            ("future", "JoinHandle", 1),
            ("future", "work", 3),
            ("task", "work", 1),
        ],
    );
}

// D5: `tg.create_task(coro=…)` and `wait` over a set are not seen.
#[test]
fn each_way_into_a_set_of_tasks_is_recorded_once() {
    let seen = Observed::one_thread().run(LocalSet::new().run_until(async {
        let mut set = JoinSet::new();
        set.spawn(work());
        set.spawn_on(work(), &Handle::current());
        set.spawn_local(work());
        set.spawn_blocking(|| ());
        set.spawn_blocking_on(|| (), &Handle::current());
        set.build_task().name("built").spawn(work());
        while set.join_next().await.is_some() {}
    }));
    let test = "each_way_into_a_set_of_tasks_is_recorded_once";
    assert_processes(
        &seen,
        &[
            ("blocking", test, 2),
            ("future", test, 1),
            ("task", "built", 1),
            ("task", "work", 3),
        ],
    );
}

// D5: tasks of loops of one's own are not seen.
#[test]
fn each_way_onto_a_local_set_is_recorded_once() {
    let observed = Observed::one_thread();
    let set = LocalSet::new();
    let before = set.spawn_local(work());
    let built = named("built").spawn_local_on(work(), &set);
    set.block_on(&observed.runtime, async {
        before.await.unwrap();
        built.await.unwrap();
        task::spawn_local(work()).await.unwrap();
        named("within").spawn_local(work()).await.unwrap();
    });
    let seen = observed.end();
    let test = "each_way_onto_a_local_set_is_recorded_once";
    assert_processes(
        &seen,
        &[
            ("future", test, 1),
            ("task", "built", 1),
            ("task", "within", 1),
            ("task", "work", 2),
        ],
    );
}

// D5: what other threads hand over has to be wrapped by `run_coroutine_threadsafe`.
#[test]
fn tasks_of_foreign_threads_are_recorded_below_what_is_current_there() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let (tracer_handle, entered) = (handle.clone(), handle.clone());
        let outer = std::thread::spawn(move || {
            use opentelemetry::trace::TracerProvider;
            let tracer = provider.tracer("foreign");
            let outer = tracer.in_span("outer", |context| {
                let task = named("below").spawn_on(work(), &tracer_handle);
                (context.span().span_context().span_id(), task)
            });
            let _entered = entered.enter();
            drop(task::spawn(work()));
            outer
        });
        let (outer, task) = outer.join().unwrap();
        observed.runtime.block_on(task).unwrap();
        let root = handle.spawn(work());
        observed.runtime.block_on(root).unwrap();
        let seen = observed.end();
        assert_eq!(seen.named("below").parent_span_id, outer);
        assert_processes(
            &seen,
            &[
                ("future", "JoinHandle", 2),
                ("task", "below", 1),
                ("task", "work", 2),
            ],
        );
    });
}

// D5: `shield(coro)` is not seen.
#[test]
fn a_task_whose_handle_was_dropped_is_recorded_to_its_end() {
    let seen = Observed::one_thread().run(async {
        let (tell, told) = oneshot::channel();
        let waiting = named("waiting").spawn(async {
            // Detached: the one who waits may be cancelled, the work goes on.
            let shielded = named("shielded").spawn(sleep(Duration::from_millis(1)));
            tell.send(shielded.abort_handle()).unwrap();
            shielded.await.unwrap();
        });
        let detached = named("detached").spawn(work()).abort_handle();
        let shielded = told.await.unwrap();
        waiting.abort();
        has_ended(&shielded).await;
        has_ended(&detached).await;
    });
    assert_eq!(seen.end_of("waiting"), CANCELLED);
    assert_eq!(seen.end_of("shielded"), FINISHED);
    assert_eq!(seen.end_of("detached"), FINISHED);
    seen.assert_child("shielded", "waiting");
}

// D5: bare futures, custom awaitables and generators are not seen.
#[test]
fn tasks_that_are_no_functions_are_recorded() {
    let seen = Observed::one_thread().run(async {
        task::spawn(ready(1)).await.unwrap();
        task::spawn(work().boxed()).await.unwrap();
        task::spawn(work().map(|()| 1)).await.unwrap();
        task::spawn(task::spawn(work())).await.unwrap().unwrap();
    });
    let test = "tasks_that_are_no_functions_are_recorded";
    assert_processes(
        &seen,
        &[
            ("future", test, 1),
            ("task", "JoinHandle", 1),
            ("task", "Map", 1),
            ("task", "Ready", 1),
            ("task", "dyn Future", 1),
            ("task", "work", 1),
        ],
    );
}

// D5: `as_completed` and `wait` see some of what they are given.
#[cfg(feature = "tokio-io")]
#[test]
fn branches_of_select_and_join_are_no_processes_but_what_they_spawn_is() {
    let seen = Observed::one_thread().run(async {
        let spawner = named("spawner").spawn(async {
            telemetry_rt::join!(
                async { named("left").spawn(work()).await.unwrap() },
                async { named("right").spawn(work()).await.unwrap() },
            );
            telemetry_rt::select! {
                done = named("chosen").spawn(work()) => done.unwrap(),
                () = pending() => unreachable!("never ready"),
            }
        });
        spawner.await.unwrap();
    });
    for name in ["left", "right", "chosen"] {
        seen.assert_child(name, "spawner");
    }
    assert_eq!(processes(&seen).values().sum::<i64>(), 5);
}

// ----- D6: what never resolves is never ended -----

// D6: a span that was started for a future that never resolves leaks.
#[test]
fn a_future_that_never_resolves_ends_as_cancelled_when_it_is_dropped() {
    let seen = Observed::one_thread().run(async {
        let (kept, never) = futures_util::future::abortable(pending::<()>());
        drop(named("never").spawn(kept));
        yield_now().await;
        std::mem::forget(never);
    });
    assert_eq!(seen.end_of("never"), CANCELLED);
    assert_eq!(number(seen.named("never"), "task.polls"), 1);
}

// ----- D7: recording has side effects -----

// D7: that the recorder looks at the exception silences "never retrieved".
#[test]
fn a_panic_still_reaches_the_hook_of_the_program_once_and_its_joiner_whole() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    const PAYLOAD: &str = "heard of by the hook";
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() == Some(PAYLOAD) {
            HEARD.fetch_add(1, Ordering::SeqCst);
        } else {
            before(info);
        }
    }));
    let seen = Observed::one_thread().run(async {
        let unheard = named("unheard").spawn(async { panic!("{PAYLOAD}") });
        has_ended(&unheard.abort_handle()).await;
        drop(unheard);
        let joined = named("joined").spawn(async { panic::panic_any(Arc::new(7)) });
        let payload = joined.await.unwrap_err().into_panic();
        assert_eq!(*payload.downcast::<Arc<i32>>().unwrap(), Arc::new(7));
    });
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    assert!(seen.end_of("unheard").starts_with("exception [panic]"));
}

// D7: what the recorder looks at stays as it was.
#[test]
fn an_output_is_dropped_once_and_by_the_one_who_owns_it() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let (kept, unwanted) = (Counted(drops.clone()), Counted(drops.clone()));
    Observed::one_thread().run(async {
        let output = task::spawn(async { Err::<(), _>(kept) }).await.unwrap();
        let ended = task::spawn(async { Err::<(), _>(unwanted) }).abort_handle();
        has_ended(&ended).await;
        assert_eq!(drops.load(Ordering::SeqCst), 1, "the unwanted one");
        drop(output);
    });
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

// ----- D8: one piece of work, two processes -----

// D8: work that is handed on is counted again by each who passes it on.
#[test]
fn one_piece_of_work_is_one_process_however_many_wait_for_it() {
    let seen = Observed::one_thread().run(async {
        let call: JoinHandle<()> = named("call").spawn_blocking(|| ());
        let shared = call.map(|joined| joined.unwrap()).shared();
        let limited = timeout(Duration::from_secs(60), shared.clone());
        futures_util::future::join3(shared.clone(), limited, shared)
            .await
            .1
            .unwrap();
        let inner = futures_util::future::join_all((0..3).map(|_| named("part").spawn(work())));
        futures_util::future::join(inner, work()).await;
    });
    let test = "one_piece_of_work_is_one_process_however_many_wait_for_it";
    assert_processes(
        &seen,
        &[
            ("blocking", "call", 1),
            ("future", test, 1),
            ("task", "part", 3),
        ],
    );
}

// ----- D9: programs that break -----

// D9: `gather(c, c)` and callable objects work only as long as nothing records them.
#[test]
fn a_program_does_the_same_whether_it_is_recorded_or_not() {
    async fn program() -> Vec<String> {
        let shared = work().map(|()| 7).shared();
        let twice = futures_util::future::join(shared.clone(), shared).await;
        let boxed: Box<dyn FnOnce() -> u8 + Send> = Box::new(|| 7);
        let called = task::spawn_blocking(boxed).await.unwrap();
        let pointer: fn(u8) -> u8 = u8::reverse_bits;
        let mapped = task::spawn_blocking(move || pointer(1)).await.unwrap();
        let failed = task::spawn(async { "x".parse::<u8>() }).await.unwrap();
        let aborted = task::spawn(pending::<()>());
        aborted.abort();
        let cancelled = aborted.await.unwrap_err().is_cancelled();
        vec![
            format!("{twice:?}"),
            format!("{called} {mapped} {failed:?} {cancelled}"),
        ]
    }
    on_each(|mut builder| {
        let silent = builder.enable_all().otel(Otel::disabled()).build().unwrap();
        let expected = silent.block_on(program());
        let observed = Observed::new(builder);
        assert_eq!(observed.runtime.block_on(program()), expected);
    });
}

// D9: with sampling off or nothing listed, metrics are the same and nothing else.
#[test]
fn metrics_are_complete_whatever_is_sampled_and_listed() {
    let program = async || {
        task::spawn(work()).await.unwrap();
        named("call").spawn_blocking(|| ()).await.unwrap();
    };
    let everything = Observed::one_thread().run(program()).counts();
    let mut builder = Builder::new_current_thread();
    let unsampled = Observed::with(&mut builder, |otel| otel.sampler(Sampler::AlwaysOff));
    let seen = unsampled.run(program());
    assert_eq!((seen.counts(), seen.spans.len()), (everything.clone(), 0));
    let unlisted = Observed::with(&mut builder, |otel| {
        otel.task_names(NameList::none())
            .blocking_names(NameList::none())
    });
    let seen = unlisted.run(program());
    assert_eq!((seen.counts(), seen.spans.len()), (everything, 0));
}

// ----- D10: names -----

// D10: `A.run` and `B.run` are both `run`, and nothing tells them apart.
#[test]
fn methods_of_the_same_name_are_told_apart_by_their_path_and_can_be_listed_by_it() {
    struct A;
    struct B;
    impl A {
        async fn run(self) {}
    }
    impl B {
        async fn run(self) {}
    }
    let paths = |list: &str| {
        let mut builder = Builder::new_current_thread();
        let observed = Observed::with(&mut builder, |otel| otel.task_names(NameList::parse(list)));
        let seen = observed.run(async {
            task::spawn(A.run()).await.unwrap();
            task::spawn(B.run()).await.unwrap();
        });
        let paths = seen.spans.iter().map(|span| {
            assert_eq!(span.name, "run");
            let path = text(span, "code.function.name");
            path.rsplit("::").nth(1).unwrap().to_owned()
        });
        paths.collect::<Vec<_>>()
    };
    assert_eq!(paths("run"), ["A", "B"]);
    assert_eq!(paths("*::B::run"), ["B"]);
}

// D10: callable objects have no name, and the explicit name of a task is ignored.
#[test]
fn every_process_has_a_name_and_a_given_one_is_kept() {
    let seen = Observed::one_thread().run(async {
        let boxed: Box<dyn FnOnce() + Send> = Box::new(|| ());
        task::spawn_blocking(boxed).await.unwrap();
        named("nightly sync").spawn(work()).await.unwrap();
        let blocking = named("hash").spawn_blocking(|| ());
        blocking.await.unwrap();
    });
    let test = "every_process_has_a_name_and_a_given_one_is_kept";
    assert_processes(
        &seen,
        &[
            ("blocking", "dyn FnOnce", 1),
            ("blocking", "hash", 1),
            ("future", test, 1),
            ("task", "nightly sync", 1),
        ],
    );
}

// ----- D11: bounds that tell nothing -----

/// A quantile as Prometheus reads it off: linear within the bucket.
fn quantile(bounds: &[f64], point: &HistogramPoint, part: f64) -> f64 {
    let rank = point.count as f64 * part;
    let mut below = 0.0;
    for (index, &in_bucket) in point.buckets.iter().enumerate() {
        let in_bucket = in_bucket as f64;
        if below + in_bucket >= rank {
            let lower = index.checked_sub(1).map_or(0.0, |before| bounds[before]);
            let upper = bounds.get(index).copied().unwrap_or(lower);
            return lower + (upper - lower) * (rank - below) / in_bucket;
        }
        below += in_bucket;
    }
    panic!("a histogram of nothing has no quantile");
}

// D11: 1 ms, 20 ms and 200 ms share a bucket, so that a task of 10 ms is said to take 2.5 s.
#[test]
fn the_median_of_a_task_of_ten_milliseconds_is_read_off_as_ten_milliseconds() {
    let seen = Observed::one_thread().run(async {
        for _ in 0..9 {
            let task = named("ten").spawn(sleep(Duration::from_millis(10)));
            task.await.unwrap();
        }
    });
    let spans = seen.spans.iter().filter(|span| span.name == "ten");
    let mut lengths: Vec<f64> = spans
        .map(|span| {
            let length = span.end_time.duration_since(span.start_time).unwrap();
            length.as_secs_f64()
        })
        .collect();
    lengths.sort_by(f64::total_cmp);
    let median = lengths[lengths.len() / 2];

    let MetricData::Histogram { bounds, points } = &seen.metric("process.duration").data else {
        panic!("process.duration is no histogram");
    };
    let mut of_task = points
        .iter()
        .filter(|point| series(&point.attributes).1 == "ten");
    let read_off = quantile(bounds, of_task.next().unwrap(), 0.5);
    // A busy machine makes the tasks longer, but not the histogram wrong.
    let error = (read_off / median - 1.0).abs();
    assert!(error < 0.2, "{read_off} s for {lengths:?}");
    if median < 0.011 {
        assert!((0.009..=0.012).contains(&read_off), "{read_off} s");
    }
}

// D11: durations that differ by a factor of ten share a bucket.
#[test]
fn the_bounds_tell_a_microsecond_from_a_minute_and_all_between() {
    let seen = Observed::one_thread().run(async {});
    let MetricData::Histogram { bounds, .. } = &seen.metric("process.duration").data else {
        panic!("process.duration is no histogram");
    };
    assert!(bounds[0] <= 1e-6 && bounds[bounds.len() - 1] >= 60.0);
    for pair in bounds.windows(2) {
        assert!(pair[1] / pair[0] < 1.4, "{pair:?}");
    }
}

// ----- what Python's instrumentor does not record at all -----

// D2: what runs is not seen before it has ended.
#[test]
fn a_task_that_runs_is_seen_while_it_does() {
    on_each(|builder| {
        let observed = Observed::new(builder);
        let handle = observed.runtime.handle().clone();
        let (release, released) = oneshot::channel::<()>();
        let running = named("running").spawn_on(released, &handle);
        observed.runtime.block_on(idle("running"));
        assert_eq!(live(&handle, "running").unwrap().polls, 1);
        observed.runtime.flush(Duration::from_secs(30)).unwrap();
        let meanwhile = Seen {
            spans: observed.memory.spans(),
            metrics: observed.memory.metrics(),
        };
        assert_eq!(meanwhile.total("executor.tasks.live", &[]), 1.0);
        release.send(()).unwrap();
        observed.runtime.block_on(running).unwrap().unwrap();
        // Whoever joined it may be a moment earlier than the list.
        wait_until(|| live(&handle, "running").is_none());
    });
}

// D4: what a limit was put on is `cancelled` when its time is up.
#[test]
fn a_future_whose_time_is_up_is_a_timeout_when_futures_are_traced() {
    async fn slow() {
        pending().await
    }
    let mut builder = Builder::new_current_thread();
    let observed = Observed::with(&mut builder, |otel| otel.trace_futures(true));
    let seen = observed.run(async {
        let caller = named("caller").spawn(async {
            // The caller copes, so that it ends well.
            timeout(Duration::from_millis(1), slow()).await.is_err()
        });
        assert!(caller.await.unwrap());
    });
    let timed_out = "timeout [telemetry_rt::time::error::Elapsed] error: its time was up []";
    assert_eq!(seen.end_of("slow"), timed_out);
    assert_eq!(seen.end_of("caller"), FINISHED);
    seen.assert_child("slow", "caller");
}

// Neither how long a task computed is recorded, nor how long it waited, nor how often it was polled.
#[test]
fn busy_idle_polls_and_the_poll_that_blocked_the_others_are_told() {
    const WHILE: Duration = Duration::from_millis(15);
    let mut builder = Builder::new_current_thread();
    let slow = |otel: OtelBuilder| otel.slow_poll(Duration::from_millis(12));
    let seen = Observed::with(&mut builder, slow).run(async {
        let (tell, told) = oneshot::channel::<()>();
        let task = named("task").spawn(async {
            told.await.unwrap();
            std::thread::sleep(WHILE);
            yield_now().await;
        });
        idle("task").await;
        sleep(WHILE).await;
        tell.send(()).unwrap();
        task.await.unwrap();
    });
    let span = seen.named("task");
    assert!(number(span, "task.busy_ns") >= 14_000_000);
    assert!(number(span, "task.idle_other_ns") >= 14_000_000);
    assert_eq!(number(span, "task.polls"), 3);
    let slow = span.events.iter().filter(|event| event.name == "slow_poll");
    let polls: Vec<_> = slow.map(|poll| in_event(poll, "poll.number")).collect();
    // A machine that is slow makes others slow as well.
    assert!(polls.contains(&"2".to_owned()), "{polls:?}");
    assert!(seen.total("executor.polls.slow", &[]) >= 1.0);
}

// `to_thread` begins to measure when a thread has been found.
#[test]
fn the_time_in_the_queue_of_the_blocking_pool_belongs_to_the_call() {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(1);
    let seen = Observed::new(builder).run(async {
        let first = named("first").spawn_blocking(|| std::thread::sleep(Duration::from_millis(15)));
        let second = named("second").spawn_blocking(|| ());
        first.await.unwrap();
        second.await.unwrap();
    });
    let (first, second) = (seen.named("first"), seen.named("second"));
    // What the first took from when the second was spawned on, at the least.
    let between = second.start_time.duration_since(first.start_time).unwrap();
    let queued = number(second, "task.queued_ns") + between.as_nanos() as i64;
    assert!(queued >= 14_000_000, "{queued} ns");
    let length = second.end_time.duration_since(second.start_time).unwrap();
    assert!(length.as_nanos() as i64 >= number(second, "task.queued_ns"));
}

// What goes on for ever is a child of the request that happened to start it.
#[test]
fn detached_work_can_have_a_trace_of_its_own_that_links_to_where_it_began() {
    let seen = Observed::one_thread().run(async {
        let request = named("request").spawn(async {
            drop(named("worker").root().spawn(work()));
        });
        request.await.unwrap();
        while live(&Handle::current(), "worker").is_some() {
            yield_now().await;
        }
    });
    let (worker, request) = (seen.named("worker"), seen.named("request"));
    let trace = |span: &SpanData| span.span_context.trace_id();
    assert_ne!(trace(worker), trace(request));
    assert_eq!(worker.links[0].span_context, request.span_context);
}

// `alp*` selects nothing, and nobody says so.
#[test]
fn a_pattern_selects_what_it_matches_and_a_value_that_means_nothing_is_told() {
    let mut builder = Builder::new_current_thread();
    let list = |otel: OtelBuilder| otel.task_names(NameList::parse("alp*, nothing;like;it"));
    let seen = Observed::with(&mut builder, list).run(async {
        for name in ["alpha", "alps", "beta"] {
            named(name).spawn(work()).await.unwrap();
        }
    });
    let tasks = seen
        .spans
        .iter()
        .filter(|span| text(span, "task.type") == "task");
    let names: Vec<_> = tasks.map(|span| &*span.name).collect();
    assert_eq!(names, ["alpha", "alps"]);

    let variable = "OTEL_RUST_EXECUTOR_FUTURE_TRACE_ENABLED";
    let otel = Otel::from_variables(&|name| (name == variable).then(|| "yes".to_owned()));
    let [warning] = otel.warnings() else {
        panic!("{:?}", otel.warnings());
    };
    for part in [variable, "\"yes\"", "true, false"] {
        assert!(warning.contains(part), "no {part} in {warning}");
    }
}
