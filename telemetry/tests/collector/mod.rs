//! An OTLP collector for tests: a listener on a thread, with scripted replies.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// What the collector does with one request.
#[derive(Clone, Debug)]
pub enum Reply {
    Http {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Http {
            status,
            headers: String::new(),
            body: Vec::new(),
        }
    }

    pub fn with_header(mut self, header: &str) -> Reply {
        if let Reply::Http { headers, .. } = &mut self {
            *headers += &format!("{header}\r\n");
        }
        self
    }

    pub fn with_body(mut self, text: &[u8]) -> Reply {
        if let Reply::Http { body, .. } = &mut self {
            *body = text.to_vec();
        }
        self
    }
}

/// One request, decompressed.
#[derive(Clone, Debug)]
pub struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the answer said that it was accepted.
    accepted: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn size(&self) -> usize {
        self.body.len()
    }

    pub fn traces(&self) -> ExportTraceServiceRequest {
        assert_eq!(self.path, "/v1/traces");
        Message::decode(&self.body[..]).unwrap()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        assert_eq!(self.path, "/v1/metrics");
        let request: ExportMetricsServiceRequest = Message::decode(&self.body[..]).unwrap();
        request.resource_metrics[0].scope_metrics[0].metrics.clone()
    }

    /// All metrics by their scopes.
    pub fn scopes(&self) -> Vec<ScopeMetrics> {
        assert_eq!(self.path, "/v1/metrics");
        let mut request: ExportMetricsServiceRequest = Message::decode(&self.body[..]).unwrap();
        request.resource_metrics.remove(0).scope_metrics
    }
}

pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    requests: Vec<Request>,
}

impl Collector {
    /// Answers with these replies, and after them always with 200.
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            replies: replies.into_iter().collect(),
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream.unwrap(), &state));
            }
        });
        Collector { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// All spans of accepted requests.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests();
        let accepted = requests
            .iter()
            .filter(|request| request.accepted && request.path == "/v1/traces");
        accepted
            .flat_map(|request| request.traces().resource_spans)
            .flat_map(|of_resource| of_resource.scope_spans)
            .flat_map(|of_scope| of_scope.spans)
            .collect()
    }

    pub fn last_metrics(&self) -> Vec<Metric> {
        let requests = self.requests();
        requests
            .iter()
            .rfind(|request| request.path == "/v1/metrics")
            .unwrap()
            .metrics()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(mut request) = read(&mut reader) {
        let reply = {
            let mut state = state.lock().unwrap();
            let reply = state.replies.pop_front().unwrap_or(Reply::status(200));
            request.accepted = matches!(&reply, Reply::Http { status: 200, .. });
            state.requests.push(request);
            reply
        };
        match reply {
            Reply::Http {
                status,
                headers,
                body,
            } => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n",
                    body.len()
                );
                writer.write_all(head.as_bytes()).unwrap();
                writer.write_all(&body).unwrap();
            }
            Reply::Close => return,
            Reply::Hang => thread::sleep(Duration::from_secs(60)),
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let first = line(reader)?;
    let mut headers = Vec::new();
    while let Some((name, value)) = line(reader)?.split_once(':') {
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        path: first.split(' ').nth(1)?.to_owned(),
        headers,
        body: Vec::new(),
        accepted: false,
    };
    let length = request.header("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = match request.header("content-encoding") {
        Some("gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            plain
        }
        _ => body,
    };
    Some(request)
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
    Some(line.trim_end().to_owned())
}
