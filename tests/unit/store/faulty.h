/* faulty.h - SQLite's file system, with faults on command.
 *
 * A VFS over the default one, made the default by faulty_install: what SQLite
 * does with real files goes to real files, until the test says which call
 * fails. One process, one plan at a time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TESTS_FAULTY_H
#define PK_TESTS_FAULTY_H

#include <stdbool.h>

enum faulty_call { FAULTY_NONE, FAULTY_SYNC, FAULTY_WRITE };

/* From now on calls of that kind on files whose name ends in 'suffix' fail with SQLite's 'code'
 * after 'skip' of them went well. FAULTY_NONE: all is well again. */
void faulty_plan(enum faulty_call call, const char *suffix, int skip, int code);
void faulty_install(void);
void faulty_remove(void);

#endif
