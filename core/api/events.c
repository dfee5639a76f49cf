/* events.c - From one watcher to every client, without a client in the watcher's way.
 *
 *     watcher ──hear──▶ held: the latest 4,096, in order, each with its position
 *                         │
 *                       crier ────────▶ clients that live on what is held
 *                         │  ▲
 *           key changed,  │  │ caught up
 *           too far back  ▼  │
 *                      replayers ─────▶ clients that are read to from the store
 *
 * The watcher adds an entry and wakes the crier; it never sends. A client is
 * one thread's at a time, with a place of its own in what is held, so a slow
 * one delays nobody: it is passed by until it has taken what it was sent, and
 * cut when what it needs next is not held any more.
 *
 * The seam. 'held' is everything the watcher heard behind the position 'base'.
 * A replayer reads a client's own feed; once that feed has passed 'base', what
 * is left is in memory: the client goes on with the oldest entry, skipping
 * those that its feed ('mark') had passed already. So nothing is lost, since
 * all behind 'base' is held, and nothing repeated, since the mark says of each
 * position whether it was told; however the two feeds run against each other.
 * A client that comes back with the id of something held needs no feed at all.
 *
 * Whoever's key may have changed, or who follows a person that was merged or
 * parted, goes to a replayer, which may wait for the store, and comes back to the place it had.
 * Each item of the watcher, quiet ones too (every 500 ms), is an occasion to look at all keys.
 *
 * 'lock' is held for a few instructions at a time. */
/* SPDX-License-Identifier: MIT */
#include "api/events.h"

#include "access/keyring.h"
#include "access/principal.h"
#include "api/events_internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "feed/watch.h"
#include "net/sse.h"
#include "persona/sight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_DEFAULT = 4096, REPLAYS_DEFAULT = 256 };

/* ---- Queues ---- */

static void queue_init(struct followers *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

void follower_add(struct followers *queue, struct follower *follower)
{
    follower->next = NULL;
    *queue->end = follower;
    queue->end = &follower->next;
}

void follower_to_crier(struct pk_events *events, struct follower *follower)
{
    follower_add(&events->to_crier, follower);
    (void)pthread_cond_signal(&events->news_came);
}

void follower_to_replay(struct pk_events *events, struct follower *follower)
{
    follower_add(&events->to_replay, follower);
    (void)pthread_cond_signal(&events->client_came);
}

void follower_free(struct pk_events *events, struct follower *follower)
{
    pk_feed_close(follower->feed);
    pk_sse_unref(follower->sse);
    pk_principal_unref(follower->who);
    pk_event_filter_done(&follower->filter);
    pk_free(follower);
    (void)pthread_mutex_lock(&events->lock);
    events->clients--;
    (void)pthread_mutex_unlock(&events->lock);
}

void events_doze(struct pk_events *events, pthread_cond_t *cond, int64_t ms)
{
    (void)pk_cond_wait(cond, &events->lock, pk_cond_in_ms(ms));
}

/* ---- What is held ---- */

static void news_unref(struct news *news)
{
    if (news && atomic_fetch_sub(&news->refs, 1) == 1) {
        pk_doc_unref(news->doc);
        pk_buf_done(&news->json);
        pk_free(news);
    }
}

/* Under 'lock'. Before anything was heard, the watcher knows where it began. */
static void know_base(struct pk_events *events)
{
    if (!events->base[0]) {
        pk_watch_position(events->options.watch, events->base, sizeof(events->base));
        memcpy(events->head, events->base, sizeof(events->head));
    }
}

/* Under 'lock'; returns what fell out. */
static struct news *hold(struct pk_events *events, struct news *news)
{
    struct news *oldest = NULL;
    if (events->end - events->first == events->options.held) {
        oldest = events->held[events->first++ % events->options.held];
        (void)snprintf(events->base, sizeof(events->base), "%s", oldest->position);
    }
    events->held[events->end++ % events->options.held] = news;
    return oldest;
}

void pk_events_hear(void *context, const struct pk_feed_item *item)
{
    struct pk_events *events = context;
    struct news *news = NULL;
    struct news *oldest = NULL;

    if (item->kind != PK_FEED_QUIET) {
        const size_t size = strlen(item->position) + 1;
        news = pk_calloc(1, sizeof(*news) + size);
        news->refs = 1;
        news->kind = item->kind;
        news->doc = item->doc ? pk_doc_ref(item->doc) : NULL;
        memcpy(news->position, item->position, size);
    }
    (void)pthread_mutex_lock(&events->lock);
    know_base(events);
    if (news) {
        oldest = hold(events, news);
    }
    (void)snprintf(events->head, sizeof(events->head), "%s", item->position);
    events->ticks++;
    (void)pthread_cond_signal(&events->news_came);
    (void)pthread_mutex_unlock(&events->lock);
    news_unref(oldest);
}

/* A reference to the entry of that number; NULL: not held, or not yet. */
static struct news *news_at(struct pk_events *events, uint64_t number, bool *out_is_lost)
{
    struct news *news = NULL;
    (void)pthread_mutex_lock(&events->lock);
    *out_is_lost = number < events->first;
    if (!*out_is_lost && number < events->end) {
        news = events->held[number % events->options.held];
        (void)atomic_fetch_add(&news->refs, 1);
    }
    (void)pthread_mutex_unlock(&events->lock);
    return news;
}

/* ---- One client ---- */

enum follower_may follower_ask(struct pk_events *events, const struct follower *follower)
{
    struct pk_error err = { 0 };
    switch (pk_keyring_still(events->options.keyring, follower->who, true, &err)) {
    case PK_LOOK_FOUND:
        return FOLLOWER_MAY;
    case PK_LOOK_AWAY:
        return FOLLOWER_RENEW;
    case PK_LOOK_REFUSED:
        break;
    }
    return err.code == PK_UNAVAILABLE ? FOLLOWER_WAIT : FOLLOWER_MAY_NOT;
}

void follower_revoke(struct pk_events *events, struct follower *follower)
{
    const bool is_expired = pk_clock_wall_ms(events->options.clock) >= follower->who->expires_at_ms;
    pk_sse_end(follower->sse, is_expired ? "expired" : "revoked");
    (void)atomic_fetch_add(&events->revoked, 1);
}

bool follower_has_room(struct follower *follower, bool *out_is_there)
{
    *out_is_there = pk_sse_look(follower->sse, &follower->is_behind);
    return *out_is_there && !follower->is_behind;
}

static bool send_text(struct pk_events *events, struct follower *follower, const char *position,
                      const char *type, const struct pk_buf *json)
{
    const struct pk_sse_event event = {
        .id = position, .type = type, .data = pk_buf_text(json), .data_size = json->size
    };
    struct pk_error err = { 0 };
    if (pk_sse_send(follower->sse, &event, &err)) {
        (void)atomic_fetch_add_explicit(&events->sent, 1, memory_order_relaxed);
        return true;
    }
    if (err.code == PK_TOO_LARGE) {
        (void)atomic_fetch_add(&events->slow, 1);
    }
    return err.code == PK_INVALID; /* A type with a line break: no client can be sent it. */
}

/* The event as this client sees it; NULL: nothing of it. Into 'own', or the cache for all. */
static const struct pk_buf *see(const struct follower *follower, const struct pk_doc *doc,
                                struct pk_buf *cache, struct pk_buf *own)
{
    const struct pk_names_set *hidden = &follower->who->hidden;
    const bool is_common =
        cache && !hidden->is_all && hidden->name_count == 0 && !pk_sight_is_limited(follower->who);
    struct pk_buf *out = is_common ? cache : own;
    if (!pk_event_is_wanted(&follower->filter, doc) || !pk_event_is_shown(follower->who, doc)) {
        return NULL;
    }
    return out->size > 0 || pk_event_write(out, follower->who, doc) ? out : NULL;
}

bool follower_tell(struct pk_events *events, struct follower *follower, enum pk_feed_kind kind,
                   const struct pk_doc *doc, const char *position, struct pk_buf *cache)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf own = { 0 };
    const struct pk_buf *text = NULL;
    bool ok = true;

    if (kind == PK_FEED_GAP) {
        pk_buf_add_text(&own, "{\"reason\":\"missed\"}");
        ok = send_text(events, follower, position, "gap", &own);
    } else if (kind == PK_FEED_EVENT) {
        text = see(follower, doc, cache, &own);
        ok = !text || send_text(events, follower, position, pk_doc_text(doc, "eventType"), text);
    }
    (void)snprintf(follower->position, sizeof(follower->position), "%s", position);
    return ok;
}

bool follower_turns(struct follower *follower, enum pk_feed_kind kind, const struct pk_doc *doc,
                    const char *position)
{
    if (kind != PK_FEED_EVENT || strcmp(follower->turned, position) == 0 ||
        !pk_event_is_turning(&follower->filter, follower->who, doc)) {
        return false;
    }
    (void)snprintf(follower->turned, sizeof(follower->turned), "%s", position);
    follower->must_look = true;
    return true;
}

static bool was_told(struct pk_events *events, struct follower *follower, const char *position)
{
    bool is_passed = false;
    if (follower->has_mark) {
        (void)pk_mark_has_passed(events->options.store, &follower->mark, position, &is_passed,
                                 NULL);
        follower->has_mark = is_passed; /* The first one behind it ends the search. */
    }
    return is_passed;
}

/* ---- The crier ---- */

enum serve { SERVE_ON, SERVE_REPLAY, SERVE_GONE };

static enum serve cut_slow(struct pk_events *events, struct follower *follower)
{
    pk_sse_end(follower->sse, "slow");
    (void)atomic_fetch_add(&events->slow, 1);
    return SERVE_GONE;
}

/* Sends what is held and new to the client, as far as it takes it. */
static enum serve serve(struct pk_events *events, struct follower *follower)
{
    for (;;) {
        const bool was_behind = follower->is_behind;
        bool is_there = false;
        bool is_lost = false;
        const bool has_room = follower_has_room(follower, &is_there);
        if (!is_there) {
            return SERVE_GONE;
        }
        if (follower_ask(events, follower) != FOLLOWER_MAY) {
            return SERVE_REPLAY;
        }
        struct news *news = news_at(events, follower->next_news, &is_lost);
        if (is_lost) {
            follower->has_place = false;
            return was_behind || !has_room ? cut_slow(events, follower) : SERVE_REPLAY;
        }
        bool ok = true;
        const bool is_told = news && has_room;
        if (is_told && follower_turns(follower, news->kind, news->doc, news->position)) {
            news_unref(news);
            return SERVE_REPLAY; /* Who is meant now, the store must say. */
        }
        if (is_told && !was_told(events, follower, news->position)) {
            ok =
                follower_tell(events, follower, news->kind, news->doc, news->position, &news->json);
        }
        news_unref(news);
        if (!ok) {
            return SERVE_GONE;
        }
        if (!is_told) {
            return SERVE_ON;
        }
        follower->next_news++;
    }
}

/* Serves all; true when some are behind and must be looked at again soon. */
static bool serve_all(struct pk_events *events)
{
    bool is_any_behind = false;
    for (struct follower **at = &events->told; *at;) {
        struct follower *follower = *at;
        const enum serve then = serve(events, follower);
        if (then == SERVE_ON) {
            is_any_behind |= follower->is_behind;
            at = &follower->next;
            continue;
        }
        *at = follower->next;
        if (then == SERVE_GONE) {
            follower_free(events, follower);
            continue;
        }
        (void)pthread_mutex_lock(&events->lock);
        events->replaying++;
        follower_to_replay(events, follower);
        (void)pthread_mutex_unlock(&events->lock);
    }
    return is_any_behind;
}

/* Under 'lock'. */
static void take_in(struct pk_events *events)
{
    if (events->to_crier.first) {
        *events->to_crier.end = events->told;
        events->told = events->to_crier.first;
        queue_init(&events->to_crier);
    }
}

static void *run_crier(void *argument)
{
    struct pk_events *events = argument;
    uint64_t seen = 0;
    bool is_any_behind = false;

    (void)pthread_mutex_lock(&events->lock);
    while (!events->is_stopping) {
        if (is_any_behind && events->ticks == seen && !events->to_crier.first) {
            events_doze(events, &events->news_came, PK_EVENTS_NAP_MS);
        } else if (events->ticks == seen && !events->to_crier.first) {
            (void)pthread_cond_wait(&events->news_came, &events->lock);
            continue;
        }
        seen = events->ticks;
        take_in(events);
        (void)pthread_mutex_unlock(&events->lock);
        is_any_behind = serve_all(events);
        (void)pthread_mutex_lock(&events->lock);
    }
    (void)pthread_mutex_unlock(&events->lock);
    return NULL;
}

/* ---- Coming ---- */

static bool fail_crowded(struct pk_error *err)
{
    return pk_fail(err, PK_BUSY, "come back in a few seconds",
                   "too many streams are catching up at the same time");
}

/* Under 'lock': the entry behind 'position', if everything behind it is held. */
static bool find_held(struct pk_events *events, const char *position, uint64_t *out)
{
    if (strcmp(position, events->head) == 0) {
        *out = events->end;
        return true;
    }
    for (uint64_t number = events->end; number-- > events->first;) {
        if (strcmp(events->held[number % events->options.held]->position, position) == 0) {
            *out = number + 1;
            return true;
        }
    }
    *out = events->first;
    return strcmp(position, events->base) == 0;
}

/* "<epoch>.<what the engine makes of it>". One of another epoch is a position, too: a gap. */
static bool check_position(const char *text, struct pk_error *err)
{
    enum { EPOCH = PK_UUID_TEXT - 1 };
    const size_t size = strlen(text);
    if (size > EPOCH + 1 && size < PK_POSITION_TEXT && pk_uuid_is_v4(text, EPOCH) &&
        text[EPOCH] == '.' && strspn(text + EPOCH + 1, "0123456789ABCDEF") == size - EPOCH - 1) {
        return true;
    }
    return pk_fail_field(err, PK_INVALID, "from",
                         "send the id of an event as it was received, or none to start now",
                         "'%.64s' is not a position of the feed", text);
}

bool pk_events_find(struct pk_events *events, const char *position, struct pk_events_place *out,
                    struct pk_error *err)
{
    *out = (struct pk_events_place){ .is_present = !position };
    if (position && !check_position(position, err)) {
        return false;
    }
    (void)pthread_mutex_lock(&events->lock);
    know_base(events);
    out->position = pk_strdup(position ? position : events->head);
    const bool is_held = find_held(events, out->position, &out->next);
    const bool is_crowded = events->replaying >= events->options.replays_max;
    (void)pthread_mutex_unlock(&events->lock);
    if (is_held ||
        (!is_crowded && pk_feed_open(&out->feed, events->options.store, position, err))) {
        return true;
    }
    pk_events_leave(out);
    return is_crowded && fail_crowded(err);
}

void pk_events_leave(struct pk_events_place *place)
{
    pk_feed_close(place->feed);
    pk_free(place->position);
    *place = (struct pk_events_place){ 0 };
}

static void end_all(struct pk_events *events, struct follower *follower)
{
    for (struct follower *next; follower; follower = next) {
        next = follower->next;
        pk_sse_end(follower->sse, "stopping");
        follower_free(events, follower);
    }
}

/* Before anything else, so that a client which loses its connection now can come back. */
static void send_start(const struct follower *follower)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf json = { 0 };
    pk_buf_printf(&json, "{\"position\":\"%s\"}", follower->position);
    (void)pk_sse_send(follower->sse,
                      &(struct pk_sse_event){ .id = follower->position,
                                              .type = "start",
                                              .data = pk_buf_text(&json),
                                              .data_size = json.size },
                      NULL);
}

void pk_events_add(struct pk_events *events, struct pk_events_place *place,
                   struct pk_event_filter *filter, const struct pk_principal *who,
                   struct pk_sse *sse)
{
    struct follower *follower = pk_calloc(1, sizeof(*follower));
    follower->sse = sse;
    follower->who = pk_principal_ref((struct pk_principal *)(uintptr_t)who);
    follower->filter = *filter;
    follower->feed = place->feed;
    follower->next_news = place->next;
    follower->has_place = !place->feed;
    (void)snprintf(follower->position, sizeof(follower->position), "%s", place->position);
    *filter = (struct pk_event_filter){ 0 };
    place->feed = NULL;
    if (place->is_present) {
        send_start(follower);
    }
    pk_events_leave(place);
    (void)pthread_mutex_lock(&events->lock);
    events->clients++;
    const bool is_late = events->is_stopping;
    if (!is_late && follower->has_place) {
        follower_to_crier(events, follower);
    } else if (!is_late) {
        events->replaying++;
        follower_to_replay(events, follower);
    }
    (void)pthread_mutex_unlock(&events->lock);
    if (is_late) {
        end_all(events, follower);
    }
}

/* ---- Life ---- */

struct pk_events *pk_events_new(const struct pk_events_options *options)
{
    struct pk_events *events = pk_calloc(1, sizeof(*events));

    events->options = *options;
    events->options.held = options->held ? options->held : HELD_DEFAULT;
    events->options.replays_max = options->replays_max ? options->replays_max : REPLAYS_DEFAULT;
    events->held = pk_calloc(events->options.held, sizeof(struct news *));
    queue_init(&events->to_crier);
    queue_init(&events->to_replay);
    (void)pthread_mutex_init(&events->lock, NULL);
    pk_cond_init(&events->news_came);
    pk_cond_init(&events->client_came);
    return events;
}

bool pk_events_start(struct pk_events *events, struct pk_error *err)
{
    void *(*const run[])(void *) = { run_crier, events_replay_run, events_replay_run };
    pthread_t *const thread[] = { &events->crier, &events->replayer[0], &events->replayer[1] };
    while (events->thread_count < PK_COUNT(run)) {
        const size_t i = events->thread_count;
        if (pthread_create(thread[i], NULL, run[i], events) != 0) {
            pk_events_stop(events);
            return pk_fail(err, PK_INTERNAL, "raise the limit of processes",
                           "cannot start a thread");
        }
        events->thread_count++;
    }
    return true;
}

void pk_events_stop(struct pk_events *events)
{
    if (!events) {
        return;
    }
    pthread_t *const thread[] = { &events->crier, &events->replayer[0], &events->replayer[1] };
    (void)pthread_mutex_lock(&events->lock);
    events->is_stopping = true;
    (void)pthread_cond_broadcast(&events->news_came);
    (void)pthread_cond_broadcast(&events->client_came);
    (void)pthread_mutex_unlock(&events->lock);
    while (events->thread_count > 0) {
        (void)pthread_join(*thread[--events->thread_count], NULL);
    }
    (void)pthread_mutex_lock(&events->lock);
    take_in(events);
    struct follower *waiting = events->to_replay.first;
    queue_init(&events->to_replay);
    events->replaying = 0;
    (void)pthread_mutex_unlock(&events->lock);
    end_all(events, waiting);
    end_all(events, events->told);
    events->told = NULL;
}

void pk_events_free(struct pk_events *events)
{
    if (!events) {
        return;
    }
    pk_events_stop(events);
    while (events->first < events->end) {
        news_unref(events->held[events->first++ % events->options.held]);
    }
    pk_free(events->held);
    (void)pthread_cond_destroy(&events->news_came);
    (void)pthread_cond_destroy(&events->client_came);
    (void)pthread_mutex_destroy(&events->lock);
    pk_free(events);
}

void pk_events_stats(struct pk_events *events, struct pk_events_stats *out)
{
    (void)pthread_mutex_lock(&events->lock);
    *out = (struct pk_events_stats){
        .clients = events->clients,
        .replaying = events->replaying,
        .sent = atomic_load(&events->sent),
        .slow = atomic_load(&events->slow),
        .revoked = atomic_load(&events->revoked),
    };
    (void)pthread_mutex_unlock(&events->lock);
}
