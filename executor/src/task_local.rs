//! Values that belong to a task instead of a thread.
//!
//! A value is in its thread-local only while the future that it was given to is being polled or
//! dropped: it is swapped in before and out after.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

/// Declares task-local keys.
///
/// A value is given to a future with [`scope`](LocalKey::scope), and is seen by everything that
/// the future does, on whichever thread; tasks that it spawns do not inherit it.
///
/// ```
/// # use telemetry_rt_executor::task_local;
/// # let runtime = telemetry_rt_executor::doc_runtime();
/// # runtime.block_on(async {
/// task_local! {
///     static REQUEST: u64;
/// }
/// REQUEST.scope(7, async { assert_eq!(REQUEST.get(), 7) }).await;
/// # });
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty; $($rest:tt)*) => {
        $crate::task_local!($(#[$attribute])* $visibility static $name: $type);
        $crate::task_local!($($rest)*);
    };
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty) => {
        $(#[$attribute])*
        $visibility static $name: $crate::LocalKey<$type> = {
            ::std::thread_local! {
                static KEY: ::std::cell::RefCell<::std::option::Option<$type>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }
            $crate::LocalKey { inner: KEY }
        };
    };
}

/// A task-local key, declared by [`task_local!`](crate::task_local).
pub struct LocalKey<T: 'static> {
    /// For the macro; not to be touched by others.
    #[doc(hidden)]
    pub inner: thread::LocalKey<RefCell<Option<T>>>,
}

/// The task-local has no value here, or is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError(());

impl<T: 'static> LocalKey<T> {
    /// Runs `future` with the key set to `value`.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F> {
        TaskLocalFuture {
            key: self,
            value: Some(value),
            future: Some(future),
        }
    }

    /// Runs `function` with the key set to `value`.
    ///
    /// # Panics
    ///
    /// If the key's value is borrowed by a `with` further out.
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, function: impl FnOnce() -> R) -> R {
        let mut value = Some(value);
        match self.scope_inner(&mut value, function) {
            Ok(result) => result,
            Err(error) => panic!("cannot enter a task-local scope: {error}"),
        }
    }

    /// Swaps `value` in for the time of `function`.
    fn scope_inner<R>(
        &'static self,
        value: &mut Option<T>,
        function: impl FnOnce() -> R,
    ) -> Result<R, AccessError> {
        struct SwapBack<'a, T: 'static>(&'static LocalKey<T>, &'a mut Option<T>);
        impl<T: 'static> Drop for SwapBack<'_, T> {
            fn drop(&mut self) {
                // Cannot fail: it could be swapped in, and every borrow since has ended.
                let _ = self.0.swap(self.1);
            }
        }
        self.swap(value)?;
        let _swap_back = SwapBack(self, value);
        Ok(function())
    }

    fn swap(&'static self, value: &mut Option<T>) -> Result<(), AccessError> {
        self.inner
            .try_with(|inner| {
                let mut inner = inner.try_borrow_mut().map_err(|_| AccessError(()))?;
                std::mem::swap(&mut *inner, value);
                Ok(())
            })
            .unwrap_or(Err(AccessError(())))
    }

    /// Shows `function` the value.
    ///
    /// # Panics
    ///
    /// Outside of a [`scope`](Self::scope) of this key.
    #[track_caller]
    pub fn with<R>(&'static self, function: impl FnOnce(&T) -> R) -> R {
        match self.try_with(function) {
            Ok(result) => result,
            Err(error) => panic!("cannot access a task-local value: {error}"),
        }
    }

    /// Shows `function` the value.
    ///
    /// # Errors
    ///
    /// Outside of a [`scope`](Self::scope) of this key; `function` is not called then.
    pub fn try_with<R>(&'static self, function: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.inner
            .try_with(|inner| {
                let inner = inner.try_borrow().map_err(|_| AccessError(()))?;
                inner.as_ref().map(function).ok_or(AccessError(()))
            })
            .unwrap_or(Err(AccessError(())))
    }

    /// A copy of the value.
    ///
    /// # Panics
    ///
    /// Outside of a [`scope`](Self::scope) of this key.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// A copy of the value.
    ///
    /// # Errors
    ///
    /// Outside of a [`scope`](Self::scope) of this key.
    pub fn try_get(&'static self) -> Result<T, AccessError>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }
}

pin_project! {
    /// A future with a task-local value; made by [`LocalKey::scope`].
    ///
    /// It is not `Unpin`, whatever it is made of.
    #[project(!Unpin)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct TaskLocalFuture<T, F>
    where
        T: 'static,
    {
        key: &'static LocalKey<T>,
        value: Option<T>,
        #[pin]
        future: Option<F>,
    }

    impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            // The future sees its value also while it is dropped.
            let this = this.project();
            let mut future = this.future;
            let _ = this.key.scope_inner(this.value, || future.set(None));
        }
    }
}

impl<T: 'static, F> TaskLocalFuture<T, F> {
    /// Takes the value out of the future, if it is there.
    pub fn take_value(self: Pin<&mut Self>) -> Option<T> {
        self.project().value.take()
    }
}

impl<T: 'static, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut future = this.future;
        let polled = this.key.scope_inner(this.value, || {
            let polled = future.as_mut().as_pin_mut().map(|future| future.poll(cx));
            if let Some(Poll::Ready(_)) = polled {
                future.set(None);
            }
            polled
        });
        match polled {
            Ok(Some(polled)) => polled,
            Ok(None) => panic!("`TaskLocalFuture` polled after completion"),
            Err(error) => panic!("cannot enter a task-local scope: {error}"),
        }
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("LocalKey { .. }")
    }
}

impl<T: fmt::Debug, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture")
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task-local value not set, or in use")
    }
}

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessError")
    }
}

impl std::error::Error for AccessError {}
