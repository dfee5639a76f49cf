#!/usr/bin/env bash
# h11.sh - The real server against another parser, on requests that are nearly right.
#
#     h11.sh [MUTATIONS] [SEED]
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/api/api.bash
source "$(dirname "${BASH_SOURCE[0]}")/api.bash"

check 'the server starts' serve one --data "$work/one"
"$python" "$here/h11_differential.py" 127.0.0.1 "${url##*:}" "${1:-10000}" "${2:-1}" \
    >"$work/h11" 2>&1
hand_on "$work/h11"
get /healthz
check 'and it still serves' test "$code" = 200
kill -TERM "$pid"
check 'and leaves' ended 0
plan
