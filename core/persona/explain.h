/* explain.h - Why a persona is as it is: each line's rule, its traits, and what these rest on.
 *
 *     pk_persona_explain(personas, &request, &explanation, err)   for programs: a document
 *     pk_explain_print(&explanation, &text)                       the same for people
 *
 * A cached persona is explained as it was made: the mindscape is put back to
 * the version that it read. Asked with a time or a version of the mapper, the
 * answer is what the persona would have been; nothing is kept of it. What is
 * hidden from who asks is not there for him, as in the persona itself. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_EXPLAIN_H
#define PK_PERSONA_EXPLAIN_H

#include "access/principal.h"
#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_buf;
struct pk_error;
struct pk_personas;

struct pk_explain_request {
    const char *id;                 /* A composite id, or a generation's that is still cached. */
    int64_t as_of_ms;               /* What it would have been then (wall); 0: as it was made. */
    const char *mapper_version;     /* What it would be by that version; NULL: the one that made
                                     * it or, with 'as_of_ms', that was active then. */
    const struct pk_principal *who; /* NULL: nothing is hidden. */
    int64_t deadline_ns;
};
/* 'out' is initialised here, on success only, in the spelling of HTTP (schema_explain.h).
 * PK_NOT_FOUND: no such persona, or none that he may see; with a time or version: no such person
 * or mapper, or no version was active then. Else as pk_persona_map. */
bool pk_persona_explain(struct pk_personas *personas, const struct pk_explain_request *request,
                        bson_t *out, struct pk_error *err);
/* Some lines of text, each about one thing. */
void pk_explain_print(const bson_t *explanation, struct pk_buf *out);

#endif
