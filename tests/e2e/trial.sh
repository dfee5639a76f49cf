#!/usr/bin/env bash
# trial.sh - Versions of a mapper tried out by the commands: a dry run, and two versions compared.
#
# On the embedded store, and on MongoDB when PK_TEST_MONGODB names one. No version is ever active.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
person=b7a1c0de-0000-4000-8000-00000000000

# script PATH TEXT: uploads it to /v1/PATH.
script()
{
    printf 'local pk = require "personakit"\n%s\n' "$2" >"$work/up.lua"
    ask "/v1/$1" -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
}

# draft VERSION WORD: 'daily' says WORD of who is in a good mood.
draft()
{
    script mappers/daily "return pk.mapper { id = \"daily\", version = \"$1\", requires = { \"mood\" }, rules = {
        pk.rule { id = \"rule_$2\", when = pk.trait(\"mood\"):is(\"good\"), suggest = \"$2\" } } }"
}

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# life NAME OPTIONS...
life()
{
    local name=$1 i mood
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    script 'processors/mood?activate=true' 'return pk.processor { id = "mood", version = "1.0.0",
        limits = { soft_ms = 1000, hard_ms = 5000 },
        accepts = { "test_mood" }, process = function(obs, m, t) t:set("mood", obs.content.structured.mood) end }'
    for i in 1 2 3 4; do
        mood=$([[ $i -le 2 ]] && printf good || printf bad)
        ask '/v1/observations?wait=processed' -X POST -H "$json" -d "{\"personId\":\"$person$i\",
            \"sourceType\":\"test_mood\",\"sourceMetadata\":{\"source\":\"test\"},
            \"content\":{\"raw\":\"x\",\"structured\":{\"mood\":\"$mood\"}}}"
    done
    check "$name: people are known" test "$code" = 201
    draft 1.0.0 sing
    draft 1.1.0 dance

    cli mapper dry-run daily 1.1.0 --person "${person}1"
    check "$name: a draft is run on a person" exits 0 'rule fired: rule_dance'
    check "$name: and shows what it says" says '"dance"'
    check "$name: of which nothing is kept" says 'nothing was kept'
    printf '{"traitMatrix":[{"traitName":"mood","value":"good"}]}' >"$work/mindscape.json"
    cli mapper dry-run daily 1.0.0 --mindscape "$work/mindscape.json" --json
    check "$name: and on a mindscape in a file" exits 0 '"rule_sing"'
    printf '{}' >"$work/mindscape.json"
    cli mapper dry-run daily 1.0.0 --mindscape "$work/mindscape.json"
    check "$name: what it requires is missing" exits 0 'missing: mood'
    check "$name: so a mapping would be refused" says 'it would be refused'
    cli mapper dry-run daily 1.0.0
    check "$name: on nobody it is not run" exits 2 "either --person or --mindscape"
    cli mapper dry-run daily 9.0.0 --person "${person}1"
    check "$name: nor a version that is not there" exits 1 '9.0.0'

    cli mapper diff daily 1.0.0 1.1.0
    check "$name: two drafts are compared" exits 0 '2 of 4 people would have another persona'
    check "$name: for whom" says "${person}2"
    check "$name: which rules" says 'rule added rule_dance'
    check "$name: and for nobody else" bash -c "! grep -q '${person}3' '$work/out'"
    cli mapper diff daily 1.0.0 1.0.0 --sample 3 --json
    check "$name: of a sample, as JSON" exits 0 '"looked":3'
    check "$name: a version is like itself" says '"differ":0'
    cli mapper diff daily 1.0.0 1.1.0 --sample many
    check "$name: a sample that is no number" exits 2 'no number'
    ask "/v1/people/${person}1/personas"
    check "$name: no persona was made" bash -c "grep -q '\"items\":\[\]' '$work/out'"
    kill -TERM "$pid"
    check "$name: the server ends" ended 0
}

life sqlite
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_trial_$$?"}"
else
    skip 'trials on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
