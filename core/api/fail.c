/* fail.c - What a failure says to its caller: the problem, the field, every fault.
 *
 *     {"type":..., "code":"invalid", "detail":..., "hint":..., "requestId":...,
 *      "field":"capabilities.people[1]",
 *       "errors":[{"field":..., "expected":..., "got":...}, ...]}
 *
 * Our own faults (PK_INTERNAL) are told in the log; the caller gets the id to
 * look it up by, and nothing of our insides. Nor is he told the store's words
 * when it is away, which name hosts: those are for /readyz and the log. */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/json.h"
#include "doc/json_put.h"
#include "ops/traffic.h"

#include <string.h>

static void add_member(struct pk_buf *body, const char *name, const char *value)
{
    pk_buf_printf(body, "\"%s\":", name);
    pk_json_add_string(body, value, strlen(value));
}

static void add_faults(struct pk_buf *body, const struct pk_faults *faults)
{
    pk_buf_add_text(body, ",\"errors\":[");
    for (size_t i = 0; i < faults->count; i++) {
        pk_buf_add_text(body, i ? ",{" : "{");
        add_member(body, "field", faults->fault[i].path);
        pk_buf_add_char(body, ',');
        add_member(body, "expected", faults->fault[i].expected);
        pk_buf_add_char(body, ',');
        add_member(body, "got", faults->fault[i].got);
        pk_buf_add_char(body, '}');
    }
    pk_buf_add_char(body, ']');
}

/* pk_answer_problem has ended the object with "}\n"; it is opened again. */
static void extend(struct pk_buf *body, const char *field, const struct pk_faults *faults)
{
    body->size -= 2;
    if (field) {
        pk_buf_add_char(body, ',');
        add_member(body, "field", field);
    }
    if (faults && faults->count) {
        add_faults(body, faults);
    }
    pk_buf_add_text(body, "}\n");
}

const struct pk_error *pk_fail_outside(const struct pk_error *err)
{
    static const struct pk_error away = {
        .code = PK_UNAVAILABLE,
        .hint = "try again; if it lasts, look at /readyz and the store",
        .message = "the store cannot be reached, so nothing was done",
    };
    static const struct pk_error unknown = {
        .code = PK_UNKNOWN,
        .hint = "repeat it under the same Idempotency-Key, or read what became of it",
        .message = "the store did not say whether it was done",
    };
    return err->code == PK_UNAVAILABLE ? &away : err->code == PK_UNKNOWN ? &unknown : err;
}

static const struct pk_error ours = { .code = PK_INTERNAL,
                                      .hint = "report it with the requestId; the log has the rest",
                                      .message = "the server has made a mistake" };

void pk_call_put_failure(struct pk_buf *out, const struct pk_error *err,
                         const struct pk_faults *faults)
{
    const struct pk_error *said = err->code == PK_INTERNAL ? &ours : pk_fail_outside(err);
    pk_json_put_number(out, "status", pk_code_http(err->code));
    pk_json_put_text(out, "code", pk_code_name(err->code));
    pk_json_put_text(out, "detail", said->message);
    if (said->hint) {
        pk_json_put_text(out, "hint", said->hint);
    }
    if (err->field) {
        pk_json_put_text(out, "field", err->field);
    }
    if (faults && faults->count) {
        add_faults(out, faults);
    }
}

void pk_fail_answer(const struct pk_request *request, struct pk_answer *answer,
                    const struct pk_error *err, const struct pk_faults *faults)
{
    const int wait_s = answer->retry_after_s; /* Of a rate: better known than a second. */
    pk_answer_error(request, answer, err->code == PK_INTERNAL ? &ours : err);
    answer->retry_after_s = wait_s ? wait_s : answer->retry_after_s;
    extend(&answer->body, err->field, faults);
}

void pk_call_fail(struct pk_api_call *call, const struct pk_error *err)
{
    struct pk_log *log = call->parts->log;
    char trace[PK_TRACE_TEXT];
    if (err->code == PK_INTERNAL) {
        pk_log_error(log, "request failed", PK_REQUEST(call->request->id),
                     PK_TRACE(pk_trace_of(call->request, trace)), PK_STR("route", call->row->path),
                     PK_ERR(err));
    }
    if (pk_fail_outside(err) != err) { /* Many at once: the health says it once. */
        pk_log_debug(log, "the store did not answer a request", PK_REQUEST(call->request->id),
                     PK_TRACE(pk_trace_of(call->request, trace)), PK_STR("route", call->row->path),
                     PK_ERR(err));
    }
    if (err->code == PK_UNAUTHORIZED) { /* The key has ended since the gate let it in. */
        (void)pk_answer_header(call->request, call->answer, "WWW-Authenticate",
                               "Bearer realm=\"personakit\", error=\"invalid_token\"", NULL);
    }
    pk_fail_answer(call->request, call->answer, pk_fail_outside(err), &call->faults);
    if (call->findings) {
        struct pk_buf *body = &call->answer->body;
        body->size -= 2;
        pk_buf_add_text(body, ",\"findings\":");
        pk_buf_add_text(body, call->findings);
        pk_buf_add_text(body, "}\n");
    }
}
