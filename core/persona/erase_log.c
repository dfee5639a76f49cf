/* erase_log.c - One line per erasure, appended and synced.
 *
 *     <keyed hash of the id, 64 digits> <instant, ISO 8601>
 *
 * A backup brings the erased back; this file lies beside the pepper, outside
 * of the store and of its backups, and says whom to erase again. A line goes
 * out in one write at the end of the file; what a crash has torn is closed by
 * the line break that the next one begins with. */
/* SPDX-License-Identifier: MIT */
#include "persona/erase_log.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "persona/erase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_TEXT = 1 + PK_HASH_TEXT + PK_TIME_TEXT + 2 };

static bool is_torn(int fd)
{
    char last = '\n';
    const off_t end = lseek(fd, 0, SEEK_END);
    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

static bool write_line(int fd, const char *line, size_t size)
{
    const ssize_t written = write(fd, line, size);
    if (written >= 0 && (size_t)written != size) {
        errno = ENOSPC;
    }
    return written >= 0 && (size_t)written == size && fsync(fd) == 0;
}

/* The file's name is durable, too. */
static bool sync_folder(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

bool pk_erase_log_add(const struct pk_domain *domain, const char *person, int64_t erased_ms,
                      struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", domain->data, PK_ERASE_LOG_NAME);
    char hash[PK_HASH_TEXT], at[PK_TIME_TEXT], line[LINE_TEXT];
    const int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    pk_audit_person(domain->books->peppers, person, hash);
    pk_time_format(erased_ms, at);
    bool ok = fd >= 0;
    if (ok) {
        const int size =
            snprintf(line, sizeof(line), "%s%s %s\n", is_torn(fd) ? "\n" : "", hash, at);
        ok = write_line(fd, line, (size_t)size) && sync_folder(domain->data);
    }
    const int code = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ||
           pk_fail(err, code == ENOSPC ? PK_FULL : PK_UNAVAILABLE,
                   "make the data folder writable and free some room; nothing was deleted yet",
                   "'%s' cannot be written: %s", path, strerror(code));
}
