//! A runtime whose spans and metrics end up in memory, and questions about what it recorded.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry::trace::{Event, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use telemetry_rt::otel::{
    Activity, HistogramPoint, InMemory, Metric, MetricData, Number, NumberPoint, Otel, OtelBuilder,
    TaskView,
};
use telemetry_rt::runtime::{Builder, Handle, Runtime};
use telemetry_rt::task::{AbortHandle, yield_now};

/// A runtime whose spans and metrics end up in memory.
pub struct Observed {
    pub runtime: Runtime,
    pub memory: InMemory,
}

/// What an observed runtime has recorded, after it was shut down.
pub struct Seen {
    pub spans: Vec<SpanData>,
    pub metrics: Vec<Metric>,
}

/// What tells the series of processes apart: type, name, state and type of the error.
pub type Series = (String, String, String, String);

impl Observed {
    pub fn new(mut builder: Builder) -> Observed {
        Observed::with(&mut builder, |otel| otel)
    }

    pub fn one_thread() -> Observed {
        Observed::new(Builder::new_current_thread())
    }

    pub fn with(
        builder: &mut Builder,
        configure: impl FnOnce(OtelBuilder) -> OtelBuilder,
    ) -> Observed {
        let memory = InMemory::new();
        let otel = configure(Otel::builder().exporter(memory.clone())).build();
        let runtime = builder.enable_all().otel(otel).build().unwrap();
        Observed { runtime, memory }
    }

    /// Runs the future to its end, and the runtime, too.
    pub fn run<F: Future>(self, future: F) -> Seen {
        self.runtime.block_on(future);
        self.end()
    }

    pub fn end(self) -> Seen {
        drop(self.runtime);
        Seen {
            spans: self.memory.spans(),
            metrics: self.memory.metrics(),
        }
    }
}

/// Runs a test on both flavours.
pub fn on_each(test: impl Fn(Builder)) {
    test(Builder::new_current_thread());
    let mut two = Builder::new_multi_thread();
    two.worker_threads(2);
    test(two);
}

/// Waits for a task without joining it.
pub async fn has_ended(task: &AbortHandle) {
    while !task.is_finished() {
        yield_now().await;
    }
}

impl Seen {
    #[track_caller]
    pub fn named(&self, name: &str) -> &SpanData {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
        assert!(found.next().is_none(), "several spans {name}");
        span
    }

    #[track_caller]
    pub fn assert_child(&self, child: &str, parent: &str) {
        let (child, parent) = (self.named(child), self.named(parent));
        assert_eq!(
            child.span_context.trace_id(),
            parent.span_context.trace_id()
        );
        assert_eq!(child.parent_span_id, parent.span_context.span_id());
    }

    pub fn metric(&self, name: &str) -> &Metric {
        let found = self.metrics.iter().rfind(|metric| metric.name == name);
        found.unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// The points of `process.count`, as numbers.
    pub fn counts(&self) -> BTreeMap<Series, i64> {
        let MetricData::Sum { points, .. } = &self.metric("process.count").data else {
            panic!("process.count is no sum");
        };
        let counts = points.iter().map(|point| {
            let Number::Int(count) = point.value else {
                panic!("process.count is no whole number");
            };
            (series(&point.attributes), count)
        });
        counts.collect()
    }

    /// The points of `process.duration`.
    pub fn durations(&self) -> &[HistogramPoint] {
        match &self.metric("process.duration").data {
            MetricData::Histogram { points, .. } => points,
            other => panic!("process.duration is {other:?}"),
        }
    }

    /// How the one process of this name ended: all of its span that depends on the end, as text.
    /// Its metrics are checked to say the same.
    #[track_caller]
    pub fn end_of(&self, name: &str) -> String {
        let span = self.named(name);
        let state = text(span, "task.state");
        let error = text(span, "error.type");
        let expected = (
            text(span, "task.type"),
            name.to_owned(),
            state.clone(),
            error.clone(),
        );
        let counts = self.counts();
        let of_name: Vec<_> = counts.iter().filter(|(key, _)| key.1 == name).collect();
        assert_eq!(of_name, [(&expected, &1)], "the count of {name}");
        let durations = self.durations().iter();
        let of_name: Vec<_> = durations
            .map(|point| (series(&point.attributes), point.count))
            .filter(|(key, _)| key.1 == name)
            .collect();
        assert_eq!(of_name, [(expected, 1)], "the durations of {name}");
        let status = match &span.status {
            Status::Unset => "unset".to_owned(),
            Status::Ok => "ok".to_owned(),
            Status::Error { description } => format!("error: {description}"),
        };
        let events: Vec<_> = events_of(span).map(|event| &*event.name).collect();
        format!("{state} [{error}] {status} {events:?}")
    }
}

/// The events of a span, without those about slow polls: they depend on the machine.
pub fn events_of(span: &SpanData) -> impl Iterator<Item = &Event> {
    span.events.iter().filter(|event| event.name != "slow_poll")
}

/// Cancellation is no error: no status, no type of error, no event.
pub const CANCELLED: &str = "cancelled [] unset []";
pub const FINISHED: &str = "finished [] unset []";

pub fn series(attributes: &[KeyValue]) -> Series {
    let text = |key: &str| {
        let found = attributes.iter().find(|kv| kv.key.as_str() == key);
        found.map(|kv| kv.value.to_string()).unwrap_or_default()
    };
    (
        text("type"),
        text("name"),
        text("state"),
        text("error.type"),
    )
}

pub fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|kv| kv.key.as_str() == key);
    found.map(|kv| &kv.value)
}

/// An attribute of a span as text; empty if there is none.
pub fn text(span: &SpanData, key: &str) -> String {
    attribute(&span.attributes, key)
        .map(Value::to_string)
        .unwrap_or_default()
}

#[track_caller]
pub fn number(span: &SpanData, key: &str) -> i64 {
    match attribute(&span.attributes, key) {
        Some(Value::I64(number)) => *number,
        other => panic!("{key} of {} is {other:?}", span.name),
    }
}

// ----- polls, wakes, live tasks -----

/// Waits for something that another thread does.
#[track_caller]
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The live process of this name.
pub fn live(handle: &Handle, name: &str) -> Option<TaskView> {
    let tasks = handle.dump_tasks().tasks;
    let is_named = |task: &TaskView| task.kind.as_ref().is_some_and(|kind| kind.name == name);
    tasks.into_iter().find(is_named)
}

/// Whether the process of this name waits to be woken.
pub fn is_idle(handle: &Handle, name: &str) -> bool {
    live(handle, name).is_some_and(|task| task.activity == Activity::Idle)
}

/// Lets others run until the process of this name waits to be woken.
pub async fn idle(name: &str) {
    let handle = Handle::current();
    while !is_idle(&handle, name) {
        yield_now().await;
    }
}

/// The polls that are events of a span.
pub fn polls_of(span: &SpanData) -> Vec<&Event> {
    let is_poll = |event: &&Event| event.name == "poll" || event.name == "slow_poll";
    span.events.iter().filter(is_poll).collect()
}

/// Who made the process ready for each of its polls.
pub fn causes(span: &SpanData) -> Vec<String> {
    let polls = polls_of(span).into_iter();
    polls
        .map(|poll| in_event(poll, "poll.wake_cause"))
        .collect()
}

/// An attribute of an event as text; empty if there is none.
pub fn in_event(event: &Event, key: &str) -> String {
    attribute(&event.attributes, key)
        .map(Value::to_string)
        .unwrap_or_default()
}

impl Seen {
    /// The sum of the points of a sum or gauge that have these attributes, among others.
    #[track_caller]
    pub fn total(&self, name: &str, attributes: &[(&str, &str)]) -> f64 {
        let points = match &self.metric(name).data {
            MetricData::Sum { points, .. } | MetricData::Gauge { points } => points,
            MetricData::Histogram { .. } => panic!("{name} is a histogram"),
        };
        let has = |point: &&NumberPoint| {
            attributes.iter().all(|(key, value)| {
                attribute(&point.attributes, key).is_some_and(|found| found.to_string() == *value)
            })
        };
        let values = points.iter().filter(has).map(|point| match point.value {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        });
        values.sum()
    }
}
