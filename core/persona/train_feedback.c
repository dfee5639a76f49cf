/* train_feedback.c - A mapper's feedback, page by page: learnt, weighed, marked.
 *
 * Feedback counts while it is not incorporated, whichever version it is about,
 * when it came within the time that was asked for and before the training
 * began. Where a processor fails, that feedback stays as it is and does not
 * count; the rest goes on. Every step can be repeated: feedback that has its
 * lessons keeps them, feedback that is marked is passed by. */
/* SPDX-License-Identifier: MIT */
#include "persona/train_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/feedback_internal.h"
#include "script/scripts.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#define RENEW_EACH_NS INT64_C(2000000000) /* Of a lease of 30 s. */

/* ---- Pages ---- */

typedef bool each_fn(struct train *train, struct pk_doc **feedback, size_t count,
                     struct pk_error *err);

static bool has_status(const struct pk_doc *feedback, const char *status)
{
    const char *text = pk_doc_text(feedback, "processingStatus");
    return text && strcmp(text, status) == 0;
}

static bool counts(const struct train *train, const struct pk_doc *feedback)
{
    const int64_t at = pk_doc_date(feedback, "submittedAt", 0);
    return !has_status(feedback, "incorporated") && at >= train->since_ms &&
           at <= train->started_ms;
}

/* A server that stops leaves it to the next start. */
static bool go_on(struct train *train, double progress, struct pk_error *err)
{
    if (!train->task) {
        return !pk_deadline_passed(train->domain->books->clock, train->deadline_ns) ||
               pk_fail(err, PK_TIMEOUT, "train without a dry run: it is a task, and takes its time",
                       "there is too much feedback to look at while you wait");
    }
    if (pk_task_should_stop(train->task)) {
        return pk_fail(err, PK_UNAVAILABLE, "it goes on after the start", "the server stops");
    }
    if (!pk_task_progress(train->task, progress, err)) {
        return false;
    }
    train->progress = progress;
    train->deadline_ns = train->task->deadline_ns;
    train->renewed_ns = pk_clock_mono_ns(train->domain->books->clock);
    return true;
}

/* Processors may take their time: the lease does not wait for the end of a page. */
static bool go_on_in_time(struct train *train, struct pk_error *err)
{
    const int64_t now_ns = pk_clock_mono_ns(train->domain->books->clock);
    return now_ns - train->renewed_ns < RENEW_EACH_NS || go_on(train, train->progress, err);
}

static bool each_page(struct train *train, double from, double to, each_fn *each,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    double left = 1;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        struct pk_doc *some[TRAIN_PAGE];
        size_t count = 0;
        const struct pk_query query = { .collection = "feedback",
                                        .index = "by_mapper",
                                        .equal = { PK_TEXT(train->mapper) },
                                        .equal_count = 1,
                                        .limit = TRAIN_PAGE,
                                        .cursor = cursor };
        if (!pk_store_find(train->domain->books->store, &query, train->deadline_ns, &page, err)) {
            return pk_wrap(err, "read the mapper's feedback");
        }
        for (size_t i = 0; i < page.count; i++) {
            if (counts(train, page.doc[i])) {
                some[count++] = page.doc[i];
            }
        }
        left *= 0.9; /* How much there is nobody knows. */
        if (!each(train, some, count, err) || !go_on(train, to - (to - from) * left, err)) {
            return false;
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return true;
}

/* ---- Learning ---- */

static void note_failure(struct train *train, const struct pk_error *why)
{
    if (train->failures++ == 0) {
        (void)snprintf(train->problem, sizeof(train->problem), "%s", why->message);
    }
}

/* Writes what was learnt of one; '*out' becomes what is stored, or NULL when it has gone. */
static bool keep(struct train *train, const struct pk_doc *feedback, struct pk_doc **out,
                 struct pk_error *err)
{
    struct pk_store *store = train->domain->books->store;
    struct pk_writes list = { 0 };
    struct pk_error why = { 0 };
    feedback_put(train->domain, feedback, *out, &list);
    bool ok = pk_store_commit(store, &list, train->deadline_ns, NULL, &why);
    pk_writes_done(&list);
    if (!ok && why.code == PK_CONFLICT) { /* Its own task was first, or the person has gone. */
        pk_doc_unref(*out);
        *out = NULL;
        ok = pk_store_get(store, "feedback", pk_doc_id(feedback), train->deadline_ns, out, &why);
    }
    if (!ok) {
        *err = why;
        return pk_wrap(err, "keep what was learnt of feedback");
    }
    return true;
}

static bool learn_one(struct train *train, const struct pk_generation *generation,
                      const struct pk_doc *feedback, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *learnt = NULL;
    struct pk_error why = { 0 };
    train->samples++;
    if (!has_status(feedback, "pending") && feedback_is_learnt(feedback, generation)) {
        train_tally_add(&train->tally, feedback);
        return true;
    }
    if (!feedback_learn(train->domain, feedback, train->deadline_ns, &learnt, &why)) {
        note_failure(train, &why);
        return true;
    }
    if (train->task && !keep(train, feedback, &learnt, err)) {
        return false;
    }
    if (learnt && !has_status(learnt, "incorporated")) {
        train_tally_add(&train->tally, learnt);
    }
    return true;
}

static bool learn_page(struct train *train, struct pk_doc **feedback, size_t count,
                       struct pk_error *err)
{
    struct pk_generation *pinned = pk_scripts_pin(train->domain->scripts);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        ok = go_on_in_time(train, err) && learn_one(train, pinned, feedback[i], err);
    }
    pk_generation_unpin(pinned);
    return ok;
}

bool train_learn(struct train *train, struct pk_error *err)
{
    return each_page(train, 0, 0.5, learn_page, err);
}

/* ---- What went into the draft ---- */

struct weighing {
    const bson_t *changes;
    bool is_weighed;
};

static void look(void *context, const struct train_said *said)
{
    struct weighing *weighing = context;
    weighing->is_weighed |= train_is_weighed(weighing->changes, said);
}

static bool is_weighed(const struct train *train, const struct pk_doc *feedback)
{
    struct weighing weighing = { .changes = &train->changes };
    train_each_said(feedback, look, &weighing);
    return weighing.is_weighed;
}

static bool count_page(struct train *train, struct pk_doc **feedback, size_t count,
                       struct pk_error *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++) {
        const int64_t rating = pk_doc_int(feedback[i], "ratings.overall", 0);
        if (is_weighed(train, feedback[i])) {
            train->incorporated++;
            train->rated += rating > 0;
            train->ratings += rating;
        }
    }
    return true;
}

static struct pk_doc *incorporated(const struct train *train, const struct pk_doc *feedback)
{
    bson_t view, *made = bson_new();
    bson_iter_t iter;
    pk_doc_view(feedback, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        const char *name = bson_iter_key(&iter);
        if (strcmp(name, "processingStatus") != 0 && strcmp(name, "incorporatedVersion") != 0) {
            (void)bson_append_iter(made, NULL, 0, &iter);
        }
    }
    BSON_APPEND_UTF8(made, "processingStatus", "incorporated");
    BSON_APPEND_UTF8(made, "incorporatedVersion", train->version);
    return pk_doc_take(made);
}

/* A page's feedback, marked in one list: what has changed meanwhile is read again. */
struct marking {
    struct train *train;
    struct pk_doc **feedback;
    size_t count;
};

static bool mark(void *context, struct pk_writes *list, struct pk_error *err)
{
    const struct marking *marking = context;
    struct train *train = marking->train;
    for (size_t i = 0; i < marking->count; i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *now = NULL;
        if (!is_weighed(train, marking->feedback[i])) {
            continue;
        }
        if (!pk_store_get(train->domain->books->store, "feedback", pk_doc_id(marking->feedback[i]),
                          train->deadline_ns, &now, err)) {
            return pk_wrap(err, "read feedback again");
        }
        if (now && !has_status(now, "incorporated")) {
            PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = incorporated(train, now);
            pk_writes_replace(list, "feedback", made, pk_doc_version(now));
            pk_writes_expect_absent(list, "tombstones", pk_doc_text(now, "userId"));
        }
    }
    return true;
}

static bool mark_page(struct train *train, struct pk_doc **feedback, size_t count,
                      struct pk_error *err)
{
    struct marking marking = { .train = train, .feedback = feedback, .count = count };
    return pk_store_decide(train->domain->books->store, mark, &marking, train->deadline_ns, NULL,
                           err) ||
           pk_wrap(err, "mark what was incorporated");
}

bool train_weighed(struct train *train, bool is_marked, struct pk_error *err)
{
    if (is_marked) {
        return each_page(train, 0.7, 1, mark_page, err);
    }
    train->incorporated = train->rated = train->ratings = 0;
    return each_page(train, 0.5, 0.7, count_page, err);
}
