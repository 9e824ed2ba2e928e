#!/usr/bin/env bash
# Shows that every workload runs on every contender, computes what it should, and that telemetry_rt
# records all of it: under half a minute once it is built. The figures mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo bench --bench compare -- --quick "$@"
