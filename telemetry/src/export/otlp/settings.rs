//! What `OTEL_EXPORTER_OTLP[_TRACES|_METRICS]_*` say about an endpoint.
//!
//! A variable of one signal wins over the general one. For HTTP a general endpoint is a base, to
//! which `/v1/traces` or `/v1/metrics` is appended, and the endpoint of one signal is used as it
//! is; gRPC has no use for a path.

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::endpoint::{DEFAULT_TIMEOUT, Endpoint, Protocol, parse_header};
use super::tls::Tls;
use super::url;
use crate::export::env::{ConfigError, Env};
use crate::export::exporter::Signal;

impl Endpoint {
    pub(in crate::export) fn from_variables(
        env: &Env<'_>,
        signal: Signal,
    ) -> Result<Endpoint, ConfigError> {
        let protocol = protocol(env, signal);
        let compression = variable(env, signal, "COMPRESSION");
        let timeout = variable(env, signal, "TIMEOUT");
        let known = [("gzip", true), ("none", false)];
        let url = match protocol {
            Protocol::Http => url(env, signal)?,
            #[cfg(feature = "grpc")]
            Protocol::Grpc => grpc_url(env, signal)?,
        };
        Ok(Endpoint {
            tls: tls(env, signal, &url)?,
            headers: headers(env, signal, protocol),
            timeout: env.millis(&timeout, DEFAULT_TIMEOUT),
            gzip: env.word(&compression, &known).unwrap_or(false),
            ..Endpoint::at(url, protocol)
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

fn protocol(env: &Env<'_>, signal: Signal) -> Protocol {
    let name = variable(env, signal, "PROTOCOL");
    let Some(text) = env.text(&name) else {
        return Protocol::Http;
    };
    let mut known = Protocol::KNOWN.iter();
    if let Some((_, protocol)) = known.find(|(word, _)| text.eq_ignore_ascii_case(word)) {
        return *protocol;
    }
    let words: Vec<&str> = Protocol::KNOWN.iter().map(|(word, _)| *word).collect();
    let error = ConfigError::new(name, text, words.join(", "));
    env.warn(format_args!("{error}; http/protobuf is used"));
    Protocol::Http
}

fn url(env: &Env<'_>, signal: Signal) -> Result<Uri, ConfigError> {
    let specific = specific(signal, "ENDPOINT");
    if let Some(url) = env.text(&specific) {
        return url::parse(&specific, &url, Protocol::Http);
    }
    let general = general("ENDPOINT");
    let base = env.text(&general);
    let base = base.unwrap_or_else(|| url::default(Protocol::Http));
    // Parsed first, so that an error shows what the user wrote.
    let url = below(&url::parse(&general, &base, Protocol::Http)?, signal);
    url.ok_or_else(|| url::error(&general, &base, Protocol::Http))
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

/// One without a scheme is `https`, unless `INSECURE` says otherwise.
#[cfg(feature = "grpc")]
fn grpc_url(env: &Env<'_>, signal: Signal) -> Result<Uri, ConfigError> {
    let name = variable(env, signal, "ENDPOINT");
    let text = env.text(&name);
    let text = text.unwrap_or_else(|| url::default(Protocol::Grpc));
    let whole = match text.contains("://") {
        true => text.clone(),
        false if env.flag(&variable(env, signal, "INSECURE")) => format!("http://{text}"),
        false => format!("https://{text}"),
    };
    let url = url::parse(&name, &whole, Protocol::Grpc)
        .map_err(|_| url::error(&name, &text, Protocol::Grpc))?;
    if url::has_path(&url) {
        env.warn(format_args!(
            "{name} has a path; accepted for grpc: a URL without one; it is ignored"
        ));
    }
    Ok(url)
}

/// What the files that `CERTIFICATE`, `CLIENT_CERTIFICATE` and `CLIENT_KEY` name say, which only
/// `https` needs. A file that cannot be used is an error, since trusting the public authorities
/// instead might be more than the user wants.
fn tls(env: &Env<'_>, signal: Signal, url: &Uri) -> Result<Tls, ConfigError> {
    let mut tls = Tls::public();
    if url.scheme_str() == Some("https") {
        trust(env, signal, &mut tls)?;
        identify(env, signal, &mut tls)?;
    }
    Ok(tls)
}

fn trust(env: &Env<'_>, signal: Signal, tls: &mut Tls) -> Result<(), ConfigError> {
    let name = variable(env, signal, "CERTIFICATE");
    let Some(path) = env.text(&name) else {
        return Ok(());
    };
    read(&path)
        .and_then(|pem| tls.trust(&pem))
        .map_err(|reason| file_error(&name, &path, "with at least one certificate", &reason))
}

fn identify(env: &Env<'_>, signal: Signal, tls: &mut Tls) -> Result<(), ConfigError> {
    let names = ["CLIENT_CERTIFICATE", "CLIENT_KEY"].map(|what| variable(env, signal, what));
    let [certificate, key] = &names;
    let error = |name: &String, what: &str, reason: &str| {
        file_error(name, &env.text(name).unwrap_or_default(), what, reason)
    };
    let of_certificate = |reason: &str| error(certificate, "with a certificate for us", reason);
    let of_key = |reason: &str| error(key, &format!("with the key of {certificate}"), reason);
    match [env.text(certificate), env.text(key)] {
        [None, None] => Ok(()),
        [None, Some(_)] => Err(of_certificate(&format!("{key} is of no use without it"))),
        [Some(_), None] => Err(of_key(&format!("{certificate} is of no use without it"))),
        [Some(certificate), Some(key)] => {
            let pem = read(&certificate).map_err(|reason| of_certificate(&reason))?;
            let key = read(&key).map_err(|reason| of_key(&reason))?;
            tls.identify(&pem, &key)
                .map_err(|reason| of_certificate(&reason))
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| error.to_string())
}

fn file_error(variable: &str, path: &str, what: &str, reason: &str) -> ConfigError {
    let accepted = format!("the path of a PEM file {what} ({reason})");
    ConfigError::new(variable, path_without_secrets(path), accepted)
}

/// What was meant to be a path, unless it is what belongs into the file: that may be a key.
fn path_without_secrets(path: &str) -> &str {
    match path.contains("-----") || path.contains('\n') {
        true => "…",
        false => path,
    }
}

/// `key1=value1,key2=value2`, the values percent-encoded.
fn headers(env: &Env<'_>, signal: Signal, protocol: Protocol) -> Vec<(HeaderName, HeaderValue)> {
    let variable = variable(env, signal, "HEADERS");
    let list = env.text(&variable).unwrap_or_default();
    let pairs = list
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .filter_map(|pair| header(env, &variable, pair, protocol))
        .collect()
}

fn header(
    env: &Env<'_>,
    variable: &str,
    pair: &str,
    protocol: Protocol,
) -> Option<(HeaderName, HeaderValue)> {
    let Some((name, value)) = pair.split_once('=') else {
        env.warn(format_args!(
            "{variable} has an entry without `=`; accepted: name=value,name=value; it is ignored"
        ));
        return None;
    };
    let value = percent_decode_str(value.trim()).decode_utf8_lossy();
    parse_header(variable, name.trim(), &value, protocol)
        .inspect_err(|error| env.warn(format_args!("{error}; it is ignored")))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::url::shown;
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
            "http://h:port",
            "http://h:99999",
            "http://[::1]:4318x/v1",
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
            #[cfg(not(feature = "grpc"))]
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

    #[cfg(feature = "grpc")]
    mod grpc {
        use super::*;

        const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        const INSECURE: &str = "OTEL_EXPORTER_OTLP_INSECURE";
        const METRICS_INSECURE: &str = "OTEL_EXPORTER_OTLP_METRICS_INSECURE";

        #[test]
        fn an_endpoint_is_used_as_it_is_and_without_a_scheme_it_is_secure() {
            for (variables, url, warned) in [
                (&[GRPC][..], "http://localhost:4317/", false),
                (&[GRPC, (ENDPOINT, "http://h:1")], "http://h:1/", false),
                (
                    &[GRPC, (ENDPOINT, "http://h:1/v1/x?y")],
                    "http://h:1/v1/x",
                    true,
                ),
                (
                    &[GRPC, (ENDPOINT, "h:1"), (INSECURE, "true")],
                    "http://h:1/",
                    false,
                ),
                (
                    &[
                        GRPC,
                        (ENDPOINT, "h:1"),
                        (METRICS_INSECURE, "TRUE"),
                        (INSECURE, "false"),
                    ],
                    "http://h:1/",
                    false,
                ),
                (
                    &[GRPC, (ENDPOINT, "http://h:1"), (INSECURE, "false")],
                    "http://h:1/",
                    false,
                ),
            ] {
                let (endpoint, warnings) = read(variables, Signal::Metrics);
                let endpoint = endpoint.unwrap();
                assert_eq!(endpoint.protocol, Protocol::Grpc);
                assert_eq!(shown(&endpoint.url), url, "{variables:?}");
                assert_eq!(!warnings.is_empty(), warned, "{warnings:?}");
            }
        }

        #[test]
        fn an_endpoint_without_a_scheme_needs_encryption() {
            let (endpoint, _) = read(&[GRPC, (ENDPOINT, "h:1")], Signal::Traces);
            match cfg!(feature = "tls") {
                true => assert_eq!(shown(&endpoint.unwrap().url), "https://h:1/"),
                false => {
                    let error = endpoint.unwrap_err().to_string();
                    assert!(
                        error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT is \"h:1\";"),
                        "{error}"
                    );
                }
            }
        }

        #[test]
        fn a_url_that_cannot_be_used_is_an_error_without_secrets() {
            for (url, shown) in [
                ("ftp://h", "ftp://h"),
                ("http://me:secret@h:4317", "…@h:4317"),
                ("me:secret@h:4317", "…@h:4317"),
                ("/v1/traces", "/v1/traces"),
            ] {
                let (endpoint, _) = read(&[GRPC, (ENDPOINT, url)], Signal::Traces);
                let error = endpoint.unwrap_err().to_string();
                let start = format!("{ENDPOINT} is {shown:?}; accepted: a URL such as");
                assert!(error.starts_with(&start), "{error}");
                assert!(error.contains(":4317"), "{error}");
            }
        }

        #[test]
        fn metadata_that_grpc_does_not_allow_is_said_and_never_shown() {
            for header in [
                "grpc-timeout=dG9r",
                "te=dG9r",
                "x-key=dG9r%C3%A9",
                "x!key=dG9r",
                "connection=dG9r",
                "content-type=dG9r",
            ] {
                let variables = [GRPC, ("OTEL_EXPORTER_OTLP_HEADERS", header)];
                let (endpoint, warnings) = read(&variables, Signal::Traces);
                assert!(endpoint.unwrap().headers.is_empty(), "{header}");
                assert_eq!(warnings.len(), 1, "{warnings:?}");
                assert!(!warnings[0].contains("dG9r"), "{warnings:?}");
            }
        }

        #[test]
        fn an_endpoint_in_code_has_no_path() {
            assert!(Endpoint::grpc("http://h:4317/").is_ok());
            let error = Endpoint::grpc("http://h:4317/v1/traces").unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("accepted: a URL such as http://localhost:4317")
            );
        }
    }
}
