/* mind_rest.c - What is beside traits, in history; and history taken back.
 *
 * A change of a trait is a row of its own. Goals, beliefs, the summary and what
 * is true just now are small and change together, so all that an observation
 * has made of them is one row, whose path is "*":
 *
 *     before, after: { goals: { ID: document }, beliefs: { ID: document },
 *                      now: { KEY: { v, since, until } }, narrative: { summary: document } }
 *
 * 'before' has what was there, 'after' what is; a key that is missing on one
 * side was not there. Rows taken back from the newest on leave what there was
 * before each of them.
 *
 * What operations have made in other collections lies in 'after' as well
 * (joined.h); it is read from the rows alone, so nothing is taken back. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include <string.h>

/* By kind; NULL: not of the rest. */
static const char *const rest_name[MIND_KINDS] = {
    [MIND_GOAL] = "goals",
    [MIND_BELIEF] = "beliefs",
    [MIND_HOT] = "now",
    [MIND_NARRATIVE] = "narrative",
};

static const char *rest_key(enum mind_kind kind, const char *key)
{
    return kind == MIND_NARRATIVE ? "summary" : key;
}

/* ---- From a change to its row ---- */

static struct slice side_of(const struct pk_mind *mind, const struct mind_note *note, bool is_after)
{
    if (!is_after) {
        return note->was_there ? note->before.doc : (struct slice){ 0 };
    }
    const struct mind_thing *thing = mind_find(mind, note->kind, note->before.key);
    return thing ? thing->doc : (struct slice){ 0 };
}

/* Those of one kind that stand together, from '*at' on. */
static void append_kind(const struct pk_mind *mind, const struct mind_note *const *note,
                        size_t count, size_t *at, bool is_after, bson_t *out)
{
    const enum mind_kind kind = note[*at]->kind;
    bson_t things, view;
    BSON_APPEND_DOCUMENT_BEGIN(out, rest_name[kind], &things);
    for (; *at < count && note[*at]->kind == kind; (*at)++) {
        if (slice_view(side_of(mind, note[*at], is_after), &view)) {
            BSON_APPEND_DOCUMENT(&things, rest_key(kind, note[*at]->before.key), &view);
        }
    }
    bson_append_document_end(out, &things);
}

static const bson_t *make_side(struct pk_mind *mind, const struct mind_note *const *note,
                               size_t count, bool is_after)
{
    bson_t side = BSON_INITIALIZER;
    for (size_t i = 0; i < count;) {
        if (rest_name[note[i]->kind]) {
            append_kind(mind, note, count, &i, is_after, &side);
        } else {
            i++;
        }
    }
    const bson_t *kept = mind_view(mind, mind_keep(mind, &side));
    bson_destroy(&side);
    return kept;
}

void mind_add_rest(struct pk_mind *mind, const struct mind_note *const *note, size_t count)
{
    bool has_rest = false;
    for (size_t i = 0; i < count && !has_rest; i++) {
        has_rest = rest_name[note[i]->kind] != NULL;
    }
    if (!has_rest) {
        return;
    }
    MIND_ROOM(mind, mind->change, mind->change_count, mind->change_capacity);
    mind->change[mind->change_count++] = (struct pk_trait_change){
        .path = PK_MIND_REST,
        .before = make_side(mind, note, count, false),
        .after = make_side(mind, note, count, true),
        .seq = mind->seq,
        .obs_id = mind->evidence.obs_id,
        .effective_at_ms = mind->evidence.effective_at_ms,
    };
}

/* The row of the observation's rest; none when it has changed nothing of that. */
static struct pk_trait_change *find_rest(struct pk_mind *mind, int64_t seq)
{
    for (size_t i = mind->change_count; i-- > 0 && mind->change[i].seq >= seq;) {
        if (mind->change[i].seq == seq && strcmp(mind->change[i].path, PK_MIND_REST) == 0) {
            return &mind->change[i];
        }
    }
    return NULL;
}

void pk_mind_add_joined(struct pk_mind *mind, const struct pk_joined *joined, const bson_t *made)
{
    struct pk_trait_change *rest = find_rest(mind, joined->seq);
    bson_t after = BSON_INITIALIZER;
    if (!rest) {
        MIND_ROOM(mind, mind->change, mind->change_count, mind->change_capacity);
        rest = &mind->change[mind->change_count++];
        *rest = (struct pk_trait_change){ .path = PK_MIND_REST,
                                          .seq = joined->seq,
                                          .obs_id = joined->obs_id,
                                          .effective_at_ms = joined->effective_at_ms };
    }
    if (rest->after) {
        (void)bson_concat(&after, rest->after);
    }
    (void)bson_concat(&after, made);
    rest->after = mind_view(mind, mind_keep(mind, &after));
    bson_destroy(&after);
}

/* ---- From a row back ---- */

static bool object_in(const bson_t *doc, const char *name, bson_t *out)
{
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    if (!bson_iter_init_find(&iter, doc, name) || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

/* What one side of the row has of this kind: put there, or taken away. */
static void put_side(struct pk_mind *mind, enum mind_kind kind, const bson_t *side, bool is_there)
{
    bson_t things, thing;
    bson_iter_t iter;
    if (!object_in(side, rest_name[kind], &things)) {
        return;
    }
    for (bool is_ok = bson_iter_init(&iter, &things); is_ok && bson_iter_next(&iter);) {
        const char *key = kind == MIND_NARRATIVE ? "" : bson_iter_key(&iter);
        if (object_in(&things, bson_iter_key(&iter), &thing)) {
            mind_put(mind, kind, key, is_there ? &thing : NULL);
        }
    }
}

static void take_back_rest(struct pk_mind *mind, const bson_t *row)
{
    bson_t side;
    for (int kind = 0; kind < MIND_KINDS; kind++) {
        if (rest_name[kind] && object_in(row, "after", &side)) {
            put_side(mind, (enum mind_kind)kind, &side, false);
        }
        if (rest_name[kind] && object_in(row, "before", &side)) {
            put_side(mind, (enum mind_kind)kind, &side, true);
        }
    }
}

void pk_mind_take_back(struct pk_mind *mind, const bson_t *row)
{
    bson_iter_t path, seq;
    bson_t before;
    if (!bson_iter_init_find(&path, row, "path") || !BSON_ITER_HOLDS_UTF8(&path)) {
        return;
    }
    const char *name = bson_iter_utf8(&path, NULL);
    if (strcmp(name, PK_MIND_REST) == 0) {
        take_back_rest(mind, row);
    } else {
        mind_put(mind, MIND_TRAIT, name, object_in(row, "before", &before) ? &before : NULL);
    }
    if (bson_iter_init_find(&seq, row, "seq")) {
        mind->seq = bson_iter_as_int64(&seq) - 1;
    }
}

void pk_mind_set_updated(struct pk_mind *mind, int64_t at_ms)
{
    mind->last_updated_ms = at_ms > mind->created_ms ? at_ms : mind->created_ms;
}
