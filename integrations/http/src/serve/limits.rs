//! What a server bears: the bounds, what they are for, and where they begin.

use std::time::Duration;

/// Bounds on what clients may ask of a server, in time and in memory.
///
/// The defaults are for a service on the open network. A time of `None` is no bound.
///
/// Each time that a bound is hit is counted; see [`serve`](super::serve#metrics).
///
/// # Precision
///
/// One timer of the server looks after all connections: four times in the shortest of the bounds of
/// time, at least once a second. A connection is closed that much after its time, never before. The
/// time of bodies has timers of its own.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use telemetry_rt_http::Limits;
///
/// let limits = Limits::default()
///     .max_connections(1_000)
///     .max_body_bytes(10 << 20)
///     .idle_timeout(Duration::from_secs(20));
/// assert_eq!(limits.max_headers, 100);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections, with those that were upgraded. At the bound nobody is refused: connections
    /// wait in the backlog of the listener until one is closed. Default 25,000.
    pub max_connections: usize,
    /// From the first byte of a request's head to its last, and from the beginning of a connection to
    /// the end of its first head, with the handshake of TLS. Default 30 s.
    pub header_timeout: Option<Duration>,
    /// Bytes of a request's head; 8,192 at least. A larger one is answered by 431. It is also the
    /// size up to which buffers of HTTP/1 grow. Default 64 KiB.
    pub max_header_bytes: usize,
    /// Header fields of a request by HTTP/1; more are answered by 431. Any number but 100 costs an
    /// allocation a request. Default 100.
    pub max_headers: usize,
    /// Without a request, or a part of its head. Then the connection is closed as in a graceful shutdown. It should be
    /// longer than the load balancer in front waits. Default 75 s.
    pub idle_timeout: Option<Duration>,
    /// Without the peer's taking a byte of what is to be sent; of HTTP/2 also without its opening a
    /// window, while that is all that the connection waits for. Default 30 s.
    ///
    /// There is no bound on the whole of an answer: who takes a little now and then is borne, and
    /// costs a connection and its buffers (hundreds of KiB). `max_connections` says how many may.
    pub write_timeout: Option<Duration>,
    /// Bytes of a request's body. One that is announced to be larger is answered by 413 before the
    /// handler runs; one that turns out to be larger is an error in the handler's hands, see
    /// [`RequestBody`](super::RequestBody). Default: none, as the extractors of axum that gather a
    /// body have a bound of their own (2 MB).
    pub max_body_bytes: Option<u64>,
    /// Between two frames of a request's body, while the handler waits for one. Then the handler
    /// gets an error, see [`RequestBody`](super::RequestBody). Default 30 s.
    ///
    /// There is no bound on the whole of a body: who sends a byte now and then is borne.
    /// `TimeoutLayer` of tower-http bounds the handler that reads it.
    pub body_timeout: Option<Duration>,
    /// Requests at a time on one connection of HTTP/2. Default 200.
    pub max_streams: u32,
    /// Between the pings that ask whether the peer of a connection of HTTP/2 is still there. Default
    /// 30 s.
    pub ping_interval: Option<Duration>,
    /// For the answer to such a ping. Default 20 s.
    pub ping_timeout: Duration,
    /// Of a connection, whether in use or not. Then it is closed as in a graceful shutdown, so that
    /// its client comes again and may find another server. Default: none.
    pub max_connection_age: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 25_000,
            header_timeout: Some(Duration::from_secs(30)),
            max_header_bytes: 64 * 1024,
            max_headers: HEADERS_WITHOUT_ALLOCATION,
            idle_timeout: Some(Duration::from_secs(75)),
            write_timeout: Some(Duration::from_secs(30)),
            max_body_bytes: None,
            body_timeout: Some(Duration::from_secs(30)),
            max_streams: 200,
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(20),
            max_connection_age: None,
        }
    }
}

/// As many as hyper keeps on the stack.
pub(super) const HEADERS_WITHOUT_ALLOCATION: usize = 100;

/// The least that hyper works with.
const LEAST_HEADER_BYTES: usize = 8192;

impl Limits {
    /// Sets [`max_connections`](Limits#structfield.max_connections).
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_connections(mut self, connections: usize) -> Limits {
        assert!(
            connections > 0,
            "max_connections is 0, which serves nobody: expected 1 or more"
        );
        self.max_connections = connections;
        self
    }

    /// Sets [`header_timeout`](Limits#structfield.header_timeout).
    pub fn header_timeout(mut self, time: impl Into<Option<Duration>>) -> Limits {
        self.header_timeout = time.into();
        self
    }

    /// Sets [`max_header_bytes`](Limits#structfield.max_header_bytes); less than 8,192 are 8,192.
    pub fn max_header_bytes(mut self, bytes: usize) -> Limits {
        self.max_header_bytes = bytes;
        self
    }

    /// Sets [`max_headers`](Limits#structfield.max_headers).
    pub fn max_headers(mut self, fields: usize) -> Limits {
        self.max_headers = fields;
        self
    }

    /// Sets [`idle_timeout`](Limits#structfield.idle_timeout).
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Limits {
        self.idle_timeout = time.into();
        self
    }

    /// Sets [`write_timeout`](Limits#structfield.write_timeout).
    pub fn write_timeout(mut self, time: impl Into<Option<Duration>>) -> Limits {
        self.write_timeout = time.into();
        self
    }

    /// Sets [`max_body_bytes`](Limits#structfield.max_body_bytes).
    pub fn max_body_bytes(mut self, bytes: impl Into<Option<u64>>) -> Limits {
        self.max_body_bytes = bytes.into();
        self
    }

    /// Sets [`body_timeout`](Limits#structfield.body_timeout).
    pub fn body_timeout(mut self, time: impl Into<Option<Duration>>) -> Limits {
        self.body_timeout = time.into();
        self
    }

    /// Sets [`max_streams`](Limits#structfield.max_streams).
    pub fn max_streams(mut self, streams: u32) -> Limits {
        self.max_streams = streams;
        self
    }

    /// Sets [`ping_interval`](Limits#structfield.ping_interval).
    pub fn ping_interval(mut self, time: impl Into<Option<Duration>>) -> Limits {
        self.ping_interval = time.into();
        self
    }

    /// Sets [`ping_timeout`](Limits#structfield.ping_timeout).
    pub fn ping_timeout(mut self, time: Duration) -> Limits {
        self.ping_timeout = time;
        self
    }

    /// Sets [`max_connection_age`](Limits#structfield.max_connection_age).
    pub fn max_connection_age(mut self, time: impl Into<Option<Duration>>) -> Limits {
        self.max_connection_age = time.into();
        self
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.max_header_bytes.max(LEAST_HEADER_BYTES)
    }

    /// How often to look after the connections, so that no bound of time is overrun by more than a
    /// quarter, or by a second.
    pub(super) fn round(&self) -> Duration {
        let shortest = [
            self.header_timeout,
            self.idle_timeout,
            self.write_timeout,
            self.max_connection_age,
        ];
        let shortest = shortest.into_iter().flatten().min();
        let quarter = shortest.map_or(LONGEST_ROUND, |time| time / 4);
        quarter.clamp(SHORTEST_ROUND, LONGEST_ROUND)
    }
}

const LONGEST_ROUND: Duration = Duration::from_secs(1);
const SHORTEST_ROUND: Duration = Duration::from_millis(5);
