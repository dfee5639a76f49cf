/* quarantine.h - Scripts that are not run for a while, because they keep being killed.
 *
 * By content hash: a changed script is another one, and starts clean.
 *
 *     switch (pk_quarantine_ask(quarantine, hash, person, &until_ns)) {
 *     case PK_QUARANTINE_RUN:    run it, then pk_quarantine_note
 *     case PK_QUARANTINE_TRIAL:  the same; it is the one call that decides
 *     case PK_QUARANTINE_BARRED: do not run it; the last good version serves
 *     }
 *
 * What counts against a script is what costs the server: being killed, or its
 * worker dying. An error, a soft stop or a cap hurts its own caller only.
 *
 * 'person' is any number for whose data the call ran on, 0 for nobody's: one
 * whose data kills a script that serves all others well is barred alone. Kills
 * of as many persons as 'kills' bar it for all; nobody's count one by one.
 * Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_SCRIPT_QUARANTINE_H
#define PK_SCRIPT_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_quarantine; /* Opaque. */

enum { PK_QUARANTINE_HASH = 32 };

struct pk_quarantine_options {
    const struct pk_clock *clock; /* NULL: the system's. */
    unsigned kills;               /* Within 'window_ms' bar a script. 0: 3; at most 16. */
    int64_t window_ms;            /* 0: 60,000. */
    int64_t bar_ms;               /* The first bar; each further one is twice as long. 0: 30,000. */
    int64_t bar_max_ms;           /* 0: 3,600,000. */
    size_t scripts_max;           /* Remembered; the one least lately noted goes. 0: 1,024. */
};

enum pk_quarantine_verdict {
    PK_QUARANTINE_RUN,   /* Nothing is known against it. */
    PK_QUARANTINE_TRIAL, /* The bar is over: this one call may show that it is well. */
    PK_QUARANTINE_BARRED
};

struct pk_quarantine *pk_quarantine_new(const struct pk_quarantine_options *options)
    __attribute__((returns_nonnull, warn_unused_result));
void pk_quarantine_free(struct pk_quarantine *quarantine);

/* Whether the script may run now. '*out_until_ns' (may be NULL): when a barred one may be tried, on
 * the clock's mono hand. It is tried with somebody who did not kill it lately. Who gets TRIAL must
 * note the outcome; if he never does, another call is let through after one more bar. */
enum pk_quarantine_verdict pk_quarantine_ask(struct pk_quarantine *quarantine,
                                             const uint8_t hash[PK_QUARANTINE_HASH],
                                             uint64_t person, int64_t *out_until_ns);

enum pk_quarantine_news {
    PK_QUARANTINE_NO_NEWS,
    PK_QUARANTINE_FOR_ONE, /* It has just been barred for this person, ... */
    PK_QUARANTINE_FOR_ALL, /* ... for all: worth a line in the log. */
};

/* How a call ended. A good
 * end counts only for a trial: a script that is killed at one call in ten stays suspect. */
enum pk_quarantine_news pk_quarantine_note(struct pk_quarantine *quarantine,
                                           const uint8_t hash[PK_QUARANTINE_HASH], uint64_t person,
                                           bool was_killed);
/* An operator's word: forget everything about it. False: nothing was known. */
bool pk_quarantine_lift(struct pk_quarantine *quarantine, const uint8_t hash[PK_QUARANTINE_HASH]);
/* Whether it is barred or on trial; changes nothing. */
bool pk_quarantine_is_barred(struct pk_quarantine *quarantine,
                             const uint8_t hash[PK_QUARANTINE_HASH]);
/* How many are barred or on trial for all. */
size_t pk_quarantine_count(struct pk_quarantine *quarantine);

#endif
