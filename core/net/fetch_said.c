/* fetch_said.c - What comes back, held to its limits as it comes.
 *
 * curl calls with one header line at a time, then with pieces of the body,
 * already out of its chunks and decompressed: it is these bytes that are
 * counted, so neither a lying Content-Length nor a small archive of a large
 * emptiness gets past. Headers of interim answers (1xx) are forgotten when the
 * next status line comes, but not their size; trailers are counted and
 * dropped. */
/* SPDX-License-Identifier: MIT */
#include "net/fetch_internal.h"

#include "base/alloc.h"

#include <string.h>

/* "HTTP/1.1 200 OK": forgets what an interim answer said. */
static void take_status(struct pk_said *said, const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    int status = 0;
    for (const char *at = space ? space + 1 : line + size;
         at < line + size && *at >= '0' && *at <= '9' && status < 1000; at++) {
        status = status * 10 + (*at - '0');
    }
    said->answer->status = status;
    said->answer->header_count = 0;
}

static bool take_header(struct pk_said *said, const char *line, size_t size)
{
    struct pk_fetch_answer *answer = said->answer;
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line || memchr(line, '\0', size)) {
        return true; /* No header: nobody could use it. */
    }
    if (answer->header_count == PK_FETCH_HEADERS_MAX) {
        return false;
    }
    const char *value = colon + 1;
    const char *end = line + size;
    while (value < end && strchr(" \t", *value)) {
        value++;
    }
    while (end > value && strchr(" \t", end[-1])) {
        end--;
    }
    if (!answer->header) {
        answer->header =
            pk_arena_alloc(&answer->arena, PK_FETCH_HEADERS_MAX * sizeof(*answer->header));
    }
    char *name = pk_arena_strndup(&answer->arena, line, (size_t)(colon - line));
    for (char *c = name; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    }
    answer->header[answer->header_count++] = (struct pk_header){
        .name = name, .value = pk_arena_strndup(&answer->arena, value, (size_t)(end - value))
    };
    return true;
}

/* A line without its end. False: one too many. */
static bool take_line(struct pk_said *said, const char *line, size_t size)
{
    if (said->is_headed) {
        return true; /* A trailer. */
    }
    if (size == 0) {
        said->is_headed = said->answer->status >= 200;
        return true;
    }
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        take_status(said, line, size);
        return true;
    }
    return take_header(said, line, size);
}

static size_t on_header(char *data, size_t one, size_t count, void *context)
{
    struct pk_said *said = context;
    const size_t all = one * count;
    size_t size = all;
    while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r')) {
        size--;
    }
    said->head_bytes += all;
    if (said->head_bytes > PK_FETCH_HEAD_MAX || !take_line(said, data, size)) {
        said->is_over = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return all;
}

static size_t on_body(char *data, size_t one, size_t count, void *context)
{
    struct pk_said *said = context;
    const size_t size = one * count;
    if (size > said->body_max_bytes - said->body_bytes) {
        said->is_over = true;
        return CURL_WRITEFUNC_ERROR;
    }
    said->body_bytes += size;
    if (!said->piece) {
        pk_buf_add(&said->answer->body, data, size);
    } else if (!said->piece(said->context, said->answer, data, size)) {
        said->answer->is_stopped = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return size;
}

void pk_said_listen(struct pk_said *said, CURL *curl)
{
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, said);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, said);
}

const char *pk_fetch_header(const struct pk_fetch_answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        if (strcmp(answer->header[i].name, name) == 0) {
            return answer->header[i].value;
        }
    }
    return NULL;
}

void pk_fetch_answer_done(struct pk_fetch_answer *answer)
{
    pk_buf_done(&answer->body);
    pk_arena_done(&answer->arena);
    *answer = (struct pk_fetch_answer){ 0 };
}
