/* mindscape_hide.c - A mindscape as somebody may know it: the traits that are hidden from him are
 * not there.
 *
 * Done before a mapper or an explanation gets to see it, so nothing of them
 * can be in what these make. Goals, beliefs and the rest are whole: what is
 * hidden are traits. */
/* SPDX-License-Identifier: MIT */
#include "access/principal.h"
#include "doc/doc.h"
#include "doc/peek.h"
#include "persona/mindscape.h"

#include <string.h>

/* A trait without an id has no path that could be hidden. */
static bool is_hidden(const bson_iter_t *trait, const struct pk_principal *who)
{
    bson_t view;
    const char *id = pk_peek_object(trait, &view) ? pk_peek_text(&view, "id", NULL) : NULL;
    return id && pk_principal_hides(who, id);
}

static void append_shown(bson_iter_t *traits, const struct pk_principal *who, bson_t *out)
{
    char room[PK_ARRAY_KEY];
    bson_iter_t trait;
    bson_t list;
    size_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(out, "traits", &list);
    if (bson_iter_recurse(traits, &trait)) {
        while (bson_iter_next(&trait)) {
            if (!is_hidden(&trait, who)) {
                (void)bson_append_iter(&list, pk_array_key(count++, room), -1, &trait);
            }
        }
    }
    bson_append_array_end(out, &list);
}

struct pk_doc *pk_mindscape_known_to(struct pk_doc *mindscape, const struct pk_principal *who)
{
    bson_t view, made = BSON_INITIALIZER;
    bson_iter_t iter;
    if (!who || !pk_principal_hides_any(who)) {
        return pk_doc_ref(mindscape);
    }
    pk_doc_view(mindscape, &view);
    for (bool more = bson_iter_init(&iter, &view); more && bson_iter_next(&iter);) {
        if (strcmp(bson_iter_key(&iter), "traits") == 0 && BSON_ITER_HOLDS_ARRAY(&iter)) {
            append_shown(&iter, who, &made);
        } else {
            (void)bson_append_iter(&made, NULL, 0, &iter);
        }
    }
    struct pk_doc *doc = pk_doc_new_versioned(&made, pk_doc_version(mindscape));
    bson_destroy(&made);
    return doc;
}
