/* listen_unix.c - A Unix socket that listens, and the file it is found by.
 *
 * The file belongs to whoever bound it last. One that is left over from a
 * program that died answers nobody: connecting to it is refused, and then, and
 * only then, it is replaced. A file that is no socket is never touched.
 *
 *     nothing there                       bind
 *     a socket, and somebody answers      PK_CONFLICT
 *     a socket, refused                   unlink, bind
 *     anything else                       PK_CONFLICT
 *
 * Mode 0660, whatever the umask: the socket is narrowed before it has a name
 * and widened behind that, and it does not listen until both are done. On
 * closing the file is removed if it is still the one that was made here: a
 * successor may have put its own there while we drained.
 *
 * All loops share one socket: the kernel does not spread connections over
 * several that have one name. Names without a file ("abstract") are not
 * offered: every user of the machine could connect to them. */
/* SPDX-License-Identifier: MIT */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, MODE = 0660, PREFIX = 5 /* "unix:" */ };

static bool name_socket(const char *address, struct sockaddr_un *out, struct pk_error *err)
{
    const char *path = address + PREFIX;
    size_t size = strlen(path);
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (path[0] != '/' || path[size - 1] == '/') {
        return pk_fail(err, PK_INVALID,
                       "write the whole path, for example unix:/run/personakit/http.sock",
                       "'%s' is not a path to listen on", address);
    }
    if (size >= sizeof(out->sun_path)) {
        return pk_fail(err, PK_TOO_LARGE, "choose a folder whose path is shorter",
                       "the path '%s' has %zu bytes, and that of a socket at most %zu", path, size,
                       sizeof(out->sun_path) - 1);
    }
    memcpy(out->sun_path, path, size + 1);
    return true;
}

static bool file_error(const char *path, struct pk_error *err)
{
    if (errno == EACCES || errno == EPERM || errno == EROFS) {
        return pk_fail(err, PK_FORBIDDEN, "give this user the right to write in that folder",
                       "cannot listen on '%s': this user may not write there", path);
    }
    if (errno == ENOENT || errno == ENOTDIR) {
        return pk_fail(err, PK_NOT_FOUND, "make the folder first",
                       "cannot listen on '%s': there is no such folder", path);
    }
    if (errno == EADDRINUSE) {
        return pk_fail(err, PK_CONFLICT, "stop the other program, or choose another path",
                       "cannot listen on '%s': another program was faster", path);
    }
    return pk_fail(err, PK_INTERNAL, "choose another path", "cannot listen on '%s': %s", path,
                   strerror(errno));
}

/* True when a program accepts connections there. Sets errno otherwise. */
static bool somebody_answers(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_there = connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0;
    int code = errno;
    (void)close(fd);
    errno = code;
    return is_there || code == EAGAIN; /* EAGAIN: its queue is full. */
}

/* What is at the path already: nothing any more afterwards, or it is not ours to take. */
static bool clear_path(const struct sockaddr_un *name, struct pk_error *err)
{
    struct stat found;
    const char *path = name->sun_path;
    if (lstat(path, &found) != 0) {
        return errno == ENOENT || file_error(path, err);
    }
    if (!S_ISSOCK(found.st_mode)) {
        return pk_fail(err, PK_CONFLICT, "choose another path, or move that file away",
                       "cannot listen on '%s': there is a file that is no socket", path);
    }
    if (somebody_answers(name)) {
        return pk_fail(err, PK_CONFLICT, "stop the program that has it, or choose another path",
                       "cannot listen on '%s': another program answers there", path);
    }
    if (errno != ECONNREFUSED && errno != ENOENT) {
        return file_error(path, err); /* Perhaps somebody who may not be asked. */
    }
    return unlink(path) == 0 || errno == ENOENT || file_error(path, err);
}

static int bind_file(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool is_bound =
        fchmod(fd, MODE) == 0 && bind(fd, (const struct sockaddr *)name, sizeof(*name)) == 0;
    if (is_bound && chmod(name->sun_path, MODE) == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    int code = errno;
    if (is_bound) {
        (void)unlink(name->sun_path);
    }
    (void)close(fd);
    errno = code;
    return -1;
}

/* The others are the same socket by other numbers. */
static bool copy_all(size_t count, int *out_fd)
{
    for (size_t i = 1; i < count; i++) {
        out_fd[i] = fcntl(out_fd[0], F_DUPFD_CLOEXEC, 0);
        if (out_fd[i] < 0) {
            int code = errno;
            while (i-- > 0) {
                (void)close(out_fd[i]);
            }
            errno = code;
            return false;
        }
    }
    return true;
}

bool pk_listen_unix(const char *address, size_t count, int *out_fd, struct pk_socket_file *out_file,
                    struct pk_error *err)
{
    struct sockaddr_un name;
    struct stat made = { 0 };
    if (!name_socket(address, &name, err) || !clear_path(&name, err)) {
        return false;
    }
    out_fd[0] = bind_file(&name);
    if (out_fd[0] < 0) {
        return file_error(name.sun_path, err);
    }
    if (!copy_all(count, out_fd)) {
        bool is_said = file_error(name.sun_path, err);
        (void)unlink(name.sun_path);
        return is_said;
    }
    (void)lstat(name.sun_path, &made);
    *out_file = (struct pk_socket_file){ .device = made.st_dev,
                                         .inode = made.st_ino,
                                         .changed = made.st_ctim };
    (void)snprintf(out_file->path, sizeof(out_file->path), "%s", name.sun_path);
    return true;
}

void pk_listen_remove(struct pk_socket_file *file)
{
    struct stat found;
    if (file->path[0] != '\0' && lstat(file->path, &found) == 0 && found.st_dev == file->device &&
        found.st_ino == file->inode && found.st_ctim.tv_sec == file->changed.tv_sec &&
        found.st_ctim.tv_nsec == file->changed.tv_nsec) {
        (void)unlink(file->path);
    }
    file->path[0] = '\0';
}
