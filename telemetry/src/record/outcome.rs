//! How a returned `Err` is seen without a wrapper and without a bound on the output's type.
//!
//! Two facts are to be had of any type: its name, and the discriminant of a value. A type whose
//! name begins with the full path of `Result` is one, because no crate can define a type in
//! `core`; and the discriminant of an `Err` is 1, because `Ok` is written first in a
//! `#[derive]`-free standard enum. [`std::mem::Discriminant`] does not show its number, but it
//! hashes it, so a hasher that keeps what it is given reads it. Should a release of the standard
//! library number or hash differently, the tests of this file say so.

pub(super) mod brackets;

use std::any::type_name;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use super::Outcome;
use brackets::outside_brackets;

const RESULT: &str = "core::result::Result<";
const ELAPSED: &str = "telemetry_rt_reactor::time::error::Elapsed>";

/// How a process that returned `output` ended.
///
/// Cost: none for outputs that are no `Result`, a load and a comparison for those that are.
#[inline]
pub fn outcome_of<T>(output: &T) -> Outcome {
    if !type_name::<T>().starts_with(RESULT) || discriminant_number(output) == OK {
        Outcome::Finished
    } else if type_name::<T>().ends_with(ELAPSED) {
        Outcome::TimedOut
    } else {
        Outcome::Failed
    }
}

/// The name of the error's type, when `output_type` is the name of a `Result`.
///
/// Boxes and `Arc`s are looked through. Of an error behind `dyn` only the trait is known, whatever
/// else is asked of it: `Box<dyn Error>` and `Box<dyn Error + Send + Sync>` both are
/// `dyn core::error::Error`. So there are as many values as there are types of errors in the program.
pub fn error_type_of(output_type: &'static str) -> Option<&'static str> {
    let arguments = output_type.strip_prefix(RESULT)?.strip_suffix('>')?;
    let mut outside = outside_brackets(arguments);
    let (comma, _) = outside.find(|&(_, character)| character == ',')?;
    Some(as_users_know_it(unboxed(arguments[comma + 1..].trim())))
}

fn unboxed(mut error: &str) -> &str {
    while let Some(inner) = BOXES.iter().find_map(|start| error.strip_prefix(start)) {
        error = inner.strip_suffix('>').unwrap_or(inner);
    }
    match error.starts_with("dyn ") {
        true => without_further_bounds(error),
        false => error,
    }
}

const BOXES: [&str; 2] = ["alloc::boxed::Box<", "alloc::sync::Arc<"];

fn without_further_bounds(object: &str) -> &str {
    let mut outside = outside_brackets(object);
    let plus = outside.find(|&(_, character)| character == '+');
    plus.map_or(object, |(plus, _)| object[..plus].trim_end())
}

/// The path by which users know an error of the runtime's own.
fn as_users_know_it(error: &str) -> &str {
    match error {
        "telemetry_rt_reactor::time::error::Elapsed" => "telemetry_rt::time::error::Elapsed",
        "telemetry_rt_executor::task::error::JoinError" => "telemetry_rt::task::JoinError",
        other => other,
    }
}

const OK: u64 = 0;

fn discriminant_number<T>(value: &T) -> u64 {
    let mut keep = Keep(u64::MAX);
    discriminant(value).hash(&mut keep);
    keep.0
}

/// A hasher that keeps the last number it was given.
struct Keep(u64);

impl Hasher for Keep {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut number = [0; 8];
        let length = bytes.len().min(8);
        number[..length].copy_from_slice(&bytes[..length]);
        self.0 = u64::from_le_bytes(number);
    }

    fn write_isize(&mut self, number: isize) {
        self.0 = number as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU8;

    fn failed<T>(output: T) -> bool {
        outcome_of(&output) == Outcome::Failed
    }

    #[test]
    fn an_err_is_seen_whatever_the_layout_of_the_result() {
        assert!(failed::<Result<(), ()>>(Err(())));
        assert!(failed::<Result<u64, String>>(Err("no".into())));
        assert!(failed::<Result<Box<u8>, ()>>(Err(())));
        assert!(failed::<Result<(), NonZeroU8>>(Err(NonZeroU8::MIN)));
        assert!(failed::<Result<String, std::io::Error>>(Err(
            std::io::ErrorKind::Other.into()
        )));
        assert!(failed::<Result<std::convert::Infallible, u8>>(Err(1)));
        assert!(failed::<Result<&str, Box<dyn std::error::Error>>>(Err(
            "x".into()
        )));
    }

    #[test]
    fn an_ok_is_no_failure() {
        assert!(!failed::<Result<(), ()>>(Ok(())));
        assert!(!failed::<Result<u64, String>>(Ok(1)));
        assert!(!failed::<Result<Box<u8>, ()>>(Ok(Box::new(1))));
        assert!(!failed::<Result<u8, std::convert::Infallible>>(Ok(1)));
        // Only the outermost counts: this is what a task that passes another one's result on returns.
        assert!(!failed::<Result<Result<(), u8>, u16>>(Ok(Err(1))));
    }

    #[test]
    fn outputs_that_are_no_result_never_fail() {
        enum Result<T> {
            #[expect(dead_code, reason = "only its place matters")]
            Ok,
            Err(T),
        }
        assert!(!failed(()));
        assert!(!failed(Some(1)));
        assert!(!failed(Result::Err(7_u8)));
        assert!(!failed((Err::<(), ()>(()), 1)));
    }

    #[test]
    fn the_error_type_is_the_second_argument() {
        for (output, error) in [
            ("core::result::Result<(), app::Error>", Some("app::Error")),
            (
                "core::result::Result<(u8, core::result::Result<u8, a::B>), c::D<e::F, g::H>>",
                Some("c::D<e::F, g::H>"),
            ),
            (
                "core::result::Result<fn(u8, u8) -> u8, alloc::string::String>",
                Some("alloc::string::String"),
            ),
            (
                "core::result::Result<(), anyhow::Error>",
                Some("anyhow::Error"),
            ),
            (
                "core::result::Result<(), alloc::sync::Arc<alloc::boxed::Box<app::Error>>>",
                Some("app::Error"),
            ),
            (
                "core::result::Result<(), telemetry_rt_executor::task::error::JoinError>",
                Some("telemetry_rt::task::JoinError"),
            ),
            ("core::option::Option<core::result::Result<u8, u8>>", None),
            ("core::task::poll::Poll<core::result::Result<u8, u8>>", None),
            ("app::Result<u8, u8>", None),
            ("()", None),
        ] {
            assert_eq!(error_type_of(output), error, "{output}");
        }
    }

    #[test]
    fn the_name_of_a_real_result_is_understood() {
        fn error_of<T>() -> Option<&'static str> {
            error_type_of(type_name::<T>())
        }
        type Boxed<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
        assert_eq!(
            error_of::<Result<Vec<u8>, std::fmt::Error>>(),
            Some("core::fmt::Error")
        );
        assert_eq!(
            error_of::<std::io::Result<()>>(),
            Some("std::io::error::Error")
        );
        assert_eq!(
            error_of::<Boxed<Boxed<u8>>>(),
            Some("dyn core::error::Error")
        );
        assert_eq!(error_of::<Result<u8, &'static str>>(), Some("&str"));
        assert_eq!(error_of::<Result<Result<u8, u16>, u32>>(), Some("u32"));
        assert_eq!(error_of::<Option<Result<u8, u8>>>(), None);
    }
}
