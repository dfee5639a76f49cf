/* fuzz_uri.c - Targets: what is taken is decoded once, has no dot segments, and encodes back. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pk_header host = { "host", "a" };

static void insist(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

static enum pk_refusal take(struct pk_request *request, const char *target)
{
    *request = (struct pk_request){ .header = &host, .header_count = 1 };
    return pk_policy_target(request, pk_arena_strdup(&request->arena, target));
}

/* The segments again, with every byte encoded. */
static void encode(struct pk_buf *out, const struct pk_request *request)
{
    for (size_t i = 0; i < request->segment_count; i++) {
        pk_buf_add_char(out, '/');
        for (const char *c = request->segment[i]; *c; c++) {
            pk_buf_printf(out, "%%%02X", (unsigned char)*c);
        }
    }
    if (request->segment_count == 0) {
        pk_buf_add_char(out, '/');
    }
}

/* Nothing that somebody behind us could resolve. */
static void insist_no_dots(const char *segment)
{
    while (segment) {
        size_t size = strcspn(segment, "/\\");
        insist(!(size == 1 && segment[0] == '.'));
        insist(!(size == 2 && segment[0] == '.' && segment[1] == '.'));
        segment = segment[size] ? segment + size + 1 : NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PK_CLEANUP(pk_freep) char *target = pk_strndup((const char *)data, size);
    PK_CLEANUP(pk_buf_done) struct pk_buf encoded = { 0 };
    struct pk_request request;
    struct pk_request again;
    if (take(&request, target) != PK_REFUSAL_NONE) {
        pk_arena_done(&request.arena);
        return 0;
    }
    insist(request.path[0] == '/' && strpbrk(request.path, "?# \t\r\n") == NULL);
    insist(strchr(request.query, '#') == NULL);
    encode(&encoded, &request);
    insist(take(&again, pk_buf_text(&encoded)) == PK_REFUSAL_NONE);
    insist(again.segment_count == request.segment_count);
    for (size_t i = 0; i < request.segment_count; i++) {
        insist_no_dots(request.segment[i]);
        insist(strcmp(again.segment[i], request.segment[i]) == 0);
    }
    pk_arena_done(&request.arena);
    pk_arena_done(&again.arena);
    return 0;
}
