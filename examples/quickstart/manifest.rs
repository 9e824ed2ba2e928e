//! What does `sha256sum --check` read?
//!
//! A line for each file: the sum, two blanks, the name. A name with a backslash, a line feed or a
//! carriage return has those escaped, and then its line begins with a backslash.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::hash::{Hashed, Sum};
use crate::report::shown;

/// A manifest that is open, and how to call it.
pub struct Manifest {
    file: File,
    name: String,
}

/// Opens the manifest, if there is to be one.
///
/// # Errors
///
/// A line that names the file and says why it cannot be written.
pub fn create(path: Option<&Path>) -> Result<Option<Manifest>, String> {
    path.map(|path| {
        let name = shown(path);
        match File::create(path) {
            Ok(file) => Ok(Manifest { file, name }),
            Err(error) => Err(format!("{name}: {error}")),
        }
    })
    .transpose()
}

/// Writes all lines.
///
/// # Errors
///
/// As [`create`].
pub fn write(manifest: Manifest, files: &[Hashed]) -> Result<(), String> {
    let mut out = BufWriter::new(manifest.file);
    files
        .iter()
        .try_for_each(|file| out.write_all(&line(&file.path, &file.sum)))
        .and_then(|()| out.flush())
        .map_err(|error| format!("{}: {error}", manifest.name))
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
