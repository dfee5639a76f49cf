/* file.c - Read whole, write whole, lock a folder.
 *
 * A write goes to a temporary name in the same folder, is synced, renamed over
 * the target, and the folder is synced: rename is atomic, and without the last
 * step the name itself could be lost in a power cut.
 *
 * The folder's lock is flock(2) on the pid file: it belongs to the open file,
 * so the kernel drops it with the process however that ends, and a second
 * opener in the same process is refused, too. The file is never removed: a
 * removed one could be locked twice, once by name and once by descriptor. */
/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

/* Turns errno into an error with words: what was tried, on what, and what helps. */
static bool fail_errno(struct pk_error *err, int number, const char *verb, const char *path)
{
    static const struct {
        int number;
        enum pk_code code;
        const char *hint;
    } row[] = {
        { ENOENT, PK_NOT_FOUND, "check the path" },
        { ENOTDIR, PK_INVALID, "a part of the path is a file, not a folder" },
        { EISDIR, PK_INVALID, "this is a folder; name a file" },
        { EACCES, PK_FORBIDDEN, "give this user access to the file and its folder" },
        { EPERM, PK_FORBIDDEN, "give this user access to the file and its folder" },
        { EROFS, PK_FORBIDDEN, "the file system is read-only; name a place that can be written" },
        { ENAMETOOLONG, PK_INVALID, "shorten the path" },
        { ELOOP, PK_INVALID, "the path has a loop of symbolic links" },
        { ENOSPC, PK_FULL, "free some space on the device, then try again" },
        { EDQUOT, PK_FULL, "the quota of this user is used up" },
        { EFBIG, PK_FULL, "raise the file size limit of this process" },
    };

    for (size_t i = 0; i < PK_COUNT(row); i++) {
        if (row[i].number == number) {
            return pk_fail(err, row[i].code, row[i].hint, "cannot %s '%s': %s", verb, path,
                           strerrordesc_np(number));
        }
    }
    const char *why = strerrordesc_np(number);
    return pk_fail(err, PK_UNAVAILABLE, "check the device and the system's log",
                   "cannot %s '%s': %s", verb, path, why ? why : "unknown error");
}

static bool read_all(struct pk_buf *buf, int fd, const char *path, size_t max_bytes,
                     struct pk_error *err)
{
    size_t start = buf->size;

    for (;;) {
        /* One more than allowed, so that a file that grew under us is seen. */
        size_t left = max_bytes - (buf->size - start) + 1;
        size_t want = left < 65536 ? left : 65536;
        ssize_t n = read(fd, pk_buf_reserve(buf, want), want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(err, errno, "read", path);
        }
        if (n == 0) {
            return true;
        }
        if (buf->size - start + (size_t)n > max_bytes) {
            return pk_fail(err, PK_TOO_LARGE, "use a smaller file", "file '%s' is above %zu bytes",
                           path, max_bytes);
        }
        buf->size += (size_t)n;
        buf->data[buf->size] = '\0';
    }
}

bool pk_file_read(struct pk_buf *buf, const char *path, size_t max_bytes, struct pk_error *err)
{
    struct stat info;

    assert(max_bytes < SIZE_MAX / 4);
    /* O_NONBLOCK: opening a pipe would wait for its writer; regular files do not notice. */
    PK_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &info) != 0) {
        return fail_errno(err, errno, "open", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return pk_fail(err, PK_INVALID, "name a regular file", "not a regular file: '%s'", path);
    }
    if ((uintmax_t)info.st_size > max_bytes) {
        return pk_fail(err, PK_TOO_LARGE, "use a smaller file",
                       "file '%s' has %jd bytes, above %zu", path, (intmax_t)info.st_size,
                       max_bytes);
    }
    size_t before = buf->size;
    if (!read_all(buf, fd, path, max_bytes, err)) {
        buf->size = before; /* All or nothing is appended. */
        if (buf->data) {
            buf->data[before] = '\0';
        }
        return false;
    }
    return true;
}

static bool write_all(int fd, const char *path, const void *data, size_t size, struct pk_error *err)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(err, errno, "write", path);
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* The folder a path lies in, as fresh text: "." for a bare name. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return pk_strdup(".");
    }
    return slash == path ? pk_strdup("/") : pk_strndup(path, (size_t)(slash - path));
}

static bool sync_folder(const char *folder, struct pk_error *err)
{
    PK_CLEANUP(close_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        return fail_errno(err, errno, "sync folder", folder);
    }
    return true;
}

static bool write_temporary(const char *temporary, const char *path, const void *data, size_t size,
                            mode_t mode, struct pk_error *err)
{
    PK_CLEANUP(close_fd) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail_errno(err, errno, "create", path);
    }
    /* fchmod, because open's mode is cut by the umask; before the bytes, which may be secret. */
    if (fchmod(fd, mode) != 0) {
        return fail_errno(err, errno, "set the mode of", path);
    }
    if (!write_all(fd, path, data, size, err)) {
        return false;
    }
    if (fsync(fd) != 0) {
        return fail_errno(err, errno, "sync", path);
    }
    return true;
}

bool pk_file_write(const char *path, const void *data, size_t size, mode_t mode,
                   struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *folder = folder_of(path);
    /* A name of its own: two writers do not share half a file. */
    PK_CLEANUP(pk_freep)
    char *temporary = pk_strdupf("%s/.pk-%016llx.tmp", folder, (unsigned long long)pk_random_u64());

    if (!write_temporary(temporary, path, data, size, mode, err)) {
        (void)unlink(temporary);
        return false;
    }
    if (rename(temporary, path) != 0) {
        int number = errno;
        (void)unlink(temporary);
        return fail_errno(err, number, "replace", path);
    }
    return sync_folder(folder, err);
}

/* Makes one folder whose parent is there. */
static bool make_one(const char *path, mode_t mode, struct pk_error *err)
{
    struct stat info;

    if (mkdir(path, mode) == 0) {
        return true;
    }
    int number = errno;
    if (number == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return true;
    }
    if (number == EEXIST) {
        return pk_fail(err, PK_INVALID, "name a folder, or remove what is there",
                       "cannot make folder '%s': there is something else by that name", path);
    }
    return fail_errno(err, number, "make folder", path);
}

bool pk_folder_make(const char *path, mode_t mode, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *part = pk_strdup(path);

    if (!*path) {
        return pk_fail(err, PK_INVALID, "name a folder", "the folder's path is empty");
    }
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (!make_one(part, mode, err)) {
            return false;
        }
        *slash = '/';
    }
    return make_one(part, mode, err);
}

/* The pid in the file: 0 when there is none (yet). */
static long read_pid(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static bool write_pid(int fd, const char *path, struct pk_error *err)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0) {
        return fail_errno(err, errno, "write", path);
    }
    return write_all(fd, path, text, strlen(text), err);
}

static bool fail_locked(struct pk_error *err, const char *folder, long pid)
{
    static const char hint[] = "stop that process, or use another folder";
    if (pid <= 0) { /* It has the lock and has not said its name yet. */
        return pk_fail(err, PK_CONFLICT, hint, "folder '%s' is in use by another process", folder);
    }
    return pk_fail(err, PK_CONFLICT, hint, "folder '%s' is in use by process %ld", folder, pid);
}

bool pk_folder_lock(const char *folder, int *out_fd, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.pid", folder);
    PK_CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0) {
        return fail_errno(err, errno, "open", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return fail_errno(err, errno, "lock", path);
        }
        return fail_locked(err, folder, read_pid(fd));
    }
    if (!write_pid(fd, path, err)) {
        return false;
    }
    *out_fd = fd;
    fd = -1; /* The lock is the caller's now. */
    return true;
}

bool pk_folder_is_held(const char *folder)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/personakit.pid", folder);
    PK_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const long pid = fd >= 0 ? read_pid(fd) : 0;
    return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}
