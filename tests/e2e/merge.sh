#!/usr/bin/env bash
# merge.sh - Two people are made one and two again: by HTTP and by the commands.
#
# On the embedded store, and on MongoDB when PK_TEST_MONGODB names one. The server is killed with -9
# in the middle of a merge and of an undo of two of whom there is much; the next one goes on to the
# end, and what is known of both in the end is what was known before.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
person=b7a1c0de-0000-4000-8000-00000000000
many=400

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# observe PERSON COUNT
observe()
{
    local i
    for ((i = 0; i < $2; i++)); do
        printf '{"person_id":"%s","type":"work_session","content":{"n":%d}}\n' "$person$1" "$i"
    done >"$work/lines"
    ask /v1/observations -X POST -H 'Content-Type: application/x-ndjson' --data-binary "@$work/lines"
}

count_of()
{
    ask "/v1/people/$person$1/traits/seen"
    grep -o '"value":[0-9]*' "$work/out" | head -n 1 | cut -d: -f2
}

# is_count PERSON N: so many of his observations have been processed, by what is known of him.
is_count()
{
    [[ $(count_of "$1") == "$2" ]]
}

status_of()
{
    ask "/v1/tasks/$1" && grep -o '"status":"[a-z_]*"' "$work/out" | head -n 1 | cut -d'"' -f4
}

is_done()
{
    [[ $(status_of "$1") == done ]]
}

field()
{
    grep -o "\"$1\":\"[^\"]*\"" "$work/out" | head -n 1 | cut -d'"' -f4
}

crash()
{
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
}

# key_for NAME PEOPLE: into $one, a key that may do everything to these alone.
key_for()
{
    local admin=$key actor
    ask /v1/actors -X POST -H "$json" -d "{\"actorType\":\"human\",\"name\":\"$1\",\"capabilities\":{
        \"canRequestPersonas\":true,\"canProvideFeedback\":true,\"people\":[$2],\"allowedMappers\":[\"*\"],
        \"grants\":[\"operate\",\"curate\",\"approve\",\"write_observations\"]}}"
    actor=$(field actorId)
    ask "/v1/actors/$actor/keys" -X POST -H "$json" -d '{"name":"one"}'
    one=$(field key)
    key=$admin
}

# is_late_or_done: an undo asked for again, and not waited for, is under way; or it was faster.
is_late_or_done()
{
    if grep -qF 'undone already' "$work/err"; then
        return 0
    fi
    says 'not undone yet: task' && says 'personakit task show'
}

fails()
{
    ! "$@"
}

# tells_of TEXT PATH: whether the answer to the key $one has the text.
tells_of()
{
    local admin=$key is_told=1
    key=$one
    ask "$2"
    key=$admin
    ! grep -q "$1" "$work/out" || is_told=0
    return $is_told
}

# keys_for_one MERGE: 1 was merged into 2; what keys for one of them see, in $name.
keys_for_one()
{
    local path
    key_for one "\"${person}1\""
    check "$name: a key for one sees him" tells_of "${person}1" /v1/people
    check "$name: and that he is merged" tells_of '"isMerged":true' /v1/people
    for path in /v1/people /v1/admin/outbox "/v1/admin/outbox?person=${person}1" /v1/admin/audit \
        "/v1/people/${person}1/mindscape" "/v1/people/${person}1/observations" /v1/actors; do
        check "$name: $path does not name the other" fails tells_of "${person}2" "$path"
    done
    check "$name: the filter of tasks follows, as far as he sees" tells_of '"items":\[{' "/v1/admin/outbox?person=${person}1"
    check "$name: of the other he sees none" tells_of '"items":\[\]' "/v1/admin/outbox?person=${person}2"
    check "$name: nor rows" tells_of '"items":\[\]' "/v1/admin/audit?person=${person}2"
    key_for two "\"${person}2\""
    check "$name: the other's key sees what is his now" tells_of '"observationId"' "/v1/people/${person}2/observations"
    for path in /v1/people /v1/admin/outbox "/v1/people/${person}2/observations?limit=100" \
        "/v1/people/${person}2/export" "/v1/people/${person}2/access-log" "/v1/people/${person}1/export"; do
        check "$name: $path does not name the first" fails tells_of "${person}1" "$path"
    done
    key_for both "\"${person}1\",\"${person}2\""
    check "$name: a key for both sees into whom" tells_of "\"mergedInto\":\"${person}2\"" /v1/people
    check "$name: and where it came from" tells_of "\"mergedFrom\":\"${person}1\"" "/v1/people/${person}2/observations?limit=100"
    check "$name: his filter has both" tells_of "\"personId\":\"${person}1\"" "/v1/admin/outbox?person=${person}2&limit=500"
    key=$(cat "$work/$name/admin.key")
}

# life NAME OPTIONS...
life()
{
    local name=$1 merge task part
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    printf 'return require("personakit").processor { id = "seen", version = "1.0.0", accepts = { "work_session" },
        limits = { soft_ms = 1000, hard_ms = 5000 },
        process = function(obs, m, t) t:set("seen", (m["seen"] or 0) + 1)
            t:reinforce("n", obs.content.structured.n) end }\n' >"$work/up.lua"
    ask "/v1/processors/seen?activate=true" -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
    observe 1 20
    observe 2 10
    check "$name: what came is known" within 30 is_count 1 20
    check "$name: of both" within 30 is_count 2 10

    ask /v1/people/merge -X POST -H "$json" -d "{\"from\":\"${person}1\",\"into\":\"${person}1\"}"
    check "$name: nobody is merged into himself" test "$code" = 400
    cli person merge "${person}1" "${person}2" --dry-run
    check "$name: a dry run counts" exits 0 'observations         20 would move'
    check "$name: and names what differs" says 'seen'
    cli person merge "${person}1" "${person}2" --reason 'the same email' --json
    check "$name: the command merges" exits 0 '"mergeId"'
    merge=$(field mergeId)
    check "$name: the two are one" is_count 2 30
    check "$name: by the old id as well" is_count 1 30
    ask "/v1/people/${person}1/observations?limit=100"
    check "$name: with all observations" test "$(grep -o '"observationId"' "$work/out" | wc -l)" = 30
    ask /v1/people/merge -X POST -H "$json" -d "{\"from\":\"${person}1\",\"into\":\"${person}3\"}"
    check "$name: whoever is merged is not merged again" test "$code" = 409
    observe 1 5
    observe 2 5
    check "$name: what comes under the old id is the other's" within 30 is_count 2 40
    keys_for_one "$merge"
    cli person unmerge "${person}2" "$merge" --timeout soon
    check "$name: a time to wait is a number" exits 2 'seconds'
    cli person unmerge "${person}2" "$merge"
    check "$name: the command undoes it" exits 0 'undone: merge'
    check "$name: done is when each has his own" is_count 1 25
    check "$name: and the other his" is_count 2 15
    ask "/v1/people/${person}2/merges/$merge/undo" -X POST
    check "$name: but once" test "$code" = 409

    observe 4 "$many"
    observe 5 "$many"
    check "$name: two of whom there is much" within 120 is_count 4 "$many"
    check "$name: both" within 120 is_count 5 "$many"
    ask /v1/people/merge -X POST -H "$json" -d "{\"from\":\"${person}4\",\"into\":\"${person}5\"}"
    check "$name: are to be one" test "$code" = 202
    merge=$(field mergeId)
    task=$(field taskId)
    crash
    check "$name: killed meanwhile, it starts again" serve "$name" --data "$work/$name" "$@"
    observe 4 1
    crash
    check "$name: and once more" serve "$name" --data "$work/$name" "$@"
    check "$name: it goes on to the end" within 150 is_done "$task"
    check "$name: nothing was lost" within 60 is_count 5 $((2 * many + 1))
    ask "/v1/people/${person}4/merges/$merge/undo" -X POST
    check "$name: it is to be undone" test "$code" = 202
    task=$(field taskId)
    part=$(field partTaskId)
    cli person unmerge "${person}4" "$merge" --timeout 0
    check "$name: whoever does not wait is told the truth" exits 1
    check "$name: which is one of two" is_late_or_done
    crash
    check "$name: killed meanwhile, it starts" serve "$name" --data "$work/$name" "$@"
    check "$name: and undoes it to the end" within 150 is_done "$task"
    check "$name: then comes the other's mindscape" within 150 is_done "$part"
    check "$name: each has his own again" is_count 4 $((many + 1))
    check "$name: nobody has more" within 60 is_count 5 "$many"
    cli task list --status failed --json
    check "$name: no task has failed" exits 0 '"items":[]'
    kill -TERM "$pid"
    check "$name: it ends well" ended 0
}

life sqlite
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_merge_$$?"}"
else
    skip 'merges on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
