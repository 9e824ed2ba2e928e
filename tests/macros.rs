//! Do the attributes leave functions as they were: their signatures, borrows, errors, drops?
//!
//! What is generated is held to more lints than hand-written code, as the user's own may be. That
//! spans are recorded is tested where telemetry is; here the attributes must do no harm, and the
//! file is compiled with telemetry and without.

#![cfg(feature = "macros")]
#![forbid(
    unreachable_code,
    clippy::infinite_loop,
    clippy::redundant_closure_call
)]
#![deny(warnings, clippy::pedantic, clippy::unwrap_used, clippy::expect_used)]

#[path = "ecosystem/watchdog.rs"]
mod watchdog;

use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Display};
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;

use telemetry_rt::runtime::{Handle, RuntimeFlavor};
use telemetry_rt::time::{Duration, Instant, sleep};
use telemetry_rt::{SpanGuard, span, span_builder};
use watchdog::Watchdog;

#[derive(Debug)]
struct Mine;

impl Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mine")
    }
}

impl Error for Mine {}

// ----- main -----

#[telemetry_rt::main]
async fn borrows_and_moves(text: &str, owned: String, mut number: u32) -> (&str, String, u32) {
    number += 1;
    (text, owned, number)
}

#[telemetry_rt::main(flavor = "current_thread")]
async fn returns_something_that_displays(number: u32) -> impl Display {
    ready(()).await;
    number
}

#[telemetry_rt::main]
async fn never_returns(number: u32) -> ! {
    ready(number).await;
    std::process::exit(0)
}

#[telemetry_rt::main(flavor = "multi_thread", worker_threads = 3)]
async fn workers() -> (RuntimeFlavor, usize) {
    let handle = Handle::current();
    (handle.runtime_flavor(), handle.num_workers())
}

#[telemetry_rt::main(flavor = "current_thread", start_paused = true)]
async fn an_hour() -> Duration {
    let start = Instant::now();
    sleep(Duration::from_hours(1)).await;
    start.elapsed()
}

#[test]
fn a_function_of_its_own_runtime_is_called_like_any_other() {
    let _watchdog = Watchdog::new();
    let returned = borrows_and_moves("text", "owned".to_owned(), 1);
    assert_eq!(returned, ("text", "owned".to_owned(), 2));
    assert_eq!(returns_something_that_displays(1).to_string(), "1");
    assert_eq!(workers(), (RuntimeFlavor::MultiThread, 3));
    assert_eq!(an_hour(), Duration::from_hours(1));
    let _: fn(u32) -> ! = never_returns;
}

// ----- test -----

#[telemetry_rt::test]
async fn a_test_runs_on_a_current_thread_runtime_and_may_fail_with_any_error()
-> Result<(), Box<dyn Error>> {
    let flavor = Handle::current().runtime_flavor();
    assert_eq!(flavor, RuntimeFlavor::CurrentThread);
    let fails: bool = "false".parse()?;
    if fails {
        return Err(Box::new(Mine));
    }
    Ok(())
}

#[telemetry_rt::test(start_paused = true)]
#[should_panic(expected = "boom")]
async fn a_test_that_should_panic_does() {
    panic!("boom")
}

#[telemetry_rt::test]
#[ignore = "it never ends, and only has to compile"]
async fn attributes_within_the_body_stay_there() {
    #![allow(unused_mut, reason = "an inner attribute")]
    loop {
        ready(()).await;
    }
}

#[telemetry_rt::test(crate = "::telemetry_rt", flavor = "multi_thread", worker_threads = 2)]
async fn a_test_may_ask_for_workers_and_say_where_the_crate_is() {
    assert_eq!(Handle::current().num_workers(), 2);
}

// ----- span: signatures -----

struct App {
    name: String,
}

impl App {
    #[telemetry_rt::main]
    async fn run(self) -> String {
        self.name
    }

    #[span]
    fn name(&self) -> &str {
        &self.name
    }

    #[span(attributes(x = 1))]
    fn name_mut(&mut self) -> &mut String {
        &mut self.name
    }

    #[span]
    async fn name_later(&self) -> &str {
        &self.name
    }

    #[span]
    async fn name_mut_later<'a>(&'a mut self, _other: &str) -> &'a mut String {
        &mut self.name
    }

    #[span]
    fn cow(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    #[span]
    async fn cow_later(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    #[span]
    async fn length_when_pinned(self: Pin<&mut Self>) -> usize {
        self.name.len()
    }

    #[span]
    fn into_name(self) -> String {
        self.name
    }
}

trait Numbered {
    async fn doubled(&self, number: &u32) -> u32;

    #[span]
    fn provided(&self) -> u32 {
        5
    }
}

impl Numbered for App {
    #[span]
    async fn doubled(&self, number: &u32) -> u32 {
        *number * 2
    }
}

#[telemetry_rt::test]
async fn methods_keep_their_receivers_and_lifetimes() {
    let mut app = App {
        name: "n".to_owned(),
    };
    assert_eq!(app.name(), "n");
    app.name_mut().push('1');
    assert_eq!(app.name_later().await, "n1");
    app.name_mut_later("").await.push('2');
    assert_eq!(app.cow(), "n12");
    assert_eq!(app.cow_later().await, "n12");
    assert_eq!(Pin::new(&mut app).length_when_pinned().await, 3);
    assert_eq!(app.doubled(&3).await + app.provided(), 11);
    assert_eq!(app.into_name(), "n12");
}

#[test]
fn a_method_may_have_a_runtime_of_its_own() {
    let name = "x".to_owned();
    assert_eq!(App { name }.run(), "x");
}

#[span]
fn makes_a_future() -> impl Future<Output = u32> {
    async { 3 }
}

#[span]
async fn displays_later(number: u32) -> impl Display {
    number
}

#[span]
fn displays_or_fails(number: u32) -> Result<impl Display, Box<dyn Error>> {
    if number == 0 {
        return Err(Box::new(Mine));
    }
    Ok(number)
}

#[span]
async fn displays_or_fails_later(number: u32) -> Result<impl Display, Box<dyn Error>> {
    if number == 0 {
        return Err(Box::new(Mine));
    }
    Ok(number)
}

#[span]
fn never() -> ! {
    std::process::exit(0)
}

#[span]
async fn never_later() -> ! {
    std::process::exit(0)
}

#[span]
async fn counts_itself(number: u32) -> u32 {
    match number {
        0 => 0,
        _ => Box::pin(counts_itself(number - 1)).await + 1,
    }
}

#[telemetry_rt::test]
async fn opaque_and_recursive_functions_return_what_they_did() {
    assert_eq!(makes_a_future().await, 3);
    assert_eq!(displays_later(3).await.to_string(), "3");
    assert_eq!(
        displays_or_fails(3)
            .map(|it| it.to_string())
            .ok()
            .as_deref(),
        Some("3")
    );
    assert!(displays_or_fails(0).is_err());
    assert!(displays_or_fails_later(0).await.is_err());
    assert!(displays_or_fails_later(1).await.is_ok());
    assert_eq!(counts_itself(3).await, 3);
    let _: fn() -> ! = never;
    drop(never_later());
}

// ----- span: bodies -----

#[span(name = "load", attributes(id = id, "user.name" = user.to_owned(), owned = owned.clone()))]
async fn load(id: i64, user: &str, owned: String) -> Result<String, Box<dyn Error + Send + Sync>> {
    if id == 0 {
        return Err(Box::new(Mine));
    }
    let parsed: u8 = "7".parse()?;
    ready(()).await;
    Ok(format!("{id} {user} {parsed}") + &owned)
}

#[span(attributes(a = text.to_owned()))]
fn pushed<T: Clone>(text: &str, mut list: Vec<T>, item: &T) -> Result<Vec<T>, Box<dyn Error>> {
    let _: u8 = text.parse()?;
    list.push(item.clone());
    Ok(list)
}

fn sendable<F: Future + Send>(future: F) -> F {
    future
}

#[telemetry_rt::test]
async fn errors_leave_by_return_and_by_question_mark() {
    let failed = sendable(load(0, "", String::new())).await;
    assert_eq!(
        failed.map_err(|error| error.to_string()),
        Err("mine".to_owned())
    );
    let loaded = load(1, "ada", "!".to_owned()).await;
    assert_eq!(
        loaded.map_err(|error| error.to_string()),
        Ok("1 ada 7!".to_owned())
    );
    assert!(pushed("", vec![1], &2).is_err());
    assert_eq!(pushed("1", vec![1], &2).ok(), Some(vec![1, 2]));
}

#[span]
fn counts_up(mut number: u32) -> u32 {
    while number < 5 {
        number += 1;
    }
    number
}

#[span]
async fn pushes_later(list: &mut Vec<u8>) {
    list.push(1);
}

/// Names that the expansion might use itself.
#[span(attributes(n = i64::from(attributes)))]
async fn adds(attributes: u32, body: u32) -> u32 {
    attributes + body
}

#[telemetry_rt::test]
async fn arguments_are_mutable_and_named_as_they_were() {
    let mut list = Vec::new();
    pushes_later(&mut list).await;
    assert_eq!(list, [1]);
    assert_eq!(counts_up(3), 5);
    assert_eq!(adds(3, 4).await, 7);
}

/// Notes when it is dropped.
struct Tell(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[span]
fn drops(first: Tell, second: Tell) {
    let _used = (&first, &second);
    first.1.borrow_mut().push("body");
}

#[span]
async fn drops_later(first: Tell, second: Tell) {
    let _used = (&first, &second);
    first.1.borrow_mut().push("body");
}

#[telemetry_rt::test]
async fn arguments_are_dropped_after_the_body() {
    let log = Rc::default();
    let tell = |name| Tell(name, Rc::clone(&log));
    drops(tell("first"), tell("second"));
    drops_later(tell("first"), tell("second")).await;
    drop(drops_later(tell("unpolled"), tell("unpolled")));
    let mut log = log.take();
    assert_eq!(log.split_off(6), ["unpolled", "unpolled"]);
    for call in log.chunks_mut(3) {
        assert_eq!(call[0], "body");
        call.sort_unstable();
        assert_eq!(call, ["body", "first", "second"]);
    }
}

#[span]
fn panics() -> u32 {
    panic!("boom")
}

#[telemetry_rt::test]
async fn a_panic_passes_through_a_span() {
    let caught = std::panic::catch_unwind(panics);
    let payload = caught
        .err()
        .and_then(|payload| payload.downcast::<&str>().ok());
    assert_eq!(payload.as_deref(), Some(&"boom"));
}

// ----- guards -----

/// A guard within `#[span]`, held across an await and moved into the output of a function.
#[span(attributes(n = i64::from(number)))]
async fn guarded(number: u32, text: &str) -> (u32, SpanGuard) {
    let guard = span("guard");
    guard.set_attribute("text", text.to_owned());
    ready(()).await;
    guard.record_error(&Mine);
    guard.set_error(&Mine);
    (number, guard)
}

#[span]
fn guarded_sync<'a>(text: &'a str, guard: &SpanGuard) -> &'a str {
    let _inner = span(text.to_owned());
    guard.set_attribute("n", 1);
    text
}

#[telemetry_rt::test]
async fn guards_are_written_alike_with_telemetry_and_without() {
    let (number, guard) = sendable(guarded(7, "text")).await;
    assert_eq!(number, 7);
    assert_eq!(guarded_sync("text", &guard), "text");
    drop(guard);
    let opened = span_builder("opened")
        .with("id", 7)
        .with("name", "ada")
        .open();
    let around = span_builder("around").around(async { &opened });
    around.await.set_error::<dyn Error>(&Mine);
}

// ----- macros of users -----

macro_rules! generate {
    ($name:ident, $argument:ident : $type:ty, $body:block) => {
        #[span(crate = ::telemetry_rt, attributes(n = i64::from($argument)))]
        fn $name($argument: $type) -> $type $body
    };
}

generate!(made_by_a_macro, number: u32, { number + 1 });

#[test]
fn the_attributes_work_in_what_other_macros_generate() {
    assert_eq!(made_by_a_macro(1), 2);
}
