/* test_trial.c - Versions of mappers tried out: nothing is written, nothing is counted, and what
 * comes out is what a request to map would be given. */
/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/path.h"
#include "doc/schema.h"
#include "doc/schema_trial.h"
#include "persona/registry.h"
#include "persona/trial.h"
#include "script/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_mongo(void)
{
    return getenv("PK_TEST_MONGODB") != NULL;
}

/* ---- Helpers ---- */

/* A version of "daily" that is a draft: its core has this section. */
static void put_draft(struct kit *kit, const char *version, const char *rest)
{
    PK_CLEANUP(pk_freep)
    char *text = pk_strdupf("local pk = require \"personakit\"\n"
                            "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
                            " id = \"daily\", version = \"%s\",\n%s }\n",
                            version, rest);
    struct pk_bundle *bundle = NULL;
    struct pk_report report = { 0 };
    struct pk_doc *draft = NULL;
    assert_ok(pk_bundle_of_text("daily.lua", text, strlen(text), &bundle, &kit->err), &kit->err);
    assert_ok(pk_registry_draft(kit->domain.registry, &kit->bed.by, bundle, PK_SCRIPT_MAPPER,
                                "daily", PK_DRAFT_STRICT, &draft, &report, &kit->err),
              &kit->err);
    pk_doc_unref(draft);
    pk_report_done(&report);
    pk_bundle_unref(bundle);
}

/* As the body of a request: checked, and in the form that the handler gets. */
static void accept(const struct pk_schema *schema, bson_t *out, const char *text)
{
    struct pk_faults faults = { 0 };
    struct pk_error err = { 0 };
    bson_t json;
    kit_json(&json, "%s", text);
    if (!pk_schema_accept(schema, &json, out, &faults)) {
        (void)pk_faults_fail(&faults, &err);
        fail_msg("%s", err.message);
    }
    bson_destroy(&json);
}

static void expect_schema(const struct pk_schema *schema, const bson_t *answer)
{
    struct pk_faults faults = { 0 };
    struct pk_error err = { 0 };
    if (!pk_schema_check(schema, answer, &faults)) {
        (void)pk_faults_fail(&faults, &err);
        fail_msg("the answer is none: %s", err.message);
    }
}

static struct pk_trial trial_of(const struct sketch *sketch, const char *version)
{
    return (struct pk_trial){ .mapper = "daily",
                              .version = version,
                              .person = sketch ? sketch->person : NULL,
                              .detail = PK_DETAIL_INSTANT };
}

static struct pk_doc *run(struct kit *kit, const struct pk_trial *trial)
{
    bson_t out;
    assert_ok(pk_trial_run(&kit->domain, trial, &out, &kit->err), &kit->err);
    expect_schema(&pk_schema_dry_run_view, &out);
    struct pk_doc *doc = pk_doc_new(&out);
    bson_destroy(&out);
    return doc;
}

static struct pk_doc *differ(struct kit *kit, const char *version, const char *against,
                             size_t sample, int64_t budget_ms)
{
    const struct pk_trial_pair pair = { .mapper = "daily",
                                        .version = version,
                                        .against = against,
                                        .detail = PK_DETAIL_INSTANT,
                                        .sample = sample,
                                        .budget_ms = budget_ms };
    bson_t out;
    assert_ok(pk_trial_differ(&kit->domain, &pair, &out, &kit->err), &kit->err);
    expect_schema(&pk_schema_mapper_diff_view, &out);
    struct pk_doc *doc = pk_doc_new(&out);
    bson_destroy(&out);
    return doc;
}

static void expect_text(const struct pk_doc *doc, const char *path, const char *text)
{
    const char *found = pk_doc_text(doc, path);
    assert_non_null(found);
    assert_string_equal(found, text);
}

static size_t count_all(struct kit *kit)
{
    static const char *const all[] = { "personas", "persona_log", "events", "audit", "outbox" };
    size_t count = 0;
    for (size_t i = 0; i < PK_COUNT(all); i++) {
        count += kit_count(kit, all[i], NULL, NULL);
    }
    return count;
}

#define SAYS_TONE "core = function(m) return { tone = { m[\"tone\"] or \"none\" } } end"

/* ---- Dry runs ---- */

static void try_a_draft(bool is_mongo)
{
    KIT(kit, is_mongo);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = NULL;
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"daily\", version = \"1.0.0\", %s }",
               SAYS_TONE);
    put_draft(&kit, "2.0.0",
              "core = function(m) return { tone = { \"new: \" .. (m[\"tone\"] or \"none\") } } end,"
              "overlay = function(m) return { mood = { m.now.mood or \"calm\" } } end");
    (void)sketch_trait(&sketch, "tone", "'dry'");
    sketch_write(&sketch);
    (void)map(&sketch, "daily", NULL);
    const size_t before = count_all(&kit);
    const uint64_t calls = calls_of(&kit, "daily");

    const struct pk_trial trial = trial_of(&sketch, "2.0.0");
    made = run(&kit, &trial);
    expect_text(made, "personaCore.tone.0", "new: dry");
    expect_text(made, "contextualOverlay.mood.0", "calm");
    expect_text(made, "mapperVersion", "2.0.0");
    expect_text(made, "personId", sketch.person);
    assert_int_equal(pk_doc_int(made, "mindscapeVersion", -1), sketch.version);
    assert_int_equal(count_all(&kit), before);
    assert_int_equal(calls_of(&kit, "daily"), calls);
}

TEST(a_draft_is_run_on_a_person_and_nothing_is_written)
{
    try_a_draft(false);
}

TEST_WHEN(a_draft_is_run_on_a_person_and_nothing_is_written_on_mongodb, has_mongo())
{
    try_a_draft(true);
}

TEST(it_gives_what_a_mapping_gives)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"daily\", version = \"1.0.0\", %s }",
               SAYS_TONE);
    (void)sketch_trait(&sketch, "tone", "'dry'");
    sketch_write(&sketch);
    (void)map(&sketch, "daily", &persona);
    const struct pk_trial trial = trial_of(&sketch, "1.0.0");
    made = run(&kit, &trial);
    expect_text(made, "personaCore.coreVersion", pk_doc_text(persona, "coreSnapshot.coreVersion"));
    expect_text(made, "contextualOverlay.overlayVersion",
                pk_doc_text(persona, "overlaySlice.overlayVersion"));
}

TEST(a_given_mindscape_is_taken_as_it_is_shown)
{
    KIT(kit, false);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *empty = NULL;
    bson_t body, mindscape;
    put_draft(&kit, "1.0.0",
              "core = function(m) return { x = { m[\"work.focus\"] or \"none\","
              " string.format(\"%.2f\", m:confidence(\"work.focus\") or 0),"
              " m.now.mood or \"none\", m.goals[1] and m.goals[1].description or \"none\" } } end");
    accept(&pk_schema_dry_run, &body,
           "{'detailLevel': 'instant', 'mindscape': {'traitMatrix': [{'traitName': 'work.focus', "
           "'value': 'deep', 'confidence': 0.4, 'volatility': 'high', "
           "'updatedAt': '2026-01-01T00:00:00Z'}], 'highVolatileCache': {'mood': 'glad'}, "
           "'goals': [{'description': 'sleep'}]}}");
    struct pk_trial trial = trial_of(NULL, "1.0.0");
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    assert_true(bson_iter_init_find(&iter, &body, "mindscape"));
    bson_iter_document(&iter, &size, &data);
    assert_true(bson_init_static(&mindscape, data, size));
    trial.mindscape = &mindscape;
    trial.now_ms = 1767312000000; /* 2026-01-02 */
    made = run(&kit, &trial);
    expect_text(made, "personaCore.x.0", "deep");
    expect_text(made, "personaCore.x.1", "0.40");
    expect_text(made, "personaCore.x.2", "glad");
    expect_text(made, "personaCore.x.3", "sleep");
    assert_null(pk_doc_text(made, "personId"));
    assert_int_equal(pk_doc_date(made, "mappedAt", 0), trial.now_ms);

    bson_t none = BSON_INITIALIZER;
    trial.mindscape = &none;
    empty = run(&kit, &trial);
    expect_text(empty, "personaCore.x.0", "none");
    bson_destroy(&none);
    bson_destroy(&body);
}

TEST(a_body_names_a_person_or_a_mindscape)
{
    static const char *const bad[] = {
        "{'detailLevel': 'instant'}",
        ("{'detailLevel': 'instant', 'personId': '11111111-1111-4111-8111-111111111111', "
         "'mindscape': {}}"),
        "{'detailLevel': 'instant', 'mindscape': {'traitsMatrix': []}}",
        "{'detailLevel': 'instant', 'mindscape': {'traitMatrix': [{'value': 1}]}}",
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct pk_faults faults = { 0 };
        bson_t json, out;
        kit_json(&json, "%s", bad[i]);
        assert_false(pk_schema_accept(&pk_schema_dry_run, &json, &out, &faults));
        assert_int_equal(faults.count, 1);
        pk_faults_done(&faults);
        bson_destroy(&json);
    }
}

TEST(what_is_missing_and_what_fired_is_said)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *without = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *with = NULL;
    put_draft(&kit, "1.0.0",
              "requires = { \"tone\" },\n"
              "rules = { pk.rule { id = \"dry_one\", when = pk.trait(\"tone\"):is(\"dry\"),"
              " suggest = \"x\" } }");
    const struct pk_trial trial = trial_of(&sketch, "1.0.0");
    without = run(&kit, &trial);
    expect_text(without, "missing.0", "tone");
    assert_non_null(strstr(pk_doc_text(without, "problem"), "'tone'"));
    (void)sketch_trait(&sketch, "tone", "'dry'");
    sketch_write(&sketch);
    with = run(&kit, &trial);
    assert_null(pk_doc_text(with, "problem"));
    assert_null(pk_doc_text(with, "missing.0"));
    expect_text(with, "ruleIds.0", "dry_one");
}

TEST(a_version_that_fails_says_where_and_is_counted_nowhere)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    bson_t out;
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"daily\", version = \"1.0.0\", %s }",
               SAYS_TONE);
    put_draft(&kit, "2.0.0", "core = function(m) return { x = { m[\"tone\"]:gone() } } end");
    struct pk_trial trial = trial_of(&sketch, "2.0.0");
    for (int i = 0; i < 12; i++) {
        assert_false(pk_trial_run(&kit.domain, &trial, &out, &kit.err));
        expect_error(&kit.err, PK_REFUSED, "daily.lua:3");
    }
    trial.version = "3.0.0";
    assert_false(pk_trial_run(&kit.domain, &trial, &out, &kit.err));
    expect_error(&kit.err, PK_NOT_FOUND, "3.0.0");
    assert_int_equal(map(&sketch, "daily", NULL), PK_PERSONA_REGENERATED);
}

/* ---- Comparisons ---- */

enum { CROWD = 7 };

/* People whose trait 'tone' is 'dry' of every second one. */
static void crowd(struct kit *kit, struct sketch out[CROWD])
{
    for (size_t i = 0; i < CROWD; i++) {
        sketch_open(&out[i], kit);
        (void)sketch_trait(&out[i], "tone", i % 2 ? "'dry'" : "'warm'");
        sketch_write(&out[i]);
    }
}

static void compare_two(bool is_mongo)
{
    KIT(kit, is_mongo);
    struct sketch person[CROWD];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *all = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *same = NULL;
    memset(person, 0, sizeof(person));
    crowd(&kit, person);
    put_draft(&kit, "1.0.0", SAYS_TONE);
    put_draft(&kit, "2.0.0",
              "core = function(m) local t = m[\"tone\"] or \"none\"\n"
              "  return { tone = { t == \"dry\" and \"driest\" or t } } end");
    const size_t before = count_all(&kit);
    all = differ(&kit, "2.0.0", "1.0.0", 100, 60000);
    assert_int_equal(pk_doc_int(all, "looked", -1), CROWD);
    assert_int_equal(pk_doc_int(all, "differ", -1), 3);
    assert_false(pk_doc_bool(all, "isCut", true));
    expect_text(all, "differences.0.sections.0", "personaCore.tone");
    expect_text(all, "differences.2.lines.0", "personaCore.tone.0");
    assert_null(pk_doc_text(all, "differences.3.personId"));
    for (int i = 0; i < 3; i++) {
        char path[64];
        bool is_dry = false;
        (void)snprintf(path, sizeof(path), "differences.%d.personId", i);
        for (size_t k = 1; k < CROWD; k += 2) {
            is_dry = is_dry || strcmp(pk_doc_text(all, path), person[k].person) == 0;
        }
        assert_true(is_dry);
    }
    same = differ(&kit, "1.0.0", "1.0.0", 100, 60000);
    assert_int_equal(pk_doc_int(same, "differ", -1), 0);
    assert_int_equal(count_all(&kit), before);
}

TEST(two_versions_differ_for_whom_they_differ)
{
    compare_two(false);
}

TEST_WHEN(two_versions_differ_for_whom_they_differ_on_mongodb, has_mongo())
{
    compare_two(true);
}

TEST(a_sample_is_the_same_each_time_and_bounded)
{
    KIT(kit, false);
    struct sketch person[CROWD];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *few = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *none = NULL;
    memset(person, 0, sizeof(person));
    crowd(&kit, person);
    put_draft(&kit, "1.0.0", SAYS_TONE);
    put_draft(&kit, "2.0.0", "core = function(m) return { other = { 1 } } end");
    few = differ(&kit, "2.0.0", "1.0.0", 3, 60000);
    again = differ(&kit, "2.0.0", "1.0.0", 3, 60000);
    assert_int_equal(pk_doc_int(few, "looked", -1), 3);
    assert_int_equal(pk_doc_int(few, "differ", -1), 3);
    assert_int_equal(pk_doc_int(few, "differences.0.lineCount", -1), 2);
    for (int i = 0; i < 3; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "differences.%d.personId", i);
        expect_text(again, path, pk_doc_text(few, path));
    }
    none = differ(&kit, "2.0.0", "1.0.0", 3, 0);
    assert_int_equal(pk_doc_int(none, "looked", -1), 0);
    assert_true(pk_doc_bool(none, "isCut", false));
}

TEST(who_makes_none_is_said_and_rules_are_compared)
{
    KIT(kit, false);
    struct sketch person[CROWD];
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *failing = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *ruled = NULL;
    memset(person, 0, sizeof(person));
    crowd(&kit, person);
    put_draft(
        &kit, "1.0.0",
        "rules = { pk.rule { id = \"one\", when = pk.trait(\"tone\"):is(\"dry\"), suggest = \"x\" } }");
    put_draft(
        &kit, "2.0.0",
        "rules = { pk.rule { id = \"two\", when = pk.trait(\"tone\"):is(\"dry\"), suggest = \"x\" } }");
    put_draft(&kit, "3.0.0",
              "core = function(m) if m[\"tone\"] == \"dry\" then error(\"too dry\") end\n"
              "  return {} end");
    ruled = differ(&kit, "2.0.0", "1.0.0", 100, 60000);
    assert_int_equal(pk_doc_int(ruled, "differ", -1), 3);
    expect_text(ruled, "differences.0.rulesAdded.0", "two");
    expect_text(ruled, "differences.0.rulesRemoved.0", "one");
    failing = differ(&kit, "3.0.0", "1.0.0", 100, 60000);
    assert_int_equal(pk_doc_int(failing, "failures.version", -1), 3);
    assert_int_equal(pk_doc_int(failing, "failures.against", -1), 0);
    assert_true(pk_doc_int(failing, "differ", -1) >= 3);
}
