/* traffic.h - What becomes of every request: counted, logged, and looked at when it was slow.
 *
 *     pk_traffic_new(&options)
 *     .done = pk_traffic_done, .done_context = traffic      in pk_net_options
 *
 * Counted are requests by route, method and status, their duration and the
 * bytes of their answers by route and method, and what the parser refused by
 * its code. After the first request of a kind that costs a few atomic adds: no
 * lock, no allocation.
 *
 * The access log is one JSON line per request; a request that took longer than
 * 'slow_ms', not counting the time it was parked, gets another that says where
 * the time went. Lines go to a spool (spool.h) and never hold up a loop. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_TRAFFIC_H
#define PK_OPS_TRAFFIC_H

#include "base/trace.h"
#include "net/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_metrics;
struct pk_spool;
struct pk_traffic; /* Opaque. */

/* Who asked: fills what is known; the texts live as long as the request. */
typedef void pk_traffic_who_fn(const struct pk_request *request, const char **out_actor,
                               const char **out_key);

/* All is borrowed and outlives the traffic. */
struct pk_traffic_options {
    const struct pk_clock *clock;
    struct pk_metrics *metrics;
    const struct pk_route *route; /* The table that net was given. */
    size_t route_count;
    struct pk_spool *spool; /* For lines; NULL: none are written. */
    pk_traffic_who_fn *who; /* NULL: nobody is named. */
    bool is_logged;         /* log.access */
    int64_t slow_ms;        /* log.slow_ms; 0: none is slow. */
};

struct pk_traffic *pk_traffic_new(const struct pk_traffic_options *options);
void pk_traffic_free(struct pk_traffic *traffic); /* NULL is fine. */
/* When the configuration is read anew. Any thread. */
void pk_traffic_set(struct pk_traffic *traffic, bool is_logged, int64_t slow_ms);

/* A pk_done_fn; 'context' is the traffic. Any loop. */
void pk_traffic_done(void *context, const struct pk_done *done);

/* The request's trace id into 'out', which is returned; NULL when it has none, or one that cannot
 * be used. For the log: PK_TRACE(pk_trace_of(request, text)). */
const char *pk_trace_of(const struct pk_request *request, char out[PK_TRACE_TEXT]);

#endif
