//! The two sets: what one wants to know of a descriptor, and what is known.
//!
//! Who waits for an *error*? Those who ask for [`Interest::ERROR`], and nobody else by the
//! interest itself, so that one who reads does not clear the error that another waits for.
//! Readers and writers of a stream learn of it because the end of a direction comes along.
//! Sockets for messages turn it into something to receive, which it is to them: see `kind`.

use std::fmt;
use std::ops;

const READABLE: u8 = 1;
const WRITABLE: u8 = 1 << 1;
const READ_CLOSED: u8 = 1 << 2;
const WRITE_CLOSED: u8 = 1 << 3;
const PRIORITY: u8 = 1 << 4;
const ERROR: u8 = 1 << 5;

/// What one wants to know of a descriptor. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Data can be read, or the other side has closed.
    pub const READABLE: Interest = Interest(READABLE);
    /// Data can be written, or nobody will read it any more.
    pub const WRITABLE: Interest = Interest(WRITABLE);
    /// Urgent data can be read (`EPOLLPRI`).
    pub const PRIORITY: Interest = Interest(PRIORITY);
    /// The descriptor has an error to report. Errors are always watched for; this waits for them
    /// alone.
    pub const ERROR: Interest = Interest(ERROR);

    /// Both interests together; what `|` does, for constants.
    #[must_use = "this returns the sum and changes neither"]
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// This interest without `other`; `None` when nothing is left.
    #[must_use = "this returns the rest and does not change the interest"]
    pub fn remove(self, other: Interest) -> Option<Interest> {
        let rest = self.0 & !other.0;
        (rest != 0).then_some(Interest(rest))
    }

    /// Whether it includes [`READABLE`](Interest::READABLE).
    pub const fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Whether it includes [`WRITABLE`](Interest::WRITABLE).
    pub const fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether it includes [`PRIORITY`](Interest::PRIORITY).
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Whether it includes [`ERROR`](Interest::ERROR).
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    /// Every state that answers this interest.
    pub(crate) const fn answers(self) -> Ready {
        let mut ready = self.0;
        if self.is_readable() || self.is_priority() {
            ready |= READ_CLOSED;
        }
        if self.is_writable() {
            ready |= WRITE_CLOSED;
        }
        Ready(ready)
    }

    pub(crate) fn to_mio(self) -> mio::Interest {
        let wanted = [
            (self.is_readable(), mio::Interest::READABLE),
            (self.is_writable(), mio::Interest::WRITABLE),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (self.is_priority(), mio::Interest::PRIORITY),
        ];
        wanted
            .into_iter()
            .filter_map(|(is_wanted, interest)| is_wanted.then_some(interest))
            .reduce(mio::Interest::add)
            // Errors are reported whatever is asked for, but something must be asked for.
            .unwrap_or(mio::Interest::READABLE)
    }
}

impl ops::BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        self.add(other)
    }
}

impl ops::BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = self.add(other);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_set(f, self.0)
    }
}

/// What is known of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const EMPTY: Ready = Ready(0);
    /// Data can be read.
    pub const READABLE: Ready = Ready(READABLE);
    /// Data can be written.
    pub const WRITABLE: Ready = Ready(WRITABLE);
    /// The other side will send nothing more. Final for streams.
    pub const READ_CLOSED: Ready = Ready(READ_CLOSED);
    /// Nothing more can be sent. Final for streams.
    pub const WRITE_CLOSED: Ready = Ready(WRITE_CLOSED);
    /// Urgent data can be read.
    pub const PRIORITY: Ready = Ready(PRIORITY);
    /// The descriptor has an error to report.
    pub const ERROR: Ready = Ready(ERROR);
    /// Everything.
    pub const ALL: Ready =
        Ready(READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED | PRIORITY | ERROR);

    pub(crate) fn of_event(event: &mio::event::Event) -> Ready {
        let seen = [
            (event.is_readable(), Ready::READABLE),
            (event.is_writable(), Ready::WRITABLE),
            (event.is_read_closed(), Ready::READ_CLOSED),
            (event.is_write_closed(), Ready::WRITE_CLOSED),
            (event.is_priority(), Ready::PRIORITY),
            (event.is_error(), Ready::ERROR),
        ];
        seen.into_iter()
            .filter(|(is_seen, _)| *is_seen)
            .fold(Ready::EMPTY, |all, (_, ready)| all | ready)
    }

    /// Whether nothing is known.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a read would not wait: data, or the end.
    pub const fn is_readable(self) -> bool {
        self.0 & (READABLE | READ_CLOSED) != 0
    }

    /// Whether a write would not wait: room, or an error.
    pub const fn is_writable(self) -> bool {
        self.0 & (WRITABLE | WRITE_CLOSED) != 0
    }

    /// Whether the other side will send nothing more.
    pub const fn is_read_closed(self) -> bool {
        self.0 & READ_CLOSED != 0
    }

    /// Whether nothing more can be sent.
    pub const fn is_write_closed(self) -> bool {
        self.0 & WRITE_CLOSED != 0
    }

    /// Whether urgent data can be read.
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Whether the descriptor has an error to report.
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Ready {
        Ready(bits & Ready::ALL.0)
    }
}

impl ops::BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl ops::BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

impl ops::BitAnd for Ready {
    type Output = Ready;

    fn bitand(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }
}

impl ops::Sub for Ready {
    type Output = Ready;

    fn sub(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_set(f, self.0)
    }
}

fn write_set(f: &mut fmt::Formatter<'_>, bits: u8) -> fmt::Result {
    const NAMES: [&str; 6] = [
        "READABLE",
        "WRITABLE",
        "READ_CLOSED",
        "WRITE_CLOSED",
        "PRIORITY",
        "ERROR",
    ];
    let mut separator = "";
    for (bit, name) in NAMES.iter().enumerate() {
        if bits & (1 << bit) != 0 {
            write!(f, "{separator}{name}")?;
            separator = " | ";
        }
    }
    if bits == 0 {
        f.write_str("EMPTY")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_its_members() {
        assert_eq!(
            format!("{:?}", Interest::READABLE | Interest::WRITABLE),
            "READABLE | WRITABLE"
        );
        assert_eq!(format!("{:?}", Ready::EMPTY), "EMPTY");
        assert_eq!(format!("{:?}", Ready::ERROR), "ERROR");
    }

    #[test]
    fn an_interest_is_never_empty() {
        let both = Interest::READABLE | Interest::ERROR;
        assert_eq!(both.remove(Interest::READABLE), Some(Interest::ERROR));
        assert_eq!(Interest::ERROR.remove(Interest::ERROR), None);
    }

    #[test]
    fn the_end_of_the_data_answers_an_interest_in_reading() {
        assert!(Interest::READABLE.answers().is_read_closed());
        assert!(!Interest::READABLE.answers().is_write_closed());
    }
}
