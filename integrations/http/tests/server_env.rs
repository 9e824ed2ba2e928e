//! Which variables configure a layer? Each test is a process of its own: this program again, with them
//! set.

#[path = "support/server.rs"]
mod support;

use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use http::Request;
use support::{Seen, attribute, get, read};
use tower::ServiceExt;

/// Runs one of the tests below with these variables; what it wrote to standard error.
#[track_caller]
fn run(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("1 passed"), "{report}{errors}");
    errors
}

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
    let errors = run(
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
    let warning = errors
        .lines()
        .find(|line| line.starts_with("telemetry_rt: "))
        .unwrap();
    for part in [
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
        "wrong(",
        "left out",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
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
    run("in_child_excluded_by_the_general_one", &[general]);
    run(
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
