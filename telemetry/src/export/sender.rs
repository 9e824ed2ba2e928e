//! The thread that calls exporters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanLimits;

use super::batch::SpanBatch;
use super::collect::{Failures, MetricSource};
use super::diagnostics::warn;
use super::exporter::{ExportError, Exporter, Signal};
use super::metric::Metric;
use super::panics::message_of;
use super::queue::{End, Queue, Schedule, Taken, Turn};
use super::span_data::Converter;
use crate::record::Recorder;

pub(super) struct Sender {
    queue: Arc<Queue>,
    outlets: Vec<Outlet>,
    converter: Converter,
    metrics: MetricSource,
}

/// An exporter, and what is known of its health.
struct Outlet {
    exporter: Box<dyn Exporter>,
    name: &'static str,
    traces: Option<Health>,
    metrics: Option<Health>,
}

/// How one signal of one exporter fares, that it is handed.
struct Health {
    failing: bool,
    failures: Failures,
}

impl Sender {
    pub(super) fn new(
        recorder: Recorder,
        queue: Arc<Queue>,
        exporters: Vec<Box<dyn Exporter>>,
        metrics: MetricSource,
        limits: SpanLimits,
        value_length: Option<usize>,
    ) -> Sender {
        let outlets = exporters.into_iter();
        Sender {
            converter: Converter::new(recorder, limits, value_length),
            queue,
            outlets: outlets
                .map(|exporter| Outlet::new(exporter, &metrics))
                .collect(),
            metrics,
        }
    }

    pub(super) fn run(mut self, mut schedule: Schedule) {
        let _quiet = Context::enter_telemetry_suppressed_scope();
        loop {
            match self.queue.next(&mut schedule) {
                Turn::Spans(batch) => self.export_spans(batch),
                Turn::Metrics => self.export_metrics(),
                Turn::Flush(ticket) => {
                    self.export_metrics();
                    self.outlets.iter_mut().for_each(Outlet::flush);
                    self.queue.flushed(ticket);
                }
                Turn::Stop => {
                    self.export_metrics();
                    self.outlets.iter_mut().for_each(Outlet::shutdown);
                    return;
                }
            }
        }
    }

    /// A span is exported when every exporter that takes spans has taken it. When there is none
    /// nobody has.
    fn export_spans(&mut self, taken: Taken) {
        let size = taken.len() as u64;
        self.metrics.exemplars().note(&taken.chunks);
        let resource = self.metrics.resource();
        let mut batch = SpanBatch::new(taken, &mut self.converter);
        let outlets = self.outlets.iter_mut();
        let mut outlets = outlets.filter(|outlet| outlet.traces.is_some()).peekable();
        let mut lost = None;
        while let Some(outlet) = outlets.next() {
            if outlets.peek().is_none() {
                batch.is_for_the_last();
            }
            let lost_here = match outlet.export_batch(&mut batch, resource) {
                Ok(()) => 0,
                Err(error) => error.lost_of(size),
            };
            lost = lost.max(Some(lost_here));
        }
        self.queue
            .settle(lost.unwrap_or(size), batch.into_emptied());
    }

    fn export_metrics(&mut self) {
        let outlets = self.outlets.iter_mut();
        let mut outlets = outlets.filter(|outlet| outlet.metrics.is_some()).peekable();
        if outlets.peek().is_none() {
            return;
        }
        let metrics = self.metrics.collect();
        outlets.for_each(|outlet| outlet.export_metrics(&metrics, self.metrics.resource()));
    }
}

impl Drop for Sender {
    /// However it ended: nobody must wait for it. The exporters go first, because what drops them
    /// may block, and whoever waits for the end has a deadline.
    fn drop(&mut self) {
        let end = End::of_this_thread();
        for outlet in self.outlets.drain(..) {
            outlet.close();
        }
        self.queue.sender_ended(end);
    }
}

impl Outlet {
    fn new(mut exporter: Box<dyn Exporter>, metrics: &MetricSource) -> Outlet {
        let name = exporter.name();
        let pulls = exporter.takes(Signal::Metrics) && exporter.pull_metrics(metrics);
        let health = |signal| {
            exporter.takes(signal).then(|| Health {
                failing: false,
                failures: metrics.count_failures(name, signal),
            })
        };
        Outlet {
            name,
            traces: health(Signal::Traces),
            metrics: match pulls {
                true => None,
                false => health(Signal::Metrics),
            },
            exporter,
        }
    }

    fn export_batch(
        &mut self,
        batch: &mut SpanBatch<'_>,
        resource: &Resource,
    ) -> Result<(), ExportError> {
        let result = caught(|| self.exporter.export_batch(batch, resource));
        self.note(Signal::Traces, &result);
        result
    }

    /// The next metrics hold all that a failed export did not bring: there is nothing to return.
    fn export_metrics(&mut self, metrics: &[Metric], resource: &Resource) {
        let result = caught(|| self.exporter.export_metrics(metrics, resource));
        self.note(Signal::Metrics, &result);
    }

    /// Counts a failure, and warns when the exporter begins to fail or works again: once for both
    /// signals, which mostly fail together.
    fn note(&mut self, signal: Signal, result: &Result<(), ExportError>) {
        let failed_before = self.is_failing();
        let health = match signal {
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
        };
        if let Some(health) = health {
            health.note(result.is_err());
        }
        let name = self.name;
        match result {
            Err(error) if !failed_before => warn(format_args!(
                "exporter {name}: {} are not exported: {error}; \
                 what is lost is counted, and the next word comes when it works again",
                signal.as_str()
            )),
            Ok(()) if failed_before && !self.is_failing() => {
                warn(format_args!("exporter {name}: it works again"));
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn is_failing(&self) -> bool {
        let signals = [&self.traces, &self.metrics];
        signals.into_iter().flatten().any(|health| health.failing)
    }

    fn flush(&mut self) {
        let result = caught(|| {
            self.exporter.flush();
            Ok(())
        });
        warn_of(self.name, &result);
    }

    fn shutdown(&mut self) {
        let result = caught(|| {
            self.exporter.shutdown();
            Ok(())
        });
        warn_of(self.name, &result);
    }

    fn close(self) {
        let Outlet { name, exporter, .. } = self;
        let result = caught(|| {
            drop(exporter);
            Ok(())
        });
        warn_of(name, &result);
    }
}

impl Health {
    fn note(&mut self, failing: bool) {
        self.failing = failing;
        if failing {
            self.failures.add();
        }
    }
}

fn warn_of(exporter: &str, result: &Result<(), ExportError>) {
    if let Err(error) = result {
        warn(format_args!("exporter {exporter}: {error}"));
    }
}

/// Runs code of an exporter; a panic is an error like any other.
fn caught(call: impl FnOnce() -> Result<(), ExportError>) -> Result<(), ExportError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let message = message_of(&*payload);
        Err(ExportError::new(format!("it panicked: {message}")))
    })
}
