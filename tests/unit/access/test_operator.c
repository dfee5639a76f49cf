/* test_operator.c - Nobody locks himself out: the last one who can run the server stays. */
/* SPDX-License-Identifier: MIT */
#include "access/actor.h"
#include "base/alloc.h"
#include "base/id.h"
#include "scene.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct boss {
    char id[PK_UUID_TEXT];
    struct pk_key key;
};

static struct boss make_operator(struct scene *scene, const char *name, int64_t expires_at_ms)
{
    struct boss made;
    struct pk_doc *actor = make_actor(scene, name, "{'grants':['curate','operate']}");
    (void)snprintf(made.id, sizeof(made.id), "%s", pk_doc_id(actor));
    made.key = make_key(scene, made.id, expires_at_ms);
    pk_doc_unref(actor);
    return made;
}

/* The four ways to stop being an operator. */
static bool suspend(struct scene *scene, const struct boss *who, struct pk_error *err)
{
    return pk_actor_move(&scene->books, &scene->by, who->id, 0, PK_ACTOR_SUSPEND, NULL, err);
}
static bool archive(struct scene *scene, const struct boss *who, struct pk_error *err)
{
    return pk_actor_move(&scene->books, &scene->by, who->id, 0, PK_ACTOR_ARCHIVE, NULL, err);
}
static bool strip(struct scene *scene, const struct boss *who, struct pk_error *err)
{
    bson_t wanted = json("{'capabilities':{'grants':['curate']}}");
    const bool ok = pk_actor_change(&scene->books, &scene->by, who->id, 0, &wanted, NULL, err);
    bson_destroy(&wanted);
    return ok;
}
static bool revoke_key(struct scene *scene, const struct boss *who, struct pk_error *err)
{
    return pk_actor_revoke_key(&scene->books, &scene->by, who->id, 0, who->key.id, NULL, err);
}
static bool (*const way[])(struct scene *scene, const struct boss *who,
                           struct pk_error *err) = { suspend, archive, strip, revoke_key };

TEST(the_last_operator_can_be_taken_away_in_no_way)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct boss only = make_operator(&scene, "only", 0);
    pk_doc_unref(make_actor(&scene, "no key", "{'grants':['operate']}"));
    struct pk_doc *plain = make_actor(&scene, "no operator", "{'grants':['curate']}");
    (void)make_key(&scene, pk_doc_id(plain), 0);
    pk_doc_unref(plain);
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        assert_false(way[i](&scene, &only, &scene.err));
        expect_error(&scene.err, PK_CONFLICT, "the last actor who can run the server");
        assert_non_null(strstr(scene.err.hint, "key reset"));
    }
    scene_close(&scene);
}

TEST(with_another_operator_each_way_is_open)
{
    for (size_t i = 0; i < PK_COUNT(way); i++) {
        struct scene scene;
        scene_open(&scene, NULL);
        struct boss one = make_operator(&scene, "one", 0);
        (void)make_operator(&scene, "other", 0);
        assert_ok(way[i](&scene, &one, &scene.err), &scene.err);
        scene_close(&scene);
    }
}

TEST(a_second_key_lets_the_first_one_go_and_an_expired_one_does_not)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct boss only = make_operator(&scene, "only", 0);
    struct pk_key soon = make_key(&scene, only.id, NOW_MS + 1000);
    assert_ok(revoke_key(&scene, &only, &scene.err), &scene.err);
    pk_clock_fake_advance(&scene.clock, 500);
    only.key = make_key(&scene, only.id, 0);
    pk_clock_fake_advance(&scene.clock, 1000);
    assert_false(revoke_key(&scene, &only, &scene.err)); /* 'soon' has expired. */
    only.key = soon;
    assert_ok(revoke_key(&scene, &only, &scene.err), &scene.err);
    scene_close(&scene);
}

TEST(an_operator_whose_key_has_expired_is_none)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct boss only = make_operator(&scene, "only", 0);
    struct boss late = make_operator(&scene, "late", NOW_MS + 1000);
    pk_clock_fake_advance(&scene.clock, 2000);
    assert_false(suspend(&scene, &only, &scene.err));
    assert_ok(suspend(&scene, &late, &scene.err), &scene.err); /* He is no operator any more. */
    scene_close(&scene);
}

TEST(other_changes_of_the_last_operator_are_free)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct boss only = make_operator(&scene, "only", 0);
    bson_t wanted = json("{'name':'new','capabilities':{'people':['*']}}");
    assert_ok(pk_actor_change(&scene.books, &scene.by, only.id, 0, &wanted, NULL, &scene.err),
              &scene.err);
    bson_destroy(&wanted);
    scene_close(&scene);
}

struct duel {
    struct scene *scene;
    struct boss fighter[2];
    atomic_int fallen, refused;
};

static void fire(void *context, size_t number)
{
    struct duel *duel = context;
    struct pk_error err = { 0 };
    const bool ok = suspend(duel->scene, &duel->fighter[1 - number], &err);
    duel->fallen += ok;
    duel->refused += !ok && err.code == PK_CONFLICT;
}

TEST(of_two_operators_who_suspend_each_other_one_stays)
{
    for (int round = 0; round < 20; round++) {
        struct scene scene;
        scene_open(&scene, NULL);
        struct duel duel = { .scene = &scene };
        duel.fighter[0] = make_operator(&scene, "one", 0);
        duel.fighter[1] = make_operator(&scene, "other", 0);
        run_threads(2, fire, &duel);
        assert_int_equal(duel.fallen, 1);
        assert_int_equal(duel.refused, 1);
        scene_close(&scene);
    }
}

static void fall_too(void *context)
{
    struct duel *duel = context;
    assert_ok(suspend(duel->scene, &duel->fighter[0], &duel->scene->err), &duel->scene->err);
}

TEST(the_other_one_who_falls_between_look_and_commit_is_noticed)
{
    struct scene scene;
    struct pk_error err = { 0 };
    scene_open(&scene, NULL);
    struct duel duel = { .scene = &scene };
    duel.fighter[0] = make_operator(&scene, "one", 0);
    duel.fighter[1] = make_operator(&scene, "other", 0);
    interrupt_once("by_status", fall_too, &duel);
    assert_false(suspend(&scene, &duel.fighter[1], &err));
    assert_true(was_interrupted());
    expect_error(&err, PK_CONFLICT, "the last actor");
    scene_close(&scene);
}

/* ---- What goes with a change ---- */

struct company {
    int asked;
    int64_t version;
};

static bool note(void *context, struct pk_writes *list, const struct pk_doc *doc,
                 struct pk_error *err)
{
    struct company *company = context;
    (void)list;
    (void)err;
    company->asked++;
    company->version = pk_doc_version(doc);
    return true;
}

TEST(what_goes_with_a_change_knows_the_version_before_the_commit)
{
    struct scene scene;
    char cursor[PK_POSITION_TEXT] = "";
    struct company company = { 0 };
    struct pk_doc *actor = NULL;
    struct pk_doc *stored = NULL;
    scene_open(&scene, NULL);
    scene.by.complete = note;
    scene.by.context = &company;
    scene.by.cursor = cursor;
    actor = make_actor(&scene, "a", "{}");
    assert_int_equal(company.asked, 1);
    assert_true(cursor[0] != '\0');
    assert_ok(pk_actor_get(&scene.books, pk_doc_id(actor), &stored, &scene.err), &scene.err);
    assert_true(pk_doc_same(actor, stored));
    assert_int_equal(pk_doc_version(stored), company.version);
    assert_int_equal(pk_doc_version(actor), company.version);
    pk_doc_unref(stored);
    for (int i = 2; i < 4; i++) { /* The second time there is nothing to change. */
        assert_ok(pk_actor_move(&scene.books, &scene.by, pk_doc_id(actor), 0, PK_ACTOR_SUSPEND,
                                &stored, &scene.err),
                  &scene.err);
        assert_int_equal(company.asked, i);
        assert_int_equal(pk_doc_version(stored), company.version);
        pk_doc_unref(stored);
    }
    pk_doc_unref(actor);
    scene_close(&scene);
}
