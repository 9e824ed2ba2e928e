//! A collector with faults: each connection gets the next one of a script, and after these a proper
//! answer.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use prost::Message;

/// What is done with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// These bytes at once, and the others one by one, with a pause before each.
    Bytes(Vec<u8>, Vec<u8>, Duration),
    /// These bytes, and then the others for ever, as fast as they are taken.
    Endless(Vec<u8>, &'static [u8]),
    /// The connection is reset while the request is sent.
    Reset,
    /// Nothing is ever said.
    Silence,
}

impl Fault {
    pub fn at_once(bytes: impl Into<Vec<u8>>) -> Fault {
        Fault::Bytes(bytes.into(), Vec::new(), Duration::ZERO)
    }

    /// An answer of this status, with whole lines as headers.
    pub fn answer(status: u16, headers: &str, body: &[u8]) -> Fault {
        Fault::at_once([head(status, headers, body.len()).as_slice(), body].concat())
    }

    fn accepts(&self) -> bool {
        match self {
            Fault::Bytes(bytes, others, _) => {
                [bytes.as_slice(), others].concat().starts_with(ACCEPTED)
            }
            Fault::Endless(bytes, _) => bytes.starts_with(ACCEPTED),
            Fault::Reset | Fault::Silence => false,
        }
    }
}

const ACCEPTED: &[u8] = b"HTTP/1.1 200";

/// The beginning of an answer.
pub fn head(status: u16, headers: &str, length: usize) -> Vec<u8> {
    let length = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
    format!("HTTP/1.1 {status} X\r\n{headers}{length}").into()
}

pub struct Faulty {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    script: VecDeque<Fault>,
    attempts: usize,
    /// How many spans were accepted.
    spans: u64,
    /// Each set of metrics that was accepted.
    metrics: Vec<Vec<Metric>>,
    /// The longest body of a request.
    longest: usize,
    /// All that came, whether it was accepted or not.
    bytes: Vec<u8>,
    /// How many bytes of endless answers were taken.
    written: u64,
}

impl Faulty {
    pub fn start(script: impl IntoIterator<Item = Fault>) -> Faulty {
        Faulty::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub fn on(listener: TcpListener, script: impl IntoIterator<Item = Fault>) -> Faulty {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen {
            script: script.into_iter().collect(),
            ..Seen::default()
        }));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = Arc::clone(&shared);
                thread::spawn(move || serve(stream.unwrap(), &seen));
            }
        });
        Faulty { address, seen }
    }

    pub fn url(&self, signal: &str) -> String {
        format!("http://{}/v1/{signal}", self.address)
    }

    pub fn attempts(&self) -> usize {
        self.seen.lock().unwrap().attempts
    }

    pub fn spans(&self) -> u64 {
        self.seen.lock().unwrap().spans
    }

    pub fn metrics(&self) -> Vec<Vec<Metric>> {
        self.seen.lock().unwrap().metrics.clone()
    }

    pub fn longest(&self) -> usize {
        self.seen.lock().unwrap().longest
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().bytes.clone()
    }

    pub fn written(&self) -> u64 {
        self.seen.lock().unwrap().written
    }
}

/// The sum of all points of a counter.
pub fn total(metrics: &[Metric], name: &str) -> u64 {
    let of_point = |point: &NumberDataPoint| match point.value {
        Some(Value::AsInt(value)) => u64::try_from(value).unwrap(),
        ref other => panic!("{name}: {other:?}"),
    };
    let metric = metrics.iter().find(|metric| metric.name == name);
    match metric.and_then(|metric| metric.data.as_ref()) {
        Some(Data::Sum(sum)) => sum.data_points.iter().map(of_point).sum(),
        other => panic!("{name}: {other:?}"),
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Seen>) {
    let fault = {
        let mut seen = seen.lock().unwrap();
        seen.attempts += 1;
        seen.script.pop_front()
    };
    if let Some(Fault::Reset) = fault {
        // What was sent and not read makes a reset out of the end.
        let _ = (&stream).read_exact(&mut [0; 10]);
        return;
    }
    let mut reader = BufReader::new(&stream);
    let Some((path, body)) = read(&mut reader) else {
        return;
    };
    let fault = fault.unwrap_or_else(|| Fault::answer(200, "", b""));
    note(&mut seen.lock().unwrap(), &path, &body, fault.accepts());
    answer(&stream, fault, seen);
}

fn read(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        (reader.read_until(b'\n', &mut head).ok()? > 0).then_some(())?;
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    if head.starts_with("pri * http/2.0") {
        return Some((String::new(), Vec::new()));
    }
    let (_, rest) = head.split_once("content-length: ")?;
    let mut body = vec![0; rest.lines().next()?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((head.split(' ').nth(1)?.to_owned(), body))
}

fn note(seen: &mut Seen, path: &str, body: &[u8], accepted: bool) {
    seen.longest = seen.longest.max(body.len());
    seen.bytes.extend_from_slice(body);
    if !accepted || path.is_empty() {
        return;
    }
    if path.contains("traces") {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request
            .resource_spans
            .iter()
            .flat_map(|all| &all.scope_spans);
        seen.spans += scopes.map(|scope| scope.spans.len() as u64).sum::<u64>();
    } else {
        let mut request = ExportMetricsServiceRequest::decode(body).unwrap();
        let metrics = &mut request.resource_metrics[0].scope_metrics[0].metrics;
        seen.metrics.push(std::mem::take(metrics));
    }
}

/// Until the peer hangs up, at the latest.
fn answer(mut stream: &TcpStream, fault: Fault, seen: &Mutex<Seen>) {
    match fault {
        Fault::Bytes(bytes, others, pause) => {
            let _ = stream.write_all(&bytes);
            for byte in others {
                thread::sleep(pause);
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
            }
        }
        Fault::Endless(bytes, others) => {
            let _ = stream.write_all(&bytes);
            let others = others.repeat(4096);
            while stream.write_all(&others).is_ok() {
                seen.lock().unwrap().written += others.len() as u64;
            }
        }
        Fault::Silence => drop(stream.read(&mut [0])),
        Fault::Reset => unreachable!("it was reset before the request was read"),
    }
}
