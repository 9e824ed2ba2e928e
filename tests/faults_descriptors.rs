//! What becomes of servers when there are no descriptors left, and of descriptors when connections
//! are killed in every way there is?
#![cfg(all(feature = "telemetry", feature = "tokio-io", target_os = "linux"))]

mod faults;

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use faults::{descriptors, limit, processor_time, run, say, say_value, start};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task::{JoinSet, yield_now};
use telemetry_rt::time::{self, sleep, timeout};

fn two_workers() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

// ----- without descriptors -----

const DESCRIPTORS: u64 = 64;
const CLIENTS: usize = 200;

/// As long as the server starves before it closes what it has accepted.
const STARVES: Duration = Duration::from_millis(300);

/// How long a careful server pauses: longer than `accept` does.
const PAUSE: Duration = Duration::from_millis(15);

/// What a server does after an error, and how it waits.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// It pauses.
    Careful,
    /// It goes on.
    Plain,
    /// It goes on, and has other things to do all the time, for which it drops the future.
    Restless,
}

impl Way {
    fn named(name: &str) -> Way {
        match name {
            "careful" => Way::Careful,
            "plain" => Way::Plain,
            _ => Way::Restless,
        }
    }
}

async fn accept(listener: &TcpListener, way: Way) -> io::Result<TcpStream> {
    let stream = |(stream, _)| stream;
    if way != Way::Restless {
        return listener.accept().await.map(stream);
    }
    loop {
        if let Ok(accepted) = timeout(Duration::from_millis(1), listener.accept()).await {
            return accepted.map(stream);
        }
    }
}

async fn serve(listener: TcpListener, way: Way) {
    let (mut streams, mut served, mut errors) = (Vec::new(), 0, 0);
    let mut starved: Option<(Instant, Duration)> = None;
    let mut busy: f64 = 0.0;
    while served < CLIENTS {
        match accept(&listener, way).await {
            Ok(stream) => {
                streams.push(stream);
                served += 1;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                errors += 1;
                let (since, time) =
                    *starved.get_or_insert_with(|| (Instant::now(), processor_time()));
                if since.elapsed() > STARVES {
                    let time = processor_time() - time;
                    busy = busy.max(time.as_secs_f64() / since.elapsed().as_secs_f64());
                    streams.clear();
                    starved = None;
                } else if way == Way::Careful {
                    sleep(PAUSE).await;
                }
            }
        }
    }
    say_value("errors", errors);
    say_value("busy", busy);
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_starves() {
    let way = Way::named(&std::env::var("WAY").unwrap());
    for runtime in [two_workers(), one_thread()] {
        limit(libc::RLIMIT_NOFILE, DESCRIPTORS);
        let before = descriptors();
        let steps = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&steps);
        runtime.block_on(async {
            // Somebody who wants to run beside the server.
            let other = telemetry_rt::task::spawn(async move {
                loop {
                    counted.fetch_add(1, SeqCst);
                    sleep(Duration::from_millis(1)).await;
                }
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            say(listener.local_addr().unwrap());
            let steps_before = steps.load(SeqCst);
            serve(listener, way).await;
            say_value("steps", steps.load(SeqCst) - steps_before);
            other.abort();
            let _ = other.await;
        });
        say_value("left", descriptors() - before);
    }
}

/// Connects all clients to a program that starves, and waits until all were accepted.
fn starve(way: &str) -> Vec<faults::Said> {
    let mut program = start("program_starves", &[("WAY", way)]);
    let mut said = Vec::new();
    for _ in 0..2 {
        let address: SocketAddr = program.next().parse().unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| StdStream::connect(address).unwrap())
            .collect();
        said.push(faults::Said((0..4).map(|_| program.next()).collect()));
        drop(clients);
    }
    assert!(program.wait().success());
    said
}

#[test]
fn a_listener_without_descriptors_fails_and_goes_on_when_there_are_some() {
    for said in starve("careful") {
        assert_eq!(said.number("left"), 0.0);
        // It starves thrice or more often, and pauses between its attempts.
        let most = (CLIENTS as f64 / 30.0) * (STARVES.as_millis() / PAUSE.as_millis()) as f64;
        assert!((3.0..=most).contains(&said.number("errors")), "{said:?}");
        assert!(said.number("busy") < 0.5, "{said:?}");
        assert!(said.number("steps") > 10.0, "{said:?}");
    }
}

#[test]
fn a_loop_that_only_goes_on_gets_few_errors_without_descriptors() {
    for way in ["plain", "restless"] {
        for said in starve(way) {
            assert_eq!(said.number("left"), 0.0);
            // It starves for some 1.2 s. Without a pause it got a million.
            assert!((3.0..2_000.0).contains(&said.number("errors")), "{said:?}");
            assert!(said.number("steps") > 10.0, "{said:?}");
        }
    }
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_has_none() {
    let runtime = two_workers();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let before = descriptors();
        limit(libc::RLIMIT_NOFILE, 0);
        let is_full = |error: io::Error| error.raw_os_error() == Some(libc::EMFILE);
        assert!(is_full(TcpStream::connect(address).await.unwrap_err()));
        assert!(is_full(TcpListener::bind("127.0.0.1:0").await.unwrap_err()));
        assert!(is_full(UnixStream::pair().unwrap_err()));
        assert!(is_full(
            telemetry_rt::fs::File::open("/dev/null").await.unwrap_err()
        ));
        // What needs none goes on.
        sleep(Duration::from_millis(1)).await;
        assert_eq!(telemetry_rt::task::spawn_blocking(|| 5).await.unwrap(), 5);
        // A runtime that cannot be had is an error.
        for mut builder in [Builder::new_multi_thread(), Builder::new_current_thread()] {
            assert!(is_full(builder.enable_all().build().unwrap_err()));
        }
        limit(libc::RLIMIT_NOFILE, DESCRIPTORS);
        let (client, server) = futures_util::join!(TcpStream::connect(address), listener.accept());
        drop((client.unwrap(), server.unwrap()));
        say_value("left", descriptors() - before);
    });
}

#[test]
fn everything_that_needs_a_descriptor_says_that_there_is_none() {
    assert_eq!(run("program_has_none", &[]).number("left"), 0.0);
}

// ----- connections that are killed -----

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // Xorshift, by Marsaglia.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Uses a stream and ends it in one of the ways in which streams end.
async fn live_and_die(mut stream: TcpStream, mut dice: Dice) -> io::Result<()> {
    let mut bytes = [0; 256];
    if dice.throw(4) == 0 {
        stream.set_linger(Some(Duration::ZERO))?;
    }
    for _ in 0..dice.throw(4) {
        match dice.throw(6) {
            0 => stream.write_all(&bytes).await?,
            1 => drop(timeout(Duration::from_millis(1), stream.read(&mut bytes)).await),
            2 => stream.shutdown().await?,
            3 => yield_now().await,
            4 => drop(stream.try_read(&mut bytes)),
            _ => {
                let (mut reader, mut writer) = stream.split();
                let both = futures_util::join!(
                    timeout(Duration::from_millis(1), reader.read(&mut bytes)),
                    writer.write_all(&[1; 64]),
                );
                both.1?;
            }
        }
    }
    match dice.throw(3) {
        // Waits for the other side; or until somebody aborts it.
        0 => drop(stream.read_to_end(&mut Vec::new()).await?),
        1 => {
            let (reader, writer) = stream.into_split();
            drop(writer);
            yield_now().await;
            drop(reader);
        }
        _ => {}
    }
    Ok(())
}

const CONNECTIONS: usize = 10_000;
const BATCH: usize = 500;

async fn batch(listener: &TcpListener, dice: &mut Dice) -> usize {
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    for _ in 0..BATCH {
        let connected = futures_util::join!(TcpStream::connect(address), listener.accept());
        let (client, (server, _)) = (connected.0.unwrap(), connected.1.unwrap());
        for stream in [client, server] {
            let own = Dice(dice.throw(u64::MAX) | 1);
            handles.push(tasks.spawn(live_and_die(stream, own)));
        }
        if dice.throw(8) == 0 {
            let victim = dice.throw(handles.len() as u64) as usize;
            handles[victim].abort();
        }
    }
    // One who waits for another that waits is helped by the death of either.
    let mut ended = 0;
    while let Ok(Some(result)) = timeout(Duration::from_millis(50), tasks.join_next()).await {
        assert!(result.is_ok() || result.unwrap_err().is_cancelled());
        ended += 1;
    }
    tasks.shutdown().await;
    ended
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_kills_connections() {
    for runtime in [two_workers(), one_thread()] {
        let ended = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let before = descriptors();
            let mut dice = Dice(0x5EED_0FFA_1734);
            let mut ended = 0;
            for _ in 0..CONNECTIONS / 2 / BATCH {
                ended += batch(&listener, &mut dice).await;
            }
            say_value("left", descriptors() - before);
            ended
        });
        say_value("ended", ended);
        // A task is told to have ended a moment before it is no longer counted.
        let alive = || runtime.handle().metrics().num_alive_tasks();
        faults::wait_until(|| alive() == 0);
        say_value("alive", alive());
    }
}

#[test]
fn ten_thousand_connections_that_are_killed_at_random_leave_nothing_behind() {
    let mut program = start("program_kills_connections", &[]);
    for _ in 0..2 {
        let said = faults::Said((0..3).map(|_| program.next()).collect());
        assert_eq!(said.number("left"), 0.0);
        assert_eq!(said.number("alive"), 0.0);
        assert!(said.number("ended") > CONNECTIONS as f64 / 4.0, "{said:?}");
    }
    assert!(program.wait().success());
}

// ----- what the operating system answers to `accept` -----

/// Makes `accept4` of this thread answer `error` instead of being called.
fn let_accept_fail(error: i32) {
    let filter = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = [
        // The number of the system call; any but `accept4` is allowed.
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        filter(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            0,
            libc::SYS_accept4 as u32,
        ),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        filter(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | error as u32,
        ),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a setting of this thread, which a filter needs of those who are not root.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program lives through the call, which copies it; it is for this thread only.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(installed, 0, "{}", io::Error::last_os_error());
}

#[test]
fn an_accept_that_fails_is_told_and_the_next_one_gets_the_connection() {
    for error in [libc::ECONNABORTED, libc::EINTR, libc::ENOMEM, libc::ENFILE] {
        let runtime = Arc::new(one_thread());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let told = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let_accept_fail(error);
                let failed = runtime.block_on(listener.accept()).unwrap_err();
                assert_eq!(failed.raw_os_error(), Some(error));
                told.store(true, SeqCst);
            });
        });
        assert!(told.load(SeqCst));
        // Without a further client: the readiness was not forgotten.
        let (_, from) = runtime.block_on(listener.accept()).unwrap();
        assert_eq!(from, client.local_addr().unwrap());
    }
}

/// Fails to accept by `attempt` some times, and tells how much of a runtime's own time that took.
async fn fail(error: i32, mut attempt: impl AsyncFnMut() -> Option<io::Error>) -> Duration {
    let start = time::Instant::now();
    for _ in 0..11 {
        assert_eq!(attempt().await.unwrap().raw_os_error(), Some(error));
    }
    start.elapsed()
}

/// Runs `f` on a thread whose `accept4` fails, in a runtime whose clock goes from timer to timer.
fn without_waiting<R: Send>(error: i32, f: impl AsyncFnOnce() -> R + Send) -> R {
    let run = || {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let_accept_fail(error);
        runtime.block_on(f())
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[test]
fn an_accept_after_one_that_found_no_resources_waits_and_after_others_does_not() {
    let pauses = Duration::from_millis(100)..Duration::from_millis(125);
    for error in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        let (tcp, unix, polled) = without_waiting(error, async || {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _client = StdStream::connect(tcp.local_addr().unwrap()).unwrap();
            let path = std::env::temp_dir().join(format!("faults-{}-{error}", std::process::id()));
            let unix = UnixListener::bind(&path).unwrap();
            let _other = std::os::unix::net::UnixStream::connect(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            (
                fail(error, async || tcp.accept().await.err()).await,
                fail(error, async || unix.accept().await.err()).await,
                fail(error, async || {
                    poll_fn(|cx| tcp.poll_accept(cx)).await.err()
                })
                .await,
            )
        });
        assert!(pauses.contains(&tcp), "{tcp:?}");
        assert!(pauses.contains(&unix), "{unix:?}");
        assert_eq!(polled, Duration::ZERO);
    }
    let aborted = without_waiting(libc::ECONNABORTED, async || {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = StdStream::connect(tcp.local_addr().unwrap()).unwrap();
        fail(libc::ECONNABORTED, async || tcp.accept().await.err()).await
    });
    assert_eq!(aborted, Duration::ZERO);
}

#[test]
fn an_accept_that_pauses_when_its_runtime_ends_fails() {
    std::thread::spawn(|| {
        let (runtime, other) = (one_thread(), one_thread());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let _client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let_accept_fail(libc::EMFILE);
        runtime.block_on(listener.accept()).unwrap_err();
        runtime.shutdown_background();
        let error = other.block_on(listener.accept()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
    })
    .join()
    .unwrap();
}

#[test]
fn a_runtime_without_timers_does_not_pause() {
    std::thread::spawn(|| {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let _client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let_accept_fail(libc::EMFILE);
        for _ in 0..3 {
            let error = runtime.block_on(listener.accept()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        }
    })
    .join()
    .unwrap();
}
