/* test_mongo_get.c - Reads by id that share a question: each caller his own document.
 *
 * The server's failpoints hold the first questions, so that the callers behind
 * them wait together. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "mongo_bed.h"

#include <pthread.h>
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
    int64_t took_ms;
    bool is_ok;
    pthread_t thread;
};

static void *call(void *context)
{
    struct caller *caller = context;
    const int64_t start_ns = pk_clock_mono_ns(pk_clock_system());
    caller->is_ok = pk_store_get(caller->bed->store, caller->collection, caller->id,
                                 in_ms(caller->deadline_ms), &caller->doc, &caller->err);
    caller->took_ms = (pk_clock_mono_ns(pk_clock_system()) - start_ns) / 1000000;
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
    const int64_t until_ns = in_ms(10000);
    size_t count = 0;
    while (count < wanted && !pk_deadline_passed(pk_clock_system(), until_ns)) {
        (void)pthread_mutex_lock(&gets->lock);
        count = gets->waiting;
        (void)pthread_mutex_unlock(&gets->lock);
    }
    assert_true(count >= wanted);
}

/* How often the server's fault has been met since the server was started. */
static int faults_met(struct bed *bed)
{
    mongoc_client_t *client = mongo_pop(mongo_of(bed->store), NULL);
    bson_t *command =
        BCON_NEW("getParameter", BCON_INT32(1), "failpoint.failCommand", BCON_BOOL(true));
    bson_t reply;
    bson_iter_t iter;
    bson_iter_t fault;
    assert_true(mongoc_client_command_simple(client, "admin", command, NULL, &reply, NULL));
    assert_true(bson_iter_init_find(&iter, &reply, "failpoint.failCommand") &&
                bson_iter_recurse(&iter, &fault) && bson_iter_find(&fault, "timesEntered"));
    const int count = (int)bson_iter_as_int64(&fault);
    bson_destroy(&reply);
    bson_destroy(command);
    mongo_push(mongo_of(bed->store), client);
    return count;
}

/* The next questions are answered late: so many, after so long. Returns how often the fault will
 * have been met when all places are taken by such questions. */
static int hold_finds(struct bed *bed, int times, int ms)
{
    PK_CLEANUP(pk_freep)
    char *json = pk_strdupf("{'configureFailPoint':'failCommand','mode':{'times':%d},'data':{"
                            "'failCommands':['find'],'blockConnection':true,'blockTimeMS':%d,"
                            "'appName':'personakit'}}",
                            times, ms);
    const int met = faults_met(bed);
    run_admin(bed, "admin", json);
    return met + MONGO_GETS_MAX;
}

/* Waits until the server holds the questions: one that is only on its way could be passed by the
 * next caller's, which would be held in its place. */
static void await_held(struct bed *bed, int met)
{
    PK_CLEANUP(pk_freep)
    char *json = pk_strdupf("{'waitForFailPoint':'failCommand','timesEntered':%d,"
                            "'maxTimeMS':10000}",
                            met);
    run_admin(bed, "admin", json);
}

/* However long questions take, there is no room for more. */
static void stay_patient(struct bed *bed)
{
    mongo_of(bed->store)->gets.slow_ns = INT64_MAX;
}

static void end_faults(struct bed *bed)
{
    run_admin(bed, "admin", "{'configureFailPoint':'failCommand','mode':'off'}");
}

static void fill(struct bed *bed)
{
    struct pk_error err = { 0 };
    struct pk_commit out;
    for (int i = 0; i < CALLERS; i++) {
        PK_CLEANUP(pk_freep) char *note = pk_strdupf("{'_id':'n%02d','slug':'%02d'}", i, i);
        assert_ok(write_one(bed, "notes", note, in_ms(10000), &out, &err), &err);
    }
    assert_ok(write_one(bed, "briefs", "{'_id':'n00','of':'briefs'}", in_ms(10000), &out, &err),
              &err);
    assert_ok(write_one(bed, "briefs",
                        "{'_id':'n01','of':'old','expiresAt':{'$date':'2001-01-01T00:00:00Z'}}",
                        in_ms(10000), &out, &err),
              &err);
}

/* Callers who find all places taken. They read what is there, what is not, and the same twice. */
static void start_crowd(struct bed *bed, struct caller *caller)
{
    for (size_t i = 0; i < CALLERS; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), i % 5 == 4 ? "x%02zu" : "n%02zu", i % 8 == 7 ? i - 1 : i);
        start(&caller[i], bed, "notes", id, 20000);
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
    const int held = hold_finds(&bed, MONGO_GETS_MAX, 500);
    const int64_t before = finds(&bed);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        start(&first[i], &bed, "notes", "n00", 20000);
    }
    await_held(&bed, held);
    start_crowd(&bed, crowd);
    start(&brief[0], &bed, "briefs", "n00", 20000);
    start(&brief[1], &bed, "briefs", "n01", 20000);
    await_waiting(&bed, CALLERS);
    check_crowd(crowd);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        join(&first[i]);
        assert_ok(first[i].is_ok, &first[i].err);
        assert_string_equal(pk_doc_id(first[i].doc), "n00");
        pk_doc_unref(first[i].doc);
    }
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
    const int held = hold_finds(&bed, MONGO_GETS_MAX, 300);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        start(&first[i], &bed, "notes", "n00", 20000);
    }
    await_held(&bed, held);
    start_crowd(&bed, crowd);
    await_waiting(&bed, CALLERS / 2);
    run_admin(&bed, "admin",
              "{'configureFailPoint':'failCommand','mode':{'times':3},'data':{'failCommands':"
              "['find'],'closeConnection':true,'appName':'personakit'}}");
    check_crowd(crowd);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        join(&first[i]);
        assert_ok(first[i].is_ok, &first[i].err);
        pk_doc_unref(first[i].doc);
    }
    end_faults(&bed);
}

TEST(who_waits_for_a_question_leaves_at_his_own_deadline)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller late;
    BED(bed);
    fill(&bed);
    stay_patient(&bed);
    const int held = hold_finds(&bed, MONGO_GETS_MAX + 1, 2000);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        start(&first[i], &bed, "notes", "n00", 20000);
    }
    await_held(&bed, held);
    end_faults(&bed); /* Those that are held stay held. */
    start(&late, &bed, "notes", "n03", 100);
    join(&late);
    assert_true(late.took_ms < 1500);
    pk_doc_unref(late.doc);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        join(&first[i]);
        pk_doc_unref(first[i].doc);
    }
}

TEST(questions_that_take_long_hold_up_nobody_for_long)
{
    struct caller first[MONGO_GETS_MAX];
    struct caller other;
    BED(bed);
    fill(&bed);
    const int held = hold_finds(&bed, MONGO_GETS_MAX, 3000);
    mongo_of(bed.store)->gets.slow_ns = INT64_MAX;
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        start(&first[i], &bed, "notes", "n00", 20000);
    }
    await_held(&bed, held);
    mongo_of(bed.store)->gets.slow_ns = -1; /* They are slow now. */
    start(&other, &bed, "notes", "n03", 20000);
    join(&other);
    assert_ok(other.is_ok, &other.err);
    assert_string_equal(pk_doc_id(other.doc), "n03");
    pk_doc_unref(other.doc);
    assert_true(other.took_ms < 2500);
    for (size_t i = 0; i < MONGO_GETS_MAX; i++) {
        join(&first[i]);
        pk_doc_unref(first[i].doc);
    }
    assert_int_equal(mongo_of(bed.store)->gets.asking, 0);
}
