/* journal.h - What a writer was told, as its parent heard it.
 *
 * A writer says each step on a pipe before and after it takes it; what it said
 * survives its kill -9, so the parent's record is the truth that a store is
 * checked against. One line is one step:
 *
 *     seed SEED                     the first line, and with each run
 *     ready RUN MS                  the store is open, after so many ms
 *     from POSITION                 the feed is followed from here, before any "try"
 *     try RUN THREAD NUMBER KIND    the list is about to be committed
 *     ok RUN THREAD NUMBER VALUE    acknowledged; VALUE of the counter it raised, or 0
 *     unknown RUN THREAD NUMBER     told "unknown, repeat with the same key"
 *     refused RUN THREAD NUMBER CODE
 *     seen RUN THREAD NUMBER POSITION   the feed delivered its event
 *     gap POSITION                  the feed said that it may have missed some
 *     wrong TEXT                    the store broke its word in front of the writer
 *     end RUN                       stopped as asked, store closed
 *
 * Lines come one after the other as they happened: if "ok A" stands before
 * "try B", A was acknowledged before B began. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_FAULT_JOURNAL_H
#define PK_FAULT_JOURNAL_H

#include "list.h"

#include <stddef.h>
#include <stdio.h>

enum fault_state {
    FAULT_NEVER,   /* Not tried. */
    FAULT_TRIED,   /* Begun; nobody was told how it ended. */
    FAULT_UNKNOWN, /* Told "unknown", and no more. */
    FAULT_REFUSED, /* Told "not done". */
    FAULT_DONE     /* Acknowledged. */
};

struct fault_list {
    enum fault_kind kind;
    enum fault_state state;
    bool was_unknown; /* Told "unknown" at least once: a later refusal does not mean absent. */
    bool is_present[FAULT_PART_COUNT]; /* Found by the check under way. */
    unsigned seen;                     /* Times the feed delivered it. */
    uint64_t try_at;                   /* Line of its first "try" ... */
    uint64_t done_at;                  /* ... of its "ok" ... */
    uint64_t seen_at; /* ... and its place among first deliveries, from 1; 0: never. */
};

/* The lists of one thread in one run. */
struct fault_lane {
    struct fault_list *list;
    size_t count, capacity;
};

struct fault_journal {
    uint64_t seed;
    uint64_t line;           /* Taken in so far. */
    struct fault_lane *lane; /* [run * FAULT_THREADS_MAX + thread], grown as runs come. */
    size_t run_count, run_capacity;
    uint32_t thread_count;         /* Highest thread met, and one. */
    uint64_t first_seen;           /* Events delivered, repeats not counted. */
    struct fault_name *seen_order; /* Those, in the order of the feed. */
    size_t seen_capacity;
    uint64_t repeats, gaps;                  /* Of the feed. */
    uint64_t tries, oks, unknowns, refusals; /* Lines of each kind. */
    uint64_t refused_by[32];                 /* By enum pk_code. */
    int64_t own_ok[FAULT_THREADS_MAX];       /* Highest value acknowledged, per thread's counter. */
    char position[256];  /* The feed's last; "": nobody has followed it yet ... */
    uint64_t unfollowed; /* ... and so many lists were tried by then. */
    uint64_t watch_line; /* Set by a driver: lists begun after this line and ... */
    uint64_t watch_oks;  /* ... acknowledged since. */
    int64_t ready_ms;    /* Of the last run; -1 until it said so. */
    bool is_ended;       /* The last run has said "end". */
    uint64_t wrongs;     /* Broken words and lines that make no sense ... */
    char wrong[512];     /* ... and the first of them. */
    FILE *copy;          /* Every line goes here too; may be NULL. */
};

void fault_journal_init(struct fault_journal *journal, uint64_t seed);
void fault_journal_done(struct fault_journal *journal);
/* Takes one line, without its end. */
void fault_journal_line(struct fault_journal *journal, const char *line);
/* Takes a whole file; false when it cannot be read or does not begin with a seed. */
bool fault_journal_load(struct fault_journal *journal, const char *path);
/* The list of that name; NULL when it was never tried. */
struct fault_list *fault_journal_list(const struct fault_journal *journal, struct fault_name name);
/* A new run is about to start. */
void fault_journal_next_run(struct fault_journal *journal);
/* One line on what it holds, after "# ". */
void fault_journal_print(const struct fault_journal *journal);

#endif
