/* test_people.c - People: made by what is said of them, found by other names, erased for good. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/alloc.h"
#include "persona/observation.h"
#include "persona/people.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define BOTH(name)                        \
    static void name##_on(bool is_mongo); \
    TEST(name##_on_sqlite)                \
    {                                     \
        name##_on(false);                 \
    }                                     \
    TEST(name##_on_mongodb)               \
    {                                     \
        name##_on(true);                  \
    }                                     \
    static void name##_on(bool is_mongo)

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OTHER  "22222222-2222-4222-8222-222222222222"

/* With a memory of whom it knows. */
static void open_knowing(struct kit *kit)
{
    kit_open(kit);
    kit->domain.people = pk_people_new(&kit->clock.clock);
}

static void done_knowing(struct kit *kit)
{
    pk_people_free(kit->domain.people);
    kit_done(kit);
}

static struct pk_accepted send_of(struct kit *kit, const char *person_id, const char *external)
{
    struct pk_accepted accepted = { .is_ok = false };
    char json[512];
    bson_t sent;
    struct pk_error err;
    (void)snprintf(json, sizeof(json),
                   "{%s%s%s%s%s%s'sourceType':'chat_log','sourceMetadata':{'source':'s'},"
                   "'content':{'raw':'r'}}",
                   person_id ? "'personId':'" : "", person_id ? person_id : "",
                   person_id ? "'," : "", external ? "'externalId':{'source':'slack','id':'" : "",
                   external ? external : "", external ? "'}," : "");
    kit_json(&sent, "%s", json);
    const struct pk_sent one = { bson_get_data(&sent), sent.len };
    assert_ok(pk_observation_accept(&kit->domain, &kit->bed.by, NULL, &one, 1, &accepted, &err),
              &err);
    bson_destroy(&sent);
    return accepted;
}

static uint64_t reads_of(struct kit *kit)
{
    struct pk_store_stats stats;
    pk_store_stats(kit->bed.store, &stats);
    return stats.reads;
}

static void bury(struct kit *kit, const char *person)
{
    kit_put(kit, "tombstones",
            "{'_id':'%s','erasedAt':'2026-01-01T00:00:00Z','expiresAt':'2999-01-01T00:00:00Z'}",
            person);
}

BOTH(who_is_known_costs_no_read)
{
    PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
    open_knowing(&kit);
    struct pk_accepted accepted = send_of(&kit, PERSON, NULL);
    assert_true(accepted.is_ok);
    pk_accepted_done(&accepted);
    const uint64_t before = reads_of(&kit);
    for (int i = 0; i < 10; i++) {
        accepted = send_of(&kit, PERSON, NULL);
        assert_true(accepted.is_ok);
        pk_accepted_done(&accepted);
    }
    assert_int_equal(reads_of(&kit), before);
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 11);
}

BOTH(an_erased_person_is_refused_whether_he_was_known_or_not)
{
    for (int is_known = 0; is_known < 2; is_known++) {
        PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
        open_knowing(&kit);
        struct pk_accepted accepted = send_of(&kit, is_known ? PERSON : OTHER, NULL);
        assert_true(accepted.is_ok);
        pk_accepted_done(&accepted);
        bury(&kit, PERSON); /* No feed tells of it: the tombstone alone must do. */
        const size_t people = kit_count(&kit, "people", NULL, NULL);
        accepted = send_of(&kit, PERSON, NULL);
        assert_false(accepted.is_ok);
        expect_error(&accepted.err, PK_CONFLICT, "was erased");
        assert_string_equal(accepted.err.field, "personId");
        pk_accepted_done(&accepted);
        assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 1);
        assert_int_equal(kit_count(&kit, "people", NULL, NULL), people);
        accepted = send_of(&kit, OTHER, NULL);
        assert_true(accepted.is_ok);
        pk_accepted_done(&accepted);
    }
}

BOTH(another_system_s_id_leads_to_one_person)
{
    PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
    open_knowing(&kit);
    char id[PK_UUID_TEXT];
    struct pk_accepted accepted = send_of(&kit, NULL, "U1");
    assert_ok(accepted.is_ok, &accepted.err);
    (void)snprintf(id, sizeof(id), "%s", pk_doc_text(accepted.doc, "userId"));
    pk_accepted_done(&accepted);
    accepted = send_of(&kit, NULL, "U1");
    assert_string_equal(pk_doc_text(accepted.doc, "userId"), id);
    pk_accepted_done(&accepted);
    accepted = send_of(&kit, NULL, "U2");
    assert_string_not_equal(pk_doc_text(accepted.doc, "userId"), id);
    pk_accepted_done(&accepted);
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 2);
    assert_int_equal(kit_count(&kit, "mindscapes", NULL, NULL), 2);

    struct pk_doc *person = NULL;
    const struct pk_person_ref ref = { .source = "slack", .external = "U1" };
    assert_ok(pk_person_find(&kit.domain, &ref, 0, &person, &kit.err), &kit.err);
    assert_string_equal(pk_doc_id(person), id);
    pk_doc_unref(person);
}

BOTH(a_person_becomes_known_by_a_further_name_and_nobody_takes_it_from_him)
{
    PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
    open_knowing(&kit);
    static const char *const name[] = { NULL, "U1", "U1", "U2" };
    for (size_t i = 0; i < PK_COUNT(name); i++) {
        struct pk_accepted accepted = send_of(&kit, PERSON, name[i]);
        assert_ok(accepted.is_ok, &accepted.err);
        pk_accepted_done(&accepted);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = kit_get(&kit, "people", PERSON);
    assert_string_equal(pk_doc_text(person, "externalIds.0.key"), "slack:U1");
    assert_string_equal(pk_doc_text(person, "externalIds.1.id"), "U2");
    assert_null(pk_doc_text(person, "externalIds.2.id"));
    struct pk_accepted accepted = send_of(&kit, OTHER, "U2");
    assert_false(accepted.is_ok);
    expect_error(&accepted.err, PK_CONFLICT, "another person's");
    assert_string_equal(accepted.err.field, "externalId");
    pk_accepted_done(&accepted);
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 4);
    accepted = send_of(&kit, NULL, "U2");
    assert_string_equal(pk_doc_text(accepted.doc, "userId"), PERSON);
    pk_accepted_done(&accepted);
}

BOTH(merges_are_followed)
{
    PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
    open_knowing(&kit);
    struct pk_accepted accepted = send_of(&kit, OTHER, NULL);
    pk_accepted_done(&accepted);
    kit_put(&kit, "people",
            "{'_id':'" PERSON "','mergedInto':'" OTHER "','externalIds':[{'source':'slack','id':"
            "'U7','key':'slack:U7'}],'createdAt':'2026-01-01T00:00:00Z','updatedAt':"
            "'2026-01-01T00:00:00Z'}");
    accepted = send_of(&kit, PERSON, NULL);
    assert_string_equal(pk_doc_text(accepted.doc, "userId"), OTHER);
    pk_accepted_done(&accepted);
    accepted = send_of(&kit, NULL, "U7");
    assert_string_equal(pk_doc_text(accepted.doc, "userId"), OTHER);
    pk_accepted_done(&accepted);
}

TEST(what_the_feed_says_of_a_person_makes_the_node_look_again)
{
    PK_CLEANUP(done_knowing) struct kit kit = { 0 };
    open_knowing(&kit);
    struct pk_accepted accepted = send_of(&kit, PERSON, NULL);
    pk_accepted_done(&accepted);
    static const struct {
        const char *what, *entity;
        bool is_forgotten;
    } row[] = {
        { "observation.created", "observation", false },
        { "person.created", "person", false },
        { "person.merged", "person", true },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        bson_t event;
        kit_json(&event,
                 "{'_id':'e','eventType':'%s','userId':'" PERSON "','payload':{"
                 "'entityType':'%s'}}",
                 row[i].what, row[i].entity);
        const struct pk_feed_item item = { .kind = PK_FEED_EVENT, .doc = pk_doc_new(&event) };
        pk_people_hear(kit.domain.people, &item);
        pk_doc_unref(item.doc);
        bson_destroy(&event);
        const uint64_t before = reads_of(&kit);
        accepted = send_of(&kit, PERSON, NULL);
        assert_true(accepted.is_ok);
        pk_accepted_done(&accepted);
        assert_int_equal(reads_of(&kit) > before, row[i].is_forgotten);
    }
    const struct pk_feed_item gap = { .kind = PK_FEED_GAP };
    pk_people_hear(kit.domain.people, &gap);
    const uint64_t before = reads_of(&kit);
    accepted = send_of(&kit, PERSON, NULL);
    pk_accepted_done(&accepted);
    assert_true(reads_of(&kit) > before);
}

TEST(nobody_is_believed_in_for_long)
{
    PK_CLEANUP(done_knowing) struct kit kit = { 0 };
    open_knowing(&kit);
    struct pk_accepted accepted = send_of(&kit, PERSON, NULL);
    pk_accepted_done(&accepted);
    pk_clock_fake_advance(&kit.clock, 601 * 1000);
    const uint64_t before = reads_of(&kit);
    accepted = send_of(&kit, PERSON, NULL);
    pk_accepted_done(&accepted);
    assert_true(reads_of(&kit) > before);
}

/* What a node has not counted yet is less than 64 KiB of a person. */
BOTH(what_a_person_stores_is_counted)
{
    PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
    open_knowing(&kit);
    int64_t bytes = 0;
    for (int i = 0; i < 300; i++) {
        struct pk_accepted accepted = send_of(&kit, PERSON, NULL);
        bytes += (int64_t)pk_doc_size(accepted.doc);
        pk_accepted_done(&accepted);
    }
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = kit_get(&kit, "people", PERSON);
    const int64_t counted = pk_doc_int(person, "storedBytes", 0);
    assert_true(bytes > 64 * 1024);
    assert_true(counted <= bytes && counted > bytes - 64 * 1024 - 1024);
}

/* ---- At once ---- */

struct crowd {
    struct kit *kit;
    const char *external;
    bool is_ok;
    char person[PK_UUID_TEXT];
};

static void *join(void *context)
{
    struct crowd *crowd = context;
    struct pk_accepted accepted = send_of(crowd->kit, NULL, crowd->external);
    crowd->is_ok = accepted.is_ok;
    if (accepted.is_ok) {
        (void)snprintf(crowd->person, sizeof(crowd->person), "%s",
                       pk_doc_text(accepted.doc, "userId"));
    }
    pk_accepted_done(&accepted);
    return NULL;
}

BOTH(many_at_once_make_one_person)
{
    enum { CROWD = 8 };
    PK_CLEANUP(done_knowing) struct kit kit = { .is_mongo = is_mongo };
    open_knowing(&kit);
    struct crowd crowd[CROWD];
    pthread_t thread[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct crowd){ .kit = &kit, .external = "U5" };
        assert_int_equal(pthread_create(&thread[i], NULL, join, &crowd[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        (void)pthread_join(thread[i], NULL);
        assert_true(crowd[i].is_ok);
        assert_string_equal(crowd[i].person, crowd[0].person);
    }
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "mindscapes", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "observations", NULL, NULL), CROWD);
}
