/* living.h - The parts of a server that know of people, put together.
 *
 *     policies ─▶ mindscapes ─▶ outbox ─▶ personas
 *
 *     struct pk_living living;
 *     pk_living_open(&living, &parts, &err)     made; nothing runs yet
 *     pk_watch_tell(watch, pk_living_hear, &living)
 *     pk_living_start(&living, &err)            tasks run, use counts are written
 *     pk_living_quiet(&living)                  no task begins any more
 *     pk_living_stop(&living)                   also of one that was half made
 *
 * Thread: the one that starts the server; pk_living_hear is the feed's. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_LIVING_H
#define PK_CLI_LIVING_H

#include "feed/outbox.h"
#include "persona/ask.h"
#include "persona/domain.h"

struct pk_config;
struct pk_error;
struct pk_feed_item;
struct pk_scripting;

enum { PK_LIVING_TASKS = 16 };

struct pk_living {
    struct pk_domain domain;
    struct pk_policies *policies;
    struct pk_asks asks;                       /* Who answers what processors ask. */
    struct pk_task_type task[PK_LIVING_TASKS]; /* Ended by one without a name. */
};
/* What it is made of; borrowed, outlives it. */
struct pk_living_parts {
    const struct pk_config *config;
    const struct pk_books *books;
    const struct pk_scripting *scripting;
    struct pk_hot *hot;
    struct pk_log *log;
};
bool pk_living_open(struct pk_living *living, const struct pk_living_parts *parts,
                    struct pk_error *err);
/* A pk_watch_fn; 'context' is the living. */
void pk_living_hear(void *context, const struct pk_feed_item *item);
bool pk_living_start(struct pk_living *living, struct pk_error *err);
void pk_living_quiet(struct pk_living *living);
void pk_living_stop(struct pk_living *living);

#endif
