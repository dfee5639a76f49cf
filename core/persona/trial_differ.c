/* trial_differ.c - Two versions of a mapper on a sample of people.
 *
 * The sample begins at a place in the order of people's ids that the mapper's
 * id gives, and goes round: the same people each time, so two comparisons of
 * one mapper can be compared. Both versions get the same mindscape and the same
 * instant. Who is looked at is bounded by number and by time.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/trial_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/mindscape.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 100, LISTED_MAX = 100 };

/* One comparison under way. */
struct differing {
    const struct pk_domain *domain;
    const struct pk_trial_pair *pair;
    struct stage version, against;
    int64_t now_ms, until_ns;
    size_t looked, differ, failed_version, failed_against;
    bool is_cut;
    struct list listed;
};

/* ---- One person ---- */

static bool has_time(struct differing *it)
{
    it->is_cut = pk_clock_mono_ns(it->domain->books->clock) >= it->until_ns;
    return !it->is_cut;
}

static void note(struct differing *it, const char *person, const struct attempt *version,
                 const struct attempt *against)
{
    bson_t change = BSON_INITIALIZER;
    it->looked++;
    it->failed_version += !version->persona;
    it->failed_against += !against->persona;
    BSON_APPEND_UTF8(&change, "personId", person);
    if (trial_compare(version, against, &change)) {
        it->differ++;
        if (it->listed.count < LISTED_MAX) {
            list_add_doc(&it->listed, &change);
        }
    }
    bson_destroy(&change);
}

static bool look_at(struct differing *it, const char *person, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = NULL;
    PK_CLEANUP(attempt_done) struct attempt version = { 0 };
    PK_CLEANUP(attempt_done) struct attempt against = { 0 };
    const struct pk_map_request request = { .mapper = it->pair->mapper,
                                            .person = person,
                                            .detail = it->pair->detail,
                                            .context = it->pair->context,
                                            .who = it->pair->who,
                                            .deadline_ns = it->pair->deadline_ns };
    if (!pk_mindscape_read(it->domain, person, request.deadline_ns, &mindscape, err)) {
        return false;
    }
    if (!mindscape) {
        return true; /* Erased meanwhile. */
    }
    if (!trial_try(&it->version, &request, mindscape, it->now_ms, &version, err) ||
        !trial_try(&it->against, &request, mindscape, it->now_ms, &against, err)) {
        return false;
    }
    note(it, person, &version, &against);
    return true;
}

/* ---- The sample ---- */

/* Where it begins: an id that need not be anybody's. */
static void begin_at(const char *mapper, char out[PK_UUID_TEXT])
{
    uint8_t hash[PK_HASH_BYTES];
    pk_hash(hash, mapper, strlen(mapper), NULL, 0);
    (void)snprintf(out, PK_UUID_TEXT, "%02x%02x%02x%02x-0000-4000-8000-000000000000", hash[0],
                   hash[1], hash[2], hash[3]);
}

static bool look_at_page(struct differing *it, const struct pk_page *page, struct pk_error *err)
{
    for (size_t i = 0; i < page->count && it->looked < it->pair->sample && has_time(it); i++) {
        if (!pk_doc_text(page->doc[i], "mergedInto") &&
            !look_at(it, pk_doc_id(page->doc[i]), err)) {
            return false;
        }
    }
    return true;
}

/* From the beginning place on, or up to it. */
static bool look_at_part(struct differing *it, const char *place, bool is_up_to,
                         struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    struct pk_query query = { .collection = "people", .index = "_id", .limit = PAGE };
    const struct pk_bound bound = { .is_set = true,
                                    .is_exclusive = is_up_to,
                                    .value = PK_TEXT(place) };
    *(is_up_to ? &query.max : &query.min) = bound;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        query.cursor = cursor;
        if (!pk_store_find(it->domain->books->store, &query, it->pair->deadline_ns, &page, err) ||
            !look_at_page(it, &page, err)) {
            return false;
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor && it->looked < it->pair->sample && !it->is_cut);
    return true;
}

static bool look_at_all(struct differing *it, struct pk_error *err)
{
    char place[PK_UUID_TEXT];
    begin_at(it->pair->mapper, place);
    return look_at_part(it, place, false, err) &&
           (it->is_cut || it->looked == it->pair->sample || look_at_part(it, place, true, err));
}

/* ---- The answer ---- */

static void add_result(const struct differing *it, bson_t *out)
{
    const struct pk_trial_pair *pair = it->pair;
    bson_t failures;
    BSON_APPEND_UTF8(out, "mapperId", pair->mapper);
    BSON_APPEND_UTF8(out, "version", pair->version);
    BSON_APPEND_UTF8(out, "against", pair->against);
    BSON_APPEND_UTF8(out, "detailLevel", pk_detail_name(pair->detail));
    BSON_APPEND_DATE_TIME(out, "mappedAt", it->now_ms);
    BSON_APPEND_INT64(out, "sample", (int64_t)pair->sample);
    BSON_APPEND_INT64(out, "looked", (int64_t)it->looked);
    BSON_APPEND_BOOL(out, "isCut", it->is_cut);
    BSON_APPEND_INT64(out, "differ", (int64_t)it->differ);
    BSON_APPEND_DOCUMENT_BEGIN(out, "failures", &failures);
    BSON_APPEND_INT64(&failures, "version", (int64_t)it->failed_version);
    BSON_APPEND_INT64(&failures, "against", (int64_t)it->failed_against);
    bson_append_document_end(out, &failures);
    BSON_APPEND_ARRAY(out, "differences", &it->listed.bson);
}

static bool open_against(struct differing *it, struct pk_error *err)
{
    const struct pk_trial_pair *pair = it->pair;
    if (trial_open(&it->against, it->domain, pair->mapper, pair->against, pair->deadline_ns, err)) {
        return true;
    }
    err->field = err->code == PK_NOT_FOUND ? "against" : err->field;
    return false;
}

bool pk_trial_differ(const struct pk_domain *domain, const struct pk_trial_pair *pair, bson_t *out,
                     struct pk_error *err)
{
    const struct pk_clock *clock = domain->books->clock;
    struct differing it = { .domain = domain,
                            .pair = pair,
                            .now_ms = pk_clock_wall_ms(clock),
                            .until_ns = pk_deadline_in_ms(clock, pair->budget_ms),
                            .listed = { BSON_INITIALIZER, 0 } };
    const bool ok =
        trial_open(&it.version, domain, pair->mapper, pair->version, pair->deadline_ns, err) &&
        open_against(&it, err) && look_at_all(&it, err);
    if (ok) {
        bson_init(out);
        add_result(&it, out);
    }
    trial_done(&it.version);
    trial_done(&it.against);
    bson_destroy(&it.listed.bson);
    return ok;
}
