//! Are our types `Send`, `Sync`, `Unpin` and unwind safe exactly where tokio's are?
//!
//! Only compiling shows whether code that was written for one fits the other: a type that is less
//! breaks a `spawn`, one that is more today cannot become less tomorrow. Each line below names a
//! type of both crates; what they are is compared.

#![cfg(feature = "tokio-io")]

use std::any::TypeId;
use std::cell::Cell;
use std::fs::File;
use std::future::Ready;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

/// `Send` and `Sync`.
type Both = u32;
/// `Send` and not `Sync`.
type Sent = Cell<u32>;
/// Neither.
type Neither = Rc<u32>;

/// Futures of those.
type ReadyBoth = Ready<Both>;
type ReadyNeither = Ready<Neither>;

/// Answers what `T` is: an inherent method, where its bound holds, hides that of the trait.
struct Probe<T>(PhantomData<fn() -> T>);

fn probe<T>() -> Probe<T> {
    Probe(PhantomData)
}

/// The probe of what a function returns, which may have no name. The function is not called.
fn probe_output<T>(_: impl FnOnce() -> T) -> Probe<T> {
    probe()
}

macro_rules! questions {
    ($($name:ident: $bound:path),*) => {
        trait Otherwise {
            $(fn $name(&self) -> &'static str { "" })*
        }
        impl<T> Otherwise for Probe<T> {}
        $(impl<T: $bound> Probe<T> {
            fn $name(&self) -> &'static str {
                concat!(" ", stringify!($bound))
            }
        })*
    };
}

questions!(send: Send, sync: Sync, unpin: Unpin, unwind: UnwindSafe, ref_unwind: RefUnwindSafe);

/// What a type is, in words: where it may go, and what it is worth after a panic.
#[derive(Debug)]
struct Answers {
    moves: String,
    unwinds: [&'static str; 2],
}

impl Answers {
    /// Whether this type fits wherever that other one does, and promises no more.
    ///
    /// Of safety after a panic it may promise more: that harms nobody, and tokio's is what
    /// happens to be inside of its types.
    fn fits(&self, other: &Answers) -> bool {
        let mut unwinds = self.unwinds.iter().zip(other.unwinds);
        self.moves == other.moves && unwinds.all(|(own, other)| *own == other || other.is_empty())
    }
}

macro_rules! answers {
    ($probe:expr) => {{
        let probe = $probe;
        Answers {
            moves: [probe.send(), probe.sync(), probe.unpin()].concat(),
            unwinds: [probe.unwind(), probe.ref_unwind()],
        }
    }};
}

/// Collects the types that do not fit where tokio's do.
macro_rules! differences {
    ($($($name:ident)::+ $(<$($argument:tt),*>)?;)*) => {{
        let mut differences = Vec::new();
        $(
            let ours = answers!(probe::<telemetry_rt::$($name)::+ $(<$($argument),*>)?>());
            let theirs = answers!(probe::<tokio::$($name)::+ $(<$($argument),*>)?>());
            if !ours.fits(&theirs) {
                let name = stringify!($($name)::+ $(<$($argument),*>)?);
                differences.push(format!("{name}: {ours:?}, tokio's {theirs:?}"));
            }
        )*
        differences
    }};
}

#[track_caller]
fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_probe_tells_apart_what_differs() {
    let moves = [
        answers!(probe::<Both>()).moves,
        answers!(probe::<Sent>()).moves,
        answers!(probe::<Neither>()).moves,
        answers!(probe::<std::marker::PhantomPinned>()).moves,
    ];
    assert_eq!(
        moves,
        [" Send Sync Unpin", " Send Unpin", " Unpin", " Send Sync"]
    );
    let (both, sent) = (answers!(probe::<Both>()), answers!(probe::<&Sent>()));
    assert_eq!(both.unwinds, [" UnwindSafe", " RefUnwindSafe"]);
    assert_eq!(sent.unwinds, ["", ""]);
    assert!(both.fits(&both) && !sent.fits(&both));
}

/// A builder that exports is not `Sync`, as tokio's is: exporters need not be.
#[test]
fn a_builder_is_sync_unless_it_holds_exporters() {
    let moves = answers!(probe::<telemetry_rt::runtime::Builder>()).moves;
    match cfg!(feature = "telemetry") {
        true => assert_eq!(moves, " Send Unpin"),
        false => assert_eq!(moves, " Send Sync Unpin"),
    }
}

#[test]
fn runtimes_and_tasks_are_what_those_of_tokio_are() {
    assert_none(&differences! {
        runtime::Runtime;
        runtime::Handle;
        runtime::EnterGuard<'static>;
        runtime::TryCurrentError;
        runtime::RuntimeFlavor;
        task::Id;
        task::AbortHandle;
        task::JoinError;
        task::JoinHandle<Both>;
        task::JoinHandle<Sent>;
        task::JoinHandle<Neither>;
        task::JoinSet<Both>;
        task::JoinSet<Sent>;
        task::JoinSet<Neither>;
        task::LocalSet;
        task::LocalEnterGuard;
        task::LocalKey<Both>;
        task::LocalKey<Sent>;
        task::LocalKey<Neither>;
        task::futures::TaskLocalFuture<Both, ReadyBoth>;
        task::futures::TaskLocalFuture<Neither, ReadyBoth>;
        task::futures::TaskLocalFuture<Both, ReadyNeither>;
        task::coop::Unconstrained<ReadyBoth>;
        task::coop::Unconstrained<ReadyNeither>;
    });
}

#[test]
fn timers_are_what_those_of_tokio_are() {
    assert_none(&differences! {
        time::Instant;
        time::Sleep;
        time::Interval;
        time::MissedTickBehavior;
        time::Timeout<ReadyBoth>;
        time::Timeout<ReadyNeither>;
        time::error::Elapsed;
    });
}

#[test]
fn sockets_are_what_those_of_tokio_are() {
    assert_none(&differences! {
        net::TcpListener;
        net::TcpStream;
        net::TcpSocket;
        net::UdpSocket;
        net::UnixDatagram;
        net::UnixListener;
        net::UnixStream;
        net::tcp::ReadHalf<'static>;
        net::tcp::WriteHalf<'static>;
        net::tcp::OwnedReadHalf;
        net::tcp::OwnedWriteHalf;
        net::tcp::ReuniteError;
        net::unix::ReadHalf<'static>;
        net::unix::WriteHalf<'static>;
        net::unix::OwnedReadHalf;
        net::unix::OwnedWriteHalf;
        net::unix::ReuniteError;
        net::unix::SocketAddr;
        net::unix::UCred;
        io::Interest;
        io::Ready;
        io::unix::AsyncFd<File>;
        io::unix::AsyncFdReadyGuard<'static, File>;
        io::unix::AsyncFdReadyMutGuard<'static, File>;
        io::unix::TryIoError;
        signal::unix::Signal;
        signal::unix::SignalKind;
    });
}

/// A value for a function that is not called.
fn any<T>() -> T {
    unreachable!("the functions of this file are not called")
}

#[test]
fn futures_are_what_those_of_tokio_are() {
    macro_rules! both {
        ($rt:ident) => {{
            [
                (
                    "yield_now",
                    answers!(probe_output(|| $rt::task::yield_now())),
                ),
                (
                    "consume_budget",
                    answers!(probe_output(|| $rt::task::consume_budget())),
                ),
                ("sleep", answers!(probe_output(|| $rt::time::sleep(any())))),
                (
                    "tick",
                    answers!(probe_output(|| any::<&mut $rt::time::Interval>().tick())),
                ),
                (
                    "connect",
                    answers!(probe_output(|| $rt::net::TcpStream::connect(""))),
                ),
                (
                    "bind",
                    answers!(probe_output(|| $rt::net::TcpListener::bind(""))),
                ),
                (
                    "accept",
                    answers!(probe_output(|| any::<&$rt::net::TcpListener>().accept())),
                ),
                (
                    "readable",
                    answers!(probe_output(|| any::<&$rt::net::TcpStream>().readable())),
                ),
                (
                    "peek",
                    answers!(probe_output(|| any::<&$rt::net::TcpStream>().peek(any()))),
                ),
                (
                    "recv",
                    answers!(probe_output(|| any::<&$rt::net::UdpSocket>().recv(any()))),
                ),
                (
                    "lookup_host",
                    answers!(probe_output(|| $rt::net::lookup_host(""))),
                ),
                ("ctrl_c", answers!(probe_output(|| $rt::signal::ctrl_c()))),
                (
                    "join_next",
                    answers!(probe_output(
                        || any::<&mut $rt::task::JoinSet<Both>>().join_next()
                    )),
                ),
                (
                    "join_next",
                    answers!(probe_output(
                        || any::<&mut $rt::task::JoinSet<Neither>>().join_next()
                    )),
                ),
                (
                    "run_until",
                    answers!(probe_output(|| {
                        any::<&$rt::task::LocalSet>().run_until(any::<Ready<Both>>())
                    })),
                ),
            ]
        }};
    }
    let pairs = both!(telemetry_rt).into_iter().zip(both!(tokio));
    let differences: Vec<String> = pairs
        .filter(|((_, ours), (_, theirs))| ours.moves != theirs.moves)
        .map(|((name, ours), (_, theirs))| format!("{name}: {ours:?}, tokio's {theirs:?}"))
        .collect();
    assert_none(&differences);
}

/// Whichever features of tokio others turn on, a glob of its module must not bring its types.
#[test]
fn what_belongs_to_a_runtime_is_ours_though_tokio_has_all_its_features() {
    fn differ<Ours: 'static, Theirs: 'static>() -> bool {
        TypeId::of::<Ours>() != TypeId::of::<Theirs>()
    }
    assert!(differ::<telemetry_rt::io::Interest, tokio::io::Interest>());
    assert!(differ::<telemetry_rt::io::Ready, tokio::io::Ready>());
    assert!(differ::<
        telemetry_rt::io::unix::AsyncFd<File>,
        tokio::io::unix::AsyncFd<File>,
    >());
    // What needs no runtime is the same, so that libraries that ask for tokio's get it.
    assert!(!differ::<telemetry_rt::io::Empty, tokio::io::Empty>());
    assert!(!differ::<telemetry_rt::sync::Notify, tokio::sync::Notify>());
}
