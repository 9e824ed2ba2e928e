//! A list of orders in a file: a line for each.
//!
//! Files block. So each call hops to the blocking pool, where it is a span of its own; it hangs below
//! the request that caused it, and nobody had to say so.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use telemetry_rt::task::spawn_blocking;

#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// The file to append to, and how many orders are in it.
    state: Mutex<(File, u64)>,
}

impl Store {
    pub async fn open(path: &Path) -> io::Result<Store> {
        let path = path.to_owned();
        blocking(move || open(path)).await
    }

    /// Keeps an order, and says its number.
    pub async fn append(&self, item: String) -> io::Result<u64> {
        let shared = Arc::clone(&self.shared);
        blocking(move || append(&shared, &item)).await
    }

    /// What was ordered by this number.
    pub async fn find(&self, number: u64) -> io::Result<Option<String>> {
        let shared = Arc::clone(&self.shared);
        blocking(move || find(&shared.path, number)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn open(path: PathBuf) -> io::Result<Store> {
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    let orders = BufReader::new(File::open(&path)?).lines().count();
    let state = Mutex::new((file, orders as u64));
    Ok(Store {
        shared: Arc::new(Shared { path, state }),
    })
}

fn append(shared: &Shared, item: &str) -> io::Result<u64> {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    let (file, orders) = &mut *state;
    // One write: a line is there as a whole or not at all.
    file.write_all(format!("{}\n", item.escape_default()).as_bytes())?;
    file.sync_data()?;
    *orders += 1;
    Ok(*orders)
}

fn find(path: &Path, number: u64) -> io::Result<Option<String>> {
    let Some(index) = number
        .checked_sub(1)
        .and_then(|index| usize::try_from(index).ok())
    else {
        return Ok(None);
    };
    BufReader::new(File::open(path)?)
        .lines()
        .nth(index)
        .transpose()
}
