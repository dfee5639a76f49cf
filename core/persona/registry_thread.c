/* registry_thread.c - What is heard of other nodes and doubted on this one, done on one thread.
 *
 *     feed ── hear ──▶ is_dirty, lifted ──┐
 *                                         ├──▶ thread: lift, roll back, refresh
 *     a call that failed ── doubt ──▶ queue ┘
 *
 * Who tells it never waits. Many events become one refresh; while the store is
 * away it is tried again every second. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/cond.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { AGAIN_MS = 1000, LIFTED_MAX = 256 };

/* ---- Telling it ---- */

void registry_stir(struct pk_registry *registry, bool is_later)
{
    (void)pthread_mutex_lock(&registry->lock);
    registry->is_dirty = true;
    registry->is_later = registry->is_later || is_later;
    (void)pthread_cond_signal(&registry->stir);
    (void)pthread_mutex_unlock(&registry->lock);
}

/* "mapper.activated": what is behind the dot; NULL: it is about no script. */
static const char *verb_of(const char *type)
{
    static const char *const prefix[] = { "mapper.", "script." };
    for (size_t i = 0; type && i < PK_COUNT(prefix); i++) {
        if (strncmp(type, prefix[i], strlen(prefix[i])) == 0) {
            return type + strlen(prefix[i]);
        }
    }
    return NULL;
}

/* Events after which another script may serve, or another stand behind it. */
static bool changes(const char *verb, bool *out_before)
{
    static const struct {
        const char *verb;
        bool is_before;
    } table[] = { { "activated", false },      { "rolled_back", false },
                  { "deprecated", true },      { "canary_started", false },
                  { "canary_changed", false }, { "canary_ended", false },
                  { "lifted", true } };
    for (size_t i = 0; i < PK_COUNT(table); i++) {
        if (strcmp(table[i].verb, verb) == 0) {
            *out_before = table[i].is_before;
            return true;
        }
    }
    return false;
}

static void note_lifted(struct pk_registry *registry, const char *hash_text)
{
    uint8_t hash[PK_HASH_BYTES];
    if (!hash_text || !registry_unhex(hash_text, hash) || registry->lifted_count >= LIFTED_MAX) {
        return;
    }
    registry->lifted =
        pk_realloc(registry->lifted, (registry->lifted_count + 1) * sizeof(*registry->lifted));
    (void)snprintf(registry->lifted[registry->lifted_count++], PK_HASH_TEXT, "%s", hash_text);
}

void pk_registry_hear(struct pk_registry *registry, const struct pk_feed_item *item)
{
    const bool is_gap = item->kind == PK_FEED_GAP;
    const char *verb =
        item->kind == PK_FEED_EVENT ? verb_of(pk_doc_text(item->doc, "eventType")) : NULL;
    bool is_before = is_gap;
    if (!is_gap && (!verb || !changes(verb, &is_before))) {
        return;
    }
    (void)pthread_mutex_lock(&registry->lock);
    if (verb && strcmp(verb, "lifted") == 0) {
        note_lifted(registry, pk_doc_text(item->doc, "payload.metadata.contentHash"));
    }
    registry->is_dirty = true;
    registry->is_thorough = registry->is_thorough || is_before;
    (void)pthread_cond_signal(&registry->stir);
    (void)pthread_mutex_unlock(&registry->lock);
}

static bool is_doubted(const struct pk_registry *registry, const char *hash_text)
{
    for (size_t i = 0; i < registry->doubt_count; i++) {
        if (strcmp(registry->doubt[i].hash, hash_text) == 0) {
            return true;
        }
    }
    return false;
}

void pk_registry_doubt(void *context, const struct pk_script *script, const char *reason)
{
    struct pk_registry *registry = context;
    (void)pthread_mutex_lock(&registry->lock);
    if (registry->doubt_count < REGISTRY_DOUBTS &&
        !is_doubted(registry, script->bundle->hash_text)) {
        struct registry_doubt *doubt = &registry->doubt[registry->doubt_count++];
        *doubt = (struct registry_doubt){ .kind = script->kind, .reason = pk_strdup(reason) };
        (void)snprintf(doubt->id, sizeof(doubt->id), "%s", script->id);
        (void)snprintf(doubt->hash, sizeof(doubt->hash), "%s", script->bundle->hash_text);
        (void)pthread_cond_signal(&registry->stir);
    }
    (void)pthread_mutex_unlock(&registry->lock);
}

/* ---- Doing it ---- */

/* True when it is settled, one way or the other; else the store is away. */
static bool settle_doubt(struct pk_registry *registry, const struct registry_doubt *doubt)
{
    const struct pk_by by = { .actor_id = "personakit" };
    struct pk_error err = { 0 };
    bool was_canary = false;
    if (registry_end_canary(registry, &by, doubt->kind, doubt->id, doubt->hash, doubt->reason,
                            &was_canary, &err) &&
        (was_canary || registry_roll_back(registry, &by, doubt->kind, doubt->id, doubt->hash,
                                          doubt->reason, NULL, &err))) {
        registry_stir(registry, false);
        return true;
    }
    pk_log_warn(registry->options.log, "script fails too often and is not rolled back",
                PK_STR("kind", pk_script_kind_name(doubt->kind)), PK_STR("id", doubt->id),
                PK_STR("reason", doubt->reason), PK_ERR(&err));
    return !pk_code_retry(err.code) || err.code == PK_CONFLICT;
}

/* Takes the first doubt out of the queue. */
static bool next_doubt(struct pk_registry *registry, struct registry_doubt *out)
{
    (void)pthread_mutex_lock(&registry->lock);
    const bool is_there = registry->doubt_count > 0;
    if (is_there) {
        *out = registry->doubt[0];
        memmove(registry->doubt, registry->doubt + 1,
                --registry->doubt_count * sizeof(registry->doubt[0]));
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return is_there;
}

/* A doubt that cannot be settled now goes back into the queue. */
static void put_back(struct pk_registry *registry, struct registry_doubt *doubt)
{
    (void)pthread_mutex_lock(&registry->lock);
    if (registry->doubt_count < REGISTRY_DOUBTS) {
        registry->doubt[registry->doubt_count++] = *doubt;
        doubt->reason = NULL;
    }
    registry->is_later = true;
    (void)pthread_mutex_unlock(&registry->lock);
}

static void settle_doubts(struct pk_registry *registry)
{
    struct registry_doubt doubt;
    bool is_settled = true;
    while (is_settled && next_doubt(registry, &doubt)) {
        is_settled = settle_doubt(registry, &doubt);
        if (!is_settled) {
            put_back(registry, &doubt);
        }
        pk_free(doubt.reason);
    }
}

static void lift_heard(struct pk_registry *registry)
{
    uint8_t hash[PK_HASH_BYTES];
    (void)pthread_mutex_lock(&registry->lock);
    char(*lifted)[PK_HASH_TEXT] = registry->lifted;
    const size_t count = registry->lifted_count;
    registry->lifted = NULL;
    registry->lifted_count = 0;
    (void)pthread_mutex_unlock(&registry->lock);
    for (size_t i = 0; i < count; i++) {
        (void)registry_unhex(lifted[i], hash);
        (void)pk_scripts_lift(registry->options.scripts, hash);
    }
    pk_free(lifted);
}

static void refresh_if_dirty(struct pk_registry *registry)
{
    struct pk_error err = { 0 };
    (void)pthread_mutex_lock(&registry->lock);
    const bool is_dirty = registry->is_dirty;
    registry->is_dirty = false;
    (void)pthread_mutex_unlock(&registry->lock);
    if (!is_dirty || pk_registry_refresh(registry, &err)) {
        return;
    }
    pk_log_warn(registry->options.log, "the scripts could not be read", PK_ERR(&err));
    registry_stir(registry, true);
}

/* Until there is something to do; after a failure not before a second is over. False: it is to
 * stop. */
static bool wait_for_work(struct pk_registry *registry)
{
    const struct timespec until = pk_cond_in_ms(AGAIN_MS);
    (void)pthread_mutex_lock(&registry->lock);
    while (registry->is_later && !registry->is_stopping &&
           pk_cond_wait(&registry->stir, &registry->lock, until)) {
    }
    registry->is_later = false;
    while (!registry->is_stopping && !registry->is_dirty && registry->doubt_count == 0) {
        (void)pthread_cond_wait(&registry->stir, &registry->lock);
    }
    const bool go_on = !registry->is_stopping;
    (void)pthread_mutex_unlock(&registry->lock);
    return go_on;
}

static void *work(void *argument)
{
    struct pk_registry *registry = argument;
    while (wait_for_work(registry)) {
        lift_heard(registry);
        settle_doubts(registry);
        refresh_if_dirty(registry);
    }
    return NULL;
}

bool pk_registry_start(struct pk_registry *registry, struct pk_error *err)
{
    registry->is_stopping = false;
    if (pthread_create(&registry->thread, NULL, work, registry) != 0) {
        return pk_fail(err, PK_BUSY, "raise the limit of threads",
                       "the thread that follows the scripts cannot be started");
    }
    registry->is_running = true;
    return true;
}

void pk_registry_stop(struct pk_registry *registry)
{
    if (!registry || !registry->is_running) {
        return;
    }
    (void)pthread_mutex_lock(&registry->lock);
    registry->is_stopping = true;
    (void)pthread_cond_signal(&registry->stir);
    (void)pthread_mutex_unlock(&registry->lock);
    (void)pthread_join(registry->thread, NULL);
    registry->is_running = false;
}
