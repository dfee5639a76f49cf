/* erase_log.h - DATA/erasures.log: who was erased and what was forgotten, for whoever restores an
 * older backup.
 *
 * It names people and observations by keyed hash (pk_audit_person), lies beside the pepper, and is
 * no part of the store or of its backups. Files of several nodes may be joined in any order. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_ERASE_LOG_H
#define PK_PERSONA_ERASE_LOG_H

#include "base/crypto.h"
#include "persona/domain.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PK_ERASE_LOG_NAME "erasures.log" /* In the data folder. */

struct pk_error;

/* If you add one, add its word in erase_log.c. */
enum pk_erased { PK_ERASED_PERSON, PK_ERASED_OBSERVATION };

/* Makes the file when it is missing: from then on its absence means that it was lost. */
bool pk_erase_log_make(const char *data, struct pk_error *err);
/* Appends the line of this person or observation, durable on return: before the first thing is
 * deleted. The same line twice does no harm. Any thread, any process. */
bool pk_erase_log_add(const struct pk_domain *domain, enum pk_erased kind, const char *id,
                      int64_t at_ms, struct pk_error *err);

/* ---- For who restores ---- */

struct pk_erase_log {
    struct pk_erase_line *line; /* In order of kind and hash; of each the latest. */
    size_t count;
    size_t torn; /* Lines that a power cut has left unfinished, and that say nothing. */
};
struct pk_erase_line {
    enum pk_erased kind;
    char hash[PK_HASH_TEXT];
    int64_t at_ms; /* When it was asked for. */
};
/* PK_NOT_FOUND when it is missing; PK_INVALID names the line that is damaged: what it said cannot
 * be known, so nobody may go on as if it had said nothing. */
bool pk_erase_log_read(struct pk_erase_log *out, const char *data, struct pk_error *err);
/* The same of its text; 'name' is said of what is damaged. */
bool pk_erase_log_parse(struct pk_erase_log *out, const char *text, size_t size, const char *name,
                        struct pk_error *err);
void pk_erase_log_done(struct pk_erase_log *log);
/* When it was erased, wall ms; 0: it was not. */
int64_t pk_erase_log_find(const struct pk_erase_log *log, const struct pk_peppers *peppers,
                          enum pk_erased kind, const char *id);

#endif
