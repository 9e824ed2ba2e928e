//! What a layer was told, and how a request begins by it.

use std::sync::Arc;

use http::Request;
use http::request::Parts;
use http_body::Body;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};

use super::facts::Facts;
use super::hooks::Hooks;
use super::live::{Live, Sent};
use super::telemetry::Telemetry;
use crate::common::by_runtime::ByRuntime;
use crate::common::captured::CapturedHeaders;
use crate::common::excluded::ExcludedUrls;
use crate::common::redact::Redaction;
use crate::common::wire;

#[derive(Debug)]
pub(in crate::client) struct Settings {
    pub(super) excluded: ExcludedUrls,
    pub(super) request_headers: CapturedHeaders,
    pub(super) response_headers: CapturedHeaders,
    pub(super) redaction: Redaction,
    pub(super) hooks: Hooks,
    pub(super) telemetry: ByRuntime<Telemetry>,
}

impl Settings {
    pub(in crate::client) fn telemetry(&self) -> Arc<Telemetry> {
        self.telemetry.current()
    }

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
        let telemetry = self.telemetry();
        let span = self.span(&telemetry.tracer, parts, &facts);
        let context = Context::current_with_span(span);
        {
            let _current = context.clone().attach();
            self.hooks.request(&context.span(), parts);
        }
        match self.hooks.may_propagate(&parts.uri) {
            true => wire::inject(&context, &mut parts.headers, &telemetry.metrics.dropped),
            false => wire::strip(&mut parts.headers),
        }
        Live::new(Arc::clone(self), telemetry, context, facts, sent)
    }

    fn span(&self, tracer: &BoxedTracer, parts: &Parts, facts: &Facts) -> BoxedSpan {
        let mut attributes = facts.of_span(parts, &self.redaction);
        self.request_headers.append(&parts.headers, &mut attributes);
        let name = match self.hooks.details(parts) {
            Some((name, details)) => {
                replace(&mut attributes, details);
                name
            }
            None => facts.span_name(),
        };
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        tracer.build(builder)
    }
}

/// Adds attributes in place of those with the same keys: a span may have a key once.
fn replace(attributes: &mut Vec<KeyValue>, details: Vec<KeyValue>) {
    let is_replaced = |key| details.iter().any(|detail| detail.key == key);
    attributes.retain(|attribute| !is_replaced(attribute.key.clone()));
    attributes.extend(details);
}
