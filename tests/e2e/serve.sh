#!/usr/bin/env bash
# serve.sh - Starts, failures at the start, health, requests and stops of the real server.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# ---- A good life ----

check 'the server starts and says ready' serve one --data "$work/one"
check 'one line on standard output, and only that' \
    bash -c "[[ \$(wc -l <'$work/one.out') == 1 ]] && grep -q '^ready http://127.0.0.1:[0-9]*$' '$work/one.out'"
get /healthz
check '/healthz is 200' test "$code" = 200
get /readyz
check '/readyz is 200 and tells strangers nothing more' \
    bash -c "[[ $code == 200 && \$(cat '$work/out') == '{\"status\":\"ready\"}' ]]"
get /readyz -H "Authorization: Bearer $(cat "$work/one/admin.key")"
check '/readyz tells operators what was looked at' \
    bash -c "[[ $code == 200 ]] && grep -q sqlite '$work/out'"
get /nothing
check 'an unknown path is a problem with code, hint and request id' \
    bash -c "[[ $code == 404 ]] && grep -q '\"code\":\"not_found\"' '$work/out' &&
        grep -q '\"hint\":' '$work/out' && grep -q '\"requestId\":' '$work/out'"
get /healthz -X DELETE
check 'a wrong method is 405' test "$code" = 405
check 'the data folder is for its owner alone' test "$(stat -c %a "$work/one")" = 700
first=$pid

run serve --data "$work/one" --listen 127.0.0.1:0
check 'a second server on the same folder is refused, naming the process' exits 1 "$first"
run serve --data "$work/other" --listen "${url#http://}"
check 'a taken port is refused with what to do' exits 1 '--listen'
check 'two servers with different folders' serve two --data "$work/two"
kill -TERM "$pid"
check 'SIGTERM: exit code 0' ended 0
pid=$first url=$(sed -n 's/^ready //p' "$work/one.out")
get /readyz
check 'the other one is not disturbed' test "$code" = 200

# ---- Requests that are no requests ----

address=${url#http://}
python3 "$root/tests/e2e/http_corpus.py" "${address%:*}" "${address##*:}" >"$work/corpus"
check 'the corpus was run' grep -q '^1\.\.10[0-9]' "$work/corpus"
while IFS= read -r line; do
    case "$line" in
    'ok '*) check "${line#ok * - }" true ;;
    'not ok '*) check "${line#not ok * - }" false ;;
    '# '*) printf '%s\n' "$line" ;;
    esac
done <"$work/corpus"
get /readyz
check 'and it still serves' test "$code" = 200

# ---- Stops ----

exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
kill -INT "$pid"
check 'SIGINT: exit code 0, open connections notwithstanding' ended 0
exec 3>&-
check 'started again on the same folder' serve one --data "$work/one"
exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
printf 'GET /healthz HTTP/1.1\r\n' >&3
kill -TERM "$pid"
within 10 grep -q stopping "$work/one.err"
kill -TERM "$pid"
check 'a second SIGTERM ends it at once' ended 143
exec 3>&-
check 'and nothing is left locked' serve one --data "$work/one"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'nor after SIGKILL' serve one --data "$work/one"
kill -TERM "$pid"
check 'and then it leaves' ended 0

# ---- Failures at the start: one sentence, a hint, exit code 1 ----

one_sentence()
{
    exits "$1" "$2" && grep -q '^personakit: ' "$work/err" && grep -q '^  ' "$work/err" &&
        [[ ! -s $work/out ]]
}

run serve --data "$work/x" --store postgres://localhost/x
check 'an unknown engine' one_sentence 2 'mongodb://'
run serve --data "$work/x" --listen 127.0.0.1:0 \
    --store 'mongodb://127.0.0.1:1/pk?replicaSet=x&serverSelectionTimeoutMS=500'
check 'an unreachable server' one_sentence 1 '127.0.0.1:1'
run serve --data "$work/x" --listen 192.0.2.1:8077
check 'an address that is not of this machine' one_sentence 1 '192.0.2.1'
touch "$work/file"
run serve --data "$work/file" --listen 127.0.0.1:0
check 'a data folder that is a file' one_sentence 1 "$work/file"
run serve --data /proc/personakit --listen 127.0.0.1:0
check 'a data folder that cannot be made' one_sentence 1 '/proc/personakit'
mkdir "$work/foreign"
head -c 9000 /dev/urandom >"$work/foreign/personakit.db"
run serve --data "$work/foreign" --listen 127.0.0.1:0
check 'a file that is no store' one_sentence 1 'personakit.db'
check 'it is left as it was' test "$(stat -c %s "$work/foreign/personakit.db")" = 9000

if small_disk 64k; then
    run serve --data "$work/small/data" --listen 127.0.0.1:0
    check 'a full disk' one_sentence 1 'space'
    mount -o remount,size=64m "$work/small"
    check 'with room again it starts' serve small --data "$work/small/data"
    kill -TERM "$pid"
    check 'and stops' ended 0
    mount -o remount,ro "$work/small"
    run serve --data "$work/small/data" --listen 127.0.0.1:0
    check 'a read-only data folder' one_sentence 1 "$work/small/data"
else
    skip 'a full disk' 'needs root and tmpfs'
    skip 'a read-only data folder' 'needs root and tmpfs'
fi

# ---- The same on MongoDB ----

if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    database=pk_serve_$$
    store=${PK_TEST_MONGODB/'/?'/"/$database?"}
    check 'on MongoDB it starts' serve mongo --data "$work/mongo" --store "$store"
    get /readyz -H "Authorization: Bearer $(<"$work/mongo/admin.key")"
    check '/readyz names the engine' bash -c "[[ $code == 200 ]] && grep -q mongodb '$work/out'"
    kill -TERM "$pid"
    check 'and stops with exit code 0' ended 0
    run serve --data "$work/mongo2" --listen 127.0.0.1:0 \
        --store "mongodb://nobody:wrong@${store#mongodb://}"
    check 'wrong credentials' one_sentence 1 'nobody'
    check 'the password is not shown' bash -c "! grep -q wrong@ '$work/err'"
else
    skip 'a server on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
