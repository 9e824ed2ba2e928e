//! Who must vouch for a collector that is reached by `https`, and who vouches for us?
//!
//! For the collector, certificates that a variable names, and then no others; by default those of
//! Mozilla, which the build brings along. For us nobody, unless variables name a certificate and its
//! key. The twin of this file, for builds without `https`, is `tls_off.rs`.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

use super::settings::Unusable;
use crate::env::{otlp, text};

pub struct Tls {
    authorities: RootCerts,
    identity: Option<ClientCert>,
}

impl Tls {
    pub fn from_variables() -> Result<Tls, Unusable> {
        Ok(Tls {
            authorities: authorities(&otlp("CERTIFICATE"))?,
            identity: identity(&otlp("CLIENT_CERTIFICATE"), &otlp("CLIENT_KEY"))?,
        })
    }

    /// Lets an agent use all this.
    pub fn used_in(&self, config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
        let tls = TlsConfig::builder()
            .root_certs(self.authorities.clone())
            .client_cert(self.identity.clone());
        config.tls_config(tls.build())
    }
}

fn authorities(variable: &str) -> Result<RootCerts, Unusable> {
    match text(variable) {
        None => Ok(RootCerts::WebPki),
        Some(path) => Ok(certificates(variable, &path)?.into()),
    }
}

fn identity(certificate: &str, key: &str) -> Result<Option<ClientCert>, Unusable> {
    let (chain, path) = match (text(certificate), text(key)) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(no_file(certificate, &format!("{key} needs it"))),
        (Some(_), None) => return Err(no_file(key, &format!("{certificate} needs it"))),
        (Some(chain), Some(path)) => (certificates(certificate, &chain)?, path),
    };
    let pem = read(key, &path)?;
    let private = PrivateKey::from_pem(&pem).map_err(|error| no_file(key, &error.to_string()))?;
    // Tried now, because `ureq` would panic later.
    tried(&chain, &private).map_err(|reason| no_file(key, &reason))?;
    Ok(Some(ClientCert::new_with_certs(&chain, private)))
}

/// Whether the key is that of the first certificate.
fn tried(chain: &[Certificate<'static>], key: &PrivateKey<'static>) -> Result<(), String> {
    let chain = chain.iter().map(|one| one.der().to_vec().into()).collect();
    let key = PrivateKeyDer::try_from(key.der().to_vec())?;
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(ring::default_provider()));
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// All certificates in a file, of which there must be one.
fn certificates(variable: &str, path: &str) -> Result<Vec<Certificate<'static>>, Unusable> {
    let pem = read(variable, path)?;
    let items: Result<Vec<PemItem<'static>>, ureq::Error> = parse_pem(&pem).collect();
    let items = items.map_err(|error| no_file(variable, &error.to_string()))?;
    let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
    match certificates.is_empty() {
        true => Err(no_file(variable, "it has no certificate")),
        false => Ok(certificates),
    }
}

fn certificate(item: PemItem<'static>) -> Option<Certificate<'static>> {
    match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}

fn read(variable: &str, path: &str) -> Result<Vec<u8>, Unusable> {
    std::fs::read(path).map_err(|error| no_file(variable, &error.to_string()))
}

fn no_file(variable: &str, reason: &str) -> Unusable {
    Unusable::new(variable, format!("the path of a PEM file ({reason})"))
}
