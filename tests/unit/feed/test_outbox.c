/* test_outbox.c - Work that is done later, and its effect once.
 *
 * Each case runs on SQLite, and as mongo_... on MongoDB when PK_TEST_MONGODB
 * names a replica set. */
/* SPDX-License-Identifier: MIT */
#include "outbox_bed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "store/store.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- From task to effect ---- */

BOTH(a_task_is_done_once_and_says_so)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed_work(&bed);
    ask(&bed, PERSON_A, "one", id);
    await_status(&bed, id, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", -1), 1);
    assert_string_equal(pk_doc_text(task, "userId"), PERSON_A);
    assert_string_equal(pk_doc_text(task, "actorId"), ACTOR);
    assert_true(pk_doc_date(task, "completedAt", 0) > 0);
    assert_true(pk_doc_date(task, "expiresAt", 0) > pk_doc_date(task, "completedAt", 0));
    assert_null(pk_doc_text(task, "leaseOwner"));
    assert_int_equal(count_effects(&bed, id), 1);
    assert_int_equal(counted(&bed, PERSON_A), 1);
}

BOTH(what_waited_before_the_start_is_done)
{
    BED(bed, engine);
    for (int i = 0; i < 20; i++) {
        ask(&bed, i % 2 ? PERSON_A : NULL, "early", NULL);
    }
    bed_work(&bed);
    await_nothing_open(&bed);
    assert_int_equal(count_effects(&bed, NULL), 20);
    assert_int_equal(counted(&bed, PERSON_A), 10);
}

/* Each waits so long as 'before' is what it reads: an overtaking shows in the numbers. */
BOTH(tasks_of_a_person_run_in_the_order_they_were_written)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char name[16];
    for (int i = 0; i < 40; i++) { /* In one list: within the same millisecond. */
        (void)snprintf(name, sizeof(name), "%d", i);
        add_task(&bed, &list, PERSON_A, name, 0, NULL);
    }
    commit_list(&bed, &list, NULL);
    bed_work(&bed);
    for (int i = 40; i < 80; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        ask(&bed, PERSON_A, name, NULL);
    }
    await_nothing_open(&bed);
    assert_int_equal(bed.begun, 80);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(atoi(bed.seen[i]), i);
    }
}

BOTH(tasks_of_different_people_run_at_the_same_time)
{
    BED(bed, engine);
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed_work(&bed);
    ask(&bed, PERSON_A, "a", NULL);
    ask(&bed, PERSON_A, "a2", NULL);
    ask(&bed, PERSON_B, "b", NULL);
    ask(&bed, NULL, "nobody", NULL);
    ask(&bed, NULL, "nobody", NULL);
    await_field(&bed, &bed.held, 4);
    assert_int_equal(read_field(&bed, &bed.begun), 4);
    open_gate(&bed);
    await_nothing_open(&bed);
    assert_int_equal(counted(&bed, PERSON_A), 2);
}

BOTH(a_task_waits_for_its_time_and_holds_nobody_up)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char later[PK_UUID_TEXT];
    char now[PK_UUID_TEXT];
    const int64_t due_ms = pk_clock_wall_ms(pk_clock_system()) + 3000;
    bed_work(&bed);
    add_task(&bed, &list, PERSON_A, "later", due_ms, later);
    commit_list(&bed, &list, NULL);
    ask(&bed, PERSON_A, "now", now);
    await_status(&bed, later, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, later);
    assert_true(pk_doc_date(task, "completedAt", 0) >= due_ms);
    assert_string_equal(bed.seen[0], "now");
    assert_string_equal(bed.seen[1], "later");
}

/* Until the workers have counted what they committed. */
static void bed_idle(struct outbox_bed *bed, struct pk_outbox_stats *out)
{
    const int64_t until_ns = pk_deadline_in_ms(pk_clock_system(), PK_TEST_PATIENCE_MS);
    do {
        pk_outbox_stats(bed->outbox, out);
        assert_false(pk_deadline_passed(pk_clock_system(), until_ns));
        (void)sched_yield();
    } while (out->waiting + out->running > 0);
}

/* ---- Failing ---- */

static bool fail_first(void *context, const struct pk_task *task, struct pk_writes *list,
                       struct pk_error *err)
{
    struct outbox_bed *bed = context;
    if (strcmp(task_name(task), "bad") == 0 && task->attempt <= bed->failures) {
        return pk_fail(err, bed->code, "look at the case", "it failed for the %lldth time",
                       (long long)task->attempt);
    }
    return effect(context, task, list, err);
}

BOTH(an_attempt_that_fails_is_made_again_and_those_behind_it_wait)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = fail_first;
    bed.code = PK_UNAVAILABLE;
    bed.failures = 2;
    ask(&bed, PERSON_A, "bad", id);
    ask(&bed, PERSON_A, "good", NULL);
    bed_work(&bed);
    await_nothing_open(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_string_equal(pk_doc_text(task, "status"), "done");
    assert_int_equal(pk_doc_int(task, "attempts", 0), 3);
    assert_non_null(strstr(pk_doc_text(task, "lastError"), "unavailable: it failed for the 2th"));
    assert_int_equal(bed.begun, 4);
    assert_string_equal(bed.seen[3], "good");
    struct pk_outbox_stats stats;
    bed_idle(&bed, &stats);
    assert_int_equal(stats.retried, 2);
    assert_int_equal(stats.done, 2);
}

BOTH(after_its_last_attempt_a_task_has_failed_and_those_behind_it_go_on)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    char next[PK_UUID_TEXT];
    bed.run = fail_first;
    bed.code = PK_UNAVAILABLE;
    bed.failures = 100;
    ask(&bed, PERSON_A, "bad", id);
    ask(&bed, PERSON_A, "good", next);
    bed_work(&bed);
    await_status(&bed, id, "failed");
    await_status(&bed, next, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", 0), 3);
    assert_int_equal(pk_doc_date(task, "expiresAt", 0), 0);
    assert_true(pk_doc_date(task, "completedAt", 0) > 0);
    assert_int_equal(bed.failed, 1);
    assert_int_equal(count_effects(&bed, id), 1); /* What the hook wrote. */
    assert_int_equal(counted(&bed, PERSON_A), 1);
}

BOTH(an_error_that_no_repetition_cures_fails_at_once)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = fail_first;
    bed.code = PK_INVALID;
    bed.failures = 100;
    bed_work(&bed);
    ask(&bed, PERSON_A, "bad", id);
    await_status(&bed, id, "failed");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", 0), 1);
    assert_non_null(strstr(pk_doc_text(task, "lastError"), "look at the case"));
}

/* A list that the store refuses is an attempt that has failed. */
static bool write_nonsense(void *context, const struct pk_task *task, struct pk_writes *list,
                           struct pk_error *err)
{
    (void)context;
    (void)task;
    (void)err;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *doc = pk_doc_take(BCON_NEW("_id", BCON_UTF8("x")));
    pk_writes_insert(list, "nowhere", doc);
    return true;
}

BOTH(what_the_store_refuses_fails_the_task)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = write_nonsense;
    bed_work(&bed);
    ask(&bed, NULL, "x", id);
    await_status(&bed, id, "failed");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_non_null(strstr(pk_doc_text(task, "lastError"), "nowhere"));
}

/* ---- Conflicts ---- */

static bool be_interrupted(void *context, const struct pk_task *task, struct pk_writes *list,
                           struct pk_error *err)
{
    struct outbox_bed *bed = context;
    if (!effect(context, task, list, err)) {
        return false;
    }
    if (read_field(bed, &bed->begun) <= 3) { /* Somebody else changes what it has read. */
        PK_CLEANUP(pk_writes_done) struct pk_writes other = { 0 };
        return effect(context, task, &other, err) &&
               pk_store_commit(bed->store, &other, 0, NULL, err);
    }
    return true;
}

BOTH(a_conflict_has_the_handler_decide_again)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = be_interrupted;
    bed_work(&bed);
    ask(&bed, PERSON_A, "x", id);
    await_status(&bed, id, "done");
    assert_int_equal(counted(&bed, PERSON_A), 4); /* Three by others, one by the task. */
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", 0), 1);
}

/* As another node does that believes the lease to be over. */
static void steal(struct outbox_bed *bed, const char *id)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(bed, id);
    bson_t view;
    bson_t *bson = bson_new();
    pk_doc_view(task, &view);
    bson_copy_to_excluding_noinit(&view, bson, "leaseOwner", "leaseUntil", NULL);
    BSON_APPEND_UTF8(bson, "leaseOwner", "node-2");
    BSON_APPEND_DATE_TIME(bson, "leaseUntil", pk_clock_wall_ms(pk_clock_system()) + 300);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *stolen = pk_doc_take(bson);
    pk_writes_replace(&list, "outbox", stolen, pk_doc_version(task));
    commit_list(bed, &list, NULL);
}

BOTH(who_has_lost_its_lease_writes_nothing)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed_work(&bed);
    ask(&bed, PERSON_A, "x", id);
    await_field(&bed, &bed.held, 1);
    steal(&bed, id);
    open_gate(&bed);
    await_status(&bed, id, "done"); /* Once the thief's lease is over. */
    assert_true(read_field(&bed, &bed.begun) == 2);
    assert_int_equal(counted(&bed, PERSON_A), 1);
    assert_int_equal(count_effects(&bed, id), 1);
}

/* ---- Nodes that die, and nodes that stop ---- */

/* A claim of a node that is no more, made by hand. */
static void leave_behind(struct outbox_bed *bed, const char *id, int64_t lease_ms, int64_t attempts)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(bed, id);
    bson_t view;
    bson_t *bson = bson_new();
    pk_doc_view(task, &view);
    bson_copy_to_excluding_noinit(&view, bson, "status", "attempts", NULL);
    BSON_APPEND_UTF8(bson, "status", "in_progress");
    BSON_APPEND_INT64(bson, "attempts", attempts);
    BSON_APPEND_UTF8(bson, "leaseOwner", "node-0");
    BSON_APPEND_DATE_TIME(bson, "leaseUntil", pk_clock_wall_ms(pk_clock_system()) + lease_ms);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *left = pk_doc_take(bson);
    pk_writes_replace(&list, "outbox", left, pk_doc_version(task));
    commit_list(bed, &list, NULL);
}

BOTH(the_task_of_a_dead_node_is_taken_over_and_holds_its_line)
{
    BED(bed, engine);
    char orphan[PK_UUID_TEXT];
    char next[PK_UUID_TEXT];
    ask(&bed, PERSON_A, "orphan", orphan);
    ask(&bed, PERSON_A, "next", next);
    leave_behind(&bed, orphan, 1500, 1);
    bed_work(&bed);
    await_status(&bed, next, "done");
    assert_string_equal(bed.seen[0], "orphan");
    assert_string_equal(bed.seen[1], "next");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, orphan);
    assert_int_equal(pk_doc_int(task, "attempts", 0), 2);
    struct pk_outbox_stats stats;
    bed_idle(&bed, &stats);
    assert_int_equal(stats.lost, 1);
}

BOTH(a_task_that_ends_its_node_each_time_fails_in_the_end)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    ask(&bed, PERSON_A, "killer", id);
    leave_behind(&bed, id, 0, 3);
    bed_work(&bed);
    await_status(&bed, id, "failed");
    assert_int_equal(bed.begun, 0);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_non_null(strstr(pk_doc_text(task, "lastError"), "the server ended each"));
}

BOTH(a_sweep_finds_what_nobody_told_of)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT];
    bed.options.sweep_ms = 50;
    bed_work(&bed);
    pk_task_add(&list, &bed.books, &(struct pk_task_new){ .type = "work", .person = PERSON_A }, id);
    commit_list(&bed, &list, NULL);
    await_status(&bed, id, "done");
}

/* What is under way when the stop comes. */
static bool effect_at_the_stop(void *context, const struct pk_task *task, struct pk_writes *list,
                               struct pk_error *err)
{
    struct outbox_bed *bed = context;
    bool is_waiting;
    (void)pthread_mutex_lock(&bed->lock);
    bed->held++;
    is_waiting = bed->is_gate_shut;
    (void)pthread_mutex_unlock(&bed->lock);
    while (is_waiting && !pk_task_should_stop(task)) {
        (void)sched_yield();
    }
    return effect(context, task, list, err);
}

BOTH(a_stop_ends_what_is_under_way_and_gives_back_what_is_not)
{
    BED(bed, engine);
    bed.run = effect_at_the_stop;
    bed.is_gate_shut = true;
    bed_work(&bed);
    for (int i = 0; i < 40; i++) {
        ask(&bed, NULL, "x", NULL);
    }
    await_field(&bed, &bed.held, 4);
    bed_rest(&bed);
    open_gate(&bed);
    assert_int_equal(count_status(&bed, "in_progress"), 0);
    const size_t done = count_status(&bed, "done");
    assert_int_equal(done, 4);
    assert_int_equal(count_effects(&bed, NULL), done);
    bed_work(&bed);
    await_nothing_open(&bed);
    assert_int_equal(count_effects(&bed, NULL), 40);
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_outbox_filter filter = { .status = "done" };
    assert_ok(pk_outbox_list(&bed.books, &filter, 100, NULL, &page, &bed.err), &bed.err);
    for (size_t i = 0; i < page.count; i++) {
        assert_int_equal(pk_doc_int(page.doc[i], "attempts", 0), 1);
    }
}

static bool leave_at_the_stop(void *context, const struct pk_task *task, struct pk_writes *list,
                              struct pk_error *err)
{
    return effect_at_the_stop(context, task, list, err) &&
           pk_fail(err, PK_BUSY, "start the server again", "the server stops");
}

BOTH(long_work_that_ends_at_a_stop_has_not_used_an_attempt)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = leave_at_the_stop;
    bed.is_gate_shut = true;
    bed.type[0].attempts_max = 1;
    bed_work(&bed);
    ask(&bed, PERSON_A, "long", id);
    await_field(&bed, &bed.held, 1);
    bed_rest(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_string_equal(pk_doc_text(task, "status"), "pending");
    assert_int_equal(pk_doc_int(task, "attempts", -1), 0);
    assert_null(pk_doc_text(task, "lastError"));
    bed.run = effect;
    bed_work(&bed);
    await_status(&bed, id, "done");
}

/* The row of the feed names another person than the task does: it keeps the task's order. */
BOTH(a_task_is_its_persons_whatever_its_row_says)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT];
    bed_work(&bed);
    pk_task_add(&list, &bed.books, &(struct pk_task_new){ .type = "work", .person = PERSON_A }, id);
    pk_news_add(&list, &bed.books,
                &(struct pk_news){ .type = "test.asked",
                                   .entity_type = "test",
                                   .entity_id = id,
                                   .person = PERSON_B,
                                   .fact = (const struct pk_fact[]){ { "taskId", id }, { 0 } } });
    commit_list(&bed, &list, NULL);
    await_status(&bed, id, "done");
    assert_int_equal(counted(&bed, PERSON_A), 1);
}

/* A claim that has waited for a thread is renewed, not spent. */
BOTH(a_claim_that_waited_long_is_renewed)
{
    BED(bed, engine);
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed.options.threads = 1;
    bed.type[0].lease_ms = 300;
    bed.type[0].attempts_max = 1;
    char first[PK_UUID_TEXT];
    char second[PK_UUID_TEXT];
    ask(&bed, PERSON_A, "first", first);
    ask(&bed, PERSON_B, "second", second);
    bed_work(&bed);
    await_field(&bed, &bed.held, 1);
    await_status(&bed, first, "in_progress");
    await_status(&bed, second, "in_progress");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, second);
    while (pk_clock_wall_ms(pk_clock_system()) < pk_doc_date(task, "leaseUntil", 0)) {
        (void)sched_yield();
    }
    open_gate(&bed);
    await_status(&bed, second, "done");
    assert_int_equal(counted(&bed, PERSON_B), 1);
}

/* ---- Many ---- */

/* Two that know nothing of each other, on one store: leases or none, each effect is there once. */
BOTH(two_at_work_do_each_task_once)
{
    BED(bed, engine);
    struct pk_books other_books = bed.books;
    struct pk_outbox_options other_options = bed.options;
    enum { PEOPLE = 10, EACH = 15 };
    char person[PEOPLE][PK_UUID_TEXT];
    for (int i = 0; i < PEOPLE; i++) {
        pk_uuid_new(person[i]);
    }
    other_books.node = "node-2";
    other_options.books = &other_books;
    other_options.sweep_ms = 50;
    struct pk_outbox *other = pk_outbox_new(&other_options);
    bed_work(&bed);
    assert_ok(pk_outbox_start(other, &bed.err), &bed.err);
    for (int i = 0; i < PEOPLE * EACH; i++) {
        ask(&bed, person[i % PEOPLE], "x", NULL);
    }
    await_nothing_open(&bed);
    pk_outbox_free(other);
    for (int i = 0; i < PEOPLE; i++) {
        assert_int_equal(counted(&bed, person[i]), EACH);
    }
    assert_int_equal(count_effects(&bed, NULL), PEOPLE * EACH);
}

BOTH(no_more_of_a_type_run_than_it_allows)
{
    BED(bed, engine);
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed.type[0].running_max = 2;
    for (int i = 0; i < 12; i++) {
        ask(&bed, NULL, "x", NULL);
    }
    bed_work(&bed);
    await_field(&bed, &bed.held, 2);
    assert_int_equal(count_status(&bed, "in_progress"), 2);
    open_gate(&bed);
    await_nothing_open(&bed);
    assert_int_equal(count_effects(&bed, NULL), 12);
}

/* ---- Long work ---- */

static bool work_long(void *context, const struct pk_task *task, struct pk_writes *list,
                      struct pk_error *err)
{
    return pk_task_progress(task, 0.25, err) && pk_task_progress(task, 0.5, err) &&
           effect_behind_gate(context, task, list, err);
}

BOTH(long_work_says_how_far_it_is_and_keeps_its_lease)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = work_long;
    bed.is_gate_shut = true;
    bed_work(&bed);
    ask(&bed, NULL, "x", id);
    await_field(&bed, &bed.held, 1);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_true(pk_doc_number(task, "progress", 0) == 0.5);
    assert_string_equal(pk_doc_text(task, "leaseOwner"), "node-1");
    open_gate(&bed);
    await_status(&bed, id, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = get_task(&bed, id);
    assert_true(pk_doc_number(after, "progress", 0) == 1);
}

static bool wait_then_say(void *context, const struct pk_task *task, struct pk_writes *list,
                          struct pk_error *err)
{
    struct outbox_bed *bed = context;
    if (!effect_behind_gate(context, task, list, err)) {
        return false;
    }
    const bool ok = pk_task_progress(task, 0.5, err);
    bed->code = err->code;
    return ok;
}

BOTH(a_discarded_task_loses_its_lease_and_those_who_wait_are_woken)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = wait_then_say;
    bed.is_gate_shut = true;
    bed_work(&bed);
    ask(&bed, PERSON_A, "x", id);
    await_field(&bed, &bed.held, 1);
    assert_ok(pk_outbox_wait(bed.outbox, id, wake_bed, &bed, &bed.err), &bed.err);
    assert_ok(pk_outbox_discard(&bed.books, &bed.by, id, NULL, &bed.err), &bed.err);
    await_field(&bed, &bed.woken, 1);
    open_gate(&bed);
    bed_rest(&bed);
    assert_int_equal(bed.code, PK_CONFLICT);
    assert_int_equal(count_effects(&bed, id), 0);
    await_status(&bed, id, "discarded");
}

/* ---- Waiting ---- */

BOTH(who_waits_for_a_task_is_woken_when_it_has_ended)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed_work(&bed);
    ask(&bed, PERSON_A, "x", id);
    assert_ok(pk_outbox_wait(bed.outbox, id, wake_bed, &bed, &bed.err), &bed.err);
    await_field(&bed, &bed.held, 1);
    assert_int_equal(read_field(&bed, &bed.woken), 0);
    open_gate(&bed);
    await_field(&bed, &bed.woken, 1);
    assert_int_equal(count_effects(&bed, id), 1);
    /* Long ended, and never there. */
    assert_ok(pk_outbox_wait(bed.outbox, id, wake_bed, &bed, &bed.err), &bed.err);
    await_field(&bed, &bed.woken, 2);
    assert_ok(pk_outbox_wait(bed.outbox, PERSON_B, wake_bed, &bed, &bed.err), &bed.err);
    await_field(&bed, &bed.woken, 3);
}

/* What is remembered of a person grows old before anybody reads on. */
struct order {
    atomic_int told;       /* Ends of PERSON_A's tasks. */
    atomic_int woken_with; /* 'told' when he who waits was woken; -1: not yet. */
};

static void note_ended(void *context, const char *person)
{
    struct order *order = context;
    assert_string_equal(person, PERSON_A);
    order->told++;
}

static void note_woken(void *context)
{
    struct order *order = context;
    order->woken_with = order->told;
}

BOTH(the_end_of_a_task_is_told_before_anybody_is_woken)
{
    BED(bed, engine);
    struct order order = { .woken_with = -1 };
    char id[PK_UUID_TEXT];
    bed.options.ended = note_ended;
    bed.options.context = &order;
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed_work(&bed);
    ask(&bed, PERSON_A, "x", id);
    assert_ok(pk_outbox_wait(bed.outbox, id, note_woken, &order, &bed.err), &bed.err);
    await_field(&bed, &bed.held, 1);
    assert_int_equal(order.told, 0);
    open_gate(&bed);
    await_status(&bed, id, "done");
    bed_rest(&bed);
    assert_int_equal(order.told, 1);
    assert_int_equal(order.woken_with, 1);
}

BOTH(who_waits_for_a_person_waits_for_all_that_is_pending_now)
{
    BED(bed, engine);
    struct pk_commit commit;
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bool has_passed = false;
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    bed_work(&bed);
    add_task(&bed, &list, PERSON_A, "1", 0, NULL);
    add_task(&bed, &list, PERSON_A, "2", 0, NULL);
    add_task(&bed, &list, PERSON_A, "3", 0, NULL);
    add_task(&bed, &list, PERSON_A, "much later", pk_clock_wall_ms(pk_clock_system()) + 3600 * 1000,
             NULL);
    commit_list(&bed, &list, &commit);
    assert_ok(pk_watch_wait(bed.watch, commit.cursor, wake_bed, &bed, &bed.err), &bed.err);
    await_field(&bed, &bed.woken, 1);
    assert_ok(pk_watch_has_passed(bed.watch, commit.cursor, &has_passed, &bed.err), &bed.err);
    assert_true(has_passed);
    assert_ok(pk_outbox_wait_person(bed.outbox, PERSON_A, wake_bed, &bed, &bed.err), &bed.err);
    await_field(&bed, &bed.held, 1);
    assert_int_equal(read_field(&bed, &bed.woken), 1);
    open_gate(&bed);
    await_field(&bed, &bed.woken, 2);
    assert_int_equal(counted(&bed, PERSON_A), 3);
    assert_ok(pk_outbox_wait_person(bed.outbox, PERSON_B, wake_bed, &bed, &bed.err), &bed.err);
    await_field(&bed, &bed.woken, 3);
}

BOTH(a_stop_wakes_those_who_wait)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT];
    bed_work(&bed);
    add_task(&bed, &list, NULL, "x", pk_clock_wall_ms(pk_clock_system()) + 3600 * 1000, id);
    commit_list(&bed, &list, NULL);
    assert_ok(pk_outbox_wait(bed.outbox, id, wake_bed, &bed, &bed.err), &bed.err);
    bed_rest(&bed);
    assert_int_equal(bed.woken, 1);
}

/* ---- For people ---- */

BOTH(a_failed_task_is_listed_and_tried_again)
{
    BED(bed, engine);
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    char id[PK_UUID_TEXT];
    bed.run = fail_first;
    bed.code = PK_REFUSED;
    bed.failures = 100;
    bed_work(&bed);
    ask(&bed, PERSON_A, "bad", id);
    await_status(&bed, id, "failed");
    const struct pk_outbox_filter filter = { .status = "failed", .type = "work" };
    assert_ok(pk_outbox_list(&bed.books, &filter, 10, NULL, &page, &bed.err), &bed.err);
    assert_int_equal(page.count, 1);
    assert_string_equal(pk_doc_id(page.doc[0]), id);
    bed.failures = 0;
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = NULL;
    assert_ok(pk_outbox_retry(&bed.books, &bed.by, id, &after, &bed.err), &bed.err);
    assert_string_equal(pk_doc_text(after, "status"), "pending");
    assert_int_equal(pk_doc_int(after, "attempts", -1), 0);
    await_status(&bed, id, "done");
    assert_int_equal(counted(&bed, PERSON_A), 1);
    assert_false(pk_outbox_retry(&bed.books, &bed.by, id, NULL, &bed.err));
    assert_int_equal(bed.err.code, PK_CONFLICT);
    assert_false(pk_outbox_discard(&bed.books, &bed.by, id, NULL, &bed.err));
    assert_int_equal(bed.err.code, PK_CONFLICT);
    assert_false(pk_outbox_retry(&bed.books, &bed.by, PERSON_B, NULL, &bed.err));
    assert_int_equal(bed.err.code, PK_NOT_FOUND);
}

BOTH(a_discarded_task_frees_those_behind_it_and_is_audited)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    char next[PK_UUID_TEXT];
    bed.run = fail_first;
    bed.code = PK_BUSY;
    bed.failures = 100;
    bed.options.backoff_ms = bed.options.backoff_max_ms = 3600 * 1000;
    bed_work(&bed);
    ask(&bed, PERSON_A, "bad", id);
    ask(&bed, PERSON_A, "good", next);
    await_field(&bed, &bed.begun, 1);
    await_status(&bed, id, "pending");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *after = NULL;
    assert_ok(pk_outbox_discard(&bed.books, &bed.by, id, &after, &bed.err), &bed.err);
    assert_string_equal(pk_doc_text(after, "status"), "discarded");
    await_status(&bed, next, "done");
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    assert_ok(pk_store_find(bed.store, &(struct pk_query){ .collection = "audit", .index = "_id" },
                            0, &page, &bed.err),
              &bed.err);
    assert_int_equal(page.count, 1);
    assert_string_equal(pk_doc_text(page.doc[0], "action"), "task.discarded");
    assert_string_equal(pk_doc_text(page.doc[0], "targetId"), id);
    assert_null(strstr((const char *)pk_doc_text(page.doc[0], "userHash"), PERSON_A));
}

BOTH(lists_are_by_person_and_in_pages)
{
    BED(bed, engine);
    for (int i = 0; i < 5; i++) {
        ask(&bed, PERSON_A, "x", NULL);
        ask(&bed, PERSON_B, "x", NULL);
    }
    const struct pk_outbox_filter filter = { .person = PERSON_A };
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    size_t count = 0;
    for (int pages = 0; pages == 0 || cursor; pages++) {
        PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
        assert_ok(pk_outbox_list(&bed.books, &filter, 2, cursor, &page, &bed.err), &bed.err);
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
        for (size_t i = 0; i < page.count; i++) {
            assert_string_equal(pk_doc_text(page.doc[i], "userId"), PERSON_A);
        }
        count += page.count;
    }
    assert_int_equal(count, 5);
}

/* MongoDB: the stream is lost, and with it what was told meanwhile. */
TEST(mongo_after_a_gap_everything_that_waits_is_found)
{
    BED(bed, ENGINE_MONGO);
    struct bed feed = { .url = bed.url, .is_mongo = true };
    char id[PK_UUID_TEXT];
    bed_work(&bed);
    ask(&bed, PERSON_A, "1", id);
    await_status(&bed, id, "done");
    drop_feed(&feed);
    ask(&bed, PERSON_A, "2", id);
    await_status(&bed, id, "done");
    assert_int_equal(counted(&bed, PERSON_A), 2);
}
