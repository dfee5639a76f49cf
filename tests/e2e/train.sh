#!/usr/bin/env bash
# train.sh - A mapper learns from feedback: by the command, with the shipped processor of feedback.
#
# On the embedded store, and on MongoDB when PK_TEST_MONGODB names one.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
person=b7a1c0de-0000-4000-8000-000000000001

# script PATH FILE: uploads it to /v1/PATH.
script()
{
    ask "/v1/$1" -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$2"
}

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# feedback RULE HELPFUL: on what the person has been given.
feedback()
{
    ask /v1/feedback -X POST -H "$json" -d "{\"personaInstanceId\":\"daily:$person:instant\",
        \"feedback\":{\"ratings\":{\"overall\":2},\"ruleId\":\"$1\",\"helpful\":$2}}"
}

# A mapper that serves, and what it made of a person.
furnish()
{
    printf '%s\n' 'local pk = require "personakit"' \
        'return pk.mapper { id = "daily", version = "1.0.0", rules = {' \
        '  pk.rule { id = "sing", when = pk.trait("mood"):missing(), suggest = "Sing" },' \
        '  pk.rule { id = "dance", when = pk.trait("mood"):missing(), suggest = "Dance", priority = "high" } },' \
        '  examples = { { given = {}, expect = { fired = { "sing", "dance" } } } } }' >"$work/daily.lua"
    script 'mappers/daily?activate=true' "$work/daily.lua"
    check "$name: a mapper serves" test "$code" = 200
    ask /v1/observations -X POST -H "$json" -d "{\"personId\":\"$person\",\"sourceType\":\"chat_log\",
        \"sourceMetadata\":{\"source\":\"test\"},\"content\":{\"raw\":\"x\"}}"
    ask /v1/personas/map -X POST -H "$json" \
        -d "{\"mapperId\":\"daily\",\"personaId\":\"$person\",\"detailLevel\":\"instant\"}"
    check "$name: a persona" test "$code" = 200
}

# life NAME OPTIONS...
life()
{
    local name=$1 i
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    furnish
    feedback dance false
    check "$name: feedback before anybody learns" says '"accepted"'

    cli mapper train daily
    check "$name: nobody learns" exits 1 'no processor accepts it'
    script 'processors/feedback-votes?activate=true' "$root/plugins/processors/feedback_votes.lua"
    check "$name: the shipped processor learns" test "$code" = 200
    cli mapper train daily
    check "$name: one is not enough" exits 0 'nothing was to be learned of 1 feedback'
    check "$name: what it proposes is said" says 'rule dance: priority -> "lower" (1 feedback, weight 0.34): too little'
    for i in 1 2; do
        feedback dance false
    done
    check "$name: feedback is queued" says '"queued"'
    for i in 1 2 3 4 5; do
        feedback sing false
    done

    cli mapper train daily --dry-run
    check "$name: a dry run says what would change" exits 0 'rule dance: priority "high" -> "medium" (3 feedback, weight 1.02)'
    check "$name: a rule would be off" says 'rule sing: off -> true (5 feedback, weight 1.00)'
    check "$name: and nothing is written" says 'it would be the draft 1.0.1 of 1.0.0; nothing was written'
    cli mapper versions daily
    check "$name: there is one version" bash -c "! grep -q '1.0.1' '$work/out'"
    cli mapper train daily
    check "$name: a training" exits 0 '8 of 8 feedback went into the draft 1.0.1 of 1.0.0'
    cli mapper versions daily
    check "$name: its draft is there" exits 0 '1.0.1'
    ask /v1/mappers/daily
    check "$name: what serves is as it was" says '"version":"1.0.0"'
    ask /v1/mappers/daily/versions/1.0.1
    check "$name: the draft knows its parent" says '"parentVersion":"1.0.0"'
    check "$name: and its training" says '"totalFeedbackCount":8'
    ask '/v1/admin/audit?limit=100'
    check "$name: the audit log says who" says '"mapper.trained"'

    cli mapper diff daily 1.0.0 1.0.1
    check "$name: it differs from its parent" exits 0 'rule gone  sing'
    cli mapper dry-run daily 1.0.1 --person "$person"
    check "$name: it acts as it was taught" exits 0 '"medium"'
    cli mapper train daily --json
    check "$name: there is nothing more to learn" exits 0 '"samples":0'
    cli mapper activate daily 1.0.1
    check "$name: a person activates it" exits 0
    ask /v1/personas/map -X POST -H "$json" \
        -d "{\"mapperId\":\"daily\",\"personaId\":\"$person\",\"detailLevel\":\"instant\"}"
    check "$name: then it serves" bash -c "! grep -q 'Sing' '$work/out' && grep -q 'Dance' '$work/out'"

    cli mapper train daily --no-wait
    check "$name: who does not wait is told the task" exits 0 'personakit task show'
    cli mapper train daily --version 9.0.0
    check "$name: what is not there is not trained" exits 1 'no such version'
    cli mapper train daily --since yesterday
    check "$name: a time that is none" exits 1 'since'
    kill -TERM "$pid"
    check "$name: the server ends" ended 0
    # What was trained lies in the store, and serves after a start.
    check "$name: it starts again" serve "$name" --data "$work/$name" "$@"
    ask /v1/personas/map -X POST -H "$json" \
        -d "{\"mapperId\":\"daily\",\"personaId\":\"$person\",\"detailLevel\":\"balanced\"}"
    check "$name: it serves still" bash -c "! grep -q 'Sing' '$work/out' && grep -q 'Dance' '$work/out'"
    kill -TERM "$pid"
    check "$name: and ends" ended 0
}

# The last training has come to its end.
trained()
{
    ask /v1/mappers/daily/train
    grep -q '"status":"done"' "$work/out"
}

# killed NAME OPTIONS...: the server dies some time after it was asked to train, and goes on behind the next start.
killed()
{
    local name=$1 round i
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    furnish
    for i in {1..60}; do
        feedback dance false
    done
    script 'processors/feedback-votes?activate=true' "$root/plugins/processors/feedback_votes.lua"
    for round in 0.02 0.05 0.1; do
        cli mapper train daily --no-wait
        check "$name: a training is asked for" exits 0
        sleep "$round"
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null
        check "$name: the server is killed, and starts again" serve "$name" --data "$work/$name" "$@"
        check "$name: the training comes to its end" within 60 trained
        [[ $round == 0.02 ]] && check "$name: with all feedback" says '"incorporated":60'
    done
    cli mapper versions daily
    check "$name: there is one draft" bash -c "grep -c '^daily' '$work/out' | grep -qx 2"
    kill -TERM "$pid"
    check "$name: the server ends" ended 0
}

life sqlite
killed killed
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_train_$$?"}"
    killed killed-mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_trained_$$?"}"
else
    skip 'training on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
