//! What does a collector get, and what is said when it gets nothing?
//!
//! The subscriber and the environment are one for each process, so each situation is a child of the
//! test program: a test that is ignored unless it is named.
#![cfg(feature = "otlp")]

mod support;

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use support::collector::{Collector, Posted};
use telemetry_rt::task;
use telemetry_rt_logs::{Format, Logs};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What a child has said.
struct Said {
    out: String,
    err: String,
    took: Duration,
}

impl Said {
    fn lost(&self) -> u64 {
        let lost = self.out.lines().find_map(|line| line.strip_prefix("lost "));
        lost.expect(&self.out).parse().unwrap()
    }
}

fn run(child: &str, variables: &[(&str, &str)]) -> Said {
    let begun = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = Said {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        took: begun.elapsed(),
    };
    assert!(output.status.success(), "{}\n{}", said.out, said.err);
    said
}

/// All records of requests, and the name of the scope of each.
fn records(posted: &[Posted]) -> Vec<(String, LogRecord)> {
    let mut records = Vec::new();
    for request in posted {
        for resource in request.logs().resource_logs {
            for scope in resource.scope_logs {
                let name = scope.scope.unwrap().name;
                let named = |record| (name.clone(), record);
                records.extend(scope.log_records.into_iter().map(named));
            }
        }
    }
    records
}

fn body(record: &LogRecord) -> &str {
    match &record.body.as_ref().unwrap().value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// Attributes as `name=value`, in order of their names.
fn attributes(attributes: &[KeyValue]) -> Vec<String> {
    let shown = |value: &Option<AnyValue>| match value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let mut all: Vec<String> = attributes
        .iter()
        .map(|pair| format!("{}={}", pair.key, shown(&pair.value)))
        .collect();
    all.sort();
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "run by others"]
fn child_one() {
    let logs = Logs::builder()
        .format(Format::None)
        .shutdown_timeout(Duration::from_secs(3))
        .init()
        .unwrap();
    tracing::info!("one");
    logs.flush();
    println!("\nlost {}", logs.lost());
}

#[test]
#[ignore = "run by others"]
fn child_many() {
    let logs = Logs::builder()
        .shutdown_timeout(Duration::from_millis(300))
        .writer(std::io::sink)
        .init()
        .unwrap();
    for number in 0..100 {
        tracing::info!(number, "many");
    }
    println!("\nlost {}", logs.lost());
}

#[test]
#[ignore = "run by others"]
fn child_borrowed() {
    let _logs = Logs::builder().format(Format::None).init().unwrap();
    // As in a task of a runtime that exports nothing.
    let none = Context::new().with_remote_span_context(SpanContext::NONE);
    let _inside = none.attach();
    // As in a sampler that the API calls for a new span.
    Context::map_current(|_| tracing::info!("sampled"));
}

/// Where the record of `log` in `child_tasks` stands.
const LOG_LINE: u32 = line!() + 17;

#[test]
#[ignore = "run by others"]
fn child_tasks() {
    let _logs = Logs::builder().format(Format::None).init().unwrap();
    let (runtime, memory) = support::runtime();
    runtime.block_on(async {
        let task = task::Builder::new().name("task").spawn(async {
            let _span = tracing::info_span!("load", shelf = 4).entered();
            tracing::warn!(name: "order.stored", target: "shop", id = 12, "order stored");
        });
        task.await.unwrap();
        let hop = task::Builder::new().name("hop");
        let hop = hop.spawn_blocking(|| {
            // One record of `log`, one that is not wanted.
            log::debug!("not wanted");
            log::error!(target: "of.log", "failed");
        });
        hop.await.unwrap();
    });
    drop(runtime);
    tracing::info!("outside");
    for span in memory.spans() {
        let context = &span.span_context;
        println!(
            "\nspan {} {} {}",
            span.name,
            context.trace_id(),
            context.span_id()
        );
    }
}

#[test]
fn a_record_arrives_with_the_ids_of_its_span_and_all_that_is_known_of_it() {
    let collector = Collector::answering("200 OK", Vec::new());
    let said = run(
        "child_tasks",
        &[
            (ENDPOINT, &collector.url),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=se%20cret"),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "shop"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=not,deployment=test",
            ),
        ],
    );
    assert_eq!(said.err.matches("telemetry_rt:").count(), 0, "{}", said.err);
    let posted = collector.next();
    assert_eq!(posted.head[0], "POST /v1/logs HTTP/1.1");
    assert_eq!(posted.header("api-key"), Some("se cret"));
    assert_eq!(posted.header("content-encoding"), Some("gzip"));
    assert_eq!(
        posted.header("content-type"),
        Some("application/x-protobuf")
    );
    let resource = posted.logs().resource_logs[0].resource.clone().unwrap();
    let resource = attributes(&resource.attributes);
    assert!(
        resource.contains(&"service.name=shop".to_owned()),
        "{resource:?}"
    );
    assert!(
        resource.contains(&"deployment=test".to_owned()),
        "{resource:?}"
    );

    let mut records = records(&[posted]);
    records.sort_by_key(|(_, record)| record.time_unix_nano);
    let [(task_scope, task), (hop_scope, hop), (_, outside)] = &records[..] else {
        panic!("{records:#?}");
    };
    assert_eq!((task_scope.as_str(), body(task)), ("shop", "order stored"));
    assert_eq!((task.severity_number, &*task.severity_text), (13, "WARN"));
    assert_eq!(task.event_name, "order.stored");
    assert_eq!(task.flags, 1);
    assert!(task.time_unix_nano > 0 && task.observed_time_unix_nano >= task.time_unix_nano);
    let file = format!("code.file.path={}", file!());
    let line = format!("code.line.number={}", LOG_LINE - 7);
    let expected = [file.as_str(), line.as_str(), "id=12", "shelf=4"];
    assert_eq!(attributes(&task.attributes), expected);

    assert_eq!((hop_scope.as_str(), body(hop)), ("of.log", "failed"));
    assert_eq!((hop.severity_number, &*hop.severity_text), (17, "ERROR"));
    assert_eq!(hop.event_name, "");
    let line = format!("code.line.number={LOG_LINE}");
    assert_eq!(attributes(&hop.attributes), [file.as_str(), line.as_str()]);

    for (name, record) in [("task", task), ("hop", hop)] {
        let (trace, span) = (hex(&record.trace_id), hex(&record.span_id));
        let exported = format!("span {name} {trace} {span}");
        assert!(said.out.contains(&exported), "{exported}: {}", said.out);
    }
    assert_eq!(body(outside), "outside");
    assert!(outside.trace_id.is_empty() && outside.span_id.is_empty());
    assert_eq!(outside.flags, 0);
}

#[test]
fn a_sampler_may_log_where_there_is_no_span_and_there_are_no_ids() {
    let collector = Collector::answering("200 OK", Vec::new());
    let variables = [(ENDPOINT, &*collector.url), ("OTEL_SERVICE_NAME", "shop")];
    run("child_borrowed", &variables);
    let posted = collector.rest();
    let records = records(&posted);
    let (_, record) = &records[0];
    assert_eq!((records.len(), body(record)), (1, "sampled"));
    assert!(record.trace_id.is_empty() && record.span_id.is_empty());
    assert!(record.observed_time_unix_nano >= record.time_unix_nano);
}

#[test]
fn what_the_exporter_does_is_not_exported() {
    let collector = Collector::answering("200 OK", Vec::new());
    let said = run(
        "child_one",
        &[(ENDPOINT, &collector.url), ("RUST_LOG", "trace")],
    );
    assert_eq!(said.lost(), 0, "{}", said.err);
    let records = records(&collector.rest());
    let bodies: Vec<&str> = records.iter().map(|(_, record)| body(record)).collect();
    assert_eq!(bodies, ["one"]);
}

#[test]
fn nothing_is_sent_unless_it_is_asked_for() {
    for (name, value, said_so) in [
        ("OTEL_LOGS_EXPORTER", "none", ""),
        ("OTEL_LOGS_EXPORTER", "console", ""),
        (
            "OTEL_LOGS_EXPORTER",
            "jaeger",
            "OTEL_LOGS_EXPORTER is \"jaeger\"; accepted: otlp, console, none; it is ignored",
        ),
        ("OTEL_SDK_DISABLED", "TRUE", ""),
    ] {
        let collector = Collector::answering("200 OK", Vec::new());
        let said = run("child_one", &[(ENDPOINT, &collector.url), (name, value)]);
        assert!(collector.rest().is_empty(), "{name}={value}");
        assert!(said.err.contains(said_so), "{}", said.err);
        assert_eq!(said.lost(), 0);
        // Lines are not wanted by the child, but `console` wants them.
        let lines = said.err.matches("otlp: one").count();
        assert_eq!(lines, usize::from(value == "console"), "{}", said.err);
    }
}

#[test]
fn the_endpoint_of_the_logs_is_used_as_it_is_and_wins() {
    let (general, specific) = (
        Collector::answering("200 OK", Vec::new()),
        Collector::answering("200 OK", Vec::new()),
    );
    let url = format!("{}/my/logs", specific.url);
    run(
        "child_one",
        &[
            (ENDPOINT, &general.url),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &url),
            ("OTEL_LOGS_EXPORTER", " OTLP ,none"),
        ],
    );
    assert_eq!(specific.next().head[0], "POST /my/logs HTTP/1.1");
    assert!(general.rest().is_empty());
}

#[test]
fn a_collector_on_this_machine_is_not_looked_for_behind_a_proxy() {
    let collector = Collector::answering("200 OK", Vec::new());
    let variables = [
        (ENDPOINT, &*collector.url),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ];
    assert_eq!(run("child_one", &variables).lost(), 0);
}

#[test]
fn a_batch_has_as_many_records_as_the_variable_says() {
    let collector = Collector::answering("200 OK", Vec::new());
    run(
        "child_many",
        &[
            (ENDPOINT, &collector.url),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "30"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "60000"),
        ],
    );
    let posted = collector.rest();
    let sizes = posted.chunks(1).map(|one| records(one).len());
    assert!(sizes.clone().all(|size| size <= 30));
    assert_eq!(sizes.sum::<usize>(), 100);
}

#[test]
fn a_collector_that_is_down_holds_nobody_up_and_the_loss_is_told() {
    // A port that nobody listens on: it was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:secret@{}", free.local_addr().unwrap());
    drop(free);
    let said = run("child_one", &[(ENDPOINT, &url)]);
    assert_eq!(said.lost(), 1);
    let told = "telemetry_rt: 1 log record was not sent: POST http://127.0.0.1:";
    assert!(said.err.contains(told), "{}", said.err);
    assert!(!said.err.contains("secret"), "{}", said.err);
    assert!(said.took < Duration::from_secs(15), "{:?}", said.took);
}

#[test]
fn a_collector_that_never_answers_is_given_up_and_a_full_queue_is_told() {
    // Connections wait in its backlog.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let said = run(
        "child_many",
        &[(ENDPOINT, &url), ("OTEL_BLRP_MAX_QUEUE_SIZE", "8")],
    );
    let told = "dropped: 8 were waiting to be sent (OTEL_BLRP_MAX_QUEUE_SIZE)";
    assert!(said.err.contains(told), "{}", said.err);
    let told = "not sent within 300ms after the end was asked for";
    assert!(said.err.contains(told), "{}", said.err);
    // 8 wait, and as many may have been taken out of the queue before.
    assert!((84..=92).contains(&said.lost()), "{}", said.lost());
    assert_eq!(told_losses(&said.err), 100, "{}", said.err);
    assert!(said.took < Duration::from_secs(8), "{:?}", said.took);
}

/// The sum of all records that warnings speak of.
fn told_losses(err: &str) -> u64 {
    let numbers = err.lines().filter_map(|line| {
        let rest = line.strip_prefix("telemetry_rt: ")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    numbers.sum()
}

#[test]
fn the_timeout_is_that_of_the_variable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let said = run(
        "child_one",
        &[(ENDPOINT, &url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "200")],
    );
    assert_eq!(said.lost(), 1, "{}", said.err);
    assert!(
        said.err.contains("1 log record was not sent: POST"),
        "{}",
        said.err
    );
    assert!(said.err.contains("timeout"), "{}", said.err);
}

#[test]
fn a_refusal_is_told_with_what_the_collector_says() {
    let collector = Collector::answering("400 Bad Request", b"no\nsuch tenant".to_vec());
    let said = run("child_one", &[(ENDPOINT, &collector.url)]);
    assert_eq!(said.lost(), 1);
    assert!(
        said.err.contains("400 Bad Request no\\nsuch tenant"),
        "{}",
        said.err
    );
    assert_eq!(collector.rest().len(), 1, "it is not worth another try");
}

#[test]
fn a_collector_that_has_no_time_is_asked_again() {
    let collector = Collector::answering("503 Service Unavailable", Vec::new());
    let said = run("child_one", &[(ENDPOINT, &collector.url)]);
    assert_eq!(said.lost(), 1, "{}", said.err);
    assert!(said.err.contains("503 Service Unavailable"), "{}", said.err);
    assert!(collector.rest().len() > 1);
}

#[test]
fn records_that_the_collector_leaves_out_are_lost() {
    let reply = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: "too old".to_owned(),
        }),
    };
    let collector = Collector::answering("200 OK", reply.encode_to_vec());
    let said = run("child_one", &[(ENDPOINT, &collector.url)]);
    assert_eq!(said.lost(), 1);
    let told = "1 log record was refused by the collector: too old";
    assert!(said.err.contains(told), "{}", said.err);
}

#[test]
fn what_is_not_understood_is_said_and_the_rest_works() {
    for (name, value, told) in [
        (
            "OTEL_BLRP_MAX_QUEUE_SIZE",
            "0",
            "OTEL_BLRP_MAX_QUEUE_SIZE is \"0\"; accepted: a whole number from 1; 2048 is used",
        ),
        (
            "OTEL_BLRP_SCHEDULE_DELAY",
            "1s",
            "OTEL_BLRP_SCHEDULE_DELAY is \"1s\"; accepted: a whole number from 1; 1000 is used",
        ),
        (
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
            "soon",
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT is \"soon\"; accepted: a whole number from 1; 10000 is",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"; accepted: http/protobuf; http/protobuf is",
        ),
        (
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            "zstd",
            "OTEL_EXPORTER_OTLP_COMPRESSION is \"zstd\"; accepted: gzip, none; none is used",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "dG9r",
            "OTEL_EXPORTER_OTLP_HEADERS has an entry without `=`",
        ),
        (
            "RUST_LOG",
            "otlp=loud",
            "RUST_LOG is \"otlp=loud\"; accepted: directives such as info,shop::orders=debug",
        ),
    ] {
        let collector = Collector::answering("200 OK", Vec::new());
        let said = run("child_one", &[(ENDPOINT, &collector.url), (name, value)]);
        assert!(said.err.contains(told), "{name}: {}", said.err);
        assert!(!said.err.contains("dG9r"), "{}", said.err);
        assert_eq!(records(&collector.rest()).len(), 1, "{name}: {}", said.err);
    }
}

#[test]
fn an_endpoint_that_cannot_be_used_is_named_without_its_secrets() {
    let https = ("https://collector", "accepted: a URL such as");
    for (url, told) in [
        ("collector:4318", "accepted: a URL such as"),
        ("ftp://me:secret@collector", "accepted: a URL such as"),
        ("http://", "accepted: a URL such as"),
        ("http://a b:secret/", "accepted: a URL such as"),
        https,
    ] {
        if cfg!(feature = "tls") && url == https.0 {
            continue;
        }
        let said = run("child_one", &[(ENDPOINT, url)]);
        let start = format!("{ENDPOINT} cannot be used; {told}");
        assert!(said.err.contains(&start), "{url}: {}", said.err);
        assert!(said.err.contains("; no logs are sent"), "{}", said.err);
        assert!(!said.err.contains("secret"), "{}", said.err);
        assert_eq!(said.lost(), 0);
    }
}
