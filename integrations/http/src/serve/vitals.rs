//! What a connection shows of itself, and how it is told to end.
//!
//! Who writes what:
//!
//! 1. The socket (`socket.rs`) says that a head has begun, counts what is written, and says whether a
//!    write is stuck.
//! 2. Requests (`requests.rs`) count themselves, and those whose answers the peer has to take first.
//! 3. The server (`patrol.rs`, `run.rs`) reads these signs from its own task, and gives orders.
//! 4. The connection's task (`drive.rs`) registers its waker, then takes the order, if there is one.
//!
//! The signs are single numbers on which nothing else hangs, so all their orderings are relaxed: a
//! server that sees one late looks again in its next round. Orders that rest on a sign that may have
//! changed since are checked by the connection's task, which is the one that changes it.

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
    owed: AtomicU32,
    written: AtomicU32,
    is_stuck: AtomicBool,
    is_multiplexed: AtomicBool,
    has_open_head: AtomicBool,
    has_open_body: AtomicBool,
    is_handed_over: AtomicBool,
    order: AtomicU8,
    waker: AtomicWaker,
}

/// What a connection was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Answer what has been asked, then close.
    Finish(CloseReason),
    /// Close at once, unless a request has begun after this was decided on.
    Leave(CloseReason),
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
    /// Requests of HTTP/2 of whose answers there is more, which the peer has not made room for.
    pub(super) owed: u32,
    /// Bytes that were written so far; the number wraps.
    pub(super) written: u32,
    /// Something waits to be written.
    pub(super) is_stuck: bool,
    /// It is HTTP/2.
    pub(super) is_multiplexed: bool,
    /// Something came that is not part of a request yet. Of HTTP/2 it means nothing.
    pub(super) has_open_head: bool,
}

impl Vitals {
    pub(super) fn signs(&self) -> Signs {
        Signs {
            requests: self.requests.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            owed: self.owed.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            is_stuck: self.is_stuck.load(Ordering::Relaxed),
            is_multiplexed: self.is_multiplexed.load(Ordering::Relaxed),
            has_open_head: self.has_open_head.load(Ordering::Relaxed),
        }
    }

    pub(super) fn begin_request(&self, version: Version, has_body: bool) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.has_open_head.store(false, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.is_multiplexed.store(true, Ordering::Relaxed);
        } else {
            self.has_open_body.store(has_body, Ordering::Relaxed);
        }
    }

    pub(super) fn end_request(&self) {
        // What came since was its body.
        self.has_open_head.store(false, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.is_multiplexed.load(Ordering::Relaxed)
    }

    /// There is more of an answer, as soon as the peer has room for it.
    pub(super) fn owe(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// The peer had room.
    pub(super) fn owe_no_more(&self) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
    }

    /// The body of the request in flight was read to its end.
    pub(super) fn end_body(&self) {
        self.has_open_body.store(false, Ordering::Relaxed);
    }

    /// Whether the peer may still be sending the body of a request of HTTP/1.
    pub(super) fn has_open_body(&self) -> bool {
        self.has_open_body.load(Ordering::Relaxed)
    }

    /// Whether the peer may still be sending the head of a request of HTTP/1.
    pub(super) fn has_open_head(&self) -> bool {
        self.has_open_head.load(Ordering::Relaxed) && !self.is_multiplexed()
    }

    /// Whether that is so on a connection that has had requests.
    pub(super) fn has_open_next_head(&self) -> bool {
        self.has_open_head() && self.requests.load(Ordering::Relaxed) != 0
    }

    /// Whether no request is in flight, and all of the answers is written, as far as the socket knows.
    pub(super) fn is_quiet(&self) -> bool {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        !is_stuck && self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// HTTP is over; if there is a socket still, it belongs to the application.
    pub(super) fn hand_over(&self) {
        self.is_handed_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Ordering::Relaxed)
    }

    /// Something came.
    pub(super) fn note_read(&self) {
        self.has_open_head.store(true, Ordering::Relaxed);
    }

    /// The socket has one writer at a time, so that its count needs no read-modify-write.
    pub(super) fn count_written(&self, bytes: usize) {
        let written = self.written.load(Ordering::Relaxed);
        // Truncated as the number wraps.
        let written = written.wrapping_add(bytes as u32);
        self.written.store(written, Ordering::Relaxed);
        self.unstick();
    }

    pub(super) fn unstick(&self) {
        self.is_stuck.store(false, Ordering::Relaxed);
    }

    pub(super) fn stick(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
    }

    /// Tells the connection's task; the last order counts, but none takes back a graver one.
    pub(super) fn give(&self, order: Order) {
        // AcqRel: the task that sees the order sees what was done before it was given, above all that
        // the connection was given up.
        let _ = self
            .order
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                let new = order.code();
                (old & GRAVITY <= new & GRAVITY).then_some(new)
            });
        self.waker.wake();
    }

    /// For the connection's task, to hear of orders.
    pub(super) fn listen(&self) -> Listening<'_> {
        Listening {
            vitals: self,
            registered: None,
            has_heard: false,
        }
    }
}

/// The ear of a connection's task.
pub(super) struct Listening<'a> {
    vitals: &'a Vitals,
    /// The waker that is registered, unless it was taken to be woken. A task has one all its life, so
    /// that a poll costs a comparison here, and no read-modify-write.
    registered: Option<Waker>,
    /// An order was taken, perhaps before its giver woke anybody. That wake takes the waker whenever
    /// it comes, so from now on it is registered in each poll.
    has_heard: bool,
}

impl Listening<'_> {
    /// Takes the order, if there is one. Only who gives one after a call that found none is sure to
    /// wake `waker`: so call it until there is none.
    pub(super) fn order(&mut self, waker: &Waker) -> Option<Order> {
        self.register(waker);
        // Acquire: as in `give`. The waker was registered before, now or in an earlier poll, so that
        // an order that is missed here finds it: until then nobody has taken it.
        if self.vitals.order.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.has_heard = true;
        Order::of(self.vitals.order.swap(0, Ordering::Acquire))
    }

    fn register(&mut self, waker: &Waker) {
        let known = self.registered.as_ref();
        if self.has_heard || !known.is_some_and(|known| known.will_wake(waker)) {
            self.vitals.waker.register(waker);
            self.registered = Some(waker.clone());
        }
    }
}

/// The bits of `Leave` and `Close`; the others are the reason, counted from one.
const LEAVE: u8 = 1 << 6;
const CLOSE: u8 = 1 << 7;
/// As numbers they are as grave as the orders.
const GRAVITY: u8 = LEAVE | CLOSE;

impl Order {
    fn code(self) -> u8 {
        match self {
            Order::Finish(reason) => reason as u8 + 1,
            Order::Leave(reason) => LEAVE | (reason as u8 + 1),
            Order::Close(reason) => CLOSE | (reason as u8 + 1),
        }
    }

    fn of(code: u8) -> Option<Order> {
        let index = usize::from(code & !GRAVITY).checked_sub(1)?;
        let reason = CloseReason::ALL[index];
        Some(match code & GRAVITY {
            0 => Order::Finish(reason),
            LEAVE => Order::Leave(reason),
            _ => Order::Close(reason),
        })
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
            for order in [
                Order::Finish(reason),
                Order::Leave(reason),
                Order::Close(reason),
            ] {
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
        vitals.give(Order::Leave(CloseReason::Shutdown));
        vitals.give(Order::Finish(CloseReason::Shutdown));
        assert_eq!(vitals.listen().order(Waker::noop()), Some(close));
    }

    #[test]
    fn a_wake_that_comes_after_its_order_was_taken_keeps_no_later_one_from_arriving() {
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let vitals = Vitals::default();
        let mut ear = vitals.listen();
        assert_eq!(ear.order(&waker), None);
        let finish = Order::Finish(CloseReason::Shutdown);
        // The two steps of `give`, with polls between and after them.
        vitals.order.store(finish.code(), Ordering::Release);
        assert_eq!(ear.order(&waker), Some(finish));
        assert_eq!(ear.order(&waker), None);
        vitals.waker.wake();
        assert_eq!(ear.order(&waker), None);
        vitals.give(Order::Close(CloseReason::Deadline));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_connection_is_not_quiet_while_a_request_or_the_last_of_an_answer_is_under_way() {
        let vitals = Vitals::default();
        assert!(vitals.is_quiet());
        vitals.begin_request(Version::HTTP_11, false);
        assert!(!vitals.is_quiet());
        vitals.end_request();
        vitals.stick();
        assert!(!vitals.is_quiet());
        vitals.count_written(1);
        assert!(vitals.is_quiet());
    }

    #[test]
    fn what_comes_before_a_request_and_after_it_is_a_head_and_what_comes_within_it_is_not() {
        let vitals = Vitals::default();
        vitals.note_read();
        assert!(vitals.has_open_head() && !vitals.has_open_next_head());
        vitals.begin_request(Version::HTTP_11, true);
        assert!(!vitals.has_open_head());
        vitals.note_read();
        vitals.end_request();
        assert!(!vitals.has_open_next_head());
        vitals.note_read();
        assert!(vitals.has_open_next_head());
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
