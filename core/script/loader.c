/* loader.c - The steps from a bundle to a script that may serve.
 *
 *     signature -> (JSON) -> describe, in the jail with the full library
 *       -> kind -> manifest -> limits -> the lean text -> every example
 *
 * A step that fails says so as a finding, and the steps behind it are not
 * tried. Declared rules are a script of one line, whose document comes with
 * each input. The jail's limits hold here, too, and all calls together end
 * within PK_LOADER_MAX_MS. What passed can be kept (loader_known.c), so that a
 * server that starts again need not run what it ran before. Thread: the
 * caller's. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json.h"
#include "script/jail_internal.h"
#include "script/library.h"
#include "script/loader_internal.h"
#include "script/sign.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char bare_hint[] =
    "end the script with 'return pk.mapper { ... }', pk.processor or pk.condition";
static const char rules_source[] = "return require(\"personakit\").declared()";

const struct pk_jail_limits loader_limits = {
    .soft_ms = 2000,
    .hard_ms = 4000,
    .memory_bytes = 128 << 20,
    .output_bytes = 8 << 20,
    .depth = 48,
};
static const struct pk_jail_limits usual_max = {
    .soft_ms = 1000, .hard_ms = 5000, .memory_bytes = 64 << 20, .output_bytes = 4 << 20
};

/* ---- The loader ---- */

static struct loader_text *library_of(enum pk_library kind)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    pk_library_text(kind, NULL, 0, &text);
    return loader_text_new(&text);
}

struct pk_loader *pk_loader_new(const struct pk_loader_options *options)
{
    struct pk_loader *loader = pk_calloc(1, sizeof(*loader));
    struct pk_jail_limits *max = &loader->limits_max;

    loader->jail = options->jail;
    *max = options->limits_max;
    max->soft_ms = max->soft_ms ? max->soft_ms : usual_max.soft_ms;
    max->hard_ms = max->hard_ms ? max->hard_ms : usual_max.hard_ms;
    max->memory_bytes = max->memory_bytes ? max->memory_bytes : usual_max.memory_bytes;
    max->output_bytes = max->output_bytes ? max->output_bytes : usual_max.output_bytes;
    loader->require_signature = options->require_signature;
    loader->trusted_count = options->trusted_count;
    loader->trusted = pk_calloc(options->trusted_count + 1, sizeof(*loader->trusted));
    if (options->trusted_count) {
        memcpy(loader->trusted, options->trusted,
               options->trusted_count * sizeof(*loader->trusted));
    }
    loader->full = library_of(PK_LIBRARY_FULL);
    loader->lint = library_of(PK_LIBRARY_LINT);
    struct loader_text *lean = library_of(PK_LIBRARY_LEAN);
    memcpy(loader->lean_hash, lean->hash, sizeof(loader->lean_hash));
    loader_text_unref(lean);
    if (options->known_folder && !options->require_signature) {
        loader->known = known_open(loader, options->known_folder);
    }
    return loader;
}

void pk_loader_free(struct pk_loader *loader)
{
    if (loader) {
        loader_text_unref(loader->full);
        loader_text_unref(loader->lint);
        known_close(loader->known);
        pk_free(loader->trusted);
        pk_free(loader);
    }
}

/* ---- Saying what is wrong ---- */

bool work_fail(const struct work *work, unsigned line, const char *hint, const char *format, ...)
{
    PK_CLEANUP(pk_freep) char *message = NULL;
    va_list args;
    va_start(args, format);
    const int size = vasprintf(&message, format, args);
    va_end(args);
    const char *said = size < 0 ? "out of memory" : message;
    const struct finding_at at = {
        .is_error = true, .file = work->main, .line = line, .hint = hint
    };
    report_add(work->report, work->made->script.bundle, &at, said);
    if (work->err && work->err->code != PK_OK) {
        return false;
    }
    return line ? pk_fail(work->err, PK_INVALID, "mend the script", "%s:%u: %s", work->main, line,
                          said)
                : pk_fail(work->err, PK_INVALID, "mend the script", "%s: %s", work->main, said);
}

/* What helps against each end; NULL: what the jail says. */
static const char *hint_of(enum pk_jail_end end, const char *message)
{
    if (end == PK_JAIL_ERROR && strstr(message, "gives no function 'describe'")) {
        return bare_hint;
    }
    return NULL;
}

bool work_fail_call(const struct work *work, const struct pk_jail_result *result,
                    const struct pk_error *err, const char *prefix)
{
    const char *message = pk_buf_text(&result->message);
    const char *hint = hint_of(result->end, message);
    PK_CLEANUP(pk_freep) char *meant = report_hint(work->made->script.bundle, result);
    const bool is_bare = hint != NULL; /* The script returned something else. */
    PK_CLEANUP(pk_freep)
    char *said = is_bare ? pk_strdup("the script returns nothing that can serve")
                         : pk_strdupf("%s%s", prefix, message[0] ? message : err->message);
    const struct finding_at at = {
        .is_error = true,
        .file = result->file[0] ? result->file : work->main,
        .line = is_bare ? 0 : result->line,
        .hint = hint    ? hint
                : meant ? meant
                        : err->hint,
        .trace = result->trace.size && !is_bare ? pk_buf_text(&result->trace) : NULL,
    };
    report_add(work->report, work->made->script.bundle, &at, said);
    if (!work->err || work->err->code != PK_OK) {
        return false;
    }
    const char *fixed = hint ? hint : err->hint; /* Lives on: 'meant' does not. */
    const bool is_ours = result->end == PK_JAIL_NOT_RUN || result->end == PK_JAIL_CRASHED;
    const enum pk_code code = is_ours ? err->code : PK_INVALID;
    return at.line ? pk_fail(work->err, code, fixed, "%s:%u: %s", at.file, at.line, said)
                   : pk_fail(work->err, code, fixed, "%s: %s", at.file, said);
}

/* ---- Calls ---- */

static bool refuse_ask(void *context, const char *name, const bson_t *question, bson_t *answer,
                       struct pk_error *err)
{
    (void)context, (void)question, (void)answer;
    return pk_fail(err, PK_UNSUPPORTED, "give what would be found as 'found'",
                   "examples ask nobody ('%.60s')", name);
}

enum { LINE_MS = 1000 }; /* Enough to be where it does not end. */

/* Learns the line of a call that was killed: the same again, interpreted. */
static void find_line(const struct work *work, const struct pk_jail_call *call,
                      struct pk_jail_result *result)
{
    struct pk_jail_result again = { 0 };
    struct pk_error unused = { 0 };
    const int64_t hard_ms = call->limits.hard_ms < LINE_MS ? call->limits.hard_ms : LINE_MS;
    if (pk_jail_repeat(work->loader->jail, call, hard_ms, &again, &unused)) {
        memcpy(result->file, again.file, sizeof(result->file));
        result->line = again.line;
        pk_buf_clear(&result->trace);
        pk_buf_add(&result->trace, pk_buf_text(&again.trace), again.trace.size);
    }
    pk_jail_result_done(&again);
}

bool work_call(const struct work *work, const struct pk_jail_script *script, const char *entry,
               const bson_t *input, const struct pk_jail_limits *limits, bool may_ask,
               struct pk_jail_result *result, struct pk_error *err)
{
    const int64_t left_ms = (work->deadline_ns - jail_now_ns()) / 1000000;
    struct pk_jail_call call = {
        .script = script,
        .entry = entry,
        .input = bson_get_data(input),
        .input_size = input->len,
        .seed = work->seed,
        .limits = *limits,
        .ask = may_ask ? refuse_ask : NULL,
        .wait_ms = 10 * 1000,
    };

    if (left_ms <= 0) {
        result->end = PK_JAIL_STOPPED;
        pk_buf_printf(&result->message, "describing it and its examples takes more than %d s",
                      PK_LOADER_MAX_MS / 1000);
        return pk_fail(err, PK_TIMEOUT, "give fewer examples, or make the script do less", "%s",
                       pk_buf_text(&result->message));
    }
    call.limits.soft_ms = call.limits.soft_ms < left_ms ? call.limits.soft_ms : left_ms;
    call.limits.hard_ms = call.limits.hard_ms < left_ms ? call.limits.hard_ms : left_ms;
    if (pk_jail_call(work->loader->jail, &call, result, err)) {
        return true;
    }
    if (result->end == PK_JAIL_KILLED) {
        find_line(work, &call, result);
    }
    return false;
}

bool work_value(const struct pk_jail_result *result, bson_t *out)
{
    bson_t view;
    bson_iter_t iter;
    const uint8_t *data = NULL;
    uint32_t size = 0;

    pk_jail_result_view(result, &view);
    if (!bson_iter_init_find(&iter, &view, "value")) {
        return false;
    }
    if (BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        bson_iter_document(&iter, &size, &data);
    } else if (BSON_ITER_HOLDS_ARRAY(&iter)) {
        bson_iter_array(&iter, &size, &data);
    }
    return data && bson_init_static(out, data, size);
}

/* ---- Steps ---- */

static bool check_signature(struct work *work)
{
    struct pk_error err = { 0 };
    const struct pk_loader *loader = work->loader;
    struct pk_script *script = &work->made->script;

    if (pk_sign_verify(script->bundle, (const uint8_t(*)[32])loader->trusted, loader->trusted_count,
                       loader->require_signature, &script->is_signed, &err)) {
        return true;
    }
    (void)work_fail(work, 0, err.hint, "%s", err.message);
    if (work->err) {
        *work->err = err; /* In its own words: no line of the script is at fault. */
    }
    return false;
}

static unsigned line_at(const char *text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && text[i]; i++) {
        line += text[i] == '\n';
    }
    return line;
}

static bool read_json(struct work *work, const struct pk_bundle_file *file, bson_t *out)
{
    struct pk_error err = { 0 };
    size_t offset = 0;
    bson_t escaped;

    if (!pk_json_read(&escaped, file->text, file->size, &offset, &err)) {
        const char *main = work->main;
        work->main = file->name; /* Where the fault is. */
        (void)work_fail(work, line_at(file->text, offset), err.hint, "%s", err.message);
        work->main = main;
        return false;
    }
    bson_destroy(out);
    loader_unescape_keys(&escaped, out);
    bson_destroy(&escaped);
    return true;
}

/* Declared rules, and what training has changed. */
static bool read_data(struct work *work)
{
    const struct pk_bundle *bundle = work->made->script.bundle;
    return (bundle->format != PK_BUNDLE_RULES ||
            read_json(work, &bundle->file[bundle->main], &work->made->configuration)) &&
           (!bundle->tuning || read_json(work, bundle->tuning, &work->made->tuning));
}

/* The texts, as the jail takes them; the lean library stays in the worker. */
static void fill_jail_script(struct pk_jail_script *out, const struct made *made,
                             const struct loader_text *library)
{
    const struct pk_bundle *bundle = made->script.bundle;
    const struct pk_bundle_file *main = &bundle->file[bundle->main];
    const bool is_rules = bundle->format == PK_BUNDLE_RULES;

    /* A worker keeps what it was sent with the name that errors show, and two files of one content
     * may have different ones. */
    pk_hash(out->hash, main->name, strlen(main->name), bundle->hash, sizeof(bundle->hash));
    out->name = main->name;
    out->source = is_rules ? rules_source : main->text;
    out->source_size = is_rules ? sizeof(rules_source) - 1 : main->size;
    out->module = made->module;
    out->module_count = made->module_count;
    memcpy(out->preamble_hash, library->hash, sizeof(out->preamble_hash));
    out->preamble = library->data;
    out->preamble_size = library->size;
    out->is_preamble_resident = library == made->lean;
    if (out->is_preamble_resident) {
        out->cut = made->cut;
    }
    if (out->is_preamble_resident && !made->has_code) { /* Its rules lie in the library's text. */
        out->source = "";
        out->source_size = out->module_count = 0;
    }
}

/* The program and what it reads, made of described.plain by the library alone: where the author's
 * own code has run, it may have had a hand in them, and the program stays with a worker. */
static bool compile_rules(struct work *work, const bson_t *described, bson_t *out)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    struct pk_jail_script script = {
        .name = work->main,
        .source = rules_source,
        .source_size = sizeof(rules_source) - 1,
        .preamble = work->loader->full->data,
        .preamble_size = work->loader->full->size,
    };
    struct pk_error err = { 0 };
    bson_t compiled;

    pk_hash(script.hash, rules_source, script.source_size, NULL, 0);
    memcpy(script.preamble_hash, work->loader->full->hash, sizeof(script.preamble_hash));
    if (!work_call(work, &script, "compile", described, &loader_limits, false, &result, &err)) {
        return work_fail_call(work, &result, &err, "");
    }
    if (!work_value(&result, &compiled)) {
        return work_fail(work, 0, bare_hint, "the script returns nothing that can serve");
    }
    bson_copy_to_excluding_noinit(described, out, "program", "cut", "plain", NULL);
    return bson_concat(out, &compiled);
}

static bool describe(struct work *work)
{
    PK_CLEANUP(pk_jail_result_done) struct pk_jail_result result = { 0 };
    PK_CLEANUP(bson_destroy) bson_t input = BSON_INITIALIZER;
    struct pk_script *script = &work->made->script;
    struct pk_error err = { 0 };
    bson_t described;

    fill_jail_script(&script->check, work->made, work->made->full);
    pk_script_check_input(script, &input);
    if (!work_call(work, &script->check, "describe", &input, &loader_limits, false, &result,
                   &err)) {
        return work_fail_call(work, &result, &err, "");
    }
    if (!work_value(&result, &described)) {
        return work_fail(work, 0, bare_hint, "the script returns nothing that can serve");
    }
    PK_CLEANUP(bson_destroy) bson_t whole = BSON_INITIALIZER;
    if (!work_take_manifest(work, &described) || !compile_rules(work, &described, &whole)) {
        return false;
    }
    if (work->loader->known) {
        pk_buf_add(&work->described, (const char *)bson_get_data(&whole), whole.len);
    }
    return work_take_program(work, &whole);
}

/* Takes what is known of it; false: it must be described and tried. */
static bool recall(struct work *work)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf known = { 0 };
    struct pk_script *script = &work->made->script;
    bson_t described;

    fill_jail_script(&script->check, work->made, work->made->full);
    return work->loader->known && known_read(work->loader->known, script->bundle, &known) &&
           bson_init_static(&described, (const uint8_t *)known.data, known.size) &&
           work_take_manifest(work, &described) && work_take_program(work, &described);
}

static bool try_out(struct work *work)
{
    struct pk_script *script = &work->made->script;
    if (!describe(work)) {
        return false;
    }
    fill_jail_script(&script->serve, work->made, work->made->lean);
    if (!work_run_examples(work)) {
        return false;
    }
    if (work->loader->known) {
        known_keep(work->loader->known, script->bundle, work->described.data, work->described.size);
    }
    return true;
}

static bool give_up(struct work *work, struct pk_error *err)
{
    pk_script_unref(&work->made->script);
    pk_buf_done(&work->described);
    if (err) {
        *err = *work->err; /* What the report's first error says. */
    }
    return false;
}

static void begin(struct work *work, struct pk_loader *loader, struct pk_bundle *bundle)
{
    *work = (struct work){
        .loader = loader,
        .made = made_new(bundle, loader->full),
        .deadline_ns = jail_now_ns() + PK_LOADER_MAX_MS * INT64_C(1000000),
        .main = bundle->file[bundle->main].name,
        .seed = 1,
    };
}

static bool take(struct pk_loader *loader, struct pk_bundle *bundle, enum pk_script_kind kind,
                 bool is_again, struct pk_script **out, struct pk_report *report,
                 struct pk_error *err)
{
    struct pk_error why = { 0 };
    struct work work;

    begin(&work, loader, bundle);
    work.kind = kind;
    work.report = report;
    work.err = &why;
    if (!check_signature(&work) || !read_data(&work)) {
        return give_up(&work, err);
    }
    if (is_again && recall(&work)) {
        fill_jail_script(&work.made->script.serve, work.made, work.made->lean);
    } else if (why.code != PK_OK || !try_out(&work)) {
        return give_up(&work, err);
    }
    pk_buf_done(&work.described);
    *out = &work.made->script;
    return true;
}

bool pk_loader_take(struct pk_loader *loader, struct pk_bundle *bundle, enum pk_script_kind kind,
                    struct pk_script **out, struct pk_report *report, struct pk_error *err)
{
    return take(loader, bundle, kind, false, out, report, err);
}

bool pk_loader_take_again(struct pk_loader *loader, struct pk_bundle *bundle,
                          enum pk_script_kind kind, struct pk_script **out,
                          struct pk_report *report, struct pk_error *err)
{
    return take(loader, bundle, kind, true, out, report, err);
}

bool pk_loader_id(struct pk_loader *loader, struct pk_bundle *bundle, char out[PK_SCRIPT_ID],
                  struct pk_error *err)
{
    PK_CLEANUP(pk_report_done) struct pk_report report = { 0 };
    struct pk_error why = { 0 };
    struct work work;

    begin(&work, loader, bundle);
    work.report = &report;
    work.err = &why;
    if (!read_data(&work) || !describe(&work)) {
        return give_up(&work, err);
    }
    memcpy(out, work.made->script.id, PK_SCRIPT_ID);
    pk_script_unref(&work.made->script);
    pk_buf_done(&work.described);
    return true;
}
