/* progress.h - How far long work has got: a bar on a terminal, a line now and then elsewhere. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_PROGRESS_H
#define PK_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct pk_clock;

struct pk_progress {
    const struct pk_clock *clock;
    const char *unit;   /* Of what lines elsewhere count; NULL: documents. */
    const char *step;   /* What is being done; a change starts the rate anew. */
    int64_t begun_ns;   /* When this step began. */
    int64_t begun_done; /* What was done already then. */
    int64_t shown_ns;   /* When it was last shown. */
    bool is_terminal;   /* Standard error is one. */
    bool is_silent;     /* Nothing is shown. */
    bool is_line_open;  /* A bar stands on the present line. */
};
void pk_progress_init(struct pk_progress *progress, const struct pk_clock *clock, bool is_silent);
/* 'all' 0: not known. 'step' is static text. */
void pk_progress_show(struct pk_progress *progress, const char *step, const char *what,
                      int64_t done, int64_t all);
/* Clears the bar, before something else is printed. */
void pk_progress_done(struct pk_progress *progress);

#endif
