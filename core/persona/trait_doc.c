/* trait_doc.c - A trait between its document and its parts.
 *
 * What is written is canonical: the same parts give the same bytes. Sources
 * stand by weight, then by id; alternatives by confidence, then in the order
 * in which they came. */
/* SPDX-License-Identifier: MIT */
#include "persona/trait_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "doc/peek.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char alternatives_key[] = "alternatives";

/* ---- Values ---- */

bool trait_number(const bson_iter_t *value, double *out)
{
    if (BSON_ITER_HOLDS_DOUBLE(value) || BSON_ITER_HOLDS_INT(value)) {
        *out = bson_iter_as_double(value);
        return true;
    }
    return false;
}

static struct pk_doc *alone(const bson_iter_t *value)
{
    bson_t *bson = bson_new();
    (void)bson_append_iter(bson, "v", 1, value);
    return pk_doc_take(bson);
}

bool pk_trait_same_value(const bson_iter_t *a, const bson_iter_t *b)
{
    double x = 0, y = 0;
    if (BSON_ITER_HOLDS_INT(a) && BSON_ITER_HOLDS_INT(b)) {
        return bson_iter_as_int64(a) == bson_iter_as_int64(b);
    }
    if (trait_number(a, &x) && trait_number(b, &y)) {
        return x == y;
    }
    if (bson_iter_type(a) != bson_iter_type(b)) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *left = alone(a);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *right = alone(b);
    return pk_doc_same(left, right);
}

const char *pk_trait_data_type(const bson_iter_t *value)
{
    double number = 0;
    if (trait_number(value, &number)) {
        return "numeric";
    }
    return BSON_ITER_HOLDS_UTF8(value) || BSON_ITER_HOLDS_BOOL(value) ? "categorical" : "complex";
}

void trait_move(struct trait *trait, bson_iter_t *value, double number)
{
    static const double round_below = 1e9; /* Beyond it six decimals mean nothing. */
    const double said = fabs(number) < round_below ? round(number * 1e6) / 1e6 : number;
    BSON_APPEND_DOUBLE(&trait->moved, "v", said);
    const bool is_there = bson_iter_init_find(value, &trait->moved, "v");
    assert(is_there);
    (void)is_there;
}

/* ---- Reading ---- */

static const char *text_of(const bson_iter_t *iter, const char *fallback)
{
    return BSON_ITER_HOLDS_UTF8(iter) ? bson_iter_utf8(iter, NULL) : fallback;
}

static void copy_id(char out[PK_UUID_TEXT], const char *id)
{
    const size_t length = strlen(id);
    memcpy(out, id, length < PK_UUID_TEXT ? length + 1 : PK_UUID_TEXT);
    out[PK_UUID_TEXT - 1] = '\0';
}

static void read_sources(struct trait *trait, const bson_iter_t *list)
{
    bson_iter_t item, field;
    if (!BSON_ITER_HOLDS_ARRAY(list) || !bson_iter_recurse(list, &item)) {
        return;
    }
    while (bson_iter_next(&item) && trait->source_count < PK_TRAIT_SOURCES) {
        struct trait_source *source = &trait->source[trait->source_count];
        if (!BSON_ITER_HOLDS_DOCUMENT(&item) || !bson_iter_recurse(&item, &field)) {
            continue;
        }
        *source = (struct trait_source){ .obs = "" };
        while (bson_iter_next(&field)) {
            if (strcmp(bson_iter_key(&field), "obsId") == 0) {
                copy_id(source->obs, text_of(&field, ""));
            } else if (strcmp(bson_iter_key(&field), "weight") == 0) {
                source->weight = bson_iter_as_double(&field);
            }
        }
        trait->source_count++;
    }
}

static void read_alternative(struct trait *trait, const bson_iter_t *item)
{
    struct trait_alternative *alternative = &trait->alternative[trait->alternative_count];
    bson_iter_t field;
    bool has_value = false;

    if (!BSON_ITER_HOLDS_DOCUMENT(item) || !bson_iter_recurse(item, &field)) {
        return;
    }
    while (bson_iter_next(&field)) {
        const char *key = bson_iter_key(&field);
        if (strcmp(key, "value") == 0) {
            alternative->value = field;
            has_value = true;
        } else if (strcmp(key, "confidence") == 0) {
            alternative->confidence = bson_iter_as_double(&field);
        } else if (strcmp(key, "updatedAt") == 0 && BSON_ITER_HOLDS_DATE_TIME(&field)) {
            alternative->updated_ms = bson_iter_date_time(&field);
        } else if (strcmp(key, "obsId") == 0) {
            copy_id(alternative->obs, text_of(&field, ""));
        }
    }
    trait->alternative_count += has_value;
}

static void read_metadata(struct trait *trait, const bson_iter_t *object)
{
    bson_iter_t field, item;
    if (!BSON_ITER_HOLDS_DOCUMENT(object) || !bson_iter_recurse(object, &field)) {
        return;
    }
    while (bson_iter_next(&field)) {
        if (strcmp(bson_iter_key(&field), alternatives_key) != 0) {
            (void)bson_append_iter(&trait->metadata, NULL, 0, &field);
        } else if (BSON_ITER_HOLDS_ARRAY(&field) && bson_iter_recurse(&field, &item)) {
            while (bson_iter_next(&item) && trait->alternative_count < PK_TRAIT_ALTERNATIVES) {
                read_alternative(trait, &item);
            }
        }
    }
}

static void read_field(struct trait *trait, const char *key, const bson_iter_t *field)
{
    if (strcmp(key, "id") == 0) {
        trait->path = text_of(field, "");
    } else if (strcmp(key, "category") == 0) {
        trait->category = text_of(field, "");
    } else if (strcmp(key, "value") == 0) {
        trait->value = *field;
    } else if (strcmp(key, "volatility") == 0) {
        trait->volatility = text_of(field, "medium");
    } else if (strcmp(key, "confidence") == 0) {
        trait->confidence = bson_iter_as_double(field);
    } else if (strcmp(key, "updatedAt") == 0 && BSON_ITER_HOLDS_DATE_TIME(field)) {
        trait->updated_ms = bson_iter_date_time(field);
    } else if (strcmp(key, "validFrom") == 0 && BSON_ITER_HOLDS_DATE_TIME(field)) {
        trait->has_valid_from = true;
        trait->valid_from_ms = bson_iter_date_time(field);
    } else if (strcmp(key, "sources") == 0) {
        read_sources(trait, field);
    } else if (strcmp(key, "sourceCount") == 0) {
        trait->counted = bson_iter_as_int64(field);
    } else if (strcmp(key, "sourceType") == 0) {
        trait->source_type = text_of(field, NULL);
    } else if (strcmp(key, "links") == 0 && BSON_ITER_HOLDS_ARRAY(field)) {
        trait->has_links = true;
        trait->links = *field;
    } else if (strcmp(key, "pinned") == 0) {
        trait->is_pinned = bson_iter_as_bool(field);
    } else if (strcmp(key, "metadata") == 0) {
        read_metadata(trait, field);
    }
}

void trait_init(struct trait *trait)
{
    memset(trait, 0, sizeof(*trait));
    trait->path = "";
    trait->category = "";
    trait->volatility = "medium";
    bson_init(&trait->moved);
    bson_init(&trait->metadata);
}

void trait_read(const bson_t *doc, struct trait *out)
{
    bson_iter_t field;
    trait_init(out);
    if (bson_iter_init(&field, doc)) {
        while (bson_iter_next(&field)) {
            read_field(out, bson_iter_key(&field), &field);
        }
    }
    if (out->counted < (int64_t)out->source_count) {
        out->counted = (int64_t)out->source_count;
    }
}

void trait_done(struct trait *trait)
{
    bson_destroy(&trait->moved);
    bson_destroy(&trait->metadata);
}

/* ---- Sources and alternatives ---- */

static bool is_before(const struct trait_source *a, const struct trait_source *b)
{
    return a->weight != b->weight ? a->weight > b->weight : strcmp(a->obs, b->obs) < 0;
}

void trait_add_source(struct trait *trait, const char *obs, double weight, bool is_more)
{
    size_t at = 0;
    while (at < trait->source_count && strcmp(trait->source[at].obs, obs) != 0) {
        at++;
    }
    if (at == trait->source_count) {
        trait->counted += !is_more;
        copy_id(trait->source[at].obs, obs);
        trait->source[at].weight = weight;
        trait->source_count++; /* There is room for one more than are kept. */
    } else if (weight > trait->source[at].weight) {
        trait->source[at].weight = weight;
    }
    for (; at > 0 && is_before(&trait->source[at], &trait->source[at - 1]); at--) {
        const struct trait_source moved = trait->source[at];
        trait->source[at] = trait->source[at - 1];
        trait->source[at - 1] = moved;
    }
    if (trait->source_count > PK_TRAIT_SOURCES) {
        trait->source_count = PK_TRAIT_SOURCES;
    }
}

void trait_sort_alternatives(struct trait *trait)
{
    struct trait_alternative *all = trait->alternative;
    for (size_t i = 1; i < trait->alternative_count; i++) {
        const struct trait_alternative moved = all[i];
        size_t at = i;
        for (; at > 0 && moved.confidence > all[at - 1].confidence; at--) {
            all[at] = all[at - 1];
        }
        all[at] = moved;
    }
    if (trait->alternative_count > PK_TRAIT_ALTERNATIVES) {
        trait->alternative_count = PK_TRAIT_ALTERNATIVES;
    }
}

/* ---- Writing ---- */

static void write_sources(const struct trait *trait, bson_t *out)
{
    bson_t list, item;
    char room[16];
    BSON_APPEND_ARRAY_BEGIN(out, "sources", &list);
    for (size_t i = 0; i < trait->source_count; i++) {
        BSON_APPEND_DOCUMENT_BEGIN(&list, pk_array_key(i, room), &item);
        BSON_APPEND_UTF8(&item, "obsId", trait->source[i].obs);
        BSON_APPEND_DOUBLE(&item, "weight", trait->source[i].weight);
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(out, &list);
    BSON_APPEND_INT64(out, "sourceCount", trait->counted);
}

static void write_alternatives(const struct trait *trait, bson_t *out)
{
    bson_t list, item;
    char room[16];
    BSON_APPEND_ARRAY_BEGIN(out, alternatives_key, &list);
    for (size_t i = 0; i < trait->alternative_count; i++) {
        const struct trait_alternative *each = &trait->alternative[i];
        BSON_APPEND_DOCUMENT_BEGIN(&list, pk_array_key(i, room), &item);
        (void)bson_append_iter(&item, "value", -1, &each->value);
        BSON_APPEND_DOUBLE(&item, "confidence", each->confidence);
        BSON_APPEND_DATE_TIME(&item, "updatedAt", each->updated_ms);
        BSON_APPEND_UTF8(&item, "obsId", each->obs);
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(out, &list);
}

static void write_metadata(const struct trait *trait, bson_t *out)
{
    bson_t object;
    if (bson_count_keys(&trait->metadata) == 0 && trait->alternative_count == 0) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "metadata", &object);
    (void)bson_concat(&object, &trait->metadata);
    if (trait->alternative_count > 0) {
        write_alternatives(trait, &object);
    }
    bson_append_document_end(out, &object);
}

void trait_write(const struct trait *trait, bson_t *out)
{
    bson_init(out);
    BSON_APPEND_UTF8(out, "id", trait->path);
    BSON_APPEND_UTF8(out, "category", trait->category);
    (void)bson_append_iter(out, "value", -1, &trait->value);
    BSON_APPEND_UTF8(out, "dataType", pk_trait_data_type(&trait->value));
    BSON_APPEND_UTF8(out, "volatility", trait->volatility);
    BSON_APPEND_DOUBLE(out, "confidence", trait->confidence);
    BSON_APPEND_DATE_TIME(out, "updatedAt", trait->updated_ms);
    if (trait->has_valid_from) {
        BSON_APPEND_DATE_TIME(out, "validFrom", trait->valid_from_ms);
    }
    write_sources(trait, out);
    if (trait->source_type) {
        BSON_APPEND_UTF8(out, "sourceType", trait->source_type);
    }
    if (trait->has_links) {
        (void)bson_append_iter(out, "links", -1, &trait->links);
    }
    if (trait->is_pinned) {
        BSON_APPEND_BOOL(out, "pinned", true);
    }
    write_metadata(trait, out);
}

/* ---- Links ---- */

bool pk_trait_link(const bson_t *held, const char *narrative, const char *link_type, bson_t *out)
{
    enum { LINKS_MAX = 32 };
    bson_iter_t field, item, id;
    char room[16];
    size_t count = 0, at = 0;
    bson_t links = BSON_INITIALIZER;
    bson_t link = BSON_INITIALIZER;
    bool is_new = true;

    const bool has_some = bson_iter_init_find(&field, held, "links") &&
                          BSON_ITER_HOLDS_ARRAY(&field) && bson_iter_recurse(&field, &item);
    while (has_some && bson_iter_next(&item)) {
        count++;
        if (BSON_ITER_HOLDS_DOCUMENT(&item) && bson_iter_recurse(&item, &id) &&
            bson_iter_find(&id, "narrativeId") && BSON_ITER_HOLDS_UTF8(&id)) {
            is_new = is_new && strcmp(bson_iter_utf8(&id, NULL), narrative) != 0;
        }
    }
    if (is_new && has_some && bson_iter_recurse(&field, &item)) {
        for (size_t i = 0; bson_iter_next(&item); i++) {
            if (count - i < LINKS_MAX) { /* The oldest goes. */
                (void)bson_append_iter(&links, pk_array_key(at++, room), -1, &item);
            }
        }
    }
    BSON_APPEND_UTF8(&link, "narrativeId", narrative);
    BSON_APPEND_UTF8(&link, "linkType", link_type);
    BSON_APPEND_DOCUMENT(&links, pk_array_key(at, room), &link);
    bson_t wrapped = BSON_INITIALIZER;
    BSON_APPEND_ARRAY(&wrapped, "links", &links);
    if (is_new) {
        struct trait trait;
        trait_read(held, &trait);
        trait.has_links = bson_iter_init_find(&trait.links, &wrapped, "links");
        trait_write(&trait, out);
        trait_done(&trait);
    }
    bson_destroy(&wrapped);
    bson_destroy(&link);
    bson_destroy(&links);
    return is_new;
}
