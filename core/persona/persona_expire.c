/* persona_expire.c - 'persona.expired', announced from the record of generations.
 *
 * The persona itself goes by the store's own TTL, which tells nobody. Its row
 * in 'persona_log' knows when that was to be; what has come of it is seen in the persona:
 *
 *     it is there, and lives longer      the row gets its new end (its mapping gave the same)
 *     another generation lies there      it was replaced, which 'persona.generated' has told
 *     it is gone                         'persona.expired'
 *
 * The row is replaced at its version in the list that announces, so of many
 * nodes one announces. */
/* SPDX-License-Identifier: MIT */
#include "persona/persona_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "store/store.h"

#include <string.h>

enum { BATCH = 200 };

static struct pk_doc *settled(const struct pk_doc *row, bool is_announced, int64_t expires_ms)
{
    bson_t view, *made;
    bson_iter_t iter;
    pk_doc_view(row, &view);
    made = bson_copy(&view);
    if (bson_iter_init_find(&iter, made, "isExpiryAnnounced") && BSON_ITER_HOLDS_BOOL(&iter)) {
        bson_iter_overwrite_bool(&iter, is_announced);
    }
    if (bson_iter_init_find(&iter, made, "personaExpiresAt") && BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        bson_iter_overwrite_date_time(&iter, expires_ms);
    }
    return pk_doc_take(made);
}

static void announce(const struct pk_domain *domain, const struct pk_doc *row,
                     struct pk_writes *list)
{
    const struct pk_fact fact[] = {
        { "personaId", pk_doc_text(row, "personaId") },
        { "mapperId", pk_doc_text(row, "mapperId") },
        { "mapperVersion", pk_doc_text(row, "mapperVersion") },
        { "detailLevel", pk_doc_text(row, "detailLevel") },
        { NULL, NULL },
    };
    pk_news_add(list, domain->books,
                &(struct pk_news){ .type = "persona.expired",
                                   .entity_type = "persona",
                                   .entity_id = pk_doc_id(row),
                                   .service = "personas",
                                   .person = pk_doc_text(row, "userId"),
                                   .fact = fact });
}

static bool settle(const struct pk_domain *domain, const struct pk_doc *row, int64_t now_ms,
                   struct pk_writes *list, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *persona = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *made = NULL;
    if (!pk_store_get(domain->books->store, "personas", pk_doc_text(row, "personaId"), 0, &persona,
                      err)) {
        return false;
    }
    const int64_t end_ms = persona ? pk_doc_date(persona, "expiresAt", 0) : 0;
    const char *instance =
        persona && end_ms > now_ms ? pk_doc_text(persona, "personaInstanceId") : NULL;
    const bool is_it = instance && strcmp(instance, pk_doc_id(row)) == 0;

    made = settled(row, !is_it, is_it ? end_ms : pk_doc_date(row, "personaExpiresAt", 0));
    pk_writes_replace(list, "persona_log", made, pk_doc_version(row));
    if (!instance) {
        announce(domain, row, list);
    }
    return true;
}

/* Rows from 'first' on in one list; a row that another node has settled costs its list, which is
 * then done one by one. */
static bool settle_some(const struct pk_domain *domain, struct pk_doc *const *row, size_t count,
                        int64_t now_ms, struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_error why = { 0 };
    for (size_t i = 0; i < count; i++) {
        if (!settle(domain, row[i], now_ms, &list, err)) {
            return false;
        }
    }
    if (pk_store_commit(domain->books->store, &list, 0, NULL, &why)) {
        return true;
    }
    bool ok = why.code == PK_CONFLICT;
    for (size_t i = 0; ok && count > 1 && i < count; i++) {
        ok = settle_some(domain, row + i, 1, now_ms, &why);
    }
    if (!ok && err) {
        *err = why;
    }
    return ok;
}

bool pk_personas_expire(struct pk_personas *personas, size_t limit, size_t *out_count,
                        struct pk_error *err)
{
    const struct pk_domain *domain = personas->domain;
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    *out_count = 0;
    while (*out_count < limit) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const size_t left = limit - *out_count;
        const struct pk_query query = { .collection = "persona_log",
                                        .index = "by_persona_expiry",
                                        .equal = { PK_BOOL(false) },
                                        .equal_count = 1,
                                        .max = { .is_set = true, .value = PK_DATE(now_ms) },
                                        .limit = left < BATCH ? left : BATCH };
        if (!pk_store_find(domain->books->store, &query, 0, &page, err)) {
            return false;
        }
        if (page.count == 0) {
            return true;
        }
        if (!settle_some(domain, page.doc, page.count, now_ms, err)) {
            return false;
        }
        *out_count += page.count;
        if (!page.next) {
            return true;
        }
    }
    return true;
}
