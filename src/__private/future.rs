//! A future within a span: what an `async fn` under `#[span]` becomes.
//!
//! It owns the spans that guards hold open within it, as a task owns those that are opened in it
//! itself: between its polls none of them is current, so that futures side by side in one task
//! (`join!`, `select!`, `FuturesUnordered`) do not see one another's.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::thread;

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use pin_project_lite::pin_project;
use telemetry_rt_telemetry::record::Scopes;

use super::spans;

pin_project! {
    /// A future whose span is current while it is polled, and ends when it does.
    pub struct SpanFuture<F, B> {
        // Taken out when it is dropped, so that the span is current then, too.
        #[pin]
        future: Option<F>,
        span: Stage<B>,
        scopes: Scopes,
    }

    impl<F, B> PinnedDrop for SpanFuture<F, B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Stage::Begun(context) = this.span {
                let dropped = within(context, this.scopes, || this.future.set(None));
                // Also when somebody keeps the context: what was cancelled goes on no longer.
                context.span().end();
                if let Err(payload) = dropped {
                    resume_unwind(payload);
                }
            }
        }
    }
}

/// Calls `f` with the context and the scopes of a future current on this thread.
fn within<R>(context: &Context, scopes: &mut Scopes, f: impl FnOnce() -> R) -> thread::Result<R> {
    let attached = spans::make_current(context);
    let outer = scopes.enter();
    let called = catch_unwind(AssertUnwindSafe(f));
    scopes.leave(outer);
    drop(attached);
    called
}

/// What has become of the span.
enum Stage<B> {
    /// It begins with the first poll.
    New(B),
    Begun(Context),
    Ended,
}

impl<B: FnOnce() -> Context> Stage<B> {
    /// The context of the span, which begins if it has not yet.
    fn context(&mut self) -> Context {
        let context = match std::mem::replace(self, Stage::Ended) {
            Stage::New(begin) => begin(),
            Stage::Begun(context) => context,
            Stage::Ended => panic!("a future in a span was polled after completion"),
        };
        *self = Stage::Begun(context.clone());
        context
    }
}

impl<F, B> Future for SpanFuture<F, B>
where
    F: Future,
    B: FnOnce() -> Context,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let context = this.span.context();
        let polled = within(&context, this.scopes, || {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future.expect("it is there until it is done").poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                *this.span = Stage::Ended;
                spans::end(&context, &output);
                Poll::Ready(output)
            }
            Err(payload) => {
                *this.span = Stage::Ended;
                spans::end_panicked(&context);
                resume_unwind(payload)
            }
        }
    }
}

/// Runs a future within the span that `begin` begins.
pub(crate) fn around<F, B>(begin: B, future: F) -> SpanFuture<F, B>
where
    F: Future,
    B: FnOnce() -> Context,
{
    SpanFuture {
        future: Some(future),
        span: Stage::New(begin),
        scopes: Scopes::default(),
    }
}

/// Runs a future within the span of an `async fn`.
pub fn span_future<F, A>(
    name: &'static str,
    attributes: A,
    file: &'static str,
    line: u32,
    function: &'static str,
    future: F,
) -> SpanFuture<F, impl FnOnce() -> Context>
where
    F: Future,
    A: FnOnce() -> Vec<KeyValue>,
{
    let begin = move || spans::begin_function(name, attributes, (file, line, function));
    around(begin, future)
}
