#!/usr/bin/env bash
# Does a trace go through Python and Rust and back, in one piece?
#
#   scripts/trace-through-python.sh           check it, and then that the check can fail
#   scripts/trace-through-python.sh --torn    ours do not pass context on: has to end with 1
#
# Five programs call each other over HTTP; each has a service name, and exports by OTLP to a real
# collector, rotel, which passes all on to a program that prints it:
#
#   shopper (a root span) → frontend (FastAPI on asyncio) → relay (telemetry_rt, many threads) →
#   stock (aiohttp on asyncio) → relay-current (telemetry_rt, one thread) → frontend
#
# Those in Python are instrumented with the packages that are standard there. What has to be so:
# there is one trace; the parent of each server's span is the span of the client in the process that
# called it; no span is without its parent; baggage and trace state arrive everywhere, those from
# Python in ours and those from ours in Python. The tree is printed.
#
# PROFILE=release builds ours with optimisation.
#
# Exit status: 0 all is so; 1 something is not; 77 a program that is not ours cannot be had.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
sources=$PWD/scripts/trace_through_python
here=$PWD/target/trace-through-python
python=$here/venv/bin/python
agent=$here/venv/lib/python3.11/site-packages/rotel/rotel-agent
profile=${PROFILE:-dev}
calls=(shopper frontend relay stock relay-current frontend)

main() {
    install
    build
    case ${1-} in
        --torn) torn ;;
        "") whole && cannot_pass_if_torn ;;
        *) wrong "unknown argument $1; there is --torn" ;;
    esac
}

whole() {
    printf '\n-- context is passed on --\n'
    run tracecontext,baggage
    check || wrong "the trace is not what it should be; see $here"
}

torn() {
    printf '\n-- ours do not pass context on --\n'
    run none
    check || exit 1
}

# In a shell of its own, which it ends.
cannot_pass_if_torn() {
    if (trap stop EXIT; torn) 2>"$here/torn"; then
        wrong "the check passes although no context is passed on"
    fi
    grep --quiet '^wrong: .* sees the baggage' "$here/torn" &&
        grep --quiet '^wrong: .* sees the trace' "$here/torn" &&
        grep --quiet '^wrong: .* is in another trace' "$here/torn" ||
        wrong "the check failed, but not because of what is wrong; see $here/torn"
    echo "as it has to be, the check finds $(grep -c '^wrong:' "$here/torn") things wrong"
}

install() {
    mkdir -p "$here"
    if [ ! -x "$agent" ]; then
        need curl python3.11
        { python3.11 -m venv "$here/venv" &&
            "$here/venv/bin/pip" install --quiet --disable-pip-version-check \
                --requirement "$sources/requirements.txt"; } || give_up "pip cannot have what it needs"
    fi
    if ! "$agent" --version >/dev/null 2>&1; then
        debian_package libpython3.11
        "$agent" --version >/dev/null || give_up "rotel does not start"
    fi
}

build() {
    local folder=${CARGO_TARGET_DIR:-target}
    cargo build --quiet --profile "$profile" --package telemetry_rt-http --example relay
    relay=$folder/${profile/dev/debug}/examples/relay
}

# All programs, once, with these propagators in ours. What they sent has arrived when it ends: each
# exports the rest when it is told to end, and the collector passes on the rest.
run() {
    local passed_on frontend stock relay_port current
    passed_on=$(free_port) collector=$(free_port) frontend=$(free_port) stock=$(free_port)
    relay_port=$(free_port) current=$(free_port)

    start receiver "$python" "$sources/receiver.py" "$passed_on"
    await receiver "$passed_on"
    start rotel "$agent" start --otlp-http-endpoint "127.0.0.1:$collector" \
        --otlp-grpc-endpoint "127.0.0.1:$(free_port)" --batch-timeout 100ms \
        --exporter otlp --otlp-exporter-endpoint "http://127.0.0.1:$passed_on" \
        --otlp-exporter-protocol http
    await rotel "$collector"

    NEXT=http://127.0.0.1:$relay_port/relay service frontend "$python" "$sources/frontend.py" "$frontend"
    NEXT=http://127.0.0.1:$current/relay service stock "$python" "$sources/stock.py" "$stock"
    NEXT=http://127.0.0.1:$stock/stock OTEL_PROPAGATORS=$1 \
        service relay "$relay" many-threads "$relay_port"
    NEXT=http://127.0.0.1:$frontend/confirm OTEL_PROPAGATORS=$1 \
        service relay-current "$relay" one-thread "$current"
    await frontend "$frontend"
    await stock "$stock"
    await relay "$relay_port"
    await relay-current "$current"

    NEXT=http://127.0.0.1:$frontend/order traced shopper \
        "$python" "$sources/shopper.py" >"$here/answer.json" 2>"$here/shopper.log" ||
        wrong "the call failed; see $here/*.log"
    end_services
    sleep 1
    stop
}

# A program that runs in the background; what it prints is in a file of its name.
start() {
    local name=$1
    shift
    "$@" >"$here/$name.out" 2>"$here/$name.log" &
    started+=($!)
}

service() {
    traced "$1" start "$@"
    services+=("${started[-1]}")
}

traced() {
    local name=$1
    shift
    OTEL_SERVICE_NAME=$name OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:$collector \
        OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_SEMCONV_STABILITY_OPT_IN=http "$@"
}

await() {
    for _ in $(seq 200); do
        (: </dev/tcp/127.0.0.1/"$2") 2>/dev/null && return
        sleep 0.1
    done
    wrong "$1 does not listen; see $here/$1.log"
}

# Each exports what it still has.
end_services() {
    kill -TERM "${services[@]}"
    wait "${services[@]}" || true
    services=()
}
services=()

check() {
    "$python" "$sources/check.py" "$here/receiver.out" "$here/answer.json" "${calls[@]}"
}

main "$@"
