//! What is a program? A tree of bodies, each a list of steps and an end.
//!
//! A body runs at most once, so that its number, which is unique in its program, names what came
//! of it. Whatever might wait for ever is given up after a while by whoever awaits it.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;

/// On what a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// One thread whose clock stands still unless there is nothing else to do.
    Paused,
    /// One thread.
    Current,
    Workers(usize),
}

/// What becomes of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// All arrive.
    Whole,
    /// The queue holds so many, and every so manieth batch is refused: some are lost.
    Lossy { queue: usize, refuse: usize },
}

#[derive(Clone, Debug)]
pub struct Program {
    pub root: Body,
    pub export: Export,
    /// Whether the futures given to `timeout` are processes of their own.
    pub trace_futures: bool,
}

/// The future of a task, a part of one, or a function that blocks.
#[derive(Clone)]
pub struct Body {
    pub number: usize,
    pub ops: Vec<Op>,
    pub end: End,
}

/// How a body ends that comes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Value,
    /// With an `Err`.
    Refuse,
    Panic,
    /// Not by itself.
    Forever,
}

/// One step. Numbers of handles and tasks are taken modulo how many there are.
#[derive(Clone, Debug)]
pub enum Op {
    /// Yields so many times.
    Yield(u8),
    /// Sleeps for so many milliseconds.
    Sleep(u8),
    /// Spawns a task, and keeps its handle.
    Spawn(Body),
    /// Gives the pool a function that does the steps of a body that a function can do.
    Function(Body),
    /// Takes out a handle and awaits it; aborts the task when that takes too long.
    Join(u8),
    /// Aborts a task whose handle is kept.
    Abort(u8),
    /// Aborts any task that was spawned so far: an ancestor, a sibling, oneself.
    AbortAny(u8),
    /// Drops a handle.
    Detach(u8),
    /// Sends a message to one of the channels, unless that takes longer than so many milliseconds.
    Send(u8, u8),
    /// Receives a message from one of the channels, in the same way.
    Receive(u8, u8),
    /// Does the body within so many milliseconds, or drops it.
    Timeout(u8, Body),
    /// Does the body with a span open across it, by a guard.
    Guard(Body),
    /// Does the body within a span around it.
    Around(Body),
    /// Does both side by side.
    Both(Body, Body),
    /// Does both side by side until one is done, and drops the other.
    First(Body, Body),
    /// Spawns all into a set, which ends like this.
    Set(Vec<Body>, SetEnd),
    /// On a runtime with workers: blocks the worker with the body.
    InPlace(Body),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetEnd {
    /// All are joined; aborted when that takes too long.
    Join,
    Shutdown,
    Drop,
    Detach,
}

/// Short, as programs are printed as a whole.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:?} => {:?}", self.number, self.ops, self.end)
    }
}

pub fn program() -> impl Strategy<Value = Program> {
    let simple = simple_op().boxed();
    let op = simple.prop_recursive(4, 40, 5, |op| op_with(body(op.boxed())));
    let root = body(op.boxed());
    let with = (export(), any::<bool>());
    (root, with).prop_map(|(root, (export, trace_futures))| {
        let mut program = Program {
            root,
            export,
            trace_futures,
        };
        program.number_bodies();
        program
    })
}

fn export() -> impl Strategy<Value = Export> {
    prop_oneof![
        3 => Just(Export::Whole),
        1 => (1..8_usize, 1..4_usize).prop_map(|(queue, refuse)| Export::Lossy { queue, refuse }),
    ]
}

fn simple_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Op::Yield),
        2 => (0..4_u8).prop_map(Op::Sleep),
        4 => any::<u8>().prop_map(Op::Join),
        2 => any::<u8>().prop_map(Op::Abort),
        1 => any::<u8>().prop_map(Op::AbortAny),
        1 => any::<u8>().prop_map(Op::Detach),
        1 => (any::<u8>(), 0..3_u8).prop_map(|(to, time)| Op::Send(to, time)),
        1 => (any::<u8>(), 0..3_u8).prop_map(|(from, time)| Op::Receive(from, time)),
    ]
}

fn op_with(body: BoxedStrategy<Body>) -> impl Strategy<Value = Op> {
    let pair = (body.clone(), body.clone());
    let set_end = prop_oneof![
        Just(SetEnd::Join),
        Just(SetEnd::Shutdown),
        Just(SetEnd::Drop),
        Just(SetEnd::Detach)
    ];
    prop_oneof![
        6 => body.clone().prop_map(Op::Spawn),
        2 => body.clone().prop_map(Op::Function),
        1 => (0..4_u8, body.clone()).prop_map(|(time, body)| Op::Timeout(time, body)),
        1 => body.clone().prop_map(Op::Guard),
        1 => body.clone().prop_map(Op::Around),
        1 => pair.clone().prop_map(|(one, other)| Op::Both(one, other)),
        1 => pair.prop_map(|(one, other)| Op::First(one, other)),
        1 => (vec(body.clone(), 0..4), set_end).prop_map(|(bodies, end)| Op::Set(bodies, end)),
        1 => body.prop_map(Op::InPlace),
    ]
}

fn body(op: BoxedStrategy<Op>) -> BoxedStrategy<Body> {
    let end = prop_oneof![
        8 => Just(End::Value),
        2 => Just(End::Refuse),
        1 => Just(End::Panic),
        1 => Just(End::Forever),
    ];
    let body = (vec(op, 0..6), end).prop_map(|(ops, end)| Body {
        number: 0,
        ops,
        end,
    });
    body.boxed()
}

impl Program {
    /// How many bodies there are.
    pub fn bodies(&self) -> usize {
        let mut bodies = 0;
        self.root.clone().visit(&mut |_| bodies += 1);
        bodies
    }

    fn number_bodies(&mut self) {
        let mut next = 0;
        self.root.visit(&mut |body| {
            body.number = next;
            next += 1;
        });
    }
}

impl Body {
    /// Visits this body and all within it.
    fn visit(&mut self, visit: &mut dyn FnMut(&mut Body)) {
        visit(self);
        for op in &mut self.ops {
            op.bodies().into_iter().for_each(|body| body.visit(visit));
        }
    }
}

impl Op {
    fn bodies(&mut self) -> Vec<&mut Body> {
        match self {
            Op::Spawn(body)
            | Op::Function(body)
            | Op::Timeout(_, body)
            | Op::Guard(body)
            | Op::Around(body)
            | Op::InPlace(body) => vec![body],
            Op::Both(one, other) | Op::First(one, other) => vec![one, other],
            Op::Set(bodies, _) => bodies.iter_mut().collect(),
            _ => Vec::new(),
        }
    }
}
