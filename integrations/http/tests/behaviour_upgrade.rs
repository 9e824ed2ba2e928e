//! Does a connection that was upgraded belong to the application, in both directions?

#[path = "support/serve.rs"]
mod support;

use std::convert::Infallible;
use std::sync::mpsc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use support::{LIMIT, Server};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt};
use telemetry_rt::net::TcpStream;
use telemetry_rt::time::timeout;
use telemetry_rt_http::{Limits, serve};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower::service_fn;

/// Says yes to a web socket, and sends back what it gets.
async fn echo(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let key = request.headers()[SEC_WEBSOCKET_KEY].as_bytes();
    let accept = derive_accept_key(key);
    let upgrade = hyper::upgrade::on(&mut request);
    telemetry_rt::spawn(async move {
        let io = TokioIo::new(upgrade.await.unwrap());
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let (to, from) = socket.split();
        let texts = from.filter(|message| {
            let is_text = message.as_ref().is_ok_and(Message::is_text);
            std::future::ready(is_text)
        });
        texts.forward(to).await
    });
    Ok(Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(Empty::new())
        .unwrap())
}

/// Says a word, closes its side, and listens to the end.
async fn say_and_listen(
    mut request: Request<Incoming>,
    heard: mpsc::Sender<String>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    telemetry_rt::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let mut text = [0; 5];
        io.read_exact(&mut text).await.unwrap();
        io.write_all(b"word").await.unwrap();
        io.shutdown().await.unwrap();
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        heard.send(rest).unwrap();
    });
    Ok(Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "talk")
        .body(Empty::new())
        .unwrap())
}

#[test]
fn who_took_a_connection_over_may_close_its_side_and_go_on_listening() {
    let (heard, rest) = mpsc::channel();
    let server = Server::run(async move |listener, stopped| {
        let talk = service_fn(move |request| say_and_listen(request, heard.clone()));
        serve(listener, talk)
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: here\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n");
    client.until("\r\n\r\n");
    client.send("hello");
    assert_eq!(client.rest(), "word");
    client.send("the rest");
    client.half_close();
    assert_eq!(rest.recv_timeout(LIMIT).unwrap(), "the rest");
    server.stop();
}

fn server() -> Server {
    Server::run(async |listener, stopped| {
        serve(listener, service_fn(echo))
            .limits(Limits::default().max_connections(1))
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await
    })
}

#[test]
fn a_web_socket_echoes_in_both_directions_and_keeps_its_place_among_the_connections() {
    let server = server();
    let address = server.address;
    let client = async move {
        let connect = async || {
            let stream = TcpStream::connect(address).await.unwrap();
            let url = format!("ws://{address}/");
            tokio_tungstenite::client_async(url, stream)
                .await
                .unwrap()
                .0
        };
        let mut socket = connect().await;
        for number in 0..100 {
            let sent = Message::text(format!("message {number}"));
            socket.send(sent.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), sent);
        }
        // There is room for one.
        let mut other = Box::pin(connect());
        assert!(
            timeout(std::time::Duration::from_millis(100), &mut other)
                .await
                .is_err()
        );
        drop(socket);
        other.await;
    };
    telemetry_rt::block_on(async { timeout(LIMIT, client).await }).unwrap();
    let report = server.stop();
    assert_eq!(report.accepted, 2, "{report:?}");
}
