/* clock.c - The machine's clocks, a clock for tests, and ISO 8601.
 *
 * Dates are computed with the proleptic Gregorian calendar on whole days
 * (a year that starts in March puts the leap day last, and 400 years are
 * always 146,097 days), so no time zone data and no libc state is read: any
 * thread, any locale. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include "base/error.h"

#include <time.h>

enum {
    DAY_MS = 86400000,
    DAYS_PER_ERA = 146097,    /* 400 years. */
    EPOCH_FROM_MARCH = 719468 /* Days from 0000-03-01 to 1970-01-01. */
};

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what four digits can say. */
static const int64_t oldest_ms = -62167219200000;
static const int64_t newest_ms = 253402300799999;

static _Thread_local const int64_t *followed; /* NULL: the clock itself is read. */

static int64_t read_ns(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms(const struct pk_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_REALTIME) / 1000000;
}

static int64_t system_mono_ns(const struct pk_clock *clock)
{
    (void)clock;
    return followed ? *followed : read_ns(CLOCK_MONOTONIC);
}

void pk_clock_follow(const int64_t *mono_ns)
{
    followed = mono_ns;
}

const struct pk_clock *pk_clock_system(void)
{
    static const struct pk_clock clock = { .wall_ms = system_wall_ms, .mono_ns = system_mono_ns };
    return &clock;
}

int64_t pk_clock_wall_ms(const struct pk_clock *clock)
{
    return clock->wall_ms(clock);
}

int64_t pk_clock_mono_ns(const struct pk_clock *clock)
{
    return clock->mono_ns(clock);
}

static int64_t fake_wall_ms(const struct pk_clock *clock)
{
    return ((const struct pk_clock_fake *)(const void *)clock)->wall_ms;
}

static int64_t fake_mono_ns(const struct pk_clock *clock)
{
    return ((const struct pk_clock_fake *)(const void *)clock)->mono_ns;
}

void pk_clock_fake_init(struct pk_clock_fake *fake, int64_t wall_ms)
{
    fake->clock = (struct pk_clock){ .wall_ms = fake_wall_ms, .mono_ns = fake_mono_ns };
    fake->wall_ms = wall_ms;
    fake->mono_ns = 1000000000; /* Not 0: a deadline of 0 means none. */
}

void pk_clock_fake_advance(struct pk_clock_fake *fake, int64_t ms)
{
    fake->wall_ms += ms;
    fake->mono_ns += ms * 1000000;
}

void pk_clock_fake_set_wall(struct pk_clock_fake *fake, int64_t wall_ms)
{
    fake->wall_ms = wall_ms;
}

int64_t pk_deadline_in_ms(const struct pk_clock *clock, int64_t ms)
{
    int64_t now_ns = pk_clock_mono_ns(clock);
    int64_t span_ns = 0;
    int64_t deadline_ns = 0;

    if (__builtin_mul_overflow(ms, 1000000, &span_ns) ||
        __builtin_add_overflow(now_ns, span_ns, &deadline_ns)) {
        return ms < 0 ? 1 : INT64_MAX;
    }
    return deadline_ns > 0 ? deadline_ns : 1; /* 0 would mean none. */
}

bool pk_deadline_passed(const struct pk_clock *clock, int64_t deadline_ns)
{
    return deadline_ns != 0 && pk_clock_mono_ns(clock) >= deadline_ns;
}

int64_t pk_deadline_left_ms(const struct pk_clock *clock, int64_t deadline_ns, int64_t cap_ms)
{
    if (deadline_ns == 0) {
        return cap_ms;
    }
    int64_t left_ns = deadline_ns - pk_clock_mono_ns(clock);
    if (left_ns <= 0) {
        return 0;
    }
    /* Rounded up: who waits 0 ms for the last microseconds would spin. */
    int64_t left_ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
    return left_ms < cap_ms ? left_ms : cap_ms;
}

static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year; /* Of the year that starts in March. */
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - EPOCH_FROM_MARCH;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + EPOCH_FROM_MARCH;
    int64_t era = (z >= 0 ? z : z - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = z - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

/* By hand, because every log line and every date in an answer comes through here. */
static void put_digits(char *out, int value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10) {
        out[i] = (char)('0' + value % 10);
    }
}

bool pk_time_has_text(int64_t wall_ms)
{
    return wall_ms >= oldest_ms && wall_ms <= newest_ms;
}

void pk_time_format(int64_t wall_ms, char out[PK_TIME_TEXT])
{
    int year = 0;
    int month = 0;
    int day = 0;

    wall_ms = wall_ms < oldest_ms ? oldest_ms : wall_ms > newest_ms ? newest_ms : wall_ms;
    int64_t days = wall_ms / DAY_MS;
    int64_t ms = wall_ms % DAY_MS;
    if (ms < 0) {
        ms += DAY_MS;
        days--;
    }
    date_from_days(days, &year, &month, &day);
    put_digits(out, year, 4);
    out[4] = '-';
    put_digits(out + 5, month, 2);
    out[7] = '-';
    put_digits(out + 8, day, 2);
    out[10] = 'T';
    put_digits(out + 11, (int)(ms / 3600000), 2);
    out[13] = ':';
    put_digits(out + 14, (int)(ms / 60000 % 60), 2);
    out[16] = ':';
    put_digits(out + 17, (int)(ms / 1000 % 60), 2);
    out[19] = '.';
    put_digits(out + 20, (int)(ms % 1000), 3);
    out[23] = 'Z';
    out[24] = '\0';
}

/* What is left to read. */
struct cursor {
    const char *at;
    const char *end;
};

static bool take_char(struct cursor *cursor, char c)
{
    if (cursor->at == cursor->end || *cursor->at != c) {
        return false;
    }
    cursor->at++;
    return true;
}

static bool peek_digit(const struct cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

/* Exactly 'count' digits. */
static bool take_number(struct cursor *cursor, int count, int64_t *out)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++) {
        if (!peek_digit(cursor)) {
            return false;
        }
        value = value * 10 + (*cursor->at++ - '0');
    }
    *out = value;
    return true;
}

/* ".1" to ".123456789", cut to milliseconds; none is 0. */
static bool take_decimals(struct cursor *cursor, int64_t *out_ms)
{
    int64_t ms = 0;
    int digits = 0;

    if (take_char(cursor, '.')) {
        for (; peek_digit(cursor); cursor->at++) {
            if (digits < 3) {
                ms = ms * 10 + (*cursor->at - '0');
            }
            digits++;
        }
        if (digits < 1 || digits > 9) {
            return false;
        }
        for (int i = digits; i < 3; i++) {
            ms *= 10;
        }
    }
    *out_ms = ms;
    return true;
}

/* "Z", "+01:00", "-05:30". */
static bool take_zone(struct cursor *cursor, int64_t *out_offset_ms)
{
    int64_t hours = 0;
    int64_t minutes = 0;

    *out_offset_ms = 0;
    if (take_char(cursor, 'Z')) {
        return true;
    }
    bool is_west = take_char(cursor, '-');
    if (!is_west && !take_char(cursor, '+')) {
        return false;
    }
    if (!take_number(cursor, 2, &hours) || !take_char(cursor, ':') ||
        !take_number(cursor, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *out_offset_ms = (hours * 60 + minutes) * 60000 * (is_west ? -1 : 1);
    return true;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

static bool take_date(struct cursor *cursor, int64_t *out_days)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;

    if (!take_number(cursor, 4, &year) || !take_char(cursor, '-') ||
        !take_number(cursor, 2, &month) || !take_char(cursor, '-') ||
        !take_number(cursor, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month)) {
        return false;
    }
    *out_days = days_from_date(year, month, day);
    return true;
}

static bool take_time(struct cursor *cursor, int64_t *out_ms)
{
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    int64_t ms = 0;

    if (!take_number(cursor, 2, &hour) || !take_char(cursor, ':') ||
        !take_number(cursor, 2, &minute) || !take_char(cursor, ':') ||
        !take_number(cursor, 2, &second) || !take_decimals(cursor, &ms) || hour > 23 ||
        minute > 59 || second > 59) {
        return false;
    }
    *out_ms = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    return true;
}

bool pk_time_parse(const char *text, size_t length, int64_t *out_wall_ms, struct pk_error *err)
{
    static const char hint[] =
        "write it like 2026-11-21T07:32:00.123Z or 2026-11-21T08:32:00+01:00";
    struct cursor cursor = { text, text + length };
    int64_t days = 0;
    int64_t ms = 0;
    int64_t offset_ms = 0;

    if (!take_date(&cursor, &days) || !take_char(&cursor, 'T') || !take_time(&cursor, &ms) ||
        !take_zone(&cursor, &offset_ms) || cursor.at != cursor.end) {
        return pk_fail(err, PK_INVALID, hint, "not a date with time and zone: '%.*s'",
                       (int)(length < 40 ? length : 40), text);
    }
    int64_t wall_ms = days * DAY_MS + ms - offset_ms;
    if (!pk_time_has_text(wall_ms)) {
        return pk_fail(err, PK_INVALID, hint, "not in the years 0000 to 9999 in UTC: '%.*s'",
                       (int)length, text);
    }
    *out_wall_ms = wall_ms;
    return true;
}
