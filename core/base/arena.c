/* arena.c - A list of blocks, newest first; each is used from its start.
 *
 * A request that fits the block at hand costs an addition and a memset. A big
 * one gets a block of its own behind the newest, so that the room left in the
 * newest is not lost. Blocks double up to a limit: a small request stays
 * small, and a big one does not call malloc ten thousand times. */
/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_FIRST = 4096, BLOCK_LARGEST = 256 * 1024, ALIGNMENT = _Alignof(max_align_t) };

struct pk_arena_block {
    struct pk_arena_block *next; /* Older. */
    size_t capacity;             /* Bytes in 'data'. */
    size_t used;                 /* Bytes of it handed out. */
    _Alignas(max_align_t) char data[];
};

static struct pk_arena_block *new_block(size_t capacity)
{
    struct pk_arena_block *block = pk_alloc(sizeof(*block) + capacity);
    block->next = NULL;
    block->capacity = capacity;
    block->used = 0;
    return block;
}

/* A block with room for 'size' bytes, linked in. */
static struct pk_arena_block *add_block(struct pk_arena *arena, size_t size)
{
    struct pk_arena_block *newest = arena->block;
    size_t capacity = newest ? newest->capacity * 2 : BLOCK_FIRST;
    if (capacity > BLOCK_LARGEST) {
        capacity = BLOCK_LARGEST;
    }
    if (newest && size > capacity / 2) { /* Big: stands alone, behind the newest. */
        struct pk_arena_block *block = new_block(size);
        block->next = newest->next;
        newest->next = block;
        return block;
    }
    struct pk_arena_block *block = new_block(size > capacity ? size : capacity);
    block->next = newest;
    arena->block = block;
    return block;
}

void *pk_arena_alloc(struct pk_arena *arena, size_t size)
{
    assert(size < SIZE_MAX / 4);
    size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    rounded = rounded ? rounded : ALIGNMENT; /* Two empty things have two addresses. */
    struct pk_arena_block *block = arena->block;
    if (!block || block->capacity - block->used < rounded) {
        block = add_block(arena, rounded);
    }
    char *memory = block->data + block->used;
    block->used += rounded;
    arena->used_bytes += rounded;
    return memset(memory, 0, rounded);
}

static void free_blocks(struct pk_arena_block *block)
{
    while (block) {
        struct pk_arena_block *next = block->next;
        pk_free(block);
        block = next;
    }
}

void pk_arena_done(struct pk_arena *arena)
{
    free_blocks(arena->block);
    *arena = (struct pk_arena){ 0 };
}

void pk_arena_reset(struct pk_arena *arena)
{
    struct pk_arena_block *first = arena->block;
    struct pk_arena_block *newer = NULL;

    if (!first) {
        return;
    }
    /* The first block is the last of the list: walk there and free what is newer. */
    while (first->next) {
        newer = first;
        first = first->next;
        pk_free(newer);
    }
    first->used = 0;
    *arena = (struct pk_arena){ .block = first };
}

char *pk_arena_strndup(struct pk_arena *arena, const char *text, size_t length)
{
    size_t size = strnlen(text, length);
    char *copy = pk_arena_alloc(arena, size + 1);
    memcpy(copy, text, size);
    return copy;
}

char *pk_arena_strdup(struct pk_arena *arena, const char *text)
{
    return pk_arena_strndup(arena, text, strlen(text));
}

char *pk_arena_printf(struct pk_arena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(n >= 0);
    char *text = pk_arena_alloc(arena, (size_t)n + 1);
    va_start(args, format);
    (void)vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}
