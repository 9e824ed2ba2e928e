//! What sleeps, timeouts and intervals share: a deadline, and where it is registered.
//!
//! A timer registers itself at the first poll that finds it pending, so that one whose deadline
//! is never waited for costs no lock. It stays with the runtime it was made in, whichever polls
//! it. Dropping it on any thread takes it out of the wheel.

use super::instant::Instant;
use super::wheels::{Ticket, Timed, WakeDriver, Wheels};
use crate::context;
use crate::handle::Handle;
use crate::leaf::{self, Waiting};
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub(super) struct Timer {
    deadline: Instant,
    handle: Handle,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In no wheel: not polled since it was made or reset.
    Idle,
    /// In the wheel, or fired since it was last looked at.
    Registered(Ticket),
    Elapsed,
}

impl Timer {
    #[track_caller]
    pub(super) fn at(deadline: Instant) -> Timer {
        Timer {
            deadline,
            handle: expect_time(),
            state: State::Idle,
        }
    }

    #[track_caller]
    pub(super) fn after(duration: Duration) -> Timer {
        let handle = expect_time();
        Timer {
            deadline: now_of(&handle).add_or_far(duration),
            handle,
            state: State::Idle,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What time it is in the runtime of this timer.
    pub(super) fn now(&self) -> Instant {
        now_of(&self.handle)
    }

    pub(super) fn is_elapsed(&self) -> bool {
        matches!(self.state, State::Elapsed) || self.deadline <= self.now()
    }

    /// Polls as a leaf future: takes a unit of budget, and says what the task waits for.
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
        let moved = wheels(&self.handle).move_to(ticket, deadline.into_std(), self.own_shard());
        if let Timed::Pending(_) = self.wake_driver_for(moved) {
            return;
        }
        self.state = State::Idle;
    }

    /// Sets another deadline for the next poll; nobody is woken for it before that.
    pub(super) fn rearm(&mut self, deadline: Instant) {
        self.unregister();
        self.deadline = deadline;
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timed = match self.state {
            State::Elapsed => return Poll::Ready(()),
            State::Idle => self.register(cx),
            State::Registered(ticket) => wheels(&self.handle).look(ticket, cx.waker()),
        };
        match timed {
            Timed::Pending(ticket) => {
                self.state = State::Registered(ticket);
                Poll::Pending
            }
            Timed::Due => self.elapse(),
            Timed::Closed if self.deadline <= self.now() => self.elapse(),
            Timed::Closed => shut_down(),
        }
    }

    fn register(&self, cx: &Context<'_>) -> Timed {
        if self.deadline <= self.now() {
            return Timed::Due;
        }
        let deadline = self.deadline.into_std();
        let inserted = wheels(&self.handle).insert(deadline, cx.waker(), self.own_shard());
        self.wake_driver_for(inserted)
    }

    fn elapse(&mut self) -> Poll<()> {
        self.state = State::Elapsed;
        Poll::Ready(())
    }

    fn wake_driver_for(&self, (timed, WakeDriver(wake)): (Timed, WakeDriver)) -> Timed {
        if wake {
            self.handle.wake();
        }
        timed
    }

    /// The shard of the worker that this thread is, if it is one of this timer's runtime.
    fn own_shard(&self) -> Option<usize> {
        context::shard().filter(|_| {
            context::with_current(|current| current.is_some_and(|it| it.ptr_eq(&self.handle)))
        })
    }

    fn unregister(&mut self) {
        if let State::Registered(ticket) = std::mem::replace(&mut self.state, State::Idle) {
            wheels(&self.handle).remove(ticket);
        }
    }
}

impl Drop for Timer {
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

/// The current handle, whose runtime has timers.
#[track_caller]
fn expect_time() -> Handle {
    let Some(handle) = context::current() else {
        panic!(
            "there is no timer running, must be called from the context of a telemetry_rt runtime"
        );
    };
    if handle.wheels().is_none() {
        panic!(
            "a telemetry_rt runtime was found, but timers are disabled: \
             call `enable_time` or `enable_all` on its builder"
        );
    }
    handle
}

fn now_of(handle: &Handle) -> Instant {
    Instant::from_std(wheels(handle).now())
}

fn wheels(handle: &Handle) -> &Wheels {
    handle
        .wheels()
        .expect("a timer is made only with a handle that has timers")
}

#[cold]
fn shut_down() -> ! {
    panic!("A telemetry_rt runtime was found, but it is being shut down.")
}
