/* fuzz_bson.c - Bytes from outside: what pk_doc_parse takes, everybody can live with.
 *
 * The document is written as JSON, walked by paths, checked against a
 * schema of the inventory, accepted by it and respelt. Seeds: corpus/fuzz_bson/. */
/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/names.h"
#include "doc/path.h"
#include "doc/schema.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static bool touch(void *context, const char *below, const bson_iter_t *value)
{
    size_t *sum = context;
    *sum += strlen(below) + (size_t)bson_iter_type(value);
    return true;
}

static void walk_paths(const bson_t *view)
{
    static const char *const path[] = { "*", "a", "a.b", "a[]", "a[].b", "a.*", "a[].*", "0.0" };
    size_t sum = 0;
    bson_iter_t iter;
    for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
        insist(pk_path_each(view, path[i], touch, &sum));
        (void)pk_path_find(view, path[i], &iter);
    }
}

static void ask_schema(const struct pk_schema *schema, const bson_t *view)
{
    struct pk_faults faults = { 0 };
    struct pk_buf text = { 0 };
    struct pk_error err;
    bson_t stored;
    if (!pk_schema_check(schema, view, &faults)) {
        insist(!pk_faults_fail(&faults, &err));
        pk_faults_print(&faults, &text);
    } else {
        insist(pk_json_write(&text, view, PK_JSON_COMPACT, NULL));
    }
    pk_faults_done(&faults);
    if (pk_schema_accept(schema, view, &stored, &faults)) {
        struct pk_doc *parsed = NULL;
        insist(pk_doc_parse(&parsed, bson_get_data(&stored), stored.len, NULL));
        pk_doc_unref(parsed);
        insist(pk_schema_check(schema, &stored, &faults));
        bson_destroy(&stored);
    }
    pk_faults_done(&faults);
    pk_buf_done(&text);
}

/* Respelling ends, in a verdict or a document. */
static void respell(const char *collection, const bson_t *view)
{
    bson_t http, back;
    struct pk_doc *parsed = NULL;
    if (pk_names_translate(collection, PK_SPELLING_HTTP, PK_SPELLING_STORED, view, &back, NULL)) {
        bson_destroy(&back);
    }
    if (!pk_names_translate(collection, PK_SPELLING_STORED, PK_SPELLING_HTTP, view, &http, NULL)) {
        return;
    }
    /* One level may come in: then what was at the limit is above it. */
    if (pk_doc_parse(&parsed, bson_get_data(&http), http.len, NULL)) {
        pk_doc_unref(parsed);
    }
    if (pk_names_translate(collection, PK_SPELLING_HTTP, PK_SPELLING_STORED, &http, &back, NULL)) {
        bson_destroy(&back);
    }
    bson_destroy(&http);
}

/* One of the collections, chosen by the bytes: all of them would be slow. */
static const struct pk_collection *choose_collection(const uint8_t *data, size_t size)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    size_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += data[i];
    }
    return &inventory->collection[sum % inventory->count];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_doc *doc = NULL;
    struct pk_buf json = { 0 };
    bson_t view;

    if (!pk_doc_parse(&doc, data, size, NULL)) {
        return 0;
    }
    pk_doc_view(doc, &view);
    insist(bson_validate(&view, BSON_VALIDATE_NONE, NULL));
    insist(pk_doc_same(doc, doc));
    (void)pk_doc_id(doc);
    (void)pk_json_write(&json, &view, PK_JSON_PRETTY, NULL);
    pk_buf_clear(&json);
    (void)pk_json_write(&json, &view, PK_JSON_CANONICAL, NULL);
    walk_paths(&view);
    const struct pk_collection *collection = choose_collection(data, size);
    ask_schema(collection->schema, &view);
    respell(collection->name, &view);
    pk_buf_done(&json);
    pk_doc_unref(doc);
    return 0;
}
