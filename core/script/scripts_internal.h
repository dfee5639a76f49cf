/* scripts_internal.h - What scripts*.c and generation.c share. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_SCRIPTS_INTERNAL_H
#define PK_SCRIPT_SCRIPTS_INTERNAL_H

#include "script/quarantine.h"
#include "script/scripts.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- scripts_vitals.c: how one version is doing ---- */

enum { VITALS_BUCKETS = 320 }; /* Eight to the power of two, up to beyond an hour. */

/* One version of one script, shared by the generations that have it. */
struct vitals {
    _Atomic unsigned refs;
    int64_t since_ms;       /* When it was published here (wall). */
    int64_t young_until_ns; /* It is watched so long (mono). */

    /* Of the version before it, as it was when this one came. */
    bool has_before;
    uint64_t before_calls, before_failures;

    bool is_canary; /* It is watched as long as it serves, by the version beside it. */

    _Atomic uint64_t end[PK_JAIL_ENDS];
    _Atomic uint64_t sum_ns;
    _Atomic uint32_t bucket[VITALS_BUCKETS]; /* Calls by what they took. */

    /* Whose calls they were: the first person, and whether there were others. */
    struct persons {
        _Atomic uint64_t first; /* 0: none yet. */
        _Atomic bool has_others;
    } called, failed;

    _Atomic int64_t log_after_ns; /* No line about a failure before (mono). */
    _Atomic uint64_t unsaid;      /* Failures without a line since the last one. */

    pthread_mutex_t mutex; /* Covers the next two. */
    int64_t failed_ms;     /* Wall. */
    char failure[256];
};

struct vitals *vitals_new(void);
struct vitals *vitals_ref(struct vitals *vitals);
void vitals_unref(struct vitals *vitals); /* NULL is fine. */
/* A call on a person's data (0: nobody's) is over. Any thread, without a lock. */
void vitals_count(struct vitals *vitals, uint64_t person, enum pk_jail_end end, int64_t took_ns);
/* Whether all that failed was of one person, though others called, too. */
bool vitals_fails_for_one(const struct vitals *vitals);
void vitals_note_failure(struct vitals *vitals, int64_t now_ms, const char *message);
/* The same, when it became known later where it was. */
void vitals_note_line(struct vitals *vitals, const char *where);
void vitals_read(struct vitals *vitals, struct pk_script_stats *out);
void vitals_totals(struct vitals *vitals, uint64_t *out_calls, uint64_t *out_failures);

/* ---- generation.c ---- */

struct generation_entry {
    struct pk_script *script;
    struct pk_script *before; /* Or NULL. */
    struct vitals *vitals, *before_vitals;
    struct pk_script *canary; /* Or NULL. */
    struct vitals *canary_vitals;
    double canary_share;
};

struct pk_generation {
    struct pk_scripts *scripts;
    uint64_t number;
    int64_t published_ms;                  /* Wall. */
    uint32_t slot;                         /* Its place in scripts->slot. */
    struct pk_generation *next, *previous; /* In scripts->alive. */
    struct generation_entry *entry;        /* By kind, then id. */
    size_t count;
    size_t
        first[PK_SCRIPT_KINDS + 1]; /* Entries of kind k: from first[k] to before first[k + 1]. */

    /* While it serves: minus the pins that were given back. Afterwards: pins that are left. */
    _Alignas(64) _Atomic int64_t pins;
};

/* 'previous' (NULL: none) is what is published now: versions that stay keep their vitals. */
struct pk_generation *generation_new(struct pk_scripts *scripts,
                                     const struct pk_generation *previous,
                                     const struct pk_scripts_entry *entry, size_t count);
void generation_free(struct pk_generation *generation);
/* The entry whose script, version before it or canary this is (by pointer); NULL: not of this
 * generation. */
const struct generation_entry *generation_entry_of(const struct pk_generation *generation,
                                                   const struct pk_script *script);
/* The vitals of a version, by kind, id and hash; or NULL. */
struct vitals *generation_vitals(const struct pk_generation *generation,
                                 const struct pk_script *script);

/* ---- scripts_repeat.c: killed calls are repeated, to learn the line ---- */

/* Questions of one call, and what they were answered. */
struct answers {
    struct answer *answer;
    size_t count, bytes;
    bool is_cut; /* There were more than are kept. */
};
void answers_add(struct answers *answers, const char *name, bool is_ok, const bson_t *answer,
                 const struct pk_error *err);
void answers_done(struct answers *answers);

struct repeater; /* Opaque. */
struct repeater *repeater_new(struct pk_jail *jail, struct pk_log *log);
void repeater_free(struct repeater *repeater); /* Waits for the repeat that runs, at most 5 s. */
/* Queues a repeat, if there is room and this content was not repeated before. Takes the answers. */
void repeater_add(struct repeater *repeater, struct pk_script *script, struct vitals *vitals,
                  const struct pk_jail_call *call, struct answers *answers);
void repeater_forget(struct repeater *repeater, const uint8_t hash[PK_HASH_BYTES]);

/* Hashes of which something was said already; the oldest is forgotten first. */
enum { SAID_MAX = 1024 };
struct said {
    uint8_t hash[SAID_MAX][PK_HASH_BYTES];
    size_t count, next;
};
bool said_add(struct said *said, const uint8_t hash[PK_HASH_BYTES]); /* False: it is there. */
bool said_has(const struct said *said, const uint8_t hash[PK_HASH_BYTES]);
void said_remove(struct said *said, const uint8_t hash[PK_HASH_BYTES]);

/* ---- scripts.c ---- */

enum { SLOT_BITS = 12, SLOTS = 1 << SLOT_BITS, PIN_BITS = 64 - SLOT_BITS };

struct pk_scripts {
    const struct pk_clock *clock;
    struct pk_log *log;
    struct pk_jail *jail;
    struct pk_quarantine *quarantine;
    struct repeater *repeater;
    pk_doubt_fn *doubt;
    void *context; /* Of 'doubt'. */
    int64_t watch_ns;
    unsigned watch_calls, watch_failures;

    pthread_mutex_t publishing;  /* Who makes the next generation. */
    pthread_mutex_t mutex;       /* Covers slot (writing), alive, doubted. */
    struct pk_generation *alive; /* Newest first. */
    uint64_t number;             /* Of the newest; under 'publishing'. */
    struct said *doubted;

    struct pk_generation *slot[SLOTS];
    _Alignas(64) _Atomic uint64_t head; /* Slot of the one that serves, and pins since it does. */
};

#endif
