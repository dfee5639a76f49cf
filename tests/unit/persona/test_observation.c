/* test_observation.c - Facts come in: what is taken, what is refused, and what is never changed.
 *
 * Each rule of the specification (seeds/001, sections 1.1, 6.1 and 6.2) that an
 * observation can break is broken in 'bad_table', alone, and nothing may be
 * written then. */
/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "base/alloc.h"
#include "persona/observation.h"
#include "persona/people.h"
#include "store/store.h"

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
#define OBS    "33333333-3333-4333-8333-333333333333"
/* A good one, but for its end. */
#define GOOD                                                               \
    "'personId':'" PERSON "','sourceType':'work_session','sourceMetadata'" \
    ":{'source':'slack'},'content':{'raw':'he said so'}"

/* One sent by 'by'; the caller ends it. */
static struct pk_accepted send_by(struct kit *kit, const struct pk_by *by, const char *json)
{
    struct pk_accepted accepted = { .is_ok = false };
    bson_t sent;
    kit_json(&sent, "%s", json);
    const struct pk_sent one = { bson_get_data(&sent), sent.len };
    assert_ok(pk_observation_accept(&kit->domain, by, NULL, &one, 1, &accepted, &kit->err),
              &kit->err);
    bson_destroy(&sent);
    return accepted;
}

static struct pk_accepted send(struct kit *kit, const char *json)
{
    return send_by(kit, &kit->bed.by, json);
}

static struct pk_accepted send_good(struct kit *kit, const char *json)
{
    struct pk_accepted accepted = send(kit, json);
    assert_ok(accepted.is_ok, &accepted.err);
    return accepted;
}

static const char *const written[] = { "observations", "outbox",     "events",
                                       "people",       "mindscapes", "audit" };
static size_t count_written(struct kit *kit)
{
    size_t count = 0;
    for (size_t i = 0; i < PK_COUNT(written); i++) {
        count += kit_count(kit, written[i], NULL, NULL);
    }
    return count;
}

BOTH(an_observation_is_kept_with_its_task_its_person_and_its_row_of_the_feed)
{
    KIT(kit, is_mongo);
    struct pk_accepted accepted = send_good(
        &kit,
        "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'slack',"
        "'timestamp':'2020-01-02T03:04:05.006Z','channel':{'a.b':'$c'}},'content':{'raw':'hi',"
        "'structured':{'x.y':1},'mediaAttachments':[{'attachmentId':'a','type':'image',"
        "'url':'s3://b/k','mimeType':'image/png','size':7}]}}");
    const struct pk_doc *doc = accepted.doc;
    assert_false(accepted.is_repeat);
    assert_true(pk_doc_version(doc) > 0);
    assert_string_equal(pk_doc_text(doc, "userId"), PERSON);
    assert_string_equal(pk_doc_text(doc, "processingStatus"), "approved");
    assert_string_equal(pk_doc_text(doc, "approvalMetadata.policy"), "automatic");
    assert_int_equal(pk_doc_date(doc, "approvalMetadata.approvedAt", 0), kit_now(&kit));
    assert_int_equal(pk_doc_date(doc, "effectiveAt", 0), INT64_C(1577934245006));
    assert_int_equal(pk_doc_date(doc, "createdAt", 0), kit_now(&kit));
    assert_string_equal(pk_doc_text(doc, "createdBy"), kit.bed.by.actor_id);
    assert_int_equal(pk_doc_int(doc, "version", 0), 1);
    assert_int_equal(pk_doc_int(doc, "seq", -1), -1);
    assert_string_equal(pk_doc_text(doc, "sourceMetadata.channel.a%2Eb"), "$c");
    assert_int_equal(pk_doc_int(doc, "content.structured.x%2Ey", 0), 1);

    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = kit_get(&kit, "observations", pk_doc_id(doc));
    assert_non_null(stored);
    assert_true(pk_doc_same(stored, doc));
    assert_int_equal(pk_doc_version(stored), pk_doc_version(doc));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = kit_get(&kit, "outbox", accepted.task);
    assert_non_null(task);
    assert_string_equal(pk_doc_text(task, "taskType"), "process_observation");
    assert_string_equal(pk_doc_text(task, "userId"), PERSON);
    assert_string_equal(pk_doc_text(task, "payload.observationId"), pk_doc_id(doc));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *person = kit_get(&kit, "people", PERSON);
    assert_non_null(person);
    assert_int_equal(pk_doc_int(person, "storedBytes", 0), (int64_t)pk_doc_size(stored));
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(&kit, "mindscapes", PERSON);
    assert_non_null(mindscape);
    assert_int_equal(pk_doc_int(mindscape, "version", -1), 0);
    assert_int_equal(kit_count(&kit, "events", "eventType", "person.created"), 1);
    assert_int_equal(kit_count(&kit, "events", "payload.metadata.taskId", accepted.task), 1);
    pk_accepted_done(&accepted);
}

/* ---- What is refused ---- */

static const struct bad {
    const char *json;
    const char *field; /* That the error names. */
    const char *words; /* Of its message. */
} bad_table[] = {
    { "{'observationId':'no'," GOOD "}", "observationId", "UUID" },
    { "{'observationId':'33333333-3333-1333-8333-333333333333'," GOOD "}", "observationId",
      "UUID" },
    { "{'personId':'" PERSON "x','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r'}}",
      "personId", "UUID" },
    { "{'sourceType':'chat_log','sourceMetadata':{'source':'s'},'content':{'raw':'r'}}", "personId",
      "externalId" },
    { "{'personId':null,'sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r'}}",
      "personId", "externalId" },
    { "{'externalId':{'source':'a:b','id':'c'},'sourceType':'chat_log','sourceMetadata':"
      "{'source':'s'},'content':{'raw':'r'}}",
      "externalId.source", "without ':'" },
    { "{'externalId':{'source':'a','id':''},'sourceType':'chat_log','sourceMetadata':"
      "{'source':'s'},'content':{'raw':'r'}}",
      "externalId.id", "1 to 200 bytes" },
    { "{'externalId':{'source':'a'},'sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r'}}",
      "externalId.id", "nothing" },
    { "{'personId':'" PERSON "','sourceMetadata':{'source':'s'},'content':{'raw':'r'}}",
      "sourceType", "nothing" },
    { "{'personId':'" PERSON "','sourceType':'gossip','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r'}}",
      "sourceType", "processor" },
    { "{'personId':'" PERSON "','sourceType':'curation','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r'}}",
      "sourceType", "mindscape" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','content':{'raw':'r'}}", "sourceMetadata",
      "nothing" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{},'content':{'raw':'r'}}",
      "sourceMetadata.source", "nothing" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s','timestamp':"
      "'2024-01-01'},'content':{'raw':'r'}}",
      "sourceMetadata.timestamp", "date" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'}}",
      "content", "nothing" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{}}",
      "content.raw", "nothing" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':'text'}",
      "content", "object" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':null}}",
      "content.raw", "nothing" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':7}}",
      "content.raw", "text" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r','mood':'good'}}",
      "content.mood", "structured" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r','mediaAttachments':[{'attachmentId':'a','type':'image','url':"
      "'data:image/png;base64,AAAA','mimeType':'image/png','size':1}]}}",
      "content.mediaAttachments[0].url", "elsewhere" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r','mediaAttachments':[{'attachmentId':'a','type':'song','url':"
      "'https://x/y','mimeType':'image/png','size':1}]}}",
      "content.mediaAttachments[0].type", "audio" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r','mediaAttachments':[{'attachmentId':'a','type':'image','url':"
      "'https://x/y','mimeType':'png','size':1}]}}",
      "content.mediaAttachments[0].mimeType", "media type" },
    { "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
      "'content':{'raw':'r','mediaAttachments':[{'attachmentId':'a','type':'image','url':"
      "'https://x/y','mimeType':'image/png','size':-1}]}}",
      "content.mediaAttachments[0].size", "0" },
    { "{" GOOD ",'processingStatus':'processed'}", "processingStatus", "unknown" },
    { "{" GOOD ",'version':7}", "version", "unknown" },
    { "{" GOOD ",'_id':'" OBS "'}", "_id", "unknown" },
    { "{'person_id':'nobody','type':'chat_log','content':{'a':1}}", "person_id", "UUID" },
    { "{'person_id':'" PERSON "','type':'gossip','content':{'a':1}}", "type", "processor" },
    { "{'person_id':'" PERSON "','observation_type':'chat_log','content':{'a':1},'metadata':{"
      "'timestamp':7}}",
      "metadata.timestamp", "date" },
    { "{'person_id':'" PERSON "','personId':'" PERSON "','type':'chat_log','content':{'a':1}}",
      "person_id", "once" },
};

BOTH(each_rule_that_is_broken_is_named_and_nothing_is_written)
{
    KIT(kit, is_mongo);
    struct pk_accepted first = send_good(&kit, "{" GOOD "}");
    pk_accepted_done(&first);
    const size_t before = count_written(&kit);
    for (size_t i = 0; i < PK_COUNT(bad_table); i++) {
        struct pk_accepted accepted = send(&kit, bad_table[i].json);
        if (accepted.is_ok) {
            fail_msg("taken: %s", bad_table[i].json);
        }
        assert_null(accepted.doc);
        assert_int_equal(accepted.err.code, PK_INVALID);
        if (!accepted.err.field || strcmp(accepted.err.field, bad_table[i].field) != 0 ||
            !strstr(accepted.err.message, bad_table[i].words)) {
            fail_msg("%s: '%s' at '%s', not '%s' at '%s'", bad_table[i].json, accepted.err.message,
                     accepted.err.field ? accepted.err.field : "", bad_table[i].words,
                     bad_table[i].field);
        }
        pk_accepted_done(&accepted);
    }
    assert_int_equal(count_written(&kit), before);
}

/* 'size' bytes of raw, in memory that the caller frees. */
static char *with_raw(size_t size)
{
    static const char start[] = "{'personId':'" PERSON "','sourceType':'document','sourceMetadata'"
                                ":{'source':'s'},'content':{'raw':'";
    char *json = pk_alloc(sizeof(start) + size + 4);
    memcpy(json, start, sizeof(start) - 1);
    memset(json + sizeof(start) - 1, 'x', size);
    memcpy(json + sizeof(start) - 1 + size, "'}}", 4);
    return json;
}

/* kit_json makes its text of a format: too much for it. */
static struct pk_accepted send_raw(struct kit *kit, size_t size)
{
    struct pk_accepted accepted = { .is_ok = false };
    PK_CLEANUP(pk_freep) char *json = with_raw(size);
    return accepted = send(kit, json);
}

BOTH(raw_may_take_eight_mebibytes_and_no_more)
{
    enum { LIMIT = 8 * 1024 * 1024 };
    KIT(kit, is_mongo);
    struct pk_accepted accepted = send_raw(&kit, LIMIT + 1);
    assert_false(accepted.is_ok);
    assert_int_equal(accepted.err.code, PK_INVALID);
    assert_string_equal(accepted.err.field, "content.raw");
    assert_non_null(strstr(accepted.err.message, "8388608"));
    pk_accepted_done(&accepted);
    assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 0);
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 0);
    accepted = send_raw(&kit, LIMIT);
    assert_ok(accepted.is_ok, &accepted.err);
    pk_accepted_done(&accepted);
}

/* ---- Spellings ---- */

BOTH(an_object_without_raw_is_structured_and_its_canonical_json_is_raw)
{
    static const struct {
        const char *content, *raw, *path;
    } way[] = {
        { "{'b':[1,2.5,'x'],'a':{'d':null,'c':true}}", "{'a':{'c':true,'d':null},'b':[1,2.5,'x']}",
          "content.structured.a.c" },
        { "{'structured':{'b':1,'a':2}}", "{'a':2,'b':1}", "content.structured.a" },
        { "{'structured':[3,1],'mediaAttachments':[{'attachmentId':'a','type':'image','url':"
          "'https://x/y','mimeType':'image/png','size':1}]}",
          "[3,1]", "content.mediaAttachments.0.url" },
        { "{'structured':'word'}", "'word'", "content.structured" },
        { "{'structured':1,'mood':2}", "{'mood':2,'structured':1}", "content.structured.mood" },
    };
    KIT(kit, is_mongo);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        char json[1024];
        char raw[256];
        (void)snprintf(json, sizeof(json),
                       "{'personId':'" PERSON "','sourceType':'work_session','sourceMetadata':{"
                       "'source':'s'},'content':%s}",
                       way[i].content);
        (void)snprintf(raw, sizeof(raw), "%s", way[i].raw);
        for (char *c = raw; *c; c++) {
            *c = *c == '\'' ? '"' : *c;
        }
        struct pk_accepted accepted = send_good(&kit, json);
        PK_CLEANUP(pk_doc_unrefp)
        struct pk_doc *stored = kit_get(&kit, "observations", pk_doc_id(accepted.doc));
        bson_t view;
        bson_iter_t iter;
        pk_doc_view(stored, &view);
        assert_string_equal(pk_doc_text(stored, "content.raw"), raw);
        assert_true(bson_iter_init(&iter, &view) &&
                    bson_iter_find_descendant(&iter, way[i].path, &iter));
        pk_accepted_done(&accepted);
    }
}

BOTH(the_spelling_of_version_0_2_is_taken)
{
    KIT(kit, is_mongo);
    struct pk_accepted accepted =
        send_good(&kit, "{'id':'" OBS "','person_id':'" PERSON "','observation_type':'user_input',"
                        "'content':{'note':'tired'},'metadata':{'source':'app','tz':'CET'}}");
    assert_string_equal(pk_doc_id(accepted.doc), OBS);
    assert_string_equal(pk_doc_text(accepted.doc, "userId"), PERSON);
    assert_string_equal(pk_doc_text(accepted.doc, "sourceType"), "user_input");
    assert_string_equal(pk_doc_text(accepted.doc, "sourceMetadata.source"), "app");
    assert_string_equal(pk_doc_text(accepted.doc, "sourceMetadata.tz"), "CET");
    assert_string_equal(pk_doc_text(accepted.doc, "content.structured.note"), "tired");
    assert_string_equal(pk_doc_text(accepted.doc, "content.raw"), "{\"note\":\"tired\"}");
    pk_accepted_done(&accepted);
    static const char *const bare[] = {
        "{'person_id':'" PERSON "','type':'user_input','content':{'a':1}}",
        "{'person_id':'" PERSON "','type':'user_input','content':{'a':1},'metadata':null}",
        "{'person_id':'" PERSON "','type':'user_input','content':{'a':1},'metadata':{'k':1}}",
    };
    for (size_t i = 0; i < PK_COUNT(bare); i++) {
        accepted = send_good(&kit, bare[i]);
        assert_string_equal(pk_doc_text(accepted.doc, "sourceMetadata.source"), "api");
        pk_accepted_done(&accepted);
    }
}

TEST(the_eight_types_are_built_in_and_others_come_with_a_processor)
{
    static const char *const type[] = {
        "chat_log",   "document",     "interview",  "assessment",
        "api_import", "work_session", "user_input", "calendar_event"
    };
    KIT(kit, false);
    char json[512];
    for (size_t i = 0; i < PK_COUNT(type); i++) {
        (void)snprintf(json, sizeof(json),
                       "{'person_id':'" PERSON "','type':'%s','content':{'a':1}}", type[i]);
        struct pk_accepted accepted = send_good(&kit, json);
        pk_accepted_done(&accepted);
    }
    struct pk_accepted accepted =
        send(&kit, "{'person_id':'" PERSON "','type':'heartbeat','content':{'a':1}}");
    assert_false(accepted.is_ok);
    pk_accepted_done(&accepted);
    kit_processor(&kit, "hearts", "1.0.0", "heartbeat", "");
    accepted = send_good(&kit, "{'person_id':'" PERSON "','type':'heartbeat','content':{'a':1}}");
    pk_accepted_done(&accepted);
}

/* ---- Time ---- */

BOTH(what_lies_in_the_future_is_effective_when_it_is_accepted)
{
    KIT(kit, is_mongo);
    struct pk_accepted accepted = send_good(
        &kit, "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'s',"
              "'timestamp':'2999-01-01T00:00:00Z'},'content':{'raw':'r'}}");
    assert_int_equal(pk_doc_date(accepted.doc, "effectiveAt", 0), kit_now(&kit));
    assert_true(pk_doc_date(accepted.doc, "sourceMetadata.timestamp", 0) > kit_now(&kit));
    pk_accepted_done(&accepted);
    accepted = send_good(&kit, "{" GOOD "}");
    assert_int_equal(pk_doc_date(accepted.doc, "effectiveAt", 0), kit_now(&kit));
    pk_accepted_done(&accepted);
    accepted = send_good(&kit, "{'personId':'" PERSON
                               "','sourceType':'chat_log','sourceMetadata':{'source':'s',"
                               "'timestamp':'1970-01-01T00:00:00Z'},'content':{'raw':'r'}}");
    assert_int_equal(pk_doc_date(accepted.doc, "effectiveAt", -1), 0);
    pk_accepted_done(&accepted);
}

/* ---- Repetitions ---- */

BOTH(a_repetition_under_the_same_id_does_nothing_further)
{
    KIT(kit, is_mongo);
    struct pk_accepted first = send_good(&kit, "{'observationId':'" OBS "'," GOOD "}");
    const size_t before = count_written(&kit);
    pk_clock_fake_advance(&kit.clock, 5000);
    struct pk_accepted again = send_good(&kit, "{" GOOD ",'observationId':'" OBS "'}");
    assert_true(again.is_repeat);
    assert_true(pk_doc_same(first.doc, again.doc));
    assert_int_equal(pk_doc_version(first.doc), pk_doc_version(again.doc));
    assert_string_equal(again.task, "");
    pk_accepted_done(&again);
    static const char *const different[] = {
        "{'observationId':'" OBS "','personId':'" PERSON "','sourceType':'work_session',"
        "'sourceMetadata':{'source':'slack'},'content':{'raw':'he did not say so'}}",
        "{'observationId':'" OBS "','personId':'" OTHER "','sourceType':'work_session',"
        "'sourceMetadata':{'source':'slack'},'content':{'raw':'he said so'}}",
        "{'observationId':'" OBS "','personId':'" PERSON "','sourceType':'document',"
        "'sourceMetadata':{'source':'slack'},'content':{'raw':'he said so'}}",
    };
    for (size_t i = 0; i < PK_COUNT(different); i++) {
        again = send(&kit, different[i]);
        assert_false(again.is_ok);
        expect_error(&again.err, PK_CONFLICT, "another observation has this id");
        assert_string_equal(again.err.field, "observationId");
        pk_accepted_done(&again);
    }
    assert_int_equal(count_written(&kit), before);
    pk_accepted_done(&first);
}

/* ---- Approval ---- */

BOTH(what_waits_for_approval_has_no_task_until_it_is_approved)
{
    static const char *const waits[] = { "email", "slack", NULL };
    PK_CLEANUP(kit_done) struct kit kit = { .is_mongo = is_mongo, .approve = waits };
    kit_open(&kit);
    struct pk_doc *doc = NULL;
    char task[PK_UUID_TEXT];
    struct pk_accepted accepted = send_good(&kit, "{" GOOD "}");
    const char *id = pk_doc_id(accepted.doc);
    assert_string_equal(pk_doc_text(accepted.doc, "processingStatus"), "pending");
    assert_null(pk_doc_text(accepted.doc, "approvalMetadata.policy"));
    assert_string_equal(accepted.task, "");
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 0);

    assert_false(pk_observation_approve(&kit.domain, &kit.bed.by, id,
                                        pk_doc_version(accepted.doc) + 1, &doc, task, &kit.err));
    expect_error(&kit.err, PK_PRECONDITION, "has changed");
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 0);
    for (int i = 0; i < 2; i++) { /* The second time there is nothing to do. */
        assert_ok(pk_observation_approve(&kit.domain, &kit.bed.by, id, 0, &doc, task, &kit.err),
                  &kit.err);
        assert_int_equal(strlen(task), i == 0 ? 36 : 0);
        assert_string_equal(pk_doc_text(doc, "processingStatus"), "approved");
        assert_string_equal(pk_doc_text(doc, "approvalMetadata.approvedBy"), kit.bed.by.actor_id);
        assert_int_equal(pk_doc_int(doc, "version", 0), 2);
        pk_doc_unref(doc);
    }
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "audit", "action", "observation.approved"), 1);
    assert_int_equal(kit_count(&kit, "events", "eventType", "observation.approved"), 1);
    assert_false(pk_observation_reject(&kit.domain, &kit.bed.by, id, 0, "late", &doc, &kit.err));
    expect_error(&kit.err, PK_CONFLICT, "approved already");
    pk_accepted_done(&accepted);

    accepted = send_good(&kit, "{'person_id':'" PERSON "','type':'chat_log','content':{'a':1}}");
    assert_string_equal(pk_doc_text(accepted.doc, "processingStatus"), "approved");
    pk_accepted_done(&accepted); /* Another source. */
}

BOTH(what_is_rejected_stays_with_the_reason_and_is_never_processed)
{
    static const char *const waits[] = { "*", NULL };
    PK_CLEANUP(kit_done) struct kit kit = { .is_mongo = is_mongo, .approve = waits };
    kit_open(&kit);
    struct pk_doc *doc = NULL;
    char task[PK_UUID_TEXT];
    struct pk_accepted accepted = send_good(&kit, "{" GOOD "}");
    const char *id = pk_doc_id(accepted.doc);
    for (int i = 0; i < 2; i++) {
        assert_ok(pk_observation_reject(&kit.domain, &kit.bed.by, id, 0, "hearsay", &doc, &kit.err),
                  &kit.err);
        assert_string_equal(pk_doc_text(doc, "processingStatus"), "rejected");
        assert_string_equal(pk_doc_text(doc, "approvalMetadata.rejectionReason"), "hearsay");
        pk_doc_unref(doc);
    }
    assert_false(pk_observation_approve(&kit.domain, &kit.bed.by, id, 0, &doc, task, &kit.err));
    expect_error(&kit.err, PK_CONFLICT, "rejected already");
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 0);
    assert_int_equal(kit_count(&kit, "audit", "action", "observation.rejected"), 1);
    assert_false(pk_observation_approve(&kit.domain, &kit.bed.by, OTHER, 0, &doc, task, &kit.err));
    expect_error(&kit.err, PK_NOT_FOUND, "no such observation");
    pk_accepted_done(&accepted);
}

/* ---- Many ---- */

static void accept_many(struct kit *kit, const char *const *json, size_t count,
                        struct pk_accepted *out)
{
    PK_CLEANUP(pk_freep) struct pk_sent *one = pk_calloc(count, sizeof(*one));
    PK_CLEANUP(pk_freep) uint8_t **owned = pk_calloc(count, sizeof(*owned));
    for (size_t i = 0; i < count; i++) {
        bson_t sent;
        uint32_t size = 0;
        kit_json(&sent, "%s", json[i]);
        owned[i] = bson_destroy_with_steal(&sent, true, &size);
        one[i] = (struct pk_sent){ owned[i], size };
    }
    assert_ok(pk_observation_accept(&kit->domain, &kit->bed.by, NULL, one, count, out, &kit->err),
              &kit->err);
    for (size_t i = 0; i < count; i++) {
        bson_free(owned[i]);
    }
}

BOTH(of_many_each_is_answered_for_itself)
{
    static const char *const json[] = {
        "{'observationId':'" OBS "'," GOOD "}",
        "{'personId':'nobody','sourceType':'chat_log','sourceMetadata':{'source':'s'},"
        "'content':{'raw':'r'}}",
        "{" GOOD "}",
        "{'observationId':'" OBS "'," GOOD "}", /* A repetition of the first. */
        "{'observationId':'" OBS "','person_id':'" OTHER "','type':'chat_log','content':{'a':1}}",
        "{'externalId':{'source':'slack','id':'U1'},'sourceType':'chat_log','sourceMetadata':"
        "{'source':'s'},'content':{'raw':'r'}}",
        "{'externalId':{'source':'slack','id':'U1'},'sourceType':'chat_log','sourceMetadata':"
        "{'source':'s'},'content':{'raw':'q'}}",
    };
    KIT(kit, is_mongo);
    struct pk_accepted accepted[PK_COUNT(json)] = { { .is_ok = false } };
    accept_many(&kit, json, PK_COUNT(json), accepted);
    static const bool is_ok[] = { true, false, true, true, false, true, true };
    for (size_t i = 0; i < PK_COUNT(json); i++) {
        assert_int_equal(accepted[i].is_ok, is_ok[i]);
    }
    assert_true(accepted[3].is_repeat);
    assert_int_equal(accepted[4].err.code, PK_CONFLICT);
    assert_string_equal(pk_doc_text(accepted[5].doc, "userId"),
                        pk_doc_text(accepted[6].doc, "userId"));
    assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 4);
    assert_int_equal(kit_count(&kit, "outbox", NULL, NULL), 4);
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 2); /* The refused one made nobody. */
    for (size_t i = 0; i < PK_COUNT(json); i++) {
        pk_accepted_done(&accepted[i]);
    }
}

BOTH(a_thousand_at_once_are_all_there_and_sent_again_are_all_repetitions)
{
    enum { MANY = 1000, PEOPLE = 300 };
    KIT(kit, is_mongo);
    PK_CLEANUP(pk_freep) struct pk_accepted *accepted = pk_calloc(MANY, sizeof(*accepted));
    PK_CLEANUP(pk_freep) char(*text)[512] = pk_calloc(MANY, 512);
    PK_CLEANUP(pk_freep) const char **json = pk_calloc(MANY, sizeof(*json));
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(text[i], 512,
                       "{'observationId':'%08x-0000-4000-8000-000000000000','personId':"
                       "'%08x-0000-4000-8000-000000000001','sourceType':'chat_log',"
                       "'sourceMetadata':{'source':'s'},'content':{'raw':'%d'}}",
                       (unsigned)i, (unsigned)i % PEOPLE, i);
        json[i] = text[i];
    }
    for (int turn = 0; turn < 2; turn++) {
        accept_many(&kit, json, MANY, accepted);
        for (int i = 0; i < MANY; i++) {
            assert_ok(accepted[i].is_ok, &accepted[i].err);
            assert_int_equal(accepted[i].is_repeat, turn == 1);
            pk_accepted_done(&accepted[i]);
        }
        assert_int_equal(kit_count(&kit, "people", NULL, NULL), PEOPLE);
    }
    bson_t nothing = BSON_INITIALIZER;
    struct pk_sent *one = pk_calloc(PK_OBSERVATIONS_MAX + 1, sizeof(*one));
    for (int i = 0; i <= PK_OBSERVATIONS_MAX; i++) {
        one[i] = (struct pk_sent){ bson_get_data(&nothing), nothing.len };
    }
    assert_false(pk_observation_accept(&kit.domain, &kit.bed.by, NULL, one, PK_OBSERVATIONS_MAX + 1,
                                       accepted, &kit.err));
    expect_error(&kit.err, PK_TOO_LARGE, "more than 1000");
    pk_free(one);
    bson_destroy(&nothing);
}

/* ---- Rules and limits ---- */

struct sight {
    const char *person; /* The only one. */
    int asked;
};

static bool may_see(void *context, const char *person, struct pk_error *err)
{
    struct sight *sight = context;
    sight->asked++;
    return strcmp(sight->person, person) == 0 ||
           pk_fail(err, PK_NOT_FOUND, "send one of his", "there is no such person");
}

BOTH(nobody_is_written_about_whom_the_rules_forbid)
{
    KIT(kit, is_mongo);
    struct sight sight = { .person = PERSON };
    const struct pk_accept_rules rules = { .may = may_see, .context = &sight };
    struct pk_accepted accepted[3] = { { .is_ok = false } };
    bson_t sent[3];
    struct pk_sent one[3];
    kit_json(&sent[0], "{" GOOD "}");
    kit_json(&sent[1], "{'person_id':'" OTHER "','type':'chat_log','content':{'a':1}}");
    kit_json(&sent[2], "{'externalId':{'source':'slack','id':'U9'},'sourceType':'chat_log',"
                       "'sourceMetadata':{'source':'s'},'content':{'raw':'r'}}");
    for (size_t i = 0; i < 3; i++) {
        one[i] = (struct pk_sent){ bson_get_data(&sent[i]), sent[i].len };
    }
    assert_ok(pk_observation_accept(&kit.domain, &kit.bed.by, &rules, one, 3, accepted, &kit.err),
              &kit.err);
    assert_int_equal(sight.asked, 3);
    assert_true(accepted[0].is_ok);
    assert_int_equal(accepted[1].err.code, PK_NOT_FOUND);
    assert_int_equal(accepted[2].err.code, PK_NOT_FOUND);
    assert_int_equal(kit_count(&kit, "people", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "mindscapes", NULL, NULL), 1);
    assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 1);
    for (size_t i = 0; i < 3; i++) {
        bson_destroy(&sent[i]);
        pk_accepted_done(&accepted[i]);
    }
}

BOTH(a_person_stores_no_more_than_the_limit_known_or_not)
{
    for (int is_known = 0; is_known < 2; is_known++) {
        KIT(kit, is_mongo);
        kit.domain.people = is_known ? pk_people_new(&kit.clock.clock) : NULL;
        kit.domain.person_max_bytes = 200 * 1024;
        int taken = 0;
        for (int i = 0; i < 12; i++) {
            struct pk_accepted accepted = send_raw(&kit, 20 * 1024);
            taken += accepted.is_ok;
            if (!accepted.is_ok) {
                expect_error(&accepted.err, PK_FULL, "more than 204800 bytes");
                assert_string_equal(accepted.err.field, "personId");
            }
            pk_accepted_done(&accepted);
        }
        assert_int_equal(taken, 9);
        assert_int_equal(kit_count(&kit, "observations", NULL, NULL), 9);
        struct pk_accepted other =
            send_good(&kit, "{'person_id':'" OTHER "','type':'chat_log','content':{'a':1}}");
        pk_accepted_done(&other);
        pk_people_free(kit.domain.people);
    }
}

/* ---- Reading ---- */

BOTH(a_person_s_observations_are_listed_newest_first_by_status_and_type)
{
    static const char *const waits[] = { "email", NULL };
    PK_CLEANUP(kit_done) struct kit kit = { .is_mongo = is_mongo, .approve = waits };
    kit_open(&kit);
    for (int i = 0; i < 12; i++) {
        char json[512];
        (void)snprintf(json, sizeof(json),
                       "{'person_id':'" PERSON "','type':'%s','content':{'n':%d},'metadata':"
                       "{'source':'%s'}}",
                       i % 3 ? "chat_log" : "document", i, i % 2 ? "email" : "slack");
        pk_clock_fake_advance(&kit.clock, 1);
        struct pk_accepted accepted = send_good(&kit, json);
        pk_accepted_done(&accepted);
    }
    static const struct {
        const char *status, *type;
        size_t count;
    } ask[] = { { NULL, NULL, 12 },           { "pending", NULL, 6 },  { NULL, "document", 4 },
                { "pending", "document", 2 }, { "rejected", NULL, 0 }, { "pending", "x", 0 } };
    for (size_t i = 0; i < PK_COUNT(ask); i++) {
        const struct pk_observation_filter filter = { PERSON, ask[i].status, ask[i].type };
        PK_CLEANUP(pk_freep) char *cursor = NULL;
        int64_t last = 100;
        size_t count = 0;
        do {
            PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
            assert_ok(pk_observation_list(&kit.domain, &filter, 2, cursor, &page, &kit.err),
                      &kit.err);
            for (size_t k = 0; k < page.count; k++) {
                const int64_t n = pk_doc_int(page.doc[k], "content.structured.n", -1);
                assert_true(n < last);
                last = n;
            }
            count += page.count;
            pk_free(cursor);
            cursor = page.next ? pk_strdup(page.next) : NULL;
        } while (cursor);
        assert_int_equal(count, ask[i].count);
    }
}

BOTH(a_curation_is_an_observation_of_the_server_with_a_task)
{
    KIT(kit, is_mongo);
    struct pk_accepted accepted = send_good(&kit, "{" GOOD "}");
    pk_accepted_done(&accepted);
    struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT], task[PK_UUID_TEXT];
    bson_t structured;
    kit_json(&structured, "{'operations':[],'a':1}");
    assert_ok(pk_observation_add_curation(&kit.domain, &kit.bed.by, PERSON, &structured, &list, id,
                                          task, &kit.err),
              &kit.err);
    assert_ok(pk_store_commit(kit.bed.store, &list, 0, NULL, &kit.err), &kit.err);
    pk_writes_done(&list);
    bson_destroy(&structured);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = kit_get(&kit, "observations", id);
    assert_string_equal(pk_doc_text(doc, "sourceType"), "curation");
    assert_string_equal(pk_doc_text(doc, "approvalMetadata.approvedBy"), kit.bed.by.actor_id);
    assert_string_equal(pk_doc_text(doc, "content.raw"), "{\"a\":1,\"operations\":[]}");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = kit_get(&kit, "outbox", task);
    assert_string_equal(pk_doc_text(stored, "payload.observationId"), id);
}
