/* script_bench.h - What the parts of the script bench share: calls from many threads, measured. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BENCH_SCRIPT_H
#define PK_BENCH_SCRIPT_H

#include "script/jail.h"

/* One line of the table: the same entry with one input after the other. */
struct script_work {
    const char *name;
    const struct pk_jail_script *script;
    const char *entry;
    const bson_t *input; /* An array ... */
    size_t inputs;       /* ... of so many. */
};

/* How all lines are measured. */
struct script_bench {
    const char *worker; /* Path of personakit-worker. */
    double seconds;     /* Per line. */
    size_t callers;     /* Threads. */
};

/* Measures and reports. A call that fails ends the program. */
void script_bench_run(const struct script_bench *bench, const struct script_work *work);
/* script_rules.c: the rules of 'work_file' (work.lua's JSON) from end to end. */
void script_bench_rules(const struct script_bench *bench, const char *work_file);

#endif
