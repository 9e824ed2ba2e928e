//! The flight recorder: what one thread did last.
//!
//! A lane is a ring of 16-byte moments, which its thread overwrites for ever. It has one writer at a
//! time and any number of readers, who disturb nobody and may come too late for the oldest moments.
//!
//! # How a reader knows what it has read
//!
//! A moment is two words, and may be overwritten while it is read. `head` counts the moments that
//! were written. The writer of moment `n` first sees to it that `head == n` is seen by whoever sees
//! one of its words (a release fence), then writes the words, then stores `head = n + 1`. A reader
//! loads `head`, copies, and loads `head` again behind an acquire fence: if it has read a word of
//! moment `n`, that second load is `n` at the least. So all that lies `capacity` or more before the
//! second value may be torn, and is thrown away; the rest is whole.
//!
//! # The words
//!
//! ```text
//!   first    63                                                      0
//!            ticks
//!   second   63..60   59..48        47..40              39..0
//!            moment   kind, victim  cause, waiting      task, tasks
//! ```

use std::cell::RefCell;
use std::ptr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use telemetry_rt_clock::Ticks;

use super::sync::{Flag, Ordering, Word, fence};
use super::view::{FlightEvent, Lane as LaneView, LaneKind, Moment};
use crate::record::{Waiting, WakeCause};

/// See the module.
pub(super) struct Lane {
    head: Word,
    slots: Box<[[Word; 2]]>,
    /// The poll in progress, in the words of its start; zero when there is none.
    running: [Word; 2],
    kind: LaneKind,
    name: Arc<str>,
    /// Whether a pen writes it.
    in_use: Flag,
}

const TASK_BITS: u32 = 40;
const DETAIL_SHIFT: u32 = 40;
const KIND_SHIFT: u32 = 48;
const MOMENT_SHIFT: u32 = 60;
const KIND_MASK: u64 = 0xfff;

const POLL_STARTED: u64 = 1;
const POLL_ENDED: u64 = 2;
const WOKE: u64 = 3;
const PARKED: u64 = 4;
const UNPARKED: u64 = 5;
const STOLE: u64 = 6;

/// What a poll that has ended for good waits for.
const NOTHING: u64 = Waiting::COUNT as u64;

#[inline]
fn word(moment: u64, kind: u64, detail: u64, task: u64) -> u64 {
    moment << MOMENT_SHIFT
        | (kind & KIND_MASK) << KIND_SHIFT
        | detail << DETAIL_SHIFT
        | task & ((1 << TASK_BITS) - 1)
}

/// Reads the second word. `None` if it was never written.
fn moment_of(word: u64) -> Option<Moment> {
    let kind = word >> KIND_SHIFT & KIND_MASK;
    let detail = (word >> DETAIL_SHIFT & 0xff) as usize;
    let task = word & ((1 << TASK_BITS) - 1);
    Some(match word >> MOMENT_SHIFT {
        POLL_STARTED => Moment::PollStarted {
            task,
            kind: kind as u32,
            cause: WakeCause::ALL.get(detail).copied().unwrap_or_default(),
        },
        POLL_ENDED => Moment::PollEnded {
            task,
            waiting: Waiting::ALL.get(detail).copied(),
        },
        WOKE => Moment::Woke { task },
        PARKED => Moment::Parked,
        UNPARKED => Moment::Unparked,
        STOLE => Moment::Stole {
            victim: kind as u16,
            tasks: task as u32,
        },
        _ => return None,
    })
}

impl Lane {
    /// A lane that is in use.
    pub(super) fn new(kind: LaneKind, name: Arc<str>, capacity: usize) -> Lane {
        let capacity = capacity.next_power_of_two().max(2);
        Lane {
            head: Word::new(0),
            slots: (0..capacity)
                .map(|_| [Word::new(0), Word::new(0)])
                .collect(),
            running: [Word::new(0), Word::new(0)],
            kind,
            name,
            in_use: Flag::new(true),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn is_in_use(&self) -> bool {
        // Relaxed: decides what is forgotten.
        self.in_use.load(Ordering::Relaxed)
    }

    /// Makes the caller the one that writes it. `false` if somebody does.
    fn claim(&self) -> bool {
        // Acquire: pairs with `release`: what the writer before wrote last is seen.
        !self.in_use.swap(true, Ordering::Acquire)
    }

    /// Nobody writes it any more; what it shows stays.
    pub(super) fn release(&self) {
        self.in_use.store(false, Ordering::Release);
    }

    // ----- the writer -----

    #[inline]
    pub(super) fn poll_started(&self, at: Ticks, task: u64, kind: u32, cause: WakeCause) {
        let word = word(POLL_STARTED, u64::from(kind), cause as u64, task);
        self.write(at, word);
        // Release, both: whoever sees the word sees that the poll before it has ended, and whoever
        // sees the time sees the word.
        self.running[1].store(word, Ordering::Release);
        self.running[0].store(at.0, Ordering::Release);
    }

    #[inline]
    pub(super) fn poll_ended(&self, at: Ticks, task: u64, waiting: Option<Waiting>) {
        // Relaxed: seen late, it is a poll that has just ended.
        self.running[0].store(0, Ordering::Relaxed);
        let detail = waiting.map_or(NOTHING, |waiting| waiting as u64);
        self.write(at, word(POLL_ENDED, 0, detail, task));
    }

    #[inline]
    pub(super) fn woke(&self, at: Ticks, task: u64) {
        self.write(at, word(WOKE, 0, 0, task));
    }

    pub(super) fn parked(&self, at: Ticks) {
        self.write(at, word(PARKED, 0, 0, 0));
    }

    pub(super) fn unparked(&self, at: Ticks) {
        self.write(at, word(UNPARKED, 0, 0, 0));
    }

    pub(super) fn stole(&self, at: Ticks, victim: usize, tasks: usize) {
        self.write(at, word(STOLE, victim as u64, 0, tasks as u64));
    }

    #[inline]
    fn write(&self, at: Ticks, word: u64) {
        let number = self.head.own();
        let slot = &self.slots[number as usize & (self.slots.len() - 1)];
        // Whoever sees one of the two words sees `head == number`: pairs with the acquire fence in
        // `read`. Costs nothing on x86; on ARM it is a barrier.
        fence(Ordering::Release);
        slot[0].store(at.0, Ordering::Relaxed);
        slot[1].store(word, Ordering::Relaxed);
        // Release: whoever sees the new head sees the words.
        self.head.store(number + 1, Ordering::Release);
    }

    // ----- readers -----

    /// The moments that are there, oldest first, and how many were before them.
    fn read(&self) -> (Vec<(u64, u64)>, u64) {
        let capacity = self.slots.len() as u64;
        // Acquire: pairs with the Release in `write`.
        let end = self.head.load(Ordering::Acquire);
        let first = end.saturating_sub(capacity);
        let mut words: Vec<(u64, u64)> = (first..end)
            .map(|number| {
                let slot = &self.slots[number as usize & (self.slots.len() - 1)];
                // Relaxed: the fence below tells which of these were overwritten meanwhile.
                let at = slot[0].load(Ordering::Relaxed);
                (at, slot[1].load(Ordering::Relaxed))
            })
            .collect();
        // Pairs with the fence in `write`.
        fence(Ordering::Acquire);
        let now = self.head.load(Ordering::Relaxed);
        // The moment `now` may be half written, over the one that lies `capacity` before it.
        let whole = (now + 1).saturating_sub(capacity).clamp(first, end);
        words.drain(..(whole - first) as usize);
        (words, whole)
    }

    pub(super) fn view(&self) -> LaneView {
        let (words, overwritten) = self.read();
        let events = words.into_iter().filter_map(|(at, word)| {
            Some(FlightEvent {
                at: Ticks(at),
                moment: moment_of(word)?,
            })
        });
        LaneView {
            kind: self.kind,
            name: Arc::clone(&self.name),
            events: events.collect(),
            overwritten,
        }
    }

    /// The poll in progress: since when, which process, of which kind.
    pub(super) fn running(&self) -> Option<(Ticks, u64, u32)> {
        // Acquire, both: pair with `poll_started`. The start is read on both sides of the word: if it
        // is the same, the word is that of the poll, for a later one would come with another start.
        let since = self.running[0].load(Ordering::Acquire);
        let word = self.running[1].load(Ordering::Acquire);
        let still = self.running[0].load(Ordering::Relaxed);
        if since == 0 || since != still {
            return None;
        }
        match moment_of(word) {
            Some(Moment::PollStarted { task, kind, .. }) => Some((Ticks(since), task, kind)),
            _ => None,
        }
    }
}

/// The lanes of threads that are no workers. They come and go; what they did last stays readable
/// until [`KEPT`] others have ended.
#[derive(Default)]
pub(super) struct Lanes {
    all: Mutex<Vec<Arc<Lane>>>,
}

/// So many lanes are kept though their threads are gone.
const KEPT: usize = 32;

thread_local! {
    /// The lane that this thread had in its last `block_on`, and whose it was.
    static LAST: RefCell<Option<(*const Lanes, Weak<Lane>)>> = const { RefCell::new(None) };
}

impl Lanes {
    /// A lane for a thread in a `block_on`: the one that it had the last time, if that was here. Takes
    /// no lock then, because a program may do this all the time.
    pub(super) fn take_again(&self, name: &dyn Fn() -> Arc<str>, size: usize) -> Arc<Lane> {
        let last = LAST.try_with(|last| match &*last.borrow() {
            Some((lanes, lane)) if ptr::eq(*lanes, self) => lane.upgrade(),
            _ => None,
        });
        if let Some(lane) = last.ok().flatten().filter(|lane| lane.claim()) {
            return lane;
        }
        let lane = self.take(LaneKind::BlockOn, name(), size);
        // A thread that is ending has to do without.
        let _ =
            LAST.try_with(|last| last.replace(Some((ptr::from_ref(self), Arc::downgrade(&lane)))));
        lane
    }

    /// A new lane.
    pub(super) fn take(&self, kind: LaneKind, name: Arc<str>, size: usize) -> Arc<Lane> {
        let lane = Arc::new(Lane::new(kind, name, size));
        let mut all = self.all.lock();
        let is_free = |lane: &Arc<Lane>| !lane.is_in_use();
        if all.iter().filter(|lane| is_free(lane)).count() >= KEPT
            && let Some(oldest) = all.iter().position(is_free)
        {
            all.remove(oldest);
        }
        all.push(Arc::clone(&lane));
        lane
    }

    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.all.lock().clone()
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn lane(capacity: usize) -> Lane {
        Lane::new(LaneKind::Worker(0), "worker 0".into(), capacity)
    }

    fn tasks(view: &LaneView) -> Vec<u64> {
        view.events
            .iter()
            .map(|event| match event.moment {
                Moment::Woke { task } => task,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn every_moment_is_read_as_it_was_written() {
        let lane = lane(16);
        lane.poll_started(Ticks(1), 7, 4095, WakeCause::Timer);
        lane.woke(Ticks(2), (1 << TASK_BITS) - 1);
        lane.poll_ended(Ticks(3), 7, Some(Waiting::Join));
        lane.poll_ended(Ticks(4), 7, None);
        lane.parked(Ticks(5));
        lane.unparked(Ticks(6));
        lane.stole(Ticks(7), 3, 12);
        let view = lane.view();
        let moments: Vec<Moment> = view.events.iter().map(|event| event.moment).collect();
        assert_eq!(
            moments,
            [
                Moment::PollStarted {
                    task: 7,
                    kind: 4095,
                    cause: WakeCause::Timer
                },
                Moment::Woke {
                    task: (1 << TASK_BITS) - 1
                },
                Moment::PollEnded {
                    task: 7,
                    waiting: Some(Waiting::Join)
                },
                Moment::PollEnded {
                    task: 7,
                    waiting: None
                },
                Moment::Parked,
                Moment::Unparked,
                Moment::Stole {
                    victim: 3,
                    tasks: 12
                },
            ]
        );
        assert!(view.events.iter().map(|event| event.at.0).eq(1..=7));
        assert_eq!(view.overwritten, 0);
    }

    #[test]
    fn the_newest_moments_stay_and_the_others_are_counted() {
        let lane = lane(8);
        (0..20).for_each(|task| lane.woke(Ticks(task), task));
        let view = lane.view();
        // One less than fit: the slot that is written next may be torn at any time.
        assert_eq!(tasks(&view), (13..20).collect::<Vec<_>>());
        assert_eq!(view.overwritten, 13);
    }

    #[test]
    fn the_poll_in_progress_is_seen_until_it_ends() {
        let lane = lane(8);
        assert_eq!(lane.running(), None);
        lane.poll_started(Ticks(5), 9, 3, WakeCause::Task);
        assert_eq!(lane.running(), Some((Ticks(5), 9, 3)));
        lane.poll_ended(Ticks(6), 9, None);
        assert_eq!(lane.running(), None);
    }

    #[test]
    fn a_reader_beside_a_writer_sees_only_whole_moments() {
        let lane = Arc::new(lane(8));
        let writer = Arc::clone(&lane);
        let writing = std::thread::spawn(move || {
            (1..200_000).for_each(|number| writer.woke(Ticks(number), number));
        });
        while !writing.is_finished() {
            let view = lane.view();
            for event in &view.events {
                assert_eq!(event.moment, Moment::Woke { task: event.at.0 });
            }
            assert!(view.events.is_sorted_by_key(|event| event.at));
        }
        writing.join().unwrap();
    }

    #[test]
    fn a_thread_gets_its_lane_back_unless_it_is_in_use() {
        let (lanes, others) = (Lanes::default(), Lanes::default());
        let name = || Arc::from("main");
        let first = lanes.take_again(&name, 8);
        let nested = lanes.take_again(&name, 8);
        assert!(!Arc::ptr_eq(&first, &nested));
        nested.release();
        assert!(Arc::ptr_eq(&nested, &lanes.take_again(&name, 8)));
        nested.release();
        assert!(!Arc::ptr_eq(&nested, &others.take_again(&name, 8)));
    }

    #[test]
    fn lanes_of_the_gone_are_bounded_and_those_in_use_stay() {
        let lanes = Lanes::default();
        let used = lanes.take(LaneKind::Blocking, "used".into(), 8);
        for _ in 0..3 * KEPT {
            lanes.take(LaneKind::Blocking, "gone".into(), 8).release();
        }
        let all = lanes.all();
        assert!(all.len() <= KEPT + 2, "{}", all.len());
        assert!(all.iter().any(|lane| Arc::ptr_eq(lane, &used)));
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::record::active::sync::model::{Arc, Seed, explore};

    fn lane() -> Lane {
        Lane::new(LaneKind::Worker(0), "worker".into(), 2)
    }

    fn reader_beside_writer() {
        let lane = Arc::new(lane());
        lane.woke(Ticks(1), 1);
        let writer = Arc::clone(&lane);
        let writing = loom::thread::spawn(move || {
            writer.woke(Ticks(2), 2);
            writer.woke(Ticks(3), 3);
        });
        for event in lane.view().events {
            assert_eq!(event.moment, Moment::Woke { task: event.at.0 });
        }
        writing.join().unwrap();
    }

    /// Two threads that come one after the other, or find the lane in use.
    fn two_threads_want_the_lane() {
        let lane = Arc::new(Lane::new(LaneKind::BlockOn, "main".into(), 4));
        lane.release();
        let theirs = Arc::clone(&lane);
        let other = loom::thread::spawn(move || write_once(&theirs, 1));
        let written = write_once(&lane, 2) + other.join().unwrap();
        let events = lane.view().events;
        assert_eq!(events.len(), written, "moments that are there");
    }

    fn write_once(lane: &Lane, task: u64) -> usize {
        if !lane.claim() {
            return 0;
        }
        lane.woke(Ticks(task), task);
        lane.release();
        1
    }

    /// Somebody asks for the poll in progress, while one ends and the next begins.
    fn a_look_at_the_poll_in_progress() {
        let lane = Arc::new(lane());
        let poll = |lane: &Lane, task| lane.poll_started(Ticks(task), task, 0, WakeCause::Task);
        poll(&lane, 1);
        let writer = Arc::clone(&lane);
        let writing = loom::thread::spawn(move || {
            writer.poll_ended(Ticks(2), 1, None);
            poll(&writer, 3);
        });
        if let Some((since, task, _)) = lane.running() {
            assert_eq!(since.0, task, "a poll made of two");
        }
        writing.join().unwrap();
    }

    #[test]
    fn loom_a_writer_goes_on_where_the_one_before_has_stopped() {
        explore(None, two_threads_want_the_lane);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_a_lane_that_is_passed_on_without_order_loses_a_moment() {
        explore(Some(Seed::RelaxedFlags), two_threads_want_the_lane);
    }

    #[test]
    fn loom_the_poll_in_progress_is_seen_as_one() {
        explore(None, a_look_at_the_poll_in_progress);
    }

    #[test]
    #[should_panic(expected = "a poll made of two")]
    fn loom_a_poll_that_begins_without_order_is_seen_with_the_task_before() {
        explore(Some(Seed::RelaxedStores), a_look_at_the_poll_in_progress);
    }

    #[test]
    fn loom_a_reader_sees_only_whole_moments() {
        explore(None, reader_beside_writer);
    }

    #[test]
    #[should_panic]
    fn loom_without_the_fences_a_torn_moment_is_seen() {
        explore(Some(Seed::NoFences), reader_beside_writer);
    }
}
