//! Spans and metrics through providers that the application made itself.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use common::{Bench, FAILED, FINISHED, LONG, attribute, keep_warnings, labels, text, warnings};
use opentelemetry::metrics::{
    AsyncInstrument, AsyncInstrumentBuilder, Callback, Counter, InstrumentBuilder,
    InstrumentProvider, Meter, MeterProvider, ObservableCounter, SyncInstrument,
};
use opentelemetry::trace::{
    Event, Link, Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt,
    TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, InMemoryMetricExporterBuilder, PeriodicReader, SdkMeterProvider,
    Temporality,
};
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample, SpanData,
    SpanLimits, SpanProcessor,
};
use telemetry_rt_telemetry::export::{
    self, Exporter, InMemory, Metric, Only, Otel, OtelBuilder, Signal, instrument,
    instrument_with_limits,
};
use telemetry_rt_telemetry::record::{Ending, PollDetail};

// ----- what a processor of the application sees -----

#[derive(Clone, Debug, Default)]
struct Seen {
    started: Arc<Mutex<Vec<(String, SpanId)>>>,
    ended: Arc<Mutex<Vec<SpanData>>>,
}

impl Seen {
    fn spans(&self) -> Vec<SpanData> {
        self.ended.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .spans()
            .iter()
            .map(|span| span.name.to_string())
            .collect();
        names.sort();
        names
    }
}

impl SpanProcessor for Seen {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, parent: &Context) {
        // What a processor does to a span that starts is kept, and it sees the parent.
        span.set_attribute(KeyValue::new("seen.starting", true));
        let name = span.exported_data().unwrap().name.to_string();
        let parent = parent.span().span_context().span_id();
        self.started.lock().unwrap().push((name, parent));
        // Spans that it starts itself are spans like any others.
        assert!(parent == SpanId::INVALID || parent != span.span_context().span_id());
    }

    fn on_end(&self, span: SpanData) {
        self.ended.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What the processes of a test do, with spans of users above, within and below.
fn play(bench: &Bench, users: &impl Tracer<Span: Send + Sync + 'static>) {
    let request = users.start_with_context("request", &Context::new());
    let _guard = Context::new().with_span(request).attach();
    bench.run_with("outer", FINISHED, || {
        let context = Context::current();
        let span = context.span();
        span.update_name("renamed");
        span.set_attribute(KeyValue::new("shop", 7));
        span.add_event("cached", vec![KeyValue::new("hit", true)]);
        let elsewhere = SpanContext::new(
            TraceId::from(5),
            SpanId::from(6),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        span.add_link(elsewhere, vec![KeyValue::new("why", "retry")]);
        users.start_with_context("query", &context).end();
        bench.run_with("inner", FAILED, || {});
        bench.run_with("broken", Ending::Panicked("oh no"), || {});
        bench.run_with("gone", Ending::Cancelled, || {});
        bench.run_with("said", FINISHED, || {
            Context::current().span().set_status(Status::error("mine"));
        });
    });
}

/// A span without what differs from run to run: ids become names.
fn shown(spans: &[SpanData]) -> Vec<String> {
    let names: HashMap<SpanId, &str> = spans
        .iter()
        .map(|span| (span.span_context.span_id(), &*span.name))
        .collect();
    let mut shown: Vec<String> = spans
        .iter()
        .map(|span| {
            let varies = |key: &str| {
                key.ends_with("_ns") || key.starts_with("seen.") || key.starts_with("task.id")
            };
            let attributes: Vec<KeyValue> = span
                .attributes
                .iter()
                .filter(|attribute| !varies(attribute.key.as_str()))
                .cloned()
                .collect();
            let events: Vec<_> = span
                .events
                .iter()
                .map(|event| (&event.name, &event.attributes, event.dropped_attributes_count))
                .collect();
            let links: Vec<_> = span.links.iter().map(|link| (link, &link.attributes)).collect();
            format!(
                "{} below {:?} remote={} {:?} {:?} flags={:?} {} {} events={events:?}+{} links={links:?}+{}",
                span.name,
                names.get(&span.parent_span_id),
                span.parent_span_is_remote,
                span.span_kind,
                span.status,
                span.span_context.trace_flags(),
                labels(&attributes),
                span.dropped_attributes_count,
                span.events.dropped_count,
                span.links.dropped_count,
            )
        })
        .collect();
    shown.sort();
    shown
}

// ----- an SdkTracerProvider of the application -----

#[test]
fn what_is_replayed_is_what_the_direct_way_exports() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    play(&bench, &bench.pipeline.tracer_provider().tracer("users"));
    bench.shutdown(LONG);

    let seen = Seen::default();
    let instrumented = instrument(
        SdkTracerProvider::builder().with_span_processor(seen.clone()),
        Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
    );
    let replayed = Bench::new(Otel::builder().tracer_provider(&instrumented).build());
    play(&replayed, &instrumented.provider().tracer("users"));
    let report = replayed.shutdown(LONG);

    let direct = memory.spans();
    assert_eq!(shown(&seen.spans()), shown(&direct));
    assert_eq!(direct.len(), 7);
    assert_eq!(
        report.spans.exported, 5,
        "users' spans are not the pipeline's"
    );
}

#[test]
fn the_times_of_a_replayed_span_are_those_of_its_process() {
    let (seen, bench) = seen_bench(Sampler::AlwaysOn);
    let before = SystemTime::now();
    bench.run_with("slow", FINISHED, || {
        std::thread::sleep(Duration::from_millis(5))
    });
    let after = SystemTime::now();
    std::thread::sleep(Duration::from_millis(5));
    bench.shutdown(LONG);
    let span = &seen.spans()[0];
    let slack = Duration::from_millis(4);
    assert!(span.start_time + slack > before && span.end_time < after + slack);
    let length = span.end_time.duration_since(span.start_time).unwrap();
    let parts = ["task.busy_ns", "task.scheduled_ns", "task.idle_ns"];
    let sum: u64 = parts.iter().map(|part| common::number(span, part)).sum();
    assert_eq!(u128::from(sum), length.as_nanos());
    assert!(length >= Duration::from_millis(5));
}

#[test]
fn processors_see_spans_start_and_end_once_each() {
    let (seen, bench) = seen_bench(Sampler::AlwaysOn);
    let users = bench.pipeline.tracer_provider().tracer("users");
    play(&bench, &users);
    assert!(bench.flush().completed);
    let mut expected = vec![
        "broken", "gone", "inner", "query", "renamed", "request", "said",
    ];
    assert_eq!(seen.names(), expected);
    let started = seen.started.lock().unwrap().clone();
    let mut names: Vec<&str> = started.iter().map(|(name, _)| &**name).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    let spans = seen.spans();
    for (name, parent) in &started {
        let span = spans.iter().find(|span| span.name == **name).unwrap();
        assert_eq!(span.parent_span_id, *parent);
        assert_eq!(
            text(&span.attributes, "seen.starting").as_deref(),
            Some("true")
        );
    }
    bench.shutdown(LONG);
    assert_eq!(seen.spans().len(), expected.len());
}

#[test]
fn traces_are_sampled_whole_or_not_at_all() {
    let (seen, bench) = seen_bench(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
        0.5,
    ))));
    let users = bench.pipeline.tracer_provider().tracer("users");
    let mut sampled = 0;
    for _ in 0..200 {
        bench.run_with("root", FINISHED, || {
            let context = Context::current();
            assert!(context.span().span_context().is_valid());
            sampled += usize::from(context.span().span_context().is_sampled());
            let user = users.start_with_context("user", &context);
            let _guard = context.with_span(user).attach();
            bench.run("leaf");
        });
    }
    bench.shutdown(LONG);
    assert!((50..150).contains(&sampled), "{sampled}");
    let mut traces: HashMap<TraceId, Vec<String>> = HashMap::new();
    for span in seen.spans() {
        let trace = traces.entry(span.span_context.trace_id()).or_default();
        trace.push(span.name.to_string());
    }
    assert_eq!(traces.len(), sampled);
    for mut names in traces.into_values() {
        names.sort();
        assert_eq!(names, ["leaf", "root", "user"]);
    }
}

/// Samples every other span that it is asked about, and counts in itself.
#[derive(Debug, Default)]
struct EveryOther(AtomicUsize);

impl Clone for EveryOther {
    fn clone(&self) -> EveryOther {
        EveryOther(AtomicUsize::new(self.0.load(Ordering::Relaxed)))
    }
}

impl ShouldSample for EveryOther {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let even = self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        SamplingResult {
            decision: match even {
                true => SamplingDecision::RecordAndSample,
                false => SamplingDecision::Drop,
            },
            attributes: vec![KeyValue::new("sampled.by", "turn")],
            trace_state: TraceState::from_key_value([("turn", "1")]).unwrap(),
        }
    }
}

#[test]
fn processes_and_users_ask_one_sampler_and_a_replay_asks_nobody() {
    let (seen, bench) = seen_bench(EveryOther::default());
    let users = bench.pipeline.tracer_provider().tracer("users");
    for _ in 0..10 {
        bench.run("process");
        bench.flush();
        users.start_with_context("user", &Context::new()).end();
    }
    bench.shutdown(LONG);
    assert_eq!(seen.names(), ["process"; 10]);
    for span in seen.spans() {
        assert_eq!(attribute(&span, "sampled.by").as_deref(), Some("turn"));
        let said = span
            .attributes
            .iter()
            .filter(|a| a.key.as_str() == "sampled.by");
        assert_eq!(said.count(), 1);
        assert_eq!(span.span_context.trace_state().header(), "turn=1");
    }
}

#[test]
fn what_limits_cut_is_counted_in_the_provider_as_well() {
    let limits = SpanLimits {
        max_attributes_per_span: 20,
        max_events_per_span: 2,
        max_links_per_span: 1,
        max_attributes_per_event: 1,
        max_attributes_per_link: 1,
    };
    let overdo = |bench: &Bench| {
        bench.run_with("many", FINISHED, || {
            let context = Context::current();
            let span = context.span();
            for number in 0..30 {
                let pair = || KeyValue::new(format!("key{number}"), number);
                span.set_attribute(pair());
                span.add_event("event", vec![pair(), KeyValue::new("more", 1)]);
                span.add_link(span.span_context().clone(), vec![pair(), pair(), pair()]);
            }
        });
    };
    let memory = InMemory::new();
    let direct = Otel::builder().exporter(memory.clone()).span_limits(limits);
    let bench = Bench::new(direct.build());
    overdo(&bench);
    bench.shutdown(LONG);

    let seen = Seen::default();
    let builder = SdkTracerProvider::builder().with_span_processor(seen.clone());
    let instrumented = instrument_with_limits(builder, Sampler::AlwaysOn, limits);
    let bench = Bench::new(Otel::builder().tracer_provider(&instrumented).build());
    overdo(&bench);
    bench.shutdown(LONG);

    let (direct, replayed) = (&memory.spans()[0], &seen.spans()[0]);
    // The processor of this file adds one attribute, for which there is no room.
    assert_eq!(
        replayed.dropped_attributes_count,
        direct.dropped_attributes_count + 1
    );
    // The two differ by their ids and times alone, which nothing here shows.
    let parts = |span: &SpanData| -> (Vec<_>, Vec<_>, u32, u32) {
        let event = |event: &Event| (event.attributes.clone(), event.dropped_attributes_count);
        let link = |link: &Link| (link.attributes.clone(), link.dropped_attributes_count);
        (
            span.events.iter().map(event).collect(),
            span.links.iter().map(link).collect(),
            span.events.dropped_count,
            span.links.dropped_count,
        )
    };
    assert_eq!(parts(replayed), parts(direct));
    assert_eq!(direct.events.events[0].dropped_attributes_count, 1);
    assert!(direct.events.dropped_count > 0 && direct.links.dropped_count > 0);
}

#[test]
fn a_provider_that_was_shut_down_first_costs_spans_that_are_counted() {
    let (seen, bench) = seen_bench(Sampler::AlwaysOn);
    bench.run("early");
    assert!(bench.flush().completed);
    bench.pipeline.tracer_provider().shutdown().unwrap();
    bench.run("late");
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.dropped.export_failed, 1);
    assert_eq!(seen.names(), ["early"]);
}

/// Panics over each span that is called so.
#[derive(Debug)]
struct Touchy(&'static str);

impl SpanProcessor for Touchy {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        assert_ne!(span.name, self.0, "touchy indeed");
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn a_processor_that_panics_costs_the_span_it_panics_over_and_no_other() {
    keep_warnings();
    let seen = Seen::default();
    let builder = SdkTracerProvider::builder()
        .with_span_processor(Touchy("bad"))
        .with_span_processor(seen.clone());
    let instrumented = instrument(builder, Sampler::AlwaysOn);
    let bench = Bench::new(Otel::builder().tracer_provider(&instrumented).build());
    for name in ["first", "bad", "second", "bad", "third"] {
        bench.run(name);
    }
    let spans = bench.shutdown(LONG).spans;
    assert_eq!((spans.exported, spans.dropped.export_failed), (3, 2));
    assert_eq!(seen.names(), ["first", "second", "third"]);
    let said = warnings("touchy indeed");
    assert!(
        said.len() == 1 && said[0].contains("2 rejected"),
        "{said:?}"
    );
}

#[test]
fn exporters_beside_a_provider_take_metrics_only() {
    let memory = InMemory::new();
    let seen = Seen::default();
    let builder = SdkTracerProvider::builder().with_span_processor(seen.clone());
    let otel = Otel::builder()
        .sampler(Sampler::AlwaysOff)
        .exporter(memory.clone())
        .tracer_provider(&instrument(builder, Sampler::AlwaysOn))
        .build();
    let said = otel.warnings().join("\n");
    assert!(
        said.contains("it is given no spans") && said.contains("the sampler"),
        "{said}"
    );
    let bench = Bench::new(otel);
    bench.run("fetch");
    bench.shutdown(LONG);
    assert_eq!((memory.spans().len(), seen.spans().len()), (0, 1));
    assert_eq!(common::sums(&memory.metrics(), "process.count")[0].1, 1);
}

fn seen_bench(sampler: impl ShouldSample + 'static) -> (Seen, Bench) {
    let seen = Seen::default();
    let builder = SdkTracerProvider::builder().with_span_processor(seen.clone());
    let instrumented = instrument(builder, sampler);
    let otel = Otel::builder().tracer_provider(&instrumented).build();
    (seen, Bench::new(otel))
}

// ----- a provider that is not the SDK's -----

/// As little as a provider can be: it numbers its spans, and keeps those that ended.
#[derive(Clone, Default)]
struct Minimal {
    next: Arc<AtomicUsize>,
    ended: Arc<Mutex<Vec<MinimalData>>>,
    samples_none: bool,
    panics: bool,
}

#[derive(Clone, Default, Debug)]
struct MinimalData {
    name: String,
    parent: u64,
    links: usize,
    times: Option<(SystemTime, SystemTime)>,
    attributes: Vec<KeyValue>,
    events: Vec<Event>,
    status: Status,
}

struct MinimalSpan {
    provider: Minimal,
    context: SpanContext,
    started: SystemTime,
    data: Option<MinimalData>,
}

impl TracerProvider for Minimal {
    type Tracer = Minimal;

    fn tracer_with_scope(&self, _: InstrumentationScope) -> Minimal {
        self.clone()
    }
}

impl Tracer for Minimal {
    type Span = MinimalSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> MinimalSpan {
        assert!(!self.panics, "minimal indeed");
        let parent = parent.span().span_context().clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        let trace_id = match parent.is_valid() {
            true => parent.trace_id(),
            false => TraceId::from(u128::from(number)),
        };
        let sampled = TraceFlags::default().with_sampled(!self.samples_none);
        MinimalSpan {
            provider: self.clone(),
            context: SpanContext::new(
                trace_id,
                SpanId::from(number),
                sampled,
                false,
                TraceState::default(),
            ),
            started: builder.start_time.unwrap_or_else(SystemTime::now),
            data: (!self.samples_none).then(|| MinimalData {
                name: builder.name.into_owned(),
                parent: u64::from_be_bytes(parent.span_id().to_bytes()),
                links: builder.links.map_or(0, |links| links.len()),
                attributes: builder.attributes.unwrap_or_default(),
                ..MinimalData::default()
            }),
        }
    }
}

impl Span for MinimalSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, date: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<std::borrow::Cow<'static, str>>,
    {
        if let Some(data) = &mut self.data {
            data.events.push(Event::new(name, date, attributes, 0));
        }
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        self.data.is_some()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if let Some(data) = &mut self.data {
            data.attributes.push(attribute);
        }
    }

    fn set_status(&mut self, status: Status) {
        if let Some(data) = &mut self.data {
            data.status = status;
        }
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<std::borrow::Cow<'static, str>>,
    {
        if let Some(data) = &mut self.data {
            data.name = name.into().into_owned();
        }
    }

    fn add_link(&mut self, _: SpanContext, _: Vec<KeyValue>) {
        if let Some(data) = &mut self.data {
            data.links += 1;
        }
    }

    fn end_with_timestamp(&mut self, date: SystemTime) {
        if let Some(mut data) = self.data.take() {
            data.times = Some((self.started, date));
            self.provider.ended.lock().unwrap().push(data);
        }
    }
}

impl Minimal {
    fn spans(&self) -> BTreeMap<String, MinimalData> {
        let ended = self.ended.lock().unwrap();
        ended
            .iter()
            .map(|data| (data.name.clone(), data.clone()))
            .collect()
    }
}

#[test]
fn a_foreign_provider_gets_each_process_while_it_lives() {
    let minimal = Minimal::default();
    let bench = Bench::new(
        Otel::builder()
            .foreign_tracer_provider(minimal.clone())
            .build(),
    );
    assert!(bench.pipeline.tracer("users").is_some());
    play(&bench, &minimal);
    // Nothing has to be flushed: what has ended has ended there.
    let spans = minimal.spans();
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["broken", "gone", "inner", "query", "renamed", "said"]
    );
    let outer = &spans["renamed"];
    assert_eq!((outer.parent, outer.links, outer.events.len()), (1, 1, 1));
    for child in ["broken", "gone", "inner", "query", "said"] {
        assert_eq!(spans[child].parent, 2, "{child}");
    }
    let report = bench.shutdown(LONG);
    assert_eq!(report.spans.produced, 0);
}

#[test]
fn a_foreign_span_has_an_event_for_each_poll_that_is_to_be_told() {
    let minimal = Minimal::default();
    let otel = Otel::builder().foreign_tracer_provider(minimal.clone());
    let bench = Bench::new(otel.poll_detail(PollDetail::Spans).build());
    bench.run_with("told", FINISHED, || {
        std::thread::sleep(Duration::from_millis(1));
    });
    let spans = minimal.spans();
    let told = &spans["told"];
    let (start, end) = told.times.unwrap();
    let [poll] = &told.events[..] else {
        panic!("{:?}", told.events);
    };
    assert!(poll.name.ends_with("poll"), "{}", poll.name);
    assert!(start <= poll.timestamp && poll.timestamp + Duration::from_millis(1) <= end);
    bench.shutdown(LONG);
}

#[test]
fn a_foreign_span_says_how_its_process_ended_as_one_of_ours_does() {
    let memory = InMemory::new();
    let direct = Bench::new(Otel::builder().exporter(memory.clone()).build());
    play(&direct, &direct.pipeline.tracer_provider().tracer("users"));
    direct.shutdown(LONG);
    let minimal = Minimal::default();
    let bench = Bench::new(
        Otel::builder()
            .foreign_tracer_provider(minimal.clone())
            .build(),
    );
    play(&bench, &minimal);
    let foreign = minimal.spans();
    let varies = |key: &str| key.ends_with("_ns") || key == "task.id";
    let sorted = |attributes: &[KeyValue]| {
        let mut pairs: Vec<_> = attributes
            .iter()
            .filter(|a| !varies(a.key.as_str()))
            .map(|a| format!("{}={}", a.key, a.value))
            .collect();
        pairs.sort();
        pairs
    };
    let direct = memory.spans();
    for span in direct
        .iter()
        .filter(|span| attribute(span, "task.id").is_some())
    {
        let other = &foreign[&*span.name];
        assert_eq!(other.status, span.status, "{}", span.name);
        assert_eq!(sorted(&other.attributes), sorted(&span.attributes));
        let events = |events: &[Event]| -> Vec<_> {
            let shown = |event: &Event| (event.name.to_string(), sorted(&event.attributes));
            events.iter().map(shown).collect()
        };
        assert_eq!(events(&other.events), events(&span.events.events));
    }
    let broken = &foreign["broken"];
    let (start, end) = broken.times.unwrap();
    assert_eq!(broken.events[0].timestamp, end);
    let part = |key| -> u128 { text(&broken.attributes, key).unwrap().parse().unwrap() };
    let parts = ["task.busy_ns", "task.scheduled_ns", "task.idle_ns"].map(part);
    assert_eq!(
        parts.iter().sum::<u128>(),
        end.duration_since(start).unwrap().as_nanos()
    );
}

#[test]
fn what_users_say_about_a_foreign_span_wins_and_they_cannot_end_it() {
    let minimal = Minimal::default();
    let bench = Bench::new(
        Otel::builder()
            .foreign_tracer_provider(minimal.clone())
            .build(),
    );
    bench.run_with("fetch", FAILED, || {
        let context = Context::current();
        context
            .span()
            .set_attribute(KeyValue::new("task.id", "mine"));
        context.span().set_status(Status::Ok);
        context.span().end();
        assert!(minimal.spans().is_empty());
    });
    let span = &minimal.spans()["fetch"];
    assert_eq!(span.status, Status::Ok);
    let ids = span
        .attributes
        .iter()
        .filter(|a| a.key.as_str() == "task.id");
    assert_eq!(labels(&ids.cloned().collect::<Vec<_>>()), "task.id=mine");
}

#[test]
fn foreign_spans_that_are_not_sampled_still_carry_their_context() {
    let minimal = Minimal {
        samples_none: true,
        ..Minimal::default()
    };
    let bench = Bench::new(
        Otel::builder()
            .foreign_tracer_provider(minimal.clone())
            .build(),
    );
    bench.run_with("outer", FINISHED, || {
        let outer = Context::current().span().span_context().clone();
        assert!(outer.is_valid() && !outer.is_sampled());
        bench.run_with("inner", FINISHED, || {
            let inner = Context::current().span().span_context().clone();
            assert_eq!(inner.trace_id(), outer.trace_id());
            assert_ne!(inner.span_id(), outer.span_id());
        });
    });
    assert!(minimal.spans().is_empty());
}

#[test]
fn a_foreign_provider_that_panics_harms_no_process_and_is_told_of_once() {
    keep_warnings();
    let minimal = Minimal {
        panics: true,
        ..Minimal::default()
    };
    let bench = Bench::new(Otel::builder().foreign_tracer_provider(minimal).build());
    bench.run("first");
    bench.run("second");
    assert_eq!(warnings("minimal indeed").len(), 1);
}

#[test]
fn the_sdk_as_a_foreign_provider_nests_and_samples_like_any() {
    for (sampler, sampled) in [(Sampler::AlwaysOn, true), (Sampler::AlwaysOff, false)] {
        let seen = Seen::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_span_processor(seen.clone())
            .build();
        let bench = Bench::new(
            Otel::builder()
                .foreign_tracer_provider(provider.clone())
                .build(),
        );
        play(&bench, &provider.tracer("users"));
        let expected = [
            "broken", "gone", "inner", "query", "renamed", "request", "said",
        ];
        let spans = seen.spans();
        assert_eq!(seen.names(), if sampled { &expected[..] } else { &[] });
        let find = |name: &str| spans.iter().find(|span| span.name == *name);
        if let (Some(inner), Some(said)) = (find("inner"), find("said")) {
            assert!(matches!(inner.status, Status::Error { .. }));
            assert_eq!(said.status, Status::error("mine"));
        }
    }
}

/// Goes on in a child as well, where `child` is 0, and which has to `leave`.
fn forked(child: &mut libc::pid_t) {
    // SAFETY: the child goes on with this thread, and what it uses no other thread holds locked.
    *child = unsafe { libc::fork() };
    assert!(*child >= 0, "no process is to be had");
}

/// Ends the child.
fn leave(code: i32) -> ! {
    // SAFETY: it ends the process, without running anything of the parent's.
    unsafe { libc::_exit(code) }
}

/// What the child has left with.
fn code_of(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status is there to be written.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert!(waited == child && libc::WIFEXITED(status), "{status}");
    libc::WEXITSTATUS(status)
}

#[test]
fn a_forked_child_neither_ends_nor_drops_the_foreign_spans_of_its_parent() {
    let seen = Seen::default();
    let provider = SdkTracerProvider::builder().with_span_processor(seen.clone());
    let otel = Otel::builder().foreign_tracer_provider(provider.build());
    let bench = Bench::new(otel.build());
    let mut child = 0;
    bench.run_with("fetch", FINISHED, || forked(&mut child));
    if child == 0 {
        // The process has ended here, too, and what it had is dropped; a new one gets no span.
        bench.run("fetch");
        drop(bench);
        leave(100 + seen.spans().len() as i32);
    }
    assert_eq!(code_of(child), 100);
    assert_eq!(seen.names(), ["fetch"]);
}

/// A gate that is passed when it is opened, or when patience has ended.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    /// Whether somebody has passed, and if so, whether it was open.
    passed: Option<bool>,
}

impl Gate {
    fn change<T>(&self, change: impl FnOnce(&mut GateState) -> T) -> T {
        let changed = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        changed
    }

    fn wait(&self, done: impl Fn(&GateState) -> bool) {
        let state = self.0.0.lock().unwrap();
        let waited = self
            .0
            .1
            .wait_timeout_while(state, LONG, |state| !done(state));
        drop(waited.unwrap());
    }

    fn open(&self) {
        self.change(|state| state.open = true);
    }

    fn pass(&self) {
        self.wait(|state| state.open);
        self.change(|state| state.passed = Some(state.open));
    }

    fn is_passed(&self) -> bool {
        self.change(|state| state.passed.is_some())
    }

    /// Waits until it was passed: whether it was open then.
    fn was_opened(&self) -> bool {
        self.wait(|state| state.passed.is_some());
        self.change(|state| state.passed == Some(true))
    }
}

/// A processor that shuts down when the gate is opened.
#[derive(Debug)]
struct Stubborn(Gate);

impl SpanProcessor for Stubborn {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.0.pass();
        Ok(())
    }
}

/// A meter provider whose drop takes until the gate is opened.
struct Sticky(Gate);

impl MeterProvider for Sticky {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        SdkMeterProvider::default().meter_with_scope(scope)
    }
}

impl Drop for Sticky {
    fn drop(&mut self) {
        self.0.pass();
    }
}

type Way<'a> = &'a dyn Fn(OtelBuilder, &Gate) -> OtelBuilder;

/// Benches whose provider is their own, and shuts down when the gate is opened.
fn benches_that_stick() -> [(Gate, Bench); 3] {
    let stubborn = |gate: &Gate| {
        let processor = Stubborn(gate.clone());
        SdkTracerProvider::builder().with_span_processor(processor)
    };
    let ways: [Way<'_>; 3] = [
        &|otel, gate| otel.meter_provider(Sticky(gate.clone())),
        &|otel, gate| otel.foreign_tracer_provider(stubborn(gate).build()),
        &|otel, gate| otel.tracer_provider(&instrument(stubborn(gate), Sampler::AlwaysOn)),
    ];
    ways.map(|way| {
        let gate = Gate::default();
        let otel = way(Otel::builder(), &gate).build();
        (gate, Bench::new(otel))
    })
}

#[test]
fn a_provider_that_was_moved_in_does_not_hold_up_a_shutdown_past_its_deadline() {
    keep_warnings();
    for (gate, bench) in benches_that_stick() {
        bench.run("fetch");
        bench.shutdown(Duration::from_millis(50));
        drop(bench);
        // If the drop had been waited for, it would have passed by the gate's own patience.
        assert!(!gate.is_passed());
        gate.open();
        assert!(gate.was_opened());
    }
    assert!(!warnings("did not shut down by the deadline").is_empty());
}

#[test]
fn a_provider_that_was_moved_in_is_waited_for_until_the_deadline() {
    for (gate, bench) in benches_that_stick() {
        bench.run("fetch");
        gate.open();
        bench.shutdown(LONG);
        drop(bench);
        assert!(gate.is_passed());
    }
}

// ----- a meter provider of the application -----

struct Reader {
    exporter: InMemoryMetricExporter,
}

impl Reader {
    fn new(temporality: Temporality) -> Reader {
        let exporter = InMemoryMetricExporterBuilder::new().with_temporality(temporality);
        Reader {
            exporter: exporter.build(),
        }
    }

    fn reader(&self) -> PeriodicReader<InMemoryMetricExporter> {
        // So long that only flushes collect.
        PeriodicReader::builder(self.exporter.clone())
            .with_interval(Duration::from_secs(3600))
            .build()
    }

    fn exports(&self) -> usize {
        self.exporter.get_finished_metrics().unwrap().len()
    }

    fn last(&self) -> ResourceMetrics {
        self.exporter.get_finished_metrics().unwrap().pop().unwrap()
    }

    /// The series of a histogram in the last export, by their labels.
    fn histogram(&self, name: &str) -> BTreeMap<String, Series> {
        let last = self.last();
        let Some(AggregatedMetrics::F64(MetricData::Histogram(histogram))) = find(&last, name)
        else {
            return BTreeMap::new();
        };
        histogram
            .data_points()
            .map(|point| {
                let attributes: Vec<KeyValue> = point.attributes().cloned().collect();
                let series = Series {
                    count: point.count(),
                    sum: point.sum(),
                    min: point.min(),
                    max: point.max(),
                    buckets: point.bucket_counts().collect(),
                };
                (sorted_labels(&attributes), series)
            })
            .collect()
    }

    fn counts(&self, name: &str) -> BTreeMap<String, u64> {
        let last = self.last();
        let Some(AggregatedMetrics::U64(MetricData::Sum(sum))) = find(&last, name) else {
            return BTreeMap::new();
        };
        sum.data_points()
            .map(|point| {
                let attributes: Vec<KeyValue> = point.attributes().cloned().collect();
                (sorted_labels(&attributes), point.value())
            })
            .collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Series {
    count: u64,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    buckets: Vec<u64>,
}

fn find<'a>(metrics: &'a ResourceMetrics, name: &str) -> Option<&'a AggregatedMetrics> {
    metrics
        .scope_metrics()
        .flat_map(|scope| scope.metrics())
        .find(|metric| metric.name() == name)
        .map(|metric| metric.data())
}

fn sorted_labels(attributes: &[KeyValue]) -> String {
    let mut attributes = attributes.to_vec();
    attributes.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
    labels(&attributes)
}

/// The series of `process.duration` as our own exporters get them.
fn own(memory: &InMemory) -> BTreeMap<String, Series> {
    let metrics: Vec<Metric> = memory.metrics();
    let duration = metrics
        .iter()
        .find(|metric| metric.name == "process.duration")
        .unwrap();
    let export::MetricData::Histogram { points, .. } = &duration.data else {
        panic!("{duration:?}");
    };
    points
        .iter()
        .map(|point| {
            let series = Series {
                count: point.count,
                sum: point.sum,
                min: point.min,
                max: point.max,
                buckets: point.buckets.clone(),
            };
            (sorted_labels(&point.attributes), series)
        })
        .collect()
}

#[track_caller]
fn assert_same(replayed: &BTreeMap<String, Series>, truth: &BTreeMap<String, Series>) {
    assert_eq!(
        replayed.keys().collect::<Vec<_>>(),
        truth.keys().collect::<Vec<_>>()
    );
    for (labels, truth) in truth {
        let replayed = &replayed[labels];
        assert_eq!(replayed.count, truth.count, "{labels}");
        assert_eq!(replayed.buckets, truth.buckets, "{labels}");
        // The scale of the clock is refined between two readings: some parts in a million.
        let near = |a: f64, b: f64| (a - b).abs() <= 2e-9 + b * 1e-4;
        assert!(
            near(replayed.sum, truth.sum),
            "{labels}: {replayed:?} {truth:?}"
        );
        assert!(near(replayed.min.unwrap(), truth.min.unwrap()), "{labels}");
        assert!(near(replayed.max.unwrap(), truth.max.unwrap()), "{labels}");
    }
}

fn run_some(bench: &Bench, rounds: u64) {
    for round in 0..rounds {
        bench.run_with("fast", FINISHED, || {});
        bench.run_with("slow", FINISHED, || {
            std::thread::sleep(Duration::from_micros(50 * (round % 4)));
        });
        bench.run_with("fast", FAILED, || {});
    }
}

#[test]
fn a_cumulative_and_a_delta_reader_see_exact_numbers_in_every_collection() {
    let (cumulative, delta) = (
        Reader::new(Temporality::Cumulative),
        Reader::new(Temporality::Delta),
    );
    let provider = SdkMeterProvider::builder()
        .with_reader(cumulative.reader())
        .with_reader(delta.reader())
        .build();
    let users = provider.meter("users").u64_counter("orders").build();
    let memory = InMemory::new();
    let otel = Otel::builder()
        .meter_provider(provider.clone())
        .exporter(Only::new(Signal::Metrics, memory.clone()));
    let bench = Bench::new(otel.build());

    let mut deltas: BTreeMap<String, Series> = BTreeMap::new();
    for round in 1..=3 {
        run_some(&bench, 20 * round);
        users.add(round, &[]);
        provider.force_flush().unwrap();
        assert!(bench.flush().completed);
        let truth = own(&memory);
        assert_eq!(truth.len(), 3);
        assert_same(&cumulative.histogram("process.duration"), &truth);
        for (labels, series) in delta.histogram("process.duration") {
            merge(&mut deltas, labels, &series);
        }
        assert_same(&deltas, &truth);

        let counts = cumulative.counts("process.count");
        for (labels, series) in &truth {
            assert_eq!(counts[labels], series.count);
        }
        assert_eq!(cumulative.counts("orders")[""], (1..=round).sum::<u64>());
        assert_eq!(delta.counts("orders")[""], round);
    }
    // Nothing has ended since: the same totals; and a delta of nothing, if any.
    let exports = delta.exports();
    provider.force_flush().unwrap();
    assert_same(&cumulative.histogram("process.duration"), &own(&memory));
    assert!(delta.exports() == exports || delta.histogram("process.duration").is_empty());
    // Zeros are there, too, and the instrument that is only a hook is not.
    assert_eq!(
        cumulative.counts("executor.spans.dropped")["cause=ring_full"],
        0
    );
    assert!(find(&cumulative.last(), "executor.collections").is_none());
    bench.shutdown(LONG);
}

fn merge(sums: &mut BTreeMap<String, Series>, labels: String, more: &Series) {
    let Some(sum) = sums.get_mut(&labels) else {
        sums.insert(labels, more.clone());
        return;
    };
    sum.count += more.count;
    sum.sum += more.sum;
    sum.min = Some(sum.min.unwrap().min(more.min.unwrap()));
    sum.max = Some(sum.max.unwrap().max(more.max.unwrap()));
    for (sum, more) in sum.buckets.iter_mut().zip(&more.buckets) {
        *sum += more;
    }
}

#[test]
fn readers_that_collect_at_the_same_time_count_nothing_twice() {
    let readers: Vec<Reader> = (0..3)
        .map(|_| Reader::new(Temporality::Cumulative))
        .collect();
    let builder = readers
        .iter()
        .fold(SdkMeterProvider::builder(), |builder, reader| {
            builder.with_reader(
                PeriodicReader::builder(reader.exporter.clone())
                    .with_interval(Duration::from_millis(1))
                    .build(),
            )
        });
    let provider = builder.build();
    let bench = Bench::new(Otel::builder().meter_provider(provider.clone()).build());
    for _ in 0..20 {
        run_some(&bench, 50);
        std::thread::sleep(Duration::from_millis(1));
    }
    bench.shutdown(LONG);
    drop(bench);
    provider.shutdown().unwrap();
    for reader in &readers {
        let series = reader.histogram("process.duration");
        let counts: Vec<u64> = series.values().map(|series| series.count).collect();
        assert_eq!(counts, [1000, 1000, 1000]);
    }
}

#[test]
fn after_the_end_the_last_numbers_stay_and_another_runtime_adds_to_them() {
    let reader = Reader::new(Temporality::Cumulative);
    let provider = SdkMeterProvider::builder()
        .with_reader(reader.reader())
        .build();
    for round in 1..=3 {
        let bench = Bench::new(Otel::builder().meter_provider(provider.clone()).build());
        run_some(&bench, 10);
        bench.shutdown(LONG);
        drop(bench);
        for _ in 0..2 {
            provider.force_flush().unwrap();
            let counts: Vec<u64> = reader.counts("process.count").into_values().collect();
            assert_eq!(counts, [10 * round; 3]);
            let series = reader.histogram("process.duration").into_values();
            assert!(series.map(|series| series.count).eq([10 * round; 3]));
        }
    }
}

#[test]
fn metrics_alone_are_reason_enough_for_a_pipeline_and_record_no_spans() {
    let reader = Reader::new(Temporality::Cumulative);
    let provider = SdkMeterProvider::builder()
        .with_reader(reader.reader())
        .build();
    let otel = Otel::builder().meter_provider(provider.clone()).build();
    assert!(otel.is_exporting());
    let bench = Bench::new(otel);
    bench.run_with("fetch", FINISHED, || {
        assert!(!Context::current().span().span_context().is_valid());
    });
    assert_eq!(bench.shutdown(LONG).spans.produced, 0);
    provider.force_flush().unwrap();
    let counts: Vec<u64> = reader.counts("process.count").into_values().collect();
    assert_eq!(counts, [1]);
}

#[test]
fn a_second_provider_of_a_kind_replaces_the_first_with_a_warning() {
    let reader = Reader::new(Temporality::Cumulative);
    let first = SdkMeterProvider::builder()
        .with_reader(reader.reader())
        .build();
    let otel = Otel::builder()
        .meter_provider(first.clone())
        .meter_provider(SdkMeterProvider::default())
        .foreign_tracer_provider(Minimal::default())
        .tracer_provider(&instrument(SdkTracerProvider::builder(), Sampler::AlwaysOn))
        .build();
    let said = otel.warnings().join("\n");
    assert!(said.contains("second meter provider") && said.contains("second tracer provider"));
    let bench = Bench::new(otel);
    bench.run("fetch");
    bench.shutdown(LONG);
    first.force_flush().unwrap();
    assert!(reader.exporter.get_finished_metrics().unwrap().is_empty());
}

/// Metrics that an exporter gets and a provider does not, or the other way round, would be left out
/// of one of them.
#[test]
fn a_provider_gets_every_metric_that_an_exporter_gets() {
    let reader = Reader::new(Temporality::Cumulative);
    let provider = SdkMeterProvider::builder()
        .with_reader(reader.reader())
        .build();
    let memory = InMemory::new();
    let otel = Otel::builder().meter_provider(provider.clone());
    let bench = Bench::new(otel.exporter(memory.clone()).build());
    bench.run("fetch");
    bench.flush();
    provider.force_flush().unwrap();
    let last = reader.last();
    for metric in memory.metrics() {
        let points = match &metric.data {
            export::MetricData::Histogram { points, .. } => points.len(),
            export::MetricData::Sum { points, .. } | export::MetricData::Gauge { points } => {
                points.len()
            }
        };
        let found = find(&last, &metric.name).is_some();
        assert_eq!(found, points > 0, "{}", metric.name);
    }
    let _: &dyn Exporter = &memory;
    bench.shutdown(LONG);
}

/// A meter provider that is not the SDK's, and whose counters panic.
#[derive(Clone, Default)]
struct Fragile {
    callbacks: Arc<Mutex<Vec<Callback<u64>>>>,
    calls: Arc<AtomicUsize>,
}

impl MeterProvider for Fragile {
    fn meter_with_scope(&self, _: InstrumentationScope) -> Meter {
        Meter::new(Arc::new(self.clone()))
    }
}

impl InstrumentProvider for Fragile {
    fn u64_counter(&self, _: InstrumentBuilder<'_, Counter<u64>>) -> Counter<u64> {
        Counter::new(Arc::new(self.clone()))
    }

    fn u64_observable_counter(
        &self,
        builder: AsyncInstrumentBuilder<'_, ObservableCounter<u64>, u64>,
    ) -> ObservableCounter<u64> {
        self.callbacks.lock().unwrap().extend(builder.callbacks);
        ObservableCounter::new()
    }
}

impl SyncInstrument<u64> for Fragile {
    fn measure(&self, _: u64, _: &[KeyValue]) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        panic!("fragile indeed");
    }
}

impl AsyncInstrument<u64> for Fragile {
    fn observe(&self, _: u64, _: &[KeyValue]) {
        unreachable!("the hook has no value");
    }
}

#[test]
fn the_callback_survives_a_provider_that_panics() {
    keep_warnings();
    let fragile = Fragile::default();
    let bench = Bench::new(Otel::builder().meter_provider(fragile.clone()).build());
    bench.run("fetch");
    let collect = || {
        let callbacks = fragile.callbacks.lock().unwrap();
        callbacks.iter().for_each(|callback| callback(&fragile));
        fragile.calls.load(Ordering::Relaxed)
    };
    let (first, second) = (collect(), collect());
    assert!(first > 0 && second > first, "{first} {second}");
    assert_eq!(warnings("could not be told to the meter provider").len(), 1);
}
