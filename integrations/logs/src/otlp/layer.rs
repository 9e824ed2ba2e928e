//! Which records are exported, and what of a record does the library's bridge leave out?
//!
//! It is `opentelemetry-appender-tracing` that reads the fields of a record and of the spans of
//! `tracing` around it. What the record says of itself (where it is in the source, whether its name
//! is one that somebody gave it) is handed past it, to the logger that it writes into, in a
//! thread-local: the bridge calls that logger on the same thread.

use std::cell::Cell;
use std::sync::Arc;

use opentelemetry::Context as OtelContext;
use opentelemetry_appender_tracing::layer::{OpenTelemetryTracingBridge, TracingSpanAttributes};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::account::Account;
use super::logger::{Door, Loggers};
use crate::alive::is_alive;
use crate::lines::touch;

thread_local! {
    static METADATA: Cell<Option<&'static Metadata<'static>>> = const { Cell::new(None) };
}

/// What the record that is being read on this thread says of itself.
pub fn metadata_in_hand() -> Option<&'static Metadata<'static>> {
    METADATA.take()
}

pub struct Bridge {
    inner: OpenTelemetryTracingBridge<Loggers, Door>,
    account: Arc<Account>,
}

impl Bridge {
    pub fn new(loggers: Loggers) -> Bridge {
        let account = loggers.account.clone();
        let inner = OpenTelemetryTracingBridge::builder(&loggers)
            .with_tracing_span_attributes(TracingSpanAttributes::all());
        Bridge {
            inner: inner.build(),
            account,
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !is_alive(|| touch(&context)) {
            // Nothing of OpenTelemetry can be called any more.
            self.account.fail(1);
            return;
        }
        if is_of_the_export(event.metadata()) {
            return;
        }
        METADATA.set(Some(event.metadata()));
        self.inner.on_event(event, context);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.inner.on_record(id, values, context);
    }
}

/// Whether a record would be there because records are exported. Threads that export run with
/// telemetry suppressed, whichever libraries they call; but OpenTelemetry's own crates speak on the
/// threads of the application as well.
fn is_of_the_export(metadata: &Metadata<'_>) -> bool {
    is_of_opentelemetry(metadata.target()) || OtelContext::is_current_telemetry_suppressed()
}

/// Their targets are names of packages.
fn is_of_opentelemetry(target: &str) -> bool {
    matches!(
        target,
        "opentelemetry"
            | "opentelemetry_sdk"
            | "opentelemetry-otlp"
            | "opentelemetry-http"
            | "opentelemetry-appender-tracing"
    )
}
