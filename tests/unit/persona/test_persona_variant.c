/* test_persona_variant.c - What makes one persona differ from another: values of the request, what
 * is hidden, a purpose; and prompts. */
/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include "base/alloc.h"
#include "net/hot.h"
#include "persona/consent.h"
#include "persona/explain.h"

#include <stdio.h>
#include <string.h>

/* ---- Variants ---- */

TEST(declared_values_of_the_request_make_a_variant)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    struct pk_mapped mapped;
    bson_t context;
    kit_script(
        &kit, PK_SCRIPT_MAPPER,
        "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
        " id = \"task\", version = \"1.0.0\",\n"
        "  context = { \"audience\", \"taskType\" },\n"
        "  core = function(m, ctx) return { x = { ctx.context and ctx.context.audience or 0,\n"
        "    ctx.task and ctx.task.type or 0, ctx.context and ctx.context.other or 0 } } end }");
    struct pk_map_request request = request_of(&sketch, "task");
    kit_json(&context, "{'audience': 'kids', 'taskType': 'mail', 'other': 'secret'}");
    request.context = &context;
    ask(&kit, &request, &mapped);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.x.0"), "kids");
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.x.1"), "mail");
    assert_null(pk_doc_text(mapped.persona, "coreSnapshot.x.2"));
    assert_int_equal(strlen(pk_doc_text(mapped.persona, "variant")), 16);
    pk_mapped_done(&mapped);
    bson_destroy(&context);

    kit_json(&context, "{'other': 'else', 'taskType': 'mail', 'audience': 'kids'}");
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_FRESH);
    pk_mapped_done(&mapped);
    bson_destroy(&context);

    request.context = NULL;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_REGENERATED);
    assert_null(pk_doc_text(mapped.persona, "variant"));
    pk_mapped_done(&mapped);
    assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 2);
}

TEST(beyond_32_variants_they_are_made_and_not_kept)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"many\", version = \"1.0.0\", context = { \"n\" },\n"
               "  core = function(m, ctx) return { n = { ctx.context.n } } end }");
    struct pk_map_request request = request_of(&sketch, "many");
    for (int i = 0; i < 34; i++) {
        struct pk_mapped mapped;
        bson_t context;
        kit_json(&context, "{'n': %d}", i);
        request.context = &context;
        ask(&kit, &request, &mapped);
        assert_int_equal(pk_doc_int(mapped.persona, "coreSnapshot.n.0", -1), i);
        pk_mapped_done(&mapped);
        bson_destroy(&context);
    }
    assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 32);
    assert_int_equal(kit_count(&kit, "persona_log", NULL, NULL), 34);
}

/* ---- Hidden paths ---- */

static struct pk_principal *hider(const char *hidden)
{
    bson_t actor;
    kit_json(&actor,
             "{'_id': '22222222-2222-4222-8222-222222222222', 'status': 'active', "
             "'apiKeys': [{'keyId': 'abcdefgh', 'status': 'active', 'keyHash': "
             "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}], "
             "'capabilities': {'canRequestPersonas': true, 'maxDetailLevel': 'deep_dive', "
             "'allowedMappers': ['*'], 'people': ['*'], 'hiddenPaths': [%s]}}",
             hidden);
    struct pk_doc *doc = pk_doc_new(&actor);
    struct pk_principal *who = pk_principal_new(doc, "abcdefgh");
    pk_doc_unref(doc);
    bson_destroy(&actor);
    assert_non_null(who);
    return who;
}

TEST(what_is_hidden_is_not_there_and_shares_what_it_could_not_change)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *blind = hider("'health'");
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *other = hider("'money'");
    struct pk_mapped mapped;
    kit_mapper(&kit, "open", "1.0.0", "return { x = { m[\"health.heart\"] or \"unknown\" } }");
    (void)sketch_trait(&sketch, "health.heart", "'weak'");
    sketch_write(&sketch);
    struct pk_map_request request = request_of(&sketch, "open");
    ask(&kit, &request, &mapped);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.x.0"), "weak");
    persona = pk_doc_ref(mapped.persona);
    pk_mapped_done(&mapped);

    request.who = blind;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.x.0"), "unknown");
    assert_non_null(pk_doc_text(mapped.persona, "variant"));
    pk_mapped_done(&mapped);
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_FRESH);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.x.0"), "unknown");
    pk_mapped_done(&mapped);

    request.who = other;
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_FRESH);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.x.0"), "weak");
    pk_mapped_done(&mapped);

    struct pk_doc *seen = NULL;
    assert_ok(pk_persona_get(kit_personas(&kit), pk_doc_id(persona), blind, 0, &seen, &kit.err),
              &kit.err);
    assert_null(seen);
    assert_ok(pk_persona_get(kit_personas(&kit), pk_doc_id(persona), other, 0, &seen, &kit.err),
              &kit.err);
    assert_non_null(seen);
    pk_doc_unref(seen);
}

static bool is_seen(struct kit *kit, const char *id, const struct pk_principal *who)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *seen = NULL;
    assert_ok(pk_persona_get(kit_personas(kit), id, who, 0, &seen, &kit->err), &kit->err);
    return seen != NULL;
}

static size_t listed(struct sketch *sketch, const struct pk_principal *who)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    struct kit *kit = sketch->kit;
    assert_ok(
        pk_persona_list(kit_personas(kit), sketch->person, who, 10, NULL, 0, &page, &kit->err),
        &kit->err);
    return page.count;
}

static bool is_explained(struct kit *kit, const char *id, const struct pk_principal *who)
{
    const struct pk_explain_request request = { .id = id, .who = who };
    struct pk_error err = { 0 };
    bson_t out;
    if (pk_persona_explain(kit_personas(kit), &request, &out, &err)) {
        PK_CLEANUP(pk_freep) char *text = kit_text(&out);
        assert_null(strstr(text, "weak"));
        bson_destroy(&out);
        return true;
    }
    expect_error(&err, PK_NOT_FOUND, "no such persona");
    return false;
}

TEST(what_was_made_without_what_is_hidden_from_him_is_his_to_read)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *blind = hider("'health'");
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *blinder = hider("'health', 'money'");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *common = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *own = NULL;
    kit_mapper(&kit, "open", "1.0.0", "return { x = { m[\"health.heart\"] or \"unknown\" } }");
    (void)sketch_trait(&sketch, "health.heart", "'weak'");
    sketch_write(&sketch);
    struct pk_map_request request = request_of(&sketch, "open");
    struct pk_mapped mapped;
    ask(&kit, &request, &mapped);
    common = pk_doc_ref(mapped.persona);
    pk_mapped_done(&mapped);
    request.who = blind;
    ask(&kit, &request, &mapped);
    own = pk_doc_ref(mapped.persona);
    pk_mapped_done(&mapped);

    assert_true(is_seen(&kit, pk_doc_id(own), blind));
    assert_true(is_seen(&kit, pk_doc_text(own, "personaInstanceId"), blind));
    assert_true(is_explained(&kit, pk_doc_id(own), blind));
    assert_int_equal(listed(&sketch, blind), 1);
    assert_int_equal(listed(&sketch, NULL), 2);

    assert_false(is_seen(&kit, pk_doc_id(common), blind));
    assert_false(is_explained(&kit, pk_doc_id(common), blind));
    assert_false(is_seen(&kit, pk_doc_id(own), blinder));
    assert_false(is_explained(&kit, pk_doc_id(own), blinder));
    assert_int_equal(listed(&sketch, blinder), 0);
}

TEST(a_mapping_without_hidden_reads_is_everybodys)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *blind = hider("'health'");
    struct pk_mapped mapped;
    kit_mapper(&kit, "plain", "1.0.0", "return { x = { m[\"tone\"] or 0 } }");
    struct pk_map_request request = request_of(&sketch, "plain");
    request.who = blind;
    ask(&kit, &request, &mapped);
    assert_null(pk_doc_text(mapped.persona, "variant"));
    pk_mapped_done(&mapped);
    assert_int_equal(map(&sketch, "plain", NULL), PK_PERSONA_FRESH);
}

/* ---- Consent ---- */

static void consent(struct sketch *sketch, const char *status)
{
    struct kit *kit = sketch->kit;
    bson_t wanted;
    kit_json(&wanted, "{'status': '%s'}", status);
    const bool ok = pk_consent_record(&kit->domain, &kit->bed.by, sketch->person, "coaching", 0,
                                      &wanted, NULL, &kit->err);
    bson_destroy(&wanted);
    assert_ok(ok, &kit->err);
    pk_hot_changed(kit->domain.hot, sketch->person);
}

TEST(a_named_purpose_needs_consent_and_is_a_variant)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_freep) char *id = NULL;
    struct pk_mapped mapped;
    struct pk_doc *seen = NULL;
    struct pk_error err = { 0 };
    put_greeter(&kit);
    struct pk_map_request request = request_of(&sketch, "greeter");
    request.purpose = "coaching";
    refuse(&sketch, &request, PK_FORBIDDEN, "coaching");
    consent(&sketch, "granted");
    ask(&kit, &request, &mapped);
    id = pk_strdup(pk_doc_id(mapped.persona));
    assert_non_null(pk_doc_text(mapped.persona, "variant"));
    pk_mapped_done(&mapped);
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_FRESH);
    pk_mapped_done(&mapped);
    assert_ok(pk_personas_flush(kit_personas(&kit), &err), &err);
    assert_int_equal(kit_count(&kit, "audit", "purpose", "coaching"),
                     1); /* What it was read for. */
    consent(&sketch, "withdrawn");
    refuse(&sketch, &request, PK_FORBIDDEN, "coaching");
    request.is_stale_fine = true;
    refuse(&sketch, &request, PK_FORBIDDEN, "coaching");
    assert_false(pk_persona_get(kit_personas(&kit), id, NULL, 0, &seen, &err));
    expect_error(&err, PK_FORBIDDEN, "coaching");
}

/* ---- Prompts ---- */

TEST(prompts_are_filled_cut_counted_and_read)
{
    KIT(kit, false);
    SKETCH(sketch, &kit);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    kit_script(&kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = \"prompt\", version = \"1.0.0\",\n"
               "  output_template = { sections = {\n"
               "    { sectionName = \"letter\", dataSource = {}, required = false,\n"
               "      prompt = \"Write to {{person.name | them}}: {{ tones }}, {{a.b}}!\",\n"
               "      maxTokens = 100 },\n"
               "    { sectionName = \"short\", dataSource = {}, required = false,\n"
               "      prompt = \"one two three\", maxTokens = 2 } } },\n"
               "  core = function(m) return { x = { 1 } } end }");
    (void)sketch_trait(&sketch, "tones", "['warm', 'dry']");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "prompt", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "overlaySlice.prompts.0.section"), "letter");
    assert_string_equal(pk_doc_text(persona, "overlaySlice.prompts.0.text"),
                        "Write to them: warm, dry, (b unknown)!");
    assert_int_equal(pk_doc_int(persona, "overlaySlice.prompts.0.tokens", 0), 15);
    assert_string_equal(pk_doc_text(persona, "overlaySlice.prompts.1.text"), "one two");
    assert_int_equal(pk_doc_int(persona, "generationMetadata.totalTokensUsed", 0), 17);
    assert_string_equal(pk_doc_text(persona, "warnings.0"),
                        "'a.b' is not known; give a default: {{a.b|...}}");
    (void)sketch_trait(&sketch, "person.name", "'Ada'");
    sketch_write(&sketch);
    assert_int_equal(map(&sketch, "prompt", &persona), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(persona, "overlaySlice.prompts.0.text"),
                        "Write to Ada: warm, dry, (b unknown)!");
    assert_true(pk_doc_bool(persona, "generationMetadata.cacheStatus.coreWasCached", false));
}
