/* mongo_index.c - Declared indexes against those that are there.
 *
 * An index of the inventory becomes one of the same name. Behind the declared
 * keys comes '_id', ascending, so that pages with ties come out of the index in
 * order, without a sort. Three kinds go without:
 * unique ones (there are no ties), wildcard ones and TTL ones (MongoDB allows
 * no second key).
 *
 *     tags[]              { tags: 1, _id: 1 }       one entry per element
 *     metadata.*          { "metadata.$**": 1 }     one entry per scalar below
 *     the TTL path alone  { expiresAt: 1 }, expireAfterSeconds: 0
 *
 * An absent key takes nobody's place: a unique index holds only documents that
 * have all its keys, unless the schema requires them anyway; beside it stands
 * '<name>.all', which holds the others too and is read by. "Present" is
 * '$exists', or '$type' where null or an object could stand there as well.
 *
 * A collection that expires and declares no index on its TTL path alone gets
 * one named 'ttl'. Indexes that differ from their declaration are never
 * touched: the start is refused and the sentence says both. Indexes that
 * nobody declared are left alone.
 *
 * Thread: the opener's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json.h"
#include "doc/path.h"
#include "store/mongo_internal.h"

#include <stdio.h>
#include <string.h>

#define READING_SUFFIX ".all"

/* ---- The declared ones ---- */

static bool has_holes(const struct pk_collection *collection, const struct pk_index *index);

static bool is_ttl_index(const struct pk_collection *collection, const struct pk_index *index)
{
    return collection->ttl_path && index->key_count == 1 && !index->is_unique &&
           index->only == PK_ONLY_ALL && strcmp(index->key[0].path, collection->ttl_path) == 0;
}

bool mongo_index_has_tie_breaker(const struct pk_collection *collection,
                                 const struct pk_index *index)
{
    return (!index->is_unique || has_holes(collection, index)) &&
           !strchr(index->key[0].path, '*') && !is_ttl_index(collection, index);
}

void mongo_index_path(const char *path, char *out, size_t size)
{
    size_t n = 0;
    for (const char *c = path; *c && n + 4 < size; c++) {
        if (c[0] == '[' && c[1] == ']') {
            c++;
        } else if (*c == '*') {
            memcpy(out + n, "$**", 3);
            n += 3;
        } else {
            out[n++] = *c;
        }
    }
    out[n] = '\0';
}

static void append_keys(const struct pk_index *index, bool has_tie_breaker, bson_t *out)
{
    char path[256];
    bson_t keys;

    BSON_APPEND_DOCUMENT_BEGIN(out, "key", &keys);
    for (size_t k = 0; k < index->key_count; k++) {
        mongo_index_path(index->key[k].path, path, sizeof(path));
        BSON_APPEND_INT32(&keys, path, index->key[k].is_descending ? -1 : 1);
    }
    if (has_tie_breaker) {
        BSON_APPEND_INT32(&keys, "_id", 1);
    }
    (void)bson_append_document_end(out, &keys);
}

static const struct pk_field *field_at(const struct pk_collection *collection, const char *path)
{
    return collection->schema ? pk_schema_field(collection->schema, path) : NULL;
}

/* True when the schema lets nothing but a scalar stand there. */
static bool is_scalar(const struct pk_field *field)
{
    return field && !(field->flags & PK_FIELD_NULLABLE) &&
           (field->type == PK_TYPE_STRING || field->type == PK_TYPE_BOOL ||
            field->type == PK_TYPE_INT || field->type == PK_TYPE_NUMBER ||
            field->type == PK_TYPE_DATE);
}

/* '{ path: present }' */
static void append_present(const struct pk_collection *collection, const char *path, bson_t *out)
{
    static const char *const scalar[] = { "string", "number", "bool", "date" };
    char stored[256];
    char number[16];
    const char *key = NULL;
    bson_t child;
    bson_t types;

    mongo_index_path(path, stored, sizeof(stored));
    BSON_APPEND_DOCUMENT_BEGIN(out, stored, &child);
    if (is_scalar(field_at(collection, path))) {
        BSON_APPEND_BOOL(&child, "$exists", true);
    } else {
        BSON_APPEND_ARRAY_BEGIN(&child, "$type", &types);
        for (uint32_t i = 0; i < PK_COUNT(scalar); i++) {
            (void)bson_uint32_to_string(i, &key, number, sizeof(number));
            BSON_APPEND_UTF8(&types, key, scalar[i]);
        }
        (void)bson_append_array_end(&child, &types);
    }
    (void)bson_append_document_end(out, &child);
}

static bool is_required(const struct pk_collection *collection, const char *path)
{
    const struct pk_field *field = strpbrk(path, ".[") ? NULL : field_at(collection, path);
    return field && (field->flags & PK_FIELD_REQUIRED);
}

/* The path that PK_ONLY_EXISTS asks for: of an array, what counts are the indexed elements. */
static const char *present_path(const struct pk_index *index)
{
    const char *first = index->key[0].path;
    if (index->only != PK_ONLY_EXISTS) {
        return NULL;
    }
    return pk_path_is_multi(first) &&
                   strncmp(first, index->only_path, strlen(index->only_path)) == 0
               ? first
               : index->only_path;
}

void mongo_index_append_only(const struct pk_collection *collection, const struct pk_index *index,
                             bson_t *out)
{
    switch (index->only) {
    case PK_ONLY_ALL:
        return;
    case PK_ONLY_EXISTS:
        append_present(collection, present_path(index), out);
        return;
    case PK_ONLY_TEXT:
        BSON_APPEND_UTF8(out, index->only_path, index->only_text);
        return;
    case PK_ONLY_TRUE:
        BSON_APPEND_BOOL(out, index->only_path, true);
        return;
    }
}

/* True for a key of a unique index that a document may lack. */
static bool may_lack(const struct pk_collection *collection, const struct pk_index *index,
                     size_t key)
{
    const char *path = index->key[key].path;
    const char *present = present_path(index);
    return index->is_unique && strcmp(path, "_id") != 0 && !is_required(collection, path) &&
           !(present && strcmp(path, present) == 0);
}

static bool has_holes(const struct pk_collection *collection, const struct pk_index *index)
{
    for (size_t k = 0; k < index->key_count; k++) {
        if (may_lack(collection, index, k)) {
            return true;
        }
    }
    return false;
}

void mongo_index_read_name(const struct pk_collection *collection, const struct pk_index *index,
                           char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s", index->name,
                   has_holes(collection, index) ? READING_SUFFIX : "");
}

static void append_partial(const struct pk_collection *collection, const struct pk_index *index,
                           bool is_unique, bson_t *out)
{
    bson_t only = BSON_INITIALIZER;
    mongo_index_append_only(collection, index, &only);
    for (size_t k = 0; is_unique && k < index->key_count; k++) {
        if (may_lack(collection, index, k)) {
            append_present(collection, index->key[k].path, &only);
        }
    }
    if (!bson_empty(&only)) {
        BSON_APPEND_DOCUMENT(out, "partialFilterExpression", &only);
    }
    bson_destroy(&only);
}

/* The index as createIndexes takes it. */
static void describe(const struct pk_collection *collection, const struct pk_index *index,
                     bson_t *out)
{
    append_keys(index, !index->is_unique && mongo_index_has_tie_breaker(collection, index), out);
    BSON_APPEND_UTF8(out, "name", index->name);
    if (index->is_unique) {
        BSON_APPEND_BOOL(out, "unique", true);
    }
    if (is_ttl_index(collection, index)) {
        BSON_APPEND_INT32(out, "expireAfterSeconds", 0);
    }
    append_partial(collection, index, index->is_unique, out);
}

/* The one to read by, beside a unique index that does not hold every document. */
static void describe_reading(const struct pk_collection *collection, const struct pk_index *index,
                             bson_t *out)
{
    char name[128];
    mongo_index_read_name(collection, index, name, sizeof(name));
    append_keys(index, true, out);
    BSON_APPEND_UTF8(out, "name", name);
    append_partial(collection, index, false, out);
}

static void describe_ttl(const char *path, int32_t seconds, bson_t *out)
{
    bson_t keys;

    BSON_APPEND_DOCUMENT_BEGIN(out, "key", &keys);
    BSON_APPEND_INT32(&keys, path, 1);
    (void)bson_append_document_end(out, &keys);
    BSON_APPEND_UTF8(out, "name", "ttl");
    BSON_APPEND_INT32(out, "expireAfterSeconds", seconds);
}

/* ---- Comparing ---- */

/* What decides about an index's contents. The rest (v, background) is the server's business. */
static const char *const telling[] = {
    "key",    "unique",    "expireAfterSeconds", "partialFilterExpression",
    "sparse", "collation", "wildcardProjection", "hidden",
};

static bool is_same_value(const bson_iter_t *a, const bson_iter_t *b);

/* Fields in order; numbers by value, since servers and shells write them as int, long or double. */
static bool is_same_object(bson_iter_t a, bson_iter_t b)
{
    for (;;) {
        const bool has_a = bson_iter_next(&a);
        if (has_a != bson_iter_next(&b)) {
            return false;
        }
        if (!has_a) {
            return true;
        }
        if (strcmp(bson_iter_key(&a), bson_iter_key(&b)) != 0 || !is_same_value(&a, &b)) {
            return false;
        }
    }
}

static bool is_same_value(const bson_iter_t *a, const bson_iter_t *b)
{
    bson_iter_t child_a;
    bson_iter_t child_b;

    if (BSON_ITER_HOLDS_NUMBER(a) && BSON_ITER_HOLDS_NUMBER(b)) {
        return bson_iter_as_int64(a) == bson_iter_as_int64(b);
    }
    if (bson_iter_type(a) != bson_iter_type(b)) {
        return false;
    }
    if (BSON_ITER_HOLDS_DOCUMENT(a) || BSON_ITER_HOLDS_ARRAY(a)) {
        return bson_iter_recurse(a, &child_a) && bson_iter_recurse(b, &child_b) &&
               is_same_object(child_a, child_b);
    }
    if (BSON_ITER_HOLDS_UTF8(a)) {
        return strcmp(bson_iter_utf8(a, NULL), bson_iter_utf8(b, NULL)) == 0;
    }
    return BSON_ITER_HOLDS_BOOL(a) && bson_iter_bool(a) == bson_iter_bool(b);
}

/* An option that is absent and one that is false say the same. */
static bool find_option(const bson_t *index, const char *name, bson_iter_t *iter)
{
    return bson_iter_init_find(iter, index, name) &&
           !(BSON_ITER_HOLDS_BOOL(iter) && !bson_iter_bool(iter));
}

static bool is_same_index(const bson_t *a, const bson_t *b)
{
    bson_iter_t iter_a;
    bson_iter_t iter_b;

    for (size_t i = 0; i < PK_COUNT(telling); i++) {
        const bool has_a = find_option(a, telling[i], &iter_a);
        const bool has_b = find_option(b, telling[i], &iter_b);
        if (has_a != has_b || (has_a && !is_same_value(&iter_a, &iter_b))) {
            return false;
        }
    }
    return true;
}

static bool has_same_keys(const bson_t *a, const bson_t *b)
{
    bson_iter_t iter_a;
    bson_iter_t iter_b;
    return bson_iter_init_find(&iter_a, a, "key") && bson_iter_init_find(&iter_b, b, "key") &&
           is_same_value(&iter_a, &iter_b);
}

static const char *name_of(const bson_t *index)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, index, "name") && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : "";
}

/* For the sentence: what tells one index from another, as JSON. */
static void print_index(struct pk_buf *buf, const bson_t *index)
{
    bson_t shown = BSON_INITIALIZER;
    bson_iter_t iter;

    for (size_t i = 0; i < PK_COUNT(telling); i++) {
        if (find_option(index, telling[i], &iter)) {
            (void)bson_append_iter(&shown, telling[i], -1, &iter);
        }
    }
    (void)pk_json_write(buf, &shown, PK_JSON_COMPACT, NULL);
    bson_destroy(&shown);
}

/* ---- Checking a collection ---- */

/* The indexes that are there: an array of copies. */
struct present {
    bson_t **index;
    size_t count;
};

static void present_done(struct present *present)
{
    for (size_t i = 0; i < present->count; i++) {
        bson_destroy(present->index[i]);
    }
    pk_free(present->index);
}

static bool read_present(mongoc_collection_t *collection, struct present *out, struct pk_error *err)
{
    bson_error_t error;
    const bson_t *index = NULL;
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(collection, NULL);

    while (mongoc_cursor_next(cursor, &index)) {
        out->index = pk_realloc(out->index, (out->count + 1) * sizeof(*out->index));
        out->index[out->count++] = bson_copy(index);
    }
    const bool ok = !mongoc_cursor_error(cursor, &error) || error.code == 26; /* No collection. */
    mongoc_cursor_destroy(cursor);
    return ok || mongo_fail(err, &error, "list the indexes");
}

static bool differ(const char *collection, const bson_t *is, const bson_t *wanted,
                   struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf as_is = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf as_declared = { 0 };

    print_index(&as_is, is);
    print_index(&as_declared, wanted);
    return pk_fail(err, PK_CONFLICT,
                   "look why it was changed, then drop it: the start makes it as declared",
                   "index '%s' of '%s' is %s and should be '%s' %s", name_of(is), collection,
                   pk_buf_text(&as_is), name_of(wanted), pk_buf_text(&as_declared));
}

/* True when the index is there as declared; '*out_differs' when one is in its way. */
static bool is_present(const struct present *present, const bson_t *wanted,
                       const bson_t **out_differs)
{
    *out_differs = NULL;
    for (size_t i = 0; i < present->count; i++) {
        const bson_t *is = present->index[i];
        const bool has_name = strcmp(name_of(is), name_of(wanted)) == 0;
        if (has_name && is_same_index(is, wanted)) {
            return true;
        }
        if (has_name || (has_same_keys(is, wanted) && is_same_index(is, wanted))) {
            *out_differs = is;
        }
    }
    return false;
}

struct checking {
    mongoc_client_t *client;
    const char *database;
    const char *collection;
    struct present present;
    bson_t command; /* createIndexes, being written. */
    bson_t list;    /* Its 'indexes'. */
    uint32_t count; /* Of them. */
};

static bool check_one(struct checking *checking, const bson_t *wanted, struct pk_error *err)
{
    const bson_t *differs = NULL;
    char number[16];
    const char *key = NULL;

    if (is_present(&checking->present, wanted, &differs)) {
        return true;
    }
    if (differs) {
        return differ(checking->collection, differs, wanted, err);
    }
    (void)bson_uint32_to_string(checking->count++, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT(&checking->list, key, wanted);
    return true;
}

static bool check_declared(struct checking *checking, const struct pk_collection *collection,
                           struct pk_error *err)
{
    bool has_ttl = !collection->ttl_path;
    bool ok = true;

    for (size_t i = 0; ok && i < collection->index_count; i++) {
        bson_t wanted = BSON_INITIALIZER;
        describe(collection, &collection->index[i], &wanted);
        has_ttl = has_ttl || is_ttl_index(collection, &collection->index[i]);
        ok = check_one(checking, &wanted, err);
        if (ok && has_holes(collection, &collection->index[i])) {
            bson_reinit(&wanted);
            describe_reading(collection, &collection->index[i], &wanted);
            ok = check_one(checking, &wanted, err);
        }
        bson_destroy(&wanted);
    }
    if (ok && !has_ttl) {
        bson_t wanted = BSON_INITIALIZER;
        describe_ttl(collection->ttl_path, 0, &wanted);
        ok = check_one(checking, &wanted, err);
        bson_destroy(&wanted);
    }
    return ok;
}

static bool check_guards(struct checking *checking, struct pk_error *err)
{
    bson_t wanted = BSON_INITIALIZER;
    describe_ttl("at", MONGO_GUARD_SECONDS, &wanted);
    const bool ok = check_one(checking, &wanted, err);
    bson_destroy(&wanted);
    return ok;
}

/* 'collection' is NULL for the guards. */
static bool check_collection(mongoc_client_t *client, const char *database,
                             const struct pk_collection *collection, struct pk_error *err)
{
    const char *name = collection ? collection->name : MONGO_GUARDS;
    struct checking checking = { .client = client, .database = database, .collection = name };
    mongoc_collection_t *handle = mongoc_client_get_collection(client, database, name);
    bson_error_t error;

    bson_init(&checking.command);
    BSON_APPEND_UTF8(&checking.command, "createIndexes", name);
    BSON_APPEND_ARRAY_BEGIN(&checking.command, "indexes", &checking.list);
    bool ok =
        read_present(handle, &checking.present, err) &&
        (collection ? check_declared(&checking, collection, err) : check_guards(&checking, err));
    (void)bson_append_array_end(&checking.command, &checking.list);
    if (ok && checking.count &&
        !mongoc_client_write_command_with_opts(client, database, &checking.command, NULL, NULL,
                                               &error)) {
        ok = mongo_fail(err, &error, "create its indexes");
        (void)pk_wrap(err, "collection '%s'", name);
    }
    bson_destroy(&checking.command);
    present_done(&checking.present);
    mongoc_collection_destroy(handle);
    return ok;
}

bool mongo_index_check(struct mongo *mongo, mongoc_client_t *client, struct pk_error *err)
{
    const struct pk_inventory *inventory = mongo->inventory;
    for (size_t i = 0; i < inventory->count; i++) {
        if (!check_collection(client, mongo->database, &inventory->collection[i], err)) {
            return false;
        }
    }
    return check_collection(client, mongo->database, NULL, err);
}
