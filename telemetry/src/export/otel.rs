//! What is exported, where to, and how: one value, made from the environment or by a builder.
//!
//! The environment decides what the program does not: a builder's setting wins over a variable,
//! except for `OTEL_SDK_DISABLED`, with which an operator turns everything off.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{Span, Tracer, TracerProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, ShouldSample, SpanLimits};

use super::diagnostics::warn;
use super::env::{Env, process_variable};
use super::exemplars::ExemplarFilter;
use super::exporter::{Exporter, Signal};
use super::globals::{Propagator, install_propagators};
use super::only::Only;
use super::policy::{Rootless, SdkPolicy};
use super::providers::{ForeignPolicy, ForeignProvider, InstrumentedProvider, SharedMeterProvider};
use super::variables;
use super::watchdog::Watching;
use crate::record::{Config, NameList, SpanPolicy, Treatment};

/// What is exported, where to, and how.
///
/// ```
/// use telemetry_rt_telemetry::export::{InMemory, Otel};
///
/// let spans = InMemory::new();
/// let otel = Otel::builder().exporter(spans.clone()).build();
/// assert!(otel.is_exporting());
/// ```
pub struct Otel {
    pub(super) exporters: Vec<Box<dyn Exporter>>,
    pub(super) spans_to: SpansTo,
    pub(super) meter_provider: Option<SharedMeterProvider>,
    pub(super) policy: Arc<SdkPolicy>,
    pub(super) resource: Resource,
    pub(super) queue_size: usize,
    pub(super) batch_size: usize,
    pub(super) schedule_delay: Duration,
    pub(super) metric_interval: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) propagators: Vec<Propagator>,
    /// Characters that a value of an attribute may have.
    pub(super) value_length: Option<usize>,
    task_names: NameList,
    blocking_names: NameList,
    pub(super) exemplars: ExemplarFilter,
    pub(super) treatment: Treatment,
    pub(super) watching: Watching,
    pub(super) span_ring: usize,
    spans: bool,
    /// By the operator: there is no telemetry, that of users included.
    pub(super) disabled: bool,
    warnings: Vec<String>,
}

/// Where spans leave the process: by one way only, or they would come twice.
#[derive(Debug)]
pub(super) enum SpansTo {
    /// To the exporters, by the pipeline's own tracer provider.
    Exporters,
    /// Into a provider of the application, once they have ended.
    Instrumented(InstrumentedProvider),
    /// Into a provider of the application, as they begin and end.
    Foreign(ForeignProvider),
}

impl Otel {
    /// What the standard variables ask for: see the table of variables in the documentation.
    ///
    /// A program that sets none of `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and
    /// `OTEL_EXPORTER_OTLP_*ENDPOINT` exports nothing. What is not understood is a warning.
    pub fn from_env() -> Otel {
        let otel = Otel::from_variables(&process_variable);
        otel.say_warnings();
        otel
    }

    /// As [`from_env`](Otel::from_env), with `get` instead of the process environment, and with
    /// warnings only in [`warnings`](Otel::warnings). The resource still comes from the process
    /// environment, as the SDK reads it.
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Otel {
        let env = Env::new(get);
        let exporters = variables::exporters(&env);
        let mut builder = OtelBuilder::new(&env);
        builder.otel.exporters = exporters;
        builder.otel.warnings = env.into_warnings();
        builder.build()
    }

    /// Exports nothing.
    pub fn disabled() -> Otel {
        OtelBuilder::new(&Env::new(&|_| None)).build()
    }

    /// Begins with no exporter, and otherwise with what the environment says. What is not
    /// understood there is a warning, when it is built.
    pub fn builder() -> OtelBuilder {
        OtelBuilder::said(Env::new(&process_variable))
    }

    /// Whether there is an exporter or a provider. If not, there is no use in a pipeline.
    pub fn is_exporting(&self) -> bool {
        !self.exporters.is_empty() || self.meter_provider.is_some() || self.foreign().is_some()
    }

    fn foreign(&self) -> Option<&ForeignProvider> {
        match &self.spans_to {
            SpansTo::Foreign(provider) => Some(provider),
            SpansTo::Exporters | SpansTo::Instrumented(_) => None,
        }
    }

    pub(super) fn takes(&self, signal: Signal) -> bool {
        self.exporters.iter().any(|exporter| exporter.takes(signal))
    }

    /// How the recorder that this pipeline drains is to be made. Spans are recorded only if an
    /// exporter or a provider takes them.
    pub fn recorder_config(&self, workers: usize) -> Config {
        Config {
            workers,
            spans: self.span_policy().filter(|_| self.spans),
            span_ring: self.span_ring,
            task_names: self.task_names.clone(),
            blocking_names: self.blocking_names.clone(),
            treatment: self.treatment,
            ..Config::default()
        }
    }

    fn span_policy(&self) -> Option<Arc<dyn SpanPolicy>> {
        match self.foreign() {
            Some(provider) => Some(Arc::new(ForeignPolicy::new(provider))),
            None if self.takes(Signal::Traces) => Some(self.policy.clone()),
            None => None,
        }
    }

    /// How long a dropped pipeline takes to shut down, at most.
    pub fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    /// Makes the propagators that `OTEL_PROPAGATORS` names those of the whole process. For a
    /// program that exports nothing but passes context on; see also `install_globals`.
    pub fn install_propagators(&self) {
        install_propagators(&self.propagators);
    }

    fn say_warnings(&self) {
        for warning in &self.warnings {
            warn(format_args!("{warning}"));
        }
    }

    /// What was not understood in the environment.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Makes an [`Otel`].
#[derive(Debug)]
pub struct OtelBuilder {
    pub(super) otel: Otel,
    sampler: Rootless,
    limits: SpanLimits,
    /// What was set in code that a provider of the application decides.
    decided: Vec<&'static str>,
    disabled: bool,
    /// Whether warnings are said when it is built, and not by the caller.
    say_warnings: bool,
}

const DEFAULT_QUEUE_SIZE: usize = 131_072;
const DEFAULT_BATCH_SIZE: usize = 2048;
const DEFAULT_SCHEDULE_DELAY: Duration = Duration::from_secs(5);
const DEFAULT_METRIC_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

impl OtelBuilder {
    fn new(env: &Env<'_>) -> OtelBuilder {
        variables::warn_of_unsupported(env);
        let sampler = variables::sampler(env);
        let limits = variables::span_limits(env);
        OtelBuilder {
            otel: Otel {
                exporters: Vec::new(),
                spans_to: SpansTo::Exporters,
                meter_provider: None,
                // Made anew by `build`, from the sampler and the limits.
                policy: Arc::new(SdkPolicy {
                    sampler: Rootless::new(Sampler::AlwaysOff),
                    limits,
                }),
                resource: variables::resource(env),
                queue_size: env.count("OTEL_BSP_MAX_QUEUE_SIZE", 1, DEFAULT_QUEUE_SIZE),
                batch_size: env.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, DEFAULT_BATCH_SIZE),
                schedule_delay: env.millis("OTEL_BSP_SCHEDULE_DELAY", DEFAULT_SCHEDULE_DELAY),
                metric_interval: env.millis("OTEL_METRIC_EXPORT_INTERVAL", DEFAULT_METRIC_INTERVAL),
                shutdown_timeout: DEFAULT_SHUTDOWN_TIMEOUT,
                propagators: variables::propagators(env),
                value_length: variables::value_length(env),
                task_names: variables::names(env, "OTEL_RUST_EXECUTOR_TASK_NAMES_TO_TRACE"),
                blocking_names: variables::names(env, "OTEL_RUST_EXECUTOR_BLOCKING_NAMES_TO_TRACE"),
                exemplars: variables::exemplar_filter(env),
                treatment: variables::treatment(env),
                watching: variables::watching(env),
                span_ring: Config::default().span_ring,
                spans: true,
                disabled: false,
                warnings: Vec::new(),
            },
            sampler,
            limits,
            decided: Vec::new(),
            disabled: env.flag("OTEL_SDK_DISABLED"),
            say_warnings: false,
        }
    }

    /// What the environment says, with warnings that are said.
    fn said(env: Env<'_>) -> OtelBuilder {
        let mut builder = OtelBuilder::new(&env);
        builder.otel.warnings = env.into_warnings();
        builder.say_warnings = true;
        builder
    }

    /// Adds an exporter. Several may be added; each gets everything.
    pub fn exporter(mut self, exporter: impl Exporter + 'static) -> OtelBuilder {
        self.otel.exporters.push(Box::new(exporter));
        self
    }

    /// Lets spans of processes leave through a tracer provider that the application has built by
    /// [`instrument`](super::instrument): all of its processors see them, and users' spans are made
    /// by it as ever.
    ///
    /// Spans leave by this way only. Exporters that are added take metrics alone, and the sampler
    /// and limits are those that the provider was instrumented with. Spans are replayed when they
    /// have ended: a processor sees them start and end at once, with the times that they had; what
    /// it looks up in the context at their start, such as baggage, is not there but for the parent.
    pub fn tracer_provider(mut self, provider: &InstrumentedProvider) -> OtelBuilder {
        self.send_spans_to(SpansTo::Instrumented(provider.clone()));
        self
    }

    /// Lets spans of processes leave through any tracer provider: each is begun in it when the
    /// process is spawned, on the spawning thread, and ended when that ends, on that thread.
    ///
    /// Spans leave by this way only. Exporters that are added take metrics alone; sampler, limits
    /// and flushing are the provider's own affair, and so is what a span costs where it begins and
    /// ends. Events for polls are added at the end, after those of users; how many polls exceeded
    /// the limit on events is not told, because the API has no word for it. A forked child neither
    /// begins spans in the provider nor ends those of its parent.
    ///
    /// The runtime holds the provider until it is dropped. If nobody else has a clone that shuts
    /// down a provider of the SDK, on a thread of its own, which a shutdown of the runtime waits
    /// for until its deadline. An `SdkTracerProvider` that the application builds itself is better given to
    /// [`tracer_provider`](OtelBuilder::tracer_provider), which takes that off the workers.
    pub fn foreign_tracer_provider<P, T, S>(mut self, provider: P) -> OtelBuilder
    where
        S: Span + Send + Sync + 'static,
        T: Tracer<Span = S> + Send + Sync + 'static,
        P: TracerProvider<Tracer = T> + Send + Sync + 'static,
    {
        self.send_spans_to(SpansTo::Foreign(ForeignProvider::new(provider)));
        self
    }

    fn send_spans_to(&mut self, way: SpansTo) {
        if !matches!(self.otel.spans_to, SpansTo::Exporters) {
            self.warn("a second tracer provider was given: the first gets no spans".to_owned());
        }
        self.otel.spans_to = way;
    }

    /// Records metrics into a meter provider of the application, for its readers to collect. Users'
    /// meters on the runtime come from it, too, and what they record goes to it alone.
    ///
    /// Each reader gets exact counts and buckets, sums that are exact but for rounding, and no
    /// exemplars, at the moment when it collects. On its thread that takes 0.1 to 0.2 µs for each
    /// value of a histogram: one for each process that has ended since, and two for each poll. Past
    /// 16 million the rest comes with the next collection, after a warning; durations of processes
    /// go first, and leave half to those of polls. A warning counts what is left after the runtime
    /// has ended. A view that drops everything but chosen instruments has to let
    /// `executor.collections` pass: it has no value and is never exported, but tells when readers
    /// collect.
    ///
    /// Exporters that are added beside it have numbers of their own. To give them and a reader of
    /// the provider the same place to send to would count everything twice there.
    ///
    /// The runtime holds the provider until it is dropped, and does not shut it down: whoever
    /// keeps a clone does, after the runtime, whose last numbers its readers then get. After that
    /// the callback stays, holds no thread, and changes nothing any more.
    ///
    /// If nobody keeps a clone, a provider of the SDK is shut down by being dropped. It is dropped
    /// on a thread of its own; a shutdown of the runtime waits for that until its deadline and warns
    /// if it takes longer, and what the readers have not exported when the program ends is lost. In
    /// a forked child it is not dropped.
    pub fn meter_provider(
        mut self,
        provider: impl MeterProvider + Send + Sync + 'static,
    ) -> OtelBuilder {
        let before = self.otel.meter_provider.replace(Arc::new(provider));
        if before.is_some() {
            self.warn("a second meter provider was given: the first gets no metrics".to_owned());
        }
        self
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.otel.warnings.push(warning);
    }

    /// Decides which spans are sampled, those of processes and those of users. By default what
    /// `OTEL_TRACES_SAMPLER` names, else `parentbased_always_on`.
    pub fn sampler(mut self, sampler: impl ShouldSample + 'static) -> OtelBuilder {
        self.sampler = Rootless::new(sampler);
        self.decided.push("sampler");
        self
    }

    /// What is said about the program itself. By default what `OTEL_SERVICE_NAME` and
    /// `OTEL_RESOURCE_ATTRIBUTES` say.
    pub fn resource(mut self, resource: Resource) -> OtelBuilder {
        self.otel.resource = resource;
        self
    }

    /// How many parts a span keeps.
    pub fn span_limits(mut self, limits: SpanLimits) -> OtelBuilder {
        self.limits = limits;
        self.decided.push("span limits");
        self
    }

    /// How many characters a text in the attributes of a span keeps. By default what
    /// `OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT` or `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` says, else
    /// all of them; only OTLP cuts at 65,536 in any case.
    pub fn value_length(mut self, characters: usize) -> OtelBuilder {
        self.otel.value_length = Some(characters);
        self
    }

    /// Tasks that get spans.
    pub fn task_names(mut self, names: NameList) -> OtelBuilder {
        self.otel.task_names = names;
        self
    }

    /// Functions on the blocking pool that get spans.
    pub fn blocking_names(mut self, names: NameList) -> OtelBuilder {
        self.otel.blocking_names = names;
        self
    }

    /// How many spans wait for exporters at most; at least one. Default: 131,072.
    ///
    /// Those of processes take some 200 bytes each while they wait: 27 MB when there are as many.
    pub fn queue_size(mut self, spans: usize) -> OtelBuilder {
        self.otel.queue_size = spans.max(1);
        self
    }

    /// How many spans an exporter gets at once, at most. Default: 2,048.
    pub fn batch_size(mut self, spans: usize) -> OtelBuilder {
        self.otel.batch_size = spans.max(1);
        self
    }

    /// How long spans wait until a batch is full. Default: 5 s.
    pub fn schedule_delay(mut self, delay: Duration) -> OtelBuilder {
        self.otel.schedule_delay = delay;
        self
    }

    /// How often metrics are exported. Default: 60 s.
    pub fn metric_interval(mut self, interval: Duration) -> OtelBuilder {
        self.otel.metric_interval = interval;
        self
    }

    /// How many ended spans each worker can hold for the drain. Default: 8192.
    pub fn span_ring(mut self, spans: usize) -> OtelBuilder {
        self.otel.span_ring = spans;
        self
    }

    /// How long a dropped pipeline takes to shut down, at most. Default: 5 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> OtelBuilder {
        self.otel.shutdown_timeout = timeout;
        self
    }

    /// Records no spans of processes, only metrics.
    pub fn without_spans(mut self) -> OtelBuilder {
        self.otel.spans = false;
        self
    }

    /// Makes it.
    pub fn build(mut self) -> Otel {
        if self.disabled {
            self.otel.disabled = true;
            self.otel.exporters.clear();
            self.otel.spans_to = SpansTo::Exporters;
            self.otel.meter_provider = None;
        }
        self.leave_spans_to_the_provider();
        self.reconcile();
        let mut otel = self.otel;
        otel.policy = Arc::new(match &otel.spans_to {
            SpansTo::Instrumented(provider) => SdkPolicy {
                sampler: provider.sampler.clone(),
                limits: provider.limits,
            },
            SpansTo::Exporters | SpansTo::Foreign(_) => SdkPolicy {
                sampler: self.sampler,
                limits: self.limits,
            },
        });
        if let SpansTo::Instrumented(provider) = &otel.spans_to {
            otel.exporters.push(Box::new(provider.exporter()));
        }
        if self.say_warnings {
            otel.say_warnings();
        }
        otel
    }

    /// With a tracer provider, exporters take no spans, and it decides what it has to decide.
    fn leave_spans_to_the_provider(&mut self) {
        if matches!(self.otel.spans_to, SpansTo::Exporters) {
            return;
        }
        for setting in std::mem::take(&mut self.decided) {
            self.warn(format!(
                "the {setting} of this builder has no effect: the tracer provider that spans go to \
                 has its own"
            ));
        }
        for exporter in std::mem::take(&mut self.otel.exporters) {
            if exporter.takes(Signal::Traces) {
                let name = exporter.name();
                self.warn(format!(
                    "exporter {name}: it is given no spans, because they go to a tracer provider; \
                     give them to it there, by a span processor"
                ));
            }
            let only = Only::new(Signal::Metrics, exporter);
            self.otel.exporters.push(Box::new(only));
        }
    }
}

impl std::fmt::Debug for Otel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exporters: Vec<_> = self
            .exporters
            .iter()
            .map(|exporter| exporter.name())
            .collect();
        f.debug_struct("Otel")
            .field("exporters", &exporters)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::set_diagnostics;
    use parking_lot::Mutex;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn a_builder_says_once_what_it_did_not_understand() {
        set_diagnostics(|line| SAID.lock().push(line.to_owned()));
        let get = |name: &str| (name == "OTEL_BSP_SCHEDULE_DELAY").then(|| "soon".to_owned());
        let otel = OtelBuilder::said(Env::new(&get)).build();
        let said: Vec<String> = SAID.lock().clone();
        let said = said.iter().filter(|line| line.contains("\"soon\""));
        assert_eq!(
            said.collect::<Vec<_>>(),
            otel.warnings().iter().collect::<Vec<_>>()
        );
        assert_eq!(otel.warnings().len(), 1);
    }
}
