/* observations.c - /v1/observations: facts come in, one or many at a time, and are decided about.
 *
 * What is sent may have three forms:
 *
 *     { ... }                      one: 201 with the observation, or a problem
 *     { "observations": [...] }    many: 207, and what became of each
 *     NDJSON, one on each line     the same, by line; read and committed CHUNK at a time
 *
 * Of many, each is checked, allowed and counted against its person's rate for
 * itself; those that are good are accepted whatever is wrong with the others.
 * An Idempotency-Key is for one: of many, each has its id to be repeated by. */
/* SPDX-License-Identifier: MIT */
#include "access/rate.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/json_put.h"
#include "doc/schema_intake.h"
#include "persona/observation.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    BODY_MAX = 32 * 1024 * 1024,
    CHUNK = 200,                   /* Lines that are committed together, at most ... */
    CHUNK_BYTES = 4 * 1024 * 1024, /* ... and until they are as large as this. */
    LINES_MAX = 20000              /* Of one body: each has a result. */
};

/* ---- Who may, and how often ---- */

static bool may_name(void *context, const char *person, struct pk_error *err)
{
    const struct pk_api_call *call = context;
    const struct pk_object object = { .person = person };
    return pk_access_check(call->who, call->row->action, &object, err);
}

static bool may(void *context, const char *person, struct pk_error *err)
{
    struct pk_api_call *call = context;
    struct pk_rate_state state = { 0 };
    if (!may_name(context, person, err)) {
        return false;
    }
    if (!pk_rate_take(call->parts->rate, PK_RATE_PERSON, person, strlen(person), 1, &state, err)) {
        call->answer->retry_after_s = (int)state.retry_s;
        return false;
    }
    return true;
}

/* ---- One ---- */

/* What 'show' adds; in the request's arena, for the answer may be made anew. */
struct sent {
    char id[PK_UUID_TEXT];
    const char *task; /* ""; or the task that processes it. */
};

static bool show_sent(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    const struct sent *sent = call->own;
    bson_t view, shown;

    call->object.person = pk_arena_strdup(&call->request->arena, pk_doc_text(doc, "userId"));
    pk_doc_view(doc, &view);
    if (!pk_call_made(call, err, "/v1/observations/%s", pk_doc_id(doc)) ||
        !pk_call_spell(call, "observations", &view, &shown, err)) {
        return false;
    }
    if (sent->task[0]) {
        BSON_APPEND_UTF8(&shown, "taskId", sent->task);
    }
    const bool ok = pk_call_answer(call, &shown, pk_doc_version(doc), err);
    bson_destroy(&shown);
    return ok;
}

/* Once it is processed, or has not been in time. */
static bool read_sent(struct pk_api_call *call, struct pk_doc **out, struct pk_error *err)
{
    const struct sent *sent = call->own;
    return pk_observation_get(call->parts->domain, sent->id, call->deadline_ns, out, err) &&
           (*out || pk_fail(err, PK_NOT_FOUND, "it was forgotten", "there is no such observation"));
}

/* Once it is processed, or has not been in time. */
static bool show_processed(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    return read_sent(call, &doc, err) && show_sent(call, doc, err);
}

/* The answer has been made; ?wait=processed makes it anew later. */
static void wait_for(struct pk_api_call *call, struct sent *sent, const struct pk_doc *doc,
                     pk_run_fn *finish)
{
    (void)snprintf(sent->id, sizeof(sent->id), "%s", pk_doc_id(doc));
    if (sent->task[0]) {
        sent->task = pk_arena_strdup(&call->request->arena, sent->task);
        pk_call_wait_tasks(call, &sent->task, 1, finish, sent);
    }
}

static bool post_one(struct pk_api_call *call, const bson_t *said, struct pk_error *err)
{
    const struct pk_accept_rules rules = { may, may_name, call };
    PK_CLEANUP(pk_accepted_done) struct pk_accepted accepted = { .is_ok = false };
    struct sent *sent = pk_arena_alloc(&call->request->arena, sizeof(*sent));
    const struct pk_sent one = { bson_get_data(said), said->len };
    sent->task = accepted.task;
    call->own = sent;
    if (!pk_observation_accept(call->parts->domain, &call->by, &rules, &one, 1, &accepted, err)) {
        return false;
    }
    if (!accepted.is_ok) {
        *err = accepted.err;
        call->faults = accepted.faults; /* They outlive this: 'field' points into them. */
        accepted.faults = (struct pk_faults){ .fault = NULL };
        return false;
    }
    if (!pk_call_show(call, accepted.doc, err)) {
        return false;
    }
    if (accepted.is_repeat) {
        return pk_answer_header(call->request, call->answer, "Idempotency-Replayed", "true", err);
    }
    wait_for(call, sent, accepted.doc, show_processed);
    return true;
}

/* ---- Many ---- */

/* Where results go. */
struct results {
    struct pk_api_call *call;
    struct pk_buf *out;
    size_t accepted, refused;
};

static void begin_results(struct results *results)
{
    pk_buf_clear(results->out);
    pk_json_open(results->out, NULL, '{');
    pk_json_open(results->out, "results", '[');
}

static void end_results(struct results *results)
{
    struct pk_buf *out = results->out;
    pk_json_close(out, ']');
    pk_json_put_number(out, "accepted", (double)results->accepted);
    pk_json_put_number(out, "refused", (double)results->refused);
    pk_json_close(out, '}');
    pk_buf_add_char(out, '\n');
    pk_answer_json(results->call->answer, 207);
    results->call->answer->retry_after_s = 0; /* Of one of them. */
}

static void put_accepted(struct results *results, const struct pk_accepted *accepted)
{
    struct pk_buf *out = results->out;
    results->accepted++;
    pk_json_put_number(out, "status", 201);
    pk_json_put_text(out, "observationId", pk_doc_id(accepted->doc));
    pk_json_put_text(out, "personId", pk_doc_text(accepted->doc, "userId"));
    pk_json_put_text(out, "processingStatus", pk_doc_text(accepted->doc, "processingStatus"));
    if (accepted->task[0]) {
        pk_json_put_text(out, "taskId", accepted->task);
    }
    if (accepted->is_repeat) {
        pk_json_put_bool(out, "repeated", true);
    }
}

/* 'where' is "index" or "line". */
static void put_result(struct results *results, const char *where, size_t at,
                       const struct pk_accepted *accepted)
{
    pk_json_open(results->out, NULL, '{');
    pk_json_put_number(results->out, where, (double)at);
    if (accepted->is_ok) {
        put_accepted(results, accepted);
    } else {
        results->refused++;
        pk_call_put_failure(results->out, &accepted->err, &accepted->faults);
    }
    pk_json_close(results->out, '}');
}

/* One of those that are taken at a time. */
struct one {
    size_t at;           /* Its place. */
    struct pk_sent sent; /* 'data' NULL: it could not be read, and 'accepted' says why. */
    uint8_t *owned;      /* Of libbson, to be freed; or NULL. */
    struct pk_accepted accepted;
};
struct chunk {
    const char *where; /* "index" or "line". */
    struct one one[PK_OBSERVATIONS_MAX];
    size_t count, bytes;
};

static void chunk_clear(struct chunk *chunk)
{
    for (size_t i = 0; i < chunk->count; i++) {
        bson_free(chunk->one[i].owned);
        pk_accepted_done(&chunk->one[i].accepted);
        chunk->one[i] = (struct one){ .at = 0 };
    }
    chunk->count = chunk->bytes = 0;
}

static void chunk_freep(struct chunk **chunk)
{
    chunk_clear(*chunk);
    pk_free(*chunk);
}

static bool accept_chunk(struct chunk *chunk, struct results *results, struct pk_error *err)
{
    struct pk_api_call *call = results->call;
    const struct pk_accept_rules rules = { may, may_name, call };
    PK_CLEANUP(pk_freep) struct pk_sent *sent = pk_calloc(chunk->count + 1, sizeof(*sent));
    PK_CLEANUP(pk_freep)
    struct pk_accepted *accepted = pk_calloc(chunk->count + 1, sizeof(*accepted));
    size_t count = 0;
    for (size_t i = 0; i < chunk->count; i++) {
        if (chunk->one[i].sent.data) {
            sent[count++] = chunk->one[i].sent;
        }
    }
    if (!pk_observation_accept(call->parts->domain, &call->by, &rules, sent, count, accepted,
                               err)) {
        return false;
    }
    for (size_t i = 0, k = 0; i < chunk->count; i++) {
        struct one *one = &chunk->one[i];
        if (one->sent.data) {
            one->accepted = accepted[k++];
        }
        put_result(results, chunk->where, one->at, &one->accepted);
    }
    chunk_clear(chunk);
    return true;
}

/* What one may be asked for, many may not. */
static bool check_many(const struct pk_api_call *call, struct pk_error *err)
{
    if (call->is_wait_asked) {
        return pk_fail_field(err, PK_INVALID, "wait",
                             "send the answer's PersonaKit-Cursor as ?after= to what you read next",
                             "only one observation can be waited for");
    }
    return !call->by.complete ||
           pk_fail_field(err, PK_INVALID, "Idempotency-Key",
                         "give each observation its 'observationId' instead: then a repetition "
                         "does nothing further",
                         "an Idempotency-Key is for one observation, not for many");
}

/* ---- A list ---- */

static bool check_list(struct pk_api_call *call, const bson_t *said, bson_iter_t *out_list,
                       struct pk_error *err)
{
    bson_iter_t iter, item;
    size_t count = 0;
    for (bool ok = bson_iter_init(&iter, said); ok && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "observations") != 0) {
            pk_faults_add(&call->faults, bson_iter_key(&iter), "only 'observations'",
                          "an unknown field");
        } else if (BSON_ITER_HOLDS_ARRAY(&iter) && bson_iter_recurse(&iter, &item)) {
            *out_list = item;
            while (bson_iter_next(&item)) {
                count++;
            }
        }
    }
    if (count == 0) {
        pk_faults_add(&call->faults, "observations", "a list of 1 to 1000 observations", "none");
    }
    if (call->faults.count > 0) {
        return pk_faults_fail(&call->faults, err);
    }
    return count <= PK_OBSERVATIONS_MAX ||
           pk_fail_field(
               err, PK_TOO_LARGE, "observations", "send them in several requests, or as NDJSON",
               "%zu observations in one list are more than %d", count, PK_OBSERVATIONS_MAX);
}

static bool post_list(struct pk_api_call *call, const bson_t *said, struct pk_error *err)
{
    struct results results = { .call = call, .out = &call->answer->body };
    bson_iter_t item;
    if (!check_many(call, err) || !check_list(call, said, &item, err)) {
        return false;
    }
    PK_CLEANUP(chunk_freep) struct chunk *chunk = pk_calloc(1, sizeof(*chunk));
    chunk->where = "index";
    while (bson_iter_next(&item)) {
        struct one *one = &chunk->one[chunk->count];
        one->at = chunk->count++;
        if (BSON_ITER_HOLDS_DOCUMENT(&item)) {
            uint32_t size;
            bson_iter_document(&item, &size, &one->sent.data);
            one->sent.size = size;
        } else {
            (void)pk_fail(&one->accepted.err, PK_INVALID, "send a JSON object",
                          "the observation is not an object");
        }
    }
    begin_results(&results);
    if (!accept_chunk(chunk, &results, err)) {
        return false;
    }
    end_results(&results);
    return true;
}

/* ---- Lines ---- */

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') {
            return false;
        }
    }
    return true;
}

static size_t line_size(const struct pk_buf *body, size_t at)
{
    const char *end = memchr(body->data + at, '\n', body->size - at);
    return end ? (size_t)(end - body->data) - at : body->size - at;
}

static bool check_lines(const struct pk_buf *body, struct pk_error *err)
{
    size_t count = 0;
    for (size_t at = 0, size; at < body->size; at += size + 1) {
        size = line_size(body, at);
        count += !is_blank(body->data + at, size);
    }
    if (count == 0) {
        return pk_fail(err, PK_INVALID, "send an observation on each line", "the body is empty");
    }
    return count <= LINES_MAX || pk_fail(err, PK_TOO_LARGE, "send them in several requests",
                                         "%zu lines are more than %d", count, LINES_MAX);
}

static void add_line(struct chunk *chunk, size_t number, const char *text, size_t size)
{
    struct one *one = &chunk->one[chunk->count++];
    uint32_t length = 0;
    bson_t said;
    one->at = number;
    chunk->bytes += size;
    if (pk_json_read(&said, text, size, NULL, &one->accepted.err)) {
        one->owned = bson_destroy_with_steal(&said, true, &length);
        one->sent = (struct pk_sent){ one->owned, length };
    }
}

static bool post_lines(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_buf *body = &call->request->body;
    struct results results = { .call = call, .out = &call->answer->body };
    size_t number = 0;
    if (!check_many(call, err) || !check_lines(body, err)) {
        return false;
    }
    PK_CLEANUP(chunk_freep) struct chunk *chunk = pk_calloc(1, sizeof(*chunk));
    chunk->where = "line";
    begin_results(&results);
    for (size_t at = 0, size; at < body->size; at += size + 1) {
        size = line_size(body, at);
        number++;
        if (is_blank(body->data + at, size)) {
            continue;
        }
        add_line(chunk, number, body->data + at, size);
        if ((chunk->count == CHUNK || chunk->bytes >= CHUNK_BYTES) &&
            !accept_chunk(chunk, &results, err)) {
            return false;
        }
    }
    if (!accept_chunk(chunk, &results, err)) {
        return false;
    }
    end_results(&results);
    return true;
}

/* ---- POST ---- */

static bool is_lines(const struct pk_request *request)
{
    static const char lines[] = "application/x-ndjson";
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->header[i].name, "content-type") == 0) {
            return strncasecmp(request->header[i].value, lines, sizeof(lines) - 1) == 0;
        }
    }
    return false;
}

static bool post(struct pk_api_call *call, struct pk_error *err)
{
    const struct pk_buf *text = &call->request->body;
    bson_iter_t iter;
    bson_t said;
    if (text->size == 0) {
        return pk_fail(err, PK_INVALID, "send an observation", "the body is empty");
    }
    if (is_lines(call->request)) {
        return post_lines(call, err);
    }
    if (!pk_json_read(&said, text->data, text->size, NULL, err)) {
        return pk_wrap(err, "read the body");
    }
    const bool ok = bson_iter_init_find(&iter, &said, "observations") ? post_list(call, &said, err)
                                                                      : post_one(call, &said, err);
    bson_destroy(&said);
    return ok;
}

/* ---- Reading and deciding ---- */

bool pk_subject_observation(struct pk_api_call *call, struct pk_object *object,
                            struct pk_error *err)
{
    const struct pk_domain *domain = call->parts->domain;
    bool is_hidden = false;
    if (!pk_observation_get(domain, pk_call_value(call, "observation"), call->deadline_ns,
                            &call->found, err) ||
        (call->found && !pk_observation_is_hidden(domain, call->who, call->found, call->deadline_ns,
                                                  &is_hidden, err))) {
        return false;
    }
    object->is_missing = call->found == NULL || is_hidden;
    if (call->found) {
        object->person = pk_doc_text(call->found, "userId");
        object->owner = pk_doc_text(call->found, "createdBy");
    }
    return true;
}

static bool show(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    return pk_call_answer_doc(call, "observations", doc, err);
}

static bool show_found(struct pk_api_call *call, struct pk_error *err)
{
    return pk_call_show(call, call->found, err);
}

static bool show_approved(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    return read_sent(call, &doc, err) && show(call, doc, err);
}

static bool approve(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    struct sent *sent = pk_arena_alloc(&call->request->arena, sizeof(*sent));
    char task[PK_UUID_TEXT];
    if (!pk_observation_approve(call->parts->domain, &call->by, pk_doc_id(call->found),
                                call->match_version, &doc, task, err) ||
        !pk_call_show(call, doc, err)) {
        return false;
    }
    sent->task = task;
    wait_for(call, sent, doc, show_approved);
    return true;
}

static bool reject(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    bson_iter_t reason;
    return bson_iter_init_find(&reason, call->body, "reason") &&
           pk_observation_reject(call->parts->domain, &call->by, pk_doc_id(call->found),
                                 call->match_version, bson_iter_utf8(&reason, NULL), &doc, err) &&
           pk_call_show(call, doc, err);
}

/* ---- Routes ---- */

static const struct pk_param observation_param[] = {
    { .name = "observation", .type = PK_PARAM_UUID, .help = "The observation's id." },
    { .name = NULL },
};
static const struct pk_body_form forms[] = {
    { "application/json", &pk_schema_observation_new },
    { "application/json", &pk_schema_observation_short },
    { "application/json", &pk_schema_observation_batch },
    { "application/x-ndjson", &pk_schema_observation_new },
    { "application/x-ndjson", &pk_schema_observation_short },
    { NULL, NULL },
};
static const enum pk_code fails_post[] = { PK_NOT_FOUND, PK_CONFLICT, PK_FULL, PK_OK };
static const enum pk_code fails_decide[] = { PK_CONFLICT, PK_OK };
static const char never[] = "observations never change: send another one, or forget this one";

static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/observations", OBSERVATION_WRITE), .lane = PK_LANE_STORE, .status = 201,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_MANY | PK_ROW_WAIT, .form = forms,
      .body_max_bytes = BODY_MAX, .run = post, .show = show_sent,
      .answer = &pk_schema_observation_sent, .many = &pk_schema_observation_results,
      .id = "sendObservations", .tag = "observations",
      .help = "Takes an observation, a list of them, or one on each line; made durable before it "
              "is answered, processed after.",
      .fails = fails_post },
    { PK_ROW(GET, "/v1/observations/{observation}", OBSERVATION_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_AFTER, .param = observation_param,
      .subject = pk_subject_observation, .run = show_found, .show = show,
      .answer = &pk_schema_observation_view, .id = "getObservation", .tag = "observations",
      .help = "Shows an observation.", .others = never },
    { PK_ROW(POST, "/v1/observations/{observation}/approve", OBSERVATION_DECIDE),
      .lane = PK_LANE_STORE, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_MATCH | PK_ROW_WAIT,
      .param = observation_param, .subject = pk_subject_observation, .run = approve, .show = show,
      .answer = &pk_schema_observation_view, .id = "approveObservation", .tag = "observations",
      .help = "Lets an observation in that waits for it.", .fails = fails_decide },
    { PK_ROW(POST, "/v1/observations/{observation}/reject", OBSERVATION_DECIDE),
      .lane = PK_LANE_STORE, .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_MATCH,
      .param = observation_param, .body = &pk_schema_observation_reject,
      .subject = pk_subject_observation, .run = reject, .show = show,
      .answer = &pk_schema_observation_view, .id = "rejectObservation", .tag = "observations",
      .help = "Keeps an observation out that waits; it stays, with the reason.",
      .fails = fails_decide },
};
const struct pk_api_table pk_api_observations_table = { row, PK_COUNT(row) };
