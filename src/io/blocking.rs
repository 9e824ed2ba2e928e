//! A value whose operations block, used by a task: it works on the pool, with its buffer.
//!
//! At most one operation is under way. A write is under way when it has been copied to the
//! buffer, and the task goes on; a read is waited for. Whoever gives up waiting leaves the
//! operation where it is: the next one waits for it first, and a read then finds in the buffer
//! what the abandoned one brought.
//!
//! # Who touches what
//!
//! 1. `Parts` (the value and the buffer) belong to the operation while `running` is `Some`, and to
//!    the task while it is `None`. The lock is therefore never waited for; it is what lets the
//!    compiler believe this rule. It is held by an operation only while it runs, so that one that
//!    panics, or that the runtime drops before it starts, gives the parts back all the same.
//! 2. `running` becomes `None` only when the handle of the operation says that it is done.
//! 3. The buffer holds bytes that were read ahead, or, while a write is under way, those of the
//!    write. Whether that succeeds, fails or is dropped, they are cleared when it is done, so that
//!    nobody reads them.
//!
//! # Errors of writes
//!
//! They come when the write has long been answered with success. They are kept for the next write,
//! flush or synchronisation, and never lost to a read or a seek in between.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::buffer::Buffer;
use super::hop;
use crate::task::JoinHandle;

/// The size of the largest read or write that is one hop, unless the user says otherwise.
pub(crate) const MAX_HOP: usize = 2 * 1024 * 1024;

/// See the module.
pub(crate) struct Blocking<T> {
    shared: Arc<Mutex<Parts<T>>>,
    running: Option<Running>,
    write_error: Option<io::Error>,
}

/// What an operation works with.
pub(crate) struct Parts<T> {
    pub(crate) value: T,
    buffer: Buffer,
}

/// An operation under way; it returns a number: bytes, or a position.
struct Running {
    kind: Kind,
    handle: JoinHandle<io::Result<u64>>,
}

/// What is under way, as far as the next operation has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    /// It uses the buffer up, and its error is kept.
    Write,
    /// Its error is kept, too; it leaves the buffer alone.
    Effect,
    /// Its result is a position.
    Seek,
}

/// A read or a seek that is done.
struct Done {
    kind: Kind,
    result: io::Result<u64>,
}

/// How bytes are written: to the value, after going back by so many bytes that were read ahead.
pub(crate) type WriteAll<T> = fn(&mut T, u64, &[u8]) -> io::Result<()>;

impl<T> Parts<T> {
    /// How many bytes the value's own position is ahead of what the task has read.
    pub(crate) fn ahead(&self) -> u64 {
        self.buffer.content().len() as u64
    }

    /// Forgets what was read ahead: the value's position is where the task believes it to be.
    pub(crate) fn forget_ahead(&mut self) {
        self.buffer.clear();
    }
}

impl<T: Send + 'static> Blocking<T> {
    pub(crate) fn new(value: T) -> Blocking<T> {
        let buffer = Buffer::default();
        Blocking {
            shared: Arc::new(Mutex::new(Parts { value, buffer })),
            running: None,
            write_error: None,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Whether bytes were read that the task has not seen. Only while idle.
    pub(crate) fn is_ahead(&self) -> bool {
        self.parts().ahead() > 0
    }

    /// Reads what is there into `target`: from the buffer, or by one hop of at most `limit` bytes.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
        limit: usize,
    ) -> Poll<io::Result<()>>
    where
        T: Read,
    {
        loop {
            let done = ready!(self.poll_done(cx));
            let at_end = match done {
                Some(Done {
                    kind: Kind::Read,
                    result,
                }) => result? == 0,
                _ => false,
            };
            if at_end || self.take_ahead(target) {
                return Poll::Ready(Ok(()));
            }
            self.start_read(target.remaining().min(limit));
        }
    }

    /// Gives what was read ahead. `false` if there was nothing, though there is room for it.
    fn take_ahead(&self, target: &mut ReadBuf<'_>) -> bool {
        let mut parts = self.parts();
        let answered = parts.ahead() > 0 || target.remaining() == 0;
        parts.buffer.take_into(target);
        answered
    }

    fn start_read(&mut self, limit: usize)
    where
        T: Read,
    {
        self.start("read", Kind::Read, move |parts| {
            let count = parts.buffer.read_from(&mut parts.value, limit)?;
            Ok(count as u64)
        });
    }

    /// Takes at most `limit` bytes over, once the operation before is done, and writes them in the
    /// background.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        source: &[IoSlice<'_>],
        limit: usize,
        write_all: WriteAll<T>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        if source.iter().all(|part| part.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        Poll::Ready(Ok(self.start_write(source, limit, write_all)))
    }

    fn start_write(
        &mut self,
        source: &[IoSlice<'_>],
        limit: usize,
        write_all: WriteAll<T>,
    ) -> usize {
        let mut parts = self.parts();
        let back = parts.ahead();
        let taken = parts.buffer.copy_from(source, limit);
        drop(parts);
        self.start("write", Kind::Write, move |parts| {
            write_all(&mut parts.value, back, parts.buffer.content())?;
            Ok(taken as u64)
        });
        taken
    }

    /// Waits until nothing is under way, and reports the error of a write.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_done(cx));
        Poll::Ready(self.write_error.take().map_or(Ok(()), Err))
    }

    /// Makes the value hand on what it has buffered itself. Only while idle;
    /// [`poll_flush`](Self::poll_flush) waits for the end.
    pub(crate) fn start_flush(&mut self)
    where
        T: Write,
    {
        let flush = |parts: &mut Parts<T>| parts.value.flush().map(|()| 0);
        self.start("flush", Kind::Effect, flush);
    }

    /// Runs `operation` when nothing is under way, reporting first the error of a write.
    pub(crate) async fn run<F>(&mut self, name: &'static str, operation: F) -> io::Result<()>
    where
        F: FnOnce(&mut Parts<T>) -> io::Result<()> + Send + 'static,
    {
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.start(name, Kind::Effect, |parts| operation(parts).map(|()| 0));
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Starts an operation that returns a position. Only while idle;
    /// [`poll_seek`](Self::poll_seek) waits for the end.
    pub(crate) fn start_seek<F>(&mut self, seek: F)
    where
        F: FnOnce(&mut Parts<T>) -> io::Result<u64> + Send + 'static,
    {
        self.start("seek", Kind::Seek, seek);
    }

    /// Waits until nothing is under way. `Some` is the result if that was a seek.
    pub(crate) fn poll_seek(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<u64>>> {
        let done = ready!(self.poll_done(cx));
        let seek = done.filter(|done| done.kind == Kind::Seek);
        Poll::Ready(seek.map(|done| done.result))
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settle(&mut self) {
        poll_fn(|cx| self.poll_done(cx)).await;
    }

    fn start<F>(&mut self, name: &'static str, kind: Kind, operation: F)
    where
        F: FnOnce(&mut Parts<T>) -> io::Result<u64> + Send + 'static,
    {
        debug_assert!(self.is_idle(), "at most one operation is under way");
        let shared = Arc::clone(&self.shared);
        let call = move || operation(&mut lock(&shared));
        let handle = match kind {
            Kind::Write => hop::start_write(name, call),
            Kind::Read | Kind::Effect | Kind::Seek => hop::start(name, call),
        };
        self.running = Some(Running { kind, handle });
    }

    /// Waits until nothing is under way. Gives the result if that was a read or a seek, and keeps
    /// the error if it was anything else.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done>> {
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        let joined = ready!(Pin::new(&mut running.handle).poll(cx));
        let kind = running.kind;
        self.running = None;
        Poll::Ready(self.end(kind, hop::flatten(joined)))
    }

    fn end(&mut self, kind: Kind, result: io::Result<u64>) -> Option<Done> {
        match kind {
            Kind::Read | Kind::Seek => return Some(Done { kind, result }),
            Kind::Write => self.parts().forget_ahead(),
            Kind::Effect => {}
        }
        self.write_error = result.err();
        None
    }

    fn parts(&self) -> MutexGuard<'_, Parts<T>> {
        debug_assert!(self.is_idle(), "rule 1");
        lock(&self.shared)
    }
}

/// An operation that panicked has failed; the value is as usable as after any other failure.
fn lock<T>(shared: &Mutex<Parts<T>>) -> MutexGuard<'_, Parts<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking")
            .field("idle", &self.running.is_none())
            .finish_non_exhaustive()
    }
}
