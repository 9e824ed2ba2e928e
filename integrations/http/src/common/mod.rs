//! What server and client share: names, redaction, exclusion, context on the wire.
