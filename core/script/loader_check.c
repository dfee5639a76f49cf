/* loader_check.c - What only 'mapper check' asks: the text itself, and whether calls are alike.
 *
 * Types of observations that a processor accepts are its own to name, so one that
 * is not built in is only remarked: a misspelt one would wait for ever.
 *
 * The text is read by lua/personakit/lint.lua, in the jail like everything that
 * a stranger's text could lead astray. Then each example is run again: all of
 * them backwards, each half of a mapper alone, and with another seed. The jail
 * lets no call see another, so what differs is the script's own doing: a local
 * that 'core' sets and 'overlay' reads, or math.random. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/text.h"
#include "doc/schema_intake.h"
#include "script/jail_internal.h"
#include "script/loader_internal.h"

#include <stdio.h>
#include <string.h>

enum { RUNS_MAX = 20 }; /* Examples that are run again. */
#define OTHER_SEED UINT64_C(0x9e3779b97f4a7c15)

static const char lint_source[] = "return { lint = require(\"personakit\").lint }";

/* ---- The text ---- */

static void append_texts(bson_t *out, const char *name, const char *const *text, size_t count)
{
    bson_t list;
    (void)bson_append_array_begin(out, name, -1, &list);
    for (size_t i = 0; i < count; i++) {
        char key[24];
        (void)snprintf(key, sizeof(key), "%zu", i);
        (void)bson_append_utf8(&list, key, -1, text[i], -1);
    }
    (void)bson_append_array_end(out, &list);
}

/* 'requires' and 'optional', one list. */
static void append_declared(bson_t *out, const bson_t *manifest)
{
    static const char *const key[] = { "requiredTraits", "optionalTraits" };
    uint32_t count = 0;
    bson_t list;

    (void)bson_append_array_begin(out, "declared", -1, &list);
    for (size_t i = 0; i < PK_COUNT(key); i++) {
        bson_iter_t iter, item;
        if (!bson_iter_init_find(&iter, manifest, key[i]) || !bson_iter_recurse(&iter, &item)) {
            continue;
        }
        while (bson_iter_next(&item)) {
            char at[16];
            (void)snprintf(at, sizeof(at), "%u", count++);
            (void)bson_append_iter(&list, at, -1, &item);
        }
    }
    (void)bson_append_array_end(out, &list);
}

static void take_finding(const struct work *work, const char *file, const bson_iter_t *found)
{
    struct finding_at at = { .file = file };
    const char *message = "";
    bson_iter_t iter;

    if (!bson_iter_recurse(found, &iter)) {
        return;
    }
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "line") == 0) {
            at.line = (unsigned)bson_iter_as_int64(&iter);
        } else if (strcmp(key, "is_error") == 0) {
            at.is_error = bson_iter_as_bool(&iter);
        } else if (strcmp(key, "message") == 0 && BSON_ITER_HOLDS_UTF8(&iter)) {
            message = bson_iter_utf8(&iter, NULL);
        } else if (strcmp(key, "hint") == 0 && BSON_ITER_HOLDS_UTF8(&iter)) {
            at.hint = bson_iter_utf8(&iter, NULL);
        }
    }
    report_add(work->report, work->made->script.bundle, &at, message);
}

static bool lint_file(const struct work *work, const struct pk_bundle_file *file, bool is_main,
                      const char *const *known, size_t known_count)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    const struct made *made = work->made;
    const struct loader_text *lint = work->loader->lint;
    struct pk_jail_script script = {
        .name = "lint.lua",
        .source = lint_source,
        .source_size = sizeof(lint_source) - 1,
        .preamble = lint->data,
        .preamble_size = lint->size,
    };
    bson_iter_t item;
    bson_t found;

    pk_hash(script.hash, lint_source, sizeof(lint_source), NULL, 0);
    memcpy(script.preamble_hash, lint->hash, sizeof(script.preamble_hash));
    if (made->script.bundle->format == PK_BUNDLE_LUA) {
        (void)bson_append_utf8(&input, "text", -1, file->text, (int)file->size);
    }
    (void)bson_append_utf8(&input, "source", -1, file->text, (int)file->size);
    append_declared(&input, &made->script.manifest);
    (void)bson_append_array(&input, "given", -1, &made->given);
    if (is_main) {
        (void)bson_append_array(&input, "reads", -1, &made->reads);
    }
    if (known) {
        append_texts(&input, "known", known, known_count);
    }
    if (!work_call(work, &script, "lint", &input, &loader_limits, false, &result, work->err)) {
        return pk_wrap(work->err, "look at '%s'", file->name);
    }
    if (work_value(&result, &found) && bson_iter_init(&item, &found)) {
        while (bson_iter_next(&item)) {
            take_finding(work, file->name, &item);
        }
    }
    return true;
}

/* ---- Types of observations ---- */

/* The built-in type that is most like it; NULL: none is. */
static const char *nearest_type(const char *type)
{
    enum { FAR = 4 };
    const char *nearest = NULL;
    size_t best = FAR;
    for (const char *const *known = pk_observation_type; *known; known++) {
        const size_t far = pk_text_distance(type, *known, FAR);
        if (far < best) {
            best = far;
            nearest = *known;
        }
    }
    return nearest;
}

/* "feedback" is what POST /v1/feedback is handed over as. */
static bool is_known_type(const char *type)
{
    const char *const *known = pk_observation_type;
    while (*known && strcmp(*known, type) != 0) {
        known++;
    }
    return *known || strcmp(type, "feedback") == 0;
}

static void check_types(const struct work *work)
{
    const struct pk_script *script = &work->made->script;
    const struct pk_bundle *bundle = script->bundle;
    for (char *const *type = script->accepts; type && *type; type++) {
        const char *nearest = nearest_type(*type);
        if (is_known_type(*type)) {
            continue;
        }
        PK_CLEANUP(pk_freep)
        char *message = pk_strdupf("'%s', which it accepts, is no built-in type of observation: "
                                   "what is sent as one has no declared shape",
                                   *type);
        PK_CLEANUP(pk_freep)
        char *hint = nearest ? pk_strdupf("did you mean '%s'? A type of your own is fine", nearest)
                             : pk_strdup("a type of your own is fine: look whether senders spell "
                                         "it so, too");
        const struct finding_at at = {
            .file = work->main,
            .line = loader_line_of(bundle->file[bundle->main].text, "accepts"),
            .hint = hint,
        };
        report_add(work->report, bundle, &at, message);
    }
}

/* ---- Calls that should be alike ---- */

struct run {
    struct pk_jail_result result;
    bool is_there; /* It came to an end. */
};

/* Runs an example once more; 'left_out' is a half of a mapper, or NULL. */
static void run_again(const struct work *work, const bson_t *example, const char *left_out,
                      struct run *out)
{
    const struct pk_script *script = &work->made->script;
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    struct pk_error unused = { 0 };
    bson_t halves;

    (void)bson_concat(&input, example);
    if (left_out) {
        (void)bson_append_document_begin(&input, "halves", -1, &halves);
        (void)bson_append_bool(&halves, left_out, -1, false);
        (void)bson_append_document_end(&input, &halves);
    }
    out->is_there = work_call(work, &script->serve, script->entry, &input, &script->limits,
                              script->grant[0] != NULL, &out->result, &unused);
}

static bool find_field(const struct run *run, const char *name, bson_iter_t *out)
{
    bson_t value;
    return run->is_there && work_value(&run->result, &value) &&
           bson_iter_init_find(out, &value, name);
}

/* Keys are sorted in what a script gives, so equal values are equal bytes. */
static bool is_same(const struct run *a, const struct run *b, const char *name)
{
    const uint8_t *left_data = NULL, *right_data = NULL;
    uint32_t left_size = 0, right_size = 0;
    bson_iter_t left, right;
    if (!a->is_there || !b->is_there) {
        return a->is_there == b->is_there;
    }
    if (!name) {
        return a->result.output.size == b->result.output.size &&
               memcmp(a->result.output.data, b->result.output.data, a->result.output.size) == 0;
    }
    const bool has_left = find_field(a, name, &left), has_right = find_field(b, name, &right);
    if (!has_left || !has_right || !BSON_ITER_HOLDS_DOCUMENT(&left) ||
        !BSON_ITER_HOLDS_DOCUMENT(&right)) {
        return has_left == has_right;
    }
    bson_iter_document(&left, &left_size, &left_data);
    bson_iter_document(&right, &right_size, &right_data);
    return left_size == right_size && memcmp(left_data, right_data, left_size) == 0;
}

static void say_differs(const struct work *work, unsigned index, const char *key, bool is_error,
                        const char *what, const char *hint)
{
    const struct pk_bundle *bundle = work->made->script.bundle;
    PK_CLEANUP(pk_freep) char *message = pk_strdupf("example %u: %s", index, what);
    const struct finding_at at = {
        .is_error = is_error,
        .file = work->main,
        .line = loader_line_of(bundle->file[bundle->main].text, key),
        .hint = hint,
    };
    report_add(work->report, bundle, &at, message);
}

static const char *key_of_function(const struct work *work)
{
    static const char *const key[PK_SCRIPT_KINDS] = {
        [PK_SCRIPT_MAPPER] = "core",
        [PK_SCRIPT_PROCESSOR] = "process",
        [PK_SCRIPT_CONDITION] = "test",
    };
    return key[work->made->script.kind];
}

/* Each half alone gives what it gave beside the other. */
static void compare_halves(const struct work *work, unsigned index, const bson_t *example,
                           const struct run *whole)
{
    static const struct {
        const char *half, *other, *what;
    } row[] = {
        { "overlay", "core", "'overlay' gives something else when 'core' does not run before it" },
        { "core", "overlay", "'core' gives something else when 'overlay' does not run" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct run alone = { 0 };
        run_again(work, example, row[i].other, &alone);
        if (!is_same(whole, &alone, row[i].half)) {
            say_differs(work, index, row[i].half, true, row[i].what,
                        "let each compute what it needs: they are kept and renewed apart");
        }
        pk_jail_result_done(&alone.result);
    }
}

static void compare_runs(struct work *work, unsigned index, struct run *first)
{
    struct run again = { 0 }, other = { 0 };
    bson_t example;
    if (!first->is_there || !work_example_input(work, index, &example)) {
        return;
    }
    run_again(work, &example, NULL, &again);
    if (!is_same(first, &again, NULL)) {
        say_differs(work, index, key_of_function(work), true,
                    "two runs on the same input give different results",
                    "report this: no call should see another");
    }
    if (work->made->script.kind == PK_SCRIPT_MAPPER) {
        compare_halves(work, index, &example, first);
    }
    work->seed = OTHER_SEED;
    run_again(work, &example, NULL, &other);
    work->seed = 1;
    if (!is_same(first, &other, NULL)) {
        say_differs(work, index, key_of_function(work), false,
                    "what it gives depends on math.random",
                    "derive it from what the person's mindscape holds, or two personas of the same "
                    "state differ");
    }
    pk_jail_result_done(&again.result);
    pk_jail_result_done(&other.result);
    bson_destroy(&example);
}

/* The examples in order, and then backwards. */
static void run_twice(struct work *work)
{
    const unsigned count =
        work->made->script.examples < RUNS_MAX ? work->made->script.examples : (unsigned)RUNS_MAX;
    struct run *first = pk_calloc(count, sizeof(*first));

    for (unsigned i = 0; i < count; i++) {
        bson_t example;
        if (work_example_input(work, i + 1, &example)) {
            run_again(work, &example, NULL, &first[i]);
            bson_destroy(&example);
        }
    }
    for (unsigned i = count; i > 0; i--) {
        compare_runs(work, i, &first[i - 1]);
    }
    for (unsigned i = 0; i < count; i++) {
        pk_jail_result_done(&first[i].result);
    }
    pk_free(first);
}

bool pk_loader_check(struct pk_loader *loader, const struct pk_script *script,
                     const char *const *known_paths, size_t known_count, struct pk_report *report,
                     struct pk_error *err)
{
    const struct pk_bundle *bundle = script->bundle;
    struct work work = {
        .loader = loader,
        .made = (struct made *)(uintptr_t)script, /* Read only. */
        .report = report,
        .err = err,
        .deadline_ns = jail_now_ns() + PK_LOADER_MAX_MS * INT64_C(1000000),
        .main = bundle->file[bundle->main].name,
        .seed = 1,
    };
    for (size_t i = 0; i < bundle->count; i++) {
        if (&bundle->file[i] != bundle->tuning &&
            !lint_file(&work, &bundle->file[i], i == bundle->main, known_paths, known_count)) {
            return false;
        }
    }
    check_types(&work);
    run_twice(&work);
    return true;
}
