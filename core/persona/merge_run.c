/* merge_run.c - The tasks: from the first step to the last, and again after a crash.
 *
 *     merge     tasks, then documents of 'from' are into's; his mindscape goes;
 *               one order; the stricter consents; into's mindscape is replayed; merged
 *     undo      documents are from's again; two orders; 'from' is a person again (one
 *               list: the split); what came in between; tasks; consents; into's replay; undone
 *     part      from's mindscape is replayed, before anything new of him is processed
 *
 * Merge and undo stand in into's line, so nothing of either is processed
 * meanwhile; the part stands in from's, first of all since the split. The
 * state in 'merges' says which of them still has something to do.
 *
 * Thread: the outbox's. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/mindscape.h"
#include "persona/replay.h"

#include <stdio.h>
#include <string.h>

/* Each list is committed once, or made anew. */
bool merging_commit(struct merging *merging, struct pk_writes *list, struct pk_error *err)
{
    if (pk_task_should_stop(merging->task)) {
        return pk_fail(err, PK_UNAVAILABLE, "it goes on after the next start", "the server stops");
    }
    pk_writes_expect_absent(list, "tombstones", merging->into); /* Erasing wins. */
    if (merging->is_parted && !merging->gone) {
        pk_writes_expect_absent(list, "tombstones", merging->from);
    }
    if (!pk_task_progress(merging->task, merging->progress, err) ||
        !pk_store_commit(merging->domain->books->store, list, merging->task->deadline_ns, NULL,
                         err)) {
        return false;
    }
    pk_writes_clear(list);
    return true;
}

/* ---- What the task names ---- */

static bool take_id(const struct pk_task *task, const char *name, char out[PK_UUID_TEXT],
                    struct pk_error *err)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, &task->payload, name) || !BSON_ITER_HOLDS_UTF8(&iter)) {
        return pk_fail(err, PK_INVALID, "discard the task", "it names no '%s'", name);
    }
    (void)snprintf(out, PK_UUID_TEXT, "%s", bson_iter_utf8(&iter, NULL));
    return true;
}

static bool begin(struct merging *merging, struct pk_error *err)
{
    const struct pk_task *task = merging->task;
    return take_id(task, "mergeId", merging->id, err) &&
           take_id(task, "from", merging->from, err) && take_id(task, "into", merging->into, err) &&
           take_id(task, "holder", merging->holder, err) &&
           pk_person_ids(merging->domain, merging->from, task->deadline_ns, &merging->ids, err);
}

static void merging_done(struct merging *merging)
{
    pk_person_ids_done(&merging->ids);
    pk_doc_unref(merging->gone);
}

static bool read_person(const struct merging *merging, const char *id, struct pk_doc **out,
                        struct pk_error *err)
{
    return pk_store_get(merging->domain->books->store, "people", id, merging->task->deadline_ns,
                        out, err) ||
           pk_wrap(err, "read the person");
}

/* ---- The entry ---- */

struct entry_step {
    struct merging *merging;
    const char *status; /* That it has while there is something to do. */
    const bson_t *set;  /* NULL: nothing. */
    bool (*also)(struct merging *merging, struct pk_writes *list, struct pk_error *err);
};

static bool decide_entry(void *context, struct pk_writes *list, struct pk_error *err)
{
    const struct entry_step *step = context;
    struct merging *merging = step->merging;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *holder = NULL;
    struct merge_entry entry;
    if (!read_person(merging, merging->holder, &holder, err)) {
        return false;
    }
    if (!holder || !merge_entry_find(holder, merging->id, &entry) ||
        strcmp(entry.status, step->status) != 0) {
        return true;
    }
    if (step->also && !step->also(merging, list, err)) {
        return false;
    }
    if (step->set) {
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *made = merge_entry_set(holder, merging->id, step->set,
                                              pk_clock_wall_ms(merging->domain->books->clock));
        pk_writes_replace(list, "people", made, pk_doc_version(holder));
    }
    return true;
}

static bool change_entry(struct merging *merging, const struct entry_step *step,
                         struct pk_error *err)
{
    struct entry_step own = *step;
    own.merging = merging;
    return pk_store_decide(merging->domain->books->store, decide_entry, &own,
                           merging->task->deadline_ns, NULL, err) ||
           pk_wrap(err, "note how far the merge is");
}

/* The entry as it is, when it has this status. '*out' NULL: there is nothing to do. */
static bool find_entry(const struct merging *merging, const char *status, struct pk_doc **out,
                       struct merge_entry *out_entry, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *holder = NULL;
    if (!read_person(merging, merging->holder, &holder, err)) {
        return false;
    }
    if (holder && merge_entry_find(holder, merging->id, out_entry) &&
        strcmp(out_entry->status, status) == 0) {
        *out = holder;
        holder = NULL;
    }
    return true;
}

/* ---- Telling ---- */

static void tell(const struct merging *merging, const char *type, const char *person,
                 const char *task, struct pk_writes *list)
{
    const struct pk_fact fact[] = { { "mergeId", merging->id },
                                    { "from", merging->from },
                                    { "into", merging->holder },
                                    { task ? "taskId" : NULL, task },
                                    { NULL, NULL } };
    pk_news_add(list, merging->domain->books,
                &(struct pk_news){ .type = type,
                                   .entity_type = "person",
                                   .entity_id = person,
                                   .service = "persona",
                                   .person = person,
                                   .fact = fact });
}

/* Of both; the audit rows name people by keyed hash alone. */
static void tell_both(const struct merging *merging, const char *type, struct pk_writes *list)
{
    const char *actor = pk_doc_text(merging->task->doc, "actorId");
    const struct pk_by by = { .actor_id = actor ? actor : "personakit" };
    const char *const person[] = { merging->from, merging->into };
    for (size_t i = merging->gone ? 1 : 0; i < PK_COUNT(person); i++) {
        tell(merging, type, person[i], NULL, list);
        pk_audit_add(list, merging->domain->books, &by,
                     &(struct pk_audit){ .action = type,
                                         .person = person[i],
                                         .target_type = "outbox",
                                         .target_id = merging->task->id });
    }
}

/* The last list of a task: the entry gets its new status. */
static bool finish(struct merging *merging, const char *from, const char *to, const char *type,
                   struct pk_writes *list, struct pk_error *err)
{
    bson_t set = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&set, "status", to);
    struct entry_step step = { .merging = merging, .status = from, .set = &set };
    const bool ok = decide_entry(&step, list, err);
    if (ok && list->count > 0) {
        tell_both(merging, type, list);
    }
    bson_destroy(&set);
    return ok;
}

/* ---- Merge ---- */

/* One that a task of his has made since his own went with the asking. */
static bool take_mindscape(struct merging *merging, struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    if (!pk_mindscape_read(merging->domain, merging->from, merging->task->deadline_ns, &mindscape,
                           err)) {
        return false;
    }
    if (mindscape) {
        pk_writes_delete(list, "mindscapes", merging->from, pk_doc_version(mindscape));
    }
    return true;
}

static bool join_orders(struct merging *merging, int64_t top, struct pk_error *err)
{
    bool is_chosen = false;
    if (!merging_join_orders(merging, &top, &is_chosen, err)) {
        return false;
    }
    if (!is_chosen) {
        return true;
    }
    bson_t set = BSON_INITIALIZER;
    BSON_APPEND_INT64(&set, "top", top);
    const struct entry_step step = { .status = "merging", .set = &set };
    const bool ok =
        change_entry(merging, &step, err) && merging_join_orders(merging, &top, &is_chosen, err);
    bson_destroy(&set);
    return ok;
}

static bool replay(struct merging *merging, struct pk_error *err)
{
    const struct pk_remake how = { .is_regrouped = true };
    return pk_replay_again(merging->domain, merging->task, merging->into, &how, err);
}

bool pk_merge_run(void *context, const struct pk_task *task, struct pk_writes *list,
                  struct pk_error *err)
{
    PK_CLEANUP(merging_done) struct merging merging = { .domain = context, .task = task };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *holder = NULL;
    const struct entry_step mindscape = { .status = "merging", .also = take_mindscape };
    struct merge_entry entry;
    if (!begin(&merging, err) || !find_entry(&merging, "merging", &holder, &entry, err)) {
        return false;
    }
    if (!holder) {
        return true; /* Done, undone, or erased. */
    }
    merging.progress = 0.1;
    return merging_take_tasks(&merging, err) && merging_take(&merging, err) &&
           change_entry(&merging, &mindscape, err) && join_orders(&merging, entry.top, err) &&
           merging_join_consents(&merging, err) && replay(&merging, err) &&
           finish(&merging, "merging", "merged", "person.merged", list, err);
}

/* ---- Undo ---- */

/* 'from' without 'mergedInto'. */
static struct pk_doc *freed(const struct pk_doc *person, int64_t now_ms)
{
    bson_t view;
    bson_t *bson = bson_new();
    pk_doc_view(person, &view);
    bson_copy_to_excluding_noinit(&view, bson, "mergedInto", "updatedAt", NULL);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

/* An empty one, whose version is above all that were told under his name; its replay comes next. */
static struct pk_doc *new_mindscape(const struct merging *merging, const struct merge_entry *entry,
                                    int64_t told, int64_t seq, int64_t now_ms)
{
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *empty =
        pk_mindscape_empty(merging->from, entry->known_ms > 0 ? entry->known_ms : now_ms);
    bson_t view;
    bson_iter_t iter;
    bson_t *bson = bson_new();
    bool has_seq = false;
    pk_doc_view(empty, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        const char *key = bson_iter_key(&iter);
        if (strcmp(key, "version") == 0) {
            BSON_APPEND_INT64(bson, key, (entry->version > told ? entry->version : told) + 1);
        } else if (strcmp(key, "seq") == 0) {
            BSON_APPEND_INT64(bson, key, seq);
            has_seq = true;
        } else {
            (void)bson_append_iter(bson, NULL, 0, &iter);
        }
    }
    if (!has_seq) {
        BSON_APPEND_INT64(bson, "seq", seq);
    }
    return pk_doc_take(bson);
}

/* Under the id that was told when the undo was asked for. */
static void add_part(const struct merging *merging, struct pk_writes *list)
{
    char id[PK_UUID_TEXT];
    const char *told = pk_doc_text(merging->task->doc, "payload.part");
    bson_t payload = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&payload, "mergeId", merging->id);
    pk_task_add(list, merging->domain->books,
                &(struct pk_task_new){ .type = PK_PART_TASK,
                                       .person = merging->from,
                                       .actor = pk_doc_text(merging->task->doc, "actorId"),
                                       .payload = &payload,
                                       .id = told },
                id);
    bson_destroy(&payload);
    tell(merging, "person.parted", merging->from, id, list);
    tell(merging, "person.parted", merging->into, NULL, list);
}

/* What he brought is not counted for the other any more. */
static bool count_bytes(const struct merging *merging, const struct pk_doc *from,
                        struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *into = NULL;
    if (!read_person(merging, merging->into, &into, err)) {
        return false;
    }
    if (into) {
        const int64_t left =
            pk_doc_int(into, "storedBytes", 0) - pk_doc_int(from, "storedBytes", 0);
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *counted = merging_count_bytes(into, left > 0 ? left : 0);
        pk_writes_replace(list, "people", counted, pk_doc_version(into));
    }
    return true;
}

struct splitting {
    struct merging *merging;
    const struct merge_entry *entry;
    int64_t seq;
};

/* One list: 'from' is a person again. */
static bool decide_split(void *context, struct pk_writes *list, struct pk_error *err)
{
    const struct splitting *splitting = context;
    struct merging *merging = splitting->merging;
    const struct pk_domain *domain = merging->domain;
    const int64_t deadline_ns = merging->task->deadline_ns;
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *from = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *shared = NULL; /* Told under both names until now. */
    if (!read_person(merging, merging->from, &from, err) ||
        !pk_store_get(domain->books->store, "tombstones", merging->from, deadline_ns, &tombstone,
                      err) ||
        !pk_mindscape_read(domain, merging->from, deadline_ns, &mindscape, err) ||
        !pk_mindscape_read(domain, merging->into, deadline_ns, &shared, err)) {
        return false;
    }
    if (!from || !pk_doc_text(from, "mergedInto")) {
        return true; /* Erased; or split already. */
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *free_again = freed(from, now_ms);
    pk_writes_replace(list, "people", free_again, pk_doc_version(from));
    if (tombstone) {
        pk_writes_delete(list, "tombstones", merging->from, pk_doc_version(tombstone));
    }
    if (!mindscape) {
        const int64_t told = shared ? pk_doc_int(shared, "version", 0) : 0;
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *made =
            new_mindscape(merging, splitting->entry, told, splitting->seq, now_ms);
        pk_writes_insert(list, "mindscapes", made);
    }
    if (shared) {
        pk_writes_expect(list, "mindscapes", merging->into, pk_doc_version(shared));
    }
    add_part(merging, list);
    return count_bytes(merging, from, list, err);
}

static bool split(struct merging *merging, const struct merge_entry *entry, struct pk_error *err)
{
    struct splitting splitting = { .merging = merging, .entry = entry };
    int64_t last = 0;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *from = NULL;
    if (!read_person(merging, merging->from, &from, err)) {
        return false;
    }
    if (!from || !pk_doc_text(from, "mergedInto")) {
        return true; /* His order is his own business by now. */
    }
    return merging_close_ranks(merging, merging->from, &splitting.seq, err) &&
           merging_close_ranks(merging, merging->into, &last, err) &&
           (pk_store_decide(merging->domain->books->store, decide_split, &splitting,
                            merging->task->deadline_ns, NULL, err) ||
            pk_wrap(err, "part the two"));
}

/* Parted, he may be erased by himself while this goes on. What is found of his behind that, and
 * would have been given back, goes as well. */
static bool look_for_gone(struct merging *merging, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!pk_store_get(merging->domain->books->store, "tombstones", merging->from,
                      merging->task->deadline_ns, &tombstone, err)) {
        return pk_wrap(err, "read whether the person was erased");
    }
    if (tombstone && pk_doc_date(tombstone, "erasedAt", 0) &&
        !pk_doc_text(tombstone, "mergedInto")) {
        pk_doc_unref(merging->gone);
        merging->gone = tombstone;
        tombstone = NULL;
    }
    return true;
}

/* What came in between, then tasks and consents. */
static bool give_rest(struct merging *merging, struct pk_error *err)
{
    merging->is_parted = true;
    return look_for_gone(merging, err) && merging_give(merging, err) &&
           merging_give_tasks(merging, err) && merging_part_consents(merging, err) &&
           (!merging->gone || pk_store_settle(merging->domain->books->store, 0, err));
}

bool pk_merge_undo_run(void *context, const struct pk_task *task, struct pk_writes *list,
                       struct pk_error *err)
{
    PK_CLEANUP(merging_done) struct merging merging = { .domain = context, .task = task };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *holder = NULL;
    struct merge_entry entry;
    if (!begin(&merging, err) || !find_entry(&merging, "undoing", &holder, &entry, err)) {
        return false;
    }
    if (!holder) {
        return true;
    }
    merging.asked_ms = pk_doc_date(task->doc, "createdAt", 0);
    merging.progress = 0.1;
    return look_for_gone(&merging, err) && merging_give(&merging, err) &&
           split(&merging, &entry, err) && give_rest(&merging, err) && replay(&merging, err) &&
           finish(&merging, "undoing", "undone", "person.unmerged", list, err);
}

bool pk_merge_part_run(void *context, const struct pk_task *task, struct pk_writes *list,
                       struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *person = pk_strdup(task->person);
    const struct pk_remake how = { .is_regrouped = true };
    (void)list;
    return pk_replay_again(context, task, person, &how, err);
}
