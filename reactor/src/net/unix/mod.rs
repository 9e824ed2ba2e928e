//! Unix sockets: listeners, streams, datagrams.

mod addr;
mod credentials;
mod datagram;
mod listener;
mod stream;

pub use addr::SocketAddr;
pub use credentials::UCred;
pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use stream::UnixStream;

/// A user's number.
#[expect(non_camel_case_types, reason = "the operating system's name")]
pub type uid_t = u32;
/// A group's number.
#[expect(non_camel_case_types, reason = "the operating system's name")]
pub type gid_t = u32;
/// A process's number.
#[expect(non_camel_case_types, reason = "the operating system's name")]
pub type pid_t = i32;

/// The half of a [`UnixStream`] that reads, borrowed. Made by [`UnixStream::split`].
pub type ReadHalf<'a> = super::split::ReadHalf<'a, UnixStream>;
/// The half of a [`UnixStream`] that writes, borrowed. Made by [`UnixStream::split`].
pub type WriteHalf<'a> = super::split::WriteHalf<'a, UnixStream>;
/// The half of a [`UnixStream`] that reads. Made by [`UnixStream::into_split`].
pub type OwnedReadHalf = super::split::OwnedReadHalf<UnixStream>;
/// The half of a [`UnixStream`] that writes. Made by [`UnixStream::into_split`]; shuts down
/// writing when it is dropped.
pub type OwnedWriteHalf = super::split::OwnedWriteHalf<UnixStream>;
/// Two halves that are not of one stream.
pub type ReuniteError = super::split::ReuniteError<UnixStream>;
