/* erase_log.h - DATA/erasures.log: who was erased, for whoever restores an older backup. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_ERASE_LOG_H
#define PK_PERSONA_ERASE_LOG_H

#include "persona/domain.h"

#include <stdbool.h>
#include <stdint.h>

struct pk_error;

/* Appends the line of this person, durable on return. The same line twice does no harm. Any thread,
 * any process. */
bool pk_erase_log_add(const struct pk_domain *domain, const char *person, int64_t erased_ms,
                      struct pk_error *err);

#endif
