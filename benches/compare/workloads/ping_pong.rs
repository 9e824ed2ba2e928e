//! Tasks that wake each other: by bare wakers, through channels, all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::rally::{Table, play};
use super::{Done, Workload, sum_below};
use crate::runtime::Runtime;

pub fn all<R: Runtime>() -> Vec<Workload<R>> {
    vec![
        Workload::new("ping_pong_raw", 20_000, |_| Box::new(ping_pong_raw)),
        Workload::new("ping_pong_mpsc", 20_000, |_| Box::new(ping_pong_mpsc)),
        Workload::new("ping_pong_oneshot", 4_000, |_| Box::new(ping_pong_oneshot)),
        Workload::new("request_reply", 20_000, |_| Box::new(request_reply)),
        Workload::new("wake_storm", 20_000, |_| Box::new(wake_storm)),
    ]
}

/// Two tasks with nothing between them but a number and their wakers. An operation is a round: two
/// wakes, two polls.
fn ping_pong_raw<R: Runtime>(runtime: &R, size: usize) -> Done {
    let both = async move {
        let table = Arc::new(Table::default());
        let first = R::spawn(play(table.clone(), 0, 2 * size));
        let second = R::spawn(play(table.clone(), 1, 2 * size));
        first.await;
        second.await;
        table.hits.load(SeqCst)
    };
    let hits = runtime.block_on(async { R::spawn(both).await });
    Done::checked((size, 4), hits, 2 * size)
}

/// Two tasks, and a channel with room for one each way.
fn ping_pong_mpsc<R: Runtime>(runtime: &R, size: usize) -> Done {
    let both = async move {
        let (ping, mut pings) = mpsc::channel(1);
        let (pong, mut pongs) = mpsc::channel(1);
        R::spawn_detached(async move {
            while let Some(number) = pings.recv().await {
                if pong.send(number).await.is_err() {
                    return;
                }
            }
        });
        let mut sum = 0;
        for number in 0..size {
            ping.send(number).await.expect("the other one lives");
            sum += pongs.recv().await.expect("the other one answers");
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(both).await });
    Done::checked((size, 3), sum, sum_below(size))
}

/// tokio's `ping_pong`: pairs of tasks, each of which exchanges two messages.
fn ping_pong_oneshot<R: Runtime>(runtime: &R, size: usize) -> Done {
    let all = async move {
        let pairs: Vec<_> = (0..size).map(|index| R::spawn(pair::<R>(index))).collect();
        let mut sum = 0;
        for pair in pairs {
            sum += pair.await;
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(all).await });
    Done::checked((size, 2 * size + 2), sum, sum_below(size))
}

async fn pair<R: Runtime>(index: usize) -> usize {
    let (ping, pinged) = oneshot::channel();
    let (pong, ponged) = oneshot::channel();
    R::spawn_detached(async move {
        let index: usize = pinged.await.expect("the first one sends");
        pong.send(index).expect("the first one waits");
    });
    ping.send(index).expect("the second one waits");
    ponged.await.expect("the second one answers")
}

/// A server with a queue of requests, each with the way back for its answer.
fn request_reply<R: Runtime>(runtime: &R, size: usize) -> Done {
    let client = async move {
        let (requests, mut received) = mpsc::channel::<(usize, oneshot::Sender<usize>)>(64);
        R::spawn_detached(async move {
            while let Some((number, reply)) = received.recv().await {
                reply.send(number + 1).expect("the client waits");
            }
        });
        let mut sum = 0;
        for number in 0..size {
            let (reply, answer) = oneshot::channel();
            let sent = requests.send((number, reply)).await;
            sent.expect("the server lives");
            sum += answer.await.expect("the server answers");
        }
        sum
    };
    let sum = runtime.block_on(async { R::spawn(client).await });
    Done::checked((size, 3), sum, sum_below(size) + size)
}

/// How many sleep until the storm.
const SLEEPERS: usize = 100;

/// A hundred tasks that are woken at once, and again when all have been. An operation is one wake.
fn wake_storm<R: Runtime>(runtime: &R, size: usize) -> Done {
    let rounds = (size / SLEEPERS).max(1);
    let storm = async move {
        let (round, _) = watch::channel(0);
        let awake = Arc::new((AtomicUsize::new(0), Notify::new()));
        let sleepers: Vec<_> = (0..SLEEPERS)
            .map(|_| R::spawn(sleeper(round.subscribe(), awake.clone(), rounds)))
            .collect();
        for number in 1..=rounds {
            round.send_replace(number);
            awake.1.notified().await;
        }
        let mut wakes = 0;
        for sleeper in sleepers {
            wakes += sleeper.await;
        }
        wakes
    };
    let wakes = runtime.block_on(async { R::spawn(storm).await });
    Done::checked((rounds * SLEEPERS, SLEEPERS + 2), wakes, rounds * SLEEPERS)
}

async fn sleeper(
    mut round: watch::Receiver<usize>,
    awake: Arc<(AtomicUsize, Notify)>,
    rounds: usize,
) -> usize {
    for number in 1..=rounds {
        let seen = round.wait_for(|seen| *seen >= number).await;
        drop(seen.expect("the storm goes on"));
        if awake.0.fetch_add(1, SeqCst) + 1 == number * SLEEPERS {
            awake.1.notify_one();
        }
    }
    rounds
}
