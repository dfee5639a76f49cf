/* takers.c - A short list of what is to be taken, and a few threads that take it.
 *
 *     add ──▶ waiting ──a thread is free, and nobody has the path──▶ busy ──▶ taken, forgotten
 *                ▲
 *                └── the same path again: what waits is replaced
 *
 * A job is in the list from when it is added until it was taken, so a path
 * that is being taken is seen there. The list is walked: it holds what somebody
 * has just saved, or at the start all scripts of a server.
 *
 * Where no thread can be made the one that adds does the work.
 *
 * Thread: any may add; one mutex covers the list, and 'take' is called without
 * it. */
/* SPDX-License-Identifier: MIT */
#include "script/takers.h"

#include "base/alloc.h"
#include "base/cond.h"
#include "base/error.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct job {
    char *path;
    struct pk_bundle *bundle; /* A reference, or NULL. */
    struct pk_error why;
    bool has_why, is_saved;
    bool is_busy; /* A thread has it. */
    struct job *next;
};

struct pk_takers {
    pk_take_fn *take;
    void *context;
    pthread_mutex_t mutex; /* Covers all below. */
    pthread_cond_t changed;
    struct job *first; /* In the order in which they came. */
    pthread_t thread[PK_TAKERS];
    size_t threads, idle;
    bool is_stopping;
};

/* ---- Jobs ---- */

static void fill(struct job *job, const struct pk_taking *taking)
{
    job->bundle = taking->bundle ? pk_bundle_ref(taking->bundle) : NULL;
    job->has_why = taking->why != NULL;
    job->is_saved = job->is_saved || taking->is_saved;
    if (taking->why) {
        job->why = *taking->why;
        job->why.field = NULL; /* It lives as long as the input of whoever failed. */
    }
}

static struct job *job_new(const struct pk_taking *taking)
{
    struct job *job = pk_calloc(1, sizeof(*job));
    job->path = pk_strdup(taking->path);
    fill(job, taking);
    return job;
}

static void job_free(struct job *job)
{
    pk_bundle_unref(job->bundle);
    pk_free(job->path);
    pk_free(job);
}

static void forget(struct pk_takers *takers, struct job *job)
{
    struct job **at = &takers->first;
    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    job_free(job);
}

/* Whether a job before it has the same path: that one is under way. */
static bool is_held(const struct pk_takers *takers, const struct job *job)
{
    for (const struct job *other = takers->first; other != job; other = other->next) {
        if (strcmp(other->path, job->path) == 0) {
            return true;
        }
    }
    return false;
}

static struct job *find_free(const struct pk_takers *takers)
{
    struct job *job = takers->first;
    while (job && (job->is_busy || is_held(takers, job))) {
        job = job->next;
    }
    return job;
}

/* Called and left with the mutex held. */
static void do_job(struct pk_takers *takers, struct job *job)
{
    job->is_busy = true;
    (void)pthread_mutex_unlock(&takers->mutex);
    takers->take(takers->context, &(struct pk_taking){ .path = job->path,
                                                       .bundle = job->bundle,
                                                       .why = job->has_why ? &job->why : NULL,
                                                       .is_saved = job->is_saved });
    (void)pthread_mutex_lock(&takers->mutex);
    forget(takers, job);
    (void)pthread_cond_broadcast(&takers->changed); /* Its path is free. */
}

/* ---- Threads ---- */

static void *work(void *context)
{
    struct pk_takers *takers = context;
    (void)pthread_mutex_lock(&takers->mutex);
    while (!takers->is_stopping) {
        struct job *job = find_free(takers);
        if (job) {
            takers->idle--;
            do_job(takers, job);
            takers->idle++;
        } else {
            (void)pthread_cond_wait(&takers->changed, &takers->mutex);
        }
    }
    (void)pthread_mutex_unlock(&takers->mutex);
    return NULL;
}

/* Signals are for the main thread. */
static bool start_thread(struct pk_takers *takers)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&takers->thread[takers->threads], NULL, work, takers);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0) {
        takers->threads++;
        takers->idle++;
    }
    return failed == 0;
}

static size_t count_waiting(const struct pk_takers *takers)
{
    size_t count = 0;
    for (const struct job *job = takers->first; job; job = job->next) {
        count += !job->is_busy;
    }
    return count;
}

/* ---- The interface ---- */

struct pk_takers *pk_takers_new(pk_take_fn *take, void *context)
{
    struct pk_takers *takers = pk_calloc(1, sizeof(*takers));
    takers->take = take;
    takers->context = context;
    (void)pthread_mutex_init(&takers->mutex, NULL);
    pk_cond_init(&takers->changed);
    return takers;
}

void pk_takers_free(struct pk_takers *takers)
{
    if (!takers) {
        return;
    }
    (void)pthread_mutex_lock(&takers->mutex);
    takers->is_stopping = true;
    (void)pthread_cond_broadcast(&takers->changed);
    (void)pthread_mutex_unlock(&takers->mutex);
    for (size_t i = 0; i < takers->threads; i++) {
        (void)pthread_join(takers->thread[i], NULL);
    }
    while (takers->first) {
        forget(takers, takers->first);
    }
    (void)pthread_cond_destroy(&takers->changed);
    (void)pthread_mutex_destroy(&takers->mutex);
    pk_free(takers);
}

/* What waits under this path; NULL: nothing. '*out_end' is where a new job is linked in. */
static struct job *find_waiting(struct pk_takers *takers, const char *path, struct job ***out_end)
{
    struct job **at = &takers->first, *found = NULL;
    for (; *at; at = &(*at)->next) {
        if (!(*at)->is_busy && strcmp((*at)->path, path) == 0) {
            found = *at;
        }
    }
    *out_end = at;
    return found;
}

void pk_takers_add(struct pk_takers *takers, const struct pk_taking *taking)
{
    struct job **end;
    (void)pthread_mutex_lock(&takers->mutex);
    struct job *job = find_waiting(takers, taking->path, &end);
    if (job) {
        pk_bundle_unref(job->bundle);
        fill(job, taking);
    } else {
        *end = job_new(taking);
    }
    if (count_waiting(takers) > takers->idle && takers->threads < PK_TAKERS) {
        (void)start_thread(takers);
    }
    while (takers->threads == 0 && (job = find_free(takers)) != NULL) {
        do_job(takers, job);
    }
    (void)pthread_cond_broadcast(&takers->changed);
    (void)pthread_mutex_unlock(&takers->mutex);
}

bool pk_takers_settle(struct pk_takers *takers, int64_t timeout_ms)
{
    const struct timespec until = pk_cond_in_ms(timeout_ms);
    (void)pthread_mutex_lock(&takers->mutex);
    while (takers->first && pk_cond_wait(&takers->changed, &takers->mutex, until)) {
    }
    const bool is_settled = takers->first == NULL;
    (void)pthread_mutex_unlock(&takers->mutex);
    return is_settled;
}
