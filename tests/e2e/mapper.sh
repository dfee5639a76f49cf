#!/usr/bin/env bash
# mapper.sh - 'personakit mapper check, test, sign': an author at work, with his mistakes.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
scripts=$work/scripts
mkdir "$scripts"

# write NAME: a script from standard input.
write()
{
    cat >"$scripts/$1"
}

# shows TEXT: standard output has these lines, in this order (a fixed text).
shows()
{
    python3 -c 'import sys; sys.exit(sys.argv[1] not in open(sys.argv[2]).read())' "$1" "$work/out" ||
        { printf '# not shown: %s\n' "$1"; return 1; }
}

# ---- A script that is right ----

write daily.lua <<'END'
local pk = require "personakit"

return pk.mapper {
  id = "daily", version = "1.2.0", requires = { "work.chronotype" },
  rules = {
    pk.rule {
      id = "lark",
      when = pk.trait("work.chronotype"):is("morning"),
      suggest = "Start early",
    },
  },
  overlay = function(m)
    return { rhythm = m["work.chronotype"] }
  end,
  examples = {
    {
      name = "an early bird", given = { ["work.chronotype"] = "morning" },
      expect = { fired = { "lark" }, overlay = { rhythm = "morning" } },
    },
    { given = {}, expect = { fired = {} } },
  },
}
END
run mapper check "$scripts/daily.lua"
check 'a good script is ok' exits 0 "mapper 'daily' 1.2.0, 2 examples"
check 'and nothing is remarked' bash -c "[[ \$(wc -l <'$work/out') == 1 && ! -s '$work/err' ]]"
run mapper test "$scripts/daily.lua"
check 'its examples pass' exits 0 '2 of 2 examples passed'
check 'each by its name, with its time' bash -c "grep -qE \"^ok - .*daily.lua example 1 'an early bird' \([0-9.]+ ms\)\" '$work/out'"
run mapper check "$scripts/daily.lua" --json
check '--json says the same' python3 -c '
import json, sys
(one,) = json.load(open(sys.argv[1]))
assert one["ok"] and one["id"] == "daily" and one["version"] == "1.2.0" and one["kind"] == "mapper"
assert len(one["contentHash"]) == 64 and one["findings"] == []
assert [e["ok"] for e in one["examples"]] == [True, True]
' "$work/out"

# ---- Mistakes ----

sed 's/suggest =/sugest =/' "$scripts/daily.lua" >"$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a key that is misspelt' exits 1 "did you mean 'suggest'?"
check 'with path and line' says "$scripts/typo.lua:6: error: "
sed 's/requires =/requries =/' "$scripts/daily.lua" >"$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a key of the manifest that is misspelt' exits 1 "typo.lua:4: error: mapper 'daily': key 'requries' is not known"
check "with the author's line and a caret" shows "     4 |   id = \"daily\", version = \"1.2.0\", requries = { \"work.chronotype\" },
       |                                    ^~~~~~~~
  hint: did you mean 'requires'?"
sed 's/trait("work.chronotype")/trait("work.chronotpe")/; s/fired = { "lark" }, //' "$scripts/daily.lua" >"$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a trait path that is misspelt is remarked on' exits 0 "typo.lua:8: remark: trait path 'work.chronotpe' is not known"
check 'with the nearest name' says "did you mean 'work.chronotype'?"
printf '# known\nwork.chronotype\nother.path # and more\n' >"$work/traits"
run mapper check "$scripts/typo.lua" --traits "$work/traits"
check 'so is one that a list lacks' exits 0 "trait path 'work.chronotpe' is not known"
run mapper check "$scripts/typo.lua" --traits "$work/none"
check 'a list that is not there' exits 1 'none'
"$plant" "sqlite:$work/store" 3 mindscapes >/dev/null 2>&1
run mapper check "$scripts/typo.lua" --known --data "$work/store"
check 'so is one that nobody in the store has' exits 0 "trait path 'work.chronotpe' is not known"
run mapper check "$scripts/typo.lua" --known --data "$work/nowhere"
check 'a store that is not there' exits 1
sed 's/return { rhythm = /return { at = os.time(), rhythm = /' "$scripts/daily.lua" >"$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'what the sandbox refuses' exits 1 "typo.lua:13: error: example 1 ('an early bird'): there is no global 'os' here"
check 'with the way there, and no frame of the host' bash -c "
    grep -q '^  at typo.lua:13: in ' '$work/out' && ! grep -qE '^  at (host|personakit|\[C\])' '$work/out'"
sed 's/rhythm = "morning"/rhythm = "evening"/' "$scripts/daily.lua" >"$scripts/typo.lua"
run mapper test "$scripts/typo.lua"
check 'an example that fails' exits 1 '1 of 2 examples passed'
check 'says what came instead of what' says 'overlay.rhythm is "morning", not "evening"'
check 'and where it is written' says 'typo.lua:18: error: '
check 'the other one passes' bash -c "grep -q '^ok - .* example 2 ' '$work/out'"
sed 's/pk.mapper/pk.condition/' "$scripts/daily.lua" >"$scripts/typo.lua"
run processor check "$scripts/daily.lua"
check 'a mapper is no processor' exits 1 'it is a mapper, not a processor'
head -c 200 "$scripts/daily.lua" >"$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a half-written file' exits 1 'typo.lua:'
check 'has a caret, too' says '^'
write typo.lua <<'END'
while true do end
END
run mapper check "$scripts/typo.lua"
check 'an endless one ends' exits 1 'typo.lua:1: error: stopped after'

# ---- What is no script ----

: >"$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'an empty file' exits 1 'is empty'
rm "$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a file that is not there' exits 1 'is not there'
ln -s daily.lua "$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a symbolic link' exits 1 'is a symbolic link'
rm "$scripts/typo.lua"
cp "$scripts/daily.lua" "$scripts/typo.lua" && chmod 666 "$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a file that everybody may write' exits 1 'may be written by everybody'
rm "$scripts/typo.lua" && mkdir "$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a folder of that name' exits 1 "typo.lua"
rmdir "$scripts/typo.lua" && mkfifo "$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check 'a pipe, without waiting' exits 1 'is no plain file'
rm "$scripts/typo.lua" && truncate -s 100M "$scripts/typo.lua"
run mapper check "$scripts/typo.lua"
check '100 MiB' exits 1 'above 1048576'
rm "$scripts/typo.lua"
run mapper check
check 'no path' exits 2 'needs PATH'
run mapper chekc "$scripts/daily.lua"
check 'a verb that is misspelt' exits 2 "did you mean 'mapper check'?"

# ---- Folders ----

mkdir "$scripts/many"
sed 's/"daily"/"many"/; 2a local helpers = require "helpers"' "$scripts/daily.lua" |
    sed 's/m\["work.chronotype"\] }/helpers.rhythm(m) }/' >"$scripts/many/init.lua"
write many/helpers.lua <<'END'
return { rhythm = function(m) return m["work.chronotype"] end }
END
printf 'broken' >"$scripts/many/helpers_spec.lua"
run mapper check "$scripts/many"
check 'a script of many files' exits 0 "mapper 'many'"
run mapper check "$scripts"
check 'a folder of scripts' exits 0 '2 of 2 scripts are ok'
run mapper test "$scripts/daily.lua" "$scripts/many"
check 'many paths' exits 0 '4 of 4 examples passed'
printf 'return { rhythm = function(m) return m.x.y end }\n' >"$scripts/many/helpers.lua"
run mapper check "$scripts/many"
check 'an error in another file is shown there' exits 1 "$scripts/many/helpers.lua:1: error: "
mkdir "$work/bare"
run mapper check "$work/bare"
check 'a folder without scripts' exits 1 'there is no script in'

# ---- Signatures ----

run mapper keygen "$work/key"
check 'a key is made' exits 0 'key '
check 'for its owner alone' test "$(stat -c %a "$work/key")" = 600
key=$(sed -n 's/^key //p' "$work/out")
check 'its public half is printed' bash -c "[[ '$key' =~ ^[0-9a-f]{64}$ ]]"
run mapper keygen "$work/key"
check 'it is not made twice' exits 1 'is there already'
run mapper check "$scripts/daily.lua" --set scripts.require_signature=true
check 'an unsigned script, where signatures are required' exits 1 'the script is not signed'
run mapper sign "$scripts/daily.lua"
check 'signing needs a key' exits 2 '--key'
chmod 600 "$work/traits"
run mapper sign "$scripts/daily.lua" --key "$work/traits"
check 'and a real one' exits 1 'is no signing key'
run mapper sign "$scripts/daily.lua" "$scripts/many" --key "$work/key"
check 'signing' exits 0 "$key"
check 'writes a file beside it' test -f "$scripts/daily.lua.sig"
check 'or into the folder' test -f "$scripts/many/bundle.sig"
run mapper check "$scripts/daily.lua" --set scripts.require_signature=true
check 'by a key that is not trusted' exits 1 "$key"
check 'says how to trust it' says 'scripts.keys'
run mapper check "$scripts/daily.lua" --set scripts.require_signature=true --set "scripts.keys=$key"
check 'by one that is' exits 0 'signed'
printf '\n' >>"$scripts/daily.lua"
run mapper check "$scripts/daily.lua"
check 'a script that was changed since' exits 1 'does not fit the script'
chmod 644 "$work/key"
run mapper sign "$scripts/daily.lua" --key "$work/key"
check 'a key that others may read is not used' exits 1 'may be read by others'

for noun in mapper processor condition; do
    for verb in check test sign; do
        run "$noun" "$verb" --help
        check "$noun $verb --help" exits 0 "personakit $noun $verb PATH..."
    done
done
plan
