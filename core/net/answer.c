/* answer.c - The bytes of an answer.
 *
 * Every answer has a Content-Length, so that a client always knows where it
 * ends, and the request's id, so that a log line can be found. Errors are
 * application/problem+json (RFC 9457). */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "doc/json.h"

#include "base/alloc.h"

#include <event2/buffer.h>
#include <string.h>

static const struct {
    int status;
    const char *reason;
} reason_table[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 507, "Insufficient Storage" },
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < PK_COUNT(reason_table); i++) {
        if (reason_table[i].status == status) {
            return reason_table[i].reason;
        }
    }
    return "Unknown";
}

void pk_answer_done(struct pk_answer *answer)
{
    pk_buf_done(&answer->body);
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
    const char *title = reason_of(status);
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

void pk_answer_write(const struct pk_request *request, const struct pk_answer *answer,
                     const char *date, bool is_last, struct evbuffer *out)
{
    int status = answer->status ? answer->status : 200;
    (void)evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n", status,
                              reason_of(status), date, request->id);
    if (answer->content_type) {
        (void)evbuffer_add_printf(out, "Content-Type: %s\r\n", answer->content_type);
    }
    if (answer->allow) {
        (void)evbuffer_add_printf(out, "Allow: %s\r\n", answer->allow);
    }
    if (answer->retry_after_s > 0) {
        (void)evbuffer_add_printf(out, "Retry-After: %d\r\n", answer->retry_after_s);
    }
    (void)evbuffer_add_printf(out,
                              "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                              "Connection: %s\r\nContent-Length: %zu\r\n\r\n",
                              is_last ? "close" : "keep-alive", answer->body.size);
    if (request->method != PK_METHOD_HEAD && answer->body.size > 0) {
        (void)evbuffer_add(out, answer->body.data, answer->body.size);
    }
}
