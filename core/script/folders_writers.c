/* folders_writers.c - Whether somebody has a file open for writing.
 *
 * Stillness and events both miss something: a writer that pauses, or one whose
 * call is not over (a file is cut to nothing before the kernel tells anybody,
 * and under load that took over 10 ms when it was measured). The kernel knows:
 * it gives a read lease on a file only while nobody has it open for writing. So
 * a lease is taken, and given back at once.
 *
 * A writer who comes in that instant waits for its end. The signal that would
 * announce him goes to this thread alone, where all signals are blocked.
 *
 * Only a file's owner (or root) gets a lease, and not on every file system:
 * then the answer is that nobody knows, and events must do.
 *
 * Thread: the watching one. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "script/folders_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_MAX = 4096 };

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

static enum writing ask_lease(int fd)
{
    const struct f_owner_ex us = { .type = F_OWNER_TID, .pid = gettid() };
    struct stat info;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return WRITING_NO; /* Nobody's bytes. */
    }
    if (fcntl(fd, F_SETOWN_EX, &us) != 0) {
        return WRITING_UNKNOWN;
    }
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        return WRITING_NO;
    }
    return errno == EAGAIN ? WRITING_YES : WRITING_UNKNOWN;
}

static enum writing ask_file(int folder, const char *name)
{
    PK_CLEANUP(close_fd)
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES ? WRITING_UNKNOWN : WRITING_NO;
    }
    return ask_lease(fd);
}

enum writing folders_writing(const char *path)
{
    PK_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        PK_CLEANUP(pk_freep) char *signature = pk_strdupf("%s.sig", path);
        const enum writing script = ask_file(AT_FDCWD, path), sig = ask_file(AT_FDCWD, signature);
        return script > sig ? script : sig;
    }
    PK_CLEANUP(close_folder) DIR *folder = fdopendir(fd);
    const struct dirent *entry;
    enum writing all = WRITING_NO;

    if (!folder) {
        return WRITING_UNKNOWN;
    }
    fd = -1; /* The folder's now. */
    for (int i = 0; i < ENTRIES_MAX && all != WRITING_YES && (entry = readdir(folder)); i++) {
        if (entry->d_name[0] != '.') {
            const enum writing one = ask_file(dirfd(folder), entry->d_name);
            all = one > all ? one : all;
        }
    }
    return all;
}
