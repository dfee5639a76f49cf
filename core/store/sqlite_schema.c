/* sqlite_schema.c - Opening: whose file it is, its versions, upgrades.
 *
 * The header's application_id says that the file is ours, user_version how
 * this engine lays tables out. The table "pk.meta" has, by key:
 *
 *     schema_version   of the inventory that last wrote it
 *     program          version of the program that did
 *     epoch            a UUID: positions of another epoch mean nothing here
 *     floor            rows of the feed up to here have been reaped
 *
 * A newer file is refused: an older program would misread its documents. An
 * older one is raised, when that is allowed, by the steps below and the
 * comparison with the layout, all in one transaction. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/file.h"
#include "base/id.h"
#include "store/sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char file_name[] = "/personakit.db";

/* If the schema version is raised and documents or columns change shape, add the step here, in the
 * order of the versions; new collections and indexes need none. */
const struct pk_sql_step pk_sql_steps[] = {
    { 0, NULL },
};

/* ---- The file ---- */

char *pk_sql_path(const char *url)
{
    return pk_strdupf("%s%s", url + strlen("sqlite:"), file_name);
}

bool pk_sql_file_make(const struct pk_sqlite *sqlite, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *folder = pk_strndup(sqlite->path, strlen(sqlite->path) - (sizeof(file_name) - 1));
    if (!*folder) {
        return pk_fail(err, PK_INVALID, "use sqlite:FOLDER", "the store's URL names no folder");
    }
    if (!pk_folder_make(folder, 0700, err)) {
        return false;
    }
    /* fchmod, because the mode of open is cut by the umask. */
    const int fd = open(sqlite->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        return true;
    }
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        const int why = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return pk_fail(err, why == ENOSPC ? PK_FULL : PK_UNAVAILABLE,
                       "make the folder writable for this user, and see that there is space",
                       "the store's file cannot be made: %s", strerror(why));
    }
    (void)close(fd);
    return true;
}

static bool ask_int(struct pk_sqlite *sqlite, sqlite3 *db, const char *sql, int64_t *out,
                    struct pk_error *err)
{
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    if (!pk_sql_prepare(sqlite, db, sql, &stmt, err)) {
        return false;
    }
    *out = 0;
    const int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW) {
        *out = sqlite3_column_int64(stmt, 0);
    }
    return code == SQLITE_ROW || code == SQLITE_DONE ||
           pk_sql_fail(sqlite, db, err, "read the store's file");
}

static bool ask_text(struct pk_sqlite *sqlite, sqlite3 *db, const char *key, char *out, size_t size,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    if (!pk_sql_prepare(sqlite, db, "SELECT value FROM \"pk.meta\" WHERE key = ?1", &stmt, err)) {
        return false;
    }
    (void)sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) != SQLITE_ROW || !sqlite3_column_text(stmt, 0)) {
        return pk_fail(err, PK_INTERNAL, "restore the latest backup into an empty folder",
                       "the store's file says nothing of its %s", key);
    }
    (void)snprintf(out, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
    return true;
}

static bool set_meta(struct pk_sqlite *sqlite, const char *key, const char *text, int64_t number,
                     struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    PK_CLEANUP(pk_sql_finalize) sqlite3_stmt *stmt = NULL;
    if (!pk_sql_prepare(sqlite, db, "INSERT OR REPLACE INTO \"pk.meta\" VALUES(?1, ?2)", &stmt,
                        err)) {
        return false;
    }
    (void)sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    if (text) {
        (void)sqlite3_bind_text(stmt, 2, text, -1, SQLITE_STATIC);
    } else {
        (void)sqlite3_bind_int64(stmt, 2, number);
    }
    return pk_sql_run(stmt) == SQLITE_DONE ||
           pk_sql_fail(sqlite, db, err, "write the store's file");
}

/* ---- What stands in it ---- */

/* A version of which nothing can be said must not pass for an old one, to be raised. */
static bool ask_version(struct pk_sqlite *sqlite, sqlite3 *db, int64_t *out, struct pk_error *err)
{
    static const char sql[] =
        "SELECT coalesce((SELECT value FROM \"pk.meta\" WHERE key = 'schema_version' "
        "AND typeof(value) = 'integer' AND value >= 0), -1)";
    return ask_int(sqlite, db, sql, out, err) &&
           (*out >= 0 || pk_fail(err, PK_INTERNAL, "restore the latest backup into an empty folder",
                                 "the store's file is damaged: its schema_version is no number"));
}

static bool read_state(struct pk_sqlite *sqlite, sqlite3 *db, struct pk_store_state *out,
                       struct pk_error *err)
{
    int64_t application, form, objects;
    if (!ask_int(sqlite, db, "PRAGMA application_id", &application, err) ||
        !ask_int(sqlite, db, "PRAGMA user_version", &form, err) ||
        !ask_int(sqlite, db, "SELECT count(*) FROM sqlite_schema", &objects, err)) {
        return false;
    }
    *out = (struct pk_store_state){ .is_empty = application == 0 && form == 0 && objects == 0 };
    if (out->is_empty) {
        return true;
    }
    if (application != PK_SQL_APPLICATION) {
        return pk_fail(err, PK_INVALID, "name another folder for the store",
                       "the file is an SQLite database of another program");
    }
    if (form > PK_SQL_FORM) {
        return pk_fail(err, PK_UNSUPPORTED,
                       "use the newer program, or restore a backup made before it was used",
                       "the file was laid out by a newer program (form %lld; this one knows %d)",
                       (long long)form, (int)PK_SQL_FORM);
    }
    return ask_version(sqlite, db, &out->schema_version, err) &&
           ask_text(sqlite, db, "epoch", out->epoch, sizeof(out->epoch), err) &&
           ask_text(sqlite, db, "program", out->program, sizeof(out->program), err);
}

bool pk_sql_inspect(const struct pk_store_options *options, struct pk_store_state *out,
                    struct pk_error *err)
{
    struct pk_sqlite sqlite = { .path = pk_sql_path(options->url) };
    PK_CLEANUP(pk_freep) char *path = sqlite.path;
    struct stat info;
    sqlite3 *db = NULL;

    if (stat(path, &info) != 0 && errno == ENOENT) {
        out->is_empty = true;
        return true;
    }
    const bool ok = pk_sql_connect(&sqlite, SQLITE_OPEN_READONLY, &db, err) &&
                    read_state(&sqlite, db, out, err);
    (void)sqlite3_close(db);
    return ok || pk_wrap(err, "store '%s'", path);
}

/* ---- Making and raising ---- */

static bool make_store(struct pk_sqlite *sqlite, struct pk_error *err)
{
    char epoch[PK_UUID_TEXT];
    pk_uuid_new(epoch);
    char head[160];
    (void)snprintf(head, sizeof(head),
                   "PRAGMA application_id=%d; PRAGMA user_version=%d;"
                   "CREATE TABLE \"pk.meta\"(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
                   (int)PK_SQL_APPLICATION, (int)PK_SQL_FORM);
    return pk_sql_exec(sqlite, sqlite->writer.db, head, err) &&
           set_meta(sqlite, "epoch", epoch, 0, err) && set_meta(sqlite, "floor", NULL, 0, err);
}

static bool run_steps(struct pk_sqlite *sqlite, const struct pk_sql_step *step, int64_t from,
                      int64_t to, struct pk_error *err)
{
    for (; step->sql; step++) {
        if (step->to > from && step->to <= to &&
            !pk_sql_exec(sqlite, sqlite->writer.db, step->sql, err)) {
            return pk_wrap(err, "raise the store to version %lld", (long long)step->to);
        }
    }
    return true;
}

static bool check_version(const struct pk_store_state *state,
                          const struct pk_store_options *options, struct pk_error *err)
{
    const long long is = (long long)state->schema_version;
    const long long wanted = (long long)options->inventory->schema_version;
    if (state->is_empty && options->is_read_only) {
        return pk_fail(err, PK_NOT_FOUND, "name the folder of a store that has been used",
                       "the store is empty");
    }
    if (state->is_empty || is == wanted) {
        return true;
    }
    if (is > wanted) {
        return pk_fail(err, PK_UNSUPPORTED,
                       "use the newer program, or restore a backup made before it was used",
                       "the store has schema version %lld, written by program %s; this program %s "
                       "knows %lld",
                       is, state->program, PK_VERSION, wanted);
    }
    if (!options->is_upgrade_allowed || options->is_read_only) {
        return pk_fail(err, PK_PRECONDITION,
                       "make a backup, run 'personakit upgrade --check', then 'personakit upgrade'",
                       "the store has schema version %lld, this program %s needs %lld", is,
                       PK_VERSION, wanted);
    }
    return true;
}

static bool complete(struct pk_sqlite *sqlite, const struct pk_store_options *options,
                     const struct pk_sql_step *step, const struct pk_store_state *state,
                     struct pk_error *err)
{
    const int64_t wanted = options->inventory->schema_version;
    if (options->is_read_only) {
        return pk_sql_match(sqlite, true, err);
    }
    if (state->is_empty ? !make_store(sqlite, err)
                        : !run_steps(sqlite, step, state->schema_version, wanted, err)) {
        return false;
    }
    if (!pk_sql_match(sqlite, false, err)) {
        return false;
    }
    return (!state->is_empty && state->schema_version == wanted) ||
           (set_meta(sqlite, "schema_version", NULL, wanted, err) &&
            set_meta(sqlite, "program", PK_VERSION, 0, err));
}

static bool read_feed(struct pk_sqlite *sqlite, struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    if (!ask_text(sqlite, db, "epoch", sqlite->store->epoch, sizeof(sqlite->store->epoch), err) ||
        !ask_int(sqlite, db, "SELECT value FROM \"pk.meta\" WHERE key = 'floor'",
                 &sqlite->feed_floor, err)) {
        return false;
    }
    if (!sqlite->layout.feed) {
        return true;
    }
    char sql[128];
    (void)snprintf(sql, sizeof(sql), "SELECT seq FROM sqlite_sequence WHERE name = '%s'",
                   sqlite->layout.feed->collection->name);
    return ask_int(sqlite, db, sql, &sqlite->feed_row, err);
}

bool pk_sql_schema_open(struct pk_sqlite *sqlite, const struct pk_store_options *options,
                        const struct pk_sql_step *step, struct pk_error *err)
{
    sqlite3 *db = sqlite->writer.db;
    struct pk_store_state state;

    /* Before the mode is set: what is not ours is not touched. */
    if (!read_state(sqlite, db, &state, err) || !check_version(&state, options, err)) {
        return false;
    }
    if (!options->is_read_only &&
        (!pk_sql_exec(sqlite, db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL", err) ||
         !pk_sql_exec(sqlite, db, "BEGIN IMMEDIATE", err))) {
        return false;
    }
    bool ok = complete(sqlite, options, step, &state, err) && read_feed(sqlite, err);
    if (!options->is_read_only && ok) {
        ok = pk_sql_exec(sqlite, db, "COMMIT", err);
    }
    if (!ok && !sqlite3_get_autocommit(db)) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return ok;
}
