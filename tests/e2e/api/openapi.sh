#!/usr/bin/env bash
# openapi.sh - /openapi.json of the real server: valid, the same each time, and cheap to ask for.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/api/api.bash
source "$(dirname "${BASH_SOURCE[0]}")/api.bash"

etag()
{
    sed -n 's/^[Ee][Tt][Aa][Gg]: \(.*\)\r$/\1/p' "$work/head"
}

run errors --json
check 'the codes are listed' exits 0 '"not_found"'
cp "$work/out" "$work/codes"
run errors
check 'for people, too' exits 0 'precondition_failed'

check 'the server starts' serve one --data "$work/one"
get /openapi.json -D "$work/head"
check 'everybody may have the document' test "$code" = 200
cp "$work/out" "$work/document"
plain=$(etag)
"$python" "$here/openapi.py" "$work/document" "$work/codes" >"$work/openapi" 2>&1
hand_on "$work/openapi"

get /openapi.json
check 'it is the same the second time' cmp "$work/out" "$work/document"
rm "$work/out"
get /openapi.json -H "If-None-Match: $plain"
check 'who has it is told so' bash -c "[[ $code == 304 && ! -s '$work/out' ]]"
get /openapi.json -I
check 'HEAD says its length' bash -c "[[ $code == 200 ]] &&
    grep -qi '^content-length: $(stat -c %s "$work/document")' '$work/out'"
get /openapi.json --compressed -D "$work/head"
check 'it is compressed for who takes that' grep -qi '^content-encoding: gzip' "$work/head"
check 'and is the same' cmp "$work/out" "$work/document"
check 'and has an ETag of its own' bash -c "[[ -n '$plain' && '$(etag)' != '$plain' ]]"
get /openapi.json --compressed -H "If-None-Match: $(etag)"
check 'which is known, too' test "$code" = 304

check 'another server' serve two --data "$work/two"
get /openapi.json
check 'has the same document' cmp "$work/out" "$work/document"
for pid in "${pids[@]}"; do
    kill -TERM "$pid"
    check 'a server leaves' ended 0
done
plan
