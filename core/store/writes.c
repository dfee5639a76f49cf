/* writes.c - Lists of writes: building them, and checking them before they go.
 *
 * Checking resolves each write to its collection and works out what the
 * committer and the engines need: the new version, and the 64-bit hash of
 * collection and id that says which lists touch the same document.
 *
 * A version never comes back for an id: an insert starts at a random number
 * in the upper half and 1 in the lower, a replace adds 1. So a version that
 * was read of a deleted document does not fit its successor.
 *
 * One list writes an id at most once. An EXPECT beside a write of the same id
 * is folded into it when both want the same version, else the list could
 * never commit and is refused. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "doc/schema.h"
#include "store/store_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A limit from here on is no limit to what is counted in such steps. */
#define COUNT_MAX_FROM 9e15
#define COUNT_STEP_MAX INT32_MAX

/* ---- Building ---- */

static void end_write(struct pk_write *write)
{
    for (size_t i = 0; i < write->count_count; i++) {
        pk_free((char *)(uintptr_t)write->count[i].path);
        pk_free((char *)(uintptr_t)write->count[i].text);
    }
    pk_free(write->count);
    pk_free(write->collection);
    pk_free(write->id);
    pk_doc_unref(write->doc);
}

void pk_writes_clear(struct pk_writes *list)
{
    for (size_t i = 0; i < list->count; i++) {
        end_write(&list->write[i]);
    }
    list->count = 0;
    list->bytes = 0;
}

void pk_writes_done(struct pk_writes *list)
{
    if (list) {
        pk_writes_clear(list);
        pk_free(list->write);
        *list = (struct pk_writes){ 0 };
    }
}

static struct pk_write *add_write(struct pk_writes *list, enum pk_write_kind kind,
                                  const char *collection, const char *id, int64_t version)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 4;
        list->write = pk_realloc(list->write, list->capacity * sizeof(*list->write));
    }
    struct pk_write *write = &list->write[list->count++];
    *write = (struct pk_write){
        .kind = kind,
        .collection = collection ? pk_strdup(collection) : NULL,
        .id = id ? pk_strdup(id) : NULL,
        .version = version,
    };
    return write;
}

static void add_doc(struct pk_writes *list, enum pk_write_kind kind, const char *collection,
                    struct pk_doc *doc, int64_t version)
{
    struct pk_write *write = add_write(list, kind, collection, pk_doc_id(doc), version);
    write->doc = pk_doc_ref(doc);
    list->bytes += pk_doc_size(doc);
}

void pk_writes_insert(struct pk_writes *list, const char *collection, struct pk_doc *doc)
{
    add_doc(list, PK_WRITE_INSERT, collection, doc, 0);
}

void pk_writes_replace(struct pk_writes *list, const char *collection, struct pk_doc *doc,
                       int64_t version)
{
    add_doc(list, PK_WRITE_REPLACE, collection, doc, version);
}

void pk_writes_delete(struct pk_writes *list, const char *collection, const char *id,
                      int64_t version)
{
    (void)add_write(list, PK_WRITE_DELETE, collection, id, version);
}

void pk_writes_expect(struct pk_writes *list, const char *collection, const char *id,
                      int64_t version)
{
    (void)add_write(list, PK_WRITE_EXPECT, collection, id, version);
}

void pk_writes_expect_absent(struct pk_writes *list, const char *collection, const char *id)
{
    (void)add_write(list, PK_WRITE_EXPECT, collection, id, 0);
}

void pk_writes_count(struct pk_writes *list, const char *collection, const char *id,
                     const struct pk_count *count, size_t count_count)
{
    struct pk_write *write = add_write(list, PK_WRITE_COUNT, collection, id, 0);
    write->count = pk_calloc(count_count, sizeof(*write->count));
    write->count_count = count_count;
    for (size_t i = 0; i < count_count; i++) {
        write->count[i] = count[i];
        write->count[i].path = pk_strdup(count[i].path);
        write->count[i].text = count[i].text ? pk_strdup(count[i].text) : NULL;
    }
}

/* The feed's collection is known to the store alone; pk_writes_resolve fills in its name. */
void pk_writes_announce(struct pk_writes *list, struct pk_doc *event)
{
    add_doc(list, PK_WRITE_INSERT, NULL, event, 0);
}

/* ---- Checking one write ---- */

bool pk_id_check(const char *collection, const char *id, size_t length, struct pk_error *err)
{
    if (length == 0 || length > PK_DOC_ID_MAX) {
        return pk_fail(err, PK_INVALID, "an '_id' has 1 to 512 bytes",
                       "an '_id' of '%s' has %zu bytes", collection, length);
    }
    if (!bson_utf8_validate(id, length, false)) {
        return pk_fail(err, PK_INVALID, "an '_id' is UTF-8 without NUL",
                       "an '_id' of '%s' is not valid text", collection);
    }
    return true;
}

static const struct pk_collection *feed_of(const struct pk_inventory *inventory)
{
    for (size_t i = 0; i < inventory->count; i++) {
        if (inventory->collection[i].is_feed) {
            return &inventory->collection[i];
        }
    }
    return NULL;
}

static const struct pk_collection *resolve_collection(const struct pk_store *store,
                                                      struct pk_write *write, struct pk_error *err)
{
    const struct pk_collection *collection =
        write->collection ? pk_inventory_find(store->inventory, write->collection)
                          : feed_of(store->inventory);
    if (!collection) {
        (void)pk_fail(err, PK_INVALID, "collections are declared in the inventory",
                      "there is no collection '%s'",
                      write->collection ? write->collection : "of the feed");
        return NULL;
    }
    if (!write->collection) {
        write->collection = pk_strdup(collection->name);
    }
    return collection;
}

/* What both engines order and compare alike: text with a NUL inside would be cut by one of them,
 * and NaN is nothing to one and the least of all numbers to the other. */
static bool is_clean_key(void *context, const char *below, const bson_iter_t *value)
{
    (void)context;
    (void)below;
    uint32_t length = 0;
    if (bson_iter_type(value) == BSON_TYPE_DOUBLE) {
        return !isnan(bson_iter_double(value));
    }
    if (bson_iter_type(value) != BSON_TYPE_UTF8) {
        return true;
    }
    const char *text = bson_iter_utf8(value, &length);
    return !memchr(text, 0, length);
}

static bool check_key(const struct pk_collection *collection, const bson_t *doc, const char *path,
                      struct pk_error *err)
{
    bson_iter_t iter;
    const bool is_clean = pk_path_is_multi(path)
                              ? pk_path_each(doc, path, is_clean_key, NULL)
                              : !pk_path_find(doc, path, &iter) || is_clean_key(NULL, "", &iter);
    return is_clean ||
           pk_fail_field(err, PK_INVALID, path, "take the NUL character or the NaN out",
                         "'%s' of '%s' is indexed and contains NUL or NaN", path, collection->name);
}

static bool check_keys(const struct pk_collection *collection, const bson_t *doc,
                       struct pk_error *err)
{
    for (size_t i = 0; i < collection->index_count; i++) {
        const struct pk_index *index = &collection->index[i];
        for (size_t k = 0; k < index->key_count; k++) {
            if (!check_key(collection, doc, index->key[k].path, err)) {
                return false;
            }
        }
        if (index->only == PK_ONLY_TEXT && !check_key(collection, doc, index->only_path, err)) {
            return false;
        }
    }
    return true;
}

/* An expiry that is no date would be one to one engine and none to the other. */
static bool check_expiry(const struct pk_collection *collection, const bson_t *doc,
                         struct pk_error *err)
{
    bson_iter_t iter;
    return !collection->ttl_path || !pk_path_find(doc, collection->ttl_path, &iter) ||
           BSON_ITER_HOLDS_DATE_TIME(&iter) || BSON_ITER_HOLDS_NULL(&iter) ||
           pk_fail_field(err, PK_INVALID, collection->ttl_path, "give it a date, or leave it out",
                         "'%s' of '%s' says when it expires and is no date", collection->ttl_path,
                         collection->name);
}

static bool check_doc(const struct pk_collection *collection, const struct pk_write *write,
                      struct pk_error *err)
{
    struct pk_faults faults = { 0 };
    bson_iter_t iter;
    bson_t view;
    uint32_t length = 0;

    const size_t size = pk_doc_size(write->doc);
    if (size > PK_DOC_MAX_BYTES) {
        return pk_fail(err, PK_TOO_LARGE, "split it, or keep large parts elsewhere",
                       "a document of '%s' has %zu bytes; the limit is %d", collection->name, size,
                       (int)PK_DOC_MAX_BYTES);
    }
    pk_doc_view(write->doc, &view);
    if (!bson_iter_init_find(&iter, &view, "_id") || bson_iter_type(&iter) != BSON_TYPE_UTF8) {
        return pk_fail_field(err, PK_INVALID, "_id", "give it an '_id' that is a string",
                             "a document of '%s' has no '_id'", collection->name);
    }
    const char *id = bson_iter_utf8(&iter, &length);
    if (!pk_id_check(collection->name, id, length, err)) {
        return false;
    }
    bool ok = !collection->schema || pk_schema_check(collection->schema, &view, &faults);
    if (!ok) {
        (void)pk_faults_fail(&faults, err);
        if (err) {
            err->field = NULL; /* It points into 'faults'; the message names the path. */
        }
        (void)pk_wrap(err, "%s '%s'", collection->name, id);
    }
    pk_faults_done(&faults);
    return ok && check_expiry(collection, &view, err) && check_keys(collection, &view, err);
}

/* ---- Checking counts ---- */

/* The counted document is not seen here, so what is asked is that no document that fits the schema
 * can be counted out of it. NULL: so it is; else what speaks against it. */
static const char *fault_of_number(const struct pk_field *field, const struct pk_count *count)
{
    const bool has_max = field->max != 0;
    const bool has_min = has_max || field->min != 0;
    if (count->is_date) {
        return field->type == PK_TYPE_DATE ? NULL : "is not a date";
    }
    if (field->type != PK_TYPE_INT && field->type != PK_TYPE_NUMBER) {
        return "is not a number";
    }
    if ((has_max && count->amount > 0 && field->max < COUNT_MAX_FROM) ||
        (has_min && count->amount < 0) || (has_min && (double)count->amount < field->min)) {
        return "has a limit that counting could pass";
    }
    return (has_max || has_min) && count->amount > COUNT_STEP_MAX ? "is counted in smaller steps"
                                                                  : NULL;
}

/* Only what any text would do for, of the size that the schema has. */
static const char *fault_of_text(const struct pk_field *field, const char *text)
{
    const double size = (double)strlen(text);
    if (field->type != PK_TYPE_STRING || field->allowed || field->format != PK_FORMAT_NONE) {
        return "is not any text";
    }
    return size < field->min || (field->max != 0 && size > field->max)
               ? "is not as long as the text"
               : NULL;
}

/* An object that is made for the count would lack what else it must have. */
static bool may_be_made(const struct pk_field *field, const char *key, size_t length)
{
    if (field->type != PK_TYPE_OBJECT || (field->flags & PK_FIELD_REQUIRED)) {
        return true;
    }
    for (size_t i = 0; i < field->of->count; i++) {
        const struct pk_field *row = &field->of->field[i];
        if ((row->flags & PK_FIELD_REQUIRED) &&
            (strlen(row->name) != length || memcmp(row->name, key, length) != 0)) {
            return false;
        }
    }
    return true;
}

static const char *fault_of_count(const struct pk_schema *schema, const struct pk_count *count)
{
    for (const char *dot = strchr(count->path, '.'); dot; dot = strchr(dot + 1, '.')) {
        PK_CLEANUP(pk_freep)
        char *above = pk_strndup(count->path, (size_t)(dot - count->path));
        const struct pk_field *field = pk_schema_field(schema, above);
        if (field && !may_be_made(field, dot + 1, strcspn(dot + 1, "."))) {
            return "lies in an object that may be absent and needs more than that";
        }
    }
    const struct pk_field *field = pk_schema_field(schema, count->path);
    if (!field) {
        return "is no field of it";
    }
    if (field->type == PK_TYPE_FREE) {
        return NULL;
    }
    return count->text ? fault_of_text(field, count->text) : fault_of_number(field, count);
}

static bool is_plain_path(const char *path)
{
    return *path && !pk_path_is_multi(path) && strcmp(path, "_id") != 0 && *path != '.' &&
           !strstr(path, "..") && path[strlen(path) - 1] != '.';
}

static bool check_counts(const struct pk_collection *collection, const struct pk_write *write,
                         struct pk_error *err)
{
    for (size_t i = 0; i < write->count_count; i++) {
        const struct pk_count *count = &write->count[i];
        if (!is_plain_path(count->path)) {
            return pk_fail(err, PK_INVALID, "counts take plain dot paths",
                           "'%s' cannot be counted in '%s'", count->path, write->collection);
        }
        const bool is_expiry =
            collection->ttl_path && strcmp(count->path, collection->ttl_path) == 0;
        const char *fault = is_expiry && !count->is_date ? "is not a number"
                            : collection->schema         ? fault_of_count(collection->schema, count)
                                                         : NULL;
        if (fault) {
            return pk_fail(
                err, PK_INVALID, "count numbers, raise dates and set texts that the schema lets go",
                "'%s' of '%s' cannot be counted: it %s", count->path, write->collection, fault);
        }
    }
    return true;
}

static bool check_write(const struct pk_collection *collection, const struct pk_write *write,
                        struct pk_error *err)
{
    if (write->doc) {
        if (!check_doc(collection, write, err)) {
            return false;
        }
    } else if (!pk_id_check(collection->name, write->id ? write->id : "",
                            write->id ? strlen(write->id) : 0, err)) {
        return false;
    }
    if (collection->is_feed && write->kind != PK_WRITE_INSERT && write->kind != PK_WRITE_DELETE) {
        return pk_fail(err, PK_INVALID, "rows of the feed are announced and never change",
                       "a row of '%s' cannot be changed", collection->name);
    }
    if ((write->kind == PK_WRITE_REPLACE || write->kind == PK_WRITE_DELETE) &&
        write->version <= 0) {
        return pk_fail(err, PK_INVALID, "name the version that was read",
                       "a %s in '%s' names no version",
                       write->kind == PK_WRITE_REPLACE ? "replace" : "delete", collection->name);
    }
    if (write->kind == PK_WRITE_EXPECT && write->version < 0) {
        return pk_fail(err, PK_INVALID, "name the version that was read",
                       "an expect in '%s' names version %lld", collection->name,
                       (long long)write->version);
    }
    if (write->kind == PK_WRITE_EXPECT && write->version == 0 && !collection->is_guarded) {
        return pk_fail(err, PK_INVALID, "mark the collection as guarded in the inventory",
                       "'%s' is not guarded: nothing in it can be expected to be absent",
                       collection->name);
    }
    return write->kind != PK_WRITE_COUNT || check_counts(collection, write, err);
}

/* ---- Checking the list ---- */

static uint64_t key_of(const struct pk_write *write)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, then mixed: keys are compared whole. */
    for (const char *c = write->collection; *c; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    }
    hash = (hash ^ 0xffu) * 0x100000001b3u;
    for (const char *c = write->id; *c; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    }
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ (hash >> 32);
}

struct seat {
    uint64_t key;
    size_t write; /* Index into the list. */
};

static int compare_seats(const void *left, const void *right)
{
    const struct seat *a = left;
    const struct seat *b = right;
    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    return a->write < b->write ? -1 : a->write > b->write;
}

static bool is_same_id(const struct pk_write *a, const struct pk_write *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->collection, b->collection) == 0;
}

/* What an EXPECT would have to say to agree with this write; -1: nothing would. */
static int64_t version_before(const struct pk_write *write)
{
    return write->kind == PK_WRITE_INSERT ? 0 : write->version;
}

/* Two writes of one id: one is an EXPECT that goes without saying, or the list is refused. */
static bool fold(struct pk_writes *list, struct pk_job *job, size_t first, size_t second,
                 struct pk_error *err)
{
    const struct pk_write *a = &list->write[first];
    const struct pk_write *b = &list->write[second];
    const bool is_expect_a = a->kind == PK_WRITE_EXPECT;
    const bool is_expect_b = b->kind == PK_WRITE_EXPECT;

    if (!is_expect_a && !is_expect_b) {
        return pk_fail(err, PK_INVALID, "write each document once per list",
                       "'%s' of '%s' is written twice in one list", a->id, a->collection);
    }
    if (a->kind == PK_WRITE_COUNT || b->kind == PK_WRITE_COUNT) {
        return true; /* Looked at, then counted: they do not get in each other's way. */
    }
    if (version_before(a) != version_before(b)) {
        return pk_fail(err, PK_INVALID, "read and decide again",
                       "one list wants two versions of '%s' of '%s'", a->id, a->collection);
    }
    job->target[is_expect_a ? first : second].is_folded = true;
    return true;
}

static bool add_touches(struct pk_writes *list, struct pk_job *job, struct seat *seat,
                        struct pk_error *err)
{
    qsort(seat, list->count, sizeof(*seat), compare_seats);
    for (size_t i = 0; i < list->count; i++) {
        const struct pk_write *write = &list->write[seat[i].write];
        const bool is_expect = write->kind == PK_WRITE_EXPECT;

        for (size_t j = i; j > 0 && seat[j - 1].key == seat[i].key; j--) {
            if (!job->target[seat[j - 1].write].is_folded &&
                !job->target[seat[i].write].is_folded &&
                is_same_id(&list->write[seat[j - 1].write], write) &&
                !fold(list, job, seat[j - 1].write, seat[i].write, err)) {
                return false;
            }
        }
        struct pk_touch *last = job->touch_count ? &job->touch[job->touch_count - 1] : NULL;
        if (last && last->key == seat[i].key) {
            last->is_expect = last->is_expect && is_expect && last->version == write->version;
        } else {
            job->touch[job->touch_count++] = (struct pk_touch){ .key = seat[i].key,
                                                                .version = write->version,
                                                                .is_expect = is_expect };
        }
    }
    return true;
}

/* In 31 random bits and a 1: above 0, and far from every version the id ever had. */
static int64_t first_version(void)
{
    return (int64_t)((pk_random_u64() & 0x7fffffffu) << 32 | 1u);
}

static int64_t insert_version(const struct pk_write *write)
{
    return write->drawn_version ? write->drawn_version : first_version();
}

int64_t pk_writes_version(struct pk_writes *list, size_t at)
{
    struct pk_write *write = &list->write[at];
    assert(at < list->count && (write->kind == PK_WRITE_INSERT || write->kind == PK_WRITE_REPLACE));
    if (write->kind == PK_WRITE_REPLACE) {
        return write->version + 1;
    }
    write->drawn_version = insert_version(write);
    return write->drawn_version;
}

static bool resolve_each(const struct pk_store *store, struct pk_writes *list, struct pk_job *job,
                         struct seat *seat, struct pk_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct pk_write *write = &list->write[i];
        const struct pk_collection *collection = resolve_collection(store, write, err);
        if (!collection || !check_write(collection, write, err)) {
            return list->count == 1 ? false : pk_wrap(err, "write %zu of %zu", i + 1, list->count);
        }
        job->target[i].collection = collection;
        job->target[i].new_version = write->kind == PK_WRITE_INSERT    ? insert_version(write)
                                     : write->kind == PK_WRITE_REPLACE ? write->version + 1
                                                                       : 0;
        seat[i] = (struct seat){ .key = key_of(write), .write = i };
    }
    return add_touches(list, job, seat, err);
}

bool pk_writes_resolve(const struct pk_store *store, struct pk_writes *list, struct pk_job *job,
                       struct pk_error *err)
{
    if (list->count > PK_WRITES_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "commit it in several lists",
                       "a list of %zu writes; the limit is %d", list->count, (int)PK_WRITES_MAX);
    }
    if (list->bytes > PK_WRITES_MAX_BYTES) {
        return pk_fail(err, PK_TOO_LARGE, "commit it in several lists",
                       "a list of %zu bytes; the limit is %d", list->bytes,
                       (int)PK_WRITES_MAX_BYTES);
    }
    PK_CLEANUP(pk_freep) struct seat *seat = pk_calloc(list->count, sizeof(*seat));
    job->target = pk_calloc(list->count, sizeof(*job->target));
    job->touch = pk_calloc(list->count, sizeof(*job->touch));
    job->touch_count = 0;
    if (!resolve_each(store, list, job, seat, err)) {
        pk_writes_unresolve(job);
        return false;
    }
    return true;
}

void pk_writes_unresolve(struct pk_job *job)
{
    pk_free(job->target);
    pk_free(job->touch);
    job->target = NULL;
    job->touch = NULL;
}
