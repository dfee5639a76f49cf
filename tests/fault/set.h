/* set.h - A real MongoDB replica set of this program's own, to be hurt. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_SET_H
#define PK_FAULT_SET_H

#include <stdbool.h>
#include <stddef.h>

struct fault_child;
struct fault_journal;

struct fault_set {
    char folder[512];
    char url[1024];                /* Of the set, with the database. */
    struct fault_child *child;     /* Heard while commands run; NULL: nobody. */
    struct fault_journal *journal; /* Its. */
};

/* Starts a set of 'members' (1 or 3) in the program's folder; it ends with the program. */
bool fault_set_start(struct fault_set *set, int members);
void fault_set_stop(struct fault_set *set);
/* "kill", "again", "pause", "resume", "stepdown", "primary" of tests/support/mongod; 'member' may
 * be NULL. The answer, a member's number, goes to 'out' (16 bytes) when that is not NULL. */
bool fault_set_do(struct fault_set *set, const char *verb, const char *member, char *out);
/* Runs one command on the primary's 'admin' database; its answer, JSON, goes to 'out' when that is
 * not NULL. */
bool fault_set_admin(struct fault_set *set, const char *json, char *out, size_t out_size);

#endif
