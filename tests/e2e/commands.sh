#!/usr/bin/env bash
# commands.sh - The command line as a person meets it: help, typing mistakes, settings, exit codes.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

run
check 'without a command, the overview and exit code 2' exits 2 'Commands'
run backup
check 'a command of one word that lacks another says which' exits 2 "'backup' needs TO"
run --help
check '--help lists the commands' exits 0 'upgrade'
check '--help documents the exit codes' says 'Exit codes'
run --version
check '--version says the version' exits 0 'personakit '
mapfile -t commands < <("$pk" --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p')
check 'there are commands' test "${#commands[@]}" -ge 4
declare -A taking=([backup]=TO [restore]=FROM) # Those that take a word.
for command in "${commands[@]}"; do
    run "$command" --help
    check "$command --help has an example" exits 0 "  personakit $command"
    check "$command --help lists its options" says '--json'
    run help "$command"
    check "help $command says the same" exits 0 "personakit $command"
    run "$command" --jsn
    check "$command names the nearest option" exits 2 "did you mean '--json'?"
    run "$command" extra ${taking[$command]:+"extra"}
    check "$command takes no stray words" exits 2 "takes no 'extra'"
done

run sevre
check 'a mistyped command is answered with the nearest' exits 2 "did you mean 'serve'?"
run frobnicate
check 'a command far from all is simply unknown' exits 2 "there is no command 'frobnicate'"
run serve --lisen=127.0.0.1:0
check 'a mistyped setting is answered with the nearest' exits 2 "did you mean '--listen'?"
run serve --drain.lead_ms=5
check 'a setting without an option of its own is shown its way' exits 2 '--set'
run serve --data
check 'an option without its value is refused' exits 2 '--data'
run move --from
check 'an own option without its value is refused' exits 2 "'--from' needs a value"
run upgrade --check=yes
check 'a value for an option that takes none is refused' exits 2 "takes no value"
run backup
check 'a missing word is named' exits 2 'TO'
run restore "$work/nothing" --data "$work/none"
check 'restoring what is no backup is refused' exits 1 'is no backup'
check 'and makes nothing' test ! -e "$work/none"
run backup "$work/b" --data "$work/none"
check 'backing up what is no store is refused' exits 1
check 'and makes nothing, either' test ! -e "$work/b" -a ! -e "$work/b.partial" -a ! -e "$work/none"
run move --from sqlite:x
check 'a missing option is named' exits 2 '--to'
run sevre --json
check 'usage errors go to standard error' test ! -s "$work/out"

# Settings: the file, the environment and the options, each with its origin.
run config
check 'config shows defaults with their origin' exits 0 'default'
cat >"$work/good.lua" <<'LUA'
return {
  listen = "127.0.0.1:8099",
}
LUA
run config --config "$work/good.lua"
check 'config shows what the file says, and where' exits 0 'good.lua:2'
PERSONAKIT_LISTEN=127.0.0.1:8100 run config --config "$work/good.lua"
check 'a variable wins over the file' exits 0 'PERSONAKIT_LISTEN'
PERSONAKIT_LISTEN=127.0.0.1:8100 run config --listen 127.0.0.1:8101
check 'an option wins over a variable' exits 0 '127.0.0.1:8101'
run config --json --listen=127.0.0.1:8102
check 'config --json is JSON' python3 -c \
    'import json,sys; assert json.load(open(sys.argv[1]))["listen"]["value"] == ["127.0.0.1:8102"]' \
    "$work/out"
run config --set traits.half_lives=high=7d,chat_log=0.25
check 'half-lives are settings' exits 0 'high=7d'
run config --set traits.half_lives=high=soon
check 'and a wrong one is answered with an example' exits 2 "as in 'high=7d'"
run config --store 'mongodb://me:hunter2@db.example:27017/pk'
check 'a password is never shown' exits 0 'db.example'
check 'not even in part' bash -c "! grep -q hunter2 '$work/out' '$work/err'"

cat >"$work/bad.lua" <<'LUA'
return {
  listen = "everywhere",
  lstore = { url = "" },
}
LUA
run serve --config "$work/bad.lua" --data "$work/data"
check 'a wrong setting stops the start with file and line' exits 2 'bad.lua:2'
check 'and says what was given' says 'everywhere'
check 'and what is allowed' says 'allowed'
check 'and every other fault, too' says 'bad.lua:3'
check 'nothing was made' test ! -e "$work/data"
run serve --config "$work/none.lua"
check 'a configuration file that is not there is named' exits 2 'none.lua'
echo 'return { listen = ' >"$work/broken.lua"
run config --config "$work/broken.lua"
check 'a file that is no Lua is refused' exits 2 'broken.lua'
echo 'while true do end' >"$work/endless.lua"
run config --config "$work/endless.lua"
check 'a file that does not end is stopped' exits 2 'endless.lua'
echo 'return { data = os.getenv("HOME") }' >"$work/reach.lua"
run config --config "$work/reach.lua"
check 'a file reaches nothing outside' exits 2 'reach.lua'

# upgrade: what stands in the store against what this program needs.
run upgrade --check --data "$work/nothing"
check 'upgrade --check of nothing is 0' exits 0 'nothing is there yet'
check 'and makes nothing' test ! -e "$work/nothing"
mkdir "$work/store"
"$plant" "sqlite:$work/store" 3 >/dev/null 2>&1
run upgrade --check --data "$work/store"
check 'upgrade --check of a current store is 0' exits 0 'up to date'
run upgrade --data "$work/store"
check 'upgrade of a current store has nothing to do' exits 0 'up to date'
run upgrade --check --json --data "$work/store"
check 'upgrade --check --json is JSON' python3 -c \
    'import json,sys; assert json.load(open(sys.argv[1]))["state"] == "up_to_date"' "$work/out"
set_version()
{
    sqlite3 "$work/store/personakit.db" "UPDATE \"pk.meta\" SET value = $1 WHERE key LIKE '%schema%'"
}
set_version 0
run upgrade --check --data "$work/store"
check 'upgrade --check of an older store is 3' exits 3 'older'
run serve --data "$work/store" --listen 127.0.0.1:0
check 'serve refuses an older store and names the command' exits 1 'upgrade'
run upgrade --data "$work/store"
check 'upgrade raises it' exits 0 'upgraded'
run upgrade --check --data "$work/store"
check 'and then it is up to date' exits 0 'up to date'
set_version 99
run upgrade --check --data "$work/store"
check 'upgrade --check of a newer store is 4, with the way back' exits 4 'backup'
run upgrade --data "$work/store"
check 'upgrade leaves a newer store alone' exits 4 'newer'
run serve --data "$work/store" --listen 127.0.0.1:0
check 'serve refuses a newer store' exits 1 'newer'
set_version "'newest'"
run upgrade --check --data "$work/store"
check 'a version that is no number is damage, and not an older one' exits 1 'damaged'
plan
