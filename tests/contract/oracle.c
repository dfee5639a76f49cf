/* oracle.c - What a query should find, worked out by looking at every document.
 *
 * The plainest means, so that it is right by looking at it: no index, no
 * cleverness, a filter and a sort. It shares no code with the engines. */
/* SPDX-License-Identifier: MIT */
#include "oracle.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/doc.h"
#include "doc/path.h"

#include <stdlib.h>
#include <string.h>

struct pk_value oracle_scalar(const bson_iter_t *iter)
{
    return BSON_ITER_HOLDS_UTF8(iter)        ? PK_TEXT(bson_iter_utf8(iter, NULL))
           : BSON_ITER_HOLDS_INT32(iter)     ? PK_INT(bson_iter_int32(iter))
           : BSON_ITER_HOLDS_INT64(iter)     ? PK_INT(bson_iter_int64(iter))
           : BSON_ITER_HOLDS_DATE_TIME(iter) ? PK_DATE(bson_iter_date_time(iter))
           : BSON_ITER_HOLDS_BOOL(iter)      ? PK_BOOL(bson_iter_bool(iter))
           : BSON_ITER_HOLDS_DOUBLE(iter)    ? PK_DOUBLE(bson_iter_double(iter))
                                             : (struct pk_value){ .type = PK_VALUE_NULL };
}

struct pk_value oracle_value(const struct pk_doc *document, const char *path)
{
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(document, &view);
    if (!pk_path_find(&view, path, &iter)) {
        return (struct pk_value){ .type = PK_VALUE_NULL };
    }
    return oracle_scalar(&iter);
}

bool oracle_holds(const struct pk_index *index, const struct pk_doc *document)
{
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(document, &view);
    if (index->only == PK_ONLY_ALL) {
        return true;
    }
    if (!pk_path_find(&view, index->only_path, &iter) || BSON_ITER_HOLDS_NULL(&iter)) {
        return false;
    }
    return index->only == PK_ONLY_EXISTS ||
           (index->only == PK_ONLY_TRUE && BSON_ITER_HOLDS_BOOL(&iter) && bson_iter_bool(&iter)) ||
           (index->only == PK_ONLY_TEXT && BSON_ITER_HOLDS_UTF8(&iter) &&
            strcmp(bson_iter_utf8(&iter, NULL), index->only_text) == 0);
}

static double real(struct pk_value value)
{
    return value.type == PK_VALUE_DOUBLE ? value.real : (double)value.number;
}

/* Absent comes before everything. Types are never mixed, but for numbers. */
static int compare_values(struct pk_value a, struct pk_value b)
{
    if (a.type == PK_VALUE_NULL || b.type == PK_VALUE_NULL) {
        return (a.type != PK_VALUE_NULL) - (b.type != PK_VALUE_NULL);
    }
    if (a.type == PK_VALUE_TEXT) {
        return strcmp(a.text, b.text);
    }
    if (a.type == PK_VALUE_DOUBLE || b.type == PK_VALUE_DOUBLE) {
        return (real(a) > real(b)) - (real(a) < real(b));
    }
    return (a.number > b.number) - (a.number < b.number);
}

struct wanted {
    struct pk_value value;
    const char *below;
};

/* Stops, with false, at the value that is wanted. */
static bool is_other(void *context, const char *below, const bson_iter_t *iter)
{
    const struct wanted *wanted = context;
    const struct pk_value value = oracle_scalar(iter);
    return (wanted->below && strcmp(below, wanted->below) != 0) ||
           value.type != wanted->value.type || compare_values(value, wanted->value) != 0;
}

static bool has_equal(const struct pk_doc *document, const struct pk_index_key *key,
                      struct pk_value value, const char *below)
{
    if (!pk_path_is_multi(key->path)) {
        return compare_values(oracle_value(document, key->path), value) == 0;
    }
    struct wanted wanted = { value, below };
    bson_t view;
    pk_doc_view(document, &view);
    return !pk_path_each(&view, key->path, is_other, &wanted);
}

static bool is_within(const struct pk_index *index, const struct pk_query *query,
                      const struct pk_doc *document)
{
    for (size_t i = 0; i < query->equal_count; i++) {
        if (!has_equal(document, &index->key[i], query->equal[i], query->below)) {
            return false;
        }
    }
    if (!query->min.is_set && !query->max.is_set) {
        return true;
    }
    struct pk_value value = oracle_value(document, index->key[query->equal_count].path);
    if (value.type == PK_VALUE_NULL) {
        return false;
    }
    const int low = query->min.is_set ? compare_values(value, query->min.value) : 1;
    const int high = query->max.is_set ? compare_values(value, query->max.value) : -1;
    return (low > 0 || (low == 0 && !query->min.is_exclusive)) &&
           (high < 0 || (high == 0 && !query->max.is_exclusive));
}

struct order {
    const struct pk_index *index;
    bool is_reversed;
};

static int compare_docs(const void *left, const void *right, void *opaque)
{
    const struct pk_doc *a = *(struct pk_doc *const *)left;
    const struct pk_doc *b = *(struct pk_doc *const *)right;
    const struct order *order = opaque;
    int result = 0;
    for (size_t i = 0; result == 0 && i < order->index->key_count; i++) {
        const struct pk_index_key *key = &order->index->key[i];
        if (!pk_path_is_multi(key->path)) { /* That one is the same for all that were found. */
            result = compare_values(oracle_value(a, key->path), oracle_value(b, key->path));
            result = key->is_descending ? -result : result;
        }
    }
    result = result == 0 ? strcmp(pk_doc_id(a), pk_doc_id(b)) : result;
    return order->is_reversed ? -result : result;
}

char *oracle_find(const struct pk_index *index, struct pk_doc *const *all, size_t count,
                  const struct pk_query *query)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf ids = { 0 };
    struct order order = { index, query->is_reversed };
    struct pk_doc **found = pk_calloc(count, sizeof(*found));
    size_t found_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (oracle_holds(index, all[i]) && is_within(index, query, all[i])) {
            found[found_count++] = all[i];
        }
    }
    qsort_r(found, found_count, sizeof(*found), compare_docs, &order);
    for (size_t i = 0; i < found_count; i++) {
        pk_buf_printf(&ids, "%s%s", i ? " " : "", pk_doc_id(found[i]));
    }
    pk_free(found);
    return pk_strdup(pk_buf_text(&ids));
}
