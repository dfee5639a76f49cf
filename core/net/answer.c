/* answer.c - What a handler says.
 *
 * Errors are application/problem+json (RFC 9457) with the request's id, so
 * that a log line can be found. Any thread that has the answer. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "doc/json.h"
#include "net/hot.h"

#include <string.h>

void pk_answer_done(struct pk_answer *answer)
{
    pk_buf_done(&answer->body);
    pk_hot_unref(answer->entry);
    answer->entry = NULL;
}

void pk_answer_json(struct pk_answer *answer, int status)
{
    answer->status = status;
    answer->content_type = "application/json";
}

static void add_member(struct pk_buf *body, const char *name, const char *value)
{
    if (value) {
        pk_buf_printf(body, ",\"%s\":", name);
        pk_json_add_string(body, value, strlen(value));
    }
}

void pk_answer_problem(const struct pk_request *request, struct pk_answer *answer, int status,
                       const char *code, const char *detail, const char *hint)
{
    const char *title = pk_reason(status);
    pk_buf_clear(&answer->body);
    answer->status = status;
    answer->content_type = "application/problem+json";
    pk_buf_printf(&answer->body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d", title,
                  status);
    add_member(&answer->body, "code", code);
    add_member(&answer->body, "detail", detail);
    add_member(&answer->body, "hint", hint);
    add_member(&answer->body, "requestId", request->id);
    pk_buf_add_text(&answer->body, "}\n");
}

void pk_answer_error(const struct pk_request *request, struct pk_answer *answer,
                     const struct pk_error *err)
{
    if (pk_code_retry(err->code)) {
        answer->retry_after_s = 1;
    }
    pk_answer_problem(request, answer, pk_code_http(err->code), pk_code_name(err->code),
                      err->message, err->hint);
}

bool pk_answer_header(struct pk_request *request, struct pk_answer *answer, const char *name,
                      const char *value, struct pk_error *err)
{
    size_t name_size = strlen(name);
    size_t value_size = strlen(value);
    if (pk_policy_header(name, name_size, value, value_size) != PK_REFUSAL_NONE ||
        strpbrk(name, ":()<>@,;\\\"/[]?={}") != NULL) {
        return pk_fail(err, PK_INVALID, "leave out control characters",
                       "the header '%s' has a character that no header may have", name);
    }
    if (answer->header_count == PK_NET_ANSWER_HEADERS) {
        return pk_fail(err, PK_TOO_LARGE, "add fewer headers", "an answer has at most %d headers",
                       PK_NET_ANSWER_HEADERS);
    }
    answer->header[answer->header_count++] =
        (struct pk_header){ .name = pk_arena_strdup(&request->arena, name),
                            .value = pk_arena_strdup(&request->arena, value) };
    return true;
}

void pk_answer_number(struct pk_request *request, struct pk_answer *answer, const char *name,
                      uint64_t value)
{
    enum { DIGITS = 20 };
    if (answer->header_count < PK_NET_ANSWER_HEADERS) {
        char *digit = (char *)pk_arena_alloc(&request->arena, DIGITS + 1) + DIGITS;
        do {
            *--digit = (char)('0' + value % 10);
            value /= 10;
        } while (value > 0);
        answer->header[answer->header_count++] = (struct pk_header){ .name = name, .value = digit };
    }
}

void pk_answer_move(struct pk_answer *answer, enum pk_lane_name lane, pk_handler_fn *handler)
{
    answer->then = PK_THEN_MOVE;
    answer->lane = lane;
    answer->handler = handler;
}

void pk_answer_entry(struct pk_answer *answer, struct pk_hot_entry *entry)
{
    pk_hot_unref(answer->entry);
    answer->entry = entry;
    answer->status = 200;
    answer->content_type = entry->content_type;
    answer->etag = entry->etag;
}

/* True when 'etag' is in the list 'known', or the list is '*'. Weak comparison (RFC 9110). */
static bool is_listed(const char *known, const char *etag)
{
    size_t size = strlen(etag);
    while (*known) {
        known += strspn(known, " \t,");
        if (*known == '*') {
            return true;
        }
        if (strncmp(known, "W/", 2) == 0) {
            known += 2;
        }
        if (strncmp(known, etag, size) == 0 && strchr(" \t,", known[size])) {
            return true; /* strchr finds the NUL, too. */
        }
        known += strcspn(known, ",");
    }
    return false;
}

bool pk_etag_is_known(const struct pk_request *request, const char *etag)
{
    if (request->method != PK_METHOD_GET && request->method != PK_METHOD_HEAD) {
        return false;
    }
    const char *known = pk_request_header(request, "if-none-match");
    return known && is_listed(known, strncmp(etag, "W/", 2) == 0 ? etag + 2 : etag);
}
