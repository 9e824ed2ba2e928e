//! Does a panic of users' code stay with the one whose code it is?
//!
//! Users' code is: the poll, the drop and the output of futures; functions that block, and their
//! drop; hooks; values of task-locals; and every function of a waker that is not ours. A panic in
//! a destructor of a thread-local is not here: the standard library aborts the process for it.

mod support;

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use support::{current, multi, multi_with, on_each, wait_until};
use telemetry_rt_executor::*;
use telemetry_rt_reactor::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use telemetry_rt_reactor::signal::unix::{SignalKind, signal};
use telemetry_rt_reactor::time::{Instant, interval_at, sleep, timeout};

const SAID: &str = "as the test says";
const SOON: Duration = Duration::from_millis(3);

/// Panics when it is dropped, and says that it was.
struct PanicsInDrop(Arc<AtomicUsize>);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        // A second panic at once would abort, whoever catches the first.
        if !thread::panicking() {
            panic_any(PayloadPanicsInDrop);
        }
    }
}

/// A payload that is as bad as what threw it. It panics once: nobody could be rid of one that
/// throws itself again and again.
struct PayloadPanicsInDrop;

impl Drop for PayloadPanicsInDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("{SAID}: the payload");
        }
    }
}

/// Runs a test without a word about the panics that it is about.
fn in_time(test: impl FnOnce() + Send + 'static) {
    static MUTED: Once = Once::new();
    MUTED.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = panic.payload().is::<PayloadPanicsInDrop>()
                || panic
                    .payload_as_str()
                    .is_some_and(|text| text.contains(SAID));
            if !is_ours {
                tell(panic);
            }
        }));
    });
    support::in_time(|| {
        // The payload of one that comes out is not to bring the harness down.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(test)) {
            let ours = payload.is::<PayloadPanicsInDrop>();
            match ours {
                true => std::mem::forget(payload),
                false => resume_unwind(payload),
            }
            panic!("a panic came out that was to stay where it was");
        }
    });
}

fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(f));
    result.map_err(std::mem::forget).ok()
}

/// Shows that a runtime does all that it should.
fn is_well(runtime: &Runtime) {
    let sum = runtime.block_on(async {
        let (one, two) = (spawn(async { 1 }), spawn_blocking(|| 2));
        let (mut here, there) = UnixStream::pair().unwrap();
        let echo = spawn(async move {
            there.readable().await.unwrap();
            there.try_read(&mut [0; 1]).unwrap()
        });
        poll_fn(|cx| Pin::new(&mut here).poll_write(cx, b"x"))
            .await
            .unwrap();
        spawn(sleep(SOON)).await.unwrap();
        one.await.unwrap() + two.await.unwrap() + echo.await.unwrap()
    });
    assert_eq!(sum, 4);
}

// ----- wakers of others -----

/// Which function of a waker panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    Clone,
    Wake,
    Drop,
}

/// What is behind a waker that panics.
struct Hostile {
    panics: In,
    armed: AtomicBool,
    calls: AtomicUsize,
}

impl Hostile {
    fn new(panics: In) -> Arc<Hostile> {
        Arc::new(Hostile {
            panics,
            armed: AtomicBool::new(true),
            calls: AtomicUsize::new(0),
        })
    }

    fn called(&self, function: In) {
        if self.panics == function && self.armed.load(SeqCst) {
            self.calls.fetch_add(1, SeqCst);
            if !thread::panicking() {
                panic_any(PayloadPanicsInDrop);
            }
        }
    }
}

fn hostile_waker(hostile: &Arc<Hostile>) -> Waker {
    static FUNCTIONS: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: a waker owns one count of its `Hostile`.
            let hostile = unsafe { &*data.cast::<Hostile>() };
            hostile.called(In::Clone);
            // SAFETY: the same.
            unsafe { Arc::increment_strong_count(hostile) };
            RawWaker::new(data, &FUNCTIONS)
        },
        |data| {
            // SAFETY: the waker is used up, and its count with it.
            let hostile = unsafe { Arc::from_raw(data.cast::<Hostile>()) };
            hostile.called(In::Wake);
        },
        |data| {
            // SAFETY: a waker owns one count of its `Hostile`.
            unsafe { &*data.cast::<Hostile>() }.called(In::Wake);
        },
        |data| {
            // SAFETY: the waker is used up, and its count with it.
            let hostile = unsafe { Arc::from_raw(data.cast::<Hostile>()) };
            hostile.called(In::Drop);
        },
    );
    let data = Arc::into_raw(Arc::clone(hostile)).cast();
    // SAFETY: the functions keep the contract: they are safe to call from any thread, and each
    // waker owns one count.
    unsafe { Waker::new(data, &FUNCTIONS) }
}

type Leaf = Box<dyn FnMut(&mut Context<'_>) -> Poll<()>>;

/// A future of ours that waits, and what ends its waiting.
struct Waits {
    leaf: Leaf,
    end: Box<dyn FnOnce()>,
}

/// The kinds of future that keep a waker.
const KINDS: [&str; 9] = [
    "sleep", "timeout", "interval", "join", "blocking", "accept", "read", "datagram", "signal",
];

/// How long those wait that end by themselves.
const WHILE: Duration = Duration::from_millis(8);

fn leaf_of<F: Future + 'static>(future: F) -> Leaf {
    let mut future = Box::pin(future);
    Box::new(move |cx| future.as_mut().poll(cx).map(drop))
}

/// Those of sockets and signals are `poll_*`, as an `async fn` that was left by a panic must not be
/// polled again.
async fn waits(kind: &str) -> Waits {
    let by_itself = |leaf| Waits {
        leaf,
        end: Box::new(|| ()),
    };
    match kind {
        "sleep" => by_itself(leaf_of(sleep(WHILE))),
        "timeout" => by_itself(leaf_of(timeout(WHILE, pending::<()>()))),
        "interval" => {
            let mut ticks = interval_at(Instant::now() + WHILE, WHILE);
            by_itself(Box::new(move |cx| ticks.poll_tick(cx).map(drop)))
        }
        "join" => by_itself(leaf_of(spawn(sleep(WHILE)))),
        "blocking" => by_itself(leaf_of(spawn_blocking(|| thread::sleep(WHILE)))),
        "accept" => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            Waits {
                leaf: Box::new(move |cx| listener.poll_accept(cx).map(drop)),
                end: Box::new(move || drop(std::net::TcpStream::connect(address).unwrap())),
            }
        }
        "read" => {
            let (reader, writer) = UnixStream::pair().unwrap();
            Waits {
                leaf: Box::new(move |cx| reader.poll_read_ready(cx).map(drop)),
                end: Box::new(move || drop(writer)),
            }
        }
        "datagram" => {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            Waits {
                leaf: Box::new(move |cx| socket.poll_recv_ready(cx).map(drop)),
                end: Box::new(move || assert_eq!(other.send_to(b"x", address).unwrap(), 1)),
            }
        }
        "signal" => {
            let mut signal = signal(SignalKind::window_change()).unwrap();
            Waits {
                leaf: Box::new(move |cx| signal.poll_recv(cx).map(drop)),
                // SAFETY: the runtime has a handler for it.
                end: Box::new(|| assert_eq!(unsafe { libc::raise(libc::SIGWINCH) }, 0)),
            }
        }
        other => unreachable!("{other}"),
    }
}

/// A future that waits with a hostile waker.
struct Meeting {
    kind: &'static str,
    waits: Waits,
    hostile: [Arc<Hostile>; 2],
}

/// Polls with one hostile waker and then with another, which takes the place of the first. `None`
/// if the machine is so busy that the time is over before.
fn meet(runtime: &Runtime, kind: &'static str, panics: In) -> Option<Meeting> {
    let hostile = [Hostile::new(panics), Hostile::new(panics)];
    let mut waits = runtime.block_on(waits(kind));
    for hostile in &hostile {
        let waker = hostile_waker(hostile);
        let poll = || runtime.block_on(async { (waits.leaf)(&mut Context::from_waker(&waker)) });
        let polled = caught(poll);
        caught(|| drop(waker));
        if polled.is_some_and(|polled| polled.is_ready()) {
            return None;
        }
    }
    Some(Meeting {
        kind,
        waits,
        hostile,
    })
}

impl Meeting {
    fn all(runtime: &Runtime) -> impl Iterator<Item = Meeting> {
        let pairs = KINDS
            .iter()
            .flat_map(|kind| [In::Clone, In::Wake, In::Drop].map(|panics| (kind, panics)));
        pairs.filter_map(|(kind, panics)| meet(runtime, kind, panics))
    }

    /// Drops the future. Nobody has the wakers any more.
    #[track_caller]
    fn end(self) -> usize {
        caught(|| drop(self.waits));
        let counts = self.hostile.iter().map(|hostile| {
            let (kind, panics) = (self.kind, hostile.panics);
            assert_eq!(Arc::strong_count(hostile), 1, "{kind} keeps, {panics:?}");
            hostile.calls.load(SeqCst)
        });
        counts.sum()
    }
}

/// Polls with a good waker. Its first poll drops the hostile one, if that is still there, and the
/// panic of this is the poller's.
fn poll_again(leaf: &mut Leaf, cx: &mut Context<'_>) -> Poll<()> {
    caught(|| leaf(cx)).unwrap_or_else(|| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn a_hostile_waker_harms_neither_the_runtime_nor_the_future_it_was_left_with() {
    in_time(|| {
        for runtime in [current(), multi(2)] {
            let mut panics = 0;
            for mut meeting in Meeting::all(&runtime) {
                let end = std::mem::replace(&mut meeting.waits.end, Box::new(|| ()));
                end();
                runtime.block_on(async {
                    // Long enough for the driver to wake whom it has to.
                    sleep(2 * SOON).await;
                    poll_fn(|cx| poll_again(&mut meeting.waits.leaf, cx)).await;
                });
                panics += meeting.end();
            }
            assert!(panics >= KINDS.len(), "{panics} panics");
            is_well(&runtime);
        }
    });
}

#[test]
fn hostile_wakers_do_not_keep_a_runtime_from_its_end() {
    in_time(|| {
        for runtime in [current(), multi(2)] {
            let meetings: Vec<_> = Meeting::all(&runtime).collect();
            drop(runtime);
            for mut meeting in meetings {
                let leaf = &mut meeting.waits.leaf;
                // An error, a panic or the output; but nobody waits for what never comes.
                let polled = caught(|| leaf(&mut Context::from_waker(Waker::noop())));
                assert!(
                    polled.is_none_or(|polled| polled.is_ready()),
                    "{} waits for ever",
                    meeting.kind
                );
                meeting.end();
            }
        }
    });
}

// ----- futures, outputs, functions -----

/// What is dropped with a panic, and how often it was.
struct Bomb {
    drops: Arc<AtomicUsize>,
}

impl Bomb {
    fn new() -> Bomb {
        Bomb {
            drops: Arc::default(),
        }
    }

    /// One more that will be dropped.
    fn charge(&self) -> PanicsInDrop {
        PanicsInDrop(Arc::clone(&self.drops))
    }

    #[track_caller]
    fn went_off(&self, times: usize) {
        wait_until(|| self.drops.load(SeqCst) >= times);
        assert_eq!(self.drops.load(SeqCst), times);
    }
}

/// Waits for ever, with something to be dropped.
async fn waits_with(charge: PanicsInDrop) {
    let _charge = charge;
    pending().await
}

#[track_caller]
fn assert_panicked<T>(result: Result<T, JoinError>) {
    let Err(error) = result else {
        panic!("no error");
    };
    assert!(error.is_panic(), "{error}");
    caught(|| drop(error));
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_is_the_joiners_or_nobodys() {
    in_time(|| {
        on_each(|runtime| {
            runtime.block_on(async {
                assert_panicked(spawn(async { panic_any(PayloadPanicsInDrop) }).await);
                assert_panicked(spawn_blocking(|| panic_any(PayloadPanicsInDrop)).await);
                // Detached before and after the end.
                drop(spawn(async { panic_any(PayloadPanicsInDrop) }));
                let ended = spawn(async { panic_any(PayloadPanicsInDrop) });
                while !ended.is_finished() {
                    yield_now().await;
                }
                drop(ended);
            });
            is_well(&runtime);
        });
    });
}

#[test]
fn the_panic_of_a_futures_drop_is_that_of_its_task() {
    in_time(|| {
        on_each(|runtime| {
            let bomb = Bomb::new();
            runtime.block_on(async {
                let charge = bomb.charge();
                assert_panicked(spawn(async move { drop(charge) }).await);
                let waiting = spawn(waits_with(bomb.charge()));
                yield_now().await;
                waiting.abort();
                assert_panicked(waiting.await);
                // Of two panics the first is told.
                let charge = bomb.charge();
                let both = spawn(async move {
                    let _charge = charge;
                    panic!("{SAID}: first");
                });
                let error = both.await.unwrap_err();
                assert!(error.to_string().contains("first"), "{error}");
            });
            bomb.went_off(3);
            is_well(&runtime);
        });
    });
}

#[test]
fn futures_that_panic_in_their_drop_do_not_keep_a_runtime_from_its_end() {
    in_time(|| {
        on_each(|runtime| {
            let (bomb, quiet) = (Bomb::new(), Arc::new(()));
            let tasks: Vec<_> = (0..60)
                .map(|number| {
                    let quiet = Arc::clone(&quiet);
                    match number % 3 {
                        0 => runtime.spawn(waits_with(bomb.charge())),
                        _ => runtime.spawn(async move {
                            let _quiet = quiet;
                            pending().await
                        }),
                    }
                })
                .collect();
            runtime.block_on(yield_now());
            drop(runtime);
            bomb.went_off(20);
            assert_eq!(Arc::strong_count(&quiet), 1);
            for task in tasks {
                assert!(task.is_finished());
                caught(|| drop(task));
            }
        });
    });
}

#[test]
fn an_output_that_panics_in_its_drop_is_dropped_once_and_told_to_nobody() {
    in_time(|| {
        on_each(|runtime| {
            let bomb = Bomb::new();
            runtime.block_on(async {
                let charge = bomb.charge();
                drop(spawn(async move { charge }));
                let charge = bomb.charge();
                drop(spawn_blocking(move || charge));
                let charge = bomb.charge();
                let ended = spawn(async move { charge });
                while !ended.is_finished() {
                    yield_now().await;
                }
                drop(ended);
            });
            bomb.went_off(3);
            is_well(&runtime);
        });
    });
}

#[test]
fn a_function_that_panics_in_its_drop_harms_neither_the_pool_nor_the_end() {
    in_time(|| {
        let runtime = multi_with(1, |config| config.blocking_threads = 1);
        let bomb = Bomb::new();
        for _ in 0..20 {
            let charge = bomb.charge();
            let function = runtime.spawn_blocking(move || drop(charge));
            assert_panicked(runtime.block_on(function));
        }
        is_well(&runtime);
        // Those that wait behind this one are dropped with the runtime.
        let (started, release) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (flag, released) = (Arc::clone(&started), Arc::clone(&release));
        drop(runtime.spawn_blocking(move || {
            flag.store(true, SeqCst);
            while !released.load(SeqCst) {
                thread::yield_now();
            }
        }));
        wait_until(|| started.load(SeqCst));
        for _ in 0..20 {
            let charge = bomb.charge();
            drop(runtime.spawn_blocking(move || drop(charge)));
        }
        runtime.shutdown_background();
        bomb.went_off(40);
        release.store(true, SeqCst);
    });
}

#[test]
fn a_root_future_that_panics_in_its_drop_leaves_the_runtime_as_it_was() {
    in_time(|| {
        on_each(|runtime| {
            let bomb = Bomb::new();
            for _ in 0..3 {
                let charge = bomb.charge();
                assert!(caught(|| runtime.block_on(async move { drop(charge) })).is_none());
                let root = waits_with(bomb.charge());
                let polled_once = async {
                    let mut root = Box::pin(root);
                    poll_fn(|cx| Poll::Ready(root.as_mut().poll(cx).is_pending())).await
                };
                assert!(caught(|| runtime.block_on(polled_once)).is_none());
                is_well(&runtime);
            }
            bomb.went_off(6);
        });
    });
}

#[test]
fn a_value_of_a_task_local_that_panics_in_its_drop_ends_its_task_only() {
    task_local! {
        static CHARGE: PanicsInDrop;
    }
    in_time(|| {
        on_each(|runtime| {
            let bomb = Bomb::new();
            runtime.block_on(async {
                assert_panicked(spawn(CHARGE.scope(bomb.charge(), yield_now())).await);
                let waiting = spawn(CHARGE.scope(bomb.charge(), pending::<()>()));
                yield_now().await;
                waiting.abort();
                assert_panicked(waiting.await);
                assert!(caught(|| CHARGE.sync_scope(bomb.charge(), || ())).is_none());
                assert!(CHARGE.try_with(|_| ()).is_err(), "a value was left behind");
            });
            bomb.went_off(3);
            is_well(&runtime);
        });
    });
}

// ----- sets -----

#[test]
fn a_join_set_outlives_the_panics_of_its_tasks() {
    in_time(|| {
        on_each(|runtime| {
            let bomb = Bomb::new();
            runtime.block_on(async {
                let mut set = JoinSet::new();
                for number in 0..9 {
                    let charge = bomb.charge();
                    set.spawn(async move {
                        let _charge = charge;
                        match number % 3 {
                            0 => (),
                            1 => panic!("{SAID}"),
                            _ => pending().await,
                        }
                    });
                }
                yield_now().await;
                for _ in 0..6 {
                    assert_panicked(set.join_next().await.unwrap());
                }
                set.abort_all();
                while let Some(result) = set.join_next().await {
                    assert_panicked(result);
                }
                // Outputs and futures that go with the set.
                let mut set = JoinSet::new();
                for number in 0..4 {
                    let charge = bomb.charge();
                    set.spawn(async move {
                        if number % 2 == 0 {
                            pending::<()>().await;
                        }
                        charge
                    });
                }
                sleep(SOON).await;
                drop(set);
            });
            // On one thread, what was aborted is dropped in the next turn.
            is_well(&runtime);
            bomb.went_off(13);
        });
    });
}

#[test]
fn a_local_set_outlives_the_panics_of_its_tasks_and_drops_all_of_them() {
    in_time(|| {
        on_each(|runtime| {
            let (bomb, quiet) = (Bomb::new(), Arc::new(()));
            let set = LocalSet::new();
            set.block_on(&runtime, async {
                let charge = bomb.charge();
                assert_panicked(spawn_local(async move { drop(charge) }).await);
                assert_panicked(spawn_local(async { panic!("{SAID}") }).await);
                let waiting = spawn_local(waits_with(bomb.charge()));
                yield_now().await;
                waiting.abort();
                assert_panicked(waiting.await);
                assert_eq!(spawn_local(async { 7 }).await.unwrap(), 7);
            });
            for number in 0..12 {
                let quiet = Arc::clone(&quiet);
                match number % 3 {
                    0 => drop(set.spawn_local(waits_with(bomb.charge()))),
                    _ => drop(set.spawn_local(async move {
                        let _quiet = quiet;
                        pending::<()>().await
                    })),
                }
            }
            set.block_on(&runtime, yield_now());
            drop(set);
            bomb.went_off(6);
            assert_eq!(Arc::strong_count(&quiet), 1);
            is_well(&runtime);
        });
    });
}

// ----- hooks and names -----

#[test]
fn a_stop_hook_that_panics_does_not_keep_the_runtime_from_its_end() {
    in_time(|| {
        for workers in [1, 3] {
            let runtime = multi_with(workers, |config| {
                config.keep_alive = SOON;
                config.on_thread_stop = Some(Arc::new(|| panic_any(PayloadPanicsInDrop)));
            });
            is_well(&runtime);
            // Threads of the pool come and go.
            for _ in 0..5 {
                runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();
                thread::sleep(2 * SOON);
            }
            is_well(&runtime);
            drop(runtime);
        }
    });
}

#[test]
fn a_name_that_panics_is_replaced() {
    in_time(|| {
        let runtime = multi_with(2, |config| {
            config.thread_name = Arc::new(|| panic!("{SAID}"));
        });
        is_well(&runtime);
    });
}

#[test]
fn a_worker_whose_start_hook_panics_runs_all_the_same() {
    in_time(|| {
        for workers in [1, 3] {
            let threads = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&threads);
            let runtime = multi_with(workers, |config| {
                config.on_thread_start = Some(Arc::new(move || {
                    // All workers at the start, and the next one after that.
                    if threads.fetch_add(1, SeqCst) <= workers {
                        panic_any(PayloadPanicsInDrop);
                    }
                }));
            });
            wait_until(|| seen.load(SeqCst) == workers);
            // To a thread of its own, whose hook panics as well.
            runtime.block_on(async {
                let blocks = spawn(async { block_in_place(|| spawn(async { 5 })).await });
                assert_eq!(blocks.await.unwrap().unwrap(), 5);
            });
            wait_until(|| seen.load(SeqCst) > workers);
            is_well(&runtime);
        }
    });
}

// ----- who waits in sockets -----

#[test]
fn a_task_that_panics_with_sockets_and_timers_leaves_none_of_them_behind() {
    in_time(|| {
        on_each(|runtime| {
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                for _ in 0..10 {
                    let client = spawn(async move {
                        let _stream = TcpStream::connect(address).await.unwrap();
                        let mut long = Box::pin(sleep(Duration::from_secs(3600)));
                        poll_fn(|cx| Poll::Ready(long.as_mut().poll(cx).is_pending())).await;
                        panic!("{SAID}");
                    });
                    let (stream, _) = listener.accept().await.unwrap();
                    assert_panicked(client.await);
                    // The other side is told: the stream was closed with its task.
                    stream.readable().await.unwrap();
                    assert_eq!(stream.try_read(&mut [0; 1]).unwrap(), 0);
                }
            });
            is_well(&runtime);
        });
    });
}
