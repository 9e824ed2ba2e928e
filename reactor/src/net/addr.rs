//! What can be given as an address, and how a host name becomes one.

use crate::context;
use crate::leaf::{self, Waiting};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::vec;

/// What can be turned into socket addresses: addresses, pairs of host and port, strings such as
/// `"example.org:80"`.
///
/// Strings that are not addresses are looked up by the operating system, on a thread that may
/// block. This trait cannot be implemented outside of this crate.
pub trait ToSocketAddrs: sealed::Resolves {}

impl<T: sealed::Resolves + ?Sized> ToSocketAddrs for T {}

mod sealed {
    /// The hidden half of [`ToSocketAddrs`](super::ToSocketAddrs).
    pub trait Resolves {
        fn resolve(&self) -> super::Resolve;
    }
}

/// Looks up a host name.
///
/// # Errors
///
/// When the name does not resolve, or the runtime is shut down.
///
/// # Panics
///
/// Outside of a runtime, when there is a name to look up.
pub async fn lookup_host<T: ToSocketAddrs>(
    host: T,
) -> io::Result<impl Iterator<Item = SocketAddr>> {
    host.resolve().await
}

/// Tries `attempt` with each address until one succeeds, and gives the last error.
pub(crate) async fn first_that_works<T>(
    addr: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last_error = no_address();
    for addr in addr.resolve().await? {
        match attempt(addr) {
            Ok(socket) => return Ok(socket),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

pub(crate) fn no_address() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the given host and port have no address",
    )
}

/// The addresses that were found.
#[derive(Clone, Debug)]
pub enum Addrs {
    One(Option<SocketAddr>),
    Many(vec::IntoIter<SocketAddr>),
}

impl Iterator for Addrs {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        match self {
            Addrs::One(addr) => addr.take(),
            Addrs::Many(addrs) => addrs.next(),
        }
    }
}

/// Becomes the addresses: at once, or when the lookup is done.
pub enum Resolve {
    Known(Option<Addrs>),
    Name(String, u16),
    Looking(Arc<Lookup>),
    Malformed(&'static str),
}

impl Resolve {
    fn one(addr: SocketAddr) -> Resolve {
        Resolve::Known(Some(Addrs::One(Some(addr))))
    }
}

impl Future for Resolve {
    type Output = io::Result<Addrs>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Resolve::Name(host, port) = &mut *self {
            *self = Resolve::Looking(Lookup::start(std::mem::take(host), *port)?);
        }
        match &mut *self {
            Resolve::Known(addrs) => Poll::Ready(addrs.take().ok_or_else(no_address)),
            Resolve::Malformed(what) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, *what)))
            }
            Resolve::Looking(lookup) => lookup.poll(cx),
            Resolve::Name(..) => unreachable!("the lookup was started above"),
        }
    }
}

/// A lookup on another thread.
#[derive(Default)]
pub struct Lookup(Mutex<Progress>);

#[derive(Default)]
enum Progress {
    #[default]
    Started,
    Awaited(Waker),
    Done(io::Result<Addrs>),
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}

impl Lookup {
    fn start(host: String, port: u16) -> io::Result<Arc<Lookup>> {
        let handle = context::expect_current();
        let lookup = Arc::new(Lookup::default());
        let answer = Answer(Arc::clone(&lookup));
        let job = move || answer.give(look_up(&host, port));
        handle
            .offload("lookup_host", Box::new(job))
            .map_err(io::Error::other)?;
        Ok(lookup)
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<Addrs>> {
        let waker = cx.waker().clone();
        let mut progress = self.0.lock();
        let before = std::mem::replace(&mut *progress, Progress::Awaited(waker));
        if let Progress::Done(answer) = before {
            return Poll::Ready(answer);
        }
        drop(progress);
        // Here a former waker is dropped, with the lock released.
        drop(before);
        leaf::waiting_for(Waiting::Blocking);
        Poll::Pending
    }

    fn finish(&self, answer: io::Result<Addrs>) {
        let mut progress = self.0.lock();
        if let Progress::Done(_) = *progress {
            return;
        }
        let before = std::mem::replace(&mut *progress, Progress::Done(answer));
        drop(progress);
        if let Progress::Awaited(waker) = before {
            waker.wake();
        }
    }
}

/// The duty to finish a lookup: a job that is dropped instead of run ends it with an error.
struct Answer(Arc<Lookup>);

impl Answer {
    fn give(self, answer: io::Result<Addrs>) {
        self.0.finish(answer);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.finish(Err(crate::handle::shutting_down()));
    }
}

fn look_up(host: &str, port: u16) -> io::Result<Addrs> {
    std::net::ToSocketAddrs::to_socket_addrs(&(host, port)).map(Addrs::Many)
}

impl sealed::Resolves for SocketAddr {
    fn resolve(&self) -> Resolve {
        Resolve::one(*self)
    }
}

impl sealed::Resolves for SocketAddrV4 {
    fn resolve(&self) -> Resolve {
        Resolve::one(SocketAddr::V4(*self))
    }
}

impl sealed::Resolves for SocketAddrV6 {
    fn resolve(&self) -> Resolve {
        Resolve::one(SocketAddr::V6(*self))
    }
}

impl sealed::Resolves for (IpAddr, u16) {
    fn resolve(&self) -> Resolve {
        Resolve::one(SocketAddr::from(*self))
    }
}

impl sealed::Resolves for (Ipv4Addr, u16) {
    fn resolve(&self) -> Resolve {
        Resolve::one(SocketAddr::from(*self))
    }
}

impl sealed::Resolves for (Ipv6Addr, u16) {
    fn resolve(&self) -> Resolve {
        Resolve::one(SocketAddr::from(*self))
    }
}

impl sealed::Resolves for [SocketAddr] {
    fn resolve(&self) -> Resolve {
        Resolve::Known(Some(Addrs::Many(Vec::from(self).into_iter())))
    }
}

impl sealed::Resolves for (&str, u16) {
    fn resolve(&self) -> Resolve {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Resolve::one(SocketAddr::new(ip, port)),
            Err(_) => Resolve::Name(host.to_owned(), port),
        }
    }
}

impl sealed::Resolves for (String, u16) {
    fn resolve(&self) -> Resolve {
        (self.0.as_str(), self.1).resolve()
    }
}

impl sealed::Resolves for str {
    fn resolve(&self) -> Resolve {
        if let Ok(addr) = self.parse() {
            return Resolve::one(addr);
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Resolve::Malformed("invalid socket address: expected `host:port`");
        };
        match port.parse() {
            Ok(port) => (host, port).resolve(),
            Err(_) => Resolve::Malformed("invalid port value: expected a number up to 65535"),
        }
    }
}

impl sealed::Resolves for String {
    fn resolve(&self) -> Resolve {
        self.as_str().resolve()
    }
}

impl<T: sealed::Resolves + ?Sized> sealed::Resolves for &T {
    fn resolve(&self) -> Resolve {
        (**self).resolve()
    }
}
