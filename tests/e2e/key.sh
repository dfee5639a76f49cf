#!/usr/bin/env bash
# key.sh - 'personakit key' against a real server: made, shown once, refused; and the way back in.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# admin ARGUMENTS...: with the admin's key.
admin()
{
    run "$@" --data "$work/data"
}

# asks KEY: 'actor show self' with it; sets $status.
asks()
{
    PERSONAKIT_KEY=$1 run actor show self --data "$work/data"
}

# refused KEY: it is refused (revocation takes up to two seconds).
refused()
{
    asks "$1"
    exits 1 'refuses the key'
}

check 'the server starts' serve server --data "$work/data"
check "the admin's key is for its owner alone" test "$(stat -c %a "$work/data/admin.key")" = 600
admin actor create --name robot --type ai_agent --json
id=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["actorId"])' "$work/out")
admin key list robot
check 'an actor without keys' exits 0 'no keys'

admin key add robot
check 'a key needs a name' exits 2 '--name'
admin key add robot --name laptop --quiet
check 'key add --quiet prints the key' exits 0 'pk_'
check 'and nothing else' bash -c "[[ \$(wc -l <'$work/out') == 1 ]] &&
    ! grep -q 'only time' '$work/err'"
laptop=$(cat "$work/out")
check 'it is a key' bash -c "[[ '$laptop' =~ ^pk_[a-z2-7]{16}_[a-z2-7]{52}$ ]]"
laptop_id=${laptop:3:16}
asks "$laptop"
check 'it works' exits 0 'robot'
admin key add robot --name phone --expires 30d
check 'for people, with a warning' exits 0 'only time'
check 'the key is on standard output' grep -q '^key pk_' "$work/out"
admin key add robot --name tablet --expires 2001-01-01T00:00:00Z
check 'a key that has expired already is refused or dead' \
    bash -c "[[ $status -eq 1 ]] || ! curl -sf -H \"Authorization: Bearer \$(sed -n 's/^key //p' '$work/out')\" '$url/v1/actors/self'"
admin key add robot --name x --expires never
check 'an expiry that is none' exits 2 '30d'
admin key add robot --name json --json
check '--json has the key' python3 -c \
    'import json,sys; assert json.load(open(sys.argv[1]))["key"].startswith("pk_")' "$work/out"
admin key list robot
check 'key list' exits 0 "$laptop_id"
check 'with names' says 'phone'
check 'without secrets' bash -c "! grep -q '${laptop:20}' '$work/out'"
admin key list robot --json
check 'nor with --json' bash -c "grep -q '$laptop_id' '$work/out' && ! grep -q '${laptop:20}' '$work/out' &&
    ! grep -qi hash '$work/out'"

PERSONAKIT_KEY=$laptop run actor list --data "$work/data"
check 'no permission is said to be that' exits 1 'personakit: '
check 'and not taken for a wrong key' bash -c "! grep -q 'refuses the key' '$work/err'"
if [[ ${laptop:40:1} == a ]]; then other=b; else other=a; fi
asks "${laptop:0:40}$other${laptop:41}"
check 'a wrong key' exits 1 'refuses the key'
check 'the key is not shown' bash -c "! grep -q '${laptop:20:40}' '$work/err'"

admin key revoke robot "$laptop_id"
check 'revoke asks, and nobody answers' exits 1 '--yes'
asks "$laptop"
check 'so it works still' exits 0
admin key revoke robot "$laptop_id" --yes
check 'revoke' exits 0 'revoked'
check 'it is refused within seconds' within 3 refused "$laptop"
admin key revoke robot "$laptop_id" --yes
check 'once more is no fault' exits 0
admin key revoke robot aaaaaaaaaaaaaaaa --yes
check 'a key that there is not' exits 1 'personakit: '
admin key list robot
check 'the list says so' exits 0 'revoked'

admin key add robot --name other --quiet
other=$(cat "$work/out")
admin actor suspend "$id"
check 'the key of a suspended actor is refused within seconds' within 3 refused "$other"
admin actor resume "$id"
works()
{
    asks "$1"
    [[ $status -eq 0 ]]
}
check 'and works again' within 3 works "$other"
admin actor archive "$id" --yes
check 'the key of an archived actor is refused within seconds' within 3 refused "$other"
admin key add "$id" --name late
check 'an archived actor gets no key' exits 1 'archived'

# ---- The way back in ----

run key reset --data "$work/data" --yes
check 'key reset is refused while the server runs' exits 1 "in use by process $pid"
check 'with what to do' says 'stop the server'
kill -TERM "$pid"
check 'the server leaves' ended 0
old=$(cat "$work/data/admin.key")
run key reset --data "$work/data"
check 'key reset asks, and nobody answers' exits 1 '--yes'
check 'so nothing was changed' test "$(cat "$work/data/admin.key")" = "$old"
rm "$work/data/admin.key"
run key reset --data "$work/data" --yes
check 'key reset makes a new key' exits 0 "$work/data/admin.key"
check 'for its owner alone' test "$(stat -c %a "$work/data/admin.key")" = 600
check 'the server starts again' serve server --data "$work/data"
admin actor show self
check 'the new key works' exits 0 'admin'
check 'the old one does not' refused "$old"
get /v1/admin/audit -H "Authorization: Bearer $(cat "$work/data/admin.key")"
check 'it is in the audit' bash -c "[[ $code == 200 ]] && grep -q 'key.reset' '$work/out'"
kill -TERM "$pid"
check 'the server leaves again' ended 0

mv "$work/data/pepper" "$work/pepper"
run key reset --data "$work/data" --yes
check 'a lost pepper is not made anew by itself' exits 1 '--lost-pepper'
check 'nor is there one' test ! -e "$work/data/pepper"
run key reset --data "$work/data" --yes --lost-pepper
check 'unless that is said' exits 0
check 'then the server starts' serve server --data "$work/data"
admin actor show self
check 'and the admin is in' exits 0 'admin'
kill -TERM "$pid"
check 'and it leaves' ended 0

# ---- Peppers ----

first=$(sed -n '2s/ .*//p' "$work/data/pepper")
run pepper list --data "$work/data"
check 'pepper list shows the one there is' exits 0 "$first"
check 'how many keys rest on it, and for what it is used' grep -qE "^$first +1 +new keys, people" "$work/out"
run pepper retire "$first" --data "$work/data" --yes
check 'the only one is not retired' exits 1 'in use'
run pepper rotate --data "$work/data"
check 'pepper rotate adds one' exits 0 'old ones stay good'
second=$(sed -n '3s/ .*//p' "$work/data/pepper")
check 'the server starts with two' serve server --data "$work/data"
admin key add self --name second --quiet
key=$(cat "$work/out")
check 'the key made before is good' exits 0 pk_
run pepper list --data "$work/data"
check 'while it runs its peppers are left alone' exits 1 'stop the server first'
kill -TERM "$pid"
check 'it leaves' ended 0
run pepper rotate --data "$work/data"
check 'a third' exits 0
run pepper retire "$second" --data "$work/data"
check 'nothing is retired without a yes' exits 1 '--yes'
run pepper retire nopepper --data "$work/data" --yes
check 'an unknown one is named' exits 1 "no pepper 'nopepper'"
run pepper retire "$second" --data "$work/data" --yes
check 'retiring says how many keys are void' exits 0 'void keys: 1'
check 'the server starts without it' serve server --data "$work/data"
check 'the key made with it is void' refused "$key"
key=$(cat "$work/data/admin.key")
ask "/v1/admin/audit?action=pepper.retired&target=$second"
check 'the other one is not, and finds it in the audit' bash -c "[[ $code == 200 ]] && grep -q '$second' '$work/out'"
kill -TERM "$pid"
check 'and it leaves at last' ended 0
run pepper list --data "$work/nowhere"
check 'a folder without peppers' exits 1 'no pepper file'

run key reset --data "$work/nowhere" --yes
check 'a folder that is not there' exits 1 'no folder'
mkdir "$work/empty"
run key reset --data "$work/empty" --yes
check 'a folder without a store' exits 1 'no store'
check 'stays empty' bash -c "[[ -z \$(ls -A '$work/empty') ]]"
plan
