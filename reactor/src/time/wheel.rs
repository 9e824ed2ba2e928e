//! One hierarchical wheel of timers: plain data, no lock, no clock, no waker.
//!
//! The plain version would be a sorted list of deadlines. The wheel sorts coarsely and refines
//! as time comes near, so that inserting and removing cost the same with ten timers and with a
//! million (6.5 against 60 ns for a heap of 100,000).
//!
//! Time is a number of *ticks* (milliseconds, to the callers). There are six levels of 64 slots;
//! a slot of level `n` spans `64^n` ticks:
//!
//! ```text
//! level 0   1 tick a slot      64 ticks      64 ms
//! level 1   64                 4,096         4 s
//! level 2   4,096              262,144       4 min
//! level 3   262,144            16,777,216    4.6 h
//! level 4   16,777,216         1.07e9        12 days
//! level 5   1.07e9             6.87e10       2.2 years
//! ```
//!
//! A timer lies on the level of the highest group of six bits in which its tick differs from
//! `elapsed`, so that all of level `n` is earlier than all of level `n + 1`. When `elapsed`
//! reaches the start of a slot, the slot is opened and its timers are placed again, lower, until
//! they land in the list of those that are due. A timer further away than level 5 reaches lies
//! in the slot of level 5 that its bits name, among those of earlier rounds. So the slots of
//! level 5 are not opened in turn, but where `far` says that the earliest of its timers is: years
//! without a timer are one step.
//!
//! Entries live in a slab and are linked by index, so that a timer can leave its list in O(1)
//! and the memory of one is used again by the next. A key carries the entry's serial number: an
//! entry that fired is gone at once, and its key finds nothing, even when the place is taken.

use slab::Slab;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const BITS: usize = SLOTS.trailing_zeros() as usize;
/// The list after those of the slots: timers that are due and not yet handed out.
const DUE: usize = LEVELS * SLOTS;
const NONE: u32 = u32::MAX;
/// The level whose slots hold timers of several rounds.
const FAR: usize = LEVELS - 1;
/// How many entries of a slot are looked at to name its earliest one exactly.
const LOOK_AT: usize = 8;

/// No tick: there is no timer.
pub(super) const NEVER: u64 = u64::MAX;
/// The last tick there is, some 146 million years of milliseconds ahead. Later ones are cut to
/// it, so that no sum of ticks overflows.
pub(super) const LAST_TICK: u64 = 1 << 62;

/// Names one timer of one wheel for as long as it is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    serial: u64,
}

/// What became of a timer that was given another tick.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved<T> {
    Pending,
    /// The new tick has passed; the timer is out of the wheel.
    Due(T),
    /// It fired or was removed before.
    Gone,
}

pub(super) struct Wheel<T> {
    elapsed: u64,
    /// While level 5 is occupied: not after any of its ticks, and exactly the earliest of them
    /// unless that one was removed.
    far: u64,
    serial: u64,
    /// One bit a slot: whether its list has entries.
    occupied: [u64; LEVELS],
    lists: [List; DUE + 1],
    entries: Slab<Entry<T>>,
}

struct Entry<T> {
    serial: u64,
    tick: u64,
    prev: u32,
    next: u32,
    list: u16,
    load: T,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List {
    head: NONE,
    tail: NONE,
};

/// The slot that is opened next.
struct Slot {
    list: usize,
    start: u64,
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Wheel<T> {
        Wheel {
            elapsed: 0,
            far: NEVER,
            serial: 0,
            occupied: [0; LEVELS],
            lists: [EMPTY; DUE + 1],
            entries: Slab::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a timer; gives its load back when `tick` has passed.
    pub(super) fn insert(&mut self, tick: u64, load: T) -> Result<Key, T> {
        let tick = tick.min(LAST_TICK);
        if tick <= self.elapsed {
            return Err(load);
        }
        self.serial += 1;
        let serial = self.serial;
        let index = index_of(self.entries.insert(Entry {
            serial,
            tick,
            prev: NONE,
            next: NONE,
            list: 0,
            load,
        }));
        self.place(index);
        Ok(Key { index, serial })
    }

    /// The load of a timer that has not been handed out.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.find(key).map(|entry| &mut entry.load)
    }

    /// Takes a timer out; `None` when it was handed out before.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.find(key)?;
        Some(self.take(key.index))
    }

    /// Gives a pending timer another tick.
    pub(super) fn move_to(&mut self, key: Key, tick: u64) -> Moved<T> {
        let tick = tick.min(LAST_TICK);
        let elapsed = self.elapsed;
        match self.find(key) {
            None => Moved::Gone,
            Some(_) if tick <= elapsed => Moved::Due(self.take(key.index)),
            Some(entry) => {
                entry.tick = tick;
                self.unlink(key.index);
                self.place(key.index);
                Moved::Pending
            }
        }
    }

    /// Takes out the load of one timer whose tick is not after `now`. `None` says that there is
    /// no other; a `now` before an earlier one changes nothing.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<T> {
        let now = now.min(LAST_TICK);
        while self.lists[DUE].head == NONE {
            match self.first_slot() {
                Some(slot) if slot.start <= now => self.open(slot),
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
        Some(self.take(self.lists[DUE].head))
    }

    /// A tick not after that of any timer, and exactly the earliest where few timers share a
    /// slot with it. [`NEVER`] when the wheel is empty.
    pub(super) fn earliest(&self) -> u64 {
        if self.lists[DUE].head != NONE {
            return self.elapsed;
        }
        match self.first_slot() {
            None => NEVER,
            Some(slot) => self.earliest_of(&slot).unwrap_or(slot.start),
        }
    }

    /// The tick of the earliest timer; [`NEVER`] when the wheel is empty.
    ///
    /// Cost: as many steps as there are timers in a slot, or on level 5.
    pub(super) fn earliest_exactly(&self) -> u64 {
        if self.lists[DUE].head != NONE {
            return self.elapsed;
        }
        match self.first_slot() {
            None => NEVER,
            Some(slot) if level_of(slot.list) == FAR => self.earliest_far(),
            Some(slot) => self.ticks_in(slot.list).min().unwrap_or(slot.start),
        }
    }

    /// Empties the wheel and gives out all loads. Keys given out before find nothing.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.occupied = [0; LEVELS];
        self.lists = [EMPTY; DUE + 1];
        std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(_, entry)| entry.load)
    }

    fn find(&mut self, key: Key) -> Option<&mut Entry<T>> {
        self.entries
            .get_mut(key.index as usize)
            .filter(|entry| entry.serial == key.serial)
    }

    fn take(&mut self, index: u32) -> T {
        self.unlink(index);
        self.entries.remove(index as usize).load
    }

    fn first_slot(&self) -> Option<Slot> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let shift = level * BITS;
        if level == FAR {
            return Some(slot_at(level, self.far >> shift));
        }
        // The slot of `elapsed` itself has been opened; what its bit says lies a round ahead.
        let next = (self.elapsed >> shift) + 1;
        let rotation = (next % SLOTS as u64) as u32;
        let ahead = self.occupied[level].rotate_right(rotation).trailing_zeros();
        Some(slot_at(level, next + u64::from(ahead)))
    }

    /// The earliest tick in `slot`, unless there are too many to look at.
    fn earliest_of(&self, slot: &Slot) -> Option<u64> {
        if level_of(slot.list) == FAR {
            return Some(self.far);
        }
        let mut ticks = self.ticks_in(slot.list);
        let earliest = ticks.by_ref().take(LOOK_AT).min();
        earliest.filter(|_| ticks.next().is_none())
    }

    /// The earliest tick of level 5.
    fn earliest_far(&self) -> u64 {
        let slots = FAR * SLOTS..DUE;
        slots
            .flat_map(|list| self.ticks_in(list))
            .min()
            .unwrap_or(NEVER)
    }

    fn ticks_in(&self, list: usize) -> impl Iterator<Item = u64> {
        let entry = |index: u32| self.entries.get(index as usize);
        let first = entry(self.lists[list].head);
        std::iter::successors(first, move |before| entry(before.next)).map(|entry| entry.tick)
    }

    /// Moves time to the start of `slot`, and its timers to where they belong from there.
    fn open(&mut self, slot: Slot) {
        self.elapsed = slot.start;
        self.occupied[level_of(slot.list)] &= !bit(slot.list);
        let list = std::mem::replace(&mut self.lists[slot.list], EMPTY);
        let mut index = list.head;
        while index != NONE {
            let next = self.entries[index as usize].next;
            self.place(index);
            index = next;
        }
        if level_of(slot.list) == FAR {
            self.far = self.earliest_far();
        }
    }

    /// Appends an entry that is in no list to the one where it belongs.
    fn place(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let list = list_of(self.elapsed, tick);
        let last = std::mem::replace(&mut self.lists[list].tail, index);
        let entry = &mut self.entries[index as usize];
        entry.list = list as u16;
        entry.prev = last;
        entry.next = NONE;
        match last {
            NONE => self.lists[list].head = index,
            last => self.entries[last as usize].next = index,
        }
        if list == DUE {
            return;
        }
        let level = level_of(list);
        if level == FAR {
            self.far = match self.occupied[FAR] {
                0 => tick,
                _ => self.far.min(tick),
            };
        }
        self.occupied[level] |= bit(list);
    }

    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (list, prev, next) = (usize::from(entry.list), entry.prev, entry.next);
        match prev {
            NONE => self.lists[list].head = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NONE => self.lists[list].tail = prev,
            next => self.entries[next as usize].prev = prev,
        }
        if self.lists[list].head == NONE && list != DUE {
            self.occupied[level_of(list)] &= !bit(list);
        }
    }
}

fn list_of(elapsed: u64, tick: u64) -> usize {
    if tick <= elapsed {
        return DUE;
    }
    let level = ((elapsed ^ tick).ilog2() as usize / BITS).min(LEVELS - 1);
    let slot = (tick >> (level * BITS)) as usize % SLOTS;
    level * SLOTS + slot
}

fn slot_at(level: usize, position: u64) -> Slot {
    Slot {
        list: level * SLOTS + (position % SLOTS as u64) as usize,
        start: position << (level * BITS),
    }
}

fn level_of(list: usize) -> usize {
    list / SLOTS
}

fn bit(list: usize) -> u64 {
    1 << (list % SLOTS)
}

fn index_of(place: usize) -> u32 {
    u32::try_from(place)
        .ok()
        .filter(|index| *index != NONE)
        .expect("four thousand million timers take more than 200 GB")
}

#[cfg(test)]
mod tests;
