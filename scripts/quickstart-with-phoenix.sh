#!/usr/bin/env bash
# What does a trace of the quickstart look like to people?
#
#   scripts/quickstart-with-phoenix.sh [PICTURE.png]
#
# Exports a trace with some failures in it to Phoenix (https://pypi.org/project/arize-phoenix), asks
# Phoenix for the tree of spans and compares it, and draws the page that shows it. Phoenix takes some
# 850 MB in target/phoenix and half a minute to start, so .ci/run leaves this out.
#
# Exit status: 0 the tree is right; 1 it is not; 77 Phoenix or a browser cannot be had.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
here=$PWD/target/phoenix
picture=${1:-$here/trace.png}
# Where Phoenix keeps traces, and what is hashed: both new each time.
data=$here/data
files=$here/files

# Behind each name, `!` if the span is marked as an error. All have the one root above.
EXPECTED='quickstart
  hash_file
    sha256_of
  hash_file
    sha256_of
  hash_file
    sha256_of
  hash_file
    sha256_of
  hash_file !
    sha256_of !
  panics !
  is_aborted
  times_out !
  returns_err !'

main() {
    need python3 python3.11 curl
    mkdir -p "$here"
    fetch_browser "$here"
    install_phoenix
    cargo build --quiet --release --example quickstart
    make_files
    start_phoenix
    run_quickstart
    compare
    draw
}

install_phoenix() {
    [ -x "$here/venv/bin/phoenix" ] && return
    { python3.11 -m venv "$here/venv" &&
        "$here/venv/bin/pip" install --quiet --disable-pip-version-check arize-phoenix; } ||
        give_up "pip cannot have arize-phoenix"
}

# Of different sizes, so that they take different times.
make_files() {
    local number
    rm -rf "$files" && mkdir -p "$files"
    for number in 1 2 3 4; do
        head -c $((number * number * 300000)) /dev/zero >"$files/$number"
    done
}

start_phoenix() {
    phoenix=127.0.0.1:$(free_port)
    rm -rf "$data" && mkdir -p "$data"
    PHOENIX_HOST="${phoenix%:*}" PHOENIX_PORT="${phoenix#*:}" PHOENIX_GRPC_PORT=$(free_port) \
        PHOENIX_WORKING_DIR="$data" PHOENIX_TELEMETRY_ENABLED=false \
        PHOENIX_ALLOW_EXTERNAL_RESOURCES=false \
        "$here/venv/bin/phoenix" serve >"$here/phoenix.log" 2>&1 &
    started+=($!)
    wait_for "http://$phoenix/healthz" || give_up "Phoenix does not start; see $here/phoenix.log"
}

# The status is 1: one file is made not to be readable.
run_quickstart() {
    OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=none \
        OTEL_EXPORTER_OTLP_ENDPOINT="http://$phoenix" OTEL_EXPORTER_OTLP_COMPRESSION=gzip \
        target/release/examples/quickstart --with-failures "$files" 2>/dev/null | tail -n 2 || true
}

# Phoenix answers before it has stored what it got.
compare() {
    local found=
    for _ in $(seq 20); do
        found=$(tree)
        [ "$found" = "$EXPECTED" ] && echo "Phoenix has the tree that was expected" && return
        sleep 1
    done
    wrong "Phoenix has another tree than was expected: $found"
}

tree() {
    curl --silent --fail "http://$phoenix/v1/projects/default/spans?limit=1000" | python3 -c '
import json, sys
spans = json.load(sys.stdin)["data"]
def draw(parent, depth):
    below = [span for span in spans if span["parent_id"] == parent]
    for span in sorted(below, key=lambda span: span["start_time"]):
        mark = " !" if span["status_code"] == "ERROR" else ""
        print("  " * depth + span["name"] + mark)
        draw(span["context"]["span_id"], depth + 1)
draw(None, 0)'
}

draw() {
    local project trace
    project=$(first projects id)
    trace=$(first projects/default/spans context trace_id)
    BROWSER_TOOLS=$here node scripts/picture.mjs \
        "http://$phoenix/projects/$project/traces/$trace" "$picture" 1500 980 .drawer panics
    echo "drawn: $picture"
}

# Of the first entry of a list, what these keys lead to.
first() {
    curl --silent --fail "http://$phoenix/v1/$1" | python3 -c '
import functools, json, sys
print(functools.reduce(lambda entry, key: entry[key], sys.argv[1:], json.load(sys.stdin)["data"][0]))
' "${@:2}"
}

main
