//! A set of tasks that are awaited in the order in which they end.
//!
//! The waiting is done by `FuturesUnordered`, which polls the handles that were woken and no
//! others.

use std::fmt;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};

use telemetry_rt_reactor::leaf::{self, Waiting};

use crate::builder::Builder;
use crate::local::LocalSet;
use crate::runtime::Handle;
use crate::task::{AbortHandle, Id, JoinError, JoinHandle};

/// Tasks of one output type, which are aborted when the set is dropped.
///
/// # Example
///
/// ```
/// # let runtime = telemetry_rt_executor::doc_runtime();
/// # runtime.block_on(async {
/// use telemetry_rt_executor::JoinSet;
///
/// let mut set = JoinSet::new();
/// for number in 0..3 {
///     set.spawn(async move { number });
/// }
/// let mut sum = 0;
/// while let Some(number) = set.join_next().await {
///     sum += number.unwrap();
/// }
/// assert_eq!(sum, 3);
/// # });
/// ```
pub struct JoinSet<T> {
    handles: FuturesUnordered<Named<T>>,
}

/// A handle whose output carries the task's id.
struct Named<T>(JoinHandle<T>);

impl<T> Future for Named<T> {
    type Output = Result<(Id, T), JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Id, T), JoinError>> {
        let id = self.0.id();
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map_ok(|output| (id, output))
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> JoinSet<T> {
        JoinSet {
            handles: FuturesUnordered::new(),
        }
    }

    /// How many tasks are in the set, including those that are done and not joined.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether there is no task in the set.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Aborts all tasks. They stay in the set, and are joined as cancelled.
    pub fn abort_all(&mut self) {
        self.handles.iter().for_each(|handle| handle.0.abort());
    }

    /// Takes all tasks out of the set without aborting them.
    pub fn detach_all(&mut self) {
        for handle in std::mem::take(&mut self.handles) {
            drop(handle.0);
        }
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.insert(Builder::new().spawn(future))
    }

    /// Spawns a task on the runtime of `handle`.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.insert(Builder::new().spawn_on(future, handle))
    }

    /// Spawns a task on the [`LocalSet`] that runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside of a [`LocalSet`].
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(Builder::new().spawn_local(future))
    }

    /// Spawns a task on `set`.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, future: F, set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(Builder::new().spawn_local_on(future, set))
    }

    /// Runs a function on the blocking pool of the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, function: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.insert(Builder::new().spawn_blocking(function))
    }

    /// Runs a function on the blocking pool of the runtime of `handle`.
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, function: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.insert(handle.spawn_blocking(function))
    }

    /// Spawns with a [`Builder`], for a name, or to say which trace the task belongs to.
    #[track_caller]
    pub fn build_task(&mut self) -> SetBuilder<'_, T> {
        SetBuilder {
            set: self,
            builder: Builder::new(),
        }
    }

    fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let abort = handle.abort_handle();
        self.handles.push(Named(handle));
        abort
    }

    /// Waits until one of the tasks is done, and returns its output. `None` if the set is empty.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: no task leaves the set before its output is returned.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        let joined = self.join_next_with_id().await;
        joined.map(|result| result.map(|(_, output)| output))
    }

    /// As [`join_next`](Self::join_next), with the id of the task.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Polls for a task that is done.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_join_next_with_id(cx)
            .map(|joined| joined.map(|result| result.map(|(_, output)| output)))
    }

    /// Polls for a task that is done, and its id.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        let polled = self.handles.poll_next_unpin(cx);
        if polled.is_pending() {
            // Only handles that were woken were polled just now, and they were ready.
            leaf::waiting_for(Waiting::Join);
        }
        polled
    }

    /// The output of a task that is done, if there is one.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.try_join_next_with_id()
            .map(|result| result.map(|(_, output)| output))
    }

    /// The output and id of a task that is done, if there is one.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = leaf::without_budget(|| self.handles.poll_next_unpin(&mut cx));
        match polled {
            Poll::Ready(joined) => joined,
            Poll::Pending => None,
        }
    }

    /// Aborts all tasks and waits until they are gone.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Waits for all tasks, and returns their outputs in the order in which they ended.
    ///
    /// # Panics
    ///
    /// If a task panicked, or was aborted; the others are aborted then.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(joined) = self.join_next().await {
            match joined {
                Ok(output) => outputs.push(output),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => panic!("{error}"),
            }
        }
        outputs
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> JoinSet<T> {
        let mut set = JoinSet::new();
        for future in futures {
            set.spawn(future);
        }
        set
    }
}

/// Spawns into a [`JoinSet`] with a name, or into a trace that one chooses.
#[derive(Debug)]
#[must_use = "a builder spawns nothing by itself"]
pub struct SetBuilder<'a, T> {
    set: &'a mut JoinSet<T>,
    builder: Builder<'a>,
}

impl<'a, T: 'static> SetBuilder<'a, T> {
    /// See [`Builder::name`].
    pub fn name(self, name: &'a str) -> SetBuilder<'a, T> {
        SetBuilder {
            builder: self.builder.name(name),
            ..self
        }
    }

    /// See [`Builder::root`].
    pub fn root(self) -> SetBuilder<'a, T> {
        SetBuilder {
            builder: self.builder.root(),
            ..self
        }
    }

    /// See [`Builder::child`].
    pub fn child(self) -> SetBuilder<'a, T> {
        SetBuilder {
            builder: self.builder.child(),
            ..self
        }
    }

    /// Spawns a task on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.set.insert(self.builder.spawn(future))
    }

    /// Runs a function on the blocking pool of the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn_blocking<F>(self, function: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.set.insert(self.builder.spawn_blocking(function))
    }
}
