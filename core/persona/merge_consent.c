/* merge_consent.c - Of two consents to one purpose the stricter one holds, until it is decided
 * anew.
 *
 * Records of who is merged stay under his id. The other's record of each
 * purpose becomes the stricter of both; what it was by itself stands in it as
 * 'own' ({}: there was none). Whoever records a consent writes one without
 * 'own': so at an undo what has 'own' goes back to it, less what others who
 * are still merged forbid; what has none was decided since, stays, and where
 * it forbids it does so for both.
 *
 * Thread: the task's. */
/* SPDX-License-Identifier: MIT */
#include "persona/merge_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "persona/consent.h"
#include "persona/consent_internal.h"
#include "persona/mindscape.h"

#include <stdio.h>
#include <string.h>

enum { PURPOSES_MAX = 500 };

/* What a record says; '{ 0 }': there is none. */
struct said {
    bool is_there, is_granted;
    int64_t from_ms, until_ms;        /* INT64_MIN, INT64_MAX: not limited. */
    int64_t granted_ms, withdrawn_ms; /* INT64_MIN: never. */
    int64_t created_ms;
    const char *by, *evidence; /* Borrowed; or NULL. */
};

static const char *text_of(const bson_t *record, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, record, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

static int64_t date_of(const bson_t *record, const char *name, int64_t fallback)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, record, name) && BSON_ITER_HOLDS_DATE_TIME(&iter)
               ? bson_iter_date_time(&iter)
               : fallback;
}

static void read_fields(const bson_t *record, struct said *out)
{
    const char *status = text_of(record, "status");
    *out = (struct said){ .is_there = status != NULL,
                          .is_granted = status && strcmp(status, "granted") == 0,
                          .from_ms = date_of(record, "validFrom", INT64_MIN),
                          .until_ms = date_of(record, "validUntil", INT64_MAX),
                          .granted_ms = date_of(record, "grantedAt", INT64_MIN),
                          .withdrawn_ms = date_of(record, "withdrawnAt", INT64_MIN),
                          .created_ms = date_of(record, "createdAt", 0),
                          .by = text_of(record, "recordedBy"),
                          .evidence = text_of(record, "evidence") };
}

static bool own_of(const struct pk_doc *record, bson_t *out)
{
    bson_t view;
    bson_iter_t iter;
    const uint8_t *data;
    uint32_t size;
    if (!record) {
        return false;
    }
    pk_doc_view(record, &view);
    if (!bson_iter_init_find(&iter, &view, "own") || !BSON_ITER_HOLDS_DOCUMENT(&iter)) {
        return false;
    }
    bson_iter_document(&iter, &size, &data);
    return bson_init_static(out, data, size);
}

/* 'is_own': of the person alone. */
static void read_record(const struct pk_doc *record, bool is_own, struct said *out)
{
    bson_t view;
    *out = (struct said){ .is_there = false };
    if (!record) {
        return;
    }
    if (!is_own || !own_of(record, &view)) {
        pk_doc_view(record, &view);
    }
    read_fields(&view, out);
}

static struct said stricter(const struct said *a, const struct said *b)
{
    if (!a->is_there || !b->is_there) {
        return a->is_there ? *a : *b;
    }
    if (!a->is_granted || !b->is_granted) {
        return a->is_granted ? *b : *a;
    }
    struct said both = *a;
    both.from_ms = b->from_ms > a->from_ms ? b->from_ms : a->from_ms;
    both.until_ms = b->until_ms < a->until_ms ? b->until_ms : a->until_ms;
    both.is_granted = both.from_ms < both.until_ms; /* At no time by both: by nobody. */
    return both;
}

/* ---- Writing ---- */

static void put_date(bson_t *bson, const char *name, int64_t at_ms)
{
    if (at_ms != INT64_MIN && at_ms != INT64_MAX) {
        BSON_APPEND_DATE_TIME(bson, name, at_ms);
    }
}

static void put_said(bson_t *bson, const struct said *said)
{
    const bool is_turned = said->from_ms >= said->until_ms;
    BSON_APPEND_UTF8(bson, "status", said->is_granted ? "granted" : "withdrawn");
    put_date(bson, "validFrom", is_turned ? INT64_MIN : said->from_ms);
    put_date(bson, "validUntil", is_turned ? INT64_MAX : said->until_ms);
    put_date(bson, "grantedAt", said->granted_ms);
    put_date(bson, "withdrawnAt", said->withdrawn_ms);
    if (said->by) {
        BSON_APPEND_UTF8(bson, "recordedBy", said->by);
    }
    if (said->evidence) {
        BSON_APPEND_UTF8(bson, "evidence", said->evidence);
    }
}

/* 'own' NULL: the record is the person's own. */
static struct pk_doc *make(const char *person, const char *purpose, const struct said *said,
                           const struct said *own, int64_t now_ms)
{
    bson_t alone;
    bson_t *bson = bson_new();
    PK_CLEANUP(pk_freep) char *id = pk_strdupf("%s:%s", person, purpose);
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_UTF8(bson, "userId", person);
    BSON_APPEND_UTF8(bson, "purpose", purpose);
    put_said(bson, said);
    if (own) {
        BSON_APPEND_DOCUMENT_BEGIN(bson, "own", &alone);
        if (own->is_there) {
            put_said(&alone, own);
            BSON_APPEND_DATE_TIME(&alone, "createdAt", own->created_ms);
        }
        bson_append_document_end(bson, &alone);
    }
    BSON_APPEND_DATE_TIME(bson, "createdAt", said->created_ms);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

/* What has waited for it may go on. */
static void add_resume(const struct merging *merging, const char *person, struct pk_writes *list)
{
    char id[PK_UUID_TEXT];
    const struct pk_fact fact[] = { { "taskId", id }, { NULL, NULL } };
    consent_add_resume(merging->domain, NULL, person, 0, list, id);
    pk_news_add(list, merging->domain->books,
                &(struct pk_news){ .type = "task.added",
                                   .entity_type = "task",
                                   .entity_id = id,
                                   .service = "persona",
                                   .person = person,
                                   .fact = fact });
}

struct step {
    struct merging *merging;
    const char *purpose;
};

static bool read_of(const struct step *step, const char *person, struct pk_doc **out,
                    struct pk_error *err)
{
    return pk_consent_get(step->merging->domain, person, step->purpose,
                          step->merging->task->deadline_ns, out, err);
}

/* '*before' is what is stored, or NULL; 'said' what is to be: nothing of it is there, it goes. */
static bool write_record(const struct step *step, const char *person, const struct pk_doc *before,
                         const struct said *said, const struct said *own, struct pk_writes *list,
                         struct pk_error *err)
{
    const struct pk_domain *domain = step->merging->domain;
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    if (!said->is_there && !before) {
        return true;
    }
    if (!said->is_there) {
        pk_writes_delete(list, "consents", pk_doc_id(before), pk_doc_version(before));
    } else {
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *made = make(person, step->purpose, said, own, now_ms);
        if (before) {
            pk_writes_replace(list, "consents", made, pk_doc_version(before));
        } else {
            pk_writes_insert(list, "consents", made);
        }
    }
    if (strcmp(step->purpose, PK_PURPOSE_PROCESSING) == 0 &&
        (!said->is_there || said->is_granted)) {
        add_resume(step->merging, person, list);
    }
    return pk_mindscape_touch(domain, person, "consent", step->purpose,
                              step->merging->task->deadline_ns, list, err);
}

/* ---- Together ---- */

static bool decide_join(void *context, struct pk_writes *list, struct pk_error *err)
{
    const struct step *step = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mine = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *theirs = NULL;
    struct said now, own, other;
    bson_t view;
    if (!read_of(step, step->merging->into, &mine, err) ||
        !read_of(step, step->merging->from, &theirs, err)) {
        return false;
    }
    const bool has_own = own_of(mine, &view);
    read_record(mine, false, &now);
    read_record(mine, true, &own);
    read_record(theirs, false, &other);
    const struct said both = stricter(&now, &other);
    const bool is_so = now.is_there && both.is_granted == now.is_granted &&
                       both.from_ms == now.from_ms && both.until_ms == now.until_ms;
    return (is_so && has_own) ||
           write_record(step, step->merging->into, mine, &both, &own, list, err);
}

/* ---- Apart ---- */

/* What is said of 'into' without 'from': his own, and those who are merged into him still. */
static bool said_without(const struct step *step, const struct pk_doc *mine, struct said *out,
                         struct pk_doc **keep, size_t *keep_count, struct pk_error *err)
{
    struct merging *merging = step->merging;
    struct pk_person_ids ids;
    struct said each;
    bool ok = pk_person_ids(merging->domain, merging->into, merging->task->deadline_ns, &ids, err);
    read_record(mine, true, out);
    for (size_t i = 1; ok && i < ids.count; i++) {
        struct pk_doc *record = NULL;
        if (pk_person_ids_have(&merging->ids, pk_doc_id(ids.doc[i]))) {
            continue;
        }
        ok = read_of(step, pk_doc_id(ids.doc[i]), &record, err);
        if (ok && record) {
            keep[(*keep_count)++] = record; /* What it says is borrowed. */
            read_record(record, true, &each);
            *out = stricter(out, &each);
        }
    }
    pk_person_ids_done(&ids);
    return ok;
}

static bool part_mine(const struct step *step, const struct pk_doc *mine, struct pk_writes *list,
                      struct pk_error *err)
{
    struct pk_doc *keep[PK_IDS_MAX];
    size_t keep_count = 0;
    struct said said, own;
    bool ok = said_without(step, mine, &said, keep, &keep_count, err);
    if (ok) {
        read_record(mine, true, &own);
        ok = write_record(step, step->merging->into, mine, &said, keep_count > 0 ? &own : NULL,
                          list, err);
    }
    for (size_t i = 0; i < keep_count; i++) {
        pk_doc_unref(keep[i]);
    }
    return ok;
}

static bool decide_part(void *context, struct pk_writes *list, struct pk_error *err)
{
    const struct step *step = context;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mine = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *theirs = NULL;
    struct said now, other;
    bson_t view;
    if (!read_of(step, step->merging->into, &mine, err) ||
        !read_of(step, step->merging->from, &theirs, err)) {
        return false;
    }
    if (own_of(mine, &view)) {
        return part_mine(step, mine, list, err);
    }
    read_record(mine, false, &now);
    read_record(theirs, false, &other);
    const bool is_since = mine && pk_doc_date(mine, "updatedAt", 0) >= step->merging->asked_ms;
    if (!now.is_there || now.is_granted || is_since || (other.is_there && !other.is_granted)) {
        return true; /* What is newer than the undo is not said of both, or is our own work. */
    }
    if (step->merging->gone) {
        return true;
    }
    pk_writes_expect_absent(list, "tombstones", step->merging->from);
    return write_record(step, step->merging->from, theirs, &now, NULL, list, err);
}

/* ---- All purposes ---- */

struct purposes {
    char *name[PURPOSES_MAX];
    size_t count;
};

static void purposes_done(struct purposes *purposes)
{
    for (size_t i = 0; i < purposes->count; i++) {
        pk_free(purposes->name[i]);
    }
}

static bool add_purposes(const struct merging *merging, const char *person,
                         struct purposes *purposes, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    if (!pk_consent_list(merging->domain, person, PURPOSES_MAX, NULL, &page, err)) {
        return false;
    }
    for (size_t i = 0; i < page.count; i++) {
        const char *name = pk_doc_text(page.doc[i], "purpose");
        size_t at = 0;
        while (name && at < purposes->count && strcmp(purposes->name[at], name) != 0) {
            at++;
        }
        if (name && at == purposes->count && purposes->count < PURPOSES_MAX) {
            purposes->name[purposes->count++] = pk_strdup(name);
        }
    }
    return (!page.next && purposes->count < PURPOSES_MAX) ||
           pk_fail(err, PK_FULL, "withdraw some", "more than %d purposes of one person",
                   PURPOSES_MAX);
}

static bool each(struct merging *merging, pk_decide_fn *decide, struct pk_error *err)
{
    PK_CLEANUP(purposes_done) struct purposes purposes = { .count = 0 };
    if (!add_purposes(merging, merging->into, &purposes, err) ||
        !add_purposes(merging, merging->from, &purposes, err)) {
        return false;
    }
    for (size_t i = 0; i < purposes.count; i++) {
        struct step step = { merging, purposes.name[i] };
        if (!pk_store_decide(merging->domain->books->store, decide, &step,
                             merging->task->deadline_ns, NULL, err)) {
            return pk_wrap(err, "bring the consents together");
        }
    }
    return true;
}

bool merging_join_consents(struct merging *merging, struct pk_error *err)
{
    return each(merging, decide_join, err);
}

bool merging_part_consents(struct merging *merging, struct pk_error *err)
{
    return each(merging, decide_part, err);
}
