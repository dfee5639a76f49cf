/* mongo_bed.c - Opens and ends the databases of mongo_bed.h. */
/* SPDX-License-Identifier: MIT */
#include "mongo_bed.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "doc/doc.h"

#include <stdlib.h>
#include <string.h>

/* ---- A small inventory ---- */

static const struct pk_index notes_index[] = {
    { .name = "by_user",
      .key = { { .path = "user" }, { .path = "at", .is_descending = true } },
      .key_count = 2 },
    { .name = "by_tag", .key = { { .path = "tags[]" }, { .path = "at" } }, .key_count = 2 },
    { .name = "by_metadata", .key = { { .path = "metadata.*" } }, .key_count = 1 },
    { .name = "one_slug", .key = { { .path = "slug" } }, .key_count = 1, .is_unique = true },
    { .name = "done_by_user",
      .key = { { .path = "user" } },
      .key_count = 1,
      .only = PK_ONLY_TRUE,
      .only_path = "done" },
};
static const struct pk_index brief_index[] = {
    { .name = "by_expiry", .key = { { .path = "expiresAt" } }, .key_count = 1 },
};
static const struct pk_collection collections[] = {
    { .name = "notes", INDEXES(notes_index) },
    OTHERS(brief_index),
};
const struct pk_inventory mongo_bed_inventory = { collections, PK_COUNT(collections), 1 };

/* ---- The bed ---- */

int64_t in_ms(int64_t ms)
{
    return pk_deadline_in_ms(pk_clock_system(), ms);
}

void run_admin(struct bed *bed, const char *database, const char *json)
{
    bson_error_t error;
    bson_t command;
    char *text = pk_strdup(json);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (!bson_init_from_json(&command, text, -1, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    pk_free(text);
    mongoc_client_t *client = mongo_pop(mongo_of(bed->store), NULL);
    const int64_t until_ns = in_ms(PK_TEST_PATIENCE_MS);
    bool ok = false;
    do { /* A fault may just have broken the connection. */
        ok = mongoc_client_command_simple(client, database, &command, NULL, NULL, &error);
    } while (!ok && mongo_is_away(&error) && !pk_deadline_passed(pk_clock_system(), until_ns));
    mongo_push(mongo_of(bed->store), client);
    bson_destroy(&command);
    if (!ok) {
        fail_msg("%s: %s", json, error.message);
    }
}

/* A case that failed before its end has left its fault on. */
static void end_faults(const char *url)
{
    mongo_init_once();
    mongoc_client_t *client = mongoc_client_new(url);
    bson_t *command = BCON_NEW("configureFailPoint", "failCommand", "mode", "off");
    (void)mongoc_client_command_simple(client, "admin", command, NULL, NULL, NULL);
    bson_destroy(command);
    mongoc_client_destroy(client);
}

void bed_open(struct bed *bed)
{
    const char *url = getenv("PK_TEST_MONGODB");
    struct pk_error err = { 0 };
    char uuid[PK_UUID_TEXT];
    if (!url) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
    end_faults(url);
    pk_uuid_new(uuid);
    (void)snprintf(bed->database, sizeof(bed->database), "unit_%.8s", uuid);
    const size_t hosts = strcspn(url + strlen("mongodb://"), "/?") + strlen("mongodb://");
    const char *options = strchr(url, '?');
    bed->url = pk_strdupf("%.*s/%s%s", (int)hosts, url, bed->database, options ? options : "");
    assert_ok(pk_store_open(&bed->store,
                            &(struct pk_store_options){ .url = bed->url,
                                                        .inventory = &mongo_bed_inventory,
                                                        .clock = pk_clock_system() },
                            &err),
              &err);
}

void bed_done(struct bed *bed)
{
    if (bed->store) {
        run_admin(bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
        run_admin(bed, bed->database, "{'dropDatabase':1}");
        pk_store_close(bed->store);
    }
    pk_free(bed->url);
}
struct pk_doc *json_doc(const char *json)
{
    bson_error_t error;
    bson_t bson;
    char *text = pk_strdup(json);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (!bson_init_from_json(&bson, text, -1, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    pk_free(text);
    return pk_doc_take(&bson);
}

bool write_one(struct bed *bed, const char *collection, const char *json, int64_t deadline_ns,
               struct pk_commit *out, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = json_doc(json);
    if (collection) {
        pk_writes_insert(&list, collection, doc);
    } else {
        pk_writes_announce(&list, doc);
    }
    return pk_store_commit(bed->store, &list, deadline_ns, out, err);
}

bool is_there(struct bed *bed, const char *collection, const char *id)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    assert_ok(pk_store_get(bed->store, collection, id, in_ms(PK_TEST_PATIENCE_MS), &doc, &err),
              &err);
    return doc != NULL;
}

uint64_t groups_of(struct bed *bed)
{
    struct pk_store_stats stats;
    pk_store_stats(bed->store, &stats);
    return stats.groups;
}
