//! The recorder of one runtime: what its threads share, and what the drain reads.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::TraceContextExt;
use parking_lot::Mutex;
use telemetry_rt_clock::{Scale, Ticks, ticks};

use super::account::{Account, Beginning, Process};
use super::birth::{self, Begun, Birth};
use super::guests::Guests;
use super::health::Observed;
use super::histogram::{Bounds, Distribution};
use super::kind::{Kind, KindRef, Kinds};
use super::lane::{Lane, Lanes};
use super::name::NameList;
use super::panics;
use super::policy::{Rule, SpanPolicy};
use super::poll_log::PollDetail;
use super::ring::{Consumer, Producer, ring};
use super::scribe::{Scribe, read};
use super::settings::{Settings, Treatment};
use super::shard::{MAX_KINDS, Shard, Writers};
use super::span::SpanRecord;
use super::thread;
use super::tls;
use super::view::LaneKind;
use crate::record::{Counter, Lineage, Outcome, ProcessType, Spawning};

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
    /// How many kinds of processes are told apart, at most 4,093.
    pub kind_limit: usize,
    /// How polls and parents are treated.
    pub treatment: Treatment,
    /// How many moments the flight recorder keeps of each worker; of other threads it keeps an
    /// eighth. 16 bytes each.
    pub flight_moments: usize,
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
            treatment: Treatment::default(),
            flight_moments: 4096,
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
    settings: Settings,
    policy: Option<Arc<dyn SpanPolicy>>,
    rule: Rule,
    is_foreign: bool,
    started: Ticks,
    workers: Box<[Arc<Shard>]>,
    others: Arc<Shard>,
    guests: Guests,
    /// The writing ends of the workers' rings, until the workers fetch them.
    producers: Mutex<Vec<Option<Producer<SpanRecord>>>>,
    /// The reading ends. Only the drain locks them.
    consumers: Mutex<Vec<Consumer<SpanRecord>>>,
    /// Made when a thread that is no worker hands over its first span: it is some megabytes, all of
    /// which are touched.
    from_others: OnceLock<ArrayQueue<SpanRecord>>,
    span_ring: usize,
    worker_lanes: Box<[Arc<Lane>]>,
    other_lanes: Lanes,
    flight_moments: usize,
    observed: Mutex<Option<Weak<dyn Observed>>>,
    panics: AtomicU64,
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
    /// Whether anybody can ask what live processes there are: if not, they need not be listed.
    pub const IS_SEEN: bool = true;

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
                settings: Settings::new(config.treatment),
                is_foreign: config
                    .spans
                    .as_ref()
                    .is_some_and(|policy| policy.is_foreign()),
                rule: config
                    .spans
                    .as_ref()
                    .map_or(Rule::Ask, |policy| policy.rule()),
                policy: config.spans,
                started: ticks(),
                workers: (0..config.workers)
                    .map(|_| Arc::new(Shard::new(Writers::One)))
                    .collect(),
                others: Arc::new(Shard::new(Writers::Many)),
                guests: Guests::default(),
                producers: Mutex::new(producers),
                consumers: Mutex::new(consumers),
                from_others: OnceLock::new(),
                span_ring: config.span_ring.max(2),
                worker_lanes: (0..config.workers)
                    .map(|worker| worker_lane(worker, config.flight_moments))
                    .collect(),
                other_lanes: Lanes::default(),
                flight_moments: config.flight_moments,
                observed: Mutex::new(None),
                panics: AtomicU64::new(0),
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
        let lane = Arc::clone(&self.inner.worker_lanes[worker]);
        Scribe::of_worker(self.clone(), worker, producer, lane)
    }

    /// A pen for a moment on a thread that is no worker, without a lane of its own.
    pub fn other(&self) -> Scribe {
        Scribe::of_others(self.clone(), None, None)
    }

    /// A pen for a thread of the blocking pool; `name` is told in the spans it records.
    pub fn blocking(&self, name: Arc<str>) -> Scribe {
        let lanes = &self.inner.other_lanes;
        let lane = lanes.take(LaneKind::Blocking, Arc::clone(&name), self.other_moments());
        Scribe::of_others(self.clone(), Some(name), Some(lane))
    }

    /// A pen for a thread that polls the future of a `block_on`, in one or in many.
    pub fn block_on(&self) -> Scribe {
        let name = || Arc::from(std::thread::current().name().unwrap_or("unnamed"));
        let lanes = &self.inner.other_lanes;
        let lane = lanes.take_again(&name, self.other_moments());
        Scribe::of_guest(self.clone(), lane)
    }

    fn other_moments(&self) -> usize {
        self.inner.flight_moments / 8
    }

    /// Whether [`spawned`](Self::spawned) may call code of the user's: a sampler, a tracer provider.
    #[inline]
    pub fn asks_users(&self) -> bool {
        self.inner.rule == Rule::Ask && self.inner.policy.is_some()
    }

    /// A process is spawned by this thread: begins its account, and its span if it is to have one.
    ///
    /// Cost: one clock read; for a process with a span, also one count of the current `Context`, unless
    /// there is a sampler to ask: then the two allocations of its own.
    pub fn spawned(&self, spawning: Spawning<'_>) -> Account {
        let kind = self
            .inner
            .kinds
            .find(spawning.meta, spawning.name, spawning.site);
        let now = ticks();
        let counted = self.inner.settings.is_recording();
        Account::begin(Beginning {
            now,
            kind: kind.index,
            counted,
            span: self.begin_span(kind, spawning.lineage, now, counted),
            parent: thread::polled_task(),
        })
    }

    /// A process that was spawned without a recorder is about to be polled for the first time, on a
    /// thread of this one: its account goes on here.
    pub fn adopt(&self, process: &mut Process<'_>, spawning: Spawning<'_>) {
        process.adopt(self.spawned(spawning));
    }

    /// The context that the process is polled in, with a span of its own if it is to have one.
    #[inline]
    fn begin_span(&self, kind: KindRef, lineage: Lineage, now: Ticks, recording: bool) -> Begun {
        if !tls::is_alive() {
            return Begun::inherited(None);
        }
        if let (true, true, Some(policy)) = (kind.traced, recording, &self.inner.policy) {
            let settings = self.settings();
            let birth = Birth {
                lineage,
                now,
                settings,
            };
            let begin = |current: &Context| match self.inner.is_foreign {
                true => self.begin_foreign(&**policy, current, birth, kind),
                false => birth::begin((&**policy, self.inner.rule), current, birth, kind),
            };
            let begun = match self.inner.rule {
                // Cloned first: the policy may ask for the current context itself.
                Rule::Ask => begin(&Context::current()),
                Rule::All | Rule::LikeParent => Context::map_current(begin),
            };
            if let Some(begun) = begun {
                return begun;
            }
        }
        Begun::inherited(match lineage {
            Lineage::Inherit | Lineage::Child => inherited(),
            Lineage::Root => inherited().map(|context| birth::without_span(&context)),
        })
    }

    #[cold]
    fn begin_foreign(
        &self,
        policy: &dyn SpanPolicy,
        current: &Context,
        birth: Birth<'_>,
        kind: KindRef,
    ) -> Option<Begun> {
        let kind = self.inner.kinds.get(kind.index)?;
        birth::begin_foreign(policy, current, birth, &kind)
    }

    pub(super) fn end_foreign(&self, context: &Context, record: SpanRecord) {
        let kind = self.inner.kinds.get(record.kind);
        if let (Some(policy), Some(kind)) = (&self.inner.policy, kind) {
            policy.end_foreign(context, &kind, record);
        }
    }

    // ----- switches -----

    /// Switches recording on or off: processes that are spawned while it is off are not counted and
    /// have no spans. Those that were spawned before go on; the numbers about the runtime itself
    /// and the flight recorder are kept in any case.
    pub fn set_recording(&self, recording: bool) {
        self.inner.settings.set_recording(recording);
    }

    /// Whether processes that are spawned now are recorded.
    pub fn is_recording(&self) -> bool {
        self.inner.settings.is_recording()
    }

    /// Changes which processes of this type get spans from now on.
    pub fn set_names(&self, process_type: ProcessType, names: NameList) {
        self.inner.kinds.set_names(process_type, names);
    }

    /// How polls and parents are treated.
    pub fn treatment(&self) -> Treatment {
        self.inner.settings.treatment()
    }

    /// Changes how much is recorded of each poll.
    pub fn set_poll_detail(&self, detail: PollDetail) {
        self.inner.settings.set_detail(detail);
    }

    /// Changes from when on a poll is slow.
    pub fn set_slow_poll(&self, threshold: Duration) {
        self.inner.settings.set_slow_poll(threshold);
    }

    /// Changes whether futures given to `timeout` are processes of their own.
    pub fn set_future_tracing(&self, enabled: bool) {
        self.inner.settings.set_traces_futures(enabled);
    }

    /// Whether futures given to `timeout` are processes of their own.
    #[inline]
    pub fn traces_futures(&self) -> bool {
        self.inner.settings.traces_futures()
    }

    // ----- what the floor's other files ask -----

    #[inline]
    pub(super) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    #[inline]
    pub(super) fn span_limit(&self) -> usize {
        self.inner
            .policy
            .as_ref()
            .map_or(0, |policy| policy.limit())
    }

    /// Counts something on a thread that has no pen.
    #[inline]
    pub fn count(&self, counter: Counter, number: u64) {
        let shard = &self.inner.others;
        shard.health.add(counter, number, shard.writers);
    }

    #[inline]
    pub(super) fn started(&self) -> Ticks {
        self.inner.started
    }

    pub(super) fn observed(&self) -> &Mutex<Option<Weak<dyn Observed>>> {
        &self.inner.observed
    }

    pub(super) fn worker_shards(&self) -> &[Arc<Shard>] {
        &self.inner.workers
    }

    pub(super) fn other_shard(&self) -> &Arc<Shard> {
        &self.inner.others
    }

    pub(super) fn guests(&self) -> &Guests {
        &self.inner.guests
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = Arc<Lane>> {
        let others = self.inner.other_lanes.all();
        self.inner.worker_lanes.iter().cloned().chain(others)
    }

    #[inline]
    pub(super) fn bounds(&self) -> &Bounds {
        &self.inner.bounds
    }

    /// Hands over a span of a thread that is no worker; tells whether there was room. The drain is
    /// called while the way is more than a quarter full, as by the workers' rings.
    pub(super) fn hand_over_shared(&self, span: SpanRecord) -> bool {
        let size = self.inner.span_ring;
        let way = self.inner.from_others.get_or_init(|| ArrayQueue::new(size));
        let handed = way.push(span).is_ok();
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

    /// One of them.
    pub fn kind(&self, index: u32) -> Option<Arc<Kind>> {
        self.inner.kinds.get(index)
    }

    /// How many processes have panicked.
    pub fn panics(&self) -> u64 {
        read(&self.inner.panics)
    }

    #[cold]
    pub(super) fn count_panic(&self) {
        // Relaxed: a count that nothing else hangs on.
        self.inner.panics.fetch_add(1, Relaxed);
    }

    /// Moves up to `most` ended spans into `into`, and returns how many it moved. To be called by
    /// one thread at a time; others wait.
    pub fn drain_spans(&self, into: &mut Vec<SpanRecord>, most: usize) -> usize {
        let before = into.len();
        let from_others = std::iter::from_fn(|| self.inner.from_others.get()?.pop());
        into.extend(from_others.take(most));
        for ring in self.inner.consumers.lock().iter_mut() {
            let left = most - (into.len() - before);
            ring.pop_into(into, left);
        }
        into.len() - before
    }

    /// How many ended spans wait for the drain.
    pub fn waiting_spans(&self) -> usize {
        let in_rings: usize = self.inner.consumers.lock().iter().map(Consumer::len).sum();
        in_rings + self.inner.from_others.get().map_or(0, ArrayQueue::len)
    }

    /// Sums up what all threads have counted.
    pub fn snapshot(&self) -> Snapshot {
        let scale = Scale::current();
        let guests = self.inner.guests.all();
        let not_workers = [&self.inner.others].into_iter().chain(&guests);
        let shards: Vec<&Arc<Shard>> = self.inner.workers.iter().chain(not_workers).collect();
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

fn worker_lane(worker: usize, moments: usize) -> Arc<Lane> {
    let name = format!("worker {worker}").into();
    Arc::new(Lane::new(LaneKind::Worker(worker as u16), name, moments))
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
