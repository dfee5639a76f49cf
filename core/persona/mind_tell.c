/* mind_tell.c - Goals, beliefs, the summary, what is true just now; and other collections.
 *
 * A goal or belief is its words: said again, in whatever case and spacing, it
 * is the same one, surer. Its id is made of them, so the order in which
 * observations come makes none other. What a person wrote, processors leave as
 * it is; what a person removed, they do not bring back.
 *
 * What is true just now has an instant at which it goes, and one at which it
 * was said, so that what is older never takes the place of what is newer. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/json.h"
#include "doc/peek.h"

#include <string.h>

enum { LINE_BYTES = 2000, PAGE_BYTES = 64 * 1024, WORD_BYTES = 200, THEMES_MAX = 200 };

/* ---- Removals ---- */

static int64_t date_of(const bson_t *doc, const char *name, int64_t fallback_ms)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_DATE_TIME(&iter)
               ? bson_iter_date_time(&iter)
               : fallback_ms;
}

static bool flag_of(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && bson_iter_as_bool(&iter);
}

bool mind_is_removed(const struct pk_mind *mind, const char *kind, const char *key,
                     struct mind_removal *out)
{
    char name[512];
    bson_t view;
    const int length = snprintf(name, sizeof(name), "%s:%s", kind, key);
    const struct mind_thing *thing =
        length > 0 && (size_t)length < sizeof(name) ? mind_find(mind, MIND_REMOVED, name) : NULL;
    if (!thing || !slice_view(thing->doc, &view)) {
        return false;
    }
    *out = (struct mind_removal){
        .is_by_person = flag_of(&view, "byPerson"),
        .at_ms = date_of(&view, "at", 0),
    };
    return true;
}

static void forget_oldest_removal(struct pk_mind *mind)
{
    const struct mind_table *table = &mind->table[MIND_REMOVED];
    const char *oldest = NULL;
    int64_t oldest_ms = INT64_MAX;
    bson_t view;
    for (size_t i = 0; i < table->count; i++) {
        const int64_t at_ms = slice_view(table->thing[i].doc, &view) ? date_of(&view, "at", 0) : 0;
        if (!oldest || at_ms < oldest_ms) {
            oldest = table->thing[i].key;
            oldest_ms = at_ms;
        }
    }
    if (oldest) {
        mind_put(mind, MIND_REMOVED, oldest, NULL);
    }
}

void mind_remember_removal(struct pk_mind *mind, const char *kind, const char *key,
                           bool is_by_person)
{
    bson_t doc = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, "kind", kind);
    BSON_APPEND_UTF8(&doc, "key", key);
    BSON_APPEND_DATE_TIME(&doc, "at", mind->evidence.effective_at_ms);
    BSON_APPEND_BOOL(&doc, "byPerson", is_by_person);
    mind_put(mind, MIND_REMOVED, mind_name(mind, kind, key), &doc);
    bson_destroy(&doc);
    if (mind->table[MIND_REMOVED].count > MIND_REMOVED_MAX) {
        forget_oldest_removal(mind);
    }
}

void mind_forget_removal(struct pk_mind *mind, const char *kind, const char *key)
{
    mind_put(mind, MIND_REMOVED, mind_name(mind, kind, key), NULL);
}

/* ---- Goals and beliefs ---- */

/* What goals and beliefs have in common, and how each calls it. */
static const struct held_sort {
    enum mind_kind kind;
    const char *name; /* Of removals. */
    const char *id, *words;
    const char *volatility; /* Unless said. */
} sort_goal = { MIND_GOAL, "goal", "goalId", "description", "high" },
  sort_belief = { MIND_BELIEF, "belief", "beliefId", "statement", "low" };

/* Lower case, single spaces, no full stop: what makes two texts the same words. */
static const char *fold_words(struct pk_mind *mind, const char *text)
{
    char *folded = pk_arena_strdup(&mind->arena, text);
    size_t length = 0;
    bool is_gap = false;
    for (const char *at = text; *at; at++) {
        const bool is_space = *at == ' ' || (*at >= '\t' && *at <= '\r');
        if (!is_space) {
            if (is_gap && length > 0) {
                folded[length++] = ' ';
            }
            folded[length++] = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
        }
        is_gap = is_space;
    }
    while (length > 0 && folded[length - 1] == '.') {
        length--;
    }
    folded[length] = '\0';
    return folded;
}

/* The one there is, or what a new one starts from. */
struct held {
    const char *words, *timeframe, *priority, *category, *volatility;
    double strength, confidence;
    int64_t created_ms, updated_ms;
    bool is_curated, is_new;
    bson_t view; /* The one there is; for its sources. */
};

static double number_in(const bson_t *doc, const char *name, double fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) ? bson_iter_as_double(&iter) : fallback;
}

static void read_held(const struct pk_mind *mind, const struct held_sort *sort,
                      const struct mind_thing *thing, const char *words, struct held *out)
{
    const int64_t at_ms = mind->evidence.effective_at_ms;
    *out = (struct held){
        .words = words,
        .timeframe = "medium_term",
        .priority = "medium",
        .category = "general",
        .volatility = sort->volatility,
        .strength = 0.5,
        .created_ms = at_ms,
        .updated_ms = at_ms,
        .is_new = true,
    };
    if (thing && slice_view(thing->doc, &out->view)) {
        const bson_t *doc = &out->view;
        out->is_new = false;
        out->words = pk_peek_text(doc, sort->words, words);
        out->timeframe = pk_peek_text(doc, "timeframe", out->timeframe);
        out->priority = pk_peek_text(doc, "priority", out->priority);
        out->category = pk_peek_text(doc, "category", out->category);
        out->volatility = pk_peek_text(doc, "volatility", out->volatility);
        out->strength = number_in(doc, "strength", out->strength);
        out->confidence = number_in(doc, "confidence", 0);
        out->created_ms = date_of(doc, "createdAt", at_ms);
        out->updated_ms = date_of(doc, "updatedAt", at_ms);
        out->is_curated = flag_of(doc, "curated");
    }
}

static double surer(const struct held *held, double said, bool is_person)
{
    static const double usual = 0.6; /* Of a goal or belief, unless said. */
    if (is_person) {
        return said >= 0 ? said : 1;
    }
    const double sure = said >= 0 ? said : usual;
    return held->is_new ? sure : pk_agree(held->confidence, sure / 2, PK_TRAIT_SURE);
}

static void say_details(struct pk_mind *mind, const struct mind_operation *operation,
                        struct held *held)
{
    const char *timeframe = mind_text(operation, "timeframe");
    const char *priority = mind_text(operation, "priority");
    const char *category = mind_text(operation, "category");
    const char *volatility = mind_text(operation, "volatility");
    const double strength = mind_unit(operation, "strength", -1);
    held->timeframe = timeframe ? timeframe : held->timeframe;
    held->priority = priority ? priority : held->priority;
    held->category = category ? mind_cut(mind, category, WORD_BYTES) : held->category;
    held->volatility = volatility ? volatility : held->volatility;
    if (strength >= 0) {
        held->strength = held->is_new ? strength : pk_agree((held->strength + strength) / 2, 0, 1);
    }
}

static bool has_text(const bson_t *list, const char *text)
{
    bson_iter_t item;
    bool is_there = false;
    for (bool is_ok = bson_iter_init(&item, list); is_ok && bson_iter_next(&item);) {
        is_there = is_there || strcmp(bson_iter_utf8(&item, NULL), text) == 0;
    }
    return is_there;
}

static void add_text(bson_t *list, uint32_t at, const char *text)
{
    char room[16];
    const char *key = NULL;
    (void)bson_uint32_to_string(at, &key, room, sizeof(room));
    BSON_APPEND_UTF8(list, key, text);
}

/* The observations it rests on, in the order in which they came; the oldest go. */
static void write_derived(bson_t *out, const struct held *held,
                          const struct mind_operation *operation)
{
    bson_iter_t list, item;
    bson_t all = BSON_INITIALIZER;
    bson_t kept = BSON_INITIALIZER;
    uint32_t count = 0, at = 0;

    if (!held->is_new && bson_iter_init_find(&list, &held->view, "derivedFrom") &&
        BSON_ITER_HOLDS_ARRAY(&list) && bson_iter_recurse(&list, &item)) {
        while (bson_iter_next(&item)) {
            if (BSON_ITER_HOLDS_UTF8(&item)) {
                add_text(&all, count++, bson_iter_utf8(&item, NULL));
            }
        }
    }
    for (size_t i = 0; i < operation->obs_count; i++) {
        if (!has_text(&all, operation->obs[i])) {
            add_text(&all, count++, operation->obs[i]);
        }
    }
    bool is_ok = bson_iter_init(&item, &all);
    for (uint32_t i = 0; is_ok && bson_iter_next(&item); i++) {
        if (count - i <= MIND_DERIVED_MAX) {
            add_text(&kept, at++, bson_iter_utf8(&item, NULL));
        }
    }
    BSON_APPEND_ARRAY(out, "derivedFrom", &kept);
    bson_destroy(&all);
    bson_destroy(&kept);
}

static void write_held(struct pk_mind *mind, const struct held_sort *sort, const char *id,
                       const struct held *held, const struct mind_operation *operation)
{
    bson_t doc = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, sort->id, id);
    BSON_APPEND_UTF8(&doc, sort->words, held->words);
    if (sort->kind == MIND_GOAL) {
        BSON_APPEND_UTF8(&doc, "timeframe", held->timeframe);
        BSON_APPEND_UTF8(&doc, "priority", held->priority);
    } else {
        BSON_APPEND_UTF8(&doc, "category", held->category);
        BSON_APPEND_DOUBLE(&doc, "strength", held->strength);
    }
    BSON_APPEND_UTF8(&doc, "volatility", held->volatility);
    write_derived(&doc, held, operation);
    BSON_APPEND_DOUBLE(&doc, "confidence", held->confidence);
    BSON_APPEND_DATE_TIME(&doc, "createdAt", held->created_ms);
    BSON_APPEND_DATE_TIME(&doc, "updatedAt", held->updated_ms);
    if (held->is_curated) {
        BSON_APPEND_BOOL(&doc, "curated", true);
    }
    mind_put(mind, sort->kind, id, &doc);
    bson_destroy(&doc);
}

/* Of too many the least sure goes; of equal ones the oldest. */
static void drop_weakest(struct pk_mind *mind, enum mind_kind kind)
{
    const struct mind_table *table = &mind->table[kind];
    const char *weakest = NULL;
    double least = 2;
    int64_t oldest_ms = INT64_MAX;
    bson_t view;
    for (size_t i = 0; i < table->count; i++) {
        if (!slice_view(table->thing[i].doc, &view)) {
            continue;
        }
        const double confidence = number_in(&view, "confidence", 0);
        const int64_t updated_ms = date_of(&view, "updatedAt", 0);
        if (confidence < least || (confidence <= least && updated_ms < oldest_ms)) {
            weakest = table->thing[i].key;
            least = confidence;
            oldest_ms = updated_ms;
        }
    }
    if (table->count > MIND_FEW_MAX && weakest) {
        mind_put(mind, kind, weakest, NULL);
    }
}

static bool tell_held(struct pk_mind *mind, const struct pk_ran *ran,
                      const struct mind_operation *operation, const struct held_sort *sort)
{
    const bool is_person = ran->processor_id == NULL;
    const int64_t at_ms = mind->evidence.effective_at_ms;
    const char *words = mind_cut(mind, operation->word, LINE_BYTES);
    struct mind_removal removal = { 0 };
    char id[PK_UUID_TEXT];
    struct held held;

    pk_mind_id(id, mind->person, sort->name, fold_words(mind, words), 0);
    if (mind_is_removed(mind, sort->name, id, &removal)) {
        if (!is_person && (removal.is_by_person || at_ms <= removal.at_ms)) {
            return true;
        }
        mind_forget_removal(mind, sort->name, id);
    }
    read_held(mind, sort, mind_find(mind, sort->kind, id), words, &held);
    const bool is_late = !is_person && at_ms < held.updated_ms;
    held.confidence = surer(&held, mind_unit(operation, "confidence", -1), is_person);
    if (!is_late && (is_person || !held.is_curated)) {
        say_details(mind, operation, &held);
    }
    held.is_curated = held.is_curated || is_person;
    held.created_ms = at_ms < held.created_ms ? at_ms : held.created_ms;
    held.updated_ms = at_ms > held.updated_ms ? at_ms : held.updated_ms;
    write_held(mind, sort, id, &held, operation);
    drop_weakest(mind, sort->kind);
    return true;
}

bool mind_tell_goal(struct pk_mind *mind, const struct pk_ran *ran,
                    const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    (void)index;
    (void)err;
    return tell_held(mind, ran, operation, &sort_goal);
}

bool mind_tell_belief(struct pk_mind *mind, const struct pk_ran *ran,
                      const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    (void)index;
    (void)err;
    return tell_held(mind, ran, operation, &sort_belief);
}

/* The one that is meant: by its id, or by the one it had when the person was not merged yet. */
static const char *find_held(struct pk_mind *mind, const struct held_sort *sort, const char *id)
{
    const struct mind_table *table = &mind->table[sort->kind];
    const char *person = mind->evidence.merged_from;
    char other[PK_UUID_TEXT];
    bson_t view;
    if (mind_find(mind, sort->kind, id) || !person) {
        return id;
    }
    for (size_t i = 0; i < table->count; i++) {
        if (slice_view(table->thing[i].doc, &view)) {
            pk_mind_id(other, person, sort->name,
                       fold_words(mind, pk_peek_text(&view, sort->words, "")), 0);
            if (strcmp(other, id) == 0) {
                return table->thing[i].key;
            }
        }
    }
    return id;
}

bool mind_remove(struct pk_mind *mind, const struct pk_ran *ran,
                 const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    const struct held_sort *sort = operation->verb == MIND_REMOVE_GOAL ? &sort_goal : &sort_belief;
    (void)ran;
    (void)index;
    (void)err;
    const char *found = find_held(mind, sort, operation->word);
    if (mind_find(mind, sort->kind, found)) {
        const char *id = pk_arena_strdup(&mind->arena, found);
        mind_put(mind, sort->kind, id, NULL);
        mind_remember_removal(mind, sort->name, id, true);
    }
    return true;
}

/* ---- The summary ---- */

static void write_themes(struct pk_mind *mind, const struct mind_operation *operation,
                         const bson_t *before, bson_t *out)
{
    bson_iter_t list, item;
    bson_t themes = BSON_INITIALIZER;
    const bool is_said =
        bson_iter_init_find(&list, operation->doc, "keyThemes") && BSON_ITER_HOLDS_ARRAY(&list);
    const bool has_list = is_said || (before && bson_iter_init_find(&list, before, "keyThemes") &&
                                      BSON_ITER_HOLDS_ARRAY(&list));
    bool is_ok = has_list && bson_iter_recurse(&list, &item);
    for (uint32_t at = 0; is_ok && at < THEMES_MAX && bson_iter_next(&item);) {
        if (BSON_ITER_HOLDS_UTF8(&item)) {
            add_text(&themes, at++, mind_cut(mind, bson_iter_utf8(&item, NULL), WORD_BYTES));
        }
    }
    BSON_APPEND_ARRAY(out, "keyThemes", &themes);
    bson_destroy(&themes);
}

bool mind_tell_summary(struct pk_mind *mind, const struct pk_ran *ran,
                       const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    const struct mind_thing *thing = mind_find(mind, MIND_NARRATIVE, "");
    const bool is_person = ran->processor_id == NULL;
    const int64_t at_ms = mind->evidence.effective_at_ms;
    bson_t before, doc = BSON_INITIALIZER;
    const bool has_before = thing && slice_view(thing->doc, &before);
    const bool is_said = has_before && *pk_peek_text(&before, "summary", "") != '\0';
    const int64_t before_ms = is_said ? date_of(&before, "lastUpdated", at_ms) : at_ms;

    (void)index;
    (void)err;
    if (!is_person && is_said && (flag_of(&before, "curated") || at_ms < before_ms)) {
        bson_destroy(&doc);
        return true;
    }
    BSON_APPEND_UTF8(&doc, "summary", mind_cut(mind, operation->word, PAGE_BYTES));
    write_themes(mind, operation, has_before ? &before : NULL, &doc);
    BSON_APPEND_DATE_TIME(&doc, "lastUpdated", at_ms > before_ms ? at_ms : before_ms);
    if (is_person) {
        BSON_APPEND_BOOL(&doc, "curated", true);
    }
    mind_put(mind, MIND_NARRATIVE, "", &doc);
    bson_destroy(&doc);
    return true;
}

/* ---- What is true just now ---- */

void mind_drop_expired(struct pk_mind *mind, int64_t now_ms)
{
    const struct mind_table *table = &mind->table[MIND_HOT];
    bson_t view;
    for (size_t i = table->count; i-- > 0;) {
        if (slice_view(table->thing[i].doc, &view) &&
            date_of(&view, "until", INT64_MAX) <= now_ms) {
            mind_put(mind, MIND_HOT, table->thing[i].key, NULL);
        }
    }
}

/* Mood and availability are texts, in the specification and so for all who read them. */
static const char *plain_word(struct pk_mind *mind, const struct mind_operation *operation,
                              struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    bson_iter_t value;
    if (!bson_iter_init_find(&value, &operation->value, "v") || BSON_ITER_HOLDS_DOCUMENT(&value) ||
        BSON_ITER_HOLDS_ARRAY(&value) || BSON_ITER_HOLDS_BINARY(&value)) {
        (void)pk_fail(err, PK_INVALID, "give a text", "'%s' is not a text", operation->word);
        return NULL;
    }
    const size_t max = strcmp(operation->word, "mood") == 0 ? WORD_BYTES : LINE_BYTES;
    if (BSON_ITER_HOLDS_UTF8(&value)) {
        return mind_cut(mind, bson_iter_utf8(&value, NULL), max);
    }
    if (!pk_json_write(&text, &operation->value, PK_JSON_COMPACT, err)) {
        return NULL;
    }
    /* {"v":VALUE} */
    return text.size > 6 ? pk_arena_strndup(&mind->arena, text.data + 5, text.size - 6) : "";
}

static bool append_now(struct pk_mind *mind, const struct mind_operation *operation, bson_t *doc,
                       struct pk_error *err)
{
    bson_iter_t value;
    if (strcmp(operation->word, "mood") == 0 || strcmp(operation->word, "availability") == 0) {
        const char *text = plain_word(mind, operation, err);
        return text && BSON_APPEND_UTF8(doc, "v", text);
    }
    return bson_iter_init_find(&value, &operation->value, "v") &&
           bson_append_iter(doc, "v", 1, &value);
}

bool mind_tell_now(struct pk_mind *mind, const struct pk_ran *ran,
                   const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    const struct mind_thing *thing = mind_find(mind, MIND_HOT, operation->word);
    const int64_t at_ms = mind->evidence.effective_at_ms;
    const int64_t now_ms = at_ms > mind->last_updated_ms ? at_ms : mind->last_updated_ms;
    const double ttl_s = mind_unit(operation, "ttl", MIND_NOW_TTL_S);
    const int64_t until_ms = at_ms + (int64_t)(ttl_s * 1000);
    const bool is_person = ran->processor_id == NULL;
    bson_iter_t value;
    bson_t view, doc = BSON_INITIALIZER;

    (void)index;
    const bool is_gone =
        bson_iter_init_find(&value, &operation->value, "v") && BSON_ITER_HOLDS_NULL(&value);
    const bool is_late = thing && slice_view(thing->doc, &view) && !is_person &&
                         at_ms < date_of(&view, "since", at_ms);
    bool is_ok = true;
    if (is_gone && !is_late) {
        mind_put(mind, MIND_HOT, operation->word, NULL);
    } else if (!is_gone && !is_late && until_ms > now_ms) {
        if (!thing && mind->table[MIND_HOT].count >= MIND_FEW_MAX) {
            is_ok = pk_fail(err, PK_TOO_LARGE, "give keys a shorter time to live",
                            "%d things are true just now already", (int)MIND_FEW_MAX);
        }
        is_ok = is_ok && append_now(mind, operation, &doc, err);
        BSON_APPEND_DATE_TIME(&doc, "since", at_ms);
        BSON_APPEND_DATE_TIME(&doc, "until", until_ms);
        if (is_ok) {
            mind_put(mind, MIND_HOT, operation->word, &doc);
        }
    }
    bson_destroy(&doc);
    return is_ok;
}

/* ---- What lies in other collections ---- */

static const struct {
    const char *name; /* Of the operation, in ids. */
    const char *kind; /* What it touches. */
} joined_table[MIND_VERBS] = {
    [MIND_NARRATIVE_OP] = { "narrative", "narratives" },
    [MIND_REMEMBER] = { "remember", "hot" },
    [MIND_LEARN] = { "learn", "warm" },
    [MIND_NODE] = { "node", "graph" },
    [MIND_EDGE] = { "edge", "graph" },
};

/* Traits that are known and that the narrative speaks of. */
static void link_traits(struct pk_mind *mind, const struct mind_operation *operation,
                        const char *narrative)
{
    const char *link_type = mind_text(operation, "linkType");
    bson_iter_t list, item;
    char path[256];
    bson_t view, linked;

    if (!bson_iter_init_find(&list, operation->doc, "traits") || !BSON_ITER_HOLDS_ARRAY(&list) ||
        !bson_iter_recurse(&list, &item)) {
        return;
    }
    while (bson_iter_next(&item)) {
        (void)snprintf(path, sizeof(path), "%s", bson_iter_utf8(&item, NULL));
        for (char *at = path; *at; at++) {
            *at = (char)(*at == '/' ? '.' : *at);
        }
        const struct mind_thing *thing = mind_find(mind, MIND_TRAIT, path);
        if (thing && slice_view(thing->doc, &view) &&
            pk_trait_link(&view, narrative, link_type ? link_type : "supports", &linked)) {
            mind_put(mind, MIND_TRAIT, path, &linked);
            bson_destroy(&linked);
        }
    }
}

bool mind_tell_joined(struct pk_mind *mind, const struct pk_ran *ran,
                      const struct mind_operation *operation, size_t index, struct pk_error *err)
{
    const char *maker = ran->processor_id ? ran->processor_id : "curation";
    struct pk_joined joined = {
        .operation = mind_view(mind, mind_keep(mind, operation->doc)),
        .obs_id = mind->evidence.obs_id,
        .effective_at_ms = mind->evidence.effective_at_ms,
        .seq = mind->seq,
    };
    (void)err;
    pk_mind_id_near(joined.id, joined.obs_id, maker, joined_table[operation->verb].name, index);
    MIND_ROOM(mind, mind->joined, mind->joined_count, mind->joined_capacity);
    mind->joined[mind->joined_count++] = joined;
    mind_touch_later(mind, joined_table[operation->verb].kind,
                     operation->verb == MIND_REMEMBER ? operation->word : NULL);
    if (operation->verb == MIND_NARRATIVE_OP) {
        link_traits(mind, operation, joined.id);
    }
    return true;
}
