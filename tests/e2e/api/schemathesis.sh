#!/usr/bin/env bash
# schemathesis.sh - The real server does what /openapi.json says, whatever it is asked.
#
#     schemathesis.sh [REQUESTS] [SEED]
#
# All checks of schemathesis, with the key of an actor who may do everything,
# and with no key and a wrong one (ignored_auth): at least REQUESTS (2,000)
# requests. What fails is shown with a curl line that repeats it; what may not
# be held against the server stands in schemathesis_hooks.py, with its reason.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/api/api.bash
source "$(dirname "${BASH_SOURCE[0]}")/api.bash"
requests=${1:-2000}
seed=${2:-1}

# made: how many requests, and how many operations did at least once what they are for.
made()
{
    "$python" - "$work/report.json" <<'PYTHON' 2>/dev/null || echo 0 0
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)
done = [name for name, phases in report["valid_rates"].items()
        if any(phase["accepted"] for phase in phases.values())]
print(report["test_cases"]["generated"], len(done), *sorted(set(report["valid_rates"]) - set(done)))
PYTHON
}

check 'the server starts' serve one --data "$work/one" \
    --set rates.key.limit=1000000 --set rates.address.limit=1000000 \
    --set rates.person.limit=1000000 --set observations.approve=slack --set 'traits.conflicts=work.*=review'
key=$(<"$work/one/admin.key")
get /openapi.json
operations=$(grep -o '"operationId"' "$work/out" | wc -l)
check 'there are operations' test "$operations" -gt 5

# What a stranger cannot guess: an actor, a key of it, the cursor of a write.
make()
{
    get "$1" -D "$work/head" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d "$2"
    sed -n "s/.*\"$3\":\"\([^\"]*\)\".*/\1/p" "$work/out"
}
actor=$(make /v1/actors '{"actorType":"human","name":"first"}' actorId)
PK_GONE=$(make /v1/actors '{"actorType":"human","name":"second"}' actorId)
PK_KEY=$(make "/v1/actors/$actor/keys" '{"name":"first"}' keyId)
PK_AFTER=$(sed -n 's/^PersonaKit-Cursor: \(.*\)\r$/\1/p' "$work/head")
check 'an actor, a key, a cursor' test -n "$actor" -a -n "$PK_KEY" -a -n "$PK_AFTER"

# A version that serves, one before it, and one to put an end to; of each kind.
script()
{
    local kind=$1 id=$2 version=$3 rest=$4
    get "/v1/${kind}s/$id?activate=true" -X PUT -H "Authorization: Bearer $key" \
        -H 'Content-Type: application/json' -d "{\"source\":\"return require('personakit').$kind \
{ id = '$id', version = '$version', $rest }\"}"
}
for version in 0.1.0 0.2.0 1.0.0 1.1.0; do
    script mapper first "$version" 'core = function() return {} end'
    check "a mapper $version" test "$code" = 200
    script processor second "$version" "accepts = { 'x' }, process = function(obs, m, t) \
for _, path in ipairs { 'work.a', 'work.b', 'work.c' } do \
if m:has(path) then t:contradict(path, obs.content.raw) else t:set(path, obs.content.raw) end end end"
    check "a processor $version" test "$code" = 200
    script condition third "$version" 'test = function() return true end'
    check "a condition $version" test "$code" = 200
done
PK_HASH=$(sed -n 's/.*"contentHash":"\([0-9a-f]*\)".*/\1/p' "$work/out")
script processor fourth 1.0.0 "accepts = { 'y' }, process = function() error('never') end"
check 'and one that fails' test "$code" = 200
script processor fifth 1.0.0 "accepts = { 'feedback' }, process = function(obs, m, t) t:keep('x') end"
check 'and one that learns from feedback' test "$code" = 200

# A person with traits, a persona, feedback; and what waits for a decision.
observe()
{
    make "/v1/observations$5" "{\"personId\":\"$1\",\"sourceType\":\"$2\",\"sourceMetadata\":{\"source\":\"$3\"},
        \"content\":{\"raw\":\"word\"}}" "$4"
}
review()
{
    grep -o '"reviewId":"[^"]*"' "$work/reviews" | sed -n "$1s/.*:\"\(.*\)\"/\1/p"
}
PK_PERSON=b7a1c0de-0000-4000-8000-000000000001
other=b7a1c0de-0000-4000-8000-00000000000
PK_TASK=$(observe $PK_PERSON x mail taskId '?wait=processed')
PK_OBSERVATION=$(field observationId)
make '/v1/observations?wait=processed' "{\"personId\":\"$PK_PERSON\",\"sourceType\":\"x\",
    \"sourceMetadata\":{\"source\":\"mail\"},\"content\":{\"raw\":\"another\"}}" taskId >/dev/null
PK_FORGOTTEN=$(observe ${other}2 user_input mail observationId '')
PK_WAITING=$(observe ${other}2 user_input slack observationId '')
PK_UNWANTED=$(observe ${other}2 user_input slack observationId '')
PK_ERASED=${other}5
observe $PK_ERASED user_input mail observationId '' >/dev/null
PK_TWIN=${other}6 PK_SAME=${other}7 PK_MERGED=${other}9
for person in $PK_TWIN $PK_SAME ${other}8 $PK_MERGED; do
    observe "$person" user_input mail observationId '' >/dev/null
done
PK_MERGE=$(make '/v1/people/merge?wait=processed' "{\"from\":\"${other}8\",\"into\":\"$PK_MERGED\"}" mergeId)
check 'a merge' test -n "$PK_MERGE"
PK_FAILED=$(observe ${other}3 y mail taskId '')
PK_LOST=$(observe ${other}4 y mail taskId '')
get "/v1/people/$PK_PERSON/reviews" -H "Authorization: Bearer $key"
cp "$work/out" "$work/reviews"
PK_REVIEW_1=$(review 1) PK_REVIEW_2=$(review 2) PK_REVIEW_3=$(review 3)
get "/v1/people/$PK_PERSON/reviews/$PK_REVIEW_3/approve?wait=processed" -X POST -H "Authorization: Bearer $key"
check 'a decision' test "$code" = 200
get "/v1/people/$PK_PERSON/consents/research" -X PUT -H "Authorization: Bearer $key" \
    -H 'Content-Type: application/json' -d '{"status":"granted"}'
make /v1/personas/map "{\"mapperId\":\"first\",\"personaId\":\"$PK_PERSON\",\"detailLevel\":\"instant\"}" x >/dev/null
check 'a persona' test "$code" = 200
PK_FEEDBACK=$(make /v1/feedback "{\"personaInstanceId\":\"first:$PK_PERSON:instant\",
    \"feedback\":{\"ratings\":{\"overall\":5}}}" feedbackId)
check 'all of that has its id' test -n "$PK_TASK" -a -n "$PK_OBSERVATION" -a -n "$PK_FORGOTTEN" \
    -a -n "$PK_WAITING" -a -n "$PK_UNWANTED" -a -n "$PK_FAILED" -a -n "$PK_LOST" -a -n "$PK_REVIEW_3" -a -n "$PK_FEEDBACK"
export PK_PERSON PK_ERASED PK_TASK PK_OBSERVATION PK_FORGOTTEN PK_WAITING PK_UNWANTED PK_FAILED PK_LOST \
    PK_REVIEW_1 PK_REVIEW_2 PK_REVIEW_3 PK_FEEDBACK PK_TWIN PK_SAME PK_MERGED PK_MERGE
export PK_HASH PK_ACTOR=$actor PK_GONE PK_KEY PK_AFTER PYTHONPATH=$here SCHEMATHESIS_HOOKS=schemathesis_hooks

# A stream of events does not end, so its answer is never whole; tests/e2e has it.
(cd "$work" && "$python" -m schemathesis.cli run "$url/openapi.json" \
    --header "Authorization: Bearer $key" --checks all --phases examples,coverage,fuzzing,stateful --exclude-path /v1/events \
    --max-examples $((requests / operations + 1)) --seed "$seed" --generation-database none \
    --request-timeout 20 --continue-on-failure --suppress-health-check all --no-color \
    --report json --report-json-path "$work/report.json") >"$work/schemathesis" 2>&1
status=$?
sed 's/^/# /' "$work/schemathesis" | tail -n 600
check 'schemathesis finds nothing' test "$status" = 0
read -r cases_made reached missed < <(made)
check "at least $requests requests were made" test "$cases_made" -ge "$requests"
printf '# %s of %s operations did what they are for; not: %s\n' "$reached" "$operations" "$missed"
check 'most operations were reached' test $((reached * 5)) -ge $((operations * 4))
get /v1/actors/self -H "Authorization: Bearer $key"
check 'the key was good to the end' test "$code" = 200
kill -TERM "$pid"
check 'and leaves' ended 0
plan
