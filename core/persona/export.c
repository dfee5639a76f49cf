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
#include "persona/merge.h"
#include "persona/person_rows.h"
#include "store/store.h"

enum {
    PAGE_ROWS = 50,
    PIECE_BYTES = 64 * 1024 /* Handed on when there is that much. */
};

struct export
{
    const struct pk_domain *domain;
    struct pk_person_ids ids; /* Who is one person: what stays under an id is exported, too. */
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
    bson_t view, shown;
    bson_t line = BSON_INITIALIZER;
    pk_doc_view(doc, &view);
    if (!pk_names_translate(collection->name, PK_SPELLING_STORED, PK_SPELLING_HTTP, &view, &shown,
                            err)) {
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
        if (!add_rows(export, collection, pk_doc_id(export->ids.doc[i]), &count, err)) {
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
    BSON_APPEND_UTF8(&summary, "personId", pk_doc_id(export->ids.doc[0]));
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

bool pk_export_person(const struct pk_domain *domain, const struct pk_by *by, const char *person,
                      pk_export_put_fn *put, void *context, struct pk_error *err)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    struct export export = { .domain = domain, .put = put, .context = context };
    if (!pk_person_ids(domain, person, by->deadline_ns, &export.ids, err)) {
        return false;
    }
    if (export.ids.count == 0) {
        return pk_fail(err, PK_NOT_FOUND, "check the id", "there is no such person");
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
    pk_person_ids_done(&export.ids);
    pk_buf_done(&export.text);
    return ok;
}
