/* mapper.c - 'personakit mapper check' and 'test', and the same for processors and conditions.
 *
 * What an author asks while writing: may this serve, and do its examples come
 * out? It is asked of the real loader and a jail of one's own, under the
 * settings of the server, and needs none running. A path is a script, or a
 * folder of scripts. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/mapper_traits.h"
#include "doc/json.h"
#include "script/loader.h"
#include "script/sign.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a command works with. */
struct work {
    struct pk_call *call;
    enum pk_script_kind kind;
    bool is_test; /* 'test', not 'check'. */
    struct pk_config *config;
    struct pk_jail *jail;
    struct pk_loader *loader;
    const char **path; /* Of scripts; in the call's arena. */
    size_t path_count;
    struct pk_known_traits known;
    struct pk_buf out;
    size_t failed;   /* Scripts. */
    size_t examples; /* Run, ... */
    size_t good;     /* ... and passed. */
};

/* ---- Which scripts ---- */

static void add_path(struct work *work, const char *path)
{
    work->path = pk_realloc(work->path, (work->path_count + 1) * sizeof(*work->path));
    work->path[work->path_count++] = path;
}

static bool is_there(const char *folder, const char *name)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", folder, name);
    struct stat info;
    return lstat(path, &info) == 0;
}

static bool is_script_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && name[0] != '.' && (strcmp(dot, ".lua") == 0 || strcmp(dot, ".json") == 0) &&
           !(strlen(name) > 9 && strcmp(name + strlen(name) - 9, "_spec.lua") == 0);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The scripts that lie in a folder: files, and folders that are scripts. */
static bool add_folder(struct work *work, const char *path, struct pk_error *err)
{
    const size_t before = work->path_count;
    DIR *folder = opendir(path);
    if (!folder) {
        return pk_fail(err, PK_NOT_FOUND, "check the path", "cannot open '%.160s': %s", path,
                       strerrordesc_np(errno));
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *each = pk_arena_printf(&work->call->arena, "%s/%s", path, entry->d_name);
        if (is_script_name(entry->d_name) ||
            (entry->d_name[0] != '.' && is_there(each, "init.lua"))) {
            add_path(work, each);
        }
    }
    (void)closedir(folder);
    if (work->path_count == before) {
        return pk_fail(err, PK_NOT_FOUND, "name a script, or a folder with some",
                       "there is no script in '%.160s'", path);
    }
    qsort(work->path + before, work->path_count - before, sizeof(*work->path), by_text);
    return true;
}

static bool find_scripts(struct work *work, struct pk_error *err)
{
    for (size_t i = 0; i < work->call->argument_count; i++) {
        const char *path = work->call->argument[i];
        struct stat info;
        const bool is_folder = lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
        if (!is_folder || is_there(path, "init.lua")) {
            add_path(work, path);
        } else if (!add_folder(work, path, err)) {
            return false;
        }
    }
    return true;
}

/* ---- One script ---- */

static const char *folder_of(struct work *work, const char *path)
{
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        size_t size = strlen(path);
        while (size > 1 && path[size - 1] == '/') {
            size--;
        }
        return pk_arena_printf(&work->call->arena, "%.*s", (int)size, path);
    }
    const char *slash = strrchr(path, '/');
    return slash ? pk_arena_printf(&work->call->arena, "%.*s", (int)(slash - path), path) : NULL;
}

static bool has_errors(const struct pk_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->finding[i].is_error) {
            return true;
        }
    }
    return false;
}

static void show_example(struct work *work, const char *path, const struct pk_example *example,
                         size_t number)
{
    struct pk_buf *out = &work->out;
    pk_buf_printf(out, "%s - ", example->is_ok ? "ok" : "not ok");
    pk_text_escape(out, path, strlen(path), false);
    pk_buf_printf(out, " example %zu", number);
    if (example->name[0]) {
        pk_buf_add_text(out, " '");
        pk_text_escape(out, example->name, strlen(example->name), false);
        pk_buf_add_text(out, "'");
    }
    pk_buf_printf(out, " (%.2f ms)\n", (double)example->took_ns / 1e6);
}

static void show_examples(struct work *work, const char *path, const struct pk_report *report)
{
    for (size_t i = 0; i < report->example_count; i++) {
        work->examples++;
        work->good += report->example[i].is_ok;
        if (!work->call->is_json && work->is_test) {
            show_example(work, path, &report->example[i], i + 1);
        }
    }
}

static void show_script(struct work *work, const char *path, const struct pk_script *script,
                        const struct pk_report *report)
{
    struct pk_buf *out = &work->out;
    const bool is_bad = has_errors(report);

    show_examples(work, path, report);
    pk_report_print(report, out);
    if (work->is_test && report->example_count > 0) {
        return;
    }
    pk_text_escape(out, path, strlen(path), false);
    if (is_bad || !script) {
        pk_buf_add_text(out, ": it may not serve\n");
        return;
    }
    pk_buf_printf(out, ": ok: %s '%s' %s, ", pk_script_kind_name(script->kind), script->id,
                  script->version);
    pk_buf_printf(out, "%u example%s%s\n", script->examples, script->examples == 1 ? "" : "s",
                  script->is_signed ? ", signed" : "");
}

static bool put_script(struct work *work, const char *path, const struct pk_bundle *bundle,
                       const struct pk_script *script, const struct pk_report *report,
                       struct pk_error *err)
{
    PK_CLEANUP(bson_destroy) bson_t doc = BSON_INITIALIZER;
    (void)BSON_APPEND_UTF8(&doc, "path", path);
    (void)BSON_APPEND_BOOL(&doc, "ok", !has_errors(report));
    if (bundle) {
        (void)BSON_APPEND_UTF8(&doc, "contentHash", bundle->hash_text);
    }
    if (script) {
        (void)BSON_APPEND_UTF8(&doc, "kind", pk_script_kind_name(script->kind));
        (void)BSON_APPEND_UTF8(&doc, "id", script->id);
        (void)BSON_APPEND_UTF8(&doc, "version", script->version);
        (void)BSON_APPEND_BOOL(&doc, "signed", script->is_signed);
    }
    pk_report_put(report, &doc);
    pk_buf_add_text(&work->out, work->out.size ? "," : "[");
    return pk_json_write(&work->out, &doc, PK_JSON_COMPACT, err);
}

static void show_out(struct work *work)
{
    (void)fputs(pk_buf_text(&work->out), stdout);
    (void)fflush(stdout);
    if (!work->call->is_json) {
        pk_buf_clear(&work->out);
    }
}

/* False: it could not be looked at, or was not what it should be for a reason of ours. */
static bool look_at(struct work *work, const char *path, struct pk_error *err)
{
    struct pk_report report = { .folder = folder_of(work, path) };
    struct pk_bundle *bundle = NULL;
    struct pk_script *script = NULL;
    struct pk_error why = { 0 };
    bool is_ok = true;

    if (!pk_bundle_read(path, &bundle, &why)) {
        pk_report_fail(&report, &why);
    } else if (pk_loader_take(work->loader, bundle, work->kind, &script, &report, &why) &&
               !work->is_test) {
        is_ok = pk_loader_check(work->loader, script, (const char *const *)work->known.path,
                                work->known.count, &report, err);
    }
    work->failed += has_errors(&report);
    if (work->call->is_json) {
        is_ok = is_ok && put_script(work, path, bundle, script, &report, err);
    } else {
        show_script(work, path, script, &report);
        show_out(work);
    }
    pk_report_done(&report);
    pk_script_unref(script);
    pk_bundle_unref(bundle);
    return is_ok;
}

/* ---- All of them ---- */

static bool open_loader(struct work *work, struct pk_error *err)
{
    const struct pk_config *config = work->config;
    size_t count = 0;
    const char *const *key = pk_config_list(config, "scripts.keys", &count);
    uint8_t(*trusted)[32] = pk_arena_alloc(&work->call->arena, (count + 1) * sizeof(*trusted));

    for (size_t i = 0; i < count; i++) {
        if (!pk_sign_key_read(key[i], trusted[i], err)) {
            return false;
        }
    }
    work->jail = pk_jail_new(&(struct pk_jail_options){
        .workers_max = 1,
        .is_unsafe = strcmp(pk_config_text(config, "scripts.jail"), "unsafe") == 0,
    });
    if (!pk_jail_probe(work->jail, err)) {
        return false;
    }
    work->loader = pk_loader_new(&(struct pk_loader_options){
        .jail = work->jail,
        .limits_max = {
            .soft_ms = pk_config_ms(config, "scripts.limits.soft_ms"),
            .hard_ms = pk_config_ms(config, "scripts.limits.hard_ms"),
            .memory_bytes = (size_t)pk_config_bytes(config, "scripts.limits.memory"),
            .output_bytes = (uint32_t)pk_config_bytes(config, "scripts.limits.output"),
        },
        .require_signature = pk_config_bool(config, "scripts.require_signature"),
        .trusted = (const uint8_t(*)[32])trusted,
        .trusted_count = count,
    });
    return true;
}

static void say_sum(struct work *work)
{
    if (work->call->is_json) {
        pk_buf_add_text(&work->out, work->out.size ? "]\n" : "[]\n");
        show_out(work);
    } else if (work->is_test) {
        (void)printf("%zu of %zu examples passed\n", work->good, work->examples);
    } else if (work->path_count > 1) {
        (void)printf("%zu of %zu scripts are ok\n", work->path_count - work->failed,
                     work->path_count);
    }
}

static bool look_at_all(struct work *work, struct pk_error *err)
{
    if (!find_scripts(work, err) ||
        !pk_known_traits_read(&work->known, work->call, work->config, err) ||
        !open_loader(work, err)) {
        return false;
    }
    for (size_t i = 0; i < work->path_count; i++) {
        if (!look_at(work, work->path[i], err)) {
            return false;
        }
    }
    say_sum(work);
    return true;
}

static enum pk_exit run(struct pk_call *call, enum pk_script_kind kind, bool is_test,
                        struct pk_error *err)
{
    struct work work = { .call = call, .kind = kind, .is_test = is_test };
    if (!pk_call_config(call, &work.config, err)) {
        return PK_EXIT_USAGE;
    }
    const bool is_ok = look_at_all(&work, err);
    pk_loader_free(work.loader);
    pk_jail_free(work.jail);
    pk_config_free(work.config);
    pk_buf_done(&work.out);
    pk_free(work.path);
    pk_known_traits_done(&work.known);
    return is_ok && work.failed == 0 ? PK_EXIT_OK : PK_EXIT_FAILED;
}

/* ---- The commands ---- */

static const struct pk_cli_option check_option[] = {
    { "--traits", "FILE", "Trait paths that are known, one a line; others are remarked on." },
    { "--known", NULL, "Those that people have, in the store that the settings name, are known." },
};

#define CHECK_TEXT                                                                            \
    "Loads each script as the server would, in the real jail: signature, manifest, rules,\n"  \
    "examples. Beyond that it remarks on unused locals, globals, trait paths that are\n"      \
    "written in two ways, and code whose result depends on what ran before. What is wrong\n"  \
    "is shown with file, line, the line itself, and how to mend it. Needs no server; takes\n" \
    "the limits and keys that the settings name. A folder stands for all scripts in it.\n"
#define TEST_TEXT                                                                            \
    "Runs the examples that each script brings, under its own limits, and says which came\n" \
    "out, how long each took, and what came instead of what. Needs no server. A folder\n"    \
    "stands for all scripts in it.\n"

#define COMMANDS(name_, kind_, folder_)                                                 \
    static enum pk_exit run_##name_##_check(struct pk_call *call, struct pk_error *err) \
    {                                                                                   \
        return run(call, kind_, false, err);                                            \
    }                                                                                   \
    static enum pk_exit run_##name_##_test(struct pk_call *call, struct pk_error *err)  \
    {                                                                                   \
        return run(call, kind_, true, err);                                             \
    }                                                                                   \
    const struct pk_command pk_command_##name_##_check = {                              \
        .noun = #name_,                                                                 \
        .verb = "check",                                                                \
        .summary = "say whether scripts may serve, and what is wrong with them",        \
        .text = CHECK_TEXT,                                                             \
        .example = "personakit " #name_ " check " folder_,                              \
        .argument = { "PATH" },                                                         \
        .takes_many = true,                                                             \
        .option = check_option,                                                         \
        .option_count = PK_COUNT(check_option),                                         \
        .takes_settings = true,                                                         \
        .settings = "scripts.*",                                                        \
        .run = run_##name_##_check,                                                     \
    };                                                                                  \
    const struct pk_command pk_command_##name_##_test = {                               \
        .noun = #name_,                                                                 \
        .verb = "test",                                                                 \
        .summary = "run the examples that scripts bring",                               \
        .text = TEST_TEXT,                                                              \
        .example = "personakit " #name_ " test " folder_,                               \
        .argument = { "PATH" },                                                         \
        .takes_many = true,                                                             \
        .takes_settings = true,                                                         \
        .settings = "scripts.*",                                                        \
        .run = run_##name_##_test,                                                      \
    }

COMMANDS(mapper, PK_SCRIPT_MAPPER, "mappers/daily-work-optimizer.lua");
COMMANDS(processor, PK_SCRIPT_PROCESSOR, "plugins/processors");
COMMANDS(condition, PK_SCRIPT_CONDITION, "conditions");
