/* ask.c - Answers to processors: one question, one request.
 *
 * Names of questions are rows of a table. A fetcher is made for each question,
 * with the one host that it names: what a manifest was granted for one host
 * reaches no other.
 *
 * Thread: the caller's; it blocks. */
/* SPDX-License-Identifier: MIT */
#include "persona/ask.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"
#include "net/fetch.h"

#include <stdio.h>
#include <string.h>

enum { ANSWER_BYTES = 64 * 1024, HEADERS_MAX = 32, HOST_MAX = 262, DEADLINE_MS = 10000 };

static const char *text_of(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static bool inner_of(const bson_t *doc, const char *name, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    if (!bson_iter_init_find(&iter, doc, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

/* ---- http ---- */

/* "host" or "host:port" of a URL. */
static bool host_of(const char *url, char out[HOST_MAX])
{
    const char *host = strstr(url, "://");
    if (!host) {
        return false;
    }
    host += 3;
    const size_t size = strcspn(host, "/?#");
    return size > 0 && size < HOST_MAX && !memchr(host, '@', size) &&
           snprintf(out, HOST_MAX, "%.*s", (int)size, host) > 0;
}

static bool fill_headers(const bson_t *value, struct pk_fetch_header *out, size_t *out_count,
                         struct pk_error *err)
{
    bson_t headers;
    bson_iter_t iter;
    *out_count = 0;
    if (!inner_of(value, "headers", &headers) || !bson_iter_init(&iter, &headers)) {
        return true;
    }
    while (bson_iter_next(&iter)) {
        uint32_t size = 0;
        if (*out_count == HEADERS_MAX || !BSON_ITER_HOLDS_UTF8(&iter)) {
            return pk_fail(err, PK_INVALID, "as in headers = { accept = \"application/json\" }",
                           "headers are not up to %d texts by name", HEADERS_MAX);
        }
        const char *text = bson_iter_utf8(&iter, &size);
        out[(*out_count)++] = (struct pk_fetch_header){ bson_iter_key(&iter), text, size };
    }
    return true;
}

/* Text as documents take it: UTF-8 without a NUL. */
static bool is_text(const char *data, size_t size)
{
    return size == 0 ||
           (!memchr(data, '\0', size) && pk_utf8_check((const uint8_t *)data, size) == size);
}

static void put_answer(const struct pk_fetch_answer *got, bson_t *answer)
{
    bson_t value, headers;
    BSON_APPEND_DOCUMENT_BEGIN(answer, "value", &value);
    BSON_APPEND_INT64(&value, "status", got->status);
    BSON_APPEND_DOCUMENT_BEGIN(&value, "headers", &headers);
    for (size_t i = 0; i < got->header_count && i < HEADERS_MAX; i++) {
        const struct pk_header *header = &got->header[i];
        if (is_text(header->value, strlen(header->value))) {
            BSON_APPEND_UTF8(&headers, header->name, header->value);
        }
    }
    bson_append_document_end(&value, &headers);
    (void)bson_append_utf8(&value, "body", -1, got->body.size ? got->body.data : "",
                           (int)got->body.size);
    bson_append_document_end(answer, &value);
}

static bool fetch(const struct pk_asks *asks, const struct pk_fetch_request *request,
                  const char *host, bson_t *answer, struct pk_error *err)
{
    PK_CLEANUP(pk_fetcher_freep) struct pk_fetcher *fetcher = NULL;
    PK_CLEANUP(pk_fetch_answer_done) struct pk_fetch_answer got = { 0 };
    const struct pk_fetch_options options = { .clock = asks->clock,
                                              .host = &host,
                                              .host_count = 1,
                                              .is_private_allowed = asks->is_private_allowed,
                                              .ca_file = asks->ca_file };
    if (!pk_fetcher_new(&fetcher, &options, err) || !pk_fetch(fetcher, request, &got, err)) {
        return false;
    }
    if (!is_text(got.body.data, got.body.size)) {
        return pk_fail(err, PK_UNSUPPORTED, "ask for text", "the answer of '%s' is no text", host);
    }
    put_answer(&got, answer);
    return true;
}

static bool ask_http(const struct pk_asks *asks, const bson_t *value, bson_t *answer,
                     struct pk_error *err)
{
    struct pk_fetch_header header[HEADERS_MAX];
    char host[HOST_MAX];
    const char *url = text_of(value, "url");
    const char *body = text_of(value, "body");
    struct pk_fetch_request request = {
        .url = url,
        .method = text_of(value, "method"),
        .header = header,
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .answer_max_bytes = ANSWER_BYTES,
        .deadline_ns =
            pk_deadline_in_ms(asks->clock, asks->deadline_ms ? asks->deadline_ms : DEADLINE_MS),
    };
    if (!url || !host_of(url, host)) {
        return pk_fail(err, PK_INVALID, "as in pk.ask(\"http\", { url = \"https://host/path\" })",
                       "the question 'http' has no url");
    }
    return fill_headers(value, header, &request.header_count, err) &&
           fetch(asks, &request, host, answer, err);
}

/* ---- All questions ---- */

static const struct {
    const char *name;
    bool (*answer)(const struct pk_asks *asks, const bson_t *value, bson_t *answer,
                   struct pk_error *err);
} ask_table[] = { { "http", ask_http } };

bool pk_ask(void *context, const char *name, const bson_t *question, bson_t *answer,
            struct pk_error *err)
{
    bson_t value;
    for (size_t i = 0; i < PK_COUNT(ask_table); i++) {
        if (strcmp(ask_table[i].name, name) == 0) {
            return inner_of(question, "value", &value)
                       ? ask_table[i].answer(context, &value, answer, err)
                       : pk_fail(err, PK_INVALID, "give a table", "the question '%s' says nothing",
                                 name);
        }
    }
    return pk_fail(err, PK_UNSUPPORTED, "ask \"http\"", "'%.60s' is not answered here", name);
}
