/* call.c - What handlers call: parameters, answers, pages. */
/* SPDX-License-Identifier: MIT */
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "doc/names.h"
#include "doc/path.h"
#include "persona/sight.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Parameters ---- */

static size_t index_of(const struct pk_api_call *call, const char *name)
{
    size_t i = 0;
    while (call->row->param[i].name && strcmp(call->row->param[i].name, name) != 0) {
        i++;
    }
    assert(call->row->param[i].name);
    return i;
}

const char *pk_call_value(const struct pk_api_call *call, const char *name)
{
    return call->value[index_of(call, name)];
}

int64_t pk_call_number(const struct pk_api_call *call, const char *name, int64_t fallback)
{
    const size_t i = index_of(call, name);
    return call->value[i] ? call->number[i] : fallback;
}

const char *pk_call_text(const struct pk_api_call *call, const char *path)
{
    bson_iter_t iter;
    return call->body && pk_path_find(call->body, path, &iter) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

bool pk_call_is(const struct pk_api_call *call, const char *path)
{
    bson_iter_t iter;
    return call->body && pk_path_find(call->body, path, &iter) && BSON_ITER_HOLDS_BOOL(&iter) &&
           bson_iter_bool(&iter);
}

/* ---- One document ---- */

bool pk_call_answer(struct pk_api_call *call, const bson_t *doc, int64_t version,
                    struct pk_error *err)
{
    struct pk_answer *answer = call->answer;
    pk_buf_clear(&answer->body);
    if (!pk_json_write(&answer->body, doc, PK_JSON_COMPACT, err)) {
        return pk_wrap(err, "write the answer");
    }
    pk_buf_add_char(&answer->body, '\n');
    pk_answer_json(answer, answer->status);
    answer->etag =
        version ? pk_arena_printf(&call->request->arena, "\"%lld\"", (long long)version) : NULL;
    return true;
}

bool pk_call_spell(const struct pk_api_call *call, const char *collection, const bson_t *stored,
                   bson_t *out, struct pk_error *err)
{
    bson_t seen;
    pk_sight_show(call->who, stored, &seen);
    const bool ok =
        pk_names_translate(collection, PK_SPELLING_STORED, PK_SPELLING_HTTP, &seen, out, err);
    bson_destroy(&seen);
    return ok || pk_wrap(err, "spell the answer");
}

static bool respell(const struct pk_api_call *call, const char *collection,
                    const struct pk_doc *doc, bson_t *out, struct pk_error *err)
{
    bson_t view;
    pk_doc_view(doc, &view);
    return pk_call_spell(call, collection, &view, out, err);
}

bool pk_call_answer_doc(struct pk_api_call *call, const char *collection, const struct pk_doc *doc,
                        struct pk_error *err)
{
    bson_t shown;
    if (!respell(call, collection, doc, &shown, err)) {
        return false;
    }
    const bool ok = pk_call_answer(call, &shown, pk_doc_version(doc), err);
    bson_destroy(&shown);
    return ok;
}

bool pk_call_show(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    if (!call->is_shown) {
        call->is_shown = call->row->show(call, doc, err);
    }
    return call->is_shown;
}

void pk_call_answer_nothing(struct pk_api_call *call)
{
    pk_buf_clear(&call->answer->body);
    call->answer->status = 204;
    call->answer->content_type = NULL;
}

/* ---- Headers ---- */

bool pk_call_made(struct pk_api_call *call, struct pk_error *err, const char *format, ...)
{
    static const char name[] = "Location";
    struct pk_answer *answer = call->answer;
    char place[512];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(place, sizeof(place), format, args);
    va_end(args);
    assert(size > 0 && (size_t)size < sizeof(place));
    for (size_t i = 0; i < answer->header_count; i++) { /* Of a decision that is repeated. */
        if (strcmp(answer->header[i].name, name) == 0) {
            answer->header[i].value = pk_arena_strdup(&call->request->arena, place);
            return true;
        }
    }
    return pk_answer_header(call->request, answer, name, place, err);
}

void pk_call_wrote(struct pk_api_call *call, const char *cursor)
{
    call->wrote = pk_arena_strdup(&call->request->arena, cursor);
}

/* ---- Pages ---- */

void pk_call_list_begin(struct pk_api_call *call)
{
    pk_buf_clear(&call->answer->body);
    pk_buf_add_text(&call->answer->body, "{\"items\":[");
}

bool pk_call_list_add(struct pk_api_call *call, const bson_t *item, struct pk_error *err)
{
    struct pk_buf *body = &call->answer->body;
    if (body->data[body->size - 1] != '[') {
        pk_buf_add_char(body, ',');
    }
    return pk_json_write(body, item, PK_JSON_COMPACT, err) || pk_wrap(err, "write the answer");
}

bool pk_call_list_add_doc(struct pk_api_call *call, const char *collection,
                          const struct pk_doc *doc, struct pk_error *err)
{
    bson_t shown;
    if (!respell(call, collection, doc, &shown, err)) {
        return false;
    }
    const bool ok = pk_call_list_add(call, &shown, err);
    bson_destroy(&shown);
    return ok;
}

void pk_call_list_end(struct pk_api_call *call, const char *next)
{
    struct pk_buf *body = &call->answer->body;
    pk_buf_add_text(body, "],\"next\":");
    if (next) {
        pk_json_add_string(body, next, strlen(next));
    } else {
        pk_buf_add_text(body, "null");
    }
    pk_buf_add_text(body, "}\n");
    pk_answer_json(call->answer, call->answer->status);
}
