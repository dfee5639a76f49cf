/* trial_given.c - A mindscape that came with a request, as if it were stored.
 *
 * It is spelt as HTTP shows one, so what was read there can be sent back: a
 * confidence is what it is worth now, and decays from there. What is left out
 * is filled in as for somebody of whom nothing else is known. It is nobody's:
 * nothing is joined to it.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/trial_internal.h"

#include "doc/doc.h"
#include "persona/trait.h"

#include <string.h>

static const char *key_of(uint32_t at, char room[16])
{
    const char *key = NULL;
    (void)bson_uint32_to_string(at, &key, room, 16);
    return key;
}

/* ---- Traits ---- */

/* Fields that mean the same in both spellings; 'sources' are not a script's business. */
static void copy_fields(const bson_t *given, bson_t *out)
{
    static const char *const same[] = { "value",    "validFrom",   "pinned",     "metadata",
                                        "links",    "sourceCount", "sourceType", "category",
                                        "dataType", "volatility",  "updatedAt" };
    bson_iter_t iter;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        if (bson_iter_init_find(&iter, given, same[i])) {
            (void)bson_append_iter(out, same[i], -1, &iter);
        }
    }
}

static void fill_in(const bson_t *given, const char *path, int64_t now_ms, bson_t *out)
{
    static const bson_t none = BSON_INITIALIZER;
    bson_iter_t value;
    if (!bson_has_field(given, "category")) {
        (void)bson_append_utf8(out, "category", -1, path, (int)strcspn(path, "."));
    }
    if (!bson_has_field(given, "dataType") && bson_iter_init_find(&value, given, "value")) {
        BSON_APPEND_UTF8(out, "dataType", pk_trait_data_type(&value));
    }
    if (!bson_has_field(given, "volatility")) {
        BSON_APPEND_UTF8(out, "volatility", "medium");
    }
    if (!bson_has_field(given, "updatedAt")) {
        BSON_APPEND_DATE_TIME(out, "updatedAt", now_ms);
    }
    BSON_APPEND_ARRAY(out, "sources", &none);
}

/* What has been stored if 'now' is left of it: at most certainty. */
static double undecayed(const struct pk_policies *policies, const bson_t *trait, double now,
                        int64_t now_ms)
{
    bson_t sure;
    bson_copy_to(trait, &sure);
    BSON_APPEND_DOUBLE(&sure, "confidence", 1);
    const double share = pk_trait_confidence(policies, &sure, now_ms);
    bson_destroy(&sure);
    return share > now ? now / share : 1;
}

static void add_trait(const struct pk_domain *domain, const bson_t *given, int64_t now_ms,
                      bson_t *out)
{
    bson_iter_t iter;
    const char *path = half_text(given, "traitName");
    const double now =
        bson_iter_init_find(&iter, given, "confidence") ? bson_iter_as_double(&iter) : 1;
    BSON_APPEND_UTF8(out, "id", path);
    copy_fields(given, out);
    fill_in(given, path, now_ms, out);
    const double stored = undecayed(domain->policies, out, now, now_ms);
    BSON_APPEND_DOUBLE(out, "confidence", stored);
}

static void add_traits(const struct pk_domain *domain, const bson_t *given, int64_t now_ms,
                       bson_t *out)
{
    bson_iter_t item;
    bson_t list, traits, one, made;
    char room[16];
    uint32_t at = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "traits", &traits);
    if (half_find(given, "traitMatrix", BSON_TYPE_ARRAY, &list) && bson_iter_init(&item, &list)) {
        while (bson_iter_next(&item)) {
            const uint8_t *data;
            uint32_t size;
            bson_iter_document(&item, &size, &data);
            if (bson_init_static(&one, data, size)) {
                const char *key = key_of(at++, room);
                BSON_APPEND_DOCUMENT_BEGIN(&traits, key, &made);
                add_trait(domain, &one, now_ms, &made);
                bson_append_document_end(&traits, &made);
            }
        }
    }
    bson_append_array_end(out, &traits);
}

/* ---- The rest ---- */

/* The field itself, or an empty one of its type. */
static void add_field(const bson_t *given, const char *name, bson_type_t type, bson_t *out)
{
    static const bson_t none = BSON_INITIALIZER;
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, given, name) && bson_iter_type(&iter) == type) {
        (void)bson_append_iter(out, name, -1, &iter);
    } else if (type == BSON_TYPE_ARRAY) {
        BSON_APPEND_ARRAY(out, name, &none);
    } else {
        BSON_APPEND_DOCUMENT(out, name, &none);
    }
}

static void add_narrative(const bson_t *given, int64_t now_ms, bson_t *out)
{
    static const bson_t none = BSON_INITIALIZER;
    bson_t child;
    if (bson_has_field(given, "narrative")) {
        add_field(given, "narrative", BSON_TYPE_DOCUMENT, out);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "narrative", &child);
    BSON_APPEND_UTF8(&child, "summary", "");
    BSON_APPEND_ARRAY(&child, "keyThemes", &none);
    BSON_APPEND_DATE_TIME(&child, "lastUpdated", now_ms);
    bson_append_document_end(out, &child);
}

struct pk_doc *trial_given(const struct pk_domain *domain, const bson_t *given, int64_t now_ms)
{
    static const bson_t none = BSON_INITIALIZER;
    bson_iter_t iter;
    bson_t *out = bson_new();
    BSON_APPEND_UTF8(out, "_id", "00000000-0000-4000-8000-000000000000");
    BSON_APPEND_INT64(out, "version",
                      bson_iter_init_find(&iter, given, "version") ? bson_iter_as_int64(&iter) : 0);
    BSON_APPEND_DATE_TIME(out, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(out, "lastUpdated", now_ms);
    add_narrative(given, now_ms, out);
    add_field(given, "goals", BSON_TYPE_ARRAY, out);
    add_field(given, "beliefs", BSON_TYPE_ARRAY, out);
    add_traits(domain, given, now_ms, out);
    add_field(given, "highVolatileCache", BSON_TYPE_DOCUMENT, out);
    add_field(given, "highVolatileUntil", BSON_TYPE_DOCUMENT, out);
    BSON_APPEND_ARRAY(out, "versions", &none);
    BSON_APPEND_INT64(out, "floor", 0);
    return pk_doc_take(out);
}
