//! A collector in a few lines: it takes spans by OTLP, and keeps them.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use telemetry_rt::net::TcpListener;
use telemetry_rt::sync::oneshot;
use telemetry_rt::task::JoinHandle;

use crate::Failure;

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<ResourceSpans>>>,
}

pub struct Collector {
    endpoint: String,
    kept: Kept,
    end: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Result<Collector, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let kept = Kept::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(kept.clone());
        let (end, ended) = oneshot::channel();
        let server = telemetry_rt::spawn(async move {
            let serve = telemetry_rt_http::serve(listener, router)
                // Its own requests are of no interest.
                .without_telemetry()
                .with_graceful_shutdown(async { drop(ended.await) });
            if let Err(error) = serve.await {
                eprintln!("shop: the collector: {error}");
            }
        });
        Ok(Collector {
            endpoint,
            kept,
            end,
            server,
        })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Ends, and gives back all spans that came.
    pub async fn stop(self) -> Vec<ResourceSpans> {
        // It may have ended by itself.
        let _ = self.end.send(());
        let _ = self.server.await;
        std::mem::take(&mut *lock(&self.kept))
    }
}

async fn take(State(kept): State<Kept>, body: Bytes) -> StatusCode {
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            lock(&kept).extend(request.resource_spans);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

fn lock(kept: &Kept) -> std::sync::MutexGuard<'_, Vec<ResourceSpans>> {
    kept.spans.lock().unwrap_or_else(PoisonError::into_inner)
}
