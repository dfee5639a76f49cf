/* scripting.c - From settings to scripts that serve, and files that are taken when they are saved.
 *
 * A saved file goes the way of an upload: a draft, checked in the real jail,
 * then activated; its author sees in the log what came of it. A few threads do
 * that (script/takers.h), so that a file whose script does not end keeps no
 * other waiting. What is active is what the store says, so a server without watched folders serves
 * the same scripts. */
/* SPDX-License-Identifier: MIT */
#include "cli/scripting.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"
#include "persona/registry.h"
#include "script/folders.h"
#include "script/sign.h"
#include "script/takers.h"

#include <string.h>

enum { FILE_MS = 10 * 1000 };

static bool open_jail(struct pk_scripting *scripting, struct pk_error *err)
{
    const struct pk_config *config = scripting->config;
    const struct pk_jail_options options = {
        .clock = scripting->books->clock,
        .workers_max = (size_t)pk_config_int(config, "scripts.workers"),
        .memory_total_bytes = (size_t)pk_config_bytes(config, "scripts.memory_total"),
        .is_unsafe = strcmp(pk_config_text(config, "scripts.jail"), "unsafe") == 0,
    };
    scripting->jail = pk_jail_new(&options);
    if (!pk_jail_probe(scripting->jail, err)) {
        return pk_wrap(err, "start a script worker");
    }
    if (pk_jail_is_open(scripting->jail)) {
        pk_log_warn(scripting->log, "UNSAFE: scripts run without their lockdown",
                    PK_STR("setting", "scripts.jail"));
    }
    return true;
}

static bool open_loader(struct pk_scripting *scripting, struct pk_error *err)
{
    const struct pk_config *config = scripting->config;
    size_t count = 0;
    const char *const *key = pk_config_list(config, "scripts.keys", &count);
    uint8_t(*trusted)[PK_SIGN_KEY] = pk_calloc(count, sizeof(*trusted));
    PK_CLEANUP(pk_freep) char *known = pk_strdupf("%s/known", pk_config_text(config, "data"));
    bool is_ok = true;

    for (size_t i = 0; i < count && is_ok; i++) {
        is_ok = pk_sign_key_read(key[i], trusted[i], err);
    }
    if (is_ok) {
        scripting->loader = pk_loader_new(&(struct pk_loader_options){
            .jail = scripting->jail,
            .limits_max = { .soft_ms = pk_config_ms(config, "scripts.limits.soft_ms"),
                            .hard_ms = pk_config_ms(config, "scripts.limits.hard_ms"),
                            .memory_bytes =
                                (size_t)pk_config_bytes(config, "scripts.limits.memory"),
                            .output_bytes =
                                (uint32_t)pk_config_bytes(config, "scripts.limits.output") },
            .require_signature = pk_config_bool(config, "scripts.require_signature"),
            .trusted = (const uint8_t(*)[PK_SIGN_KEY])trusted,
            .trusted_count = count,
            .known_folder = known,
        });
    }
    pk_free(trusted);
    return is_ok;
}

/* The scripts are made before the registry that hears of their failures. */
static void hear_doubt(void *context, const struct pk_script *script, const char *reason)
{
    const struct pk_scripting *scripting = context;
    pk_registry_doubt(scripting->registry, script, reason);
}

bool pk_scripting_start(struct pk_scripting *scripting, const struct pk_config *config,
                        const struct pk_books *books, struct pk_log *log, struct pk_error *err)
{
    *scripting = (struct pk_scripting){ .config = config, .books = books, .log = log };
    if (!open_jail(scripting, err) || !open_loader(scripting, err)) {
        return false;
    }
    scripting->scripts = pk_scripts_new(&(struct pk_scripts_options){ .clock = books->clock,
                                                                      .log = log,
                                                                      .jail = scripting->jail,
                                                                      .doubt = hear_doubt,
                                                                      .context = scripting });
    scripting->registry = pk_registry_new(&(struct pk_registry_options){
        .books = books, .loader = scripting->loader, .scripts = scripting->scripts, .log = log });
    return pk_registry_refresh(scripting->registry, err) &&
           pk_registry_start(scripting->registry, err);
}

/* ---- Saved files ---- */

/* The file, with what was found in it: to the log, and to those who ask what serves. */
static void say_refused(const struct pk_scripting *scripting, const char *path,
                        const struct pk_report *report, const struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    pk_report_print(report, &text);
    pk_log_warn(scripting->log, "saved script refused: the one before it serves",
                PK_STR("path", path), PK_ERR(err), PK_STR("report", pk_buf_text(&text)));
    if (text.size == 0) {
        pk_buf_add_text(&text, err->message);
    }
    pk_registry_refuse_file(scripting->registry, path, pk_buf_text(&text));
}

/* Without a bundle: what became of the file. */
static void say_unread(const struct pk_scripting *scripting, const char *path,
                       const struct pk_error *why)
{
    if (why) {
        pk_log_warn(scripting->log, "saved script not read: the one before it serves",
                    PK_STR("path", path), PK_ERR(why));
    } else {
        pk_log_info(scripting->log, "script file has gone: what it activated goes on serving",
                    PK_STR("path", path));
    }
    pk_registry_refuse_file(scripting->registry, path, why ? why->message : NULL);
}

/* What was active once and is not any more has been replaced, and a start takes nothing back. */
static bool is_of_old(const struct pk_doc *version)
{
    const char *status = pk_doc_text(version, "status");
    return status && strcmp(status, "active") != 0 && pk_doc_date(version, "activatedAt", 0) != 0;
}

static bool take(struct pk_scripting *scripting, const char *path, struct pk_bundle *bundle,
                 bool is_saved, struct pk_report *report, struct pk_error *err)
{
    const struct pk_by by = { .actor_id = "personakit",
                              .deadline_ns = pk_deadline_in_ms(scripting->books->clock, FILE_MS) };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *draft = NULL;
    struct pk_activation activation = { 0 };

    if (!pk_registry_draft(scripting->registry, &by, bundle, PK_SCRIPT_ANY, NULL, PK_DRAFT_RENAME,
                           &draft, report, err)) {
        return false;
    }
    pk_report_done(report);
    const bool is_mapper = pk_doc_text(draft, "mapperId") != NULL;
    const char *id = pk_doc_text(draft, is_mapper ? "mapperId" : "scriptId");
    const char *version = pk_doc_text(draft, "version");
    if (!is_saved && is_of_old(draft)) {
        pk_log_info(scripting->log,
                    "script file is not what is active: save it again, or activate it",
                    PK_STR("path", path), PK_STR("script", id), PK_STR("version", version));
        return true;
    }
    const enum pk_script_kind kind =
        is_mapper ? PK_SCRIPT_MAPPER : pk_script_kind_find(pk_doc_text(draft, "kind"));
    if (!pk_registry_activate(scripting->registry, &by, kind, id, version, &activation, NULL,
                              report, err)) {
        return false;
    }
    pk_log_debug(scripting->log, "saved script serves", PK_STR("path", path), PK_STR("script", id),
                 PK_STR("version", version), PK_NUM("generation", activation.generation));
    return true;
}

static void take_bundle(struct pk_scripting *scripting, const char *path, struct pk_bundle *bundle,
                        bool is_saved)
{
    struct pk_report report = { 0 };
    struct pk_error err = { 0 };
    if (take(scripting, path, bundle, is_saved, &report, &err)) {
        pk_registry_refuse_file(scripting->registry, path, NULL);
    } else {
        say_refused(scripting, path, &report, &err);
    }
    pk_report_done(&report);
}

/* On a thread of the takers. */
static void take_one(void *context, const struct pk_taking *taking)
{
    if (taking->bundle) {
        take_bundle(context, taking->path, taking->bundle, taking->is_saved);
    } else {
        say_unread(context, taking->path, taking->why);
    }
}

static void hear_saved(void *context, const char *path, struct pk_bundle *bundle,
                       const struct pk_error *why)
{
    const struct pk_scripting *scripting = context;
    pk_takers_add(scripting->takers, &(struct pk_taking){ path, bundle, why, true });
}

/* It was saved while no server watched, or long ago. */
static void hear_found(void *context, const char *path, struct pk_bundle *bundle,
                       const struct pk_error *why)
{
    const struct pk_scripting *scripting = context;
    pk_takers_add(scripting->takers, &(struct pk_taking){ path, bundle, why, false });
}

bool pk_scripting_watch(struct pk_scripting *scripting, struct pk_error *err)
{
    size_t count = 0;
    const char *const *folder = pk_config_list(scripting->config, "scripts.folders", &count);
    if (!pk_config_bool(scripting->config, "scripts.watch") || count == 0) {
        return true;
    }
    const char **list = pk_calloc(count + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        list[i] = folder[i];
    }
    scripting->takers = pk_takers_new(take_one, scripting);
    scripting->folders = pk_folders_new(&(struct pk_folders_options){ .folder = list,
                                                                      .log = scripting->log,
                                                                      .taken = hear_saved,
                                                                      .found = hear_found,
                                                                      .context = scripting },
                                        err);
    pk_free(list);
    return scripting->folders != NULL;
}

void pk_scripting_quiet(struct pk_scripting *scripting)
{
    pk_folders_free(scripting->folders);
    scripting->folders = NULL;
    pk_takers_free(scripting->takers);
    scripting->takers = NULL;
    pk_registry_stop(scripting->registry);
}

void pk_scripting_stop(struct pk_scripting *scripting)
{
    pk_scripting_quiet(scripting);
    pk_registry_free(scripting->registry);
    pk_scripts_free(scripting->scripts);
    pk_loader_free(scripting->loader);
    pk_jail_free(scripting->jail);
}
