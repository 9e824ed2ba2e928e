//! An exporter for people: spans as trees, metrics as tables.

use std::io::{self, Write};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

use super::exporter::{ExportError, Exporter};
use super::metric::Metric;
use super::render::{TreeOptions, metrics_table, span_tree};

/// Writes each batch as text. A batch may end in the middle of a trace: spans whose parents are
/// not in it are shown as roots, with a mark.
pub struct Console {
    out: Box<dyn Write + Send>,
}

impl Console {
    /// Writes to standard output.
    pub fn stdout() -> Console {
        Console::to(io::stdout())
    }

    /// Writes to `out`.
    pub fn to(out: impl Write + Send + 'static) -> Console {
        Console { out: Box::new(out) }
    }

    fn write(&mut self, text: &str) -> Result<(), ExportError> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| ExportError::new(error.to_string()))
    }
}

impl Exporter for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn export_spans(&mut self, spans: &[SpanData], _: &Resource) -> Result<(), ExportError> {
        self.write(&span_tree(spans, TreeOptions::default()))
    }

    fn export_metrics(&mut self, metrics: &[Metric], _: &Resource) -> Result<(), ExportError> {
        self.write(&metrics_table(metrics))
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}
