/* api.h - The resources of the server: one table of routes, one file per resource.
 *
 *     pk_api_new(&parts)             the parts are made by whoever starts the server
 *     pk_api_routes(api, &count)     for pk_net_options.route
 *     pk_api_gate()                  for pk_net_options.gate
 *     context = api                  for pk_net_options.context
 *
 * A row of the table (row.h) says everything about a route; from it come
 * routing, authorisation, the reading of query and body, /openapi.json and the
 * tests. Between the gate and the handler every request passes run.c, where
 * all that is the same for all of them is done once. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_API_H
#define PK_API_API_H

#include "net/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_api; /* Opaque. */
struct pk_books;
struct pk_clock;
struct pk_domain;
struct pk_events;
struct pk_health;
struct pk_hot;
struct pk_idempotency;
struct pk_keyring;
struct pk_log;
struct pk_metrics_sources;
struct pk_rate;
struct pk_registry;
struct pk_scripts;
struct pk_watch;

/* What handlers work with; borrowed, outlives the api. */
struct pk_api_parts {
    const struct pk_clock *clock;
    const struct pk_books *books; /* Store, peppers, node, retention: for whoever writes. */
    struct pk_keyring *keyring;
    struct pk_rate *rate;
    struct pk_idempotency *idempotency;
    struct pk_watch *watch;       /* Follows the feed. */
    struct pk_events *events;     /* Who follows /v1/events. */
    struct pk_hot *hot;           /* Ready answers. */
    struct pk_registry *registry; /* All versions of all scripts. */
    struct pk_scripts *scripts;   /* Those that serve. */
    struct pk_domain *domain;     /* People, observations, mindscapes, personas. */
    struct pk_health *health;
    const struct pk_metrics_sources *sources; /* Of /metrics; NULL: there is no such page. */
    struct pk_log *log;
    int64_t deadline_ms; /* For the store's part of a request; 0: 10 s. */
};

struct pk_api *pk_api_new(const struct pk_api_parts *parts);
void pk_api_free(struct pk_api *api); /* NULL is fine. No request may be under way. */
/* In the order of the table; owned by 'api'. */
const struct pk_route *pk_api_routes(const struct pk_api *api, size_t *out_count);
const struct pk_gate *pk_api_gate(void);

/* Which listener a request came in by (pk_net_listener.tag). */
enum pk_api_door {
    PK_DOOR_MAIN,
    PK_DOOR_OPERATIONS /* Only health, /metrics and /openapi.json, without a key. */
};

#endif
