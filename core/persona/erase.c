/* erase.c - The tombstone first, then everything else until there is nothing more.
 *
 *     ask     tombstone, the person's document away, task, audit row, event: one list
 *     log     a line of erasures.log, on the disk
 *     sweep   each collection of the inventory that is deleted with its person
 *        └──▶ again, until a pass finds nothing: who had begun to write before
 *             the tombstone was there may have come in behind the sweep
 *     end     the tombstone is complete, audit row with counts, event
 *
 * A step is one list: up to STEP_ROWS deletes, and what they add to the counts
 * of the tombstone; so the counts are right whenever it is killed. Every step
 * may be done again. Left alone are the task itself, which ends with this, and
 * the events of erasures, which tell other nodes and devices to forget.
 *
 * Thread: the outbox's, for the task. */
/* SPDX-License-Identifier: MIT */
#include "persona/erase.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/path.h"
#include "persona/erase_log.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    STEP_ROWS = 400,
    PASSES_MAX = 20,      /* Of one attempt. */
    REPEATS_MAX = 100,    /* Of one collection, when others write in it. */
    COLLECTIONS_MAX = 64, /* Whose counts the audit row names. */
    NUMBER_TEXT = 24
};
#define EVENTS_OF_ERASING "person.erase" /* What their types begin with. */

/* ---- Asking ---- */

struct asking {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *person;
    char *out_task;
};

static struct pk_doc *make_tombstone(const struct asking *asking)
{
    const int64_t now_ms = pk_clock_wall_ms(asking->domain->books->clock);
    bson_t *bson = bson_new();
    BSON_APPEND_UTF8(bson, "_id", asking->person);
    BSON_APPEND_UTF8(bson, "taskId", asking->out_task);
    BSON_APPEND_DATE_TIME(bson, "erasedAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + asking->domain->tombstone_keep_ms);
    return pk_doc_take(bson);
}

static void add_told(const struct pk_domain *domain, const struct pk_by *by, const char *action,
                     const char *person, const char *task, const struct pk_fact *fact,
                     struct pk_writes *list)
{
    pk_audit_add(list, domain->books, by,
                 &(struct pk_audit){ .action = action,
                                     .person = person,
                                     .target_type = "outbox",
                                     .target_id = task,
                                     .fact = fact });
    pk_news_add(list, domain->books,
                &(struct pk_news){
                    .type = action,
                    .entity_type = "person",
                    .entity_id = person,
                    .service = "persona",
                    .person = person,
                    .fact = (const struct pk_fact[]){ { "taskId", task }, { NULL, NULL } } });
}

/* '*tombstone' is the one that was there, or NULL; and becomes the new one. */
static void add_all(const struct asking *asking, const struct pk_doc *person,
                    struct pk_doc **tombstone, struct pk_writes *list)
{
    const struct pk_books *books = asking->domain->books;
    pk_uuid_new(asking->out_task);
    struct pk_doc *made = make_tombstone(asking);
    if (*tombstone) {
        pk_writes_replace(list, "tombstones", made, pk_doc_version(*tombstone));
    } else {
        pk_writes_insert(list, "tombstones", made);
    }
    pk_doc_unref(*tombstone);
    *tombstone = made;
    pk_writes_delete(list, "people", asking->person, pk_doc_version(person));
    pk_task_add(list, books,
                &(struct pk_task_new){ .type = PK_ERASE_TASK,
                                       .person = asking->person,
                                       .actor = asking->by->actor_id,
                                       .id = asking->out_task },
                NULL);
    add_told(asking->domain, asking->by, "person.erase_asked", asking->person, asking->out_task,
             NULL, list);
}

static bool read_both(const struct asking *asking, struct pk_doc **out_person,
                      struct pk_doc **out_tombstone, struct pk_error *err)
{
    struct pk_store *store = asking->domain->books->store;
    const int64_t deadline_ns = asking->by->deadline_ns;
    return (pk_store_get(store, "people", asking->person, deadline_ns, out_person, err) &&
            pk_store_get(store, "tombstones", asking->person, deadline_ns, out_tombstone, err)) ||
           pk_wrap(err, "read the person");
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    const struct asking *asking = context;
    const struct pk_by *by = asking->by;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!read_both(asking, &person, &tombstone, err)) {
        return false;
    }
    const char *task = tombstone ? pk_doc_text(tombstone, "taskId") : NULL;
    if (person) {
        add_all(asking, person, &tombstone, list);
    } else if (task) {
        (void)snprintf(asking->out_task, PK_UUID_TEXT, "%s", task);
    } else {
        return pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
    }
    return !by->complete || by->complete(by->context, list, tombstone, err);
}

bool pk_erase_person(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                     char out_task[PK_UUID_TEXT], struct pk_error *err)
{
    struct pk_commit committed = { .cursor = "" };
    struct asking asking = { .domain = domain, .by = by, .person = person, .out_task = out_task };
    if (!pk_store_decide(domain->books->store, decide, &asking, by->deadline_ns, &committed, err)) {
        return pk_wrap(err, "erase the person");
    }
    if (by->cursor && committed.cursor[0]) {
        (void)snprintf(by->cursor, PK_POSITION_TEXT, "%s", committed.cursor);
    }
    return true;
}

bool pk_erase_receipt(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(domain->books->store, "tombstones", person, deadline_ns, out, err) ||
           pk_wrap(err, "read the receipt");
}

/* ---- Sweeping ---- */

struct sweep {
    const struct pk_domain *domain;
    const struct pk_task *task;
    const char *person;
    double progress; /* Of this pass, 0 to 1. */
    size_t found;    /* Documents deleted in this pass. */
};

/* The index that leads with the person; "_id" where the person is the id. */
static const char *index_of(const struct pk_collection *collection)
{
    if (collection->is_person_id) {
        return "_id";
    }
    for (size_t i = 0; i < collection->index_count; i++) {
        const struct pk_index *index = &collection->index[i];
        if (index->only == PK_ONLY_ALL &&
            strcmp(index->key[0].path, collection->person_path) == 0) {
            return index->name;
        }
    }
    return NULL;
}

static bool is_left(const struct sweep *sweep, const struct pk_collection *collection,
                    const struct pk_doc *doc)
{
    const char *type = collection->is_feed ? pk_doc_text(doc, "eventType") : NULL;
    return (type && strncmp(type, EVENTS_OF_ERASING, strlen(EVENTS_OF_ERASING)) == 0) ||
           strcmp(pk_doc_id(doc), sweep->task->id) == 0;
}

/* '*out_again': somebody has written in between, or a document was gone. */
static bool delete_page(struct sweep *sweep, const struct pk_collection *collection,
                        const struct pk_page *page, bool *out_again, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char path[80];
    for (size_t i = 0; i < page->count; i++) {
        if (!is_left(sweep, collection, page->doc[i])) {
            pk_writes_delete(&list, collection->name, pk_doc_id(page->doc[i]),
                             pk_doc_version(page->doc[i]));
        }
    }
    if (list.count == 0) {
        return true;
    }
    const size_t count = list.count;
    (void)snprintf(path, sizeof(path), "counts.%s", collection->name);
    pk_writes_count(&list, "tombstones", sweep->person,
                    &(struct pk_count){ .path = path, .amount = (int64_t)count }, 1);
    if (pk_task_should_stop(sweep->task)) {
        return pk_fail(err, PK_UNAVAILABLE, "it goes on after the next start", "the server stops");
    }
    if (!pk_task_progress(sweep->task, sweep->progress, err)) {
        return false;
    }
    const bool ok = pk_store_commit(sweep->domain->books->store, &list, 0, NULL, err);
    sweep->found += ok ? count : 0;
    *out_again = !ok && err->code == PK_CONFLICT;
    return ok || *out_again;
}

/* Page after page; a page that did not come through is looked at again. */
static bool sweep_collection(struct sweep *sweep, const struct pk_collection *collection,
                             struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    const char *index = index_of(collection);
    int repeats = 0;
    for (bool is_last = index == NULL; !is_last;) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        bool is_again = false;
        const struct pk_query query = { .collection = collection->name,
                                        .index = index,
                                        .equal = { PK_TEXT(sweep->person) },
                                        .equal_count = 1,
                                        .limit = STEP_ROWS,
                                        .cursor = cursor };
        if (!pk_store_find(sweep->domain->books->store, &query, 0, &page, err) ||
            !delete_page(sweep, collection, &page, &is_again, err)) {
            return pk_wrap(err, "erase from '%s'", collection->name);
        }
        if (is_again && ++repeats > REPEATS_MAX) {
            return pk_fail(err, PK_UNAVAILABLE, "it is tried again", "'%s' is written all the time",
                           collection->name);
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

/* The indexes alone lead to a person's documents, so one without is our bug: said, not skipped. */
static bool sweep_all(struct sweep *sweep, struct pk_error *err)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    sweep->found = 0;
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        sweep->progress = (double)i / (double)inventory->count;
        if (collection->erase != PK_ERASE_DELETE) {
            continue;
        }
        if (!collection->person_path || !index_of(collection)) {
            return pk_fail(err, PK_INTERNAL, "report it", "'%s' has no index by person",
                           collection->name);
        }
        if (!sweep_collection(sweep, collection, err)) {
            return false;
        }
    }
    return true;
}

/* ---- The receipt ---- */

struct counts {
    char text[COLLECTIONS_MAX][NUMBER_TEXT];
    struct pk_fact fact[COLLECTIONS_MAX + 1];
    size_t count;
};

static void read_counts(const struct pk_doc *tombstone, struct counts *out)
{
    bson_t view;
    bson_iter_t iter, each;
    pk_doc_view(tombstone, &view);
    out->count = 0;
    if (bson_iter_init_find(&iter, &view, "counts") && bson_iter_recurse(&iter, &each)) {
        while (out->count < COLLECTIONS_MAX && bson_iter_next(&each)) {
            char *text = out->text[out->count];
            (void)snprintf(text, NUMBER_TEXT, "%" PRId64, bson_iter_as_int64(&each));
            out->fact[out->count++] = (struct pk_fact){ bson_iter_key(&each), text };
        }
    }
    out->fact[out->count] = (struct pk_fact){ NULL, NULL };
}

static struct pk_doc *complete(const struct pk_doc *tombstone, int64_t now_ms, int64_t keep_ms)
{
    bson_t *bson = bson_new();
    bson_t view;
    pk_doc_view(tombstone, &view);
    bson_copy_to_excluding_noinit(&view, bson, "completedAt", "expiresAt", NULL);
    BSON_APPEND_DATE_TIME(bson, "completedAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + keep_ms);
    return pk_doc_take(bson);
}

static bool finish(const struct sweep *sweep, struct pk_writes *list, struct pk_error *err)
{
    const struct pk_domain *domain = sweep->domain;
    const char *actor = pk_doc_text(sweep->task->doc, "actorId");
    const struct pk_by by = { .actor_id = actor ? actor : "personakit" };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    struct counts counts;
    if (!pk_erase_receipt(domain, sweep->person, 0, &tombstone, err)) {
        return false;
    }
    if (!tombstone) {
        return true; /* It took longer than devices may be away; nothing is left to say. */
    }
    read_counts(tombstone, &counts);
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *done =
        complete(tombstone, pk_clock_wall_ms(domain->books->clock), domain->tombstone_keep_ms);
    pk_writes_replace(list, "tombstones", done, pk_doc_version(tombstone));
    add_told(domain, &by, "person.erased", sweep->person, sweep->task->id, counts.fact, list);
    return true;
}

bool pk_erase_run(void *context, const struct pk_task *task, struct pk_writes *list,
                  struct pk_error *err)
{
    const struct pk_domain *domain = context;
    PK_CLEANUP(pk_freep) char *person = pk_strdup(task->person);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    struct sweep sweep = { .domain = domain, .task = task, .person = person };
    if (!pk_erase_receipt(domain, person, 0, &tombstone, err)) {
        return false;
    }
    if (!tombstone) {
        return pk_fail(err, PK_INVALID, "discard the task and ask again",
                       "there is no tombstone of whom it erases");
    }
    const int64_t erased_ms = pk_doc_date(tombstone, "erasedAt", 0);
    if (!pk_erase_log_add(domain, person, erased_ms, err)) {
        return false;
    }
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        if (!sweep_all(&sweep, err)) {
            return false;
        }
        if (sweep.found == 0) {
            return finish(&sweep, list, err);
        }
    }
    return pk_fail(err, PK_UNAVAILABLE, "it is tried again", "each pass has found more to erase");
}
