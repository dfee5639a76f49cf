/* input.h - What a script is handed: a mindscape with what is joined to it, cut to what it reads.
 */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_INPUT_H
#define PK_PERSONA_INPUT_H

#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_script;

/* Appends 'mindscape' (lua/README.md, "A mindscape") to 'input': the stored one with half-lives and
 * hot entries' expiry, its hot knowledge, and what the script's retrieval pipeline finds at this
 * level of detail. 'script' NULL: no pipeline. 'knowledge' (an array, or NULL) is taken instead of
 * what the store has: replay makes it anew. */
bool pk_input_mindscape(const struct pk_domain *domain, const struct pk_script *script,
                        const struct pk_doc *mindscape, const char *detail, int64_t now_ms,
                        const bson_t *knowledge, int64_t deadline_ns, bson_t *input,
                        struct pk_error *err);
/* What the pipeline asks for at this level and is not answered here, one sentence each; 'out' gets
 * up to 'max' texts that the caller frees. How many there are. */
size_t pk_input_warnings(const struct pk_script *script, const char *detail, char **out,
                         size_t max);
/* Appends 'config' when the script has settings: each by its name with its default. */
void pk_input_config(const struct pk_script *script, bson_t *input);
/* The number that pk_scripts_call wants for a person. */
uint64_t pk_input_person(const char *person);

#endif
