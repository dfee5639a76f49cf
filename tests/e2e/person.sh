#!/usr/bin/env bash
# person.sh - Mindscapes made anew by the commands: one, and those of all people.
#
# On the embedded store, and on MongoDB when PK_TEST_MONGODB names one.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
person=b7a1c0de-0000-4000-8000-00000000000
many=30

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# processor VERSION WORD: says WORD of everybody.
processor()
{
    printf 'return require("personakit").processor { id = "says", version = "%s", accepts = { "chat_log" },
        limits = { soft_ms = 1000, hard_ms = 5000 },
        process = function(obs, m, t) t:set("said", "%s") end }\n' "$1" "$2" >"$work/up.lua"
    ask "/v1/processors/says?activate=$3" -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
}

# says_of N WORD: what is held of person N; waits for it.
says_of()
{
    local end=$((SECONDS + 120))
    while ((SECONDS < end)); do
        ask "/v1/people/$person$1/traits/said" && grep -q "\"value\":\"$2\"" "$work/out" && return 0
        sleep 0.05
    done
    return 1
}

# is_at STATUS: how far the run of all people is; waits until it is there.
is_at()
{
    local end=$((SECONDS + 240))
    while ((SECONDS < end)); do
        cli person replay --all --show --json
        grep -q "\"status\":\"$1\"" "$work/out" && return 0
        sleep 0.1
    done
    return 1
}

# life NAME OPTIONS...
life()
{
    local name=$1 i
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    processor 1.0.0 one true
    for ((i = 0; i < many; i++)); do
        printf '{"person_id":"%s","type":"chat_log","content":{"raw":"x"}}\n' "${person%?}$((10 + i))"
    done >"$work/lines"
    ask /v1/observations -X POST -H 'Content-Type: application/x-ndjson' --data-binary "@$work/lines"
    check "$name: people are known" test "$code" = 207
    person=${person%?}
    check "$name: what is said of one" says_of 11 one
    processor 1.1.0 two false

    cli person replay "${person}11" --processor says --version 1.1.0 --dry-run
    check "$name: a dry run counts what would change" exits 0 '1 things would: --diff shows them'
    cli person replay "${person}11" --processor says --version 1.1.0 --dry-run --diff
    check "$name: and shows it" exits 0 'traits/said'
    check "$name: as it would become" says '"two"'
    cli person replay "${person}11" --dry-run
    check "$name: the recorded version changes nothing" exits 0 'it would all stay as it is'
    check "$name: nothing was changed" says_of 11 one

    cli person replay
    check "$name: somebody must be named" exits 2 "needs PERSON, or '--all'"
    cli person replay "${person}11" --all --processor says
    check "$name: and not with all" exits 2 'is everybody'
    cli person replay "${person}11" --rate 5
    check "$name: a rate is for all" exits 2 "'--rate' is said without '--all'"
    cli person replay --all --processor says --pause
    check "$name: to pause begins nothing" exits 2 "do not go together"
    cli person replay --all
    check "$name: a processor is named" exits 2 'name it with --processor ID'
    cli person replay --all --processor says --rate fast
    check "$name: a rate is a number" exits 2 "'fast' is no rate"
    cli person replay --all --show
    check "$name: there was none yet" exits 0 'was ever begun'
    cli person replay --all --pause
    check "$name: so none can rest" exits 1 'no'

    cli person replay --all --processor says --version 1.1.0 --rate 5
    check "$name: all people are replayed" exits 0 'says 1.1.0 for all people: '
    cli person replay --all --pause
    check "$name: it can rest" exits 0 'paused'
    cli person replay --all --processor says --version 1.1.0
    check "$name: there is one at a time" exits 1 'paused'
    check "$name: it rests" is_at paused
    cli person replay --all --resume --wait
    check "$name: and go on, to its end" exits 0 'done, 100 %'
    check "$name: it came by everybody" says "$many people looked at, $many replayed"
    check "$name: each is made anew" says_of 11 two
    check "$name: the last one, too" says_of $((10 + many - 1)) two
    kill -TERM "$pid"
    check "$name: the server leaves" ended 0
    person=${person}0
}

life sqlite
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_person_$$?"}"
else
    skip 'people by the commands on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
