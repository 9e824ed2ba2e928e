//! What a path leads to.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::on_path;

/// What is known of a file or directory; symbolic links are followed. See [`std::fs::metadata`].
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    on_path("metadata", path.as_ref(), |path| path.metadata()).await
}

/// What is known of a file, a directory or a symbolic link itself. See
/// [`std::fs::symlink_metadata`].
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let call = |path: &Path| path.symlink_metadata();
    on_path("symlink_metadata", path.as_ref(), call).await
}

/// Changes who may do what with a file or directory. See [`std::fs::set_permissions`].
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let call = |path: &Path| std::fs::set_permissions(path, permissions);
    on_path("set_permissions", path.as_ref(), call).await
}

/// Whether something is there. See [`std::fs::exists`].
///
/// # Errors
///
/// When that cannot be known, for example for want of permission to look. A symbolic link that
/// leads nowhere is no error: nothing is there.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    on_path("try_exists", path.as_ref(), |path| path.try_exists()).await
}

/// The absolute path, without `.`, `..` and symbolic links. See [`std::fs::canonicalize`].
///
/// # Errors
///
/// Also if nothing is there.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path("canonicalize", path.as_ref(), |path| path.canonicalize()).await
}
