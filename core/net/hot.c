/* hot.c - Sixteen small hash tables, each with a lock that is held for a look-up.
 *
 * An entry is one allocation: struct, key, etag, bytes. A shard holds at most
 * its share of bytes_max; what must go is found by a hand that walks the
 * buckets and spares, once, what was used since it last came by.
 *
 * Freshness is two numbers. 'counter' (one of 4096, by hash of the person)
 * rises with each change of somebody who hashes there, 'gaps' when changes
 * were missed. Both only rise, so their sum is equal to an older sum only if
 * neither has moved. Whoever fills takes the sum before reading the store: a
 * change that the read did not see has either not been heard of yet (and will
 * raise the sum later) or raised it in between. The look-up compares, so there
 * is nothing to find and remove when a person changes.
 *
 * Locked: table, bytes and figures of a shard by its 'lock'. */
/* SPDX-License-Identifier: MIT */
#include "net/hot.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"

#include <pthread.h>
#include <string.h>

enum {
    SHARDS = 16,    /* A power of two, as the next two. */
    BUCKETS = 4096, /* Of each shard. */
    COUNTERS = 4096,
    BYTES_MAX = 64 * 1024 * 1024,
    OVERHEAD = 64 /* Bytes an entry costs besides what it says. */
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct pk_hot_entry **bucket;
    size_t entries, bytes, bytes_max;
    size_t hand; /* Bucket that is looked at next when something must go. */
    uint64_t hits, misses, evicted;
};
struct pk_hot {
    const struct pk_clock *clock;
    uint64_t seed; /* Of the hash, so that nobody can choose keys that meet. */
    atomic_uint_fast64_t gaps;
    atomic_uint_fast64_t counter[COUNTERS];
    struct shard shard[SHARDS];
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(const struct pk_hot *hot, const void *data, size_t size)
{
    const unsigned char *from = data;
    uint64_t hash = hot->seed ^ size;
    uint64_t word;
    for (; size >= sizeof(word); size -= sizeof(word), from += sizeof(word)) {
        memcpy(&word, from, sizeof(word));
        hash = mix(hash ^ word ^ 0x9E3779B97F4A7C15ULL, hot->seed | 1);
    }
    word = 0;
    memcpy(&word, from, size);
    return mix(hash ^ word ^ 0xD6E8FEB86659FD93ULL, hot->seed | 1);
}

struct pk_hot *pk_hot_new(const struct pk_hot_options *options)
{
    size_t bytes_max = options->bytes_max ? options->bytes_max : (size_t)BYTES_MAX;
    struct pk_hot *hot = pk_calloc(1, sizeof(*hot));
    hot->clock = options->clock;
    hot->seed = pk_random_u64();
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &hot->shard[i];
        (void)pthread_mutex_init(&shard->lock, NULL);
        shard->bucket = pk_calloc(BUCKETS, sizeof(struct pk_hot_entry *));
        shard->bytes_max = bytes_max / SHARDS;
    }
    return hot;
}

void pk_hot_unref(struct pk_hot_entry *entry)
{
    if (entry && atomic_fetch_sub(&entry->refs, 1) == 1) {
        pk_free(entry);
    }
}

/* ---- Freshness ---- */

static size_t counter_of(const struct pk_hot *hot, const char *person)
{
    return (size_t)(hash_of(hot, person, strlen(person)) >> 32) & (COUNTERS - 1);
}

static uint64_t stamp_now(const struct pk_hot *hot, size_t counter)
{
    return hot->gaps + hot->counter[counter];
}

uint64_t pk_hot_stamp(struct pk_hot *hot, const char *person)
{
    return stamp_now(hot, counter_of(hot, person));
}

void pk_hot_changed(struct pk_hot *hot, const char *person)
{
    hot->counter[counter_of(hot, person)]++;
}

void pk_hot_gap(struct pk_hot *hot)
{
    hot->gaps++;
}

static bool is_time(const struct pk_hot *hot, const struct pk_hot_entry *entry)
{
    if (entry->expires_wall_ms == 0 && entry->from_wall_ms == 0) {
        return true;
    }
    const int64_t now_ms = pk_clock_wall_ms(hot->clock);
    return now_ms >= entry->from_wall_ms &&
           (entry->expires_wall_ms == 0 || now_ms < entry->expires_wall_ms);
}

static bool is_good(const struct pk_hot *hot, const struct pk_hot_entry *entry)
{
    return entry->stamp == stamp_now(hot, entry->counter) &&
           !pk_deadline_passed(hot->clock, entry->expires_mono_ns) && is_time(hot, entry);
}

/* ---- The table ---- */

static size_t cost_of(const struct pk_hot_entry *entry)
{
    return sizeof(*entry) + OVERHEAD + entry->key_size + strlen(entry->etag) + entry->size;
}

static struct shard *shard_of(struct pk_hot *hot, uint64_t hash)
{
    return &hot->shard[hash & (SHARDS - 1)];
}

static struct pk_hot_entry **find(struct shard *shard, uint64_t hash, const void *key, size_t size)
{
    struct pk_hot_entry **at = &shard->bucket[(hash >> 8) & (BUCKETS - 1)];
    while (*at &&
           ((*at)->hash != hash || (*at)->key_size != size || memcmp((*at)->key, key, size) != 0)) {
        at = &(*at)->chain;
    }
    return at;
}

static void drop(struct shard *shard, struct pk_hot_entry **at)
{
    struct pk_hot_entry *entry = *at;
    *at = entry->chain;
    shard->entries--;
    shard->bytes -= cost_of(entry);
    pk_hot_unref(entry);
}

/* Moves the hand until 'bytes' more have room. Ends: the second round spares nothing. */
static void make_room(struct shard *shard, size_t bytes)
{
    while (shard->entries > 0 && shard->bytes + bytes > shard->bytes_max) {
        struct pk_hot_entry **at = &shard->bucket[shard->hand++ & (BUCKETS - 1)];
        while (*at) {
            if ((*at)->is_used) {
                (*at)->is_used = false;
                at = &(*at)->chain;
            } else {
                drop(shard, at);
                shard->evicted++;
            }
        }
    }
}

static struct pk_hot_entry *make_entry(const struct pk_hot_fill *fill)
{
    size_t etag_size = strlen(fill->etag) + 1;
    struct pk_hot_entry *entry = pk_alloc(sizeof(*entry) + fill->size + fill->key_size + etag_size);
    char *memory = (char *)(entry + 1);
    memcpy(memory, fill->data, fill->size);
    memcpy(memory + fill->size, fill->key, fill->key_size);
    memcpy(memory + fill->size + fill->key_size, fill->etag, etag_size);
    *entry = (struct pk_hot_entry){ .refs = 1,
                                    .content_type = fill->content_type,
                                    .etag = memory + fill->size + fill->key_size,
                                    .data = memory,
                                    .size = fill->size,
                                    .key = memory + fill->size,
                                    .key_size = fill->key_size,
                                    .stamp = fill->stamp,
                                    .expires_mono_ns = fill->expires_mono_ns,
                                    .expires_wall_ms = fill->expires_wall_ms,
                                    .from_wall_ms = fill->from_wall_ms };
    return entry;
}

bool pk_hot_put(struct pk_hot *hot, const struct pk_hot_fill *fill)
{
    uint64_t hash = hash_of(hot, fill->key, fill->key_size);
    struct shard *shard = shard_of(hot, hash);
    struct pk_hot_entry *entry = make_entry(fill);
    entry->hash = hash;
    entry->counter = counter_of(hot, fill->person);
    size_t cost = cost_of(entry);
    if (!is_good(hot, entry) || cost > shard->bytes_max) {
        pk_hot_unref(entry);
        return false;
    }
    (void)pthread_mutex_lock(&shard->lock);
    struct pk_hot_entry **at = find(shard, hash, fill->key, fill->key_size);
    if (*at) {
        drop(shard, at);
    }
    make_room(shard, cost);
    at = &shard->bucket[(hash >> 8) & (BUCKETS - 1)];
    entry->chain = *at;
    *at = entry;
    shard->entries++;
    shard->bytes += cost;
    (void)pthread_mutex_unlock(&shard->lock);
    return true;
}

struct pk_hot_entry *pk_hot_get(struct pk_hot *hot, const void *key, size_t key_size)
{
    uint64_t hash = hash_of(hot, key, key_size);
    struct shard *shard = shard_of(hot, hash);
    (void)pthread_mutex_lock(&shard->lock);
    struct pk_hot_entry **at = find(shard, hash, key, key_size);
    struct pk_hot_entry *entry = *at;
    if (entry && !is_good(hot, entry)) {
        drop(shard, at);
        entry = NULL;
    }
    if (entry) {
        (void)atomic_fetch_add(&entry->refs, 1);
        entry->is_used = true;
        shard->hits++;
    } else {
        shard->misses++;
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return entry;
}

void pk_hot_free(struct pk_hot *hot)
{
    if (!hot) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &hot->shard[i];
        for (size_t at = 0; at < BUCKETS; at++) {
            while (shard->bucket[at]) {
                drop(shard, &shard->bucket[at]);
            }
        }
        pk_free(shard->bucket);
        (void)pthread_mutex_destroy(&shard->lock);
    }
    pk_free(hot);
}

void pk_hot_stats(struct pk_hot *hot, struct pk_hot_stats *out)
{
    *out = (struct pk_hot_stats){ 0 };
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &hot->shard[i];
        (void)pthread_mutex_lock(&shard->lock);
        out->entries += shard->entries;
        out->bytes += shard->bytes;
        out->hits += shard->hits;
        out->misses += shard->misses;
        out->evicted += shard->evicted;
        (void)pthread_mutex_unlock(&shard->lock);
    }
}
