/* joined.h - What is known of a person outside the mindscape's document: narratives, hot, warm and
 * cold knowledge. Written with the mindscape, in its list; superseded, never lost. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_JOINED_H
#define PK_PERSONA_JOINED_H

#include "persona/domain.h"

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_doc;
struct pk_error;
struct pk_joined;
struct pk_mind;
struct pk_writes;

/* Adds what the operations make to 'list' (inserts and replaces at the versions read), and to the
 * changes of 'mind' (NULL: to none), from which history is written. An entry of hot knowledge is
 * found by its key, a node by its label, an edge by its ends and type; all ids are functions of the
 * person and these, so that a replay makes the same. PK_INVALID names the operation that cannot be
 * stored. */
bool pk_joined_write(const struct pk_domain *domain, const char *person,
                     const struct pk_joined *const *joined, size_t count, struct pk_mind *mind,
                     int64_t deadline_ns, struct pk_writes *list, struct pk_error *err);
/* Appends the person's hot knowledge that has not expired at 'now_ms' as an array 'knowledge' of
 * { key, value, category, confidence, updatedAt, expiresAt } (what scripts get). */
bool pk_joined_hot(const struct pk_domain *domain, const char *person, int64_t now_ms,
                   int64_t deadline_ns, bson_t *out, struct pk_error *err);
/* The same of documents that are at hand, in their order. */
void pk_joined_hot_of(struct pk_doc *const *doc, size_t count, int64_t now_ms, bson_t *out);

/* ---- The same without a store, for replays: documents as they come to be ---- */

struct pk_joins; /* Opaque. One thread at a time. */
/* With 'domain': what is there is read from the store when it is met. NULL: from nothing. */
struct pk_joins *pk_joins_new(const struct pk_domain *domain, const char *person,
                              int64_t deadline_ns) __attribute__((returns_nonnull));
void pk_joins_free(struct pk_joins *joins); /* NULL is fine. */
void pk_joins_freep(struct pk_joins **joins);
/* What has expired at 'now_ms' is not there any more (0: all is). */
bool pk_joins_apply(struct pk_joins *joins, const struct pk_joined *joined, int64_t now_ms,
                    struct pk_error *err);
/* As pk_joined_hot. */
void pk_joins_hot(const struct pk_joins *joins, int64_t now_ms, bson_t *out);
/* What has been made since the last call is added to the changes of 'mind', in the row of the
 * observation of 'joined': things that may change as they are now, texts, which never do, by their
 * ids:
 *
 *     { knowledge: [DOCUMENT], graph_nodes: [...], graph_edges: [...],
 *       vectors: [ID], narratives: [ID] } */
void pk_joins_keep_made(struct pk_joins *joins, const struct pk_joined *joined,
                        struct pk_mind *mind);
/* What has been made or changed so far, in the order in which it came up. 'version' is the one it
 * was read at, 0: it is new. */
struct pk_joins_doc {
    const char *collection, *id;
    struct pk_doc *doc; /* As it is now; NULL: it is not there. */
    int64_t version;
    bool is_changed; /* Else it was only read. */
    bool is_told;    /* It is in the changes of a mind as it is now. */
};
size_t pk_joins_count(const struct pk_joins *joins);
const struct pk_joins_doc *pk_joins_at(const struct pk_joins *joins, size_t i);

#endif
