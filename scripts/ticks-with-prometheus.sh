#!/usr/bin/env bash
# Does a real Prometheus understand what a runtime tells it?
#
#   scripts/ticks-with-prometheus.sh
#
# Debian's Prometheus scrapes the example `ticks`, whose tasks take ten milliseconds each, once a
# second. `promtool` has to find nothing to say about the page; Prometheus has to call the target up,
# to find a median of the tasks between 9 and 12 ms, and to have exemplars that name traces.
#
# Exit status: 0 all is so; 1 something is not; 77 Prometheus cannot be had.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
here=$PWD/target/prometheus

# How long the tasks go on, and how long an answer is waited for.
SECONDS_OF_TICKS=120
PATIENCE=30
MEDIAN='histogram_quantile(0.5, sum by (le) (rate(process_duration_seconds_bucket{name="ten_milliseconds"}[10s])))'

main() {
    need python3 curl
    command -v prometheus >/dev/null || debian_package prometheus
    cargo build --quiet --example ticks
    rm -rf "$here" && mkdir -p "$here"
    target=127.0.0.1:$(free_port)
    server=127.0.0.1:$(free_port)
    start_ticks
    start_prometheus
    check_page
    check_in_prometheus
}

# Spans go to a file: a duration has an exemplar if there is a span to point at.
start_ticks() {
    OTEL_SERVICE_NAME=ticks OTEL_TRACES_EXPORTER=console OTEL_METRICS_EXPORTER=prometheus \
        OTEL_EXPORTER_PROMETHEUS_HOST="${target%:*}" OTEL_EXPORTER_PROMETHEUS_PORT="${target#*:}" \
        target/debug/examples/ticks "$SECONDS_OF_TICKS" >"$here/spans" 2>"$here/ticks.log" &
    started+=($!)
    wait_for "http://$target/metrics" ||
        wrong "nobody answers at $target; see $here/ticks.log"
}

start_prometheus() {
    printf '%s\n' 'global: {scrape_interval: 1s, scrape_timeout: 1s}' 'scrape_configs:' \
        '  - job_name: ticks' "    static_configs: [{targets: [\"$target\"]}]" >"$here/prometheus.yml"
    prometheus --config.file="$here/prometheus.yml" --storage.tsdb.path="$here/data" \
        --web.listen-address="$server" --enable-feature=exemplar-storage \
        >"$here/prometheus.log" 2>&1 &
    started+=($!)
    wait_for "http://$server/-/ready" ||
        give_up "Prometheus does not start; see $here/prometheus.log"
}

check_page() {
    curl --silent --fail "http://$target/metrics" >"$here/page"
    promtool check metrics <"$here/page" >"$here/promtool" 2>&1 && [ ! -s "$here/promtool" ] ||
        wrong "promtool has something to say: $(cat "$here/promtool")"
    echo "promtool finds nothing to say about $(grep -cv '^#' "$here/page") samples"
}

# Asks until all is as it should be, or too much time has passed; says what was answered last.
check_in_prometheus() {
    SERVER=$server PATIENCE=$PATIENCE MEDIAN=$MEDIAN python3 - <<'END'
import json, os, re, sys, time, urllib.parse, urllib.request

def ask(path, **parameters):
    url = f"http://{os.environ['SERVER']}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["data"]

def health():
    targets = ask("targets")["activeTargets"]
    return [(target["health"], target["lastError"]) for target in targets]

def median_ms():
    found = ask("query", query=os.environ["MEDIAN"])["result"]
    return float(found[0]["value"][1]) * 1000 if found else float("nan")

# Those of the tasks: time in seconds, and the trace.
def exemplars():
    now = time.time()
    found = ask("query_exemplars", start=now - 60, end=now + 60,
        query='process_duration_seconds_bucket{name="ten_milliseconds"}')
    return [(float(exemplar["value"]), exemplar["labels"].get("trace_id", ""))
        for series in found for exemplar in series["exemplars"]]

def names_a_trace(exemplar):
    value, trace = exemplar
    return 0.009 < value < 1 and re.fullmatch("[0-9a-f]{32}", trace) and int(trace, 16) != 0

give_up = time.time() + float(os.environ["PATIENCE"])
while True:
    up, median, seen = health(), median_ms(), exemplars()
    well = [up == [("up", "")], 9 < median < 12, len(seen) >= 3 and all(map(names_a_trace, seen))]
    if all(well) or time.time() > give_up:
        break
    time.sleep(0.5)
for text, is_well in zip([f"the target is {up}", f"the median of a task is {median:.2f} ms",
        f"{len(seen)} exemplars name traces, such as {seen[:1]}"], well):
    print("ok    " if is_well else "WRONG ", text)
sys.exit(not all(well))
END
}

main
