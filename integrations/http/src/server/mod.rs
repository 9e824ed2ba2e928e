//! Spans and metrics of requests that come in.
//!
//! In reading order: [`ServerLayer`] is what an application adds, and [`ServerLayerBuilder`] how it
//! configures it (`builder`, `config`); [`Server`] is the service that it makes (`service`), whose
//! future (`future`) and response body (`response_body`) hold what a request is until it has ended
//! (`in_flight`); `request_body` counts what arrives.
//!
//! # The life of a request
//!
//! ```text
//!   call ──► future ──► head ──► body ──► its end         complete, or the body failed
//!     │         │         │        └────► dropped          the client went, or we gave up
//!     │         │         └─────────────► no body, upgrade complete
//!     │         └──► error, panic, dropped before the head
//!     └──► panic
//! ```
//!
//! Each of these ways ends the span once, records the duration once and counts the request off once:
//! an `InFlight` is owned by the future, then by the body, and ends itself when it is dropped before
//! somebody has ended it.

mod builder;
mod config;
mod layer;
mod service;

mod attributes;
mod forwarded;
mod future;
mod hooks;
mod in_flight;
mod metrics;
mod request_body;
mod response_body;
mod route;
mod start;
mod telemetry;

#[cfg(all(test, feature = "axum"))]
mod tests;

pub use builder::ServerLayerBuilder;
pub use config::RemoteParent;
pub use future::ServerFuture;
pub use hooks::{Received, Sent};
pub use layer::ServerLayer;
pub use response_body::ServerBody;
pub use route::Route;
pub use service::Server;
