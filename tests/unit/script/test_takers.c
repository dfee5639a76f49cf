/* test_takers.c - What is saved is taken side by side; under one path in its order. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "script/takers.h"
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = PK_TEST_PATIENCE_MS };

/* What was taken, in its order; paths that begin with '#' do not end before they are let go. */
struct scene {
    struct pk_takers *takers;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char log[2048];
    int held;
    bool may_go;
};

static void take(void *context, const struct pk_taking *taking)
{
    struct scene *scene = context;
    (void)pthread_mutex_lock(&scene->mutex);
    if (taking->path[0] == '#') {
        scene->held++;
        (void)pthread_cond_broadcast(&scene->changed);
        while (!scene->may_go) {
            (void)pthread_cond_wait(&scene->changed, &scene->mutex);
        }
        scene->held--;
    }
    const size_t size = strlen(scene->log);
    (void)snprintf(scene->log + size, sizeof(scene->log) - size, "%s%s:%s%s%s ", taking->path,
                   taking->is_saved ? "!" : "", taking->bundle ? taking->bundle->file[0].text : "",
                   taking->why ? taking->why->message : "",
                   !taking->bundle && !taking->why ? "gone" : "");
    (void)pthread_mutex_unlock(&scene->mutex);
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){ .may_go = false };
    (void)pthread_mutex_init(&scene->mutex, NULL);
    (void)pthread_cond_init(&scene->changed, NULL);
    scene->takers = pk_takers_new(take, scene);
}

static void let_go(struct scene *scene)
{
    (void)pthread_mutex_lock(&scene->mutex);
    scene->may_go = true;
    (void)pthread_cond_broadcast(&scene->changed);
    (void)pthread_mutex_unlock(&scene->mutex);
}

static void await_held(struct scene *scene, int count)
{
    (void)pthread_mutex_lock(&scene->mutex);
    while (scene->held < count) {
        (void)pthread_cond_wait(&scene->changed, &scene->mutex);
    }
    (void)pthread_mutex_unlock(&scene->mutex);
}

static bool has(struct scene *scene, const char *words)
{
    (void)pthread_mutex_lock(&scene->mutex);
    const bool found = strstr(scene->log, words) != NULL;
    (void)pthread_mutex_unlock(&scene->mutex);
    return found;
}

static void await(struct scene *scene, const char *words)
{
    for (int i = 0; !has(scene, words); i++) {
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
}

static void scene_done(struct scene *scene)
{
    let_go(scene);
    pk_takers_free(scene->takers);
    (void)pthread_cond_destroy(&scene->changed);
    (void)pthread_mutex_destroy(&scene->mutex);
}

static void add(struct scene *scene, const char *path, const char *text, bool is_saved)
{
    struct pk_bundle *bundle = NULL;
    struct pk_error err = { 0 };
    assert_ok(pk_bundle_of_text("a.lua", text, strlen(text), &bundle, &err), &err);
    pk_takers_add(scene->takers, &(struct pk_taking){ path, bundle, NULL, is_saved });
    pk_bundle_unref(bundle);
}

TEST(a_script_that_does_not_end_keeps_no_other_waiting)
{
    struct scene scene;
    scene_open(&scene);
    for (int i = 1; i < PK_TAKERS; i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("#%d", i);
        add(&scene, path, "endless", true);
    }
    await_held(&scene, PK_TAKERS - 1);
    add(&scene, "a.lua", "one", true);
    await(&scene, "a.lua!:one ");
    add(&scene, "b.lua", "two", true);
    await(&scene, "b.lua!:two ");
    assert_false(has(&scene, "endless"));
    assert_false(pk_takers_settle(scene.takers, 1));
    let_go(&scene);
    assert_true(pk_takers_settle(scene.takers, PATIENCE_MS));
    assert_true(has(&scene, "#1!:endless "));
    scene_done(&scene);
}

TEST(under_one_path_the_last_that_waits_counts_and_comes_after_what_is_under_way)
{
    struct scene scene;
    const struct pk_error why = { .code = PK_INVALID, .message = "half a script" };
    scene_open(&scene);
    add(&scene, "#p", "first", false);
    await_held(&scene, 1);
    add(&scene, "#p", "second", true);
    pk_takers_add(scene.takers, &(struct pk_taking){ "#p", NULL, &why, false });
    add(&scene, "q", "other", false);
    await(&scene, "q:other ");
    assert_string_equal(scene.log, "q:other ");
    let_go(&scene);
    assert_true(pk_takers_settle(scene.takers, PATIENCE_MS));
    assert_string_equal(scene.log, "q:other #p:first #p!:half a script ");
    pk_takers_add(scene.takers, &(struct pk_taking){ "#p", NULL, NULL, true });
    assert_true(pk_takers_settle(scene.takers, PATIENCE_MS));
    assert_true(has(&scene, "#p!:gone "));
    scene_done(&scene);
}

static void *end_it(void *context)
{
    struct scene *scene = context;
    pk_takers_free(scene->takers);
    scene->takers = NULL;
    return NULL;
}

TEST(an_end_waits_for_what_is_under_way_and_forgets_the_rest)
{
    struct scene scene;
    pthread_t thread;
    scene_open(&scene);
    for (int i = 0; i < PK_TAKERS + 3; i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("#%d", i);
        add(&scene, path, "x", true);
    }
    await_held(&scene, PK_TAKERS);
    assert_int_equal(pthread_create(&thread, NULL, end_it, &scene), 0);
    let_go(&scene);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(has(&scene, "#0!:x "));
    assert_int_equal(scene.held, 0);
    scene_done(&scene);
}

TEST(many_paths_are_all_taken)
{
    struct scene scene;
    scene_open(&scene);
    for (int i = 0; i < 64; i++) {
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("p%d", i);
        add(&scene, path, "x", true);
    }
    assert_true(pk_takers_settle(scene.takers, PATIENCE_MS));
    for (int i = 0; i < 64; i++) {
        PK_CLEANUP(pk_freep) char *words = pk_strdupf("p%d!:x ", i);
        assert_true(has(&scene, words));
    }
    scene_done(&scene);
}
