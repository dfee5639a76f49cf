/* test_registry.c - Versions of scripts: drafted, activated, taken back; on both engines, on two
 * nodes at once. */
/* SPDX-License-Identifier: MIT */
#include "bed.h"

#include "doc/inventory.h"
#include "doc/path.h"
#include "feed/watch.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A case on each engine. */
#define ON_BOTH(name)                     \
    static void name##_on(bool is_mongo); \
    TEST(name)                            \
    {                                     \
        name##_on(false);                 \
    }                                     \
    TEST(name##_on_mongodb)               \
    {                                     \
        name##_on(true);                  \
    }                                     \
    static void name##_on(bool is_mongo)

static struct pk_doc *find(struct bed *bed, struct node *node, const char *id, const char *version)
{
    struct pk_doc *doc = NULL;
    assert_ok(pk_registry_get(node->registry, PK_SCRIPT_MAPPER, id, version, &doc, &bed->err),
              &bed->err);
    return doc;
}

static void expect_status(struct bed *bed, struct node *node, const char *id, const char *version,
                          const char *status)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = find(bed, node, id, version);
    assert_string_equal(pk_doc_text(doc, "status"), status);
}

static bool roll_back(struct bed *bed, struct node *node, const char *id)
{
    return pk_registry_rollback(node->registry, &bed->by, PK_SCRIPT_MAPPER, id, "it was odd", NULL,
                                NULL, &bed->err);
}

/* ---- Drafts ---- */

ON_BOTH(a_draft_is_a_whole_document_and_serves_nobody)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    bson_t view;
    assert_ok(draft(&bed, node, mapper_text("daily", "1.2.0", 1), PK_DRAFT_STRICT, &doc), &bed.err);
    pk_doc_view(doc, &view);
    assert_true(pk_schema_check(pk_inventory_find(pk_inventory_builtin(), "mappers")->schema, &view,
                                &faults));
    assert_string_equal(pk_doc_text(doc, "mapperId"), "daily");
    assert_string_equal(pk_doc_text(doc, "version"), "1.2.0");
    assert_string_equal(pk_doc_text(doc, "status"), "draft");
    assert_string_equal(pk_doc_text(doc, "format"), "lua");
    assert_string_equal(pk_doc_text(doc, "createdBy"), "tester");
    assert_int_equal(pk_doc_int(doc, "configuration.ttlSeconds", 0), 3600);
    assert_int_equal(pk_doc_int(doc, "trainingMetadata.totalFeedbackCount", -1), 0);
    assert_int_equal(pk_doc_int(doc, "usageCount", -1), 0);
    assert_non_null(pk_doc_text(doc, "files.mapper%2Elua"));
    assert_ok(pk_registry_refresh(node->registry, &bed.err), &bed.err);
    assert_string_equal(serving(node, "daily"), "");
    assert_int_equal(count_where(&bed, "audit", "action", "mapper.created"), 1);
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.created"), 1);
}

ON_BOTH(the_same_content_is_one_version_and_other_content_needs_another)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *one = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *renamed = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *twice = NULL;
    char expected[64];
    assert_true(draft(&bed, node, mapper_text("daily", "1.2.0", 1), PK_DRAFT_STRICT, &one));
    assert_true(draft(&bed, node, mapper_text("daily", "1.2.0", 1), PK_DRAFT_STRICT, &again));
    assert_string_equal(pk_doc_id(one), pk_doc_id(again));
    assert_false(draft(&bed, node, mapper_text("daily", "1.2.0", 2), PK_DRAFT_STRICT, NULL));
    expect_error(&bed.err, PK_CONFLICT, "version 1.2.0 is there with other content");
    assert_non_null(strstr(bed.err.hint, "raise the version"));
    assert_true(draft(&bed, node, mapper_text("daily", "1.2.0", 2), PK_DRAFT_RENAME, &renamed));
    (void)snprintf(expected, sizeof(expected), "1.2.0+%.8s", pk_doc_text(renamed, "contentHash"));
    assert_string_equal(pk_doc_text(renamed, "version"), expected);
    assert_true(draft(&bed, node, mapper_text("daily", "1.2.0", 2), PK_DRAFT_RENAME, &twice));
    assert_string_equal(pk_doc_id(renamed), pk_doc_id(twice));
    assert_int_equal(count_where(&bed, "mappers", NULL, NULL), 2);
    assert_int_equal(count_where(&bed, "audit", "action", "mapper.updated"), 1);
}

TEST(a_build_that_is_there_gets_the_hash_behind_a_dot)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    assert_true(draft(&bed, node, mapper_text("m", "1.0.0+b7", 1), PK_DRAFT_RENAME, NULL));
    assert_true(draft(&bed, node, mapper_text("m", "1.0.0+b7", 2), PK_DRAFT_RENAME, &doc));
    assert_memory_equal(pk_doc_text(doc, "version"), "1.0.0+b7.", 9);
    assert_int_equal(strlen(pk_doc_text(doc, "version")), 17);
}

TEST(what_does_not_pass_is_not_written_and_says_where)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    struct pk_bundle *bundle = lua_text("bad.lua", "local pk = require \"personakit\"\n"
                                                   "return pk.mapper { id = \"bad\", \n");
    assert_false(pk_registry_draft(node->registry, &bed.by, bundle, PK_SCRIPT_MAPPER, NULL,
                                   PK_DRAFT_STRICT, NULL, &report, &bed.err));
    pk_bundle_unref(bundle);
    assert_int_equal(bed.err.code, PK_INVALID);
    assert_true(report.count > 0 && report.finding[0].is_error);
    assert_string_equal(report.finding[0].file, "bad.lua");
    assert_int_equal(count_where(&bed, "mappers", NULL, NULL), 0);
    assert_int_equal(count_where(&bed, "audit", NULL, NULL), 0);
}

TEST(a_script_goes_by_the_id_and_kind_that_it_says)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    PK_CLEANUP(pk_report_done) struct pk_report other = { 0 };
    struct pk_bundle *bundle = mapper_text("one", "1.0.0", 1);
    assert_false(pk_registry_draft(node->registry, &bed.by, bundle, PK_SCRIPT_MAPPER, "two",
                                   PK_DRAFT_STRICT, NULL, &report, &bed.err));
    expect_error(&bed.err, PK_INVALID, "calls itself 'one', not 'two'");
    assert_false(pk_registry_draft(node->registry, &bed.by, bundle, PK_SCRIPT_PROCESSOR, NULL,
                                   PK_DRAFT_STRICT, NULL, &other, &bed.err));
    assert_int_equal(bed.err.code, PK_INVALID);
    pk_bundle_unref(bundle);
    assert_int_equal(count_where(&bed, "scripts", NULL, NULL), 0);
}

static const char processor_source[] =
    "local pk = require \"personakit\"\n"
    "return pk.processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
    " id = \"%s\", version = \"1.0.0\", accepts = { \"work_session\" },\n"
    "  process = function(obs, m, t) t:set(\"work.seen\", true) end }\n";
static const char condition_source[] =
    "local pk = require \"personakit\"\n"
    "return pk.condition { id = \"%s\", version = \"1.0.0\", when = pk.trait(\"a.b\"):exists() }\n";

ON_BOTH(processors_and_conditions_serve_and_share_their_ids)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    const struct pk_script *accepting[2];
    assert_ok(draft(&bed, node, lua_text("p.lua", processor_source, "work"), PK_DRAFT_STRICT, NULL),
              &bed.err);
    assert_false(
        draft(&bed, node, lua_text("c.lua", condition_source, "work"), PK_DRAFT_STRICT, NULL));
    expect_error(&bed.err, PK_CONFLICT, "'work' is the id of a processor");
    assert_ok(draft(&bed, node, lua_text("c.lua", condition_source, "c"), PK_DRAFT_STRICT, NULL),
              &bed.err);
    assert_ok(pk_registry_activate(node->registry, &bed.by, PK_SCRIPT_PROCESSOR, "work", "1.0.0",
                                   NULL, NULL, &report, &bed.err),
              &bed.err);
    assert_ok(pk_registry_activate(node->registry, &bed.by, PK_SCRIPT_CONDITION, "c", "1.0.0", NULL,
                                   NULL, &report, &bed.err),
              &bed.err);
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    assert_int_equal(pk_generation_accepting(pinned, "work_session", accepting, 2), 1);
    assert_non_null(pk_generation_find(pinned, PK_SCRIPT_CONDITION, "c"));
    assert_null(pk_generation_find(pinned, PK_SCRIPT_CONDITION, "work"));
    pk_generation_unpin(pinned);
    assert_int_equal(count_where(&bed, "audit", "action", "script.activated"), 2);
}

TEST(the_rules_of_json_stand_in_the_configuration)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    static const char text[] =
        "{\"id\":\"rules\",\"version\":2,\"name\":\"Rules\",\"rules\":[{\"id\":\"r\","
        "\"conditions\":{\"all\":[{\"type\":\"trait_check\",\"trait\":\"work.chronotype\","
        "\"operator\":\"equals\",\"value\":\"morning\"}]},"
        "\"actions\":[{\"type\":\"suggestion\",\"template\":\"Early.\",\"priority\":\"high\"}]}]}";
    assert_ok(draft(&bed, node, lua_text("rules.json", "%s", text), PK_DRAFT_STRICT, &doc),
              &bed.err);
    assert_string_equal(pk_doc_text(doc, "format"), "rules");
    assert_string_equal(pk_doc_text(doc, "version"), "2.0.0");
    assert_string_equal(pk_doc_text(doc, "configuration.rules.0.actions.0.template"), "Early.");
    assert_string_equal(pk_doc_text(doc, "configuration.metadata.name"), "Rules");
}

/* ---- Activation ---- */

ON_BOTH(one_version_is_active_and_the_one_before_it_is_known)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    assert_string_equal(serving(node, "daily"), "1.0.0");
    (void)put_active(&bed, node, mapper_text("daily", "1.1.0", 2));
    assert_string_equal(serving(node, "daily"), "1.1.0");
    expect_status(&bed, node, "daily", "1.0.0", "draft");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = find(&bed, node, "daily", NULL);
    assert_string_equal(pk_doc_text(doc, "version"), "1.1.0");
    assert_string_equal(pk_doc_text(doc, "previousVersion"), "1.0.0");
    assert_true(pk_doc_date(doc, "activatedAt", 0) > 0);
    assert_int_equal(count_where(&bed, "mappers", "status", "active"), 1);
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.activated"), 2);
    assert_true(activate(&bed, node, "daily", "1.1.0")); /* Again: nothing to do. */
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.activated"), 2);
    assert_false(activate(&bed, node, "daily", "9.9.9"));
    expect_error(&bed.err, PK_NOT_FOUND, "no such version of a mapper");
}

TEST(the_answer_says_which_generation_and_how_many_calls_are_on_older_ones)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    struct pk_activation activation = { 0 };
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    assert_true(draft(&bed, node, mapper_text("daily", "1.1.0", 2), PK_DRAFT_STRICT, NULL));
    assert_ok(pk_registry_activate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.1.0",
                                   &activation, NULL, &report, &bed.err),
              &bed.err);
    assert_int_equal(activation.generation, pk_generation_number(pinned) + 1);
    assert_int_equal(activation.old_calls, 1);
    assert_string_equal(pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily")->version, "1.0.0");
    pk_generation_unpin(pinned);
}

struct racer {
    struct bed *bed;
    struct node *node;
    const char *version;
    bool is_ok;
    struct pk_error err;
};

static void *race(void *argument)
{
    struct racer *racer = argument;
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    racer->is_ok = pk_registry_activate(racer->node->registry, &racer->bed->by, PK_SCRIPT_MAPPER,
                                        "daily", racer->version, NULL, NULL, &report, &racer->err);
    return NULL;
}

ON_BOTH(two_nodes_that_activate_at_once_leave_one_active)
{
    BED(bed, is_mongo);
    struct node *node[2] = { bed_node(&bed), bed_node(&bed) };
    char version[2][32];
    for (int round = 0; round < 5; round++) {
        struct racer racer[2];
        pthread_t thread[2];
        for (int i = 0; i < 2; i++) {
            (void)snprintf(version[i], sizeof(version[i]), "1.%d.%d", round, i);
            assert_ok(draft(&bed, node[i], mapper_text("daily", version[i], 10 * round + i),
                            PK_DRAFT_STRICT, NULL),
                      &bed.err);
            racer[i] = (struct racer){ .bed = &bed, .node = node[i], .version = version[i] };
        }
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, race, &racer[i]), 0);
        }
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
            assert_ok(racer[i].is_ok, &racer[i].err);
        }
        assert_int_equal(count_where(&bed, "mappers", "status", "active"), 1);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = find(&bed, node[0], "daily", NULL);
        const char *winner = pk_doc_text(doc, "version");
        const bool is_first = strcmp(winner, version[0]) == 0;
        assert_string_equal(pk_doc_text(doc, "previousVersion"), version[is_first ? 1 : 0]);
        for (int i = 0; i < 2; i++) {
            assert_ok(pk_registry_refresh(node[i]->registry, &bed.err), &bed.err);
            assert_string_equal(serving(node[i], "daily"), winner);
        }
    }
}

/* ---- Rollback ---- */

ON_BOTH(a_rollback_brings_back_the_version_before_and_bars_the_content)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    assert_false(roll_back(&bed, node, "daily"));
    expect_error(&bed.err, PK_CONFLICT, "no version of 'daily' before 1.0.0 may run");
    (void)put_active(&bed, node, mapper_text("daily", "1.1.0", 2));
    assert_ok(roll_back(&bed, node, "daily"), &bed.err);
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_int_equal(count_where(&bed, "mappers", "status", "active"), 1);
    assert_int_equal(count_where(&bed, "script_state", "reason", "it was odd"), 1);
    assert_int_equal(count_where(&bed, "audit", "action", "mapper.rolled_back"), 1);
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.rolled_back"), 1);
    assert_false(activate(&bed, node, "daily", "1.1.0"));
    expect_error(&bed.err, PK_CONFLICT, "its content is barred: it was odd");
    (void)put_active(&bed, node, mapper_text("daily", "1.2.0", 3)); /* Changed: not barred. */
    assert_string_equal(serving(node, "daily"), "1.2.0");
    assert_false(roll_back(&bed, node, "nobody"));
    expect_error(&bed.err, PK_NOT_FOUND, "no such mapper");
}

TEST(a_rollback_steps_over_what_is_barred_or_deprecated)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    for (int i = 0; i < 4; i++) {
        char version[16];
        (void)snprintf(version, sizeof(version), "1.%d.0", i);
        (void)put_active(&bed, node, mapper_text("daily", version, i));
    }
    assert_ok(pk_registry_deprecate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.2.0",
                                    NULL, &bed.err),
              &bed.err);
    assert_ok(roll_back(&bed, node, "daily"), &bed.err);
    assert_string_equal(serving(node, "daily"), "1.1.0");
    assert_ok(roll_back(&bed, node, "daily"), &bed.err);
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_false(roll_back(&bed, node, "daily"));
    assert_string_equal(serving(node, "daily"), "1.0.0");
}

TEST(versions_that_took_turns_do_not_make_a_rollback_go_round)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    (void)put_active(&bed, node, mapper_text("daily", "1.1.0", 2));
    assert_true(activate(&bed, node, "daily", "1.0.0"));
    assert_true(activate(&bed, node, "daily", "1.1.0"));
    assert_ok(roll_back(&bed, node, "daily"), &bed.err);
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_false(roll_back(&bed, node, "daily"));
    expect_error(&bed.err, PK_CONFLICT, "may run");
}

ON_BOTH(what_is_lifted_may_be_activated_again)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    (void)put_active(&bed, node, mapper_text("daily", "1.1.0", 2));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = find(&bed, node, "daily", NULL);
    const char *hash = pk_doc_text(doc, "contentHash");
    assert_ok(roll_back(&bed, node, "daily"), &bed.err);
    assert_ok(pk_registry_lift(node->registry, &bed.by, hash, &bed.err), &bed.err);
    assert_int_equal(count_where(&bed, "script_state", NULL, NULL), 0);
    assert_int_equal(count_where(&bed, "audit", "action", "script.lifted"), 1);
    assert_ok(activate(&bed, node, "daily", "1.1.0"), &bed.err);
    assert_string_equal(serving(node, "daily"), "1.1.0");
    char unknown[PK_HASH_TEXT];
    memset(unknown, 'a', sizeof(unknown) - 1);
    unknown[sizeof(unknown) - 1] = '\0';
    assert_false(pk_registry_lift(node->registry, &bed.by, unknown, &bed.err));
    expect_error(&bed.err, PK_NOT_FOUND, "nothing of this content hash");
    assert_false(pk_registry_lift(node->registry, &bed.by, "x", &bed.err));
    expect_error(&bed.err, PK_NOT_FOUND, "is no content hash");
}

ON_BOTH(what_is_doubted_is_rolled_back_once_by_the_server_itself)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    (void)put_active(&bed, node, mapper_text("daily", "1.1.0", 2));
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    const struct pk_script *bad = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");
    assert_ok(pk_registry_start(node->registry, &bed.err), &bed.err);
    pk_registry_doubt(node->registry, bad, "6 of 20 calls failed");
    pk_registry_doubt(node->registry, bad, "6 of 20 calls failed");
    UNTIL(strcmp(serving(node, "daily"), "1.0.0") == 0);
    (void)put_active(&bed, node, mapper_text("daily", "1.2.0", 3));
    pk_registry_doubt(node->registry, bad, "7 of 20 calls failed"); /* It is not active now. */
    pk_generation_unpin(pinned);
    (void)put_active(&bed, node, mapper_text("other", "1.0.0", 1));
    (void)put_active(&bed, node, mapper_text("other", "1.1.0", 2));
    pinned = pk_scripts_pin(node->scripts);
    pk_registry_doubt(node->registry, pk_generation_find(pinned, PK_SCRIPT_MAPPER, "other"), "odd");
    UNTIL(strcmp(serving(node, "other"), "1.0.0") == 0); /* So the doubt before it is settled. */
    pk_generation_unpin(pinned);
    assert_string_equal(serving(node, "daily"), "1.2.0");
    assert_int_equal(count_where(&bed, "audit", "actorId", "personakit"), 2);
    assert_int_equal(count_where(&bed, "script_state", "reason", "6 of 20 calls failed"), 1);
}

/* Calls 'daily' for a person, as a request does; whether it came back with an answer. */
static bool call_daily(struct node *node, uint64_t person, char version[PK_SCRIPT_VERSION])
{
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    const struct pk_script *script = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");
    struct pk_scripts_result result = { 0 };
    struct pk_error err = { 0 };
    bson_t mindscape;

    BSON_APPEND_DOCUMENT_BEGIN(&input, "mindscape", &mindscape);
    bson_append_document_end(&input, &mindscape);
    BSON_APPEND_DATE_TIME(&input, "now", INT64_C(1790000000000));
    const struct pk_scripts_call call = { .input = bson_get_data(&input),
                                          .input_size = input.len,
                                          .person = person };
    const bool ok = pk_scripts_call(node->scripts, pinned, script, &call, &result, &err);
    (void)snprintf(version, PK_SCRIPT_VERSION, "%s", script->version);
    pk_scripts_result_done(&result);
    pk_generation_unpin(pinned);
    return ok;
}

ON_BOTH(a_version_that_fails_in_its_first_minute_is_taken_back_and_calls_are_good_again)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    char version[PK_SCRIPT_VERSION];
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    assert_ok(pk_registry_start(node->registry, &bed.err), &bed.err);
    for (uint64_t person = 1; person <= 20; person++) {
        assert_true(call_daily(node, person, version));
    }
    (void)put_active(&bed, node,
                     lua_text("mapper.lua",
                              "local pk = require \"personakit\"\n"
                              "return pk.mapper {\n"
                              "  id = \"daily\", version = \"1.1.0\",\n"
                              "  core = function(m) return { n = m.now.mood.x } end,\n"
                              "}\n"));
    unsigned failures = 0;
    for (uint64_t person = 1; person <= 20; person++) {
        failures += !call_daily(node, person, version);
        assert_true(person < 20 || strcmp(version, "1.1.0") == 0);
    }
    assert_int_equal(failures, 20);
    UNTIL(strcmp(serving(node, "daily"), "1.0.0") == 0);
    assert_true(call_daily(node, 1, version));
    assert_string_equal(version, "1.0.0");
    assert_int_equal(count_where(&bed, "script_state", NULL, NULL), 1);
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.rolled_back"), 1);
    assert_false(activate(&bed, node, "daily", "1.1.0"));
    expect_error(&bed.err, PK_CONFLICT, "its content is barred");
}

/* ---- Deprecation ---- */

ON_BOTH(a_deprecated_version_serves_no_more_and_never_again)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    (void)put_active(&bed, node, mapper_text("daily", "1.1.0", 2));
    assert_ok(pk_registry_deprecate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.1.0",
                                    NULL, &bed.err),
              &bed.err);
    assert_string_equal(serving(node, "daily"), "");
    assert_false(activate(&bed, node, "daily", "1.1.0"));
    expect_error(&bed.err, PK_CONFLICT, "version 1.1.0 is deprecated");
    assert_false(roll_back(&bed, node, "daily"));
    expect_error(&bed.err, PK_CONFLICT, "no version of 'daily' is active");
    assert_ok(activate(&bed, node, "daily", "1.0.0"), &bed.err);
    assert_ok(pk_registry_deprecate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", NULL, NULL,
                                    &bed.err),
              &bed.err);
    assert_string_equal(serving(node, "daily"), "");
    assert_int_equal(count_where(&bed, "mappers", "status", "deprecated"), 2);
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.deprecated"), 2);
}

/* ---- Following ---- */

static void hear(void *context, const struct pk_feed_item *item)
{
    pk_registry_hear(context, item);
}

ON_BOTH(another_node_follows_by_the_feed)
{
    BED(bed, is_mongo);
    struct node *one = bed_node(&bed);
    struct node *two = bed_node(&bed);
    struct pk_watch *watch =
        pk_watch_new(&(struct pk_watch_options){ .store = bed.store, .clock = pk_clock_system() });
    assert_ok(pk_registry_start(two->registry, &bed.err), &bed.err);
    pk_watch_tell(watch, hear, two->registry);
    assert_ok(pk_watch_start(watch, &bed.err), &bed.err);
    struct pk_watch_stats stats = { .silence_ms = INT64_MAX };
    UNTIL((pk_watch_stats(watch, &stats), stats.silence_ms != INT64_MAX));
    (void)put_active(&bed, one, mapper_text("daily", "1.0.0", 1));
    UNTIL(strcmp(serving(two, "daily"), "1.0.0") == 0);
    (void)put_active(&bed, one, mapper_text("daily", "1.1.0", 2));
    UNTIL(strcmp(serving(two, "daily"), "1.1.0") == 0);
    assert_ok(roll_back(&bed, one, "daily"), &bed.err);
    UNTIL(strcmp(serving(two, "daily"), "1.0.0") == 0);
    assert_ok(pk_registry_deprecate(one->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.0.0",
                                    NULL, &bed.err),
              &bed.err);
    UNTIL(strcmp(serving(two, "daily"), "") == 0);
    pk_watch_free(watch);
}

TEST(a_refresh_that_finds_nothing_new_publishes_nothing)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    (void)put_active(&bed, node, mapper_text("daily", "1.0.0", 1));
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    const uint64_t number = pk_generation_number(pinned);
    const struct pk_script *script = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");
    for (int i = 0; i < 3; i++) {
        assert_ok(pk_registry_refresh(node->registry, &bed.err), &bed.err);
    }
    (void)put_active(&bed, node, mapper_text("weekly", "1.0.0", 1));
    struct pk_generation *later = pk_scripts_pin(node->scripts);
    assert_int_equal(pk_generation_number(later), number + 1);
    assert_ptr_equal(pk_generation_find(later, PK_SCRIPT_MAPPER, "daily"), script);
    pk_generation_unpin(later);
    pk_generation_unpin(pinned);
}

/* A version whose files are not what they were: as by a hand in the database. */
static void damage(struct bed *bed, struct node *node, const char *id)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = find(bed, node, id, NULL);
    bson_t *bson = bson_new();
    bson_t view, files;
    pk_doc_view(old, &view);
    bson_copy_to_excluding_noinit(&view, bson, "files", NULL);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "files", &files);
    BSON_APPEND_UTF8(&files, "mapper%2Elua", "return nothing");
    bson_append_document_end(bson, &files);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_replace(&list, "mappers", doc, pk_doc_version(old));
    assert_ok(pk_store_commit(bed->store, &list, 0, NULL, &bed->err), &bed->err);
}

TEST(what_does_not_load_is_refused_and_the_version_before_it_serves_on)
{
    BED(bed, false);
    struct node *one = bed_node(&bed);
    struct node *two = bed_node(&bed);
    struct pk_refused refused[2];
    (void)put_active(&bed, one, mapper_text("daily", "1.0.0", 1));
    assert_ok(pk_registry_refresh(two->registry, &bed.err), &bed.err);
    (void)put_active(&bed, one, mapper_text("daily", "1.1.0", 2));
    damage(&bed, one, "daily");
    assert_ok(pk_registry_refresh(two->registry, &bed.err), &bed.err);
    assert_string_equal(serving(two, "daily"), "1.0.0");
    assert_int_equal(pk_registry_refused(two->registry, refused, 2), 1);
    assert_string_equal(refused[0].id, "daily");
    assert_string_equal(refused[0].version, "1.1.0");
    assert_non_null(strstr(refused[0].reason, "content hash"));
    pk_refused_done(&refused[0]);
    (void)put_active(&bed, one, mapper_text("daily", "1.2.0", 3));
    assert_ok(pk_registry_refresh(two->registry, &bed.err), &bed.err);
    assert_string_equal(serving(two, "daily"), "1.2.0");
    assert_int_equal(pk_registry_refused(two->registry, refused, 2), 0);
}

TEST(a_saved_file_that_is_refused_is_shown_until_it_is_good)
{
    BED(bed, false);
    struct node *one = bed_node(&bed);
    struct pk_refused refused[3];
    pk_registry_refuse_file(one->registry, "mappers/a.lua", "a.lua:1: error: no");
    pk_registry_refuse_file(one->registry, "mappers/b.lua", "b.lua:2: error: no");
    pk_registry_refuse_file(one->registry, "mappers/a.lua", "a.lua:3: error: still not");
    assert_ok(pk_registry_refresh(one->registry, &bed.err),
              &bed.err); /* It says nothing of files. */
    assert_int_equal(pk_registry_refused_count(one->registry), 2);
    assert_int_equal(pk_registry_refused(one->registry, refused, 3), 2);
    assert_string_equal(refused[0].file, "mappers/a.lua");
    assert_string_equal(refused[0].reason, "a.lua:3: error: still not");
    pk_refused_done(&refused[0]);
    pk_refused_done(&refused[1]);
    pk_registry_refuse_file(one->registry, "mappers/a.lua", NULL);
    pk_registry_refuse_file(one->registry, "mappers/never.lua", NULL);
    assert_int_equal(pk_registry_refused(one->registry, refused, 3), 1);
    assert_string_equal(refused[0].file, "mappers/b.lua");
    pk_refused_done(&refused[0]);
}

TEST(a_node_that_starts_serves_what_is_active_under_its_stored_version)
{
    BED(bed, false);
    struct node *one = bed_node(&bed);
    (void)put_active(&bed, one, mapper_text("daily", "1.0.0", 1));
    char version[PK_SCRIPT_VERSION];
    (void)snprintf(version, sizeof(version), "%s",
                   put_active(&bed, one, mapper_text("daily", "1.0.0", 2)));
    assert_memory_equal(version, "1.0.0+", 6);
    struct node *two = bed_node(&bed);
    assert_ok(pk_registry_refresh(two->registry, &bed.err), &bed.err);
    assert_string_equal(serving(two, "daily"), version);
}

/* As at the start of a server: all at once, and one that does not pass keeps nobody else away. */
TEST(a_node_that_starts_loads_many_and_refuses_only_what_is_bad)
{
    enum { MANY = 24, BAD = 13 };
    BED(bed, false);
    struct node *one = bed_node(&bed);
    struct pk_refused refused[2];
    for (int i = 0; i < MANY; i++) {
        PK_CLEANUP(pk_freep) char *id = pk_strdupf("m%d", i);
        (void)put_active(&bed, one, mapper_text(id, "1.0.0", i));
        (void)put_active(&bed, one, mapper_text(id, "1.1.0", 100 + i));
    }
    damage(&bed, one, "m13");
    struct node *two = bed_node(&bed);
    assert_ok(pk_registry_refresh(two->registry, &bed.err), &bed.err);
    for (int i = 0; i < MANY; i++) {
        PK_CLEANUP(pk_freep) char *id = pk_strdupf("m%d", i);
        assert_string_equal(serving(two, id), i == BAD ? "1.0.0" : "1.1.0");
    }
    assert_int_equal(pk_registry_refused(two->registry, refused, 2), 1);
    assert_string_equal(refused[0].id, "m13");
    pk_refused_done(&refused[0]);
}

/* Which version a call of 'daily' ran; static memory. */
static const char *run_version(struct node *node)
{
    static char version[PK_SCRIPT_VERSION];
    struct pk_scripts_result result = { 0 };
    struct pk_error err = { 0 };
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    bson_t *input = BCON_NEW("mindscape", "{", "traits", "[", "]", "}", "detail",
                             BCON_UTF8("instant"), "now", BCON_DATE_TIME(1));
    const struct pk_scripts_call call = { .input = bson_get_data(input), .input_size = input->len };
    (void)pk_scripts_call(node->scripts, pinned,
                          pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily"), &call, &result,
                          &err);
    (void)snprintf(version, sizeof(version), "%s", result.ran ? result.ran->version : "");
    pk_scripts_result_done(&result);
    pk_generation_unpin(pinned);
    bson_destroy(input);
    return version;
}

TEST(the_version_before_it_serves_while_one_is_quarantined_also_on_a_node_that_has_just_started)
{
    BED(bed, false);
    struct node *one = bed_node(&bed);
    struct node *two = bed_node(&bed);
    (void)put_active(&bed, one, mapper_text("daily", "1.0.0", 1));
    (void)put_active(&bed, one,
                     lua_text("m.lua", "return require(\"personakit\").mapper {\n"
                                       "  id = \"daily\", version = \"1.1.0\",\n"
                                       "  limits = { soft_ms = 190, hard_ms = 200 },\n"
                                       "  core = function()\n"
                                       "    return string.find(('\".-\"'):rep(30), "
                                       "('\".-\"'):rep(12) .. 'x') end,\n"
                                       "}\n"));
    assert_ok(pk_registry_refresh(two->registry, &bed.err), &bed.err);
    for (int i = 0; i < 2; i++) {
        struct node *node = i ? two : one;
        assert_string_equal(run_version(node), "1.1.0");
        for (int calls = 0; calls < 20 && strcmp(run_version(node), "1.0.0") != 0; calls++) {
        }
        assert_string_equal(run_version(node), "1.0.0");
    }
}

/* ---- Lists ---- */

ON_BOTH(lists_go_page_by_page)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    static const char *const id[] = { "alpha", "beta", "gamma" };
    for (size_t i = 0; i < PK_COUNT(id); i++) {
        (void)put_active(&bed, node, mapper_text(id[i], "1.0.0", 1));
        assert_true(draft(&bed, node, mapper_text(id[i], "1.1.0", 2), PK_DRAFT_STRICT, NULL));
    }
    struct pk_page page = { 0 };
    assert_ok(pk_registry_list(node->registry, PK_SCRIPT_MAPPER, NULL, 2, NULL, &page, &bed.err),
              &bed.err);
    assert_int_equal(page.count, 2);
    assert_string_equal(pk_doc_text(page.doc[1], "mapperId"), "beta");
    assert_string_equal(pk_doc_text(page.doc[1], "version"), "1.0.0"); /* The active one. */
    PK_CLEANUP(pk_freep) char *next = pk_strdup(page.next);
    pk_page_done(&page);
    assert_ok(pk_registry_list(node->registry, PK_SCRIPT_MAPPER, NULL, 2, next, &page, &bed.err),
              &bed.err);
    assert_int_equal(page.count, 1);
    assert_null(page.next);
    pk_page_done(&page);
    assert_ok(pk_registry_list(node->registry, PK_SCRIPT_MAPPER, "beta", 0, NULL, &page, &bed.err),
              &bed.err);
    assert_int_equal(page.count, 2);
    pk_page_done(&page);
    assert_false(
        pk_registry_list(node->registry, PK_SCRIPT_MAPPER, NULL, 2, "N o", &page, &bed.err));
    expect_error(&bed.err, PK_INVALID, "no such place");
    assert_ok(pk_registry_list(node->registry, PK_SCRIPT_PROCESSOR, NULL, 2, NULL, &page, &bed.err),
              &bed.err);
    assert_int_equal(page.count, 0);
    pk_page_done(&page);
}
