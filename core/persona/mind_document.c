/* mind_document.c - The stored document taken apart, and written again.
 *
 * Lists are written in the order of their keys, so the same knowledge is the
 * same bytes whatever order it came in. Things that have not changed are
 * copied as the bytes they were. Fields that are not ours (what graph analysis
 * found) go through as they are.
 *
 * 'versions' has a line for everything readable that ever changed, also for
 * what is no longer there; of these the oldest beyond 2,000 are folded into
 * 'floor', the version at which anything without a line may have changed. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/writer.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

static const char *text_of(const bson_iter_t *iter)
{
    return BSON_ITER_HOLDS_UTF8(iter) ? bson_iter_utf8(iter, NULL) : "";
}

static struct slice slice_of(const bson_iter_t *iter)
{
    struct slice slice = { 0 };
    if (BSON_ITER_HOLDS_DOCUMENT(iter)) {
        bson_iter_document(iter, &slice.size, &slice.data);
    }
    return slice;
}

static const char *field_text(struct slice doc, const char *name)
{
    bson_t view;
    bson_iter_t iter;
    return slice_view(doc, &view) && bson_iter_init_find(&iter, &view, name) ? text_of(&iter) : "";
}

/* A list of objects, by the text that names each. */
static void read_list(struct pk_mind *mind, enum mind_kind kind, const bson_iter_t *list,
                      const char *name)
{
    bson_iter_t item;
    if (!BSON_ITER_HOLDS_ARRAY(list) || !bson_iter_recurse(list, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        const struct slice doc = slice_of(&item);
        if (doc.data) {
            mind_add(mind, kind, field_text(doc, name), doc, 0);
        }
    }
    mind_sort(mind, kind);
}

/* Lists whose things are named by kind and key. */
static void read_named(struct pk_mind *mind, enum mind_kind kind, const bson_iter_t *list)
{
    bson_iter_t item, field;
    if (!BSON_ITER_HOLDS_ARRAY(list) || !bson_iter_recurse(list, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        const char *of = "", *key = NULL;
        int64_t number = 0;
        if (!BSON_ITER_HOLDS_DOCUMENT(&item) || !bson_iter_recurse(&item, &field)) {
            continue;
        }
        while (bson_iter_next(&field)) {
            const char *name = bson_iter_key(&field);
            if (strcmp(name, "kind") == 0) {
                of = text_of(&field);
            } else if (strcmp(name, "key") == 0) {
                key = text_of(&field);
            } else if (strcmp(name, "v") == 0) {
                number = bson_iter_as_int64(&field);
            }
        }
        mind_add(mind, kind, mind_name(mind, of, key), slice_of(&item), number);
    }
    mind_sort(mind, kind);
}

static int64_t date_in(const bson_t *stored, const char *map, const char *key, int64_t fallback_ms)
{
    bson_iter_t iter, inside;
    return bson_iter_init_find(&iter, stored, map) && BSON_ITER_HOLDS_DOCUMENT(&iter) &&
                   bson_iter_recurse(&iter, &inside) && bson_iter_find(&inside, key) &&
                   BSON_ITER_HOLDS_DATE_TIME(&inside)
               ? bson_iter_date_time(&inside)
               : fallback_ms;
}

/* Three maps by key become one thing each. */
static void read_hot(struct pk_mind *mind, const bson_t *stored, const bson_iter_t *cache)
{
    bson_iter_t value;
    if (!BSON_ITER_HOLDS_DOCUMENT(cache) || !bson_iter_recurse(cache, &value)) {
        return;
    }
    while (bson_iter_next(&value)) {
        const char *key = bson_iter_key(&value);
        bson_t doc = BSON_INITIALIZER;
        (void)bson_append_iter(&doc, "v", 1, &value);
        BSON_APPEND_DATE_TIME(&doc, "since", date_in(stored, "highVolatileSince", key, 0));
        const int64_t until_ms = date_in(stored, "highVolatileUntil", key, INT64_MAX);
        if (until_ms != INT64_MAX) {
            BSON_APPEND_DATE_TIME(&doc, "until", until_ms);
        }
        mind_add(mind, MIND_HOT, key, mind_keep(mind, &doc), 0);
        bson_destroy(&doc);
    }
    mind_sort(mind, MIND_HOT);
}

static void read_work(struct pk_mind *mind, const bson_iter_t *work)
{
    bson_iter_t field;
    if (BSON_ITER_HOLDS_DOCUMENT(work) && bson_iter_recurse(work, &field) &&
        bson_iter_find(&field, "totalObservationsProcessed")) {
        mind->total = bson_iter_as_int64(&field);
    }
}

static void read_content(struct pk_mind *mind, const bson_t *stored, const char *key,
                         const bson_iter_t *field)
{
    if (strcmp(key, "traits") == 0) {
        read_list(mind, MIND_TRAIT, field, "id");
    } else if (strcmp(key, "goals") == 0) {
        read_list(mind, MIND_GOAL, field, "goalId");
    } else if (strcmp(key, "beliefs") == 0) {
        read_list(mind, MIND_BELIEF, field, "beliefId");
    } else if (strcmp(key, "narrative") == 0) {
        mind_add(mind, MIND_NARRATIVE, "", slice_of(field), 0);
    } else if (strcmp(key, "highVolatileCache") == 0) {
        read_hot(mind, stored, field);
    } else if (strcmp(key, "removed") == 0) {
        read_named(mind, MIND_REMOVED, field);
    } else if (strcmp(key, "seq") == 0) {
        mind->seq = bson_iter_as_int64(field);
    } else if (strcmp(key, "lastUpdated") == 0 && BSON_ITER_HOLDS_DATE_TIME(field)) {
        mind->last_updated_ms = bson_iter_date_time(field);
    } else if (strcmp(key, "processingMetadata") == 0) {
        read_work(mind, field);
    } else if (strcmp(key, "lastProcessedObservationId") == 0) {
        const char *id = text_of(field);
        memcpy(mind->last_obs, id, strlen(id) < PK_UUID_TEXT ? strlen(id) + 1 : 0);
    }
}

static void read_number(struct pk_mind *mind, const char *key, const bson_iter_t *field)
{
    if (strcmp(key, "version") == 0) {
        mind->version = bson_iter_as_int64(field);
    } else if (strcmp(key, "epoch") == 0) {
        mind->epoch = bson_iter_as_int64(field);
    } else if (strcmp(key, "floor") == 0) {
        mind->floor = bson_iter_as_int64(field);
    } else if (strcmp(key, "createdAt") == 0 && BSON_ITER_HOLDS_DATE_TIME(field)) {
        mind->created_ms = bson_iter_date_time(field);
    } else if (strcmp(key, "versions") == 0) {
        read_named(mind, MIND_VERSION, field);
    } else if (strcmp(key, "_id") == 0) {
        mind->person = text_of(field);
    }
}

static void start_again(struct pk_mind *mind)
{
    bson_t doc = BSON_INITIALIZER, none = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, "summary", "");
    BSON_APPEND_ARRAY(&doc, "keyThemes", &none);
    BSON_APPEND_DATE_TIME(&doc, "lastUpdated", mind->created_ms);
    mind_add(mind, MIND_NARRATIVE, "", mind_keep(mind, &doc), 0);
    mind->last_updated_ms = mind->created_ms;
    mind->epoch++;
    bson_destroy(&none);
    bson_destroy(&doc);
}

void mind_read(struct pk_mind *mind, const bson_t *stored, bool is_again)
{
    bson_iter_t field;
    bson_t kept;
    mind->stored = mind_keep(mind, stored);
    mind->person = "";
    if (slice_view(mind->stored, &kept) && bson_iter_init(&field, &kept)) {
        while (bson_iter_next(&field)) {
            const char *key = bson_iter_key(&field);
            read_number(mind, key, &field);
            if (!is_again) {
                read_content(mind, &kept, key, &field);
            }
        }
    }
    if (is_again) {
        start_again(mind);
    }
    mind->version_first = mind->version;
    mind->touch_version = -1;
    mind->seq_first = mind->seq;
}

/* ---- Writing ---- */

static void put_key(struct pk_buf *buf, bson_type_t type, const char *key)
{
    (void)pk_writer_key(buf, type, key, strlen(key));
}

static void put_int(struct pk_buf *buf, const char *key, int64_t value)
{
    put_key(buf, BSON_TYPE_INT64, key);
    pk_writer_int64(buf, value);
}

static void put_date(struct pk_buf *buf, const char *key, int64_t ms)
{
    put_key(buf, BSON_TYPE_DATE_TIME, key);
    pk_writer_int64(buf, ms);
}

static void put_text(struct pk_buf *buf, const char *key, const char *text, size_t length)
{
    put_key(buf, BSON_TYPE_UTF8, key);
    pk_writer_text(buf, text, length);
}

static size_t begin(struct pk_buf *buf, const char *key, bson_type_t type)
{
    put_key(buf, type, key);
    return pk_writer_begin(buf);
}

static void put_list(struct pk_buf *buf, const char *key, const struct mind_table *table)
{
    char room[PK_ARRAY_KEY];
    const size_t start = begin(buf, key, BSON_TYPE_ARRAY);
    for (size_t i = 0; i < table->count; i++) {
        const size_t length = pk_writer_array_key(room, (uint32_t)i);
        (void)pk_writer_key(buf, BSON_TYPE_DOCUMENT, room, length);
        pk_buf_add(buf, table->thing[i].doc.data, table->thing[i].doc.size);
    }
    pk_writer_end(buf, start);
}

/* One of the three maps of what is true just now: 'part' of each thing, where it has one. */
static void put_hot(struct pk_buf *buf, const char *key, const struct mind_table *table,
                    const char *part)
{
    bson_t view;
    bson_iter_t iter;
    const size_t start = begin(buf, key, BSON_TYPE_DOCUMENT);
    for (size_t i = 0; i < table->count; i++) {
        if (slice_view(table->thing[i].doc, &view) && bson_iter_init_find(&iter, &view, part)) {
            pk_writer_copy(buf, table->thing[i].key, strlen(table->thing[i].key), &iter);
        }
    }
    pk_writer_end(buf, start);
}

/* ---- Versions ---- */

/* A thing that has a line and is not there. What lies in other collections ('hot' facts) counts
 * as such, too: to fold its line costs a mapping, never a wrong answer. */
static bool is_gone(const struct pk_mind *mind, const char *name)
{
    const char *colon = strchr(name, ':');
    if (!colon) {
        return false;
    }
    const bool is_trait = strncmp(name, "trait:", 6) == 0;
    const bool is_hot = strncmp(name, "hot:", 4) == 0;
    return (is_trait && !mind_find(mind, MIND_TRAIT, colon + 1)) ||
           (is_hot && !mind_find(mind, MIND_HOT, colon + 1));
}

static int compare_numbers(const void *left, const void *right)
{
    const int64_t *a = left;
    const int64_t *b = right;
    return *a < *b ? 1 : *a > *b ? -1 : 0; /* The newest first. */
}

/* Lines of gone things at or below this version are folded; -1: none. */
static int64_t fold_at(const struct pk_mind *mind)
{
    const struct mind_table *table = &mind->table[MIND_VERSION];
    size_t count = 0;
    if (table->count <= MIND_GONE_MAX) {
        return -1;
    }
    for (size_t i = 0; i < table->count; i++) {
        count += is_gone(mind, table->thing[i].key);
    }
    if (count <= MIND_GONE_MAX) {
        return -1;
    }
    PK_CLEANUP(pk_freep) int64_t *number = pk_calloc(count, sizeof(*number));
    size_t at = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (is_gone(mind, table->thing[i].key)) {
            number[at++] = table->thing[i].number;
        }
    }
    qsort(number, count, sizeof(*number), compare_numbers);
    return number[MIND_GONE_MAX];
}

static void put_versions(struct pk_buf *buf, const struct pk_mind *mind, int64_t fold)
{
    const struct mind_table *table = &mind->table[MIND_VERSION];
    char room[PK_ARRAY_KEY];
    const size_t start = begin(buf, "versions", BSON_TYPE_ARRAY);
    uint32_t at = 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct mind_thing *thing = &table->thing[i];
        const size_t kind = strcspn(thing->key, ":");
        if (thing->number <= fold && is_gone(mind, thing->key)) {
            continue;
        }
        (void)pk_writer_key(buf, BSON_TYPE_DOCUMENT, room, pk_writer_array_key(room, at++));
        const size_t item = pk_writer_begin(buf);
        put_text(buf, "kind", thing->key, kind);
        if (thing->key[kind]) {
            put_text(buf, "key", thing->key + kind + 1, strlen(thing->key) - kind - 1);
        }
        put_int(buf, "v", thing->number);
        pk_writer_end(buf, item);
    }
    pk_writer_end(buf, start);
}

/* Fields that this room does not know. */
static void put_others(struct pk_buf *buf, const struct pk_mind *mind)
{
    static const char *const ours[] = {
        "_id",
        "version",
        "createdAt",
        "lastUpdated",
        "narrative",
        "goals",
        "beliefs",
        "traits",
        "removed",
        "versions",
        "highVolatileCache",
        "highVolatileUntil",
        "seq",
        "epoch",
        "highVolatileSince",
        "lastProcessedObservationId",
        "floor",
        "processingMetadata",
    };
    bson_t stored;
    bson_iter_t field;
    for (bool is_ok = slice_view(mind->stored, &stored) && bson_iter_init(&field, &stored);
         is_ok && bson_iter_next(&field);) {
        bool is_ours = false;
        for (size_t i = 0; i < PK_COUNT(ours) && !is_ours; i++) {
            is_ours = strcmp(ours[i], bson_iter_key(&field)) == 0;
        }
        if (!is_ours) {
            pk_writer_copy(buf, bson_iter_key(&field), bson_iter_key_len(&field), &field);
        }
    }
}

static void put_work(struct pk_buf *buf, const struct pk_mind *mind, int64_t duration_ms)
{
    if (*mind->last_obs) {
        put_text(buf, "lastProcessedObservationId", mind->last_obs, strlen(mind->last_obs));
    }
    const size_t start = begin(buf, "processingMetadata", BSON_TYPE_DOCUMENT);
    put_int(buf, "totalObservationsProcessed", mind->total);
    put_int(buf, "lastProcessingDuration", duration_ms);
    pk_writer_end(buf, start);
}

static void put_all(struct pk_buf *buf, const struct pk_mind *mind, int64_t duration_ms)
{
    const struct mind_table *table = mind->table;
    const struct mind_thing *narrative = mind_find(mind, MIND_NARRATIVE, "");
    const int64_t fold = fold_at(mind);
    const size_t start = pk_writer_begin(buf);

    put_text(buf, "_id", mind->person, strlen(mind->person));
    put_int(buf, "version", mind->version);
    put_date(buf, "createdAt", mind->created_ms);
    put_date(buf, "lastUpdated", mind->last_updated_ms);
    if (narrative) {
        put_key(buf, BSON_TYPE_DOCUMENT, "narrative");
        pk_buf_add(buf, narrative->doc.data, narrative->doc.size);
    }
    put_list(buf, "goals", &table[MIND_GOAL]);
    put_list(buf, "beliefs", &table[MIND_BELIEF]);
    put_list(buf, "traits", &table[MIND_TRAIT]);
    put_hot(buf, "highVolatileCache", &table[MIND_HOT], "v");
    if (table[MIND_HOT].count > 0) {
        put_hot(buf, "highVolatileUntil", &table[MIND_HOT], "until");
        put_hot(buf, "highVolatileSince", &table[MIND_HOT], "since");
    }
    put_others(buf, mind);
    if (table[MIND_REMOVED].count > 0) {
        put_list(buf, "removed", &table[MIND_REMOVED]);
    }
    put_work(buf, mind, duration_ms);
    put_int(buf, "seq", mind->seq);
    put_int(buf, "epoch", mind->epoch);
    put_versions(buf, mind, fold);
    put_int(buf, "floor", fold > mind->floor ? fold : mind->floor);
    pk_writer_end(buf, start);
}

/* ---- Too large ---- */

static bool fail_large(const struct pk_mind *mind, size_t size, struct pk_error *err)
{
    enum { NAMED = 3 };
    const struct mind_table *table = &mind->table[MIND_TRAIT];
    const struct mind_thing *largest[NAMED] = { NULL };
    char names[200] = "";

    for (size_t i = 0; i < table->count; i++) {
        const struct mind_thing *thing = &table->thing[i];
        for (size_t k = 0; k < NAMED; k++) {
            if (!largest[k] || thing->doc.size > largest[k]->doc.size) {
                const struct mind_thing *smaller = largest[k];
                largest[k] = thing;
                thing = smaller;
                if (!thing) {
                    break;
                }
            }
        }
    }
    for (size_t k = 0, at = 0; k < NAMED && largest[k]; k++) {
        const int added = snprintf(names + at, sizeof(names) - at, "%s'%.40s' (%u)", k ? ", " : "",
                                   largest[k]->key, largest[k]->doc.size);
        at += added > 0 && (size_t)added < sizeof(names) - at ? (size_t)added : 0;
    }
    return pk_fail(err, PK_TOO_LARGE, "retract or shorten the largest traits, then send it again",
                   "the mindscape would be %zu bytes of at most 4 MiB; largest are %s", size,
                   *names ? names : "its goals and beliefs");
}

bool pk_mind_document(const struct pk_mind *mind, int64_t duration_ms, bson_t *out,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    put_all(&buf, mind, duration_ms);
    if (buf.size > MIND_BYTES_MAX) {
        return fail_large(mind, buf.size, err);
    }
    pk_writer_take(&buf, out);
    return true;
}

void pk_mind_essence(const bson_t *mindscape, bson_t *out)
{
    bson_init(out);
    bson_copy_to_excluding_noinit(mindscape, out, "version", "versions", "floor", "epoch",
                                  "processingMetadata", NULL);
}
