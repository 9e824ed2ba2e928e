//! Links: making them, and where they lead.

use std::io;
use std::path::{Path, PathBuf};

use super::{on_path, on_paths};

/// Gives a file a second name. See [`std::fs::hard_link`].
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let call = |original: &Path, link: &Path| std::fs::hard_link(original, link);
    on_paths("hard_link", original.as_ref(), link.as_ref(), call).await
}

/// Makes a symbolic link that leads to `original`, whether anything is there or not. See
/// [`std::os::unix::fs::symlink`].
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let call = |original: &Path, link: &Path| std::os::unix::fs::symlink(original, link);
    on_paths("symlink", original.as_ref(), link.as_ref(), call).await
}

/// Where a symbolic link leads. See [`std::fs::read_link`].
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path("read_link", path.as_ref(), |path| path.read_link()).await
}
