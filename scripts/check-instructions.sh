#!/usr/bin/env bash
# Does any operation take more instructions than the ceilings in benches/instructions.txt allow?
#
#   scripts/check-instructions.sh [ARGUMENTS OF THE BENCHMARK]
#
# They are counted by valgrind, which is installed from Debian if need be. Takes about a minute when
# all is built.
#
# Exit status: 0 none does; 1 one does; 77 valgrind cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh

command -v valgrind >/dev/null || debian_package valgrind
# Built first: what fails here is no matter of instructions.
cargo bench --quiet --bench instructions --no-run
exec cargo bench --quiet --bench instructions -- "$@"
