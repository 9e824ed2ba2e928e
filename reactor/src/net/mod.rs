//! Sockets, and looking up host names.
//!
//! In reading order: `addr` (what can be given as an address), `shared` (what all sockets do
//! alike), `pause` (listeners without descriptors), [`tcp`], `udp`, [`unix`], `split` (the two halves of a stream).
//!
//! All sockets remember readiness: `try_*` methods answer `WouldBlock` until the reactor has
//! seen the socket ready, even if data is there, so wait with `readable()` or `writable()` first.
//! Constructors that take a host name look it up on a thread that may block; addresses are used
//! as they are.

mod addr;
mod pause;
#[macro_use]
mod shared;
pub mod split;
pub mod tcp;
mod udp;
pub mod unix;

pub use addr::{ToSocketAddrs, lookup_host};
pub use tcp::{TcpListener, TcpSocket, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixStream};
