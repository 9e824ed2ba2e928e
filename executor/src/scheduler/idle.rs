//! Who sleeps, who searches, who watches, whom to wake. The protocol is argued in `idle.md` beside
//! this file.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, fence};

/// Two numbers in one word, and who the sleepers are:
///
/// ```text
///  63               32 31               0
/// +-------------------+------------------+
/// |     searching     |     sleeping     |
/// +-------------------+------------------+
/// ```
///
/// 1. `sleeping`, `asleep` and `watcher` are changed with the lock of the list held, and read
///    without it.
/// 2. `searching` is changed without the lock.
#[derive(Debug)]
pub(crate) struct Idle {
    counts: CachePadded<AtomicU64>,
    sleepers: Mutex<Vec<usize>>,
    /// For each worker, whether it is listed.
    asleep: Box<[AtomicBool]>,
    /// The sleeper that sees to it that the driver is not left alone for long, plus one; zero if
    /// there is none.
    watcher: AtomicU64,
    most_searching: u64,
    /// With more sleepers than this, another worker that is woken can run; with fewer it could only
    /// take turns with those that are awake.
    crowded_up_to: u64,
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

/// Who has taken a worker off the list of sleepers.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Up {
    ByItself,
    /// By itself, and it was the watcher, who is missing now.
    ByItselfAsWatcher,
    /// Somebody else, to wake it: it counts as searching.
    Woken,
}

/// A sleeper that was taken off the list, and has to be unparked.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) worker: usize,
    /// It was the watcher, who is missing now.
    pub(crate) watched: bool,
}

impl Idle {
    /// `processors` is how many workers can run at once: it is of no use that more search.
    pub(crate) fn new(workers: usize, processors: usize) -> Idle {
        Idle {
            counts: CachePadded::new(AtomicU64::new(0)),
            sleepers: Mutex::new(Vec::with_capacity(workers)),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            watcher: AtomicU64::new(0),
            most_searching: match workers {
                // There is nobody to search with.
                1 => 0,
                _ => workers.min(processors).div_ceil(2) as u64,
            },
            crowded_up_to: workers.saturating_sub(processors) as u64,
        }
    }

    fn counts(&self) -> Counts {
        // Relaxed: where it matters the caller has fenced, see `idle.md`.
        Counts(self.counts.load(Ordering::Relaxed))
    }

    // ----- for those who make work -----

    /// Whether somebody searches or sleeps.
    #[inline]
    pub(crate) fn someone_is_idle(&self) -> bool {
        self.counts().0 > 0
    }

    /// There is work: whether it is worth waking somebody for it.
    #[inline]
    pub(crate) fn someone_may_be_woken(&self) -> bool {
        // Somebody sleeps, and nobody searches.
        (SLEEPING..SEARCHING).contains(&self.counts().0)
    }

    /// Whether as many workers are awake as can run: to wake a further one brings nothing, unless
    /// they are blocked, which the watcher finds out.
    pub(crate) fn is_crowded(&self) -> bool {
        self.counts().sleeping() <= self.crowded_up_to
    }

    /// There is work. Returns the sleeper that the caller must unpark, if one has to be woken; it
    /// counts as searching from here on.
    ///
    /// Whoever pushed the work where only a search finds it must have fenced since: either the
    /// sleeper is seen here, or it sees the work in its second look. `spare` says of a sleeper that
    /// it should rather be left where it is.
    pub(crate) fn take_sleeper(&self, spare: impl Fn(usize) -> bool) -> Option<Taken> {
        if !self.someone_may_be_woken() {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        if !self.someone_may_be_woken() {
            return None;
        }
        let find = |suits: &dyn Fn(usize) -> bool| sleepers.iter().rposition(|&w| suits(w));
        let place = find(&|worker| !spare(worker) && !self.is_watcher(worker))
            .or_else(|| find(&|worker| !spare(worker)))
            .unwrap_or(sleepers.len().checked_sub(1)?);
        let worker = sleepers.remove(place);
        self.change(SEARCHING.wrapping_sub(SLEEPING));
        Some(Taken {
            worker,
            watched: self.strike_off(worker),
        })
    }

    // ----- for workers -----

    /// Whether a further one would be refused.
    pub(crate) fn enough_search(&self) -> bool {
        let searching = self.counts().searching();
        searching > 0 && searching >= self.most_searching
    }

    /// A worker without tasks begins to search. Refused when enough of them search already.
    pub(crate) fn start_search(&self) -> bool {
        let refused = self.counts().searching() >= self.most_searching;
        if !refused {
            self.change(SEARCHING);
        }
        !refused
    }

    /// A worker stops searching.
    pub(crate) fn stop_search(&self) -> Last {
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
            // Relaxed: it is this worker that reads it, until it is taken off the list.
            self.asleep[worker].store(true, Ordering::Relaxed);
            let searching = if searching { SEARCHING } else { 0 };
            self.change(SLEEPING.wrapping_sub(searching));
        }
        // Pairs with the fences of those who push, and in `someone_must_watch`.
        fence(Ordering::SeqCst);
    }

    /// A sleeper gets up, whether it was woken or not.
    pub(crate) fn get_up(&self, worker: usize) -> Up {
        if !self.is_asleep(worker) {
            return Up::Woken;
        }
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.iter().position(|&sleeper| sleeper == worker) else {
            return Up::Woken;
        };
        sleepers.swap_remove(place);
        self.change(SLEEPING.wrapping_neg());
        match self.strike_off(worker) {
            true => Up::ByItselfAsWatcher,
            false => Up::ByItself,
        }
    }

    /// Whether the worker is still listed as a sleeper.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        // Acquire: pairs with `strike_off`: the worker sees what it was woken for.
        self.asleep[worker].load(Ordering::Acquire)
    }

    // ----- who watches the driver -----

    /// A worker has left the driver, or a watcher its post, or work was pushed that nobody is woken
    /// for. Returns the sleeper that is to watch from now on, which the caller must unpark; it stays
    /// a sleeper.
    ///
    /// `needed` says whether there is anything to watch; `spare` as in `take_sleeper`.
    pub(crate) fn someone_must_watch(
        &self,
        needed: impl Fn() -> bool,
        spare: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        // Pairs with the fences in `sleep` and `stop_watching`: either a sleeper is seen here that
        // saw nothing to watch, or it sees it.
        fence(Ordering::SeqCst);
        if self.counts().sleeping() == 0 || self.is_watched() || !needed() {
            return None;
        }
        let sleepers = self.sleepers.lock();
        if self.is_watched() {
            return None;
        }
        let worker = sleepers.iter().copied().rfind(|&worker| !spare(worker))?;
        self.watcher.store(worker as u64 + 1, Ordering::Relaxed);
        Some(worker)
    }

    /// The watcher is not needed any more, as far as it can see. It must look once more before it
    /// parks.
    pub(crate) fn stop_watching(&self, worker: usize) {
        {
            let _sleepers = self.sleepers.lock();
            if self.is_watcher(worker) {
                self.watcher.store(0, Ordering::Relaxed);
            }
        }
        // Pairs with the fence in `someone_must_watch`.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_watcher(&self, worker: usize) -> bool {
        // Relaxed: the watcher itself was unparked after the store; others hold the lock.
        self.watcher.load(Ordering::Relaxed) == worker as u64 + 1
    }

    pub(crate) fn is_watched(&self) -> bool {
        // Relaxed: the fence of `someone_must_watch` comes before it, or the lock is held.
        self.watcher.load(Ordering::Relaxed) != 0
    }

    /// To be called with the lock held. Says whether the worker was the watcher.
    fn strike_off(&self, worker: usize) -> bool {
        // Release: pairs with `is_asleep`.
        self.asleep[worker].store(false, Ordering::Release);
        let watched = self.is_watcher(worker);
        if watched {
            self.watcher.store(0, Ordering::Relaxed);
        }
        watched
    }

    fn change(&self, difference: u64) -> Counts {
        // Relaxed: the changes of one word have one order; the readers fence.
        Counts(self.counts.fetch_add(difference, Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn nobody(_: usize) -> bool {
        false
    }

    fn taken(worker: usize) -> Option<Taken> {
        Some(Taken {
            worker,
            watched: false,
        })
    }

    #[test]
    fn the_first_push_wakes_one_and_further_ones_rely_on_it() {
        let idle = Idle::new(4, 4);
        for worker in 0..3 {
            idle.sleep(worker, false);
        }
        assert_eq!(idle.take_sleeper(nobody), taken(2));
        assert_eq!(idle.take_sleeper(nobody), None);
        assert_eq!(idle.stop_search(), Last::Searcher);
        assert_eq!(idle.take_sleeper(nobody), taken(1));
    }

    #[test]
    fn a_sleeper_that_was_taken_off_the_list_counts_as_searching() {
        let idle = Idle::new(2, 2);
        idle.sleep(0, false);
        assert_eq!(idle.take_sleeper(nobody), taken(0));
        assert_eq!(idle.get_up(0), Up::Woken);
        assert_eq!(idle.stop_search(), Last::Searcher);
    }

    #[test]
    fn the_watcher_is_woken_before_who_is_in_the_driver_and_after_all_others() {
        let idle = Idle::new(4, 4);
        for worker in 0..3 {
            idle.sleep(worker, false);
        }
        assert_eq!(idle.someone_must_watch(|| true, nobody), Some(2));
        let in_driver = |worker| worker == 1;
        assert_eq!(idle.take_sleeper(in_driver), taken(0));
        assert_eq!(idle.stop_search(), Last::Searcher);
        let watcher = Taken {
            worker: 2,
            watched: true,
        };
        assert_eq!(idle.take_sleeper(in_driver), Some(watcher));
        assert_eq!(idle.stop_search(), Last::Searcher);
        assert_eq!(idle.take_sleeper(in_driver), taken(1));
        assert_eq!(idle.stop_search(), Last::Searcher);
        assert_eq!(idle.take_sleeper(in_driver), None);
    }

    #[test]
    fn there_is_one_watcher_while_the_driver_is_left_alone_and_somebody_sleeps() {
        let idle = Idle::new(3, 3);
        assert_eq!(
            idle.someone_must_watch(|| true, nobody),
            None,
            "nobody sleeps"
        );
        idle.sleep(0, false);
        idle.sleep(1, false);
        assert_eq!(
            idle.someone_must_watch(|| false, nobody),
            None,
            "it is attended"
        );
        assert_eq!(idle.someone_must_watch(|| true, nobody), Some(1));
        assert_eq!(
            idle.someone_must_watch(|| true, nobody),
            None,
            "there is one"
        );
        assert_eq!(idle.get_up(1), Up::ByItselfAsWatcher);
        assert_eq!(idle.someone_must_watch(|| true, nobody), Some(0));
        idle.stop_watching(1);
        assert!(idle.is_watcher(0), "it is not that of another");
        idle.stop_watching(0);
        assert_eq!(idle.get_up(0), Up::ByItself);
    }

    #[test]
    fn half_of_those_search_who_can_run_at_once() {
        for (workers, processors, most) in [(4, 4, 2), (8, 2, 1), (2, 16, 1), (1, 4, 0)] {
            let idle = Idle::new(workers, processors);
            let searching = (0..workers).filter(|_| idle.start_search()).count();
            assert_eq!(
                searching, most,
                "{workers} workers, {processors} processors"
            );
        }
    }

    #[test]
    fn a_searcher_that_goes_to_sleep_is_no_searcher_any_more() {
        let idle = Idle::new(2, 2);
        assert!(idle.start_search());
        idle.sleep(1, true);
        assert!(idle.is_asleep(1));
        assert_eq!(idle.get_up(1), Up::ByItself);
        assert!(!idle.is_asleep(1));
        assert_eq!(idle.take_sleeper(nobody), None);
    }
}
