/* scripts_vitals.c - How one version of a script is doing: counts, times, its last failure.
 *
 * Counted with relaxed atomics, so that calls never wait for each other here.
 * Times go into buckets, eight to each power of two: the bucket of a time is
 * its highest bit and the three bits below it,
 *
 *     1 000 001 ns = 2^19 + 7 * 2^16 + ...   -> bucket 8 * (19 - 2) + 7
 *
 * so a percentile is right to an eighth, whether calls take 10 us or 10 s. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "script/scripts_internal.h"

#include <stdio.h>
#include <string.h>

struct vitals *vitals_new(void)
{
    struct vitals *vitals = pk_calloc(1, sizeof(*vitals));
    vitals->refs = 1;
    (void)pthread_mutex_init(&vitals->mutex, NULL);
    return vitals;
}

struct vitals *vitals_ref(struct vitals *vitals)
{
    (void)atomic_fetch_add_explicit(&vitals->refs, 1, memory_order_relaxed);
    return vitals;
}

void vitals_unref(struct vitals *vitals)
{
    if (vitals && atomic_fetch_sub_explicit(&vitals->refs, 1, memory_order_acq_rel) == 1) {
        (void)pthread_mutex_destroy(&vitals->mutex);
        pk_free(vitals);
    }
}

/* ---- Buckets ---- */

static size_t bucket_of(uint64_t ns)
{
    if (ns < 8) {
        return (size_t)ns;
    }
    const unsigned bit = 63U - (unsigned)__builtin_clzll(ns);
    const size_t bucket = 8 * (size_t)(bit - 2) + (size_t)((ns >> (bit - 3)) & 7);
    return bucket < VITALS_BUCKETS ? bucket : VITALS_BUCKETS - 1;
}

/* The longest time that goes there. */
static int64_t bucket_end(size_t bucket)
{
    if (bucket < 8) {
        return (int64_t)bucket;
    }
    const unsigned shift = (unsigned)(bucket / 8) - 1;
    return (int64_t)(((UINT64_C(9) + bucket % 8) << shift) - 1);
}

static int64_t percentile(const uint32_t *bucket, uint64_t count, double share)
{
    const uint64_t rank = (uint64_t)((double)count * share);
    uint64_t seen = 0;
    for (size_t i = 0; i < VITALS_BUCKETS; i++) {
        seen += bucket[i];
        if (seen > rank) {
            return bucket_end(i);
        }
    }
    return 0;
}

/* ---- Counting and reading ---- */

/* Nobody's calls are each somebody else's. */
static void note_person(struct persons *persons, uint64_t person)
{
    uint64_t first = 0;
    if (person == 0 ||
        (!atomic_compare_exchange_strong(&persons->first, &first, person) && first != person)) {
        atomic_store_explicit(&persons->has_others, true, memory_order_relaxed);
    }
}

bool vitals_fails_for_one(const struct vitals *vitals)
{
    return atomic_load_explicit(&vitals->called.has_others, memory_order_relaxed) &&
           !atomic_load_explicit(&vitals->failed.has_others, memory_order_relaxed);
}

void vitals_count(struct vitals *vitals, uint64_t person, enum pk_jail_end end, int64_t took_ns)
{
    note_person(&vitals->called, person);
    if (end != PK_JAIL_DONE && end != PK_JAIL_NOT_RUN) {
        note_person(&vitals->failed, person);
    }
    (void)atomic_fetch_add_explicit(&vitals->end[end], 1, memory_order_relaxed);
    if (end != PK_JAIL_NOT_RUN) {
        const uint64_t ns = took_ns > 0 ? (uint64_t)took_ns : 0;
        (void)atomic_fetch_add_explicit(&vitals->sum_ns, ns, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&vitals->bucket[bucket_of(ns)], 1, memory_order_relaxed);
    }
}

void vitals_note_failure(struct vitals *vitals, int64_t now_ms, const char *message)
{
    (void)pthread_mutex_lock(&vitals->mutex);
    vitals->failed_ms = now_ms;
    (void)snprintf(vitals->failure, sizeof(vitals->failure), "%s", message);
    (void)pthread_mutex_unlock(&vitals->mutex);
}

void vitals_note_line(struct vitals *vitals, const char *where)
{
    (void)pthread_mutex_lock(&vitals->mutex);
    (void)snprintf(vitals->failure, sizeof(vitals->failure), "%s", where);
    (void)pthread_mutex_unlock(&vitals->mutex);
}

void vitals_totals(struct vitals *vitals, uint64_t *out_calls, uint64_t *out_failures)
{
    uint64_t failures = 0;
    for (int end = 0; end < PK_JAIL_ENDS; end++) {
        if (end != PK_JAIL_DONE && end != PK_JAIL_NOT_RUN) {
            failures += atomic_load_explicit(&vitals->end[end], memory_order_relaxed);
        }
    }
    *out_failures = failures;
    *out_calls = failures + atomic_load_explicit(&vitals->end[PK_JAIL_DONE], memory_order_relaxed);
}

void vitals_read(struct vitals *vitals, struct pk_script_stats *out)
{
    uint32_t bucket[VITALS_BUCKETS];
    uint64_t timed = 0;

    *out = (struct pk_script_stats){ .since_ms = vitals->since_ms };
    vitals_totals(vitals, &out->calls, &out->failures);
    for (int end = 0; end < PK_JAIL_ENDS; end++) {
        out->end[end] = atomic_load_explicit(&vitals->end[end], memory_order_relaxed);
    }
    for (size_t i = 0; i < VITALS_BUCKETS; i++) {
        bucket[i] = atomic_load_explicit(&vitals->bucket[i], memory_order_relaxed);
        timed += bucket[i];
    }
    if (timed) {
        out->mean_ns =
            (int64_t)(atomic_load_explicit(&vitals->sum_ns, memory_order_relaxed) / timed);
        out->p99_ns = percentile(bucket, timed, 0.99);
    }
    (void)pthread_mutex_lock(&vitals->mutex);
    out->failed_ms = vitals->failed_ms;
    memcpy(out->failure, vitals->failure, sizeof(out->failure));
    (void)pthread_mutex_unlock(&vitals->mutex);
}

/* ---- Hashes of which something was said ---- */

static size_t find_said(const struct said *said, const uint8_t hash[PK_HASH_BYTES])
{
    size_t i = 0;
    while (i < said->count && memcmp(said->hash[i], hash, PK_HASH_BYTES) != 0) {
        i++;
    }
    return i;
}

bool said_has(const struct said *said, const uint8_t hash[PK_HASH_BYTES])
{
    return find_said(said, hash) < said->count;
}

bool said_add(struct said *said, const uint8_t hash[PK_HASH_BYTES])
{
    if (said_has(said, hash)) {
        return false;
    }
    if (said->count < SAID_MAX) {
        memcpy(said->hash[said->count++], hash, PK_HASH_BYTES);
    } else {
        memcpy(said->hash[said->next++ % SAID_MAX], hash, PK_HASH_BYTES);
    }
    return true;
}

void said_remove(struct said *said, const uint8_t hash[PK_HASH_BYTES])
{
    const size_t i = find_said(said, hash);
    if (i < said->count) {
        memmove(said->hash[i], said->hash[--said->count], PK_HASH_BYTES);
    }
}
