//! What server and client share: names, redaction, exclusion, context on the wire.

pub(crate) mod by_runtime;
pub(crate) mod captured;
pub(crate) mod excluded;
pub(crate) mod guard;
pub(crate) mod instruments;
pub(crate) mod method;
pub(crate) mod options;
pub(crate) mod patterns;
pub(crate) mod redact;
pub(crate) mod series;
pub(crate) mod text;
pub(crate) mod version;
pub(crate) mod warn;
pub(crate) mod well_formed;
pub(crate) mod wire;
