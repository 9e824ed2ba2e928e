//! What can go wrong with a timer: that it was the faster one.

use std::error::Error;
use std::fmt;
use std::io;

/// The future given to a [timeout](super::timeout) was not ready in time.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl Elapsed {
    pub(super) fn new() -> Elapsed {
        Elapsed(())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("deadline has elapsed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(_: Elapsed) -> io::Error {
        io::ErrorKind::TimedOut.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elapsed_deadline_is_an_io_error_of_kind_timed_out() {
        assert_eq!(Elapsed::new().to_string(), "deadline has elapsed");
        assert_eq!(
            io::Error::from(Elapsed::new()).kind(),
            io::ErrorKind::TimedOut
        );
    }
}
