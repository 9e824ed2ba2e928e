//! Tasks that wait: for timers, for one another by channels, for permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use telemetry_rt::sync::{Semaphore, mpsc, oneshot, watch};
use telemetry_rt::task::yield_now;
use telemetry_rt::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::dice::Dice;
use crate::ledger::Kind;
use crate::world::World;

/// Sleeps of any length, many of which are given up.
pub async fn timers(world: Arc<World>, mut dice: Dice) {
    let mut sleepers = Vec::new();
    for _ in 0..dice.among(1..=30) {
        let length = dice.micros(0..=20_000);
        let limit = dice.micros(0..=20_000);
        let shared = Arc::clone(&world);
        sleepers.push(world.spawn(Kind::Sleeper, async move {
            let start = Instant::now();
            let ended = timeout(limit, sleep_until(start + length)).await;
            let least = length.min(limit);
            if start.elapsed() < least {
                shared.breaks(format!("a timer of {least:?} was early"));
            }
            ended
        }));
    }
    for sleeper in sleepers {
        if let Ok(Err(_elapsed)) = sleeper.await {
            world.notes.count("timeouts that elapsed");
        }
    }
    // One that nobody will see the end of.
    drop(timeout(Duration::MAX, sleep(Duration::MAX)));
}

/// An interval whose ticks are missed at times.
pub async fn ticks(_world: Arc<World>, mut dice: Dice) {
    let mut ticks = interval(dice.micros(500..=5_000));
    ticks.set_missed_tick_behavior(dice.weighted(&[
        (1, MissedTickBehavior::Burst),
        (1, MissedTickBehavior::Delay),
        (1, MissedTickBehavior::Skip),
    ]));
    for _ in 0..dice.among(1..=20) {
        ticks.tick().await;
        if dice.one_in(5) {
            sleep(dice.micros(0..=10_000)).await;
        }
    }
}

/// Some send, one receives, and what was sent has to come.
pub async fn many_to_one(world: Arc<World>, mut dice: Dice) {
    let (sender, mut receiver) = mpsc::channel(dice.among(1..=32) as usize);
    let mut expected = 0;
    for _ in 0..dice.among(1..=6) {
        let (sender, messages) = (sender.clone(), dice.among(1..=60));
        expected += messages;
        world.spawn(Kind::Sender, async move {
            for _ in 0..messages {
                let sent = sender.send(1_u64).await;
                sent.expect("the receiver lives until all have sent");
            }
        });
    }
    drop(sender);
    let receives = async move {
        let mut received = 0;
        while let Some(message) = receiver.recv().await {
            received += message;
        }
        received
    };
    let received = world.spawn(Kind::Receiver, receives).await;
    if received.ok() != Some(expected) {
        world.breaks(format!("{expected} messages were sent, and not received"));
    }
}

/// A word from one to another; at times one of them is gone.
pub async fn one_to_one(world: Arc<World>, mut dice: Dice) {
    for _ in 0..dice.among(1..=20) {
        let (sender, receiver) = oneshot::channel();
        let (is_silent, is_deaf) = (dice.one_in(5), dice.one_in(5));
        let limit = dice.micros(0..=300);
        let receives = world.spawn(Kind::Receiver, async move {
            match is_deaf {
                // Polled, then dropped while the other sends.
                true => drop(timeout(limit, receiver).await),
                false => drop(receiver.await),
            }
        });
        world.spawn(Kind::Sender, async move {
            yield_now().await;
            if !is_silent {
                drop(sender.send("word".to_owned()));
            }
        });
        if receives.await.is_err() {
            world.breaks("a receiver did not end by itself".to_owned());
        }
    }
}

/// Many watch a value until it is the last.
pub async fn one_to_many(world: Arc<World>, mut dice: Dice) {
    let last = dice.among(1..=30);
    let (sender, receiver) = watch::channel(0);
    let mut watchers = Vec::new();
    for _ in 0..dice.among(1..=8) {
        let mut receiver = receiver.clone();
        watchers.push(world.spawn(Kind::Receiver, async move {
            let seen = receiver.wait_for(|value| *value == last).await;
            seen.map_or(0, |value| *value)
        }));
    }
    for value in 1..=last {
        sender.send_replace(value);
        if dice.one_in(4) {
            yield_now().await;
        }
    }
    for watcher in watchers {
        if watcher.await.ok() != Some(last) {
            world.breaks("a value was not seen by all who watch".to_owned());
        }
    }
}

/// Never are there more holders than permits.
pub async fn permits(world: Arc<World>, mut dice: Dice) {
    let most = dice.among(1..=4);
    let semaphore = Arc::new(Semaphore::new(most as usize));
    let inside = Arc::new(AtomicU64::new(0));
    let mut holders = Vec::new();
    for _ in 0..dice.among(1..=30) {
        let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
        let (shared, length) = (Arc::clone(&world), dice.micros(0..=300));
        holders.push(world.spawn(Kind::Holder, async move {
            let permit = semaphore.acquire().await;
            let permit = permit.expect("nobody closes the semaphore");
            if inside.fetch_add(1, SeqCst) >= most {
                shared.breaks("there are more holders than permits".to_owned());
            }
            let inside = Leaves(inside);
            sleep(length).await;
            drop(inside);
            drop(permit);
        }));
    }
    for holder in holders {
        if dice.one_in(10) {
            holder.abort();
            world.faults.count("abort");
        }
        drop(holder.await);
    }
    if semaphore.available_permits() as u64 != most {
        world.breaks("a permit did not come back".to_owned());
    }
}

/// Counts one less, however the holder ends.
struct Leaves(Arc<AtomicU64>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
