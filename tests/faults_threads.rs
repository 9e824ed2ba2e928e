//! What becomes of a runtime when the operating system gives no more threads?
#![cfg(all(feature = "telemetry", feature = "tokio-io", target_os = "linux"))]

mod faults;
mod observed;

use std::future::Future;
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use faults::{limit, run, say_value, wait_until};
use observed::Observed;
use telemetry_rt::net::lookup_host;
use telemetry_rt::otel::{InMemory, Otel};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task::{self, block_in_place, spawn_blocking};
use telemetry_rt::time::{sleep, timeout};

/// A user that hardly anything runs as, so that its limit is that of this process.
const NOBODY: libc::uid_t = 65_531;

/// Becomes somebody for whom limits hold.
fn drop_privileges() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: changes who this process is, which has no other purpose than this test.
        assert_eq!(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }, 0);
    }
}

/// No thread can be started from now on.
fn no_more_threads() {
    limit(libc::RLIMIT_NPROC, 0);
    let refused = thread::Builder::new().spawn(|| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
}

fn threads_again() {
    limit(libc::RLIMIT_NPROC, 10_000);
}

fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.unwrap().trim().parse().unwrap()
}

/// A future that hangs is an error.
async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(faults::HANGS / 2, future).await.expect("it hangs")
}

/// Uses everything that wants a thread.
async fn wants_threads(are_there: bool) {
    let function = in_time(spawn_blocking(|| 5)).await;
    assert_eq!(function.is_ok(), are_there, "{function:?}");
    let file = in_time(telemetry_rt::fs::read("/proc/self/status")).await;
    assert_eq!(file.is_ok(), are_there, "{file:?}");
    let found = in_time(lookup_host("localhost:80"))
        .await
        .map(|found| found.count());
    assert_eq!(found.is_ok(), are_there, "{found:?}");
}

/// Uses everything that wants none.
async fn wants_none() {
    let tasks = [1, 2, 3].map(|millis| {
        task::spawn(async move {
            sleep(Duration::from_millis(millis)).await;
            task::yield_now().await;
        })
    });
    for task in tasks {
        in_time(task).await.unwrap();
    }
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_runs_out_of_threads() {
    drop_privileges();
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .thread_keep_alive(Duration::from_millis(1));
    let observed = Observed::new(builder);
    let idle = threads();
    no_more_threads();
    observed.runtime.block_on(async {
        wants_threads(false).await;
        wants_none().await;
        // Nobody can take the worker over, so it is blocked; and goes on.
        let blocks = task::spawn(async {
            block_in_place(|| thread::sleep(Duration::from_millis(2)));
            sleep(Duration::from_millis(1)).await;
            7
        });
        assert_eq!(in_time(blocks).await.unwrap(), 7);
    });
    threads_again();
    observed.runtime.block_on(async {
        wants_threads(true).await;
        wants_none().await;
    });
    wait_until(|| threads() <= idle);
    // The end needs none either, and loses nothing.
    no_more_threads();
    let seen = observed.end();
    say_value("spans", seen.spans.len());
    say_value("counted", seen.total("process.count", &[]));
}

#[test]
fn a_runtime_that_gets_no_more_threads_goes_on_and_loses_no_record() {
    let said = run("program_runs_out_of_threads", &[]);
    assert!(said.number("spans") > 10.0, "{said:?}");
    assert_eq!(said.number("spans"), said.number("counted"), "{said:?}");
}

fn exporting_to(memory: &InMemory) -> Otel {
    Otel::builder().exporter(memory.clone()).build()
}

fn refused(builder: &mut Builder) -> String {
    let error = builder.enable_all().build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    error.to_string()
}

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_starts_without_threads() {
    drop_privileges();
    let before = (threads(), faults::descriptors());
    no_more_threads();
    let memory = InMemory::new();
    say_value(
        "workers",
        refused(Builder::new_multi_thread().worker_threads(3)),
    );
    let exporting = exporting_to(&memory);
    say_value(
        "exporting",
        refused(Builder::new_current_thread().otel(exporting)),
    );
    // One thread is all that this one has.
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        wants_threads(false).await;
        wants_none().await;
    });
    runtime.shutdown_background();
    threads_again();
    let exporting = exporting_to(&memory);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .otel(exporting)
        .build()
        .unwrap();
    runtime.block_on(wants_none());
    no_more_threads();
    // Nobody can export in the background, so it is done here.
    runtime.shutdown_background();
    say_value("spans", memory.spans().len());
    threads_again();
    wait_until(|| threads() == before.0);
    say_value("left", faults::descriptors() - before.1);
}

#[test]
fn a_runtime_whose_threads_are_refused_says_which_and_leaves_nothing_behind() {
    let said = run("program_starts_without_threads", &[]);
    assert!(
        said.text("workers")
            .contains("the thread of a worker could not be started"),
        "{said:?}"
    );
    assert!(
        said.text("exporting").contains("the thread rt-"),
        "{said:?}"
    );
    assert_eq!(said.number("spans"), 4.0, "{said:?}");
    assert_eq!(said.number("left"), 0.0);
}
