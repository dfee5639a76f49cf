/* access_log.c - A table of notes, emptied by a thread.
 *
 * Locked: the table by 'lock', which is held for a look into it; 'is_stopping'
 * too. One flush at a time, by 'flushing'. */
/* SPDX-License-Identifier: MIT */
#include "persona/access_log.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/store.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BUCKETS = 4096,    /* A power of two. */
    NOTES_MAX = 65536, /* Between two flushes; who comes then writes them himself. */
    EVERY_MS = 5000,
    LIST_NOTES = 500, /* In one list. */
    PURPOSE_TEXT = 101
};

struct note {
    struct note *next; /* In its bucket. */
    char person[PK_UUID_TEXT], actor[PK_UUID_TEXT];
    const char *action;
    char purpose[PURPOSE_TEXT]; /* "": none was named. */
    int64_t count;
};

struct pk_access_log {
    const struct pk_domain *domain;
    uint8_t key[PK_SHORT_KEY_BYTES];
    pthread_mutex_t lock, flushing;
    pthread_cond_t wake;
    struct note *bucket[BUCKETS];
    size_t count;
    pthread_t thread;
    bool is_running, is_stopping;
};

struct pk_access_log *pk_access_log_new(const struct pk_domain *domain)
{
    struct pk_access_log *log = pk_calloc(1, sizeof(*log));
    log->domain = domain;
    pk_random(log->key, sizeof(log->key));
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_mutex_init(&log->flushing, NULL);
    pk_cond_init(&log->wake);
    return log;
}

/* ---- Noting ---- */

static bool is_same(const struct note *a, const struct note *b)
{
    return strcmp(a->person, b->person) == 0 && strcmp(a->actor, b->actor) == 0 &&
           strcmp(a->action, b->action) == 0 && strcmp(a->purpose, b->purpose) == 0;
}

void pk_access_log_add(struct pk_access_log *log, const char *person, const char *actor,
                       const char *action, const char *purpose)
{
    struct note note = { .action = action, .count = 1 };
    uint64_t hash[2];
    (void)snprintf(note.person, sizeof(note.person), "%s", person);
    (void)snprintf(note.actor, sizeof(note.actor), "%s", actor);
    (void)snprintf(note.purpose, sizeof(note.purpose), "%s", purpose ? purpose : "");
    pk_hash_short(hash, note.person, strlen(note.person), log->key);

    (void)pthread_mutex_lock(&log->lock);
    struct note **at = &log->bucket[hash[0] & (BUCKETS - 1)];
    while (*at && !is_same(*at, &note)) {
        at = &(*at)->next;
    }
    if (*at) {
        (*at)->count++;
    } else {
        *at = pk_alloc(sizeof(note));
        **at = note;
        log->count++;
    }
    const bool is_full = log->count >= NOTES_MAX;
    (void)pthread_mutex_unlock(&log->lock);
    if (is_full) {
        (void)pk_access_log_flush(log, NULL);
    }
}

/* ---- Writing ---- */

static struct note *take_all(struct pk_access_log *log)
{
    struct note *all = NULL;
    (void)pthread_mutex_lock(&log->lock);
    for (size_t b = 0; b < BUCKETS && log->count > 0; b++) {
        while (log->bucket[b]) {
            struct note *note = log->bucket[b];
            log->bucket[b] = note->next;
            note->next = all;
            all = note;
            log->count--;
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    return all;
}

static void add_row(const struct pk_access_log *log, const struct note *note,
                    struct pk_writes *list)
{
    char times[24];
    const struct pk_by by = { .actor_id = note->actor };
    (void)snprintf(times, sizeof(times), "%" PRId64, note->count);
    pk_audit_add(list, log->domain->books, &by,
                 &(struct pk_audit){
                     .action = note->action,
                     .person = note->person,
                     .purpose = note->purpose[0] ? note->purpose : NULL,
                     .fact = (const struct pk_fact[]){ { "count", times }, { NULL, NULL } } });
}

bool pk_access_log_flush(struct pk_access_log *log, struct pk_error *err)
{
    bool ok = true;
    (void)pthread_mutex_lock(&log->flushing);
    for (struct note *note = take_all(log); note;) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        while (note && list.count < LIST_NOTES) {
            struct note *next = note->next;
            add_row(log, note, &list);
            pk_free(note);
            note = next;
        }
        ok = pk_store_commit(log->domain->books->store, &list, 0, NULL, ok ? err : NULL) && ok;
    }
    (void)pthread_mutex_unlock(&log->flushing);
    return ok;
}

/* ---- The thread ---- */

static bool wait_next(struct pk_access_log *log)
{
    const struct timespec at = pk_cond_in_ms(EVERY_MS);
    (void)pthread_mutex_lock(&log->lock);
    while (!log->is_stopping && pk_cond_wait(&log->wake, &log->lock, at)) {
    }
    const bool is_stopping = log->is_stopping;
    (void)pthread_mutex_unlock(&log->lock);
    return is_stopping;
}

static void *run(void *context)
{
    struct pk_access_log *log = context;
    bool has_failed = false;
    for (bool stop = false; !stop;) {
        struct pk_error err = { 0 };
        stop = wait_next(log);
        const bool ok = pk_access_log_flush(log, &err);
        if (!ok && !has_failed && log->domain->log) {
            pk_log_warn(log->domain->log, "who read what in the last seconds is lost",
                        PK_STR("why", err.message));
        }
        has_failed = !ok;
    }
    return NULL;
}

bool pk_access_log_start(struct pk_access_log *log, struct pk_error *err)
{
    if (pthread_create(&log->thread, NULL, run, log) != 0) {
        return pk_fail(err, PK_UNAVAILABLE, "raise the limit of threads",
                       "the thread of the access log cannot be started");
    }
    log->is_running = true;
    return true;
}

void pk_access_log_free(struct pk_access_log *log)
{
    if (!log) {
        return;
    }
    if (log->is_running) {
        (void)pthread_mutex_lock(&log->lock);
        log->is_stopping = true;
        (void)pthread_cond_signal(&log->wake);
        (void)pthread_mutex_unlock(&log->lock);
        (void)pthread_join(log->thread, NULL);
    } else {
        (void)pk_access_log_flush(log, NULL);
    }
    (void)pthread_mutex_destroy(&log->lock);
    (void)pthread_mutex_destroy(&log->flushing);
    (void)pthread_cond_destroy(&log->wake);
    pk_free(log);
}

/* ---- Reading ---- */

bool pk_access_log_is_read(const struct pk_doc *audit)
{
    static const char *const whole[] = { "persona.accessed", "persona.list", "person.exported",
                                         "mapper.try" };
    static const char end[] = ".read";
    const char *action = pk_doc_text(audit, "action");
    const size_t size = action ? strlen(action) : 0;
    for (size_t i = 0; action && i < PK_COUNT(whole); i++) {
        if (strcmp(action, whole[i]) == 0) {
            return true;
        }
    }
    return size > sizeof(end) - 1 && strcmp(action + size - (sizeof(end) - 1), end) == 0;
}
