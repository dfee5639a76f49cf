/* fuzz_mind.c - Operations of any shape: all of them are applied, or none, and nothing breaks.
 *
 * The bytes are JSON, or else BSON: an array of operations, or a list of such
 * arrays (one observation each). Whatever comes: what is refused leaves no
 * trace, what is taken leaves a document that fits its schema and reads back
 * as itself, with every confidence in [0, 1].
 *
 * Seeds: corpus/fuzz_mind/. */
/* SPDX-License-Identifier: MIT */
#include "base/crypto.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/schema.h"
#include "persona/mind.h"
#include "persona/mindscape.h"
#include "persona/trait.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PERSON "11111111-1111-4111-8111-111111111111"
enum { OBSERVATIONS_MAX = 16 };

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

/* ---- The mind ---- */

static struct pk_doc *document_of(const struct pk_mind *mind)
{
    bson_t out;
    return pk_mind_document(mind, 1, &out, NULL) ? pk_doc_take(&out) : NULL; /* NULL: too large. */
}

static bool is_same(const struct pk_doc *a, const struct pk_doc *b)
{
    return pk_doc_size(a) == pk_doc_size(b) &&
           memcmp(pk_doc_data(a), pk_doc_data(b), pk_doc_size(a)) == 0;
}

static void check(struct pk_mind *mind, const struct pk_policies *policies)
{
    struct pk_faults faults = { 0 };
    struct pk_doc *doc = document_of(mind);
    bson_t view;
    if (!doc) {
        return;
    }
    pk_doc_view(doc, &view);
    insist(pk_schema_check(pk_inventory_find(pk_inventory_builtin(), "mindscapes")->schema, &view,
                           &faults));
    struct pk_mind *again = pk_mind_open(&view, policies);
    struct pk_doc *same = document_of(again);
    insist(same && is_same(doc, same));
    pk_doc_unref(same);
    pk_mind_free(again);
    pk_doc_unref(doc);
}

static void observe(struct pk_mind *mind, const struct pk_policies *policies,
                    const bson_t *operations, unsigned number)
{
    static const char *const source[] = { "chat_log", "assessment", "curation", "x" };
    const bool is_person = number % 4 == 2;
    const struct pk_ran ran = { .processor_id = is_person ? NULL : "p",
                                .processor_version = is_person ? NULL : "1.0.0" };
    char obs[PK_UUID_TEXT];
    struct pk_doc *before = document_of(mind);

    pk_mind_id(obs, PERSON, "fuzz", "", number);
    (void)pk_mind_begin(
        mind, &(struct pk_evidence){ .obs_id = obs,
                                     .source_type = source[number % 4],
                                     .effective_at_ms = INT64_C(1760000000000) +
                                                        (int64_t)(number * 7 % 5) * 86400000 });
    if (pk_mind_apply(mind, &ran, operations, NULL)) {
        pk_mind_end(mind);
        check(mind, policies);
    } else {
        pk_mind_undo(mind);
        struct pk_doc *after = document_of(mind);
        insist((before == NULL) == (after == NULL) && (!before || is_same(before, after)));
        pk_doc_unref(after);
    }
    pk_doc_unref(before);
}

/* ---- The input ---- */

static bool array_in(const bson_iter_t *value, bson_t *out)
{
    const uint8_t *bytes = NULL;
    uint32_t size = 0;
    if (!BSON_ITER_HOLDS_ARRAY(value)) {
        return false;
    }
    bson_iter_array(value, &size, &bytes);
    return bson_init_static(out, bytes, size);
}

static void run(const bson_t *input)
{
    static const char *const policy[] = { "a=latest", "b.*=keep_all", "c.*=review", NULL };
    struct pk_policies *policies = pk_policies_new(policy, NULL);
    struct pk_doc *empty = pk_mindscape_empty(PERSON, INT64_C(1760000000000));
    bson_t view, operations;
    bson_iter_t item;
    unsigned number = 0;

    insist(policies != NULL);
    pk_doc_view(empty, &view);
    struct pk_mind *mind = pk_mind_open(&view, policies);
    for (bool is_ok = bson_iter_init(&item, input); is_ok && bson_iter_next(&item);) {
        if (number < OBSERVATIONS_MAX && array_in(&item, &operations)) {
            observe(mind, policies, &operations, number++);
        }
    }
    observe(mind, policies, input, number);
    pk_mind_free(mind);
    pk_doc_unref(empty);
    pk_policies_free(policies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bson_t json, view;
    struct pk_doc *parsed = NULL;
    static bool is_ready;

    is_ready = is_ready || pk_crypto_init(NULL);
    insist(is_ready);
    if (pk_json_read(&json, (const char *)data, size, NULL, NULL)) {
        run(&json);
        bson_destroy(&json);
    } else if (pk_doc_parse(&parsed, data, size, NULL)) {
        pk_doc_view(parsed, &view);
        run(&view);
        pk_doc_unref(parsed);
    }
    return 0;
}
