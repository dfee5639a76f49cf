/* reaper.h - The thread that gives room back: documents whose time has passed. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_REAPER_H
#define PK_OPS_REAPER_H

#include <stdbool.h>
#include <stdint.h>

struct pk_error;
struct pk_log;
struct pk_reaper; /* Opaque. */
struct pk_store;

/* Reaps every 'every_ms' until it is stopped. 'store' and 'log' must outlive it. */
bool pk_reaper_start(struct pk_reaper **out, struct pk_store *store, struct pk_log *log,
                     int64_t every_ms, struct pk_error *err);
/* Returns when the batch under way is done. NULL is fine. */
void pk_reaper_stop(struct pk_reaper *reaper);

#endif
