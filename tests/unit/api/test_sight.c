/* test_sight.c - Over HTTP: two people are made one, and keys for one of them look at everything.
 *
 * Every route that reads is asked for each id by each key. No answer may have
 * the other's id or external id; and what is asked for by an id out of sight
 * must be answered with the bytes of one that there never was. A route with a
 * path parameter that this file does not know fails the case: teach it. */
/* SPDX-License-Identifier: MIT */
#include "house.h"

#include "access/audit.h"
#include "base/alloc.h"
#include "feed/watch.h"
#include "persona/persona.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FROM    "a1111111-1111-4111-8111-111111111111" /* Is merged ... */
#define INTO    "b2222222-2222-4222-8222-222222222222" /* ... into this one. */
#define OTHER   "c3333333-3333-4333-8333-333333333333" /* In everybody's sight; nothing is known. */
#define NOBODY  "d4444444-4444-4444-8444-444444444444" /* In nobody's; there never was one. */
#define FROM_ID "slack:UFROM"
#define INTO_ID "slack:UINTO"

enum { FROM_KEY, INTO_KEY, BOTH_KEY, NO_KEY, KEYS };
static const struct {
    const char *people;
    const char *hidden[4]; /* What no answer to it may have. */
} key_table[KEYS] = {
    [FROM_KEY] = { "'" FROM "'", { INTO, INTO_ID, "UINTO" } },
    [INTO_KEY] = { "'" INTO "'", { FROM, FROM_ID, "UFROM" } },
    [BOTH_KEY] = { "'" FROM "','" INTO "'", { NULL } },
    [NO_KEY] = { "'" OTHER "'", { FROM, INTO, "UFROM" } },
};

struct scene {
    struct house house;
    char key[KEYS][PK_KEY_TEXT];
    char observation[2][PK_UUID_TEXT], instance[2][PK_UUID_TEXT], feedback[2][PK_UUID_TEXT];
    char merge[PK_UUID_TEXT], task[PK_UUID_TEXT];
    char position[PK_POSITION_TEXT]; /* Before any of it. */
};

static struct reply ask(struct scene *scene, const char *method, const char *target,
                        const char *key, const char *body)
{
    return house_ask_with(&scene->house, method, target, key, "X-Request-Id: the-same\r\n", body);
}

static void put_script(struct scene *scene, const char *target, const char *text)
{
    struct reply reply = house_ask_with(&scene->house, "PUT", target, scene->house.admin,
                                        "Content-Type: text/x-lua\r\n", text);
    assert_true(reply.status == 200 || reply.status == 201);
    reply_done(&reply);
}

static void keep(char out[PK_UUID_TEXT], const struct reply *reply, const char *path)
{
    (void)snprintf(out, PK_UUID_TEXT, "%s", reply_text(reply, path));
    assert_int_equal(strlen(out), PK_UUID_TEXT - 1);
}

static void plant(struct scene *scene, int i, const char *person, const char *external,
                  const char *key)
{
    char body[600];
    (void)snprintf(body, sizeof(body),
                   "{'person_id':'%s','externalId':{'source':'slack','id':'%s'},"
                   "'type':'chat_log','content':{'n':1}}",
                   person, external + 6);
    struct reply reply = ask(scene, "POST", "/v1/observations?wait=processed", key, body);
    expect(&reply, 201, NULL);
    keep(scene->observation[i], &reply, "observationId");
    reply_done(&reply);
    (void)snprintf(body, sizeof(body), "/v1/people/%s/consents/research", person);
    reply = ask(scene, "PUT", body, key, "{'status':'granted'}");
    expect(&reply, 200, NULL);
    reply_done(&reply);
    (void)snprintf(body, sizeof(body),
                   "{'mapperId':'own','personaId':'%s','detailLevel':'instant'}", person);
    reply = ask(scene, "POST", "/v1/personas/map", key, body);
    expect(&reply, 200, NULL);
    keep(scene->instance[i], &reply, "persona.personaInstanceId");
    reply_done(&reply);
    (void)snprintf(body, sizeof(body),
                   "{'personaInstanceId':'own:%s:instant','feedback':{'ratings':{'overall':4},"
                   "'impact':{"
                   "'taskSuccessImpact':'positive','wouldUseAgain':true,"
                   "'recommendationScore':9}}}",
                   person);
    reply = ask(scene, "POST", "/v1/feedback", key, body);
    assert_int_equal(reply.status / 100, 2);
    keep(scene->feedback[i], &reply, "feedbackId");
    reply_done(&reply);
}

static void merge(struct scene *scene)
{
    struct reply reply =
        ask(scene, "POST", "/v1/people/merge?wait=processed", scene->house.admin,
            "{'from':'" FROM "','into':'" INTO "','reason':'" FROM_ID " is " INTO_ID "'}");
    expect(&reply, 200, NULL);
    keep(scene->merge, &reply, "mergeId");
    keep(scene->task, &reply, "taskId");
    assert_string_equal(reply_text(&reply, "partTaskId"), "");
    reply_done(&reply);
}

static void scene_open(struct scene *scene)
{
    house_open(&scene->house, NULL);
    pk_watch_position(scene->house.watch, scene->position, sizeof(scene->position));
    put_script(
        scene, "/v1/processors/seen?activate=true",
        "return require('personakit').processor { limits = { soft_ms = 1000, hard_ms = 5000 },"
        " id = 'seen', version = '1.0.0', "
        "accepts = { 'chat_log' }, process = function(obs, m, t) "
        "t:set('seen', (m['seen'] or 0) + 1) end }");
    put_script(scene, "/v1/mappers/own?activate=true",
               "return require('personakit').mapper { limits = { soft_ms = 1000, hard_ms = 5000 },"
               " id = 'own', version = '1.0.0', "
               "core = function(m) return { n = m['seen'] or 0 } end }");
    for (int i = 0; i < KEYS; i++) {
        char text[512];
        (void)snprintf(
            text, sizeof(text),
            "{'canRequestPersonas':true,'canProvideFeedback':true,"
            "'allowedMappers':['*'],'people':[%s%s],"
            "'grants':['write_observations','approve','curate','author_mappers','operate']}",
            key_table[i].people, i == NO_KEY ? "" : ",'" OTHER "'");
        pk_doc_unref(house_actor(&scene->house, "one", text, scene->key[i]));
    }
    plant(scene, 0, FROM, FROM_ID, scene->key[FROM_KEY]);
    plant(scene, 1, INTO, INTO_ID, scene->key[INTO_KEY]);
    assert_ok(pk_personas_flush(scene->house.domain.personas, &scene->house.err),
              &scene->house.err);
    merge(scene);
}

static void scene_close(struct scene *scene)
{
    house_close(&scene->house);
}

/* ---- What is asked for ---- */

/* A path parameter, and what it may be; the person's id stands for '@'. */
static const struct {
    const char *param;
    const char *value[5];
} value_table[] = {
    { "{person}", { "@" } },
    { "{persona}", { "own:@:instant", "$instance" } },
    { "{observation}", { "$observation" } },
    { "{feedback}", { "$feedback" } },
    { "{task}", { "$task" } },
    { "{trait}", { "seen" } },
    { "{purpose}", { "research" } },
    { "{mapper}", { "own" } },
    { "{processor}", { "seen" } },
    { "{condition}", { "none" } },
    { "{version}", { "1.0.0" } },
    { "{actor}", { "none" } },
    { "{key}", { "none" } },
};

/* Parameters of a query that name people or show more. */
static const struct {
    const char *id, *query;
} query_table[] = {
    { "listPeople", "?external=slack:UFROM" },
    { "listPeople", "?external=slack:UINTO" },
    { "listAudit", "?person=@" },
    { "listTasks", "?person=@" },
    { "listTasks", "?status=done" },
    { "getMindscape", "?include=knowledge" },
    { "explainPersona", "?as_of=2026-01-01T00:00:00Z" },
};

static const char *id_of(const struct scene *scene, const char *value, int i)
{
    return strcmp(value, "$instance") == 0      ? scene->instance[i]
           : strcmp(value, "$observation") == 0 ? scene->observation[i]
           : strcmp(value, "$feedback") == 0    ? scene->feedback[i]
           : strcmp(value, "$task") == 0        ? scene->task
                                                : NULL;
}

/* The texts of 'text' with 'person' for '@', and for each parameter its 'turn'. False: it has no
 * such turn. */
static bool fill(const struct scene *scene, struct pk_buf *out, const char *path, size_t turn,
                 const char *person, int i)
{
    bool is_new = turn == 0;
    pk_buf_clear(out);
    for (const char *at = path; *at;) {
        size_t row = 0;
        if (*at != '{') {
            pk_buf_add_char(out, *at++);
            continue;
        }
        const size_t size = strcspn(at, "}") + 1;
        while (row < PK_COUNT(value_table) && strncmp(value_table[row].param, at, size) != 0) {
            row++;
        }
        if (row == PK_COUNT(value_table)) {
            fail_msg("teach this test what '%s' is", path);
        }
        const char *value = value_table[row].value[turn];
        is_new |= value != NULL;
        value = value ? value : value_table[row].value[0];
        pk_buf_add_text(out, id_of(scene, value, i) ? id_of(scene, value, i) : value);
        at += size;
    }
    PK_CLEANUP(pk_freep) char *text = pk_strdup(pk_buf_text(out));
    pk_buf_clear(out);
    for (const char *at = text; *at; at++) {
        if (*at == '@') {
            pk_buf_add_text(out, person);
        } else {
            pk_buf_add_char(out, *at);
        }
    }
    return is_new;
}

static void check_clean(int key, const char *target, const struct reply *reply)
{
    for (size_t i = 0; key_table[key].hidden[i]; i++) {
        const char *hidden = key_table[key].hidden[i];
        const char *hit = strstr(reply->body, hidden);
        if (!strstr(target, hidden) && hit) {
            const size_t before = (size_t)(hit - reply->body);
            fail_msg("key %d: GET %s tells of %s: ...%.500s", key, target, hidden,
                     hit - (before < 250 ? before : 250));
        }
    }
}

static char *without(const char *text, const char *id)
{
    struct pk_buf out = { 0 };
    pk_buf_add_text(&out, "");
    for (const char *at = text; *at;) {
        if (strncmp(at, id, strlen(id)) == 0) {
            at += strlen(id);
        } else {
            pk_buf_add_char(&out, *at++);
        }
    }
    return pk_buf_take(&out);
}

/* The same status and the same body, but for the ids that were sent. */
static void expect_same(const struct reply *a, const char *id_a, const struct reply *b,
                        const char *id_b, const char *target)
{
    PK_CLEANUP(pk_freep) char *one = without(a->body, id_a);
    PK_CLEANUP(pk_freep) char *two = without(b->body, id_b);
    if (a->status != b->status || strcmp(one, two) != 0) {
        fail_msg("%s: another answer than of nobody:\n%d %s\n%d %s", target, a->status, a->body,
                 b->status, b->body);
    }
}

/* One who is in sight and of whom nothing is known: what a merged one is like whose other is not.
 */
static const char *nobody_like(int key, const char *person)
{
    const bool is_seen = strstr(key_table[key].people, person) != NULL;
    return is_seen ? OTHER : NOBODY;
}

static size_t look(struct scene *scene, const struct pk_api_row *row, const char *query, int key)
{
    static const char *const person[] = { FROM, INTO };
    PK_CLEANUP(pk_buf_done) struct pk_buf path = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf other = { 0 };
    PK_CLEANUP(pk_freep) char *whole = pk_strdupf("%s%s", row->path, query);
    size_t count = 0;
    for (size_t turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 2; i++) {
            const bool is_by_id = strstr(whole, "{person}") || strstr(whole, "@") ||
                                  (strstr(whole, "{persona}") && turn == 0);
            if (!fill(scene, &path, whole, turn, person[i], i)) {
                continue;
            }
            struct reply reply = ask(scene, "GET", pk_buf_text(&path), scene->key[key], NULL);
            check_clean(key, pk_buf_text(&path), &reply);
            const bool is_out = key != BOTH_KEY && !(key == INTO_KEY && i == 1);
            if (is_by_id && is_out && !strstr(whole, "/admin/")) {
                const char *nobody = nobody_like(key, person[i]);
                (void)fill(scene, &other, whole, turn, nobody, i);
                struct reply none = ask(scene, "GET", pk_buf_text(&other), scene->key[key], NULL);
                expect_same(&reply, person[i], &none, nobody, pk_buf_text(&path));
                reply_done(&none);
            }
            reply_done(&reply);
            count++;
        }
    }
    return count;
}

TEST(no_route_names_the_other_to_a_key_for_one)
{
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    size_t count = 0;
    scene_open(&scene);
    for (size_t r = 0; r < pk_api_row_count(); r++) {
        const struct pk_api_row *row = pk_api_row_at(r);
        if (row->method != PK_METHOD_GET || (row->flags & PK_ROW_EVENTS)) {
            continue;
        }
        for (int key = 0; key < KEYS; key++) {
            count += look(&scene, row, "", key);
            for (size_t q = 0; q < PK_COUNT(query_table); q++) {
                if (strcmp(query_table[q].id, row->id) == 0) {
                    count += look(&scene, row, query_table[q].query, key);
                }
            }
        }
    }
    print_message("# %zu looks\n", count);
    assert_true(count > 200);
}

/* ---- What such a key is told ---- */

TEST(of_a_merge_a_key_for_one_sees_that_there_was_one)
{
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    struct reply reply = ask(&scene, "GET", "/v1/people", scene.key[FROM_KEY], NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_count(&reply, "items"), 1);
    assert_string_equal(reply_text(&reply, "items.0.personId"), FROM);
    assert_non_null(strstr(reply.body, "\"isMerged\":true"));
    assert_null(strstr(reply.body, "mergedInto"));
    reply_done(&reply);
    reply = ask(&scene, "GET", "/v1/people", scene.key[INTO_KEY], NULL);
    assert_null(strstr(reply.body, "isMerged"));
    assert_int_equal(reply_count(&reply, "items.0.merges"), 0);
    reply_done(&reply);
    reply = ask(&scene, "GET", "/v1/people", scene.key[BOTH_KEY], NULL);
    assert_int_equal(reply_count(&reply, "items"), 2);
    assert_string_equal(reply_text(&reply, "items.0.mergedInto"), INTO);
    assert_string_equal(reply_text(&reply, "items.1.merges.0.personId"), FROM);
    reply_done(&reply);
    reply = ask(&scene, "GET", "/v1/people?external=" FROM_ID, scene.key[BOTH_KEY], NULL);
    assert_string_equal(reply_text(&reply, "items.0.personId"), INTO);
    reply_done(&reply);
    for (int key = FROM_KEY; key <= INTO_KEY; key++) {
        reply = ask(&scene, "GET", "/v1/people?external=" FROM_ID, scene.key[key], NULL);
        expect(&reply, 200, NULL);
        assert_int_equal(reply_count(&reply, "items"), 0);
        reply_done(&reply);
    }
    /* What he sent himself, of one who is out of his sight now, is as he sent it. */
    char target[128];
    (void)snprintf(target, sizeof(target), "/v1/feedback/%s", scene.feedback[0]);
    reply = ask(&scene, "GET", target, scene.key[FROM_KEY], NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_text(&reply, "personId"), FROM);
    reply_done(&reply);
    reply = ask(&scene, "GET", target, scene.key[BOTH_KEY], NULL);
    assert_string_equal(reply_text(&reply, "personId"), INTO);
    assert_string_equal(reply_text(&reply, "mergedFrom"), FROM);
    reply_done(&reply);
}

/* ---- Filters ---- */

static size_t count_of(struct scene *scene, const char *target, const char *key)
{
    struct reply reply = ask(scene, "GET", target, key, NULL);
    expect(&reply, 200, NULL);
    const size_t count = reply_count(&reply, "items");
    reply_done(&reply);
    return count;
}

/* All of a list, page by page. */
static size_t count_pages(struct scene *scene, const char *target, const char *key)
{
    char at[600];
    size_t count = 0;
    (void)snprintf(at, sizeof(at), "%s&limit=1", target);
    for (int page = 0; page < 1000; page++) {
        struct reply reply = ask(scene, "GET", at, key, NULL);
        expect(&reply, 200, NULL);
        count += reply_count(&reply, "items");
        (void)snprintf(at, sizeof(at), "%s&limit=1&cursor=%s", target, reply_text(&reply, "next"));
        const bool is_last = *reply_text(&reply, "next") == '\0';
        reply_done(&reply);
        if (is_last) {
            return count;
        }
    }
    fail_msg("%s has no end", target);
    return 0;
}

TEST(who_sees_both_has_the_persona_of_both_by_either_id)
{
    static const char *const target[] = {
        "/v1/personas/own:" FROM ":instant",
        "/v1/personas/own:" FROM ":instant/explain",
        "/v1/personas/own:" FROM ":instant/explain?mapper_version=1.0.0",
    };
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    struct reply reply = ask(&scene, "POST", "/v1/personas/map", scene.key[BOTH_KEY],
                             "{'mapperId':'own','personaId':'" FROM "','detailLevel':'instant'}");
    expect(&reply, 200, NULL);
    reply_done(&reply);
    for (size_t i = 0; i < PK_COUNT(target); i++) {
        reply = ask(&scene, "GET", target[i], scene.key[BOTH_KEY], NULL);
        expect(&reply, 200, NULL);
        assert_non_null(strstr(reply.body, "own:" INTO ":instant"));
        reply_done(&reply);
        reply = ask(&scene, "GET", target[i], scene.key[FROM_KEY], NULL);
        expect(&reply, 404, "not_found");
        reply_done(&reply);
    }
}

TEST(a_filter_by_person_means_all_of_his_ids_that_are_in_sight)
{
    static const char *const list[] = { "/v1/admin/audit", "/v1/admin/outbox" };
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    for (size_t i = 0; i < PK_COUNT(list); i++) {
        char from[200], into[200], other[200];
        (void)snprintf(from, sizeof(from), "%s?person=" FROM, list[i]);
        (void)snprintf(into, sizeof(into), "%s?person=" INTO, list[i]);
        (void)snprintf(other, sizeof(other), "%s?person=" NOBODY, list[i]);
        const char *admin = scene.house.admin;
        const size_t all = count_of(&scene, into, admin);
        assert_int_equal(count_of(&scene, from, admin), all);
        assert_int_equal(count_of(&scene, from, scene.key[BOTH_KEY]), all);
        assert_int_equal(count_pages(&scene, into, scene.key[BOTH_KEY]), all);
        assert_int_equal(count_pages(&scene, from, admin), all);
        const size_t one = count_of(&scene, from, scene.key[FROM_KEY]);
        const size_t two = count_of(&scene, into, scene.key[INTO_KEY]);
        assert_true(one > 0 && two > 0);
        assert_int_equal(one + two, all);
        assert_int_equal(count_of(&scene, into, scene.key[FROM_KEY]), 0);
        assert_int_equal(count_of(&scene, from, scene.key[INTO_KEY]), 0);
        assert_int_equal(count_of(&scene, from, scene.key[NO_KEY]), 0);
        assert_int_equal(count_of(&scene, other, admin), 0);
    }
}

TEST(rows_about_others_are_not_counted)
{
    static const struct {
        int key;
        size_t merged; /* Rows that say "merged". */
    } sees[] = { { FROM_KEY, 1 }, { INTO_KEY, 1 }, { BOTH_KEY, 2 }, { NO_KEY, 0 } };
    static const char reads[] = "/v1/people/" INTO "/access-log";
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    for (size_t i = 0; i < PK_COUNT(sees); i++) {
        const char *key = scene.key[sees[i].key];
        assert_int_equal(count_of(&scene, "/v1/admin/audit?action=person.merged", key),
                         sees[i].merged);
    }
    /* Each has had his persona made, by his own id. */
    assert_int_equal(count_of(&scene, reads, scene.key[INTO_KEY]), 1);
    assert_int_equal(count_of(&scene, reads, scene.key[BOTH_KEY]), 2);
}

/* Everything from the scene's start until the mark that is made here; to be freed. */
static char *hear(struct scene *scene, const char *query, const char *key)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_freep)
    char *text = pk_strdupf("GET /v1/events?from=%s%s HTTP/1.1\r\nHost: here\r\n"
                            "Authorization: Bearer %s\r\n\r\n",
                            scene->position, query, key);
    static const char *const person[] = { FROM, INTO, OTHER };
    for (size_t i = 0; i < PK_COUNT(person); i++) {
        pk_news_add(&list, &scene->house.books,
                    &(struct pk_news){ .type = "test.marked",
                                       .entity_type = "test",
                                       .entity_id = "mark",
                                       .person = person[i] });
    }
    assert_ok(pk_store_commit(scene->house.store, &list, 0, NULL, &scene->house.err),
              &scene->house.err);
    struct pk_buf heard = { 0 };
    const int fd = house_dial(&scene->house);
    house_send(fd, text);
    while (!strstr(pk_buf_text(&heard), "event: test.marked")) {
        char piece[4096];
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (poll(&wait, 1, PK_TEST_PATIENCE_MS) != 1) {
            fail_msg("no mark has come behind:\n%s", pk_buf_text(&heard));
        }
        const ssize_t size = read(fd, piece, sizeof(piece));
        assert_true(size > 0);
        pk_buf_add(&heard, piece, (size_t)size);
    }
    (void)close(fd);
    return pk_buf_take(&heard);
}

TEST(streams_follow_merges_and_name_nobody_out_of_sight)
{
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    for (int key = 0; key < KEYS; key++) {
        PK_CLEANUP(pk_freep) char *heard = hear(&scene, "", scene.key[key]);
        for (size_t i = 0; key_table[key].hidden[i]; i++) {
            if (strstr(heard, key_table[key].hidden[i])) {
                fail_msg("key %d hears of %s:\n%s", key, key_table[key].hidden[i], heard);
            }
        }
        assert_true((strstr(heard, "event: person.merged") != NULL) == (key != NO_KEY));
    }
    static const char *const asked[] = { "&person=" FROM, "&person=" INTO };
    for (size_t i = 0; i < PK_COUNT(asked); i++) {
        PK_CLEANUP(pk_freep) char *both = hear(&scene, asked[i], scene.key[BOTH_KEY]);
        assert_non_null(strstr(both, "\"personId\":\"" FROM "\""));
        assert_non_null(strstr(both, "\"personId\":\"" INTO "\""));
        assert_null(strstr(both, "\"personId\":\"" OTHER "\""));
    }
    PK_CLEANUP(pk_freep) char *one = hear(&scene, "&person=" FROM, scene.key[FROM_KEY]);
    assert_non_null(strstr(one, "event: person.merged"));
}

/* ---- Writing ---- */

/* Requests by an id that leads to somebody else are those of an id that there never was. */
TEST(who_sees_one_does_nothing_to_the_other)
{
    static const struct {
        const char *method, *target, *body;
    } write[] = {
        { "POST", "/v1/observations", "{'person_id':'@','type':'chat_log','content':{'n':1}}" },
        { "PATCH", "/v1/people/@/mindscape", "{'now':[{'key':'mood','value':'calm'}]}" },
        { "PUT", "/v1/people/@/consents/research", "{'status':'withdrawn'}" },
        { "POST", "/v1/people/@/replay", "{}" },
        { "POST", "/v1/people/merge", "{'from':'@','into':'" OTHER "'}" },
        { "POST", "/v1/people/merge", "{'from':'" OTHER "','into':'@','dryRun':true}" },
        { "POST", "/v1/personas/map",
          "{'mapperId':'own','personaId':'@','detailLevel':'instant'}" },
        { "POST", "/v1/mappers/own/versions/1.0.0/dry-run",
          "{'personId':'@','detailLevel':'instant'}" },
        { "DELETE", "/v1/people/@", NULL },
    };
    static const struct {
        int key;
        const char *person;
    } asker[] = { { INTO_KEY, FROM }, { FROM_KEY, INTO }, { NO_KEY, FROM }, { NO_KEY, INTO } };
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    const size_t before = house_count(&scene.house, "observations");
    for (size_t w = 0; w < PK_COUNT(write); w++) {
        for (size_t a = 0; a < PK_COUNT(asker); a++) {
            const char *person[] = { asker[a].person, NOBODY };
            struct reply reply[2];
            for (size_t i = 0; i < 2; i++) {
                PK_CLEANUP(pk_buf_done) struct pk_buf target = { 0 };
                PK_CLEANUP(pk_buf_done) struct pk_buf body = { 0 };
                (void)fill(&scene, &target, write[w].target, 0, person[i], 0);
                (void)fill(&scene, &body, "", 0, person[i], 0);
                for (const char *at = write[w].body; at && *at; at++) {
                    pk_buf_printf(&body, "%.*s", *at == '@' ? (int)PK_UUID_TEXT : 1,
                                  *at == '@' ? person[i] : at);
                }
                reply[i] = ask(&scene, write[w].method, pk_buf_text(&target),
                               scene.key[asker[a].key], write[w].body ? pk_buf_text(&body) : NULL);
            }
            expect(&reply[0], 404, "not_found");
            expect_same(&reply[0], person[0], &reply[1], person[1], write[w].target);
            reply_done(&reply[0]);
            reply_done(&reply[1]);
        }
    }
    /* By what others call him, too; of whom nobody has heard it is the same. */
    static const char *const name[] = { "UFROM", "UNOBODY" };
    struct reply reply[2];
    for (size_t i = 0; i < 2; i++) {
        char body[200];
        (void)snprintf(body, sizeof(body),
                       "{'externalId':{'source':'slack','id':'%s'},'type':'chat_log',"
                       "'content':{'n':1}}",
                       name[i]);
        reply[i] = ask(&scene, "POST", "/v1/observations", scene.key[INTO_KEY], body);
    }
    expect_same(&reply[0], name[0], &reply[1], name[1], "an external id");
    reply_done(&reply[0]);
    reply_done(&reply[1]);
    assert_int_equal(house_count(&scene.house, "observations"), before);
}

/* A list of one key: what is refused to it does not touch the others. */
TEST(many_at_once_are_refused_one_by_one)
{
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    struct reply reply = ask(&scene, "POST", "/v1/observations", scene.key[INTO_KEY],
                             "{'observations':[{'person_id':'" FROM "','type':'chat_log',"
                             "'content':{'n':1}},{'person_id':'" INTO "','type':'chat_log',"
                             "'content':{'n':1}}]}");
    expect(&reply, 207, NULL);
    assert_int_equal(reply_number(&reply, "results.0.status"), 404);
    assert_int_equal(reply_number(&reply, "results.1.status"), 201);
    assert_null(strstr(reply.body, FROM));
    reply_done(&reply);
    reply = ask(&scene, "POST", "/v1/observations", scene.key[BOTH_KEY],
                "{'person_id':'" FROM "','type':'chat_log','content':{'n':1}}");
    expect(&reply, 201, NULL);
    assert_string_equal(reply_text(&reply, "personId"), INTO);
    assert_string_equal(reply_text(&reply, "mergedFrom"), FROM);
    reply_done(&reply);
}

TEST(who_sees_one_cannot_undo_the_merge)
{
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    char target[2][200];
    scene_open(&scene);
    for (int key = FROM_KEY; key <= NO_KEY; key++) {
        if (key == BOTH_KEY) {
            continue;
        }
        const char *person = key == INTO_KEY ? INTO : FROM;
        (void)snprintf(target[0], sizeof(target[0]), "/v1/people/%s/merges/%s/undo", person,
                       scene.merge);
        (void)snprintf(target[1], sizeof(target[1]), "/v1/people/%s/merges/%s/undo", person,
                       NOBODY);
        struct reply reply = ask(&scene, "POST", target[0], scene.key[key], NULL);
        struct reply none = ask(&scene, "POST", target[1], scene.key[key], NULL);
        expect(&reply, 404, "not_found");
        expect_same(&reply, scene.merge, &none, NOBODY, target[0]);
        reply_done(&reply);
        reply_done(&none);
    }
    (void)snprintf(target[0], sizeof(target[0]),
                   "/v1/people/" FROM "/merges/%s/undo?wait=processed", scene.merge);
    struct reply reply = ask(&scene, "POST", target[0], scene.key[BOTH_KEY], NULL);
    expect(&reply, 200, NULL);
    assert_string_equal(reply_header(&reply, "PersonaKit-Processed"), "true");
    (void)snprintf(target[1], sizeof(target[1]), "/v1/tasks/%s", reply_text(&reply, "partTaskId"));
    reply_done(&reply);
    reply = ask(&scene, "GET", target[1], scene.house.admin, NULL);
    assert_string_equal(reply_text(&reply, "taskType"), "part_person");
    assert_string_equal(reply_text(&reply, "status"), "done");
    reply_done(&reply);
    reply = ask(&scene, "GET", "/v1/people/" FROM "/traits/seen", scene.key[FROM_KEY], NULL);
    expect(&reply, 200, NULL);
    assert_int_equal(reply_number(&reply, "value"), 1);
    reply_done(&reply);
}

/* ---- Erased ---- */

TEST(an_erasure_is_told_to_who_sees_whom_it_was_asked_for)
{
    PK_CLEANUP(scene_close) struct scene scene = { 0 };
    scene_open(&scene);
    struct reply reply =
        ask(&scene, "DELETE", "/v1/people/" INTO "?wait=processed", scene.key[BOTH_KEY], NULL);
    expect(&reply, 200, NULL);
    reply_done(&reply);
    static const struct {
        int key;
        const char *person;
        int status;
    } asker[] = { { FROM_KEY, FROM, 404 }, { FROM_KEY, INTO, 404 }, { INTO_KEY, FROM, 404 },
                  { NO_KEY, INTO, 404 },   { BOTH_KEY, FROM, 202 }, { INTO_KEY, INTO, 202 } };
    for (size_t a = 0; a < PK_COUNT(asker); a++) {
        char target[100];
        (void)snprintf(target, sizeof(target), "/v1/people/%s", asker[a].person);
        reply = ask(&scene, "DELETE", target, scene.key[asker[a].key], NULL);
        expect(&reply, asker[a].status, NULL);
        check_clean(asker[a].key, target, &reply);
        reply_done(&reply);
        char body[300];
        (void)snprintf(body, sizeof(body), "{'person_id':'%s','type':'chat_log','content':{'n':1}}",
                       asker[a].person);
        reply = ask(&scene, "POST", "/v1/observations", scene.key[asker[a].key], body);
        const bool is_seen = strstr(key_table[asker[a].key].people, asker[a].person) != NULL;
        expect(&reply, is_seen ? 409 : 404, NULL);
        check_clean(asker[a].key, target, &reply);
        reply_done(&reply);
    }
    char target[200];
    (void)snprintf(target, sizeof(target), "/v1/people/" FROM "/merges/%s/undo", scene.merge);
    reply = ask(&scene, "POST", target, scene.key[FROM_KEY], NULL);
    expect(&reply, 404, "not_found");
    reply_done(&reply);
}
