/* store_work.h - The work of the store bench: what an accepted observation writes. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BENCH_STORE_WORK_H
#define PK_BENCH_STORE_WORK_H

#include <stdint.h>

struct pk_doc;
struct pk_writes;

enum { WORK_PEOPLE = 1000 };

/* Ids of people, the same in every run. */
void work_person(unsigned number, char out[37]);

/* An observation of about 700 bytes of BSON about person 'number' mod WORK_PEOPLE, created at
 * 'at_ms'. '*out_id' gets its id. */
struct pk_doc *work_observation(unsigned number, int64_t at_ms, char out_id[37]);

/* The main path's four documents: observation, task, event, idempotency row. */
void work_four(struct pk_writes *list, unsigned number, int64_t at_ms);

#endif
