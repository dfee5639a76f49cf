/* registry_change.c - Every change of a version: read, decide, write; with audit row and event.
 *
 *     draft        insert                                          (or it is there already)
 *     activate     the active one becomes a draft, this one active; its content is not barred
 *     roll back    the same to the version before; the content of the present one is barred
 *     deprecate    this version never again
 *     lift         the bar goes
 *
 * A canary is a field of the active version (registry_canary.c): whatever makes
 * another the active one, or none, ends it.
 *
 * Each is one list. The unique index 'one_active' and the versions that are
 * replaced make sure that of two nodes which change the same one decides anew,
 * on what the other has written. That a content is not barred is expected in
 * the list, so a bar that is set meanwhile wins, too. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "doc/doc.h"
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { REASON_MAX = 1000, BUILD_DIGITS = 8 };

const struct pk_books *change_books(const struct registry_change *change)
{
    return change->registry->options.books;
}

int64_t change_now(const struct registry_change *change)
{
    return pk_clock_wall_ms(change_books(change)->clock);
}

/* ---- What every change has ---- */

/* "mapper.activated" in both rows. */
void change_note(struct registry_change *change, struct pk_writes *list, const char *what,
                 const struct pk_fact *fact)
{
    const struct registry_home *home = registry_home(change->kind);
    PK_CLEANUP(pk_freep) char *type = pk_strdupf("%s.%s", home->events, what);
    const struct pk_audit audit = {
        .action = type, .target_type = home->collection, .target_id = change->id, .fact = fact
    };
    const struct pk_news news = {
        .type = type, .entity_type = home->entity_type, .entity_id = change->id, .fact = fact
    };
    pk_audit_add(list, change_books(change), change->by, &audit);
    pk_news_add(list, change_books(change), &news);
    change->what = what;
}

bool change_settle(struct registry_change *change, struct pk_writes *list, struct pk_doc *doc,
                   struct pk_error *err)
{
    const struct pk_by *by = change->by;
    pk_doc_unref(change->result);
    change->result = pk_doc_ref(doc);
    return !by->complete || by->complete(by->context, list, doc, err);
}

/* The document of write 'at' as it will be stored. */
static struct pk_doc *versioned(struct pk_writes *list, size_t at, const struct pk_doc *doc)
{
    bson_t view;
    pk_doc_view(doc, &view);
    return pk_doc_new_versioned(&view, pk_writes_version(list, at));
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct registry_change *change = context;
    change->what = NULL;
    return change->decide(change, list, err);
}

bool change_run(struct registry_change *change, struct pk_doc **out, struct pk_error *err)
{
    const bool ok = pk_by_decide(change->by, change->registry->options.books, decide, change, err);
    if (ok && out) {
        *out = change->result ? pk_doc_ref(change->result) : NULL;
    }
    pk_doc_unref(change->result);
    change->result = NULL;
    return ok;
}

bool change_find_version(struct registry_change *change, const char *version, struct pk_doc **out,
                         struct pk_error *err)
{
    return registry_find_version(change->registry, change->kind, change->id, version,
                                 change->by->deadline_ns, out, err);
}

bool change_find_active(struct registry_change *change, struct pk_doc **out, struct pk_error *err)
{
    return registry_find_active(change->registry, change->kind, change->id, change->by->deadline_ns,
                                out, err);
}

/* Replaces a version by what it becomes; returns the document as it will be stored. */
struct pk_doc *change_replace(struct registry_change *change, struct pk_writes *list,
                              const struct pk_doc *old, struct registry_edit edit)
{
    edit.actor_id = change->by->actor_id;
    edit.now_ms = change_now(change);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = registry_doc_edit(old, &edit);
    if (!edit.canary && pk_doc_text(old, "canary.version")) {
        canary_note_end(change, list, old);
    }
    const size_t at = list->count;
    pk_writes_replace(list, registry_home(change->kind)->collection, doc, pk_doc_version(old));
    return versioned(list, at, doc);
}

bool change_has_status(const struct pk_doc *doc, const char *status)
{
    const char *text = pk_doc_text(doc, "status");
    return text && strcmp(text, status) == 0;
}

/* ---- Drafts ---- */

/* "1.2.0+<first 8 digits of its hash>", behind a build that is there already with a dot. */
static bool rename_version(const struct pk_script *script, char out[PK_SCRIPT_VERSION],
                           struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *made = pk_strdupf("%s%c%.*s", script->version, strchr(script->version, '+') ? '.' : '+',
                            BUILD_DIGITS, script->bundle->hash_text);
    struct pk_semver parsed;
    const size_t size = strlen(made);
    if (size >= PK_SCRIPT_VERSION || !pk_semver_parse(made, size, &parsed)) {
        return pk_fail_field(err, PK_INVALID, "version", "shorten the version in the script",
                             "version %s leaves no room for a hash", script->version);
    }
    memcpy(out, made, size + 1);
    return true;
}

/* The version that this content has: its own, or the renamed one when that is taken. '*out_there'
 * is the document that has it already, or NULL. */
static bool pick_version(struct registry_change *change, char out[PK_SCRIPT_VERSION],
                         struct pk_doc **out_there, struct pk_error *err)
{
    (void)snprintf(out, PK_SCRIPT_VERSION, "%s", change->script->version);
    for (int i = 0; i < 2; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *there = NULL;
        if (!change_find_version(change, out, &there, err)) {
            return false;
        }
        const char *hash = there ? pk_doc_text(there, "contentHash") : NULL;
        if (!there || (hash && strcmp(hash, change->script->bundle->hash_text) == 0)) {
            *out_there = there;
            there = NULL;
            return true;
        }
        if (change->rule == PK_DRAFT_STRICT || i > 0) {
            break;
        }
        if (!rename_version(change->script, out, err)) {
            return false;
        }
    }
    return pk_fail_field(err, PK_CONFLICT, "version", "raise the version in the script",
                         "version %s is there with other content", out);
}

/* Processors and conditions share their ids. */
static bool check_kind(struct registry_change *change, struct pk_error *err)
{
    for (int i = PK_SCRIPT_PROCESSOR; i <= PK_SCRIPT_CONDITION; i++) {
        const enum pk_script_kind other = (enum pk_script_kind)i;
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
        if (change->kind == PK_SCRIPT_MAPPER || other == change->kind) {
            continue;
        }
        if (!registry_find_newest(change->registry, other, change->id, change->by->deadline_ns,
                                  &doc, err)) {
            return false;
        }
        if (doc) {
            return pk_fail_field(err, PK_CONFLICT, "id", "choose another id",
                                 "'%s' is the id of a %s", change->id, pk_script_kind_name(other));
        }
    }
    return true;
}

static bool decide_draft(struct registry_change *change, struct pk_writes *list,
                         struct pk_error *err)
{
    const struct pk_script *script = change->script;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *there = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *other = NULL;
    char version[PK_SCRIPT_VERSION];

    if (!check_kind(change, err) || !pick_version(change, version, &there, err)) {
        return false;
    }
    if (there) {
        return change_settle(change, list, there, err);
    }
    if (!registry_find_newest(change->registry, change->kind, change->id, change->by->deadline_ns,
                              &other, err)) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc =
        registry_doc_new(script, version, change->by->actor_id, change_now(change));
    const struct pk_fact fact[] = { { "version", version },
                                    { "contentHash", script->bundle->hash_text },
                                    { "kind", pk_script_kind_name(script->kind) },
                                    { NULL, NULL } };
    pk_writes_insert(list, registry_home(change->kind)->collection, doc);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = versioned(list, 0, doc);
    change_note(change, list, other ? "updated" : "created", fact);
    return change_settle(change, list, stored, err);
}

static bool check_id(const struct pk_script *script, const char *id, struct pk_error *err)
{
    if (id && strcmp(script->id, id) != 0) {
        return pk_fail_field(err, PK_INVALID, "id", "use the id that the script has",
                             "the script calls itself '%s', not '%.64s'", script->id, id);
    }
    return true;
}

/* The documents are alike but for the version, so one is checked for all. */
static bool check_doc(const struct pk_registry *registry, const struct pk_script *script,
                      const struct pk_by *by, struct pk_report *report, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = registry_doc_new(script, script->version, by->actor_id,
                                          pk_clock_wall_ms(registry->options.books->clock));
    return registry_doc_check(script, doc, report, err);
}

static void script_unrefp(struct pk_script **script)
{
    pk_script_unref(*script);
}

/* An author who uploads wants to hear of every example; a file that lies there at each start was
 * heard of when it was saved. */
static bool take_in(struct pk_registry *registry, struct pk_bundle *bundle,
                    enum pk_script_kind kind, enum pk_draft_rule rule, struct pk_script **out,
                    struct pk_report *report, struct pk_error *err)
{
    struct pk_loader *loader = registry->options.loader;
    return rule == PK_DRAFT_RENAME ? pk_loader_take_again(loader, bundle, kind, out, report, err)
                                   : pk_loader_take(loader, bundle, kind, out, report, err);
}

bool pk_registry_draft(struct pk_registry *registry, const struct pk_by *by,
                       struct pk_bundle *bundle, enum pk_script_kind kind, const char *id,
                       enum pk_draft_rule rule, struct pk_doc **out, struct pk_report *report,
                       struct pk_error *err)
{
    PK_CLEANUP(script_unrefp) struct pk_script *script = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;

    if (!take_in(registry, bundle, kind, rule, &script, report, err) ||
        !check_id(script, id, err) || !check_doc(registry, script, by, report, err)) {
        return pk_wrap(err, "take in the script");
    }
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = script->kind,
                                      .id = script->id,
                                      .script = script,
                                      .rule = rule,
                                      .decide = decide_draft };
    if (!change_run(&change, &doc, err)) {
        return false;
    }
    /* Nobody else has it yet. */
    (void)snprintf(script->version, sizeof(script->version), "%s", pk_doc_text(doc, "version"));
    registry_keep(registry, script);
    if (out) {
        *out = doc;
        doc = NULL;
    }
    return true;
}

/* ---- Activation ---- */

bool change_check_bar(struct registry_change *change, const struct pk_doc *doc,
                      struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *bar = NULL;
    const char *hash = pk_doc_text(doc, "contentHash");
    if (!registry_find_bar(change->registry, hash, change->by->deadline_ns, &bar, err)) {
        return false;
    }
    if (bar) {
        const char *reason = pk_doc_text(bar, "reason");
        return pk_fail(err, PK_CONFLICT,
                       "upload a version that mends it, or have an operator lift the bar",
                       "its content is barred: %.150s", reason ? reason : "it was rolled back");
    }
    pk_writes_expect_absent(list, "script_state", hash);
    return true;
}

static bool decide_active(struct registry_change *change, struct pk_writes *list,
                          struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;

    if (!change_find_version(change, change->version, &doc, err)) {
        return false;
    }
    if (!doc) {
        return registry_fail_missing(change->kind, change->version, err);
    }
    if (change_has_status(doc, "active")) {
        return change_settle(change, list, doc, err);
    }
    if (change_has_status(doc, "deprecated")) {
        return pk_fail(err, PK_CONFLICT, "upload it as a new version", "version %s is deprecated",
                       change->version);
    }
    if (!change_find_active(change, &old, err)) {
        return false;
    }
    const char *previous = old ? pk_doc_text(old, "version") : NULL;
    if (old) {
        pk_doc_unref(
            change_replace(change, list, old, (struct registry_edit){ .status = "draft" }));
    }
    stored = change_replace(
        change, list, doc,
        (struct registry_edit){ .status = "active", .previous = previous, .is_activated = true });
    const struct pk_fact fact[] = { { "version", change->version },
                                    { "previousVersion", previous },
                                    { "contentHash", pk_doc_text(doc, "contentHash") },
                                    { "kind", pk_script_kind_name(change->kind) },
                                    { NULL, NULL } };
    change_note(change, list, "activated", fact);
    return change_check_bar(change, doc, list, err) && change_settle(change, list, stored, err);
}

/* Loads a version unless it has been taken in lately. '*took_ns': of its examples. */
bool change_load(struct pk_registry *registry, const struct pk_by *by, enum pk_script_kind kind,
                 const char *id, const char *version, struct pk_report *report, int64_t *took_ns,
                 struct pk_error *err)
{
    const struct pk_clock *clock = registry->options.books->clock;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(script_unrefp) struct pk_script *script = NULL;

    if (!registry_find_version(registry, kind, id, version, by->deadline_ns, &doc, err)) {
        return false;
    }
    if (!doc) {
        return registry_fail_missing(kind, version, err);
    }
    script = registry_taken(registry, kind, pk_doc_text(doc, "contentHash"));
    if (script) {
        return true;
    }
    const int64_t from_ns = pk_clock_mono_ns(clock);
    if (!registry_doc_load(registry, doc, &script, report, err)) {
        return pk_wrap(err, "take in the script");
    }
    *took_ns = script->examples ? pk_clock_mono_ns(clock) - from_ns : 0;
    registry_keep(registry, script);
    return true;
}

/* Whoever asks gets the generation that his change is in, on this node. That it could not be read
 * is no failure of the change: the thread goes on trying. */
void change_apply(struct pk_registry *registry, int64_t from_ns, int64_t examples_ns,
                  struct pk_activation *out)
{
    enum { ALIVE_MAX = 256, NS = 1000000 };
    struct pk_generation_info *info = pk_calloc(ALIVE_MAX, sizeof(*info));
    struct pk_activation made = { .examples_ms = examples_ns / NS };
    struct pk_error err = { 0 };

    if (!pk_registry_refresh(registry, &err)) {
        pk_log_warn(registry->options.log, "the scripts could not be read", PK_ERR(&err));
        registry_stir(registry, true);
    }
    const int64_t took_ns = pk_clock_mono_ns(registry->options.books->clock) - from_ns;
    const size_t count = pk_scripts_generations(registry->options.scripts, info, ALIVE_MAX);
    for (size_t i = 0; i < count; i++) {
        made.generation = info[i].is_serving ? info[i].number : made.generation;
        made.old_calls += info[i].is_serving ? 0 : info[i].calls;
    }
    made.took_ms = (took_ns - examples_ns) / NS;
    pk_free(info);
    if (out) {
        *out = made;
    }
}

bool pk_registry_activate(struct pk_registry *registry, const struct pk_by *by,
                          enum pk_script_kind kind, const char *id, const char *version,
                          struct pk_activation *activation, struct pk_doc **out,
                          struct pk_report *report, struct pk_error *err)
{
    const int64_t from_ns = pk_clock_mono_ns(registry->options.books->clock);
    int64_t examples_ns = 0;
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = kind,
                                      .id = id,
                                      .version = version,
                                      .decide = decide_active };
    if (!change_load(registry, by, kind, id, version, report, &examples_ns, err) ||
        !change_run(&change, out, err)) {
        return false;
    }
    change_apply(registry, from_ns, examples_ns, activation);
    return true;
}

/* ---- Rollback ---- */

bool change_add_bar(struct registry_change *change, struct pk_writes *list,
                    const struct pk_doc *active, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *bar = NULL;
    const char *hash = pk_doc_text(active, "contentHash");
    if (!registry_find_bar(change->registry, hash, change->by->deadline_ns, &bar, err)) {
        return false;
    }
    if (!bar) {
        bar = registry_doc_bar(hash, change->id, pk_doc_text(active, "version"), change->reason,
                               change_now(change));
        pk_writes_insert(list, "script_state", bar);
    }
    return true;
}

/* '*out_active' stays NULL when there is nothing to be done: another content is active. */
static bool find_culprit(struct registry_change *change, struct pk_writes *list,
                         struct pk_doc **out_active, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *any = NULL;
    if (!change_find_active(change, &active, err)) {
        return false;
    }
    const char *hash = active ? pk_doc_text(active, "contentHash") : NULL;
    if (change->hash && (!hash || strcmp(hash, change->hash) != 0)) {
        return !active || change_settle(change, list, active, err);
    }
    if (active) {
        *out_active = active;
        active = NULL;
        return true;
    }
    if (!registry_find_newest(change->registry, change->kind, change->id, change->by->deadline_ns,
                              &any, err)) {
        return false;
    }
    return any ? pk_fail(err, PK_CONFLICT, "activate the version that you want",
                         "no version of '%s' is active", change->id)
               : registry_fail_missing(change->kind, NULL, err);
}

static bool decide_back(struct registry_change *change, struct pk_writes *list,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;

    if (!find_culprit(change, list, &active, err)) {
        return false;
    }
    if (!active) {
        return true;
    }
    if (!registry_find_before(change->registry, active, change->by->deadline_ns, &before, err)) {
        return false;
    }
    if (!before) {
        return pk_fail(
            err, PK_CONFLICT, "activate the version that you want, or deprecate this one",
            "no version of '%s' before %s may run", change->id, pk_doc_text(active, "version"));
    }
    const struct pk_fact fact[] = { { "version", pk_doc_text(before, "version") },
                                    { "from", pk_doc_text(active, "version") },
                                    { "contentHash", pk_doc_text(active, "contentHash") },
                                    { "kind", pk_script_kind_name(change->kind) },
                                    { "reason", change->reason },
                                    { NULL, NULL } };
    pk_doc_unref(change_replace(change, list, active, (struct registry_edit){ .status = "draft" }));
    stored = change_replace(change, list, before,
                            (struct registry_edit){ .status = "active", .is_activated = true });
    change_note(change, list, "rolled_back", fact);
    pk_writes_expect_absent(list, "script_state", pk_doc_text(before, "contentHash"));
    return change_add_bar(change, list, active, err) && change_settle(change, list, stored, err);
}

/* At most REASON_MAX bytes, whole characters. */
char *change_cut_reason(const char *reason)
{
    size_t size = strnlen(reason, REASON_MAX);
    while (size > 0 && reason[size] && ((unsigned char)reason[size] & 0xc0) == 0x80) {
        size--;
    }
    return pk_strndup(reason, size);
}

bool registry_roll_back(struct pk_registry *registry, const struct pk_by *by,
                        enum pk_script_kind kind, const char *id, const char *hash_text,
                        const char *reason, struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep)
    char *why = change_cut_reason(reason && *reason ? reason : "it was rolled back");
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = kind,
                                      .id = id,
                                      .hash = hash_text,
                                      .reason = why,
                                      .decide = decide_back };
    if (!change_run(&change, out, err)) {
        return false;
    }
    if (change.what) {
        pk_log_warn(registry->options.log, "script rolled back",
                    PK_STR("kind", pk_script_kind_name(kind)), PK_STR("id", id),
                    PK_STR("by", by->actor_id), PK_STR("reason", why));
    }
    return true;
}

bool pk_registry_rollback(struct pk_registry *registry, const struct pk_by *by,
                          enum pk_script_kind kind, const char *id, const char *reason,
                          struct pk_activation *activation, struct pk_doc **out,
                          struct pk_error *err)
{
    const int64_t from_ns = pk_clock_mono_ns(registry->options.books->clock);
    if (!registry_roll_back(registry, by, kind, id, NULL, reason, out, err)) {
        return false;
    }
    change_apply(registry, from_ns, 0, activation);
    return true;
}

/* ---- Deprecation ---- */

static bool decide_deprecated(struct registry_change *change, struct pk_writes *list,
                              struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;

    if (!change_find_version(change, change->version, &doc, err)) {
        return false;
    }
    if (!doc) {
        return registry_fail_missing(change->kind, change->version, err);
    }
    if (change_has_status(doc, "deprecated")) {
        return change_settle(change, list, doc, err);
    }
    const struct pk_fact fact[] = { { "version", change->version },
                                    { "contentHash", pk_doc_text(doc, "contentHash") },
                                    { "kind", pk_script_kind_name(change->kind) },
                                    { "was", pk_doc_text(doc, "status") },
                                    { NULL, NULL } };
    stored = change_replace(change, list, doc, (struct registry_edit){ .status = "deprecated" });
    change_note(change, list, "deprecated", fact);
    return canary_end_of(change, list, change->version, err) &&
           change_settle(change, list, stored, err);
}

static bool deprecate_one(struct pk_registry *registry, const struct pk_by *by,
                          enum pk_script_kind kind, const char *id, const char *version,
                          struct pk_doc **out, struct pk_error *err)
{
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = kind,
                                      .id = id,
                                      .version = version,
                                      .decide = decide_deprecated };
    return change_run(&change, out, err);
}

/* The active one first, so that nothing of it serves while the others follow. */
static bool deprecate_all(struct pk_registry *registry, const struct pk_by *by,
                          enum pk_script_kind kind, const char *id, struct pk_doc **out,
                          struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *first = NULL;
    PK_CLEANUP(pk_freep) char *next = NULL;
    if (!pk_registry_get(registry, kind, id, NULL, &first, err) ||
        !deprecate_one(registry, by, kind, id, pk_doc_text(first, "version"), out, err)) {
        return false;
    }
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        if (!pk_registry_list(registry, kind, id, 0, next, &page, err)) {
            return false;
        }
        for (size_t i = 0; i < page.count; i++) {
            if (!change_has_status(page.doc[i], "deprecated") &&
                !deprecate_one(registry, by, kind, id, pk_doc_text(page.doc[i], "version"), NULL,
                               err)) {
                return false;
            }
        }
        pk_free(next);
        next = page.next;
        page.next = NULL;
    } while (next);
    return true;
}

bool pk_registry_deprecate(struct pk_registry *registry, const struct pk_by *by,
                           enum pk_script_kind kind, const char *id, const char *version,
                           struct pk_doc **out, struct pk_error *err)
{
    const int64_t from_ns = pk_clock_mono_ns(registry->options.books->clock);
    if (version ? !deprecate_one(registry, by, kind, id, version, out, err)
                : !deprecate_all(registry, by, kind, id, out, err)) {
        return false;
    }
    registry_doubt_before(registry);
    change_apply(registry, from_ns, 0, NULL);
    return true;
}

/* ---- Lifting ---- */

static bool decide_lift(struct registry_change *change, struct pk_writes *list,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *bar = NULL;
    if (!registry_find_bar(change->registry, change->hash, change->by->deadline_ns, &bar, err)) {
        return false;
    }
    if (!bar && !change->is_known) {
        return pk_fail(err, PK_NOT_FOUND, "'generations' lists what is barred and quarantined",
                       "nothing of this content hash is barred, and nothing of it serves");
    }
    const struct pk_fact fact[] = { { "contentHash", change->hash },
                                    { "scriptId", bar ? pk_doc_text(bar, "scriptId") : NULL },
                                    { NULL, NULL } };
    const struct pk_audit audit = { .action = "script.lifted",
                                    .target_type = "script_state",
                                    .target_id = change->hash,
                                    .fact = fact };
    const struct pk_news news = {
        .type = "script.lifted", .entity_type = "script", .entity_id = change->hash, .fact = fact
    };
    if (bar) {
        pk_writes_delete(list, "script_state", change->hash, pk_doc_version(bar));
    }
    pk_audit_add(list, change_books(change), change->by, &audit);
    pk_news_add(list, change_books(change), &news);
    return true;
}

static bool is_hash_of(const struct pk_script *script, const char *hash_text)
{
    return script && strcmp(script->bundle->hash_text, hash_text) == 0;
}

/* It serves here, or stands behind one that does. */
static bool does_serve(struct pk_registry *registry, const char *hash_text)
{
    bool found = false;
    (void)pthread_mutex_lock(&registry->refreshing);
    for (size_t i = 0; i < registry->entry_count && !found; i++) {
        found = is_hash_of(registry->entry[i].script, hash_text) ||
                is_hash_of(registry->entry[i].before, hash_text) ||
                is_hash_of(registry->entry[i].canary, hash_text);
    }
    (void)pthread_mutex_unlock(&registry->refreshing);
    return found;
}

bool pk_registry_lift(struct pk_registry *registry, const struct pk_by *by, const char *hash_text,
                      struct pk_error *err)
{
    uint8_t hash[PK_HASH_BYTES];
    if (!registry_unhex(hash_text, hash)) {
        return pk_fail(err, PK_NOT_FOUND, "a content hash has 64 hexadecimal digits",
                       "'%.64s' is no content hash", hash_text);
    }
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .hash = hash_text,
                                      .is_known = does_serve(registry, hash_text),
                                      .decide = decide_lift };
    if (!change_run(&change, NULL, err)) {
        return false;
    }
    (void)pk_scripts_lift(registry->options.scripts, hash);
    return true;
}
