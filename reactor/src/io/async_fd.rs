//! Readiness of a descriptor of any kind.

use super::interest::{Interest, Ready};
use super::kind::Kind;
use super::readiness::ReadyEvent;
use super::slot::Direction;
use super::watched::Watched;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

/// Watches a file descriptor for readiness; reading and writing is up to you.
///
/// The descriptor must be in non-blocking mode, and of a kind that the operating system can
/// watch: sockets, pipes, terminals, eventfds, inotify, not regular files. It is not closed by
/// this type but by `T`, and it must not be replaced (`dup2`) meanwhile.
///
/// Readiness is remembered until it is cleared. The operating system reports it once, so clear
/// it when an operation would block, and only then: [`try_io`](AsyncFd::try_io),
/// [`async_io`](AsyncFd::async_io) and the guards' `try_io` do that.
pub struct AsyncFd<T: AsRawFd> {
    watched: Watched<T>,
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Watches `inner` for reading and writing.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    ///
    /// # Errors
    ///
    /// When the operating system cannot watch the descriptor, or the runtime is shut down.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<AsyncFd<T>> {
        AsyncFd::with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// Watches `inner` for `interest`. Panics and errors as [`new`](AsyncFd::new).
    #[track_caller]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
        AsyncFd::try_with_interest(inner, interest).map_err(Into::into)
    }

    /// As [`new`](AsyncFd::new), with an error that gives `inner` back.
    #[track_caller]
    pub fn try_new(inner: T) -> Result<AsyncFd<T>, AsyncFdRegisterError<T>> {
        AsyncFd::try_with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// As [`with_interest`](AsyncFd::with_interest), with an error that gives `inner` back.
    #[track_caller]
    pub fn try_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<AsyncFd<T>, AsyncFdRegisterError<T>> {
        match Watched::of_kind(inner, interest, Kind::default()) {
            Ok(watched) => Ok(AsyncFd { watched }),
            Err((inner, cause)) => Err(AsyncFdRegisterError { inner, cause }),
        }
    }

    /// [`try_new`](AsyncFd::try_new), under the name that newer code for tokio calls.
    ///
    /// There it is `unsafe`, for what the top of this page asks of the descriptor. Here nothing is
    /// unsound when that is broken: the events of one descriptor are taken for those of another.
    #[track_caller]
    pub fn register(inner: T) -> Result<AsyncFd<T>, AsyncFdRegisterError<T>> {
        AsyncFd::try_new(inner)
    }

    /// [`try_with_interest`](AsyncFd::try_with_interest), under its other name: see
    /// [`register`](AsyncFd::register).
    #[track_caller]
    pub fn register_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<AsyncFd<T>, AsyncFdRegisterError<T>> {
        AsyncFd::try_with_interest(inner, interest)
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &T {
        self.watched.get()
    }

    /// The descriptor.
    pub fn get_mut(&mut self) -> &mut T {
        self.watched.get_mut()
    }

    /// The descriptor, no longer watched.
    pub fn into_inner(self) -> T {
        self.watched.into_unwatched()
    }

    /// Waits for it to be readable. Of several tasks that call this, the last one is woken.
    pub fn poll_read_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.watched.poll_ready(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyGuard { fd: self, event }))
    }

    /// As [`poll_read_ready`](AsyncFd::poll_read_ready), with mutable access to the descriptor.
    pub fn poll_read_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.watched.poll_ready(cx, Direction::Read))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard { fd: self, event }))
    }

    /// Waits for it to be writable. Of several tasks that call this, the last one is woken.
    pub fn poll_write_ready<'a>(
        &'a self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
        let event = ready!(self.watched.poll_ready(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyGuard { fd: self, event }))
    }

    /// As [`poll_write_ready`](AsyncFd::poll_write_ready), with mutable access.
    pub fn poll_write_ready_mut<'a>(
        &'a mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
        let event = ready!(self.watched.poll_ready(cx, Direction::Write))?;
        Poll::Ready(Ok(AsyncFdReadyMutGuard { fd: self, event }))
    }

    /// Waits for `interest`; any number of tasks may. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the runtime is shut down.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let event = self.watched.readiness(interest).await?;
        Ok(AsyncFdReadyGuard { fd: self, event })
    }

    /// As [`ready`](AsyncFd::ready), with mutable access to the descriptor.
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let event = self.watched.readiness(interest).await?;
        Ok(AsyncFdReadyMutGuard { fd: self, event })
    }

    /// Waits for it to be readable; any number of tasks may. Cancel safe.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::READABLE).await
    }

    /// As [`readable`](AsyncFd::readable), with mutable access to the descriptor.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// Waits for it to be writable; any number of tasks may. Cancel safe.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::WRITABLE).await
    }

    /// As [`writable`](AsyncFd::writable), with mutable access to the descriptor.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// Runs `operation` whenever the descriptor is ready until it does not block.
    ///
    /// Cancel safe if the operation does nothing when it would block.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let operation = || operation(self.get_ref());
        self.watched.async_io(interest, operation).await
    }

    /// As [`async_io`](AsyncFd::async_io), with mutable access to the descriptor.
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut operation: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let mut guard = self.ready_mut(interest).await?;
            if let Ok(result) = guard.try_io(|fd| operation(fd.get_mut())) {
                return result;
            }
        }
    }

    /// Runs `operation` if the descriptor is known to be ready, and never waits.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when it is not known to be ready; else what `operation` gives.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.watched.try_io(interest, || operation(self.get_ref()))
    }

    /// As [`try_io`](AsyncFd::try_io), with mutable access to the descriptor.
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        operation: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let event = self.watched.look(interest)?;
        if event.ready.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation(self.watched.get_mut());
        self.watched.forgetting(event, result)
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd")
            .field("inner", self.get_ref())
            .finish()
    }
}

/// The descriptor was ready. Readiness stays remembered unless this clears it.
#[must_use = "the readiness is cleared only by this guard"]
pub struct AsyncFdReadyGuard<'a, T: AsRawFd> {
    fd: &'a AsyncFd<T>,
    event: ReadyEvent,
}

impl<'a, T: AsRawFd> AsyncFdReadyGuard<'a, T> {
    /// Forgets the readiness that was seen: call it when an operation would have blocked.
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(Ready::ALL);
    }

    /// Forgets the part of it that is in `ready`.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.fd.watched.forget(self.event.only(ready));
        self.event = self.event.only(Ready::ALL - ready);
    }

    /// Keeps the readiness; the same as dropping the guard.
    pub fn retain_ready(&mut self) {}

    /// What was seen.
    pub fn ready(&self) -> Ready {
        self.event.ready
    }

    /// Runs `operation`; when it would block, forgets the readiness.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] when it would block: wait again. Inside of `Ok`, its own result.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = operation(self.fd);
        unless_it_would_block(result, || self.clear_ready())
    }

    /// The watched descriptor.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.fd
    }

    /// The descriptor.
    pub fn get_inner(&self) -> &'a T {
        self.fd.get_ref()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFdReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdReadyGuard")
            .field("fd", &self.fd)
            .field("ready", &self.event.ready)
            .finish()
    }
}

/// As [`AsyncFdReadyGuard`], with mutable access to the descriptor.
#[must_use = "the readiness is cleared only by this guard"]
pub struct AsyncFdReadyMutGuard<'a, T: AsRawFd> {
    fd: &'a mut AsyncFd<T>,
    event: ReadyEvent,
}

impl<T: AsRawFd> AsyncFdReadyMutGuard<'_, T> {
    /// Forgets the readiness that was seen: call it when an operation would have blocked.
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(Ready::ALL);
    }

    /// Forgets the part of it that is in `ready`.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.fd.watched.forget(self.event.only(ready));
        self.event = self.event.only(Ready::ALL - ready);
    }

    /// Keeps the readiness; the same as dropping the guard.
    pub fn retain_ready(&mut self) {}

    /// What was seen.
    pub fn ready(&self) -> Ready {
        self.event.ready
    }

    /// Runs `operation`; when it would block, forgets the readiness.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] when it would block: wait again. Inside of `Ok`, its own result.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&mut AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = operation(self.fd);
        unless_it_would_block(result, || self.clear_ready())
    }

    /// The watched descriptor.
    pub fn get_ref(&self) -> &AsyncFd<T> {
        self.fd
    }

    /// The watched descriptor.
    pub fn get_mut(&mut self) -> &mut AsyncFd<T> {
        self.fd
    }

    /// The descriptor.
    pub fn get_inner(&self) -> &T {
        self.fd.get_ref()
    }

    /// The descriptor.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFdReadyMutGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdReadyMutGuard")
            .field("fd", &self.fd)
            .field("ready", &self.event.ready)
            .finish()
    }
}

fn unless_it_would_block<R>(
    result: io::Result<R>,
    forget: impl FnOnce(),
) -> Result<io::Result<R>, TryIoError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            forget();
            Err(TryIoError(()))
        }
        result => Ok(result),
    }
}

/// The operation would have blocked; the readiness has been cleared.
#[derive(Debug)]
pub struct TryIoError(());

/// A descriptor that could not be watched, and why.
pub struct AsyncFdRegisterError<T> {
    inner: T,
    cause: io::Error,
}

impl<T> AsyncFdRegisterError<T> {
    /// The descriptor and the cause.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.inner, self.cause)
    }
}

impl<T> fmt::Display for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl<T> fmt::Debug for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, f)
    }
}

impl<T> std::error::Error for AsyncFdRegisterError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncFdRegisterError<T>> for io::Error {
    fn from(error: AsyncFdRegisterError<T>) -> io::Error {
        error.cause
    }
}
