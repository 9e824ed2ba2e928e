//! Does the wheel do what a list of deadlines does, whatever is asked of it? For the fuzzer, which
//! chooses the steps; `tests` asks the same of random ones.

use super::{Key, LAST_TICK, Moved, NEVER, Wheel};

/// The plain version: a list.
#[derive(Default)]
struct List {
    now: u64,
    pending: Vec<Timer>,
    /// Keys of timers that are gone.
    gone: Vec<Key>,
}

#[derive(Clone, Copy)]
struct Timer {
    tick: u64,
    load: u64,
    key: Key,
}

/// Does the steps that these bytes name, nine bytes each: what, and how far.
pub(crate) fn run(bytes: &[u8]) {
    let (mut wheel, mut list) = (Wheel::new(), List::default());
    for (load, step) in (0_u64..).zip(bytes.chunks_exact(9)) {
        let (what, far) = (step[0], far(step));
        match what % 5 {
            0 | 1 => list.insert(&mut wheel, far, load),
            2 => list.remove(&mut wheel, what),
            3 => list.move_one(&mut wheel, what, far),
            _ => list.advance(&mut wheel, far),
        }
        list.compare(&wheel);
    }
    let mut left: Vec<u64> = wheel.take_all().collect();
    left.sort_unstable();
    let mut expected: Vec<u64> = list.pending.iter().map(|timer| timer.load).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

/// A number of ticks: the second byte says of what order.
fn far(step: &[u8]) -> u64 {
    let bytes: [u8; 8] = step[1..].try_into().expect("a step has nine bytes");
    u64::from_be_bytes(bytes) >> (bytes[7] % 64)
}

impl List {
    fn insert(&mut self, wheel: &mut Wheel<u64>, after: u64, load: u64) {
        let tick = self.now.saturating_add(after).min(LAST_TICK);
        match wheel.insert(tick, load) {
            Ok(key) => self.pending.push(Timer { tick, load, key }),
            Err(back) => assert!(back == load && tick <= self.now),
        }
    }

    fn remove(&mut self, wheel: &mut Wheel<u64>, which: u8) {
        if let Some(key) = pick(&self.gone, which) {
            assert!(wheel.get_mut(*key).is_none() && wheel.remove(*key).is_none());
        }
        if !self.pending.is_empty() {
            let timer = self.pending.remove(usize::from(which) % self.pending.len());
            assert_eq!(wheel.get_mut(timer.key).copied(), Some(timer.load));
            assert_eq!(wheel.remove(timer.key), Some(timer.load));
            self.gone.push(timer.key);
        }
    }

    fn move_one(&mut self, wheel: &mut Wheel<u64>, which: u8, after: u64) {
        let to = self.now.saturating_add(after).min(LAST_TICK);
        if let Some(key) = pick(&self.gone, which) {
            assert_eq!(wheel.move_to(*key, to), Moved::Gone);
        }
        let Some(timer) = pick(&self.pending, which).copied() else {
            return;
        };
        self.pending.retain(|other| other.load != timer.load);
        if to > self.now {
            assert_eq!(wheel.move_to(timer.key, to), Moved::Pending);
            self.pending.push(Timer { tick: to, ..timer });
        } else {
            assert_eq!(wheel.move_to(timer.key, to), Moved::Due(timer.load));
            self.gone.push(timer.key);
        }
    }

    fn advance(&mut self, wheel: &mut Wheel<u64>, by: u64) {
        self.now = self.now.saturating_add(by).min(LAST_TICK);
        let mut fired: Vec<u64> = std::iter::from_fn(|| wheel.pop_due(self.now)).collect();
        let tick_of = |load: &u64| self.pending.iter().find(|timer| timer.load == *load);
        assert!(fired.is_sorted_by_key(|load| tick_of(load).map(|timer| timer.tick)));
        fired.sort_unstable();
        let is_due = |timer: &Timer| timer.tick <= self.now;
        let (due, later): (Vec<Timer>, Vec<Timer>) = self.pending.iter().partition(|t| is_due(t));
        let mut expected: Vec<u64> = due.iter().map(|timer| timer.load).collect();
        expected.sort_unstable();
        assert_eq!(fired, expected);
        self.gone.extend(due.iter().map(|timer| timer.key));
        self.pending = later;
    }

    fn compare(&self, wheel: &Wheel<u64>) {
        let earliest = self.pending.iter().map(|timer| timer.tick).min();
        assert_eq!(wheel.len(), self.pending.len());
        assert_eq!(wheel.is_empty(), self.pending.is_empty());
        assert_eq!(wheel.earliest_exactly(), earliest.unwrap_or(NEVER));
        assert!(wheel.earliest() <= earliest.unwrap_or(NEVER));
        assert!(wheel.earliest() > self.now);
    }
}

fn pick<T>(from: &[T], which: u8) -> Option<&T> {
    from.get(usize::from(which).checked_rem(from.len())?)
}
