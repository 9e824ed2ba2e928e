//! The two halves of a stream, once for TCP and Unix streams.
//!
//! [`tcp`](super::tcp) and [`unix`](super::unix) name them for their stream. Both halves only
//! share a reference: reading and writing use different places of the stream's slot, so the
//! halves never wait for each other.

use crate::io::{Interest, RawStream, Ready, Watched};
use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A stream that can be split. It cannot be implemented outside of this crate.
pub trait Stream: sealed::Access {}

impl<S: sealed::Access> Stream for S {}

pub(crate) mod sealed {
    use super::{RawStream, Watched, io};

    /// The hidden half of [`Stream`](super::Stream).
    pub trait Access: Sized + std::fmt::Debug {
        type Raw: RawStream;
        type Addr;
        fn watched(&self) -> &Watched<Self::Raw>;
        fn stream(&self) -> &Self {
            self
        }
        fn local_addr(&self) -> io::Result<Self::Addr>;
        fn peer_addr(&self) -> io::Result<Self::Addr>;
        fn shutdown_write(&self) -> io::Result<()>;
    }
}

/// The half that reads, borrowed. Made by `split`.
#[derive(Debug)]
pub struct ReadHalf<'a, S: Stream>(&'a S);

/// The half that writes, borrowed. Made by `split`.
#[derive(Debug)]
pub struct WriteHalf<'a, S: Stream>(&'a S);

/// The half that reads. Made by `into_split`.
#[derive(Debug)]
pub struct OwnedReadHalf<S: Stream>(Arc<S>);

/// The half that writes. Made by `into_split`; shuts down writing when it is dropped.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Stream> {
    /// `None` once it was reunited or forgotten.
    stream: Option<Arc<S>>,
}

pub(crate) fn borrowed<S: Stream>(stream: &mut S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(crate) fn owned<S: Stream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf {
        stream: Some(Arc::clone(&stream)),
    };
    (OwnedReadHalf(stream), write)
}

impl<S: Stream> OwnedReadHalf<S> {
    /// Puts the stream together again.
    ///
    /// # Errors
    ///
    /// When the two are not halves of one stream; both are given back.
    pub fn reunite(self, mut other: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, other.shared()) {
            return Err(ReuniteError(self, other));
        }
        drop(other.stream.take());
        Ok(Arc::try_unwrap(self.0).expect("no stream has more than two halves"))
    }
}

impl<S: Stream> OwnedWriteHalf<S> {
    /// Puts the stream together again. See [`OwnedReadHalf::reunite`].
    pub fn reunite(self, other: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        other.reunite(self)
    }

    /// Drops this half without shutting down writing.
    pub fn forget(mut self) {
        drop(self.stream.take());
    }

    fn shared(&self) -> &Arc<S> {
        self.stream
            .as_ref()
            .expect("taken only by methods that consume the half")
    }
}

impl<S: Stream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // There is nobody left to tell.
            let _ = stream.shutdown_write();
        }
    }
}

impl<S: Stream> AsRef<S> for ReadHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}

impl<S: Stream> AsRef<S> for WriteHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}

impl<S: Stream> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}

impl<S: Stream> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.shared()
    }
}

/// The methods of both kinds of half.
macro_rules! half {
    ($($half:tt)*) => {
        impl<S: Stream> $($half)* {
            #[cfg(feature = "tokio-io")]
            pub(crate) fn stream(&self) -> &S {
                self.as_ref()
            }

            /// The address of this side.
            pub fn local_addr(&self) -> io::Result<S::Addr> {
                self.as_ref().local_addr()
            }

            /// The address of the other side.
            pub fn peer_addr(&self) -> io::Result<S::Addr> {
                self.as_ref().peer_addr()
            }

            /// Waits until what `interest` asks for is the case; says what is. Cancel safe.
            pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
                Ok(self.as_ref().watched().readiness(interest).await?.ready)
            }
        }
    };
}

/// The methods of the halves that read.
macro_rules! reading {
    ($($half:tt)*) => {
        impl<S: Stream> $($half)* {
            /// Waits until there is something to read. Cancel safe.
            pub async fn readable(&self) -> io::Result<()> {
                self.ready(Interest::READABLE).await?;
                Ok(())
            }

            /// Reads what there is into `buf`, waiting for it; zero bytes are the end.
            pub fn poll_read(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.as_ref().watched().poll_read(cx, buf)
            }

            /// Reads what there is into `buf`; `WouldBlock` when nothing is known to be there.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.as_ref().watched().try_read(buf)
            }

            /// As [`try_read`](Self::try_read), into several buffers.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.as_ref().watched().try_read_vectored(bufs)
            }

            /// As [`try_read`](Self::try_read), to the end of `buf`.
            #[cfg(feature = "tokio-io")]
            pub fn try_read_buf<B: bytes::BufMut>(&self, buf: &mut B) -> io::Result<usize> {
                crate::io::try_read_buf(self.as_ref().watched(), buf)
            }
        }
    };
}

/// The methods of the halves that write.
macro_rules! writing {
    ($($half:tt)*) => {
        impl<S: Stream> $($half)* {
            /// Waits until there is room to write. Cancel safe.
            pub async fn writable(&self) -> io::Result<()> {
                self.ready(Interest::WRITABLE).await?;
                Ok(())
            }

            /// Writes as much of `buf` as there is room for, waiting for room.
            pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.as_ref().watched().poll_write(cx, buf)
            }

            /// As [`poll_write`](Self::poll_write), from several buffers.
            pub fn poll_write_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.as_ref().watched().poll_write_vectored(cx, bufs)
            }

            /// Tells the other side that nothing more will be written.
            pub fn poll_shutdown(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.as_ref().shutdown_write())
            }

            /// Writes as much of `buf` as there is room for; `WouldBlock` when none is known.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.as_ref().watched().try_write(buf)
            }

            /// As [`try_write`](Self::try_write), from several buffers.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.as_ref().watched().try_write_vectored(bufs)
            }
        }
    };
}

half!(ReadHalf<'_, S>);
half!(WriteHalf<'_, S>);
half!(OwnedReadHalf<S>);
half!(OwnedWriteHalf<S>);
reading!(ReadHalf<'_, S>);
reading!(OwnedReadHalf<S>);
writing!(WriteHalf<'_, S>);
writing!(OwnedWriteHalf<S>);

/// Two halves that are not of one stream.
#[derive(Debug)]
pub struct ReuniteError<S: Stream>(
    /// The half that reads, given back.
    pub OwnedReadHalf<S>,
    /// The half that writes, given back.
    pub OwnedWriteHalf<S>,
);

impl<S: Stream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same stream")
    }
}

impl<S: Stream> Error for ReuniteError<S> {}
