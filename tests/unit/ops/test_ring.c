/* test_ring.c - Records from many threads: none torn, none out of its thread's order. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "ops/ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

TEST(ring_gives_back_records_in_order_around_its_end)
{
    struct pk_ring *ring = pk_ring_new(4096);
    char out[1024];
    size_t added = 0;
    size_t taken = 0;
    assert_int_equal(pk_ring_take(ring, out, sizeof(out)), 0);
    while (taken < 5000) {
        char record[512];
        const size_t size = 1 + (added * 37) % sizeof(record);
        memset(record, (int)(added % 251), size);
        if (pk_ring_add(ring, record, size)) {
            added++;
            continue;
        }
        assert_true(pk_ring_has(ring));
        for (size_t i = 0; i < 3 && taken < added; i++, taken++) {
            const size_t expected = 1 + (taken * 37) % sizeof(record);
            assert_int_equal(pk_ring_take(ring, out, sizeof(out)), expected);
            for (size_t k = 0; k < expected; k++) {
                assert_int_equal((unsigned char)out[k], taken % 251);
            }
        }
    }
    pk_ring_free(ring);
}

/* What was taken must not be read again as the size of a record that is still being copied. */
TEST(nothing_of_what_was_taken_stays_in_the_ring)
{
    struct pk_ring *ring = pk_ring_new(4096);
    char record[1024];
    char out[1024];
    memset(record, 0xff, sizeof(record));
    for (size_t i = 0; i < 5000; i++) {
        const size_t size = 1 + (i * 61) % sizeof(record);
        assert_true(pk_ring_add(ring, record, size));
        assert_int_equal(pk_ring_take(ring, out, sizeof(out)), size);
        assert_false(pk_ring_has(ring));
    }
    pk_ring_free(ring);
}

TEST(full_ring_refuses_and_goes_on_when_there_is_room)
{
    struct pk_ring *ring = pk_ring_new(1);
    char record[1000] = { 1 };
    char out[1000];
    size_t held = 0;
    while (pk_ring_add(ring, record, sizeof(record))) {
        held++;
    }
    assert_int_equal(held, 4);
    assert_int_equal(pk_ring_take(ring, out, sizeof(record) - 1), 0); /* Too large for 'out'. */
    assert_int_equal(pk_ring_take(ring, out, sizeof(out)), sizeof(record));
    assert_true(pk_ring_add(ring, record, sizeof(record)));
    assert_false(pk_ring_add(ring, record, sizeof(record)));
    pk_ring_free(ring);
}

enum { ADDERS = 4, RECORDS = 20000 };

struct adder {
    struct pk_ring *ring;
    unsigned number;
};

struct record {
    unsigned adder, serial;
    unsigned char filler[64];
};

static void *add_all(void *argument)
{
    struct adder *adder = argument;
    for (unsigned serial = 0; serial < RECORDS;) {
        struct record record = { .adder = adder->number, .serial = serial };
        const size_t size = sizeof(record) - serial % sizeof(record.filler);
        memset(record.filler, (int)((serial + adder->number) % 256), sizeof(record.filler));
        if (pk_ring_add(adder->ring, &record, size)) {
            serial++;
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

TEST(ring_keeps_records_of_many_threads_whole_and_in_their_order)
{
    struct pk_ring *ring = pk_ring_new(8192);
    struct adder adder[ADDERS];
    pthread_t thread[ADDERS];
    unsigned next[ADDERS] = { 0 };

    for (unsigned i = 0; i < ADDERS; i++) {
        adder[i] = (struct adder){ ring, i };
        assert_int_equal(pthread_create(&thread[i], NULL, add_all, &adder[i]), 0);
    }
    for (size_t taken = 0; taken < (size_t)ADDERS * RECORDS;) {
        struct record record = { 0 };
        const size_t size = pk_ring_take(ring, &record, sizeof(record));
        if (size == 0) {
            (void)sched_yield();
            continue;
        }
        taken++;
        assert_in_range(record.adder, 0, ADDERS - 1);
        assert_int_equal(record.serial, next[record.adder]++);
        assert_int_equal(size, sizeof(record) - record.serial % sizeof(record.filler));
        for (size_t i = 0; i < size - 2 * sizeof(unsigned); i++) {
            assert_int_equal(record.filler[i], (record.serial + record.adder) % 256);
        }
    }
    for (unsigned i = 0; i < ADDERS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_false(pk_ring_has(ring));
    pk_ring_free(ring);
}
