/* ring.h - Records from many threads to one, in fixed memory; who adds never waits.
 *
 * A record that finds no room is refused, and that is the whole of its
 * back-pressure: adding takes no lock, makes no system call and allocates
 * nothing. Any number of threads may add; one thread takes. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_OPS_RING_H
#define PK_OPS_RING_H

#include <stdbool.h>
#include <stddef.h>

struct pk_ring; /* Opaque. */

struct pk_ring *pk_ring_new(size_t bytes); /* Rounded up to a power of two, at least 4 KiB. */
void pk_ring_free(struct pk_ring *ring);   /* NULL is fine. */

/* Copies a record of 1 to 1/4 of the ring's bytes. False: there is no room. */
bool pk_ring_add(struct pk_ring *ring, const void *data, size_t size);
/* Copies the oldest record and makes room for new ones. 0: there is none, or it is larger than
 * 'max' and stays. */
size_t pk_ring_take(struct pk_ring *ring, void *out, size_t max);
/* Whether a record can be taken. */
bool pk_ring_has(const struct pk_ring *ring);

#endif
