//! What is to be done with records?

use std::fmt;
use std::time::Duration;

use opentelemetry::Key;
use opentelemetry_sdk::Resource;
use telemetry_rt::__private::warn;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_log::{AsLog, LogTracer};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::env::{self, Exporters};
use crate::format::{Format, JsonFields, TextFields, TraceFormat};
use crate::lines::Lines;
use crate::otlp::Export;
use crate::{InitError, Logs};

const RUST_LOG: &str = "RUST_LOG";

/// Says what is done with records; begun by [`Logs::builder`].
///
/// ```
/// use telemetry_rt_logs::{Format, Logs};
///
/// let _logs = Logs::builder()
///     .format(Format::Json)
///     .filter("info,shop=debug")
///     .writer(std::io::stdout)
///     .init()
///     .unwrap();
/// tracing::debug!(target: "shop", "open");
/// ```
#[must_use = "nothing happens before `init`"]
pub struct LogsBuilder {
    format: Format,
    level: LevelFilter,
    filter: Option<String>,
    writer: BoxMakeWriter,
    include_trace: bool,
    resource: Option<Resource>,
    shutdown_timeout: Duration,
}

impl LogsBuilder {
    pub(crate) fn new() -> LogsBuilder {
        LogsBuilder {
            format: Format::default(),
            level: LevelFilter::INFO,
            filter: None,
            writer: BoxMakeWriter::new(std::io::stderr),
            include_trace: true,
            resource: None,
            shutdown_timeout: Duration::from_secs(5),
        }
    }

    /// What a line looks like. Default: [`Format::Text`].
    pub fn format(mut self, format: Format) -> LogsBuilder {
        self.format = format;
        self
    }

    /// From which level on records are taken if `RUST_LOG` is not set. Default: `INFO`.
    pub fn default_level(mut self, level: impl Into<LevelFilter>) -> LogsBuilder {
        self.level = level.into();
        self
    }

    /// Which records are taken, whatever `RUST_LOG` says: directives such as
    /// `info,shop::orders=debug`, as [`EnvFilter`] describes them.
    pub fn filter(mut self, directives: impl Into<String>) -> LogsBuilder {
        self.filter = Some(directives.into());
        self
    }

    /// Where lines go. Default: standard error, which is not buffered, so that the last record
    /// before a crash is there, and is no part of a program's output.
    ///
    /// Each record is one `write_all` by the thread that logs: a writer that blocks, blocks a worker.
    /// Its errors are ignored.
    pub fn writer(
        mut self,
        writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    ) -> LogsBuilder {
        self.writer = BoxMakeWriter::new(writer);
        self
    }

    /// Whether lines have the ids of the span that they were written in, and JSON the name of the
    /// service. Default: yes. What is sent to a collector always has.
    pub fn include_trace(mut self, include: bool) -> LogsBuilder {
        self.include_trace = include;
        self
    }

    /// What is said about the program, its `service.name` above all. Default: what the runtime says,
    /// too, from `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`. Who gives an
    /// [`Otel`](telemetry_rt::otel::Otel) another resource gives the same one here.
    pub fn resource(mut self, resource: Resource) -> LogsBuilder {
        self.resource = Some(resource);
        self
    }

    /// How long the guard waits, when it is dropped, for records to be sent. Default: five seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> LogsBuilder {
        self.shutdown_timeout = timeout;
        self
    }

    /// Takes the records of the process, those of `tracing` and those of `log`, from now on.
    ///
    /// If another logger of `log` was installed before, its records stay with it, and a warning says
    /// so.
    ///
    /// # Errors
    ///
    /// When another subscriber of `tracing` was installed before, or [`filter`](LogsBuilder::filter)
    /// is not understood. A `RUST_LOG` that is not understood is a warning.
    pub fn init(mut self) -> Result<Logs, InitError> {
        let filter = self.parsed_filter()?;
        if tracing::dispatcher::has_been_set() {
            return Err(InitError::taken());
        }
        let Exporters { otlp, console } = env::exporters();
        if console && self.format == Format::None {
            self.format = Format::Text;
        }
        let resource = self.resource.take().unwrap_or_else(env::resource);
        let lines = self.lines(&resource);
        let export = otlp.then(|| Export::start(resource)).flatten();
        let subscriber = Registry::default()
            .with(lines)
            .with(export.as_ref().map(Export::layer))
            .with(filter);
        let logs = Logs::new(export, self.shutdown_timeout);
        tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError::taken())?;
        take_log();
        Ok(logs)
    }

    fn parsed_filter(&self) -> Result<EnvFilter, InitError> {
        let parse = |directives: &str| {
            EnvFilter::builder()
                .with_default_directive(self.level.into())
                .parse(directives)
        };
        if let Some(directives) = &self.filter {
            return parse(directives).map_err(|error| InitError::filter(directives, &error));
        }
        let directives = env::text(RUST_LOG).unwrap_or_default();
        Ok(parse(&directives).unwrap_or_else(|error| {
            let level = self.level;
            warn(format_args!(
                "{RUST_LOG} is {directives:?}; accepted: directives such as \
                 info,shop::orders=debug ({error}); {level} is used"
            ));
            EnvFilter::default().add_directive(level.into())
        }))
    }

    fn lines<S>(&mut self, resource: &Resource) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let writer = std::mem::replace(&mut self.writer, BoxMakeWriter::new(std::io::sink));
        match self.format {
            Format::Text => {
                let format = self.described(TraceFormat::text(), resource);
                Some(Lines::new(format, TextFields, writer).boxed())
            }
            Format::Json => {
                let format = self.described(TraceFormat::json(), resource);
                Some(Lines::new(format, JsonFields, writer).boxed())
            }
            Format::None => None,
        }
    }

    fn described(&self, format: TraceFormat, resource: &Resource) -> TraceFormat {
        let format = format.include_trace(self.include_trace);
        match resource.get(&Key::from_static_str("service.name")) {
            Some(name) if self.include_trace => format.service_name(name.to_string()),
            _ => format,
        }
    }
}

/// Lets records of `log` become events of `tracing`, and those that nobody wants not even that.
fn take_log() {
    let most = LevelFilter::current().as_log();
    let taken = LogTracer::builder().with_max_level(most).init();
    if taken.is_err() {
        warn(format_args!(
            "another logger of `log` was installed before telemetry_rt_logs; its records stay \
             with it, and are neither formatted nor exported here"
        ));
    }
}

impl fmt::Debug for LogsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogsBuilder")
            .field("format", &self.format)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
