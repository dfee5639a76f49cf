/* test_explain.c - Why a persona is as it is, what would have been, and the same for people. */
/* SPDX-License-Identifier: MIT */
#include "persona/explain.h"
#include "sketch.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/persona.h"
#include "persona/registry.h"

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

enum { HOUR_MS = 3600 * 1000 };

/* 'text' is what the first rule suggests. */
static void put_mapper(struct kit *kit, const char *version, const char *text)
{
    kit_script(kit, PK_SCRIPT_MAPPER,
               "return pk.mapper {\n"                                               /* 2 */
               "  id = \"planner\", version = \"%s\", overlay_ttl = \"2h\",\n"      /* 3 */
               "  name = \"early\", limits = { soft_ms = 1000, hard_ms = 5000 },\n" /* 4 */
               "  rules = {\n"                                                      /* 5 */
               "    pk.rule { id = \"early\",\n"                                    /* 6 */
               "      when = pk.trait(\"rhythm\"):is(\"morning\"),\n"               /* 7 */
               "      suggest = \"%s {{peak|noon}}\" },\n"                          /* 8 */
               "    pk.rule { id = \"late\",\n"                                     /* 9 */
               "      when = pk.all { pk.trait(\"rhythm\"):is(\"evening\"),\n"      /* 10 */
               "        pk.trait(\"calm\"):is(true) }, suggest = \"Rest\" },\n"     /* 11 */
               "  },\n"                                                             /* 12 */
               "  core = {\n"                                                       /* 13 */
               "    style = function(m) return { m[\"style\"] or \"any\" } end,\n"  /* 14 */
               "  },\n"                                                             /* 15 */
               "}\n",
               version, text);
}

static void put_hearer(struct kit *kit)
{
    kit_processor(kit, "hear", "1.0.0", "chat_log",
                  "for path, value in pairs(s) do t:set(path, value, { confidence = 0.8 }) end");
}

static void observe(struct kit *kit, const char *person, const char *said, char out[PK_UUID_TEXT])
{
    kit_observe(kit, person, "chat_log", said, out);
    kit_work(kit);
}

static void map_by(struct kit *kit, const char *mapper, const char *person)
{
    const struct pk_map_request request = { .mapper = mapper, .person = person };
    struct pk_mapped mapped;
    assert_ok(pk_persona_map(kit_personas(kit), &request, &mapped, &kit->err), &kit->err);
    pk_mapped_done(&mapped);
}

static void map_it(struct kit *kit, const char *person)
{
    map_by(kit, "planner", person);
}

static struct pk_explain_request request_of(const char *person)
{
    static char id[128];
    (void)snprintf(id, sizeof(id), "planner:%s:instant", person);
    return (struct pk_explain_request){ .id = id };
}

static void explain(struct kit *kit, const struct pk_explain_request *request, bson_t *out)
{
    assert_ok(pk_persona_explain(kit_personas(kit), request, out, &kit->err), &kit->err);
}

static void refuse(struct kit *kit, const struct pk_explain_request *request, enum pk_code code,
                   const char *words)
{
    struct pk_error err = { 0 };
    bson_t out;
    assert_false(pk_persona_explain(kit_personas(kit), request, &out, &err));
    expect_error(&err, code, words);
}

/* The texts and numbers at paths: { path, value } as texts; NULL: nothing is there. */
static void expect_at(const bson_t *doc, const char *path, const char *wanted)
{
    char text[64];
    const char *got = NULL;
    bson_iter_t iter;
    if (pk_path_find(doc, path, &iter)) {
        if (BSON_ITER_HOLDS_UTF8(&iter)) {
            got = bson_iter_utf8(&iter, NULL);
        } else {
            (void)snprintf(text, sizeof(text), "%g", bson_iter_as_double(&iter));
            got = text;
            if (BSON_ITER_HOLDS_BOOL(&iter)) {
                got = bson_iter_bool(&iter) ? "true" : "false";
            }
        }
    }
    if ((got == NULL) != (wanted == NULL) || (got && strcmp(got, wanted) != 0)) {
        char *whole = kit_text(doc);
        fail_msg("%s is '%s', not '%s': %s", path, got ? got : "(absent)",
                 wanted ? wanted : "(absent)", whole);
    }
}

/* The element of a list whose field has this text. */
static void find_in(const bson_t *doc, const char *list, const char *field, const char *text,
                    bson_t *out)
{
    bson_iter_t iter, item, found;
    const uint8_t *data;
    uint32_t size;
    assert_true(pk_path_find(doc, list, &iter) && bson_iter_recurse(&iter, &item));
    while (bson_iter_next(&item)) {
        bson_iter_document(&item, &size, &data);
        assert_true(bson_init_static(out, data, size));
        if (bson_iter_init_find(&found, out, field) &&
            strcmp(bson_iter_utf8(&found, NULL), text) == 0) {
            return;
        }
    }
    char *whole = kit_text(doc);
    fail_msg("no element of '%s' has %s '%s': %s", list, field, text, whole);
}

static void expect_words(const bson_t *explanation, const char *words, bool is_there)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    pk_explain_print(explanation, &text);
    if ((strstr(pk_buf_text(&text), words) != NULL) != is_there) {
        fail_msg("'%s' is %sto be in: %s", words, is_there ? "" : "not ", pk_buf_text(&text));
    }
}

/* A person who was heard of, and his persona. */
static void furnish(struct kit *kit, char person[PK_UUID_TEXT], char obs[PK_UUID_TEXT])
{
    put_mapper(kit, "1.0.0", "Work before");
    put_hearer(kit);
    (void)kit_outbox(kit);
    kit_person(kit, person);
    observe(kit, person, "{'rhythm':'morning','peak':'11:00','style':'brief'}", obs);
    pk_clock_fake_advance(&kit->clock, 1000);
    map_it(kit, person);
}

/* ---- As it was made ---- */

BOTH(each_line_has_its_rule_its_traits_and_their_observations)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT], words[256];
    bson_t out, part;
    furnish(&kit, person, obs);
    pk_clock_fake_advance(&kit.clock, HOUR_MS);
    const struct pk_explain_request request = request_of(person);
    explain(&kit, &request, &out);
    expect_at(&out, "compositeKey", request.id);
    expect_at(&out, "mapperVersion", "1.0.0");
    expect_at(&out, "isHypothetical", "false");
    find_in(&out, "lines", "ruleId", "early", &part);
    expect_at(&part, "says", "Work before 11:00");
    expect_at(&part, "source.line", "6");
    expect_at(&part, "path", "contextualOverlay.suggestions.0");
    find_in(&out, "lines", "path", "personaCore.style", &part);
    expect_at(&part, "source.line", "14");
    expect_at(&part, "traits.0", "style");
    find_in(&out, "traits", "traitName", "rhythm", &part);
    expect_at(&part, "value", "morning");
    expect_at(&part, "version", "1");
    expect_at(&part, "confidenceThen", "0.8");
    expect_at(&part, "isHeld", "true");
    expect_at(&part, "sources.0.observationId", obs);
    expect_at(&part, "sources.0.sourceType", "chat_log");
    expect_at(&part, "sources.0.weight", "0.8");
    (void)snprintf(words, sizeof(words),
                   "'Work before 11:00' because rule early (planner 1.0.0, line 6) saw rhythm = "
                   "morning (0.80, now 0.80) from observation %s (chat_log, 0.80)",
                   obs);
    expect_words(&out, words, true);
    bson_destroy(&out);
}

BOTH(rules_that_did_not_fire_say_what_they_saw)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    bson_t out, part;
    furnish(&kit, person, obs);
    const struct pk_explain_request request = request_of(person);
    explain(&kit, &request, &out);
    find_in(&out, "rules", "ruleId", "early", &part);
    expect_at(&part, "fired", "true");
    expect_at(&part, "reason", NULL);
    find_in(&out, "rules", "ruleId", "late", &part);
    expect_at(&part, "fired", "false");
    expect_at(&part, "source.line", "9");
    expect_at(&part, "reason", "rhythm is 'morning'; wanted: is 'evening'");
    expect_words(&out, "late (planner 1.0.0, line 9): rhythm is 'morning'", true);
    expect_words(&out, "early (planner 1.0.0, line 6): ", false);
    bson_destroy(&out);
    /* The first condition holds then, the second one does not. */
    observe(&kit, person, "{'rhythm':'evening'}", obs);
    pk_clock_fake_advance(&kit.clock, 1000);
    map_it(&kit, person);
    explain(&kit, &request, &out);
    find_in(&out, "rules", "ruleId", "late", &part);
    expect_at(&part, "reason", "calm is not known; wanted: is true");
    expect_words(&out, "Looked for in vain: calm", true);
    bson_destroy(&out);
}

BOTH(a_stale_persona_is_explained_as_it_was_and_what_has_changed)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    bson_t out, part;
    furnish(&kit, person, first);
    pk_clock_fake_advance(&kit.clock, 1000);
    observe(&kit, person, "{'rhythm':'evening','calm':true,'other':1}", second);
    pk_clock_fake_advance(&kit.clock, 1000);
    observe(&kit, person, "{'rhythm':'night'}", second);
    observe(&kit, person, "{'rhythm':'evening'}", second);
    const struct pk_explain_request request = request_of(person);
    explain(&kit, &request, &out);
    find_in(&out, "traits", "traitName", "rhythm", &part);
    expect_at(&part, "value", "morning");
    expect_at(&part, "valueNow", "evening");
    expect_at(&part, "sources.0.observationId", first);
    find_in(&out, "rules", "ruleId", "early", &part);
    expect_at(&part, "fired", "true");
    find_in(&out, "rules", "ruleId", "late", &part);
    expect_at(&part, "reason", "rhythm is 'morning'; wanted: is 'evening'");
    expect_at(&out, "staleness.isStale", "true");
    expect_at(&out, "staleness.overlay", "read");
    expect_at(&out, "staleness.core", "fresh");
    find_in(&out, "staleness.changed", "key", "rhythm", &part);
    find_in(&out, "staleness.changed", "key", "calm", &part); /* It was looked for in vain. */
    expect_at(&out, "staleness.changed.2.key", NULL);         /* 'other' was not looked at. */
    expect_at(&out, "staleness.effect.0.path", "contextualOverlay.suggestions");
    expect_at(&out, "staleness.effect.0.before.0.text", "Work before 11:00");
    expect_at(&out, "staleness.effect.0.after.0.text", "Rest");
    expect_words(&out, "trait rhythm has changed since", true);
    bson_destroy(&out);
}

TEST(a_trait_that_has_gone_since_is_put_back)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT], second[PK_UUID_TEXT];
    bson_t out, part;
    furnish(&kit, person, obs);
    kit_processor(&kit, "forget", "1.0.0", "document",
                  "for path in pairs(s) do t:retract(path) end");
    pk_clock_fake_advance(&kit.clock, 1000);
    kit_observe(&kit, person, "document", "{'rhythm':1}", second);
    kit_work(&kit);
    const struct pk_explain_request request = request_of(person);
    explain(&kit, &request, &out);
    find_in(&out, "traits", "traitName", "rhythm", &part);
    expect_at(&part, "value", "morning");
    expect_at(&part, "isHeld", "false");
    expect_at(&part, "confidenceNow", NULL);
    expect_at(&part, "sources.0.observationId", obs);
    expect_at(&out, "staleness.effect.0.after", NULL); /* The section would go. */
    expect_words(&out, "rhythm = morning (0.80, now gone)", true);
    bson_destroy(&out);
}

TEST(explaining_changes_nothing)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    bson_t out;
    furnish(&kit, person, obs);
    observe(&kit, person, "{'rhythm':'evening'}", obs);
    struct pk_explain_request request = request_of(person);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = kit_get(&kit, "personas", request.id);
    explain(&kit, &request, &out);
    bson_destroy(&out);
    request.mapper_version = "1.0.0";
    explain(&kit, &request, &out);
    bson_destroy(&out);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = kit_get(&kit, "personas", request.id);
    assert_true(pk_doc_same(before, after));
    assert_int_equal(kit_count(&kit, "persona_log", "userId", person), 1);
}

/* ---- What would have been ---- */

BOTH(as_of_a_time_it_is_what_was_known_then_by_the_version_of_then)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT], second[PK_UUID_TEXT];
    bson_t out, part;
    const int64_t start_ms = kit_now(&kit);
    furnish(&kit, person, obs);
    const int64_t then_ms = kit_now(&kit);
    pk_clock_fake_advance(&kit.clock, 1000);
    put_mapper(&kit, "2.0.0", "Do it before");
    observe(&kit, person, "{'rhythm':'evening','calm':true}", second);
    struct pk_explain_request request = request_of(person);
    request.as_of_ms = then_ms;
    explain(&kit, &request, &out);
    expect_at(&out, "isHypothetical", "true");
    expect_at(&out, "personaInstanceId", NULL);
    expect_at(&out, "staleness.isStale", NULL);
    expect_at(&out, "mapperVersion", "1.0.0");
    expect_at(&out, "contextualOverlay.suggestions.0.text", "Work before 11:00");
    find_in(&out, "traits", "traitName", "rhythm", &part);
    expect_at(&part, "value", "morning");
    expect_at(&part, "valueNow", "evening");
    expect_at(&part, "sources.0.observationId", obs);
    bson_destroy(&out);
    request.mapper_version = "2.0.0";
    explain(&kit, &request, &out);
    expect_at(&out, "contextualOverlay.suggestions.0.text", "Do it before 11:00");
    bson_destroy(&out);
    request.as_of_ms = 0;
    explain(&kit, &request, &out);
    expect_at(&out, "contextualOverlay.suggestions.0.text", "Rest");
    bson_destroy(&out);
    request.mapper_version = "3.0.0";
    refuse(&kit, &request, PK_NOT_FOUND, "'planner' has no version '3.0.0'");
    request.mapper_version = NULL;
    request.as_of_ms = start_ms - 1000;
    refuse(&kit, &request, PK_NOT_FOUND, "no version of mapper 'planner' was active then");
}

TEST(a_rollback_counts_as_the_version_that_was_active_then)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    bson_t out;
    furnish(&kit, person, obs);
    put_mapper(&kit, "2.0.0", "Do it before");
    pk_clock_fake_advance(&kit.clock, 1000);
    assert_ok(pk_registry_rollback(kit.domain.registry, &kit.bed.by, PK_SCRIPT_MAPPER, "planner",
                                   "bad", NULL, NULL, &kit.err),
              &kit.err);
    pk_clock_fake_advance(&kit.clock, 1000);
    struct pk_explain_request request = request_of(person);
    request.as_of_ms = kit_now(&kit) - 500;
    explain(&kit, &request, &out);
    expect_at(&out, "mapperVersion", "1.0.0");
    bson_destroy(&out);
    request.as_of_ms = kit_now(&kit) - 1500;
    explain(&kit, &request, &out);
    expect_at(&out, "mapperVersion", "2.0.0");
    bson_destroy(&out);
}

TEST(what_is_not_cached_is_explained_only_as_what_would_have_been)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    bson_t out;
    furnish(&kit, person, obs);
    struct pk_explain_request request = request_of(person);
    kit_drop(&kit, "personas", request.id);
    refuse(&kit, &request, PK_NOT_FOUND, "there is no such persona");
    request.mapper_version = "1.0.0";
    explain(&kit, &request, &out);
    expect_at(&out, "contextualOverlay.suggestions.0.text", "Work before 11:00");
    bson_destroy(&out);
    pk_uuid_new(person);
    request = request_of(person);
    request.mapper_version = "1.0.0";
    refuse(&kit, &request, PK_NOT_FOUND, "there is no such persona");
}

/* ---- Facts ---- */

/* A mapper that says what the person is called, and a fact that says so until it is over. */
static void furnish_facts(struct kit *kit, char person[PK_UUID_TEXT])
{
    kit_processor(kit, "facts", "1.0.0", "user_input",
                  "t:remember('nickname', s.nickname, { ttl = s.ttl, confidence = 0.9 })");
    kit_script(kit, PK_SCRIPT_MAPPER,
               "return pk.mapper { id = \"caller\", version = \"1.0.0\", name = \"caller\",\n"
               "  limits = { soft_ms = 1000, hard_ms = 5000 },\n"
               "  overlay = { called = function(m) return { m.facts.nickname or \"none\" } end },\n"
               "}\n");
    kit_person(kit, person);
}

static void call(struct kit *kit, const char *person, const char *said, char out[PK_UUID_TEXT])
{
    kit_observe(kit, person, "user_input", said, out);
    kit_work(kit);
}

static void expect_called(struct kit *kit, const char *person, int64_t at_ms, const char *name,
                          const char *now, const char *obs)
{
    char id[128];
    bson_t out, part;
    (void)snprintf(id, sizeof(id), "caller:%s:instant", person);
    const struct pk_explain_request request = { .id = id,
                                                .as_of_ms = at_ms,
                                                .mapper_version = "1.0.0" };
    explain(kit, &request, &out);
    expect_at(&out, "contextualOverlay.called.0", name);
    expect_at(&out, "warnings", NULL);
    if (obs) {
        find_in(&out, "facts", "key", "nickname", &part);
        expect_at(&part, "value", name);
        expect_at(&part, "valueNow", now);
        expect_at(&part, "sources.0.observationId", obs);
        expect_at(&part, "sources.0.sourceType", "user_input");
    } else {
        expect_at(&out, "facts.0", NULL);
    }
    bson_destroy(&out);
}

BOTH(as_of_a_time_it_says_what_the_facts_of_then_made_of_it)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], bo[PK_UUID_TEXT], ann[PK_UUID_TEXT];
    furnish_facts(&kit, person);
    const int64_t start_ms = kit_now(&kit);
    pk_clock_fake_advance(&kit.clock, HOUR_MS);
    call(&kit, person, "{'nickname':'Bo','ttl':'2h'}", bo);
    const int64_t bo_ms = kit_now(&kit);
    pk_clock_fake_advance(&kit.clock, 3 * HOUR_MS);
    call(&kit, person, "{'nickname':'Ann'}", ann);
    const int64_t ann_ms = kit_now(&kit);
    pk_clock_fake_advance(&kit.clock, HOUR_MS);
    expect_called(&kit, person, start_ms, "none", NULL, NULL);
    expect_called(&kit, person, bo_ms, "Bo", "Ann", bo);
    expect_called(&kit, person, ann_ms - 1000, "none", NULL, NULL); /* It was over. */
    expect_called(&kit, person, ann_ms, "Ann", NULL, ann);
    expect_called(&kit, person, 0, "Ann", NULL, ann);
}

BOTH(a_cached_persona_is_explained_by_the_facts_that_it_read)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT], bo[PK_UUID_TEXT], ann[PK_UUID_TEXT], id[128];
    bson_t out, part;
    furnish_facts(&kit, person);
    call(&kit, person, "{'nickname':'Bo'}", bo);
    pk_clock_fake_advance(&kit.clock, 1000);
    map_by(&kit, "caller", person);
    pk_clock_fake_advance(&kit.clock, 1000);
    call(&kit, person, "{'nickname':'Ann'}", ann);
    (void)snprintf(id, sizeof(id), "caller:%s:instant", person);
    const struct pk_explain_request request = { .id = id };
    explain(&kit, &request, &out);
    find_in(&out, "facts", "key", "nickname", &part);
    expect_at(&part, "value", "Bo");
    expect_at(&part, "valueNow", "Ann");
    expect_at(&part, "isHeld", "true");
    expect_at(&part, "sources.0.observationId", bo);
    expect_at(&out, "staleness.effect.0.before.0", "Bo");
    expect_at(&out, "staleness.effect.0.after.0", "Ann");
    expect_words(&out, "nickname = Bo (0.90, now Ann) from observation ", true);
    bson_destroy(&out);
}

/* ---- Hidden ---- */

TEST(what_is_hidden_is_not_there)
{
    KIT(kit, false);
    char person[PK_UUID_TEXT], obs[PK_UUID_TEXT];
    bson_t out;
    char path[] = "rhythm";
    char *hidden[] = { path };
    struct pk_principal who = { .refs = 1,
                                .max_detail = PK_DETAIL_DEEP_DIVE,
                                .mappers = { .is_all = true },
                                .people = { .is_all = true },
                                .hidden = { .name = hidden, .name_count = 1 },
                                .hidden_id = { 1 },
                                .is_active = true };
    furnish(&kit, person, obs);
    struct pk_explain_request request = request_of(person);
    request.who = &who;
    refuse(&kit, &request, PK_NOT_FOUND, "there is no such persona"); /* It read the trait. */
    request.mapper_version = "1.0.0";
    explain(&kit, &request, &out);
    char *text = kit_text(&out);
    assert_null(strstr(text, "morning\""));
    assert_null(strstr(text, "11:00"));
    pk_free(text);
    expect_at(&out, "rules.0.fired", "false");
    expect_at(&out, "rules.0.reason", "rhythm is not known; wanted: is 'morning'");
    bson_destroy(&out);
}
