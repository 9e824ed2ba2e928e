//! Making directories with more than a name.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::on_path;

/// Makes directories; see [`std::fs::DirBuilder`].
///
/// # Example
///
/// ```
/// use telemetry_rt::fs::{self, DirBuilder};
///
/// # telemetry_rt::block_on(async {
/// let above = std::env::temp_dir().join(format!("telemetry_rt-dir-{}", std::process::id()));
/// DirBuilder::new().recursive(true).mode(0o700).create(above.join("below")).await?;
/// assert!(fs::metadata(above.join("below")).await?.is_dir());
/// # fs::remove_dir_all(above).await
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// A builder that makes directories as [`create_dir`](super::create_dir) does.
    pub fn new() -> DirBuilder {
        DirBuilder::default()
    }

    /// Whether directories above are made, too, and one that is there already is no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// The mode of new directories, from which the process's umask is taken; 0o777 by default.
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = Some(mode);
        self
    }

    /// Makes the directory.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let builder = self.to_std();
        let call = move |path: &Path| builder.create(path);
        on_path("create_dir", path.as_ref(), call).await
    }

    fn to_std(&self) -> std::fs::DirBuilder {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        builder
    }
}
