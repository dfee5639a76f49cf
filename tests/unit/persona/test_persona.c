/* test_persona.c - Personas: made once, kept, served while they are fresh. Both engines. */
/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include "net/hot.h"
#include "persona/trait.h"
#include "script/scripts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000, MINUTE_MS = 60 * 1000 };

static bool has_mongo(void)
{
    return getenv("PK_TEST_MONGODB") != NULL;
}

/* ---- Kept, and found fresh ---- */

static void check_fresh(bool is_mongo)
{
    KIT(kit, is_mongo);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;

    put_greeter(&kit);
    (void)sketch_trait(&sketch, "tone", "'direct'");
    sketch_now(&sketch, "mood", "'fine'", 0);
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &first), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(first, "coreSnapshot.tone.0"), "direct");
    assert_string_equal(pk_doc_text(first, "overlaySlice.mood.0"), "fine");
    assert_int_equal(map(&sketch, "greeter", &second), PK_PERSONA_FRESH);
    assert_true(pk_doc_same(first, second));
    assert_int_equal(calls_of(&kit, "greeter"), 1);

    row = kit_get(&kit, "persona_log", pk_doc_text(first, "personaInstanceId"));
    assert_non_null(row);
    assert_string_equal(pk_doc_text(row, "personaId"), pk_doc_id(first));
    assert_string_equal(pk_doc_text(row, "mapperVersion"), "1.0.0");
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.generated"), 1);
}

TEST(a_persona_is_mapped_once_and_served_while_it_is_fresh)
{
    check_fresh(false);
}

TEST_WHEN(a_persona_is_mapped_once_and_served_while_it_is_fresh_on_mongodb, has_mongo())
{
    check_fresh(true);
}

TEST(what_a_mapper_did_not_read_changes_nothing)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    (void)sketch_trait(&sketch, "tone", "'direct'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    (void)sketch_trait(&sketch, "tones", "1");
    (void)sketch_trait(&sketch, "tone.deep", "2");
    sketch_now(&sketch, "tone", "'x'", 0);
    sketch_goal(&sketch, "rest");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
    assert_int_equal(calls_of(&kit, "greeter"), 1);
}

TEST(what_was_looked_for_in_vain_makes_it_stale_when_it_comes)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    put_greeter(&kit);
    assert_int_equal(map(&sketch, "greeter", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "coreSnapshot.tone.0"), "none");
    (void)sketch_trait(&sketch, "tone", "'warm'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "coreSnapshot.tone.0"), "warm");
    (void)sketch_trait(&sketch, "tone", NULL);
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "coreSnapshot.tone.0"), "none");
}

TEST(a_removal_that_was_folded_into_the_floor_is_not_missed)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    put_greeter(&kit);
    (void)sketch_trait(&sketch, "tone", "'warm'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &persona), PK_PERSONA_REGENERATED);
    (void)sketch_trait(&sketch, "tone", NULL);
    sketch_fold(&sketch);
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "coreSnapshot.tone.0"), "none");
}

/* ---- Half by half ---- */

TEST(only_the_stale_half_is_run_again)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = NULL;
    put_greeter(&kit);
    (void)sketch_trait(&sketch, "tone", "'direct'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &first), PK_PERSONA_REGENERATED);
    pk_clock_fake_advance(&kit.clock, MINUTE_MS);
    sketch_now(&sketch, "mood", "'sad'", 0);
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "greeter", &second), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(second, "overlaySlice.mood.0"), "sad");
    assert_true(pk_doc_bool(second, "generationMetadata.cacheStatus.coreWasCached", false));
    assert_int_equal(pk_doc_int(second, "generationMetadata.cacheStatus.coreCacheAge", 0),
                     MINUTE_MS);
    assert_int_equal(pk_doc_date(second, "coreSnapshot.generatedAt", 0),
                     pk_doc_date(first, "coreSnapshot.generatedAt", 1));
    assert_int_equal(pk_doc_int(second, "coreBasis.mindscapeVersion", 0), 1);
    assert_int_equal(pk_doc_int(second, "overlayBasis.mindscapeVersion", 0), 2);
    assert_string_not_equal(pk_doc_text(second, "personaInstanceId"),
                            pk_doc_text(first, "personaInstanceId"));
}

TEST(an_overlay_grows_stale_before_its_core)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = NULL;
    put_greeter(&kit);
    assert_int_equal(map(&sketch, "greeter", &first), PK_PERSONA_REGENERATED);
    pk_clock_fake_advance(&kit.clock, 2 * HOUR_MS - 1);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
    pk_clock_fake_advance(&kit.clock, 1);
    assert_int_equal(map(&sketch, "greeter", &second), PK_PERSONA_REGENERATED);
    assert_int_equal(pk_doc_date(second, "coreBasis.validFrom", 0),
                     pk_doc_date(first, "coreBasis.validFrom", 1));
    assert_int_equal(pk_doc_date(second, "overlayBasis.validFrom", 0), kit_now(&kit));
}

static void check_unchanged(bool is_mongo)
{
    KIT(kit, is_mongo);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = NULL;
    struct pk_personas_stats stats;
    kit_mapper(&kit, "coarse", "1.0.0", "return { fast = { (m[\"speed\"] or 0) > 5 } }");
    (void)sketch_trait(&sketch, "speed", "7");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "coarse", &first), PK_PERSONA_REGENERATED);
    pk_clock_fake_advance(&kit.clock, MINUTE_MS);
    (void)sketch_trait(&sketch, "speed", "8");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "coarse", &second), PK_PERSONA_REGENERATED);
    assert_int_equal(calls_of(&kit, "coarse"), 2);
    assert_string_equal(pk_doc_text(second, "personaInstanceId"),
                        pk_doc_text(first, "personaInstanceId"));
    assert_int_equal(pk_doc_date(second, "expiresAt", 0),
                     pk_doc_date(first, "expiresAt", 0) + MINUTE_MS);
    assert_int_equal(pk_doc_date(second, "generatedAt", 0), pk_doc_date(first, "generatedAt", 1));
    assert_int_equal(kit_count(&kit, "persona_log", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.generated"), 1);
    assert_int_equal(map(&sketch, "coarse", NULL), PK_PERSONA_FRESH);
    pk_personas_stats(kit_personas(&kit), &stats);
    assert_int_equal(stats.unchanged, 1);
}

TEST(a_mapping_that_says_the_same_leaves_the_old_one_with_a_later_end)
{
    check_unchanged(false);
}

TEST_WHEN(a_mapping_that_says_the_same_leaves_the_old_one_on_mongodb, has_mongo())
{
    check_unchanged(true);
}

TEST(another_version_of_the_mapper_makes_another_persona)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *second = NULL;
    struct pk_personas *personas = kit_personas(&kit);
    kit_mapper(&kit, "same", "1.0.0", "return { x = { 1 } }");
    (void)pk_personas_scripts_changed(personas);
    assert_false(pk_personas_scripts_changed(personas));
    assert_int_equal(map(&sketch, "same", &first), PK_PERSONA_REGENERATED);
    kit_mapper(&kit, "same", "1.1.0", "return { x = { 1 } }");
    assert_true(pk_personas_scripts_changed(personas));
    assert_int_equal(map(&sketch, "same", &second), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(second, "mapperVersion"), "1.1.0");
    assert_string_not_equal(pk_doc_text(second, "personaInstanceId"),
                            pk_doc_text(first, "personaInstanceId"));
}

TEST(other_half_lives_than_it_was_made_with_make_a_persona_anew)
{
    static const char *const set[] = { "high=7d", NULL };
    KIT(kit, false);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    const struct pk_policies *usual = kit.domain.policies;
    struct pk_policies *others = pk_policies_new(NULL, &kit.err);
    assert_ok(pk_policies_decay(others, set, &kit.err), &kit.err);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    kit.domain.policies = others;
    pk_clock_fake_advance(&kit.clock, 1000);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
    kit.domain.policies = usual;
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
    pk_policies_free(others);
}

TEST(a_clock_that_is_set_back_leaves_the_time_that_a_persona_was_made_for)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    const int64_t now = kit_now(&kit);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    pk_clock_fake_set_wall(&kit.clock, now - 1);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_REGENERATED);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
    pk_clock_fake_set_wall(&kit.clock, now);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
}

/* ---- Many at once ---- */

struct crowd {
    struct kit *kit;
    struct pk_personas *personas[4];
    const struct pk_map_request *request;
    pthread_barrier_t start;
    _Atomic unsigned failed, next;
};

static void *join_crowd(void *context)
{
    struct crowd *crowd = context;
    struct pk_personas *personas = crowd->personas[crowd->next++ % 4];
    (void)pthread_barrier_wait(&crowd->start);
    for (int i = 0; i < 64; i++) {
        struct pk_mapped mapped;
        struct pk_error err = { 0 };
        const bool ok = pk_persona_map(personas, crowd->request, &mapped, &err);
        if (!ok && crowd->failed++ == 0) {
            print_message("# %s\n", err.message);
        }
        pk_mapped_done(&mapped);
    }
    return NULL;
}

static void run_crowd(struct crowd *crowd)
{
    pthread_t thread[16];
    assert_int_equal(pthread_barrier_init(&crowd->start, NULL, 16), 0);
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, join_crowd, crowd), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    (void)pthread_barrier_destroy(&crowd->start);
    assert_int_equal(crowd->failed, 0);
}

TEST(a_thousand_equal_requests_make_one_mapping)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    const struct pk_map_request request = request_of(&sketch, "greeter");
    struct crowd crowd = { .kit = &kit, .request = &request };
    for (size_t i = 0; i < 4; i++) {
        crowd.personas[i] = kit_personas(&kit);
    }
    run_crowd(&crowd);
    assert_int_equal(calls_of(&kit, "greeter"), 1);
    assert_int_equal(kit_count(&kit, "persona_log", NULL, NULL), 1);
}

static void check_race(bool is_mongo)
{
    KIT(kit, is_mongo);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    const struct pk_map_request request = request_of(&sketch, "greeter");
    struct crowd crowd = { .kit = &kit, .request = &request };
    for (size_t i = 0; i < 4; i++) { /* Four nodes: each maps by itself. */
        crowd.personas[i] = pk_personas_new(&kit.domain);
    }
    run_crowd(&crowd);
    assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "persona_log", NULL, NULL), 1);
    for (size_t i = 0; i < 4; i++) {
        pk_personas_free(crowd.personas[i]);
    }
}

TEST(of_nodes_that_map_at_once_one_writes_and_the_others_read_it)
{
    check_race(false);
}

TEST_WHEN(of_nodes_that_map_at_once_one_writes_on_mongodb, has_mongo())
{
    check_race(true);
}

/* ---- What is missing, wrong or too much ---- */

TEST(a_required_trait_that_is_not_known_is_named)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"strict\", version = \"1.0.0\",\n"
               "  requires = { \"work.chronotype\", \"work.focus\" },\n"
               "  core = function(m) return { x = { m[\"work.focus\"] } } end }");
    const struct pk_map_request request = request_of(&sketch, "strict");
    (void)sketch_trait(&sketch, "work.focus", "'deep'");
    sketch_write(&sketch);
    refuse(&sketch, &request, PK_CONFLICT,
           "mapper 'strict' needs the trait 'work.chronotype', which is not known");
    assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 0);
    (void)sketch_trait(&sketch, "work.chronotype", "'morning'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "strict", NULL), PK_PERSONA_REGENERATED);
}

TEST(a_mapper_may_go_on_without_a_required_trait_and_warns)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"easy\", version = \"1.0.0\",\n"
               "  requires = { \"work.chronotype\" }, on_missing = \"degrade\",\n"
               "  core = function(m) return { x = { 1 } } end,\n"
               "  overlay = function(m) return { y = { m.now.place or 0 } } end }");
    assert_int_equal(map(&sketch, "easy", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "warnings.0"),
                        "required trait 'work.chronotype' is not known");
    sketch_now(&sketch, "place", "2", 0);
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "easy", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "warnings.0"),
                        "required trait 'work.chronotype' is not known");
    (void)sketch_trait(&sketch, "work.chronotype", "'morning'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "easy", &persona), PK_PERSONA_REGENERATED);
    assert_null(pk_doc_text(persona, "warnings.0"));
}

TEST(a_required_section_that_is_missing_is_a_warning_or_refused)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    static const char *const wanted[] = { "plan", "x", NULL };
    struct pk_mapped mapped;
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"some\", version = \"1.0.0\",\n"
               "  output_template = { sections = { { sectionName = \"z\", dataSource = {},\n"
               "    prompt = \"p\", maxTokens = 5, required = true, detail = \"balanced\" } } },\n"
               "  core = function(m) return { x = { 1 } } end }");
    struct pk_map_request request = request_of(&sketch, "some");
    request.sections = wanted;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.warning_count, 1);
    assert_string_equal(mapped.warning[0], "required section 'plan' is missing");
    pk_mapped_done(&mapped);
    request.detail = PK_DETAIL_BALANCED;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.warning_count, 2);
    assert_string_equal(mapped.warning[0], "required section 'z' is missing");
    pk_mapped_done(&mapped);
    request.is_strict = true;
    refuse(&sketch, &request, PK_CONFLICT, "the persona lacks the required sections 'z', 'plan'");
}

TEST(a_section_that_the_specification_names_is_checked)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    kit_mapper(&kit, "wrong", "1.0.0",
               "return { communicationStyle = { preferredMediums = pk.list {}, "
               "formalityLevel = \"rude\", responsePatterns = pk.list {}, "
               "languageComplexity = \"simple\" } }");
    const struct pk_map_request request = request_of(&sketch, "wrong");
    refuse(&sketch, &request, PK_REFUSED, "core.communicationStyle.formalityLevel");
    kit_mapper(&kit, "wrong", "1.0.1",
               "return { communicationStyle = { preferredMediums = pk.list {}, "
               "formalityLevel = \"formal\", responsePatterns = pk.list {}, "
               "languageComplexity = \"simple\" }, [\"my.own%$\"] = { [\"a.b\"] = ctx.now } }");
    assert_int_equal(map(&sketch, "wrong", NULL), PK_PERSONA_REGENERATED);
}

TEST(a_persona_over_its_cap_names_its_largest_sections)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { id = \"big\", version = \"1.0.0\",\n"
               "  limits = { output_bytes = 2000000 },\n"
               "  core = function(m) return { a = (\"x\"):rep(300000), b = (\"y\"):rep(400000),\n"
               "    c = { 1 } } end }");
    const struct pk_map_request request = request_of(&sketch, "big");
    refuse(&sketch, &request, PK_TOO_LARGE,
           "core.b (400000 bytes), core.a (300000 bytes), core.c (");
    assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 0);
}

TEST(a_mapper_that_fails_says_where_and_a_stale_persona_may_stand_in)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    struct pk_mapped mapped;
    kit_mapper(&kit, "brittle", "1.0.0",
               "if m[\"x\"] == 2 then error(\"two is too much\") end return { x = { m[\"x\"] } }");
    struct pk_map_request request = request_of(&sketch, "brittle");
    (void)sketch_trait(&sketch, "x", "1");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "brittle", NULL), PK_PERSONA_REGENERATED);
    (void)sketch_trait(&sketch, "x", "2");
    sketch_write(&sketch);
    refuse(&sketch, &request, PK_REFUSED, "script.lua:5: two is too much");
    request.is_stale_fine = true;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_STALE);
    assert_true(pk_doc_bool(mapped.persona, "isStale", false));
    assert_int_equal(mapped.warning_count, 1);
    assert_int_equal(pk_doc_int(mapped.persona, "coreSnapshot.x.0", 0), 1);
    pk_mapped_done(&mapped);
}

TEST(an_unknown_mapper_or_person_is_not_found)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    put_greeter(&kit);
    struct pk_map_request request = request_of(&sketch, "greter");
    refuse(&sketch, &request, PK_NOT_FOUND,
           "no version of a mapper 'greter' is active; did you mean 'greeter'?");
    request.mapper = "greeter";
    request.person = "11111111-1111-4111-8111-111111111111";
    refuse(&sketch, &request, PK_NOT_FOUND, "no such person or mapper");
}

TEST(an_erased_person_gets_no_persona_written)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    char now[PK_TIME_TEXT], later[PK_TIME_TEXT];
    put_greeter(&kit);
    pk_time_format(kit_now(&kit), now);
    pk_time_format(kit_now(&kit) + HOUR_MS, later);
    kit_put(&kit, "tombstones", "{'_id': '%s', 'erasedAt': '%s', 'expiresAt': '%s'}", sketch.person,
            now, later);
    const struct pk_map_request request = request_of(&sketch, "greeter");
    refuse(&sketch, &request, PK_NOT_FOUND, "no such person");
    assert_int_equal(calls_of(&kit, "greeter"), 1);
    assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 0);
    assert_int_equal(kit_count(&kit, "persona_log", NULL, NULL), 0);
}

/* ---- Reading ---- */

TEST(a_cached_persona_is_read_by_either_id_and_says_whether_it_is_stale)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    struct pk_personas *personas = kit_personas(&kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = NULL;
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    put_greeter(&kit);
    (void)map(&sketch, "greeter", &made);
    const char *id[] = { pk_doc_id(made), pk_doc_text(made, "personaInstanceId") };
    for (int change = 0; change < 2; change++) {
        for (size_t i = 0; i < 2; i++) {
            struct pk_doc *seen = NULL;
            assert_ok(pk_persona_get(personas, id[i], NULL, 0, &seen, &kit.err), &kit.err);
            assert_non_null(seen);
            assert_int_equal(pk_doc_bool(seen, "isStale", false), change == 1);
            pk_doc_unref(seen);
        }
        (void)sketch_trait(&sketch, "tone", "'new'");
        sketch_write(&sketch);
    }
    assert_ok(pk_persona_list(personas, sketch.person, NULL, 10, NULL, 0, &page, &kit.err),
              &kit.err);
    assert_int_equal(page.count, 1);
    assert_true(pk_doc_bool(page.doc[0], "isStale", false));
    static const char *const none[] = { "greeter:x:instant", "a:b", "", "::" };
    for (size_t i = 0; i < PK_COUNT(none); i++) {
        struct pk_doc *seen = made;
        assert_ok(pk_persona_get(personas, none[i], NULL, 0, &seen, &kit.err), &kit.err);
        assert_null(seen);
    }
}

/* ---- Use counts, and the end ---- */

static void check_uses(bool is_mongo)
{
    KIT(kit, is_mongo);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = NULL;
    put_greeter(&kit);
    for (int i = 0; i < 3; i++) {
        (void)map(&sketch, "greeter", NULL);
    }
    PK_CLEANUP(pk_freep)
    char *id = pk_strdupf("greeter:%s:instant", sketch.person);
    before = kit_get(&kit, "personas", id);
    pk_clock_fake_advance(&kit.clock, 1);
    pk_persona_used(kit_personas(&kit), id, "22222222-2222-4222-8222-222222222222");
    assert_ok(pk_personas_flush(kit_personas(&kit), &kit.err), &kit.err);
    after = kit_get(&kit, "personas", id);
    assert_string_equal(pk_doc_text(after, "usageMetadata.lastAccessedBy"),
                        "22222222-2222-4222-8222-222222222222");
    assert_int_equal(pk_doc_int(after, "usageMetadata.accessCount", 0), 4);
    assert_int_equal(pk_doc_date(after, "usageMetadata.lastAccessedAt", 0), kit_now(&kit));
    assert_int_equal(pk_doc_version(after), pk_doc_version(before));
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.accessed"), 2);
    assert_int_equal(map(&sketch, "greeter", NULL), PK_PERSONA_FRESH);
    pk_clock_fake_advance(&kit.clock,
                          2 * HOUR_MS); /* The overlay is made again, and is the same. */
    assert_int_equal(map(&sketch, "greeter", &after), PK_PERSONA_REGENERATED);
    assert_int_equal(pk_doc_int(after, "usageMetadata.accessCount", 0), 4);
}

TEST(uses_are_counted_without_a_new_version)
{
    check_uses(false);
}

TEST_WHEN(uses_are_counted_without_a_new_version_on_mongodb, has_mongo())
{
    check_uses(true);
}

static size_t expire(struct kit *kit)
{
    size_t count = 0;
    assert_ok(pk_personas_expire(kit_personas(kit), 100, &count, &kit->err), &kit->err);
    return count;
}

TEST(the_end_of_a_persona_is_announced_once)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    kit_mapper(&kit, "hourly", "1.0.0", "return { x = { m[\"x\"] and 1 or 0 } }");
    assert_int_equal(map(&sketch, "hourly", NULL), PK_PERSONA_REGENERATED);
    pk_clock_fake_advance(&kit.clock, HOUR_MS / 2);
    (void)sketch_trait(&sketch, "x", "1"); /* Another generation: the first was replaced. */
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "hourly", NULL), PK_PERSONA_REGENERATED);
    pk_clock_fake_advance(&kit.clock, HOUR_MS / 2);
    (void)sketch_trait(&sketch, "x", "2"); /* The same content: it lives on. */
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "hourly", NULL), PK_PERSONA_REGENERATED);
    assert_int_equal(expire(&kit), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.expired"), 0);
    pk_clock_fake_advance(&kit.clock, HOUR_MS / 2);
    assert_int_equal(expire(&kit), 1); /* Its row learns the later end. */
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.expired"), 0);
    pk_clock_fake_advance(&kit.clock, HOUR_MS / 2);
    assert_int_equal(expire(&kit), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.expired"), 1);
    pk_clock_fake_advance(&kit.clock, HOUR_MS);
    assert_int_equal(expire(&kit), 0);
    assert_int_equal(kit_count(&kit, "events", "eventType", "persona.expired"), 1);
}
