/* doc.c - A document: immutable BSON, shared by counting references.
 *
 * One allocation: a small header and the BSON bytes behind it. Where '_id'
 * lies is looked up once, when the document is made, for it is asked for all
 * the time. Nothing changes afterwards but the count.
 *
 * pk_doc_same compares without regard to the order of fields, since an engine
 * or a converter may keep another order than ours. Fields in the same order
 * (the usual case) are compared pair by pair; the first difference of names
 * makes it sort both sides.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/doc.h"

#include "base/alloc.h"
#include "doc/path.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pk_doc {
    _Atomic uint32_t refs; /* Who holds it; it is freed at 0. */
    uint32_t size;         /* Bytes of 'data'. */
    uint32_t id_at;        /* Offset of the text of '_id'; 0: none. */
    int64_t version;       /* The store's; 0: not from a store. */
    uint8_t data[];        /* The BSON. */
};

static uint32_t find_id(const bson_t *view)
{
    bson_iter_t iter;
    uint32_t length;
    if (!bson_iter_init_find_w_len(&iter, view, "_id", 3) || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return 0;
    }
    const char *text = bson_iter_utf8(&iter, &length);
    return (uint32_t)((const uint8_t *)text - bson_get_data(view));
}

/* Room for 'size' bytes, which the caller fills before publish(). */
static struct pk_doc *make(size_t size, int64_t version)
{
    struct pk_doc *doc = pk_alloc(sizeof(*doc) + size);
    atomic_init(&doc->refs, 1);
    doc->size = (uint32_t)size;
    doc->id_at = 0;
    doc->version = version;
    return doc;
}

struct pk_doc *pk_doc_new_versioned(const bson_t *bson, int64_t version)
{
    struct pk_doc *doc = make(bson->len, version);
    bson_t view;

    memcpy(doc->data, bson_get_data(bson), bson->len);
    pk_doc_view(doc, &view);
    doc->id_at = find_id(&view);
    return doc;
}

struct pk_doc *pk_doc_new(const bson_t *bson)
{
    return pk_doc_new_versioned(bson, 0);
}

struct pk_doc *pk_doc_take(bson_t *bson)
{
    struct pk_doc *doc = pk_doc_new(bson);
    bson_destroy(bson);
    return doc;
}

struct pk_doc *pk_doc_ref(struct pk_doc *doc)
{
    atomic_fetch_add_explicit(&doc->refs, 1, memory_order_relaxed);
    return doc;
}

void pk_doc_unref(struct pk_doc *doc)
{
    if (doc && atomic_fetch_sub_explicit(&doc->refs, 1, memory_order_acq_rel) == 1) {
        pk_free(doc);
    }
}

void pk_doc_unrefp(struct pk_doc **doc)
{
    pk_doc_unref(*doc);
    *doc = NULL;
}

void pk_doc_view(const struct pk_doc *doc, bson_t *out_view)
{
    bool is_ok = bson_init_static(out_view, doc->data, doc->size);
    assert(is_ok);
    (void)is_ok;
}

const uint8_t *pk_doc_data(const struct pk_doc *doc)
{
    return doc->data;
}

size_t pk_doc_size(const struct pk_doc *doc)
{
    return doc->size;
}

const char *pk_doc_id(const struct pk_doc *doc)
{
    return doc->id_at ? (const char *)doc->data + doc->id_at : NULL;
}

int64_t pk_doc_version(const struct pk_doc *doc)
{
    return doc->version;
}

/* ---- Comparing ---- */

/* One field of an object that is being compared. (No bson_iter_t: those want an alignment of 128,
 * which memory from the heap does not have.) */
struct part {
    const char *key;
    uint32_t key_length;
    uint32_t at; /* Offset in the object. */
};

static bool same_object(bson_iter_t *a, bson_iter_t *b, bool is_array);

static bool same_value(const bson_iter_t *a, const bson_iter_t *b)
{
    bson_type_t type = bson_iter_type(a);
    if (type != bson_iter_type(b)) {
        return false;
    }
    if (type == BSON_TYPE_DOCUMENT || type == BSON_TYPE_ARRAY) {
        bson_iter_t in_a, in_b;
        return bson_iter_recurse(a, &in_a) && bson_iter_recurse(b, &in_b) && in_a.len == in_b.len &&
               same_object(&in_a, &in_b, type == BSON_TYPE_ARRAY);
    }
    /* A value lies from d1 (first byte behind the key) to next_off. */
    size_t size = a->next_off - a->d1;
    return size == b->next_off - b->d1 && memcmp(a->raw + a->d1, b->raw + b->d1, size) == 0;
}

/* By key; equal keys (BSON allows them) by their place. */
static int compare_parts(const void *left, const void *right)
{
    const struct part *a = left;
    const struct part *b = right;
    int order = strcmp(a->key, b->key);
    return order ? order : a->at < b->at ? -1 : 1;
}

static size_t collect(bson_iter_t from, struct part **out)
{
    size_t count = 0;
    size_t capacity = 0;
    struct part *part = NULL;
    while (bson_iter_next(&from)) {
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            part = pk_realloc(part, capacity * sizeof(*part));
        }
        part[count++] = (struct part){
            .key = bson_iter_key(&from),
            .key_length = bson_iter_key_len(&from),
            .at = bson_iter_offset(&from),
        };
    }
    if (count > 1) {
        qsort(part, count, sizeof(*part), compare_parts);
    }
    *out = part;
    return count;
}

static bool same_part(const bson_iter_t *a, const struct part *part_a, const bson_iter_t *b,
                      const struct part *part_b)
{
    bson_iter_t value_a, value_b;
    return strcmp(part_a->key, part_b->key) == 0 &&
           bson_iter_init_from_data_at_offset(&value_a, a->raw, a->len, part_a->at,
                                              part_a->key_length) &&
           bson_iter_init_from_data_at_offset(&value_b, b->raw, b->len, part_b->at,
                                              part_b->key_length) &&
           same_value(&value_a, &value_b);
}

static bool same_sorted(const bson_iter_t *a, const bson_iter_t *b)
{
    PK_CLEANUP(pk_freep) struct part *part_a = NULL;
    PK_CLEANUP(pk_freep) struct part *part_b = NULL;
    size_t count = collect(*a, &part_a);

    if (collect(*b, &part_b) != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!same_part(a, &part_a[i], b, &part_b[i])) {
            return false;
        }
    }
    return true;
}

/* Both iterators stand before the first field. */
static bool same_object(bson_iter_t *a, bson_iter_t *b, bool is_array)
{
    for (;;) {
        /* From here the rest is compared in any order, should the names part. */
        bson_iter_t rest_a = *a;
        bson_iter_t rest_b = *b;
        bool has_a = bson_iter_next(a);
        bool has_b = bson_iter_next(b);
        if (!has_a || !has_b) {
            return has_a == has_b;
        }
        if (strcmp(bson_iter_key(a), bson_iter_key(b)) != 0) {
            return !is_array && same_sorted(&rest_a, &rest_b);
        }
        if (!same_value(a, b)) {
            return false;
        }
    }
}

bool pk_doc_same(const struct pk_doc *a, const struct pk_doc *b)
{
    if (a->size != b->size) {
        return false;
    }
    if (a == b || memcmp(a->data, b->data, a->size) == 0) {
        return true;
    }
    bson_t view_a, view_b;
    bson_iter_t iter_a, iter_b;
    pk_doc_view(a, &view_a);
    pk_doc_view(b, &view_b);
    return bson_iter_init(&iter_a, &view_a) && bson_iter_init(&iter_b, &view_b) &&
           same_object(&iter_a, &iter_b, false);
}

/* ---- Reading ---- */

static bool find(const struct pk_doc *doc, const char *path, bson_iter_t *out)
{
    bson_t view;
    pk_doc_view(doc, &view);
    return pk_path_find(&view, path, out);
}

const char *pk_doc_text(const struct pk_doc *doc, const char *path)
{
    bson_iter_t iter;
    if (!find(doc, path, &iter) || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return NULL;
    }
    return bson_iter_utf8(&iter, NULL);
}

int64_t pk_doc_int(const struct pk_doc *doc, const char *path, int64_t fallback)
{
    bson_iter_t iter;
    if (!find(doc, path, &iter) || !BSON_ITER_HOLDS_INT(&iter)) {
        return fallback;
    }
    return bson_iter_as_int64(&iter);
}

double pk_doc_number(const struct pk_doc *doc, const char *path, double fallback)
{
    bson_iter_t iter;
    if (!find(doc, path, &iter)) {
        return fallback;
    }
    if (BSON_ITER_HOLDS_DOUBLE(&iter)) {
        return bson_iter_double(&iter);
    }
    return BSON_ITER_HOLDS_INT(&iter) ? (double)bson_iter_as_int64(&iter) : fallback;
}

bool pk_doc_bool(const struct pk_doc *doc, const char *path, bool fallback)
{
    bson_iter_t iter;
    if (!find(doc, path, &iter) || !BSON_ITER_HOLDS_BOOL(&iter)) {
        return fallback;
    }
    return bson_iter_bool(&iter);
}

int64_t pk_doc_date(const struct pk_doc *doc, const char *path, int64_t fallback_ms)
{
    bson_iter_t iter;
    if (!find(doc, path, &iter) || !BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        return fallback_ms;
    }
    return bson_iter_date_time(&iter);
}
