/* test_folders.c - What is saved in a watched folder is told once, whole, when it is still. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "handmade.h"
#include "script/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEADLINE_MS = PK_TEST_PATIENCE_MS, INSTANCES_MAX = 70000 };

/* A watched folder and what was told of it, a line each: "daily.lua: <text of its main file>",
 * "daily.lua: gone", "daily.lua! <error>". */
struct desk {
    char *folder;
    struct pk_log *log;
    int log_fd;
    struct pk_folders *folders;
    pthread_mutex_t mutex; /* Covers the next two. */
    struct pk_buf told;
    size_t tellings;
    _Atomic bool is_blocked; /* Telling waits for this to end, ... */
    _Atomic bool is_telling; /* ... and is at it. */
};

static void note(void *context, const char *path, struct pk_bundle *bundle,
                 const struct pk_error *err)
{
    struct desk *desk = context;
    const char *name = strrchr(path, '/') + 1;

    desk->is_telling = true;
    while (desk->is_blocked) {
        (void)sched_yield();
    }
    (void)pthread_mutex_lock(&desk->mutex);
    if (bundle) {
        pk_buf_printf(&desk->told, "%s: ", name);
        for (size_t i = 0; i < bundle->count; i++) {
            pk_buf_printf(&desk->told, "%s%s", i ? " + " : "", bundle->file[i].text);
        }
        pk_buf_add_char(&desk->told, '\n');
    } else if (err) {
        pk_buf_printf(&desk->told, "%s! %s\n", name, err->message);
    } else {
        pk_buf_printf(&desk->told, "%s: gone\n", name);
    }
    desk->tellings++;
    (void)pthread_mutex_unlock(&desk->mutex);
}

static void watch(struct desk *desk, const char *folder)
{
    const char *const watched[] = { folder, NULL };
    struct pk_error err = { 0 };
    desk->folders = pk_folders_new(
        &(struct pk_folders_options){
            .folder = watched, .log = desk->log, .taken = note, .context = desk },
        &err);
    assert_ok(desk->folders != NULL, &err);
}

static void open_desk(struct desk *desk, bool is_watched)
{
    *desk = (struct desk){ .folder = pk_strdup(pk_test_folder()),
                           .log_fd = memfd_create("log", MFD_CLOEXEC) };
    (void)pthread_mutex_init(&desk->mutex, NULL);
    desk->log = pk_log_new(&(struct pk_log_options){
        .fd = desk->log_fd, .level = PK_LOG_INFO, .format = PK_LOG_JSON });
    if (is_watched) {
        watch(desk, desk->folder);
    }
}

static void close_desk(struct desk *desk)
{
    pk_folders_free(desk->folders);
    pk_log_free(desk->log);
    (void)close(desk->log_fd);
    (void)pthread_mutex_destroy(&desk->mutex);
    pk_buf_done(&desk->told);
    pk_free(desk->folder);
}

/* Waits until all is told, and expects exactly this to have been told since the last time. */
static void expect(struct desk *desk, const char *lines)
{
    assert_true(pk_folders_settle(desk->folders, DEADLINE_MS));
    (void)pthread_mutex_lock(&desk->mutex);
    char *told = pk_strdup(pk_buf_text(&desk->told));
    pk_buf_clear(&desk->told);
    (void)pthread_mutex_unlock(&desk->mutex);
    if (strcmp(told, lines) != 0) {
        fail_msg("told\n%sinstead of\n%s", told, lines);
    }
    pk_free(told);
}

/* The same, by events alone: waits until so many tellings have come. */
static void await_tellings(struct desk *desk, size_t count)
{
    const int64_t deadline = handmade_now_ms() + DEADLINE_MS;
    for (;;) {
        (void)pthread_mutex_lock(&desk->mutex);
        const size_t tellings = desk->tellings;
        (void)pthread_mutex_unlock(&desk->mutex);
        if (tellings >= count) {
            return;
        }
        if (handmade_now_ms() > deadline) {
            fail_msg("%zu tellings instead of %zu: %s", tellings, count, pk_buf_text(&desk->told));
        }
        (void)sched_yield();
    }
}

static size_t count_in_log(const struct desk *desk, const char *words)
{
    char text[65536];
    const ssize_t size = pread(desk->log_fd, text, sizeof(text) - 1, 0);
    size_t count = 0;
    text[size > 0 ? size : 0] = '\0';
    for (const char *at = text; (at = strstr(at, words)); at++) {
        count++;
    }
    return count;
}

static char *path_of(const struct desk *desk, const char *name)
{
    return pk_strdupf("%s/%s", desk->folder, name);
}

static int open_file(const struct desk *desk, const char *name, int flags)
{
    PK_CLEANUP(pk_freep) char *path = path_of(desk, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    assert_true(fd >= 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void save(const struct desk *desk, const char *name, const char *text)
{
    const int fd = open_file(desk, name, O_TRUNC);
    put(fd, text);
    (void)close(fd);
}

static void move(const struct desk *desk, const char *from, const char *to)
{
    PK_CLEANUP(pk_freep) char *old = path_of(desk, from);
    PK_CLEANUP(pk_freep) char *new = path_of(desk, to);
    assert_int_equal(rename(old, new), 0);
}

static void drop(const struct desk *desk, const char *name)
{
    PK_CLEANUP(pk_freep) char *path = path_of(desk, name);
    assert_int_equal(remove(path), 0);
}

static void make_folder(const struct desk *desk, const char *name)
{
    PK_CLEANUP(pk_freep) char *path = path_of(desk, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

/* ---- What is told ---- */

TEST(what_is_there_at_the_start_is_told)
{
    struct desk desk;
    open_desk(&desk, false);
    save(&desk, "daily.lua", "return 1");
    watch(&desk, desk.folder);
    expect(&desk, "daily.lua: return 1\n");
    expect(&desk, "");
    close_desk(&desk);
}

static void note_found(void *context, const char *path, struct pk_bundle *bundle,
                       const struct pk_error *err)
{
    struct desk *desk = context;
    (void)pthread_mutex_lock(&desk->mutex);
    pk_buf_add_text(&desk->told, "found ");
    (void)pthread_mutex_unlock(&desk->mutex);
    note(context, path, bundle, err);
}

TEST(what_lay_there_is_told_apart_from_what_is_saved)
{
    struct desk desk;
    struct pk_error err = { 0 };
    open_desk(&desk, false);
    const char *const watched[] = { desk.folder, NULL };
    save(&desk, "lay.lua", "one");
    desk.folders = pk_folders_new(&(struct pk_folders_options){ .folder = watched,
                                                                .log = desk.log,
                                                                .taken = note,
                                                                .found = note_found,
                                                                .context = &desk },
                                  &err);
    assert_ok(desk.folders != NULL, &err);
    expect(&desk, "found lay.lua: one\n");
    save(&desk, "lay.lua", "two");
    expect(&desk, "lay.lua: two\n");
    save(&desk, "new.lua", "three");
    expect(&desk, "new.lua: three\n");
    close_desk(&desk);
}

TEST(a_script_that_is_saved_is_told_by_events_alone)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    save(&desk, "daily.lua", "return 1");
    await_tellings(&desk, 1);
    expect(&desk, "daily.lua: return 1\n");
    save(&desk, "daily.lua", "return 2"); /* Into the file. */
    await_tellings(&desk, 2);
    expect(&desk, "daily.lua: return 2\n");
    save(&desk, "daily.lua.new", "return 3"); /* Beside it, and over it. */
    move(&desk, "daily.lua.new", "daily.lua");
    await_tellings(&desk, 3);
    expect(&desk, "daily.lua: return 3\n");
    drop(&desk, "daily.lua");
    await_tellings(&desk, 4);
    expect(&desk, "daily.lua: gone\n");
    save(&desk, "rules.json", "{\"id\": \"rules\"}");
    await_tellings(&desk, 5);
    expect(&desk, "rules.json: {\"id\": \"rules\"}\n");
    move(&desk, "rules.json", "other.json");
    await_tellings(&desk, 7);
    close_desk(&desk);
}

TEST(a_save_without_a_change_is_not_told)
{
    struct desk desk;
    open_desk(&desk, true);
    save(&desk, "daily.lua", "return 1");
    expect(&desk, "daily.lua: return 1\n");
    save(&desk, "daily.lua", "return 1");
    expect(&desk, "");
    save(&desk, "x.tmp", "return 1");
    move(&desk, "x.tmp", "daily.lua");
    expect(&desk, "");
    close_desk(&desk);
}

TEST(the_way_vim_saves_is_one_telling)
{
    struct desk desk;
    open_desk(&desk, true);
    save(&desk, "daily.lua", "return 1");
    expect(&desk, "daily.lua: return 1\n");
    save(&desk, ".daily.lua.swp", "b0VIM");
    save(&desk, "4913", "");
    drop(&desk, "4913");
    move(&desk, "daily.lua", "daily.lua~");
    save(&desk, "daily.lua", "return 2");
    drop(&desk, "daily.lua~");
    drop(&desk, ".daily.lua.swp");
    await_tellings(&desk, 2);
    expect(&desk, "daily.lua: return 2\n");
    close_desk(&desk);
}

TEST(other_files_are_nobodys_business)
{
    struct desk desk;
    open_desk(&desk, false);
    save(&desk, "README.md", "# mappers");
    save(&desk, ".hidden.lua", "return 1");
    save(&desk, "#daily.lua#", "return 1");
    save(&desk, "daily.lua~", "return 1");
    save(&desk, "daily_spec.lua", "return 1");
    watch(&desk, desk.folder);
    expect(&desk, "");
    save(&desk, "NOTES", "x");
    save(&desk, ".other.lua", "return 1");
    expect(&desk, "");
    close_desk(&desk);
}

TEST(a_change_back_to_what_was_before_an_error_is_told)
{
    struct desk desk;
    open_desk(&desk, true);
    save(&desk, "daily.lua", "return 1");
    expect(&desk, "daily.lua: return 1\n");
    save(&desk, "daily.lua", "");
    assert_true(pk_folders_settle(desk.folders, DEADLINE_MS));
    assert_non_null(strstr(pk_buf_text(&desk.told), "daily.lua! "));
    pk_buf_clear(&desk.told);
    save(&desk, "daily.lua", ""); /* The same error again says nothing. */
    expect(&desk, "");
    save(&desk, "daily.lua", "return 1");
    expect(&desk, "daily.lua: return 1\n");
    close_desk(&desk);
}

/* ---- Half-written ---- */

TEST(a_file_that_is_not_closed_is_not_taken)
{
    struct desk desk;
    open_desk(&desk, true);
    save(&desk, "daily.lua", "return 1");
    expect(&desk, "daily.lua: return 1\n");
    const int fd = open_file(&desk, "daily.lua", O_TRUNC);
    put(fd, "return ");
    expect(&desk, "");
    /* Another script is saved and told: well over the time to settle has passed. */
    save(&desk, "other.lua", "return 0");
    await_tellings(&desk, 2);
    expect(&desk, "other.lua: return 0\n");
    put(fd, "2");
    (void)close(fd);
    await_tellings(&desk, 3);
    expect(&desk, "daily.lua: return 2\n");
    close_desk(&desk);
}

TEST(a_new_file_is_not_taken_before_its_first_bytes)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    const int fd = open_file(&desk, "daily.lua", O_TRUNC);
    save(&desk, "other.lua", "return 0");
    await_tellings(&desk, 1);
    expect(&desk, "other.lua: return 0\n");
    put(fd, "return 1");
    (void)close(fd);
    await_tellings(&desk, 2);
    expect(&desk, "daily.lua: return 1\n");
    close_desk(&desk);
}

TEST(a_hard_link_is_not_waited_for)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    PK_CLEANUP(pk_freep) char *beside = pk_strdupf("%s.text", desk.folder);
    PK_CLEANUP(pk_freep) char *path = path_of(&desk, "daily.lua");
    FILE *file = fopen(beside, "we");
    (void)fputs("return 1", file);
    (void)fclose(file);
    assert_int_equal(link(beside, path), 0);
    await_tellings(&desk, 1);
    close_desk(&desk);
}

struct writer {
    struct desk *desk;
    _Atomic bool is_over;
};

/* Saves whole texts of one letter, every other time over the name, at moments at which the last one
 * is just being looked at. */
static void *write_on(void *context)
{
    struct writer *writer = context;
    static char text[65536];
    for (unsigned i = 0; !writer->is_over; i++) {
        const int64_t next = handmade_now_ms() + 9 + i % 5;
        memset(text, 'a' + (int)(i % 26), sizeof(text) - 1);
        const int fd = open_file(writer->desk, i % 2 ? "busy.lua" : "busy.tmp", O_TRUNC);
        for (size_t at = 0; at < sizeof(text) - 1; at += 4096) {
            const size_t size = sizeof(text) - 1 - at < 4096 ? sizeof(text) - 1 - at : 4096;
            assert_int_equal(write(fd, text + at, size), size);
        }
        (void)close(fd);
        if (i % 2 == 0) {
            move(writer->desk, "busy.tmp", "busy.lua");
        }
        while (handmade_now_ms() < next) {
            (void)sched_yield();
        }
    }
    return NULL;
}

struct reader {
    _Atomic unsigned torn, whole;
};

static void check_whole(void *context, const char *path, struct pk_bundle *bundle,
                        const struct pk_error *err)
{
    struct reader *reader = context;
    (void)path;
    (void)err;
    const size_t size = bundle ? bundle->file[0].size : 0;
    const char *text = bundle ? bundle->file[0].text : "";
    const char all[] = { text[0], '\0' };
    if (size == 65535 && strspn(text, all) == size) {
        reader->whole++;
    } else {
        reader->torn++;
    }
}

TEST(what_is_told_was_never_half_written)
{
    struct desk desk;
    struct reader reader = { 0 };
    pthread_t thread;
    struct pk_error err = { 0 };
    open_desk(&desk, false);
    const char *const watched[] = { desk.folder, NULL };
    struct writer writer = { .desk = &desk };
    struct pk_folders *folders = pk_folders_new(
        &(struct pk_folders_options){
            .folder = watched, .taken = check_whole, .context = &reader, .settle_ms = 1 },
        &err);
    assert_ok(folders != NULL, &err);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    const int64_t deadline = handmade_now_ms() + DEADLINE_MS;
    while (reader.whole < 50 && handmade_now_ms() < deadline) {
        (void)sched_yield();
    }
    writer.is_over = true;
    (void)pthread_join(thread, NULL);
    assert_true(pk_folders_settle(folders, DEADLINE_MS));
    assert_int_equal(reader.torn, 0);
    assert_true(reader.whole >= 50);
    pk_folders_free(folders);
    close_desk(&desk);
}

/* ---- Folders that are scripts ---- */

TEST(a_folder_is_told_when_its_files_have_come_one_by_one)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    make_folder(&desk, "daily");
    save(&desk, "daily/rules.lua", "return 2");
    expect(&desk, ""); /* No script yet. */
    save(&desk, "daily/init.lua", "return 1");
    await_tellings(&desk, 1);
    expect(&desk, "daily: return 1 + return 2\n");
    save(&desk, "daily/rules.lua", "return 3");
    await_tellings(&desk, 2);
    expect(&desk, "daily: return 1 + return 3\n");
    save(&desk, "daily/init.lua", "return 4");
    save(&desk, "daily/rules.lua", "return 5");
    await_tellings(&desk, 3);
    expect(&desk, "daily: return 4 + return 5\n"); /* Both at once. */
    save(&desk, "daily/.swap", "x");
    drop(&desk, "daily/rules.lua");
    await_tellings(&desk, 4);
    expect(&desk, "daily: return 4\n");
    drop(&desk, "daily/init.lua");
    await_tellings(&desk, 5);
    expect(&desk, "daily: gone\n");
    save(&desk, "daily/init.lua", "return 6");
    await_tellings(&desk, 6);
    expect(&desk, "daily: return 6\n");
    close_desk(&desk);
}

TEST(a_file_of_a_folder_that_is_not_closed_holds_the_whole_folder_back)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    make_folder(&desk, "daily");
    save(&desk, "daily/init.lua", "return 1");
    await_tellings(&desk, 1);
    expect(&desk, "daily: return 1\n");
    const int fd = open_file(&desk, "daily/rules.lua", O_TRUNC);
    put(fd, "return ");
    save(&desk, "daily/init.lua", "return 2");
    expect(&desk, "");
    put(fd, "3");
    (void)close(fd);
    await_tellings(&desk, 2);
    expect(&desk, "daily: return 2 + return 3\n");
    close_desk(&desk);
}

TEST(a_folder_can_be_moved_in_out_and_over)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    make_folder(&desk, ".new");
    save(&desk, ".new/init.lua", "return 1");
    expect(&desk, "");
    move(&desk, ".new", "daily");
    await_tellings(&desk, 1);
    expect(&desk, "daily: return 1\n");
    make_folder(&desk, ".new");
    save(&desk, ".new/init.lua", "return 2");
    move(&desk, "daily", ".old");
    move(&desk, ".new", "daily");
    await_tellings(&desk, 2);
    expect(&desk, "daily: return 2\n");
    save(&desk, ".old/init.lua", "return 8"); /* Nobody's any more. */
    expect(&desk, "");
    save(&desk, "daily/init.lua", "return 3");
    await_tellings(&desk, 3);
    expect(&desk, "daily: return 3\n");
    move(&desk, "daily", ".gone");
    await_tellings(&desk, 4);
    expect(&desk, "daily: gone\n");
    close_desk(&desk);
}

/* ---- What is refused ---- */

/* Expects one telling that begins and ends like this. */
static void expect_refused(struct desk *desk, const char *name, const char *words)
{
    assert_true(pk_folders_settle(desk->folders, DEADLINE_MS));
    (void)pthread_mutex_lock(&desk->mutex);
    char *told = pk_strdup(pk_buf_text(&desk->told));
    pk_buf_clear(&desk->told);
    (void)pthread_mutex_unlock(&desk->mutex);
    const char *end = strchr(told, '\n');
    if (strncmp(told, name, strlen(name)) != 0 || told[strlen(name)] != '!' ||
        !strstr(told, words) || !end || end[1]) {
        fail_msg("told '%s' instead of %s with '%s'", told, name, words);
    }
    pk_free(told);
}

TEST(what_cannot_be_a_script_is_told_with_its_reason)
{
    struct desk desk;
    open_desk(&desk, true);
    PK_CLEANUP(pk_freep) char *linked = path_of(&desk, "linked.lua");
    PK_CLEANUP(pk_freep) char *folder = path_of(&desk, "folder");
    PK_CLEANUP(pk_freep) char *open_to_all = path_of(&desk, "open.lua");
    PK_CLEANUP(pk_freep) char *large = path_of(&desk, "large.lua");
    expect(&desk, "");
    assert_int_equal(symlink("/etc/passwd", linked), 0);
    expect_refused(&desk, "linked.lua", "symbolic link");
    assert_int_equal(symlink("/etc", folder), 0);
    expect_refused(&desk, "folder", "symbolic link");
    make_folder(&desk, "dir.lua");
    expect_refused(&desk, "dir.lua", "");
    save(&desk, "Bad Name.lua", "return 1");
    expect_refused(&desk, "Bad Name.lua", "");
    save(&desk, "open.lua", "return 1");
    expect(&desk, "open.lua: return 1\n");
    assert_int_equal(chmod(open_to_all, 0666), 0);
    expect_refused(&desk, "open.lua", "");
    assert_int_equal(chmod(open_to_all, 0644), 0);
    expect(&desk, "open.lua: return 1\n");
    save(&desk, "large.lua", "return 1");
    expect(&desk, "large.lua: return 1\n");
    assert_int_equal(truncate(large, 100 << 20), 0);
    /* By its path: nobody will close it, and it is told nonetheless. */
    await_tellings(&desk, 9);
    expect_refused(&desk, "large.lua", "");
    assert_int_equal(remove(linked), 0);
    expect(&desk, "linked.lua: gone\n");
    close_desk(&desk);
}

TEST(a_watched_folder_that_is_a_link_or_open_to_all_is_refused)
{
    struct desk desk;
    open_desk(&desk, false);
    PK_CLEANUP(pk_freep) char *link = pk_strdupf("%s.link", desk.folder);
    PK_CLEANUP(pk_freep) char *name = pk_strdup(strrchr(desk.folder, '/') + 1);
    PK_CLEANUP(pk_freep) char *link_name = pk_strdupf("%s.link", name);
    save(&desk, "daily.lua", "return 1");
    assert_int_equal(symlink(desk.folder, link), 0);
    watch(&desk, link);
    expect_refused(&desk, link_name, "is a symbolic link");
    expect(&desk, "");
    pk_folders_free(desk.folders);

    assert_int_equal(chmod(desk.folder, 0777), 0);
    watch(&desk, desk.folder);
    expect_refused(&desk, name, "anybody may write");
    assert_int_equal(chmod(desk.folder, 0755), 0);
    PK_CLEANUP(pk_freep)
    char *lines = pk_strdupf("%s: gone\ndaily.lua: return 1\n", name); /* Its error has gone. */
    expect(&desk, lines);
    assert_int_equal(remove(link), 0);
    close_desk(&desk);
}

/* ---- When the folder itself changes ---- */

TEST(a_folder_that_comes_goes_and_comes_back_is_watched)
{
    struct desk desk;
    open_desk(&desk, false);
    PK_CLEANUP(pk_freep) char *old = pk_strdupf("%s.old", desk.folder);
    assert_int_equal(rmdir(desk.folder), 0);
    watch(&desk, desk.folder);
    expect(&desk, "");
    assert_int_equal(mkdir(desk.folder, 0755), 0);
    save(&desk, "daily.lua", "return 1");
    await_tellings(&desk, 1); /* Without being asked to settle. */
    expect(&desk, "daily.lua: return 1\n");
    drop(&desk, "daily.lua");
    assert_int_equal(rmdir(desk.folder), 0);
    await_tellings(&desk, 2);
    expect(&desk, "daily.lua: gone\n");
    assert_int_equal(mkdir(desk.folder, 0755), 0);
    save(&desk, "daily.lua", "return 2");
    await_tellings(&desk, 3);
    expect(&desk, "daily.lua: return 2\n");

    assert_int_equal(rename(desk.folder, old), 0); /* Replaced by another one. */
    assert_int_equal(mkdir(desk.folder, 0755), 0);
    save(&desk, "style.lua", "return 3");
    await_tellings(&desk, 5);
    assert_true(pk_folders_settle(desk.folders, DEADLINE_MS));
    pk_buf_clear(&desk.told);
    save(&desk, "style.lua", "return 4");
    await_tellings(&desk, 6);
    expect(&desk, "style.lua: return 4\n");
    close_desk(&desk);
}

TEST(a_folder_above_that_is_moved_away_is_noticed)
{
    struct desk desk;
    open_desk(&desk, false);
    PK_CLEANUP(pk_freep) char *above = path_of(&desk, "above");
    PK_CLEANUP(pk_freep) char *aside = path_of(&desk, "aside");
    PK_CLEANUP(pk_freep) char *inner = path_of(&desk, "above/mappers");
    make_folder(&desk, "above");
    make_folder(&desk, "above/mappers");
    save(&desk, "above/mappers/daily.lua", "return 1");
    watch(&desk, inner);
    expect(&desk, "daily.lua: return 1\n");
    assert_int_equal(rename(above, aside), 0);
    make_folder(&desk, "above");
    make_folder(&desk, "above/mappers");
    save(&desk, "above/mappers/daily.lua", "return 2");
    await_tellings(&desk, 2); /* No event says so. */
    expect(&desk, "daily.lua: return 2\n");
    close_desk(&desk);
}

/* ---- When the kernel does not help ---- */

static long number_in(const char *path)
{
    long number = 0;
    FILE *file = fopen(path, "re");
    if (file) {
        (void)!fscanf(file, "%ld", &number);
        (void)fclose(file);
    }
    return number;
}

TEST(lost_events_cost_no_change)
{
    struct desk desk;
    const long queue = number_in("/proc/sys/fs/inotify/max_queued_events");
    if (queue <= 0 || queue > 100000) {
        SKIP("the queue of events is too long to be filled");
    }
    open_desk(&desk, true);
    desk.is_blocked = true;
    save(&desk, "first.lua", "return 1");
    /* The thread is busy telling, and its queue runs over: a create and a delete at least each. */
    const int64_t deadline = handmade_now_ms() + DEADLINE_MS;
    while (!desk.is_telling && handmade_now_ms() < deadline) {
        (void)sched_yield();
    }
    assert_true(desk.is_telling);
    for (long i = 0; i < queue / 2 + 1000; i++) {
        const int fd = open_file(&desk, i % 2 ? "x.tmp" : "y.tmp", O_TRUNC);
        put(fd, "x");
        (void)close(fd);
        drop(&desk, i % 2 ? "x.tmp" : "y.tmp");
    }
    save(&desk, "last.lua", "return 2");
    desk.is_blocked = false;
    await_tellings(&desk, 2);
    assert_true(pk_folders_settle(desk.folders, DEADLINE_MS));
    assert_non_null(strstr(pk_buf_text(&desk.told), "first.lua: return 1\n"));
    assert_non_null(strstr(pk_buf_text(&desk.told), "last.lua: return 2\n"));
    assert_int_equal(desk.tellings, 2);
    assert_true(count_in_log(&desk, "were lost") >= 1);
    close_desk(&desk);
}

TEST(at_the_limit_of_inotify_folders_are_looked_at_each_second)
{
    struct desk desk;
    const long limit = number_in("/proc/sys/fs/inotify/max_user_instances");
    int *taken = pk_calloc(INSTANCES_MAX, sizeof(*taken));
    size_t count = 0;
    if (limit <= 0 || limit > 1000) {
        pk_free(taken);
        SKIP("the limit of inotify is too high to be reached");
    }
    open_desk(&desk, false);
    while (count < INSTANCES_MAX && (taken[count] = inotify_init1(IN_CLOEXEC)) >= 0) {
        count++;
    }
    assert_int_equal(errno, EMFILE);
    watch(&desk, desk.folder);
    save(&desk, "daily.lua", "return 1");
    await_tellings(&desk, 1);
    expect(&desk, "daily.lua: return 1\n");
    save(&desk, "daily.lua", "return 2");
    make_folder(&desk, "style");
    save(&desk, "style/init.lua", "return 3");
    await_tellings(&desk, 3);
    drop(&desk, "daily.lua");
    await_tellings(&desk, 4);
    assert_int_equal(count_in_log(&desk, "looked at each second"), 1);

    while (count > 0) { /* There is room again. */
        (void)close(taken[--count]);
    }
    const int64_t deadline = handmade_now_ms() + DEADLINE_MS;
    while (count_in_log(&desk, "by inotify again") == 0 && handmade_now_ms() < deadline) {
        (void)sched_yield();
    }
    assert_int_equal(count_in_log(&desk, "by inotify again"), 1);
    save(&desk, "style/init.lua", "return 4");
    await_tellings(&desk, 5);
    pk_free(taken);
    close_desk(&desk);
}

/* ---- Settling ---- */

TEST(settling_gives_up_when_it_takes_too_long)
{
    struct desk desk;
    open_desk(&desk, true);
    expect(&desk, "");
    desk.is_blocked = true;
    save(&desk, "daily.lua", "return 1");
    assert_false(pk_folders_settle(desk.folders, 100));
    desk.is_blocked = false;
    expect(&desk, "daily.lua: return 1\n");
    close_desk(&desk);
}

TEST(many_scripts_saved_at_once_are_all_told)
{
    struct desk desk;
    char name[32], text[32];
    open_desk(&desk, true);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "script-%d.lua", i);
        (void)snprintf(text, sizeof(text), "return %d", i);
        save(&desk, name, text);
    }
    assert_true(pk_folders_settle(desk.folders, DEADLINE_MS));
    assert_int_equal(desk.tellings, 200);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "script-%d.lua", i);
        drop(&desk, name);
    }
    assert_true(pk_folders_settle(desk.folders, DEADLINE_MS));
    assert_int_equal(desk.tellings, 400);
    close_desk(&desk);
}
