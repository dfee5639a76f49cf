/* test_canary_persona.c - What a version that is tried makes: apart from the other's, and never to
 * anybody's harm. */
/* SPDX-License-Identifier: MIT */
#include "asking.h"
#include "trying.h"

#include "doc/path.h"
#include "persona/canary.h"
#include "persona/explain.h"
#include "persona/feedback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000 };

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

/* ---- Personas ---- */

#define BODY(version) "return { v = { \"" version "\", m[\"tone\"] or \"none\" } }"

/* On a machine that is busy they have time. */
#define MAPPER(version, body)                                      \
    "return pk.mapper {\n"                                         \
    "  id = \"daily\", version = \"" version "\", ttl = \"1h\",\n" \
    "  limits = { soft_ms = 1000, hard_ms = 5000 },\n"             \
    "  core = function(m, ctx)\n" body "\n  end,\n}\n"

static void put_first(struct kit *kit)
{
    kit_script(kit, PK_SCRIPT_MAPPER, "%s", MAPPER("1.0.0", BODY("1.0.0")));
}

static void put_draft(struct kit *kit, const char *text)
{
    struct pk_bundle *bundle =
        lua_text("script.lua", "local pk = require \"personakit\"\n%s", text);
    assert_ok(draft(&kit->bed, &kit->bed.node[0], bundle, PK_DRAFT_STRICT, NULL), &kit->bed.err);
}

static void begin_kit(struct kit *kit, const char *version, double share)
{
    assert_ok(begin_canary(&kit->bed, &kit->bed.node[0], version, share, NULL), &kit->bed.err);
}

static void end_kit(struct kit *kit, const char *version)
{
    assert_ok(end_canary(&kit->bed, &kit->bed.node[0], version), &kit->bed.err);
}

/* A person who is in, or is not, at this share of 1.1.0 of "daily". */
static void open_one(struct sketch *sketch, struct kit *kit, double share, bool is_in)
{
    do {
        *sketch = (struct sketch){ 0 };
        sketch_open(sketch, kit);
    } while (pk_canary_takes("daily", "1.1.0", sketch->person, share) != is_in);
}

static struct pk_doc *get(struct sketch *sketch)
{
    char id[128];
    struct pk_doc *out = NULL;
    (void)snprintf(id, sizeof(id), "daily:%s:instant", sketch->person);
    assert_ok(pk_persona_get(kit_personas(sketch->kit), id, NULL, 0, &out, &sketch->kit->err),
              &sketch->kit->err);
    return out;
}

static void expect_got(struct sketch *sketch, const char *version, bool is_stale)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = get(sketch);
    assert_non_null(doc);
    assert_string_equal(pk_doc_text(doc, "mapperVersion"), version);
    assert_int_equal(pk_doc_bool(doc, "isStale", false), is_stale);
}

ON_BOTH(people_of_the_share_get_it_and_the_end_makes_theirs_anew)
{
    KIT(kit, is_mongo);
    struct sketch in, out;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mine = NULL;
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    open_one(&in, &kit, 0.5, true);
    open_one(&out, &kit, 0.5, false);
    assert_int_equal(map(&in, "daily", NULL), PK_PERSONA_REGENERATED);
    assert_int_equal(map(&out, "daily", NULL), PK_PERSONA_REGENERATED);

    begin_kit(&kit, "1.1.0", 0.5);
    expect_got(&in, "1.0.0", true); /* He is to have another one. */
    expect_got(&out, "1.0.0", false);
    assert_int_equal(map(&out, "daily", &doc), PK_PERSONA_FRESH);
    assert_false(pk_persona_is_canary(doc));
    assert_int_equal(map(&in, "daily", &mine), PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(mine, "coreSnapshot.v.0"), "1.1.0");
    assert_string_equal(pk_doc_text(mine, "variantValues.canary"), "1.1.0");
    assert_true(pk_persona_is_canary(mine));
    assert_int_equal(map(&in, "daily", NULL), PK_PERSONA_FRESH);
    expect_got(&in, "1.1.0", false); /* By the id without a variant. */
    assert_ok(pk_persona_is_named(mine, "daily:x:instant") == false, &kit.err);

    begin_kit(&kit, "1.1.0", 0.9); /* It grows: he keeps what he has. */
    assert_int_equal(map(&in, "daily", NULL), PK_PERSONA_FRESH);
    end_kit(&kit, "1.1.0");
    expect_got(&in, "1.0.0", false); /* What was made before is what would be made now. */
    assert_int_equal(map(&in, "daily", &doc), PK_PERSONA_FRESH);
    assert_string_equal(pk_doc_text(doc, "coreSnapshot.v.0"), "1.0.0");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *left = NULL;
    assert_ok(pk_persona_get(kit_personas(&kit), pk_doc_id(mine), NULL, 0, &left, &kit.err),
              &kit.err);
    assert_true(pk_doc_bool(left, "isStale", false)); /* By its own id it is there, and stale. */

    begin_kit(&kit, "1.1.0", 0.5); /* The same people, and what was made for them. */
    assert_int_equal(map(&in, "daily", &doc), PK_PERSONA_FRESH);
    assert_string_equal(pk_doc_text(doc, "mapperVersion"), "1.1.0");
    assert_ok(activate(&kit.bed, &kit.bed.node[0], "daily", "1.1.0"), &kit.bed.err);
    assert_int_equal(map(&in, "daily", &doc), PK_PERSONA_REGENERATED);
    assert_false(pk_persona_is_canary(doc));
    assert_string_equal(pk_doc_text(doc, "coreSnapshot.v.0"), "1.1.0");
}

TEST(who_takes_what_is_out_of_date_gets_what_was_there)
{
    KIT(kit, false);
    struct sketch in;
    struct pk_mapped mapped;
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    open_one(&in, &kit, 0.5, true);
    struct pk_map_request request = request_of(&in, "daily");
    request.is_stale_fine = true;
    assert_int_equal(map(&in, "daily", NULL), PK_PERSONA_REGENERATED);
    begin_kit(&kit, "1.1.0", 0.5);
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_STALE);
    assert_string_equal(pk_doc_text(mapped.persona, "mapperVersion"), "1.0.0");
    assert_true(pk_doc_bool(mapped.persona, "isStale", false));
    assert_non_null(strstr(mapped.warning[0], "another version of its mapper"));
    pk_mapped_done(&mapped);
    pk_clock_fake_advance(&kit.clock, HOUR_MS); /* It is past its end. */
    ask(&kit, &request, &mapped);
    assert_int_equal(mapped.status, PK_PERSONA_REGENERATED);
    assert_string_equal(pk_doc_text(mapped.persona, "mapperVersion"), "1.1.0");
    pk_mapped_done(&mapped);
}

static struct pk_principal *hider(const char *hidden)
{
    bson_t actor;
    kit_json(&actor,
             "{'_id': '22222222-2222-4222-8222-222222222222', 'status': 'active', "
             "'apiKeys': [{'keyId': 'abcdefgh', 'status': 'active', 'keyHash': "
             "'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}], "
             "'capabilities': {'canRequestPersonas': true, 'maxDetailLevel': 'deep_dive', "
             "'allowedMappers': ['*'], 'people': ['*'], 'hiddenPaths': ['%s']}}",
             hidden);
    struct pk_doc *doc = pk_doc_new(&actor);
    struct pk_principal *who = pk_principal_new(doc, "abcdefgh");
    pk_doc_unref(doc);
    bson_destroy(&actor);
    return who;
}

static void expect_for(struct sketch *sketch, const struct pk_principal *who,
                       enum pk_cache_status status, const char *tone)
{
    struct pk_map_request request = request_of(sketch, "daily");
    struct pk_mapped mapped;
    request.who = who;
    ask(sketch->kit, &request, &mapped);
    assert_int_equal(mapped.status, status);
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.v.0"), "1.1.0");
    assert_string_equal(pk_doc_text(mapped.persona, "coreSnapshot.v.1"), tone);
    assert_true(pk_persona_is_canary(mapped.persona));
    pk_mapped_done(&mapped);
}

TEST(what_is_hidden_is_not_told_by_a_canary_either)
{
    KIT(kit, false);
    struct sketch in;
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *blind = hider("tone");
    PK_CLEANUP(pk_principal_unrefp) struct pk_principal *other = hider("money");
    char id[128];
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    open_one(&in, &kit, 0.5, true);
    (void)sketch_trait(&in, "tone", "'warm'");
    sketch_write(&in);
    begin_kit(&kit, "1.1.0", 0.5);
    expect_for(&in, NULL, PK_PERSONA_REGENERATED, "warm");
    expect_for(&in, blind, PK_PERSONA_REGENERATED, "none");
    expect_for(&in, blind, PK_PERSONA_FRESH, "none");
    expect_for(&in, other, PK_PERSONA_FRESH, "warm"); /* It could not have made a difference. */
    (void)snprintf(id, sizeof(id), "daily:%s:instant", in.person);
    for (int i = 0; i < 2; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *got = NULL;
        assert_ok(pk_persona_get(kit_personas(&kit), id, i ? other : blind, 0, &got, &kit.err),
                  &kit.err);
        assert_true((got != NULL) == (i == 1));
    }
}

/* ---- Never mixed ---- */

enum { CAST = 8, STEPS = 600 };

struct play {
    struct kit *kit;
    struct sketch person[CAST];
    const char *active;
    bool is_running;
    double share;
    unsigned mapped, tried;
};

static const char *expected_of(const struct play *play, const struct sketch *person)
{
    return play->is_running && pk_canary_takes("daily", "1.1.0", person->person, play->share)
               ? "1.1.0"
               : play->active;
}

static void expect_whole(const struct play *play, const struct sketch *person,
                         const struct pk_doc *doc)
{
    const char *version = expected_of(play, person);
    const char *tone = person->trait_count > 0 ? person->trait[0].value : "'none'";
    char quoted[64];
    (void)snprintf(quoted, sizeof(quoted), "'%s'", pk_doc_text(doc, "coreSnapshot.v.1"));
    assert_string_equal(pk_doc_text(doc, "mapperVersion"), version);
    assert_string_equal(pk_doc_text(doc, "coreSnapshot.v.0"), version);
    assert_string_equal(quoted, tone);
    assert_int_equal(pk_persona_is_canary(doc),
                     play->is_running && strcmp(version, play->active) != 0);
}

static void change_trait(struct play *play, struct sketch *person)
{
    char value[32];
    (void)snprintf(value, sizeof(value), "'t%ld'", random() % 3);
    (void)sketch_trait(person, "tone", value);
    sketch_write(person);
    (void)play;
}

static void change_share(struct play *play)
{
    play->share = (double)(1 + random() % 20) / 20;
    begin_kit(play->kit, "1.1.0", play->share);
    play->is_running = true;
}

static void look_at(struct play *play, struct sketch *person)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *got = NULL;
    (void)map(person, "daily", &doc);
    expect_whole(play, person, doc);
    got = get(person);
    assert_non_null(got);
    assert_string_equal(pk_doc_id(got), pk_doc_id(doc));
    assert_false(pk_doc_bool(got, "isStale", false));
    play->mapped++;
    play->tried += pk_persona_is_canary(doc);
}

/* What is got without mapping is never said to be fresh when it is another version's. */
static void peek_at(struct play *play, struct sketch *person)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *got = get(person);
    if (got && !pk_doc_bool(got, "isStale", false)) {
        expect_whole(play, person, got);
    }
}

TEST(personas_of_both_versions_are_never_mixed)
{
    KIT(kit, false);
    struct play play = { .kit = &kit, .active = "1.0.0" };
    srandom(7);
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    for (size_t i = 0; i < CAST; i++) {
        sketch_open(&play.person[i], &kit);
    }
    for (int step = 0; step < STEPS; step++) {
        struct sketch *person = &play.person[random() % CAST];
        const long what = random() % 100;
        if (what < 45) {
            look_at(&play, person);
        } else if (what < 70) {
            peek_at(&play, person);
        } else if (what < 82) {
            change_trait(&play, person);
        } else if (what < 90) {
            change_share(&play);
        } else if (what < 95 && play.is_running) {
            end_kit(&kit, "1.1.0");
            play.is_running = false;
        } else {
            pk_clock_fake_advance(&kit.clock, HOUR_MS / 4);
        }
    }
    assert_true(play.mapped > 150 && play.tried > 20 && play.tried < play.mapped);
}

/* ---- One that fails ---- */

static void expect_fallback(struct kit *kit, struct sketch *sketch, const char *why)
{
    const struct pk_map_request request = request_of(sketch, "daily");
    struct pk_mapped mapped;
    ask(kit, &request, &mapped);
    assert_string_equal(pk_doc_text(mapped.persona, "mapperVersion"), "1.0.0");
    assert_false(pk_persona_is_canary(mapped.persona));
    assert_true(mapped.warning_count >= 1);
    assert_non_null(strstr(mapped.warning[mapped.warning_count - 1],
                           "version 1.1.0, which is tried on this person, failed"));
    if (!strstr(mapped.warning[mapped.warning_count - 1], why)) {
        fail_msg("'%s' does not say '%s'", mapped.warning[mapped.warning_count - 1], why);
    }
    pk_mapped_done(&mapped);
}

TEST(one_that_fails_hurts_nobody)
{
    static const struct {
        const char *text, *why;
    } row[] = {
        { MAPPER("1.1.0", "error(\"no good\")"), "no good" },
        { MAPPER("1.1.0", "return { identity = 7 }"), "identity" },
        { MAPPER("1.1.0", "return { x = { (\"x\"):rep(600000) } }"), "over 262144 bytes" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        KIT(kit, false);
        struct sketch in, out;
        struct pk_personas_stats stats;
        put_first(&kit);
        put_draft(&kit, row[i].text);
        open_one(&in, &kit, 0.5, true);
        open_one(&out, &kit, 0.5, false);
        begin_kit(&kit, "1.1.0", 0.5);
        expect_fallback(&kit, &in, row[i].why);
        expect_fallback(&kit, &in, row[i].why);
        assert_int_equal(map(&out, "daily", NULL), PK_PERSONA_REGENERATED);
        pk_personas_stats(kit_personas(&kit), &stats);
        assert_int_equal(stats.fallbacks, 2);
        assert_int_equal(kit_count(&kit, "personas", NULL, NULL), 2);
    }
}

static void expect_status(struct sketch *sketch, bool is_stale_fine, enum pk_cache_status status)
{
    struct pk_map_request request = request_of(sketch, "daily");
    struct pk_mapped mapped;
    request.is_stale_fine = is_stale_fine;
    ask(sketch->kit, &request, &mapped);
    assert_int_equal(mapped.status, status);
    assert_string_equal(pk_doc_text(mapped.persona, "mapperVersion"), "1.0.0");
    assert_non_null(strstr(mapped.warning[mapped.warning_count - 1], "failed, so the active"));
    pk_mapped_done(&mapped);
}

static void expect_listed(struct sketch *sketch, const char *version, bool is_stale)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    assert_ok(pk_persona_list(kit_personas(sketch->kit), sketch->person, NULL, 10, NULL, 0, &page,
                              &sketch->kit->err),
              &sketch->kit->err);
    for (size_t i = 0; i < page.count; i++) {
        if (strcmp(pk_doc_text(page.doc[i], "mapperVersion"), version) == 0) {
            assert_int_equal(pk_doc_bool(page.doc[i], "isStale", false), is_stale);
            return;
        }
    }
    fail_msg("none of %s is listed", version);
}

static void expect_explained(struct sketch *sketch, bool is_stale)
{
    char id[128];
    struct pk_explain_request request = { .id = id };
    bson_t out;
    bson_iter_t iter, at;
    (void)snprintf(id, sizeof(id), "daily:%s:instant", sketch->person);
    assert_ok(pk_persona_explain(kit_personas(sketch->kit), &request, &out, &sketch->kit->err),
              &sketch->kit->err);
    assert_true(bson_iter_init(&iter, &out) &&
                bson_iter_find_descendant(&iter, "staleness.isStale", &at));
    assert_int_equal(bson_iter_bool(&at), is_stale);
    bson_destroy(&out);
}

/* Reading says what mapping says, on every node; and not of another mindscape. */
ON_BOTH(what_stands_in_for_one_that_fails_is_read_as_it_is_served)
{
    KIT(kit, is_mongo);
    struct sketch in;
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", "if m[\"tone\"] ~= \"good\" then error(\"no good\") end\n"
                                    "return { v = { \"1.1.0\", m[\"tone\"] } }"));
    open_one(&in, &kit, 0.5, true);
    assert_int_equal(map(&in, "daily", NULL), PK_PERSONA_REGENERATED);
    begin_kit(&kit, "1.1.0", 0.5);
    expect_got(&in, "1.0.0", true); /* It was not tried yet. */
    expect_status(&in, false, PK_PERSONA_FRESH);
    expect_got(&in, "1.0.0", false);
    expect_listed(&in, "1.0.0", false);
    expect_explained(&in, false);
    expect_status(&in, false, PK_PERSONA_FRESH);
    expect_status(&in, true, PK_PERSONA_FRESH);
    expect_got(&in, "1.0.0", false);

    (void)sketch_trait(&in, "tone", "'good'");
    sketch_write(&in); /* There it does better. */
    expect_got(&in, "1.0.0", true);
    assert_int_equal(map(&in, "daily", NULL), PK_PERSONA_REGENERATED);
    expect_got(&in, "1.1.0", false);

    (void)sketch_trait(&in, "tone", "'bad'");
    sketch_write(&in); /* And there it fails, though it had made one. */
    expect_got(&in, "1.1.0", true);
    expect_status(&in, false, PK_PERSONA_REGENERATED);
    expect_got(&in, "1.0.0", false);
    expect_listed(&in, "1.0.0", false);
    expect_listed(&in, "1.1.0", true);
    end_kit(&kit, "1.1.0");
    expect_got(&in, "1.0.0", false);
}

TEST(one_that_wants_more_than_is_known_leaves_the_person_his_persona)
{
    KIT(kit, false);
    struct sketch in;
    put_first(&kit);
    struct pk_bundle *bundle =
        lua_text("script.lua", "local pk = require \"personakit\"\n"
                               "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
                               " id = \"daily\", version = \"1.1.0\",\n"
                               "  requires = { \"never.known\" },\n"
                               "  core = function(m) return { v = { m[\"never.known\"] } } end }");
    assert_ok(draft(&kit.bed, &kit.bed.node[0], bundle, PK_DRAFT_STRICT, NULL), &kit.bed.err);
    open_one(&in, &kit, 0.5, true);
    begin_kit(&kit, "1.1.0", 0.5);
    expect_fallback(&kit, &in, "never.known");
}

static size_t people_who_fail(struct kit *kit, size_t count)
{
    size_t fallbacks = 0;
    for (size_t i = 0; i < count; i++) {
        struct sketch in;
        struct pk_mapped mapped;
        open_one(&in, kit, 0.5, true);
        const struct pk_map_request request = request_of(&in, "daily");
        ask(kit, &request, &mapped);
        assert_string_equal(pk_doc_text(mapped.persona, "mapperVersion"), "1.0.0");
        fallbacks += mapped.warning_count > 0;
        pk_mapped_done(&mapped);
    }
    return fallbacks;
}

ON_BOTH(one_that_fails_too_often_ends_by_itself_and_is_barred)
{
    KIT(kit, is_mongo);
    struct node *node = &kit.bed.node[0];
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", "error(\"no good\")"));
    begin_kit(&kit, "1.1.0", 0.5);
    assert_ok(pk_registry_start(node->registry, &kit.err), &kit.err);
    pk_clock_fake_advance(&kit.clock, 24 * HOUR_MS); /* Not in its first minute alone. */
    assert_int_equal(people_who_fail(&kit, 19), 19);
    assert_string_equal(tried(node, NULL), "1.1.0");
    assert_int_equal(people_who_fail(&kit, 1), 1);
    UNTIL(strcmp(tried(node, NULL), "") == 0);
    assert_int_equal(people_who_fail(&kit, 3), 0);
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_int_equal(kit_count(&kit, "script_state", "version", "1.1.0"), 1);
    assert_int_equal(kit_count(&kit, "audit", "actorId", "personakit"), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "mapper.canary_ended"), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "mapper.rolled_back"), 0);
    assert_false(begin_canary(&kit.bed, node, "1.1.0", 0.5, NULL));
    expect_error(&kit.bed.err, PK_CONFLICT, "its content is barred");
}

TEST(one_that_does_not_load_on_a_node_serves_nobody_there)
{
    KIT(kit, false);
    struct node *other = bed_node(&kit.bed);
    struct pk_refused refused;
    struct pk_writes list = { 0 };
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    begin_kit(&kit, "1.1.0", 0.5);
    const struct pk_query query = { .collection = "mappers",
                                    .index = "by_version",
                                    .equal = { PK_TEXT("daily"), PK_TEXT("1.1.0") },
                                    .equal_count = 2 };
    assert_ok(pk_store_find(kit.bed.store, &query, 0, &page, &kit.err), &kit.err);
    bson_t view, broken = BSON_INITIALIZER;
    pk_doc_view(page.doc[0], &view);
    bson_copy_to_excluding_noinit(&view, &broken, "contentHash", NULL);
    BSON_APPEND_UTF8(&broken, "contentHash",
                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    struct pk_doc *doc = pk_doc_new(&broken);
    bson_destroy(&broken);
    pk_writes_replace(&list, "mappers", doc, pk_doc_version(page.doc[0]));
    pk_doc_unref(doc);
    assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
    pk_writes_done(&list);
    assert_ok(pk_registry_refresh(other->registry, &kit.err), &kit.err);
    assert_string_equal(serving(other, "daily"), "1.0.0");
    assert_string_equal(tried(other, NULL), "");
    assert_int_equal(pk_registry_refused(other->registry, &refused, 1), 1);
    assert_string_equal(refused.version, "1.1.0");
    pk_refused_done(&refused);
}

/* ---- Counted, explained, summed up ---- */

static int64_t uses_of(struct kit *kit, const char *version)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    assert_ok(
        pk_registry_get(kit->domain.registry, PK_SCRIPT_MAPPER, "daily", version, &doc, &kit->err),
        &kit->err);
    return pk_doc_int(doc, "usageCount", -1);
}

TEST(uses_are_counted_for_the_version_that_made_what_was_used)
{
    KIT(kit, false);
    struct sketch in, out;
    char id[128];
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    open_one(&in, &kit, 0.5, true);
    open_one(&out, &kit, 0.5, false);
    begin_kit(&kit, "1.1.0", 0.5);
    (void)map(&in, "daily", NULL);
    (void)map(&in, "daily", NULL);
    (void)map(&out, "daily", NULL);
    (void)snprintf(id, sizeof(id), "daily:%s:instant", in.person);
    pk_persona_used(kit_personas(&kit), id, NULL); /* As the loop says it. */
    assert_ok(pk_personas_flush(kit_personas(&kit), &kit.err), &kit.err);
    assert_int_equal(uses_of(&kit, "1.1.0"), 3);
    assert_int_equal(uses_of(&kit, "1.0.0"), 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = get(&in);
    assert_int_equal(pk_doc_int(doc, "usageMetadata.accessCount", 0), 3);
}

static char *explained(struct sketch *sketch, int64_t as_of_ms, const char *path)
{
    char id[128];
    bson_t out;
    bson_iter_t iter;
    (void)snprintf(id, sizeof(id), "daily:%s:instant", sketch->person);
    const struct pk_explain_request request = { .id = id, .as_of_ms = as_of_ms };
    assert_ok(pk_persona_explain(kit_personas(sketch->kit), &request, &out, &sketch->kit->err),
              &sketch->kit->err);
    char *text = pk_strdup(pk_path_find(&out, path, &iter) && BSON_ITER_HOLDS_UTF8(&iter)
                               ? bson_iter_utf8(&iter, NULL)
                               : "");
    bson_destroy(&out);
    return text;
}

#define EXPLAINED(sketch, as_of, path, words)                                \
    do {                                                                     \
        PK_CLEANUP(pk_freep) char *said = explained(&(sketch), as_of, path); \
        assert_string_equal(said, words);                                    \
    } while (0)

TEST(explanations_know_what_was_tried_on_whom_and_when)
{
    KIT(kit, false);
    struct sketch in, out;
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    open_one(&in, &kit, 0.5, true);
    open_one(&out, &kit, 0.5, false);
    pk_clock_fake_advance(&kit.clock, 1000);
    const int64_t before_ms = kit_now(&kit);
    pk_clock_fake_advance(&kit.clock, 1000);
    begin_kit(&kit, "1.1.0", 0.5);
    pk_clock_fake_advance(&kit.clock, 1000);
    const int64_t meanwhile_ms = kit_now(&kit);
    (void)map(&in, "daily", NULL);
    EXPLAINED(in, 0, "mapperVersion", "1.1.0");
    EXPLAINED(in, 0, "staleness.core", "fresh");
    pk_clock_fake_advance(&kit.clock, 1000);
    begin_kit(&kit, "1.1.0", 0.6);
    pk_clock_fake_advance(&kit.clock, 1000);
    const int64_t later_ms = kit_now(&kit);
    pk_clock_fake_advance(&kit.clock, 1000);
    end_kit(&kit, "1.1.0");
    pk_clock_fake_advance(&kit.clock, 1000);
    EXPLAINED(in, before_ms, "mapperVersion", "1.0.0");
    EXPLAINED(in, meanwhile_ms, "mapperVersion", "1.1.0");
    EXPLAINED(in, later_ms, "mapperVersion", "1.1.0");
    EXPLAINED(in, kit_now(&kit), "mapperVersion", "1.0.0");
    EXPLAINED(out, meanwhile_ms, "mapperVersion", "1.0.0");
}

static int64_t sum_of(const bson_t *summary, const char *path)
{
    bson_iter_t iter;
    return pk_path_find(summary, path, &iter) ? bson_iter_as_int64(&iter) : -1;
}

static const char *word_of(const bson_t *summary, const char *path)
{
    bson_iter_t iter;
    return pk_path_find(summary, path, &iter) ? bson_iter_utf8(&iter, NULL) : "";
}

static void praise(struct sketch *sketch, int rating)
{
    struct kit *kit = sketch->kit;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *target = NULL;
    struct pk_feedback_taken taken;
    bson_t said;
    (void)map(sketch, "daily", &persona);
    assert_ok(pk_feedback_find(&kit->domain, pk_doc_id(persona), 0, &target, &kit->err), &kit->err);
    assert_non_null(target);
    kit_json(&said,
             "{'ratings':{'overall':%d},'helpful':%s,'impact':{'taskSuccessImpact':'positive',"
             "'wouldUseAgain':true,'recommendationScore':%d}}",
             rating, rating > 3 ? "true" : "false", 2 * rating);
    assert_ok(pk_feedback_submit(&kit->domain, &kit->bed.by, target, &said, &taken, &kit->err),
              &kit->err);
    bson_destroy(&said);
    pk_doc_unref(taken.doc);
}

TEST(feedback_stands_side_by_side)
{
    KIT(kit, false);
    struct sketch in, out;
    bson_t summary;
    put_first(&kit);
    put_draft(&kit, MAPPER("1.1.0", BODY("1.1.0")));
    open_one(&in, &kit, 0.25, true);
    open_one(&out, &kit, 0.25, false);
    begin_kit(&kit, "1.1.0", 0.25);
    assert_ok(pk_feedback_summary(&kit.domain, "daily", NULL, 0, &summary, &kit.err), &kit.err);
    assert_string_equal(word_of(&summary, "versions.0.mapperVersion"), "1.1.0");
    assert_string_equal(word_of(&summary, "versions.0.role"), "canary");
    assert_int_equal(sum_of(&summary, "versions.0.count"), 0);
    assert_string_equal(word_of(&summary, "versions.1.role"), "active");
    bson_destroy(&summary);
    praise(&in, 5);
    praise(&in, 5);
    praise(&out, 2);
    assert_ok(pk_feedback_summary(&kit.domain, "daily", NULL, 0, &summary, &kit.err), &kit.err);
    assert_int_equal(sum_of(&summary, "count"), 3);
    assert_int_equal(sum_of(&summary, "versions.0.count"), 2);
    assert_int_equal(sum_of(&summary, "versions.0.ratings.overall"), 5);
    assert_int_equal(sum_of(&summary, "versions.0.recommendation.nps"), 100);
    assert_int_equal(sum_of(&summary, "versions.0.calls.count"), 1);
    assert_int_equal(sum_of(&summary, "versions.0.calls.failures"), 0);
    assert_int_equal(sum_of(&summary, "versions.1.count"), 1);
    assert_int_equal(sum_of(&summary, "versions.1.ratings.overall"), 2);
    assert_int_equal(sum_of(&summary, "versions.1.recommendation.nps"), -100);
    bson_destroy(&summary);
    assert_ok(pk_feedback_summary(&kit.domain, "daily", "1.1.0", 0, &summary, &kit.err), &kit.err);
    assert_string_equal(word_of(&summary, "versions.0.role"), "canary");
    assert_string_equal(word_of(&summary, "versions.1.role"), "");
    bson_destroy(&summary);
}
