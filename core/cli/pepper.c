/* pepper.c - 'personakit pepper ...': the secrets that keys are hashed with.
 *
 * They lie in a file beside the store. These commands work while no server
 * uses the folder: a server reads the file when it starts, and who retires a
 * pepper must see which keys go with it. A change is first written into the
 * audit record and then done: rather a row too many than one too few. */
/* SPDX-License-Identifier: MIT */
#include "access/pepper.h"

#include "access/audit.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "doc/doc.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AUDIT_MS = 10 * 1000 };

/* What a command works with. */
struct work {
    struct pk_call *call;
    struct pk_config *config;
    const char *data;
    int lock_fd;
    struct pk_open_store open;
    struct pk_peppers *peppers;
    size_t keys[PK_PEPPERS_MAX]; /* Active keys that were made with each. */
};
typedef bool pepper_fn(struct work *work, struct pk_error *err);

/* ---- Which keys rest on which ---- */

static void count_keys(struct work *work, const struct pk_doc *actor)
{
    char path[48];
    for (size_t i = 0;; i++) {
        (void)snprintf(path, sizeof(path), "apiKeys.%zu.status", i);
        const char *status = pk_doc_text(actor, path);
        if (!status) {
            return;
        }
        (void)snprintf(path, sizeof(path), "apiKeys.%zu.pepperId", i);
        const struct pk_pepper *pepper = pk_peppers_find(work->peppers, pk_doc_text(actor, path));
        if (pepper && strcmp(status, "active") == 0) {
            work->keys[pepper - pk_peppers_first(work->peppers)]++;
        }
    }
}

static bool count_all(struct work *work, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = {
            .collection = "actors", .index = "_id", .limit = PK_PAGE_MAX, .cursor = cursor
        };
        if (!pk_store_find(work->open.store, &query, 0, &page, err)) {
            return pk_wrap(err, "look for keys");
        }
        for (size_t i = 0; i < page.count; i++) {
            count_keys(work, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

/* ---- Opening and closing ---- */

static bool check_file(const struct work *work, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/pepper", work->data);
    return access(path, F_OK) == 0 ||
           pk_fail(err, PK_NOT_FOUND,
                   "name the server's folder with --data; the first start makes the file",
                   "there is no pepper file '%.200s'", path);
}

static bool open_all(struct work *work, struct pk_error *err)
{
    const struct pk_app *app = work->call->app;
    PK_CLEANUP(pk_freep) char *url = pk_cli_store_url(work->config);
    if (!check_file(work, err)) {
        return false;
    }
    if (!pk_folder_lock(work->data, &work->lock_fd, err)) {
        if (err->code == PK_CONFLICT) {
            err->hint = "stop the server first: it reads its peppers when it starts";
        }
        return false;
    }
    return pk_cli_store_open(app, url, work->data, PK_OPEN_USE, &work->open, err) &&
           pk_peppers_open(&work->peppers, work->data, work->open.store, false, err) &&
           count_all(work, err);
}

static enum pk_exit run(struct pk_call *call, pepper_fn *work_fn, struct pk_error *err)
{
    struct work work = { .call = call, .lock_fd = -1, .open = { .lock_fd = -1 } };
    if (!pk_call_config(call, &work.config, err)) {
        return PK_EXIT_USAGE;
    }
    work.data = pk_config_text(work.config, "data");
    const bool is_ok = open_all(&work, err) && work_fn(&work, err);
    pk_peppers_free(work.peppers);
    pk_cli_store_close(&work.open);
    if (work.lock_fd >= 0) {
        (void)close(work.lock_fd);
    }
    pk_config_free(work.config);
    return is_ok ? PK_EXIT_OK : PK_EXIT_FAILED;
}

/* ---- What they do ---- */

static bool audit(struct work *work, const char *action, const char *id, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const struct pk_clock *clock = work->call->app->clock;
    const struct pk_books books = {
        .store = work->open.store,
        .clock = clock,
        .peppers = work->peppers,
        .node = "pepper",
        .event_keep_ms = pk_config_ms(work->config, "store.retention.events"),
        .audit_keep_ms = pk_config_ms(work->config, "store.retention.audit"),
    };
    const struct pk_by by = { .actor_id = "personakit" };
    const struct pk_audit row = { .action = action, .target_type = "pepper", .target_id = id };
    pk_audit_add(&list, &books, &by, &row);
    return pk_store_commit(work->open.store, &list, pk_deadline_in_ms(clock, AUDIT_MS), NULL,
                           err) ||
           pk_wrap(err, "write the audit record");
}

static const char *use_of(const struct work *work, size_t at)
{
    const bool is_newest = at + 1 == pk_peppers_count(work->peppers);
    if (at == 0) {
        return is_newest ? "new keys, people in the audit record" : "people in the audit record";
    }
    return is_newest ? "new keys" : NULL;
}

static bool list(struct work *work, struct pk_error *err)
{
    static const char *const heading[] = { "ID", "ACTIVE KEYS", "USED FOR" };
    const struct pk_pepper *pepper = pk_peppers_first(work->peppers);
    const size_t count = pk_peppers_count(work->peppers);
    PK_CLEANUP(pk_table_done) struct pk_table table = { 0 };
    (void)err;
    pk_table_init(&table, heading, PK_COUNT(heading));
    for (size_t i = 0; i < count; i++) {
        char keys[24];
        (void)snprintf(keys, sizeof(keys), "%zu", work->keys[i]);
        if (work->call->is_json) {
            (void)printf("%s{\"pepperId\":\"%s\",\"activeKeys\":%s}%s", i == 0 ? "[" : ",",
                         pepper[i].id, keys, i + 1 == count ? "]\n" : "");
            continue;
        }
        pk_table_add(&table, pepper[i].id);
        pk_table_add(&table, keys);
        pk_table_add(&table, use_of(work, i));
    }
    if (!work->call->is_json) {
        pk_table_print(&table);
    }
    return true;
}

static bool rotate(struct work *work, struct pk_error *err)
{
    const char *newest = pk_peppers_newest(work->peppers)->id;
    if (!audit(work, "pepper.rotated", newest, err) || !pk_peppers_rotate(work->data, err)) {
        return false;
    }
    (void)printf("%s",
                 work->call->is_json
                     ? "{\"rotated\":true}\n"
                     : "new keys are hashed with a new pepper; old ones stay good. Nodes that "
                       "share the store\nneed this file, too: copy it, then start them\n");
    return true;
}

static bool retire(struct work *work, struct pk_error *err)
{
    const char *id = work->call->argument[0];
    const struct pk_pepper *pepper = pk_peppers_find(work->peppers, id);
    const size_t keys = pepper ? work->keys[pepper - pk_peppers_first(work->peppers)] : 0;
    const char *question =
        pk_arena_printf(&work->call->arena, "Retire it? %zu active key%s become%s void.", keys,
                        keys == 1 ? "" : "s", keys == 1 ? "s" : "");
    if (!pepper || pepper == pk_peppers_first(work->peppers) ||
        pepper == pk_peppers_newest(work->peppers)) {
        return pk_fail(err, pepper ? PK_PRECONDITION : PK_NOT_FOUND,
                       "'personakit pepper list' shows which there are, and for what",
                       pepper ? "pepper '%.60s' is in use" : "there is no pepper '%.60s'", id);
    }
    if (!pk_call_confirm(work->call, question, err) || !audit(work, "pepper.retired", id, err) ||
        !pk_peppers_retire(work->data, id, err)) {
        return false;
    }
    (void)printf(work->call->is_json ? "{\"voidKeys\":%zu}\n" : "retired; void keys: %zu\n", keys);
    return true;
}

/* ---- The commands ---- */

static enum pk_exit run_list(struct pk_call *call, struct pk_error *err)
{
    return run(call, list, err);
}

static enum pk_exit run_rotate(struct pk_call *call, struct pk_error *err)
{
    return run(call, rotate, err);
}

static enum pk_exit run_retire(struct pk_call *call, struct pk_error *err)
{
    return run(call, retire, err);
}

static const struct pk_cli_option retire_option[] = {
    { "--yes", NULL, "Do not ask whether it is meant." },
};

#define OFFLINE_TEXT "Works while no server uses the folder.\n"

const struct pk_command pk_command_pepper_list = {
    .noun = "pepper",
    .verb = "list",
    .summary = "list the secrets that keys are hashed with",
    .text = "Shows their ids, oldest first, and how many active keys rest on each; never the\n"
            "secrets.\n" OFFLINE_TEXT,
    .example = "personakit pepper list --data var",
    .takes_settings = true,
    .settings = "data, store.url",
    .run = run_list,
};
const struct pk_command pk_command_pepper_rotate = {
    .noun = "pepper",
    .verb = "rotate",
    .summary = "add one, which new keys are hashed with",
    .text = "Keys that there are stay good. Leaves a record in the audit.\n" OFFLINE_TEXT,
    .example = "personakit pepper rotate --data var",
    .takes_settings = true,
    .settings = "data, store.url",
    .run = run_rotate,
};
const struct pk_command pk_command_pepper_retire = {
    .noun = "pepper",
    .verb = "retire",
    .summary = "take one out; keys made with it are void",
    .text = "ID is one that 'pepper list' shows; the first and the newest stay. Leaves a record\n"
            "in the audit. Away from a terminal, --yes says that it is meant.\n" OFFLINE_TEXT,
    .example = "personakit pepper retire 3kd7qa2m --data var --yes",
    .argument = { "ID" },
    .option = retire_option,
    .option_count = PK_COUNT(retire_option),
    .takes_settings = true,
    .settings = "data, store.url",
    .run = run_retire,
};
