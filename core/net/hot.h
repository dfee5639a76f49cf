/* hot.h - The process's cache of ready answers: bytes that a loop can send as they are.
 *
 * An entry is immutable and shared by counting references; it outlives its
 * place in the cache as long as somebody sends it. Any thread, at any time.
 *
 * Nothing old is ever served: each person hashes to one of a fixed table of
 * counters, every row of the feed about a person raises it, and an entry is
 * only good while its counter is what it was before the store was read:
 *
 *     stamp = pk_hot_stamp(hot, person);         before the first read
 *     ... read the store, make the bytes ...
 *     pk_hot_put(hot, &fill);                    with that stamp; dropped if it has moved
 *
 *     pk_hot_changed(hot, person);               a feed row about the person
 *     pk_hot_gap(hot);                           rows were missed: nothing is good any more */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_HOT_H
#define PK_NET_HOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_hot; /* Opaque. */

/* Read it; net/ alone makes one. */
struct pk_hot_entry {
    atomic_uint refs;
    const char *content_type; /* Static text. */
    const char *etag;         /* With its quotes; in the entry's own memory, as the next two. */
    const char *data;
    size_t size;

    const char *key;
    size_t key_size;
    uint64_t hash, stamp;
    size_t counter;          /* Whose value 'stamp' was. */
    int64_t expires_mono_ns; /* 0: never. */
    int64_t expires_wall_ms; /* 0: never. */
    int64_t from_wall_ms;    /* Not good before: a wall clock may be set back. */
    struct pk_hot_entry *chain;
    bool is_used; /* Since the hand came by. */
};

struct pk_hot_options {
    const struct pk_clock *clock;
    size_t bytes_max; /* Of all entries; 0: 64 MiB. */
};
struct pk_hot *pk_hot_new(const struct pk_hot_options *options);
void pk_hot_free(struct pk_hot *hot); /* NULL is fine. Entries in use stay. */

uint64_t pk_hot_stamp(struct pk_hot *hot, const char *person);
void pk_hot_changed(struct pk_hot *hot, const char *person);
void pk_hot_gap(struct pk_hot *hot);

struct pk_hot_fill {
    const void *key; /* Whatever tells one answer from another: path, person, what is hidden. */
    size_t key_size;
    const char *person; /* Whom the bytes are about. */
    uint64_t stamp;     /* Of that person, taken before the store was read. */
    const char *content_type;
    const char *etag; /* With its quotes. */
    const void *data; /* Copied, as key and etag. */
    size_t size;
    int64_t expires_mono_ns; /* By whichever comes first; 0: never. */
    int64_t expires_wall_ms;
    int64_t from_wall_ms; /* Not good before; 0: always was. */
};
/* False: the person has changed since the stamp, or the entry is too large to be kept. */
bool pk_hot_put(struct pk_hot *hot, const struct pk_hot_fill *fill);
/* A reference, or NULL when there is none, or it is no longer good. */
struct pk_hot_entry *pk_hot_get(struct pk_hot *hot, const void *key, size_t key_size);
void pk_hot_unref(struct pk_hot_entry *entry); /* NULL is fine. */

struct pk_hot_stats {
    size_t entries, bytes;
    uint64_t hits, misses, evicted;
};
void pk_hot_stats(struct pk_hot *hot, struct pk_hot_stats *out);

#endif
