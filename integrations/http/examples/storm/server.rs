//! The server: an axum `Router` with full telemetry, within limits that are short, so that a storm of
//! seconds meets them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};
use opentelemetry_sdk::trace::Sampler;
use telemetry_rt::net::TcpListener;
use telemetry_rt::otel::{self, MetricSource, Otel};
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::JoinHandle;
use telemetry_rt::time::sleep;
use telemetry_rt_http::{Limits, Report, ServerLayer, serve};

use crate::Failure;
use crate::count::{CountingExporter, Counts, count};
use crate::{heap, process};

/// Of the answer that the deaf ask for: more than the buffers of a socket hold.
const LARGE: usize = 8 << 20;
const MOST_BODY: u64 = 1 << 20;
/// How long the end of the runtime may take.
const END: Duration = Duration::from_secs(30);

pub struct Server {
    pub address: SocketAddr,
    pub counts: Arc<Counts>,
    runtime: Runtime,
    metrics: MetricSource,
    task: JoinHandle<std::io::Result<Report>>,
    stop: oneshot::Sender<()>,
}

/// What the server holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    pub tasks: usize,
    pub descriptors: Option<usize>,
    /// KiB.
    pub resident: u64,
    /// KiB that are allocated and not freed.
    pub heap: i64,
}

/// What is known when the server has ended.
pub struct Ended {
    pub report: Report,
    pub spans: otel::Report,
    pub metrics: Vec<otel::Metric>,
    pub counts: Arc<Counts>,
}

impl Server {
    pub fn start() -> Result<Server, Failure> {
        let counts = Arc::new(Counts::default());
        let otel = Otel::builder()
            .exporter(CountingExporter(Arc::clone(&counts)))
            .sampler(Sampler::AlwaysOn)
            .queue_size(1 << 16)
            .schedule_delay(Duration::from_millis(100))
            .build();
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .otel(otel)
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let own = Arc::clone(&counts);
        let layer = ServerLayer::builder().server_request_hook(move |_, _| own.begin());
        let serving = serve(listener, router(&counts))
            .layer(layer.build())
            .limits(limits())
            .shutdown_deadline(Duration::from_secs(1))
            .with_graceful_shutdown(async { drop(stopped.await) });
        Ok(Server {
            address,
            counts,
            task: runtime.spawn(serving.into_future()),
            metrics: otel::metrics(runtime.handle()),
            runtime,
            stop,
        })
    }

    pub fn held(&self) -> Held {
        Held {
            tasks: self.tasks(),
            descriptors: process::descriptors(),
            resident: process::resident(),
            heap: heap::live(),
        }
    }

    /// Live tasks: the server, and each connection and stream.
    pub fn tasks(&self) -> usize {
        self.runtime.handle().metrics().num_alive_tasks()
    }

    pub fn metrics(&self) -> Vec<otel::Metric> {
        self.metrics.collect()
    }

    /// Shuts the server down, and then its runtime.
    pub fn stop(self) -> Result<Ended, Failure> {
        self.stop
            .send(())
            .map_err(|()| "the server ended by itself")?;
        let report = self.runtime.block_on(self.task)??;
        let spans = self.runtime.shutdown(END).unwrap_or_default();
        Ok(Ended {
            report,
            spans,
            metrics: self.metrics.collect(),
            counts: self.counts,
        })
    }
}

fn limits() -> Limits {
    let short = Duration::from_secs(1);
    Limits::default()
        .header_timeout(2 * short)
        .idle_timeout(4 * short)
        .write_timeout(2 * short)
        .body_timeout(short)
        .ping_interval(short)
        .ping_timeout(short)
        .max_body_bytes(MOST_BODY)
}

fn router(counts: &Arc<Counts>) -> Router {
    let large = Bytes::from(vec![b'x'; LARGE]);
    Router::new()
        .route("/", get(async || "Hello, storm!"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/large", get(async move || large.clone()))
        .route("/wait", get(wait))
        .route("/fails", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .layer(middleware::from_fn_with_state(Arc::clone(counts), count))
}

async fn wait() {
    sleep(Duration::from_millis(200)).await;
}
