//! `/metrics` as a route of an axum `Router`, in a server that the program has anyway.

use axum::body::Body;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use telemetry_rt::otel::{self, Scrape};
use telemetry_rt::runtime::Handle;
use telemetry_rt::task;

/// Answers with the metrics of the runtime that serves the request, those of users included: in
/// OpenMetrics, which has exemplars with `trace_id` and `span_id`, or in the text format of
/// Prometheus, by the request's `Accept`. For GET and HEAD.
///
/// Nothing has to be exported for this. It is for a network whose members are trusted: whoever
/// reaches it learns the names of tasks.
///
/// Each scrape is a process named `scrape` on the blocking pool, because it may be long: the page has
/// 82 lines for each histogram series of the runtime, and callbacks of users run, too. The answer is
/// not packed; a `CompressionLayer` of `tower-http` packs it.
///
/// Outside of a telemetry_rt runtime the answer has the status 503.
///
/// ```
/// use axum::Router;
///
/// let app: Router = Router::new().route("/metrics", telemetry_rt_http::metrics());
/// ```
pub fn metrics<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    get(scrape)
}

async fn scrape(headers: HeaderMap) -> Response {
    let Ok(handle) = Handle::try_current() else {
        return refused("metrics are those of a telemetry_rt runtime, and this is none");
    };
    let accept = accepted(&headers);
    let source = otel::metrics(&handle);
    let scraping = task::Builder::new()
        .name("scrape")
        .spawn_blocking(move || source.scrape(Some(&accept)));
    match scraping.await {
        Ok(scrape) => page(scrape),
        Err(_) => refused("the runtime is shutting down"),
    }
}

/// All that the request accepts; what is no text asks for nothing that there is.
fn accepted(headers: &HeaderMap) -> String {
    let all = headers.get_all(ACCEPT).iter();
    let all: Vec<&str> = all.filter_map(|value| value.to_str().ok()).collect();
    all.join(",")
}

fn page(scrape: Scrape) -> Response {
    let mut response = Response::new(Body::from(scrape.body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(scrape.content_type));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(why: &'static str) -> Response {
    let mut response = Response::new(Body::from(why));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
