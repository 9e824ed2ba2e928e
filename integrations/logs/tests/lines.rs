//! What does a line look like, whatever is in it?

mod support;

use std::fmt;

use serde_json::{Value, json};
use support::Kept;
use telemetry_rt_logs::{JsonFields, TextFields, TraceFormat};
use tracing::Subscriber;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::prelude::*;

/// The lines that are written, each by one write.
fn lines<N>(format: TraceFormat, fields: N, write: impl FnOnce()) -> Vec<String>
where
    N: for<'w> FormatFields<'w> + Send + Sync + 'static,
{
    let kept = Kept::default();
    tracing::subscriber::with_default(subscriber(format, fields, &kept), write);
    kept.take()
}

fn subscriber<N>(format: TraceFormat, fields: N, kept: &Kept) -> impl Subscriber + use<N>
where
    N: for<'w> FormatFields<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format)
        .fmt_fields(fields)
        .with_ansi(false)
        .with_writer(kept.clone());
    tracing_subscriber::registry().with(layer)
}

fn text(write: impl FnOnce()) -> Vec<String> {
    lines(TraceFormat::text(), TextFields, write)
}

/// Parsed lines, without what differs from run to run.
fn json(write: impl FnOnce()) -> Vec<Value> {
    let written = lines(TraceFormat::json().service_name("shop"), JsonFields, write);
    written.iter().map(|line| same_each_time(line)).collect()
}

fn same_each_time(line: &str) -> Value {
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    let mut value: Value = serde_json::from_str(line).expect(line);
    let object = value.as_object_mut().unwrap();
    let time = object.remove("timestamp").unwrap();
    let time = time.as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    assert_eq!(object.remove("process").unwrap(), json!(std::process::id()));
    assert!(object.remove("thread").unwrap().as_u64() > Some(0));
    assert!(object.remove("line").unwrap().is_u64());
    object.remove("thread_name");
    value
}

/// A line of text after its time.
fn after_time(line: &str) -> &str {
    line.split_at(28).1
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no number")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// One record of everything.
fn everything() {
    let _request = tracing::info_span!("request", id = 7, user = "Ada").entered();
    let inner = tracing::info_span!("load", shelf = tracing::field::Empty, tries = 1);
    inner.record("shelf", 4);
    inner.record("tries", 2);
    let _inner = inner.entered();
    let error = Outer("x".parse::<i32>().unwrap_err());
    tracing::warn!(
        target: "shop::orders",
        number = -3,
        big = u64::MAX,
        huge = u128::MAX,
        half = 0.5,
        none = f64::NAN,
        yes = true,
        text = "a \"b\"\n",
        debug = ?Some("x"),
        error = &error as &dyn std::error::Error,
        level = "forged",
        "order {} stored",
        12
    );
}

#[test]
fn json_has_all_that_is_known_and_fields_apart() {
    let expected = json!({
        "level": "WARN",
        "target": "shop::orders",
        "message": "order 12 stored",
        "fields": {
            "number": -3,
            "big": u64::MAX,
            "huge": u128::MAX.to_string(),
            "half": 0.5,
            "none": "NaN",
            "yes": true,
            "text": "a \"b\"\n",
            "debug": "Some(\"x\")",
            "error": "no number: invalid digit found in string",
            "level": "forged",
        },
        "spans": [
            {"name": "request", "fields": {"id": 7, "user": "Ada"}},
            {"name": "load", "fields": {"shelf": 4, "tries": 2}},
        ],
        "service.name": "shop",
        "filename": file!(),
        "module": module_path!(),
    });
    assert_eq!(json(everything), [expected]);
}

#[test]
fn text_has_what_people_want() {
    let lines = text(everything);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        after_time(&lines[0]),
        " WARN shop::orders: order 12 stored number=-3 big=18446744073709551615 \
         huge=340282366920938463463374607431768211455 half=0.5 none=NaN yes=true \
         text=\"a \\\"b\\\"\\n\" debug=Some(\"x\") \
         error=\"no number: invalid digit found in string\" level=\"forged\" \
         in request{id=7 user=\"Ada\"}:load{tries=1 shelf=4 tries=2}\n"
    );
}

#[test]
fn no_content_makes_a_second_line_or_reaches_the_terminal() {
    const EVIL: &str = "x\n2026-01-01T00:00:00.000000Z ERROR forged\r\u{1b}[2J\u{202e}\u{2028}";
    let evil = || {
        let _span = tracing::info_span!("span", field = %EVIL).entered();
        tracing::info!(field = %EVIL, quoted = EVIL, "{EVIL}");
    };
    let shown = "x\\n2026-01-01T00:00:00.000000Z ERROR forged\\r\\u{1b}[2J\\u{202e}\\u{2028}";
    let lines = text(evil);
    assert_eq!(lines.len(), 1);
    let line = lines[0].strip_suffix('\n').unwrap();
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    assert_eq!(line.matches(shown).count(), 4, "{line}");

    let parsed = json(evil);
    assert_eq!(parsed[0]["message"], EVIL);
    assert_eq!(parsed[0]["fields"], json!({"field": EVIL, "quoted": EVIL}));
    assert_eq!(parsed[0]["spans"][0]["fields"]["field"], EVIL);
}

#[test]
fn fields_of_spans_that_others_format_are_escaped_as_well() {
    use tracing_subscriber::fmt::format::DefaultFields;
    let write = || {
        let _span = tracing::info_span!("span", field = %"a\nb\u{1b}").entered();
        tracing::info!("within");
    };
    let lines_of_text = lines(TraceFormat::text(), DefaultFields::new(), write);
    let line = lines_of_text[0].strip_suffix('\n').unwrap();
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    let lines_of_json = lines(TraceFormat::json(), DefaultFields::new(), write);
    let fields = &same_each_time(&lines_of_json[0])["spans"][0]["fields"];
    assert!(fields.as_str().unwrap().starts_with("field=a"), "{fields}");
}

#[test]
fn a_value_that_cannot_be_formatted_costs_no_other() {
    struct Refuses;
    impl fmt::Debug for Refuses {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    let write = || tracing::info!(before = 1, value = ?Refuses, after = 2, "{:?}", Refuses);
    assert_eq!(
        json(write)[0]["fields"],
        json!({"before": 1, "value": "", "after": 2})
    );
    assert!(text(write)[0].ends_with(" before=1 value= after=2\n"));
}

#[test]
fn a_record_without_a_message_or_fields_is_a_record() {
    let write = || tracing::info!(target: "t", a = 1);
    assert_eq!(after_time(&text(write)[0]), " INFO t: a=1\n");
    let parsed = &json(write)[0];
    assert_eq!(parsed.get("message"), None);
    assert_eq!(parsed["fields"], json!({"a": 1}));
    assert_eq!(parsed.get("spans"), None);
}
