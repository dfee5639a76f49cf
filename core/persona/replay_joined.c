/* replay_joined.c - Other collections are brought to what the observations make of them.
 *
 * What was made is compared with what is stored, field by field of what was
 * made: what others have added (an embedding, a count of accesses) does not
 * count as a difference. What is stored and was not made goes, if it came from
 * observations: it names them, or, for narratives, nobody wrote it. A link goes
 * with its narrative. Proposals that did not come up again go while they wait.
 *
 * Thread: the task's. */
/* SPDX-License-Identifier: MIT */
#include "persona/replay_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"

#include <string.h>

/* ---- One difference ---- */

/* What has changed in a collection is touched, so that what was read from it is stale. */
static void touch(struct replay *replay, const char *collection, const char *id)
{
    static const struct {
        const char *collection, *kind;
    } kind[] = { { "narratives", "narratives" },
                 { "trait_links", "narratives" },
                 { "vectors", "warm" },
                 { "graph_nodes", "graph" },
                 { "graph_edges", "graph" } };
    if (strcmp(collection, "knowledge") == 0) {
        pk_mind_touch(replay->mind, "hot", strchr(id, ':') + 1);
        return;
    }
    for (size_t i = 0; i < PK_COUNT(kind); i++) {
        if (strcmp(kind[i].collection, collection) == 0) {
            pk_mind_touch(replay->mind, kind[i].kind, NULL);
        }
    }
}

/* Written, or noted; 'before' and 'after' NULL: there is none. */
static bool settle(struct replay *replay, const char *collection, const char *id,
                   const struct pk_doc *before, const bson_t *after, struct pk_error *err)
{
    bson_t view;
    if (!replay->task) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", collection, id);
        if (before) {
            pk_doc_view(before, &view);
        }
        replay_note_docs(replay, path, before ? &view : NULL, after);
        return true;
    }
    touch(replay, collection, id);
    if (!after) {
        pk_writes_delete(&replay->step, collection, id, pk_doc_version(before));
    } else {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_new(after);
        if (before) {
            pk_writes_replace(&replay->step, collection, doc, pk_doc_version(before));
        } else {
            pk_writes_insert(&replay->step, collection, doc);
        }
    }
    return replay_step(replay, false, err);
}

/* ---- What is stored and was not made ---- */

static bool has_expired(const struct replay *replay, const bson_t *made)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, made, "expiresAt") && BSON_ITER_HOLDS_DATE_TIME(&iter) &&
           bson_iter_date_time(&iter) <= pk_clock_wall_ms(replay->domain->books->clock);
}

/* What would have expired by now is not made: what is stored may be another thing. */
static bool is_made(const struct replay *replay, const char *collection, const char *id)
{
    bson_t view;
    for (size_t i = 0; i < pk_joins_count(replay->joins); i++) {
        const struct pk_joins_doc *made = pk_joins_at(replay->joins, i);
        if (strcmp(made->id, id) == 0 && strcmp(made->collection, collection) == 0) {
            if (made->doc) {
                pk_doc_view(made->doc, &view);
            }
            return !made->doc || !has_expired(replay, &view);
        }
    }
    return false;
}

static bool is_derived(const struct pk_doc *doc, const char *path)
{
    bson_t view;
    bson_iter_t iter, first;
    pk_doc_view(doc, &view);
    return pk_path_find(&view, path, &iter) && BSON_ITER_HOLDS_ARRAY(&iter) &&
           bson_iter_recurse(&iter, &first) && bson_iter_next(&first);
}

static bool drop(struct replay *replay, const char *collection, const struct pk_doc *doc,
                 struct pk_error *err)
{
    return settle(replay, collection, pk_doc_id(doc), doc, NULL, err);
}

/* One of a collection whose documents name their observations at 'path'. */
static bool drop_derived(struct replay *replay, const char *collection, const char *path,
                         const struct pk_doc *doc, struct pk_error *err)
{
    return is_made(replay, collection, pk_doc_id(doc)) || !is_derived(doc, path) ||
           drop(replay, collection, doc, err);
}

static bool look_knowledge(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    return drop_derived(replay, "knowledge", "derivedFrom", doc, err);
}

static bool look_vector(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    return pk_doc_text(doc, "traitId") ||
           drop_derived(replay, "vectors", "metadata.derivedFrom", doc, err);
}

static bool look_node(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    return drop_derived(replay, "graph_nodes", "properties.derivedFrom", doc, err);
}

static bool look_edge(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    return drop_derived(replay, "graph_edges", "properties.derivedFrom", doc, err);
}

static bool look_narrative(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    return is_made(replay, "narratives", pk_doc_id(doc)) || pk_doc_text(doc, "createdBy") ||
           drop(replay, "narratives", doc, err);
}

/* Of a narrative that has gone; those of narratives that people wrote stay. */
static bool look_link(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *narrative = NULL;
    const char *id = pk_doc_text(doc, "narrativeId");
    if (is_made(replay, "trait_links", pk_doc_id(doc)) || is_made(replay, "narratives", id)) {
        return true;
    }
    return pk_store_get(replay->domain->books->store, "narratives", id ? id : "",
                        replay->deadline_ns, &narrative, err) &&
           ((narrative && pk_doc_text(narrative, "createdBy")) ||
            drop(replay, "trait_links", doc, err));
}

static bool look_review(struct replay *replay, struct pk_doc *doc, struct pk_error *err)
{
    const char *status = pk_doc_text(doc, "status");
    if (!status || strcmp(status, "pending") != 0) {
        return true;
    }
    for (size_t i = 0; i < replay->proposal_count; i++) {
        if (strcmp(replay->proposal[i], pk_doc_id(doc)) == 0) {
            return true;
        }
    }
    return drop(replay, "reviews", doc, err);
}

static const struct {
    const char *collection, *index;
    replay_each_fn *look;
} look_table[] = {
    { "knowledge", "by_user_key", look_knowledge },
    { "trait_links", "by_user_trait", look_link }, /* Before narratives. */
    { "narratives", "by_user", look_narrative },
    { "vectors", "by_user_type", look_vector },
    { "graph_edges", "by_user_source", look_edge },
    { "graph_nodes", "by_user_label", look_node },
    { "reviews", "by_user_status", look_review },
};

/* ---- What was made ---- */

/* Numbers that count changes say nothing of what is known. */
static bool is_counter(const char *key)
{
    return strcmp(key, "version") == 0 || strcmp(key, "accessCount") == 0;
}

static bool is_same_value(const bson_iter_t *a, const bson_iter_t *b)
{
    const size_t size_a = a->next_off - a->d1, size_b = b->next_off - b->d1;
    return bson_iter_type(a) == bson_iter_type(b) && size_a == size_b &&
           memcmp(a->raw + a->d1, b->raw + b->d1, size_a) == 0;
}

/* Every field of what was made is there, with that value. */
static bool is_in(const bson_t *made, const struct pk_doc *stored)
{
    bson_t view;
    bson_iter_t iter, other;
    pk_doc_view(stored, &view);
    if (!bson_iter_init(&iter, made)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        if (!is_counter(bson_iter_key(&iter)) &&
            (!bson_iter_init_find(&other, &view, bson_iter_key(&iter)) ||
             !is_same_value(&iter, &other))) {
            return false;
        }
    }
    /* What expires no longer is another thing, too. */
    return bson_iter_init_find(&iter, &view, "expiresAt") ==
           bson_iter_init_find(&other, made, "expiresAt");
}

static bool put_made(struct replay *replay, const struct pk_joins_doc *made, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    bson_t view;
    pk_doc_view(made->doc, &view);
    if (has_expired(replay, &view)) {
        return true;
    }
    if (!pk_store_get(replay->domain->books->store, made->collection, made->id, replay->deadline_ns,
                      &stored, err)) {
        return pk_wrap(err, "read from '%s'", made->collection);
    }
    if (stored && is_in(&view, stored)) {
        return true;
    }
    return settle(replay, made->collection, made->id, stored, &view, err);
}

bool replay_joined(struct replay *replay, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(look_table); i++) {
        const struct pk_query query = { .collection = look_table[i].collection,
                                        .index = look_table[i].index,
                                        .equal = { PK_TEXT(replay->person) },
                                        .equal_count = 1,
                                        .limit = 200 };
        if (!replay_each(replay, &query, look_table[i].look, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < pk_joins_count(replay->joins); i++) {
        if (pk_joins_at(replay->joins, i)->doc &&
            !put_made(replay, pk_joins_at(replay->joins, i), err)) {
            return false;
        }
    }
    return replay_step(replay, true, err);
}
