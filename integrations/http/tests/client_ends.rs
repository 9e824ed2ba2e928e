//! Whichever way a request ends, it is one finished span and one duration, and no request is in flight
//! after it.

#[path = "support/client.rs"]
mod support;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{Empty, StreamBody};
use hyper::body::Frame;
use support::{Kept, Server, answer, attribute, is_error, raw, read_head, run};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::time::timeout;
use telemetry_rt_http::Body;
use tower::{Layer, Service, service_fn};

const OUTCOME: &str = "telemetry_rt.http.outcome";

type Nothing = Empty<Bytes>;

#[track_caller]
fn assert_one_end(kept: &Kept) {
    kept.span();
    let durations = kept.metric("http.client.request.duration");
    assert!(
        durations.len() == 1 && durations[0].ends_with(" 1"),
        "{durations:?}"
    );
    for active in kept.metric("http.client.active_requests") {
        assert!(active.ends_with(" 0"), "{active}");
    }
}

fn request() -> Request<Nothing> {
    Request::get("http://shop/").body(Nothing::new()).unwrap()
}

#[test]
fn a_call_that_nobody_polls_is_cancelled_and_a_request_that_nobody_polls_is_none() {
    run(|| async {
        let kept = Kept::new();
        drop(kept.client().build().unwrap().get("http://shop/").send());
        assert!(kept.spans().is_empty());
        let never =
            service_fn(|_: Request<Nothing>| pending::<Result<Response<Nothing>, Infallible>>());
        drop(kept.layer().build().layer(never).call(request()));
        assert_eq!(attribute(&kept.span(), OUTCOME).unwrap(), "cancelled");
        assert_one_end(&kept);
    });
}

#[test]
fn a_service_that_panics_leaves_no_span_open() {
    run(|| async {
        let at_once =
            |_: Request<Nothing>| -> std::future::Ready<Result<Response<Nothing>, Infallible>> {
                panic!("in the call")
            };
        let later = |_: Request<Nothing>| async {
            ready(()).await;
            panic!("in the future");
            #[expect(unreachable_code, reason = "it says what the future would give")]
            Ok::<_, Infallible>(Response::new(Nothing::new()))
        };
        let kept = Kept::new();
        let mut service = kept.layer().build().layer(service_fn(at_once));
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(service.call(request()))));
        assert!(panicked.is_err());
        assert_one_end(&kept);
        let kept = Kept::new();
        let mut service = kept.layer().build().layer(service_fn(later));
        let panicked = AssertUnwindSafe(service.call(request()))
            .catch_unwind()
            .await;
        assert!(panicked.is_err());
        assert_one_end(&kept);
    });
}

#[test]
fn a_request_that_is_dropped_within_a_handshake_has_ended() {
    run(|| async {
        let address = raw(|mut stream, _| async move {
            // Never an answer.
            while stream.read_u8().await.is_ok() {}
        })
        .await;
        for url in [format!("https://{address}/"), format!("http://{address}/")] {
            let kept = Kept::new();
            let client = kept.client().build().unwrap();
            let sending = client.get(url).send();
            let elapsed = timeout(Duration::from_millis(100), sending).await;
            if cfg!(feature = "tls") {
                assert!(elapsed.is_err());
                assert_eq!(attribute(&kept.span(), OUTCOME).unwrap(), "cancelled");
            }
            assert_one_end(&kept);
        }
    });
}

#[test]
fn a_runtime_that_shuts_down_ends_the_requests_in_flight() {
    let kept = Kept::new();
    let of_runtime = kept.clone();
    run(|| async move {
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            pending::<()>().await;
        })
        .await;
        let client = of_runtime.client().build().unwrap();
        let sending = client.get(format!("http://{address}/")).send();
        telemetry_rt::spawn(sending);
        while of_runtime.metric("http.client.open_connections").is_empty() {
            telemetry_rt::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(of_runtime.spans().is_empty());
    });
    assert_one_end(&kept);
}

fn streamed<E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static>(
    next: impl Fn() -> Result<Frame<Bytes>, E> + Send + 'static,
) -> Body {
    let stream = futures_util::stream::unfold(0, move |sent| {
        let piece = match sent {
            0 => Ok(Frame::data(Bytes::from_static(b"one"))),
            _ => next(),
        };
        ready(Some((piece, sent + 1)))
    });
    Body::new(StreamBody::new(stream))
}

#[test]
fn a_body_that_fails_or_panics_on_its_way_ends_its_request() {
    run(|| async {
        for h2 in [false, true] {
            for panics in [false, true] {
                let kept = Kept::new();
                let server = Server::start(|_| answer(200, "")).await;
                let builder = kept.client();
                let builder = if h2 { builder.http2_only() } else { builder };
                let client = builder.build().unwrap();
                let body = streamed(move || match panics {
                    true => panic!("no paper"),
                    false => Err("no paper"),
                });
                let request = client.post(server.url("/")).body(body).send();
                let failed = timeout(Duration::from_secs(10), request).await;
                let failed = failed.expect("it does not hang").unwrap_err();
                assert!(is_error(&kept.span()));
                assert!(failed.is_body(), "h2 {h2}, panics {panics}: {failed:?}");
                let error_type = attribute(&kept.span(), "error.type");
                assert_eq!(error_type.unwrap(), "body");
                assert_one_end(&kept);
                // The client goes on.
                let response = client.get(server.url("/")).send().await.unwrap();
                assert_eq!(response.status(), 200);
            }
        }
    });
}

#[test]
fn a_connection_of_http2_that_says_farewell_is_replaced() {
    run(|| async {
        let address = raw(|mut stream, _| async move {
            // One answer to stream 1, and a farewell that says so: settings, headers with `:status`
            // 200, GOAWAY.
            stream
                .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
                .await
                .unwrap();
            let mut seen = Vec::new();
            // The preface, and the head of a frame of headers (type 1) of stream 1.
            while !seen
                .windows(9)
                .any(|frame| frame[3] == 1 && frame[5..] == [0, 0, 0, 1])
            {
                seen.push(stream.read_u8().await.unwrap());
            }
            let headers = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
            let farewell = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
            stream.write_all(&headers).await.unwrap();
            stream.write_all(&farewell).await.unwrap();
            stream.shutdown().await.unwrap();
            while stream.read_u8().await.is_ok() {}
        })
        .await;
        let kept = Kept::new();
        let client = kept.client().http2_only().build().unwrap();
        for _ in 0..3 {
            let url = format!("http://{address}/");
            let response = client.get(url).send().await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().bytes().await.unwrap();
            telemetry_rt::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(kept.spans().len(), 3);
    });
}
