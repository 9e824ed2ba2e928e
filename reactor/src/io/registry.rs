//! All descriptors of one driver, found by token.
//!
//! A token is a number and a generation, never a pointer. An event may be delivered after its
//! descriptor was deregistered (it was already in the batch), and the number may belong to
//! another descriptor by then: the generation tells, and the event is thrown away.

use super::interest::{Interest, Ready};
use super::kind::Kind;
use super::slot::Slot;
use crate::handle::shutting_down;
use crate::leaf::Waiting;
use crate::waking::wake_all;
use mio::unix::SourceFd;
use parking_lot::Mutex;
use slab::Slab;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::Waker;

/// The token of the alarm that interrupts a wait.
pub(crate) const WAKEUP: mio::Token = mio::Token(usize::MAX);
/// The token of the pipe that signal handlers write to.
pub(crate) const SIGNALS: mio::Token = mio::Token(usize::MAX - 1);

/// All descriptors of one driver.
#[derive(Debug)]
pub(crate) struct Registry {
    selector: mio::Registry,
    slots: Mutex<Slots>,
    /// Whether the pipe of the signals is registered with this selector.
    hears_signals: Mutex<bool>,
}

#[derive(Debug, Default)]
struct Slots {
    entries: Slab<Entry>,
    next_generation: usize,
    /// How many were ever inserted.
    registered: u64,
    shut: bool,
}

#[derive(Debug)]
struct Entry {
    generation: usize,
    slot: Arc<Slot>,
}

/// Names one registration for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    key: usize,
    generation: usize,
}

impl Token {
    const KEY_BITS: u32 = usize::BITS / 2;
    const KEY_MASK: usize = (1 << Token::KEY_BITS) - 1;
    /// One less than all bits: the two highest tokens are taken.
    const GENERATIONS: usize = Token::KEY_MASK;

    fn to_mio(self) -> mio::Token {
        mio::Token(self.generation << Token::KEY_BITS | self.key)
    }

    fn from_mio(token: mio::Token) -> Token {
        Token {
            key: token.0 & Token::KEY_MASK,
            generation: token.0 >> Token::KEY_BITS,
        }
    }
}

impl Registry {
    pub(crate) fn new(selector: mio::Registry) -> Registry {
        Registry {
            selector,
            slots: Mutex::default(),
            hears_signals: Mutex::new(false),
        }
    }

    /// Watches `fd` until [`deregister`](Registry::deregister).
    pub(crate) fn register(
        &self,
        fd: RawFd,
        interest: Interest,
        kind: Kind,
    ) -> io::Result<(Token, Arc<Slot>)> {
        let slot = Arc::new(Slot::new(kind));
        let token = self.slots.lock().insert(Arc::clone(&slot))?;
        let registered =
            self.selector
                .register(&mut SourceFd(&fd), token.to_mio(), interest.to_mio());
        if let Err(error) = registered {
            let mut slots = self.slots.lock();
            slots.entries.remove(token.key);
            slots.registered -= 1;
            return Err(error);
        }
        Ok((token, slot))
    }

    /// Watches `fd` no more; an event that is on its way will find nobody.
    pub(crate) fn deregister(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let entry = self.slots.lock().entries.remove(token.key);
        entry.slot.drop_wakers();
        self.selector.deregister(&mut SourceFd(&fd))
    }

    /// Watches the pipe of the signals. Registering it a second time does nothing.
    pub(crate) fn hear_signals(&self, pipe: RawFd) -> io::Result<()> {
        let mut hears = self.hears_signals.lock();
        if !*hears {
            self.selector
                .register(&mut SourceFd(&pipe), SIGNALS, mio::Interest::READABLE)?;
            *hears = true;
        }
        Ok(())
    }

    /// How many descriptors were ever watched, and how many are watched no more.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let slots = self.slots.lock();
        (
            slots.registered,
            slots.registered - slots.entries.len() as u64,
        )
    }

    /// Refuses new descriptors; adds to `wakers` everybody who waits for one.
    pub(crate) fn shutdown(&self, wakers: &mut Vec<Waker>) {
        let mut slots = self.slots.lock();
        slots.shut = true;
        let all: Vec<_> = slots
            .entries
            .iter()
            .map(|(_, entry)| Arc::clone(&entry.slot))
            .collect();
        drop(slots);
        for slot in all {
            slot.shut(wakers);
        }
    }
}

impl Slots {
    fn insert(&mut self, slot: Arc<Slot>) -> io::Result<Token> {
        if self.shut {
            return Err(shutting_down());
        }
        let generation = self.next_generation;
        let entry = self.entries.vacant_entry();
        let key = entry.key();
        if key > Token::KEY_MASK {
            return Err(io::Error::other(
                "too many file descriptors for one reactor",
            ));
        }
        entry.insert(Entry { generation, slot });
        self.registered += 1;
        self.next_generation = (generation + 1) % Token::GENERATIONS;
        Ok(Token { key, generation })
    }

    fn find(&self, token: Token) -> Option<&Arc<Slot>> {
        let entry = self.entries.get(token.key)?;
        (entry.generation == token.generation).then_some(&entry.slot)
    }
}

/// The events of one turn on their way to who waits for them. Kept from turn to turn for its
/// memory.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    wakers: Vec<Waker>,
}

/// What the events of one turn were.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// How many found their slot.
    pub(crate) events: u32,
    /// Whether a signal handler wrote to the pipe.
    pub(crate) signalled: bool,
}

impl Arrivals {
    /// Tells the slots, and collects who waits.
    ///
    /// All under the lock of the registry, because nothing else keeps a slot alive: a reference
    /// to each would cost two atomic operations an event. Wakers are moved under it, no more.
    pub(crate) fn collect(&mut self, registry: &Registry, events: &mio::Events) -> Collected {
        let mut collected = Collected::default();
        if events.is_empty() {
            return collected;
        }
        let slots = registry.slots.lock();
        for event in events {
            collected.signalled |= event.token() == SIGNALS;
            // The two reserved tokens have a generation that no entry has.
            if let Some(slot) = slots.find(Token::from_mio(event.token())) {
                slot.arrived(Ready::of_event(event), &mut self.wakers);
                collected.events += 1;
            }
        }
        collected
    }

    /// Those who will be woken; others may be added.
    pub(crate) fn wakers(&mut self) -> &mut Vec<Waker> {
        &mut self.wakers
    }

    /// Wakes who was collected.
    pub(crate) fn wake(&mut self) {
        wake_all(Waiting::Io, self.wakers.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_former_owner_of_the_same_number_finds_nobody() {
        let mut slots = Slots::default();
        let former = slots.insert(Arc::default()).expect("open");
        slots.entries.remove(former.key);
        let latter = slots.insert(Arc::default()).expect("open");
        assert_eq!(former.key, latter.key);
        assert!(slots.find(Token::from_mio(former.to_mio())).is_none());
        assert!(slots.find(Token::from_mio(latter.to_mio())).is_some());
    }

    #[test]
    fn no_generation_looks_like_a_reserved_token() {
        let mut slots = Slots {
            next_generation: Token::GENERATIONS - 1,
            ..Slots::default()
        };
        let last = slots.insert(Arc::default()).expect("open");
        let first = slots.insert(Arc::default()).expect("open");
        assert!(last.to_mio().0 < SIGNALS.0 && last.to_mio().0 < WAKEUP.0);
        assert_eq!(first.generation, 0);
        assert!(slots.find(Token::from_mio(SIGNALS)).is_none());
    }
}
