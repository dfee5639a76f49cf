/* people_internal.h - A person while a list of writes about him is made; for people*.c and
 * observation*.c.
 *
 *     people_hold(...)      who it is: known, or to be made with the list
 *     hold.bytes += size    what the list adds to what is stored of him
 *     people_write(...)     what makes or counts him, once all of it is known
 *     ... commit ...
 *     people_settle(...)    what has come of it: this node knows him from now on
 *
 * Who was known a moment ago costs no read: an erased person has a tombstone
 * for longer than a node remembers anybody, and every list expects that there
 * is none; and of a merge the feed tells (pk_people_hear). */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_PEOPLE_INTERNAL_H
#define PK_PERSONA_PEOPLE_INTERNAL_H

#include "persona/people.h"

enum { PEOPLE_MERGES_MAX = 64 }; /* Merged ids that one list may name a person by. */

/* What this node knows of somebody (people_known.c). */
struct people_known {
    uint64_t forgotten;   /* How often somebody was forgotten until now. */
    int64_t since_ns;     /* When this was looked at (mono). */
    int64_t stored_bytes; /* 0 when he is not known. */
};

/* On the way from a name to the person: ids that were merged into the next. */
struct people_way {
    struct pk_doc *doc[PEOPLE_MERGES_MAX]; /* References; the first is whom the name means. */
    size_t count;
};
void people_way_done(struct people_way *way);

/* '{ 0 }' is nobody; end it with people_hold_done. */
struct people_hold {
    char id[PK_UUID_TEXT];
    struct people_way way;         /* All that led here: still so when the list commits. */
    struct pk_doc *doc;            /* As read; NULL: he was known, or is new. */
    bool is_new;                   /* His document is made with the list. */
    bool is_known;                 /* Nothing was read. */
    struct people_known known;     /* Before the store was looked at. */
    const char *source, *external; /* That he is to be known by from now on; or NULL. Borrowed. */
    int64_t stored_bytes;          /* Of his observations so far, as far as this node knows. */
    int64_t bytes;                 /* That the list adds. */
    int64_t drawn_bytes;           /* Of earlier lists, counted by this one. */
};
/* 'is_fresh': looks at the store whatever is known, for a list that has met a conflict. */
bool people_hold(const struct pk_domain *domain, const struct pk_person_ref *ref, bool is_fresh,
                 int64_t deadline_ns, struct people_hold *out, struct pk_error *err);
/* Fills 'list' (again, after a conflict). */
void people_write(const struct pk_domain *domain, struct people_hold *hold, struct pk_writes *list);
void people_settle(const struct pk_domain *domain, struct people_hold *hold, bool is_committed);
void people_hold_done(struct people_hold *hold);

/* 'from' was held by another name of the same person: its way is added. PK_BUSY: too many names. */
bool people_hold_join(struct people_hold *hold, const struct people_hold *from,
                      struct pk_error *err);
/* Whose what was sent is, when people are parted again: the first id of the way; NULL: his own. */
const char *people_hold_merged(const struct people_hold *hold);

/* The 'people' document of whom 'source' calls 'external', or NULL. Merges are not followed. */
bool people_find_external(const struct pk_domain *domain, const char *source, const char *external,
                          int64_t deadline_ns, struct pk_doc **out, struct pk_error *err);

/* ---- people_known.c ---- */

/* False: he is not known to be there; then it is what people_known_learn wants later. */
bool people_known_look(struct pk_people *people, const char *id, struct people_known *out);
/* The store was looked at since 'known' was: he is there, with known->stored_bytes. Nothing when
 * somebody was forgotten meanwhile. */
void people_known_learn(struct pk_people *people, const char *id, const struct people_known *known);
void people_known_forget(struct pk_people *people, const char *id);
/* Adds to what this node has yet to count; true: it is time to, and '*out_drawn' is what it was
 * before. What a failed list had drawn goes back (people_known_return). */
bool people_known_add(struct pk_people *people, const char *id, int64_t bytes, int64_t *out_drawn);
void people_known_return(struct pk_people *people, const char *id, int64_t drawn);

#endif
