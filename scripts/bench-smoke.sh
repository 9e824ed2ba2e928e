#!/usr/bin/env bash
# Do the benchmarks work?
#
#   scripts/bench-smoke.sh
#
# The parts of the harness are tested; then every workload runs on every contender, computes what it
# should, and telemetry_rt records all of it: some ten seconds, once all is built. The figures mean
# nothing.
#
# Exit status: 0 all is so; any other: something is not.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo test --quiet --manifest-path benches/inert/Cargo.toml --target-dir "$target/compare/inert"
cargo bench --quiet --bench compare -- --quick "$@"
