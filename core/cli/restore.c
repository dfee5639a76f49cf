/* restore.c - 'personakit restore': a backup becomes a store again.
 *
 *     the backup is whole? ─▶ erasures.log, pepper ─▶ mark ─▶ (--replace) ─▶ load, compare, erase
 *
 * Everything that can be refused is looked at before anything is written. From
 * the mark in the folder on, a restore that is killed is seen as an unfinished
 * one; it goes when the store itself says so (the note of ops/move.c), or when
 * nothing was changed. The work is in ops/restore.c. */
/* SPDX-License-Identifier: MIT */
#include "ops/restore.h"

#include "access/audit.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "doc/json.h"
#include "persona/domain.h"
#include "persona/erase_log.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct pk_cli_option option_table[] = {
    { "--without-erasures", NULL,
      "Bring back everybody, also who was erased since: erasures.log is lost." },
    { "--replace", NULL, "Delete the embedded store that is there first." },
    { "--yes", NULL, "Do not ask whether it is meant." },
};

static const char *const step_name[] = {
    [PK_RESTORE_COUNTING] = "counting",   [PK_RESTORE_LOADING] = "loading",
    [PK_RESTORE_COMPARING] = "comparing", [PK_RESTORE_LOOKING] = "looking for the erased",
    [PK_RESTORE_ERASING] = "erasing",
};

/* What it holds while it works; ended in reverse. */
struct restore {
    struct pk_call *call;
    struct pk_config *config;
    char *url;
    const char *data;
    struct pk_progress progress;
    struct pk_signals signals;
    bool is_stopped;
    int lock_fd;
    struct pk_open_store open;
    struct pk_peppers *peppers;
    struct pk_books books;
    struct pk_erase_log erasures;
    bool has_erasures;
    struct pk_backup_info info;
    bool is_marked;         /* The data folder is. */
    bool is_old_mark;       /* Of a restore before this one. */
    bool has_deleted;       /* The store that was there. */
    struct pk_error unmark; /* Why the mark could not be taken away. */
};

static bool stopped(struct restore *restore)
{
    if (pk_signals_take(&restore->signals) != 0) {
        restore->is_stopped = true;
    }
    return restore->is_stopped;
}

static bool on_checked(void *context, enum pk_backup_step step, const char *what, int64_t done,
                       int64_t all)
{
    struct restore *restore = context;
    (void)step;
    restore->progress.unit = "bytes";
    pk_progress_show(&restore->progress, "checksums", what, done, all);
    return !stopped(restore);
}

static bool unmark(struct restore *restore)
{
    const bool was_marked = restore->is_marked;
    restore->is_marked = false;
    return !was_marked || pk_cli_restore_unmark(restore->data, &restore->unmark);
}

static bool on_progress(void *context, enum pk_restore_step step, const char *what, int64_t done,
                        int64_t all)
{
    struct restore *restore = context;
    if (!unmark(restore)) { /* The store has its note before it tells of the first step. */
        return false;
    }
    restore->progress.unit = step == PK_RESTORE_ERASING ? "people" : "documents";
    pk_progress_show(&restore->progress, step_name[step], what, done, all);
    return !stopped(restore);
}

/* ---- Before anything is written ---- */

static bool read_erasures(struct restore *restore, struct pk_error *err)
{
    struct pk_error own = { 0 };
    PK_CLEANUP(pk_freep) char *pepper = pk_strdupf("%s/pepper", restore->data);
    if (pk_call_option(restore->call, "--without-erasures")) {
        return pk_call_confirm(restore->call,
                               "Bring back people who may have been erased since the backup?", err);
    }
    if (!pk_erase_log_read(&restore->erasures, restore->data, &own)) {
        if (own.code == PK_NOT_FOUND) {
            return pk_fail(
                err, PK_PRECONDITION,
                "copy 'erasures.log' of the server (of all servers: joined) into the data "
                "folder; if it is lost for good, --without-erasures brings everybody back",
                "there is no 'erasures.log' in '%.200s': nobody can tell who was erased "
                "since the backup",
                restore->data);
        }
        *err = own;
        return false;
    }
    restore->has_erasures = true;
    if (restore->erasures.torn > 0) {
        (void)fprintf(stderr,
                      "erasures.log: %zu lines were cut off by a crash and say nothing; what "
                      "they began was logged again\n",
                      restore->erasures.torn);
    }
    return access(pepper, R_OK) == 0 ||
           pk_fail(err, PK_PRECONDITION,
                   "copy the server's 'pepper' into the data folder; if it is lost for good, "
                   "--without-erasures brings everybody back",
                   "there is no 'pepper' in '%.200s', and erasures.log cannot be read without it",
                   restore->data);
}

static bool check_backup(struct restore *restore, struct pk_error *err)
{
    const struct pk_app *app = restore->call->app;
    const struct pk_backup_options options = { .folder = restore->call->argument[0],
                                               .inventory = app->inventory,
                                               .clock = app->clock,
                                               .progress = on_checked,
                                               .context = restore };
    return pk_backup_read(&options, &restore->info, err);
}

/* What is replaced is not what it is replaced by. */
static bool check_apart(const char *from, const char *store, struct pk_error *err)
{
    struct stat backup, there;
    if (stat(from, &backup) != 0 || stat(store, &there) != 0) {
        return true; /* Nothing is there yet. */
    }
    return backup.st_dev != there.st_dev || backup.st_ino != there.st_ino ||
           pk_fail(err, PK_INVALID, "move the backup into a folder of its own: it would be deleted",
                   "the backup lies in the folder of the store that is to be replaced");
}

static bool may_replace(struct restore *restore, struct pk_error *err)
{
    const char *folder = pk_cli_store_folder(restore->url);
    if (!pk_call_option(restore->call, "--replace")) {
        return true;
    }
    if (!folder) {
        return pk_fail(err, PK_UNSUPPORTED,
                       "drop the database with MongoDB's own tools, or name another one",
                       "--replace is for the embedded store");
    }
    return check_apart(restore->call->argument[0], folder, err) &&
           pk_call_confirm(restore->call, "Delete the store that is there now?", err);
}

static bool mark(struct restore *restore, struct pk_error *err)
{
    restore->is_marked = pk_cli_restore_mark(restore->data, &restore->is_old_mark, err);
    return restore->is_marked;
}

/* The embedded store's files, and no others. */
static bool replace(struct restore *restore, struct pk_error *err)
{
    static const char *const file[] = { "personakit.db-wal", "personakit.db-shm", "personakit.db" };
    const char *folder = pk_cli_store_folder(restore->url);
    if (!pk_call_option(restore->call, "--replace")) {
        return true;
    }
    restore->has_deleted = true;
    for (size_t i = 0; i < PK_COUNT(file); i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, file[i]);
        if (unlink(path) != 0 && errno != ENOENT) {
            return pk_fail(err, PK_UNAVAILABLE, "check who may write there",
                           "'%s' cannot be deleted: %s", path, strerror(errno));
        }
    }
    return true;
}

static bool prepare(struct restore *restore, struct pk_error *err)
{
    restore->data = pk_config_text(restore->config, "data");
    restore->url = pk_cli_store_url(restore->config);
    return check_backup(restore, err) && pk_folder_make(restore->data, 0700, err) &&
           pk_folder_lock(restore->data, &restore->lock_fd, err) && read_erasures(restore, err) &&
           may_replace(restore, err) && mark(restore, err) && replace(restore, err) &&
           pk_cli_store_open(restore->call->app, restore->url, restore->data, PK_OPEN_RESTORE,
                             &restore->open, err);
}

/* ---- The work ---- */

/* The pepper is held against the keys of what was loaded. */
static bool on_loaded(void *context, struct pk_error *err)
{
    struct restore *restore = context;
    if (restore->has_erasures &&
        !pk_peppers_open(&restore->peppers, restore->data, restore->open.store, false, err)) {
        err->hint = "copy the 'pepper' of the server that made the backup into the data folder and "
                    "run the same command again: it goes on here";
        return false;
    }
    restore->books.peppers = restore->peppers;
    return true;
}

static bool load(struct restore *restore, struct pk_restore_result *result, struct pk_error *err)
{
    const struct pk_config *config = restore->config;
    restore->books = (struct pk_books){
        .store = restore->open.store,
        .clock = restore->call->app->clock,
        .node = "restore",
        .event_keep_ms = pk_config_ms(config, "store.retention.events"),
        .audit_keep_ms = pk_config_ms(config, "store.retention.audit"),
    };
    const struct pk_domain domain = {
        .books = &restore->books,
        .data = restore->data,
        .tombstone_keep_ms = pk_config_ms(config, "store.retention.tombstones"),
        .backup_keep_ms = pk_config_ms(config, "store.retention.backups"),
    };
    const struct pk_restore_options options = {
        .folder = restore->call->argument[0],
        .info = &restore->info,
        .to = restore->open.store,
        .inventory = restore->call->app->inventory,
        .clock = restore->call->app->clock,
        .loaded = on_loaded,
        .domain = &domain,
        .erasures = restore->has_erasures ? &restore->erasures : NULL,
        .progress = on_progress,
        .context = restore,
    };
    return pk_restore_run(&options, result, err);
}

/* ---- The result ---- */

static void print_json(const struct restore *restore, const struct pk_restore_result *result)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    char made[PK_TIME_TEXT];
    int64_t documents = 0;
    pk_time_format(restore->info.made_ms, made);
    for (size_t i = 0; result->move.row && i < result->move.count; i++) {
        documents += result->move.row[i].to.count;
    }
    pk_buf_printf(&out,
                  "{\"finished\":true,\"resumed\":%s,\"alreadyFinished\":%s,\"madeAt\":\"%s\","
                  "\"documents\":%lld,\"erasures\":\"%s\",\"peopleErased\":%lld,"
                  "\"observationsForgotten\":%lld}\n",
                  result->move.is_resumed ? "true" : "false",
                  result->move.is_old ? "true" : "false", made, (long long)documents,
                  restore->has_erasures ? "applied" : "left out", (long long)result->erased,
                  (long long)result->forgotten);
    (void)fputs(out.data, stdout);
}

static void print_result(const struct restore *restore, const struct pk_restore_result *result)
{
    char time[PK_TIME_TEXT];
    if (restore->call->is_json) {
        print_json(restore, result);
        return;
    }
    if (result->move.is_old) {
        pk_time_format(result->move.finished_at_ms, time);
        (void)printf("this backup was restored here on %s; there is nothing to do\n", time);
        return;
    }
    for (size_t i = 0; result->move.row && i < result->move.count; i++) {
        if (result->move.row[i].to.count > 0) {
            (void)printf("%-28s %12lld\n", result->move.row[i].collection,
                         (long long)result->move.row[i].to.count);
        }
    }
    pk_time_format(restore->info.made_ms, time);
    (void)printf("restored: the store of %s, equal to the backup\n", time);
    if (!restore->has_erasures) {
        (void)printf("nobody was erased again, as told: who was erased since is back\n");
        return;
    }
    if (result->erased == 0) {
        (void)printf("nobody of the backup was erased since\n");
    } else {
        (void)printf("%lld people of the backup were erased since: they are erased again\n",
                     (long long)result->erased);
    }
    if (result->forgotten > 0) {
        (void)printf("%lld observations were forgotten since: they go when a server starts\n",
                     (long long)result->forgotten);
    }
}

static bool restore_all(struct restore *restore, struct pk_error *err)
{
    struct pk_restore_result result = { .erased = 0 };
    pk_progress_init(&restore->progress, restore->call->app->clock, restore->call->is_json);
    bool is_ok = prepare(restore, err) && load(restore, &result, err);
    /* A store that has documents of its own, or is done, says itself what it is. */
    if ((is_ok || err->code == PK_CONFLICT || !(restore->is_old_mark || restore->has_deleted)) &&
        !unmark(restore)) {
        is_ok = false;
    }
    if (restore->unmark.code != PK_OK) {
        *err = restore->unmark;
    }
    pk_progress_done(&restore->progress);
    if (is_ok) {
        print_result(restore, &result);
    }
    pk_restore_result_done(&result);
    return is_ok;
}

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    struct restore restore = { .call = call, .lock_fd = -1, .open = { .lock_fd = -1 } };
    if (!pk_call_config(call, &restore.config, err)) {
        return PK_EXIT_USAGE;
    }
    pk_signals_init(&restore.signals, false); /* Before the store: a driver may start threads. */
    const bool is_ok = restore_all(&restore, err);
    pk_erase_log_done(&restore.erasures);
    pk_peppers_free(restore.peppers);
    pk_cli_store_close(&restore.open);
    if (restore.lock_fd >= 0) {
        (void)close(restore.lock_fd);
    }
    pk_signals_release(&restore.signals);
    pk_free(restore.url);
    pk_config_free(restore.config);
    if (!is_ok) {
        return restore.is_stopped ? PK_EXIT_STOPPED : PK_EXIT_FAILED;
    }
    return PK_EXIT_OK;
}

const struct pk_command pk_command_restore = {
    .noun = "restore",
    .summary = "make a store of a backup, without who was erased since",
    .text =
        "Checks the backup, loads it into an empty store of either kind, compares the two, and\n"
        "erases again everybody whom 'erasures.log' of the data folder names, with receipts\n"
        "as then. Put the server's 'pepper' and 'erasures.log' (of several servers: joined)\n"
        "into the data folder first. Stopped at any point (Ctrl-C, kill, power), the same\n"
        "command goes on where it was; until then the store is not served. Followers of the\n"
        "feed start afresh.\n",
    .example = "personakit restore /backups/personakit-2026-11-21 --data /var/lib/personakit",
    .argument = { "FROM" },
    .option = option_table,
    .option_count = PK_COUNT(option_table),
    .takes_settings = true,
    .settings = "data, store.url",
    .run = run,
};
