/* arena.h - Memory that dies together.
 *
 * What one request needs is taken from its arena and never freed singly; the
 * arena's end frees it all. '{ 0 }' is an empty arena. One thread at a time. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_ARENA_H
#define PK_BASE_ARENA_H

#include <stddef.h>

struct pk_arena_block;
struct pk_arena {
    struct pk_arena_block *block; /* Newest first. */
    size_t used_bytes;            /* Handed out so far. */
};

void pk_arena_done(struct pk_arena *arena);
/* Frees everything but the first block, for the next request. */
void pk_arena_reset(struct pk_arena *arena);
/* Aligned for any type, zeroed. */
void *pk_arena_alloc(struct pk_arena *arena, size_t size)
    __attribute__((returns_nonnull, warn_unused_result));
char *pk_arena_strndup(struct pk_arena *arena, const char *text, size_t length)
    __attribute__((returns_nonnull));
char *pk_arena_strdup(struct pk_arena *arena, const char *text) __attribute__((returns_nonnull));
char *pk_arena_printf(struct pk_arena *arena, const char *format, ...)
    __attribute__((returns_nonnull, format(printf, 2, 3)));

#endif
