//! What is read off the machine: processor time, wall time, memory.

use std::time::{Duration, Instant};

/// Processor time of all threads of this process since it began.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec of this frame, which is all the call asks for.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "Linux has had this clock since 2.6.12");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A reading of both clocks.
pub struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    pub fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    pub fn cpu(&self) -> Duration {
        cpu_time().saturating_sub(self.cpu)
    }
}

/// Bytes of memory that this process has resident.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
    let pages = statm.split_whitespace().nth(1).map(str::parse::<u64>);
    let pages = pages.expect("the second word is the number of pages");
    pages.expect("it is a number") * page_bytes()
}

fn page_bytes() -> u64 {
    // SAFETY: asks for a constant of the system; no memory of ours is involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).expect("pages have a size")
}
