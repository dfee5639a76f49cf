/* events_replay.c - Reads the store to clients that are behind, until memory has the rest.
 *
 * Two threads take clients from one queue, a slice each, so that a client far
 * behind, or one that reads slowly, does not keep the others waiting. A client
 * keeps its feed from slice to slice; whatever fails is tried again from where
 * it was. Here keys are read anew, because here one may wait. */
/* SPDX-License-Identifier: MIT */
#include "api/events_internal.h"

#include "access/access.h"
#include "access/keyring.h"
#include "access/principal.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "net/sse.h"

enum {
    SLICE = 256,     /* Events for one client, before another has its turn. */
    RENEW_MS = 2000, /* For reading a key, or who is one person. */
    QUIET_MS = 20    /* For a feed with nothing new, which may be short of what was heard. */
};

enum replay { REPLAY_ON, REPLAY_HELD, REPLAY_REST, REPLAY_GONE };

static enum replay rest(struct follower *follower, int64_t ms)
{
    follower->rest_until_ns = pk_deadline_in_ms(pk_clock_system(), ms);
    return REPLAY_REST;
}

/* ---- Its key ---- */

static bool may_follow(const struct pk_principal *who)
{
    return pk_access_check(who, PK_ACT_EVENT_STREAM, NULL, NULL);
}

static enum replay renew(struct pk_events *events, struct follower *follower)
{
    struct pk_principal *who = NULL;
    struct pk_error err = { 0 };
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), RENEW_MS);
    const bool is_read =
        pk_keyring_renew(events->options.keyring, follower->who, true, deadline_ns, &who, &err);
    if (!is_read && err.code != PK_UNAUTHORIZED) {
        return rest(follower, PK_EVENTS_WAIT_MS);
    }
    if (!is_read || !may_follow(who)) {
        pk_principal_unref(who);
        follower_revoke(events, follower);
        return REPLAY_GONE;
    }
    pk_principal_unref(follower->who);
    follower->who = who;
    follower->must_look = follower->filter.person != NULL; /* It may see others now. */
    return REPLAY_ON;
}

/* ---- Whom it follows ---- */

static enum replay look(struct pk_events *events, struct follower *follower)
{
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), RENEW_MS);
    if (follower->must_look && !pk_event_filter_look(&follower->filter, events->options.domain,
                                                     follower->who, deadline_ns, NULL)) {
        return rest(follower, PK_EVENTS_WAIT_MS);
    }
    follower->must_look = false;
    return REPLAY_ON;
}

/* REPLAY_ON when it may be sent something. */
static enum replay check(struct pk_events *events, struct follower *follower)
{
    enum replay then = REPLAY_ON;
    switch (follower_ask(events, follower)) {
    case FOLLOWER_MAY:
        return look(events, follower);
    case FOLLOWER_RENEW:
        then = renew(events, follower);
        return then == REPLAY_ON ? look(events, follower) : then;
    case FOLLOWER_WAIT:
        return rest(follower, PK_EVENTS_WAIT_MS);
    case FOLLOWER_MAY_NOT:
        break;
    }
    follower_revoke(events, follower);
    return REPLAY_GONE;
}

/* ---- Its place ---- */

/* True when all that it has not been told is held in memory. */
static bool is_held(struct pk_events *events, struct follower *follower)
{
    bool has_passed = false;
    struct pk_feed_mark mark = { 0 };
    if (follower->feed) {
        pk_feed_mark(follower->feed, &mark);
    }
    (void)pthread_mutex_lock(&events->lock);
    if (follower->has_place) {
        has_passed = follower->next_news >= events->first;
    } else if (follower->feed && events->base[0] &&
               pk_mark_has_passed(events->options.store, &mark, events->base, &has_passed, NULL) &&
               has_passed) {
        follower->next_news = events->first;
        follower->mark = mark;
        follower->has_mark = true;
    }
    (void)pthread_mutex_unlock(&events->lock);
    follower->has_place = has_passed;
    return has_passed;
}

/* Back to where it was, to read from there again. */
static void forget_feed(struct follower *follower)
{
    pk_feed_close(follower->feed);
    follower->feed = NULL;
}

/* Takes the next item of its feed and tells it. */
static enum replay tell_next(struct pk_events *events, struct follower *follower)
{
    struct pk_feed_item item;
    if (!pk_feed_next(follower->feed, QUIET_MS, &item, NULL)) {
        return rest(follower, PK_EVENTS_WAIT_MS);
    }
    (void)follower_turns(follower, item.kind, item.doc, item.position);
    enum replay then = check(events, follower); /* It may have taken its time. */
    if (then == REPLAY_ON) {
        then = follower_tell(events, follower, item.kind, item.doc, item.position, NULL)
                   ? REPLAY_ON
                   : REPLAY_GONE;
    } else if (then == REPLAY_REST) {
        forget_feed(follower); /* With what it has just given. */
    }
    pk_doc_unref(item.doc);
    /* A feed with nothing to say is no reason to keep others waiting. */
    return then == REPLAY_ON && item.kind == PK_FEED_QUIET ? rest(follower, 1) : then;
}

/* ---- A slice ---- */

static enum replay replay(struct pk_events *events, struct follower *follower)
{
    for (int i = 0; i < SLICE; i++) {
        bool is_there = false;
        const bool has_room = follower_has_room(follower, &is_there);
        if (!is_there) {
            return REPLAY_GONE;
        }
        enum replay then = check(events, follower);
        if (then != REPLAY_ON) {
            return then;
        }
        if (is_held(events, follower)) {
            return REPLAY_HELD;
        }
        if (!has_room) {
            return rest(follower, PK_EVENTS_NAP_MS);
        }
        if (!follower->feed &&
            !pk_feed_open(&follower->feed, events->options.store, follower->position, NULL)) {
            return rest(follower, PK_EVENTS_WAIT_MS);
        }
        then = tell_next(events, follower);
        if (then != REPLAY_ON) {
            return then;
        }
    }
    return REPLAY_ON;
}

/* Under 'lock': the first whose rest is over; NULL: none. */
static struct follower *take(struct pk_events *events)
{
    for (struct follower **at = &events->to_replay.first; *at; at = &(*at)->next) {
        struct follower *follower = *at;
        if (follower->rest_until_ns == 0 ||
            pk_deadline_passed(pk_clock_system(), follower->rest_until_ns)) {
            *at = follower->next;
            if (!*at) {
                events->to_replay.end = at;
            }
            return follower;
        }
    }
    return NULL;
}

static void go_on(struct pk_events *events, struct follower *follower, enum replay then)
{
    if (then == REPLAY_HELD) {
        forget_feed(follower);
    }
    if (then == REPLAY_GONE) {
        follower_free(events, follower);
    }
    (void)pthread_mutex_lock(&events->lock);
    if (then == REPLAY_ON || then == REPLAY_REST) {
        follower_to_replay(events, follower);
    } else {
        events->replaying--;
    }
    if (then == REPLAY_HELD) {
        follower_to_crier(events, follower);
    }
}

void *events_replay_run(void *argument)
{
    struct pk_events *events = argument;
    (void)pthread_mutex_lock(&events->lock);
    while (!events->is_stopping) {
        struct follower *follower = take(events);
        if (follower) {
            follower->rest_until_ns = 0;
            (void)pthread_mutex_unlock(&events->lock);
            go_on(events, follower, replay(events, follower)); /* Locks again. */
        } else if (events->to_replay.first) {
            events_doze(events, &events->client_came, PK_EVENTS_NAP_MS);
        } else {
            (void)pthread_cond_wait(&events->client_came, &events->lock);
        }
    }
    (void)pthread_mutex_unlock(&events->lock);
    return NULL;
}
