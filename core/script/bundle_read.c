/* bundle_read.c - A script from the file system, while somebody may be writing it.
 *
 *     open the folder -> open the file in it, never through a link, never waiting
 *       -> look at it, once its time is old enough to change when it is written
 *       -> read it -> look again: the same size and times?
 *
 * Nothing is opened by a path twice, so what was looked at is what was read. A
 * file that changed meanwhile is PK_BUSY: the caller tries again when it has
 * settled.
 *
 * Who may write a script may run code here, so a file that others may write is
 * refused. A group counts as others, unless it is the owner's alone: many
 * systems give everybody such a group, and make files writable for it. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "script/bundle_internal.h"
#include "script/sign.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    NAMES_BUFFER = 16 * 1024,
    ENTRIES_MAX = 4096,
    SIGNATURE_MAX_BYTES = 4096,
    TICK_NS = 12 * 1000 * 1000, /* File systems stamp with a clock of 1 to 10 ms. */
    SETTLE_TICKS = 4
};

static const char sig_of_folder[] = "bundle.sig";

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

static void close_folder(DIR **folder)
{
    if (*folder) {
        (void)closedir(*folder);
    }
}

/* ---- What is refused ---- */

static bool fail_open(struct pk_error *err, int number, const char *shown)
{
    static const struct {
        int number;
        enum pk_code code;
        const char *what, *hint;
    } row[] = {
        { ENOENT, PK_NOT_FOUND, "is not there", "check the path" },
        { ENOTDIR, PK_NOT_FOUND, "is not there: a part of its path is no folder",
          "check the path" },
        { ELOOP, PK_INVALID, "is a symbolic link", "put the file itself there" },
        { EACCES, PK_FORBIDDEN, "may not be read", "give this user access to it and its folder" },
        { ENXIO, PK_INVALID, "is no plain file", "put a file there" },
        { ENAMETOOLONG, PK_INVALID, "has too long a name", "shorten it" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        if (row[i].number == number) {
            return pk_fail(err, row[i].code, row[i].hint, "'%.160s' %s", shown, row[i].what);
        }
    }
    const char *why = strerrordesc_np(number);
    return pk_fail(err, PK_UNAVAILABLE, "check the device and the system's log",
                   "cannot open '%.160s': %s", shown, why ? why : "unknown error");
}

/* True when the group has no member but the owner. */
static bool is_owners_alone(uid_t owner, gid_t group_id)
{
    PK_CLEANUP(pk_freep) char *buffer = pk_alloc(2 * (size_t)NAMES_BUFFER);
    struct passwd user, *found_user = NULL;
    struct group group, *found = NULL;

    if (getpwuid_r(owner, &user, buffer, NAMES_BUFFER, &found_user) != 0 || !found_user ||
        getgrgid_r(group_id, &group, buffer + NAMES_BUFFER, NAMES_BUFFER, &found) != 0 || !found ||
        user.pw_gid != group_id || strcmp(user.pw_name, group.gr_name) != 0) {
        return false;
    }
    for (char **member = group.gr_mem; *member; member++) {
        if (strcmp(*member, user.pw_name) != 0) {
            return false;
        }
    }
    return true;
}

static bool check_writers(const struct stat *info, const char *shown, struct pk_error *err)
{
    if ((info->st_mode & S_IWOTH) != 0) {
        return pk_fail(err, PK_FORBIDDEN, "take the right away: chmod go-w",
                       "'%.160s' may be written by everybody", shown);
    }
    if ((info->st_mode & S_IWGRP) != 0 && !is_owners_alone(info->st_uid, info->st_gid)) {
        return pk_fail(err, PK_FORBIDDEN, "take the right away: chmod go-w",
                       "'%.160s' may be written by its group", shown);
    }
    return true;
}

static bool check_file(const struct stat *info, const char *shown, size_t max, struct pk_error *err)
{
    if (S_ISDIR(info->st_mode)) {
        return pk_fail(err, PK_INVALID, "put a file there, or name it otherwise",
                       "'%.160s' is a folder, not a file", shown);
    }
    if (!S_ISREG(info->st_mode)) {
        return pk_fail(err, PK_INVALID, "put a file there", "'%.160s' is no plain file", shown);
    }
    if (!check_writers(info, shown, err)) {
        return false;
    }
    if (info->st_size == 0) {
        return pk_fail(err, PK_INVALID, "save it again: perhaps it was not written to its end",
                       "'%.160s' is empty", shown);
    }
    return (uintmax_t)info->st_size <= max ||
           pk_fail(err, PK_TOO_LARGE, "make the script smaller",
                   "'%.160s' has %jd bytes, above %zu", shown, (intmax_t)info->st_size, max);
}

static bool fail_busy(struct pk_error *err, const char *shown)
{
    return pk_fail(err, PK_BUSY, "try again when it has been saved", "'%.160s' is being written",
                   shown);
}

/* ---- Reading ---- */

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_unchanged(const struct stat *before, const struct stat *after)
{
    return before->st_ino == after->st_ino && before->st_size == after->st_size &&
           is_same_time(&before->st_mtim, &after->st_mtim) &&
           is_same_time(&before->st_ctim, &after->st_ctim);
}

static bool read_bytes(int fd, size_t size, struct pk_buf *out, const char *shown,
                       struct pk_error *err)
{
    while (out->size <= size) {
        /* One more than it had, so that a file that grew is seen. */
        const size_t want = size + 1 - out->size;
        const ssize_t n = read(fd, pk_buf_reserve(out, want), want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_open(err, errno, shown);
        }
        if (n == 0) {
            break;
        }
        out->size += (size_t)n;
        out->data[out->size] = '\0';
    }
    return out->size == size || fail_busy(err, shown);
}

/* Waits until the file's time is older than the clock that stamps it is coarse: from then on every
 * write shows in it. */
static bool settle(int fd, struct stat *out, const char *shown, struct pk_error *err)
{
    const struct timespec pause = { .tv_nsec = TICK_NS };
    for (int i = 0; i < SETTLE_TICKS; i++) {
        struct timespec now;
        if (fstat(fd, out) != 0) {
            return fail_open(err, errno, shown);
        }
        (void)clock_gettime(CLOCK_REALTIME, &now);
        const int64_t age_ns = (int64_t)(now.tv_sec - out->st_mtim.tv_sec) * 1000000000 +
                               (now.tv_nsec - out->st_mtim.tv_nsec);
        if (age_ns < 0 || age_ns >= TICK_NS || !S_ISREG(out->st_mode)) {
            return true;
        }
        (void)nanosleep(&pause, NULL);
    }
    return fail_busy(err, shown);
}

/* Reads 'name' in 'folder'; 'shown' is how a person knows it. */
static bool read_file(int folder, const char *name, const char *shown, size_t max,
                      struct pk_buf *out, struct pk_error *err)
{
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
    PK_CLEANUP(close_fd) int fd = openat(folder, name, flags);
    struct stat before, after;

    if (fd < 0) {
        return fail_open(err, errno, shown);
    }
    if (!settle(fd, &before, shown, err) || !check_file(&before, shown, max, err) ||
        !read_bytes(fd, (size_t)before.st_size, out, shown, err)) {
        return false;
    }
    if (fstat(fd, &after) != 0) {
        return fail_open(err, errno, shown);
    }
    return is_unchanged(&before, &after) || fail_busy(err, shown);
}

/* The signature beside it, if there is one. */
static bool read_signature(struct pk_bundle *bundle, int folder, const char *name,
                           const char *shown, struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    struct stat info;

    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) {
        return true;
    }
    return read_file(folder, name, shown, SIGNATURE_MAX_BYTES, &text, err) &&
           pk_sign_read(pk_buf_text(&text), shown, &bundle->signature, err);
}

static bool read_single(struct pk_bundle *bundle, int folder, const char *name, const char *path,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *sig_name = pk_strdupf("%s.sig", name);
    PK_CLEANUP(pk_freep) char *sig_path = pk_strdupf("%s.sig", path);

    return read_file(folder, name, path, PK_BUNDLE_FILE_MAX_BYTES, &text, err) &&
           bundle_add(bundle, name, pk_buf_text(&text), text.size, err) &&
           read_signature(bundle, folder, sig_name, sig_path, err);
}

static bool read_module(struct pk_bundle *bundle, int folder, const char *name, const char *path,
                        struct pk_error *err)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf text = { 0 };
    PK_CLEANUP(pk_freep) char *shown = pk_strdupf("%s/%s", path, name);
    struct pk_error why = { 0 };

    if (!read_file(folder, name, shown, PK_BUNDLE_FILE_MAX_BYTES, &text, &why)) {
        if (why.code == PK_NOT_FOUND) {
            return fail_busy(err, path); /* It was in the list. */
        }
        *err = why;
        return false;
    }
    return bundle_add(bundle, name, pk_buf_text(&text), text.size, err);
}

static bool read_modules(struct pk_bundle *bundle, DIR *folder, const char *path,
                         struct pk_error *err)
{
    size_t entries = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            return errno == 0 || fail_open(err, errno, path);
        }
        if (entries++ == ENTRIES_MAX) {
            return pk_fail(err, PK_TOO_LARGE, "put the script into a folder of its own",
                           "the folder '%.160s' has more than %d entries", path, ENTRIES_MAX);
        }
        if ((bundle_is_module(entry->d_name) || bundle_is_tuning(entry->d_name)) &&
            !read_module(bundle, dirfd(folder), entry->d_name, path, err)) {
            return false;
        }
    }
}

static bool has_main(const struct pk_bundle *bundle)
{
    for (size_t i = 0; i < bundle->count; i++) {
        if (strcmp(bundle->file[i].name, "init.lua") == 0) {
            return true;
        }
    }
    return false;
}

static bool read_folder(struct pk_bundle *bundle, int fd, const char *path, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *sig_path = pk_strdupf("%s/%s", path, sig_of_folder);
    struct stat before, after;
    if (fstat(fd, &before) != 0) {
        return fail_open(err, errno, path);
    }
    const int copy = dup(fd);
    PK_CLEANUP(close_folder) DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    if (!folder) {
        const int number = errno;
        (void)(copy >= 0 && close(copy));
        return fail_open(err, number, path);
    }
    if (!check_writers(&before, path, err) || !read_modules(bundle, folder, path, err)) {
        return false;
    }
    if (!has_main(bundle)) {
        return pk_fail(err, PK_INVALID, "name the file that is the script 'init.lua'",
                       "the folder '%.160s' has no 'init.lua'", path);
    }
    if (!read_signature(bundle, fd, sig_of_folder, sig_path, err)) {
        return false;
    }
    if (fstat(fd, &after) != 0) {
        return fail_open(err, errno, path);
    }
    return is_unchanged(&before, &after) || fail_busy(err, path);
}

/* "a/b/c.lua" into "a/b" and "c.lua"; slashes at the end are dropped, for they follow links. */
static void split_path(const char *path, char **out_folder, char **out_name)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    size_t slash = size;
    while (slash > 0 && path[slash - 1] != '/') {
        slash--;
    }
    *out_folder = slash == 0 ? pk_strdup(".") : pk_strndup(path, slash);
    *out_name = pk_strndup(path + slash, size - slash);
}

bool pk_bundle_read(const char *path, struct pk_bundle **out, struct pk_error *err)
{
    PK_CLEANUP(bundle_unrefp) struct pk_bundle *bundle = bundle_new();
    PK_CLEANUP(pk_freep) char *above = NULL;
    PK_CLEANUP(pk_freep) char *name = NULL;

    split_path(path, &above, &name);
    PK_CLEANUP(close_fd) int folder = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return fail_open(err, errno, path);
    }
    /* A folder opens as one; what is none is read as a file, which says what it is instead. */
    PK_CLEANUP(close_fd)
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    const bool is_folder = inner >= 0 && !bundle_is_module(name);
    if (inner < 0 && errno != ENOTDIR && errno != ELOOP) {
        return fail_open(err, errno, path);
    }
    if (is_folder ? !read_folder(bundle, inner, path, err)
                  : !read_single(bundle, folder, name, path, err)) {
        return false;
    }
    if (!bundle_finish(bundle, err)) {
        return false;
    }
    *out = bundle;
    bundle = NULL;
    return true;
}
