//! How a client is told what to do.

use std::sync::Arc;

use telemetry_rt::time::Duration;

use super::connector::Connector;
use super::error::Error;
use super::layer::ClientLayer;
use super::open::OpenConnections;
use super::redirect::Allowed;
use super::tls;
use super::transport::{PoolConfig, Transport};
use super::{Client, Shared};

/// Makes a [`Client`].
///
/// ```
/// use std::time::Duration;
/// use telemetry_rt_http::Client;
///
/// let client = Client::builder()
///     .timeout(Duration::from_secs(30))
///     .retries(2)
///     .redirects(3)
///     .build()
///     .unwrap();
/// # drop(client);
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct ClientBuilder {
    layer: Option<ClientLayer>,
    pool: PoolConfig,
    connect_timeout: Duration,
    head_timeout: Option<Duration>,
    timeout: Option<Duration>,
    redirects: Allowed,
    retries: u32,
    #[cfg(feature = "tls")]
    roots: tls::Roots,
}

impl ClientBuilder {
    pub(super) fn new() -> ClientBuilder {
        ClientBuilder {
            layer: None,
            pool: PoolConfig {
                idle_timeout: Some(Duration::from_secs(90)),
                max_idle_per_host: usize::MAX,
                h2_only: false,
                h2_silence: Some(Duration::from_secs(30)),
            },
            connect_timeout: Duration::from_secs(10),
            head_timeout: None,
            timeout: None,
            redirects: Allowed {
                limit: 10,
                downgrade: true,
            },
            retries: 0,
            #[cfg(feature = "tls")]
            roots: tls::Roots::default(),
        }
    }

    /// How requests are recorded: by default as [`ClientLayer::new`] does.
    pub fn telemetry(mut self, layer: ClientLayer) -> Self {
        self.layer = Some(layer);
        self
    }

    /// The time for one connection: the name, all addresses of it, and TLS. 10 s by default.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// The time from sending a request to the head of its response, connecting included; for each
    /// attempt anew. No limit by default.
    pub fn head_timeout(mut self, limit: Duration) -> Self {
        self.head_timeout = Some(limit);
        self
    }

    /// The time for a whole call: all attempts and the pauses between, all redirects, and the body of
    /// the response to its end. No limit by default.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How many redirects are followed; more are an error. 10 by default; with 0 the redirects
    /// themselves are the responses.
    ///
    /// `authorization`, `cookie`, `proxy-authorization` and a `host` of the application's do not go to
    /// another origin, and do not come back.
    pub fn redirects(mut self, limit: usize) -> Self {
        self.redirects.limit = limit;
        self
    }

    /// Whether a redirect may lead from `https` to `http`. It may by default.
    pub fn redirects_to_http(mut self, allowed: bool) -> Self {
        self.redirects.downgrade = allowed;
        self
    }

    /// How often a request is sent again that could not connect, or that was answered with 429, 502,
    /// 503 or 504 if its method is idempotent. 0 by default.
    ///
    /// Only if its body can be sent twice: see [`Body`](super::Body). The pause before is what
    /// `retry-after` says in seconds; without that 50 to 100 ms at first, and twice as long each
    /// time. A pause of more than a minute, or one that would outlast the time of the call, is not
    /// made: the answer is given back as it is.
    pub fn retries(mut self, limit: u32) -> Self {
        self.retries = limit;
        self
    }

    /// How long a connection is kept that nobody uses; `None` for as long as the server does. 90 s by
    /// default.
    pub fn pool_idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.pool.idle_timeout = limit.into();
        self
    }

    /// How many connections to one host are kept that nobody uses; with 0 none is used twice. No
    /// limit by default.
    pub fn pool_max_idle_per_host(mut self, limit: usize) -> Self {
        self.pool.max_idle_per_host = limit;
        self
    }

    /// Speaks HTTP/2 only, also without TLS, where nobody has agreed on it. By default HTTP/2 is
    /// spoken with servers that choose it while TLS is set up.
    pub fn http2_only(mut self) -> Self {
        self.pool.h2_only = true;
        self
    }

    /// How long a server may be silent on a connection of HTTP/2 on which it owes an answer, before it
    /// is asked for a sign of life; `None` for ever. If none comes within as long again, but no more
    /// than 10 s, the connection is closed: a peer that is gone without a word would else hold up all
    /// requests to its host. 30 s by default.
    pub fn http2_silence(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.pool.h2_silence = limit.into();
        self
    }

    /// Trusts these certificates beside those of Mozilla's list. Without effect if there is a
    /// [`tls_config`](ClientBuilder::tls_config).
    #[cfg(feature = "tls")]
    pub fn root_certificates(
        mut self,
        certificates: impl IntoIterator<Item = tokio_rustls::rustls::pki_types::CertificateDer<'static>>,
    ) -> Self {
        self.roots.extra.extend(certificates);
        self
    }

    /// Sets up TLS as this says. If it names no protocols, those of the client are offered.
    #[cfg(feature = "tls")]
    pub fn tls_config(
        mut self,
        config: impl Into<Arc<tokio_rustls::rustls::ClientConfig>>,
    ) -> Self {
        self.roots.config = Some(config.into());
        self
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<tls::Tls, Error> {
        self.roots.clone().build(self.pool.h2_only)
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self) -> Result<tls::Tls, Error> {
        Ok(tls::Tls)
    }

    /// Makes the client. Nothing is connected before there is a request.
    ///
    /// # Errors
    ///
    /// If a root certificate is none.
    pub fn build(self) -> Result<Client, Error> {
        let tls = self.tls()?;
        let layer = self.layer.unwrap_or_default();
        let connector = Connector {
            tls,
            timeout: self.connect_timeout,
            h2_only: self.pool.h2_only,
            open: OpenConnections(layer.settings()),
        };
        let transport = Transport::new(connector, self.pool, self.head_timeout);
        Ok(Client {
            shared: Arc::new(Shared {
                service: tower::Layer::layer(&layer, transport),
                redirects: self.redirects,
                retries: self.retries,
                timeout: self.timeout,
            }),
        })
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("pool", &self.pool)
            .field("connect_timeout", &self.connect_timeout)
            .field("head_timeout", &self.head_timeout)
            .field("timeout", &self.timeout)
            .field("redirects", &self.redirects)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
