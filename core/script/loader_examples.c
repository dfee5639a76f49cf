/* loader_examples.c - A script's own examples, run before it may serve.
 *
 *     'examples' (full library)  some of them as inputs, in one call
 *     the script's entry (lean)  each by itself, as it will serve, under its own limits
 *     'verdicts' (full library)  the outputs against what is expected, in one call
 *
 * The full library is built anew for each call and costs more than most
 * examples do, so many share one. Where such a call does not come to its end
 * (too much in all, an output that leads the library astray), each example is
 * asked for by itself, so that what goes wrong is said of the one it is about.
 *
 * All are run, so that an author sees at once which fail; the first one that
 * fails is why the script is refused. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "script/loader_internal.h"

#include <stdio.h>
#include <string.h>

enum { EXAMPLES_MAX = 1000, TOGETHER = 16, TOGETHER_BYTES = 4 << 20 };

/* One of them under way. */
struct example {
    unsigned index; /* From 1. */
    unsigned line;
    const char *name;
    bson_t input; /* Of 'made'. */
    bool is_made; /* There is an input. */
    bool is_run;  /* The script gave something. */
    struct pk_jail_result result;
    struct pk_error err; /* Why not, when it was made and is not run. */
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
                       example->result.took_ns);
    return false;
}

/* ---- Many in one call ---- */

/* A document or list in a document; false: it is neither. */
static bool inner_of(const bson_iter_t *iter, bson_t *out)
{
    const uint8_t *data = NULL;
    uint32_t size = 0;
    if (BSON_ITER_HOLDS_DOCUMENT(iter)) {
        bson_iter_document(iter, &size, &data);
    } else if (BSON_ITER_HOLDS_ARRAY(iter)) {
        bson_iter_array(iter, &size, &data);
    }
    return data && bson_init_static(out, data, size);
}

/* Asks for something of all of them at once; the answer is a list of as many. */
static bool ask_of_all(const struct work *work, const char *entry, const bson_t *input,
                       unsigned count, struct pk_jail_result *result, bson_t *out_list)
{
    struct pk_error unused = { 0 };
    return work_call(work, &work->made->script.check, entry, input, &loader_limits, false, result,
                     &unused) &&
           work_value(result, out_list) && bson_count_keys(out_list) == count;
}

static void make_inputs(const struct work *work, struct example *example, unsigned count)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    bson_t list, view;
    bson_iter_t item;

    (void)bson_append_int64(&input, "first", -1, example[0].index);
    (void)bson_append_int64(&input, "last", -1, example[count - 1].index);
    pk_script_check_input(&work->made->script, &input);
    const bool is_there = count > 1 &&
                          ask_of_all(work, "examples", &input, count, &result, &list) &&
                          bson_iter_init(&item, &list);
    for (unsigned i = 0; i < count; i++) {
        if (is_there && bson_iter_next(&item) && inner_of(&item, &view)) {
            bson_copy_to(&view, &example[i].input);
            example[i].is_made = true;
        }
    }
}

/* Of those that were run, by their places: is it what is expected? */
struct verdicts {
    struct pk_jail_result result; /* Ended by the caller. */
    bson_t list;
    bool is_there;
};

static void ask_verdicts(const struct work *work, const struct example *example, unsigned count,
                         struct verdicts *out)
{
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    bson_t outputs;
    size_t bytes = 0;

    (void)bson_append_int64(&input, "first", -1, example[0].index);
    (void)bson_append_array_begin(&input, "outputs", -1, &outputs);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        bson_iter_t output;
        (void)snprintf(key, sizeof(key), "%u", i);
        bytes += example[i].result.output.size;
        if (bytes <= TOGETHER_BYTES && example[i].is_run &&
            value_iter(&example[i].result, &output)) {
            (void)bson_append_iter(&outputs, key, -1, &output);
        } else {
            (void)bson_append_null(&outputs, key, -1);
        }
    }
    (void)bson_append_array_end(&input, &outputs);
    pk_script_check_input(&work->made->script, &input);
    out->is_there = count > 1 && bytes <= TOGETHER_BYTES &&
                    ask_of_all(work, "verdicts", &input, count, &out->result, &out->list);
}

/* ---- One by one ---- */

/* What the library says of an output: "" when it is as expected; NULL: it says nothing. */
static const char *said_of(const bson_t *verdict)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, verdict, "ok") || !BSON_ITER_HOLDS_BOOL(&iter)) {
        return NULL;
    }
    if (bson_iter_bool(&iter)) {
        return "";
    }
    return bson_iter_init_find(&iter, verdict, "message") && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : "it gives something else";
}

static bool settle(struct work *work, const struct example *example, const char *said)
{
    if (!said) {
        return fail_odd(work);
    }
    if (!said[0]) {
        report_add_example(work->report, example->name, example->line, true, NULL,
                           example->result.took_ns);
        return true;
    }
    (void)work_fail(work, example->line, "mend the script, or what the example expects", "%s",
                    said);
    return fail_example(work, example, said);
}

/* Holds the output against what is expected. */
static bool judge(struct work *work, const struct example *example, const bson_iter_t *output)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    const struct pk_script *script = &work->made->script;
    struct pk_error err = { 0 };
    bson_t verdict;

    (void)bson_append_int64(&input, "index", -1, example->index);
    (void)bson_append_iter(&input, "output", -1, output);
    pk_script_check_input(script, &input);
    if (!work_call(work, &script->check, "judge", &input, &loader_limits, false, &result, &err)) {
        return work_fail_call(work, &result, &err, "");
    }
    return settle(work, example, work_value(&result, &verdict) ? said_of(&verdict) : NULL);
}

static void run_example(const struct work *work, struct example *example)
{
    const struct pk_script *script = &work->made->script;
    if (example->is_made) {
        example->is_run =
            work_call(work, &script->serve, script->entry, &example->input, &script->limits,
                      script->grant[0] != NULL, &example->result, &example->err);
    }
}

/* What came of it, in the order of the examples. */
static bool judge_example(struct work *work, struct example *example,
                          const struct verdicts *verdicts)
{
    bson_iter_t output, item;
    bson_t verdict;
    char prefix[128], key[16];

    if (!example->is_made) {
        return fail_example(work, example, "it cannot be made into an input");
    }
    if (!example->is_run) {
        prefix_of(example, prefix, sizeof(prefix));
        (void)work_fail_call(work, &example->result, &example->err, prefix);
        return fail_example(work, example, pk_buf_text(&example->result.message));
    }
    if (!value_iter(&example->result, &output)) {
        (void)fail_odd(work);
        return fail_example(work, example, "it gives nothing");
    }
    (void)snprintf(key, sizeof(key), "%u", (example->index - 1) % TOGETHER);
    if (verdicts->is_there && bson_iter_init_find(&item, &verdicts->list, key) &&
        inner_of(&item, &verdict)) {
        return settle(work, example, said_of(&verdict));
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

/* So many of them, from 'first' on. */
static bool run_some(struct work *work, unsigned first, unsigned count)
{
    const struct pk_bundle *bundle = work->made->script.bundle;
    const char *source = bundle->file[bundle->main].text;
    struct example example[TOGETHER] = { 0 };
    struct verdicts verdicts = { 0 };
    bool is_ok = true;

    for (unsigned i = 0; i < count; i++) {
        example[i].index = first + i;
        example[i].line = loader_line_of_example(source, first + i);
        name_of(work, first + i, &example[i]);
    }
    make_inputs(work, example, count);
    for (unsigned i = 0; i < count; i++) {
        example[i].is_made =
            example[i].is_made || work_example_input(work, first + i, &example[i].input);
        run_example(work, &example[i]);
    }
    ask_verdicts(work, example, count, &verdicts);
    for (unsigned i = 0; i < count; i++) {
        is_ok &= judge_example(work, &example[i], &verdicts);
    }
    for (unsigned i = 0; i < count; i++) {
        if (example[i].is_made) {
            bson_destroy(&example[i].input);
        }
        pk_jail_result_done(&example[i].result);
    }
    pk_jail_result_done(&verdicts.result);
    return is_ok;
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
    for (unsigned done = 0; done < script->examples; done += TOGETHER) {
        const unsigned left = script->examples - done;
        is_ok &= run_some(work, done + 1, left < TOGETHER ? left : (unsigned)TOGETHER);
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
