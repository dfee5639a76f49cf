/* persona_use.c - Use counts: collected in memory, written every few seconds.
 *
 * A use is (persona, actor), with the versions that made what was used. Where it happens it costs a
 * short lock and a look into a hash table; a thread takes all tables every 5 s and writes them: the
 * persona's accessCount, lastAccessedAt and lastAccessedBy, the actor's totalPersonasRequested
 * and lastActiveAt, the mapper's usageCount, and 'persona.accessed', which
 * says who read what of a person. Counts change no version. This is the only
 * data that a crash may lose.
 *
 * A person may be erased meanwhile: each list expects that those it speaks of
 * are not, and one that does not come through is written use by use.
 *
 * Locked: a shard by its 'lock'; 'stop' by 'lock'. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/crypto.h"
#include "base/log.h"
#include "doc/doc.h"
#include "persona/registry.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SHARDS = 16,     /* Powers of two, both. */
    BUCKETS = 512,   /* Of a shard. */
    USES_MAX = 8192, /* Of a shard between two flushes; beyond it uses are not counted. */
    EVERY_MS = 5000,
    EXPIRE_TURNS = 6,  /* Every so many flushes the ends of personas are announced ... */
    EXPIRE_MAX = 2000, /* ... so many at once. */
    LIST_USES = 150 /* In one list of writes: each is four writes, and its share of the others. */
};

struct made_by {
    struct made_by *next;
    char version[PK_SCRIPT_VERSION];
    int64_t count;
};
struct use {
    struct use *next; /* In its bucket. */
    char id[PERSONA_ID];
    char actor[PK_UUID_TEXT]; /* "": nobody's. */
    struct made_by *by;       /* By version of the mapper: one, unless it has just changed. */
    int64_t count, last_ms;
};
struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct use *bucket[BUCKETS];
    size_t count;
};
struct uses {
    const struct pk_domain *domain;
    uint8_t key[PK_SHORT_KEY_BYTES];
    struct shard shard[SHARDS];
    pthread_mutex_t flushing; /* One at a time. */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool is_running, stop;
};

struct uses *uses_new(const struct pk_domain *domain)
{
    struct uses *uses = aligned_alloc(64, sizeof(*uses));
    if (!uses) {
        abort();
    }
    memset(uses, 0, sizeof(*uses));
    uses->domain = domain;
    pk_random(uses->key, sizeof(uses->key));
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&uses->shard[i].lock, NULL);
    }
    (void)pthread_mutex_init(&uses->flushing, NULL);
    (void)pthread_mutex_init(&uses->lock, NULL);
    pk_cond_init(&uses->wake);
    return uses;
}

/* ---- Counting ---- */

static void count_by(struct use *use, const char *version)
{
    struct made_by **at = &use->by;
    while (*at && strcmp((*at)->version, version) != 0) {
        at = &(*at)->next;
    }
    if (!*at) {
        *at = pk_calloc(1, sizeof(**at));
        (void)snprintf((*at)->version, sizeof((*at)->version), "%s", version);
    }
    (*at)->count++;
}

static void use_free(struct use *use)
{
    while (use->by) {
        struct made_by *next = use->by->next;
        pk_free(use->by);
        use->by = next;
    }
    pk_free(use);
}

void uses_add(struct uses *uses, const char *id, const char *version, const char *actor)
{
    const int64_t now_ms = pk_clock_wall_ms(uses->domain->books->clock);
    const size_t size = strlen(id);
    uint64_t hash[2];
    if (size >= PERSONA_ID) {
        return;
    }
    pk_hash_short(hash, id, size, uses->key);
    struct shard *shard = &uses->shard[hash[0] & (SHARDS - 1)];
    struct use **at = &shard->bucket[hash[1] & (BUCKETS - 1)];
    actor = actor ? actor : "";

    (void)pthread_mutex_lock(&shard->lock);
    while (*at && (strcmp((*at)->id, id) != 0 || strcmp((*at)->actor, actor) != 0)) {
        at = &(*at)->next;
    }
    if (!*at && shard->count < USES_MAX) {
        struct use *use = pk_calloc(1, sizeof(*use));
        memcpy(use->id, id, size + 1);
        (void)snprintf(use->actor, sizeof(use->actor), "%s", actor);
        *at = use;
        shard->count++;
    }
    if (*at) {
        (*at)->count++;
        count_by(*at, version);
        (*at)->last_ms = now_ms > (*at)->last_ms ? now_ms : (*at)->last_ms;
    }
    (void)pthread_mutex_unlock(&shard->lock);
}

/* All uses so far, as one list; the tables are empty then. */
static struct use *take_all(struct uses *uses, size_t *out_count)
{
    struct use *all = NULL;
    *out_count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &uses->shard[i];
        (void)pthread_mutex_lock(&shard->lock);
        for (size_t b = 0; b < BUCKETS && shard->count > 0; b++) {
            while (shard->bucket[b]) {
                struct use *use = shard->bucket[b];
                shard->bucket[b] = use->next;
                use->next = all;
                all = use;
                shard->count--;
                (*out_count)++;
            }
        }
        (void)pthread_mutex_unlock(&shard->lock);
    }
    return all;
}

/* ---- Writing ---- */

/* Sums by name, for those whom many uses concern. */
struct tally {
    struct sum {
        char name[PERSONA_ID];
        char last_by[PK_UUID_TEXT]; /* Whose use the last one was; "": nobody's. */
        int64_t count, last_ms;
    } * sum;
    size_t count, capacity;
};

static void tally_done(struct tally *tally)
{
    pk_free(tally->sum);
}

static void tally_add(struct tally *tally, const char *name, const struct use *use, int64_t count)
{
    struct sum *sum = tally->sum;
    struct sum *end = sum + tally->count;
    while (sum < end && strcmp(sum->name, name) != 0) {
        sum++;
    }
    if (sum == end) {
        if (tally->count == tally->capacity) {
            tally->capacity = tally->capacity ? tally->capacity * 2 : 8;
            tally->sum = pk_realloc(tally->sum, tally->capacity * sizeof(*tally->sum));
        }
        sum = &tally->sum[tally->count++];
        *sum = (struct sum){ .count = 0 };
        (void)snprintf(sum->name, sizeof(sum->name), "%s", name);
    }
    sum->count += count;
    if (use->last_ms >= sum->last_ms) {
        sum->last_ms = use->last_ms;
        (void)snprintf(sum->last_by, sizeof(sum->last_by), "%s", use->actor);
    }
}

/* What the persona was made for, which is what it was read for; NULL: none was named, or it is not
 * there any more. It is part of the variant, so the common one need not be asked. */
static char *read_purpose(const struct uses *uses, const struct use *use,
                          const struct pk_persona_name *name)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    const char *purpose = NULL;
    if (name->variant[0] &&
        pk_store_get(uses->domain->books->store, "personas", use->id, 0, &persona, NULL)) {
        purpose = persona ? pk_doc_text(persona, "variantValues.purpose") : NULL;
    }
    return purpose ? pk_strdup(purpose) : NULL;
}

/* Who read what: one row for each persona and actor. */
static void announce(struct uses *uses, const struct use *use, struct pk_writes *list)
{
    struct pk_persona_name name;
    char times[24];
    if (!pk_persona_name(use->id, &name)) {
        return;
    }
    (void)snprintf(times, sizeof(times), "%lld", (long long)use->count);
    PK_CLEANUP(pk_freep) char *purpose = read_purpose(uses, use, &name);
    const struct pk_fact fact[] = {
        { "personaId", use->id },
        { "mapperId", name.mapper },
        { "detailLevel", pk_detail_name(name.detail) },
        { "actorId", use->actor[0] ? use->actor : NULL },
        { "count", times },
        { NULL, NULL },
    };
    pk_news_add(list, uses->domain->books,
                &(struct pk_news){ .type = "persona.accessed",
                                   .entity_type = "persona",
                                   .entity_id = use->id,
                                   .service = "personas",
                                   .person = name.person,
                                   .fact = fact });
    pk_audit_add(list, uses->domain->books,
                 &(struct pk_by){ .actor_id = use->actor[0] ? use->actor : "personakit" },
                 &(struct pk_audit){ .action = "persona.accessed",
                                     .person = name.person,
                                     .target_type = "mappers",
                                     .target_id = name.mapper,
                                     .purpose = purpose,
                                     .fact = (const struct pk_fact[]){
                                         { "mapperId", name.mapper },
                                         { "detailLevel", pk_detail_name(name.detail) },
                                         { "count", times },
                                         { NULL, NULL } } });
}

/* The people of a list, each once: that they are not erased is what it expects. */
static void expect_people(const struct use *first, size_t count, struct pk_writes *list)
{
    struct tally people = { 0 };
    for (const struct use *use = first; use && count > 0; use = use->next, count--) {
        struct pk_persona_name name;
        if (pk_persona_name(use->id, &name)) {
            tally_add(&people, name.person, use, use->count);
        }
    }
    for (size_t i = 0; i < people.count; i++) {
        pk_writes_expect_absent(list, "tombstones", people.sum[i].name);
    }
    tally_done(&people);
}

/* Numbers and dates of documents: uses added up, when the last was, and whose (NULL: they do not
 * say). */
static void add_counts(const struct tally *tally, const char *collection, const char *uses_path,
                       const char *date_path, const char *by_path, struct pk_writes *list)
{
    for (size_t i = 0; i < tally->count; i++) {
        const struct sum *sum = &tally->sum[i];
        const struct pk_count count[] = {
            { .path = uses_path, .amount = sum->count },
            { .path = date_path, .is_date = true, .amount = sum->last_ms },
            { .path = by_path, .text = sum->last_by },
        };
        const bool is_by = by_path && sum->last_by[0];
        pk_writes_count(list, collection, sum->name, count, PK_COUNT(count) - !is_by);
    }
}

/* "daily 1.2.0": a version is counted for what it made. */
static void tally_versions(struct tally *versions, const char *mapper, const struct use *use)
{
    char name[PERSONA_ID];
    for (const struct made_by *by = use->by; by; by = by->next) {
        (void)snprintf(name, sizeof(name), "%s %s", mapper, by->version);
        tally_add(versions, name, use, by->count);
    }
}

static void add_mappers(struct uses *uses, const struct tally *versions, struct pk_writes *list)
{
    for (size_t i = 0; i < versions->count && uses->domain->registry; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mapper = NULL;
        const struct pk_count count = { .path = "usageCount", .amount = versions->sum[i].count };
        char *name = versions->sum[i].name;
        char *version = strchr(name, ' ');
        *version++ = '\0';
        if (pk_registry_get(uses->domain->registry, PK_SCRIPT_MAPPER, name,
                            *version ? version : NULL, &mapper, NULL)) {
            pk_writes_count(list, "mappers", pk_doc_id(mapper), &count, 1);
        }
    }
}

static bool write_some(struct uses *uses, const struct use *first, size_t count,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(tally_done) struct tally personas = { 0 };
    PK_CLEANUP(tally_done) struct tally actors = { 0 };
    PK_CLEANUP(tally_done) struct tally versions = { 0 };
    const struct use *use = first;

    for (size_t i = 0; i < count; i++, use = use->next) {
        struct pk_persona_name name;
        if (!pk_persona_name(use->id, &name)) {
            continue;
        }
        announce(uses, use, &list);
        tally_add(&personas, use->id, use, use->count);
        tally_versions(&versions, name.mapper, use);
        if (use->actor[0]) {
            tally_add(&actors, use->actor, use, use->count);
        }
    }
    expect_people(first, count, &list);
    add_counts(&personas, "personas", "usageMetadata.accessCount", "usageMetadata.lastAccessedAt",
               "usageMetadata.lastAccessedBy", &list);
    add_counts(&actors, "actors", "usageMetadata.totalPersonasRequested",
               "usageMetadata.lastActiveAt", NULL, &list);
    add_mappers(uses, &versions, &list);
    return list.count == 0 || pk_store_commit(uses->domain->books->store, &list, 0, NULL, err);
}

/* An erased person's uses are dropped; those of others in the list are not. */
static bool write_part(struct uses *uses, const struct use *first, size_t count,
                       struct pk_error *err)
{
    struct pk_error why = { 0 };
    if (write_some(uses, first, count, &why)) {
        return true;
    }
    bool ok = why.code == PK_CONFLICT;
    for (const struct use *use = first; ok && count > 1 && use; use = use->next, count--) {
        struct pk_error one = { 0 };
        ok = write_some(uses, use, 1, &one) || one.code == PK_CONFLICT;
        why = ok ? why : one;
    }
    if (!ok && err) {
        *err = why;
    }
    return ok;
}

bool pk_personas_flush(struct pk_personas *personas, struct pk_error *err)
{
    struct uses *uses = personas->uses;
    size_t left = 0;
    bool ok = true;

    (void)pthread_mutex_lock(&uses->flushing);
    struct use *all = take_all(uses, &left);
    while (all) {
        const size_t count = left < LIST_USES ? left : LIST_USES;
        ok = write_part(uses, all, count, ok ? err : NULL) && ok;
        for (size_t i = 0; i < count; i++) {
            struct use *use = all;
            all = use->next;
            use_free(use);
        }
        left -= count;
    }
    (void)pthread_mutex_unlock(&uses->flushing);
    return ok;
}

/* ---- The thread ---- */

/* Waits for the next flush; true: it is to stop. */
static bool wait_next(struct uses *uses)
{
    const struct timespec at = pk_cond_in_ms(EVERY_MS);
    (void)pthread_mutex_lock(&uses->lock);
    while (!uses->stop && pk_cond_wait(&uses->wake, &uses->lock, at)) {
    }
    const bool stop = uses->stop;
    (void)pthread_mutex_unlock(&uses->lock);
    return stop;
}

/* Tells the log that work was left undone, once until it is done again. */
static void complain(struct pk_personas *personas, bool ok, const char *what,
                     const struct pk_error *err, bool *has_failed)
{
    if (!ok && !*has_failed && personas->domain->log) {
        pk_log_warn(personas->domain->log, "personas' counting is behind", PK_STR("what", what),
                    PK_STR("why", err->message));
    }
    *has_failed = !ok;
}

static void *run(void *context)
{
    struct pk_personas *personas = context;
    bool has_failed[2] = { false, false };
    for (unsigned turn = 1, stop = 0; !stop; turn++) {
        struct pk_error err = { 0 };
        size_t count = 0;
        stop = wait_next(personas->uses);
        bool ok = pk_personas_flush(personas, &err);
        complain(personas, ok, "use counts of the last seconds are lost", &err, &has_failed[0]);
        if (!stop && turn % EXPIRE_TURNS == 0) {
            ok = pk_personas_expire(personas, EXPIRE_MAX, &count, &err);
            complain(personas, ok, "ends of personas are announced later", &err, &has_failed[1]);
        }
    }
    return NULL;
}

bool pk_personas_start(struct pk_personas *personas, struct pk_error *err)
{
    struct uses *uses = personas->uses;
    if (pthread_create(&uses->thread, NULL, run, personas) != 0) {
        return pk_fail(err, PK_UNAVAILABLE, "raise the limit of threads",
                       "the thread of use counts cannot be started");
    }
    uses->is_running = true;
    return true;
}

void uses_stop(struct uses *uses)
{
    if (uses->is_running) {
        (void)pthread_mutex_lock(&uses->lock);
        uses->stop = true;
        (void)pthread_cond_signal(&uses->wake);
        (void)pthread_mutex_unlock(&uses->lock);
        (void)pthread_join(uses->thread, NULL);
        uses->is_running = false;
    }
}

void uses_free(struct uses *uses)
{
    size_t count = 0;
    for (struct use *use = take_all(uses, &count); use;) {
        struct use *next = use->next;
        use_free(use);
        use = next;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_destroy(&uses->shard[i].lock);
    }
    (void)pthread_mutex_destroy(&uses->flushing);
    (void)pthread_mutex_destroy(&uses->lock);
    (void)pthread_cond_destroy(&uses->wake);
    free(uses);
}
