//! The word that remembers what a descriptor is ready for, and forgets only what was seen.
//!
//! ```text
//!   63            32 31            9   8   7             0
//!  ┌────────────────┬───────────────┬────┬────────────────┐
//!  │      tick      │    unused     │shut│     ready      │
//!  └────────────────┴───────────────┴────┴────────────────┘
//! ```
//!
//! The driver adds readiness and moves the tick. An operation that finds the descriptor not
//! ready after all forgets the readiness it *saw*, and only while the tick is the one it saw:
//! readiness that arrived in between is a new edge, which the operating system will not repeat.
//! The tick has 32 bits, so that an operation would have to sleep over four thousand million
//! events of one descriptor to take a new edge for the old one.

use super::interest::Ready;
use std::sync::atomic::{AtomicU64, Ordering};

const SHUT: u64 = 1 << 8;
const TICK_SHIFT: u32 = 32;

/// The word above.
#[derive(Debug, Default)]
pub(crate) struct Readiness(AtomicU64);

/// The word at one moment.
#[derive(Clone, Copy)]
struct View(u64);

/// What an operation saw, and may forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyEvent {
    pub(crate) ready: Ready,
    tick: u32,
}

impl ReadyEvent {
    /// The part of the event that is in `ready`.
    pub(crate) fn only(self, ready: Ready) -> ReadyEvent {
        ReadyEvent {
            ready: self.ready & ready,
            ..self
        }
    }
}

/// The reactor was shut down: there is no readiness any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shut;

impl Readiness {
    /// What is known now of the states in `mask`; it may be nothing.
    #[inline]
    pub(crate) fn look(&self, mask: Ready) -> Result<ReadyEvent, Shut> {
        // Acquire: pairs with the changes below, so that after `Shut` the rest of the shutdown
        // is visible. Whether an edge is seen here or only under the slot's lock does not matter.
        let view = View(self.0.load(Ordering::Acquire));
        if view.is_shut() {
            return Err(Shut);
        }
        Ok(ReadyEvent {
            ready: view.ready() & mask,
            tick: view.tick(),
        })
    }

    /// The operating system reported `ready`.
    pub(crate) fn add(&self, ready: Ready) {
        self.change(|view| Some(view.with(view.ready() | ready, view.tick().wrapping_add(1))));
    }

    /// An operation that saw `event` found it no longer true. What is in `lasting` stays.
    pub(crate) fn forget(&self, event: ReadyEvent, lasting: Ready) {
        let seen = event.ready - lasting;
        self.change(|view| {
            let is_newer = view.tick() != event.tick;
            (!is_newer).then(|| view.with(view.ready() - seen, view.tick()))
        });
    }

    /// The reactor is being shut down.
    pub(crate) fn shut(&self) {
        // AcqRel: pairs with the load in `look`.
        self.0.fetch_or(SHUT, Ordering::AcqRel);
    }

    fn change(&self, next: impl Fn(View) -> Option<View>) {
        // AcqRel: pairs with the load in `look`; `None` means that nothing has to change.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                next(View(word)).map(|view| view.0)
            });
    }
}

impl View {
    fn ready(self) -> Ready {
        Ready::from_bits(self.0 as u8)
    }

    fn tick(self) -> u32 {
        (self.0 >> TICK_SHIFT) as u32
    }

    fn is_shut(self) -> bool {
        self.0 & SHUT != 0
    }

    fn with(self, ready: Ready, tick: u32) -> View {
        View(u64::from(tick) << TICK_SHIFT | self.0 & SHUT | u64::from(ready.bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(word: &Readiness) -> Ready {
        word.look(Ready::ALL).expect("not shut").ready
    }

    #[test]
    fn readiness_that_was_seen_is_forgotten() {
        let word = Readiness::default();
        word.add(Ready::READABLE | Ready::WRITABLE);
        let event = word.look(Ready::READABLE).expect("not shut");
        word.forget(event, Ready::EMPTY);
        assert_eq!(seen(&word), Ready::WRITABLE);
    }

    #[test]
    fn readiness_that_arrived_since_is_kept() {
        let word = Readiness::default();
        word.add(Ready::READABLE);
        let event = word.look(Ready::READABLE).expect("not shut");
        word.add(Ready::READABLE);
        word.forget(event, Ready::EMPTY);
        assert_eq!(seen(&word), Ready::READABLE);
    }

    #[test]
    fn what_lasts_is_never_forgotten() {
        let word = Readiness::default();
        word.add(Ready::READABLE | Ready::READ_CLOSED);
        let event = word.look(Ready::ALL).expect("not shut");
        word.forget(event, Ready::READ_CLOSED);
        assert_eq!(seen(&word), Ready::READ_CLOSED);
    }

    #[test]
    fn a_word_stays_shut_whatever_arrives() {
        let word = Readiness::default();
        word.shut();
        word.add(Ready::READABLE);
        assert_eq!(word.look(Ready::ALL), Err(Shut));
    }
}
