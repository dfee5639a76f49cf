/* generations.c - /v1/admin/generations: which scripts serve on this server, and which do not.
 *
 * Every server answers for itself; what is barred is barred on all of them. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_scripts.h"
#include "ops/metrics_page.h"
#include "persona/registry.h"

#include <stdio.h>

enum { ALIVE_MAX = 1000, REFUSED_MAX = 1000 };

/* The next object of an array. */
static void item_begin(bson_t *list, size_t i, bson_t *out)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%zu", i);
    bson_append_document_begin(list, key, -1, out);
}

static void add_date(bson_t *to, const char *name, int64_t ms)
{
    if (ms) {
        bson_append_date_time(to, name, -1, ms);
    }
}

/* 'share' 0: it serves everybody, but for those on whom another one is tried. */
static void add_script(bson_t *item, const struct pk_script *script, double share,
                       const struct pk_script_stats *stats)
{
    BSON_APPEND_UTF8(item, "kind", pk_script_kind_name(script->kind));
    BSON_APPEND_UTF8(item, "id", script->id);
    BSON_APPEND_UTF8(item, "version", script->version);
    BSON_APPEND_UTF8(item, "contentHash", script->bundle->hash_text);
    BSON_APPEND_BOOL(item, "signed", script->is_signed);
    BSON_APPEND_INT64(item, "examples", script->examples);
    if (share > 0) {
        BSON_APPEND_DOUBLE(item, "canaryShare", share);
    }
    BSON_APPEND_INT64(item, "calls", (int64_t)stats->calls);
    BSON_APPEND_INT64(item, "failures", (int64_t)stats->failures);
    BSON_APPEND_DOUBLE(item, "meanMs", (double)stats->mean_ns / 1e6);
    BSON_APPEND_DOUBLE(item, "p99Ms", (double)stats->p99_ns / 1e6);
    BSON_APPEND_BOOL(item, "quarantined", stats->is_quarantined);
    add_date(item, "since", stats->since_ms);
    add_date(item, "failedAt", stats->failed_ms);
    if (stats->failure[0]) {
        BSON_APPEND_UTF8(item, "failure", stats->failure);
    }
}

static void add_serving(bson_t *list, size_t *count, struct pk_scripts *scripts,
                        const struct pk_script *script, double share)
{
    struct pk_script_stats stats = { 0 };
    bson_t item;
    (void)pk_scripts_stats(scripts, script, &stats);
    item_begin(list, (*count)++, &item);
    add_script(&item, script, share, &stats);
    bson_append_document_end(list, &item);
}

static void add_scripts(bson_t *out, struct pk_scripts *scripts)
{
    struct pk_generation *pinned = pk_scripts_pin(scripts);
    bson_t list;
    size_t count = 0;
    BSON_APPEND_INT64(out, "generation", (int64_t)pk_generation_number(pinned));
    BSON_APPEND_ARRAY_BEGIN(out, "scripts", &list);
    for (size_t i = 0; i < pk_generation_count(pinned); i++) {
        const struct pk_script *script = pk_generation_at(pinned, i);
        double share = 0;
        const struct pk_script *canary =
            pk_generation_canary(pinned, script->kind, script->id, &share);
        add_serving(&list, &count, scripts, script, 0);
        if (canary) {
            add_serving(&list, &count, scripts, canary, share);
        }
    }
    bson_append_array_end(out, &list);
    pk_generation_unpin(pinned);
}

static void add_alive(bson_t *out, struct pk_scripts *scripts)
{
    struct pk_generation_info *info = pk_calloc(ALIVE_MAX, sizeof(*info));
    const size_t count = pk_scripts_generations(scripts, info, ALIVE_MAX);
    bson_t list, item;
    BSON_APPEND_ARRAY_BEGIN(out, "alive", &list);
    for (size_t i = 0; i < count; i++) {
        item_begin(&list, i, &item);
        BSON_APPEND_INT64(&item, "generation", (int64_t)info[i].number);
        BSON_APPEND_INT64(&item, "scripts", (int64_t)info[i].scripts);
        BSON_APPEND_INT64(&item, "calls", (int64_t)info[i].calls);
        add_date(&item, "publishedAt", info[i].published_ms);
        BSON_APPEND_BOOL(&item, "serving", info[i].is_serving);
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(out, &list);
    pk_free(info);
}

static void add_refused(bson_t *out, struct pk_registry *registry)
{
    struct pk_refused *refused = pk_calloc(REFUSED_MAX, sizeof(*refused));
    const size_t count = pk_registry_refused(registry, refused, REFUSED_MAX);
    bson_t list, item;
    BSON_APPEND_ARRAY_BEGIN(out, "refused", &list);
    for (size_t i = 0; i < count; i++) {
        item_begin(&list, i, &item);
        if (refused[i].file) {
            BSON_APPEND_UTF8(&item, "file", refused[i].file);
        } else {
            BSON_APPEND_UTF8(&item, "kind", pk_script_kind_name(refused[i].kind));
            BSON_APPEND_UTF8(&item, "id", refused[i].id);
            BSON_APPEND_UTF8(&item, "version", refused[i].version);
        }
        BSON_APPEND_UTF8(&item, "reason", refused[i].reason);
        add_date(&item, "at", refused[i].at_ms);
        bson_append_document_end(&list, &item);
        pk_refused_done(&refused[i]);
    }
    bson_append_array_end(out, &list);
    pk_free(refused);
}

static void add_text(bson_t *to, const char *name, const struct pk_doc *doc, const char *path)
{
    const char *text = pk_doc_text(doc, path);
    if (text) {
        bson_append_utf8(to, name, -1, text, -1);
    }
}

static bool add_barred(bson_t *out, struct pk_registry *registry, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    bson_t list, item;
    if (!pk_registry_barred(registry, NULL, PK_PAGE_MAX, &page, err)) {
        return false;
    }
    BSON_APPEND_ARRAY_BEGIN(out, "barred", &list);
    for (size_t i = 0; i < page.count; i++) {
        item_begin(&list, i, &item);
        BSON_APPEND_UTF8(&item, "contentHash", pk_doc_id(page.doc[i]));
        add_text(&item, "id", page.doc[i], "scriptId");
        add_text(&item, "version", page.doc[i], "version");
        add_text(&item, "reason", page.doc[i], "reason");
        add_date(&item, "since", pk_doc_date(page.doc[i], "createdAt", 0));
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(out, &list);
    return true;
}

static bool show(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t out = BSON_INITIALIZER;
    const struct pk_metrics_sources *sources = call->parts->sources;
    BSON_APPEND_UTF8(&out, "node", call->parts->books->node);
    BSON_APPEND_BOOL(&out, "unsafe", sources && sources->jail && pk_jail_is_open(sources->jail));
    add_scripts(&out, call->parts->scripts);
    add_alive(&out, call->parts->scripts);
    add_refused(&out, call->parts->registry);
    return add_barred(&out, call->parts->registry, err) && pk_call_answer(call, &out, 0, err);
}

static bool lift(struct pk_api_call *call, struct pk_error *err)
{
    if (!pk_registry_lift(call->parts->registry, &call->by, pk_call_value(call, "hash"), err)) {
        return false;
    }
    pk_call_answer_nothing(call);
    return true;
}

static const struct pk_param hash_param[] = {
    { .name = "hash",
      .type = PK_PARAM_TEXT,
      .min = 64,
      .max = 64,
      .help = "The content hash: 64 hexadecimal digits." },
    { .name = NULL },
};
static const enum pk_code conflict[] = { PK_CONFLICT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/admin/generations", PLUGIN_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .run = show, .answer = &pk_schema_generations, .id = "getGenerations",
      .tag = "admin",
      .help = "Shows which scripts serve on this server, older generations that still run, and "
              "which versions were refused." },
    { PK_ROW(POST, "/v1/admin/scripts/{hash}/lift", PLUGIN_MANAGE), .lane = PK_LANE_STORE,
      .status = 204, .flags = PK_ROW_WRITES, .param = hash_param, .run = lift, .id = "liftScript",
      .tag = "admin", .help = "Lets barred or quarantined content run again.", .fails = conflict },
};
const struct pk_api_table pk_api_generations_table = { row, PK_COUNT(row) };
