/* events_bed.h - A server with nothing but streams of events, for one case.
 *
 * Store, keyring, watcher and net are real; a request names its key, position
 * and filters in headers, so that no other part of the room is needed. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_API_EVENTS_BED_H
#define PK_TEST_API_EVENTS_BED_H

#include "access/audit.h"
#include "access/key.h"
#include "api/events.h"
#include "base/error.h"
#include "net/net.h"
#include "persona/domain.h"
#include "store/store.h"
#include "test.h"

struct pk_keyring;
struct pk_peppers;
struct pk_watch;

struct events_bed {
    char *folder;
    char *url;
    bool is_mongo;
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_books books;
    struct pk_domain domain; /* Books, and nothing else: who is one person. */
    struct pk_by by;
    struct pk_keyring *keyring;
    struct pk_watch *watch;
    struct pk_events *events;
    struct pk_net *net;
    struct pk_error err;
};
struct events_bed_options {
    bool is_mongo; /* The case is skipped when PK_TEST_MONGODB is not set. */
    size_t held;
    size_t stream_bytes;
};
void events_bed_open(struct events_bed *bed, const struct events_bed_options *options);
void events_bed_done(struct events_bed *bed);

/* An actor with these capabilities (JSON with ' for "), and its only key. */
struct caller {
    char actor_id[64];
    struct pk_key key;
    char text[PK_KEY_TEXT];
};
void caller_make(struct events_bed *bed, struct caller *out, const char *capabilities,
                 int64_t key_expires_at_ms);

/* Announces an event in a commit of its own. 'person' may be NULL; 'paths' is separated by commas,
 * or NULL; 'number' is a fact. */
void announce(struct events_bed *bed, const char *type, const char *entity_type,
              const char *entity_id, const char *person, const char *paths, int number);
/* 'count' of them in lists of 500. */
void announce_many(struct events_bed *bed, int first, int count);

/* Returns when the watcher has heard everything that was committed so far. */
void settle(struct events_bed *bed);

/* A client. */
struct follow {
    int fd;
    char *text; /* What has come and was not returned. */
    size_t size, capacity;
    bool is_answered; /* The head has been read. */
    int status;
    char type[64], id[PK_POSITION_TEXT], data[4096]; /* Of the last event. */
};
/* Headers end with CRLF each; "" for none. Small 'buffer_bytes' make a reader that falls behind. */
void follow_open(struct follow *follow, struct events_bed *bed, const char *key,
                 const char *headers, int buffer_bytes);
void follow_done(struct follow *follow);
/* The next event into type, id and data; false when the connection has ended. Fails the case after
 * ten seconds. */
bool follow_next(struct follow *follow);
/* The next event has this type, and 'part' in its data. */
void follow_expect(struct follow *follow, const char *type, const char *part);

#endif
