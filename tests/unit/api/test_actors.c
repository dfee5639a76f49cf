/* test_actors.c - Actors, keys and the record of changes, as a client sees them. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/actor.h"
#include "access/admin.h"
#include "base/alloc.h"
#include "base/log.h"
#include "doc/doc.h"
#include "doc/schema_front.h"

#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 1, 2))) static const char *path_of(const char *format, ...)
{
    static char path[16][512];
    static unsigned turn;
    char *out = path[turn++ % 16];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, sizeof(path[0]), format, args);
    va_end(args);
    return out;
}

/* Asks as the admin, expects the status, and forgets the rest. */
static void ask(struct house *house, const char *method, const char *target, const char *body,
                int status)
{
    struct reply reply = house_ask(house, method, target, house->admin, body);
    expect(&reply, status, NULL);
    reply_done(&reply);
}

/* Creates an actor by HTTP; its id into 'out'. */
static void create(struct house *house, const char *body, char out[PK_UUID_TEXT])
{
    struct reply reply = house_ask(house, "POST", "/v1/actors", house->admin, body);
    expect(&reply, 201, NULL);
    (void)snprintf(out, PK_UUID_TEXT, "%s", reply_text(&reply, "actorId"));
    reply_done(&reply);
}

TEST(an_actor_is_created_read_changed_and_put_to_rest)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    char etag[64], match[128];
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "POST", "/v1/actors", house.admin,
                                   "{'actorType':'human','name':'Ada','email':'Ada@Example.org',"
                                   "'capabilities':{'grants':['curate'],'people':['*']}}");
    expect(&reply, 201, NULL);
    (void)snprintf(id, sizeof(id), "%s", reply_text(&reply, "actorId"));
    (void)snprintf(etag, sizeof(etag), "%s", reply_header(&reply, "ETag"));
    assert_string_equal(reply_header(&reply, "Location"), path_of("/v1/actors/%s", id));
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    assert_string_equal(reply_text(&reply, "email"), "ada@example.org");
    assert_string_equal(reply_text(&reply, "capabilities.maxDetailLevel"), "instant");
    assert_string_equal(reply_text(&reply, "capabilities.grants.0"), "curate");
    assert_string_equal(reply_text(&reply, "status"), "active");
    assert_null(strstr(reply.body, "_id"));
    reply_done(&reply);

    const char *self = path_of("/v1/actors/%s", id);
    reply = house_ask(&house, "GET", self, house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_header(&reply, "ETag"), etag);
    reply_done(&reply);
    (void)snprintf(match, sizeof(match), "If-None-Match: %s\r\n", etag);
    reply = house_ask_with(&house, "GET", self, house.admin, match, NULL);
    assert_int_equal(reply.status, 304);
    assert_int_equal(reply.body_size, 0);
    reply_done(&reply);

    (void)snprintf(match, sizeof(match), "If-Match: %s\r\n", etag);
    reply = house_ask_with(&house, "PATCH", self, house.admin, match,
                           "{'description':'first','email':null,"
                           "'capabilities':{'canProvideFeedback':true}}");
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "description"), "first");
    assert_string_equal(reply_text(&reply, "email"), "");
    assert_string_equal(reply_text(&reply, "capabilities.grants.0"), "curate");
    assert_true(strcmp(reply_header(&reply, "ETag"), etag) != 0);
    reply_done(&reply);
    reply = house_ask_with(&house, "PATCH", self, house.admin, match, "{'name':'Late'}");
    expect(&reply, 412, "precondition_failed");
    reply_done(&reply);

    reply =
        house_ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "suspend"), house.admin, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "status"), "suspended");
    reply_done(&reply);
    ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "suspend"), NULL, 200);
    ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "resume"), NULL, 200);
    ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "archive"), NULL, 200);
    ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "resume"), NULL, 409);
    ask(&house, "PATCH", self, "{'name':'x'}", 409);
}

TEST(a_key_is_shown_once_and_its_hash_and_pepper_never)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], key_id[64], key[PK_KEY_TEXT];
    house_open(&house, NULL);
    create(&house, "{'actorType':'ai_agent','name':'bot'}", id);
    const char *keys = path_of("/v1/actors/%s/keys", id);
    struct reply reply = house_ask(&house, "POST", keys, house.admin,
                                   "{'name':'laptop','expiresAt':'2999-01-01T00:00:00Z'}");
    expect(&reply, 201, NULL);
    (void)snprintf(key, sizeof(key), "%s", reply_text(&reply, "key"));
    (void)snprintf(key_id, sizeof(key_id), "%s", reply_text(&reply, "keyId"));
    assert_string_equal(reply_text(&reply, "expiresAt"), "2999-01-01T00:00:00.000Z");
    assert_string_equal(reply_header(&reply, "Location"),
                        path_of("/v1/actors/%s/keys/%s", id, key_id));
    assert_null(strstr(reply.body, "keyHash"));
    assert_null(strstr(reply.body, "pepper"));
    reply_done(&reply);
    house_settle(&house);

    reply = house_ask(&house, "GET", "/v1/actors/self", key, NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "actorId"), id);
    reply_done(&reply);
    const char *const page[] = { keys, path_of("/v1/actors/%s/keys/%s", id, key_id),
                                 path_of("/v1/actors/%s", id), "/v1/actors" };
    for (size_t i = 0; i < PK_COUNT(page); i++) {
        reply = house_ask(&house, "GET", page[i], house.admin, NULL);
        expect(&reply, 200, NULL);
        assert_non_null(strstr(reply.body, key_id));
        assert_null(strstr(reply.body, key + 3 + PK_KEY_ID));
        assert_null(strstr(reply.body, "keyHash"));
        assert_null(strstr(reply.body, "pepper"));
        reply_done(&reply);
    }
}

TEST(everybody_reads_himself_and_revokes_his_own_key)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char mine[PK_KEY_TEXT], second[PK_KEY_TEXT], theirs[PK_KEY_TEXT];
    house_open(&house, NULL);
    struct pk_doc *me = house_actor(&house, "me", "{}", mine);
    struct pk_key own = house_key(&house, pk_doc_id(me), 0, second);
    struct pk_doc *other = house_actor(&house, "other", "{}", theirs);
    struct reply reply =
        house_ask(&house, "GET", path_of("/v1/actors/%s", pk_doc_id(me)), mine, NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    reply = house_ask(&house, "GET", path_of("/v1/actors/%s/keys", pk_doc_id(me)), mine, NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    reply_done(&reply);
    reply = house_ask(&house, "GET", path_of("/v1/actors/%s", pk_doc_id(other)), mine, NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
    reply = house_ask(&house, "GET", "/v1/actors", mine, NULL);
    expect(&reply, 403, "forbidden");
    reply_done(&reply);

    const char *path = path_of("/v1/actors/%s/keys/%s", pk_doc_id(me), own.id);
    reply = house_ask(&house, "DELETE", path, mine, NULL);
    assert_int_equal(reply.status, 204);
    assert_int_equal(reply.body_size, 0);
    assert_non_null(reply_header(&reply, "PersonaKit-Cursor"));
    reply_done(&reply);
    house_settle(&house);
    reply = house_ask(&house, "GET", "/v1/actors/self", second, NULL);
    expect(&reply, 401, "unauthorized");
    reply_done(&reply);
    reply = house_ask(&house, "DELETE", path, mine, NULL); /* Revoked already: fine. */
    assert_int_equal(reply.status, 204);
    reply_done(&reply);
    pk_doc_unref(me);
    pk_doc_unref(other);
}

static uint64_t reads_of(const struct house *house)
{
    struct pk_store_stats stats;
    pk_store_stats(house->store, &stats);
    return stats.reads;
}

/* So that no time tells whether it is there. */
TEST(what_can_only_be_anothers_is_refused_without_a_look_at_the_store)
{
    static const char *const behind[] = { "", "/keys", "/keys/aaaaaaaaaaaaaaaa" };
    static const char ghost[] = "99999999-9999-4999-8999-999999999999";
    enum { ASKS = 10 };
    PK_CLEANUP(house_close) struct house house = { 0 };
    char mine[PK_KEY_TEXT], theirs[PK_KEY_TEXT];
    house_open(&house, NULL);
    struct pk_doc *me = house_actor(&house, "me", "{}", mine);
    struct pk_doc *other = house_actor(&house, "other", "{}", theirs);
    const char *id[] = { pk_doc_id(other), ghost };
    house_settle(&house);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", mine, NULL);
    expect(&reply, 200, NULL); /* From here on its key is in memory. */
    reply_done(&reply);
    for (size_t i = 0; i < PK_COUNT(behind) * PK_COUNT(id); i++) {
        const uint64_t before = reads_of(&house);
        for (int j = 0; j < ASKS; j++) {
            reply = house_ask(&house, "GET", path_of("/v1/actors/%s%s", id[i % 2], behind[i / 2]),
                              mine, NULL);
            expect(&reply, 404, "not_found");
            reply_done(&reply);
        }
        assert_true(reads_of(&house) - before < ASKS);
    }
    pk_doc_unref(me);
    pk_doc_unref(other);
}

TEST(the_last_operator_cannot_lock_himself_out_and_is_told_the_way_back)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char own[64];
    house_open(&house, NULL);
    (void)snprintf(own, sizeof(own), "%.16s", house.admin + 3);
    const struct {
        const char *method, *target, *body;
    } way[] = {
        { "POST", "/v1/actors/" PK_ADMIN_ID "/suspend", NULL },
        { "POST", "/v1/actors/" PK_ADMIN_ID "/archive", NULL },
        { "PATCH", "/v1/actors/" PK_ADMIN_ID, "{'capabilities':{'grants':[]}}" },
        { "DELETE", path_of("/v1/actors/%s/keys/%s", PK_ADMIN_ID, own), NULL },
    };
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct reply reply =
            house_ask(&house, way[i].method, way[i].target, house.admin, way[i].body);
        expect(&reply, 409, "conflict");
        assert_non_null(strstr(reply_text(&reply, "hint"), "key reset"));
        reply_done(&reply);
    }
}

TEST(lists_are_paged_and_nothing_is_skipped_or_repeated)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    char target[1024] = "/v1/actors?limit=3";
    char last[PK_UUID_TEXT] = "";
    size_t seen = 0;
    house_open(&house, NULL);
    for (int i = 0; i < 10; i++) {
        create(&house, "{'actorType':'system','name':'n'}", id);
    }
    for (;;) {
        struct reply reply = house_ask(&house, "GET", target, house.admin, NULL);
        expect(&reply, 200, NULL);
        const size_t count = reply_count(&reply, "items");
        for (size_t i = 0; i < count; i++) {
            char path[64];
            (void)snprintf(path, sizeof(path), "items.%zu.actorId", i);
            assert_true(strcmp(reply_text(&reply, path), last) > 0);
            (void)snprintf(last, sizeof(last), "%s", reply_text(&reply, path));
        }
        seen += count;
        (void)snprintf(target, sizeof(target), "/v1/actors?limit=3&cursor=%s",
                       reply_text(&reply, "next"));
        const bool is_last = *reply_text(&reply, "next") == '\0';
        assert_true(is_last || count == 3);
        reply_done(&reply);
        if (is_last) {
            break;
        }
    }
    assert_int_equal(seen, 11); /* With the admin. */
    ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "suspend"), NULL, 200);
    struct reply reply = house_ask(&house, "GET", "/v1/actors?status=suspended", house.admin, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    reply_done(&reply);
    ask(&house, "GET", "/v1/actors?cursor=rubbish", NULL, 400);
    ask(&house, "GET", "/v1/actors?status=gone", NULL, 400);
    ask(&house, "GET", "/v1/actors?limit=0", NULL, 400);
    ask(&house, "GET", "/v1/actors?limit=1001", NULL, 400);
}

TEST(keys_are_paged_by_the_last_ones_id)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char key[PK_KEY_TEXT];
    char target[512];
    size_t seen = 0;
    house_open(&house, NULL);
    struct pk_doc *actor = house_actor(&house, "a", "{}", key);
    for (int i = 0; i < 4; i++) {
        (void)house_key(&house, pk_doc_id(actor), 0, key);
    }
    (void)snprintf(target, sizeof(target), "/v1/actors/%s/keys?limit=2", pk_doc_id(actor));
    for (int pages = 0; *target; pages++) {
        assert_true(pages < 4);
        struct reply reply = house_ask(&house, "GET", target, house.admin, NULL);
        expect(&reply, 200, NULL);
        seen += reply_count(&reply, "items");
        const char *next = reply_text(&reply, "next");
        (void)snprintf(target, sizeof(target), "/v1/actors/%s/keys?limit=2&cursor=%s",
                       pk_doc_id(actor), next);
        target[0] = *next ? '/' : '\0';
        reply_done(&reply);
    }
    assert_int_equal(seen, 5);
    ask(&house, "GET", path_of("/v1/actors/%s/keys?cursor=%s", pk_doc_id(actor), "x"), NULL, 400);
    pk_doc_unref(actor);
}

TEST(faults_of_a_body_are_all_listed)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "POST", "/v1/actors", house.admin,
                                   "{'actorType':'robot','nam':'x','email':'nobody','capabilities':"
                                   "{'canRequestPersonas':1}}");
    expect(&reply, 400, "invalid");
    assert_int_equal(reply_count(&reply, "errors"), 5);
    assert_string_equal(reply_text(&reply, "field"), reply_text(&reply, "errors.0.field"));
    assert_non_null(strstr(reply.body, "\"capabilities.canRequestPersonas\""));
    assert_non_null(strstr(reply.body, "\"expected\""));
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/actors", house.admin,
                      "{'actorType':'human','name':'x','capabilities':{'grants':['fly']}}");
    expect(&reply, 400, "invalid");
    assert_string_equal(reply_text(&reply, "field"), "capabilities.grants[0]");
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/actors", house.admin,
                      "{'actorType':'human','name':'x','authenticationMethod':'oauth'}");
    expect(&reply, 400, "invalid");
    reply_done(&reply);
    ask(&house, "POST", "/v1/actors", "{'actorType':'human','name':'','status':'active'}", 400);
    ask(&house, "PATCH", "/v1/actors/" PK_ADMIN_ID, "{'status':'suspended'}", 400);
    ask(&house, "PATCH", "/v1/actors/" PK_ADMIN_ID, "{'apiKeys':[]}", 400);
    ask(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/keys",
        "{'name':'old','expiresAt':'2001-01-01T00:00:00Z'}", 400);
    assert_int_equal(house_count(&house, "actors"), 1);
}

TEST(an_email_is_taken_once_and_nobody_learns_by_whom)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    house_open(&house, NULL);
    create(&house, "{'actorType':'human','name':'a','email':'a@b.org'}", id);
    struct reply reply = house_ask(&house, "POST", "/v1/actors", house.admin,
                                   "{'actorType':'human','name':'b','email':'A@B.org'}");
    expect(&reply, 409, "conflict");
    assert_string_equal(reply_text(&reply, "field"), "email");
    assert_null(strstr(reply.body, id));
    reply_done(&reply);
}

TEST(the_record_of_changes_is_read_by_each_filter_newest_first)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT], other[PK_UUID_TEXT];
    house_open(&house, NULL);
    create(&house, "{'actorType':'human','name':'a'}", id);
    create(&house, "{'actorType':'human','name':'b'}", other);
    ask(&house, "POST", path_of("/v1/actors/%s/%s", id, "suspend"), NULL, 200);
    ask(&house, "POST", path_of("/v1/actors/%s/%s", other, "suspend"), NULL, 200);
    const struct {
        const char *query;
        size_t count;
    } page[] = {
        { "", 5 },
        { "?action=actor.suspended", 2 },
        { path_of("?target=%s", id), 2 },
        { path_of("?target=%s&action=%s", id, "actor.created"), 1 },
        { "?actor=personakit", 1 },
        { "?actor=" PK_ADMIN_ID, 4 },
        { "?actor=" PK_ADMIN_ID "&action=actor.created", 2 },
        { "?since=2999-01-01T00:00:00Z", 0 },
        { "?since=2001-01-01T00:00:00%2B01:00", 5 },
        { "?since=2001-01-01T00:00:00+01:00", 5 },
        { "?person=b7a1c0de-0000-4000-8000-000000000001", 0 },
    };
    for (size_t i = 0; i < PK_COUNT(page); i++) {
        struct reply reply = house_ask(&house, "GET", path_of("/v1/admin/audit%s", page[i].query),
                                       house.admin, NULL);
        expect(&reply, 200, NULL);
        if (reply_count(&reply, "items") != page[i].count) {
            fail_msg("%s: %s", page[i].query, reply.body);
        }
        for (size_t k = 1; k < page[i].count; k++) {
            char older[64], newer[64];
            (void)snprintf(newer, sizeof(newer), "items.%zu.at", k - 1);
            (void)snprintf(older, sizeof(older), "items.%zu.at", k);
            assert_true(strcmp(reply_text(&reply, newer), reply_text(&reply, older)) >= 0);
        }
        reply_done(&reply);
    }
    ask(&house, "GET", "/v1/admin/audit?since=yesterday", NULL, 400);
    ask(&house, "GET", "/v1/admin/audit?acton=x", NULL, 400);
}

TEST(a_filtered_page_goes_on_where_it_stopped)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    char id[PK_UUID_TEXT];
    char target[1024];
    size_t seen = 0;
    house_open(&house, NULL);
    create(&house, "{'actorType':'human','name':'a'}", id);
    for (int i = 0; i < 6; i++) {
        ask(&house, "POST", path_of("/v1/actors/%s/%s", id, i % 2 ? "resume" : "suspend"), NULL,
            200);
    }
    (void)snprintf(target, sizeof(target), "/v1/admin/audit?target=%s&action=actor.resumed&limit=2",
                   id);
    const size_t size = strlen(target);
    for (int pages = 0; pages < 4; pages++) {
        struct reply reply = house_ask(&house, "GET", target, house.admin, NULL);
        expect(&reply, 200, NULL);
        seen += reply_count(&reply, "items");
        assert_true(reply_count(&reply, "items") <= 2);
        const bool is_last = *reply_text(&reply, "next") == '\0';
        (void)snprintf(target + size, sizeof(target) - size, "&cursor=%s",
                       reply_text(&reply, "next"));
        reply_done(&reply);
        if (is_last) {
            break;
        }
    }
    assert_int_equal(seen, 3);
}

/* ---- What is answered is what the tables say ---- */

static void fits(const struct pk_schema *schema, const bson_t *json)
{
    PK_CLEANUP(pk_faults_done) struct pk_faults faults = { 0 };
    bson_t taken;
    if (!pk_schema_accept(schema, json, &taken, &faults)) {
        fail_msg("%s: '%s' should be %s", schema->name, faults.fault[0].path,
                 faults.fault[0].expected);
    }
    bson_destroy(&taken);
}

TEST(answers_fit_the_schemas_that_describe_them)
{
    PK_CLEANUP(house_close) struct house house = { 0 };
    house_open(&house, NULL);
    struct reply reply = house_ask(&house, "GET", "/v1/actors/self", house.admin, NULL);
    fits(&pk_schema_actor_view, reply.json);
    reply_done(&reply);
    reply = house_ask(&house, "POST", "/v1/actors/" PK_ADMIN_ID "/keys", house.admin,
                      "{'name':'k','expiresAt':'2999-01-01T00:00:00Z'}");
    fits(&pk_schema_key_created, reply.json);
    reply_done(&reply);
    const struct {
        const char *path;
        const struct pk_schema *schema;
    } list[] = { { "/v1/actors/" PK_ADMIN_ID "/keys", &pk_schema_key_view },
                 { "/v1/actors", &pk_schema_actor_view },
                 { "/v1/admin/audit", &pk_schema_audit_view } };
    for (size_t i = 0; i < PK_COUNT(list); i++) {
        reply = house_ask(&house, "GET", list[i].path, house.admin, NULL);
        bson_iter_t items, item;
        assert_true(bson_iter_init_find(&items, reply.json, "items"));
        assert_true(bson_iter_recurse(&items, &item));
        size_t count = 0;
        while (bson_iter_next(&item)) {
            uint32_t size;
            const uint8_t *data;
            bson_t view;
            bson_iter_document(&item, &size, &data);
            assert_true(bson_init_static(&view, data, size));
            fits(list[i].schema, &view);
            count++;
        }
        assert_true(count > 0);
        reply_done(&reply);
    }
}
