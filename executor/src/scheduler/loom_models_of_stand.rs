//! The core of a current-thread runtime goes from one thread in `block_on` to the next (`stand.rs`),
//! under every order of events: nobody waits whose future was woken, and nobody waits while the core is
//! there. Loom reports a thread that waits for ever as a deadlock.
//!
//! Each model is shown to fail when a step is left out.

use loom::sync::Arc;
use loom::thread;

use super::stand::Stand;
use crate::sync::model::explore;
use crate::sync::{AtomicBool, Ordering};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Who wakes a future does not tell the threads at the stand.
    Telling,
    /// Who is done with the core takes it along.
    Putting,
}

struct World {
    stand: Stand<()>,
    /// The futures of the two threads were woken.
    woken: [AtomicBool; 2],
    without: Without,
}

impl World {
    fn new(without: Without) -> Arc<World> {
        Arc::new(World {
            stand: Stand::new(),
            woken: [AtomicBool::new(false), AtomicBool::new(false)],
            without,
        })
    }

    fn is_woken(&self, root: usize) -> bool {
        self.woken[root].load(Ordering::Acquire)
    }

    /// As a waker of `root`.
    fn wake(&self, root: usize) {
        self.woken[root].store(true, Ordering::Release);
        if self.without != Without::Telling {
            self.stand.tell();
        }
    }

    /// A thread whose future is done when it was woken. Whoever has the core wakes both futures.
    fn block_on(&self, root: usize) {
        loop {
            let core = self.stand.take();
            if core.is_some() {
                (0..2).for_each(|root| self.wake(root));
            }
            if let Some(core) = core
                && self.without != Without::Putting
            {
                self.stand.put(core);
            }
            if self.is_woken(root) {
                return;
            }
            self.stand.wait(|| self.is_woken(root));
        }
    }
}

fn start(world: &Arc<World>, act: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let theirs = Arc::clone(world);
    thread::spawn(move || act(&theirs))
}

fn end(thread: thread::JoinHandle<()>) {
    thread.join().expect("a thread that panics ends the model");
}

/// Two threads block, of which one finds the core.
fn two_threads_block(without: Without) {
    let world = World::new(without);
    world.stand.put(());
    let other = start(&world, |world| world.block_on(1));
    world.block_on(0);
    end(other);
    assert!(world.stand.take().is_some(), "the core is lost");
}

/// A thread finds no core, while its future is woken by somebody who has none either.
fn a_wake_meets_a_thread_without_the_core(without: Without) {
    let world = World::new(without);
    let waker = start(&world, |world| world.wake(0));
    world.stand.wait(|| world.is_woken(0));
    end(waker);
}

/// A thread finds no core, while that is brought back.
fn the_core_comes_back_while_a_thread_looks(without: Without) {
    let world = World::new(without);
    let theirs = start(&world, |world| {
        if world.without != Without::Putting {
            world.stand.put(());
        }
    });
    world.stand.wait(|| false);
    assert!(world.stand.take().is_some(), "nobody else takes it");
    end(theirs);
}

mod hold {
    use super::*;

    #[test]
    fn two_threads_block() {
        explore(None, || super::two_threads_block(Without::Nothing));
    }

    #[test]
    fn a_wake_meets_a_thread_without_the_core() {
        explore(None, || {
            super::a_wake_meets_a_thread_without_the_core(Without::Nothing);
        });
    }

    #[test]
    fn the_core_comes_back_while_a_thread_looks() {
        explore(None, || {
            super::the_core_comes_back_while_a_thread_looks(Without::Nothing);
        });
    }
}

/// Each model notices when a step is left out.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "the core is lost")]
    fn a_thread_that_takes_the_core_along() {
        explore(None, || two_threads_block(Without::Putting));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn a_wake_that_tells_nobody() {
        explore(None, || {
            a_wake_meets_a_thread_without_the_core(Without::Telling);
        });
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn a_core_that_does_not_come_back() {
        explore(None, || {
            the_core_comes_back_while_a_thread_looks(Without::Putting);
        });
    }
}
