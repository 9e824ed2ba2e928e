//! Where records of a test go, and what makes ids for them.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod collector;

use std::io;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, SpanId, TraceId};
use telemetry_rt::otel::{InMemory, Otel};
use telemetry_rt::runtime::{Builder, Runtime};
use tracing_subscriber::fmt::MakeWriter;

/// A writer that keeps each write apart from the others.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<String>>>);

impl Kept {
    /// What was written so far, one text for each write.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn take_json(&self) -> Vec<serde_json::Value> {
        let lines = self.take();
        let parse = |line: &String| serde_json::from_str(line).expect(line);
        lines.iter().map(parse).collect()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.0.lock().unwrap().push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Kept {
    type Writer = Kept;

    fn make_writer(&'w self) -> Kept {
        self.clone()
    }
}

/// A runtime of two workers whose spans are kept.
pub fn runtime() -> (Runtime, InMemory) {
    let memory = InMemory::new();
    let otel = Otel::builder().exporter(memory.clone()).build();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .otel(otel)
        .build()
        .unwrap();
    (runtime, memory)
}

/// The ids of the current span.
pub fn ids() -> (TraceId, SpanId) {
    Context::map_current(|context| {
        let span = context.span();
        (
            span.span_context().trace_id(),
            span.span_context().span_id(),
        )
    })
}
