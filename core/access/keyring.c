/* keyring.c - Keys in memory: sets of eight under small locks, made void by numbers.
 *
 * What was heard is numbered. 'seq' counts the events that void something;
 * 'voided[h]' is the number of the last one about an actor whose id hashes to
 * h, 'floor' that of the last gap. A fill notes 'seq' before it reads the
 * store and stamps what it has read with that number; a principal holds as
 * long as no number that concerns it is above its stamp:
 *
 *     fill:   note 5 ........ read the store ........ keep with stamp 5
 *     feed:              event about the actor: seq 6, voided[h] = 6
 *     look:   6 > 5: not in memory
 *
 * So a fill that began before an event is dropped without anybody waiting for
 * it, and voiding an actor is one store, however many keys he has. (Two actors
 * with one h cost each other a read now and then.) Who hears an event and then
 * reads the store sees at least the write that announced it.
 *
 * Ids that nobody has are kept, too, in a table of their own, so that a flood
 * of them neither reaches the store twice nor pushes out real keys; any event
 * about an actor or key voids them all.
 *
 * A lock covers one shard of the sets for as long as it takes to compare eight
 * ids; hashing is done outside.
 *
 * The keyed BLAKE2b of a key was a tenth of what a hot request costs, so it is
 * made once: a key that has passed it leaves its seal in its slot, 128 bits of
 * SipHash under a secret of this process, which only the same key makes again.
 * The seal goes with the principal it was made for, so it outlives no event,
 * and it is never the reason for a no: what does not fit it is asked for its
 * BLAKE2b. Everybody who is refused, with an id that somebody has or nobody,
 * costs one seal, two comparisons in constant time and one BLAKE2b. A guess
 * fits by chance once in 2^128. (The secret itself is not kept, though that
 * would be faster still: a copy of this memory must not hold working keys of
 * those who are not asking just then.) */
/* SPDX-License-Identifier: MIT */
#include "access/keyring.h"

#include "access/key.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAYS = 8,        /* Keys in a set. */
    SHARDS = 64,     /* Locks. A power of two. */
    VOIDED = 1024,   /* Numbers by hash of the actor. A power of two. */
    UNKNOWNS = 8192, /* Ids held that nobody has. */
    CAPACITY_DEFAULT = 16384,
    STALE_DEFAULT_MS = 2000,
    FETCHES_MAX = 8 /* Reads for one call, while the actor keeps changing. */
};

struct seal {
    uint64_t half[2];
    bool is_set;
};
struct slot {
    char id[PK_KEY_ID];             /* Of the key; no NUL. */
    bool is_used;                   /* Else the rest means nothing. */
    struct seal seal;               /* Of a key that has fitted 'principal'. */
    uint64_t stamp;                 /* 'seq' before it was read. */
    struct pk_principal *principal; /* A reference; NULL in the table of unknown ids. */
};

struct table {
    struct slot *slot; /* Sets of WAYS. */
    size_t set_count;  /* A power of two. */
};

struct shard {
    _Alignas(64) pthread_mutex_t lock; /* Covers the sets whose number ends in this shard's. */
    uint64_t hits, fetches, refusals;  /* Since the start. */
    unsigned turn;                     /* Which way of a full set goes next. */
};

struct pk_keyring {
    struct pk_store *store;
    const struct pk_clock *clock;
    const struct pk_peppers *peppers;
    int64_t stale_ns[2]; /* For writes, for reads. */
    uint64_t seed;       /* Of the sets, so that nobody can aim at one. */
    uint8_t seal_key[PK_SHORT_KEY_BYTES];
    struct table known, unknown;
    _Atomic int64_t heard_ns;       /* When the feed last answered; 0: never. */
    _Atomic uint64_t seq;           /* Events that voided something. */
    _Atomic uint64_t floor;         /* What was read before this is void. */
    _Atomic uint64_t unknown_floor; /* The same for ids that nobody has. */
    _Atomic uint64_t voided[VOIDED];
    struct shard shard[SHARDS];
};

/* ---- Making one ---- */

static void table_init(struct table *table, size_t capacity)
{
    table->set_count = SHARDS;
    while (table->set_count * WAYS < capacity) {
        table->set_count *= 2;
    }
    table->slot = pk_calloc(table->set_count * WAYS, sizeof(*table->slot));
}

static void table_done(struct table *table)
{
    for (size_t i = 0; i < table->set_count * WAYS; i++) {
        pk_principal_unref(table->slot[i].principal);
    }
    pk_free(table->slot);
}

struct pk_keyring *pk_keyring_new(const struct pk_keyring_options *options)
{
    const int64_t stale_ms = options->stale_ms ? options->stale_ms : STALE_DEFAULT_MS;
    const int64_t read_ms = options->stale_read_ms > stale_ms ? options->stale_read_ms : stale_ms;
    struct pk_keyring *ring = aligned_alloc(64, sizeof(*ring)); /* For the shards. */
    if (!ring) {
        abort();
    }
    memset(ring, 0, sizeof(*ring));
    ring->store = options->store;
    ring->clock = options->clock;
    ring->peppers = options->peppers;
    ring->stale_ns[false] = stale_ms * 1000000;
    ring->stale_ns[true] = read_ms * 1000000;
    ring->seed = pk_random_u64();
    pk_random(ring->seal_key, sizeof(ring->seal_key));
    table_init(&ring->known, options->capacity ? options->capacity : CAPACITY_DEFAULT);
    table_init(&ring->unknown, UNKNOWNS);
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&ring->shard[i].lock, NULL);
    }
    return ring;
}

void pk_keyring_free(struct pk_keyring *ring)
{
    if (ring) {
        table_done(&ring->known);
        table_done(&ring->unknown);
        for (size_t i = 0; i < SHARDS; i++) {
            (void)pthread_mutex_destroy(&ring->shard[i].lock);
        }
        free(ring);
    }
}

/* ---- The tables ---- */

/* Which set an id lies in: two multiplications over its 16 characters and the seed. */
static uint64_t hash_id(const struct pk_keyring *ring, const char *id)
{
    uint64_t a;
    uint64_t b;
    memcpy(&a, id, sizeof(a));
    memcpy(&b, id + sizeof(a), sizeof(b));
    uint64_t hash = (a ^ ring->seed) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    hash = (hash ^ b) * 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 32;
}

static struct shard *shard_of(struct pk_keyring *ring, uint64_t hash)
{
    return &ring->shard[hash & (SHARDS - 1)];
}

static struct slot *set_of(const struct table *table, uint64_t hash)
{
    return &table->slot[(hash & (table->set_count - 1)) * WAYS];
}

/* Under the shard's lock. NULL: not held. */
static struct slot *find_slot(const struct table *table, uint64_t hash, const char *id)
{
    struct slot *set = set_of(table, hash);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].is_used && memcmp(set[i].id, id, PK_KEY_ID) == 0) {
            return &set[i];
        }
    }
    return NULL;
}

/* Under the shard's lock: where an id goes that is not held. */
static struct slot *pick_slot(const struct table *table, struct shard *shard, uint64_t hash)
{
    struct slot *set = set_of(table, hash);
    for (size_t i = 0; i < WAYS; i++) {
        if (!set[i].is_used) {
            return &set[i];
        }
    }
    return &set[shard->turn++ % WAYS];
}

/* Under the shard's lock. Returns the table's reference, the caller's now; or NULL. */
static struct pk_principal *take_out(const struct table *table, uint64_t hash, const char *id)
{
    struct slot *slot = find_slot(table, hash, id);
    struct pk_principal *principal = slot ? slot->principal : NULL;
    if (slot) {
        *slot = (struct slot){ .is_used = false };
    }
    return principal;
}

/* Keeps what was read under 'stamp'; takes a reference of its own. NULL: nobody has this id. An id
 * lies in one table: a key that is gone would else be looked for among the known ones for ever. */
static void keep(struct pk_keyring *ring, const char *id, uint64_t stamp,
                 struct pk_principal *principal)
{
    const uint64_t hash = hash_id(ring, id);
    struct shard *shard = shard_of(ring, hash);
    const struct table *table = principal ? &ring->known : &ring->unknown;
    const struct table *other = principal ? &ring->unknown : &ring->known;

    (void)pthread_mutex_lock(&shard->lock);
    shard->fetches++;
    struct pk_principal *gone = take_out(other, hash, id);
    struct slot *slot = find_slot(table, hash, id);
    slot = slot ? slot : pick_slot(table, shard, hash);
    struct pk_principal *old = slot->principal;
    memcpy(slot->id, id, PK_KEY_ID);
    slot->is_used = true;
    slot->stamp = stamp;
    slot->seal.is_set = false;
    slot->principal = principal ? pk_principal_ref(principal) : NULL;
    (void)pthread_mutex_unlock(&shard->lock);
    pk_principal_unref(gone);
    pk_principal_unref(old);
}

/* ---- What holds ---- */

static size_t voided_place(const char *actor_id)
{
    uint64_t hash = 0xCBF29CE484222325u;
    uint64_t word = 0;
    size_t left = strlen(actor_id);
    for (; left > 0; actor_id += word, left -= word) { /* As FNV-1a, of eight bytes at a time. */
        uint64_t part = 0;
        word = left < sizeof(part) ? left : sizeof(part);
        memcpy(&part, actor_id, word);
        hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    return hash & (VOIDED - 1);
}

static bool is_current(struct pk_keyring *ring, const struct pk_principal *principal)
{
    return principal->stamp >= atomic_load(&ring->floor) &&
           principal->stamp >= atomic_load(&ring->voided[principal->voided_place]);
}

int64_t pk_keyring_silence_ms(const struct pk_keyring *ring)
{
    const int64_t heard_ns = atomic_load(&ring->heard_ns);
    return heard_ns ? (pk_clock_mono_ns(ring->clock) - heard_ns) / 1000000 : INT64_MAX;
}

static bool check_feed(const struct pk_keyring *ring, bool is_read, struct pk_error *err)
{
    const int64_t heard_ns = atomic_load(&ring->heard_ns);
    if (heard_ns && pk_clock_mono_ns(ring->clock) - heard_ns <= ring->stale_ns[is_read]) {
        return true;
    }
    return pk_fail(err, PK_UNAVAILABLE, "try again; if it lasts, look at /readyz and the store",
                   "the store has not answered for a while, so no key can be confirmed");
}

/* One text for all: nothing tells a revoked key from one that never was. */
static bool refuse(struct pk_error *err)
{
    return pk_fail(err, PK_UNAUTHORIZED, "send 'Authorization: Bearer' and a valid key",
                   "the key is missing or not valid");
}

static bool is_alive(const struct pk_keyring *ring, const struct pk_principal *principal)
{
    return principal->is_active && (principal->expires_at_ms == INT64_MAX ||
                                    pk_clock_wall_ms(ring->clock) < principal->expires_at_ms);
}

/* ---- Looking ---- */

/* What memory says of an id: '*out' is a reference, or NULL with true for one that nobody has. */
static bool find(struct pk_keyring *ring, const char *id, struct pk_principal **out,
                 struct seal *out_seal)
{
    const uint64_t hash = hash_id(ring, id);
    struct shard *shard = shard_of(ring, hash);
    bool is_found = false;

    *out = NULL;
    (void)pthread_mutex_lock(&shard->lock);
    struct slot *slot = find_slot(&ring->known, hash, id);
    if (slot) {
        *out = pk_principal_ref(slot->principal);
        *out_seal = slot->seal;
        is_found = true;
        shard->hits++;
    } else {
        slot = find_slot(&ring->unknown, hash, id);
        is_found = slot && slot->stamp >= atomic_load(&ring->unknown_floor);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    return is_found;
}

static struct seal make_seal(const struct pk_keyring *ring, const struct pk_key *key)
{
    struct seal seal = { .is_set = true };
    pk_hash_short(seal.half, key, sizeof(*key), ring->seal_key); /* Characters and two NULs. */
    return seal;
}

/* 'principal' has this key: if it is held still, the next look is quick. */
static void put_seal(struct pk_keyring *ring, const char *id, const struct pk_principal *principal,
                     const struct seal *seal)
{
    const uint64_t hash = hash_id(ring, id);
    struct shard *shard = shard_of(ring, hash);
    (void)pthread_mutex_lock(&shard->lock);
    struct slot *slot = find_slot(&ring->known, hash, id);
    if (slot && slot->principal == principal) {
        slot->seal = *seal;
    }
    (void)pthread_mutex_unlock(&shard->lock);
}

/* The same work for all who do not fit: one seal and one hash, each compared; also for an id that
 * nobody has. */
static bool key_fits(struct pk_keyring *ring, const struct pk_key *key,
                     const struct pk_principal *principal, const struct seal *held)
{
    static const uint8_t no_hash[PK_HASH_BYTES] = { 0 };
    const struct seal made = make_seal(ring, key);
    const uint64_t differ = /* In a time that says nothing. */
        (made.half[0] ^ held->half[0]) | (made.half[1] ^ held->half[1]);
    if (differ == 0 && held->is_set) {
        return true;
    }
    const bool fits =
        pk_key_fits(key, principal ? pk_peppers_find(ring->peppers, principal->pepper_id) : NULL,
                    principal ? principal->hash : no_hash);
    if (fits && principal) {
        put_seal(ring, key->id, principal, &made);
    }
    return fits;
}

static void count_refusal(struct pk_keyring *ring, const char *id)
{
    struct shard *shard = shard_of(ring, hash_id(ring, id));
    (void)pthread_mutex_lock(&shard->lock);
    shard->refusals++;
    (void)pthread_mutex_unlock(&shard->lock);
}

/* What memory alone says, however old it is. */
static enum pk_look recall(struct pk_keyring *ring, const struct pk_key *key,
                           struct pk_principal **out, struct pk_error *err)
{
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *principal = NULL;
    struct seal seal = { 0 };

    *out = NULL;
    if (!find(ring, key->id, &principal, &seal)) {
        return PK_LOOK_AWAY;
    }
    const bool fits = key_fits(ring, key, principal, &seal);
    if (principal && !is_current(ring, principal)) { /* Last, so that no revocation slips by. */
        return PK_LOOK_AWAY;
    }
    if (!fits || !is_alive(ring, principal)) {
        count_refusal(ring, key->id);
        (void)refuse(err);
        return PK_LOOK_REFUSED;
    }
    *out = principal;
    principal = NULL;
    return PK_LOOK_FOUND;
}

static enum pk_look look(struct pk_keyring *ring, const struct pk_key *key, bool is_read,
                         struct pk_principal **out, struct pk_error *err)
{
    *out = NULL;
    return check_feed(ring, is_read, err) ? recall(ring, key, out, err) : PK_LOOK_REFUSED;
}

enum pk_look pk_keyring_look(struct pk_keyring *ring, const char *text, size_t size, bool is_read,
                             struct pk_principal **out, struct pk_error *err)
{
    PK_CLEANUP(pk_key_wipe) struct pk_key key;

    *out = NULL;
    if (!pk_key_parse(&key, text, size)) {
        (void)refuse(err);
        return PK_LOOK_REFUSED;
    }
    return look(ring, &key, is_read, out, err);
}

struct pk_principal *pk_keyring_recall(struct pk_keyring *ring, const char *text, size_t size)
{
    PK_CLEANUP(pk_key_wipe) struct pk_key key;
    struct pk_principal *principal = NULL;
    if (pk_key_parse(&key, text, size)) {
        (void)recall(ring, &key, &principal, NULL);
    }
    return principal;
}

/* ---- Reading the store ---- */

/* Reads the actor who has this key. '*out' is NULL when nobody has; else a reference, kept. */
static bool fill(struct pk_keyring *ring, const char *key_id, int64_t deadline_ns,
                 struct pk_principal **out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "actors",
                                    .index = "by_key",
                                    .equal = { PK_TEXT(key_id) },
                                    .equal_count = 1,
                                    .limit = 1 };
    const uint64_t noted = atomic_load(&ring->seq); /* Before the read: see the story. */

    *out = NULL;
    if (!pk_store_find(ring->store, &query, deadline_ns, &page, err)) {
        return pk_wrap(err, "look for the key");
    }
    struct pk_principal *principal = page.count > 0 ? pk_principal_new(page.doc[0], key_id) : NULL;
    if (principal) {
        principal->stamp = noted;
        principal->voided_place = voided_place(principal->actor_id);
    }
    keep(ring, key_id, noted, principal);
    *out = principal;
    return true;
}

static bool fail_restless(struct pk_error *err)
{
    return pk_fail(err, PK_BUSY, "try again", "the actor is being changed all the time");
}

bool pk_keyring_fetch(struct pk_keyring *ring, const char *text, size_t size, bool is_read,
                      int64_t deadline_ns, struct pk_principal **out, struct pk_error *err)
{
    PK_CLEANUP(pk_key_wipe) struct pk_key key;

    *out = NULL;
    if (!pk_key_parse(&key, text, size)) {
        return refuse(err);
    }
    for (int i = 0; i < FETCHES_MAX; i++) {
        PK_CLEANUP(pk_principal_unrefp) struct pk_principal *read = NULL;
        const enum pk_look found = look(ring, &key, is_read, out, err);
        if (found != PK_LOOK_AWAY) {
            return found == PK_LOOK_FOUND;
        }
        if (!fill(ring, key.id, deadline_ns, &read, err)) {
            return false;
        }
    }
    return fail_restless(err);
}

enum pk_look pk_keyring_still(struct pk_keyring *ring, const struct pk_principal *principal,
                              bool is_read, struct pk_error *err)
{
    if (!check_feed(ring, is_read, err)) {
        return PK_LOOK_REFUSED;
    }
    if (!is_current(ring, principal)) {
        return PK_LOOK_AWAY;
    }
    if (!is_alive(ring, principal)) {
        (void)refuse(err);
        return PK_LOOK_REFUSED;
    }
    return PK_LOOK_FOUND;
}

bool pk_keyring_renew(struct pk_keyring *ring, const struct pk_principal *principal, bool is_read,
                      int64_t deadline_ns, struct pk_principal **out, struct pk_error *err)
{
    *out = NULL;
    for (int i = 0; i < FETCHES_MAX; i++) {
        PK_CLEANUP(pk_principal_unrefp) struct pk_principal *read = NULL;
        if (!fill(ring, principal->key_id, deadline_ns, &read, err)) {
            return false;
        }
        /* The secret was checked against this hash once; it must still be the same key. */
        if (!read || strcmp(read->actor_id, principal->actor_id) != 0 ||
            !pk_secret_equal(read->hash, principal->hash, PK_HASH_BYTES)) {
            return refuse(err);
        }
        const enum pk_look still = pk_keyring_still(ring, read, is_read, err);
        if (still == PK_LOOK_FOUND) {
            *out = read;
            read = NULL;
        }
        if (still != PK_LOOK_AWAY) {
            return still == PK_LOOK_FOUND;
        }
    }
    return fail_restless(err);
}

/* ---- Hearing ---- */

static void raise_to(_Atomic uint64_t *number, uint64_t value)
{
    uint64_t now = atomic_load(number);
    while (now < value && !atomic_compare_exchange_weak(number, &now, value)) {
    }
}

static void hear_event(struct pk_keyring *ring, const struct pk_doc *event)
{
    const char *type = pk_doc_text(event, "eventType");
    const char *actor_id = pk_doc_text(event, "payload.entityId");

    if (!type || !actor_id || (strncmp(type, "actor.", 6) != 0 && strncmp(type, "key.", 4) != 0)) {
        return;
    }
    const uint64_t number = atomic_fetch_add(&ring->seq, 1) + 1;
    raise_to(&ring->voided[voided_place(actor_id)], number);
    raise_to(&ring->unknown_floor, number);
}

void pk_keyring_hear(struct pk_keyring *ring, const struct pk_feed_item *item)
{
    if (item->kind == PK_FEED_EVENT) {
        hear_event(ring, item->doc);
    } else if (item->kind == PK_FEED_GAP) {
        const uint64_t number = atomic_fetch_add(&ring->seq, 1) + 1;
        raise_to(&ring->floor, number);
        raise_to(&ring->unknown_floor, number);
    }
    /* Behind the rest: an answer counts once what it said is known. */
    const int64_t now_ns = pk_clock_mono_ns(ring->clock);
    atomic_store(&ring->heard_ns, now_ns ? now_ns : 1);
}

void pk_keyring_stats(const struct pk_keyring *ring, struct pk_keyring_stats *out)
{
    struct pk_keyring *open = (struct pk_keyring *)(uintptr_t)ring; /* For the locks alone. */

    *out = (struct pk_keyring_stats){ .voided = atomic_load(&open->seq) };
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_lock(&open->shard[i].lock);
        out->hits += open->shard[i].hits;
        out->fetches += open->shard[i].fetches;
        out->refusals += open->shard[i].refusals;
        (void)pthread_mutex_unlock(&open->shard[i].lock);
    }
}
