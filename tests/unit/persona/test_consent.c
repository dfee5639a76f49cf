/* test_consent.c - Consent is recorded by purpose, asked, expected, and never forgotten. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/alloc.h"
#include "persona/consent.h"
#include "store/store.h"

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

/* Of times from now; 'status' NULL: withdrawn. The caller drops the record. */
static struct pk_doc *record(struct kit *kit, const char *person, const char *purpose,
                             const char *status, int64_t from_ms, int64_t until_ms)
{
    struct pk_doc *doc = NULL;
    bson_t wanted = BSON_INITIALIZER;
    if (status) {
        BSON_APPEND_UTF8(&wanted, "status", status);
    }
    if (from_ms) {
        BSON_APPEND_DATE_TIME(&wanted, "validFrom", kit_now(kit) + from_ms);
    }
    if (until_ms) {
        BSON_APPEND_DATE_TIME(&wanted, "validUntil", kit_now(kit) + until_ms);
    }
    BSON_APPEND_UTF8(&wanted, "evidence", "form 7");
    assert_ok(pk_consent_record(&kit->domain, &kit->bed.by, person, purpose, 0,
                                status ? &wanted : NULL, &doc, &kit->err),
              &kit->err);
    bson_destroy(&wanted);
    return doc;
}

static bool may(struct kit *kit, const char *person, const char *purpose, struct pk_consent *out)
{
    return pk_consent_check(&kit->domain, person, purpose, kit_now(kit), 0, out, &kit->err);
}

BOTH(a_purpose_is_allowed_only_while_it_is_granted_and_valid)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    struct pk_consent consent;
    kit_person(&kit, person);
    assert_false(may(&kit, person, "research", NULL));
    expect_error(&kit.err, PK_FORBIDDEN, "'research' is not recorded");
    assert_string_equal(kit.err.field, "purpose");

    pk_doc_unref(record(&kit, person, "research", "granted", 1000, 5000));
    assert_false(may(&kit, person, "research", NULL));
    expect_error(&kit.err, PK_FORBIDDEN, "not valid yet");
    pk_clock_fake_advance(&kit.clock, 1000);
    assert_ok(may(&kit, person, "research", &consent), &kit.err);
    assert_true(consent.version > 0);
    assert_int_equal(consent.until_ms, kit_now(&kit) + 4000);
    pk_clock_fake_advance(&kit.clock, 4000);
    assert_false(may(&kit, person, "research", NULL));
    expect_error(&kit.err, PK_FORBIDDEN, "has ended");

    pk_doc_unref(record(&kit, person, "research", "granted", 0, 0));
    assert_ok(may(&kit, person, "research", &consent), &kit.err);
    assert_int_equal(consent.until_ms, 0);
    assert_false(may(&kit, person, "marketing", NULL));
    pk_doc_unref(record(&kit, person, "research", NULL, 0, 0));
    assert_false(may(&kit, person, "research", NULL));
    expect_error(&kit.err, PK_FORBIDDEN, "is withdrawn");
}

BOTH(processing_is_allowed_until_it_is_withdrawn)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    struct pk_consent consent;
    kit_person(&kit, person);
    assert_ok(may(&kit, person, PK_PURPOSE_PROCESSING, &consent), &kit.err);
    assert_int_equal(consent.version, 0);
    pk_doc_unref(record(&kit, person, PK_PURPOSE_PROCESSING, NULL, 0, 0));
    assert_false(may(&kit, person, PK_PURPOSE_PROCESSING, &consent));
    expect_error(&kit.err, PK_FORBIDDEN, "is withdrawn");

    struct pk_writes list = { 0 }; /* What was decided before it was withdrawn does not commit. */
    pk_consent_expect(&list, person, PK_PURPOSE_PROCESSING, &consent);
    assert_false(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err));
    assert_int_equal(kit.err.code, PK_CONFLICT);
    pk_doc_unref(record(&kit, person, PK_PURPOSE_PROCESSING, "granted", 0, 0));
    assert_ok(may(&kit, person, PK_PURPOSE_PROCESSING, &consent), &kit.err);
    pk_writes_clear(&list);
    pk_consent_expect(&list, person, PK_PURPOSE_PROCESSING, &consent);
    assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
    pk_writes_done(&list);
}

BOTH(what_was_granted_and_withdrawn_stays_with_its_dates)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    kit_person(&kit, person);
    const int64_t granted_ms = kit_now(&kit);
    pk_doc_unref(record(&kit, person, "research", "granted", 0, 0));
    pk_clock_fake_advance(&kit.clock, 1000);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = record(&kit, person, "research", NULL, 0, 0);
    assert_string_equal(pk_doc_text(doc, "status"), "withdrawn");
    assert_int_equal(pk_doc_date(doc, "grantedAt", 0), granted_ms);
    assert_int_equal(pk_doc_date(doc, "withdrawnAt", 0), granted_ms + 1000);
    assert_int_equal(pk_doc_date(doc, "createdAt", 0), granted_ms);
    assert_string_equal(pk_doc_text(doc, "evidence"), "form 7");
    assert_string_equal(pk_doc_text(doc, "recordedBy"), kit.bed.by.actor_id);
    pk_clock_fake_advance(&kit.clock, 1000);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *again = record(&kit, person, "research", NULL, 0, 0);
    assert_int_equal(pk_doc_version(again), pk_doc_version(doc)); /* The same again is nothing. */
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *anew = record(&kit, person, "research", "granted", 0, 0);
    assert_int_equal(pk_doc_date(anew, "grantedAt", 0), granted_ms + 2000);
    assert_int_equal(pk_doc_date(anew, "withdrawnAt", -1), -1);
}

BOTH(each_change_has_its_audit_row_its_event_and_touches_the_mindscape)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    kit_person(&kit, person);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = kit_get(&kit, "mindscapes", person);
    pk_doc_unref(record(&kit, person, "research", "granted", 0, 0));
    pk_doc_unref(record(&kit, person, "research", "granted", 0, 0));
    pk_doc_unref(record(&kit, person, "research", NULL, 0, 0));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = kit_get(&kit, "mindscapes", person);
    assert_int_equal(pk_doc_int(after, "version", 0), pk_doc_int(before, "version", 0) + 2);
    assert_string_equal(pk_doc_text(after, "versions.0.kind"), "consent");
    assert_string_equal(pk_doc_text(after, "versions.0.key"), "research");
    assert_int_equal(kit_count(&kit, "audit", "action", "consent.granted"), 1);
    assert_int_equal(kit_count(&kit, "audit", "action", "consent.withdrawn"), 1);
    assert_int_equal(kit_count(&kit, "audit", "targetId", "research"), 2);
    assert_int_equal(kit_count(&kit, "events", "eventType", "consent.granted"), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "consent.withdrawn"), 1);
}

BOTH(nothing_is_recorded_at_another_version_or_of_an_erased_person)
{
    KIT(kit, is_mongo);
    char person[PK_UUID_TEXT];
    struct pk_doc *out = NULL;
    kit_person(&kit, person);
    assert_false(
        pk_consent_record(&kit.domain, &kit.bed.by, person, "research", 7, NULL, &out, &kit.err));
    expect_error(&kit.err, PK_PRECONDITION, "has changed");
    kit_put(&kit, "tombstones",
            "{'_id':'%s','erasedAt':'2026-01-01T00:00:00Z','expiresAt':'2999-01-01T00:00:00Z'}",
            person);
    assert_false(
        pk_consent_record(&kit.domain, &kit.bed.by, person, "research", 0, NULL, &out, &kit.err));
    expect_error(&kit.err, PK_CONFLICT, "was erased");
    assert_int_equal(kit_count(&kit, "consents", NULL, NULL), 0);
}
