/* test_mongo_get.c - Reads by id that share a question: each caller his own document.
 *
 * A failpoint of the server holds the first questions until the case lets them
 * go, so that the callers behind them wait together, however slow they start.
 *
 * pthread_mutex_unlock is wrapped (tests/CMakeLists.txt): a case can have
 * something happen in the instant in which the queue is let go. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "mongo_bed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { CALLERS = 40 };

/* One caller with a thread of its own. */
struct caller {
    struct bed *bed;
    const char *collection;
    char id[32];
    int64_t deadline_ms;
    struct pk_doc *doc; /* What it was given. */
    struct pk_error err;
    bool is_ok;
    atomic_bool is_back;
    pthread_t thread;
};

static void *call(void *context)
{
    struct caller *caller = context;
    caller->is_ok = pk_store_get(caller->bed->store, caller->collection, caller->id,
                                 in_ms(caller->deadline_ms), &caller->doc, &caller->err);
    atomic_store(&caller->is_back, true);
    return NULL;
}

static void start(struct caller *caller, struct bed *bed, const char *collection, const char *id,
                  int64_t deadline_ms)
{
    *caller = (struct caller){ .bed = bed, .collection = collection, .deadline_ms = deadline_ms };
    (void)snprintf(caller->id, sizeof(caller->id), "%s", id);
    assert_int_equal(pthread_create(&caller->thread, NULL, call, caller), 0);
}

static void join(struct caller *caller)
{
    assert_int_equal(pthread_join(caller->thread, NULL), 0);
}

static int64_t finds(struct bed *bed)
{
    struct mongo *mongo = mongo_of(bed->store);
    mongoc_client_t *client = mongo_pop(mongo, NULL);
    bson_t *command = BCON_NEW("serverStatus", BCON_INT32(1));
    bson_t reply;
    bson_iter_t iter;
    bson_iter_t found;
    assert_true(mongoc_client_command_simple(client, "admin", command, NULL, &reply, NULL));
    assert_true(bson_iter_init(&iter, &reply) &&
                bson_iter_find_descendant(&iter, "metrics.commands.find.total", &found));
    const int64_t count = bson_iter_as_int64(&found);
    bson_destroy(&reply);
    bson_destroy(command);
    mongo_push(mongo, client);
    return count;
}

/* Waits until so many callers wait for their turn. */
static void await_waiting(struct bed *bed, size_t wanted)
{
    struct mongo_gets *gets = &mongo_of(bed->store)->gets;
    const int64_t until_ns = in_ms(PK_TEST_PATIENCE_MS);
    size_t count = 0;
    while (count < wanted && !pk_deadline_passed(pk_clock_system(), until_ns)) {
        (void)pthread_mutex_lock(&gets->lock);
        count = gets->waiting;
        (void)pthread_mutex_unlock(&gets->lock);
    }
    assert_true(count >= wanted);
}

/* Turns on or off that the server holds the questions that ask 'collection'. */
static void hold(struct bed *bed, const char *collection, bool is_on)
{
    PK_CLEANUP(pk_freep)
    char *json = is_on ? pk_strdupf("{'configureFailPoint':'waitInFindBeforeMakingBatch','mode':"
                                    "'alwaysOn','data':{'nss':'%s.%s'}}",
                                    mongo_of(bed->store)->database, collection)
                       : pk_strdup("{'configureFailPoint':'waitInFindBeforeMakingBatch','mode':"
                                   "'off'}");
    run_admin(bed, "admin", json);
}

/* How many questions the server holds. */
static size_t held(struct bed *bed)
{
    mongoc_client_t *client = mongo_pop(mongo_of(bed->store), NULL);
    bson_t *command = BCON_NEW("currentOp", BCON_INT32(1), "failpointMsg",
                               BCON_UTF8("waitInFindBeforeMakingBatch"), "ns", "{", "$regex",
                               BCON_UTF8(mongo_of(bed->store)->database), "}");
    bson_t reply;
    bson_iter_t iter;
    bson_iter_t op;
    size_t count = 0;
    assert_true(mongoc_client_command_simple(client, "admin", command, NULL, &reply, NULL));
    assert_true(bson_iter_init_find(&iter, &reply, "inprog") && bson_iter_recurse(&iter, &op));
    while (bson_iter_next(&op)) {
        count++;
    }
    bson_destroy(&reply);
    bson_destroy(command);
    mongo_push(mongo_of(bed->store), client);
    return count;
}

/* Takes all places with questions that the server holds. One that were only on its way could be
 * passed by the next caller's. */
static void take_places(struct bed *bed, struct caller *first)
{
    const int64_t until_ns = in_ms(PK_TEST_PATIENCE_MS);
    hold(bed, "notes", true);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        start(&first[i], bed, "notes", "n00", PK_TEST_PATIENCE_MS);
    }
    while (held(bed) < MONGO_GETS_MAX) {
        assert_false(pk_deadline_passed(pk_clock_system(), until_ns));
    }
}

/* Lets them go, and waits for their answers. */
static void leave_places(struct bed *bed, struct caller *first)
{
    hold(bed, "notes", false);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        join(&first[i]);
        assert_ok(first[i].is_ok, &first[i].err);
        assert_string_equal(pk_doc_id(first[i].doc), "n00");
        pk_doc_unref(first[i].doc);
    }
}

/* However long questions take, there is no room for more. */
static void stay_patient(struct bed *bed)
{
    mongo_of(bed->store)->gets.slow_ns = INT64_MAX;
}

static void fill(struct bed *bed)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    for (int i = 0; i < CALLERS; i++) {
        PK_CLEANUP(pk_freep) char *note = pk_strdupf("{'_id':'n%02d','slug':'%02d'}", i, i);
        assert_ok(write_one(bed, "notes", note, in_ms(PK_TEST_PATIENCE_MS), &out, &err), &err);
    }
    assert_ok(write_one(bed, "briefs", "{'_id':'n00','of':'briefs'}", in_ms(PK_TEST_PATIENCE_MS),
                        &out, &err),
              &err);
    assert_ok(write_one(bed, "briefs",
                        "{'_id':'n01','of':'old','expiresAt':{'$date':'2001-01-01T00:00:00Z'}}",
                        in_ms(PK_TEST_PATIENCE_MS), &out, &err),
              &err);
}

/* Callers who find all places taken. They read what is there, what is not, and the same twice. */
static void start_crowd(struct bed *bed, struct caller *caller)
{
    for (size_t i = 0; i < CALLERS; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), i % 5 == 4 ? "x%02zu" : "n%02zu", i % 8 == 7 ? i - 1 : i);
        start(&caller[i], bed, "notes", id, PK_TEST_PATIENCE_MS);
    }
}

static void check_crowd(struct caller *caller)
{
    for (size_t i = 0; i < CALLERS; i++) {
        join(&caller[i]);
        assert_ok(caller[i].is_ok, &caller[i].err);
        if (caller[i].id[0] == 'x') {
            assert_null(caller[i].doc);
            continue;
        }
        assert_non_null(caller[i].doc);
        assert_string_equal(pk_doc_id(caller[i].doc), caller[i].id);
        assert_string_equal(pk_doc_text(caller[i].doc, "slug"), caller[i].id + 1);
        assert_true(pk_doc_version(caller[i].doc) > 0);
        pk_doc_unref(caller[i].doc);
    }
}

TEST(callers_who_wait_together_share_a_question_and_each_gets_his_own)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller crowd[CALLERS];
    struct caller brief[2];
    BED(bed);
    fill(&bed);
    stay_patient(&bed);
    const int64_t before = finds(&bed);
    take_places(&bed, first);
    start_crowd(&bed, crowd);
    start(&brief[0], &bed, "briefs", "n00", PK_TEST_PATIENCE_MS);
    start(&brief[1], &bed, "briefs", "n01", PK_TEST_PATIENCE_MS);
    await_waiting(&bed, CALLERS + PK_COUNT(brief));
    leave_places(&bed, first);
    check_crowd(crowd);
    join(&brief[0]);
    join(&brief[1]);
    assert_string_equal(pk_doc_text(brief[0].doc, "of"), "briefs");
    pk_doc_unref(brief[0].doc);
    assert_ok(brief[1].is_ok, &brief[1].err);
    assert_null(brief[1].doc); /* It has expired. */
    assert_true(finds(&bed) - before < MONGO_GETS_MAX + CALLERS / 3);
}

TEST(a_shared_question_that_fails_is_asked_again_by_each_alone)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller crowd[CALLERS];
    BED(bed);
    fill(&bed);
    stay_patient(&bed);
    take_places(&bed, first);
    start_crowd(&bed, crowd);
    await_waiting(&bed, CALLERS);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':3},'data':{'failCommands':"
              "['find'],'closeConnection':true,'appName':'personakit'}}");
    leave_places(&bed, first);
    check_crowd(crowd);
    run_admin(&bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
}

static bool is_any_back(const struct caller *first)
{
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        if (atomic_load(&first[i].is_back)) {
            return true;
        }
    }
    return false;
}

TEST(who_waits_for_a_question_leaves_at_his_own_deadline)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller late;
    BED(bed);
    fill(&bed);
    stay_patient(&bed);
    take_places(&bed, first);
    start(&late, &bed, "briefs", "n00", 100);
    join(&late);
    assert_false(is_any_back(first));
    pk_doc_unref(late.doc);
    leave_places(&bed, first);
}

TEST(questions_that_take_long_hold_up_nobody_for_long)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller other;
    BED(bed);
    fill(&bed);
    stay_patient(&bed);
    take_places(&bed, first);
    mongo_of(bed.store)->gets.slow_ns = -1; /* They are slow now. */
    start(&other, &bed, "briefs", "n00", PK_TEST_PATIENCE_MS);
    join(&other);
    assert_false(is_any_back(first));
    assert_ok(other.is_ok, &other.err);
    assert_string_equal(pk_doc_text(other.doc, "of"), "briefs");
    pk_doc_unref(other.doc);
    leave_places(&bed, first);
    assert_int_equal(mongo_of(bed.store)->gets.asking, 0);
}

/* ---- The instant between ---- */

/* Whoever lets the queue go when nobody waits in it any more stops there, once: the deadline of
 * who was taken out passes, and he comes back. */
static struct {
    atomic_bool is_armed;
    struct mongo_gets *gets;
    struct pk_clock_fake *clock;
    struct caller *taken;
} instant;

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    const bool is_it = atomic_load(&instant.is_armed) && mutex == &instant.gets->lock &&
                       instant.gets->waiting == 0 && atomic_exchange(&instant.is_armed, false);
    const int result = __real_pthread_mutex_unlock(mutex);
    if (is_it) {
        const int64_t until_ns = in_ms(PK_TEST_PATIENCE_MS);
        pk_clock_fake_advance(instant.clock, PK_TEST_PATIENCE_MS);
        while (!atomic_load(&instant.taken->is_back) &&
               !pk_deadline_passed(pk_clock_system(), until_ns)) {
        }
    }
    return result;
}

static void *call_by_fake(void *context)
{
    struct caller *caller = context;
    const int64_t deadline_ns = pk_deadline_in_ms(&instant.clock->clock, caller->deadline_ms);
    caller->is_ok = pk_store_get(caller->bed->store, caller->collection, caller->id, deadline_ns,
                                 &caller->doc, &caller->err);
    atomic_store(&caller->is_back, true);
    return NULL;
}

TEST(who_is_handed_the_place_at_his_deadline_is_not_looked_for_among_those_who_wait)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller late;
    struct pk_clock_fake fake;
    BED(bed);
    fill(&bed);
    stay_patient(&bed);
    pk_clock_fake_init(&fake, 0);
    instant.clock = &fake;
    instant.gets = &mongo_of(bed.store)->gets;
    instant.taken = &late;
    mongo_of(bed.store)->clock = &fake.clock;
    take_places(&bed, first);
    late = (struct caller){ .bed = &bed, .collection = "briefs", .id = "n00", .deadline_ms = 1000 };
    assert_int_equal(pthread_create(&late.thread, NULL, call_by_fake, &late), 0);
    await_waiting(&bed, 1);
    atomic_store(&instant.is_armed, true);
    leave_places(&bed, first);
    join(&late);
    mongo_of(bed.store)->clock = pk_clock_system();
    assert_false(atomic_load(&instant.is_armed));
    assert_true(late.is_ok || late.err.code == PK_TIMEOUT);
    pk_doc_unref(late.doc);
    assert_int_equal(mongo_of(bed.store)->gets.asking, 0);
    assert_int_equal(mongo_of(bed.store)->gets.waiting, 0);
}
