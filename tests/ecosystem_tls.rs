//! Do TLS and WebSockets work over our sockets?

#![cfg(feature = "tokio-io")]

#[path = "ecosystem/bounded.rs"]
mod bounded;

use std::sync::Arc;

use bounded::on_each_runtime;
use futures_util::{SinkExt, StreamExt};
use telemetry_rt::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use telemetry_rt::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

/// Both sides of an encryption that trust the same certificate, which is made here.
fn encryption() -> (TlsConnector, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate.clone()).unwrap();

    let provider = Arc::new(ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    (Arc::new(client).into(), Arc::new(server).into())
}

type Connected = (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>);

async fn connected() -> Connected {
    let (connector, acceptor) = encryption();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = telemetry_rt::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.unwrap()
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let client = connector.connect(name, stream).await.unwrap();
    (client, accepting.await.unwrap())
}

#[test]
fn a_mebibyte_is_echoed_through_tls() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (client, server) = connected().await;
            let echoing = telemetry_rt::spawn(async move {
                let (mut reader, mut writer) = split(server);
                let copied = copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
                copied
            });
            let sent: Vec<u8> = (0..1 << 20).map(|number: u32| number as u8).collect();
            let (mut reader, mut writer) = split(client);
            let sending = telemetry_rt::spawn({
                let sent = sent.clone();
                async move {
                    writer.write_all(&sent).await.unwrap();
                    writer.shutdown().await.unwrap();
                }
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            sending.await.unwrap();
            assert_eq!(echoing.await.unwrap(), 1 << 20);
            assert!(received == sent, "what came back is not what was sent");
        });
    });
}

#[test]
fn a_name_that_is_not_in_the_certificate_is_refused() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (connector, acceptor) = encryption();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let accepting = telemetry_rt::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                acceptor.accept(stream).await.map(drop)
            });
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("elsewhere").unwrap();
            let refused = connector.connect(name, stream).await.map(drop);
            assert!(refused.unwrap_err().to_string().contains("certificate"));
            assert!(accepting.await.unwrap().is_err());
        });
    });
}

#[test]
fn messages_are_echoed_over_a_websocket_that_runs_over_tls() {
    on_each_runtime(|runtime| {
        runtime.block_on(async {
            let (client, server) = connected().await;
            let echoing = telemetry_rt::spawn(async move {
                let mut socket = accept_async(server).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() {
                        break;
                    }
                    socket.send(message).await.unwrap();
                }
            });
            let (mut socket, _) = client_async("ws://localhost/", client).await.unwrap();
            for size in [0, 10, 200_000] {
                let message = Message::text("x".repeat(size));
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.next().await.unwrap().unwrap(), message);
            }
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
            echoing.await.unwrap();
        });
    });
}
