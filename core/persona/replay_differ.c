/* replay_differ.c - What a replay would change, for people to look at first.
 *
 * Lists of the mindscape are compared by what names their entries; an entry
 * that differs is shown whole, as it is and as it would be. Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "persona/replay_internal.h"

#include "base/alloc.h"
#include "doc/doc.h"

#include <string.h>

void replay_note(struct replay *replay, const char *path, const bson_iter_t *before,
                 const bson_iter_t *after)
{
    bson_t one;
    char number[16];
    const char *key;
    if (replay->difference_count == REPLAY_DIFFERENCES_MAX) {
        return;
    }
    (void)bson_uint32_to_string(replay->difference_count++, &key, number, sizeof(number));
    BSON_APPEND_DOCUMENT_BEGIN(&replay->differences, key, &one);
    BSON_APPEND_UTF8(&one, "path", path);
    if (before) {
        (void)bson_append_iter(&one, "before", -1, before);
    }
    if (after) {
        (void)bson_append_iter(&one, "after", -1, after);
    }
    bson_append_document_end(&replay->differences, &one);
}

void replay_note_docs(struct replay *replay, const char *path, const bson_t *before,
                      const bson_t *after)
{
    bson_t pair = BSON_INITIALIZER;
    bson_iter_t a, b;
    if (before) {
        BSON_APPEND_DOCUMENT(&pair, "before", before);
    }
    if (after) {
        BSON_APPEND_DOCUMENT(&pair, "after", after);
    }
    const bool has_a = bson_iter_init_find(&a, &pair, "before");
    const bool has_b = bson_iter_init_find(&b, &pair, "after");
    replay_note(replay, path, has_a ? &a : NULL, has_b ? &b : NULL);
    bson_destroy(&pair);
}

static bool is_same(const bson_iter_t *a, const bson_iter_t *b)
{
    const size_t size_a = a->next_off - a->d1, size_b = b->next_off - b->d1;
    return bson_iter_type(a) == bson_iter_type(b) && size_a == size_b &&
           memcmp(a->raw + a->d1, b->raw + b->d1, size_a) == 0;
}

static const char *name_of(const bson_iter_t *entry, const char *field)
{
    bson_iter_t inner;
    return BSON_ITER_HOLDS_DOCUMENT(entry) && bson_iter_recurse(entry, &inner) &&
                   bson_iter_find(&inner, field) && BSON_ITER_HOLDS_UTF8(&inner)
               ? bson_iter_utf8(&inner, NULL)
               : NULL;
}

/* The entry of a list or object; 'field' names entries of a list, NULL: keys do. */
static bool find_entry(const bson_t *doc, const char *list, const char *field, const char *name,
                       bson_iter_t *out)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, doc, list) || !bson_iter_recurse(&iter, out)) {
        return false;
    }
    while (bson_iter_next(out)) {
        const char *found = field ? name_of(out, field) : bson_iter_key(out);
        if (found && strcmp(found, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Entries of 'a' that are not so in 'b'; 'is_back': only those that 'b' lacks, as what comes. */
static void compare(struct replay *replay, const bson_t *a, const bson_t *b, const char *list,
                    const char *field, bool is_back)
{
    bson_iter_t iter, entry, other;
    if (!bson_iter_init_find(&iter, a, list) || !bson_iter_recurse(&iter, &entry)) {
        return;
    }
    while (bson_iter_next(&entry)) {
        const char *name = field ? name_of(&entry, field) : bson_iter_key(&entry);
        if (!name) {
            continue;
        }
        const bool is_there = find_entry(b, list, field, name, &other);
        if (is_there && (is_back || is_same(&entry, &other))) {
            continue;
        }
        PK_CLEANUP(pk_freep) char *path = pk_strdupf("%s/%s", list, name);
        replay_note(replay, path, is_back ? NULL : &entry,
                    is_back    ? &entry
                    : is_there ? &other
                               : NULL);
    }
}

bool replay_differ(struct replay *replay, struct pk_error *err)
{
    static const struct {
        const char *list, *field;
    } part[] = { { "traits", "id" },
                 { "goals", "goalId" },
                 { "beliefs", "beliefId" },
                 { "highVolatileCache", NULL },
                 { "narrative", NULL } };
    bson_t before, made;
    if (!pk_mind_document(replay->mind, 0, &made, err)) {
        return false;
    }
    pk_doc_view(replay->stored, &before);
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        compare(replay, &before, &made, part[i].list, part[i].field, false);
        compare(replay, &made, &before, part[i].list, part[i].field, true);
    }
    bson_destroy(&made);
    return true;
}
