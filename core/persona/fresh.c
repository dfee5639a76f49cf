/* fresh.c - The read set of a half against what has changed since.
 *
 * 'versions' of a mindscape says of each readable thing, removed ones included,
 * when it last changed. Only rows newer than the basis are looked at, and these
 * are few: nearly always the mindscape has the version that was read, and
 * nothing is looked at; else some rows are compared with the read set one by
 * one. Where both are long, the read set is sorted first.
 *
 * A row without a key stands for all of its kind, as a read without one does. */
/* SPDX-License-Identifier: MIT */
#include "persona/fresh.h"

#include "access/principal.h"
#include "base/alloc.h"
#include "doc/path.h"

#include <stdlib.h>
#include <string.h>

/* Above so many comparisons the read set is sorted. */
enum { COMPARE_MAX = 4096 };

/* A row of a read set or of 'versions'; texts are the document's. */
struct key {
    const char *kind, *key; /* 'key' NULL: all of the kind. */
    bool is_prefix;
};

static const char *text_at(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static int64_t int_at(const bson_t *doc, const char *name, int64_t fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_INT(&iter)
               ? bson_iter_as_int64(&iter)
               : fallback;
}

static int64_t date_at(const bson_t *doc, const char *name, int64_t fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_DATE_TIME(&iter)
               ? bson_iter_date_time(&iter)
               : fallback;
}

/* ---- Rows ---- */

static bool open_list(const bson_t *doc, const char *name, bson_iter_t *out)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_ARRAY(&iter) &&
           bson_iter_recurse(&iter, out);
}

/* The next row of a list; false at its end. */
static bool next_row(bson_iter_t *list, struct key *out, int64_t *out_version)
{
    while (bson_iter_next(list)) {
        bson_iter_t field;
        if (!BSON_ITER_HOLDS_DOCUMENT(list) || !bson_iter_recurse(list, &field)) {
            continue;
        }
        *out = (struct key){ .kind = "" };
        *out_version = 0;
        while (bson_iter_next(&field)) {
            const char *name = bson_iter_key(&field);
            if (strcmp(name, "kind") == 0 && BSON_ITER_HOLDS_UTF8(&field)) {
                out->kind = bson_iter_utf8(&field, NULL);
            } else if (strcmp(name, "key") == 0 && BSON_ITER_HOLDS_UTF8(&field)) {
                out->key = bson_iter_utf8(&field, NULL);
            } else if (strcmp(name, "match") == 0 && BSON_ITER_HOLDS_UTF8(&field)) {
                out->is_prefix = strcmp(bson_iter_utf8(&field, NULL), "prefix") == 0;
            } else if (strcmp(name, "v") == 0 && BSON_ITER_HOLDS_INT(&field)) {
                *out_version = bson_iter_as_int64(&field);
            }
        }
        return true;
    }
    return false;
}

/* True for 'path' itself and what is below it. */
static bool is_below(const char *path, const char *prefix)
{
    const size_t length = strlen(prefix);
    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '.');
}

static bool meets(const struct key *read, const struct key *changed)
{
    if (strcmp(read->kind, changed->kind) != 0) {
        return false;
    }
    if (!read->key || !changed->key) {
        return true;
    }
    return read->is_prefix ? is_below(changed->key, read->key)
                           : strcmp(read->key, changed->key) == 0;
}

/* ---- Lists of rows ---- */

struct keys { /* '{ 0 }' is an empty list. */
    struct key *key;
    size_t count, capacity;
};

static void keys_done(struct keys *keys)
{
    pk_free(keys->key);
    *keys = (struct keys){ 0 };
}

static void keys_add(struct keys *keys, const struct key *key)
{
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity ? keys->capacity * 2 : 16;
        keys->key = pk_realloc(keys->key, keys->capacity * sizeof(*keys->key));
    }
    keys->key[keys->count++] = *key;
}

static int compare(const void *a, const void *b)
{
    const struct key *left = a, *right = b;
    const int by_kind = strcmp(left->kind, right->kind);
    return by_kind ? by_kind : strcmp(left->key, right->key);
}

/* Compares all with all, by sorting those reads that name one thing. */
static bool meet_sorted(const struct keys *reads, const struct keys *changed)
{
    PK_CLEANUP(keys_done) struct keys single = { 0 }, other = { 0 };
    for (size_t i = 0; i < reads->count; i++) {
        const struct key *read = &reads->key[i];
        keys_add(read->key && !read->is_prefix ? &single : &other, read);
    }
    if (single.count > 0) {
        qsort(single.key, single.count, sizeof(*single.key), compare);
    }
    for (size_t i = 0; i < changed->count; i++) {
        const struct key *row = &changed->key[i];
        if (row->key && single.count > 0 &&
            bsearch(row, single.key, single.count, sizeof(*row), compare)) {
            return true;
        }
        for (size_t at = 0; !row->key && at < single.count; at++) {
            if (meets(&single.key[at], row)) {
                return true;
            }
        }
        for (size_t at = 0; at < other.count; at++) {
            if (meets(&other.key[at], row)) {
                return true;
            }
        }
    }
    return false;
}

static bool meet_plain(const struct keys *reads, const struct keys *changed)
{
    for (size_t i = 0; i < changed->count; i++) {
        for (size_t at = 0; at < reads->count; at++) {
            if (meets(&reads->key[at], &changed->key[i])) {
                return true;
            }
        }
    }
    return false;
}

/* ---- A half ---- */

/* True when something in the read set is newer than 'version'. */
static bool has_newer(const bson_t *basis, const bson_t *mindscape, int64_t version)
{
    PK_CLEANUP(keys_done) struct keys changed = { 0 }, reads = { 0 };
    struct key key;
    bson_iter_t list;
    int64_t v;

    if (!open_list(mindscape, "versions", &list)) {
        return true; /* It cannot be known, so it is not said. */
    }
    while (next_row(&list, &key, &v)) {
        if (v > version) {
            keys_add(&changed, &key);
        }
    }
    if (changed.count == 0) {
        return false;
    }
    if (!open_list(basis, "readSet", &list)) {
        return true;
    }
    while (next_row(&list, &key, &v)) {
        keys_add(&reads, &key);
    }
    return reads.count > COMPARE_MAX / changed.count ? meet_sorted(&reads, &changed)
                                                     : meet_plain(&reads, &changed);
}

/* Half-lives are settings: what was made by others may say another confidence. */
static bool is_other_decay(const bson_t *basis, const char *decay)
{
    const char *made_by = text_at(basis, "decay");
    return made_by && decay ? strcmp(made_by, decay) != 0 : made_by != decay;
}

enum pk_freshness pk_fresh_basis(const bson_t *basis, const bson_t *mindscape, const char *decay,
                                 int64_t now_ms)
{
    const int64_t read = int_at(basis, "mindscapeVersion", -1);
    const int64_t is = int_at(mindscape, "version", INT64_MAX);
    const int64_t floor = int_at(mindscape, "floor", INT64_MAX);

    if (now_ms < date_at(basis, "validFrom", INT64_MAX) ||
        now_ms >= date_at(basis, "validUntil", INT64_MIN)) {
        return PK_STALE_TIME;
    }
    if (is_other_decay(basis, decay)) {
        return PK_STALE_READ;
    }
    if (is == read) {
        return PK_FRESH;
    }
    if (is < read || read < floor || has_newer(basis, mindscape, read)) {
        return PK_STALE_READ;
    }
    return PK_FRESH;
}

static enum pk_freshness half(const bson_t *persona, const char *name, const bson_t *mindscape,
                              const char *decay, int64_t now_ms)
{
    bson_iter_t iter;
    bson_t basis;
    const uint8_t *data;
    uint32_t size;
    if (!bson_iter_init_find(&iter, persona, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return PK_STALE_READ;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(&basis, data, size) ? pk_fresh_basis(&basis, mindscape, decay, now_ms)
                                                : PK_STALE_READ;
}

void pk_fresh_persona(const bson_t *persona, const char *mapper_version, const bson_t *mindscape,
                      const char *decay, int64_t now_ms, struct pk_fresh *out)
{
    const char *made_by = text_at(persona, "mapperVersion");
    if (!made_by || strcmp(made_by, mapper_version) != 0) {
        *out = (struct pk_fresh){ PK_STALE_MAPPER, PK_STALE_MAPPER };
        return;
    }
    out->core = half(persona, "coreBasis", mindscape, decay, now_ms);
    out->overlay = half(persona, "overlayBasis", mindscape, decay, now_ms);
}

bool pk_fresh_is(const struct pk_fresh *fresh)
{
    return fresh->core == PK_FRESH && fresh->overlay == PK_FRESH;
}

bool pk_fresh_meets_hidden(const bson_t *basis, const struct pk_principal *who)
{
    struct key key;
    bson_iter_t list;
    int64_t v;
    if (!who || !pk_principal_hides_any(who)) {
        return false;
    }
    if (!open_list(basis, "readSet", &list)) {
        return true;
    }
    while (next_row(&list, &key, &v)) {
        if (strcmp(key.kind, "trait") != 0) {
            continue;
        }
        if (!key.key || (key.is_prefix ? pk_principal_hides_within(who, key.key)
                                       : pk_principal_hides(who, key.key))) {
            return true;
        }
    }
    return false;
}
