#!/usr/bin/env bash
# hardening.sh - The release program is hardened as CMakeLists.txt says: asked of the file itself.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# shows OPTIONS PATTERN: readelf says so of the program.
shows()
{
    readelf -W "$1" "$pk" >"$work/out" && grep -Eq "$2" "$work/out" || {
        : >"$work/out" # Too long to be shown.
        return 1
    }
}

starts_functions_with_endbr64()
{
    local address
    address=$(readelf -Ws "$pk" | awk '$8 == "main" && $4 == "FUNC" { print $2 }')
    [[ -n $address ]] &&
        objdump -d --start-address="0x$address" --stop-address=$((0x$address + 4)) "$pk" | grep -q endbr64
}

check 'it may lie at any address (PIE)' shows -d 'FLAGS_1.* PIE'
check 'its tables of addresses are read-only (RELRO)' shows -l 'GNU_RELRO'
check 'all of them, from the start (BIND_NOW)' shows -d 'FLAGS_1.* NOW'
check 'its stack cannot be run' shows -l 'GNU_STACK.* RW +0x'
check 'its stack frames are watched' shows --dyn-syms '__stack_chk_fail'
check 'its copies are checked (FORTIFY_SOURCE)' shows --dyn-syms '__(memcpy|snprintf|vsnprintf)_chk'
if [[ $(uname -m) == x86_64 ]]; then
    check 'jumps land at marked places only (-fcf-protection)' starts_functions_with_endbr64
fi
plan
