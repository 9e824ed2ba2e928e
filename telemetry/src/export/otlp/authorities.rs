//! Who must vouch for a collector that is reached by `https`?
//!
//! Certificates that the user names, and then no others: who runs an authority of their own does
//! not want the public ones as well. By default those of Mozilla, which the build brings along.
//! The twin of this file, for builds without `https`, is `authorities_off.rs`.

use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

#[derive(Clone)]
pub(super) struct Authorities(RootCerts);

impl Authorities {
    /// The public ones.
    pub(super) fn public() -> Authorities {
        Authorities(RootCerts::WebPki)
    }

    /// The certificates in a PEM text, or why there are none.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Authorities, String> {
        let items: Result<Vec<PemItem<'static>>, ureq::Error> = parse_pem(pem).collect();
        let items = items.map_err(|error| error.to_string())?;
        let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
        match certificates.is_empty() {
            true => Err("it has none".to_owned()),
            false => Ok(Authorities(certificates.into())),
        }
    }

    /// The certificates in a PEM file, or why there are none.
    pub(super) fn from_file(path: &str) -> Result<Authorities, String> {
        let pem = std::fs::read(path).map_err(|error| error.to_string())?;
        Authorities::from_pem(&pem)
    }

    /// Lets an agent trust these and no others.
    pub(super) fn trusted_in(
        &self,
        config: ConfigBuilder<AgentScope>,
    ) -> ConfigBuilder<AgentScope> {
        let tls = TlsConfig::builder().root_certs(self.0.clone());
        config.tls_config(tls.build())
    }
}

/// A file may hold a key as well, which is of no use here.
fn certificate(item: PemItem<'static>) -> Option<Certificate<'static>> {
    match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}
