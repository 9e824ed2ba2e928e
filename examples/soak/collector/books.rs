//! What did the collector accept, and from whom?
//!
//! An answer may be lost on its way, and then both sides are right about different things. So there
//! are three ways for spans to be accepted, and the law about them is one of bounds:
//!
//! * *surely*: the answer was sent whole, and soon. Who sent them counts them as exported.
//! * *perhaps*: the answer was late, or could not be sent whole. It may have been read or not.
//! * *mutely*: there was no answer. Who sent them cannot know: they are sent again, and counted as
//!   exported once that is answered, or as lost if it never is.
//!
//! `surely <= exported <= surely + perhaps`, and `exported <= stored <= exported + lost`, where a
//! request that was sent twice is stored once.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use super::otlp::{self, Sums, sums};

/// How an accepted request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Surely,
    Perhaps,
    Mutely,
}

/// What one runtime has delivered.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    pub surely: u64,
    pub perhaps: u64,
    pub mutely: u64,
    /// Spans in different requests.
    pub stored: u64,
    /// Accepted requests that had been accepted before.
    pub repeated: u64,
    /// Spans that came in two different requests, of those that are looked at.
    pub twice: u64,
    /// Spans whose parts do not add up to their length, of those that are looked at.
    pub uneven: u64,
    /// Of the last accepted metrics: `process.count` by name and state.
    pub processes: Sums,
    /// Of the last accepted metrics: `executor.spans.dropped` by cause.
    pub dropped: Sums,
}

/// The books of all.
#[derive(Default)]
pub struct Books {
    delivered: BTreeMap<String, Delivered>,
    /// Requests by their bytes, and how many spans of each were stored.
    requests: HashMap<u64, u64>,
    /// One span in so many is remembered.
    ids: HashSet<u64>,
}

const ONE_IN: u64 = 256;

impl Books {
    /// A request for spans was accepted but for the last `refused` of them.
    pub fn spans(&mut self, source: &str, body: &[u8], refused: u64, answered: Answered) {
        let accepted = (otlp::spans(body).count() as u64).saturating_sub(refused);
        let of_source = self.delivered.entry(source.to_owned()).or_default();
        match answered {
            Answered::Surely => of_source.surely += accepted,
            Answered::Perhaps => of_source.perhaps += accepted,
            Answered::Mutely => of_source.mutely += accepted,
        }
        let stored = self.requests.entry(digest(source, body));
        if let Entry::Occupied(_) = &stored {
            of_source.repeated += 1;
        } else {
            for span in otlp::spans(body).filter(|span| span.id() % ONE_IN == 0) {
                of_source.twice += u64::from(!self.ids.insert(span.id()));
                of_source.uneven += u64::from(!span.adds_up());
            }
        }
        let stored = stored.or_default();
        of_source.stored += accepted.saturating_sub(*stored);
        *stored = accepted.max(*stored);
    }

    pub fn metrics(&mut self, source: &str, body: &[u8]) {
        let of_source = self.delivered.entry(source.to_owned()).or_default();
        of_source.processes = sums(body, "process.count", &["name", "state"]);
        of_source.dropped = sums(body, "executor.spans.dropped", &["cause"]);
    }

    pub fn delivered(&self, source: &str) -> Delivered {
        self.delivered.get(source).cloned().unwrap_or_default()
    }

    /// Lets go of one that will send no more.
    pub fn close(&mut self, source: &str) -> Delivered {
        self.delivered.remove(source).unwrap_or_default()
    }
}

fn digest(source: &str, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (source, body).hash(&mut hasher);
    hasher.finish()
}
