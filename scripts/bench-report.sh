#!/usr/bin/env bash
# The whole comparison, as docs/measurements.md has it: some ten minutes. Leaves the table, all
# figures and the picture in target/bench/. Arguments are passed on, such as `--workers 2,4,8`.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${CARGO_TARGET_DIR:-target}/bench"
mkdir -p "$out"
out=$(cd "$out" && pwd)
cargo bench --bench compare -- --json "$out/compare.json" --plot "$out/compare.svg" "$@" >"$out/compare.txt"
sed -n '/^ratio to tokio/,$p' "$out/compare.txt"
