//! Does everybody get a turn while others never stop? What is waited for is counted in polls of
//! those others, not in time, so that it is the same on every machine; on runtimes with one thread
//! for tasks, because with more the operating system has a say in it, too.
#![cfg(all(feature = "telemetry", feature = "tokio-io"))]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::UnixStream;
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::sync::Notify;
use telemetry_rt::task::{JoinSet, yield_now};
use telemetry_rt::time::{Duration, Instant, sleep_until, timeout};

/// A worker looks at other queues each 31 turns by default, and at the driver each 61 unless that
/// was some 50 µs ago: at most a thousand of the shortest polls. Ten times that is a bound that
/// only starvation exceeds.
const SOON: u64 = 10_000;

/// As many never stop.
const BUSY: usize = 4;

/// Runs on each runtime that has one thread for tasks. `test` runs as a task.
fn on_one<F>(test: impl Fn(Load) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut worker = Builder::new_multi_thread();
    worker.worker_threads(1);
    for mut builder in [Builder::new_current_thread(), worker] {
        let runtime = builder.enable_all().build().unwrap();
        let load = Load::default();
        let task = runtime.spawn(test(load.clone()));
        runtime.block_on(task).unwrap();
        load.stops.store(true, SeqCst);
    }
}

/// Those who never stop.
#[derive(Clone, Default)]
struct Load {
    polls: Arc<AtomicU64>,
    stops: Arc<AtomicBool>,
}

impl Load {
    fn polls(&self) -> u64 {
        self.polls.load(SeqCst)
    }

    /// Whether to go on, after one poll more.
    fn goes_on(&self) -> bool {
        self.polls.fetch_add(1, SeqCst);
        !self.stops.load(SeqCst)
    }

    /// Tasks that wake themselves.
    fn wake_themselves(&self) {
        for _ in 0..BUSY {
            let load = self.clone();
            telemetry_rt::spawn(async move {
                while load.goes_on() {
                    yield_now().await;
                }
            });
        }
    }

    /// Two tasks that wake one another, each into the slot that is looked at first.
    fn wake_one_another(&self) {
        let ends = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        ends[0].notify_one();
        for (own, other) in [(0, 1), (1, 0)] {
            let (own, other) = (Arc::clone(&ends[own]), Arc::clone(&ends[other]));
            let load = self.clone();
            telemetry_rt::spawn(async move {
                while load.goes_on() {
                    own.notified().await;
                    other.notify_one();
                }
                other.notify_one();
            });
        }
    }

    /// What happened since `before` did so soon.
    #[track_caller]
    fn assert_soon(&self, before: u64, what: &str) {
        let polls = self.polls() - before;
        assert!(polls <= SOON, "{what} waited for {polls} polls of others");
    }
}

/// Tasks that were spawned here, on the runtime, and from another thread all get their turns.
async fn others_run(load: Load) {
    let handle = Handle::current();
    let before = load.polls();
    let mut set = JoinSet::new();
    for _ in 0..20 {
        set.spawn(yield_now());
    }
    while set.join_next().await.is_some() {}
    // Each of two turns of all of them is soon.
    load.assert_soon(before, "tasks that were spawned by a task");

    let outside = thread::spawn({
        let load = load.clone();
        move || {
            let before = load.polls();
            let seen = load.clone();
            let ran = handle.spawn(async move { seen.polls() });
            (before, ran)
        }
    });
    // Joined without blocking the only thread there is.
    while !outside.is_finished() {
        yield_now().await;
    }
    let (before, ran) = outside.join().unwrap();
    let waited = ran.await.unwrap() - before;
    // The thread that spawns is at the mercy of the operating system between its two lines.
    assert!(waited <= 100 * SOON, "from outside: {waited} polls");
}

#[test]
fn tasks_run_beside_those_that_wake_themselves() {
    on_one(|load| async move {
        load.wake_themselves();
        others_run(load).await;
    });
}

#[test]
fn tasks_run_beside_two_that_wake_one_another() {
    on_one(|load| async move {
        load.wake_one_another();
        others_run(load).await;
    });
}

/// A task that notes how far the load has come when it first sees that the deadline has passed.
async fn first_after(deadline: Instant, load: Load) -> u64 {
    while Instant::now() < deadline {
        yield_now().await;
    }
    load.polls()
}

async fn timers_fire(load: Load) {
    for _ in 0..5 {
        let deadline = Instant::now() + Duration::from_millis(2);
        let passed = telemetry_rt::spawn(first_after(deadline, load.clone()));
        sleep_until(deadline).await;
        let now = load.polls();
        // A timer fires up to a millisecond late, which is how exact timers are; the load goes on
        // meanwhile, and how far depends on the machine. Beyond that it is soon.
        let exact = telemetry_rt::spawn(first_after(
            deadline + Duration::from_millis(1),
            load.clone(),
        ));
        let (passed, exact) = (passed.await.unwrap(), exact.await.unwrap());
        assert!(now <= exact.max(passed) + SOON, "{passed}, {exact}, {now}");
    }
}

#[test]
fn timers_fire_under_full_load() {
    on_one(|load| async move {
        load.wake_themselves();
        timers_fire(load).await;
    });
    on_one(|load| async move {
        load.wake_one_another();
        timers_fire(load).await;
    });
}

async fn sockets_are_served(load: Load) {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let (seen, byte) = (load.clone(), Duration::from_secs(60));
    let reads = telemetry_rt::spawn(async move {
        let mut waited = Vec::new();
        for _ in 0..5 {
            let mut byte = [0];
            near.read_exact(&mut byte).await.unwrap();
            waited.push(seen.polls());
        }
        waited
    });
    let mut written = Vec::new();
    for _ in 0..5 {
        // Long enough for the reader to be idle.
        for _ in 0..500 {
            yield_now().await;
        }
        written.push(load.polls());
        timeout(byte, far.write_all(b"x")).await.unwrap().unwrap();
    }
    for (read, written) in reads.await.unwrap().into_iter().zip(written) {
        let waited = read.saturating_sub(written);
        assert!(waited <= SOON, "a byte waited for {waited} polls");
    }
}

#[test]
fn sockets_are_served_under_full_load() {
    on_one(|load| async move {
        load.wake_themselves();
        sockets_are_served(load).await;
    });
    on_one(|load| async move {
        load.wake_one_another();
        sockets_are_served(load).await;
    });
}

#[test]
fn the_root_of_a_thread_has_its_turns_under_full_load() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let load = Load::default();
    runtime.block_on(async {
        load.wake_themselves();
        load.wake_one_another();
        for _ in 0..50 {
            let before = load.polls();
            yield_now().await;
            load.assert_soon(before, "the root");
        }
    });
    load.stops.store(true, SeqCst);
}
