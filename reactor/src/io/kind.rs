//! What does a report of the operating system mean for a descriptor of this kind?
//!
//! ```text
//!             end of a direction        an error
//! Stream      final                     comes with the end, which answers readers and writers
//! Datagrams   may be forgotten again    is of one message: the next receive takes it
//! ```
//!
//! An ICMP message ("nobody listens there") arrives at a UDP socket as an error without anything
//! to read, and looks like the end of writing. A receive takes it, and the socket goes on. And a
//! socket for messages that was shut down answers `WouldBlock` to a receive, for ever: were its
//! end final, one who receives would try without end.

use super::interest::Ready;

/// A kind of descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes, connections, and descriptors of which we know nothing.
    #[default]
    Stream,
    /// Whole messages.
    Datagrams,
}

impl Kind {
    /// What it means that the operating system reported `ready`.
    pub(super) fn meaning_of(self, ready: Ready) -> Ready {
        // Only a hang-up closes both directions; that one is an end, whatever error comes along.
        let is_of_one_message = ready.is_error() && !ready.is_read_closed();
        match self {
            Kind::Datagrams if is_of_one_message => (ready - Ready::WRITE_CLOSED) | Ready::READABLE,
            Kind::Datagrams if ready.is_error() => ready | Ready::READABLE,
            Kind::Datagrams | Kind::Stream => ready,
        }
    }

    /// What never ends once it was reported.
    pub(super) fn is_final(self) -> Ready {
        match self {
            Kind::Stream => Ready::READ_CLOSED | Ready::WRITE_CLOSED,
            Kind::Datagrams => Ready::EMPTY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_one_message_is_for_who_receives_and_does_not_close_the_socket() {
        let reported = Ready::WRITABLE | Ready::WRITE_CLOSED | Ready::ERROR;
        assert_eq!(
            Kind::Datagrams.meaning_of(reported),
            Ready::READABLE | Ready::WRITABLE | Ready::ERROR
        );
        assert_eq!(Kind::Stream.meaning_of(reported), reported);
    }

    #[test]
    fn a_hang_up_wakes_who_sends_even_when_an_error_comes_along() {
        let hang_up = Ready::READ_CLOSED | Ready::WRITE_CLOSED;
        assert_eq!(Kind::Datagrams.meaning_of(hang_up), hang_up);
        let with_error = Kind::Datagrams.meaning_of(hang_up | Ready::ERROR);
        assert_eq!(with_error, hang_up | Ready::ERROR | Ready::READABLE);
    }
}
