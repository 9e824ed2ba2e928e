//! What is counted of requests that come in?

use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
    NETWORK_PROTOCOL_VERSION, URL_SCHEME,
};
use opentelemetry_semantic_conventions::metric::{
    HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_BODY_SIZE, HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_RESPONSE_BODY_SIZE,
};
use telemetry_rt::time::Duration;

use super::attributes::Kind;
use super::in_flight::OUTCOME;
use crate::common::instruments::{DURATIONS, SIZES};

/// The instruments of a meter.
#[derive(Debug)]
pub(super) struct Metrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    request_size: Histogram<u64>,
    response_size: Histogram<u64>,
}

/// A request that has ended, as the metrics see it: nothing in here may be of the client's choice.
pub(super) struct Ended {
    pub(super) kind: Kind,
    pub(super) status: Option<u16>,
    pub(super) route: Option<StringValue>,
    pub(super) error: Option<StringValue>,
    /// How it ended if neither well nor by an error.
    pub(super) outcome: Option<&'static str>,
    pub(super) duration: Duration,
    pub(super) received: Option<u64>,
    pub(super) sent: Option<u64>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Metrics {
        let size = |name, what| {
            let size = meter
                .u64_histogram(name)
                .with_unit("By")
                .with_description(what);
            size.with_boundaries(SIZES.to_vec()).build()
        };
        Metrics {
            duration: meter
                .f64_histogram(HTTP_SERVER_REQUEST_DURATION)
                .with_unit("s")
                .with_description("Duration of HTTP server requests.")
                .with_boundaries(DURATIONS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter(HTTP_SERVER_ACTIVE_REQUESTS)
                .with_unit("{request}")
                .with_description("Number of active HTTP server requests.")
                .build(),
            request_size: size(
                HTTP_SERVER_REQUEST_BODY_SIZE,
                "Size of HTTP server request bodies.",
            ),
            response_size: size(
                HTTP_SERVER_RESPONSE_BODY_SIZE,
                "Size of HTTP server response bodies.",
            ),
        }
    }

    pub(super) fn started(&self, kind: Kind) {
        self.active.add(1, &of_active(kind));
    }

    pub(super) fn ended(&self, ended: Ended) {
        self.active.add(-1, &of_active(ended.kind));
        let (duration, received, sent) = (ended.duration, ended.received, ended.sent);
        let (attributes, count) = of_ended(ended);
        let attributes = &attributes[..count];
        self.duration.record(duration.as_secs_f64(), attributes);
        if let Some(received) = received {
            self.request_size.record(received, attributes);
        }
        if let Some(sent) = sent {
            self.response_size.record(sent, attributes);
        }
    }
}

fn of_active(kind: Kind) -> [KeyValue; 2] {
    [
        KeyValue::new(HTTP_REQUEST_METHOD, kind.method.attribute()),
        KeyValue::new(URL_SCHEME, kind.scheme),
    ]
}

const MOST: usize = 7;

/// The attributes in an array, and how many of them there are: no memory is taken for them.
fn of_ended(ended: Ended) -> ([KeyValue; MOST], usize) {
    let mut attributes: [KeyValue; MOST] = std::array::from_fn(|_| KeyValue::new("", false));
    let mut count = 0;
    let mut push = |attribute| {
        attributes[count] = attribute;
        count += 1;
    };
    let [method, scheme] = of_active(ended.kind);
    push(method);
    push(scheme);
    if let Some(status) = ended.status {
        push(KeyValue::new(HTTP_RESPONSE_STATUS_CODE, i64::from(status)));
    }
    if let Some(route) = ended.route {
        push(KeyValue::new(HTTP_ROUTE, route));
    }
    if let Some(error) = ended.error {
        push(KeyValue::new(ERROR_TYPE, error));
    }
    if let Some(version) = ended.kind.version {
        push(KeyValue::new(NETWORK_PROTOCOL_VERSION, version));
    }
    if let Some(outcome) = ended.outcome {
        push(KeyValue::new(OUTCOME, outcome));
    }
    (attributes, count)
}
