//! What can a child do that was forked off a process with a runtime, and what does its parent notice?
#![cfg(all(feature = "telemetry", feature = "tokio-io", target_os = "linux"))]

mod faults;
mod observed;

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use faults::{run, say_value};
use observed::Observed;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::signal::unix::{SignalKind, signal};
use telemetry_rt::task::{self, spawn_blocking};
use telemetry_rt::time::sleep;

/// How long a child may take, which has little to do.
const HANGS: Duration = Duration::from_secs(20);

/// Runs `f` in a forked child, and tells how that ended: its code, or that it was hanging.
fn forked(f: impl FnOnce()) -> Result<i32, &'static str> {
    // SAFETY: the child runs on the one thread that it has, and leaves by `_exit`. It allocates,
    // which the C library and the executor's memory make possible.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let ended = catch_unwind(AssertUnwindSafe(f));
        // SAFETY: ends the child without its parent's destructors.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    wait_for(child)
}

fn wait_for(child: libc::pid_t) -> Result<i32, &'static str> {
    let (start, mut status) = (Instant::now(), 0);
    loop {
        // SAFETY: the child is this process's, and the place for its status is there.
        let waited = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if waited == child {
            assert!(libc::WIFEXITED(status), "the child was killed: {status}");
            return Ok(libc::WEXITSTATUS(status));
        }
        if start.elapsed() > HANGS {
            faults::send(child as u32, libc::SIGKILL);
            // SAFETY: as above.
            unsafe { libc::waitpid(child, &mut status, 0) };
            return Err("the child hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

async fn round_trip(stream: &mut TcpStream) {
    let mut byte = [0];
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
}

async fn connected_to_an_echo() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    task::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        // Ends with the other side, or with the runtime.
        while matches!(stream.read(&mut byte).await, Ok(1..)) {
            stream.write_all(&byte).await.unwrap();
        }
    });
    TcpStream::connect(address).await.unwrap()
}

/// What a runtime is there for.
fn uses(runtime: &Runtime) {
    runtime.block_on(async {
        let mut stream = connected_to_an_echo().await;
        round_trip(&mut stream).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(spawn_blocking(|| 5).await.unwrap(), 5);
    });
}

fn runtimes() -> [Runtime; 2] {
    let mut two = Builder::new_multi_thread();
    let two = two.worker_threads(2).enable_all().build().unwrap();
    [
        two,
        Builder::new_current_thread().enable_all().build().unwrap(),
    ]
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_forks_while_it_serves() {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    let observed = Observed::new(builder);
    let trips = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&trips);
    let serving = observed.runtime.spawn(async move {
        let mut stream = connected_to_an_echo().await;
        loop {
            round_trip(&mut stream).await;
            counted.fetch_add(1, SeqCst);
        }
    });
    let mut observed = Some(observed);
    for round in 0..12 {
        let before = trips.load(SeqCst);
        let ended = forked(|| match round % 3 {
            0 => runtimes().iter().for_each(uses),
            1 => drop(observed.take()),
            _ => observed.take().unwrap().runtime.shutdown_background(),
        });
        assert_eq!(ended, Ok(0), "round {round}");
        // The parent goes on: no child has taken its sockets out of the driver.
        faults::wait_until(|| trips.load(SeqCst) > before + 100);
    }
    serving.abort();
    let seen = observed.unwrap().end();
    say_value("trips", trips.load(SeqCst));
    say_value("spans", seen.spans.len());
}

#[test]
fn a_child_has_runtimes_of_its_own_and_the_parent_goes_on() {
    let said = run("program_forks_while_it_serves", &[]);
    assert!(said.number("trips") > 1_000.0);
    // The two ends of the connection: no child has exported them, and none has lost them.
    assert_eq!(said.number("spans"), 2.0, "{said:?}");
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_forks_from_one_thread() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut stream = runtime.block_on(connected_to_an_echo());
    let mut runtime = Some(runtime);
    for _ in 0..3 {
        let ended = forked(|| drop(runtime.take()));
        assert_eq!(ended, Ok(0));
        // The echo is a task of the runtime that the child has dropped.
        runtime.as_ref().unwrap().block_on(round_trip(&mut stream));
    }
    say_value("done", 1);
}

#[test]
fn a_child_that_drops_the_runtime_takes_no_socket_from_its_parent() {
    assert_eq!(
        run("program_forks_from_one_thread", &[]).number("done"),
        1.0
    );
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_listens_in_a_child() {
    let parent = runtimes();
    // The parent listens as well, and its driver waits.
    for runtime in &parent {
        runtime.block_on(async { drop(signal(SignalKind::user_defined1()).unwrap()) });
    }
    let mut deaf = 0;
    for _ in 0..20 {
        let ended = forked(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut usr1 = signal(SignalKind::user_defined1()).unwrap();
                // SAFETY: sends a signal that has a handler.
                assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
                let heard = telemetry_rt::time::timeout(Duration::from_secs(2), usr1.recv());
                assert_eq!(heard.await.ok(), Some(Some(())));
            });
        });
        deaf += i32::from(ended != Ok(0));
    }
    say_value("deaf", deaf);
}

#[test]
fn a_child_with_a_runtime_of_its_own_hears_its_signals() {
    assert_eq!(run("program_listens_in_a_child", &[]).number("deaf"), 0.0);
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_uses_its_parents_runtime() {
    // Before anything was spawned, and when all of the runtime has been used.
    forks_and_is_told(&Builder::new_current_thread().enable_all().build().unwrap());
    for runtime in runtimes() {
        uses(&runtime);
        forks_and_is_told(&runtime);
        uses(&runtime);
    }
}

fn forks_and_is_told(runtime: &Runtime) {
    let ended = forked(|| {
        is_told(|| runtime.block_on(pending()));
        is_told(|| runtime.handle().block_on(pending()));
        let own = Builder::new_current_thread().enable_all().build().unwrap();
        uses(&own);
        // A child is the parent of others.
        assert_eq!(forked(|| is_told(|| own.block_on(pending()))), Ok(0));
        uses(&own);
    });
    say_value("child", format_args!("{ended:?}"));
}

fn is_told(blocks: impl FnOnce()) {
    let message = catch_unwind(AssertUnwindSafe(blocks)).unwrap_err();
    let message = message.downcast_ref::<&str>().unwrap();
    assert!(message.contains("fork"), "{message}");
}

#[test]
fn a_child_that_uses_its_parents_runtime_is_told() {
    let said = run("program_uses_its_parents_runtime", &[]);
    assert_eq!(said.0, ["child=Ok(0)"; 3]);
}
