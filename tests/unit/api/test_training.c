/* test_training.c - Mappers trained over HTTP: a task, what came of it, a dry run, who may. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "base/alloc.h"
#include "doc/schema.h"
#include "doc/schema_train.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define PERSON "11111111-1111-4111-8111-111111111111"
#define TRAIN  "/v1/mappers/planner/train"

static struct reply ask(struct house *house, const char *method, const char *target,
                        const char *body)
{
    return house_ask(house, method, target, house->admin, body);
}

static void do_it(struct house *house, const char *method, const char *target, const char *body)
{
    struct reply reply = ask(house, method, target, body);
    if (reply.status < 200 || reply.status > 202) {
        fail_msg("%s: %s", target, reply.body);
    }
    reply_done(&reply);
}

static void expect_schema(const bson_t *json)
{
    struct pk_faults faults = { 0 };
    bson_t accepted;
    if (!pk_schema_accept(&pk_schema_training_view, json, &accepted, &faults)) {
        fail_msg("'%s' must be %s, not %s", faults.fault[0].path, faults.fault[0].expected,
                 faults.fault[0].got);
    }
    bson_destroy(&accepted);
}

static void put_learner(struct house *house)
{
    do_it(house, "PUT", "/v1/processors/votes?activate=true",
          "{'source':'local pk = require [[personakit]]\\n"
          "return pk.processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
          " id = [[votes]], version = [[1.0.0]], accepts = { [[feedback]] },\\n"
          "  process = function(obs, m, t) local s = obs.content.structured\\n"
          "    if s.ruleId then t:tune(s.ruleId, { priority = [[low]], weight = 0.5 }) end\\n"
          "  end }'}");
}

/* A mapper, and two who were not helped by its rule. */
static void furnish(struct house *house)
{
    house_open(house, NULL);
    do_it(
        house, "PUT", "/v1/mappers/planner?activate=true",
        "{'source':'local pk = require [[personakit]]\\n"
        "return pk.mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
        " id = [[planner]], version = [[1.0.0]], rules = {\\n"
        "  pk.rule { id = [[always]], when = pk.trait([[tone]]):missing(), suggest = [[x]] } } }'}");
    do_it(house, "POST", "/v1/observations",
          "{'personId':'" PERSON "','sourceType':'chat_log','sourceMetadata':{'source':'test'},"
          "'content':{'raw':'x'}}");
    do_it(house, "POST", "/v1/personas/map",
          "{'mapperId':'planner','personaId':'" PERSON "','detailLevel':'instant'}");
    for (int i = 0; i < 2; i++) {
        do_it(house, "POST", "/v1/feedback",
              "{'personaInstanceId':'planner:" PERSON ":instant','feedback':{'ratings':{"
              "'overall':2},'ruleId':'always'}}");
    }
}

/* What is shown once the training is over. */
static struct reply outcome(struct house *house)
{
    for (int waited = 0; waited < PK_TEST_PATIENCE_MS; waited++) {
        struct reply reply = ask(house, "GET", TRAIN, NULL);
        expect(&reply, 200, NULL);
        if (strcmp(reply_text(&reply, "status"), "running") != 0) {
            expect_schema(reply.json);
            return reply;
        }
        reply_done(&reply);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    fail_msg("the training does not end");
    return (struct reply){ .status = 0 };
}

TEST(a_mapper_is_trained_over_http)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    struct reply reply = ask(&house, "GET", TRAIN, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "none");
    expect_schema(reply.json);
    reply_done(&reply);
    reply = ask(&house, "POST", TRAIN, "{}");
    expect(&reply, 409, "conflict"); /* Nobody learns. */
    reply_done(&reply);
    put_learner(&house);

    reply = ask(&house, "POST", TRAIN, "{'dryRun':true}");
    expect(&reply, 200, NULL);
    expect_schema(reply.json);
    assert_string_equal(reply_text(&reply, "version"), "1.0.1");
    assert_string_equal(reply_text(&reply, "changes.0.value"), "low");
    reply_done(&reply);

    reply = ask(&house, "POST", TRAIN "?wait=processed", "{}");
    expect(&reply, 200, NULL);
    expect_schema(reply.json);
    assert_string_equal(reply_text(&reply, "version"), "1.0.1"); /* It has waited for that. */
    char task[128];
    (void)snprintf(task, sizeof(task), "/v1/tasks/%s", reply_text(&reply, "taskId"));
    reply_done(&reply);
    reply = outcome(&house);
    assert_string_equal(reply_text(&reply, "status"), "done");
    assert_string_equal(reply_text(&reply, "version"), "1.0.1");
    reply_done(&reply);
    reply = ask(&house, "GET", task, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "taskType"), "train_mapper");
    reply_done(&reply);
    reply = ask(&house, "GET", "/v1/mappers/planner/versions/1.0.1", NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "draft");
    assert_string_equal(reply_text(&reply, "parentVersion"), "1.0.0");
    reply_done(&reply);
}

TEST(what_cannot_be_trained_is_said)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    furnish(&house);
    put_learner(&house);
    struct reply reply = ask(&house, "POST", TRAIN, "{'version':'7.0.0'}");
    expect(&reply, 404, NULL);
    assert_string_equal(reply_text(&reply, "field"), "version");
    reply_done(&reply);
    reply = ask(&house, "POST", TRAIN, "{'since':'yesterday'}");
    expect(&reply, 400, NULL);
    assert_string_equal(reply_text(&reply, "field"), "since");
    reply_done(&reply);
    reply = ask(&house, "POST", "/v1/mappers/nobody/train", "{}");
    expect(&reply, 404, NULL);
    reply_done(&reply);
}
