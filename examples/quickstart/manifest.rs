//! What does `sha256sum --check` read?
//!
//! A line for each file: the sum, two blanks, the name. A name with a backslash, a line feed or a
//! carriage return has those escaped, and then its line begins with a backslash.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::hash::{Hashed, Sum};
use crate::output::Output;

/// Writes all lines.
///
/// # Errors
///
/// As [`Output::create`].
pub fn write(manifest: Output, files: &[Hashed]) -> Result<(), String> {
    manifest.write(|out| {
        files
            .iter()
            .try_for_each(|file| out.write_all(&line(&file.path, &file.sum)))
    })
}

fn line(path: &Path, sum: &Sum) -> Vec<u8> {
    // Not text: a name is any bytes but zero.
    let name = path.as_os_str().as_bytes();
    let (escaped, changed) = escaped(name);
    let mut line = Vec::with_capacity(escaped.len() + 68);
    line.extend(changed.then_some(b'\\'));
    sum.iter()
        .for_each(|byte| line.extend(format!("{byte:02x}").bytes()));
    line.extend(b"  ");
    line.extend(escaped);
    line.push(b'\n');
    line
}

/// The name as it stands in a line, and whether it is another than before.
fn escaped(name: &[u8]) -> (Vec<u8>, bool) {
    let mut escaped = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            _ => escaped.push(byte),
        }
    }
    let changed = escaped.len() != name.len();
    (escaped, changed)
}
