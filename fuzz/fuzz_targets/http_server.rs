//! See the function of this name in `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetry_rt_fuzz::http_server(bytes));
