//! Below what do spans hang? Tasks, functions on the blocking pool, local tasks, `block_on`, spans of
//! users, guards and `#[span]`, nested in every combination; and what a context carries beside.
#![cfg(all(feature = "telemetry", feature = "macros"))]

mod observed;
mod spans;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use observed::{Observed, on_each, text};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use spans::{Users, current, current_id, lines, named, run_task, spawn_task, tree};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task::{
    JoinHandle, JoinSet, LocalSet, block_in_place, spawn_blocking, spawn_local, yield_now,
};
use telemetry_rt::time::timeout;
use telemetry_rt::{span, span_builder};

// ----- the matrix -----

/// Within what the rest of a chain runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    Task,
    Blocking,
    Local,
    /// A context of the user's around the awaits.
    User,
    /// A context of the user's attached where a task is spawned.
    Attached,
    Guard,
    Around,
    Spanned,
    SpannedSync,
    /// A future given to `timeout`, which is a process of its own.
    Timed,
}

use Level::*;

const LEVELS: [Level; 10] = [
    Task,
    Blocking,
    Local,
    User,
    Attached,
    Guard,
    Around,
    Spanned,
    SpannedSync,
    Timed,
];

impl Level {
    /// The spans that it adds, outermost first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Task => &["task"],
            Blocking => &["blocking", "in_blocking"],
            Local => &["blocking", "in_local_set", "local"],
            User => &["user"],
            Attached => &["attached", "task"],
            Guard => &["guard"],
            Around => &["around"],
            Spanned => &["spanned"],
            SpannedSync => &["spanned_sync", "task"],
            Timed => &["timed"],
        }
    }
}

type Boxed = Pin<Box<dyn Future<Output = SpanId> + Send>>;

/// What is left of a chain, and by which provider users make their spans.
#[derive(Clone)]
struct Rest(Vec<Level>, Users);

impl Rest {
    /// Runs the rest, innermost of all a span `leaf`, whose id is returned.
    fn run(mut self) -> Boxed {
        Box::pin(async move {
            let here = current_id();
            yield_now().await;
            let leaf = match self.0.is_empty() {
                true => {
                    let leaf = self.1.begin("leaf");
                    leaf.span().span_context().span_id()
                }
                false => self.0.remove(0).run(self).await,
            };
            yield_now().await;
            assert_eq!(current_id(), here, "what was current is so again");
            leaf
        })
    }
}

impl Level {
    async fn run(self, rest: Rest) -> SpanId {
        match self {
            Task => named("task").spawn(rest.run()).await.unwrap(),
            Blocking => on_pool(|| Handle::current().block_on(in_blocking(rest))).await,
            Local => on_pool(|| Handle::current().block_on(in_local_set(rest))).await,
            User => {
                let context = rest.1.begin("user");
                rest.run().with_context(context).await
            }
            Attached => {
                let task = {
                    let _attached = rest.1.begin("attached").attach();
                    named("task").spawn(rest.run())
                };
                task.await.unwrap()
            }
            Guard => {
                let _guard = span("guard");
                rest.run().await
            }
            Around => span_builder("around").around(rest.run()).await,
            Spanned => spanned(rest).await,
            SpannedSync => spanned_sync(rest).await.unwrap(),
            Timed => timeout(Duration::from_mins(1), timed(rest)).await.unwrap(),
        }
    }
}

async fn on_pool(function: impl FnOnce() -> SpanId + Send + 'static) -> SpanId {
    named("blocking").spawn_blocking(function).await.unwrap()
}

async fn timed(rest: Rest) -> SpanId {
    rest.run().await
}

async fn in_blocking(rest: Rest) -> SpanId {
    rest.run().await
}

async fn in_local_set(rest: Rest) -> SpanId {
    let set = LocalSet::new();
    let local = async { named("local").spawn_local(rest.run()).await };
    set.run_until(local).await.unwrap()
}

#[span]
async fn spanned(rest: Rest) -> SpanId {
    rest.run().await
}

#[span]
fn spanned_sync(rest: Rest) -> JoinHandle<SpanId> {
    named("task").spawn(rest.run())
}

/// The names of a span and of all above it, outermost first.
fn path(spans: &HashMap<SpanId, SpanData>, leaf: SpanId) -> Vec<&str> {
    let mut names = Vec::new();
    let mut next = spans.get(&leaf);
    let trace = next.map(|span| span.span_context.trace_id());
    while let Some(span) = next {
        assert_eq!(Some(span.span_context.trace_id()), trace);
        names.push(&*span.name);
        next = spans.get(&span.parent_span_id);
    }
    names.reverse();
    names
}

fn chains_of_three() -> impl Iterator<Item = Vec<Level>> {
    let pairs = || {
        LEVELS
            .iter()
            .flat_map(|a| LEVELS.iter().map(move |b| (*a, *b)))
    };
    let threes = pairs().flat_map(|(a, b)| LEVELS.iter().map(move |c| vec![a, b, *c]));
    pairs().map(|(a, b)| vec![a, b]).chain(threes)
}

/// Whether a future holds a guard within a context that is attached at each of its polls, after the
/// guard's: that is as documented, and told below.
fn is_hidden_by_the_user(chain: &[Level]) -> bool {
    let mut within_user = false;
    chain.iter().any(|level| {
        within_user = match level {
            User => true,
            Guard => within_user,
            _ => false,
        };
        within_user && *level == Guard
    })
}

#[test]
fn every_chain_of_levels_is_a_chain_of_parents() {
    on_each(|mut builder| {
        let users = Users::new();
        let mut leaves = Vec::new();
        let observed = Observed::with(&mut builder, |otel| otel.trace_futures(true));
        observed.runtime.block_on(async {
            let mut chains: Vec<_> = chains_of_three().collect();
            chains.retain(|chain| !is_hidden_by_the_user(chain));
            for some in chains.chunks(32) {
                let mut set = JoinSet::new();
                for chain in some {
                    let rest = Rest(chain.clone(), users.clone());
                    let chain = chain.clone();
                    let top = named("top").root().spawn(rest.run());
                    set.spawn(async move { (chain, top.await.unwrap()) });
                }
                leaves.extend(set.join_all().await);
            }
        });
        let spans = users.with(&observed.end());
        let spans: HashMap<_, _> = spans
            .into_iter()
            .map(|span| (span.span_context.span_id(), span))
            .collect();
        assert!(leaves.len() > 1000, "{} chains", leaves.len());
        for (chain, leaf) in leaves {
            let levels = chain.iter().flat_map(|level| level.names());
            let expected: Vec<_> = ["top"]
                .iter()
                .chain(levels)
                .chain(&["leaf"])
                .copied()
                .collect();
            assert_eq!(path(&spans, leaf), expected, "{chain:?}");
        }
    });
}

#[test]
fn a_context_that_the_user_attaches_at_each_poll_hides_guards_but_not_what_owns_them() {
    let seen = run_task(Builder::new_current_thread(), async {
        let context = Context::current().with_value(Tenant("blue"));
        let guarded = async {
            let _guard = span("hidden");
            drop(span("first poll"));
            yield_now().await;
            drop(span("second poll"));
        };
        guarded.with_context(context.clone()).await;
        let owned = async {
            let _guard = span("seen");
            yield_now().await;
            drop(span("below"));
        };
        let owned = span_builder("around").around(owned);
        owned.with_context(context).await;
    });
    let expected = "
        task
          around
            seen
              below
          hidden
            first poll
          second poll
        ";
    assert_eq!(tree(&seen.spans, "task"), lines(expected));
}

#[test]
fn blocking_in_place_keeps_what_was_current_though_the_worker_moves_on() {
    async fn blocked_on() {
        named("within").spawn(yield_now()).await.unwrap();
    }

    let seen = run_task(Builder::new_multi_thread(), async {
        let _guard = span("guard");
        let here = current_id();
        yield_now().await;
        block_in_place(|| {
            assert_eq!(current_id(), here);
            let _within = span("in place");
            Handle::current().block_on(blocked_on());
        });
        assert_eq!(current_id(), here);
        yield_now().await;
        assert_eq!(current_id(), here);
    });
    let expected = "
        task
          guard
            in place
              blocked_on
                within
        ";
    assert_eq!(tree(&seen.spans, "task"), lines(expected));
}

// ----- the task's own span -----

#[test]
fn what_is_done_to_the_current_span_is_done_to_the_span_of_the_task() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            yield_now().await;
            let context = Context::current();
            let span = context.span();
            assert!(span.is_recording());
            span.set_attribute(KeyValue::new("order", 7));
            span.add_event("halfway", vec![KeyValue::new("at", 1)]);
            span.set_status(opentelemetry::trace::Status::error("late"));
            span.update_name("renamed");
            spawn_blocking(|| {
                let context = Context::current();
                context.span().update_name("renamed hop");
            })
            .await
            .unwrap();
        });
        let span = seen.named("renamed");
        assert_eq!(text(span, "order"), "7");
        assert_eq!(span.events[0].name, "halfway");
        assert_eq!(span.status, opentelemetry::trace::Status::error("late"));
        seen.assert_child("renamed hop", "renamed");
    });
}

// ----- what a context carries -----

#[derive(Debug, PartialEq)]
struct Tenant(&'static str);

/// What of a context a process is to inherit.
#[derive(Debug, PartialEq)]
struct Carried {
    baggage: Option<String>,
    tenant: Option<&'static str>,
    suppressed: bool,
    trace_state: String,
}

fn carried() -> Carried {
    Context::map_current(|context| Carried {
        baggage: context.baggage().get("user").map(ToString::to_string),
        tenant: context.get::<Tenant>().map(|tenant| tenant.0),
        suppressed: context.is_telemetry_suppressed(),
        trace_state: context.span().span_context().trace_state().header(),
    })
}

/// What arrives in each kind of process, spawned under the current context.
async fn arrivals() -> Vec<Carried> {
    let task = telemetry_rt::spawn(async {
        yield_now().await;
        let deeper = spawn_blocking(|| {
            let blocked = Handle::current().block_on(async {
                let task = telemetry_rt::spawn(async { carried() });
                yield_now().await;
                vec![task.await.unwrap(), carried()]
            });
            let mut all = vec![carried()];
            all.extend(blocked);
            all
        });
        let mut all = vec![carried()];
        all.extend(deeper.await.unwrap());
        all
    });
    let set = spawn_blocking(|| {
        Handle::current().block_on(LocalSet::new().run_until(async {
            let local = spawn_local(async {
                yield_now().await;
                carried()
            });
            local.await.unwrap()
        }))
    });
    let mut all = task.await.unwrap();
    all.push(set.await.unwrap());
    all
}

fn remote(flags: TraceFlags) -> SpanContext {
    SpanContext::new(
        TraceId::from(0xabc),
        SpanId::from(0xdef),
        flags,
        true,
        TraceState::from_key_value([("vendor", "v1")]).unwrap(),
    )
}

#[test]
fn baggage_values_suppression_and_trace_state_go_wherever_work_goes() {
    let context = || {
        Context::new()
            .with_remote_span_context(remote(TraceFlags::SAMPLED))
            .with_value(Tenant("blue"))
            .with_baggage(vec![KeyValue::new("user", "ada")])
    };
    let suppressed = || context().with_telemetry_suppressed();
    on_each(|mut builder| {
        for (context, suppressed) in [(context(), false), (suppressed(), true)] {
            let expected = || Carried {
                baggage: Some("ada".to_owned()),
                tenant: Some("blue"),
                suppressed,
                trace_state: "vendor=v1".to_owned(),
            };
            let observed = Observed::with(&mut builder, |otel| otel);
            let all = observed
                .runtime
                .block_on(arrivals().with_context(context.clone()));
            assert_eq!(all.len(), 5);
            assert!(all.iter().all(|one| *one == expected()), "{all:?}");
            // Only `block_on` itself was outside of the suppression.
            let spans = observed.end().spans.len();
            assert_eq!(spans == 1, suppressed, "{spans}");
        }
    });
}

#[test]
fn a_root_task_keeps_all_but_the_span() {
    let seen = run_task(Builder::new_current_thread(), async {
        let context = Context::current()
            .with_value(Tenant("blue"))
            .with_baggage(vec![KeyValue::new("user", "ada")]);
        let root = async {
            let spawned = named("root").root().spawn(async {
                let carried = carried();
                assert_eq!(carried.tenant, Some("blue"));
                assert_eq!(carried.baggage.as_deref(), Some("ada"));
            });
            spawned.await.unwrap();
        };
        root.with_context(context).await;
    });
    assert_eq!(seen.named("root").parent_span_id, SpanId::INVALID);
}

#[test]
fn a_task_without_a_context_does_not_take_that_of_whoever_runs_it() {
    on_each(|builder| {
        let observed = Observed::with(&mut { builder }, |otel| {
            otel.task_names(telemetry_rt::otel::NameList::none())
        });
        let early = observed.runtime.spawn(async {
            let first = current();
            yield_now().await;
            (first, current())
        });
        let _guard = Context::new()
            .with_remote_span_context(remote(TraceFlags::SAMPLED))
            .attach();
        let (first, second) = observed.runtime.block_on(early).unwrap();
        assert!(!first.is_valid() && !second.is_valid(), "{first:?}");
    });
}

// ----- remote parents, and samplers -----

#[test]
fn a_remote_parent_gives_trace_flags_and_state_and_is_known_to_be_remote() {
    on_each(|builder| {
        let context = Context::new().with_remote_span_context(remote(TraceFlags::SAMPLED));
        let observed = Observed::new(builder);
        observed.runtime.block_on(async {
            let work = async {
                let task = named("first").spawn(async {
                    named("hop").spawn_blocking(|| ()).await.unwrap();
                });
                task.await.unwrap();
                let _guard = span("guard");
            };
            work.with_context(context).await;
        });
        let seen = observed.end();
        for (name, parent, is_remote) in [
            ("first", SpanId::from(0xdef), true),
            ("guard", SpanId::from(0xdef), true),
            ("hop", seen.named("first").span_context.span_id(), false),
        ] {
            let span = seen.named(name);
            assert_eq!(span.span_context.trace_id(), TraceId::from(0xabc), "{name}");
            assert_eq!(span.parent_span_id, parent, "{name}");
            assert_eq!(span.parent_span_is_remote, is_remote, "{name}");
            assert_eq!(span.span_context.trace_state().header(), "vendor=v1");
            assert!(span.span_context.is_sampled() && !span.span_context.is_remote());
        }
    });
}

/// The contexts of processes and spans within one another, all below what is current.
async fn contexts_below() -> Vec<SpanContext> {
    let task = telemetry_rt::spawn(async {
        let guard = span("guard");
        yield_now().await;
        let hop = spawn_blocking(|| {
            let inner = Handle::current()
                .block_on(async { telemetry_rt::spawn(async { current() }).await.unwrap() });
            vec![current(), inner]
        });
        let mut all = hop.await.unwrap();
        all.push(guard.context().span().span_context().clone());
        all
    });
    task.await.unwrap()
}

#[test]
fn what_is_not_sampled_has_no_spans_and_one_trace() {
    let never = Sampler::TraceIdRatioBased(0.0);
    let parent_decides = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
    let unsampled = Context::new().with_remote_span_context(remote(TraceFlags::NOT_SAMPLED));
    for (sampler, context, trace) in [
        (never, Context::new(), None),
        (parent_decides, unsampled, Some(TraceId::from(0xabc))),
    ] {
        on_each(|mut builder| {
            let observed = Observed::with(&mut builder, |otel| otel.sampler(sampler.clone()));
            let _attached = context.clone().attach();
            let (outer, below) = observed
                .runtime
                .block_on(async { (current(), contexts_below().await) });
            let trace = trace.unwrap_or(outer.trace_id());
            for context in below {
                assert!(context.is_valid() && !context.is_sampled(), "{context:?}");
                assert_eq!(context.trace_id(), trace);
            }
            let spans = observed.end().spans;
            assert!(spans.is_empty(), "{spans:?}");
        });
    }
}

#[test]
fn a_trace_is_there_as_a_whole_or_not_at_all() {
    on_each(|mut builder| {
        let ratio = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.5)));
        let observed = Observed::with(&mut builder, |otel| otel.sampler(ratio));
        const TRACES: usize = 64;
        observed.runtime.block_on(async {
            for _ in 0..TRACES {
                spawn_task(contexts_below()).await.unwrap();
            }
        });
        let seen = observed.end();
        let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
        for span in &seen.spans {
            *sizes
                .entry(span.span_context.trace_id().to_string())
                .or_default() += 1;
        }
        // The trace of `block_on` has one span, and may be there or not.
        sizes.retain(|_, size| *size > 1);
        assert!(sizes.values().all(|size| *size == 6), "{sizes:?}");
        // Fails by chance once in 2^63 runs.
        assert!((1..TRACES).contains(&sizes.len()), "{} traces", sizes.len());
    });
}

// ----- links -----

#[track_caller]
fn assert_linked(span: &SpanData, spawner: &SpanData) {
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    let (own, of_spawner) = (&span.span_context, &spawner.span_context);
    assert_ne!(own.trace_id(), of_spawner.trace_id());
    let links: Vec<_> = span.links.iter().map(|link| &link.span_context).collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].trace_id(), of_spawner.trace_id());
    assert_eq!(links[0].span_id(), of_spawner.span_id());
}

/// Of how many spans of this name the parent is `parent`, and how many are roots with a link to it.
fn below_and_linked(spans: &[SpanData], name: &str, parent: &SpanData) -> (usize, usize) {
    let of_name = spans.iter().filter(|span| span.name == name);
    let (below, others): (Vec<_>, Vec<_>) =
        of_name.partition(|span| span.parent_span_id == parent.span_context.span_id());
    others.iter().for_each(|span| assert_linked(span, parent));
    (below.len(), others.len())
}

#[test]
fn the_129th_child_begins_a_trace_whatever_polls_and_threads_lie_between() {
    on_each(|builder| {
        let seen = run_task(builder, async {
            for number in 0..130 {
                if number % 3 == 0 {
                    yield_now().await;
                }
                match number % 2 {
                    0 => named("child").spawn(async {}).await.unwrap(),
                    _ => named("child").spawn_blocking(|| ()).await.unwrap(),
                }
            }
        });
        let task = seen.named("task");
        assert_eq!(below_and_linked(&seen.spans, "child", task), (128, 2));
    });
}

#[test]
fn children_are_counted_on_while_local_tasks_are_polled_in_between() {
    let observed = Observed::with(&mut Builder::new_current_thread(), |otel| {
        otel.most_children(3)
    });
    async fn parent() {
        let set = LocalSet::new();
        set.run_until(async {
            for _ in 0..2 {
                named("child").spawn(async {}).await.unwrap();
                let local = async { named("grandchild").spawn(async {}).await.unwrap() };
                named("local").spawn_local(local).await.unwrap();
            }
        })
        .await;
    }
    let seen = observed.run(parent());
    let parent = seen.named("parent");
    assert_eq!(below_and_linked(&seen.spans, "child", parent), (2, 0));
    assert_eq!(below_and_linked(&seen.spans, "local", parent), (1, 1));
}

#[test]
fn a_trace_that_a_prolific_parent_begins_goes_on_as_any_other() {
    on_each(|mut builder| {
        let observed = Observed::with(&mut builder, |otel| otel.most_children(0));
        observed.runtime.block_on(async {
            let task = spawn_task(async {
                named("child").child().spawn(async {}).await.unwrap();
                named("linked")
                    .spawn(async { span("in linked").context().clone() })
                    .await
                    .unwrap();
                // A span of the user's is a parent like any other, as many as it has.
                let _work = span("work");
                for _ in 0..3 {
                    named("ordinary").spawn(async {}).await.unwrap();
                }
                named("root").root().spawn(async {}).await.unwrap();
            });
            task.await.unwrap();
        });
        let seen = observed.end();
        let (task, work) = (seen.named("task"), seen.named("work"));
        assert_eq!(
            tree(&seen.spans, "task"),
            lines(
                "
                task
                  child
                  work
                    ordinary
                    ordinary
                    ordinary
                "
            )
        );
        assert_linked(seen.named("linked"), task);
        seen.assert_child("in linked", "linked");
        assert_linked(seen.named("root"), work);
    });
}

#[test]
fn children_of_a_parent_that_has_lived_for_long_are_linked() {
    on_each(|mut builder| {
        let observed = Observed::with(&mut builder, |otel| otel.longest_parent(Duration::ZERO));
        observed.runtime.block_on(async {
            let task = spawn_task(async {
                named("linked").spawn(async {}).await.unwrap();
                named("hop").spawn_blocking(|| ()).await.unwrap();
                named("child").child().spawn(async {}).await.unwrap();
            });
            task.await.unwrap();
        });
        let seen = observed.end();
        let task = seen.named("task");
        assert_linked(seen.named("linked"), task);
        assert_linked(seen.named("hop"), task);
        seen.assert_child("child", "task");
    });
}

#[test]
fn a_root_is_sampled_by_itself() {
    /// Samples what is named so, and children as their parents.
    #[derive(Clone, Debug)]
    struct Named(&'static str, Arc<Mutex<Vec<String>>>);

    impl opentelemetry_sdk::trace::ShouldSample for Named {
        fn should_sample(
            &self,
            parent: Option<&Context>,
            _: TraceId,
            name: &str,
            _: &opentelemetry::trace::SpanKind,
            _: &[KeyValue],
            _: &[opentelemetry::trace::Link],
        ) -> opentelemetry_sdk::trace::SamplingResult {
            use opentelemetry_sdk::trace::SamplingDecision::{Drop, RecordAndSample};
            let is_root = !parent.is_some_and(Context::has_active_span);
            if is_root {
                self.1.lock().unwrap().push(name.to_owned());
            }
            opentelemetry_sdk::trace::SamplingResult {
                decision: if name == self.0 {
                    RecordAndSample
                } else {
                    Drop
                },
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            }
        }
    }

    let roots = Arc::new(Mutex::new(Vec::new()));
    let mut builder = Builder::new_current_thread();
    let sampler = Named("root", Arc::clone(&roots));
    let observed = Observed::with(&mut builder, |otel| otel.sampler(sampler).most_children(1));
    observed.runtime.block_on(async {
        let task = spawn_task(async {
            named("below").spawn(async {}).await.unwrap();
            named("root").spawn(async {}).await.unwrap();
            current()
        });
        let spawner = task.await.unwrap();
        assert!(spawner.is_valid() && !spawner.is_sampled());
    });
    let seen = observed.end();
    assert_eq!(seen.spans.len(), 1);
    assert!(seen.named("root").span_context.is_sampled());
    let roots = roots.lock().unwrap();
    assert_eq!(
        roots[1..],
        ["task", "root"],
        "the first is that of block_on"
    );
}
