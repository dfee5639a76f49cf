/* rate.c - Token buckets as one number each, in sets of eight.
 *
 * A bucket is the instant at which it will be full ('full_ns'): taking a token
 * moves that instant back by one interval (window / limit), waiting brings it
 * nearer by itself, and tokens are missing for as many intervals as lie
 * between now and then. No timer fills anything, and an unused bucket is the
 * same as none.
 *
 * A subject's set comes from a keyed hash, so nobody can choose whose
 * neighbour he is. In a full set the newcomer takes over the fullest bucket
 * with the tokens it has: a set of eight can never hand out more than eight
 * buckets hand out. */
/* SPDX-License-Identifier: MIT */
#include "access/rate.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8, LOCKS = 64, CAPACITY_DEFAULT = 65536 };

struct bucket {
    uint64_t tag;    /* Of the subject; 0: never used. */
    int64_t full_ns; /* When it is full, on the mono clock. */
};

struct kind {
    atomic_uint limit; /* Of 'rule', for a first look without a lock. */
    _Atomic uint64_t refused;
    struct pk_rate_rule rule;
    int64_t interval_ns;   /* For one token; it and 'rule' change under all locks. */
    struct bucket *bucket; /* Sets of WAYS. */
};

struct lock {
    _Alignas(64) pthread_mutex_t mutex;
};

struct pk_rate {
    const struct pk_clock *clock;
    uint8_t secret[PK_SHORT_KEY_BYTES]; /* Of the hash. */
    size_t set_count;                   /* Of each kind; a power of two. */
    struct kind kind[PK_RATE_KINDS];
    struct lock *lock; /* LOCKS; by the last bits of the set's number. */
};

static const struct {
    const char *name;
    const char *words; /* In a refusal. */
} kind_table[PK_RATE_KINDS] = {
    [PK_RATE_KEY] = { "key", "with this key" },
    [PK_RATE_ADDRESS] = { "address", "from this address" },
    [PK_RATE_PERSON] = { "person", "about this person" },
};

struct pk_rate *pk_rate_new(const struct pk_rate_options *options)
{
    const size_t capacity = options->capacity ? options->capacity : CAPACITY_DEFAULT;
    struct pk_rate *rate = pk_calloc(1, sizeof(*rate));

    rate->clock = options->clock;
    pk_random(rate->secret, sizeof(rate->secret));
    rate->set_count = 1;
    while (rate->set_count * WAYS < capacity) {
        rate->set_count *= 2;
    }
    rate->lock = aligned_alloc(64, LOCKS * sizeof(*rate->lock));
    if (!rate->lock) {
        abort();
    }
    for (size_t i = 0; i < LOCKS; i++) {
        (void)pthread_mutex_init(&rate->lock[i].mutex, NULL);
    }
    for (size_t i = 0; i < PK_RATE_KINDS; i++) {
        rate->kind[i].bucket = pk_calloc(rate->set_count * WAYS, sizeof(struct bucket));
        pk_rate_set(rate, (enum pk_rate_kind)i, &options->rule[i]);
    }
    return rate;
}

void pk_rate_set(struct pk_rate *rate, enum pk_rate_kind which, const struct pk_rate_rule *rule)
{
    struct kind *kind = &rate->kind[which];
    int64_t interval_ns = 1;

    if (rule->limit) {
        assert(rule->limit <= 1000000 && rule->window_ms > 0 &&
               rule->window_ms <= INT64_C(86400000));
        interval_ns = rule->window_ms * 1000000 / rule->limit;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        (void)pthread_mutex_lock(&rate->lock[i].mutex);
    }
    kind->rule = *rule;
    kind->interval_ns = interval_ns ? interval_ns : 1;
    kind->limit = rule->limit;
    for (size_t i = LOCKS; i > 0; i--) {
        (void)pthread_mutex_unlock(&rate->lock[i - 1].mutex);
    }
}

void pk_rate_free(struct pk_rate *rate)
{
    if (!rate) {
        return;
    }
    for (size_t i = 0; i < PK_RATE_KINDS; i++) {
        pk_free(rate->kind[i].bucket);
    }
    for (size_t i = 0; i < LOCKS; i++) {
        (void)pthread_mutex_destroy(&rate->lock[i].mutex);
    }
    free(rate->lock);
    pk_free(rate);
}

/* What counts of an address: all of IPv4, however written; of IPv6 the network, for one client
 * has all addresses in it. */
static size_t trim_address(const uint8_t **bytes, size_t size)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };
    if (size == 16 && memcmp(*bytes, mapped, sizeof(mapped)) == 0) {
        *bytes += sizeof(mapped);
        return 4;
    }
    return size == 16 ? 8 : size;
}

/* Set and tag of a subject; the tag is never 0. */
static uint64_t hash_subject(const struct pk_rate *rate, const void *subject, size_t size,
                             uint64_t *out_tag)
{
    uint64_t hash[2];
    pk_hash_short(hash, subject, size, rate->secret);
    *out_tag = hash[1] | 1;
    return hash[0] & (rate->set_count - 1);
}

/* The subject's bucket, under the lock; a newcomer gets the fullest one as it is. */
static struct bucket *find_bucket(struct bucket *set, uint64_t tag)
{
    struct bucket *fullest = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].tag == tag) {
            return &set[i];
        }
        fullest = set[i].full_ns < fullest->full_ns ? &set[i] : fullest;
    }
    fullest->tag = tag;
    return fullest;
}

static int64_t seconds_up(int64_t ns)
{
    return ns <= 0 ? 0 : (ns + 999999999) / 1000000000;
}

/* 'full_ns' as it is after the call. */
static struct pk_rate_state state_of(const struct kind *kind, int64_t full_ns, int64_t now_ns,
                                     int64_t wait_ns)
{
    const int64_t missing = (full_ns - now_ns + kind->interval_ns - 1) / kind->interval_ns;
    const int64_t left = (int64_t)kind->rule.limit - missing;
    return (struct pk_rate_state){ .limit = kind->rule.limit,
                                   .remaining = left > 0 ? (uint32_t)left : 0,
                                   .reset_s = seconds_up(full_ns - now_ns),
                                   .retry_s = seconds_up(wait_ns) };
}

/* Returns how long to wait, 0 when the tokens were taken. */
static int64_t take(const struct kind *kind, struct bucket *bucket, uint32_t cost, int64_t now_ns)
{
    const int64_t most_ns = now_ns + (int64_t)kind->rule.limit * kind->interval_ns;
    int64_t full_ns = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;
    full_ns = full_ns < most_ns ? full_ns : most_ns; /* It was emptied under an older rule. */
    const int64_t after_ns = full_ns + (int64_t)cost * kind->interval_ns;

    bucket->full_ns = after_ns <= most_ns ? after_ns : full_ns;
    return after_ns <= most_ns ? 0 : after_ns - most_ns;
}

bool pk_rate_take(struct pk_rate *rate, enum pk_rate_kind which, const void *subject, size_t size,
                  uint32_t cost, struct pk_rate_state *out, struct pk_error *err)
{
    struct kind *kind = &rate->kind[which];
    const uint8_t *bytes = subject;
    struct pk_rate_state state = { 0 };
    uint64_t tag;

    if (!kind->limit) {
        if (out) {
            *out = state;
        }
        return true;
    }
    size = which == PK_RATE_ADDRESS ? trim_address(&bytes, size) : size;
    const uint64_t set = hash_subject(rate, bytes, size, &tag);
    pthread_mutex_t *mutex = &rate->lock[set % LOCKS].mutex;

    (void)pthread_mutex_lock(mutex);
    const int64_t now_ns = pk_clock_mono_ns(rate->clock);
    struct bucket *bucket = find_bucket(&kind->bucket[set * WAYS], tag);
    const struct pk_rate_rule rule = kind->rule;
    cost = cost < rule.limit ? cost : rule.limit;
    const int64_t wait_ns = take(kind, bucket, cost, now_ns);
    state = state_of(kind, bucket->full_ns, now_ns, wait_ns);
    (void)pthread_mutex_unlock(mutex);

    if (out) {
        *out = state;
    }
    if (wait_ns == 0) {
        return true;
    }
    (void)atomic_fetch_add_explicit(&kind->refused, 1, memory_order_relaxed);
    return pk_fail(err, PK_LIMITED, "wait as long as Retry-After says",
                   "too many requests %s: %u are allowed in %lld s, try again in %lld s",
                   kind_table[which].words, rule.limit,
                   (long long)seconds_up(rule.window_ms * 1000000), (long long)state.retry_s);
}

void pk_rate_stats(const struct pk_rate *rate, struct pk_rate_stats *out)
{
    for (size_t i = 0; i < PK_RATE_KINDS; i++) {
        out->refused[i] = atomic_load_explicit(&rate->kind[i].refused, memory_order_relaxed);
    }
}

const char *pk_rate_kind_name(enum pk_rate_kind kind)
{
    return kind_table[kind].name;
}

struct pk_rate_state pk_rate_tighter(struct pk_rate_state a, struct pk_rate_state b)
{
    if (!a.limit || !b.limit) {
        return a.limit ? a : b;
    }
    if (a.retry_s != b.retry_s) {
        return a.retry_s > b.retry_s ? a : b;
    }
    return (uint64_t)a.remaining * b.limit <= (uint64_t)b.remaining * a.limit ? a : b;
}
