//! What the export has to say about itself: few lines, to standard error or to a hook.
//!
//! No log framework, because a log may well be exported through the thing that complains. At most
//! [`LINES`] lines leave in each [`WINDOW`]; how many were held back is said by the next one.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use telemetry_rt_clock::instant;

use super::render::escaped;

/// As many characters of one line are said: an exporter may explain itself at any length.
const MOST_CHARACTERS: usize = 2000;

const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

static LIMIT: Mutex<Limit> = Mutex::new(Limit {
    since: None,
    lines: 0,
    held_back: 0,
});

static HOOK: Mutex<Option<fn(&str)>> = Mutex::new(None);

/// Replaces what is done with warnings of the export; by default they go to standard error, one
/// line each, beginning with `telemetry_rt: `.
///
/// The hook gets the line without that beginning. It is called on the thread that warns: it
/// must not block, and must not export telemetry.
pub fn set_diagnostics(hook: fn(&str)) {
    *HOOK.lock() = Some(hook);
}

/// Warns, unless too much was said already. Not for use by hand: the integrations warn by it, too.
pub fn warn(message: fmt::Arguments<'_>) {
    let Some(held_back) = LIMIT.lock().admit(instant()) else {
        return;
    };
    let mut line = shown(&message.to_string());
    if held_back > 0 {
        line += &format!(" ({held_back} more warnings were held back)");
    }
    let hook = *HOOK.lock();
    match hook {
        Some(hook) => hook(&line),
        // Not `eprintln`, which panics when standard error is closed.
        None => drop(writeln!(io::stderr(), "telemetry_rt: {line}")),
    }
}

/// One line, whatever is in it, and nothing that a terminal obeys.
fn shown(message: &str) -> String {
    match message.char_indices().nth(MOST_CHARACTERS) {
        None => escaped(message),
        Some((end, _)) => escaped(&message[..end]) + "…",
    }
}

struct Limit {
    since: Option<Instant>,
    lines: u32,
    held_back: u64,
}

impl Limit {
    /// Whether a line may leave now, and how many were held back before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now - since >= WINDOW) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == LINES {
            self.held_back += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        let long = shown(&"ä".repeat(MOST_CHARACTERS + 1));
        assert_eq!(long.chars().count(), MOST_CHARACTERS + 1);
        assert!(long.ends_with("ä…"));
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut limit = Limit {
            since: None,
            lines: 0,
            held_back: 0,
        };
        let start = instant();
        let admitted = (0..LINES + 7).filter(|_| limit.admit(start).is_some());
        assert_eq!(admitted.count() as u32, LINES);
        assert_eq!(limit.admit(start + WINDOW), Some(7));
        assert_eq!(limit.admit(start + WINDOW), Some(0));
    }
}
