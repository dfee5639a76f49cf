/* hot_lane.c - Key, permission, bytes.
 *
 * The key is made in the request's arena, so a hit allocates nothing else. A
 * path that is spelt in another way (%41 for A) is another key with the same
 * answer: it costs room, and is never wrong. */
/* SPDX-License-Identifier: MIT */
#include "api/hot_lane.h"

#include "api/api_internal.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "net/hot.h"

#include <string.h>

/* "path?query" NUL and the 16 bytes that tell what is hidden. */
static const char *key_of(struct pk_request *request, const struct pk_principal *who,
                          size_t *out_size)
{
    const size_t path = strlen(request->path);
    const size_t query = strlen(request->query);
    const size_t hidden = who ? sizeof(who->hidden_id) : 0;
    char *key = pk_arena_alloc(&request->arena, path + 1 + query + 1 + hidden);

    memcpy(key, request->path, path);
    key[path] = '?';
    memcpy(key + path + 1, request->query, query);
    key[path + 1 + query] = '\0';
    if (who) {
        memcpy(key + path + 1 + query + 1, who->hidden_id, hidden);
    }
    *out_size = path + 1 + query + 1 + hidden;
    return key;
}

void pk_hot_lane(void *context, struct pk_request *request, struct pk_answer *answer,
                 const struct pk_object *object)
{
    const struct pk_api *api = context;
    const struct pk_api_row *row = pk_api_row_of(api, request);
    struct pk_error err = { 0 };
    size_t size = 0;

    if (!pk_access_check(request->caller, row->action, object, &err)) {
        pk_fail_answer(request, answer, &err, NULL);
        return;
    }
    const char *key = key_of(request, request->caller, &size);
    struct pk_hot_entry *entry = pk_hot_get(api->parts.hot, key, size);
    if (entry) {
        pk_answer_entry(answer, entry);
        return;
    }
    pk_answer_move(answer, row->lane, pk_api_run);
}

void pk_hot_lane_pass(void *context, const struct pk_request *request, struct pk_answer *answer)
{
    const struct pk_api *api = context;
    pk_answer_move(answer, pk_api_row_of(api, request)->lane, pk_api_run);
}

void pk_hot_lane_keep(const struct pk_api_call *call, const char *person, uint64_t stamp)
{
    pk_hot_lane_keep_for(call, person, stamp, 0, 0);
}

void pk_hot_lane_keep_for(const struct pk_api_call *call, const char *person, uint64_t stamp,
                          int64_t from_ms, int64_t until_ms)
{
    size_t size = 0;
    const char *key = key_of(call->request, call->who, &size);
    const struct pk_hot_fill fill = {
        .key = key,
        .key_size = size,
        .person = person,
        .stamp = stamp,
        .content_type = call->answer->content_type,
        .etag = call->answer->etag,
        .data = call->answer->body.data,
        .size = call->answer->body.size,
        .from_wall_ms = from_ms,
        .expires_wall_ms = until_ms,
    };
    (void)pk_hot_put(call->parts->hot, &fill);
}
