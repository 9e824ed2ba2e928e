//! Is HTTP served on whatever connections come from: Unix sockets, TLS, listeners of users?

#![cfg(all(feature = "axum", feature = "tls"))]

#[path = "support/serve.rs"]
mod support;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use support::Server;
use telemetry_rt::net::{TcpListener, TcpStream, UnixListener};
use telemetry_rt_http::{Accepted, CloseReason, Connection, Limits, Listener, serve};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Tells which version of HTTP is spoken, and whether the peer has an address.
fn application() -> Router {
    let handler = async |request: Request| {
        let connection = request.extensions().get::<Connection>().unwrap();
        let has_peer = connection.peer_addr().is_some();
        format!("{:?} {has_peer}", request.version())
    };
    Router::new().route("/", get(handler))
}

#[test]
fn a_unix_socket_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let bound = path.clone();
    let server = Server::run(async move |_, stopped| {
        let listener = UnixListener::bind(bound).unwrap();
        serve(listener, application())
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await
    });
    support::eventually("the path is there", || path.exists());
    let socket = ["--unix-socket", path.to_str().unwrap()];
    assert_eq!(server.curl("/", &socket), "HTTP/1.1 false");
    let both = [&socket[..], &["--http2-prior-knowledge"]].concat();
    assert_eq!(server.curl("/", &both), "HTTP/2.0 false");
    assert_eq!(server.stop().accepted, 2);
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Handshake = tokio_rustls::Accept<TcpStream>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Handshake>> {
        let accepted = Listener::accept(&mut self.tcp).await?;
        let stream = accepted.handshake.into_inner()?;
        Ok(Accepted {
            handshake: self.tls.accept(stream),
            peer: accepted.peer,
            local: accepted.local,
        })
    }
}

/// An acceptor whose certificate nobody has signed.
fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[test]
fn both_versions_are_served_over_tls_and_handshakes_that_fail_hurt_nobody() {
    let tls = acceptor();
    let limits = Limits::default().header_timeout(Duration::from_secs(2));
    let server = Server::run(async move |tcp, stopped| {
        serve(TlsListener { tcp, tls }, application())
            .limits(limits)
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await
    });
    let silent = server.connect();
    assert!(!server.answer_to("GET / HTTP/1.1\r\n\r\n").contains("HTTP"));
    let url = format!("https://{}/", server.address);
    let ask = |version: &str| {
        let output = std::process::Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", version])
            .args(["--insecure", &url])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8(output.stdout).unwrap(), errors)
    };
    assert_eq!(ask("--http2"), ("HTTP/2.0 true".to_owned(), String::new()));
    assert_eq!(
        ask("--http1.1"),
        ("HTTP/1.1 true".to_owned(), String::new())
    );
    let mut silent = silent;
    silent.rest();
    let report = server.stop();
    assert_eq!(report.closed(CloseReason::Handshake), 1, "{report:?}");
    assert_eq!(report.closed(CloseReason::HeaderTimeout), 1, "{report:?}");
}
