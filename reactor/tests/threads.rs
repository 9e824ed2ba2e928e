//! Tasks on their own threads while another thread turns the driver: no wake-up is lost.

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;
use telemetry_rt_reactor::net::UnixStream;
use telemetry_rt_reactor::{build, context};

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Half of the rounds wait with `poll_read`, half with a future of their own.
async fn receive(stream: &UnixStream, round: u32) {
    let mut buf = [0; 1];
    if round.is_multiple_of(2) {
        let read = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await;
        assert_eq!(read.expect("reads"), 1);
        return;
    }
    while stream.try_read(&mut buf).is_err() {
        stream.readable().await.expect("readable");
    }
}

async fn send(stream: &UnixStream) {
    let write = poll_fn(|cx| stream.poll_write(cx, b"x")).await;
    assert_eq!(write.expect("writes"), 1);
}

#[test]
fn two_threads_play_ping_pong() {
    const ROUNDS: u32 = 10_000;
    let (mut driver, handle) = build(support::config()).expect("builds");
    let previous = context::enter(Some(handle.clone()), None);
    let (one, other) = UnixStream::pair().expect("a pair");
    context::restore(previous);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                driver.turn(None, false);
            }
        });
        let echo = scope.spawn(|| {
            block_on(async {
                for round in 0..ROUNDS {
                    receive(&other, round).await;
                    send(&other).await;
                }
            });
        });
        block_on(async {
            for round in 0..ROUNDS {
                send(&one).await;
                receive(&one, round / 2).await;
            }
        });
        echo.join().expect("no panic");
        done.store(true, Ordering::Release);
        handle.wake();
    });
}

#[test]
fn sockets_come_and_go_while_the_driver_turns() {
    let (mut driver, handle) = build(support::config()).expect("builds");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                driver.turn(Some(Duration::from_millis(50)), false);
            }
        });
        let users: Vec<_> = (0..3)
            .map(|_| {
                let handle = handle.clone();
                scope.spawn(move || {
                    let previous = context::enter(Some(handle), None);
                    for round in 0..1_000 {
                        let (one, other) = UnixStream::pair().expect("a pair");
                        block_on(async {
                            send(&one).await;
                            receive(&other, round).await;
                        });
                    }
                    context::restore(previous);
                })
            })
            .collect();
        for user in users {
            user.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
        handle.wake();
    });
}
