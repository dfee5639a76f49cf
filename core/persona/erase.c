/* erase.c - The tombstone first, then everything else until there is nothing more.
 *
 *     ask     tombstone, the person's document and tasks away, task, audit row, event: one list
 *     log     a line of erasures.log, on the disk
 *     sweep   each collection of the inventory that is deleted with its person
 *        └──▶ again, until a pass finds nothing: who had begun to write before
 *             the tombstone was there may have come in behind the sweep
 *     settle  the store's own files have nothing of it any more
 *     end     the tombstone is complete, audit row with counts, event
 *
 * A step is one list: up to STEP_ROWS deletes, and what they add to the counts
 * of the tombstone; so the counts are right whenever it is killed. Every step
 * may be done again.
 *
 * Tasks of the person go with the asking, those under way, too: what they had
 * decided has no effect any more, and one that fails again and again does not
 * hold up the erasure behind it. Left alone are the task itself, which ends with this, and
 * the events of erasures, which tell other nodes and devices to forget.
 *
 * Whoever was merged is erased with him whom he was merged into, as one: each
 * id has its tombstone and its line of the log, the last of the chain has the
 * counts, the task, and the names of the others ('merged').
 *
 * Thread: the outbox's, for the task. */
/* SPDX-License-Identifier: MIT */
#include "persona/erase.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "persona/erase_log.h"
#include "persona/merge.h"
#include "persona/people.h"
#include "persona/person_rows.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    STEP_ROWS = 400,      /* Also tasks that go with the asking; the rest is swept. */
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
    const char *named;         /* Who was asked for. */
    char person[PK_UUID_TEXT]; /* Whom that one was merged into, or himself. */
    char *out_task;
    struct pk_person_ids ids; /* All of his that are known. */
    bool is_again;            /* Whoever is named, known or not; without a task. */
};

static void put_merged(const struct asking *asking, bson_t *bson)
{
    bson_t merged;
    BSON_APPEND_ARRAY_BEGIN(bson, "merged", &merged);
    for (size_t i = 1; i < asking->ids.count; i++) {
        char number[16];
        const char *key;
        (void)bson_uint32_to_string((uint32_t)i - 1, &key, number, sizeof(number));
        BSON_APPEND_UTF8(&merged, key, pk_doc_id(asking->ids.doc[i]));
    }
    bson_append_array_end(bson, &merged);
}

/* 'tasks' of his that went with the asking; -1: of an id that was merged. */
static struct pk_doc *make_tombstone(const struct asking *asking, const char *id, int64_t tasks)
{
    const int64_t now_ms = pk_clock_wall_ms(asking->domain->books->clock);
    bson_t *bson = bson_new();
    bson_t counts;
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_UTF8(bson, "taskId", asking->out_task);
    if (tasks < 0) {
        BSON_APPEND_UTF8(bson, "mergedInto", asking->person);
    } else if (asking->ids.count > 1) {
        put_merged(asking, bson);
    }
    BSON_APPEND_DOCUMENT_BEGIN(bson, "counts", &counts);
    if (tasks >= 0) {
        BSON_APPEND_INT64(&counts, "people", (int64_t)asking->ids.count);
        BSON_APPEND_INT64(&counts, "outbox", tasks);
    }
    bson_append_document_end(bson, &counts);
    BSON_APPEND_DATE_TIME(bson, "erasedAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "backupsUntil", now_ms + asking->domain->backup_keep_ms);
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

/* The person's tasks have no effect from here on; those that are waited for are told to have ended.
 */
static bool drop_tasks(const struct asking *asking, struct pk_writes *list, size_t *out_count,
                       struct pk_error *err)
{
    const struct pk_books *books = asking->domain->books;
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "outbox",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(asking->person) },
                                    .equal_count = 1,
                                    .limit = STEP_ROWS };
    if (!pk_store_find(books->store, &query, asking->by->deadline_ns, &page, err)) {
        return pk_wrap(err, "read the tasks of the person");
    }
    for (size_t i = 0; i < page.count; i++) {
        const char *id = pk_doc_id(page.doc[i]);
        const struct pk_news ended = {
            .type = "task.dropped",
            .entity_type = "task",
            .entity_id = id,
            .service = "persona",
            .fact = (const struct pk_fact[]){ { "endedTaskId", id }, { NULL, NULL } },
        };
        pk_writes_delete(list, "outbox", id, pk_doc_version(page.doc[i]));
        if (!pk_doc_date(page.doc[i], "completedAt", 0)) {
            pk_news_add(list, books, &ended);
        }
    }
    *out_count = page.count;
    return true;
}

/* The ids that were merged into him go in the same list. */
static bool add_merged(const struct asking *asking, struct pk_writes *list, struct pk_error *err)
{
    struct pk_store *store = asking->domain->books->store;
    for (size_t i = 1; i < asking->ids.count; i++) {
        const char *id = pk_doc_id(asking->ids.doc[i]);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = make_tombstone(asking, id, -1);
        if (!pk_store_get(store, "tombstones", id, asking->by->deadline_ns, &before, err)) {
            return pk_wrap(err, "read the person");
        }
        pk_writes_delete(list, "people", id, pk_doc_version(asking->ids.doc[i]));
        if (before) {
            pk_writes_replace(list, "tombstones", made, pk_doc_version(before));
        } else {
            pk_writes_insert(list, "tombstones", made);
        }
        pk_news_add(list, asking->domain->books,
                    &(struct pk_news){ .type = "person.erase_asked",
                                       .entity_type = "person",
                                       .entity_id = id,
                                       .service = "persona",
                                       .person = id });
    }
    return true;
}

/* 'person' NULL: he is in other collections alone. '*tombstone' is the one that was there, or NULL;
 * and becomes the new one. */
static bool add_all(const struct asking *asking, const struct pk_doc *person,
                    struct pk_doc **tombstone, struct pk_writes *list, struct pk_error *err)
{
    const struct pk_books *books = asking->domain->books;
    size_t tasks = 0;
    if (!drop_tasks(asking, list, &tasks, err)) {
        return false;
    }
    pk_uuid_new(asking->out_task);
    if (!add_merged(asking, list, err)) {
        return false;
    }
    struct pk_doc *made = make_tombstone(asking, asking->person, (int64_t)tasks);
    if (*tombstone) {
        pk_writes_replace(list, "tombstones", made, pk_doc_version(*tombstone));
    } else {
        pk_writes_insert(list, "tombstones", made);
    }
    pk_doc_unref(*tombstone);
    *tombstone = made;
    if (person) {
        pk_writes_delete(list, "people", asking->person, pk_doc_version(person));
    }
    if (!asking->is_again) {
        pk_task_add(list, books,
                    &(struct pk_task_new){ .type = PK_ERASE_TASK,
                                           .person = asking->person,
                                           .actor = asking->by->actor_id,
                                           .id = asking->out_task },
                    NULL);
    }
    add_told(asking->domain, asking->by, "person.erase_asked", asking->person, asking->out_task,
             NULL, list);
    return true;
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

/* Who was merged is erased as whom he was merged into. */
static bool find_whole(struct asking *asking, struct pk_error *err)
{
    const struct pk_domain *domain = asking->domain;
    const struct pk_person_ref ref = { .id = asking->named };
    const int64_t deadline_ns = asking->by->deadline_ns;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *receipt = NULL;
    pk_person_ids_done(&asking->ids);
    if (!pk_person_find(domain, &ref, deadline_ns, &person, err) ||
        (!person && !pk_erase_receipt(domain, asking->named, deadline_ns, &receipt, err))) {
        return false;
    }
    (void)snprintf(asking->person, sizeof(asking->person), "%s",
                   person    ? pk_doc_id(person)
                   : receipt ? pk_doc_id(receipt)
                             : asking->named);
    return pk_person_ids(domain, asking->person, deadline_ns, &asking->ids, err);
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct asking *asking = context;
    const struct pk_by *by = asking->by;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!find_whole(asking, err) || !read_both(asking, &person, &tombstone, err)) {
        return false;
    }
    const char *task = tombstone ? pk_doc_text(tombstone, "taskId") : NULL;
    const bool has_begun = task && !pk_doc_date(tombstone, "completedAt", 0);
    if (person || (asking->is_again && !has_begun)) {
        if (!add_all(asking, person, &tombstone, list, err)) {
            return false;
        }
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
    struct asking asking = { .domain = domain, .by = by, .named = person, .out_task = out_task };
    const bool ok = pk_by_decide(by, domain->books, decide, &asking, err);
    pk_person_ids_done(&asking.ids);
    return ok || pk_wrap(err, "erase the person");
}

bool pk_erase_receipt(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *found = NULL;
    struct pk_store *store = domain->books->store;
    *out = NULL;
    if (!pk_store_get(store, "tombstones", person, deadline_ns, &found, err)) {
        return pk_wrap(err, "read the receipt");
    }
    if (!found || !pk_doc_date(found, "erasedAt", 0)) {
        return true; /* Merged away at most. */
    }
    const char *into = pk_doc_text(found, "mergedInto");
    if (into) {
        return pk_store_get(store, "tombstones", into, deadline_ns, out, err) ||
               pk_wrap(err, "read the receipt");
    }
    *out = found;
    found = NULL;
    return true;
}

/* ---- Sweeping ---- */

struct sweep {
    const struct pk_domain *domain;
    const struct pk_task *task; /* NULL: there is none, 'step' is asked instead. */
    pk_erase_step_fn *step;
    void *context; /* Of 'step'. */
    const char *task_id;
    const char *person; /* Whose tombstone counts. */
    const char *id;     /* Of his ids, the one that is swept. */
    double progress;    /* Of this pass, 0 to 1. */
    size_t found;       /* Documents deleted in this pass. */
};

static bool is_left(const struct sweep *sweep, const struct pk_collection *collection,
                    const struct pk_doc *doc)
{
    const char *type = collection->is_feed ? pk_doc_text(doc, "eventType") : NULL;
    return (type && strncmp(type, EVENTS_OF_ERASING, strlen(EVENTS_OF_ERASING)) == 0) ||
           (sweep->task && strcmp(pk_doc_id(doc), sweep->task_id) == 0);
}

static bool may_go_on(struct sweep *sweep, struct pk_error *err)
{
    if (!sweep->task) {
        return sweep->step(sweep->context, err);
    }
    if (pk_task_should_stop(sweep->task)) {
        return pk_fail(err, PK_UNAVAILABLE, "it goes on after the next start", "the server stops");
    }
    return pk_task_progress(sweep->task, sweep->progress, err);
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
    if (!may_go_on(sweep, err)) {
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
    int repeats = 0;
    for (bool is_last = false; !is_last;) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        bool is_again = false;
        if (!pk_person_rows(sweep->domain, collection, sweep->id, STEP_ROWS, cursor, &page, err) ||
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

static bool sweep_id(struct sweep *sweep, const char *id, struct pk_error *err)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    sweep->id = id;
    for (size_t i = 0; i < inventory->count; i++) {
        const struct pk_collection *collection = &inventory->collection[i];
        sweep->progress = (double)i / (double)inventory->count;
        if (collection->erase == PK_ERASE_DELETE && !sweep_collection(sweep, collection, err)) {
            return false;
        }
    }
    return true;
}

/* His own id, and those that 'merged' names. */
static bool sweep_all(struct sweep *sweep, const struct pk_doc *tombstone, struct pk_error *err)
{
    bson_t view;
    bson_iter_t list, id;
    sweep->found = 0;
    if (!sweep_id(sweep, sweep->person, err)) {
        return false;
    }
    pk_doc_view(tombstone, &view);
    if (bson_iter_init_find(&list, &view, "merged") && bson_iter_recurse(&list, &id)) {
        while (bson_iter_next(&id)) {
            if (!sweep_id(sweep, bson_iter_utf8(&id, NULL), err)) {
                return false;
            }
        }
    }
    return true;
}

/* A line for each id; the person's own comes last, as whoever reads it takes them all. */
static bool log_all(const struct pk_domain *domain, const struct pk_doc *tombstone,
                    struct pk_error *err)
{
    const int64_t at_ms = pk_doc_date(tombstone, "erasedAt", 0);
    bson_t view;
    bson_iter_t list, id;
    pk_doc_view(tombstone, &view);
    if (bson_iter_init_find(&list, &view, "merged") && bson_iter_recurse(&list, &id)) {
        while (bson_iter_next(&id)) {
            if (!pk_erase_log_add(domain, PK_ERASED_PERSON, bson_iter_utf8(&id, NULL), at_ms,
                                  err)) {
                return false;
            }
        }
    }
    return pk_erase_log_add(domain, PK_ERASED_PERSON, pk_doc_id(tombstone), at_ms, err);
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

static struct pk_doc *complete(const struct pk_domain *domain, const struct pk_doc *tombstone)
{
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    bson_t *bson = bson_new();
    bson_t view;
    pk_doc_view(tombstone, &view);
    bson_copy_to_excluding_noinit(&view, bson, "completedAt", "backupsUntil", "expiresAt", NULL);
    BSON_APPEND_DATE_TIME(bson, "completedAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "backupsUntil", now_ms + domain->backup_keep_ms);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + domain->tombstone_keep_ms);
    return pk_doc_take(bson);
}

static bool finish(const struct sweep *sweep, const struct pk_by *by, struct pk_writes *list,
                   struct pk_error *err)
{
    const struct pk_domain *domain = sweep->domain;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    struct counts counts;
    if (!pk_erase_receipt(domain, sweep->person, 0, &tombstone, err)) {
        return false;
    }
    if (!tombstone) {
        return true; /* It took longer than devices may be away; nothing is left to say. */
    }
    read_counts(tombstone, &counts);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *done = complete(domain, tombstone);
    pk_writes_replace(list, "tombstones", done, pk_doc_version(tombstone));
    add_told(domain, by, "person.erased", sweep->person, sweep->task_id, counts.fact, list);
    return true;
}

/* ---- From the line of the log to the last word ---- */

/* Everything but the end, which is one list. */
static bool sweep_until_clean(struct sweep *sweep, const struct pk_doc *tombstone,
                              struct pk_error *err)
{
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        if (!sweep_all(sweep, tombstone, err)) {
            return false;
        }
        if (sweep->found == 0) {
            return pk_store_settle(sweep->domain->books->store, 0, err) ||
                   pk_wrap(err, "clear the store's files of what was erased");
        }
    }
    return pk_fail(err, PK_UNAVAILABLE, "it is tried again", "each pass has found more to erase");
}

bool pk_erase_run(void *context, const struct pk_task *task, struct pk_writes *list,
                  struct pk_error *err)
{
    const struct pk_domain *domain = context;
    PK_CLEANUP(pk_freep) char *person = pk_strdup(task->person);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    struct sweep sweep = { .domain = domain, .task = task, .task_id = task->id, .person = person };
    if (!pk_erase_receipt(domain, person, 0, &tombstone, err)) {
        return false;
    }
    if (!tombstone) {
        return pk_fail(err, PK_INVALID, "discard the task and ask again",
                       "there is no tombstone of whom it erases");
    }
    if (!log_all(domain, tombstone, err) || !sweep_until_clean(&sweep, tombstone, err)) {
        return false;
    }
    const char *actor = pk_doc_text(task->doc, "actorId");
    return finish(&sweep, &(struct pk_by){ .actor_id = actor ? actor : "personakit" }, list, err);
}

bool pk_erase_again(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                    bool is_logged, pk_erase_step_fn *step, void *context, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    char task[PK_UUID_TEXT];
    struct asking asking = {
        .domain = domain, .by = by, .named = person, .out_task = task, .is_again = true
    };
    struct sweep sweep = {
        .domain = domain, .step = step, .context = context, .task_id = task, .person = asking.person
    };
    const bool ok =
        pk_store_decide(domain->books->store, decide, &asking, by->deadline_ns, NULL, err);
    pk_person_ids_done(&asking.ids);
    if (!ok || !pk_erase_receipt(domain, asking.person, by->deadline_ns, &tombstone, err)) {
        return pk_wrap(err, "erase the person");
    }
    return !tombstone ||
           ((is_logged || log_all(domain, tombstone, err)) &&
            sweep_until_clean(&sweep, tombstone, err) && finish(&sweep, by, &list, err) &&
            pk_store_commit(domain->books->store, &list, by->deadline_ns, NULL, err));
}
