# lib.bash - For the e2e scripts: cases in TAP, servers that are started, waited for and ended.
#
# A script sources this, says what it checks with 'check', 'says' and 'exits', and ends with 'plan'.
# PK_BUILD is the build folder (build/release). Every wait has a deadline.
#
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034  # Read by those who source this file.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${PK_BUILD:-$root/build/release}
pk=$build/personakit
plant=$build/tests/plant
[[ -x $pk && -x $plant ]] || {
    echo "Bail out! there is no $pk; build it, or set PK_BUILD"
    exit 1
}
work=$(mktemp -d "${TMPDIR:-/tmp}/personakit-e2e-XXXXXX")
cases=0
pids=()
mounts=()
marked_log='' # Set by 'mark'.
marked_line=1
# Settings of the person who runs the tests are not ours.
for name in "${!PERSONAKIT_@}"; do
    unset "$name"
done

clean_up()
{
    local each
    trap - EXIT
    for each in "${pids[@]}"; do
        kill -KILL "$each" 2>/dev/null
    done
    wait
    for each in "${pids[@]}"; do
        rm -f "/dev/shm/mongoc-$each" # libmongoc's counters; SIGKILL leaves them.
    done
    for each in "${mounts[@]}"; do
        umount "$each"
    done
    chmod -R u+w "$work" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# check NAME COMMAND...: passes when COMMAND does. What chance may have had to do with it is said, too:
# how long it took, how busy the machine is, and what the servers logged last.
check()
{
    local name=$1 check_since=$SECONDS check_log
    shift
    ((cases += 1))
    if "$@"; then
        printf 'ok %d - %s\n' "$cases" "$name"
        return
    fi
    printf 'not ok %d - %s\n' "$cases" "$name"
    printf '# after %s s; %(%T)T, load %s\n' $((SECONDS - check_since)) -1 "$(cut -d ' ' -f 1-3 /proc/loadavg)"
    [[ -s $work/out ]] && head -n 12 "$work/out" | cut -c 1-1000 | sed 's/^/# out: /'
    [[ -s $work/err ]] && tail -n 12 "$work/err" | sed 's/^/# err: /'
    for check_log in "$work"/*.err; do
        [[ -s $check_log ]] && tail -n 6 "$check_log" | sed "s/^/# ${check_log##*/}: /"
    done
}

skip()
{
    ((cases += 1))
    printf 'ok %d - %s # SKIP %s\n' "$cases" "$1" "$2"
}

plan()
{
    printf '1..%d\n' "$cases"
}

# run ARGUMENTS...: personakit, to $work/out, $work/err and $status.
run()
{
    status=0
    timeout 300 "$pk" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

# exits CODE [WORDS]: the last run ended so, and said these words (a fixed text).
exits()
{
    [[ $status -eq $1 ]] || { printf '# exit code %s, expected %s\n' "$status" "$1"; return 1; }
    [[ $# -lt 2 ]] || says "$2"
}

says()
{
    grep -qF -- "$1" "$work/out" "$work/err" || { printf '# not said: %s\n' "$1"; return 1; }
}

# within SECONDS COMMAND...: repeats it until it succeeds. SECONDS are those of a quiet machine: one
# that is PK_TEST_PATIENCE (10) times slower passes, too.
within()
{
    local end=$((SECONDS + $1 * ${PK_TEST_PATIENCE:-10}))
    shift
    until "$@"; do
        [[ $SECONDS -lt $end ]] || return 1
        sleep 0.02
    done
}

# serve NAME OPTIONS...: starts a server on a free port; sets $pid and $url. Fails if it ends.
serve()
{
    local name=$1
    shift
    : >"$work/$name.out" # What an earlier one said is not this one's.
    "$pk" serve --listen 127.0.0.1:0 "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 20 answered "$name" || return 1
    url=$(sed -n 's/^ready //p' "$work/$name.out")
    [[ -n $url ]] || { sed 's/^/# /' "$work/$name.err" && return 1; }
}

answered()
{
    grep -q '^ready ' "$work/$1.out" 2>/dev/null || ! kill -0 "$pid" 2>/dev/null
}

# small_disk SIZE: a disk of its own at $work/small; not without the right to mount.
small_disk()
{
    [[ $(id -u) -eq 0 ]] && mkdir "$work/small" &&
        mount -t tmpfs -o size="$1" tmpfs "$work/small" 2>/dev/null && mounts+=("$work/small")
}

# ended CODE: the server of $pid ends so, within 20 s.
ended()
{
    local code=0
    within 20 gone || return 1
    wait "$pid" || code=$?
    [[ $code -eq $1 ]] || { printf '# exit code %s, expected %s\n' "$code" "$1"; return 1; }
}

gone()
{
    local state
    state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
    [[ -z $state || $state == [ZX]* ]]
}

# get PATH [OPTIONS...]: status to $code, body to $work/out.
get()
{
    local path=$1
    shift
    : >"$work/err"
    code=$(curl -s --max-time 10 -o "$work/out" -w '%{http_code}' "$@" "$url$path")
}

# ask PATH [OPTIONS...]: as 'get', with the key in $key; the answer's headers to $work/head.
ask()
{
    local path=$1
    shift
    get "$path" -H "Authorization: Bearer $key" -D "$work/head" "$@"
}

# heard WORDS: the last 'ask' had this header line, in any case of letters.
heard()
{
    grep -qiE -- "^$1" "$work/head" || { printf '# no such header: %s\n' "$1"; return 1; }
}

# field NAME: the first text of that name in the last body.
field()
{
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/out" | head -n 1
}

# address NAME SCHEME: the (last) address with that beginning that server NAME listens on.
address()
{
    sed -n "s|.*\"listening\",\"address\":\"\($2[^\"]*\)\".*|\1|p" "$work/$1.err" | tail -n 1
}

# mark NAME: 'logged' and 'soon' look at what server NAME says from here on.
mark()
{
    marked_log=$work/$1.err
    marked_line=$(($(wc -l <"$marked_log") + 1))
}

# logged WORDS: a line since the mark has them (a pattern of grep).
logged()
{
    tail -n "+$marked_line" "$marked_log" | grep -q -- "$1"
}

# soon WORDS: the same, within a few seconds.
soon()
{
    within 5 logged "$1" || { printf '# not logged: %s\n' "$1"; return 1; }
}
