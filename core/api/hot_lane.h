/* hot_lane.h - Answers that are ready: sent from the loop, for those who may have them.
 *
 *     static void hot_thing(void *context, struct pk_request *request, struct pk_answer *answer)
 *     {
 *         const struct pk_object object = { .person = request->segment[2], ... };
 *         pk_hot_lane(context, request, answer, &object);
 *     }
 *
 * in a row's .hot, and in its .run, on the row's own lane, when there is none:
 *
 *     stamp = pk_hot_stamp(call->parts->hot, person);      before the first read
 *     ... read, answer ...
 *     pk_hot_lane_keep(call, person, stamp);
 *
 * An answer is kept under what was asked and what is hidden from who asks:
 * path, query, and the set of hidden paths. Whether he may have it is asked
 * each time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_HOT_LANE_H
#define PK_API_HOT_LANE_H

#include "api/row.h"

/* Answers from memory, or refuses, or sends the request on to its row's 'run'. */
void pk_hot_lane(void *context, struct pk_request *request, struct pk_answer *answer,
                 const struct pk_object *object);
/* The same without a look: for what is asked in a way that is never kept. */
void pk_hot_lane_pass(void *context, const struct pk_request *request, struct pk_answer *answer);
/* Keeps what call->answer holds, which needs an ETag. It may always fail to. */
void pk_hot_lane_keep(const struct pk_api_call *call, const char *person, uint64_t stamp);
/* The same for what is good only in a stretch of time (wall; 0: open at that end). */
void pk_hot_lane_keep_for(const struct pk_api_call *call, const char *person, uint64_t stamp,
                          int64_t from_ms, int64_t until_ms);

#endif
