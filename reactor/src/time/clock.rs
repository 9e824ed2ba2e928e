//! What time it is for the timers of one runtime, and what a tick of their wheels is.
//!
//! A clock runs with the machine's, or is paused and moves only when told to. A runtime of one
//! thread may pause its clock, so that tests of hours take no time. Ticks are milliseconds since
//! the clock was made: deadlines are rounded up to a tick and the present is rounded down, so
//! that nothing fires early.

use super::wheel::LAST_TICK;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Whether any clock of the process was ever paused: as long as none was, asking for the time
/// does not have to ask which runtime is the current one.
static ANY_PAUSED: AtomicBool = AtomicBool::new(false);

/// Whether the machine's time is that of every runtime.
#[inline]
pub(super) fn all_run() -> bool {
    // Acquire: with the Release in `pause`. A thread that learnt of the pause sees it here.
    !ANY_PAUSED.load(Ordering::Acquire)
}

pub(super) struct Clock {
    origin: Instant,
    pausable: bool,
    /// Whether `state` has ever been touched.
    was_paused: AtomicBool,
    state: Mutex<State>,
    /// How many forbid a paused clock to move by itself.
    inhibitions: AtomicUsize,
}

/// The clock shows `shown`, and what has passed on the machine since `runs_since`.
struct State {
    shown: Instant,
    runs_since: Option<Instant>,
}

impl State {
    fn now(&self) -> Instant {
        match self.runs_since {
            None => self.shown,
            Some(since) => {
                self.shown + telemetry_rt_clock::instant().saturating_duration_since(since)
            }
        }
    }
}

impl Clock {
    pub(super) fn new(pausable: bool, start_paused: bool) -> Clock {
        let origin = telemetry_rt_clock::instant();
        let clock = Clock {
            origin,
            pausable,
            was_paused: AtomicBool::new(false),
            state: Mutex::new(State {
                shown: origin,
                runs_since: Some(origin),
            }),
            inhibitions: AtomicUsize::new(0),
        };
        if start_paused {
            clock.freeze(&mut clock.state.lock(), origin);
        }
        clock
    }

    #[inline]
    pub(super) fn now(&self) -> Instant {
        if self.was_paused() {
            return self.state.lock().now();
        }
        telemetry_rt_clock::instant()
    }

    /// Whether it does not show the machine's time, or did not once.
    #[inline]
    pub(super) fn was_paused(&self) -> bool {
        // Acquire: as in `all_run`.
        self.was_paused.load(Ordering::Acquire)
    }

    pub(super) fn pausable(&self) -> bool {
        self.pausable
    }

    pub(super) fn is_paused(&self) -> bool {
        self.was_paused() && self.state.lock().runs_since.is_none()
    }

    /// Stops the clock, at a whole tick: sleeps of whole milliseconds are then exact.
    pub(super) fn pause(&self) -> Result<(), &'static str> {
        if !self.pausable {
            return Err("the clock can be paused only in a current-thread runtime of telemetry_rt");
        }
        let mut state = self.state.lock();
        if state.runs_since.is_none() {
            return Err("the clock is already paused");
        }
        let shown = self
            .instant(self.tick_of(state.now()))
            .unwrap_or(state.now());
        self.freeze(&mut state, shown);
        Ok(())
    }

    pub(super) fn resume(&self) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        if state.runs_since.is_some() {
            return Err("the clock is not paused");
        }
        state.runs_since = Some(telemetry_rt_clock::instant());
        Ok(())
    }

    pub(super) fn advance(&self, by: Duration) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        if state.runs_since.is_some() {
            return Err("the clock is not paused, only a paused clock can be advanced");
        }
        state.shown = state
            .shown
            .checked_add(by)
            .ok_or("the clock cannot be advanced beyond the end of time")?;
        Ok(())
    }

    /// Moves a paused clock to `tick`, if that is later.
    pub(super) fn advance_to(&self, tick: u64) {
        let mut state = self.state.lock();
        if let (None, Some(to)) = (state.runs_since, self.instant(tick)) {
            state.shown = state.shown.max(to);
        }
    }

    pub(super) fn inhibit(&self) {
        // Relaxed: one side of nothing; the job that inhibits is handed over after this.
        self.inhibitions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn allow(&self) {
        // Release: who finds the inhibition gone, sees whom its holder woke before.
        let before = self.inhibitions.fetch_sub(1, Ordering::Release);
        debug_assert!(before > 0, "allowed more often than inhibited");
    }

    pub(super) fn is_inhibited(&self) -> bool {
        // Acquire: with the Release in `allow`.
        self.inhibitions.load(Ordering::Acquire) != 0
    }

    /// The first tick that is not before `deadline`.
    pub(super) fn tick_of(&self, deadline: Instant) -> u64 {
        let after = deadline.saturating_duration_since(self.origin);
        let started = !after.subsec_nanos().is_multiple_of(1_000_000);
        ticks_in(after)
            .saturating_add(u64::from(started))
            .min(LAST_TICK)
    }

    /// The last tick that has come.
    pub(super) fn tick_now(&self) -> u64 {
        ticks_in(self.since_origin())
    }

    pub(super) fn since_origin(&self) -> Duration {
        self.now().saturating_duration_since(self.origin)
    }

    /// The moment of `tick`; `None` when no `Instant` is that late.
    pub(super) fn instant(&self, tick: u64) -> Option<Instant> {
        self.origin.checked_add(Duration::from_millis(tick))
    }

    fn freeze(&self, state: &mut State, shown: Instant) {
        state.shown = shown;
        state.runs_since = None;
        // Release, both: with the Acquire of those who ask whether they have to look at `state`.
        self.was_paused.store(true, Ordering::Release);
        ANY_PAUSED.store(true, Ordering::Release);
    }
}

fn ticks_in(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000)
        .saturating_add(u64::from(span.subsec_millis()))
        .min(LAST_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NS: Duration = Duration::from_nanos(1);

    #[test]
    fn deadlines_are_rounded_up_and_the_present_down() {
        let clock = Clock::new(true, true);
        let start = clock.now();
        assert_eq!(clock.tick_of(start), 0);
        assert_eq!(clock.tick_of(start + NS), 1);
        assert_eq!(clock.tick_of(start + MS), 1);
        assert_eq!(clock.tick_of(start + MS + NS), 2);
        assert_eq!(clock.tick_of(start - MS), 0);
        assert_eq!(clock.advance(2 * MS - NS), Ok(()));
        assert_eq!(clock.tick_now(), 1);
    }

    #[test]
    fn no_deadline_overflows() {
        let clock = Clock::new(false, false);
        let mut latest = clock.now();
        for exponent in (0..64).rev() {
            latest = latest
                .checked_add(Duration::from_secs(1 << exponent))
                .unwrap_or(latest);
        }
        assert_eq!(clock.tick_of(latest), LAST_TICK);
    }

    #[test]
    fn a_paused_clock_stands_until_it_is_moved_and_goes_on_from_there() {
        let clock = Clock::new(true, false);
        assert_eq!(clock.pause(), Ok(()));
        let paused = clock.now();
        std::thread::sleep(2 * MS);
        assert_eq!(clock.now(), paused);
        assert!(clock.pause().is_err());
        assert_eq!(clock.advance(Duration::from_secs(60)), Ok(()));
        assert_eq!(clock.now() - paused, Duration::from_secs(60));
        assert_eq!(clock.resume(), Ok(()));
        assert!(clock.now() >= paused + Duration::from_secs(60));
        assert!(clock.resume().is_err());
        assert!(clock.advance(MS).is_err());
    }

    #[test]
    fn a_clock_is_paused_at_a_whole_tick_and_never_goes_back_for_it() {
        let clock = Clock::new(true, false);
        std::thread::sleep(Duration::from_micros(1_300));
        let before = clock.now();
        assert_eq!(clock.pause(), Ok(()));
        assert!(clock.now() >= before);
        assert_eq!(clock.tick_of(clock.now()), clock.tick_now());
        assert_eq!(clock.since_origin().subsec_nanos() % 1_000_000, 0);
    }

    #[test]
    fn the_clock_of_several_threads_cannot_be_paused() {
        assert!(Clock::new(false, false).pause().is_err());
    }

    #[test]
    fn advancing_beyond_the_end_of_time_is_refused() {
        let clock = Clock::new(true, true);
        assert!(clock.advance(Duration::MAX).is_err());
        assert_eq!(clock.since_origin(), Duration::ZERO);
    }
}
