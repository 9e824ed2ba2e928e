//! The tree: making, moving and removing what is in it.

use std::io;
use std::path::Path;

use super::{on_path, on_paths};

/// Makes a directory, whose parent must be there. See [`std::fs::create_dir`].
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let call = |path: &Path| std::fs::create_dir(path);
    on_path("create_dir", path.as_ref(), call).await
}

/// Makes a directory and those above it, as far as they are missing. See
/// [`std::fs::create_dir_all`].
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let call = |path: &Path| std::fs::create_dir_all(path);
    on_path("create_dir_all", path.as_ref(), call).await
}

/// Removes a directory, which must be empty. See [`std::fs::remove_dir`].
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let call = |path: &Path| std::fs::remove_dir(path);
    on_path("remove_dir", path.as_ref(), call).await
}

/// Removes a directory with all that is in it; symbolic links are not followed. One hop, whatever
/// the size. See [`std::fs::remove_dir_all`].
///
/// # Errors
///
/// After an error a part may have been removed.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let call = |path: &Path| std::fs::remove_dir_all(path);
    on_path("remove_dir_all", path.as_ref(), call).await
}

/// Removes a file. It is gone when the last handle is closed. See [`std::fs::remove_file`].
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let call = |path: &Path| std::fs::remove_file(path);
    on_path("remove_file", path.as_ref(), call).await
}

/// Gives a file or directory another name, replacing a file that has it. See [`std::fs::rename`].
///
/// # Errors
///
/// Also if the two names are on different file systems.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let call = |from: &Path, to: &Path| std::fs::rename(from, to);
    on_paths("rename", from.as_ref(), to.as_ref(), call).await
}
