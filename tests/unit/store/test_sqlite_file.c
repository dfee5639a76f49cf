/* test_sqlite_file.c - The embedded engine's file: whose it is, backups, faults of the device. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "doc/doc.h"
#include "faulty.h"
#include "store/sqlite_internal.h"
#include "test.h"
#include "things.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Helpers ---- */

static void raw_sql(const char *folder, const char *sql)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s", sqlite3_errmsg(db));
    }
    (void)sqlite3_close(db);
}

static bool open_with(const char *folder, const struct pk_inventory *inventory, bool is_upgrade,
                      struct pk_store **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url,
                                              .inventory = inventory,
                                              .clock = pk_clock_system(),
                                              .is_upgrade_allowed = is_upgrade };
    return pk_store_open(out, &options, err);
}

static void assert_refused(const char *folder, const struct pk_inventory *inventory,
                           enum pk_code code, const char *part)
{
    struct pk_store *store;
    struct pk_error err;
    assert_false(open_with(folder, inventory, false, &store, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.message, part)) {
        fail_msg("'%s' lacks '%s'", err.message, part);
    }
    assert_non_null(err.hint);
}

/* ---- The file ---- */

TEST(the_file_is_for_its_owner_alone_whatever_the_umask)
{
    const char *folder = pk_test_folder();
    const mode_t old = umask(0);
    struct pk_store *store = things_open(folder);
    (void)umask(old);
    (void)things_insert(store, (struct thing){ .id = "a" });
    static const char *const file[] = { "personakit.db", "personakit.db-wal", "personakit.db-shm" };
    for (size_t i = 0; i < PK_COUNT(file); i++) {
        struct stat info;
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, file[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    pk_store_close(store);
}

TEST(nothing_of_what_was_deleted_stays_in_the_file)
{
    static const char mark[] = "zebra-and-nothing-else";
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    PK_CLEANUP(pk_buf_done) struct pk_buf file = { 0 };
    struct pk_error err;
    size_t count = 0;
    (void)things_insert(store, (struct thing){ .id = "a", .tag = mark, .expires_at = 1000 });
    assert_ok(pk_store_reap(store, 100, &count, &err), &err);
    assert_int_equal(count, 1);
    pk_store_close(store); /* Its log is in the file now. */
    assert_ok(pk_file_read(&file, path, 64 << 20, &err), &err);
    assert_true(file.size > 0);
    assert_null(memmem(file.data, file.size, mark, strlen(mark)));
}

/* In the file or its log, while the store is open. */
static bool has_mark(const char *folder, const char *mark)
{
    static const char *const name[] = { "personakit.db", "personakit.db-wal" };
    bool has = false;
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, name[i]);
        PK_CLEANUP(pk_buf_done) struct pk_buf file = { 0 };
        struct pk_error err;
        assert_ok(pk_file_read(&file, path, 64 << 20, &err), &err);
        has = has || (file.size > 0 && memmem(file.data, file.size, mark, strlen(mark)));
    }
    return has;
}

TEST(settling_empties_the_log_and_reclaims_what_has_expired)
{
    static const char mark[] = "zebra-and-nothing-else";
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    struct pk_error err;
    (void)things_insert(store, (struct thing){ .id = "a", .tag = mark, .expires_at = 1000 });
    (void)things_insert(store, (struct thing){ .id = "b", .tag = "yak" });
    assert_true(has_mark(folder, mark));
    assert_ok(pk_store_settle(store, 0, &err), &err);
    assert_false(has_mark(folder, mark));
    assert_true(has_mark(folder, "yak"));
    assert_ok(pk_store_settle(store, 0, &err), &err); /* With nothing to do. */
    pk_store_close(store);
}

/* Another process that reads, such as a backup: waited for, not for ever, and writers go on. */
TEST(settling_waits_for_a_reader_and_says_when_it_was_in_vain)
{
    static const char mark[] = "zebra-and-nothing-else";
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    struct pk_error err;
    sqlite3 *reader = NULL;
    (void)things_insert(store, (struct thing){ .id = "a", .tag = mark, .expires_at = 1000 });
    assert_int_equal(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM things", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_false(pk_store_settle(store, pk_deadline_in_ms(pk_clock_system(), 300), &err));
    assert_int_equal(err.code, PK_BUSY);
    assert_non_null(err.hint);
    assert_true(has_mark(folder, mark));
    (void)things_insert(store, (struct thing){ .id = "b", .tag = "yak" });
    (void)sqlite3_close(reader);
    assert_ok(pk_store_settle(store, 0, &err), &err);
    assert_false(has_mark(folder, mark));
    pk_store_close(store);
}

struct crowd {
    struct pk_store *store;
    _Atomic bool is_over;
    _Atomic int next;
};

static void *crowd_run(void *context)
{
    struct crowd *crowd = context;
    char id[32];
    while (!crowd->is_over) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        struct pk_error err;
        (void)snprintf(id, sizeof(id), "c%d", crowd->next++);
        (void)things_insert(crowd->store, (struct thing){ .id = id, .tag = "yak" });
        if (!pk_store_get(crowd->store, "things", id, 0, &doc, &err) || !doc) {
            return context;
        }
    }
    return NULL;
}

/* Beside those who never pause it comes through, too. */
TEST(settling_comes_through_beside_readers_and_writers)
{
    struct crowd crowd = { .store = things_open(pk_test_folder()) };
    pthread_t thread[6];
    struct pk_error err;
    void *failed = NULL;
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, crowd_run, &crowd), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_ok(pk_store_settle(crowd.store, 0, &err), &err);
    }
    crowd.is_over = true;
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    pk_store_close(crowd.store);
}

TEST(files_that_are_not_ours_are_refused_each_with_its_reason)
{
    const char *folder = pk_test_folder();
    raw_sql(folder, "CREATE TABLE t(a)");
    assert_refused(folder, things_inventory(), PK_INVALID, "another program");

    folder = pk_test_folder();
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++) {
        (void)fputs("this is no database", file);
    }
    (void)fclose(file);
    assert_refused(folder, things_inventory(), PK_INTERNAL, "is not a database");
}

TEST(an_index_that_differs_from_its_declaration_is_reported)
{
    const char *folder = pk_test_folder();
    pk_store_close(things_open(folder));
    assert_refused(folder, things_inventory_other(), PK_CONFLICT,
                   "index 'things.by_owner' is (\"d.owner\", \"d.at\" DESC, id)");

    raw_sql(folder, "CREATE INDEX extra ON things(version)");
    assert_refused(folder, things_inventory(), PK_CONFLICT, "nothing declares it");
    raw_sql(folder, "DROP INDEX extra; ALTER TABLE things ADD COLUMN \"d.colour\" TEXT");
    assert_refused(folder, things_inventory(), PK_CONFLICT, "column 'd.colour' of 'things'");
}

TEST(what_is_missing_is_made_and_filled_from_the_documents)
{
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    (void)things_insert(store, (struct thing){ .id = "a", .owner = "x", .tag = "red", .size = 7 });
    pk_store_close(store);
    raw_sql(folder, "DROP INDEX \"things.by_owner\"; DROP TABLE \"things.by_tag\";"
                    "ALTER TABLE things DROP COLUMN \"d.owner\"; DROP TABLE plain");
    store = things_open(folder);
    const struct pk_query owner = {
        .collection = "things", .index = "by_owner", .equal = { PK_TEXT("x") }, .equal_count = 1
    };
    things_assert_walk(store, owner, "a");
    const struct pk_query red = {
        .collection = "things", .index = "by_tag", .equal = { PK_TEXT("red") }, .equal_count = 1
    };
    things_assert_walk(store, red, "a");
    pk_store_close(store);
}

TEST(older_stores_are_raised_when_allowed_and_newer_ones_refused)
{
    const char *folder = pk_test_folder();
    struct pk_store *store = things_open(folder);
    struct pk_error err;
    (void)things_insert(store, (struct thing){ .id = "a", .size = 7 });
    pk_store_close(store);

    assert_refused(folder, things_inventory_2(), PK_PRECONDITION, "schema version 1, this program");
    assert_ok(open_with(folder, things_inventory_2(), true, &store, &err), &err);
    const struct pk_query size = {
        .collection = "things", .index = "by_size", .equal = { PK_INT(7) }, .equal_count = 1
    };
    things_assert_walk(store, size, "a");
    pk_store_close(store);
    assert_refused(folder, things_inventory(), PK_UNSUPPORTED, "schema version 2");

    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url, .inventory = things_inventory() };
    struct pk_store_state stands;
    assert_ok(pk_store_inspect(&options, &stands, &err), &err);
    assert_false(stands.is_empty);
    assert_int_equal(stands.schema_version, 2);
    assert_string_equal(stands.program, PK_VERSION);
    assert_int_equal(strlen(stands.epoch), 36);
}

TEST(a_schema_version_that_is_no_number_is_damage_and_nothing_is_raised)
{
    static const char *const bad[] = { "'newest'", "''", "-1", "1.5", "NULL", "x'31'" };
    const char *folder = pk_test_folder();
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url, .inventory = things_inventory() };
    pk_store_close(things_open(folder));
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct pk_store *store;
        struct pk_store_state stands;
        struct pk_error err;
        PK_CLEANUP(pk_freep)
        char *sql =
            pk_strdupf("UPDATE \"pk.meta\" SET value = %s WHERE key = 'schema_version'", bad[i]);
        raw_sql(folder, sql);
        assert_false(pk_store_inspect(&options, &stands, &err));
        assert_int_equal(err.code, PK_INTERNAL);
        assert_non_null(strstr(err.message, "schema_version"));
        assert_false(open_with(folder, things_inventory_2(), true, &store, &err));
        assert_int_equal(err.code, PK_INTERNAL);
    }
    raw_sql(folder, "DELETE FROM \"pk.meta\" WHERE key = 'schema_version'");
    assert_refused(folder, things_inventory(), PK_INTERNAL, "schema_version");
    raw_sql(folder, "INSERT INTO \"pk.meta\" VALUES('schema_version', 1)");
    pk_store_close(things_open(folder));
}

TEST(a_folder_that_cannot_be_made_is_refused)
{
    PK_CLEANUP(pk_freep) char *file = pk_strdupf("%s/file", pk_test_folder());
    FILE *handle = fopen(file, "w");
    (void)fclose(handle);
    struct pk_store *store;
    struct pk_error err;
    assert_false(open_with(file, things_inventory(), false, &store, &err));
    assert_non_null(strstr(err.message, file));
}

/* As another user would: the rights of this thread alone are given up, where there are any. */
static void become_nobody(const char *folder, bool *out_is_root)
{
    *out_is_root = geteuid() == 0;
    if (*out_is_root) {
        PK_CLEANUP(pk_freep) char *root = pk_strdup(folder);
        *strrchr(root, '/') = 0;
        assert_int_equal(chmod(root, 0755), 0);
        (void)setfsuid(65534);
    }
}

TEST(a_folder_or_file_that_may_not_be_written_is_refused_and_left_as_it_was)
{
    static const struct {
        mode_t folder, file;
        bool is_made; /* The store was used before. */
    } row[] = {
        { 0555, 0, false },   /* Nothing can be made in it. */
        { 0555, 0444, true }, /* A file that can only be read. */
        { 0000, 0600, true }, /* A folder that cannot be entered. */
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
        struct pk_store *store = NULL;
        struct pk_error err = { 0 };
        bool is_root;
        if (row[i].is_made) {
            pk_store_close(things_open(folder));
            assert_int_equal(chmod(path, row[i].file), 0);
        }
        assert_int_equal(chmod(folder, row[i].folder), 0);
        become_nobody(folder, &is_root);
        const bool ok = open_with(folder, things_inventory(), false, &store, &err);
        if (is_root) {
            (void)setfsuid(0);
        }
        assert_int_equal(chmod(folder, 0755), 0);
        assert_false(ok);
        assert_int_equal(err.code, PK_UNAVAILABLE);
        assert_non_null(err.hint);
        assert_non_null(strstr(err.message, folder));
        assert_int_equal(access(path, F_OK) == 0, row[i].is_made);
    }
}

/* ---- Backup ---- */

struct writing {
    pthread_t thread;
    struct pk_store *store;
    atomic_bool is_over;
    int written;
};

static void *keep_writing(void *context)
{
    struct writing *writing = context;
    while (!atomic_load(&writing->is_over)) {
        char id[16];
        (void)snprintf(id, sizeof(id), "w%d", writing->written++);
        (void)things_try(writing->store, (struct thing){ .id = id, .owner = "w" }, NULL, NULL);
    }
    return NULL;
}

static bool note_progress(void *context, int64_t done, int64_t all)
{
    int64_t *last = context;
    assert_true(done >= *last && done <= all);
    *last = done;
    return true;
}

static bool stop_at_once(void *context, int64_t done, int64_t all)
{
    (void)context;
    (void)done;
    (void)all;
    return false;
}

TEST(a_backup_made_under_writing_opens_as_a_store_of_its_own)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_error err;
    int64_t done = 0;
    for (int i = 0; i < 300; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "a%d", i);
        (void)things_insert(store, (struct thing){ .id = id, .owner = "a" });
    }
    struct writing writing = { .store = store };
    assert_int_equal(pthread_create(&writing.thread, NULL, keep_writing, &writing), 0);
    PK_CLEANUP(pk_freep) char *folder = pk_strdupf("%s/copy", pk_test_folder());
    const bool ok = pk_store_backup(store, folder, note_progress, &done, &err);
    atomic_store(&writing.is_over, true);
    (void)pthread_join(writing.thread, NULL);
    assert_ok(ok, &err);
    assert_true(done > 0);

    assert_false(pk_store_backup(store, folder, NULL, NULL, &err));
    assert_non_null(strstr(err.message, "not empty"));
    struct pk_store *copy = things_open(folder);
    assert_string_not_equal(pk_store_epoch(copy), pk_store_epoch(store));
    assert_true(things_version(copy, "a299") > 0);
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    pk_store_close(copy);
    pk_store_close(store);
}

TEST(a_backup_that_is_stopped_leaves_no_file)
{
    struct pk_store *store = things_open(pk_test_folder());
    struct pk_error err;
    struct pk_writes list = { 0 };
    for (int i = 0; i < 900; i++) {
        char id[600];
        (void)snprintf(id, sizeof(id), "%0500d", i);
        struct pk_doc *doc = thing_new((struct thing){ .id = id, .owner = id });
        pk_writes_insert(&list, "things", doc);
        pk_doc_unref(doc);
    }
    assert_ok(pk_store_commit(store, &list, 0, NULL, &err), &err);
    pk_writes_done(&list);
    PK_CLEANUP(pk_freep) char *folder = pk_strdupf("%s/copy", pk_test_folder());
    assert_false(pk_store_backup(store, folder, stop_at_once, NULL, &err));
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    assert_int_not_equal(access(path, F_OK), 0);
    pk_store_close(store);
}

/* ---- Faults ---- */

static void assert_stopped(struct pk_store *store)
{
    struct pk_store_stats stats;
    struct pk_error err;
    pk_store_stats(store, &stats);
    assert_true(stats.is_stopped);
    faulty_plan(FAULTY_NONE, "", 0, 0); /* The device "recovers": that proves nothing. */
    assert_false(things_try(store, (struct thing){ .id = "later" }, NULL, &err));
    assert_int_equal(err.code, PK_UNAVAILABLE);
    assert_non_null(strstr(err.message, "has stopped"));
    assert_true(things_version(store, "before") > 0); /* Reading goes on. */
}

TEST(a_failed_sync_in_a_commit_is_unknown_and_stops_the_store)
{
    struct pk_error err;
    faulty_install();
    struct pk_store *store = things_open(pk_test_folder());
    (void)things_insert(store, (struct thing){ .id = "before" });
    faulty_plan(FAULTY_SYNC, "-wal", 0, SQLITE_IOERR_FSYNC);
    assert_false(things_try(store, (struct thing){ .id = "a" }, NULL, &err));
    assert_int_equal(err.code, PK_UNKNOWN);
    assert_stopped(store);
    pk_store_close(store);
    faulty_remove();
}

TEST(a_failed_sync_in_a_checkpoint_stops_the_store)
{
    faulty_install();
    struct pk_store *store = things_open(pk_test_folder());
    (void)things_insert(store, (struct thing){ .id = "before" });
    faulty_plan(FAULTY_SYNC, ".db", 0, SQLITE_IOERR_FSYNC);
    pk_sql_checkpoint(store->impl);
    assert_stopped(store);
    pk_store_close(store);
    faulty_remove();
}

TEST(a_full_disk_is_refused_and_nothing_is_lost_when_there_is_room_again)
{
    struct pk_store_stats stats;
    struct pk_error err;
    faulty_install();
    const char *folder = pk_test_folder();
    PK_CLEANUP(pk_freep) char *kept = pk_strdup(folder);
    struct pk_store *store = things_open(folder);
    (void)things_insert(store, (struct thing){ .id = "before" });
    for (int skip = 0; skip < 8; skip++) {
        faulty_plan(FAULTY_WRITE, "-wal", skip, SQLITE_FULL);
        const bool ok = things_try(store, (struct thing){ .id = "a", .owner = "x" }, NULL, &err);
        faulty_plan(FAULTY_NONE, "", 0, 0);
        if (ok) {
            assert_true(skip > 0);
            break;
        }
        assert_int_equal(err.code, PK_FULL);
        assert_int_equal(things_version(store, "a"), 0);
    }
    pk_store_stats(store, &stats);
    assert_false(stats.is_stopped);
    (void)things_insert(store, (struct thing){ .id = "later" });
    pk_store_close(store);
    faulty_remove();
    store = things_open(kept);
    assert_true(things_version(store, "before") > 0);
    assert_true(things_version(store, "later") > 0);
    pk_store_close(store);
}

TEST(a_failed_write_in_a_commit_is_unknown_and_the_store_goes_on)
{
    struct pk_error err;
    faulty_install();
    struct pk_store *store = things_open(pk_test_folder());
    (void)things_insert(store, (struct thing){ .id = "before" });
    faulty_plan(FAULTY_WRITE, "-wal", 0, SQLITE_IOERR_WRITE); /* All frames are one write. */
    assert_false(things_try(store, (struct thing){ .id = "a" }, NULL, &err));
    assert_int_equal(err.code, PK_UNKNOWN);
    faulty_plan(FAULTY_NONE, "", 0, 0);
    (void)things_insert(store, (struct thing){ .id = "later" });
    pk_store_close(store);
    faulty_remove();
}

TEST(a_small_group_is_one_write_of_the_log)
{
    struct pk_error err;
    faulty_install();
    struct pk_store *store = things_open(pk_test_folder());
    (void)things_insert(store, (struct thing){ .id = "before" });
    faulty_plan(FAULTY_WRITE, "-wal", 1, SQLITE_IOERR_WRITE); /* A second one would fail. */
    assert_true(things_try(store, (struct thing){ .id = "a", .owner = "x" }, NULL, &err));
    faulty_plan(FAULTY_NONE, "", 0, 0);
    pk_store_close(store);
    faulty_remove();
}

TEST(another_process_that_holds_the_file_is_named_as_the_reason)
{
    struct pk_error err;
    const char *folder = pk_test_folder();
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    struct pk_store *store = things_open(folder);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_false(things_try(store, (struct thing){ .id = "a" }, NULL, &err));
    assert_int_equal(err.code, PK_BUSY);
    assert_non_null(strstr(err.message, "another process"));
    (void)sqlite3_close(other);
    (void)things_insert(store, (struct thing){ .id = "a" });
    pk_store_close(store);
}

TEST(the_wal_is_copied_back_before_it_grows_without_end)
{
    const char *folder = pk_test_folder();
    PK_CLEANUP(pk_freep) char *wal = pk_strdupf("%s/personakit.db-wal", folder);
    struct pk_store *store = things_open(folder);
    static char text[200000];
    memset(text, 'x', sizeof(text) - 1);
    /* It begins anew after 16 to 32 MB, or later where the copy is slow: in the end far more has
     * been written than it ever held. */
    struct stat info = { 0 };
    int64_t written = 0;
    for (int i = 0; written - info.st_size < 45 * 1000 * 1000; i++) {
        char id[16];
        assert_true(i < 4000);
        (void)snprintf(id, sizeof(id), "t%d", i);
        (void)things_insert(store, (struct thing){ .id = id, .status = text });
        written += (int64_t)sizeof(text);
        assert_int_equal(stat(wal, &info), 0);
    }
    print_message("# of %lld bytes %lld at a time\n", (long long)written, (long long)info.st_size);
    pk_store_close(store);
}
