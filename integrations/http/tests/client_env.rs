//! Which variables configure the layer of a client? Each test is a process of its own: this program
//! again, with them set.

#[path = "support/child.rs"]
mod child;
#[path = "support/client.rs"]
mod support;

use child::{assert_one_warning, in_child};
use support::{Kept, Server, answer, attribute, run};
use telemetry_rt_http::{Client, ClientLayerBuilder};

async fn ask(layer: ClientLayerBuilder, path: &str) {
    let server = Server::start(|_| {
        let mut answer = answer(200, "hello");
        answer
            .headers_mut()
            .insert("x-answer", "42".parse().unwrap());
        answer
    })
    .await;
    let client = Client::builder().telemetry(layer.build()).build().unwrap();
    let request = client.get(server.url(path));
    let request = request.header("x-mine", "1").header("x-other", "2");
    let response = request.send().await.unwrap();
    response.into_body().bytes().await.unwrap();
}

#[test]
fn headers_and_methods_are_those_that_the_variables_list() {
    let errors = in_child(
        "in_child_headers_and_methods",
        &[
            (
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST",
                "x-.*,wrong(",
            ),
            (
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE",
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
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST",
            "wrong(",
            "left out",
        ],
    );
}

#[test]
#[ignore = "run by the test above, with variables"]
fn in_child_headers_and_methods() {
    run(|| async {
        let kept = Kept::new();
        ask(kept.layer(), "/a").await;
        let span = kept.span();
        let value = |key| attribute(&span, key).unwrap();
        assert_eq!(value("http.request.header.x-mine"), "[\"[REDACTED]\"]");
        assert_eq!(value("http.request.header.x-other"), "[\"2\"]");
        assert_eq!(value("http.response.header.x-answer"), "[\"42\"]");
        assert_eq!(value("http.request.method"), "_OTHER");
        assert_eq!(value("http.request.method_original"), "GET");
    });
}

#[test]
fn urls_are_excluded_by_the_variable_of_the_key_or_by_the_general_one() {
    let general = ("OTEL_RUST_HTTP_EXCLUDED_URLS", "/general$");
    in_child("in_child_excluded_by_the_general_one", &[general]);
    in_child(
        "in_child_excluded_by_the_key",
        &[general, ("OTEL_RUST_SHOP_EXCLUDED_URLS", "/shop$")],
    );
}

#[test]
#[ignore = "run by the test above, with variables"]
fn in_child_excluded_by_the_general_one() {
    run(|| async {
        assert_eq!(seen_of("/general").await, 0);
        assert_eq!(seen_of("/shop").await, 1);
    });
}

#[test]
#[ignore = "run by the test above, with variables"]
fn in_child_excluded_by_the_key() {
    run(|| async {
        assert_eq!(seen_of("/general").await, 1);
        assert_eq!(seen_of("/shop").await, 0);
    });
}

async fn seen_of(path: &str) -> usize {
    let kept = Kept::new();
    ask(kept.layer().excluded_urls_key("shop"), path).await;
    kept.spans().len()
}
