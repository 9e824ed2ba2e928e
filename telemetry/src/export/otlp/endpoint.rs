//! Where a signal is sent to, and how: `OTEL_EXPORTER_OTLP[_TRACES|_METRICS]_*`.
//!
//! A variable of one signal wins over the general one. A general endpoint is a base, to which
//! `/v1/traces` or `/v1/metrics` is appended; the endpoint of one signal is used as it is.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderName, HeaderValue, Uri};

use crate::export::env::{ConfigError, Env};
use crate::export::exporter::Signal;

/// An HTTP endpoint that takes one signal.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) url: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
}

const DEFAULT_BASE: &str = "http://localhost:4318";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Endpoint {
    /// The endpoint at exactly this URL, such as `http://localhost:4318/v1/traces`, with a
    /// timeout of 10 s.
    ///
    /// # Errors
    ///
    /// When it is no URL of a kind that this build can use.
    pub fn new(url: &str) -> Result<Endpoint, ConfigError> {
        Ok(Endpoint::at(parse_url("the endpoint", url)?))
    }

    /// Adds a header to each request.
    ///
    /// # Errors
    ///
    /// When the name or the value is none that HTTP allows; the error does not show the value.
    pub fn header(mut self, name: &str, value: &str) -> Result<Endpoint, ConfigError> {
        self.headers.push(parse_header("the header", name, value)?);
        Ok(self)
    }

    /// How long a request may take, with all its repetitions.
    pub fn timeout(mut self, timeout: Duration) -> Endpoint {
        self.timeout = timeout;
        self
    }

    /// Compresses requests.
    pub fn gzip(mut self) -> Endpoint {
        self.gzip = true;
        self
    }

    fn at(url: Uri) -> Endpoint {
        Endpoint {
            url,
            headers: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            gzip: false,
        }
    }

    pub(in crate::export) fn from_variables(
        env: &Env<'_>,
        signal: Signal,
    ) -> Result<Endpoint, ConfigError> {
        check_protocol(env, signal);
        let compression = variable(env, signal, "COMPRESSION");
        let timeout = variable(env, signal, "TIMEOUT");
        let known = [("gzip", true), ("none", false)];
        Ok(Endpoint {
            headers: headers(env, signal),
            timeout: env.millis(&timeout, DEFAULT_TIMEOUT),
            gzip: env.word(&compression, &known).unwrap_or(false),
            ..Endpoint::at(url(env, signal)?)
        })
    }
}

/// The name of the variable that decides: that of the signal if it is set, else the general one.
fn variable(env: &Env<'_>, signal: Signal, what: &str) -> String {
    let specific = specific(signal, what);
    match env.text(&specific) {
        Some(_) => specific,
        None => general(what),
    }
}

fn specific(signal: Signal, what: &str) -> String {
    format!(
        "OTEL_EXPORTER_OTLP_{}_{what}",
        signal.as_str().to_uppercase()
    )
}

fn general(what: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_{what}")
}

fn check_protocol(env: &Env<'_>, signal: Signal) {
    let name = variable(env, signal, "PROTOCOL");
    if let Some(protocol) = env
        .text(&name)
        .filter(|protocol| protocol != "http/protobuf")
    {
        let error = ConfigError::new(name, protocol, "http/protobuf");
        env.warn(format_args!("{error}; http/protobuf is used"));
    }
}

fn url(env: &Env<'_>, signal: Signal) -> Result<Uri, ConfigError> {
    let specific = specific(signal, "ENDPOINT");
    if let Some(url) = env.text(&specific) {
        return parse_url(&specific, &url);
    }
    let general = general("ENDPOINT");
    let base = env
        .text(&general)
        .unwrap_or_else(|| DEFAULT_BASE.to_owned());
    // Parsed first, so that an error shows what the user wrote.
    parse_url(&general, &base)?;
    let base = base.trim_end_matches('/');
    parse_url(&general, &format!("{base}/v1/{}", signal.as_str()))
}

fn parse_url(variable: &str, text: &str) -> Result<Uri, ConfigError> {
    let accepted = match cfg!(feature = "tls") {
        true => "a URL such as http://localhost:4318 or https://collector.example.com",
        false => "a URL such as http://localhost:4318 (https needs the feature `tls`)",
    };
    let usable = |url: &Uri| {
        let tls = cfg!(feature = "tls") && url.scheme_str() == Some("https");
        (tls || url.scheme_str() == Some("http")) && url.host().is_some_and(|host| !host.is_empty())
    };
    text.parse()
        .ok()
        .filter(usable)
        .ok_or_else(|| ConfigError::new(variable, without_password(text), accepted))
}

/// The URL without what may be a secret: what stands before `@` in the authority.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => url.to_owned(),
    }
}

/// `key1=value1,key2=value2`, the values percent-encoded.
fn headers(env: &Env<'_>, signal: Signal) -> Vec<(HeaderName, HeaderValue)> {
    let variable = variable(env, signal, "HEADERS");
    let list = env.text(&variable).unwrap_or_default();
    let pairs = list
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .filter_map(|pair| header(env, &variable, pair))
        .collect()
}

fn header(env: &Env<'_>, variable: &str, pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let Some((name, value)) = pair.split_once('=') else {
        env.warn(format_args!(
            "{variable} has an entry without `=`; accepted: name=value,name=value; it is ignored"
        ));
        return None;
    };
    let value = percent_decode_str(value.trim()).decode_utf8_lossy();
    parse_header(variable, name.trim(), &value)
        .inspect_err(|error| env.warn(format_args!("{error}; it is ignored")))
        .ok()
}

/// The error shows the name only: values are credentials.
fn parse_header(
    variable: &str,
    name: &str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let accepted = "a name and a value that HTTP allows in a header";
    let parsed = name.parse().ok().zip(value.parse().ok());
    parsed.ok_or_else(|| ConfigError::new(variable, format!("{name}=…"), accepted))
}

impl fmt::Debug for Endpoint {
    /// Without the values of headers, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Endpoint")
            .field("url", &shown(&self.url))
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .finish()
    }
}

/// The URL as warnings show it: no user, no password, no query.
pub(super) fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let host = url.host().unwrap_or_default();
    let port = url
        .port_u16()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        variables: &[(&str, &str)],
        signal: Signal,
    ) -> (Result<Endpoint, ConfigError>, Vec<String>) {
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let env = Env::new(&get);
        let endpoint = Endpoint::from_variables(&env, signal);
        (endpoint, env.into_warnings())
    }

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    #[test]
    fn a_general_endpoint_is_a_base_and_a_specific_one_is_used_as_it_is() {
        for (variables, signal, url) in [
            (&[][..], Signal::Traces, "http://localhost:4318/v1/traces"),
            (
                &[(ENDPOINT, "")],
                Signal::Metrics,
                "http://localhost:4318/v1/metrics",
            ),
            (
                &[(ENDPOINT, "http://h:1")],
                Signal::Traces,
                "http://h:1/v1/traces",
            ),
            (
                &[(ENDPOINT, "http://h:1/")],
                Signal::Traces,
                "http://h:1/v1/traces",
            ),
            (
                &[(ENDPOINT, "http://h/a/")],
                Signal::Metrics,
                "http://h/a/v1/metrics",
            ),
            (&[(TRACES, "http://h:1/x")], Signal::Traces, "http://h:1/x"),
            (&[(TRACES, "http://h:1")], Signal::Traces, "http://h:1/"),
            (
                &[(TRACES, "http://h:1/x"), (ENDPOINT, "http://g")],
                Signal::Metrics,
                "http://g/v1/metrics",
            ),
        ] {
            let (endpoint, warnings) = read(variables, signal);
            assert_eq!(shown(&endpoint.unwrap().url), url, "{variables:?}");
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_an_error_that_names_the_variable() {
        for url in [
            "localhost:4318",
            "collector",
            "grpc://h:4317",
            "http://",
            "/v1/traces",
            "ht tp://x",
        ] {
            let (endpoint, _) = read(&[(ENDPOINT, url)], Signal::Traces);
            let error = endpoint.unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{ENDPOINT} is {url:?}; accepted: a URL")),
                "{error}"
            );
        }
        let (endpoint, _) = read(&[(ENDPOINT, "ftp://me:secret@h/")], Signal::Traces);
        assert!(!endpoint.unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn https_needs_the_feature() {
        let (endpoint, _) = read(&[(ENDPOINT, "https://h")], Signal::Traces);
        assert_eq!(endpoint.is_ok(), cfg!(feature = "tls"));
    }

    #[test]
    fn headers_are_decoded_and_never_shown() {
        let variables = [(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "api-key=se%20cret, x-tenant = a=b ,,bad name=1,nothing",
        )];
        let (endpoint, warnings) = read(&variables, Signal::Traces);
        let endpoint = endpoint.unwrap();
        let headers: Vec<_> = endpoint
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(headers, [("api-key", "se cret"), ("x-tenant", "a=b")]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(!format!("{endpoint:?}").contains("cret"));
    }

    #[test]
    fn the_variables_of_a_signal_win() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "200"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
        ];
        let traces = read(&variables, Signal::Traces).0.unwrap();
        let metrics = read(&variables, Signal::Metrics).0.unwrap();
        assert_eq!((traces.timeout.as_millis(), traces.gzip), (200, true));
        assert_eq!((metrics.timeout.as_millis(), metrics.gzip), (100, false));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ] {
            let (endpoint, warnings) = read(&[(name, value)], Signal::Traces);
            assert!(endpoint.is_ok());
            let start = format!("{name} is {value:?}; accepted: ");
            assert!(warnings[0].starts_with(&start), "{warnings:?}");
        }
    }
}
