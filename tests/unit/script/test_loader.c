/* test_loader.c - From a bundle to a script that may serve, and everything that stands in the way.
 */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/file.h"
#include "jailed.h"
#include "script/library.h"
#include "script/loader.h"

#include <string.h>

#ifdef __SANITIZE_THREAD__
enum { IS_SLOW = 1 }; /* Times are judged by the other builds. */
#else
enum { IS_SLOW = 0 };
#endif

/* A script being taken in; ended with take_done. */
struct take {
    struct pk_jail *jail;
    struct pk_loader *loader;
    struct pk_bundle *bundle;
    struct pk_script *script;
    struct pk_report report;
    struct pk_error err;
    bool is_ok;
};

static void take_as(struct take *take, const char *name, const char *text, enum pk_script_kind kind)
{
    *take = (struct take){ .jail = jailed_new(2) };
    take->loader = pk_loader_new(&(struct pk_loader_options){ .jail = take->jail });
    assert_ok(pk_bundle_of_text(name, text, strlen(text), &take->bundle, &take->err), &take->err);
    take->is_ok =
        pk_loader_take(take->loader, take->bundle, kind, &take->script, &take->report, &take->err);
}

static void take_text(struct take *take, const char *text)
{
    take_as(take, "test.lua", text, PK_SCRIPT_ANY);
}

static void take_done(struct take *take)
{
    pk_script_unref(take->script);
    pk_report_done(&take->report);
    pk_bundle_unref(take->bundle);
    pk_loader_free(take->loader);
    pk_jail_free(take->jail);
}

static void free_json(char **json)
{
    bson_free(*json);
}

static char *shown(const struct pk_report *report)
{
    struct pk_buf text = { 0 };
    pk_report_print(report, &text);
    pk_buf_add_text(&text, "");
    return pk_buf_take(&text);
}

static void assert_says(const struct take *take, const char *words)
{
    PK_CLEANUP(pk_freep) char *text = shown(&take->report);
    if (!text || !strstr(text, words)) {
        fail_msg("'%s' is not in: %s", words, text ? text : "(nothing)");
    }
}

static void refuses(const char *name, const char *text, const char *place, const char *words)
{
    struct take take;
    take_as(&take, name, text, PK_SCRIPT_ANY);
    assert_false(take.is_ok);
    assert_null(take.script);
    assert_int_not_equal(take.err.code, PK_OK);
    assert_says(&take, place);
    assert_says(&take, words);
    take_done(&take);
}

/* ---- What may serve ---- */

static const char good[] =
    "local pk = require \"personakit\"\n"
    "return pk.mapper {\n"
    "  id = \"daily\", version = \"1.2.0\", ttl = \"12h\",\n"
    "  requires = { \"work.chronotype\" },\n"
    "  limits = { soft_ms = 50, memory_bytes = 2097152 },\n"
    "  capabilities = { \"search\", \"http:api.example.com:8443\" },\n"
    "  config = { units = { type = \"text\", default = \"metric\" } },\n"
    "  on_error = \"skip\",\n"
    "  rules = {\n"
    "    pk.rule { id = \"morning\", suggest = \"Start early\",\n"
    "      when = pk.trait(\"work.chronotype\"):is(\"morning\") },\n"
    "  },\n"
    "  core = function(m) return { style = m[\"work.chronotype\"] } end,\n"
    "  examples = {\n"
    "    { name = \"a lark\", given = { [\"work.chronotype\"] = \"morning\" },\n"
    "      expect = { core = { style = \"morning\" }, fired = { \"morning\" } } },\n"
    "    { given = {}, expect = { fired = {} } },\n"
    "  },\n"
    "}\n";

TEST(a_mapper_that_passes_its_examples_is_taken)
{
    struct take take;
    take_text(&take, good);
    PK_CLEANUP(pk_freep) char *text = shown(&take.report);
    assert_ok(take.is_ok, &take.err);
    assert_string_equal(text, "");
    assert_int_equal(take.script->kind, PK_SCRIPT_MAPPER);
    assert_string_equal(take.script->id, "daily");
    assert_string_equal(take.script->version, "1.2.0");
    assert_string_equal(take.script->entry, "map");
    assert_int_equal(take.script->examples, 2);
    assert_int_equal(take.script->limits.soft_ms, 50);
    assert_int_equal(take.script->limits.hard_ms, 500);
    assert_int_equal(take.script->limits.memory_bytes, 2097152);
    assert_string_equal(take.script->grant[0], "search");
    assert_null(take.script->grant[2]);
    assert_false(take.script->is_signed);
    assert_int_equal(take.report.example_count, 2);
    assert_true(take.report.example[0].is_ok);
    assert_string_equal(take.report.example[0].name, "a lark");
    assert_int_equal(take.report.example[0].line, 16);
    assert_int_equal(take.report.example[1].line, 17);
    take_done(&take);
}

TEST(what_serves_is_the_lean_text_and_what_explains_the_full_one)
{
    struct take take;
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    bson_t mindscape;
    take_text(&take, good);
    assert_ok(take.is_ok, &take.err);
    BSON_APPEND_DATE_TIME(&input, "now", INT64_C(1768478400000));
    BSON_APPEND_DOCUMENT_BEGIN(&input, "mindscape", &mindscape);
    bson_append_document_end(&input, &mindscape);
    pk_script_check_input(take.script, &input);
    const struct pk_jail_call call = {
        .script = &take.script->check,
        .entry = "explain",
        .input = bson_get_data(&input),
        .input_size = input.len,
        .limits = { .soft_ms = 2000, .hard_ms = 4000, .memory_bytes = 64 << 20 },
    };
    assert_ok(pk_jail_call(take.jail, &call, &result, &take.err), &take.err);
    bson_t view;
    pk_jail_result_view(&result, &view);
    PK_CLEANUP(free_json) char *json = bson_as_relaxed_extended_json(&view, NULL);
    assert_non_null(strstr(json, "work.chronotype is not known"));
    assert_true(take.script->serve.preamble_size < take.script->check.preamble_size);
    take_done(&take);
}

TEST(a_processor_and_a_condition_are_taken)
{
    struct take take;
    take_text(
        &take,
        "local pk = require \"personakit\"\n"
        "return pk.processor { id = \"work\", version = \"1.0.0\",\n"
        "  accepts = { \"work_session\", \"other\" },\n"
        "  process = function(obs, m, t) t:set(\"a.b\", obs.content.structured.x) end,\n"
        "  examples = { { observation = { content = { structured = { x = 5 } } },\n"
        "    expect = { operations = { { op = \"set\", path = \"a.b\", value = 5 } } } } } }\n");
    assert_ok(take.is_ok, &take.err);
    assert_int_equal(take.script->kind, PK_SCRIPT_PROCESSOR);
    assert_string_equal(take.script->entry, "process");
    assert_string_equal(take.script->accepts[0], "work_session");
    assert_string_equal(take.script->accepts[1], "other");
    assert_null(take.script->accepts[2]);
    take_done(&take);
    take_text(
        &take,
        "local pk = require \"personakit\"\n"
        "return pk.condition { id = \"calm\", when = pk.trait(\"mood.stress\"):lt(0.3),\n"
        "  examples = { { given = { [\"mood.stress\"] = 0.1 }, expect = { holds = true } } } }\n");
    assert_ok(take.is_ok, &take.err);
    assert_int_equal(take.script->kind, PK_SCRIPT_CONDITION);
    assert_string_equal(take.script->version, "1.0.0");
    take_done(&take);
}

static const char rules[] =
    "{ \"metadata\": { \"id\": \"productive\", \"name\": \"Productive\" },\n"
    "  \"version\": 2,\n"
    "  \"rules\": [\n"
    "    { \"id\": \"lark\",\n"
    "      \"conditions\": { \"all\": [ { \"type\": \"trait_check\", \"trait\": \"work.chronotype\",\n"
    "        \"operator\": \"equals\", \"value\": \"morning\" } ] },\n"
    "      \"actions\": [ { \"type\": \"suggestion\", \"template\": \"Start early\" } ] } ],\n"
    "  \"examples\": [\n"
    "    { \"given\": { \"work.chronotype\": \"morning\" }, \"expect\": { \"fired\": [ \"lark\" ] } } ]\n"
    "}\n";

TEST(declared_rules_of_json_are_taken)
{
    struct take take;
    take_as(&take, "productive.json", rules, PK_SCRIPT_MAPPER);
    assert_ok(take.is_ok, &take.err);
    assert_string_equal(take.script->id, "productive");
    assert_string_equal(take.script->version, "2.0.0");
    assert_int_equal(take.report.example_count, 1);
    take_done(&take);
}

TEST(a_script_without_examples_is_taken_with_a_remark)
{
    struct take take;
    take_text(&take, "return require(\"personakit\").mapper { id = \"a\", core = { x = 1 } }");
    assert_ok(take.is_ok, &take.err);
    assert_int_equal(take.report.count, 1);
    assert_false(take.report.finding[0].is_error);
    assert_says(&take, "test.lua: remark: it has no examples");
    take_done(&take);
}

/* ---- What may not ---- */

#define MAPPER(body) \
    "local pk = require \"personakit\"\nreturn pk.mapper {\n  id = \"a\", core = {},\n" body "\n}\n"
#define PROCESSOR(body)                                                                              \
    "local pk = require \"personakit\"\nreturn pk.processor {\n  id = \"a\", version = \"1.0.0\",\n" \
    "  process = function() end,\n" body "\n}\n"

TEST(every_fault_of_a_manifest_names_its_line_and_what_is_allowed)
{
    static const struct {
        const char *text, *place, *words;
    } row[] = {
        { MAPPER("  requries = { \"a.b\" },"), "test.lua:4: error: mapper 'a': key 'requries'",
          "did you mean 'requires'?" },
        { MAPPER("  version = \"1.2\","), "test.lua:4: error:", "semantic version like 1.2.3" },
        { "local pk = require \"personakit\"\nreturn pk.mapper {\n  core = {} }",
          "test.lua:2: error:", "key 'id' is missing" },
        { "local pk = require \"personakit\"\nreturn pk.mapper {\n  id = \"A b\", core = {} }",
          "test.lua:3: error:", "is not an id" },
        { MAPPER("  requires = { \"a..b\" },"), "test.lua:4: error:", "key 'requires': item 1" },
        { MAPPER("  limits = { softms = 5 },"), "test.lua:4: error:", "did you mean 'soft_ms'?" },
        { MAPPER("  limits = { hard_ms = 3600000 },"), "test.lua:4: error: key 'limits.hard_ms'",
          "grants at most 5000" },
        { MAPPER("\n  limits = {\n    soft_ms = 200,\n    hard_ms = 100 },"),
          "test.lua:6: error: key 'limits.soft_ms'", "no more than 'hard_ms'" },
        { MAPPER("  limits = { memory_bytes = 1 },"),
          "test.lua:4: error: key 'limits.memory_bytes'", "65536" },
        { MAPPER("  capabilities = { \"serach\" },"),
          "test.lua:4: error: key 'capabilities[0]' is 'serach'", "did you mean 'search'?" },
        { MAPPER("  capabilities = { \"http://a.b/\" },"),
          "test.lua:4: error:", "a host in lower case" },
        { MAPPER("  config = { key = { type = \"txt\" } },"),
          "test.lua:4: error: key 'config.key.type'", "text" },
        { MAPPER("  on_error = \"ignore\","), "test.lua:4: error:", "reject, skip" },
        { MAPPER("  ttl = \"1ms\","), "test.lua:4: error:", "shorter than a second" },
        { MAPPER("  context_window = -1,"), "test.lua:4: error:", "stretch of time" },
        { MAPPER("  retrieval_pipeline = {\n    warm_layer_queries = {\n      { query_id = \"q\", "
                 "embedding_strategy = \"semantic\",\n        query_prompt = \"x\", top_k = 0,\n"
                 "        min_similarity = 0.5 } } },"),
          "test.lua:7: error: key 'retrievalPipeline.warmLayerQueries[0].topK'", "1 to 1000" },
        { MAPPER("  output_template = { formatting = { format = \"html\" } },"),
          "test.lua:4: error: key 'outputTemplate.formatting.format'", "markdown" },
        { MAPPER("  rules = { { id = \"r\" } },"), "test.lua:4: error:", "rule 'r'" },
        { MAPPER("  rules = {\n    pk.rule { id = \"r\", sugest = \"x\",\n      when = "
                 "pk.trait(\"a\"):exists() } },"),
          "test.lua:5: error:", "did you mean 'suggest'?" },
        { MAPPER("  templates = { t = \"{{\" },"), "test.lua:4: error:", "template 't'" },
        { MAPPER("  examples = { { expekt = {} } },"),
          "test.lua:4: error:", "did you mean 'expect'?" },
        { MAPPER("  examples = { { given = {} } },"), "test.lua:4: error:", "it expects nothing" },
        { PROCESSOR("  accepts = {},"), "test.lua:5: error: key 'accepts'", "1" },
        { PROCESSOR("  accept = { \"x\" },"), "test.lua:5: error:", "did you mean 'accepts'?" },
        { PROCESSOR("  accepts = { \"two words\" },"), "test.lua:5: error: key 'accepts[0]'",
          "two words" },
        { "local pk = require \"personakit\"\nreturn pk.condition { id = \"a\" }",
          "test.lua:2: error:", "'when' and 'test'" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        refuses("test.lua", row[i].text, row[i].place, row[i].words);
    }
}

TEST(a_script_that_cannot_run_is_shown_with_its_line)
{
    static const struct {
        const char *text, *place, *words;
    } row[] = {
        { "local x = \n  = 5\n", "test.lua:2: error: ", "     2 |   = 5" },
        { "local x = 1\nfoo = x\nreturn x", "test.lua:2: error: ", "global" },
        { "local function f(x)\n  return x.y.z\nend\nf({})\n",
          "test.lua:2: error: ", "  at test.lua:4: in the main chunk" },
        { "return 5\n", "test.lua: error: the script returns nothing that can serve",
          "pk.mapper { ... }" },
        { "return {}\n", "test.lua: error: the script returns nothing that can serve", "hint" },
        { "return { describe = function() return 5 end }\n",
          "test.lua: error: the script returns nothing", "hint" },
        { "return { describe = function() return { kind = \"plugin\" } end }\n",
          "test.lua: error: the script returns nothing", "hint" },
        { "return { describe = function() return { kind = \"mapper\", manifest = {} } end }\n",
          "test.lua: error: key ", "id" },
        { "while true do end\n", "test.lua:1: error: stopped after", "do less" },
        { "local s = (\"x\"):rep(5e8)\nreturn s\n", "test.lua", "memory" },
        { "require(\"socket\")\n", "test.lua:1: error:", "socket" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        refuses("test.lua", row[i].text, row[i].place, row[i].words);
    }
}

TEST(a_fault_of_json_names_its_line)
{
    refuses("x.json", "{ \"id\": \"a\",\n  \"rules\": [ }\n", "x.json:2: error: ", "     2 | ");
    refuses("x.json", "{ \"id\": \"a\",\n  \"rulez\": [] }\n", "x.json:2: error: ", "'rules'");
    refuses("x.json",
            "{ \"id\": \"a\", \"rules\": [\n  { \"id\": \"r\", \"conditions\": {\n"
            "    \"type\": \"trait_check\", \"trait\": \"x\", \"operator\": \"equal\" },\n"
            "    \"actions\": [] } ] }\n",
            "x.json:3: error: ", "did you mean 'equals'?");
    refuses("x.json", "[]\n", "x.json:1: error: ", "object");
}

TEST(a_script_of_another_kind_is_refused)
{
    struct take take;
    take_as(&take, "test.lua", good, PK_SCRIPT_PROCESSOR);
    assert_false(take.is_ok);
    assert_says(&take, "test.lua:2: error: it is a mapper, not a processor");
    take_done(&take);
}

TEST(an_example_that_fails_says_what_came_and_what_was_expected)
{
    struct take take;
    take_text(&take,
              MAPPER("  overlay = function(m) return { x = m[\"a.b\"] } end,\n  examples = {\n"
                     "    { given = { [\"a.b\"] = 1 }, expect = { overlay = { x = 1 } } },\n"
                     "    { name = \"wrong\", given = { [\"a.b\"] = 1 },\n"
                     "      expect = { overlay = { x = 2 } } },\n"
                     "    { given = { [\"a.b\"] = 3 }, expect = { overlay = { x = 4 } } },\n  },"));
    assert_false(take.is_ok);
    assert_int_equal(take.report.example_count, 3);
    assert_true(take.report.example[0].is_ok);
    assert_false(take.report.example[1].is_ok);
    assert_says(&take, "test.lua:8: error: example 2 ('wrong'): overlay.x is 1, not 2");
    assert_says(&take, "test.lua:9: error: example 3: overlay.x is 3, not 4");
    assert_non_null(strstr(take.err.message, "test.lua:8: example 2"));
    take_done(&take);
}

/* Examples go through the library some at a time; what is said of them is in their order. */
TEST(of_many_examples_each_that_fails_is_said_in_its_place)
{
    static const char text[] =
        "local pk = require \"personakit\"\n"
        "local list = {}\n"
        "for i = 1, 40 do\n"
        "  list[i] = { name = \"n\" .. i, given = { [\"a.b\"] = i },\n"
        "    expect = { core = { x = (i == 3 or i == 33) and -1 or i } } }\n"
        "end\n"
        "return pk.mapper { id = \"many\", examples = list, core = function(m)\n"
        "  if m[\"a.b\"] == 17 then error(\"no 17\") end\n"
        "  return { x = m[\"a.b\"] }\n"
        "end }\n";
    struct take take;
    take_text(&take, text);
    assert_false(take.is_ok);
    assert_int_equal(take.report.example_count, 40);
    for (size_t i = 0; i < 40; i++) {
        PK_CLEANUP(pk_freep) char *name = pk_strdupf("n%zu", i + 1);
        assert_string_equal(take.report.example[i].name, name);
        assert_int_equal(take.report.example[i].is_ok, i != 2 && i != 16 && i != 32);
    }
    assert_int_equal(take.report.count, 3);
    assert_non_null(strstr(take.report.finding[0].message, "example 3 ('n3'): core.x is 3"));
    assert_non_null(strstr(take.report.finding[1].message, "example 17 ('n17'): no 17"));
    assert_non_null(strstr(take.report.finding[2].message, "example 33 ('n33'): core.x is 33"));
    assert_non_null(strstr(take.err.message, "example 3 ('n3')"));
    take_done(&take);
}

TEST(examples_that_are_too_much_together_are_taken_one_by_one)
{
    static const char text[] =
        "local pk = require \"personakit\"\n"
        "local list = {}\n"
        "for i = 1, 16 do\n"
        "  list[i] = { given = { [\"a.b\"] = (\"x\"):rep(600000) .. i },\n"
        "    expect = { core = { size = 600000 + #tostring(i) } } }\n"
        "end\n"
        "return pk.mapper { id = \"large\", examples = list,\n"
        "  limits = { soft_ms = 900, hard_ms = 4000, output_bytes = 1048576 },\n"
        "  core = function(m)\n"
        "  return { size = #m[\"a.b\"], text = m[\"a.b\"] }\n"
        "end }\n";
    struct take take;
    take_text(&take, text);
    assert_ok(take.is_ok, &take.err);
    assert_int_equal(take.report.example_count, 16);
    assert_int_equal(take.report.count, 0);
    take_done(&take);
}

TEST(an_example_that_raises_shows_the_line_and_the_way_there)
{
    struct take take;
    take_text(&take, "local pk = require \"personakit\"\n"
                     "local function deep(m)\n  return m[\"a.b\"].c.d\nend\n"
                     "return pk.mapper { id = \"a\",\n"
                     "  core = function(m)\n    local x = deep(m)\n    return { x = x }\n  end,\n"
                     "  examples = { { given = { [\"a.b\"] = { x = 1 } }, expect = {} } } }\n");
    assert_false(take.is_ok);
    assert_says(&take, "test.lua:3: error: example 1: attempt to index field 'c'");
    assert_says(&take, "     3 |   return m[\"a.b\"].c.d\n");
    assert_says(&take, "  at test.lua:3: in 'deep'");
    assert_says(&take, "  at test.lua:7: in ");
    take_done(&take);
}

/* What the machine says of it helps nobody who writes his first mapper. */
TEST(the_usual_slips_with_traits_and_methods_are_told_how_to_mend)
{
    static const struct {
        const char *expression, *message, *hint;
    } row[] = {
        { "m.work.chronotype", "attempt to index field 'work' (a nil value)",
          "hint: a trait's path is one text: m[\"work.chronotype\"]" },
        { "am.work and am.work.no or m.work.focus.peak:upper()", "attempt to index field 'work'",
          "hint: a trait's path is one text: m[\"work.focus.peak\"]" },
        { "m:valeu(\"work.chronotype\")", "attempt to call method 'valeu' (a nil value)",
          "hint: 'm' has :value, :has, :each" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(pk_freep)
        char *text = pk_strdupf("local pk = require \"personakit\"\nlocal am = {}\n"
                                "return pk.mapper { id = \"a\", core = function(m)\n"
                                "  return { x = %s, z = am }\n"
                                "end, examples = { { given = {}, expect = {} } } }\n",
                                row[i].expression);
        struct take take;
        take_text(&take, text);
        assert_false(take.is_ok);
        assert_says(&take, "test.lua:4: error: example 1: ");
        assert_says(&take, row[i].message);
        assert_says(&take, row[i].hint);
        take_done(&take);
    }
    refuses("test.lua",
            "local pk = require \"personakit\"\nlocal t = {}\n"
            "return pk.mapper { id = \"a\", core = function(m) return { x = t.a.b } end,\n"
            "  examples = { { given = {}, expect = {} } } }\n",
            "test.lua:3:", "attempt to index field 'a'");
}

TEST_WHEN(an_endless_example_ends_at_its_limit_and_its_line_is_named, !IS_SLOW)
{
    struct take take;
    take_text(&take, "local pk = require \"personakit\"\n"
                     "return pk.mapper { id = \"a\", limits = { soft_ms = 50, hard_ms = 100 },\n"
                     "  core = function(m)\n    local s = (\"a\"):rep(60) .. \"b\"\n"
                     "    return { x = s:find((\"a*\"):rep(30) .. \"c\") }\n  end,\n"
                     "  examples = { { given = {}, expect = {} } } }\n");
    assert_false(take.is_ok);
    assert_says(&take, "test.lua:5: error: example 1: stopped after");
    take_done(&take);
    take_text(&take, "local pk = require \"personakit\"\n"
                     "return pk.mapper { id = \"a\",\n  core = function(m)\n"
                     "    while true do end\n  end,\n"
                     "  examples = { { given = {}, expect = {} } } }\n");
    assert_false(take.is_ok);
    assert_says(&take, "test.lua:4: error: example 1: stopped after");
    take_done(&take);
}

TEST(examples_ask_nobody)
{
    struct take take;
    take_text(&take, MAPPER("  capabilities = { \"search\" },\n"
                            "  examples = { { given = {}, expect = {} } },"));
    assert_ok(take.is_ok, &take.err);
    assert_int_equal(take.script->limits.asks, 64);
    take_done(&take);
}

TEST(a_report_is_a_document_too)
{
    struct take take;
    PK_CLEANUP(bson_destroy) bson_t doc = BSON_INITIALIZER;
    take_text(&take, MAPPER("  requries = {},"));
    pk_report_put(&take.report, &doc);
    PK_CLEANUP(free_json) char *json = bson_as_relaxed_extended_json(&doc, NULL);
    assert_non_null(
        strstr(json, "\"severity\" : \"error\", \"file\" : \"test.lua\", \"line\" : 4"));
    assert_non_null(strstr(json, "\"sourceLine\" : \"  requries = {},\""));
    take_done(&take);
}

TEST(a_report_shows_nothing_that_moves_a_cursor)
{
    struct take take;
    take_text(&take, "error(\"a\\27[31mb\") -- \x1b[2J\n");
    PK_CLEANUP(pk_freep) char *text = shown(&take.report);
    assert_false(take.is_ok);
    assert_null(strchr(text, '\x1b'));
    take_done(&take);
}

/* ---- Many files ---- */

static void take_folder(struct take *take, const char *helpers)
{
    PK_CLEANUP(bson_destroy) bson_t doc = BSON_INITIALIZER;
    bson_t files;
    *take = (struct take){ .jail = jailed_new(2) };
    take->loader = pk_loader_new(&(struct pk_loader_options){ .jail = take->jail });
    BSON_APPEND_DOCUMENT_BEGIN(&doc, "files", &files);
    BSON_APPEND_UTF8(
        &files, "init%2Elua",
        "local pk = require \"personakit\"\nlocal helpers = require \"helpers\"\n"
        "return pk.mapper { id = \"a\",\n  core = function(m) return { x = "
        "helpers.twice(m[\"a.b\"]) } end,\n  examples = { { given = { [\"a.b\"] = 2 }, "
        "expect = { core = { x = 4 } } } } }\n");
    BSON_APPEND_UTF8(&files, "helpers%2Elua", helpers);
    bson_append_document_end(&doc, &files);
    assert_ok(pk_bundle_of_doc(&doc, &take->bundle, &take->err), &take->err);
    take->is_ok = pk_loader_take(take->loader, take->bundle, PK_SCRIPT_ANY, &take->script,
                                 &take->report, &take->err);
}

TEST(a_script_of_many_files_requires_them_by_name)
{
    struct take take;
    take_folder(&take, "return { twice = function(x) return 2 * x end }\n");
    assert_ok(take.is_ok, &take.err);
    take_done(&take);
}

/* One worker, one content, two files: each author sees his own name. */
TEST(errors_name_the_file_that_was_handed_in_also_when_its_text_is_known_by_another_name)
{
    static const char bad[] =
        "local pk = require \"personakit\"\n"
        "return pk.mapper { id = \"a\", core = function(m) error(\"no\") end,\n"
        "  examples = { { given = {}, expect = {} } } }\n";
    struct pk_jail *jail = jailed_new(1);
    struct pk_loader *loader = pk_loader_new(&(struct pk_loader_options){ .jail = jail });
    static const char *const name[] = { "one.lua", "two.lua" };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        struct pk_bundle *bundle = NULL;
        struct pk_script *script = NULL;
        struct pk_report report = { 0 };
        struct pk_error err = { 0 };
        assert_ok(pk_bundle_of_text(name[i], bad, strlen(bad), &bundle, &err), &err);
        assert_false(pk_loader_take(loader, bundle, PK_SCRIPT_ANY, &script, &report, &err));
        assert_string_equal(report.finding[0].file, name[i]);
        assert_non_null(strstr(report.finding[0].trace, name[i]));
        pk_report_done(&report);
        pk_bundle_unref(bundle);
    }
    pk_loader_free(loader);
    pk_jail_free(jail);
}

TEST(what_is_wrong_in_another_file_is_shown_there)
{
    struct take take;
    take_folder(&take, "local helpers = {}\nfunction helpers.twice(x)\n  return x.y.z\nend\n"
                       "return helpers\n");
    assert_false(take.is_ok);
    assert_says(&take, "helpers.lua:3: error: example 1: attempt to index");
    assert_says(&take, "     3 |   return x.y.z\n");
    assert_says(&take, "  at init.lua:4: in ");
    take_done(&take);
    take_folder(&take, "return = 5\n");
    assert_false(take.is_ok);
    assert_says(&take, "helpers.lua:1: error: ");
    take_done(&take);
}

/* ---- What 'check' adds ---- */

static void check_text(struct take *take, const char *text, const char *const *known, size_t count)
{
    take_text(take, text);
    assert_ok(take->is_ok, &take->err);
    assert_ok(pk_loader_check(take->loader, take->script, known, count, &take->report, &take->err),
              &take->err);
}

TEST(a_good_script_is_checked_without_a_word)
{
    struct take take;
    check_text(&take, good, NULL, 0);
    PK_CLEANUP(pk_freep) char *text = shown(&take.report);
    assert_string_equal(text, "");
    take_done(&take);
}

TEST(check_tells_of_unused_locals_and_of_globals)
{
    struct take take;
    check_text(&take,
               "local pk = require \"personakit\"\n"
               "local unused, _fine = 1, 2\n"
               "local set\n"
               "local function lonely() return 1 end\n"
               "return pk.mapper { id = \"a\",\n"
               "  core = function(m)\n"
               "    set = 5\n"
               "    if m[\"a.b\"] then\n"
               "      made = lenght(m)\n"
               "      return { now = os.time(), s = string.dump(pk) }\n"
               "    end\n"
               "    return {}\n"
               "  end,\n"
               "  examples = { { given = {}, expect = {} } } }\n",
               NULL, 0);
    assert_says(&take, "test.lua:2: remark: local 'unused' is never used");
    assert_says(&take, "     2 | local unused, _fine = 1, 2\n       |       ^~~~~~\n");
    assert_says(&take, "test.lua:3: remark: local 'set' is set, and nobody reads it");
    assert_says(&take, "test.lua:4: remark: local function 'lonely' is never used");
    assert_says(&take, "test.lua:9: error: global 'made' cannot be made");
    assert_says(&take, "test.lua:9: error: there is no global 'lenght' here");
    assert_says(&take, "test.lua:10: error: there is no global 'os' here");
    assert_says(&take, "hint: the time is ctx.now");
    assert_says(&take, "test.lua:10: error: there is no 'string.dump' here");
    take_done(&take);
}

TEST(check_tells_of_trait_paths_with_the_nearest_name)
{
    static const char *const known[] = { "work.chronotype", "mood.stress" };
    static const char text[] =
        "local pk = require \"personakit\"\n"
        "return pk.mapper { id = \"a\", requires = { \"work.chronotype\", \"work.focus.*\" },\n"
        "  rules = { pk.rule { id = \"r\", suggest = \"x\",\n"
        "    when = pk.trait(\"work.chronotpe\"):is(\"morning\") } },\n"
        "  core = function(m) return { a = m[\"mood.stres\"], b = m[\"work.focus.deep\"],\n"
        "    c = m[\"other.path\"] } end,\n"
        "  examples = { { given = { [\"mood.stress\"] = 1 }, expect = {} } } }\n";
    struct take take;
    check_text(&take, text, NULL, 0);
    assert_says(&take, "test.lua:4: remark: trait path 'work.chronotpe' is not known");
    assert_says(&take, "did you mean 'work.chronotype'?");
    assert_says(&take, "test.lua:5: remark: trait path 'mood.stres' is not known");
    assert_int_equal(take.report.count, 2);
    take_done(&take);
    check_text(&take, text, known, 2);
    assert_says(&take, "test.lua:6: remark: trait path 'other.path' is not known");
    assert_int_equal(take.report.count, 3);
    take_done(&take);
}

#define ACCEPTS(types)                                                                \
    "local pk = require \"personakit\"\n"                                             \
    "return pk.processor { id = \"a\", version = \"1.0.0\",\n"                        \
    "  accepts = { " types " }, process = function(obs, m, t)\n"                      \
    "    t:set(\"a.b\", 1) end,\n"                                                    \
    "  examples = { { given = {}, observation = { content = { structured = {} } },\n" \
    "    expect = { operations = { { op = \"set\", path = \"a.b\", value = 1 } } } } } }\n"

TEST(check_tells_of_types_of_observations_with_the_nearest_name)
{
    struct take take;
    check_text(&take, ACCEPTS("\"work_sesion\", \"chat_log\", \"feedback\""), NULL, 0);
    assert_says(&take, "test.lua:3: remark: 'work_sesion', which it accepts, is no built-in type");
    assert_says(&take, "did you mean 'work_session'? A type of your own is fine");
    assert_int_equal(take.report.count, 1);
    take_done(&take);
    check_text(&take, ACCEPTS("\"weather_report\""), NULL, 0);
    assert_says(&take, "a type of your own is fine: look whether senders spell it so, too");
    take_done(&take);
    check_text(&take, ACCEPTS("\"chat_log\", \"feedback\""), NULL, 0);
    assert_int_equal(take.report.count, 0);
    take_done(&take);
}

TEST(check_tells_of_paths_that_are_written_as_fields)
{
    struct take take;
    check_text(&take,
               "local pk = require \"personakit\"\n"
               "return pk.mapper { id = \"a\", optional = { \"work.chronotype\" },\n"
               "  core = function(m)\n"
               "    if m.x then return { a = m.work.chronotype, b = m:valeu(\"a.b\") } end\n"
               "    return { c = 1 }\n"
               "  end,\n"
               "  examples = { { given = {}, expect = {} } } }\n",
               NULL, 0);
    assert_says(&take,
                "test.lua:4: remark: 'm.work.chronotype' looks for a trait 'work', and then");
    assert_says(&take, "hint: a trait's path is one text: m[\"work.chronotype\"]");
    assert_says(&take, "test.lua:4: error: there is no 'm:valeu'");
    assert_says(&take, "hint: did you mean 'value'?");
    assert_int_equal(take.report.count, 2);
    take_done(&take);
}

TEST(check_tells_when_one_half_leans_on_the_other)
{
    struct take take;
    check_text(&take,
               "local pk = require \"personakit\"\nlocal kept\n"
               "return pk.mapper { id = \"a\",\n"
               "  core = function() kept = 5 return { x = 1 } end,\n"
               "  overlay = function() return { y = kept } end,\n"
               "  examples = { { given = {}, expect = { overlay = { y = 5 } } } } }\n",
               NULL, 0);
    assert_says(&take, "test.lua:5: error: example 1: 'overlay' gives something else when 'core'");
    take_done(&take);
    check_text(&take,
               "local pk = require \"personakit\"\n"
               "return pk.mapper { id = \"a\",\n"
               "  core = function() return { x = math.random() } end,\n"
               "  examples = { { given = {}, expect = {} } } }\n",
               NULL, 0);
    assert_says(&take, "test.lua:3: remark: example 1: what it gives depends on math.random");
    take_done(&take);
}

TEST(rules_of_json_are_checked_for_their_paths)
{
    static const char *const known[] = { "work.chronotypes" };
    struct take take;
    take_as(&take, "productive.json", rules, PK_SCRIPT_MAPPER);
    assert_ok(take.is_ok, &take.err);
    assert_ok(pk_loader_check(take.loader, take.script, known, 1, &take.report, &take.err),
              &take.err);
    assert_int_equal(take.report.count, 0); /* Its example gives the path. */
    take_done(&take);
}

/* ---- The library ---- */

TEST(the_library_is_joined_as_bundle_lua_says)
{
    static const struct {
        const char *kind, *program;
        enum pk_library library;
    } row[] = {
        { "full", NULL, PK_LIBRARY_FULL },
        { "lean", "return 5", PK_LIBRARY_LEAN },
        { "resident", "return 5", PK_LIBRARY_RESIDENT },
        { "lint", NULL, PK_LIBRARY_LINT },
    };
    static const char *const module[] = {
        "fault",     "host",    "value",    "tests",  "pattern", "operators", "template",
        "condition", "rule",    "manifest", "source", "compile", "explain",   "examples",
        "place",     "outside", "init",     "record", "view",    "rules",     "verbs",
        "run",       "lean",    "lint",     "tuning"
    };
    PK_CLEANUP(pk_buf_done) struct pk_buf source = { 0 };
    PK_CLEANUP(bson_destroy) bson_t modules = BSON_INITIALIZER;
    struct pk_jail *jail = jailed_new(1);
    struct pk_error err = { 0 };

    pk_buf_add_text(&source, "local bundle = (function()\n");
    assert_ok(pk_file_read(&source, PK_SOURCE_DIR "/lua/personakit/bundle.lua", 1 << 20, &err),
              &err);
    pk_buf_add_text(&source, "\nend)()\nreturn { text = function(input)\n"
                             "  return bundle.text(input.kind, function(name) return "
                             "input.modules[name] end, input.program) end }\n");
    for (size_t i = 0; i < PK_COUNT(module); i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
        PK_CLEANUP(pk_freep)
        char *path = pk_strdupf(PK_SOURCE_DIR "/lua/personakit/%s.lua", module[i]);
        assert_ok(pk_file_read(&text, path, 1 << 20, &err), &err);
        BSON_APPEND_UTF8(&modules, module[i], pk_buf_text(&text));
    }
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
        PK_CLEANUP(pk_buf_done) struct pk_buf ours = { 0 };
        PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
        const struct pk_jail_script script = {
            .hash = { 1 }, .name = "bundle.lua", .source = source.data, .source_size = source.size
        };
        bson_iter_t iter;
        bson_t view;
        BSON_APPEND_UTF8(&input, "kind", row[i].kind);
        BSON_APPEND_DOCUMENT(&input, "modules", &modules);
        if (row[i].program) {
            BSON_APPEND_UTF8(&input, "program", row[i].program);
        }
        const struct pk_jail_call call = {
            .script = &script,
            .entry = "text",
            .input = bson_get_data(&input),
            .input_size = input.len,
            .limits = { .memory_bytes = 64 << 20,
                        .output_bytes = 4 << 20,
                        .soft_ms = 4000,
                        .hard_ms = 5000 },
        };
        assert_ok(pk_jail_call(jail, &call, &result, &err), &err);
        pk_jail_result_view(&result, &view);
        assert_true(bson_iter_init_find(&iter, &view, "value"));
        pk_library_text(row[i].library, row[i].program, row[i].program ? strlen(row[i].program) : 0,
                        &ours);
        assert_string_equal(ours.data, bson_iter_utf8(&iter, NULL));
    }
    pk_jail_free(jail);
}
