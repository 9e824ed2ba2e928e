//! Metrics as messages of OTLP.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{InstrumentationScope as Scope, KeyValue};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue as ProtoKeyValue};
use opentelemetry_proto::tonic::metrics::v1 as proto;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::transform::common::tonic::{Attributes, ResourceAttributesWithSchema};
use opentelemetry_sdk::Resource;

use crate::export::metric::{Exemplar, HistogramPoint, Metric, MetricData, Number, NumberPoint};

/// Whether sums count from the start of the program or from the last export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temporality {
    Cumulative,
    Delta,
}

impl Temporality {
    fn number(self) -> i32 {
        match self {
            Temporality::Cumulative => proto::AggregationTemporality::Cumulative.into(),
            Temporality::Delta => proto::AggregationTemporality::Delta.into(),
        }
    }
}

pub(super) fn metrics(
    metrics: &[Metric],
    resource: &Resource,
    temporality: Temporality,
) -> ExportMetricsServiceRequest {
    let resource = ResourceAttributesWithSchema::from(resource);
    ExportMetricsServiceRequest {
        resource_metrics: vec![proto::ResourceMetrics {
            resource: Some(ProtoResource {
                attributes: resource.attributes.0,
                ..ProtoResource::default()
            }),
            scope_metrics: by_scope(metrics, temporality),
            schema_url: resource.schema_url.unwrap_or_default(),
        }],
    }
}

/// Metrics by their scopes, each where its first metric is.
fn by_scope(metrics: &[Metric], temporality: Temporality) -> Vec<proto::ScopeMetrics> {
    let mut groups: Vec<(&Scope, proto::ScopeMetrics)> = Vec::new();
    for metric in metrics.iter().filter(|metric| !is_empty(metric)) {
        let known = groups
            .iter()
            .rposition(|(scope, _)| **scope == metric.scope);
        let place = known.unwrap_or_else(|| {
            groups.push((&metric.scope, empty(&metric.scope)));
            groups.len() - 1
        });
        groups[place].1.metrics.push(message(metric, temporality));
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn empty(scope: &Scope) -> proto::ScopeMetrics {
    let of_scope: Vec<KeyValue> = scope.attributes().cloned().collect();
    proto::ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: scope.name().to_owned(),
            version: scope.version().unwrap_or_default().to_owned(),
            attributes: attributes(&of_scope),
            ..InstrumentationScope::default()
        }),
        metrics: Vec::new(),
        schema_url: scope.schema_url().unwrap_or_default().to_owned(),
    }
}

fn is_empty(metric: &Metric) -> bool {
    match &metric.data {
        MetricData::Histogram { points, .. } => points.is_empty(),
        MetricData::Sum { points, .. } | MetricData::Gauge { points } => points.is_empty(),
    }
}

fn message(metric: &Metric, temporality: Temporality) -> proto::Metric {
    proto::Metric {
        name: metric.name.clone().into_owned(),
        description: metric.description.clone().into_owned(),
        unit: metric.unit.clone().into_owned(),
        data: Some(data(&metric.data, temporality)),
        ..proto::Metric::default()
    }
}

fn data(data: &MetricData, temporality: Temporality) -> proto::metric::Data {
    match data {
        MetricData::Histogram { bounds, points } => {
            proto::metric::Data::Histogram(proto::Histogram {
                data_points: points
                    .iter()
                    .map(|point| histogram(point, bounds))
                    .collect(),
                aggregation_temporality: temporality.number(),
            })
        }
        MetricData::Sum { monotonic, points } => proto::metric::Data::Sum(proto::Sum {
            data_points: points.iter().map(number).collect(),
            // What can fall is only ever sent as it is.
            aggregation_temporality: match monotonic {
                true => temporality.number(),
                false => Temporality::Cumulative.number(),
            },
            is_monotonic: *monotonic,
        }),
        MetricData::Gauge { points } => proto::metric::Data::Gauge(proto::Gauge {
            data_points: points.iter().map(number).collect(),
        }),
    }
}

fn histogram(point: &HistogramPoint, bounds: &[f64]) -> proto::HistogramDataPoint {
    proto::HistogramDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: nanos(point.start),
        time_unix_nano: nanos(point.time),
        count: point.count,
        sum: Some(point.sum),
        bucket_counts: point.buckets.clone(),
        explicit_bounds: bounds.to_vec(),
        min: point.min,
        max: point.max,
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        ..proto::HistogramDataPoint::default()
    }
}

fn exemplar(exemplar: &Exemplar) -> proto::Exemplar {
    proto::Exemplar {
        time_unix_nano: nanos(exemplar.time),
        trace_id: exemplar.trace_id.to_bytes().to_vec(),
        span_id: exemplar.span_id.to_bytes().to_vec(),
        value: Some(proto::exemplar::Value::AsDouble(exemplar.value)),
        ..proto::Exemplar::default()
    }
}

fn number(point: &NumberPoint) -> proto::NumberDataPoint {
    proto::NumberDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: nanos(point.start),
        time_unix_nano: nanos(point.time),
        value: Some(match point.value {
            Number::Int(number) => proto::number_data_point::Value::AsInt(number),
            Number::Float(number) => proto::number_data_point::Value::AsDouble(number),
        }),
        ..proto::NumberDataPoint::default()
    }
}

fn attributes(attributes: &[KeyValue]) -> Vec<ProtoKeyValue> {
    Attributes::from(attributes.iter().cloned()).0
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::{SpanId, TraceId};
    use std::time::Duration;

    #[test]
    fn an_exemplar_names_its_trace_and_its_span() {
        let message = exemplar(&Exemplar {
            value: 0.25,
            time: UNIX_EPOCH + Duration::from_nanos(7),
            trace_id: TraceId::from(0x0102),
            span_id: SpanId::from(3),
        });
        assert_eq!(message.time_unix_nano, 7);
        assert_eq!((message.trace_id.len(), message.span_id.len()), (16, 8));
        assert_eq!(message.trace_id[14..], [1, 2]);
        assert_eq!(message.span_id[7], 3);
        let value = proto::exemplar::Value::AsDouble(0.25);
        assert_eq!(message.value, Some(value));
    }
}
