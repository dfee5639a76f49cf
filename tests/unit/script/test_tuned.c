/* test_tuned.c - A mapper with what training has changed of it: taken in as it acts, or refused. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "jailed.h"
#include "script/loader.h"

#include <string.h>

static const char tunable[] =
    "local pk = require \"personakit\"\n"
    "return pk.mapper { id = \"a\", version = \"1.0.0\", rules = {\n"
    "  pk.rule { id = \"x.1\", when = pk.trait(\"t\"):exists(), suggest = \"X\" },\n"
    "  pk.rule { id = \"y\", when = pk.trait(\"t\"):exists(), suggest = \"Y\" } },\n"
    "  examples = { { given = { t = 1 }, expect = { fired = { \"x.1\", \"y\" } } } } }\n";

struct tuned {
    struct pk_jail *jail;
    struct pk_loader *loader;
    struct pk_bundle *bundle;
    struct pk_script *script;
    struct pk_report report;
    struct pk_error err;
    bool is_ok;
};

static void tuned_done(struct tuned *tuned)
{
    pk_script_unref(tuned->script);
    pk_report_done(&tuned->report);
    pk_bundle_unref(tuned->bundle);
    pk_loader_free(tuned->loader);
    pk_jail_free(tuned->jail);
}

static void take(struct tuned *out, const char *tuning)
{
    struct pk_bundle *plain = NULL;
    *out = (struct tuned){ .jail = jailed_new(2) };
    out->loader = pk_loader_new(&(struct pk_loader_options){ .jail = out->jail });
    assert_ok(pk_bundle_of_text("a.lua", tunable, strlen(tunable), &plain, &out->err), &out->err);
    assert_ok(pk_bundle_tune(plain, tuning, strlen(tuning), &out->bundle, &out->err), &out->err);
    pk_bundle_unref(plain);
    out->is_ok = pk_loader_take(out->loader, out->bundle, PK_SCRIPT_MAPPER, &out->script,
                                &out->report, &out->err);
}

static char *shown(const struct tuned *tuned)
{
    struct pk_buf text = { 0 };
    pk_report_print(&tuned->report, &text);
    pk_buf_add_text(&text, "");
    return pk_buf_take(&text);
}

TEST(a_tuned_mapper_is_taken_as_it_acts)
{
    PK_CLEANUP(tuned_done) struct tuned tuned;
    take(&tuned, "{\"version\":\"1.0.1\",\"parentVersion\":\"1.0.0\","
                 "\"rules\":{\"x.1\":{\"off\":true},\"y\":{\"priority\":\"low\"}}}");
    PK_CLEANUP(pk_freep) char *text = shown(&tuned);
    assert_ok(tuned.is_ok, &tuned.err);
    assert_string_equal(text ? text : "", "");
    assert_string_equal(tuned.script->version, "1.0.1");
    assert_int_equal(bson_count_keys(&tuned.script->rules), 1);
}

TEST(a_tuning_that_is_wrong_is_shown)
{
    static const struct {
        const char *tuning, *words;
    } row[] = {
        { "{\"rules\":", "tuning.json:1" },
        { "{\"rules\":{\"z\":{\"off\":true}}}", "rule 'z' is not known" },
        { "{\"rules\":{\"y\":{\"minConfidence\":0.95}}}", "example 1: fired" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        PK_CLEANUP(tuned_done) struct tuned tuned;
        take(&tuned, row[i].tuning);
        PK_CLEANUP(pk_freep) char *text = shown(&tuned);
        assert_false(tuned.is_ok);
        if (!text || !strstr(text, row[i].words)) {
            fail_msg("'%s' is not in: %s", row[i].words, text ? text : "(nothing)");
        }
    }
}
