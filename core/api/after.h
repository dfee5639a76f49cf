/* after.h - ?after=<cursor>: a read that waits for a write, without a thread.
 *
 *     if (!pk_after_begin(watch, request, answer, cursor, lane, again, &is_parked, err)) fail
 *     if (is_parked) return;          'again' runs when it has been seen, or its time is out
 *
 *     again: if (!pk_after_end(watch, request, cursor, err)) fail; go on
 *
 * A cursor that was passed already costs a comparison. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_AFTER_H
#define PK_API_AFTER_H

#include "net/net.h"

#include <stdbool.h>

struct pk_error;
struct pk_watch;

enum { PK_AFTER_MAX_MS = 10000 }; /* For how long a request waits. */

/* Any lane. PK_INVALID: no cursor of this store. */
bool pk_after_begin(struct pk_watch *watch, struct pk_request *request, struct pk_answer *answer,
                    const char *cursor, enum pk_lane_name lane, pk_handler_fn *again,
                    bool *out_is_parked, struct pk_error *err);
/* PK_TIMEOUT: this node has not seen the write in that time; PK_BUSY: too many wait, or the server
 * stops. */
bool pk_after_end(struct pk_watch *watch, const struct pk_request *request, const char *cursor,
                  struct pk_error *err);

#endif
