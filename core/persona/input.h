/* input.h - What a script is handed: a mindscape with what is joined to it, cut to what it reads.
 */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_INPUT_H
#define PK_PERSONA_INPUT_H

#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_script;

/* Appends 'mindscape' (lua/README.md, "A mindscape") to 'input': the stored one with half-lives and
 * hot entries' expiry, its hot knowledge, and what the script's retrieval pipeline finds at this
 * level of detail. */
bool pk_input_mindscape(const struct pk_domain *domain, const struct pk_script *script,
                        const struct pk_doc *mindscape, const char *detail, int64_t now_ms,
                        int64_t deadline_ns, bson_t *input, struct pk_error *err);
/* The number that pk_scripts_call wants for a person. */
uint64_t pk_input_person(const char *person);

#endif
