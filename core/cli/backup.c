/* backup.c - 'personakit backup': the whole store into a folder, while it is in use.
 *
 * The store is opened beside the server, for reading: SQLite and MongoDB both
 * give one reader a snapshot while others write, so the server needs no door
 * for it. The work is in ops/backup.c; here are Ctrl-C, the bar, and the words
 * at the end. */
/* SPDX-License-Identifier: MIT */
#include "ops/backup.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "doc/json.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const char *const step_name[] = {
    [PK_BACKUP_COPYING] = "copying",
    [PK_BACKUP_READING] = "reading it again",
    [PK_BACKUP_CHECKING] = "checksums",
};

struct watch {
    struct pk_progress progress;
    struct pk_signals signals;
    bool is_stopped;
    bool is_file; /* What is copied is pages. */
};

static bool on_progress(void *context, enum pk_backup_step step, const char *what, int64_t done,
                        int64_t all)
{
    struct watch *watch = context;
    watch->progress.unit = step == PK_BACKUP_CHECKING                    ? "bytes"
                           : step == PK_BACKUP_COPYING && watch->is_file ? "pages"
                                                                         : "documents";
    pk_progress_show(&watch->progress, step_name[step], what, done, all);
    if (pk_signals_take(&watch->signals) != 0) {
        watch->is_stopped = true;
    }
    return !watch->is_stopped;
}

static void print_json(const char *folder, const struct pk_backup_info *info)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    char made[PK_TIME_TEXT], until[PK_TIME_TEXT];
    pk_time_format(info->made_ms, made);
    pk_time_format(info->delete_by_ms, until);
    pk_buf_add_text(&out, "{\"folder\":");
    pk_json_add_string(&out, folder, strlen(folder));
    pk_buf_printf(&out,
                  ",\"engine\":\"%s\",\"madeAt\":\"%s\",\"deleteBy\":\"%s\",\"consistent\":%s,"
                  "\"documents\":%lld,\"bytes\":%lld,\"collections\":{",
                  info->engine, made, until, info->is_consistent ? "true" : "false",
                  (long long)info->documents, (long long)info->bytes);
    for (size_t i = 0; i < info->count; i++) {
        pk_buf_printf(&out, "%s\"%s\":%lld", i ? "," : "", info->row[i].collection,
                      (long long)info->row[i].documents);
    }
    pk_buf_add_text(&out, "}}\n");
    (void)fputs(out.data, stdout);
}

static void print_result(const char *folder, const struct pk_backup_info *info)
{
    char until[PK_TIME_TEXT];
    pk_time_format(info->delete_by_ms, until);
    for (size_t i = 0; i < info->count; i++) {
        if (info->row[i].documents > 0) {
            (void)printf("%-28s %12lld\n", info->row[i].collection,
                         (long long)info->row[i].documents);
        }
    }
    (void)printf("%lld documents, %lld bytes in '%s', read again and sealed\n",
                 (long long)info->documents, (long long)info->bytes, folder);
    if (!info->is_consistent) {
        (void)printf("it took longer than the server keeps a snapshot: collections are of "
                     "different moments\n");
    }
    (void)printf("delete it by %.10s: it may hold people who are erased meanwhile\n"
                 "pepper and erasures.log are no part of it: keep copies of both, elsewhere\n",
                 until);
}

static bool make(struct pk_call *call, struct watch *watch, struct pk_store *store, int64_t keep_ms,
                 struct pk_error *err)
{
    const char *folder = call->argument[0];
    struct pk_backup_info info;
    const struct pk_backup_options options = { .folder = folder,
                                               .inventory = call->app->inventory,
                                               .clock = call->app->clock,
                                               .keep_ms = keep_ms,
                                               .progress = on_progress,
                                               .context = watch };
    watch->is_file = strcmp(pk_store_engine(store), "sqlite") == 0;
    pk_progress_init(&watch->progress, call->app->clock, call->is_json);
    const bool is_ok = pk_backup_make(store, &options, &info, err);
    pk_progress_done(&watch->progress);
    if (is_ok && call->is_json) {
        print_json(folder, &info);
    } else if (is_ok) {
        print_result(folder, &info);
    }
    return is_ok;
}

static bool open_store(const struct pk_call *call, const char *url, struct pk_store **out,
                       struct pk_error *err)
{
    struct pk_store_state state = { 0 };
    const struct pk_store_options options = { .url = url,
                                              .inventory = call->app->inventory,
                                              .clock = call->app->clock,
                                              .is_read_only = true };
    if (!pk_store_inspect(&options, &state, err)) {
        return false;
    }
    if (state.is_empty) {
        return pk_fail(err, PK_NOT_FOUND, "check --data and --store",
                       "there is no store to back up");
    }
    return pk_store_open(out, &options, err);
}

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_config_freep) struct pk_config *config = NULL;
    PK_CLEANUP(pk_freep) char *url = NULL;
    struct watch watch = { .is_stopped = false };
    struct pk_store *store = NULL;
    if (!pk_call_config(call, &config, err)) {
        return PK_EXIT_USAGE;
    }
    url = pk_cli_store_url(config);
    pk_signals_init(&watch.signals, false); /* Before the store: a driver may start threads. */
    const bool is_ok =
        open_store(call, url, &store, err) &&
        make(call, &watch, store, pk_config_ms(config, "store.retention.backups"), err);
    pk_store_close(store);
    pk_signals_release(&watch.signals);
    return is_ok ? PK_EXIT_OK : PK_EXIT_FAILED;
}

const struct pk_command pk_command_backup = {
    .noun = "backup",
    .summary = "copy the store into a folder, while it is in use",
    .text = "Copies one moment of the store, whether a server runs or not, reads the copy again,\n"
            "and gives it its name when it is whole: what stands there can be restored. Nothing\n"
            "is ever written over; stopped or killed, it leaves nothing of that name. It says\n"
            "until when to keep it ('store.retention.backups'), for it may hold people who are\n"
            "erased meanwhile. The data folder's 'pepper' and 'erasures.log' are no part of it:\n"
            "keep copies of both apart from it, 'restore' needs them.\n",
    .example = "personakit backup /backups/personakit-2026-11-21 --data /var/lib/personakit",
    .argument = { "TO" },
    .takes_settings = true,
    .settings = "data, store.url, store.retention.backups",
    .run = run,
};
