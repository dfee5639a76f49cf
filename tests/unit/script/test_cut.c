/* test_cut.c - A worker is sent what a script reads and no more, and the persona is the same as if
 * it had all; what a script does to its rules never becomes code that stays. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/crypto.h"
#include "jailed.h"
#include "script/jail_internal.h"
#include "script/loader.h"

#include <stdio.h>
#include <string.h>

enum { ROUNDS = 400 };

/* clang-format off */
static const char rules_lua[] =
    "local pk = require 'personakit'\n"
    "return pk.mapper { id = 'cut', version = '1.0.0', requires = { 'a.b', 'c.*', 'x.y' }, rules = {\n"
    "  pk.rule { id = 'is', when = pk.trait('a.b'):is('word'), suggest = '{{a.c|none}} and {{z.z}}' },\n"
    "  pk.rule { id = 'not', when = pk.not_(pk.trait('a.c'):gt(3)), suggest = 'plain', level = 'core' },\n"
    "  pk.rule { id = 'none', when = pk.none { pk.trait('a.d'):is(false), pk.trait('a.e'):missing() },\n"
    "    suggest = 'x', section = 'other', priority = 'high' },\n"
    "  pk.rule { id = 'any', when = pk.any { pk.trait('a.e'):in_ { 1, 2, 'word', true },\n"
    "    pk.trait('c.d'):contains('o') }, suggest = 'any', detail = 'balanced' },\n"
    "  pk.rule { id = 'deep', when = pk.trait('a.f'):exists(), suggest = 'deep {{a.f}}', detail = 'deep_dive' },\n"
    "  pk.rule { id = 'table', when = pk.trait('a.f'):is({ 'x', 2 }), suggest = 'a list' },\n"
    "  pk.rule { id = 'between', when = pk.trait('a.c'):between(1, 4), suggest = 'between' },\n"
    "  pk.rule { id = 'matches', when = pk.trait('a.b'):matches('^w[a-z]+d$'), suggest = 'matches' },\n"
    "} }\n";
/* The same, with tests that ask for more than values. */
static const char timed_lua[] =
    "local pk = require 'personakit'\n"
    "return pk.mapper { id = 'timed', version = '1.0.0', requires = { 'a.b' }, rules = {\n"
    "  pk.rule { id = 'sure', when = pk.trait('a.b'):confident(0.5), suggest = 'sure {{a.c|no}}' },\n"
    "  pk.rule { id = 'new', when = pk.trait('a.c'):changed_within('7d'), suggest = 'new', level = 'core' },\n"
    "  pk.rule { id = 'plain', when = pk.trait('a.d'):is(false), suggest = 'plain' },\n"
    "} }\n";
static const char code_lua[] =
    "local pk = require 'personakit'\n"
    "return pk.mapper { id = 'code', version = '1.0.0', rules = {\n"
    "  pk.rule { id = 'is', when = pk.trait('a.b'):is('word'), suggest = '{{a.c|none}}' },\n"
    "  pk.rule { id = 'core', when = pk.trait('a.c'):exists(), suggest = 'c', level = 'core' } },\n"
    "  core = function(m, ctx) local all = {} for p, v in m:each() do all[#all + 1] = { p, v } end\n"
    "    return { all = all, goals = m.goals, task = ctx.task, mood = m.now.mood, age = m:age('a.c'),\n"
    "      sure = m:confidence('a.b'), one = m['a.e'] } end }\n";
static const char rules_json[] =
    "{ \"metadata\": { \"id\": \"json\", \"name\": \"J\" }, \"version\": \"1.0.0\", \"templates\": { \"t\": \"{{a.b}} is {{a.c|3}}\" },"
    "  \"rules\": [ { \"id\": \"one\", \"conditions\": { \"all\": [ { \"type\": \"trait_check\", \"trait\": \"a.b\","
    "  \"operator\": \"exists\" }, { \"not\": { \"type\": \"trait_check\", \"trait\": \"a.c\", \"operator\": \"in\", \"value\": [ 1, 2 ] } } ] },"
    "  \"actions\": [ { \"type\": \"template\", \"template\": \"t\" }, { \"type\": \"suggestion\", \"template\": \"and\", \"section\": \"s\" } ] } ] }";
/* clang-format on */

static const struct {
    const char *name, *text;
} mapper_table[] = {
    { "cut.lua", rules_lua },
    { "timed.lua", timed_lua },
    { "code.lua", code_lua },
    { "rules.json", rules_json },
};

/* A mapper that was taken in. */
struct taken {
    struct pk_loader *loader;
    struct pk_bundle *bundle;
    struct pk_script *script;
    struct pk_report report;
    struct pk_error err;
    bool is_ok;
};

static void take(struct taken *taken, struct pk_jail *jail, const char *name, const char *text)
{
    *taken = (struct taken){ .loader = pk_loader_new(&(struct pk_loader_options){ .jail = jail }) };
    assert_ok(pk_bundle_of_text(name, text, strlen(text), &taken->bundle, &taken->err),
              &taken->err);
    taken->is_ok = pk_loader_take(taken->loader, taken->bundle, PK_SCRIPT_ANY, &taken->script,
                                  &taken->report, &taken->err);
}

static void taken_done(struct taken *taken)
{
    pk_script_unref(taken->script);
    pk_report_done(&taken->report);
    pk_bundle_unref(taken->bundle);
    pk_loader_free(taken->loader);
}

/* ---- Mindscapes as they come ---- */

static uint32_t next(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525U + 1013904223U;
    return (*state >> 8) % below;
}

static void append_value(bson_t *out, uint32_t *state)
{
    bson_t inner;
    switch (next(state, 9)) {
    case 0:
        BSON_APPEND_UTF8(out, "value", "word");
        break;
    case 1:
        BSON_APPEND_DOUBLE(out, "value", 2.5);
        break;
    case 2:
        BSON_APPEND_INT64(out, "value", INT64_C(9007199254740993));
        break;
    case 3:
        BSON_APPEND_INT32(out, "value", 2);
        break;
    case 4:
        BSON_APPEND_BOOL(out, "value", next(state, 2) != 0);
        break;
    case 5:
        BSON_APPEND_NULL(out, "value");
        break;
    case 6:
        BSON_APPEND_DATE_TIME(out, "value", 1768478400000);
        break;
    case 7:
        BSON_APPEND_ARRAY_BEGIN(out, "value", &inner);
        BSON_APPEND_UTF8(&inner, "0", "x");
        BSON_APPEND_INT32(&inner, "1", 2);
        bson_append_array_end(out, &inner);
        break;
    default:
        break; /* None. */
    }
}

/* Of one mindscape no two with the same id. */
static void append_trait(bson_t *list, uint32_t *state, int position, uint32_t first)
{
    static const char *const id_table[] = { "a.b", "a.c", "a.d", "a.e",     "a.f",
                                            "c.d", "c.e", "c",   "unnamed", "z.z" };
    const int64_t now = 1768478400000;
    bson_t trait, sources;
    char key[16];

    (void)snprintf(key, sizeof(key), "%d", position);
    BSON_APPEND_DOCUMENT_BEGIN(list, key, &trait);
    const char *id = id_table[((size_t)position * 3 + first) % PK_COUNT(id_table)];
    const bool is_last = next(state, 4) == 0;
    if (!is_last) {
        const char *name = next(state, 4) ? "id" : "traitName"; /* The macro looks twice. */
        BSON_APPEND_UTF8(&trait, name, id);
    }
    BSON_APPEND_ARRAY_BEGIN(&trait, "sources", &sources);
    BSON_APPEND_UTF8(&sources, "0", "SECRET");
    bson_append_array_end(&trait, &sources);
    append_value(&trait, state);
    BSON_APPEND_DOUBLE(&trait, "confidence", 0.1 * next(state, 11));
    BSON_APPEND_DATE_TIME(&trait, "updatedAt", now - (int64_t)next(state, 20) * 86400000);
    if (next(state, 3) == 0) {
        BSON_APPEND_INT64(&trait, "halfLife", 86400000 * 5);
    }
    if (next(state, 4) == 0) {
        BSON_APPEND_DATE_TIME(&trait, "expiresAt", now + (int64_t)next(state, 9) * 1000 - 3000);
    }
    if (next(state, 6) == 0) {
        BSON_APPEND_DATE_TIME(&trait, "validFrom", now + (int64_t)next(state, 9) * 1000 - 5000);
    } else if (next(state, 6) == 0) {
        BSON_APPEND_NULL(&trait, "validFrom");
    }
    BSON_APPEND_UTF8(&trait, "metadata", "SECRET");
    if (is_last) {
        BSON_APPEND_UTF8(&trait, "id", id);
    }
    bson_append_document_end(list, &trait);
}

static void make_input(bson_t *out, uint32_t *state)
{
    static const char *const detail_table[] = { "instant", "balanced", "deep_dive" };
    bson_t mindscape, traits, other;
    const int count = (int)next(state, 11);
    const uint32_t first = next(state, 10);

    bson_init(out);
    BSON_APPEND_DATE_TIME(out, "now", 1768478400000);
    if (next(state, 5)) {
        const char *detail = detail_table[next(state, 3)];
        BSON_APPEND_UTF8(out, "detail", detail);
    }
    if (next(state, 5) == 0) {
        BSON_APPEND_DOCUMENT_BEGIN(out, "halves", &other);
        const char *half = next(state, 2) ? "core" : "overlay";
        BSON_APPEND_BOOL(&other, half, false);
        bson_append_document_end(out, &other);
    }
    BSON_APPEND_UTF8(out, "task", "SECRET");
    BSON_APPEND_DOCUMENT_BEGIN(out, "mindscape", &mindscape);
    BSON_APPEND_ARRAY_BEGIN(&mindscape, "goals", &other);
    BSON_APPEND_UTF8(&other, "0", "SECRET");
    bson_append_array_end(&mindscape, &other);
    const uint32_t kind = next(state, 8);
    if (kind == 0) {
        BSON_APPEND_NULL(&mindscape, "traits");
    }
    if (kind == 1) {
        BSON_APPEND_DOCUMENT_BEGIN(&mindscape, "traits", &other); /* Which is no list. */
        bson_append_document_end(&mindscape, &other);
    }
    const char *list = kind < 3 ? "traitMatrix" : "traits";
    BSON_APPEND_ARRAY_BEGIN(&mindscape, list, &traits);
    for (int i = 0; i < count; i++) {
        append_trait(&traits, state, i, first);
    }
    bson_append_array_end(&mindscape, &traits);
    bson_append_document_end(out, &mindscape);
}

/* ---- The same persona ---- */

static char *map(struct pk_jail *jail, const struct pk_jail_script *script, const bson_t *input)
{
    const struct pk_jail_call call = {
        .script = script,
        .entry = "map",
        .input = bson_get_data(input),
        .input_size = input->len,
        .limits = { .soft_ms = 20000, .hard_ms = 20000 },
        .wait_ms = 20000,
    };
    struct pk_jail_result result;
    struct pk_error err = { 0 };
    bson_t view;

    assert_ok(pk_jail_call(jail, &call, &result, &err), &err);
    pk_jail_result_view(&result, &view);
    char *json = bson_as_canonical_extended_json(&view, NULL);
    pk_jail_result_done(&result);
    return json;
}

TEST(a_persona_of_what_a_script_reads_is_that_of_everything)
{
    struct pk_jail *jail = jailed_new(2);
    uint32_t chance = 7;

    for (size_t i = 0; i < PK_COUNT(mapper_table); i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf eager = { 0 };
        struct taken taken;
        take(&taken, jail, mapper_table[i].name, mapper_table[i].text);
        assert_ok(taken.is_ok, &taken.err);
        const bool has_code = mapper_table[i].text == code_lua;
        const bool is_json = mapper_table[i].text == rules_json;
        assert_int_equal(taken.script->serve.source_size != 0, has_code);
        assert_non_null(taken.script->serve.cut);

        /* A host that has neither handles nor a cut, and runs the author's text. */
        struct pk_jail_script whole = taken.script->serve;
        pk_buf_add_text(&eager, "(...).raw = nil ");
        pk_buf_add(&eager, whole.preamble, whole.preamble_size);
        whole.preamble = eager.data;
        whole.preamble_size = eager.size;
        whole.preamble_hash[0] ^= 1;
        whole.cut = NULL;
        whole.source = is_json ? "return require 'personakit'.declared()" : mapper_table[i].text;
        whole.source_size = strlen(whole.source);
        for (int round = 0; round < ROUNDS; round++) {
            bson_t input;
            make_input(&input, &chance);
            char *one = map(jail, &taken.script->serve, &input);
            char *other = map(jail, &whole, &input);
            if (strcmp(one, other) != 0) {
                char *json = bson_as_relaxed_extended_json(&input, NULL);
                (void)fprintf(stderr, "# %s, round %d: %s\n# gives %s\n# and not %s\n",
                              mapper_table[i].name, round, json, one, other);
                fail_msg("another persona");
            }
            bson_free(one);
            bson_free(other);
            bson_destroy(&input);
        }
        taken_done(&taken);
    }
    pk_jail_free(jail);
}

/* ---- What is sent ---- */

static bool has_text(const struct pk_buf *buf, const char *text)
{
    return buf->size && memmem(buf->data, buf->size, text, strlen(text)) != NULL;
}

TEST(what_nobody_reads_is_not_sent)
{
    static const char *const path[] = { "a.b", "a.c" };
    static const char *const prefix[] = { "c." };
    struct pk_jail_reads reads = { .path = path, .paths = 2, .prefix = prefix, .prefixes = 1 };
    uint32_t chance = 99;

    for (int has_code = 0; has_code < 2; has_code++) {
        reads.has_code = has_code;
        struct pk_jail_cut *cut = pk_jail_cut_new(&reads);
        for (int round = 0; round < ROUNDS; round++) {
            PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
            struct pk_wire_call wire = { 0 };
            bson_t input, view;
            make_input(&input, &chance);
            if (jail_cut(cut, bson_get_data(&input), input.len, &out, &wire)) {
                assert_true(
                    bson_init_static(&view, (const uint8_t *)out.data, out.size - wire.cut_size));
                assert_true(bson_validate(&view, BSON_VALIDATE_UTF8, NULL));
                assert_true(out.size - wire.cut_size == view.len);
                assert_false(has_text(&out, "sources"));
                assert_false(has_text(&out, "metadata"));
                assert_int_equal(has_text(&out, "goals"), has_code);
                assert_false(!has_code && has_text(&out, "SECRET"));
                assert_false(!has_code && has_text(&out, "unnamed"));
                assert_false(!has_code && has_text(&out, "a.f"));
                assert_int_equal(wire.is_cut, !has_code);
            } else {
                assert_int_equal(out.size, 0);
            }
            bson_destroy(&input);
        }
        pk_jail_cut_free(cut);
    }
}

TEST(an_input_that_is_not_as_expected_is_sent_whole)
{
    static const char *const input_table[] = {
        "{ \"mindscape\": 5 }",
        "{ \"mindscape\": { }, \"mindscape\": { } }",
        "{ \"mindscape\": { \"traits\": { \"a\": 1 } } }",
        "{ \"mindscape\": { \"traits\": 5 } }",
        "{ \"mindscape\": { \"traits\": [ { \"$code\": \"x\" } ] } }",
        "{ \"mindscape\": { \"traits\": [ ], \"other\": { \"$code\": \"x\" } } }",
        "{ \"now\": { \"$code\": \"x\" } }",
    };
    struct pk_jail_cut *cut = pk_jail_cut_new(&(struct pk_jail_reads){ .paths = 0 });

    for (size_t i = 0; i < PK_COUNT(input_table); i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
        struct pk_wire_call wire = { 0 };
        bson_error_t wrong;
        bson_t *input = bson_new_from_json((const uint8_t *)input_table[i], -1, &wrong);
        assert_non_null(input);
        if (jail_cut(cut, bson_get_data(input), input->len, &out, &wire)) {
            fail_msg("%s was cut", input_table[i]);
        }
        assert_int_equal(out.size, 0);
        assert_int_equal(wire.is_cut + wire.cut_size, 0);
        bson_destroy(input);
    }
    pk_jail_cut_free(cut);
}

/* ---- Rules that an author's code has had in hand ---- */

#define MAKE(before, rule)                                                                        \
    "local pk = require 'personakit' local EVIL = 'EVIL()' local r = pk.rule { id = 'r',"         \
    " when = pk.trait('a.b'):is('x'), suggest = 'y {{a.c}}' } " before                            \
    " return pk.mapper { id = 'm', name = 'M', version = '1.0.0', purpose = 'p', rules = { " rule \
    " } }"

/* Each row: what becomes of a program where the author's code runs beside the compiler. */
static const char *const tamper_table[] = {
    MAKE("tostring = function() return EVIL end", "r"),
    MAKE("for _, k in ipairs { 'type', 'select', 'unpack', 'rawget' } do\n"
         " _G[k] = function() return EVIL end end",
         "r"),
    MAKE("for _, k in ipairs { 'format', 'gsub', 'rep', 'sub', 'byte' } do\n"
         " string[k] = function() return EVIL end end\n"
         "table.concat = function() return EVIL end table.sort = function() end\n"
         "math.min = function() return EVIL end math.floor = math.min",
         "r"),
    MAKE("rawset(r.when, 'op', { name = 'is', json = { 'equals' }, emit = function()"
         " return EVIL end })",
         "r"),
    MAKE("rawset(r.when, 'op', { name = 'is', json = { EVIL }, emit = function()"
         " return EVIL end })",
         "r"),
    MAKE("rawset(r.when, 'value', setmetatable({}, { __index = function() return EVIL end }))",
         "r"),
    MAKE("rawset(r, 'id', 'x\" EVIL() \"')", "r"),
    MAKE("rawset(r, 'level', 'EVIL()')", "r"),
    MAKE("rawset(r, 'says', { { parts = { { path = '\" EVIL() \"' } }, section = 's',"
         " priority = 'low' } })",
         "r"),
    "return { describe = function() return { kind = 'mapper', has_code = false, program = 'EVIL()',"
    " cut = { paths = { 'EVIL()' } }, manifest = { mapperId = 'm', id = 'm', name = 'M',"
    " version = '1.0.0', purpose = 'p' }, plain = { rules = {}, requires = {} }, examples = 0 } end }",
    "return { describe = function() return { kind = 'mapper', has_code = false, program = 'EVIL()',"
    " manifest = { id = 'm', version = '1.0.0' }, plain = { rules = { { id = 'x', EVIL = 1,"
    " conditions = { type = 'EVIL()' } } }, requires = {} }, examples = 0 } end }",
    "return { describe = function() return { kind = 'mapper', has_code = false, program = 'EVIL()',"
    " manifest = { id = 'm', version = '1.0.0' }, plain = { rules = {}, requires = { '\"] EVIL() '"
    " }, time_step = 'EVIL()' }, examples = 0 } end }",
};

TEST(what_a_script_does_to_its_rules_is_no_code)
{
    struct pk_jail *jail = jailed_new(2);
    size_t taken_in = 0;

    for (size_t i = 0; i < PK_COUNT(tamper_table); i++) {
        struct taken taken;
        take(&taken, jail, "m.lua", tamper_table[i]);
        if (taken.is_ok) {
            const struct pk_jail_script *serve = &taken.script->serve;
            const char *evil = memmem(serve->preamble, serve->preamble_size, "EVIL", 4);
            if (evil) {
                fail_msg("%s\nbecomes code: %.80s", tamper_table[i], evil);
            }
            taken_in++;
        }
        taken_done(&taken);
    }
    assert_true(taken_in > 0); /* Or nothing was tried at all. */
    pk_jail_free(jail);
}
