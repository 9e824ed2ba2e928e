//! Spans and metrics over `https`: who is trusted, and what is said of the others.

#[path = "collector/authority.rs"]
mod authority;
#[expect(dead_code, reason = "a part is for plain HTTP")]
mod collector;
mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use authority::{Authority, File};
use collector::Collector;
use common::{Bench, LONG, keep_warnings, warnings};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use telemetry_rt_telemetry::export::Otel;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};

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

const CLIENT: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
const CLIENT_KEY_OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY";

#[test]
fn a_collector_that_asks_who_we_are_is_told() {
    keep_warnings();
    let (authority, clients) = (Authority::new(), Authority::new());
    let us = clients.identity("us");
    let files = [&authority.pem, &us.certificate, &us.key];
    let names = ["of-them", "of-us", "key-of-us"];
    let [trusted, certificate, key] = std::array::from_fn(|i| File::new(names[i], files[i]));
    for (known, exported) in [(true, 10), (false, 0)] {
        let collector = Collector::start([]);
        let url = encrypted(&collector, authority.server_of_known_clients(&clients));
        let mut variables = vec![(ENDPOINT, url.as_str()), (CERTIFICATE, &trusted.0)];
        if known {
            variables.extend([(CLIENT, certificate.0.as_str()), (CLIENT_KEY, &key.0)]);
        }
        let otel = otel(&[&variables[..], &[("OTEL_METRICS_EXPORTER", "none")]].concat());
        assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
        let bench = Bench::new(otel);
        bench.run_many(10);
        assert_eq!(bench.shutdown(LONG).spans.exported, exported);
        assert_eq!(collector.spans().len() as u64, exported);
    }
}

#[test]
fn a_certificate_of_ours_that_cannot_be_used_is_said_and_nothing_is_sent() {
    let clients = Authority::new();
    let (us, others) = (clients.identity("us"), clients.identity("others"));
    let certificate = File::new("ours", &us.certificate);
    let key = File::new("our-key", &us.key);
    let other = File::new("other-key", &others.key);
    let [certificate, key, other] = [&certificate, &key, &other].map(|file| file.0.as_str());
    for (variables, named) in [
        (vec![(CLIENT, certificate)], CLIENT_KEY),
        (vec![(CLIENT_KEY_OF_TRACES, key)], CLIENT),
        (vec![(CLIENT, certificate), (CLIENT_KEY, other)], CLIENT),
        (
            vec![(CLIENT, certificate), (CLIENT_KEY, certificate)],
            CLIENT,
        ),
        (
            vec![(CLIENT, certificate), (CLIENT_KEY, "/no/such")],
            CLIENT_KEY,
        ),
        (
            vec![
                (CLIENT, certificate),
                (CLIENT_KEY, key),
                (CLIENT_KEY_OF_TRACES, other),
            ],
            CLIENT,
        ),
    ] {
        let endpoint = (ENDPOINT, "https://localhost:1");
        let off = ("OTEL_METRICS_EXPORTER", "none");
        let otel = otel(&[&variables[..], &[endpoint, off]].concat());
        let said = otel.warnings();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("{named} is ")), "{said:?}");
        assert!(said[0].ends_with("; no traces are sent"), "{said:?}");
    }
}

#[test]
fn an_endpoint_without_encryption_needs_no_file() {
    let otel = otel(&[(ENDPOINT, "http://localhost:1"), (CERTIFICATE, "/no/such")]);
    assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
}
