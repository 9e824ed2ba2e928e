//! UDP.

use crate::io::{Direction, Interest, Watched};
use crate::net::addr::{ToSocketAddrs, first_that_works, no_address};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

/// A UDP socket.
pub struct UdpSocket {
    watched: Watched<mio::net::UdpSocket>,
}

descriptor!(
    UdpSocket,
    mio::net::UdpSocket,
    std::net::UdpSocket,
    Datagrams
);
readiness!(UdpSocket);
datagrams!(UdpSocket, mio::net::UdpSocket);

impl UdpSocket {
    /// Makes a socket with the first of the addresses that works.
    ///
    /// # Errors
    ///
    /// Of the last address that was tried.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and when I/O is disabled on it.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        first_that_works(addr, |addr| {
            UdpSocket::from_raw(mio::net::UdpSocket::bind(addr)?)
        })
        .await
    }

    /// Fixes the address that [`send`](UdpSocket::send) sends to and [`recv`](UdpSocket::recv)
    /// receives from: the first one that works.
    pub async fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_that_works(addr, |addr| self.watched.get().connect(addr)).await
    }

    /// The address of this side.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().local_addr()
    }

    /// The address that the socket is connected to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.watched.get().peer_addr()
    }

    /// Receives a message; of several tasks, the last one is woken.
    pub fn poll_recv_bytes(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let receive = || self.watched.get().recv(buf);
        self.watched.poll_io(cx, Direction::Read, receive)
    }

    /// Sends a message to the first address of `target`. Cancel safe: either all of it was sent
    /// or nothing.
    pub async fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], target: A) -> io::Result<usize> {
        let target = target.resolve().await?.next().ok_or_else(no_address)?;
        let send = || self.watched.get().send_to(buf, target);
        self.async_io(Interest::WRITABLE, send).await
    }

    /// Sends a message to `target`; of several tasks, the last one is woken.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let send = || self.watched.get().send_to(buf, target);
        self.watched.poll_io(cx, Direction::Write, send)
    }

    /// Sends a message to `target`, and never waits.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        let send = || self.watched.get().send_to(buf, target);
        self.try_io(Interest::WRITABLE, send)
    }

    /// Receives a message, and says from where; what does not fit into `buf` is lost. Cancel
    /// safe: when this is dropped, no message was taken.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = || self.watched.get().recv_from(buf);
        self.async_io(Interest::READABLE, receive).await
    }

    /// As [`recv_from`](UdpSocket::recv_from), and never waits.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = || self.watched.get().recv_from(buf);
        self.try_io(Interest::READABLE, receive)
    }

    /// As [`recv_from`](UdpSocket::recv_from); of several tasks, the last one is woken.
    pub fn poll_recv_bytes_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let receive = || self.watched.get().recv_from(buf);
        self.watched.poll_io(cx, Direction::Read, receive)
    }

    /// Receives a message without taking it, from the connected address.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let peek = || self.watched.get().peek(buf);
        self.async_io(Interest::READABLE, peek).await
    }

    /// As [`peek`](UdpSocket::peek), and never waits.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let peek = || self.watched.get().peek(buf);
        self.try_io(Interest::READABLE, peek)
    }

    /// Receives a message without taking it, and says from where.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let peek = || self.watched.get().peek_from(buf);
        self.async_io(Interest::READABLE, peek).await
    }

    /// As [`peek_from`](UdpSocket::peek_from), and never waits.
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let peek = || self.watched.get().peek_from(buf);
        self.try_io(Interest::READABLE, peek)
    }

    /// Whether messages may be sent to broadcast addresses.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.watched.get().broadcast()
    }

    /// Sets whether messages may be sent to broadcast addresses.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.watched.get().set_broadcast(on)
    }

    /// Whether multicast messages over IPv4 come back to this machine.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.watched.get().multicast_loop_v4()
    }

    /// Sets whether multicast messages over IPv4 come back to this machine.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.watched.get().set_multicast_loop_v4(on)
    }

    /// Over how many routers multicast messages over IPv4 go.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.watched.get().multicast_ttl_v4()
    }

    /// Sets over how many routers multicast messages over IPv4 go.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.watched.get().set_multicast_ttl_v4(ttl)
    }

    /// Whether multicast messages over IPv6 come back to this machine.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.watched.get().multicast_loop_v6()
    }

    /// Sets whether multicast messages over IPv6 come back to this machine.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.watched.get().set_multicast_loop_v6(on)
    }

    /// Joins a multicast group on the interface with the given address.
    pub fn join_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.watched.get().join_multicast_v4(&multiaddr, &interface)
    }

    /// Joins a multicast group on the interface with the given index.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.watched.get().join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a multicast group.
    pub fn leave_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.watched
            .get()
            .leave_multicast_v4(&multiaddr, &interface)
    }

    /// Leaves a multicast group.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.watched.get().leave_multicast_v6(multiaddr, interface)
    }

    /// The time to live of the packets sent.
    pub fn ttl(&self) -> io::Result<u32> {
        self.watched.get().ttl()
    }

    /// Sets the time to live of the packets sent.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.watched.get().set_ttl(ttl)
    }
}
