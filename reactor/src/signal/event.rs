//! From the signal handler to the receivers. All of it belongs to the process, not to a runtime.
//!
//! ```text
//!  handler:  raise the kind's flag ──► write a byte to the pipe
//!  driver:   a byte in the pipe ─────► empty it ──► lower each flag that is up, wake its receivers
//! ```
//!
//! Every driver on which somebody listens watches the same pipe, and the first one that comes
//! serves the receivers of all of them. No kind is lost: the flag is raised before the byte is
//! written and the pipe is emptied before the flags are looked at, so whoever empties it of this
//! byte sees the flag. A full pipe takes no further byte and needs none.
//!
//! The handlers themselves are signal-hook's: one stores to the flag, one writes to the pipe.
//!
//! A child that was forked off makes a pipe of its own when it first listens: out of its parent's it
//! would take bytes that are the parent's, and the other way round. Its signals are still written to
//! that one as well, which tells the parent's driver to look once in vain.

use parking_lot::Mutex;
use signal_hook::consts::FORBIDDEN;
use slab::Slab;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

/// The pipe of the process, and the kinds of signal that somebody ever listened for.
struct Process {
    id: u32,
    reader: UnixStream,
    writer: UnixStream,
    kinds: Mutex<Vec<Arc<Kind>>>,
    child: Place,
}

/// Where a process is that listens, and behind it, in the memory of a forked child, that child.
type Place = OnceLock<Box<Process>>;

static PROCESS: Place = OnceLock::new();

/// One kind of signal.
pub(super) struct Kind {
    number: i32,
    /// Raised by the handler, lowered by a driver.
    raised: Arc<AtomicBool>,
    receivers: Mutex<Receivers>,
}

#[derive(Default)]
struct Receivers {
    /// How often the kind was delivered.
    delivered: u64,
    wakers: Slab<Option<Waker>>,
}

/// Tells the receivers what has arrived, and adds them to `wakers`; says how many kinds.
pub(crate) fn deliver(wakers: &mut Vec<Waker>) -> u32 {
    let Some(process) = known() else {
        return 0;
    };
    process.empty_pipe();
    let kinds = process.kinds.lock().clone();
    let arrived = kinds.iter().filter(|kind| kind.take());
    arrived.map(|kind| kind.deliver(wakers)).count() as u32
}

/// Adds all receivers to `wakers`, who are to see whether their runtime is shut down.
pub(crate) fn receivers(wakers: &mut Vec<Waker>) {
    let Some(process) = known() else {
        return;
    };
    let kinds = process.kinds.lock().clone();
    kinds.iter().for_each(|kind| kind.collect(wakers));
}

/// The end of the pipe that a driver watches.
pub(super) fn pipe() -> io::Result<RawFd> {
    Ok(process()?.reader.as_raw_fd())
}

/// The kind with the given number; installs its handler the first time.
pub(super) fn kind(number: i32) -> io::Result<Arc<Kind>> {
    if number <= 0 || FORBIDDEN.contains(&number) {
        return Err(io::Error::other(format!(
            "signal {number} cannot be listened for: expected a positive number and none of \
             {FORBIDDEN:?}"
        )));
    }
    process()?.kind(number)
}

/// This process, if anybody ever listened in it.
fn known() -> Option<&'static Process> {
    let own = std::process::id();
    let child = |process: &&'static Process| process.child.get().map(|child| &**child);
    let mut all = std::iter::successors(PROCESS.get().map(|first| &**first), child);
    all.find(|process| process.id == own)
}

fn process() -> io::Result<&'static Process> {
    if let Some(process) = known() {
        return Ok(process);
    }
    // When two threads come here at once, one of the pipes is closed again unused.
    let mut fresh = Some(Box::new(Process::new()?));
    let own = std::process::id();
    let mut place = &PROCESS;
    loop {
        let process = place.get_or_init(|| fresh.take().expect("the first free place is the last"));
        if process.id == own {
            return Ok(process);
        }
        place = &process.child;
    }
}

impl Process {
    fn new() -> io::Result<Process> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Process {
            id: std::process::id(),
            reader,
            writer,
            kinds: Mutex::default(),
            child: OnceLock::new(),
        })
    }

    fn kind(&self, number: i32) -> io::Result<Arc<Kind>> {
        let mut kinds = self.kinds.lock();
        if let Some(kind) = kinds.iter().find(|kind| kind.number == number) {
            return Ok(Arc::clone(kind));
        }
        let kind = Arc::new(Kind {
            number,
            raised: Arc::default(),
            receivers: Mutex::default(),
        });
        self.install(&kind)?;
        kinds.push(Arc::clone(&kind));
        Ok(kind)
    }

    /// Installs both handlers or neither. What can fail for want of descriptors comes first: once
    /// a handler was installed, the default action of the signal is off for good.
    fn install(&self, kind: &Kind) -> io::Result<()> {
        let writer = self.writer.try_clone()?;
        // In this order: handlers of one signal run in the order they were registered in.
        let flag = signal_hook::flag::register(kind.number, Arc::clone(&kind.raised))?;
        if let Err(error) = signal_hook::low_level::pipe::register(kind.number, writer) {
            signal_hook::low_level::unregister(flag);
            return Err(error);
        }
        Ok(())
    }

    fn empty_pipe(&self) {
        let mut bytes = [0; 128];
        // Ends with `WouldBlock`. Every other error would repeat itself, so it ends here too.
        while matches!((&self.reader).read(&mut bytes), Ok(1..)) {}
    }
}

impl Kind {
    /// Whether it has arrived since the last time.
    fn take(&self) -> bool {
        // SeqCst, as the store in signal-hook's handler. The order with the pipe is that of its
        // system calls.
        self.raised.swap(false, Ordering::SeqCst)
    }

    fn deliver(&self, wakers: &mut Vec<Waker>) {
        self.receivers.lock().delivered += 1;
        self.collect(wakers);
    }

    fn collect(&self, wakers: &mut Vec<Waker>) {
        let mut receivers = self.receivers.lock();
        let waiting = receivers.wakers.iter_mut();
        wakers.extend(waiting.filter_map(|(_, waker)| waker.take()));
    }
}

/// One who listens for a kind. It has seen what was delivered before it came.
pub(super) struct Receiver {
    kind: Arc<Kind>,
    key: usize,
    seen: u64,
}

impl Receiver {
    pub(super) fn new(kind: Arc<Kind>) -> Receiver {
        let mut receivers = kind.receivers.lock();
        let (key, seen) = (receivers.wakers.insert(None), receivers.delivered);
        drop(receivers);
        Receiver { kind, key, seen }
    }

    pub(super) fn number(&self) -> i32 {
        self.kind.number
    }

    /// Ready when the kind was delivered since the last time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut receivers = self.kind.receivers.lock();
        if receivers.delivered != self.seen {
            self.seen = receivers.delivered;
            return Poll::Ready(());
        }
        let replaced = receivers.wakers[self.key].replace(waker);
        drop(receivers);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let waker = self.kind.receivers.lock().wakers.remove(self.key);
        drop(waker);
    }
}
