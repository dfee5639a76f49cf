/* signals.h - Signals as something to wait for, not something that happens.
 *
 * They are blocked for the whole process (so this comes before any thread) and
 * read from a descriptor by the one who has to decide. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CLI_SIGNALS_H
#define PK_CLI_SIGNALS_H

#include <stdbool.h>

struct pk_signals {
    int fd;          /* Readable when one has come. */
    bool has_hangup; /* SIGHUP is among them. */
};
/* SIGINT and SIGTERM; with 'has_hangup' SIGHUP, too. */
void pk_signals_init(struct pk_signals *signals, bool has_hangup);
/* The signal that has come, or 0. Does not wait. */
int pk_signals_take(struct pk_signals *signals);
/* From here on they do what they do by default: end the process. */
void pk_signals_release(struct pk_signals *signals);

#endif
