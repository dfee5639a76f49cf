/* tasks.c - /v1/tasks/{task}: how far work has got; /v1/admin/outbox: all of it, for operators.
 *
 * Everybody may look at what he asked for himself; operators look at all, try
 * again what has failed, and give up what nobody needs any more. A task of a
 * person whom the key may not see is not there. */
/* SPDX-License-Identifier: MIT */
#include "api/pages.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_task.h"
#include "feed/outbox.h"

/* ---- What it is done to ---- */

static bool subject(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    struct pk_error why = { 0 };
    if (!pk_outbox_get(call->parts->books, pk_call_value(call, "task"), &call->found, &why) &&
        why.code != PK_NOT_FOUND) {
        *err = why;
        return false;
    }
    object->is_missing =
        !call->found || !pk_sight_has(call->who, pk_doc_text(call->found, "userId"));
    object->owner = call->found ? pk_doc_text(call->found, "actorId") : NULL;
    return true;
}

/* ---- Showing ---- */

static bool show(struct pk_api_call *call, const struct pk_doc *task, struct pk_error *err)
{
    return pk_call_answer_doc(call, "outbox", task, err);
}

static bool show_found(struct pk_api_call *call, struct pk_error *err)
{
    return pk_call_show(call, call->found, err);
}

/* What the index has not filtered is filtered behind it: so a page may take several reads. */
static bool read_tasks(struct pk_api_call *call, void *context, const char *person, size_t limit,
                       const char *cursor, struct pk_page *out, struct pk_error *err)
{
    const struct pk_outbox_filter filter = { .status = pk_call_value(call, "status"),
                                             .type = pk_call_value(call, "type"),
                                             .person = person };
    (void)context;
    return pk_outbox_list(call->parts->books, &filter, limit, cursor, out, err);
}

static bool is_shown(const struct pk_api_call *call, void *context, const struct pk_doc *task)
{
    (void)context;
    return pk_sight_has(call->who, pk_doc_text(task, "userId"));
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    const char *person = pk_call_value(call, "person");
    struct pk_sight_ids ids;
    struct pk_pages pages = { .collection = "outbox", .read = read_tasks, .is_shown = is_shown };
    if (person) {
        pages.ids = &ids;
        if (!pk_sight_ids(call->parts->domain, call->who, person, call->deadline_ns, &ids, err)) {
            return false;
        }
    }
    return pk_call_list_pages(call, &pages, err);
}

/* ---- Deciding ---- */

static bool retry(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    return pk_outbox_retry(call->parts->books, &call->by, pk_doc_id(call->found), &task, err) &&
           pk_call_show(call, task, err);
}

static bool discard(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
    return pk_outbox_discard(call->parts->books, &call->by, pk_doc_id(call->found), &task, err) &&
           pk_call_show(call, task, err);
}

/* ---- Routes ---- */

static const struct pk_param task_param[] = {
    { .name = "task", .type = PK_PARAM_UUID, .help = "The task's id." },
    { .name = NULL },
};
static const struct pk_param list_param[] = {
    { .name = "status",
      .type = PK_PARAM_WORD,
      .allowed = pk_task_status,
      .fallback = "all",
      .help = "Only tasks of this status." },
    { .name = "type",
      .type = PK_PARAM_TEXT,
      .max = 200,
      .fallback = "all",
      .help = "Only tasks of this type: 'process_observation'." },
    { .name = "person",
      .type = PK_PARAM_UUID,
      .fallback = "all",
      .help = "Only tasks of this person, in the order in which they were asked for; behind them "
              "those under his other ids." },
    { .name = NULL },
};
static const enum pk_code conflict[] = { PK_CONFLICT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/tasks/{task}", TASK_READ), .lane = PK_LANE_STORE, .flags = PK_ROW_AFTER,
      .param = task_param, .subject = subject, .run = show_found, .show = show,
      .answer = &pk_schema_task_view, .id = "getTask", .tag = "tasks",
      .help = "Shows how far a task has got; everybody may see what he asked for." },
    { PK_ROW(GET, "/v1/admin/outbox", OUTBOX_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = list_param, .run = list,
      .answer = &pk_schema_task_view, .id = "listTasks", .tag = "admin",
      .help =
          "Lists what waits, is under way, is done and has failed, by the instant it is due, of "
          "nobody whom the key may not see. A page may have fewer items than asked for, and "
          "still a next." },
    { PK_ROW(GET, "/v1/admin/outbox/{task}", OUTBOX_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = task_param, .subject = subject, .run = show_found,
      .show = show, .answer = &pk_schema_task_view, .id = "getOutboxTask", .tag = "admin",
      .help = "Shows a task." },
    { PK_ROW(POST, "/v1/admin/outbox/{task}/retry", OUTBOX_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = task_param, .subject = subject, .run = retry,
      .show = show, .answer = &pk_schema_task_view, .id = "retryTask", .tag = "admin",
      .help = "Tries a task that has failed again, from its first attempt; one that waits, now.",
      .fails = conflict },
    { PK_ROW(POST, "/v1/admin/outbox/{task}/discard", OUTBOX_MANAGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_WRITES | PK_ROW_ONCE, .param = task_param, .subject = subject, .run = discard,
      .show = show, .answer = &pk_schema_task_view, .id = "discardTask", .tag = "admin",
      .help = "Gives a task up for good: it has no effect, and those behind it go on.",
      .fails = conflict },
};
const struct pk_api_table pk_api_tasks_table = { row, PK_COUNT(row) };
