/* stage.c - The rows, and a house that has no others. */
/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include "api/hot_lane.h"
#include "base/alloc.h"
#include "net/hot.h"

#include <string.h>

struct stage stage;

static bool about_person(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    (void)err;
    object->person = pk_call_value(call, "person");
    return true;
}

static bool say_done(struct pk_api_call *call, struct pk_error *err)
{
    bson_t doc = BSON_INITIALIZER;
    stage.runs++;
    BSON_APPEND_INT32(&doc, "run", stage.runs);
    BSON_APPEND_INT64(&doc, "version", call->match_version);
    const bool ok = pk_call_answer(call, &doc, 7, err);
    bson_destroy(&doc);
    return ok;
}

static bool fail_inside(struct pk_api_call *call, struct pk_error *err)
{
    (void)call;
    return pk_fail(err, PK_INTERNAL, "look at /var/secret", "table 'x' is damaged");
}

static bool fail_away(struct pk_api_call *call, struct pk_error *err)
{
    const bool is_known = call->row->method == PK_METHOD_GET;
    return pk_fail(err, is_known ? PK_UNAVAILABLE : PK_UNKNOWN, "ask db7.secret",
                   "no answer of db7.secret:27017");
}

/* A write that takes as long as the test likes, and is kept under its key. */
static bool show_setting(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    return pk_call_made(call, err, "/v1/settings/%s", pk_doc_id(doc)) &&
           pk_call_answer_doc(call, "settings", doc, err);
}

struct hold {
    struct pk_api_call *call;
    struct pk_doc *made;
};

static bool decide_hold(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct hold *hold = context;
    char id[PK_UUID_TEXT];
    bson_t *bson = bson_new();
    bson_t view;
    pk_uuid_new(id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_INT32(bson, "value", stage.runs);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", 0);
    BSON_APPEND_UTF8(bson, "updatedBy", "tester");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "settings", doc);
    pk_doc_view(doc, &view);
    pk_doc_unref(hold->made);
    hold->made = pk_doc_new_versioned(&view, pk_writes_version(list, 0));
    const struct pk_by *by = &hold->call->by;
    return !by->complete || by->complete(by->context, list, hold->made, err);
}

static bool hold(struct pk_api_call *call, struct pk_error *err)
{
    struct hold hold = { .call = call };
    struct pk_commit commit;
    stage.runs++;
    stage.held++;
    while (sem_wait(&stage.go) != 0) {
    }
    const bool ok =
        pk_store_decide(call->parts->books->store, decide_hold, &hold, 0, &commit, err) &&
        pk_call_show(call, hold.made, err);
    if (ok) {
        pk_call_wrote(call, commit.cursor);
    }
    pk_doc_unref(hold.made);
    return ok;
}

static void hot_view(void *context, struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_object object = { .person = request->segment[2] };
    pk_hot_lane(context, request, answer, &object);
}

static bool make_view(struct pk_api_call *call, struct pk_error *err)
{
    const char *person = pk_call_value(call, "person");
    const uint64_t stamp = pk_hot_stamp(call->parts->hot, person);
    if (!say_done(call, err)) {
        return false;
    }
    pk_hot_lane_keep(call, person, stamp);
    return true;
}

static const struct pk_field any_field[] = {
    { .name = "say", .type = PK_TYPE_STRING, .flags = PK_FIELD_REQUIRED, .max = 9, .help = "It." },
};
static const struct pk_schema any = {
    .name = "Any", .field = any_field, .count = 1, .is_open = true, .help = "Anything."
};
static const struct pk_param person_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "Who." },
    { .name = NULL },
};
static const struct pk_param number_param[] = {
    { .name = "number", .type = PK_PARAM_INT, .min = 1, .max = 9, .help = "Which." },
    { .name = NULL },
};
#define ABOUT .id = "x", .tag = "x", .help = "X.", .lane = PK_LANE_STORE
static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .answer = &any,
      .param = number_param, .flags = PK_ROW_AFTER },
    { PK_ROW(GET, "/v1/text", ACTOR_SELF), ABOUT, .run = say_done,
      .answer_type = "text/plain; charset=utf-8" },
    { PK_ROW(POST, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .answer = &any, .body = &any,
      .body_max_bytes = 4096 },
    { PK_ROW(PUT, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .answer = &any,
      .flags = PK_ROW_WRITES | PK_ROW_MATCH },
    { PK_ROW(DELETE, "/v1/thing", ACTOR_SELF), ABOUT, .run = say_done, .flags = PK_ROW_WRITES },
    { PK_ROW(GET, "/v1/broken", ACTOR_SELF), ABOUT, .run = fail_inside, .answer = &any },
    { PK_ROW(GET, "/v1/away", ACTOR_SELF), ABOUT, .run = fail_away, .answer = &any },
    { PK_ROW(POST, "/v1/away", ACTOR_SELF), ABOUT, .run = fail_away, .answer = &any },
    { PK_ROW(POST, "/v1/people/{person}/notes", OBSERVATION_WRITE), ABOUT, .run = say_done,
      .answer = &any, .param = person_param, .subject = about_person, .flags = PK_ROW_WRITES },
    { PK_ROW(GET, "/v1/people/{person}/view", MINDSCAPE_READ), ABOUT, .run = make_view,
      .hot = hot_view, .answer = &any, .param = person_param, .subject = about_person },
    { PK_ROW(POST, "/v1/hold", ACTOR_SELF), ABOUT, .status = 201, .run = hold, .show = show_setting,
      .answer = &any, .flags = PK_ROW_WRITES | PK_ROW_ONCE },
};
static const struct pk_api_table test_table = { row, PK_COUNT(row) };
const struct pk_api_table *const stage_tables[1] = { &test_table };

void stage_open(struct house *house, uint32_t person_limit)
{
    const struct house_options options = {
        .table = stage_tables,
        .table_count = 1,
        .rate = { [PK_RATE_PERSON] = { person_limit, 60000 } },
    };
    stage.runs = 0;
    stage.held = 0;
    (void)sem_init(&stage.go, 0, 0);
    house_open(house, &options);
}

void stage_close(struct house *house)
{
    house_close(house);
    (void)sem_destroy(&stage.go);
}

void stage_ask(struct house *house, const char *method, const char *target, const char *headers,
               const char *body, int status, const char *code)
{
    struct reply reply = house_ask_with(house, method, target, house->admin, headers, body);
    expect(&reply, status, code);
    reply_done(&reply);
}
