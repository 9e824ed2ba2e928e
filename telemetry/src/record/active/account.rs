//! The account of one process: what the scheduler keeps for the recorder, whole and in hand.

use opentelemetry::SpanId;
use telemetry_rt_clock::{Ticks, ticks};

use super::birth::{Begun, Unborn};
use super::task::{
    COUNTED, FOREIGN_SPAN, HAS_SPAN, NO_KIND, ROOT_SPAN, TaskDetail, TaskRecord, TaskScope,
    UNBORN_SPAN, WakeStamp,
};
use super::thread;
use crate::record::{ProcessType, WakeCause};

/// All that is kept of a process: the scheduler keeps it in the header.
#[derive(Debug)]
pub struct Account {
    /// What each poll writes.
    pub record: TaskRecord,
    /// What few polls write.
    pub detail: TaskDetail,
    /// What belongs to whoever polls it.
    pub scope: TaskScope,
}

/// A process, in the hands of whoever has the right to poll it.
#[derive(Debug)]
pub struct Process<'a> {
    /// Its number, as in `task::Id`.
    pub id: u64,
    /// What kind of work it is.
    pub process_type: ProcessType,
    /// What each poll writes.
    pub record: &'a TaskRecord,
    /// What few polls write.
    pub detail: &'a TaskDetail,
    /// What belongs to whoever polls it.
    pub scope: &'a mut TaskScope,
}

/// How the span of a process is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanKeeping {
    /// Not at all.
    None,
    /// As a record, on its way to the drain.
    Ours,
    /// By a provider of the user's.
    Foreign,
}

/// What is decided about a process when it is spawned.
pub(super) struct Beginning {
    pub(super) now: Ticks,
    pub(super) kind: u32,
    pub(super) counted: bool,
    pub(super) span: Begun,
    /// The task that spawned it, or zero.
    pub(super) parent: u64,
}

impl Beginning {
    fn unknown() -> Beginning {
        Beginning {
            now: ticks(),
            kind: NO_KIND,
            counted: false,
            span: Begun::inherited(None),
            parent: thread::polled_task(),
        }
    }
}

impl Account {
    /// The account of a process that is spawned where there is no recorder. It is not exported,
    /// unless a recorder adopts the process before its first poll.
    pub fn unrecorded() -> Account {
        Account::begin(Beginning::unknown())
    }

    /// The stamp that goes into the header beside the account: a process is ready when spawned.
    #[inline]
    pub fn first_wake(&self) -> WakeStamp {
        WakeStamp::new(self.record.spawned(), WakeCause::Spawn)
    }

    /// Writes the account into the place of one that was closed, which others may be reading. What
    /// belongs to whoever polls the process is left.
    #[inline]
    pub fn renew(&self, ready: &WakeStamp, record: &TaskRecord, detail: &TaskDetail) {
        ready.renew(&self.first_wake());
        record.renew(&self.record);
        detail.renew(&self.detail);
    }

    /// The process, for whoever keeps its account in one piece.
    #[inline]
    pub fn process(&mut self, id: u64, process_type: ProcessType) -> Process<'_> {
        Process {
            id,
            process_type,
            record: &self.record,
            detail: &self.detail,
            scope: &mut self.scope,
        }
    }

    #[inline]
    pub(super) fn begin(beginning: Beginning) -> Account {
        let span = beginning.span;
        let flags = flags(beginning.counted, &span);
        Account {
            record: TaskRecord::new(beginning.now, beginning.kind),
            detail: TaskDetail::new(span.trace_id, span.span_id, beginning.parent, flags),
            scope: TaskScope {
                context: span.context,
                extra: None,
            },
        }
    }
}

#[inline]
fn flags(counted: bool, span: &Begun) -> u8 {
    let counted = if counted { COUNTED } else { 0 };
    let keeping = match span.keeping {
        SpanKeeping::None => 0,
        SpanKeeping::Ours => HAS_SPAN,
        SpanKeeping::Foreign => HAS_SPAN | FOREIGN_SPAN,
    };
    let unborn = match span.unborn {
        None => 0,
        Some(Unborn::Child) => UNBORN_SPAN,
        Some(Unborn::Root) => UNBORN_SPAN | ROOT_SPAN,
    };
    counted | keeping | unborn
}

impl Process<'_> {
    /// A recorder takes a process over that was spawned without one and has not been polled.
    pub(super) fn adopt(&mut self, account: Account) {
        self.record.set_kind(account.record.kind());
        let detail = account.detail;
        let span_id = SpanId::from(detail.span_id());
        self.detail
            .identify(detail.trace_id(), span_id, detail.flags());
        *self.scope = account.scope;
    }
}
