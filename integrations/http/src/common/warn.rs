//! Where does it go what is wrong with a variable, and what hooks of the application panic with? To
//! standard error, in the form that the runtime's own warnings have.

use std::fmt;
use std::io::{self, Write};

/// As many characters of one line are said.
const MOST_CHARACTERS: usize = 2000;

/// Says one line, and nothing that a terminal obeys.
#[cold]
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    let message = message.to_string();
    let line: String = message.chars().take(MOST_CHARACTERS).map(shown).collect();
    // Not `eprintln`, which panics when standard error is closed.
    drop(writeln!(io::stderr(), "telemetry_rt: {line}"));
}

fn shown(character: char) -> char {
    if character.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}
