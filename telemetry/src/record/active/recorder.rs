//! The recorder of one runtime: what its threads share, and what the drain reads.

use std::any::Any;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::TraceContextExt;
use parking_lot::Mutex;
use telemetry_rt_clock::{Scale, ticks};

use super::histogram::{Bounds, Distribution};
use super::kind::{Kind, KindRef, Kinds};
use super::name::NameList;
use super::panics;
use super::ring::{Consumer, Producer, ring};
use super::scribe::{Scribe, read, writers_of};
use super::shard::{MAX_KINDS, Shard};
use super::span::{self, SpanPolicy, SpanRecord};
use super::task::TaskRecord;
use super::tls;
use crate::record::{Lineage, Outcome, Spawning};

/// The place of the shard that all threads share which are no workers.
pub(super) const SHARED: usize = usize::MAX;

/// How a recorder is set up.
#[derive(Debug)]
pub struct Config {
    /// How many workers will record.
    pub workers: usize,
    /// Decides about spans; without it none is recorded.
    pub spans: Option<Arc<dyn SpanPolicy>>,
    /// How many ended spans each worker, and all other threads together, can hold for the drain.
    pub span_ring: usize,
    /// Tasks that get spans.
    pub task_names: NameList,
    /// Functions on the blocking pool that get spans.
    pub blocking_names: NameList,
    /// How many kinds of processes are told apart, at most 4,000.
    pub kind_limit: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            workers: 1,
            spans: None,
            span_ring: 8192,
            task_names: NameList::all(),
            blocking_names: NameList::all(),
            kind_limit: 2000,
        }
    }
}

/// Records all processes of a runtime. A cheap handle; clones record into the same place.
#[derive(Clone, Debug)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    kinds: Kinds,
    bounds: Bounds,
    policy: Option<Arc<dyn SpanPolicy>>,
    workers: Box<[Shard]>,
    others: Shard,
    /// The writing ends of the workers' rings, until the workers fetch them.
    producers: Mutex<Vec<Option<Producer<SpanRecord>>>>,
    /// The reading ends. Only the drain locks them.
    consumers: Mutex<Vec<Consumer<SpanRecord>>>,
    from_others: ArrayQueue<SpanRecord>,
    drain: OnceLock<Thread>,
    attachment: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What all processes of one kind that ended in one way took.
#[derive(Clone, Debug)]
pub struct ProcessPoint {
    /// The kind.
    pub kind: Arc<Kind>,
    /// How they ended.
    pub outcome: Outcome,
    /// How long they took, from spawn to end.
    pub durations: Distribution,
}

/// Everything that was counted since the recorder was made.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Processes that ended, by kind and outcome. Kinds may share a name.
    pub processes: Vec<ProcessPoint>,
    /// Spans that were dropped because the ring to the drain was full.
    pub dropped_spans: u64,
}

impl Recorder {
    /// Makes a recorder. The first of a process measures the clock's scale: two milliseconds.
    pub fn new(config: Config) -> Recorder {
        panics::watch();
        let (producers, consumers) = (0..config.workers)
            .map(|_| ring(config.span_ring.max(2)))
            .map(|(producer, consumer)| (Some(producer), consumer))
            .unzip();
        Recorder {
            inner: Arc::new(Inner {
                kinds: Kinds::new(
                    config.kind_limit.clamp(1, MAX_KINDS - 3),
                    config.task_names,
                    config.blocking_names,
                ),
                bounds: Bounds::new(Scale::current()),
                policy: config.spans,
                workers: (0..config.workers)
                    .map(|worker| Shard::new(writers_of(worker)))
                    .collect(),
                others: Shard::new(writers_of(SHARED)),
                producers: Mutex::new(producers),
                consumers: Mutex::new(consumers),
                from_others: ArrayQueue::new(config.span_ring.max(2)),
                drain: OnceLock::new(),
                attachment: OnceLock::new(),
            }),
        }
    }

    /// The pen of a worker.
    ///
    /// # Panics
    ///
    /// When the worker has fetched its pen before, or there are not that many workers.
    pub fn worker(&self, worker: usize) -> Scribe {
        let producer = self.inner.producers.lock()[worker].take();
        let producer = producer.expect("each worker fetches its pen once");
        Scribe::of_worker(self.clone(), worker, producer)
    }

    /// A pen for a thread that is no worker; `name` is told in the spans it records.
    pub fn other(&self, name: Option<Arc<str>>) -> Scribe {
        Scribe::of_others(self.clone(), name)
    }

    /// A process is spawned by this thread: begins its account, and its span if it is to have one.
    ///
    /// Cost: one clock read; for a process with a span, also two allocations for its `Context`.
    pub fn spawned(&self, spawning: Spawning<'_>) -> TaskRecord {
        let kind = self
            .inner
            .kinds
            .find(spawning.meta, spawning.name, spawning.site);
        let (context, has_span) = self.context_of(kind, &spawning);
        TaskRecord::begin(ticks(), kind.index, context, has_span)
    }

    /// A process that was spawned without a recorder is about to be polled for the first time, on a
    /// thread of this one: its account goes on here.
    pub fn adopt(&self, record: &mut TaskRecord, spawning: Spawning<'_>) {
        let spawned = record.spawned;
        *record = self.spawned(spawning);
        record.spawned = spawned;
        record.last_end = spawned;
    }

    /// The context that the process is polled in, and whether it holds a span of its own.
    #[inline]
    fn context_of(&self, kind: KindRef, spawning: &Spawning<'_>) -> (Option<Context>, bool) {
        if !tls::is_alive() {
            return (None, false);
        }
        if let (true, Some(policy)) = (kind.traced, &self.inner.policy) {
            // Cloned first: the policy may ask for the current context itself.
            let current = Context::current();
            let context = span::begin(&**policy, &current, spawning.lineage, kind);
            if let Some(context) = context {
                return (Some(context), true);
            }
        }
        let context = match spawning.lineage {
            Lineage::Inherit | Lineage::Child => inherited(),
            Lineage::Root => inherited().map(|context| span::without_span(&context)),
        };
        (context, false)
    }

    #[inline]
    pub(super) fn bounds(&self) -> &Bounds {
        &self.inner.bounds
    }

    #[inline]
    pub(super) fn shard(&self, shard: usize) -> &Shard {
        self.inner.workers.get(shard).unwrap_or(&self.inner.others)
    }

    /// Hands over a span of a thread that is no worker. The drain is called while the way is more
    /// than a quarter full, as by the workers' rings.
    pub(super) fn hand_over_shared(&self, span: SpanRecord) -> Result<(), SpanRecord> {
        let way = &self.inner.from_others;
        let handed = way.push(span);
        if 4 * way.len() >= way.capacity() {
            self.call_drain();
        }
        handed
    }

    /// Wakes the drain before its time.
    #[cold]
    pub(super) fn call_drain(&self) {
        if let Some(drain) = self.inner.drain.get() {
            drain.unpark();
        }
    }

    /// Names the thread that drains, so that it can be unparked when a ring fills up.
    pub fn set_drain(&self, thread: Thread) {
        // A second drain is refused by whoever starts drains; the first stays.
        let _ = self.inner.drain.set(thread);
    }

    /// Keeps something that the floors above want to find again by way of the runtime. The first
    /// one stays.
    pub fn attach(&self, attachment: Arc<dyn Any + Send + Sync>) {
        let _ = self.inner.attachment.set(attachment);
    }

    /// What was attached, if it is a `T`.
    pub fn attached<T: Any>(&self) -> Option<&T> {
        self.inner.attachment.get()?.downcast_ref()
    }

    /// All kinds of processes so far, by their number.
    pub fn kinds(&self) -> Vec<Arc<Kind>> {
        self.inner.kinds.all()
    }

    /// Moves up to `most` ended spans into `into`, and returns how many it moved. To be called by
    /// one thread at a time; others wait.
    pub fn drain_spans(&self, into: &mut Vec<SpanRecord>, most: usize) -> usize {
        let before = into.len();
        let from_others = std::iter::from_fn(|| self.inner.from_others.pop());
        into.extend(from_others.take(most));
        for ring in self.inner.consumers.lock().iter_mut() {
            let left = most - (into.len() - before);
            into.extend(std::iter::from_fn(|| ring.pop()).take(left));
        }
        into.len() - before
    }

    /// How many ended spans wait for the drain.
    pub fn waiting_spans(&self) -> usize {
        let in_rings: usize = self.inner.consumers.lock().iter().map(Consumer::len).sum();
        in_rings + self.inner.from_others.len()
    }

    /// Sums up what all threads have counted.
    pub fn snapshot(&self) -> Snapshot {
        let scale = Scale::current();
        let shards: Vec<&Shard> = self
            .inner
            .workers
            .iter()
            .chain([&self.inner.others])
            .collect();
        let mut processes = Vec::new();
        for kind in self.kinds() {
            for outcome in Outcome::ALL {
                let mut durations = Distribution::default();
                for series in shards
                    .iter()
                    .filter_map(|s| s.durations.get(kind.index, outcome))
                {
                    series.add_to(&mut durations, scale);
                }
                if durations.count > 0 {
                    processes.push(ProcessPoint {
                        kind: Arc::clone(&kind),
                        outcome,
                        durations,
                    });
                }
            }
        }
        Snapshot {
            processes,
            dropped_spans: shards.iter().map(|shard| read(&shard.dropped_spans)).sum(),
        }
    }
}

/// The spawner's context, if there is anything in it.
///
/// The API cannot be asked whether a context is empty. One that holds a span, baggage or the
/// suppression of telemetry is inherited whole; one that holds nothing but values of types that
/// only the application knows is not seen.
#[inline]
fn inherited() -> Option<Context> {
    Context::map_current(|current| {
        let empty = !current.has_active_span()
            && !current.is_telemetry_suppressed()
            && current.baggage().is_empty();
        (!empty).then(|| current.clone())
    })
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("workers", &self.workers.len())
            .field("spans", &self.policy)
            .finish_non_exhaustive()
    }
}
