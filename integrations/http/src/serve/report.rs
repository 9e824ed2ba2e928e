//! What a server did, and why its connections ended.

/// Why a connection ended: the attribute `reason` of `http.server.connections.closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CloseReason {
    /// One side closed it between two requests, or it was upgraded.
    Finished,
    /// The peer left in the middle of a request or of an answer.
    Disconnected,
    /// What came is not HTTP, or is ambiguous.
    Malformed,
    /// The head of a request was too large or had too many fields.
    HeaderSize,
    /// See [`header_timeout`](super::Limits::header_timeout).
    HeaderTimeout,
    /// See [`idle_timeout`](super::Limits::idle_timeout).
    IdleTimeout,
    /// See [`write_timeout`](super::Limits::write_timeout).
    WriteTimeout,
    /// See [`ping_timeout`](super::Limits::ping_timeout).
    PingTimeout,
    /// See [`max_connection_age`](super::Limits::max_connection_age).
    Age,
    /// The [handshake](super::Listener::Handshake) failed.
    Handshake,
    /// The service returned an error, or the body of its answer failed.
    Service,
    /// The service panicked.
    Panic,
    /// It was asked to finish as the server was shut down, and did.
    Shutdown,
    /// It was cut off when the time for the shutdown was over, or as the server was dropped.
    Deadline,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [CloseReason; 14] = [
        CloseReason::Finished,
        CloseReason::Disconnected,
        CloseReason::Malformed,
        CloseReason::HeaderSize,
        CloseReason::HeaderTimeout,
        CloseReason::IdleTimeout,
        CloseReason::WriteTimeout,
        CloseReason::PingTimeout,
        CloseReason::Age,
        CloseReason::Handshake,
        CloseReason::Service,
        CloseReason::Panic,
        CloseReason::Shutdown,
        CloseReason::Deadline,
    ];

    /// As in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::Finished => "finished",
            CloseReason::Disconnected => "disconnected",
            CloseReason::Malformed => "malformed",
            CloseReason::HeaderSize => "header_size",
            CloseReason::HeaderTimeout => "header_timeout",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::WriteTimeout => "write_timeout",
            CloseReason::PingTimeout => "ping_timeout",
            CloseReason::Age => "age",
            CloseReason::Handshake => "handshake",
            CloseReason::Service => "service",
            CloseReason::Panic => "panic",
            CloseReason::Shutdown => "shutdown",
            CloseReason::Deadline => "deadline",
        }
    }
}

/// What a server did from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Times that accepting failed, and was tried again.
    pub accept_errors: u64,
    /// Times that accepting had to wait because
    /// [`max_connections`](super::Limits::max_connections) were open.
    pub waits_for_room: u64,
    /// Requests whose answer was not complete when the time for the shutdown was over.
    pub requests_cut_off: u64,
    closed: [u64; CloseReason::ALL.len()],
}

impl Report {
    /// Connections that ended for this reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Connections that ended.
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(super) fn count_closed(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_in_their_order_and_their_names_differ() {
        let mut names = std::collections::BTreeSet::new();
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(names.insert(reason.as_str()));
        }
    }
}
