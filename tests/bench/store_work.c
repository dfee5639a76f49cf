/* store_work.c - An observation of a work session, as a client would send it. */
/* SPDX-License-Identifier: MIT */
#include "store_work.h"

#include "base/id.h"
#include "doc/doc.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const char raw_text[] =
    "Deep work on the parser from nine to half past ten, two interruptions, phone away; the "
    "difficult part was done before the second coffee, tests were green at the end, and the notes "
    "for tomorrow are written.";

void work_person(unsigned number, char out[37])
{
    (void)snprintf(out, 37, "%08x-5e55-4a1d-8b0b-0123456789ab", number % WORK_PEOPLE);
}

static struct pk_doc *take(bson_t *bson)
{
    struct pk_doc *doc = pk_doc_new(bson);
    bson_destroy(bson);
    return doc;
}

struct pk_doc *work_observation(unsigned number, int64_t at_ms, char out_id[37])
{
    char person[PK_UUID_TEXT];
    pk_uuid_new(out_id);
    work_person(number, person);
    bson_t *doc =
        BCON_NEW("_id", BCON_UTF8(out_id), "userId", BCON_UTF8(person), "sourceType",
                 BCON_UTF8("work_session"), "sourceMetadata", "{", "source", BCON_UTF8("editor"),
                 "timestamp", BCON_DATE_TIME(at_ms), "location", BCON_UTF8("home"), "}", "content",
                 "{", "raw", BCON_UTF8(raw_text), "structured", "{", "duration_minutes",
                 BCON_INT64(90), "focus_level", BCON_UTF8("deep"), "task_type", BCON_UTF8("coding"),
                 "tools_used", "[", BCON_UTF8("editor"), BCON_UTF8("terminal"), "]", "}", "}",
                 "processingStatus", BCON_UTF8("approved"), "approvalMetadata", "{", "policy",
                 BCON_UTF8("automatic"), "approvedAt", BCON_DATE_TIME(at_ms), "}", "effectiveAt",
                 BCON_DATE_TIME(at_ms), "createdAt", BCON_DATE_TIME(at_ms), "createdBy",
                 BCON_UTF8("bench"), "updatedAt", BCON_DATE_TIME(at_ms), "version", BCON_INT64(1));
    return take(doc);
}

static struct pk_doc *task(const char *person, const char *observation, int64_t at_ms)
{
    char id[PK_UUID_TEXT];
    pk_uuid_new(id);
    return take(BCON_NEW("_id", BCON_UTF8(id), "taskType", BCON_UTF8("process_observation"),
                         "userId", BCON_UTF8(person), "payload", "{", "observationId",
                         BCON_UTF8(observation), "}", "status", BCON_UTF8("pending"), "attempts",
                         BCON_INT64(0), "runAfter", BCON_DATE_TIME(at_ms), "createdAt",
                         BCON_DATE_TIME(at_ms), "updatedAt", BCON_DATE_TIME(at_ms)));
}

static struct pk_doc *event(const char *person, const char *observation, int64_t at_ms)
{
    char id[PK_UUID_TEXT];
    pk_uuid_new(id);
    return take(BCON_NEW("_id", BCON_UTF8(id), "eventType", BCON_UTF8("observation.accepted"),
                         "timestamp", BCON_DATE_TIME(at_ms), "userId", BCON_UTF8(person), "payload",
                         "{", "entityId", BCON_UTF8(observation), "entityType",
                         BCON_UTF8("observation"), "}", "source", "{", "service", BCON_UTF8("api"),
                         "version", BCON_UTF8(PK_VERSION), "instance", BCON_UTF8("bench"), "}",
                         "expiresAt", BCON_DATE_TIME(at_ms + 7LL * 86400000)));
}

static struct pk_doc *answer(const char *person, int64_t at_ms)
{
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char id[PK_UUID_TEXT];
    char key[64];
    pk_uuid_new(id);
    (void)snprintf(key, sizeof(key), "bench:%s", id);
    return take(BCON_NEW("_id", BCON_UTF8(key), "actorId", BCON_UTF8("bench"), "userIds", "[",
                         BCON_UTF8(person), "]", "route", BCON_UTF8("POST /v1/observations"),
                         "requestHash", BCON_UTF8(hash), "answer", "{", "status", BCON_INT64(201),
                         "body", BCON_UTF8("{\"status\":\"accepted\"}"), "}", "createdAt",
                         BCON_DATE_TIME(at_ms), "expiresAt", BCON_DATE_TIME(at_ms + 86400000)));
}

static void add(struct pk_writes *list, const char *collection, struct pk_doc *doc)
{
    pk_writes_insert(list, collection, doc);
    pk_doc_unref(doc);
}

void work_four(struct pk_writes *list, unsigned number, int64_t at_ms)
{
    char person[PK_UUID_TEXT];
    char id[PK_UUID_TEXT];
    work_person(number, person);
    add(list, "observations", work_observation(number, at_ms, id));
    add(list, "outbox", task(person, id, at_ms));
    struct pk_doc *row = event(person, id, at_ms);
    pk_writes_announce(list, row);
    pk_doc_unref(row);
    add(list, "idempotency", answer(person, at_ms));
}
