//! What the macros expand to. Not for use by hand.

#[cfg(feature = "telemetry")]
pub use active::*;
#[cfg(not(feature = "telemetry"))]
pub use inert::*;

#[cfg(feature = "telemetry")]
mod active {
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context as TaskContext, Poll};

    pub use opentelemetry::KeyValue;
    use opentelemetry::trace::{Status, TraceContextExt, Tracer, TracerProvider};
    use opentelemetry::{Context, global};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use pin_project_lite::pin_project;
    use telemetry_rt_telemetry::record::{Recorder, outcome_of};

    use crate::otel::Pipeline;
    use crate::runtime::Handle;

    const SCOPE: &str = "telemetry_rt";

    /// Lets spans of users that run on a runtime find that runtime's pipeline.
    pub(crate) fn attach(recorder: &Recorder, pipeline: &Pipeline) {
        recorder.attach(Arc::new(pipeline.tracer_provider()));
    }

    /// Begins a span below the current one: in the pipeline of the current runtime, or in the
    /// global provider if that exports nothing.
    fn begin(
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        (file, line, module): (&'static str, u32, &'static str),
    ) -> Context {
        let mut attributes = attributes();
        attributes.extend([
            KeyValue::new("code.function.name", format!("{module}::{name}")),
            KeyValue::new("code.file.path", file),
            KeyValue::new("code.line.number", i64::from(line)),
        ]);
        let parent = Context::current();
        let handle = Handle::try_current().ok();
        let own = handle
            .as_ref()
            .and_then(|handle| handle.recorder().attached::<SdkTracerProvider>());
        match own {
            Some(provider) => start(&provider.tracer(SCOPE), name, attributes, &parent),
            None => start(&global::tracer(SCOPE), name, attributes, &parent),
        }
    }

    fn start<T>(
        tracer: &T,
        name: &'static str,
        attributes: Vec<KeyValue>,
        parent: &Context,
    ) -> Context
    where
        T: Tracer,
        T::Span: Send + Sync + 'static,
    {
        let builder = tracer.span_builder(name).with_attributes(attributes);
        parent.with_span(tracer.build_with_context(builder, parent))
    }

    fn end<T>(context: &Context, output: &T) {
        let span = context.span();
        if outcome_of(output).is_error() {
            span.set_attribute(KeyValue::new("error.type", error_type::<T>()));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    fn end_panicked(context: &Context) {
        let span = context.span();
        span.set_attribute(KeyValue::new("error.type", "panic"));
        span.set_status(Status::error("panicked"));
        span.end();
    }

    fn error_type<T>() -> &'static str {
        telemetry_rt_telemetry::record::error_type_of(std::any::type_name::<T>())
            .unwrap_or("_OTHER")
    }

    pin_project! {
        /// A future whose span is current while it is polled, and ends when it does.
        pub struct SpanFuture<F> {
            #[pin]
            future: F,
            context: Context,
        }
    }

    impl<F: Future> Future for SpanFuture<F> {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
            let this = self.project();
            let attached = this.context.clone().attach();
            let polled = catch_unwind(AssertUnwindSafe(|| this.future.poll(cx)));
            drop(attached);
            match polled {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(output)) => {
                    end(this.context, &output);
                    Poll::Ready(output)
                }
                Err(payload) => {
                    end_panicked(this.context);
                    resume_unwind(payload)
                }
            }
        }
    }

    /// Runs a future within a span.
    pub async fn span_future<F: Future>(
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        file: &'static str,
        line: u32,
        module: &'static str,
        future: F,
    ) -> F::Output {
        let context = begin(name, attributes, (file, line, module));
        SpanFuture { future, context }.await
    }

    /// Calls a function within a span.
    pub fn span_sync<T>(
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        file: &'static str,
        line: u32,
        module: &'static str,
        function: impl FnOnce() -> T,
    ) -> T {
        let context = begin(name, attributes, (file, line, module));
        let attached = context.clone().attach();
        let called = catch_unwind(AssertUnwindSafe(function));
        drop(attached);
        match called {
            Ok(output) => {
                end(&context, &output);
                output
            }
            Err(payload) => {
                end_panicked(&context);
                resume_unwind(payload)
            }
        }
    }
}

#[cfg(not(feature = "telemetry"))]
mod inert {
    use std::future::Future;

    /// An attribute of a span that is not recorded.
    pub struct KeyValue;

    impl KeyValue {
        /// Forgets both.
        pub fn new<K, V>(_key: K, _value: V) -> KeyValue {
            KeyValue
        }
    }

    /// Runs the future.
    pub async fn span_future<F: Future>(
        _name: &'static str,
        _attributes: impl FnOnce() -> Vec<KeyValue>,
        _file: &'static str,
        _line: u32,
        _module: &'static str,
        future: F,
    ) -> F::Output {
        future.await
    }

    /// Calls the function.
    pub fn span_sync<T>(
        _name: &'static str,
        _attributes: impl FnOnce() -> Vec<KeyValue>,
        _file: &'static str,
        _line: u32,
        _module: &'static str,
        function: impl FnOnce() -> T,
    ) -> T {
        function()
    }
}
