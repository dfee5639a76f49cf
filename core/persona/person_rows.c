/* person_rows.c - By the index that leads with the person, or by '_id' where that is the person.
 *
 * A collection without such an index is our bug: it is said, never skipped. */
/* SPDX-License-Identifier: MIT */
#include "persona/person_rows.h"

#include "base/error.h"
#include "doc/inventory.h"
#include "store/store.h"

#include <string.h>

static const char *index_of(const struct pk_collection *collection)
{
    if (collection->is_person_id) {
        return "_id";
    }
    for (size_t i = 0; collection->person_path && i < collection->index_count; i++) {
        const struct pk_index *index = &collection->index[i];
        if (index->only == PK_ONLY_ALL &&
            strcmp(index->key[0].path, collection->person_path) == 0) {
            return index->name;
        }
    }
    return NULL;
}

bool pk_person_rows(const struct pk_domain *domain, const struct pk_collection *collection,
                    const char *person, size_t limit, const char *cursor, struct pk_page *out,
                    struct pk_error *err)
{
    const struct pk_query query = { .collection = collection->name,
                                    .index = index_of(collection),
                                    .equal = { PK_TEXT(person) },
                                    .equal_count = 1,
                                    .limit = limit,
                                    .cursor = cursor };
    if (!query.index) {
        return pk_fail(err, PK_INTERNAL, "report it", "'%s' has no index by person",
                       collection->name);
    }
    return pk_store_find(domain->books->store, &query, 0, out, err) ||
           pk_wrap(err, "read '%s' of the person", collection->name);
}
