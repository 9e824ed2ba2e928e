//! What the runtime asks of the operating system beside sockets: threads. Injectable, so that a
//! test can refuse them.

use std::fmt;
use std::io;
use std::thread::{self, JoinHandle};

/// Creates the threads of a runtime.
pub trait Os: fmt::Debug + Send + Sync + 'static {
    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// When the operating system refuses another thread.
    fn spawn(
        &self,
        name: String,
        stack_size: Option<usize>,
        run: Box<dyn FnOnce() + Send>,
    ) -> io::Result<JoinHandle<()>>;
}

/// The threads of the standard library.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdThreads;

impl Os for StdThreads {
    fn spawn(
        &self,
        name: String,
        stack_size: Option<usize>,
        run: Box<dyn FnOnce() + Send>,
    ) -> io::Result<JoinHandle<()>> {
        let mut builder = thread::Builder::new().name(name);
        if let Some(size) = stack_size {
            builder = builder.stack_size(size);
        }
        builder.spawn(run)
    }
}
