//! What does the process say by itself, and what of it was on purpose? Panics, and warnings of the
//! export.

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use telemetry_rt::otel::set_diagnostics;

use crate::load::is_on_purpose;

/// Warnings: there are many, on purpose.
static WARNINGS: AtomicU64 = AtomicU64::new(0);
/// Panics that nobody injected.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From now on injected panics are silent; others are told at once, and kept. Warnings are counted.
pub fn hear() {
    set_diagnostics(|_| {
        WARNINGS.fetch_add(1, Relaxed);
    });
    panic::set_hook(Box::new(|info| {
        if !is_on_purpose(info.payload()) {
            let text = info.to_string();
            eprintln!("\nsoak: {text}");
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            panics.push(text);
        }
    }));
}

pub fn warnings() -> u64 {
    WARNINGS.load(Relaxed)
}

pub fn take_panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}
