/* clock.h - What time it is, behind one interface that tests can set.
 *
 * Two clocks, never mixed: 'wall' (UTC milliseconds since 1970; can jump) for
 * dates that are stored or shown, 'mono' (nanoseconds since some start; only
 * forward) for every time-out and duration. Code that asks for the time takes
 * a 'const struct pk_clock *'. Any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_BASE_CLOCK_H
#define PK_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_error;

struct pk_clock {
    int64_t (*wall_ms)(const struct pk_clock *clock); /* UTC, milliseconds since 1970. */
    int64_t (*mono_ns)(const struct pk_clock *clock); /* Nanoseconds; only forward. */
};

/* The machine's own clock. */
const struct pk_clock *pk_clock_system(void);

/* From here on the machine's mono clock stands, for this thread alone, at what '*mono_ns' says: a
 * loop reads it once a turn, for all who ask for the time in it. NULL: it goes again. */
void pk_clock_follow(const int64_t *mono_ns);

int64_t pk_clock_wall_ms(const struct pk_clock *clock);
int64_t pk_clock_mono_ns(const struct pk_clock *clock);

/* A clock that stands still until a test moves it. Start it with pk_clock_fake_init; pass
 * &fake.clock. Both hands move together with pk_clock_fake_advance; pk_clock_fake_set_wall moves
 * the wall hand alone, as an operator's 'date -s' does. Any thread. */
struct pk_clock_fake {
    struct pk_clock clock; /* First: the functions cast back from it. */
    _Atomic int64_t wall_ms;
    _Atomic int64_t mono_ns;
};
void pk_clock_fake_init(struct pk_clock_fake *fake, int64_t wall_ms);
void pk_clock_fake_advance(struct pk_clock_fake *fake, int64_t ms);
void pk_clock_fake_set_wall(struct pk_clock_fake *fake, int64_t wall_ms);

/* A deadline is a mono_ns value; 0 means none. */
int64_t pk_deadline_in_ms(const struct pk_clock *clock, int64_t ms);
bool pk_deadline_passed(const struct pk_clock *clock, int64_t deadline_ns);
/* Milliseconds left, at least 0, at most 'cap_ms'; 'cap_ms' when there is no deadline. */
int64_t pk_deadline_left_ms(const struct pk_clock *clock, int64_t deadline_ns, int64_t cap_ms);

/* ISO 8601 in UTC: "2026-11-21T07:32:00.123Z" (24 characters and a NUL). Years 0 to 9999; beyond
 * them, where pk_time_has_text says false, the nearest date that can be written stands in. */
enum { PK_TIME_TEXT = 32 };
bool pk_time_has_text(int64_t wall_ms);
void pk_time_format(int64_t wall_ms, char out[PK_TIME_TEXT]);
/* Takes what pk_time_format writes, also with 0 to 9 decimals (cut to milliseconds), and with an
 * offset (+01:00) instead of Z. A date without time or without zone is refused. */
bool pk_time_parse(const char *text, size_t length, int64_t *out_wall_ms, struct pk_error *err);

#endif
