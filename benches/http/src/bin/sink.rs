//! A collector that counts spans and keeps nothing. `GET /counts` says how many came: all of them,
//! and those of servers.
//!
//! It looks at the lengths in the messages of OTLP, and decodes no more of them: it runs beside what
//! is measured.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http_contenders::{announce, asked_to_stop};
use tokio::net::TcpListener;

// They are only ever added to, by one thread.
static SPANS: AtomicU64 = AtomicU64::new(0);
static OF_SERVERS: AtomicU64 = AtomicU64::new(0);
static EXPORTS_OF_METRICS: AtomicU64 = AtomicU64::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(listener.local_addr().expect("its address"));
    let router = Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(metrics))
        .route("/counts", get(counts))
        .layer(DefaultBodyLimit::disable());
    axum::serve(listener, router)
        .with_graceful_shutdown(asked_to_stop())
        .await
        .expect("it serves");
}

async fn traces(body: Bytes) {
    // resource_spans, scope_spans, spans: fields 1, 2, 2.
    for resource in fields(&body, 1) {
        for scope in fields(resource, 2) {
            for span in fields(scope, 2) {
                SPANS.fetch_add(1, Relaxed);
                OF_SERVERS.fetch_add(u64::from(is_of_server(span)), Relaxed);
            }
        }
    }
}

async fn metrics() {
    EXPORTS_OF_METRICS.fetch_add(1, Relaxed);
}

async fn counts() -> String {
    let [spans, servers, metrics] =
        [&SPANS, &OF_SERVERS, &EXPORTS_OF_METRICS].map(|count| count.load(Relaxed));
    format!("{spans} {servers} {metrics}\n")
}

/// A span's field 6 is its kind; 2 is that of servers.
fn is_of_server(span: &[u8]) -> bool {
    Fields(span).any(|field| matches!(field, (6, Value::Number(2))))
}

/// The nested messages of a number.
fn fields(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |field| match field {
        (number, Value::Bytes(bytes)) if number == wanted => Some(bytes),
        _ => None,
    })
}

/// The fields of a message of protobuf, with their numbers. What cannot be read ends it.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.bytes(usize::try_from(length).ok()?)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}
