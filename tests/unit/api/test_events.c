/* test_events.c - Streams of events: each event once, to who may see it, for as long as he may.
 *
 * Everything is real: store, keyring, watcher, sockets. Cases named mongo_...
 * need PK_TEST_MONGODB. */
/* SPDX-License-Identifier: MIT */
#include "events_bed.h"

#include "access/actor.h"
#include "api/event_view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "doc/doc.h"
#include "feed/watch.h"

#include <bson/bson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANNA  "11111111-1111-4111-8111-111111111111"
#define BERT  "22222222-2222-4222-8222-222222222222"
#define CLARA "33333333-3333-4333-8333-333333333333"

#define RUNS_IT "{'grants':['operate'],'people':['*'],'allowedMappers':['*']}"

#define BED(name, ...)                                          \
    PK_CLEANUP(events_bed_done) struct events_bed name = { 0 }; \
    events_bed_open(&name, &(struct events_bed_options){ __VA_ARGS__ })

/* Opens a stream at the present and waits until it stands there. */
static void open_now(struct follow *follow, struct events_bed *bed, const struct caller *caller,
                     const char *headers)
{
    settle(bed);
    follow_open(follow, bed, caller->text, headers, 0);
    follow_expect(follow, "start", "position");
}

static struct pk_events_stats stats_of(struct events_bed *bed)
{
    struct pk_events_stats stats;
    pk_events_stats(bed->events, &stats);
    return stats;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static int number_of(const struct follow *follow)
{
    const char *at = strstr(follow->data, "\"number\":");
    return at ? (int)strtol(at + strlen("\"number\":"), NULL, 10) : -1;
}

/* ---- What is shown ---- */

TEST(an_event_has_this_shape)
{
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "");
    announce(&bed, "mindscape.updated", "mindscape", "m-1", ANNA, "work.focus,mood", 7);
    follow_expect(&follow, "mindscape.updated", "");
    char *occurred = strstr(follow.data, "\"occurredAt\":\"");
    assert_non_null(occurred);
    memset(occurred + strlen("\"occurredAt\":\""), '#', strlen("2026-11-21T07:32:00.123Z"));
    assert_string_equal(
        follow.data,
        "{\"type\":\"mindscape.updated\",\"entityType\":\"mindscape\",\"entityId\":\"m-1\","
        "\"personId\":\"" ANNA "\",\"paths\":[\"work.focus\",\"mood\"],\"version\":7,"
        "\"occurredAt\":\"########################\",\"facts\":{\"number\":7}}");
    assert_int_equal(strncmp(follow.id, pk_store_epoch(bed.store), 36), 0);
}

/* Announces one of each kind; the last one is seen by all. */
static void announce_each(struct events_bed *bed, const char *actor_id)
{
    announce(bed, "mindscape.updated", "mindscape", "m-1", ANNA, "work.focus,mood", 1);
    announce(bed, "mindscape.updated", "mindscape", "m-1", ANNA, "work.focus", 2);
    announce(bed, "mindscape.updated", "mindscape", "m-2", BERT, "mood", 3);
    announce(bed, "actor.updated", "actor", CLARA, NULL, NULL, 4);
    announce(bed, "setting.changed", "setting", "log.level", NULL, NULL, 5);
    announce(bed, "mapper.updated", "mapper", "daily", NULL, NULL, 6);
    announce(bed, "mapper.updated", "mapper", "secret", NULL, NULL, 7);
    announce(bed, "persona.generated", "persona", "daily:" ANNA ":instant", ANNA, NULL, 8);
    announce(bed, "persona.generated", "persona", "secret:" ANNA ":instant", ANNA, NULL, 9);
    announce(bed, "actor.updated", "actor", actor_id, NULL, NULL, 10);
}

static void expect_numbers(struct follow *follow, const int *number, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(follow_next(follow));
        if (number_of(follow) != number[i]) {
            fail_msg("%d was expected: %s %s", number[i], follow->type, follow->data);
        }
    }
}

TEST(three_with_different_rights_see_different_things)
{
    static const int all[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99 };
    static const int some[] = { 1, 6, 8, 99 };
    static const int own[] = { 10, 99 };
    struct caller caller[3];
    struct follow follow[3];
    BED(bed, 0);
    caller_make(&bed, &caller[0], RUNS_IT, 0);
    caller_make(&bed, &caller[1],
                "{'canRequestPersonas':true,'people':['" ANNA "','" CLARA "'],"
                "'allowedMappers':['daily'],'hiddenPaths':['work']}",
                0);
    caller_make(&bed, &caller[2], "{'canRequestPersonas':true,'people':['" CLARA "']}", 0);
    for (size_t i = 0; i < 3; i++) {
        open_now(&follow[i], &bed, &caller[i],
                 "X-Type: m*,persona.*,setting.changed,actor.updated,"
                 "last.one\r\n");
    }
    announce_each(&bed, caller[2].actor_id);
    announce(&bed, "last.one", "mindscape", "m-3", CLARA, NULL, 99);
    expect_numbers(&follow[0], all, PK_COUNT(all));
    assert_true(strstr(follow[0].data, CLARA) != NULL);
    expect_numbers(&follow[1], some, PK_COUNT(some));
    expect_numbers(&follow[2], own, PK_COUNT(own));
    for (size_t i = 0; i < 3; i++) {
        follow_done(&follow[i]);
    }
}

TEST(hidden_paths_are_left_out)
{
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller,
                "{'canRequestPersonas':true,'people':['*'],'hiddenPaths':['work','mood.now']}", 0);
    open_now(&follow, &bed, &caller, "");
    announce(&bed, "mindscape.updated", "mindscape", "m", ANNA, "work.focus,work", 1);
    announce(&bed, "mindscape.updated", "mindscape", "m", ANNA, "mood,work.x,workday,mood.now", 2);
    follow_expect(&follow, "mindscape.updated", "\"paths\":[\"mood\",\"workday\"],\"version\":2");
}

TEST(a_filter_leaves_what_was_asked_for)
{
    static const int anna[] = { 1, 4 };
    static const int types[] = { 2, 3, 4 };
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    PK_CLEANUP(follow_done) struct follow other;
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "X-Person: " ANNA "\r\n");
    open_now(&other, &bed, &caller, "X-Type: b.*,c.d\r\n");
    settle(&bed);
    announce(&bed, "a.b", "mindscape", "m", ANNA, NULL, 1);
    announce(&bed, "b.c", "mindscape", "m", BERT, NULL, 2);
    announce(&bed, "c.de", "thing", "t", NULL, NULL, 9);
    announce(&bed, "c.d", "thing", "t", NULL, NULL, 3);
    announce(&bed, "b.", "mindscape", "m", ANNA, NULL, 4);
    expect_numbers(&follow, anna, PK_COUNT(anna));
    expect_numbers(&other, types, PK_COUNT(types));
}

/* ---- People who turn out to be one ---- */

/* Writes who 'id' is now, as a merge does, and tells of it in the same list. */
static void put_person(struct events_bed *bed, const char *id, const char *into,
                       const char *merged_from, const char *told)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *before = NULL;
    bson_t *bson = bson_new();
    bson_t merges, entry;
    BSON_APPEND_UTF8(bson, "_id", id);
    if (into) {
        BSON_APPEND_UTF8(bson, "mergedInto", into);
    }
    if (merged_from) {
        BSON_APPEND_ARRAY_BEGIN(bson, "merges", &merges);
        BSON_APPEND_DOCUMENT_BEGIN(&merges, "0", &entry);
        BSON_APPEND_UTF8(&entry, "mergeId", "99999999-9999-4999-8999-999999999990");
        BSON_APPEND_UTF8(&entry, "personId", merged_from);
        BSON_APPEND_UTF8(&entry, "status", "merged");
        BSON_APPEND_UTF8(&entry, "mergedBy", "tester");
        BSON_APPEND_DATE_TIME(&entry, "mergedAt", 1);
        BSON_APPEND_UTF8(&entry, "taskId", "99999999-9999-4999-8999-999999999991");
        bson_append_document_end(&merges, &entry);
        bson_append_array_end(bson, &merges);
    }
    BSON_APPEND_DATE_TIME(bson, "createdAt", 1);
    BSON_APPEND_DATE_TIME(bson, "updatedAt", 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(bson);
    assert_ok(pk_store_get(bed->store, "people", id, 0, &before, &bed->err), &bed->err);
    if (before) {
        pk_writes_replace(&list, "people", doc, pk_doc_version(before));
    } else {
        pk_writes_insert(&list, "people", doc);
    }
    if (told) {
        pk_news_add(&list, &bed->books,
                    &(struct pk_news){
                        .type = told, .entity_type = "person", .entity_id = id, .person = id });
    }
    assert_ok(pk_store_commit(bed->store, &list, 0, NULL, &bed->err), &bed->err);
}

/* Whoever follows one of two follows both from the merge on, and until they are parted; live, and
 * when he comes back. */
static void a_stream_follows_merges(bool is_mongo)
{
    char headers[PK_POSITION_TEXT + 128];
    struct caller all, anna;
    struct follow follow[3];
    BED(bed, .is_mongo = is_mongo);
    caller_make(&bed, &all, RUNS_IT, 0);
    caller_make(&bed, &anna, "{'canRequestPersonas':true,'people':['" ANNA "']}", 0);
    put_person(&bed, ANNA, NULL, NULL, NULL);
    put_person(&bed, BERT, NULL, NULL, NULL);
    open_now(&follow[0], &bed, &all, "X-Person: " ANNA "\r\nX-Type: a.b\r\n");
    open_now(&follow[1], &bed, &all, "X-Person: " BERT "\r\nX-Type: a.b\r\n");
    open_now(&follow[2], &bed, &anna, "X-Person: " ANNA "\r\nX-Type: a.b\r\n");
    (void)snprintf(headers, sizeof(headers),
                   "Last-Event-ID: %s\r\nX-Person: " ANNA "\r\nX-Type: a.b\r\n", follow[0].id);
    settle(&bed);
    announce(&bed, "a.b", "mindscape", "m", ANNA, NULL, 1);
    announce(&bed, "a.b", "mindscape", "m", BERT, NULL, 2);
    put_person(&bed, ANNA, BERT, NULL, "person.merge_asked");
    put_person(&bed, BERT, NULL, ANNA, "person.merge_asked");
    announce(&bed, "a.b", "mindscape", "m", ANNA, NULL, 3);
    announce(&bed, "a.b", "mindscape", "m", BERT, NULL, 4);
    expect_numbers(&follow[0], (int[]){ 1, 3, 4 }, 3);
    expect_numbers(&follow[1], (int[]){ 2, 3, 4 }, 3);
    put_person(&bed, ANNA, NULL, NULL, "person.parted");
    announce(&bed, "a.b", "mindscape", "m", BERT, NULL, 5);
    announce(&bed, "a.b", "mindscape", "m", ANNA, NULL, 6);
    announce(&bed, "a.b", "mindscape", "m", BERT, NULL, 7);
    expect_numbers(&follow[0], (int[]){ 6 }, 1);
    expect_numbers(&follow[1], (int[]){ 5, 7 }, 2);
    expect_numbers(&follow[2], (int[]){ 1, 3, 6 }, 3);
    for (size_t i = 0; i < 3; i++) {
        follow_done(&follow[i]);
    }
    follow_open(&follow[0], &bed, all.text, headers, 0);
    expect_numbers(&follow[0], (int[]){ 1, 3, 6 }, 3);
    follow_done(&follow[0]);
}

TEST(a_stream_of_one_person_follows_merges)
{
    a_stream_follows_merges(false);
}

TEST(mongo_a_stream_of_one_person_follows_merges)
{
    a_stream_follows_merges(true);
}

TEST(a_list_of_types_is_checked)
{
    static const char *const good[] = { "a", "a.b", "*", "a.*", "a,b.*,c-d_e", "A1" };
    static const char *const bad[] = { "", ",", "a,", ",a", "a**", "*a", "a b", "a\n", "a.*b" };
    struct pk_event_filter filter;
    struct pk_error err = { 0 };
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        assert_ok(pk_event_filter_init(&filter, good[i], NULL, &err), &err);
        pk_event_filter_done(&filter);
    }
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        assert_false(pk_event_filter_init(&filter, bad[i], NULL, &err));
        assert_int_equal(err.code, PK_INVALID);
        assert_string_equal(err.field, "type");
    }
}

/* ---- Coming back ---- */

static void who_comes_back_goes_on(bool is_mongo)
{
    char headers[PK_POSITION_TEXT + 64];
    struct caller caller;
    struct follow follow;
    BED(bed, .is_mongo = is_mongo);
    caller_make(&bed, &caller, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "");
    (void)snprintf(headers, sizeof(headers), "Last-Event-ID: %s\r\n", follow.id);
    announce_many(&bed, 0, 3);
    expect_numbers(&follow, (int[]){ 0, 1 }, 2);
    follow_done(&follow);
    follow_open(&follow, &bed, caller.text, headers, 0); /* From where it began. */
    expect_numbers(&follow, (int[]){ 0, 1, 2 }, 3);
    (void)snprintf(headers, sizeof(headers), "Last-Event-ID: %s\r\n", follow.id);
    follow_done(&follow);
    announce_many(&bed, 3, 2);
    follow_open(&follow, &bed, caller.text, headers, 0);
    expect_numbers(&follow, (int[]){ 3, 4 }, 2);
    follow_done(&follow);
}

TEST(who_comes_back_goes_on_behind_his_last_event)
{
    who_comes_back_goes_on(false);
}

TEST(mongo_who_comes_back_goes_on_behind_his_last_event)
{
    who_comes_back_goes_on(true);
}

static void a_position_is_checked(bool is_mongo)
{
    static const char *const bad[] = { "nonsense", "99999999-9999-4999-8999-999999999999",
                                       "99999999-9999-4999-8999-999999999999.",
                                       "99999999-9999-4999-8999-999999999999.t1.1", "1.1" };
    char headers[128];
    struct caller caller;
    BED(bed, .is_mongo = is_mongo);
    caller_make(&bed, &caller, RUNS_IT, 0);
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        PK_CLEANUP(follow_done) struct follow follow;
        (void)snprintf(headers, sizeof(headers), "Last-Event-ID: %s\r\n", bad[i]);
        follow_open(&follow, &bed, caller.text, headers, 0);
        assert_false(follow_next(&follow));
        assert_int_equal(follow.status, 400);
    }
}

TEST(a_position_that_is_none_is_refused)
{
    a_position_is_checked(false);
}

TEST(mongo_a_position_that_is_none_is_refused)
{
    a_position_is_checked(true);
}

TEST(a_position_of_another_store_is_a_gap_first)
{
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, 0);
    settle(&bed);
    follow_open(&follow, &bed, caller.text,
                "Last-Event-ID: 99999999-9999-4999-8999-999999999999.1\r\n", 0);
    follow_expect(&follow, "gap", "{\"reason\":\"missed\"}");
    announce_many(&bed, 0, 2);
    expect_numbers(&follow, (int[]){ 0, 1 }, 2);
}

TEST(past_retention_a_gap_comes_first)
{
    char headers[PK_POSITION_TEXT + 64];
    size_t reaped = 0;
    struct caller caller;
    struct follow follow;
    BED(bed, .held = 4);
    caller_make(&bed, &caller, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "");
    (void)snprintf(headers, sizeof(headers), "Last-Event-ID: %s\r\n", follow.id);
    follow_done(&follow);
    bed.books.event_keep_ms = 1;
    struct caller others[4]; /* Whose events are soon past. */
    for (size_t i = 0; i < PK_COUNT(others); i++) {
        caller_make(&bed, &others[i], RUNS_IT, 0);
    }
    while (reaped < 8) {
        size_t count = 0;
        assert_ok(pk_store_reap(bed.store, 100, &count, &bed.err), &bed.err);
        reaped += count;
        nap();
    }
    announce_many(&bed, 0, 6);
    settle(&bed);
    follow_open(&follow, &bed, caller.text, headers, 0);
    follow_expect(&follow, "gap", "missed");
    expect_numbers(&follow, (int[]){ 0, 1, 2, 3, 4, 5 }, 6);
    follow_done(&follow);
}

/* ---- The seam ---- */

enum { WRITTEN = 4000 };

struct writer {
    struct events_bed *bed;
    pthread_t thread;
    _Atomic int written;
};

static void *write_on(void *argument)
{
    struct writer *writer = argument;
    int next = 0;
    while (next < WRITTEN) { /* Lists of many sizes. */
        const int count = 1 + next * 7 % 23;
        announce_many(writer->bed, next, next + count < WRITTEN ? count : WRITTEN - next);
        next += count;
        writer->written = next;
    }
    return NULL;
}

/* Each client reads some events, goes, and comes back with the last id it has seen, while a writer
 * writes and memory holds few: every way from store to memory and back is taken many times. */
static void each_event_comes_once(const struct events_bed_options *options)
{
    enum { CLIENTS = 4 };
    struct caller caller;
    struct follow follow[CLIENTS];
    int next[CLIENTS] = { 0 };
    unsigned round = 0;
    size_t left = CLIENTS;
    char headers[PK_POSITION_TEXT + 64];
    PK_CLEANUP(events_bed_done) struct events_bed bed = { 0 };
    events_bed_open(&bed, options);
    caller_make(&bed, &caller, RUNS_IT, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        open_now(&follow[i], &bed, &caller, "X-Type: thing.*\r\n");
    }
    struct writer writer = { .bed = &bed };
    assert_int_equal(pthread_create(&writer.thread, NULL, write_on, &writer), 0);
    while (left > 0) {
        const size_t i = round++ % CLIENTS;
        if (next[i] == WRITTEN) {
            continue;
        }
        for (int take = 1 + (int)(round * 13 % 150); take > 0 && next[i] < WRITTEN; take--) {
            follow_expect(&follow[i], "thing.made", "");
            if (number_of(&follow[i]) != next[i]) {
                fail_msg("client %zu: %d was expected: %s", i, next[i], follow[i].data);
            }
            next[i]++;
        }
        if (round % 3 == 0) {
            (void)snprintf(headers, sizeof(headers), "X-Type: thing.*\r\nLast-Event-ID: %s\r\n",
                           follow[i].id);
            follow_done(&follow[i]);
            follow_open(&follow[i], &bed, caller.text, headers, 0);
        }
        left -= next[i] == WRITTEN;
    }
    (void)pthread_join(writer.thread, NULL);
    for (size_t i = 0; i < CLIENTS; i++) {
        follow_done(&follow[i]);
    }
}

TEST(each_event_comes_once_while_a_writer_runs)
{
    each_event_comes_once(&(struct events_bed_options){ .held = 32 });
}

TEST(each_event_comes_once_when_memory_holds_all)
{
    each_event_comes_once(&(struct events_bed_options){ .held = 8192 });
}

TEST(mongo_each_event_comes_once_while_a_writer_runs)
{
    each_event_comes_once(&(struct events_bed_options){ .is_mongo = true, .held = 32 });
}

/* ---- Ending ---- */

static int64_t now_ms(void)
{
    return pk_clock_mono_ns(pk_clock_system()) / 1000000;
}

static void a_revoked_key_ends_its_streams(bool is_mongo)
{
    struct caller caller[2];
    struct follow follow[3];
    BED(bed, .is_mongo = is_mongo);
    caller_make(&bed, &caller[0], RUNS_IT, 0);
    caller_make(&bed, &caller[1], RUNS_IT, 0);
    for (size_t i = 0; i < 3; i++) {
        open_now(&follow[i], &bed, &caller[i > 0], "X-Type: thing.*\r\n");
    }
    announce_many(&bed, 0, 1);
    for (size_t i = 0; i < 3; i++) {
        expect_numbers(&follow[i], (int[]){ 0 }, 1);
    }
    const int64_t begun_ms = now_ms();
    assert_ok(pk_actor_revoke_key(&bed.books, &bed.by, caller[1].actor_id, 0, caller[1].key.id,
                                  NULL, &bed.err),
              &bed.err);
    for (size_t i = 1; i < 3; i++) {
        follow_expect(&follow[i], "end", "{\"reason\":\"revoked\"}");
        assert_false(follow_next(&follow[i]));
    }
    print_message("# two streams had ended after %lld ms\n", (long long)(now_ms() - begun_ms));
    announce_many(&bed, 1, 1);
    expect_numbers(&follow[0], (int[]){ 1 }, 1);
    assert_int_equal(stats_of(&bed).revoked, 2);
    for (size_t i = 0; i < 3; i++) {
        follow_done(&follow[i]);
    }
}

TEST(a_revoked_key_ends_its_streams_and_no_others)
{
    a_revoked_key_ends_its_streams(false);
}

TEST(mongo_a_revoked_key_ends_its_streams_and_no_others)
{
    a_revoked_key_ends_its_streams(true);
}

TEST(a_suspended_actor_is_told_nothing_more)
{
    struct caller caller;
    struct caller other; /* Somebody must be able to run the server. */
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, 0);
    caller_make(&bed, &other, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "X-Type: thing.*\r\n");
    assert_ok(
        pk_actor_move(&bed.books, &bed.by, caller.actor_id, 0, PK_ACTOR_SUSPEND, NULL, &bed.err),
        &bed.err);
    announce_many(&bed, 0, 100);
    follow_expect(&follow, "end", "revoked");
}

TEST(an_expired_key_ends_its_stream)
{
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, pk_clock_wall_ms(pk_clock_system()) + 4000);
    open_now(&follow, &bed, &caller, "X-Type: thing.*\r\n");
    follow_expect(&follow, "end", "expired");
}

TEST(changed_rights_hold_from_the_next_event_on)
{
    static const char *const people[] = { "{\"capabilities\":{\"people\":[\"" BERT "\"]}}",
                                          "{\"capabilities\":{\"people\":[\"" ANNA "\"]}}" };
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, "{'canRequestPersonas':true,'people':['" ANNA "']}", 0);
    open_now(&follow, &bed, &caller, "X-Type: a.*\r\n");
    for (int i = 0; i < 20; i++) {
        bson_t wanted;
        assert_true(bson_init_from_json(&wanted, people[i % 2], -1, NULL));
        announce(&bed, "a.b", "mindscape", "m", i % 2 ? BERT : ANNA, NULL, i);
        expect_numbers(&follow, (int[]){ i }, 1);
        assert_ok(pk_actor_change(&bed.books, &bed.by, caller.actor_id, 0, &wanted, NULL, &bed.err),
                  &bed.err);
        bson_destroy(&wanted);
        announce(&bed, "a.b", "mindscape", "m", i % 2 ? BERT : ANNA, NULL, 1000 + i);
    }
}

TEST(who_loses_the_capability_loses_the_stream)
{
    bson_t wanted;
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, "{'canRequestPersonas':true,'people':['*']}", 0);
    open_now(&follow, &bed, &caller, "X-Type: a.*\r\n");
    assert_true(bson_init_from_json(&wanted, "{\"capabilities\":{\"canRequestPersonas\":false}}",
                                    -1, NULL));
    assert_ok(pk_actor_change(&bed.books, &bed.by, caller.actor_id, 0, &wanted, NULL, &bed.err),
              &bed.err);
    bson_destroy(&wanted);
    follow_expect(&follow, "end", "revoked");
}

TEST(a_slow_client_is_cut_and_holds_nobody_up)
{
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow slow;
    PK_CLEANUP(follow_done) struct follow quick;
    int next = 0;
    BED(bed, .held = 1024, .stream_bytes = 64 * 1024);
    caller_make(&bed, &caller, RUNS_IT, 0);
    settle(&bed);
    follow_open(&slow, &bed, caller.text, "X-Type: thing.*\r\n", 4096);
    follow_expect(&slow, "start", "");
    open_now(&quick, &bed, &caller, "X-Type: thing.*\r\n");
    while (stats_of(&bed).slow == 0) {
        assert_true(next < 100000);
        announce_many(&bed, next, 500);
        for (int i = 0; i < 500; i++) {
            follow_expect(&quick, "thing.made", "");
            assert_int_equal(number_of(&quick), next++);
        }
    }
    for (int i = 0; strcmp(slow.type, "end") != 0; i++) { /* What it was sent is in order. */
        assert_true(follow_next(&slow));
        assert_true(strcmp(slow.type, "end") == 0 || number_of(&slow) == i);
    }
    assert_string_equal(slow.data, "{\"reason\":\"slow\"}");
    announce_many(&bed, next, 1);
    follow_expect(&quick, "thing.made", "");
    assert_int_equal(number_of(&quick), next);
}

/* Far more than one buffer, to who reads them as fast as they come. */
TEST(a_long_replay_waits_for_its_client)
{
    char headers[PK_POSITION_TEXT + 64];
    struct caller caller;
    struct follow follow;
    BED(bed, .held = 16, .stream_bytes = 64 * 1024);
    caller_make(&bed, &caller, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "");
    (void)snprintf(headers, sizeof(headers), "X-Type: thing.*\r\nLast-Event-ID: %s\r\n", follow.id);
    follow_done(&follow);
    announce_many(&bed, 0, 10000);
    follow_open(&follow, &bed, caller.text, headers, 0);
    for (int i = 0; i < 10000; i++) {
        follow_expect(&follow, "thing.made", "");
        assert_int_equal(number_of(&follow), i);
    }
    follow_done(&follow);
    assert_int_equal(stats_of(&bed).slow, 0);
}

TEST(clients_that_have_gone_are_forgotten)
{
    struct caller caller;
    struct follow follow[20];
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, 0);
    for (size_t i = 0; i < PK_COUNT(follow); i++) {
        open_now(&follow[i], &bed, &caller, "X-Type: nothing\r\n");
    }
    assert_int_equal(stats_of(&bed).clients, PK_COUNT(follow));
    for (size_t i = 0; i < PK_COUNT(follow); i++) {
        follow_done(&follow[i]);
    }
    const int64_t until_ms = now_ms() + PK_TEST_PATIENCE_MS;
    while (stats_of(&bed).clients > 0) {
        assert_true(now_ms() < until_ms);
        nap();
    }
}

TEST(a_stop_ends_every_stream)
{
    struct caller caller;
    PK_CLEANUP(follow_done) struct follow follow;
    BED(bed, 0);
    caller_make(&bed, &caller, RUNS_IT, 0);
    open_now(&follow, &bed, &caller, "");
    pk_watch_stop(bed.watch);
    pk_events_stop(bed.events);
    follow_expect(&follow, "end", "{\"reason\":\"stopping\"}");
    assert_int_equal(stats_of(&bed).clients, 0);
    follow_done(&follow);
    follow_open(&follow, &bed, caller.text, "", 0); /* Who comes too late. */
    follow_expect(&follow, "start", "");
    follow_expect(&follow, "end", "{\"reason\":\"stopping\"}");
}
