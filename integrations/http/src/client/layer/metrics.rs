//! The instruments of a client.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};
use opentelemetry_semantic_conventions::attribute::HTTP_CONNECTION_STATE;
use opentelemetry_semantic_conventions::metric::{
    HTTP_CLIENT_ACTIVE_REQUESTS, HTTP_CLIENT_CONNECTION_DURATION, HTTP_CLIENT_OPEN_CONNECTIONS,
    HTTP_CLIENT_REQUEST_BODY_SIZE, HTTP_CLIENT_REQUEST_DURATION, HTTP_CLIENT_RESPONSE_BODY_SIZE,
};

use crate::common::instruments::{DURATIONS, SIZES};
use crate::common::wire::Dropped;

/// Seconds for which connections are kept: from what a single request takes to a day.
const CONNECTION_DURATIONS: [f64; 14] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1800.0, 7200.0, 86400.0,
];

#[derive(Debug)]
pub(in crate::client) struct Metrics {
    duration: Histogram<f64>,
    request_size: Histogram<u64>,
    response_size: Histogram<u64>,
    active: UpDownCounter<i64>,
    open: UpDownCounter<i64>,
    connection: Histogram<f64>,
    pub(super) dropped: Dropped,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Metrics {
        Metrics {
            duration: meter
                .f64_histogram(HTTP_CLIENT_REQUEST_DURATION)
                .with_unit("s")
                .with_description("Duration of HTTP client requests.")
                .with_boundaries(DURATIONS.to_vec())
                .build(),
            request_size: sizes(
                meter,
                HTTP_CLIENT_REQUEST_BODY_SIZE,
                "Size of HTTP client request bodies.",
            ),
            response_size: sizes(
                meter,
                HTTP_CLIENT_RESPONSE_BODY_SIZE,
                "Size of HTTP client response bodies.",
            ),
            active: meter
                .i64_up_down_counter(HTTP_CLIENT_ACTIVE_REQUESTS)
                .with_unit("{request}")
                .with_description("Number of active HTTP requests.")
                .build(),
            open: meter
                .i64_up_down_counter(HTTP_CLIENT_OPEN_CONNECTIONS)
                .with_unit("{connection}")
                .with_description(
                    "Number of outbound HTTP connections that are currently active or idle on \
                     the client.",
                )
                .build(),
            connection: meter
                .f64_histogram(HTTP_CLIENT_CONNECTION_DURATION)
                .with_unit("s")
                .with_description(
                    "The duration of the successfully established outbound HTTP connections.",
                )
                .with_boundaries(CONNECTION_DURATIONS.to_vec())
                .build(),
            dropped: Dropped::new(meter),
        }
    }

    pub(super) fn active(&self, by: i64, attributes: &[KeyValue]) {
        self.active.add(by, attributes);
    }

    /// A request has ended.
    pub(super) fn ended(
        &self,
        duration: Duration,
        sent: Option<u64>,
        received: Option<u64>,
        attributes: &[KeyValue],
    ) {
        self.duration.record(duration.as_secs_f64(), attributes);
        if let Some(sent) = sent {
            self.request_size.record(sent, attributes);
        }
        if let Some(received) = received {
            self.response_size.record(received, attributes);
        }
    }

    pub(in crate::client) fn open_connections(
        &self,
        by: i64,
        state: &'static str,
        attributes: &[KeyValue],
    ) {
        let mut attributes = attributes.to_vec();
        attributes.push(KeyValue::new(HTTP_CONNECTION_STATE, state));
        self.open.add(by, &attributes);
    }

    pub(in crate::client) fn connection(&self, open: Duration, attributes: &[KeyValue]) {
        self.connection.record(open.as_secs_f64(), attributes);
    }
}

fn sizes(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<u64> {
    meter
        .u64_histogram(name)
        .with_unit("By")
        .with_description(description)
        .with_boundaries(SIZES.to_vec())
        .build()
}
