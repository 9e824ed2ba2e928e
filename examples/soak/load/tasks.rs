//! Tasks that spawn tasks, and that end in every way in which a task can end.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use telemetry_rt::task::{JoinError, JoinHandle, JoinSet, yield_now};
use telemetry_rt::time::sleep;

use super::{inject_panic, is_on_purpose};
use crate::dice::Dice;
use crate::ledger::{Ended, Fuse, Injected, Kind, State};
use crate::world::World;

/// A tree of tasks, whose leaves each count one; a few panic or fail instead, and their parents see
/// it. What comes up at the root has to be what was sown.
pub async fn tree(world: Arc<World>, mut dice: Dice) {
    let depth = dice.among(1..=3);
    let (grown, expected) = branch(Arc::clone(&world), dice, depth).await;
    if grown != expected {
        world.breaks(format!("a tree of {expected} tasks counted {grown}"));
    }
}

type Count = Pin<Box<dyn Future<Output = (u64, u64)> + Send>>;

/// How many leaves there are, by their own word and by that of who planted them.
fn branch(world: Arc<World>, mut dice: Dice, depth: u64) -> Count {
    Box::pin(async move {
        let mut children = Vec::new();
        for _ in 0..dice.among(1..=6) {
            let dice = dice.split();
            children.push(match depth {
                0 => plant(&world, dice),
                _ => {
                    let below = branch(Arc::clone(&world), dice, depth - 1);
                    world.spawn(Kind::Branch, async move { Ok(below.await) })
                }
            });
        }
        let (mut grown, mut expected) = (0, 0);
        for child in children {
            let (of_child, expected_of_child) = match child.await {
                Ok(Ok(counts)) => counts,
                // Leaves only, and each is one.
                Ok(Err(Injected)) => (1, 1),
                Err(error) => (u64::from(is_injected(error)), 1),
            };
            grown += of_child;
            expected += expected_of_child;
        }
        (grown, expected)
    })
}

impl Ended for (u64, u64) {
    fn state(&self) -> State {
        State::Finished
    }
}

fn plant(world: &Arc<World>, mut dice: Dice) -> JoinHandle<Result<(u64, u64), Injected>> {
    let shared = Arc::clone(world);
    world.spawn(Kind::Leaf, async move {
        match dice.among(0..=99) {
            0..=59 => {}
            60..=79 => yield_now().await,
            80..=94 => sleep(dice.micros(0..=3_000)).await,
            95..=97 => {
                shared.faults.count("task returns an error");
                return Err(Injected);
            }
            _ => inject_panic(&shared, "panic in a poll"),
        }
        Ok((1, 1))
    })
}

fn is_injected(error: JoinError) -> bool {
    error
        .try_into_panic()
        .is_ok_and(|payload| is_on_purpose(&*payload))
}

/// Panics when it is dropped, unless it was defused.
pub struct Bomb {
    world: Arc<World>,
    name: &'static str,
    is_armed: bool,
}

impl Bomb {
    pub fn new(world: &Arc<World>, name: &'static str) -> Bomb {
        Bomb {
            world: Arc::clone(world),
            name,
            is_armed: true,
        }
    }

    pub fn defuse(mut self) {
        self.is_armed = false;
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        // A panic within a panic would end the process.
        if self.is_armed && !std::thread::panicking() {
            inject_panic(&self.world, self.name);
        }
    }
}

/// Tasks that would go on for ever, or for a moment, and are aborted at any moment of their lives.
pub async fn abort(world: Arc<World>, mut dice: Dice) {
    let mut victims = Vec::new();
    for _ in 0..dice.among(1..=20) {
        let is_bomb = dice.one_in(8);
        let victim = victim(&world, dice.split(), is_bomb);
        if dice.one_in(3) {
            // Before its first poll, unless another worker is faster.
            victim.abort();
        }
        victims.push((victim, is_bomb));
    }
    match dice.among(0..=2) {
        0 => {}
        1 => yield_now().await,
        _ => sleep(dice.micros(0..=2_000)).await,
    }
    for (victim, is_bomb) in victims {
        victim.abort();
        world.faults.count("abort");
        if dice.one_in(10) {
            // Nobody waits for this one.
            continue;
        }
        let ended = victim.await;
        let is_well = match ended {
            Ok(()) => true,
            Err(error) => error.is_cancelled() || (is_bomb && is_injected(error)),
        };
        if !is_well {
            world.breaks("an aborted task neither ended nor was cancelled".to_owned());
        }
    }
}

fn victim(world: &Arc<World>, mut dice: Dice, is_bomb: bool) -> JoinHandle<()> {
    let shared = Arc::clone(world);
    let bomb = is_bomb.then(|| Bomb::new(&shared, "panic in the drop of a future"));
    let kind = match is_bomb {
        true => Kind::Bomb,
        false => Kind::Victim,
    };
    world.spawn(kind, async move {
        match dice.among(0..=4) {
            0 => sleep(dice.micros(0..=2_000)).await,
            1 => pending().await,
            2 => loop {
                yield_now().await;
            },
            3 => {
                for _ in 0..dice.among(1..=50) {
                    yield_now().await;
                }
            }
            _ => {}
        }
        // It goes off only when the future is dropped before its end.
        if let Some(bomb) = bomb {
            bomb.defuse();
        }
    })
}

/// A set of tasks that end in many ways: all are joined, or aborted, or left to the set's drop.
pub async fn join_set(world: Arc<World>, mut dice: Dice) {
    let mut set = JoinSet::new();
    for _ in 0..dice.among(1..=40) {
        let (shared, mut dice) = (Arc::clone(&world), dice.split());
        world.spawn_into(&mut set, Kind::Member, async move {
            match dice.among(0..=19) {
                0 => inject_panic(&shared, "panic in a poll"),
                1 => return Err(Injected),
                2..=9 => sleep(dice.micros(0..=5_000)).await,
                _ => yield_now().await,
            }
            Ok(1_u64)
        });
    }
    let all = set.len();
    let end = dice.among(0..=3);
    if end == 0 {
        set.abort_all();
        world.faults.count("abort of a set");
    }
    let enough = match end {
        0 | 1 => all,
        _ => dice.among(0..=all as u64) as usize,
    };
    for _ in 0..enough {
        if set.join_next().await.is_none() {
            world.breaks("a set of tasks has lost one".to_owned());
        }
    }
    if end == 3 {
        set.detach_all();
    } else if enough < all {
        world.faults.count("drop of a set");
    }
}

/// Tasks whose handles are dropped at once, or after a poll.
pub async fn detach(world: Arc<World>, mut dice: Dice) {
    for _ in 0..dice.among(1..=30) {
        let length = dice.micros(0..=3_000);
        let mut handle = world.spawn(Kind::Detached, sleep(length));
        if dice.one_in(2) {
            // Leaves a waker behind.
            let once = std::future::poll_fn(|cx| {
                let _ = Pin::new(&mut handle).poll(cx);
                std::task::Poll::Ready(())
            });
            once.await;
        }
    }
}

/// Outputs that panic when they are dropped, by whoever gets to drop them.
pub async fn output_bomb(world: Arc<World>, mut dice: Dice) {
    let shared = Arc::clone(&world);
    let task = world.spawn(Kind::Leaf, async move {
        Fuse(Bomb::new(&shared, "panic in the drop of an output"))
    });
    match dice.among(0..=2) {
        // The runtime drops it, or the handle's drop does, whoever is later.
        0 => drop_caught(task),
        1 => {
            sleep(dice.micros(0..=1_000)).await;
            drop_caught(task);
        }
        _ => match task.await {
            Ok(Fuse(bomb)) => bomb.defuse(),
            Err(error) => world.breaks(format!("an output was lost: {error}")),
        },
    }
}

fn drop_caught<T>(value: T) {
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
    if let Err(payload) = dropped {
        assert!(is_on_purpose(&*payload), "another panic came out of a drop");
    }
}
