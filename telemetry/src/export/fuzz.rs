//! What the fuzzer feeds: the places at which bytes from outside come in.

pub use super::otlp::fuzz::{grpc_reply, grpc_status, http_reply};
pub use super::prometheus::fuzz_request as prometheus_request;
