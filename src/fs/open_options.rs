//! How a file is opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{File, on_path};

/// How a file is opened; see [`std::fs::OpenOptions`].
///
/// # Example
///
/// ```
/// use telemetry_rt::fs::{self, OpenOptions};
/// use telemetry_rt::io::AsyncWriteExt;
///
/// # telemetry_rt::block_on(async {
/// let path = std::env::temp_dir().join(format!("telemetry_rt-append-{}", std::process::id()));
/// for line in ["one\n", "two\n"] {
///     let mut log = OpenOptions::new().append(true).create(true).open(&path).await?;
///     log.write_all(line.as_bytes()).await?;
///     log.flush().await?;
/// }
/// assert_eq!(fs::read_to_string(&path).await?, "one\ntwo\n");
/// # fs::remove_file(path).await
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    std: std::fs::OpenOptions,
}

impl OpenOptions {
    /// Nothing is allowed until it is said.
    pub fn new() -> OpenOptions {
        OpenOptions::from(std::fs::OpenOptions::new())
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.std.read(read);
        self
    }

    /// Whether the file can be written. What is there is overwritten, not removed; see
    /// [`truncate`](Self::truncate).
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.std.write(write);
        self
    }

    /// Whether each write goes to where the end of the file is by then.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.std.append(append);
        self
    }

    /// Whether a file that is there is emptied. Needs [`write`](Self::write).
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.std.truncate(truncate);
        self
    }

    /// Whether a file that is not there is made. Needs [`write`](Self::write) or
    /// [`append`](Self::append).
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.std.create(create);
        self
    }

    /// Whether the file is made, and must not be there: in one step, so that of several that try
    /// only one succeeds.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.std.create_new(create_new);
        self
    }

    /// The mode of a new file, from which the process's umask is taken; 0o666 by default.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.std.mode(mode);
        self
    }

    /// Further flags for `open(2)`, such as `O_NOFOLLOW`; those of the access mode are ignored.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.std.custom_flags(flags);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::OpenOptions::open`]; among them
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the options contradict each other.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let options = self.std.clone();
        let call = move |path: &Path| options.open(path);
        on_path("open", path.as_ref(), call)
            .await
            .map(File::from_std)
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(std: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions { std }
    }
}
