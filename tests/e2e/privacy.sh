#!/usr/bin/env bash
# privacy.sh - A person is exported, read, erased: by HTTP and by the commands.
#
# On the embedded store, and on MongoDB when PK_TEST_MONGODB names one. The server is killed with -9
# while it erases somebody of whom there is much; the next one goes on, and its receipt counts right.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
person=b7a1c0de-0000-4000-8000-00000000000
many=3000

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# observe PERSON COUNT: so many observations of that person, in pieces of 500.
observe()
{
    local left=$2 i
    while ((left > 0)); do
        for ((i = 0; i < 500 && left > 0; i++, left--)); do
            printf '{"person_id":"%s","type":"chat_log","content":{"mood":"m%d"}}\n' "$person$1" "$left"
        done >"$work/lines"
        ask /v1/observations -X POST -H 'Content-Type: application/x-ndjson' \
            --data-binary "@$work/lines"
    done
}

# has_lines WORDS COUNT: so many lines of the last output have them.
has_lines()
{
    local count
    count=$(grep -c -- "$1" "$work/out")
    [[ $count -eq $2 ]] || { printf '# %s lines, expected %s\n' "$count" "$2"; return 1; }
}

is_complete()
{
    ask "/v1/people/$person$1" -X DELETE && grep -q '"completedAt"' "$work/out"
}

# nobody_names PERSON FOLDER: no file of the store has the id but what erasing itself leaves.
noted()
{
    [[ $(wc -l <"$work/$1/erasures.log") -ge 1 ]] && ! grep -q b7a1c0de "$work/$1/erasures.log"
}

# life NAME OPTIONS...
life()
{
    local name=$1
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    observe 1 60
    observe 2 5
    ask "/v1/people/${person}1/observations?wait=processed"
    cli person export "${person}1"
    check "$name: an export is written" exits 0 '{"summary":'
    check "$name: with every observation" has_lines '"collection":"observations"' 60
    check "$name: of this person alone" has_lines "${person}2" 0
    cli person export 00000000-0000-4000-8000-000000000000
    check "$name: of somebody unknown it is refused" exits 1 'no such person'
    ask "/v1/people/${person}1/mindscape"
    check "$name: who read what is kept" within 20 was_read

    cli person erase "${person}1"
    check "$name: nobody is erased by mistake" exits 1 '--yes'
    cli person erase "${person}1" --yes
    check "$name: meant, it is done" exits 0 'erased'
    check "$name: and it says until when backups may hold the person" says 'until 20'
    cli person erase "${person}1" --yes --json
    check "$name: asked again, it is the receipt" exits 0 '"observations":60'
    cli person export "${person}1"
    check "$name: there is nothing left to export" exits 1 'no such person'
    check "$name: and a line in erasures.log, without the id" noted "$name"
    ask "/v1/people/${person}2/observations?limit=100"
    check "$name: another person is still there" test "$(grep -o '"observationId"' "$work/out" | wc -l)" = 5
    ask /v1/observations -X POST -H 'Content-Type: application/json' \
        -d "{\"person_id\":\"${person}1\",\"type\":\"chat_log\",\"content\":{\"mood\":\"back\"}}"
    check "$name: nothing more is taken of the erased" test "$code" = 409

    observe 3 "$many"
    ask "/v1/people/${person}3/observations?wait=processed"
    ask "/v1/people/${person}3" -X DELETE
    check "$name: somebody with much is to be erased" test "$code" = 202
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    check "$name: killed meanwhile, it starts again" serve "$name" --data "$work/$name" "$@"
    # MongoDB keeps what a dead node's transaction has touched for a minute.
    check "$name: and goes on to the end" within 120 is_complete 3
    check "$name: every observation was counted once" says "\"observations\":$many"
    kill -TERM "$pid"
    check "$name: it ends well" ended 0
}

was_read()
{
    ask "/v1/people/${person}1/access-log" && grep -q '"mindscape.read"' "$work/out"
}

life sqlite
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_privacy_$$?"}"
else
    skip 'privacy on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
