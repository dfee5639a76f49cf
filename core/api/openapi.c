/* openapi.c - From the rows of the table to the document; one function per part of it.
 *
 *     info, servers, tags           who speaks, and about what
 *     paths                         one operation for each row
 *     components                    what operations refer to: schemas, headers, parameters,
 *                                   one answer for each status that problems come with
 *
 * Parameters are in openapi_params.c, errors in openapi_problems.c.
 *
 * The order is that of the tables, so the bytes are the same each time. */
/* SPDX-License-Identifier: MIT */
#include "api/openapi.h"

#include "api/api_internal.h"
#include "api/openapi_internal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json_put.h"
#include "doc/json_schema.h"
#include "doc/schema.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What is being written. */
struct writer {
    struct pk_buf *out;
    const struct pk_api_row *const *row;
    size_t count;
    struct pk_json_schemas schemas;
};

void pk_openapi_ref(struct pk_buf *out, const char *key, const char *kind, const char *name)
{
    PK_CLEANUP(pk_freep) char *target = pk_strdupf("#/components/%s/%s", kind, name);
    pk_json_open(out, key, '{');
    pk_json_put_text(out, "$ref", target);
    pk_json_close(out, '}');
}

/* ---- Headers of answers ---- */

enum when { WHEN_ALWAYS, WHEN_VERSIONED, WHEN_WRITTEN, WHEN_CREATED, WHEN_KEYED, WHEN_WAITED };

static const struct answer_header {
    enum when when;
    const char *name;
    const char *schema; /* JSON. */
    const char *help;
} answer_header_table[] = {
    { WHEN_ALWAYS, "X-Request-Id", "{\"type\":\"string\",\"minLength\":1,\"maxLength\":64}",
      "The request's id: the one sent with it, or a new one. The log has it." },
    { WHEN_VERSIONED, "ETag", "{\"type\":\"string\",\"pattern\":\"^\\\"[^\\\"]+\\\"$\"}",
      "The version of what is answered, for If-Match and If-None-Match." },
    { WHEN_CREATED, "Location", "{\"type\":\"string\",\"pattern\":\"^/\"}",
      "The path of what was made." },
    { WHEN_WRITTEN, "PersonaKit-Cursor", "{\"type\":\"string\",\"minLength\":1}",
      "The write's place in the feed: send it as ?after= to read what was written." },
    { WHEN_WAITED, "PersonaKit-Processed",
      "{\"type\":\"string\",\"enum\":[\"true\",\"failed\",\"false\"]}",
      "After ?wait=processed: whether the write has had its effects; 'false' (and 202): not yet." },
    { WHEN_KEYED, "RateLimit-Limit", "{\"type\":\"integer\",\"minimum\":0}",
      "Requests in a full window, of the limit that is nearest; per server." },
    { WHEN_KEYED, "RateLimit-Remaining", "{\"type\":\"integer\",\"minimum\":0}",
      "How many of them are left." },
    { WHEN_KEYED, "RateLimit-Reset", "{\"type\":\"integer\",\"minimum\":0}",
      "Seconds until all are there again." },
};
static const char retry_after_schema[] = "{\"type\":\"integer\",\"minimum\":1}";

static void put_header(struct pk_buf *out, const char *name, const char *schema, const char *help)
{
    pk_json_open(out, name, '{');
    pk_json_put_text(out, "description", help);
    pk_json_put_raw(out, "schema", schema);
    pk_json_close(out, '}');
}

static void put_all_headers(struct pk_buf *out)
{
    pk_json_open(out, "headers", '{');
    for (size_t i = 0; i < PK_COUNT(answer_header_table); i++) {
        put_header(out, answer_header_table[i].name, answer_header_table[i].schema,
                   answer_header_table[i].help);
    }
    put_header(out, "Retry-After", retry_after_schema,
               "Seconds to wait before the request is repeated.");
    pk_json_close(out, '}');
}

static bool has_header(const struct pk_api_row *row, enum when when)
{
    bool is_json = row->answer && !(row->flags & PK_ROW_LIST);
    switch (when) {
    case WHEN_ALWAYS:
        return true;
    case WHEN_VERSIONED:
        return is_json;
    case WHEN_WRITTEN:
        return (row->flags & PK_ROW_WRITES) != 0;
    case WHEN_CREATED:
        return row->status == 201;
    case WHEN_KEYED:
        return !pk_row_is_public(row);
    case WHEN_WAITED:
        return (row->flags & PK_ROW_WAIT) != 0;
    }
    return false;
}

static void put_headers(struct pk_buf *out, const struct pk_api_row *row)
{
    pk_json_open(out, "headers", '{');
    for (size_t i = 0; i < PK_COUNT(answer_header_table); i++) {
        if (has_header(row, answer_header_table[i].when)) {
            pk_openapi_ref(out, answer_header_table[i].name, "headers",
                           answer_header_table[i].name);
        }
    }
    pk_json_close(out, '}');
}

/* ---- The answer of success ---- */

static void put_list_schema(struct writer *writer, const struct pk_api_row *row)
{
    struct pk_buf *out = writer->out;
    pk_json_put_text(out, "type", "object");
    pk_json_put_raw(out, "required", "[\"items\",\"next\"]");
    pk_json_open(out, "properties", '{');
    pk_json_open(out, "items", '{');
    pk_json_put_text(out, "type", "array");
    pk_json_key(out, "items");
    pk_json_schemas_ref(&writer->schemas, out, row->answer, PK_JSON_OUT);
    pk_json_close(out, '}');
    pk_json_open(out, "next", '{');
    pk_json_put_raw(out, "type", "[\"string\",\"null\"]");
    pk_json_put_text(out, "description", "?cursor= of the next page; null: there is none.");
    pk_json_close(out, '}');
    pk_json_close(out, '}');
    pk_json_put_bool(out, "additionalProperties", false);
}

static const char *answer_type(const struct pk_api_row *row)
{
    if (row->flags & PK_ROW_EVENTS) {
        return "text/event-stream";
    }
    return row->answer_type ? row->answer_type : "application/json";
}

static bool has_content(const struct pk_api_row *row)
{
    return row->status != 204 && (row->answer || row->answer_type || (row->flags & PK_ROW_EVENTS));
}

static void put_content(struct writer *writer, const struct pk_api_row *row)
{
    struct pk_buf *out = writer->out;
    pk_json_open(out, "content", '{');
    pk_json_open(out, answer_type(row), '{');
    pk_json_key(out, "schema");
    if (row->answer && !(row->flags & PK_ROW_LIST)) {
        pk_json_schemas_ref(&writer->schemas, out, row->answer, PK_JSON_OUT);
    } else {
        pk_buf_add_char(out, '{');
        if (row->answer) {
            put_list_schema(writer, row);
        } else if (strncmp(answer_type(row), "text/", 5) == 0) {
            pk_json_put_text(out, "type", "string");
        }
        pk_json_close(out, '}');
    }
    pk_json_close(out, '}');
    if (row->text_answer) {
        pk_json_open(out, row->text_answer, '{');
        pk_json_open(out, "schema", '{');
        pk_json_put_text(out, "type", "string");
        pk_json_close(out, '}');
        pk_json_close(out, '}');
    }
    pk_json_close(out, '}');
}

static void put_success(struct writer *writer, const struct pk_api_row *row)
{
    struct pk_buf *out = writer->out;
    char key[16];
    (void)snprintf(key, sizeof(key), "%d", row->status ? row->status : 200);
    pk_json_open(out, key, '{');
    pk_json_put_text(out, "description", has_content(row) ? "Done; the answer." : "Done.");
    put_headers(out, row);
    if (has_content(row)) {
        put_content(writer, row);
    }
    pk_json_close(out, '}');
    if (row->flags & PK_ROW_WAIT) { /* The other of the two. */
        const bool is_late = row->status == 202;
        pk_json_open(out, is_late ? "200" : "202", '{');
        pk_json_put_text(out, "description",
                         is_late ? "Done and processed: ?wait=processed has seen it."
                                 : "Done, and still to be processed: ?wait=processed has waited in "
                                   "vain.");
        put_headers(out, row);
        if (has_content(row)) {
            put_content(writer, row);
        }
        pk_json_close(out, '}');
    }
    if (row->many) {
        pk_json_open(out, "207", '{');
        pk_json_put_text(out, "description", "What became of each of many.");
        pk_json_open(out, "content", '{');
        pk_json_open(out, "application/json", '{');
        pk_json_key(out, "schema");
        pk_json_schemas_ref(&writer->schemas, out, row->many, PK_JSON_OUT);
        pk_json_close(out, '}');
        pk_json_close(out, '}');
        pk_json_close(out, '}');
    }
    if (row->method == PK_METHOD_GET && row->answer && !(row->flags & PK_ROW_LIST)) {
        pk_json_open(out, "304", '{');
        pk_json_put_text(out, "description", "What If-None-Match names is still the current one.");
        pk_json_close(out, '}');
    }
}

/* ---- Operations ---- */

static size_t forms_of(const struct pk_body_form *form)
{
    size_t count = 0;
    while (form[count].type && strcmp(form[count].type, form[0].type) == 0) {
        count++;
    }
    return count;
}

/* Forms of one media type stand together in the row: any of them. */
static void put_forms(struct writer *writer, const struct pk_body_form *form)
{
    struct pk_buf *out = writer->out;
    for (size_t count; form->type; form += count) {
        count = forms_of(form);
        pk_json_open(out, form->type, '{');
        pk_json_open(out, "schema", '{');
        pk_json_open(out, "anyOf", '[');
        for (size_t i = 0; i < count; i++) {
            pk_json_next(out);
            pk_json_schemas_ref(&writer->schemas, out, form[i].schema, PK_JSON_IN);
        }
        pk_json_close(out, ']');
        pk_json_close(out, '}');
        pk_json_close(out, '}');
    }
}

static void put_body(struct writer *writer, const struct pk_api_row *row)
{
    struct pk_buf *out = writer->out;
    if (!row->body && !row->form) {
        return;
    }
    pk_json_open(out, "requestBody", '{');
    pk_json_put_bool(out, "required", true);
    pk_json_open(out, "content", '{');
    if (row->form) {
        put_forms(writer, row->form);
    } else {
        pk_json_open(out, "application/json", '{');
        pk_json_key(out, "schema");
        pk_json_schemas_ref(&writer->schemas, out, row->body, PK_JSON_IN);
        pk_json_close(out, '}');
    }
    if (row->text_type) {
        pk_json_open(out, row->text_type, '{');
        pk_json_put_raw(out, "schema", "{\"type\":\"string\"}");
        pk_json_close(out, '}');
    }
    pk_json_close(out, '}');
    pk_json_close(out, '}');
}

static void put_security(struct pk_buf *out, const struct pk_api_row *row)
{
    const struct pk_action_row *action = pk_action_get(row->action);
    if (action) {
        pk_json_put_text(out, "x-action", action->name);
    }
    pk_json_put_raw(out, "security", pk_row_is_public(row) ? "[]" : "[{\"bearer\":[]}]");
}

static void put_operation(struct writer *writer, const struct pk_api_row *row)
{
    struct pk_buf *out = writer->out;
    char method[16] = { 0 };
    const char *name = pk_method_name(row->method);
    for (size_t i = 0; name[i] && i < sizeof(method) - 1; i++) {
        method[i] = (char)tolower((unsigned char)name[i]);
    }
    pk_json_open(out, method, '{');
    pk_json_put_text(out, "operationId", row->id);
    pk_json_open(out, "tags", '[');
    pk_json_put_text(out, NULL, row->tag);
    pk_json_close(out, ']');
    pk_json_put_text(out, "summary", row->help);
    pk_openapi_params(out, row);
    put_body(writer, row);
    pk_json_open(out, "responses", '{');
    put_success(writer, row);
    pk_openapi_problem_refs(out, row);
    pk_json_close(out, '}');
    put_security(out, row);
    pk_json_close(out, '}');
}

/* True when row 'i' is the first of its path. */
static bool is_first(const struct writer *writer, size_t i)
{
    for (size_t before = 0; before < i; before++) {
        if (strcmp(writer->row[before]->path, writer->row[i]->path) == 0) {
            return false;
        }
    }
    return true;
}

static void put_paths(struct writer *writer)
{
    pk_json_open(writer->out, "paths", '{');
    for (size_t i = 0; i < writer->count; i++) {
        if (!is_first(writer, i)) {
            continue;
        }
        pk_json_open(writer->out, writer->row[i]->path, '{');
        for (size_t other = i; other < writer->count; other++) {
            if (strcmp(writer->row[other]->path, writer->row[i]->path) == 0) {
                put_operation(writer, writer->row[other]);
            }
        }
        pk_json_close(writer->out, '}');
    }
    pk_json_close(writer->out, '}');
}

/* ---- The rest ---- */

static void put_info(struct pk_buf *out)
{
    pk_json_open(out, "info", '{');
    pk_json_put_text(out, "title", "PersonaKit");
    pk_json_put_text(out, "version", PK_VERSION);
    pk_json_put_text(out, "summary",
                     "Keeps what is known about people, and serves it as views made for one task.");
    pk_json_put_text(
        out, "description",
        "JSON over HTTP/1.1. Errors are `application/problem+json` with a stable `code`. Writes "
        "answer a `PersonaKit-Cursor`; reads that are sent it as `?after=` show the write. Every "
        "answer has an `X-Request-Id`. What a request does not declare it may not bring: unknown "
        "query parameters and body fields are refused by name (public pages overlook them).");
    pk_json_put_raw(out, "license", "{\"name\":\"MIT\",\"identifier\":\"MIT\"}");
    pk_json_close(out, '}');
}

static void put_tags(const struct writer *writer)
{
    pk_json_open(writer->out, "tags", '[');
    for (size_t i = 0; i < writer->count; i++) {
        bool is_new = true;
        for (size_t before = 0; before < i; before++) {
            is_new = is_new && strcmp(writer->row[before]->tag, writer->row[i]->tag) != 0;
        }
        if (is_new) {
            pk_json_open(writer->out, NULL, '{');
            pk_json_put_text(writer->out, "name", writer->row[i]->tag);
            pk_json_close(writer->out, '}');
        }
    }
    pk_json_close(writer->out, ']');
}

static void put_components(struct writer *writer)
{
    struct pk_buf *out = writer->out;
    pk_json_open(out, "components", '{');
    pk_json_open(out, "schemas", '{');
    pk_openapi_problem_schema(out);
    pk_json_schemas_write(&writer->schemas, out);
    pk_json_close(out, '}');
    pk_json_open(out, "responses", '{');
    pk_openapi_problem_answers(out);
    pk_json_close(out, '}');
    pk_openapi_shared_params(out);
    put_all_headers(out);
    pk_json_open(out, "securitySchemes", '{');
    pk_json_put_raw(out, "bearer",
                    "{\"type\":\"http\",\"scheme\":\"bearer\","
                    "\"bearerFormat\":\"pk_<id>_<secret>\","
                    "\"description\":\"A key of an actor; 'personakit key' makes them.\"}");
    pk_json_close(out, '}');
    pk_json_close(out, '}');
}

void pk_openapi_write(struct pk_buf *out, const struct pk_api_row *const *row, size_t count)
{
    struct writer writer = { out, row, count, { .prefix = "#/components/schemas/" } };
    pk_json_open(out, NULL, '{');
    pk_json_put_text(out, "openapi", "3.1.0");
    put_info(out);
    pk_json_put_raw(out, "servers", "[{\"url\":\"/\",\"description\":\"This server.\"}]");
    put_tags(&writer);
    put_paths(&writer);
    put_components(&writer);
    pk_json_close(out, '}');
    pk_json_schemas_done(&writer.schemas);
}
