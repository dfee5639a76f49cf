/* people_known.c - Whom this node knows to be there, so that most observations read nothing.
 *
 * A table of fixed size, four places to a row; a row is found by the hash of
 * the id, and the place that was learnt longest ago makes room. An entry is
 * believed for AGE_MAX, which is far less than tombstones are kept: so who was
 * erased since then has one, and the list that believes in him expects none.
 *
 * What a person's observations take is added up here, and counted in the store
 * by the first list after the entry was made and then by each that brings the
 * sum to UNCOUNTED_MAX. So a node that dies loses less than that of a person's
 * count, and none of his data.
 *
 * Locking: a row's entries are guarded by the lock of its stripe. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "persona/people_internal.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 1 << 14, PLACES = 4, STRIPES = 64, UNCOUNTED_MAX = 64 * 1024 };
static const int64_t age_max_ns = INT64_C(600) * 1000000000; /* 10 min. */

struct entry {
    char id[PK_UUID_TEXT]; /* "": an empty place. */
    bool is_begun;         /* A list has counted since it was learnt. */
    int64_t since_ns;      /* Before the store was read (mono). */
    int64_t stored_bytes;  /* As far as known here. */
    int64_t uncounted;     /* Of these, not counted in the store yet. */
};

struct pk_people {
    const struct pk_clock *clock;
    struct {
        pthread_mutex_t lock;
        uint64_t forgotten; /* How often somebody of its rows was. */
    } stripe[STRIPES];
    struct entry entry[ROWS][PLACES];
};

struct pk_people *pk_people_new(const struct pk_clock *clock)
{
    struct pk_people *people = pk_calloc(1, sizeof(*people));
    people->clock = clock;
    for (size_t i = 0; i < STRIPES; i++) {
        (void)pthread_mutex_init(&people->stripe[i].lock, NULL);
    }
    return people;
}

void pk_people_free(struct pk_people *people)
{
    for (size_t i = 0; people && i < STRIPES; i++) {
        (void)pthread_mutex_destroy(&people->stripe[i].lock);
    }
    pk_free(people);
}

/* FNV-1a: ids are random. */
static size_t row_of(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *id; id++) {
        hash = (hash ^ (uint8_t)*id) * 0x100000001b3u;
    }
    return (size_t)(hash ^ (hash >> 32)) % ROWS;
}

/* Locks the row; unlock_row ends it. */
static struct entry *lock_row(struct pk_people *people, const char *id)
{
    const size_t row = row_of(id);
    (void)pthread_mutex_lock(&people->stripe[row % STRIPES].lock);
    return people->entry[row];
}

static void unlock_row(struct pk_people *people, const char *id)
{
    (void)pthread_mutex_unlock(&people->stripe[row_of(id) % STRIPES].lock);
}

static struct entry *find(struct pk_people *people, struct entry *row, const char *id)
{
    for (size_t i = 0; i < PLACES; i++) {
        if (strcmp(row[i].id, id) == 0) {
            const int64_t age_ns = pk_clock_mono_ns(people->clock) - row[i].since_ns;
            return age_ns <= age_max_ns ? &row[i] : NULL;
        }
    }
    return NULL;
}

bool people_known_look(struct pk_people *people, const char *id, struct people_known *out)
{
    struct entry *row = lock_row(people, id);
    const struct entry *entry = find(people, row, id);
    out->forgotten = people->stripe[row_of(id) % STRIPES].forgotten;
    out->since_ns = pk_clock_mono_ns(people->clock);
    out->stored_bytes = entry ? entry->stored_bytes : 0;
    unlock_row(people, id);
    return entry != NULL;
}

void people_known_learn(struct pk_people *people, const char *id, const struct people_known *known)
{
    struct entry *row = lock_row(people, id);
    struct entry *to = row;
    if (people->stripe[row_of(id) % STRIPES].forgotten != known->forgotten) {
        unlock_row(people, id);
        return;
    }
    for (size_t i = 0; i < PLACES; i++) {
        if (strcmp(row[i].id, id) == 0) {
            to = &row[i];
            break;
        }
        to = row[i].id[0] == '\0' || row[i].since_ns < to->since_ns ? &row[i] : to;
    }
    const int64_t uncounted = strcmp(to->id, id) == 0 ? to->uncounted : 0;
    *to = (struct entry){ .since_ns = known->since_ns,
                          .stored_bytes = known->stored_bytes + uncounted,
                          .uncounted = uncounted };
    (void)snprintf(to->id, sizeof(to->id), "%s", id);
    unlock_row(people, id);
}

void people_known_forget(struct pk_people *people, const char *id)
{
    struct entry *row = lock_row(people, id);
    people->stripe[row_of(id) % STRIPES].forgotten++;
    for (size_t i = 0; i < PLACES; i++) {
        if (strcmp(row[i].id, id) == 0) {
            row[i] = (struct entry){ .id = "" };
        }
    }
    unlock_row(people, id);
}

bool people_known_add(struct pk_people *people, const char *id, int64_t bytes, int64_t *out_drawn)
{
    bool is_due = true; /* Of somebody who is not known nobody else keeps count. */
    struct entry *row = lock_row(people, id);
    struct entry *entry = find(people, row, id);
    *out_drawn = 0;
    if (entry) {
        entry->stored_bytes += bytes;
        is_due = !entry->is_begun || entry->uncounted + bytes >= UNCOUNTED_MAX;
        entry->is_begun = true;
        *out_drawn = is_due ? entry->uncounted : 0;
        entry->uncounted = is_due ? 0 : entry->uncounted + bytes;
    }
    unlock_row(people, id);
    return is_due;
}

void people_known_return(struct pk_people *people, const char *id, int64_t drawn)
{
    struct entry *row = lock_row(people, id);
    struct entry *entry = find(people, row, id);
    if (entry) {
        entry->uncounted += drawn;
    }
    unlock_row(people, id);
}

bool pk_person_find_id(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                       char out[PK_UUID_TEXT], struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    struct people_known known = { 0 };
    const bool is_own = domain->people && people_known_look(domain->people, id, &known);
    *out = '\0';
    if (!is_own &&
        !pk_person_find(domain, &(struct pk_person_ref){ .id = id }, deadline_ns, &person, err)) {
        return false;
    }
    if (is_own || person) {
        (void)snprintf(out, PK_UUID_TEXT, "%s", is_own ? id : pk_doc_id(person));
    }
    if (domain->people && person && strcmp(out, id) == 0) {
        known.stored_bytes = pk_doc_int(person, "storedBytes", 0);
        people_known_learn(domain->people, id, &known);
    }
    return true;
}

static void forget_all(struct pk_people *people)
{
    for (size_t i = 0; i < ROWS; i++) {
        pthread_mutex_t *lock = &people->stripe[i % STRIPES].lock;
        (void)pthread_mutex_lock(lock);
        people->stripe[i % STRIPES].forgotten++;
        memset(people->entry[i], 0, sizeof(people->entry[i]));
        (void)pthread_mutex_unlock(lock);
    }
}

void pk_people_hear(struct pk_people *people, const struct pk_feed_item *item)
{
    if (item->kind == PK_FEED_GAP) {
        forget_all(people);
    }
    if (item->kind != PK_FEED_EVENT) {
        return;
    }
    const char *person = pk_doc_text(item->doc, "userId");
    const char *what = pk_doc_text(item->doc, "eventType");
    const char *entity = pk_doc_text(item->doc, "payload.entityType");
    if (person && what && strcmp(what, "person.created") != 0 && entity &&
        strcmp(entity, "person") == 0) {
        people_known_forget(people, person);
    }
}
