//! Where do the files go that were asked for? Each to a file that is opened before anything is read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::report::shown;

/// A file that is open, and how to call it.
pub struct Output {
    file: File,
    name: String,
}

impl Output {
    /// Opens the file, if there is to be one.
    ///
    /// # Errors
    ///
    /// A line that names the file and says why it cannot be written.
    pub fn create(path: Option<&Path>) -> Result<Option<Output>, String> {
        path.map(|path| {
            let name = shown(path);
            match File::create(path) {
                Ok(file) => Ok(Output { file, name }),
                Err(error) => Err(format!("{name}: {error}")),
            }
        })
        .transpose()
    }

    /// Writes what `content` writes, to the end.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn write(
        self,
        content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), String> {
        let mut out = BufWriter::new(self.file);
        content(&mut out)
            .and_then(|()| out.flush())
            .map_err(|error| format!("{}: {error}", self.name))
    }
}
