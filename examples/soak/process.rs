//! What does the operating system say about this process? Memory, descriptors, threads.

use std::fs;

/// What has to be the same at the end as at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub descriptors: usize,
    pub threads: usize,
}

/// `None` where there is no `/proc`, or when descriptors are short.
pub fn held() -> Option<Held> {
    let count = |folder| Some(fs::read_dir(folder).ok()?.count());
    Some(Held {
        // The folder that is read is open itself.
        descriptors: count("/proc/self/fd")? - 1,
        threads: count("/proc/self/task")?,
    })
}

/// Resident memory in KiB.
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
