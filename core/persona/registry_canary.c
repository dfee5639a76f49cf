/* registry_canary.c - Canaries of mappers: begun, changed, ended; with audit row and event.
 *
 *     begin      the active version gets 'canary': which version, on what share
 *     change     another share of the same version: who had it keeps it when that grows
 *     end        the field goes: by hand, because it fails too often, or with the
 *                active version
 *
 * It is a field of the active version, so there is one at most, and none
 * without a version that serves all others; whatever replaces that version
 * ends it in the same list. The version that is tried stays a draft, and the
 * list that begins expects it as it was read. Another canary while one runs
 * is refused: whoever wants that ends the first one, knowingly. One that ends
 * by itself has its content barred, as a rollback by itself does.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/registry_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "doc/doc.h"
#include "persona/canary.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARE_TEXT = 32 };

/* "0.1": as short as says it exactly, for who reads it again. */
static const char *share_text(double share, char out[SHARE_TEXT])
{
    enum { EXACT = 17 };
    for (int digits = 1; digits <= EXACT; digits++) {
        (void)snprintf(out, SHARE_TEXT, "%.*g", digits, share);
        if (strtod(out, NULL) == share) {
            break;
        }
    }
    return out;
}

static const char *canary_of(const struct pk_doc *active)
{
    return active ? pk_doc_text(active, "canary.version") : NULL;
}

static bool is_canary(const struct pk_doc *active, const char *version)
{
    const char *canary = canary_of(active);
    return canary && strcmp(canary, version) == 0;
}

/* ---- Beginning and changing ---- */

static void make_canary(const struct registry_change *change, const struct pk_doc *active,
                        bson_t *out)
{
    const bool goes_on = canary_of(active) != NULL;
    const char *by = goes_on ? pk_doc_text(active, "canary.startedBy") : NULL;
    BSON_APPEND_UTF8(out, "version", change->version);
    BSON_APPEND_DOUBLE(out, "share", change->share);
    BSON_APPEND_DATE_TIME(out, "startedAt",
                          goes_on ? pk_doc_date(active, "canary.startedAt", 0)
                                  : change_now(change));
    BSON_APPEND_UTF8(out, "startedBy", by ? by : change->by->actor_id);
}

/* What may not be tried, and why. */
static bool check_tried(const struct registry_change *change, const struct pk_doc *doc,
                        const struct pk_doc *active, struct pk_error *err)
{
    const char *other = canary_of(active);
    if (change_has_status(doc, "active")) {
        return pk_fail(err, PK_CONFLICT, "name the version that is to be tried beside it",
                       "version %s is the active one", change->version);
    }
    if (change_has_status(doc, "deprecated")) {
        return pk_fail(err, PK_CONFLICT, "upload it as a new version", "version %s is deprecated",
                       change->version);
    }
    if (!active) {
        return pk_fail(err, PK_CONFLICT, "activate a version first",
                       "no version of '%s' is active that would serve all others", change->id);
    }
    if (other && strcmp(other, change->version) != 0) {
        return pk_fail(err, PK_CONFLICT, "end that canary, or activate its version",
                       "version %s is being tried already", other);
    }
    return true;
}

static bool decide_canary(struct registry_change *change, struct pk_writes *list,
                          struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    PK_CLEANUP(bson_destroy) bson_t canary = BSON_INITIALIZER;
    char share[SHARE_TEXT], before[SHARE_TEXT];

    if (!change_find_version(change, change->version, &doc, err)) {
        return false;
    }
    if (!doc) {
        return registry_fail_missing(change->kind, change->version, err);
    }
    if (!change_find_active(change, &active, err) || !check_tried(change, doc, active, err)) {
        return false;
    }
    const bool goes_on = canary_of(active) != NULL;
    const double was = pk_doc_number(active, "canary.share", 0);
    if (goes_on && was == change->share) {
        return change_settle(change, list, active, err);
    }
    make_canary(change, active, &canary);
    stored = change_replace(change, list, active,
                            (struct registry_edit){ .status = "active", .canary = &canary });
    pk_writes_expect(list, registry_home(change->kind)->collection, pk_doc_id(doc),
                     pk_doc_version(doc));
    const struct pk_fact fact[] = { { "version", change->version },
                                    { "share", share_text(change->share, share) },
                                    { "before", goes_on ? share_text(was, before) : NULL },
                                    { "activeVersion", pk_doc_text(active, "version") },
                                    { "contentHash", pk_doc_text(doc, "contentHash") },
                                    { "kind", pk_script_kind_name(change->kind) },
                                    { NULL, NULL } };
    change_note(change, list, goes_on ? "canary_changed" : "canary_started", fact);
    return change_check_bar(change, doc, list, err) && change_settle(change, list, stored, err);
}

bool pk_registry_canary(struct pk_registry *registry, const struct pk_by *by, const char *id,
                        const char *version, double share, struct pk_activation *activation,
                        struct pk_doc **out, struct pk_report *report, struct pk_error *err)
{
    const int64_t from_ns = pk_clock_mono_ns(registry->options.books->clock);
    int64_t examples_ns = 0;
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = PK_SCRIPT_MAPPER,
                                      .id = id,
                                      .version = version,
                                      .share = share,
                                      .decide = decide_canary };
    if (!pk_canary_share_is_valid(share)) {
        return pk_fail_field(err, PK_INVALID, "share", "0.1 is every tenth person",
                             "the share must be above 0, and at most 1");
    }
    if (!change_load(registry, by, PK_SCRIPT_MAPPER, id, version, report, &examples_ns, err) ||
        !change_run(&change, out, err)) {
        return false;
    }
    change_apply(registry, from_ns, examples_ns, activation);
    return true;
}

/* ---- Ending ---- */

void canary_note_end(struct registry_change *change, struct pk_writes *list,
                     const struct pk_doc *active)
{
    char share[SHARE_TEXT];
    const char *what = change->what;
    const struct pk_fact fact[] = { { "version", canary_of(active) },
                                    { "share",
                                      share_text(pk_doc_number(active, "canary.share", 0), share) },
                                    { "activeVersion", pk_doc_text(active, "version") },
                                    { "kind", pk_script_kind_name(change->kind) },
                                    { "reason", change->reason },
                                    { NULL, NULL } };
    change_note(change, list, "canary_ended", fact);
    change->what = what ? what : change->what;
}

bool canary_end_of(struct registry_change *change, struct pk_writes *list, const char *version,
                   struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    if (change->kind != PK_SCRIPT_MAPPER) {
        return true;
    }
    if (!change_find_active(change, &active, err)) {
        return false;
    }
    if (is_canary(active, version)) {
        pk_doc_unref(
            change_replace(change, list, active, (struct registry_edit){ .status = "active" }));
    }
    return true;
}

static bool decide_end(struct registry_change *change, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    if (!change_find_active(change, &active, err)) {
        return false;
    }
    if (!is_canary(active, change->version)) {
        return pk_fail(err, PK_NOT_FOUND, "GET the mapper: 'canary' says which version is tried",
                       "version %s is not being tried on anybody", change->version);
    }
    stored = change_replace(change, list, active, (struct registry_edit){ .status = "active" });
    return change_settle(change, list, stored, err);
}

bool pk_registry_canary_end(struct pk_registry *registry, const struct pk_by *by, const char *id,
                            const char *version, const char *reason,
                            struct pk_activation *activation, struct pk_doc **out,
                            struct pk_error *err)
{
    const int64_t from_ns = pk_clock_mono_ns(registry->options.books->clock);
    PK_CLEANUP(pk_freep)
    char *why = change_cut_reason(reason && *reason ? reason : "ended by hand");
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = PK_SCRIPT_MAPPER,
                                      .id = id,
                                      .version = version,
                                      .reason = why,
                                      .decide = decide_end };
    if (!change_run(&change, out, err)) {
        return false;
    }
    change_apply(registry, from_ns, 0, activation);
    return true;
}

/* ---- Ending by itself ---- */

static bool decide_failed(struct registry_change *change, struct pk_writes *list,
                          struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *active = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tried = NULL;
    if (!change_find_active(change, &active, err)) {
        return false;
    }
    if (canary_of(active) && !change_find_version(change, canary_of(active), &tried, err)) {
        return false;
    }
    const char *hash = tried ? pk_doc_text(tried, "contentHash") : NULL;
    if (!hash || strcmp(hash, change->hash) != 0) {
        return true;
    }
    pk_doc_unref(
        change_replace(change, list, active, (struct registry_edit){ .status = "active" }));
    return change_add_bar(change, list, tried, err);
}

bool registry_end_canary(struct pk_registry *registry, const struct pk_by *by,
                         enum pk_script_kind kind, const char *id, const char *hash_text,
                         const char *reason, bool *out_ended, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *why = change_cut_reason(reason);
    struct registry_change change = { .registry = registry,
                                      .by = by,
                                      .kind = kind,
                                      .id = id,
                                      .hash = hash_text,
                                      .reason = why,
                                      .decide = decide_failed };
    *out_ended = false;
    if (kind != PK_SCRIPT_MAPPER) {
        return true;
    }
    if (!change_run(&change, NULL, err)) {
        return false;
    }
    *out_ended = change.what != NULL;
    if (*out_ended) {
        pk_log_warn(registry->options.log, "canary ended",
                    PK_STR("kind", pk_script_kind_name(kind)), PK_STR("id", id),
                    PK_STR("by", by->actor_id), PK_STR("reason", why));
    }
    return true;
}
