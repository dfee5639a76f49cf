/* gzip.c - Compresses an answer when the client takes it and it is worth it.
 *
 * Worth it: above 1 KiB, and of a type that is text. Runs on the executor that
 * made the answer, never on a loop. Secrets are in answers that are smaller
 * than that, or not beside what a client chose, so that lengths tell nothing. */
/* SPDX-License-Identifier: MIT */
#include "net/net_internal.h"

#include "base/alloc.h"
#include "net/gzip.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    SIZE_MIN = 1024,
    LEVEL = 5,
    GZIP_WINDOW = 15 + 16, /* The largest window, and gzip's own header. */
    MEMORY = 8
};

/* True when the list of codings has gzip, or '*', with a weight above 0. */
static bool is_taken(const char *list)
{
    while (*list) {
        list += strspn(list, " \t,");
        size_t size = strcspn(list, " \t,;");
        bool is_gzip =
            (size == 4 && strncasecmp(list, "gzip", 4) == 0) || (size == 1 && list[0] == '*');
        size_t end = strcspn(list, ",");
        const char *weight = memmem(list, end, "q=", 2);
        if (is_gzip) {
            /* "q=0", "q=0.0", "q=0.000" */
            return !weight || strspn(weight + 2, "0.") < strcspn(weight + 2, " \t,");
        }
        list += end;
    }
    return false;
}

static bool is_text(const char *type)
{
    return type && (strncmp(type, "text/", 5) == 0 || strstr(type, "json") != NULL ||
                    strstr(type, "javascript") != NULL);
}

static bool compress_into(struct pk_buf *out, const struct pk_buf *from)
{
    z_stream z = { 0 };
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    uLong room = deflateBound(&z, (uLong)from->size);
    z.next_in = (Bytef *)from->data;
    z.avail_in = (uInt)from->size;
    z.next_out = (Bytef *)pk_buf_reserve(out, room);
    z.avail_out = (uInt)room;
    bool is_done = deflate(&z, Z_FINISH) == Z_STREAM_END;
    out->size += room - z.avail_out;
    (void)deflateEnd(&z);
    return is_done;
}

bool pk_gzip_bytes(struct pk_buf *out, const struct pk_buf *from)
{
    return compress_into(out, from);
}

bool pk_gzip_is_taken(const struct pk_request *request)
{
    const char *accepted = pk_request_header(request, "accept-encoding");
    return accepted && is_taken(accepted);
}

void pk_gzip_answer(struct pk_exchange *exchange)
{
    struct pk_answer *answer = &exchange->answer;
    struct pk_buf small = { 0 };
    const char *accepted = pk_request_header(&exchange->request, "accept-encoding");

    if (!accepted || answer->then != PK_THEN_SEND || answer->entry || exchange->stream ||
        answer->body.size < SIZE_MIN || answer->body.size > UINT32_MAX / 2 ||
        !is_text(answer->content_type) || !is_taken(accepted)) {
        return;
    }
    if (compress_into(&small, &answer->body) && small.size < answer->body.size) {
        pk_buf_done(&answer->body);
        answer->body = small;
        exchange->is_body_gzip = true;
    } else {
        pk_buf_done(&small);
    }
}
