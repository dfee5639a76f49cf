/* person_rows.h - A person's documents in any collection, found as the inventory says. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PERSON_ROWS_H
#define PK_PERSONA_PERSON_ROWS_H

#include "persona/domain.h"

#include <stdbool.h>
#include <stddef.h>

struct pk_collection;
struct pk_error;
struct pk_page;

/* A page of them; 'cursor' is 'next' of the page before, or NULL. */
bool pk_person_rows(const struct pk_domain *domain, const struct pk_collection *collection,
                    const char *person, size_t limit, const char *cursor, struct pk_page *out,
                    struct pk_error *err);

#endif
