//! What a panic of an application's code says: of an exporter, or of a provider.

use std::any::Any;

/// The message that a panic was raised with.
pub(super) fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}
