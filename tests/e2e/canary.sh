#!/usr/bin/env bash
# canary.sh - A version of a mapper tried on a share of people: begun, grown, ended, won, and failing.
#
# On the embedded store, with a restart in between; and with two nodes on MongoDB when
# PK_TEST_MONGODB names one.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
people=24

person()
{
    printf 'cafe0000-1111-4111-8111-%012d' "$1"
}

# put VERSION LINE [?activate=true]: its core runs LINE for people, and is good in its example.
put()
{
    cat >"$work/up.lua" <<END
local pk = require "personakit"
return pk.mapper {
  id = "daily", version = "$1", optional = { "test.example" }, limits = { soft_ms = 1000, hard_ms = 5000 },
  core = function(m)
    if not m["test.example"] then $2 end
    return { says = { text = "$1" } }
  end,
  examples = {
    { given = { ["test.example"] = true }, expect = { core = { says = { text = "$1" } } } },
  },
}
END
    ask "/v1/mappers/daily${3:-}" -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
}

# shown PYTHON: an expression over the last body, 'it'.
shown()
{
    python3 -c "import json, sys
it = json.load(open(sys.argv[1]))
sys.exit(not ($1))" "$work/out" 2>"$work/err" || { printf '# not so: %s\n' "$1"; return 1; }
}

cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

map()
{
    ask /v1/personas/map -H "$json" \
        -d "{\"mapperId\":\"daily\",\"personaId\":\"$(person "$1")\",\"detailLevel\":\"instant\"}"
}

# given FILE: who has which version, a line each: "7 1.1.0".
given()
{
    local i
    for ((i = 1; i <= people; i++)); do
        map "$i"
        printf '%s %s\n' "$i" "$(sed -n 's/.*"mapperVersion":"\([0-9.]*\)".*/\1/p' "$work/out")"
    done >"$1"
}

# of VERSION FILE: how many have it.
of()
{
    grep -c " ${1//./\\.}\$" "$2"
}

# kept BEFORE AFTER: whoever had 1.1.0 has it still.
kept()
{
    grep ' 1\.1\.0$' "$1" | grep -qvxFf "$2" && return 1
    return 0
}

everybody()
{
    given "$work/all" && [[ $(of "$1" "$work/all") == "$people" ]]
}

tried()
{
    ask /v1/admin/generations
    shown "[s['version'] for s in it['scripts'] if s['id'] == 'daily' and 'canaryShare' in s] == $1"
}

# audited WHAT VERSIONS: the newest first.
audited()
{
    ask "/v1/admin/audit?action=mapper.canary_$1"
    shown "[e['details']['version'] for e in it['items']] == $2"
}

# trying NAME URL [URL]: all of it, with a restart in the middle when there is one server.
trying()
{
    local name=$1 first=$2 second=${3:-$2} i in out
    url=$first
    for ((i = 1; i <= people; i++)); do
        ask /v1/observations -H "$json" -d "{\"personId\":\"$(person "$i")\",\"sourceType\":\"user_input\",
            \"sourceMetadata\":{\"source\":\"test\"},\"content\":{\"raw\":\"hello\"}}"
    done
    check "$name: there are people" test "$code" = 201
    put 1.0.0 '' '?activate=true'
    put 1.1.0 ''
    check "$name: a version serves, and a draft waits" test "$code" = 200
    check "$name: everybody has the one" everybody 1.0.0

    cli mapper canary daily 1.1.0
    check "$name: nothing is tried yet" exits 1 'not being tried'
    cli mapper canary daily 1.1.0 --share 0
    check "$name: a share of nobody is refused" exits 2 'above 0'
    cli mapper canary daily 1.1.0 --share half
    check "$name: and what is no share" exits 2 'is no share'
    cli mapper canary daily 1.1.0 --share 0.5 --end
    check "$name: it begins or ends" exits 2 'exclude each other'
    cli mapper canary daily 9.9.9 --share 0.5
    check "$name: a version that is not there is not tried" exits 1 '9.9.9'
    cli mapper canary daily 1.0.0 --share 0.5
    check "$name: nor the active one" exits 1 'is the active one'
    cli mapper canary daily 1.1.0 --share 40%
    check "$name: the draft is tried on some" exits 0 '1.1.0 is tried on 40 % of people; 1.0.0 serves the others'
    cli mapper canary daily 1.0.0 --end
    check "$name: what is not tried does not end" exits 1 'not being tried'

    given "$work/before"
    check "$name: some have it, and the others have not" \
        test "$(of 1.1.0 "$work/before")" -gt 1 -a "$(of 1.0.0 "$work/before")" -gt 1
    given "$work/again"
    check "$name: the same ones each time" cmp -s "$work/before" "$work/again"
    url=$second
    check "$name: the other server knows" within 5 tried "['1.1.0']"
    given "$work/again"
    check "$name: the same ones there" cmp -s "$work/before" "$work/again"
    in=$(sed -n 's/ 1\.1\.0$//p' "$work/before" | head -1)
    out=$(sed -n 's/ 1\.0\.0$//p' "$work/before" | head -1)

    map "$in"
    check "$name: the answer says that it is tried" shown 'it["persona"]["isCanary"] is True'
    ask "/v1/personas/daily:$(person "$in"):instant"
    check "$name: read by its plain name it is the same" \
        shown 'it["mapperVersion"] == "1.1.0" and it["isCanary"] and not it["isStale"]'
    ask "/v1/personas/daily:$(person "$in"):instant"
    check "$name: also from the loop" shown 'it["mapperVersion"] == "1.1.0"'
    ask "/v1/personas/daily:$(person "$out"):instant"
    check "$name: and others read theirs" shown 'it["mapperVersion"] == "1.0.0" and "isCanary" not in it'
    ask "/v1/personas/daily:$(person "$in"):instant/explain"
    check "$name: it is explained" shown 'it["mapperVersion"] == "1.1.0" and not it["staleness"]["isStale"]'

    for i in "$in" "$out"; do
        ask /v1/feedback -H "$json" -d "{\"personaInstanceId\":\"daily:$(person "$i"):instant\",\"feedback\":{
            \"ratings\":{\"overall\":$([[ $i == "$in" ]] && printf 5 || printf 2)},\"impact\":{
            \"taskSuccessImpact\":\"positive\",\"wouldUseAgain\":true,\"recommendationScore\":9}}}"
        check "$name: feedback is taken" test "$code" = 201
    done
    ask /v1/mappers/daily/feedback
    check "$name: both stand side by side" shown '[(v["mapperVersion"], v["role"], v["count"], v["ratings"]["overall"])
        for v in it["versions"]] == [("1.1.0", "canary", 1, 5), ("1.0.0", "active", 1, 2)]'
    cli mapper canary daily 1.1.0
    check "$name: and in a table" exits 0 'NPS'
    check "$name: of both" bash -c "grep -q '^1.1.0  *40.0 %  *1  *5.00' '$work/out' && grep -q '^1.0.0  *60.0 %  *1  *2.00' '$work/out'"
    cli mapper canary daily 1.1.0 --json
    check "$name: as JSON" exits 0 '"role":"canary"'
    cli mapper versions daily
    check "$name: the list says what is tried" \
        bash -c "grep -q '1.1.0 *draft on 40 %' '$work/out' && grep -q '1.0.0 *active, 1.1.0 on 40 %' '$work/out'"
    ask /metrics
    check "$name: so do the metrics" says 'personakit_script_canary_share{script="mapper/daily 1.1.0"} 0.4'

    cli mapper canary daily 1.1.0 --share 0.8
    check "$name: the share grows" exits 0 'on 80 % of people'
    "$restart"
    given "$work/after"
    check "$name: who had it keeps it" kept "$work/before" "$work/after"
    check "$name: and others have it, too" test "$(of 1.1.0 "$work/after")" -gt "$(of 1.1.0 "$work/before")"
    cli mapper canary daily 1.1.0 --end
    check "$name: it ends" exits 0 '1.0.0 serves everybody'
    check "$name: everybody has the other again" everybody 1.0.0

    put 1.2.0 'error("no good")'
    cli mapper canary daily 1.2.0 --share 0.9
    check "$name: one that fails is tried, for its example is good" exits 0
    check "$name: nobody is refused" everybody 1.0.0
    check "$name: it ends by itself" within 10 gave_up
    check "$name: everybody has the good one" everybody 1.0.0
    map "$in"
    check "$name: without a word of it" shown '"warnings" not in it["metadata"]'
    cli mapper canary daily 1.2.0 --share 0.5
    check "$name: and it is not tried again" exits 1 'barred'
    check "$name: the audit log has each beginning" audited started '["1.2.0", "1.1.0"]'
    check "$name: each change" audited changed '["1.1.0"]'
    check "$name: and each end" audited ended '["1.2.0", "1.1.0"]'
    check "$name: by whom" shown 'it["items"][0]["actorId"] == "personakit" and it["items"][1]["actorId"] != "personakit"'

    cli mapper canary daily 1.1.0 --share 0.2
    cli mapper activate daily 1.1.0
    check "$name: one that wins is activated" exits 0 '1.1.0 is active'
    check "$name: and everybody has it" everybody 1.1.0
    check "$name: nothing is tried any more" tried '[]'
}

# It takes 20 calls to be doubted; requests of one person within a second share one failure.
gave_up()
{
    everybody 1.0.0 && tried '[]'
}

again_one()
{
    kill -TERM "$pid"
    check 'it stops' ended 0
    check 'and starts again' serve one --data "$work/one"
}

check 'a server' serve one --data "$work/one"
key=$(cat "$work/one/admin.key")
restart=again_one
trying sqlite "$url"
kill -TERM "$pid"
check 'it stops' ended 0

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    store=${PK_TEST_MONGODB/'/?'/"/pk_canary_$$?"}
    check 'a node on MongoDB' serve node1 --data "$work/node1" --store "$store"
    first=$url first_pid=$pid
    key=$(cat "$work/node1/admin.key")
    mkdir -m 700 "$work/node2"
    cp -p "$work/node1/pepper" "$work/node2/pepper"
    check 'and another' serve node2 --data "$work/node2" --store "$store"
    restart=true
    trying 'two nodes' "$first" "$url"
    kill -TERM "$pid"
    check 'one stops' ended 0
    pid=$first_pid
    kill -TERM "$pid"
    check 'and the other' ended 0
else
    skip 'two nodes' 'PK_TEST_MONGODB is not set'
fi
plan
