//! One attempt to post a request by HTTP.

use std::io::ErrorKind;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body, Proxy};

use super::client::{MOST_REPLY, Transport, USER_AGENT};
use super::endpoint::Endpoint;
use super::failure::{Again, Failure, shown_text};
use super::url::shown;

/// Posts to one URL.
pub(super) struct Http {
    endpoint: Endpoint,
    agent: Agent,
}

impl Http {
    pub(super) fn new(endpoint: Endpoint) -> Http {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A collector that moves is to be configured anew: headers hold credentials.
            .max_redirects(0)
            .proxy(proxy(&endpoint))
            .user_agent(USER_AGENT);
        Http {
            agent: endpoint.tls.used_in(config).build().into(),
            endpoint,
        }
    }
}

impl Transport for Http {
    fn request(&self) -> String {
        format!("POST {}", shown(&self.endpoint.url))
    }

    fn attempt(&self, body: &[u8], time: Duration) -> Result<Vec<u8>, Failure> {
        let mut request = self
            .agent
            .post(&self.endpoint.url)
            .config()
            .timeout_global(Some(time))
            .build()
            .header("content-type", "application/x-protobuf");
        if self.endpoint.gzip {
            request = request.header("content-encoding", "gzip");
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        match request.send(body) {
            Ok(response) => reply_of(response),
            Err(error) => Err(failure_of(&error)),
        }
    }
}

/// What an error says may come from the peer.
fn failure_of(error: &ureq::Error) -> Failure {
    Failure {
        message: shown_text(&error.to_string()),
        again: again_after(error),
    }
}

/// A connection that fails may succeed later; a collector that cannot prove who it is will not.
fn again_after(error: &ureq::Error) -> Again {
    match error {
        // What rustls refuses arrives as this kind of error, an untrusted certificate above all.
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Again::Never,
        _ => Again::Soon,
    }
}

pub(super) fn reply_of(response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let status = response.status();
    let after = retry_after(&response);
    let reply = response
        .into_body()
        .into_with_config()
        .limit(MOST_REPLY as u64)
        .read_to_vec();
    if status.is_success() {
        // The status says that the request was accepted; its details are worth a try, no more.
        return Ok(reply.unwrap_or_default());
    }
    let text = text_of(&reply.unwrap_or_default());
    let again = match status.as_u16() {
        429 | 502 | 503 | 504 => after.map_or(Again::Soon, Again::After),
        _ => Again::Never,
    };
    Err(Failure {
        message: format!("{status}{text}"),
        again,
    })
}

/// The pause that the collector asks for, if it says so in seconds.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What can be read of a reply: a collector sends an explanation as text, or as a protobuf
/// `Status` whose message is text as well.
fn text_of(reply: &[u8]) -> String {
    let message = <Status as prost::Message>::decode(reply)
        .map(|status| status.message)
        .ok()
        .filter(|message| !message.is_empty())
        .unwrap_or_else(|| String::from_utf8_lossy(reply).into_owned());
    match shown_text(&message) {
        shown if shown.is_empty() => shown,
        shown => format!(": {shown}"),
    }
}

/// `google.rpc.Status`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// The proxy of the environment, but none for a collector on this machine.
fn proxy(endpoint: &Endpoint) -> Option<Proxy> {
    match endpoint.url.host() {
        Some("localhost" | "127.0.0.1" | "[::1]") => None,
        _ => Proxy::try_from_env(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn an_error_shows_nothing_that_a_terminal_obeys() {
        let said = format!("\u{1b}[31mred\n{}", "x".repeat(10_000));
        let failure = failure_of(&ureq::Error::Io(io::Error::other(said)));
        assert!(failure.message.contains("red"), "{}", failure.message);
        assert!(!failure.message.contains(char::is_control));
        assert!(failure.message.len() < 1000);
        assert_eq!(failure.again, Again::Soon);
    }
}
