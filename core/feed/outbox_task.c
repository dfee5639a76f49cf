/* outbox_task.c - Tasks as documents of the collection 'outbox'. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "feed/outbox_internal.h"

#include <string.h>

/* ---- Asking for one ---- */

static void add_text(bson_t *bson, const char *name, const char *text)
{
    if (text) {
        BSON_APPEND_UTF8(bson, name, text);
    }
}

/* Whose it is: 'type' is that of one that is born claimed. */
static void add_state(bson_t *bson, const struct pk_books *books, const struct pk_task_type *type,
                      int64_t run_after_ms, int64_t now_ms)
{
    BSON_APPEND_UTF8(bson, "status", type ? "in_progress" : "pending");
    BSON_APPEND_INT64(bson, "attempts", type ? 1 : 0);
    if (type) {
        BSON_APPEND_UTF8(bson, "leaseOwner", books->node);
        BSON_APPEND_DATE_TIME(bson, "leaseUntil", now_ms + pk_born_lease_ms(type));
    }
    BSON_APPEND_DATE_TIME(bson, "runAfter", run_after_ms > now_ms ? run_after_ms : now_ms);
}

void pk_task_add(struct pk_writes *list, const struct pk_books *books,
                 const struct pk_task_new *task, char out_id[PK_UUID_TEXT])
{
    const int64_t now_ms = pk_clock_wall_ms(books->clock);
    const struct pk_task_type *type = task->outbox && task->run_after_ms <= now_ms
                                          ? pk_born_type(task->outbox, task->type)
                                          : NULL;
    bson_t empty = BSON_INITIALIZER;
    bson_t *bson = bson_new();
    char id[PK_UUID_TEXT];

    if (task->id) {
        (void)strncpy(id, task->id, sizeof(id) - 1);
        id[sizeof(id) - 1] = '\0';
    } else {
        pk_uuid_ordered(now_ms, id);
    }
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_UTF8(bson, "taskType", task->type);
    add_text(bson, "userId", task->person);
    if (task->actor && pk_uuid_is_v4(task->actor, strlen(task->actor))) { /* Not "personakit". */
        BSON_APPEND_UTF8(bson, "actorId", task->actor);
    }
    BSON_APPEND_DOCUMENT(bson, "payload", task->payload ? task->payload : &empty);
    add_state(bson, books, type, task->run_after_ms, now_ms);
    BSON_APPEND_DATE_TIME(bson, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "outbox", doc);
    if (type) {
        pk_born_add(task->outbox, type, doc, pk_writes_version(list, list->count - 1));
        if (type->started) {
            type->started(type->context, doc, list);
        }
    }
    if (out_id) {
        memcpy(out_id, id, PK_UUID_TEXT);
    }
    bson_destroy(&empty);
}

/* ---- Changing one ---- */

static bool is_kept(const char *name, const struct pk_task_change *change)
{
    return strcmp(name, "status") != 0 && strcmp(name, "updatedAt") != 0 &&
           strcmp(name, "leaseOwner") != 0 && strcmp(name, "leaseUntil") != 0 &&
           strcmp(name, "completedAt") != 0 && strcmp(name, "expiresAt") != 0 &&
           !(strcmp(name, "attempts") == 0 && change->attempts >= 0) &&
           !(strcmp(name, "runAfter") == 0 && change->run_after_ms != 0) &&
           !(strcmp(name, "lastError") == 0 && change->error) &&
           !(strcmp(name, "progress") == 0 && change->progress >= 0);
}

static void add_date(bson_t *bson, const char *name, int64_t wall_ms)
{
    if (wall_ms != 0) {
        BSON_APPEND_DATE_TIME(bson, name, wall_ms);
    }
}

struct pk_doc *pk_task_change(const struct pk_doc *task, const struct pk_task_change *change,
                              int64_t now_ms)
{
    bson_t *bson = bson_new();
    bson_iter_t field;
    bson_t view;

    pk_doc_view(task, &view);
    (void)bson_iter_init(&field, &view);
    while (bson_iter_next(&field)) {
        if (is_kept(bson_iter_key(&field), change)) {
            (void)bson_append_iter(bson, NULL, 0, &field);
        }
    }
    BSON_APPEND_UTF8(bson, "status", change->status);
    if (change->attempts >= 0) {
        BSON_APPEND_INT64(bson, "attempts", change->attempts);
    }
    if (change->progress >= 0) {
        BSON_APPEND_DOUBLE(bson, "progress", change->progress);
    }
    add_text(bson, "lastError", change->error);
    add_text(bson, "leaseOwner", change->owner);
    add_date(bson, "leaseUntil", change->lease_until_ms);
    add_date(bson, "runAfter", change->run_after_ms);
    add_date(bson, "completedAt", change->completed_ms);
    add_date(bson, "expiresAt", change->expires_ms);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

bool pk_task_is_open(const struct pk_doc *task)
{
    const char *status = pk_doc_text(task, "status");
    return status && (strcmp(status, "pending") == 0 || strcmp(status, "in_progress") == 0);
}

void pk_task_tell(struct pk_writes *list, const struct pk_books *books, const struct pk_doc *task,
                  const char *type, const char *fact)
{
    pk_news_add(list, books,
                &(struct pk_news){ .type = type,
                                   .entity_type = "task",
                                   .entity_id = pk_doc_id(task),
                                   .service = "feed",
                                   .person = pk_doc_text(task, "userId"),
                                   .fact = (const struct pk_fact[]){
                                       { fact, pk_doc_id(task) },
                                       { "taskType", pk_doc_text(task, "taskType") },
                                       { NULL, NULL },
                                   } });
}
