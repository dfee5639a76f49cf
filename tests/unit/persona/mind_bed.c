/* mind_bed.c - Opens, observes, and checks each document against its schema. */
/* SPDX-License-Identifier: MIT */
#include "mind_bed.h"

#include "base/buf.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/path.h"
#include "doc/schema.h"
#include "persona/mindscape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void name(char out[PK_UUID_TEXT], unsigned kind, unsigned number)
{
    (void)snprintf(out, PK_UUID_TEXT, "%08x-0000-4000-8000-%012x", kind, number);
}

void mind_open(struct mind_bed *bed, const char *policy)
{
    const char *const conflict[] = { policy, NULL };
    bson_t view;
    name(bed->person, 1, 1);
    bed->policies = pk_policies_new(conflict, &bed->err);
    assert_ok(bed->policies != NULL, &bed->err);
    struct pk_doc *empty = pk_mindscape_empty(bed->person, MIND_EPOCH);
    pk_doc_view(empty, &view);
    bed->mind = pk_mind_open(&view, bed->policies);
    pk_doc_unref(empty);
}

void mind_done(struct mind_bed *bed)
{
    pk_mind_free(bed->mind);
    pk_doc_unref(bed->doc);
    pk_policies_free(bed->policies);
}

const char *mind_obs(struct mind_bed *bed, unsigned number)
{
    name(bed->obs, 2, number);
    return bed->obs;
}

void mind_json(bson_t *out, const char *text)
{
    struct pk_error err = { 0 };
    struct pk_buf quoted = { 0 };
    pk_buf_printf(&quoted, "{'a':%s}", text);
    for (size_t i = 0; i < quoted.size; i++) {
        quoted.data[i] = (char)(quoted.data[i] == '\'' ? '"' : quoted.data[i]);
    }
    assert_ok(pk_json_read(out, quoted.data, quoted.size, NULL, &err), &err);
    pk_buf_done(&quoted);
}

/* The array in { a: [...] }. */
static void array_of(const bson_t *wrapped, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    assert_true(bson_iter_init_find(&iter, wrapped, "a") && BSON_ITER_HOLDS_ARRAY(&iter));
    bson_iter_array(&iter, &size, &data);
    assert_true(bson_init_static(out, data, size));
}

static void begin(struct mind_bed *bed, unsigned number, const char *type, int64_t after_ms)
{
    char obs[PK_UUID_TEXT];
    name(obs, 2, number);
    (void)pk_mind_begin(bed->mind,
                        &(struct pk_evidence){ .obs_id = obs,
                                               .source_type = type,
                                               .effective_at_ms = MIND_EPOCH + after_ms });
}

static bool apply(struct mind_bed *bed, const char *processor, const char *operations)
{
    const struct pk_ran ran = { .processor_id = processor, .processor_version = "1.0.0" };
    bson_t wrapped, array;
    mind_json(&wrapped, operations);
    array_of(&wrapped, &array);
    const bool is_ok = pk_mind_apply(bed->mind, &ran, &array, &bed->err);
    bson_destroy(&wrapped);
    return is_ok;
}

void mind_observe(struct mind_bed *bed, unsigned number, const char *type, int64_t after_ms,
                  const char *processor, const char *operations)
{
    begin(bed, number, type, after_ms);
    assert_ok(apply(bed, processor, operations), &bed->err);
    pk_mind_end(bed->mind);
    (void)mind_doc(bed);
}

void mind_refuse(struct mind_bed *bed, const char *processor, const char *operations,
                 const char *words)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = pk_doc_ref(mind_doc(bed));
    begin(bed, 999, "chat_log", 0);
    assert_false(apply(bed, processor, operations));
    if (!strstr(bed->err.message, words)) {
        fail_msg("'%s' does not say '%s'", bed->err.message, words);
    }
    pk_mind_undo(bed->mind);
    struct pk_doc *after = mind_doc(bed);
    assert_int_equal(pk_doc_size(before), pk_doc_size(after));
    assert_memory_equal(pk_doc_data(before), pk_doc_data(after), pk_doc_size(before));
}

struct pk_doc *mind_doc(struct mind_bed *bed)
{
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    bson_t document;
    assert_ok(pk_mind_document(bed->mind, 7, &document, &bed->err), &bed->err);
    const struct pk_collection *mindscapes =
        pk_inventory_find(pk_inventory_builtin(), "mindscapes");
    if (!pk_schema_check(mindscapes->schema, &document, &faults)) {
        (void)pk_faults_fail(&faults, &bed->err);
        fail_msg("%s", bed->err.message);
    }
    pk_doc_unref(bed->doc);
    bed->doc = pk_doc_take(&document);
    return bed->doc;
}

void mind_again(struct mind_bed *bed)
{
    bson_t view;
    pk_doc_view(mind_doc(bed), &view);
    struct pk_mind *next = pk_mind_open(&view, bed->policies);
    pk_mind_free(bed->mind);
    bed->mind = next;
}

const char *mind_text_at(struct mind_bed *bed, const char *path)
{
    const char *text = pk_doc_text(mind_doc(bed), path);
    return text ? text : "";
}

double mind_number_at(struct mind_bed *bed, const char *path)
{
    return pk_doc_number(mind_doc(bed), path, -1);
}

bool mind_has(struct mind_bed *bed, const char *path)
{
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(mind_doc(bed), &view);
    return pk_path_find(&view, path, &iter);
}

void mind_expect_near(double a, double b, const char *file, int line)
{
    if (!(fabs(a - b) <= 1e-9 * fmax(1, fmax(fabs(a), fabs(b))))) {
        fail_msg("%s:%d: %.17g is not %.17g", file, line, a, b);
    }
}
