/* test_canary.c - A version tried on a share of people: who gets it; begun, changed, ended. */
/* SPDX-License-Identifier: MIT */
#include "trying.h"

#include "base/id.h"
#include "doc/inventory.h"
#include "persona/canary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PEOPLE = 10000 };

/* A case on each engine. */
#define ON_BOTH(name)                     \
    static void name##_on(bool is_mongo); \
    TEST(name)                            \
    {                                     \
        name##_on(false);                 \
    }                                     \
    TEST(name##_on_mongodb)               \
    {                                     \
        name##_on(true);                  \
    }                                     \
    static void name##_on(bool is_mongo)

/* ---- Who is in ---- */

struct crowd {
    char person[PEOPLE][PK_UUID_TEXT];
};

static struct crowd *crowd_new(void)
{
    struct crowd *crowd = pk_alloc(sizeof(*crowd));
    for (size_t i = 0; i < PEOPLE; i++) {
        pk_uuid_new(crowd->person[i]);
    }
    return crowd;
}

TEST(a_share_of_people_is_in_and_keeps_it_as_the_share_grows)
{
    static const double share[] = { 0.01, 0.05, 0.2, 0.5, 0.95, 1 };
    PK_CLEANUP(pk_freep) struct crowd *crowd = crowd_new();
    for (size_t s = 0; s < PK_COUNT(share); s++) {
        size_t count = 0;
        for (size_t i = 0; i < PEOPLE; i++) {
            const bool is_in = pk_canary_takes("daily", "1.1.0", crowd->person[i], share[s]);
            assert_true(is_in == pk_canary_takes("daily", "1.1.0", crowd->person[i], share[s]));
            if (s > 0 && pk_canary_takes("daily", "1.1.0", crowd->person[i], share[s - 1])) {
                assert_true(is_in);
            }
            count += is_in;
        }
        const double expected = share[s] * PEOPLE;
        const double bound = 5 * sqrt(expected * (1 - share[s])); /* One run of a million. */
        assert_true(fabs((double)count - expected) <= bound);
    }
}

/* Of those who are in for one thing, as many are in for another as of all people. */
static void expect_apart(const struct crowd *crowd, const char *mapper, const char *version)
{
    size_t both = 0, one = 0;
    for (size_t i = 0; i < PEOPLE; i++) {
        const bool is_in = pk_canary_takes("daily", "1.1.0", crowd->person[i], 0.2);
        one += is_in;
        both += is_in && pk_canary_takes(mapper, version, crowd->person[i], 0.2);
    }
    const double expected = 0.2 * (double)one;
    assert_true(fabs((double)both - expected) <= 5 * sqrt(expected * 0.8));
}

TEST(who_tries_one_thing_does_not_thereby_try_another)
{
    PK_CLEANUP(pk_freep) struct crowd *crowd = crowd_new();
    expect_apart(crowd, "weekly", "1.1.0");
    expect_apart(crowd, "daily", "1.2.0");
}

/* Nodes of different builds share a store: that these change is an incompatible change. */
TEST(places_are_the_same_in_every_build)
{
    static const struct {
        const char *person;
        double below, above;
    } row[] = {
        { "00000000-0000-4000-8000-000000000000", 0.7467, 0.7468 },
        { "11111111-1111-4111-8111-111111111111", 0.3015, 0.3016 },
        { "22222222-2222-4222-8222-222222222222", 0.0991, 0.0992 },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_false(pk_canary_takes("daily", "1.1.0", row[i].person, row[i].below));
        assert_true(pk_canary_takes("daily", "1.1.0", row[i].person, row[i].above));
    }
}

TEST(a_share_is_above_0_and_at_most_1)
{
    static const double good[] = { 1e-9, 0.1, 1 };
    static const double bad[] = { 0, -0.0, -0.1, 1.0000001, INFINITY, NAN };
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        assert_true(pk_canary_share_is_valid(good[i]));
    }
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        assert_false(pk_canary_share_is_valid(bad[i]));
    }
}

/* ---- Begun, changed, ended ---- */

static void put_two(struct bed *bed, struct node *node)
{
    (void)put_active(bed, node, mapper_text("daily", "1.0.0", 1));
    assert_ok(draft(bed, node, mapper_text("daily", "1.1.0", 2), PK_DRAFT_STRICT, NULL), &bed->err);
}

static struct pk_doc *active_of(struct bed *bed, struct node *node)
{
    struct pk_doc *doc = NULL;
    assert_ok(pk_registry_get(node->registry, PK_SCRIPT_MAPPER, "daily", NULL, &doc, &bed->err),
              &bed->err);
    return doc;
}

ON_BOTH(a_canary_begins_grows_and_ends)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *grown = NULL;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = NULL;
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    double share = 0;
    bson_t view;

    put_two(&bed, node);
    assert_ok(begin_canary(&bed, node, "1.1.0", 0.1, &doc), &bed.err);
    assert_string_equal(pk_doc_text(doc, "version"), "1.0.0");
    assert_string_equal(pk_doc_text(doc, "status"), "active");
    assert_string_equal(pk_doc_text(doc, "canary.version"), "1.1.0");
    assert_string_equal(pk_doc_text(doc, "canary.startedBy"), "tester");
    assert_true(pk_doc_number(doc, "canary.share", 0) == 0.1);
    pk_doc_view(doc, &view);
    assert_true(pk_schema_check(pk_inventory_find(pk_inventory_builtin(), "mappers")->schema, &view,
                                &faults));
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_string_equal(tried(node, &share), "1.1.0");
    assert_true(share == 0.1);
    assert_ok(begin_canary(&bed, node, "1.1.0", 0.1, NULL), &bed.err); /* Nothing is to be done. */
    assert_ok(begin_canary(&bed, node, "1.1.0", 0.5, &grown), &bed.err);
    assert_int_equal(pk_doc_date(grown, "canary.startedAt", 0),
                     pk_doc_date(doc, "canary.startedAt", 1));
    assert_string_equal(tried(node, &share), "1.1.0");
    assert_true(share == 0.5);
    assert_ok(end_canary(&bed, node, "1.1.0"), &bed.err);
    assert_string_equal(tried(node, NULL), "");
    after = active_of(&bed, node);
    assert_string_equal(pk_doc_text(after, "version"), "1.0.0");
    assert_null(pk_doc_text(after, "canary.version"));
    static const char *const what[] = { "mapper.canary_started", "mapper.canary_changed",
                                        "mapper.canary_ended" };
    for (size_t i = 0; i < PK_COUNT(what); i++) {
        assert_int_equal(count_where(&bed, "audit", "action", what[i]), 1);
        assert_int_equal(count_where(&bed, "events", "eventType", what[i]), 1);
    }
    assert_int_equal(count_where(&bed, "script_state", NULL, NULL), 0);
}

TEST(what_cannot_be_tried_is_refused_and_nothing_is_written)
{
    BED(bed, false);
    struct node *node = bed_node(&bed);
    struct pk_report report = { 0 };
    put_two(&bed, node);
    assert_ok(draft(&bed, node, mapper_text("daily", "1.2.0", 3), PK_DRAFT_STRICT, NULL), &bed.err);
    assert_false(begin_canary(&bed, node, "9.9.9", 0.1, NULL));
    expect_error(&bed.err, PK_NOT_FOUND, "there is no such version");
    assert_false(begin_canary(&bed, node, "1.0.0", 0.1, NULL));
    expect_error(&bed.err, PK_CONFLICT, "version 1.0.0 is the active one");
    assert_false(begin_canary(&bed, node, "1.1.0", 0, NULL));
    expect_error(&bed.err, PK_INVALID, "above 0, and at most 1");
    assert_string_equal(bed.err.field, "share");
    assert_false(end_canary(&bed, node, "1.1.0"));
    expect_error(&bed.err, PK_NOT_FOUND, "is not being tried");
    assert_ok(begin_canary(&bed, node, "1.1.0", 0.1, NULL), &bed.err);
    assert_false(begin_canary(&bed, node, "1.2.0", 0.1, NULL));
    expect_error(&bed.err, PK_CONFLICT, "version 1.1.0 is being tried already");
    assert_false(end_canary(&bed, node, "1.2.0"));
    expect_error(&bed.err, PK_NOT_FOUND, "version 1.2.0 is not being tried");
    assert_ok(pk_registry_deprecate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.2.0",
                                    NULL, &bed.err),
              &bed.err);
    assert_ok(end_canary(&bed, node, "1.1.0"), &bed.err);
    assert_false(begin_canary(&bed, node, "1.2.0", 0.1, NULL));
    expect_error(&bed.err, PK_CONFLICT, "version 1.2.0 is deprecated");
    assert_true(activate(&bed, node, "daily", "1.1.0"));
    assert_ok(pk_registry_rollback(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "odd", NULL,
                                   NULL, &bed.err),
              &bed.err);
    assert_false(begin_canary(&bed, node, "1.1.0", 0.1, NULL));
    expect_error(&bed.err, PK_CONFLICT, "its content is barred");
    assert_ok(draft(&bed, node, mapper_text("other", "1.0.0", 1), PK_DRAFT_STRICT, NULL), &bed.err);
    assert_false(pk_registry_canary(node->registry, &bed.by, "other", "1.0.0", 0.1, NULL, NULL,
                                    &report, &bed.err));
    expect_error(&bed.err, PK_CONFLICT, "no version of 'other' is active");
    pk_report_done(&report);
    assert_int_equal(count_where(&bed, "audit", "action", "mapper.canary_started"), 1);
}

ON_BOTH(whatever_replaces_a_version_ends_its_canary_once)
{
    BED(bed, is_mongo);
    struct node *node = bed_node(&bed);
    put_two(&bed, node);
    assert_ok(begin_canary(&bed, node, "1.1.0", 0.5, NULL), &bed.err);
    assert_ok(activate(&bed, node, "daily", "1.1.0"), &bed.err); /* It wins. */
    assert_string_equal(tried(node, NULL), "");
    assert_string_equal(serving(node, "daily"), "1.1.0");
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.canary_ended"), 1);

    assert_ok(draft(&bed, node, mapper_text("daily", "1.2.0", 3), PK_DRAFT_STRICT, NULL), &bed.err);
    assert_ok(begin_canary(&bed, node, "1.2.0", 0.5, NULL), &bed.err);
    assert_ok(pk_registry_rollback(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "odd", NULL,
                                   NULL, &bed.err),
              &bed.err);
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_string_equal(tried(node, NULL), "");
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.canary_ended"), 2);

    assert_ok(begin_canary(&bed, node, "1.2.0", 0.5, NULL), &bed.err);
    assert_ok(pk_registry_deprecate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.2.0",
                                    NULL, &bed.err),
              &bed.err);
    assert_string_equal(tried(node, NULL), "");
    assert_string_equal(serving(node, "daily"), "1.0.0");
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.canary_ended"), 3);

    assert_ok(draft(&bed, node, mapper_text("daily", "1.3.0", 4), PK_DRAFT_STRICT, NULL), &bed.err);
    assert_ok(begin_canary(&bed, node, "1.3.0", 0.5, NULL), &bed.err);
    assert_ok(pk_registry_deprecate(node->registry, &bed.by, PK_SCRIPT_MAPPER, "daily", "1.0.0",
                                    NULL, &bed.err),
              &bed.err);
    assert_string_equal(serving(node, "daily"), "");
    assert_string_equal(tried(node, NULL), "");
    assert_int_equal(count_where(&bed, "events", "eventType", "mapper.canary_ended"), 4);
    assert_int_equal(count_where(&bed, "audit", "action", "mapper.canary_ended"), 4);
}

static const char *version_for(struct node *node, const char *person)
{
    static char version[PK_SCRIPT_VERSION];
    struct pk_generation *pinned = pk_scripts_pin(node->scripts);
    (void)snprintf(version, sizeof(version), "%s",
                   pk_canary_mapper(pinned, "daily", person, NULL)->version);
    pk_generation_unpin(pinned);
    return version;
}

ON_BOTH(nodes_agree_on_who_is_in_and_one_that_starts_later_does_too)
{
    BED(bed, is_mongo);
    struct node *first = bed_node(&bed);
    size_t in = 0;
    put_two(&bed, first);
    assert_ok(begin_canary(&bed, first, "1.1.0", 0.3, NULL), &bed.err);
    struct node *second = bed_node(&bed); /* As after a restart: it knows the store alone. */
    assert_ok(pk_registry_refresh(second->registry, &bed.err), &bed.err);
    for (int i = 0; i < 300; i++) {
        char person[PK_UUID_TEXT], version[PK_SCRIPT_VERSION];
        pk_uuid_new(person);
        (void)snprintf(version, sizeof(version), "%s", version_for(first, person));
        assert_string_equal(version_for(second, person), version);
        in += strcmp(version, "1.1.0") == 0;
    }
    assert_true(in > 40 && in < 150);
    assert_ok(end_canary(&bed, first, "1.1.0"), &bed.err);
    assert_string_equal(tried(second, NULL), "1.1.0");
    assert_ok(pk_registry_refresh(second->registry, &bed.err), &bed.err);
    assert_string_equal(tried(second, NULL), "");
}
