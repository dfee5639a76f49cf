/* sqlite_count.c - Counts: from a document to one with larger numbers, later dates, other texts.
 *
 * A function of its input, so that it can be tested alone. A path that leads
 * nowhere is made: objects on the way, and at its end the amount itself. What
 * is there and is no number (no date, no object on the way) is refused; a text
 * takes the place of anything. */
/* SPDX-License-Identifier: MIT */
#include "store/sqlite_internal.h"

#include <string.h>

/* One count, seen from some depth of the document. */
struct step {
    const struct pk_count *count;
    const char *rest; /* Of its path, from here. */
};

static bool refuse(const struct step *step, const char *what, struct pk_error *err)
{
    return pk_fail(err, PK_INVALID, "count numbers, raise dates and set texts only", "'%s' %s",
                   step->count->path, what);
}

static bool append_new(bson_t *out, const char *key, int length, const struct pk_count *count)
{
    if (count->text) {
        return bson_append_utf8(out, key, length, count->text, -1);
    }
    return count->is_date ? bson_append_date_time(out, key, length, count->amount)
                          : bson_append_int64(out, key, length, count->amount);
}

/* The value itself, changed. */
static bool append_changed(bson_t *out, const bson_iter_t *iter, const struct step *step,
                           struct pk_error *err)
{
    const struct pk_count *count = step->count;
    const char *key = bson_iter_key(iter);
    const bson_type_t type = bson_iter_type(iter);
    int64_t sum;

    if (type == BSON_TYPE_NULL || count->text) {
        return append_new(out, key, -1, count);
    }
    if (count->is_date) {
        if (type != BSON_TYPE_DATE_TIME) {
            return refuse(step, "is not a date", err);
        }
        const int64_t old = bson_iter_date_time(iter);
        return bson_append_date_time(out, key, -1, old > count->amount ? old : count->amount);
    }
    if (type == BSON_TYPE_DOUBLE) {
        return bson_append_double(out, key, -1, bson_iter_double(iter) + (double)count->amount);
    }
    if (type != BSON_TYPE_INT32 && type != BSON_TYPE_INT64) {
        return refuse(step, "is not a number", err);
    }
    if (__builtin_add_overflow(bson_iter_as_int64(iter), count->amount, &sum)) {
        return refuse(step, "would be larger than a number can be", err);
    }
    return bson_append_int64(out, key, -1, sum);
}

static size_t head_length(const char *path)
{
    return strcspn(path, ".");
}

static bool append_missing(bson_t *out, const struct step *step)
{
    const size_t length = head_length(step->rest);
    bson_t child;
    if (!step->rest[length]) {
        return append_new(out, step->rest, (int)length, step->count);
    }
    const struct step below = { .count = step->count, .rest = step->rest + length + 1 };
    return bson_append_document_begin(out, step->rest, (int)length, &child) &&
           append_missing(&child, &below) && bson_append_document_end(out, &child);
}

static bool rewrite(bson_iter_t *iter, const struct step *step, bson_t *out, struct pk_error *err);

static bool append_child(bson_t *out, const bson_iter_t *iter, const struct step *step,
                         struct pk_error *err)
{
    bson_iter_t inner;
    bson_t child;
    if (!BSON_ITER_HOLDS_DOCUMENT(iter) || !bson_iter_recurse(iter, &inner)) {
        return refuse(step, "leads through something that is no object", err);
    }
    if (!bson_append_document_begin(out, bson_iter_key(iter), -1, &child)) {
        return refuse(step, "makes the document too large", err);
    }
    const bool ok = rewrite(&inner, step, &child, err);
    return bson_append_document_end(out, &child) && ok;
}

/* Copies an object with one count applied below it. */
static bool rewrite(bson_iter_t *iter, const struct step *step, bson_t *out, struct pk_error *err)
{
    const size_t length = head_length(step->rest);
    const bool is_last = !step->rest[length];
    const struct step below = { .count = step->count, .rest = step->rest + length + 1 };
    bool is_found = false;

    while (bson_iter_next(iter)) {
        const char *key = bson_iter_key(iter);
        if (strlen(key) != length || memcmp(key, step->rest, length) != 0) {
            if (!bson_append_iter(out, key, -1, iter)) {
                return refuse(step, "makes the document too large", err);
            }
            continue;
        }
        is_found = true;
        if (is_last ? !append_changed(out, iter, step, err)
                    : !append_child(out, iter, &below, err)) {
            return false;
        }
    }
    return is_found || append_missing(out, step);
}

bool pk_sql_count(const bson_t *doc, const struct pk_count *count, size_t count_count, bson_t *out,
                  struct pk_error *err)
{
    bson_copy_to(doc, out);
    for (size_t i = 0; i < count_count; i++) {
        const struct step step = { .count = &count[i], .rest = count[i].path };
        bson_t next = BSON_INITIALIZER;
        bson_iter_t iter;

        const bool ok = bson_iter_init(&iter, out) && rewrite(&iter, &step, &next, err);
        bson_destroy(out);
        if (!ok) {
            bson_destroy(&next);
            return false;
        }
        if (!bson_steal(out, &next)) {
            return pk_fail(err, PK_INTERNAL, NULL, "a counted document could not be kept");
        }
    }
    return true;
}
