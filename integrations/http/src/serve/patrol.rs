//! Which connections have to end, and why?
//!
//! One timer for all: in each round the server looks at the signs of every connection, and remembers
//! when it saw them change. Requests set no timers for this.
//!
//! ```text
//!            accepted            a request              its answer is complete
//!   ---------|-------------------|......................|------------|------------>
//!             header_timeout      in flight: write_timeout  idle       head has begun:
//!             for the first head  if something is stuck                header_timeout
//! ```

use std::collections::HashMap;
use std::time::Duration;

use telemetry_rt::task::Id;
use telemetry_rt::time::Instant;

use super::limits::Limits;
use super::report::CloseReason;
use super::vitals::{Order, Signs};
use crate::connection::Connection;

/// The open connections, by their tasks.
#[derive(Default)]
pub(super) struct Patrol {
    watches: HashMap<Id, Watch>,
}

impl Patrol {
    pub(super) fn add(&mut self, task: Id, connection: Connection) {
        self.watches
            .insert(task, Watch::new(connection, Instant::now()));
    }

    pub(super) fn remove(&mut self, task: Id) {
        self.watches.remove(&task);
    }

    /// Looks after all connections, and tells those to end that have to.
    pub(super) fn go_round(&mut self, limits: &Limits) {
        let now = Instant::now();
        for watch in self.watches.values_mut() {
            let vitals = watch.connection.vitals();
            if let Some(order) = watch.view.judge(vitals.signs(), now, limits) {
                vitals.give(order);
            }
        }
    }

    /// Tells all connections to answer what has been asked, and to close.
    pub(super) fn finish_all(&mut self, reason: CloseReason) {
        let now = Instant::now();
        for watch in self.watches.values_mut() {
            watch
                .connection
                .vitals()
                .give(watch.view.finish(reason, now));
        }
    }

    /// Tells all connections to close.
    pub(super) fn close_all(&self, reason: CloseReason) {
        self.connections()
            .for_each(|connection| connection.vitals().give(Order::Close(reason)));
    }

    /// What is not answered now will not be.
    pub(super) fn give_up(&self) {
        self.connections().for_each(Connection::give_up);
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.watches.values().map(|watch| &watch.connection)
    }
}

struct Watch {
    connection: Connection,
    view: View,
}

impl Watch {
    fn new(connection: Connection, now: Instant) -> Watch {
        Watch {
            connection,
            view: View::new(now),
        }
    }
}

/// What the server has seen of a connection.
struct View {
    accepted: Instant,
    last: Signs,
    /// Since when there has been no request.
    quiet_since: Instant,
    /// When, in that time, the next head was seen to have begun.
    head_since: Option<Instant>,
    /// Since when the peer has taken nothing of what waits to be written.
    stuck_since: Option<Instant>,
    /// What it was told to end for, and when.
    told: Option<(CloseReason, Instant)>,
}

impl View {
    fn new(now: Instant) -> View {
        View {
            accepted: now,
            last: Signs::default(),
            quiet_since: now,
            head_since: None,
            stuck_since: None,
            told: None,
        }
    }

    fn judge(&mut self, signs: Signs, now: Instant, limits: &Limits) -> Option<Order> {
        self.look(signs, now);
        if has_passed(self.stuck_since, limits.write_timeout, now) {
            return Some(Order::Close(CloseReason::WriteTimeout));
        }
        if let Some((reason, since)) = self.told {
            // It was to close by itself; a peer that sends half a head keeps it from that.
            let is_over = signs.in_flight == 0 && now - since.max(self.quiet_since) >= LAST_WORD;
            return is_over.then_some(Order::Leave(reason));
        }
        let is_first = signs.requests == 0;
        let head_since = if is_first {
            Some(self.accepted)
        } else {
            self.head_since
        };
        if signs.in_flight == 0 && has_passed(head_since, limits.header_timeout, now) {
            return Some(Order::Leave(CloseReason::HeaderTimeout));
        }
        let is_within_head = self.head_since.is_some() && limits.header_timeout.is_some();
        let is_idle = signs.in_flight == 0 && !is_within_head;
        let quiet_since = is_idle.then_some(self.quiet_since);
        if has_passed(quiet_since, limits.idle_timeout, now) {
            return Some(self.finish(CloseReason::IdleTimeout, now));
        }
        if has_passed(Some(self.accepted), limits.max_connection_age, now) {
            return Some(self.finish(CloseReason::Age, now));
        }
        None
    }

    fn finish(&mut self, reason: CloseReason, now: Instant) -> Order {
        self.told = Some((reason, now));
        Order::Finish(reason)
    }

    fn look(&mut self, signs: Signs, now: Instant) {
        let last = std::mem::replace(&mut self.last, signs);
        let takes = signs.shows_a_peer_that_takes_since(last);
        // The last of an answer may be on its way long after the service has given it away.
        let is_answering = signs.in_flight > 0 || signs.is_stuck || takes;
        if is_answering || signs.requests != last.requests {
            self.quiet_since = now;
            self.head_since = None;
        } else if signs.has_open_head && !signs.is_multiplexed {
            self.head_since.get_or_insert(now);
        }
        if !signs.waits_for_the_peer() || takes {
            self.stuck_since = None;
        }
        if signs.waits_for_the_peer() {
            self.stuck_since.get_or_insert(now);
        }
    }
}

impl Signs {
    fn shows_a_peer_that_takes_since(self, last: Signs) -> bool {
        let written = self.written.wrapping_sub(last.written);
        // HTTP/2 answers pings and settings, whatever becomes of the answers to requests.
        let besides = if self.is_multiplexed { CONTROL } else { 0 };
        written > besides
    }

    /// Of HTTP/2 the socket may be free, but no window open. It is up to the peer which of its streams
    /// it wants to hear: only when all of them wait for it nobody gets anything from this connection.
    fn waits_for_the_peer(self) -> bool {
        self.is_stuck || (self.owed > 0 && self.owed >= self.in_flight)
    }
}

/// Bytes a round: a few frames that no request has asked for.
const CONTROL: u32 = 128;

/// For a connection that has nothing to do any more: to send its farewell, and to see the peer's.
const LAST_WORD: Duration = Duration::from_secs(2);

fn has_passed(since: Option<Instant>, bound: Option<Duration>, now: Instant) -> bool {
    match (since, bound) {
        (Some(since), Some(bound)) => now - since >= bound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CloseReason::{Age, HeaderTimeout, IdleTimeout, WriteTimeout};

    /// What is seen of a connection in each second.
    fn first_order(limits: &Limits, seen: impl Fn(u64) -> Signs) -> Option<(u64, Order)> {
        let begin = Instant::now();
        let mut view = View::new(begin);
        (1..100).find_map(|second| {
            let now = begin + Duration::from_secs(second);
            let order = view.judge(seen(second), now, limits);
            order.map(|order| (second, order))
        })
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn limits() -> Limits {
        Limits::default()
            .header_timeout(seconds(10))
            .idle_timeout(seconds(20))
            .write_timeout(seconds(5))
    }

    /// A connection whose one request was answered.
    fn answered() -> Signs {
        Signs {
            requests: 1,
            written: 1000,
            ..Signs::default()
        }
    }

    #[test]
    fn silence_from_the_beginning_is_borne_as_long_as_a_head() {
        let order = first_order(&limits(), |_| Signs::default());
        assert_eq!(order, Some((10, Order::Leave(HeaderTimeout))));
    }

    #[test]
    fn silence_after_a_request_is_idleness() {
        let order = first_order(&limits(), |_| answered());
        assert_eq!(order, Some((21, Order::Finish(IdleTimeout))));
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_however_many_follow() {
        let order = first_order(&limits(), |second| Signs {
            has_open_head: second >= 5,
            ..answered()
        });
        assert_eq!(order, Some((15, Order::Leave(HeaderTimeout))));
    }

    #[test]
    fn who_has_begun_a_head_is_not_idle() {
        let begun_at = |begin: u64| {
            move |second: u64| Signs {
                has_open_head: second >= begin,
                ..answered()
            }
        };
        let order = first_order(&limits(), begun_at(20));
        assert_eq!(order, Some((30, Order::Leave(HeaderTimeout))));
        // Without a bound for heads it is.
        let unbounded = limits().header_timeout(None);
        let order = first_order(&unbounded, begun_at(20));
        assert_eq!(order, Some((21, Order::Finish(IdleTimeout))));
    }

    #[test]
    fn who_still_takes_the_last_answer_is_not_idle() {
        let until = |end: u64, is_multiplexed: bool| {
            move |second: u64| Signs {
                written: 1000 * second.min(end) as u32,
                is_multiplexed,
                ..answered()
            }
        };
        for is_multiplexed in [false, true] {
            let order = first_order(&limits(), until(40, is_multiplexed));
            assert_eq!(order, Some((60, Order::Finish(IdleTimeout))));
        }
        let stuck = |second: u64| Signs {
            is_stuck: true,
            ..until(99, false)(second)
        };
        let limits = limits().write_timeout(seconds(50));
        assert_eq!(first_order(&limits, stuck), None);
    }

    #[test]
    fn who_is_told_to_finish_is_heard_out_and_has_time_for_the_last_answer() {
        let limits = limits().max_connection_age(seconds(1));
        let begin = Instant::now();
        let mut view = View::new(begin);
        let mut judge = |second: u64, signs: Signs| {
            view.judge(signs, begin + Duration::from_secs(second), &limits)
        };
        assert_eq!(judge(1, answered()), Some(Order::Finish(Age)));
        for second in 2..50 {
            let taking = Signs {
                written: 1000 * second as u32,
                ..answered()
            };
            assert_eq!(judge(second, taking), None, "{second}");
        }
    }

    #[test]
    fn answers_that_no_window_is_open_for_are_stuck_if_nothing_else_is_asked_for() {
        let owed = |in_flight: u32, bytes: u32| {
            move |second: u64| Signs {
                in_flight,
                owed: 1,
                written: bytes * second as u32,
                is_multiplexed: true,
                ..answered()
            }
        };
        // Pings are answered.
        let order = first_order(&limits(), owed(1, 17));
        assert_eq!(order, Some((6, Order::Close(WriteTimeout))));
        assert_eq!(first_order(&limits(), owed(1, 1000)), None);
        assert_eq!(first_order(&limits(), owed(2, 17)), None);
    }

    #[test]
    fn frames_of_http2_are_no_heads() {
        let order = first_order(&limits(), |second| Signs {
            has_open_head: true,
            written: 1000 + 17 * second as u32,
            is_multiplexed: true,
            ..answered()
        });
        assert_eq!(order, Some((21, Order::Finish(IdleTimeout))));
    }

    #[test]
    fn a_request_in_flight_and_requests_now_and_then_are_neither_slow_nor_idle() {
        let in_flight = Signs {
            in_flight: 1,
            ..answered()
        };
        assert_eq!(first_order(&limits(), |_| in_flight), None);
        let now_and_then = |second: u64| Signs {
            requests: second as u32 / 9,
            has_open_head: second % 9 == 8,
            ..answered()
        };
        assert_eq!(first_order(&limits(), now_and_then), None);
    }

    #[test]
    fn who_takes_a_byte_now_and_then_is_not_stuck() {
        let stuck = |written: u64| Signs {
            in_flight: 1,
            is_stuck: true,
            written: written as u32,
            ..answered()
        };
        let order = first_order(&limits(), |_| stuck(7));
        assert_eq!(order, Some((6, Order::Close(WriteTimeout))));
        assert_eq!(first_order(&limits(), |second| stuck(second / 4)), None);
    }

    #[test]
    fn age_is_asked_for_once_and_ends_no_request() {
        let limits = limits().max_connection_age(seconds(3));
        let order = first_order(&limits, |_| answered());
        assert_eq!(order, Some((3, Order::Finish(Age))));
        let begin = Instant::now();
        let mut view = View::new(begin);
        let mut judge = |second: u64, in_flight: u32| {
            let signs = Signs {
                in_flight,
                ..answered()
            };
            view.judge(signs, begin + Duration::from_secs(second), &limits)
        };
        assert_eq!(judge(3, 1), Some(Order::Finish(Age)));
        assert!((4..50).all(|second| judge(second, 1).is_none()));
        // It did not close by itself after its last answer.
        assert_eq!(judge(50, 0), None);
        assert_eq!(judge(60, 0), Some(Order::Leave(Age)));
    }

    #[test]
    fn no_bounds_no_orders() {
        let limits = Limits::default()
            .header_timeout(None)
            .idle_timeout(None)
            .write_timeout(None);
        let stuck = Signs {
            is_stuck: true,
            ..Signs::default()
        };
        assert_eq!(first_order(&limits, |_| stuck), None);
    }
}
