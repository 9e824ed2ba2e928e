//! What can both layers be told, and what does the environment say where they are told nothing?

use super::by_runtime::Given;
use super::captured::{CapturedHeaders, HeaderList, Sanitizer};
use super::excluded::ExcludedUrls;
use super::redact::Redaction;

/// What a builder was told of that which both builders have.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) excluded: Option<ExcludedUrls>,
    pub(crate) excluded_key: Option<String>,
    pub(crate) redaction: Redaction,
    pub(crate) request_headers: Option<HeaderList>,
    pub(crate) response_headers: Option<HeaderList>,
    pub(crate) shown: HeaderList,
    pub(crate) given: Given,
}

/// The variables that list the headers of one side.
pub(crate) struct HeaderVariables {
    pub(crate) request: &'static str,
    pub(crate) response: &'static str,
}

/// What holds: what was told, else what the environment says.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) excluded: ExcludedUrls,
    pub(crate) redaction: Redaction,
    pub(crate) request_headers: CapturedHeaders,
    pub(crate) response_headers: CapturedHeaders,
    pub(crate) given: Given,
}

impl Options {
    /// Reads the environment, now. What is wrong there is a warning that names the variable.
    pub(crate) fn settle(self, variables: &HeaderVariables) -> Settled {
        let mut sanitizer = Sanitizer::from_env(self.redaction.clone());
        sanitizer.show(self.shown);
        let key = self.excluded_key.as_deref();
        let excluded = self.excluded;
        let requests = listed(self.request_headers, variables.request);
        let responses = listed(self.response_headers, variables.response);
        Settled {
            excluded: excluded.unwrap_or_else(|| ExcludedUrls::from_env(key)),
            redaction: self.redaction,
            request_headers: CapturedHeaders::of_requests(requests, sanitizer.clone()),
            response_headers: CapturedHeaders::of_responses(responses, sanitizer),
            given: self.given,
        }
    }
}

fn listed(told: Option<HeaderList>, variable: &str) -> HeaderList {
    told.unwrap_or_else(|| HeaderList::from_env(variable))
}
