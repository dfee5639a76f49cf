/* merge.c - Asking for a merge, or for its end: one list, and a task for the rest.
 *
 *     merge   from.mergedInto, into.merges, the tombstone of 'from', his mindscape goes (it is
 *             made of what moves; its version stays in 'merges'), into's gets a version above
 *             both, the task
 *     undo    the entry of 'merges' is "undoing", the task
 *
 * The tombstone (with 'mergedInto', without 'erasedAt') is what makes it
 * certain that nothing is written of 'from' from then on: every list about a
 * person expects that he has none. Who is refused by it decides again, and
 * finds 'into'. Of two that merge the same people the second conflicts, for
 * both replace the documents of both, and finds a merge under way.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/people.h"
#include "persona/sight.h"

#include <stdio.h>
#include <string.h>

enum { ENTRIES_MAX = 100 }; /* Of 'merges'; undone ones make room. */
static const int64_t for_good_ms = INT64_C(253402300799000); /* The end of the year 9999. */

struct asking {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const struct pk_merge_ask *ask; /* Of a merge. */
    const char *person, *merge;     /* Of an undo. */
    const struct pk_principal *who; /* The same: who may be told of it; NULL: the server. */
    struct pk_merged *out;
    struct pk_doc *from, *into;
    struct pk_doc *mindscape; /* Of 'from', or NULL. */
    struct pk_doc *known;     /* Mindscape of 'into', or NULL. */
    struct pk_person_ids from_ids, into_ids;
};

static void forget(struct asking *asking)
{
    pk_doc_unref(asking->from);
    pk_doc_unref(asking->into);
    pk_doc_unref(asking->mindscape);
    pk_doc_unref(asking->known);
    asking->from = asking->into = asking->mindscape = asking->known = NULL;
    pk_person_ids_done(&asking->from_ids);
    pk_person_ids_done(&asking->into_ids);
}

static bool read_doc(const struct asking *asking, const char *collection, const char *id,
                     struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(asking->domain->books->store, collection, id, asking->by->deadline_ns, out,
                        err) ||
           pk_wrap(err, "read the person");
}

struct pk_doc *pk_merge_doc(const struct pk_merged *merged)
{
    bson_t *bson = bson_new();
    BSON_APPEND_UTF8(bson, "mergeId", merged->id);
    BSON_APPEND_UTF8(bson, "taskId", merged->task);
    if (merged->part[0]) {
        BSON_APPEND_UTF8(bson, "partTaskId", merged->part);
    }
    BSON_APPEND_UTF8(bson, "from", merged->from);
    BSON_APPEND_UTF8(bson, "into", merged->into);
    BSON_APPEND_BOOL(bson, "dryRun", false);
    return pk_doc_take(bson);
}

/* ---- Whether it may be ---- */

/* Names whom he is now: those in between may be out of sight of who asks. */
static bool fail_merged(const struct asking *asking, const char *field, const char *id,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *root = NULL;
    const struct pk_person_ref ref = { .id = id };
    return pk_person_find(asking->domain, &ref, asking->by->deadline_ns, &root, err) &&
           pk_fail_field(err, PK_CONFLICT, field, "name that one, or undo the merge",
                         "the person was merged into '%s' already", root ? pk_doc_id(root) : id);
}

static bool find_one(const struct asking *asking, const char *field, const char *id,
                     struct pk_doc **out, struct pk_error *err)
{
    if (!read_doc(asking, "people", id, out, err)) {
        return false;
    }
    if (!*out) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
        if (!read_doc(asking, "tombstones", id, &tombstone, err)) {
            return false;
        }
        return tombstone && !pk_doc_date(tombstone, "completedAt", 0)
                   ? pk_fail_field(err, PK_CONFLICT, field, "leave the person out",
                                   "the person is being erased")
                   : pk_fail_field(err, PK_NOT_FOUND, field, "check the id",
                                   "there is no such person, or not any more");
    }
    return !pk_doc_text(*out, "mergedInto") || fail_merged(asking, field, id, err);
}

static bool check_quiet(const struct pk_person_ids *ids, const char *but, struct pk_error *err)
{
    struct merge_entry entry;
    for (size_t i = 0; i < ids->count; i++) {
        if (merge_is_under_way(ids->doc[i], &entry) && !(but && strcmp(entry.id, but) == 0)) {
            return pk_fail(err, PK_CONFLICT,
                           "wait until it is done; if its task has failed, retry "
                           "it or undo the merge",
                           "merge '%s' of the person is under way: task '%s'", entry.id,
                           entry.task);
        }
    }
    return true;
}

static bool check_merge(struct asking *asking, struct pk_error *err)
{
    const struct pk_merge_ask *ask = asking->ask;
    const int64_t deadline_ns = asking->by->deadline_ns;
    forget(asking);
    if (strcmp(ask->from, ask->into) == 0) {
        return pk_fail_field(err, PK_INVALID, "into", "name two people",
                             "a person cannot be merged into himself");
    }
    if (!find_one(asking, "from", ask->from, &asking->from, err) ||
        !find_one(asking, "into", ask->into, &asking->into, err) ||
        !pk_person_ids(asking->domain, ask->from, deadline_ns, &asking->from_ids, err) ||
        !pk_person_ids(asking->domain, ask->into, deadline_ns, &asking->into_ids, err) ||
        !check_quiet(&asking->from_ids, NULL, err) || !check_quiet(&asking->into_ids, NULL, err)) {
        return false;
    }
    return (asking->from_ids.count + asking->into_ids.count < PK_IDS_MAX &&
            asking->from_ids.depth + 2 < PK_MERGES_MAX) ||
           pk_fail(err, PK_FULL, "undo one of the merges",
                   "more than %d merges would lead from one person to the next, or more than %d "
                   "ids to one person",
                   PK_MERGES_MAX - 2, PK_IDS_MAX - 1);
}

bool merge_check(const struct pk_domain *domain, const struct pk_merge_ask *ask,
                 int64_t deadline_ns, struct pk_error *err)
{
    const struct pk_by by = { .deadline_ns = deadline_ns };
    struct asking asking = { .domain = domain, .by = &by, .ask = ask };
    const bool ok = check_merge(&asking, err);
    forget(&asking);
    return ok;
}

/* ---- The list of a merge ---- */

static struct pk_doc *pointing(const struct pk_doc *person, const char *into, int64_t now_ms)
{
    bson_t view;
    bson_t *bson = bson_new();
    pk_doc_view(person, &view);
    bson_copy_to_excluding_noinit(&view, bson, "updatedAt", NULL);
    BSON_APPEND_UTF8(bson, "mergedInto", into);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

static void put_entry(const struct asking *asking, bson_t *list, uint32_t at, int64_t now_ms)
{
    bson_t entry;
    char number[16];
    const char *key;
    (void)bson_uint32_to_string(at, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(list, key, &entry);
    BSON_APPEND_UTF8(&entry, "mergeId", asking->out->id);
    BSON_APPEND_UTF8(&entry, "personId", asking->ask->from);
    BSON_APPEND_UTF8(&entry, "status", "merging");
    BSON_APPEND_UTF8(&entry, "mergedBy", asking->by->actor_id);
    BSON_APPEND_DATE_TIME(&entry, "mergedAt", now_ms);
    if (asking->ask->reason) {
        BSON_APPEND_UTF8(&entry, "reason", asking->ask->reason);
    }
    BSON_APPEND_UTF8(&entry, "taskId", asking->out->task);
    if (asking->mindscape) {
        BSON_APPEND_INT64(&entry, "version", pk_doc_int(asking->mindscape, "version", 0));
        BSON_APPEND_DATE_TIME(&entry, "knownAt", pk_doc_date(asking->mindscape, "createdAt", 0));
    }
    bson_append_document_end(list, &entry);
}

/* Of too many the undone ones go, the oldest first. */
static uint32_t put_entries(const struct pk_doc *person, bson_t *list)
{
    bson_t view;
    bson_iter_t iter, entry, field;
    uint32_t count = 0, kept = 0;
    pk_doc_view(person, &view);
    for (int pass = 0; pass < 2; pass++) {
        uint32_t spare = count > ENTRIES_MAX ? count - ENTRIES_MAX : 0;
        if (!bson_iter_init_find(&iter, &view, "merges") || !bson_iter_recurse(&iter, &entry)) {
            return 0;
        }
        while (bson_iter_next(&entry)) {
            const bool is_undone = bson_iter_recurse(&entry, &field) &&
                                   bson_iter_find(&field, "status") &&
                                   strcmp(bson_iter_utf8(&field, NULL), "undone") == 0;
            char number[16];
            const char *key;
            if (pass == 0) {
                count++;
            } else if (is_undone && spare > 0) {
                spare--;
            } else {
                (void)bson_uint32_to_string(kept++, &key, number, sizeof(number));
                (void)bson_append_iter(list, key, -1, &entry);
            }
        }
    }
    return kept;
}

static struct pk_doc *holding(const struct asking *asking, int64_t now_ms)
{
    bson_t view, list;
    bson_t *bson = bson_new();
    pk_doc_view(asking->into, &view);
    bson_copy_to_excluding_noinit(&view, bson, "merges", "storedBytes", "updatedAt", NULL);
    BSON_APPEND_ARRAY_BEGIN(bson, "merges", &list);
    put_entry(asking, &list, put_entries(asking->into, &list), now_ms);
    bson_append_array_end(bson, &list);
    BSON_APPEND_INT64(bson, "storedBytes",
                      pk_doc_int(asking->into, "storedBytes", 0) +
                          pk_doc_int(asking->from, "storedBytes", 0));
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

static bool add_tombstone(const struct asking *asking, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    bson_t *bson = bson_new();
    BSON_APPEND_UTF8(bson, "_id", asking->ask->from);
    BSON_APPEND_UTF8(bson, "mergedInto", asking->ask->into);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", for_good_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = pk_doc_take(bson);
    if (!read_doc(asking, "tombstones", asking->ask->from, &before, err)) {
        return false;
    }
    if (before) {
        pk_writes_replace(list, "tombstones", made, pk_doc_version(before));
    } else {
        pk_writes_insert(list, "tombstones", made);
    }
    return true;
}

/* The task, what wakes the outbox, and who asked. 'root': in whose line it stands. */
static void add_task(const struct asking *asking, const char *type, const char *root,
                     const char *action, struct pk_writes *list)
{
    const struct pk_books *books = asking->domain->books;
    const struct pk_merged *out = asking->out;
    const struct pk_fact fact[] = { { "taskId", out->task },
                                    { "mergeId", out->id },
                                    { "from", out->from },
                                    { "into", out->into },
                                    { NULL, NULL } };
    const struct pk_fact told[] = { { "taskId", out->task },
                                    { "mergeId", out->id },
                                    { NULL, NULL } };
    const char *const person[] = { out->from, root };
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "mergeId", out->id);
    BSON_APPEND_UTF8(&payload, "from", out->from);
    BSON_APPEND_UTF8(&payload, "into", root);
    BSON_APPEND_UTF8(&payload, "holder", out->into);
    if (out->part[0]) {
        BSON_APPEND_UTF8(&payload, "part", out->part);
    }
    pk_task_add(list, books,
                &(struct pk_task_new){ .type = type,
                                       .person = root,
                                       .actor = asking->by->actor_id,
                                       .payload = &payload,
                                       .id = out->task },
                NULL);
    bson_destroy(&payload);
    for (size_t i = 0; i < PK_COUNT(person); i++) {
        pk_news_add(list, books,
                    &(struct pk_news){ .type = action,
                                       .entity_type = "person",
                                       .entity_id = person[i],
                                       .service = "persona",
                                       .person = person[i],
                                       .fact = i == 0 ? &fact[1] : fact });
        pk_audit_add(list, books, asking->by,
                     &(struct pk_audit){ .action = action,
                                         .person = person[i],
                                         .target_type = "outbox",
                                         .target_id = out->task,
                                         .fact = told });
    }
}

static bool complete(const struct asking *asking, struct pk_writes *list, struct pk_error *err)
{
    const struct pk_by *by = asking->by;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *answer = pk_merge_doc(asking->out);
    return !by->complete || by->complete(by->context, list, answer, err);
}

/* No version is given twice under one name: whoever has read 'from' at his last one must not be
 * told that nothing has changed, nor correct what he has never seen. */
static void raise_version(const struct asking *asking, struct pk_writes *list)
{
    bson_t view;
    bson_iter_t iter;
    if (!asking->mindscape || !asking->known) {
        return;
    }
    const int64_t theirs = pk_doc_int(asking->mindscape, "version", 0);
    const int64_t own = pk_doc_int(asking->known, "version", 0);
    bson_t *bson = bson_new();
    pk_doc_view(asking->known, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "version") == 0) {
            BSON_APPEND_INT64(bson, "version", (theirs > own ? theirs : own) + 1);
        } else {
            (void)bson_append_iter(bson, NULL, 0, &iter);
        }
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = pk_doc_take(bson);
    pk_writes_replace(list, "mindscapes", made, pk_doc_version(asking->known));
}

static void copy_id(char out[PK_UUID_TEXT], const char *id)
{
    (void)snprintf(out, PK_UUID_TEXT, "%s", id);
}

static bool decide_merge(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    const struct pk_domain *domain = asking->domain;
    const struct pk_merge_ask *ask = asking->ask;
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    if (!check_merge(asking, err) ||
        !read_doc(asking, "mindscapes", ask->from, &asking->mindscape, err) ||
        !read_doc(asking, "mindscapes", ask->into, &asking->known, err)) {
        return false;
    }
    pk_uuid_new(asking->out->id);
    pk_uuid_new(asking->out->task);
    copy_id(asking->out->from, ask->from);
    copy_id(asking->out->into, ask->into);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *from = pointing(asking->from, ask->into, now_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *into = holding(asking, now_ms);
    pk_writes_replace(list, "people", from, pk_doc_version(asking->from));
    pk_writes_replace(list, "people", into, pk_doc_version(asking->into));
    if (asking->mindscape) {
        pk_writes_delete(list, "mindscapes", ask->from, pk_doc_version(asking->mindscape));
    }
    raise_version(asking, list);
    add_task(asking, PK_MERGE_TASK, ask->into, "person.merge_asked", list);
    return add_tombstone(asking, list, err) && complete(asking, list, err);
}

static bool commit(struct asking *asking, pk_decide_fn *decide, struct pk_error *err)
{
    const bool ok = pk_by_decide(asking->by, asking->domain->books, decide, asking, err);
    forget(asking);
    return ok;
}

bool pk_merge_people(const struct pk_domain *domain, const struct pk_by *by,
                     const struct pk_merge_ask *ask, struct pk_merged *out, struct pk_error *err)
{
    struct asking asking = { .domain = domain, .by = by, .ask = ask, .out = out };
    return commit(&asking, decide_merge, err) || pk_wrap(err, "merge the people");
}

/* ---- The list of an undo ---- */

/* 'into' becomes the last of the chain. */
static bool find_root(struct asking *asking, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!read_doc(asking, "people", asking->person, &asking->into, err)) {
        return false;
    }
    if (!asking->into) {
        if (!read_doc(asking, "tombstones", asking->person, &tombstone, err)) {
            return false;
        }
        return tombstone ? pk_fail(err, PK_CONFLICT, "there is nothing left to give back",
                                   "the person was erased, and all that were merged")
                         : pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
    }
    for (int i = 0; i < PK_MERGES_MAX && pk_doc_text(asking->into, "mergedInto"); i++) {
        struct pk_doc *next = NULL;
        if (!read_doc(asking, "people", pk_doc_text(asking->into, "mergedInto"), &next, err)) {
            return false;
        }
        if (!next) {
            return pk_fail(err, PK_CONFLICT, "there is nothing left to give back",
                           "the person was erased, and all that were merged");
        }
        pk_doc_unref(asking->into);
        asking->into = next;
    }
    return true;
}

/* Whether it is under way; if it is an undo, also what comes behind it. */
static bool is_open(const struct asking *asking, const char *task, bool *out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    if (!read_doc(asking, "outbox", task, &doc, err)) {
        return false;
    }
    const char *status = doc ? pk_doc_text(doc, "status") : NULL;
    const char *part = doc ? pk_doc_text(doc, "payload.part") : NULL;
    *out = status && (strcmp(status, "pending") == 0 || strcmp(status, "in_progress") == 0);
    (void)snprintf(asking->out->part, PK_UUID_TEXT, "%s", part ? part : "");
    return true;
}

/* '*out_is_done': what is asked for is under way already. */
static bool check_undo(struct asking *asking, const struct merge_entry *entry, bool *out_is_done,
                       struct pk_error *err)
{
    bool is_busy = false;
    *out_is_done = false;
    if (strcmp(entry->status, "undone") == 0) {
        return pk_fail(err, PK_CONFLICT, "merge them again, if they are one",
                       "the merge was undone already");
    }
    if (!is_open(asking, entry->task, &is_busy, err)) {
        return false;
    }
    if (strcmp(entry->status, "merging") == 0 && is_busy) {
        return pk_fail(err, PK_CONFLICT, "wait until it is done",
                       "the merge is under way: task '%s'", entry->task);
    }
    *out_is_done = strcmp(entry->status, "undoing") == 0 && is_busy;
    return true;
}

static void set_entry(const struct asking *asking, const struct pk_doc *holder,
                      struct pk_writes *list)
{
    const int64_t now_ms = pk_clock_wall_ms(asking->domain->books->clock);
    bson_t set = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&set, "status", "undoing");
    BSON_APPEND_UTF8(&set, "taskId", asking->out->task);
    BSON_APPEND_UTF8(&set, "undoneBy", asking->by->actor_id);
    BSON_APPEND_DATE_TIME(&set, "undoneAt", now_ms);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *made = merge_entry_set(holder, asking->merge, &set, now_ms);
    pk_writes_replace(list, "people", made, pk_doc_version(holder));
    bson_destroy(&set);
}

static bool undo_of(struct asking *asking, const struct pk_doc *holder,
                    const struct merge_entry *entry, struct pk_writes *list, struct pk_error *err)
{
    const char *root = pk_doc_id(asking->into);
    bool is_done = false;
    copy_id(asking->out->id, asking->merge);
    copy_id(asking->out->from, entry->person);
    copy_id(asking->out->into, pk_doc_id(holder));
    if (!check_undo(asking, entry, &is_done, err) ||
        !check_quiet(&asking->into_ids, asking->merge, err)) {
        return false;
    }
    if (is_done) {
        copy_id(asking->out->task, entry->task);
        return complete(asking, list, err);
    }
    pk_uuid_new(asking->out->task);
    pk_uuid_new(asking->out->part);
    set_entry(asking, holder, list);
    if (strcmp(root, pk_doc_id(holder)) != 0) {
        pk_writes_expect(list, "people", root, pk_doc_version(asking->into));
    }
    add_task(asking, PK_UNDO_TASK, root, "person.unmerge_asked", list);
    return complete(asking, list, err);
}

static bool decide_undo(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    struct merge_entry entry;
    forget(asking);
    if (!find_root(asking, err) ||
        !pk_person_ids(asking->domain, pk_doc_id(asking->into), asking->by->deadline_ns,
                       &asking->into_ids, err)) {
        return false;
    }
    for (size_t i = 0; i < asking->into_ids.count; i++) {
        if (merge_entry_find(asking->into_ids.doc[i], asking->merge, &entry) &&
            pk_sight_has(asking->who, entry.person) &&
            pk_sight_has(asking->who, pk_doc_id(asking->into_ids.doc[i]))) {
            return undo_of(asking, asking->into_ids.doc[i], &entry, list, err);
        }
    }
    return pk_fail(err, PK_NOT_FOUND, "see 'merges' of the person in GET /v1/people",
                   "there is no such merge of the person");
}

bool pk_merge_undo(const struct pk_domain *domain, const struct pk_by *by,
                   const struct pk_principal *who, const char *person, const char *merge,
                   struct pk_merged *out, struct pk_error *err)
{
    struct asking asking = {
        .domain = domain, .by = by, .who = who, .person = person, .merge = merge, .out = out
    };
    return commit(&asking, decide_undo, err) || pk_wrap(err, "undo the merge");
}
