# api.bash - For the scripts of this folder: Python with the pinned tools, and TAP handed on.
#
# etc/fetch installs them, each checked against its checksum, when requirements.txt has changed.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../lib.bash"
here=$root/tests/e2e/api
schemas=$build/tests/schemas
export PYTHONDONTWRITEBYTECODE=1
python=$("$root/etc/fetch" venv "$here/requirements.txt") || {
    echo 'Bail out! the Python tools of tests/e2e/api/requirements.txt cannot be installed'
    exit 1
}

# hand_on FILE: the cases of a program's TAP as ours.
hand_on()
{
    local line
    check "${1##*/} was run" grep -q '^1\.\.[1-9]' "$1"
    while IFS= read -r line; do
        case "$line" in
        'ok '*) check "${line#ok * - }" true ;;
        'not ok '*) check "${line#not ok * - }" false ;;
        '#'*) printf '%s\n' "$line" ;;
        esac
    done <"$1"
}
