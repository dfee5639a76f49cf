/* process.h - The writer as a child: started, heard, killed. And small helpers of the drivers. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_PROCESS_H
#define PK_FAULT_PROCESS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fault_journal;

struct fault_child {
    pid_t pid;          /* 0: none. */
    int input;          /* Its standard input: closing it asks it to end. */
    int output;         /* Its standard output: the journal's lines. */
    struct pk_buf rest; /* A line whose end has not come yet. */
    int status;         /* Of waitpid, once it has ended. */
};

/* Starts the program 'fault_writer' that lies beside this one. 'option' is a NULL-terminated list
 * of its options. */
void fault_child_start(struct fault_child *child, const char *const *option);
/* Hears what it says for 'ms' at most; false when it has ended (and everything is heard). */
bool fault_child_hear(struct fault_child *child, struct fault_journal *journal, int64_t ms);
/* SIGKILL, and hears what it said before. */
void fault_child_kill(struct fault_child *child, struct fault_journal *journal);
/* Asks it to end and hears it out; killed after 'ms'. True when it ended by itself with 0. */
bool fault_child_finish(struct fault_child *child, struct fault_journal *journal, int64_t ms);

/* Runs a program to its end, hearing 'child' (NULL: nobody) meanwhile; its first line of output
 * goes to 'out' when that is not NULL. True when it ended with 0. */
bool fault_run(const char *const *argument, char *out, size_t out_size, struct fault_child *child,
               struct fault_journal *journal);
/* Path of a program that lies beside this one; valid until the next call. */
const char *fault_beside(const char *name);
/* Path of something in the source tree ("tests/support/mongod"), from PK_SOURCE or as built. */
const char *fault_source(const char *path);

int64_t fault_now_ms(void); /* Monotonic. */
/* Figures of a run, for people. */
struct fault_times {
    int64_t *ms;
    size_t count, capacity;
};
void fault_times_add(struct fault_times *times, int64_t ms);
int64_t fault_times_at(struct fault_times *times, double quantile); /* Sorts. */
void fault_times_done(struct fault_times *times);

/* A fresh folder that goes, with everything in it, when the program ends. One per program. */
const char *fault_folder(void);

#endif
