/* test_privacy.c - Over HTTP: erased with a receipt, exported line by line, and who read what. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/schema.h"
#include "doc/schema_privacy.h"
#include "persona/access_log.h"
#include "persona/erase.h"

#include <stdio.h>
#include <string.h>

#define PERSON "11111111-1111-4111-8111-111111111111"
#define OTHER  "22222222-2222-4222-8222-222222222222"
#define BASE   "/v1/people/" PERSON

static void send_of(struct house *house, const char *person)
{
    char body[256];
    (void)snprintf(body, sizeof(body), "{'person_id':'%s','type':'chat_log','content':{'a':1}}",
                   person);
    struct reply reply =
        house_ask(house, "POST", "/v1/observations?wait=processed", house->admin, body);
    expect(&reply, 201, NULL);
    reply_done(&reply);
}

static struct reply get(struct house *house, const char *target, const char *key)
{
    return house_ask(house, "GET", target, key, NULL);
}

static void expect_schema(const struct reply *reply, const struct pk_schema *schema)
{
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    bson_t out;
    if (!pk_schema_accept(schema, reply->json, &out, &faults)) {
        (void)pk_faults_fail(&faults, &err);
        fail_msg("%s: %s", schema->name, err.message);
    }
    bson_destroy(&out);
}

/* ---- Erasing ---- */

TEST(an_erased_person_is_gone_and_the_receipt_stays)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    send_of(&house, PERSON);
    send_of(&house, OTHER);
    struct reply reply = house_ask(&house, "DELETE", BASE "?wait=processed", house.admin, NULL);
    expect(&reply, 200, NULL);
    expect_schema(&reply, &pk_schema_erasure_view);
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "true");
    assert_true(reply_text(&reply, "completedAt")[0] != '\0');
    assert_int_equal(reply_number(&reply, "counts.observations"), 1);
    assert_int_equal(reply_number(&reply, "counts.people"), 1);
    assert_null(strstr(reply.body, PERSON));
    char task[PK_UUID_TEXT];
    (void)snprintf(task, sizeof(task), "%s", reply_text(&reply, "taskId"));
    reply_done(&reply);

    static const char *const gone[] = { BASE "/mindscape", BASE "/observations", BASE "/export",
                                        BASE "/access-log" };
    for (size_t i = 0; i < PK_COUNT(gone); i++) {
        reply = get(&house, gone[i], house.admin);
        expect(&reply, 404, "not_found");
        reply_done(&reply);
    }
    reply = house_ask(&house, "DELETE", BASE, house.admin, NULL); /* Again. */
    expect(&reply, 202, NULL);
    assert_string_equal(reply_text(&reply, "taskId"), task);
    assert_true(reply_text(&reply, "completedAt")[0] != '\0');
    reply_done(&reply);
    char target[200];
    (void)snprintf(target, sizeof(target), "/v1/tasks/%s", task);
    reply = get(&house, target, house.admin);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "done");
    reply_done(&reply);
    (void)snprintf(target, sizeof(target), "/v1/admin/audit?target=%s&action=person.erased", task);
    reply = get(&house, target, house.admin);
    assert_string_equal(reply_text(&reply, "items.0.details.observations"), "1");
    assert_null(strstr(reply.body, PERSON));
    reply_done(&reply);
    reply = get(&house, "/v1/people/" OTHER "/observations", house.admin);
    assert_int_equal(reply_count(&reply, "items"), 1);
    reply_done(&reply);
}

TEST(who_was_never_there_cannot_be_erased)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "DELETE", BASE, house.admin, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
}

/* ---- Exporting ---- */

/* Lines with 'text' in them. */
static size_t lines_with(const struct reply *reply, const char *text)
{
    size_t count = 0;
    for (const char *at = strstr(reply->body, text); at; at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

TEST(an_export_has_every_document_and_ends_with_their_number)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    for (int i = 0; i < 120; i++) { /* More than a page. */
        send_of(&house, PERSON);
    }
    send_of(&house, OTHER);
    struct reply reply = get(&house, BASE "/export", house.admin);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_header(&reply, "Content-Type"), "application/x-ndjson");
    assert_int_equal(lines_with(&reply, "{\"collection\":\"observations\","), 120);
    assert_int_equal(lines_with(&reply, "{\"collection\":\"mindscapes\","), 1);
    assert_int_equal(lines_with(&reply, "{\"collection\":\"people\","), 1);
    assert_non_null(strstr(reply.body, "{\"summary\":{\"personId\":\"" PERSON "\""));
    assert_non_null(strstr(reply.body, "\"observations\":120"));
    assert_null(strstr(reply.body, OTHER));
    assert_null(strstr(reply.body, "\"userId\"")); /* Spelt as over HTTP. */
    reply_done(&reply);
}

TEST(an_export_is_refused_to_whom_something_is_hidden_from)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    send_of(&house, PERSON);
    pk_doc_unref(house_actor(
        &house, "half", "{'grants':['operate'],'people':['*'],'hiddenPaths':['health']}", key));
    struct reply reply = get(&house, BASE "/export", key);
    expect(&reply, 403, "forbidden");
    reply_done(&reply);
    pk_doc_unref(house_actor(&house, "blind",
                             "{'grants':['operate'],'people':['*'],'hiddenPaths':['*']}", key));
    reply = get(&house, BASE "/export", key);
    expect(&reply, 403, "forbidden");
    reply_done(&reply);
}

/* ---- Who read what ---- */

TEST(reads_of_a_few_seconds_are_one_row_with_their_number)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    send_of(&house, PERSON);
    send_of(&house, OTHER);
    for (int i = 0; i < 3; i++) {
        struct reply reply = get(&house, BASE "/mindscape", house.admin);
        expect(&reply, 200, NULL);
        reply_done(&reply);
    }
    struct reply reply = get(&house, "/v1/people/" OTHER "/mindscape", house.admin);
    reply_done(&reply);
    reply = house_ask(&house, "POST", BASE "/replay", house.admin, "{}"); /* No read. */
    expect(&reply, 202, NULL);
    reply_done(&reply);
    reply = get(&house, BASE "/export", house.admin);
    reply_done(&reply);
    assert_ok(pk_access_log_flush(house.domain.access_log, &house.err), &house.err);
    reply = get(&house, BASE "/access-log", house.admin);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    const bool is_first = strcmp(reply_text(&reply, "items.0.action"), "mindscape.read") == 0;
    const char *count = is_first ? "items.0.details.count" : "items.1.details.count";
    const char *other = is_first ? "items.1.action" : "items.0.action";
    assert_string_equal(reply_text(&reply, count), "3");
    assert_string_equal(reply_text(&reply, other), "person.exported");
    reply_done(&reply);
}

/* A read that was refused is no read. */
TEST(who_was_refused_has_read_nothing)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    house_open(&house, NULL);
    send_of(&house, PERSON);
    pk_doc_unref(house_actor(&house, "nobody", "{'people':['*']}", key));
    struct reply reply = get(&house, BASE "/mindscape", key);
    expect(&reply, 403, "forbidden");
    reply_done(&reply);
    assert_ok(pk_access_log_flush(house.domain.access_log, &house.err), &house.err);
    reply = get(&house, BASE "/access-log", house.admin);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 0);
    reply_done(&reply);
}

/* Those that see to it themselves: exports, and the log itself, which is no reading of the person.
 */
TEST(whatever_shows_something_of_a_person_is_noted)
{
    static const char below[] = "/v1/people/{person}/";
    size_t noted = 0;
    for (size_t i = 0; i < pk_api_row_count(); i++) {
        const struct pk_api_row *row = pk_api_row_at(i);
        const bool is_below =
            row->method == PK_METHOD_GET && strncmp(row->path, below, sizeof(below) - 1) == 0 &&
            row->action != PK_ACT_PERSON_EXPORT && row->action != PK_ACT_PERSON_ACCESS_LOG;
        if (is_below && !(row->flags & PK_ROW_READS)) {
            fail_msg("%s is not noted", row->path);
        }
        noted += (row->flags & PK_ROW_READS) != 0;
    }
    assert_true(noted >= 12);
}
