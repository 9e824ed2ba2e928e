//! Does the client speak TLS with those it may trust, and with nobody else?

#![cfg(feature = "tls")]

#[path = "support/client.rs"]
mod support;

use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use support::{Kept, Serve, Server, answer, attribute, is_error, redirect, run};
use telemetry_rt::net::TcpListener;
use telemetry_rt_http::{ClientBuilder, Error};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate for `localhost`, which is its own authority.
fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    change(&mut params);
    let signing_key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

fn acceptor(made: &CertifiedKey<KeyPair>, protocols: &[&str]) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Arc::new(config).into()
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, serve: Serve) {
    while let Ok((stream, _)) = listener.accept().await {
        if let Ok(stream) = acceptor.accept(stream).await {
            serve.connection(stream);
        }
    }
}

/// A server with this certificate, and its URL by name.
async fn server(
    made: &CertifiedKey<KeyPair>,
    protocols: &[&str],
    to: Option<String>,
) -> (Server, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor(made, protocols);
    let server = Server::accepting(
        address,
        move |_| match &to {
            Some(to) => redirect(302, to),
            None => answer(200, "secret"),
        },
        move |serve| accept(listener, acceptor, serve),
    );
    (server, format!("https://localhost:{}/", address.port()))
}

fn trusting(kept: &Kept, trusted: &CertificateDer<'static>) -> ClientBuilder {
    kept.client().root_certificates([trusted.clone()])
}

async fn refused(kept: &Kept, builder: ClientBuilder, url: &str) -> Error {
    let failed = builder.build().unwrap().get(url).send().await.unwrap_err();
    assert!(failed.is_tls() && failed.is_connect(), "{failed:?}");
    assert!(
        failed.to_string().contains("the TLS handshake failed"),
        "{failed}"
    );
    let span = kept.span();
    assert!(is_error(&span));
    assert_eq!(attribute(&span, "error.type").unwrap(), "tls");
    failed
}

#[test]
fn a_server_that_is_trusted_is_spoken_with_in_http2() {
    run(|| async {
        let made = certificate(|_| {});
        let (server, url) = server(&made, &["h2", "http/1.1"], None).await;
        let kept = Kept::new();
        let client = trusting(&kept, made.cert.der()).build().unwrap();
        for _ in 0..3 {
            let response = client.get(&*url).send().await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_2);
            assert_eq!(response.into_body().text().await.unwrap(), "secret");
        }
        assert_eq!(server.connections(), 1);
        let span = &kept.spans()[0];
        assert_eq!(attribute(span, "url.scheme").unwrap(), "https");
        assert_eq!(attribute(span, "network.protocol.version").unwrap(), "2");
        assert_eq!(attribute(span, "server.address").unwrap(), "localhost");
        assert_eq!(
            attribute(span, "network.peer.address").unwrap(),
            "127.0.0.1"
        );
    });
}

#[test]
fn a_server_that_knows_no_http2_is_spoken_with_in_http1() {
    run(|| async {
        let made = certificate(|_| {});
        for protocols in [&["http/1.1"][..], &[]] {
            let (_server, url) = server(&made, protocols, None).await;
            let kept = Kept::new();
            let client = trusting(&kept, made.cert.der()).build().unwrap();
            let response = client.get(url).send().await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_11);
        }
    });
}

#[test]
fn a_configuration_of_ones_own_is_used() {
    run(|| async {
        let made = certificate(|_| {});
        let (_server, url) = server(&made, &["h2"], None).await;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Kept::new().client().tls_config(config).build().unwrap();
        let response = client.get(url).send().await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
    });
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    run(|| async {
        let made = certificate(|_| {});
        let (server, url) = server(&made, &[], None).await;
        let kept = Kept::new();
        let failed = refused(&kept, kept.client(), &url).await;
        assert!(failed.to_string().contains("UnknownIssuer"), "{failed}");
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    run(|| async {
        let made = certificate(|_| {});
        let (_server, url) = server(&made, &[], None).await;
        let kept = Kept::new();
        let url = url.replace("localhost", "127.0.0.1");
        let failed = refused(&kept, trusting(&kept, made.cert.der()), &url).await;
        assert!(
            failed.to_string().contains("not valid for name"),
            "{failed}"
        );
    });
}

#[test]
fn a_certificate_that_has_expired_is_refused() {
    run(|| async {
        let made = certificate(|params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        });
        let (_server, url) = server(&made, &[], None).await;
        let kept = Kept::new();
        let failed = refused(&kept, trusting(&kept, made.cert.der()), &url).await;
        assert!(failed.to_string().contains("expired"), "{failed}");
    });
}

#[test]
fn a_server_without_tls_is_refused() {
    run(|| async {
        let kept = Kept::new();
        let plain = Server::start(|_| answer(200, "")).await;
        let url = plain.url("/").replace("http", "https");
        refused(&kept, kept.client(), &url).await;
    });
}

#[test]
fn a_redirect_to_http_is_followed_unless_that_is_forbidden() {
    run(|| async {
        let plain = Server::start(|_| answer(200, "")).await;
        let made = certificate(|_| {});
        let (_server, url) = server(&made, &[], Some(plain.url("/"))).await;
        let kept = Kept::new();
        let client = trusting(&kept, made.cert.der()).build().unwrap();
        assert_eq!(client.get(&*url).send().await.unwrap().status(), 200);
        let strict = trusting(&kept, made.cert.der()).redirects_to_http(false);
        let failed = strict.build().unwrap().get(url).send().await.unwrap_err();
        assert!(failed.is_redirect());
        let what = "a redirect from `https` to `http` is not allowed";
        assert!(failed.to_string().ends_with(what), "{failed}");
        assert_eq!(plain.seen().len(), 1);
    });
}

#[test]
fn a_root_certificate_that_is_none_is_an_error_of_the_builder() {
    let wrong = CertificateDer::from(vec![1, 2, 3]);
    let failed = Kept::new()
        .client()
        .root_certificates([wrong])
        .build()
        .unwrap_err();
    assert!(
        failed
            .to_string()
            .starts_with("a root certificate is not accepted"),
        "{failed}"
    );
}
