//! Does the client connect, send and receive, and what does it say if it cannot?

#[path = "support/client.rs"]
mod support;

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use support::{Kept, Server, answer, attribute, is_error, raw, read_head, refusing, run};
use telemetry_rt::io::AsyncWriteExt;
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt_http::{Body, Client, Connection};
use tower::{Service, ServiceExt};

async fn text(client: &Client, url: String) -> String {
    let response = client.get(url).send().await.unwrap();
    response.into_body().text().await.unwrap()
}

#[test]
fn requests_in_turn_go_by_one_connection() {
    run(|| async {
        let server = Server::start(|_| answer(200, "hello")).await;
        let client = Client::new();
        for _ in 0..10 {
            assert_eq!(text(&client, server.url("/")).await, "hello");
            // The pool has the connection back when its task has had its turn.
            telemetry_rt::time::sleep(Duration::from_millis(5)).await;
        }
        // One, unless the machine is so slow that a connection was not back in time.
        assert!(server.connections() < 5, "{}", server.connections());
    });
}

#[test]
fn a_pool_that_keeps_nothing_connects_each_time() {
    run(|| async {
        let server = Server::start(|_| answer(200, "")).await;
        let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        for _ in 0..3 {
            text(&client, server.url("/")).await;
        }
        assert_eq!(server.connections(), 3);
    });
}

#[test]
fn what_is_sent_is_what_arrives() {
    run(|| async {
        let server = Server::start(|seen| answer(201, seen.body.clone())).await;
        let client = Client::new();
        let response = client
            .post(server.url("/a?b=c"))
            .header("x-a", "1")
            .header("x-a", "2")
            .body("text")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.into_body().bytes().await.unwrap(), "text");

        let pieces = ["one ", "two ", "three"].map(|piece| {
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(piece.as_bytes())))
        });
        let streamed = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
        let request = http::Request::put(server.url("/s")).body(streamed).unwrap();
        let response = client.request(request).await.unwrap();
        assert_eq!(response.into_body().text().await.unwrap(), "one two three");

        let seen = server.seen();
        assert_eq!(seen[0].method, "POST");
        assert_eq!(seen[0].uri, "/a?b=c");
        assert_eq!(seen[0].headers.get_all("x-a").iter().count(), 2);
        assert_eq!(seen[0].headers["host"], server.address.to_string());
        assert_eq!(seen[0].headers["content-length"], "4");
        assert_eq!(seen[1].headers["transfer-encoding"], "chunked");
    });
}

#[test]
fn http2_by_prior_knowledge_has_one_connection_for_many_requests() {
    run(|| async {
        let server = Server::start(|seen| answer(200, format!("{:?}", seen.version))).await;
        let client = Client::builder().http2_only().build().unwrap();
        assert_eq!(text(&client, server.url("/")).await, "HTTP/2.0");
        let many: Vec<_> = (0..20)
            .map(|_| client.get(server.url("/")).send())
            .collect();
        for response in futures_util::future::join_all(many).await {
            assert_eq!(response.unwrap().version(), http::Version::HTTP_2);
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_response_says_whom_it_is_from() {
    run(|| async {
        let server = Server::start(|_| answer(200, "")).await;
        let response = Client::new().get(server.url("/")).send().await.unwrap();
        let connection = response.extensions().get::<Connection>().unwrap();
        assert_eq!(connection.peer_addr(), Some(server.address));
    });
}

#[test]
fn a_client_is_a_service() {
    run(|| async {
        let server = Server::start(|_| answer(200, "hello")).await;
        let request = http::Request::get(server.url("/"))
            .body(Body::empty())
            .unwrap();
        let mut client = Client::new();
        let response = client.ready().await.unwrap().call(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello");
    });
}

#[test]
fn a_body_comes_in_pieces_and_up_to_a_limit() {
    run(|| async {
        let server = Server::start(|_| answer(200, "0123456789")).await;
        let client = Client::new();
        let mut body = client
            .get(server.url("/"))
            .send()
            .await
            .unwrap()
            .into_body();
        let mut whole = Vec::new();
        while let Some(piece) = body.chunk().await.unwrap() {
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole, b"0123456789");
        for (limit, fits) in [(9, false), (10, true)] {
            let body = client
                .get(server.url("/"))
                .send()
                .await
                .unwrap()
                .into_body();
            let read = body.bytes_up_to(limit).await;
            assert_eq!(read.is_ok(), fits);
            assert!(fits || read.unwrap_err().is_body());
        }
    });
}

#[test]
fn a_refused_connection_is_a_finished_span_and_says_so() {
    run(|| async {
        let kept = Kept::new();
        let (_socket, address) = refusing();
        let client = kept.client().build().unwrap();
        let failed = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap_err();
        assert!(failed.is_connect() && !failed.is_timeout() && !failed.is_tls());
        assert_eq!(failed.error_type(), "connection_refused");
        assert!(failed.source().is_some());
        let start = format!("GET {address}: the connection failed: ");
        assert!(failed.to_string().starts_with(&start), "{failed}");
        let span = kept.span();
        assert!(is_error(&span));
        assert_eq!(
            attribute(&span, "error.type").unwrap(),
            "connection_refused"
        );
        assert_eq!(attribute(&span, "server.address").unwrap(), "127.0.0.1");
        assert_eq!(
            attribute(&span, "server.port").unwrap(),
            address.port().to_string()
        );
        assert_eq!(attribute(&span, "network.peer.address"), None);
        assert_eq!(attribute(&span, "http.response.status_code"), None);
    });
}

#[test]
fn an_unknown_host_is_named() {
    run(|| async {
        let kept = Kept::new();
        let client = kept.client().build().unwrap();
        let failed = client
            .get("http://nowhere.invalid/")
            .send()
            .await
            .unwrap_err();
        assert!(failed.is_connect());
        assert_eq!(failed.error_type(), "unknown_host");
        assert!(
            failed
                .to_string()
                .starts_with("GET nowhere.invalid: the host cannot be"),
            "{failed}"
        );
        assert_eq!(
            attribute(&kept.span(), "error.type").unwrap(),
            "unknown_host"
        );
        assert_eq!(attribute(&kept.span(), "server.port").unwrap(), "80");
    });
}

/// A listener that accepts nobody and whose queue is full: further connections hang.
async fn silent() -> (TcpListener, Vec<TcpStream>) {
    let socket = telemetry_rt::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    loop {
        let connecting = TcpStream::connect(address);
        match telemetry_rt::time::timeout(Duration::from_millis(200), connecting).await {
            Ok(stream) => queued.push(stream.unwrap()),
            Err(_) => return (listener, queued),
        }
    }
}

#[test]
fn connecting_takes_no_longer_than_it_may() {
    run(|| async {
        let kept = Kept::new();
        let (listener, _queued) = silent().await;
        let limit = Duration::from_millis(50);
        let client = kept.client().connect_timeout(limit).build().unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let failed = client.get(url).send().await.unwrap_err();
        assert!(failed.is_connect() && failed.is_timeout());
        assert!(
            failed.to_string().ends_with(": no connection within 50ms"),
            "{failed}"
        );
        assert_eq!(attribute(&kept.span(), "error.type").unwrap(), "timeout");
    });
}

#[test]
fn a_head_that_does_not_come_is_a_timeout() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            std::future::pending::<()>().await;
        })
        .await;
        let limit = Duration::from_millis(50);
        let client = kept.client().head_timeout(limit).build().unwrap();
        let url = format!("http://{address}/");
        let failed = client.get(&*url).send().await.unwrap_err();
        assert!(failed.is_timeout() && !failed.is_connect());
        let client = kept.client().build().unwrap();
        let failed = client.get(url).timeout(limit).send().await.unwrap_err();
        assert!(failed.is_timeout());
        assert!(
            failed
                .to_string()
                .ends_with("the time for the whole call is over"),
            "{failed}"
        );
        for span in kept.spans() {
            assert!(is_error(&span));
            assert_eq!(attribute(&span, "error.type").unwrap(), "timeout");
            // The connection was there: only the answer was not.
            assert_eq!(
                attribute(&span, "network.peer.port").unwrap(),
                address.port().to_string()
            );
        }
        assert_eq!(kept.spans().len(), 2);
    });
}

#[test]
fn the_time_of_a_call_is_over_in_the_middle_of_a_body() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234";
            stream.write_all(head).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let limit = Duration::from_millis(200);
        let client = kept.client().timeout(limit).build().unwrap();
        let response = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap();
        let failed = response.into_body().bytes().await.unwrap_err();
        assert!(failed.is_timeout());
        let span = kept.span();
        assert!(is_error(&span));
        assert_eq!(attribute(&span, "error.type").unwrap(), "timeout");
        assert_eq!(
            attribute(&span, "http.response.status_code").unwrap(),
            "200"
        );
    });
}

#[test]
fn a_limit_that_is_never_reached_is_none() {
    run(|| async {
        let server = Server::start(|_| answer(200, "hello")).await;
        let client = Client::builder()
            .connect_timeout(Duration::MAX)
            .head_timeout(Duration::MAX)
            .timeout(Duration::MAX)
            .pool_idle_timeout(Duration::MAX)
            .build()
            .unwrap();
        assert_eq!(text(&client, server.url("/")).await, "hello");
        assert_eq!(text(&client, server.url("/")).await, "hello");
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_server_that_hangs_up_at_once_is_an_error() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
        })
        .await;
        let client = kept.client().build().unwrap();
        let failed = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(failed.error_type(), "connection_closed");
        assert!(!failed.is_connect());
        assert_eq!(failed.connection().unwrap().peer_addr(), Some(address));
        assert_eq!(
            attribute(&kept.span(), "error.type").unwrap(),
            "connection_closed"
        );
    });
}

#[test]
fn what_is_not_http_is_an_error() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap();
        })
        .await;
        let client = kept.client().build().unwrap();
        let failed = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(failed.error_type(), "protocol");
        assert_eq!(attribute(&kept.span(), "error.type").unwrap(), "protocol");
    });
}

#[test]
fn a_body_that_is_cut_off_is_an_error_of_the_body() {
    run(|| async {
        let kept = Kept::new();
        let address = raw(|mut stream, _| async move {
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\n01234";
            stream.write_all(head).await.unwrap();
        })
        .await;
        let client = kept.client().build().unwrap();
        let response = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap();
        let failed = response.into_body().bytes().await.unwrap_err();
        assert!(failed.is_body());
        assert!(
            failed
                .to_string()
                .contains("the body of the response ended early"),
            "{failed}"
        );
        let span = kept.span();
        assert!(is_error(&span));
        assert_eq!(attribute(&span, "error.type").unwrap(), "body");
        assert_eq!(attribute(&span, "http.response.body.size"), None);
    });
}

#[test]
fn a_body_that_cannot_be_made_is_an_error_of_the_request() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let client = kept.client().build().unwrap();
        let pieces = [
            Ok(Frame::data(Bytes::from_static(b"one"))),
            Err(std::io::Error::other("no more paper")),
        ];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
        let failed = client
            .post(server.url("/"))
            .body(body)
            .send()
            .await
            .unwrap_err();
        assert!(failed.is_body(), "{failed:?}");
        // What the application's stream says is a cause of the error, and no part of what is logged.
        let mut cause = failed.source().unwrap();
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        assert_eq!(cause.to_string(), "no more paper");
        assert!(!failed.to_string().contains("paper"), "{failed}");
        assert_eq!(attribute(&kept.span(), "error.type").unwrap(), "body");
        assert!(!kept.everything().contains("paper"));
    });
}

#[test]
fn a_request_in_the_making_shows_no_secrets() {
    let client = Client::new();
    let request = client.get("http://user:sesame@host/a?token=sesame&b=c");
    let request = request
        .header("authorization", "Bearer sesame")
        .body("sesame");
    let shown = format!("{request:?}");
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(
        shown.contains("host/a") && shown.contains("authorization"),
        "{shown}"
    );
    let wrong = client.get("http://user:sesame@ host/");
    assert!(!format!("{wrong:?}").contains("sesame"));
}

#[test]
fn the_time_of_a_call_is_over_also_for_a_body_that_is_there() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "hello")).await;
        let limit = Duration::from_millis(300);
        let client = kept.client().timeout(limit).build().unwrap();
        let mut body = client
            .get(server.url("/"))
            .send()
            .await
            .unwrap()
            .into_body();
        telemetry_rt::time::sleep(limit).await;
        assert!(body.chunk().await.unwrap_err().is_timeout());
        // A reader that goes on after an error comes to an end.
        assert!(body.chunk().await.unwrap().is_none());
        assert_eq!(attribute(&kept.span(), "error.type").unwrap(), "timeout");
    });
}

#[test]
fn a_server_of_http2_that_shows_no_sign_of_life_is_given_up() {
    run(|| async {
        let kept = Kept::new();
        // Says hello, so that the client sends its request, and nothing more.
        let address = raw(|mut stream, _| async move {
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            stream.write_all(&settings).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let client = kept.client().http2_only();
        let client = client.http2_silence(Duration::from_millis(50));
        let client = client.build().unwrap();
        let request = client.get(format!("http://{address}/"));
        let failed = request.send().await.unwrap_err();
        assert!(failed.is_timeout() && !failed.is_connect(), "{failed:?}");
        assert_eq!(attribute(&kept.span(), "error.type").unwrap(), "timeout");
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_is_replaced() {
    run(|| async {
        // Each connection answers once and is closed without a word.
        let address = raw(|mut stream, number| async move {
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let kept = Kept::new();
        let client = kept.client().build().unwrap();
        for number in 1..=5 {
            let url = format!("http://{address}/");
            assert_eq!(text(&client, url).await, number.to_string());
            telemetry_rt::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(kept.spans().len(), 5);
    });
}

#[test]
fn requests_that_nobody_can_send_say_why() {
    run(|| async {
        let client = Client::new();
        for (url, what) in [
            (
                "/path",
                "GET ?: the URL has no scheme: `http://` or `https://` is needed",
            ),
            (
                "host:80",
                "GET host:80: the URL has no scheme: `http://` or `https://` is needed",
            ),
            (
                "ws://u:p@host/x?secret=s",
                "GET host: the scheme of the URL is `ws`: `http` and `https` are accepted",
            ),
            (
                "http:// host/",
                "the URL is not right: invalid uri character",
            ),
        ] {
            let failed = client.get(url).send().await.unwrap_err();
            assert!(failed.is_request(), "{failed:?}");
            assert_eq!(failed.to_string(), what);
        }
        let failed = client
            .get("http://h/")
            .header("a b", "c")
            .send()
            .await
            .unwrap_err();
        assert!(
            failed
                .to_string()
                .starts_with("the name of a header is not right"),
            "{failed}"
        );
        let failed = client
            .get("http://h/")
            .header("a", "c\n")
            .send()
            .await
            .unwrap_err();
        assert!(
            failed
                .to_string()
                .starts_with("the value of a header is not right"),
            "{failed}"
        );
    });
}

#[test]
fn user_and_password_of_a_url_are_a_header_and_nowhere_else() {
    run(|| async {
        let kept = Kept::new();
        let server = Server::start(|_| answer(200, "")).await;
        let client = kept.client().build().unwrap();
        let url = format!("http://joe:sesame@{}/a?token=hush&x=1", server.address);
        client.get(&*url).send().await.unwrap();
        let (_socket, refusing) = refusing();
        let url = format!("http://joe:sesame@{refusing}/a?token=hush");
        let failed = client.get(url).send().await.unwrap_err();
        let seen = &server.seen()[0];
        assert_eq!(seen.headers["authorization"], "Basic am9lOnNlc2FtZQ==");
        assert_eq!(seen.uri, "/a?token=hush&x=1");
        assert_eq!(kept.spans().len(), 2);
        let said = format!("{failed} {failed:?} {}", kept.everything());
        for secret in ["sesame", "joe", "hush", "am9l"] {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
        let url = attribute(&kept.spans()[0], "url.full").unwrap();
        assert!(
            url.starts_with("http://REDACTED:REDACTED@127.0.0.1:"),
            "{url}"
        );
        assert!(url.ends_with("/a?token=REDACTED&x=1"), "{url}");
    });
}

#[test]
fn ipv6_addresses_are_hosts() {
    run(|| async {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else {
            // There is no IPv6 here.
            return;
        };
        let address = listener.local_addr().unwrap();
        let kept = Kept::new();
        let _server = Server::accepting(
            address,
            |_| answer(200, ""),
            move |serve| async move {
                while let Ok((stream, _)) = listener.accept().await {
                    serve.connection(stream);
                }
            },
        );
        let client = kept.client().build().unwrap();
        client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap();
        let span = kept.span();
        assert_eq!(attribute(&span, "server.address").unwrap(), "::1");
        assert_eq!(attribute(&span, "network.peer.address").unwrap(), "::1");
        for name in [
            "http.client.open_connections",
            "http.client.request.duration",
        ] {
            let metric = kept.metric(name);
            assert!(!metric.is_empty());
            assert!(
                metric
                    .iter()
                    .all(|line| line.contains("server.address=::1,")),
                "{metric:#?}"
            );
        }
    });
}
