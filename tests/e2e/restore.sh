#!/usr/bin/env bash
# restore.sh - A backup of a server at work, and a store of it without who was erased since.
#
# On the embedded store, and on MongoDB when PK_TEST_MONGODB names one; a backup of each is restored
# into the other, too. What was erased is looked for in the bytes of all files.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
umask 022
person=b7a1c0de-0000-4000-8000-00000000000
planted=b7a1c0de-1111-4000-8000-000000000009

# observe PERSON WORD [ID]: one observation, which says the word.
observe()
{
    ask /v1/observations -X POST -H 'Content-Type: application/json' -d \
        "{\"person_id\":\"$person$1\",\"type\":\"chat_log\",\"content\":{\"mood\":\"$2\"}${3:+,\"observationId\":\"$3\"}}"
}

# on DATA COMMAND...: a command on the store that DATA and, when there is one, $store name.
on()
{
    local data=$1
    shift
    run "$@" --data "$data" ${store:+--store "$store"}
}

# nowhere WORD FILES...: no file has these bytes.
nowhere()
{
    local word=$1
    shift
    ! grep -rlF -- "$word" "$@" | sed 's/^/# it is in /' | grep .
}

is_complete()
{
    ask "/v1/people/$1" -X DELETE && grep -q '"completedAt"' "$work/out"
}

is_forgotten()
{
    ask "/v1/observations/$1" && [[ $code -eq 404 ]]
}

# over TYPE: no task of this type waits or is under way.
over()
{
    local state
    for state in pending in_progress; do
        ask "/v1/admin/outbox?status=$state&type=$1" || return 1
        [[ $code -eq 200 ]] && ! grep -q '"taskId"' "$work/out" || return 1
    done
}

# merge FROM INTO: the two are one, and what that takes is done.
merge()
{
    ask /v1/people/merge -X POST -H 'Content-Type: application/json' \
        -d "{\"from\":\"$person$1\",\"into\":\"$person$2\"}"
    merge=$(field mergeId)
    [[ $code -eq 202 ]] && within 20 over merge_people
}

# left URL ID: where documents name the person, but for what an erasure leaves.
left()
{
    rm -rf "$work/flat"
    "$pk" move --from "$1" --to "sqlite:$work/flat" >/dev/null 2>&1 || return 1
    python3 - "$work/flat/personakit.db" "$2" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
found = []
for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
    for row in db.execute(f'SELECT * FROM "{name}"'):
        text = b"|".join(v if isinstance(v, bytes) else str(v).encode() for v in row)
        if sys.argv[2].encode() in text and b"person.erase" not in text:
            found.append(name)
print(sorted(set(found)))
sys.exit(any(name.split(".")[0] != "tombstones" for name in found))  # Their indexes, too.
PY
}

# epoch FOLDER: what positions and cursors of the store in it begin with.
epoch()
{
    sqlite3 -readonly "$1/personakit.db" "SELECT value FROM \"pk.meta\" WHERE key = 'epoch'"
}

# secrets FROM TO: pepper and erasures.log go to a new data folder.
secrets()
{
    mkdir -p "$2" && chmod 700 "$2" && cp -p "$1/pepper" "$1/erasures.log" "$2/"
}

# life NAME STORE: $store is empty, or MongoDB's URL; a fresh one is $fresh.
life()
{
    local name=$1 data=$work/$1 old=$work/$1.backup first observation url_of each
    store=$2
    PK_PLANT_PERSON=$planted "$plant" "${store:-sqlite:$data}" 3 >/dev/null 2>"$work/err"
    check "$name: a server starts" serve "$name" --data "$data" ${store:+--store "$store"}
    key=$(cat "$data/admin.key")
    observe 1 Eulenspiegel1
    observe 2 Siebenschlaefer
    observation=$(cat /proc/sys/kernel/random/uuid)
    observation=${observation:0:14}4${observation:15}
    observe 3 Vergissmeinnicht "$observation"
    observe 3 Bleibtstehen
    for each in 4 5 6 7; do
        observe "$each" Doppelgaenger
    done
    check "$name: what came in is done" within 20 over process_observation
    check "$name: two people become one" merge 6 7

    on "$data" backup "$old"
    check "$name: a backup of a server at work" exits 0 'read again and sealed'
    check "$name: it says until when it is to be kept" says 'delete it by'
    check "$name: with what it is of, in a file" grep -q '"check"' "$old/backup.json"
    check "$name: nothing is left beside it" test ! -e "$old.partial"
    on "$data" backup "$old"
    check "$name: one backup is never written over another" exits 1 'there is something at'
    on "$data" backup "$work/$name.json" --json
    check "$name: as JSON" exits 0 '"deleteBy":"'

    ask "/v1/observations/$observation" -X DELETE
    check "$name: an observation is forgotten" within 20 is_forgotten "$observation"
    check "$name: for good" within 20 over forget_observation
    [[ -n $store ]] || check "$name: no file has its text any more" \
        nowhere Vergissmeinnicht "$data"
    ask "/v1/people/${person}1" -X DELETE
    check "$name: somebody is erased" within 20 is_complete "${person}1"
    [[ -n $store ]] || check "$name: when it is complete no file has his words" \
        nowhere Eulenspiegel1 "$data"
    check "$name: and the words of others are there" test -n "$store" -o \
        -n "$(grep -rlF Siebenschlaefer "$data")"
    ask "/v1/people/${person}1" -X DELETE
    check "$name: the receipt says until when backups may have him" says '"backupsUntil"'
    ask "/v1/people/$planted" -X DELETE
    check "$name: somebody who is everywhere is erased" within 30 is_complete "$planted"
    check "$name: two more become one" merge 4 5
    for each in 5 6; do
        ask "/v1/people/$person$each" -X DELETE
        check "$name: who is two is erased as one" within 20 is_complete "$person$each"
    done
    check "$name: the log has a line for each, of both kinds" test \
        "$(grep -c ' person ' "$data/erasures.log") $(grep -c ' observation ' "$data/erasures.log")" = '6 1'
    kill -TERM "$pid"
    check "$name: the server leaves" ended 0

    # Refused, with a sentence.
    first=$store
    store=${first:+$fresh}
    mkdir -m 700 "$data.new"
    on "$data.new" restore "$old"
    check "$name: without erasures.log it is refused" exits 1 "there is no 'erasures.log'"
    cp -p "$data/erasures.log" "$data.new/"
    on "$data.new" restore "$old"
    check "$name: without the pepper, too" exits 1 "there is no 'pepper'"
    cp -p "$data/pepper" "$data.new/"
    store=$first on "$data" restore "$old"
    check "$name: a store with documents is left alone" exits 1 'never mixed'

    on "$data.new" restore "$old"
    check "$name: restored" exits 0 'equal to the backup'
    check "$name: the erased are erased again" says '6 people of the backup were erased since'
    check "$name: the forgotten will be" says '1 observations were forgotten since'
    [[ -n $store ]] || check "$name: no file of the new store has the words of the erased" \
        nowhere Eulenspiegel1 "$data.new"
    [[ -n $store ]] || check "$name: nor of those who were merged, before the backup or since" \
        nowhere Doppelgaenger "$data.new"
    url_of=${store:-sqlite:$data.new}
    check "$name: nothing of who was everywhere is left" left "$url_of" "$planted"
    [[ -n $store ]] || check "$name: the new store has an epoch of its own" test \
        "$(for each in "$data" "$old" "$data.new"; do epoch "$each"; done | sort -u | wc -l)" = 3
    on "$data.new" restore "$old"
    check "$name: once more there is nothing to do" exits 0 'there is nothing to do'
    check "$name: a server serves it" serve "$name.new" --data "$data.new" ${store:+--store "$store"}
    check "$name: with the keys of before" ask /v1/people
    check "$name: what was forgotten goes" within 20 is_forgotten "$observation"
    check "$name: that is all there is to do" within 20 over forget_observation
    [[ -n $store ]] || check "$name: and no file has its text" nowhere Vergissmeinnicht "$data.new"
    ask "/v1/people/${person}1" -X DELETE
    check "$name: the receipt is there again" says '"observations":1'
    check "$name: complete" says '"completedAt"'
    ask "/v1/people/${person}3/observations"
    check "$name: the others are there" says Bleibtstehen
    ask '/v1/admin/audit?action=store.restored'
    check "$name: it is audited" says '"erasures":"applied"'
    kill -TERM "$pid"
    check "$name: it ends well" ended 0
}

# told FILE CODE WORDS: a restore with this erasures.log ends so.
told()
{
    rm -rf "$work/told" && secrets "$work/sqlite" "$work/told" && cp "$1" "$work/told/erasures.log"
    store='' on "$work/told" restore "$work/sqlite.backup"
    exits "$2" "$3"
}

# The log of a power cut, and one that was damaged.
logs()
{
    local whole=$work/sqlite/erasures.log
    { cat "$whole" && printf '0123456789abcdef'; } >"$work/torn"
    check 'a torn last line is told, and no more' told "$work/torn" 0 '1 lines were cut off'
    check 'and the others count' says '6 people of the backup were erased'
    { head -c 40 "$whole" && printf '\n' && cat "$whole" && printf '\0\0\0\0'; } >"$work/torn"
    check 'torn in the middle, and zeros at the end' told "$work/torn" 0 '6 people of the backup'
    sed '2s/^../zz/' "$whole" >"$work/bad"
    check 'a damaged line is refused, with its number' told "$work/bad" 1 'line 2 of'
    sed '2s/ person / parson /' "$whole" >"$work/bad"
    check 'a damaged word, too' told "$work/bad" 1 'line 2 of'
    : >"$work/empty"
    check 'an empty one is one: nobody was erased' told "$work/empty" 0 'nobody of the backup was erased'
    cut -d' ' -f1,2 "$whole" >"$work/early"
    check 'lines of the first form are read' told "$work/early" 0 '6 people of the backup'
}

# changed FILE OFFSET: a copy of the backup with one other byte.
changed()
{
    rm -rf "$work/changed" && cp -r "$work/sqlite.backup" "$work/changed"
    python3 - "$work/changed/$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte[0] ^ 1]))
PY
    rm -rf "$work/told" && secrets "$work/sqlite" "$work/told"
    store='' on "$work/told" restore "$work/changed"
    exits 1 "$3" && [[ ! -e $work/told/personakit.db ]]
}

# newer: backup.json says that a later program made it.
newer()
{
    rm -rf "$work/changed" && cp -r "$work/sqlite.backup" "$work/changed"
    sed -i 's/"format": 1/"format": 2/' "$work/changed/backup.json"
    store='' on "$work/told" restore "$work/changed"
    exits 1 'made by a newer program'
}

# strange COMMAND...: a copy of the backup in which this was done is refused, and nothing is made.
strange()
{
    rm -rf "$work/changed" && cp -r "$work/sqlite.backup" "$work/changed" && (cd "$work/changed" && "$@")
    rm -rf "$work/told" && secrets "$work/sqlite" "$work/told"
    store='' on "$work/told" restore "$work/changed"
    [[ $status -eq 1 && ! -e $work/told/personakit.db ]]
}

# emptied: somebody deletes rows, and leaves that in SQLite's log beside the database.
emptied()
{
    cp personakit.db other.db && python3 - <<'PY'
import os, shutil, sqlite3
db = sqlite3.connect("other.db")
db.execute("PRAGMA journal_mode=wal")
db.execute('DELETE FROM "observations"')
db.commit()
shutil.copy("other.db-wal", "personakit.db-wal")
db.close()
os.remove("other.db")
PY
}

linked()
{
    mv personakit.db "$work/elsewhere.db" && ln -s "$work/elsewhere.db" personakit.db
}

piped()
{
    rm "$1" && mkfifo "$1"
}

# own_folder: the backup was copied into the data folder.
own_folder()
{
    rm -rf "$work/told" && secrets "$work/sqlite" "$work/told" && cp "$work/sqlite.backup"/* "$work/told/"
    store='' on "$work/told" restore "$work/told" --replace --yes
    exits 1 'it would be deleted' && cmp "$work/told/personakit.db" "$work/sqlite.backup/personakit.db"
}

# half_way OPTIONS...: a command that is killed with $signal once $target has got something.
half_way()
{
    "$pk" "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 20 has_some || return 1
    kill "-$signal" "$pid" 2>/dev/null
    status=0
    wait "$pid" 2>/dev/null || status=$?
}

has_some()
{
    local size=0 file
    for file in "$target"/personakit.db "$target"/personakit.db-wal; do
        ((size += $(stat -c %s "$file" 2>/dev/null || echo 0)))
    done
    ((size > least)) || gone
}

interrupted()
{
    local data=$work/big old=$work/big.backup
    mkdir -m 700 "$data"
    "$plant" "sqlite:$data" "${PK_RESTORE_COUNT:-6000}" observations people trait_history >/dev/null
    store=''
    signal=KILL target=$old.partial least=1000000
    half_way backup "$old" --data "$data"
    check 'a backup that is killed' test "$status" -eq 137
    check 'has not got its name' test ! -e "$old"
    secrets "$work/sqlite" "$work/never"
    on "$work/never" restore "$old.partial"
    check 'and is none' exits 1 'is no backup'
    on "$data" backup "$old"
    check 'the next one is whole' exits 0 'read again and sealed'
    signal=INT target=$work/stopped.partial
    half_way backup "$work/stopped" --data "$data"
    check 'one that is stopped says so' exits 1 'stopped'
    check 'and leaves nothing' test ! -e "$work/stopped" -a ! -e "$target"

    target=$work/big.new least=3000000 signal=KILL
    secrets "$work/sqlite" "$target"
    half_way restore "$old" --data "$target"
    check 'a restore that is killed' test "$status" -eq 137
    run serve --data "$target" --listen 127.0.0.1:0
    check 'is not served' exits 1 'a restore into this store was begun and is not finished'
    on "$target" backup "$work/of-half"
    check 'nor backed up' exits 1 'not finished'
    on "$target" restore "$work/sqlite.backup"
    check 'nor mixed with another backup' exits 1 'a restore from another backup'
    on "$target" restore "$old" --json
    check 'the same command finishes it' exits 0 '"resumed":true'
    check 'with every document' says "\"documents\":$((3 * ${PK_RESTORE_COUNT:-6000}))"
    on "$target" restore "$work/sqlite.backup" --replace --yes
    check 'told so, it replaces what is there' exits 0 'equal to the backup'
}

# cut_off SECONDS DATA FROM OPTIONS...: a restore that is killed so long after it has begun.
cut_off()
{
    local after=$1 data=$2 from=$3
    shift 3
    "$pk" restore "$from" --data "$data" ${store:+--store "$store"} "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    pids+=("$pid")
    within 20 has_begun "$data" || return 1
    sleep "$after"
    kill -KILL "$pid" 2>/dev/null
    status=0
    wait "$pid" 2>/dev/null || status=$?
}

has_begun()
{
    [[ -e $1/restore.begun ]] || gone
}

# refused_or_whole DATA FROM: the store is not served; or it is that of FROM, finished, or the one that
# was there before (restored from another backup). A new one would be neither.
refused_or_whole()
{
    if serve cut --data "$1" ${store:+--store "$store"}; then
        kill -TERM "$pid"
        ended 0
        on "$1" restore "$2"
        grep -qE 'there is nothing to do|a restore from another backup' "$work/out" "$work/err"
    else
        grep -q 'a restore into this store was begun and is not finished' "$work/cut.err"
    fi
}

# killed_anywhere NAME DATA FROM [--replace --yes]
killed_anywhere()
{
    local name=$1 data=$2 from=$3 after never=1
    shift 3
    for after in 0 0 0.005 0.01 0.02 0.04 0.08 0.16; do
        cut_off "$after" "$data" "$from" "$@"
        refused_or_whole "$data" "$from" || never=0
    done
    for after in 0 0.05 0.1 0.2 0.4 0.8; do # Gone on with, and killed again.
        cut_off "$after" "$data" "$from"
        refused_or_whole "$data" "$from" || never=0
    done
    check "$name: a restore that is killed anywhere is never taken for a store" test "$never" = 1
    on "$data" restore "$from"
    check "$name: the same command finishes it" exits 0
    check "$name: and it leaves no mark" test ! -e "$data/restore.begun"
    check "$name: then it is served" serve cut --data "$data" ${store:+--store "$store"}
    kill -TERM "$pid"
    check "$name: and ends well" ended 0
}

# One who is two in the backup, and of whom half was erased after they were parted.
parted()
{
    local data=$work/parted old=$work/parted.backup
    store=''
    serve parted --data "$data"
    key=$(cat "$data/admin.key")
    observe 1 Doppelgaenger
    observe 2 Doppelgaenger
    merge 1 2
    on "$data" backup "$old"
    ask "/v1/people/${person}2/merges/$merge/undo" -X POST
    check 'those who were one are parted' within 20 over unmerge_people
    ask "/v1/people/${person}1" -X DELETE
    check 'and one of them is erased' within 20 is_complete "${person}1"
    kill -TERM "$pid"
    ended 0
    secrets "$data" "$data.new"
    on "$data.new" restore "$old"
    check 'a backup in which they are one takes nobody along' exits 1 'two people are one in this backup'
    run serve --data "$data.new" --listen 127.0.0.1:0
    check 'and is not served' exits 1 'not finished'
    on "$data.new" restore "$old" --replace --without-erasures --yes
    check 'as told, it is restored as it was' exits 0 'equal to the backup'
}

full_disk()
{
    if small_disk 4m; then
        cp -r "$work/sqlite.backup" "$work/small/kept"
        mount -o remount,ro "$work/small"
        rm -rf "$work/told" && secrets "$work/sqlite" "$work/told"
        store='' on "$work/told" restore "$work/small/kept"
        check 'a backup is read where nothing can be written' exits 0 'equal to the backup'
        mount -o remount,rw "$work/small"
        rm -rf "$work/small/kept"
        store='' on "$work/big" backup "$work/small/backup"
        check 'a full disk is told' exits 1 'copy the pages: no space left'
        check 'and what was to be done is said once' test "$(grep -o 'back up' "$work/err" | wc -l)" = 1
        check 'and nothing is left on it' test -z "$(ls -A "$work/small")"
    else
        skip 'a full disk' 'it takes the right to mount'
    fi
}

fresh=''
life sqlite ''
logs
check 'a backup with another byte is damaged' changed personakit.db 50000 "'personakit.db' has changed"
check 'so is one whose own page was changed' changed backup.json 30 'is damaged'
check 'one of a newer program is refused' newer
check "with a log that changes what it says it is refused" strange emptied
check 'with a reason' says "somebody has written to its database: 'personakit.db-wal'"
check 'a file that backup.json does not name' strange cp backup.json more.bson
check 'is refused' says 'it has 2 files, and backup.json names 1'
check 'a link is no file of a backup' strange linked
check 'nor is a pipe, which nobody waits for' strange piped personakit.db
check 'not even in the place of backup.json' strange piped backup.json
check 'a backup in the folder of the store is not replaced by itself' own_folder
rm -rf "$work/told"
mkdir -m 700 "$work/told"
store='' on "$work/told" restore "$work/sqlite.backup" --without-erasures
check 'without the log nobody is brought back by mistake' exits 1 '--yes'
store='' on "$work/told" restore "$work/sqlite.backup" --without-erasures --yes
check 'meant, everybody is back' exits 0 'who was erased since is back'
check 'with all his words' test -n "$(grep -rlF Eulenspiegel1 "$work/told")"
interrupted
store=''
secrets "$work/sqlite" "$work/cut"
on "$work/cut" restore "$work/sqlite.backup"
killed_anywhere sqlite "$work/cut" "$work/big.backup" --replace --yes
parted
full_disk
if [[ -n ${PK_TEST_MONGODB:-} ]]; then
    fresh=${PK_TEST_MONGODB/'/?'/"/pk_restored_$$?"}
    life mongodb "${PK_TEST_MONGODB/'/?'/"/pk_backup_$$?"}"
    rm -rf "$work/told" && secrets "$work/mongodb" "$work/told"
    store='' on "$work/told" restore "$work/mongodb.backup"
    check 'a backup of MongoDB becomes an embedded store' exits 0 '6 people of the backup'
    check 'without the erased' left "sqlite:$work/told" "$planted"
    secrets "$work/sqlite" "$work/cut2"
    store=${PK_TEST_MONGODB/'/?'/"/pk_cut_$$?"}
    killed_anywhere mongodb "$work/cut2" "$work/big.backup"
    rm -rf "$work/told2" && secrets "$work/sqlite" "$work/told2"
    store=${PK_TEST_MONGODB/'/?'/"/pk_across_$$?"}
    on "$work/told2" restore "$work/sqlite.backup"
    check 'and the other way round' exits 0 '6 people of the backup'
    check 'without the erased, too' left "$store" "$planted"
    on "$work/told2" restore "$work/sqlite.backup" --replace --yes
    check 'there nothing is replaced' exits 1 'drop the database'
else
    skip 'restore on MongoDB' 'PK_TEST_MONGODB is not set'
fi
plan
