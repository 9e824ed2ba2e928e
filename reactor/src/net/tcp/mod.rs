//! TCP: listeners, streams, and sockets that are neither yet.

mod listener;
mod socket;
mod stream;

pub use listener::TcpListener;
pub use socket::TcpSocket;
pub use stream::TcpStream;

/// The half of a [`TcpStream`] that reads, borrowed. Made by [`TcpStream::split`].
pub type ReadHalf<'a> = super::split::ReadHalf<'a, TcpStream>;
/// The half of a [`TcpStream`] that writes, borrowed. Made by [`TcpStream::split`].
pub type WriteHalf<'a> = super::split::WriteHalf<'a, TcpStream>;
/// The half of a [`TcpStream`] that reads. Made by [`TcpStream::into_split`].
pub type OwnedReadHalf = super::split::OwnedReadHalf<TcpStream>;
/// The half of a [`TcpStream`] that writes. Made by [`TcpStream::into_split`]; shuts down
/// writing when it is dropped.
pub type OwnedWriteHalf = super::split::OwnedWriteHalf<TcpStream>;
/// Two halves that are not of one stream.
pub type ReuniteError = super::split::ReuniteError<TcpStream>;
