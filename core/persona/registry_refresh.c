/* registry_refresh.c - From what is active in the store to the generation that serves here.
 *
 *     active in the store ── same content as now? ── yes ──▶ it stays, with its counts
 *                                 │ no
 *                            load it anew ── refused ──▶ the one that serves now stays (at a start:
 *                                 │                      the one before it), and 'refused' says why
 *                                 ▼
 *                 with the version before it, if that may run, ──▶ publish, if anything is new
 *                 and its canary, if that loads
 *
 * What must be loaded is loaded by a few threads at once: a server that starts
 * may have many, each of which is tried in the jail when this program has not
 * done so before.
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

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { LOADERS = 4 };

/* A version that is wanted, and what came of it. */
struct wanted {
    struct pk_doc *doc; /* A reference; NULL: none is. */
    struct pk_script *script;
    struct pk_report report;
    struct pk_error err; /* Why there is no script. */
};
/* An active version, the one that serves while it is quarantined, and the one that is tried. */
struct candidate {
    struct wanted active, before, canary;
};

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
    struct candidate *candidate; /* Of all that are active. */
    size_t candidate_count, candidate_room;
    bool must_again; /* Something could not be loaded, and it was not the script's fault. */
};

static void entry_done(struct pk_scripts_entry *entry)
{
    pk_script_unref(entry->script);
    pk_script_unref(entry->before);
    pk_script_unref(entry->canary);
}

static void wanted_done(struct wanted *wanted)
{
    pk_doc_unref(wanted->doc);
    pk_script_unref(wanted->script);
    pk_report_done(&wanted->report);
}

static void plan_done(struct plan *plan)
{
    for (size_t i = 0; i < plan->candidate_count; i++) {
        wanted_done(&plan->candidate[i].active);
        wanted_done(&plan->candidate[i].before);
        wanted_done(&plan->candidate[i].canary);
    }
    pk_free(plan->candidate);
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

static struct pk_scripts_entry *plan_add(struct plan *plan, struct pk_script *script,
                                         struct pk_script *before, int64_t since_ms)
{
    if (plan->count == plan->room) {
        plan->room = plan->room ? 2 * plan->room : 16;
        plan->entry = pk_realloc(plan->entry, plan->room * sizeof(*plan->entry));
    }
    plan->entry[plan->count] =
        (struct pk_scripts_entry){ .script = script, .before = before, .since_ms = since_ms };
    return &plan->entry[plan->count++];
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

static void say_refused(struct plan *plan, const struct wanted *wanted)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf reason = { 0 };
    const struct pk_doc *doc = wanted->doc;
    const enum pk_script_kind kind = registry_doc_kind(doc);
    const char *id = registry_doc_script_id(doc);
    const char *version = pk_doc_text(doc, "version");

    if (wanted->report.count > 0) {
        pk_report_print(&wanted->report, &reason);
    } else {
        pk_buf_add_text(&reason, wanted->err.message);
    }
    registry_refuse(plan->registry, kind, id, version ? version : "", pk_buf_text(&reason));
    pk_log_warn(plan->registry->options.log, "script refused; the version before it serves on",
                PK_STR("kind", pk_script_kind_name(kind)), PK_STR("id", id),
                PK_STR("version", version), PK_ERR(&wanted->err));
    plan->must_again = plan->must_again || wanted->err.code != PK_INVALID;
}

/* A script of that content that serves, or was taken in lately; NULL: it must be loaded. */
static struct pk_script *at_hand(struct pk_registry *registry, const struct pk_doc *doc)
{
    const enum pk_script_kind kind = registry_doc_kind(doc);
    const char *hash = pk_doc_text(doc, "contentHash");
    const struct pk_scripts_entry *now = entry_of(registry, kind, registry_doc_script_id(doc));

    if (now && is_content(now->script, hash)) {
        return pk_script_ref(now->script);
    }
    if (now && is_content(now->before, hash)) {
        return pk_script_ref(now->before);
    }
    if (now && is_content(now->canary, hash)) {
        return pk_script_ref(now->canary);
    }
    return registry_taken(registry, kind, hash);
}

/* What the threads share. */
struct loading {
    struct pk_registry *registry;
    struct wanted **wanted;
    size_t count;
    _Atomic size_t next;
};

static void *load_some(void *context)
{
    struct loading *loading = context;
    size_t i;
    while ((i = atomic_fetch_add(&loading->next, 1)) < loading->count) {
        struct wanted *wanted = loading->wanted[i];
        if (registry_doc_load(loading->registry, wanted->doc, &wanted->script, &wanted->report,
                              &wanted->err)) {
            registry_keep(loading->registry, wanted->script);
        }
    }
    return NULL;
}

/* This thread is one of those that load; where no other can be made it is the only one. */
static void load_together(struct loading *loading)
{
    pthread_t thread[LOADERS - 1];
    size_t threads = 0;
    while (threads < PK_COUNT(thread) && threads + 1 < loading->count &&
           pthread_create(&thread[threads], NULL, load_some, loading) == 0) {
        threads++;
    }
    (void)load_some(loading);
    while (threads > 0) {
        (void)pthread_join(thread[--threads], NULL);
    }
}

static void want(struct loading *loading, struct wanted *wanted)
{
    if (wanted->doc) {
        wanted->script = at_hand(loading->registry, wanted->doc);
        if (!wanted->script) {
            loading->wanted[loading->count++] = wanted;
        }
    }
}

static void load_wanted(struct plan *plan)
{
    struct loading loading = { .registry = plan->registry };
    loading.wanted = pk_calloc(3 * plan->candidate_count + 1, sizeof(struct wanted *));
    for (size_t i = 0; i < plan->candidate_count; i++) {
        want(&loading, &plan->candidate[i].active);
        want(&loading, &plan->candidate[i].before);
        want(&loading, &plan->candidate[i].canary);
    }
    load_together(&loading);
    pk_free(loading.wanted);
}

/* ---- One script ---- */

/* Whether what serves now under its id has the same content. */
static bool is_served(const struct plan *plan, const struct pk_doc *doc)
{
    const struct pk_scripts_entry *now =
        entry_of(plan->registry, registry_doc_kind(doc), registry_doc_script_id(doc));
    return now && is_content(now->script, pk_doc_text(doc, "contentHash"));
}

/* The version that an active one says is tried beside it. */
static bool find_canary(struct plan *plan, struct candidate *candidate, struct pk_error *err)
{
    const struct pk_doc *doc = candidate->active.doc;
    const char *version = pk_doc_text(doc, "canary.version");
    return !version || registry_find_version(plan->registry, registry_doc_kind(doc),
                                             registry_doc_script_id(doc), version, 0,
                                             &candidate->canary.doc, err);
}

/* An active version; what stands behind it is looked up when that may have changed. */
static bool find_candidate(struct plan *plan, struct pk_doc *doc, struct pk_error *err)
{
    const enum pk_script_kind kind = registry_doc_kind(doc);
    if (kind == PK_SCRIPT_ANY || !pk_doc_text(doc, "contentHash")) {
        return true; /* A plugin: another room's. */
    }
    plan_see(plan, kind, registry_doc_script_id(doc));
    if (plan->candidate_count == plan->candidate_room) {
        plan->candidate_room = plan->candidate_room ? 2 * plan->candidate_room : 16;
        plan->candidate =
            pk_realloc(plan->candidate, plan->candidate_room * sizeof(*plan->candidate));
    }
    struct candidate *candidate = &plan->candidate[plan->candidate_count++];
    *candidate = (struct candidate){ .active.doc = pk_doc_ref(doc) };
    if (!find_canary(plan, candidate, err)) {
        return false;
    }
    return (is_served(plan, doc) && !plan->is_thorough) ||
           registry_find_before(plan->registry, doc, 0, &candidate->before.doc, err);
}

/* One that does not load serves nobody; its people get the active version. */
static void add_canary(struct plan *plan, struct candidate *candidate,
                       struct pk_scripts_entry *entry)
{
    const struct pk_doc *doc = candidate->active.doc;
    if (candidate->canary.doc && !candidate->canary.script) {
        say_refused(plan, &candidate->canary);
    } else if (candidate->canary.script && entry) {
        entry->canary = candidate->canary.script;
        entry->canary_share = pk_doc_number(doc, "canary.share", 0);
        entry->canary_since_ms = pk_doc_date(doc, "canary.startedAt", 0);
        candidate->canary.script = NULL; /* The plan's now. */
    }
}

static void add_candidate(struct plan *plan, struct candidate *candidate)
{
    struct pk_registry *registry = plan->registry;
    const struct pk_doc *doc = candidate->active.doc;
    const enum pk_script_kind kind = registry_doc_kind(doc);
    const struct pk_scripts_entry *now = entry_of(registry, kind, registry_doc_script_id(doc));
    const bool is_same = is_served(plan, doc);
    struct pk_script *script = candidate->active.script;
    struct pk_scripts_entry *entry = NULL;

    if (!script) {
        say_refused(plan, &candidate->active);
    } else {
        registry_refuse(registry, kind, registry_doc_script_id(doc), "", NULL);
    }
    if (!script && !now) { /* This node starts, and the store has a version that it cannot take. */
        if (candidate->before.script) {
            entry = plan_add(plan, candidate->before.script, NULL,
                             pk_doc_date(candidate->before.doc, "activatedAt", 0));
            candidate->before.script = NULL;
        }
    } else if (!script || (is_same && !plan->is_thorough)) {
        entry = plan_add(plan, pk_script_ref(now->script),
                         now->before ? pk_script_ref(now->before) : NULL, now->since_ms);
    } else {
        entry =
            plan_add(plan, script, candidate->before.script, pk_doc_date(doc, "activatedAt", 0));
        candidate->active.script = candidate->before.script = NULL; /* The plan's now. */
    }
    add_canary(plan, candidate, entry);
}

/* ---- All of them ---- */

static bool find_active(struct plan *plan, const char *collection, struct pk_error *err)
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
            if (!find_candidate(plan, page.doc[i], err)) {
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

/* That a version is tried now, or on another share, or no more. */
static void say_canary(const struct pk_registry *registry, const struct pk_scripts_entry *was,
                       const struct pk_scripts_entry *is, uint64_t number)
{
    const struct pk_script *before = was ? was->canary : NULL;
    if (is->canary && (before != is->canary || was->canary_share != is->canary_share)) {
        pk_log_info(registry->options.log, "canary serves", PK_STR("id", is->canary->id),
                    PK_STR("version", is->canary->version), PK_STR("beside", is->script->version),
                    PK_NUM("perMille", (int64_t)(is->canary_share * 1000 + 0.5)),
                    PK_NUM("generation", number));
    } else if (before && !is->canary) {
        pk_log_info(registry->options.log, "canary serves no more", PK_STR("id", before->id),
                    PK_STR("version", before->version), PK_NUM("generation", number));
    }
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
        say_canary(registry, was, &plan->entry[i], number);
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
    const bool ok = find_active(&plan, "mappers", err) && find_active(&plan, "scripts", err);
    if (ok) {
        load_wanted(&plan);
        for (size_t i = 0; i < plan.candidate_count; i++) {
            add_candidate(&plan, &plan.candidate[i]);
        }
    }
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
