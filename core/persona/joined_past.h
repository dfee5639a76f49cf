/* joined_past.h - What lay beside a mindscape then: facts, texts, narratives, the graph.
 *
 * It is read from the person's history, so it is what a replay of the
 * observations up to that place would make, less what had expired. What others
 * than observations have put there has no history: it is as it is now, if it
 * was there by then. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_JOINED_PAST_H
#define PK_PERSONA_JOINED_PAST_H

#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_page;
struct pk_past; /* Opaque. Any thread, one at a time. */

/* A place in a person's order. */
struct pk_place_then {
    const char *person;
    int64_t epoch;
    int64_t seq;      /* The last observation that was known; INT64_MAX: all, ... */
    int64_t known_ms; /* ... of those that had been processed by then; INT64_MAX: all. */
    int64_t at_ms;    /* The instant (wall): what had expired by then is not there. */
};
/* The place of a mindscape as of 'at_ms'; its texts are the mindscape's. */
struct pk_place_then pk_past_place(const struct pk_doc *mindscape, int64_t at_ms);

/* Reads the history. 'person' is copied. */
bool pk_past_open(const struct pk_domain *domain, const struct pk_place_then *place,
                  int64_t deadline_ns, struct pk_past **out, struct pk_error *err);
void pk_past_free(struct pk_past *past); /* NULL is fine. */
void pk_past_freep(struct pk_past **past);
/* The documents of "knowledge", "graph_nodes" or "graph_edges", by their ids, or of "vectors" (but
 * for traits' embeddings) or "narratives", in the order in which they are listed. No more than
 * 'max', and whether there are more; 'out' is a page without a cursor. */
bool pk_past_find(const struct pk_past *past, const char *collection, size_t max,
                  int64_t deadline_ns, struct pk_page *out, bool *out_is_cut, struct pk_error *err);

#endif
