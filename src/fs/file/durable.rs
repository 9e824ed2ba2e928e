//! What reaches the disk, and what is known of a file besides its content.

use std::fs::{Metadata, Permissions};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use super::{File, go_back};
use crate::io::blocking::Parts;
use crate::io::hop;

impl File {
    /// Waits until the content and what is known of the file are on the disk (`fsync`).
    ///
    /// # Errors
    ///
    /// Also that of a write in the background.
    ///
    /// # Example
    ///
    /// ```
    /// use telemetry_rt::fs::{self, File};
    /// use telemetry_rt::io::AsyncWriteExt;
    ///
    /// # telemetry_rt::block_on(async {
    /// let path = std::env::temp_dir().join(format!("telemetry_rt-sync-{}", std::process::id()));
    /// let mut file = File::create(&path).await?;
    /// file.write_all(b"safe").await?;
    /// file.sync_all().await?;
    /// # fs::remove_file(path).await
    /// # }).unwrap();
    /// ```
    pub async fn sync_all(&self) -> io::Result<()> {
        self.after_writes("sync_all", |file| file.sync_all()).await
    }

    /// Waits until the content is on the disk (`fdatasync`), and no more than is needed to find it.
    ///
    /// # Errors
    ///
    /// Also that of a write in the background.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.after_writes("sync_data", |file| file.sync_data())
            .await
    }

    async fn after_writes<F>(&self, name: &'static str, call: F) -> io::Result<()>
    where
        F: FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    {
        let mut inner = self.inner.lock().await;
        poll_fn(|cx| inner.file.poll_flush(cx)).await?;
        let std = Arc::clone(&self.std);
        hop::run(name, move || call(&std)).await
    }

    /// Cuts the file off at `size` bytes, or fills it with zeroes up to there. The position stays.
    ///
    /// Waits for what is under way.
    ///
    /// # Errors
    ///
    /// Also that of a write in the background.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        let mut inner = self.inner.lock().await;
        let set_len = move |parts: &mut Parts<_>| {
            // What was read ahead may be cut off.
            if parts.ahead() > 0 {
                go_back(parts)?;
            }
            parts.value.set_len(size)
        };
        inner.file.run("set_len", set_len).await
    }

    /// What is known of the file. Does not wait for writes: flush before, to see their size.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let std = Arc::clone(&self.std);
        hop::run("metadata", move || std.metadata()).await
    }

    /// Changes who may do what with the file.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let std = Arc::clone(&self.std);
        hop::run("set_permissions", move || std.set_permissions(permissions)).await
    }
}
