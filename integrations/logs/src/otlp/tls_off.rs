//! The twin of `tls.rs`, for builds without `https`.

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use super::settings::Unusable;

pub struct Tls;

impl Tls {
    pub fn from_variables() -> Result<Tls, Unusable> {
        Ok(Tls)
    }

    pub fn used_in(&self, config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
        config
    }
}
