#!/usr/bin/env bash
# schemas.sh - Every schema as JSON Schema: valid, and saying what our own check says.
#
#     schemas.sh [MUTATIONS] [SEED]
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/api/api.bash
source "$(dirname "${BASH_SOURCE[0]}")/api.bash"

"$python" "$here/schemas.py" "$schemas" "${1:-8000}" "${2:-1}" >"$work/schemas" 2>&1
hand_on "$work/schemas"
plan
