//! What of a span is cut for a request, whatever limits were asked for: one value that is very long
//! would cost all spans that are sent with it.

use std::borrow::Cow;

use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::export::length::shorten_values;

/// A longer text is cut, and so is a list with more in it.
pub(super) const MOST_CHARACTERS: usize = 64 * 1024;

pub(super) fn shorten(span: &mut SpanData) {
    shorten_values(span, MOST_CHARACTERS);
    shorten_name(&mut span.name);
    if let Status::Error { description } = &mut span.status {
        shorten_name(description);
    }
    span.attributes.iter_mut().for_each(shorten_rest);
    for event in &mut span.events.events {
        shorten_name(&mut event.name);
        event.attributes.iter_mut().for_each(shorten_rest);
    }
    for link in &mut span.links.links {
        link.attributes.iter_mut().for_each(shorten_rest);
    }
}

/// The key, and the list if it is one.
fn shorten_rest(attribute: &mut KeyValue) {
    if let Some(end) = end_of(attribute.key.as_str()) {
        attribute.key = Key::new(attribute.key.as_str()[..end].to_owned());
    }
    if let Value::Array(list) = &mut attribute.value {
        shorten_list(list);
    }
}

fn shorten_list(list: &mut Array) {
    match list {
        Array::Bool(list) => list.truncate(MOST_CHARACTERS),
        Array::I64(list) => list.truncate(MOST_CHARACTERS),
        Array::F64(list) => list.truncate(MOST_CHARACTERS),
        Array::String(list) => {
            let mut length = 0;
            // An empty one takes its place, too.
            list.retain(|text| {
                length += text.as_str().len() + 1;
                length <= 2 * MOST_CHARACTERS
            });
        }
        // Lists of whatever comes later are sent as they are.
        _ => {}
    }
}

fn shorten_name(name: &mut Cow<'static, str>) {
    if let Some(end) = end_of(name) {
        *name = name[..end].to_owned().into();
    }
}

/// Where a text is to end, if it is too long. A character is a byte at least, so most texts need
/// not be looked through.
fn end_of(text: &str) -> Option<usize> {
    let may_be_long = text.len() > MOST_CHARACTERS;
    let end = may_be_long.then(|| text.char_indices().nth(MOST_CHARACTERS));
    end.flatten().map(|(end, _)| end)
}
