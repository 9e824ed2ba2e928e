//! Redirects and retries: what is sent again, with what, and how is it seen?

#[path = "support/client.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http_body_util::Full;
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer, TracerProvider};
use support::{
    Answer, Kept, Seen, Server, answer, attribute, is_error, redirect, refusing, run, sent_id,
};
use telemetry_rt_http::{Body, Client};

/// Answers by the path: `/n` leads to `/n-1`, and `/0` answers.
fn countdown(seen: &Seen) -> Answer {
    match seen.uri.path()[1..].parse::<u32>().unwrap() {
        0 => answer(200, "there"),
        n => redirect(302, format!("/{}", n - 1)),
    }
}

#[test]
fn each_hop_is_a_span_below_the_same_parent() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(countdown).await;
        let client = kept.client().build().unwrap();
        let tracer = kept.tracers.tracer("test");
        let parent = opentelemetry::Context::current_with_span(tracer.start("parent"));
        let sending = {
            let _current = parent.clone().attach();
            client.get(server.url("/2")).send()
        };
        // Polled where something else is current.
        let response = sending.await.unwrap();
        assert_eq!(response.into_body().text().await.unwrap(), "there");
        kept.until(3).await;
        let spans = kept.spans();
        let parent_id = parent.span().span_context().span_id();
        for (index, (span, seen)) in spans.iter().zip(server.seen()).enumerate() {
            assert_eq!(span.parent_span_id, parent_id);
            assert_eq!(span.span_context.span_id(), sent_id(&seen.headers));
            assert!(!is_error(span));
            let count = attribute(span, "http.request.resend_count");
            assert_eq!(count, (index > 0).then(|| index.to_string()));
            let path = format!("/{}", 2 - index);
            assert_eq!(attribute(span, "url.full").unwrap(), server.url(&path));
        }
        let statuses = spans
            .iter()
            .map(|span| attribute(span, "http.response.status_code").unwrap());
        assert_eq!(statuses.collect::<Vec<_>>(), ["302", "302", "200"]);
    });
}

#[test]
fn more_redirects_than_allowed_are_an_error_and_none_allowed_are_a_response() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(countdown).await;
        let client = kept.client().build().unwrap();
        assert_eq!(
            client.get(server.url("/10")).send().await.unwrap().status(),
            200
        );
        let failed = client.get(server.url("/11")).send().await.unwrap_err();
        assert!(failed.is_redirect());
        let what = format!("GET {}: more than 10 redirects", server.address);
        assert_eq!(failed.to_string(), what);
        let client = kept.client().redirects(0).build().unwrap();
        assert_eq!(
            client.get(server.url("/1")).send().await.unwrap().status(),
            302
        );
    });
}

#[test]
fn a_redirect_to_another_scheme_is_an_error() {
    run(|| async {
        let server = Server::start(|_| redirect(302, "ftp://files/")).await;
        let client = Kept::new().client().build().unwrap();
        let failed = client.get(server.url("/")).send().await.unwrap_err();
        assert!(
            failed
                .to_string()
                .contains("the scheme of the URL is `ftp`"),
            "{failed}"
        );
    });
}

#[test]
fn methods_and_bodies_change_as_the_standard_says() {
    run(|| async {
        let server = Server::start(|seen| match seen.uri.path() {
            "/end" => answer(200, ""),
            status => redirect(status[1..].parse().unwrap(), "/end"),
        })
        .await;
        let client = Kept::new().client().build().unwrap();
        for (status, method, body) in [
            (301, "GET", ""),
            (302, "GET", ""),
            (303, "GET", ""),
            (307, "POST", "text"),
            (308, "POST", "text"),
        ] {
            let url = server.url(&format!("/{status}"));
            let response = client.post(url).body("text").send().await.unwrap();
            assert_eq!(response.status(), 200);
            let seen = server.seen().pop().unwrap();
            assert_eq!(
                (seen.method.as_str(), &*seen.body),
                (method, body.as_bytes()),
                "{status}"
            );
        }
        // A stream cannot be sent twice: the redirect is the response.
        let streamed = Body::new(Full::new("text".into()));
        let response = client
            .post(server.url("/307"))
            .body(streamed)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 307);
    });
}

#[test]
fn credentials_stay_with_their_origin_and_do_not_come_back() {
    run(|| async {
        let other = Server::start(|seen| match seen.uri.path() {
            "/1" => redirect(302, "/2"),
            _ => answer(200, ""),
        })
        .await;
        let to = other.url("/1");
        let server = Server::start(move |seen| match seen.uri.path() {
            "/here" => redirect(302, "/there"),
            _ => redirect(302, &to),
        })
        .await;
        let client = Kept::new().client().build().unwrap();
        let request = client.get(server.url("/here"));
        let request = request
            .header(AUTHORIZATION, "Bearer b")
            .header(COOKIE, "c=d")
            .header(HOST, "shop.example")
            .header("x-harmless", "1");
        request.send().await.unwrap();
        for seen in server.seen() {
            assert_eq!(seen.headers[AUTHORIZATION], "Bearer b");
            assert_eq!(seen.headers[COOKIE], "c=d");
            assert_eq!(seen.headers[HOST], "shop.example");
        }
        assert_eq!(server.seen().len(), 2);
        // The second hop within the other origin has them no more than the first.
        for seen in other.seen() {
            assert!(!seen.headers.contains_key(AUTHORIZATION));
            assert!(!seen.headers.contains_key(COOKIE));
            assert_eq!(seen.headers[HOST], other.address.to_string());
            assert_eq!(seen.headers["x-harmless"], "1");
        }
        assert_eq!(other.seen().len(), 2);
    });
}

#[test]
fn context_does_not_follow_a_redirect_to_where_it_may_not_go() {
    run(|| async {
        let kept = Kept::new();
        let stranger = Server::start(|_| answer(200, "")).await;
        let to = stranger.url("/");
        let friend = Server::start(move |_| redirect(302, &to)).await;
        let port = friend.address.port();
        let layer = kept
            .layer()
            .propagate_to(move |url| url.port_u16() == Some(port));
        let client = Client::builder().telemetry(layer.build()).build().unwrap();
        // Passed on from a request that came in, as a relay does.
        let request = client.get(friend.url("/"));
        let request = request
            .header("baggage", "user=7")
            .header("tracestate", "a=b")
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            );
        request.send().await.unwrap();
        let carried = |server: &Server| {
            let headers = &server.seen()[0].headers;
            ["traceparent", "tracestate", "baggage"].map(|name| headers.contains_key(name))
        };
        assert!(carried(&friend)[0]);
        assert_eq!(carried(&stranger), [false; 3]);
    });
}

/// Refuses with `status` so many times, then answers.
async fn refusing_first(status: u16, times: usize) -> Server {
    let count = Arc::new(AtomicUsize::new(0));
    Server::start(move |_| match count.fetch_add(1, SeqCst) < times {
        true => answer(status, "not now"),
        false => answer(200, "now"),
    })
    .await
}

#[test]
fn what_was_refused_for_now_is_sent_again() {
    run(|| async {
        for status in [429, 502, 503, 504] {
            let kept = Kept::new();
            let server = refusing_first(status, 2).await;
            let client = kept.client().retries(2).build().unwrap();
            let response = client.get(server.url("/")).send().await.unwrap();
            assert_eq!(response.into_body().text().await.unwrap(), "now");
            kept.until(3).await;
            let counts: Vec<_> = kept
                .spans()
                .iter()
                .map(|span| attribute(span, "http.request.resend_count"))
                .collect();
            assert_eq!(counts, [None, Some("1".to_owned()), Some("2".to_owned())]);
            let spans = kept.spans();
            assert!(is_error(&spans[0]) && is_error(&spans[1]) && !is_error(&spans[2]));
            assert_eq!(
                attribute(&spans[0], "error.type").unwrap(),
                status.to_string()
            );
            assert!(
                spans
                    .iter()
                    .all(|span| span.parent_span_id == SpanId::INVALID)
            );
        }
    });
}

#[test]
fn nothing_is_sent_again_unless_asked_for_and_no_more_often() {
    run(|| async {
        for (retries, sent) in [(0, 1), (1, 2)] {
            let kept = Kept::new();
            let server = refusing_first(503, 9).await;
            let client = kept.client().retries(retries).build().unwrap();
            assert_eq!(
                client.get(server.url("/")).send().await.unwrap().status(),
                503
            );
            assert_eq!(server.seen().len(), sent);
        }
    });
}

#[test]
fn what_may_not_be_sent_twice_is_not() {
    run(|| async {
        let server = refusing_first(503, 9).await;
        let client = Kept::new().client().retries(3).build().unwrap();
        client
            .post(server.url("/"))
            .body("text")
            .send()
            .await
            .unwrap();
        assert_eq!(server.seen().len(), 1);
        let streamed = Body::new(Full::new("text".into()));
        let request = client
            .method(http::Method::PUT, server.url("/"))
            .body(streamed);
        request.send().await.unwrap();
        assert_eq!(server.seen().len(), 2);
        let server = refusing_first(500, 9).await;
        client.get(server.url("/")).send().await.unwrap();
        assert_eq!(server.seen().len(), 1);
    });
}

#[test]
fn a_connection_that_was_refused_is_tried_again_whatever_the_method() {
    run(|| async {
        let kept = Kept::new();
        let (_socket, address) = refusing();
        let client = kept.client().retries(2).build().unwrap();
        let url = format!("http://{address}/");
        let failed = client.post(url).body("text").send().await.unwrap_err();
        assert!(failed.is_connect());
        assert_eq!(kept.spans().len(), 3);
        assert!(kept.spans().iter().all(is_error));
    });
}

#[test]
fn no_pause_outlasts_the_time_of_the_call() {
    run(|| async {
        let server = Server::start(|_| {
            let mut answer = answer(503, "");
            answer.headers_mut().insert("retry-after", 30.into());
            answer
        })
        .await;
        let client = Kept::new().client().retries(2).build().unwrap();
        let request = client.get(server.url("/")).timeout(Duration::from_secs(20));
        assert_eq!(request.send().await.unwrap().status(), 503);
        assert_eq!(server.seen().len(), 1);
    });
}
