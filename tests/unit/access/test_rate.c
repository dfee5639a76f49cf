/* test_rate.c - Token buckets, and who tries to get a fresh one. */
/* SPDX-License-Identifier: MIT */
#include "access/rate.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "scene.h"

#include <string.h>

struct tap {
    struct pk_clock_fake clock;
    struct pk_rate *rate;
    struct pk_rate_state state;
    struct pk_error err;
};

static void tap_open(struct tap *tap, uint32_t limit, int64_t window_ms, size_t capacity)
{
    *tap = (struct tap){ 0 };
    pk_clock_fake_init(&tap->clock, NOW_MS);
    const struct pk_rate_options options = {
        .clock = &tap->clock.clock,
        .rule = { { limit, window_ms }, { limit, window_ms }, { limit, window_ms } },
        .capacity = capacity
    };
    tap->rate = pk_rate_new(&options);
}

static bool take(struct tap *tap, enum pk_rate_kind kind, const void *subject, size_t size)
{
    return pk_rate_take(tap->rate, kind, subject, size, 1, &tap->state, &tap->err);
}

TEST(a_bucket_gives_its_tokens_and_says_when_there_are_more)
{
    struct tap tap;
    tap_open(&tap, 10, 60000, 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(take(&tap, PK_RATE_KEY, "k", 1));
        assert_int_equal(tap.state.limit, 10);
        assert_int_equal(tap.state.remaining, 9 - i);
        assert_int_equal(tap.state.retry_s, 0);
        assert_int_equal(tap.state.reset_s, 6 * (i + 1));
    }
    assert_false(take(&tap, PK_RATE_KEY, "k", 1));
    expect_error(&tap.err, PK_LIMITED, "10 are allowed in 60 s, try again in 6 s");
    assert_int_equal(tap.state.retry_s, 6);
    assert_int_equal(tap.state.remaining, 0);
    assert_int_equal(tap.state.reset_s, 60);
    pk_clock_fake_advance(&tap.clock, 5999);
    assert_false(take(&tap, PK_RATE_KEY, "k", 1)); /* A refusal costs nothing. */
    assert_int_equal(tap.state.retry_s, 1);
    pk_clock_fake_advance(&tap.clock, 1);
    assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    assert_false(take(&tap, PK_RATE_KEY, "k", 1));
    pk_clock_fake_advance(&tap.clock, 3600000);
    assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    assert_int_equal(tap.state.remaining, 9); /* Never more than full. */
    pk_rate_free(tap.rate);
}

TEST(a_rule_can_change_while_it_is_in_use)
{
    struct tap tap;
    const struct pk_rate_rule narrow = { 2, 1000 };
    const struct pk_rate_rule none = { 0, 0 };
    tap_open(&tap, 10, 3600000, 0);
    for (int i = 0; i < 10; i++) {
        assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    }
    pk_rate_set(tap.rate, PK_RATE_KEY, &narrow);
    assert_false(take(&tap, PK_RATE_KEY, "k", 1)); /* What was taken stays taken ... */
    assert_int_equal(tap.state.limit, 2);
    assert_int_equal(tap.state.retry_s,
                     1); /* ... but nobody waits longer than the new rule says. */
    pk_clock_fake_advance(&tap.clock, 500);
    assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    assert_false(take(&tap, PK_RATE_KEY, "k", 1));
    pk_rate_set(tap.rate, PK_RATE_KEY, &none);
    assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    assert_int_equal(tap.state.limit, 0);
    pk_rate_free(tap.rate);
}

TEST(the_wall_clock_may_jump)
{
    struct tap tap;
    tap_open(&tap, 1, 60000, 0);
    assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    pk_clock_fake_set_wall(&tap.clock, NOW_MS + 86400000);
    assert_false(take(&tap, PK_RATE_KEY, "k", 1));
    pk_clock_fake_set_wall(&tap.clock, 0);
    pk_clock_fake_advance(&tap.clock, 60000);
    assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    pk_rate_free(tap.rate);
}

TEST(subjects_and_kinds_have_buckets_of_their_own)
{
    struct tap tap;
    tap_open(&tap, 1, 1000, 0);
    assert_true(take(&tap, PK_RATE_KEY, "a", 1));
    assert_true(take(&tap, PK_RATE_KEY, "b", 1));
    assert_true(take(&tap, PK_RATE_PERSON, "a", 1));
    assert_false(take(&tap, PK_RATE_PERSON, "a", 1));
    expect_error(&tap.err, PK_LIMITED, "about this person");
    pk_rate_free(tap.rate);
}

TEST(an_address_is_the_same_however_it_is_written)
{
    static const uint8_t v4[4] = { 192, 0, 2, 1 };
    static const uint8_t mapped[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 1 };
    static const uint8_t v6[16] = { 0x20, 1, 0xD, 0xB8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1 };
    static const uint8_t same_net[16] = { 0x20, 1, 0xD, 0xB8, 0, 0, 0, 1, 9, 9, 9, 9, 0, 0, 0, 1 };
    static const uint8_t other_net[16] = { 0x20, 1, 0xD, 0xB8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1 };
    struct tap tap;
    tap_open(&tap, 1, 1000, 0);
    assert_true(take(&tap, PK_RATE_ADDRESS, v4, sizeof(v4)));
    assert_false(take(&tap, PK_RATE_ADDRESS, mapped, sizeof(mapped)));
    assert_true(take(&tap, PK_RATE_ADDRESS, v6, sizeof(v6)));
    assert_false(take(&tap, PK_RATE_ADDRESS, same_net, sizeof(same_net)));
    assert_true(take(&tap, PK_RATE_ADDRESS, other_net, sizeof(other_net)));
    pk_rate_free(tap.rate);
}

TEST(no_limit_is_no_limit)
{
    struct tap tap;
    tap_open(&tap, 0, 0, 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(take(&tap, PK_RATE_KEY, "k", 1));
    }
    assert_int_equal(tap.state.limit, 0);
    pk_rate_free(tap.rate);
}

TEST(a_cost_is_taken_whole_or_not_at_all)
{
    struct tap tap;
    tap_open(&tap, 10, 10000, 0);
    assert_true(pk_rate_take(tap.rate, PK_RATE_KEY, "k", 1, 7, &tap.state, NULL));
    assert_false(pk_rate_take(tap.rate, PK_RATE_KEY, "k", 1, 4, &tap.state, NULL));
    assert_int_equal(tap.state.remaining, 3);
    assert_int_equal(tap.state.retry_s, 1);
    assert_true(pk_rate_take(tap.rate, PK_RATE_KEY, "k", 1, 3, &tap.state, NULL));
    pk_clock_fake_advance(&tap.clock, 10000);
    assert_true(pk_rate_take(tap.rate, PK_RATE_KEY, "k", 1, 5000, NULL, NULL));
    pk_rate_free(tap.rate);
}

/* One table of eight buckets: the attacker's is empty, and he sends strangers to push it out. */
TEST(nobody_gets_a_fresh_bucket_by_pushing_his_own_out)
{
    struct tap tap;
    uint32_t granted = 0;
    tap_open(&tap, 100, 100000, 8);
    while (take(&tap, PK_RATE_ADDRESS, "self", 4)) {
        granted++;
    }
    for (uint32_t i = 0; i < 100000; i++) {
        granted += take(&tap, PK_RATE_ADDRESS, &i, sizeof(i));
        granted += take(&tap, PK_RATE_ADDRESS, "self", 4);
    }
    assert_true(granted <= 8 * 100); /* No more than the memory is worth, in no time at all. */
    assert_true(granted >= 100);
    pk_rate_free(tap.rate);
}

TEST(the_tighter_of_two_states_is_told)
{
    const struct pk_rate_state none = { 0 };
    const struct pk_rate_state full = { .limit = 1000, .remaining = 900 };
    const struct pk_rate_state half = { .limit = 10, .remaining = 5 };
    const struct pk_rate_state wait = { .limit = 10, .remaining = 9, .retry_s = 3 };
    assert_int_equal(pk_rate_tighter(none, full).limit, 1000);
    assert_int_equal(pk_rate_tighter(full, none).limit, 1000);
    assert_int_equal(pk_rate_tighter(full, half).limit, 10);
    assert_int_equal(pk_rate_tighter(half, full).limit, 10);
    assert_int_equal(pk_rate_tighter(half, wait).retry_s, 3);
}

struct crowd {
    struct tap *tap;
    _Atomic int granted;
};

static void come(void *context, size_t number)
{
    struct crowd *crowd = context;
    (void)number;
    for (int i = 0; i < 2000; i++) {
        crowd->granted += pk_rate_take(crowd->tap->rate, PK_RATE_KEY, "k", 1, 1, NULL, NULL);
    }
}

TEST(of_many_at_once_exactly_the_limit_get_through)
{
    struct tap tap;
    tap_open(&tap, 1000, 60000, 0);
    struct crowd crowd = { .tap = &tap };
    run_threads(8, come, &crowd);
    assert_int_equal(crowd.granted, 1000);
    pk_rate_free(tap.rate);
}

TEST(refusals_are_counted_by_kind)
{
    struct pk_rate_stats stats;
    struct tap tap;
    tap_open(&tap, 2, 60000, 0);
    for (int i = 0; i < 5; i++) {
        (void)take(&tap, PK_RATE_KEY, "k", 1);
    }
    (void)take(&tap, PK_RATE_PERSON, "p", 1);
    pk_rate_stats(tap.rate, &stats);
    assert_int_equal(stats.refused[PK_RATE_KEY], 3);
    assert_int_equal(stats.refused[PK_RATE_ADDRESS], 0);
    assert_int_equal(stats.refused[PK_RATE_PERSON], 0);
    assert_string_equal(pk_rate_kind_name(PK_RATE_PERSON), "person");
    pk_rate_free(tap.rate);
}
