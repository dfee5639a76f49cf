/* test_actor.c - Actors and keys: every change with its audit row and its event, or not at all. */
/* SPDX-License-Identifier: MIT */
#include "access/actor.h"
#include "access/principal.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json.h"
#include "scene.h"

#include <stdio.h>
#include <string.h>

static bool create(struct scene *scene, const char *text, struct pk_doc **out)
{
    bson_t wanted = json("%s", text);
    *out = NULL;
    const bool ok = pk_actor_create(&scene->books, &scene->by, &wanted, out, &scene->err);
    bson_destroy(&wanted);
    return ok;
}

static bool change(struct scene *scene, const char *id, int64_t version, const char *text,
                   struct pk_doc **out)
{
    bson_t wanted = json("%s", text);
    *out = NULL;
    const bool ok =
        pk_actor_change(&scene->books, &scene->by, id, version, &wanted, out, &scene->err);
    bson_destroy(&wanted);
    return ok;
}

/* Every change so far has left one audit row and one event of its name. */
static void expect_noted(struct scene *scene, const char *what, size_t times)
{
    assert_int_equal(count_where(scene, "audit", "action", what), times);
    assert_int_equal(count_where(scene, "events", "eventType", what), times);
}

TEST(a_new_actor_may_do_nothing_until_told)
{
    struct scene scene;
    struct pk_doc *actor;
    scene_open(&scene, NULL);
    assert_ok(create(&scene, "{'actorType':'human','name':'Ann'}", &actor), &scene.err);
    assert_string_equal(pk_doc_text(actor, "status"), "active");
    assert_string_equal(pk_doc_text(actor, "authenticationMethod"), "api_key");
    assert_true(pk_doc_version(actor) > 0);
    struct pk_key key = make_key(&scene, pk_doc_id(actor), 0);
    struct pk_doc *with_key;
    assert_ok(pk_actor_get(&scene.books, pk_doc_id(actor), &with_key, &scene.err), &scene.err);
    struct pk_principal *principal = pk_principal_new(with_key, key.id);
    assert_non_null(principal);
    assert_int_equal(principal->capabilities, 0);
    assert_int_equal(principal->max_detail, PK_DETAIL_INSTANT);
    assert_false(pk_principal_may_use(principal, "any"));
    assert_false(pk_principal_may_see(principal, "b7a1c0de-0000-4000-8000-000000000001"));
    assert_true(principal->is_active);
    pk_principal_unref(principal);
    pk_doc_unref(with_key);
    pk_doc_unref(actor);
    expect_noted(&scene, "actor.created", 1);
    expect_noted(&scene, "key.created", 1);
    scene_close(&scene);
}

TEST(what_no_actor_may_have_is_refused_and_leaves_nothing)
{
    static const struct {
        const char *wanted;
        const char *part;
    } row[] = {
        { "{'name':'a'}", "'actorType' is missing" },
        { "{'actorType':'human'}", "'name' is missing" },
        { "{'actorType':'robot','name':'a'}", "actorType" },
        { "{'actorType':'human','name':1}", "name" },
        { "{'actorType':'human','name':'a','authenticationMethod':'oauth'}",
          "authentication by 'oauth' is not offered" },
        { "{'actorType':'human','name':'a','authenticationMethod':'magic'}",
          "authenticationMethod" },
        { "{'actorType':'human','name':'a','email':'nobody'}", "email" },
        { "{'actorType':'human','name':'a','email':7}", "email" },
        { "{'actorType':'human','name':'a','status':'active'}", "'status' of an actor" },
        { "{'actorType':'human','name':'a','_id':'x'}", "'_id' of an actor" },
        { "{'actorType':'human','name':'a','apiKeys':[]}", "'apiKeys' of an actor" },
        { "{'actorType':'human','name':'a','capabilities':1}", "is not an object" },
        { "{'actorType':'human','name':'a','capabilities':{'fly':true}}", "no capability 'fly'" },
        { "{'actorType':'human','name':'a','capabilities':{'grants':['fly']}}", "'fly' cannot" },
        { "{'actorType':'human','name':'a','capabilities':{'grants':['request_personas']}}",
          "'request_personas' cannot" },
        { "{'actorType':'human','name':'a','capabilities':{'grants':[1]}}", "'grants'" },
        { "{'actorType':'human','name':'a','capabilities':{'grants':'operate'}}", "grants" },
        { "{'actorType':'human','name':'a','capabilities':{'people':['me']}}", "'me' cannot" },
        { "{'actorType':'human','name':'a','capabilities':{'allowedMappers':['A b']}}", "'A b'" },
        { "{'actorType':'human','name':'a','capabilities':{'hiddenPaths':['a..b']}}", "'a..b'" },
        { "{'actorType':'human','name':'a','capabilities':{'maxDetailLevel':'all'}}",
          "maxDetailLevel" },
        { "{'actorType':'human','name':'a','capabilities':{'canRequestPersonas':1}}",
          "canRequestPersonas" },
    };
    struct scene scene;
    scene_open(&scene, NULL);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_doc *actor;
        assert_false(create(&scene, row[i].wanted, &actor));
        if (scene.err.code != PK_INVALID || !strstr(scene.err.message, row[i].part)) {
            fail_msg("%s: '%s'", row[i].wanted, scene.err.message);
        }
        assert_null(actor);
    }
    assert_int_equal(count_docs(&scene, "actors"), 0);
    assert_int_equal(count_docs(&scene, "audit"), 0);
    assert_int_equal(count_docs(&scene, "events"), 0);
    scene_close(&scene);
}

TEST(a_change_sets_what_it_names_and_nothing_else)
{
    struct scene scene;
    struct pk_doc *actor, *after;
    scene_open(&scene, NULL);
    assert_ok(create(&scene,
                     "{'actorType':'human','name':'Ann','description':'d','email':'Ann@X.org',"
                     "'capabilities':{'canRequestPersonas':true,'grants':['curate'],"
                     "'people':['*']}}",
                     &actor),
              &scene.err);
    assert_string_equal(pk_doc_text(actor, "email"), "ann@x.org");
    struct pk_key key = make_key(&scene, pk_doc_id(actor), 0);
    assert_ok(change(&scene, pk_doc_id(actor), 0,
                     "{'name':'Anna','capabilities':{'grants':['operate','approve']}}", &after),
              &scene.err);
    assert_string_equal(pk_doc_text(after, "name"), "Anna");
    assert_string_equal(pk_doc_text(after, "description"), "d");
    assert_string_equal(pk_doc_text(after, "email"), "ann@x.org");
    assert_string_equal(pk_doc_text(after, "apiKeys.0.keyId"), key.id);
    assert_int_equal(pk_doc_date(after, "createdAt", 0), pk_doc_date(actor, "createdAt", 1));
    struct pk_principal *principal = pk_principal_new(after, key.id);
    assert_int_equal(principal->capabilities, PK_CAN_REQUEST | PK_CAN_OPERATE | PK_CAN_APPROVE);
    assert_true(pk_principal_may_see(principal, "anybody"));
    pk_principal_unref(principal);
    pk_doc_unref(after);

    assert_ok(change(&scene, pk_doc_id(actor), 0, "{'email':null}", &after), &scene.err);
    assert_null(pk_doc_text(after, "email"));
    pk_doc_unref(after);
    assert_false(change(&scene, pk_doc_id(actor), 0, "{'authenticationMethod':'oauth'}", &after));
    expect_error(&scene.err, PK_INVALID, "oauth");
    expect_noted(&scene, "actor.updated", 2);
    pk_doc_unref(actor);
    scene_close(&scene);
}

TEST(a_version_that_has_moved_on_is_refused)
{
    struct scene scene;
    struct pk_doc *actor, *after, *other;
    struct pk_key key;
    scene_open(&scene, NULL);
    assert_ok(create(&scene, "{'actorType':'human','name':'Ann'}", &actor), &scene.err);
    const char *id = pk_doc_id(actor);
    const int64_t version = pk_doc_version(actor);
    assert_ok(change(&scene, id, version, "{'name':'b'}", &after), &scene.err);
    assert_true(pk_doc_version(after) != version);
    assert_false(change(&scene, id, version, "{'name':'c'}", &other));
    expect_error(&scene.err, PK_PRECONDITION, "has changed");
    assert_false(
        pk_actor_move(&scene.books, &scene.by, id, version, PK_ACTOR_SUSPEND, NULL, &scene.err));
    expect_error(&scene.err, PK_PRECONDITION, "has changed");
    assert_false(
        pk_actor_add_key(&scene.books, &scene.by, id, version, "k", 0, &key, NULL, &scene.err));
    expect_error(&scene.err, PK_PRECONDITION, "has changed");
    assert_ok(change(&scene, id, pk_doc_version(after), "{'name':'d'}", &other), &scene.err);
    pk_doc_unref(other);
    pk_doc_unref(after);
    pk_doc_unref(actor);
    expect_noted(&scene, "actor.updated", 2);
    scene_close(&scene);
}

TEST(status_moves_and_an_archived_actor_stays)
{
    struct scene scene;
    struct pk_doc *actor, *after;
    scene_open(&scene, NULL);
    actor = make_actor(&scene, "a", "{}");
    const char *id = pk_doc_id(actor);
    static const struct {
        enum pk_actor_move move;
        const char *status;
    } row[] = { { PK_ACTOR_SUSPEND, "suspended" },
                { PK_ACTOR_SUSPEND, "suspended" },
                { PK_ACTOR_RESUME, "active" },
                { PK_ACTOR_ARCHIVE, "archived" },
                { PK_ACTOR_ARCHIVE, "archived" } };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_ok(pk_actor_move(&scene.books, &scene.by, id, 0, row[i].move, &after, &scene.err),
                  &scene.err);
        assert_string_equal(pk_doc_text(after, "status"), row[i].status);
        pk_doc_unref(after);
    }
    expect_noted(&scene, "actor.suspended", 1);
    expect_noted(&scene, "actor.resumed", 1);
    expect_noted(&scene, "actor.archived", 1);
    assert_false(
        pk_actor_move(&scene.books, &scene.by, id, 0, PK_ACTOR_RESUME, &after, &scene.err));
    expect_error(&scene.err, PK_CONFLICT, "archived");
    assert_false(change(&scene, id, 0, "{'name':'b'}", &after));
    expect_error(&scene.err, PK_CONFLICT, "archived");
    pk_doc_unref(actor);
    scene_close(&scene);
}

TEST(who_is_not_there_cannot_be_changed)
{
    static const char id[] = "b7a1c0de-0000-4000-8000-000000000001";
    struct scene scene;
    struct pk_doc *after;
    struct pk_key key;
    scene_open(&scene, NULL);
    assert_false(change(&scene, id, 0, "{'name':'b'}", &after));
    expect_error(&scene.err, PK_NOT_FOUND, "no such actor");
    assert_false(pk_actor_add_key(&scene.books, &scene.by, id, 0, "k", 0, &key, NULL, &scene.err));
    expect_error(&scene.err, PK_NOT_FOUND, "no such actor");
    assert_false(pk_actor_get(&scene.books, id, &after, &scene.err));
    expect_error(&scene.err, PK_NOT_FOUND, "no such actor");
    scene_close(&scene);
}

TEST(a_secret_is_in_no_document_and_no_error)
{
    struct scene scene;
    struct pk_doc *actor;
    scene_open(&scene, NULL);
    actor = make_actor(&scene, "a", "{}");
    struct pk_key key = make_key(&scene, pk_doc_id(actor), 0);
    static const char *const collection[] = { "actors", "audit", "events" };
    for (size_t i = 0; i < PK_COUNT(collection); i++) {
        struct pk_page page;
        const struct pk_query query = { .collection = collection[i], .index = "_id" };
        assert_ok(pk_store_find(scene.store, &query, 0, &page, &scene.err), &scene.err);
        for (size_t d = 0; d < page.count; d++) {
            struct pk_buf text = { 0 };
            bson_t view;
            pk_doc_view(page.doc[d], &view);
            assert_ok(pk_json_write(&text, &view, PK_JSON_COMPACT, &scene.err), &scene.err);
            assert_null(strstr(pk_buf_text(&text), key.secret));
            pk_buf_done(&text);
        }
        pk_page_done(&page);
    }
    pk_doc_unref(actor);
    scene_close(&scene);
}

TEST(keys_are_added_revoked_and_bounded)
{
    struct scene scene;
    struct pk_doc *actor, *after;
    struct pk_key key, first;
    scene_open(&scene, NULL);
    actor = make_actor(&scene, "a", "{}");
    const char *id = pk_doc_id(actor);
    assert_false(
        pk_actor_add_key(&scene.books, &scene.by, id, 0, "k", NOW_MS, &key, NULL, &scene.err));
    expect_error(&scene.err, PK_INVALID, "expired already");
    assert_false(pk_actor_add_key(&scene.books, &scene.by, id, 0, "", 0, &key, NULL, &scene.err));
    expect_error(&scene.err, PK_INVALID, "needs a name");

    first = make_key(&scene, id, NOW_MS + 1000);
    assert_false(
        pk_actor_revoke_key(&scene.books, &scene.by, id, 0, "aaaaaaaaaaaaaaaa", NULL, &scene.err));
    expect_error(&scene.err, PK_NOT_FOUND, "no such key");
    for (int i = 0; i < 2; i++) { /* The second time there is nothing to do. */
        assert_ok(pk_actor_revoke_key(&scene.books, &scene.by, id, 0, first.id, &after, &scene.err),
                  &scene.err);
        assert_string_equal(pk_doc_text(after, "apiKeys.0.status"), "revoked");
        assert_int_equal(pk_doc_date(after, "apiKeys.0.revokedAt", 0), NOW_MS);
        assert_int_equal(pk_doc_date(after, "apiKeys.0.expiresAt", 0), NOW_MS + 1000);
        pk_doc_unref(after);
    }
    expect_noted(&scene, "key.revoked", 1);

    for (int i = 0; i < PK_ACTOR_KEYS_MAX; i++) {
        (void)make_key(&scene, id, 0);
    }
    assert_ok(pk_actor_get(&scene.books, id, &after, &scene.err), &scene.err);
    assert_string_not_equal(pk_doc_text(after, "apiKeys.0.keyId"), first.id); /* Made room. */
    pk_doc_unref(after);
    assert_false(pk_actor_add_key(&scene.books, &scene.by, id, 0, "k", 0, &key, NULL, &scene.err));
    expect_error(&scene.err, PK_CONFLICT, "100 active keys");
    pk_doc_unref(actor);
    scene_close(&scene);
}

TEST(a_change_has_the_time_that_its_request_has_left)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct pk_by late = scene.by;
    late.deadline_ns = 1; /* Long ago. */
    bson_t wanted = json("{'actorType':'human','name':'n'}");
    assert_false(pk_actor_create(&scene.books, &late, &wanted, NULL, &scene.err));
    expect_error(&scene.err, PK_BUSY, "");
    assert_int_equal(count_docs(&scene, "actors"), 0);
    assert_ok(pk_actor_create(&scene.books, &scene.by, &wanted, NULL, &scene.err), &scene.err);
    bson_destroy(&wanted);
    scene_close(&scene);
}

TEST(actors_are_listed_whole_and_by_status)
{
    struct scene scene;
    struct pk_page page;
    scene_open(&scene, NULL);
    for (int i = 0; i < 5; i++) {
        struct pk_doc *actor = make_actor(&scene, "a", "{}");
        if (i % 2) {
            assert_ok(pk_actor_move(&scene.books, &scene.by, pk_doc_id(actor), 0, PK_ACTOR_SUSPEND,
                                    NULL, &scene.err),
                      &scene.err);
        }
        pk_doc_unref(actor);
    }
    assert_ok(pk_actor_list(&scene.books, NULL, 3, NULL, &page, &scene.err), &scene.err);
    assert_int_equal(page.count, 3);
    char *next = pk_strdup(page.next);
    pk_page_done(&page);
    assert_ok(pk_actor_list(&scene.books, NULL, 3, next, &page, &scene.err), &scene.err);
    assert_int_equal(page.count, 2);
    pk_page_done(&page);
    pk_free(next);
    assert_ok(pk_actor_list(&scene.books, "suspended", 0, NULL, &page, &scene.err), &scene.err);
    assert_int_equal(page.count, 2);
    pk_page_done(&page);
    scene_close(&scene);
}

/* ---- Races ---- */

struct rush {
    struct scene *scene;
    _Atomic int won, lost, other;
    char id[PK_UUID_TEXT];
};

static void rush_for_email(void *context, size_t number)
{
    struct rush *rush = context;
    struct pk_error err = { 0 };
    struct pk_doc *actor = NULL;
    bson_t wanted = json("{'actorType':'human','name':'n%zu','email':'%s@x.org'}", number,
                         number % 2 ? "Same" : "same");
    if (pk_actor_create(&rush->scene->books, &rush->scene->by, &wanted, &actor, &err)) {
        rush->won++;
    } else if (err.code == PK_CONFLICT && strstr(err.message, "the email is taken")) {
        rush->lost++;
    } else {
        rush->other++;
    }
    pk_doc_unref(actor);
    bson_destroy(&wanted);
}

TEST(of_32_who_want_one_email_one_gets_it)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct rush rush = { .scene = &scene };
    run_threads(32, rush_for_email, &rush);
    assert_int_equal(rush.won, 1);
    assert_int_equal(rush.lost, 31);
    assert_int_equal(count_docs(&scene, "actors"), 1);
    expect_noted(&scene, "actor.created", 1);
    scene_close(&scene);
}

static void rush_to_add(void *context, size_t number)
{
    struct rush *rush = context;
    struct pk_error err = { 0 };
    struct pk_key key;
    (void)number;
    const bool ok = pk_actor_add_key(&rush->scene->books, &rush->scene->by, rush->id, 0, "k", 0,
                                     &key, NULL, &err);
    rush->won += ok;
    rush->other += !ok;
}

TEST(no_key_is_lost_among_16_who_add_at_once)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct pk_doc *actor = make_actor(&scene, "a", "{}");
    struct rush rush = { .scene = &scene };
    (void)snprintf(rush.id, sizeof(rush.id), "%s", pk_doc_id(actor));
    pk_doc_unref(actor);
    run_threads(16, rush_to_add, &rush);
    assert_int_equal(rush.other, 0);
    assert_ok(pk_actor_get(&scene.books, rush.id, &actor, &scene.err), &scene.err);
    assert_non_null(pk_doc_text(actor, "apiKeys.15.keyId"));
    assert_null(pk_doc_text(actor, "apiKeys.16.keyId"));
    expect_noted(&scene, "key.created", 16);
    pk_doc_unref(actor);
    scene_close(&scene);
}

TEST(an_audit_row_names_people_by_hash_alone)
{
    static const char person[] = "b7a1c0de-0000-4000-8000-000000000001";
    struct scene scene;
    struct pk_writes list = { 0 };
    struct pk_page page;
    char hash[PK_HASH_TEXT];
    scene_open(&scene, NULL);
    scene.books.audit_keep_ms = 1000;
    const struct pk_fact fact[] = { { "why", "asked" }, { "left", NULL }, { NULL, NULL } };
    const struct pk_audit audit = { .action = "person.erased",
                                    .person = person,
                                    .target_type = "people",
                                    .outcome = "refused",
                                    .fact = fact };
    pk_audit_add(&list, &scene.books, &scene.by, &audit);
    assert_ok(pk_store_commit(scene.store, &list, 0, NULL, &scene.err), &scene.err);
    pk_writes_done(&list);
    pk_audit_person(scene.peppers, person, hash);
    const struct pk_query query = {
        .collection = "audit", .index = "by_user", .equal = { PK_TEXT(hash) }, .equal_count = 1
    };
    assert_ok(pk_store_find(scene.store, &query, 0, &page, &scene.err), &scene.err);
    assert_int_equal(page.count, 1);
    assert_string_equal(pk_doc_text(page.doc[0], "outcome"), "refused");
    assert_string_equal(pk_doc_text(page.doc[0], "details.why"), "asked");
    assert_string_equal(pk_doc_text(page.doc[0], "requestId"), "r-1");
    assert_int_equal(pk_doc_date(page.doc[0], "expiresAt", 0), NOW_MS + 1000);
    struct pk_buf text = { 0 };
    bson_t view;
    pk_doc_view(page.doc[0], &view);
    assert_ok(pk_json_write(&text, &view, PK_JSON_COMPACT, &scene.err), &scene.err);
    assert_null(strstr(pk_buf_text(&text), person));
    pk_buf_done(&text);
    pk_page_done(&page);
    scene_close(&scene);
}
