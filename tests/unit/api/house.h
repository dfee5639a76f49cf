/* house.h - A whole server in the test's own process: store, keys, feed, api, sockets.
 *
 *     PK_CLEANUP(house_close) struct house house = { 0 };
 *     house_open(&house, NULL);
 *     struct reply reply = house_ask(&house, "GET", "/v1/actors", house.admin, NULL);
 *     assert_int_equal(reply.status, 200);
 *     reply_done(&reply);
 *
 * Nothing of it stands in for anything: requests come over loopback sockets. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_API_HOUSE_H
#define PK_TEST_API_HOUSE_H

#include "access/audit.h"
#include "access/key.h"
#include "access/rate.h"
#include "api/api.h"
#include "api/row.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "feed/outbox.h"
#include "net/net.h"
#include "ops/metrics_page.h"
#include "persona/domain.h"
#include "store/store.h"
#include "test.h"

struct pk_api_table;

struct house_options {
    const struct pk_api_table *const *table; /* Instead of the real tables. */
    size_t table_count;
    struct pk_rate_rule rate[PK_RATE_KINDS];
    const char *const *approve; /* domain.approve_sources; NULL: none. */
};

struct house {
    char folder[512];
    struct pk_store *store;
    struct pk_peppers *peppers;
    struct pk_books books;
    struct pk_by by;
    struct pk_keyring *keyring;
    struct pk_rate *rate;
    struct pk_idempotency *idempotency;
    struct pk_watch *watch;
    struct pk_events *events;
    struct pk_hot *hot;
    struct pk_health *health;
    struct pk_jail *jail;
    struct pk_loader *loader;
    struct pk_scripts *scripts;
    struct pk_registry *registry;
    struct pk_domain domain;
    struct pk_task_type task[16]; /* Of domain.outbox; ended by a NULL name. */
    struct pk_metrics_sources sources;
    struct pk_api *api;
    struct pk_net *net;
    char admin[PK_KEY_TEXT]; /* The first actor's key. */
    struct pk_error err;
};

/* 'options' NULL: the real tables, no limits of rate. */
void house_open(struct house *house, const struct house_options *options);
void house_close(struct house *house); /* Once more is fine. */

/* An actor with a key, into 'out_key'; 'capabilities' is JSON with ' for ". */
struct pk_doc *house_actor(struct house *house, const char *name, const char *capabilities,
                           char out_key[PK_KEY_TEXT]);
/* One more key for it; 'expires_at_ms' 0: never. */
struct pk_key house_key(struct house *house, const char *actor_id, int64_t expires_at_ms,
                        char out_key[PK_KEY_TEXT]);
/* One that has expired by the time it is returned. */
void house_expired_key(struct house *house, const char *actor_id, char out_key[PK_KEY_TEXT]);
/* Waits until the feed has brought everything that was written so far. */
void house_settle(struct house *house);
size_t house_count(struct house *house, const char *collection);

/* What came back. */
struct reply {
    int status;
    struct pk_buf text; /* All of it. */
    const char *head;   /* Status line and headers. */
    const char *body;
    size_t body_size;
    bson_t *json; /* Of a JSON body; or NULL. */
};
void reply_done(struct reply *reply);
/* A header's value in memory of the reply, or NULL. */
const char *reply_header(struct reply *reply, const char *name);
/* The text at a dot path of the body; "" when there is none. */
const char *reply_text(const struct reply *reply, const char *path);
int64_t reply_number(const struct reply *reply, const char *path);
/* Elements of the list at a path. */
size_t reply_count(const struct reply *reply, const char *path);

/* One request on a connection of its own. 'key' NULL: none is sent; 'body' (JSON with ' for ")
 * NULL: none. 'headers' are whole lines with their CRLF, or NULL. */
struct reply house_ask(struct house *house, const char *method, const char *target, const char *key,
                       const char *body);
struct reply house_ask_with(struct house *house, const char *method, const char *target,
                            const char *key, const char *headers, const char *body);
/* The same by the operations' listener. */
struct reply house_ask_door(struct house *house, const char *target);
/* The bytes as they are. */
struct reply house_say(struct house *house, const char *bytes);

/* The same in steps, for what happens in between; house_hear closes. */
int house_dial(struct house *house);
void house_send(int fd, const char *bytes);
struct reply house_hear(int fd);
/* Only the status, of an answer that may go on for ever. */
int house_hear_status(int fd);

/* Fails the case unless it is this status, and, for problems, this code. */
void expect(struct reply *reply, int status, const char *code);

#endif
