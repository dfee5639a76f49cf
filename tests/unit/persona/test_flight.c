/* test_flight.c - Equal work once: who flies, who rides along, who waits for the next one. */
/* SPDX-License-Identifier: MIT */
#include "persona/flight.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { DEADLINE_MS = PK_TEST_PATIENCE_MS };

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

/* ---- Without a thread ---- */

/* One who can be parked: how often he was, and woken. */
struct parker {
    struct pk_flights *flights; /* Asked when he is woken, as a thread that goes on would. */
    unsigned parked, woken;
    bool has_no_time;
};

static void *park(void *context)
{
    struct parker *parker = context;
    parker->parked++;
    return parker->has_no_time ? NULL : parker;
}

static void wake(void *parked)
{
    struct parker *parker = parked;
    struct pk_flight_stats stats;
    parker->woken++;
    pk_flights_stats(parker->flights, &stats);
    assert_int_equal(stats.parked, 0);
}

static enum pk_flight_part board_parking(struct parker *parker, int64_t version,
                                         struct pk_flight **out, struct pk_flight_outcome *outcome)
{
    const struct pk_flight_want want = {
        .key = "k", .version = version, .parking = { .park = park, .wake = wake, .context = parker }
    };
    return pk_flight_board(parker->flights, &want, out, outcome);
}

TEST(who_can_be_parked_holds_no_thread_and_is_woken_once_at_the_landing)
{
    struct pk_flights *flights = pk_flights_new(pk_clock_system());
    struct pk_flight *flight = take_off(flights, "k", 1);
    struct pk_flight *own = NULL;
    struct pk_flight_outcome outcome;
    struct pk_flight_stats stats;
    struct parker crowd[40];
    bson_t bson = BSON_INITIALIZER;
    struct pk_doc *doc = pk_doc_new(&bson);
    for (size_t i = 0; i < PK_COUNT(crowd); i++) {
        crowd[i] = (struct parker){ .flights = flights };
        assert_int_equal(board_parking(&crowd[i], i % 2 ? 1 : 2, &own, &outcome), PK_FLIGHT_PARKED);
    }
    struct parker late = { .flights = flights, .has_no_time = true };
    assert_int_equal(board_parking(&late, 1, &own, &outcome), PK_FLIGHT_MISSED);
    pk_flights_stats(flights, &stats);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.parked, PK_COUNT(crowd));
    pk_flight_land(flights, flight, &(struct pk_flight_outcome){ .doc = doc, .is_new = true });
    for (size_t i = 0; i < PK_COUNT(crowd); i++) {
        assert_int_equal(crowd[i].parked, 1);
        assert_int_equal(crowd[i].woken, 1);
    }
    assert_int_equal(late.woken, 0);
    assert_int_equal(board_parking(&crowd[0], 2, &own, &outcome), PK_FLIGHT_PILOT);
    pk_flight_land(flights, own, &(struct pk_flight_outcome){ .doc = doc });
    pk_doc_unref(doc);
    pk_flights_free(flights);
}

TEST(a_failure_that_would_come_again_is_remembered_for_a_second_and_no_later_version)
{
    static const struct {
        enum pk_code code;
        int64_t version, advance_ms;
        enum pk_flight_part part;
    } row[] = {
        { PK_REFUSED, 1, 999, PK_FLIGHT_PASSENGER }, { PK_REFUSED, 1, 1000, PK_FLIGHT_PILOT },
        { PK_REFUSED, 2, 0, PK_FLIGHT_PILOT },       { PK_TOO_LARGE, 1, 0, PK_FLIGHT_PASSENGER },
        { PK_CONFLICT, 0, 0, PK_FLIGHT_PASSENGER },  { PK_BUSY, 1, 0, PK_FLIGHT_PILOT },
        { PK_UNAVAILABLE, 1, 0, PK_FLIGHT_PILOT },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_clock_fake clock;
        pk_clock_fake_init(&clock, 1);
        struct pk_flights *flights = pk_flights_new(&clock.clock);
        struct parker parker = { .flights = flights };
        struct pk_flight *flight = take_off(flights, "k", 1);
        struct pk_flight_outcome failed = { .doc = NULL }, outcome;
        (void)pk_fail(&failed.err, row[i].code, NULL, "it cannot be done");
        pk_flight_land(flights, flight, &failed);
        pk_clock_fake_advance(&clock, row[i].advance_ms);
        assert_int_equal(board_parking(&parker, row[i].version, &flight, &outcome), row[i].part);
        if (row[i].part == PK_FLIGHT_PILOT) {
            pk_flight_land(flights, flight, &failed);
        } else {
            assert_int_equal(outcome.err.code, row[i].code);
        }
        assert_int_equal(parker.parked, 0);
        pk_flights_free(flights);
    }
}
