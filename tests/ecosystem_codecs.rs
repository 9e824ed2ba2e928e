//! Do the codecs and the tools for tasks of tokio-util work on our sockets and tasks?
//!
//! What spawns by itself there (`TaskTracker::spawn`, `JoinMap`) spawns on tokio; what wraps a
//! future does not care who polls it.

#![cfg(feature = "tokio-io")]

#[path = "ecosystem/bounded.rs"]
mod bounded;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bounded::on_each_runtime;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use telemetry_rt::io::{AsyncRead, AsyncWrite};
use telemetry_rt::net::{TcpListener, TcpStream, UnixStream};
use telemetry_rt::task::{JoinSet, yield_now};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec, LinesCodecError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = telemetry_rt::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Sends lines back in capitals until the other side ends.
async fn shout(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut lines = Framed::new(stream, LinesCodec::new());
    while let Some(line) = lines.next().await {
        lines.send(line.unwrap().to_uppercase()).await.unwrap();
    }
}

async fn lines_are_echoed<S>((client, server): (S, S))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shouting = telemetry_rt::spawn(shout(server));
    let mut lines = Framed::new(client, LinesCodec::new());
    for number in 0..500 {
        lines.send(format!("line {number}")).await.unwrap();
        let answer = lines.next().await.unwrap().unwrap();
        assert_eq!(answer, format!("LINE {number}"));
    }
    drop(lines);
    shouting.await.unwrap();
}

/// Frames from none to many times the size of a socket's buffer, sent while they are received.
async fn frames_are_echoed<S>((client, server): (S, S))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let echoing = telemetry_rt::spawn(async move {
        let (sink, stream) = Framed::new(server, LengthDelimitedCodec::new()).split();
        stream
            .map(|frame| frame.map(Bytes::from))
            .forward(sink)
            .await
    });
    let (mut sink, mut stream) = Framed::new(client, LengthDelimitedCodec::new()).split();
    let sizes = [0, 1, 1000, 100_000, 4_000_000, 3];
    let sending = telemetry_rt::spawn(async move {
        for size in sizes {
            sink.send(Bytes::from(vec![7; size])).await.unwrap();
        }
        sink.close().await.unwrap();
    });
    for size in sizes {
        let frame = stream.next().await.unwrap().unwrap();
        assert_eq!(frame.len(), size);
        assert!(frame.iter().all(|&byte| byte == 7));
    }
    sending.await.unwrap();
    assert!(stream.next().await.is_none());
    echoing.await.unwrap().unwrap();
}

#[test]
fn lines_over_both_kinds_of_streams() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            lines_are_echoed(tcp_pair().await).await;
            lines_are_echoed(UnixStream::pair().unwrap()).await;
        });
    });
}

#[test]
fn length_delimited_frames_over_both_kinds_of_streams() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            frames_are_echoed(tcp_pair().await).await;
            frames_are_echoed(UnixStream::pair().unwrap()).await;
        });
    });
}

#[test]
fn a_line_that_is_too_long_is_the_error_of_the_codec() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (client, server) = tcp_pair().await;
            let mut sender = Framed::new(client, LinesCodec::new());
            sender.send("too long").await.unwrap();
            let mut receiver = Framed::new(server, LinesCodec::new_with_max_length(4));
            let received = receiver.next().await.unwrap();
            assert!(matches!(
                received,
                Err(LinesCodecError::MaxLineLengthExceeded)
            ));
        });
    });
}

#[test]
fn a_token_cancels_tasks_and_its_children() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let token = CancellationToken::new();
            let mut tasks = JoinSet::new();
            for number in 0..100 {
                let token = token.child_token();
                tasks.spawn(async move {
                    telemetry_rt::select! {
                        () = token.cancelled() => number,
                        () = std::future::pending() => unreachable!(),
                    }
                });
            }
            yield_now().await;
            assert!(tasks.try_join_next().is_none());
            token.cancel();
            let mut cancelled = tasks.join_all().await;
            cancelled.sort_unstable();
            assert!(cancelled.into_iter().eq(0..100));
        });
    });
}

#[test]
fn a_tracker_waits_for_our_tasks() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let tracker = TaskTracker::new();
            let ended = Arc::new(AtomicUsize::new(0));
            for _ in 0..100 {
                let ended = Arc::clone(&ended);
                telemetry_rt::spawn(tracker.track_future(async move {
                    yield_now().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                }));
            }
            tracker.close();
            tracker.wait().await;
            assert_eq!(ended.load(Ordering::SeqCst), 100);
        });
    });
}
