//! HTTP in and out for telemetry_rt, each request a span and part of the metrics, with its context on
//! the wire.
//!
//! A web service is ten lines. What its handlers do — their tasks, their functions on the blocking
//! pool, the requests that they send — hangs below the request that caused it, in this process and in
//! the next, and no handler says anything of that:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use telemetry_rt::net::TcpListener;
//!
//! #[telemetry_rt::main]
//! async fn main() -> std::io::Result<()> {
//!     let router = Router::new().route("/hello/{name}", get(|| async { "hello" }));
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     telemetry_rt_http::serve(listener, router).await?;
//!     Ok(())
//! }
//! ```
//!
//! and so is a request that goes out:
//!
//! ```no_run
//! # #[telemetry_rt::main]
//! # async fn main() -> Result<(), telemetry_rt_http::Error> {
//! let client = telemetry_rt_http::Client::new();
//! let response = client.get("http://127.0.0.1:8080/hello/ada").send().await?;
//! println!("{}", response.into_body().text().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! | to do | use |
//! |---|---|
//! | serve an axum `Router`, or any tower service, within [`Limits`] | [`serve`] |
//! | have requests seen that another server takes | [`ServerLayer`] |
//! | send requests | [`Client`] |
//! | have requests seen that another client sends | [`ClientLayer`] |
//! | let Prometheus have the metrics, by a route | `metrics` (feature `axum`) |
//!
//! Both sides are configured by the builder of their layer, and by variables. `docs/http.md` in the
//! repository says what is recorded, what can be configured, and what is believed of a peer.
//!
//! hyper, tower and axum do what they can do; what is ours is what is recorded, and the glue to the
//! runtime.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `axum` | yes | the routes of a `Router` in spans and metrics, bodies of requests measured as they arrive, `metrics` |
//! | `tls` | yes | `https` for the client |
#![forbid(unsafe_code)]

mod connection;
mod rt;

mod common;

mod client;
mod serve;
mod server;

#[cfg(feature = "axum")]
mod metrics_route;

pub use client::{
    Body, Client, ClientBuilder, ClientLayer, ClientLayerBuilder, ClientService, Error, Failure,
    RequestBuilder, ResendCount, ResponseBody, ResponseFuture, TracedBody, UrlTemplate,
};
pub use common::{captured::HeaderList, excluded::ExcludedUrls, patterns::PatternError};
pub use connection::Connection;
#[cfg(feature = "axum")]
pub use metrics_route::metrics;
pub use serve::{
    Accepted, BodyTimeout, CloseReason, LimitedBody, Limits, Listener, Report, RequestBody, Serve,
    Serving, serve,
};
pub use server::{
    Received, RemoteParent, Route, Sent, Server, ServerBody, ServerFuture, ServerLayer,
    ServerLayerBuilder,
};
