//! HTTP in and out.
#![forbid(unsafe_code)]
#![allow(dead_code)]

mod connection;
mod rt;

mod common;

mod client;
mod serve;
mod server;

pub use client::{
    Body, Client, ClientBuilder, ClientLayer, ClientLayerBuilder, ClientService, Error, Failure,
    RequestBuilder, ResendCount, ResponseBody, ResponseFuture, TracedBody, UrlTemplate,
};
pub use common::{captured::HeaderList, excluded::ExcludedUrls, patterns::PatternError};
pub use connection::Connection;
pub use serve::{
    Accepted, BodyTimeout, CloseReason, LimitedBody, Limits, Listener, Report, RequestBody, Serve,
    Serving, serve,
};
pub use server::{
    Received, RemoteParent, Route, Sent, Server, ServerBody, ServerFuture, ServerLayer,
    ServerLayerBuilder,
};
#[cfg(feature = "axum")]
mod metrics_route;
#[cfg(feature = "axum")]
pub use metrics_route::metrics;
