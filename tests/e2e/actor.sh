#!/usr/bin/env bash
# actor.sh - 'personakit actor' against a real server: who may ask, from creation to the archive.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# actor VERB ARGUMENTS...: asks the server of $work/data with the admin's key.
actor()
{
    run actor "$@" --data "$work/data"
}

# one PATH: the value at PATH of the JSON in $work/out.
one()
{
    python3 -c 'import functools,json,sys
at = functools.reduce(lambda v, k: v[int(k) if k.isdigit() else k], sys.argv[2].split("."), json.load(open(sys.argv[1])))
print(at if isinstance(at, str) else json.dumps(at))' "$work/out" "$1"
}

# ---- Without a server ----

run actor list --data "$work/none"
check 'without a server, how to start one' exits 1 "personakit serve --data $work/none"
mkdir "$work/dead"
echo 'http://127.0.0.1:9' >"$work/dead/server"
PERSONAKIT_KEY=pk_aaaaaaaaaaaaaaaa_$(printf 'a%.0s' {1..52})
export PERSONAKIT_KEY
run actor list --data "$work/dead"
check 'one that has gone without a word, the same' exits 1 "personakit serve --data $work/dead"
run actor list --server http://127.0.0.1:9
check 'one that is named and does not answer: what was tried' exits 1 '127.0.0.1:9'
run actor list --server http://127.0.0.1:9 --json
check 'with --json the error is JSON' python3 -c \
    'import json,sys; e = json.load(open(sys.argv[1])); assert e["hint"] and e["message"]' "$work/err"
run actor list --server gopher://127.0.0.1
check 'a server that is none' exits 2 'not the address of a server'
run actor list --server http://127.0.0.1:9 --key secret
check 'a key that is none' exits 2 'not a key'
check 'is not shown' bash -c "! grep -q secret '$work/err'"
unset PERSONAKIT_KEY
run actor list --server http://127.0.0.1:9 --data "$work/none"
check 'no key at all' exits 1 'PERSONAKIT_KEY'
mkdir "$work/keyed"
printf 'pk_aaaaaaaaaaaaaaaa_%s\n' "$(printf 'a%.0s' {1..52})" >"$work/keyed/admin.key"
run actor list --server http://personakit.invalid --data "$work/keyed"
check "the admin's key is not sent elsewhere by itself" exits 1 'not sent'

# ---- Usage ----

run actor
check 'the noun alone lists its commands' exits 2 'actor create'
run actor shwo
check 'a mistyped verb is answered with the nearest' exits 2 "did you mean 'actor show'?"
run actor show
check 'a missing actor is asked for' exits 2 'needs ACTOR'
run actor show a b
check 'one too many is refused' exits 2 "takes no 'b'"
run actor create --name x
check 'create needs a type' exits 2 '--type'
run actor create --name x --type human --can fly
check 'an unknown capability is refused, with those there are' exits 2 'write_observations'
run actor change x
check 'change needs something to change' exits 2 'nothing to change'

# ---- A life ----

check 'the server starts' serve server --data "$work/data"
check 'it notes where it listens' grep -qxF "$url" "$work/data/server"
actor list
check 'there is admin, and it is active' exits 0 'admin'
check 'under a heading' says 'STATUS'
actor list --json
check '--json is a list' bash -c "[[ $(one items.0.name) == admin && $(one next) == null ]]"
actor list --status suspended
check 'an empty list says so' exits 0 'no actors are suspended'
actor list --status asleep
check 'a status that there is not is refused by the server' exits 1 'status'
actor show self
check 'self is who asks' exits 0 'admin'
check 'with what it can' says 'operate'

actor create --name assistant --type ai_agent --can request_personas,curate --detail balanced \
    --mappers all --people none --hide health,money.debts --json
check 'create' exits 0
id=$(one actorId)
check 'it has what was asked for' bash -c "[[ $(one capabilities.canRequestPersonas) == true &&
    $(one capabilities.canProvideFeedback) == false && '$(one capabilities.grants)' == *curate* &&
    $(one capabilities.maxDetailLevel) == balanced && '$(one capabilities.hiddenPaths)' == *money.debts* ]]"
actor create --name shy --type human
check 'for people, with what comes next' exits 0 'personakit key add'
check 'what is not said is not allowed' says 'nothing'
actor create --name bad --type robot
check 'a type that there is not names the field' exits 1 'actorType'
actor create --name one --type human --email a@example.org
actor create --name two --type human --email a@example.org
check 'an email that is taken' exits 1 'email'

actor show assistant
check 'by name' exits 0 "$id"
actor show "$id"
check 'by id' exits 0 'assistant'
actor show nobody
check 'an unknown name' exits 1 "there is no actor 'nobody'"
actor show 11111111-1111-4111-8111-111111111111
check 'an unknown id' exits 1 'there is no such'
actor create --name assistant --type system
actor show assistant
check 'a name that two have' exits 1 '2 actors are called'

actor change "$id" --detail deep_dive --can none --json
check 'change changes what it names' bash -c "[[ $(one capabilities.maxDetailLevel) == deep_dive &&
    $(one capabilities.canRequestPersonas) == false && '$(one capabilities.grants)' == '[]' ]]"
check 'and nothing else' bash -c "[[ '$(one capabilities.hiddenPaths)' == *health* ]]"
actor change one --no-email --json
check 'an email can be taken away' bash -c "! grep -q example.org '$work/out'"
actor change "$id" --detail much
check 'a wrong value is refused with its field' exits 1 'maxDetailLevel'

actor suspend "$id"
check 'suspend' exits 0 'suspended'
actor suspend "$id"
check 'once more is no fault' exits 0 'suspended'
actor list --status suspended
check 'the list finds it' exits 0 "$id"
actor resume "$id"
check 'resume' exits 0 'active'
actor archive "$id"
check 'archive asks, and nobody answers' exits 1 '--yes'
actor archive "$id" --yes
check 'archive' exits 0 'archived'
actor resume "$id"
check 'it stays archived' exits 1 'archived'
actor change "$id" --name again
check 'and never changes again' exits 1 'archived'

# Names come from outside: a terminal must not obey them.
actor create --name $'evil\e[2J' --type human
actor list
check 'control characters are shown, not sent' bash -c "! grep -q $'\e' '$work/out' '$work/err'"

for ((i = 0; i < 120; i++)); do
    printf '{"name":"many %d","actorType":"system","description":"x"}\n' "$i"
done >"$work/many"
while IFS= read -r line; do
    curl -s -o "$work/ignored" -H "Authorization: Bearer $(cat "$work/data/admin.key")" \
        -H 'Content-Type: application/json' -d "$line" "$url/v1/actors"
done <"$work/many"
actor list --json
check 'a list of several pages comes whole' python3 -c \
    'import json,sys; l = json.load(open(sys.argv[1])); assert len([i for i in l["items"] if i["name"].startswith("many")]) == 120 and l["next"] is None' \
    "$work/out"

# ---- Elsewhere ----

key=$(cat "$work/data/admin.key")
PERSONAKIT_KEY=$key PERSONAKIT_SERVER=$url run actor show self
check 'server and key from the environment' exits 0 'admin'
run actor show self --server "$url/" --key "$key" --data "$work/none"
check 'and from options' exits 0 'admin'
PERSONAKIT_SERVER=http://127.0.0.1:9 actor show self --server "$url"
check 'an option wins over the environment' exits 0 'admin'
run actor show self --server "https://${url#http://}" --key "$key"
check 'TLS where there is none says so' exits 1 'TLS'
tcp=$pid
check 'a server on a socket' serve socket --data "$work/socket" --listen "unix:$work/http.sock"
run actor show self --data "$work/socket"
check 'is found by its folder' exits 0 'admin'
run actor show self --data "$work/socket" --server "unix:$work/http.sock"
check 'and by its path' exits 0 'admin'
run actor show self --data "$work/data" --server "unix:$work/http.sock"
check 'where the key of another is refused' exits 1 'refuses the key'
kill -TERM "$pid"
check 'that one leaves' ended 0
pid=$tcp

kill -TERM "$pid"
check 'the server leaves' ended 0
check 'and its address with it' test ! -e "$work/data/server"

# Its port may be anybody's by then, and would be sent the key.
check 'a server that is killed' serve killed --data "$work/killed"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'leaves its address behind' test -s "$work/killed/server"
run actor list --data "$work/killed"
check 'which is not believed' exits 1 'no server runs'
plan
