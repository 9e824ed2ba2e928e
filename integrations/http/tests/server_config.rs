//! What can an application say of the layer: what is excluded, hooks, headers, routes.

#[path = "support/server.rs"]
mod support;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get as on_get, post};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;
use support::{Seen, attribute, get, read, shown};
use telemetry_rt_http::{ExcludedUrls, HeaderList, Received, Route, Sent, ServerLayerBuilder};
use tower::{Layer, ServiceExt, service_fn};

fn ask(seen: &Seen, router: Router, request: Request<Body>) -> Response<Bytes> {
    seen.runtime().block_on(async {
        let (head, body) = router.oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    })
}

fn plain(builder: ServerLayerBuilder) -> Router {
    Router::new()
        .route(
            "/items/{id}",
            on_get(|| async { [("x-answer", "42"), ("set-cookie", "a=b")] }),
        )
        .layer(builder.build())
}

#[test]
fn excluded_requests_and_all_that_they_do_have_no_telemetry() {
    let seen = Seen::new();
    let tracer = seen.tracers.tracer("app");
    let handler = move || async move {
        drop(tracer.start("own"));
        Context::current()
            .span()
            .span_context()
            .is_valid()
            .to_string()
    };
    let excluded = ExcludedUrls::parse("^/health,internal\\.example").unwrap();
    let router = Router::new()
        .route("/health", on_get(handler.clone()))
        .route("/other", on_get(handler))
        .layer(seen.builder().excluded_urls(excluded).build());
    ask(&seen, router.clone(), get("/health?full"));
    let internal = Request::get("/other")
        .header("host", "internal.example")
        .body(Body::empty());
    ask(&seen, router.clone(), internal.unwrap());
    assert_eq!(seen.spans().len(), 0);
    assert!(!seen.all_spans().iter().any(|span| span.name == "own"));
    assert_eq!(seen.counts(), (0, 0));
    assert_eq!(ask(&seen, router, get("/other")).body(), "true");
    assert_eq!(seen.span().name, "GET /other");
}

#[test]
fn an_application_names_the_span_and_describes_it() {
    let seen = Seen::new();
    let builder = seen.builder().span_details(|parts| {
        (
            format!("shop {}", parts.uri.path()),
            vec![KeyValue::new("shop.id", 7)],
        )
    });
    ask(&seen, plain(builder), get("/items/7"));
    let span = seen.span();
    assert_eq!(span.name, "shop /items/7");
    assert_eq!(attribute(&span, "shop.id").unwrap(), "7");
    assert_eq!(attribute(&span, "http.route").unwrap(), "/items/{id}");
}

#[test]
fn the_three_hooks_see_all_pieces_with_the_live_span() {
    let seen = Seen::new();
    let pieces = Arc::new(Mutex::new(Vec::<String>::new()));
    let note = || {
        let pieces = pieces.clone();
        move |text: String, is_live: bool| pieces.lock().push(format!("{text} {is_live}"))
    };
    let (asked, received, sent) = (note(), note(), note());
    let builder = seen
        .builder()
        .server_request_hook(move |span, parts| {
            span.set_attribute(KeyValue::new("hook.method", parts.method.to_string()));
            asked(format!("request {}", parts.uri), span.is_recording());
        })
        .client_request_hook(move |span, piece| match piece {
            Received::Data(length) => received(format!("received {length}"), span.is_recording()),
            Received::Trailers(trailers) => {
                received(format!("received {trailers:?}"), span.is_recording())
            }
            Received::End => received("received all".to_owned(), span.is_recording()),
            _ => {}
        })
        .client_response_hook(move |span, piece| match piece {
            Sent::Head(head) => sent(format!("head {}", head.status), span.is_recording()),
            Sent::Data(length) => sent(format!("sent {length}"), span.is_recording()),
            Sent::Trailers(trailers) => sent(format!("sent {trailers:?}"), span.is_recording()),
            Sent::End => sent("sent all".to_owned(), span.is_recording()),
            _ => {}
        });
    let echo = post(|body: Body| async { body });
    let router = Router::new().route("/", echo).layer(builder.build());
    let mut trailers = HeaderMap::new();
    trailers.insert("t", HeaderValue::from_static("1"));
    let frames = [
        Frame::data(Bytes::from_static(b"abc")),
        Frame::trailers(trailers),
    ];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    ask(
        &seen,
        router,
        Request::post("/").body(Body::new(body)).unwrap(),
    );
    assert_eq!(
        *pieces.lock(),
        [
            "request / true",
            "head 200 OK true",
            "received 3 true",
            "sent 3 true",
            "received {\"t\": \"1\"} true",
            "sent {\"t\": \"1\"} true",
            "received all true",
            "sent all true",
        ]
    );
    assert_eq!(attribute(&seen.span(), "hook.method").unwrap(), "POST");
}

#[test]
fn a_hook_that_panics_changes_nothing() {
    let seen = Seen::new();
    let builder = seen
        .builder()
        .span_details(|_| -> (&str, Vec<KeyValue>) { panic!("details") })
        .server_request_hook(|_, _| panic!("request"))
        .client_request_hook(|_, _| panic!("received"))
        .client_response_hook(|_, _| panic!("sent"))
        .route(|_| panic!("route"));
    let answer = ask(&seen, plain(builder), get("/items/7"));
    assert_eq!(answer.status(), 200);
    let span = seen.span();
    assert_eq!(span.name, "GET /items/{id}");
    assert_eq!(support::status(&span), "unset");
    assert_eq!(seen.counts(), (1, 0));
}

#[test]
fn captured_headers_are_attributes_and_credentials_are_not() {
    let seen = Seen::new();
    let builder = seen
        .builder()
        .captured_request_headers(HeaderList::parse("x-.*,authorization,cookie").unwrap())
        .captured_response_headers(HeaderList::parse("x-answer,set-cookie").unwrap())
        .shown_headers(HeaderList::parse("cookie").unwrap());
    let request = Request::get("/items/7")
        .header("x-one", "1")
        .header("X-One", "2")
        .header("x-auth-token", "secret")
        .header("authorization", "Basic secret")
        .header("cookie", "shown")
        .header("accept", "left out")
        .body(Body::empty())
        .unwrap();
    ask(&seen, plain(builder), request);
    let text = shown(&seen.span());
    for line in [
        "http.request.header.x-one=[\"1\",\"2\"]",
        "http.request.header.x-auth-token=[\"[REDACTED]\"]",
        "http.request.header.authorization=[\"[REDACTED]\"]",
        "http.request.header.cookie=[\"shown\"]",
        "http.response.header.x-answer=[\"42\"]",
        "http.response.header.set-cookie=[\"[REDACTED]\"]",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("secret") && !text.contains("left out"),
        "{text}"
    );
}

#[test]
fn further_query_keys_are_redacted() {
    let seen = Seen::new();
    let builder = seen.builder().redacted_query_keys(["code"]);
    ask(&seen, plain(builder), get("/items/7?code=1&password=2&q=3"));
    assert_eq!(
        attribute(&seen.span(), "url.query").unwrap(),
        "code=REDACTED&password=REDACTED&q=3"
    );
}

#[test]
fn a_route_is_found_by_a_function_or_in_the_extensions_of_request_or_response() {
    async fn with(builder: ServerLayerBuilder, in_request: bool, in_response: bool) {
        let service = builder
            .build()
            .layer(service_fn(move |_: Request<Body>| async move {
                let mut response = Response::new(Body::from("abc"));
                if in_response {
                    response.extensions_mut().insert(Route::new("/answered"));
                }
                Ok::<_, Infallible>(response)
            }));
        let mut request = get("/a/b");
        if in_request {
            request.extensions_mut().insert(Route::new("/asked"));
        }
        read(service.oneshot(request).await.unwrap()).await;
    }
    let seen = [Seen::new(), Seen::new(), Seen::new()];
    seen[0].runtime().block_on(async {
        let by_function = seen[0]
            .builder()
            .route(|_| Some(Route::new("/found".to_owned())));
        with(by_function, true, true).await;
        with(seen[1].builder(), true, true).await;
        with(seen[2].builder(), false, true).await;
    });
    for (seen, route) in seen.iter().zip(["/found", "/asked", "/answered"]) {
        let span = seen.span();
        assert_eq!(span.name, format!("GET {route}"));
        assert_eq!(attribute(&span, "http.route").unwrap(), route);
        assert!(seen.rows("http.server.request.duration")[0].contains(route));
    }
}

#[test]
fn forwarded_headers_are_believed_only_if_that_was_said() {
    for (are_believed, expected) in [
        (false, ["-", "http", "inner", "80"]),
        (true, ["10.0.0.9", "https", "outer", "443"]),
    ] {
        let seen = Seen::new();
        let request = Request::get("/items/7")
            .header("host", "inner")
            .header("forwarded", "for=10.0.0.9;proto=https;host=outer")
            .body(Body::empty())
            .unwrap();
        ask(
            &seen,
            plain(seen.builder().forwarded_headers(are_believed)),
            request,
        );
        let span = seen.span();
        let keys = [
            "client.address",
            "url.scheme",
            "server.address",
            "server.port",
        ];
        let values = keys.map(|key| attribute(&span, key).unwrap_or_else(|| "-".to_owned()));
        assert_eq!(values, expected);
    }
}

#[test]
fn of_two_layers_the_inner_one_tells_the_outer_one_what_it_knows() {
    let seen = Seen::new();
    let inner = seen
        .builder()
        .server_request_hook(|span, _| span.set_attribute(KeyValue::new("inner.asked", true)))
        .client_response_hook(|span, piece| {
            if let Sent::Head(_) = piece {
                span.set_attribute(KeyValue::new("inner.answered", true));
            }
        })
        .captured_response_headers(HeaderList::parse("x-answer").unwrap());
    let service = seen.layer().layer(plain(inner));
    seen.runtime().block_on(async {
        let response = service.oneshot(get("/items/7")).await.unwrap();
        read(response).await;
    });
    let span = seen.span();
    assert_eq!(span.name, "GET /items/{id}");
    for key in [
        "http.route",
        "inner.asked",
        "inner.answered",
        "http.response.header.x-answer",
    ] {
        assert!(attribute(&span, key).is_some(), "{key}");
    }
    assert_eq!(seen.counts(), (1, 0));
    assert!(seen.rows("http.server.request.duration")[0].contains("http.route=/items/{id}"));
}

/// How often a span has an attribute: the SDK keeps what is set twice twice.
fn times(span: &SpanData, key: &str) -> usize {
    let keys = span.attributes.iter().map(|attribute| &attribute.key);
    keys.filter(|found| found.as_str() == key).count()
}

#[test]
fn a_header_that_several_layers_capture_is_in_the_span_once() {
    let seen = Seen::new();
    let list = |list: &str| HeaderList::parse(list).unwrap();
    let outer = seen
        .builder()
        .captured_request_headers(list("x-both"))
        .build();
    let inner = seen
        .builder()
        .captured_request_headers(list("x-.*"))
        .build();
    let router = plain(seen.builder()).layer(inner.clone()).layer(inner);
    let service = outer.layer(router);
    seen.runtime().block_on(async {
        let request = Request::get("/items/7")
            .header("x-both", "1")
            .header("x-inner", "2")
            .body(Body::empty());
        read(service.oneshot(request.unwrap()).await.unwrap()).await;
    });
    for key in ["http.request.header.x-both", "http.request.header.x-inner"] {
        assert_eq!(times(&seen.span(), key), 1, "{key}");
    }
}

#[test]
fn what_an_application_says_of_a_request_replaces_what_is_known_of_it() {
    let seen = Seen::new();
    let builder = seen
        .builder()
        .span_details(|_| ("shop", vec![KeyValue::new("url.path", "/items/-")]));
    ask(&seen, plain(builder), get("/items/7"));
    assert_eq!(times(&seen.span(), "url.path"), 1);
    assert_eq!(attribute(&seen.span(), "url.path").unwrap(), "/items/-");
}

#[test]
fn credentials_before_a_forwarded_host_are_not_in_the_span() {
    for header in ["forwarded", "x-forwarded-host"] {
        let seen = Seen::new();
        let host = "user:secret@outer:81";
        let value = match header {
            "forwarded" => format!("host=\"{host}\""),
            _ => host.to_owned(),
        };
        let request = Request::get("/items/7").header(header, value);
        let request = request.body(Body::empty()).unwrap();
        ask(
            &seen,
            plain(seen.builder().forwarded_headers(true)),
            request,
        );
        let text = shown(&seen.span());
        assert!(text.contains("server.address=outer\n"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_name_that_the_inner_layer_gave_stays_when_the_route_is_found_after_it() {
    let seen = Seen::new();
    let inner = seen
        .builder()
        .span_details(|_| ("shop", Vec::new()))
        .build();
    let service = seen
        .layer()
        .layer(inner.layer(service_fn(|_: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Route::new("/answered"));
            Ok::<_, Infallible>(response)
        })));
    seen.runtime().block_on(async {
        read(service.oneshot(get("/a")).await.unwrap()).await;
    });
    let span = seen.span();
    assert_eq!(span.name, "shop");
    assert_eq!(attribute(&span, "http.route").unwrap(), "/answered");
}
