//! What a layer was told, and how a request begins by it.

use std::sync::{Arc, OnceLock};

use http::Request;
use http::request::Parts;
use http_body::Body;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::metrics::Meter;
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};

use super::facts::Facts;
use super::hooks::Hooks;
use super::live::{Live, Sent};
use super::metrics::Metrics;
use crate::common::captured::CapturedHeaders;
use crate::common::excluded::ExcludedUrls;
use crate::common::instruments::scope;
use crate::common::redact::Redaction;
use crate::common::wire;

#[derive(Debug)]
pub(in crate::client) struct Settings {
    pub(super) excluded: ExcludedUrls,
    pub(super) request_headers: CapturedHeaders,
    pub(super) response_headers: CapturedHeaders,
    pub(super) redaction: Redaction,
    pub(super) hooks: Hooks,
    /// Given, or that of the runtime which sends the first request.
    pub(super) tracer: OnceLock<BoxedTracer>,
    pub(super) meter: Option<Meter>,
    pub(super) metrics: OnceLock<Metrics>,
}

impl Settings {
    fn tracer(&self) -> &BoxedTracer {
        self.tracer
            .get_or_init(|| telemetry_rt::otel::tracer(scope()))
    }

    pub(in crate::client) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| match &self.meter {
            Some(meter) => Metrics::new(meter),
            None => Metrics::new(&telemetry_rt::otel::meter(scope())),
        })
    }
}

impl Settings {
    /// Begins the span of a request, and has its context go along; `None` if the request is left out.
    pub(super) fn begin<B: Body>(
        self: &Arc<Settings>,
        request: Request<B>,
    ) -> (Request<B>, Option<Live>) {
        if Context::is_current_telemetry_suppressed() || self.excluded.contains(request.uri()) {
            return (request, None);
        }
        let (mut parts, body) = request.into_parts();
        let sent = Sent::of(&body, &mut parts);
        let live = self.begin_parts(&mut parts, sent);
        (Request::from_parts(parts, body), Some(live))
    }

    fn begin_parts(self: &Arc<Settings>, parts: &mut Parts, sent: Sent) -> Live {
        let facts = Facts::new(parts);
        let context = Context::current_with_span(self.span(parts, &facts));
        {
            let _current = context.clone().attach();
            self.hooks.on_request(&context.span(), parts);
        }
        if self.hooks.may_propagate(&parts.uri) {
            wire::inject(&context, &mut parts.headers, &self.metrics().dropped);
        }
        Live::new(Arc::clone(self), context, facts, sent)
    }

    fn span(&self, parts: &Parts, facts: &Facts) -> BoxedSpan {
        let details = self.hooks.details(parts);
        let mut attributes = facts.of_span(parts, &self.redaction);
        self.request_headers.append(&parts.headers, &mut attributes);
        let own = |attribute: &KeyValue| {
            let keys = details.attributes.iter().map(|own| &own.key);
            keys.into_iter().any(|key| *key == attribute.key)
        };
        attributes.retain(|attribute| !own(attribute));
        attributes.extend(details.attributes.iter().cloned());
        let tracer = self.tracer();
        let builder = tracer
            .span_builder(details.name.unwrap_or_else(|| facts.span_name()))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        tracer.build(builder)
    }
}
