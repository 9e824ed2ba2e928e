//! Which span does a request have?

#[path = "support/server.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::routing::{get as on_get, post};
use http::{Method, Request, StatusCode, Version};
use support::{Seen, attribute, get, read, shown};
use tower::ServiceExt;

/// Sends one request through a router and reads the answer.
fn ask(seen: &Seen, router: Router, request: Request<Body>) -> StatusCode {
    let router = router.layer(seen.layer());
    seen.runtime().block_on(async {
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        read(response).await;
        status
    })
}

fn items() -> Router {
    Router::new()
        .route("/items/{id}", on_get(|| async { "an item" }))
        .route(
            "/fail",
            on_get(|| async { StatusCode::SERVICE_UNAVAILABLE }),
        )
        .route(
            "/upload",
            post(|body: String| async move { body.len().to_string() }),
        )
}

#[test]
fn a_request_of_a_known_route() {
    let seen = Seen::new();
    let request = Request::get("/items/7?color=blue&sig=abc")
        .header("host", "shop.example:8080")
        .header("user-agent", "test/1")
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&seen, items(), request), 200);
    assert_eq!(
        shown(&seen.span()),
        "\
GET /items/{id} Server unset
  http.request.method=GET
  http.response.body.size=7
  http.response.status_code=200
  http.route=/items/{id}
  network.protocol.version=1.1
  server.address=shop.example
  server.port=8080
  url.path=/items/7
  url.query=color=blue&sig=REDACTED
  url.scheme=http
  user_agent.original=test/1
"
    );
    let scope = seen.span().instrumentation_scope;
    assert_eq!(
        scope.schema_url(),
        Some("https://opentelemetry.io/schemas/1.42.0")
    );
}

#[test]
fn a_request_of_no_route_is_named_by_its_method_alone_and_is_no_error() {
    let seen = Seen::new();
    let mut request = get("https://shop.example/nowhere");
    *request.version_mut() = Version::HTTP_2;
    assert_eq!(ask(&seen, items(), request), 404);
    assert_eq!(
        shown(&seen.span()),
        "\
GET Server unset
  http.request.method=GET
  http.response.status_code=404
  network.protocol.version=2
  server.address=shop.example
  server.port=443
  url.path=/nowhere
  url.scheme=https
"
    );
}

#[test]
fn an_answer_of_500_and_above_is_an_error_by_its_number() {
    let seen = Seen::new();
    assert_eq!(ask(&seen, items(), get("/fail")), 503);
    let text = shown(&seen.span());
    assert!(
        text.starts_with("GET /fail Server error \"\"\n  error.type=503\n"),
        "{text}"
    );
    assert!(!text.contains('*'), "{text}");
}

#[test]
fn a_method_that_is_not_known_is_other() {
    let seen = Seen::new();
    let mut request = get("/items/7");
    *request.method_mut() = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(ask(&seen, items(), request), 405);
    let span = seen.span();
    assert_eq!(span.name, "HTTP /items/{id}");
    assert_eq!(attribute(&span, "http.request.method").unwrap(), "_OTHER");
    assert_eq!(
        attribute(&span, "http.request.method_original").unwrap(),
        "BREW"
    );
}

#[test]
fn versions_are_numbers() {
    let versions = [
        (Version::HTTP_10, "1.0"),
        (Version::HTTP_11, "1.1"),
        (Version::HTTP_2, "2"),
        (Version::HTTP_3, "3"),
    ];
    for (version, number) in versions {
        let seen = Seen::new();
        let mut request = get("/items/7");
        *request.version_mut() = version;
        ask(&seen, items(), request);
        assert_eq!(
            attribute(&seen.span(), "network.protocol.version").unwrap(),
            number
        );
    }
}

#[test]
fn bodies_are_as_long_as_what_of_them_was_read() {
    let seen = Seen::new();
    let request = Request::post("/upload").body(Body::from("12345")).unwrap();
    ask(&seen, items(), request);
    let span = seen.span();
    assert_eq!(attribute(&span, "http.request.body.size").unwrap(), "5");
    assert_eq!(attribute(&span, "http.response.body.size").unwrap(), "1");
}

#[test]
fn what_a_client_says_is_kept_in_part_only() {
    let seen = Seen::new();
    let long = "x".repeat(20_000);
    let request = Request::get(format!("/{long}?{long}"))
        .header("user-agent", &long)
        .header("host", &long)
        .body(Body::empty())
        .unwrap();
    ask(&seen, items(), request);
    let span = seen.span();
    let lengths = [
        ("url.path", 4096),
        ("url.query", 4096),
        ("user_agent.original", 512),
        ("server.address", 255),
    ];
    for (key, length) in lengths {
        assert_eq!(attribute(&span, key).unwrap().len(), length, "{key}");
    }
}

#[test]
fn credentials_before_the_host_are_not_in_the_span() {
    let seen = Seen::new();
    ask(
        &seen,
        items(),
        get("http://user:secret@shop.example/items/7"),
    );
    let text = shown(&seen.span());
    assert!(text.contains("server.address=shop.example\n"), "{text}");
    assert!(
        !text.contains("secret") && !text.contains("user:"),
        "{text}"
    );
}
