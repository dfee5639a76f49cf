/* path.c - Dot paths into documents.
 *
 * A path is walked segment by segment. Stored keys contain no '.', since the
 * JSON reader escapes it, so a dot always separates. What each segment form
 * does:
 *
 *     name      steps into that field (of an object, or element by number)
 *     name[]    steps into each element; a value that is no array has none
 *     *         every scalar below, through objects and arrays; must be last
 *
 * Below a '*' the path names the fields only: the elements of an array all
 * have the array's own path ("metadata.*" of {tags: ["a", "b"]} gives "a" and
 * "b" both as "tags"), for that is how MongoDB's wildcard indexes see them.
 *
 * Recursion is as deep as the document. */
/* SPDX-License-Identifier: MIT */
#include "doc/path.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <string.h>

static bool is_container(const bson_iter_t *value)
{
    return BSON_ITER_HOLDS_DOCUMENT(value) || BSON_ITER_HOLDS_ARRAY(value);
}

/* Bytes of the value at 'data', of which 'left' are there; -1: look at it with care. */
static int64_t value_size(uint8_t type, const uint8_t *data, size_t left)
{
    uint32_t size;
    switch (type) {
    case BSON_TYPE_NULL:
        return 0;
    case BSON_TYPE_BOOL:
        return 1;
    case BSON_TYPE_INT32:
        return 4;
    case BSON_TYPE_DOUBLE:
    case BSON_TYPE_DATE_TIME:
    case BSON_TYPE_INT64:
        return 8;
    case BSON_TYPE_UTF8:
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        if (left < sizeof(size)) {
            return -1;
        }
        memcpy(&size, data, sizeof(size));
        size = BSON_UINT32_FROM_LE(size);
        return type == BSON_TYPE_UTF8 ? (int64_t)size + 4 : size;
    default:
        return -1;
    }
}

/* Sets 'iter' before the first field of that name, or before one that bson_iter_next must look at:
 * most lookups of an index pass by many fields. */
static void skip_others(bson_iter_t *iter, const char *name, size_t length)
{
    size_t at = iter->next_off;
    while (at + 1 < iter->len) {
        const char *key = (const char *)iter->raw + at + 1;
        const size_t key_size = strnlen(key, iter->len - at - 1);
        const size_t value = at + 1 + key_size + 1;
        if (value >= iter->len || (key_size == length && memcmp(key, name, length) == 0)) {
            break;
        }
        const int64_t size = value_size(iter->raw[at], iter->raw + value, iter->len - value);
        if (size < 0 || value + (size_t)size >= iter->len) {
            break;
        }
        at = value + (size_t)size;
    }
    iter->next_off = (uint32_t)at;
}

/* Moves 'iter' to the field of that name; like bson_iter_find_w_len, less its copies. */
static bool seek(bson_iter_t *iter, const char *name, size_t length)
{
    for (skip_others(iter, name, length); bson_iter_next(iter); skip_others(iter, name, length)) {
        const char *key = bson_iter_key_unsafe(iter);
        if (strncmp(key, name, length) == 0 && key[length] == '\0') {
            return true;
        }
    }
    return false;
}

bool pk_path_find(const bson_t *doc, const char *path, bson_iter_t *out)
{
    bson_iter_t iter;
    if (!bson_iter_init(&iter, doc)) {
        return false;
    }
    for (;;) {
        size_t length = strcspn(path, ".");
        if (!seek(&iter, path, length)) {
            return false;
        }
        if (path[length] == '\0') {
            *out = iter;
            return true;
        }
        bson_iter_t child;
        if (!is_container(&iter) || !bson_iter_recurse(&iter, &child)) {
            return false;
        }
        iter = child;
        path += length + 1;
    }
}

bool pk_path_is_multi(const char *path)
{
    return strpbrk(path, "[*") != NULL;
}

/* Who wants the values. */
struct visit {
    pk_path_each_fn *each;
    void *context;
    struct pk_buf below; /* The path under the '*'. */
};

static void visit_done(struct visit *visit)
{
    pk_buf_done(&visit->below);
}

/* Every scalar in 'inside', which stands before the first field of an object or array. */
static bool visit_all(struct visit *visit, bson_iter_t *inside, bool is_array)
{
    while (bson_iter_next(inside)) {
        size_t length = visit->below.size;
        if (!is_array) {
            if (length) {
                pk_buf_add_char(&visit->below, '.');
            }
            pk_buf_add_text(&visit->below, bson_iter_key_unsafe(inside));
        }
        bool wants_more = true;
        bson_iter_t child;
        if (!is_container(inside)) {
            wants_more = visit->each(visit->context, pk_buf_text(&visit->below), inside);
        } else if (bson_iter_recurse(inside, &child)) {
            wants_more = visit_all(visit, &child, BSON_ITER_HOLDS_ARRAY(inside));
        }
        if (!wants_more) {
            return false;
        }
        if (!is_array) { /* Back to the path of the object we are in. */
            visit->below.size = length;
            visit->below.data[length] = '\0';
        }
    }
    return true;
}

static bool visit_path(struct visit *visit, bson_iter_t *inside, const char *path);

/* 'value' has been reached, 'path' is what remains ("" when that was all). */
static bool visit_value(struct visit *visit, const bson_iter_t *value, const char *path)
{
    bson_iter_t child;
    if (*path == '\0') {
        return is_container(value) || visit->each(visit->context, "", value);
    }
    if (!is_container(value) || !bson_iter_recurse(value, &child)) {
        return true;
    }
    return strcmp(path, "*") == 0 ? visit_all(visit, &child, BSON_ITER_HOLDS_ARRAY(value))
                                  : visit_path(visit, &child, path);
}

/* 'inside' stands before the first field of what 'path' starts from. */
static bool visit_path(struct visit *visit, bson_iter_t *inside, const char *path)
{
    size_t length = strcspn(path, ".[");
    if (!seek(inside, path, length)) {
        return true;
    }
    path += length;
    if (*path != '[') {
        return visit_value(visit, inside, *path == '.' ? path + 1 : path);
    }

    path += 2; /* "[]" */
    path += *path == '.';
    bson_iter_t element;
    if (!BSON_ITER_HOLDS_ARRAY(inside) || !bson_iter_recurse(inside, &element)) {
        return true;
    }
    while (bson_iter_next(&element)) {
        if (!visit_value(visit, &element, path)) {
            return false;
        }
    }
    return true;
}

bool pk_path_each(const bson_t *doc, const char *path, pk_path_each_fn *each, void *context)
{
    PK_CLEANUP(visit_done) struct visit visit = { .each = each, .context = context };
    bson_iter_t iter;
    if (!bson_iter_init(&iter, doc)) {
        return true;
    }
    return strcmp(path, "*") == 0 ? visit_all(&visit, &iter, false)
                                  : visit_path(&visit, &iter, path);
}
