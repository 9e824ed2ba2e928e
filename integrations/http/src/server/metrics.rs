//! What is counted of requests that come in?

use opentelemetry::{KeyValue, StringValue};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
    NETWORK_PROTOCOL_VERSION, URL_SCHEME,
};
use opentelemetry_semantic_conventions::metric::{
    HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_BODY_SIZE, HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_RESPONSE_BODY_SIZE,
};
use telemetry_rt::otel::{
    BindableHistogram, BindableMeter, BindableUpDownCounter, BoundHistogram, BoundUpDownCounter,
    InstrumentSpec,
};
use telemetry_rt::time::Duration;

use super::attributes::Kind;
use super::in_flight::OUTCOME;
use super::route::Route;
use crate::common::instruments::{DURATIONS, SIZES};
use crate::common::series::{Key, Known, Mixed, is_same};

/// The instruments of a meter, and the series of theirs that there were.
pub(super) struct Metrics {
    duration: BindableHistogram<f64>,
    active: BindableUpDownCounter,
    request_size: BindableHistogram<u64>,
    response_size: BindableHistogram<u64>,
    of_active: Known<Active, BoundUpDownCounter>,
    of_ended: Known<KeptEnd, Series>,
}

/// What a request that has ended is counted in.
struct Series {
    active: BoundUpDownCounter,
    duration: BoundHistogram<f64>,
    request_size: BoundHistogram<u64>,
    response_size: BoundHistogram<u64>,
}

/// What is measured of a request.
pub(super) struct Measured {
    pub(super) duration: Duration,
    pub(super) received: Option<u64>,
    pub(super) sent: Option<u64>,
}

/// A request that has ended, as the metrics see it: nothing in here may be of the client's choice.
pub(super) struct Ended<'r> {
    pub(super) kind: Kind,
    pub(super) status: Option<u16>,
    pub(super) route: Option<&'r Route>,
    pub(super) error: Option<&'r StringValue>,
    /// How it ended if neither well nor by an error.
    pub(super) outcome: Option<&'static str>,
}

impl Metrics {
    pub(super) fn new(meter: &BindableMeter) -> Metrics {
        let spec = |name, unit, description| InstrumentSpec {
            name,
            unit,
            description,
        };
        Metrics {
            duration: meter.f64_histogram(
                spec(
                    HTTP_SERVER_REQUEST_DURATION,
                    "s",
                    "Duration of HTTP server requests.",
                ),
                &DURATIONS,
            ),
            active: meter.i64_up_down_counter(spec(
                HTTP_SERVER_ACTIVE_REQUESTS,
                "{request}",
                "Number of active HTTP server requests.",
            )),
            request_size: meter.u64_histogram(
                spec(
                    HTTP_SERVER_REQUEST_BODY_SIZE,
                    "By",
                    "Size of HTTP server request bodies.",
                ),
                &SIZES,
            ),
            response_size: meter.u64_histogram(
                spec(
                    HTTP_SERVER_RESPONSE_BODY_SIZE,
                    "By",
                    "Size of HTTP server response bodies.",
                ),
                &SIZES,
            ),
            of_active: Known::new(),
            of_ended: Known::new(),
        }
    }

    pub(super) fn started(&self, kind: Kind) {
        let make = || self.active.bind(&of_active(kind));
        self.of_active
            .with(&Active::of(kind), make, |series| series.add(1));
    }

    pub(super) fn ended(&self, ended: &Ended<'_>, measured: &Measured) {
        let make = || self.series(ended);
        self.of_ended
            .with(ended, make, |series| series.record(measured));
    }

    fn series(&self, ended: &Ended<'_>) -> Series {
        let attributes = of_ended(ended);
        Series {
            active: self.active.bind(&of_active(ended.kind)),
            duration: self.duration.bind(&attributes),
            request_size: self.request_size.bind(&attributes),
            response_size: self.response_size.bind(&attributes),
        }
    }
}

impl Series {
    fn record(&self, measured: &Measured) {
        self.active.add(-1);
        self.duration.record(measured.duration.as_secs_f64());
        if let Some(received) = measured.received {
            self.request_size.record(received);
        }
        if let Some(sent) = measured.sent {
            self.response_size.record(sent);
        }
    }
}

/// What a request is while it is active.
#[derive(Clone, Copy)]
pub(super) struct Active {
    method: &'static str,
    scheme: &'static str,
}

impl Active {
    fn of(kind: Kind) -> Active {
        Active {
            method: kind.method.attribute(),
            scheme: kind.scheme,
        }
    }
}

impl PartialEq for Active {
    fn eq(&self, other: &Active) -> bool {
        is_same(self.method, other.method) && is_same(self.scheme, other.scheme)
    }
}

impl Key for Active {
    type Kept = Active;

    fn kept(&self) -> Active {
        *self
    }

    fn number(&self) -> u64 {
        let mixed = Mixed::NOTHING.place(self.method);
        mixed.word(self.scheme.len() as u64).number()
    }
}

/// What [`Ended`] was, kept.
pub(super) struct KeptEnd {
    active: Active,
    version: Option<&'static str>,
    status: Option<u16>,
    route: Option<Route>,
    error: Option<StringValue>,
    outcome: Option<&'static str>,
}

impl PartialEq<KeptEnd> for Ended<'_> {
    fn eq(&self, kept: &KeptEnd) -> bool {
        self.status == kept.status
            && self.route == kept.route.as_ref()
            && Active::of(self.kind) == kept.active
            && is_same_or_none(self.kind.version, kept.version)
            && self.error == kept.error.as_ref()
            && self.outcome == kept.outcome
    }
}

impl Key for Ended<'_> {
    type Kept = KeptEnd;

    fn kept(&self) -> KeptEnd {
        KeptEnd {
            active: Active::of(self.kind),
            version: self.kind.version,
            status: self.status,
            route: self.route.cloned(),
            error: self.error.cloned(),
            outcome: self.outcome,
        }
    }

    /// Of what differs most. The rest is compared.
    fn number(&self) -> u64 {
        let status = self.status.map_or(0, u64::from);
        let method = self.kind.method.attribute();
        let mixed = Mixed::NOTHING.word(status).place(method);
        mixed.text(self.route.map_or("", Route::as_str)).number()
    }
}

fn is_same_or_none(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

fn of_active(kind: Kind) -> [KeyValue; 2] {
    [
        KeyValue::new(HTTP_REQUEST_METHOD, kind.method.attribute()),
        KeyValue::new(URL_SCHEME, kind.scheme),
    ]
}

fn of_ended(ended: &Ended<'_>) -> Vec<KeyValue> {
    let mut attributes = of_active(ended.kind).to_vec();
    let status = ended.status.map(i64::from);
    attributes.extend(status.map(|status| KeyValue::new(HTTP_RESPONSE_STATUS_CODE, status)));
    let text = |key: &'static str, value: Option<StringValue>| Some(KeyValue::new(key, value?));
    let fixed = |key: &'static str, value: Option<&'static str>| Some(KeyValue::new(key, value?));
    let more = [
        text(HTTP_ROUTE, ended.route.map(Route::value)),
        text(ERROR_TYPE, ended.error.cloned()),
        fixed(NETWORK_PROTOCOL_VERSION, ended.kind.version),
        fixed(OUTCOME, ended.outcome),
    ];
    attributes.extend(more.into_iter().flatten());
    attributes
}
