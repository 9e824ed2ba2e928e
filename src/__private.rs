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
    use telemetry_rt_telemetry::record::{Recorder, contexts_are_alive, outcome_of};

    use crate::otel::Pipeline;
    use crate::runtime::Handle;

    const SCOPE: &str = "telemetry_rt";

    /// Lets spans of users that run on a runtime find that runtime's pipeline, if it takes any.
    pub(crate) fn attach(recorder: &Recorder, pipeline: &Pipeline) {
        if pipeline.takes_spans() {
            recorder.attach(Arc::new(pipeline.tracer_provider()));
        }
    }

    /// File, line, and path of the function that is in a span.
    type Place = (&'static str, u32, &'static str);

    /// Begins a span below the current one: in the pipeline of the current runtime, or in the
    /// global provider if that exports nothing.
    fn begin(
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        (file, line, function): Place,
    ) -> Context {
        let mut attributes = attributes();
        attributes.extend([
            KeyValue::new("code.function.name", function),
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
        pub struct SpanFuture<F, A> {
            // Taken out when it is dropped, so that the span is current then, too.
            #[pin]
            future: Option<F>,
            span: Stage<A>,
        }

        impl<F, A> PinnedDrop for SpanFuture<F, A> {
            fn drop(this: Pin<&mut Self>) {
                let mut this = this.project();
                if let Stage::Begun(context) = this.span {
                    let attached = contexts_are_alive().then(|| context.clone().attach());
                    this.future.set(None);
                    drop(attached);
                    // Also when somebody keeps the context: what was cancelled goes on no longer.
                    context.span().end();
                }
            }
        }
    }

    /// What has become of the span.
    enum Stage<A> {
        /// It begins with the first poll.
        New(&'static str, A, Place),
        Begun(Context),
        Ended,
    }

    impl<A: FnOnce() -> Vec<KeyValue>> Stage<A> {
        /// The context of the span, which begins if it has not yet.
        fn context(&mut self) -> Context {
            let context = match std::mem::replace(self, Stage::Ended) {
                Stage::New(name, attributes, place) => begin(name, attributes, place),
                Stage::Begun(context) => context,
                Stage::Ended => panic!("a future in a span was polled after completion"),
            };
            *self = Stage::Begun(context.clone());
            context
        }
    }

    impl<F, A> Future for SpanFuture<F, A>
    where
        F: Future,
        A: FnOnce() -> Vec<KeyValue>,
    {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
            let mut this = self.project();
            let context = this.span.context();
            let attached = context.clone().attach();
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let future = this.future.as_mut().as_pin_mut();
                let polled = future.expect("it is there until it is done").poll(cx);
                if polled.is_ready() {
                    this.future.set(None);
                }
                polled
            }));
            drop(attached);
            match polled {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(output)) => {
                    *this.span = Stage::Ended;
                    end(&context, &output);
                    Poll::Ready(output)
                }
                Err(payload) => {
                    *this.span = Stage::Ended;
                    end_panicked(&context);
                    resume_unwind(payload)
                }
            }
        }
    }

    /// Runs a future within a span.
    pub fn span_future<F, A>(
        name: &'static str,
        attributes: A,
        file: &'static str,
        line: u32,
        function: &'static str,
        future: F,
    ) -> SpanFuture<F, A>
    where
        F: Future,
        A: FnOnce() -> Vec<KeyValue>,
    {
        SpanFuture {
            future: Some(future),
            span: Stage::New(name, attributes, (file, line, function)),
        }
    }

    /// Calls a function within a span.
    pub fn span_sync<T>(
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        file: &'static str,
        line: u32,
        function: &'static str,
        body: impl FnOnce() -> T,
    ) -> T {
        let context = begin(name, attributes, (file, line, function));
        let attached = context.clone().attach();
        let called = catch_unwind(AssertUnwindSafe(body));
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

    /// The future as it is.
    pub fn span_future<F: Future>(
        _name: &'static str,
        _attributes: impl FnOnce() -> Vec<KeyValue>,
        _file: &'static str,
        _line: u32,
        _function: &'static str,
        future: F,
    ) -> F {
        future
    }

    /// Calls the function.
    pub fn span_sync<T>(
        _name: &'static str,
        _attributes: impl FnOnce() -> Vec<KeyValue>,
        _file: &'static str,
        _line: u32,
        _function: &'static str,
        body: impl FnOnce() -> T,
    ) -> T {
        body()
    }
}
