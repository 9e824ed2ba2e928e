//! What the moments of a lane look like: slices that nest, and marks between them.
//!
//! The lane is read once, with a stack of the slices that are open. What does not fit is drawn as
//! what it must have been, and marked:
//!
//! | found | drawn |
//! |---|---|
//! | an end without a start, on a lane that has lost moments and has not parked since | from the lane's first moment, `truncated` |
//! | a second end of the poll that ended last: its worker moved on and came back | from the first end, `truncated` |
//! | any other end without a start | without length, `truncated` |
//! | an end of an outer slice while an inner one is open | both end there, the inner one `truncated` |
//! | a park or a theft within a poll | the poll ends there, `truncated`: the worker went on without it |
//! | a slice that is open when the record was taken | until the end of the record, `running` |
//!
//! An arrow hangs on the slice that was begun last before it, as viewers that read one event after
//! the other have it. Where that is not the slice in which the wake happened, or where it happened
//! in none, a slice `wake` without length is put in for it. A process that ends wakes who waits for it
//! when its last poll is over already; that one is where the arrow begins.
//!
//! Of slices that begin at the same time, Perfetto takes the longest first. So what has no length is
//! drawn a nanosecond early: it would else lie in the poll that begins with it, and take its arrow.

use super::arrows::{Arrow, Arrows};
use super::axis::{Axis, Placed};
use crate::record::{FlightRecord, Lane, Moment, Waiting, WakeCause};

/// Something to be drawn, and where.
pub(super) struct Item {
    pub(super) at: u64,
    late: bool,
    pub(super) lane: u32,
    order: i64,
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Slice(Slice),
    ArrowStart(u32),
    ArrowEnd(u32),
    Stole {
        victim: u16,
        tasks: u32,
    },
    /// A wake that no arrow tells of.
    Woke {
        task: u64,
    },
    /// Moments that were there before the first one.
    Overwritten(u64),
}

#[derive(Clone, Copy)]
pub(super) struct Slice {
    pub(super) end: u64,
    pub(super) of: Of,
    pub(super) running: bool,
    pub(super) truncated: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Poll {
        task: u64,
        /// Kind and cause, if the start was seen.
        start: Option<(u32, WakeCause)>,
        /// If the end was seen: what it waits for then, or that it has ended.
        then: Option<Option<Waiting>>,
    },
    Parked,
    Wake,
}

/// All there is to be drawn, in the order in which it is written.
///
/// At the same time, what belongs to one lane stays in order; an arrow comes after the slice that it
/// hangs on, and its end after its start.
pub(super) fn items(record: &FlightRecord, axis: &Axis) -> Vec<Item> {
    let arrows = Arrows::of(record, axis);
    let mut items = Vec::new();
    for (number, lane) in (0..).zip(&record.lanes) {
        Timeline::new(number, axis, &arrows, &mut items).draw(lane);
    }
    items.sort_by_key(|item| (item.at, item.late, item.lane, item.order));
    items
}

/// A slice that has begun and not ended: where it lies among the items.
struct Open {
    item: usize,
    of: Of,
}

/// What was begun last on the lane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The innermost slice that is open.
    Innermost,
    /// A slice `wake`, at this time.
    Wake(u64),
    /// The outermost poll, which has ended since, at this time.
    Ended(u64),
    /// Something that has ended since.
    Other,
}

struct Timeline<'a> {
    lane: u32,
    axis: &'a Axis,
    arrows: &'a Arrows,
    items: &'a mut Vec<Item>,
    open: Vec<Open>,
    last: Last,
    start: u64,
    /// Whether an outer slice may have begun before the first moment.
    lossy: bool,
    /// The process whose poll ended last, and when.
    ended: Option<(u64, u64)>,
}

impl<'a> Timeline<'a> {
    fn new(
        lane: u32,
        axis: &'a Axis,
        arrows: &'a Arrows,
        items: &'a mut Vec<Item>,
    ) -> Timeline<'a> {
        Timeline {
            lane,
            axis,
            arrows,
            items,
            open: Vec::new(),
            last: Last::Other,
            start: 0,
            lossy: false,
            ended: None,
        }
    }

    fn draw(mut self, lane: &Lane) {
        self.start = self.axis.start_of(lane);
        self.lossy = lane.overwritten > 0;
        if self.lossy {
            self.add(self.start, i64::MIN, What::Overwritten(lane.overwritten));
        }
        for placed in self.axis.moments(lane) {
            self.moment(placed);
        }
        while let Some(open) = self.open.pop() {
            let end = self.axis.end;
            self.finish(&open, |slice| {
                slice.end = end;
                slice.running = true;
            });
        }
    }

    fn moment(&mut self, placed: Placed<'_>) {
        match *placed.moment {
            Moment::PollStarted { task, kind, cause } => {
                let start = Some((kind, cause));
                let then = None;
                self.close_park(placed.at);
                self.begin(placed, Of::Poll { task, start, then });
                if let Some(arrow) = self.arrows.ending_at((self.lane, placed.index)) {
                    self.end_arrow(placed, arrow);
                }
            }
            Moment::PollEnded { task, waiting } => self.end_poll(placed, task, waiting),
            Moment::Woke { task } => self.woke(placed, task),
            Moment::Parked => {
                self.between_polls(placed.at);
                self.begin(placed, Of::Parked);
            }
            Moment::Unparked => self.unparked(placed),
            Moment::Stole { victim, tasks } => {
                self.between_polls(placed.at);
                self.mark(placed, What::Stole { victim, tasks });
            }
        }
    }

    fn begin(&mut self, placed: Placed<'_>, of: Of) {
        let item = self.items.len();
        self.open.push(Open { item, of });
        self.add(placed.at, order(placed, 0), slice(placed.at, of));
        self.last = Last::Innermost;
    }

    fn end_poll(&mut self, placed: Placed<'_>, task: u64, waiting: Option<Waiting>) {
        let of_task = |open: &Open| matches!(open.of, Of::Poll { task: own, .. } if own == task);
        let Some(depth) = self.open.iter().rposition(of_task) else {
            let then = Some(waiting);
            let start = None;
            self.end_unstarted(placed, Of::Poll { task, start, then });
            self.ended = Some((task, placed.at));
            return;
        };
        self.abandon(depth + 1, placed.at);
        self.close(placed.at, |of| {
            if let Of::Poll { then, .. } = of {
                *then = Some(waiting);
            }
        });
        self.ended = Some((task, placed.at));
    }

    fn unparked(&mut self, placed: Placed<'_>) {
        if !self.close_park(placed.at) {
            self.end_unstarted(placed, Of::Parked);
        }
        self.between_polls(placed.at);
    }

    /// Here the worker was in no poll.
    fn between_polls(&mut self, at: u64) {
        self.abandon(0, at);
        self.lossy = false;
    }

    /// Ends the park that is the innermost slice, if it is one.
    fn close_park(&mut self, at: u64) -> bool {
        let parked = self.open.last().is_some_and(|open| open.of == Of::Parked);
        if parked {
            self.close(at, |_| {});
        }
        parked
    }

    /// Ends all slices from this depth on, whose own ends are not there. Parks need none.
    fn abandon(&mut self, depth: usize, at: u64) {
        for open in self.open.split_off(depth) {
            self.finish(&open, |slice| {
                slice.end = at;
                slice.truncated = slice.of != Of::Parked;
            });
            self.last = Last::Other;
        }
    }

    /// Ends the innermost slice.
    fn close(&mut self, at: u64, then: impl FnOnce(&mut Of)) {
        let Some(open) = self.open.pop() else { return };
        self.finish(&open, |slice| {
            slice.end = at;
            then(&mut slice.of);
        });
        let is_poll = matches!(open.of, Of::Poll { .. }) && self.open.is_empty();
        let took_time = self.items[open.item].at < at;
        self.last = match self.last {
            Last::Innermost if is_poll && took_time => Last::Ended(at),
            _ => Last::Other,
        };
    }

    fn finish(&mut self, open: &Open, change: impl FnOnce(&mut Slice)) {
        if let What::Slice(slice) = &mut self.items[open.item].what {
            change(slice);
        }
    }

    /// An end whose start is not there. The further down on the lane it is found, the further out
    /// it lies around what was found before, and the sooner it has to be written.
    fn end_unstarted(&mut self, placed: Placed<'_>, of: Of) {
        let (at, order) = match (of, self.ended) {
            (Of::Poll { task, .. }, Some((ended, at))) if task == ended => (at, order(placed, 0)),
            _ if self.lossy && self.open.is_empty() => (self.start, -1 - i64::from(placed.index)),
            _ => (placed.at, order(placed, 0)),
        };
        let slice = Slice {
            end: placed.at,
            of,
            running: false,
            truncated: true,
        };
        self.add(at, order, What::Slice(slice));
        self.last = Last::Other;
    }

    fn woke(&mut self, placed: Placed<'_>, task: u64) {
        let Some(arrow) = self.arrows.starting_at((self.lane, placed.index)) else {
            return self.mark(placed, What::Woke { task });
        };
        let at = match self.last {
            Last::Innermost => placed.at,
            Last::Ended(at) if arrow.by_process => at - 1,
            last => {
                let at = self.early(placed.at);
                if last != Last::Wake(placed.at) {
                    self.add(at, order(placed, 0), slice(at, Of::Wake));
                    self.last = Last::Wake(placed.at);
                }
                at
            }
        };
        self.add(at, order(placed, 1), What::ArrowStart(arrow.number));
    }

    /// A nanosecond before this time, but within the slice that is open.
    fn early(&self, at: u64) -> u64 {
        let open = self.open.last().map(|open| self.items[open.item].at);
        at.saturating_sub(1).max(open.unwrap_or(0))
    }

    fn end_arrow(&mut self, placed: Placed<'_>, arrow: Arrow) {
        self.add(placed.at, order(placed, 1), What::ArrowEnd(arrow.number));
        if let Some(item) = self.items.last_mut() {
            item.late = arrow.late;
        }
    }

    fn mark(&mut self, placed: Placed<'_>, what: What) {
        self.add(self.early(placed.at), order(placed, 0), what);
        self.last = Last::Other;
    }

    fn add(&mut self, at: u64, order: i64, what: What) {
        self.items.push(Item {
            at,
            late: false,
            lane: self.lane,
            order,
            what,
        });
    }
}

/// The place among what is drawn of a lane: two for each moment.
fn order(placed: Placed<'_>, second: i64) -> i64 {
    2 * i64::from(placed.index) + second
}

fn slice(at: u64, of: Of) -> What {
    What::Slice(Slice {
        end: at,
        of,
        running: false,
        truncated: false,
    })
}
