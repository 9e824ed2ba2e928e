//! Is the server who it says it is? `https`, by rustls; without the feature `tls` a clear refusal.

#[cfg(feature = "tls")]
pub(super) use self::with::{Roots, Tls};
#[cfg(not(feature = "tls"))]
pub(super) use self::without::Tls;

#[cfg(feature = "tls")]
mod with {
    use std::io;
    use std::sync::Arc;

    use telemetry_rt::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use crate::client::connector::Socket;
    use crate::client::error::{Error, Kind};

    /// The protocols that are offered, the better one first: RFC 7301.
    const H2: &[u8] = b"h2";
    const HTTP_1_1: &[u8] = b"http/1.1";

    /// Whom to trust.
    #[derive(Clone, Default)]
    pub(in crate::client) struct Roots {
        pub(in crate::client) config: Option<Arc<ClientConfig>>,
        pub(in crate::client) extra: Vec<CertificateDer<'static>>,
    }

    impl Roots {
        /// # Errors
        ///
        /// If a certificate that was given is none.
        pub(in crate::client) fn build(self, h2_only: bool) -> Result<Tls, Error> {
            let mut config = match self.config {
                Some(config) => ClientConfig::clone(&config),
                None => by_default(self.extra)?,
            };
            if config.alpn_protocols.is_empty() {
                config.alpn_protocols = match h2_only {
                    true => vec![H2.to_vec()],
                    false => vec![H2.to_vec(), HTTP_1_1.to_vec()],
                };
            }
            Ok(Tls(Arc::new(config).into()))
        }
    }

    fn by_default(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in extra {
            roots.add(certificate).map_err(|error| {
                Error::new(
                    Kind::Tls,
                    format!("a root certificate is not accepted: {error}"),
                )
                .because(error)
            })?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }

    /// Encrypts connections.
    #[derive(Clone)]
    pub(in crate::client) struct Tls(TlsConnector);

    impl Tls {
        pub(in crate::client) async fn connect(
            &self,
            host: &str,
            stream: TcpStream,
        ) -> Result<Socket, Error> {
            let name = ServerName::try_from(host.to_owned()).map_err(|error| {
                Error::new(Kind::Tls, "the host is not a name that certificates have")
                    .because(error)
            })?;
            let encrypted = self.0.connect(name, stream).await.map_err(handshake)?;
            Ok(Socket::Encrypted(Box::new(encrypted)))
        }
    }

    fn handshake(error: io::Error) -> Error {
        Error::new(Kind::Tls, format!("the TLS handshake failed: {error}")).because(error)
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use telemetry_rt::net::TcpStream;

    use crate::client::connector::Socket;
    use crate::client::error::{Error, Kind};

    /// Encrypts nothing.
    #[derive(Clone)]
    pub(in crate::client) struct Tls;

    impl Tls {
        pub(in crate::client) async fn connect(
            &self,
            _: &str,
            _: TcpStream,
        ) -> Result<Socket, Error> {
            Err(Error::new(
                Kind::Request,
                "`https` needs the feature `tls` of telemetry_rt-http",
            ))
        }
    }
}
