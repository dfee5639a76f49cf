/* bed.c - A store, a jail and nodes on them. */
/* SPDX-License-Identifier: MIT */
#include "bed.h"

#include "access/pepper.h"
#include "database.h"
#include "doc/inventory.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void pick_url(struct bed *bed, bool is_mongo)
{
    bed->is_mongo = is_mongo;
    bed->url = is_mongo ? pk_test_database_lend(pk_inventory_builtin())
                        : pk_strdupf("sqlite:%s", bed->folder);
    if (!bed->url) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
}

void bed_open(struct bed *bed, bool is_mongo)
{
    bed->clock = bed->clock ? bed->clock : pk_clock_system();
    (void)snprintf(bed->folder, sizeof(bed->folder), "%s", pk_test_folder());
    pick_url(bed, is_mongo);
    assert_ok(pk_store_open(&bed->store,
                            &(struct pk_store_options){ .url = bed->url,
                                                        .inventory = pk_inventory_builtin(),
                                                        .clock = bed->clock },
                            &bed->err),
              &bed->err);
    assert_ok(pk_peppers_open(&bed->peppers, bed->folder, bed->store, false, &bed->err), &bed->err);
    bed->by = (struct pk_by){ .actor_id = "tester" };
    bed->jail =
        pk_jail_new(&(struct pk_jail_options){ .worker_path = PK_WORKER, .workers_max = 4 });
}

void bed_done(struct bed *bed)
{
    for (size_t i = 0; i < bed->node_count; i++) {
        pk_registry_free(bed->node[i].registry);
        pk_scripts_free(bed->node[i].scripts);
        pk_loader_free(bed->node[i].loader);
    }
    if (bed->jail) {
        pk_jail_free(bed->jail);
    }
    pk_peppers_free(bed->peppers);
    if (bed->is_mongo) {
        pk_test_database_return(bed->url, bed->store);
    } else {
        pk_store_close(bed->store);
        pk_free(bed->url);
    }
}

/* The scripts are made before the registry that hears of their failures. */
static void hear_doubt(void *context, const struct pk_script *script, const char *reason)
{
    const struct node *node = context;
    pk_registry_doubt(node->registry, script, reason);
}

struct node *bed_node(struct bed *bed)
{
    struct node *node = &bed->node[bed->node_count];
    assert_true(bed->node_count++ < PK_COUNT(bed->node));
    node->books = (struct pk_books){ .store = bed->store,
                                     .clock = bed->clock,
                                     .peppers = bed->peppers,
                                     .node = bed->node_count == 1 ? "node-1" : "node-2",
                                     .event_keep_ms = INT64_C(7) * 86400000 };
    node->loader = pk_loader_new(&(struct pk_loader_options){ .jail = bed->jail });
    node->scripts = pk_scripts_new(&(struct pk_scripts_options){
        .clock = bed->clock, .jail = bed->jail, .doubt = hear_doubt, .context = node });
    node->registry = pk_registry_new(&(struct pk_registry_options){
        .books = &node->books, .loader = node->loader, .scripts = node->scripts });
    return node;
}

/* ---- Scripts ---- */

struct pk_bundle *lua_text(const char *name, const char *format, ...)
{
    char text[8192];
    struct pk_bundle *bundle = NULL;
    struct pk_error err = { 0 };
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(size > 0 && (size_t)size < sizeof(text));
    assert_ok(pk_bundle_of_text(name, text, (size_t)size, &bundle, &err), &err);
    return bundle;
}

struct pk_bundle *mapper_text(const char *id, const char *version, int number)
{
    return lua_text("mapper.lua",
                    "local pk = require \"personakit\"\n"
                    "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },\n"
                    "  id = \"%s\", version = \"%s\", ttl = \"1h\",\n"
                    "  core = function() return { number = { is = %d } } end,\n"
                    "}\n",
                    id, version, number);
}

bool draft(struct bed *bed, struct node *node, struct pk_bundle *bundle, enum pk_draft_rule rule,
           struct pk_doc **out)
{
    struct pk_report report = { 0 };
    const bool ok = pk_registry_draft(node->registry, &bed->by, bundle, PK_SCRIPT_ANY, NULL, rule,
                                      out, &report, &bed->err);
    pk_report_done(&report);
    pk_bundle_unref(bundle);
    return ok;
}

bool activate(struct bed *bed, struct node *node, const char *id, const char *version)
{
    struct pk_report report = { 0 };
    const bool ok = pk_registry_activate(node->registry, &bed->by, PK_SCRIPT_MAPPER, id, version,
                                         NULL, NULL, &report, &bed->err);
    pk_report_done(&report);
    return ok;
}

const char *put_active(struct bed *bed, struct node *node, struct pk_bundle *bundle)
{
    static char version[PK_SCRIPT_VERSION];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    assert_ok(draft(bed, node, bundle, PK_DRAFT_RENAME, &doc), &bed->err);
    (void)snprintf(version, sizeof(version), "%s", pk_doc_text(doc, "version"));
    assert_ok(activate(bed, node, pk_doc_text(doc, "mapperId"), version), &bed->err);
    return version;
}

const char *serving(struct node *node, const char *id)
{
    static char version[PK_SCRIPT_VERSION];
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    const struct pk_script *script = pk_generation_find(pinned, PK_SCRIPT_MAPPER, id);
    (void)snprintf(version, sizeof(version), "%s", script ? script->version : "");
    pk_generation_unpin(pinned);
    return version;
}

/* ---- Looking ---- */

size_t count_where(struct bed *bed, const char *collection, const char *path, const char *text)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = collection,
                                    .index = "_id",
                                    .limit = PK_PAGE_MAX };
    size_t count = 0;
    assert_ok(pk_store_find(bed->store, &query, 0, &page, &bed->err), &bed->err);
    for (size_t i = 0; i < page.count; i++) {
        const char *found = path ? pk_doc_text(page.doc[i], path) : NULL;
        count += !path || (found && strcmp(found, text) == 0);
    }
    return count;
}

void expect_error(const struct pk_error *err, enum pk_code code, const char *part)
{
    if (err->code != code || !strstr(err->message, part)) {
        fail_msg("'%s' (%s) is not '%s' (%s)", err->message, pk_code_name(err->code), part,
                 pk_code_name(code));
    }
    assert_non_null(err->hint);
}

void bed_pause(void)
{
    (void)poll(NULL, 0, 1);
}
