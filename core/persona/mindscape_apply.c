/* mindscape_apply.c - What has come of a mind, as writes: one list, committed whole or not at all.
 *
 *     the mindscape        replaced at the version it was read at, or inserted
 *     trait_history        a row for each trait that a processor changed
 *     reviews              a row for each proposal; the same proposal is one row
 *     other collections    what pk_joined_write makes of them
 *     mindscape.updated    what changed, and the version
 *
 * Ids are made of what they stand for, so doing it again after a conflict, or
 * in a replay, writes the same. Rows of one observation, path and epoch sort
 * by id in the order in which processors made them.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/mindscape.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/joined.h"
#include "persona/mind.h"
#include "persona/trait.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { CHANGES_MAX = 900, READ_MS = 10000, DERIVED_MAX = 32 };

/* ---- History ---- */

/* It begins as the observation's id does, so that rows which are written together lie together in
 * indexes; the three digits after the version say which of the changes of one observation, path and
 * epoch it is. The person is in it: two who are parted again are made anew at the same time of what
 * was one's. */
static void name_change(const struct pk_trait_change *change, const char *person, int64_t epoch,
                        unsigned ordinal, char out[PK_UUID_TEXT])
{
    enum { ORDINAL_AT = 15, ORDINAL_DIGITS = 3 };
    char digits[ORDINAL_DIGITS + 1], maker[16 + PK_UUID_TEXT];
    (void)snprintf(maker, sizeof(maker), "history %.36s", person);
    pk_mind_id_near(out, change->obs_id, maker, change->path, (size_t)epoch);
    (void)snprintf(digits, sizeof(digits), "%03x", ordinal & 0xFFF);
    memcpy(out + ORDINAL_AT, digits, ORDINAL_DIGITS);
}

static unsigned ordinal_of(const struct pk_mind *mind, size_t at)
{
    const struct pk_trait_change *change = pk_mind_change(mind, at);
    unsigned ordinal = 0;
    for (size_t i = at; i-- > 0;) {
        const struct pk_trait_change *before = pk_mind_change(mind, i);
        if (before->seq != change->seq) {
            break; /* Of another observation. */
        }
        ordinal += strcmp(before->path, change->path) == 0;
    }
    return ordinal;
}

static struct pk_doc *history_row(const struct pk_mind *mind, size_t at, const char *person,
                                  int64_t epoch, int64_t now_ms)
{
    const struct pk_trait_change *change = pk_mind_change(mind, at);
    bson_t *row = bson_new();
    char id[PK_UUID_TEXT];

    name_change(change, person, epoch, ordinal_of(mind, at), id);
    BSON_APPEND_UTF8(row, "_id", id);
    BSON_APPEND_UTF8(row, "userId", person);
    BSON_APPEND_UTF8(row, "path", change->path);
    BSON_APPEND_INT64(row, "epoch", epoch);
    BSON_APPEND_INT64(row, "seq", change->seq);
    if (change->before) {
        BSON_APPEND_DOCUMENT(row, "before", change->before);
    }
    if (change->after) {
        BSON_APPEND_DOCUMENT(row, "after", change->after);
    }
    BSON_APPEND_UTF8(row, "obsId", change->obs_id);
    if (change->processor_id) {
        BSON_APPEND_UTF8(row, "processorId", change->processor_id);
    }
    if (change->processor_version) {
        BSON_APPEND_UTF8(row, "processorVersion", change->processor_version);
    }
    BSON_APPEND_DATE_TIME(row, "effectiveAt", change->effective_at_ms);
    BSON_APPEND_DATE_TIME(row, "createdAt", now_ms);
    return pk_doc_take(row);
}

void pk_mindscape_add_history(const struct pk_mind *mind, const char *person, int64_t epoch,
                              size_t first, size_t count, int64_t known_at_ms,
                              struct pk_writes *list)
{
    for (size_t i = first; i < first + count && i < pk_mind_change_count(mind); i++) {
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *row = history_row(mind, i, person, epoch, known_at_ms);
        pk_writes_insert(list, "trait_history", row);
    }
}

/* ---- Reviews ---- */

static void append_derived(bson_t *row, const struct pk_doc *before, const char *obs)
{
    bson_t list, view;
    bson_iter_t iter, item;
    char room[16];
    const char *key = NULL;
    uint32_t at = 0;

    BSON_APPEND_ARRAY_BEGIN(row, "derivedFrom", &list);
    (void)bson_uint32_to_string(at++, &key, room, sizeof(room));
    BSON_APPEND_UTF8(&list, key, obs); /* The newest first. */
    if (before) {
        pk_doc_view(before, &view);
        if (bson_iter_init_find(&iter, &view, "derivedFrom") && BSON_ITER_HOLDS_ARRAY(&iter) &&
            bson_iter_recurse(&iter, &item)) {
            while (at < DERIVED_MAX && bson_iter_next(&item)) {
                if (strcmp(bson_iter_utf8(&item, NULL), obs) != 0) {
                    (void)bson_uint32_to_string(at++, &key, room, sizeof(room));
                    BSON_APPEND_UTF8(&list, key, bson_iter_utf8(&item, NULL));
                }
            }
        }
    }
    bson_append_array_end(row, &list);
}

static struct pk_doc *review_row(const struct pk_proposal *proposal, const char *id,
                                 const char *person, const struct pk_doc *before, int64_t now_ms)
{
    bson_t *row = bson_new();
    BSON_APPEND_UTF8(row, "_id", id);
    BSON_APPEND_UTF8(row, "userId", person);
    BSON_APPEND_UTF8(row, "traitPath", proposal->path);
    if (proposal->current) {
        BSON_APPEND_DOCUMENT(row, "current", proposal->current);
    }
    BSON_APPEND_DOCUMENT(row, "proposed", proposal->proposed);
    BSON_APPEND_UTF8(row, "reason", proposal->reason);
    append_derived(row, before, proposal->obs_id);
    BSON_APPEND_UTF8(row, "status", "pending");
    BSON_APPEND_DATE_TIME(row, "createdAt",
                          before ? pk_doc_date(before, "createdAt", now_ms) : now_ms);
    BSON_APPEND_DATE_TIME(row, "updatedAt", now_ms);
    return pk_doc_take(row);
}

static bool is_in_list(const struct pk_writes *list, const char *collection, const char *id,
                       size_t *out_at)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct pk_write *write = &list->write[i];
        if ((write->kind == PK_WRITE_INSERT || write->kind == PK_WRITE_REPLACE) &&
            write->collection && strcmp(write->collection, collection) == 0 &&
            strcmp(write->id ? write->id : pk_doc_id(write->doc), id) == 0) {
            *out_at = i;
            return true;
        }
    }
    return false;
}

/* What waits is brought up to date; what was declined stays so; what was decided otherwise has
 * come up again. */
static bool add_review(const struct pk_domain *domain, const struct pk_proposal *proposal,
                       const char *person, int64_t deadline_ns, bool is_again,
                       struct pk_writes *list, struct pk_error *err)
{
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = NULL;
    const char *id = proposal->id;
    char other[PK_UUID_TEXT];
    size_t at = 0;

    if (!pk_store_get(domain->books->store, "reviews", id, deadline_ns, &before, err)) {
        return pk_wrap(err, "read the review");
    }
    const char *status = before ? pk_doc_text(before, "status") : NULL;
    if (status && (is_again || strcmp(status, "declined") == 0)) {
        return true;
    }
    const bool is_decided = status && strcmp(status, "pending") != 0;
    if (is_decided) {
        pk_mind_id(other, proposal->obs_id, "review", proposal->path, 0);
        id = other;
        if (!pk_store_get(domain->books->store, "reviews", id, deadline_ns, &again, err)) {
            return pk_wrap(err, "read the review");
        }
    }
    if (again || is_in_list(list, "reviews", id, &at)) {
        return true;
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *row = review_row(proposal, id, person, is_decided ? NULL : before, now_ms);
    if (before && !is_decided) {
        pk_writes_replace(list, "reviews", row, pk_doc_version(before));
    } else {
        pk_writes_insert(list, "reviews", row);
    }
    return true;
}

bool pk_mindscape_add_reviews(const struct pk_domain *domain, const struct pk_mind *mind,
                              const char *person, int64_t deadline_ns, bool is_again,
                              struct pk_writes *list, struct pk_error *err)
{
    for (size_t i = 0; i < pk_mind_proposal_count(mind); i++) {
        const struct pk_proposal *proposal = pk_mind_proposal(mind, i);
        if (!add_review(domain, proposal, person, deadline_ns, is_again, list, err)) {
            return false;
        }
    }
    return true;
}

/* ---- Other collections ---- */

static bool add_joined(const struct pk_domain *domain, struct pk_mind *mind, const char *person,
                       int64_t deadline_ns, struct pk_writes *list, struct pk_error *err)
{
    const size_t count = pk_mind_joined_count(mind);
    if (count == 0) {
        return true;
    }
    PK_CLEANUP(pk_freep) const struct pk_joined **joined = pk_calloc(count, sizeof(*joined));
    for (size_t i = 0; i < count; i++) {
        joined[i] = pk_mind_joined(mind, i);
    }
    return pk_joined_write(domain, person, joined, count, mind, deadline_ns, list, err);
}

/* ---- The mindscape ---- */

static void announce(const struct pk_domain *domain, struct pk_mind *mind, const char *person,
                     struct pk_writes *list)
{
    const char *const *name = NULL;
    const size_t count = pk_mind_touched(mind, &name);
    PK_CLEANUP(pk_freep) const char **path = pk_calloc(count + 1, sizeof(*path));
    for (size_t i = 0; i < count; i++) { /* A trait by its path: that is what may be hidden. */
        path[i] = strncmp(name[i], "trait:", 6) == 0 ? name[i] + 6 : name[i];
    }
    pk_news_add(list, domain->books,
                &(struct pk_news){
                    .type = "mindscape.updated",
                    .entity_type = "mindscape",
                    .entity_id = person,
                    .service = "mindscaper",
                    .person = person,
                    .path = path,
                    .path_count = count,
                    .version = pk_mind_version(mind),
                });
}

static bool write_mindscape(struct pk_mind *mind, const struct pk_doc *stored, int64_t duration_ms,
                            struct pk_writes *list, struct pk_error *err)
{
    bson_t document;
    if (!pk_mind_document(mind, duration_ms, &document, err)) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(&document);
    if (stored) {
        pk_writes_replace(list, "mindscapes", doc, pk_doc_version(stored));
    } else {
        pk_writes_insert(list, "mindscapes", doc);
    }
    return true;
}

bool pk_mindscape_apply(const struct pk_domain *domain, struct pk_mind *mind,
                        const struct pk_doc *stored, int64_t duration_ms, struct pk_writes *list,
                        struct pk_error *err)
{
    const int64_t deadline_ns = pk_deadline_in_ms(domain->books->clock, READ_MS);
    const size_t changes = pk_mind_change_count(mind);
    const char *person = pk_mind_person(mind);

    if (!pk_mind_has_changed(mind)) {
        return true;
    }
    if (changes > CHANGES_MAX) {
        return pk_fail(err, PK_TOO_LARGE, "split the observation",
                       "it would change %zu traits, and at most %d go at once", changes,
                       (int)CHANGES_MAX);
    }
    if (!write_mindscape(mind, stored, duration_ms, list, err) ||
        !add_joined(domain, mind, person, deadline_ns, list, err)) {
        return false;
    }
    pk_mindscape_add_history(mind, person, pk_mind_epoch(mind), 0, pk_mind_change_count(mind),
                             pk_clock_wall_ms(domain->books->clock), list);
    if (!pk_mindscape_add_reviews(domain, mind, person, deadline_ns, false, list, err)) {
        return false;
    }
    if (!stored || pk_mind_version(mind) != pk_doc_int(stored, "version", -1)) {
        announce(domain, mind, person, list);
    }
    return true;
}

/* ---- Touching ---- */

/* The document that 'list' is going to write, or the stored one. */
static bool current(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                    const struct pk_writes *list, size_t *out_at, bool *out_is_in_list,
                    struct pk_doc **out, struct pk_error *err)
{
    *out_is_in_list = is_in_list(list, "mindscapes", person, out_at);
    if (*out_is_in_list) {
        *out = pk_doc_ref(list->write[*out_at].doc);
        return true;
    }
    if (!pk_mindscape_read(domain, person, deadline_ns, out, err)) {
        return false;
    }
    return *out || pk_fail(err, PK_NOT_FOUND, "send an observation of the person first",
                           "there is no such person");
}

static void put_again(struct pk_writes *list, size_t at, struct pk_doc *doc)
{
    struct pk_write *write = &list->write[at];
    list->bytes += pk_doc_size(doc);
    list->bytes -= pk_doc_size(write->doc);
    pk_doc_unref(write->doc);
    write->doc = pk_doc_ref(doc);
}

/* 'at' is where 'list' writes it already; NULL: it does not yet. */
static bool touch_all(const struct pk_domain *domain, const struct pk_doc *stored,
                      const struct pk_readable *what, size_t count, const size_t *at,
                      struct pk_writes *list, struct pk_error *err)
{
    const int64_t duration_ms = pk_doc_int(stored, "processingMetadata.lastProcessingDuration", 0);
    bool is_ok = true;
    bson_t view, document;

    pk_doc_view(stored, &view);
    struct pk_mind *mind = pk_mind_open(&view, domain->policies);
    for (size_t i = 0; i < count; i++) {
        pk_mind_touch(mind, what[i].kind, what[i].key);
    }
    if (!at) {
        is_ok = write_mindscape(mind, stored, duration_ms, list, err);
    } else if (pk_mind_document(mind, duration_ms, &document, err)) {
        struct pk_doc *doc = pk_doc_take(&document);
        put_again(list, *at, doc);
        pk_doc_unref(doc);
    } else {
        is_ok = false;
    }
    if (is_ok) {
        announce(domain, mind, pk_doc_id(stored), list);
    }
    pk_mind_free(mind);
    return is_ok;
}

bool pk_mindscape_touch_all(const struct pk_domain *domain, const struct pk_doc *stored,
                            const struct pk_readable *what, size_t count, struct pk_writes *list,
                            struct pk_error *err)
{
    return touch_all(domain, stored, what, count, NULL, list, err);
}

bool pk_mindscape_touch(const struct pk_domain *domain, const char *person, const char *kind,
                        const char *key, int64_t deadline_ns, struct pk_writes *list,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    const struct pk_readable what = { kind, key };
    bool is_there = false;
    size_t at = 0;
    return current(domain, person, deadline_ns, list, &at, &is_there, &stored, err) &&
           touch_all(domain, stored, &what, 1, is_there ? &at : NULL, list, err);
}
