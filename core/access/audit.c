/* audit.c - Builds the rows that go with a change: one to remember it, one to tell of it. */
/* SPDX-License-Identifier: MIT */
#include "access/audit.h"

#include "access/pepper.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "doc/doc.h"
#include "store/store.h"

#include <assert.h>
#include <string.h>

void pk_audit_person(const struct pk_peppers *peppers, const char *person, char out[PK_HASH_TEXT])
{
    static const char purpose[] = "person:";
    char text[sizeof(purpose) + PK_DOC_ID_MAX];
    uint8_t hash[PK_HASH_BYTES];
    const size_t size = strlen(person);

    assert(size <= PK_DOC_ID_MAX);
    memcpy(text, purpose, sizeof(purpose) - 1);
    memcpy(text + sizeof(purpose) - 1, person, size);
    pk_hash(hash, text, sizeof(purpose) - 1 + size, pk_peppers_first(peppers)->secret,
            PK_PEPPER_BYTES);
    pk_hex(out, hash, sizeof(hash));
}

static void add_text(bson_t *bson, const char *name, const char *text)
{
    if (text) {
        BSON_APPEND_UTF8(bson, name, text);
    }
}

static void add_facts(bson_t *bson, const char *name, const struct pk_fact *fact)
{
    bson_t child;
    if (!fact || !fact->name) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(bson, name, &child);
    for (; fact->name; fact++) {
        add_text(&child, fact->name, fact->text);
    }
    bson_append_document_end(bson, &child);
}

void pk_audit_add(struct pk_writes *list, const struct pk_books *books, const struct pk_by *by,
                  const struct pk_audit *audit)
{
    const int64_t now_ms = pk_clock_wall_ms(books->clock);
    bson_t *bson = bson_new();
    char id[PK_UUID_TEXT];
    char person[PK_HASH_TEXT];

    pk_uuid_new(id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_DATE_TIME(bson, "at", now_ms);
    BSON_APPEND_UTF8(bson, "actorId", by->actor_id);
    BSON_APPEND_UTF8(bson, "action", audit->action);
    if (audit->person) {
        pk_audit_person(books->peppers, audit->person, person);
        BSON_APPEND_UTF8(bson, "userHash", person);
    }
    add_text(bson, "targetType", audit->target_type);
    add_text(bson, "targetId", audit->target_id);
    BSON_APPEND_UTF8(bson, "outcome", audit->outcome ? audit->outcome : "done");
    add_text(bson, "purpose", audit->purpose);
    add_text(bson, "requestId", by->request_id);
    add_facts(bson, "details", audit->fact);
    if (books->audit_keep_ms) {
        BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + books->audit_keep_ms);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "audit", doc);
}

static void add_origin(bson_t *bson, const struct pk_books *books, const char *service)
{
    bson_t child;
    BSON_APPEND_DOCUMENT_BEGIN(bson, "source", &child);
    BSON_APPEND_UTF8(&child, "service", service ? service : "access");
    BSON_APPEND_UTF8(&child, "version", PK_VERSION);
    BSON_APPEND_UTF8(&child, "instance", books->node);
    bson_append_document_end(bson, &child);
}

static void add_changes(bson_t *payload, const struct pk_news *news)
{
    bson_t changes, paths;
    char name[16];
    const char *key;

    if (news->path_count == 0 && news->version == 0) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(payload, "changes", &changes);
    if (news->path_count > 0) {
        BSON_APPEND_ARRAY_BEGIN(&changes, "paths", &paths);
        for (size_t i = 0; i < news->path_count; i++) {
            (void)bson_uint32_to_string((uint32_t)i, &key, name, sizeof(name));
            BSON_APPEND_UTF8(&paths, key, news->path[i]);
        }
        bson_append_array_end(&changes, &paths);
    }
    if (news->version != 0) {
        BSON_APPEND_INT64(&changes, "version", news->version);
    }
    bson_append_document_end(payload, &changes);
}

void pk_news_add(struct pk_writes *list, const struct pk_books *books, const struct pk_news *news)
{
    const int64_t now_ms = pk_clock_wall_ms(books->clock);
    bson_t *bson = bson_new();
    bson_t payload;
    char id[PK_UUID_TEXT];

    pk_uuid_ordered(now_ms, id);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_UTF8(bson, "eventType", news->type);
    BSON_APPEND_DATE_TIME(bson, "timestamp", now_ms);
    add_text(bson, "userId", news->person);
    BSON_APPEND_DOCUMENT_BEGIN(bson, "payload", &payload);
    BSON_APPEND_UTF8(&payload, "entityId", news->entity_id);
    BSON_APPEND_UTF8(&payload, "entityType", news->entity_type);
    add_changes(&payload, news);
    add_facts(&payload, "metadata", news->fact);
    bson_append_document_end(bson, &payload);
    add_origin(bson, books, news->service);
    BSON_APPEND_DATE_TIME(bson, "expiresAt", now_ms + books->event_keep_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_announce(list, doc);
}

/* ---- Deciding ---- */

bool pk_by_decide(const struct pk_by *by, const struct pk_books *books,
                  bool (*decide)(void *context, struct pk_writes *list, struct pk_error *err),
                  void *context, struct pk_error *err)
{
    struct pk_commit commit = { .cursor = "" };
    if (!pk_store_decide(books->store, decide, context, by->deadline_ns, &commit, err)) {
        return false;
    }
    if (by->cursor && commit.cursor[0]) {
        memcpy(by->cursor, commit.cursor, PK_POSITION_TEXT);
    }
    return true;
}
