/* test_wait.c - ?wait=processed, and the tasks that are waited for.
 *
 * A task of a type that no program knows holds its person's line until it is
 * discarded: so a case decides when the wait is over. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "api/after.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "feed/watch.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PERSON "b7a1c0de-0000-4000-8000-000000000001"
#define OTHER  "b7a1c0de-0000-4000-8000-000000000002"

/* ---- Routes: a write with a task of the type that it is sent, and a read ---- */

static atomic_int finished;

static bool of_person(struct pk_api_call *call, struct pk_object *object, struct pk_error *err)
{
    (void)err;
    object->person = pk_call_value(call, "person");
    return true;
}

static bool answer_with(struct pk_api_call *call, const char *said, struct pk_error *err)
{
    bson_t doc = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&doc, "said", said);
    const bool ok = pk_call_answer(call, &doc, 0, err);
    bson_destroy(&doc);
    return ok;
}

static bool say_anew(struct pk_api_call *call, struct pk_error *err)
{
    finished++;
    if (strcmp(pk_call_value(call, "type"), "broken") == 0) {
        pk_buf_add_text(&call->answer->body, "half a sen");
        return pk_fail(err, PK_UNAVAILABLE, NULL, "it cannot be read");
    }
    return answer_with(call, call->own, err);
}

static bool write_note(struct pk_api_call *call, struct pk_error *err)
{
    static char anew[] = "anew";
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_commit commit;
    char id[PK_UUID_TEXT];
    const char *person = pk_call_value(call, "person");
    pk_task_add(&list, call->parts->books,
                &(struct pk_task_new){ .type = pk_call_value(call, "type"), .person = person }, id);
    pk_news_add(&list, call->parts->books,
                &(struct pk_news){ .type = "note.made",
                                   .entity_type = "note",
                                   .entity_id = id,
                                   .person = person,
                                   .fact = (const struct pk_fact[]){ { "taskId", id }, { 0 } } });
    if (!pk_store_commit(call->parts->books->store, &list, call->deadline_ns, &commit, err) ||
        !answer_with(call, "made", err)) {
        return false;
    }
    pk_call_wrote(call, commit.cursor);
    pk_call_wait_tasks(call, (const char *const[]){ id }, 1, say_anew, anew);
    return true;
}

static bool show_view(struct pk_api_call *call, struct pk_error *err)
{
    return answer_with(call, "seen", err);
}

static const struct pk_param note_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "A person." },
    { .name = "type", .type = PK_PARAM_TEXT, .help = "Of the task." },
    { .name = NULL },
};
static const struct pk_param view_param[] = {
    { .name = "person", .type = PK_PARAM_UUID, .help = "A person." },
    { .name = NULL },
};
static const struct pk_api_row row[] = {
    { PK_ROW(POST, "/v1/people/{person}/notes", OBSERVATION_WRITE), .lane = PK_LANE_STORE,
      .status = 201, .flags = PK_ROW_WRITES | PK_ROW_WAIT, .param = note_param,
      .subject = of_person, .run = write_note, .id = "note", .tag = "test", .help = "Writes." },
    { PK_ROW(GET, "/v1/people/{person}/view", MINDSCAPE_READ), .lane = PK_LANE_STORE,
      .flags = PK_ROW_AFTER, .param = view_param, .subject = of_person, .run = show_view,
      .id = "view", .tag = "test", .help = "Reads." },
    { PK_ROW(GET, "/v1/everybody", ACTOR_READ), .lane = PK_LANE_STORE, .flags = PK_ROW_AFTER,
      .run = show_view, .id = "all", .tag = "test", .help = "Reads what is nobody's." },
};
static const struct pk_api_table table = { row, PK_COUNT(row) };
static const struct pk_api_table *const tables[] = { &table };

static void open_bed(struct house *house)
{
    finished = 0;
    house_open(house, &(struct house_options){ .table = tables, .table_count = 1 });
}

/* Sends a request and does not wait for what comes back. */
static int begin(struct house *house, const char *method, const char *target)
{
    char bytes[1024];
    (void)snprintf(bytes, sizeof(bytes),
                   "%s %s HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer %s\r\n"
                   "Content-Length: 0\r\nConnection: close\r\n\r\n",
                   method, target, house->admin);
    const int fd = house_dial(house);
    house_send(fd, bytes);
    return fd;
}

/* The only task that is open, once it is there. */
static void find_task(struct house *house, char out[PK_UUID_TEXT])
{
    const struct pk_outbox_filter filter = { .status = "pending" };
    for (int i = 0; i < PK_TEST_PATIENCE_MS; i++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        assert_ok(pk_outbox_list(&house->books, &filter, 10, NULL, &page, &house->err),
                  &house->err);
        if (page.count == 1) {
            (void)snprintf(out, PK_UUID_TEXT, "%s", pk_doc_id(page.doc[0]));
            return;
        }
        (void)poll(NULL, 0, 1);
    }
    fail_msg("there is no task");
}

static void discard(struct house *house, const char *id)
{
    assert_ok(pk_outbox_discard(&house->books, &house->by, id, NULL, &house->err), &house->err);
}

static void expect_silence(int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&poll_fd, 1, 100), 0);
}

/* ---- Writes ---- */

TEST(a_write_is_answered_when_its_task_has_ended)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    open_bed(&house);
    const int fd = begin(&house, "POST", "/v1/people/" PERSON "/notes?type=x&wait=processed");
    find_task(&house, id);
    expect_silence(fd);
    discard(&house, id);
    struct reply reply = house_hear(fd);
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply_text(&reply, "said"), "anew");
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "failed");
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    reply_done(&reply);
    assert_int_equal(finished, 1);
}

TEST(an_observation_is_answered_when_it_is_processed)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply =
        house_ask(&house, "POST", "/v1/observations?wait=processed", house.admin,
                  "{'person_id':'" PERSON "','type':'chat_log','content':{'a':1}}");
    expect(&reply, 201, NULL);
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "true");
    assert_string_equal(reply_text(&reply, "processingStatus"), "processed");
    reply_done(&reply);
}

TEST(without_the_parameter_a_write_waits_for_nothing)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    open_bed(&house);
    struct reply reply =
        house_ask(&house, "POST", "/v1/people/" PERSON "/notes?type=x", house.admin, NULL);
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply_text(&reply, "said"), "made");
    assert_null(reply_header(&reply, "PersonaKit-Processed"));
    reply_done(&reply);
}

TEST(what_cannot_be_made_anew_is_answered_as_it_was)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    open_bed(&house);
    const int fd = begin(&house, "POST", "/v1/people/" PERSON "/notes?type=broken&wait=processed");
    find_task(&house, id);
    discard(&house, id);
    struct reply reply = house_hear(fd);
    assert_int_equal(reply.status, 201);
    assert_string_equal(reply_text(&reply, "said"), "made");
    reply_done(&reply);
    assert_int_equal(finished, 1);
}

/* ---- Reads ---- */

TEST(a_read_waits_for_all_that_is_pending_of_its_person)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    char target[512];
    open_bed(&house);
    struct reply reply =
        house_ask(&house, "POST", "/v1/people/" PERSON "/notes?type=x", house.admin, NULL);
    const char *cursor = reply_header(&reply, "PersonaKit-Cursor");
    (void)snprintf(target, sizeof(target), "/v1/people/" PERSON "/view?after=%s&wait=processed",
                   cursor);
    reply_done(&reply);
    find_task(&house, id);
    const int fd = begin(&house, "GET", target);
    reply = house_ask(&house, "GET", "/v1/people/" OTHER "/view?wait=processed", house.admin, NULL);
    assert_int_equal(reply.status, 200); /* Of another person nothing is pending. */
    reply_done(&reply);
    expect_silence(fd);
    discard(&house, id);
    reply = house_hear(fd);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_text(&reply, "said"), "seen");
    reply_done(&reply);
}

/* Both at once: it takes ten seconds. */
TEST(who_has_waited_in_vain_is_told_so)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    open_bed(&house);
    const int writer = begin(&house, "POST", "/v1/people/" PERSON "/notes?type=x&wait=processed");
    find_task(&house, id);
    house_settle(&house);
    const int reader = begin(&house, "GET", "/v1/people/" PERSON "/view?wait=processed");
    struct reply reply = house_hear(reader);
    expect(&reply, 504, "timeout");
    assert_string_equal(reply_text(&reply, "field"), "wait");
    reply_done(&reply);
    reply = house_hear(writer);
    assert_int_equal(reply.status, 202);
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "false");
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    reply_done(&reply);
}

TEST(only_what_is_somebodys_can_be_waited_for)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    open_bed(&house);
    struct reply reply =
        house_ask(&house, "GET", "/v1/everybody?wait=processed", house.admin, NULL);
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/people/" PERSON "/view?wait=x", house.admin, NULL);
    expect(&reply, 400, "invalid");
    reply_done(&reply);
}

/* ---- Tasks over HTTP ---- */

static void plant(struct house *house, const char *actor, const char *type, char id[PK_UUID_TEXT])
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    pk_task_add(
        &list, &house->books,
        &(struct pk_task_new){ .type = type, .person = PERSON, .actor = actor, .run_after_ms = 0 },
        id);
    pk_news_add(&list, &house->books,
                &(struct pk_news){ .type = "note.made",
                                   .entity_type = "note",
                                   .entity_id = id,
                                   .person = PERSON,
                                   .fact = (const struct pk_fact[]){ { "taskId", id }, { 0 } } });
    assert_ok(pk_store_commit(house->store, &list, 0, NULL, &house->err), &house->err);
}

static struct reply ask_task(struct house *house, const char *method, const char *format,
                             const char *id, const char *key)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s%s%s", format, id, "");
    return house_ask(house, method, path, key, NULL);
}

TEST(a_failed_task_is_listed_shown_retried_and_discarded)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    house_open(&house, NULL);
    plant(&house, NULL, "process_observation", id); /* Its payload names nothing. */
    struct reply reply;
    for (int i = 0;; i++) {
        reply = house_ask(&house, "GET", "/v1/admin/outbox?status=failed&type=process_observation",
                          house.admin, NULL);
        if (reply_count(&reply, "items") == 1) {
            break;
        }
        reply_done(&reply);
        assert_true(i < PK_TEST_PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    assert_string_equal(reply_text(&reply, "items.0.taskId"), id);
    assert_string_equal(reply_text(&reply, "items.0.personId"), PERSON);
    assert_true(strlen(reply_text(&reply, "items.0.lastError")) > 0);
    reply_done(&reply);

    PK_CLEANUP(pk_freep) char *retry = pk_strdupf("/v1/admin/outbox/%s/retry", id);
    PK_CLEANUP(pk_freep) char *discarding = pk_strdupf("/v1/admin/outbox/%s/discard", id);
    reply = house_ask(&house, "POST", retry, house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "pending");
    assert_int_equal(reply_number(&reply, "attempts"), 0);
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    reply_done(&reply);
    reply = house_ask(&house, "POST", discarding, house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "discarded");
    reply_done(&reply);
    reply = house_ask(&house, "POST", retry, house.admin, NULL);
    expect(&reply, 409, "conflict");
    reply_done(&reply);
    reply = ask_task(&house, "GET", "/v1/admin/outbox/", id, house.admin);
    assert_string_equal(reply_text(&reply, "status"), "discarded");
    reply_done(&reply);
}

TEST(everybody_sees_the_tasks_that_are_his_own)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    char key[PK_KEY_TEXT];
    char other[PK_KEY_TEXT];
    char apart[PK_KEY_TEXT];
    char unseen[PK_UUID_TEXT];
    house_open(&house, NULL);
    struct pk_doc *actor =
        house_actor(&house, "asker", "{'canRequestPersonas':true,'people':['*']}", key);
    struct pk_doc *stranger =
        house_actor(&house, "stranger", "{'canRequestPersonas':true,'people':['*']}", other);
    struct pk_doc *blind = house_actor(&house, "blind", "{'canRequestPersonas':true}", apart);
    plant(&house, pk_doc_id(actor), "replay", id);
    plant(&house, pk_doc_id(blind), "replay", unseen);
    struct reply reply = ask_task(&house, "GET", "/v1/tasks/", id, key);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "taskType"), "replay");
    assert_string_equal(reply_text(&reply, "actorId"), pk_doc_id(actor));
    reply_done(&reply);
    reply = ask_task(&house, "GET", "/v1/tasks/", id, other);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = ask_task(&house, "GET", "/v1/tasks/", id, house.admin);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    reply = ask_task(&house, "GET", "/v1/tasks/", unseen, apart);
    expect(&reply, 404, "not_found"); /* He may not see the person any more. */
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/admin/outbox", key, NULL);
    expect(&reply, 403, "forbidden");
    reply_done(&reply);
    pk_doc_unref(actor);
    pk_doc_unref(stranger);
    pk_doc_unref(blind);
}
