/* health.c - Asks the one thing that everything else needs: one read of the store.
 *
 * Liveness asks nothing: a server whose store is away must not be restarted in
 * a circle. Readiness runs on an executor, because a store may take its time;
 * it gets READ_MS and no more. Any thread. */
/* SPDX-License-Identifier: MIT */
#include "ops/health.h"

#include "base/clock.h"
#include "doc/doc.h"
#include "store/store.h"

enum { READ_MS = 2000 };

void pk_health_live(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    pk_buf_add_text(&answer->body, "{\"status\":\"alive\"}\n");
    pk_answer_json(answer, 200);
}

void pk_health_ready(void *context, struct pk_request *request, struct pk_answer *answer)
{
    struct pk_health *health = context;
    struct pk_error err = { 0 };
    struct pk_doc *doc = NULL;
    struct pk_store_stats stats;

    if (health->is_draining) {
        answer->retry_after_s = 1;
        pk_answer_problem(request, answer, 503, "draining", "the server is about to stop",
                          "send requests elsewhere");
        return;
    }
    if (!pk_store_get(health->store, "settings", "readyz",
                      pk_deadline_in_ms(health->clock, READ_MS), &doc, &err)) {
        (void)pk_wrap(&err, "the store does not answer");
        err.code = PK_UNAVAILABLE;
        pk_answer_error(request, answer, &err);
        return;
    }
    pk_doc_unref(doc);
    pk_store_stats(health->store, &stats);
    if (stats.is_stopped) {
        pk_answer_problem(request, answer, 503, "store_unavailable",
                          "the store has stopped: a write could not be made durable",
                          "look at the disk, then restart the server");
        return;
    }
    pk_buf_printf(&answer->body, "{\"status\":\"ready\",\"store\":\"%s\"}\n",
                  pk_store_engine(health->store));
    pk_answer_json(answer, 200);
}
