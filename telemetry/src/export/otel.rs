//! What is exported, where to, and how: one value, made from the environment or by a builder.
//!
//! The environment decides what the program does not: a builder's setting wins over a variable,
//! except for `OTEL_SDK_DISABLED`, with which an operator turns everything off.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, ShouldSample, SpanLimits};

use super::diagnostics::warn;
use super::env::{Env, process_variable};
use super::exporter::{Exporter, Signal};
use super::globals::{Propagator, install_propagators};
use super::policy::{Rootless, SdkPolicy};
use super::variables;
use crate::record::{Config, NameList, SpanPolicy};

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
    span_ring: usize,
    spans: bool,
    warnings: Vec<String>,
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

    /// Whether there is an exporter. If not, there is no use in a pipeline.
    pub fn is_exporting(&self) -> bool {
        !self.exporters.is_empty()
    }

    pub(super) fn takes(&self, signal: Signal) -> bool {
        self.exporters.iter().any(|exporter| exporter.takes(signal))
    }

    /// How the recorder that this pipeline drains is to be made. Spans are recorded only if an
    /// exporter takes them.
    pub fn recorder_config(&self, workers: usize) -> Config {
        let wanted = self.spans && self.takes(Signal::Traces);
        let policy: Arc<dyn SpanPolicy> = self.policy.clone();
        Config {
            workers,
            spans: wanted.then_some(policy),
            span_ring: self.span_ring,
            task_names: self.task_names.clone(),
            blocking_names: self.blocking_names.clone(),
            ..Config::default()
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
    otel: Otel,
    sampler: Box<dyn ShouldSample>,
    limits: SpanLimits,
    disabled: bool,
    /// Whether warnings are said when it is built, and not by the caller.
    say_warnings: bool,
}

const DEFAULT_QUEUE_SIZE: usize = 65_536;
const DEFAULT_BATCH_SIZE: usize = 512;
const DEFAULT_SCHEDULE_DELAY: Duration = Duration::from_secs(5);
const DEFAULT_METRIC_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

impl OtelBuilder {
    fn new(env: &Env<'_>) -> OtelBuilder {
        let sampler = variables::sampler(env);
        let limits = variables::span_limits(env);
        OtelBuilder {
            otel: Otel {
                exporters: Vec::new(),
                // Made anew by `build`, from the sampler and the limits.
                policy: Arc::new(SdkPolicy {
                    sampler: Rootless(Box::new(Sampler::AlwaysOff)),
                    limits,
                }),
                resource: Resource::builder().build(),
                queue_size: env.count("OTEL_BSP_MAX_QUEUE_SIZE", 1, DEFAULT_QUEUE_SIZE),
                batch_size: env.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, DEFAULT_BATCH_SIZE),
                schedule_delay: env.millis("OTEL_BSP_SCHEDULE_DELAY", DEFAULT_SCHEDULE_DELAY),
                metric_interval: env.millis("OTEL_METRIC_EXPORT_INTERVAL", DEFAULT_METRIC_INTERVAL),
                shutdown_timeout: DEFAULT_SHUTDOWN_TIMEOUT,
                propagators: variables::propagators(env),
                value_length: variables::value_length(env),
                task_names: variables::names(env, "OTEL_RUST_EXECUTOR_TASK_NAMES_TO_TRACE"),
                blocking_names: variables::names(env, "OTEL_RUST_EXECUTOR_BLOCKING_NAMES_TO_TRACE"),
                span_ring: Config::default().span_ring,
                spans: true,
                warnings: Vec::new(),
            },
            sampler,
            limits,
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

    /// Decides which spans are sampled, those of processes and those of users. By default what
    /// `OTEL_TRACES_SAMPLER` names, else `parentbased_always_on`.
    pub fn sampler(mut self, sampler: impl ShouldSample + 'static) -> OtelBuilder {
        self.sampler = Box::new(sampler);
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

    /// How many spans wait for exporters at most; at least one. Default: 65,536.
    pub fn queue_size(mut self, spans: usize) -> OtelBuilder {
        self.otel.queue_size = spans.max(1);
        self
    }

    /// How many spans an exporter gets at once, at most. Default: 512.
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
    pub fn build(self) -> Otel {
        let mut otel = self.otel;
        otel.policy = Arc::new(SdkPolicy {
            sampler: Rootless(self.sampler),
            limits: self.limits,
        });
        if self.disabled {
            otel.exporters.clear();
        }
        if self.say_warnings {
            otel.say_warnings();
        }
        otel
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
