/* event_view.h - What of an event a client is shown, and how.
 *
 * A row of the feed is shown to who may see the person it is about; rows about
 * actors, keys, scripts and settings to who runs the server, and to each actor
 * those about himself. Paths that are hidden from him are left out; a row with
 * nothing left is not shown. What no rule knows, and no person owns, is for
 * who runs the server. Ids of merged people are left out as persona/sight.h
 * says. Any thread; nothing here waits, but for pk_event_filter_look. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_API_EVENT_VIEW_H
#define PK_API_EVENT_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct pk_buf;
struct pk_doc;
struct pk_domain;
struct pk_error;
struct pk_principal;
struct pk_sight_ids;

/* What a client asked for; texts are owned, and freed by pk_event_filter_done. */
struct pk_event_filter {
    char *types;              /* "actor.*,key.revoked"; NULL: all. */
    char *person;             /* NULL: all that may be seen. */
    struct pk_sight_ids *ids; /* Of whom 'person' means; NULL: nobody has looked yet. */
};
/* PK_INVALID: 'types' is no list of event types. NULL for what was not asked for. */
bool pk_event_filter_init(struct pk_event_filter *out, const char *types, const char *person,
                          struct pk_error *err);
/* Looks who is meant by 'person' now, as far as 'who' may see. The only one here that waits. */
bool pk_event_filter_look(struct pk_event_filter *filter, const struct pk_domain *domain,
                          const struct pk_principal *who, int64_t deadline_ns,
                          struct pk_error *err);
/* Whether somebody else may be meant from this event on. */
bool pk_event_is_turning(const struct pk_event_filter *filter, const struct pk_principal *who,
                         const struct pk_doc *event);
void pk_event_filter_done(struct pk_event_filter *filter);

bool pk_event_is_wanted(const struct pk_event_filter *filter, const struct pk_doc *event);
bool pk_event_is_shown(const struct pk_principal *who, const struct pk_doc *event);
/* Appends the event as JSON on one line. False when nothing is left to show. What it writes is the
 * same for all from whom no path and nobody is hidden. */
bool pk_event_write(struct pk_buf *out, const struct pk_principal *who, const struct pk_doc *event);

#endif
