//! What is in a directory, a chunk of entries to a hop.
//!
//! ```text
//! Idle ── the chunk is used up ──► Reading ── the hop is done ──► Idle
//!   └──── and it was the last ──► Ended ◄── the hop failed ──┘
//! ```

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::on_path;
use crate::io::hop;
use crate::task::JoinHandle;

/// How many entries one hop reads: enough to make its cost small beside theirs.
const CHUNK: usize = 64;

/// Opens a directory to read its entries, in the order in which the file system has them.
///
/// The entries `.` and `..` are left out. See [`std::fs::read_dir`].
///
/// # Example
///
/// ```
/// use telemetry_rt::fs;
///
/// # telemetry_rt::block_on(async {
/// let mut entries = fs::read_dir(".").await?;
/// while let Some(entry) = entries.next_entry().await? {
///     println!("{}", entry.path().display());
/// }
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let call = |path: &Path| std::fs::read_dir(path).map(Chunk::read);
    let first = on_path("read_dir", path.as_ref(), call).await?;
    Ok(ReadDir {
        state: State::Idle(first),
    })
}

/// The entries of a directory; made by [`read_dir`].
#[derive(Debug)]
#[must_use = "entries are read when they are asked for"]
pub struct ReadDir {
    state: State,
}

#[derive(Debug)]
enum State {
    Idle(Chunk),
    Reading(JoinHandle<io::Result<Chunk>>),
    Ended,
}

/// Entries that have been read, and where further ones come from.
#[derive(Debug)]
struct Chunk {
    entries: VecDeque<io::Result<DirEntry>>,
    /// `None` after the last one.
    rest: Option<std::fs::ReadDir>,
}

impl Chunk {
    fn read(mut source: std::fs::ReadDir) -> Chunk {
        let entries: VecDeque<_> = source.by_ref().take(CHUNK).map(DirEntry::read).collect();
        let rest = (entries.len() == CHUNK).then_some(source);
        Chunk { entries, rest }
    }
}

impl ReadDir {
    /// The next entry, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// That of one entry does not end the sequence: the next call gives the next entry.
    ///
    /// # Cancel safety
    ///
    /// No entry is lost.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// Polls for the next entry, as [`next_entry`](Self::next_entry) does.
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(Ok(None)),
                State::Idle(chunk) => match chunk.entries.pop_front() {
                    Some(entry) => return Poll::Ready(entry.map(Some)),
                    None => self.state = State::after(chunk.rest.take()),
                },
                State::Reading(handle) => {
                    let joined = ready!(Pin::new(handle).poll(cx));
                    self.state = State::Ended;
                    self.state = State::Idle(hop::flatten(joined)?);
                }
            }
        }
    }
}

impl State {
    fn after(rest: Option<std::fs::ReadDir>) -> State {
        match rest {
            Some(rest) => State::Reading(hop::start("read_dir", move || Ok(Chunk::read(rest)))),
            None => State::Ended,
        }
    }
}

/// One entry of a directory; given out by [`ReadDir`].
#[derive(Debug)]
pub struct DirEntry {
    std: Arc<std::fs::DirEntry>,
    /// Most file systems tell it with the name, so that asking costs no hop.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn read(entry: io::Result<std::fs::DirEntry>) -> io::Result<DirEntry> {
        let std = Arc::new(entry?);
        let file_type = std.file_type().ok();
        Ok(DirEntry { std, file_type })
    }

    /// The path: that of the directory as it was opened, and the name.
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// The name alone.
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// The number of the inode.
    pub fn ino(&self) -> u64 {
        self.std.ino()
    }

    /// What is known of the entry; symbolic links are not followed.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let std = Arc::clone(&self.std);
        hop::run("metadata", move || std.metadata()).await
    }

    /// Whether the entry is a file, a directory or something else; symbolic links are not
    /// followed. Mostly without a hop.
    pub async fn file_type(&self) -> io::Result<FileType> {
        if let Some(file_type) = self.file_type {
            return Ok(file_type);
        }
        let std = Arc::clone(&self.std);
        hop::run("file_type", move || std.file_type()).await
    }
}
