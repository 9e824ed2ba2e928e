//! The two threads between the recorder and the exporters, and how they are flushed and ended.

use std::io;
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use parking_lot::Mutex;
use telemetry_rt_clock::{Source, instant, source};

use super::account::Account;
use super::collect::{Books, MetricSource};
use super::deadline::deadline_after;
use super::diagnostics::warn;
use super::drain::Drain;
use super::exporter::Signal;
use super::globals::Propagator;
use super::otel::{Otel, SpansTo};
use super::processor::Processor;
use super::providers::{ForeignProvider, MeterFeed, part_from};
use super::queue::{Queue, Schedule};
use super::sender::Sender;
use super::stop::Stop;
use crate::record::Recorder;

/// Exports what a recorder records, until it is shut down.
///
/// Dropping it shuts it down with the timeout of [`Otel`]; that blocks, so a worker of an async
/// runtime should not be the one who drops it.
///
/// Providers that were moved into it are dropped with it. If that shuts them down it is waited for
/// until the deadline of the shutdown, and goes on in the background afterwards. In a forked child
/// they are left as they are.
#[derive(Debug)]
pub struct Pipeline {
    /// Until it is dropped.
    held: Option<Held>,
    queue: Arc<Queue>,
    stop: Stop,
    flusher: Flusher,
    takes_spans: bool,
    takes_metrics: bool,
    books: Arc<Books>,
    propagators: Vec<Propagator>,
    shutdown_timeout: Duration,
    /// Until they are shut down.
    threads: Mutex<Option<Threads>>,
}

/// What keeps providers of the application alive.
#[derive(Debug)]
struct Held {
    /// Its policy, and what users attach to it, have tracers.
    recorder: Recorder,
    provider: SdkTracerProvider,
    foreign: Option<ForeignProvider>,
    /// Metrics that appear later still come into the provider of the application.
    _meters: Option<MeterFeed>,
    /// Whether any provider is of the application.
    is_given: bool,
}

#[derive(Debug)]
struct Threads {
    drain: JoinHandle<()>,
    sender: JoinHandle<()>,
}

/// Where tracers for users' own spans come from.
#[derive(Clone, Debug)]
pub(super) enum Tracers {
    Own(SdkTracerProvider),
    Foreign(ForeignProvider),
}

impl Tracers {
    pub(super) fn tracer(&self, scope: InstrumentationScope) -> BoxedTracer {
        match self {
            Tracers::Own(provider) => BoxedTracer::new(Box::new(provider.tracer_with_scope(scope))),
            Tracers::Foreign(provider) => provider.tracer_with_scope(scope),
        }
    }
}

/// How a flush or a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether all was exported, or tried, in time.
    pub completed: bool,
    /// What became of all spans so far.
    pub spans: Account,
}

impl Pipeline {
    /// Starts the threads `rt-drain` and `rt-export`.
    ///
    /// A recorder is drained by one pipeline in its life.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread.
    pub fn start(otel: Otel, recorder: Recorder) -> io::Result<Pipeline> {
        tell_of_clock();
        let queue = Arc::new(Queue::new(otel.queue_size, otel.batch_size));
        let stop = Stop::new();
        let takes_spans = otel.takes(Signal::Traces);
        let takes_metrics = otel.takes(Signal::Metrics) || otel.meter_provider.is_some();
        let books = Arc::new(Books::of(&otel, Some(Arc::clone(&queue))));
        let mut exporters = otel.exporters;
        exporters
            .iter_mut()
            .for_each(|exporter| exporter.start(&stop));

        let metrics = MetricSource::new(recorder.clone(), Arc::clone(&books));
        let sender = Sender::new(
            recorder.clone(),
            Arc::clone(&queue),
            exporters,
            metrics.clone(),
            otel.policy.limits,
            otel.value_length,
        );
        let schedule = Schedule::new(otel.schedule_delay, otel.metric_interval);
        let drain = Drain::new(recorder.clone(), Arc::clone(&queue), otel.span_ring);
        // The drain first: if the second thread is refused, the first is stopped again.
        let drain = spawn("rt-drain", move || drain.run())?;
        let sender = spawn("rt-export", move || sender.run(schedule)).inspect_err(|_| {
            queue.stop(instant());
            drain.thread().unpark();
        })?;

        recorder.set_drain(drain.thread().clone());
        let flusher = Flusher {
            queue: Arc::clone(&queue),
            drain: drain.thread().clone(),
            process: std::process::id(),
        };
        let has_tracers = !matches!(otel.spans_to, SpansTo::Exporters);
        let (provider, foreign) = match otel.spans_to {
            SpansTo::Instrumented(instrumented) => (instrumented.provider(), None),
            SpansTo::Foreign(foreign) => (silent_provider(), Some(foreign)),
            SpansTo::Exporters if !takes_spans => (silent_provider(), None),
            SpansTo::Exporters => {
                let provider = SdkTracerProvider::builder()
                    .with_sampler(otel.policy.sampler.clone())
                    .with_span_limits(otel.policy.limits)
                    .with_resource(otel.resource)
                    .with_span_processor(Processor {
                        queue: Arc::clone(&queue),
                        flusher: flusher.clone(),
                    });
                (provider.build(), None)
            }
        };
        let meters = otel.meter_provider;
        let meters = meters.map(|provider| MeterFeed::start(provider, metrics));
        let held = Held {
            is_given: has_tracers || meters.is_some(),
            recorder,
            provider,
            foreign,
            _meters: meters,
        };
        Ok(Pipeline {
            held: Some(held),
            queue,
            stop,
            flusher,
            takes_spans,
            takes_metrics,
            books,
            propagators: otel.propagators,
            shutdown_timeout: otel.shutdown_timeout,
            threads: Mutex::new(Some(Threads { drain, sender })),
        })
    }

    /// The provider for users' own spans: they are sampled like those of processes, and leave as
    /// they do, through the queue or through the application's own provider. Without an exporter
    /// that takes spans it samples none; nor with a foreign provider, which [`tracer`](Self::tracer)
    /// knows.
    pub fn tracer_provider(&self) -> SdkTracerProvider {
        self.held().provider.clone()
    }

    /// A tracer for users' own spans, wherever those of processes go. `None` if they go nowhere:
    /// spans of users are then better left to the global provider.
    pub fn tracer(&self, scope: &'static str) -> Option<BoxedTracer> {
        let scope = InstrumentationScope::builder(scope).build();
        Some(self.tracers()?.tracer(scope))
    }

    /// Where tracers for users' own spans come from, if they go anywhere.
    pub(super) fn tracers(&self) -> Option<Tracers> {
        let held = self.held();
        match &held.foreign {
            Some(foreign) => Some(Tracers::Foreign(foreign.clone())),
            None if self.takes_spans => Some(Tracers::Own(held.provider.clone())),
            None => None,
        }
    }

    /// Whether [`tracer_provider`](Self::tracer_provider) takes spans. If not, spans of users are better left to whatever
    /// provider the application has beside this one.
    pub fn takes_spans(&self) -> bool {
        self.takes_spans
    }

    /// Whether an exporter or a provider takes metrics.
    pub(super) fn takes_metrics(&self) -> bool {
        self.takes_metrics
    }

    pub(super) fn books(&self) -> &Arc<Books> {
        &self.books
    }

    pub(super) fn foreign(&self) -> Option<&ForeignProvider> {
        self.held().foreign.as_ref()
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("only its drop takes it")
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(super) fn propagators(&self) -> &[Propagator] {
        &self.propagators
    }

    /// Exports all spans that have ended, and the metrics, now. Blocks for up to `timeout`.
    pub fn force_flush(&self, timeout: Duration) -> Report {
        let completed = self.flusher.flush(timeout);
        self.report(completed)
    }

    /// Exports all spans that have ended, and the metrics, and ends the threads.
    ///
    /// Blocks for up to `timeout`, and little longer even if an exporter hangs: its thread is then
    /// left alone, and what it held is counted as lost. Called again, it reports again.
    ///
    /// In a child that was forked off the process with the threads there is nothing to export and
    /// nothing to report: `completed` is false, and all numbers are zero.
    pub fn shutdown(&self, timeout: Duration) -> Report {
        if self.flusher.is_forked() {
            self.queue.abandon_if_free();
            return Report::default();
        }
        // Another shutdown may have more time than this one.
        let Some(mut threads) = self.threads.try_lock_until(deadline_after(timeout)) else {
            return self.report(false);
        };
        if let Some(threads) = threads.take() {
            self.end(threads, timeout);
        }
        let report = self.report(self.queue.wait_ended(instant()));
        Report {
            // Threads that ended in time may still have left spans in the rings at the deadline.
            completed: report.completed && report.spans.dropped.shutdown_deadline == 0,
            ..report
        }
    }

    fn end(&self, threads: Threads, timeout: Duration) {
        let deadline = deadline_after(timeout);
        self.stop.begin(deadline);
        self.queue.stop(deadline);
        threads.drain.thread().unpark();
        // The drain ends by the deadline, because it waits for nothing else; and a panic of it
        // has been reported by the panic hook.
        let _ = threads.drain.join();
        if self.queue.wait_ended(deadline) || self.queue.has_ended() {
            let _ = threads.sender.join();
        } else {
            self.queue.abandon();
        }
        self.warn_of_lost(timeout);
    }

    /// A shutdown has no later metrics that could tell what it lost.
    fn warn_of_lost(&self, timeout: Duration) {
        let lost = self.account().dropped.shutdown_deadline;
        if lost > 0 {
            warn(format_args!(
                "{lost} spans are lost: they were not exported within the {timeout:?} of the shutdown"
            ));
        } else if !self.queue.has_ended() {
            warn(format_args!(
                "an exporter did not end within the {timeout:?} of the shutdown and is left behind"
            ));
        }
    }

    /// What became of all spans so far.
    pub fn account(&self) -> Account {
        if self.flusher.is_forked() {
            return Account::default();
        }
        Account::of(&self.held().recorder, &self.queue)
    }

    fn report(&self, completed: bool) -> Report {
        Report {
            completed,
            spans: self.account(),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.shutdown(self.shutdown_timeout);
        self.books.meters().close();
        let Some(held) = self.held.take().filter(|held| held.is_given) else {
            return;
        };
        match self.stop.deadline().filter(|_| !self.flusher.is_forked()) {
            Some(deadline) => part_from(held, deadline),
            // The threads of a provider stayed with the parent, who will shut it down.
            None => std::mem::forget(held),
        }
    }
}

/// Asks both threads for a flush, from wherever one is wanted.
#[derive(Clone, Debug)]
pub(super) struct Flusher {
    queue: Arc<Queue>,
    drain: Thread,
    process: u32,
}

impl Flusher {
    /// Whether all spans that had ended are exported. After a shutdown there are none.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        if self.is_forked() {
            return false;
        }
        if self.queue.wait_ended(instant()) {
            return true;
        }
        let ticket = self.queue.ask_flush();
        self.drain.unpark();
        self.queue.wait_flushed(ticket, deadline_after(timeout))
    }

    /// Whether this is a child that was forked off the process which has the threads.
    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }
}

/// A provider that samples nothing.
fn silent_provider() -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOff)
        .build()
}

/// Tells, once in a process, that moments are read from the slower of the two clocks.
fn tell_of_clock() {
    static TOLD: Once = Once::new();
    if cfg!(target_arch = "x86_64") && source() == Source::Monotonic {
        TOLD.call_once(|| {
            warn(format_args!(
                "what is recorded is timed by the monotonic clock: the processor's time stamp \
                 counter has no constant rate, or OTEL_RUST_EXECUTOR_CLOCK is \"monotonic\"; \
                 recording costs more"
            ));
        });
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map_err(|error| refused(name, error))
}

/// Says which thread could not be started.
pub(super) fn refused(name: &str, error: io::Error) -> io::Error {
    let message = format!("the thread {name} could not be started: {error}");
    io::Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::InMemory;

    /// No fork is needed to see what the child of one does, because it knows itself by its number
    /// alone; and all that it shares with the parent is the state of the lock.
    #[test]
    fn a_forked_child_waits_for_no_lock() {
        let otel = Otel::builder().exporter(InMemory::new()).build();
        let recorder = Recorder::new(otel.recorder_config(1));
        let mut pipeline = Pipeline::start(otel, recorder).unwrap();
        let parent = std::mem::replace(&mut pipeline.flusher.process, 0);

        let queue = Arc::clone(pipeline.queue());
        let lock = queue.lock_for_test();
        assert_eq!(pipeline.shutdown(Duration::MAX), Report::default());
        assert_eq!(pipeline.force_flush(Duration::MAX), Report::default());
        drop(lock);

        pipeline.flusher.process = parent;
        assert!(pipeline.shutdown(Duration::from_secs(20)).completed);
    }
}
