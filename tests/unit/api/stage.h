/* stage.h - A house with routes made for tests of what all routes go through.
 *
 *     GET    /v1/thing ?number= ?after=     {"run":N,"version":V}, ETag "7"; N counts the handlers
 *     GET    /v1/text                       the same, as text/plain
 *     POST   /v1/thing {"say":...}          the same
 *     PUT    /v1/thing                      a write that takes If-Match
 *     DELETE /v1/thing                      a write that does not
 *     GET    /v1/broken                     fails inside
 *     POST   /v1/people/{person}/notes      a write about a person
 *     GET    /v1/people/{person}/view       on the hot lane
 *     POST   /v1/hold                       waits for stage.go, then writes; takes Idempotency-Key
 */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_API_STAGE_H
#define PK_TEST_API_STAGE_H

#include "house.h"

#include <semaphore.h>
#include <stdatomic.h>

#define SEEN   "b7a1c0de-0000-4000-8000-000000000001"
#define UNSEEN "b7a1c0de-0000-4000-8000-000000000002"
#define KEY    "Idempotency-Key: 7f3a\r\n"

struct stage {
    atomic_int runs; /* Calls of handlers. */
    atomic_int held; /* Requests that have come to wait for 'go'. */
    sem_t go;
};
extern struct stage stage;
extern const struct pk_api_table *const stage_tables[1];

/* 'person_limit' writes about a person in a minute; 0: any number. */
void stage_open(struct house *house, uint32_t person_limit);
void stage_close(struct house *house);
/* Asks as the admin, expects status and code, and forgets the rest. */
void stage_ask(struct house *house, const char *method, const char *target, const char *headers,
               const char *body, int status, const char *code);

#endif
