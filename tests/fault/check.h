/* check.h - Does a store hold what its journal says it must, and nothing else? */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_CHECK_H
#define PK_FAULT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault_journal;
struct pk_store;

enum fault_rule {
    FAULT_RULE_DONE,    /* Every acknowledged list is there, whole. */
    FAULT_RULE_REFUSED, /* Every refused list is absent, whole. */
    FAULT_RULE_WHOLE,   /* Every unknown or interrupted list is there or absent, whole. */
    FAULT_RULE_ALIEN,   /* Nothing else is there. */
    FAULT_RULE_CONTENT, /* Every document says what its list said, once. */
    FAULT_RULE_COUNTER, /* Each counter equals the lists present that raised it. */
    FAULT_RULE_INDEX,   /* Indexes lead to the same documents. */
    FAULT_RULE_FEED,    /* What the feed delivered: everything acknowledged, in order. */
    FAULT_RULE_WORD,    /* The store kept its word in front of the writer. */
    FAULT_RULE_READ,    /* The store could be read. */
    FAULT_RULE_COUNT
};

struct fault_report {
    struct {
        uint64_t checked; /* Things looked at. */
        uint64_t broken;
        char first[256]; /* The first that was broken, for people. */
    } rule[FAULT_RULE_COUNT];
    uint64_t present; /* Lists found whole. */
};

/* Reads everything. 'is_followed': a follower was there all the time and has said that it caught
 * up, so what was acknowledged must have been delivered. */
void fault_check(struct pk_store *store, struct fault_journal *journal, bool is_followed,
                 struct fault_report *out);
/* The same for the lists of one run alone, by their ids; without counters, indexes and feed. */
void fault_check_run(struct pk_store *store, struct fault_journal *journal, uint32_t run,
                     struct fault_report *out);
bool fault_report_ok(const struct fault_report *report);
/* Adds what 'more' found. */
void fault_report_add(struct fault_report *report, const struct fault_report *more);
/* One TAP result per rule that was looked at; 'where' ends the sentence. */
void fault_report_tap(const struct fault_report *report, const char *where);
/* The rule's sentence. */
const char *fault_rule_sentence(enum fault_rule rule);

#endif
