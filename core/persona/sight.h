/* sight.h - What a key that may not see everybody learns of people who turned out to be one.
 *
 * A person may have several ids (merge.h). Each is a name of its own, shown to
 * who may see it and to nobody else:
 *
 *     what is asked for by an id       is found when the key may see that id and whom it leads to;
 *     or by an external id             else it is as if there had never been such a person
 *     fields that name another id      are left out (mergedFrom, mergedInto, from, into, ...)
 *     what moved to one out of sight   still has the id that it came with
 *     people, 'merges'                 has those of whom the key may see the other
 *     actors, 'people'                 has those in sight, and '*'
 *     tasks, audit rows, events        are shown of people in sight, and of nobody
 *     an export                        leaves out what lies under ids out of sight
 *
 * So of a merge a key for one of the two sees that there was one, and no more.
 * This file is where all of that is said; whoever shows documents asks it.
 * Any thread; only pk_sight_ids reads. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_SIGHT_H
#define PK_PERSONA_SIGHT_H

#include "base/id.h"
#include "persona/merge.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_domain;
struct pk_error;
struct pk_principal;

/* Whether there may be people whom 'who' (NULL: the server itself) may not see. */
bool pk_sight_is_limited(const struct pk_principal *who);
/* 'person' NULL: it is about nobody, and anybody may know. */
bool pk_sight_has(const struct pk_principal *who, const char *person);

/* Makes 'out', which is not initialised: a stored document without the ids that are out of sight.
 */
void pk_sight_show(const struct pk_principal *who, const bson_t *stored, bson_t *out);
/* Appends an event's facts without them. */
void pk_sight_put_facts(const struct pk_principal *who, const bson_iter_t *facts, bson_t *out);

/* Ids under which something is found of one person: of him who is meant by 'person' now, as many
 * as are in sight, his own first. */
struct pk_sight_ids {
    char id[PK_IDS_MAX][PK_UUID_TEXT];
    size_t count; /* 0: 'person' is out of sight. */
};
bool pk_sight_ids(const struct pk_domain *domain, const struct pk_principal *who,
                  const char *person, int64_t deadline_ns, struct pk_sight_ids *out,
                  struct pk_error *err);
bool pk_sight_ids_have(const struct pk_sight_ids *ids, const char *id);
/* Whether the event says that ids have come together or parted. */
bool pk_sight_is_moving(const struct pk_doc *event);

#endif
