//! The pens of threads in a `block_on`, kept from one to the next: a pen has a lane of the flight
//! recorder and numbers of its own, which take longer to get than the usual `block_on` lasts.
//!
//! The runtime keeps them, in places that each belong to one thread: a pen that the thread kept would
//! keep the recorder of a runtime that is gone. A thread remembers its place; who has none takes one that
//! is empty, or one whose thread is in no `block_on` now. If there is neither, it has a pen for once.

use std::cell::Cell;
use std::ops::Deref;

use crossbeam_utils::CachePadded;
use parking_lot::lock_api::{MappedMutexGuard, Mutex, MutexGuard};
use telemetry_rt_telemetry::record::{Recorder, Scribe};

use crate::registry::thread_number;
use crate::sync::RawTryLock;

/// For so many threads a pen is kept.
const PLACES: usize = 16;

/// See the module. A place is locked as long as its pen is lent, so nobody waits for it.
#[derive(Default)]
pub(crate) struct Pens {
    places: [CachePadded<Place>; PLACES],
}

type Place = Mutex<RawTryLock, Option<Kept>>;
type PlaceGuard<'a> = MutexGuard<'a, RawTryLock, Option<Kept>>;

struct Kept {
    /// The number of the thread that it is kept for.
    thread: usize,
    scribe: Scribe,
}

/// A pen for one `block_on`.
pub(crate) enum LentPen<'a> {
    Kept(MappedMutexGuard<'a, RawTryLock, Scribe>),
    ForOnce(Scribe),
}

impl Pens {
    /// A pen of `recorder`, always the same one, for this thread. It is in the place that `at` tells, if
    /// that was not given to another thread; where it was found is written there.
    pub(crate) fn lend(&self, recorder: &Recorder, at: &Cell<usize>) -> LentPen<'_> {
        if !Recorder::IS_SEEN {
            return LentPen::ForOnce(recorder.block_on());
        }
        let thread = thread_number();
        let place = self.places[at.get()].try_lock();
        let mine =
            place.and_then(|place| MutexGuard::try_map(place, |kept| of_thread(kept, thread)).ok());
        match mine {
            Some(pen) => LentPen::Kept(pen),
            None => self.settle(recorder, thread, at),
        }
    }

    /// Looks for a place for this thread, and puts a pen there.
    #[cold]
    fn settle(&self, recorder: &Recorder, thread: usize, at: &Cell<usize>) -> LentPen<'_> {
        let is_fit = |kept: &Option<Kept>| kept.as_ref().is_none_or(|kept| kept.thread == thread);
        let fit = self.find(0, is_fit);
        let Some((index, place)) = fit.or_else(|| self.find(thread, |_| true)) else {
            return LentPen::ForOnce(recorder.block_on());
        };
        at.set(index);
        LentPen::Kept(MutexGuard::map(place, |kept| {
            if kept.as_ref().is_some_and(|kept| kept.thread != thread) {
                // First, so that what it gives back can be had.
                *kept = None;
            }
            let kept = kept.get_or_insert_with(|| Kept {
                thread,
                scribe: recorder.block_on(),
            });
            &mut kept.scribe
        }))
    }

    /// A place that is not in use and `is_fit`, beginning with the one of this number.
    fn find(
        &self,
        first: usize,
        is_fit: impl Fn(&Option<Kept>) -> bool,
    ) -> Option<(usize, PlaceGuard<'_>)> {
        let indexes = (0..PLACES).map(|step| first.wrapping_add(step) % PLACES);
        let mut free = indexes.filter_map(|index| Some((index, self.places[index].try_lock()?)));
        free.find(|(_, place)| is_fit(place))
    }
}

fn of_thread(kept: &mut Option<Kept>, thread: usize) -> Option<&mut Scribe> {
    let kept = kept.as_mut().filter(|kept| kept.thread == thread)?;
    Some(&mut kept.scribe)
}

impl Deref for LentPen<'_> {
    type Target = Scribe;

    #[inline]
    fn deref(&self) -> &Scribe {
        match self {
            LentPen::Kept(scribe) => scribe,
            LentPen::ForOnce(scribe) => scribe,
        }
    }
}

#[cfg(all(test, feature = "telemetry", not(loom)))]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use telemetry_rt_telemetry::record::Config;

    fn addresses(pens: &[LentPen<'_>]) -> Vec<usize> {
        pens.iter()
            .map(|pen| std::ptr::from_ref::<Scribe>(pen).addr())
            .collect()
    }

    #[test]
    fn a_thread_gets_its_pen_back_and_others_get_theirs() {
        let (pens, recorder) = (Pens::default(), Recorder::new(Config::default()));
        let at = Cell::new(7);
        let first = addresses(&[pens.lend(&recorder, &at)]);
        let place = at.get();
        assert_eq!(addresses(&[pens.lend(&recorder, &at)]), first);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(pens.lend(&recorder, &Cell::new(place))));
        });
        assert_eq!(addresses(&[pens.lend(&recorder, &at)]), first);
        // Having forgotten where.
        assert_eq!(addresses(&[pens.lend(&recorder, &Cell::new(9))]), first);
        assert_eq!(
            recorder.flight_record().lanes.len(),
            1 + 2,
            "a worker's and two"
        );
    }

    #[test]
    fn pens_that_are_lent_at_once_are_different_ones_however_many_they_are() {
        let (pens, recorder) = (Pens::default(), Recorder::new(Config::default()));
        let lent: Vec<_> = (0..PLACES + 2)
            .map(|_| pens.lend(&recorder, &Cell::new(0)))
            .collect();
        let mut different = addresses(&lent);
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), PLACES + 2);
        let for_once = |pen: &&LentPen<'_>| matches!(pen, LentPen::ForOnce(_));
        assert_eq!(lent.iter().filter(for_once).count(), 2);
    }

    #[test]
    fn a_thread_that_is_not_there_loses_its_place_when_there_is_no_other() {
        let (pens, recorder) = (Pens::default(), Recorder::new(Config::default()));
        for _ in 0..3 * PLACES {
            std::thread::scope(|scope| {
                scope.spawn(|| drop(pens.lend(&recorder, &Cell::new(0))));
            });
        }
        let mine = pens.lend(&recorder, &Cell::new(0));
        assert!(matches!(mine, LentPen::Kept(_)));
    }

    /// More than there are pens to keep, and more than have numbers of their own.
    const THREADS: usize = 40;

    #[test]
    fn every_block_on_is_counted_once_however_many_threads_there_are() {
        const EACH: usize = 50;
        let recorder = Recorder::new(Config::default());
        let config = crate::Config::new(crate::RuntimeFlavor::MultiThread, 1);
        let runtime = crate::Runtime::new(config, recorder.clone()).unwrap();
        let all_are_in = Barrier::new(THREADS);
        let block = || {
            runtime.block_on(async { all_are_in.wait() });
            (0..EACH).for_each(|_| runtime.block_on(async {}));
        };
        std::thread::scope(|scope| {
            (0..THREADS).for_each(|_| drop(scope.spawn(block)));
        });
        let total = (THREADS * (EACH + 1)) as u64;
        let others = recorder.health().others;
        assert_eq!((others.polls.count, others.delays.count), (total, total));
        assert_eq!(others.wakes.iter().sum::<u64>(), total);
        let processes = recorder.snapshot().processes;
        let ended = processes.iter().map(|point| point.durations.count);
        assert_eq!(ended.sum::<u64>(), total);
    }
}
