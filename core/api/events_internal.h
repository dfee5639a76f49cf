/* events_internal.h - What events.c and events_replay.c share. Nobody else includes it. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_EVENTS_INTERNAL_H
#define PK_API_EVENTS_INTERNAL_H

#include "api/event_view.h"
#include "api/events.h"
#include "base/buf.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* One of the latest events, shared by counting references; immutable but for 'json'. */
struct news {
    _Atomic uint32_t refs;
    enum pk_feed_kind kind; /* EVENT or GAP. */
    struct pk_doc *doc;     /* NULL for a GAP. */
    struct pk_buf json;     /* As those see it who see every path; made when first needed. The
                             * crier's alone. */
    char position[];
};

/* A client. It belongs to one thread at a time: the crier, or a replayer that has taken it. */
struct follower {
    struct follower *next;
    struct pk_sse *sse;
    struct pk_principal *who;
    struct pk_event_filter filter;
    char position[PK_POSITION_TEXT]; /* It has been told everything up to here. */
    char turned[PK_POSITION_TEXT]; /* The latest event from which on somebody else may be meant. */
    bool must_look;                /* Who is meant by its filter is to be looked at. */
    bool has_place;                /* 'next_news' means something. */
    uint64_t next_news;            /* The number of the first of 'held' that it has not seen. */
    struct pk_feed *feed;          /* While it is read to from the store. */
    bool has_mark;                 /* What 'mark' has passed was told already. */
    struct pk_feed_mark mark;      /* Of the feed that it was read to from. */
    bool is_behind;                /* It had not taken what was sent, when last looked at. */
    int64_t rest_until_ns;         /* Monotonic: no replayer takes it before. */
};
struct followers { /* A queue. */
    struct follower *first;
    struct follower **end;
};

struct pk_events {
    struct pk_events_options options;
    pthread_t crier;
    pthread_t replayer[2];
    size_t thread_count;   /* Started, of these three. */
    struct follower *told; /* Those that live on news. The crier's alone. */
    _Atomic uint64_t sent, slow, revoked;

    pthread_mutex_t lock;
    pthread_cond_t news_came;   /* For the crier. */
    pthread_cond_t client_came; /* For the replayers. */
    /* Under 'lock'. */
    struct news **held;          /* The latest, by number modulo options.held. */
    uint64_t first, end;         /* Numbers: of the oldest held, and of the next to come. */
    char base[PK_POSITION_TEXT]; /* Everything behind it is held; "": nothing was heard yet. */
    char head[PK_POSITION_TEXT]; /* Everything up to it was heard. */
    uint64_t ticks;              /* Items heard, quiet ones too. */
    struct followers to_crier, to_replay;
    size_t clients, replaying;
    bool is_stopping;
};

enum {
    PK_EVENTS_NAP_MS = 20,  /* Until a client that is behind is looked at again. */
    PK_EVENTS_WAIT_MS = 100 /* Until a store that is away is asked again. */
};

void follower_add(struct followers *queue, struct follower *follower);
/* Forgets the client, which was ended or has gone. */
void follower_free(struct pk_events *events, struct follower *follower);
/* Under 'lock'. */
void follower_to_crier(struct pk_events *events, struct follower *follower);
void follower_to_replay(struct pk_events *events, struct follower *follower);

/* Whether it may be sent anything now. */
enum follower_may {
    FOLLOWER_MAY,
    FOLLOWER_RENEW,  /* Its key must be read again. */
    FOLLOWER_WAIT,   /* The store has not answered for long: nobody can say. */
    FOLLOWER_MAY_NOT /* For good. */
};
enum follower_may follower_ask(struct pk_events *events, const struct follower *follower);
/* Tells the client why its stream ends, when its key does not hold any more. */
void follower_revoke(struct pk_events *events, struct follower *follower);

/* Whether somebody else may be meant by its filter from this event on, which it has not been told:
 * then it must look first. */
bool follower_turns(struct follower *follower, enum pk_feed_kind kind, const struct pk_doc *doc,
                    const char *position);
/* Whether there is room for one more event; false, too, when the client has gone. */
bool follower_has_room(struct follower *follower, bool *out_is_there);
/* Sends it what the item says, as far as it may know, and moves its position. 'cache' is the text
 * that all see who see every path, or NULL. False: the client has gone, or was cut. */
bool follower_tell(struct pk_events *events, struct follower *follower, enum pk_feed_kind kind,
                   const struct pk_doc *doc, const char *position, struct pk_buf *cache);

void *events_replay_run(void *events);
/* Sleeps on a condition, at most 'ms'. Under 'lock'. */
void events_doze(struct pk_events *events, pthread_cond_t *cond, int64_t ms);

#endif
