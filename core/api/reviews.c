/* reviews.c - /v1/people/{person}/reviews: what waits for a person's word.
 *
 * A proposal shows a trait, so those of traits that are hidden from who asks
 * are neither listed nor decided by him. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_curation.h"
#include "persona/curation.h"

#include <string.h>

static bool is_hidden(const struct pk_api_call *call, const struct pk_doc *review)
{
    return pk_principal_hides(call->who, pk_doc_text(review, "traitPath"));
}

/* ---- Reading ---- */

static bool show(struct pk_api_call *call, const struct pk_doc *review, struct pk_error *err)
{
    return pk_call_answer_doc(call, "reviews", review, err);
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    if (!pk_review_list(call->parts->domain, call->object.person, pk_call_value(call, "status"),
                        call->limit, call->cursor, &page, err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        if (!is_hidden(call, page.doc[i]) &&
            !pk_call_list_add_doc(call, "reviews", page.doc[i], err)) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

/* ---- Deciding ---- */

/* There is such a review, and who asks may see what it is about. */
static bool may_decide(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *review = NULL;
    if (!pk_store_get(call->parts->books->store, "reviews", pk_call_value(call, "review"),
                      call->deadline_ns, &review, err)) {
        return pk_wrap(err, "read the review");
    }
    return (review && !is_hidden(call, review)) ||
           pk_fail(err, PK_NOT_FOUND, "list the person's reviews", "there is no such review");
}

static bool decide(struct pk_api_call *call, enum pk_review_decision decision, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *review = NULL;
    struct pk_curated curated;
    const char *task = curated.task;
    if (!may_decide(call, err) ||
        !pk_review_decide(call->parts->domain, &call->by, call->object.person,
                          pk_call_value(call, "review"), decision, &review, &curated, err) ||
        !pk_call_show(call, review, err)) {
        return false;
    }
    pk_call_wait_tasks(call, &task, 1, NULL, NULL);
    return true;
}

static bool approve(struct pk_api_call *call, struct pk_error *err)
{
    return decide(call, PK_REVIEW_APPROVE, err);
}

static bool decline(struct pk_api_call *call, struct pk_error *err)
{
    return decide(call, PK_REVIEW_DECLINE, err);
}

static bool undo(struct pk_api_call *call, struct pk_error *err)
{
    return decide(call, PK_REVIEW_UNDO, err);
}

/* ---- Routes ---- */

static const struct pk_param list_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = "status",
      .type = PK_PARAM_WORD,
      .allowed = pk_review_status,
      .fallback = "all",
      .help = "Only those of this status." },
    { .name = NULL },
};
static const struct pk_param review_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = "review", .type = PK_PARAM_UUID, .help = "The review's id." },
    { .name = NULL },
};
static const enum pk_code conflict[] = { PK_CONFLICT, PK_OK };

#define DECIDE(VERB, DOES)                                                             \
    {                                                                                  \
        PK_ROW(POST, "/v1/people/{person}/reviews/{review}/" #VERB, REVIEW_DECIDE),    \
            .lane = PK_LANE_STORE, .status = 202,                                      \
            .flags = PK_ROW_WRITES | PK_ROW_ONCE | PK_ROW_WAIT, .param = review_param, \
            .subject = pk_subject_person, .run = VERB, .show = show,                   \
            .answer = &pk_schema_review_view, .id = #VERB "Review", .tag = "reviews",  \
            .help = DOES, .fails = conflict                                            \
    }

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/people/{person}/reviews", REVIEW_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_LIST | PK_ROW_AFTER, .param = list_param,
      .subject = pk_subject_person, .run = list, .answer = &pk_schema_review_view,
      .id = "listReviews", .tag = "reviews",
      .help = "Lists what waits for the person's word, and what was decided." },
    DECIDE(approve, "Lets a proposed change happen; the trait is the person's word from then on."),
    DECIDE(decline, "Leaves the trait as it is."),
    DECIDE(undo, "Takes a decision back: what an approval changed is restored."),
};
const struct pk_api_table pk_api_reviews_table = { row, PK_COUNT(row) };
