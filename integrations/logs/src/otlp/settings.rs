//! What do the variables say that the libraries read without a word?
//!
//! Where records are sent to, with which headers and how compressed is read by `opentelemetry-otlp`.
//! What is not understood it passes over in silence, so the same is read here, to be told.

use std::fmt;
use std::time::Duration;

use telemetry_rt::__private::warn;
use ureq::http::Uri;

use super::tls::Tls;
use crate::env::{count, otlp, text};

/// How a collector is reached.
pub struct Endpoint {
    pub timeout: Duration,
    pub tls: Tls,
    /// Whether it is on this machine.
    pub is_local: bool,
    /// The variable that names it.
    variable: String,
}

/// A variable that leaves no way to send anything. Its value may hold secrets, and is not shown.
#[derive(Debug)]
pub struct Unusable {
    variable: String,
    accepted: String,
}

impl Unusable {
    pub fn new(variable: impl Into<String>, accepted: impl Into<String>) -> Unusable {
        Unusable {
            variable: variable.into(),
            accepted: accepted.into(),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unusable { variable, accepted } = self;
        write!(f, "{variable} cannot be used; accepted: {accepted}")
    }
}

impl Endpoint {
    pub fn from_variables() -> Result<Endpoint, Unusable> {
        check_protocol();
        check_compression();
        check_headers();
        let millis = count(&otlp("TIMEOUT"), 10_000);
        let mut endpoint = Endpoint {
            timeout: Duration::from_millis(millis as u64),
            tls: Tls::from_variables()?,
            is_local: true,
            variable: otlp("ENDPOINT"),
        };
        if let Some(url) = text(&endpoint.variable) {
            let host = host(&url).ok_or_else(|| endpoint.unusable())?;
            endpoint.is_local = matches!(&*host, "localhost" | "127.0.0.1" | "[::1]");
        }
        Ok(endpoint)
    }

    pub fn unusable(&self) -> Unusable {
        let accepted = match cfg!(feature = "tls") {
            true => "a URL such as http://localhost:4318, http or https",
            false => {
                "a URL such as http://localhost:4318; for https a build with the feature `tls`"
            }
        };
        Unusable::new(&self.variable, accepted)
    }
}

/// The host of a URL that can be used.
fn host(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?;
    let usable = scheme == "http" || cfg!(feature = "tls") && scheme == "https";
    let host = url.host().filter(|host| usable && !host.is_empty());
    host.map(str::to_owned)
}

fn check_protocol() {
    let name = otlp("PROTOCOL");
    check_word(&name, &["http/protobuf"], "http/protobuf is used for logs");
}

fn check_compression() {
    check_word(&otlp("COMPRESSION"), &["gzip", "none"], "none is used");
}

fn check_word(name: &str, accepted: &[&str], instead: &str) {
    let Some(value) = text(name) else { return };
    if !accepted.iter().any(|word| value.eq_ignore_ascii_case(word)) {
        let accepted = accepted.join(", ");
        warn(format_args!(
            "{name} is {value:?}; accepted: {accepted}; {instead}"
        ));
    }
}

/// Says that a header is left out, but never what is in it.
fn check_headers() {
    let name = otlp("HEADERS");
    let list = text(&name).unwrap_or_default();
    let mut entries = list.split(',').map(str::trim);
    if entries.any(|entry| !entry.is_empty() && !entry.contains('=')) {
        warn(format_args!(
            "{name} has an entry without `=`; accepted: name=value,name=value; it is ignored"
        ));
    }
}

/// What waits, and for how long.
pub struct Queue {
    pub size: usize,
    pub batch: usize,
    pub delay: Duration,
}

impl Queue {
    /// By default what the specification says.
    pub fn from_variables() -> Queue {
        let size = count("OTEL_BLRP_MAX_QUEUE_SIZE", 2048);
        let delay = count("OTEL_BLRP_SCHEDULE_DELAY", 1000);
        Queue {
            size,
            batch: count("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 512).min(size),
            delay: Duration::from_millis(delay as u64),
        }
    }
}
