#!/usr/bin/env bash
# scripts.sh - Mappers on a server that runs: uploaded, saved, spoiled, taken back, signed, on two nodes.
#
# All of it by HTTP and by the commands, on the embedded store, and on MongoDB when
# PK_TEST_MONGODB names one. What must not serve is tried while the good version does.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
json='Content-Type: application/json'

# mapper VERSION TEXT [LINE]: a mapper 'daily' whose one rule suggests TEXT, to standard output.
mapper()
{
    cat <<END
local pk = require "personakit"
${3:-}
return pk.mapper {
  id = "daily", version = "$1", requires = { "work.chronotype" },
  rules = {
    pk.rule { id = "lark", when = pk.trait("work.chronotype"):is("morning"), suggest = "$2" },
  },
  examples = {
    { given = { ["work.chronotype"] = "morning" }, expect = { fired = { "lark" } } },
  },
}
END
}

# body FILE: as PUT takes it.
body()
{
    python3 -c 'import json, sys; print(json.dumps({"source": open(sys.argv[1]).read()}))' "$1"
}

# put VERSION TEXT [QUERY]: uploads a mapper by HTTP.
put()
{
    mapper "$1" "$2" >"$work/up.lua"
    ask "/v1/mappers/daily${3:-}" -X PUT -H "$json" -d "$(body "$work/up.lua")"
}

# active VERSION: that version of 'daily' is the active one, and serves on the server at $url.
active()
{
    ask /v1/mappers/daily
    grep -qF "\"version\":\"$1" "$work/out" && grep -q '"status":"active"' "$work/out" && serves "$1"
}

# serves VERSION: what new requests get is that version of 'daily'.
serves()
{
    ask /v1/admin/generations
    python3 -c '
import json, sys
daily = [s for s in json.load(open(sys.argv[1]))["scripts"] if s["id"] == "daily"]
sys.exit(not (len(daily) == 1 and daily[0]["version"].startswith(sys.argv[2])))' "$work/out" "$1"
}

# shown PYTHON: an expression over the last body, 'it'.
shown()
{
    python3 -c "import json, sys
it = json.load(open(sys.argv[1]))
sys.exit(not ($1))" "$work/out" || { printf '# not so: %s\n' "$1"; return 1; }
}

problem()
{
    [[ $code == "$1" ]] && grep -q "\"code\":\"$2\"" "$work/out" && grep -q '"hint":"' "$work/out" ||
        { printf '# status %s\n' "$code"; return 1; }
}

# Commands for the server at $url, with its key.
cli()
{
    PERSONAKIT_KEY=$key run "$@" --server "$url"
}

# ---- One node: uploads, versions, ways back ----

# life NAME OPTIONS...: all of it on one server.
life()
{
    local name=$1 hash
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" "$@"
    key=$(cat "$work/$name/admin.key")
    curl -sN -H "Authorization: Bearer $key" "$url/v1/events?type=mapper.*" >"$work/events" 2>/dev/null &
    pids+=("$!")
    cli generations
    check "$name: nothing serves at first" exits 0 'serves generation 0'
    cli mapper list
    check "$name: and nothing is listed" exits 0 'no mappers'
    ask /v1/mappers/daily
    check "$name: a mapper that is not there: 404" problem 404 not_found

    put 1.0.0 'Rise early'
    check "$name: a first version is a draft" shown 'it["status"] == "draft" and it["version"] == "1.0.0"'
    check "$name: which does not serve" bash -c "[[ $code == 20[01] ]]"
    ask /v1/mappers/daily/versions/1.0.0/activate -X POST
    check "$name: activated, the answer says the generation" \
        shown 'it["status"] == "active" and it["activation"]["generation"] >= 1 and it["activation"]["oldCalls"] == 0'
    check "$name: it serves" active 1.0.0
    put 1.0.0 'Rise late'
    check "$name: other content under that version: 409" problem 409 conflict
    check "$name: raise it" says 'raise the version'
    put 1.0.0 'Rise early' '?activate=true'
    check "$name: the same content twice is one version" test "$code" = 200
    mapper 1.1.0 'Rise late' >"$work/up.lua"
    ask '/v1/mappers/daily?activate=true' -X PUT -H 'Content-Type: text/x-lua' --data-binary "@$work/up.lua"
    check "$name: a file as it is, uploaded and activated at once" active 1.1.0
    mapper 1.2.0 'No' 'local x = = 1' >"$work/up.lua"
    ask '/v1/mappers/daily?activate=true' -X PUT -H "$json" -d "$(body "$work/up.lua")"
    check "$name: a broken one: 422 with file and line" problem 422 script_refused
    check "$name: in the author's words" shown 'it["findings"][0]["line"] == 2 and "local x = = 1" in it["findings"][0]["sourceLine"]'
    mapper 1.2.0 'No' | sed 's/fired = { "lark" }/fired = {}/' >"$work/up.lua"
    ask '/v1/mappers/daily?activate=true' -X PUT -H "$json" -d "$(body "$work/up.lua")"
    check "$name: one whose example fails: 422, too" problem 422 script_refused
    check "$name: the good one serves" active 1.1.0
    cli mapper put "$work/up.lua"
    check "$name: by command it says file and line" exits 1 'up.lua:'
    check "$name: and that nothing was saved" says 'nothing was saved'
    cli mapper put "$root/mappers/daily-work-optimizer.lua"
    check "$name: by command a script goes by the id in its manifest" exits 0 "mapper 'daily-work-optimizer'"
    cli processor put "$root/plugins/processors/api_import.lua"
    check "$name: whatever its file is called" exits 0 "processor 'api-import'"
    cp "$root/mappers/productivity-optimizer.json" "$work/other.json"
    cli mapper put "$work/other.json"
    check "$name: also of JSON" exits 0 "mapper 'productivity-optimizer'"
    cli mapper put "$work/other.json" --id another
    check "$name: unless another id is asked for, which the server refuses" exits 1 "not 'another'"
    cli mapper activate daily 7.7.7
    check "$name: a version that is not there" exits 1 "'daily' has no version '7.7.7'"
    cli mapper activate nobody 1.0.0
    check "$name: a mapper that is not there" exits 1 'there is no such mapper'

    cli mapper rollback daily --reason 'bad advice'
    check "$name: a rollback" exits 0 "mapper 'daily' 1.0.0 is active"
    check "$name: the version before serves" active 1.0.0
    ask /v1/mappers/daily/versions/1.1.0/activate -X POST
    check "$name: the content is barred: 409" problem 409 conflict
    check "$name: with the reason" says 'bad advice'
    cli generations
    check "$name: 'generations' shows the bar" says 'bad advice'
    hash=$(grep -oE '[0-9a-f]{64}' "$work/out" | tail -n 1)
    cli script lift "${hash%?}"
    check "$name: half a hash" exits 1 '64'
    cli script lift "$hash"
    check "$name: an operator lifts it" exits 0
    cli script lift "$hash"
    check "$name: which once is enough for" bash -c "[[ $status -le 1 ]]"
    cli mapper activate daily 1.1.0
    check "$name: then it may be active again" exits 0 "mapper 'daily' 1.1.0 is active"
    cli mapper deprecate daily 1.0.0
    check "$name: an old version is deprecated" exits 0 'deprecated'
    cli mapper activate daily 1.0.0
    check "$name: and is never active again" exits 1 'deprecated'
    cli mapper rollback daily
    check "$name: nor by a rollback: there is nothing to go back to" exits 1
    cli mapper versions daily
    check "$name: all versions are listed" bash -c "grep -q '1.1.0 *active' '$work/out' && grep -q '1.0.0 *deprecated' '$work/out'"

    ask '/v1/admin/audit?limit=100'
    check "$name: every change is in the audit record" shown \
        '{"mapper.created", "mapper.updated", "mapper.activated", "mapper.rolled_back", "mapper.deprecated", "script.lifted"} <= {e["action"] for e in it["items"]}'
    local event
    for event in created updated activated rolled_back deprecated; do
        check "$name: there is an event mapper.$event" within 5 grep -q "^event: mapper.$event" "$work/events"
    done
    ask /v1/mappers/daily/versions/1.1.0
    check "$name: a version is shown with its files" shown 'it["files"]["daily.lua"].count("Rise late") == 1'
    ask /metrics
    check "$name: the metrics name the script" says 'personakit_script_version_calls_total{script="mapper/daily 1.1.0"}'
    check "$name: and what is refused" says 'personakit_script_refused 0'

    # Who may not.
    get /v1/mappers/daily
    check "$name: without a key: 401" problem 401 unauthorized
    ask /v1/actors -H "$json" -d '{"actorType":"ai_agent","name":"reader","capabilities":{"canRequestPersonas":true,"allowedMappers":["daily"]}}'
    local reader admin=$key
    reader=$(field actorId)
    ask "/v1/actors/$reader/keys" -H "$json" -d '{"name":"first"}'
    key=$(field key)
    ask /v1/mappers/daily
    check "$name: who may use it sees it" test "$code" = 200
    put 3.0.0 'Mine' '?activate=true'
    check "$name: and may not change it: 403" problem 403 forbidden
    ask /v1/mappers/daily/rollback -X POST -H "$json" -d '{"reason":"x"}'
    check "$name: nor roll it back: 403" problem 403 forbidden
    ask /v1/admin/generations
    check "$name: nor see generations: 403" problem 403 forbidden
    key=$admin

    kill -TERM "$pid"
    check "$name: it stops" ended 0
    check "$name: started again" serve "$name" --data "$work/$name" "$@"
    check "$name: the same serves at its first answer" active 1.1.0
    kill -TERM "$pid"
    check "$name: and stops" ended 0
}

life sqlite

# ---- Watched folders ----

folder=$work/mappers
mkdir -m 755 "$folder"
watched=(--data "$work/watch" --set scripts.watch=true --set "scripts.folders=$folder")

# refused WORDS [SECONDS]: the saved file is refused with them, in the log and to who asks; the good
# version serves.
refused()
{
    within "${2:-5}" logged "$1" || { printf '# not logged: %s\n' "$1"; return 1; }
    serves "$good" || { printf '# it does not serve\n'; return 1; }
    cli generations
    says 'Refused here' && says "$folder/daily.lua"
}

# refused_not WORDS: they are logged, and the good version serves with nothing to complain of.
refused_not()
{
    soon "$1" && nothing_refused
}

# mended: as it was; waits until that is known.
mended()
{
    rm -rf "$folder/daily.lua"
    cp "$work/good.lua" "$folder/daily.lua"
    within 5 nothing_refused
}

nothing_refused()
{
    ask /metrics
    grep -q '^personakit_script_refused 0' "$work/out" && serves "$good"
}

mapper 1.0.0 'One' >"$work/good.lua"
cp "$work/good.lua" "$folder/daily.lua"
check 'a server that watches a folder' serve watch "${watched[@]}"
key=$(cat "$work/watch/admin.key")
good=1.0.0
check 'serves what lay there' within 5 active 1.0.0
mapper 1.0.0 'Two' >"$work/new.lua"
begun=${EPOCHREALTIME/./}
cp "$work/new.lua" "$folder/daily.lua"
check 'what is saved serves' within 5 active 1.0.0+
took=$(((${EPOCHREALTIME/./} - begun) / 1000))
printf '# from saving to serving, seen from outside: %s ms\n' "$took"
check 'by a name of its own' shown 'any(s["version"].startswith("1.0.0+") for s in it["scripts"])'
cp "$work/good.lua" "$folder/daily.lua"
check 'the old text saved again serves again' within 5 serves '1.0.0'
within 5 nothing_refused

mark watch
head -c 150 "$work/new.lua" >"$folder/daily.lua"
check 'a half-written file is refused' refused 'saved script refused'
check 'it is mended' mended
mark watch
rm "$folder/daily.lua"
check 'a deleted file: what it activated serves on' soon 'script file has gone'
check 'still' serves "$good"
check 'it comes back' mended
mark watch
rm "$folder/daily.lua" && ln -s "$work/new.lua" "$folder/daily.lua"
check 'a symbolic link is refused' refused 'symbolic link'
check 'it is mended' mended
mark watch
mapper 1.0.0 'Three' >"$folder/daily.lua.new" && chmod 666 "$folder/daily.lua.new" && mv "$folder/daily.lua.new" "$folder/daily.lua"
check 'a file that all may write is refused' refused 'written by'
check 'it is mended' mended
mark watch
rm "$folder/daily.lua" && mkdir "$folder/daily.lua"
check 'a folder of that name is refused' refused 'saved script not read'
check 'it is mended' mended
mark watch
truncate -s 100M "$folder/daily.lua"
check '100 MiB are refused' refused 'above'
check 'it is mended' mended
mark watch
printf '\xff\xfe\x00' >"$folder/daily.lua"
check 'bytes that are no text are refused' refused 'daily.lua'
check 'it is mended' mended
mark watch
mapper 1.0.0 'Four' 'while true do end' >"$folder/daily.lua"
check 'one that never ends is refused' refused 'stopped after' 20
check 'it is mended' mended

# While scripts that never end are being tried, others are taken.
mark watch
for each in 1 2 3; do
    printf 'local i = 0\nwhile true do i = i + 1 end\n' >"$folder/endless$each.lua"
done
# busy COUNT: so many workers are in a call.
busy()
{
    ask /metrics
    (($(sed -n 's/^personakit_script_busy_workers //p' "$work/out") >= $1))
}
check 'scripts that never end are being tried' within 10 busy 3
mapper 1.4.0 'In between' >"$folder/daily.lua"
begun=${EPOCHREALTIME/./}
check 'beside three that never end another is taken' within 3 active 1.4.0
took=$(((${EPOCHREALTIME/./} - begun) / 1000))
printf '# beside them, from saving to serving: %s ms\n' "$took"
check 'before those are given up' bash -c "! grep -q 'endless' '$work/watch.err'"
check 'which they are' within 30 logged 'endless3.lua'
good=1.4.0
rm "$folder"/endless?.lua
check 'gone, they are nothing to complain of' within 30 nothing_refused
good=1.0.0
cp "$work/good.lua" "$folder/daily.lua"
check 'the first one serves again' within 5 serves "$good"
mark watch
mv "$folder/daily.lua" "$folder/.daily.lua"
check 'a renamed file has gone, and what it activated serves on' refused_not 'script file has gone'
check 'it is mended' mended

# What was activated by hand is not undone by a start, though another file lies there.
put 2.0.0 'By hand' '?activate=true'
check 'a version by API' active 2.0.0
kill -TERM "$pid"
check 'the server stops' ended 0
check 'it starts again' serve watch "${watched[@]}"
check 'the file lies there' within 5 grep -q 'script file is not what is active' "$work/watch.err"
check 'and what the store says serves' active 2.0.0
mapper 2.1.0 'While it was away' >"$work/new.lua"
kill -TERM "$pid"
check 'it stops again' ended 0
cp "$work/new.lua" "$folder/daily.lua"
check 'and starts' serve watch "${watched[@]}"
check 'what was saved meanwhile serves' within 5 active 2.1.0
kill -TERM "$pid"
check 'it stops once more' ended 0

# ---- A start with all that is shipped ----

mkdir -m 755 "$work/shipped.d"
cp "$root"/mappers/*.lua "$root"/mappers/*.json "$root"/plugins/processors/*.lua "$work/shipped.d"
rm -f "$work"/shipped.d/*_spec.lua
count=$(find "$work/shipped.d" -type f | wc -l)
shipped=(--data "$work/shipped" --set scripts.watch=true --set "scripts.folders=$work/shipped.d")

# all_serve: every one of them, at the first answer if it is not repeated.
all_serve()
{
    ask /v1/admin/generations
    shown "len(it['scripts']) == $count and not it['refused']"
}

# started NAME: from the start of the server to its first answer; all of them serve then.
started()
{
    local begun=${EPOCHREALTIME/./}
    serve shipped "${shipped[@]}" || return 1
    all_serve || return 1
    printf '# %s: %s ms\n' "$1" "$(((${EPOCHREALTIME/./} - begun) / 1000))"
}

check "a server takes all $count that are shipped" serve shipped "${shipped[@]}"
key=$(cat "$work/shipped/admin.key")
check 'from the folder' within 20 all_serve
kill -TERM "$pid"
check 'it stops' ended 0
check 'what it tried is known to it' test -n "$(find "$work/shipped/known" -type f)"
check 'started again they all serve at the first answer' started 'known'
kill -TERM "$pid"
check 'it stops' ended 0
rm -rf "$work/shipped/known"
check 'and when nothing is known of them' started 'tried anew'
kill -TERM "$pid"
check 'it stops' ended 0
find "$work/shipped/known" -type f | while read -r each; do
    printf 'x' | dd of="$each" bs=1 seek=40 conv=notrunc status=none
done
check 'or what is known is damaged' started 'damaged'
kill -TERM "$pid"
check 'it stops' ended 0

# ---- Signatures ----

run mapper keygen "$work/key"
public=$(sed -n 's/^key //p' "$work/out")
signed=(--data "$work/signed" --set scripts.watch=true --set "scripts.folders=$work/signed.d"
    --set scripts.require_signature=true --set "scripts.keys=$public")
mkdir -m 755 "$work/signed.d"
check 'a server that wants signatures' serve signed "${signed[@]}"
key=$(cat "$work/signed/admin.key")
put 1.0.0 'One' '?activate=true'
check 'an upload without one: 422' problem 422 script_refused
check 'says so' says 'not signed'
mark signed
cp "$work/good.lua" "$work/signed.d/daily.lua"
check 'so is a saved file' soon 'not signed'
cp "$work/good.lua" "$work/daily.lua"
run mapper sign "$work/daily.lua" --key "$work/key"
cp "$work/daily.lua.sig" "$work/signed.d/daily.lua.sig"
check 'with its signature beside it, it serves' within 5 active 1.0.0
mapper 1.1.0 'Two' >"$work/new.lua"
run mapper sign "$work/new.lua" --key "$work/key"
cli mapper put "$work/new.lua" --activate
check 'a signed upload serves' active 1.1.0
mapper 1.2.0 'Three' >"$work/third.lua"
run mapper sign "$work/third.lua" --key "$work/key"
# One file's name is not signed, so its text may come without one.
python3 - "$work/third.lua" >"$work/third.json" <<'END'
import base64, json, re, sys
said = dict(re.findall(r"(key|sig): ([0-9a-f]+)", open(sys.argv[1] + ".sig").read()))
print(json.dumps({"source": open(sys.argv[1]).read(),
                  "signature": {name: base64.b64encode(bytes.fromhex(text)).decode() for name, text in said.items()}}))
END
ask '/v1/mappers/daily?activate=true' -X PUT -H "$json" -d "@$work/third.json"
check 'so does a text with its signature' active 1.2.0
sed -i 's/Three/Four/' "$work/third.json"
ask '/v1/mappers/daily?activate=true' -X PUT -H "$json" -d "@$work/third.json"
check 'of which not a byte may change' problem 422 script_refused
check 'or it is said' says 'does not fit'
mapper 1.3.0 'Five' >"$work/fourth.lua"
run mapper sign "$work/fourth.lua" --key "$work/key"
cp "$work/fourth.lua.sig" "$work/signed.d/renamed.lua.sig"
cp "$work/fourth.lua" "$work/signed.d/renamed.lua"
check 'a file that was renamed serves by the signature it had' within 5 active 1.3.0
kill -TERM "$pid"
check 'it stops' ended 0

# ---- Without the lockdown ----

# Runs a command where the kernel refuses every filter, as a kernel without seccomp does.
cat >"$work/bare.py" <<'END'
import ctypes, os, platform, struct, sys
number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
prctl = {"x86_64": 157, "aarch64": 167}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 4, 0, number), (0x15, 0, 2, prctl), (0x20, 0, 0, 16),
        (0x15, 1, 0, 22), (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050000 | 22)]
text = b"".join(struct.pack("HBBI", *each) for each in code)
held = ctypes.create_string_buffer(text, len(text))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
END
cat >"$work/bare" <<END
#!/bin/sh
exec python3 "$work/bare.py" "$pk" "\$@"
END
chmod 755 "$work/bare"
lowered=$pk
pk=$work/bare
run serve --listen 127.0.0.1:0 --data "$work/unsafe"
check 'where the kernel refuses the lockdown there is no start' exits 1 'scripts.jail'
check 'unless scripts.jail is unsafe' serve unsafe --data "$work/unsafe" --set scripts.jail=unsafe
pk=$lowered
key=$(cat "$work/unsafe/admin.key")
ask /readyz
check '/readyz says so' says 'UNSAFE'
ask /metrics
check 'the metrics say so' grep -q '^personakit_script_jail_unsafe 1' "$work/out"
ask /v1/admin/generations
check 'the generations say so' shown 'it["unsafe"]'
cli generations
check 'so does the command' exits 0 'UNSAFE'
check 'and the log' grep -q UNSAFE "$work/unsafe.err"
kill -TERM "$pid"
check 'it stops' ended 0

# ---- A full disk ----

if small_disk 8m; then
    check 'a server on a small disk' serve full --data "$work/small/data"
    key=$(cat "$work/small/data/admin.key")
    put 1.0.0 'One' '?activate=true'
    check 'has a mapper' active 1.0.0
    head -c 100M /dev/zero >"$work/small/filler" 2>/dev/null
    minor=0
    # What was free within the store's files is used first.
    is_full()
    {
        ((minor += 1))
        put "1.$minor.0" "$(head -c 50000 /dev/zero | tr '\0' x)"
        [[ $code == 507 ]]
    }
    check 'drafts: 507 when it is full' within 20 is_full
    check 'and they say so' problem 507 no_space
    ask "/v1/mappers/daily/versions/1.$minor.0"
    check 'nothing of the last one is there' problem 404 not_found
    check 'what is active serves' active 1.0.0
    rm "$work/small/filler"
    is_written()
    {
        put 2.0.0 'Two' '?activate=true'
        [[ $code == 200 ]]
    }
    check 'with room again it writes' within 5 is_written
    check 'and serves what it wrote' active 2.0.0
    kill -TERM "$pid"
    check 'it leaves' ended 0
else
    skip 'a full disk' 'needs root and tmpfs'
fi

# ---- Two nodes on one store ----

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    life mongodb --store "${PK_TEST_MONGODB/'/?'/"/pk_scripts1_$$?"}"
    store=${PK_TEST_MONGODB/'/?'/"/pk_scripts2_$$?"}
    check 'a first node' serve node1 --data "$work/node1" --store "$store"
    first=$url first_pid=$pid
    key=$(cat "$work/node1/admin.key")
    mkdir -m 700 "$work/node2"
    cp -p "$work/node1/pepper" "$work/node2/pepper"
    check 'a second one' serve node2 --data "$work/node2" --store "$store"
    second=$url
    # follows VERSION NAME: the second node serves it, and by itself.
    follows()
    {
        local begun=${EPOCHREALTIME/./}
        url=$second
        check "$2" within 3 serves "$1"
        printf '# after %s ms\n' $(((${EPOCHREALTIME/./} - begun) / 1000))
        url=$first
    }
    url=$first
    put 1.0.0 'One' '?activate=true'
    follows 1.0.0 'what is activated on the first serves on the second'
    put 1.1.0 'Two' '?activate=true'
    follows 1.1.0 'so does what replaces it'
    ask /v1/mappers/daily/rollback -X POST -H "$json" -d '{"reason":"no"}'
    follows 1.0.0 'and a rollback'
    url=$second
    ask /v1/mappers/daily/versions/1.1.0/activate -X POST
    check 'what was barred on the first is barred on the second' problem 409 conflict
    put 1.2.0 'Three' '?activate=true'
    check 'the second changes it, too' serves 1.2.0
    second=$first first=$url
    follows 1.2.0 'and the first follows'
    kill -TERM "$pid"
    check 'the second node leaves' ended 0
    pid=$first_pid
    kill -TERM "$pid"
    check 'and the first' ended 0
else
    skip 'two nodes on one store' 'PK_TEST_MONGODB is not set'
fi
plan
