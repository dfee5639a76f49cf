/* test_admin.c - The first start and the reset, broken off wherever they can be. */
/* SPDX-License-Identifier: MIT */
#include "access/actor.h"
#include "access/admin.h"
#include "access/keyring.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "scene.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The key in the file, as the server would see it on a request. */
static bool works(struct scene *scene, const char *text)
{
    const struct pk_keyring_options options = { .store = scene->store,
                                                .clock = &scene->clock.clock,
                                                .peppers = scene->peppers };
    const struct pk_feed_item quiet = { .kind = PK_FEED_QUIET };
    struct pk_keyring *ring = pk_keyring_new(&options);
    struct pk_principal *principal = NULL;
    pk_keyring_hear(ring, &quiet);
    const bool ok = text && pk_keyring_fetch(ring, text, strcspn(text, "\n"), false, 0, &principal,
                                             &scene->err);
    assert_true(!ok || principal->capabilities == PK_CAN_ALL);
    assert_true(!ok || (principal->people.is_all && principal->mappers.is_all));
    pk_principal_unref(principal);
    pk_keyring_free(ring);
    return ok;
}

static void expect_whole(struct scene *scene)
{
    char *text = read_text(scene->folder, "admin.key");
    char *fresh = read_text(scene->folder, "admin.key.new");
    assert_non_null(text);
    assert_null(fresh);
    assert_int_equal(mode_of(scene->folder, "admin.key"), 0600);
    assert_true(works(scene, text));
    pk_free(text);
}

TEST(an_empty_store_gets_an_admin_once)
{
    struct scene scene;
    bool is_new;
    scene_open(&scene, NULL);
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    assert_true(is_new);
    expect_whole(&scene);
    char *before = read_text(scene.folder, "admin.key");
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    assert_false(is_new);
    char *after = read_text(scene.folder, "admin.key");
    assert_string_equal(before, after);
    pk_free(before);
    pk_free(after);
    assert_int_equal(count_docs(&scene, "actors"), 1);
    assert_int_equal(count_where(&scene, "audit", "action", "actor.created"), 1);
    assert_int_equal(count_where(&scene, "events", "eventType", "actor.created"), 1);
    scene_close(&scene);
}

TEST(a_store_with_actors_gets_none)
{
    struct scene scene;
    bool is_new;
    scene_open(&scene, NULL);
    pk_doc_unref(make_actor(&scene, "a", "{}"));
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    assert_false(is_new);
    assert_null(read_text(scene.folder, "admin.key"));
    assert_int_equal(count_docs(&scene, "actors"), 1);
    scene_close(&scene);
}

TEST(a_reset_makes_a_new_key_and_voids_the_old_ones)
{
    struct scene scene;
    bool is_new;
    scene_open(&scene, NULL);
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    char *old = read_text(scene.folder, "admin.key");
    struct pk_key other = make_key(&scene, PK_ADMIN_ID, 0);
    char other_text[PK_KEY_TEXT];
    pk_key_print(&other, other_text);
    assert_true(works(&scene, old) && works(&scene, other_text));
    struct pk_doc *second = make_actor(&scene, "second", "{'grants':['operate']}");
    (void)make_key(&scene, pk_doc_id(second), 0); /* Or 'admin' could not be archived. */
    pk_doc_unref(second);
    assert_ok(
        pk_actor_move(&scene.books, &scene.by, PK_ADMIN_ID, 0, PK_ACTOR_ARCHIVE, NULL, &scene.err),
        &scene.err);
    assert_false(works(&scene, old));
    assert_ok(pk_admin_reset(&scene.books, scene.folder, &scene.err), &scene.err);
    expect_whole(&scene);
    assert_false(works(&scene, old));
    assert_false(works(&scene, other_text));
    assert_int_equal(count_where(&scene, "audit", "action", "key.reset"), 1);
    assert_int_equal(count_where(&scene, "events", "eventType", "key.reset"), 1);
    pk_free(old);
    scene_close(&scene);
}

TEST(a_reset_after_the_pepper_was_lost_starts_over)
{
    struct scene scene;
    bool is_new;
    char path[600];
    scene_open(&scene, NULL);
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    (void)snprintf(path, sizeof(path), "%s/pepper", scene.folder);
    assert_int_equal(unlink(path), 0);
    pk_peppers_free(scene.peppers);
    assert_ok(pk_peppers_open(&scene.peppers, scene.folder, scene.store, true, &scene.err),
              &scene.err);
    scene.books.peppers = scene.peppers;
    assert_ok(pk_admin_reset(&scene.books, scene.folder, &scene.err), &scene.err);
    expect_whole(&scene);
    scene_close(&scene);
}

/* ---- Broken off ---- */

/* Runs ensure or reset in a child that ends without a word at its nth call of a system call that
 * changes a file: every point at which a power cut could leave something half done. */
static int broken_off(const char *folder, bool is_reset, int nth);

/* The calls are counted by wrapping them: these are found before libc's. */
static int calls_left = -1; /* -1: not counting. */

static void count_call(void)
{
    if (calls_left >= 0 && calls_left-- == 0) {
        _exit(99);
    }
}

int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);

int __wrap_fsync(int fd)
{
    count_call();
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    count_call();
    return __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
    count_call();
    return __real_unlink(path);
}

static int broken_off(const char *folder, bool is_reset, int nth)
{
    const pid_t child = fork();
    if (child == 0) {
        struct scene scene;
        bool is_new;
        scene_open(&scene, folder);
        calls_left = nth;
        const bool ok = is_reset ? pk_admin_reset(&scene.books, folder, NULL)
                                 : pk_admin_ensure(&scene.books, folder, &is_new, NULL);
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST(a_first_start_that_is_cut_anywhere_is_finished_by_the_next)
{
    int cuts = 0;
    for (int nth = 0;; nth++) {
        char folder[512];
        (void)snprintf(folder, sizeof(folder), "%s", pk_test_folder());
        const int how = broken_off(folder, false, nth);
        assert_true(how == 0 || how == 99);
        struct scene scene;
        bool is_new;
        scene_open(&scene, folder);
        assert_ok(pk_admin_ensure(&scene.books, folder, &is_new, &scene.err), &scene.err);
        expect_whole(&scene);
        assert_int_equal(count_docs(&scene, "actors"), 1);
        assert_int_equal(count_where(&scene, "audit", "action", "actor.created"), 1);
        scene_close(&scene);
        if (how == 0) {
            break;
        }
        cuts++;
    }
    print_message("# cut at %d places\n", cuts);
    assert_true(cuts >= 7); /* Two files of sync, rename, sync; and one removed. */
}

TEST(a_reset_that_is_cut_anywhere_leaves_a_key_that_works)
{
    for (int nth = 0;; nth++) {
        char folder[512];
        (void)snprintf(folder, sizeof(folder), "%s", pk_test_folder());
        assert_int_equal(broken_off(folder, false, -1), 0);
        const int how = broken_off(folder, true, nth);
        assert_true(how == 0 || how == 99);
        struct scene scene;
        bool is_new;
        scene_open(&scene, folder);
        assert_ok(pk_admin_ensure(&scene.books, folder, &is_new, &scene.err), &scene.err);
        assert_false(is_new);
        expect_whole(&scene);
        scene_close(&scene);
        if (how == 0) {
            break;
        }
    }
}

TEST(two_nodes_that_start_at_once_make_one_admin)
{
    struct scene scene;
    bool is_new;
    scene_open(&scene, NULL);
    char other[512];
    (void)snprintf(other, sizeof(other), "%s", pk_test_folder());
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    assert_ok(pk_admin_ensure(&scene.books, other, &is_new, &scene.err), &scene.err);
    assert_false(is_new);
    assert_null(read_text(other, "admin.key"));
    assert_null(read_text(other, "admin.key.new"));
    scene_close(&scene);
}

/* A scene of the same store, with a folder of its own: another node. */
struct node {
    struct scene *scene;
    char folder[512];
};

static void start_node(void *context)
{
    struct node *node = context;
    struct pk_error err = { 0 };
    bool is_new;
    assert_ok(pk_admin_ensure(&node->scene->books, node->folder, &is_new, &err), &err);
    assert_true(is_new);
}

static void have_two_looks(void *context)
{
    interrupt_once("_id", start_node, context);
}

TEST(a_node_that_starts_while_another_decides_keeps_its_key)
{
    void (*const instant[])(void *) = { start_node, have_two_looks };
    for (size_t i = 0; i < PK_COUNT(instant); i++) { /* After the first look, after the second. */
        struct scene scene;
        bool is_new;
        scene_open(&scene, NULL);
        struct node node = { .scene = &scene };
        (void)snprintf(node.folder, sizeof(node.folder), "%s", pk_test_folder());
        interrupt_once("_id", instant[i], &node);
        assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
        assert_true(was_interrupted());
        assert_false(is_new);
        assert_null(read_text(scene.folder, "admin.key"));
        char *text = read_text(node.folder, "admin.key");
        assert_true(works(&scene, text));
        pk_free(text);
        scene_close(&scene);
    }
}

struct start {
    struct scene *scene;
    char folder[8][512];
    _Atomic int made, failed;
};

static void start_one(void *context, size_t number)
{
    struct start *start = context;
    bool is_new = false;
    if (!pk_admin_ensure(&start->scene->books, start->folder[number], &is_new, NULL)) {
        start->failed++;
    }
    start->made += is_new;
}

TEST(of_eight_that_start_at_the_same_instant_one_has_the_key)
{
    struct scene scene;
    scene_open(&scene, NULL);
    struct start start = { .scene = &scene };
    for (size_t i = 0; i < 8; i++) {
        (void)snprintf(start.folder[i], sizeof(start.folder[i]), "%s", pk_test_folder());
    }
    run_threads(8, start_one, &start);
    assert_int_equal(start.failed, 0);
    assert_int_equal(start.made, 1);
    assert_int_equal(count_docs(&scene, "actors"), 1);
    int files = 0;
    for (size_t i = 0; i < 8; i++) {
        char *text = read_text(start.folder[i], "admin.key");
        files += text != NULL;
        assert_true(!text || works(&scene, text));
        assert_null(read_text(start.folder[i], "admin.key.new"));
        pk_free(text);
    }
    assert_int_equal(files, 1);
    scene_close(&scene);
}

TEST(a_new_file_that_holds_nonsense_is_taken_away)
{
    struct scene scene;
    bool is_new;
    scene_open(&scene, NULL);
    write_text(scene.folder, "admin.key.new", "pk_not_a_key\n", 0600);
    assert_ok(pk_admin_ensure(&scene.books, scene.folder, &is_new, &scene.err), &scene.err);
    assert_true(is_new);
    expect_whole(&scene);
    scene_close(&scene);
}
