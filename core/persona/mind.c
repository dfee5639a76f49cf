/* mind.c - One observation from begin to end, and what has come of it.
 *
 * Each change goes through the journal, so whatever fails is taken back to a
 * mark: an operation that is wrong takes back its processor's others, undo the
 * whole observation. At the end of an observation the journal says which things
 * differ from what they were before it; those, and what was touched elsewhere,
 * get the next version, all the same one. What was put back to what it was has
 * not changed.
 *
 * A mind that is made again (replay) gives no versions on the way: at the end
 * everything that differs from the stored document gets one.
 *
 * Thread: one at a time. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pk_mind *open_mind(const bson_t *stored, const struct pk_policies *policies,
                                 bool is_again)
{
    struct pk_mind *mind = pk_calloc(1, sizeof(*mind));
    mind->policies = policies;
    mind->is_again = is_again;
    mind_read(mind, stored, is_again);
    return mind;
}

struct pk_mind *pk_mind_open(const bson_t *stored, const struct pk_policies *policies)
{
    return open_mind(stored, policies, false);
}

struct pk_mind *pk_mind_open_again(const bson_t *stored, const struct pk_policies *policies)
{
    return open_mind(stored, policies, true);
}

void pk_mind_regroup(struct pk_mind *mind)
{
    mind->is_regrouped = true;
}

void pk_mind_free(struct pk_mind *mind)
{
    if (mind) {
        pk_arena_done(&mind->arena);
        pk_free(mind);
    }
}

void pk_mind_id(char out[PK_UUID_TEXT], const char *obs_id, const char *maker, const char *what,
                size_t index)
{
    struct pk_hasher hasher;
    uint8_t hash[PK_HASH_BYTES];
    char hex[2 * PK_HASH_BYTES + 1];
    char number[32];

    (void)snprintf(number, sizeof(number), "%zu", index);
    const char *const part[] = { obs_id, maker, what, number };
    pk_hasher_init(&hasher);
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        pk_hasher_add(&hasher, part[i], strlen(part[i]) + 1); /* The NUL separates. */
    }
    pk_hasher_end(&hasher, hash);
    hash[6] = (uint8_t)((hash[6] & 0x0F) | 0x40);
    hash[8] = (uint8_t)((hash[8] & 0x3F) | 0x80);
    pk_hex(hex, hash, sizeof(hash));
    (void)snprintf(out, PK_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20);
}

void pk_mind_id_near(char out[PK_UUID_TEXT], const char *obs_id, const char *maker,
                     const char *what, size_t index)
{
    enum { TIME_DIGITS = 13 }; /* With the '-' among them; see pk_uuid_ordered. */
    pk_mind_id(out, obs_id, maker, what, index);
    if (pk_uuid_is_v4(obs_id, strlen(obs_id))) {
        memcpy(out, obs_id, TIME_DIGITS);
    }
}

/* ---- Names of what can be read ---- */

const char *mind_name(struct pk_mind *mind, const char *kind, const char *key)
{
    const size_t first = strlen(kind);
    const size_t second = key ? strlen(key) : 0;
    char *name = pk_arena_alloc(&mind->arena, first + second + 2);
    memcpy(name, kind, first);
    if (second > 0) {
        name[first] = ':';
        memcpy(name + first + 1, key, second);
    }
    return name; /* The arena's memory is zeroed. */
}

const char *mind_readable(struct pk_mind *mind, enum mind_kind kind, const char *key)
{
    switch (kind) {
    case MIND_TRAIT:
        return mind_name(mind, "trait", key);
    case MIND_HOT:
        return mind_name(mind, "hot", key);
    case MIND_GOAL:
        return "goals";
    case MIND_BELIEF:
        return "beliefs";
    case MIND_NARRATIVE:
        return "narrative";
    case MIND_REMOVED:
    case MIND_VERSION:
    case MIND_KINDS:
        break;
    }
    return NULL;
}

void mind_touch_later(struct pk_mind *mind, const char *kind, const char *key)
{
    MIND_ROOM(mind, mind->news, mind->news_count, mind->news_capacity);
    mind->news[mind->news_count++] = mind_name(mind, kind, key);
}

/* 'name' is readable at 'version' from here on. */
static void give_version(struct pk_mind *mind, const char *name, int64_t version)
{
    mind_put_number(mind, MIND_VERSION, name, version);
    MIND_ROOM(mind, mind->touched, mind->touched_count, mind->touched_capacity);
    mind->touched[mind->touched_count++] = name;
}

/* The same of what lies elsewhere. What is so by 'now' and a fact may have one name, so that there
 * are facts at all has a line of its own: without it nobody looks for them. */
static void give_news_version(struct pk_mind *mind, const char *name, int64_t version)
{
    if (strncmp(name, "hot:", 4) == 0 && !mind_find(mind, MIND_VERSION, PK_MIND_FACTS)) {
        mind_put_number(mind, MIND_VERSION, PK_MIND_FACTS, version);
    }
    give_version(mind, name, version);
}

void pk_mind_touch(struct pk_mind *mind, const char *kind, const char *key)
{
    if (mind->is_open) {
        mind_touch_later(mind, kind, key);
        return;
    }
    if (mind->version != mind->touch_version) { /* What is touched together has one version. */
        mind->touch_version = ++mind->version;
    }
    give_news_version(mind, mind_name(mind, kind, key), mind->version);
}

/* ---- One observation ---- */

static struct mind_mark mark_of(const struct pk_mind *mind)
{
    return (struct mind_mark){
        .notes = mind->note_count,
        .changes = mind->change_count,
        .proposals = mind->proposal_count,
        .joined = mind->joined_count,
        .news = mind->news_count,
        .last_updated_ms = mind->last_updated_ms,
    };
}

static void go_back(struct pk_mind *mind, const struct mind_mark *mark)
{
    mind_take_back(mind, mark->notes);
    mind->change_count = mark->changes;
    mind->proposal_count = mark->proposals;
    mind->joined_count = mark->joined;
    mind->news_count = mark->news;
    mind->last_updated_ms = mark->last_updated_ms;
}

int64_t pk_mind_begin(struct pk_mind *mind, const struct pk_evidence *evidence)
{
    assert(!mind->is_open);
    mind->is_open = true;
    mind->start = mark_of(mind);
    mind->evidence = (struct pk_evidence){
        .obs_id = pk_arena_strdup(&mind->arena, evidence->obs_id),
        .source_type = pk_arena_strdup(&mind->arena, evidence->source_type),
        .merged_from =
            evidence->merged_from ? pk_arena_strdup(&mind->arena, evidence->merged_from) : NULL,
        .effective_at_ms = evidence->effective_at_ms,
    };
    mind->before_seq = mind->seq;
    mind->seq = evidence->seq > mind->seq ? evidence->seq : mind->seq + 1;
    mind_drop_expired(mind, evidence->effective_at_ms > mind->last_updated_ms
                                ? evidence->effective_at_ms
                                : mind->last_updated_ms);
    return mind->seq;
}

void pk_mind_undo(struct pk_mind *mind)
{
    assert(mind->is_open);
    go_back(mind, &mind->start);
    mind->seq = mind->before_seq;
    mind->is_open = false;
}

/* ---- A processor's operations ---- */

static mind_verb_fn *const effect_table[MIND_VERBS] = {
    [MIND_SET] = mind_say_trait,           [MIND_REINFORCE] = mind_say_trait,
    [MIND_WEAKEN] = mind_say_trait,        [MIND_CONTRADICT] = mind_say_trait,
    [MIND_RETRACT] = mind_say_trait,       [MIND_PIN] = mind_say_trait,
    [MIND_UNPIN] = mind_say_trait,         [MIND_NARRATIVE_OP] = mind_tell_joined,
    [MIND_GOAL_OP] = mind_tell_goal,       [MIND_BELIEF_OP] = mind_tell_belief,
    [MIND_SUMMARY_OP] = mind_tell_summary, [MIND_REMEMBER] = mind_tell_joined,
    [MIND_LEARN] = mind_tell_joined,       [MIND_NODE] = mind_tell_joined,
    [MIND_EDGE] = mind_tell_joined,        [MIND_NOW] = mind_tell_now,
    [MIND_REMOVE_GOAL] = mind_remove,      [MIND_REMOVE_BELIEF] = mind_remove,
    [MIND_RESTORE] = mind_restore,
};

static bool apply_one(struct pk_mind *mind, const struct pk_ran *ran, const bson_iter_t *item,
                      size_t index, struct pk_error *err)
{
    struct mind_operation operation;
    const uint8_t *data = NULL;
    uint32_t size = 0;
    bson_t doc;

    if (!BSON_ITER_HOLDS_DOCUMENT(item)) {
        return pk_fail(err, PK_INVALID, "operations are objects with 'op'", "it is no object");
    }
    bson_iter_document(item, &size, &data);
    if (!bson_init_static(&doc, data, size)) {
        return pk_fail(err, PK_INVALID, NULL, "it is damaged");
    }
    if (!mind_check(mind, ran, &doc, &operation, err)) {
        return false;
    }
    const bool is_ok = effect_table[operation.verb](mind, ran, &operation, index, err);
    bson_destroy(&operation.value);
    return is_ok;
}

static bool apply_all(struct pk_mind *mind, const struct pk_ran *ran, const bson_t *operations,
                      struct pk_error *err)
{
    bson_iter_t item;
    if (!bson_iter_init(&item, operations)) {
        return pk_fail(err, PK_INVALID, NULL, "the operations are damaged");
    }
    for (size_t i = 0; bson_iter_next(&item); i++) {
        if (!apply_one(mind, ran, &item, i, err)) {
            return pk_wrap(err, "operation %zu", i + 1);
        }
    }
    return true;
}

static struct slice slice_now(const struct pk_mind *mind, enum mind_kind kind, const char *key)
{
    const struct mind_thing *thing = mind_find(mind, kind, key);
    return thing ? thing->doc : (struct slice){ 0 };
}

static int compare_notes(const void *left, const void *right)
{
    const struct mind_note *const *a = left;
    const struct mind_note *const *b = right;
    const int order = (*a)->kind != (*b)->kind ? ((*a)->kind < (*b)->kind ? -1 : 1)
                                               : strcmp((*a)->before.key, (*b)->before.key);
    return order ? order : *a < *b ? -1 : 1; /* The earlier first. */
}

/* The first note of each thing from 'from' on whose document differs now, by kind and key; in the
 * arena. */
static const struct mind_note **differing(struct pk_mind *mind, size_t from, size_t *out_count)
{
    const size_t all = mind->note_count - from;
    const struct mind_note **note = pk_arena_alloc(&mind->arena, (all + 1) * sizeof(*note));
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        note[i] = &mind->note[from + i];
    }
    if (all > 1) {
        qsort(note, all, sizeof(struct mind_note *), compare_notes);
    }
    for (size_t i = 0; i < all; i++) {
        const bool is_first = i == 0 || note[i]->kind != note[i - 1]->kind ||
                              strcmp(note[i]->before.key, note[i - 1]->before.key) != 0;
        const struct slice before = note[i]->was_there ? note[i]->before.doc : (struct slice){ 0 };
        if (is_first && note[i]->kind != MIND_VERSION &&
            !slice_same(before, slice_now(mind, note[i]->kind, note[i]->before.key))) {
            note[count++] = note[i];
        }
    }
    *out_count = count;
    return note;
}

/* Rows of history, in the order in which the processor spoke of the traits. */
static void add_changes(struct pk_mind *mind, const struct pk_ran *ran, size_t from)
{
    const char *processor =
        ran->processor_id ? pk_arena_strdup(&mind->arena, ran->processor_id) : NULL;
    const char *version = ran->processor_id && ran->processor_version
                              ? pk_arena_strdup(&mind->arena, ran->processor_version)
                              : NULL;
    size_t count = 0;
    const struct mind_note **note = differing(mind, from, &count);

    for (size_t i = 0; i < count; i++) {
        if (note[i]->kind != MIND_TRAIT) {
            continue;
        }
        const struct slice before = note[i]->was_there ? note[i]->before.doc : (struct slice){ 0 };
        MIND_ROOM(mind, mind->change, mind->change_count, mind->change_capacity);
        mind->change[mind->change_count++] = (struct pk_trait_change){
            .path = note[i]->before.key,
            .before = mind_view(mind, before),
            .after = mind_view(mind, slice_now(mind, MIND_TRAIT, note[i]->before.key)),
            .seq = mind->seq,
            .obs_id = mind->evidence.obs_id,
            .processor_id = processor,
            .processor_version = version,
            .effective_at_ms = mind->evidence.effective_at_ms,
        };
    }
}

bool pk_mind_apply(struct pk_mind *mind, const struct pk_ran *ran, const bson_t *operations,
                   struct pk_error *err)
{
    assert(mind->is_open);
    const struct mind_mark mark = mark_of(mind);
    if (!apply_all(mind, ran, operations, err)) {
        go_back(mind, &mark);
        return false;
    }
    add_changes(mind, ran, mark.notes);
    return true;
}

/* ---- The end of it ---- */

/* What differs from before the observation, and what was touched elsewhere, gets a version. */
static void give_versions(struct pk_mind *mind, const struct mind_note *const *note, size_t count)
{
    mind->version++;
    for (size_t i = 0; i < count; i++) {
        const char *name = mind_readable(mind, note[i]->kind, note[i]->before.key);
        if (name) {
            give_version(mind, name, mind->version);
        }
    }
    for (size_t i = mind->start.news; i < mind->news_count; i++) {
        give_news_version(mind, mind->news[i], mind->version);
    }
}

void pk_mind_end(struct pk_mind *mind)
{
    size_t count = 0;
    assert(mind->is_open);
    const struct mind_note **note = differing(mind, mind->start.notes, &count);

    mind->is_open = false;
    mind->total++;
    memcpy(mind->last_obs, mind->evidence.obs_id,
           strlen(mind->evidence.obs_id) < PK_UUID_TEXT ? strlen(mind->evidence.obs_id) + 1 : 0);
    if (count == 0 && mind->news_count == mind->start.news) {
        return;
    }
    if (mind->evidence.effective_at_ms > mind->last_updated_ms) {
        mind->last_updated_ms = mind->evidence.effective_at_ms;
    }
    mind_add_rest(mind, note, count);
    if (!mind->is_again) {
        give_versions(mind, note, count);
    }
    /* The journal is for taking back; what has ended stays. */
    mind->note_count = 0;
}

/* ---- What has come of it ---- */

bool pk_mind_has_changed(const struct pk_mind *mind)
{
    return mind->is_again || mind->version != mind->version_first || mind->seq != mind->seq_first;
}

int64_t pk_mind_version(const struct pk_mind *mind)
{
    return mind->version;
}

int64_t pk_mind_seq(const struct pk_mind *mind)
{
    return mind->seq;
}

int64_t pk_mind_epoch(const struct pk_mind *mind)
{
    return mind->epoch;
}

const char *pk_mind_person(const struct pk_mind *mind)
{
    return mind->person;
}

size_t pk_mind_change_count(const struct pk_mind *mind)
{
    return mind->change_count;
}

const struct pk_trait_change *pk_mind_change(const struct pk_mind *mind, size_t i)
{
    assert(i < mind->change_count);
    return &mind->change[i];
}

size_t pk_mind_proposal_count(const struct pk_mind *mind)
{
    return mind->proposal_count;
}

const struct pk_proposal *pk_mind_proposal(const struct pk_mind *mind, size_t i)
{
    assert(i < mind->proposal_count);
    return &mind->proposal[i];
}

size_t pk_mind_joined_count(const struct pk_mind *mind)
{
    return mind->joined_count;
}

const struct pk_joined *pk_mind_joined(const struct pk_mind *mind, size_t i)
{
    assert(i < mind->joined_count);
    return &mind->joined[i];
}

void pk_mind_forget_rows(struct pk_mind *mind)
{
    assert(!mind->is_open);
    mind->change_count = 0;
    mind->proposal_count = 0;
    mind->joined_count = 0;
}

static int compare_texts(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    return strcmp(*a, *b);
}

size_t pk_mind_touched(struct pk_mind *mind, const char *const **out)
{
    size_t kept = 0;
    if (mind->touched_count > 1) {
        qsort(mind->touched, mind->touched_count, sizeof(char *), compare_texts);
    }
    for (size_t i = 0; i < mind->touched_count; i++) {
        if (kept == 0 || strcmp(mind->touched[kept - 1], mind->touched[i]) != 0) {
            mind->touched[kept++] = mind->touched[i];
        }
    }
    mind->touched_count = kept;
    *out = (const char *const *)mind->touched;
    return kept;
}

/* ---- Made again ---- */

/* What 'kind' differs in, from 'before' to 'mind', gets the version. */
static void settle_kind(struct pk_mind *mind, const struct pk_mind *before, enum mind_kind kind)
{
    const struct mind_table *a = &before->table[kind];
    const struct mind_table *b = &mind->table[kind];
    for (size_t i = 0, k = 0; i < a->count || k < b->count;) {
        const int order = i >= a->count   ? 1
                          : k >= b->count ? -1
                                          : strcmp(a->thing[i].key, b->thing[k].key);
        if (order != 0 || !slice_same(a->thing[i].doc, b->thing[k].doc)) {
            const char *key = order < 0 ? a->thing[i].key : b->thing[k].key;
            give_version(mind, mind_readable(mind, kind, key), mind->version);
        }
        i += order <= 0;
        k += order >= 0;
    }
}

void pk_mind_settle(struct pk_mind *mind)
{
    static const enum mind_kind kind[] = { MIND_TRAIT, MIND_GOAL, MIND_BELIEF, MIND_HOT,
                                           MIND_NARRATIVE };
    bson_t stored;
    assert(mind->is_again && !mind->is_open);
    if (!slice_view(mind->stored, &stored)) {
        return;
    }
    struct pk_mind *before = pk_mind_open(&stored, mind->policies);
    if (!mind->is_regrouped && before->seq > mind->seq) {
        mind->seq = before->seq; /* No place is given twice. */
    }
    mind->version = mind->version_first + 1;
    for (size_t i = 0; i < PK_COUNT(kind); i++) {
        settle_kind(mind, before, kind[i]);
    }
    for (size_t i = 0; i < mind->news_count; i++) {
        give_news_version(mind, mind->news[i], mind->version);
    }
    pk_mind_free(before);
}
