/* loader_examples.c - A script's own examples, run before it may serve.
 *
 *     'example' (full library)  the i-th as an input
 *     the script's entry (lean) as it will serve, under its own limits
 *     'judge' (full library)    the output against what is expected
 *
 * All are run, so that an author sees at once which fail; the first one that
 * fails is why the script is refused. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "script/loader_internal.h"

#include <stdio.h>
#include <string.h>

enum { EXAMPLES_MAX = 1000 };

/* One of them under way. */
struct example {
    unsigned index; /* From 1. */
    unsigned line;
    const char *name;
    int64_t took_ns;
};

static bool value_iter(const struct pk_jail_result *result, bson_iter_t *out)
{
    bson_t view;
    pk_jail_result_view(result, &view);
    return bson_iter_init_find(out, &view, "value");
}

/* The library's fault of an entry is only seen by a script that fakes it: 'describe' came first. */
static bool fail_odd(const struct work *work)
{
    return work_fail(work, 0, "let pk.mapper, pk.processor or pk.condition make what it returns",
                     "the script's entries are not the library's");
}

bool work_example_input(const struct work *work, unsigned index, bson_t *out)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    const struct pk_script *script = &work->made->script;
    struct pk_error err = { 0 };
    char prefix[40];
    bson_t view;

    (void)snprintf(prefix, sizeof(prefix), "example %u: ", index);
    (void)bson_append_int64(&input, "index", -1, index);
    pk_script_check_input(script, &input);
    if (!work_call(work, &script->check, "example", &input, &loader_limits, false, &result, &err)) {
        return work_fail_call(work, &result, &err, prefix);
    }
    if (!work_value(&result, &view)) {
        return fail_odd(work);
    }
    bson_copy_to(&view, out);
    return true;
}

/* "example 2 ('a calm day'): " */
static void prefix_of(const struct example *example, char *out, size_t size)
{
    if (example->name[0]) {
        (void)snprintf(out, size, "example %u ('%.60s'): ", example->index, example->name);
    } else {
        (void)snprintf(out, size, "example %u: ", example->index);
    }
}

static bool fail_example(struct work *work, const struct example *example, const char *message)
{
    report_add_example(work->report, example->name, example->line, false, message,
                       example->took_ns);
    return false;
}

/* Holds the output against what is expected. */
static bool judge(struct work *work, const struct example *example, const bson_iter_t *output)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    const struct pk_script *script = &work->made->script;
    struct pk_error err = { 0 };
    bson_iter_t iter;
    bson_t verdict;

    (void)bson_append_int64(&input, "index", -1, example->index);
    (void)bson_append_iter(&input, "output", -1, output);
    pk_script_check_input(script, &input);
    if (!work_call(work, &script->check, "judge", &input, &loader_limits, false, &result, &err)) {
        return work_fail_call(work, &result, &err, "");
    }
    if (!work_value(&result, &verdict) || !bson_iter_init_find(&iter, &verdict, "ok") ||
        !BSON_ITER_HOLDS_BOOL(&iter)) {
        return fail_odd(work);
    }
    if (bson_iter_bool(&iter)) {
        report_add_example(work->report, example->name, example->line, true, NULL,
                           example->took_ns);
        return true;
    }
    const char *message =
        bson_iter_init_find(&iter, &verdict, "message") && BSON_ITER_HOLDS_UTF8(&iter)
            ? bson_iter_utf8(&iter, NULL)
            : "it gives something else";
    (void)work_fail(work, example->line, "mend the script, or what the example expects", "%s",
                    message);
    return fail_example(work, example, message);
}

static bool run_example(struct work *work, struct example *example)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    const struct pk_script *script = &work->made->script;
    struct pk_error err = { 0 };
    bson_iter_t output;
    char prefix[128];
    bson_t input;

    if (!work_example_input(work, example->index, &input)) {
        return fail_example(work, example, "it cannot be made into an input");
    }
    const bool is_done = work_call(work, &script->serve, script->entry, &input, &script->limits,
                                   script->grant[0] != NULL, &result, &err);
    bson_destroy(&input);
    example->took_ns = result.took_ns;
    if (!is_done) {
        prefix_of(example, prefix, sizeof(prefix));
        (void)work_fail_call(work, &result, &err, prefix);
        return fail_example(work, example, pk_buf_text(&result.message));
    }
    if (!value_iter(&result, &output)) {
        (void)fail_odd(work);
        return fail_example(work, example, "it gives nothing");
    }
    return judge(work, example, &output);
}

static void name_of(const struct work *work, unsigned index, struct example *out)
{
    char key[16];
    bson_iter_t iter;
    (void)snprintf(key, sizeof(key), "%u", index - 1);
    out->name = bson_iter_init_find(&iter, &work->made->names, key) && BSON_ITER_HOLDS_UTF8(&iter)
                    ? bson_iter_utf8(&iter, NULL)
                    : "";
}

bool work_run_examples(struct work *work)
{
    const struct pk_script *script = &work->made->script;
    const char *source = script->bundle->file[script->bundle->main].text;
    bool is_ok = true;

    if (script->examples > EXAMPLES_MAX) {
        return work_fail(work, loader_line_of(source, "examples"), "give fewer",
                         "it has %u examples, above %d", script->examples, EXAMPLES_MAX);
    }
    for (unsigned i = 1; i <= script->examples; i++) {
        struct example example = { .index = i, .line = loader_line_of_example(source, i) };
        name_of(work, i, &example);
        is_ok &= run_example(work, &example);
    }
    if (script->examples == 0) {
        const struct finding_at at = {
            .file = work->main,
            .hint = "add 'examples': what is given, and what is expected of it",
        };
        report_add(work->report, script->bundle, &at, "it has no examples, so nothing was tried");
    }
    return is_ok;
}
