//! `full` and `metrics`: telemetry_rt with the pipeline that a program has, and with all names
//! listed or none.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use telemetry_rt::otel::{NameList, Otel, Report};
use telemetry_rt::runtime::{Builder, Runtime};

use super::count::Count;
use super::ours::Recording;
use crate::runtime::Ledger;
use telemetry_rt::otel::otlp::Discard;

/// Long enough for any drain; one that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Spans of all processes, always sampled, and metrics.
pub struct Full(Count);

/// Metrics of all processes, spans of none.
pub struct Metrics(Count);

impl Recording for Full {
    fn start(builder: &mut Builder) -> Full {
        Full(start(builder, NameList::all()))
    }

    fn settle(&self, runtime: &Runtime) {
        settle(runtime);
    }

    fn finish(self, runtime: Runtime) -> Option<Ledger> {
        let report = end(runtime);
        Some(Ledger {
            processes: Some(self.0.processes()),
            spans: Some(report.spans.produced),
            exported: report.spans.exported,
            dropped: report.spans.dropped.total(),
        })
    }
}

impl Recording for Metrics {
    fn start(builder: &mut Builder) -> Metrics {
        Metrics(start(builder, NameList::none()))
    }

    fn settle(&self, runtime: &Runtime) {
        settle(runtime);
    }

    fn finish(self, runtime: Runtime) -> Option<Ledger> {
        let report = end(runtime);
        assert_eq!(report.spans.produced, 0, "no name is listed");
        Some(Ledger {
            processes: Some(self.0.processes()),
            ..Ledger::default()
        })
    }
}

fn start(builder: &mut Builder, names: NameList) -> Count {
    let count = Count::default();
    let otel = Otel::builder()
        .exporter(Discard::new())
        .exporter(count.clone())
        .sampler(Sampler::AlwaysOn)
        .task_names(names.clone())
        .blocking_names(names);
    builder.otel(otel.build());
    count
}

fn settle(runtime: &Runtime) {
    let report = runtime.flush(PATIENCE).expect("there is an exporter");
    assert!(report.completed, "the drain takes over {PATIENCE:?}");
}

fn end(runtime: Runtime) -> Report {
    let report = runtime.shutdown(PATIENCE).expect("there is an exporter");
    assert!(report.completed, "the shutdown takes over {PATIENCE:?}");
    assert!(report.spans.is_balanced(), "{:?}", report.spans);
    report
}
