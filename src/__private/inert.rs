//! The macros' helpers where nothing is recorded.

use std::future::Future;

/// An attribute of a span that is not recorded.
pub struct KeyValue;

impl KeyValue {
    /// Forgets both.
    pub fn new<K, V>(_key: K, _value: V) -> KeyValue {
        KeyValue
    }
}

/// The future as it is.
pub fn span_future<F: Future>(
    _name: &'static str,
    _attributes: impl FnOnce() -> Vec<KeyValue>,
    _file: &'static str,
    _line: u32,
    _function: &'static str,
    future: F,
) -> F {
    future
}

/// Calls the function.
pub fn span_sync<T>(
    _name: &'static str,
    _attributes: impl FnOnce() -> Vec<KeyValue>,
    _file: &'static str,
    _line: u32,
    _function: &'static str,
    body: impl FnOnce() -> T,
) -> T {
    body()
}
