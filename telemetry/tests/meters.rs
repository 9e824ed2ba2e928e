//! Metrics that users record by meters of the API, at every exporter.

#[expect(
    dead_code,
    reason = "a part is for collectors that refuse, and for spans"
)]
mod collector;
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use collector::Collector;
use common::{Bench, LONG, keep_warnings, labels, sums, warnings};
use opentelemetry::metrics::Meter;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, ScopeMetrics};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::render::metrics_table;
use telemetry_rt_telemetry::export::{
    Exemplar, HistogramPoint, InMemory, Metric, MetricData, Number, Otel, Share,
};
use telemetry_rt_telemetry::record::Recorder;

fn scope(name: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder(name).build()
}

fn shop() -> InstrumentationScope {
    InstrumentationScope::builder("shop")
        .with_version("1.2.3")
        .with_schema_url("https://example.com/schema")
        .with_attributes([KeyValue::new("edition", "small")])
        .build()
}

fn meter(bench: &Bench, scope: InstrumentationScope) -> Meter {
    Share::of(&bench.pipeline).meter(scope)
}

/// A pipeline into memory.
fn bench() -> (InMemory, Bench) {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    (memory, bench)
}

/// The metrics of users.
fn of_users(metrics: &[Metric]) -> Vec<&Metric> {
    let theirs = metrics.iter();
    theirs
        .filter(|metric| metric.scope.name() != "telemetry_rt")
        .collect()
}

/// `name{attributes}=value`, where the value of a histogram is `count/sum`.
fn lines(metrics: &[Metric]) -> Vec<String> {
    let mut lines = Vec::new();
    for metric in of_users(metrics) {
        match &metric.data {
            MetricData::Sum { points, .. } | MetricData::Gauge { points } => {
                lines.extend(points.iter().map(|point| {
                    let value = match point.value {
                        Number::Int(value) => value.to_string(),
                        Number::Float(value) => format!("{value:?}"),
                    };
                    format!("{}{{{}}}={value}", metric.name, labels(&point.attributes))
                }));
            }
            MetricData::Histogram { points, .. } => {
                lines.extend(points.iter().map(|point| {
                    let of = labels(&point.attributes);
                    format!("{}{{{of}}}={}/{:?}", metric.name, point.count, point.sum)
                }));
            }
        }
    }
    lines.sort();
    lines
}

/// Makes one instrument of each kind, and records into it.
fn record_all_kinds(meter: &Meter) {
    let a = [KeyValue::new("k", "a")];
    meter.u64_counter("c.u64").build().add(3, &a);
    meter.f64_counter("c.f64").build().add(1.5, &a);
    meter.i64_up_down_counter("u.i64").build().add(-4, &a);
    meter.f64_up_down_counter("u.f64").build().add(-0.5, &a);
    meter.u64_gauge("g.u64").build().record(7, &a);
    meter.i64_gauge("g.i64").build().record(-7, &a);
    meter.f64_gauge("g.f64").build().record(0.25, &a);
    meter.u64_histogram("h.u64").build().record(30, &a);
    meter.f64_histogram("h.f64").build().record(0.5, &a);
    let observed = [KeyValue::new("k", "o")];
    macro_rules! observable {
        ($kind:ident, $name:literal, $value:literal) => {
            let observed = observed.clone();
            let _ = meter
                .$kind($name)
                .with_callback(move |instrument| instrument.observe($value, &observed))
                .build();
        };
    }
    observable!(u64_observable_counter, "oc.u64", 5);
    observable!(f64_observable_counter, "oc.f64", 5.5);
    observable!(i64_observable_up_down_counter, "ou.i64", -5);
    observable!(f64_observable_up_down_counter, "ou.f64", -5.5);
    observable!(u64_observable_gauge, "og.u64", 6);
    observable!(i64_observable_gauge, "og.i64", -6);
    observable!(f64_observable_gauge, "og.f64", 6.5);
}

#[test]
fn every_kind_of_instrument_arrives_with_its_value() {
    let (memory, bench) = bench();
    record_all_kinds(&meter(&bench, scope("shop")));
    bench.flush();
    let expected = [
        "c.f64{k=a}=1.5",
        "c.u64{k=a}=3",
        "g.f64{k=a}=0.25",
        "g.i64{k=a}=-7",
        "g.u64{k=a}=7",
        "h.f64{k=a}=1/0.5",
        "h.u64{k=a}=1/30.0",
        "oc.f64{k=o}=5.5",
        "oc.u64{k=o}=5",
        "og.f64{k=o}=6.5",
        "og.i64{k=o}=-6",
        "og.u64{k=o}=6",
        "ou.f64{k=o}=-5.5",
        "ou.i64{k=o}=-5",
        "u.f64{k=a}=-0.5",
        "u.i64{k=a}=-4",
    ];
    assert_eq!(lines(&memory.metrics()), expected);
    for metric in of_users(&memory.metrics()) {
        let rises = match &metric.data {
            MetricData::Sum { monotonic, .. } => *monotonic,
            MetricData::Histogram { .. } | MetricData::Gauge { .. } => false,
        };
        assert_eq!(rises, metric.name.trim_start_matches('o').starts_with('c'));
    }
    // Asking again changes nothing, and the end loses nothing.
    bench.shutdown(LONG);
    assert_eq!(lines(&memory.metrics()), expected);
}

#[test]
fn a_metric_keeps_its_words_and_its_bounds() {
    let (memory, bench) = bench();
    let sizes = meter(&bench, shop())
        .u64_histogram("order.size")
        .with_unit("{book}")
        .with_description("Books in an order.")
        .with_boundaries(vec![1.0, 10.0])
        .build();
    for size in [1, 2, 3, 40] {
        sizes.record(size, &[KeyValue::new("b", 1), KeyValue::new("a", 2)]);
    }
    bench.flush();
    let metrics = memory.metrics();
    let [metric] = of_users(&metrics)[..] else {
        panic!("{metrics:?}");
    };
    assert_eq!(metric.scope, shop());
    assert_eq!(
        (&*metric.name, &*metric.unit, &*metric.description),
        ("order.size", "{book}", "Books in an order.")
    );
    let MetricData::Histogram { bounds, points } = &metric.data else {
        panic!("{metric:?}");
    };
    assert_eq!((&**bounds, points.len()), (&[1.0, 10.0][..], 1));
    let point = &points[0];
    assert_eq!((point.buckets.clone(), point.sum), (vec![1, 2, 1], 46.0));
    assert_eq!((point.min, point.max), (Some(1.0), Some(40.0)));
    assert_eq!(labels(&point.attributes), "a=2 b=1");
    assert!(point.start <= point.time);
    let table = metrics_table(&metrics);
    assert!(table.contains("order.size [{book}] of shop"), "{table}");
    assert!(table.contains("11.5"), "{table}");
}

fn metrics_to(collector: &Collector, with: impl FnOnce(Otlp) -> Otlp) -> Bench {
    let url = format!("{}/v1/metrics", collector.url());
    let otlp = with(Otlp::to(None, Some(Endpoint::new(&url).unwrap())));
    Bench::new(Otel::builder().exporter(otlp).build())
}

/// The scopes of the last request.
fn last_scopes(collector: &Collector) -> Vec<ScopeMetrics> {
    collector.requests().last().unwrap().scopes()
}

/// The scope of this name in the last request.
fn last_of(collector: &Collector, name: &str) -> ScopeMetrics {
    let scopes = last_scopes(collector);
    let is = |scope: &ScopeMetrics| scope.scope.as_ref().is_some_and(|scope| scope.name == name);
    scopes.into_iter().find(is).unwrap()
}

#[test]
fn a_collector_gets_each_scope_by_itself() {
    let collector = Collector::start([]);
    let bench = metrics_to(&collector, |otlp| otlp);
    record_all_kinds(&meter(&bench, scope("garden")));
    meter(&bench, shop())
        .u64_counter("orders")
        .build()
        .add(1, &[]);
    meter(&bench, shop())
        .u64_counter("returns")
        .build()
        .add(2, &[]);
    bench.shutdown(LONG);

    let scopes = last_scopes(&collector);
    let names: Vec<_> = scopes
        .iter()
        .map(|scope| {
            (
                scope.scope.as_ref().unwrap().name.as_str(),
                scope.metrics.len(),
            )
        })
        .collect();
    assert_eq!(names[0].0, "telemetry_rt");
    assert_eq!(names[1..], [("garden", 16), ("shop", 2)]);
    let shop = &scopes[2];
    let scope = shop.scope.as_ref().unwrap();
    assert_eq!(shop.schema_url, "https://example.com/schema");
    assert_eq!(
        (&*scope.version, &*scope.attributes[0].key),
        ("1.2.3", "edition")
    );
    let returns = shop.metrics.iter().find(|metric| metric.name == "returns");
    let Some(Data::Sum(sum)) = &returns.unwrap().data else {
        panic!("{shop:?}");
    };
    assert!(sum.is_monotonic);
}

#[test]
fn differences_are_those_of_each_scope() {
    let collector = Collector::start([]);
    let bench = metrics_to(&collector, Otlp::with_delta);
    let counters = ["garden", "shop"].map(|name| {
        let meter = meter(&bench, scope(name));
        meter.u64_counter("orders").build()
    });
    let value = |name| {
        let Some(Data::Sum(sum)) = last_of(&collector, name).metrics.remove(0).data else {
            panic!("orders is no sum");
        };
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Delta);
        let point = &sum.data_points[0];
        assert!(point.start_time_unix_nano <= point.time_unix_nano);
        point.value.unwrap()
    };
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt;
    for (add, seen) in [([1, 10], [1, 10]), ([2, 20], [2, 20])] {
        counters[0].add(add[0], &[]);
        counters[1].add(add[1], &[]);
        bench.flush();
        assert_eq!(["garden", "shop"].map(value), seen.map(AsInt));
    }
}

#[test]
fn what_a_callback_observes_may_begin_anew() {
    let collector = Collector::start([]);
    let bench = metrics_to(&collector, Otlp::with_delta);
    let total = Arc::new(AtomicU64::new(100));
    let read = Arc::clone(&total);
    let _counter = meter(&bench, scope("shop"))
        .u64_observable_counter("read")
        .with_callback(move |counter| counter.observe(read.load(Ordering::Relaxed), &[]))
        .build();
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt;
    for (now, seen) in [(100, 100), (130, 30), (7, 7)] {
        total.store(now, Ordering::Relaxed);
        bench.flush();
        let Some(Data::Sum(sum)) = last_of(&collector, "shop").metrics.remove(0).data else {
            panic!("read is no sum");
        };
        assert_eq!(sum.data_points[0].value, Some(AsInt(seen)), "{now}");
    }
}

#[test]
fn prometheus_shows_metrics_of_one_name_together_and_their_scopes_as_labels() {
    keep_warnings();
    let (_, bench) = bench();
    let page = |accept| {
        let source = Share::of(&bench.pipeline).source(&bench.recorder);
        let scrape = source.scrape(accept);
        (scrape.content_type, String::from_utf8(scrape.body).unwrap())
    };
    for (of, count) in [(shop(), 3), (scope("garden"), 5)] {
        let meter = meter(&bench, of);
        let orders = meter.u64_counter("orders").build();
        orders.add(count, &[KeyValue::new("paid.by", "card")]);
        // Both of these are one series there; only one of them can be shown.
        let twins = meter.u64_gauge("twins").build();
        twins.record(1, &[KeyValue::new("a.b", 1)]);
        twins.record(1, &[KeyValue::new("a_b", 1)]);
    }
    // Another kind of metric by a name that is taken has no place on the page.
    meter(&bench, scope("zoo"))
        .u64_gauge("twins")
        .build()
        .record(9, &[]);
    meter(&bench, scope("zoo"))
        .u64_histogram("twins")
        .build()
        .record(9, &[]);
    meter(&bench, scope("zoo"))
        .f64_histogram("size")
        .with_boundaries(Vec::new())
        .build()
        .record(2.0, &[]);

    let (content_type, text) = page(Some("application/openmetrics-text; version=1.0.0"));
    assert!(content_type.starts_with("application/openmetrics-text"));
    let of = |part: &str| -> Vec<&str> {
        let lines = text.lines();
        lines.filter(|line| line.contains(part)).collect()
    };
    assert_eq!(
        of("orders"),
        [
            "# TYPE orders counter",
            "# HELP orders ",
            "orders_total{paid_by=\"card\",otel_scope_name=\"garden\"} 5",
            "orders_total{paid_by=\"card\",otel_scope_name=\"shop\",otel_scope_version=\"1.2.3\",\
             otel_scope_schema_url=\"https://example.com/schema\",otel_scope_edition=\"small\"} 3",
        ]
    );
    assert_eq!(of("twins{").len(), 3, "{:?}", of("twins"));
    assert_eq!(of("# TYPE twins"), ["# TYPE twins gauge"]);
    assert_eq!(warnings("twins of the scope").len(), 1);
    assert_eq!(warnings("twins has two series").len(), 1);
    assert_eq!(
        of("size"),
        [
            "# TYPE size histogram",
            "# HELP size ",
            "size_bucket{otel_scope_name=\"zoo\",le=\"+Inf\"} 1",
            "size_sum{otel_scope_name=\"zoo\"} 2.0",
            "size_count{otel_scope_name=\"zoo\"} 1",
        ]
    );
    assert!(page(None).0.starts_with("text/plain"));
}

/// A context with a span of these numbers.
fn within(number: u64, sampled: bool) -> Context {
    let flags = match sampled {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(u128::from(number)),
        SpanId::from(number),
        flags,
        false,
        TraceState::default(),
    ))
}

/// The points of the histogram of this name.
fn points(metrics: &[Metric], name: &str) -> Vec<HistogramPoint> {
    let metric = metrics.iter().find(|metric| metric.name == name);
    match &metric.unwrap().data {
        MetricData::Histogram { points, .. } => points.clone(),
        other => panic!("{other:?}"),
    }
}

fn spans(exemplars: &[Exemplar]) -> Vec<(f64, SpanId)> {
    let each = exemplars.iter();
    each.map(|exemplar| (exemplar.value, exemplar.span_id))
        .collect()
}

#[test]
fn exemplars_are_the_newest_of_each_bucket_and_only_of_sampled_spans() {
    let (memory, bench) = bench();
    let meter = meter(&bench, shop());
    let build = || {
        meter
            .f64_histogram("wait")
            .with_boundaries(vec![1.0, 2.0])
            .build()
    };
    let (wait, same) = (build(), build());
    let card = [KeyValue::new("by", "card"), KeyValue::new("kind", "book")];
    let mut reversed = card.clone();
    reversed.reverse();
    wait.record(0.1, &card);
    // The last one would be the newest, if it were sampled.
    let values = [
        (1, true, 0.5),
        (3, true, 0.7),
        (4, true, 9.0),
        (2, false, 0.6),
    ];
    for (number, sampled, value) in values {
        let _inside = within(number, sampled).attach();
        wait.record(value, &card);
    }
    {
        let _inside = within(5, true).attach();
        same.record(1.5, &reversed);
        same.record(1.5, &[]);
    }
    bench.flush();
    let found = points(&memory.metrics(), "wait");
    let card = found
        .iter()
        .find(|point| !point.attributes.is_empty())
        .unwrap();
    let expected = [
        (0.7, SpanId::from(3)),
        (1.5, SpanId::from(5)),
        (9.0, SpanId::from(4)),
    ];
    assert_eq!(spans(&card.exemplars), expected);
    assert_eq!(card.exemplars[0].trace_id, TraceId::from(3));
    assert!(
        card.exemplars
            .iter()
            .all(|exemplar| exemplar.time <= card.time)
    );
    let other = found
        .iter()
        .find(|point| point.attributes.is_empty())
        .unwrap();
    assert_eq!(spans(&other.exemplars), [(1.5, SpanId::from(5))]);
}

#[test]
fn exemplars_reach_the_collector_and_the_page() {
    let collector = Collector::start([]);
    let bench = metrics_to(&collector, |otlp| otlp);
    let wait = meter(&bench, shop())
        .f64_histogram("wait")
        .with_unit("s")
        .build();
    let _inside = within(0xabc, true).attach();
    wait.record(0.25, &[]);
    bench.flush();
    let Some(Data::Histogram(histogram)) = last_of(&collector, "shop").metrics.remove(0).data
    else {
        panic!("wait is no histogram");
    };
    let exemplar = &histogram.data_points[0].exemplars[0];
    assert_eq!(exemplar.span_id, SpanId::from(0xabc).to_bytes());
    assert_eq!(exemplar.trace_id, TraceId::from(0xabc).to_bytes());
    let source = Share::of(&bench.pipeline).source(&bench.recorder);
    let page = source.scrape(Some("application/openmetrics-text"));
    let page = String::from_utf8(page.body).unwrap();
    let ids = "trace_id=\"00000000000000000000000000000abc\",span_id=\"0000000000000abc\"} 0.25";
    assert!(page.contains(ids), "{page}");
}

#[test]
fn no_exemplars_are_kept_where_none_are_wanted() {
    let get = |name: &str| match name {
        "OTEL_METRICS_EXEMPLAR_FILTER" => Some("always_off".to_owned()),
        _ => None,
    };
    let otel = Otel::from_variables(&get);
    let recorder = Recorder::new(otel.recorder_config(1));
    let share = Share::without_pipeline(&otel);
    let _inside = within(1, true).attach();
    share
        .meter(shop())
        .u64_histogram("wait")
        .build()
        .record(1, &[]);
    let found = points(&share.source(&recorder).collect(), "wait");
    assert_eq!((found[0].count, found[0].exemplars.len()), (1, 0));
}

#[test]
fn a_callback_that_panics_takes_nothing_else_with_it() {
    keep_warnings();
    let (memory, bench) = bench();
    let meter = meter(&bench, scope("shop"));
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let _fragile = meter
        .u64_observable_gauge("fragile")
        .with_callback(move |gauge| {
            gauge.observe(1, &[KeyValue::new("part", "first")]);
            assert!(!failing.load(Ordering::Relaxed), "out of order");
            gauge.observe(2, &[KeyValue::new("part", "second")]);
        })
        .build();
    let _sound = meter
        .u64_observable_gauge("sound")
        .with_callback(|gauge| gauge.observe(3, &[]))
        .build();
    for _ in 0..2 {
        bench.flush();
        let expected = ["fragile{part=first}=1", "sound{}=3"];
        assert_eq!(lines(&memory.metrics()), expected);
    }
    let said = warnings("metric fragile");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("out of order"), "{said:?}");
    fails.store(false, Ordering::Relaxed);
    bench.run("fetch");
    assert!(bench.shutdown(LONG).completed);
    assert_eq!(lines(&memory.metrics()).len(), 3);
}

#[test]
fn a_callback_may_make_instruments_and_ask_for_metrics() {
    let (memory, bench) = bench();
    let share = Share::of(&bench.pipeline);
    let meter = share.meter(scope("shop"));
    let made = meter.clone();
    // Without the recorder, which would hold the callback that holds it; here nobody minds.
    let recorder = bench.recorder.clone();
    let _gauge = meter
        .u64_observable_gauge("outer")
        .with_callback(move |gauge| {
            made.u64_counter("inner").build().add(1, &[]);
            gauge.observe(share.source(&recorder).collect().len() as u64, &[]);
        })
        .build();
    bench.flush();
    let found = lines(&memory.metrics());
    assert!(found.contains(&"inner{}=1".to_owned()), "{found:?}");
}

#[test]
fn a_total_that_was_read_earlier_and_said_later_does_not_count() {
    let otel = Otel::disabled();
    let recorder = Recorder::new(otel.recorder_config(1));
    let share = Share::without_pipeline(&otel);
    let source = share.source(&recorder);
    let total = Arc::new(AtomicU64::new(5));
    let read = Arc::clone(&total);
    let (late, has_read) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let _counter = share
        .meter(shop())
        .u64_observable_counter("read")
        .with_callback(move |counter| {
            let value = read.load(Ordering::Relaxed);
            if value == 5 {
                late.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
            counter.observe(value, &[]);
        })
        .build();
    let other = source.clone();
    let other = std::thread::spawn(move || lines(&other.collect()));
    has_read.recv().unwrap();
    total.store(6, Ordering::Relaxed);
    assert_eq!(lines(&source.collect()), ["read{}=6"]);
    go_on.send(()).unwrap();
    assert_eq!(other.join().unwrap(), ["read{}=6"]);
}

#[test]
fn without_a_pipeline_metrics_can_be_asked_for() {
    let otel = Otel::disabled();
    let recorder = Recorder::new(otel.recorder_config(1));
    let share = Share::without_pipeline(&otel);
    let source = share.source(&recorder);
    let names = source.collect().len();
    share
        .meter(shop())
        .u64_counter("orders")
        .build()
        .add(2, &[]);
    let metrics = source.collect();
    assert_eq!(metrics.len(), names + 1);
    assert_eq!(lines(&metrics), ["orders{}=2"]);
    assert!(
        sums(&metrics, "executor.spans.dropped")
            .iter()
            .all(|(_, lost)| *lost == 0)
    );
}

#[test]
fn a_provider_of_the_application_gets_them_alone() {
    let read = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(read.clone())
        .build();
    let memory = InMemory::new();
    let otel = Otel::builder()
        .exporter(memory.clone())
        .meter_provider(provider.clone());
    let bench = Bench::new(otel.build());
    let share = Share::of(&bench.pipeline);
    share
        .meter(shop())
        .u64_counter("orders")
        .build()
        .add(2, &[]);
    bench.flush();
    assert!(lines(&memory.metrics()).is_empty());
    provider.force_flush().unwrap();
    let finished = read.get_finished_metrics().unwrap();
    let names = finished
        .iter()
        .flat_map(|metrics| metrics.scope_metrics())
        .filter(|metrics| metrics.scope().name() == "shop")
        .flat_map(|metrics| metrics.metrics());
    assert!(names.into_iter().any(|metric| metric.name() == "orders"));
    // After the end there is no provider to record into, and that is no harm.
    drop(bench);
    share.meter(shop()).u64_counter("late").build().add(1, &[]);
}

#[test]
fn instruments_outlive_the_pipeline_and_let_go_of_what_callbacks_hold() {
    let (memory, bench) = bench();
    let share = Share::of(&bench.pipeline);
    let meter = share.meter(scope("shop"));
    let orders = meter.u64_counter("orders").build();
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let _gauge = meter
        .u64_observable_gauge("held")
        .with_callback(move |gauge| gauge.observe(Arc::strong_count(&holds) as u64, &[]))
        .build();
    orders.add(1, &[]);
    bench.shutdown(LONG);
    assert_eq!(lines(&memory.metrics()), ["held{}=2", "orders{}=1"]);
    drop(bench);
    assert_eq!(Arc::strong_count(&held), 1);
    orders.add(1, &[]);
    let _late = meter
        .u64_observable_gauge("late")
        .with_callback(|_| panic!("nobody asks"))
        .build();
    let (seconds_memory, second) = self::bench();
    second.shutdown(LONG);
    assert!(lines(&seconds_memory.metrics()).is_empty());
}

#[test]
fn a_first_meter_after_the_end_keeps_nothing_alive() {
    let (_, bench) = bench();
    let share = Share::of(&bench.pipeline);
    drop(bench);
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let _gauge = share
        .meter(shop())
        .u64_observable_gauge("late")
        .with_callback(move |gauge| gauge.observe(Arc::strong_count(&holds) as u64, &[]))
        .build();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn an_operator_can_switch_all_of_it_off() {
    let get = |name: &str| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned());
    let otel = Otel::from_variables(&get);
    let recorder = Recorder::new(otel.recorder_config(1));
    let share = Share::without_pipeline(&otel);
    share
        .meter(shop())
        .u64_counter("orders")
        .build()
        .add(2, &[]);
    assert!(lines(&share.source(&recorder).collect()).is_empty());
}

#[test]
fn a_name_that_too_many_series_have_is_one_series_and_its_exemplars_make_room() {
    let (memory, bench) = bench();
    let wait = meter(&bench, shop()).u64_histogram("wait").build();
    let _inside = within(1, true).attach();
    for number in 0..2_500 {
        wait.record(1, &[KeyValue::new("user", number)]);
    }
    bench.flush();
    let metrics = memory.metrics();
    let found = points(&metrics, "wait");
    let overflow = |point: &&HistogramPoint| labels(&point.attributes).contains("overflow");
    assert!(
        found
            .iter()
            .any(|point| overflow(&point) && point.count >= 500)
    );
    let with_exemplars = found.iter().filter(|point| !point.exemplars.is_empty());
    assert!(with_exemplars.count() >= 1_900);
}
