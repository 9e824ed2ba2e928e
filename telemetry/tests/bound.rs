//! Series that are bound: the same values as those of other instruments, and where they go.

mod common;

use std::thread;

use common::{Bench, keep_warnings, labels, warnings};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use telemetry_rt_telemetry::export::{
    BindableMeter, HistogramPoint, InMemory, InstrumentSpec, Metric, MetricData, Number, Otel,
    Share,
};
use telemetry_rt_telemetry::record::Recorder;

const BOUNDS: [f64; 3] = [0.0, 1.0, 2.0];

fn spec(name: &'static str) -> InstrumentSpec {
    InstrumentSpec {
        name,
        unit: "s",
        description: "What it says.",
    }
}

fn shop() -> InstrumentationScope {
    InstrumentationScope::builder("shop")
        .with_version("1.2.3")
        .build()
}

/// What is seen of a runtime that exports nothing.
struct Seen {
    share: Share,
    recorder: Recorder,
}

impl Seen {
    fn of(otel: &Otel) -> Seen {
        Seen {
            share: Share::without_pipeline(otel),
            recorder: Recorder::new(otel.recorder_config(1)),
        }
    }

    fn new() -> Seen {
        Seen::of(&Otel::disabled())
    }

    fn meter(&self) -> BindableMeter {
        self.share.bindable_meter(shop())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.share.source(&self.recorder).collect();
        metrics.retain(|metric| metric.scope == shop());
        metrics
    }

    fn points(&self, name: &str) -> Vec<HistogramPoint> {
        points(&self.metrics(), name)
    }
}

fn points(metrics: &[Metric], name: &str) -> Vec<HistogramPoint> {
    let named = metrics.iter().filter(|metric| metric.name == name);
    let points = named.flat_map(|metric| match &metric.data {
        MetricData::Histogram { points, .. } => points.clone(),
        other => panic!("{other:?}"),
    });
    let mut points: Vec<_> = points.collect();
    points.sort_by_key(|point| labels(&point.attributes));
    points
}

fn within(number: u64, sampled: bool) -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from(u128::from(number)),
        SpanId::from(number),
        TraceFlags::default().with_sampled(sampled),
        false,
        TraceState::default(),
    ))
}

fn by(value: &'static str) -> [KeyValue; 1] {
    [KeyValue::new("by", value)]
}

/// Without what hangs on the moment, and on who keeps it.
fn plain(mut metric: Metric) -> Metric {
    if let MetricData::Histogram { points, .. } = &mut metric.data {
        points.sort_by_key(|point| labels(&point.attributes));
        for point in points {
            (point.start, point.time) = (std::time::UNIX_EPOCH, std::time::UNIX_EPOCH);
        }
    }
    metric
}

#[test]
fn a_bound_histogram_says_what_one_of_the_sdk_says() {
    let values = [-3.0, 0.0, 0.5, 1.0, 1.5, 2.0, 7.25, f64::NAN, f64::INFINITY];
    let (bound, sdk) = (Seen::new(), Seen::new());
    let meter = sdk.share.meter(shop());
    let theirs = meter.f64_histogram("wait");
    let theirs = theirs.with_unit("s").with_description("What it says.");
    let theirs = theirs.with_boundaries(BOUNDS.to_vec()).build();
    let own = bound.meter().f64_histogram(spec("wait"), &BOUNDS);
    for attributes in [&by("card")[..], &[]] {
        let own = own.bind(attributes);
        for value in values {
            own.record(value);
            theirs.record(value, attributes);
        }
    }
    let [own, theirs] = [bound, sdk].map(|seen| seen.metrics().into_iter().map(plain));
    assert_eq!(own.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
}

#[test]
fn what_is_asked_for_twice_is_one_and_what_has_no_value_is_not_shown() {
    let seen = Seen::new();
    let sizes = || seen.meter().u64_histogram(spec("size"), &BOUNDS);
    assert_eq!(seen.metrics(), []);
    let (one, other) = (sizes().bind(&by("a")), sizes().bind(&by("a")));
    let _silent = sizes().bind(&by("b"));
    assert_eq!(seen.metrics(), []);
    one.record(2);
    other.record(u64::MAX);
    let points = seen.points("size");
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].buckets, [0, 0, 1, 1]);
    assert_eq!((points[0].min, points[0].count), (Some(2.0), 2));
    let in_flight = || seen.meter().i64_up_down_counter(spec("in.flight"));
    in_flight().bind(&by("a")).add(5);
    in_flight().bind(&by("a")).add(-7);
    let metrics = seen.metrics();
    let MetricData::Sum { monotonic, points } = &metrics[1].data else {
        panic!("{metrics:?}");
    };
    assert!(!monotonic);
    assert_eq!(points[0].value, Number::Int(-2));
}

#[test]
fn exemplars_are_the_newest_of_each_bucket_and_only_of_sampled_spans() {
    let seen = Seen::new();
    let wait = seen.meter().f64_histogram(spec("wait"), &BOUNDS);
    let (card, cash) = (wait.bind(&by("card")), wait.bind(&by("cash")));
    for (span, sampled, value) in [
        (1, true, 9.0),
        (2, true, 0.5),
        (3, true, 0.7),
        (4, false, 0.6),
    ] {
        let _inside = within(span, sampled).attach();
        card.record(value);
    }
    card.record(0.8);
    cash.record(0.5);
    // Asking takes nothing away.
    for _ in 0..2 {
        let points = seen.points("wait");
        let shown = points[0].exemplars.iter();
        let shown: Vec<_> = shown.map(|shown| (shown.value, shown.span_id)).collect();
        assert_eq!(shown, [(0.7, SpanId::from(3)), (9.0, SpanId::from(1))]);
        assert!(
            points[0]
                .exemplars
                .iter()
                .all(|shown| shown.time <= points[0].time)
        );
        assert_eq!(points[1].exemplars, []);
    }
}

#[test]
fn threads_that_record_into_one_series_lose_nothing() {
    let seen = Seen::new();
    let wait = seen.meter().f64_histogram(spec("wait"), &BOUNDS).bind(&[]);
    let in_flight = seen
        .meter()
        .i64_up_down_counter(spec("in.flight"))
        .bind(&[]);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let _inside = within(1, true).attach();
                for _ in 0..2000 {
                    in_flight.add(1);
                    wait.record(0.5);
                    in_flight.add(-1);
                }
            });
        }
    });
    let points = seen.points("wait");
    assert_eq!((points[0].count, points[0].sum), (6000, 3000.0));
    let metrics = seen.metrics();
    let MetricData::Sum { points, .. } = &metrics[1].data else {
        panic!("{metrics:?}");
    };
    assert_eq!(points[0].value, Number::Int(0));
}

#[test]
fn what_exceeds_the_bound_on_series_is_counted_as_that() {
    let seen = Seen::new();
    let sizes = seen.meter().u64_histogram(spec("size"), &BOUNDS);
    for number in 0..2003 {
        sizes.bind(&[KeyValue::new("n", number)]).record(1);
    }
    let points = seen.points("size");
    assert_eq!(points.len(), 2001);
    let overflow: Vec<_> = points
        .iter()
        .filter(|point| labels(&point.attributes) == "otel.metric.overflow=true")
        .map(|point| point.count)
        .collect();
    assert_eq!(overflow, [3]);
}

#[test]
fn they_are_exported_as_others_are() {
    let memory = InMemory::new();
    let bench = Bench::new(Otel::builder().exporter(memory.clone()).build());
    let meter = Share::of(&bench.pipeline).bindable_meter(shop());
    let wait = meter.f64_histogram(spec("wait"), &BOUNDS).bind(&by("card"));
    wait.record(0.5);
    bench.flush();
    let points = points(&memory.metrics(), "wait");
    assert_eq!(points[0].count, 1);
}

#[test]
fn a_provider_of_the_application_has_them_and_nobody_else() {
    let memory = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(memory.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    // The pipeline is what holds it, which there is none of here.
    let otel = Otel::builder().meter_provider(provider.clone()).build();
    let seen = Seen::of(&otel);
    let sizes = seen.meter().u64_histogram(spec("size"), &BOUNDS);
    sizes.bind(&by("card")).record(2);
    let in_flight = seen.meter().i64_up_down_counter(spec("in.flight"));
    in_flight.bind(&[]).add(1);
    provider.force_flush().unwrap();
    let found = format!("{:?}", memory.get_finished_metrics().unwrap());
    for part in ["\"size\"", "\"in.flight\"", "\"card\"", "What it says."] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert_eq!(seen.metrics(), []);
}

#[test]
fn what_is_not_accepted_is_a_warning_and_records_nothing() {
    keep_warnings();
    let seen = Seen::new();
    let meter = seen.meter();
    meter
        .f64_histogram(spec("9 lives"), &BOUNDS)
        .bind(&[])
        .record(1.0);
    meter
        .u64_histogram(spec("upside.down"), &[2.0, 1.0])
        .bind(&[])
        .record(1);
    meter.i64_up_down_counter(spec("")).bind(&[]).add(1);
    assert_eq!(seen.metrics(), []);
    for part in ["9 lives", "upside.down"] {
        assert_eq!(warnings(part).len(), 1, "{part}");
    }
}

#[test]
fn series_outlive_the_pipeline() {
    let bench = Bench::new(Otel::builder().exporter(InMemory::new()).build());
    let meter = Share::of(&bench.pipeline).bindable_meter(shop());
    let wait = meter.f64_histogram(spec("wait"), &BOUNDS).bind(&[]);
    drop((meter, bench));
    wait.record(0.5);
}
