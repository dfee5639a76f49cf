/* system.c - What is asked about the server itself: health, metrics, and how it is spoken to.
 *
 * Health and the description wait for nothing, so they run on the loop and
 * answer while the store is away. */
/* SPDX-License-Identifier: MIT */
#include "access/keyring.h"
#include "api/api_internal.h"
#include "api/openapi.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "ops/health.h"
#include "ops/metrics_page.h"

#include <string.h>

enum { FETCH_MS = 2000 }; /* For the store to say whose key it is. */

static void live(void *context, struct pk_request *request, struct pk_answer *answer)
{
    (void)context;
    (void)request;
    pk_health_answer_live(answer);
}

/* ---- Readiness ---- */

static void tell(const struct pk_api *api, const struct pk_principal *who, struct pk_answer *answer)
{
    const bool has_detail = pk_access_check(who, PK_ACT_METRICS_READ, NULL, NULL);
    pk_health_answer_ready(api->parts.health, has_detail, answer);
}

/* Whose key it is. While the feed is silent nobody can be confirmed, and that is when somebody must
 * be told why: then it is who had the key when the feed last spoke. */
static enum pk_look find(const struct pk_api *api, const char *key, struct pk_principal **out)
{
    struct pk_keyring *ring = api->parts.keyring;
    struct pk_error err = { 0 };
    const enum pk_look found = pk_keyring_look(ring, key, strlen(key), true, out, &err);
    if (found == PK_LOOK_REFUSED && err.code == PK_UNAVAILABLE) {
        *out = pk_keyring_recall(ring, key, strlen(key));
    }
    return found;
}

/* On an executor: the key was not in memory. */
static void ready_for(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *who = NULL;
    const char *key = pk_gate_key(request);
    (void)pk_keyring_fetch(api->parts.keyring, key, strlen(key), true,
                           pk_deadline_in_ms(api->parts.clock, FETCH_MS), &who, NULL);
    tell(api, who, answer);
}

/* What was found is told to who comes by the operations' listener, or brings the key of an
 * operator; any other key is as good as none, so that a probe is never refused. */
static void ready(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *who = NULL;
    const char *key = pk_gate_key(request);

    if (request->listener == PK_DOOR_OPERATIONS) {
        pk_health_answer_ready(api->parts.health, true, answer);
        return;
    }
    if (key && find(api, key, &who) == PK_LOOK_AWAY && pk_gate_take_address(api, request)) {
        pk_answer_move(answer, PK_LANE_STORE, ready_for);
        return;
    }
    tell(api, who, answer);
}

/* ---- The rest ---- */

static void describe(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    pk_openapi_answer(api->openapi, request, answer);
}

static bool count(struct pk_api_call *call, struct pk_error *err)
{
    if (!call->parts->sources) {
        return pk_fail(err, PK_NOT_FOUND, "ask a server that counts", "there are no metrics here");
    }
    pk_metrics_page(call->parts->sources, &call->answer->body);
    call->answer->content_type = PK_METRICS_TYPE;
    return true;
}

static const enum pk_code away[] = { PK_UNAVAILABLE, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/healthz", LOOK_PUBLIC), .lane = PK_LANE_HOT, .flags = PK_ROW_DOOR, .hot = live,
      .answer_type = "application/json", .id = "getHealth", .tag = "system",
      .help = "Answers while the process lives: restart it when it does not." },
    { PK_ROW(GET, "/readyz", LOOK_PUBLIC), .lane = PK_LANE_HOT, .flags = PK_ROW_DOOR, .hot = ready,
      .answer_type = "application/json", .id = "getReadiness", .tag = "system",
      .help =
          "200 while the server can serve, else 503: send it requests only then. Operators are told "
          "what was looked at.",
      .fails = away },
    { PK_ROW(GET, "/metrics", METRICS_READ), .lane = PK_LANE_SLOW, .flags = PK_ROW_DOOR,
      .run = count, .answer_type = PK_METRICS_TYPE, .id = "getMetrics", .tag = "system",
      .help = "All figures of this server, in Prometheus' text format." },
    { PK_ROW(GET, "/openapi.json", LOOK_PUBLIC), .lane = PK_LANE_HOT, .flags = PK_ROW_DOOR,
      .hot = describe, .answer_type = "application/json", .id = "getOpenapi", .tag = "system",
      .help = "This description." },
};
const struct pk_api_table pk_api_system_table = { row, PK_COUNT(row) };
