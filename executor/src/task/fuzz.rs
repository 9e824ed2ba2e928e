//! Does a task do what a plain model of it does, whatever is done to it in whatever order? For the
//! fuzzer, which chooses the order; `tests` walks through the orders that somebody thought of.
//!
//! All is on one thread, with a scheduler that only keeps what is scheduled. The model of a task is
//! `Model`: whether it waits in the queue, how it is over, and what was dropped.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{Config, Meta, ProcessType, Recorder, Spawning};

use super::{AbortHandle, Id, JoinError, JoinHandle, Notified, Pen, Schedule, Slot, Spawned, Task};

const MOST_TASKS: usize = 4;

/// Does the steps that these bytes name, two bytes each: what, and to which task.
pub(crate) fn run(bytes: &[u8]) {
    let mut bench = Bench::new();
    for step in bytes.chunks_exact(2) {
        bench.step(step[0], step[1]);
        bench.compare();
    }
    bench.end();
}

/// What the future does.
#[derive(Clone, Copy)]
struct Script {
    pending: u8,
    wakes_itself: bool,
    poll_panics: bool,
    drop_panics: bool,
    output_panics: bool,
}

impl Script {
    fn of(byte: u8) -> Script {
        Script {
            pending: byte & 3,
            wakes_itself: byte & 4 != 0,
            poll_panics: byte & 8 != 0,
            drop_panics: byte & 16 != 0,
            output_panics: byte & 32 != 0,
        }
    }
}

// ----- what is watched -----

#[derive(Default)]
struct Counts {
    polls: Cell<usize>,
    future_drops: Cell<usize>,
    output_drops: Cell<usize>,
}

fn count(what: &Cell<usize>) {
    what.set(what.get() + 1);
}

/// A panic that no hook hears of: the fuzzer's ends the process.
fn planned(panics: bool) {
    if panics && !std::thread::panicking() {
        resume_unwind(Box::new("planned"));
    }
}

struct Probe {
    counts: Rc<Counts>,
    waker: Rc<RefCell<Option<Waker>>>,
    script: Script,
}

struct Output {
    counts: Rc<Counts>,
    panics: bool,
}

impl Future for Probe {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let polls = self.counts.polls.get();
        count(&self.counts.polls);
        let before = self.waker.replace(Some(cx.waker().clone()));
        drop(before);
        if polls < usize::from(self.script.pending) {
            if self.script.wakes_itself {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        planned(self.script.poll_panics);
        Poll::Ready(Output {
            counts: Rc::clone(&self.counts),
            panics: self.script.output_panics,
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        count(&self.counts.future_drops);
        planned(self.script.drop_panics);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        count(&self.counts.output_drops);
        planned(self.panics);
    }
}

#[derive(Default)]
struct Joined(AtomicUsize);

impl Wake for Joined {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Keeps what is scheduled, and of which task it is.
#[derive(Clone)]
struct ByHand {
    number: usize,
    ready: Rc<RefCell<VecDeque<(usize, Notified)>>>,
    released: Rc<Cell<usize>>,
}

impl Schedule for ByHand {
    fn schedule(&self, task: Notified) {
        self.ready.borrow_mut().push_back((self.number, task));
    }

    fn schedule_again(&self, task: Notified) {
        self.schedule(task);
    }

    fn release(&self, _slot: Slot) {
        count(&self.released);
    }
}

// ----- the model -----

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Value,
    Cancelled,
    Panicked,
}

struct Model {
    script: Script,
    polls: usize,
    is_queued: bool,
    is_aborted: bool,
    over: Option<Over>,
    /// Whether the handle waits with a waker.
    is_awaited: bool,
    joins: usize,
    output_is_dropped: bool,
}

impl Model {
    fn woken(&mut self) -> bool {
        self.over.is_none() && !std::mem::replace(&mut self.is_queued, true)
    }

    /// It is its turn; tells whether it is queued again.
    fn turn(&mut self, has_handle: bool) -> bool {
        self.is_queued = false;
        if self.is_aborted {
            self.ends(Over::Cancelled, has_handle);
            return false;
        }
        self.polls += 1;
        if self.polls <= usize::from(self.script.pending) {
            self.is_queued = self.script.wakes_itself;
            return self.is_queued;
        }
        match self.script.poll_panics {
            true => self.ends(Over::Panicked, has_handle),
            false => self.ends(Over::Value, has_handle),
        }
        false
    }

    fn ends(&mut self, over: Over, has_handle: bool) {
        self.over = Some(match self.script.drop_panics {
            true => Over::Panicked,
            false => over,
        });
        self.output_is_dropped =
            over == Over::Value && (self.over == Some(Over::Panicked) || !has_handle);
        self.joins += usize::from(std::mem::take(&mut self.is_awaited));
    }
}

// ----- both -----

struct Watched {
    model: Model,
    counts: Rc<Counts>,
    waker: Rc<RefCell<Option<Waker>>>,
    joined: Arc<Joined>,
    join: Option<JoinHandle<Output>>,
    abort: Option<AbortHandle>,
    /// Keeps the task, as the registry of a runtime does.
    registered: AbortHandle,
}

struct Bench {
    recorder: Recorder,
    ready: Rc<RefCell<VecDeque<(usize, Notified)>>>,
    released: Rc<Cell<usize>>,
    tasks: Vec<Watched>,
    /// The numbers of the tasks that wait for their turn.
    queue: VecDeque<usize>,
}

impl Bench {
    fn new() -> Bench {
        thread_local! {
            static RECORDER: Recorder = Recorder::new(Config::default());
        }
        Bench {
            recorder: RECORDER.with(Clone::clone),
            ready: Rc::default(),
            released: Rc::default(),
            tasks: Vec::new(),
            queue: VecDeque::new(),
        }
    }

    fn step(&mut self, what: u8, which: u8) {
        match what % 10 {
            0 if self.tasks.len() < MOST_TASKS => return self.spawn(Script::of(which)),
            1 | 2 => return self.turn(),
            _ if self.tasks.is_empty() => return,
            _ => {}
        }
        let number = usize::from(which) % self.tasks.len();
        match what % 10 {
            3 => self.wake(number, false),
            4 => self.wake(number, true),
            5 => self.abort(number),
            6 => self.poll_join(number),
            7 => self.drop_join(number),
            8 => self.tasks[number].keep_or_drop_abort(),
            _ => drop(self.tasks[number].waker.take()),
        }
    }

    fn spawn(&mut self, script: Script) {
        let number = self.tasks.len();
        let (counts, waker) = (Rc::<Counts>::default(), Rc::default());
        let scheduler = ByHand {
            number,
            ready: Rc::clone(&self.ready),
            released: Rc::clone(&self.released),
        };
        let Spawned { notified, join } = Task {
            future: Probe {
                counts: Rc::clone(&counts),
                waker: Rc::clone(&waker),
                script,
            },
            scheduler: scheduler.clone(),
            id: Id::next(),
            account: self.recorder.spawned(Spawning {
                meta: const { &Meta::of::<Probe, Output>(ProcessType::Task) },
                name: None,
                site: Location::caller(),
                lineage: Default::default(),
            }),
            awaited_as: Waiting::Join,
        }
        .into_cell();
        scheduler.schedule(notified);
        self.queue.push_back(number);
        self.tasks.push(Watched {
            model: Model {
                script,
                polls: 0,
                is_queued: true,
                is_aborted: false,
                over: None,
                is_awaited: false,
                joins: 0,
                output_is_dropped: false,
            },
            counts,
            waker,
            joined: Arc::default(),
            registered: join.abort_handle(),
            join: Some(join),
            abort: None,
        });
    }

    fn turn(&mut self) {
        let Some((number, task)) = self.ready.borrow_mut().pop_front() else {
            return assert!(self.queue.is_empty());
        };
        assert_eq!(self.queue.pop_front(), Some(number));
        task.run(&Pen::Own(&self.recorder.other()));
        let task = &mut self.tasks[number];
        if task.model.turn(task.join.is_some()) {
            self.queue.push_back(number);
        }
    }

    fn wake(&mut self, number: usize, by_value: bool) {
        let waker = self.tasks[number].waker.borrow().clone();
        let Some(waker) = waker else {
            return;
        };
        match by_value {
            true => waker.wake(),
            false => waker.wake_by_ref(),
        }
        if self.tasks[number].model.woken() {
            self.queue.push_back(number);
        }
    }

    fn abort(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        match (&task.join, &task.abort) {
            (Some(join), _) => join.abort(),
            (None, Some(abort)) => abort.abort(),
            (None, None) => return,
        }
        task.model.is_aborted |= task.model.over.is_none();
        if task.model.woken() {
            self.queue.push_back(number);
        }
    }

    fn poll_join(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        let Some(join) = &mut task.join else {
            return;
        };
        let waker = Waker::from(Arc::clone(&task.joined));
        match Pin::new(join).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                assert_eq!(task.model.over, None);
                task.model.is_awaited = true;
            }
            Poll::Ready(result) => {
                assert_eq!(Some(told(&result)), task.model.over);
                task.model.output_is_dropped |= result.is_ok();
                task.join = None;
                drop_planned(result);
            }
        }
    }

    fn drop_join(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        task.model.is_awaited = false;
        if task.join.take().is_some() {
            task.model.output_is_dropped |= task.model.over == Some(Over::Value);
        }
    }

    fn compare(&self) {
        let ready: Vec<usize> = self.ready.borrow().iter().map(|(task, _)| *task).collect();
        assert!(
            self.queue.iter().eq(&ready),
            "{ready:?}, not {:?}",
            self.queue
        );
        self.tasks.iter().for_each(Watched::compare);
        let over = self.tasks.iter().filter(|task| task.model.over.is_some());
        assert_eq!(self.released.get(), over.count());
    }

    /// All is aborted and dropped, as at the end of a runtime.
    fn end(self) {
        for task in &self.tasks {
            task.registered.abort();
        }
        let pen = self.recorder.other();
        loop {
            let next = self.ready.borrow_mut().pop_front();
            match next {
                Some((_, task)) => task.run_cancelled(&Pen::Own(&pen)),
                None => break,
            }
        }
        for task in self.tasks {
            drop(task.waker.take());
            drop(task.join);
            drop((task.abort, task.registered));
            assert_eq!(task.counts.future_drops.get(), 1);
            assert_eq!(Rc::strong_count(&task.counts), 1, "an output is left");
            assert_eq!(Arc::strong_count(&task.joined), 1, "a waker is left");
        }
    }
}

impl Watched {
    fn keep_or_drop_abort(&mut self) {
        self.abort = match (self.abort.take(), &self.join) {
            (None, Some(join)) => Some(join.abort_handle()),
            _ => None,
        };
    }

    fn compare(&self) {
        let (model, counts) = (&self.model, &self.counts);
        let is_over = model.over.is_some();
        assert_eq!(counts.polls.get(), model.polls);
        assert_eq!(counts.future_drops.get(), usize::from(is_over));
        assert_eq!(
            counts.output_drops.get(),
            usize::from(model.output_is_dropped)
        );
        assert_eq!(self.joined.0.load(SeqCst), model.joins);
        if let Some(join) = &self.join {
            assert_eq!(join.is_finished(), is_over);
        }
        if let Some(abort) = &self.abort {
            assert_eq!(abort.is_finished(), is_over);
        }
    }
}

fn told(result: &Result<Output, JoinError>) -> Over {
    match result {
        Ok(_) => Over::Value,
        Err(error) if error.is_cancelled() => Over::Cancelled,
        Err(_) => Over::Panicked,
    }
}

/// Drops an output that may panic.
fn drop_planned<T>(value: T) {
    let drops = std::panic::AssertUnwindSafe(|| drop(value));
    let _ = std::panic::catch_unwind(drops);
}
