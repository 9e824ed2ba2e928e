//! What a collector that has accepted a request says of its parts.

use prost::Message;

use super::failure::shown_text;
use crate::export::diagnostics::warn;
use crate::export::exporter::ExportError;

/// `ExportTraceServiceResponse` and `ExportMetricsServiceResponse`, which differ in their names only.
#[derive(Clone, PartialEq, Message)]
struct Reply {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    /// Spans or data points.
    #[prost(int64, tag = "1")]
    rejected: i64,
    /// Text by the protocol. But collectors quote what they reject, some without looking at it, and
    /// the number is not to be lost with the text.
    #[prost(bytes = "vec", tag = "2")]
    message: Vec<u8>,
}

/// Whether all of the request was taken. The collector has accepted it: a reply that is not
/// understood takes nothing back.
pub(super) fn result_of(reply: &[u8]) -> Result<(), ExportError> {
    let reply = Reply::decode(reply).unwrap_or_default();
    let Some(PartialSuccess { rejected, message }) = reply.partial_success else {
        return Ok(());
    };
    let message = shown_text(&String::from_utf8_lossy(&message));
    match u64::try_from(rejected) {
        Ok(rejected @ 1..) => return Err(ExportError::partial(rejected, message)),
        // By the specification a message without rejections is a warning.
        _ if !message.is_empty() => warn(format_args!("the OTLP collector warns: {message}")),
        _ => {}
    }
    Ok(())
}
