/* observation_doc.c - The stored observation, its task and its row of the feed. */
/* SPDX-License-Identifier: MIT */
#include "persona/observation_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "doc/doc.h"
#include "doc/writer.h"
#include "feed/outbox.h"
#include "store/store.h"

#include <string.h>

/* ---- The document ---- */

static void put_text(struct pk_buf *out, const char *key, const char *text)
{
    (void)pk_writer_key(out, BSON_TYPE_UTF8, key, strlen(key));
    pk_writer_text(out, text, strlen(text));
}

static void put_date(struct pk_buf *out, const char *key, int64_t ms)
{
    (void)pk_writer_key(out, BSON_TYPE_DATE_TIME, key, strlen(key));
    pk_writer_int64(out, ms);
}

static void put_field(struct pk_buf *out, const bson_t *form, const char *key)
{
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, form, key)) {
        pk_writer_copy(out, key, strlen(key), &iter);
    }
}

static void put_approval(struct pk_buf *out, const struct observation_stamp *stamp)
{
    (void)pk_writer_key(out, BSON_TYPE_DOCUMENT, "approvalMetadata", strlen("approvalMetadata"));
    const size_t start = pk_writer_begin(out);
    if (!stamp->is_waiting) {
        put_text(out, "policy", "automatic");
        put_date(out, "approvedAt", stamp->now_ms);
    }
    pk_writer_end(out, start);
}

struct pk_doc *observation_doc_new(const struct observation_form *form,
                                   const struct observation_stamp *stamp)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
    const bool is_dated = form->has_timestamp && form->timestamp_ms <= stamp->now_ms;
    bson_t view, sent;

    (void)bson_init_static(&sent, form->data, form->size);
    (void)pk_buf_reserve(&out, form->size + 512);
    const size_t start = pk_writer_begin(&out);
    put_text(&out, "_id", stamp->id); /* First what the indexes hold: they need not look far. */
    put_text(&out, "userId", stamp->person);
    if (stamp->merged_from) {
        put_text(&out, "mergedFrom", stamp->merged_from);
    }
    put_text(&out, "processingStatus", stamp->is_waiting ? "pending" : "approved");
    put_field(&out, &sent, "sourceType");
    put_date(&out, "createdAt", stamp->now_ms);
    put_date(&out, "effectiveAt", is_dated ? form->timestamp_ms : stamp->now_ms);
    put_field(&out, &sent, "sourceMetadata");
    put_field(&out, &sent, "content");
    put_approval(&out, stamp);
    put_text(&out, "createdBy", stamp->actor);
    put_date(&out, "updatedAt", stamp->now_ms);
    (void)pk_writer_key(&out, BSON_TYPE_INT64, "version", strlen("version"));
    pk_writer_int64(&out, 1);
    pk_writer_end(&out, start);
    (void)bson_init_static(&view, (const uint8_t *)out.data, out.size);
    return pk_doc_new(&view);
}

/* ---- Sameness ---- */

/* The field as a document of its own. */
static struct pk_doc *field_of(const struct pk_doc *doc, const char *name)
{
    bson_t view, alone = BSON_INITIALIZER;
    bson_iter_t iter;
    pk_doc_view(doc, &view);
    if (bson_iter_init_find(&iter, &view, name)) {
        bson_append_iter(&alone, name, -1, &iter);
    }
    struct pk_doc *out = pk_doc_new(&alone);
    bson_destroy(&alone);
    return out;
}

bool observation_is_same(const struct pk_doc *a, const struct pk_doc *b)
{
    static const char *const sent[] = { "userId", "sourceType", "sourceMetadata", "content" };
    for (size_t i = 0; i < PK_COUNT(sent); i++) {
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *one = field_of(a, sent[i]);
        PK_CLEANUP(pk_doc_unrefp) struct pk_doc *other = field_of(b, sent[i]);
        if (!pk_doc_same(one, other)) {
            return false;
        }
    }
    return true;
}

/* ---- What goes with it ---- */

void observation_add_task(const struct pk_domain *domain, const struct pk_by *by, const char *what,
                          const char *id, const char *person, struct pk_writes *list,
                          char out[PK_UUID_TEXT])
{
    bson_t payload = BSON_INITIALIZER;
    pk_uuid_ordered(pk_clock_wall_ms(domain->books->clock), out);
    observation_add_news(domain, what, id, person, out, list); /* Before it is told to be begun. */
    BSON_APPEND_UTF8(&payload, "observationId", id);
    pk_task_add(list, domain->books,
                &(struct pk_task_new){ .type = "process_observation",
                                       .person = person,
                                       .actor = by->actor_id,
                                       .payload = &payload,
                                       .id = out,
                                       .outbox = domain->outbox },
                NULL);
    bson_destroy(&payload);
}

void observation_add_news(const struct pk_domain *domain, const char *what, const char *id,
                          const char *person, const char *task, struct pk_writes *list)
{
    const struct pk_fact fact[] = { { "taskId", task && *task ? task : NULL }, { NULL, NULL } };
    const struct pk_news news = { .type = what,
                                  .entity_type = "observation",
                                  .entity_id = id,
                                  .service = "persona",
                                  .person = person,
                                  .fact = task && *task ? fact : NULL };
    pk_news_add(list, domain->books, &news);
}
