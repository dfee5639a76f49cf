/* test_pepper.c - The pepper file: made once, read strictly, never lost in silence. */
/* SPDX-License-Identifier: MIT */
#include "access/pepper.h"
#include "base/alloc.h"
#include "scene.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(a_first_start_makes_one_that_only_its_owner_reads)
{
    struct scene scene;
    scene_open(&scene, NULL);
    assert_int_equal(mode_of(scene.folder, "pepper"), 0600);
    assert_int_equal(pk_peppers_count(scene.peppers), 1);
    assert_ptr_equal(pk_peppers_first(scene.peppers), pk_peppers_newest(scene.peppers));
    scene_close(&scene);
}

TEST(a_second_start_reads_the_same)
{
    struct scene scene, again;
    scene_open(&scene, NULL);
    const struct pk_pepper first = *pk_peppers_newest(scene.peppers);
    scene_close(&scene);
    scene_open(&again, scene.folder);
    assert_memory_equal(&first, pk_peppers_newest(again.peppers), sizeof(first));
    scene_close(&again);
}

TEST(rotating_adds_a_newest_and_keeps_the_others)
{
    struct scene scene;
    struct pk_peppers *more = NULL;
    scene_open(&scene, NULL);
    const struct pk_pepper *old = pk_peppers_newest(scene.peppers);
    assert_ok(pk_peppers_rotate(scene.folder, &scene.err), &scene.err);
    assert_ok(pk_peppers_open(&more, scene.folder, scene.store, false, &scene.err), &scene.err);
    assert_int_equal(pk_peppers_count(more), 2);
    assert_string_not_equal(pk_peppers_newest(more)->id, old->id);
    assert_memory_equal(pk_peppers_find(more, old->id), old, sizeof(*old));
    assert_memory_equal(pk_peppers_first(more), old, sizeof(*old));
    assert_null(pk_peppers_find(more, NULL));
    assert_null(pk_peppers_find(more, ""));
    assert_int_equal(mode_of(scene.folder, "pepper"), 0600);
    pk_peppers_free(more);
    scene_close(&scene);
}

TEST(rotating_ends_at_a_limit_and_retiring_makes_room)
{
    struct scene scene;
    struct pk_peppers *all = NULL;
    scene_open(&scene, NULL);
    for (int i = 1; i < PK_PEPPERS_MAX; i++) {
        assert_ok(pk_peppers_rotate(scene.folder, &scene.err), &scene.err);
    }
    assert_false(pk_peppers_rotate(scene.folder, &scene.err));
    expect_error(&scene.err, PK_PRECONDITION, "there are 16 already");

    assert_ok(pk_peppers_open(&all, scene.folder, scene.store, false, &scene.err), &scene.err);
    assert_false(pk_peppers_retire(scene.folder, pk_peppers_first(all)->id, &scene.err));
    expect_error(&scene.err, PK_PRECONDITION, "is the first");
    assert_false(pk_peppers_retire(scene.folder, pk_peppers_newest(all)->id, &scene.err));
    expect_error(&scene.err, PK_PRECONDITION, "is the newest");
    assert_false(pk_peppers_retire(scene.folder, "zzzzzzzz", &scene.err));
    expect_error(&scene.err, PK_NOT_FOUND, "zzzzzzzz");

    const char *second = pk_peppers_first(all)[1].id;
    assert_ok(pk_peppers_retire(scene.folder, second, &scene.err), &scene.err);
    struct pk_peppers *left = NULL;
    assert_ok(pk_peppers_open(&left, scene.folder, scene.store, false, &scene.err), &scene.err);
    assert_int_equal(pk_peppers_count(left), PK_PEPPERS_MAX - 1);
    assert_null(pk_peppers_find(left, second));
    pk_peppers_free(left);
    pk_peppers_free(all);
    scene_close(&scene);
}

static void expect_refusal(struct scene *scene, enum pk_code code, const char *part)
{
    struct pk_peppers *peppers = NULL;
    assert_false(pk_peppers_open(&peppers, scene->folder, scene->store, false, &scene->err));
    expect_error(&scene->err, code, part);
    assert_null(peppers);
}

TEST(a_file_that_others_may_read_is_refused)
{
    struct scene scene;
    char path[600];
    scene_open(&scene, NULL);
    (void)snprintf(path, sizeof(path), "%s/pepper", scene.folder);
    static const unsigned mode[] = { 0640, 0604, 0660, 0610, 0601, 0644 };
    for (size_t i = 0; i < PK_COUNT(mode); i++) {
        assert_int_equal(chmod(path, (mode_t)mode[i]), 0);
        expect_refusal(&scene, PK_FORBIDDEN, "is open to others");
    }
    scene_close(&scene);
}

TEST(a_file_with_one_byte_changed_or_missing_is_refused)
{
    struct scene scene;
    scene_open(&scene, NULL);
    assert_ok(pk_peppers_rotate(scene.folder, &scene.err), &scene.err);
    char *text = read_text(scene.folder, "pepper");
    const size_t size = strlen(text);
    for (size_t at = 0; at < size; at++) {
        text[at] ^= 1;
        write_text(scene.folder, "pepper", text, 0600);
        expect_refusal(&scene, PK_INTERNAL, "is damaged");
        text[at] ^= 1;
    }
    for (size_t cut = 0; cut < size; cut += 7) {
        char *part = pk_strndup(text, cut);
        write_text(scene.folder, "pepper", part, 0600);
        expect_refusal(&scene, PK_INTERNAL, "is damaged");
        pk_free(part);
    }
    expect_silence(&scene.err, "0123456789");
    pk_free(text);
    scene_close(&scene);
}

static void remove_pepper(struct scene *scene)
{
    char path[600];
    (void)snprintf(path, sizeof(path), "%s/pepper", scene->folder);
    assert_int_equal(unlink(path), 0);
}

TEST(a_missing_file_is_refused_while_there_are_keys)
{
    struct scene scene;
    struct pk_peppers *fresh = NULL;
    scene_open(&scene, NULL);
    struct pk_doc *actor = make_actor(&scene, "a", "{}");
    remove_pepper(&scene);
    assert_ok(pk_peppers_open(&fresh, scene.folder, scene.store, false, &scene.err), &scene.err);
    pk_peppers_free(fresh); /* An actor without keys needs none. */

    struct pk_key key = make_key(&scene, pk_doc_id(actor), 0);
    expect_refusal(&scene, PK_PRECONDITION, "belongs to another store");
    remove_pepper(&scene);
    expect_refusal(&scene, PK_PRECONDITION, "is missing");
    assert_int_equal(access(scene.folder, F_OK), 0);
    assert_null(read_text(scene.folder, "pepper")); /* A refusal makes nothing. */
    assert_ok(pk_peppers_open(&fresh, scene.folder, scene.store, true, &scene.err), &scene.err);
    pk_peppers_free(fresh);
    pk_key_wipe(&key);
    pk_doc_unref(actor);
    scene_close(&scene);
}

TEST(people_have_one_hash_that_survives_a_rotation)
{
    struct scene scene;
    struct pk_peppers *more = NULL;
    char a[PK_HASH_TEXT], b[PK_HASH_TEXT], c[PK_HASH_TEXT];
    scene_open(&scene, NULL);
    pk_audit_person(scene.peppers, "b7a1c0de-0000-4000-8000-000000000001", a);
    pk_audit_person(scene.peppers, "b7a1c0de-0000-4000-8000-000000000002", b);
    assert_string_not_equal(a, b);
    assert_ok(pk_peppers_rotate(scene.folder, &scene.err), &scene.err);
    assert_ok(pk_peppers_open(&more, scene.folder, scene.store, false, &scene.err), &scene.err);
    pk_audit_person(more, "b7a1c0de-0000-4000-8000-000000000001", c);
    assert_string_equal(a, c);
    pk_peppers_free(more);
    scene_close(&scene);
}
