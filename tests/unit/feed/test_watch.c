/* test_watch.c - One follower for all: order, silence, and those who wait.
 *
 * Each case runs on SQLite, and as mongo_... on MongoDB when PK_TEST_MONGODB
 * names a replica set. */
/* SPDX-License-Identifier: MIT */
#include "bed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "doc/doc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = PK_TEST_PATIENCE_MS };

struct scene {
    struct bed bed;
    struct heard heard;
    struct pk_watch *watch;
    struct pk_log *log;
    FILE *log_file;
};

static void scene_open(struct scene *scene, enum engine engine, const char *url, size_t waiters_max)
{
    struct pk_error err = { 0 };
    bed_open(&scene->bed, engine, url);
    heard_init(&scene->heard);
    scene->log_file = tmpfile();
    scene->log = pk_log_new(
        &(struct pk_log_options){ .fd = fileno(scene->log_file), .format = PK_LOG_JSON });
    scene->watch = pk_watch_new(&(struct pk_watch_options){ .store = scene->bed.store,
                                                            .clock = pk_clock_system(),
                                                            .log = scene->log,
                                                            .waiters_max = waiters_max });
    pk_watch_tell(scene->watch, heard_listen, &scene->heard);
    assert_ok(pk_watch_start(scene->watch, &err), &err);
}

static void scene_done(struct scene *scene)
{
    pk_watch_free(scene->watch);
    pk_log_free(scene->log);
    if (scene->log_file) {
        (void)fclose(scene->log_file);
    }
    bed_done(&scene->bed);
}
#define SCENE(name, engine)                           \
    PK_CLEANUP(scene_done) struct scene name = { 0 }; \
    scene_open(&name, engine, NULL, 0)

/* A case for both engines. */
#define BOTH(name)                        \
    static void name(enum engine engine); \
    TEST(name)                            \
    {                                     \
        name(ENGINE_SQLITE);              \
    }                                     \
    TEST(mongo_##name)                    \
    {                                     \
        name(ENGINE_MONGO);               \
    }                                     \
    static void name(enum engine engine)

static bool has_passed(struct scene *scene, const char *cursor)
{
    struct pk_error err = { 0 };
    bool is_passed = false;
    assert_ok(pk_watch_has_passed(scene->watch, cursor, &is_passed, &err), &err);
    return is_passed;
}

static void wait_for(struct scene *scene, const char *cursor)
{
    struct pk_error err = { 0 };
    assert_ok(pk_watch_wait(scene->watch, cursor, heard_wake, &scene->heard, &err), &err);
}

/* A cursor that no commit of this store will have for a long time. */
static void future_cursor(const struct scene *scene, char out[PK_POSITION_TEXT])
{
    (void)snprintf(out, PK_POSITION_TEXT,
                   scene->bed.is_mongo ? "%s.t4294967295.1" : "%s.4294967295",
                   pk_store_epoch(scene->bed.store));
}

static struct pk_watch_stats stats_of(struct scene *scene)
{
    struct pk_watch_stats stats;
    pk_watch_stats(scene->watch, &stats);
    return stats;
}

static size_t count_lines(struct scene *scene, const char *part)
{
    char line[2048];
    size_t count = 0;
    rewind(scene->log_file);
    while (fgets(line, sizeof(line), scene->log_file)) {
        count += strstr(line, part) != NULL;
    }
    return count;
}

/* ---- Hearing ---- */

BOTH(listeners_hear_every_event_in_order)
{
    SCENE(scene, engine);
    for (int i = 0; i < 200; i++) {
        announce(&scene.bed, i, NULL);
    }
    await_count(&scene.heard, &scene.heard.events, 200, WAIT_MS);
    pk_watch_stop(scene.watch);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(scene.heard.number[i], i);
    }
    assert_int_equal(scene.heard.gaps, 0);
}

BOTH(a_quiet_feed_is_told_so_often_that_silence_shows)
{
    SCENE(scene, engine);
    await_count(&scene.heard, &scene.heard.quiet, 4, WAIT_MS);
    assert_in_range(stats_of(&scene).silence_ms, 0, WAIT_MS);
    assert_int_equal(stats_of(&scene).failures, 0);
}

BOTH(nobody_is_told_anything_after_the_stop)
{
    SCENE(scene, engine);
    announce(&scene.bed, 1, NULL);
    await_count(&scene.heard, &scene.heard.events, 1, WAIT_MS);
    pk_watch_stop(scene.watch);
    const size_t quiet = read_count(&scene.heard, &scene.heard.quiet);
    announce(&scene.bed, 2, NULL);
    pk_watch_stop(scene.watch); /* More than once is fine. */
    assert_int_equal(scene.heard.events, 1);
    assert_int_equal(scene.heard.quiet, quiet);
}

TEST(mongo_a_gap_is_told_and_counted)
{
    SCENE(scene, ENGINE_MONGO);
    announce(&scene.bed, 1, NULL);
    await_count(&scene.heard, &scene.heard.events, 1, WAIT_MS);
    drop_feed(&scene.bed);
    await_count(&scene.heard, &scene.heard.gaps, 1, WAIT_MS);
    announce(&scene.bed, 2, NULL);
    await_count(&scene.heard, &scene.heard.events, 2, WAIT_MS);
    assert_int_equal(stats_of(&scene).gaps, 1);
}

/* ---- Waiting ---- */

BOTH(who_waits_is_woken_when_the_listeners_know)
{
    struct pk_commit out;
    SCENE(scene, engine);
    for (int i = 1; i <= 20; i++) {
        announce(&scene.bed, i, &out);
        wait_for(&scene, out.cursor);
        await_count(&scene.heard, &scene.heard.woken, (size_t)i, WAIT_MS);
        assert_true(read_count(&scene.heard, &scene.heard.events) >= (size_t)i);
        assert_true(has_passed(&scene, out.cursor));
    }
}

BOTH(a_wait_for_what_was_passed_ends_before_it_begins)
{
    struct pk_commit out;
    SCENE(scene, engine);
    announce(&scene.bed, 1, &out);
    wait_for(&scene, out.cursor);
    await_count(&scene.heard, &scene.heard.woken, 1, WAIT_MS);
    wait_for(&scene, out.cursor);
    assert_int_equal(read_count(&scene.heard, &scene.heard.woken), 2);
    wait_for(&scene, ""); /* An empty list wrote nothing. */
    assert_int_equal(read_count(&scene.heard, &scene.heard.woken), 3);
    assert_int_equal(stats_of(&scene).waiters, 0);
}

/* On MongoDB nothing moves a quiet stream past the last commit by itself for half a second. */
BOTH(a_hundred_who_wait_on_a_quiet_feed_are_woken_soon)
{
    struct pk_commit out;
    SCENE(scene, engine);
    announce(&scene.bed, 1, &out);
    const int64_t begun_ns = pk_clock_mono_ns(pk_clock_system());
    for (int i = 0; i < 100; i++) {
        wait_for(&scene, out.cursor);
    }
    await_count(&scene.heard, &scene.heard.woken, 100, WAIT_MS);
    print_message("# 100 were woken after %lld us\n",
                  (long long)(pk_clock_mono_ns(pk_clock_system()) - begun_ns) / 1000);
    assert_int_equal(read_count(&scene.heard, &scene.heard.events), 1); /* Barriers are not told. */
    assert_int_equal(stats_of(&scene).waiters, 0);
}

BOTH(a_cursor_of_the_future_waits_and_disturbs_nobody)
{
    struct pk_commit out;
    char future[PK_POSITION_TEXT];
    SCENE(scene, engine);
    future_cursor(&scene, future);
    for (int i = 0; i < 2000; i++) {
        wait_for(&scene, future);
    }
    for (int i = 1; i <= 50; i++) {
        announce(&scene.bed, i, &out);
        wait_for(&scene, out.cursor);
        await_count(&scene.heard, &scene.heard.woken, (size_t)i, WAIT_MS);
    }
    assert_false(has_passed(&scene, future));
    assert_int_equal(stats_of(&scene).waiters, 2000);
    pk_watch_stop(scene.watch);
    assert_int_equal(scene.heard.woken, 2050);
}

BOTH(a_stop_wakes_all_and_so_does_a_wait_behind_it)
{
    char future[PK_POSITION_TEXT];
    SCENE(scene, engine);
    future_cursor(&scene, future);
    for (int i = 0; i < 10; i++) {
        wait_for(&scene, future);
    }
    pk_watch_stop(scene.watch);
    assert_int_equal(scene.heard.woken, 10);
    wait_for(&scene, future);
    assert_int_equal(scene.heard.woken, 11);
}

BOTH(a_cursor_of_another_store_is_invalid)
{
    struct pk_error err = { 0 };
    bool is_passed = false;
    SCENE(scene, engine);
    assert_false(pk_watch_has_passed(scene.watch, "elsewhere.1", &is_passed, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_false(pk_watch_wait(scene.watch, "elsewhere.1", heard_wake, &scene.heard, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_int_equal(read_count(&scene.heard, &scene.heard.woken), 0);
}

TEST(too_many_who_wait_are_refused_and_not_woken)
{
    struct pk_error err = { 0 };
    char future[PK_POSITION_TEXT];
    PK_CLEANUP(scene_done) struct scene scene = { 0 };
    scene_open(&scene, ENGINE_SQLITE, NULL, 3);
    future_cursor(&scene, future);
    for (int i = 0; i < 3; i++) {
        wait_for(&scene, future);
    }
    assert_false(pk_watch_wait(scene.watch, future, heard_wake, &scene.heard, &err));
    assert_int_equal(err.code, PK_BUSY);
    assert_int_equal(read_count(&scene.heard, &scene.heard.woken), 0);
}

TEST(before_the_start_nothing_is_passed_and_the_silence_has_no_end)
{
    struct pk_watch_stats stats;
    bool is_passed = true;
    char position[PK_POSITION_TEXT] = "x";
    struct pk_commit out;
    PK_CLEANUP(bed_done) struct bed bed = { 0 };
    bed_open(&bed, ENGINE_SQLITE, NULL);
    announce(&bed, 1, &out);
    struct pk_watch *watch =
        pk_watch_new(&(struct pk_watch_options){ .store = bed.store, .clock = pk_clock_system() });
    pk_watch_stats(watch, &stats);
    assert_true(stats.silence_ms == INT64_MAX);
    pk_watch_position(watch, position, sizeof(position));
    assert_string_equal(position, "");
    assert_true(pk_watch_has_passed(watch, out.cursor, &is_passed, NULL));
    assert_false(is_passed);
    pk_watch_free(watch);
}

/* Writers, waiters and readers of everything at the same time; of use under TSan, above all. */
struct crowd {
    struct scene *scene;
    pthread_t thread;
};
static void *write_and_wait(void *argument)
{
    struct scene *scene = ((struct crowd *)argument)->scene;
    struct pk_commit out;
    char position[PK_POSITION_TEXT];
    for (int i = 0; i < 50; i++) {
        announce(&scene->bed, i, &out);
        wait_for(scene, out.cursor);
        (void)has_passed(scene, out.cursor);
        (void)stats_of(scene);
        pk_watch_position(scene->watch, position, sizeof(position));
    }
    return NULL;
}
BOTH(many_threads_write_and_wait)
{
    struct crowd crowd[8];
    SCENE(scene, engine);
    for (size_t i = 0; i < PK_COUNT(crowd); i++) {
        crowd[i].scene = &scene;
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, write_and_wait, &crowd[i]), 0);
    }
    for (size_t i = 0; i < PK_COUNT(crowd); i++) {
        (void)pthread_join(crowd[i].thread, NULL);
    }
    await_count(&scene.heard, &scene.heard.woken, 400, WAIT_MS);
    await_count(&scene.heard, &scene.heard.events, 400, WAIT_MS);
    assert_int_equal(stats_of(&scene).waiters, 0);
}

/* ---- A store that is away ---- */

static char *control(const char *words, const char *folder, const char *rest)
{
    char line[1024] = "";
    PK_CLEANUP(pk_freep)
    char *command =
        pk_strdupf("'%s/tests/support/mongod' %s '%s' %s", PK_SOURCE_DIR, words, folder, rest);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    (void)!fgets(line, sizeof(line), output);
    while (fgetc(output) != EOF) {
        /* It ends when all is said. */
    }
    assert_int_equal(pclose(output), 0);
    line[strcspn(line, "\n")] = '\0';
    return pk_strdup(line);
}

struct own_set {
    char *folder;
    char *url;
};
static void own_set_done(struct own_set *set)
{
    pk_free(control("stop", set->folder, ""));
    pk_free(set->folder);
    pk_free(set->url);
}

/* Silence that long, and two tries that failed. */
static void await_silence(struct scene *scene, int64_t least_ms)
{
    const uint64_t before = stats_of(scene).failures;
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    while (stats_of(scene).silence_ms < least_ms || stats_of(scene).failures < before + 2) {
        assert_false(pk_deadline_passed(pk_clock_system(), until_ns));
        (void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
}

TEST(mongo_a_store_that_is_away_is_silence_and_comes_back_by_itself)
{
    struct pk_commit out;
    char future[PK_POSITION_TEXT];
    if (!getenv("PK_TEST_MONGODB")) {
        SKIP("PK_TEST_MONGODB names no replica set");
    }
    PK_CLEANUP(own_set_done)
    struct own_set set = { .folder = pk_strdupf("%s/set", pk_test_folder()) };
    set.url = control("start 1", set.folder, "");
    PK_CLEANUP(scene_done) struct scene scene = { 0 };
    PK_CLEANUP(pk_freep)
    char *url = pk_strdupf("%.*s/feed%s", (int)strcspn(set.url + 10, "/") + 10, set.url,
                           strchr(set.url, '?'));
    scene_open(&scene, ENGINE_MONGO, url, 0);
    announce(&scene.bed, 1, &out);
    wait_for(&scene, out.cursor);
    await_count(&scene.heard, &scene.heard.woken, 1, WAIT_MS);
    for (int round = 0; round < 2; round++) {
        pk_free(control("pause", set.folder, "0"));
        future_cursor(&scene, future);
        wait_for(&scene, future); /* Its barrier hangs; the feed must not. */
        await_silence(&scene, 2500);
        pk_free(control("resume", set.folder, "0"));
        const int64_t begun_ns = pk_clock_mono_ns(pk_clock_system());
        const size_t quiet = read_count(&scene.heard, &scene.heard.quiet);
        await_count(&scene.heard, &scene.heard.quiet, quiet + 1, WAIT_MS);
        const int64_t took_ms = (pk_clock_mono_ns(pk_clock_system()) - begun_ns) / 1000000;
        print_message("# the feed was back after %lld ms\n", (long long)took_ms);
        announce(&scene.bed, 2 + round, &out);
        wait_for(&scene, out.cursor);
        await_count(&scene.heard, &scene.heard.woken, (size_t)round + 2, WAIT_MS);
        assert_int_equal(read_count(&scene.heard, &scene.heard.events), (size_t)round + 2);
        /* Said once when it began, and once when it ended, however often it was tried. */
        assert_int_equal(count_lines(&scene, "does not answer"), (size_t)round + 1);
        assert_int_equal(count_lines(&scene, "answers again"), (size_t)round + 1);
    }
    assert_true(stats_of(&scene).failures >= 4);
    assert_int_equal(stats_of(&scene).gaps, 0);
}
