//! A fork between record and export: what the parent has recorded is the parent's alone.
//!
//! A child that makes a pipeline of its own is not promised anything: what it shares with its parent's
//! threads, the table of `parking_lot` above all, may have been copied in the middle of a change.

mod common;
#[path = "collector/faulty.rs"]
#[expect(dead_code, reason = "nothing fails here")]
mod faulty;

use std::time::{Duration, Instant};

use common::{Bench, LONG};
use faulty::{Faulty, total};
use opentelemetry::trace::{Span, Tracer};
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{Otel, Report};

/// Runs this in a child, which leaves with what it returns, and at once: nothing of the parent's
/// is dropped there.
fn in_child(run: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child runs on one thread, takes no lock that another thread of the parent may
    // have held, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: it ends the process, without running anything of the parent's.
            unsafe { libc::_exit(run()) }
        }
        child => child,
    }
}

/// What the child has left with. One that does not leave is ended, and so is the test.
#[track_caller]
fn code_of(child: libc::pid_t) -> i32 {
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: the status is there to be written.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > LONG {
            // SAFETY: it is a child of this process that was not waited for yet.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(libc::WIFEXITED(status), "{status}");
    libc::WEXITSTATUS(status)
}

#[test]
fn a_child_sends_nothing_of_its_parents_and_waits_for_nothing() {
    let collector = Faulty::start([]);
    let endpoint = |signal| Some(Endpoint::new(&collector.url(signal)).unwrap());
    let otlp = Otlp::to(endpoint("traces"), endpoint("metrics"));
    let bench = Bench::new(Otel::builder().exporter(otlp).schedule_delay(LONG).build());
    let tracer = bench.pipeline.tracer("user").unwrap();
    bench.run_many(25);
    let mut open = tracer.start("open");
    drop(tracer.start("ended"));

    let child = in_child(|| {
        let flushed = bench.pipeline.force_flush(LONG);
        let shut = bench.pipeline.shutdown(LONG);
        match (flushed, shut) == (Report::default(), Report::default()) {
            true => 7,
            false => 1,
        }
    });
    assert_eq!(code_of(child), 7);
    assert_eq!(collector.attempts(), 0);

    open.end();
    let report = bench.shutdown(LONG);
    assert_eq!((report.spans.produced, report.spans.exported), (27, 27));
    assert_eq!(collector.spans(), 27);
    let metrics = collector.metrics();
    let last = metrics.last().unwrap();
    assert_eq!(total(last, "process.count"), 25);
}

#[test]
fn a_child_may_drop_the_pipeline_of_its_parent() {
    let collector = Faulty::start([]);
    let endpoint = Endpoint::new(&collector.url("traces")).unwrap();
    let otlp = Otlp::to(Some(endpoint), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).schedule_delay(LONG).build());
    bench.run_many(25);
    let mut bench = Some(bench);
    let child = in_child(|| {
        bench.take();
        7
    });
    assert_eq!(code_of(child), 7);
    assert_eq!(collector.attempts(), 0);
    let report = bench.expect("the child has a copy").shutdown(LONG);
    assert_eq!((report.spans.exported, collector.spans()), (25, 25));
}
