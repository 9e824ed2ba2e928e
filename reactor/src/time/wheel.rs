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
//! The timers of a slot lie side by side in a vector, so that those who fire together are read
//! together: with 100,000 timers a linked list costs a cache miss for each step, more than all
//! else. What a key names is an entry that says where the timer lies, so that it can leave its
//! slot in O(1): the last of the slot moves into its place. Entries carry a serial number: that of
//! a timer that fired is gone at once, and its key finds nothing, even when the place is taken.
//!
//! The slot of level 0 that `elapsed` has come to is `due`: opening it moves no timer. Its vector
//! is a queue meanwhile, of which `handed_out` have left at the front. The memory of slots that were
//! opened is lent to those that are used next, so that time goes on without an allocation.

mod entries;

pub(super) use entries::Key;
use entries::{Entries, Place, narrow};
use std::collections::VecDeque;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const BITS: usize = SLOTS.trailing_zeros() as usize;
/// The level whose slots hold timers of several rounds.
const FAR: usize = LEVELS - 1;
/// How many entries of a slot are looked at to name its earliest one exactly.
const LOOK_AT: usize = 8;
/// For how many timers the memory of a slot is kept when it is empty.
const KEEP: usize = 64;

/// No tick: there is no timer.
pub(super) const NEVER: u64 = u64::MAX;
/// The last tick there is, some 146 million years of milliseconds ahead. Later ones are cut to
/// it, so that no sum of ticks overflows.
pub(super) const LAST_TICK: u64 = 1 << 62;

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
    /// One bit a slot: whether its list has timers.
    occupied: [u64; LEVELS],
    lists: [Vec<Timer<T>>; LEVELS * SLOTS],
    due: VecDeque<Timer<T>>,
    handed_out: u32,
    entries: Entries,
    /// The memory of slots that were opened, for those that are used next.
    spare: Vec<Vec<Timer<T>>>,
}

struct Timer<T> {
    tick: u64,
    load: T,
    /// That of its key.
    row: u32,
}

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
            occupied: [0; LEVELS],
            lists: [const { Vec::new() }; LEVELS * SLOTS],
            due: VecDeque::new(),
            handed_out: 0,
            entries: Entries::new(),
            spare: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == 0
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
        let list = self.list_for(tick);
        let key = self.entries.insert(self.end_of(list));
        let row = key.row;
        self.push(list, Timer { tick, load, row });
        Ok(key)
    }

    /// The load of a timer that has not been handed out.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.entries.find(key)?;
        let timer = match self.place_in_due(place) {
            Some(at) => &mut self.due[at],
            None => &mut self.lists[usize::from(place.list)][place.at as usize],
        };
        Some(&mut timer.load)
    }

    /// Takes a timer out; `None` when it was handed out before.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.entries.find(key)?;
        self.entries.remove(key.row);
        Some(self.take(place).load)
    }

    /// Gives a pending timer another tick.
    pub(super) fn move_to(&mut self, key: Key, tick: u64) -> Moved<T> {
        let tick = tick.min(LAST_TICK);
        let Some(place) = self.entries.find(key) else {
            return Moved::Gone;
        };
        let timer = self.take(place);
        if tick <= self.elapsed {
            self.entries.remove(key.row);
            return Moved::Due(timer.load);
        }
        self.place(Timer { tick, ..timer });
        Moved::Pending
    }

    /// Takes out the load of one timer whose tick is not after `now`. `None` says that there is
    /// no other; a `now` before an earlier one changes nothing.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<T> {
        let now = now.min(LAST_TICK);
        while self.due.is_empty() {
            match self.first_slot() {
                Some(slot) if slot.start <= now => self.open(slot),
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
        let timer = self.due.pop_front()?;
        self.handed_out += 1;
        self.entries.remove(timer.row);
        Some(timer.load)
    }

    /// A tick not after that of any timer, and exactly the earliest where few timers share a
    /// slot with it. [`NEVER`] when the wheel is empty.
    pub(super) fn earliest(&self) -> u64 {
        if !self.due.is_empty() {
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
        if !self.due.is_empty() {
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
        self.entries.clear();
        self.spare = Vec::new();
        let due = std::mem::take(&mut self.due).into_iter();
        let lists = std::mem::replace(&mut self.lists, [const { Vec::new() }; LEVELS * SLOTS]);
        due.chain(lists.into_iter().flatten())
            .map(|timer| timer.load)
    }

    /// Takes a timer out of its list, and puts the last one of the list into its place.
    fn take(&mut self, place: Place) -> Timer<T> {
        let list = usize::from(place.list);
        let (taken, moved);
        if let Some(at) = self.place_in_due(place) {
            taken = self.due.swap_remove_back(at);
            moved = self.due.get(at);
        } else {
            let timers = &mut self.lists[list];
            taken = Some(timers.swap_remove(place.at as usize));
            if timers.is_empty() {
                self.occupied[level_of(list)] &= !bit(list);
                timers.shrink_to(KEEP);
            }
            moved = self.lists[list].get(place.at as usize);
        }
        if let Some(moved) = moved {
            self.entries.set_at(moved.row, place.at);
        }
        taken.expect("an entry says where its timer lies")
    }

    /// Where in `due` the timer lies, if it lies there.
    #[inline]
    fn place_in_due(&self, place: Place) -> Option<usize> {
        let is_due = usize::from(place.list) == self.due_list();
        is_due.then(|| (place.at - self.handed_out) as usize)
    }

    /// The place behind the last timer of a list that is not `due`.
    #[inline]
    fn end_of(&self, list: usize) -> Place {
        Place {
            list: list as u16,
            at: narrow(self.lists[list].len()),
        }
    }

    /// The list that is `due` now.
    #[inline]
    fn due_list(&self) -> usize {
        self.elapsed as usize % SLOTS
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
        let slots = FAR * SLOTS..LEVELS * SLOTS;
        slots
            .flat_map(|list| self.ticks_in(list))
            .min()
            .unwrap_or(NEVER)
    }

    /// The ticks of a list that is not `due`.
    fn ticks_in(&self, list: usize) -> impl Iterator<Item = u64> {
        self.lists[list].iter().map(|timer| timer.tick)
    }

    /// Moves time to the start of `slot`, and its timers to where they belong from there. None
    /// is due when this is called.
    fn open(&mut self, slot: Slot) {
        let level = level_of(slot.list);
        self.elapsed = slot.start;
        self.occupied[level] &= !bit(slot.list);
        self.handed_out = 0;
        let mut timers = std::mem::take(&mut self.lists[slot.list]);
        if level == 0 {
            let empty = std::mem::replace(&mut self.due, timers.into());
            self.recycle(empty.into());
            return;
        }
        for timer in timers.drain(..) {
            self.place(timer);
        }
        self.recycle(timers);
        if level == FAR {
            self.far = self.earliest_far();
        }
    }

    /// Keeps the memory of an empty list.
    fn recycle(&mut self, mut empty: Vec<Timer<T>>) {
        if empty.capacity() > 0 {
            empty.shrink_to(KEEP);
            self.spare.push(empty);
        }
    }

    /// Appends a timer to a list that is not `due`.
    #[inline]
    fn push(&mut self, list: usize, timer: Timer<T>) {
        if self.lists[list].capacity() == 0 {
            self.lend_memory(list);
        }
        self.lists[list].push(timer);
    }

    #[cold]
    fn lend_memory(&mut self, list: usize) {
        if let Some(memory) = self.spare.pop() {
            self.lists[list] = memory;
        }
    }

    /// Appends a timer that is in no list to the one where it belongs.
    fn place(&mut self, timer: Timer<T>) {
        let row = timer.row;
        let place;
        if timer.tick <= self.elapsed {
            place = Place {
                list: self.due_list() as u16,
                at: narrow(self.due.len()),
            };
            self.due.push_back(timer);
        } else {
            let list = self.list_for(timer.tick);
            place = self.end_of(list);
            self.push(list, timer);
        }
        self.entries.set(row, place);
    }

    /// The list where a timer belongs that is not due, which it will be in.
    fn list_for(&mut self, tick: u64) -> usize {
        let list = list_of(self.elapsed, tick);
        let level = level_of(list);
        if level == FAR {
            self.far = match self.occupied[FAR] {
                0 => tick,
                _ => self.far.min(tick),
            };
        }
        self.occupied[level] |= bit(list);
        list
    }
}

/// The list of a tick that is later than `elapsed`.
fn list_of(elapsed: u64, tick: u64) -> usize {
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

#[cfg(fuzzing)]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
