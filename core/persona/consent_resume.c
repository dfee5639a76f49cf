/* consent_resume.c - What waited for a person's consent goes on when it is given.
 *
 * Without consent to processing, observations are taken and their tasks fail:
 * the data waits where operators see it. Whoever records the consent adds one
 * task to his list; it tries those that failed for want of it again, and only
 * those. As with every task that is tried again after it has failed, what was
 * sent meanwhile may be processed first. A consent that begins later is waited
 * for; one that is gone again by then changes nothing.
 *
 * Thread: the outbox's. */
/* SPDX-License-Identifier: MIT */
#include "persona/consent.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "feed/outbox.h"
#include "persona/consent_internal.h"
#include "store/store.h"

#include <string.h>

enum { AT_ONCE = 400 }; /* Two writes each, of PK_WRITES_MAX. */

void consent_add_resume(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                        int64_t from_ms, struct pk_writes *list, char out_task[PK_UUID_TEXT])
{
    pk_task_add(list, domain->books,
                &(struct pk_task_new){ .type = PK_RESUME_TASK,
                                       .person = person,
                                       .actor = by ? by->actor_id : NULL,
                                       .run_after_ms = from_ms },
                out_task);
}

/* It has failed because nobody had agreed to its work. */
static bool is_parked(const struct pk_doc *task)
{
    const char *status = pk_doc_text(task, "status");
    const char *why = pk_doc_text(task, "lastError");
    return status && strcmp(status, "failed") == 0 && why && consent_is_why(why);
}

/* Retries those of a page, as many as there is room for. */
static void retry_page(const struct pk_domain *domain, const struct pk_page *page, size_t *count,
                       struct pk_writes *list)
{
    for (size_t i = 0; i < page->count && *count < AT_ONCE; i++) {
        if (is_parked(page->doc[i])) {
            pk_task_retry(list, domain->books, page->doc[i]);
            (*count)++;
        }
    }
}

/* There may be more: another task, behind those that go on now. */
static void go_on(const struct pk_domain *domain, const char *person, struct pk_writes *list)
{
    char id[PK_UUID_TEXT];
    consent_add_resume(domain, NULL, person, 0, list, id);
    pk_news_add(
        list, domain->books,
        &(struct pk_news){ .type = "task.added",
                           .entity_type = "task",
                           .entity_id = id,
                           .service = "persona",
                           .person = person,
                           .fact = (const struct pk_fact[]){ { "taskId", id }, { NULL, NULL } } });
}

bool pk_consent_resume_run(void *context, const struct pk_task *task, struct pk_writes *list,
                           struct pk_error *err)
{
    const struct pk_domain *domain = context;
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    struct pk_consent consent;
    size_t count = 0;
    bool is_last = false;
    if (!pk_consent_check(domain, task->person, PK_PURPOSE_PROCESSING,
                          pk_clock_wall_ms(domain->books->clock), task->deadline_ns, &consent,
                          err)) {
        return err->code == PK_FORBIDDEN; /* Said anew since. */
    }
    while (!is_last && count < AT_ONCE) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_outbox_filter filter = { .person = task->person, .status = "failed" };
        if (!pk_outbox_list(domain->books, &filter, PK_PAGE_MAX, cursor, &page, err)) {
            return false;
        }
        retry_page(domain, &page, &count, list);
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
        is_last = cursor == NULL;
    }
    if (count == AT_ONCE) {
        go_on(domain, task->person, list);
    }
    pk_consent_expect(list, task->person, PK_PURPOSE_PROCESSING, &consent);
    return true;
}
