//! Trees of spans as text, tasks with a trace of their own, and spans that users make by a provider
//! of their own.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::future::Future;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer, SdkTracerProvider, SpanData};
use telemetry_rt::runtime::Builder;
use telemetry_rt::task::{self, JoinHandle};

use crate::observed::{Observed, Seen};

/// The spans below the one of this name, itself included: a line each, indented below its parent;
/// siblings by name, because the beginnings of tasks and of users' spans are read from two clocks.
#[track_caller]
pub fn tree(spans: &[SpanData], root: &str) -> String {
    let mut roots = spans.iter().filter(|span| span.name == root);
    let found = roots.next().unwrap_or_else(|| panic!("no span {root}"));
    assert!(roots.next().is_none(), "several spans {root}");
    let mut text = String::new();
    write(spans, found, 0, &mut text);
    text
}

fn write(spans: &[SpanData], span: &SpanData, depth: usize, text: &mut String) {
    text.push_str(&format!("{}{}\n", "  ".repeat(depth), span.name));
    let id = span.span_context.span_id();
    let mut children: Vec<_> = spans
        .iter()
        .filter(|child| child.parent_span_id == id)
        .collect();
    children.sort_by(|a, b| a.name.cmp(&b.name));
    for child in children {
        assert_eq!(child.span_context.trace_id(), span.span_context.trace_id());
        write(spans, child, depth + 1, text);
    }
}

/// What is indented in the source of a test, without the indentation that all lines have.
pub fn lines(text: &str) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let margin = |line: &str| line.len() - line.trim_start().len();
    let least = lines().map(margin).min().unwrap_or(0);
    lines()
        .map(|line| format!("{}\n", &line[least..]))
        .collect()
}

pub fn named(name: &str) -> task::Builder<'_> {
    task::Builder::new().name(name)
}

/// Spawns a task named `task` that begins a trace.
#[track_caller]
pub fn spawn_task<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    named("task").root().spawn(future)
}

/// Runs `future` as a task named `task` that begins a trace.
pub fn run_task<F>(builder: Builder, future: F) -> Seen
where
    F: Future<Output: Send> + Send + 'static,
{
    Observed::new(builder).run(async { spawn_task(future).await.unwrap() })
}

pub fn current() -> SpanContext {
    Context::current().span().span_context().clone()
}

pub fn current_id() -> SpanId {
    current().span_id()
}

/// A provider that a user has beside the runtime's pipeline.
#[derive(Clone, Debug)]
pub struct Users {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
}

impl Users {
    pub fn new() -> Users {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        Users { exporter, provider }
    }

    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("users")
    }

    /// A context with a span below the current one.
    pub fn begin(&self, name: &'static str) -> Context {
        let parent = Context::current();
        parent.with_span(self.tracer().start_with_context(name, &parent))
    }

    /// The spans that have ended, with those of the pipeline.
    pub fn with(&self, seen: &Seen) -> Vec<SpanData> {
        let mut spans = self.exporter.get_finished_spans().unwrap();
        spans.extend_from_slice(&seen.spans);
        spans
    }
}
