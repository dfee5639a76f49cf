/* health.h - Does the server live, and can it serve?
 *
 *     GET /healthz    200 while the process answers at all: restart it if not
 *     GET /readyz     200 {"status":"ready"} while it can serve: send it requests
 *                     only then; else 503 {"status":"unready"}. Who may operate
 *                     the server is told what was looked at, and what was found
 *
 * Answering never waits, so both belong on the loop: a thread of its own asks
 * the store, all the time, and the answer is what it last heard, or that it has
 * heard nothing for too long. What was found is also logged when it changes.
 *
 *     pk_health_start(&health, &options, &err);
 *     pk_health_set_net(health, net);          once there is one
 *     pk_health_drain(health);                 unready from here on
 *     pk_health_set_net(health, NULL);         before the net is closed
 *     pk_health_stop(health);
 *
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_HEALTH_H
#define PK_OPS_HEALTH_H

#include "net/net.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;
struct pk_health; /* Opaque. */
struct pk_jail;
struct pk_keyring;
struct pk_log;

/* All is borrowed and outlives the health. */
struct pk_health_options {
    struct pk_store *store;
    const struct pk_clock *clock;
    struct pk_log *log;         /* NULL: nothing is logged. */
    struct pk_keyring *keyring; /* Whose silence counts; NULL: not looked at. */
    int64_t stale_ms;           /* As the keyring's; 0: 2,000. */
    int64_t stale_read_ms;      /* access.stale_keys_ms; shown when it is above stale_ms. */
    const struct pk_jail *jail; /* That scripts run in; NULL: not looked at. */
    const char *data;           /* The folder whose disk must not fill up; NULL: not looked at. */
    int64_t every_ms;           /* Between two questions to the store; 0: 500. */
    int64_t answer_ms;          /* How long it may take to answer; 0: 800. */
};

bool pk_health_start(struct pk_health **out, const struct pk_health_options *options,
                     struct pk_error *err);
void pk_health_stop(struct pk_health *health); /* NULL is fine. */
/* Whose lanes and certificate are looked at; NULL: nobody's, and then it is no longer used. */
void pk_health_set_net(struct pk_health *health, const struct pk_net *net);
void pk_health_drain(struct pk_health *health); /* Before the listeners close. */

/* In the order of the report. */
enum pk_health_name {
    PK_HEALTH_DRAIN,       /* It is not about to stop. */
    PK_HEALTH_STORE,       /* The store answers. */
    PK_HEALTH_DURABLE,     /* It makes writes durable. */
    PK_HEALTH_FEED,        /* The feed has been heard lately. */
    PK_HEALTH_KEYS,        /* Keys are not trusted for longer than usual. Warns only. */
    PK_HEALTH_CLOCK,       /* The store's clock and ours agree. Warns only. */
    PK_HEALTH_EXECUTORS,   /* Fewer than four executors hang now. */
    PK_HEALTH_CERTIFICATE, /* It is good for a week. Warns only. */
    PK_HEALTH_DISK,        /* There is room. Warns only. */
    PK_HEALTH_JAIL,        /* Script workers are locked down. Warns only. */
    PK_HEALTH_COUNT
};
enum pk_health_state { PK_HEALTH_OK, PK_HEALTH_WARNS, PK_HEALTH_FAILS };

struct pk_health_check {
    const char *name; /* "store" */
    enum pk_health_state state;
    char detail[320];
    int64_t since_ms; /* Wall: as long it has been in this state. */
};
struct pk_health_report {
    bool is_ready; /* No check fails. */
    struct pk_health_check check[PK_HEALTH_COUNT];
};
void pk_health_look(struct pk_health *health, struct pk_health_report *out);

/* What the store counted when it was last asked: pk_store_stats may wait, this does not. */
void pk_health_store_stats(struct pk_health *health, struct pk_store_stats *out);

/* Answer GET /healthz and GET /readyz; 'has_detail': with the list of checks. */
void pk_health_answer_live(struct pk_answer *answer);
void pk_health_answer_ready(struct pk_health *health, bool has_detail, struct pk_answer *answer);

#endif
