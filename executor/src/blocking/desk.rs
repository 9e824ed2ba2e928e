//! Who runs a job, and when another thread is needed: what the pool knows under its lock.
//!
//! A thread of the pool runs a job, or is in one of three other places:
//!
//! ```text
//!              called                    queue empty
//!   idle ──────────────────► at work ──────────────────► idle ──── keep-alive ───► left
//!                               ▲                          ▲
//!     started          needed   │                          │ no job is left
//!   ──────────► scout ──────────┴──────────────────────────┘
//! ```
//!
//! # Rules
//!
//! 1. An idle thread is called at once, the one that became idle last first: its caches are warm,
//!    and the others grow old together and leave. One call is under way at a time. Whoever answers
//!    it clears the flag *before* it looks at the queue, in the same critical section; and whoever
//!    takes a job calls the next thread if more jobs wait. So a burst of short jobs is run by few
//!    threads: the calls come one after the other, and the first thread has been faster.
//! 2. With no thread idle, a new one is sent for: the scout. There is one at a time.
//! 3. A scout takes a job only if it is needed: if so many jobs wait that the threads there are
//!    will not be through with them soon, going by how many they took while it was on its way.
//!    Otherwise it watches: it waits for a moment and asks again, the next time after a moment
//!    twice as long, and so on up to [`LONGEST_PATIENCE`].
//! 4. A scout that takes a job is none any more, and sends for the next if more jobs wait.
//!
//! # Why every job is run, even if those that run wait for it
//!
//! *While a job waits, a thread has been called, or there is a scout, or the pool is full.* A push
//! and a take end with a choice that makes this so; a flag is cleared only by a thread that looks
//! at the queue in the same critical section; a thread goes idle only if no job waits, and leaves
//! only if it was idle and not called.
//!
//! A thread that was called looks when it is scheduled. A scout looks when it has been started, and
//! from then on whenever its moment is over; it runs no job, so no job can keep it. If the threads
//! at work took nothing meanwhile it is needed, however few jobs wait. So a job waits for those
//! that run no longer than for a scout to be started, or twice its longest patience; of many jobs
//! that wait for one another, each waits for the start of one thread after the one before.
//!
//! No job carries a time stamp, and no clock is read: the scout's own waiting is the clock, and the
//! number of jobs taken says what that time was good for. This is also better than the age of the
//! oldest job: in a burst of jobs of half a microsecond the last ones are old soon, but no thread
//! comes in time to help with them.
//!
//! `docs/adr/0017-who-watches-the-blocking-pool.md` has the figures, and what was rejected.

use std::collections::VecDeque;
use std::sync::Arc;

/// What a thread of the pool is to do next.
#[must_use]
#[derive(Debug)]
pub(super) enum Step<J, S> {
    /// Make the call, then run the job.
    Run(J, Call<S>),
    /// Wait until called, at most for the time of keep-alive.
    Idle,
    /// Wait, for this many units of a scout's patience.
    Watch(u32),
    /// The thread counts no more.
    Leave,
}

/// Who is called to look at the queue. The call is made without the lock.
#[must_use]
#[derive(Debug)]
pub(super) enum Call<S> {
    /// Somebody will look, or nobody can be called.
    Nobody,
    /// A thread that waits for work. It is not idle any more.
    Idle(Arc<S>),
    /// A new thread with this number, which is counted already.
    New(usize),
}

/// See the module. `S` is where a thread waits.
#[derive(Debug)]
pub(super) struct Desk<J, S> {
    queue: VecDeque<J>,
    /// Jobs that were ever taken.
    taken: usize,
    /// The last is called first.
    idle: Vec<Arc<S>>,
    /// An idle thread was called and has not looked at the queue yet.
    called: bool,
    scout: Option<Scout>,
    /// Threads that look at the queue, or will.
    threads: usize,
    /// Threads that have not ended: those above, and some that are on their way out.
    alive: usize,
    limit: usize,
    /// How many threads were ever sent for: their numbers.
    started: usize,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Scout {
    /// How many jobs had been taken when it was sent for, or last looked.
    taken: usize,
    /// For how long it waits, in units. None if it has not arrived yet.
    patience: u32,
}

/// A scout is not needed if so many times the jobs that were taken while it waited are no fewer
/// than those that wait.
const SOON: usize = 4;

/// In units.
const LONGEST_PATIENCE: u32 = 8;

impl<J, S> Desk<J, S> {
    pub(super) fn new(limit: usize) -> Desk<J, S> {
        Desk {
            queue: VecDeque::new(),
            taken: 0,
            idle: Vec::new(),
            called: false,
            scout: None,
            threads: 0,
            alive: 0,
            limit,
            started: 0,
            closed: false,
        }
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    pub(super) fn alive(&self) -> usize {
        self.alive
    }

    /// Threads that run no job: a scout that watches, too.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
            + self
                .scout
                .map_or(0, |scout| usize::from(scout.patience > 0))
    }

    pub(super) fn depth(&self) -> usize {
        self.queue.len()
    }

    // ----- jobs -----

    /// A job comes. Given back if the desk is closed.
    #[inline]
    pub(super) fn push(&mut self, job: J) -> Result<Call<S>, J> {
        if self.closed {
            return Err(job);
        }
        self.queue.push_back(job);
        Ok(self.choose_call())
    }

    /// Refuses further jobs. Gives back those that are not to be kept, and the threads that must
    /// be woken to leave.
    pub(super) fn close(
        &mut self,
        keep: impl FnMut(&J) -> bool,
    ) -> (VecDeque<J>, Vec<Arc<S>>, Call<S>) {
        self.closed = true;
        let (kept, dropped) = std::mem::take(&mut self.queue).into_iter().partition(keep);
        self.queue = kept;
        let call = self.choose_call();
        (dropped, std::mem::take(&mut self.idle), call)
    }

    /// See rules 1 and 2.
    #[inline]
    fn choose_call(&mut self) -> Call<S> {
        if self.called || self.queue.is_empty() {
            return Call::Nobody;
        }
        if let Some(seat) = self.idle.pop() {
            self.called = true;
            return Call::Idle(seat);
        }
        if self.scout.is_some() || self.threads == self.limit {
            return Call::Nobody;
        }
        self.send_for_scout()
    }

    #[cold]
    fn send_for_scout(&mut self) -> Call<S> {
        self.scout = Some(Scout {
            taken: self.taken,
            patience: 0,
        });
        self.threads += 1;
        self.alive += 1;
        self.started += 1;
        Call::New(self.started - 1)
    }

    // ----- what threads do -----

    /// A thread that ran a job looks for the next.
    #[inline]
    pub(super) fn look(&mut self, seat: &Arc<S>) -> Step<J, S> {
        if let Some(job) = self.queue.pop_front() {
            self.taken += 1;
            return Step::Run(job, self.choose_call());
        }
        if self.closed {
            return self.leave();
        }
        self.idle.push(Arc::clone(seat));
        Step::Idle
    }

    /// A thread that was idle answers a call.
    #[inline]
    pub(super) fn answer(&mut self, seat: &Arc<S>) -> Step<J, S> {
        self.called = false;
        self.look(seat)
    }

    /// A thread has been idle for long: it leaves, unless it was called meanwhile.
    pub(super) fn grow_old(&mut self, seat: &Arc<S>) -> Step<J, S> {
        let place = self.idle.iter().position(|other| Arc::ptr_eq(other, seat));
        match place {
            // Its call is about to be made: to go on without it would leave the call for later.
            None => Step::Idle,
            Some(place) => {
                self.idle.remove(place);
                self.leave()
            }
        }
    }

    /// The scout has arrived, or has waited.
    pub(super) fn scout(&mut self, seat: &Arc<S>) -> Step<J, S> {
        let scout = self
            .scout
            .take()
            .expect("the scout is one until it says so");
        if self.queue.is_empty() || self.closed || self.is_needed(scout) {
            return self.look(seat);
        }
        let patience = (2 * scout.patience).clamp(1, LONGEST_PATIENCE);
        self.scout = Some(Scout {
            taken: self.taken,
            patience,
        });
        Step::Watch(patience)
    }

    /// See rule 3. As long as a thread that was called has not come there is nobody to judge.
    fn is_needed(&self, scout: Scout) -> bool {
        let taken = self.taken - scout.taken;
        !self.called && self.queue.len() > SOON * taken
    }

    /// The scout will never arrive. If there is no other thread nobody will ever look at the
    /// jobs: they are given back.
    #[cold]
    pub(super) fn scout_is_lost(&mut self) -> VecDeque<J> {
        self.scout = None;
        self.threads -= 1;
        match self.threads {
            0 => std::mem::take(&mut self.queue),
            _ => VecDeque::new(),
        }
    }

    /// A thread has ended.
    pub(super) fn ended(&mut self) {
        self.alive -= 1;
    }

    fn leave(&mut self) -> Step<J, S> {
        self.threads -= 1;
        Step::Leave
    }
}

/// What the model checker sows.
#[cfg(all(test, loom))]
impl<J, S> Desk<J, S> {
    pub(super) fn clear_late(&mut self) {
        self.called = false;
    }

    pub(super) fn lie_down(&mut self, seat: &Arc<S>) {
        self.idle.push(Arc::clone(seat));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    type Jobs = Desk<u32, ()>;

    fn seat() -> Arc<()> {
        Arc::new(())
    }

    fn push(desk: &mut Jobs, jobs: u32) -> Vec<Call<()>> {
        let calls = (0..jobs).map(|job| desk.push(job).unwrap());
        calls.filter(|call| !matches!(call, Call::Nobody)).collect()
    }

    /// A desk with that many idle threads, and their seats in the order in which they became idle.
    fn desk_with_idle(limit: usize, idle: usize) -> (Jobs, Vec<Arc<()>>) {
        let mut desk = Jobs::new(limit);
        let seats: Vec<_> = (0..idle).map(|_| seat()).collect();
        drop(push(&mut desk, idle as u32));
        for seat in &seats {
            assert!(matches!(desk.scout(seat), Step::Run(..)));
        }
        for seat in &seats {
            assert!(matches!(desk.look(seat), Step::Idle));
        }
        (desk, seats)
    }

    fn watched(step: Step<u32, ()>) -> u32 {
        match step {
            Step::Watch(units) => units,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_thread_that_became_idle_last_is_called_and_no_other_until_it_has_looked() {
        let (mut desk, seats) = desk_with_idle(8, 2);
        let calls = push(&mut desk, 3);
        assert!(matches!(&calls[..], [Call::Idle(seat)] if Arc::ptr_eq(seat, &seats[1])));
        let step = desk.answer(&seats[1]);
        assert!(matches!(step, Step::Run(0, Call::Idle(seat)) if Arc::ptr_eq(&seat, &seats[0])));
        assert!(matches!(desk.answer(&seats[0]), Step::Run(1, Call::New(2))));
    }

    #[test]
    fn a_scout_that_finds_the_threads_at_work_fast_watches_ever_longer_until_they_stop() {
        let (mut desk, seats) = desk_with_idle(8, 1);
        drop(push(&mut desk, 1));
        drop(desk.answer(&seats[0]));
        assert!(matches!(push(&mut desk, 20)[..], [Call::New(1)]));
        for _ in 0..10 {
            assert!(matches!(desk.look(&seats[0]), Step::Run(..)));
        }
        let scout = seat();
        assert_eq!(watched(desk.scout(&scout)), 1);
        assert_eq!((desk.threads(), desk.idle(), desk.depth()), (2, 1, 10));
        for units in [2, 4, 8, 8] {
            assert!(push(&mut desk, 3).is_empty(), "the scout watches");
            assert!(matches!(desk.look(&seats[0]), Step::Run(..)));
            for _ in 0..4 {
                drop(desk.look(&seats[0]));
            }
            assert_eq!(watched(desk.scout(&scout)), units);
        }
        drop(push(&mut desk, 1));
        assert!(matches!(desk.scout(&scout), Step::Run(_, Call::New(2))));
    }

    #[test]
    fn the_oldest_idle_thread_leaves_and_one_that_was_called_stays() {
        let (mut desk, seats) = desk_with_idle(8, 2);
        assert!(matches!(desk.grow_old(&seats[0]), Step::Leave));
        drop(push(&mut desk, 1));
        assert!(matches!(desk.grow_old(&seats[1]), Step::Idle));
        assert_eq!((desk.threads(), desk.idle()), (1, 0));
        assert!(matches!(desk.answer(&seats[1]), Step::Run(0, Call::Nobody)));
    }

    #[test]
    fn a_closed_desk_gives_back_jobs_and_threads_and_keeps_what_must_run() {
        let (mut desk, seats) = desk_with_idle(8, 2);
        drop(push(&mut desk, 3));
        let (dropped, idle, call) = desk.close(|&job| job == 1);
        assert_eq!(dropped, [0, 2]);
        assert!(idle.len() == 1 && matches!(call, Call::Nobody));
        assert_eq!(desk.push(3).unwrap_err(), 3);
        assert!(matches!(desk.answer(&seats[1]), Step::Run(1, Call::Nobody)));
        assert!(matches!(desk.look(&seats[1]), Step::Leave));
        assert!(matches!(desk.answer(&seats[0]), Step::Leave));
        assert_eq!(desk.threads(), 0);
    }

    #[test]
    fn the_jobs_of_a_scout_that_is_lost_are_given_back_when_there_is_no_other_thread() {
        let mut desk = Jobs::new(8);
        drop(push(&mut desk, 2));
        assert_eq!(desk.scout_is_lost(), [0, 1]);
        assert!(matches!(push(&mut desk, 1)[..], [Call::New(1)]));
    }
}
