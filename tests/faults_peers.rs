//! What does a stream say when the other side resets it, in whatever state it is; and what goes on
//! when one direction has ended?
#![cfg(all(feature = "tokio-io", unix))]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream as StdStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task::{spawn, spawn_blocking, yield_now};
use telemetry_rt::time::{sleep, timeout};

/// After this long somebody waits who was to be woken.
const HANGS: Duration = Duration::from_secs(30);

fn on_each(test: impl AsyncFn()) {
    let run = |runtime: Runtime| {
        runtime.block_on(async { timeout(HANGS, test()).await.expect("the test hangs") });
    };
    run(Builder::new_current_thread().enable_all().build().unwrap());
    let mut two = Builder::new_multi_thread();
    run(two.worker_threads(2).enable_all().build().unwrap());
}

/// A peer that is not of the runtime, and a stream to it.
async fn with_peer() -> (TcpStream, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

/// Closes a connection by a reset instead of an end.
fn reset(peer: StdStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and the option is as long as it is said to be.
    let set = unsafe {
        libc::setsockopt(
            peer.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}

/// Resets the connection while somebody waits.
fn reset_soon(peer: StdStream) {
    drop(spawn(async move {
        sleep(Duration::from_millis(2)).await;
        reset(peer);
    }));
}

#[track_caller]
fn assert_reset<T: std::fmt::Debug>(result: io::Result<T>) {
    let kind = result.unwrap_err().kind();
    assert!(
        matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{kind:?}"
    );
}

/// Writes until nothing more fits into the buffers of both sides.
async fn fill(stream: &TcpStream) {
    let bytes = [0; 64 * 1024];
    loop {
        match stream.try_write(&bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The other side may still be taking it over.
                if timeout(Duration::from_millis(20), stream.writable())
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn one_who_waits_to_read_is_told_of_a_reset() {
    on_each(async || {
        let (mut stream, peer) = with_peer().await;
        reset_soon(peer);
        assert_reset(stream.read(&mut [0; 8]).await);
        // The error was told once; after it comes the end.
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        assert_reset(stream.write(b"x").await);
    });
}

#[test]
fn one_who_waits_to_write_is_told_of_a_reset() {
    on_each(async || {
        let (mut stream, peer) = with_peer().await;
        fill(&stream).await;
        reset_soon(peer);
        assert_reset(stream.write_all(&[0; 1024]).await);
    });
}

#[test]
fn both_halves_are_told_of_a_reset() {
    on_each(async || {
        let (stream, peer) = with_peer().await;
        fill(&stream).await;
        let (mut reader, mut writer) = stream.into_split();
        let reads = spawn(async move { reader.read(&mut [0; 8]).await });
        let writes = spawn(async move { writer.write_all(&[0; 1024]).await });
        yield_now().await;
        reset_soon(peer);
        // The operating system tells one of them that it was a reset, and the other one the end.
        let (read, written) = (reads.await.unwrap(), writes.await.unwrap());
        assert!(read.is_err() || read.is_ok_and(|bytes| bytes == 0));
        assert_reset(written);
    });
}

#[test]
fn one_who_does_not_wait_finds_out_at_the_next_attempt() {
    on_each(async || {
        let (stream, peer) = with_peer().await;
        reset(peer);
        stream.readable().await.unwrap();
        assert_reset(stream.try_read(&mut [0; 8]));
    });
}

#[test]
fn bytes_that_came_before_a_reset_may_be_lost_and_nobody_waits_for_them() {
    on_each(async || {
        let (mut stream, mut peer) = with_peer().await;
        peer.write_all(b"first").unwrap();
        reset(peer);
        let mut read = Vec::new();
        let end = stream.read_to_end(&mut read).await;
        assert!(b"first".starts_with(&read[..]), "{read:?}");
        assert!(end.is_err() || read == b"first");
    });
}

#[test]
fn a_client_that_resets_before_it_is_accepted_does_not_stop_the_listener() {
    on_each(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..3 {
            reset(StdStream::connect(address).unwrap());
        }
        let mut last = StdStream::connect(address).unwrap();
        last.write_all(b"x").unwrap();
        let mut accepted = 0;
        while accepted < 4 {
            match listener.accept().await {
                Ok((mut stream, from)) if from == last.local_addr().unwrap() => {
                    let mut bytes = [0; 1];
                    stream.read_exact(&mut bytes).await.unwrap();
                    return;
                }
                Ok((mut stream, _)) => assert_reset(stream.read(&mut [0; 8]).await),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionAborted),
            }
            accepted += 1;
        }
        panic!("the last client was not accepted");
    });
}

#[test]
fn a_reset_after_either_side_has_ended_its_direction_is_told() {
    on_each(async || {
        // The end came from the other side.
        let (mut stream, peer) = with_peer().await;
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        fill(&stream).await;
        reset_soon(peer);
        assert_reset(stream.write_all(&[0; 1024]).await);
        // It went to the other side.
        let (mut stream, peer) = with_peer().await;
        stream.shutdown().await.unwrap();
        reset_soon(peer);
        assert_reset(stream.read(&mut [0; 8]).await);
        // A stream that both have ended is closed, and a reset comes too late.
        let (mut stream, peer) = with_peer().await;
        stream.shutdown().await.unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        reset(peer);
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn a_connection_attempt_that_is_reset_or_refused_is_an_error() {
    on_each(async || {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = unused.local_addr().unwrap();
        drop(unused);
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The listener goes while connections wait to be accepted: they are reset.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        drop(listener);
        assert_reset(stream.read(&mut [0; 8]).await);
    });
}

#[test]
fn what_is_sent_after_the_other_side_has_ended_its_direction_arrives_whole() {
    const LONG: usize = 3 * 1024 * 1024;
    on_each(async || {
        // The peer has said all; the stream goes on.
        let (mut stream, mut peer) = with_peer().await;
        peer.write_all(b"question").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let reads = spawn_blocking(move || {
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).unwrap();
            answer.len()
        });
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        stream.write_all(&vec![1; LONG]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(reads.await.unwrap(), LONG);

        // The stream has said all; the peer goes on, and the reader is another half.
        let (stream, mut peer) = with_peer().await;
        let (mut reader, mut writer) = stream.into_split();
        let reads = spawn(async move {
            let mut answer = Vec::new();
            reader.read_to_end(&mut answer).await.unwrap();
            answer.len()
        });
        yield_now().await;
        writer.write_all(b"question").await.unwrap();
        writer.shutdown().await.unwrap();
        let answers = spawn_blocking(move || {
            let mut question = Vec::new();
            peer.read_to_end(&mut question).unwrap();
            assert_eq!(question, b"question");
            peer.write_all(&vec![1; LONG]).unwrap();
        });
        answers.await.unwrap();
        assert_eq!(reads.await.unwrap(), LONG);
        assert!(writer.write(b"x").await.is_err());
    });
}
