#!/usr/bin/env bash
# domain.sh - From observation to persona, as consumers and authors of mappers go it.
#
# The specs of domain/ by HTTP, on the embedded store, and on MongoDB when
# PK_TEST_MONGODB names one; there the documents are read as they lie in the
# store, too.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
here=$root/tests/e2e/domain

# hand_on NAME FILE: the cases of a program's TAP as ours.
hand_on()
{
    local line
    check "$1 was run" grep -q '^1\.\.[1-9]' "$2"
    while IFS= read -r line; do
        case "$line" in
        'ok '*) check "$1: ${line#ok * - }" true ;;
        'not ok '*) check "$1: ${line#not ok * - }" false ;;
        '#'*) printf '%s\n' "$line" ;;
        esac
    done <"$2"
}

# life NAME OPTIONS...: a server, and all specs against it.
life()
{
    local name=$1 spec
    shift
    check "$name: a server starts" serve "$name" --data "$work/$name" \
        --set observations.approve=slack --set 'traits.conflicts=team.*=review' "$@"
    for spec in observations mindscape persona access; do
        PK_URL=$url PK_KEY=$(<"$work/$name/admin.key") luajit /usr/bin/busted -o TAP \
            "$here/${spec}_spec.lua" >"$work/$spec" 2>&1 </dev/null
        rm -f "$work/out" "$work/err"
        hand_on "$name: $spec" "$work/$spec"
    done
}

# leaves NAME: the server ends as it should, without having said that something is wrong.
leaves()
{
    kill -TERM "$pid"
    check "$1: the server leaves" ended 0
    check "$1: and has met no fault of its own" no_fault "$1"
}

no_fault()
{
    ! grep -E '"level":"(error|fatal)"' "$work/$1.err"
}

life sqlite
leaves sqlite
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    store=${PK_TEST_MONGODB/'/?'/"/pk_domain_$$?"}
    life mongodb --store "$store"
    if python=$("$root/etc/fetch" venv "$here/requirements.txt"); then
        PYTHONDONTWRITEBYTECODE=1 "$python" "$here/documents.py" "$PK_TEST_MONGODB" "pk_domain_$$" \
            >"$work/documents" 2>&1
        hand_on 'mongodb: documents' "$work/documents"
    else
        check 'mongodb: the tools that read documents are installed' false
    fi
    leaves mongodb
else
    skip 'the domain on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
