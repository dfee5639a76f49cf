/* people.c - Finds people, and makes them with the first thing that is said of them.
 *
 *     an id ───────────────────────────┐
 *     source and external id ──index───┴─▶ 'people' ──mergedInto──▶ ... ──▶ the person
 *                                             │ none
 *                                             └─▶ a new one: 'people', an empty mindscape
 *
 * Two that make the same person at once meet at the unique '_id', or at the
 * unique external id; the later one reads again and finds him. */
/* SPDX-License-Identifier: MIT */
#include "persona/people_internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "persona/mindscape.h"
#include "store/store.h"

#include <bson/bson.h>
#include <stdio.h>
#include <string.h>

enum {
    KEY_TEXT = 402 + 1 /* "<source>:<id>" */
};

/* ---- Finding ---- */

static void external_key(char out[KEY_TEXT], const char *source, const char *external)
{
    (void)snprintf(out, KEY_TEXT, "%s:%s", source, external);
}

bool people_find_external(const struct pk_domain *domain, const char *source, const char *external,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    char key[KEY_TEXT];
    external_key(key, source, external);
    const struct pk_query query = { .collection = "people",
                                    .index = "by_external_id",
                                    .equal = { PK_TEXT(key) },
                                    .equal_count = 1,
                                    .limit = 1 };
    if (!pk_store_find(domain->books->store, &query, deadline_ns, &page, err)) {
        return pk_wrap(err, "look for the external id");
    }
    *out = page.count > 0 ? pk_doc_ref(page.doc[0]) : NULL;
    return true;
}

static bool read_person(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                        struct pk_doc **out, struct pk_error *err)
{
    return pk_store_get(domain->books->store, "people", id, deadline_ns, out, err) ||
           pk_wrap(err, "read the person");
}

void people_way_done(struct people_way *way)
{
    for (size_t i = 0; i < way->count; i++) {
        pk_doc_unref(way->doc[i]);
    }
    way->count = 0;
}

/* '*person' becomes the one he was merged into, and so on; 'way' (NULL: nobody asks) gets those
 * that were passed. */
static bool follow_merges(const struct pk_domain *domain, int64_t deadline_ns,
                          struct people_way *way, struct pk_doc **person, struct pk_error *err)
{
    for (int i = 0; *person; i++) {
        struct pk_doc *next = NULL;
        const char *into = pk_doc_text(*person, "mergedInto");
        if (!into) {
            return true;
        }
        if (i == PK_MERGES_MAX) {
            return pk_fail(err, PK_INTERNAL, "undo one of the merges",
                           "more than %d merges lead from one person to the next", PK_MERGES_MAX);
        }
        if (!read_person(domain, into, deadline_ns, &next, err)) {
            return false;
        }
        if (way) {
            way->doc[way->count++] = *person;
        } else {
            pk_doc_unref(*person);
        }
        *person = next;
    }
    return true;
}

bool pk_person_named(const struct pk_domain *domain, const struct pk_person_ref *ref,
                     int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    return ref->id
               ? read_person(domain, ref->id, deadline_ns, out, err)
               : people_find_external(domain, ref->source, ref->external, deadline_ns, out, err);
}

static bool find_person(const struct pk_domain *domain, const struct pk_person_ref *ref,
                        int64_t deadline_ns, struct people_way *way, struct pk_doc **out,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = NULL;
    if (!pk_person_named(domain, ref, deadline_ns, &person, err) ||
        !follow_merges(domain, deadline_ns, way, &person, err)) {
        return false;
    }
    *out = person;
    person = NULL;
    return true;
}

bool pk_person_find(const struct pk_domain *domain, const struct pk_person_ref *ref,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err)
{
    return find_person(domain, ref, deadline_ns, NULL, out, err);
}

bool pk_person_list(const struct pk_domain *domain, size_t limit, const char *cursor,
                    struct pk_page *out, struct pk_error *err)
{
    const struct pk_query query = { .collection = "people",
                                    .index = "by_created",
                                    .is_reversed = true,
                                    .limit = limit,
                                    .cursor = cursor };
    return pk_store_find(domain->books->store, &query, 0, out, err) ||
           pk_wrap(err, "list the people");
}

/* ---- Holding one ---- */

bool pk_person_fail_gone(const struct pk_doc *tombstone, struct pk_error *err)
{
    if (pk_doc_text(tombstone, "mergedInto") && !pk_doc_date(tombstone, "erasedAt", 0)) {
        return pk_fail_field(err, PK_CONFLICT, "personId", "ask again: it is done to that one then",
                             "the person was just merged into another one");
    }
    return pk_fail_field(err, PK_CONFLICT, "personId", "nothing more is taken of an erased person",
                         "the person was erased");
}

/* The list expects that there is none; looked at when that has failed, to say why. */
static bool check_tombstone(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                            struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *tombstone = NULL;
    if (!pk_store_get(domain->books->store, "tombstones", id, deadline_ns, &tombstone, err)) {
        return pk_wrap(err, "look whether the person was erased");
    }
    return !tombstone || pk_person_fail_gone(tombstone, err);
}

static bool has_external(const struct pk_doc *person, const char *key)
{
    bson_t view;
    bson_iter_t list, item;
    pk_doc_view(person, &view);
    if (!bson_iter_init_find(&list, &view, "externalIds") || !bson_iter_recurse(&list, &item)) {
        return false;
    }
    while (bson_iter_next(&item)) {
        bson_iter_t field;
        if (bson_iter_recurse(&item, &field) && bson_iter_find(&field, "key") &&
            BSON_ITER_HOLDS_UTF8(&field) && strcmp(bson_iter_utf8(&field, NULL), key) == 0) {
            return true;
        }
    }
    return false;
}

/* The external id beside an id: his already, free, or somebody else's. */
static bool check_external(const struct pk_domain *domain, const struct pk_person_ref *ref,
                           int64_t deadline_ns, struct people_hold *hold, struct pk_error *err)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *other = NULL;
    char key[KEY_TEXT];
    if (!ref->id || !ref->source) {
        return true;
    }
    external_key(key, ref->source, ref->external);
    if (hold->doc && has_external(hold->doc, key)) {
        return true;
    }
    if (!people_find_external(domain, ref->source, ref->external, deadline_ns, &other, err) ||
        !follow_merges(domain, deadline_ns, NULL, &other, err)) {
        return false;
    }
    if (other && strcmp(pk_doc_id(other), hold->id) != 0) {
        return pk_fail_field(err, PK_CONFLICT, "externalId", "leave one of the two out",
                             "the external id is another person's");
    }
    if (!other) {
        hold->source = ref->source;
        hold->external = ref->external;
    }
    return true;
}

static bool look(const struct pk_domain *domain, const struct pk_person_ref *ref, bool is_fresh,
                 int64_t deadline_ns, struct people_hold *hold, struct pk_error *err)
{
    if (ref->id && domain->people) {
        const bool is_there = people_known_look(domain->people, ref->id, &hold->known);
        hold->is_known = is_there && !is_fresh && !ref->source;
        if (hold->is_known) {
            hold->stored_bytes = hold->known.stored_bytes;
            (void)snprintf(hold->id, sizeof(hold->id), "%s", ref->id);
            return true;
        }
    }
    if (!find_person(domain, ref, deadline_ns, &hold->way, &hold->doc, err)) {
        return false;
    }
    hold->is_new = hold->doc == NULL;
    if (hold->doc) {
        (void)snprintf(hold->id, sizeof(hold->id), "%s", pk_doc_id(hold->doc));
        hold->known.since_ns = ref->id && strcmp(hold->id, ref->id) == 0 ? hold->known.since_ns : 0;
        hold->stored_bytes = pk_doc_int(hold->doc, "storedBytes", 0);
    } else if (ref->id) {
        (void)snprintf(hold->id, sizeof(hold->id), "%s", ref->id);
    } else {
        pk_uuid_new(hold->id);
        hold->source = ref->source;
        hold->external = ref->external;
    }
    return true;
}

bool people_hold(const struct pk_domain *domain, const struct pk_person_ref *ref, bool is_fresh,
                 int64_t deadline_ns, struct people_hold *out, struct pk_error *err)
{
    struct people_hold hold = { .id = "" };
    if (!look(domain, ref, is_fresh, deadline_ns, &hold, err) ||
        !check_external(domain, ref, deadline_ns, &hold, err) ||
        (is_fresh && !check_tombstone(domain, hold.id, deadline_ns, err))) {
        people_hold_done(&hold);
        return false;
    }
    *out = hold;
    return true;
}

void people_hold_done(struct people_hold *hold)
{
    people_way_done(&hold->way);
    pk_doc_unref(hold->doc);
    *hold = (struct people_hold){ .id = "" };
}

const char *people_hold_merged(const struct people_hold *hold)
{
    return hold->way.count > 0 ? pk_doc_id(hold->way.doc[0]) : NULL;
}

bool people_hold_join(struct people_hold *hold, const struct people_hold *from,
                      struct pk_error *err)
{
    for (size_t i = 0; i < from->way.count; i++) {
        size_t at = 0;
        while (at < hold->way.count &&
               strcmp(pk_doc_id(hold->way.doc[at]), pk_doc_id(from->way.doc[i])) != 0) {
            at++;
        }
        if (at == PEOPLE_MERGES_MAX) {
            return pk_fail(err, PK_BUSY, "send them in several requests",
                           "one person is named by more than %d ids", PEOPLE_MERGES_MAX);
        }
        if (at == hold->way.count) {
            hold->way.doc[hold->way.count++] = pk_doc_ref(from->way.doc[i]);
        }
    }
    return true;
}

/* ---- Writing ---- */

static void add_external(bson_t *list, uint32_t at, const struct people_hold *hold)
{
    bson_t item;
    char number[16], key[KEY_TEXT];
    const char *name;
    (void)bson_uint32_to_string(at, &name, number, sizeof(number));
    external_key(key, hold->source, hold->external);
    BSON_APPEND_DOCUMENT_BEGIN(list, name, &item);
    BSON_APPEND_UTF8(&item, "source", hold->source);
    BSON_APPEND_UTF8(&item, "id", hold->external);
    BSON_APPEND_UTF8(&item, "key", key);
    bson_append_document_end(list, &item);
}

static void write_new(const struct pk_domain *domain, const struct people_hold *hold,
                      struct pk_writes *list)
{
    const int64_t now_ms = pk_clock_wall_ms(domain->books->clock);
    const struct pk_news news = { .type = "person.created",
                                  .entity_type = "person",
                                  .entity_id = hold->id,
                                  .service = "persona",
                                  .person = hold->id };
    bson_t *bson = bson_new();
    bson_t externals;
    BSON_APPEND_UTF8(bson, "_id", hold->id);
    if (hold->source) {
        BSON_APPEND_ARRAY_BEGIN(bson, "externalIds", &externals);
        add_external(&externals, 0, hold);
        bson_append_array_end(bson, &externals);
    }
    BSON_APPEND_INT64(bson, "storedBytes", hold->bytes);
    BSON_APPEND_DATE_TIME(bson, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = pk_doc_take(bson);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = pk_mindscape_empty(hold->id, now_ms);
    pk_writes_insert(list, "people", person);
    pk_writes_insert(list, "mindscapes", mindscape);
    pk_news_add(list, domain->books, &news);
}

/* The document with one external id more, and the bytes of this list. */
static struct pk_doc *with_external(const struct people_hold *hold, int64_t now_ms)
{
    bson_t *bson = bson_new();
    bson_t view, old, externals;
    bson_iter_t iter;
    uint32_t count = 0;
    pk_doc_view(hold->doc, &view);
    bson_copy_to_excluding_noinit(&view, bson, "externalIds", "storedBytes", "updatedAt", NULL);
    BSON_APPEND_ARRAY_BEGIN(bson, "externalIds", &externals);
    if (bson_iter_init_find(&iter, &view, "externalIds") && BSON_ITER_HOLDS_ARRAY(&iter)) {
        const uint8_t *data;
        uint32_t size;
        bson_iter_array(&iter, &size, &data);
        (void)bson_init_static(&old, data, size);
        count = bson_count_keys(&old);
        bson_concat(&externals, &old);
    }
    add_external(&externals, count, hold);
    bson_append_array_end(bson, &externals);
    BSON_APPEND_INT64(bson, "storedBytes", pk_doc_int(hold->doc, "storedBytes", 0) + hold->bytes);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", now_ms);
    return pk_doc_take(bson);
}

static void write_external(const struct pk_domain *domain, const struct people_hold *hold,
                           struct pk_writes *list)
{
    static const char *const path[] = { "externalIds" };
    const struct pk_news news = { .type = "person.updated",
                                  .entity_type = "person",
                                  .entity_id = hold->id,
                                  .service = "persona",
                                  .person = hold->id,
                                  .path = path,
                                  .path_count = 1 };
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *doc = with_external(hold, pk_clock_wall_ms(domain->books->clock));
    pk_writes_replace(list, "people", doc, pk_doc_version(hold->doc));
    pk_news_add(list, domain->books, &news);
}

/* Adds what is new to the count in the store, when it is time to. */
static void write_count(const struct pk_domain *domain, struct people_hold *hold,
                        struct pk_writes *list)
{
    if (hold->bytes == 0 ||
        (domain->people &&
         !people_known_add(domain->people, hold->id, hold->bytes, &hold->drawn_bytes))) {
        return;
    }
    const struct pk_count count = { .path = "storedBytes",
                                    .amount = hold->bytes + hold->drawn_bytes };
    pk_writes_count(list, "people", hold->id, &count, 1);
}

void people_write(const struct pk_domain *domain, struct people_hold *hold, struct pk_writes *list)
{
    hold->drawn_bytes = 0;
    if (hold->is_new) {
        write_new(domain, hold, list);
    } else if (hold->source && hold->doc) {
        write_external(domain, hold, list);
    } else {
        write_count(domain, hold, list);
    }
    pk_writes_expect_absent(list, "tombstones", hold->id);
    for (size_t i = 0; i < hold->way.count; i++) {
        pk_writes_expect(list, "people", pk_doc_id(hold->way.doc[i]),
                         pk_doc_version(hold->way.doc[i]));
    }
}

void people_settle(const struct pk_domain *domain, struct people_hold *hold, bool is_committed)
{
    struct people_known learnt = hold->known;
    if (!domain->people) {
        return;
    }
    if (!is_committed) {
        people_known_return(domain->people, hold->id, hold->drawn_bytes);
        people_known_forget(domain->people, hold->id);
        return;
    }
    if (!hold->is_known && learnt.since_ns != 0) {
        learnt.stored_bytes = hold->stored_bytes + hold->bytes;
        people_known_learn(domain->people, hold->id, &learnt);
    }
}

bool pk_person_ensure(const struct pk_domain *domain, const struct pk_person_ref *ref,
                      int64_t deadline_ns, struct pk_writes *list, char out_id[PK_UUID_TEXT],
                      struct pk_error *err)
{
    PK_CLEANUP(people_hold_done) struct people_hold hold = { .id = "" };
    if (!people_hold(domain, ref, true, deadline_ns, &hold, err)) {
        return false;
    }
    people_write(domain, &hold, list);
    (void)snprintf(out_id, PK_UUID_TEXT, "%s", hold.id);
    return true;
}
