//! What does the span of a request say, how does its context travel, and when does it end?

#[path = "support/client.rs"]
mod support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use support::{Kept, Server, answer, attribute, is_error, raw, read_head, run, sent_id};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt_http::{Body, Client, Error, ExcludedUrls, HeaderList};
use tower::{Layer, ServiceExt, service_fn};

const OUTCOME: &str = "telemetry_rt.http.outcome";

/// All attributes in order, without what differs from run to run.
fn attributes(span: &SpanData, server: &Server) -> Vec<String> {
    let port = server.address.port().to_string();
    let mut attributes: Vec<_> = span
        .attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value).replace(&port, "PORT"))
        .collect();
    attributes.sort();
    attributes
}

/// Sends a request and reads the answer to its end.
async fn get(client: &Client, url: String) {
    let response = client.get(url).send().await.unwrap();
    response.into_body().bytes().await.unwrap();
}

#[test]
fn a_request_says_what_the_conventions_ask_for() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "hello")).await;
        let client = kept.client().build().unwrap();
        let request = client.post(server.url("/orders/7?a=b")).body("text");
        let response = request.template("/orders/{id}").send().await.unwrap();
        assert!(kept.spans().is_empty());
        response.into_body().bytes().await.unwrap();
        let span = kept.span();
        assert_eq!(span.name, "POST /orders/{id}");
        assert_eq!(span.span_kind, SpanKind::Client);
        assert_eq!(span.status, Status::Unset);
        assert_eq!(
            attributes(&span, &server),
            [
                "http.request.body.size=4",
                "http.request.method=POST",
                "http.response.body.size=5",
                "http.response.status_code=200",
                "network.peer.address=127.0.0.1",
                "network.peer.port=PORT",
                "network.protocol.version=1.1",
                "server.address=127.0.0.1",
                "server.port=PORT",
                "url.full=http://127.0.0.1:PORT/orders/7?a=b",
                "url.scheme=http",
                "url.template=/orders/{id}",
            ]
        );
    });
}

#[test]
fn a_method_that_nobody_knows_is_no_name() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let client = kept.client().build().unwrap();
        let method = Method::from_bytes(b"BREW").unwrap();
        client.method(method, server.url("/")).send().await.unwrap();
        let span = kept.span();
        assert_eq!(span.name, "HTTP");
        assert_eq!(attribute(&span, "http.request.method").unwrap(), "_OTHER");
        assert_eq!(
            attribute(&span, "http.request.method_original").unwrap(),
            "BREW"
        );
    });
}

#[test]
fn the_context_on_the_wire_is_that_of_the_span() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let client = kept.client().build().unwrap();
        let parent = kept.tracers.tracer("test").start("parent");
        let parent =
            Context::current_with_span(parent).with_baggage([KeyValue::new("basket", "7")]);
        let sending = {
            let _current = parent.clone().attach();
            // What is there of another context is replaced.
            let request = client
                .get(server.url("/"))
                .header("traceparent", "00-1-2-3");
            opentelemetry::context::FutureExt::with_current_context(request.send())
        };
        sending.await.unwrap();
        let (span, seen) = (kept.span(), &server.seen()[0]);
        let parent = parent.span().span_context().clone();
        assert_eq!(span.parent_span_id, parent.span_id());
        assert_eq!(span.span_context.trace_id(), parent.trace_id());
        assert_eq!(seen.headers.get_all("traceparent").iter().count(), 1);
        assert_eq!(sent_id(&seen.headers), span.span_context.span_id());
        assert_eq!(seen.headers["baggage"], "basket=7");
    });
}

#[test]
fn context_goes_only_where_it_may() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let layer = kept.layer().propagate_to(|url| url.path() == "/friend");
        let client = Client::builder().telemetry(layer.build()).build().unwrap();
        get(&client, server.url("/friend")).await;
        get(&client, server.url("/stranger")).await;
        let carried = |seen: &support::Seen| seen.headers.contains_key("traceparent");
        assert_eq!(
            server.seen().iter().map(carried).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(kept.spans().len(), 2);
    });
}

#[test]
fn excluded_urls_and_suppressed_requests_pass_untouched() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let layer = kept
            .layer()
            .excluded_urls(ExcludedUrls::parse("^/health").unwrap());
        let client = Client::builder().telemetry(layer.build()).build().unwrap();
        get(&client, server.url("/health")).await;
        let sending = {
            let _quiet = Context::enter_telemetry_suppressed_scope();
            client.get(server.url("/")).send()
        };
        sending.await.unwrap();
        assert!(kept.spans().is_empty());
        assert_eq!(kept.metric("http.client.request.duration"), [""; 0]);
        assert!(
            server
                .seen()
                .iter()
                .all(|seen| !seen.headers.contains_key("traceparent"))
        );
        get(&client, server.url("/")).await;
        assert_eq!(kept.spans().len(), 1);
    });
}

#[test]
fn errors_of_either_side_are_errors() {
    run(|| async {
        for (status, failed) in [(200, false), (304, false), (404, true), (500, true)] {
            let kept = Kept::new();
            let server = Server::start(move |_| answer(status, "")).await;
            get(&kept.client().build().unwrap(), server.url("/")).await;
            let span = kept.span();
            assert_eq!(is_error(&span), failed, "{status}");
            let error_type = failed.then(|| status.to_string());
            assert_eq!(attribute(&span, "error.type"), error_type);
        }
    });
}

#[test]
fn hooks_see_the_live_span() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let layer = kept
            .layer()
            .span_details(|request| {
                let name = format!("{} shop", request.method);
                let more = [
                    KeyValue::new("a", 1),
                    KeyValue::new("server.address", "shop"),
                ];
                (name, more.to_vec())
            })
            .request_hook(|span, request| {
                span.set_attribute(KeyValue::new("path", request.uri.path().to_owned()));
            })
            .response_hook(|span, outcome| {
                let seen = match outcome {
                    Ok(response) => response.status.to_string(),
                    Err(failure) => {
                        assert!(failure.downcast_ref::<Error>().unwrap().is_connect());
                        failure.error_type().to_owned()
                    }
                };
                span.set_attribute(KeyValue::new("outcome", seen));
            });
        let client = Client::builder().telemetry(layer.build()).build().unwrap();
        get(&client, server.url("/p")).await;
        let (_socket, refusing) = support::refusing();
        client
            .get(format!("http://{refusing}/q"))
            .send()
            .await
            .unwrap_err();
        for (span, path, outcome) in [(0, "/p", "200 OK"), (1, "/q", "connection_refused")] {
            let span = &kept.spans()[span];
            assert_eq!(span.name, "GET shop");
            assert_eq!(attribute(span, "a").unwrap(), "1");
            assert_eq!(attribute(span, "server.address").unwrap(), "shop");
            assert_eq!(attribute(span, "path").unwrap(), path);
            assert_eq!(attribute(span, "outcome").unwrap(), outcome);
        }
    });
}

#[test]
fn hooks_that_panic_change_nothing_of_the_request() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "hello")).await;
        let layer = kept
            .layer()
            .span_details(|_| -> (String, Vec<KeyValue>) { panic!("details") })
            .request_hook(|_, _| panic!("request"))
            .response_hook(|_, _| panic!("response"))
            .propagate_to(|_| panic!("propagate"));
        let client = Client::builder().telemetry(layer.build()).build().unwrap();
        let response = client.get(server.url("/")).send().await.unwrap();
        assert_eq!(response.into_body().text().await.unwrap(), "hello");
        assert_eq!(kept.span().name, "GET");
        assert!(!server.seen()[0].headers.contains_key("traceparent"));
    });
}

#[test]
fn captured_headers_are_attributes_and_credentials_are_not() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| {
            let mut answer = answer(200, "");
            answer
                .headers_mut()
                .insert("x-served", "by-me".parse().unwrap());
            answer
                .headers_mut()
                .insert("set-cookie", "sesame".parse().unwrap());
            answer
        })
        .await;
        let list = HeaderList::parse("x-.*, authorization, set-cookie").unwrap();
        let layer = kept
            .layer()
            .captured_request_headers(list.clone())
            .captured_response_headers(list);
        let client = Client::builder().telemetry(layer.build()).build().unwrap();
        let request = client.get(server.url("/"));
        let request = request
            .header("x-asked", "by-you")
            .header("authorization", "sesame");
        request.send().await.unwrap();
        let captured: Vec<_> = attributes(&kept.span(), &server)
            .into_iter()
            .filter(|attribute| attribute.contains(".header."))
            .collect();
        assert_eq!(
            captured,
            [
                "http.request.header.authorization=[\"[REDACTED]\"]",
                "http.request.header.x-asked=[\"by-you\"]",
                "http.response.header.set-cookie=[\"[REDACTED]\"]",
                "http.response.header.x-served=[\"by-me\"]",
            ]
        );
        assert!(!kept.everything().contains("sesame"));
    });
}

#[test]
fn a_request_that_is_given_up_is_cancelled_and_no_error() {
    run(|| async {
        let kept = Kept::new();
        let gone = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&gone);
        let address = raw(move |mut stream, _| {
            let gone = Arc::clone(&counted);
            async move {
                read_head(&mut stream).await;
                // Until the client closes the connection.
                drop(stream.read(&mut [0; 1]).await);
                gone.fetch_add(1, SeqCst);
            }
        })
        .await;
        let client = kept.client().build().unwrap();
        let sending = client.get(format!("http://{address}/")).send();
        let given_up = telemetry_rt::time::timeout(Duration::from_millis(50), sending).await;
        assert!(given_up.is_err());
        let span = kept.span();
        assert_eq!(attribute(&span, OUTCOME).unwrap(), "cancelled");
        assert!(!is_error(&span));
        assert_eq!(attribute(&span, "error.type"), None);
        while gone.load(SeqCst) == 0 {
            telemetry_rt::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_body_that_is_not_read_is_no_error() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "hello")).await;
        let client = kept.client().build().unwrap();
        drop(client.get(server.url("/")).send().await.unwrap());
        let span = kept.span();
        assert_eq!(attribute(&span, OUTCOME).unwrap(), "body_unread");
        assert!(!is_error(&span));
        assert_eq!(attribute(&span, "http.response.body.size"), None);
    });
}

#[test]
fn a_response_without_a_body_ends_with_its_head() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|seen| match seen.method == Method::HEAD {
            true => answer(200, "hello"),
            false => answer(204, ""),
        })
        .await;
        let client = kept.client().build().unwrap();
        let mut responses = Vec::new();
        for method in [Method::HEAD, Method::DELETE] {
            responses.push(client.method(method, server.url("/")).send().await.unwrap());
        }
        assert_eq!(kept.spans().len(), 2);
        for span in kept.spans() {
            assert_eq!(attribute(&span, OUTCOME), None);
            assert_eq!(attribute(&span, "http.response.body.size"), None);
            assert_eq!(attribute(&span, "http.request.body.size"), None);
        }
    });
}

#[test]
fn a_connection_that_becomes_something_else_ends_the_span_with_the_head() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(&word).await.unwrap();
        })
        .await;
        let client = kept.client().build().unwrap();
        let request = client.get(format!("http://{address}/"));
        let request = request
            .header("upgrade", "echo")
            .header("connection", "upgrade");
        let response = request.send().await.unwrap();
        let span = kept.span();
        assert_eq!(
            attribute(&span, "http.response.status_code").unwrap(),
            "101"
        );
        assert_eq!(attribute(&span, OUTCOME), None);
        let upgraded = hyper::upgrade::on(response).await.unwrap();
        let mut stream = hyper_util::rt::TokioIo::new(upgraded);
        stream.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
    });
}

#[test]
fn a_streamed_body_is_measured_and_has_the_context_of_its_request() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let client = kept.client().build().unwrap();
        let tracer = kept.tracers.tracer("test");
        let pieces = futures_util::stream::iter(["one", "three"]);
        let pieces = futures_util::StreamExt::map(pieces, move |piece| {
            // A span that is made while the body is read is below the request.
            drop(tracer.start("piece"));
            Ok::<_, io::Error>(Frame::data(Bytes::from_static(piece.as_bytes())))
        });
        let body = Body::new(StreamBody::new(pieces));
        client
            .post(server.url("/"))
            .body(body)
            .send()
            .await
            .unwrap();
        kept.until(3).await;
        let spans = kept.spans();
        let request = spans.iter().find(|span| span.name == "POST").unwrap();
        assert_eq!(attribute(request, "http.request.body.size").unwrap(), "8");
        let id = request.span_context.span_id();
        let below = spans
            .iter()
            .filter(|span| span.parent_span_id == id)
            .count();
        assert_eq!(below, 2);
    });
}

#[test]
fn the_span_is_current_while_the_service_works_and_while_the_name_is_looked_up() {
    use telemetry_rt::testing::capture;
    let kept = Kept::new();
    let inner = kept.clone();
    let captured = capture(async move {
        let server = Server::start(|_| answer(200, "")).await;
        let client = inner.client().build().unwrap();
        let url = format!("http://localhost:{}/", server.address.port());
        get(&client, url).await;
    });
    let request = kept.span().span_context.span_id();
    let below: Vec<_> = captured
        .spans()
        .iter()
        .filter(|span| span.parent_span_id == request)
        .collect();
    // The lookup, and not the task of the connection, which outlives the request.
    assert_eq!(below.len(), 1, "{}", captured.tree());
    assert_eq!(attribute(below[0], "task.type").unwrap(), "blocking");
    assert!(
        !captured.tree().contains("http client connection"),
        "{}",
        captured.tree()
    );
}

#[test]
fn any_service_can_be_recorded() {
    run(|| async {
        let kept = Kept::new();
        let layer = kept.layer().build();
        let url = "https://somebody@shop.example/a?token=t";
        let request = || Request::get(url).body(Empty::<Bytes>::new()).unwrap();

        let works = layer.layer(service_fn(|request: Request<Empty<Bytes>>| async move {
            assert!(request.headers().contains_key("traceparent"));
            let current = Context::current().span().span_context().span_id();
            assert_eq!(sent_id(request.headers()), current);
            Ok::<_, io::Error>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }));
        let response = works.oneshot(request()).await.unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "hello"
        );

        type Failing = Result<Response<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>>;
        let fails = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            Failing::Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
        }));
        fails.oneshot(request()).await.unwrap_err();

        let fails = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            Err::<Response<Empty<Bytes>>, _>(std::fmt::Error)
        }));
        fails.oneshot(request()).await.unwrap_err();

        let spans = kept.spans();
        assert_eq!(attribute(&spans[0], "server.port").unwrap(), "443");
        assert_eq!(
            attribute(&spans[0], "http.response.body.size").unwrap(),
            "5"
        );
        assert_eq!(
            attribute(&spans[1], "error.type").unwrap(),
            "connection_reset"
        );
        assert_eq!(
            attribute(&spans[2], "error.type").unwrap(),
            "core::fmt::Error"
        );
        assert!(!kept.everything().contains("somebody"));
    });
}
