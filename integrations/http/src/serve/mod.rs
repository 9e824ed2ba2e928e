//! Accepts connections, and serves them within limits.
