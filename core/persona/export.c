/* export.c - Collection by collection, page by page.
 *
 * Thread: any that may block. */
/* SPDX-License-Identifier: MIT */
#include "persona/export.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/names.h"
#include "persona/people.h"
#include "persona/person_rows.h"
#include "persona/sight.h"
#include "store/store.h"

enum {
    PAGE_ROWS = 50,
    PIECE_BYTES = 64 * 1024 /* Handed on when there is that much. */
};

struct export
{
    const struct pk_domain *domain;
    const struct pk_principal *who;
    struct pk_sight_ids ids; /* Who is one person: what stays under an id is exported, too. */
    pk_export_put_fn *put;
    void *context;
    struct pk_buf text; /* Lines that were not handed on yet. */
    bson_t counts;
    int64_t documents;
};

static bool hand_on(struct export *export, size_t from_bytes, struct pk_error *err)
{
    if (export->text.size == 0 || export->text.size < from_bytes) {
        return true;
    }
    const bool ok = export->put(export->context, export->text.data, export->text.size, err);
    pk_buf_clear(&export->text);
    return ok;
}

static bool add_line(struct export *export, const bson_t *line, struct pk_error *err)
{
    if (!pk_json_write(&export->text, line, PK_JSON_COMPACT, err)) {
        return pk_wrap(err, "write a line");
    }
    pk_buf_add_char(&export->text, '\n');
    return hand_on(export, PIECE_BYTES, err);
}

static bool add_doc(struct export *export, const struct pk_collection *collection,
                    const struct pk_doc *doc, struct pk_error *err)
{
    bson_t view, seen, shown;
    bson_t line = BSON_INITIALIZER;
    pk_doc_view(doc, &view);
    pk_sight_show(export->who, &view, &seen);
    const bool is_spelt = pk_names_translate(collection->name, PK_SPELLING_STORED, PK_SPELLING_HTTP,
                                             &seen, &shown, err);
    bson_destroy(&seen);
    if (!is_spelt) {
        return pk_wrap(err, "spell a document of '%s'", collection->name);
    }
    BSON_APPEND_UTF8(&line, "collection", collection->name);
    BSON_APPEND_DOCUMENT(&line, "document", &shown);
    const bool ok = add_line(export, &line, err);
    bson_destroy(&shown);
    bson_destroy(&line);
    return ok;
}

static bool add_rows(struct export *export, const struct pk_collection *collection,
                     const char *person, int64_t *count, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        if (!pk_person_rows(export->domain, collection, person, PAGE_ROWS, cursor, &page, err)) {
            return false;
        }
        for (size_t i = 0; i < page.count; i++, ++*count) {
            if (!add_doc(export, collection, page.doc[i], err)) {
                return false;
            }
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor);
    return true;
}

static bool add_collection(struct export *export, const struct pk_collection *collection,
                           struct pk_error *err)
{
    int64_t count = 0;
    for (size_t i = 0; i < export->ids.count; i++) {
        if (!add_rows(export, collection, export->ids.id[i], &count, err)) {
            return false;
        }
    }
    BSON_APPEND_INT64(&export->counts, collection->name, count);
    export->documents += count;
    return true;
}

static bool add_summary(struct export *export, struct pk_error *err)
{
    bson_t line = BSON_INITIALIZER;
    bson_t summary;
    BSON_APPEND_DOCUMENT_BEGIN(&line, "summary", &summary);
    BSON_APPEND_UTF8(&summary, "personId", export->ids.id[0]);
    BSON_APPEND_DATE_TIME(&summary, "exportedAt", pk_clock_wall_ms(export->domain->books->clock));
    BSON_APPEND_INT64(&summary, "documents", export->documents);
    BSON_APPEND_DOCUMENT(&summary, "counts", &export->counts);
    bson_append_document_end(&line, &summary);
    const bool ok = add_line(export, &line, err) && hand_on(export, 0, err);
    bson_destroy(&line);
    return ok;
}

static bool add_audit(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    pk_audit_add(&list, domain->books, by,
                 &(struct pk_audit){ .action = "person.exported", .person = person });
    return pk_store_commit(domain->books->store, &list, by->deadline_ns, NULL, err) ||
           pk_wrap(err, "note who exports");
}

/* Whether there is such a person at all. */
static bool find_ids(struct export *export, const char *person, int64_t deadline_ns,
                     struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *found = NULL;
    const struct pk_person_ref ref = { .id = person };
    if (!pk_person_find(export->domain, &ref, deadline_ns, &found, err)) {
        return false;
    }
    if (!found) {
        return pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
    }
    return pk_sight_ids(export->domain, export->who, person, deadline_ns, &export->ids, err);
}

bool pk_export_person(const struct pk_domain *domain, const struct pk_by *by,
                      const struct pk_principal *who, const char *person, pk_export_put_fn *put,
                      void *context, struct pk_error *err)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    struct export export = { .domain = domain, .who = who, .put = put, .context = context };
    if (!find_ids(&export, person, by->deadline_ns, err)) {
        return false;
    }
    bson_init(&export.counts);
    bool ok = add_audit(domain, by, person, err);
    for (size_t i = 0; ok && i < inventory->count; i++) {
        if (inventory->collection[i].is_exported) {
            ok = add_collection(&export, &inventory->collection[i], err);
        }
    }
    ok = ok && add_summary(&export, err);
    bson_destroy(&export.counts);
    pk_buf_done(&export.text);
    return ok;
}
