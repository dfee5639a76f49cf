/* registry_refresh.c - From what is active in the store to the generation that serves here.
 *
 *     active in the store ── same content as now? ── yes ──▶ it stays, with its counts
 *                                 │ no
 *                            load it anew ── refused ──▶ the one that serves now stays,
 *                                 │                      and 'refused' says why
 *                                 ▼
 *                 with the version before it, if that may run ──▶ publish, if anything is new
 *
 * One refresh runs at a time, and reads after it has its turn: so who has
 * committed a change and then refreshes has it in the generation afterwards. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

struct seen {
    enum pk_script_kind kind;
    char id[PK_SCRIPT_ID];
};

/* A generation in the making. */
struct plan {
    struct pk_registry *registry;
    bool is_thorough;
    struct pk_scripts_entry *entry;
    size_t count, room;
    struct seen *seen; /* All that are active, also those that were refused. */
    size_t seen_count, seen_room;
    bool must_again; /* Something could not be loaded, and it was not the script's fault. */
};

static void entry_done(struct pk_scripts_entry *entry)
{
    pk_script_unref(entry->script);
    pk_script_unref(entry->before);
}

static void plan_done(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        entry_done(&plan->entry[i]);
    }
    pk_free(plan->entry);
    pk_free(plan->seen);
}

static void plan_see(struct plan *plan, enum pk_script_kind kind, const char *id)
{
    if (plan->seen_count == plan->seen_room) {
        plan->seen_room = plan->seen_room ? 2 * plan->seen_room : 16;
        plan->seen = pk_realloc(plan->seen, plan->seen_room * sizeof(*plan->seen));
    }
    plan->seen[plan->seen_count].kind = kind;
    (void)snprintf(plan->seen[plan->seen_count++].id, PK_SCRIPT_ID, "%s", id);
}

/* A script that is active nowhere any more has no candidate. */
static bool is_seen(const void *context, const struct pk_refused *refused)
{
    const struct plan *plan = context;
    for (size_t i = 0; i < plan->seen_count; i++) {
        if (plan->seen[i].kind == refused->kind && strcmp(plan->seen[i].id, refused->id) == 0) {
            return true;
        }
    }
    return false;
}

static void plan_add(struct plan *plan, struct pk_script *script, struct pk_script *before,
                     int64_t since_ms)
{
    if (plan->count == plan->room) {
        plan->room = plan->room ? 2 * plan->room : 16;
        plan->entry = pk_realloc(plan->entry, plan->room * sizeof(*plan->entry));
    }
    plan->entry[plan->count++] = (struct pk_scripts_entry){ script, before, since_ms };
}

static bool is_content(const struct pk_script *script, const char *hash_text)
{
    return script && strcmp(script->bundle->hash_text, hash_text) == 0;
}

/* What a plan has under an id; NULL: nothing. */
static struct pk_scripts_entry *entry_in(const struct plan *plan, enum pk_script_kind kind,
                                         const char *id)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct pk_script *script = plan->entry[i].script;
        if (script->kind == kind && strcmp(script->id, id) == 0) {
            return &plan->entry[i];
        }
    }
    return NULL;
}

/* The same of what serves now. */
static struct pk_scripts_entry *entry_of(struct pk_registry *registry, enum pk_script_kind kind,
                                         const char *id)
{
    return entry_in(&(struct plan){ .entry = registry->entry, .count = registry->entry_count },
                    kind, id);
}

/* ---- Loading ---- */

static void say_refused(struct plan *plan, const struct pk_doc *doc, const struct pk_report *report,
                        const struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf reason = { 0 };
    const enum pk_script_kind kind = registry_doc_kind(doc);
    const char *id = registry_doc_script_id(doc);
    const char *version = pk_doc_text(doc, "version");

    if (report->count > 0) {
        pk_report_print(report, &reason);
    } else {
        pk_buf_add_text(&reason, err->message);
    }
    registry_refuse(plan->registry, kind, id, version ? version : "", pk_buf_text(&reason));
    pk_log_warn(plan->registry->options.log, "script refused; the version before it serves on",
                PK_STR("kind", pk_script_kind_name(kind)), PK_STR("id", id),
                PK_STR("version", version), PK_ERR(err));
    plan->must_again = plan->must_again || err->code != PK_INVALID;
}

/* The script of a version: one that is at hand, or loaded anew; NULL: it is refused. */
static struct pk_script *take(struct plan *plan, const struct pk_doc *doc,
                              const struct pk_scripts_entry *now, bool is_said)
{
    struct pk_registry *registry = plan->registry;
    const char *hash = pk_doc_text(doc, "contentHash");
    struct pk_report report = { 0 };
    struct pk_error err = { 0 };

    if (now && is_content(now->script, hash)) {
        return pk_script_ref(now->script);
    }
    if (now && is_content(now->before, hash)) {
        return pk_script_ref(now->before);
    }
    struct pk_script *script = registry_taken(registry, registry_doc_kind(doc), hash);
    if (!script && registry_doc_load(registry, doc, &script, &report, &err)) {
        registry_keep(registry, script);
    } else if (!script && is_said) {
        say_refused(plan, doc, &report, &err);
    }
    pk_report_done(&report);
    return script;
}

/* ---- One script ---- */

/* The version that serves while 'doc' is quarantined; '*out' NULL: there is none. */
static bool take_before(struct plan *plan, const struct pk_doc *doc,
                        const struct pk_scripts_entry *now, struct pk_script **out,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    if (!registry_find_before(plan->registry, doc, 0, &before, err)) {
        return false;
    }
    *out = before ? take(plan, before, now, false) : NULL;
    return true;
}

static bool add_doc(struct plan *plan, const struct pk_doc *doc, struct pk_error *err)
{
    struct pk_registry *registry = plan->registry;
    const enum pk_script_kind kind = registry_doc_kind(doc);
    const char *hash = pk_doc_text(doc, "contentHash");
    struct pk_script *before = NULL;

    if (kind == PK_SCRIPT_ANY || !hash) {
        return true; /* A plugin: another room's. */
    }
    plan_see(plan, kind, registry_doc_script_id(doc));
    struct pk_scripts_entry *now = entry_of(registry, kind, registry_doc_script_id(doc));
    const bool is_same = now && is_content(now->script, hash);
    struct pk_script *script = take(plan, doc, now, true);
    if (!script || (is_same && !plan->is_thorough)) {
        if (now) {
            plan_add(plan, pk_script_ref(now->script),
                     now->before ? pk_script_ref(now->before) : NULL, now->since_ms);
        }
        if (is_same) {
            registry_refuse(registry, kind, now->script->id, "", NULL);
        }
        pk_script_unref(script);
        return true;
    }
    if (!take_before(plan, doc, now, &before, err)) {
        pk_script_unref(script);
        return false;
    }
    if (!is_same) {
        registry_refuse(registry, kind, script->id, script->version, NULL);
    }
    plan_add(plan, script, before, pk_doc_date(doc, "activatedAt", 0));
    return true;
}

/* ---- All of them ---- */

static bool add_collection(struct plan *plan, const char *collection, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *next = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = collection,
                                        .index = "one_active",
                                        .cursor = next };
        if (!pk_store_find(registry_store(plan->registry), &query, 0, &page, err)) {
            return pk_wrap(err, "read the active scripts");
        }
        for (size_t i = 0; i < page.count; i++) {
            if (!add_doc(plan, page.doc[i], err)) {
                return false;
            }
        }
        pk_free(next);
        next = page.next;
        page.next = NULL;
    } while (next);
    return true;
}

static bool is_as_now(const struct plan *plan)
{
    const struct pk_registry *registry = plan->registry;
    return plan->count == registry->entry_count &&
           (plan->count == 0 ||
            memcmp(plan->entry, registry->entry, plan->count * sizeof(*plan->entry)) == 0);
}

/* Of what has changed: one line each, and one for what serves no more. */
static void say_changes(const struct plan *old, const struct plan *plan, uint64_t number)
{
    struct pk_registry *registry = plan->registry;
    for (size_t i = 0; i < plan->count; i++) {
        const struct pk_script *script = plan->entry[i].script;
        const struct pk_scripts_entry *was = entry_in(old, script->kind, script->id);
        if (!was || was->script != script) {
            pk_log_info(registry->options.log, "script serves",
                        PK_STR("kind", pk_script_kind_name(script->kind)), PK_STR("id", script->id),
                        PK_STR("version", script->version),
                        PK_STR("before", was ? was->script->version : NULL),
                        PK_STR("hash", script->bundle->hash_text), PK_NUM("generation", number));
        }
    }
    for (size_t i = 0; i < old->count; i++) {
        const struct pk_script *script = old->entry[i].script;
        if (!entry_in(plan, script->kind, script->id)) {
            pk_log_info(registry->options.log, "script serves no more",
                        PK_STR("kind", pk_script_kind_name(script->kind)), PK_STR("id", script->id),
                        PK_STR("version", script->version), PK_NUM("generation", number));
        }
    }
}

static void publish(struct plan *plan)
{
    struct pk_registry *registry = plan->registry;
    struct plan old = { .entry = registry->entry, .count = registry->entry_count };
    const uint64_t number = pk_scripts_publish(registry->options.scripts, plan->entry, plan->count);

    say_changes(&old, plan, number);
    registry->entry = plan->entry;
    registry->entry_count = plan->count;
    plan->entry = NULL;
    plan->count = 0;
    plan_done(&old);
}

void registry_doubt_before(struct pk_registry *registry)
{
    (void)pthread_mutex_lock(&registry->lock);
    registry->is_thorough = true;
    (void)pthread_mutex_unlock(&registry->lock);
}

static bool take_thorough(struct pk_registry *registry)
{
    (void)pthread_mutex_lock(&registry->lock);
    const bool is_thorough = registry->is_thorough;
    registry->is_thorough = false;
    (void)pthread_mutex_unlock(&registry->lock);
    return is_thorough;
}

bool pk_registry_refresh(struct pk_registry *registry, struct pk_error *err)
{
    (void)pthread_mutex_lock(&registry->refreshing);
    struct plan plan = { .registry = registry, .is_thorough = take_thorough(registry) };
    const bool ok = add_collection(&plan, "mappers", err) && add_collection(&plan, "scripts", err);
    if (ok && !is_as_now(&plan)) {
        publish(&plan);
    }
    if (ok) {
        registry_refused_keep(registry, is_seen, &plan);
    }
    if (!ok && plan.is_thorough) {
        registry_doubt_before(registry);
    }
    plan_done(&plan);
    (void)pthread_mutex_unlock(&registry->refreshing);
    if (plan.must_again) {
        registry_stir(registry, true);
    }
    return ok;
}
