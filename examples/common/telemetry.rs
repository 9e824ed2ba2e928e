//! Where does the telemetry of an example go? To where the environment says; or, if it says
//! nothing, into memory, to be printed as text at the end.

use std::env::var_os;
use std::io::{self, Write};

use telemetry_rt::otel::render::{TreeOptions, metrics_table, span_tree};
use telemetry_rt::otel::{InMemory, Otel, Report};
use telemetry_rt::runtime::Runtime;
use telemetry_rt::time::Duration;

/// What was recorded, if it stays here.
pub struct Recording {
    memory: Option<InMemory>,
}

/// How many lines of the tree are printed.
const MOST_LINES: usize = 16;
/// How long the end of the program may wait for a collector.
const PATIENCE: Duration = Duration::from_secs(5);

impl Recording {
    /// Chooses, for a program that makes about so many spans.
    pub fn choose(spans: usize) -> (Otel, Recording) {
        let asked = ["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"];
        let otel = Otel::from_env();
        if otel.is_exporting() || asked.iter().any(|name| var_os(name).is_some()) {
            return (otel, Recording { memory: None });
        }
        let memory = InMemory::new();
        let otel = Otel::builder()
            .exporter(memory.clone())
            // All spans are kept, at some two kilobytes each: an exporter would let them go.
            // With room for all of them nothing is dropped, even if the thread that converts
            // spans gets no turn before the end. What waits in the rings is moved to the queue
            // every few milliseconds, so that these need room for a burst only.
            .queue_size(spans)
            .build();
        let memory = Some(memory);
        (otel, Recording { memory })
    }

    /// Ends the runtime and exports what was recorded. `None` if nothing is.
    pub fn end(&self, runtime: Runtime) -> Option<Report> {
        runtime.shutdown(PATIENCE)
    }

    /// The end of the tree of spans, and the metrics. Nothing if they were exported.
    pub fn as_text(&self) -> String {
        let Some(memory) = &self.memory else {
            return String::new();
        };
        let options = TreeOptions {
            most_lines: MOST_LINES,
            ..TreeOptions::default()
        };
        let tree = span_tree(&memory.spans(), options);
        format!("{tree}\n{}\n", metrics_table(&memory.metrics()))
    }
}

/// What became of the spans, as a line.
pub fn account(report: Option<Report>) -> String {
    let Some(Report { completed, spans }) = report else {
        return "nothing was recorded: the environment turns it off\n".to_owned();
    };
    let late = match completed {
        true => "",
        false => " (there was not enough time)",
    };
    let dropped = spans.dropped.total();
    format!(
        "{} spans exported, {dropped} dropped{late}\n",
        spans.exported
    )
}

/// Prints; whoever reads may have read enough, as `head` does.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("standard output: {error}");
        }
        _ => {}
    }
}
