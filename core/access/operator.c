/* operator.c - Somebody must be able to run the server: nobody locks himself out.
 *
 * An operator is an active actor who has 'operate' and a key that works now. A
 * change that takes the last one away (suspends or archives him, takes
 * 'operate' from him, revokes his last key) is refused. When there is another,
 * the list expects him to stay as he was read: of two operators who suspend
 * each other at the same time, one succeeds. A key that expires is nobody's
 * change; 'personakit key reset' is the way back in. */
/* SPDX-License-Identifier: MIT */
#include "access/actor_internal.h"
#include "access/principal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/path.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static bool is_no_grant_of(void *context, const char *below, const bson_iter_t *value)
{
    (void)below;
    return !BSON_ITER_HOLDS_UTF8(value) || strcmp(bson_iter_utf8(value, NULL), context) != 0;
}

static bool may_operate(const struct pk_doc *actor)
{
    const char *status = pk_doc_text(actor, "status");
    bson_t view;
    pk_doc_view(actor, &view);
    return status && strcmp(status, "active") == 0 &&
           !pk_path_each(&view, "capabilities.grants[]", is_no_grant_of,
                         (void *)(uintptr_t)pk_capability_name(PK_CAN_OPERATE));
}

static bool has_working_key(const struct pk_doc *actor, int64_t now_ms)
{
    const int count = (int)actor_key_count(actor);
    for (int i = 0; i < count; i++) {
        char path[48];
        const char *status = actor_key_text(actor, i, "status");
        (void)snprintf(path, sizeof(path), "apiKeys.%d.expiresAt", i);
        if (status && strcmp(status, "active") == 0 &&
            pk_doc_date(actor, path, INT64_MAX) > now_ms) {
            return true;
        }
    }
    return false;
}

static bool is_operator(const struct pk_doc *actor, int64_t now_ms)
{
    return may_operate(actor) && has_working_key(actor, now_ms);
}

/* Any operator but 'id': '*out' is a reference, or NULL when there is none. */
static bool find_other(const struct pk_books *books, int64_t deadline_ns, const char *id,
                       int64_t now_ms, struct pk_doc **out, struct pk_error *err)
{
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    *out = NULL;
    do {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        const struct pk_query query = { .collection = "actors",
                                        .index = "by_status",
                                        .equal = { PK_TEXT("active") },
                                        .equal_count = 1,
                                        .cursor = cursor };
        if (!pk_store_find(books->store, &query, deadline_ns, &page, err)) {
            return pk_wrap(err, "look for another operator");
        }
        for (size_t i = 0; i < page.count && !*out; i++) {
            const bool is_other = strcmp(pk_doc_id(page.doc[i]), id) != 0;
            *out = is_other && is_operator(page.doc[i], now_ms) ? pk_doc_ref(page.doc[i]) : NULL;
        }
        pk_free(cursor);
        cursor = page.next;
        page.next = NULL;
    } while (cursor && !*out);
    return true;
}

bool actor_keep_operator(struct pk_writes *list, const struct pk_books *books, int64_t deadline_ns,
                         const struct pk_doc *before, const struct pk_doc *after,
                         struct pk_error *err)
{
    const int64_t now_ms = pk_clock_wall_ms(books->clock);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *other = NULL;

    if (!is_operator(before, now_ms) || is_operator(after, now_ms)) {
        return true;
    }
    if (!find_other(books, deadline_ns, pk_doc_id(before), now_ms, &other, err)) {
        return false;
    }
    if (!other) {
        return pk_fail(err, PK_CONFLICT,
                       "give another actor 'operate' and a key first; who is locked out already "
                       "runs 'personakit key reset'",
                       "this is the last actor who can run the server");
    }
    pk_writes_expect(list, "actors", pk_doc_id(other), pk_doc_version(other));
    return true;
}
