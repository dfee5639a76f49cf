/* merge_move.c - Documents and tasks change their person, in steps that may be repeated.
 *
 * What the inventory calls PK_MERGE_MOVES is rewritten with another 'userId';
 * 'mergedFrom' says whose it was, and is never lost by a further merge: of a
 * chain each gets back its own. What is made of it (PK_MERGE_GOES) is deleted:
 * a replay makes it anew. Passes go on until one finds nothing.
 *
 * A task that moves is one that nobody works on: whoever had claimed it has
 * lost its lease with the version. It is younger than the merge from then on,
 * so that it stands behind it in the line.
 *
 * Thread: the outbox's, or whoever asks. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/path.h"
#include "persona/person_rows.h"
#include "persona/process.h"

#include <string.h>

enum {
    STEP_ROWS = 300,
    STEP_BYTES = 4 * 1024 * 1024,
    PASSES_MAX = 50,
    REPEATS_MAX = 100 /* Of one page, when others write in it. */
};

struct pk_doc *merging_doc(const struct pk_doc *doc, const char *person, const char *merged_from)
{
    bson_t view;
    bson_iter_t iter;
    bson_t *bson = bson_new();
    pk_doc_view(doc, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "userId") == 0) {
            BSON_APPEND_UTF8(bson, key, person);
            if (merged_from) {
                BSON_APPEND_UTF8(bson, "mergedFrom", merged_from);
            }
        } else if (strcmp(key, "mergedFrom") != 0) {
            (void)bson_append_iter(bson, NULL, 0, &iter);
        }
    }
    return pk_doc_take(bson);
}

struct pk_doc *merging_count_bytes(const struct pk_doc *person, int64_t bytes)
{
    bson_t view;
    bson_t *bson = bson_new();
    pk_doc_view(person, &view);
    bson_copy_to_excluding_noinit(&view, bson, "storedBytes", NULL);
    BSON_APPEND_INT64(bson, "storedBytes", bytes);
    return pk_doc_take(bson);
}

/* ---- Pages ---- */

/* Adds what becomes of one document, or nothing. */
typedef void change_fn(const struct merging *merging, const struct pk_collection *collection,
                       struct pk_doc *doc, struct pk_writes *list);

struct walk {
    struct merging *merging;
    const struct pk_collection *collection;
    const char *person; /* Whose documents. */
    change_fn *change;
    size_t found;
};

/* '*out_again': somebody has written in between. */
static bool change_page(struct walk *walk, const struct pk_page *page, bool *out_again,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    for (size_t i = 0; i < page->count; i++) {
        const size_t before = list.count;
        walk->change(walk->merging, walk->collection, page->doc[i], &list);
        walk->found += list.count > before;
        if (list.count == 0 || (list.bytes < STEP_BYTES && i + 1 < page->count)) {
            continue;
        }
        if (!merging_commit(walk->merging, &list, err)) {
            *out_again = err->code == PK_CONFLICT;
            return *out_again;
        }
    }
    return list.count == 0 || merging_commit(walk->merging, &list, err) ||
           (*out_again = err->code == PK_CONFLICT);
}

static bool walk_collection(struct walk *walk, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    int repeats = 0;
    for (bool is_last = false; !is_last;) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        bool is_again = false;
        if (!pk_person_rows(walk->merging->domain, walk->collection, walk->person, STEP_ROWS,
                            cursor, &page, err) ||
            !change_page(walk, &page, &is_again, err)) {
            return pk_wrap(err, "move '%s'", walk->collection->name);
        }
        if (is_again && ++repeats > REPEATS_MAX) {
            return pk_fail(err, PK_UNAVAILABLE, "it is tried again", "'%s' is written all the time",
                           walk->collection->name);
        }
        if (!is_again) {
            pk_free(cursor);
            cursor = page.next;
            page.next = NULL;
            is_last = cursor == NULL;
        }
    }
    return true;
}

/* All collections whose word is one of these, until a pass finds nothing. */
static bool walk_all(struct merging *merging, const char *person, bool has_going, change_fn *change,
                     struct pk_error *err)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        size_t found = 0;
        for (size_t i = 0; i < inventory->count; i++) {
            const struct pk_collection *collection = &inventory->collection[i];
            struct walk walk = { merging, collection, person, change, 0 };
            if (collection->merge == PK_MERGE_STAYS || collection->is_person_id ||
                (collection->merge == PK_MERGE_GOES && !has_going)) {
                continue;
            }
            if (!walk_collection(&walk, err)) {
                return false;
            }
            found += walk.found;
        }
        if (found == 0) {
            return true;
        }
    }
    return pk_fail(err, PK_UNAVAILABLE, "it is tried again", "each pass has found more to move");
}

/* ---- There and back ---- */

/* Facts that name no observation are somebody else's to make: they stay where they are. */
static bool is_made_of_observations(const struct pk_doc *doc)
{
    bson_t view;
    bson_iter_t iter, first;
    pk_doc_view(doc, &view);
    return pk_path_find(&view, "derivedFrom", &iter) && BSON_ITER_HOLDS_ARRAY(&iter) &&
           bson_iter_recurse(&iter, &first) && bson_iter_next(&first);
}

/* Proposals that wait come up again, and embeddings of traits are made of these. */
static bool goes(const struct pk_collection *collection, const struct pk_doc *doc)
{
    const char *status = pk_doc_text(doc, "status");
    return collection->merge == PK_MERGE_GOES ||
           (strcmp(collection->name, "reviews") == 0 && status && strcmp(status, "pending") == 0) ||
           (strcmp(collection->name, "vectors") == 0 && pk_doc_text(doc, "traitId"));
}

static void take_one(const struct merging *merging, const struct pk_collection *collection,
                     struct pk_doc *doc, struct pk_writes *list)
{
    const char *merged_from = pk_doc_text(doc, "mergedFrom");
    if (strcmp(collection->name, "knowledge") == 0 && !is_made_of_observations(doc)) {
        return;
    }
    if (goes(collection, doc)) {
        pk_writes_delete(list, collection->name, pk_doc_id(doc), pk_doc_version(doc));
        return;
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *moved =
        merging_doc(doc, merging->into, merged_from ? merged_from : merging->from);
    pk_writes_replace(list, collection->name, moved, pk_doc_version(doc));
}

bool merging_take(struct merging *merging, struct pk_error *err)
{
    return walk_all(merging, merging->from, true, take_one, err);
}

/* One of those who were erased with 'from'. */
static bool is_gone(const struct merging *merging, const char *whose)
{
    bson_t view;
    bson_iter_t list, id;
    if (!merging->gone || strcmp(whose, merging->from) == 0) {
        return merging->gone != NULL;
    }
    pk_doc_view(merging->gone, &view);
    if (bson_iter_init_find(&list, &view, "merged") && bson_iter_recurse(&list, &id)) {
        while (bson_iter_next(&id)) {
            if (BSON_ITER_HOLDS_UTF8(&id) && strcmp(bson_iter_utf8(&id, NULL), whose) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void give_one(const struct merging *merging, const struct pk_collection *collection,
                     struct pk_doc *doc, struct pk_writes *list)
{
    const char *whose = pk_doc_text(doc, "mergedFrom");
    if (whose && is_gone(merging, whose)) {
        pk_writes_delete(list, collection->name, pk_doc_id(doc), pk_doc_version(doc));
        return;
    }
    if (!whose || !pk_person_ids_have(&merging->ids, whose)) {
        return;
    }
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *moved =
        merging_doc(doc, merging->from, strcmp(whose, merging->from) == 0 ? NULL : whose);
    pk_writes_replace(list, collection->name, moved, pk_doc_version(doc));
}

bool merging_give(struct merging *merging, struct pk_error *err)
{
    return walk_all(merging, merging->into, false, give_one, err);
}

/* ---- Tasks ---- */

/* It has failed for no other reason than that it had to wait for the merge. */
static bool has_waited(const struct pk_doc *task)
{
    const char *status = pk_doc_text(task, "status");
    const char *why = pk_doc_text(task, "lastError");
    return status && strcmp(status, "failed") == 0 && why && strstr(why, PK_TASK_MOVES);
}

/* Nobody's lease, and younger than the merge. */
static void move_task(const struct pk_domain *domain, const struct pk_doc *task, const char *person,
                      struct pk_writes *list)
{
    bson_t view;
    bson_iter_t iter;
    bson_t *bson = bson_new();
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    const char *status = pk_doc_text(task, "status");
    const bool is_anew = has_waited(task) || (status && strcmp(status, "in_progress") == 0);
    pk_doc_view(task, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "userId") == 0) {
            BSON_APPEND_UTF8(bson, key, person);
        } else if (strcmp(key, "status") == 0 && is_anew) {
            BSON_APPEND_UTF8(bson, key, "pending");
        } else if (strcmp(key, "attempts") == 0) {
            BSON_APPEND_INT64(bson, key, 0);
        } else if (strcmp(key, "createdAt") == 0) {
            BSON_APPEND_DATE_TIME(bson, key, now_ms + 1);
        } else if (strncmp(key, "lease", 5) != 0 && !(is_anew && strcmp(key, "completedAt") == 0)) {
            (void)bson_append_iter(bson, NULL, 0, &iter);
        }
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *moved = pk_doc_take(bson);
    pk_writes_replace(list, "outbox", moved, pk_doc_version(task));
    if (has_waited(task)) { /* No node knows of it any more. */
        const struct pk_fact fact[] = { { "taskId", pk_doc_id(task) }, { NULL, NULL } };
        pk_news_add(list, domain->books,
                    &(struct pk_news){ .type = "task.retried",
                                       .entity_type = "task",
                                       .entity_id = pk_doc_id(task),
                                       .service = "persona",
                                       .person = person,
                                       .fact = fact });
    }
}

static bool is_left_to_do(const struct pk_doc *task)
{
    static const char *const status[] = { "pending", "in_progress", "failed" };
    const char *own = pk_doc_text(task, "status");
    for (size_t i = 0; own && i < PK_COUNT(status); i++) {
        if (strcmp(own, status[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_tasks(const struct merging *merging, const char *person, const char *cursor,
                       struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = { .collection = "outbox",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(person) },
                                    .equal_count = 1,
                                    .limit = STEP_ROWS,
                                    .cursor = cursor };
    return pk_store_find(merging->domain->books->store, &query, merging->task->deadline_ns, out,
                         err) ||
           pk_wrap(err, "read the tasks of the person");
}

bool merging_take_tasks(struct merging *merging, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        if (!read_tasks(merging, merging->from, cursor, &page, err)) {
            return false;
        }
        for (size_t i = 0; i < page.count; i++) {
            if (is_left_to_do(page.doc[i])) {
                move_task(merging->domain, page.doc[i], merging->into, &list);
            }
        }
        if (list.count > 0 && !merging_commit(merging, &list, err)) {
            return pk_wrap(err, "take over tasks");
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

/* '*out_is': the task is about an observation that is from's again. */
static bool is_given_back(const struct merging *merging, const struct pk_doc *task, bool *out_is,
                          struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *observation = NULL;
    const char *id = pk_doc_text(task, "payload.observationId");
    *out_is = false;
    if (!id || !is_left_to_do(task)) {
        return true;
    }
    if (!pk_store_get(merging->domain->books->store, "observations", id, merging->task->deadline_ns,
                      &observation, err)) {
        return pk_wrap(err, "read what a task is about");
    }
    const char *person = observation ? pk_doc_text(observation, "userId") : NULL;
    *out_is = person && strcmp(person, merging->from) == 0;
    return true;
}

bool merging_give_tasks(struct merging *merging, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        if (!read_tasks(merging, merging->into, cursor, &page, err)) {
            return false;
        }
        for (size_t i = 0; i < page.count; i++) {
            bool is_his = false;
            if (!is_given_back(merging, page.doc[i], &is_his, err)) {
                return false;
            }
            if (is_his) {
                move_task(merging->domain, page.doc[i], merging->from, &list);
            }
        }
        if (list.count > 0 && !merging_commit(merging, &list, err)) {
            return pk_wrap(err, "give tasks back");
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}
