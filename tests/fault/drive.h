/* drive.h - A writer on a set that is hurt: what the drivers for MongoDB share. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_DRIVE_H
#define PK_FAULT_DRIVE_H

#include "journal.h"
#include "process.h"
#include "set.h"

struct fault_drive {
    struct fault_set set;
    struct fault_child child;
    struct fault_journal journal;
    struct fault_mark {
        uint64_t oks, unknowns, refusals; /* Of the journal, when it was set; ... */
        uint64_t conflicts;               /* ... of the refusals. */
        int64_t ms;
    } mark;
};

/* Starts a set of 'members' and a followed writer with that many threads on it. Ends the program,
 * counted as skipped, when there is no mongod. */
void drive_start(struct fault_drive *drive, int members, const char *threads, uint64_t seed);
/* From here on it is counted. */
void drive_mark(struct fault_drive *drive);
/* Hears the writer for 'ms'. */
void drive_hear(struct fault_drive *drive, int64_t ms);
/* Hears until 'count' lists that were begun after the mark are acknowledged; the ms since the mark,
 * or -1 when it took more than 'limit_ms'. */
int64_t drive_until_ok(struct fault_drive *drive, uint64_t count, int64_t limit_ms);
/* One line of what has happened since the mark. */
void drive_print(const struct fault_drive *drive, const char *what, int64_t recovery_ms);
/* Lets the writer end, checks everything, prints the results, ends the set. 'where' ends the
 * sentences. */
void drive_finish(struct fault_drive *drive, const char *where);

#endif
