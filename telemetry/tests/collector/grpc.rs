//! An OTLP collector for tests that speaks gRPC: the server of the crate `tonic`, on a thread of
//! its own, with scripted replies.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::runtime;
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What the collector does with one request.
pub enum Reply {
    Status(Status),
    /// Accepts all but so many.
    Partial(i64, &'static str),
    /// Never answers.
    Hang,
}

/// One request for either signal.
#[derive(Clone)]
pub struct Seen {
    metadata: MetadataMap,
    spans: Vec<Span>,
    metrics: Vec<Metric>,
}

impl Seen {
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.to_str().ok()
    }
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
    spans: Vec<Span>,
    metrics: Vec<Metric>,
}

pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    leave: Option<oneshot::Sender<()>>,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Answers with these replies, and after them always that all was accepted.
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Collector {
        Collector::start_as(Server::builder(), "127.0.0.1:0", replies)
    }

    /// The same with settings of a server, at an address.
    pub fn start_as(
        server: Server,
        address: &str,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Collector {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            replies: replies.into_iter().collect(),
            ..State::default()
        }));
        let service = Service(Arc::clone(&state));
        let (leave, left) = oneshot::channel();
        let (kill, killed) = oneshot::channel();
        let thread = thread::spawn(move || serve(server, listener, service, left, killed));
        Collector {
            address,
            state,
            leave: Some(leave),
            kill: Some(kill),
            thread: Some(thread),
        }
    }

    /// Takes no new connections, and says goodbye on those that there are.
    pub fn leave(&mut self) {
        drop(self.leave.take());
        // A listener that is closed refuses.
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// All spans of accepted requests.
    pub fn spans(&self) -> Vec<Span> {
        self.state.lock().unwrap().spans.clone()
    }

    /// The metrics of the last accepted request.
    pub fn last_metrics(&self) -> Vec<Metric> {
        self.state.lock().unwrap().metrics.clone()
    }
}

impl Drop for Collector {
    /// Closes everything without a word.
    fn drop(&mut self) {
        drop(self.kill.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(
    mut server: Server,
    listener: TcpListener,
    service: Service,
    left: oneshot::Receiver<()>,
    killed: oneshot::Receiver<()>,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let service = Arc::new(service);
        let traces = TraceServiceServer::from_arc(Arc::clone(&service))
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(64 << 20);
        let metrics =
            MetricsServiceServer::from_arc(service).accept_compressed(CompressionEncoding::Gzip);
        let left = async { drop(left.await) };
        let serving = server
            .add_service(traces)
            .add_service(metrics)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), left);
        tokio::select! {
            served = serving => served.unwrap(),
            _ = killed => {}
        }
    });
}

struct Service(Arc<Mutex<State>>);

impl Service {
    /// Notes a request, and says how many of it are to be refused.
    async fn answer(&self, seen: Seen) -> Result<(i64, &'static str), Status> {
        let reply = {
            let mut state = self.0.lock().unwrap();
            let reply = state.replies.pop_front();
            if matches!(reply, None | Some(Reply::Partial(..))) {
                state.spans.extend(seen.spans.clone());
                if !seen.metrics.is_empty() {
                    state.metrics.clone_from(&seen.metrics);
                }
            }
            state.seen.push(seen);
            reply
        };
        match reply {
            None => Ok((0, "")),
            Some(Reply::Partial(rejected, message)) => Ok((rejected, message)),
            Some(Reply::Status(status)) => Err(status),
            Some(Reply::Hang) => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let scopes = request
            .resource_spans
            .into_iter()
            .flat_map(|of_resource| of_resource.scope_spans);
        let seen = Seen {
            metadata,
            spans: scopes.flat_map(|of_scope| of_scope.spans).collect(),
            metrics: Vec::new(),
        };
        let (rejected_spans, message) = self.answer(seen).await?;
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: message.to_owned(),
            }),
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let scopes = request
            .resource_metrics
            .into_iter()
            .flat_map(|of_resource| of_resource.scope_metrics);
        let seen = Seen {
            metadata,
            spans: Vec::new(),
            metrics: scopes.flat_map(|of_scope| of_scope.metrics).collect(),
        };
        self.answer(seen).await?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
