#!/usr/bin/env bash
# rows.sh - A route that does not say who may use it does not build.
#
# The header is given to the compiler with rows as somebody might write them; and every row that
# there is was written with the macro that insists.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../lib.bash"

# builds ROW: the compiler takes a table with this row.
builds()
{
    local flags
    read -ra flags <<<"$(pkg-config --cflags libbson-1.0)"
    printf '#include "api/row.h"\nextern const struct pk_api_row row[];\nconst struct pk_api_row row[] = { { %s } };\n' \
        "$1" >"$work/row.c"
    "${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -fsyntax-only -I"$root/core" "${flags[@]}" "$work/row.c" 2>"$work/err"
}

does_not_build()
{
    ! builds "$1"
}

# unguarded: rows of core/api that do not begin with PK_ROW, by themselves or by a macro that does.
unguarded()
{
    awk '
        /^#define/ { macro = $2; sub(/\(.*/, "", macro) }
        macro && /PK_ROW\(/ { guarded[macro] = 1 }
        !/\\$/ { macro = "" }
        /struct pk_api_row [a-z_]+\[\] = \{/ { inside = 1; next }
        inside && /^};/ { inside = 0 }
        inside && /^    [{A-Z]/ {
            name = $1
            sub(/\(.*/, "", name)
            rows++
            if (name == "{" ? $2 !~ /^PK_ROW\(/ : !(name in guarded)) { print FILENAME ": " $0 }
        }
        END { print rows " rows" }' "$root"/core/api/*.c
}

check 'a row that says method, path and action builds' builds 'PK_ROW(GET, "/v1/x", ACTOR_SELF)'
check 'without an action it does not' does_not_build 'PK_ROW(GET, "/v1/x")'
check 'nor with one that is empty' does_not_build 'PK_ROW(GET, "/v1/x", )'
check 'nor with one that no table knows' does_not_build 'PK_ROW(GET, "/v1/x", ANYBODY)'
check 'nor without a path' does_not_build 'PK_ROW(GET)'
unguarded >"$work/rows"
check 'every row there is was written so' test "$(wc -l <"$work/rows")" = 1
check "($(tail -n 1 "$work/rows"))" test "$(tail -n 1 "$work/rows" | cut -d' ' -f1)" -ge 18
plan
