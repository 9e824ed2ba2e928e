//! Who sleeps, who searches, whom to wake. The protocol is argued in `idle.md` beside this file.

use crate::sync::{AtomicU64, Mutex, Ordering, fence};

/// ```text
///  63               32 31               0
/// +-------------------+------------------+
/// |     searching     |     sleeping     |
/// +-------------------+------------------+
/// ```
#[derive(Debug)]
pub(crate) struct Idle {
    counts: AtomicU64,
    sleepers: Mutex<Vec<usize>>,
    workers: u64,
}

const SLEEPING: u64 = 1;
const SEARCHING: u64 = 1 << 32;

#[derive(Clone, Copy)]
struct Counts(u64);

impl Counts {
    fn searching(self) -> u64 {
        self.0 / SEARCHING
    }

    fn sleeping(self) -> u64 {
        self.0 % SEARCHING
    }
}

/// Says that a worker was searching and has to be uncounted as such.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// It was the only one: it has to wake another if it found work.
    Searcher,
    /// Others still search.
    OneOfSeveral,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Idle {
        Idle {
            counts: AtomicU64::new(0),
            sleepers: Mutex::new(Vec::with_capacity(workers)),
            workers: workers as u64,
        }
    }

    fn counts(&self) -> Counts {
        // Relaxed: where it matters the caller has fenced, see `idle.md`.
        Counts(self.counts.load(Ordering::Relaxed))
    }

    /// Work was pushed into the worker's own queue: whether it is worth waking somebody.
    #[inline]
    pub(crate) fn someone_may_be_woken(&self) -> bool {
        let counts = self.counts();
        counts.searching() == 0 && counts.sleeping() > 0
    }

    /// Work was pushed where only a search finds it. Returns the sleeper that the caller must
    /// unpark, if one has to be woken; it counts as searching from here on.
    ///
    /// `spare` says of a sleeper that it should rather be left where it is.
    pub(crate) fn after_push(&self, spare: impl Fn(usize) -> bool) -> Option<usize> {
        // Pairs with the fence in `sleep`: either this load sees the sleeper, or the sleeper's
        // second look sees the push.
        fence(Ordering::SeqCst);
        self.take_sleeper(spare)
    }

    /// As [`after_push`](Self::after_push), for work that the caller itself will find.
    pub(crate) fn take_sleeper(&self, spare: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.someone_may_be_woken() {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        if !self.someone_may_be_woken() {
            return None;
        }
        let unspared = sleepers.iter().rposition(|&worker| !spare(worker));
        let worker = match unspared {
            Some(place) => sleepers.remove(place),
            None => sleepers.pop()?,
        };
        self.change(SEARCHING.wrapping_sub(SLEEPING));
        Some(worker)
    }

    /// A worker without tasks begins to search. Refused when half of the workers search already.
    pub(crate) fn start_search(&self) -> bool {
        if 2 * self.counts().searching() >= self.workers {
            return false;
        }
        let _lock = self.sleepers.lock();
        self.change(SEARCHING);
        true
    }

    /// A worker stops searching.
    pub(crate) fn stop_search(&self) -> Last {
        let _lock = self.sleepers.lock();
        let before = self.change(SEARCHING.wrapping_neg());
        match before.searching() {
            1 => Last::Searcher,
            _ => Last::OneOfSeveral,
        }
    }

    /// A worker that found nothing lists itself as a sleeper. It must look at all queues once more
    /// before it parks.
    pub(crate) fn sleep(&self, worker: usize, searching: bool) {
        {
            let mut sleepers = self.sleepers.lock();
            sleepers.push(worker);
            let searching = if searching { SEARCHING } else { 0 };
            self.change(SLEEPING.wrapping_sub(searching));
        }
        // Pairs with the fence in `after_push`.
        fence(Ordering::SeqCst);
    }

    /// A sleeper gets up by itself. `false` if somebody has taken it off the list to wake it: then
    /// it counts as searching.
    pub(crate) fn get_up(&self, worker: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        match sleepers.iter().position(|&sleeper| sleeper == worker) {
            None => false,
            Some(place) => {
                sleepers.swap_remove(place);
                self.change(SLEEPING.wrapping_neg());
                true
            }
        }
    }

    /// Some sleeper, which stays one.
    pub(crate) fn any_sleeper(&self) -> Option<usize> {
        match self.counts().sleeping() {
            0 => None,
            _ => self.sleepers.lock().last().copied(),
        }
    }

    /// Whether the worker is still listed as a sleeper.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.sleepers.lock().contains(&worker)
    }

    /// To be called with the lock held.
    fn change(&self, difference: u64) -> Counts {
        // Relaxed: the lock orders changes among themselves; the readers fence.
        Counts(self.counts.fetch_add(difference, Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_push_wakes_one_and_further_ones_rely_on_it() {
        let idle = Idle::new(4);
        for worker in 0..3 {
            idle.sleep(worker, false);
        }
        assert_eq!(idle.after_push(|_| false), Some(2));
        assert_eq!(idle.after_push(|_| false), None);
        assert_eq!(idle.stop_search(), Last::Searcher);
        assert_eq!(idle.after_push(|_| false), Some(1));
    }

    #[test]
    fn a_sleeper_that_was_taken_off_the_list_counts_as_searching() {
        let idle = Idle::new(2);
        idle.sleep(0, false);
        assert_eq!(idle.after_push(|_| false), Some(0));
        assert!(!idle.get_up(0));
        assert_eq!(idle.stop_search(), Last::Searcher);
    }

    #[test]
    fn a_sleeper_that_is_to_be_spared_is_woken_last() {
        let idle = Idle::new(4);
        idle.sleep(0, false);
        idle.sleep(1, false);
        assert_eq!(idle.take_sleeper(|worker| worker == 1), Some(0));
        assert_eq!(idle.stop_search(), Last::Searcher);
        assert_eq!(idle.any_sleeper(), Some(1));
        assert_eq!(idle.take_sleeper(|worker| worker == 1), Some(1));
        assert_eq!(idle.any_sleeper(), None);
    }

    #[test]
    fn at_most_half_of_the_workers_search() {
        let idle = Idle::new(4);
        assert!(idle.start_search() && idle.start_search());
        assert!(!idle.start_search());
        assert_eq!(idle.stop_search(), Last::OneOfSeveral);
        assert!(idle.start_search());
    }

    #[test]
    fn a_searcher_that_goes_to_sleep_is_no_searcher_any_more() {
        let idle = Idle::new(2);
        assert!(idle.start_search());
        idle.sleep(1, true);
        assert!(idle.is_asleep(1));
        assert!(idle.get_up(1));
        assert_eq!(idle.after_push(|_| false), None);
    }
}
