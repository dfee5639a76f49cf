/* privacy.c - What a person may ask of us: everything there is, who read it, and that it goes.
 *
 * An export is sent line by line while it is read. When it fails half-way its
 * status has been sent, so the last line says so instead of a summary. */
/* SPDX-License-Identifier: MIT */
#include "api/known.h"
#include "api/pages.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_front.h"
#include "doc/schema_privacy.h"
#include "net/stream.h"
#include "persona/access_log.h"
#include "persona/erase.h"
#include "persona/export.h"

#include <string.h>

static const char lines_type[] = "application/x-ndjson";

/* ---- Erasing ---- */

/* Whom it is about, and the task: for the second look when it is done. */
struct erasing {
    const char *person;
    char task[PK_UUID_TEXT];
};

/* One who was erased is there to be erased: the answer is the same. The receipt is that of whom he
 * was merged into. */
static bool find_or_erased(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!pk_subject_person(call, object, err)) {
        return false;
    }
    if (object->is_missing) {
        if (!pk_erase_receipt(call->parts->domain, object->person, call->deadline_ns, &tombstone,
                              err)) {
            return false;
        }
        object->is_missing = tombstone == NULL;
        if (tombstone) {
            object->person = pk_arena_strdup(&call->request->arena, pk_doc_id(tombstone));
        }
    }
    return true;
}

static void put_date(bson_t *out, const char *name, const struct pk_doc *doc)
{
    const int64_t at_ms = pk_doc_date(doc, name, 0);
    if (at_ms) {
        BSON_APPEND_DATE_TIME(out, name, at_ms);
    }
}

static bool show_receipt(struct pk_api_call *call, struct pk_error *err)
{
    const struct erasing *erasing = call->own;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    bson_t out = BSON_INITIALIZER;
    bson_t view;
    bson_iter_t counts;
    if (!pk_erase_receipt(call->parts->domain, erasing->person, call->deadline_ns, &tombstone,
                          err)) {
        return false;
    }
    BSON_APPEND_UTF8(&out, "taskId", erasing->task);
    if (tombstone) {
        pk_doc_view(tombstone, &view);
        put_date(&out, "erasedAt", tombstone);
        put_date(&out, "completedAt", tombstone);
        put_date(&out, "backupsUntil", tombstone);
        if (bson_iter_init_find(&counts, &view, "counts")) {
            (void)bson_append_iter(&out, "counts", -1, &counts);
        }
    }
    const bool ok = pk_call_made(call, err, "/v1/tasks/%s", erasing->task) &&
                    pk_call_answer(call, &out, 0, err);
    bson_destroy(&out);
    return ok;
}

static bool erase(struct pk_api_call *call, struct pk_error *err)
{
    struct erasing *erasing = pk_arena_alloc(&call->request->arena, sizeof(*erasing));
    const char *task = erasing->task;
    erasing->person = pk_arena_strdup(&call->request->arena, call->object.person);
    call->own = erasing;
    if (!pk_erase_person(call->parts->domain, &call->by, erasing->person, erasing->task, err) ||
        !show_receipt(call, err)) {
        return false;
    }
    pk_call_wait_tasks(call, &task, 1, show_receipt, erasing);
    return true;
}

/* ---- Exporting ---- */

struct sending {
    struct pk_api_call *call;
    bool has_begun;
};

static bool send(void *context, const char *data, size_t size, struct pk_error *err)
{
    struct sending *sending = context;
    struct pk_api_call *call = sending->call;
    if (!sending->has_begun) {
        call->answer->content_type = lines_type;
        sending->has_begun = true;
    }
    return pk_answer_write(call->request, call->answer, data, size, err);
}

/* The last line of an export that broke off; a client that has gone does not read it. */
static void send_failure(struct sending *sending, const struct pk_error *why)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf line = { 0 };
    pk_buf_add_text(&line, "{\"error\":{");
    pk_call_put_failure(&line, why, NULL);
    pk_buf_add_text(&line, "}}\n");
    (void)send(sending, line.data, line.size, NULL);
}

static bool export(struct pk_api_call *call, struct pk_error *err)
{
    struct sending sending = { .call = call };
    struct pk_error why = { 0 };
    if (pk_principal_hides_any(call->who)) {
        return pk_fail(err, PK_FORBIDDEN, "ask with a key from which nothing is hidden",
                       "an export shows everything, and some traits are hidden from this key");
    }
    if (pk_export_person(call->parts->domain, &call->by, call->who, call->object.person, send,
                         &sending, &why)) {
        return true;
    }
    if (!sending.has_begun) {
        *err = why;
        return false;
    }
    send_failure(&sending, &why);
    return true;
}

/* ---- Who read what ---- */

static bool is_read(const struct pk_api_call *call, void *context, const struct pk_doc *audit)
{
    (void)call;
    (void)context;
    return pk_access_log_is_read(audit);
}

static bool read_rows(struct pk_api_call *call, void *context, const char *person, size_t limit,
                      const char *cursor, struct pk_page *out, struct pk_error *err)
{
    char hash[PK_HASH_TEXT];
    (void)context;
    pk_audit_person(call->parts->books->peppers, person, hash);
    const struct pk_query query = { .collection = "audit",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(hash) },
                                    .equal_count = 1,
                                    .limit = limit,
                                    .cursor = cursor };
    return pk_store_find(call->parts->books->store, &query, call->deadline_ns, out, err) ||
           pk_wrap(err, "read who read what");
}

/* What was read of people before they were merged into this one comes behind his own. */
static bool list_reads(struct pk_api_call *call, struct pk_error *err)
{
    struct pk_sight_ids ids;
    const struct pk_pages pages = {
        .collection = "audit", .read = read_rows, .is_shown = is_read, .ids = &ids
    };
    return pk_sight_ids(call->parts->domain, call->who, call->object.person, call->deadline_ns,
                        &ids, err) &&
           pk_call_list_pages(call, &pages, err);
}

/* ---- Routes ---- */

static const struct pk_param person_param[] = {
    PK_PARAM_PERSON,
    { .name = NULL },
};

static const struct pk_api_row row[] = {
    { PK_ROW(DELETE, "/v1/people/{person}", PERSON_ERASE), .lane = PK_LANE_STORE, .status = 202,
      .flags = PK_ROW_WRITES | PK_ROW_WAIT, .param = person_param, .subject = find_or_erased,
      .run = erase, .answer = &pk_schema_erasure_view, .id = "erasePerson", .tag = "people",
      .help = "Erases a person, everywhere and for good. Asked again, it answers the receipt: how "
              "far it is, and what was deleted." },
    { PK_ROW(GET, "/v1/people/{person}/export", PERSON_EXPORT), .lane = PK_LANE_SLOW,
      .flags = PK_ROW_AFTER, .param = person_param, .subject = pk_subject_person, .run = export,
      .answer_type = lines_type, .id = "exportPerson", .tag = "people",
      .help = "Everything there is of a person, as JSON Lines: {collection, document} each; the "
              "last one is {summary}, and without it the export is not whole." },
    { PK_ROW(GET, "/v1/people/{person}/access-log", PERSON_ACCESS_LOG), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = person_param, .subject = pk_subject_person,
      .run = list_reads, .answer = &pk_schema_audit_view, .id = "listReads", .tag = "people",
      .help = "Shows who read what of a person, newest first. Reads of the last 5 s may be "
              "missing; a page may have fewer items than asked for, and still a next." },
};
const struct pk_api_table pk_api_privacy_table = { row, PK_COUNT(row) };
