//! What does the bridge write into?
//!
//! Records of the SDK, by the names that the semantic conventions have now; and only as many of
//! them get into the SDK as its queue has room for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::time::now;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, InstrumentationScope, Key, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tracing::Metadata;

use super::account::Account;
use super::batches::Batches;
use super::layer::metadata_in_hand;

pub struct Loggers {
    pub provider: SdkLoggerProvider,
    /// Those that the provider writes into.
    pub batches: Batches,
    pub account: Arc<Account>,
}

impl LoggerProvider for Loggers {
    type Logger = Door;

    fn logger_with_scope(&self, scope: InstrumentationScope) -> Door {
        Door {
            logger: self.provider.logger_with_scope(scope.clone()),
            scope,
            batches: self.batches.clone(),
            account: self.account.clone(),
        }
    }
}

/// Lets a record into the queue if there is room for it.
pub struct Door {
    logger: SdkLogger,
    scope: InstrumentationScope,
    batches: Batches,
    account: Arc<Account>,
}

impl Door {
    /// Past the SDK's logger, which would write the zeros of a span that is none. An empty context
    /// for its time is no way: samplers and processors of spans are called while the API has the
    /// current context borrowed, and to attach another is a panic there. They may log.
    fn emit_without_ids(&self, mut record: SdkLogRecord) {
        record.set_observed_timestamp(now());
        self.batches.emit(&mut record, &self.scope);
    }
}

impl Logger for Door {
    type LogRecord = Named;

    fn create_log_record(&self) -> Named {
        let mut record = self.logger.create_log_record();
        record.set_timestamp(now());
        let mut named = Named {
            record,
            of_log: false,
        };
        if let Some(metadata) = metadata_in_hand() {
            named.describe(metadata);
        }
        named
    }

    fn emit(&self, record: Named) {
        if !self.account.admit() {
            return;
        }
        match stands_in_nothing() {
            true => self.emit_without_ids(record.record),
            false => self.logger.emit(record.record),
        }
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.logger.event_enabled(level, target, name)
    }
}

/// Whether there is a current span, and it has no valid ids.
fn stands_in_nothing() -> bool {
    Context::map_current(|context| {
        context.has_active_span() && !context.span().span_context().is_valid()
    })
}

/// A record whose attributes get the names of the conventions.
pub struct Named {
    record: SdkLogRecord,
    /// A record of `log` brings what it says of itself as attributes.
    of_log: bool,
}

impl Named {
    fn describe(&mut self, metadata: &'static Metadata<'static>) {
        self.of_log = metadata.target() == "log" && metadata.name() == "log event";
        let given = !self.of_log && !metadata.name().starts_with("event ");
        if given {
            self.record.set_event_name(metadata.name());
        }
        if let Some(file) = metadata.file() {
            self.record.add_attribute("code.file.path", file);
        }
        if let Some(line) = metadata.line() {
            self.record.add_attribute("code.line.number", line);
        }
    }

    /// What a record of `log` says of itself. `Err` gives back what is an attribute like others.
    fn describe_log(&mut self, key: &Key, value: AnyValue) -> Result<(), AnyValue> {
        match (key.as_str(), value) {
            ("log.target", AnyValue::String(target)) => {
                self.record.set_target(target.as_str().to_owned());
            }
            ("log.file", value) => self.record.add_attribute("code.file.path", value),
            ("log.line", value) => self.record.add_attribute("code.line.number", value),
            // The conventions have no name for a module.
            ("log.module_path", _) => {}
            (_, value) => return Err(value),
        }
        Ok(())
    }
}

impl LogRecord for Named {
    fn add_attribute<K, V>(&mut self, key: K, value: V)
    where
        K: Into<Key>,
        V: Into<AnyValue>,
    {
        let (key, value) = (key.into(), value.into());
        let rest = match self.of_log {
            true => self.describe_log(&key, value),
            false => Err(value),
        };
        if let Err(value) = rest {
            self.record.add_attribute(key, value);
        }
    }

    fn add_attributes<I, K, V>(&mut self, attributes: I)
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Key>,
        V: Into<AnyValue>,
    {
        for (key, value) in attributes {
            self.add_attribute(key, value);
        }
    }

    /// The bridge's name is `tracing`'s, which by default is a place in the source.
    fn set_event_name(&mut self, _name: &'static str) {}

    fn set_target<T: Into<Cow<'static, str>>>(&mut self, target: T) {
        self.record.set_target(target);
    }

    fn set_timestamp(&mut self, timestamp: SystemTime) {
        self.record.set_timestamp(timestamp);
    }

    fn set_observed_timestamp(&mut self, timestamp: SystemTime) {
        self.record.set_observed_timestamp(timestamp);
    }

    fn set_severity_text(&mut self, text: &'static str) {
        self.record.set_severity_text(text);
    }

    fn set_severity_number(&mut self, number: Severity) {
        self.record.set_severity_number(number);
    }

    fn set_body(&mut self, body: AnyValue) {
        self.record.set_body(body);
    }

    fn set_trace_context(&mut self, trace: TraceId, span: SpanId, flags: Option<TraceFlags>) {
        self.record.set_trace_context(trace, span, flags);
    }
}
