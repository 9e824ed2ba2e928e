//! Flight records without a runtime: lanes written by hand, and those of a small made-up scheduler.

use std::panic::Location;
use std::sync::Arc;

use telemetry_rt_clock::{Anchor, Ticks};
use telemetry_rt_telemetry::record::{
    FlightEvent, FlightRecord, Kind, Lane, LaneKind, Moment, ProcessType, Waiting, WakeCause,
};

/// Some moment: the tests write nanoseconds since then.
const ORIGIN: u64 = 1 << 40;

pub fn kind(index: u32, process_type: ProcessType, name: &str) -> Kind {
    Kind {
        index,
        process_type,
        name: name.to_owned().leak(),
        path: format!("shop::{name}").leak(),
        error_type: None,
        site: Some(Location::caller()),
        traced: true,
    }
}

pub fn overflow(index: u32, process_type: ProcessType) -> Kind {
    Kind {
        site: None,
        ..kind(index, process_type, "")
    }
}

/// A record in the making.
pub struct Hand {
    anchor: Anchor,
    kinds: Vec<Arc<Kind>>,
    lanes: Vec<HandLane>,
}

pub struct HandLane {
    anchor: Anchor,
    lane: Lane,
}

fn ticks(anchor: &Anchor, nanos: u64) -> Ticks {
    Ticks(ORIGIN + anchor.scale().ticks(nanos))
}

impl Hand {
    pub fn new(kinds: Vec<Kind>) -> Hand {
        Hand {
            anchor: Anchor::now(),
            kinds: kinds.into_iter().map(Arc::new).collect(),
            lanes: Vec::new(),
        }
    }

    pub fn lane(&mut self, kind: LaneKind, name: &str, overwritten: u64) -> &mut HandLane {
        self.lanes.push(HandLane {
            anchor: self.anchor,
            lane: Lane {
                kind,
                name: name.into(),
                events: Vec::new(),
                overwritten,
            },
        });
        self.lanes.last_mut().unwrap()
    }

    pub fn taken(&self, nanos: u64) -> FlightRecord {
        FlightRecord {
            at: ticks(&self.anchor, nanos),
            anchor: self.anchor,
            lanes: self.lanes.iter().map(|lane| lane.lane.clone()).collect(),
            kinds: self.kinds.clone(),
        }
    }
}

impl HandLane {
    fn add(&mut self, nanos: u64, moment: Moment) -> &mut HandLane {
        let at = ticks(&self.anchor, nanos);
        self.lane.events.push(FlightEvent { at, moment });
        self
    }

    pub fn start(&mut self, at: u64, task: u64, kind: u32, cause: WakeCause) -> &mut HandLane {
        self.add(at, Moment::PollStarted { task, kind, cause })
    }

    pub fn end(&mut self, at: u64, task: u64, waiting: Option<Waiting>) -> &mut HandLane {
        self.add(at, Moment::PollEnded { task, waiting })
    }

    pub fn woke(&mut self, at: u64, task: u64) -> &mut HandLane {
        self.add(at, Moment::Woke { task })
    }

    pub fn park(&mut self, at: u64) -> &mut HandLane {
        self.add(at, Moment::Parked)
    }

    pub fn unpark(&mut self, at: u64) -> &mut HandLane {
        self.add(at, Moment::Unparked)
    }

    pub fn stole(&mut self, at: u64, victim: u16, tasks: u32) -> &mut HandLane {
        self.add(at, Moment::Stole { victim, tasks })
    }

    fn forget(&mut self, moments: usize) {
        let moments = moments.min(self.lane.events.len());
        self.lane.events.drain(..moments);
        self.lane.overwritten = moments as u64;
    }
}

/// What the made-up scheduler knows of a task.
#[derive(Clone, Copy)]
struct Task {
    id: u64,
    kind: u32,
    /// When it was made ready, or went idle.
    since: u64,
    ready: Option<WakeCause>,
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

const WORKERS: usize = 4;
const TURNS: usize = 800;

/// The record of four busy workers, a `block_on` and a blocking thread, whose rings have lost their
/// first moments: `lost` on the first worker's lane, somewhat more on each further one.
pub fn busy(lost: usize) -> FlightRecord {
    let mut hand = Hand::new(vec![
        kind(0, ProcessType::Task, "accept"),
        kind(1, ProcessType::Task, "serve"),
        kind(2, ProcessType::Task, "query"),
        kind(3, ProcessType::Future, "main"),
        kind(4, ProcessType::Blocking, "hash"),
    ]);
    let end = Made::up(&mut hand).run();
    if lost > 0 {
        for (number, lane) in hand.lanes.iter_mut().enumerate() {
            lane.forget(lost + 5 * number);
        }
    }
    let main = hand.lane(LaneKind::BlockOn, "main", 0);
    main.start(0, 1_000, 3, WakeCause::Spawn)
        .end(20_000, 1_000, Some(Waiting::Join))
        .park(20_100);
    let blocking = hand.lane(LaneKind::Blocking, "rt-blocking-0", 0);
    for number in 0..20 {
        let start = number * end / 20;
        blocking.start(start, 2_000 + number, 4, WakeCause::Spawn);
        blocking.end(start + end / 50, 2_000 + number, None);
    }
    hand.taken(end + 3_000)
}

/// A scheduler of which nothing is real but the moments that it notes.
struct Made<'a> {
    hand: &'a mut Hand,
    numbers: Numbers,
    clocks: [u64; WORKERS],
    tasks: Vec<Task>,
}

impl Made<'_> {
    fn up(hand: &mut Hand) -> Made<'_> {
        for worker in 0..WORKERS {
            let name = format!("rt-worker-{worker}");
            hand.lane(LaneKind::Worker(worker as u16), &name, 0);
        }
        let task = |id| Task {
            id,
            kind: (id % 3) as u32,
            since: 100 * id,
            ready: Some(WakeCause::Spawn),
        };
        Made {
            hand,
            numbers: Numbers(7),
            clocks: [0; WORKERS],
            tasks: (1..=12).map(task).collect(),
        }
    }

    /// Lets the worker whose clock is furthest behind do something, over and over. The first one
    /// does not end its last poll.
    fn run(mut self) -> u64 {
        for _ in 0..TURNS {
            let worker = (0..WORKERS).min_by_key(|&worker| self.clocks[worker]);
            let worker = worker.expect("there are workers");
            match self.find(self.clocks[worker], true) {
                Some(task) => self.poll(worker, task),
                None => self.park(worker),
            }
        }
        let end = *self.clocks.iter().max().expect("there are workers");
        self.hand.lanes[0].start(end, 77, 1, WakeCause::Spawn);
        end
    }

    /// The task that has been ready, or idle, for longest at this time.
    fn find(&self, now: u64, ready: bool) -> Option<usize> {
        let tasks = 0..self.tasks.len();
        tasks
            .filter(|&task| self.tasks[task].ready.is_some() == ready)
            .filter(|&task| self.tasks[task].since <= now)
            .min_by_key(|&task| self.tasks[task].since)
    }

    fn poll(&mut self, worker: usize, task: usize) {
        let now = self.clocks[worker];
        let Task {
            id, kind, ready, ..
        } = self.tasks[task];
        let cause = ready.expect("only what is ready is polled");
        self.hand.lanes[worker].start(now, id, kind, cause);
        let end = now + 500 + self.numbers.below(20_000);
        // Not found by the wakes below: it is neither ready nor idle during its poll.
        self.tasks[task].since = u64::MAX;
        for _ in 0..self.numbers.below(2) {
            // A worker stamps its wakes with the time at which its poll started.
            self.wake(worker, now, WakeCause::Task);
        }
        let waiting = Waiting::ALL[self.numbers.below(5) as usize];
        self.hand.lanes[worker].end(end, id, Some(waiting));
        self.tasks[task] = Task {
            since: end,
            ready: None,
            ..self.tasks[task]
        };
        self.clocks[worker] = end;
    }

    fn park(&mut self, worker: usize) {
        let now = self.clocks[worker] + 100;
        let woken = now + 1_000 + self.numbers.below(9_000);
        self.hand.lanes[worker].park(now).unpark(woken);
        for _ in 0..self.numbers.below(4) {
            self.wake(worker, woken, WakeCause::Driver);
        }
        if self.numbers.below(3) == 0 {
            let victim = (worker + 1) % WORKERS;
            let tasks = 1 + self.numbers.below(5) as u32;
            self.hand.lanes[worker].stole(woken + 40, victim as u16, tasks);
        }
        self.clocks[worker] = woken + 50;
    }

    fn wake(&mut self, worker: usize, now: u64, cause: WakeCause) {
        if let Some(task) = self.find(now, false) {
            let task = &mut self.tasks[task];
            task.since = now;
            task.ready = Some(cause);
            let id = task.id;
            self.hand.lanes[worker].woke(now, id);
        }
    }
}
