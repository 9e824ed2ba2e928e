//! One request to a collector, by `ureq`, on the thread that exports.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use ureq::{Agent, Proxy};

use super::settings::Endpoint;

/// No answer of a collector is longer, unless it means ill.
const MOST_REPLY: u64 = 1024 * 1024;

/// Of what a collector says, this much is passed on.
const MOST_SHOWN: usize = 300;

/// What came of the last request. The library keeps this to itself.
#[derive(Debug, Default)]
pub struct Said(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    error: Option<String>,
    rejected: u64,
    reason: String,
}

impl Said {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_failing(&self) -> bool {
        self.last().error.is_some()
    }

    pub fn error(&self) -> Option<String> {
        self.last().error.clone()
    }

    /// How many records the collector refused, and why.
    pub fn rejected(&self) -> (u64, String) {
        let last = self.last();
        (last.rejected, last.reason.clone())
    }
}

/// Sends what the library has made. Blocks its thread: futures made of it are ready at the first
/// poll.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    said: Arc<Said>,
}

impl Client {
    pub fn new(endpoint: &Endpoint, said: Arc<Said>) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A collector that moves is to be configured anew: headers hold credentials.
            .max_redirects(0)
            .proxy(proxy(endpoint))
            .timeout_global(Some(endpoint.timeout));
        Client {
            agent: endpoint.tls.used_in(config).build().into(),
            said,
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let response = self.agent.run(Request::from_parts(parts, &body[..]))?;
        let (parts, body) = response.into_parts();
        let body = body.into_with_config().limit(MOST_REPLY).read_to_vec();
        // The status says whether the request was accepted; its details are worth a try, no more.
        Ok(Response::from_parts(parts, body.unwrap_or_default().into()))
    }
}

/// The proxy of the environment, but none for a collector on this machine.
fn proxy(endpoint: &Endpoint) -> Option<Proxy> {
    match endpoint.is_local {
        true => None,
        false => Proxy::try_from_env(),
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let to = shown_target(&request);
        let result = self.send(request);
        *self.said.last() = match &result {
            Err(error) => failed(format!("POST {to}: {error}")),
            Ok(response) if !response.status().is_success() => {
                let said = String::from_utf8_lossy(response.body());
                failed(format!("POST {to}: {} {said}", response.status()))
            }
            Ok(response) => accepted(response.body()),
        };
        Ok(result?)
    }
}

fn failed(error: String) -> Last {
    Last {
        error: Some(shortened(&error)),
        ..Last::default()
    }
}

fn accepted(reply: &[u8]) -> Last {
    let reply = ExportLogsServiceResponse::decode(reply).unwrap_or_default();
    let partial = reply.partial_success.unwrap_or_default();
    Last {
        error: None,
        rejected: u64::try_from(partial.rejected_log_records).unwrap_or(0),
        reason: shortened(&partial.error_message),
    }
}

/// Without what may be a secret in a URL: a user, and a query.
fn shown_target(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}"));
    let port = port.unwrap_or_default();
    format!("{scheme}://{host}{port}{}", uri.path())
}

fn shortened(text: &str) -> String {
    text.chars().take(MOST_SHOWN).collect()
}
