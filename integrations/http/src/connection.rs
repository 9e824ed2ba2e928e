//! What a request knows of the connection that it came by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::serve::{House, Vitals};

/// The connection that a request came by; `serve` puts it into the extensions of each request.
///
/// Cost: a clone is one count.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    /// The peer's address as text, made once for all requests.
    peer_text: Option<Arc<str>>,
    given_up: AtomicBool,
    vitals: Vitals,
    house: Option<Arc<House>>,
}

impl Connection {
    pub(crate) fn new(peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Connection {
        Connection::make(peer, local, None)
    }

    /// A connection that is served by the rules of `house`.
    pub(crate) fn in_house(
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        house: &Arc<House>,
    ) -> Connection {
        Connection::make(peer, local, Some(Arc::clone(house)))
    }

    fn make(
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        house: Option<Arc<House>>,
    ) -> Connection {
        Connection {
            shared: Arc::new(Shared {
                peer,
                local,
                peer_text: peer.map(|peer| peer.ip().to_string().into()),
                given_up: AtomicBool::new(false),
                vitals: Vitals::default(),
                house,
            }),
        }
    }

    /// Who is at the other end. `None` if that has no address, as with Unix sockets.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.peer
    }

    /// The address that was connected to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.local
    }

    pub(crate) fn peer_text(&self) -> Option<&Arc<str>> {
        self.shared.peer_text.as_ref()
    }

    /// From now on requests that end early did so because of us: the server has no more time for
    /// them.
    pub(crate) fn give_up(&self) {
        // Relaxed: it is read by the task that drops the requests, which is told after this by way of
        // its own state word.
        self.shared.given_up.store(true, Relaxed);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.shared.given_up.load(Relaxed)
    }

    pub(crate) fn vitals(&self) -> &Vitals {
        &self.shared.vitals
    }

    /// The server's limits and instruments. `None` for a connection that nobody serves.
    pub(crate) fn house(&self) -> Option<&Arc<House>> {
        self.shared.house.as_ref()
    }
}
