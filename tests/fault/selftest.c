/* selftest.c - The fault tests can fail: what they should notice is done to them by hand. */
/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "client.h"
#include "journal.h"
#include "list.h"
#include "tap.h"
#include "vfs.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "store/store.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SEED = 20261121,
    LISTS = 64,
    THREADS = 2,
    CUTS = 60 /* Power cuts per kind of database. */
};

/* ---- Names ---- */

static void test_names(void)
{
    bool is_same = true;
    bool is_alien = true;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t random = fault_mix(SEED, i);
        struct fault_name name = { (uint32_t)random % FAULT_RUNS_MAX,
                                   (uint32_t)(random >> 20) % FAULT_THREADS_MAX,
                                   (uint32_t)(random >> 32) };
        struct fault_name back;
        enum fault_part part = (enum fault_part)(i % FAULT_PART_COUNT);
        enum fault_part part_back;
        char id[PK_UUID_TEXT];
        fault_id(id, SEED, name, part);
        is_same = is_same && pk_uuid_is_v4(id, strlen(id)) &&
                  fault_id_read(id, SEED, &back, &part_back) && part == part_back &&
                  name.run == back.run && name.thread == back.thread && name.number == back.number;
        is_alien = is_alien && !fault_id_read(id, SEED + 1, &back, &part_back);
        id[i % 8] = id[i % 8] == 'a' ? 'b' : 'a';
        is_alien = is_alien && !fault_id_read(id, SEED, &back, &part_back);
    }
    tap_is(is_same, "an id says which list and part it is of");
    tap_is(is_alien, "a changed id, or one of another seed, is of no list");
}

/* ---- The checker ---- */

struct world {
    char folder[600];
    struct fault_record record;
    struct fault_journal journal;
    struct pk_store *store;
};

static void open_world(struct world *world)
{
    struct pk_error err;
    fault_folder_new(world->folder, sizeof(world->folder), "world");
    (void)mkdir(world->folder, 0700);
    fault_record_init(&world->record, SEED);
    pk_buf_printf(&world->record.lines, "from p\n");
    if (!fault_store_open(&world->store, world->folder, &err)) {
        tap_bail("the store opens: %s", err.message);
    }
    for (uint32_t i = 0; i < LISTS; i++) {
        for (uint32_t thread = 0; thread < THREADS; thread++) {
            struct fault_name name = { 0, thread, i };
            bool is_tried;
            enum fault_kind kind = fault_kind_of(i);
            (void)fault_client_do(&world->record, world->store, name, kind, &is_tried, &err);
        }
    }
    fault_record_journal(&world->record, world->record.lines.size, &world->journal);
}

static void close_world(struct world *world)
{
    pk_store_close(world->store);
    fault_folder_drop(world->folder);
    fault_journal_done(&world->journal);
    fault_record_done(&world->record);
}

static void commit(struct world *world, struct pk_writes *list)
{
    struct pk_error err;
    if (!pk_store_commit(world->store, list, 0, NULL, &err)) {
        tap_bail("a change by hand: %s", err.message);
    }
    pk_writes_done(list);
}

static struct pk_doc *get(struct world *world, const char *collection, const char *id)
{
    struct pk_doc *doc = NULL;
    struct pk_error err;
    if (!pk_store_get(world->store, collection, id, 0, &doc, &err) || !doc) {
        tap_bail("'%s' is in '%s'", id, collection);
    }
    return doc;
}

/* The documents by which the changes below are made. */
static const struct fault_name acknowledged = { 0, 0, 4 };
static const struct fault_name refused = { 0, 1, 31 };
static const struct fault_name never = { 0, 1, LISTS + 5 };

static void drop_part(struct world *world, struct fault_name name, enum fault_part part)
{
    struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT];
    fault_id(id, SEED, name, part);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = get(world, fault_collection(part), id);
    pk_writes_delete(&list, fault_collection(part), id, pk_doc_version(doc));
    commit(world, &list);
}

static void add_part(struct world *world, struct fault_name name, enum fault_part part)
{
    struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = fault_doc(SEED, name, part);
    pk_writes_insert(&list, fault_collection(part), doc);
    commit(world, &list);
}

static void nothing(struct world *world)
{
    (void)world;
}

static void drop_task(struct world *world)
{
    drop_part(world, acknowledged, FAULT_TASK);
}

static void drop_list(struct world *world)
{
    drop_part(world, acknowledged, FAULT_OBSERVATION);
    drop_part(world, acknowledged, FAULT_TASK);
    drop_part(world, acknowledged, FAULT_KEY);
}

static void half_of_refused(struct world *world)
{
    add_part(world, refused, FAULT_TASK);
}

static void half_of_interrupted(struct world *world)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "try %u %u %u p", never.run, never.thread, never.number);
    fault_journal_line(&world->journal, line);
    add_part(world, never, FAULT_KEY);
}

static void never_tried(struct world *world)
{
    add_part(world, never, FAULT_OBSERVATION);
}

static void other_content(struct world *world)
{
    struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT];
    bson_t content = BSON_INITIALIZER;
    fault_id(id, SEED, acknowledged, FAULT_TASK);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = get(world, "outbox", id);
    BSON_APPEND_UTF8(&content, "_id", id);
    BSON_APPEND_UTF8(&content, "state", "pending");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *new = pk_doc_take(&content);
    pk_writes_replace(&list, "outbox", new, pk_doc_version(old));
    commit(world, &list);
}

static void lost_update(struct world *world)
{
    struct pk_writes list = { 0 };
    bson_t content = BSON_INITIALIZER;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = get(world, "counters", "own-1");
    BSON_APPEND_UTF8(&content, "_id", "own-1");
    BSON_APPEND_INT64(&content, "value", fault_counter_value(old) - 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *new = pk_doc_take(&content);
    pk_writes_replace(&list, "counters", new, pk_doc_version(old));
    commit(world, &list);
}

static void duplicate_acknowledged(struct world *world)
{
    fault_journal_line(&world->journal, "ok 0 1 31 0");
}

/* Says that the feed delivered everything, in the order in which it was tried, 'turned' at one
 * place and without the last 'missing' ones. */
static void deliver(struct world *world, bool is_turned, uint32_t missing)
{
    for (uint32_t i = 0; i < LISTS - missing; i++) {
        for (uint32_t thread = 0; thread < THREADS; thread++) {
            uint32_t number = is_turned && thread == 0 && (i == 8 || i == 9) ? 17 - i : i;
            struct fault_name name = { 0, thread, number };
            char line[64];
            (void)snprintf(line, sizeof(line), "seen 0 %u %u p", thread, number);
            if (fault_journal_list(&world->journal, name)->state == FAULT_DONE) {
                fault_journal_line(&world->journal, line);
            }
        }
    }
}

static void feed_delivers(struct world *world)
{
    deliver(world, false, 0);
}

static void feed_turns(struct world *world)
{
    deliver(world, true, 0);
}

static void feed_misses(struct world *world)
{
    deliver(world, false, 2);
}

/* The first list is begun and nobody knows yet where the feed begins. */
static void feed_begins_late(struct world *world)
{
    deliver(world, false, 0);
    world->journal.position[0] = '\0';
    fault_journal_line(&world->journal, "try 0 0 0 p");
}

static const struct {
    const char *sentence;
    void (*change)(struct world *world);
    int rule; /* That must notice, and no other but ...; -1: nothing to notice. */
    int also; /* ... this; -1: none. */
    bool is_followed;
} case_table[] = {
    { "a sound store is sound", nothing, -1, -1, false },
    { "a task of an acknowledged list is gone: noticed", drop_task, FAULT_RULE_DONE, -1, false },
    { "an acknowledged list is gone but for its event: noticed", drop_list, FAULT_RULE_DONE, -1,
      false },
    { "a refused list left its task: noticed", half_of_refused, FAULT_RULE_REFUSED, -1, false },
    { "an interrupted list left a half: noticed", half_of_interrupted, FAULT_RULE_WHOLE, -1,
      false },
    { "a document that nobody wrote: noticed", never_tried, FAULT_RULE_ALIEN, FAULT_RULE_INDEX,
      false },
    { "a document says something else: noticed", other_content, FAULT_RULE_CONTENT, -1, false },
    { "a counter lost an update: noticed", lost_update, FAULT_RULE_COUNTER, -1, false },
    { "a list that had to conflict was acknowledged: noticed", duplicate_acknowledged,
      FAULT_RULE_WORD, FAULT_RULE_DONE, false },
    { "a feed that delivers all in order is sound", feed_delivers, -1, -1, true },
    { "a feed that turns two events round: noticed", feed_turns, FAULT_RULE_FEED, -1, true },
    { "a feed that misses the last two: noticed", feed_misses, FAULT_RULE_FEED, -1, true },
    { "a feed that was followed too late: noticed", feed_begins_late, FAULT_RULE_FEED, -1, true },
};

static void test_checker(void)
{
    for (size_t i = 0; i < PK_COUNT(case_table); i++) {
        struct world world;
        struct fault_report report;
        bool ok = true;
        open_world(&world);
        case_table[i].change(&world);
        fault_check(world.store, &world.journal, case_table[i].is_followed, &report);
        for (int rule = 0; rule < FAULT_RULE_COUNT; rule++) {
            bool is_broken = report.rule[rule].broken > 0;
            if (rule != case_table[i].also && is_broken != (rule == case_table[i].rule)) {
                ok = false;
                tap_note("'%s': %" PRIu64 " broken, %s", fault_rule_sentence((enum fault_rule)rule),
                         report.rule[rule].broken, report.rule[rule].first);
            }
        }
        tap_is(ok, "%s", case_table[i].sentence);
        close_world(&world);
    }
}

/* ---- The disk ---- */

static void must(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        tap_bail("'%s': %s", sql, sqlite3_errmsg(db));
    }
}

static int count_rows(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *count = NULL;
    int rows = -1;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &count, NULL) == SQLITE_OK &&
        sqlite3_step(count) == SQLITE_ROW) {
        rows = sqlite3_column_int(count, 0);
    }
    (void)sqlite3_finalize(count);
    (void)sqlite3_close(db);
    return rows;
}

/* A plain database on the fault file system, cut after 20 commits: how many cuts lost one. */
static int cuts_that_lost(const char *pragma)
{
    int lost = 0;
    for (uint64_t i = 0; i < CUTS; i++) {
        char folder[600];
        char ruin[600];
        char path[700];
        sqlite3 *db = NULL;
        fault_folder_new(folder, sizeof(folder), "plain");
        fault_folder_new(ruin, sizeof(ruin), "plain-ruin");
        (void)mkdir(folder, 0700);
        (void)mkdir(ruin, 0700);
        vfs_reset(i);
        (void)snprintf(path, sizeof(path), "%s/plain.db", folder);
        if (sqlite3_open(path, &db) != SQLITE_OK) {
            tap_bail("open '%s'", path);
        }
        must(db, "PRAGMA journal_mode=WAL");
        must(db, pragma);
        must(db, "CREATE TABLE t (x)");
        for (int row = 0; row < 20; row++) {
            must(db, "INSERT INTO t VALUES (randomblob(300))");
        }
        if (!vfs_cut(ruin, i)) {
            tap_bail("cut the power");
        }
        (void)sqlite3_close(db);
        (void)snprintf(path, sizeof(path), "%s/plain.db", ruin);
        lost += count_rows(path) < 20;
        fault_folder_drop(folder);
        fault_folder_drop(ruin);
    }
    return lost;
}

/* Writes 64 sectors of 'x', syncs twice, the first time in vain if told so, and cuts the power:
 * how many sectors are there. */
static int sectors_left(bool has_failed_sync)
{
    static const struct vfs_fault failed = {
        .call = VFS_SYNC, .at = 1, .length = 1, .result = SQLITE_IOERR_FSYNC
    };
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    sqlite3_file *file = pk_calloc(1, (size_t)vfs->szOsFile);
    char folder[600];
    char path[700];
    char bytes[64 * 512];
    int left = 0;
    fault_folder_new(folder, sizeof(folder), "raw");
    (void)mkdir(folder, 0700);
    (void)snprintf(path, sizeof(path), "%s/raw.db%c", folder, '\0');
    memset(bytes, 'x', sizeof(bytes));
    vfs_reset(SEED);
    vfs_set_fault(has_failed_sync ? &failed : NULL);
    if (vfs->xOpen(vfs, path, file,
                   SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                   NULL) != SQLITE_OK) {
        tap_bail("open '%s'", path);
    }
    (void)file->pMethods->xWrite(file, bytes, (int)sizeof(bytes), 0);
    (void)file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    (void)file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    (void)file->pMethods->xClose(file);
    (void)remove(path);
    FILE *after = vfs_cut(folder, SEED) ? fopen(path, "re") : NULL;
    for (int i = 0; after && i < 64 && fread(bytes, 1, 512, after) == 512; i++) {
        left += bytes[0] == 'x';
    }
    if (after) {
        (void)fclose(after);
    }
    pk_free(file);
    fault_folder_drop(folder);
    return left;
}

static void test_disk(void)
{
    int full = cuts_that_lost("PRAGMA synchronous=FULL");
    int normal = cuts_that_lost("PRAGMA synchronous=NORMAL");
    int sound = sectors_left(false);
    int failed = sectors_left(true);
    tap_is(full == 0, "a database that syncs loses nothing in %d power cuts", CUTS);
    tap_is(normal > CUTS / 2, "one that does not sync each commit does: in %d of %d", normal, CUTS);
    tap_is(sound == 64, "what was synced is there after a cut");
    tap_is(failed < 48, "after a failed sync the next does not save it: %d of 64 sectors", failed);
}

int main(void)
{
    struct pk_error err;
    if (!pk_crypto_init(&err)) {
        tap_bail("%s", err.message);
    }
    vfs_install();
    test_names();
    test_disk();
    vfs_reset(SEED);
    test_checker();
    return tap_end();
}
