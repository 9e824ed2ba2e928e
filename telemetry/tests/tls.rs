//! Spans and metrics over `https`: who is trusted, and what is said of the others.

#[expect(dead_code, reason = "a part is for plain HTTP")]
mod collector;
mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use collector::Collector;
use common::{Bench, LONG, keep_warnings, warnings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use telemetry_rt_telemetry::export::Otel;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};

/// A certificate authority of a test's own.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            pem: pem(certificate.der()),
            issuer: Issuer::new(params, key),
        }
    }

    /// What a server at `localhost` needs, signed by this authority.
    fn server(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private.into());
        Arc::new(config.unwrap())
    }
}

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64(der)
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| -> String {
        let byte = |index| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |index: u32| DIGITS[(bits >> (18 - 6 * index)) as usize & 63] as char;
        let digits: String = (0..=three.len() as u32).map(digit).collect();
        format!("{digits:=<4}")
    };
    bytes.chunks(3).map(of_three).collect()
}

/// The base URL of a collector behind an encryption.
fn encrypted(collector: &Collector, config: Arc<ServerConfig>) -> String {
    let plain = collector.url().replace("http://", "");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let inner = TcpStream::connect(&plain).unwrap();
            let outer = StreamOwned::new(connection, stream.unwrap());
            // A connection ends with an error, that of a client that hung up.
            thread::spawn(move || relay(outer, inner).unwrap_err());
        }
    });
    format!("https://localhost:{port}")
}

/// Looks at each side for a moment, in turn, until one is closed.
fn relay(
    mut outer: StreamOwned<ServerConnection, TcpStream>,
    mut inner: TcpStream,
) -> io::Result<()> {
    let moment = Some(Duration::from_millis(5));
    outer.sock.set_read_timeout(moment)?;
    inner.set_read_timeout(moment)?;
    loop {
        pass_on(&mut outer, &mut inner)?;
        pass_on(&mut inner, &mut outer)?;
    }
}

fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    match from.read(&mut bytes) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(read) => to.write_all(&bytes[..read]).and_then(|()| to.flush()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A file in the directory for temporary ones, for as long as this lives.
struct File(String);

impl File {
    fn new(name: &str, text: &str) -> File {
        let name = format!("telemetry_rt-{}-{name}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        File(path.to_str().unwrap().to_owned())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn otel(variables: &[(&str, &str)]) -> Otel {
    Otel::from_variables(&|name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE";
const OF_METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE";

#[test]
fn a_collector_with_an_authority_of_its_own_gets_spans_and_metrics() {
    let (authority, other) = (Authority::new(), Authority::new());
    let right = File::new("right", &authority.pem);
    let wrong = File::new("other", &other.pem);
    for variables in [
        vec![(CERTIFICATE, right.0.as_str())],
        vec![
            (CERTIFICATE, &wrong.0),
            (OF_TRACES, &right.0),
            (OF_METRICS, &right.0),
        ],
    ] {
        let collector = Collector::start([]);
        let url = encrypted(&collector, authority.server());
        let otel = otel(&[&[(ENDPOINT, url.as_str())], &variables[..]].concat());
        assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
        let bench = Bench::new(otel);
        bench.run_many(700);
        assert_eq!(bench.shutdown(LONG).spans.exported, 700);
        assert_eq!(collector.spans().len(), 700);
        assert_eq!(collector.last_metrics()[0].name, "process.duration");
    }
}

#[test]
fn a_collector_that_nobody_trusted_vouches_for_gets_nothing() {
    keep_warnings();
    let collector = Collector::start([]);
    let url = encrypted(&collector, Authority::new().server());
    let endpoint = Endpoint::new(&format!("{url}/v1/traces")).unwrap();
    let wrong = endpoint
        .clone()
        .certificate(Authority::new().pem.as_bytes());
    for endpoint in [wrong.unwrap(), endpoint] {
        let before = warnings(&url).len();
        let otlp = Otlp::to(Some(endpoint), None);
        let bench = Bench::new(Otel::builder().exporter(otlp).build());
        bench.run_many(10);
        let spans = bench.shutdown(LONG).spans;
        assert_eq!((spans.exported, spans.dropped.export_failed), (0, 10));
        let said = warnings(&url);
        assert_eq!(said.len(), before + 1, "{said:?}");
        assert!(
            said[before].contains("invalid peer certificate"),
            "{said:?}"
        );
    }
    assert!(collector.requests().is_empty());
}

#[test]
fn a_file_without_certificates_is_said_and_nothing_is_sent() {
    let empty = File::new("empty", "");
    let broken = File::new("broken", "-----BEGIN CERTIFICATE-----\n!\n");
    for path in [empty.0.as_str(), &broken.0, "/no/such/file.pem"] {
        let otel = otel(&[(ENDPOINT, "https://localhost:1"), (OF_TRACES, path)]);
        let said = otel.warnings();
        assert_eq!(said.len(), 1, "{said:?}");
        let start = format!("{OF_TRACES} is {path:?}; accepted: the path of a PEM file");
        assert!(said[0].starts_with(&start), "{said:?}");
        assert!(said[0].ends_with("; no traces are sent"), "{said:?}");
    }
    let error = Endpoint::new("https://h")
        .unwrap()
        .certificate(b"")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate is \"…\"; accepted: PEM with at least one certificate (it has none)"
    );
}

#[test]
fn an_endpoint_without_encryption_needs_no_file() {
    let otel = otel(&[(ENDPOINT, "http://localhost:1"), (CERTIFICATE, "/no/such")]);
    assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
}
