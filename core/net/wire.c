/* wire.c - The bytes of an answer.
 *
 * An answer has a Content-Length, or comes in chunks; so a client always knows
 * whether it has all of it. (HTTP/1.0 has no chunks, and a stream of events no
 * end: there the connection's end is the end.) The head is written into the
 * loop's scratch buffer and appended in one go; a body moves into the output
 * without a copy, and one of the hot cache is referred to. Loop thread only. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "net/hot.h"

#include <event2/buffer.h>
#include <string.h>

enum { COPY_MAX = 4096 }; /* Up to it, a copy is cheaper than a reference. */

static const struct {
    int status;
    const char *reason;
} reason_table[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 207, "Multi-Status" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
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

const char *pk_reason(int status)
{
    for (size_t i = 0; i < PK_COUNT(reason_table); i++) {
        if (reason_table[i].status == status) {
            return reason_table[i].reason;
        }
    }
    return "Unknown";
}

static char *put(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return to + size;
}

/* Room is made once for all four pieces: there is a dozen of lines in each answer. */
static inline void add_line(struct pk_buf *head, const char *name, const char *value)
{
    size_t name_size = strlen(name);
    size_t value_size = strlen(value);
    char *to = pk_buf_reserve(head, name_size + value_size + 4);
    to = put(put(to, name, name_size), ": ", 2);
    to = put(put(to, value, value_size), "\r\n", 2);
    *to = '\0';
    head->size += name_size + value_size + 4;
}

static void add_number(struct pk_buf *head, const char *name, size_t number)
{
    char digit[24];
    size_t at = sizeof(digit) - 1;
    digit[at] = '\0';
    do {
        digit[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    add_line(head, name, digit + at);
}

static void add_status(struct pk_buf *head, int status)
{
    char line[] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    pk_buf_add(head, line, sizeof(line) - 1);
    pk_buf_add_text(head, pk_reason(status));
    pk_buf_add(head, "\r\n", 2);
}

/* All of the head but what says where the body ends; it stands in what the connection says. */
static struct pk_buf *begin_head(struct pk_exchange *exchange, int status)
{
    const struct pk_answer *answer = &exchange->answer;
    struct pk_buf *head = pk_conn_say(exchange->conn);
    add_status(head, status);
    add_line(head, "Date", pk_loop_date(exchange->loop));
    add_line(head, "X-Request-Id", exchange->request.id);
    if (answer->content_type && status != 304) {
        add_line(head, "Content-Type", answer->content_type);
        pk_buf_add_text(head, "X-Content-Type-Options: nosniff\r\n");
    }
    if (answer->etag) {
        add_line(head, "ETag", answer->etag);
    }
    if (answer->allow) {
        add_line(head, "Allow", answer->allow);
    }
    if (answer->retry_after_s > 0) {
        add_number(head, "Retry-After", (size_t)answer->retry_after_s);
    }
    for (size_t i = 0; i < answer->header_count; i++) {
        add_line(head, answer->header[i].name, answer->header[i].value);
    }
    add_line(head, "Cache-Control", answer->cache_control ? answer->cache_control : "no-store");
    if (exchange->is_body_gzip) {
        pk_buf_add_text(head, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
    }
    return head;
}

static int status_of(const struct pk_answer *answer)
{
    return answer->status ? answer->status : 200;
}

void pk_wire_head(struct pk_exchange *exchange)
{
    bool is_chunked = !exchange->is_http_1_0 && !exchange->sse;
    struct pk_buf *head = begin_head(exchange, status_of(&exchange->answer));
    pk_buf_add_text(head, is_chunked ? "Transfer-Encoding: chunked\r\n\r\n"
                                     : "Connection: close\r\n\r\n");
    exchange->sent_status = status_of(&exchange->answer);
    pk_conn_said(exchange->conn);
}

static void free_body(const void *data, size_t size, void *context)
{
    (void)data;
    (void)size;
    pk_free(context);
}

static void unref_entry(const void *data, size_t size, void *context)
{
    (void)data;
    (void)size;
    pk_hot_unref(context);
}

/* The output owns a body that is not copied. */
static void refer_to_body(struct pk_answer *answer, struct evbuffer *out)
{
    struct pk_hot_entry *entry = answer->entry;
    if (entry) {
        answer->entry = NULL;
        (void)evbuffer_add_reference(out, entry->data, entry->size, unref_entry, entry);
    } else {
        size_t size = answer->body.size;
        char *data = pk_buf_take(&answer->body);
        (void)evbuffer_add_reference(out, data, size, free_body, data);
    }
}

void pk_wire_answer(struct pk_exchange *exchange, bool is_last)
{
    struct pk_answer *answer = &exchange->answer;
    int status = status_of(answer);
    if (status == 200 && answer->etag && pk_etag_is_known(&exchange->request, answer->etag)) {
        status = 304;
    }
    const char *body = answer->entry ? answer->entry->data : answer->body.data;
    size_t size = answer->entry ? answer->entry->size : answer->body.size;
    struct pk_buf *head = begin_head(exchange, status);
    bool has_length = status != 304 && status != 204;
    bool has_body = has_length && exchange->request.method != PK_METHOD_HEAD;

    if (has_length) {
        add_number(head, "Content-Length", size);
    }
    pk_buf_add_text(head, is_last ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n");
    exchange->sent_status = status;
    exchange->sent_bytes = has_body ? size : 0;
    if (has_body && size <= COPY_MAX) {
        pk_buf_add(head, body, size);
    }
    pk_conn_said(exchange->conn);
    if (has_body && size > COPY_MAX) {
        refer_to_body(answer, pk_conn_output(exchange->conn));
    }
}
