/* test_upgrade.c - A store is raised by its steps whole or not at all, whatever happens meanwhile.
 *
 * The program's own table of steps is not the one tried here: each case has
 * its own. Fully raised, a store of things at version 1 has had its thing
 * renamed by the step to 2 and again by the step to 3. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/sqlite_internal.h"
#include "test.h"
#include "things.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char to_2[] = "UPDATE things SET id = id || '.2'; DROP INDEX \"things.by_owner\"";
static const char to_3[] = "UPDATE things SET id = id || '.3'";

/* A step of SQL may call it: the end of the process in the middle of the upgrade. */
static void die(sqlite3_context *context, int count, sqlite3_value **value)
{
    (void)context;
    (void)count;
    (void)value;
    (void)raise(SIGKILL);
}

static char *old_store(void)
{
    char *folder = pk_strdup(pk_test_folder());
    struct pk_store *store = things_open(folder);
    (void)things_insert(store, (struct thing){ .id = "a", .owner = "ann", .size = 7 });
    pk_store_close(store);
    return folder;
}

/* Opening as the engine does, but with other steps, and to a version of the case's choice. */
static bool raise_store(const char *folder, int64_t version, const struct pk_sql_step *step,
                        struct pk_error *err)
{
    struct pk_inventory inventory = *things_inventory_2();
    inventory.schema_version = version;
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = {
        .url = url, .inventory = &inventory, .clock = pk_clock_system(), .is_upgrade_allowed = true
    };
    struct pk_store store = { .inventory = &inventory, .clock = pk_clock_system() };
    struct pk_sqlite sqlite = { .store = &store, .path = pk_sql_path(url) };

    pk_sql_layout_init(&sqlite.layout, &inventory);
    assert_ok(pk_sql_connect(&sqlite, SQLITE_OPEN_READWRITE, &sqlite.writer.db, err), err);
    (void)sqlite3_create_function(sqlite.writer.db, "die", 0, SQLITE_UTF8, NULL, die, NULL, NULL);
    const bool ok = pk_sql_schema_open(&sqlite, &options, step, err);
    (void)sqlite3_close(sqlite.writer.db);
    pk_sql_layout_done(&sqlite.layout);
    pk_free(sqlite.path);
    return ok;
}

static int64_t stored_version(const char *folder)
{
    PK_CLEANUP(pk_freep) char *url = pk_strdupf("sqlite:%s", folder);
    const struct pk_store_options options = { .url = url, .inventory = things_inventory() };
    struct pk_store_state state;
    struct pk_error err;
    assert_ok(pk_store_inspect(&options, &state, &err), &err);
    return state.schema_version;
}

/* The ids that stand in the file itself, and whether the index is there. */
static void assert_stands(const char *folder, const char *id, int64_t version)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.db", folder);
    sqlite3_stmt *stmt;
    sqlite3 *db;
    assert_int_equal(stored_version(folder), version);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT id, (SELECT count(*) FROM sqlite_schema WHERE "
                                        "name = 'things.by_owner') FROM things",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), id);
    assert_int_equal(sqlite3_column_int(stmt, 1), 1); /* Dropped by a step, it is made again. */
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
}

TEST(steps_run_once_each_in_order_up_to_the_version_that_is_wanted)
{
    static const struct pk_sql_step step[] = {
        { 1, "this is no SQL: it was never to run" }, { 2, to_2 }, { 3, to_3 }, { 0, NULL }
    };
    PK_CLEANUP(pk_freep) char *folder = old_store();
    struct pk_error err;
    assert_ok(raise_store(folder, 2, step, &err), &err);
    assert_stands(folder, "a.2", 2);
    assert_ok(raise_store(folder, 2, step, &err), &err);
    assert_stands(folder, "a.2", 2);
    assert_ok(raise_store(folder, 3, step, &err), &err);
    assert_stands(folder, "a.2.3", 3);
}

TEST(a_step_that_fails_undoes_those_before_it_and_says_which_it_was)
{
    static const struct pk_sql_step step[] = {
        { 2, to_2 }, { 3, "UPDATE things SET id = id || '.3'; DROP TABLE missing" }, { 0, NULL }
    };
    PK_CLEANUP(pk_freep) char *folder = old_store();
    struct pk_error err;
    assert_false(raise_store(folder, 3, step, &err));
    assert_non_null(strstr(err.message, "version 3"));
    assert_stands(folder, "a", 1);
}

/* Raises it in a process that dies of it; nothing of that is left. */
static void assert_dies(const char *folder, int64_t version, const struct pk_sql_step *deadly)
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct pk_error err;
        (void)raise_store(folder, version, deadly, &err);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_stands(folder, "a", 1);
}

TEST(a_process_killed_in_the_middle_of_a_step_leaves_the_store_as_it_was)
{
    static const struct pk_sql_step deadly[] = {
        { 2, to_2 }, { 3, "UPDATE things SET id = id || '.3'; SELECT die()" }, { 0, NULL }
    };
    static const struct pk_sql_step sound[] = { { 2, to_2 }, { 3, to_3 }, { 0, NULL } };
    PK_CLEANUP(pk_freep) char *folder = old_store();
    struct pk_error err;
    assert_dies(folder, 3, deadly);
    assert_ok(raise_store(folder, 3, sound, &err), &err);
    assert_stands(folder, "a.2.3", 3);
}

TEST(a_process_killed_while_an_index_is_filled_leaves_the_store_as_it_was)
{
    /* The trigger dies when the new column's first row is written, long after the steps. */
    static const struct pk_sql_step deadly[] = {
        { 2, "CREATE TEMP TRIGGER deadly BEFORE UPDATE ON things BEGIN SELECT die(); END" },
        { 0, NULL }
    };
    static const struct pk_sql_step none[] = { { 0, NULL } };
    PK_CLEANUP(pk_freep) char *folder = old_store();
    struct pk_error err;
    assert_dies(folder, 2, deadly);
    assert_ok(raise_store(folder, 2, none, &err), &err);
    assert_stands(folder, "a", 2);
}
