/* mind_table.c - Things by key, with a journal that takes every change back. */
/* SPDX-License-Identifier: MIT */
#include "persona/mind_internal.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { VIEW_ALIGN = 128 }; /* What bson_t wants. */

void *mind_grow(struct pk_mind *mind, const void *array, size_t used, size_t size)
{
    void *memory = pk_arena_alloc(&mind->arena, size);
    if (used) {
        memcpy(memory, array, used);
    }
    return memory;
}

struct slice mind_keep(struct pk_mind *mind, const bson_t *doc)
{
    uint8_t *data = pk_arena_alloc(&mind->arena, doc->len);
    memcpy(data, bson_get_data(doc), doc->len);
    return (struct slice){ .data = data, .size = doc->len };
}

bool slice_view(struct slice doc, bson_t *out)
{
    return doc.data && bson_init_static(out, doc.data, doc.size);
}

const bson_t *mind_view(struct pk_mind *mind, struct slice doc)
{
    if (!doc.data) {
        return NULL;
    }
    const uintptr_t at = (uintptr_t)pk_arena_alloc(&mind->arena, sizeof(bson_t) + VIEW_ALIGN);
    bson_t *view = (bson_t *)((at + VIEW_ALIGN - 1) / VIEW_ALIGN * VIEW_ALIGN);
    const bool is_ok = bson_init_static(view, doc.data, doc.size);
    assert(is_ok);
    (void)is_ok;
    return view;
}

bool slice_same(struct slice a, struct slice b)
{
    return a.size == b.size &&
           (a.data == b.data || (a.data && b.data && memcmp(a.data, b.data, a.size) == 0));
}

/* ---- Tables ---- */

/* The place of 'key', or where it would be. */
static size_t place_of(const struct mind_table *table, const char *key, bool *out_is_there)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(table->thing[middle].key, key);
        if (order == 0) {
            *out_is_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *out_is_there = false;
    return low;
}

const struct mind_thing *mind_find(const struct pk_mind *mind, enum mind_kind kind, const char *key)
{
    bool is_there = false;
    const size_t at = place_of(&mind->table[kind], key, &is_there);
    return is_there ? &mind->table[kind].thing[at] : NULL;
}

static void insert_at(struct pk_mind *mind, struct mind_table *table, size_t at,
                      const struct mind_thing *thing)
{
    MIND_ROOM(mind, table->thing, table->count, table->capacity);
    memmove(&table->thing[at + 1], &table->thing[at], (table->count - at) * sizeof(*thing));
    table->thing[at] = *thing;
    table->count++;
}

static void remove_at(struct mind_table *table, size_t at)
{
    table->count--;
    memmove(&table->thing[at], &table->thing[at + 1], (table->count - at) * sizeof(*table->thing));
}

/* NULL: takes it away. */
static void change(struct pk_mind *mind, enum mind_kind kind, const char *key,
                   const struct mind_thing *thing)
{
    struct mind_table *table = &mind->table[kind];
    bool is_there = false;
    const size_t at = place_of(table, key, &is_there);

    if (!is_there && !thing) {
        return;
    }
    MIND_ROOM(mind, mind->note, mind->note_count, mind->note_capacity);
    struct mind_note *note = &mind->note[mind->note_count++];
    *note = (struct mind_note){ .kind = kind, .was_there = is_there };
    if (is_there) {
        note->before = table->thing[at];
        if (thing) {
            table->thing[at].doc = thing->doc;
            table->thing[at].number = thing->number;
        } else {
            remove_at(table, at);
        }
    } else {
        struct mind_thing made = *thing;
        made.key = pk_arena_strdup(&mind->arena, key);
        note->before.key = made.key;
        insert_at(mind, table, at, &made);
    }
}

void mind_put(struct pk_mind *mind, enum mind_kind kind, const char *key, const bson_t *doc)
{
    if (doc) {
        const struct mind_thing thing = { .doc = mind_keep(mind, doc) };
        change(mind, kind, key, &thing);
    } else {
        change(mind, kind, key, NULL);
    }
}

void mind_put_number(struct pk_mind *mind, enum mind_kind kind, const char *key, int64_t number)
{
    const struct mind_thing thing = { .number = number };
    change(mind, kind, key, &thing);
}

void mind_take_back(struct pk_mind *mind, size_t notes)
{
    while (mind->note_count > notes) {
        const struct mind_note *note = &mind->note[--mind->note_count];
        struct mind_table *table = &mind->table[note->kind];
        bool is_there = false;
        const size_t at = place_of(table, note->before.key, &is_there);
        if (note->was_there && is_there) {
            table->thing[at] = note->before;
        } else if (note->was_there) {
            insert_at(mind, table, at, &note->before);
        } else if (is_there) {
            remove_at(table, at);
        }
    }
}

/* ---- Opening ---- */

void mind_add(struct pk_mind *mind, enum mind_kind kind, const char *key, struct slice doc,
              int64_t number)
{
    struct mind_table *table = &mind->table[kind];
    MIND_ROOM(mind, table->thing, table->count, table->capacity);
    table->thing[table->count++] = (struct mind_thing){ .key = key, .doc = doc, .number = number };
}

static int compare_things(const void *left, const void *right)
{
    const struct mind_thing *a = left;
    const struct mind_thing *b = right;
    return strcmp(a->key, b->key);
}

void mind_sort(struct pk_mind *mind, enum mind_kind kind)
{
    struct mind_table *table = &mind->table[kind];
    bool is_sorted = true;
    for (size_t i = 1; i < table->count; i++) {
        is_sorted = is_sorted && strcmp(table->thing[i - 1].key, table->thing[i].key) < 0;
    }
    if (is_sorted) {
        return; /* As we write it ourselves. */
    }
    qsort(table->thing, table->count, sizeof(*table->thing), compare_things);
    size_t kept = 1;
    for (size_t i = 1; i < table->count; i++) { /* One of each: no document of ours has two. */
        if (strcmp(table->thing[kept - 1].key, table->thing[i].key) != 0) {
            table->thing[kept++] = table->thing[i];
        }
    }
    table->count = kept;
}
