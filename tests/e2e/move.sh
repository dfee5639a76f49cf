#!/usr/bin/env bash
# move.sh - One store into another: equal, interrupted, resumed, refused.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# sums FILE: collection, count and checksum of each target, from --json.
sums()
{
    [[ $status -eq 0 ]] && python3 -c '
import json, sys
for row in json.load(open(sys.argv[1]))["collections"]:
    print(row["collection"], row["target"]["count"], row["target"]["checksum"])' "$1"
}

# half_way TARGET_OPTIONS...: a move that is killed (or stopped, by $signal) while it copies.
half_way()
{
    "$pk" move "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 20 has_some || return 1
    kill "-$signal" "$pid" 2>/dev/null
    status=0
    wait "$pid" 2>/dev/null || status=$?
    [[ $status -ne 0 ]] || printf '# it had finished before it was stopped\n'
}

# The target has got something, or the move has ended.
has_some()
{
    [[ $(stat -c %s "$target/personakit.db-wal" 2>/dev/null || echo 0) -gt 2500000 ]] || gone
}

# killed_often OPTIONS...: the move is killed again and again, each time a little later, until one
# arrives.
killed_often()
{
    local kills=0 hundredths
    for ((hundredths = 1; hundredths < 6000; hundredths += hundredths / 2 + 10)); do
        "$pk" move "$@" --json >"$work/out" 2>"$work/err" </dev/null &
        pid=$!
        pids+=("$pid")
        lasts "$hundredths" && kill -KILL "$pid" 2>/dev/null && ((kills += 1))
        status=0
        wait "$pid" 2>/dev/null || status=$?
        [[ $status -eq 137 ]] || break
    done
    check 'killed often, it still arrives' exits 0 '"finished":true'
    check 'it was killed at least once' test "$kills" -gt 0
    if grep -q '"alreadyFinished":true' "$work/out"; then
        # Killed with the last word said: the sums were not printed, so another move prints them.
        run move --from "${*: -1}" --to "sqlite:$work/again" --json
        rm -rf "$work/again"
    fi
    check 'to the same sums' diff <(sums "$work/k.json") <(sums "$work/out")
}

# lasts HUNDREDTHS: the process of $pid is still there when so much time has passed.
lasts()
{
    local end=$((${EPOCHREALTIME/./} + $1 * 10000))
    while [[ ${EPOCHREALTIME/./} -lt $end ]]; do
        gone && return 1
        sleep 0.01
    done
}

# feed_in_order FOLDER: rows stand in the order in which they were announced, to the millisecond.
feed_in_order()
{
    [[ $(sqlite3 "$1/personakit.db" 'SELECT count(*) > 0 AND min(is_behind) FROM (SELECT
        "d.expiresAt" >= lag("d.expiresAt", 1, 0) OVER (ORDER BY n) AS is_behind FROM events)') == 1 ]]
}

count=${PK_MOVE_COUNT:-5000}
mkdir "$work/a"
check 'every collection takes documents' "$plant" "sqlite:$work/a" 300

run move --from "sqlite:$work/a" --to "sqlite:$work/b"
check 'SQLite to SQLite' exits 0 'source and target are equal'
check 'the table names collections' says 'observations'
check 'and all of them' test "$(grep -c '  equal$' "$work/out")" = \
    "$(sqlite3 "$work/a/personakit.db" 'SELECT count(DISTINCT tbl_name) FROM sqlite_master WHERE name LIKE "%._id"')"
run move --from "sqlite:$work/a" --to "sqlite:$work/b"
check 'a finished move says so' exits 0 'was finished on'
run move --from "sqlite:$work/b" --to "sqlite:$work/c" --json
cp "$work/out" "$work/c.json"
check 'a copy can be moved on' exits 0 '"finished":true'

run move --from "sqlite:$work/a" --to "sqlite:$work/a"
check 'onto itself is refused' exits 1 'same store'
run move --from "sqlite:$work/a" --to "sqlite:$work/./a"
check 'onto itself under another name is refused' exits 1
run move --from "sqlite:$work/nowhere" --to "sqlite:$work/d"
check 'from nothing is refused' exits 1
check 'and nothing is made' test ! -e "$work/nowhere" -a ! -e "$work/d"
mkdir "$work/full"
"$plant" "sqlite:$work/full" 2 >/dev/null 2>&1
run move --from "sqlite:$work/a" --to "sqlite:$work/full"
check 'into a store with documents is refused' exits 1 'never mixed'
run move --from "sqlite:$work/full" --to "sqlite:$work/b"
check 'into the copy of another store is refused' exits 1 'another store'
check 'a server uses the source' serve source --data "$work/used"
run move --from "sqlite:$work/used" --to "sqlite:$work/d"
check 'a source in use is refused, naming the process' exits 1 "$pid"
kill -TERM "$pid"
check 'the server leaves' ended 0

# Killed, and gone on: many documents in few collections, so that it happens within one.
mkdir "$work/k"
planted=$("$plant" "sqlite:$work/k" "$count" observations events settings)
run move --from "sqlite:$work/k" --to "sqlite:$work/k2" --json
cp "$work/out" "$work/k.json"
check 'the feed arrives in its order' feed_in_order "$work/k2"
target=$work/killed
signal=KILL
half_way --from "sqlite:$work/k" --to "sqlite:$target"
check 'killed half way' test "$status" -ne 0
run serve --data "$target" --listen 127.0.0.1:0
check 'a half-made store is not served' exits 1 'not finished'
run move --from "sqlite:$target" --to "sqlite:$work/half"
check 'nor moved on' exits 1 'not finished'
run move --from "sqlite:$work/k" --to "sqlite:$target" --json
check 'the same command goes on' exits 0 '"resumed":true'
check 'with what was left only' python3 -c \
    'import json,sys; assert 0 < json.load(open(sys.argv[1]))["copied"] < int(sys.argv[2])' \
    "$work/out" "$planted"
check 'to the same sums' diff <(sums "$work/k.json") <(sums "$work/out")
target=$work/stopped
signal=INT
half_way --from "sqlite:$work/k" --to "sqlite:$target"
check 'Ctrl-C: exit code 5, and how to go on' exits 5 'run the same command again'
run move --from "sqlite:$work/k" --to "sqlite:$target"
check 'and it goes on' exits 0 'source and target are equal'

killed_often --from "sqlite:$work/k" --to "sqlite:$work/often"
check 'and the feed in its order' feed_in_order "$work/often"

# A source that changes meanwhile is found out.
cp -r "$work/k" "$work/changing"
target=$work/unequal
signal=KILL
half_way --from "sqlite:$work/changing" --to "sqlite:$target"
sqlite3 "$work/changing/personakit.db" \
    'DELETE FROM observations WHERE id = (SELECT min(id) FROM observations WHERE n > 1)' # Copied first.
run move --from "sqlite:$work/changing" --to "sqlite:$target"
check 'a source that changed meanwhile is found out' exits 1 'the stores differ'
check 'the table names the collection' says 'DIFFERENT'
run serve --data "$target" --listen 127.0.0.1:0
check 'and such a copy is not served' exits 1 'not finished'

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    store=${PK_TEST_MONGODB/'/?'/"/pk_move_$$?"}
    run move --from "sqlite:$work/a" --to "$store" --json
    check 'SQLite to MongoDB' exits 0 '"finished":true'
    check 'the same sums there' diff <(sums "$work/c.json") <(sums "$work/out")
    run move --from "$store" --to "sqlite:$work/back" --json
    check 'MongoDB to SQLite' exits 0 '"finished":true'
    check 'the same sums again' diff <(sums "$work/c.json") <(sums "$work/out")
    killed_often --from "sqlite:$work/k" --to "${PK_TEST_MONGODB/'/?'/"/pk_killed_$$?"}"
    run upgrade --check --store "$store"
    check 'upgrade --check on MongoDB' exits 0 'up to date'
else
    skip 'SQLite to MongoDB and back' 'PK_TEST_MONGODB is not set'
fi
plan
