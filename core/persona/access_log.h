/* access_log.h - Who read what of a person: noted in memory, written as audit rows every 5 s.
 *
 * A note is (person, actor, action); however often he reads within those
 * seconds, it is one row with a count. Rows name the person by keyed hash, as
 * all audit rows do, and outlive the person. Personas are noted where their
 * uses are counted (persona_use.c), exports where they begin. As all use
 * counts, what a crash loses of this is the last 5 s. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_ACCESS_LOG_H
#define PK_PERSONA_ACCESS_LOG_H

#include "persona/domain.h"

#include <stdbool.h>
#include <stddef.h>

struct pk_access_log; /* Opaque. */
struct pk_doc;
struct pk_error;
struct pk_page;

struct pk_access_log *pk_access_log_new(const struct pk_domain *domain)
    __attribute__((returns_nonnull, warn_unused_result));
/* The thread that writes. */
bool pk_access_log_start(struct pk_access_log *log, struct pk_error *err);
void pk_access_log_free(struct pk_access_log *log); /* Writes what is left; NULL is fine. */

/* 'action' is a literal: "mindscape.read"; 'purpose' may be NULL. Never blocks for long. */
void pk_access_log_add(struct pk_access_log *log, const char *person, const char *actor,
                       const char *action, const char *purpose);
/* Writes what has been noted so far; the thread does so every 5 s. */
bool pk_access_log_flush(struct pk_access_log *log, struct pk_error *err);

/* Whether an audit row says that somebody read something of a person. */
bool pk_access_log_is_read(const struct pk_doc *audit);

#endif
