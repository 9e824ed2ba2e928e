//! How gRPC puts a message into the body of a request, takes one out of an answer, and writes
//! down how long it may take.

use std::time::{Duration, Instant};

use shiguredo_http2::HeaderField;
use telemetry_rt_clock::instant;

/// One byte that says whether the message is compressed, and four with its length.
const PREFIX: usize = 5;

/// A message, compressed or not, as it travels.
pub(super) fn enveloped(message: &[u8], compressed: bool) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a request has less than 4 GiB");
    let mut bytes = Vec::with_capacity(PREFIX + message.len());
    bytes.push(u8::from(compressed));
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    bytes
}

/// The first message of a body, if it is whole and not compressed; nobody was told that we could
/// read a compressed one.
pub(super) fn of(body: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = body.split_first_chunk::<PREFIX>()?;
    let [0, length @ ..] = *prefix else {
        return None;
    };
    rest.get(..u32::from_be_bytes(length) as usize)
}

/// Tells the collector how much time is left.
pub(super) fn timeout(deadline: Instant) -> HeaderField {
    let text = timeout_text(deadline.saturating_duration_since(instant()));
    HeaderField::new("grpc-timeout", text).expect("digits and a letter are allowed")
}

/// At most eight digits, in the finest unit that they suffice for.
fn timeout_text(time: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let (millis, seconds) = (time.as_millis().max(1), u128::from(time.as_secs()));
    let units = [(millis, 'm'), (seconds, 'S'), (seconds / 60, 'M')];
    let fitting = units.into_iter().find(|(number, _)| *number <= MOST);
    let (number, unit) = fitting.unwrap_or((MOST, 'H'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_opened_again_unless_it_is_torn_or_compressed() {
        let envelope = enveloped(b"spans", false);
        assert_eq!(envelope, b"\0\0\0\0\x05spans");
        assert_eq!(of(&envelope), Some(&b"spans"[..]));
        assert_eq!(of(&enveloped(b"spans", true)), None);
        assert_eq!(of(&enveloped(b"", false)), Some(&b""[..]));
        for length in 0..envelope.len() {
            assert_eq!(of(&envelope[..length]), None);
        }
        assert_eq!(of(&[0, 255, 255, 255, 255, 1]), None);
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        for (time, text) in [
            (Duration::ZERO, "1m"),
            (Duration::from_millis(10_000), "10000m"),
            (Duration::from_secs(99_999), "99999000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(315_360_000), "5256000M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(timeout_text(time), text);
        }
    }
}
