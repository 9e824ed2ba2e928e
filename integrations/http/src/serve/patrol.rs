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

    pub(super) fn tell_all(&self, order: Order) {
        for watch in self.watches.values() {
            watch.connection.vitals().give(order);
        }
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
            return is_over.then_some(Order::Close(reason));
        }
        let is_first = signs.requests == 0;
        let head_since = if is_first {
            Some(self.accepted)
        } else {
            self.head_since
        };
        if signs.in_flight == 0 && has_passed(head_since, limits.header_timeout, now) {
            return Some(Order::Close(CloseReason::HeaderTimeout));
        }
        let quiet_since = (signs.in_flight == 0).then_some(self.quiet_since);
        if has_passed(quiet_since, limits.idle_timeout, now) {
            return self.finish(CloseReason::IdleTimeout, now);
        }
        if has_passed(Some(self.accepted), limits.max_connection_age, now) {
            return self.finish(CloseReason::Age, now);
        }
        None
    }

    fn finish(&mut self, reason: CloseReason, now: Instant) -> Option<Order> {
        self.told = Some((reason, now));
        Some(Order::Finish(reason))
    }

    fn look(&mut self, signs: Signs, now: Instant) {
        let last = std::mem::replace(&mut self.last, signs);
        if signs.in_flight > 0 || signs.requests != last.requests {
            self.quiet_since = now;
            self.head_since = None;
        } else if signs.reads != last.reads && !signs.is_multiplexed {
            // Of HTTP/2 there is always something to read: the answers to pings.
            self.head_since.get_or_insert(now);
        }
        if !signs.is_stuck || signs.writes != last.writes {
            self.stuck_since = None;
        }
        if signs.is_stuck {
            self.stuck_since.get_or_insert(now);
        }
    }
}

/// For a connection that has nothing to do any more: to send its farewell, and to see the peer's.
const LAST_WORD: Duration = Duration::from_secs(2);

fn has_passed(since: Option<Instant>, bound: Option<Duration>, now: Instant) -> bool {
    match (since, bound) {
        (Some(since), Some(bound)) => now - since >= bound,
        _ => false,
    }
}
