//! Where does the timer lie that a key names?
//!
//! A table, and a stack of the rows in it that are free. (A slab would link the free rows through
//! the table. After 100,000 timers fired in another order than they were set, each new timer then
//! waits for a row from memory only to learn which is free next: 70 ns, a quarter of all it costs.)

/// Names one timer of one wheel for as long as it is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::time) struct Key {
    pub(super) row: u32,
    serial: u64,
}

/// Where a timer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) list: u16,
    /// In the list `due`, those count that were handed out.
    pub(super) at: u32,
}

pub(super) struct Entries {
    rows: Vec<Row>,
    free: Vec<u32>,
    /// That of the key that was made last.
    serial: u64,
}

struct Row {
    /// [`NOBODY`] when the row is free.
    serial: u64,
    place: Place,
}

const NOBODY: u64 = 0;

impl Entries {
    pub(super) fn new() -> Entries {
        Entries {
            rows: Vec::new(),
            free: Vec::new(),
            serial: NOBODY,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, place: Place) -> Key {
        self.serial += 1;
        let serial = self.serial;
        let entry = Row { serial, place };
        let row = match self.free.pop() {
            Some(row) => {
                self.rows[row as usize] = entry;
                row
            }
            None => {
                self.rows.push(entry);
                narrow(self.rows.len() - 1)
            }
        };
        Key { row, serial }
    }

    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<Place> {
        let row = self.rows.get(key.row as usize)?;
        (row.serial == key.serial).then_some(row.place)
    }

    #[inline]
    pub(super) fn set(&mut self, row: u32, place: Place) {
        self.rows[row as usize].place = place;
    }

    #[inline]
    pub(super) fn set_at(&mut self, row: u32, at: u32) {
        self.rows[row as usize].place.at = at;
    }

    #[inline]
    pub(super) fn remove(&mut self, row: u32) {
        self.rows[row as usize].serial = NOBODY;
        self.free.push(row);
    }

    /// Forgets all, and the memory of all. Keys given out before find nothing.
    pub(super) fn clear(&mut self) {
        self.rows = Vec::new();
        self.free = Vec::new();
    }
}

pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("four thousand million timers take more than 200 GB")
}
