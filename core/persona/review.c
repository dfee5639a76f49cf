/* review.c - Proposals that wait for a person's word, and what becomes of them.
 *
 *     pending --approve--> approved --undo--> undone
 *        |  ^
 *     decline undo
 *        v  |
 *     declined
 *
 * Each decision is a curation, so it has its place in the person's order; the
 * review is changed in the same list. An approval sets what was proposed. Its
 * undo restores the trait to what it was before that, from the history; so it
 * waits until the approval was carried out. A decline changes nothing but the
 * review, and its undo makes it wait again.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/curation_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/peek.h"

#include <string.h>

/* What a decision leads to from where. */
/* What a decision does to the trait. */
enum effect { LEAVES, SETS_PROPOSED, RESTORES_BEFORE };
struct move {
    enum pk_review_decision decision;
    const char *from, *to;
    const char *action; /* Audit and event. */
    enum effect effect;
    bool is_decided; /* decidedBy and decidedAt say who; else they go. */
};
static const struct move move_table[] = {
    { PK_REVIEW_APPROVE, "pending", "approved", "review.approved", SETS_PROPOSED, true },
    { PK_REVIEW_DECLINE, "pending", "declined", "review.declined", LEAVES, true },
    { PK_REVIEW_UNDO, "approved", "undone", "review.undone", RESTORES_BEFORE, true },
    { PK_REVIEW_UNDO, "declined", "pending", "review.undone", LEAVES, false },
};

struct decision {
    const struct pk_domain *domain;
    const struct pk_by *by;
    const char *person, *review;
    enum pk_review_decision decision;
    struct pk_doc *result; /* The review afterwards; a reference. */
    struct pk_curated *out;
};

/* ---- Reading ---- */

static bool find_review(const struct decision *decision, struct pk_doc **out, struct pk_error *err)
{
    const struct pk_domain *domain = decision->domain;
    if (!pk_store_get(domain->books->store, "reviews", decision->review, decision->by->deadline_ns,
                      out, err)) {
        return pk_wrap(err, "read the review");
    }
    const char *person = *out ? pk_doc_text(*out, "userId") : NULL;
    return (person && strcmp(person, decision->person) == 0) ||
           pk_fail(err, PK_NOT_FOUND, "list the person's reviews", "there is no such review");
}

static const struct move *find_move(const struct decision *decision, const struct pk_doc *review,
                                    struct pk_error *err)
{
    const char *status = pk_doc_text(review, "status");
    for (size_t i = 0; i < PK_COUNT(move_table); i++) {
        if (move_table[i].decision == decision->decision && status &&
            strcmp(move_table[i].from, status) == 0) {
            return &move_table[i];
        }
    }
    (void)pk_fail(err, PK_CONFLICT, "a pending one can be decided, a decided one undone",
                  "the review is '%s'", status ? status : "");
    return NULL;
}

/* ---- Operations ---- */

static void add_approval(struct curation_list *list, const struct pk_doc *review)
{
    static const char *const field[] = { "value",    "confidence", "volatility",
                                         "category", "validFrom",  "metadata" };
    bson_t view, proposed, operation;
    bson_iter_t iter;
    pk_doc_view(review, &view);
    curation_open(list, &operation, "set");
    BSON_APPEND_UTF8(&operation, "path", pk_doc_text(review, "traitPath"));
    if (bson_iter_init_find(&iter, &view, "proposed") && pk_peek_object(&iter, &proposed)) {
        for (size_t i = 0; i < PK_COUNT(field); i++) {
            if (bson_iter_init_find(&iter, &proposed, field[i])) {
                (void)bson_append_iter(&operation, field[i], -1, &iter);
            }
        }
    }
    if (bson_iter_init_find(&iter, &view, "derivedFrom")) {
        (void)bson_append_iter(&operation, "derivedFrom", -1, &iter);
    }
    curation_close(list, &operation);
}

/* The row of the history in which the approval changed the trait: of this epoch. NULL: it changed
 * nothing. */
static bool find_change(const struct decision *decision, const struct pk_doc *review, int64_t epoch,
                        struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const char *curation = pk_doc_text(review, "curationId");
    const char *path = pk_doc_text(review, "traitPath");
    const struct pk_query query = { .collection = "trait_history",
                                    .index = "by_observation",
                                    .equal = { PK_TEXT(curation ? curation : "") },
                                    .equal_count = 1 };
    if (!pk_store_find(decision->domain->books->store, &query, decision->by->deadline_ns, &page,
                       err)) {
        return pk_wrap(err, "read what the approval changed");
    }
    for (size_t i = 0; i < page.count && !*out; i++) {
        const char *found = pk_doc_text(page.doc[i], "path");
        if (found && path && strcmp(found, path) == 0 &&
            pk_doc_int(page.doc[i], "epoch", -1) == epoch) {
            *out = pk_doc_ref(page.doc[i]);
        }
    }
    return true;
}

static bool is_carried_out(const struct decision *decision, const struct pk_doc *review,
                           struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *curation = NULL;
    const char *id = pk_doc_text(review, "curationId");
    if (!pk_store_get(decision->domain->books->store, "observations", id ? id : "",
                      decision->by->deadline_ns, &curation, err)) {
        return pk_wrap(err, "read the approval");
    }
    const char *status = curation ? pk_doc_text(curation, "processingStatus") : NULL;
    return !curation || (status && strcmp(status, "processed") == 0) ||
           pk_fail(err, PK_CONFLICT, "undo it when it has been",
                   "the approval has not been carried out yet");
}

static bool add_undo(struct curation_list *list, const struct decision *decision,
                     const struct pk_doc *review, const struct pk_doc *mindscape,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *change = NULL;
    bson_t view, operation;
    bson_iter_t iter;
    if (!is_carried_out(decision, review, err) ||
        !find_change(decision, review, pk_doc_int(mindscape, "epoch", 0), &change, err)) {
        return false;
    }
    if (!change) {
        return true;
    }
    pk_doc_view(change, &view);
    curation_open(list, &operation, "restore");
    BSON_APPEND_UTF8(&operation, "path", pk_doc_text(review, "traitPath"));
    if (bson_iter_init_find(&iter, &view, "before")) {
        (void)bson_append_iter(&operation, "trait", -1, &iter);
    } else {
        BSON_APPEND_NULL(&operation, "trait");
    }
    curation_close(list, &operation);
    return true;
}

/* { operations, review: { reviewId, decision } } */
static bool fill(const struct decision *decision, const struct move *move,
                 const struct pk_doc *review, const struct pk_doc *mindscape, bson_t *structured,
                 struct pk_error *err)
{
    struct curation_list list;
    bson_t about;
    bool ok = true;
    curation_begin(&list, structured);
    if (move->effect == SETS_PROPOSED) {
        add_approval(&list, review);
    } else if (move->effect == RESTORES_BEFORE) {
        ok = add_undo(&list, decision, review, mindscape, err);
    }
    curation_end(&list);
    BSON_APPEND_DOCUMENT_BEGIN(structured, "review", &about);
    BSON_APPEND_UTF8(&about, "reviewId", decision->review);
    BSON_APPEND_UTF8(&about, "decision", move->to);
    bson_append_document_end(structured, &about);
    return ok;
}

/* ---- Writing ---- */

static struct pk_doc *decided(const struct decision *decision, const struct move *move,
                              const struct pk_doc *review)
{
    static const char *const own[] = { "status",     "decidedBy", "decidedAt",
                                       "curationId", "updatedAt", NULL };
    const int64_t now_ms = pk_clock_wall_ms(decision->domain->books->clock);
    bson_t view;
    bson_t *bson = bson_new();
    bson_iter_t iter;
    pk_doc_view(review, &view);
    if (bson_iter_init(&iter, &view)) {
        while (bson_iter_next(&iter)) {
            size_t i = 0;
            while (own[i] && strcmp(own[i], bson_iter_key(&iter)) != 0) {
                i++;
            }
            if (!own[i]) {
                (void)bson_append_iter(bson, bson_iter_key(&iter), -1, &iter);
            }
        }
    }
    BSON_APPEND_UTF8(bson, "status", move->to);
    if (move->is_decided) {
        BSON_APPEND_UTF8(bson, "decidedBy", decision->by->actor_id);
        BSON_APPEND_DATE_TIME(bson, "decidedAt", now_ms);
        BSON_APPEND_UTF8(bson, "curationId", decision->out->observation);
    }
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

static void tell(const struct decision *decision, const struct move *move, struct pk_writes *list)
{
    const struct pk_fact fact[] = { { "taskId", decision->out->task },
                                    { "observationId", decision->out->observation },
                                    { NULL, NULL } };
    pk_news_add(list, decision->domain->books,
                &(struct pk_news){ .type = move->action,
                                   .entity_type = "review",
                                   .entity_id = decision->review,
                                   .service = "persona",
                                   .person = decision->person,
                                   .fact = fact });
}

static bool decide(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct decision *decision = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *review = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    bson_t structured = BSON_INITIALIZER;

    if (!find_review(decision, &review, err) ||
        !curation_find_mindscape(decision->domain, decision->by, decision->person, &mindscape,
                                 err)) {
        return false;
    }
    const struct move *move = find_move(decision, review, err);
    const bool ok = move && fill(decision, move, review, mindscape, &structured, err) &&
                    curation_write(decision->domain, decision->by, decision->person, &structured,
                                   mindscape, move->action, list, decision->out, err);
    bson_destroy(&structured);
    if (!ok) {
        return false;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = decided(decision, move, review);
    const size_t at = list->count;
    pk_writes_replace(list, "reviews", made, pk_doc_version(review));
    bson_t view;
    pk_doc_view(made, &view);
    pk_doc_unref(decision->result);
    decision->result = pk_doc_new_versioned(&view, pk_writes_version(list, at));
    tell(decision, move, list);
    return !decision->by->complete ||
           decision->by->complete(decision->by->context, list, decision->result, err);
}

bool pk_review_decide(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                      const char *review, enum pk_review_decision what, struct pk_doc **out,
                      struct pk_curated *curated, struct pk_error *err)
{
    struct decision decision = { .domain = domain,
                                 .by = by,
                                 .person = person,
                                 .review = review,
                                 .decision = what,
                                 .out = curated };
    *out = NULL;
    if (!pk_by_decide(by, domain->books, decide, &decision, err)) {
        pk_doc_unref(decision.result);
        return pk_wrap(err, "decide on the review");
    }
    *out = decision.result;
    return true;
}

bool pk_review_list(const struct pk_domain *domain, const char *person, const char *status,
                    size_t limit, const char *cursor, struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = { .collection = "reviews",
                                    .index = "by_user_status",
                                    .equal = { PK_TEXT(person), PK_TEXT(status ? status : "") },
                                    .equal_count = status ? 2 : 1,
                                    .limit = limit,
                                    .cursor = cursor };
    return pk_store_find(domain->books->store, &query, 0, out, err) ||
           pk_wrap(err, "list the reviews");
}
