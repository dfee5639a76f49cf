/* wait.c - ?wait=processed: an answer that waits for effects, without a thread.
 *
 * A read waits for the tasks of its person that are pending when the feed has
 * passed its cursor: those of the write that the cursor belongs to are among
 * them. Then it goes through run.c once more, so that what it shows is read
 * behind them.
 *
 * A write waits for its own tasks. It is done and its answer made, so nothing
 * that comes after may turn it into an error: when the time is out, or the
 * second look fails, what was made goes out, and a header says so.
 *
 * Those who wake come on any thread, perhaps long after the answer: they hold
 * a reference of the parking place, and a count of their own. */
/* SPDX-License-Identifier: MIT */
#include "api/after.h"
#include "api/api_internal.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "doc/doc.h"
#include "feed/outbox.h"
#include "net/stream.h"
#include "persona/domain.h"

#include <string.h>

enum { ASKED_MAX = 16 };

bool pk_row_may_wait(const struct pk_api_row *row)
{
    const struct pk_action_row *action = pk_action_get(row->action);
    return (row->flags & PK_ROW_WAIT) ||
           ((row->flags & PK_ROW_AFTER) && (action->needs & PK_NEEDS_PERSON));
}

static struct pk_outbox *outbox_of(const struct pk_api_call *call)
{
    return call->parts->domain ? call->parts->domain->outbox : NULL;
}

/* ---- Reads ---- */

static void wake(void *context)
{
    (void)pk_parked_wake(context);
    pk_parked_unref(context);
}

static bool fail_waited(struct pk_error *err)
{
    return pk_fail_field(err, PK_TIMEOUT, "wait",
                         "read without it to see what is there, or send it again; failed and "
                         "waiting tasks are listed by /v1/admin/outbox",
                         "what is pending of this person has not been processed within %d s",
                         PK_AFTER_MAX_MS / 1000);
}

static bool fail_busy(struct pk_error *err)
{
    return pk_fail_field(err, PK_BUSY, "wait", "send it again",
                         "the server cannot let more requests wait for their effects");
}

bool pk_call_wait_effects(struct pk_api_call *call, struct pk_error *err)
{
    if (!call->is_wait_asked || (call->row->flags & PK_ROW_WRITES)) {
        return true;
    }
    if (call->round == 2) {
        return call->request->kept ? fail_busy(err)
                                   : !call->request->is_timed_out || fail_waited(err);
    }
    if (!call->object.person) {
        return pk_fail_field(err, PK_INVALID, "wait", "leave it out",
                             "there is no person here whose tasks could be waited for");
    }
    if (!outbox_of(call)) {
        return pk_fail_field(err, PK_UNSUPPORTED, "wait", "leave it out",
                             "this server carries out no tasks");
    }
    struct pk_parked *parked = pk_answer_park(call->request, call->answer, PK_AFTER_MAX_MS,
                                              call->row->lane, pk_api_run_waited);
    call->request->kept = NULL;
    if (!pk_outbox_wait_person(outbox_of(call), call->object.person, wake, parked, NULL)) {
        call->request->kept = parked; /* Only a mark: the second round says why. */
        wake(parked);
    }
    call->is_over = true;
    return true;
}

/* ---- Writes ---- */

/* What goes on after the wait needs; in the request's arena. */
struct kept {
    pk_run_fn *finish;
    void *own;
    const char **task; /* Those of which it is told whether they have failed. */
    size_t count;
    size_t next;     /* Of tasks that are waited for in turn, the one that comes now. */
    bool is_refused; /* Not all tasks could be waited for. */
};
/* What the tasks' ends share. */
struct count {
    struct pk_parked *parked;
    _Atomic size_t left;
};

static void count_down(void *context)
{
    struct count *count = context;
    if (--count->left == 0) {
        wake(count->parked);
        pk_free(count);
    }
}

/* The answer that was made stays when a newer one cannot be. */
static void make_anew(struct pk_api_call *call, pk_run_fn *finish)
{
    struct pk_answer *answer = call->answer;
    struct pk_answer before = *answer; /* With its body, which 'answer' has no longer. */
    answer->body = (struct pk_buf){ 0 };
    if (finish(call, NULL)) {
        pk_buf_done(&before.body);
    } else {
        pk_buf_done(&answer->body);
        *answer = before;
    }
}

/* A task that has failed or was given up has ended, too. */
static bool has_failed(const struct pk_api_call *call, const struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = NULL;
        if (pk_outbox_get(call->parts->books, kept->task[i], &task, NULL) &&
            strcmp(pk_doc_text(task, "status"), "done") != 0) {
            return true;
        }
    }
    return false;
}

/* 202 says that the effects are still to come, whatever the row says without a wait. */
static void tell(struct pk_api_call *call, const struct kept *kept)
{
    struct pk_answer *answer = call->answer;
    const bool was_last = kept->next == 0 || kept->next == kept->count;
    const bool has_ended = was_last && !call->request->is_timed_out && !kept->is_refused;
    const bool is_done = has_ended && !has_failed(call, kept);
    if (!has_ended && (answer->status == 200 || answer->status == 201)) {
        answer->status = 202;
    } else if (is_done && answer->status == 202) {
        answer->status = 200;
    }
    (void)pk_answer_header(call->request, answer, "PersonaKit-Processed",
                           is_done     ? "true"
                           : has_ended ? "failed"
                                       : "false",
                           NULL);
}

static void park_for(struct pk_api_call *call, struct kept *kept, const char *const *task,
                     size_t count, int64_t wait_ms);

/* Another task comes behind the one that has ended: it may be there now. */
static bool wait_for_next(struct pk_api_call *call, struct kept *kept)
{
    const int64_t left_ms = PK_AFTER_MAX_MS - call->request->times.park_ns / (1000 * 1000);
    if (kept->next == 0 || kept->next == kept->count || kept->is_refused || left_ms <= 0 ||
        call->request->is_timed_out) {
        return false;
    }
    park_for(call, kept, &kept->task[kept->next++], 1, left_ms);
    return true;
}

static void go_on(void *context, struct pk_request *request, struct pk_answer *answer)
{
    PK_CLEANUP(pk_call_end) struct pk_api_call call = { .round = 2 };
    struct kept *kept = request->kept;
    const int64_t store_ns = pk_store_thread_ns();

    pk_call_begin(&call, context, request, answer);
    call.own = kept->own;
    if (!wait_for_next(&call, kept)) {
        tell(&call, kept);
        if (kept->finish && pk_call_read_params(&call, NULL)) {
            make_anew(&call, kept->finish);
        }
    }
    request->times.store_ns += pk_store_thread_ns() - store_ns;
}

static void park_for(struct pk_api_call *call, struct kept *kept, const char *const *task,
                     size_t count, int64_t wait_ms)
{
    struct count *shared = pk_alloc(sizeof(*shared));
    call->request->kept = kept;
    shared->parked = pk_answer_park(call->request, call->answer, wait_ms, call->row->lane, go_on);
    shared->left = count;
    for (size_t i = 0; i < count; i++) {
        if (!pk_outbox_wait(outbox_of(call), task[i], count_down, shared, NULL)) {
            kept->is_refused = true;
            count_down(shared);
        }
    }
    call->is_over = true;
}

/* NULL: nothing is to be waited for. */
static struct kept *keep(struct pk_api_call *call, const char *const *task, size_t count)
{
    if (!call->is_wait_asked || count == 0 || !outbox_of(call)) {
        return NULL;
    }
    struct kept *kept = pk_arena_alloc(&call->request->arena, sizeof(*kept));
    *kept = (struct kept){ .count = count < ASKED_MAX ? count : ASKED_MAX };
    kept->task = pk_arena_alloc(&call->request->arena, kept->count * sizeof(*kept->task));
    for (size_t i = 0; i < kept->count; i++) {
        kept->task[i] = pk_arena_strdup(&call->request->arena, task[i]);
    }
    return kept;
}

void pk_call_wait_tasks(struct pk_api_call *call, const char *const *task, size_t count,
                        pk_run_fn *finish, void *own)
{
    struct kept *kept = keep(call, task, count);
    if (kept) {
        kept->finish = finish;
        kept->own = own;
        park_for(call, kept, task, count, PK_AFTER_MAX_MS);
    }
}

void pk_call_wait_in_turn(struct pk_api_call *call, const char *const *task, size_t count)
{
    struct kept *kept = keep(call, task, count);
    if (kept) {
        kept->next = 1;
        park_for(call, kept, kept->task, 1, PK_AFTER_MAX_MS);
    }
}
