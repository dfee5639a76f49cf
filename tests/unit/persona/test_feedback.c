/* test_feedback.c - Feedback on personas that are or were: checked, counted, processed, added up.
 */
/* SPDX-License-Identifier: MIT */
#include "persona/feedback.h"
#include "sketch.h"

#include "base/alloc.h"
#include "doc/doc.h"
#include "persona/persona.h"
#include "persona/registry.h"
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

#define GOOD                                                                             \
    "'ratings':{'overall':4,'accuracy':5},'helpful':true,'impact':{'taskSuccessImpact':" \
    "'positive','wouldUseAgain':true,'recommendationScore':9}"
#define BAD                                                                             \
    "'ratings':{'overall':1},'helpful':false,'impact':{'taskSuccessImpact':'negative'," \
    "'wouldUseAgain':false,'recommendationScore':3}"

static void put_mapper(struct kit *kit, const char *version)
{
    kit_script(kit, PK_SCRIPT_MAPPER,
               "return pk.mapper {\n"
               "  id = \"planner\", version = \"%s\",\n"
               "  limits = { soft_ms = 1000, hard_ms = 5000 },\n"
               "  rules = {\n"
               "    pk.rule { id = \"early\", when = pk.trait(\"tone\"):is(\"direct\"),\n"
               "      suggest = \"Be brief\" },\n"
               "    pk.rule { id = \"late\", when = pk.trait(\"tone\"):is(\"slow\"),\n"
               "      suggest = \"Take your time\" },\n"
               "  },\n"
               "}\n",
               version);
}

/* Has the person's persona made; the caller drops the record of it. */
static struct pk_doc *make_persona(struct kit *kit, struct sketch *sketch)
{
    const struct pk_map_request request = { .mapper = "planner", .person = sketch->person };
    struct pk_mapped mapped;
    struct pk_doc *target = NULL;
    assert_ok(pk_persona_map(kit_personas(kit), &request, &mapped, &kit->err), &kit->err);
    assert_ok(pk_feedback_find(&kit->domain, pk_doc_id(mapped.persona), 0, &target, &kit->err),
              &kit->err);
    assert_non_null(target);
    assert_string_equal(pk_doc_id(target), pk_doc_text(mapped.persona, "personaInstanceId"));
    pk_mapped_done(&mapped);
    return target;
}

static struct pk_doc *open_persona(struct kit *kit, struct sketch *sketch)
{
    put_mapper(kit, "1.0.0");
    sketch_open(sketch, kit);
    (void)sketch_trait(sketch, "tone", "'direct'");
    sketch_write(sketch);
    return make_persona(kit, sketch);
}

/* 'body' is JSON with ' for "; the feedback is the caller's. */
static bool submit(struct kit *kit, const struct pk_doc *target, const char *body,
                   struct pk_feedback_taken *out)
{
    bson_t said;
    kit_json(&said, "%s", body);
    kit->err = (struct pk_error){ .code = PK_OK };
    const bool ok = pk_feedback_submit(&kit->domain, &kit->bed.by, target, &said, out, &kit->err);
    bson_destroy(&said);
    return ok;
}

static void take(struct kit *kit, const struct pk_doc *target, const char *body)
{
    struct pk_feedback_taken taken;
    assert_ok(submit(kit, target, body, &taken), &kit->err);
    pk_doc_unref(taken.doc);
}

static void refuse(struct kit *kit, const struct pk_doc *target, const char *body,
                   enum pk_code code, const char *field, const char *words)
{
    struct pk_feedback_taken taken;
    assert_false(submit(kit, target, body, &taken));
    expect_error(&kit->err, code, words);
    assert_string_equal(kit->err.field ? kit->err.field : "", field);
    assert_null(taken.doc);
    assert_int_equal(kit_count(kit, "feedback", "_id", NULL), 0);
    assert_int_equal(kit_count(kit, "events", "eventType", "feedback.received"), 0);
}

static void put_actor(struct kit *kit, const char *id, const char *type)
{
    kit_put(kit, "actors",
            "{'_id':'%s','actorType':'%s','name':'%s','description':'','capabilities':{"
            "'canRequestPersonas':false,'canProvideFeedback':true,'maxDetailLevel':'instant',"
            "'allowedMappers':['*']},'usageMetadata':{'totalPersonasRequested':0,"
            "'totalFeedbackProvided':0},'authenticationMethod':'api_key','createdAt':"
            "'2026-01-01T00:00:00Z','updatedAt':'2026-01-01T00:00:00Z','status':'active'}",
            id, type, type);
}

#define HUMAN  "aaaaaaaa-0000-4000-8000-000000000001"
#define SYSTEM "aaaaaaaa-0000-4000-8000-000000000002"

/* ---- Taken ---- */

BOTH(feedback_is_taken_with_its_counts_and_its_event)
{
    KIT(kit, is_mongo);
    struct sketch sketch = { 0 };
    struct pk_feedback_taken taken;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = open_persona(&kit, &sketch);
    put_actor(&kit, HUMAN, "human");
    kit.bed.by.actor_id = HUMAN;
    assert_ok(submit(&kit, target,
                     "{" GOOD ",'ruleId':'early','specificFeedback':{'whatWorkedWell':['all'],"
                     "'whatDidntWork':[],'suggestions':' '},'context':{'a%%2Eb':1}}",
                     &taken),
              &kit.err);
    assert_false(taken.is_queued);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(&kit, "feedback", pk_doc_id(taken.doc));
    assert_non_null(doc);
    assert_true(pk_doc_same(doc, taken.doc));
    assert_int_equal(pk_doc_version(doc), pk_doc_version(taken.doc));
    assert_string_equal(pk_doc_text(doc, "userId"), sketch.person);
    assert_string_equal(pk_doc_text(doc, "personaInstanceId"), pk_doc_id(target));
    assert_string_equal(pk_doc_text(doc, "mapperId"), "planner");
    assert_string_equal(pk_doc_text(doc, "mapperVersion"), "1.0.0");
    assert_string_equal(pk_doc_text(doc, "actorId"), HUMAN);
    assert_string_equal(pk_doc_text(doc, "submittedBy"), HUMAN);
    assert_string_equal(pk_doc_text(doc, "processingStatus"), "pending");
    assert_string_equal(pk_doc_text(doc, "ruleId"), "early");
    assert_int_equal(pk_doc_int(doc, "ratings.accuracy", 0), 5);
    assert_int_equal(kit_count(&kit, "events", "eventType", "feedback.received"), 1);

    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *actor = kit_get(&kit, "actors", HUMAN);
    assert_int_equal(pk_doc_int(actor, "usageMetadata.totalFeedbackProvided", 0), 1);
    assert_int_equal(pk_doc_int(actor, "usageMetadata.feedbackWords", 0), 1);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *persona = kit_get(&kit, "personas", pk_doc_text(target, "personaId"));
    assert_true(pk_doc_bool(persona, "usageMetadata.feedbackReceived", false));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mapper = NULL;
    assert_ok(pk_registry_get(kit.domain.registry, PK_SCRIPT_MAPPER, "planner", "1.0.0", &mapper,
                              &kit.err),
              &kit.err);
    assert_int_equal(pk_doc_int(mapper, "trainingMetadata.totalFeedbackCount", 0), 1);
    pk_doc_unref(taken.doc);

    /* More of it counts on; the persona has heard already and keeps its version. */
    take(&kit, target, "{" BAD "}");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *again = kit_get(&kit, "personas", pk_doc_text(target, "personaId"));
    assert_int_equal(pk_doc_version(again), pk_doc_version(persona));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *later = kit_get(&kit, "actors", HUMAN);
    assert_int_equal(pk_doc_int(later, "usageMetadata.totalFeedbackProvided", 0), 2);
    assert_int_equal(pk_doc_version(later), pk_doc_version(actor));
}

BOTH(feedback_is_about_personas_that_are_or_were)
{
    KIT(kit, is_mongo);
    struct sketch sketch = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = open_persona(&kit, &sketch);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *found = NULL;
    char id[PK_UUID_TEXT], name[128];

    /* Another generation takes its place: the first still has its record, and hears nothing. */
    pk_clock_fake_advance(&kit.clock, 1000);
    (void)sketch_trait(&sketch, "tone", "'slow'");
    sketch_write(&sketch);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = make_persona(&kit, &sketch);
    assert_string_not_equal(pk_doc_id(first), pk_doc_id(second));
    take(&kit, first, "{" GOOD ",'ruleId':'early'}");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *persona = kit_get(&kit, "personas", pk_doc_text(second, "personaId"));
    assert_false(pk_doc_bool(persona, "usageMetadata.feedbackReceived", true));

    /* The persona has gone, the record has not. */
    kit_drop(&kit, "personas", pk_doc_text(second, "personaId"));
    take(&kit, second, "{" GOOD "}");
    assert_int_equal(kit_count(&kit, "feedback", "userId", sketch.person), 2);

    pk_uuid_new(id);
    assert_ok(pk_feedback_find(&kit.domain, id, 0, &found, &kit.err), &kit.err);
    assert_null(found);
    (void)snprintf(name, sizeof(name), "planner:%s:balanced", sketch.person);
    assert_ok(pk_feedback_find(&kit.domain, name, 0, &found, &kit.err), &kit.err);
    assert_null(found);
}

TEST(a_composite_id_means_the_generation_that_is_cached)
{
    KIT(kit, false);
    struct sketch sketch = { 0 };
    static const char *const tone[] = { "'slow'", "'direct'", "'slow'", "'direct'" };
    struct pk_doc *target = open_persona(&kit, &sketch);
    for (size_t i = 0; i < PK_COUNT(tone); i++) { /* All in one millisecond. */
        pk_doc_unref(target);
        (void)sketch_trait(&sketch, "tone", tone[i]);
        sketch_write(&sketch);
        target = make_persona(&kit, &sketch);
    }
    pk_doc_unref(target);
}

TEST(what_contradicts_the_persona_is_refused_and_nothing_is_written)
{
    KIT(kit, false);
    struct sketch sketch = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = open_persona(&kit, &sketch);
    refuse(&kit, target, "{" GOOD ",'mapperVersion':'2.0.0'}", PK_INVALID, "feedback.mapperVersion",
           "'2.0.0' did not make this persona; '1.0.0' did");
    refuse(&kit, target, "{" GOOD ",'ruleId':'late'}", PK_INVALID, "feedback.ruleId",
           "'late' did not fire");
    refuse(&kit, target, "{" GOOD ",'personaInstanceId':'planner:x:instant'}", PK_INVALID,
           "feedback.personaInstanceId", "another persona");
    take(&kit, target, "{" GOOD ",'mapperVersion':'1.0.0','ruleId':'early'}");
}

TEST(only_a_system_submits_for_another_actor)
{
    KIT(kit, false);
    struct sketch sketch = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = open_persona(&kit, &sketch);
    put_actor(&kit, HUMAN, "human");
    put_actor(&kit, SYSTEM, "system");
    kit.bed.by.actor_id = HUMAN;
    refuse(&kit, target, "{" GOOD ",'submittedBy':'" SYSTEM "'}", PK_FORBIDDEN,
           "feedback.submittedBy", "only a system");
    kit.bed.by.actor_id = SYSTEM;
    refuse(&kit, target, "{" GOOD ",'submittedBy':'nobody'}", PK_INVALID, "feedback.submittedBy",
           "no actor 'nobody'");
    take(&kit, target, "{" GOOD ",'submittedBy':'" HUMAN "','actorId':'agent 7'}");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *human = kit_get(&kit, "actors", HUMAN);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *system = kit_get(&kit, "actors", SYSTEM);
    assert_int_equal(pk_doc_int(human, "usageMetadata.totalFeedbackProvided", 0), 1);
    assert_int_equal(pk_doc_int(system, "usageMetadata.totalFeedbackProvided", 0), 0);
    assert_int_equal(kit_count(&kit, "feedback", "actorId", "agent 7"), 1);
}

TEST(nothing_is_taken_of_an_erased_person)
{
    KIT(kit, false);
    struct sketch sketch = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = open_persona(&kit, &sketch);
    kit_put(&kit, "tombstones",
            "{'_id':'%s','erasedAt':'2026-01-01T00:00:00Z','expiresAt':'2126-01-01T00:00:00Z'}",
            sketch.person);
    refuse(&kit, target, "{" GOOD "}", PK_NOT_FOUND, "", "no such persona");
}

/* ---- Processed ---- */

BOTH(a_processor_of_feedback_gets_to_see_it_and_its_lessons_are_kept)
{
    KIT(kit, is_mongo);
    struct sketch sketch = { 0 };
    struct pk_feedback_taken taken;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = open_persona(&kit, &sketch);
    kit_processor(&kit, "lessons", "1.0.0", PK_FEEDBACK_TYPE,
                  "t:weaken(\"rules.\" .. s.ruleId, { weight = s.ratings.overall / 10 })");
    (void)kit_outbox(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = kit_get(&kit, "mindscapes", sketch.person);
    assert_ok(submit(&kit, target, "{" BAD ",'ruleId':'early'}", &taken), &kit.err);
    assert_true(taken.is_queued);
    assert_true(taken.estimate_minutes > 0);
    kit_work(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(&kit, "feedback", pk_doc_id(taken.doc));
    pk_doc_unref(taken.doc);
    assert_string_equal(pk_doc_text(doc, "processingStatus"), "processed");
    assert_true(pk_doc_date(doc, "processedAt", 0) > 0);
    assert_string_equal(pk_doc_text(doc, "lessons.0.processorId"), "lessons");
    assert_string_equal(pk_doc_text(doc, "lessons.0.processorVersion"), "1.0.0");
    assert_string_equal(pk_doc_text(doc, "lessons.0.operations.0.op"), "weaken");
    assert_string_equal(pk_doc_text(doc, "lessons.0.operations.0.path"), "rules.early");
    assert_int_equal(kit_count(&kit, "events", "eventType", "feedback.processed"), 1);
    /* What is known of the person is as it was. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = kit_get(&kit, "mindscapes", sketch.person);
    assert_true(pk_doc_same(before, after));
}

/* ---- Added up ---- */

static void summarise(struct kit *kit, const char *version, bson_t *out)
{
    assert_ok(pk_feedback_summary(&kit->domain, "planner", version, 0, out, &kit->err), &kit->err);
}

static void expect_number(const bson_t *doc, const char *path, double number)
{
    bson_iter_t iter;
    char *text = kit_text(doc);
    if (!bson_iter_init(&iter, doc) || !bson_iter_find_descendant(&iter, path, &iter) ||
        bson_iter_as_double(&iter) < number - 1e-3 || bson_iter_as_double(&iter) > number + 1e-3) {
        fail_msg("%s is to be %g: %s", path, number, text);
    }
    pk_free(text);
}

BOTH(a_summary_adds_up_by_version_and_rule)
{
    KIT(kit, is_mongo);
    struct sketch sketch = { 0 };
    bson_t out;
    bson_iter_t iter;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = open_persona(&kit, &sketch);
    summarise(&kit, NULL, &out);
    expect_number(&out, "count", 0);
    assert_false(bson_iter_init(&iter, &out) &&
                 bson_iter_find_descendant(&iter, "recommendation.nps", &iter));
    bson_destroy(&out);
    take(&kit, first, "{" GOOD ",'ruleId':'early'}");
    take(&kit, first, "{" GOOD "}");
    take(&kit, first,
         "{'ratings':{'overall':3},'impact':{'taskSuccessImpact':'neutral',"
         "'wouldUseAgain':true,'recommendationScore':7}}");
    pk_clock_fake_advance(&kit.clock, 1000);
    put_mapper(&kit, "1.10.0");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *newer = make_persona(&kit, &sketch);
    take(&kit, newer, "{" BAD ",'ruleId':'early'}");
    pk_clock_fake_advance(&kit.clock, 1000);
    put_mapper(&kit, "1.9.0");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *middle = make_persona(&kit, &sketch);
    take(&kit, middle,
         "{'ratings':{'overall':2},'impact':{'taskSuccessImpact':'neutral',"
         "'wouldUseAgain':true,'recommendationScore':6}}");
    summarise(&kit, NULL, &out);
    expect_number(&out, "count", 5);
    expect_number(&out, "ratings.overall", 14.0 / 5);
    expect_number(&out, "ratings.accuracy", 5);
    expect_number(&out, "helpful.count", 3);
    expect_number(&out, "helpful.share", 2.0 / 3);
    expect_number(&out, "wouldUseAgain.share", 4.0 / 5);
    expect_number(&out, "recommendation.promoters", 2);
    expect_number(&out, "recommendation.passives", 1);
    expect_number(&out, "recommendation.detractors", 2);
    expect_number(&out, "recommendation.nps", 0);
    static const char *const version[] = { "1.10.0", "1.9.0", "1.0.0" };
    for (size_t i = 0; i < PK_COUNT(version); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "versions.%zu.mapperVersion", i);
        assert_true(bson_iter_init(&iter, &out) && bson_iter_find_descendant(&iter, path, &iter));
        assert_string_equal(bson_iter_utf8(&iter, NULL), version[i]);
    }
    expect_number(&out, "versions.0.recommendation.nps", -100);
    expect_number(&out, "versions.2.recommendation.nps", 200.0 / 3);
    expect_number(&out, "versions.2.rules.0.count", 1);
    bson_destroy(&out);
    summarise(&kit, "1.0.0", &out);
    expect_number(&out, "count", 3);
    bson_destroy(&out);
}
