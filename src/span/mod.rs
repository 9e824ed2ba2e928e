//! Spans that a program opens by itself: guards, and futures within a span.
//!
//! Two twins of equal shape: `active`, and `inert`, which records nothing and has no size.

#[cfg(feature = "telemetry")]
mod active;
#[cfg(feature = "telemetry")]
pub use active::{SpanBuilder, SpanGuard};

#[cfg(not(feature = "telemetry"))]
mod inert;
#[cfg(not(feature = "telemetry"))]
pub use inert::{SpanBuilder, SpanGuard};

use std::borrow::Cow;

/// Begins a span below the current one, which is current itself until the guard is dropped.
///
/// The guard may be held across `.await`, and is `Send`: the span belongs to the task, or to the
/// function on the blocking pool, and not to the thread. It is current whenever that is polled, on
/// whichever thread; what begins meanwhile — spans of libraries, tasks — hangs below it. Other tasks
/// see nothing of it.
///
/// It goes where the spans of the current runtime go, or to the global tracer provider if that
/// runtime exports none.
///
/// # Which guard, and which is better
///
/// * `let _ = span("load");` drops the guard at once. Give it a name: `let _load = …`.
/// * Guards may be dropped in any order: the one that was opened last and is still held is current.
/// * A guard belongs to the future in whose poll it was opened: the innermost of a task, an
///   `async fn` under [`#[span]`](macro@crate::span), and a future given to
///   [`SpanBuilder::around`]. A guard that is dropped elsewhere — in another task, on another thread
///   — ends its span at once; a task that is being polled just then goes on to see it until the end
///   of that poll.
/// * The branches of `join!` or `select!`, and the futures of a `FuturesUnordered`, are polled by
///   one task. Guards that plain futures among them hold across `.await` are all current in all of
///   them, nested in the order in which they were opened. Put such branches into an `async fn` with
///   `#[span]`, or around each an [`around`](SpanBuilder::around): what they hold is theirs then.
/// * The same goes for a future within OpenTelemetry's `with_context` or tracing's `instrument`:
///   from its second poll on the context that they attach hides the guards that it holds.
///
/// # Cost
///
/// That of a span, and an allocation for the scope. While it is held, each poll of its owner
/// attaches its context and detaches it, without a lock.
///
/// # Cancel safety
///
/// When a future is dropped so are the guards that it holds, and their spans end there, with no
/// error. A panic that unwinds through a guard marks its span as failed.
///
/// # Example
///
/// ```
/// use telemetry_rt::{span, task::yield_now};
///
/// async fn load(id: i64) -> i64 {
///     let load = span("load");
///     load.set_attribute("order.id", id);
///     yield_now().await;
///     {
///         let _parse = span("parse");
///         // Below "parse", as that is below "load".
///         telemetry_rt::spawn(yield_now()).await.unwrap();
///     }
///     id * 2
/// }
///
/// assert_eq!(telemetry_rt::block_on(load(21)), 42);
/// ```
#[track_caller]
pub fn span(name: impl Into<Cow<'static, str>>) -> SpanGuard {
    span_builder(name).open()
}

/// Describes a span that has not begun: with attributes that a sampler sees, or around a future.
///
/// # Example
///
/// ```
/// use telemetry_rt::{span_builder, task::yield_now};
///
/// async fn fetch(id: i64) -> i64 {
///     let _fetch = span_builder("fetch").with("id", id).open();
///     yield_now().await;
///     id
/// }
///
/// let sum = telemetry_rt::block_on(async {
///     let (a, b) = telemetry_rt::join!(
///         span_builder("left").around(fetch(1)),
///         span_builder("right").around(async { fetch(2).await * 2 }),
///     );
///     a + b
/// });
/// assert_eq!(sum, 5);
/// ```
#[track_caller]
pub fn span_builder(name: impl Into<Cow<'static, str>>) -> SpanBuilder {
    SpanBuilder::new(name)
}
