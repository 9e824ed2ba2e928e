#!/usr/bin/env bash
# What does a request cost on telemetry_rt, next to axum on tokio without and with OpenTelemetry?
#
#   scripts/bench-http.sh [OPTIONS OF benches/http/measure.py]
#
# Some five minutes. Prints a table, and leaves all figures in target/bench/http.json. The load is
# wrk; the machine should have nothing else to do. What the contenders are is said in
# benches/http/src/bin.
#
# Exit status: 0 all responses were right, and all spans were exported; 1 they were not; 77 a program
# that is not ours cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

need cargo python3
command -v wrk >/dev/null || debian_package wrk
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench"
cargo build --quiet --release --manifest-path benches/http/Cargo.toml --target-dir "$target/bench-http"
python3 benches/http/measure.py --programs "$target/bench-http/release" \
    --json "$target/bench/http.json" "$@"
