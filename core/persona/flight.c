/* flight.c - A table of what is under way, and a condition to wait on.
 *
 * A flight is in the table from its start to its landing, and lives until the
 * last one who boarded it has read its outcome; one that failed for good stays
 * in the table for a second more. Those under way are few (one per executor), so
 * one lock and a list do.
 *
 * Locked: everything, by 'lock'. */
/* SPDX-License-Identifier: MIT */
#include "persona/flight.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cond.h"
#include "doc/doc.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { WAIT_MAX_MS = 60000, REMEMBER_MS = 1000 };

/* One who is woken at the landing. */
struct parked {
    struct parked *next;
    void (*wake)(void *parked);
    void *own;
};

struct pk_flight {
    struct pk_flight *next; /* In the table. */
    char *key;
    int64_t version;
    bool has_landed;
    int64_t until_ns; /* Landed, and remembered until then (mono). */
    unsigned refs;    /* Pilot and passengers; then the table. */
    struct parked *parked;
    struct pk_flight_outcome outcome;
    pthread_cond_t landed;
};
struct pk_flights {
    const struct pk_clock *clock;
    pthread_mutex_t lock;
    struct pk_flight *first;
    struct pk_flight_stats stats;
};

struct pk_flights *pk_flights_new(const struct pk_clock *clock)
{
    struct pk_flights *flights = pk_calloc(1, sizeof(*flights));
    flights->clock = clock;
    (void)pthread_mutex_init(&flights->lock, NULL);
    return flights;
}

static struct pk_flight *take_off(struct pk_flights *flights, const struct pk_flight_want *want)
{
    struct pk_flight *flight = pk_calloc(1, sizeof(*flight));
    pk_cond_init(&flight->landed);
    flight->key = pk_strdup(want->key);
    flight->version = want->version;
    flight->refs = 1;
    flight->next = flights->first;
    flights->first = flight;
    flights->stats.flown++;
    return flight;
}

static void leave(struct pk_flight *flight)
{
    if (--flight->refs == 0) {
        pk_doc_unref(flight->outcome.doc);
        (void)pthread_cond_destroy(&flight->landed);
        pk_free(flight->key);
        pk_free(flight);
    }
}

static struct pk_flight *find(const struct pk_flights *flights, const char *key)
{
    struct pk_flight *flight = flights->first;
    while (flight && strcmp(flight->key, key) != 0) {
        flight = flight->next;
    }
    return flight;
}

/* Out of the table. */
static void take_out(struct pk_flights *flights, const struct pk_flight *flight)
{
    struct pk_flight **at = &flights->first;
    while (*at != flight) {
        at = &(*at)->next;
    }
    *at = flight->next;
}

/* What is remembered no longer. */
static void forget(struct pk_flights *flights)
{
    const int64_t now_ns = pk_clock_mono_ns(flights->clock);
    for (struct pk_flight **at = &flights->first; *at;) {
        struct pk_flight *flight = *at;
        if (flight->has_landed && flight->until_ns <= now_ns) {
            *at = flight->next;
            leave(flight);
        } else {
            at = &flight->next;
        }
    }
}

void pk_flights_free(struct pk_flights *flights)
{
    if (flights) {
        while (flights->first) {
            struct pk_flight *flight = flights->first;
            flights->first = flight->next;
            leave(flight);
        }
        (void)pthread_mutex_destroy(&flights->lock);
        pk_free(flights);
    }
}

static void take_outcome(const struct pk_flight *flight, struct pk_flight_outcome *outcome)
{
    *outcome = flight->outcome;
    outcome->doc = outcome->doc ? pk_doc_ref(outcome->doc) : NULL;
}

/* Waits for the landing; false: until the deadline there was none. */
static bool ride(struct pk_flights *flights, struct pk_flight *flight, const struct timespec *until,
                 struct pk_flight_outcome *outcome)
{
    flight->refs++;
    flights->stats.waiting++;
    while (!flight->has_landed && pk_cond_wait(&flight->landed, &flights->lock, *until)) {
    }
    const bool has_landed = flight->has_landed;
    flights->stats.waiting--;
    if (has_landed) {
        take_outcome(flight, outcome);
    }
    leave(flight);
    return has_landed;
}

static bool park(struct pk_flights *flights, struct pk_flight *flight,
                 const struct pk_flight_parking *parking)
{
    void *own = parking->park(parking->context);
    if (!own) {
        return false;
    }
    struct parked *parked = pk_alloc(sizeof(*parked));
    *parked = (struct parked){ .next = flight->parked, .wake = parking->wake, .own = own };
    flight->parked = parked;
    flights->stats.parked++;
    flights->stats.shared++;
    return true;
}

static enum pk_flight_part board(struct pk_flights *flights, const struct pk_flight_want *want,
                                 const struct timespec *until, struct pk_flight **out,
                                 struct pk_flight_outcome *outcome)
{
    forget(flights);
    for (struct pk_flight *flight; (flight = find(flights, want->key)) != NULL;) {
        const bool is_old = flight->version < want->version;
        if (flight->has_landed && !is_old) {
            take_outcome(flight, outcome);
            flights->stats.shared++;
            return PK_FLIGHT_PASSENGER;
        }
        if (flight->has_landed) {
            take_out(flights, flight);
            leave(flight);
            continue;
        }
        if (want->parking.park) {
            return park(flights, flight, &want->parking) ? PK_FLIGHT_PARKED : PK_FLIGHT_MISSED;
        }
        if (!ride(flights, flight, until, outcome)) {
            return PK_FLIGHT_MISSED;
        }
        if (!is_old) {
            flights->stats.shared++;
            return PK_FLIGHT_PASSENGER;
        }
        pk_doc_unref(outcome->doc);
        *outcome = (struct pk_flight_outcome){ 0 };
    }
    *out = take_off(flights, want);
    return PK_FLIGHT_PILOT;
}

enum pk_flight_part pk_flight_board(struct pk_flights *flights, const struct pk_flight_want *want,
                                    struct pk_flight **out, struct pk_flight_outcome *outcome)
{
    const struct timespec until =
        pk_cond_in_ms(pk_deadline_left_ms(flights->clock, want->deadline_ns, WAIT_MAX_MS));
    *outcome = (struct pk_flight_outcome){ 0 };
    (void)pthread_mutex_lock(&flights->lock);
    const enum pk_flight_part part = board(flights, want, &until, out, outcome);
    (void)pthread_mutex_unlock(&flights->lock);
    return part;
}

/* The same work would only fail in the same way again. */
static bool is_lasting(const struct pk_flight_outcome *outcome)
{
    const enum pk_code code = outcome->err.code;
    return !outcome->doc && (code == PK_REFUSED || code == PK_TOO_LARGE || code == PK_CONFLICT);
}

void pk_flight_land(struct pk_flights *flights, struct pk_flight *flight,
                    const struct pk_flight_outcome *outcome)
{
    (void)pthread_mutex_lock(&flights->lock);
    struct parked *parked = flight->parked;
    flight->parked = NULL;
    flight->outcome = *outcome;
    flight->outcome.err.field = NULL; /* Lives as long as the pilot's input only. */
    flight->outcome.doc = outcome->doc ? pk_doc_ref(outcome->doc) : NULL;
    flight->has_landed = true;
    (void)pthread_cond_broadcast(&flight->landed);
    if (is_lasting(outcome)) { /* The pilot's reference becomes the table's. */
        flight->until_ns = pk_deadline_in_ms(flights->clock, REMEMBER_MS);
    } else {
        take_out(flights, flight);
        leave(flight);
    }
    for (const struct parked *at = parked; at; at = at->next) {
        flights->stats.parked--;
    }
    (void)pthread_mutex_unlock(&flights->lock);
    while (parked) {
        struct parked *next = parked->next;
        parked->wake(parked->own);
        pk_free(parked);
        parked = next;
    }
}

void pk_flights_stats(struct pk_flights *flights, struct pk_flight_stats *out)
{
    (void)pthread_mutex_lock(&flights->lock);
    *out = flights->stats;
    (void)pthread_mutex_unlock(&flights->lock);
}
