/* test_train.c - A mapper learns from feedback: what is proposed with enough behind it becomes a
 * draft that acts so, the feedback is incorporated, and nothing else changes. */
/* SPDX-License-Identifier: MIT */
#include "sketch.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/schema.h"
#include "doc/schema_train.h"
#include "persona/feedback.h"
#include "persona/registry.h"
#include "persona/train.h"
#include "persona/trial.h"
#include "script/bundle.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#define BOTH(name)                        \
    static void name##_on(bool is_mongo); \
    TEST(name##_on_sqlite)                \
    {                                     \
        name##_on(false);                 \
    }                                     \
    TEST(name##_on_mongodb)               \
    {                                     \
        name##_on(true);                  \
    }                                     \
    static void name##_on(bool is_mongo)

/* Votes as the shipped processor does; a feedback that says 'fail' is too much for it. */
#define VOTES                                                                                \
    "if s.context == 'fail' then error('no') end\n"                                          \
    "if s.context == 'limit' then t:configure('limit', 5, { weight = 0.5 }) return end\n"    \
    "if s.context == 'sure' then t:tune(s.ruleId, { min_confidence = 0.9, weight = 1 })"     \
    " return end\n"                                                                          \
    "if s.context == 'word' then t:tune(s.ruleId, { text = 'Be short', weight = 1 }) return" \
    " end\n"                                                                                 \
    "if s.helpful then t:keep(s.ruleId) return end\n"                                        \
    "t:tune(s.ruleId, { priority = 'lower' })\n"                                             \
    "t:tune(s.ruleId, { off = true, weight = 0.2 })"

static void put_mapper(struct kit *kit)
{
    kit_script(
        kit, PK_SCRIPT_MAPPER,
        "return pk.mapper {\n"
        "  id = \"planner\", version = \"1.0.0\",\n"
        "  limits = { soft_ms = 1000, hard_ms = 5000 },\n"
        "  config = { limit = { type = \"integer\", default = 3 } },\n"
        "  rules = {\n"
        "    pk.rule { id = \"early\", when = pk.trait(\"tone\"):is(\"direct\"),\n"
        "      suggest = \"Be brief\", priority = \"high\" },\n"
        "    pk.rule { id = \"late.one\", when = pk.trait(\"tone\"):exists(),\n"
        "      suggest = \"Take your time\" },\n"
        "  },\n"
        "  core = function(m, ctx) return { limit = { (ctx.config or {}).limit or 0 } } end,\n"
        "  examples = { { given = { tone = \"direct\" }, expect = {\n"
        "    fired = { \"early\", \"late.one\" } } } },\n"
        "}\n");
}

/* With time enough on a crowded machine: who is stopped has learnt nothing. */
static void put_votes(struct kit *kit, const char *version, const char *body)
{
    kit_script(kit, PK_SCRIPT_PROCESSOR,
               "return pk.processor {\n"
               "  id = \"votes\", version = \"%s\", accepts = { \"" PK_FEEDBACK_TYPE "\" },\n"
               "  limits = { soft_ms = 1000, hard_ms = 5000 },\n"
               "  process = function(obs, m, t)\n"
               "    local s = obs.content.structured\n"
               "    %s\n"
               "  end,\n"
               "}\n",
               version, body);
}

static void open_kit(struct kit *kit)
{
    put_mapper(kit);
    put_votes(kit, "1.0.0", VOTES);
}

/* A feedback that waits, on the mapper's version 1.0.0. */
static void say(struct kit *kit, const char *rule, const char *more)
{
    char id[PK_UUID_TEXT], person[PK_UUID_TEXT], at[PK_TIME_TEXT];
    pk_uuid_new(id);
    pk_uuid_new(person);
    pk_clock_fake_advance(&kit->clock, 1);
    pk_time_format(kit_now(kit), at);
    kit_put(kit, "feedback",
            "{'_id':'%s','userId':'%s','personaInstanceId':'%s','mapperId':'planner',"
            "'mapperVersion':'1.0.0','actorId':'a','ratings':{'overall':2},'ruleId':'%s',%s"
            "'impact':{'taskSuccessImpact':'negative','wouldUseAgain':false,"
            "'recommendationScore':3},'submittedAt':'%s','submittedBy':'a',"
            "'processingStatus':'pending'}",
            id, person, id, rule, more, at);
}

static void say_many(struct kit *kit, const char *rule, const char *more, int count)
{
    for (int i = 0; i < count; i++) {
        say(kit, rule, more);
    }
}

static struct pk_doc *shown(struct kit *kit)
{
    bson_t out;
    struct pk_faults faults = { 0 };
    assert_ok(pk_train_show(&kit->domain, "planner", 0, &out, &kit->err), &kit->err);
    if (!pk_schema_check(&pk_schema_training_view, &out, &faults)) {
        (void)pk_faults_fail(&faults, &kit->err);
        fail_msg("%s", kit->err.message);
    }
    struct pk_doc *doc = pk_doc_new(&out);
    bson_destroy(&out);
    return doc;
}

/* Trains, to its end; what is shown then. */
static struct pk_doc *train_with(struct kit *kit, struct pk_train train)
{
    char task[PK_UUID_TEXT];
    train.mapper = "planner";
    (void)kit_outbox(kit);
    pk_clock_fake_advance(&kit->clock, 1);
    assert_ok(pk_train_ask(&kit->domain, &kit->bed.by, &train, task, &kit->err), &kit->err);
    kit_work(kit);
    struct pk_doc *made = shown(kit);
    assert_string_equal(pk_doc_text(made, "taskId"), task);
    return made;
}

static struct pk_doc *train(struct kit *kit)
{
    return train_with(kit, (struct pk_train){ .since_ms = 0 });
}

static void expect_text(const struct pk_doc *doc, const char *path, const char *text)
{
    const char *found = pk_doc_text(doc, path);
    if (!found || strcmp(found, text) != 0) {
        bson_t view;
        pk_doc_view(doc, &view);
        fail_msg("%s is '%s', not '%s': %s", path, found ? found : "(nothing)", text,
                 kit_text(&view));
    }
}

static void expect_done(const struct pk_doc *made, const char *version)
{
    expect_text(made, "status", "done");
    if (version) {
        expect_text(made, "version", version);
    } else {
        assert_null(pk_doc_text(made, "version"));
    }
}

static size_t waiting(struct kit *kit)
{
    return kit_count(kit, "feedback", "processingStatus", "pending") +
           kit_count(kit, "feedback", "processingStatus", "processed");
}

static struct pk_doc *version_of(struct kit *kit, const char *version)
{
    struct pk_doc *doc = NULL;
    assert_ok(pk_registry_get(kit->domain.registry, PK_SCRIPT_MAPPER, "planner", version, &doc,
                              &kit->err),
              &kit->err);
    return doc;
}

/* What a version makes of a person who has this tone. */
static struct pk_doc *run(struct kit *kit, const struct sketch *sketch, const char *version)
{
    const struct pk_trial trial = { .mapper = "planner",
                                    .version = version,
                                    .person = sketch->person,
                                    .detail = PK_DETAIL_INSTANT };
    bson_t out;
    assert_ok(pk_trial_run(&kit->domain, &trial, &out, &kit->err), &kit->err);
    struct pk_doc *doc = pk_doc_new(&out);
    bson_destroy(&out);
    return doc;
}

static void sketch_tone(struct sketch *sketch, struct kit *kit)
{
    sketch_open(sketch, kit);
    (void)sketch_trait(sketch, "tone", "'direct'");
    sketch_write(sketch);
}

/* ---- It learns ---- */

BOTH(three_who_were_not_helped_lower_the_rule_in_a_draft)
{
    KIT(kit, is_mongo);
    struct sketch sketch = { 0 };
    open_kit(&kit);
    sketch_tone(&sketch, &kit);
    say_many(&kit, "early", "'helpful':false,", 3);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, "1.0.1");
    expect_text(made, "parentVersion", "1.0.0");
    expect_text(made, "changes.0.ruleId", "early");
    expect_text(made, "changes.0.field", "priority");
    expect_text(made, "changes.0.value", "medium");
    expect_text(made, "changes.0.before", "high");
    expect_text(made, "open.0.field", "off");
    expect_text(made, "open.0.why", "too little speaks for it");
    assert_int_equal(pk_doc_int(made, "samples", 0), 3);
    assert_int_equal(pk_doc_int(made, "incorporated", 0), 3);
    assert_true(pk_doc_date(made, "completedAt", 0) > 0);

    /* The draft is one, with what the specification wants to know of it. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *draft = version_of(&kit, "1.0.1");
    expect_text(draft, "status", "draft");
    expect_text(draft, "parentVersion", "1.0.0");
    expect_text(draft, "createdBy", kit.bed.by.actor_id);
    expect_text(draft, "trainingMetadata.trainingDatasetId", pk_doc_text(made, "taskId"));
    assert_int_equal(pk_doc_int(draft, "trainingMetadata.totalFeedbackCount", 0), 3);
    assert_true(pk_doc_number(draft, "trainingMetadata.averageEffectivenessScore", 0) == 2);
    assert_true(pk_doc_date(draft, "trainingMetadata.lastTrainingRun", 0) > 0);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *parent = version_of(&kit, "1.0.0");
    expect_text(parent, "status", "active");

    /* It acts so, and what is active does not. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = run(&kit, &sketch, "1.0.0");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *new = run(&kit, &sketch, "1.0.1");
    expect_text(old, "contextualOverlay.suggestions.0.priority", "high");
    expect_text(new, "contextualOverlay.suggestions.0.ruleId", "early");
    expect_text(new, "contextualOverlay.suggestions.0.priority", "medium");

    /* Feedback says where it went; followers and the audit log are told once. */
    assert_int_equal(kit_count(&kit, "feedback", "incorporatedVersion", "1.0.1"), 3);
    assert_int_equal(waiting(&kit), 0);
    assert_int_equal(kit_count(&kit, "events", "eventType", "mapper.training.completed"), 1);
    assert_int_equal(kit_count(&kit, "audit", "action", "mapper.training.asked"), 1);
    assert_int_equal(kit_count(&kit, "audit", "action", "mapper.trained"), 1);
}

BOTH(five_switch_it_off_and_the_diff_says_so)
{
    KIT(kit, is_mongo);
    struct sketch sketch = { 0 };
    bson_t out;
    open_kit(&kit);
    sketch_tone(&sketch, &kit);
    say_many(&kit, "late.one", "'helpful':false,", 5);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, "1.0.1");
    expect_text(made, "changes.0.field", "off");
    assert_true(pk_doc_bool(made, "changes.0.value", false));
    expect_text(made, "open.0.why", "the rule is switched off");
    const struct pk_trial_pair pair = { .mapper = "planner",
                                        .version = "1.0.1",
                                        .against = "1.0.0",
                                        .detail = PK_DETAIL_INSTANT,
                                        .sample = 10,
                                        .budget_ms = 20000 };
    assert_ok(pk_trial_differ(&kit.domain, &pair, &out, &kit.err), &kit.err);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *differ = pk_doc_new(&out);
    bson_destroy(&out);
    assert_int_equal(pk_doc_int(differ, "differ", 0), 1);
    expect_text(differ, "differences.0.rulesRemoved.0", "late.one");

    /* Trained again from the draft: it stays off, and what is new is added to it. */
    say(&kit, "early", "'context':'word',");
    say_many(&kit, "early", "'context':'limit',", 2);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *again = train_with(&kit, (struct pk_train){ .version = "1.0.1" });
    expect_done(again, "1.0.2");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *draft = version_of(&kit, "1.0.2");
    expect_text(draft, "parentVersion", "1.0.1");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *new = run(&kit, &sketch, "1.0.2");
    expect_text(new, "ruleIds.0", "early");
    assert_null(pk_doc_text(new, "ruleIds.1"));
    expect_text(new, "contextualOverlay.suggestions.0.text", "Be short");
    assert_int_equal(pk_doc_int(new, "personaCore.limit.0", 0), 5);
    assert_int_equal(waiting(&kit), 0);
}

TEST(who_was_helped_speaks_against_it)
{
    KIT(kit, false);
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 3);
    say(&kit, "early", "'helpful':true,");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, NULL);
    assert_int_equal(pk_doc_int(made, "samples", 0), 4);
    assert_int_equal(pk_doc_int(made, "incorporated", -1), 0);
    assert_int_equal(waiting(&kit), 4);
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 1);

    /* It goes on counting: with one more there is enough, and all of them are weighed in it. */
    say(&kit, "early", "'helpful':false,");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *later = train(&kit);
    expect_done(later, "1.0.1");
    assert_int_equal(pk_doc_int(later, "incorporated", -1), 5);
    assert_int_equal(waiting(&kit), 0);
}

TEST(without_feedback_nothing_is_learned)
{
    KIT(kit, false);
    open_kit(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = shown(&kit);
    expect_text(before, "status", "none");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, NULL);
    assert_int_equal(pk_doc_int(made, "samples", -1), 0);
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 1);
}

TEST(only_feedback_since_then_counts)
{
    KIT(kit, false);
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 2);
    pk_clock_fake_advance(&kit.clock, 10000);
    const int64_t since = kit_now(&kit);
    say_many(&kit, "early", "'helpful':false,", 2);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *made = train_with(&kit, (struct pk_train){ .since_ms = since });
    expect_done(made, NULL);
    assert_int_equal(pk_doc_int(made, "samples", 0), 2);
}

TEST(a_dry_run_says_the_same_and_writes_nothing)
{
    KIT(kit, false);
    bson_t out;
    const struct pk_train ask = { .mapper = "planner" };
    struct pk_faults faults = { 0 };
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 3);
    const size_t events = kit_count(&kit, "events", NULL, NULL);
    assert_ok(pk_train_dry(&kit.domain, &kit.bed.by, &ask, &out, &kit.err), &kit.err);
    assert_true(pk_schema_check(&pk_schema_training_view, &out, &faults));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = pk_doc_new(&out);
    bson_destroy(&out);
    assert_true(pk_doc_bool(made, "dryRun", false));
    expect_text(made, "changes.0.value", "medium");
    expect_text(made, "version", "1.0.1");
    assert_int_equal(kit_count(&kit, "feedback", "processingStatus", "pending"), 3);
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "settings", NULL, NULL), 0);
    assert_int_equal(kit_count(&kit, "events", NULL, NULL), events);
}

/* ---- What goes wrong ---- */

TEST(feedback_that_its_processor_fails_on_waits_and_the_rest_goes_on)
{
    KIT(kit, false);
    open_kit(&kit);
    say(&kit, "early", "'context':'fail',");
    say_many(&kit, "early", "'helpful':false,", 3);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, "1.0.1");
    assert_int_equal(pk_doc_int(made, "failures", 0), 1);
    assert_non_null(strstr(pk_doc_text(made, "problem"), "votes"));
    assert_int_equal(kit_count(&kit, "feedback", "processingStatus", "pending"), 1);
    assert_int_equal(kit_count(&kit, "feedback", "processingStatus", "incorporated"), 3);
}

TEST(a_draft_that_fails_its_examples_is_not_written)
{
    KIT(kit, false);
    open_kit(&kit);
    say(&kit, "early", "'context':'sure',"); /* Its example is less sure than that. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_text(made, "status", "failed");
    assert_non_null(strstr(pk_doc_text(made, "problem"), "fired"));
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "outbox", "status", "failed"), 1);
    assert_int_equal(kit_count(&kit, "feedback", "processingStatus", "incorporated"), 0);
    assert_int_equal(kit_count(&kit, "events", "eventType", "mapper.training.completed"), 0);
    /* Others may try again. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = train(&kit);
    expect_text(again, "status", "failed");
}

TEST(what_the_mapper_does_not_have_is_not_changed)
{
    KIT(kit, false);
    open_kit(&kit);
    say_many(&kit, "gone", "'helpful':false,", 3);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, NULL);
    expect_text(made, "open.1.ruleId", "gone");
    expect_text(made, "open.1.why", "there is no such rule");
    assert_int_equal(waiting(&kit), 3);
}

TEST(one_mapper_is_trained_once_at_a_time)
{
    KIT(kit, false);
    struct pk_error err = { 0 };
    char first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    const struct pk_train ask = { .mapper = "planner" };
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 3);
    assert_ok(pk_train_ask(&kit.domain, &kit.bed.by, &ask, first, &kit.err), &kit.err);
    assert_false(pk_train_ask(&kit.domain, &kit.bed.by, &ask, second, &err));
    expect_error(&err, PK_CONFLICT, "being trained already");
    assert_non_null(strstr(err.message, first));
    kit_work(&kit);
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 2);
}

TEST(somebody_must_be_there_who_learns_and_something_to_be_trained)
{
    KIT(kit, false);
    struct pk_error err = { 0 };
    char task[PK_UUID_TEXT];
    put_mapper(&kit);
    assert_false(pk_train_ask(&kit.domain, &kit.bed.by, &(struct pk_train){ .mapper = "planner" },
                              task, &err));
    expect_error(&err, PK_CONFLICT, "no processor accepts it");
    err = (struct pk_error){ .code = PK_OK };
    assert_false(pk_train_ask(&kit.domain, &kit.bed.by, &(struct pk_train){ .mapper = "nobody" },
                              task, &err));
    expect_error(&err, PK_NOT_FOUND, "no such mapper");
    err = (struct pk_error){ .code = PK_OK };
    assert_false(pk_train_ask(&kit.domain, &kit.bed.by,
                              &(struct pk_train){ .mapper = "planner", .version = "9.0.0" }, task,
                              &err));
    expect_error(&err, PK_NOT_FOUND, "no such version");
    assert_int_equal(kit_count(&kit, "settings", NULL, NULL), 0);
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 0);
}

/* ---- Killed in the middle ---- */

/* The task's function by itself, with what it left in the store: its completion was lost. */
static void run_and_lose(struct kit *kit, const char *task_id)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(kit, "outbox", task_id);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_task task = { .doc = doc, .id = task_id, .type = PK_TRAIN_TASK, .attempt = 1 };
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "mapperId", "planner");
    task.payload = payload;
    task.outbox = kit_outbox(kit);
    kit->err = (struct pk_error){ .code = PK_OK };
    (void)pk_train_run(&kit->domain, &task, &list, &kit->err);
    bson_destroy(&payload);
}

/* The document with one field (of the object 'inside', or of itself) said anew, or gone. */
static void respell(struct kit *kit, const char *collection, const struct pk_doc *doc,
                    const char *field, const char *text)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bson_t view, *made = bson_new();
    pk_doc_view(doc, &view);
    bson_copy_to_excluding_noinit(&view, made, field, NULL);
    BSON_APPEND_UTF8(made, field, text);
    struct pk_doc *other = pk_doc_take(made);
    pk_writes_replace(&list, collection, other, pk_doc_version(doc));
    pk_doc_unref(other);
    assert_ok(pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err), &kit->err);
}

/* As it was when the draft was just written: no mark is set, and nobody was told. */
static void go_back(struct kit *kit)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = kit_get(kit, "settings", "train.planner");
    const struct pk_query all = { .collection = "feedback", .index = "_id", .limit = 100 };
    bson_t view, value, child, *made = bson_new();
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    assert_ok(pk_store_find(kit->bed.store, &all, 0, &page, &kit->err), &kit->err);
    for (size_t i = 0; i < page.count; i++) {
        respell(kit, "feedback", page.doc[i], "processingStatus", "processed");
    }
    pk_doc_view(row, &view);
    assert_true(bson_iter_init_find(&iter, &view, "value"));
    bson_iter_document(&iter, &size, &data);
    assert_true(bson_init_static(&value, data, size));
    bson_copy_to_excluding_noinit(&view, made, "value", NULL);
    bson_init(&child);
    bson_copy_to_excluding_noinit(&value, &child, "completedAt", "status", NULL);
    BSON_APPEND_UTF8(&child, "status", "running");
    BSON_APPEND_DOCUMENT(made, "value", &child);
    bson_destroy(&child);
    struct pk_doc *other = pk_doc_take(made);
    pk_writes_replace(&list, "settings", other, pk_doc_version(row));
    pk_doc_unref(other);
    assert_ok(pk_store_commit(kit->bed.store, &list, 0, NULL, &kit->err), &kit->err);
}

BOTH(one_that_was_cut_off_behind_its_draft_goes_on_there)
{
    KIT(kit, is_mongo);
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 3);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, "1.0.1");
    go_back(&kit);
    assert_int_equal(waiting(&kit), 3);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = train(&kit);
    expect_done(again, "1.0.1");
    assert_string_not_equal(pk_doc_text(again, "taskId"), pk_doc_text(made, "taskId"));
    assert_int_equal(pk_doc_int(again, "incorporated", 0), 3);
    assert_int_equal(waiting(&kit), 0);
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 2);
}

TEST(what_another_version_of_the_processor_has_said_is_asked_anew)
{
    KIT(kit, false);
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 2);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, NULL);
    put_votes(&kit, "2.0.0", "t:tune(s.ruleId, { priority = 'low', weight = 0.5 })");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = train(&kit);
    expect_done(again, "1.0.1");
    expect_text(again, "changes.0.value", "low");
}

TEST(feedback_is_not_weighed_twice)
{
    KIT(kit, false);
    open_kit(&kit);
    say_many(&kit, "early", "'helpful':false,", 3);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = train(&kit);
    expect_done(made, "1.0.1");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = train(&kit);
    expect_done(again, NULL);
    assert_int_equal(pk_doc_int(again, "samples", -1), 0);
    /* A task that runs once more after its end does nothing. */
    run_and_lose(&kit, pk_doc_text(again, "taskId"));
    run_and_lose(&kit, pk_doc_text(made, "taskId"));
    assert_int_equal(kit_count(&kit, "mappers", NULL, NULL), 2);
    assert_int_equal(kit_count(&kit, "feedback", "incorporatedVersion", "1.0.1"), 3);
}
