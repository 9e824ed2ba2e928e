//! What `testing::capture` gives: the same text whenever the program does the same, all of it, and
//! nothing of anybody else.
#![cfg(all(feature = "telemetry", feature = "macros", feature = "tokio-io"))]

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use telemetry_rt::otel::{NameList, PollDetail};
use telemetry_rt::span;
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::{self, JoinSet, LocalSet, spawn_blocking, spawn_local, yield_now};
use telemetry_rt::testing::{Capture, Captured, capture};
use telemetry_rt::time::{Duration, Instant, sleep, timeout};

fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

#[track_caller]
fn assert_tree<T>(captured: &Captured<T>, expected: &str) {
    let tree = captured.tree();
    assert!(tree == expected, "expected\n{expected}\nfound\n{tree}");
}

fn message_of<T>(panics: impl FnOnce() -> T) -> String {
    let caught = catch_unwind(AssertUnwindSafe(|| drop(panics())));
    let payload = caught.expect_err("a panic was expected");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

// ----- a program that does a little of everything -----

#[telemetry_rt::span]
async fn query(rows: i64) -> i64 {
    yield_now().await;
    telemetry_rt::spawn(decode(rows)).await.unwrap()
}

#[telemetry_rt::span(attributes("input.rows" = rows))]
fn parse(rows: i64) -> i64 {
    rows
}

async fn decode(rows: i64) -> i64 {
    spawn_blocking(move || parse(rows)).await.unwrap()
}

async fn fail() -> Result<(), String> {
    Err("no".to_owned())
}

async fn explode() {
    panic!("boom");
}

async fn serve() -> i64 {
    let first = telemetry_rt::spawn(query(1));
    let failed = telemetry_rt::spawn(fail());
    let exploded = named("bomb").spawn(explode());
    let endless = named("endless").spawn(pending::<()>());
    let aborted = named("aborted").spawn(pending::<()>());
    let rows = query(2).await + first.await.unwrap();
    assert!(failed.await.unwrap().is_err());
    assert!(exploded.await.unwrap_err().is_panic());
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    drop(endless);
    rows
}

const SERVED: &str = "\
serve
  query
    query
      decode
        decode
          parse {input.rows=1}
  fail ! returned Err(alloc::string::String)
  bomb ! panicked: boom
    · exception {exception.message=boom}
  endless [cancelled]
  aborted [cancelled]
  query
    decode
      decode
        parse {input.rows=2}
";

const COUNTED: &str = "\
process.count [{process}]                                               value
  type=blocking name=decode state=finished                                  2
  type=future name=serve state=finished                                     1
  type=task name=aborted state=cancelled                                    1
  type=task name=bomb state=exception error.type=panic                      1
  type=task name=decode state=finished                                      2
  type=task name=endless state=cancelled                                    1
  type=task name=fail state=exception error.type=alloc::string::String      1
  type=task name=query state=finished                                       1
";

#[telemetry_rt::span]
async fn refuse() -> Result<(), String> {
    Err("no".to_owned())
}

async fn leaf() {}

async fn scoped() {
    let load = span("load");
    telemetry_rt::spawn(leaf()).await.unwrap();
    {
        let _parse = span("parse");
        yield_now().await;
        telemetry_rt::spawn(leaf()).await.unwrap();
    }
    assert!(refuse().await.is_err());
    drop(load);
    telemetry_rt::spawn(leaf()).await.unwrap();
    let _held_to_the_end = span("store");
    telemetry_rt::spawn(leaf()).await.unwrap();
}

const SCOPED: &str = "\
scoped
  load
    leaf
    parse
      leaf
    refuse !
  leaf
  store
    leaf
";

fn served(capture: Capture) -> Captured<i64> {
    let keys = ["input.rows", "exception.message"];
    capture.with_attributes(keys).with_events().run(serve())
}

#[test]
fn tree_and_table_are_as_expected() {
    let captured = served(Capture::new());
    assert_eq!(captured.output, 3);
    assert_tree(&captured, SERVED);
    let table = captured.metrics_table();
    assert!(table == COUNTED, "{table}");
}

#[test]
fn spans_of_the_program_stand_where_they_were_opened() {
    assert_tree(&capture(scoped()), SCOPED);
}

#[test]
fn they_are_the_same_each_time_on_any_number_of_workers() {
    for round in 0..200 {
        let capture = || match round % 2 {
            0 => Capture::new(),
            _ => Capture::new().workers(2),
        };
        if round < 50 {
            assert_tree(&capture().run(scoped()), SCOPED);
        }
        let captured = served(capture());
        assert_tree(&captured, SERVED);
        assert!(captured.metrics_table() == COUNTED);
    }
}

#[test]
fn captures_at_the_same_time_do_not_see_one_another() {
    async fn of(number: usize) {
        for _ in 0..=number {
            named(&format!("task {number}"))
                .spawn(spawn_below(number))
                .await
                .unwrap();
        }
    }
    async fn spawn_below(number: usize) {
        yield_now().await;
        let name = format!("below {number}");
        named(&name).spawn_blocking(|| ()).await.unwrap();
    }
    let capture_of = |number: usize| {
        let capture = match number % 4 {
            0 => Capture::new().workers(2),
            _ => Capture::new(),
        };
        let captured = capture.run(of(number));
        let one = format!("  task {number}\n    below {number}\n");
        assert_tree(&captured, &format!("of\n{}", one.repeat(number + 1)));
        assert_eq!(
            captured.count(&format!("task {number}"), "finished"),
            number as u64 + 1
        );
        assert_eq!(captured.metrics_table().lines().count(), 4);
    };
    thread::scope(|scope| {
        for number in 0..16 {
            scope.spawn(move || capture_of(number));
        }
    });
}

// ----- endings -----

#[test]
fn what_runs_at_the_end_is_cancelled_and_a_running_function_is_waited_for() {
    async fn leave() {
        drop(named("never polled").spawn(pending::<()>()));
        let (started, starts) = oneshot::channel();
        drop(named("running").spawn_blocking(move || {
            started.send(()).unwrap();
            thread::sleep(Duration::from_millis(20));
        }));
        starts.await.unwrap();
    }
    let captured = capture(leave());
    assert_tree(&captured, "leave\n  never polled [cancelled]\n  running\n");
    assert_eq!(captured.count("never polled", "cancelled"), 1);
    assert_eq!(captured.count("running", "finished"), 1);
    assert_eq!(captured.count("running", "cancelled"), 0);
}

#[test]
fn a_panic_of_the_future_goes_on_or_is_told() {
    async fn root() {
        named("before").spawn(async {}).await.unwrap();
        panic!("boom");
    }
    assert_eq!(message_of(|| capture(root())), "boom");
    let captured = Capture::new().try_run(root());
    assert!(captured.output.is_err());
    assert_tree(&captured, "root ! panicked: boom\n  before\n");
    assert_eq!(captured.count("root", "exception"), 1);
    assert_eq!(Capture::new().try_run(async { 7 }).output.unwrap(), 7);
}

#[test]
fn a_paused_clock_lets_hours_pass_at_once() {
    async fn slow() -> u64 {
        sleep(Duration::from_secs(3600)).await;
        7
    }
    async fn clock() -> Duration {
        let start = Instant::now();
        let late = telemetry_rt::spawn(timeout(Duration::from_secs(60), slow()));
        let in_time = telemetry_rt::spawn(timeout(Duration::from_secs(7200), slow()));
        assert!(late.await.unwrap().is_err());
        assert_eq!(in_time.await.unwrap(), Ok(7));
        start.elapsed()
    }
    let captured = Capture::new().paused(true).run(clock());
    assert_eq!(captured.output, Duration::from_secs(3600));
    assert_tree(&captured, "clock\n  slow ! its time was up\n  slow\n");
    assert_eq!(captured.count("slow", "timeout"), 1);
    assert_eq!(captured.count("slow", "finished"), 1);
}

#[test]
fn local_tasks_and_sets_are_part_of_it() {
    async fn local() {
        let set = LocalSet::new();
        let inside = set.run_until(async { spawn_local(leaf()).await.unwrap() });
        inside.await;
        let mut set = JoinSet::new();
        set.spawn(leaf());
        set.join_all().await;
    }
    assert_tree(&capture(local()), "local\n  leaf\n  leaf\n");
}

// ----- what is shown -----

async fn chatter() {
    named("root").root().spawn(async {}).unwrap_join().await;
    named("b").spawn(async {}).unwrap_join().await;
    named("a").spawn(async {}).unwrap_join().await;
}

trait UnwrapJoin {
    fn unwrap_join(self) -> impl Future<Output = ()>;
}

impl UnwrapJoin for task::JoinHandle<()> {
    async fn unwrap_join(self) {
        self.await.unwrap();
    }
}

#[test]
fn links_and_attributes_are_shown_if_they_are_asked_for() {
    assert_tree(&capture(chatter()), "chatter\n  b\n  a\nroot\n");
    let captured = Capture::new()
        .with_links()
        .with_attributes(["no.such", "task.type", "task.polls"])
        .run(chatter());
    let type_of = |name| captured.attribute(name, "task.type").unwrap().to_string();
    assert_eq!(
        (type_of("chatter"), type_of("a")),
        ("future".into(), "task".into())
    );
    assert_tree(
        &captured,
        "\
chatter {task.type=future, task.polls=4}
  b {task.type=task, task.polls=1}
  a {task.type=task, task.polls=1}
root {task.type=task, task.polls=1}
  → chatter
",
    );
    assert_eq!(captured.to_string(), captured.tree());
    let attributes = captured.spans().iter().flat_map(|span| &span.attributes);
    let mut keys = attributes.map(|attribute| attribute.key.as_str());
    assert!(
        !keys.any(|key| key.contains("testing")),
        "a number was left"
    );
    let order: Vec<_> = captured.spans().iter().map(|span| &*span.name).collect();
    assert_eq!(order, ["chatter", "b", "a", "root"]);
}

#[test]
fn siblings_can_be_sorted_by_what_is_shown() {
    let captured = Capture::new().sorted_by_text().run(async {
        let nest = |name, below| {
            named(name).spawn(async move {
                named(below).spawn(async {}).await.unwrap();
            })
        };
        let tasks = [nest("same", "z"), nest("same", "y"), nest("other", "x")];
        for task in tasks {
            task.await.unwrap();
        }
    });
    let name = "siblings_can_be_sorted_by_what_is_shown";
    assert_tree(
        &captured,
        &format!("{name}\n  other\n    x\n  same\n    y\n  same\n    z\n"),
    );
}

#[test]
fn how_it_is_recorded_can_be_changed() {
    let captured = Capture::new()
        .with_events()
        .otel(|otel| {
            otel.poll_detail(PollDetail::Events)
                .task_names(NameList::parse("how_it*,kept"))
        })
        .run(async {
            named("kept").spawn(yield_now()).await.unwrap();
            named("hidden").spawn(async {}).await.unwrap();
        });
    assert_tree(
        &captured,
        "\
how_it_is_recorded_can_be_changed
  · poll
  · poll
  · poll
  kept
    · poll
    · poll
",
    );
    // Metrics are whole whatever is listed.
    assert_eq!(captured.count("hidden", "finished"), 1);
}

// ----- mistakes -----

#[test]
fn a_question_that_has_no_answer_says_what_there_is() {
    let captured = capture(chatter());
    let message = message_of(|| captured.span("c").clone());
    assert_eq!(
        message,
        "there are 0 spans of the name \"c\", and not one, in\nchatter\n  b\n  a\nroot\n"
    );
    let message = message_of(|| captured.metric("process.cuont").clone());
    assert!(message.starts_with("there is no metric \"process.cuont\", but [\"process."));
}

#[test]
fn a_paused_clock_with_workers_is_refused() {
    let message = message_of(|| Capture::new().workers(2).paused(true).run(async {}));
    assert_eq!(
        message,
        "nothing can be captured: `start_paused` is for current-thread runtimes"
    );
}

#[telemetry_rt::test]
async fn within_a_runtime_it_panics_and_another_thread_helps() {
    let message = message_of(|| capture(async {}));
    assert!(message.starts_with("Cannot start a runtime from within a runtime"));
    let captured = spawn_blocking(|| capture(async { telemetry_rt::spawn(async { 7 }).await }));
    assert_eq!(captured.await.unwrap().output.unwrap(), 7);
    // It left nothing behind.
    telemetry_rt::spawn(yield_now()).await.unwrap();
}
