//! Listening for a kind of signal.

use super::event::{self, Receiver};
use crate::context;
use crate::handle::Handle;
use crate::leaf::{self, Waiting};
use signal_hook::consts;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// A kind of signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(i32);

impl SignalKind {
    /// The kind with the operating system's number `signum`.
    pub const fn from_raw(signum: i32) -> SignalKind {
        SignalKind(signum)
    }

    /// The operating system's number.
    pub const fn as_raw_value(&self) -> i32 {
        self.0
    }

    /// `SIGALRM`: a timer of the process has run out.
    pub const fn alarm() -> SignalKind {
        SignalKind(consts::SIGALRM)
    }

    /// `SIGCHLD`: a child process has ended or stopped.
    pub const fn child() -> SignalKind {
        SignalKind(consts::SIGCHLD)
    }

    /// `SIGHUP`: the terminal is gone; often taken to mean "read the configuration again".
    pub const fn hangup() -> SignalKind {
        SignalKind(consts::SIGHUP)
    }

    /// `SIGINT`: Ctrl-C.
    pub const fn interrupt() -> SignalKind {
        SignalKind(consts::SIGINT)
    }

    /// `SIGIO`: a descriptor is ready.
    pub const fn io() -> SignalKind {
        SignalKind(consts::SIGIO)
    }

    /// `SIGPIPE`: a write to a pipe or socket that nobody reads.
    pub const fn pipe() -> SignalKind {
        SignalKind(consts::SIGPIPE)
    }

    /// `SIGQUIT`: Ctrl-\.
    pub const fn quit() -> SignalKind {
        SignalKind(consts::SIGQUIT)
    }

    /// `SIGTERM`: a polite request to end.
    pub const fn terminate() -> SignalKind {
        SignalKind(consts::SIGTERM)
    }

    /// `SIGUSR1`: for the program to give a meaning to.
    pub const fn user_defined1() -> SignalKind {
        SignalKind(consts::SIGUSR1)
    }

    /// `SIGUSR2`: for the program to give a meaning to.
    pub const fn user_defined2() -> SignalKind {
        SignalKind(consts::SIGUSR2)
    }

    /// `SIGWINCH`: the terminal has another size.
    pub const fn window_change() -> SignalKind {
        SignalKind(consts::SIGWINCH)
    }
}

impl From<i32> for SignalKind {
    fn from(signum: i32) -> SignalKind {
        SignalKind(signum)
    }
}

impl From<SignalKind> for i32 {
    fn from(kind: SignalKind) -> i32 {
        kind.0
    }
}

/// Listens for `kind` from now on.
///
/// # Errors
///
/// When the operating system does not let this kind be caught (`SIGKILL`, `SIGSTOP`), when
/// catching it makes no sense (`SIGILL`, `SIGFPE`, `SIGSEGV`), or when the runtime is shut down.
///
/// # Panics
///
/// Outside of a runtime, and when I/O is disabled on it.
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    let handle = context::expect_current();
    let registry = handle.expect_registry();
    if handle.is_shut_down() {
        return Err(crate::handle::shutting_down());
    }
    let kind = event::kind(kind.0)?;
    registry.hear_signals(event::pipe()?)?;
    let receiver = Receiver::new(kind);
    Ok(Signal { receiver, handle })
}

/// Receives one kind of signal. Each `Signal` gets it, however many listen. Made by [`signal`].
#[must_use = "a signal that nobody receives has no effect at all"]
pub struct Signal {
    receiver: Receiver,
    handle: Handle,
}

impl Signal {
    /// Waits for the signal. Several that arrived since the last one count as one.
    ///
    /// `None` when the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost when this is dropped.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Signal::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let proceed = ready!(leaf::poll_proceed(cx));
        if self.receiver.poll(cx).is_ready() {
            proceed.made_progress();
            return Poll::Ready(Some(()));
        }
        // Looked at after the waker was left: a shutdown from here on finds it.
        if self.handle.is_shut_down() {
            return Poll::Ready(None);
        }
        leaf::waiting_for(Waiting::Io);
        Poll::Pending
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal")
            .field(&self.receiver.number())
            .finish()
    }
}
