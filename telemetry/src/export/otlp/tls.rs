//! Who must vouch for a collector that is reached by `https`, and who vouches for us?
//!
//! For the collector, certificates that the user names, and then no others: who runs an authority
//! of their own does not want the public ones as well. By default those of Mozilla, which the
//! build brings along. For us nobody, unless the user names a certificate and its key.
//! The twin of this file, for builds without `https`, is `tls_off.rs`.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

#[derive(Clone)]
pub(super) struct Tls {
    authorities: RootCerts,
    identity: Option<ClientCert>,
}

impl Tls {
    /// The public authorities, and nobody for us.
    pub(super) fn public() -> Tls {
        Tls {
            authorities: RootCerts::WebPki,
            identity: None,
        }
    }

    /// Trusts the certificates in a PEM text only. The error says why there are none.
    pub(super) fn trust(&mut self, pem: &[u8]) -> Result<(), String> {
        self.authorities = certificates(pem)?.into();
        Ok(())
    }

    /// Shows the certificates in a PEM text to a collector that asks. The error says why they
    /// cannot be used, or their key cannot.
    pub(super) fn identify(&mut self, certificate: &[u8], key: &[u8]) -> Result<(), String> {
        let key = PrivateKey::from_pem(key).map_err(|error| error.to_string())?;
        let identity = ClientCert::new_with_certs(&certificates(certificate)?, key);
        let tls = Tls {
            identity: Some(identity),
            authorities: self.authorities.clone(),
        };
        // Tried now, because `ureq` would panic later.
        tls.config()?;
        *self = tls;
        Ok(())
    }

    /// Lets an agent use all this.
    pub(super) fn used_in(&self, config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
        let tls = TlsConfig::builder()
            .root_certs(self.authorities.clone())
            .client_cert(self.identity.clone());
        config.tls_config(tls.build())
    }

    /// The same for a connection of our own, with the cryptography that `ureq` would choose.
    pub(super) fn config(&self) -> Result<ClientConfig, String> {
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots());
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => builder
                .with_client_auth_cert(chain(identity), key(identity)?)
                .map_err(|error| error.to_string()),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            RootCerts::Specific(certificates) => {
                let ders = certificates
                    .iter()
                    .map(|one| CertificateDer::from(one.der()));
                roots.add_parsable_certificates(ders);
            }
            _ => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        roots
    }
}

/// All certificates in a PEM text, of which there must be one. It may hold a key as well, which
/// is of no use here.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let items: Result<Vec<PemItem<'static>>, ureq::Error> = parse_pem(pem).collect();
    let items = items.map_err(|error| error.to_string())?;
    let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
    match certificates.is_empty() {
        true => Err("it has none".to_owned()),
        false => Ok(certificates),
    }
}

fn certificate(item: PemItem<'static>) -> Option<Certificate<'static>> {
    match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}

fn chain(identity: &ClientCert) -> Vec<CertificateDer<'static>> {
    let owned = |one: &Certificate<'static>| CertificateDer::from(one.der().to_vec());
    identity.certs().iter().map(owned).collect()
}

fn key(identity: &ClientCert) -> Result<PrivateKeyDer<'static>, String> {
    let der = identity.private_key().der().to_vec();
    PrivateKeyDer::try_from(der).map_err(str::to_owned)
}
