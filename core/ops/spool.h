/* spool.h - Lines on their way to a file that may be slow.
 *
 * Adding never waits: lines go into a ring in memory, and a thread of the
 * spool's writes them out. When the file does not keep up the ring fills, and
 * what finds no room is dropped and counted.
 *
 * A write is whole lines of at most 4 KiB together: on a pipe they are not mixed
 * with what others write to it. Any thread may add. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_SPOOL_H
#define PK_OPS_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;
struct pk_spool; /* Opaque. */

enum { PK_SPOOL_LINE_MAX = 4096 }; /* Bytes of a line, with its newline. */

struct pk_spool_options {
    int fd;       /* Where lines go; stays the caller's. */
    size_t bytes; /* Held in memory; 0: 1 MiB. */
};

bool pk_spool_open(struct pk_spool **out, const struct pk_spool_options *options,
                   struct pk_error *err);
/* Writes what is there, for at most a second. NULL is fine. No call may be under way. */
void pk_spool_close(struct pk_spool *spool);

/* A line with its newline. False: it was dropped. */
bool pk_spool_add(struct pk_spool *spool, const char *line, size_t size);

struct pk_spool_stats {
    uint64_t written, dropped; /* Lines since the start; dropped: no room, or the file refused. */
};
void pk_spool_stats(const struct pk_spool *spool, struct pk_spool_stats *out); /* NULL: zeros. */

#endif
