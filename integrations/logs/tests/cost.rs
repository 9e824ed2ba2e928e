//! What does a record cost? Run by hand:
//! `cargo test --release -p telemetry_rt-logs --test cost -- --ignored --nocapture`.

use std::time::Instant;

use telemetry_rt::otel::{InMemory, Otel};
use telemetry_rt::runtime::Builder;
use telemetry_rt_logs::{JsonFields, TextFields, TraceFormat};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::prelude::*;

const RECORDS: u32 = 200_000;

fn nanos<N>(format: TraceFormat, fields: N) -> u128
where
    N: for<'w> FormatFields<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format)
        .fmt_fields(fields)
        .with_ansi(false)
        .with_writer(std::io::sink);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let begun = Instant::now();
        for number in 0..RECORDS {
            tracing::info!(number, customer = "Ada", "order stored");
        }
        begun.elapsed().as_nanos() / u128::from(RECORDS)
    })
}

#[test]
#[ignore = "measures, and holds nothing"]
fn records_with_and_without_ids() {
    let otel = Otel::builder().exporter(InMemory::new()).build();
    let runtime = Builder::new_current_thread().otel(otel).build().unwrap();
    runtime.block_on(async {
        for _ in 0..5 {
            let text = |ids| nanos(TraceFormat::text().include_trace(ids), TextFields);
            let json = |ids| nanos(TraceFormat::json().include_trace(ids), JsonFields);
            println!(
                "text {} ns, with ids {} ns; JSON {} ns, with ids {} ns",
                text(false),
                text(true),
                json(false),
                json(true)
            );
        }
    });
}
