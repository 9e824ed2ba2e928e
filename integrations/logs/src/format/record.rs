//! What is there to say of a record, in either form?

use std::error::Error;
use std::fmt::{self, Write};
use std::thread;

use tracing::field::Field;
use tracing::{Event, Metadata};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::ids::Ids;

pub struct Record<'a> {
    pub event: &'a Event<'a>,
    pub ids: Option<Ids>,
    pub service_name: Option<&'a str>,
    /// Of a record of `log`, what that says of itself.
    of_log: Option<Metadata<'a>>,
}

impl<'a> Record<'a> {
    pub fn new(event: &'a Event<'a>, ids: Option<Ids>, service_name: Option<&'a str>) -> Self {
        Record {
            event,
            ids,
            service_name,
            of_log: event.normalized_metadata(),
        }
    }

    pub fn metadata(&self) -> &Metadata<'a> {
        match &self.of_log {
            Some(metadata) => metadata,
            None => self.event.metadata(),
        }
    }
}

/// Now, in UTC, with microseconds.
pub fn write_time(mut out: &mut dyn Write) -> fmt::Result {
    SystemTime.format_time(&mut Writer::new(&mut out))
}

/// Whether the field is how a record of `log` carries what [`Record::metadata`] says.
pub fn is_of_log(field: &Field) -> bool {
    matches!(
        field.name(),
        "log.target" | "log.module_path" | "log.file" | "log.line"
    )
}

/// An error and what it was caused by.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// The number of the current thread, which the standard library tells only as `ThreadId(5)`.
pub fn thread_number() -> u64 {
    struct Digits(u64);
    impl Write for Digits {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let digits = text.bytes().filter(u8::is_ascii_digit);
            for digit in digits {
                self.0 = self.0.wrapping_mul(10) + u64::from(digit - b'0');
            }
            Ok(())
        }
    }
    let mut digits = Digits(0);
    let _ = write!(digits, "{:?}", thread::current().id());
    digits.0
}
