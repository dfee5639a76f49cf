/* allocations.h - How often this process has asked for memory. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_TEST_ALLOCATIONS_H
#define PK_TEST_ALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

/* False where a sanitizer has the allocator. */
bool allocations_are_counted(void);
uint64_t allocations(void);

#endif
