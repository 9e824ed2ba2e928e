//! What kind of error is it? Asked of errors of any type, because a layer is around any service.

use std::any::{Any, type_name};
use std::error::Error as StdError;
use std::fmt;
use std::io;

use telemetry_rt::time::error::Elapsed;

use crate::client::error::{self, Error};
use crate::connection::Connection;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Why there is no response, for a hook that looks at responses.
#[derive(Clone, Copy)]
pub struct Failure<'e> {
    error: &'e dyn Any,
    error_type: &'static str,
}

impl<'e> Failure<'e> {
    pub(super) fn new<E: 'static>(error: &'e E) -> Failure<'e> {
        let known = as_error(error).and_then(known_type);
        Failure {
            error,
            error_type: known.unwrap_or_else(type_name::<E>),
        }
    }

    /// What `error.type` says of it.
    pub fn error_type(&self) -> &'static str {
        self.error_type
    }

    /// The error of the service, if it is an `E`.
    pub fn downcast_ref<E: 'static>(&self) -> Option<&'e E> {
        self.error.downcast_ref()
    }

    /// What may be said of it in a span: our own errors hold nothing secret, those of others may.
    pub(super) fn message(&self) -> String {
        match self.ours() {
            Some(ours) => ours.to_string(),
            None => String::new(),
        }
    }

    /// By which connection the request went, if that is known.
    pub(super) fn connection(&self) -> Option<&'e Connection> {
        self.ours()?.connection()
    }

    fn ours(&self) -> Option<&'e Error> {
        self.downcast_ref()
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("error_type", &self.error_type)
            .finish_non_exhaustive()
    }
}

/// The errors that services of HTTP have, as what they are: a type alone does not tell whether it is
/// an error.
fn as_error(error: &dyn Any) -> Option<&(dyn StdError + 'static)> {
    fn of<E: StdError + 'static>(error: &dyn Any) -> Option<&(dyn StdError + 'static)> {
        error.downcast_ref::<E>().map(|error| error as _)
    }
    of::<Error>(error)
        .or_else(|| of::<hyper_util::client::legacy::Error>(error))
        .or_else(|| of::<hyper::Error>(error))
        .or_else(|| of::<io::Error>(error))
        .or_else(|| of::<Elapsed>(error))
        .or_else(|| Some(error.downcast_ref::<BoxError>()?.as_ref() as _))
}

/// The first cause that has a name.
fn known_type(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    if let Some(ours) = error::find::<Error>(error) {
        return Some(ours.error_type());
    }
    if error::find::<Elapsed>(error).is_some() {
        return Some("timeout");
    }
    if let Some(io) = error::find::<io::Error>(error) {
        return Some(error::io_error_type(io.kind()));
    }
    let hyper = error::find::<hyper::Error>(error)?;
    let is_closed = hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed();
    Some(match is_closed {
        true => "connection_closed",
        false => "protocol",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[test]
    fn errors_that_are_known_have_names_and_others_that_of_their_type() {
        struct Odd;
        assert_eq!(Failure::new(&refused()).error_type(), "connection_refused");
        assert_eq!(
            Failure::new(&BoxError::from(refused())).error_type(),
            "connection_refused"
        );
        assert!(Failure::new(&Odd).error_type().ends_with("::Odd"));
    }

    #[test]
    fn an_error_is_what_it_was() {
        let failure = refused();
        let failure = Failure::new(&failure);
        assert!(failure.downcast_ref::<io::Error>().is_some());
        assert!(failure.downcast_ref::<fmt::Error>().is_none());
        assert_eq!(failure.message(), "");
    }
}
