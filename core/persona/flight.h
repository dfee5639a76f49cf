/* flight.h - Equal work under way at the same time is done once.
 *
 *     switch (pk_flight_board(flights, &want, &flight, &outcome)) {
 *     case PK_FLIGHT_PILOT:      do it; pk_flight_land(flights, flight, &outcome);
 *     case PK_FLIGHT_PASSENGER:  'outcome' is what the pilot's work gave
 *     case PK_FLIGHT_PARKED:     'wake' is called at the landing; board again then
 *     case PK_FLIGHT_MISSED:     the deadline is over
 *     }
 *
 * Work that began before something that a caller has seen may not know of it,
 * so a flight says as of which version it is, and takes nobody who has seen a
 * later one: he waits for it to end, and then has his own. A failure that would
 * only come again (refused, too large, a conflict) is remembered for a second,
 * so those who come in crowds share it, too. Any thread; a passenger's waits,
 * unless he can be parked. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_PERSONA_FLIGHT_H
#define PK_PERSONA_FLIGHT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_clock;
struct pk_doc;
struct pk_flight;  /* Opaque. */
struct pk_flights; /* Opaque. */

struct pk_flights *pk_flights_new(const struct pk_clock *clock)
    __attribute__((returns_nonnull, warn_unused_result));
void pk_flights_free(struct pk_flights *flights); /* Nobody is on board. NULL is fine. */

/* How one waits who holds no thread meanwhile. */
struct pk_flight_parking {
    /* Gives what 'wake' is called with, once; NULL: he has no time left. It is called under a lock:
     * it must not wait, nor board. */
    void *(*park)(void *context);
    void (*wake)(void *parked); /* Any thread, perhaps before pk_flight_board has returned. */
    void *context;              /* Of 'park'. */
};
struct pk_flight_want {
    const char *key;                  /* Who has the same wants the same. */
    int64_t version;                  /* What he has seen. */
    int64_t deadline_ns;              /* 0: none. */
    struct pk_flight_parking parking; /* 'park' NULL: he waits on his thread. */
};
struct pk_flight_outcome {
    struct pk_doc *doc;  /* A reference each; NULL when it failed. */
    bool is_new;         /* It was made in this flight. */
    struct pk_error err; /* Why, when 'doc' is NULL. */
};
enum pk_flight_part { PK_FLIGHT_PILOT, PK_FLIGHT_PASSENGER, PK_FLIGHT_PARKED, PK_FLIGHT_MISSED };

enum pk_flight_part pk_flight_board(struct pk_flights *flights, const struct pk_flight_want *want,
                                    struct pk_flight **out, struct pk_flight_outcome *outcome);
/* By the pilot, always. The outcome stays his; passengers get references of their own. */
void pk_flight_land(struct pk_flights *flights, struct pk_flight *flight,
                    const struct pk_flight_outcome *outcome);
struct pk_flight_stats {
    uint64_t flown, shared; /* Piloted, and shared in or parked for, since the start. */
    uint64_t waiting;       /* Threads that wait on board now, beside pilots. */
    uint64_t parked;        /* Those who wait without one. */
};
void pk_flights_stats(struct pk_flights *flights, struct pk_flight_stats *out);

#endif
