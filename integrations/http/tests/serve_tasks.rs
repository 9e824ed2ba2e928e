//! Which spans and metrics does a server leave by itself?

#[path = "support/serve.rs"]
mod support;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::{TcpListener, TcpStream};
use telemetry_rt::sync::oneshot;
use telemetry_rt::testing::capture;
use telemetry_rt_http::serve;
use tower::service_fn;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    telemetry_rt::task::Builder::new()
        .name("asked")
        .spawn(async {})
        .await
        .unwrap();
    Ok(Response::new(Full::from("hello")))
}

#[test]
fn each_connection_is_a_trace_of_its_own_that_is_linked_to_the_server() {
    let captured = capture(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = serve(listener, service_fn(hello))
            .without_telemetry()
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        let client = async move {
            for _ in 0..2 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let request = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
                stream.write_all(request).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.ends_with("hello"), "{answer}");
            }
            stop.send(()).unwrap();
        };
        telemetry_rt::join!(server.into_future(), client).0.unwrap();
    });
    assert_eq!(captured.count("http connection", "finished"), 2);
    let spans = captured.spans();
    let server = spans
        .iter()
        .find(|span| span.name == "main" || span.links.is_empty());
    let _ = server;
    for connection in spans.iter().filter(|span| span.name == "http connection") {
        assert_eq!(connection.links.len(), 1, "{connection:?}");
    }
    panic!("{}", captured.tree());
}
