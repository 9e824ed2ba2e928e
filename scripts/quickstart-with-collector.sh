#!/usr/bin/env bash
# Does a real collector get what the quickstart says it exported?
#
#   scripts/quickstart-with-collector.sh [FOLDER]
#
# FOLDER: what is hashed; by default the sources that cargo has unpacked. The collector is rotel
# (https://pypi.org/project/rotel), which is installed into target/collector and prints what it
# gets. It is spoken to by http/protobuf and by grpc, with gzip in both; each has an endpoint that
# takes nothing else. The manifest, the spans with their parents, and the metrics are compared with
# the totals that the quickstart prints.
#
# PROFILE=dev compiles in less time, and hashes in more.
#
# Exit status: 0 all is equal; 1 something is not; 77 the collector cannot be had.
set -euo pipefail

folder=${1:-${CARGO_HOME:-$HOME/.cargo}/registry/src}
folder=$(realpath "$folder")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
here=$PWD/target/collector
agent=$here/venv/lib/python3.11/site-packages/rotel/rotel-agent
log=$here/rotel.log
profile=${PROFILE:-release}

main() {
    install_rotel
    cargo build --quiet --profile "$profile" --features grpc --example quickstart
    for protocol in http/protobuf grpc; do
        printf '\n-- %s, gzip --\n' "$protocol"
        start_rotel
        run_quickstart
        wait_for_spans
        stop
        compare
    done
}

install_rotel() {
    mkdir -p "$here"
    if [ ! -x "$agent" ]; then
        # Its program is linked to the library of just this one.
        need python3.11
        { python3.11 -m venv "$here/venv" &&
            "$here/venv/bin/pip" install --quiet --disable-pip-version-check rotel; } ||
            give_up "pip cannot have rotel"
    fi
    if ! "$agent" --version >/dev/null 2>&1; then
        debian_package libpython3.11
        "$agent" --version >/dev/null || give_up "rotel does not start"
    fi
}

start_rotel() {
    local http grpc
    http=$(free_port) grpc=$(free_port)
    case $protocol in
        grpc) port=$grpc ;;
        *) port=$http ;;
    esac
    "$agent" start --exporter blackhole \
        --otlp-http-endpoint "127.0.0.1:$http" --otlp-grpc-endpoint "127.0.0.1:$grpc" \
        --debug-log traces --debug-log metrics --debug-log-verbosity detailed \
        >"$log" 2>&1 &
    started+=($!)
    for _ in $(seq 100); do
        (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && return
        sleep 0.1
    done
    give_up "rotel does not listen; see $log"
}

run_quickstart() {
    OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp \
        OTEL_EXPORTER_OTLP_PROTOCOL="$protocol" OTEL_EXPORTER_OTLP_COMPRESSION=gzip \
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$port" \
        "target/${profile/dev/debug}/examples/quickstart" --manifest "$here/sums" "$folder" |
        tee "$here/totals"
    sha256sum --check --strict --quiet "$here/sums"
    echo "$(wc -l <"$here/sums") sums are those that sha256sum finds"
}

# What the quickstart printed before these words.
total() {
    grep --only-matching --extended-regexp "[0-9]+ $1" "$here/totals" | cut -d ' ' -f 1
}

# The collector has answered before it prints.
wait_for_spans() {
    for _ in $(seq 100); do
        [ "$(grep -c '^Span #' "$log")" -ge "$(total 'spans exported')" ] && break
        sleep 0.1
    done
    sleep 1
}

# Reads rotel's log: a block for each span, and a list of data points for each metric, of which
# the last one counts.
compare() {
    awk -v files="$(total 'files, [0-9]+ bytes')" -v processes="$(total 'processes:')" \
        -v exported="$(total 'spans exported')" '
        function equal(what, got, wanted) {
            printf "%-46s %8d", what, got
            if (got == wanted) { print "" } else { print "  but expected: " wanted; wrong = 1 }
        }
        /^ +Trace ID +:/  { trace = $4 }
        /^ +Parent ID +:/ { parent = $4 }
        /^ +ID +:/        { id = $3 }
        /^ +Name +: /     { spans++; ids[id]++; traces[trace]++; name[id] = $3; parent_of[id] = parent }
        / -> Name: /      { metric = $3; points[metric] = 0; sum[metric] = 0 }
        /DataPoints #/    { points[metric]++ }
        /^Value: /        { sum[metric] += $2 }
        /^Count: /        { sum[metric] += $2 }
        END {
            for (id in ids) {
                up = parent_of[id]
                if (name[id] == "quickstart" && (up == "" || up ~ /^0+$/)) roots++
                if (name[id] == "hash_file" && name[up] == "quickstart") tasks++
                if (name[id] == "sha256_of" && name[up] == "hash_file" && !hop[up]++) hops++
            }
            equal("spans at the collector", spans, exported)
            equal("spans with an id of their own", length(ids), processes)
            equal("traces", length(traces), 1)
            equal("roots", roots, 1)
            equal("tasks below the root", tasks, files)
            equal("hops, each below a task of its own", hops, files)
            equal("process.count, over " points["process.count"] " points", sum["process.count"], processes)
            equal("process.duration, over " points["process.duration"] " points", sum["process.duration"], processes)
            equal("executor.spans.dropped", sum["executor.spans.dropped"], 0)
            exit wrong
        }' "$log"
}

main
