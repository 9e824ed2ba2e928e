//! What is said about collectors in trouble: a line for each change, and nothing that a terminal
//! obeys. Alone in its test binary, because only so many lines are said in a while.

mod common;
#[path = "collector/faulty.rs"]
#[expect(dead_code, reason = "what arrives is not looked at here")]
mod faulty;

use std::time::Duration;

use common::{Bench, LONG, keep_warnings, warnings};
use faulty::{Fault, Faulty};
use telemetry_rt_telemetry::export::Otel;
use telemetry_rt_telemetry::export::otlp::{Endpoint, Otlp};

fn bench(collector: &Faulty) -> Bench {
    keep_warnings();
    let endpoint = |signal| {
        let endpoint = Endpoint::new(&collector.url(signal)).unwrap();
        Some(endpoint.timeout(Duration::from_millis(300)))
    };
    let otlp = Otlp::to(endpoint("traces"), endpoint("metrics"));
    Bench::new(Otel::builder().exporter(otlp).build())
}

#[test]
fn one_word_when_it_begins_to_fail_and_one_when_it_works_again_for_both_signals() {
    let refused = || Fault::answer(400, "", b"no");
    // Each flush is a batch of spans and the metrics.
    let collector = Faulty::start([(); 6].map(|()| refused()));
    let bench = bench(&collector);
    for _ in 0..5 {
        bench.run_many(100);
        assert!(bench.flush().completed);
    }
    let spans = bench.shutdown(LONG).spans;
    assert_eq!((spans.exported, spans.dropped.export_failed), (200, 300));
    assert_eq!(warnings(&collector.url("traces")).len(), 1);
    assert_eq!(warnings(&collector.url("metrics")).len(), 0);
}

#[test]
fn no_explanation_reaches_a_terminal_as_it_is() {
    let text = b"bad\xff\0\x1b[2J\r\nFAKE LINE";
    // As partial success: field 1, with the number 4 and this text.
    let body = [
        &[0x0a, 4 + text.len() as u8, 0x08, 4, 0x12, text.len() as u8],
        &text[..],
    ]
    .concat();
    for fault in [
        Fault::answer(400, "", text),
        Fault::answer(200, "", &body),
        Fault::at_once([b"HTTP/1.1 400 ".as_slice(), text, b"\r\n\r\n"].concat()),
    ] {
        let collector = Faulty::start([fault]);
        let bench = bench(&collector);
        bench.run("fetch");
        bench.flush();
        bench.shutdown(LONG);
    }
    let said = warnings("");
    assert!(
        said.iter()
            .filter(|line| line.contains("FAKE LINE"))
            .count()
            >= 2,
        "{said:?}"
    );
    assert!(
        !said.iter().any(|line| line.contains(char::is_control)),
        "{said:?}"
    );
    assert!(said.iter().all(|line| line.len() < 1000), "{said:?}");
}
