/* keyring.h - From the key on a request to who asks, in memory.
 *
 * A look-up never waits: it hashes the secret, compares, and answers yes, no,
 * or "not in memory"; then the caller goes to a thread that may wait and calls
 * pk_keyring_fetch, which reads the store and answers for good.
 *
 *     switch (pk_keyring_look(ring, text, size, is_read, &principal, err)) {
 *     case PK_LOOK_FOUND:    principal is a reference of yours
 *     case PK_LOOK_REFUSED:  err is PK_UNAUTHORIZED or PK_UNAVAILABLE
 *     case PK_LOOK_AWAY:     pk_keyring_fetch on an executor
 *     }
 *
 * The one watcher of the process tells it what the feed says (pk_keyring_hear):
 * an event about an actor or key makes what was known of that actor void at
 * once, a gap everything. When the feed has not answered for 'stale_ms', every
 * look-up says PK_UNAVAILABLE, for a revocation might have been missed; reads
 * may be allowed longer by 'stale_read_ms'.
 *
 * Any number of threads may look, fetch and hear at the same time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_KEYRING_H
#define PK_ACCESS_KEYRING_H

#include "access/principal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_feed_item;
struct pk_keyring; /* Opaque. */
struct pk_peppers;
struct pk_store;

struct pk_keyring_options {
    struct pk_store *store;
    const struct pk_clock *clock;
    const struct pk_peppers *peppers; /* Outlives the keyring. */
    int64_t stale_ms;                 /* 0: 2,000. */
    int64_t stale_read_ms;            /* For reads; below stale_ms: stale_ms. */
    size_t capacity;                  /* Keys held; 0: 16,384. */
};

struct pk_keyring *pk_keyring_new(const struct pk_keyring_options *options);
void pk_keyring_free(struct pk_keyring *ring); /* NULL is fine. No call may be under way. */

enum pk_look { PK_LOOK_FOUND, PK_LOOK_REFUSED, PK_LOOK_AWAY };

/* 'text' is what stands behind "Bearer ", any bytes. Refusals of unknown, expired, revoked and
 * suspended keys are the same in words and in work. 'is_read': the request changes nothing. */
enum pk_look pk_keyring_look(struct pk_keyring *ring, const char *text, size_t size, bool is_read,
                             struct pk_principal **out, struct pk_error *err);
/* The same, and reads the store for what is not in memory: blocks. */
bool pk_keyring_fetch(struct pk_keyring *ring, const char *text, size_t size, bool is_read,
                      int64_t deadline_ns, struct pk_principal **out, struct pk_error *err);
/* Who had this key when the feed last spoke, if he is in memory; a reference, or NULL. However long
 * that is ago: for nothing but what tells an operator why no key can be confirmed. */
struct pk_principal *pk_keyring_recall(struct pk_keyring *ring, const char *text, size_t size);
/* Whether a principal from here still holds: for streams that stay open, each time before they
 * send. AWAY: something about its actor has changed, pk_keyring_renew says what. */
enum pk_look pk_keyring_still(struct pk_keyring *ring, const struct pk_principal *principal,
                              bool is_read, struct pk_error *err);
/* Reads the principal's key anew: blocks. The old reference stays the caller's. */
bool pk_keyring_renew(struct pk_keyring *ring, const struct pk_principal *principal, bool is_read,
                      int64_t deadline_ns, struct pk_principal **out, struct pk_error *err);

/* What the feed said, QUIET included: each is an answer. */
void pk_keyring_hear(struct pk_keyring *ring, const struct pk_feed_item *item);
/* Milliseconds since the feed last answered; INT64_MAX: never. For /readyz. */
int64_t pk_keyring_silence_ms(const struct pk_keyring *ring);

struct pk_keyring_stats {
    uint64_t hits, fetches, refusals; /* Looked up in memory; read from the store; answered no. */
    uint64_t voided;                  /* Events that made something void. */
};
void pk_keyring_stats(const struct pk_keyring *ring, struct pk_keyring_stats *out);

#endif
