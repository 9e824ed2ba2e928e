//! Metrics for Prometheus to fetch: a small HTTP server on a thread of its own.
//!
//! ```text
//!   rt-prometheus ──accepts──► rt-scrape (a thread for each connection, few at once)
//!                                 http       reads one request, writes one answer
//!                                 negotiate  which format, and whether it is packed
//!                                 scrape     MetricSource::collect, in the format that was asked for
//!                                 text       which is lines of text
//!                                 families   metrics of one name, from whatever scopes
//!                                 names      what they are called there
//! ```
//!
//! The server is our own because all it has to do is to answer one short request a connection,
//! within limits of time and memory that must hold against any peer. `tiny_http`, the known
//! library for plain threads, has had no release since 2022 and sets no time limit for a request;
//! others bring an async runtime. What is easy to get wrong is left to two small libraries that
//! hyper uses: `httparse` reads requests, `httpdate` writes dates.

mod families;
mod http;
mod names;
mod negotiate;
mod scrape;
mod server;
mod text;

pub use scrape::Scrape;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use super::collect::MetricSource;
use super::deadline::deadline_after;
use super::diagnostics::warn;
use super::env::{Env, process_variable};
use super::exporter::{Exporter, Signal};
use super::stop::Stop;
use server::Server;

/// Serves metrics at `/metrics`, to Prometheus and whoever else speaks its formats.
///
/// Each scrape reads the counters at that moment; nothing is sent in between, and any number of
/// scrapers may come. By the request's `Accept` the answer is in OpenMetrics 1.0.0, which has
/// exemplars, or in the text format 0.0.4. It is packed by gzip for those who take it.
///
/// It is meant for a network whose members are trusted: there is no encryption, and nobody is asked
/// who they are. Whoever reaches it learns the names of tasks, and may cost the program eight
/// threads and the work of as many scrapes at a time. Its limits:
///
/// * 8 connections at a time. For one more the oldest is cut off that has not sent a whole request
///   yet; when all are being answered, the new one gets status 503.
/// * 8 KiB and 64 headers for a request, else status 431; no body is read.
/// * [`time_limit`](Prometheus::time_limit) for the request, else status 408, and again for the
///   answer, else the connection is closed. Each connection is answered once.
///
/// ```
/// use telemetry_rt_telemetry::export::{Otel, Prometheus};
///
/// # fn main() -> std::io::Result<()> {
/// let prometheus = Prometheus::bind("127.0.0.1:0")?;
/// println!("http://{}/metrics", prometheus.local_addr().expect("it is bound"));
/// let otel = Otel::builder().exporter(prometheus).build();
/// # assert!(otel.is_exporting());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Prometheus {
    place: Place,
    time_limit: Duration,
    stop: Stop,
    server: Option<Server>,
}

/// Where it listens.
#[derive(Debug)]
enum Place {
    Bound(TcpListener),
    /// To be bound when the pipeline starts.
    Named(Host),
    Served(SocketAddr),
    /// It could not be bound; that was said.
    Nowhere,
}

const HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";
const PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";
const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 9464;

/// How long a peer may take to send its request, and then to read the answer.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long closing may take when no shutdown says so.
const CLOSING: Duration = Duration::from_millis(500);

impl Prometheus {
    /// Listens at `address`, from now on; answers once a pipeline has started.
    ///
    /// # Errors
    ///
    /// When the name is unknown, or the address is not to be had.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Prometheus> {
        let listener = bind_first(address.to_socket_addrs()?.collect())?;
        Ok(Prometheus::at(Place::Bound(listener)))
    }

    /// Listens where `OTEL_EXPORTER_PROMETHEUS_HOST` and `OTEL_EXPORTER_PROMETHEUS_PORT` say, by
    /// default at `localhost:9464`, when its pipeline starts. If that fails it is a warning.
    pub fn from_env() -> Prometheus {
        let env = Env::new(&process_variable);
        let prometheus = Prometheus::from_variables(&env);
        for warning in env.into_warnings() {
            warn(format_args!("{warning}"));
        }
        prometheus
    }

    pub(super) fn from_variables(env: &Env<'_>) -> Prometheus {
        let port = env.parsed(PORT, "a port from 0 to 65535", DEFAULT_PORT, |port| {
            port.parse().ok()
        });
        let name = env.text(HOST).unwrap_or_else(|| DEFAULT_HOST.to_owned());
        Prometheus::at(Place::Named(Host { name, port }))
    }

    fn at(place: Place) -> Prometheus {
        Prometheus {
            place,
            time_limit: TIME_LIMIT,
            stop: Stop::new(),
            server: None,
        }
    }

    /// How long a peer may take to send its request, and then to read the answer. Default: 5 s.
    pub fn time_limit(mut self, limit: Duration) -> Prometheus {
        self.time_limit = limit;
        self
    }

    /// Where it listens, once it is bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Bound(listener) => listener.local_addr().ok(),
            Place::Served(address) => Some(*address),
            Place::Named(_) | Place::Nowhere => None,
        }
    }

    fn serve(&mut self, source: &MetricSource) -> Result<(), String> {
        let listener = match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Bound(listener) => listener,
            Place::Named(host) => host.bind()?,
            Place::Served(_) | Place::Nowhere => return Ok(()),
        };
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let server = Server::start(listener, address, source.clone(), self.time_limit)
            .map_err(|error| format!("no thread for {address}: {error}"))?;
        self.server = Some(server);
        self.place = Place::Served(address);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(server) = self.server.take() {
            let end = self.stop.deadline();
            server.close(end.unwrap_or_else(|| deadline_after(CLOSING)));
        }
    }
}

impl Exporter for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Metrics
    }

    fn start(&mut self, stop: &Stop) {
        self.stop = stop.clone();
    }

    fn pull_metrics(&mut self, source: &MetricSource) -> bool {
        if let Err(error) = self.serve(source) {
            warn(format_args!(
                "exporter prometheus: {error}; metrics are not served"
            ));
        }
        true
    }

    fn shutdown(&mut self) {
        self.close();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.close();
    }
}

/// A host and a port as an operator wrote them.
#[derive(Debug)]
struct Host {
    name: String,
    port: u16,
}

impl Host {
    fn bind(&self) -> Result<TcpListener, String> {
        let name = self.name.trim_start_matches('[').trim_end_matches(']');
        let listener = (name, self.port)
            .to_socket_addrs()
            .and_then(|addresses| bind_first(addresses.collect()))
            .map_err(|error| format!("it cannot listen at {self} ({HOST}, {PORT}): {error}"))?;
        self.tell_chosen_port(&listener);
        Ok(listener)
    }

    /// Whoever leaves the port to the operating system has no other way to learn it.
    fn tell_chosen_port(&self, listener: &TcpListener) {
        if let (0, Ok(address)) = (self.port, listener.local_addr()) {
            warn(format_args!(
                "exporter prometheus: {PORT} is 0; metrics are at http://{address}/metrics"
            ));
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// Listens at the first of these addresses that this machine has, those of IPv4 before others.
///
/// An address that somebody else uses is an error, even if there are more: else `localhost` would
/// be served on IPv6, and scrapers on IPv4 would get the metrics of another program.
fn bind_first(mut addresses: Vec<SocketAddr>) -> io::Result<TcpListener> {
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpListener::bind(address) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => failed = error,
            result => return result,
        }
    }
    Err(failed)
}

/// For the fuzzer: reads these bytes as a request.
#[cfg(fuzzing)]
pub fn fuzz_request(bytes: &[u8]) {
    http::fuzz(bytes);
}
