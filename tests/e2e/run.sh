#!/usr/bin/env bash
# run.sh - etc/run, on both stores: what it prints works, and what it started ends with it.
#
# That a clone with nothing but what git has starts is tests/support/fresh's.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
pid=''
# It ends what it has started when it is asked, not when it is killed.
trap '[[ -z $pid ]] || { kill -TERM "$pid" && wait "$pid"; } 2>/dev/null; clean_up' EXIT

# start OPTIONS...: etc/run with data in $data; sets $pid and $url. Fails if it ends.
start()
{
    : >"$work/said"
    "$root/etc/run" --listen 127.0.0.1:0 --data "$data" "$@" >"$work/said" 2>"$work/err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 120 told || return 1
    url=$(sed -n 's/^PersonaKit is ready at //p' "$work/said")
    [[ -n $url ]]
}

told()
{
    grep -q '^  stop ' "$work/said" || ! kill -0 "$pid" 2>/dev/null
}

# printed WORDS: runs the line of what it said that has these words, as a person would paste it.
printed()
{
    local line
    line=$(grep -F -- "$1" "$work/said" | sed -n '1s/^  [a-z ]\{10\}//p')
    bash -c "$line" >"$work/out" 2>"$work/err" </dev/null
}

# What is the same on every store, after each start.
tries()
{
    check 'the line with curl asks with the first key' printed 'curl -s -H'
    check 'and is answered' says '"items"'
    check 'the command finds server and key' printed 'actor list'
    check 'and shows the first actor' says 'admin'
    check 'the key itself is nowhere to be read' \
        bash -c "! grep -qF \"\$(cat '$data/admin.key')\" '$work/said' '$work/err'"
    kill -TERM "$pid"
    check 'it ends when it is told to' ended 0
}

# nobody_listens: what etc/run had started has ended, too.
nobody_listens()
{
    ! (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$data/mongodb/port")") 2>/dev/null
}

data="$work/with a space"
for name in first second; do
    check "etc/run starts, the $name time" start
    tries
done
mv "$data/admin.key" "$work/key"
check 'without the key it starts, too' start
check 'and says how to come by one' grep -q 'key reset --help' "$work/said"
kill -TERM "$pid"
check 'and ends' ended 0

if [[ -z ${PK_TEST_MONGODB:-} ]]; then
    skip 'etc/run --mongodb' 'PK_TEST_MONGODB is not set'
    pid=''
    plan
    exit 0
fi
data=$work/mongo
for name in first second; do
    check "etc/run --mongodb starts, the $name time" start --mongodb
    get /readyz
    check 'it serves from MongoDB' bash -c "[[ $code == 200 ]] && grep -q 'data .*mongodb' '$work/said'"
    tries
    check 'and its MongoDB with it' nobody_listens
done
check 'nothing is in an embedded store' test ! -e "$data/personakit.db"
pid=''
plan
