//! Does a connection that was upgraded belong to the application, in both directions?

#[path = "support/serve.rs"]
mod support;

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use support::{LIMIT, Server};
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
