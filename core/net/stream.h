/* stream.h - Bodies and answers of any length, and requests that wait without a thread.
 *
 * On an executor a handler reads and writes in plain blocking calls; what it
 * has not read stays with the client, and what the client has not taken stops
 * the writer, so that memory is bounded by limits.stream_bytes each way.
 *
 *     while (pk_request_read(request, buffer, sizeof(buffer), &got, &err) && got > 0) { ... }
 *
 *     pk_answer_json(answer, 200);
 *     ok = pk_answer_write(request, answer, data, size, &err);     as often as needed
 *
 * A body is read so when its route says is_streamed. A handler that waits for
 * something far away parks the request: it returns, holds no thread, and
 * another handler goes on when someone wakes it or its time is out. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_NET_STREAM_H
#define PK_NET_STREAM_H

#include "net/net.h"

/* Waits for the next piece of the body. '*out_got' is 0 at its end. False when the client has
 * gone, was too slow, or sent what is no body (PK_INVALID); then the answer has no reader. */
bool pk_request_read(struct pk_request *request, void *out, size_t size, size_t *out_got,
                     struct pk_error *err);

/* Sends a piece of the answer; the first call sends status and headers, too, and the answer ends
 * when the handler returns. Waits while the client is behind. False: the client has gone, or is
 * too slow. */
bool pk_answer_write(struct pk_request *request, struct pk_answer *answer, const void *data,
                     size_t size, struct pk_error *err);

/* ---- Parking ---- */

struct pk_parked; /* Opaque; shared by counting references. */

/* After the return the request waits without a thread, at most 'timeout_ms'; then 'handler' goes
 * on with it on 'lane' (request->is_timed_out says whether nobody woke it). The result is a
 * reference of the caller's, for whoever shall wake it; it may outlive request and server. */
struct pk_parked *pk_answer_park(struct pk_request *request, struct pk_answer *answer,
                                 int64_t timeout_ms, enum pk_lane_name lane,
                                 pk_handler_fn *handler);
/* Any thread, also before the handler has returned; more than once is fine. False: nobody waits
 * any more. */
bool pk_parked_wake(struct pk_parked *parked);
void pk_parked_unref(struct pk_parked *parked); /* NULL is fine. */

#endif
