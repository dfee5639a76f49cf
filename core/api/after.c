/* after.c - Parks a request at its loop and leaves word with the watcher.
 *
 * The watcher may be quicker than the handler's return, or come when the
 * request is long answered: parking bears both. What the waker holds is a
 * reference of the parking place, nothing of the request. */
/* SPDX-License-Identifier: MIT */
#include "api/after.h"

#include "base/error.h"
#include "feed/watch.h"
#include "net/stream.h"

static void wake(void *context)
{
    (void)pk_parked_wake(context);
    pk_parked_unref(context);
}

bool pk_after_begin(struct pk_watch *watch, struct pk_request *request, struct pk_answer *answer,
                    const char *cursor, enum pk_lane_name lane, pk_handler_fn *again,
                    bool *out_is_parked, struct pk_error *err)
{
    bool has_passed = false;
    *out_is_parked = false;
    if (!pk_watch_has_passed(watch, cursor, &has_passed, err)) {
        err->field = "after";
        return false;
    }
    if (!has_passed) {
        struct pk_parked *parked = pk_answer_park(request, answer, PK_AFTER_MAX_MS, lane, again);
        *out_is_parked = true;
        if (!pk_watch_wait(watch, cursor, wake, parked, NULL)) {
            wake(parked); /* Too many wait: pk_after_end says so. */
        }
    }
    return true;
}

bool pk_after_end(struct pk_watch *watch, const struct pk_request *request, const char *cursor,
                  struct pk_error *err)
{
    bool has_passed = false;
    if (!pk_watch_has_passed(watch, cursor, &has_passed, err)) {
        return false;
    }
    if (has_passed) {
        return true;
    }
    if (request->is_timed_out) {
        return pk_fail_field(err, PK_TIMEOUT, "after",
                             "send it again; if it lasts, look at the feed's lag in /readyz",
                             "this node has not seen the write of that cursor within %d s",
                             PK_AFTER_MAX_MS / 1000);
    }
    return pk_fail_field(err, PK_BUSY, "after", "send it again",
                         "the server cannot let more requests wait for their writes");
}
