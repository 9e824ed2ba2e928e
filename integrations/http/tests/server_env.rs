//! Which variables configure a layer? Each test is a process of its own: this program again, with them
//! set.

#[path = "support/child.rs"]
mod child;
#[path = "support/server.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use child::{assert_one_warning, in_child};
use http::Request;
use support::{Seen, attribute, get, read};
use tower::ServiceExt;

fn ask(seen: &Seen, builder: telemetry_rt_http::ServerLayerBuilder, request: Request<Body>) {
    let answer = || async { [("x-answer", "42")] };
    let router = Router::new()
        .route("/{name}", on_get(answer))
        .layer(builder.build());
    seen.runtime()
        .block_on(async { read(router.oneshot(request).await.unwrap()).await });
}

#[test]
fn headers_and_methods_are_those_that_the_variables_list() {
    let errors = in_child(
        "in_child_headers_and_methods",
        &[
            (
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
                "x-.*,wrong(",
            ),
            (
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
                "x-answer",
            ),
            (
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS",
                "x-mine",
            ),
            ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "POST"),
        ],
    );
    assert_one_warning(
        &errors,
        &[
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
            "wrong(",
            "left out",
        ],
    );
}

#[test]
#[ignore = "run by the test above, with variables"]
fn in_child_headers_and_methods() {
    let seen = Seen::new();
    let request = Request::get("/a")
        .header("x-mine", "1")
        .header("x-other", "2");
    ask(&seen, seen.builder(), request.body(Body::empty()).unwrap());
    let span = seen.span();
    let value = |key| attribute(&span, key).unwrap();
    assert_eq!(value("http.request.header.x-mine"), "[\"[REDACTED]\"]");
    assert_eq!(value("http.request.header.x-other"), "[\"2\"]");
    assert_eq!(value("http.response.header.x-answer"), "[\"42\"]");
    assert_eq!(value("http.request.method"), "_OTHER");
    assert_eq!(value("http.request.method_original"), "GET");
}

#[test]
fn urls_are_excluded_by_the_variable_of_the_key_or_by_the_general_one() {
    let general = ("OTEL_RUST_HTTP_EXCLUDED_URLS", "^/general");
    in_child("in_child_excluded_by_the_general_one", &[general]);
    in_child(
        "in_child_excluded_by_the_key",
        &[general, ("OTEL_RUST_SHOP_EXCLUDED_URLS", "^/shop")],
    );
}

#[test]
#[ignore = "run by the test above, with variables"]
fn in_child_excluded_by_the_general_one() {
    assert_eq!(seen_of("/general"), 0);
    assert_eq!(seen_of("/shop"), 1);
}

#[test]
#[ignore = "run by the test above, with variables"]
fn in_child_excluded_by_the_key() {
    assert_eq!(seen_of("/general"), 1);
    assert_eq!(seen_of("/shop"), 0);
}

fn seen_of(path: &str) -> usize {
    let seen = Seen::new();
    ask(&seen, seen.builder().excluded_urls_key("shop"), get(path));
    seen.spans().len()
}
