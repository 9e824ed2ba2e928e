//! A service that says in which context it was called, and what the next service says to that.
//! `scripts/trace-through-python.sh` puts two of it between services in Python.
//!
//! ```sh
//! NEXT=http://127.0.0.1:8000/confirm OTEL_TRACES_EXPORTER=console \
//!     cargo run --package telemetry_rt-http --example relay -- many-threads 8001
//! curl http://127.0.0.1:8001/relay/teapot
//! ```
//!
//! The first argument is `many-threads` or `one-thread`, the second a port. The next service is
//! called by a task of its own; the context is read on the blocking pool. Neither is told about it.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt, KeyValueMetadata};
use opentelemetry::context::FutureExt;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Value, json};
use telemetry_rt::net::TcpListener;
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::signal::unix::{SignalKind, signal};
use telemetry_rt::task::spawn_blocking;
use telemetry_rt_http::{Client, serve};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The next service, and who calls it.
#[derive(Clone)]
struct Next {
    client: Client,
    url: String,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [threads, port] = &arguments[..] else {
        return Err("usage: relay many-threads|one-thread PORT".into());
    };
    let url = env::var("NEXT").map_err(|_| "NEXT has to be the URL of the next service")?;
    runtime(threads)?.block_on(run(port.parse()?, url))
}

fn runtime(threads: &str) -> Result<Runtime> {
    let mut builder = match threads {
        "many-threads" => Builder::new_multi_thread(),
        "one-thread" => Builder::new_current_thread(),
        other => return Err(format!("{other} is neither many-threads nor one-thread").into()),
    };
    Ok(builder.enable_all().build()?)
}

async fn run(port: u16, url: String) -> Result<()> {
    let client = Client::new();
    let router = Router::new()
        .route("/relay/{item}", get(relay))
        .with_state(Next { client, url });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut end = signal(SignalKind::terminate())?;
    serve(listener, router)
        .with_graceful_shutdown(async move {
            end.recv().await;
        })
        .await?;
    Ok(())
}

async fn relay(
    State(next): State<Next>,
    Path(item): Path<String>,
) -> std::result::Result<Json<Value>, (StatusCode, String)> {
    let asked = telemetry_rt::spawn(ask_next(next, item)).await;
    let answer = asked.map_err(Into::into).flatten();
    answer
        .map(Json)
        .map_err(|error: Box<dyn Error + Send + Sync>| (StatusCode::BAD_GATEWAY, error.to_string()))
}

async fn ask_next(next: Next, item: String) -> Result<Value> {
    let mut answer = spawn_blocking(seen).await?;
    let context = having_been_here(&Context::current());
    answer["next"] = fetch(&next, &item).with_context(context).await?;
    Ok(answer)
}

async fn fetch(next: &Next, item: &str) -> Result<Value> {
    let response = next
        .client
        .get(format!("{}/{item}", next.url))
        .send()
        .await?;
    let text = response.into_body().text().await?;
    Ok(serde_json::from_str(&text)?)
}

/// The current context, in the words of the services in Python.
fn seen() -> Value {
    let context = Context::current();
    let span = context.span().span_context().clone();
    let baggage: BTreeMap<&str, &str> = context
        .baggage()
        .iter()
        .map(|(key, (value, _))| (key.as_str(), value.as_str()))
        .collect();
    json!({
        "service": service(),
        "trace_id": span.trace_id().to_string(),
        "tracestate": span.trace_state().header(),
        "baggage": baggage,
    })
}

/// Tells all that come after this one that it was there.
fn having_been_here(context: &Context) -> Context {
    let before = context.baggage().iter().map(|(key, (value, metadata))| {
        KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
    });
    let here = KeyValueMetadata::new(format!("via-{}", service()), "yes", "");
    context.with_baggage(before.chain([here]))
}

fn service() -> String {
    env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "relay".to_owned())
}
