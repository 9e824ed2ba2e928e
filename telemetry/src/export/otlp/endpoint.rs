//! Where a signal is sent to, and how: `OTEL_EXPORTER_OTLP[_TRACES|_METRICS]_*`.
//!
//! A variable of one signal wins over the general one. A general endpoint is a base, to which
//! `/v1/traces` or `/v1/metrics` is appended; the endpoint of one signal is used as it is.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::authorities::Authorities;
use crate::export::env::{ConfigError, Env};
use crate::export::exporter::Signal;

/// An HTTP endpoint that takes one signal.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) url: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    pub(super) authorities: Authorities,
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
    /// When the name or the value is none that HTTP allows, or the header is one that describes
    /// the body, which is not for the user to say. The error does not show the value.
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

    /// Trusts a collector only if one of these certificates, as PEM, vouches for it; by default
    /// those of the public authorities do. An `http` endpoint has no use for them.
    ///
    /// # Errors
    ///
    /// When there is no certificate in the text. A build without the feature `tls`, which knows no
    /// `https`, does not look.
    pub fn certificate(mut self, pem: &[u8]) -> Result<Endpoint, ConfigError> {
        self.authorities = Authorities::from_pem(pem).map_err(|reason| {
            let accepted = format!("PEM with at least one certificate ({reason})");
            ConfigError::new("the certificate", "…", accepted)
        })?;
        Ok(self)
    }

    fn at(url: Uri) -> Endpoint {
        Endpoint {
            url,
            headers: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            gzip: false,
            authorities: Authorities::public(),
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
        let url = url(env, signal)?;
        Ok(Endpoint {
            authorities: authorities(env, signal, &url)?,
            headers: headers(env, signal),
            timeout: env.millis(&timeout, DEFAULT_TIMEOUT),
            gzip: env.word(&compression, &known).unwrap_or(false),
            ..Endpoint::at(url)
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
        .filter(|protocol| !protocol.eq_ignore_ascii_case("http/protobuf"))
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
    let url = below(&parse_url(&general, &base)?, signal);
    url.ok_or_else(|| url_error(&general, &base))
}

/// The URL of a signal below a base, whose query stays a query.
fn below(base: &Uri, signal: Signal) -> Option<Uri> {
    let path = base.path().trim_end_matches('/');
    let query = base.query().map(|query| format!("?{query}"));
    let target = format!("{path}/v1/{}{}", signal.as_str(), query.unwrap_or_default());
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn parse_url(variable: &str, text: &str) -> Result<Uri, ConfigError> {
    let usable = |url: &Uri| {
        let tls = cfg!(feature = "tls") && url.scheme_str() == Some("https");
        (tls || url.scheme_str() == Some("http")) && url.host().is_some_and(|host| !host.is_empty())
    };
    text.parse()
        .ok()
        .filter(usable)
        .ok_or_else(|| url_error(variable, text))
}

fn url_error(variable: &str, text: &str) -> ConfigError {
    let accepted = match cfg!(feature = "tls") {
        true => "a URL such as http://localhost:4318 or https://collector.example.com",
        false => "a URL such as http://localhost:4318 (https needs the feature `tls`)",
    };
    ConfigError::new(variable, without_secrets(text), accepted)
}

/// What was meant to be a URL, without what may be a secret in it: all that stands before an `@`,
/// and all that follows a `?` or `#`, wherever these are, since the text may be no URL at all.
fn without_secrets(text: &str) -> String {
    let query = text.find(['?', '#']);
    match (text.rfind('@'), query) {
        (None, None) => text.to_owned(),
        (Some(at), Some(query)) if query < at => "…".to_owned(),
        (at, query) => {
            let before = at.map_or("", |_| "…");
            let after = query.map_or("", |_| "?…");
            let shown = &text[at.unwrap_or(0)..query.unwrap_or(text.len())];
            format!("{before}{shown}{after}")
        }
    }
}

/// Those of the file that `CERTIFICATE` names, which only `https` needs. A file that cannot be used
/// is an error, since trusting the public authorities instead might be more than the user wants.
fn authorities(env: &Env<'_>, signal: Signal, url: &Uri) -> Result<Authorities, ConfigError> {
    let variable = variable(env, signal, "CERTIFICATE");
    match env.text(&variable) {
        Some(path) if url.scheme_str() == Some("https") => {
            Authorities::from_file(&path).map_err(|reason| {
                let accepted =
                    format!("the path of a PEM file with at least one certificate ({reason})");
                ConfigError::new(variable, path, accepted)
            })
        }
        _ => Ok(Authorities::public()),
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

/// Headers that say what the body is. A second one would contradict the exporter's own.
const RESERVED: [&str; 3] = ["content-type", "content-encoding", "content-length"];

/// The error shows the name only, and only if it is one: values are credentials, and who puts a
/// value where the name belongs must not read it in a log.
fn parse_header(
    variable: &str,
    name: &str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let known: Option<HeaderName> = name.parse().ok();
    let shown = format!("{}=…", known.as_ref().map_or("…", HeaderName::as_str));
    let parsed = known
        .filter(|name| !RESERVED.contains(&name.as_str()))
        .zip(value.parse().ok());
    parsed.ok_or_else(|| {
        let accepted = format!(
            "a name and a value that HTTP allows in a header, but not {}",
            RESERVED.join(", ")
        );
        ConfigError::new(variable, shown, accepted)
    })
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
            (
                &[(ENDPOINT, "http://h/a/?key=1")],
                Signal::Traces,
                "http://h/a/v1/traces",
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
    }

    #[test]
    fn the_query_of_a_base_is_that_of_each_signal() {
        let (endpoint, _) = read(&[(ENDPOINT, "http://h/a/?key=1")], Signal::Metrics);
        assert_eq!(endpoint.unwrap().url, "http://h/a/v1/metrics?key=1");
    }

    #[test]
    fn no_error_shows_what_may_be_a_secret() {
        for (url, shown) in [
            ("ftp://me:secret@h/x", "…@h/x"),
            ("me:secret@h:4318", "…@h:4318"),
            ("ftp://me:sec/ret@h", "…@h"),
            ("me:secret@http://h", "…@http://h"),
            ("ftp://h/x?key=secret", "ftp://h/x?…"),
            ("ftp://me:secret@h/x?key=secret", "…@h/x?…"),
            ("ftp://h/x?key=secret@ret", "…"),
            ("ftp://h/#secret", "ftp://h/?…"),
        ] {
            let error = read(&[(ENDPOINT, url)], Signal::Traces).0.unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{ENDPOINT} is {shown:?}; ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_value_in_the_place_of_a_name_is_not_shown() {
        for (headers, shown) in [
            ("Authorization: Bearer dG9r=", "…=…"),
            ("Bearer dG9r=x", "…=…"),
            ("x-key=dG9r\u{7f}", "x-key=…"),
            ("Content-Type=dG9r", "content-type=…"),
        ] {
            let variables = [("OTEL_EXPORTER_OTLP_HEADERS", headers)];
            let (endpoint, warnings) = read(&variables, Signal::Traces);
            assert!(endpoint.unwrap().headers.is_empty(), "{headers}");
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(
                warnings[0].contains(&format!(" is {shown:?}; ")) && !warnings[0].contains("dG9r"),
                "{warnings:?}"
            );
        }
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
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
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
