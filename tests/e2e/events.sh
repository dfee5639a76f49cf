#!/usr/bin/env bash
# events.sh - GET /v1/events against a real server; the clients are in events.py.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# follow NAME: runs events.py against the server of $url and takes its cases over.
follow()
{
    local line
    python3 "$root/tests/e2e/events.py" "$url" "$work/data-$1/admin.key" >"$work/cases" 2>"$work/err"
    while IFS= read -r line; do
        case "$line" in
        'ok '*) check "$1: ${line#ok }" true ;;
        'not ok '*) check "$1: ${line#not ok }" false ;;
        *) printf '%s\n' "$line" ;;
        esac
    done <"$work/cases"
    check "$1: all clients came to their end" grep -q '^# done$' "$work/cases"
    kill -TERM "$pid"
    check "$1: the server leaves" ended 0
}

mkdir "$work/data-sqlite"
serve sqlite --data "$work/data-sqlite"
check 'a server starts' test -n "${url:-}"
follow sqlite

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    mkdir "$work/data-mongodb"
    serve mongodb --data "$work/data-mongodb" --store "${PK_TEST_MONGODB/'/?'/"/pk_events_$$?"}"
    check 'a server starts on MongoDB' test -n "${url:-}"
    follow mongodb
else
    skip 'events on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
