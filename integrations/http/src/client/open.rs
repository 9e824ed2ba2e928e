//! How many connections of the pool are open, how many of those are in use, and how long was each
//! open?
//!
//! hyper-util's pool does not say; but it gives back what the connector said of a connection, with
//! each request that goes by it. So a connection is in use from the moment that a request has it
//! until the body of the response has ended, and idle else.

use std::sync::Arc;

use http::{Response, Uri};
use hyper_util::client::legacy::connect::CaptureConnection;
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute::{
    NETWORK_PROTOCOL_VERSION, SERVER_ADDRESS, SERVER_PORT, URL_SCHEME,
};
use parking_lot::Mutex;
use telemetry_rt::time::Instant;

use super::connector::{address, port};
use super::layer::{Settings, Telemetry};
use crate::connection::Connection;

/// Counts connections.
#[derive(Clone)]
pub(super) struct OpenConnections(pub(super) Arc<Settings>);

impl OpenConnections {
    /// Whether the next connection is counted, and by whom. To be asked where the request is that
    /// wants it: if that gets another one, the pool's own tasks go on connecting, and those are
    /// suppressed.
    pub(super) fn begin(&self) -> Opening {
        let is_counted = !Context::is_current_telemetry_suppressed();
        Opening(is_counted.then(|| self.0.telemetry()))
    }
}

/// A connection in the making.
pub(super) struct Opening(Option<Arc<Telemetry>>);

impl Opening {
    pub(super) fn opened(self, uri: &Uri, is_h2: bool) -> OpenConnection {
        let counted = self.0.map(|telemetry| {
            Arc::new(Counted {
                telemetry,
                attributes: attributes(uri, is_h2),
                since: Instant::now(),
                state: Mutex::new(State {
                    is_open: true,
                    users: 0,
                }),
            })
        });
        if let Some(counted) = &counted {
            counted.count("idle", 1);
        }
        OpenConnection(counted)
    }
}

fn attributes(uri: &Uri, is_h2: bool) -> Vec<KeyValue> {
    let version = match is_h2 {
        true => "2",
        false => "1.1",
    };
    vec![
        KeyValue::new(SERVER_ADDRESS, address(uri).to_owned()),
        KeyValue::new(SERVER_PORT, i64::from(port(uri))),
        KeyValue::new(URL_SCHEME, uri.scheme_str().unwrap_or("http").to_owned()),
        KeyValue::new(NETWORK_PROTOCOL_VERSION, version),
    ]
}

#[derive(Debug)]
struct Counted {
    telemetry: Arc<Telemetry>,
    attributes: Vec<KeyValue>,
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_open: bool,
    users: usize,
}

impl State {
    fn name(&self) -> &'static str {
        match self.users {
            0 => "idle",
            _ => "active",
        }
    }
}

impl Counted {
    fn count(&self, state: &'static str, by: i64) {
        let metrics = &self.telemetry.metrics;
        metrics.open_connections(by, state, &self.attributes);
    }

    /// One user more or less.
    fn change(&self, change: impl FnOnce(&mut usize)) {
        let mut state = self.state.lock();
        let before = state.name();
        change(&mut state.users);
        let after = state.name();
        let is_open = state.is_open;
        drop(state);
        if is_open && before != after {
            self.count(before, -1);
            self.count(after, 1);
        }
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.is_open = false;
        let last = state.name();
        drop(state);
        self.count(last, -1);
        let open = self.since.elapsed();
        self.telemetry.metrics.connection(open, &self.attributes);
    }
}

/// Goes with the connection, and ends with it.
#[derive(Debug)]
pub(super) struct OpenConnection(Option<Arc<Counted>>);

impl OpenConnection {
    /// What those who use the connection need.
    pub(super) fn use_of(&self) -> ConnectionUse {
        ConnectionUse(self.0.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(counted) = &self.0 {
            counted.close();
        }
    }
}

/// A connection, for those who use it. In the extensions of responses.
#[derive(Clone, Debug)]
pub(super) struct ConnectionUse(Option<Arc<Counted>>);

impl ConnectionUse {
    fn begin(self) -> Option<InUse> {
        let counted = self.0?;
        counted.change(|users| *users += 1);
        Some(InUse(counted))
    }
}

/// A connection is in use for as long as this lives.
#[derive(Debug)]
pub(super) struct InUse(Arc<Counted>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.change(|users| *users -= 1);
    }
}

/// By which connection does a request go? Not known until it has one.
pub(super) struct Using {
    capture: CaptureConnection,
    connection: Option<Connection>,
    in_use: Option<InUse>,
}

impl Using {
    pub(super) fn waiting(capture: CaptureConnection) -> Using {
        Using {
            capture,
            connection: None,
            in_use: None,
        }
    }

    pub(super) fn look(&mut self) {
        if self.connection.is_some() {
            return;
        }
        let mut extras = http::Extensions::new();
        match &*self.capture.connection_metadata() {
            Some(connected) => connected.get_extras(&mut extras),
            None => return,
        }
        self.connection = extras.remove();
        self.in_use = extras.remove().and_then(ConnectionUse::begin);
    }

    pub(super) fn connection(&self) -> Option<Connection> {
        self.connection.clone()
    }

    /// The connection that the response came by: another one than at first, if that was closed before
    /// it took the request.
    pub(super) fn settle<B>(self, response: &Response<B>) -> Option<InUse> {
        let came_by = response.extensions().get::<ConnectionUse>()?;
        match (self.in_use, &came_by.0) {
            (Some(in_use), Some(counted)) if Arc::ptr_eq(&in_use.0, counted) => Some(in_use),
            _ => came_by.clone().begin(),
        }
    }
}
