//! Spans and metrics at a gRPC server that others use as well.

#[path = "collector/alike.rs"]
mod alike;
#[cfg(feature = "tls")]
#[path = "collector/authority.rs"]
mod authority;
#[path = "collector/grpc.rs"]
mod collector;
mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use alike::{assert_alike, end_rich_spans};
use collector::{Collector, Reply};
use common::{Bench, LONG, keep_warnings, warnings};
use prost::Message;
use prost::bytes::Bytes;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};
use telemetry_rt_telemetry::export::{InMemory, Otel};
use tonic::transport::Server;
use tonic::{Code, Status};

fn endpoint(collector: &Collector) -> Endpoint {
    Endpoint::grpc(&collector.url()).unwrap()
}

fn traces_to(endpoint: Endpoint) -> Bench {
    Bench::new(
        Otel::builder()
            .exporter(Otlp::to(Some(endpoint), None))
            .build(),
    )
}

fn otel(variables: &[(&str, &str)]) -> Otel {
    Otel::from_variables(&|name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

const PROTOCOL: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[test]
fn spans_and_metrics_arrive() {
    let collector = Collector::start([]);
    let otlp = Otlp::to(Some(endpoint(&collector)), Some(endpoint(&collector)));
    let bench = Bench::new(Otel::builder().exporter(otlp).build());
    bench.run_many(1_500);
    assert_eq!(bench.shutdown(LONG).spans.exported, 1_500);
    assert_eq!(collector.spans().len(), 1_500);
    assert_eq!(collector.last_metrics()[0].name, "process.duration");
    let seen = &collector.seen()[0];
    assert_eq!(seen.metadata("content-type"), Some("application/grpc"));
    assert_eq!(seen.metadata("grpc-encoding"), None);
    assert!(seen.metadata("grpc-timeout").unwrap().ends_with('m'));
    let agent = seen.metadata("user-agent").unwrap();
    assert!(agent.starts_with("telemetry_rt/"), "{agent}");
}

#[test]
fn spans_of_users_arrive_whole_also_compressed() {
    for gzip in [false, true] {
        let collector = Collector::start([]);
        let endpoint = endpoint(&collector);
        let endpoint = if gzip { endpoint.gzip() } else { endpoint };
        let memory = InMemory::new();
        let otel = Otel::builder()
            .exporter(Otlp::to(Some(endpoint), None))
            .exporter(memory.clone());
        let bench = Bench::new(otel.build());
        end_rich_spans(&bench.pipeline.tracer("user").unwrap(), 20);
        assert_eq!(bench.shutdown(LONG).spans.exported, 20);
        assert_alike(&memory, collector.spans());
    }
}

#[test]
fn the_environment_leads_to_the_collector() {
    let collector = Collector::start([]);
    let address = collector.address();
    let otel = otel(&[
        PROTOCOL,
        (ENDPOINT, &address),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "API-Key=a%2Cb"),
    ]);
    assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
    let bench = Bench::new(otel);
    bench.run("fetch");
    assert_eq!(bench.shutdown(LONG).spans.exported, 1);
    for seen in collector.seen() {
        assert_eq!(seen.metadata("api-key"), Some("a,b"));
        assert_eq!(seen.metadata("grpc-encoding"), Some("gzip"));
    }
    assert_eq!(collector.spans()[0].name, "fetch");
    assert!(!collector.last_metrics().is_empty());
}

#[test]
fn each_signal_can_have_a_protocol_of_its_own() {
    let collector = Collector::start([]);
    let url = collector.url();
    let otel = otel(&[
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &url),
    ]);
    assert!(otel.warnings().is_empty(), "{:?}", otel.warnings());
    let bench = Bench::new(otel);
    bench.run("fetch");
    bench.shutdown(LONG);
    assert!(!collector.last_metrics().is_empty());
}

#[test]
fn one_connection_serves_many_requests() {
    let collector = Collector::start([]);
    let otlp = Otlp::to(Some(endpoint(&collector)), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).batch_size(10).build());
    bench.run_many(1_000);
    assert_eq!(bench.shutdown(LONG).spans.exported, 1_000);
    assert!(collector.seen().len() >= 100);
}

#[test]
fn a_batch_beyond_the_windows_of_the_collector_arrives_whole() {
    // Windows and frames as small as can be, so that the exporter has to wait for them often.
    let server = Server::builder()
        .initial_stream_window_size(1_000)
        .initial_connection_window_size(65_535)
        .max_frame_size(16_384);
    let collector = Collector::start_as(server, "127.0.0.1:0", []);
    let otlp = Otlp::to(Some(endpoint(&collector)), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).batch_size(5_000).build());
    bench.run_many(2_000);
    assert_eq!(bench.shutdown(LONG).spans.exported, 2_000);
    assert_eq!(collector.spans().len(), 2_000);
}

#[test]
fn what_may_pass_is_sent_again() {
    for status in [
        Status::unavailable("later"),
        Status::cancelled(""),
        Status::data_loss(""),
        Status::with_details(Code::ResourceExhausted, "", retry_info(0, 1_000_000)),
    ] {
        let collector = Collector::start([Reply::Status(status)]);
        let bench = traces_to(endpoint(&collector));
        bench.run("fetch");
        assert!(bench.flush().completed);
        let spans = bench.shutdown(LONG).spans;
        assert_eq!((spans.exported, spans.dropped.total()), (1, 0));
        assert_eq!(collector.seen().len(), 2);
    }
}

#[test]
fn a_refusal_is_not_repeated_and_its_text_is_shown() {
    keep_warnings();
    for (status, text) in [
        (
            Status::invalid_argument("bad \x1b[31mspan"),
            "INVALID_ARGUMENT: bad \\u{1b}[31mspan",
        ),
        (
            Status::resource_exhausted("too many"),
            "RESOURCE_EXHAUSTED: too many",
        ),
        (Status::unauthenticated("who?"), "UNAUTHENTICATED: who?"),
    ] {
        let collector = Collector::start([Reply::Status(status)]);
        let bench = traces_to(endpoint(&collector).header("api-key", "secret").unwrap());
        bench.run("refused");
        bench.flush();
        bench.run("accepted");
        let spans = bench.shutdown(LONG).spans;
        assert_eq!((spans.exported, spans.dropped.export_failed), (1, 1));
        assert_eq!(collector.seen().len(), 2);
        let said = warnings(&collector.url());
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains(&format!("gRPC {}/: {text}", collector.url())),
            "{said:?}"
        );
        assert!(!said[0].contains("secret"), "{said:?}");
    }
}

#[test]
fn spans_that_the_collector_rejects_are_lost() {
    let collector = Collector::start([Reply::Partial(4, "too old")]);
    let bench = traces_to(endpoint(&collector));
    bench.run_many(10);
    let spans = bench.shutdown(LONG).spans;
    assert_eq!((spans.exported, spans.dropped.export_failed), (6, 4));
}

#[test]
fn a_collector_that_wants_to_rest_is_left_alone() {
    let status = Status::with_details(Code::ResourceExhausted, "", retry_info(1, 0));
    let collector = Collector::start([Reply::Status(status)]);
    let endpoint = endpoint(&collector).timeout(Duration::from_millis(300));
    let otlp = Otlp::to(Some(endpoint), None);
    let bench = Bench::new(Otel::builder().exporter(otlp).batch_size(10).build());
    let start = Instant::now();
    bench.run_many(50);
    assert!(bench.flush().completed);
    assert!(
        start.elapsed() > Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    let spans = bench.shutdown(LONG).spans;
    assert_eq!((spans.exported, spans.dropped.export_failed), (40, 10));
}

#[test]
fn a_collector_that_hangs_is_waited_for_until_the_deadline() {
    keep_warnings();
    let collector = Collector::start([Reply::Hang]);
    let bench = traces_to(endpoint(&collector).timeout(Duration::from_millis(300)));
    let start = Instant::now();
    bench.run("first");
    assert!(bench.flush().completed);
    assert!(
        start.elapsed() >= Duration::from_millis(250),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    bench.run("second");
    let spans = bench.shutdown(LONG).spans;
    assert_eq!((spans.exported, spans.dropped.export_failed), (1, 1));
    let said = warnings(&collector.url());
    assert_eq!(said.len(), 1, "{said:?}");
    // Whose clock was first.
    assert!(
        said[0].contains("took too long") || said[0].contains("CANCELLED"),
        "{said:?}"
    );
}

#[test]
fn a_collector_that_comes_back_is_connected_to_again() {
    for politely in [true, false] {
        let mut first = Collector::start([]);
        let address = first.address();
        let bench = traces_to(endpoint(&first));
        bench.run("before");
        assert!(bench.flush().completed);
        assert_eq!(first.spans().len(), 1);
        if politely {
            first.leave();
        } else {
            drop(first);
        }
        let second = Collector::start_as(Server::builder(), &address, []);
        bench.run("after");
        assert!(bench.flush().completed);
        assert_eq!(second.spans()[0].name, "after");
        let spans = bench.shutdown(LONG).spans;
        assert_eq!((spans.exported, spans.dropped.total()), (2, 0));
    }
}

#[test]
fn a_collector_that_is_down_is_warned_about() {
    keep_warnings();
    // A port below those that the system hands out, on which nothing listens.
    let url = "http://127.0.0.1:2";
    let bench = traces_to(Endpoint::grpc(url).unwrap());
    bench.run_many(10);
    let spans = bench.shutdown(Duration::from_millis(500)).spans;
    assert_eq!(spans.dropped.total(), 10);
    let said = warnings(url);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("refused"), "{said:?}");
}

#[test]
fn a_collector_of_another_protocol_is_recognised() {
    keep_warnings();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        // Until the exporter hangs up.
        stream.read_to_end(&mut Vec::new())
    });
    let bench = traces_to(Endpoint::grpc(&url).unwrap());
    bench.run("fetch");
    assert_eq!(bench.shutdown(LONG).spans.dropped.export_failed, 1);
    let said = warnings(&url);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("speaks HTTP/1"), "{said:?}");
}

/// The details of a status that ask for a pause.
fn retry_info(seconds: i64, nanos: i32) -> Bytes {
    #[derive(Clone, PartialEq, Message)]
    struct Delay {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    #[derive(Clone, PartialEq, Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        delay: Option<Delay>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Details {
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }
    let delay = Some(Delay { seconds, nanos });
    let any = Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: RetryInfo { delay }.encode_to_vec(),
    };
    Details { details: vec![any] }.encode_to_vec().into()
}

#[cfg(feature = "tls")]
mod tls {
    use tonic::transport::{Certificate, Identity, ServerTlsConfig};

    use super::*;
    use crate::authority::Authority;

    /// A collector that shows a certificate of the first authority, and wants one of the second.
    fn encrypted(servers: &Authority, clients: Option<&Authority>) -> Collector {
        let ours = servers.identity("localhost");
        let mut tls =
            ServerTlsConfig::new().identity(Identity::from_pem(&ours.certificate, &ours.key));
        if let Some(clients) = clients {
            tls = tls.client_ca_root(Certificate::from_pem(&clients.pem));
        }
        let server = Server::builder().tls_config(tls).unwrap();
        Collector::start_as(server, "127.0.0.1:0", [])
    }

    fn localhost(collector: &Collector) -> Endpoint {
        let url = collector
            .url()
            .replace("http://127.0.0.1", "https://localhost");
        Endpoint::grpc(&url).unwrap()
    }

    #[test]
    fn a_collector_with_an_authority_of_its_own_gets_spans() {
        let authority = Authority::new();
        let collector = encrypted(&authority, None);
        let endpoint = localhost(&collector).certificate(authority.pem.as_bytes());
        let bench = traces_to(endpoint.unwrap());
        bench.run_many(3_000);
        assert_eq!(bench.shutdown(LONG).spans.exported, 3_000);
        assert_eq!(collector.spans().len(), 3_000);
    }

    #[test]
    fn a_collector_that_asks_who_we_are_is_told() {
        let (servers, clients) = (Authority::new(), Authority::new());
        let us = clients.identity("us");
        let collector = encrypted(&servers, Some(&clients));
        let anonymous = localhost(&collector)
            .certificate(servers.pem.as_bytes())
            .unwrap();
        let known = anonymous
            .clone()
            .client_certificate(us.certificate.as_bytes(), us.key.as_bytes())
            .unwrap();
        for (endpoint, exported) in [(known, 1), (anonymous, 0)] {
            let bench = traces_to(endpoint);
            bench.run("fetch");
            assert_eq!(bench.shutdown(LONG).spans.exported, exported);
        }
        assert_eq!(collector.spans().len(), 1);
    }

    #[test]
    fn a_collector_that_nobody_trusted_vouches_for_gets_nothing() {
        keep_warnings();
        let collector = encrypted(&Authority::new(), None);
        let endpoint = localhost(&collector);
        let bench = traces_to(endpoint);
        bench.run("fetch");
        assert_eq!(bench.shutdown(LONG).spans.dropped.export_failed, 1);
        let port = collector.address().replace("127.0.0.1", "");
        let said = warnings(&port);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("invalid peer certificate"), "{said:?}");
    }
}
