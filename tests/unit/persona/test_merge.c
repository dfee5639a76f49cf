/* test_merge.c - Two people are one, and two again: what is theirs, what is refused, what is kept.
 */
/* SPDX-License-Identifier: MIT */
#include "merge_bed.h"

#include "base/buf.h"
#include "persona/consent.h"
#include "persona/curation.h"
#include "persona/erase.h"
#include "persona/export.h"
#include "persona/people.h"
#include "persona/replay.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- One, and two again ---- */

BOTH(two_are_one_as_if_they_had_always_been)
{
    KIT(other, kit->is_mongo);
    const int64_t start_ms = kit_now(kit);
    teach(kit);
    teach(&other);
    pk_clock_fake_init(&other.clock, start_ms);
    for (int i = 0; i < 8; i++) {
        char id[PK_UUID_TEXT];
        (void)snprintf(id, sizeof(id), "e0000000-0000-4000-8000-00000000000%d", i);
        struct pk_accepted one = send_as(kit, i % 3 ? A : B, NULL, id, 30 + i);
        struct pk_accepted two = send_as(&other, B, NULL, id, 30 + i);
        assert_true(one.is_ok && two.is_ok);
        pk_accepted_done(&one);
        pk_accepted_done(&two);
        kit_work(kit);
        kit_work(&other);
        const int64_t next_ms = start_ms + (i + 1) * (int64_t)HOUR_MS;
        pk_clock_fake_advance(&kit->clock, next_ms - kit_now(kit));
        pk_clock_fake_advance(&other.clock, next_ms - kit_now(&other));
    }
    (void)merge_two(kit, A, B);
    expect_same(essence_of(kit, B), essence_of(&other, B));
    expect_dense(kit, B);
    assert_int_equal(rows_of(kit, "observations", B), 8);
    assert_int_equal(rows_of(kit, "observations", A), 0);
    assert_int_equal(rows_of(kit, "trait_history", A), 0);
    assert_int_equal(rows_of(kit, "knowledge", A), 0);
    assert_int_equal(rows_of(kit, "graph_nodes", A), 0);
    assert_int_equal(rows_of(kit, "graph_nodes", B), rows_of(&other, "graph_nodes", B));
    assert_int_equal(rows_of(kit, "narratives", B), rows_of(&other, "narratives", B));
    assert_null(kit_get(kit, "mindscapes", A));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *from = kit_get(kit, "people", A);
    assert_string_equal(pk_doc_text(from, "mergedInto"), B);
}

BOTH(what_comes_under_the_old_names_is_the_others_and_goes_back)
{
    teach(kit);
    struct pk_accepted known = send_as(kit, A, "U1", NULL, 10);
    assert_true(known.is_ok);
    pk_accepted_done(&known);
    say(kit, B, 20);
    kit_work(kit);
    struct pk_merged merged = merge_two(kit, A, B);
    struct pk_accepted by_id = send_as(kit, A, NULL, NULL, 30);
    struct pk_accepted by_name = send_as(kit, NULL, "U1", NULL, 40);
    assert_true(by_id.is_ok && by_name.is_ok);
    assert_string_equal(pk_doc_text(by_id.doc, "userId"), B);
    assert_string_equal(pk_doc_text(by_id.doc, "mergedFrom"), A);
    assert_string_equal(pk_doc_text(by_name.doc, "userId"), B);
    assert_string_equal(pk_doc_text(by_name.doc, "mergedFrom"), A);
    pk_accepted_done(&by_id);
    pk_accepted_done(&by_name);
    say(kit, B, 50);
    kit_work(kit);
    assert_int_equal(rows_of(kit, "observations", B), 5);
    undo_merge(kit, B, merged.id);
    assert_int_equal(rows_of(kit, "observations", A), 3);
    assert_int_equal(rows_of(kit, "observations", B), 2);
    assert_int_equal(kit_count(kit, "observations", "mergedFrom", A), 0);
    expect_dense(kit, A);
    expect_dense(kit, B);
    struct pk_accepted after = send_as(kit, NULL, "U1", NULL, 60);
    assert_string_equal(pk_doc_text(after.doc, "userId"), A);
    assert_null(pk_doc_text(after.doc, "mergedFrom"));
    pk_accepted_done(&after);
    kit_work(kit);
    expect_dense(kit, A);
    assert_null(kit_get(kit, "tombstones", A));
}

/* ---- What is refused ---- */

BOTH(what_cannot_be_merged_is_refused_and_says_why)
{
    struct pk_merged merged, again;
    teach(kit);
    say(kit, A, 1);
    say(kit, B, 2);
    say(kit, C, 3);
    kit_work(kit);
    assert_false(try_merge(kit, A, A, &merged));
    expect_error(&kit->err, PK_INVALID, "himself");
    assert_false(try_merge(kit, A, NOBODY, &merged));
    expect_error(&kit->err, PK_NOT_FOUND, "no such person");
    assert_false(try_merge(kit, NOBODY, A, &merged));
    expect_error(&kit->err, PK_NOT_FOUND, "no such person");
    const size_t events = kit_count(kit, "events", NULL, NULL);
    assert_int_equal(kit_count(kit, "tombstones", NULL, NULL), 0);
    assert_int_equal(kit_count(kit, "events", NULL, NULL), events);
    merged = merge_two(kit, A, B);
    assert_false(try_merge(kit, A, C, &again));
    expect_error(&kit->err, PK_CONFLICT,
                 "'"
                 "b0000000-0000-4000-8000-000000000002"
                 "' already");
    assert_false(try_merge(kit, B, A, &again)); /* A circle. */
    expect_error(&kit->err, PK_CONFLICT, "already");
    assert_false(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, NOBODY, &again, &kit->err));
    expect_error(&kit->err, PK_NOT_FOUND, "no such merge");
    assert_false(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, C, merged.id, &again, &kit->err));
    expect_error(&kit->err, PK_NOT_FOUND, "no such merge");
    undo_merge(kit, A, merged.id); /* By the name of either. */
    assert_false(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, merged.id, &again, &kit->err));
    expect_error(&kit->err, PK_CONFLICT, "undone already");
    assert_int_equal(kit_count(kit, "events", "eventType", "person.merged"), 2);
    assert_int_equal(kit_count(kit, "events", "eventType", "person.unmerged"), 2);
    assert_int_equal(kit_count(kit, "audit", "action", "person.merged"), 2);
}

/* Nothing works on tasks until kit_work: what is asked for meanwhile finds a merge under way. */
BOTH(one_merge_at_a_time_and_the_same_undo_is_one_task)
{
    struct pk_merged merged, again, third;
    say(kit, A, 1);
    say(kit, B, 2);
    say(kit, C, 3);
    assert_ok(try_merge(kit, A, B, &merged), &kit->err);
    assert_false(try_merge(kit, C, B, &again));
    expect_error(&kit->err, PK_CONFLICT, "under way");
    assert_false(try_merge(kit, B, C, &again));
    expect_error(&kit->err, PK_CONFLICT, "under way");
    assert_false(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, merged.id, &again, &kit->err));
    expect_error(&kit->err, PK_CONFLICT, "under way");
    expect_done(kit, merged.task);
    assert_int_equal(rows_of(kit, "outbox", A), 0); /* What was to be done is B's. */
    assert_int_equal(rows_of(kit, "observations", B), 2);
    assert_int_equal(kit_count(kit, "observations", "processingStatus", "processed"), 3);
    expect_dense(kit, B);
    assert_ok(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, merged.id, &again, &kit->err),
              &kit->err);
    if (pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, merged.id, &third, &kit->err)) {
        assert_string_equal(again.task, third.task);
    }
    expect_done(kit, again.task);
}

struct racer {
    struct kit *kit;
    const char *from, *into;
    struct pk_merged merged;
    struct pk_error err;
    bool is_ok;
};

static void *race(void *context)
{
    struct racer *racer = context;
    const struct pk_merge_ask ask = { .from = racer->from, .into = racer->into };
    racer->is_ok = pk_merge_people(&racer->kit->domain, &racer->kit->bed.by, &ask, &racer->merged,
                                   &racer->err);
    return NULL;
}

BOTH(of_merges_at_the_same_time_one_wins)
{
    static const int pair[4][2] = { { 0, 1 }, { 1, 0 }, { 1, 2 }, { 2, 0 } };
    for (int round = 0; round < 3; round++) {
        struct racer racer[4];
        pthread_t thread[4];
        int won = 0;
        for (size_t i = 0; i < PEOPLE; i++) {
            say(kit, person[i], round);
        }
        kit_work(kit);
        for (size_t i = 0; i < 4; i++) {
            racer[i] = (struct racer){ .kit = kit,
                                       .from = person[pair[i][0]],
                                       .into = person[pair[i][1]] };
            assert_int_equal(pthread_create(&thread[i], NULL, race, &racer[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
            if (!racer[i].is_ok) {
                assert_int_equal(racer[i].err.code, PK_CONFLICT);
            }
            won += racer[i].is_ok;
        }
        assert_true(won >= 1);
        kit_work(kit);
        assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
        for (size_t i = 4; i-- > 0;) {
            struct pk_merged undone;
            if (racer[i].is_ok) {
                assert_ok(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, racer[i].into,
                                        racer[i].merged.id, &undone, &kit->err),
                          &kit->err);
                kit_work(kit);
            }
        }
    }
}

/* ---- A node that has not heard ---- */

BOTH(who_still_believes_in_the_old_id_is_put_right)
{
    struct pk_merged merged;
    kit->domain.people = pk_people_new(&kit->clock.clock); /* It hears nothing. */
    say(kit, A, 1);
    say(kit, A, 2);
    say(kit, B, 3);
    assert_ok(try_merge(kit, A, B, &merged), &kit->err);
    struct pk_accepted late = send_as(kit, A, NULL, NULL, 4);
    assert_true(late.is_ok);
    assert_string_equal(pk_doc_text(late.doc, "userId"), B);
    assert_string_equal(pk_doc_text(late.doc, "mergedFrom"), A);
    pk_accepted_done(&late);
    expect_done(kit, merged.task);
    assert_int_equal(rows_of(kit, "observations", A), 0);
    assert_int_equal(rows_of(kit, "observations", B), 4);
    undo_merge(kit, B, merged.id);
    assert_int_equal(rows_of(kit, "observations", A), 3);
    pk_people_free(kit->domain.people);
    kit->domain.people = NULL;
}

/* While it is merged and parted again and again, others send under all names. */
struct sender {
    struct kit *kit;
    const char *who;
    int sent;
    bool is_over;
};

static void *keep_sending(void *context)
{
    struct sender *sender = context;
    struct pk_error err = { 0 };
    for (int i = 0; i < 60; i++) {
        struct pk_accepted accepted = { .is_ok = false };
        bson_t sent;
        kit_json(&sent,
                 "{'personId':'%s','sourceType':'work_session','sourceMetadata':{'source':'s'},"
                 "'content':{'structured':{'minutes':%d}}}",
                 sender->who, i);
        const struct pk_sent one = { bson_get_data(&sent), sent.len };
        if (pk_observation_accept(&sender->kit->domain, &sender->kit->bed.by, NULL, &one, 1,
                                  &accepted, &err) &&
            accepted.is_ok) {
            sender->sent++;
        }
        pk_accepted_done(&accepted);
        bson_destroy(&sent);
        bed_pause();
    }
    __atomic_store_n(&sender->is_over, true, __ATOMIC_RELEASE);
    return NULL;
}

BOTH(nothing_is_lost_that_comes_meanwhile)
{
    struct sender sender[2] = { { .kit = kit, .who = A }, { .kit = kit, .who = B } };
    pthread_t thread[2];
    teach(kit);
    say(kit, A, 1);
    say(kit, B, 2);
    kit_work(kit);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, keep_sending, &sender[i]), 0);
    }
    while (!__atomic_load_n(&sender[0].is_over, __ATOMIC_ACQUIRE)) {
        struct pk_merged merged = { .id = "" };
        if (try_merge(kit, A, B, &merged)) {
            PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = NULL;
            do {
                pk_clock_fake_advance(&kit->clock, 1);
                bed_pause();
                pk_doc_unref(done);
                done = kit_get(kit, "outbox", merged.task);
            } while (strcmp(pk_doc_text(done, "status"), "done") != 0);
            struct pk_merged undone;
            assert_ok(
                pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, merged.id, &undone, &kit->err),
                &kit->err);
            do {
                pk_clock_fake_advance(&kit->clock, 1);
                bed_pause();
                pk_doc_unref(done);
                done = kit_get(kit, "outbox", undone.task);
            } while (strcmp(pk_doc_text(done, "status"), "done") != 0);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    kit_work(kit);
    PK_CLEANUP(pk_page_done) struct pk_page failed = { 0 };
    const struct pk_outbox_filter filter = { .status = "failed" };
    assert_ok(pk_outbox_list(kit->domain.books, &filter, 1, NULL, &failed, &kit->err), &kit->err);
    if (failed.count > 0) {
        fail_msg("%s: %s", pk_doc_text(failed.doc[0], "taskType"),
                 pk_doc_text(failed.doc[0], "lastError"));
    }
    assert_int_equal(sender[0].sent, 60);
    assert_int_equal(sender[1].sent, 60);
    assert_int_equal(rows_of(kit, "observations", A), 61);
    assert_int_equal(rows_of(kit, "observations", B), 61);
    assert_int_equal(kit_count(kit, "observations", "processingStatus", "processed"), 122);
    for (size_t i = 0; i < 2; i++) { /* What is there is what a replay makes. */
        const struct pk_remake nothing = { .processor = NULL };
        char *was = essence_of(kit, person[i]);
        char task[PK_UUID_TEXT];
        assert_ok(
            pk_replay_person(&kit->domain, &kit->bed.by, person[i], &nothing, task, &kit->err),
            &kit->err);
        expect_done(kit, task);
        expect_same(was, essence_of(kit, person[i]));
    }
}

/* ---- Consents ---- */

BOTH(the_stricter_consent_holds_until_it_is_decided_anew)
{
    say(kit, A, 1);
    say(kit, B, 2);
    kit_work(kit);
    agree(kit, A, "research", false);
    agree(kit, B, "research", true);
    agree(kit, A, "ads", true);
    agree(kit, B, "ads", false);
    agree(kit, A, "news", true);
    agree(kit, B, "both", true);
    agree(kit, A, "both", true);
    agree(kit, A, "anew", false);
    agree(kit, B, "anew", true);
    struct pk_merged merged = merge_two(kit, A, B);
    assert_false(agrees(kit, B, "research"));
    assert_false(agrees(kit, B, "ads"));
    assert_true(agrees(kit, B, "news"));
    assert_true(agrees(kit, B, "both"));
    assert_false(agrees(kit, B, "anew"));
    agree(kit, B, "anew", true);
    agree(kit, B, "both", false);
    pk_clock_fake_advance(&kit->clock, 10);
    undo_merge(kit, B, merged.id);
    assert_true(agrees(kit, B, "research"));
    assert_false(agrees(kit, A, "research"));
    assert_false(agrees(kit, B, "ads"));
    assert_true(agrees(kit, A, "ads"));
    assert_false(agrees(kit, B, "news")); /* Nobody said so of B. */
    assert_true(agrees(kit, A, "news"));
    assert_true(agrees(kit, B, "anew"));
    assert_false(agrees(kit, A, "anew"));
    assert_false(agrees(kit, B, "both")); /* Withdrawn while they were one: of both. */
    assert_false(agrees(kit, A, "both"));
}

/* Without consent to processing a merge and its undoing go through: nothing new is processed. */
BOTH(a_withdrawn_consent_to_processing_holds_up_neither)
{
    teach(kit);
    say(kit, A, 1);
    say(kit, B, 2);
    kit_work(kit);
    agree(kit, A, PK_PURPOSE_PROCESSING, false);
    struct pk_merged merged = merge_two(kit, A, B);
    assert_false(agrees(kit, B, PK_PURPOSE_PROCESSING));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *one = kit_get(kit, "mindscapes", B);
    assert_int_equal(pk_doc_int(one, "seq", 0), 2);
    undo_merge(kit, B, merged.id);
    assert_true(agrees(kit, B, PK_PURPOSE_PROCESSING));
    assert_false(agrees(kit, A, PK_PURPOSE_PROCESSING));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *two = kit_get(kit, "mindscapes", A);
    assert_int_equal(pk_doc_int(two, "seq", 0), 1);
}

/* ---- A person's own word ---- */

BOTH(what_a_person_removed_under_the_old_id_stays_removed)
{
    struct pk_curated curated;
    bson_t changes;
    teach(kit);
    say(kit, A, 1);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", A);
    kit_json(&changes,
             "{'goals':[{'goalId':'%s','remove':true}],"
             "'traits':[{'id':'work.tool','value':'a pen'}]}",
             pk_doc_text(mindscape, "goals[0].goalId") ? pk_doc_text(mindscape, "goals[0].goalId")
                                                       : pk_doc_text(mindscape, "goals.0.goalId"));
    assert_ok(pk_curation_patch(&kit->domain, &kit->bed.by, A, 0, &changes, &curated, &kit->err),
              &kit->err);
    bson_destroy(&changes);
    pk_clock_fake_advance(&kit->clock, 1);
    say(kit, B, 4);
    kit_work(kit);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
    struct pk_merged merged = merge_two(kit, A, B);
    char *one = essence_of(kit, B);
    assert_non_null(strstr(one, "a pen"));
    assert_null(strstr(one, "goal 1"));
    assert_non_null(strstr(one, "goal 4"));
    pk_free(one);
    undo_merge(kit, B, merged.id);
    char *two = essence_of(kit, B);
    assert_null(strstr(two, "a pen"));
    pk_free(two);
    two = essence_of(kit, A);
    assert_non_null(strstr(two, "a pen"));
    assert_null(strstr(two, "goal 1"));
    pk_free(two);
}

/* ---- Erasing and exporting the whole ---- */

static bool put(void *context, const char *data, size_t size, struct pk_error *err)
{
    (void)err;
    pk_buf_add(context, data, size);
    return true;
}

BOTH(whoever_is_one_is_exported_and_erased_as_one)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    char task[PK_UUID_TEXT], again[PK_UUID_TEXT];
    struct pk_merged undone;
    teach(kit);
    say(kit, A, 1);
    say(kit, B, 2);
    say(kit, C, 3);
    agree(kit, A, "research", true);
    kit_work(kit);
    struct pk_merged inner = merge_two(kit, A, B);
    (void)merge_two(kit, B, C);
    say(kit, A, 4);
    kit_work(kit);
    assert_ok(pk_export_person(&kit->domain, &kit->bed.by, NULL, C, put, &text, &kit->err),
              &kit->err);
    assert_non_null(strstr(pk_buf_text(&text), "\"mergedFrom\":\""
                                               "a0000000"));
    assert_non_null(strstr(pk_buf_text(&text), "\"mergedFrom\":\""
                                               "b0000000"));
    assert_non_null(strstr(pk_buf_text(&text), "a0000000-0000-4000-8000-000000000001:research"));
    assert_non_null(strstr(pk_buf_text(&text), "\"people\":3"));
    assert_non_null(strstr(pk_buf_text(&text), "\"observations\":4"));
    assert_ok(pk_erase_person(&kit->domain, &kit->bed.by, A, task, &kit->err), &kit->err);
    expect_done(kit, task);
    assert_ok(pk_erase_person(&kit->domain, &kit->bed.by, B, again, &kit->err), &kit->err);
    assert_string_equal(task, again);
    for (size_t i = 0; i < PEOPLE; i++) {
        static const char *const gone[] = { "observations",  "processing", "mindscapes",
                                            "trait_history", "knowledge",  "narratives",
                                            "consents",      "people",     "graph_nodes",
                                            "feedback" };
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *receipt = NULL;
        for (size_t n = 0; n < sizeof(gone) / sizeof(gone[0]); n++) {
            assert_int_equal(kit_count(kit, gone[n], NULL, NULL), 0);
        }
        assert_ok(pk_erase_receipt(&kit->domain, person[i], 0, &receipt, &kit->err), &kit->err);
        assert_string_equal(pk_doc_id(receipt), C);
        assert_int_equal(pk_doc_int(receipt, "counts.people", 0), 3);
        assert_int_equal(pk_doc_int(receipt, "counts.observations", 0), 4);
        struct pk_accepted late = send_as(kit, person[i], NULL, NULL, 5);
        assert_false(late.is_ok);
        expect_error(&late.err, PK_CONFLICT, "erased");
        pk_accepted_done(&late);
    }
    assert_false(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, inner.id, &undone, &kit->err));
    expect_error(&kit->err, PK_CONFLICT, "erased");
}

/* ---- What it would do ---- */

TEST(a_dry_run_counts_what_would_move_and_shows_where_the_two_disagree)
{
    KIT(kit, false);
    const struct pk_merge_ask ask = { .from = A, .into = B };
    bson_t out = BSON_INITIALIZER;
    teach(&kit);
    say(&kit, A, 1);
    say(&kit, A, 5);
    say(&kit, B, 2);
    kit_work(&kit);
    assert_ok(pk_merge_dry(&kit.domain, &ask, 0, &out, &kit.err), &kit.err);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_new(&out);
    assert_int_equal(pk_doc_int(doc, "moves.observations", 0), 2);
    char *text = kit_text(&out);
    assert_non_null(strstr(text, "work.tool"));
    assert_non_null(strstr(text, "Tool 2"));
    pk_free(text);
    bson_destroy(&out);
    assert_int_equal(rows_of(&kit, "observations", A), 2);
    assert_int_equal(kit_count(&kit, "tombstones", NULL, NULL), 0);
}

/* ---- What cannot be ---- */

/* Of both there is more than a mindscape may hold: the merge fails for good, and can be undone. */
BOTH(a_merge_that_cannot_be_carried_out_can_be_undone)
{
    struct pk_merged merged, undone;
    kit_processor(kit, "much", "1.0.0", "work_session",
                  "for i = 1, 10 do\n"
                  "  t:set('big.' .. (s.minutes % 100) .. '.n' .. i, string.rep('x', 24000))\n"
                  "end");
    for (int i = 0; i < 9; i++) {
        say(kit, A, i);
        say(kit, B, 10 + i);
    }
    kit_work(kit);
    assert_int_equal(kit_count(kit, "outbox", "status", "failed"), 0);
    char *first = essence_of(kit, A), *second = essence_of(kit, B);
    assert_ok(try_merge(kit, A, B, &merged), &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = kit_get(kit, "outbox", merged.task);
    assert_string_equal(pk_doc_text(task, "status"), "failed");
    assert_non_null(strstr(pk_doc_text(task, "lastError"), "too_large"));
    assert_ok(pk_merge_undo(&kit->domain, &kit->bed.by, NULL, B, merged.id, &undone, &kit->err),
              &kit->err);
    kit_work(kit);
    expect_same(first, essence_of(kit, A));
    expect_same(second, essence_of(kit, B));
    assert_int_equal(rows_of(kit, "observations", A), 9);
}

/* Who is being erased is not merged any more. */
TEST(nobody_is_merged_while_he_is_erased)
{
    KIT(kit, false);
    struct pk_merged merged;
    char task[PK_UUID_TEXT];
    say(&kit, A, 1);
    say(&kit, B, 2);
    assert_ok(pk_erase_person(&kit.domain, &kit.bed.by, A, task, &kit.err), &kit.err);
    assert_false(try_merge(&kit, A, B, &merged));
    expect_error(&kit.err, PK_CONFLICT, "being erased");
    assert_false(try_merge(&kit, B, A, &merged));
    expect_error(&kit.err, PK_CONFLICT, "being erased");
    kit_work(&kit);
    assert_false(try_merge(&kit, A, B, &merged));
    expect_error(&kit.err, PK_NOT_FOUND, "not any more");
}
