/* test_matrix.c - Every route, every set of capabilities, every thing, every sort of key.
 *
 * The cells are made from the table of routes; what each should answer is
 * worked out here from a table of its own: who may do what, by the name of the
 * action, said once more in other words. A route with an action, a body or a
 * parameter that this file does not know fails the test: teach it.
 *
 * Answers of one route that are refused alike must be the same in every byte
 * (the request id is sent along), so that none of them tells what there is. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/actor.h"
#include "access/principal.h"
#include "base/alloc.h"
#include "doc/json.h"
#include "persona/consent.h"
#include "persona/feedback.h"
#include "persona/merge.h"
#include "persona/mind.h"
#include "persona/mindscape.h"
#include "persona/observation.h"
#include "persona/persona.h"
#include "persona/registry.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* ---- The oracle ---- */

enum { NOBODY = 0, ANY_ACTOR = -1 };
static const struct {
    const char *action;
    int who;        /* PK_CAN_...: one of them; ANY_ACTOR: who has a key. */
    bool is_public; /* Also who has none. */
    bool own;       /* And everybody on what is his own. */
} oracle_table[] = {
    { "public.look", NOBODY, true, false },
    { "actor.self", ANY_ACTOR, false, false },
    { "actor.read", PK_CAN_OPERATE, false, true },
    { "actor.change", PK_CAN_OPERATE, false, false },
    { "key.read", PK_CAN_OPERATE, false, true },
    { "key.add", PK_CAN_OPERATE, false, false },
    { "key.revoke", PK_CAN_OPERATE, false, true },
    { "audit.read", PK_CAN_OPERATE, false, false },
    { "metrics.read", PK_CAN_OPERATE, false, false },
    { "mapper.list", PK_CAN_REQUEST | PK_CAN_AUTHOR, false, false },
    { "mapper.read", PK_CAN_REQUEST | PK_CAN_AUTHOR, false, false },
    { "mapper.write", PK_CAN_AUTHOR, false, false },
    { "mapper.activate", PK_CAN_AUTHOR, false, false },
    { "mapper.try", PK_CAN_AUTHOR, false, false },
    { "mapper.diff", PK_CAN_AUTHOR, false, false },
    { "plugin.manage", PK_CAN_OPERATE, false, false },
    { "observation.write", PK_CAN_OBSERVE, false, false },
    { "observation.read", PK_CAN_CURATE, false, true },
    { "observation.decide", PK_CAN_APPROVE, false, false },
    { "person.list", PK_CAN_CURATE | PK_CAN_OPERATE, false, false },
    { "task.read", PK_CAN_OPERATE, false, true },
    { "outbox.manage", PK_CAN_OPERATE, false, false },
    { "consent.read", PK_CAN_CURATE | PK_CAN_APPROVE, false, false },
    { "consent.change", PK_CAN_APPROVE, false, false },
    { "mindscape.read", PK_CAN_CURATE, false, false },
    { "mindscape.change", PK_CAN_CURATE, false, false },
    { "trait.change", PK_CAN_CURATE, false, false },
    { "review.read", PK_CAN_APPROVE | PK_CAN_CURATE, false, false },
    { "review.decide", PK_CAN_APPROVE, false, false },
    { "person.replay", PK_CAN_OPERATE, false, false },
    { "person.erase", PK_CAN_OPERATE, false, false },
    { "person.merge", PK_CAN_OPERATE, false, false },
    { "person.export", PK_CAN_OPERATE, false, false },
    { "person.access_log", PK_CAN_CURATE | PK_CAN_OPERATE, false, false },
    { "observation.forget", PK_CAN_CURATE, false, false },
    { "trait.read", PK_CAN_CURATE, false, false },
    { "persona.map", PK_CAN_REQUEST, false, false },
    { "persona.read", PK_CAN_REQUEST, false, false },
    { "persona.list", PK_CAN_REQUEST, false, false },
    { "feedback.write", PK_CAN_FEEDBACK, false, false },
    { "feedback.read", PK_CAN_AUTHOR, false, true },
    { "event.stream", PK_CAN_REQUEST | PK_CAN_CURATE | PK_CAN_OPERATE, false, false },
};

static const struct {
    const char *id; /* Of the row. */
    const char *body;
} body_table[] = {
    { "createActor", "{'actorType':'human','name':'x'}" },
    { "changeActor", "{'description':'x'}" },
    { "createKey", "{'name':'x'}" },
    { "sendObservations", "{'person_id':'b7a1c0de-0000-4000-8000-000000000001','type':'chat_log',"
                          "'content':{'a':1}}" },
    { "putConsent", "{'status':'granted'}" },
    { "rejectObservation", "{'reason':'x'}" },
    { "correctMindscape", "{'now':[{'key':'mood','value':'calm'}]}" },
    { "replayPerson", "{}" },
    { "replayAll", "{'processor':'p-own'}" },
    { "mapPersona", "{'mapperId':'own','personaId':'b7a1c0de-0000-4000-8000-000000000001',"
                    "'detailLevel':'instant'}" }, /* Of whom observations were sent before. */
    { "submitFeedback", "{'personaInstanceId':'own:b7a1c0de-0000-4000-8000-000000000001:instant',"
                        "'feedback':{'ratings':{'overall':4},'impact':{'taskSuccessImpact':"
                        "'positive','wouldUseAgain':true,'recommendationScore':9}}}" },
    { "dryRunMapper", "{'personId':'b7a1c0de-0000-4000-8000-000000000001',"
                      "'detailLevel':'instant'}" },
    { "trainMapper", "{}" },
    { "diffMapper", "{'against':'0.1.0','sample':2,'detailLevel':'instant'}" },
    { "startCanary", "{'share':0.25}" },
    { "rollbackMapper", "{'reason':'x'}" },
    { "rollbackProcessor", "{'reason':'x'}" },
    { "rollbackCondition", "{'reason':'x'}" },
};

/* What a path's {actor} is, or its {mapper}: one that the key may use, one that it may not. Of a
 * processor or condition nobody has an own, nor of a person; of an observation who sent it has. */
enum thing { OWN, OTHER, MISSING, THINGS };
static const char *const thing_name[] = { "own", "other", "missing" };

static size_t oracle_of(const struct pk_api_row *row)
{
    const char *name = pk_action_get(row->action)->name;
    for (size_t i = 0; i < PK_COUNT(oracle_table); i++) {
        if (strcmp(oracle_table[i].action, name) == 0) {
            return i;
        }
    }
    fail_msg("teach the oracle who may do '%s'", name);
    return 0;
}

static bool has(const struct pk_api_row *row, const char *name)
{
    return strstr(row->path, name) != NULL;
}

static bool is_script(const struct pk_api_row *row)
{
    return has(row, "{mapper}") || has(row, "{processor}") || has(row, "{condition}");
}

static bool is_person(const struct pk_api_row *row)
{
    return has(row, "{person}") || has(row, "{persona}");
}

static bool has_thing(const struct pk_api_row *row)
{
    return has(row, "{actor}") || has(row, "{task}") || has(row, "{observation}") ||
           has(row, "{feedback}") || is_person(row) || is_script(row);
}

/* A mapper, processor or condition: what is out of sight is not there, and a new one may be put. */
static int expected_script(const struct pk_api_row *row, bool may, enum thing thing)
{
    const int ok = row->status ? row->status : 200;
    if (!may) { /* Where own things need no capability, this is none of them. */
        return oracle_table[oracle_of(row)].own ? 404 : 403;
    }
    if (has(row, "{mapper}")) {
        return thing == OWN ? ok : 404;
    }
    return thing == MISSING && row->method != PK_METHOD_PUT ? 404 : ok;
}

static int expected(const struct pk_api_row *row, unsigned capabilities, enum thing thing)
{
    const size_t i = oracle_of(row);
    const bool may = oracle_table[i].is_public || oracle_table[i].who == ANY_ACTOR ||
                     (capabilities & (unsigned)oracle_table[i].who) != 0;
    const int ok = row->status ? row->status : 200;
    if (is_script(row)) {
        return expected_script(row, may, thing);
    }
    if (!may && !(oracle_table[i].own && has_thing(row))) {
        return 403;
    }
    if (is_person(row)) {
        return may && thing != MISSING ? ok : 404;
    }
    if (!has_thing(row)) {
        return ok;
    }
    return thing == OWN || (thing == OTHER && may) ? ok : 404;
}

/* ---- The cast ---- */

struct member {
    char id[PK_UUID_TEXT];
    char key[PK_KEY_TEXT];
    char key_id[PK_KEY_ID + 1];
    const char *script;             /* What a script's id is, where it is the target. */
    char observation[PK_UUID_TEXT]; /* That it has sent ... */
    char person[PK_UUID_TEXT];      /* ... of this person. */
    char twin[PK_UUID_TEXT];        /* Another person, who is the same one. */
    char merge[PK_UUID_TEXT];       /* Of the two. */
    char task[PK_UUID_TEXT];        /* That it has asked for. */
    char review[PK_UUID_TEXT];      /* Of what is proposed of the person. */
    char feedback[PK_UUID_TEXT];    /* That it has sent. */
};

static struct member hire(struct house *house, unsigned capabilities)
{
    struct member member;
    char text[512];
    size_t size =
        (size_t)snprintf(text, sizeof(text),
                         "{'canRequestPersonas':%s,'canProvideFeedback':%s,'people':['*'],"
                         "'allowedMappers':['own'],'grants':[",
                         capabilities & PK_CAN_REQUEST ? "true" : "false",
                         capabilities & PK_CAN_FEEDBACK ? "true" : "false");
    const char *comma = "";
    for (unsigned bit = PK_CAN_OBSERVE; bit & PK_CAN_ALL; bit <<= 1) {
        if (capabilities & bit) {
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%s'%s'", comma,
                                     pk_capability_name((enum pk_capability)bit));
            comma = ",";
        }
    }
    (void)snprintf(text + size, sizeof(text) - size, "]}");
    pk_uuid_new(member.review);
    pk_uuid_new(member.feedback);
    struct pk_doc *actor = house_actor(house, "member", text, member.key);
    (void)snprintf(member.id, sizeof(member.id), "%s", pk_doc_id(actor));
    (void)snprintf(member.key_id, sizeof(member.key_id), "%.*s", PK_KEY_ID, member.key + 3);
    pk_doc_unref(actor);
    return member;
}

/* ---- Scripts ---- */

/* Of every kind and name two drafts, and from then on versions that are active. */
static const char *const script_rest[] = {
    [PK_SCRIPT_MAPPER] = "core = function() return {} end",
    [PK_SCRIPT_PROCESSOR] = "accepts = { 'x' }, process = function() end",
    [PK_SCRIPT_CONDITION] = "test = function() return true end",
};

static int script_text(char *out, size_t size, enum pk_script_kind kind, const char *id,
                       const char *version)
{
    return snprintf(out, size, "return require('personakit').%s { id = '%s', version = '%s', %s }",
                    pk_script_kind_name(kind), id, version, script_rest[kind]);
}

static char serving_hash[PK_HASH_TEXT];

static void put_script(struct house *house, enum pk_script_kind kind, const char *id,
                       const char *version, bool is_active)
{
    char text[512];
    struct pk_bundle *bundle = NULL;
    struct pk_report report = { 0 };
    const int size = script_text(text, sizeof(text), kind, id, version);
    assert_ok(pk_bundle_of_text("x.lua", text, (size_t)size, &bundle, &house->err), &house->err);
    assert_ok(pk_registry_draft(house->registry, &house->by, bundle, kind, id, PK_DRAFT_STRICT,
                                NULL, &report, &house->err),
              &house->err);
    assert_ok(!is_active || pk_registry_activate(house->registry, &house->by, kind, id, version,
                                                 NULL, NULL, &report, &house->err),
              &house->err);
    (void)snprintf(serving_hash, sizeof(serving_hash), "%s", bundle->hash_text);
    pk_report_done(&report);
    pk_bundle_unref(bundle);
}

static enum pk_script_kind kind_of(const struct pk_api_row *row)
{
    return has(row, "{mapper}")      ? PK_SCRIPT_MAPPER
           : has(row, "{processor}") ? PK_SCRIPT_PROCESSOR
                                     : PK_SCRIPT_CONDITION;
}

/* Names of processors and conditions differ: they share their ids. */
static const char *script_name(enum pk_script_kind kind, enum thing thing)
{
    static const char *const name[][THINGS] = {
        [PK_SCRIPT_MAPPER] = { "own", "other", "missing" },
        [PK_SCRIPT_PROCESSOR] = { "p-own", "p-other", "p-missing" },
        [PK_SCRIPT_CONDITION] = { "c-own", "c-other", "c-missing" },
    };
    return name[kind][thing];
}

/* Somebody who learns from feedback, for mappers to be trained. */
static void put_learner(struct house *house)
{
    static const char text[] =
        "return require('personakit').processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
        " id = 'learner', version = "
        "'1.0.0', accepts = { 'feedback' }, process = function() end }";
    struct pk_bundle *bundle = NULL;
    struct pk_report report = { 0 };
    assert_ok(pk_bundle_of_text("x.lua", text, sizeof(text) - 1, &bundle, &house->err),
              &house->err);
    assert_ok(pk_registry_draft(house->registry, &house->by, bundle, PK_SCRIPT_PROCESSOR, "learner",
                                PK_DRAFT_STRICT, NULL, &report, &house->err) &&
                  pk_registry_activate(house->registry, &house->by, PK_SCRIPT_PROCESSOR, "learner",
                                       "1.0.0", NULL, NULL, &report, &house->err),
              &house->err);
    pk_report_done(&report);
    pk_bundle_unref(bundle);
}

static void put_scripts(struct house *house)
{
    put_learner(house);
    for (int kind = PK_SCRIPT_MAPPER; kind <= PK_SCRIPT_CONDITION; kind++) {
        for (enum thing thing = OWN; thing < MISSING; thing++) {
            const char *name = script_name((enum pk_script_kind)kind, thing);
            put_script(house, (enum pk_script_kind)kind, name, "0.1.0", false);
            put_script(house, (enum pk_script_kind)kind, name, "0.2.0", true);
        }
    }
}

/* One that waits, sent by the target itself. */
static void send_observation(struct house *house, struct member *target)
{
    struct pk_accepted accepted = { .is_ok = false };
    struct pk_by by = { .actor_id = target->id };
    char text[256];
    bson_t sent;
    pk_uuid_new(target->person);
    const int size = snprintf(text, sizeof(text),
                              "{\"person_id\":\"%s\",\"type\":\"chat_log\",\"content\":{\"a\":1}}",
                              target->person);
    assert_ok(pk_json_read(&sent, text, (size_t)size, NULL, &house->err), &house->err);
    const struct pk_sent one = { bson_get_data(&sent), sent.len };
    assert_ok(pk_observation_accept(&house->domain, &by, NULL, &one, 1, &accepted, &house->err) &&
                  accepted.is_ok,
              &accepted.err);
    (void)snprintf(target->observation, sizeof(target->observation), "%s", pk_doc_id(accepted.doc));
    pk_accepted_done(&accepted);
    bson_destroy(&sent);
}

/* One that is not due yet, asked for by the target itself. */
static void plant_task(struct house *house, struct member *target)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    pk_task_add(
        &list, &house->books,
        &(struct pk_task_new){ .type = "nothing",
                               .actor = target->id,
                               .run_after_ms = pk_clock_wall_ms(pk_clock_system()) + 3600 * 1000 },
        target->task);
    assert_ok(pk_store_commit(house->store, &list, 0, NULL, &house->err), &house->err);
}

static bool decide_trait(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct house *house = ((void **)context)[0];
    const struct member *target = ((void **)context)[1];
    static const char text[] =
        "{\"0\":{\"op\":\"set\",\"path\":\"work.focus\",\"value\":\"deep\"}}";
    const struct pk_ran ran = { .processor_id = "p", .processor_version = "1.0.0" };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stored = NULL;
    bson_t view, operations;

    assert_ok(pk_mindscape_read(&house->domain, target->person, 0, &stored, err) && stored, err);
    pk_doc_view(stored, &view);
    struct pk_mind *mind = pk_mind_open(&view, house->domain.policies);
    (void)pk_mind_begin(mind, &(struct pk_evidence){ .obs_id = target->observation,
                                                     .source_type = "chat_log",
                                                     .effective_at_ms = 1 });
    assert_ok(pk_json_read(&operations, text, sizeof(text) - 1, NULL, err), err);
    assert_ok(pk_mind_apply(mind, &ran, &operations, err), err);
    pk_mind_end(mind);
    const bool is_ok = pk_mindscape_apply(&house->domain, mind, stored, 0, list, err);
    bson_destroy(&operations);
    pk_mind_free(mind);
    return is_ok;
}

/* A trait of the target's person; the person's own observation may be under way meanwhile. */
static void plant_trait(struct house *house, struct member *target)
{
    void *context[] = { house, target };
    assert_ok(pk_store_decide(house->store, decide_trait, context, 0, NULL, &house->err),
              &house->err);
}

/* What the mapper 'own' makes of the target's person. */
static void plant_persona(struct house *house, const struct member *target)
{
    const struct pk_map_request request = { .mapper = "own", .person = target->person };
    struct pk_mapped mapped;
    assert_ok(pk_persona_map(house->domain.personas, &request, &mapped, &house->err), &house->err);
    pk_mapped_done(&mapped);
}

/* On a persona of the target's person, sent by the target itself. */
static void plant_feedback(struct house *house, struct member *target)
{
    static const char text[] = "{\"ratings\":{\"overall\":4}}";
    const struct pk_by by = { .actor_id = target->id };
    struct pk_feedback_taken taken;
    struct pk_doc *made = NULL;
    char id[128];
    bson_t said;
    send_observation(house, target);
    plant_persona(house, target);
    (void)snprintf(id, sizeof(id), "own:%s:instant", target->person);
    assert_ok(pk_feedback_find(&house->domain, id, 0, &made, &house->err), &house->err);
    assert_ok(pk_json_read(&said, text, sizeof(text) - 1, NULL, &house->err), &house->err);
    assert_ok(pk_feedback_submit(&house->domain, &by, made, &said, &taken, &house->err),
              &house->err);
    (void)snprintf(target->feedback, sizeof(target->feedback), "%s", pk_doc_id(taken.doc));
    bson_destroy(&said);
    pk_doc_unref(taken.doc);
    pk_doc_unref(made);
}

/* One that can be decided as the row does. */
static void plant_review(struct house *house, const struct pk_api_row *row, struct member *target)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    const int64_t now_ms = pk_clock_wall_ms(pk_clock_system());
    bson_t *review = bson_new();
    bson_t child;
    pk_uuid_new(target->review);
    BSON_APPEND_UTF8(review, "_id", target->review);
    BSON_APPEND_UTF8(review, "userId", target->person);
    BSON_APPEND_UTF8(review, "traitPath", "work.focus");
    BSON_APPEND_DOCUMENT_BEGIN(review, "proposed", &child);
    BSON_APPEND_UTF8(&child, "value", "shallow");
    bson_append_document_end(review, &child);
    BSON_APPEND_ARRAY_BEGIN(review, "derivedFrom", &child);
    BSON_APPEND_UTF8(&child, "0", target->observation);
    bson_append_array_end(review, &child);
    BSON_APPEND_UTF8(review, "status", has(row, "/undo") ? "declined" : "pending");
    BSON_APPEND_DATE_TIME(review, "createdAt", now_ms);
    BSON_APPEND_DATE_TIME(review, "updatedAt", now_ms);
    struct pk_doc *doc = pk_doc_take(review);
    pk_writes_insert(&list, "reviews", doc);
    pk_doc_unref(doc);
    assert_ok(pk_store_commit(house->store, &list, 0, NULL, &house->err), &house->err);
}

static bool is_done(struct house *house, const char *task)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = NULL;
    assert_ok(pk_store_get(house->store, "outbox", task, 0, &doc, &house->err), &house->err);
    const char *status = doc ? pk_doc_text(doc, "status") : NULL;
    return status && strcmp(status, "done") == 0;
}

/* Two people, merged when the row undoes it. */
static void plant_twin(struct house *house, const struct pk_api_row *row, struct member *target)
{
    char person[PK_UUID_TEXT], observation[PK_UUID_TEXT];
    struct pk_merged merged;
    memcpy(person, target->person, sizeof(person));
    memcpy(observation, target->observation, sizeof(observation));
    send_observation(house, target);
    memcpy(target->twin, target->person, sizeof(person));
    if (!has(row, "{merge}")) {
        send_observation(house, target);
        return;
    }
    memcpy(target->person, person, sizeof(person));
    memcpy(target->observation, observation, sizeof(observation));
    const struct pk_merge_ask ask = { .from = target->twin, .into = person };
    assert_ok(pk_merge_people(&house->domain, &house->by, &ask, &merged, &house->err), &house->err);
    memcpy(target->merge, merged.id, sizeof(merged.id));
    while (!is_done(house, merged.task)) {
        (void)poll(NULL, 0, 1);
    }
}

/* A replay of all people that can be started, paused or resumed as the row does. */
static void plant_replay(struct house *house, const struct pk_api_row *row)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    const int64_t now_ms = pk_clock_wall_ms(pk_clock_system());
    const char *status = has(row, "/pause") ? "running" : has(row, "/resume") ? "paused" : "done";
    bson_t *setting = bson_new();
    bson_t value;
    BSON_APPEND_UTF8(setting, "_id", "replay_all");
    BSON_APPEND_DOCUMENT_BEGIN(setting, "value", &value);
    BSON_APPEND_UTF8(&value, "run", "00000000-0000-4000-8000-000000000000");
    BSON_APPEND_UTF8(&value, "status", status);
    BSON_APPEND_UTF8(&value, "processor", "p-own");
    BSON_APPEND_UTF8(&value, "version", "0.2.0");
    BSON_APPEND_UTF8(&value, "after", "");
    bson_append_document_end(setting, &value);
    BSON_APPEND_DATE_TIME(setting, "updatedAt", now_ms);
    BSON_APPEND_UTF8(setting, "updatedBy", "tester");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(setting);
    assert_ok(pk_store_get(house->store, "settings", "replay_all", 0, &before, &house->err),
              &house->err);
    if (before) {
        pk_writes_replace(&list, "settings", doc, pk_doc_version(before));
    } else {
        pk_writes_insert(&list, "settings", doc);
    }
    if (!pk_store_commit(house->store, &list, 0, NULL, &house->err)) {
        assert_int_equal(house->err.code, PK_CONFLICT); /* One that was started goes on. */
        plant_replay(house, row);
    }
}

/* A draft beside the active version; what ends must have begun. */
static void plant_canary(struct house *house, const struct pk_api_row *row,
                         const struct member *target)
{
    struct pk_report report = { 0 };
    put_script(house, PK_SCRIPT_MAPPER, target->script, "0.4.0", false);
    assert_ok(row->method != PK_METHOD_DELETE ||
                  pk_registry_canary(house->registry, &house->by, target->script, "0.4.0", 0.5,
                                     NULL, NULL, &report, &house->err),
              &house->err);
    pk_report_done(&report);
}

/* Nothing is under way: whoever was trained last, it is over. */
static void forget_training(struct house *house)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *row = NULL;
    for (bool is_done = false; !is_done;) { /* Its own task may be writing the row. */
        pk_doc_unref(row);
        row = NULL;
        pk_writes_clear(&list);
        assert_ok(pk_store_get(house->store, "settings", "train.own", 0, &row, &house->err),
                  &house->err);
        if (row) {
            pk_writes_delete(&list, "settings", "train.own", pk_doc_version(row));
        }
        is_done = pk_store_commit(house->store, &list, 0, NULL, &house->err);
        assert_true(is_done || house->err.code == PK_CONFLICT);
        house->err = (struct pk_error){ .code = PK_OK };
    }
}

/* A rollback uses a version up, and a decision an observation. */
static void prepare(struct house *house, const struct pk_api_row *row, struct member *target)
{
    if (has(row, "{observation}") || is_person(row)) {
        if (strstr(target->script, "missing")) {
            pk_uuid_new(target->observation);
            pk_uuid_new(target->person);
            pk_uuid_new(target->review);
        } else {
            send_observation(house, target);
        }
    }
    if ((has(row, "/people/merge") || has(row, "{merge}")) && !strstr(target->script, "missing")) {
        plant_twin(house, row, target);
    }
    if (has(row, "{trait}") && !strstr(target->script, "missing")) {
        plant_trait(house, target);
    }
    if (has(row, "{persona}") && !strstr(target->script, "missing")) {
        plant_persona(house, target);
    }
    if (has(row, "/admin/replays")) {
        plant_replay(house, row);
    }
    if (has(row, "/train")) {
        forget_training(house);
    }
    if (has(row, "{feedback}") && !strstr(target->script, "missing")) {
        plant_feedback(house, target);
    }
    if (has(row, "{review}") && !strstr(target->script, "missing")) {
        plant_review(house, row, target);
    }
    if (has(row, "{purpose}") && !strstr(target->script, "missing")) {
        assert_ok(pk_consent_record(&house->domain, &house->by, target->person, "research", 0, NULL,
                                    NULL, &house->err),
                  &house->err);
    }
    if (has(row, "{task}") && !strstr(target->script, "missing")) {
        plant_task(house, target);
    }
    static int turn = 1;
    char version[32];
    const bool is_there = strstr(target->script, "missing") == NULL;
    if (has(row, "/canary") && is_there) {
        plant_canary(house, row, target);
    }
    if (has(row, "/rollback") && is_there) {
        put_script(house, kind_of(row), target->script, "0.2.0", true);
        (void)snprintf(version, sizeof(version), "1.0.%d", turn++);
        put_script(house, kind_of(row), target->script, version, true);
    }
}

/* ---- Asking ---- */

/* The row's path with what 'thing' stands for. */
static void fill_path(char *out, size_t size, const struct pk_api_row *row,
                      const struct member *member)
{
    size_t used = 0;
    for (const char *at = row->path; *at;) {
        const char *value = NULL;
        char persona[128];
        if (strncmp(at, "{actor}", 7) == 0) {
            value = member->id;
        } else if (strncmp(at, "{key}", 5) == 0) {
            value = member->key_id;
        } else if (strncmp(at, "{observation}", 13) == 0) {
            value = member->observation;
        } else if (strncmp(at, "{task}", 6) == 0) {
            value = member->task;
        } else if (strncmp(at, "{person}", 8) == 0) {
            value = member->person;
        } else if (strncmp(at, "{persona}", 9) == 0) {
            (void)snprintf(persona, sizeof(persona), "own:%s:instant", member->person);
            value = persona;
        } else if (strncmp(at, "{merge}", 7) == 0) {
            value = member->merge[0] ? member->merge : "00000000-0000-4000-8000-000000000000";
        } else if (strncmp(at, "{trait}", 7) == 0) {
            value = "work.focus";
        } else if (strncmp(at, "{feedback}", 10) == 0) {
            value = member->feedback;
        } else if (strncmp(at, "{review}", 8) == 0) {
            value = member->review;
        } else if (strncmp(at, "{purpose}", 9) == 0) {
            value = "research";
        } else if (strncmp(at, "{hash}", 6) == 0) {
            value = serving_hash;
        } else if (strncmp(at, "{version}", 9) == 0) {
            value = has(row, "/deprecate") ? "0.1.0" : has(row, "/canary") ? "0.4.0" : "0.2.0";
        } else if (is_script(row) && *at == '{') {
            value = member->script;
        } else if (*at == '{') {
            fail_msg("teach the matrix what stands for %s in %s", at, row->path);
        }
        if (value) {
            used += (size_t)snprintf(out + used, size - used, "%s", value);
            at = strchr(at, '}') + 1;
        } else {
            out[used++] = *at++;
        }
        assert_true(used < size);
    }
    out[used] = '\0';
}

static const char *body_of(const struct pk_api_row *row, const struct member *target)
{
    static char text[1024];
    if (row->method == PK_METHOD_PUT && is_script(row)) {
        char source[512];
        (void)script_text(source, sizeof(source), kind_of(row), target->script, "0.3.0");
        for (char *c = source; *c; c++) { /* house_ask takes ' for ". */
            *c = *c == '\'' ? '~' : *c;
        }
        size_t used = (size_t)snprintf(text, sizeof(text), "{'source':'");
        for (const char *c = source; *c; c++) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s",
                                     *c == '~' ? "\\u0022" : (char[]){ *c, '\0' });
        }
        (void)snprintf(text + used, sizeof(text) - used, "'}");
        return text;
    }
    if (strcmp(row->id, "mergePeople") == 0) {
        (void)snprintf(text, sizeof(text), "{'from':'%s','into':'%s'}", target->twin,
                       target->person);
        return text;
    }
    for (size_t i = 0; i < PK_COUNT(body_table); i++) {
        if (strcmp(body_table[i].id, row->id) == 0) {
            return body_table[i].body;
        }
    }
    if (row->body) {
        fail_msg("teach the matrix a body for '%s'", row->id);
    }
    return NULL;
}

static const char same_id[] = "X-Request-Id: same\r\n";

static int ask_stream(struct house *house, const char *path, const char *key)
{
    char bytes[1024];
    (void)snprintf(bytes, sizeof(bytes), "GET %s HTTP/1.1\r\nHost: here\r\n%s%s%s\r\n\r\n", path,
                   key ? "Authorization: Bearer " : "X-None: ", key ? key : "", "");
    const int fd = house_dial(house);
    house_send(fd, bytes);
    return house_hear_status(fd);
}

/* What refused answers of the row look like, by status. */
struct refusals {
    char *body[600];
};

static void refusals_done(struct refusals *refusals)
{
    for (size_t i = 0; i < PK_COUNT(refusals->body); i++) {
        pk_free(refusals->body[i]);
    }
}

static void cell(struct house *house, const struct pk_api_row *row, const struct member *target,
                 const char *key, int status, const char *words, struct refusals *refusals)
{
    char path[512];
    fill_path(path, sizeof(path), row, target);
    if (row->flags & PK_ROW_EVENTS) {
        const int got = ask_stream(house, path, key);
        if (got != status) {
            fail_msg("%s with %s: %d instead of %d", path, words, got, status);
        }
        return;
    }
    struct reply reply = house_ask_with(house, pk_method_name(row->method), path, key, same_id,
                                        body_of(row, target));
    if (reply.status != status) {
        fail_msg("%s %s with %s: %d instead of %d: %s", pk_method_name(row->method), row->path,
                 words, reply.status, status, reply.body);
    }
    if (status == 401 || status == 403 || status == 404) {
        char **first = &refusals->body[status];
        *first = *first ? *first : pk_strdup(reply.body);
        if (strcmp(*first, reply.body) != 0) {
            fail_msg("%s with %s tells more than others:\n%s%s", row->path, words, *first,
                     reply.body);
        }
    }
    reply_done(&reply);
    if (row->method == PK_METHOD_GET) {
        reply = house_ask_with(house, "HEAD", path, key, NULL, NULL);
        assert_int_equal(reply.status, status);
        assert_int_equal(reply.body_size, 0);
        reply_done(&reply);
    }
}

/* ---- The matrix ---- */

static const unsigned capability_set[] = {
    0,
    PK_CAN_REQUEST,
    PK_CAN_FEEDBACK,
    PK_CAN_OBSERVE,
    PK_CAN_APPROVE,
    PK_CAN_CURATE,
    PK_CAN_AUTHOR,
    PK_CAN_OPERATE,
    PK_CAN_ALL,
    PK_CAN_ALL & ~PK_CAN_OPERATE,
};

static struct member nobody(void)
{
    struct member member = { .key = "", .script = "missing" };
    pk_uuid_new(member.id);
    pk_uuid_new(member.task);
    pk_uuid_new(member.review);
    pk_uuid_new(member.feedback);
    (void)snprintf(member.key_id, sizeof(member.key_id), "aaaaaaaaaaaaaaaa");
    return member;
}

static size_t row_cells(struct house *house, const struct pk_api_row *row)
{
    PK_CLEANUP(refusals_done) struct refusals refusals = { { NULL } };
    const enum thing things = has_thing(row) ? THINGS : OTHER; /* Without one, once is enough. */
    size_t cells = 0;
    for (size_t i = 0; i < PK_COUNT(capability_set); i++) {
        for (enum thing thing = OWN; thing < things; thing++) {
            char words[128];
            struct member asker = hire(house, capability_set[i]); /* Writes change them: */
            struct member target = thing == OWN     ? asker
                                   : thing == OTHER ? hire(house, 0)
                                                    : nobody();
            target.script = script_name(kind_of(row), thing);
            if (thing == MISSING && is_script(row) &&
                row->method == PK_METHOD_PUT) { /* For others it stays so. */
                target.script = has(row, "{processor}") ? "p-new" : "new";
            }
            prepare(house, row, &target);
            (void)snprintf(words, sizeof(words), "capabilities %#x on %s", capability_set[i],
                           thing_name[thing]);
            cell(house, row, &target, asker.key, expected(row, capability_set[i], thing), words,
                 &refusals);
            cells++;
        }
    }
    return cells;
}

static const char *const all_sources[] = { "*", NULL };

TEST(the_matrix_of_routes_capabilities_and_things)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    size_t cells = 0;
    house_open(&house, &(struct house_options){ .approve = all_sources });
    put_scripts(&house);
    for (size_t i = 0; i < pk_api_row_count(); i++) {
        cells += row_cells(&house, pk_api_row_at(i));
    }
    print_message("# %zu routes, %zu cells\n", pk_api_row_count(), cells);
}

/* ---- Keys that are none ---- */

enum { MISSING_KEY, MALFORMED, UNKNOWN, EXPIRED, REVOKED, SUSPENDED, ARCHIVED, BAD_KEYS };
static const char *const bad_name[] = { "no key",           "a malformed key", "an unknown key",
                                        "an expired key",   "a revoked key",   "a suspended actor",
                                        "an archived actor" };

static void make_bad(struct house *house, char key[BAD_KEYS][PK_KEY_TEXT])
{
    const struct member member = hire(house, PK_CAN_ALL);
    const struct member suspended = hire(house, PK_CAN_ALL);
    const struct member archived = hire(house, PK_CAN_ALL);
    struct pk_key unknown;

    (void)snprintf(key[MALFORMED], PK_KEY_TEXT, "pk_nonsense");
    pk_key_new(&unknown);
    pk_key_print(&unknown, key[UNKNOWN]);
    house_expired_key(house, member.id, key[EXPIRED]);
    const struct pk_key revoked = house_key(house, member.id, 0, key[REVOKED]);
    (void)snprintf(key[SUSPENDED], PK_KEY_TEXT, "%s", suspended.key);
    (void)snprintf(key[ARCHIVED], PK_KEY_TEXT, "%s", archived.key);
    assert_ok(
        pk_actor_revoke_key(&house->books, &house->by, member.id, 0, revoked.id, NULL, &house->err),
        &house->err);
    assert_ok(pk_actor_move(&house->books, &house->by, suspended.id, 0, PK_ACTOR_SUSPEND, NULL,
                            &house->err),
              &house->err);
    assert_ok(pk_actor_move(&house->books, &house->by, archived.id, 0, PK_ACTOR_ARCHIVE, NULL,
                            &house->err),
              &house->err);
    house_settle(house);
}

TEST(the_matrix_of_routes_things_and_keys_that_are_none)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[BAD_KEYS][PK_KEY_TEXT] = { "" };
    size_t cells = 0;
    house_open(&house, NULL);
    make_bad(&house, key);
    put_scripts(&house);
    struct member there = hire(&house, 0);
    there.script = "own";
    send_observation(&house, &there);
    plant_task(&house, &there);
    struct member missing = nobody();
    pk_uuid_new(missing.observation);
    pk_uuid_new(missing.person);
    const size_t before = house_count(&house, "audit");
    for (size_t i = 0; i < pk_api_row_count(); i++) {
        const struct pk_api_row *row = pk_api_row_at(i);
        PK_CLEANUP(refusals_done) struct refusals refusals = { { NULL } };
        const int status = oracle_table[oracle_of(row)].is_public ? 200 : 401;
        for (int bad = 0; bad < BAD_KEYS; bad++) {
            const char *sent = bad == MISSING_KEY ? NULL : key[bad];
            cell(&house, row, &there, sent, status, bad_name[bad], &refusals);
            cell(&house, row, &missing, sent, status, bad_name[bad], &refusals);
            cells += 2;
        }
    }
    assert_int_equal(house_count(&house, "audit"), before); /* Nothing was done. */
    print_message("# %zu cells\n", cells);
}

TEST(the_oracle_has_no_row_that_no_route_asks)
{
    for (size_t i = 0; i < PK_COUNT(oracle_table); i++) {
        bool is_asked = false;
        for (size_t k = 0; k < pk_api_row_count(); k++) {
            is_asked |= oracle_of(pk_api_row_at(k)) == i;
        }
        assert_true(is_asked);
        assert_int_equal(pk_action_get(pk_action_find(oracle_table[i].action))->is_public,
                         oracle_table[i].is_public);
    }
}
