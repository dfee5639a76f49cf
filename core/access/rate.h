/* rate.h - How often one key, one address, or all about one person may come.
 *
 * A token bucket each, per node: 'limit' tokens, filled again evenly over
 * 'window_ms'. The memory is fixed, whoever comes: when there is no room for a
 * newcomer, he takes the place of the one with the most tokens left and gets
 * what that one had, never a full bucket. So nobody wins a fresh bucket by
 * pushing his own out, and a flood of strangers gets no more than one table's
 * worth. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_ACCESS_RATE_H
#define PK_ACCESS_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_rate; /* Opaque. */

enum pk_rate_kind {
    PK_RATE_KEY,     /* By key id. */
    PK_RATE_ADDRESS, /* By the client's address: 4 or 16 bytes; of IPv6 the first 8 count. */
    PK_RATE_PERSON,  /* By the person written about. */
    PK_RATE_KINDS
};

struct pk_rate_rule {
    uint32_t limit;    /* Tokens of a full bucket, to 1,000,000; 0: no limit. */
    int64_t window_ms; /* In which an empty one becomes full: to a day. */
};

struct pk_rate_options {
    const struct pk_clock *clock;
    struct pk_rate_rule rule[PK_RATE_KINDS];
    size_t capacity; /* Buckets of each kind; 0: 65,536 (1 MiB each). */
};

struct pk_rate *pk_rate_new(const struct pk_rate_options *options);
void pk_rate_free(struct pk_rate *rate); /* NULL is fine. No call may be under way. */

/* Another rule from here on; what was taken under the old one stays taken, up to an empty bucket.
 */
void pk_rate_set(struct pk_rate *rate, enum pk_rate_kind kind, const struct pk_rate_rule *rule);

/* Requests refused since the start. Any thread. */
struct pk_rate_stats {
    uint64_t refused[PK_RATE_KINDS];
};
void pk_rate_stats(const struct pk_rate *rate, struct pk_rate_stats *out);
/* "key", "address", "person" */
const char *pk_rate_kind_name(enum pk_rate_kind kind);

/* For RateLimit-Limit, -Remaining, -Reset and Retry-After. */
struct pk_rate_state {
    uint32_t limit;     /* 0: there is no limit, and the rest is 0. */
    uint32_t remaining; /* Tokens left. */
    int64_t reset_s;    /* Until the bucket is full again, rounded up. */
    int64_t retry_s;    /* Until it would be granted, rounded up; 0 when it was. */
};
/* Takes 'cost' tokens, or none and fails with PK_LIMITED. A cost above the limit counts as the
 * limit. 'out' may be NULL. */
bool pk_rate_take(struct pk_rate *rate, enum pk_rate_kind kind, const void *subject, size_t size,
                  uint32_t cost, struct pk_rate_state *out, struct pk_error *err);

/* The tighter of two states, as the headers tell one: fewest tokens left, longest wait. */
struct pk_rate_state pk_rate_tighter(struct pk_rate_state a, struct pk_rate_state b);

#endif
