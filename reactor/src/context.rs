//! Which runtime is the current one on this thread, and whether the thread is one of its workers.
//!
//! Both live in a thread-local that outlasts every use: once the thread has torn it down, there
//! is no current runtime, and entering one has no effect.

use crate::handle::Handle;
use crate::held::Held;
use std::cell::RefCell;

#[derive(Default)]
struct Current {
    handle: Option<Held<Handle>>,
    shard: Option<usize>,
}

thread_local! {
    static CURRENT: RefCell<Current> = const {
        RefCell::new(Current { handle: None, shard: None })
    };
}

/// What was current before [`enter`].
#[must_use = "the runtime stays entered until this is given to `restore`"]
#[derive(Default)]
pub struct Previous(Current);

impl std::fmt::Debug for Previous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Previous")
            .field("handle", &self.0.handle.as_deref())
            .field("shard", &self.0.shard)
            .finish()
    }
}

/// Makes `handle` the current one of this thread. `shard` is the worker's number, `None` on
/// threads that are not workers.
pub fn enter(handle: Option<Handle>, shard: Option<usize>) -> Previous {
    let handle = handle.map(Held::own);
    Previous(replace(Current { handle, shard }))
}

/// As [`enter`], for a thread that is no worker, without a reference of its own.
///
/// # Safety
///
/// The previous one is given to [`restore`] before `handle` is dropped, moved or borrowed mutably.
#[expect(unsafe_code, reason = "a handle that is not counted, see `held`")]
#[inline]
pub unsafe fn enter_lent(handle: &Handle) -> Previous {
    // SAFETY: a `Handle` is an `Arc`. `restore` drops what is in the thread-local, and whatever takes it away
    // from there in between, `replace`, takes a counted one. If the thread-local is gone, it is dropped there.
    let handle = unsafe { Held::lent(handle) };
    Previous(replace(Current {
        handle: Some(handle),
        shard: None,
    }))
}

/// Undoes an [`enter`].
#[inline]
pub fn restore(previous: Previous) {
    // Dropped here, after the thread-local was let go: it may be the last handle there is.
    drop(exchange(previous.0));
}

/// What was there will be put back, maybe by somebody who knows nothing of who lent it.
#[inline]
fn replace(next: Current) -> Current {
    let before = exchange(next);
    Current {
        handle: before.handle.map(Held::counted),
        shard: before.shard,
    }
}

#[inline]
fn exchange(next: Current) -> Current {
    CURRENT
        .try_with(|current| current.replace(next))
        .unwrap_or_default()
}

/// The current handle of this thread.
pub fn current() -> Option<Handle> {
    with_current(|handle| handle.cloned())
}

/// Shows `f` the current handle without counting a reference to it.
///
/// # Panics
///
/// When `f` enters a runtime or leaves one.
#[inline]
pub fn with_current<R>(f: impl FnOnce(Option<&Handle>) -> R) -> R {
    with_place(|handle, _| f(handle))
}

/// Shows `f` the current handle, and the number of the worker that this thread is.
///
/// # Panics
///
/// As [`with_current`].
#[inline]
pub(crate) fn with_place<R>(f: impl FnOnce(Option<&Handle>, Option<usize>) -> R) -> R {
    let mut f = Some(f);
    let shown = CURRENT.try_with(|current| {
        let current = current.borrow();
        f.take()
            .map(|f| f(current.handle.as_deref(), current.shard))
    });
    match (shown, f) {
        (Ok(Some(shown)), _) => shown,
        (_, Some(f)) => f(None, None),
        (_, None) => unreachable!("`f` is taken only to be called, and its result is returned"),
    }
}

/// The number of the worker that this thread is; `None` on threads that are not workers.
#[inline]
pub fn shard() -> Option<usize> {
    with_place(|_, shard| shard)
}

/// The current handle, for constructors that cannot do without.
#[track_caller]
pub(crate) fn expect_current() -> Handle {
    match current() {
        Some(handle) => handle,
        None => panic!(
            "there is no reactor running, must be called from the context of a telemetry_rt runtime"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::tests::handle_without_io;

    #[test]
    fn entering_nests_and_leaving_restores_what_was_there() {
        let (outer, inner) = (handle_without_io(), handle_without_io());
        let first = enter(Some(outer.clone()), Some(3));
        let second = enter(Some(inner.clone()), None);
        assert!(current().is_some_and(|handle| handle.ptr_eq(&inner)));
        assert_eq!(shard(), None);
        restore(second);
        assert!(current().is_some_and(|handle| handle.ptr_eq(&outer)));
        assert_eq!(shard(), Some(3));
        restore(first);
        assert!(current().is_none());
    }

    #[test]
    #[expect(unsafe_code, reason = "what is tested")]
    fn what_was_lent_may_go_though_somebody_keeps_what_was_current() {
        let (lent, inner) = (handle_without_io(), handle_without_io());
        // SAFETY: `outer` is restored before `lent` is dropped.
        let outer = unsafe { enter_lent(&lent) };
        assert!(current().is_some_and(|handle| handle.ptr_eq(&lent)));
        let kept = enter(Some(inner), Some(2));
        restore(outer);
        assert!(current().is_none());
        drop(lent);
        restore(kept);
        assert!(current().is_some());
        restore(Previous::default());
    }

    #[test]
    fn a_thread_that_is_ending_has_no_current_runtime_and_does_not_panic() {
        struct AsksWhileEnding;
        impl Drop for AsksWhileEnding {
            fn drop(&mut self) {
                assert!(current().is_none());
                restore(enter(Some(handle_without_io()), Some(0)));
            }
        }
        thread_local!(static LAST: AsksWhileEnding = const { AsksWhileEnding });
        let ended = std::thread::spawn(|| {
            LAST.with(|_| ());
            let _stays = enter(Some(handle_without_io()), Some(1));
        });
        assert!(ended.join().is_ok());
    }
}
