//! Do timers and records hold when the wall clock is set to and fro, and when the processor's
//! counter cannot be used?
//!
//! The wall clock of this whole process is a fault of its own: the function of the C library that
//! reads clocks is defined here, and the linker takes this one.
#![cfg(all(feature = "telemetry", feature = "tokio-io", target_os = "linux"))]

mod faults;
mod observed;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use faults::{run, say, say_value};
use observed::{Observed, number};
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::{Otel, set_diagnostics};
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{self, JoinSet, spawn_blocking};
use telemetry_rt::time::{interval, interval_at, sleep, sleep_until, timeout, timeout_at};

/// How many seconds the wall clock of this process is wrong.
static WRONG: AtomicI64 = AtomicI64::new(0);
static READINGS: AtomicUsize = AtomicUsize::new(0);

/// # Safety
///
/// As that of the C library.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    // SAFETY: as the caller promises.
    let read = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
    if read == 0 && clock == libc::CLOCK_REALTIME {
        READINGS.fetch_add(1, SeqCst);
        // SAFETY: the place was just written to.
        unsafe { (*time).tv_sec += WRONG.load(SeqCst) };
    }
    read
}

/// Serialises the tests of this file that read dates.
static CLOCK: Mutex<()> = Mutex::new(());

const HOUR: i64 = 3_600;
const STEPS: [i64; 8] = [
    -HOUR,
    24 * HOUR,
    1,
    -1,
    0,
    -60 * 365 * 24 * HOUR,
    300 * 365 * 24 * HOUR,
    0,
];

/// Says when it is dropped, be it by a panic, that something is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Sets the wall clock every millisecond, while `f` runs.
fn while_the_clock_jumps<R>(f: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            for step in STEPS.iter().cycle() {
                if over.load(SeqCst) {
                    break;
                }
                WRONG.store(*step, SeqCst);
                thread::sleep(Duration::from_millis(1));
            }
            WRONG.store(0, SeqCst);
        });
        f()
    })
}

/// Sleeps, timeouts and ticks, none of which may be early; nor later than a machine is busy.
async fn timers() {
    let mut tasks = JoinSet::new();
    for number in 0..40 {
        let time = Duration::from_millis(number * 3);
        tasks.spawn(async move {
            let start = Instant::now();
            sleep(time).await;
            assert!(start.elapsed() >= time);
        });
        tasks.spawn(async move {
            let start = Instant::now();
            assert!(timeout(time, std::future::pending::<()>()).await.is_err());
            assert!(start.elapsed() >= time);
        });
    }
    tasks.spawn(async {
        let (start, mut interval) = (Instant::now(), interval(Duration::from_millis(2)));
        for _ in 0..50 {
            interval.tick().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(98));
    });
    tasks.spawn(async {
        spawn_blocking(|| thread::sleep(Duration::from_millis(5)))
            .await
            .unwrap();
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

fn length(span: &SpanData) -> Duration {
    let length = span.end_time.duration_since(span.start_time);
    length.expect("a span ends before it starts")
}

#[test]
fn timers_and_lengths_of_spans_do_not_depend_on_the_wall_clock() {
    let _clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    observed::on_each(|builder| {
        let before = READINGS.load(SeqCst);
        let observed = Observed::new(builder);
        let start = Instant::now();
        let seen = while_the_clock_jumps(|| {
            observed.runtime.block_on(async {
                timers().await;
                task::Builder::new()
                    .name("exact")
                    .spawn(async { sleep(Duration::from_millis(30)).await })
                    .await
                    .unwrap();
            });
            // In the midst of it, and at the end.
            let report = observed.runtime.flush(faults::HANGS).unwrap();
            assert!(report.completed);
            observed.end()
        });
        let whole = start.elapsed();
        assert!(
            READINGS.load(SeqCst) > before,
            "nobody has read the clock that jumps"
        );
        let exact = length(seen.named("exact"));
        assert!(
            (Duration::from_millis(29)..=whole).contains(&exact),
            "{exact:?}"
        );
        for span in &seen.spans {
            // Two readings of scales that are being refined.
            assert!(length(span) <= whole.mul_f64(1.1), "{span:?}");
            let busy = number(span, "task.busy_ns")
                + number(span, "task.scheduled_ns")
                + number(span, "task.idle_ns");
            let length = length(span).as_nanos() as i64;
            assert!((busy - length).abs() <= 1_000, "{busy} of {length}");
        }
        assert_eq!(seen.total("process.count", &[]), seen.spans.len() as f64);
    });
}

#[test]
fn a_program_whose_clock_is_before_1970_exports() {
    let _clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    WRONG.store(-60 * 365 * 24 * HOUR, SeqCst);
    assert!(SystemTime::now() < SystemTime::UNIX_EPOCH);
    let seen = Observed::one_thread().run(async {
        task::Builder::new()
            .name("old")
            .spawn(async {})
            .await
            .unwrap();
    });
    WRONG.store(0, SeqCst);
    assert!(length(seen.named("old")) < faults::HANGS);
}

#[test]
fn no_entry_point_minds_the_longest_duration_while_time_really_passes() {
    observed::on_each(|mut builder| {
        let runtime = builder
            .enable_all()
            .thread_keep_alive(Duration::MAX)
            .build()
            .unwrap();
        runtime.block_on(async {
            let far = telemetry_rt::time::Instant::now() + Duration::from_secs(1 << 33);
            let waiting = [
                task::spawn(sleep(Duration::MAX)),
                task::spawn(sleep_until(far)),
                task::spawn(async {
                    drop(timeout(Duration::MAX, std::future::pending::<()>()).await)
                }),
                task::spawn(
                    async move { drop(timeout_at(far, std::future::pending::<()>()).await) },
                ),
                task::spawn(async {
                    let mut interval = interval(Duration::MAX);
                    interval.tick().await;
                    interval.reset();
                    interval.tick().await;
                }),
                task::spawn(async move {
                    let _ = interval_at(far, Duration::MAX).tick().await;
                }),
            ];
            // Timers that are near are not held up by those that are far.
            for _ in 0..5 {
                sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(timeout(Duration::MAX, async { 7 }).await.unwrap(), 7);
            spawn_blocking(|| ()).await.unwrap();
            for task in waiting {
                assert!(!task.is_finished());
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        });
        runtime.flush(Duration::MAX);
        runtime.shutdown(Duration::MAX);
    });
}

// ----- without the processor's counter -----

#[test]
#[ignore = "run by the tests, in a process of its own"]
fn program_measures() {
    set_diagnostics(|line| say(format_args!("warning={line}")));
    for _ in 0..2 {
        let seen = Observed::one_thread().run(async {
            let spins = task::Builder::new().name("spins").spawn(async {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(20) {}
                sleep(Duration::from_millis(20)).await;
            });
            spins.await.unwrap();
        });
        let span = seen.named("spins");
        say_value("length", length(span).as_micros());
        say_value("busy", number(span, "task.busy_ns") / 1_000);
        say_value("idle", number(span, "task.idle_ns") / 1_000);
    }
}

/// Runs [`program_measures`] and checks what it has measured; returns its warnings.
fn measured(clock: &str) -> Vec<String> {
    let said = run("program_measures", &[("OTEL_RUST_EXECUTOR_CLOCK", clock)]);
    let (length, busy, idle) = (
        said.number("length"),
        said.number("busy"),
        said.number("idle"),
    );
    assert!(busy >= 19_900.0 && idle >= 19_000.0, "{said:?}");
    assert!(busy + idle <= length + 1.0, "{said:?}");
    let warnings = said
        .0
        .iter()
        .filter_map(|line| line.strip_prefix("warning="));
    warnings.map(str::to_owned).collect()
}

#[test]
fn without_the_counter_everything_is_measured_by_the_clock_and_that_is_told_once() {
    let warnings = measured(" Monotonic ");
    let about = |line: &&String| line.contains("timed by the monotonic clock");
    let told = warnings.iter().filter(about).count();
    assert_eq!(
        told,
        usize::from(cfg!(target_arch = "x86_64")),
        "{warnings:?}"
    );
    measured("auto");
}

#[test]
fn a_clock_that_is_none_is_a_warning() {
    let get = |name: &str| (name == "OTEL_RUST_EXECUTOR_CLOCK").then(|| "sundial".to_owned());
    let otel = Otel::from_variables(&get);
    let warning = otel.warnings().iter().find(|line| line.contains("sundial"));
    let warning = warning.expect("it warns");
    assert!(warning.contains("auto, monotonic"), "{warning}");
}

#[test]
fn a_runtime_that_exports_nothing_starts_while_the_clock_jumps() {
    let _clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    while_the_clock_jumps(|| {
        for _ in 0..20 {
            let mut builder = Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async { sleep(Duration::from_millis(1)).await });
        }
    });
}
