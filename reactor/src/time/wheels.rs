//! All timers of one runtime: a shard for each worker, one clock, and the driver's wait.
//!
//! A timer lies in the shard of the worker that first polled it, or in one picked by thread when
//! that was no worker, and stays there until it fires or is dropped. Firing and removing do not
//! care whose shard it is.

use super::clock::Clock;
use super::shard::{Insert, Look, Shard};
use super::wait::Wait;
use super::wheel::{Key, Moved, NEVER};
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

pub(crate) struct Wheels {
    clock: Clock,
    wait: Wait,
    /// Where a paused clock goes at the end of the driver's wait; [`NEVER`] when it stays.
    advance_to: AtomicU64,
    /// The latest tick at which timers were fired; it lags behind by a turn of the driver.
    reached: AtomicU64,
    shards: Box<[CachePadded<Shard>]>,
}

/// Where a pending timer lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    shard: u32,
    key: Key,
}

/// What became of a timer that was to be added. A waker that is not needed is given back, to be
/// dropped where any code may run.
#[derive(Debug)]
pub(super) enum Added {
    Pending(Ticket),
    /// Its deadline has passed.
    Due(Waker),
    /// The runtime is shut down: it will never fire.
    Closed(Waker),
}

/// Whether the driver waits too long for the timer that was just added or moved.
#[must_use = "the timer would fire late"]
pub(super) struct WakeDriver(pub(super) bool);

/// For the driver.
impl Wheels {
    pub(crate) fn new(shards: usize, pausable: bool, start_paused: bool) -> Wheels {
        Wheels {
            clock: Clock::new(pausable, start_paused),
            wait: Wait::new(),
            advance_to: AtomicU64::new(NEVER),
            reached: AtomicU64::new(0),
            shards: (0..shards.max(1))
                .map(|_| CachePadded::new(Shard::new()))
                .collect(),
        }
    }

    /// How long the driver may wait, `None` as long as it takes: `max_wait`, or until the next
    /// timer if that is less. Until [`end_wait`](Wheels::end_wait), whoever adds an earlier
    /// timer wakes the driver.
    ///
    /// Where the clock is paused, nothing inhibits it and `may_advance` says that nothing else
    /// is left to do, the driver does not wait, and the end of the wait moves the clock to the
    /// next timer.
    pub(crate) fn begin_wait(
        &self,
        max_wait: Option<Duration>,
        may_advance: bool,
    ) -> Option<Duration> {
        if max_wait == Some(Duration::ZERO) {
            return max_wait;
        }
        if self.clock.is_paused() {
            return self.begin_paused_wait(max_wait, may_advance);
        }
        let now = self.clock.since_origin();
        let limit = max_wait.map_or(NEVER, |wait| end_of(now, wait));
        let until = self.wait.begin(limit, || self.earliest());
        if until == limit {
            return max_wait;
        }
        Some(Duration::from_millis(until).saturating_sub(now))
    }

    pub(crate) fn end_wait(&self) {
        self.wait.end();
        // Relaxed: only the thread that holds the driver touches it.
        let to = self.advance_to.load(Ordering::Relaxed);
        if to != NEVER {
            self.forgo_advance();
            self.clock.advance_to(to);
        }
    }

    /// The driver was woken during the wait, or I/O arrived: there is something to do before a
    /// paused clock moves on. To be called before [`end_wait`](Wheels::end_wait).
    pub(crate) fn forgo_advance(&self) {
        // Relaxed: as in `end_wait`.
        self.advance_to.store(NEVER, Ordering::Relaxed);
    }

    /// Fires all that is due, in all shards, and says how many that were.
    #[inline]
    pub(crate) fn fire_due(&self) -> u32 {
        let now = self.clock.tick_now();
        self.reach(now);
        let due = self.shards.iter().filter(|shard| shard.next() <= now);
        due.map(|shard| shard.fire(now)).sum()
    }

    /// How many timers are set.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// When a worker has to be awake that parks without the driver: at the earliest timer that
    /// the driver's wait does not cover. `None` when there is none, or the clock is paused.
    pub(crate) fn sleeper_deadline(&self) -> Option<Instant> {
        let tick = self.wait.uncovered(|| self.earliest())?;
        if self.clock.is_paused() {
            return None;
        }
        // A clock that was paused and runs again shows another time than the machine.
        let left = Duration::from_millis(tick).saturating_sub(self.clock.since_origin());
        telemetry_rt_clock::instant().checked_add(left)
    }

    /// Takes no timers from now on; adds to `wakers` those who wait for one. Polling a sleep that
    /// has not elapsed panics from then on, as it would wait for ever.
    pub(crate) fn shutdown(&self, wakers: &mut Vec<Waker>) {
        self.shards.iter().for_each(|shard| shard.close(wakers));
    }

    fn begin_paused_wait(&self, max_wait: Option<Duration>, may_advance: bool) -> Option<Duration> {
        // Whoever adds a timer, or allows the clock to move, wakes the driver for it.
        let next = self.wait.begin(NEVER, || self.earliest_exactly());
        if !may_advance || next == NEVER || self.clock.is_inhibited() {
            return max_wait;
        }
        self.advance_to.store(next, Ordering::Relaxed);
        Some(Duration::ZERO)
    }

    fn earliest(&self) -> u64 {
        let all = self.shards.iter().map(|shard| shard.next());
        all.min().unwrap_or(NEVER)
    }

    /// Takes all locks. Time must not jump to a timer that was removed.
    fn earliest_exactly(&self) -> u64 {
        let all = self.shards.iter().map(|shard| shard.refresh_next());
        all.min().unwrap_or(NEVER)
    }
}

/// For whoever tests.
impl Wheels {
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the driver has to be told that the clock was changed.
    pub(super) fn is_waited_for(&self) -> bool {
        self.wait.in_progress()
    }

    /// Forbids a paused clock to move by itself, until as many calls of
    /// [`allow_auto_advance`](Wheels::allow_auto_advance).
    pub(crate) fn inhibit_auto_advance(&self) {
        self.clock.inhibit();
    }

    /// Takes one inhibition back. The driver has to be woken after it.
    pub(crate) fn allow_auto_advance(&self) {
        self.clock.allow();
    }
}

/// For timers.
impl Wheels {
    #[inline]
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Adds a timer to the shard `own` of the calling worker, or to one picked for the calling
    /// thread. That its deadline passed since the driver last fired timers may go unnoticed until
    /// the next time.
    pub(super) fn insert(
        &self,
        deadline: Instant,
        waker: Waker,
        own: Option<usize>,
    ) -> (Added, WakeDriver) {
        let quiet = WakeDriver(false);
        let tick = self.clock.tick_of(deadline);
        if self.has_passed(deadline, tick) {
            return (Added::Due(waker), quiet);
        }
        let number = self.number_of(own);
        match self.shards[number].insert(tick, waker) {
            Insert::Pending(key) => {
                let shard = number as u32;
                let wake = self.waits_too_long(tick, own.is_some());
                (Added::Pending(Ticket { shard, key }), WakeDriver(wake))
            }
            Insert::Due(waker) => (Added::Due(waker), quiet),
            Insert::Closed(waker) => (Added::Closed(waker), quiet),
        }
    }

    /// The number of a shard, without a division: workers have one each.
    #[inline]
    fn number_of(&self, own: Option<usize>) -> usize {
        match own {
            Some(own) if own < self.shards.len() => own,
            _ => own.unwrap_or_else(spread) % self.shards.len(),
        }
    }

    #[inline]
    fn has_passed(&self, deadline: Instant, tick: u64) -> bool {
        if self.clock.was_paused() {
            // It may have been moved since timers were last fired.
            return deadline <= self.clock.now();
        }
        // Relaxed: it is a tick that has come, however old; nothing else hangs on it.
        tick <= self.reached.load(Ordering::Relaxed)
    }

    #[inline]
    fn reach(&self, tick: u64) {
        // Relaxed, both: as in `has_passed`. Written once a millisecond, as all workers read it.
        if self.reached.load(Ordering::Relaxed) < tick {
            self.reached.store(tick, Ordering::Relaxed);
        }
    }

    /// Whether the driver has to be woken for a timer. A worker looks at its own shard before it
    /// parks, so for its own timers a glance is enough: it spares them from waiting for the end of
    /// a long poll while another worker sleeps in the driver.
    fn waits_too_long(&self, tick: u64, own: bool) -> bool {
        match own {
            true => self.wait.seems_too_long(tick),
            false => self.wait.must_wake(tick),
        }
    }

    /// How a timer of that deadline stands, and whether it is `waker` that will be woken.
    pub(super) fn look(&self, ticket: Ticket, deadline: Instant, waker: &Waker) -> Look {
        let shard = self.shard(ticket);
        if shard.has_fired(self.clock.tick_of(deadline)) {
            return Look::Gone;
        }
        shard.look(ticket.key, waker)
    }

    /// See [`Shard::replace_waker`].
    pub(super) fn replace_waker(&self, ticket: Ticket, waker: Waker) -> Result<Waker, Waker> {
        self.shard(ticket).replace_waker(ticket.key, waker)
    }

    /// Gives a pending timer another deadline. Whoever waits for it is woken then; when it has
    /// passed, that is for the caller to do.
    pub(super) fn move_to(
        &self,
        ticket: Ticket,
        deadline: Instant,
        own: Option<usize>,
    ) -> (Moved<Waker>, WakeDriver) {
        let tick = self.clock.tick_of(deadline);
        let moved = self.shard(ticket).move_to(ticket.key, tick);
        let own = own == Some(ticket.shard as usize);
        let wake = matches!(moved, Moved::Pending) && self.waits_too_long(tick, own);
        (moved, WakeDriver(wake))
    }

    /// Takes a timer out; its waker is for the caller to drop.
    pub(super) fn remove(&self, ticket: Ticket) -> Option<Waker> {
        self.shard(ticket).remove(ticket.key)
    }

    fn shard(&self, ticket: Ticket) -> &Shard {
        &self.shards[ticket.shard as usize]
    }
}

/// The tick by which a wait of `wait` that begins at `now` is over.
fn end_of(now: Duration, wait: Duration) -> u64 {
    let end = now.saturating_add(wait).as_millis().saturating_add(1);
    u64::try_from(end).unwrap_or(NEVER)
}

/// A number that differs from thread to thread.
fn spread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        // Relaxed: it only has to be another number each time.
        static THIS: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    THIS.try_with(|number| *number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waking::tests::{Counts, Panics};
    use std::sync::Arc;
    use std::task::Wake;

    const MS: Duration = Duration::from_millis(1);

    fn paused(shards: usize) -> Wheels {
        Wheels::new(shards, true, true)
    }

    fn shut_down(wheels: &Wheels) {
        let mut wakers = Vec::new();
        wheels.shutdown(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn add(wheels: &Wheels, after: Duration, own: Option<usize>) -> (Ticket, bool) {
        match wheels.insert(wheels.now() + after, Waker::noop().clone(), own) {
            (Added::Pending(ticket), WakeDriver(wake)) => (ticket, wake),
            (other, _) => panic!("a timer {after:?} ahead is {other:?}"),
        }
    }

    #[test]
    fn the_driver_waits_until_the_next_timer_of_any_shard_or_as_long_as_it_was_told() {
        let wheels = Wheels::new(2, false, false);
        assert_eq!(wheels.begin_wait(None, false), None);
        assert_eq!(wheels.begin_wait(Some(MS), false), Some(MS));
        let _late = add(&wheels, 9_000 * MS, Some(0));
        let _early = add(&wheels, 1_000 * MS, Some(1));
        let wait = wheels.begin_wait(None, false);
        assert!(
            wait.is_some_and(|wait| wait <= 1_001 * MS && wait > 900 * MS),
            "{wait:?}"
        );
        assert_eq!(wheels.begin_wait(Some(7 * MS), false), Some(7 * MS));
        assert_eq!(
            wheels
                .begin_wait(Some(Duration::MAX), false)
                .map(|w| w < 1_002 * MS),
            Some(true)
        );
    }

    #[test]
    fn the_driver_is_woken_only_for_a_timer_earlier_than_the_wait() {
        let wheels = Wheels::new(2, false, false);
        assert!(!add(&wheels, 50 * MS, None).1, "nobody waits");
        assert!(wheels.begin_wait(None, false).is_some());
        assert!(add(&wheels, 10 * MS, None).1);
        assert!(!add(&wheels, 90 * MS, None).1);
        assert!(add(&wheels, 10 * MS, Some(0)).1, "its worker may be busy");
        assert!(!add(&wheels, 90 * MS, Some(0)).1);
        wheels.end_wait();
        assert!(!add(&wheels, 5 * MS, None).1);
        assert!(!add(&wheels, 5 * MS, Some(0)).1);
    }

    #[test]
    fn a_worker_that_parks_without_the_driver_sleeps_until_its_own_earlier_timer() {
        let wheels = Wheels::new(2, false, false);
        assert!(wheels.sleeper_deadline().is_none());
        let _covered = add(&wheels, 5_000 * MS, Some(0));
        assert!(wheels.begin_wait(None, false).is_some());
        assert!(wheels.sleeper_deadline().is_none());
        let _own = add(&wheels, 1_000 * MS, Some(1));
        let deadline = wheels.sleeper_deadline().map(|at| at - Instant::now());
        assert!(
            deadline.is_some_and(|wait| wait > 900 * MS && wait <= 1_001 * MS),
            "{deadline:?}"
        );
        wheels.end_wait();
        assert!(
            wheels.sleeper_deadline().is_some(),
            "nobody waits, nothing is covered"
        );
    }

    #[test]
    fn an_idle_paused_clock_moves_to_the_next_timer_that_was_not_removed() {
        let wheels = paused(1);
        let start = wheels.now();
        let (dropped, _) = add(&wheels, 10 * MS, Some(0));
        let _kept = add(&wheels, 60_000 * MS, Some(0));
        wheels.remove(dropped);
        assert_eq!(wheels.begin_wait(None, true), Some(Duration::ZERO));
        wheels.end_wait();
        assert_eq!(wheels.now() - start, 60_000 * MS);
        assert_eq!(wheels.fire_due(), 1);
        assert_eq!(wheels.begin_wait(None, true), None);
    }

    #[test]
    fn a_paused_clock_stays_while_it_is_inhibited_or_the_driver_was_woken_or_there_is_work() {
        let wheels = paused(1);
        let start = wheels.now();
        let _timer = add(&wheels, 10 * MS, Some(0));
        assert_eq!(wheels.begin_wait(None, false), None);
        wheels.end_wait();
        wheels.inhibit_auto_advance();
        assert_eq!(wheels.begin_wait(Some(MS), true), Some(MS));
        wheels.end_wait();
        wheels.allow_auto_advance();
        assert_eq!(wheels.begin_wait(None, true), Some(Duration::ZERO));
        wheels.forgo_advance();
        wheels.end_wait();
        assert_eq!(wheels.now(), start);
        assert!(wheels.sleeper_deadline().is_none());
    }

    #[test]
    fn a_waker_may_use_the_timers_while_it_is_woken() {
        struct Reenters(Arc<Wheels>);
        impl Wake for Reenters {
            fn wake(self: Arc<Self>) {
                let later = self.0.now() + MS;
                let waker = Waker::noop().clone();
                if let (Added::Pending(ticket), _) = self.0.insert(later, waker, Some(0)) {
                    self.0.remove(ticket);
                }
            }
        }
        let wheels = Arc::new(paused(1));
        for after in 1..100 {
            let waker = Waker::from(Arc::new(Reenters(wheels.clone())));
            drop(wheels.insert(wheels.now() + after * MS, waker, Some(0)));
        }
        assert_eq!(wheels.clock().advance(50 * MS), Ok(()));
        assert_eq!(wheels.fire_due(), 50);
        shut_down(&wheels);
        assert_eq!(Arc::strong_count(&wheels), 1, "every waker is gone");
    }

    #[test]
    fn a_waker_that_panics_does_not_take_the_others_with_it() {
        let wheels = paused(1);
        let counts = Arc::new(Counts::default());
        let at = wheels.now() + MS;
        drop(wheels.insert(at, Arc::new(Panics).into(), Some(0)));
        for _ in 0..10 {
            drop(wheels.insert(at, counts.clone().into(), Some(0)));
        }
        assert_eq!(wheels.clock().advance(MS), Ok(()));
        assert_eq!(wheels.fire_due(), 11);
        assert_eq!(counts.count(), 10);
    }

    #[test]
    fn a_shard_that_was_shut_down_says_so_to_old_and_new_timers() {
        let wheels = paused(1);
        let (ticket, _) = add(&wheels, MS, Some(0));
        shut_down(&wheels);
        assert!(matches!(
            wheels.look(ticket, wheels.now() + MS, Waker::noop()),
            Look::Closed
        ));
        let later = wheels.now() + MS;
        let waker = Waker::noop().clone();
        let (added, WakeDriver(wake)) = wheels.insert(later, waker, Some(0));
        assert!(matches!(added, Added::Closed(_)) && !wake);
        wheels.remove(ticket);
    }
}
