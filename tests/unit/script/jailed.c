/* jailed.c - A jail for a test. */
/* SPDX-License-Identifier: MIT */
#include "jailed.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "doc/doc.h"
#include "doc/json.h"

#include <stdlib.h>
#include <string.h>

struct pk_jail *jailed_new(size_t workers_max)
{
    return pk_jail_new(
        &(struct pk_jail_options){ .worker_path = PK_WORKER, .workers_max = workers_max });
}

enum { MODULES_MAX = 8 };

/* The modules of 'jailed' as the script has them; the hash of the script becomes that of all. */
static void fill_modules(const struct jailed *jailed, struct pk_jail_script *script,
                         struct pk_jail_module *module)
{
    for (size_t i = 0; i < jailed->module_count; i++) {
        const char *name = jailed->module[i][0], *text = jailed->module[i][1];
        module[i] = (struct pk_jail_module){
            .name = name, .file = pk_strdupf("%s.lua", name), .text = text, .size = strlen(text)
        };
        pk_hash(script->hash, text, module[i].size, script->hash, sizeof(script->hash));
        pk_hash(script->hash, name, strlen(name), script->hash, sizeof(script->hash));
    }
    script->module = module;
    script->module_count = jailed->module_count;
}

static void run(struct pk_jail *jail, struct jailed *jailed, int64_t repeat_ms)
{
    struct pk_error err = { 0 };
    const char *text = jailed->input ? jailed->input : "{}";
    struct pk_jail_script script = {
        .name = jailed->name ? jailed->name : "test.lua",
        .source = jailed->source,
        .source_size = jailed->source_size ? jailed->source_size : strlen(jailed->source),
        .preamble = jailed->preamble,
        .preamble_size = jailed->preamble ? strlen(jailed->preamble) : 0,
        .is_preamble_resident = jailed->is_preamble_resident,
    };
    struct pk_jail_module module[MODULES_MAX];
    bson_error_t wrong;
    bson_t *input = bson_new_from_json((const uint8_t *)text, -1, &wrong);

    if (!input) {
        fail_msg("input: %s", wrong.message);
    }
    pk_hash(script.hash, script.source, script.source_size, NULL, 0);
    pk_hash(script.preamble_hash, script.preamble, script.preamble_size, NULL, 0);
    fill_modules(jailed, &script, module);
    struct pk_jail_limits limits = jailed->limits;
    limits.hard_ms = limits.hard_ms ? limits.hard_ms : 20000; /* Of time, not of a processor's. */
    const struct pk_jail_call call = {
        .script = &script,
        .entry = jailed->entry ? jailed->entry : "",
        .input = bson_get_data(input),
        .input_size = input->len,
        .seed = jailed->seed,
        .limits = limits,
        .ask = jailed->ask,
        .context = jailed->context,
    };
    jailed->err = err;
    jailed->output = NULL;
    if (repeat_ms) {
        jailed->is_ok = pk_jail_repeat(jail, &call, repeat_ms, &jailed->result, &jailed->err);
    } else {
        jailed->is_ok = pk_jail_call(jail, &call, &jailed->result, &jailed->err);
    }
    if (jailed->result.end == PK_JAIL_DONE) {
        bson_t view;
        pk_jail_result_view(&jailed->result, &view);
        char *json = bson_as_relaxed_extended_json(&view, NULL);
        jailed->output = pk_strdup(json);
        bson_free(json);
    }
    bson_destroy(input);
    for (size_t i = 0; i < jailed->module_count; i++) {
        pk_free((char *)module[i].file);
    }
}

void jailed_run(struct pk_jail *jail, struct jailed *jailed)
{
    run(jail, jailed, 0);
}

void jailed_repeat(struct pk_jail *jail, struct jailed *jailed, int64_t hard_ms)
{
    run(jail, jailed, hard_ms);
}

void jailed_done(struct jailed *jailed)
{
    pk_jail_result_done(&jailed->result);
    pk_free(jailed->output);
    jailed->output = NULL;
}

void expect_output(struct pk_jail *jail, const char *source, const char *input, const char *output)
{
    struct jailed jailed = { .source = source, .input = input };
    jailed_run(jail, &jailed);
    assert_ok(jailed.is_ok, &jailed.err);
    assert_string_equal(jailed.output, output);
    jailed_done(&jailed);
}

void expect_end(struct pk_jail *jail, const char *source, const char *input, enum pk_jail_end end,
                const char *words)
{
    struct jailed jailed = { .source = source, .input = input };
    if (end == PK_JAIL_MEMORY) { /* Which of two limits is hit first is no matter of load. */
        jailed.limits = (struct pk_jail_limits){ .soft_ms = 10000, .hard_ms = 20000 };
    }
    jailed_run(jail, &jailed);
    if (jailed.result.end != end) {
        fail_msg("it ended as '%s', not '%s': %s%s", pk_jail_end_name(jailed.result.end),
                 pk_jail_end_name(end), jailed.err.message, jailed.output ? jailed.output : "");
    }
    assert_false(jailed.is_ok);
    if (!strstr(jailed.err.message, words)) {
        fail_msg("'%s' does not contain '%s'", jailed.err.message, words);
    }
    jailed_done(&jailed);
}
