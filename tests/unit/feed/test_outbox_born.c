/* test_outbox_born.c - Tasks that are claimed as they are written.
 *
 * Each case runs on SQLite, and as mongo_... on MongoDB when PK_TEST_MONGODB
 * names a replica set. */
/* SPDX-License-Identifier: MIT */
#include "outbox_bed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* Told of in the list that the case commits, or in that of a claim. */
static void tell_started(void *context, const struct pk_doc *task, struct pk_writes *list)
{
    struct outbox_bed *bed = context;
    pk_news_add(list, &bed->books,
                &(struct pk_news){ .type = "test.started",
                                   .entity_type = "test",
                                   .entity_id = pk_doc_id(task),
                                   .person = PERSON_A });
}

static size_t count_started(struct outbox_bed *bed)
{
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    size_t count = 0;
    assert_ok(pk_store_find(bed->store,
                            &(struct pk_query){ .collection = "events",
                                                .index = "by_user",
                                                .equal = { PK_TEXT(PERSON_A) },
                                                .equal_count = 1,
                                                .limit = 1000 },
                            0, &page, &bed->err),
              &bed->err);
    for (size_t i = 0; i < page.count; i++) {
        count += strcmp(pk_doc_text(page.doc[i], "eventType"), "test.started") == 0;
    }
    return count;
}

static void begin(struct outbox_bed *bed)
{
    bed->is_born = true;
    bed->type[0].started = tell_started;
    bed_work(bed);
}

BOTH(a_task_that_is_born_claimed_costs_no_claim)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT];
    begin(&bed);
    add_task(&bed, &list, PERSON_A, "one", 0, id);
    assert_string_equal(pk_doc_text(list.write[0].doc, "status"), "in_progress");
    assert_string_equal(pk_doc_text(list.write[0].doc, "leaseOwner"), "node-1");
    commit_list(&bed, &list, NULL);
    await_status(&bed, id, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", -1), 1);
    assert_null(pk_doc_text(task, "leaseOwner"));
    assert_int_equal(pk_doc_version(task), list.write[0].version + 1); /* One write more. */
    assert_int_equal(count_effects(&bed, id), 1);
    assert_int_equal(count_started(&bed), 1);
}

BOTH(those_born_claimed_keep_their_persons_order)
{
    BED(bed, engine);
    enum { EACH = 40 };
    char name[16];
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    begin(&bed);
    for (int i = 0; i < EACH; i++) {
        bed.is_born = i % 3 != 1; /* Some wait for a claim among them. */
        (void)snprintf(name, sizeof(name), "%d", i);
        ask(&bed, PERSON_A, name, NULL);
    }
    await_field(&bed, &bed.held, 1);
    assert_int_equal(read_field(&bed, &bed.begun), 1);
    open_gate(&bed);
    await_nothing_open(&bed);
    for (int i = 0; i < EACH; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        assert_string_equal(bed.seen[i], name);
    }
    assert_int_equal(counted(&bed, PERSON_A), EACH);
}

/* One runs, or as many as may when none come in; the others are done all the same. */
TEST(while_none_come_in_more_run_at_the_same_time)
{
    BED(bed, ENGINE_SQLITE);
    bed.options.threads = 1;
    bed.options.threads_quiet = 3;
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    begin(&bed);
    for (int i = 0; i < 5; i++) {
        ask(&bed, NULL, "nobody", NULL);
    }
    await_field(&bed, &bed.held, 3);
    assert_int_equal(read_field(&bed, &bed.begun), 3);
    open_gate(&bed);
    await_nothing_open(&bed);
    assert_int_equal(read_field(&bed, &bed.begun), 5);
}

static bool fail_once(void *context, const struct pk_task *task, struct pk_writes *list,
                      struct pk_error *err)
{
    if (task->attempt == 1) {
        return pk_fail(err, PK_UNAVAILABLE, "try again", "it fails on purpose");
    }
    return effect(context, task, list, err);
}

BOTH(a_failed_attempt_of_one_born_claimed_is_tried_again)
{
    BED(bed, engine);
    char id[PK_UUID_TEXT];
    bed.run = fail_once;
    begin(&bed);
    ask(&bed, PERSON_A, "one", id);
    await_status(&bed, id, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", -1), 2);
    assert_int_equal(count_started(&bed), 1);
}

/* Discarded while it waits behind another one of its person. */
BOTH(one_born_claimed_that_is_discarded_has_no_effect)
{
    BED(bed, engine);
    char first[PK_UUID_TEXT], second[PK_UUID_TEXT], third[PK_UUID_TEXT];
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    begin(&bed);
    ask(&bed, PERSON_A, "first", first);
    ask(&bed, PERSON_A, "second", second);
    ask(&bed, PERSON_A, "third", third);
    await_field(&bed, &bed.held, 1);
    assert_ok(pk_outbox_discard(&bed.books, &bed.by, second, NULL, &bed.err), &bed.err);
    open_gate(&bed);
    await_status(&bed, third, "done");
    assert_int_equal(count_effects(&bed, second), 0);
    assert_int_equal(counted(&bed, PERSON_A), 2);
}

BOTH(a_stop_gives_back_what_was_born_claimed_and_not_begun)
{
    BED(bed, engine);
    char first[PK_UUID_TEXT], second[PK_UUID_TEXT];
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    begin(&bed);
    ask(&bed, PERSON_A, "first", first);
    ask(&bed, PERSON_A, "second", second);
    await_field(&bed, &bed.held, 1);
    struct pk_outbox_stats stats;
    do { /* Until both were heard of. */
        pk_outbox_stats(bed.outbox, &stats);
    } while (stats.waiting + stats.running < 2);
    open_gate(&bed);
    bed_rest(&bed);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, second);
    if (strcmp(pk_doc_text(task, "status"), "done") != 0) { /* The stop came first. */
        assert_string_equal(pk_doc_text(task, "status"), "pending");
        assert_int_equal(pk_doc_int(task, "attempts", -1), 0);
    }
    bed_work(&bed);
    await_nothing_open(&bed);
    assert_int_equal(counted(&bed, PERSON_A), 2);
}

/* Its list was never committed, or its node has ended before it was done. */
BOTH(one_born_claimed_whose_node_is_gone_is_taken_over)
{
    BED(bed, engine);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    char id[PK_UUID_TEXT], other[PK_UUID_TEXT];
    bed.type[0].lease_ms = 600;
    begin(&bed);
    add_task(&bed, &list, PERSON_A, "one", 0, id);
    bed_rest(&bed); /* What it remembers of it is gone. */
    commit_list(&bed, &list, NULL);
    bed.books.node = "node-2";
    bed_work(&bed);
    ask(&bed, PERSON_B, "other", other);
    await_status(&bed, id, "done");
    await_status(&bed, other, "done");
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *task = get_task(&bed, id);
    assert_int_equal(pk_doc_int(task, "attempts", -1), 2);
    assert_int_equal(count_effects(&bed, id), 1);
}

TEST(beside_other_nodes_only_so_many_are_born_claimed)
{
    BED(bed, ENGINE_MONGO);
    enum { MANY = 600 };
    bed.run = effect_behind_gate;
    bed.is_gate_shut = true;
    begin(&bed);
    for (int i = 0; i < MANY / 100; i++) {
        PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
        for (int k = 0; k < 100; k++) {
            add_task(&bed, &list, PERSON_A, "x", 0, NULL);
        }
        commit_list(&bed, &list, NULL);
    }
    assert_true(count_status(&bed, "pending") >= MANY - 512 - 1);
    open_gate(&bed);
    await_nothing_open(&bed);
    assert_int_equal(counted(&bed, PERSON_A), MANY);
}

TEST(what_is_asked_for_later_or_of_nobody_known_is_not_born_claimed)
{
    BED(bed, ENGINE_SQLITE);
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    begin(&bed);
    add_task(&bed, &list, PERSON_A, "later", pk_clock_wall_ms(pk_clock_system()) + 60000, NULL);
    pk_task_add(&list, &bed.books, &(struct pk_task_new){ .type = "unknown", .outbox = bed.outbox },
                NULL);
    for (size_t i = 0; i < list.count; i++) {
        if (list.write[i].collection && strcmp(list.write[i].collection, "outbox") == 0) {
            assert_string_equal(pk_doc_text(list.write[i].doc, "status"), "pending");
            assert_int_equal(pk_doc_int(list.write[i].doc, "attempts", -1), 0);
        }
    }
}
