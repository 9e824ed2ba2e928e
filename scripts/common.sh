# What the scripts here share: how they end, and what they fetch. To be read with `source`.
#
# Exit status: 0 all is as it should be; 77 a program that is not ours, and that is needed, cannot be
# had; any other: something is not as it should be.

PLAYWRIGHT=playwright-core@1

give_up() {
    echo "$0: $*" >&2
    exit 77
}

wrong() {
    echo "$0: $*" >&2
    exit 1
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || give_up "$program is needed"
    done
}

# A package of Debian, unless what it is needed for works already. Lists of packages may be old, or
# none at all; so there is a second attempt with new ones.
debian_package() {
    local install="apt-get install -y -qq --no-install-recommends $1"
    echo "$0: needs a package of Debian: $install" >&2
    [ "$(id -u)" = 0 ] || give_up "only root can install $1"
    export DEBIAN_FRONTEND=noninteractive
    { $install || { apt-get update -qq && $install; }; } >/dev/null 2>&1 ||
        give_up "apt-get cannot have $1"
}

# A browser without a window, and its remote control in the folder $1.
fetch_browser() {
    need node npm
    command -v chromium >/dev/null || debian_package chromium
    [ -d "$1/node_modules/playwright-core" ] && return
    npm install --silent --no-fund --no-audit --prefix "$1" "$PLAYWRIGHT" >/dev/null ||
        give_up "npm cannot have $PLAYWRIGHT"
}

# What is started in the background ends with the script.
started=()
trap stop EXIT

stop() {
    [ ${#started[@]} -eq 0 ] && return
    kill "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
    started=()
}

free_port() {
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until the server at this URL answers, for some seconds.
wait_for() {
    curl --silent --fail --retry 60 --retry-delay 1 --retry-connrefused --output /dev/null "$1"
}
