//! Is a collector reached by `https`, and only the one that somebody trusted vouches for?
#![cfg(feature = "tls")]

mod support;

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::collector::Collector;
use telemetry_rt_logs::{Format, Logs};

const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";

#[test]
#[ignore = "run by others"]
fn child() {
    let logs = Logs::builder().format(Format::None).init().unwrap();
    tracing::info!("by https");
    drop(logs);
}

/// A collector, and the certificate that it has signed itself.
fn collector() -> (Collector, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            PrivateKeyDer::Pkcs8(key),
        )
        .unwrap();
    let config = Arc::new(config);
    let open = move |peer: TcpStream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        Some(StreamOwned::new(connection, peer))
    };
    let collector = Collector::behind("https", "200 OK", Vec::new(), open);
    (collector, certified.cert.pem())
}

/// What the child says on standard error.
fn run(url: &str, files: &[(&str, &Path)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env_clear()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .envs(files.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_collector_is_trusted_by_its_certificate_and_no_other_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let (trusted, certificate) = collector();
    std::fs::write(&file, certificate).unwrap();
    let said = run(&trusted.url, &[(CERTIFICATE, &file)]);
    assert_eq!(trusted.rest().len(), 1, "{said}");

    let (other, _) = collector();
    let said = run(&other.url, &[(CERTIFICATE, &file)]);
    assert!(other.rest().is_empty());
    assert!(
        said.contains("1 log record was not sent: POST https://localhost"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, _) = collector();
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "").unwrap();
    for path in [file, folder.path().join("missing.pem")] {
        let said = run(&collector.url, &[(CERTIFICATE, &path)]);
        let told = format!("{CERTIFICATE} cannot be used; accepted: the path of a PEM file (");
        assert!(said.contains(&told), "{said}");
    }
    assert!(collector.rest().is_empty());
}

#[test]
fn a_key_of_another_certificate_is_told_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, certificate) = collector();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("me.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, certificate).unwrap();
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    let files: [(&str, &Path); 2] = [
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", &chain),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", &key),
    ];
    let said = run(&collector.url, &files);
    let told = "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY cannot be used; accepted:";
    assert!(said.contains(told), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
