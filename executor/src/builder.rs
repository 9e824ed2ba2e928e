//! Spawning with more than a future: a name, a place in the trace.

use std::future::Future;
use std::panic::Location;

use telemetry_rt_telemetry::record::Lineage;

use crate::local::{self, LocalSet};
use crate::runtime::{self, BlockingSpawn, Handle};
use crate::task::JoinHandle;

/// Spawns tasks that have a name, or a trace of their own.
///
/// Without a builder the name of a task is that of the function whose future it is.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a builder spawns nothing by itself"]
pub struct Builder<'a> {
    name: Option<&'a str>,
    lineage: Lineage,
    must_run: bool,
}

impl<'a> Builder<'a> {
    /// A builder that spawns as [`spawn`](crate::spawn) does.
    pub fn new() -> Builder<'a> {
        Builder::default()
    }

    /// Names the tasks: in metrics, and as the name of their spans.
    ///
    /// Names should be few: each makes a series of metrics of its own. Past 2,000 names tasks are
    /// counted together, under the attribute `otel.metric.overflow`.
    pub fn name(self, name: &'a str) -> Builder<'a> {
        Builder {
            name: Some(name),
            ..self
        }
    }

    /// Begins a trace of its own for each task, with a link to the span that is current where the
    /// task is spawned. For tasks that outlive what caused them.
    pub fn root(self) -> Builder<'a> {
        Builder {
            lineage: Lineage::Root,
            ..self
        }
    }

    /// Hangs the span of each task below the span that is current where it is spawned, even if that
    /// is the span of a task that has lived for long or has spawned many.
    pub fn child(self) -> Builder<'a> {
        Builder {
            lineage: Lineage::Child,
            ..self
        }
    }

    /// A function on the blocking pool is run even if the runtime ends before its turn: for writes
    /// whose caller was told that they are as good as done.
    #[doc(hidden)]
    pub fn must_run(self) -> Builder<'a> {
        Builder {
            must_run: true,
            ..self
        }
    }

    /// Spawns a future on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_at(&Handle::current(), future, Location::caller())
    }

    /// Spawns a future on the runtime of `handle`.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_at(handle, future, Location::caller())
    }

    fn spawn_at<F>(
        self,
        handle: &Handle,
        future: F,
        site: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        runtime::spawn_named(handle, future, self.name, self.lineage, site)
    }

    /// Spawns a future that is not `Send` on the [`LocalSet`] that runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside of a [`LocalSet`].
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        local::spawn_current(future, self.name, self.lineage, Location::caller())
    }

    /// Spawns a future that is not `Send` on `set`.
    #[track_caller]
    pub fn spawn_local_on<F>(self, future: F, set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        set.spawn_named(future, self.name, self.lineage, Location::caller())
    }

    /// Runs a function on the blocking pool of the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn_blocking<F, R>(self, function: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let spawn = BlockingSpawn {
            name: self.name,
            lineage: self.lineage,
            site: Location::caller(),
            must_run: self.must_run,
        };
        runtime::spawn_blocking_named(&Handle::current(), function, spawn)
    }
}
