//! Records of `log`: are they as those of `tracing`?

mod support;

use serde_json::json;
use support::Kept;
use telemetry_rt_logs::{Format, Logs};

#[test]
fn a_record_of_log_keeps_its_target_its_place_and_its_ids() {
    let kept = Kept::default();
    let _logs = Logs::builder()
        .format(Format::Json)
        .filter("warn,shop=debug")
        .writer(kept.clone())
        .init()
        .unwrap();
    let (runtime, _memory) = support::runtime();
    let line = line!() + 2;
    let trace = runtime.block_on(async {
        log::debug!(target: "shop", "a \"b\"\n");
        log::info!("of another target, and not wanted");
        support::ids().0
    });
    let lines = kept.take_json();
    assert_eq!(lines.len(), 1);
    let first = &lines[0];
    assert_eq!(first["target"], "shop");
    assert_eq!(first["level"], "DEBUG");
    assert_eq!(first["message"], "a \"b\"\n");
    assert_eq!(first["filename"], file!());
    assert_eq!(first["line"], line);
    assert_eq!(first["module"], module_path!());
    assert_eq!(first["fields"], json!({}));
    assert_eq!(first["trace_id"], trace.to_string());
    assert_eq!(log::max_level(), log::LevelFilter::Debug);
}
