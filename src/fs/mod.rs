//! Files and directories, through the blocking pool.
//!
//! Operating systems have no readiness for files, so each operation is a function on the blocking
//! pool: a hop to another thread and back, which costs some microseconds. Many small operations
//! are better made by one [`spawn_blocking`](crate::task::spawn_blocking) with [`std::fs`] inside;
//! many small reads or writes of one file by a [`BufReader`](crate::io::BufReader) or a
//! [`BufWriter`](crate::io::BufWriter).
//!
//! Every hop is recorded as a process of type `blocking` that is named after the operation:
//! `open`, `read`, `rename`.
//!
//! # Panics
//!
//! All of it needs a runtime, and panics outside of one.
//!
//! # Errors
//!
//! Those of [`std::fs`]; and `background task failed` for an operation that the pool dropped,
//! because its runtime was shut down.
//!
//! # Cancel safety
//!
//! Once a function of this module has been polled, its operation is made, whether the future is
//! kept or dropped, unless the runtime ends before a thread gets to it: a `remove_file` in a `timeout` may remove the file and time out. The same is
//! true of [aborted](crate::task::JoinHandle::abort) tasks. What is read by a [`File`] is not
//! lost; see there.
//!
//! # Example
//!
//! ```
//! use telemetry_rt::fs;
//!
//! # telemetry_rt::block_on(async {
//! let directory = std::env::temp_dir().join(format!("telemetry_rt-fs-{}", std::process::id()));
//! fs::create_dir_all(&directory).await?;
//! fs::write(directory.join("greeting"), "hello").await?;
//! assert_eq!(fs::read_to_string(directory.join("greeting")).await?, "hello");
//! fs::remove_dir_all(&directory).await?;
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod contents;
mod dir_builder;
mod entries;
mod file;
mod links;
mod metadata;
mod open_options;
mod tree;

pub use contents::{copy, read, read_to_string, write};
pub use dir_builder::DirBuilder;
pub use entries::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use links::{hard_link, read_link, symlink};
pub use metadata::{canonicalize, metadata, set_permissions, symlink_metadata, try_exists};
pub use open_options::OpenOptions;
pub use tree::{create_dir, create_dir_all, remove_dir, remove_dir_all, remove_file, rename};

use std::io;
use std::path::Path;

use crate::io::hop;

/// Calls a function of [`std::fs`] on the pool, with a path of its own.
async fn on_path<R, F>(name: &'static str, path: &Path, call: F) -> io::Result<R>
where
    F: FnOnce(&Path) -> io::Result<R> + Send + 'static,
    R: Send + 'static,
{
    let path = path.to_owned();
    hop::run(name, move || call(&path)).await
}

/// The same with two paths.
async fn on_paths<R, F>(name: &'static str, from: &Path, to: &Path, call: F) -> io::Result<R>
where
    F: FnOnce(&Path, &Path) -> io::Result<R> + Send + 'static,
    R: Send + 'static,
{
    let to = to.to_owned();
    on_path(name, from, move |from| call(from, &to)).await
}
