//! No character leaves as it is that could be taken for the end of a line, or that a terminal obeys.

use std::fmt::{self, Write};

/// Passes text on, with control characters and those that reverse the direction of writing spelled
/// out.
pub struct Safe<'a>(pub &'a mut dyn Write);

impl Write for Safe<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, character)) = rest.char_indices().find(|(_, c)| is_unsafe(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", character.escape_default())?;
            rest = &rest[at + character.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

fn is_unsafe(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_spelled_out_and_the_rest_is_left() {
        for (text, safe) in [
            ("plain \"ä\" \\", "plain \"ä\" \\"),
            ("a\nb\r\n", "a\\nb\\r\\n"),
            ("\u{1b}[2J\u{7f}\u{85}", "\\u{1b}[2J\\u{7f}\\u{85}"),
            ("\u{202e}x\u{2028}", "\\u{202e}x\\u{2028}"),
            ("1\u{61c}2", "1\\u{61c}2"),
            ("", ""),
        ] {
            let mut written = String::new();
            Safe(&mut written).write_str(text).unwrap();
            assert_eq!(written, safe);
        }
    }
}
