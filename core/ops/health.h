/* health.h - Does the server live, and can it serve?
 *
 *     GET /healthz    200 while the process answers at all: restart it if not
 *     GET /readyz     200 while it can serve: send it requests only then; else
 *                     503 and the reason
 *
 * A reason to be unready is found by asking: whether a drain has begun, and
 * whether the store answers a read now. Nothing is remembered. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_HEALTH_H
#define PK_OPS_HEALTH_H

#include "net/net.h"

#include <stdatomic.h>

struct pk_clock;
struct pk_store;

struct pk_health {
    struct pk_store *store;
    const struct pk_clock *clock;
    atomic_bool is_draining; /* Set before the listener closes. */
};

pk_handler_fn pk_health_live;
pk_handler_fn pk_health_ready; /* Both take a 'struct pk_health' as context. */

#endif
