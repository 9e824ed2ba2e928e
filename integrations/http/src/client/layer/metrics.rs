//! The instruments of a client.

use std::time::Duration;

use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, Value};
use opentelemetry_semantic_conventions::attribute::HTTP_CONNECTION_STATE;
use opentelemetry_semantic_conventions::metric::{
    HTTP_CLIENT_ACTIVE_REQUESTS, HTTP_CLIENT_CONNECTION_DURATION, HTTP_CLIENT_OPEN_CONNECTIONS,
    HTTP_CLIENT_REQUEST_BODY_SIZE, HTTP_CLIENT_REQUEST_DURATION, HTTP_CLIENT_RESPONSE_BODY_SIZE,
};
use telemetry_rt::otel::{
    BindableHistogram, BindableMeter, BindableUpDownCounter, BoundHistogram, BoundUpDownCounter,
    InstrumentSpec,
};

use crate::common::instruments::{DURATIONS, SIZES};
use crate::common::series::{Key, Known, Mixed};
use crate::common::wire::Dropped;

/// Seconds for which connections are kept: from what a single request takes to a day.
const CONNECTION_DURATIONS: [f64; 14] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1800.0, 7200.0, 86400.0,
];

#[derive(Debug)]
pub(in crate::client) struct Metrics {
    duration: BindableHistogram<f64>,
    request_size: BindableHistogram<u64>,
    response_size: BindableHistogram<u64>,
    active: BindableUpDownCounter,
    of_active: Known<Vec<KeyValue>, BoundUpDownCounter>,
    of_ended: Known<Vec<KeyValue>, Series>,
    open: UpDownCounter<i64>,
    connection: Histogram<f64>,
    pub(super) dropped: Dropped,
}

/// What a request that has ended is counted in.
#[derive(Debug)]
struct Series {
    duration: BoundHistogram<f64>,
    request_size: BoundHistogram<u64>,
    response_size: BoundHistogram<u64>,
}

impl Metrics {
    /// Of requests there are many with few series; of connections there are few.
    pub(super) fn new(meter: &Meter, bindable: &BindableMeter) -> Metrics {
        let spec = |name, unit, description| InstrumentSpec {
            name,
            unit,
            description,
        };
        Metrics {
            duration: bindable.f64_histogram(
                spec(
                    HTTP_CLIENT_REQUEST_DURATION,
                    "s",
                    "Duration of HTTP client requests.",
                ),
                &DURATIONS,
            ),
            request_size: bindable.u64_histogram(
                spec(
                    HTTP_CLIENT_REQUEST_BODY_SIZE,
                    "By",
                    "Size of HTTP client request bodies.",
                ),
                &SIZES,
            ),
            response_size: bindable.u64_histogram(
                spec(
                    HTTP_CLIENT_RESPONSE_BODY_SIZE,
                    "By",
                    "Size of HTTP client response bodies.",
                ),
                &SIZES,
            ),
            active: bindable.i64_up_down_counter(spec(
                HTTP_CLIENT_ACTIVE_REQUESTS,
                "{request}",
                "Number of active HTTP requests.",
            )),
            of_active: Known::new(),
            of_ended: Known::new(),
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
        let make = || self.active.bind(attributes);
        self.of_active
            .with(&Attributes(attributes), make, |series| series.add(by));
    }

    /// A request has ended.
    pub(super) fn ended(
        &self,
        duration: Duration,
        sent: Option<u64>,
        received: Option<u64>,
        attributes: &[KeyValue],
    ) {
        let make = || Series {
            duration: self.duration.bind(attributes),
            request_size: self.request_size.bind(attributes),
            response_size: self.response_size.bind(attributes),
        };
        let record = |series: &Series| {
            series.duration.record(duration.as_secs_f64());
            if let Some(sent) = sent {
                series.request_size.record(sent);
            }
            if let Some(received) = received {
                series.response_size.record(received);
            }
        };
        self.of_ended.with(&Attributes(attributes), make, record);
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

/// All that makes a series. Those of one request are always made in the same order.
struct Attributes<'a>(&'a [KeyValue]);

impl PartialEq<Vec<KeyValue>> for Attributes<'_> {
    fn eq(&self, kept: &Vec<KeyValue>) -> bool {
        self.0 == kept
    }
}

impl Key for Attributes<'_> {
    type Kept = Vec<KeyValue>;

    fn kept(&self) -> Vec<KeyValue> {
        self.0.to_vec()
    }

    /// Of the values, which differ; what they are called is compared.
    fn number(&self) -> u64 {
        let values = self.0.iter().map(|attribute| &attribute.value);
        let mixed = values.fold(Mixed::NOTHING, |mixed, value| match value {
            Value::String(text) => mixed.text(text.as_str()),
            Value::I64(number) => mixed.word(number.cast_unsigned()),
            _ => mixed,
        });
        mixed.number()
    }
}
