//! What is watched while a program runs: the fate of each of its bodies, by number, and whatever is
//! wrong at the very moment.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context as TaskContext, Poll, Waker};

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt};
use parking_lot::Mutex;
use telemetry_rt::sync;
use telemetry_rt::task::{AbortHandle, Id, JoinError};

pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a body ends with.
pub type Out = Result<Output, Output>;

/// As what a body ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Root,
    Task,
    Function,
    /// A span of the user's.
    Span,
}

/// How a body ended that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Value,
    Refused,
    Panicked,
}

/// What has happened to a body.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// `None` if it never began, or not as a thing of its own.
    pub kind: Option<Kind>,
    /// What span was current where it was made.
    pub parent: Option<SpanId>,
    pub polls: usize,
    pub drops: usize,
    pub outputs_made: usize,
    pub outputs_dropped: usize,
    pub ended: Option<Ended>,
    /// Whether anybody has asked that it be aborted.
    pub aborted: bool,
    /// Whether its handle has said that it is over.
    pub over: bool,
    is_polled: bool,
}

pub struct World {
    fates: Vec<Mutex<Fate>>,
    wrongs: Mutex<Vec<String>>,
    aborts: Mutex<Vec<(usize, AbortHandle)>>,
    wakers: Mutex<Vec<Waker>>,
    pub channels: [Channel; 2],
    /// How many futures were processes within others.
    pub futures: AtomicUsize,
    /// Whether the runtime ends: from then on everything may be cancelled.
    pub ends: AtomicBool,
}

impl World {
    pub fn new(bodies: usize) -> Arc<World> {
        Arc::new(World {
            fates: (0..bodies).map(|_| Mutex::default()).collect(),
            wrongs: Mutex::default(),
            aborts: Mutex::default(),
            wakers: Mutex::default(),
            channels: [Channel::new(), Channel::new()],
            futures: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        })
    }

    pub fn wrong(&self, wrong: String) {
        self.wrongs.lock().push(wrong);
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.wrongs.lock().clone()
    }

    pub fn fates(&self) -> Vec<Fate> {
        self.fates.iter().map(|fate| fate.lock().clone()).collect()
    }

    pub fn change(&self, number: usize, change: impl FnOnce(&mut Fate)) {
        change(&mut self.fates[number].lock());
    }

    /// Something of its own begins, below what is current here.
    pub fn begins(&self, number: usize, kind: Kind) {
        self.change(number, |fate| {
            fate.kind = Some(kind);
            fate.parent = Some(current_span());
        });
    }

    pub fn spawned(&self, number: usize, abort: AbortHandle) {
        self.aborts.lock().push((number, abort));
    }

    /// The number of a task that was spawned.
    pub fn number_of(&self, id: Id) -> Option<usize> {
        let aborts = self.aborts.lock();
        let found = aborts.iter().find(|(_, abort)| abort.id() == id);
        found.map(|(number, _)| *number)
    }

    pub fn is_dropped(&self, number: usize) -> bool {
        self.fates[number].lock().drops > 0
    }

    pub fn asked_to_abort(&self, number: usize) {
        self.change(number, |fate| fate.aborted = true);
    }

    pub fn abort_any(&self, which: usize) {
        let aborts = self.aborts.lock();
        if aborts.is_empty() {
            return;
        }
        let (number, abort) = aborts[which % aborts.len()].clone();
        drop(aborts);
        self.asked_to_abort(number);
        abort.abort();
    }

    /// What is kept beyond the end of the runtime is used then, and let go.
    pub fn use_what_is_left(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
        for (number, abort) in std::mem::take(&mut *self.aborts.lock()) {
            if !abort.is_finished() {
                self.wrong(format!("#{number} is not finished after the end"));
            }
            abort.abort();
        }
    }

    /// A handle has told how a task or function is over.
    pub fn joined(&self, number: usize, result: Result<Out, JoinError>) {
        let told = match &result {
            Ok(Ok(output)) => output.told(number, Ended::Value),
            Ok(Err(output)) => output.told(number, Ended::Refused),
            Err(error) if error.is_cancelled() => Ok(None),
            Err(_) => Ok(Some(Ended::Panicked)),
        };
        let mut fate = self.fates[number].lock();
        if std::mem::replace(&mut fate.over, true) {
            self.wrong(format!("#{number} is joined twice"));
        }
        let may_be_cancelled = fate.aborted || self.ends.load(SeqCst);
        let complaint = match told {
            Err(other) => Some(format!("gave the output of #{other}")),
            Ok(told) if told != fate.ended => Some(format!("said {told:?}")),
            Ok(None) if !may_be_cancelled => Some("said cancelled, and nobody asked".to_owned()),
            Ok(_) if fate.drops != 1 => Some("said it is over".to_owned()),
            Ok(_) => None,
        };
        if let Some(complaint) = complaint {
            self.wrong(format!("the handle of #{number} {complaint}: {:?}", *fate));
        }
        drop(fate);
        // The output goes without the lock, which its drop takes.
        drop(result);
    }
}

/// The span that is current on this thread.
pub fn current_span() -> SpanId {
    Context::current().span().span_context().span_id()
}

// ----- futures and outputs that are watched -----

/// Belongs to a body that runs as a thing of its own, and goes with it.
pub struct Alive {
    pub world: Arc<World>,
    pub number: usize,
}

impl Alive {
    /// Makes the output that the body ends with.
    pub fn output(&self) -> Output {
        self.world
            .change(self.number, |fate| fate.outputs_made += 1);
        Output {
            world: Arc::clone(&self.world),
            number: self.number,
        }
    }

    /// The body is polled, or called.
    pub fn enter(&self) -> Entered<'_> {
        let mut fate = self.world.fates[self.number].lock();
        fate.polls += 1;
        if fate.is_polled || fate.over || fate.ended.is_some() || fate.drops > 0 {
            let wrong = format!("#{} is polled: {:?}", self.number, *fate);
            self.world.wrong(wrong);
        }
        fate.is_polled = true;
        Entered(self)
    }

    pub fn ended(&self, out: &Out) {
        let ended = match out {
            Ok(_) => Ended::Value,
            Err(_) => Ended::Refused,
        };
        self.world
            .change(self.number, |fate| fate.ended = Some(ended));
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut fate = self.world.fates[self.number].lock();
        fate.drops += 1;
        if fate.is_polled || fate.over {
            let wrong = format!("#{} is dropped: {:?}", self.number, *fate);
            self.world.wrong(wrong);
        }
    }
}

/// A poll or call, until it is over.
pub struct Entered<'a>(&'a Alive);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.world.change(self.0.number, |fate| {
            fate.is_polled = false;
            if std::thread::panicking() {
                fate.ended = Some(Ended::Panicked);
            }
        });
    }
}

/// The future of a body that is a thing of its own.
pub struct Watched {
    // Dropped in this order: what is inside is gone before the body counts as dropped.
    inside: Boxed<Result<(), ()>>,
    alive: Alive,
}

impl Watched {
    pub fn new(alive: Alive, inside: Boxed<Result<(), ()>>) -> Watched {
        Watched { inside, alive }
    }
}

impl Future for Watched {
    type Output = Out;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Out> {
        let this = &mut *self;
        let entered = this.alive.enter();
        let Poll::Ready(result) = this.inside.as_mut().poll(cx) else {
            keep_one(&mut this.alive.world.wakers.lock(), cx);
            return Poll::Pending;
        };
        let output = this.alive.output();
        let out = match result {
            Ok(()) => Ok(output),
            Err(()) => Err(output),
        };
        drop(entered);
        this.alive.ended(&out);
        Poll::Ready(out)
    }
}

/// Keeps some wakers for later.
fn keep_one(wakers: &mut Vec<Waker>, cx: &TaskContext<'_>) {
    if wakers.len() < 8 && !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

/// What a body returns.
pub struct Output {
    world: Arc<World>,
    number: usize,
}

impl Output {
    pub fn number(&self) -> usize {
        self.number
    }

    fn told(&self, number: usize, ended: Ended) -> Result<Option<Ended>, usize> {
        match self.number == number {
            true => Ok(Some(ended)),
            false => Err(self.number),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.world
            .change(self.number, |fate| fate.outputs_dropped += 1);
    }
}

// ----- channels -----

/// A channel with room for one message, and which messages went in and came out.
pub struct Channel {
    sender: sync::mpsc::Sender<usize>,
    receiver: sync::Mutex<sync::mpsc::Receiver<usize>>,
    begun: AtomicUsize,
    sent: Mutex<BTreeSet<usize>>,
    received: Mutex<BTreeSet<usize>>,
}

impl Channel {
    fn new() -> Channel {
        let (sender, receiver) = sync::mpsc::channel(1);
        Channel {
            sender,
            receiver: sync::Mutex::new(receiver),
            begun: AtomicUsize::new(0),
            sent: Mutex::default(),
            received: Mutex::default(),
        }
    }

    pub async fn send(&self) {
        let message = self.begun.fetch_add(1, SeqCst);
        if self.sender.send(message).await.is_ok() {
            self.sent.lock().insert(message);
        }
    }

    pub async fn receive(&self, world: &World) {
        let message = self.receiver.lock().await.recv().await;
        let message = message.expect("the sender is there");
        self.keep(world, message);
    }

    fn keep(&self, world: &World, message: usize) {
        let is_new = self.received.lock().insert(message);
        if !is_new || message >= self.begun.load(SeqCst) {
            world.wrong(format!("message {message} came, and was not sent once"));
        }
    }

    /// When all is over, all that was sent has come, or waits still.
    pub fn judge(&self, world: &World) {
        let receiver = self.receiver.try_lock();
        let Ok(mut receiver) = receiver else {
            return world.wrong("the channel is in use after the end".to_owned());
        };
        while let Ok(message) = receiver.try_recv() {
            self.keep(world, message);
        }
        let (sent, received) = (self.sent.lock(), self.received.lock());
        let lost: Vec<_> = sent.difference(&received).collect();
        if !lost.is_empty() {
            world.wrong(format!("messages {lost:?} were sent and are lost"));
        }
    }
}
