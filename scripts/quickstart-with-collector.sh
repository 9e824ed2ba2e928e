#!/usr/bin/env bash
# Does a real collector get what the quickstart says it exported?
#
#   scripts/quickstart-with-collector.sh [FOLDER]
#
# FOLDER: what is hashed; by default the sources that cargo has unpacked. The collector is rotel
# (https://pypi.org/project/rotel), which is installed into target/collector and prints what it
# gets. The manifest, the spans with their parents, and the metrics are compared with the totals
# that the quickstart prints.
#
# Exit status: 0 all is equal; 1 something is not; 2 the collector cannot be had.
set -euo pipefail

folder=${1:-${CARGO_HOME:-$HOME/.cargo}/registry/src}
folder=$(realpath "$folder")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD/target/collector
agent=$here/venv/lib/python3.11/site-packages/rotel/rotel-agent
log=$here/rotel.log

main() {
    install_rotel
    cargo build --quiet --release --example quickstart
    start_rotel
    run_quickstart
    wait_for_spans
    stop_rotel
    compare
}

give_up() {
    echo "$0: $*" >&2
    exit 2
}

install_rotel() {
    mkdir -p "$here"
    if [ ! -x "$agent" ]; then
        command -v python3.11 >/dev/null ||
            give_up "python3.11 is needed: rotel's program is linked to its library"
        python3.11 -m venv "$here/venv"
        "$here/venv/bin/pip" install --quiet --disable-pip-version-check rotel
    fi
    if ! "$agent" --version >/dev/null 2>&1; then
        install_python_library
        "$agent" --version >/dev/null || give_up "rotel does not start"
    fi
}

# The wheel has a program that is linked to a library of Debian's package.
install_python_library() {
    local install="apt-get install -y --no-install-recommends libpython3.11"
    echo "rotel needs libpython3.11: $install" >&2
    [ "$(id -u)" = 0 ] || give_up "only root can install libpython3.11"
    $install >&2
}

free_port() {
    "$here/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_rotel() {
    port=$(free_port)
    "$agent" start --exporter blackhole \
        --otlp-http-endpoint "127.0.0.1:$port" --otlp-grpc-endpoint "127.0.0.1:$(free_port)" \
        --debug-log traces --debug-log metrics --debug-log-verbosity detailed \
        >"$log" 2>&1 &
    rotel=$!
    trap stop_rotel EXIT
    for _ in $(seq 100); do
        (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && return
        sleep 0.1
    done
    give_up "rotel does not listen; see $log"
}

stop_rotel() {
    trap - EXIT
    kill "$rotel" 2>/dev/null && wait "$rotel" 2>/dev/null || true
}

run_quickstart() {
    OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp \
        OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf \
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$port" \
        target/release/examples/quickstart --manifest "$here/sums" "$folder" | tee "$here/totals"
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
