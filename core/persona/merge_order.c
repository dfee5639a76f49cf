/* merge_order.c - One order of two people's observations, and two orders of one again.
 *
 * In the common order each person's observations stand as they stood in his
 * own; between the two the one that was accepted earlier comes first. Places
 * are given from the last one down: the last is the sum of both last places,
 * so no place is lower than the one before, and wherever it is broken off what
 * was given stands behind what is to be given, and the rest comes out the
 * same. Closing ranks goes up from 1 for the same reason.
 *
 * Thread: the task's. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"

#include <string.h>

enum { STEP_ROWS = 300, STEP_BYTES = 4 * 1024 * 1024 };

/* An observation that has a place. */
struct placed {
    char id[PK_UUID_TEXT];
    int64_t seq;
    int64_t accepted_ms;
};
struct order {
    struct placed *placed;
    size_t count, room;
};

static void order_done(struct order *order)
{
    pk_free(order->placed);
}

static void add(struct order *order, const struct pk_doc *doc)
{
    if (order->count == order->room) {
        order->room = order->room ? 2 * order->room : 64;
        order->placed = pk_realloc(order->placed, order->room * sizeof(*order->placed));
    }
    struct placed *placed = &order->placed[order->count++];
    *placed = (struct placed){ .seq = pk_doc_int(doc, "seq", 0),
                               .accepted_ms = pk_doc_date(doc, "createdAt", 0) };
    (void)strncpy(placed->id, pk_doc_id(doc), sizeof(placed->id) - 1);
}

/* Those of 'person', in order; of ids that are being merged into 'theirs', all others into 'own'
 * ('theirs' NULL: all). */
static bool read_order(const struct merging *merging, const char *person, struct order *own,
                       struct order *theirs, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = "observations",
                                        .index = "by_user_seq",
                                        .equal = { PK_TEXT(person) },
                                        .equal_count = 1,
                                        .min = { .is_set = true, .value = PK_INT(1) },
                                        .limit = 200,
                                        .cursor = cursor };
        if (!pk_store_find(merging->domain->books->store, &query, merging->task->deadline_ns, &page,
                           err)) {
            return pk_wrap(err, "read the order of observations");
        }
        for (size_t i = 0; i < page.count; i++) {
            const char *whose = pk_doc_text(page.doc[i], "mergedFrom");
            add(theirs && whose && pk_person_ids_have(&merging->ids, whose) ? theirs : own,
                page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

static struct pk_doc *with_seq(const struct pk_doc *doc, int64_t seq)
{
    bson_t view;
    bson_iter_t iter;
    bson_t *bson = bson_new();
    pk_doc_view(doc, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "seq") == 0) {
            BSON_APPEND_INT64(bson, "seq", seq);
        } else {
            (void)bson_append_iter(bson, NULL, 0, &iter);
        }
    }
    return pk_doc_take(bson);
}

static bool read_doc(const struct merging *merging, const char *id, struct pk_doc **out,
                     struct pk_error *err)
{
    return pk_store_get(merging->domain->books->store, "observations", id,
                        merging->task->deadline_ns, out, err) ||
           pk_wrap(err, "read an observation of the order");
}

/* The rows of processors about it say the place, too. */
static bool place_rows(const struct merging *merging, const char *id, int64_t seq,
                       struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "processing",
                                    .index = "by_observation",
                                    .equal = { PK_TEXT(id) },
                                    .equal_count = 1,
                                    .limit = PK_PAGE_MAX / 2 };
    if (!pk_store_find(merging->domain->books->store, &query, merging->task->deadline_ns, &page,
                       err)) {
        return pk_wrap(err, "read what processed an observation");
    }
    for (size_t i = 0; i < page.count; i++) {
        if (pk_doc_int(page.doc[i], "seq", 0) > 0) {
            PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = with_seq(page.doc[i], seq);
            pk_writes_replace(list, "processing", row, pk_doc_version(page.doc[i]));
        }
    }
    return true;
}

static bool place(struct merging *merging, const struct placed *placed, int64_t seq,
                  struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    if (placed->seq == seq) {
        return true;
    }
    if (!read_doc(merging, placed->id, &doc, err)) {
        return false;
    }
    if (!doc) {
        return true;
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = with_seq(doc, seq);
    pk_writes_replace(list, "observations", made, pk_doc_version(doc));
    if (!place_rows(merging, placed->id, seq, list, err)) {
        return false;
    }
    return (list->count < STEP_ROWS && list->bytes < STEP_BYTES) ||
           merging_commit(merging, list, err);
}

static int64_t last_of(const struct order *order)
{
    return order->count > 0 ? order->placed[order->count - 1].seq : 0;
}

bool merging_join_orders(struct merging *merging, int64_t *top, bool *out_is_chosen,
                         struct pk_error *err)
{
    PK_CLEANUP(order_done) struct order own = { 0 };
    PK_CLEANUP(order_done) struct order theirs = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    if (!read_order(merging, merging->into, &own, &theirs, err)) {
        return false;
    }
    *out_is_chosen = *top < last_of(&own) || *top < last_of(&theirs) ||
                     *top < (int64_t)(own.count + theirs.count);
    if (*out_is_chosen) {
        *top = last_of(&own) + last_of(&theirs);
        return true;
    }
    int64_t seq = *top;
    for (size_t i = own.count, k = theirs.count; i > 0 || k > 0; seq--) {
        const bool is_theirs =
            i == 0 || (k > 0 && theirs.placed[k - 1].accepted_ms >= own.placed[i - 1].accepted_ms);
        const struct placed *placed = is_theirs ? &theirs.placed[--k] : &own.placed[--i];
        if (!place(merging, placed, seq, &list, err)) {
            return pk_wrap(err, "join the orders");
        }
    }
    return list.count == 0 || merging_commit(merging, &list, err);
}

bool merging_close_ranks(struct merging *merging, const char *person, int64_t *out_last,
                         struct pk_error *err)
{
    PK_CLEANUP(order_done) struct order order = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    if (!read_order(merging, person, &order, NULL, err)) {
        return false;
    }
    for (size_t i = 0; i < order.count; i++) {
        if (!place(merging, &order.placed[i], (int64_t)i + 1, &list, err)) {
            return pk_wrap(err, "part the orders");
        }
    }
    *out_last = (int64_t)order.count;
    return list.count == 0 || merging_commit(merging, &list, err);
}
