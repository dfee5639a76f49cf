/* audit.c - GET /v1/admin/audit: who changed what, newest first.
 *
 * Rows are read by the index of the first filter that was given, in the order
 * of filter_table; the others are looked at row by row. A page of few matches
 * among many rows ends after READS_MAX reads, perhaps with fewer items than
 * were asked for and a cursor to go on with. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "base/alloc.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_front.h"

#include <string.h>

enum { READS_MAX = 20 };

/* A filter: its parameter, where the rows have it, and the index that leads with it. */
static const struct {
    const char *param, *path, *index;
} filter_table[] = {
    { "person", "userHash", "by_user" },
    { "target", "targetId", "by_target" },
    { "actor", "actorId", "by_actor" },
    { "action", "action", "by_action" },
};
enum { FILTERS = sizeof(filter_table) / sizeof(filter_table[0]) };

struct wanted {
    const char *value[FILTERS]; /* NULL: any. */
    char person[PK_HASH_TEXT];
};

static bool is_wanted(const struct wanted *wanted, const struct pk_doc *audit)
{
    for (size_t i = 0; i < FILTERS; i++) {
        const char *text = pk_doc_text(audit, filter_table[i].path);
        if (wanted->value[i] && (!text || strcmp(text, wanted->value[i]) != 0)) {
            return false;
        }
    }
    return true;
}

static void read_wanted(const struct pk_api_call *call, struct wanted *out)
{
    for (size_t i = 0; i < FILTERS; i++) {
        out->value[i] = pk_call_value(call, filter_table[i].param);
    }
    if (out->value[0]) {
        pk_audit_person(call->parts->books->peppers, out->value[0], out->person);
        out->value[0] = out->person;
    }
}

static struct pk_query query_of(const struct pk_api_call *call, const struct wanted *wanted)
{
    struct pk_query query = { .collection = "audit", .index = "by_time" };
    for (size_t i = FILTERS; i-- > 0;) {
        if (wanted->value[i]) {
            query.index = filter_table[i].index;
            query.equal[0] = PK_TEXT(wanted->value[i]);
            query.equal_count = 1;
        }
    }
    if (pk_call_value(call, "since")) {
        query.min =
            (struct pk_bound){ .is_set = true, .value = PK_DATE(pk_call_number(call, "since", 0)) };
    }
    return query;
}

/* Adds the wanted rows of one page, and counts them. */
static bool add_page(struct pk_api_call *call, const struct wanted *wanted,
                     const struct pk_page *page, size_t *count, struct pk_error *err)
{
    for (size_t i = 0; i < page->count; i++) {
        if (is_wanted(wanted, page->doc[i])) {
            (*count)++;
            if (!pk_call_list_add_doc(call, "audit", page->doc[i], err)) {
                return false;
            }
        }
    }
    return true;
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *next = call->cursor ? pk_strdup(call->cursor) : NULL;
    struct wanted wanted = { .person = "" };
    size_t count = 0;

    read_wanted(call, &wanted);
    struct pk_query query = query_of(call, &wanted);
    pk_call_list_begin(call);
    for (int reads = 0; count < call->limit && reads < READS_MAX; reads++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        query.limit = call->limit - count;
        query.cursor = next;
        if (!pk_store_find(call->parts->books->store, &query, call->deadline_ns, &page, err)) {
            return pk_wrap(err, "read the audit rows");
        }
        if (!add_page(call, &wanted, &page, &count, err)) {
            return false;
        }
        pk_free(next);
        next = page.next;
        page.next = NULL;
        if (!next) {
            break;
        }
    }
    pk_call_list_end(call, next);
    return true;
}

static const struct pk_param list_param[] = {
    { .name = "action",
      .type = PK_PARAM_TEXT,
      .max = 200,
      .fallback = "all",
      .help = "Only this action: 'key.created'." },
    { .name = "target",
      .type = PK_PARAM_TEXT,
      .max = 512,
      .fallback = "all",
      .help = "Only what was done to the thing of this id." },
    { .name = "actor",
      .type = PK_PARAM_TEXT,
      .max = 200,
      .fallback = "all",
      .help = "Only what this actor did; 'personakit' is the server itself." },
    { .name = "person",
      .type = PK_PARAM_UUID,
      .fallback = "all",
      .help = "Only what was done to this person." },
    { .name = "since",
      .type = PK_PARAM_TIME,
      .fallback = "the beginning",
      .help = "Only what was done at this time or later." },
    { .name = NULL },
};

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/admin/audit", AUDIT_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_LIST | PK_ROW_AFTER, .param = list_param, .run = list,
      .answer = &pk_schema_audit_view, .id = "listAudit", .tag = "admin",
      .help = "Shows who changed what, newest first. With several filters a page may have fewer "
              "items than asked for, and still a next." },
};
const struct pk_api_table pk_api_audit_table = { row, PK_COUNT(row) };
