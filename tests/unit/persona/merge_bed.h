/* merge_bed.h - Three people, what is said of them, and merges of them, for tests of merging. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_PERSONA_MERGE_BED_H
#define PK_TEST_PERSONA_MERGE_BED_H

#include "kit.h"
#include "persona/merge.h"
#include "persona/observation.h"

#define BOTH(name)                             \
    static void check_##name(struct kit *kit); \
    TEST(name)                                 \
    {                                          \
        KIT(kit, false);                       \
        check_##name(&kit);                    \
    }                                          \
    TEST(name##_on_mongodb)                    \
    {                                          \
        KIT(kit, true);                        \
        check_##name(&kit);                    \
    }                                          \
    static void check_##name(struct kit *kit)

enum { PEOPLE = 3, HOUR_MS = 3600000 };
extern const char *const person[PEOPLE];
#define A      person[0]
#define B      person[1]
#define C      person[2]
#define NOBODY "d0000000-0000-4000-8000-000000000004"

/* A processor that makes traits, goals, facts, a graph and narratives of 'minutes'. */
void teach(struct kit *kit);
/* An observation under a name; 'id' NULL: the server gives one. */
struct pk_accepted send_as(struct kit *kit, const char *who, const char *external, const char *id,
                           int minutes);
/* The same, accepted; the clock moves by a millisecond. */
void say(struct kit *kit, const char *who, int minutes);

/* False: it was refused, with kit->err. */
bool try_merge(struct kit *kit, const char *from, const char *into, struct pk_merged *out);
/* Merged, and all work is done. */
struct pk_merged merge_two(struct kit *kit, const char *from, const char *into);
void undo_merge(struct kit *kit, const char *who, const char *id);
/* All work is done, and this task has not failed. */
void expect_done(struct kit *kit, const char *task);

/* What replay compares, less the place of the last observation; freed by the caller. */
char *essence_of(struct kit *kit, const char *who);
void expect_same(char *a, char *b); /* Frees both. */
size_t rows_of(struct kit *kit, const char *collection, const char *who);
/* Places of the person's observations are 1, 2, 3 ... */
void expect_dense(struct kit *kit, const char *who);

/* Records a consent; its withdrawal. The clock moves by a millisecond. */
void agree(struct kit *kit, const char *who, const char *purpose, bool is_granted);
bool agrees(struct kit *kit, const char *who, const char *purpose);

#endif
