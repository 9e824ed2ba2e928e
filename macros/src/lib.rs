//! The attribute macros of `telemetry_rt`: [`macro@main`], [`macro@test`] and [`macro@span`].
//!
//! Use them through `telemetry_rt`, which exports all three. What they expand to names items of
//! that crate only, so that a program has one dependency; `crate = path` says where to find it
//! when it goes by another name.
//!
//! A macro that is used wrongly names what was wrong and what is accepted, points at it, and
//! leaves the rest of the program standing, so that one mistake is one error.

#![forbid(unsafe_code)]

use entry::Entry;
use proc_macro::TokenStream;

mod args;
mod entry;
mod function;
mod span;
#[cfg(test)]
mod testing;

/// Runs an `async fn` on a runtime made for it, so that it can be called like any function.
///
/// The usual place is `async fn main`, with any return type that `main` may have. Another
/// function keeps its arguments and loses its `async`: every call builds a runtime, runs the body
/// and shuts the runtime down.
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `flavor = "…"` | `"multi_thread"`: tasks run on worker threads; `"current_thread"`: they run on the calling thread while the body waits | `"multi_thread"` |
/// | `worker_threads = N` | how many workers, at least 1; with `multi_thread` only | one per processor |
/// | `start_paused = true` | time stands still from the beginning and moves on when every task waits; with `current_thread` only | `false` |
/// | `crate = path` | where `telemetry_rt` is, bare or in quotes | `::telemetry_rt` |
///
/// The drivers of I/O and time are always enabled.
///
/// # What is recorded
///
/// The body is a process of type `future`, named after the function. Tasks that it spawns are its
/// children.
///
/// # Cost
///
/// That of building a runtime: its threads are started before the body runs. The body itself is
/// not boxed.
///
/// # Panics
///
/// The function panics where the runtime cannot be built, for example because the operating
/// system refuses a thread or a file descriptor, and where it is called on a thread that runs a
/// runtime already.
///
/// # Example
///
/// ```
/// #[telemetry_rt::main(flavor = "multi_thread", worker_threads = 2)]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let parsed = telemetry_rt::spawn(async { "42".parse::<u32>() });
///     let answer = parsed.await.expect("the task neither panics nor is aborted")?;
///     assert_eq!(answer, 42);
///     Ok(())
/// }
/// ```
///
/// It expands to about this:
///
/// ```
/// fn main() -> Result<(), std::num::ParseIntError> {
///     let body = async { Ok(()) };
///     telemetry_rt::runtime::Builder::new_multi_thread()
///         .enable_all()
///         .worker_threads(2)
///         .build()
///         .expect("Failed building the Runtime")
///         .block_on(body)
/// }
/// ```
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Entry::Main, args.into(), item.into()).into()
}

/// Makes a test of an `async fn`, on a runtime of its own.
///
/// The function becomes a `#[test]`, so that it takes no arguments and needs no second test
/// attribute. Other attributes (`#[should_panic]`, `#[ignore]`, `#[cfg(…)]`) keep their meaning,
/// and the test may return a `Result`.
///
/// # Arguments
///
/// Those of [`macro@main`], but the flavor is `"current_thread"` unless it is given:
/// `worker_threads` asks for `flavor = "multi_thread"`, and `start_paused` is accepted by itself.
///
/// # Panics
///
/// The test fails where the runtime cannot be built.
///
/// # Example
///
/// ```
/// # use std::time::Duration;
/// # use telemetry_rt::time::{Instant, sleep};
/// #[telemetry_rt::test(start_paused = true)]
/// async fn an_hour_passes_at_once() {
///     let start = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     assert!(start.elapsed() >= Duration::from_secs(3600));
/// }
///
/// #[telemetry_rt::test(flavor = "multi_thread", worker_threads = 2)]
/// #[should_panic(expected = "boom")]
/// async fn a_panic_fails_the_test() {
///     panic!("boom");
/// }
/// ```
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Entry::Test, args.into(), item.into()).into()
}

/// Records every call of a function as a span: from its start to its end, with all that happens
/// inside as children.
///
/// It goes on a free function or a method with a body, `async` or not, and leaves the signature
/// as it is. The span of an `async fn` belongs to its future: it lasts from the first poll until
/// the future is ready or dropped, is current only while that future is polled, and so stays
/// right where several futures run within one task, as in `join!` and `select!`; guards made by
/// `telemetry_rt::span(…)` within it belong to it. A function that
/// returns a future without being an `async fn` is recorded as what it is, a call that ends when
/// the future has been made; the methods that `#[async_trait]` makes are such functions.
///
/// A returned `Err` marks the span as failed.
///
/// The body becomes a closure or an `async` block of its own. The function's arguments that it
/// uses are dropped at its end, within the span, in the order of their first use; the others as
/// ever, after it.
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `name = "…"` | the span's name | the function's name |
/// | `attributes(key = value, …)` | attributes of the span; a key with dots goes in quotes | none |
/// | `crate = path` | where `telemetry_rt` is, bare or in quotes | `::telemetry_rt` |
///
/// A value is an expression of a type that an OpenTelemetry attribute can be made of: `bool`,
/// `i64`, `f64`, `String`, `&'static str`. It may use the function's arguments and is computed
/// before the body begins; what it moves, the body does not find, so that texts are cloned:
/// `user = user.to_owned()`.
///
/// # Cost
///
/// That of the span, and of the attributes' values with the vector they are kept in, whether the
/// span is sampled or not. An `async fn` is neither boxed nor does it become `!Send`.
///
/// # Cancel safety
///
/// An `async fn` is as safe to cancel as without the attribute. When its future is dropped early,
/// the span ends there.
///
/// # Example
///
/// ```
/// use telemetry_rt::span;
///
/// struct Shop;
///
/// impl Shop {
///     #[span(name = "load order", attributes("order.id" = id, customer = customer.to_owned()))]
///     async fn load(&self, id: i64, customer: &str) -> Result<String, std::fmt::Error> {
///         Ok(format!("{customer}: {}", price(id)))
///     }
/// }
///
/// #[span]
/// fn price(id: i64) -> i64 {
///     id * 100
/// }
///
/// #[telemetry_rt::main]
/// async fn main() {
///     assert_eq!(Shop.load(7, "Ada").await, Ok("Ada: 700".to_owned()));
/// }
/// ```
///
/// The attribute is at home on functions only:
///
/// ```compile_fail
/// #[telemetry_rt::span]
/// struct Order;
/// ```
#[proc_macro_attribute]
pub fn span(args: TokenStream, item: TokenStream) -> TokenStream {
    span::expand(args.into(), item.into()).into()
}
