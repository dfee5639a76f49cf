/* outbox_admin.c - For people: what waits, what has failed, and what becomes of it.
 *
 * Retry and discard replace the task at the version that was read, as a claim
 * and an end do. So whoever is at work on a task that is discarded writes
 * nothing any more. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "feed/outbox_internal.h"

#include <string.h>

enum { READS_MAX = 20 }; /* Of pages, for one list. */

static const char no_task[] = "list them with GET /v1/admin/outbox";

bool pk_outbox_get(const struct pk_books *books, const char *id, struct pk_doc **out,
                   struct pk_error *err)
{
    struct pk_doc *task = NULL;
    if (!pk_store_get(books->store, "outbox", id,
                      pk_deadline_in_ms(books->clock, PK_OUTBOX_STORE_MS), &task, err)) {
        return pk_wrap(err, "read the task");
    }
    if (!task) {
        return pk_fail(err, PK_NOT_FOUND, no_task, "there is no such task");
    }
    *out = task;
    return true;
}

/* ---- Lists ---- */

static bool is_like(const struct pk_doc *task, const char *path, const char *wanted)
{
    const char *text = wanted ? pk_doc_text(task, path) : NULL;
    return !wanted || (text && strcmp(text, wanted) == 0);
}

/* What the index has not looked at: so a page may have fewer than its limit, or none. */
static void keep_those_like(struct pk_page *page, const struct pk_outbox_filter *filter)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->count; i++) {
        struct pk_doc *task = page->doc[i];
        if (is_like(task, "status", filter->status) && is_like(task, "taskType", filter->type)) {
            page->doc[kept++] = task;
        } else {
            pk_doc_unref(task);
        }
    }
    page->count = kept;
}

/* Pages are read until one has something that is asked for, or READS_MAX were read. */
static bool find_those_like(const struct pk_books *books, struct pk_query query,
                            const struct pk_outbox_filter *filter, struct pk_page *out,
                            struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    const int64_t deadline_ns = pk_deadline_in_ms(books->clock, PK_OUTBOX_STORE_MS);
    for (int reads = 1;; reads++) {
        if (!pk_store_find(books->store, &query, deadline_ns, out, err)) {
            return pk_wrap(err, "list tasks");
        }
        keep_those_like(out, filter);
        if (out->count > 0 || !out->next || reads == READS_MAX) {
            return true;
        }
        pk_free(cursor);
        cursor = pk_strdup(out->next);
        query.cursor = cursor;
        pk_page_done(out);
        *out = (struct pk_page){ 0 };
    }
}

bool pk_outbox_list(const struct pk_books *books, const struct pk_outbox_filter *filter,
                    size_t limit, const char *cursor, struct pk_page *out, struct pk_error *err)
{
    struct pk_query query = {
        .collection = "outbox", .index = "by_status", .limit = limit, .cursor = cursor
    };
    if (filter->person) {
        query.index = "by_user";
        query.equal[query.equal_count++] = PK_TEXT(filter->person);
    } else if (filter->status) {
        query.equal[query.equal_count++] = PK_TEXT(filter->status);
    }
    return find_those_like(books, query, filter, out, err);
}

/* ---- Decisions ---- */

struct decision {
    const struct pk_books *books;
    const struct pk_by *by;
    const char *id;
    struct pk_doc *after; /* What it comes to; a reference. */
    bool is_retry;
};

static bool has_status(const struct pk_doc *task, const char *status)
{
    return is_like(task, "status", status);
}

static bool check_retry(const struct pk_doc *task, struct pk_error *err)
{
    return has_status(task, "failed") || has_status(task, "pending") ||
           pk_fail(err, PK_CONFLICT, "only a task that has failed or waits is tried again",
                   "the task is '%s'", pk_doc_text(task, "status"));
}

static bool check_discard(const struct pk_doc *task, struct pk_error *err)
{
    return !has_status(task, "done") ||
           pk_fail(err, PK_CONFLICT, "what is done cannot be given up", "the task is 'done'");
}

/* The document as the store will return it once 'list' is committed. */
static struct pk_doc *with_version(const struct pk_doc *doc, int64_t version)
{
    bson_t view;
    pk_doc_view(doc, &view);
    return pk_doc_new_versioned(&view, version);
}

static void replace_task(struct decision *decision, const struct pk_doc *task,
                         const struct pk_task_change *change, struct pk_writes *list)
{
    const struct pk_books *books = decision->books;
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *after = pk_task_change(task, change, pk_clock_wall_ms(books->clock));
    const size_t at = list->count;
    const char *type = decision->is_retry ? "task.retried" : "task.discarded";
    pk_writes_replace(list, "outbox", after, pk_doc_version(task));
    decision->after = with_version(after, pk_writes_version(list, at));
    pk_task_tell(list, books, after, type, decision->is_retry ? "taskId" : "endedTaskId");
    pk_audit_add(list, books, decision->by,
                 &(struct pk_audit){ .action = type,
                                     .person = pk_doc_text(task, "userId"),
                                     .target_type = "outbox",
                                     .target_id = decision->id,
                                     .fact = (const struct pk_fact[]){
                                         { "taskType", pk_doc_text(task, "taskType") },
                                         { "was", pk_doc_text(task, "status") },
                                         { NULL, NULL },
                                     } });
}

void pk_task_retry(struct pk_writes *list, const struct pk_books *books, const struct pk_doc *task)
{
    const int64_t now_ms = pk_clock_wall_ms(books->clock);
    const struct pk_task_change change = {
        .status = "pending", .attempts = 0, .run_after_ms = now_ms, .progress = -1
    };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = pk_task_change(task, &change, now_ms);
    pk_writes_replace(list, "outbox", after, pk_doc_version(task));
    pk_task_tell(list, books, after, "task.retried", "taskId");
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct decision *decision = context;
    const struct pk_by *by = decision->by;
    const int64_t now_ms = pk_clock_wall_ms(decision->books->clock);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    pk_doc_unref(decision->after);
    decision->after = NULL;
    if (!pk_outbox_get(decision->books, decision->id, &task, err)) {
        return false;
    }
    if (decision->is_retry) {
        const struct pk_task_change change = {
            .status = "pending", .attempts = 0, .run_after_ms = now_ms, .progress = -1
        };
        if (!check_retry(task, err)) {
            return false;
        }
        replace_task(decision, task, &change, list);
    } else if (has_status(task, "discarded")) {
        decision->after = pk_doc_ref(task);
    } else {
        const struct pk_task_change change = { .status = "discarded",
                                               .attempts = -1,
                                               .completed_ms = now_ms,
                                               .expires_ms = now_ms + PK_OUTBOX_DISCARDED_MS,
                                               .progress = -1 };
        if (!check_discard(task, err)) {
            return false;
        }
        replace_task(decision, task, &change, list);
    }
    return !by->complete || by->complete(by->context, list, decision->after, err);
}

static bool carry_out(struct decision *decision, struct pk_doc **out, struct pk_error *err)
{
    const bool ok = pk_by_decide(decision->by, decision->books, decide, decision, err);
    if (ok && out) {
        *out = decision->after;
    } else {
        pk_doc_unref(decision->after);
    }
    return ok;
}

bool pk_outbox_retry(const struct pk_books *books, const struct pk_by *by, const char *id,
                     struct pk_doc **out, struct pk_error *err)
{
    struct decision decision = { .books = books, .by = by, .id = id, .is_retry = true };
    return carry_out(&decision, out, err) || pk_wrap(err, "retry the task");
}

bool pk_outbox_discard(const struct pk_books *books, const struct pk_by *by, const char *id,
                       struct pk_doc **out, struct pk_error *err)
{
    struct decision decision = { .books = books, .by = by, .id = id };
    return carry_out(&decision, out, err) || pk_wrap(err, "discard the task");
}
