//! What a connection shows of itself, and how it is told to end.
//!
//! Who writes what:
//!
//! 1. The socket (`socket.rs`) counts reads and writes, and says whether a write is stuck.
//! 2. Requests (`requests.rs`) count themselves.
//! 3. The server (`patrol.rs`, `accept.rs`) reads these signs from its own task, and gives orders.
//! 4. The connection's task (`drive.rs`) registers its waker, then looks for an order.
//!
//! The signs are single numbers on which nothing else hangs, so all their orderings are relaxed: a
//! server that sees one late looks again in its next round.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use http::Version;

use super::report::CloseReason;

/// The signs of one connection.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    requests: AtomicU32,
    in_flight: AtomicU32,
    reads: AtomicU32,
    writes: AtomicU32,
    is_stuck: AtomicBool,
    is_multiplexed: AtomicBool,
    has_open_body: AtomicBool,
    order: AtomicU8,
    waker: AtomicWaker,
}

/// What a connection was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Answer what has been asked, then close.
    Finish(CloseReason),
    /// Close at once.
    Close(CloseReason),
}

/// The signs at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Requests so far; the number may wrap.
    pub(super) requests: u32,
    /// Requests whose answers are not complete.
    pub(super) in_flight: u32,
    /// Reads that brought something, so far; the number may wrap.
    pub(super) reads: u32,
    /// Writes that the peer took something of, so far; the number may wrap.
    pub(super) writes: u32,
    /// Something waits to be written.
    pub(super) is_stuck: bool,
    /// It is HTTP/2.
    pub(super) is_multiplexed: bool,
}

impl Vitals {
    pub(super) fn signs(&self) -> Signs {
        Signs {
            requests: self.requests.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            is_stuck: self.is_stuck.load(Ordering::Relaxed),
            is_multiplexed: self.is_multiplexed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn begin_request(&self, version: Version, has_body: bool) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.is_multiplexed.store(true, Ordering::Relaxed);
        } else {
            self.has_open_body.store(has_body, Ordering::Relaxed);
        }
    }

    pub(super) fn end_request(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The body of the request in flight was read to its end.
    pub(super) fn end_body(&self) {
        self.has_open_body.store(false, Ordering::Relaxed);
    }

    /// Whether the peer may still be sending the body of a request of HTTP/1.
    pub(super) fn has_open_body(&self) -> bool {
        self.has_open_body.load(Ordering::Relaxed)
    }

    // The socket has one writer at a time, so its counts need no read-modify-write.

    pub(super) fn count_read(&self) {
        let reads = self.reads.load(Ordering::Relaxed);
        self.reads.store(reads.wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn count_write(&self) {
        let writes = self.writes.load(Ordering::Relaxed);
        self.writes.store(writes.wrapping_add(1), Ordering::Relaxed);
        self.unstick();
    }

    pub(super) fn unstick(&self) {
        self.is_stuck.store(false, Ordering::Relaxed);
    }

    pub(super) fn stick(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
    }

    /// Tells the connection's task; the last order counts, but none takes back a `Close`.
    pub(super) fn give(&self, order: Order) {
        // AcqRel: the task that sees the order sees what was done before it was given, above all that
        // the connection was given up.
        let _ = self
            .order
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old & CLOSE == 0).then_some(order.code())
            });
        self.waker.wake();
    }

    /// For the connection's task, to hear of orders.
    pub(super) fn listen(&self) -> Listening<'_> {
        Listening {
            vitals: self,
            registered: None,
        }
    }
}

/// The ear of a connection's task.
pub(super) struct Listening<'a> {
    vitals: &'a Vitals,
    /// The waker that is registered, unless it was taken to be woken. A task has one all its life, so
    /// that a poll costs a comparison here, and no read-modify-write.
    registered: Option<Waker>,
}

impl Listening<'_> {
    /// The order, if there is one. Who gives one after this call wakes `waker`.
    pub(super) fn order(&mut self, waker: &Waker) -> Option<Order> {
        if !self
            .registered
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.vitals.waker.register(waker);
            self.registered = Some(waker.clone());
        }
        // Acquire: as in `give`. The waker was registered before, now or in an earlier poll, so that
        // an order that is missed here finds it: until then nobody has taken it.
        let order = Order::of(self.vitals.order.load(Ordering::Acquire));
        if order.is_some() {
            self.registered = None;
        }
        order
    }
}

/// The bit of a `Close`; the others are the reason, counted from one.
const CLOSE: u8 = 1 << 7;

impl Order {
    fn code(self) -> u8 {
        match self {
            Order::Finish(reason) => reason as u8 + 1,
            Order::Close(reason) => CLOSE | (reason as u8 + 1),
        }
    }

    fn of(code: u8) -> Option<Order> {
        let index = usize::from(code & !CLOSE).checked_sub(1)?;
        let reason = CloseReason::ALL[index];
        let order = if code & CLOSE == 0 {
            Order::Finish(reason)
        } else {
            Order::Close(reason)
        };
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[test]
    fn every_order_arrives_as_it_was_given() {
        for reason in CloseReason::ALL {
            for order in [Order::Finish(reason), Order::Close(reason)] {
                let vitals = Vitals::default();
                assert_eq!(vitals.listen().order(Waker::noop()), None);
                vitals.give(order);
                assert_eq!(vitals.listen().order(Waker::noop()), Some(order));
            }
        }
    }

    #[test]
    fn who_has_to_close_is_not_told_to_take_its_time() {
        let vitals = Vitals::default();
        let close = Order::Close(CloseReason::WriteTimeout);
        vitals.give(Order::Finish(CloseReason::Shutdown));
        vitals.give(close);
        vitals.give(Order::Finish(CloseReason::Shutdown));
        assert_eq!(vitals.listen().order(Waker::noop()), Some(close));
    }

    #[test]
    fn each_order_wakes_who_listens() {
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let vitals = Vitals::default();
        let mut ear = vitals.listen();
        assert_eq!(ear.order(&waker), None);
        assert_eq!(ear.order(&waker), None);
        for (times, reason) in [CloseReason::Age, CloseReason::Shutdown]
            .into_iter()
            .enumerate()
        {
            vitals.give(Order::Finish(reason));
            assert_eq!(woken.0.load(Ordering::Relaxed), times + 1);
            assert_eq!(ear.order(&waker), Some(Order::Finish(reason)));
            // As after any poll that ends pending.
            ear.order(&waker);
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
