//! Where a signal is sent to, and how.

use std::fmt;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Uri};

use super::tls::Tls;
use super::url::{self, shown};
use crate::export::env::ConfigError;

/// An endpoint that takes one signal, by HTTP or gRPC.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) protocol: Protocol,
    pub(super) url: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    pub(super) tls: Tls,
}

/// How requests are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Protobuf messages, posted by HTTP.
    Http,
    #[cfg(feature = "grpc")]
    Grpc,
}

impl Protocol {
    /// The protocols of this build, and what `OTEL_EXPORTER_OTLP_PROTOCOL` calls them.
    pub(super) const KNOWN: &[(&str, Protocol)] = &[
        ("http/protobuf", Protocol::Http),
        #[cfg(feature = "grpc")]
        ("grpc", Protocol::Grpc),
    ];

    /// The port where collectors listen for it.
    pub(super) fn port(self) -> u16 {
        match self {
            Protocol::Http => 4318,
            #[cfg(feature = "grpc")]
            Protocol::Grpc => 4317,
        }
    }

    /// Whether it has a use for all that stands before the path of a URL.
    #[cfg_attr(
        not(feature = "grpc"),
        expect(unused_variables, reason = "HTTP has a use for everything")
    )]
    pub(super) fn takes(self, url: &Uri) -> bool {
        match self {
            Protocol::Http => true,
            // A user and a password have no place in it; that is what headers are for.
            #[cfg(feature = "grpc")]
            Protocol::Grpc => url
                .authority()
                .is_some_and(|all| !all.as_str().contains('@')),
        }
    }

    /// Whether the user may say this, apart from headers that say what the body is.
    #[cfg_attr(
        not(feature = "grpc"),
        expect(unused_variables, reason = "the types hold what HTTP allows")
    )]
    fn allows(self, name: &HeaderName, value: &HeaderValue) -> bool {
        match self {
            Protocol::Http => true,
            #[cfg(feature = "grpc")]
            Protocol::Grpc => super::grpc::is_metadata(name, value),
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Protocol::Http => "that HTTP allows in a header",
            #[cfg(feature = "grpc")]
            Protocol::Grpc => "that gRPC allows in its metadata",
        }
    }
}

pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Endpoint {
    /// The HTTP endpoint at exactly this URL, such as `http://localhost:4318/v1/traces`, with a
    /// timeout of 10 s.
    ///
    /// # Errors
    ///
    /// When it is no URL of a kind that this build can use.
    pub fn new(url: &str) -> Result<Endpoint, ConfigError> {
        let url = url::parse("the endpoint", url, Protocol::Http)?;
        Ok(Endpoint::at(url, Protocol::Http))
    }

    /// The gRPC endpoint at this URL, such as `http://localhost:4317`, with a timeout of 10 s.
    /// `http` is without encryption, `https` with it. Proxies are not used.
    ///
    /// # Errors
    ///
    /// When it is no URL of a kind that this build can use, or has a path: what is called is for
    /// the protocol to say.
    #[cfg(feature = "grpc")]
    pub fn grpc(url: &str) -> Result<Endpoint, ConfigError> {
        let parsed = url::parse("the endpoint", url, Protocol::Grpc)?;
        match url::has_path(&parsed) {
            true => Err(url::error("the endpoint", url, Protocol::Grpc)),
            false => Ok(Endpoint::at(parsed, Protocol::Grpc)),
        }
    }

    /// Adds a header to each request; for gRPC, to its metadata.
    ///
    /// # Errors
    ///
    /// When the name or the value is none that the protocol allows, or the header is one that
    /// describes the body, which is not for the user to say. The error does not show the value.
    pub fn header(mut self, name: &str, value: &str) -> Result<Endpoint, ConfigError> {
        let header = parse_header("the header", name, value, self.protocol)?;
        self.headers.push(header);
        Ok(self)
    }

    /// How long a request may take, with all its repetitions.
    pub fn timeout(mut self, timeout: Duration) -> Endpoint {
        self.timeout = timeout;
        self
    }

    /// Compresses requests.
    pub fn gzip(mut self) -> Endpoint {
        self.gzip = true;
        self
    }

    /// Trusts a collector only if one of these certificates, as PEM, vouches for it; by default
    /// those of the public authorities do. An `http` endpoint has no use for them.
    ///
    /// # Errors
    ///
    /// When there is no certificate in the text. A build without the feature `tls`, which knows no
    /// `https`, does not look.
    pub fn certificate(mut self, pem: &[u8]) -> Result<Endpoint, ConfigError> {
        self.tls.trust(pem).map_err(|reason| {
            let accepted = format!("PEM with at least one certificate ({reason})");
            ConfigError::new("the certificate", "…", accepted)
        })?;
        Ok(self)
    }

    /// Shows this certificate, or chain of them, to a collector that asks who we are; both it and
    /// its private key are PEM. An `http` endpoint has no use for them.
    ///
    /// # Errors
    ///
    /// When there is no certificate or no key in the texts, or the key is that of another
    /// certificate. A build without the feature `tls`, which knows no `https`, does not look.
    pub fn client_certificate(mut self, pem: &[u8], key: &[u8]) -> Result<Endpoint, ConfigError> {
        self.tls.identify(pem, key).map_err(|reason| {
            let accepted = format!("PEM with a certificate, and PEM with its key ({reason})");
            ConfigError::new("the client certificate", "…", accepted)
        })?;
        Ok(self)
    }

    pub(super) fn at(url: Uri, protocol: Protocol) -> Endpoint {
        Endpoint {
            protocol,
            url,
            headers: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            gzip: false,
            tls: Tls::public(),
        }
    }
}

/// Headers that say what the body is. A second one would contradict the exporter's own.
const RESERVED: [&str; 3] = ["content-type", "content-encoding", "content-length"];

/// The error shows the name only, and only if it is one: values are credentials, and who puts a
/// value where the name belongs must not read it in a log.
pub(super) fn parse_header(
    variable: &str,
    name: &str,
    value: &str,
    protocol: Protocol,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let known: Option<HeaderName> = name.parse().ok();
    let shown = format!("{}=…", known.as_ref().map_or("…", HeaderName::as_str));
    let parsed = known
        .filter(|name| !RESERVED.contains(&name.as_str()))
        .zip(value.parse().ok())
        .filter(|(name, value)| protocol.allows(name, value));
    parsed.ok_or_else(|| {
        let accepted = format!(
            "a name and a value {}, but not {}",
            protocol.allowed(),
            RESERVED.join(", ")
        );
        ConfigError::new(variable, shown, accepted)
    })
}

impl fmt::Debug for Endpoint {
    /// Without the values of headers, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Endpoint")
            .field("protocol", &self.protocol)
            .field("url", &shown(&self.url))
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .finish()
    }
}
