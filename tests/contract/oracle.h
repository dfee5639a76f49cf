/* oracle.h - What a query should find, worked out by looking at every document. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_CONTRACT_ORACLE_H
#define PK_CONTRACT_ORACLE_H

#include "doc/inventory.h"
#include "store/store.h"

#include <bson/bson.h>

/* The scalar at a plain path; NULL type when there is none. Texts are the document's. */
struct pk_value oracle_value(const struct pk_doc *document, const char *path);
struct pk_value oracle_scalar(const bson_iter_t *iter);
/* True when the (partial) index has this document. */
bool oracle_holds(const struct pk_index *index, const struct pk_doc *document);
/* The ids found, joined by blanks, in order. Owned by the caller. */
char *oracle_find(const struct pk_index *index, struct pk_doc *const *all, size_t count,
                  const struct pk_query *query);

#endif
