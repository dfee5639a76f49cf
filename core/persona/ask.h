/* ask.h - What processors may ask their host, and who answers.
 *
 *     pk.ask("http", { url = "https://host/path", method = "GET", headers = {...}, body = "..." })
 *         -> { status = 200, headers = {...}, body = "..." }
 *
 * A question reaches this file only when the script's manifest was granted it
 * ("http:<host>"); the address is looked at again when it has been resolved
 * (net/fetch.h). What was answered is kept with the observation, so an answer
 * is held to a size, and a replay never asks. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_ASK_H
#define PK_PERSONA_ASK_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_clock;
struct pk_error;

struct pk_asks {
    const struct pk_clock *clock;
    const char *ca_file;     /* PEM of those whose certificates are believed; NULL: the system's. */
    bool is_private_allowed; /* Loopback and private addresses, too. */
    int64_t deadline_ms;     /* For one answer; 0: 10 s. */
};
/* For pk_domain.ask; 'context' is a struct pk_asks. */
bool pk_ask(void *context, const char *name, const bson_t *question, bson_t *answer,
            struct pk_error *err);

#endif
