/* consent.c - Records of consent, and the one function that says yes or no by them.
 *
 * A change is one list: the record, the touched mindscape (so that personas
 * made for the purpose are stale from then on), the audit row and the event;
 * and a task for what has waited for it. */
/* SPDX-License-Identifier: MIT */
#include "persona/consent_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "doc/doc.h"
#include "persona/mindscape.h"
#include "persona/people.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { ID_TEXT = PK_UUID_TEXT + 1 + PK_PURPOSE_MAX };

static void record_id(char out[ID_TEXT], const char *person, const char *purpose)
{
    (void)snprintf(out, ID_TEXT, "%s:%s", person, purpose);
}

/* ---- Asking ---- */

bool pk_consent_get(const struct pk_domain *domain, const char *person, const char *purpose,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    char id[ID_TEXT];
    record_id(id, person, purpose);
    return pk_store_get(domain->books->store, "consents", id, deadline_ns, out, err) ||
           pk_wrap(err, "read the consent");
}

bool pk_consent_list(const struct pk_domain *domain, const char *person, size_t limit,
                     const char *cursor, struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = { .collection = "consents",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(person) },
                                    .equal_count = 1,
                                    .limit = limit,
                                    .cursor = cursor };
    return pk_store_find(domain->books->store, &query, 0, out, err) ||
           pk_wrap(err, "list the consents");
}

static bool is_granted(const struct pk_doc *record)
{
    const char *status = pk_doc_text(record, "status");
    return status && strcmp(status, "granted") == 0;
}

#define WHOSE "the person's consent to '"

static bool fail(struct pk_error *err, const char *purpose, const char *why)
{
    return pk_fail_field(err, PK_FORBIDDEN, "purpose", "record the person's consent, or leave it",
                         WHOSE "%.100s' %s", purpose, why);
}

bool consent_is_why(const char *message)
{
    return strstr(message, WHOSE PK_PURPOSE_PROCESSING "' ") != NULL;
}

bool pk_consent_check(const struct pk_domain *domain, const char *person, const char *purpose,
                      int64_t now_ms, int64_t deadline_ns, struct pk_consent *out,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *record = NULL;
    struct pk_consent found = { 0 };
    if (!pk_consent_get(domain, person, purpose, deadline_ns, &record, err)) {
        return false;
    }
    if (!record && strcmp(purpose, PK_PURPOSE_PROCESSING) != 0) {
        return fail(err, purpose, "is not recorded");
    }
    if (record) {
        const int64_t until_ms = pk_doc_date(record, "validUntil", INT64_MAX);
        if (!is_granted(record)) {
            return fail(err, purpose, "is withdrawn");
        }
        if (pk_doc_date(record, "validFrom", INT64_MIN) > now_ms) {
            return fail(err, purpose, "is not valid yet");
        }
        if (until_ms <= now_ms) {
            return fail(err, purpose, "has ended");
        }
        found.version = pk_doc_version(record);
        found.until_ms = until_ms == INT64_MAX ? 0 : until_ms;
    }
    if (out) {
        *out = found;
    }
    return true;
}

void pk_consent_expect(struct pk_writes *list, const char *person, const char *purpose,
                       const struct pk_consent *consent)
{
    char id[ID_TEXT];
    record_id(id, person, purpose);
    if (consent->version) {
        pk_writes_expect(list, "consents", id, consent->version);
    } else {
        pk_writes_expect_absent(list, "consents", id);
    }
}

/* ---- Recording ---- */

struct change {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *person, *purpose;
    int64_t version;
    const bson_t *wanted; /* NULL: withdrawn. */
    char id[ID_TEXT];
    struct pk_doc *result;
};

static const char *const said_field[] = { "validFrom", "validUntil", "evidence" };

static bool wants_grant(const struct change *change)
{
    bson_iter_t iter;
    return change->wanted && bson_iter_init_find(&iter, change->wanted, "status") &&
           BSON_ITER_HOLDS_UTF8(&iter) && strcmp(bson_iter_utf8(&iter, NULL), "granted") == 0;
}

static bool find(const bson_t *doc, const char *name, bson_iter_t *out)
{
    return doc && bson_iter_init_find(out, doc, name) && !BSON_ITER_HOLDS_NULL(out);
}

/* Equal values of one field, or neither has it. */
static bool is_same(const bson_t *a, const bson_t *b, const char *name)
{
    bson_iter_t one, other;
    const bool has_one = find(a, name, &one);
    if (has_one != find(b, name, &other)) {
        return false;
    }
    if (!has_one) {
        return true;
    }
    if (BSON_ITER_HOLDS_DATE_TIME(&one) && BSON_ITER_HOLDS_DATE_TIME(&other)) {
        return bson_iter_date_time(&one) == bson_iter_date_time(&other);
    }
    return BSON_ITER_HOLDS_UTF8(&one) && BSON_ITER_HOLDS_UTF8(&other) &&
           strcmp(bson_iter_utf8(&one, NULL), bson_iter_utf8(&other, NULL)) == 0;
}

static bool is_done(const struct change *change, const struct pk_doc *old)
{
    bson_t view;
    if (!old || is_granted(old) != wants_grant(change)) {
        return false;
    }
    pk_doc_view(old, &view);
    for (size_t i = 0; change->wanted && i < PK_COUNT(said_field); i++) {
        if (!is_same(&view, change->wanted, said_field[i])) {
            return false;
        }
    }
    return true;
}

static void put_date(bson_t *bson, const struct pk_doc *old, const char *name, bool is_now,
                     int64_t now_ms)
{
    const int64_t before_ms = old ? pk_doc_date(old, name, INT64_MIN) : INT64_MIN;
    if (is_now || before_ms != INT64_MIN) {
        BSON_APPEND_DATE_TIME(bson, name, is_now ? now_ms : before_ms);
    }
}

static struct pk_doc *make(const struct change *change, const struct pk_doc *old, int64_t now_ms)
{
    const bool grants = wants_grant(change);
    const bool is_granted_now = grants && !(old && is_granted(old));
    bson_t *bson = bson_new();
    bson_t view = BSON_INITIALIZER;
    bson_iter_t iter;

    if (old) {
        pk_doc_view(old, &view);
    }
    BSON_APPEND_UTF8(bson, "_id", change->id);
    BSON_APPEND_UTF8(bson, "userId", change->person);
    BSON_APPEND_UTF8(bson, "purpose", change->purpose);
    BSON_APPEND_UTF8(bson, "status", grants ? "granted" : "withdrawn");
    for (size_t i = 0; i < PK_COUNT(said_field); i++) {
        if (find(change->wanted ? change->wanted : &view, said_field[i], &iter)) {
            bson_append_iter(bson, said_field[i], -1, &iter);
        }
    }
    put_date(bson, old, "grantedAt", is_granted_now, now_ms);
    if (!grants) {
        put_date(bson, old, "withdrawnAt", !old || is_granted(old), now_ms);
    }
    BSON_APPEND_UTF8(bson, "recordedBy", change->by->actor_id);
    BSON_APPEND_DATE_TIME(bson, "createdAt", old ? pk_doc_date(old, "createdAt", now_ms) : now_ms);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

/* The audit row names the person by hash, so its target is the purpose alone. 'task': what goes on
 * now; or NULL. */
static void note(const struct change *change, const char *task, struct pk_writes *list)
{
    const char *what = wants_grant(change) ? "consent.granted" : "consent.withdrawn";
    const struct pk_fact fact[] = { { "purpose", change->purpose },
                                    { task ? "taskId" : NULL, task },
                                    { NULL, NULL } };
    const struct pk_audit audit = { .action = what,
                                    .person = change->person,
                                    .target_type = "consents",
                                    .target_id = change->purpose };
    const struct pk_news news = { .type = what,
                                  .entity_type = "consent",
                                  .entity_id = change->id,
                                  .service = "persona",
                                  .person = change->person,
                                  .fact = fact };
    pk_audit_add(list, change->domain->books, change->by, &audit);
    pk_news_add(list, change->domain->books, &news);
}

static bool settle(struct change *change, struct pk_writes *list, struct pk_doc *doc,
                   struct pk_error *err)
{
    const struct pk_by *by = change->by;
    pk_doc_unref(change->result);
    change->result = pk_doc_ref(doc);
    return !by->complete || by->complete(by->context, list, doc, err);
}

static bool check(const struct change *change, const struct pk_doc *old, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (change->version && (!old || pk_doc_version(old) != change->version)) {
        return pk_fail(err, PK_PRECONDITION, "read the consent again and decide anew",
                       "the consent has changed since it was read");
    }
    if (!pk_store_get(change->domain->books->store, "tombstones", change->person,
                      change->by->deadline_ns, &tombstone, err)) {
        return pk_wrap(err, "look whether the person was erased");
    }
    return !tombstone || pk_person_fail_gone(tombstone, err);
}

/* What may have waited: where nothing was recorded, processing was allowed. */
static bool has_waited(const struct change *change, const struct pk_doc *old)
{
    return old && wants_grant(change) && strcmp(change->purpose, PK_PURPOSE_PROCESSING) == 0;
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct change *change = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *old = NULL;
    char task[PK_UUID_TEXT];
    bson_t view;

    if (!pk_consent_get(change->domain, change->person, change->purpose, change->by->deadline_ns,
                        &old, err) ||
        !check(change, old, err)) {
        return false;
    }
    if (is_done(change, old)) {
        return settle(change, list, old, err);
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = make(change, old, pk_clock_wall_ms(change->domain->books->clock));
    if (old) {
        pk_writes_replace(list, "consents", doc, pk_doc_version(old));
    } else {
        pk_writes_insert(list, "consents", doc);
    }
    pk_doc_view(doc, &view);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *stored = pk_doc_new_versioned(&view, pk_writes_version(list, 0));
    const bool is_awaited = has_waited(change, old);
    if (is_awaited) {
        consent_add_resume(change->domain, change->by, change->person,
                           pk_doc_date(doc, "validFrom", 0), list, task);
    }
    note(change, is_awaited ? task : NULL, list);
    pk_writes_expect_absent(list, "tombstones", change->person);
    return pk_mindscape_touch(change->domain, change->person, "consent", change->purpose,
                              change->by->deadline_ns, list, err) &&
           settle(change, list, stored, err);
}

bool pk_consent_record(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                       const char *purpose, int64_t version, const bson_t *wanted,
                       struct pk_doc **out, struct pk_error *err)
{
    struct change change = { .domain = domain,
                             .by = by,
                             .person = person,
                             .purpose = purpose,
                             .version = version,
                             .wanted = wanted };
    record_id(change.id, person, purpose);
    const bool ok = pk_by_decide(by, domain->books, decide, &change, err);
    if (ok && out) {
        *out = pk_doc_ref(change.result);
    }
    pk_doc_unref(change.result);
    return ok;
}
