/* test_file.c - Whole files, folders, and the lock that two processes cannot share. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *path_in(const char *folder, const char *name)
{
    return pk_strdupf("%s/%s", folder, name);
}

static int count_entries(const char *folder)
{
    int n = 0;
    DIR *open_folder = opendir(folder);
    assert_non_null(open_folder);
    for (struct dirent *entry = readdir(open_folder); entry; entry = readdir(open_folder)) {
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    (void)closedir(open_folder);
    return n;
}

TEST(a_file_is_written_with_its_mode_and_read_back)
{
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    PK_CLEANUP(pk_freep) char *path = path_in(folder, "f");
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    struct stat info;
    mode_t old = umask(077); /* The mode asked for wins over the umask. */
    assert_ok(pk_file_write(path, "one\0two", 7, 0644, &err), &err);
    (void)umask(old);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0644);
    pk_buf_add_text(&buf, "before:");
    assert_ok(pk_file_read(&buf, path, 7, &err), &err);
    assert_int_equal(buf.size, 14);
    assert_memory_equal(buf.data, "before:one\0two", 14);
    assert_ok(pk_file_write(path, "x", 1, 0600, &err), &err);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_size, 1);
    assert_int_equal(count_entries(folder), 1); /* No temporary stays. */
}

TEST(an_empty_file_is_fine)
{
    PK_CLEANUP(pk_freep) char *path = path_in(pk_test_folder(), "f");
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_file_write(path, "", 0, 0600, &err), &err);
    assert_ok(pk_file_read(&buf, path, 0, &err), &err);
    assert_int_equal(buf.size, 0);
}

TEST(a_refused_read_says_why_and_appends_nothing)
{
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    PK_CLEANUP(pk_freep) char *path = path_in(folder, "f");
    PK_CLEANUP(pk_freep) char *pipe_path = path_in(folder, "p");
    PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    pk_buf_add_text(&buf, "x");
    assert_false(pk_file_read(&buf, path, 10, &err));
    assert_int_equal(err.code, PK_NOT_FOUND);
    assert_false(pk_file_read(&buf, folder, 10, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_false(pk_file_read(&buf, pipe_path, 10, &err)); /* And does not wait for a writer. */
    assert_int_equal(err.code, PK_INVALID);
    assert_false(pk_file_read(&buf, "/proc/self/status", 10, &err)); /* Says it has 0 bytes. */
    assert_int_equal(err.code, PK_TOO_LARGE);
    assert_ok(pk_file_write(path, "12345678901", 11, 0600, &err), &err);
    assert_false(pk_file_read(&buf, path, 10, &err));
    assert_int_equal(err.code, PK_TOO_LARGE);
    assert_string_equal(pk_buf_text(&buf), "x");
}

TEST(a_refused_write_leaves_the_old_file_and_no_rest)
{
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    PK_CLEANUP(pk_freep) char *inner = path_in(folder, "d");
    PK_CLEANUP(pk_freep) char *missing = path_in(folder, "no/f");
    struct pk_error err = { 0 };
    assert_false(pk_file_write(missing, "x", 1, 0600, &err));
    assert_int_equal(err.code, PK_NOT_FOUND);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_false(pk_file_write(inner, "x", 1, 0600, &err)); /* A folder is not replaced. */
    assert_int_equal(err.code, PK_INVALID);
    assert_int_equal(count_entries(folder), 1);
}

TEST(readers_see_the_old_or_the_new_content_never_a_mixture)
{
    enum { SIZE = 100000 };
    PK_CLEANUP(pk_freep) char *path = path_in(pk_test_folder(), "f");
    PK_CLEANUP(pk_freep) char *text = pk_alloc(SIZE);
    struct pk_error err = { 0 };
    memset(text, 'a', SIZE);
    assert_ok(pk_file_write(path, text, SIZE, 0600, &err), &err);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (char c = 'b';; c = c == 'z' ? 'a' : (char)(c + 1)) {
            memset(text, c, SIZE);
            if (!pk_file_write(path, text, SIZE, 0600, &err)) {
                _exit(1);
            }
        }
    }
    for (int i = 0; i < 200; i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf buf = { 0 };
        assert_ok(pk_file_read(&buf, path, SIZE, &err), &err);
        assert_int_equal(buf.size, SIZE);
        assert_memory_equal(buf.data, buf.data + 1, SIZE - 1); /* All one letter. */
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    PK_CLEANUP(pk_buf_done) struct pk_buf last = { 0 };
    assert_ok(pk_file_read(&last, path, SIZE, &err), &err);
    assert_memory_equal(last.data, last.data + 1, SIZE - 1);
}

TEST(folders_are_made_with_those_above)
{
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    PK_CLEANUP(pk_freep) char *deep = path_in(folder, "a//b/c/");
    PK_CLEANUP(pk_freep) char *file = path_in(folder, "f");
    PK_CLEANUP(pk_freep) char *under = path_in(folder, "f/x");
    struct pk_error err = { 0 };
    struct stat info;
    assert_ok(pk_folder_make(deep, 0700, &err), &err);
    assert_ok(pk_folder_make(deep, 0700, &err), &err);
    assert_int_equal(stat(deep, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_ok(pk_file_write(file, "", 0, 0600, &err), &err);
    assert_false(pk_folder_make(file, 0700, &err));
    assert_int_equal(err.code, PK_INVALID);
    assert_false(pk_folder_make(under, 0700, &err));
    assert_false(pk_folder_make("", 0700, &err));
    assert_ok(pk_folder_make("/", 0700, &err), &err);
}

/* Takes the lock in a child, says so, and holds it until it is killed. */
static pid_t hold_lock(const char *folder)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = -1;
        byte = pk_folder_lock(folder, &fd, NULL) ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    (void)close(ready[0]);
    (void)close(ready[1]);
    return child;
}

TEST(a_folder_has_one_owner_even_after_kill_9)
{
    PK_CLEANUP(pk_freep) char *folder = pk_strdup(pk_test_folder());
    PK_CLEANUP(pk_freep) char *path = path_in(folder, "personakit.pid");
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct pk_error err = { 0 };
    char pid[32];
    int fd = -1;
    int again = -1;

    pid_t child = hold_lock(folder);
    assert_false(pk_folder_lock(folder, &fd, &err));
    assert_int_equal(err.code, PK_CONFLICT);
    (void)snprintf(pid, sizeof(pid), "process %ld", (long)child);
    assert_non_null(strstr(err.message, pid));
    assert_int_equal(fd, -1);

    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    assert_ok(pk_folder_lock(folder, &fd, &err), &err);
    assert_false(pk_folder_lock(folder, &again, &err)); /* Nor twice in one process. */
    assert_ok(pk_file_read(&text, path, 100, &err), &err);
    (void)snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    assert_string_equal(pk_buf_text(&text), pid);

    (void)close(fd);
    assert_ok(pk_folder_lock(folder, &again, &err), &err);
    (void)close(again);
}

TEST(a_folder_that_is_missing_cannot_be_locked)
{
    struct pk_error err = { 0 };
    int fd = -1;
    assert_false(pk_folder_lock("/nowhere/at/all", &fd, &err));
    assert_int_equal(err.code, PK_NOT_FOUND);
    assert_non_null(err.hint);
}
