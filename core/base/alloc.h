/* alloc.h - Memory that is there, or the process is not.
 *
 * Out of memory aborts: nothing here returns NULL. Sizes that come from
 * outside are checked against a named limit before they get here. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_ALLOC_H
#define PK_BASE_ALLOC_H

#include <stddef.h>

/* Runs 'function(&variable)' when the variable's scope ends, also when a Lua error jumps over
 * it (all C is built with -fexceptions for that; tests/unit/base pins it). */
#define PK_CLEANUP(function) __attribute__((cleanup(function)))

/* Elements of a true array. */
#define PK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

void *pk_alloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *pk_calloc(size_t count, size_t size) /* Zeroed; aborts on overflow of the product. */
    __attribute__((malloc, returns_nonnull, warn_unused_result));
void *pk_realloc(void *memory, size_t size) __attribute__((returns_nonnull, warn_unused_result));
char *pk_strdup(const char *text) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *pk_strndup(const char *text, size_t length) /* Copies at most 'length', adds a NUL. */
    __attribute__((malloc, returns_nonnull, warn_unused_result));
char *pk_strdupf(const char *format, ...) /* printf into fresh memory. */
    __attribute__((malloc, returns_nonnull, warn_unused_result, format(printf, 1, 2)));
void pk_free(void *memory); /* NULL is fine. */

/* For PK_CLEANUP(pk_freep) char *text = pk_strdup(...). */
void pk_freep(void *pointer_to_pointer);

#endif
