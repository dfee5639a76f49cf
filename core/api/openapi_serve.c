/* openapi_serve.c - The document's bytes, made at the start, and how a loop sends them.
 *
 * Both forms, plain and compressed, are entries of the hot cache, which loops
 * send without copying. The cache may drop an entry (a gap in the feed, too
 * little room); then it is put back from our own bytes. Each form has an ETag
 * of its own, the hash of what is said: RFC 9110, section 8.8.3.3.
 *
 * Thread: any; the object does not change. */
/* SPDX-License-Identifier: MIT */
#include "api/openapi.h"

#include "api/row.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "net/gzip.h"
#include "net/hot.h"
#include "net/net.h"

#include <stdio.h>
#include <string.h>

enum { ETAG_BYTES = 8 }; /* Of the hash. */

/* One of the two. */
struct form {
    struct pk_buf body;
    const char *key; /* In the cache; no answer about a person has such a one. */
    char etag[2 + 2 * ETAG_BYTES + sizeof("-gzip")];
};
struct pk_openapi {
    struct pk_hot *hot; /* Or NULL. */
    struct form plain;
    struct form small; /* Empty when it could not be compressed. */
};

static const char content_type[] = "application/json";
static const char nobody[] = ""; /* Whom the bytes are about. */

static void fill(const struct pk_openapi *openapi, const struct form *form)
{
    const struct pk_hot_fill fill = {
        .key = form->key,
        .key_size = strlen(form->key),
        .person = nobody,
        .stamp = pk_hot_stamp(openapi->hot, nobody),
        .content_type = content_type,
        .etag = form->etag,
        .data = form->body.data,
        .size = form->body.size,
    };
    (void)pk_hot_put(openapi->hot, &fill); /* A loop that does not find it copies. */
}

static void write_all(struct pk_buf *out)
{
    size_t count = pk_api_row_count();
    const struct pk_api_row **row = pk_calloc(count + 1, sizeof(*row));
    for (size_t i = 0; i < count; i++) {
        row[i] = pk_api_row_at(i);
    }
    pk_openapi_write(out, row, count);
    pk_free(row);
}

struct pk_openapi *pk_openapi_new(struct pk_hot *hot)
{
    struct pk_openapi *openapi = pk_calloc(1, sizeof(*openapi));
    uint8_t hash[PK_HASH_BYTES];
    char digits[2 * ETAG_BYTES + 1];

    openapi->hot = hot;
    openapi->plain.key = "GET /openapi.json";
    openapi->small.key = "GET /openapi.json gzip";
    write_all(&openapi->plain.body);
    pk_hash(hash, openapi->plain.body.data, openapi->plain.body.size, NULL, 0);
    pk_hex(digits, hash, ETAG_BYTES);
    digits[2 * ETAG_BYTES] = '\0';
    (void)snprintf(openapi->plain.etag, sizeof(openapi->plain.etag), "\"%s\"", digits);
    (void)snprintf(openapi->small.etag, sizeof(openapi->small.etag), "\"%s-gzip\"", digits);
    (void)pk_gzip_bytes(&openapi->small.body, &openapi->plain.body);
    return openapi;
}

void pk_openapi_free(struct pk_openapi *openapi)
{
    if (openapi) {
        pk_buf_done(&openapi->plain.body);
        pk_buf_done(&openapi->small.body);
        pk_free(openapi);
    }
}

static struct pk_hot_entry *find(const struct pk_openapi *openapi, const struct form *form)
{
    struct pk_hot_entry *entry = NULL;
    for (int attempt = 0; openapi->hot && !entry && attempt < 2; attempt++) {
        if (attempt == 1) {
            fill(openapi, form);
        }
        entry = pk_hot_get(openapi->hot, form->key, strlen(form->key));
    }
    return entry;
}

void pk_openapi_answer(const struct pk_openapi *openapi, struct pk_request *request,
                       struct pk_answer *answer)
{
    bool is_small = openapi->small.body.size > 0 && pk_gzip_is_taken(request);
    const struct form *form = is_small ? &openapi->small : &openapi->plain;
    struct pk_hot_entry *entry = find(openapi, form);

    answer->cache_control = "public, max-age=60";
    (void)pk_answer_header(request, answer, "Vary", "Accept-Encoding", NULL);
    if (is_small) {
        (void)pk_answer_header(request, answer, "Content-Encoding", "gzip", NULL);
    }
    if (entry) {
        pk_answer_entry(answer, entry);
        return;
    }
    answer->status = 200;
    answer->content_type = content_type;
    answer->etag = form->etag;
    pk_buf_add(&answer->body, form->body.data, form->body.size);
}
