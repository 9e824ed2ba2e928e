//! Where did the time of a request go?

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::UnixStream;
use telemetry_rt::otel::{Activity, MetricData};
use telemetry_rt::runtime::{Builder, Handle};
use telemetry_rt::task::yield_now;
use telemetry_rt::time::sleep;

use crate::named;
use crate::observed::{Observed, idle, is_idle, live, number, on_each, wait_until};

const WHILE: Duration = Duration::from_millis(10);
/// What is surely measured of `WHILE`, whose clock is another one.
const MOST: i64 = 9_000_000;

async fn activity(name: &str, wanted: Activity) {
    let handle = Handle::current();
    while live(&handle, name).is_none_or(|task| task.activity != wanted) {
        yield_now().await;
    }
}

// The fourth ask.
#[test]
fn a_function_that_waits_for_a_thread_of_the_pool_says_for_how_long() {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(1);
    let seen = Observed::new(builder).run(async {
        let (release, released) = mpsc::channel::<()>();
        named("first").spawn_blocking(move || released.recv().is_err());
        activity("first", Activity::Running).await;
        let caller = named("caller").spawn(async {
            named("second").spawn_blocking(|| ()).await.unwrap();
        });
        activity("second", Activity::Scheduled).await;
        sleep(WHILE).await;
        drop(release);
        caller.await.unwrap();
    });
    assert!(number(seen.named("second"), "task.queued_ns") >= MOST);
    seen.assert_child("second", "caller");
    let delays = &seen.metric("executor.blocking.queue.delay").data;
    let MetricData::Histogram { points, .. } = delays else {
        panic!("{delays:?}");
    };
    assert_eq!(points[0].count, 2);
    assert!(points[0].sum >= MOST as f64 / 1e9, "{points:?}");
}

/// What it waits for begins when it waits, so that it does on any machine.
async fn request(mut peer: UnixStream) {
    // Its own work, as far as the runtime can tell.
    thread::sleep(WHILE);
    peer.read_u8().await.unwrap();
    let rows = async {
        idle("request").await;
        sleep(WHILE).await;
    };
    named("rows").spawn(rows).await.unwrap();
    let handle = Handle::current();
    let page = named("page").spawn_blocking(move || {
        wait_until(|| is_idle(&handle, "request"));
        thread::sleep(WHILE);
    });
    page.await.unwrap();
}

// The fifth ask.
#[test]
fn the_time_of_a_request_is_split_into_work_turns_and_waits_by_reason_to_the_nanosecond() {
    on_each(|builder| {
        let seen = Observed::new(builder).run(async {
            let (near, mut far) = UnixStream::pair().unwrap();
            let request = named("request").spawn(request(near));
            idle("request").await;
            sleep(WHILE).await;
            far.write_u8(7).await.unwrap();
            request.await.unwrap();
        });
        let span = seen.named("request");
        let parts = [
            "task.busy_ns",
            "task.scheduled_ns",
            "task.idle_io_ns",
            "task.idle_join_ns",
            "task.idle_blocking_ns",
        ];
        let parts = parts.map(|part| number(span, part));
        let length = span.end_time.duration_since(span.start_time).unwrap();
        assert_eq!(parts.iter().sum::<i64>(), length.as_nanos() as i64);
        let [busy, _scheduled, waits @ ..] = parts;
        assert!(busy >= MOST, "{parts:?}");
        // A wake within a long poll has the time of its start, which may shorten a wait.
        assert!(waits.iter().all(|&wait| wait >= MOST / 2), "{parts:?}");
    });
}
