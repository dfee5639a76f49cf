/* pages.c - Reads until the page is full, or often enough. */
/* SPDX-License-Identifier: MIT */
#include "api/pages.h"

#include "api/row.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { READS_MAX = 20 }; /* For one page. */

/* Where a page begins: which of the ids, and the store's cursor within it. Before the store's
 * stands "<id's number>:", but for the first id. */
struct place {
    size_t id;
    char *cursor; /* NULL: from the start. */
};

static void place_done(struct place *place)
{
    pk_free(place->cursor);
}

static struct place read_place(const char *cursor, size_t ids)
{
    const size_t digits = cursor ? strspn(cursor, "0123456789") : 0;
    struct place place = { 0, NULL };
    if (digits > 0 && digits < 5 && cursor[digits] == ':') {
        place.id = strtoul(cursor, NULL, 10);
        cursor = cursor + digits + 1;
    }
    if (place.id >= ids) { /* None of ours: for the store to refuse. */
        place.id = 0;
        cursor = "?";
    }
    place.cursor = cursor && *cursor ? pk_strdup(cursor) : NULL;
    return place;
}

/* The page behind it: within the same id, or at the next one's start. */
static void move_place(struct place *place, struct pk_page *page)
{
    pk_free(place->cursor);
    place->cursor = page->next;
    place->id += page->next == NULL;
    page->next = NULL;
}

static const char *write_place(struct pk_api_call *call, const struct place *place, size_t ids)
{
    struct pk_arena *arena = &call->request->arena;
    if (place->id >= ids) {
        return NULL;
    }
    return place->id == 0
               ? pk_arena_strdup(arena, place->cursor)
               : pk_arena_printf(arena, "%zu:%s", place->id, place->cursor ? place->cursor : "");
}

static bool add_page(struct pk_api_call *call, const struct pk_pages *pages,
                     const struct pk_page *page, size_t *count, struct pk_error *err)
{
    for (size_t i = 0; i < page->count; i++) {
        if (pages->is_shown(call, pages->context, page->doc[i])) {
            (*count)++;
            if (!pk_call_list_add_doc(call, pages->collection, page->doc[i], err)) {
                return false;
            }
        }
    }
    return true;
}

bool pk_call_list_pages(struct pk_api_call *call, const struct pk_pages *pages,
                        struct pk_error *err)
{
    const size_t ids = pages->ids ? pages->ids->count : 1;
    size_t count = 0;
    pk_call_list_begin(call);
    if (ids == 0) {
        pk_call_list_end(call, NULL);
        return true;
    }
    PK_CLEANUP(place_done) struct place place = read_place(call->cursor, ids);
    for (int reads = 0; place.id < ids && count < call->limit && reads < READS_MAX; reads++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const char *person = pages->ids ? pages->ids->id[place.id] : NULL;
        if (!pages->read(call, pages->context, person, call->limit - count, place.cursor, &page,
                         err) ||
            !add_page(call, pages, &page, &count, err)) {
            return false;
        }
        move_place(&place, &page);
    }
    pk_call_list_end(call, write_place(call, &place, ids));
    return true;
}
