#!/usr/bin/env bash
# rollback.sh - A version that fails while people ask for personas is taken back by the server itself.
#
# Its own examples are good; what it does with people is not. Requests come from several callers at
# once. On the embedded store, and with two nodes on MongoDB when PK_TEST_MONGODB names one.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'
people=8

person()
{
    printf '11111111-1111-4111-8111-%012d' "$1"
}

# mapper VERSION LINE: its core runs LINE for people, and is good in its example.
mapper()
{
    cat <<END
local pk = require "personakit"
return pk.mapper {
  id = "daily", version = "$1", optional = { "test.example" }, context = { "taskType" },
  limits = { soft_ms = 1000, hard_ms = 5000 },
  core = function(m, ctx)
    if not m["test.example"] then $2 end
    return { says = { text = "$1" } }
  end,
  examples = {
    { given = { ["test.example"] = true }, expect = { core = { says = { text = "$1" } } } },
  },
}
END
}

# activate VERSION LINE: uploads it and makes it active.
activate()
{
    mapper "$1" "$2" >"$work/up.lua"
    ask '/v1/mappers/daily?activate=true' -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
    shown "it['version'] == '$1' and it['status'] == 'active'"
}

# shown PYTHON: an expression over the last body, 'it'.
shown()
{
    python3 -c "import json, sys
it = json.load(open(sys.argv[1]))
sys.exit(not ($1))" "$work/out" 2>"$work/err" || { printf '# not so: %s\n' "$1"; return 1; }
}

# Callers at the servers named: MODE URL... Each asks for every person in turn, at every detail.
#     once VERSION    every persona once; fails unless each is of that version
#     until VERSION   until each caller has had PEOPLE good ones of it in a row; says what came before
#     count N         N requests in all; says how many of them were good
cat >"$work/load.py" <<'END'
import collections, json, os, sys, threading, time, urllib.error, urllib.request

mode, wanted, urls = sys.argv[1], sys.argv[2], sys.argv[3:]
key, people = os.environ["KEY"], os.environ["PEOPLE"].split()
details = ["instant", "balanced", "deep_dive"]
came, lock, end = collections.Counter(), threading.Lock(), time.monotonic() + 30


def ask(url, person, detail):
    wanted = {"mapperId": "daily", "personaId": person, "detailLevel": detail}
    if person == people[0]:
        wanted["context"] = {"taskType": "odd"}
    body = json.dumps(wanted).encode()
    request = urllib.request.Request(url + "/v1/personas/map", body, {
        "Authorization": "Bearer " + key, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["persona"]["mapperVersion"]
    except urllib.error.HTTPError as problem:
        return json.load(problem)["code"]


def caller(number):
    row = 0
    for i in range(number, 10 ** 9, 4):
        said = ask(urls[i % len(urls)], people[i // 4 % len(people)], details[i % 3])
        with lock:
            came[said] += 1
            total = sum(came.values())
            if mode == "count" and total >= int(wanted) or time.monotonic() > end or total > 20000:
                return
        row = row + 1 if said == wanted else 0
        if mode == "until" and row >= len(people):
            return


if mode == "once":
    for url in urls:
        for person in people:
            for detail in details:
                came[ask(url, person, detail)] += 1
else:
    callers = [threading.Thread(target=caller, args=(n,)) for n in range(4)]
    [each.start() for each in callers]
    [each.join() for each in callers]
print(json.dumps(came))
sys.exit(time.monotonic() > end or sum(came.values()) > 20000 or mode == "once" and set(came) != {wanted})
END

load()
{
    KEY=$key PEOPLE=$(for ((i = 1; i <= people; i++)); do person "$i" && echo; done) \
        timeout 60 python3 "$work/load.py" "$@" >"$work/out" 2>"$work/err"
}

# serves VERSION [URL]: what new requests get there.
serves()
{
    local url=${2:-$url}
    ask /v1/admin/generations
    shown "[s['version'] for s in it['scripts'] if s['id'] == 'daily'] == ['$1']"
}

cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# rolled_back COUNT: so often, by events and audit rows, and by nobody but the server.
rolled_back()
{
    ask '/v1/admin/audit?limit=100&action=mapper.rolled_back'
    shown "[e['actorId'] for e in it['items']] == ['personakit'] * $1" &&
        within 5 seen "$1"
}

seen()
{
    [[ $(grep -c '^event: mapper.rolled_back' "$work/events") == "$1" ]]
}

# by_itself NAME URL...: all of it, requests going to all of these servers.
by_itself()
{
    local name=$1 i hash
    shift
    url=$1
    for ((i = 1; i <= people; i++)); do
        ask /v1/observations -H "$json" -d "{\"personId\":\"$(person "$i")\",\"sourceType\":\"user_input\",
            \"sourceMetadata\":{\"source\":\"test\"},\"content\":{\"raw\":\"hello\"}}"
    done
    check "$name: there are people" test "$code" = 201
    curl -sN -H "Authorization: Bearer $key" "$url/v1/events?type=mapper.*" >"$work/events" 2>/dev/null &
    pids+=("$!")
    check "$name: a good version" activate 1.0.0 ''
    for each in "$@"; do
        check "$name: serves" within 5 serves 1.0.0 "$each"
    done
    check "$name: and everybody gets a persona of it" load once 1.0.0 "$@"

    check "$name: one that fails for people is activated, for its example is good" activate 1.1.0 'error("no good")'
    check "$name: under load the one before it serves again by itself" load until 1.0.0 "$@"
    check "$name: after at least 5 failures of at least 20 calls" shown 'it["script_refused"] >= 20'
    printf '# %s\n' "$(cat "$work/out")"
    for each in "$@"; do
        check "$name: it serves" within 5 serves 1.0.0 "$each"
    done
    check "$name: nobody is refused any more" load once 1.0.0 "$@"
    check "$name: it was one rollback, by the server" rolled_back 1
    ask /v1/mappers/daily
    check "$name: the mapper's active version is the one before" \
        shown 'it["version"] == "1.0.0" and it["status"] == "active"'
    ask /v1/admin/generations
    check "$name: the content is barred, and it says why" \
        shown 'len(it["barred"]) == 1 and it["barred"][0]["version"] == "1.1.0" and "calls" in it["barred"][0]["reason"]'
    hash=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["barred"][0]["contentHash"])' "$work/out")
    cli generations
    check "$name: so does the command" exits 0 "$hash"
    cli mapper versions daily
    check "$name: and which version is active" bash -c "grep -q '1.0.0 *active' '$work/out' && grep -q '1.1.0 *draft, barred' '$work/out'"
    ask /v1/mappers/daily/versions
    check "$name: over HTTP with the reason" shown \
        '[("calls" in v["bar"]["reason"]) for v in it["items"] if "bar" in v] == [True]'
    cli mapper activate daily 1.1.0
    check "$name: it is not activated again" exits 1 'barred'
    mapper 1.1.0 'error("no good")' >"$work/up.lua"
    ask '/v1/mappers/daily?activate=true' -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
    check "$name: nor as an upload" test "$code" = 409
    check "$name: more requests change nothing" load once 1.0.0 "$@"
    check "$name: it stays one" rolled_back 1

    # Whose data makes a script fail must not take it away from all others.
    check "$name: a version that fails for one person" activate 1.2.0 \
        'if (ctx.context or {}).taskType == "odd" then error("only his") end'
    check "$name: serves" within 5 serves 1.2.0
    check "$name: and stays" load count 60 "$@"
    check "$name: though his are refused" shown 'it["script_refused"] >= 5 and it["1.2.0"] >= 40'
    check "$name: it serves on" serves 1.2.0
    check "$name: no other rollback" rolled_back 1

    check "$name: one that is good for all" activate 1.3.0 ''
    check "$name: serves everybody" load until 1.3.0 "$@"

    # An operator who lifts the bar may have it tried again: it is doubted again, once.
    cli script lift "$hash"
    check "$name: the bar is lifted" exits 0
    cli mapper versions daily
    check "$name: and is not shown any more" bash -c "! grep -q barred '$work/out'"
    cli mapper activate daily 1.1.0
    check "$name: and it is active once more" exits 0 '1.1.0 is active'
    check "$name: until it fails again" load until 1.3.0 "$@"
    check "$name: which is the second rollback" rolled_back 2
}

check 'a server' serve one --data "$work/one"
key=$(cat "$work/one/admin.key")
by_itself sqlite "$url"
kill -TERM "$pid"
check 'it stops' ended 0
check 'started again' serve one --data "$work/one"
check 'the good version serves still' serves 1.3.0
kill -TERM "$pid"
check 'it stops' ended 0

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    store=${PK_TEST_MONGODB/'/?'/"/pk_rollback_$$?"}
    check 'a node on MongoDB' serve node1 --data "$work/node1" --store "$store"
    first=$url first_pid=$pid
    key=$(cat "$work/node1/admin.key")
    mkdir -m 700 "$work/node2"
    cp -p "$work/node1/pepper" "$work/node2/pepper"
    check 'and another' serve node2 --data "$work/node2" --store "$store"
    second=$url
    by_itself 'two nodes' "$first" "$second"
    kill -TERM "$pid"
    check 'one stops' ended 0
    pid=$first_pid
    kill -TERM "$pid"
    check 'and the other' ended 0
else
    skip 'two nodes' 'PK_TEST_MONGODB is not set'
fi
plan
