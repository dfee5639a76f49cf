/* traits.c - /v1/people/{person}/traits: what is held to be true, and where each of it comes from.
 *
 * A trait that is hidden from who asks is answered as one that is not there.
 * One that is no longer held is still there as its history. */
/* SPDX-License-Identifier: MIT */
#include "api/known.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/peek.h"
#include "doc/schema_known.h"
#include "persona/trait.h"

#include <math.h>
#include <string.h>

enum { HISTORY_DEFAULT = 20, HISTORY_MAX = 200 };

/* ---- The list ---- */

/* At the prefix, or below it. */
static bool is_below(const char *path, const char *prefix)
{
    const size_t length = prefix ? strlen(prefix) : 0;
    return length == 0 ||
           (strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '.'));
}

/* The path of the last trait of a page in hexadecimal digits, which travel in any query. */
static const char *write_cursor(struct pk_api_call *call, const char *path)
{
    const size_t size = strlen(path);
    char *out = pk_arena_alloc(&call->request->arena, 2 * size + 1);
    pk_hex(out, path, size);
    return out;
}

static bool read_cursor(struct pk_api_call *call, const char **out, struct pk_error *err)
{
    static const char digit[] = "0123456789abcdef";
    const char *cursor = call->cursor;
    const size_t size = cursor ? strlen(cursor) / 2 : 0;
    char *path = pk_arena_alloc(&call->request->arena, size + 1);
    *out = cursor ? path : NULL;
    if (!cursor) {
        return true;
    }
    for (size_t i = 0; i < size; i++) {
        const char *high = strchr(digit, cursor[2 * i]), *low = strchr(digit, cursor[2 * i + 1]);
        path[i] = high && low ? (char)((high - digit) * 16 + (low - digit)) : ' ';
    }
    path[size] = '\0';
    return (strlen(cursor) == 2 * size && pk_trait_path_is_valid(path, size)) ||
           pk_fail_field(err, PK_INVALID, "cursor",
                         "use the cursor as it was handed out, or start without one",
                         "'%.100s' is no cursor of this list", cursor);
}

/* Traits stand in the order of their paths, so a page goes on behind the last one's. */
static bool list(struct pk_api_call *call, struct pk_error *err)
{
    const char *prefix = pk_call_value(call, "prefix");
    struct pk_mindscape_view view;
    const char *last = NULL, *behind = NULL;
    bson_iter_t item;
    bson_t traits, trait;
    size_t count = 0;
    bool is_ok = true, is_more = false;

    if (!read_cursor(call, &behind, err) || !pk_known_view(call, &view, err) ||
        !pk_mindscape_traits(call->parts->domain, call->found, &view, call->deadline_ns, &traits,
                             err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (bool is_there = bson_iter_init(&item, &traits);
         is_ok && !is_more && is_there && bson_iter_next(&item);) {
        const char *path =
            pk_peek_object(&item, &trait) ? pk_peek_text(&trait, "traitName", "") : "";
        if (!is_below(path, prefix) || (behind && strcmp(path, behind) <= 0)) {
            continue;
        }
        if (count == call->limit) {
            is_more = true;
        } else {
            is_ok = pk_call_list_add(call, &trait, err);
            last = path;
            count++;
        }
    }
    if (is_ok) {
        pk_call_list_end(call, is_more ? write_cursor(call, last) : NULL);
    }
    bson_destroy(&traits);
    return is_ok;
}

/* ---- One ---- */

static bool find_held(const struct pk_doc *mindscape, const char *path, bson_t *out)
{
    bson_t view;
    bson_iter_t iter, item;
    pk_doc_view(mindscape, &view);
    if (!bson_iter_init_find(&iter, &view, "traits") || !bson_iter_recurse(&iter, &item)) {
        return false;
    }
    while (bson_iter_next(&item)) {
        if (pk_peek_object(&item, out) && strcmp(pk_peek_text(out, "id", ""), path) == 0) {
            return true;
        }
    }
    return false;
}

static bool find_history(const struct pk_api_call *call, const char *path, size_t limit,
                         const char *cursor, struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = {
        .collection = "trait_history",
        .index = "by_user_path",
        .equal = { PK_TEXT(pk_doc_id(call->found)), PK_INT(pk_doc_int(call->found, "epoch", 0)),
                   PK_TEXT(path) },
        .equal_count = 3,
        .is_reversed = true,
        .limit = limit,
        .cursor = cursor,
    };
    return pk_store_find(call->parts->books->store, &query, call->deadline_ns, out, err);
}

/* '/' is taken for '.', as in traits that are sent. */
static const char *path_of(struct pk_api_call *call)
{
    char *path = pk_arena_strdup(&call->request->arena, pk_call_value(call, "trait"));
    for (char *at = path; *at; at++) {
        *at = (char)(*at == '/' ? '.' : *at);
    }
    return path;
}

static bool find_trait(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    bson_t trait;
    object->path = path_of(call);
    if (!pk_subject_mindscape(call, object, err)) {
        return false;
    }
    if (!call->found) {
        return true; /* Refused, or not there. */
    }
    object->is_missing = !pk_trait_path_is_valid(object->path, strlen(object->path));
    if (object->is_missing || find_held(call->found, object->path, &trait)) {
        return true;
    }
    if (!find_history(call, object->path, 1, NULL, &page, err)) {
        return pk_wrap(err, "read the trait's history");
    }
    object->is_missing = page.count == 0;
    return true;
}

/* ---- Showing one ---- */

/* With when each was observed; one that was forgotten since has only its id. */
static bool add_source(struct pk_api_call *call, const bson_t *source, bson_t *out,
                       struct pk_error *err)
{
    static const char *const shown[] = { "sourceType", "effectiveAt", "createdAt" };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = NULL;
    bson_t view;
    bson_iter_t iter;
    if (!pk_store_get(call->parts->books->store, "observations", pk_peek_text(source, "obsId", ""),
                      call->deadline_ns, &observation, err)) {
        return pk_wrap(err, "read an observation");
    }
    (void)bson_concat(out, source);
    if (observation) {
        pk_doc_view(observation, &view);
        for (size_t i = 0; i < PK_COUNT(shown); i++) {
            if (bson_iter_init_find(&iter, &view, shown[i])) {
                (void)bson_append_iter(out, shown[i], -1, &iter);
            }
        }
    }
    return true;
}

static bool add_sources(struct pk_api_call *call, const bson_iter_t *sources, bson_t *out,
                        struct pk_error *err)
{
    bson_t list_, child, source;
    bson_iter_t item;
    char room[16];
    uint32_t at = 0;
    bool is_ok = true;
    BSON_APPEND_ARRAY_BEGIN(out, "sources", &list_);
    for (bool is_there = bson_iter_recurse(sources, &item);
         is_ok && is_there && bson_iter_next(&item);) {
        if (pk_peek_object(&item, &source)) {
            const char *key = pk_array_key(at++, room);
            BSON_APPEND_DOCUMENT_BEGIN(&list_, key, &child);
            is_ok = add_source(call, &source, &child, err);
            bson_append_document_end(&list_, &child);
        }
    }
    bson_append_array_end(out, &list_);
    return is_ok;
}

static bool add_held(struct pk_api_call *call, const bson_t *trait, int64_t now_ms, bson_t *out,
                     struct pk_error *err)
{
    const struct pk_policies *policies = call->parts->domain->policies;
    const int64_t half_life_ms = pk_trait_half_life(policies, trait);
    const double now = pk_trait_confidence(policies, trait, now_ms);
    bson_iter_t field;
    for (bool is_ok = bson_iter_init(&field, trait); is_ok && bson_iter_next(&field);) {
        const char *key = bson_iter_key(&field);
        if (strcmp(key, "sources") == 0) {
            if (!add_sources(call, &field, out, err)) {
                return false;
            }
        } else if (strcmp(key, "confidence") == 0) {
            BSON_APPEND_DOUBLE(out, "confidence", round(now * 1e6) / 1e6);
            (void)bson_append_iter(out, "storedConfidence", -1, &field);
        } else if (strcmp(key, "id") != 0) {
            (void)bson_append_iter(out, key, -1, &field);
        }
    }
    if (half_life_ms > 0) {
        BSON_APPEND_INT64(out, "halfLifeMs", half_life_ms);
    }
    return true;
}

/* A trait as it was then: its confidence is the stored one. */
static void add_side(const struct pk_doc *row, const char *name, bson_t *out)
{
    bson_t view, trait, child;
    bson_iter_t iter;
    pk_doc_view(row, &view);
    if (bson_iter_init_find(&iter, &view, name) && pk_peek_object(&iter, &trait)) {
        BSON_APPEND_DOCUMENT_BEGIN(out, name, &child);
        pk_trait_show(NULL, &trait, INT64_MIN, &child);
        bson_append_document_end(out, &child);
    }
}

static void add_change(const struct pk_doc *row, bson_t *out)
{
    static const struct {
        const char *stored, *shown;
    } field[] = {
        { "_id", "changeId" },
        { "seq", "seq" },
        { "obsId", "observationId" },
        { "processorId", "processorId" },
        { "processorVersion", "processorVersion" },
        { "effectiveAt", "effectiveAt" },
        { "createdAt", "createdAt" },
    };
    bson_t view;
    bson_iter_t iter;
    pk_doc_view(row, &view);
    for (size_t i = 0; i < PK_COUNT(field); i++) {
        if (bson_iter_init_find(&iter, &view, field[i].stored)) {
            (void)bson_append_iter(out, field[i].shown, -1, &iter);
        }
    }
    add_side(row, "before", out);
    add_side(row, "after", out);
}

static bool add_history(struct pk_api_call *call, bson_t *out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const int64_t limit = pk_call_number(call, "history_limit", HISTORY_DEFAULT);
    bson_t history, items, child;
    char room[16];
    if (!find_history(call, call->object.path, (size_t)limit, pk_call_value(call, "history_cursor"),
                      &page, err)) {
        return pk_wrap(err, "read the trait's history");
    }
    BSON_APPEND_DOCUMENT_BEGIN(out, "history", &history);
    BSON_APPEND_ARRAY_BEGIN(&history, "items", &items);
    for (size_t i = 0; i < page.count; i++) {
        const char *key = pk_array_key(i, room);
        BSON_APPEND_DOCUMENT_BEGIN(&items, key, &child);
        add_change(page.doc[i], &child);
        bson_append_document_end(&items, &child);
    }
    bson_append_array_end(&history, &items);
    if (page.next) {
        BSON_APPEND_UTF8(&history, "next", page.next);
    } else {
        BSON_APPEND_NULL(&history, "next");
    }
    bson_append_document_end(out, &history);
    return true;
}

static int64_t version_of(const struct pk_doc *mindscape, const char *path)
{
    bson_t view, line;
    bson_iter_t iter, item, v;
    pk_doc_view(mindscape, &view);
    if (!bson_iter_init_find(&iter, &view, "versions") || !bson_iter_recurse(&iter, &item)) {
        return -1;
    }
    while (bson_iter_next(&item)) {
        if (pk_peek_object(&item, &line) && strcmp(pk_peek_text(&line, "key", ""), path) == 0 &&
            strcmp(pk_peek_text(&line, "kind", ""), "trait") == 0 &&
            bson_iter_init_find(&v, &line, "v")) {
            return bson_iter_as_int64(&v);
        }
    }
    return -1;
}

static bool fill(struct pk_api_call *call, const struct pk_mindscape_view *view, bson_t *out,
                 struct pk_error *err)
{
    const char *path = call->object.path;
    const int64_t version = version_of(call->found, path);
    bson_t trait;
    const bool is_held = find_held(call->found, path, &trait);
    BSON_APPEND_UTF8(out, "traitName", path);
    BSON_APPEND_BOOL(out, "isHeld", is_held);
    if (version >= 0) {
        BSON_APPEND_INT64(out, "version", version);
    }
    return (!is_held || add_held(call, &trait, view->now_ms, out, err)) &&
           add_history(call, out, err);
}

static bool show_one(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_mindscape_view view;
    bson_t out = BSON_INITIALIZER;
    pk_known_now(call, &view);
    const bool is_ok = fill(call, &view, &out, err) &&
                       pk_call_answer(call, &out, pk_doc_int(call->found, "version", 0), err);
    bson_destroy(&out);
    return is_ok;
}

/* ---- Routes ---- */

static const struct pk_param list_param[] = {
    PK_PARAM_PERSON,
    { .name = "prefix",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 200,
      .fallback = "all",
      .help = "Only this path and those below it." },
    PK_PARAM_MIN_CONFIDENCE,
    { .name = NULL },
};
static const struct pk_param trait_param[] = {
    PK_PARAM_PERSON,
    { .name = "trait",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = 200,
      .help = "The trait's path, as in 'work.focus.peak_hours'." },
    { .name = "history_limit",
      .type = PK_PARAM_INT,
      .min = 1,
      .max = HISTORY_MAX,
      .fallback = "20",
      .help = "At most so many changes." },
    { .name = "history_cursor",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = PK_PARAM_CURSOR_MAX,
      .fallback = "the newest",
      .help = "'history.next' of the page before." },
    { .name = NULL },
};
static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/people/{person}/traits", MINDSCAPE_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_LIST | PK_ROW_AFTER, .param = list_param,
      .subject = pk_subject_mindscape, .run = list, .answer = &pk_schema_trait_view,
      .id = "listTraits", .tag = "mindscapes",
      .help = "Lists the traits of a person, in the order of their paths." },
    { PK_ROW(GET, "/v1/people/{person}/traits/{trait}", TRAIT_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_AFTER, .param = trait_param, .subject = find_trait,
      .run = show_one, .answer = &pk_schema_trait_detail, .id = "getTrait", .tag = "mindscapes",
      .help = "Shows a trait: its value, how sure we are and why, and what it was." },
};
const struct pk_api_table pk_api_traits_table = { row, PK_COUNT(row) };
