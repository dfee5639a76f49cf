/* allocations.c - malloc, calloc and realloc of this process, libraries included, counted.
 *
 * The program's own definitions come before the C library's, which are still
 * there by their other names. */
/* SPDX-License-Identifier: MIT */
#include "allocations.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_fast64_t count;

uint64_t allocations(void)
{
    return count;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

bool allocations_are_counted(void)
{
    return false;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t members, size_t size);
void *__libc_realloc(void *memory, size_t size);

bool allocations_are_counted(void)
{
    return true;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    count++;
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t members, size_t size)
{
    count++;
    return __libc_calloc(members, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
    count++;
    return __libc_realloc(memory, size);
}

#endif
