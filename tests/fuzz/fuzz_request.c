/* fuzz_request.c - Requests as bytes: parser, policy and routes say the same however the bytes are
 * cut.
 *
 * The first byte says how they are cut; what follows is sent whole, in pieces
 * of that size, and byte by byte. Each time the same requests must come out,
 * with the same end. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 32 * 1024 }; /* Below the limit on heads, which counts pieces. */

static const struct pk_route routes[] = {
    { .method = PK_METHOD_GET, .path = "/", .action = 1, .help = "The root." },
    { .method = PK_METHOD_GET, .path = "/v1/people/{person}/traits/{path}", .action = 1 },
    { .method = PK_METHOD_POST, .path = "/p", .action = 1, .body_max_bytes = 100 },
    { .method = PK_METHOD_PATCH, .path = "/v1/{any}", .action = 1, .body_max_bytes = 16 * 1024 },
};
static struct pk_net net = { .options = { .route = routes, .route_count = PK_COUNT(routes) } };
static struct pk_loop loop = { .net = &net };

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static void add_text(struct pk_buf *out, const char *text)
{
    pk_buf_add(out, text, strlen(text) + 1);
}

/* All that a handler would see. */
static void describe(struct pk_buf *out, const struct pk_exchange *exchange)
{
    const struct pk_request *request = &exchange->request;
    pk_buf_printf(out, "%s %d %d\n", pk_method_name(request->method), exchange->is_keep_alive,
                  request->route ? (int)(request->route - routes) : -1);
    insist(request->path[0] == '/' || request->path[0] == '\0');
    add_text(out, request->path);
    add_text(out, request->query);
    for (size_t i = 0; i < request->segment_count; i++) {
        insist(strcmp(request->segment[i], "..") != 0 && strcmp(request->segment[i], ".") != 0);
        add_text(out, request->segment[i]);
    }
    insist(request->header_count <= PK_NET_HEADERS_MAX);
    for (size_t i = 0; i < request->header_count; i++) {
        insist(strpbrk(request->header[i].value, "\r\n") == NULL);
        add_text(out, request->header[i].name);
        add_text(out, request->header[i].value);
    }
    insist(!request->route || request->body.size <= request->route->body_max_bytes);
    pk_buf_add(out, request->body.data, request->body.size);
}

/* Feeds it in pieces of 'step' bytes and tells what came out. */
static void run(struct pk_buf *out, const char *data, size_t size, size_t step)
{
    struct pk_parser parser;
    enum pk_refusal refusal = PK_REFUSAL_NONE;
    pk_parser_init(&parser, &loop);
    for (size_t at = 0; at < size && refusal == PK_REFUSAL_NONE;) {
        size_t used = 0;
        size_t piece = size - at < step ? size - at : step;
        refusal = pk_parser_feed(&parser, data + at, piece, &used);
        insist(used <= piece);
        at += used;
        if (refusal == PK_REFUSAL_NONE && parser.is_held) {
            pk_parser_go_on(&parser);
        } else if (refusal == PK_REFUSAL_NONE && parser.is_complete) {
            struct pk_exchange *exchange = pk_parser_take(&parser);
            describe(out, exchange);
            pk_exchange_free(exchange);
        } else if (refusal == PK_REFUSAL_NONE) {
            insist(used == piece);
        }
    }
    pk_buf_printf(out, "\nend: %d, in the middle: %d", (int)refusal,
                  refusal == PK_REFUSAL_NONE && parser.is_head_done);
    pk_parser_done(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > SIZE_MAX_TRIED) {
        return 0;
    }
    PK_CLEANUP(pk_buf_done) struct pk_buf whole = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf pieces = { 0 };
    const char *text = (const char *)data + 1;
    const size_t step[] = { data[0] % 61 + 2, 1 };

    run(&whole, text, size - 1, size);
    for (size_t i = 0; i < PK_COUNT(step); i++) {
        pk_buf_clear(&pieces);
        run(&pieces, text, size - 1, step[i]);
        insist(whole.size == pieces.size && memcmp(whole.data, pieces.data, whole.size) == 0);
    }
    return 0;
}
