#!/usr/bin/env bash
# tasks.sh - Work that waits, fails, is tried again and given up: by HTTP and by the commands.
#
# A processor that fails until it is mended, on the embedded store, and on MongoDB when
# PK_TEST_MONGODB names one. Ends with a kill -9 of a server that has much to do.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
person=b7a1c0de-0000-4000-8000-00000000000

# processor VERSION BODY: takes 'test_mood' observations.
processor()
{
    cat <<END
local pk = require "personakit"
return pk.processor {
  id = "mood", version = "$1", accepts = { "test_mood" }, limits = { soft_ms = 1000, hard_ms = 5000 },
  process = function(obs, m, t) $2 end,
}
END
}

# put VERSION BODY: it serves from here on.
put()
{
    processor "$1" "$2" >"$work/up.lua"
    ask '/v1/processors/mood?activate=true' -X PUT -H 'Content-Type: text/x-lua' \
        --data-binary "@$work/up.lua"
}

# retried: it is, or the time of its next attempt has come before.
retried()
{
    exits 0 'tried again' || exits 1 "the task is 'done'"
}

# observe PERSON [QUERY]: an observation of that person; its task to $task.
observe()
{
    ask "/v1/observations${2:-}" -X POST -H "$json" \
        -d "{\"person_id\":\"$person$1\",\"type\":\"test_mood\",\"content\":{\"mood\":\"good\"}}"
    task=$(field taskId)
}

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# is_task STATUS: what the server says of $task.
is_task()
{
    ask "/v1/tasks/$task" && [[ $(field status) == "$1" ]]
}

# is_listed STATUS COUNT: so many tasks have that status.
is_listed()
{
    ask "/v1/admin/outbox?status=$1&limit=1000"
    [[ $(grep -o '"taskId"' "$work/out" | wc -l) -eq $2 ]]
}

failed_once()
{
    ask "/v1/tasks/$task" && grep -q '"lastError":"' "$work/out"
}

# life NAME OPTIONS...
life()
{
    local name=$1
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    cli task list
    check "$name: there are no tasks" exits 0 'no such tasks'

    put 1.0.0 't:set("mood.now", obs.content.structured.mood)'
    observe 1 '?wait=processed'
    check "$name: an observation is answered when it is processed" test "$code" = 201
    check "$name: which its header says" heard 'PersonaKit-Processed: true'
    check "$name: and its status" test "$(field processingStatus)" = processed
    check "$name: its task is done" is_task 'done'
    cli task list --status 'done' --json
    check "$name: and listed so" exits 0 "$task"

    put 1.1.0 'error("no luck today")'
    observe 2
    check "$name: a processor that fails leaves a task that says why" within 20 failed_once
    check "$name: in its own words" says 'no luck today'
    cli task list --person "${person}2"
    check "$name: by command, too" exits 0 'process_observation'
    put 1.2.0 't:set("mood.now", obs.content.structured.mood)'
    cli task retry "$task"
    check "$name: mended, it is tried again" retried
    check "$name: and done" within 20 is_task 'done'

    put 1.3.0 'error("no luck again")'
    observe 3
    check "$name: another one fails" within 20 failed_once
    cli task discard "$task"
    check "$name: nobody is asked whether it is meant" exits 1 '--yes'
    cli task discard "$task" --yes
    check "$name: it is given up" exits 0 'given up'
    check "$name: for good" is_task discarded
    cli task retry "$task"
    check "$name: and is not tried again" exits 1 "'discarded'"
    ask '/v1/admin/audit?action=task.discarded'
    check "$name: the audit keeps it" says "$task"
    cli task show 00000000-0000-4000-8000-000000000000
    check "$name: one that is not there is said so" exits 1 'there is no such task'

    put 1.4.0 't:set("mood.now", obs.content.structured.mood)'
    hurry "$name" "$@"
    kill -TERM "$pid"
    check "$name: it ends well" ended 0
}

# A server that has much to do is killed; the next one does it.
hurry()
{
    local name=$1 i
    shift
    for i in $(seq 400); do
        printf '{"person_id":"%s%d","type":"test_mood","content":{"mood":"m%d"}}\n' "$person" $((i % 10)) "$i"
    done >"$work/lines"
    ask /v1/observations -X POST -H 'Content-Type: application/x-ndjson' --data-binary "@$work/lines"
    check "$name: four hundred at once" test "$code" = 207
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    check "$name: killed, it starts again" serve "$name" --data "$work/$name" "$@"
    check "$name: and does the rest" within 90 is_listed pending 0
    check "$name: to its end" within 90 is_listed in_progress 0
    ask "/v1/people/${person}4/observations?limit=1000"
    check "$name: nobody's observation was left" test "$(grep -o '"processingStatus":"processed"' "$work/out" | wc -l)" = 40
}

life sqlite
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_tasks_$$?"}"
else
    skip 'tasks on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
