/* test_curation.c - People's corrections, pins, and decisions on what was proposed. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "doc/path.h"
#include "doc/schema_curation.h"
#include "persona/curation.h"
#include "persona/mindscape.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define BOTH(name)                             \
    static void check_##name(struct kit *kit); \
    TEST(name)                                 \
    {                                          \
        KIT(kit, false);                       \
        check_##name(&kit);                    \
    }                                          \
    TEST(name##_on_mongodb)                    \
    {                                          \
        KIT(kit, true);                        \
        check_##name(&kit);                    \
    }                                          \
    static void check_##name(struct kit *kit)

/* A trait's document as JSON, or NULL; freed by the caller. */
static char *trait_text(struct kit *kit, const char *person, const char *path)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    bson_t view, trait;
    bson_iter_t iter, each, id;
    pk_doc_view(mindscape, &view);
    assert_true(bson_iter_init_find(&iter, &view, "traits") && bson_iter_recurse(&iter, &each));
    while (bson_iter_next(&each)) {
        const uint8_t *data;
        uint32_t size;
        bson_iter_document(&each, &size, &data);
        assert_true(bson_init_static(&trait, data, size));
        assert_true(bson_iter_init_find(&id, &trait, "id"));
        if (strcmp(bson_iter_utf8(&id, NULL), path) == 0) {
            return kit_text(&trait);
        }
    }
    return NULL;
}

static void expect_trait(struct kit *kit, const char *person, const char *path, const char *part)
{
    char *text = trait_text(kit, person, path);
    if (!text || !strstr(text, part)) {
        fail_msg("'%s' is %s, without %s", path, text ? text : "not there", part);
    }
    pk_free(text);
}

static void expect_no_trait(struct kit *kit, const char *person, const char *path)
{
    char *text = trait_text(kit, person, path);
    assert_null(text);
}

/* A patch as it comes over HTTP, accepted by its schema. */
static bool patch(struct kit *kit, const char *person, int64_t version, const char *json,
                  struct pk_curated *out)
{
    struct pk_faults faults = { 0 };
    bson_t sent, accepted;
    kit_json(&sent, "%s", json);
    if (!pk_schema_accept(&pk_schema_mindscape_patch, &sent, &accepted, &faults)) {
        (void)pk_faults_fail(&faults, &kit->err);
        fail_msg("%s", kit->err.message);
    }
    bson_destroy(&sent);
    const bool ok =
        pk_curation_patch(&kit->domain, &kit->bed.by, person, version, &accepted, out, &kit->err);
    bson_destroy(&accepted);
    return ok;
}

static int64_t version_of(struct kit *kit, const char *person)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    return pk_doc_int(mindscape, "version", -1);
}

BOTH(a_correction_outranks_what_scripts_derive)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    struct pk_curated curated;
    kit_processor(kit, "tone", "1.0.0", "chat_log", "t:set('communication.tone', s.tone)");
    kit_person(kit, person);
    kit_observe(kit, person, "chat_log", "{'tone': 'formal'}", observation);
    kit_work(kit);
    expect_trait(kit, person, "communication.tone", "\"value\":\"formal\"");
    assert_ok(patch(kit, person, version_of(kit, person),
                    "{'traits': [{'id': 'communication/tone', 'value': 'casual'}],"
                    " 'goals': [{'description': 'run a marathon', 'priority': 'high'}],"
                    " 'beliefs': [{'statement': 'tea beats coffee'}],"
                    " 'narrative': {'summary': 'a runner'},"
                    " 'now': [{'key': 'mood', 'value': 'calm', 'ttl': 60}]}",
                    &curated),
              &kit->err);
    kit_work(kit);
    expect_trait(kit, person, "communication.tone", "\"value\":\"casual\"");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", person);
    assert_string_equal(pk_doc_text(mindscape, "goals.0.description"), "run a marathon");
    assert_string_equal(pk_doc_text(mindscape, "goals.0.priority"), "high");
    assert_string_equal(pk_doc_text(mindscape, "beliefs.0.statement"), "tea beats coffee");
    assert_string_equal(pk_doc_text(mindscape, "narrative.summary"), "a runner");
    assert_string_equal(pk_doc_text(mindscape, "highVolatileCache.mood"), "calm");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *said = kit_get(kit, "observations", curated.observation);
    assert_string_equal(pk_doc_text(said, "sourceType"), "curation");
    assert_string_equal(pk_doc_text(said, "processingStatus"), "processed");
    assert_int_equal(pk_doc_int(said, "seq", 0), 2);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = kit_get(kit, "outbox", curated.task);
    assert_string_equal(pk_doc_text(task, "status"), "done");
    assert_int_equal(kit_count(kit, "audit", "action", "mindscape.curated"), 1);
}

BOTH(what_has_changed_since_is_said)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    struct pk_curated curated;
    kit_processor(kit, "tone", "1.0.0", "chat_log", "t:set('communication.tone', s.tone)");
    kit_person(kit, person);
    const int64_t before = version_of(kit, person);
    kit_observe(kit, person, "chat_log", "{'tone': 'formal'}", observation);
    kit_work(kit);
    assert_false(
        patch(kit, person, before + 1000, "{'now': [{'key': 'mood', 'value': 'calm'}]}", &curated));
    assert_int_equal(kit->err.code, PK_PRECONDITION);
    struct pk_curated other;
    assert_ok(patch(kit, person, 0, "{'now': [{'key': 'mood', 'value': 'calm'}]}", &other),
              &kit->err);
    const int64_t read = version_of(kit, person);
    kit_work(kit);
    assert_false(patch(kit, person, read, "{'traits': [{'id': 'x', 'value': 1}]}", &curated));
    expect_error(&kit->err, PK_PRECONDITION, "mood");
    assert_int_equal(kit_count(kit, "observations", NULL, NULL), 2);
}

/* The first is accepted and not carried out yet: the second was decided without it. */
BOTH(of_two_corrections_of_one_version_one_is_accepted)
{
    static const char *const said[] = {
        "{'traits': [{'id': 'work.focus', 'value': 1}]}", "{'goals': [{'description': 'swim'}]}",
        "{'beliefs': [{'statement': 'be kind'}]}",        "{'narrative': {'summary': 'a runner'}}",
        "{'now': [{'key': 'mood', 'value': 'calm'}]}",
    };
    static const char *const changed[] = { "work.focus", "goals", "beliefs", "narrative",
                                           "hot:mood" };
    char person[PK_UUID_TEXT];
    struct pk_curated curated;
    kit_person(kit, person);
    assert_ok(patch(kit, person, 0, "{'now': [{'key': 'place', 'value': 'home'}]}", &curated),
              &kit->err);
    for (size_t i = 0; i < PK_COUNT(said); i++) {
        const int64_t read = version_of(kit, person);
        assert_ok(patch(kit, person, read, said[i], &curated), &kit->err);
        assert_false(patch(kit, person, read, "{'traits': [{'id': 'x', 'value': 1}]}", &curated));
        expect_error(&kit->err, PK_PRECONDITION, changed[i]);
        assert_true(version_of(kit, person) > read);
    }
    assert_ok(patch(kit, person, 0, said[0], &curated), &kit->err); /* Whatever it is. */
    assert_int_equal(kit_count(kit, "observations", NULL, NULL), PK_COUNT(said) + 2);
    kit_work(kit);
    expect_trait(kit, person, "work.focus", "\"value\":1");
    expect_no_trait(kit, person, "x");
}

struct crowd {
    struct kit *kit;
    const char *person;
    int64_t version;
    atomic_int accepted, refused;
};

static void *correct_once(void *context)
{
    struct crowd *crowd = context;
    struct pk_error err = { 0 };
    struct pk_curated curated;
    bson_t changes;
    struct pk_by by = crowd->kit->bed.by;
    by.deadline_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    kit_json(&changes, "{'traits': [{'traitName': 'work.focus', 'value': 1}]}");
    if (pk_curation_patch(&crowd->kit->domain, &by, crowd->person, crowd->version, &changes,
                          &curated, &err)) {
        crowd->accepted++;
    } else if (err.code == PK_PRECONDITION && strstr(err.message, "work.focus")) {
        crowd->refused++;
    }
    bson_destroy(&changes);
    return NULL;
}

BOTH(of_many_corrections_of_one_version_at_once_one_is_accepted)
{
    enum { MANY = 64 };
    char person[PK_UUID_TEXT];
    pthread_t thread[MANY];
    struct pk_curated curated;
    kit_person(kit, person);
    assert_ok(patch(kit, person, 0, "{'now': [{'key': 'place', 'value': 'home'}]}", &curated),
              &kit->err);
    struct crowd crowd = { .kit = kit, .person = person, .version = version_of(kit, person) };
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, correct_once, &crowd), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_int_equal(crowd.accepted, 1);
    assert_int_equal(crowd.refused, MANY - 1);
}

/* Without a version each is taken, one after the other. */
BOTH(of_many_corrections_of_no_version_at_once_all_are_accepted)
{
    enum { MANY = 32 };
    char person[PK_UUID_TEXT];
    pthread_t thread[MANY];
    kit_person(kit, person);
    struct crowd crowd = { .kit = kit, .person = person };
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, correct_once, &crowd), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_int_equal(crowd.accepted, MANY);
}

/* A mindscape shows 'traitMatrix' with 'traitName'; 'traits' with 'id' are their short names. */
BOTH(a_correction_takes_the_names_that_are_shown)
{
    char person[PK_UUID_TEXT];
    struct pk_curated curated;
    kit_person(kit, person);
    assert_ok(patch(kit, person, 0,
                    "{'traitMatrix': [{'traitName': 'work/focus', 'value': 'late'}],"
                    " 'traits': [{'traitName': 'work.place', 'value': 'home'},"
                    "            {'id': 'work.pace', 'value': 'slow'}]}",
                    &curated),
              &kit->err);
    kit_work(kit);
    expect_trait(kit, person, "work.focus", "\"value\":\"late\"");
    expect_trait(kit, person, "work.place", "\"value\":\"home\"");
    expect_trait(kit, person, "work.pace", "\"value\":\"slow\"");
}

TEST(a_correction_names_each_trait_once)
{
    static const char *const bad[] = {
        "{'traits': [{'value': 1}]}",
        "{'traitMatrix': [{'traitName': 'a.b', 'id': 'a.c', 'value': 1}]}",
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
        bson_t sent, accepted;
        kit_json(&sent, "%s", bad[i]);
        assert_false(pk_schema_accept(&pk_schema_mindscape_patch, &sent, &accepted, &faults));
        assert_int_equal(faults.count, 1);
        assert_non_null(strstr(faults.fault[0].expected, "'traitName' or 'id'"));
        bson_destroy(&sent);
    }
}

BOTH(a_correction_that_says_nothing_or_what_cannot_be_is_refused)
{
    static const struct {
        const char *json;
        enum pk_code code;
        const char *part;
    } bad[] = {
        { "{}", PK_INVALID, "says nothing" },
        { "{'traits': [{'id': 'a.b'}]}", PK_INVALID, "nothing is said of trait 'a.b'" },
        { "{'goals': [{'priority': 'low'}]}", PK_INVALID, "neither 'description'" },
        { "{'goals': [{'goalId': '11111111-1111-4111-8111-111111111111', 'remove': true}]}",
          PK_NOT_FOUND, "no such entry in 'goals'" },
        { "{'beliefs': [{'statement': 'x', 'remove': true}]}", PK_INVALID, "has no 'beliefId'" },
    };
    char person[PK_UUID_TEXT], nobody[PK_UUID_TEXT];
    struct pk_curated curated;
    kit_person(kit, person);
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        assert_false(patch(kit, person, 0, bad[i].json, &curated));
        expect_error(&kit->err, bad[i].code, bad[i].part);
    }
    pk_uuid_new(nobody);
    assert_false(patch(kit, nobody, 0, "{'traits': [{'id': 'a', 'value': 1}]}", &curated));
    expect_error(&kit->err, PK_NOT_FOUND, "no such person");
    assert_int_equal(kit_count(kit, "observations", NULL, NULL), 0);
    assert_int_equal(kit_count(kit, "outbox", NULL, NULL), 0);
}

BOTH(a_trait_is_pinned_unpinned_and_forgotten)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    struct pk_curated curated;
    kit_processor(kit, "tone", "1.0.0", "chat_log", "t:set('communication.tone', s.tone)");
    kit_person(kit, person);
    kit_observe(kit, person, "chat_log", "{'tone': 'formal'}", observation);
    kit_work(kit);
    assert_ok(pk_curation_pin(&kit->domain, &kit->bed.by, person, "communication.tone", true,
                              &curated, &kit->err),
              &kit->err);
    kit_work(kit);
    expect_trait(kit, person, "communication.tone", "\"pinned\":true");
    assert_ok(pk_curation_pin(&kit->domain, &kit->bed.by, person, "communication.tone", false,
                              &curated, &kit->err),
              &kit->err);
    kit_work(kit);
    char *text = trait_text(kit, person, "communication.tone");
    assert_null(strstr(text, "\"pinned\":true"));
    pk_free(text);
    assert_false(
        pk_curation_pin(&kit->domain, &kit->bed.by, person, "no.such", true, &curated, &kit->err));
    expect_error(&kit->err, PK_NOT_FOUND, "'no.such'");
    assert_ok(patch(kit, person, 0, "{'traits': [{'id': 'communication.tone', 'value': null}]}",
                    &curated),
              &kit->err);
    kit_work(kit);
    expect_no_trait(kit, person, "communication.tone");
}

BOTH(goals_and_beliefs_are_changed_and_removed_by_id)
{
    char person[PK_UUID_TEXT], json[256];
    struct pk_curated curated;
    kit_person(kit, person);
    assert_ok(patch(kit, person, 0,
                    "{'goals': [{'description': 'swim'}], 'beliefs': [{'statement': 'be kind'}]}",
                    &curated),
              &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = kit_get(kit, "mindscapes", person);
    (void)snprintf(json, sizeof(json),
                   "{'goals': [{'goalId': '%s', 'priority': 'high'}],"
                   " 'beliefs': [{'beliefId': '%s', 'remove': true}]}",
                   pk_doc_text(first, "goals.0.goalId"), pk_doc_text(first, "beliefs.0.beliefId"));
    assert_ok(patch(kit, person, 0, json, &curated), &kit->err);
    kit_work(kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = kit_get(kit, "mindscapes", person);
    assert_string_equal(pk_doc_text(second, "goals.0.priority"), "high");
    assert_string_equal(pk_doc_text(second, "goals.0.goalId"),
                        pk_doc_text(first, "goals.0.goalId"));
    assert_null(pk_doc_text(second, "goals.1.goalId"));
    assert_null(pk_doc_text(second, "beliefs.0.beliefId"));
}

/* ---- Reviews ---- */

static const char *const review_all[] = { "*=review", NULL };

static void open_reviewed(struct kit *kit, bool is_mongo, char person[PK_UUID_TEXT],
                          char review[PK_UUID_TEXT])
{
    char observation[PK_UUID_TEXT];
    *kit = (struct kit){ .is_mongo = is_mongo, .conflict = review_all };
    kit_open(kit);
    kit_processor(kit, "tone", "1.0.0", "chat_log",
                  "if s.first then t:set('communication.tone', s.tone, { confidence = 0.8 })\n"
                  "else t:contradict('communication.tone', s.tone, { weight = 0.9 }) end");
    kit_person(kit, person);
    kit_observe(kit, person, "chat_log", "{'tone': 'formal', 'first': true}", observation);
    kit_observe(kit, person, "chat_log", "{'tone': 'casual'}", observation);
    kit_work(kit);
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    assert_ok(pk_review_list(&kit->domain, person, "pending", 10, NULL, &page, &kit->err),
              &kit->err);
    assert_int_equal(page.count, 1);
    (void)snprintf(review, PK_UUID_TEXT, "%s", pk_doc_id(page.doc[0]));
    expect_trait(kit, person, "communication.tone", "\"value\":\"formal\"");
}

static bool decide(struct kit *kit, const char *person, const char *review,
                   enum pk_review_decision decision, const char *status)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = NULL;
    struct pk_curated curated;
    if (!pk_review_decide(&kit->domain, &kit->bed.by, person, review, decision, &after, &curated,
                          &kit->err)) {
        return false;
    }
    assert_string_equal(pk_doc_text(after, "status"), status);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = kit_get(kit, "reviews", review);
    assert_string_equal(pk_doc_text(stored, "status"), status);
    assert_int_equal(pk_doc_version(stored), pk_doc_version(after));
    return true;
}

static void check_approve_and_undo(bool is_mongo)
{
    PK_CLEANUP(kit_done) struct kit kit = { 0 };
    char person[PK_UUID_TEXT], review[PK_UUID_TEXT];
    open_reviewed(&kit, is_mongo, person, review);
    char *before = trait_text(&kit, person, "communication.tone");
    assert_ok(decide(&kit, person, review, PK_REVIEW_APPROVE, "approved"), &kit.err);
    kit_work(&kit);
    expect_trait(&kit, person, "communication.tone", "\"value\":\"casual\"");
    assert_false(decide(&kit, person, review, PK_REVIEW_DECLINE, ""));
    expect_error(&kit.err, PK_CONFLICT, "the review is 'approved'");

    assert_ok(decide(&kit, person, review, PK_REVIEW_UNDO, "undone"), &kit.err);
    kit_work(&kit);
    char *after = trait_text(&kit, person, "communication.tone");
    assert_non_null(after);
    assert_string_equal(after, before);
    pk_free(before);
    pk_free(after);
    assert_false(decide(&kit, person, review, PK_REVIEW_APPROVE, ""));
    expect_error(&kit.err, PK_CONFLICT, "the review is 'undone'");
    assert_int_equal(kit_count(&kit, "audit", "action", "review.approved"), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "review.undone"), 1);
}

TEST(an_approval_sets_what_was_proposed_and_its_undo_restores_the_trait)
{
    check_approve_and_undo(false);
}

TEST(an_approval_sets_what_was_proposed_and_its_undo_restores_the_trait_on_mongodb)
{
    check_approve_and_undo(true);
}

static void check_decline(bool is_mongo)
{
    PK_CLEANUP(kit_done) struct kit kit = { 0 };
    char person[PK_UUID_TEXT], review[PK_UUID_TEXT], nobody[PK_UUID_TEXT];
    open_reviewed(&kit, is_mongo, person, review);
    assert_ok(decide(&kit, person, review, PK_REVIEW_DECLINE, "declined"), &kit.err);
    kit_work(&kit);
    expect_trait(&kit, person, "communication.tone", "\"value\":\"formal\"");
    assert_ok(decide(&kit, person, review, PK_REVIEW_UNDO, "pending"), &kit.err);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = kit_get(&kit, "reviews", review);
    assert_null(pk_doc_text(again, "decidedBy"));
    pk_uuid_new(nobody);
    assert_false(decide(&kit, nobody, review, PK_REVIEW_APPROVE, ""));
    expect_error(&kit.err, PK_NOT_FOUND, "no such review");
    assert_false(decide(&kit, person, nobody, PK_REVIEW_APPROVE, ""));
    expect_error(&kit.err, PK_NOT_FOUND, "no such review");
}

TEST(a_decline_changes_nothing_and_its_undo_makes_it_wait_again)
{
    check_decline(false);
}

TEST(a_decline_changes_nothing_and_its_undo_makes_it_wait_again_on_mongodb)
{
    check_decline(true);
}

/* What the approval will change is not known before it has. */
TEST(an_approval_that_was_not_carried_out_yet_cannot_be_undone)
{
    PK_CLEANUP(kit_done) struct kit kit = { 0 };
    char person[PK_UUID_TEXT], review[PK_UUID_TEXT];
    open_reviewed(&kit, false, person, review);
    pk_outbox_stop(kit.domain.outbox);
    assert_ok(decide(&kit, person, review, PK_REVIEW_APPROVE, "approved"), &kit.err);
    assert_false(decide(&kit, person, review, PK_REVIEW_UNDO, ""));
    expect_error(&kit.err, PK_CONFLICT, "not been carried out");
}
