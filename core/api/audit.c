/* audit.c - GET /v1/admin/audit: who changed what, newest first.
 *
 * Rows are read by the index of the first filter that was given, in the order
 * of filter_table; the others are looked at row by row. They name people by
 * keyed hash: rows about people out of the key's sight are not shown. */
/* SPDX-License-Identifier: MIT */
#include "access/principal.h"
#include "api/pages.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_front.h"

#include <string.h>

/* A filter: its parameter, where the rows have it, and the index that leads with it. Rows of a
 * person are those of each of his ids. */
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
    char person[PK_HASH_TEXT];  /* What value[0] becomes for each of his ids. */
    char (*seen)[PK_HASH_TEXT]; /* Those whom the key may see; NULL: everybody. */
    size_t seen_count;
};

static bool is_seen(const struct wanted *wanted, const struct pk_doc *audit)
{
    const char *hash = wanted->seen ? pk_doc_text(audit, "userHash") : NULL;
    size_t i = 0;
    while (hash && i < wanted->seen_count && strcmp(wanted->seen[i], hash) != 0) {
        i++;
    }
    return !hash || i < wanted->seen_count;
}

static bool is_wanted(const struct pk_api_call *call, void *context, const struct pk_doc *audit)
{
    const struct wanted *wanted = context;
    (void)call;
    for (size_t i = 0; i < FILTERS; i++) {
        const char *text = pk_doc_text(audit, filter_table[i].path);
        if (wanted->value[i] && (!text || strcmp(text, wanted->value[i]) != 0)) {
            return false;
        }
    }
    return is_seen(wanted, audit);
}

static void read_wanted(struct pk_api_call *call, struct wanted *out)
{
    const struct pk_peppers *peppers = call->parts->books->peppers;
    const struct pk_names_set *people = &call->who->people;
    for (size_t i = 0; i < FILTERS; i++) {
        out->value[i] = pk_call_value(call, filter_table[i].param);
    }
    if (pk_sight_is_limited(call->who)) {
        out->seen_count = people->name_count;
        out->seen =
            pk_arena_alloc(&call->request->arena, (people->name_count + 1) * sizeof(*out->seen));
        for (size_t i = 0; i < people->name_count; i++) {
            pk_audit_person(peppers, people->name[i], out->seen[i]);
        }
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

static bool read_rows(struct pk_api_call *call, void *context, const char *person, size_t limit,
                      const char *cursor, struct pk_page *out, struct pk_error *err)
{
    struct wanted *wanted = context;
    if (person) {
        pk_audit_person(call->parts->books->peppers, person, wanted->person);
        wanted->value[0] = wanted->person;
    }
    struct pk_query query = query_of(call, wanted);
    query.limit = limit;
    query.cursor = cursor;
    return pk_store_find(call->parts->books->store, &query, call->deadline_ns, out, err) ||
           pk_wrap(err, "read the audit rows");
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    struct wanted wanted = { .seen = NULL };
    struct pk_sight_ids ids;
    struct pk_pages pages = {
        .collection = "audit", .read = read_rows, .is_shown = is_wanted, .context = &wanted
    };
    read_wanted(call, &wanted);
    if (wanted.value[0]) {
        pages.ids = &ids;
        if (!pk_sight_ids(call->parts->domain, call->who, wanted.value[0], call->deadline_ns, &ids,
                          err)) {
            return false;
        }
    }
    return pk_call_list_pages(call, &pages, err);
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
      .help = "Only what was done to this person, under his other ids, too: one id after the "
              "other." },
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
      .help =
          "Shows who changed what, newest first, of nobody whom the key may not see. A page may "
          "have fewer items than asked for, and still a next." },
};
const struct pk_api_table pk_api_audit_table = { row, PK_COUNT(row) };
