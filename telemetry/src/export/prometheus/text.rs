//! Metrics as lines of text, in the two formats that Prometheus reads.
//!
//! They differ in little: OpenMetrics names a counter without its `_total`, tells units, has
//! exemplars, has a type of its own for `target_info`, and ends with `# EOF`. Bounds and numbers
//! are written alike in both, so that no series depends on who asks.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;

use super::families::{Family, Kind, families};
use super::names;
use super::negotiate::Format;
use crate::export::diagnostics::warn;
use crate::export::metric::{Exemplar, HistogramPoint, Metric, MetricData, Number, NumberPoint};

/// All metrics, and what is said about the program.
pub(super) fn render(metrics: &[Metric], resource: &Resource, format: Format) -> String {
    let mut page = Page {
        text: String::new(),
        format,
    };
    page.target_info(resource);
    let families = families(metrics);
    families.iter().for_each(|family| page.family(family));
    if format == Format::OpenMetrics {
        page.text += "# EOF\n";
    }
    page.text
}

struct Page {
    text: String,
    format: Format,
}

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing into a `String` cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn target_info(&mut self, resource: &Resource) {
        let attributes = resource.iter();
        let mut attributes: Vec<_> = attributes
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        if attributes.is_empty() {
            return;
        }
        attributes.sort();
        let (family, kind) = match self.format {
            Format::Text => ("target_info", "gauge"),
            Format::OpenMetrics => ("target", "info"),
        };
        self.line(format_args!("# TYPE {family} {kind}"));
        self.line(format_args!(
            "# HELP {family} What is known of the program."
        ));
        self.line(format_args!("target_info{{{}}} 1", labels(attributes)));
    }

    /// A series that another one has the labels of is left out, and a warning says so, once: a page
    /// with both would be refused.
    fn family(&mut self, family: &Family<'_>) {
        let description = &family.metrics[0].description;
        self.head(family, description);
        let mut seen = HashSet::new();
        for metric in &family.metrics {
            let scope = labels_of_scope(&metric.scope);
            let mut is_new = |attributes: &[KeyValue]| {
                let labels = labels_of(attributes, &scope, family.kind);
                let is_new = seen.insert(labels.clone());
                if !is_new {
                    warn_of_twins(&family.name, &labels);
                }
                is_new.then_some(labels)
            };
            match &metric.data {
                MetricData::Histogram { bounds, points } => {
                    for point in points {
                        if let Some(labels) = is_new(&point.attributes) {
                            self.histogram(&family.name, &labels, bounds, point);
                        }
                    }
                }
                MetricData::Sum { points, .. } | MetricData::Gauge { points } => {
                    for point in points {
                        if let Some(labels) = is_new(&point.attributes) {
                            self.number(family, &labels, point);
                        }
                    }
                }
            }
        }
    }

    fn head(&mut self, family: &Family<'_>, help: &str) {
        let Family {
            name, unit, kind, ..
        } = family;
        // The text format knows no families, only names of what is counted.
        let suffix = match self.format {
            Format::Text => kind.suffix(),
            Format::OpenMetrics => "",
        };
        self.line(format_args!("# TYPE {name}{suffix} {}", kind.as_str()));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name}{suffix} {}", self.help(help)));
    }

    /// Quotes are escaped in OpenMetrics only.
    fn help<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.format {
            Format::Text => escaped(text, &['\\', '\n']),
            Format::OpenMetrics => escaped(text, &['\\', '\n', '"']),
        }
    }

    fn number(&mut self, family: &Family<'_>, labels: &str, point: &NumberPoint) {
        let (name, suffix) = (&family.name, family.kind.suffix());
        let value = match point.value {
            Number::Int(value) => value.to_string(),
            Number::Float(value) => number(value),
        };
        self.line(format_args!("{name}{suffix}{{{labels}}} {value}"));
    }

    fn histogram(&mut self, family: &str, labels: &str, bounds: &[f64], point: &HistogramPoint) {
        // A histogram that was made without bounds has no buckets; here it must have the last one.
        let only = [point.count];
        let buckets = match point.buckets.is_empty() {
            true => &only[..],
            false => &point.buckets,
        };
        let mut count = 0;
        for (bucket, in_bucket) in buckets.iter().enumerate() {
            count += in_bucket;
            let bound = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
            let exemplar = match self.format {
                Format::Text => String::new(),
                Format::OpenMetrics => exemplar_in(bucket, bounds, &point.exemplars),
            };
            let bound = number(bound);
            self.line(format_args!(
                "{family}_bucket{{{labels},le=\"{bound}\"}} {count}{exemplar}"
            ));
        }
        self.line(format_args!(
            "{family}_sum{{{labels}}} {}",
            number(point.sum)
        ));
        self.line(format_args!("{family}_count{{{labels}}} {count}"));
    }
}

/// What tells scopes apart.
fn labels_of_scope(scope: &InstrumentationScope) -> Vec<(String, Cow<'_, str>)> {
    let known = [
        ("otel_scope_name", Some(scope.name())),
        ("otel_scope_version", scope.version()),
        ("otel_scope_schema_url", scope.schema_url()),
    ];
    let known = known.into_iter();
    let known = known.filter_map(|(key, value)| Some((key.to_owned(), Cow::Borrowed(value?))));
    let others = scope.attributes().map(|attribute| {
        let key = format!("otel_scope_{}", attribute.key);
        (key, attribute.value.as_str())
    });
    known.chain(others).collect()
}

/// The attributes of a point, and the scope of its metric.
fn labels_of(attributes: &[KeyValue], scope: &[(String, Cow<'_, str>)], kind: Kind) -> String {
    let scope = scope.iter();
    let scope = scope.map(|(key, value)| (key.as_str(), Cow::Borrowed(&**value)));
    let own = attributes.iter();
    let own = own.map(|attribute| (own_key(attribute, kind), attribute.value.as_str()));
    labels(own.chain(scope))
}

/// `le` is the bound of a bucket, and a page is refused in whole for a series that has it twice.
fn own_key(attribute: &KeyValue, kind: Kind) -> &str {
    match (kind, attribute.key.as_str()) {
        (Kind::Histogram, "le") => "key_le",
        (_, key) => key,
    }
}

fn warn_of_twins(family: &str, labels: &str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    // Relaxed: it only keeps the warning from being said twice.
    if !TOLD.swap(true, Ordering::Relaxed) {
        warn(format_args!(
            "exporter prometheus: {family} has two series with the labels {labels}: the latter is \
             not shown; the same goes for others like it, and is said once"
        ));
    }
}

/// `name="value",…`. Values of attributes whose names become the same are joined.
fn labels<'a>(attributes: impl IntoIterator<Item = (&'a str, Cow<'a, str>)>) -> String {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (key, value) in attributes {
        let name = names::label(key);
        match labels.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values += &format!(";{value}"),
            None => labels.push((name, value.into_owned())),
        }
    }
    let labels = labels.iter().filter(|(name, _)| !name.is_empty());
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value, &['\\', '\n', '"'])))
        .collect();
    labels.join(",")
}

/// The text with a backslash before each of these characters, and `\n` for the end of a line.
fn escaped<'a>(text: &'a str, special: &[char]) -> Cow<'a, str> {
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => safe += "\\n",
            _ if special.contains(&character) => safe.extend(['\\', character]),
            _ => safe.push(character),
        }
    }
    safe.into()
}

/// The latest of the exemplars that fall into this bucket, as the end of its line.
fn exemplar_in(bucket: usize, bounds: &[f64], exemplars: &[Exemplar]) -> String {
    let bucket_of = |value: f64| bounds.partition_point(|&bound| bound < value);
    let inside = exemplars
        .iter()
        .filter(|exemplar| bucket_of(exemplar.value) == bucket);
    inside
        .max_by_key(|exemplar| exemplar.time)
        .map_or_else(String::new, exemplar)
}

fn exemplar(exemplar: &Exemplar) -> String {
    let Exemplar {
        value,
        time,
        trace_id,
        span_id,
    } = exemplar;
    let date = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {} {}.{:03}",
        number(*value),
        date.as_secs(),
        date.subsec_millis()
    )
}

/// A number as OpenMetrics likes it best: `1.0`, `0.001`, `1.2e-06`, `+Inf`.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::span_data::scope;
    use opentelemetry::{SpanId, TraceId};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn example(value: f64, millis: u64) -> Exemplar {
        Exemplar {
            value,
            time: at(millis),
            trace_id: TraceId::from(0xab),
            span_id: SpanId::from(millis),
        }
    }

    fn point(attributes: Vec<KeyValue>, value: Number) -> NumberPoint {
        NumberPoint {
            attributes,
            start: at(0),
            time: at(1),
            value,
        }
    }

    fn metric(name: &'static str, unit: &'static str, data: MetricData) -> Metric {
        Metric {
            scope: scope(),
            name: name.into(),
            description: "Says \"a\\b\"\nin lines.".into(),
            unit: unit.into(),
            data,
        }
    }

    fn sum(monotonic: bool, points: Vec<NumberPoint>) -> MetricData {
        MetricData::Sum { monotonic, points }
    }

    fn durations() -> Metric {
        let data = MetricData::Histogram {
            bounds: Arc::new([0.000_001, 0.001, 1.0]),
            points: vec![HistogramPoint {
                attributes: vec![KeyValue::new("error.type", "a\"b\\c\nd")],
                start: at(0),
                time: at(1),
                count: 6,
                sum: 12.5,
                min: None,
                max: None,
                buckets: vec![1, 2, 0, 3],
                exemplars: vec![
                    example(0.001, 1_500),
                    example(0.000_9, 2_007),
                    example(3.0, 3_000),
                ],
            }],
        };
        metric("process.duration", "s", data)
    }

    fn metrics() -> Vec<Metric> {
        let twins = vec![KeyValue::new("a.b", 1), KeyValue::new("a_b", true)];
        vec![
            durations(),
            metric(
                "process.count",
                "{process}",
                sum(true, vec![point(twins, Number::Int(3))]),
            ),
            metric("nothing", "s", sum(true, Vec::new())),
            metric(
                "tasks",
                "1",
                MetricData::Gauge {
                    points: vec![point(Vec::new(), Number::Float(0.5))],
                },
            ),
            metric(
                "queued",
                "By",
                sum(false, vec![point(Vec::new(), Number::Int(-4))]),
            ),
        ]
    }

    /// What the page says, without the labels of the scope.
    fn page(format: Format) -> String {
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("service.name", "shop"))
            .build();
        let version = env!("CARGO_PKG_VERSION");
        let scope = format!("otel_scope_name=\"telemetry_rt\",otel_scope_version=\"{version}\"");
        render(&metrics(), &resource, format).replace(&scope, "S")
    }

    #[test]
    fn open_metrics_has_units_exemplars_and_an_end() {
        let labels = "error_type=\"a\\\"b\\\\c\\nd\",S";
        let trace = "trace_id=\"000000000000000000000000000000ab\"";
        let expected = [
            "# TYPE target info".to_owned(),
            "# HELP target What is known of the program.".to_owned(),
            "target_info{service_name=\"shop\"} 1".to_owned(),
            "# TYPE process_duration_seconds histogram".to_owned(),
            "# UNIT process_duration_seconds seconds".to_owned(),
            "# HELP process_duration_seconds Says \\\"a\\\\b\\\"\\nin lines.".to_owned(),
            format!("process_duration_seconds_bucket{{{labels},le=\"1e-06\"}} 1"),
            format!(
                "process_duration_seconds_bucket{{{labels},le=\"0.001\"}} 3 \
                 # {{{trace},span_id=\"00000000000007d7\"}} 0.0009 2.007"
            ),
            format!("process_duration_seconds_bucket{{{labels},le=\"1.0\"}} 3"),
            format!(
                "process_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 6 \
                 # {{{trace},span_id=\"0000000000000bb8\"}} 3.0 3.000"
            ),
            format!("process_duration_seconds_sum{{{labels}}} 12.5"),
            format!("process_duration_seconds_count{{{labels}}} 6"),
            "# TYPE process_count counter".to_owned(),
            "# HELP process_count Says \\\"a\\\\b\\\"\\nin lines.".to_owned(),
            "process_count_total{a_b=\"1;true\",S} 3".to_owned(),
            "# TYPE tasks_ratio gauge".to_owned(),
            "# UNIT tasks_ratio ratio".to_owned(),
            "# HELP tasks_ratio Says \\\"a\\\\b\\\"\\nin lines.".to_owned(),
            "tasks_ratio{S} 0.5".to_owned(),
            "# TYPE queued_bytes gauge".to_owned(),
            "# UNIT queued_bytes bytes".to_owned(),
            "# HELP queued_bytes Says \\\"a\\\\b\\\"\\nin lines.".to_owned(),
            "queued_bytes{S} -4".to_owned(),
            "# EOF\n".to_owned(),
        ];
        assert_eq!(page(Format::OpenMetrics), expected.join("\n"));
    }

    #[test]
    fn the_text_format_has_the_same_series_without_what_it_does_not_know() {
        let series = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let bare = lines.map(|line| line.split(" # ").next().unwrap().to_owned());
            bare.collect()
        };
        let text = page(Format::Text);
        assert_eq!(series(&text), series(&page(Format::OpenMetrics)));
        assert!(!text.contains("# UNIT") && !text.contains("EOF") && !text.contains("trace_id"));
        for head in [
            "# TYPE target_info gauge\n",
            "# TYPE process_duration_seconds histogram\n",
            "# TYPE process_count_total counter\n",
            "# HELP process_count_total Says \"a\\\\b\"\\nin lines.\n",
        ] {
            assert!(text.contains(head), "{head}{text}");
        }
    }

    #[test]
    fn a_series_of_a_histogram_has_its_bound_once() {
        let mut metric = durations();
        let MetricData::Histogram { points, .. } = &mut metric.data else {
            panic!("it is a histogram");
        };
        points[0].attributes = vec![KeyValue::new("le", "x")];
        let gauge = MetricData::Gauge {
            points: vec![point(vec![KeyValue::new("le", "x")], Number::Int(1))],
        };
        let metrics = [metric, self::metric("plain", "", gauge)];
        let text = render(&metrics, &Resource::builder_empty().build(), Format::Text);
        let of = |part: &str| text.lines().find(|line| line.starts_with(part)).unwrap();
        assert!(of("process_duration_seconds_sum").contains("{key_le=\"x\","));
        let bucket = of("process_duration_seconds_bucket");
        assert!(bucket.contains("{key_le=\"x\",") && bucket.contains(",le=\"1e-06\"}"));
        assert!(of("plain{").contains("{le=\"x\","));
    }

    #[test]
    fn what_the_samples_of_another_are_called_is_not_shown() {
        let one = || vec![point(Vec::new(), Number::Int(1))];
        let gauge = |name| metric(name, "", MetricData::Gauge { points: one() });
        let metrics = [
            durations(),
            metric("visits", "", sum(true, one())),
            gauge("visits.total"),
            gauge("process.duration.seconds.count"),
            gauge("target"),
            gauge("target.info"),
            gauge("plain"),
            metric("plain", "", sum(true, one())),
        ];
        let text = render(
            &metrics,
            &Resource::builder_empty().build(),
            Format::OpenMetrics,
        );
        let heads = text.lines().filter(|line| line.starts_with("# TYPE"));
        assert_eq!(
            heads.collect::<Vec<_>>(),
            [
                "# TYPE process_duration_seconds histogram",
                "# TYPE visits counter",
                "# TYPE plain gauge",
            ]
        );
    }

    #[test]
    fn numbers_are_written_as_open_metrics_likes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.0001, "0.0001"),
            (0.000_001_2, "1.2e-06"),
            (1e-10, "1e-10"),
            (1e20, "1e+20"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
