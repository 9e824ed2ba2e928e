//! Whether the short way says what the long way says.

use std::panic::Location;

use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use opentelemetry_sdk::trace::SpanLimits;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use telemetry_rt_clock::Ticks;

use super::*;
use crate::export::otlp::user::tests::shorten;
use crate::export::{InMemory, Otel};
use crate::record::{Lineage, Meta, Recorder, Spawning};

static TASK: Meta = Meta::of::<u8, Result<(), String>>(ProcessType::Task);
static BLOCKING: Meta = Meta::of::<u16, ()>(ProcessType::Blocking);
static FUTURE: Meta = Meta::of::<u32, ()>(ProcessType::Future);

/// A recorder that knows four kinds: one of each type of process, and the overflow of tasks.
fn recorder() -> Recorder {
    let otel = Otel::builder().exporter(InMemory::new()).build();
    let mut config = otel.recorder_config(1);
    config.kind_limit = 3;
    let recorder = Recorder::new(config);
    for (meta, name) in [
        (&TASK, None),
        (&BLOCKING, None),
        (&FUTURE, None),
        (&TASK, Some("too many")),
    ] {
        drop(recorder.spawned(Spawning {
            meta,
            name,
            site: Location::caller(),
            lineage: Lineage::Inherit,
        }));
    }
    assert_eq!(recorder.kinds().len(), 4);
    assert!(recorder.kinds()[3].is_overflow());
    recorder
}

/// Small numbers and those around powers of two, up to the largest.
fn number() -> impl Strategy<Value = u64> {
    let near = (0_u32..64, -1_i64..=1).prop_map(|(bit, by)| (1_u64 << bit).wrapping_add_signed(by));
    prop_oneof![Just(0), 0_u64..300, near, any::<u64>()]
}

fn records() -> impl Strategy<Value = SpanRecord> {
    let ids = (any::<u128>(), any::<u64>(), number(), any::<bool>());
    let times = (
        number(),
        number(),
        number(),
        number(),
        prop::array::uniform5(number()),
    );
    let counts = (number(), 0_u32..4, number(), number(), any::<u16>());
    let thread = prop::option::of("[a-zä-ü ]{0,130}");
    let outcome = prop::sample::select(&Outcome::ALL[..]);
    (ids, times, counts, thread, outcome).prop_map(|(ids, times, counts, thread, outcome)| {
        let (start, length, busy, scheduled, idle) = times;
        SpanRecord {
            trace_id: ids.0.into(),
            span_id: ids.1.into(),
            parent_span_id: ids.2.into(),
            parent_is_remote: ids.3,
            spawner: None,
            start: Ticks(start),
            end: Ticks(start.saturating_add(length)),
            busy,
            scheduled,
            // What the recorder keeps of idle times adds up to no more than there was.
            idle: idle.map(|ticks| ticks / 8 % (length / 8).max(1)),
            task_id: counts.0,
            kind: counts.1,
            polls: counts.2 as u32,
            wakes: counts.3 as u32,
            migrations: counts.4,
            outcome,
            thread: thread.map(Into::into),
            extras: None,
            polls_noted: None,
            poll: None,
        }
    })
}

fn written(
    writer: &mut SpanWriter,
    record: &SpanRecord,
    calendar: &Calendar,
    converter: &mut Converter,
) -> Span {
    let mut wire = Wire::default();
    writer.write(&mut wire, record, calendar, converter);
    let mut spans = ScopeSpans::decode(wire.written())
        .expect("it is a message")
        .spans;
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn by_library(record: &SpanRecord, calendar: &Calendar, converter: &mut Converter) -> Span {
    let mut span = converter.convert(record, calendar);
    shorten(&mut span);
    Span::from(span)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_record_is_written_as_the_library_writes_it(records in prop::collection::vec(records(), 1..10)) {
        let recorder = recorder();
        let few = SpanLimits { max_attributes_per_span: 11, ..SpanLimits::default() };
        for (limits, length) in [
            (SpanLimits::default(), None),
            (SpanLimits::default(), Some(5)),
            (few, None),
        ] {
            let mut converter = Converter::new(recorder.clone(), limits, length);
            let mut writer = SpanWriter::default();
            // One for both ways: other tests measure the scale of the clock anew meanwhile.
            let calendar = Calendar::of_tests();
            for record in &records {
                let written = written(&mut writer, record, &calendar, &mut converter);
                prop_assert_eq!(written, by_library(record, &calendar, &mut converter));
            }
        }
    }
}

#[test]
fn a_plain_record_takes_the_short_way() {
    let recorder = recorder();
    let mut converter = Converter::new(recorder, SpanLimits::default(), None);
    let mut writer = SpanWriter::default();
    for (kind, outcome, is_short) in [
        (0, Outcome::Finished, true),
        (0, Outcome::Failed, true),
        (0, Outcome::Cancelled, true),
        (1, Outcome::Finished, true),
        (3, Outcome::Finished, true),
        (0, Outcome::Panicked, false),
    ] {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let record = records().new_tree(&mut runner).unwrap().current();
        let record = SpanRecord {
            kind,
            outcome,
            thread: None,
            ..record
        };
        let form = writer.form_of(&record, &mut converter);
        assert_eq!(matches!(form, Form::Short { .. }), is_short, "{record:?}");
    }
}
