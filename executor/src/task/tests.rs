//! The life of a single task, step by step, with a scheduler that does nothing by itself.
//!
//! Each test walks through one order of events, and compares what was polled, scheduled and
//! dropped after every step.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use telemetry_rt_reactor::leaf::Waiting;
use telemetry_rt_telemetry::record::{Config, Meta, ProcessType, Recorder, Spawning};

use super::*;

type Queue = Rc<RefCell<VecDeque<Notified>>>;

/// Keeps what is scheduled, for the test to run.
#[derive(Clone)]
struct ByHand {
    ready: Queue,
    released: Rc<std::cell::Cell<usize>>,
}

impl Schedule for ByHand {
    fn schedule(&self, task: Notified) {
        self.ready.borrow_mut().push_back(task);
    }

    fn schedule_again(&self, task: Notified) {
        self.ready.borrow_mut().push_back(task);
    }

    fn release(&self, _slot: Slot) {
        self.released.set(self.released.get() + 1);
    }
}

/// Counts what happens to a future and to its output.
#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    future_drops: AtomicUsize,
    output_drops: AtomicUsize,
}

impl Counts {
    fn seen(&self) -> (usize, usize, usize) {
        (
            self.polls.load(SeqCst),
            self.future_drops.load(SeqCst),
            self.output_drops.load(SeqCst),
        )
    }
}

/// What the probe does.
#[derive(Clone, Copy, Default)]
struct Script {
    /// How often it is pending before it is ready.
    pending: usize,
    wake_itself: bool,
    panic_in_poll: bool,
    panic_in_drop: bool,
    output_panics: bool,
}

struct Probe {
    counts: Arc<Counts>,
    waker: Arc<parking_lot::Mutex<Option<Waker>>>,
    script: Script,
}

struct Output {
    counts: Arc<Counts>,
    panics: bool,
}

impl Future for Probe {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let polls = self.counts.polls.fetch_add(1, SeqCst);
        assert!(!self.script.panic_in_poll, "as the script says");
        *self.waker.lock() = Some(cx.waker().clone());
        if polls < self.script.pending {
            if self.script.wake_itself {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        Poll::Ready(Output {
            counts: Arc::clone(&self.counts),
            panics: self.script.output_panics,
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.counts.future_drops.fetch_add(1, SeqCst);
        assert!(!self.script.panic_in_drop, "as the script says");
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.counts.output_drops.fetch_add(1, SeqCst);
        assert!(!self.panics, "as the script says");
    }
}

/// A task and everything to watch it with.
struct Bench {
    ready: Queue,
    released: Rc<std::cell::Cell<usize>>,
    counts: Arc<Counts>,
    waker: Arc<parking_lot::Mutex<Option<Waker>>>,
    recorder: Recorder,
    joined: Arc<Joined>,
    join: Option<JoinHandle<Output>>,
}

#[derive(Default)]
struct Joined(AtomicUsize);

impl Wake for Joined {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Bench {
    fn spawn(script: Script) -> Bench {
        let recorder = Recorder::new(Config::default());
        let counts = Arc::<Counts>::default();
        let waker = Arc::default();
        let scheduler = ByHand {
            ready: Queue::default(),
            released: Rc::default(),
        };
        let Spawned { notified, join } = Task {
            future: Probe {
                counts: Arc::clone(&counts),
                waker: Arc::clone(&waker),
                script,
            },
            scheduler: scheduler.clone(),
            id: Id::next(),
            account: recorder.spawned(Spawning {
                meta: const { &Meta::of::<Probe, Output>(ProcessType::Task) },
                name: None,
                site: Location::caller(),
                lineage: Default::default(),
            }),
            awaited_as: Waiting::Join,
        }
        .into_cell();
        scheduler.schedule(notified);
        Bench {
            ready: scheduler.ready,
            released: scheduler.released,
            counts,
            waker,
            recorder,
            joined: Arc::default(),
            join: Some(join),
        }
    }

    /// Runs one task that is ready. `false` if none is.
    fn step(&self) -> bool {
        let Some(task) = self.ready.borrow_mut().pop_front() else {
            return false;
        };
        task.run(&Pen::Own(&self.recorder.other()));
        true
    }

    fn waker(&self) -> Waker {
        self.waker.lock().clone().expect("the task was polled")
    }

    fn poll_join(&mut self) -> Poll<Result<Output, JoinError>> {
        let waker = Waker::from(Arc::clone(&self.joined));
        let join = self.join.as_mut().expect("still held");
        Pin::new(join).poll(&mut Context::from_waker(&waker))
    }

    fn joins(&self) -> usize {
        self.joined.0.load(SeqCst)
    }

    fn ready(&self) -> usize {
        self.ready.borrow().len()
    }
}

/// What a test leaves behind is dropped, as a scheduler does at its end.
impl Drop for Bench {
    fn drop(&mut self) {
        // A waker of the task in the task's own waker slot would keep it alive.
        let waker = self.waker.lock().take();
        if let Some(join) = &self.join {
            join.abort();
        } else if let Some(waker) = &waker {
            waker.wake_by_ref();
        }
        drop(waker);
        let pen = self.recorder.other();
        loop {
            let task = self.ready.borrow_mut().pop_front();
            match task {
                Some(task) => task.run_cancelled(&Pen::Own(&pen)),
                None => return,
            }
        }
    }
}

#[test]
fn a_task_that_is_ready_at_once_is_polled_once_and_joined() {
    let mut bench = Bench::spawn(Script::default());
    assert!(bench.poll_join().is_pending());
    assert!(bench.step());
    assert_eq!(bench.counts.seen(), (1, 1, 0));
    assert_eq!((bench.joins(), bench.released.get()), (1, 1));
    let Poll::Ready(Ok(output)) = bench.poll_join() else {
        panic!("not joined");
    };
    drop(output);
    assert_eq!(bench.counts.seen(), (1, 1, 1));
    assert!(!bench.step());
}

#[test]
fn wakes_while_idle_make_one_poll() {
    let bench = Bench::spawn(Script {
        pending: 1,
        ..Script::default()
    });
    bench.step();
    assert_eq!(bench.ready(), 0);
    let waker = bench.waker();
    waker.wake_by_ref();
    let clone = waker.clone();
    waker.wake();
    clone.wake();
    assert_eq!(bench.ready(), 1);
    bench.step();
    assert_eq!(bench.counts.seen(), (2, 1, 0));
}

#[test]
fn a_task_that_wakes_itself_is_queued_after_its_poll() {
    let bench = Bench::spawn(Script {
        pending: 3,
        wake_itself: true,
        ..Script::default()
    });
    let mut steps = 0;
    while bench.step() {
        steps += 1;
    }
    assert_eq!(steps, 4);
    assert_eq!(bench.counts.seen(), (4, 1, 0));
}

#[test]
fn a_waker_that_outlives_the_task_does_nothing() {
    let mut bench = Bench::spawn(Script::default());
    bench.step();
    let waker = bench.waker();
    drop(bench.join.take());
    waker.wake_by_ref();
    assert_eq!(bench.ready(), 0);
    let clone = waker.clone();
    waker.wake();
    drop(clone);
    assert_eq!(bench.counts.seen(), (1, 1, 1));
}

#[test]
fn an_output_that_nobody_wants_is_dropped_by_the_task() {
    let mut bench = Bench::spawn(Script::default());
    drop(bench.join.take());
    bench.step();
    assert_eq!(bench.counts.seen(), (1, 1, 1));
}

#[test]
fn an_output_that_was_not_taken_is_dropped_with_the_handle() {
    let mut bench = Bench::spawn(Script::default());
    bench.step();
    assert_eq!(bench.counts.seen(), (1, 1, 0));
    drop(bench.join.take());
    assert_eq!(bench.counts.seen(), (1, 1, 1));
}

#[test]
fn an_abort_before_the_first_poll_never_polls() {
    let mut bench = Bench::spawn(Script::default());
    bench.join.as_ref().unwrap().abort();
    assert_eq!(bench.ready(), 1);
    bench.step();
    assert_eq!(bench.counts.seen(), (0, 1, 0));
    let Poll::Ready(Err(error)) = bench.poll_join() else {
        panic!("not joined");
    };
    assert!(error.is_cancelled());
}

#[test]
fn an_abort_of_an_idle_task_drops_its_future_at_the_next_step_and_not_before() {
    let mut bench = Bench::spawn(Script {
        pending: 9,
        ..Script::default()
    });
    bench.step();
    let abort = bench.join.as_ref().unwrap().abort_handle();
    abort.abort();
    abort.abort();
    assert_eq!((bench.ready(), bench.counts.seen()), (1, (1, 0, 0)));
    bench.step();
    assert_eq!(bench.counts.seen(), (1, 1, 0));
    assert!(abort.is_finished());
    assert!(matches!(bench.poll_join(), Poll::Ready(Err(error)) if error.is_cancelled()));
}

#[test]
fn an_abort_after_completion_leaves_the_output() {
    let mut bench = Bench::spawn(Script::default());
    bench.step();
    bench.join.as_ref().unwrap().abort();
    assert_eq!(bench.ready(), 0);
    assert!(matches!(bench.poll_join(), Poll::Ready(Ok(_))));
}

#[test]
fn a_panic_in_a_poll_drops_the_future_and_reaches_the_handle() {
    let mut bench = Bench::spawn(Script {
        panic_in_poll: true,
        ..Script::default()
    });
    bench.step();
    assert_eq!(bench.counts.seen(), (1, 1, 0));
    let Poll::Ready(Err(error)) = bench.poll_join() else {
        panic!("not joined");
    };
    assert!(error.is_panic());
    assert!(error.to_string().contains("as the script says"), "{error}");
}

#[test]
fn a_future_that_panics_in_drop_is_dropped_once_and_the_panic_reaches_the_handle() {
    for pending in [0, 9] {
        let mut bench = Bench::spawn(Script {
            pending,
            panic_in_drop: true,
            ..Script::default()
        });
        bench.step();
        if pending > 0 {
            bench.join.as_ref().unwrap().abort();
            bench.step();
        }
        assert_eq!(bench.counts.future_drops.load(SeqCst), 1);
        assert!(matches!(bench.poll_join(), Poll::Ready(Err(error)) if error.is_panic()));
    }
}

#[test]
fn an_output_that_panics_in_drop_harms_nobody() {
    let script = Script {
        output_panics: true,
        ..Script::default()
    };
    let mut bench = Bench::spawn(script);
    drop(bench.join.take());
    bench.step();
    assert_eq!(bench.counts.seen(), (1, 1, 1));

    let mut bench = Bench::spawn(script);
    bench.step();
    drop(bench.join.take());
    assert_eq!(bench.counts.seen(), (1, 1, 1));
}

#[test]
fn the_waker_of_the_last_poll_of_the_handle_is_the_one_that_is_woken() {
    let mut bench = Bench::spawn(Script::default());
    assert!(bench.poll_join().is_pending());
    let first = std::mem::take(&mut bench.joined);
    assert!(bench.poll_join().is_pending());
    bench.step();
    assert_eq!((first.0.load(SeqCst), bench.joins()), (0, 1));
    assert_eq!(Arc::strong_count(&first), 1, "a waker was kept");
}

#[test]
fn a_handle_that_is_dropped_drops_its_waker() {
    let mut bench = Bench::spawn(Script {
        pending: 1,
        ..Script::default()
    });
    assert!(bench.poll_join().is_pending());
    assert_eq!(Arc::strong_count(&bench.joined), 2);
    drop(bench.join.take());
    assert_eq!(Arc::strong_count(&bench.joined), 1);
}
