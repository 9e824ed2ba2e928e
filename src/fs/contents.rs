//! Whole files at once.

use std::io;
use std::path::Path;

use super::{on_path, on_paths};

/// Reads a whole file.
///
/// One hop, whatever the size; see [`std::fs::read`].
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    on_path("read", path.as_ref(), |path| std::fs::read(path)).await
}

/// Reads a whole file that holds text.
///
/// One hop, whatever the size; see [`std::fs::read_to_string`].
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if the content is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let call = |path: &Path| std::fs::read_to_string(path);
    on_path("read_to_string", path.as_ref(), call).await
}

/// Makes `contents` the content of a file, which is created if need be.
///
/// One hop, before which `contents` is copied; see [`std::fs::write`].
///
/// # Cancel safety
///
/// A write whose future is dropped goes on, and may then overtake or be overtaken by another.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let contents = contents.as_ref().to_owned();
    let call = move |path: &Path| std::fs::write(path, contents);
    on_path("write", path.as_ref(), call).await
}

/// Copies a file's content and permissions, and returns how many bytes the content has.
///
/// One hop, whatever the size; see [`std::fs::copy`].
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let call = |from: &Path, to: &Path| std::fs::copy(from, to);
    on_paths("copy", from.as_ref(), to.as_ref(), call).await
}
