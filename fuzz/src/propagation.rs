//! What do headers of strangers become? The formats are read by OpenTelemetry's propagators, which
//! the runtime installs: whatever comes in, what goes out again is well-formed.

use std::collections::HashMap;
use std::sync::Once;

use opentelemetry::global;
use opentelemetry::trace::TraceContextExt;
use telemetry_rt_telemetry::export::Otel;

/// Makes the propagators those of the process that a runtime does.
fn install() {
    static INSTALLED: Once = Once::new();
    let get = |name: &str| (name == "OTEL_PROPAGATORS").then(|| "tracecontext,baggage".to_owned());
    INSTALLED.call_once(|| Otel::from_variables(&get).install_propagators());
}

/// Three lines: `traceparent`, `tracestate`, `baggage`; without control characters, which whatever
/// reads headers refuses.
pub fn propagation(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let names = ["traceparent", "tracestate", "baggage"];
    let headers: HashMap<String, String> = names
        .into_iter()
        .zip(text.splitn(3, '\n'))
        .map(|(name, value)| (name.to_owned(), value.replace(char::is_control, "")))
        .collect();
    install();
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    let remote = context.span().span_context().clone();
    assert!(!remote.is_valid() || remote.is_remote());
    let mut out = HashMap::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut out));
    for (name, value) in &out {
        assert!(!value.contains(char::is_control), "{name}: {value:?}");
    }
    if remote.is_valid() {
        assert_eq!(out["traceparent"].len(), 55);
    }
}
