//! A timer that is looked at, given another waker or deadline, dropped or added while it fires, or while
//! the runtime is shut down (`shard.rs`), under every order of events: who waits is woken, once; and no
//! waker is kept.
//!
//! Wheel and shard are the real ones. The owner of a timer takes the steps of `timer.rs`, each of which is
//! under the lock of the shard; what is modelled is what lies between them, and the words that are read
//! without the lock.
//!
//! Each model is shown to fail when a step is left out.

use std::sync::Arc as Plain;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::thread;

use super::shard::{Insert, Look, Shard};
use super::sync::model::explore;
use super::wheel::{Key, Moved, NEVER};

/// A step that is left out, to show that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Whose waker comes too late does not look again.
    LookingAgain,
    /// It is told that timers have fired before they are taken out.
    TakingFirst,
    /// A timer is given another deadline in two steps.
    OneStep,
    /// Whose new deadline has passed wakes nobody.
    WakingDue,
    /// `next` is lowered without the lock.
    Lock,
    /// Keys name the place of a timer, and nothing else.
    Serials,
    /// A shutdown takes the timers out, and refuses others later.
    RefusingFirst,
}

/// When the timer is due, when it is after a reset, and when time is fired for.
const EARLY: u64 = 2;
const NOW: u64 = 3;
const LATE: u64 = 5;

#[derive(Default)]
struct Told(AtomicUsize);

impl Wake for Told {
    fn wake(self: Plain<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Told {
    fn waker(self: &Plain<Self>) -> Waker {
        Waker::from(Plain::clone(self))
    }

    /// How often it was woken, once nobody holds it any more.
    fn wakes(self: Plain<Self>) -> usize {
        let told = Plain::into_inner(self).expect("a waker was kept");
        told.0.into_inner()
    }
}

fn told() -> Plain<Told> {
    Plain::default()
}

fn shard_with(tick: u64, told: &Plain<Told>) -> (Arc<Shard>, Key) {
    let shard = Arc::new(Shard::new());
    let Insert::Pending(key) = shard.insert(tick, told.waker()) else {
        panic!("no time has passed");
    };
    (shard, key)
}

fn start<T: 'static>(
    shard: &Arc<Shard>,
    act: impl FnOnce(&Shard) -> T + 'static,
) -> thread::JoinHandle<T> {
    let theirs = Arc::clone(shard);
    thread::spawn(move || act(&theirs))
}

fn end<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a thread that panics ends the model")
}

fn fire(shard: &Shard, now: u64, without: Without) {
    if without == Without::TakingFirst {
        shard.tell_fired(now);
    }
    shard.fire(now);
}

fn shut_down(shard: &Shard, without: Without) {
    let mut wakers = Vec::new();
    if without == Without::RefusingFirst {
        shard.take_all(&mut wakers);
        let mut late = Vec::new();
        shard.close(&mut late);
    } else {
        shard.close(&mut wakers);
    }
    wakers.into_iter().for_each(Waker::wake);
}

/// As a poll of the timer does. Whether it is still pending.
fn is_pending(shard: &Shard, key: Key, told: &Plain<Told>, without: Without) -> bool {
    let waker = told.waker();
    loop {
        if shard.has_fired(EARLY) {
            return false;
        }
        match shard.look(key, &waker) {
            Look::Pending => return true,
            Look::Gone | Look::Closed => return false,
            Look::OtherWaker => drop(shard.replace_waker(key, waker.clone())),
        }
        if without == Without::LookingAgain {
            return true;
        }
    }
}

/// A timer is polled with another waker than before while it fires.
fn a_change_of_the_waker_meets_fire(without: Without) {
    let (first, second) = (told(), told());
    let (shard, key) = shard_with(EARLY, &first);
    let firing = start(&shard, move |shard| fire(shard, NOW, without));
    let pending = is_pending(&shard, key, &second, without);
    end(firing);
    let woken = second.wakes();
    assert!(!pending || woken == 1, "a timer that nobody is woken for");
    first.wakes();
}

/// A timer is looked at without the lock while it fires.
fn a_glance_meets_fire(without: Without) {
    let told = told();
    let (shard, key) = shard_with(EARLY, &told);
    let firing = start(&shard, move |shard| fire(shard, NOW, without));
    let is_said = shard.has_fired(EARLY);
    let is_gone = matches!(shard.look(key, Waker::noop()), Look::Gone);
    end(firing);
    assert!(is_gone || !is_said, "a timer that is said to be gone");
    assert_eq!(told.wakes(), 1);
}

/// A timer is dropped while it fires, and its place is taken by another one, which stays.
fn a_drop_meets_fire(without: Without) {
    let (first, second) = (told(), told());
    let (shard, key) = shard_with(EARLY, &first);
    let firing = start(&shard, move |shard| fire(shard, NOW, without));
    let given_back = shard.remove(key).map(drop).is_some();
    let Insert::Pending(another) = shard.insert(LATE, second.waker()) else {
        panic!("so much time does not pass");
    };
    let again = match without {
        Without::Serials => another,
        _ => key,
    };
    let taken = shard.remove(again);
    end(firing);
    assert!(taken.is_none(), "the timer of somebody else");
    assert_eq!(first.wakes(), usize::from(!given_back), "wakes");
    assert_eq!(shard.len(), 1);
    shard.fire(LATE);
    assert_eq!(second.wakes(), 1);
}

/// A timer gets a later deadline while it fires.
fn a_later_deadline_meets_fire(without: Without) {
    let told = told();
    let (shard, key) = shard_with(EARLY, &told);
    let firing = start(&shard, move |shard| fire(shard, NOW, without));
    if without == Without::OneStep {
        drop(shard.remove(key));
        drop(shard.insert(LATE, told.waker()));
    } else {
        drop(shard.move_to(key, LATE));
    }
    end(firing);
    shard.fire(LATE);
    assert_eq!(told.wakes(), 1, "wakes");
}

/// A timer gets an earlier deadline, which passes meanwhile.
fn an_earlier_deadline_meets_fire(without: Without) {
    let told = told();
    let (shard, key) = shard_with(LATE, &told);
    let firing = start(&shard, move |shard| fire(shard, NOW, without));
    match shard.move_to(key, EARLY) {
        Moved::Due(waker) if without != Without::WakingDue => waker.wake(),
        other => drop(other),
    }
    end(firing);
    assert_eq!(told.wakes(), 1, "wakes");
}

/// A timer is added while others fire: whoever passes by without the lock has to stop for it.
fn an_addition_meets_fire(without: Without) {
    let (first, second) = (told(), told());
    let (shard, _) = shard_with(EARLY, &first);
    let firing = start(&shard, move |shard| fire(shard, NOW, without));
    if without == Without::Lock {
        shard.announce(LATE);
        shard.insert_unannounced(LATE, second.waker());
    } else {
        drop(shard.insert(LATE, second.waker()));
    }
    end(firing);
    assert!(shard.next() <= LATE, "a timer that is passed by");
    shard.fire(LATE);
    assert_eq!((first.wakes(), second.wakes()), (1, 1));
}

/// A timer is added and looked at while the runtime is shut down.
fn an_addition_meets_a_shutdown(without: Without) {
    let told = told();
    let shard = Arc::new(Shard::new());
    let closing = start(&shard, move |shard| shut_down(shard, without));
    let pending = match shard.insert(EARLY, told.waker()) {
        Insert::Pending(key) => is_pending(&shard, key, &told, without),
        Insert::Due(_) => panic!("no time has passed"),
        Insert::Closed(_) => false,
    };
    end(closing);
    assert_eq!((shard.len(), shard.next()), (0, NEVER));
    let woken = told.wakes();
    assert!(!pending || woken == 1, "a timer that nobody is woken for");
}

mod hold {
    use super::*;

    fn explore_all(model: fn(Without)) {
        explore(move || model(Without::Nothing));
    }

    #[test]
    fn a_change_of_the_waker_meets_fire() {
        explore_all(super::a_change_of_the_waker_meets_fire);
    }

    #[test]
    fn a_glance_meets_fire() {
        explore_all(super::a_glance_meets_fire);
    }

    #[test]
    fn a_drop_meets_fire() {
        explore_all(super::a_drop_meets_fire);
    }

    #[test]
    fn a_later_deadline_meets_fire() {
        explore_all(super::a_later_deadline_meets_fire);
    }

    #[test]
    fn an_earlier_deadline_meets_fire() {
        explore_all(super::an_earlier_deadline_meets_fire);
    }

    #[test]
    fn an_addition_meets_fire() {
        explore_all(super::an_addition_meets_fire);
    }

    #[test]
    fn an_addition_meets_a_shutdown() {
        explore_all(super::an_addition_meets_a_shutdown);
    }
}

/// Each model notices when a step is left out.
mod notice {
    use super::*;

    #[test]
    #[should_panic(expected = "a timer that nobody is woken for")]
    fn a_waker_that_comes_too_late_and_does_not_look_again() {
        explore(|| a_change_of_the_waker_meets_fire(Without::LookingAgain));
    }

    #[test]
    #[should_panic(expected = "a timer that is said to be gone")]
    fn timers_that_are_said_to_have_fired_and_lie_in_the_wheel() {
        explore(|| a_glance_meets_fire(Without::TakingFirst));
    }

    #[test]
    #[should_panic(expected = "the timer of somebody else")]
    fn a_key_that_names_whoever_is_in_its_place() {
        explore(|| a_drop_meets_fire(Without::Serials));
    }

    #[test]
    #[should_panic(expected = "wakes")]
    fn a_reset_in_two_steps() {
        explore(|| a_later_deadline_meets_fire(Without::OneStep));
    }

    #[test]
    #[should_panic(expected = "wakes")]
    fn a_reset_into_the_past_that_wakes_nobody() {
        explore(|| an_earlier_deadline_meets_fire(Without::WakingDue));
    }

    #[test]
    #[should_panic(expected = "a timer that is passed by")]
    fn a_timer_that_is_announced_without_the_lock() {
        explore(|| an_addition_meets_fire(Without::Lock));
    }

    #[test]
    #[should_panic]
    fn a_shutdown_that_refuses_too_late() {
        explore(|| an_addition_meets_a_shutdown(Without::RefusingFirst));
    }
}
