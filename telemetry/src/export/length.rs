//! How long the values of attributes may be.

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// Cuts each text in the attributes of a span, of its events and of its links to so many
/// characters. Numbers have no length; other lists than those of texts stay as they are.
pub(super) fn shorten_values(span: &mut SpanData, most: usize) {
    shorten_all(&mut span.attributes, most);
    for event in &mut span.events.events {
        shorten_all(&mut event.attributes, most);
    }
    for link in &mut span.links.links {
        shorten_all(&mut link.attributes, most);
    }
}

pub(super) fn shorten_all(attributes: &mut [KeyValue], most: usize) {
    for attribute in attributes {
        shorten(&mut attribute.value, most);
    }
}

fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) => shorten_text(text, most),
        Value::Array(Array::String(texts)) => {
            texts.iter_mut().for_each(|text| shorten_text(text, most));
        }
        _ => {}
    }
}

fn shorten_text(text: &mut StringValue, most: usize) {
    let whole = text.as_str();
    // A character is a byte at least, so most texts need not be looked through.
    if whole.len() > most
        && let Some((end, _)) = whole.char_indices().nth(most)
    {
        *text = whole[..end].to_owned().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(value: impl Into<Value>, most: usize) -> Value {
        let mut value = value.into();
        shorten(&mut value, most);
        value
    }

    #[test]
    fn texts_are_cut_between_characters_and_numbers_are_left_alone() {
        for (text, most, cut) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äöü"),
            ("a", 0, ""),
        ] {
            assert_eq!(shortened(text, most), Value::from(cut), "{text} {most}");
        }
        let list =
            |texts: [&'static str; 2]| Value::Array(Array::String(texts.map(Into::into).into()));
        assert_eq!(shortened(list(["abc", "d"]), 1), list(["a", "d"]));
        assert_eq!(shortened(12345, 1), Value::from(12345));
    }
}
