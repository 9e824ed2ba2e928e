//! What does the operating system say of this process? Memory, descriptors.

use std::fs;

/// Open descriptors. `None` where there is no `/proc`.
pub fn descriptors() -> Option<usize> {
    // The folder that is read is open itself.
    Some(fs::read_dir("/proc/self/fd").ok()?.count() - 1)
}

/// Resident memory in KiB; zero where there is no `/proc`.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
