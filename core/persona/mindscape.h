/* mindscape.h - The mindscapes: read through a shared cache, written by two functions.
 *
 * 'apply' is the one way in which the content of a mindscape changes, and it
 * is the effect of observations; 'touch' raises its version and 'versions'
 * when something that is joined to it has changed. Both only fill a list of
 * writes; who calls them commits. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_MINDSCAPE_H
#define PK_PERSONA_MINDSCAPE_H

#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_feed_item;
struct pk_mind;
struct pk_minds; /* Opaque: a bounded cache of mindscapes by person and version. Any thread. */
struct pk_writes;

struct pk_minds *pk_minds_new(struct pk_hot *hot, size_t bytes_max /* 0: 64 MiB */);
void pk_minds_free(struct pk_minds *minds);
struct pk_minds_stats {
    size_t entries, bytes;
    uint64_t hits, misses, evicted;
};
void pk_minds_stats(struct pk_minds *minds, struct pk_minds_stats *out);

/* The mindscape as this node's feed knows it (cached: for reading), or straight from the store (for
 * deciding what to write). '*out' is a reference, or NULL when the person has none. */
bool pk_mindscape_get(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                      struct pk_doc **out, struct pk_error *err);
bool pk_mindscape_read(const struct pk_domain *domain, const char *person, int64_t deadline_ns,
                       struct pk_doc **out, struct pk_error *err);
/* A new person's, version 0: goes into the list that makes the person. */
struct pk_doc *pk_mindscape_empty(const char *person, int64_t now_ms);

/* Adds to 'list': the mindscape replaced at the version 'stored' was read at (or inserted when
 * 'stored' is NULL), trait_history of 'epoch' (the mindscape's own), reviews, what pk_joined says
 * of other collections, and the event mindscape.updated with its paths and version. Nothing when
 * nothing has changed. */
bool pk_mindscape_apply(const struct pk_domain *domain, struct pk_mind *mind,
                        const struct pk_doc *stored, int64_t duration_ms, struct pk_writes *list,
                        struct pk_error *err);
/* Parts of it, for a replay that writes its rows before it flips the epoch. 'known_at_ms' is when
 * the observation was processed: the same in each replay. */
void pk_mindscape_add_history(const struct pk_mind *mind, const char *person, int64_t epoch,
                              size_t first, size_t count, int64_t known_at_ms,
                              struct pk_writes *list);
/* 'is_again': only proposals that never were; what is pending or decided stays as it is. */
bool pk_mindscape_add_reviews(const struct pk_domain *domain, const struct pk_mind *mind,
                              const char *person, int64_t deadline_ns, bool is_again,
                              struct pk_writes *list, struct pk_error *err);
/* Raises the version and what 'versions' says of (kind, key), with the event. Reads the store, or
 * goes on from what 'list' already writes. */
bool pk_mindscape_touch(const struct pk_domain *domain, const char *person, const char *kind,
                        const char *key, int64_t deadline_ns, struct pk_writes *list,
                        struct pk_error *err);

/* The same of several things at once, in a mindscape that was read: the list replaces that version.
 */
struct pk_readable {
    const char *kind; /* "trait", "hot", "goals", ... as 'versions' has them. */
    const char *key;  /* NULL: the kind has none. */
};
bool pk_mindscape_touch_all(const struct pk_domain *domain, const struct pk_doc *stored,
                            const struct pk_readable *what, size_t count, struct pk_writes *list,
                            struct pk_error *err);

/* What /v1/people/{person}/mindscape shows: Option A's document in HTTP's spelling with confidence
 * decayed to 'now_ms', expired hot entries left out, hidden paths left out, joined layers as asked.
 */
struct pk_mindscape_view {
    int64_t now_ms;
    int64_t at_ms; /* As of a past time, from trait_history; 0: now. */
    double min_confidence;
    bool is_tree; /* Traits as a nested object. */
    bool has_embeddings;
    bool has_knowledge;             /* Hot and warm layers joined. */
    const struct pk_principal *who; /* Whose hidden paths are left out. */
};
bool pk_mindscape_show(const struct pk_domain *domain, const struct pk_doc *mindscape,
                       const struct pk_mindscape_view *view, int64_t deadline_ns, bson_t *out,
                       struct pk_error *err);
/* Its traits alone, as they are shown (in HTTP's spelling unless 'is_tree'): an array's document,
 * initialised here, on success only. */
bool pk_mindscape_traits(const struct pk_domain *domain, const struct pk_doc *mindscape,
                         const struct pk_mindscape_view *view, int64_t deadline_ns, bson_t *out,
                         struct pk_error *err);
/* Appends one trait's fields, in HTTP's spelling, with its confidence at 'now_ms'. */
void pk_trait_show(const struct pk_policies *policies, const bson_t *trait, int64_t now_ms,
                   bson_t *out);
/* Not hidden from who asks, and sure enough. */
bool pk_trait_is_shown(const struct pk_domain *domain, const struct pk_mindscape_view *view,
                       const bson_t *trait);
/* The mindscape as 'who' (NULL: anybody) may know it, a reference: without the traits that are
 * hidden from him. For whatever makes something of it. */
struct pk_doc *pk_mindscape_known_to(struct pk_doc *mindscape, const struct pk_principal *who);
/* What has changed above 'version' (the domain's): for a 412 that says so. Up to 20 names, ", ". */
void pk_mindscape_changed_since(const struct pk_doc *mindscape, int64_t version, char *out,
                                size_t size);

#endif
