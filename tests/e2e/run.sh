#!/usr/bin/env bash
# run.sh - etc/run --mongodb: the same server on a MongoDB of its own, which ends with it.
#
# tests/support/fresh starts etc/run on the embedded store.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
pid=''
# It ends what it has started when it is asked, not when it is killed.
trap '[[ -z $pid ]] || { kill -TERM "$pid" && wait "$pid"; } 2>/dev/null; clean_up' EXIT

# start: etc/run on its own MongoDB; sets $pid and $url. Fails if it ends.
start()
{
    "$root/etc/run" --mongodb --listen 127.0.0.1:0 --data "$work/data" \
        >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 120 told || return 1
    url=$(sed -n 's/^PersonaKit is ready at //p' "$work/out")
    [[ -n $url ]]
}

told()
{
    grep -q '^PersonaKit is ready at ' "$work/out" || ! kill -0 "$pid" 2>/dev/null
}

# nobody_listens: what etc/run had started has ended, too.
nobody_listens()
{
    ! (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$work/data/mongodb/port")") 2>/dev/null
}

if [[ -z ${PK_TEST_MONGODB:-} ]]; then
    skip 'etc/run --mongodb' 'PK_TEST_MONGODB is not set'
    plan
    exit 0
fi
for name in first second; do
    check "etc/run --mongodb starts, the $name time" start
    get /readyz
    check 'it serves from MongoDB' bash -c "[[ $code == 200 ]] && grep -q mongodb '$work/out'"
    kill -TERM "$pid"
    check 'it ends when it is told to' ended 0
    check 'and its MongoDB with it' nobody_listens
done
check 'nothing is in an embedded store' test ! -e "$work/data/personakit.db"
plan
