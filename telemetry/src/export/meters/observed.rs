//! How callbacks of users are run: before the SDK is asked, and outside of its locks.
//!
//! The SDK runs callbacks under the lock under which instruments are made, so that one that makes
//! an instrument waits for itself, and one that panics poisons all that there is. Here they run
//! first, and hold nobody up but who asked; what they say is kept, and repeated by a callback of
//! ours when the SDK asks. One that panics has said what it said until then; the others go on.
//!
//! Two may ask at the same time, a scrape and the exporting thread. Of two runs that overlap the one
//! that ends first counts, and the other is forgotten: it may have read its total earlier and say so
//! later, and a total that falls is one that has begun anew, to all who read it.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Callback};
use parking_lot::Mutex;

use crate::export::diagnostics::warn;
use crate::export::panics::message_of;

/// The observable instruments of all scopes.
pub(super) struct Observed {
    /// None when the runtime has ended.
    instruments: Mutex<Option<Vec<Arc<dyn Ask>>>>,
}

trait Ask: Send + Sync {
    fn ask(&self);
}

/// The callbacks of one instrument.
struct Instrument<T> {
    name: Cow<'static, str>,
    callbacks: Vec<Callback<T>>,
    said: Arc<Said<T>>,
    has_panicked: AtomicBool,
}

/// What they said last. The SDK has this, and not the callbacks: what these hold is let go when
/// the runtime ends.
struct Said<T>(Mutex<Last<T>>);

struct Last<T> {
    /// How many runs have counted.
    runs: u64,
    values: Values<T>,
}

type Values<T> = Vec<(T, Vec<KeyValue>)>;

/// Where callbacks say it.
struct Hearing<T>(Mutex<Values<T>>);

impl Default for Observed {
    fn default() -> Observed {
        Observed {
            instruments: Mutex::new(Some(Vec::new())),
        }
    }
}

thread_local! {
    /// Whether callbacks are being run by this thread.
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// This thread runs callbacks. Ends when dropped, by a panic of the hook for warnings as well.
struct Asking;

impl Asking {
    fn begin() -> Option<Asking> {
        (!ASKING.replace(true)).then_some(Asking)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.set(false);
    }
}

impl Observed {
    /// Keeps callbacks, and returns what the SDK is to call instead.
    pub(super) fn add<T: Copy + Send + 'static>(
        &self,
        name: Cow<'static, str>,
        callbacks: Vec<Callback<T>>,
    ) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
        let said = Arc::new(Said::default());
        let instrument = Arc::new(Instrument {
            name,
            callbacks,
            said: Arc::clone(&said),
            has_panicked: AtomicBool::new(false),
        });
        // What is refused is dropped here, not under the lock: it holds what users gave it.
        let _refused = self.keep(instrument);
        move |instrument| said.repeat_to(instrument)
    }

    fn keep(&self, instrument: Arc<dyn Ask>) -> Option<Arc<dyn Ask>> {
        match &mut *self.instruments.lock() {
            Some(instruments) => instruments.push(instrument),
            None => return Some(instrument),
        }
        None
    }

    /// Runs all callbacks. One that asks for metrics itself gets what was said before.
    pub(super) fn run(&self) {
        let Some(_asking) = Asking::begin() else {
            return;
        };
        let instruments = self.instruments.lock().clone();
        for instrument in instruments.iter().flatten() {
            instrument.ask();
        }
    }

    /// Drops all callbacks.
    pub(super) fn close(&self) {
        let instruments = self.instruments.lock().take();
        drop(instruments);
    }
}

impl<T: Copy + Send + 'static> Ask for Instrument<T> {
    fn ask(&self) {
        let before = self.said.runs();
        let hearing = Hearing(Mutex::default());
        for callback in &self.callbacks {
            let run = catch_unwind(AssertUnwindSafe(|| callback(&hearing)));
            if let Err(payload) = run {
                self.warn_of(&*payload);
            }
        }
        self.said.keep(hearing.0.into_inner(), before);
    }
}

impl<T> Instrument<T> {
    fn warn_of(&self, payload: &(dyn Any + Send)) {
        // Relaxed: it only keeps the warning from being said twice.
        if !self.has_panicked.swap(true, Ordering::Relaxed) {
            warn(format_args!(
                "metric {}: its callback panicked: {}; what it observed before that is exported, \
                 and this is said once",
                self.name,
                message_of(payload)
            ));
        }
    }
}

impl<T: Copy + Send> AsyncInstrument<T> for Hearing<T> {
    fn observe(&self, value: T, attributes: &[KeyValue]) {
        self.0.lock().push((value, attributes.to_vec()));
    }
}

impl<T> Default for Said<T> {
    fn default() -> Said<T> {
        Said(Mutex::new(Last {
            runs: 0,
            values: Vec::new(),
        }))
    }
}

impl<T: Copy> Said<T> {
    fn runs(&self) -> u64 {
        self.0.lock().runs
    }

    /// Takes what was said, unless another run has counted since there were `before`.
    fn keep(&self, values: Values<T>, before: u64) {
        let mut last = self.0.lock();
        if last.runs == before {
            last.runs += 1;
            last.values = values;
        }
    }

    fn repeat_to(&self, instrument: &dyn AsyncInstrument<T>) {
        for (value, attributes) in &self.0.lock().values {
            instrument.observe(*value, attributes);
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}
