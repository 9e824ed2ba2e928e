//! A token that is put wherever an operator may have a secret appears nowhere but in the header that
//! is meant to carry it: in no span or metric, warning, dump, flight record or message of a panic.
//!
//! Variables belong to a whole program, so each case is a process of its own: this very test binary,
//! which runs the program below.
#![cfg(all(feature = "otlp", feature = "tls", unix))]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use telemetry_rt::otel::Otel;
use telemetry_rt::runtime::{Builder, Runtime};
use telemetry_rt::task;
use tempfile::TempDir;

/// The secret. Not to be found in this binary, whose text may be quoted.
fn token() -> String {
    format!("{}{}", "canary", u64::MAX / 7)
}

// ----- the program -----

#[test]
#[ignore = "run by the other tests, each time in an environment of its own"]
fn program() {
    let otel = Otel::from_env();
    println!("{otel:?} {:?}", otel.warnings());
    let mut builder = Builder::new_multi_thread();
    let runtime: Runtime = builder
        .worker_threads(1)
        .enable_all()
        .otel(otel)
        .build()
        .unwrap();
    println!("{runtime:?}");
    runtime.block_on(async {
        let named = task::Builder::new().name("named");
        named.spawn(async {}).await.unwrap();
        let failed = task::spawn(async { panic!("on purpose") }).await;
        println!("{failed:?}");
        println!("{:?}", runtime.handle().dump_tasks());
    });
    println!("{:?}", runtime.flush(Duration::from_secs(2)));
    println!("{:?}", runtime.shutdown(Duration::from_secs(2)));
}

// ----- who watches it -----

/// Answers each request in the same way, and keeps the heads and the bodies.
struct Collector {
    address: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    heads: Vec<u8>,
    bodies: Vec<u8>,
}

impl Collector {
    fn start(status: &'static str) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), status, &shared);
            }
        });
        Collector { address, seen }
    }
}

/// One request, if it is one.
fn serve(mut stream: &TcpStream, status: &str, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(stream);
    if reader
        .fill_buf()
        .is_ok_and(|bytes| bytes.starts_with(b"\x16"))
    {
        let _ = stream.write_all(b"HTTP/1.1 400 This is no place for TLS\r\n\r\n");
        return;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match reader.read_until(b'\n', &mut head) {
            Ok(1..) => {}
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = reader.read_exact(&mut body);
    let mut seen = seen.lock().unwrap();
    seen.heads.extend(head);
    seen.bodies.extend(body);
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

fn holds(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// All that the program has said or written. It ends well.
#[track_caller]
fn said(variables: &[(&str, OsString)]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "program", "--ignored", "--nocapture"]);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy().to_uppercase();
        if text.starts_with("OTEL_") || text.contains("PROXY") {
            command.env_remove(name);
        }
    }
    let output = command
        .env("OTEL_RUST_EXECUTOR_FLIGHT_DIR", folder.path())
        .env("DATABASE_PASSWORD", token())
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut said = [output.stdout, output.stderr].concat();
    assert!(holds(&said, "on purpose"), "the panic is told");
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        said.extend(path.as_os_str().as_bytes());
        said.extend(fs::read(path).unwrap());
    }
    said
}

#[track_caller]
fn assert_keeps(variables: &[(&str, String)]) -> String {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, OsString::from(value)))
        .collect();
    let said = said(&variables);
    let text = String::from_utf8_lossy(&said).into_owned();
    assert!(!holds(&said, &token()), "{variables:?}: {text}");
    text
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

fn header() -> (&'static str, String) {
    (
        HEADERS,
        format!("x-api-key={0},authorization=Bearer%20{0}", token()),
    )
}

fn endpoint(address: &str) -> (&'static str, String) {
    (
        ENDPOINT,
        format!("http://user:{0}@{address}/?key={0}", token()),
    )
}

#[test]
fn a_collector_is_told_in_the_head_and_nowhere_else() {
    for status in ["200 OK", "400 Bad Request", "307 Moved"] {
        let collector = Collector::start(status);
        assert_keeps(&[header(), endpoint(&collector.address)]);
        let seen = collector.seen.lock().unwrap();
        assert!(holds(&seen.heads, &token()), "it is who should know");
        assert!(holds(&seen.bodies, "named"));
        assert!(!holds(&seen.bodies, &token()));
    }
}

#[test]
fn errors_about_a_collector_that_is_not_there_keep_it() {
    let text = assert_keeps(&[header(), endpoint("127.0.0.1:1")]);
    assert!(
        text.contains("not exported: POST http://127.0.0.1:1/v1/traces"),
        "{text}"
    );
    let proxy = format!("http://user:{}@127.0.0.1:1", token());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let text = assert_keeps(&[
            header(),
            endpoint("collector.invalid"),
            (name, proxy.clone()),
        ]);
        assert!(
            text.contains("not exported: POST http://collector.invalid/v1/traces"),
            "{text}"
        );
    }
}

#[test]
fn errors_about_a_collector_that_speaks_otherwise_keep_it() {
    let collector = Collector::start("200 OK");
    let url = format!("https://user:{0}@{1}/?key={0}", token(), collector.address);
    let text = assert_keeps(&[header(), (ENDPOINT, url)]);
    assert!(
        text.contains("not exported: POST https://127.0.0.1"),
        "{text}"
    );
}

#[test]
fn what_is_not_understood_in_a_url_or_a_header_is_not_quoted() {
    for url in [
        "htp://user:TOKEN@h",
        "user:TOKEN@h",
        "http://h:port/?TOKEN",
        "http://TOKEN@h:x",
    ] {
        let text = assert_keeps(&[(ENDPOINT, url.replace("TOKEN", &token()))]);
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT is"), "{text}");
    }
    let collector = Collector::start("200 OK");
    for headers in [
        "authorization: Bearer TOKEN",
        "TOKEN",
        "x y=TOKEN",
        "a=TOKEN\u{7f}",
    ] {
        let headers = headers.replace("TOKEN", &token());
        let url = format!("http://{}", collector.address);
        let text = assert_keeps(&[(ENDPOINT, url), (HEADERS, headers)]);
        assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{text}");
    }
}

#[test]
fn a_key_in_the_place_of_its_path_is_not_quoted() {
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        token()
    );
    for name in ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"] {
        let name = format!("OTEL_EXPORTER_OTLP_{name}");
        let one_line = key.replace('\n', "\\n");
        for key in [&key, &one_line] {
            let url = "https://localhost:1".to_owned();
            let text = assert_keeps(&[(ENDPOINT, url), (&name, key.clone())]);
            assert!(text.contains("; no traces are sent"), "{text}");
        }
    }
}

#[test]
fn variables_that_are_no_text_are_said_and_do_no_harm() {
    let collector = Collector::start("200 OK");
    let url = OsString::from(format!("http://{}", collector.address));
    let evil = OsStr::from_bytes(b"\xff\xfe\x1b[2J\n=,%zz").to_owned();
    for name in [
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SERVICE_NAME",
        HEADERS,
        "OTEL_TRACES_SAMPLER",
        "OTEL_PROPAGATORS",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_RUST_EXECUTOR_TASK_NAMES_TO_TRACE",
    ] {
        let said = said(&[(ENDPOINT, url.clone()), (name, evil.clone())]);
        let text = String::from_utf8_lossy(&said);
        assert!(
            text.contains(&format!("{name} is no text; accepted: UTF-8")),
            "{name}: {text}"
        );
        assert!(!text.contains('\x1b'), "{text}");
    }
    assert!(holds(&collector.seen.lock().unwrap().bodies, "named"));
}

#[test]
fn values_of_variables_reach_no_terminal_as_they_are_nor_at_any_length() {
    let collector = Collector::start("200 OK");
    let url = OsString::from(format!("http://{}", collector.address));
    let evil = "\u{1b}[2J\r\nx".repeat(10_000);
    for name in [
        "OTEL_TRACES_SAMPLER",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_RUST_EXECUTOR_STALL",
    ] {
        let said = said(&[(ENDPOINT, url.clone()), (name, evil.clone().into())]);
        let text = String::from_utf8_lossy(&said);
        assert!(!text.contains('\u{1b}'), "{name}");
        let warnings = text
            .lines()
            .filter(|line| line.starts_with("telemetry_rt: "));
        assert!(warnings.clone().any(|line| line.contains(name)));
        assert!(warnings.clone().all(|line| line.len() < 10_000), "{name}");
    }
}
