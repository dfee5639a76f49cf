/* events_route.c - GET /v1/events: finds the place, then hands the connection over. */
/* SPDX-License-Identifier: MIT */
#include "api/events.h"

#include "access/principal.h"
#include "api/event_view.h"
#include "api/row.h"
#include "base/alloc.h"
#include "base/error.h"
#include "net/sse.h"
#include "store/store.h"

static const struct pk_param follow_param[] = {
    { .name = "type",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 1024,
      .fallback = "all",
      .help = "Event types, separated by commas; 'actor.*' is all that begin so." },
    { .name = "person",
      .type = PK_PARAM_UUID,
      .fallback = "everybody whom the actor may see",
      .help = "Only what is about this person, under any of his ids that the actor may see." },
    { .name = "from",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = PK_POSITION_TEXT - 1,
      .fallback = "the present",
      .help = "The id of the last event that was seen; the header Last-Event-ID goes before it." },
    { .name = NULL },
};

/* NULL: the present. What an EventSource sends when it comes back is newer than its URL. */
static const char *position_of(const struct pk_api_call *call)
{
    const char *last = pk_request_header(call->request, "last-event-id");
    return last && *last ? last : pk_call_value(call, "from");
}

static bool check_person(const struct pk_api_call *call, const char *person, struct pk_error *err)
{
    if (!person || pk_principal_may_see(call->who, person)) {
        return true;
    }
    return pk_fail(err, PK_NOT_FOUND, "ask for a person whom this actor may see",
                   "there is no such person");
}

static bool follow(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_event_filter_done) struct pk_event_filter filter = { 0 };
    struct pk_events *events = call->parts->events;
    const char *person = pk_call_value(call, "person");
    struct pk_events_place place;

    if (!check_person(call, person, err) ||
        !pk_event_filter_init(&filter, pk_call_value(call, "type"), person, err) ||
        !pk_event_filter_look(&filter, call->parts->domain, call->who, call->deadline_ns, err) ||
        !pk_events_find(events, position_of(call), &place, err)) {
        return false;
    }
    struct pk_sse *sse = pk_answer_events(call->request, call->answer);
    pk_events_add(events, &place, &filter, call->who, sse);
    return true;
}

static const enum pk_code follow_fails[] = { PK_NOT_FOUND, PK_BUSY, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/events", EVENT_STREAM), .lane = PK_LANE_STORE, .flags = PK_ROW_EVENTS,
      .answer_type = "text/event-stream", .param = follow_param, .run = follow,
      .id = "followEvents", .tag = "events",
      .help = "Follows what happens, as server-sent events; each has its position as id.",
      .fails = follow_fails },
};
const struct pk_api_table pk_api_events_table = { row, PK_COUNT(row) };
