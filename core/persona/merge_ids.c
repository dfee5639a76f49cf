/* merge_ids.c - Who is one person: his own id, and all that were merged into it.
 *
 * A link is there when 'merges' of one names another, whose 'mergedInto' names
 * him: so what was undone is none, whatever its entry says. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/error.h"
#include "doc/doc.h"
#include "persona/people.h"

#include <string.h>

void pk_person_ids_done(struct pk_person_ids *ids)
{
    for (size_t i = 0; i < ids->count; i++) {
        pk_doc_unref(ids->doc[i]);
    }
    *ids = (struct pk_person_ids){ .count = 0 };
}

bool pk_person_ids_have(const struct pk_person_ids *ids, const char *id)
{
    for (size_t i = 0; i < ids->count; i++) {
        if (strcmp(pk_doc_id(ids->doc[i]), id) == 0) {
            return true;
        }
    }
    return false;
}

static bool add(const struct pk_domain *domain, const char *id, const char *into,
                int64_t deadline_ns, struct pk_person_ids *ids, struct pk_error *err)
{
    struct pk_doc *doc = NULL;
    if (pk_person_ids_have(ids, id)) {
        return true;
    }
    if (!pk_store_get(domain->books->store, "people", id, deadline_ns, &doc, err)) {
        return pk_wrap(err, "read who is one person");
    }
    const char *names = doc ? pk_doc_text(doc, "mergedInto") : NULL;
    if (!doc || (into && !(names && strcmp(names, into) == 0))) {
        pk_doc_unref(doc);
        return true;
    }
    if (ids->count == PK_IDS_MAX) {
        pk_doc_unref(doc);
        return pk_fail(err, PK_FULL, "undo one of the merges", "one person has more than %d ids",
                       PK_IDS_MAX);
    }
    ids->doc[ids->count++] = doc;
    return true;
}

/* Everybody who was merged into the one at 'at'. */
static bool add_merged(const struct pk_domain *domain, size_t at, int64_t deadline_ns,
                       struct pk_person_ids *ids, struct pk_error *err)
{
    bson_t view;
    bson_iter_t list, entry, field;
    pk_doc_view(ids->doc[at], &view);
    if (!bson_iter_init_find(&list, &view, "merges") || !bson_iter_recurse(&list, &entry)) {
        return true;
    }
    while (bson_iter_next(&entry)) {
        if (bson_iter_recurse(&entry, &field) && bson_iter_find(&field, "personId") &&
            BSON_ITER_HOLDS_UTF8(&field) &&
            !add(domain, bson_iter_utf8(&field, NULL), pk_doc_id(ids->doc[at]), deadline_ns, ids,
                 err)) {
            return false;
        }
    }
    return true;
}

bool pk_person_ids(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                   struct pk_person_ids *out, struct pk_error *err)
{
    *out = (struct pk_person_ids){ .count = 0 };
    size_t level_end = 1;
    bool ok = add(domain, person, NULL, deadline_ns, out, err);
    for (size_t i = 0; ok && i < out->count; i++) {
        if (i == level_end) {
            out->depth++;
            level_end = out->count;
        }
        ok = add_merged(domain, i, deadline_ns, out, err);
    }
    if (!ok) {
        pk_person_ids_done(out);
    }
    return ok;
}

/* ---- Entries of 'merges' ---- */

static const char *text_of(const bson_iter_t *entry, const char *name)
{
    bson_iter_t field;
    return bson_iter_recurse(entry, &field) && bson_iter_find(&field, name) &&
                   BSON_ITER_HOLDS_UTF8(&field)
               ? bson_iter_utf8(&field, NULL)
               : NULL;
}

static int64_t number_of(const bson_iter_t *entry, const char *name)
{
    bson_iter_t field;
    if (!bson_iter_recurse(entry, &field) || !bson_iter_find(&field, name)) {
        return -1;
    }
    return BSON_ITER_HOLDS_DATE_TIME(&field) ? bson_iter_date_time(&field)
                                             : bson_iter_as_int64(&field);
}

static void read_entry(const bson_iter_t *entry, struct merge_entry *out)
{
    *out = (struct merge_entry){
        .id = text_of(entry, "mergeId"),
        .person = text_of(entry, "personId"),
        .status = text_of(entry, "status"),
        .task = text_of(entry, "taskId"),
        .top = number_of(entry, "top"),
        .version = number_of(entry, "version"),
        .known_ms = number_of(entry, "knownAt"),
    };
}

/* 'merge' NULL: one that is under way. */
static bool find_entry(const struct pk_doc *person, const char *merge, struct merge_entry *out)
{
    bson_t view;
    bson_iter_t list, entry;
    pk_doc_view(person, &view);
    if (!bson_iter_init_find(&list, &view, "merges") || !bson_iter_recurse(&list, &entry)) {
        return false;
    }
    while (bson_iter_next(&entry)) {
        read_entry(&entry, out);
        if (out->id && out->person && out->status && out->task &&
            (merge ? strcmp(out->id, merge) == 0
                   : strcmp(out->status, "merging") == 0 || strcmp(out->status, "undoing") == 0)) {
            return true;
        }
    }
    return false;
}

bool merge_entry_find(const struct pk_doc *person, const char *merge, struct merge_entry *out)
{
    return find_entry(person, merge, out);
}

bool merge_is_under_way(const struct pk_doc *person, struct merge_entry *out)
{
    return find_entry(person, NULL, out);
}

/* The entry with the fields of 'set' in the place of its own. */
static void put_changed(bson_t *list, const char *key, const bson_iter_t *entry, const bson_t *set)
{
    bson_t made;
    bson_iter_t field, other;
    BSON_APPEND_DOCUMENT_BEGIN(list, key, &made);
    if (bson_iter_recurse(entry, &field)) {
        while (bson_iter_next(&field)) {
            if (!bson_iter_init_find(&other, set, bson_iter_key(&field))) {
                (void)bson_append_iter(&made, NULL, 0, &field);
            }
        }
    }
    (void)bson_concat(&made, set);
    bson_append_document_end(list, &made);
}

struct pk_doc *merge_entry_set(const struct pk_doc *person, const char *merge, const bson_t *set,
                               int64_t now_ms)
{
    bson_t view, list;
    bson_iter_t iter, entry;
    bson_t *bson = bson_new();
    pk_doc_view(person, &view);
    bson_copy_to_excluding_noinit(&view, bson, "merges", "updatedAt", NULL);
    BSON_APPEND_ARRAY_BEGIN(bson, "merges", &list);
    if (bson_iter_init_find(&iter, &view, "merges") && bson_iter_recurse(&iter, &entry)) {
        while (bson_iter_next(&entry)) {
            const char *id = text_of(&entry, "mergeId");
            if (id && strcmp(id, merge) == 0) {
                put_changed(&list, bson_iter_key(&entry), &entry, set);
            } else {
                (void)bson_append_iter(&list, NULL, 0, &entry);
            }
        }
    }
    bson_append_array_end(bson, &list);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}
