//! What sleeps, timeouts and intervals share: a deadline, and where it is registered.
//!
//! A timer registers itself at the first poll that finds it pending, so that one whose deadline
//! is never waited for costs no lock. It stays with the runtime it was made in, whichever polls
//! it. Dropping it on any thread takes it out of the wheel.
//!
//! The clock is read once in the life of a timer, to make the deadline from it (28 ns here, a
//! quarter of what a sleep costs that is made, polled and dropped). That the deadline has passed
//! before the first poll needs no second reading: the last turn of the driver has left what time
//! it was, and if the deadline came after that turn, the next one fires the timer. Only a deadline
//! that was given from outside, and may always have been in the past, is compared with the clock.

use super::home::{Home, Visit};
use super::instant::Instant;
use super::shard::Look;
use super::wheel::Moved;
use super::wheels::{Added, Ticket};
use crate::leaf::{self, Waiting};
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub(super) struct Timer {
    deadline: Instant,
    home: Home,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In no wheel: not polled since it was made from the present, or rearmed.
    Ahead,
    /// In no wheel, and the deadline may lie in the past.
    Idle,
    /// In the wheel, or fired since it was last looked at.
    Registered(Ticket),
    Elapsed,
}

impl State {
    #[inline]
    fn unless_past(deadline: Instant, now: Instant) -> State {
        match deadline > now {
            true => State::Ahead,
            false => State::Idle,
        }
    }
}

/// How a timer stands.
enum Stand {
    Pending(Ticket),
    /// The deadline has passed.
    Due,
    /// The runtime is shut down: it will never fire.
    Closed,
}

impl Timer {
    #[track_caller]
    #[inline]
    pub(super) fn at(deadline: Instant) -> Timer {
        Timer {
            deadline,
            home: Home::current(),
            state: State::Idle,
        }
    }

    #[track_caller]
    #[inline]
    pub(super) fn after(duration: Duration) -> Timer {
        let home = Home::current();
        let now = home.now();
        Timer::ahead(home, now.add_or_far(duration), now)
    }

    /// A timer of `home`, where it is `now`.
    #[inline]
    pub(super) fn ahead(home: Home, deadline: Instant, now: Instant) -> Timer {
        Timer {
            deadline,
            home,
            state: State::unless_past(deadline, now),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What time it is in the runtime of this timer.
    pub(super) fn now(&self) -> Instant {
        self.home.now()
    }

    pub(super) fn is_elapsed(&self) -> bool {
        matches!(self.state, State::Elapsed) || self.deadline <= self.now()
    }

    /// Polls as a leaf future: takes a unit of budget, and says what the task waits for.
    #[inline]
    pub(super) fn poll_as_leaf(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.poll_in_budget(cx);
        if ready.is_pending() {
            leaf::waiting_for(Waiting::Timer);
        }
        ready
    }

    /// Takes a unit of budget, and leaves it to the caller to say what the task waits for.
    pub(super) fn poll_in_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(leaf::poll_proceed(cx));
        ready!(self.poll_elapsed(cx));
        unit.made_progress();
        Poll::Ready(())
    }

    /// Sets another deadline. Whoever waits for a pending timer is woken at the new one; an
    /// elapsed timer has to be polled again.
    pub(super) fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        let State::Registered(ticket) = self.state else {
            self.state = State::Idle;
            return;
        };
        let moved = self.home.visit(|visit| {
            let own = visit.own_shard;
            let (moved, wake) = visit.wheels.move_to(ticket, deadline.into_std(), own);
            visit.wake_driver(wake);
            moved
        });
        match moved {
            Some(Moved::Pending) => return,
            Some(Moved::Due(waker)) => waker.wake(),
            Some(Moved::Gone) | None => {}
        }
        self.state = State::Idle;
    }

    /// Sets another deadline for the next poll; nobody is woken for it before that. `now` is what
    /// time it is.
    pub(super) fn rearm(&mut self, deadline: Instant, now: Instant) {
        self.unregister();
        self.deadline = deadline;
        self.state = State::unless_past(deadline, now);
    }

    /// Polls without a budget, for one who does something else when the runtime is shut down.
    #[cold]
    pub(super) fn poll_unless_shut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stand::Pending(ticket) = self.stand(cx) {
            self.state = State::Registered(ticket);
            leaf::waiting_for(Waiting::Timer);
            return Poll::Pending;
        }
        self.elapse()
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.stand(cx) {
            Stand::Pending(ticket) => {
                self.state = State::Registered(ticket);
                Poll::Pending
            }
            Stand::Due => self.elapse(),
            Stand::Closed if self.deadline <= self.now() => self.elapse(),
            Stand::Closed => shut_down(),
        }
    }

    #[inline]
    fn stand(&self, cx: &mut Context<'_>) -> Stand {
        match self.state {
            State::Elapsed => Stand::Due,
            State::Idle if self.deadline <= self.now() => Stand::Due,
            State::Idle | State::Ahead => self.register(cx),
            State::Registered(ticket) => self.look(ticket, cx),
        }
    }

    fn register(&self, cx: &Context<'_>) -> Stand {
        // Cloned before the visit, and dropped after it where it is not needed: see `visit`.
        let waker = cx.waker().clone();
        let deadline = self.deadline.into_std();
        let added = self.home.visit(|visit| {
            let (added, wake) = visit.wheels.insert(deadline, waker, visit.own_shard);
            visit.wake_driver(wake);
            added
        });
        match added {
            Some(Added::Pending(ticket)) => Stand::Pending(ticket),
            Some(Added::Due(waker)) => {
                drop(waker);
                Stand::Due
            }
            Some(Added::Closed(waker)) => {
                drop(waker);
                Stand::Closed
            }
            None => Stand::Closed,
        }
    }

    fn look(&self, ticket: Ticket, cx: &Context<'_>) -> Stand {
        let deadline = self.deadline.into_std();
        loop {
            let look = |visit: Visit<'_>| visit.wheels.look(ticket, deadline, cx.waker());
            match self.home.visit(look) {
                Some(Look::Pending) => return Stand::Pending(ticket),
                Some(Look::Gone) => return Stand::Due,
                Some(Look::Closed) | None => return Stand::Closed,
                // Either puts ours in place, or the timer has gone meanwhile: the next look tells.
                Some(Look::OtherWaker) => self.replace_waker(ticket, cx),
            }
        }
    }

    #[cold]
    fn replace_waker(&self, ticket: Ticket, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let unneeded = self
            .home
            .visit(|visit| visit.wheels.replace_waker(ticket, waker));
        drop(unneeded);
    }

    fn elapse(&mut self) -> Poll<()> {
        self.state = State::Elapsed;
        Poll::Ready(())
    }

    #[inline]
    fn unregister(&mut self) {
        if let State::Registered(ticket) = std::mem::replace(&mut self.state, State::Idle) {
            let waker = self.home.visit(|visit| visit.wheels.remove(ticket));
            drop(waker);
        }
    }
}

impl Drop for Timer {
    #[inline]
    fn drop(&mut self) {
        self.unregister();
    }
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer")
            .field("deadline", &self.deadline)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cold]
fn shut_down() -> ! {
    panic!("A telemetry_rt runtime was found, but it is being shut down.")
}
