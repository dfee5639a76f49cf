/* fresh.h - Whether what was made once is still what would be made now.
 *
 * A half of a persona (its core, its overlay) rests on a basis: the version of
 * the mindscape that was read first, the read set (what was read or looked for
 * in vain), and the stretch of time in which nothing that was read turns by
 * itself. It is fresh while all of these hold:
 *
 *     the mapper's version is the one that made it
 *     now lies in [validFrom, validUntil): a clock that was set back leaves it, too
 *     nothing in its read set has a newer version in the mindscape
 *     no removal newer than it may have been folded into the mindscape's 'floor'
 *
 * Pure: no store, no clock. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_FRESH_H
#define PK_PERSONA_FRESH_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stdint.h>

struct pk_principal;

enum pk_freshness {
    PK_FRESH,
    PK_STALE_MAPPER, /* Another version of the mapper made it. */
    PK_STALE_TIME,   /* Its time is over, or has not come. */
    PK_STALE_READ    /* Something that it read or missed has changed. */
};

/* Of one half: 'basis' as it is stored in a persona, 'mindscape' as it is stored; 'decay' is
 * pk_policies_decay_key. */
enum pk_freshness pk_fresh_basis(const bson_t *basis, const bson_t *mindscape, const char *decay,
                                 int64_t now_ms);

/* Of a persona as it is stored, both halves. */
struct pk_fresh {
    enum pk_freshness core, overlay;
};
void pk_fresh_persona(const bson_t *persona, const char *mapper_version, const bson_t *mindscape,
                      const char *decay, int64_t now_ms, struct pk_fresh *out);
bool pk_fresh_is(const struct pk_fresh *fresh); /* Both are. */

/* True when 'basis' read, or looked for, something that is hidden from 'who': then what is hidden
 * could have changed it. */
bool pk_fresh_meets_hidden(const bson_t *basis, const struct pk_principal *who);

#endif
