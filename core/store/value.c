/* value.c - What an index sees of a document.
 *
 * An index compares scalars. Whatever else lies at its path (an object, an
 * array, binary, null) counts as absent, on both engines alike. */
/* SPDX-License-Identifier: MIT */
#include "doc/path.h"
#include "store/store_internal.h"

#include <string.h>

struct pk_value pk_value_of_iter(const bson_iter_t *iter)
{
    const bson_type_t type = bson_iter_type(iter);
    if (type == BSON_TYPE_UTF8) {
        return PK_TEXT(bson_iter_utf8(iter, NULL));
    }
    if (type == BSON_TYPE_INT32) {
        return PK_INT(bson_iter_int32(iter));
    }
    if (type == BSON_TYPE_INT64) {
        return PK_INT(bson_iter_int64(iter));
    }
    if (type == BSON_TYPE_DOUBLE) {
        return PK_DOUBLE(bson_iter_double(iter));
    }
    if (type == BSON_TYPE_BOOL) {
        return PK_BOOL(bson_iter_bool(iter));
    }
    if (type == BSON_TYPE_DATE_TIME) {
        return PK_DATE(bson_iter_date_time(iter));
    }
    return (struct pk_value){ .type = PK_VALUE_NULL };
}

struct pk_value pk_value_of(const bson_t *doc, const char *path)
{
    bson_iter_t iter;
    if (!pk_path_find(doc, path, &iter)) {
        return (struct pk_value){ .type = PK_VALUE_NULL };
    }
    return pk_value_of_iter(&iter);
}

bool pk_index_holds(const struct pk_index *index, const bson_t *doc)
{
    if (index->only == PK_ONLY_ALL) {
        return true;
    }
    bson_iter_t iter;
    if (index->only == PK_ONLY_EXISTS) { /* An object or array is there, too. */
        return pk_path_find(doc, index->only_path, &iter) && !BSON_ITER_HOLDS_NULL(&iter);
    }
    const struct pk_value value = pk_value_of(doc, index->only_path);
    if (index->only == PK_ONLY_TEXT) {
        return value.type == PK_VALUE_TEXT && strcmp(value.text, index->only_text) == 0;
    }
    return value.type == PK_VALUE_BOOL && value.number != 0;
}

bool pk_doc_is_expired(const struct pk_collection *collection, const bson_t *doc, int64_t now_ms)
{
    if (!collection->ttl_path) {
        return false;
    }
    const struct pk_value value = pk_value_of(doc, collection->ttl_path);
    return value.type == PK_VALUE_DATE && value.number <= now_ms;
}
