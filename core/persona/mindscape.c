/* mindscape.c - The mindscapes of those who are asked for most, kept in memory.
 *
 * An entry is good while the person's counter (net/hot.h) is what it was
 * before the store was read: every row of the feed about the person moves it,
 * and a gap moves all. So nothing old is ever handed out, and nothing has to
 * be told to this cache.
 *
 *     stamp = pk_hot_stamp(person);     before the read
 *     read the store
 *     keep it with that stamp
 *
 * The table is cut into shards by the hash of the person, each with a lock of
 * its own, held for a look-up and never for a read. Within a shard entries
 * stand in a ring; a hand goes round and drops those that were not used since
 * it last came by, until there is room.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/mindscape.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "net/hot.h"
#include "store/store.h"

#include <pthread.h>
#include <string.h>

enum { SHARDS = 16, BUCKETS = 1024, BYTES_DEFAULT = 64 * 1024 * 1024, ENTRY_COST = 160 };

struct mind_entry {
    struct mind_entry *chain;         /* Of its bucket. */
    struct mind_entry *next, *before; /* Of the ring. */
    struct pk_doc *doc;
    uint64_t stamp; /* The person's counter before the read. */
    size_t bytes;
    size_t bucket;
    bool is_used; /* Since the hand came by. */
    char person[PK_UUID_TEXT];
};
struct shard {
    pthread_mutex_t mutex;
    struct mind_entry *bucket[BUCKETS];
    struct mind_entry *hand; /* Somewhere in the ring; NULL: empty. */
    size_t entries, bytes;
    uint64_t hits, misses, evicted;
};
struct pk_minds {
    struct pk_hot *hot;
    size_t shard_max; /* Bytes of one shard. */
    uint8_t key[PK_SHORT_KEY_BYTES];
    struct shard shard[SHARDS];
};

struct pk_minds *pk_minds_new(struct pk_hot *hot, size_t bytes_max)
{
    struct pk_minds *minds = pk_calloc(1, sizeof(*minds));
    minds->hot = hot;
    minds->shard_max = (bytes_max ? bytes_max : BYTES_DEFAULT) / SHARDS;
    pk_random(minds->key, sizeof(minds->key));
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&minds->shard[i].mutex, NULL);
    }
    return minds;
}

/* ---- A shard, under its lock ---- */

static void drop(struct shard *shard, struct mind_entry *entry)
{
    struct mind_entry **at = &shard->bucket[entry->bucket];
    while (*at != entry) {
        at = &(*at)->chain;
    }
    *at = entry->chain;
    if (shard->hand == entry) {
        shard->hand = entry->next == entry ? NULL : entry->next;
    }
    entry->next->before = entry->before;
    entry->before->next = entry->next;
    shard->entries--;
    shard->bytes -= entry->bytes;
    pk_doc_unref(entry->doc);
    pk_free(entry);
}

static struct mind_entry *find(struct shard *shard, size_t bucket, const char *person)
{
    struct mind_entry *entry = shard->bucket[bucket];
    while (entry && strcmp(entry->person, person) != 0) {
        entry = entry->chain;
    }
    return entry;
}

static void make_room(struct shard *shard, size_t bytes, size_t bytes_max)
{
    while (shard->hand && shard->bytes + bytes > bytes_max) {
        struct mind_entry *entry = shard->hand;
        shard->hand = entry->next;
        if (entry->is_used) {
            entry->is_used = false;
        } else {
            shard->evicted++;
            drop(shard, entry);
        }
    }
}

static void add(struct shard *shard, struct mind_entry *entry)
{
    entry->chain = shard->bucket[entry->bucket];
    shard->bucket[entry->bucket] = entry;
    if (shard->hand) { /* Behind the hand: it comes by last. */
        entry->next = shard->hand;
        entry->before = shard->hand->before;
        entry->before->next = entry;
        shard->hand->before = entry;
    } else {
        entry->next = entry->before = entry;
        shard->hand = entry;
    }
    shard->entries++;
    shard->bytes += entry->bytes;
}

void pk_minds_free(struct pk_minds *minds)
{
    if (!minds) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        while (minds->shard[i].hand) {
            drop(&minds->shard[i], minds->shard[i].hand);
        }
        (void)pthread_mutex_destroy(&minds->shard[i].mutex);
    }
    pk_free(minds);
}

void pk_minds_stats(struct pk_minds *minds, struct pk_minds_stats *out)
{
    *out = (struct pk_minds_stats){ 0 };
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &minds->shard[i];
        (void)pthread_mutex_lock(&shard->mutex);
        out->entries += shard->entries;
        out->bytes += shard->bytes;
        out->hits += shard->hits;
        out->misses += shard->misses;
        out->evicted += shard->evicted;
        (void)pthread_mutex_unlock(&shard->mutex);
    }
}

/* ---- Reading ---- */

static struct shard *shard_of(struct pk_minds *minds, const char *person, size_t *out_bucket)
{
    uint64_t hash[2];
    pk_hash_short(hash, person, strlen(person), minds->key);
    *out_bucket = hash[1] % BUCKETS;
    return &minds->shard[hash[0] % SHARDS];
}

/* A reference, or NULL. One that is no longer good goes. */
static struct pk_doc *look(struct pk_minds *minds, const char *person, uint64_t stamp)
{
    size_t bucket = 0;
    struct shard *shard = shard_of(minds, person, &bucket);
    struct pk_doc *doc = NULL;

    (void)pthread_mutex_lock(&shard->mutex);
    struct mind_entry *entry = find(shard, bucket, person);
    if (entry && entry->stamp == stamp) {
        entry->is_used = true;
        doc = pk_doc_ref(entry->doc);
        shard->hits++;
    } else {
        shard->misses++;
        if (entry) {
            drop(shard, entry);
        }
    }
    (void)pthread_mutex_unlock(&shard->mutex);
    return doc;
}

static void keep(struct pk_minds *minds, const char *person, uint64_t stamp, struct pk_doc *doc)
{
    const size_t bytes = pk_doc_size(doc) + ENTRY_COST;
    size_t bucket = 0;
    struct shard *shard = shard_of(minds, person, &bucket);

    if (bytes > minds->shard_max / 2 || strlen(person) >= PK_UUID_TEXT) {
        return;
    }
    struct mind_entry *entry = pk_calloc(1, sizeof(*entry));
    *entry = (struct mind_entry){
        .doc = pk_doc_ref(doc),
        .stamp = stamp,
        .bytes = bytes,
        .bucket = bucket,
    };
    memcpy(entry->person, person, strlen(person) + 1);
    (void)pthread_mutex_lock(&shard->mutex);
    struct mind_entry *old = find(shard, bucket, person);
    if (old) {
        drop(shard, old);
    }
    make_room(shard, bytes, minds->shard_max);
    add(shard, entry);
    (void)pthread_mutex_unlock(&shard->mutex);
}

bool pk_mindscape_read(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                       struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(domain->books->store, "mindscapes", person, deadline_ns, out, err) ||
           pk_wrap(err, "read the mindscape");
}

bool pk_mindscape_get(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err)
{
    struct pk_minds *minds = domain->minds;
    const uint64_t stamp = pk_hot_stamp(minds->hot, person);

    *out = look(minds, person, stamp);
    if (*out) {
        return true;
    }
    if (!pk_mindscape_read(domain, person, deadline_ns, out, err)) {
        return false;
    }
    if (*out) {
        keep(minds, person, stamp, *out);
    }
    return true;
}

/* ---- A new one ---- */

struct pk_doc *pk_mindscape_empty(const char *person, int64_t now_ms)
{
    bson_t *bson = bson_new();
    bson_t child;

    BSON_APPEND_UTF8(bson, "_id", person);
    BSON_APPEND_INT64(bson, "version", 0);
    BSON_APPEND_DATE_TIME(bson, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "lastUpdated", now_ms);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "narrative", &child);
    BSON_APPEND_UTF8(&child, "summary", "");
    bson_t themes = BSON_INITIALIZER;
    BSON_APPEND_ARRAY(&child, "keyThemes", &themes);
    BSON_APPEND_DATE_TIME(&child, "lastUpdated", now_ms);
    bson_append_document_end(bson, &child);
    BSON_APPEND_ARRAY(bson, "goals", &themes);
    BSON_APPEND_ARRAY(bson, "beliefs", &themes);
    BSON_APPEND_ARRAY(bson, "traits", &themes);
    BSON_APPEND_DOCUMENT(bson, "highVolatileCache", &themes);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "processingMetadata", &child);
    BSON_APPEND_INT64(&child, "totalObservationsProcessed", 0);
    BSON_APPEND_INT64(&child, "lastProcessingDuration", 0);
    bson_append_document_end(bson, &child);
    BSON_APPEND_INT64(bson, "seq", 0);
    BSON_APPEND_INT64(bson, "epoch", 0);
    BSON_APPEND_ARRAY(bson, "versions", &themes);
    BSON_APPEND_INT64(bson, "floor", 0);
    bson_destroy(&themes);
    return pk_doc_take(bson);
}
