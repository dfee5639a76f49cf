#!/usr/bin/env bash
# reload.sh - SIGHUP: what changes while the server runs, what wants a restart, what is refused.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# settings LUA: the configuration file, whole at any moment.
settings()
{
    printf 'return { %s }\n' "$1" >"$work/new.lua"
    mv "$work/new.lua" "$work/personakit.lua"
}

# reload LUA: new settings, SIGHUP; waits until the server has said what came of it.
reload()
{
    mark one
    settings "$1"
    kill -HUP "$pid"
    soon 'settings read anew\|settings not read'
}

# answers CODE: to one who asks for himself. What was used up before a limit went up comes back first.
answers()
{
    ask /v1/actors/self
    [[ $code == "$1" ]]
}

# silent WORDS: nothing of that since the mark.
silent()
{
    ! logged "$1"
}

# audited NAME COUNT: so many rows say that the setting was changed.
audited()
{
    local count
    ask "/v1/admin/audit?action=setting.changed&target=$1"
    count=$(grep -o '"targetId"' "$work/out" | wc -l)
    [[ $code == 200 && $count -eq $2 ]] || { printf '# %s rows, expected %s\n' "$count" "$2"; return 1; }
}

settings ''
check 'the server starts' serve one --data "$work/one" --config "$work/personakit.lua"
mark one
key=$(cat "$work/one/admin.key")

# ---- Logs ----

get '/healthz?before'
check 'without log.access nothing is said of a request' silent '"msg":"request"'
check 'settings are read anew' reload 'log = { access = true }'
check 'the change is named' logged '"setting changed","setting":"log.access"'
get /healthz -H 'X-Request-Id: after-the-change'
check 'log.access: every request is logged now' soon '"request":"after-the-change"'
check 'it is in the audit record, once' audited log.access 1
check 'by the server itself' grep -q '"personakit"' "$work/out"
check 'the value is not in the record' bash -c "! grep -q true '$work/out'"

check 'again, with log.access off' reload 'log = { access = false, slow_ms = 1 }'
check 'both changes are counted' logged '"changed":2'
check 'log.access has two rows' audited log.access 2
check 'log.slow_ms has one' audited log.slow_ms 1
exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
printf 'GET /v1/actors/self HTTP/1.1\r\nHost: a\r\nX-Request-Id: a-slow-one\r\n' >&3
check 'SIGHUP while a request comes' reload 'log = { access = false, slow_ms = 2 }'
printf 'Authorization: Bearer %s\r\nConnection: close\r\n\r\n' "$key" >&3
timeout 60 cat <&3 >"$work/out"
exec 3>&-
check 'does it no harm' grep -q '^HTTP/1.1 200' "$work/out"
check 'log.slow_ms: what took long is logged, with where the time went' \
    soon '"slow request".*"request":"a-slow-one".*"head_us":[0-9][0-9][0-9][0-9]'
mark one
settings 'log = { level = "error" }'
kill -HUP "$pid"
get /healthz
check 'log.level: at error a reload is not said any more' silent 'settings read anew'
settings 'log = { level = "debug" }'
kill -HUP "$pid"
check 'log.level: at debug it is' soon 'settings read anew'

# ---- Rates ----

check 'rates' reload 'rates = { key = { limit = 5, window_ms = 3600000 } }'
ask /v1/actors/self
check 'rates.key.limit is in effect' heard 'ratelimit-limit: 5'
for _ in 1 2 3 4 5 6; do
    ask /v1/actors/self
done
check 'and holds' test "$code" = 429
reload 'rates = { key = { limit = 60000 } }'
check 'and goes up again' within 5 answers 200
check 'rates.key.limit was audited' audited rates.key.limit 2
check 'rates.key.window_ms, too' audited rates.key.window_ms 2
reload 'rates = { address = { limit = 3, window_ms = 3600000 } }'
for _ in 1 2 3 4 5; do
    get /v1/actors/self
done
check 'rates.address.limit holds, without a key as well' test "$code" = 429
reload ''
own=$key key=none
check 'and is lifted' within 5 answers 401
key=$own

# ---- What wants a restart ----

reload 'net = { idle_ms = 5000 }, lanes = { slow = { threads = 3 } }'
check 'net.idle_ms wants a restart' logged '"setting wants a restart","setting":"net.idle_ms"'
check 'lanes.slow.threads, too' logged '"setting":"lanes.slow.threads"'
check 'nothing was changed' logged '"changed":0'
check 'nor audited' audited net.idle_ms 0
reload 'net = { idle_ms = 5000 }'
check 'it is said again as long as it differs' logged '"setting wants a restart","setting":"net.idle_ms"'
reload ''
check 'and not when it is as it was' silent 'wants a restart'

# ---- What is refused ----

reload 'log = { access = true }'
for broken in 'log = { access = "perhaps" }' 'log = { access = false' 'colour = "red"' 'net = { loops = -1 }'; do
    reload "$broken, log = { access = false }"
    check "'$broken' is not read" logged 'settings not read: the old ones stay'
    check 'the log says where' logged 'personakit.lua'
done
mark one
rm "$work/personakit.lua"
kill -HUP "$pid"
check 'nor is a file that has gone' soon 'settings not read: the old ones stay'
get /healthz -H 'X-Request-Id: after-the-refusals'
check 'what was in effect stays' soon '"request":"after-the-refusals"'
check 'and nothing of it is in the audit record' audited log.access 3
settings ''
kill -TERM "$pid"
check 'the server leaves' ended 0
plan
