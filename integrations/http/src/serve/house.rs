//! What all connections of a server share: its limits, its instruments, its room.

use std::sync::Arc;

use opentelemetry::metrics::{Counter, UpDownCounter};
use opentelemetry::{InstrumentationScope, KeyValue};
use telemetry_rt::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::Limits;
use super::report::CloseReason;

#[derive(Debug)]
pub(crate) struct House {
    pub(super) limits: Limits,
    room: Arc<Semaphore>,
    open: UpDownCounter<i64>,
    closed: Counter<u64>,
    hits: Counter<u64>,
    accept_errors: Counter<u64>,
}

/// A bound that does not end the connection; the others are reasons for closing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hit {
    Connections,
    BodySize,
    BodyTimeout,
}

impl Hit {
    fn as_str(self) -> &'static str {
        match self {
            Hit::Connections => "max_connections",
            Hit::BodySize => "max_body_bytes",
            Hit::BodyTimeout => "body_timeout",
        }
    }
}

impl House {
    /// Within a runtime, whose instruments these are.
    pub(super) fn new(limits: Limits) -> House {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let meter = telemetry_rt::otel::meter(scope);
        let room = limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        House {
            room: Arc::new(Semaphore::new(room)),
            limits,
            open: meter
                .i64_up_down_counter("http.server.connections.open")
                .with_unit("{connection}")
                .with_description("Connections that are open, with those that were upgraded")
                .build(),
            closed: meter
                .u64_counter("http.server.connections.closed")
                .with_unit("{connection}")
                .with_description("Connections that HTTP is over on, by reason")
                .build(),
            hits: meter
                .u64_counter("http.server.limits.hit")
                .with_unit("{hit}")
                .with_description("Bounds that were hit and did not end the connection")
                .build(),
            accept_errors: meter
                .u64_counter("http.server.accept.errors")
                .with_unit("{error}")
                .with_description("Connections that could not be accepted")
                .build(),
        }
    }

    /// A seat, if there is one now.
    pub(super) fn seat_now(self: &Arc<Self>) -> Option<Permit> {
        Arc::clone(&self.room)
            .try_acquire_owned()
            .ok()
            .map(|_permit| Permit { _permit })
    }

    /// Waits for a seat. Cancel safe, but for its turn in the queue.
    pub(super) async fn seat(self: &Arc<Self>) -> Permit {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        Permit {
            _permit: permit.expect("the semaphore is never closed"),
        }
    }

    pub(super) fn count_closed(&self, reason: CloseReason) {
        self.closed
            .add(1, &[KeyValue::new("reason", reason.as_str())]);
    }

    pub(super) fn count_hit(&self, hit: Hit) {
        self.hits.add(1, &[KeyValue::new("limit", hit.as_str())]);
    }

    pub(super) fn count_accept_error(&self, error: &std::io::Error) {
        let name = match (error.raw_os_error(), error.kind()) {
            // The kinds of the standard library do not tell want of descriptors from the rest.
            (Some(code), _) => format!("os_error_{code}"),
            (None, kind) => format!("{kind:?}"),
        };
        self.accept_errors
            .add(1, &[KeyValue::new("error.type", name)]);
    }
}

/// The right to have a connection open.
#[derive(Debug)]
pub(super) struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// An open connection: it is counted until this is dropped, which the socket does.
#[derive(Debug)]
pub(super) struct Seat {
    house: Arc<House>,
    _permit: Permit,
}

impl Seat {
    pub(super) fn take(house: &Arc<House>, permit: Permit) -> Seat {
        house.open.add(1, &[]);
        Seat {
            house: Arc::clone(house),
            _permit: permit,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.house.open.add(-1, &[]);
    }
}
