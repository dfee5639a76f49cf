/* test_idempotency.c - One effect and one answer, however often and from wherever it is asked. */
/* SPDX-License-Identifier: MIT */
#include "access/idempotency.h"
#include "base/alloc.h"
#include "scene.h"

#include <stdio.h>
#include <string.h>

#define ACTOR  "b7a1c0de-0000-4000-8000-00000000000a"
#define OTHER  "b7a1c0de-0000-4000-8000-00000000000b"
#define PERSON "b7a1c0de-0000-4000-8000-000000000001"

static struct pk_once_request request_of(const char *key, const char *body)
{
    return (struct pk_once_request){ .actor_id = ACTOR,
                                     .key = key,
                                     .key_size = strlen(key),
                                     .route = "POST /v1/people/{person}/narratives",
                                     .target = "/v1/people/" PERSON "/narratives?x=1",
                                     .body = body,
                                     .body_size = strlen(body) };
}

static struct pk_once_answer answer_of(const char *body)
{
    return (struct pk_once_answer){ .status = 201, .body = body, .body_size = strlen(body) };
}

/* An effect that can be counted: a setting of a random name. */
static void add_effect(struct pk_writes *list)
{
    char id[PK_UUID_TEXT];
    pk_uuid_new(id);
    bson_t *bson = bson_new();
    BSON_APPEND_UTF8(bson, "_id", id);
    BSON_APPEND_INT32(bson, "value", 1);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", NOW_MS);
    BSON_APPEND_UTF8(bson, "updatedBy", "tester");
    struct pk_doc *doc = pk_doc_take(bson);
    pk_writes_insert(list, "settings", doc);
    pk_doc_unref(doc);
}

/* As a handler does it. True when it had the effect itself; else 'replay' or 'err' says why not. */
static bool handle(struct scene *scene, struct pk_idempotency *idempotency,
                   const struct pk_once_request *request, const struct pk_once_answer *answer,
                   struct pk_replay *replay, struct pk_error *err)
{
    PK_CLEANUP(pk_once_done) struct pk_once once = { 0 };
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    struct pk_commit commit;

    if (!pk_once_begin(&once, idempotency, request, 0, replay, err) || replay->status) {
        return false;
    }
    add_effect(&list);
    pk_once_add(&once, answer, &list);
    if (pk_store_commit(scene->store, &list, 0, &commit, err)) {
        return true;
    }
    if (err->code == PK_CONFLICT && pk_once_lost(&once, &list, &commit)) {
        err->code = PK_OK;
        (void)pk_once_find(&once, 0, replay, err);
    }
    return false;
}

struct set {
    struct scene scene;
    struct pk_idempotency *idempotency;
    struct pk_replay replay;
};

static void set_open(struct set *set)
{
    *set = (struct set){ 0 };
    scene_open(&set->scene, NULL);
    set->idempotency = pk_idempotency_new(&set->scene.books, 0);
}

static void set_close(struct set *set)
{
    pk_replay_done(&set->replay);
    pk_idempotency_free(set->idempotency);
    scene_close(&set->scene);
}

static bool run(struct set *set, struct pk_once_request request, struct pk_once_answer answer)
{
    pk_replay_done(&set->replay);
    set->scene.err = (struct pk_error){ 0 };
    return handle(&set->scene, set->idempotency, &request, &answer, &set->replay, &set->scene.err);
}

TEST(a_repetition_gets_the_same_status_headers_and_bytes)
{
    static const struct pk_fact header[] = { { "Location", "/v1/x/1" },
                                             { "ETag", "\"7\"" },
                                             { NULL, NULL } };
    static const char body[] = "{\"a\":\"\xc3\xa4\", \"b\" : 1.50 }\n";
    struct set set;
    set_open(&set);
    struct pk_once_answer answer = answer_of(body);
    answer.header = header;
    assert_true(run(&set, request_of("k-1", "{}"), answer));
    for (int i = 0; i < 3; i++) {
        assert_false(run(&set, request_of("k-1", "{}"), answer_of("another")));
        assert_int_equal(set.replay.status, 201);
        assert_int_equal(set.replay.body_size, sizeof(body) - 1);
        assert_memory_equal(set.replay.body, body, sizeof(body) - 1);
        assert_string_equal(pk_replay_header(&set.replay, "Location"), "/v1/x/1");
        assert_string_equal(pk_replay_header(&set.replay, "ETag"), "\"7\"");
        assert_null(pk_replay_header(&set.replay, "Server"));
        assert_false(set.replay.is_cut);
    }
    assert_int_equal(count_docs(&set.scene, "settings"), 1);
    set_close(&set);
}

TEST(an_empty_answer_is_one_too)
{
    struct set set;
    set_open(&set);
    const struct pk_once_answer answer = { .status = 204 };
    assert_true(run(&set, request_of("k", ""), answer));
    assert_false(run(&set, request_of("k", ""), answer));
    assert_int_equal(set.replay.status, 204);
    assert_int_equal(set.replay.body_size, 0);
    set_close(&set);
}

TEST(another_request_under_the_same_key_is_told_apart)
{
    struct set set;
    set_open(&set);
    assert_true(run(&set, request_of("k", "{\"a\":1}"), answer_of("x")));
    assert_false(run(&set, request_of("k", "{\"a\":2}"), answer_of("x")));
    expect_error(&set.scene.err, PK_MISMATCH, "another request was made");
    assert_int_equal(pk_code_http(set.scene.err.code), 422);
    assert_string_equal(pk_code_name(set.scene.err.code), "idempotency_mismatch");
    assert_int_equal(set.replay.status, 0);
    struct pk_once_request other = request_of("k", "{\"a\":1}");
    other.target = "/v1/people/" PERSON "/narratives?x=2";
    assert_false(run(&set, other, answer_of("x")));
    assert_int_equal(set.scene.err.code, PK_MISMATCH);
    /* What stands before and behind the border of two parts is not the same request. */
    struct pk_once_request moved = request_of("k2", "b");
    moved.target = "/a";
    assert_true(run(&set, moved, answer_of("x")));
    moved.target = "/ab";
    moved.body_size = 0;
    assert_false(run(&set, moved, answer_of("x")));
    assert_int_equal(set.scene.err.code, PK_MISMATCH);
    set_close(&set);
}

TEST(a_key_belongs_to_one_actor_and_one_route)
{
    struct set set;
    set_open(&set);
    struct pk_once_request other = request_of("k", "{}");
    assert_true(run(&set, other, answer_of("x")));
    other.actor_id = OTHER;
    assert_true(run(&set, other, answer_of("x")));
    other = request_of("k", "{}");
    other.route = "POST /v1/feedback";
    assert_true(run(&set, other, answer_of("x")));
    assert_int_equal(count_docs(&set.scene, "settings"), 3);
    set_close(&set);
}

TEST(keys_that_are_none_are_refused)
{
    struct set set;
    char large[257];
    set_open(&set);
    memset(large, 'k', 256);
    large[256] = '\0';
    static const char *const key[] = { "", " ", "a b", "a\n", "\x7f", "\xc3\xa4" };
    for (size_t i = 0; i < PK_COUNT(key); i++) {
        assert_false(run(&set, request_of(key[i], ""), answer_of("x")));
        expect_error(&set.scene.err, PK_INVALID, "Idempotency-Key is not valid");
    }
    assert_false(run(&set, request_of(large, ""), answer_of("x")));
    expect_error(&set.scene.err, PK_INVALID, "Idempotency-Key is not valid");
    struct pk_once_request nul = request_of("abc", "");
    nul.key = "a\0c";
    assert_false(run(&set, nul, answer_of("x")));
    assert_int_equal(set.scene.err.code, PK_INVALID);
    assert_true(run(&set, request_of(large + 1, ""), answer_of("x")));
    assert_int_equal(count_docs(&set.scene, "settings"), 1);
    set_close(&set);
}

TEST(a_second_one_in_flight_is_told_to_wait)
{
    struct set set;
    struct pk_once once = { 0 };
    const struct pk_once_request request = request_of("k", "{}");
    set_open(&set);
    assert_ok(pk_once_begin(&once, set.idempotency, &request, 0, &set.replay, &set.scene.err),
              &set.scene.err);
    assert_false(run(&set, request, answer_of("x")));
    expect_error(&set.scene.err, PK_CONFLICT, "is in flight");
    assert_true(run(&set, request_of("k2", "{}"), answer_of("x"))); /* Others go on. */
    pk_once_done(&once);
    pk_once_done(&once);
    assert_true(run(&set, request, answer_of("x"))); /* It had failed: this one may try. */
    set_close(&set);
}

TEST(a_secret_is_never_kept)
{
    struct set set;
    struct pk_doc *row = NULL;
    set_open(&set);
    struct pk_once_answer answer = answer_of("{\"key\":\"pk_aaaa_secretsecret\"}");
    answer.is_secret = true;
    assert_true(run(&set, request_of("k", "{}"), answer));
    assert_false(run(&set, request_of("k", "{}"), answer));
    expect_error(&set.scene.err, PK_SHOWN, "shown once only");
    assert_int_equal(pk_code_http(PK_SHOWN), 409);
    assert_string_equal(pk_code_name(PK_SHOWN), "secret_already_shown");
    assert_int_equal(set.replay.status, 0);
    struct pk_page page;
    const struct pk_query query = { .collection = "idempotency", .index = "_id" };
    assert_ok(pk_store_find(set.scene.store, &query, 0, &page, &set.scene.err), &set.scene.err);
    row = page.doc[0];
    assert_null(memmem(pk_doc_data(row), pk_doc_size(row), "secretsecret", 12));
    pk_page_done(&page);
    assert_false(run(&set, request_of("k", "{ }"), answer)); /* Another body is told first. */
    assert_int_equal(set.scene.err.code, PK_MISMATCH);
    set_close(&set);
}

TEST(a_large_answer_is_replayed_as_its_status_and_a_note)
{
    static const struct pk_fact header[] = { { "Location", "/v1/x/1" }, { NULL, NULL } };
    struct set set;
    set_open(&set);
    char *large = pk_alloc(PK_ANSWER_KEPT_MAX + 2);
    memset(large, 'a', PK_ANSWER_KEPT_MAX + 1);
    large[PK_ANSWER_KEPT_MAX + 1] = '\0';
    struct pk_once_answer answer = answer_of(large);
    answer.header = header;
    assert_true(run(&set, request_of("k", ""), answer));
    assert_false(run(&set, request_of("k", ""), answer));
    assert_true(set.replay.is_cut);
    assert_int_equal(set.replay.status, 201);
    assert_non_null(strstr(set.replay.body, "too large to be kept"));
    assert_int_equal(strlen(set.replay.body), set.replay.body_size);
    assert_string_equal(pk_replay_header(&set.replay, "Location"), "/v1/x/1");
    assert_true(run(&set, request_of("k2", ""), answer_of(large + 1))); /* Exactly 64 KiB. */
    assert_false(run(&set, request_of("k2", ""), answer));
    assert_false(set.replay.is_cut);
    assert_int_equal(set.replay.body_size, PK_ANSWER_KEPT_MAX);
    pk_free(large);
    set_close(&set);
}

TEST(after_a_day_the_key_is_free)
{
    struct set set;
    set_open(&set);
    assert_true(run(&set, request_of("k", ""), answer_of("x")));
    pk_clock_fake_advance(&set.scene.clock, 24 * 3600 * 1000 - 1);
    assert_false(run(&set, request_of("k", ""), answer_of("x")));
    assert_int_equal(set.replay.status, 201);
    pk_clock_fake_advance(&set.scene.clock, 1);
    assert_true(run(&set, request_of("k", "other"), answer_of("y")));
    set_close(&set);
}

TEST(erasing_finds_answers_by_their_people)
{
    static const char *const person[] = { PERSON, OTHER };
    struct set set;
    struct pk_page page;
    set_open(&set);
    struct pk_once_answer answer = answer_of("x");
    answer.person = person;
    answer.person_count = 2;
    assert_true(run(&set, request_of("k", ""), answer));
    const struct pk_query query = { .collection = "idempotency",
                                    .index = "by_user",
                                    .equal = { PK_TEXT(OTHER) },
                                    .equal_count = 1 };
    assert_ok(pk_store_find(set.scene.store, &query, 0, &page, &set.scene.err), &set.scene.err);
    assert_int_equal(page.count, 1);
    pk_page_done(&page);
    set_close(&set);
}

struct crowd {
    struct set *set;
    struct pk_idempotency *node[2]; /* What two nodes have in flight. */
    char key[16];
    _Atomic int done, replayed, waiting, other;
};

static void come(void *context, size_t number)
{
    struct crowd *crowd = context;
    struct pk_error err = { 0 };
    struct pk_replay replay = { 0 };
    const struct pk_once_request request = request_of(crowd->key, "{}");
    const struct pk_once_answer answer = answer_of("x");
    if (handle(&crowd->set->scene, crowd->node[number % 2], &request, &answer, &replay, &err)) {
        crowd->done++;
    } else if (replay.status == 201 && replay.body_size == 1) {
        crowd->replayed++;
    } else if (err.code == PK_CONFLICT) {
        crowd->waiting++;
    } else {
        crowd->other++;
    }
    pk_replay_done(&replay);
}

TEST(of_32_at_once_on_two_nodes_one_has_the_effect)
{
    struct set set;
    set_open(&set);
    struct pk_idempotency *second = pk_idempotency_new(&set.scene.books, 0);
    for (int round = 0; round < 20; round++) {
        struct crowd crowd = { .set = &set, .node = { set.idempotency, second } };
        (void)snprintf(crowd.key, sizeof(crowd.key), "k%d", round);
        run_threads(32, come, &crowd);
        assert_int_equal(crowd.other, 0);
        assert_int_equal(crowd.done, 1);
        assert_int_equal(crowd.replayed + crowd.waiting, 31);
        assert_int_equal(count_docs(&set.scene, "settings"), round + 1);
    }
    pk_idempotency_free(second);
    set_close(&set);
}
