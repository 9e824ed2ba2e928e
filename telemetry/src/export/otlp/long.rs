//! What of a span is cut for a request, whatever limits were asked for: one value that is very long
//! would cost all spans that are sent with it.

use opentelemetry::StringValue;

/// A longer text is cut, and so is a list with more in it.
pub(super) const MOST_CHARACTERS: usize = 64 * 1024;

/// As much of a text as is sent.
#[inline]
pub(super) fn cut(text: &str) -> &str {
    // A character is a byte at least, so most texts need not be looked through.
    match text.len() > MOST_CHARACTERS {
        true => cut_long(text),
        false => text,
    }
}

#[cold]
fn cut_long(text: &str) -> &str {
    let end = text.char_indices().nth(MOST_CHARACTERS);
    end.map_or(text, |(end, _)| &text[..end])
}

/// As much of a list as is sent.
pub(super) fn cut_list<T>(list: &[T]) -> &[T] {
    &list[..list.len().min(MOST_CHARACTERS)]
}

/// The texts of a list that are sent, each cut.
pub(super) fn cut_texts(list: &[StringValue]) -> impl Iterator<Item = &str> + Clone {
    let texts = list.iter().map(|text| cut(text.as_str()));
    texts.scan(0, |length, text| {
        // An empty one takes its place, too.
        *length += text.len() + 1;
        (*length <= 2 * MOST_CHARACTERS).then_some(text)
    })
}
