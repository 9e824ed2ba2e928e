//! tokio's traits for our streams, and reading into memory that is not initialised.
//!
//! Nothing else of tokio is used, and no other file of this crate knows of it. The unsafe code
//! here rests on one rule: [`read_uninit`] is the `recv` system call, which writes as many bytes
//! to the front of the buffer as it says, and never writes anything else to it.

#![expect(
    unsafe_code,
    reason = "clearing a buffer before each read costs more than the read of a short message"
)]

use super::slot::Direction;
use super::stream::RawStream;
use super::watched::Watched;
use crate::net::split::sealed::Access as _;
use crate::net::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, Stream, WriteHalf};
use crate::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, unix};
use bytes::BufMut;
use socket2::{SockAddr, SockRef, Socket};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Initialises the first bytes of `buf`, as many as it says.
fn read_uninit<S: RawStream>(stream: &S, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    SockRef::from(stream).recv(buf)
}

fn poll_read<S: RawStream>(
    watched: &Watched<S>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: `read_uninit` only ever writes initialised bytes.
    let unfilled = unsafe { buf.unfilled_mut() };
    let room = unfilled.len();
    let count = ready!(watched.poll_read_with(cx, room, || read_uninit(watched.get(), unfilled)))?;
    // SAFETY: `read_uninit` initialised the first `count` of the unfilled bytes.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Poll::Ready(Ok(()))
}

/// Reads what is there to the end of `buf`, and never waits.
pub(crate) fn try_read_buf<S: RawStream>(
    watched: &Watched<S>,
    buf: &mut impl BufMut,
) -> io::Result<usize> {
    watched.try_io(super::Interest::READABLE, || {
        // SAFETY: `read_uninit` only ever writes initialised bytes.
        let room = unsafe { buf.chunk_mut().as_uninit_slice_mut() };
        let count = read_uninit(watched.get(), room)?;
        // SAFETY: `read_uninit` initialised the first `count` bytes of the chunk.
        unsafe { buf.advance_mut(count) };
        Ok(count)
    })
}

/// Implements [`AsyncRead`] for types with a `watched()` stream.
macro_rules! reads {
    ($($generics:tt)*) => {
        impl $($generics)* {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                poll_read(self.stream().watched(), cx, buf)
            }
        }
    };
}

/// Implements [`AsyncWrite`] over the inherent methods of the same names.
macro_rules! writes {
    ($($generics:tt)*) => {
        impl $($generics)* {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream().watched().poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.stream().watched().poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            /// Nothing is buffered on this side of the operating system.
            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.into_ref().get_ref().poll_shutdown(cx)
            }
        }
    };
}

reads!(AsyncRead for TcpStream);
reads!(AsyncRead for UnixStream);
reads!(<S: Stream> AsyncRead for ReadHalf<'_, S>);
reads!(<S: Stream> AsyncRead for OwnedReadHalf<S>);

writes!(AsyncWrite for TcpStream);
writes!(AsyncWrite for UnixStream);
writes!(<S: Stream> AsyncWrite for WriteHalf<'_, S>);
writes!(<S: Stream + Unpin> AsyncWrite for OwnedWriteHalf<S>);

/// Receives a message, and its sender, into the unfilled part of `buf`.
fn poll_receive<S: AsRawFd + AsFd, R>(
    watched: &Watched<S>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    mut receive: impl FnMut(&Socket, &mut [MaybeUninit<u8>]) -> io::Result<(usize, R)>,
) -> Poll<io::Result<R>> {
    // SAFETY: `receive` is one of socket2's, which only ever write initialised bytes.
    let unfilled = unsafe { buf.unfilled_mut() };
    let socket = SockRef::from(watched.get());
    let (count, sender) =
        ready!(watched.poll_io(cx, Direction::Read, || { receive(&socket, unfilled) }))?;
    // SAFETY: the system call initialised the first `count` of the unfilled bytes.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Poll::Ready(Ok(sender))
}

fn receive(socket: &Socket, buf: &mut [MaybeUninit<u8>]) -> io::Result<(usize, ())> {
    Ok((socket.recv(buf)?, ()))
}

fn internet(sender: SockAddr) -> io::Result<SocketAddr> {
    let not_internet = || io::Error::other("a UDP message without an internet address");
    sender.as_socket().ok_or_else(not_internet)
}

impl UdpSocket {
    /// Receives a message into `buf`; of several tasks, the last one is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll_receive(self.watched(), cx, buf, receive)
    }

    /// Receives a message into `buf`, and says from where; of several tasks, the last one is
    /// woken.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let sender = ready!(poll_receive(self.watched(), cx, buf, Socket::recv_from))?;
        Poll::Ready(internet(sender))
    }

    /// As [`poll_recv_from`](UdpSocket::poll_recv_from), without taking the message.
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let sender = ready!(poll_receive(self.watched(), cx, buf, Socket::peek_from))?;
        Poll::Ready(internet(sender))
    }
}

impl UnixDatagram {
    /// Receives a message into `buf`; of several tasks, the last one is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll_receive(self.watched(), cx, buf, receive)
    }

    /// Receives a message into `buf`, and says from where; of several tasks, the last one is
    /// woken.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<unix::SocketAddr>> {
        let room = buf.initialize_unfilled();
        let (count, sender) = ready!(self.poll_recv_bytes_from(cx, room))?;
        buf.advance(count);
        Poll::Ready(Ok(sender))
    }
}
