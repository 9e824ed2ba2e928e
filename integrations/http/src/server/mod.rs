//! Spans and metrics of requests that come in.
