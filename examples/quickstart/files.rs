//! Which files are to be hashed?
//!
//! All regular files below a folder. Symbolic links are not followed, so that no file is hashed
//! twice and no circle is walked; sockets, pipes and devices have no end, or none that is due.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::hash::Unreadable;

/// What there is below a folder.
#[derive(Default)]
pub struct Listing {
    pub files: Vec<PathBuf>,
    pub skipped: Skipped,
    /// Folders that could not be looked into.
    pub unreadable: Vec<Unreadable>,
}

/// How much was left out.
#[derive(Clone, Copy, Default)]
pub struct Skipped {
    pub links: usize,
    pub special: usize,
}

/// Lists the files, without those that are written meanwhile.
pub fn below(folder: &Path, left_out: Option<&Path>, outputs: &[Option<&Path>]) -> Listing {
    let outputs = outputs.iter().flatten();
    let outputs: Vec<PathBuf> = outputs.flat_map(|path| path.canonicalize()).collect();
    let mut listing = Listing::default();
    let walk = WalkDir::new(folder).into_iter();
    for entry in walk.filter_entry(|entry| Some(entry.path()) != left_out) {
        match entry {
            Ok(entry) => listing.add(entry, &outputs),
            Err(error) => listing.unreadable.push(unreadable(folder, error)),
        }
    }
    listing
}

impl Listing {
    fn add(&mut self, entry: DirEntry, outputs: &[PathBuf]) {
        let kind = entry.file_type();
        // The folder itself may be named by a link; that one is followed.
        if kind.is_dir() || entry.depth() == 0 {
        } else if kind.is_symlink() {
            self.skipped.links += 1;
        } else if !kind.is_file() {
            self.skipped.special += 1;
        } else if !outputs.iter().any(|output| is_same(entry.path(), output)) {
            self.files.push(entry.into_path());
        }
    }
}

/// Whether both are one file. Names are compared first: asking the disk is for few.
fn is_same(path: &Path, other: &Path) -> bool {
    path.file_name() == other.file_name() && path.canonicalize().is_ok_and(|path| path == other)
}

fn unreadable(folder: &Path, error: walkdir::Error) -> Unreadable {
    Unreadable {
        path: error.path().unwrap_or(folder).to_owned(),
        reason: error
            .into_io_error()
            .unwrap_or_else(|| io::Error::other("the folder contains itself")),
    }
}
