/* ring.c - Reserve with one compare-and-swap, copy, then say that it is there.
 *
 *     taken │ size │ bytes ... │ size │ bytes ... │ 0 │ (being copied) │ free
 *           ^ tail                                                     ^ head
 *
 * Places are counted in words of eight bytes, from the start, without end; a
 * place's position in memory is its remainder. A record is a word with its size
 * and as many words as its bytes need; it may wrap. Who adds moves 'head' over
 * the words he needs, fills them, and writes the size last: until then the word
 * is 0 and the taker stops there. The taker zeroes what he has taken before he
 * moves 'tail' over it, so a size is always 0 before it is written.
 *
 * The size is written and read with the full order of all threads: a taker who
 * says that he goes to sleep and then finds the ring empty, and an adder who
 * has added and then looks for sleepers, cannot both miss each other. */
/* SPDX-License-Identifier: MIT */
#include "ops/ring.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { WORD = 8, WORDS_MIN = 512, CACHE_LINE = 64 };

struct pk_ring {
    uint64_t head; /* Atomic; moved by who adds. */
    char apart[CACHE_LINE - WORD];
    uint64_t tail; /* Atomic; moved by who takes. */
    char apart_too[CACHE_LINE - WORD];
    size_t words; /* A power of two. */
    uint64_t *word;
};

struct pk_ring *pk_ring_new(size_t bytes)
{
    struct pk_ring *ring = pk_calloc(1, sizeof(*ring));
    size_t words = WORDS_MIN;
    while (words < bytes / WORD) {
        words *= 2;
    }
    ring->words = words;
    ring->word = pk_calloc(words, WORD);
    return ring;
}

void pk_ring_free(struct pk_ring *ring)
{
    if (ring) {
        pk_free(ring->word);
        pk_free(ring);
    }
}

static size_t words_of(size_t size)
{
    return 1 + (size + WORD - 1) / WORD;
}

/* How many of 'size' bytes at 'place' lie before the end of the memory; the rest is at its
 * beginning. */
static size_t bytes_before_end(const struct pk_ring *ring, uint64_t place, size_t size)
{
    const size_t left = (ring->words - (size_t)(place & (ring->words - 1))) * WORD;
    return size < left ? size : left;
}

static uint64_t *word_at(const struct pk_ring *ring, uint64_t place)
{
    return &ring->word[place & (ring->words - 1)];
}

/* Moves 'head' over 'count' words. False: there are not so many free. */
static bool reserve(struct pk_ring *ring, size_t count, uint64_t *out_place)
{
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    do {
        const uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        /* Signed: 'head' may be old, and then the swap fails and brings the new one. */
        if ((int64_t)(head + count - tail) > (int64_t)ring->words) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&ring->head, &head, head + count, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    *out_place = head;
    return true;
}

bool pk_ring_add(struct pk_ring *ring, const void *data, size_t size)
{
    uint64_t place;
    assert(size > 0 && size <= ring->words * WORD / 4);
    if (!reserve(ring, words_of(size), &place)) {
        return false;
    }
    const size_t first = bytes_before_end(ring, place + 1, size);
    memcpy(word_at(ring, place + 1), data, first);
    memcpy(ring->word, (const char *)data + first, size - first);
    __atomic_store_n(word_at(ring, place), size, __ATOMIC_SEQ_CST);
    return true;
}

bool pk_ring_has(const struct pk_ring *ring)
{
    const uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    return __atomic_load_n(word_at(ring, tail), __ATOMIC_SEQ_CST) != 0;
}

size_t pk_ring_take(struct pk_ring *ring, void *out, size_t max)
{
    const uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    const size_t size = (size_t)__atomic_load_n(word_at(ring, tail), __ATOMIC_SEQ_CST);
    if (size == 0 || size > max) {
        return 0;
    }
    const size_t padded = (words_of(size) - 1) * WORD;
    const size_t first = bytes_before_end(ring, tail + 1, size);
    memcpy(out, word_at(ring, tail + 1), first);
    memcpy((char *)out + first, ring->word, size - first);

    const size_t first_padded = bytes_before_end(ring, tail + 1, padded);
    memset(word_at(ring, tail + 1), 0, first_padded);
    memset(ring->word, 0, padded - first_padded);
    __atomic_store_n(word_at(ring, tail), 0, __ATOMIC_RELAXED);
    __atomic_store_n(&ring->tail, tail + words_of(size), __ATOMIC_RELEASE);
    return size;
}
