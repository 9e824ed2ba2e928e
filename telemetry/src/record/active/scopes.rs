//! Spans that users hold open across `.await`.
//!
//! OpenTelemetry's own guard belongs to a thread, and a process changes its thread at any `.await`.
//! So an [`OpenSpan`] belongs to a [`Scopes`]: of the process in whose poll it was opened, or of the
//! future within a span (`#[span]`) in whose poll it was. While that is polled its scopes lie on a
//! stack of the thread, with their contexts attached; when the poll ends they go back to their owner,
//! and the thread is as it was.
//!
//! ```text
//!   the stack:    [ a b ] [ c ] [ d e f ]     one frame an owner, the one polled is the last
//!   poll starts:  owner's scopes ──► a new frame   (attach all, outermost first)
//!   opened:       a scope is pushed                (attach it)
//!   closed:       its context is detached, in whichever frame it is
//!   poll ends:    the frame ──► owner              (detach all, innermost first)
//! ```
//!
//! All are attached and not only the innermost, so that the next one comes to light by itself when
//! that closes, below whatever the user has attached meanwhile.
//!
//! A guard may be dropped anywhere: on another thread, in another process, after its owner. It marks
//! its scope as closed, and the owner leaves it out when it is polled next.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, ContextGuard};

use super::tls;

/// What one scope is: a context, and whether it is still open.
#[derive(Debug)]
struct Scope {
    context: Context,
    closed: AtomicBool,
}

impl Scope {
    fn is_open(&self) -> bool {
        // Relaxed: the thread that closes a scope of its own poll sees it; any other is late anyway.
        !self.closed.load(Ordering::Relaxed)
    }
}

/// The open scopes of one owner, between its polls; innermost last.
#[derive(Debug, Default)]
pub struct Scopes {
    open: Vec<Arc<Scope>>,
}

/// A scope on the thread that polls its owner.
struct Entry {
    scope: Arc<Scope>,
    /// Until it is closed.
    attached: Option<ContextGuard>,
}

/// Where on the stack the entries of the owner that is being polled are.
#[derive(Clone, Copy)]
struct Frame {
    base: usize,
    end: usize,
}

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
    /// Without a destructor, so that asking is cheap.
    static FRAME: Cell<Frame> = const { Cell::new(Frame { base: 0, end: 0 }) };
}

/// Where the frame further out begins.
#[must_use = "what was open further out is lost unless it is given back"]
#[derive(Clone, Copy, Default)]
pub struct Outer {
    base: usize,
    not_send: PhantomData<*const ()>,
}

impl Scopes {
    /// Whether none is open of the owner that is being polled on this thread.
    #[inline]
    pub(super) fn thread_has_none() -> bool {
        let frame = FRAME.get();
        frame.base == frame.end
    }

    /// Makes these the scopes of the thread, for one poll of their owner.
    ///
    /// Cost: a thread-local's read and write; for each open scope, an attach.
    #[inline]
    pub fn enter(&mut self) -> Outer {
        let outer = enter_empty();
        if !self.open.is_empty() {
            self.attach_all();
        }
        outer
    }

    #[cold]
    fn attach_all(&mut self) {
        let (open, closed): (Vec<_>, Vec<_>) =
            self.open.drain(..).partition(|scope| scope.is_open());
        match tls::is_alive() {
            true => open.into_iter().for_each(push),
            false => self.open = open,
        }
        closed.into_iter().for_each(drop_quietly);
    }

    /// Takes the scopes of the thread back, and gives the thread those that it had before.
    #[inline]
    pub fn leave(&mut self, outer: Outer) {
        if !Scopes::thread_has_none() {
            self.detach_all();
        }
        leave_empty(outer);
    }

    #[cold]
    fn detach_all(&mut self) {
        while let Some(Entry { scope, attached }) = pop() {
            drop(attached);
            match scope.is_open() {
                true => self.open.push(scope),
                false => drop_quietly(scope),
            }
        }
        self.open.reverse();
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// As [`Scopes::enter`], for an owner that has none open.
#[inline]
pub(super) fn enter_empty() -> Outer {
    let outer = FRAME.get();
    FRAME.set(Frame {
        base: outer.end,
        end: outer.end,
    });
    Outer {
        base: outer.base,
        not_send: PhantomData,
    }
}

/// As [`Scopes::leave`], where none is open any more.
#[inline]
pub(super) fn leave_empty(outer: Outer) {
    let inner = FRAME.get();
    FRAME.set(Frame {
        base: outer.base,
        end: inner.base,
    });
}

// What follows drops nothing of the user's while the stack is borrowed: neither a scope, nor a
// guard, which may hold the last reference to the context that it detaches.

/// Attaches a scope, as the innermost. To be called while contexts are alive, which this has been
/// asked for first: so a stack that still has entries when its thread ends is destroyed before the
/// API's thread-local, as those entries hold guards of it.
fn push(scope: Arc<Scope>) {
    let entry = Entry {
        attached: Some(scope.context.clone().attach()),
        scope,
    };
    if ENTRIES
        .try_with(|stack| stack.borrow_mut().push(entry))
        .is_ok()
    {
        let frame = FRAME.get();
        FRAME.set(Frame {
            end: frame.end + 1,
            ..frame
        });
    }
}

/// Takes the innermost scope off its frame, still attached.
fn pop() -> Option<Entry> {
    let frame = FRAME.get();
    take(
        frame
            .end
            .checked_sub(1)
            .filter(|place| *place >= frame.base)?,
    )
}

/// Takes an entry of the frame that is being polled.
fn take(place: usize) -> Option<Entry> {
    let taken = ENTRIES.try_with(|stack| stack.borrow_mut().remove(place));
    let frame = FRAME.get();
    FRAME.set(Frame {
        end: frame.end - 1,
        ..frame
    });
    taken.ok()
}

/// Takes those off the frame that were closed by other threads.
#[cold]
fn sweep() {
    let find = || {
        let base = FRAME.get().base;
        let stack = ENTRIES.try_with(|stack| {
            let stack = stack.borrow();
            let closed = stack.iter().rposition(|entry| !entry.scope.is_open());
            closed.filter(|place| *place >= base)
        });
        stack.ok().flatten()
    };
    while let Some(place) = find() {
        take(place).into_iter().for_each(drop_quietly);
    }
}

/// Drops what may hold the last reference to a context, and with it values of the user's whose drop
/// may panic: in the middle of the bookkeeping of a poll there is nobody to hear of it.
fn drop_quietly<T>(value: T) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
    // The payload is the user's as well, and may panic in its own drop.
    let dropped = dropped.or_else(|payload| catch_unwind(AssertUnwindSafe(|| drop(payload))));
    dropped.unwrap_or_else(std::mem::forget);
}

/// Takes a scope off this thread, if it is there.
#[cold]
fn close_on_this_thread(scope: &Arc<Scope>) {
    let found = ENTRIES.try_with(|stack| {
        let stack = &mut *stack.borrow_mut();
        let place = stack
            .iter()
            .rposition(|entry| Arc::ptr_eq(&entry.scope, scope))?;
        Some((place, stack[place].attached.take()))
    });
    let Ok(Some((place, attached))) = found else {
        return;
    };
    drop(attached);
    // Of an owner further out the entry stays, as frames begin at fixed places.
    if place >= FRAME.get().base {
        drop(take(place));
    }
}

/// A span that is current in its owner until this is dropped, which ends the span.
///
/// It may be held across `.await` and be sent to another thread.
#[derive(Debug)]
#[must_use = "the span ends when this is dropped"]
pub struct OpenSpan {
    scope: Arc<Scope>,
}

impl OpenSpan {
    /// Makes the span of `context` current in the process, or future within a span, that is being
    /// polled on this thread; outside of any, on this thread.
    pub fn open(context: Context) -> OpenSpan {
        let scope = Arc::new(Scope {
            context,
            closed: AtomicBool::new(false),
        });
        if tls::is_alive() {
            if !Scopes::thread_has_none() {
                sweep();
            }
            push(Arc::clone(&scope));
        }
        OpenSpan { scope }
    }

    /// The context with the span.
    pub fn context(&self) -> &Context {
        &self.scope.context
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.scope.closed.store(true, Ordering::Relaxed);
        if FRAME.get().end > 0 {
            close_on_this_thread(&self.scope);
        }
        if tls::is_alive() {
            self.scope.context.span().end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    fn context(span: u64) -> Context {
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(1),
            SpanId::from(span),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ))
    }

    fn current() -> u64 {
        let id = Context::current().span().span_context().span_id();
        u64::from_be_bytes(id.to_bytes())
    }

    #[test]
    fn the_innermost_open_scope_is_current_whatever_the_order_of_closing() {
        let a = OpenSpan::open(context(1));
        let b = OpenSpan::open(context(2));
        let c = OpenSpan::open(context(3));
        assert_eq!(current(), 3);
        drop(b);
        assert_eq!(current(), 3);
        drop(c);
        assert_eq!(current(), 1);
        drop(a);
        assert_eq!(current(), 0);
    }

    #[test]
    fn a_value_that_panics_in_its_drop_harms_no_poll() {
        #[derive(Debug)]
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let mut owner = Scopes::default();
        let elsewhere = |guard: OpenSpan| std::thread::spawn(move || drop(guard)).join().unwrap();
        // Closed between two polls, and during one.
        let outer = owner.enter();
        let between = OpenSpan::open(context(1).with_value(Panics));
        owner.leave(outer);
        elsewhere(between);
        let outer = owner.enter();
        let during = OpenSpan::open(context(2).with_value(Panics));
        elsewhere(during);
        owner.leave(outer);
        assert!(owner.is_empty());
        assert_eq!(current(), 0);
    }

    #[test]
    fn scopes_are_current_in_the_polls_of_their_owner_only() {
        let (mut one, mut other) = (Scopes::default(), Scopes::default());
        let outer = one.enter();
        let guard = OpenSpan::open(context(1));
        one.leave(outer);
        assert_eq!(current(), 0);

        let outer = other.enter();
        assert_eq!(current(), 0);
        let nested = OpenSpan::open(context(2));
        let between = one.enter();
        assert_eq!(current(), 1);
        one.leave(between);
        assert_eq!(current(), 2);
        other.leave(outer);
        assert_eq!(current(), 0);

        // Another thread goes on with the first owner.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let outer = one.enter();
                assert_eq!(current(), 1);
                drop(guard);
                assert_eq!(current(), 0);
                one.leave(outer);
            });
        });
        assert!(one.is_empty());
        assert!(!other.is_empty());
        drop(nested);
        let outer = other.enter();
        assert_eq!(current(), 0);
        other.leave(outer);
        assert!(other.is_empty());
    }

    #[test]
    fn a_guard_that_goes_elsewhere_is_swept_out() {
        let mut owner = Scopes::default();
        let outer = owner.enter();
        let inner = OpenSpan::open(context(1));
        let innermost = OpenSpan::open(context(2));
        owner.leave(outer);
        std::thread::spawn(move || drop(innermost)).join().unwrap();
        let outer = owner.enter();
        assert_eq!(current(), 1);
        owner.leave(outer);
        drop(inner);
        let outer = owner.enter();
        owner.leave(outer);
        assert!(owner.is_empty());
    }

    #[test]
    fn a_guard_of_an_owner_further_out_is_detached_at_once() {
        let (mut outer, mut inner) = (Scopes::default(), Scopes::default());
        let without = outer.enter();
        let first = OpenSpan::open(context(1));
        let second = OpenSpan::open(context(2));
        let between = inner.enter();
        let own = OpenSpan::open(context(3));
        drop(second);
        assert_eq!(current(), 3);
        drop(own);
        assert_eq!(current(), 1);
        inner.leave(between);
        assert_eq!(current(), 1);
        let third = OpenSpan::open(context(4));
        assert_eq!(current(), 4);
        outer.leave(without);
        assert_eq!(outer.open.len(), 2);
        drop((first, third));
    }

    #[test]
    fn what_the_user_has_attached_stays_current_when_a_guard_below_it_closes() {
        let mut owner = Scopes::default();
        let outer = owner.enter();
        let first = OpenSpan::open(context(1));
        let second = OpenSpan::open(context(2));
        owner.leave(outer);
        let outer = owner.enter();
        let attached = context(9).attach();
        drop(second);
        assert_eq!(current(), 9);
        drop(attached);
        assert_eq!(current(), 1);
        drop(first);
        owner.leave(outer);
        assert_eq!(current(), 0);
    }

    #[test]
    fn a_guard_of_a_thread_without_owners_is_swept_out_when_the_next_is_opened() {
        let gone = OpenSpan::open(context(1));
        std::thread::spawn(move || drop(gone)).join().unwrap();
        let next = OpenSpan::open(context(2));
        drop(next);
        assert_eq!(current(), 0);
        assert!(Scopes::thread_has_none());
    }

    #[test]
    fn a_thread_may_end_with_guards_that_are_held_elsewhere() {
        let held = std::thread::spawn(|| OpenSpan::open(context(1)));
        drop(held.join().unwrap());
    }
}
