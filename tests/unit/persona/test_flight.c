/* test_flight.c - Equal work once: who flies, who rides along, who waits for the next one. */
/* SPDX-License-Identifier: MIT */
#include "persona/flight.h"

#include "base/clock.h"
#include "doc/doc.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { DEADLINE_MS = 20000 };

/* One who wants 'version', on a thread of his own. */
struct rider {
    struct pk_flights *flights;
    int64_t version, deadline_ns;
    pthread_t thread;
    enum pk_flight_part part;
    struct pk_flight_outcome outcome;
    _Atomic bool is_back;
};

static void *ride(void *context)
{
    struct rider *rider = context;
    struct pk_flight *flight = NULL;
    const struct pk_flight_want want = { .key = "k",
                                         .version = rider->version,
                                         .deadline_ns = rider->deadline_ns };
    rider->part = pk_flight_board(rider->flights, &want, &flight, &rider->outcome);
    if (rider->part == PK_FLIGHT_PILOT) {
        pk_flight_land(rider->flights, flight, &rider->outcome);
    }
    rider->is_back = true;
    return NULL;
}

static void start(struct rider *rider, struct pk_flights *flights, int64_t version,
                  int64_t deadline_ns)
{
    *rider = (struct rider){ .flights = flights, .version = version, .deadline_ns = deadline_ns };
    assert_int_equal(pthread_create(&rider->thread, NULL, ride, rider), 0);
}

static struct pk_flight *take_off(struct pk_flights *flights, const char *key, int64_t version)
{
    struct pk_flight *flight = NULL;
    struct pk_flight_outcome outcome;
    const struct pk_flight_want want = { .key = key, .version = version };
    assert_int_equal(pk_flight_board(flights, &want, &flight, &outcome), PK_FLIGHT_PILOT);
    return flight;
}

/* Until so many are on board. */
static void await_waiting(struct pk_flights *flights, uint64_t count)
{
    const int64_t deadline_ns = pk_deadline_in_ms(pk_clock_system(), DEADLINE_MS);
    struct pk_flight_stats stats = { 0 };
    for (pk_flights_stats(flights, &stats); stats.waiting < count;
         pk_flights_stats(flights, &stats)) {
        assert_false(pk_deadline_passed(pk_clock_system(), deadline_ns));
        (void)sched_yield();
    }
}

TEST(who_has_seen_no_more_rides_along_and_who_has_flies_after)
{
    struct pk_flights *flights = pk_flights_new(pk_clock_system());
    struct pk_flight *flight = take_off(flights, "k", 5);
    struct rider same, later;
    struct pk_flight_stats stats;
    bson_t bson = BSON_INITIALIZER;
    struct pk_doc *doc = pk_doc_new(&bson);
    start(&same, flights, 5, 0);
    start(&later, flights, 6, 0);
    await_waiting(flights, 2);
    assert_false(same.is_back);
    assert_false(later.is_back);
    pk_flight_land(flights, flight, &(struct pk_flight_outcome){ .doc = doc, .is_new = true });
    assert_int_equal(pthread_join(same.thread, NULL), 0);
    assert_int_equal(pthread_join(later.thread, NULL), 0);
    assert_int_equal(same.part, PK_FLIGHT_PASSENGER);
    assert_ptr_equal(same.outcome.doc, doc);
    assert_true(same.outcome.is_new);
    assert_int_equal(later.part, PK_FLIGHT_PILOT);
    pk_flights_stats(flights, &stats);
    assert_int_equal(stats.flown, 2);
    assert_int_equal(stats.shared, 1);
    pk_doc_unref(same.outcome.doc);
    pk_doc_unref(doc);
    pk_flights_free(flights);
}

TEST(a_failure_is_shared_and_its_field_is_not)
{
    struct pk_flights *flights = pk_flights_new(pk_clock_system());
    struct pk_flight *flight = take_off(flights, "k", 1);
    struct pk_flight_outcome failed = { .doc = NULL };
    struct rider rider;
    (void)pk_fail_field(&failed.err, PK_REFUSED, "a.field", NULL, "it cannot be done");
    start(&rider, flights, 1, 0);
    await_waiting(flights, 1);
    pk_flight_land(flights, flight, &failed);
    assert_int_equal(pthread_join(rider.thread, NULL), 0);
    assert_int_equal(rider.part, PK_FLIGHT_PASSENGER);
    assert_null(rider.outcome.doc);
    assert_int_equal(rider.outcome.err.code, PK_REFUSED);
    assert_string_equal(rider.outcome.err.message, "it cannot be done");
    assert_null(rider.outcome.err.field);
    pk_flights_free(flights);
}

TEST(who_has_no_more_time_does_not_wait_and_others_are_not_disturbed)
{
    struct pk_flights *flights = pk_flights_new(pk_clock_system());
    struct pk_flight *flight = take_off(flights, "k", 1);
    struct pk_flight *other = take_off(flights, "other", 1);
    struct rider rider;
    start(&rider, flights, 1, pk_deadline_in_ms(pk_clock_system(), 1));
    assert_int_equal(pthread_join(rider.thread, NULL), 0);
    assert_int_equal(rider.part, PK_FLIGHT_MISSED);
    pk_flight_land(flights, other, &(struct pk_flight_outcome){ .doc = NULL });
    pk_flight_land(flights, flight, &(struct pk_flight_outcome){ .doc = NULL });
    pk_flights_free(flights);
}
