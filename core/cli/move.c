/* move.c - 'personakit move': one store into another, proved and resumable.
 *
 * The work is done by ops/move.c; here are the locks of the folders, Ctrl-C,
 * the bar, and the table at the end. */
/* SPDX-License-Identifier: MIT */
#include "ops/move.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const struct pk_cli_option option_table[] = {
    { "--from", "URL", "The store to copy: sqlite:FOLDER or mongodb://..." },
    { "--to", "URL", "The store to fill: a new folder, or an empty database." },
};

static const char *const step_name[] = {
    [PK_MOVE_COUNTING] = "counting",
    [PK_MOVE_COPYING] = "copying",
    [PK_MOVE_COMPARING] = "comparing",
};

struct watch {
    struct pk_progress progress;
    struct pk_signals signals;
    bool is_stopped;
};

static bool on_progress(void *context, const struct pk_move_progress *now)
{
    struct watch *watch = context;
    pk_progress_show(&watch->progress, step_name[now->step], now->collection, now->done, now->all);
    if (pk_signals_take(&watch->signals) != 0) {
        watch->is_stopped = true;
    }
    return !watch->is_stopped;
}

/* ---- The result ---- */

static void print_row(const struct pk_move_row *row)
{
    char sum[PK_HASH_TEXT];
    bool is_equal = pk_sum_equal(&row->from, &row->to) && !row->first_different;
    pk_sum_text(&row->to, sum);
    (void)printf("%-28s %12lld %12lld  %.16s  %s\n", row->collection, (long long)row->from.count,
                 (long long)row->to.count, sum, is_equal ? "equal" : "DIFFERENT");
}

static void print_table(const struct pk_move_result *result)
{
    int64_t documents = 0;
    int64_t expired = 0;
    (void)printf("%-28s %12s %12s  %-16s  %s\n", "collection", "source", "target", "checksum",
                 "compared");
    for (size_t i = 0; i < result->count; i++) {
        const struct pk_move_row *row = &result->row[i];
        if (row->from.count > 0 || row->to.count > 0) {
            print_row(row);
        }
        documents += row->to.count;
        expired += row->expired;
    }
    (void)printf("%lld documents in the target, %lld copied by this call\n", (long long)documents,
                 (long long)result->copied);
    if (expired > 0) {
        (void)printf("%lld expired while they were moved, and are in no count\n",
                     (long long)expired);
    }
}

static void add_json_row(struct pk_buf *out, const struct pk_move_row *row)
{
    char from[PK_HASH_TEXT];
    char to[PK_HASH_TEXT];
    pk_sum_text(&row->from, from);
    pk_sum_text(&row->to, to);
    pk_buf_printf(out,
                  "{\"collection\":\"%s\",\"source\":{\"count\":%lld,\"checksum\":\"%s\"},"
                  "\"target\":{\"count\":%lld,\"checksum\":\"%s\"},\"expired\":%lld,\"equal\":%s}",
                  row->collection, (long long)row->from.count, from, (long long)row->to.count, to,
                  (long long)row->expired,
                  pk_sum_equal(&row->from, &row->to) && !row->first_different ? "true" : "false");
}

static void print_json(const struct pk_move_result *result, bool is_ok)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    pk_buf_printf(&out,
                  "{\"finished\":%s,\"resumed\":%s,\"alreadyFinished\":%s,\"copied\":%lld,"
                  "\"collections\":[",
                  is_ok ? "true" : "false", result->is_resumed ? "true" : "false",
                  result->is_old ? "true" : "false", (long long)result->copied);
    for (size_t i = 0; i < result->count; i++) {
        pk_buf_add_text(&out, i ? "," : "");
        add_json_row(&out, &result->row[i]);
    }
    pk_buf_add_text(&out, "]}\n");
    (void)fputs(out.data, stdout);
}

static void print_result(const struct pk_call *call, const struct pk_move_result *result,
                         bool is_ok)
{
    char time[PK_TIME_TEXT];
    if (call->is_json) {
        print_json(result, is_ok);
        return;
    }
    if (result->is_old) {
        pk_time_format(result->finished_at_ms, time);
        (void)printf("this move was finished on %s; there is nothing to do\n", time);
        return;
    }
    if (result->row) {
        print_table(result);
    }
    if (is_ok) {
        (void)printf("finished: source and target are equal\n");
    }
}

/* ---- The command ---- */

static bool open_both(struct pk_call *call, struct pk_open_store *from, struct pk_open_store *to,
                      struct pk_error *err)
{
    const char *from_url = pk_call_option(call, "--from");
    const char *to_url = pk_call_option(call, "--to");
    struct pk_store_state state = { 0 };
    const struct pk_store_options options = { .url = from_url,
                                              .inventory = call->app->inventory,
                                              .clock = call->app->clock,
                                              .is_read_only = true };

    if (strcmp(from_url, to_url) == 0) {
        return pk_fail(err, PK_INVALID, "name two different stores",
                       "source and target are the same store");
    }
    if (!pk_store_inspect(&options, &state, err)) {
        return pk_wrap(err, "look at the source");
    }
    if (state.is_empty) {
        return pk_fail(err, PK_NOT_FOUND, "check what --from names",
                       "there is no store in the source");
    }
    if (!pk_cli_store_open(call->app, from_url, NULL, PK_OPEN_READ, from, err)) {
        return pk_wrap(err, "open the source");
    }
    if (!pk_cli_store_open(call->app, to_url, NULL, PK_OPEN_USE, to, err)) {
        return pk_wrap(err, "open the target");
    }
    return true;
}

static enum pk_exit move(struct pk_call *call, struct watch *watch, struct pk_open_store *from,
                         struct pk_open_store *to, struct pk_error *err)
{
    struct pk_move_result result = { 0 };
    const struct pk_move_options options = { .from = from->store,
                                             .to = to->store,
                                             .inventory = call->app->inventory,
                                             .clock = call->app->clock,
                                             .progress = on_progress,
                                             .context = watch };

    pk_progress_init(&watch->progress, call->app->clock, call->is_json);
    bool is_ok = pk_move_run(&options, &result, err);
    pk_progress_done(&watch->progress);
    if (is_ok || result.row) {
        print_result(call, &result, is_ok);
    }
    pk_move_result_done(&result);
    if (watch->is_stopped && !is_ok) {
        return PK_EXIT_STOPPED;
    }
    return is_ok ? PK_EXIT_OK : PK_EXIT_FAILED;
}

static enum pk_exit run(struct pk_call *call, struct pk_error *err)
{
    struct pk_open_store from = { .lock_fd = -1 };
    struct pk_open_store to = { .lock_fd = -1 };
    struct watch watch = { .is_stopped = false };

    if (!pk_call_option(call, "--from") || !pk_call_option(call, "--to")) {
        (void)pk_fail(err, PK_INVALID, "personakit move --from sqlite:FOLDER --to mongodb://...",
                      "'move' needs --from and --to");
        return PK_EXIT_USAGE;
    }
    pk_signals_init(&watch.signals, false); /* Before the stores: a driver may start threads. */
    enum pk_exit code =
        open_both(call, &from, &to, err) ? move(call, &watch, &from, &to, err) : PK_EXIT_FAILED;
    pk_cli_store_close(&to);
    pk_cli_store_close(&from);
    pk_signals_release(&watch.signals);
    return code;
}

const struct pk_command pk_command_move = {
    .noun = "move",
    .summary = "copy one store into another, and compare them",
    .text = "Copies every collection, reads both stores again and compares them by count and\n"
            "checksum. No server may use the source meanwhile. The target must be empty. Stopped\n"
            "at any point (Ctrl-C, kill, power), the same command goes on where it was. Documents\n"
            "whose time has passed are not copied; followers of the feed start afresh.\n",
    .example = "personakit move --from sqlite:var/data --to 'mongodb://127.0.0.1:27017/personakit'",
    .option = option_table,
    .option_count = PK_COUNT(option_table),
    .run = run,
};
