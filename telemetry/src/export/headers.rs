//! Which headers from elsewhere the propagators are shown.
//!
//! Those of the SDK are generous: they take ids that are too short or have a sign, and states with
//! line breaks in them, which would then leave by headers of ours. So they see only what has the
//! form that W3C Trace Context gives it; all else is as if it had not come, and a new trace begins.

use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};

/// A propagator that is shown well-formed headers only.
#[derive(Debug)]
pub(super) struct Checking<P>(pub(super) P);

impl<P: TextMapPropagator> TextMapPropagator for Checking<P> {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        self.0.inject_context(context, injector);
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        // Both formats are nothing without their first header. Most requests from outside have none,
        // and are not to pay for looking closer.
        let first = self.0.fields().next();
        if first.is_some_and(|name| extractor.get(name).is_none()) {
            return context.clone();
        }
        self.0.extract_with_context(context, &WellFormed(extractor))
    }

    fn fields(&self) -> FieldIter<'_> {
        self.0.fields()
    }
}

struct WellFormed<'a>(&'a dyn Extractor);

impl Extractor for WellFormed<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        let is_well_formed = match name {
            "traceparent" => is_parent(value.trim()),
            _ => value.bytes().all(is_text),
        };
        is_well_formed.then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys()
    }
}

/// What HTTP allows in a header.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits; a later version may add something to that.
fn is_parent(header: &str) -> bool {
    const LENGTH: usize = 55;
    let Some((start, more)) = header.as_bytes().split_at_checked(LENGTH) else {
        return false;
    };
    let has_form = start.iter().enumerate().all(|(place, byte)| match place {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    has_form && (more.is_empty() || (!start.starts_with(b"00") && more[0] == b'-'))
}
