//! What all sockets do alike: their descriptor, and waiting for readiness.
//!
//! Two macros, because the methods must be inherent ones of each type (that is what code written
//! for other runtimes calls) and say the same of each.

/// A socket's descriptor and its conversions from and to the standard library's type. `$kind` is
/// one of [`Kind`](crate::io::Kind); `$more` is a field that begins with its default.
macro_rules! descriptor {
    ($socket:ident, $raw:ty, $std:ty, $kind:ident $(, $more:ident)?) => {
        impl $socket {
            /// Watches a socket of the standard library on the current runtime. The socket is
            /// put into non-blocking mode.
            ///
            /// # Panics
            ///
            /// Outside of a runtime, and when I/O is disabled on it.
            ///
            /// # Errors
            ///
            /// When the operating system cannot watch it, or the runtime is shut down.
            #[track_caller]
            pub fn from_std(socket: $std) -> ::std::io::Result<$socket> {
                socket.set_nonblocking(true)?;
                $socket::from_raw(<$raw>::from_std(socket))
            }

            /// The socket as one of the standard library. It is no longer watched, and still in
            /// non-blocking mode.
            ///
            /// # Errors
            ///
            /// When the operating system refuses to stop watching it.
            pub fn into_std(self) -> ::std::io::Result<$std> {
                Ok(self.watched.into_inner()?.into())
            }

            /// Watches a socket that is in non-blocking mode.
            #[track_caller]
            pub(crate) fn from_raw(raw: $raw) -> ::std::io::Result<$socket> {
                let watched = $crate::io::Watched::new(raw, $crate::io::Kind::$kind)?;
                Ok($socket { watched $(, $more: Default::default())? })
            }
        }

        impl TryFrom<$std> for $socket {
            type Error = ::std::io::Error;

            /// The same as `from_std`.
            fn try_from(socket: $std) -> ::std::io::Result<$socket> {
                $socket::from_std(socket)
            }
        }

        impl ::std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                self.watched.get().as_raw_fd()
            }
        }

        impl ::std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.watched.get().as_fd()
            }
        }

        impl ::std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(self.watched.get(), f)
            }
        }
    };
}

/// Waiting for readiness, and operations of one's own.
macro_rules! readiness {
    ($socket:ident) => {
        impl $socket {
            /// Waits until what `interest` asks for is the case; says what is.
            ///
            /// Readiness may be reported when there is none: the operation that follows can
            /// still answer `WouldBlock`. Any number of tasks may wait.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost when this is dropped.
            ///
            /// # Errors
            ///
            /// When the runtime is shut down.
            pub async fn ready(
                &self,
                interest: $crate::io::Interest,
            ) -> ::std::io::Result<$crate::io::Ready> {
                Ok(self.watched.readiness(interest).await?.ready)
            }

            /// Waits until it can be read from. See [`ready`](Self::ready).
            pub async fn readable(&self) -> ::std::io::Result<()> {
                self.ready($crate::io::Interest::READABLE).await?;
                Ok(())
            }

            /// Waits until it can be written to. See [`ready`](Self::ready).
            pub async fn writable(&self) -> ::std::io::Result<()> {
                self.ready($crate::io::Interest::WRITABLE).await?;
                Ok(())
            }

            /// Runs an operation of one's own if the socket is known to be ready, and never
            /// waits.
            ///
            /// # Errors
            ///
            /// `WouldBlock` when it is not known to be ready; else what `operation` gives. When
            /// that is `WouldBlock`, the readiness is forgotten.
            pub fn try_io<R>(
                &self,
                interest: $crate::io::Interest,
                operation: impl FnOnce() -> ::std::io::Result<R>,
            ) -> ::std::io::Result<R> {
                self.watched.try_io(interest, operation)
            }

            /// Runs an operation of one's own whenever the socket is ready, until the answer is
            /// not `WouldBlock`.
            pub async fn async_io<R>(
                &self,
                interest: $crate::io::Interest,
                operation: impl FnMut() -> ::std::io::Result<R>,
            ) -> ::std::io::Result<R> {
                self.watched.async_io(interest, operation).await
            }

            /// Takes the error that the operating system has kept for the socket, if any.
            pub fn take_error(&self) -> ::std::io::Result<Option<::std::io::Error>> {
                self.watched.get().take_error()
            }
        }
    };
}

/// Reading and writing bytes: the part of a stream that its halves and tokio's traits build on.
macro_rules! stream {
    ($stream:ident) => {
        impl $stream {
            /// Waits until it can be read from; of several tasks, the last one is woken.
            pub fn poll_read_ready(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                self.watched
                    .poll_ready(cx, $crate::io::Direction::Read)
                    .map_ok(|_| ())
            }

            /// Waits until it can be written to; of several tasks, the last one is woken.
            pub fn poll_write_ready(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                self.watched
                    .poll_ready(cx, $crate::io::Direction::Write)
                    .map_ok(|_| ())
            }

            /// Reads what there is into `buf`, waiting for it; zero bytes are the end.
            pub fn poll_read(
                &self,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.watched.poll_read(cx, buf)
            }

            /// Writes as much of `buf` as there is room for, waiting for room.
            pub fn poll_write(
                &self,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.watched.poll_write(cx, buf)
            }

            /// As [`poll_write`](Self::poll_write), from several buffers.
            pub fn poll_write_vectored(
                &self,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                self.watched.poll_write_vectored(cx, bufs)
            }

            /// Tells the other side that nothing more will be written. Reading goes on.
            pub fn poll_shutdown(
                &self,
                _cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::task::Poll::Ready(self.shutdown_write())
            }

            /// Reads what there is into `buf`, and never waits.
            ///
            /// # Errors
            ///
            /// `WouldBlock` when nothing is known to be there: see [`readable`](Self::readable).
            pub fn try_read(&self, buf: &mut [u8]) -> ::std::io::Result<usize> {
                self.watched.try_read(buf)
            }

            /// As [`try_read`](Self::try_read), into several buffers.
            pub fn try_read_vectored(
                &self,
                bufs: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::io::Result<usize> {
                self.watched.try_read_vectored(bufs)
            }

            /// As [`try_read`](Self::try_read), to the end of `buf`.
            #[cfg(feature = "tokio-io")]
            pub fn try_read_buf<B: ::bytes::BufMut>(
                &self,
                buf: &mut B,
            ) -> ::std::io::Result<usize> {
                $crate::io::try_read_buf(&self.watched, buf)
            }

            /// Writes as much of `buf` as there is room for, and never waits.
            ///
            /// # Errors
            ///
            /// `WouldBlock` when there is no room known: see [`writable`](Self::writable).
            pub fn try_write(&self, buf: &[u8]) -> ::std::io::Result<usize> {
                self.watched.try_write(buf)
            }

            /// As [`try_write`](Self::try_write), from several buffers.
            pub fn try_write_vectored(
                &self,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::io::Result<usize> {
                self.watched.try_write_vectored(bufs)
            }

            /// What has been shut down already need not be shut down again.
            fn shutdown_write(&self) -> ::std::io::Result<()> {
                match self.watched.get().shutdown(::std::net::Shutdown::Write) {
                    Err(error) if error.kind() == ::std::io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }

            /// Two halves that borrow the stream and can be used at the same time.
            pub fn split(
                &mut self,
            ) -> (
                $crate::net::split::ReadHalf<'_, $stream>,
                $crate::net::split::WriteHalf<'_, $stream>,
            ) {
                $crate::net::split::borrowed(self)
            }

            /// Two halves that share the stream and can be moved to different tasks. Dropping
            /// the write half shuts down writing.
            pub fn into_split(
                self,
            ) -> (
                $crate::net::split::OwnedReadHalf<$stream>,
                $crate::net::split::OwnedWriteHalf<$stream>,
            ) {
                $crate::net::split::owned(self)
            }
        }

        impl AsRef<$stream> for $stream {
            fn as_ref(&self) -> &$stream {
                self
            }
        }
    };
}

/// Receiving and sending whole messages on a connected socket, and waiting for it.
macro_rules! datagrams {
    ($socket:ident, $raw:ty) => {
        impl $socket {
            #[cfg(feature = "tokio-io")]
            pub(crate) fn watched(&self) -> &Watched<$raw> {
                &self.watched
            }

            /// Sends a message to the connected address. Cancel safe: either all of it was sent
            /// or nothing.
            pub async fn send(&self, buf: &[u8]) -> ::std::io::Result<usize> {
                let send = || self.watched.get().send(buf);
                self.async_io($crate::io::Interest::WRITABLE, send).await
            }

            /// As [`send`](Self::send); of several tasks, the last one is woken.
            pub fn poll_send(
                &self,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                let send = || self.watched.get().send(buf);
                self.watched.poll_io(cx, $crate::io::Direction::Write, send)
            }

            /// As [`send`](Self::send), and never waits: `WouldBlock` when there is no room
            /// known.
            pub fn try_send(&self, buf: &[u8]) -> ::std::io::Result<usize> {
                let send = || self.watched.get().send(buf);
                self.try_io($crate::io::Interest::WRITABLE, send)
            }

            /// Receives a message; what does not fit into `buf` is lost. Cancel safe: when this
            /// is dropped, no message was taken.
            pub async fn recv(&self, buf: &mut [u8]) -> ::std::io::Result<usize> {
                let receive = || self.watched.get().recv(buf);
                self.async_io($crate::io::Interest::READABLE, receive).await
            }

            /// As [`recv`](Self::recv), and never waits: `WouldBlock` when no message is known.
            pub fn try_recv(&self, buf: &mut [u8]) -> ::std::io::Result<usize> {
                let receive = || self.watched.get().recv(buf);
                self.try_io($crate::io::Interest::READABLE, receive)
            }

            /// Waits until a message can be received; of several tasks, the last one is woken.
            pub fn poll_recv_ready(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                self.watched
                    .poll_ready(cx, $crate::io::Direction::Read)
                    .map_ok(|_| ())
            }

            /// Waits until a message can be sent; of several tasks, the last one is woken.
            pub fn poll_send_ready(
                &self,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                self.watched
                    .poll_ready(cx, $crate::io::Direction::Write)
                    .map_ok(|_| ())
            }
        }
    };
}
