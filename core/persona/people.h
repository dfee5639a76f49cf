/* people.h - The people: found by id or by what others call them, made by their first observation.
 *
 * Whoever erases a person inserts the tombstone first, and whoever merges one
 * sets 'mergedInto'; each announces it with the person and the entity type
 * "person", so that nodes forget whom they knew (pk_people_hear). What was
 * accepted of a merged person in the instant before a node has heard lies
 * under the old id: a merge looks for that until it finds nothing. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PEOPLE_H
#define PK_PERSONA_PEOPLE_H

#include "base/id.h"
#include "persona/domain.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_doc;
struct pk_error;
struct pk_feed_item;
struct pk_page;
struct pk_people; /* Opaque: whom this node knows to be there. Any thread. */
struct pk_writes;

struct pk_people *pk_people_new(const struct pk_clock *clock);
void pk_people_free(struct pk_people *people); /* NULL is fine. */
/* A listener of the feed (pk_watch_tell): does not block. */
void pk_people_hear(struct pk_people *people, const struct pk_feed_item *item);

enum { PK_MERGES_MAX = 16 }; /* From one person to the next, at most. */

struct pk_person_ref {
    const char *id;                /* A UUID v4, lower case; or NULL, and: */
    const char *source, *external; /* "slack", "U123". With an id: it becomes known as that, too. */
};
/* The person's own id, merges followed. '*out' is the 'people' document, or NULL: not known yet. */
bool pk_person_find(const struct pk_domain *domain, const struct pk_person_ref *ref,
                    int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
/* The same without following merges: in whose document the name stands. */
bool pk_person_named(const struct pk_domain *domain, const struct pk_person_ref *ref,
                     int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);
/* The person's own id alone, "" when he is not known. For whom this node knows nothing is read: he
 * who was merged an instant ago is found under his old id, and nothing else is found of him. */
bool pk_person_find_id(const struct pk_domain *domain, const char *id, int64_t deadline_ns,
                       char out[PK_UUID_TEXT], struct pk_error *err);
/* Finds the person or adds to 'list' what makes him: his 'people' document and an empty mindscape.
 * An erased person is refused (PK_CONFLICT), and 'list' expects that there is still no tombstone.
 */
bool pk_person_ensure(const struct pk_domain *domain, const struct pk_person_ref *ref,
                      int64_t deadline_ns, struct pk_writes *list, char out_id[PK_UUID_TEXT],
                      struct pk_error *err);
/* Why nothing can be written of whom the list found a tombstone. False. */
bool pk_person_fail_gone(const struct pk_doc *tombstone, struct pk_error *err);
/* Newest first. */
bool pk_person_list(const struct pk_domain *domain, size_t limit, const char *cursor,
                    struct pk_page *out, struct pk_error *err);

#endif
