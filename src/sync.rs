//! Channels, locks and notifications: tokio's, which need no runtime.
//!
//! `mpsc::Sender::send_timeout` needs tokio's own timers and is not for this runtime: use
//! [`timeout`](crate::time::timeout) around `send`. The methods whose names begin with `blocking_`
//! are for threads that run no tasks.

pub use tokio::sync::*;
