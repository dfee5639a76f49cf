# setup.sh - What must be installed, and how it gets there. Sourced, not run.
#
# Two lists of Debian packages: one builds and runs PersonaKit, one adds what
# the tests need. need_packages looks first (no apt, no network, well under
# 0.2 s) and installs only what is missing. "a|b" means either will do; the
# first is installed. Elsewhere than on Debian it says so and carries on: the
# build then names what it lacks. A machine that has just booted may be updating
# itself: apt-get waits for that.
#
# SPDX-License-Identifier: MIT

# shellcheck disable=SC2034  # Read by those who source this file.
PACKAGES_BUILD=(
    gcc cmake ninja-build pkg-config libc6-dev
    libmongoc-dev libbson-dev libsqlite3-dev libsodium-dev libevent-dev
    libcurl4-openssl-dev libseccomp-dev libssl-dev zlib1g-dev
    'libluajit2-5.1-dev|libluajit-5.1-dev'
    python3 python3-pip ca-certificates
)

# shellcheck disable=SC2034
PACKAGES_TEST=(
    clang clang-format libclang-rt-14-dev llvm git procps
    libcmocka-dev sqlite3 curl openssl
    'luajit2|luajit' lua-busted lua-check lua-cjson
    locales  # One with a decimal comma is made of its data.
    libcurl4 # mongod is linked to it.
)

say()
{
    printf '%s\n' "$*" >&2
}

die()
{
    say "$(basename "$0"): $*"
    exit 1
}

# missing_packages NAME...: prints those that are not installed, the first of each 'a|b'.
missing_packages()
{
    local installed name choice
    installed=" $(dpkg-query -W -f '${Package} ${db:Status-Status} ' 2>/dev/null) "
    for name in "$@"; do
        for choice in ${name//|/ }; do
            [[ $installed == *" $choice installed "* ]] && continue 2
        done
        printf '%s\n' "${name%%|*}"
    done
}

# need_packages NAME...: installs what is missing, or says what to run.
need_packages()
{
    local missing log
    if ! command -v dpkg-query >/dev/null; then
        say "this is not a Debian system; these must be there: $*"
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -eq 0 ]] && return 0

    if [[ $(id -u) -ne 0 ]]; then
        die "packages are missing; as root, run:
    apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    log=$(mktemp)
    if ! { apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            -o DPkg::Lock::Timeout=300 "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: ${missing[*]}
    (is there a network, and does no other apt-get run?)"
    fi
    rm -f "$log"
}
