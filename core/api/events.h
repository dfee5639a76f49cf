/* events.h - Everybody who follows GET /v1/events.
 *
 *     events = pk_events_new(&options);
 *     pk_watch_tell(watch, pk_keyring_hear..., keyring);   first: a revocation is known
 *     pk_watch_tell(watch, pk_events_hear, events);        before what came behind it is sent
 *     pk_events_start(events, &err);
 *
 * A client is told every event behind its position once, in the order of the
 * feed, as far as its actor may see it (event_view.h), and
 *
 *     event: start   {"position": ...}  where a stream without a position begins
 *     event: gap     {"reason":"missed"}  events may be missing: read anew what you hold
 *     event: end     {"reason":...}  "slow", "stopping", "revoked", "expired"
 *
 * The id of an event is its position: Last-Event-ID, or ?from=. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_EVENTS_H
#define PK_API_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_api_table;
struct pk_clock;
struct pk_domain;
struct pk_error;
struct pk_event_filter;
struct pk_events; /* Opaque. */
struct pk_feed;
struct pk_feed_item;
struct pk_keyring;
struct pk_log;
struct pk_principal;
struct pk_sse;
struct pk_store;
struct pk_watch;

struct pk_events_options { /* All outlive it. */
    struct pk_store *store;
    struct pk_keyring *keyring;
    struct pk_watch *watch;
    const struct pk_domain *domain; /* Who is one person: for filters by person. */
    const struct pk_clock *clock;   /* Of expiry. */
    struct pk_log *log;
    size_t held;        /* Latest events kept in memory; 0: 4,096. */
    size_t replays_max; /* Clients that are read to from the store at the same time; 0: 256. */
};

struct pk_events *pk_events_new(const struct pk_events_options *options);
void pk_events_free(struct pk_events *events); /* Stops it first; NULL is fine. */
bool pk_events_start(struct pk_events *events, struct pk_error *err);
/* Ends all streams. When the watcher has stopped; more than once is fine, as is NULL. */
void pk_events_stop(struct pk_events *events);

/* A pk_watch_fn: takes note and returns. */
void pk_events_hear(void *events, const struct pk_feed_item *item);

/* ---- For the route ---- */

/* Where a new client begins; found before the connection becomes a stream, so that a wrong
 * position can still be answered. Goes to pk_events_add, or to pk_events_leave. */
struct pk_events_place {
    char *position;
    struct pk_feed *feed; /* To read it from; NULL: memory has all behind it. */
    uint64_t next;        /* The first of those in memory. */
    bool is_present;      /* It was asked for none. */
};
/* 'position' NULL: the present. PK_INVALID: it is none; PK_BUSY: too many are read to. Blocks. */
bool pk_events_find(struct pk_events *events, const char *position, struct pk_events_place *out,
                    struct pk_error *err);
void pk_events_leave(struct pk_events_place *place);
/* Takes over 'place', 'filter' and 'sse'; a reference of its own to 'who'. */
void pk_events_add(struct pk_events *events, struct pk_events_place *place,
                   struct pk_event_filter *filter, const struct pk_principal *who,
                   struct pk_sse *sse);

extern const struct pk_api_table pk_api_events_table;

struct pk_events_stats {
    size_t clients;   /* Streams that are open. */
    size_t replaying; /* Of these, read to from the store, or waiting for their key to be read. */
    uint64_t sent;    /* Events sent, of all clients. */
    uint64_t slow;    /* Clients cut, because they were too far behind. */
    uint64_t revoked; /* Streams ended, because the key or the actor had ended. */
};
void pk_events_stats(struct pk_events *events, struct pk_events_stats *out);

#endif
