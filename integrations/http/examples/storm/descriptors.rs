//! How many descriptors may a process have? Nearly each of them is a connection.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as that is possible, and says how far that is.
pub fn raise() -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    // None is none at all.
    let most = limit.maximum.unwrap_or(u64::MAX);
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}
