/* test_joined_past.c - What was remembered beside a mindscape, as of a past time. */
/* SPDX-License-Identifier: MIT */
#include "merge_bed.h"

#include "base/buf.h"
#include "doc/path.h"
#include "persona/erase.h"
#include "persona/export.h"
#include "persona/joined_past.h"
#include "persona/mindscape_internal.h"
#include "persona/replay.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Looking ---- */

static const struct {
    const char *collection, *index;
    bool is_sorted; /* By the index; else by ids. */
} kind[] = {
    { "knowledge", "by_user_key", false },      { "vectors", "by_user_type", true },
    { "narratives", "by_user", true },          { "graph_nodes", "by_user_label", false },
    { "graph_edges", "by_user_source", false },
};

static int by_doc_id(const void *a, const void *b)
{
    return strcmp(pk_doc_id(*(struct pk_doc *const *)a), pk_doc_id(*(struct pk_doc *const *)b));
}

/* One a line; what has expired is not there. */
static void add_docs(struct pk_buf *out, const char *collection, const struct pk_page *page,
                     int64_t at_ms)
{
    pk_buf_printf(out, "%s\n", collection);
    for (size_t i = 0; i < page->count; i++) {
        bson_t view;
        if (pk_doc_date(page->doc[i], "expiresAt", INT64_MAX) <= at_ms) {
            continue;
        }
        pk_doc_view(page->doc[i], &view);
        PK_CLEANUP(pk_freep) char *text = kit_text(&view);
        pk_buf_printf(out, "  %s\n", text);
    }
}

/* Everything that lies beside the person's mindscape now; freed by the caller. */
static char *present(struct kit *kit, const char *who)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    for (size_t i = 0; i < PK_COUNT(kind); i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = kind[i].collection,
                                        .index = kind[i].index,
                                        .equal = { PK_TEXT(who) },
                                        .equal_count = 1,
                                        .limit = PK_PAGE_MAX };
        assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
        if (!kind[i].is_sorted && page.count > 1) {
            qsort(page.doc, page.count, sizeof(struct pk_doc *), by_doc_id);
        }
        add_docs(&out, kind[i].collection, &page, kit_now(kit));
    }
    return pk_strdup(pk_buf_text(&out));
}

/* The same as of a past time. */
static char *as_of(struct kit *kit, const char *who, int64_t at_ms)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    PK_CLEANUP(pk_past_freep) struct pk_past *past = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = kit_get(kit, "mindscapes", who);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *then = NULL;
    assert_non_null(now);
    assert_ok(mindscape_past(&kit->domain, now, at_ms, 0, &then, &kit->err), &kit->err);
    const struct pk_place_then place = pk_past_place(then, at_ms);
    assert_ok(pk_past_open(&kit->domain, &place, 0, &past, &kit->err), &kit->err);
    for (size_t i = 0; i < PK_COUNT(kind); i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        bool is_cut = true;
        assert_ok(pk_past_find(past, kind[i].collection, 1000, 0, &page, &is_cut, &kit->err),
                  &kit->err);
        assert_false(is_cut);
        add_docs(&out, kind[i].collection, &page, 0); /* It has left that out by itself. */
    }
    return pk_strdup(pk_buf_text(&out));
}

static void expect_as_of(struct kit *kit, const char *who, int64_t at_ms, const char *wanted)
{
    PK_CLEANUP(pk_freep) char *found = as_of(kit, who, at_ms);
    assert_string_equal(found, wanted);
}

static void expect_has(struct kit *kit, const char *who, int64_t at_ms, const char *words, bool has)
{
    PK_CLEANUP(pk_freep) char *found = as_of(kit, who, at_ms);
    if ((strstr(found, words) != NULL) != has) {
        fail_msg("'%s' %s in:\n%s", words, has ? "is not" : "is", found);
    }
}

/* ---- Telling ---- */

/* Whatever an observation says: facts (some of which expire), texts, narratives and a graph. */
static void teach_all(struct kit *kit)
{
    kit_processor(kit, "notes", "1.0.0", "user_input",
                  "if s.role then t:remember('role', s.role, { confidence = 0.9 }) end\n"
                  "if s.dotted then t:remember('dotted', { ['x.y'] = s.dotted }) end\n"
                  "if s.brief then t:remember('brief', s.brief, { ttl = '90m' }) end\n"
                  "if s.text then t:learn(s.text, { category = 'work', type = 'insight' }) end\n"
                  "if s.told then t:narrative(s.told) end\n"
                  "if s.thing then t:node(s.thing, { attributes = { [s.trait] = s.size } }) end\n"
                  "if s.knows then t:edge('self', s.knows, 'knows', { strength = s.size }) end\n"
                  "if s.style then t:set('style', s.style) end");
}

static void tell(struct kit *kit, const char *who, const char *said, char out[PK_UUID_TEXT])
{
    kit_observe(kit, who, "user_input", said, out);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *told = kit_get(kit, "observations", out);
    assert_string_equal(pk_doc_text(told, "processingStatus"), "processed");
}

static void wait_for(struct kit *kit, int64_t ms)
{
    pk_clock_fake_advance(&kit->clock, ms);
}

static void replay(struct kit *kit, const char *who)
{
    const struct pk_remake asked = { .processor = NULL };
    char task[PK_UUID_TEXT];
    assert_ok(pk_replay_person(&kit->domain, &kit->bed.by, who, &asked, task, &kit->err),
              &kit->err);
    expect_done(kit, task);
}

static void forget(struct kit *kit, const char *observation)
{
    char task[PK_UUID_TEXT];
    assert_ok(pk_replay_forget(&kit->domain, &kit->bed.by, observation, task, &kit->err),
              &kit->err);
    expect_done(kit, task);
}

/* A life in steps of an hour, and what there was after each. */
enum { STEPS = 10 };
struct life {
    char who[PK_UUID_TEXT], obs[STEPS][PK_UUID_TEXT];
    int64_t at_ms[STEPS + 1]; /* Of each step; [0]: before the first. */
    char *state[STEPS + 1];
};

static const char *const step[STEPS] = {
    "{'role': 'clerk', 'told': 'I started'}",
    "{'brief': 'on leave', 'thing': 'Ada', 'trait': 'a', 'size': 1}",
    "{'style': 'plain'}",
    "{'role': 'lead', 'text': 'likes mornings', 'knows': 'Ada', 'size': 0.5}",
    "{'brief': 'back', 'dotted': 1}",
    "{'thing': 'Ada', 'trait': 'b', 'size': 2, 'dotted': 2}",
    "{'style': 'terse', 'text': 'likes tea'}",
    "{'knows': 'Ada', 'size': 0.9, 'told': 'I moved'}",
    "{'role': 'head', 'knows': 'Bob', 'size': 0.1}",
    "{'thing': 'Bob', 'trait': 'c', 'size': 3, 'brief': 'away'}",
};

static void live(struct kit *kit, struct life *life)
{
    teach_all(kit);
    kit_person(kit, life->who);
    life->at_ms[0] = kit_now(kit);
    life->state[0] = present(kit, life->who);
    for (size_t i = 0; i < STEPS; i++) {
        wait_for(kit, HOUR_MS);
        tell(kit, life->who, step[i], life->obs[i]);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *told = kit_get(kit, "observations", life->obs[i]);
        life->at_ms[i + 1] = pk_doc_date(told, "effectiveAt", 0);
        life->state[i + 1] = present(kit, life->who);
    }
}

static void life_done(struct life *life)
{
    for (size_t i = 0; i <= STEPS; i++) {
        pk_free(life->state[i]);
    }
}

/* Also a moment before the next thing is said: what expires within the hour has, or has not. */
static void expect_life(struct kit *kit, const struct life *life)
{
    for (size_t i = 0; i <= STEPS; i++) {
        expect_as_of(kit, life->who, life->at_ms[i], life->state[i]);
    }
}

/* ---- As it was ---- */

BOTH(as_of_each_step_it_is_what_there_was)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    live(kit, &life);
    expect_life(kit, &life);
    wait_for(kit, INT64_C(30) * 24 * HOUR_MS);
    expect_life(kit, &life);
}

BOTH(between_two_words_the_older_one_stands)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    live(kit, &life);
    expect_has(kit, life.who, life.at_ms[1] - 1, "clerk", false);
    expect_has(kit, life.who, life.at_ms[1] + 5, "clerk", true);
    expect_has(kit, life.who, life.at_ms[4] - 1, "clerk", true);
    expect_has(kit, life.who, life.at_ms[4] - 1, "lead", false);
    expect_has(kit, life.who, life.at_ms[4] + 5, "clerk", false);
    expect_has(kit, life.who, life.at_ms[4] + 5, "lead", true);
    expect_has(kit, life.who, life.at_ms[4] + 5, life.obs[3], true); /* Who told it. */
    expect_has(kit, life.who, life.at_ms[9] + 5, "head", true);
    expect_has(kit, life.who, life.at_ms[9] + 5, "lead", false);
}

BOTH(what_expires_is_there_until_its_end_and_no_longer)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    live(kit, &life);
    const int64_t end_ms = life.at_ms[2] + 90 * INT64_C(60000);
    wait_for(kit, INT64_C(24) * HOUR_MS);
    expect_has(kit, life.who, life.at_ms[2], "on leave", true);
    expect_has(kit, life.who, end_ms - 1, "on leave", true);
    expect_has(kit, life.who, end_ms, "on leave", false);
    expect_has(kit, life.who, end_ms, "clerk", true);
    expect_has(kit, life.who, kit_now(kit) - 1, "away", false);
}

BOTH(what_came_late_was_not_known)
{
    char who[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    teach_all(kit);
    kit_person(kit, who);
    const int64_t start_ms = kit_now(kit);
    wait_for(kit, HOUR_MS);
    tell(kit, who, "{'role': 'clerk'}", obs);
    wait_for(kit, HOUR_MS);
    tell(kit, who, "{'role': 'lead'}", obs);
    expect_has(kit, who, start_ms + HOUR_MS / 2, "clerk", false);
    expect_has(kit, who, start_ms + HOUR_MS + HOUR_MS / 2, "clerk", true);
    expect_has(kit, who, kit_now(kit), "lead", true);
}

BOTH(what_others_have_put_there_is_as_it_is_if_it_was_there)
{
    char who[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    teach_all(kit);
    kit_person(kit, who);
    kit_put(kit, "vectors",
            "{'_id': 'f0000000-0000-4000-8000-000000000001', 'userId': '%s', 'content': 'by hand',"
            " 'contentType': 'insight', 'metadata': {'category': 'x', 'volatility': 'low',"
            " 'importance': 0.5, 'derivedFrom': [], 'tags': []}, 'accessCount': 0,"
            " 'createdAt': '2026-01-02T00:00:00Z', 'updatedAt': '2026-01-02T00:00:00Z'}",
            who);
    tell(kit, who, "{'role': 'clerk'}", obs);
    const int64_t made_ms = INT64_C(1767312000000); /* 2026-01-02. */
    expect_has(kit, who, made_ms - 1, "by hand", false);
    expect_has(kit, who, made_ms, "by hand", true);
    expect_has(kit, who, made_ms, "clerk", false);
}

BOTH(no_more_are_given_than_were_asked_for)
{
    char who[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    PK_CLEANUP(pk_past_freep) struct pk_past *past = NULL;
    teach_all(kit);
    kit_person(kit, who);
    for (int i = 0; i < 3; i++) {
        tell(kit, who, "{'text': 'a', 'role': 'x', 'dotted': 1}", obs);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = kit_get(kit, "mindscapes", who);
    const struct pk_place_then place = pk_past_place(now, kit_now(kit));
    assert_ok(pk_past_open(&kit->domain, &place, 0, &past, &kit->err), &kit->err);
    static const struct {
        const char *collection;
        size_t max, count;
        bool is_cut;
    } row[] = { { "vectors", 2, 2, true },
                { "vectors", 3, 3, false },
                { "knowledge", 1, 1, true },
                { "knowledge", 2, 2, false } };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        bool is_cut = !row[i].is_cut;
        assert_ok(pk_past_find(past, row[i].collection, row[i].max, 0, &page, &is_cut, &kit->err),
                  &kit->err);
        assert_int_equal(page.count, row[i].count);
        assert_int_equal(is_cut, row[i].is_cut);
    }
}

/* ---- Made anew ---- */

/* The person's history in its order, less what an epoch makes of it, and less one more field;
 * freed by the caller. */
static char *history(struct kit *kit, const char *who, const char *less)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "trait_history",
                                    .index = "by_user_path",
                                    .equal = { PK_TEXT(who) },
                                    .equal_count = 1,
                                    .limit = PK_PAGE_MAX };
    assert_ok(pk_store_find(kit->bed.store, &query, 0, &page, &kit->err), &kit->err);
    for (size_t i = 0; i < page.count; i++) {
        bson_t view, bare = BSON_INITIALIZER;
        pk_doc_view(page.doc[i], &view);
        bson_copy_to_excluding_noinit(&view, &bare, "_id", "epoch", less, NULL);
        PK_CLEANUP(pk_freep) char *text = kit_text(&bare);
        pk_buf_printf(&out, "%s\n", text);
        bson_destroy(&bare);
    }
    return pk_strdup(pk_buf_text(&out));
}

BOTH(a_replay_makes_the_same_history)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    live(kit, &life);
    PK_CLEANUP(pk_freep) char *was = history(kit, life.who, "createdAt");
    assert_non_null(strstr(was, "\"knowledge\""));
    wait_for(kit, INT64_C(30) * 24 * HOUR_MS);
    replay(kit, life.who);
    expect_life(kit, &life);
    expect_same(history(kit, life.who, "createdAt"), pk_strdup(was));
    char *first = history(kit, life.who, NULL); /* Each byte of it. */
    wait_for(kit, HOUR_MS);
    replay(kit, life.who);
    expect_life(kit, &life);
    expect_same(history(kit, life.who, NULL), first);
}

BOTH(what_is_forgotten_never_was)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    live(kit, &life);
    forget(kit, life.obs[3]); /* lead, likes mornings, the edge to Ada. */
    expect_has(kit, life.who, life.at_ms[4] + 5, "lead", false);
    expect_has(kit, life.who, life.at_ms[4] + 5, "clerk", true);
    expect_has(kit, life.who, life.at_ms[4] + 5, "likes mornings", false);
    expect_has(kit, life.who, life.at_ms[9] + 5, "likes tea", true);
    expect_has(kit, life.who, life.at_ms[8] - 1, "knows", false);
    expect_has(kit, life.who, life.at_ms[8] + 5, "knows", true);
    PK_CLEANUP(pk_freep) char *rows = history(kit, life.who, NULL);
    assert_null(strstr(rows, "lead"));
    assert_null(strstr(rows, life.obs[3]));
}

BOTH(merged_and_parted_each_has_his_own_past_again)
{
    int64_t at_ms[4];
    char *a[4], *b[4];
    teach(kit);
    for (int i = 0; i < 4; i++) {
        say(kit, i % 2 ? A : B, 30 + i);
        kit_work(kit);
        at_ms[i] = kit_now(kit);
        wait_for(kit, HOUR_MS);
    }
    for (int i = 1; i < 4; i++) {
        a[i] = as_of(kit, A, at_ms[i]);
        b[i] = as_of(kit, B, at_ms[i]);
    }
    struct pk_merged merged = merge_two(kit, A, B);
    expect_has(kit, B, at_ms[0], "worked 30", true);
    expect_has(kit, B, at_ms[0], "worked 31", false);
    expect_has(kit, B, at_ms[1], "worked 31", true); /* It was A's then. */
    expect_has(kit, B, at_ms[1], "worked 32", false);
    undo_merge(kit, B, merged.id);
    for (int i = 1; i < 4; i++) {
        expect_same(as_of(kit, A, at_ms[i]), a[i]);
        expect_same(as_of(kit, B, at_ms[i]), b[i]);
    }
}

/* ---- Shown ---- */

static char *shown(struct kit *kit, const char *who, int64_t at_ms)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = kit_get(kit, "mindscapes", who);
    const struct pk_mindscape_view view = { .now_ms = at_ms ? at_ms : kit_now(kit),
                                            .at_ms = at_ms,
                                            .has_knowledge = true,
                                            .has_embeddings = true };
    bson_t out;
    assert_ok(pk_mindscape_show(&kit->domain, now, &view, 0, &out, &kit->err), &kit->err);
    char *text = kit_text(&out);
    bson_destroy(&out);
    return text;
}

BOTH(a_mindscape_of_then_is_shown_with_its_layers_and_embeddings)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    live(kit, &life);
    kit_put(kit, "vectors",
            "{'_id': 'f0000000-0000-4000-8000-000000000001', 'userId': '%s', 'traitId': 'style',"
            " 'embedding': [0.25], 'embeddingModel': 'm', 'embeddingDimensions': 1,"
            " 'accessCount': 0, 'createdAt': '2026-01-02T00:00:00Z',"
            " 'updatedAt': '2126-01-02T00:00:00Z'}",
            life.who);
    PK_CLEANUP(pk_freep) char *then = shown(kit, life.who, life.at_ms[4] + 5);
    PK_CLEANUP(pk_freep) char *now = shown(kit, life.who, 0);
    assert_non_null(strstr(then, "\"hotLayer\""));
    assert_non_null(strstr(then, "lead"));
    assert_non_null(strstr(then, "likes mornings"));
    assert_null(strstr(then, "likes tea"));
    assert_null(strstr(then, "\"isCut\""));
    assert_null(strstr(then, "0.25")); /* It was embedded later. */
    assert_non_null(strstr(then, "plain"));
    assert_non_null(strstr(now, "0.25"));
    assert_non_null(strstr(now, "head"));
    assert_non_null(strstr(now, "likes tea"));
    assert_null(strstr(now, "lead"));
}

/* ---- Handed out, and gone ---- */

static bool take_line(void *context, const char *data, size_t size, struct pk_error *err)
{
    (void)err;
    pk_buf_add(context, data, size);
    return true;
}

BOTH(history_is_exported_and_erased_with_the_person)
{
    PK_CLEANUP(life_done) struct life life = { .who = "" };
    PK_CLEANUP(pk_buf_done) struct pk_buf lines = { 0 };
    char task[PK_UUID_TEXT];
    live(kit, &life);
    assert_ok(
        pk_export_person(&kit->domain, &kit->bed.by, NULL, life.who, take_line, &lines, &kit->err),
        &kit->err);
    assert_non_null(strstr(pk_buf_text(&lines), "clerk")); /* 'head' took its place long ago. */
    assert_ok(pk_erase_person(&kit->domain, &kit->bed.by, life.who, task, &kit->err), &kit->err);
    expect_done(kit, task);
    assert_int_equal(kit_count(kit, "trait_history", NULL, NULL), 0);
}
