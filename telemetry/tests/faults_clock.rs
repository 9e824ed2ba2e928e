//! The wall clock is set back and forward while spans are made and exported.
//!
//! The whole test binary asks this file what time it is: the clock of the system is answered with an
//! offset, all others as they are.

mod common;
#[path = "collector/faulty.rs"]
#[expect(dead_code, reason = "nothing fails here")]
mod faulty;

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Bench, FINISHED, LONG, number};
use faulty::Faulty;
use opentelemetry::Context;
use opentelemetry::trace::{Span, TraceContextExt, Tracer};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{InMemory, Otel};

/// Seconds.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// In place of the one in the C library, which the linker then does not look for.
///
/// # Safety
///
/// As that one: there is room for the answer.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    // SAFETY: the system call is the same question, and the caller's room is for its answer.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if clock == libc::CLOCK_REALTIME && result == 0 {
        // SAFETY: the call above has written the answer.
        let time = unsafe { &mut *time };
        time.tv_sec += OFFSET.load(SeqCst);
    }
    result as libc::c_int
}

const HOUR: i64 = 3600;
const STEPS: [i64; 6] = [-HOUR, HOUR, -1, 24 * HOUR, -24 * HOUR, 0];

#[test]
fn spans_have_lengths_and_metrics_have_periods_whatever_the_clock_does() {
    assert!(clock_is_ours());
    let collector = Faulty::start([]);
    let endpoint = |signal| Some(Endpoint::new(&collector.url(signal)).unwrap());
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(Otlp::to(endpoint("traces"), endpoint("metrics")).with_delta())
        .exporter(memory.clone());
    let bench = Bench::new(otel.build());
    let tracer = bench.pipeline.tracer("user").unwrap();
    for step in STEPS {
        let mut span = tracer.start("user");
        bench.run_with("process", FINISHED, || {
            std::thread::sleep(Duration::from_millis(2));
            Context::current().span().add_event("before", vec![]);
            OFFSET.store(step, SeqCst);
            Context::current().span().add_event("after", vec![]);
        });
        span.add_event("after", vec![]);
        drop(span);
        assert!(bench.flush().completed);
    }
    let report = bench.shutdown(LONG);
    assert_eq!((report.spans.exported, collector.spans()), (12, 12));

    for span in memory.spans() {
        assert!(span.start_time <= span.end_time, "{span:?}");
        let length = span.end_time.duration_since(span.start_time).unwrap();
        if span.name == "process" {
            assert_is_the_time_that_passed(&span, length);
        }
    }
    for metrics in collector.metrics() {
        for metric in metrics {
            for (start, end) in periods(&metric.data) {
                assert!(start <= end, "{}: {start} to {end}", metric.name);
            }
        }
    }
}

/// By the clock that nobody sets.
fn assert_is_the_time_that_passed(span: &SpanData, length: Duration) {
    assert!(
        length >= Duration::from_millis(2) && length < LONG,
        "{length:?}"
    );
    let busy = Duration::from_nanos(number(span, "task.busy_ns"));
    assert!(
        busy >= Duration::from_millis(2) && busy <= length,
        "{busy:?}"
    );
}

fn periods(data: &Option<Data>) -> Vec<(u64, u64)> {
    match data.as_ref().unwrap() {
        Data::Histogram(histogram) => {
            let points = histogram.data_points.iter();
            points
                .map(|point| (point.start_time_unix_nano, point.time_unix_nano))
                .collect()
        }
        Data::Sum(sum) => {
            let points = sum.data_points.iter();
            points
                .map(|point| (point.start_time_unix_nano, point.time_unix_nano))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn clock_is_ours() -> bool {
    OFFSET.store(-40 * 365 * 24 * HOUR, SeqCst);
    let year = 365 * 24 * 3600;
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    OFFSET.store(0, SeqCst);
    then < Duration::from_secs(40 * year)
}
