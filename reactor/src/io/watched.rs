//! A descriptor with its registration, and the ways to wait for it. All sockets have one.
//!
//! Each way keeps the same three promises: it asks the poll's budget before it makes progress,
//! it says that the task waits for I/O before it returns `Pending`, and an operation that would
//! block forgets the readiness that was seen before it, no more.

use super::interest::Interest;
use super::kind::Kind;
use super::readiness::{ReadyEvent, Shut};
use super::registry::Token;
use super::slot::{Direction, Slot};
use crate::context;
use crate::handle::{Handle, shutting_down};
use crate::leaf::{self, Waiting};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A descriptor that a driver watches. Deregistered, then closed, when it is dropped.
pub struct Watched<S: AsRawFd> {
    /// `None` only while it is being dropped.
    inner: Option<S>,
    handle: Handle,
    token: Token,
    slot: Arc<Slot>,
}

// A slot is changed by single atomic operations, and calls no waker while it is locked: a panic
// leaves it whole.
impl<S: AsRawFd + UnwindSafe> UnwindSafe for Watched<S> {}
impl<S: AsRawFd + RefUnwindSafe> RefUnwindSafe for Watched<S> {}

impl<S: AsRawFd> Watched<S> {
    /// Registers with the current runtime, for reading and writing. `inner` must not block.
    ///
    /// For urgent data too: it costs nothing where none is sent, and a short read must know of
    /// it (see [`RawStream`](super::stream::RawStream)).
    #[track_caller]
    pub(crate) fn new(inner: S, kind: Kind) -> io::Result<Watched<S>> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        Watched::of_kind(inner, interest, kind).map_err(|(_, error)| error)
    }

    /// Registers with the current runtime; gives `inner` back when that fails.
    #[track_caller]
    pub(crate) fn of_kind(
        inner: S,
        interest: Interest,
        kind: Kind,
    ) -> Result<Watched<S>, (S, io::Error)> {
        let handle = context::expect_current();
        let registered = handle
            .expect_registry()
            .register(inner.as_raw_fd(), interest, kind);
        match registered {
            Ok((token, slot)) => Ok(Watched {
                inner: Some(inner),
                handle,
                token,
                slot,
            }),
            Err(error) => Err((inner, error)),
        }
    }

    /// The descriptor.
    #[inline]
    pub(crate) fn get(&self) -> &S {
        self.inner.as_ref().expect("present until it is dropped")
    }

    /// The runtime that it is registered with.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The descriptor.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        self.inner.as_mut().expect("present until it is dropped")
    }

    /// The descriptor, no longer watched.
    pub(crate) fn into_inner(mut self) -> io::Result<S> {
        let inner = self.inner.take().expect("present until it is dropped");
        self.deregister(&inner)?;
        Ok(inner)
    }

    /// The descriptor, no longer watched, whether or not the operating system agreed.
    pub(crate) fn into_unwatched(mut self) -> S {
        let inner = self.inner.take().expect("present until it is dropped");
        // It fails for a descriptor that the owner closed already; there is nothing to watch.
        let _ = self.deregister(&inner);
        inner
    }

    fn deregister(&self, inner: &S) -> io::Result<()> {
        self.handle
            .expect_registry()
            .deregister(inner.as_raw_fd(), self.token)
    }

    /// Waits for a direction, for one task at a time: the last one that asked is woken.
    #[inline]
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<ReadyEvent>> {
        let proceed = ready!(leaf::poll_proceed(cx));
        let event = ready!(self.poll_event(cx, direction))?;
        proceed.made_progress();
        Poll::Ready(Ok(event))
    }

    #[inline]
    fn poll_event(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<ReadyEvent>> {
        waiting(self.slot.poll_direction(cx, direction))
    }

    /// Waits for `interest`, for any number of tasks.
    ///
    /// Cancel safe: nothing is taken from the descriptor.
    pub(crate) fn readiness(&self, interest: Interest) -> Awaiting<'_> {
        Awaiting {
            slot: &self.slot,
            interest,
            key: None,
        }
    }

    /// What is known now of what answers `interest`; it may be nothing.
    #[inline]
    pub(crate) fn look(&self, interest: Interest) -> io::Result<ReadyEvent> {
        self.slot.look(interest).map_err(|Shut| shutting_down())
    }

    /// The operation that saw `event` found that it is no longer true.
    #[inline]
    pub(crate) fn forget(&self, event: ReadyEvent) {
        self.slot.forget(event);
    }

    /// Runs `operation` if the descriptor is known to be ready, and never waits.
    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let event = self.look(interest)?;
        if event.ready.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.forgetting(event, operation())
    }

    /// Runs `operation` whenever the descriptor is ready until it does not block.
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_event_io(cx, direction, |_| operation())
    }

    /// As [`poll_io`](Watched::poll_io), for operations that may forget the event themselves.
    pub(crate) fn poll_event_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(ReadyEvent) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            // Each round is paid for, so that a descriptor that is for ever ready and for ever
            // would block (a final state that the operation knows nothing of) has to yield.
            let event = ready!(self.poll_ready(cx, direction))?;
            let result = self.forgetting(event, operation(event));
            if !would_block(&result) {
                return Poll::Ready(result);
            }
        }
    }

    /// Runs `operation` whenever the descriptor is ready until it does not block.
    pub(crate) async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let event = self.readiness(interest).await?;
            let result = self.forgetting(event, operation());
            if !would_block(&result) {
                return result;
            }
        }
    }

    pub(crate) fn forgetting<R>(&self, event: ReadyEvent, result: io::Result<R>) -> io::Result<R> {
        if would_block(&result) {
            self.forget(event);
        }
        result
    }
}

#[inline]
fn would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Says that the task waits for I/O if it is going to wait.
#[inline]
fn waiting(poll: Poll<Result<ReadyEvent, Shut>>) -> Poll<io::Result<ReadyEvent>> {
    match poll {
        Poll::Ready(Ok(event)) => Poll::Ready(Ok(event)),
        Poll::Ready(Err(Shut)) => Poll::Ready(Err(shutting_down())),
        Poll::Pending => {
            leaf::waiting_for(Waiting::Io);
            Poll::Pending
        }
    }
}

impl<S: AsRawFd> Drop for Watched<S> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // There is nobody to tell, and the descriptor is closed next in any case.
            let _ = self.deregister(&inner);
        }
    }
}

impl<S: AsRawFd + fmt::Debug> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(self.get()).finish()
    }
}

/// Waits for readiness. See [`Watched::readiness`].
#[must_use = "futures do nothing unless they are awaited"]
pub(crate) struct Awaiting<'a> {
    slot: &'a Slot,
    interest: Interest,
    /// Its place among those who wait, from its first wait on.
    key: Option<usize>,
}

impl Future for Awaiting<'_> {
    type Output = io::Result<ReadyEvent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The operation that follows pays nothing: a task that only waits and tries would never
        // yield on a descriptor that is always ready.
        let proceed = ready!(leaf::poll_proceed(cx));
        let this = &mut *self;
        let event = ready!(waiting(this.slot.poll_future(
            cx,
            this.interest,
            &mut this.key
        )))?;
        proceed.made_progress();
        Poll::Ready(Ok(event))
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.slot.leave(key);
        }
    }
}
