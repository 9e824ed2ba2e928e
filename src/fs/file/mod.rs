//! An open file.
//!
//! * this file: what it is made of, opening, converting;
//! * `durable`: what reaches the disk, and what is known of it;
//! * `stream`: reading, writing, seeking.

mod durable;
mod stream;

use std::fmt;
use std::fs::File as StdFile;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::OpenOptions;
use crate::io::blocking::{Blocking, MAX_HOP, Parts};
use crate::io::hop;

/// An open file, read and written through the blocking pool.
///
/// It implements [`AsyncRead`](crate::io::AsyncRead), [`AsyncWrite`](crate::io::AsyncWrite) and
/// [`AsyncSeek`](crate::io::AsyncSeek). A read is one hop, and so is a write, of at most 2 MiB
/// each ([`set_max_buf_size`](Self::set_max_buf_size)).
///
/// # Writes go on in the background
///
/// A write copies the bytes, starts writing them and is done. The next operation waits for it. So
/// what was written is in the file only after a [`flush`](crate::io::AsyncWriteExt::flush): **flush
/// before you drop a file**, or look at it by another way. Dropping does not wait; the last write
/// is then made soon after, also when the runtime is dropped meanwhile, and its error is lost. A
/// flush does not wait for the disk; [`sync_all`](Self::sync_all) does.
///
/// # Errors
///
/// The error of a write in the background is that of the next write, flush, `set_len` or
/// `sync_all`. Reads and seeks in between neither report nor lose it.
///
/// # Cancel safety
///
/// A `read` that is given up goes on, and the next read gets what it brings; a write or a seek
/// after it starts from where the task has read to. A `write` that is given up has either taken
/// nothing, or is under way.
///
/// # Example
///
/// ```
/// use std::io::SeekFrom;
/// use telemetry_rt::fs::{self, File};
/// use telemetry_rt::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
///
/// # telemetry_rt::block_on(async {
/// let path = std::env::temp_dir().join(format!("telemetry_rt-file-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
/// file.write_all(b"hello, world").await?;
/// file.seek(SeekFrom::Start(7)).await?;
/// let mut world = String::new();
/// file.read_to_string(&mut world).await?;
/// assert_eq!(world, "world");
/// # fs::remove_file(path).await
/// # }).unwrap();
/// ```
pub struct File {
    /// For what needs no position, and so need not wait for reads and writes.
    std: Arc<StdFile>,
    /// Locked by the methods that take `&self` and need the position.
    inner: Mutex<Inner>,
    max_buf_size: usize,
}

struct Inner {
    file: Blocking<Arc<StdFile>>,
    /// Where the last seek led to.
    position: u64,
}

impl File {
    /// Opens a file that is there, to read it.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Opens a file to write it: one that is there is emptied, one that is not is made.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        options.open(path).await
    }

    /// Makes a file, to read and to write it.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if it is there; of several that try, one
    /// succeeds.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(path).await
    }

    /// Opening in any other way.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes a file of the standard library over.
    ///
    /// The position is that of the file. Needs no runtime.
    pub fn from_std(std: StdFile) -> File {
        let std = Arc::new(std);
        let file = Blocking::new(Arc::clone(&std));
        let inner = Mutex::new(Inner { file, position: 0 });
        File {
            std,
            inner,
            max_buf_size: MAX_HOP,
        }
    }

    /// Gives the file to the standard library, once what is under way is done.
    ///
    /// Its position is where the task has read or written to. The error of a write that has not
    /// been reported is lost: flush before.
    ///
    /// # Panics
    ///
    /// If a `metadata` or `sync_all` that was given up is still under way and the process cannot
    /// have another file descriptor.
    pub async fn into_std(mut self) -> StdFile {
        let inner = self.inner.get_mut();
        inner.file.settle().await;
        inner.go_back().await;
        self.into_sole()
    }

    /// Gives the file to the standard library, or back if an operation is under way.
    ///
    /// # Errors
    ///
    /// The file itself; also if it has read ahead because a read was given up.
    pub fn try_into_std(mut self) -> Result<StdFile, File> {
        let file = &self.inner.get_mut().file;
        // One share is ours and one the adapter's; any other is that of an operation, which can
        // only go.
        if !file.is_idle() || file.is_ahead() || Arc::strong_count(&self.std) > 2 {
            return Err(self);
        }
        Ok(self.into_sole())
    }

    /// The file itself, or a duplicate of it if an operation that was given up has a share.
    fn into_sole(self) -> StdFile {
        drop(self.inner);
        Arc::try_unwrap(self.std).unwrap_or_else(|shared| duplicate(&shared))
    }

    /// A second handle to the open file. Both have one position: where one reads, writes or seeks,
    /// the other goes on.
    ///
    /// Waits for what is under way.
    pub async fn try_clone(&self) -> io::Result<File> {
        let mut inner = self.inner.lock().await;
        inner.file.settle().await;
        inner.go_back().await;
        let std = Arc::clone(&self.std);
        let clone = hop::run("try_clone", move || std.try_clone()).await?;
        Ok(File::from_std(clone))
    }

    /// The most bytes that one hop reads or writes; 2 MiB unless it was set.
    pub fn max_buf_size(&self) -> usize {
        self.max_buf_size
    }

    /// Sets the most bytes that one hop reads or writes, and so the memory that the file takes: at
    /// least 1.
    pub fn set_max_buf_size(&mut self, max_buf_size: usize) {
        // A read of no bytes would look like the end of the file.
        self.max_buf_size = max_buf_size.max(1);
    }
}

impl Inner {
    /// Moves the file to where the task has read to. What cannot seek, such as a pipe, has no
    /// position that could be wrong.
    async fn go_back(&mut self) {
        if self.file.is_ahead() {
            self.file.start_seek(go_back);
            self.file.settle().await;
        }
    }
}

/// Undoes reading ahead.
fn go_back(parts: &mut Parts<Arc<StdFile>>) -> io::Result<u64> {
    seek(parts, SeekFrom::Current(0))
}

/// Seeks from where the task has read to. If that fails, what was read ahead is still good.
fn seek(parts: &mut Parts<Arc<StdFile>>, target: SeekFrom) -> io::Result<u64> {
    let ahead = parts.ahead() as i64;
    let target = match target {
        SeekFrom::Current(offset) => SeekFrom::Current(offset.saturating_sub(ahead)),
        other => other,
    };
    let position = parts.value.seek(target)?;
    parts.forget_ahead();
    Ok(position)
}

fn duplicate(file: &StdFile) -> StdFile {
    file.try_clone()
        .unwrap_or_else(|error| panic!("cannot duplicate the file descriptor: {error}"))
}

impl From<StdFile> for File {
    fn from(std: StdFile) -> File {
        File::from_std(std)
    }
}

impl From<OwnedFd> for File {
    fn from(descriptor: OwnedFd) -> File {
        File::from_std(StdFile::from(descriptor))
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("std", &self.std).finish()
    }
}
