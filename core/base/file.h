/* file.h - Whole files, read with a limit and replaced atomically. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_FILE_H
#define PK_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pk_buf;
struct pk_error;

/* Appends the file's bytes to 'buf'. A file above 'max_bytes', or one that is not a regular file,
 * is refused. PK_NOT_FOUND when it is not there. */
bool pk_file_read(struct pk_buf *buf, const char *path, size_t max_bytes, struct pk_error *err);
/* Writes a new file beside it, syncs it, renames it over 'path' and syncs the folder: a power cut
 * leaves the old or the new content, never a mixture. */
bool pk_file_write(const char *path, const void *data, size_t size, mode_t mode,
                   struct pk_error *err);
/* Makes the folder and those above it that are missing. One that is there is fine. */
bool pk_folder_make(const char *path, mode_t mode, struct pk_error *err);

/* Takes the folder's lock file (DIR/personakit.pid) for this process and writes the pid into it.
 * PK_CONFLICT names the pid that holds it. The lock ends with the process, kill -9 included;
 * '*out_fd' is closed to give it back. */
bool pk_folder_lock(const char *folder, int *out_fd, struct pk_error *err);
/* False when the process that last held the folder's lock is gone: what it left there is old. */
bool pk_folder_is_held(const char *folder);

#endif
