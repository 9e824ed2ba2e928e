//! One event of the Trace Event Format, as it stands in the file.

use std::borrow::Cow;
use std::ops::Not;

use serde::{Serialize, Serializer};

/// An event. What its phase has no use for is left out.
#[derive(Default, Serialize)]
pub(super) struct Event<'a> {
    pub(super) ph: &'static str,
    pub(super) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dur: Option<Micros>,
    pub(super) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tid: Option<u32>,
    /// The number of an arrow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u32>,
    /// `e`: the arrow ends at the slice around it, not at the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bp: Option<&'static str>,
    /// `t`: the instant belongs to its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s: Option<&'static str>,
    /// A color, by its reserved name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cname: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Args<'a>>,
}

/// What is shown when an event is clicked on.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Args<'a> {
    Name {
        name: Cow<'a, str>,
    },
    Labels {
        labels: &'static str,
    },
    SortIndex {
        sort_index: u32,
    },
    Poll(PollArgs<'a>),
    Parked {
        #[serde(skip_serializing_if = "Not::not")]
        running: bool,
        #[serde(skip_serializing_if = "Not::not")]
        truncated: bool,
    },
    Woke {
        task: u64,
        name: Cow<'a, str>,
    },
    Stole {
        victim: u16,
        tasks: u32,
    },
    Overwritten {
        moments: u64,
    },
}

#[derive(Serialize)]
pub(super) struct PollArgs<'a> {
    pub(super) task: u64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) process_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<Cow<'a, str>>,
    /// `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spawned_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) woken_by: Option<&'static str>,
    /// What it waits for after the poll, or `ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) then: Option<&'static str>,
    /// The poll was not over when the record was taken.
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) running: bool,
    /// Its start or its end is not in the record.
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) truncated: bool,
}

/// Nanoseconds, written as the microseconds that the format wants. Exact up to a hundred days.
#[derive(Clone, Copy)]
pub(super) struct Micros(pub(super) u64);

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1e3)
    }
}

/// What is said about the whole file.
#[derive(Serialize)]
pub(super) struct OtherData<'a> {
    pub(super) writer: &'static str,
    pub(super) service: Cow<'a, str>,
    pub(super) pid: u32,
    /// The date of `ts` zero.
    pub(super) start: String,
    /// The same in nanoseconds since 1970; as text, because it is longer than a JSON number may be.
    pub(super) start_unix_ns: String,
    /// When the record was taken.
    pub(super) taken: String,
    /// Moments that were lost before those in the file.
    pub(super) overwritten: u64,
}
