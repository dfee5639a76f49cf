/* openapi_problems.c - Which errors a route can answer, and what an error says, for OpenAPI.
 *
 * Which ones follows from the row: everybody's, those of who needs a key, of
 * who sends a body, of who writes, and what 'fails' adds. There is one answer
 * for each status, "Problem404", because a code has one status only
 * (problems.c). Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "api/openapi_internal.h"

#include "api/api_internal.h"
#include "api/problems.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json_put.h"

#include <stdio.h>
#include <string.h>

/* ---- Errors ---- */

/* When every row of a kind can answer a status. */
enum kind {
    KIND_ANY,
    KIND_TYPED,
    KIND_KEYED,
    KIND_PATH,
    KIND_BODY,
    KIND_ONCE,
    KIND_MATCH,
    KIND_WRITES
};

static const struct {
    enum kind kind;
    int status;
} status_table[] = {
    { KIND_ANY, 400 },   { KIND_KEYED, 401 }, { KIND_KEYED, 403 },  { KIND_PATH, 404 },
    { KIND_TYPED, 406 }, { KIND_ANY, 408 },   { KIND_WRITES, 409 }, { KIND_ONCE, 409 },
    { KIND_MATCH, 412 }, { KIND_BODY, 413 },  { KIND_ANY, 414 },    { KIND_BODY, 415 },
    { KIND_ANY, 417 },   { KIND_ONCE, 422 },  { KIND_ANY, 429 },    { KIND_ANY, 431 },
    { KIND_ANY, 500 },   { KIND_ANY, 503 },   { KIND_ANY, 504 },    { KIND_WRITES, 507 },
};

static bool is_of_kind(const struct pk_api_row *row, enum kind kind)
{
    switch (kind) {
    case KIND_ANY:
        return true;
    case KIND_TYPED:
        return row->run && (row->answer || row->answer_type);
    case KIND_KEYED:
        return !pk_row_is_public(row);
    case KIND_PATH:
        return row->subject || strchr(row->path, '{');
    case KIND_BODY:
        return row->body || row->form;
    case KIND_ONCE:
        return (row->flags & PK_ROW_ONCE) != 0;
    case KIND_MATCH:
        return (row->flags & PK_ROW_MATCH) != 0;
    case KIND_WRITES:
        return (row->flags & PK_ROW_WRITES) != 0;
    }
    return false;
}

static bool can_answer(const struct pk_api_row *row, int status)
{
    for (const enum pk_code *code = row->fails; code && *code != PK_OK; code++) {
        if (pk_code_http(*code) == status) {
            return true;
        }
    }
    for (size_t i = 0; i < PK_COUNT(status_table); i++) {
        if (status_table[i].status == status && is_of_kind(row, status_table[i].kind)) {
            return true;
        }
    }
    return false;
}

/* The table of problems is sorted by status: calls 'each' once for each of them. */
typedef void each_status_fn(struct pk_buf *out, const struct pk_api_row *row,
                            const struct pk_problem *first, size_t count);

static void each_status(struct pk_buf *out, const struct pk_api_row *row, each_status_fn *each)
{
    size_t count;
    const struct pk_problem *problem = pk_problems(&count);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && problem[next].status == problem[i].status; next++) {
        }
        each(out, row, &problem[i], next - i);
    }
}

static void refer_to_status(struct pk_buf *out, const struct pk_api_row *row,
                            const struct pk_problem *first, size_t count)
{
    (void)count;
    if (can_answer(row, first->status)) {
        char key[16], name[32];
        (void)snprintf(key, sizeof(key), "%d", first->status);
        (void)snprintf(name, sizeof(name), "Problem%d", first->status);
        pk_openapi_ref(out, key, "responses", name);
    }
}

static bool any_retries(const struct pk_problem *first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (first[i].retry) {
            return true;
        }
    }
    return false;
}

static void put_status_headers(struct pk_buf *out, const struct pk_problem *first, size_t count)
{
    pk_json_open(out, "headers", '{');
    pk_openapi_ref(out, "X-Request-Id", "headers", "X-Request-Id");
    if (any_retries(first, count)) {
        pk_openapi_ref(out, "Retry-After", "headers", "Retry-After");
    }
    pk_json_close(out, '}');
}

/* A problem, of one of these codes. */
static void put_status_content(struct pk_buf *out, const struct pk_problem *first, size_t count)
{
    pk_json_open(out, "content", '{');
    pk_json_open(out, "application/problem+json", '{');
    pk_json_open(out, "schema", '{');
    pk_json_put_text(out, "$ref", "#/components/schemas/Problem");
    pk_json_open(out, "properties", '{');
    pk_json_open(out, "code", '{');
    pk_json_open(out, "enum", '[');
    for (size_t i = 0; i < count; i++) {
        pk_json_put_text(out, NULL, first[i].code);
    }
    pk_json_close(out, ']');
    pk_json_close(out, '}');
    pk_json_close(out, '}');
    pk_json_close(out, '}');
    pk_json_close(out, '}');
    pk_json_close(out, '}');
}

static void put_status(struct pk_buf *out, const struct pk_api_row *row,
                       const struct pk_problem *first, size_t count)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf help = { 0 };
    char name[32];
    (void)row;
    for (size_t i = 0; i < count; i++) {
        pk_buf_printf(&help, "%s`%s`: %s.", i ? "\n" : "", first[i].code, first[i].meaning);
    }
    (void)snprintf(name, sizeof(name), "Problem%d", first->status);
    pk_json_open(out, name, '{');
    pk_json_put_text(out, "description", pk_buf_text(&help));
    put_status_headers(out, first, count);
    put_status_content(out, first, count);
    pk_json_close(out, '}');
}

void pk_openapi_problem_refs(struct pk_buf *out, const struct pk_api_row *row)
{
    each_status(out, row, refer_to_status);
}

void pk_openapi_problem_answers(struct pk_buf *out)
{
    each_status(out, NULL, put_status);
}

/* ---- The schema of a problem ---- */

/* Each code with what it means. */
static void put_code_schema(struct pk_buf *out)
{
    size_t count;
    const struct pk_problem *problem = pk_problems(&count);
    pk_json_open(out, "code", '{');
    pk_json_put_text(out, "type", "string");
    pk_json_put_text(out, "description", "What programs act on; it means the same for ever.");
    pk_json_open(out, "oneOf", '[');
    for (size_t i = 0; i < count; i++) {
        PK_CLEANUP(pk_freep)
        char *help =
            pk_strdupf("%d: %s; %s.", problem[i].status, problem[i].meaning, problem[i].advice);
        pk_json_open(out, NULL, '{');
        pk_json_put_text(out, "const", problem[i].code);
        pk_json_put_text(out, "description", help);
        pk_json_put_bool(out, "x-retry", problem[i].retry);
        pk_json_close(out, '}');
    }
    pk_json_close(out, ']');
    pk_json_close(out, '}');
}

void pk_openapi_problem_schema(struct pk_buf *out)
{
    pk_json_open(out, "Problem", '{');
    pk_json_put_text(out, "type", "object");
    pk_json_put_text(out, "description", "What went wrong (RFC 9457).");
    pk_json_put_raw(out, "required",
                    "[\"type\",\"title\",\"status\",\"code\",\"detail\",\"requestId\"]");
    pk_json_open(out, "properties", '{');
    pk_json_put_raw(out, "type", "{\"type\":\"string\",\"format\":\"uri-reference\"}");
    pk_json_put_raw(out, "title", "{\"type\":\"string\"}");
    pk_json_put_raw(out, "status", "{\"type\":\"integer\",\"minimum\":400,\"maximum\":599}");
    put_code_schema(out);
    pk_json_put_raw(out, "detail",
                    "{\"type\":\"string\",\"description\":\"What happened, for people.\"}");
    pk_json_put_raw(out, "field",
                    "{\"type\":\"string\",\"description\":\"The path of the value at fault.\"}");
    pk_json_put_raw(out, "hint",
                    "{\"type\":\"string\",\"description\":\"What a person should do.\"}");
    pk_json_put_raw(out, "requestId",
                    "{\"type\":\"string\",\"description\":\"What the log calls the request.\"}");
    pk_json_put_raw(out, "errors",
                    "{\"type\":\"array\",\"maxItems\":100,"
                    "\"description\":\"Everything that is wrong with the body.\","
                    "\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
                    "\"required\":[\"field\",\"expected\",\"got\"],\"properties\":{"
                    "\"field\":{\"type\":\"string\"},\"expected\":{\"type\":\"string\"},"
                    "\"got\":{\"type\":\"string\"}}}}");
    pk_json_put_raw(out, "findings",
                    "{\"type\":\"array\",\"maxItems\":100,"
                    "\"description\":\"Everything that is wrong with a script.\","
                    "\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
                    "\"required\":[\"severity\",\"message\"],\"properties\":{"
                    "\"severity\":{\"enum\":[\"error\",\"remark\"]},"
                    "\"file\":{\"type\":\"string\"},\"line\":{\"type\":\"integer\"},"
                    "\"message\":{\"type\":\"string\"},\"hint\":{\"type\":\"string\"},"
                    "\"sourceLine\":{\"type\":\"string\"},"
                    "\"trace\":{\"type\":\"string\"}}}}");
    pk_json_close(out, '}');
    pk_json_put_bool(out, "additionalProperties", false);
    pk_json_close(out, '}');
}
