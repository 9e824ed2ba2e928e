//! The standard streams of the process, for tasks.

mod stderr;
mod stdin;
mod stdout;

pub use stderr::{Stderr, stderr};
pub use stdin::{Stdin, stdin};
pub use stdout::{Stdout, stdout};

use std::io::{self, Write};

/// A stream that is only written has nothing read ahead, so there is nothing to go back by.
fn write_all<T: Write>(stream: &mut T, _back: u64, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}
