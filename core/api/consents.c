/* consents.c - /v1/people/{person}/consents: what the data may be used for, by purpose. */
/* SPDX-License-Identifier: MIT */
#include "api/resources.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/schema_intake.h"
#include "persona/consent.h"

#include <ctype.h>
#include <string.h>

/* As the schema's names are: what stands in ids and in 'versions'. */
static bool check_purpose(const char *purpose, struct pk_error *err)
{
    for (const char *c = purpose; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("_.:-", *c)) {
            return pk_fail_field(err, PK_INVALID, "purpose", "use letters, digits and '_.:-'",
                                 "'%.100s' is not the name of a purpose", purpose);
        }
    }
    return true;
}

/* The person, and the record instead of him: If-Match is about that. */
static bool subject(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    const char *purpose = pk_call_value(call, "purpose");
    if (!check_purpose(purpose, err) || !pk_subject_person(call, object, err)) {
        return false;
    }
    if (!call->found) {
        return true; /* There is no such person, or none that may be seen. */
    }
    struct pk_doc *person = call->found;
    object->person = pk_arena_strdup(&call->request->arena, pk_doc_id(person));
    call->found = NULL;
    pk_doc_unref(person);
    return pk_consent_get(call->parts->domain, object->person, purpose, call->deadline_ns,
                          &call->found, err);
}

static bool show(struct pk_api_call *call, const struct pk_doc *doc, struct pk_error *err)
{
    return pk_call_answer_doc(call, "consents", doc, err);
}

static bool show_found(struct pk_api_call *call, struct pk_error *err)
{
    if (!call->found) {
        return pk_fail(err, PK_NOT_FOUND, "list the person's consents",
                       "nothing is recorded of this purpose");
    }
    return pk_call_show(call, call->found, err);
}

static bool list(struct pk_api_call *call, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    if (!pk_consent_list(call->parts->domain, call->object.person, call->limit, call->cursor, &page,
                         err)) {
        return false;
    }
    pk_call_list_begin(call);
    for (size_t i = 0; i < page.count; i++) {
        if (!pk_call_list_add_doc(call, "consents", page.doc[i], err)) {
            return false;
        }
    }
    pk_call_list_end(call, page.next);
    return true;
}

static bool record(struct pk_api_call *call, const bson_t *wanted, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    return pk_consent_record(call->parts->domain, &call->by, call->object.person,
                             pk_call_value(call, "purpose"), call->match_version, wanted, &doc,
                             err) &&
           pk_call_show(call, doc, err);
}

static bool put(struct pk_api_call *call, struct pk_error *err)
{
    return record(call, call->body, err);
}

static bool withdraw(struct pk_api_call *call, struct pk_error *err)
{
    return record(call, NULL, err);
}

/* ---- Routes ---- */

static const struct pk_param list_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = NULL },
};
static const struct pk_param consent_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "The person's id." },
    { .name = "purpose",
      .type = PK_PARAM_TEXT,
      .min = 1,
      .max = PK_PURPOSE_MAX,
      .pattern = "^[A-Za-z0-9_.:-]+$",
      .help = "What the data may be used for; 'processing' is the server's own." },
    { .name = NULL },
};
static const enum pk_code fails[] = { PK_CONFLICT, PK_OK };

static const struct pk_api_row row[] = {
    { PK_ROW(GET, "/v1/people/{person}/consents", CONSENT_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_LIST | PK_ROW_AFTER, .param = list_param,
      .subject = pk_subject_person, .run = list, .answer = &pk_schema_consent_view,
      .id = "listConsents", .tag = "consents",
      .help = "Lists what a person has said of each purpose." },
    { PK_ROW(GET, "/v1/people/{person}/consents/{purpose}", CONSENT_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_READS | PK_ROW_AFTER, .param = consent_param, .subject = subject,
      .run = show_found, .show = show, .answer = &pk_schema_consent_view, .id = "getConsent",
      .tag = "consents", .help = "Shows what a person has said of a purpose." },
    { PK_ROW(PUT, "/v1/people/{person}/consents/{purpose}", CONSENT_CHANGE), .lane = PK_LANE_STORE,
      .flags = PK_ROW_WRITES | PK_ROW_MATCH, .param = consent_param, .body = &pk_schema_consent_put,
      .subject = subject, .run = put, .show = show, .answer = &pk_schema_consent_view,
      .id = "putConsent", .tag = "consents",
      .help = "Records what a person has said of a purpose; what is not sent is not so.",
      .fails = fails },
    { PK_ROW(DELETE, "/v1/people/{person}/consents/{purpose}", CONSENT_CHANGE),
      .lane = PK_LANE_STORE, .flags = PK_ROW_WRITES | PK_ROW_MATCH, .param = consent_param,
      .subject = subject, .run = withdraw, .show = show, .answer = &pk_schema_consent_view,
      .id = "withdrawConsent", .tag = "consents",
      .help = "Withdraws a person's consent; the record of it stays, with its dates.",
      .fails = fails },
};
const struct pk_api_table pk_api_consents_table = { row, PK_COUNT(row) };
