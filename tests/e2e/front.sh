#!/usr/bin/env bash
# front.sh - The front door as users meet it: keys, rights, repeats, limits, browsers, proxies.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

json='Content-Type: application/json'

# problem STATUS CODE: the last answer is that problem, with a detail, a hint and the request's id.
problem()
{
    [[ $code == "$1" ]] && grep -q "\"code\":\"$2\"" "$work/out" && grep -q '"detail":"' "$work/out" &&
        grep -q '"hint":"' "$work/out" && grep -q '"requestId":"' "$work/out" ||
        { printf '# status %s\n' "$code"; return 1; }
}

# actor NAME CAPABILITIES: makes one with a key; sets $made, $made_key and $made_key_id.
actor()
{
    ask /v1/actors -H "$json" \
        -d "{\"actorType\":\"ai_agent\",\"name\":\"$1\",\"capabilities\":$2}" &&
        made=$(field actorId) &&
        ask "/v1/actors/$made/keys" -H "$json" -d '{"name":"first"}' &&
        made_key=$(field key) && made_key_id=$(field keyId) && [[ $code == 201 ]]
}

# answers CODE: to who asks for himself with $key, at $url.
answers()
{
    ask /v1/actors/self
    [[ $code == "$1" ]]
}

# The shape of a key is 'pk_', 16 characters, '_', 52 characters.
stranger=pk_aaaaaaaaaaaaaaaa_$(printf 'a%.0s' {1..52})

check 'a server starts' serve one --data "$work/one" --set operations.listen=127.0.0.1:0 \
    --set cors.origins=https://app.example.org --set log.access=true
operations=$(address one http)
admin=$(cat "$work/one/admin.key")
key=$admin
check 'its first request is served, with a key' answers 200

# ---- Keys ----

get /v1/actors/self
check 'no key: 401' problem 401 unauthorized
get /v1/actors/self -D "$work/head"
check 'it says which scheme' heard 'www-authenticate: Bearer'
cp "$work/out" "$work/none"
key=$stranger
ask /v1/actors/self
check 'a key that never was: 401' problem 401 unauthorized
same()
{
    diff <(sed 's/"requestId":"[^"]*"//' "$1") <(sed 's/"requestId":"[^"]*"//' "$2")
}
check 'in the same words as without' same "$work/none" "$work/out"
key=${admin%?}$([[ $admin == *a ]] && echo b || echo a)
ask /v1/actors/self
check 'a right id with a wrong secret: 401, in the same words' same "$work/none" "$work/out"
key=nonsense
ask /v1/actors/self
check 'nonsense: 401' problem 401 unauthorized
key=$admin
get /v1/actors/self -H "Authorization: Basic $(printf 'admin:%s' "$key" | base64 -w 0)"
check 'another scheme: 401' problem 401 unauthorized
check 'an actor with a key' actor agent '{"canRequestPersonas":true}'
agent=$made agent_key=$made_key
key=$agent_key
check 'it may ask for itself' answers 200
ask "/v1/actors/$agent"
check 'by its id, too' test "$code" = 200
ask /v1/actors
check 'but not list the others: 403' problem 403 forbidden
ask /v1/actors -H "$json" -d '{"actorType":"human","name":"x"}'
check 'nor make any: 403' problem 403 forbidden
ask /v1/actors/00000000-0000-4000-8000-000000000001
there=$code
ask /v1/actors/00000000-0000-4000-8000-00000000dead
check 'who is there and who is not look alike' test "$there" = "$code"
ask /metrics
check '/metrics needs operate: 403' problem 403 forbidden
get /metrics
check 'and a key: 401' problem 401 unauthorized
key=$admin
ask /metrics
check 'the admin gets it' grep -q '^personakit_http_requests_total' "$work/out"
ask "/v1/actors/$agent/suspend" -X POST
check 'an actor is suspended' test "$code" = 200
key=$agent_key
check 'his key is refused' within 2 answers 401
key=$admin
ask "/v1/actors/$agent/resume" -X POST
key=$agent_key
check 'and good again when he is back' within 2 answers 200

# ---- Repeats ----

key=$admin
body='{"actorType":"human","name":"once"}'
ask /v1/actors -H "$json" -H 'Idempotency-Key: number-1' -d "$body"
cp "$work/out" "$work/first"
check 'a POST with an Idempotency-Key' test "$code" = 201
ask /v1/actors -H "$json" -H 'Idempotency-Key: number-1' -d "$body"
check 'repeated: the same status and bytes' bash -c "[[ $code == 201 ]] && cmp '$work/first' '$work/out'"
check 'said to be a repeat' heard 'idempotency-replayed: true'
ask /v1/actors -H "$json" -H 'Idempotency-Key: number-1' -d '{"actorType":"human","name":"twice"}'
check 'with another body: 422' problem 422 idempotency_mismatch
ask /v1/actors
check 'there is one of them' test "$(grep -o '"name":"once"' "$work/out" | wc -l)" = 1
ask "/v1/actors/$agent/keys" -H "$json" -H 'Idempotency-Key: number-2' -d '{"name":"second"}'
secret=$(field key)
check 'a key is shown when it is made' test "$code-${secret:0:3}" = 201-pk_
ask "/v1/actors/$agent/keys" -H "$json" -H 'Idempotency-Key: number-2' -d '{"name":"second"}'
check 'and never again: 409' problem 409 secret_already_shown
check 'the secret is in no repeat' bash -c "! grep -q '$secret' '$work/out'"
ask "/v1/actors/$agent/keys"
check 'nor in the list' bash -c "[[ $code == 200 ]] && ! grep -q '${secret:20}' '$work/out'"
check 'nor in the store' bash -c "! grep -q '${secret:20}' '$work'/one/personakit.db*"
check 'nor in the log' bash -c "! grep -q '${secret:20}' '$work/one.err'"

# ---- HTTP ----

ask /v1/actors/self
size=$(sed -n 's/^content-length: *\([0-9]*\).*/\1/ip' "$work/head")
ask /v1/actors/self -I
check 'HEAD: the headers of GET and no body' \
    bash -c "[[ $code == 200 ]] && grep -qi '^content-length: $size' '$work/head'"
get /v1/actors -X OPTIONS -D "$work/head"
check 'OPTIONS: 204 with Allow' bash -c "[[ $code == 204 ]] && grep -qi '^allow:.*POST' '$work/head'"
get /v1/actors -X OPTIONS -D "$work/head" -H 'Origin: https://app.example.org' \
    -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: authorization'
check 'a preflight of a listed origin' \
    bash -c "[[ $code == 204 ]] && grep -qi '^access-control-allow-origin: https://app.example.org' '$work/head' &&
        grep -qi '^access-control-allow-methods:.*POST' '$work/head'"
get /v1/actors -X OPTIONS -D "$work/head" -H 'Origin: https://evil.example.org' \
    -H 'Access-Control-Request-Method: POST'
check 'of another: nothing is allowed' bash -c "! grep -qi '^access-control-allow' '$work/head'"
get /v1/actors/self -D "$work/head" -H 'Origin: https://app.example.org'
check 'a page may read a refusal, too' heard 'access-control-allow-origin: https://app.example.org'
get /v1/actor
check '404 names the nearest' bash -c "[[ $code == 404 ]] && grep -q '/v1/actors' '$work/out'"
get /v1/actors/self -X DELETE -D "$work/head"
check '405 with Allow' bash -c "[[ $code == 405 ]] && grep -qi '^allow: *.*GET' '$work/head' && ! grep -qi '^allow:.*DELETE' '$work/head'"
ask /v1/actors -H 'Content-Type: text/plain' -d "$body"
check 'a body of another type: 415' problem 415 unsupported_media_type
ask /v1/actors -H "$json" -d '{"actorType":'
check 'broken JSON: 400' test "$code" = 400
ask /v1/actors -H "$json" -d '{"actorType":"robot","name":"x"}'
check 'a wrong value: 4xx and its field' bash -c "[[ $code == 4* ]] && grep -q '\"field\":\"actorType\"' '$work/out'"
ask '/v1/actors?colour=red'
check 'an unknown parameter: 400' test "$code" = 400
for number in {1..30}; do
    ask /v1/actors -H "$json" -d "{\"actorType\":\"human\",\"name\":\"one of many, number $number\"}"
done
ask /v1/actors
cp "$work/out" "$work/plain"
ask /v1/actors -H 'Accept-Encoding: gzip'
check 'a long list is zipped when that is accepted' heard 'content-encoding: gzip'
check 'and is the same' cmp <(gzip -dc "$work/out") "$work/plain"
check 'and shorter' test "$(stat -c %s "$work/out")" -lt $(($(stat -c %s "$work/plain") / 2))
ask '/v1/actors?limit=7'
next=$(field next)
check 'a page has a next' test -n "$next"
ask "/v1/actors?limit=7&cursor=$next"
check 'which is served' test "$code" = 200
ask "/v1/actors/$agent"
etag=$(sed -n 's/^etag: *\([^\r]*\).*/\1/ip' "$work/head")
ask "/v1/actors/$agent" -H "If-None-Match: $etag"
check 'If-None-Match: 304' test "$code" = 304
ask "/v1/actors/$agent" -X PATCH -H "$json" -H "If-Match: $etag" -d '{"description":"changed"}'
check 'If-Match: changed' test "$code" = 200
ask "/v1/actors/$agent" -X PATCH -H "$json" -H "If-Match: $etag" -d '{"description":"again"}'
check 'and a second time: 412' test "$code" = 412
get /healthz -H 'X-Request-Id: my-own-id' -D "$work/head"
check 'X-Request-Id comes back' heard 'x-request-id: my-own-id'

# ---- The operations' listener ----

main=$url url=$operations
get /metrics
check 'operations: /metrics without a key' bash -c "[[ $code == 200 ]] && grep -q '^personakit_' '$work/out'"
get /readyz
check 'operations: /readyz with detail' bash -c "[[ $code == 200 ]] && grep -q '\"name\":\"store\"' '$work/out'"
get /healthz
check 'operations: /healthz' test "$code" = 200
get /openapi.json
check 'operations: /openapi.json' test "$code" = 200
ask /v1/actors
check 'operations: nothing else, not even with a key' test "$code" = 404
ask /v1/actors -H "$json" -d "$body"
check 'operations: no write' test "$code" = 404
url=$main
get /readyz
check 'on the main one /readyz tells strangers no more than yes' bash -c "[[ $code == 200 ]] && ! grep -q checks '$work/out'"
kill -TERM "$pid"
check 'it leaves' ended 0

# ---- Rates ----

check 'a server with small rates' serve rates --data "$work/rates" --set rates.key.limit=5 \
    --set rates.key.window_ms=1h --set rates.address.limit=20 --set rates.address.window_ms=1h
key=$(cat "$work/rates/admin.key")
check 'the first is served' answers 200
check 'and told how much is left' heard 'ratelimit-remaining: 4'
for _ in {1..5}; do
    ask /v1/actors/self
done
check 'the sixth: 429' problem 429 rate_limited
check 'with Retry-After' heard 'retry-after: [1-9]'
check 'RateLimit-Limit' heard 'ratelimit-limit: 5'
check 'RateLimit-Remaining' heard 'ratelimit-remaining: 0'
check 'RateLimit-Reset' heard 'ratelimit-reset: [1-9]'
get /healthz
check 'health is not counted' test "$code" = 200
key=$stranger
for _ in {1..20}; do
    ask /v1/actors/self
done
check 'who guesses keys is stopped by his address: 429' problem 429 rate_limited
kill -TERM "$pid"
check 'it leaves, too' ended 0

# ---- Proxies ----

check 'a server behind a proxy' serve proxied --data "$work/proxied" --set log.access=true \
    --set net.bodies_bytes=1MiB \
    --set proxy.trusted=127.0.0.1
get /healthz -H 'X-Forwarded-For: 198.51.100.7' -H 'X-Request-Id: forwarded'
mark proxied
marked_line=1
check "the log has the client's address, not the proxy's" \
    soon '"address":"198.51.100.7","request":"forwarded"'
key=$(cat "$work/proxied/admin.key")
head -c 2000000 /dev/zero >"$work/long"
ask /v1/observations -X POST -H 'Content-Type: application/x-ndjson' --data-binary "@$work/long"
check 'bodies beyond net.bodies_bytes are refused: 503' problem 503 busy
kill -TERM "$pid"
check 'it leaves as well' ended 0
check 'a server that is told by PROXY' serve proxied --data "$work/proxied" --set log.access=true \
    --set proxy.trusted=127.0.0.1 --set proxy.protocol=true
# The signature, version 2 and PROXY, TCP over IPv4, 12 bytes: from 203.0.113.9:4660 to 127.0.0.1:80.
exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
printf '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x34\0\x50' >&3
printf 'GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: by-proxy\r\nConnection: close\r\n\r\n' >&3
timeout 60 cat <&3 >"$work/out"
exec 3>&-
check 'it serves who comes with a PROXY header' grep -q '^HTTP/1.1 200' "$work/out"
mark proxied
marked_line=1
check "and logs the client's address" soon '"address":"203.0.113.9","request":"by-proxy"'
get /healthz --max-time 5
check 'without one the connection is closed' test "$code" = 000
kill -TERM "$pid"
check 'and leaves' ended 0

# ---- A full disk ----

if small_disk 6m; then
    check 'a server on a small disk' serve full --data "$work/small/data"
    key=$(cat "$work/small/data/admin.key")
    head -c 100M /dev/zero >"$work/small/filler" 2>/dev/null
    large=$(head -c 6000 /dev/zero | tr '\0' x)
    # Full pages are asked for sooner or later: what was free within the files is used first.
    is_full()
    {
        ask /v1/actors -H "$json" -d "{\"actorType\":\"human\",\"name\":\"x\",\"description\":\"${large:0:1000}\"}"
        [[ $code == 507 ]]
    }
    check 'writes: 507 when it is full' within 20 is_full
    check 'and they say so' problem 507 no_space
    ask /v1/actors
    check 'reads go on' test "$code" = 200
    get /healthz
    check 'it lives' test "$code" = 200
    rm "$work/small/filler"
    is_written()
    {
        ask /v1/actors -H "$json" -d '{"actorType":"human","name":"with room again"}'
        [[ $code == 201 ]]
    }
    check 'with room again it writes' within 5 is_written
    kill -TERM "$pid"
    check 'and it leaves' ended 0
else
    skip 'a full disk' 'needs root and tmpfs'
fi

# ---- Two nodes on one store ----

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    store=${PK_TEST_MONGODB/'/?'/"/pk_front_$$?"}
    check 'a first node' serve node1 --data "$work/node1" --store "$store"
    first=$url first_pid=$pid
    key=$(cat "$work/node1/admin.key")
    mkdir -m 700 "$work/node2"
    cp -p "$work/node1/pepper" "$work/node2/pepper"
    check 'a second one, with the same pepper' serve node2 --data "$work/node2" --store "$store"
    second=$url
    check 'it knows the key that the first has made' answers 200
    url=$first
    check 'a key made on the first' actor traveller '{"canRequestPersonas":true}'
    admin=$key key=$made_key url=$second
    check 'opens the second' answers 200
    url=$first
    key=$admin
    ask "/v1/actors/$made/keys/$made_key_id" -X DELETE
    check 'revoked on the first' test "$code" = 204
    begun=${EPOCHREALTIME/./}
    url=$second
    key=$made_key
    # shut_out: asks until nobody is let in; $last: so long after $begun, in ms, somebody asked who was.
    shut_out()
    {
        local asked
        last=0
        while
            asked=$(((${EPOCHREALTIME/./} - begun) / 1000))
            answers 200
        do
            last=$asked
        done
    }
    shut_out
    check "it is refused on the second within 2 s (after $last ms)" test "$last" -lt 2000
    check 'as unknown' within 3 answers 401
    url=$first key=$admin
    ask "/v1/actors/$made/keys" -H "$json" -d '{"name":"other"}'
    made_key=$(field key)
    url=$second key=$made_key
    check 'another key opens the second' answers 200
    url=$first key=$admin
    ask "/v1/actors/$made/suspend" -X POST
    begun=${EPOCHREALTIME/./}
    url=$second key=$made_key
    shut_out
    check "suspended on the first, it is refused on the second within 2 s (after $last ms)" \
        test "$last" -lt 2000
    check 'as unknown, too' within 3 answers 401
    url=$first key=$admin
    ask /v1/actors -H "$json" -H 'Idempotency-Key: across' -d "$body"
    cp "$work/out" "$work/first"
    url=$second
    ask /v1/actors -H "$json" -H 'Idempotency-Key: across' -d "$body"
    check 'a POST repeated on the second gets the answer of the first' \
        bash -c "[[ $code == 201 ]] && cmp '$work/first' '$work/out'"
    run serve --listen 127.0.0.1:0 --data "$work/node3" --store "$store"
    check 'a node with a pepper of its own is not let in' exits 1 pepper
    kill -TERM "$pid"
    check 'the second node leaves' ended 0
    pid=$first_pid
    kill -TERM "$pid"
    check 'and the first' ended 0
else
    skip 'two nodes on one store' 'PK_TEST_MONGODB is not set'
fi
plan
