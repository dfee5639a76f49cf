/* observation_move.c - What waits is let in or not, by somebody; and people's own corrections.
 *
 *     pending ──approve──▶ approved ──(processing)──▶ processed
 *        └────reject─────▶ rejected
 *
 * The same decision again changes nothing. Nothing else of an observation ever
 * changes. */
/* SPDX-License-Identifier: MIT */
#include "persona/observation_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* ---- Approve, reject ---- */

struct move {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *id;
    int64_t version;         /* The caller's; 0: any. */
    const char *reason;      /* Of a rejection; NULL: it is an approval. */
    char task[PK_UUID_TEXT]; /* Of an approval; "": there was nothing to do. */
    struct pk_doc *result;
};

static bool is_one_of(const char *status, const char *a, const char *b)
{
    return strcmp(status, a) == 0 || (b && strcmp(status, b) == 0);
}

/* The observation with its new status. */
static struct pk_doc *moved(const struct move *move, const struct pk_doc *old, int64_t now_ms)
{
    bson_t view, approval;
    bson_t *bson = bson_new();
    pk_doc_view(old, &view);
    bson_copy_to_excluding_noinit(&view, bson, "processingStatus", "approvalMetadata", "updatedAt",
                                  "version", NULL);
    BSON_APPEND_UTF8(bson, "processingStatus", move->reason ? "rejected" : "approved");
    BSON_APPEND_DOCUMENT_BEGIN(bson, "approvalMetadata", &approval);
    if (move->reason) {
        BSON_APPEND_UTF8(&approval, "rejectionReason", move->reason);
    } else {
        BSON_APPEND_UTF8(&approval, "approvedBy", move->by->actor_id);
        BSON_APPEND_DATE_TIME(&approval, "approvedAt", now_ms);
    }
    bson_append_document_end(bson, &approval);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    BSON_APPEND_INT64(bson, "version", pk_doc_int(old, "version", 0) + 1);
    return pk_doc_take(bson);
}

static bool check(const struct move *move, const struct pk_doc *doc, bool *out_is_done,
                  struct pk_error *err)
{
    const char *status = pk_doc_text(doc, "processingStatus");
    if (move->version && pk_doc_version(doc) != move->version) {
        return pk_fail(err, PK_PRECONDITION, "read the observation again and decide anew",
                       "the observation has changed since it was read");
    }
    *out_is_done = move->reason ? is_one_of(status, "rejected", NULL)
                                : is_one_of(status, "approved", "processed");
    if (!*out_is_done && strcmp(status, "pending") != 0) {
        return pk_fail_field(err, PK_CONFLICT, "processingStatus",
                             move->reason ? "forget it instead" : "send it again under a new id",
                             "the observation is %s already", status);
    }
    return true;
}

static bool settle(struct move *move, struct pk_writes *list, struct pk_doc *doc,
                   struct pk_error *err)
{
    const struct pk_by *by = move->by;
    pk_doc_unref(move->result);
    move->result = pk_doc_ref(doc);
    return !by->complete || by->complete(by->context, list, doc, err);
}

static void note(struct move *move, const struct pk_doc *doc, struct pk_writes *list)
{
    const char *what = move->reason ? "observation.rejected" : "observation.approved";
    const char *person = pk_doc_text(doc, "userId");
    const struct pk_audit audit = {
        .action = what, .person = person, .target_type = "observations", .target_id = move->id
    };
    pk_audit_add(list, move->domain->books, move->by, &audit);
    if (move->reason) {
        observation_add_news(move->domain, what, move->id, person, NULL, list);
    } else {
        observation_add_task(move->domain, move->by, what, move->id, person, list, move->task);
    }
    pk_writes_expect_absent(list, "tombstones", person);
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct move *move = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    bool is_done = false;
    bson_t view;

    if (!pk_observation_get(move->domain, move->id, move->by->deadline_ns, &old, err)) {
        return false;
    }
    if (!old) {
        return pk_fail(err, PK_NOT_FOUND, "list the person's observations",
                       "there is no such observation");
    }
    if (!check(move, old, &is_done, err)) {
        return false;
    }
    move->task[0] = '\0';
    if (is_done) {
        return settle(move, list, old, err);
    }
    if (!pk_store_get(move->domain->books->store, "tombstones", pk_doc_text(old, "userId"),
                      move->by->deadline_ns, &tombstone, err)) {
        return pk_wrap(err, "look whether the person was erased");
    }
    if (tombstone) {
        return pk_person_fail_gone(tombstone, err);
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = moved(move, old, pk_clock_wall_ms(move->domain->books->clock));
    pk_writes_replace(list, "observations", doc, pk_doc_version(old));
    pk_doc_view(doc, &view);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *stored = pk_doc_new_versioned(&view, pk_writes_version(list, 0));
    note(move, old, list);
    return settle(move, list, stored, err);
}

static bool run(struct move *move, struct pk_doc **out, struct pk_error *err)
{
    const bool ok = pk_by_decide(move->by, move->domain->books, decide, move, err);
    if (ok && out) {
        *out = pk_doc_ref(move->result);
    }
    pk_doc_unref(move->result);
    return ok;
}

bool pk_observation_approve(const struct pk_domain *domain, const struct pk_by *by, const char *id,
                            int64_t version, struct pk_doc **out, char out_task[PK_UUID_TEXT],
                            struct pk_error *err)
{
    struct move move = { .domain = domain, .by = by, .id = id, .version = version };
    const bool ok = run(&move, out, err);
    (void)snprintf(out_task, PK_UUID_TEXT, "%s", ok ? move.task : "");
    return ok;
}

bool pk_observation_reject(const struct pk_domain *domain, const struct pk_by *by, const char *id,
                           int64_t version, const char *reason, struct pk_doc **out,
                           struct pk_error *err)
{
    struct move move = {
        .domain = domain, .by = by, .id = id, .version = version, .reason = reason
    };
    return run(&move, out, err);
}

/* ---- Curations ---- */

static void append_part(bson_t *bson, const char *name, const char *key, const char *value)
{
    bson_t part;
    BSON_APPEND_DOCUMENT_BEGIN(bson, name, &part);
    BSON_APPEND_UTF8(&part, key, value);
    bson_append_document_end(bson, &part);
}

bool pk_observation_add_curation(const struct pk_domain *domain, const struct pk_by *by,
                                 const char *person, const bson_t *structured,
                                 struct pk_writes *list, char out_id[PK_UUID_TEXT],
                                 char task_id[PK_UUID_TEXT], struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf raw = { 0 };
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    bson_t part;

    if (!pk_json_write(&raw, structured, PK_JSON_CANONICAL, err)) {
        return pk_wrap(err, "write the curation as JSON");
    }
    bson_t *bson = bson_new();
    pk_uuid_ordered(now_ms, out_id);
    BSON_APPEND_UTF8(bson, "_id", out_id);
    BSON_APPEND_UTF8(bson, "userId", person);
    BSON_APPEND_UTF8(bson, "sourceType", "curation");
    append_part(bson, "sourceMetadata", "source", "personakit");
    BSON_APPEND_DOCUMENT_BEGIN(bson, "content", &part);
    bson_append_utf8(&part, "raw", -1, raw.data, (int)raw.size);
    BSON_APPEND_DOCUMENT(&part, "structured", structured);
    bson_append_document_end(bson, &part);
    BSON_APPEND_UTF8(bson, "processingStatus", "approved");
    BSON_APPEND_DOCUMENT_BEGIN(bson, "approvalMetadata", &part);
    BSON_APPEND_UTF8(&part, "approvedBy", by->actor_id);
    BSON_APPEND_DATE_TIME(&part, "approvedAt", now_ms);
    bson_append_document_end(bson, &part);
    BSON_APPEND_DATE_TIME(bson, "effectiveAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "createdAt", now_ms);
    BSON_APPEND_UTF8(bson, "createdBy", by->actor_id);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    BSON_APPEND_INT64(bson, "version", 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "observations", doc);
    observation_add_task(domain, by, "observation.created", out_id, person, list, task_id);
    pk_writes_expect_absent(list, "tombstones", person);
    return true;
}
