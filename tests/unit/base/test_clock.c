/* test_clock.c - Dates to and from text, deadlines, and the clock that tests move. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *text;
    int64_t wall_ms;
} date[] = {
    { "1970-01-01T00:00:00.000Z", 0 },
    { "1969-12-31T23:59:59.999Z", -1 },
    { "2026-11-21T07:32:00.123Z", 1795246320123 },
    { "2000-02-29T00:00:00.000Z", 951782400000 },
    { "1900-02-28T23:59:59.999Z", -2203891200001 },
    { "1900-03-01T00:00:00.000Z", -2203891200000 },
    { "2024-12-31T23:59:59.999Z", 1735689599999 },
    { "0000-01-01T00:00:00.000Z", -62167219200000 },
    { "0000-02-29T00:00:00.000Z", -62162121600000 },
    { "9999-12-31T23:59:59.999Z", 253402300799999 },
};

TEST(who_follows_a_hand_sees_what_it_says)
{
    const struct pk_clock *clock = pk_clock_system();
    const int64_t before_ns = pk_clock_mono_ns(clock);
    int64_t hand_ns = 5;
    pk_clock_follow(&hand_ns);
    assert_int_equal(pk_clock_mono_ns(clock), 5);
    hand_ns = 7;
    assert_int_equal(pk_clock_mono_ns(clock), 7);
    assert_true(pk_clock_wall_ms(clock) > 7); /* That one goes on. */
    pk_clock_follow(NULL);
    assert_true(pk_clock_mono_ns(clock) >= before_ns);
}

TEST(dates_are_written_and_read_back)
{
    for (size_t i = 0; i < PK_COUNT(date); i++) {
        char text[PK_TIME_TEXT];
        struct pk_error err = { 0 };
        int64_t wall_ms = 1;
        pk_time_format(date[i].wall_ms, text);
        assert_string_equal(text, date[i].text);
        assert_ok(pk_time_parse(text, strlen(text), &wall_ms, &err), &err);
        assert_int_equal(wall_ms, date[i].wall_ms);
    }
}

TEST(every_day_of_ten_thousand_years_agrees_with_libc)
{
    for (int64_t day = -719528; day <= 2932896; day += 13) {
        char text[PK_TIME_TEXT];
        char other[64];
        time_t seconds = (time_t)(day * 86400);
        struct tm tm;
        int64_t back = 0;
        pk_time_format(day * 86400000, text);
        assert_non_null(gmtime_r(&seconds, &tm));
        (void)snprintf(other, sizeof(other), "%04d-%02d-%02dT00:00:00.000Z", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday);
        assert_string_equal(text, other);
        assert_true(pk_time_parse(text, 24, &back, NULL));
        assert_int_equal(back, day * 86400000);
    }
}

TEST(times_out_of_four_digits_are_shown_as_the_nearest)
{
    char text[PK_TIME_TEXT];
    pk_time_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    pk_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

TEST(decimals_and_offsets_are_read)
{
    static const struct {
        const char *text;
        int64_t wall_ms;
    } row[] = {
        { "1970-01-01T00:00:00Z", 0 },          { "1970-01-01T00:00:00.1Z", 100 },
        { "1970-01-01T00:00:00.12Z", 120 },     { "1970-01-01T00:00:00.999999999Z", 999 },
        { "1969-12-31T23:59:59.9Z", -100 },     { "1970-01-01T01:00:00+01:00", 0 },
        { "1969-12-31T18:30:00.5-05:30", 500 }, { "1970-01-01T00:00:00-00:00", 0 },
        { "1970-01-01T23:59:00+23:59", 0 },     { "0000-01-01T01:00:00+01:00", -62167219200000 },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        int64_t wall_ms = 1;
        struct pk_error err = { 0 };
        assert_ok(pk_time_parse(row[i].text, strlen(row[i].text), &wall_ms, &err), &err);
        assert_int_equal(wall_ms, row[i].wall_ms);
    }
}

TEST(wrong_dates_are_refused)
{
    static const char *const text[] = {
        "",
        "2026-11-21",
        "2026-11-21T07:32:00",
        "2026-11-21T07:32Z",
        "2026-11-21 07:32:00Z",
        "2026-11-21t07:32:00z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+01",
        "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00Z ",
        " 2026-01-01T00:00:00Z",
        "-026-01-01T00:00:00Z",
        "+026-01-01T00:00:00Z",
        "20260-01-01T00:00:00Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    };
    for (size_t i = 0; i < PK_COUNT(text); i++) {
        struct pk_error err = { 0 };
        int64_t wall_ms = 42;
        size_t size = strlen(text[i]);
        char *copy = pk_alloc(size); /* Without a NUL: ASan sees a read past the end. */
        memcpy(copy, text[i], size);
        if (pk_time_parse(copy, size, &wall_ms, &err)) {
            fail_msg("taken: '%s'", text[i]);
        }
        pk_free(copy);
        assert_int_equal(wall_ms, 42);
        assert_int_equal(err.code, PK_INVALID);
    }
}

TEST(the_machines_clock_moves_forward)
{
    const struct pk_clock *clock = pk_clock_system();
    int64_t mono_ns = pk_clock_mono_ns(clock);
    assert_true(mono_ns > 0);
    assert_true(pk_clock_mono_ns(clock) >= mono_ns);
    assert_true(pk_clock_wall_ms(clock) > 1700000000000);
}

TEST(a_fake_clock_moves_when_told)
{
    struct pk_clock_fake fake;
    pk_clock_fake_init(&fake, 1000);
    int64_t mono_ns = pk_clock_mono_ns(&fake.clock);
    pk_clock_fake_advance(&fake, 5);
    assert_int_equal(pk_clock_wall_ms(&fake.clock), 1005);
    assert_int_equal(pk_clock_mono_ns(&fake.clock), mono_ns + 5000000);
    pk_clock_fake_set_wall(&fake, 1);
    assert_int_equal(pk_clock_wall_ms(&fake.clock), 1);
    assert_int_equal(pk_clock_mono_ns(&fake.clock), mono_ns + 5000000);
}

TEST(deadlines_pass_and_never_overflow)
{
    struct pk_clock_fake fake;
    pk_clock_fake_init(&fake, 0);
    const struct pk_clock *clock = &fake.clock;
    int64_t deadline_ns = pk_deadline_in_ms(clock, 10);
    assert_int_equal(pk_deadline_left_ms(clock, deadline_ns, 1000), 10);
    assert_int_equal(pk_deadline_left_ms(clock, deadline_ns, 4), 4);
    assert_int_equal(pk_deadline_left_ms(clock, 0, 4), 4);
    assert_int_equal(pk_deadline_left_ms(clock, deadline_ns - 9999999, 1000), 1); /* Rounded up. */
    pk_clock_fake_advance(&fake, 9);
    assert_false(pk_deadline_passed(clock, deadline_ns));
    pk_clock_fake_advance(&fake, 1);
    assert_true(pk_deadline_passed(clock, deadline_ns));
    assert_int_equal(pk_deadline_left_ms(clock, deadline_ns, 1000), 0);
    assert_false(pk_deadline_passed(clock, 0));
    assert_false(pk_deadline_passed(clock, pk_deadline_in_ms(clock, INT64_MAX)));
    assert_true(pk_deadline_passed(clock, pk_deadline_in_ms(clock, INT64_MIN)));
    assert_true(pk_deadline_passed(clock, pk_deadline_in_ms(clock, -100000)));
}
