#!/usr/bin/env bash
# What does telemetry_rt cost, compared with others?
#
#   scripts/bench-report.sh [OPTIONS OF benches/compare]
#
# Some five minutes. Leaves the whole table, the figures and the picture in target/bench/, and says
# the ratios. The machine should have nothing else to do.
#
# Exit status: 0 all contenders took part and recorded what they ran; any other: they did not.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${CARGO_TARGET_DIR:-target}/bench
mkdir -p "$out"
out=$(cd "$out" && pwd)
status=0
cargo bench --bench compare -- --json "$out/compare.json" --plot "$out/compare.svg" "$@" \
    >"$out/compare.txt" || status=$?
sed -n '/^ratio to tokio/,$p' "$out/compare.txt"
exit "$status"
