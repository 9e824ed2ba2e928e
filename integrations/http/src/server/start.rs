//! How does a request begin: is it seen at all, and whose child is it?

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http_body::Body;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use telemetry_rt::time::Instant;

use super::attributes::{Head, authority};
use super::config::{Config, RemoteParent};
use super::in_flight::{Handle, InFlight, Shared, Watch};
use super::layer::Settled;
use super::request_body;
use super::route::{self, Route};
use super::telemetry::Telemetry;
use crate::common::wire::extract;
use crate::connection::Connection;

/// Begins the span and the metrics of a request, unless it is excluded or has them already.
pub(super) fn admit(layer: &Settled, parts: &mut Parts, body: &(impl Body + 'static)) -> Watch {
    if let Some(Handle(outer)) = parts.extensions.get::<Handle>().cloned() {
        refine(&outer, layer, parts);
        return Watch::Through;
    }
    if is_excluded(&layer.config, parts) {
        return Watch::Quiet(Context::current().with_telemetry_suppressed());
    }
    if Context::is_current_telemetry_suppressed() {
        return Watch::Through;
    }
    let shared = Arc::new(begin(layer, parts, body));
    parts.extensions.insert(Handle(shared.clone()));
    Watch::Traced(InFlight::new(shared))
}

fn is_excluded(config: &Config, parts: &Parts) -> bool {
    if config.excluded.is_empty() {
        return false;
    }
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    config
        .excluded
        .has(&parts.uri, scheme, authority(parts).unwrap_or_default())
}

fn begin(layer: &Settled, parts: &Parts, body: &(impl Body + 'static)) -> Shared {
    let started = Instant::now();
    let telemetry = layer.telemetry.current();
    let route = route_of(&layer.config, parts);
    let connection = parts.extensions.get::<Connection>();
    let head = Head::new(parts, &layer.config, route.as_ref(), connection);
    let (span, is_named) = describe(&layer.config, &head);
    let (parent, link) = parent(&layer.config, parts, &telemetry);
    let kind = head.kind;
    let context = start(span, parent, link, &telemetry);
    let shared = Shared {
        started,
        kind,
        context,
        is_named: AtomicBool::new(is_named),
        connection: connection.cloned(),
        has_no_body: parts.method == http::Method::HEAD,
        is_connect: parts.method == http::Method::CONNECT,
        route: route.map_or_else(OnceLock::new, OnceLock::from),
        is_measured: request_body::is_measured(body),
        announced: body.size_hint().exact(),
        received: AtomicU64::new(0),
        config: layer.config.clone(),
        adopted: OnceLock::new(),
        telemetry,
    };
    // Last, because a panic of the body's before this leaves nothing to count off.
    shared.telemetry.metrics.started(kind);
    shared
}

fn route_of(config: &Config, parts: &Parts) -> Option<Route> {
    match &config.route {
        Some(find) => config.hooks.guarded("route", || find(parts)).flatten(),
        None => None,
    }
    .or_else(|| route::left_in(&parts.extensions))
}

/// Name and attributes of the span, and whether the name is one that the application gave.
fn describe(config: &Config, head: &Head<'_>) -> (SpanBuilder, bool) {
    let mut attributes = head.attributes(config);
    let (name, is_named) = match config.hooks.details(head.parts) {
        Some((name, more)) => {
            // OTLP has each key once.
            attributes.retain(|known| more.iter().all(|told| told.key != known.key));
            attributes.extend(more);
            (name, true)
        }
        None => (head.span_name(), false),
    };
    let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
    (span.with_attributes(attributes), is_named)
}

/// The context that the span begins in, and what it is linked to.
fn parent(config: &Config, parts: &Parts, telemetry: &Telemetry) -> (Context, Option<Link>) {
    let trust = config
        .hooks
        .guarded("remote_parent_fn", || config.trust.of(parts));
    // Who decides by a function wants to be asked; if it has no answer nothing is believed.
    match trust.unwrap_or(RemoteParent::Ignore) {
        RemoteParent::Ignore => (Context::new(), None),
        RemoteParent::Continue => (extract(&parts.headers, &telemetry.dropped), None),
        RemoteParent::Link => {
            let remote = extract(&parts.headers, &telemetry.dropped);
            let span = remote.span().span_context().clone();
            (
                Context::new(),
                span.is_valid().then(|| Link::with_context(span)),
            )
        }
    }
}

fn start(span: SpanBuilder, parent: Context, link: Option<Link>, telemetry: &Telemetry) -> Context {
    let span = match link {
        Some(link) => span.with_links(vec![link]),
        None => span,
    };
    let span = telemetry.tracer.build_with_context(span, &parent);
    parent.with_span(span)
}

/// Adds to a request what only the inner of two layers knows.
fn refine(outer: &Shared, layer: &Settled, parts: &Parts) {
    let config = &layer.config;
    let span = outer.context.span();
    let mut attributes = captured_only_by(config, outer, parts);
    drop(outer.adopted.set(config.clone()));
    if let Some(route) = route_of(config, parts) {
        outer.found(route);
    }
    if let Some((name, more)) = config.hooks.details(parts) {
        outer.named(name);
        attributes.extend(more);
    }
    span.set_attributes(attributes);
    // The outer layer's context is current, unless another one was made so in between.
    config.hooks.request(&span, parts);
}

/// The headers of an inner layer's list without those that the span has by the lists before it: what
/// is set twice is there twice.
fn captured_only_by(inner: &Config, outer: &Shared, parts: &Parts) -> Vec<KeyValue> {
    let mut captured = Vec::new();
    inner.request_headers.append(&parts.headers, &mut captured);
    if captured.is_empty() {
        return captured;
    }
    let mut before = Vec::new();
    for config in [&*outer.config, outer.config()] {
        config.request_headers.append(&parts.headers, &mut before);
    }
    captured.retain(|one| before.iter().all(|there| there.key != one.key));
    captured
}
