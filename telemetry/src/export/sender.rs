//! The thread that calls exporters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanLimits};

use super::account::Account;
use super::diagnostics::warn;
use super::exporter::{ExportError, Exporter, Signal};
use super::metric::{Failures, collect_all};
use super::period::Periods;
use super::queue::{End, Queue, Schedule, Turn, Waiting};
use super::span_data::Converter;
use crate::record::Recorder;

pub(super) struct Sender {
    recorder: Recorder,
    queue: Arc<Queue>,
    outlets: Vec<Outlet>,
    resource: Resource,
    converter: Converter,
    periods: Periods,
}

/// An exporter, and what is known of its health.
struct Outlet {
    exporter: Box<dyn Exporter>,
    name: &'static str,
    traces: Health,
    metrics: Health,
}

/// How one signal of one exporter fares.
#[derive(Default)]
struct Health {
    taken: bool,
    failing: bool,
    failures: u64,
}

impl Sender {
    pub(super) fn new(
        recorder: Recorder,
        queue: Arc<Queue>,
        exporters: Vec<Box<dyn Exporter>>,
        resource: Resource,
        limits: SpanLimits,
        value_length: Option<usize>,
    ) -> Sender {
        Sender {
            converter: Converter::new(recorder.clone(), limits, value_length),
            recorder,
            queue,
            outlets: exporters.into_iter().map(Outlet::new).collect(),
            resource,
            periods: Periods::start(),
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
    fn export_spans(&mut self, batch: Vec<Waiting>) {
        let size = batch.len() as u64;
        let spans: Vec<SpanData> = batch
            .into_iter()
            .map(|span| self.converter.convert(span))
            .collect();
        let resource = &self.resource;
        let lost = self
            .outlets
            .iter_mut()
            .filter(|outlet| outlet.traces.taken)
            .map(|outlet| match outlet.export_spans(&spans, resource) {
                Ok(()) => 0,
                Err(error) => error.lost_of(size),
            })
            .max();
        self.queue.settle(lost.unwrap_or(size));
    }

    fn export_metrics(&mut self) {
        if !self.outlets.iter().any(|outlet| outlet.metrics.taken) {
            return;
        }
        let failures: Vec<Failures> = self.outlets.iter().flat_map(Outlet::failures).collect();
        let snapshot = self.recorder.snapshot();
        let dropped = Account::of(&self.recorder, &self.queue).dropped;
        let metrics = collect_all(&snapshot, &dropped, &failures, self.periods.until_now());
        for outlet in self
            .outlets
            .iter_mut()
            .filter(|outlet| outlet.metrics.taken)
        {
            let resource = &self.resource;
            let result = caught(|| outlet.exporter.export_metrics(&metrics, resource));
            outlet.note(Signal::Metrics, &result);
        }
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
    fn new(exporter: Box<dyn Exporter>) -> Outlet {
        let health = |signal| Health {
            taken: exporter.takes(signal),
            ..Health::default()
        };
        Outlet {
            name: exporter.name(),
            traces: health(Signal::Traces),
            metrics: health(Signal::Metrics),
            exporter,
        }
    }

    fn export_spans(&mut self, spans: &[SpanData], resource: &Resource) -> Result<(), ExportError> {
        let result = caught(|| self.exporter.export_spans(spans, resource));
        self.note(Signal::Traces, &result);
        result
    }

    /// Counts a failure, and warns when the exporter begins to fail or works again: once for both
    /// signals, which mostly fail together.
    fn note(&mut self, signal: Signal, result: &Result<(), ExportError>) {
        let failed_before = self.is_failing();
        let health = match signal {
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
        };
        health.failing = result.is_err();
        health.failures += u64::from(health.failing);
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
        self.traces.failing || self.metrics.failing
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

    fn failures(&self) -> impl Iterator<Item = Failures> {
        [
            (Signal::Traces, &self.traces),
            (Signal::Metrics, &self.metrics),
        ]
        .into_iter()
        .filter(|(_, health)| health.taken)
        .map(|(signal, health)| Failures {
            exporter: self.name,
            signal,
            count: health.failures,
        })
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
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Err(ExportError::new(format!("it panicked: {message}")))
    })
}
