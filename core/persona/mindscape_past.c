/* mindscape_past.c - A mindscape as of a past time, taken back from what it is now.
 *
 * History is a chain in the person's order: each row has what was before and
 * after. "As of T" is what was held before the first observation that took
 * effect after T, and changed something, was taken in:
 *
 *     S = the least seq of a row that is effective after T
 *     the rows from S on are taken back, the newest first
 *
 * So it is always the state at which some prefix of the observations had been
 * taken in: replaying that prefix gives the same. Evidence that came late, with
 * an instant before T but behind S, was not known then, and does not count. */
/* SPDX-License-Identifier: MIT */
#include "persona/mindscape_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/mind.h"
#include "store/store.h"

struct reading {
    const struct pk_domain *domain;
    const char *person;
    int64_t epoch, at_ms, deadline_ns;
    int64_t least_seq;  /* Of what took effect later. */
    int64_t updated_ms; /* The latest instant of what was known. */
    struct pk_mind *mind;
};
/* False: that is enough. */
typedef bool take_fn(struct reading *reading, const struct pk_doc *row);

static bool read_all(struct reading *reading, struct pk_query query, take_fn *take,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    bool is_enough = false;
    query.collection = "trait_history";
    query.equal[0] = PK_TEXT(reading->person);
    query.equal[1] = PK_INT(reading->epoch);
    query.equal_count = 2;
    query.limit = PK_PAGE_MAX;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        query.cursor = cursor;
        if (!pk_store_find(reading->domain->books->store, &query, reading->deadline_ns, &page,
                           err)) {
            return pk_wrap(err, "read the history");
        }
        for (size_t i = 0; i < page.count && !is_enough; i++) {
            is_enough = !take(reading, page.doc[i]);
        }
        pk_free(cursor);
        cursor = page.next && !is_enough ? pk_strdup(page.next) : NULL;
    } while (cursor);
    return true;
}

static bool take_least(struct reading *reading, const struct pk_doc *row)
{
    const int64_t seq = pk_doc_int(row, "seq", INT64_MAX);
    reading->least_seq = seq < reading->least_seq ? seq : reading->least_seq;
    return true;
}

static bool take_back(struct reading *reading, const struct pk_doc *row)
{
    bson_t view;
    pk_doc_view(row, &view);
    pk_mind_take_back(reading->mind, &view);
    return true;
}

/* The newest by its instant that was known: what came in later may be older. */
static bool take_updated(struct reading *reading, const struct pk_doc *row)
{
    if (pk_doc_int(row, "seq", INT64_MAX) >= reading->least_seq) {
        return true;
    }
    reading->updated_ms = pk_doc_date(row, "effectiveAt", 0);
    return false;
}

static bool rewind_mind(struct reading *reading, struct pk_error *err)
{
    const struct pk_query behind = { .index = "by_user_seq",
                                     .min = { .is_set = true, .value = PK_INT(reading->least_seq) },
                                     .is_reversed = true };
    const struct pk_query until = { .index = "by_user_time",
                                    .max = { .is_set = true, .value = PK_DATE(reading->at_ms) },
                                    .is_reversed = true };
    if (!read_all(reading, behind, take_back, err) ||
        !read_all(reading, until, take_updated, err)) {
        return false;
    }
    pk_mind_set_updated(reading->mind, reading->updated_ms);
    return true;
}

bool mindscape_past(const struct pk_domain *domain, const struct pk_doc *mindscape, int64_t at_ms,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    struct reading reading = {
        .domain = domain,
        .person = pk_doc_id(mindscape),
        .epoch = pk_doc_int(mindscape, "epoch", 0),
        .at_ms = at_ms,
        .deadline_ns = deadline_ns,
        .least_seq = INT64_MAX,
    };
    const struct pk_query later = {
        .index = "by_user_time",
        .min = { .is_set = true, .is_exclusive = true, .value = PK_DATE(at_ms) }
    };
    bson_t view, document;

    if (!read_all(&reading, later, take_least, err)) {
        return false;
    }
    if (reading.least_seq == INT64_MAX) {
        *out = pk_doc_ref((struct pk_doc *)(uintptr_t)mindscape);
        return true;
    }
    pk_doc_view(mindscape, &view);
    reading.mind = pk_mind_open(&view, domain->policies);
    const bool is_ok =
        rewind_mind(&reading, err) && pk_mind_document(reading.mind, 0, &document, err);
    if (is_ok) {
        *out = pk_doc_new_versioned(&document, pk_doc_version(mindscape));
        bson_destroy(&document);
    }
    pk_mind_free(reading.mind);
    return is_ok;
}
