/* test_outbox_lines.c - Lines of people, against a model that only knows the rules.
 *
 * Random adds, takes, ends, rests and leaves, under a clock that the case
 * moves: nobody is taken twice or before those in front of him, two of one
 * person never at the same time, and in the end everybody was taken. */
/* SPDX-License-Identifier: MIT */
#include "feed/outbox_lines.h"

#include "feed/outbox_waits.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { PEOPLE = 7, TASKS = 400, HELD_MAX = 8, STEPS = 20000 };

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void name_task(char out[PK_UUID_TEXT], size_t number)
{
    (void)snprintf(out, PK_UUID_TEXT, "task-%06zu", number);
}

/* What the model knows of a task. */
struct known {
    size_t person; /* PEOPLE: nobody's. */
    int64_t created_ms;
    bool is_open, is_held, was_left; /* was_left: it has gone to the end of its line. */
};
struct model {
    struct pk_lines lines;
    struct known known[TASKS];
    size_t count, open;
    struct pk_entry *held[HELD_MAX];
    size_t held_count;
    int64_t now_ms;
    uint64_t seed;
};

static size_t number_of(const struct pk_entry *entry)
{
    size_t number = TASKS;
    assert_int_equal(sscanf(entry->id, "task-%zu", &number), 1);
    return number;
}

static void add(struct model *model)
{
    char id[PK_UUID_TEXT];
    char person[PK_UUID_TEXT];
    struct known *known = &model->known[model->count];
    *known = (struct known){ .person = draw(&model->seed) % (PEOPLE + 1),
                             .created_ms = (int64_t)(model->count / 3),
                             .is_open = true };
    name_task(id, model->count++);
    (void)snprintf(person, sizeof(person), "person-%zu", known->person);
    assert_null(pk_lines_find(&model->lines, id));
    (void)pk_lines_add(
        &model->lines,
        &(struct pk_entry_new){ .id = id,
                                .person = known->person == PEOPLE ? NULL : person,
                                .created_ms = known->created_ms,
                                .wake_ms = draw(&model->seed) % 4 ? 0 : model->now_ms + 20,
                                .is_inserted = draw(&model->seed) % 2 == 0 },
        model->now_ms);
    model->open++;
}

/* Nobody of the same person is held, and nobody who is older stands in the line. */
static void check_taken(const struct model *model, size_t number)
{
    const struct known *taken = &model->known[number];
    assert_true(taken->is_open && !taken->is_held);
    for (size_t i = 0; i < model->count && taken->person != PEOPLE; i++) {
        const struct known *other = &model->known[i];
        if (i != number && other->person == taken->person && other->is_open) {
            assert_false(other->is_held);
            /* They were added in order, so a smaller number is older; who has left stands behind.
             */
            assert_true(i > number || other->was_left || taken->was_left);
        }
    }
}

static void take(struct model *model)
{
    struct pk_entry *entry = model->held_count < HELD_MAX ? pk_lines_take(&model->lines) : NULL;
    if (entry) {
        const size_t number = number_of(entry);
        check_taken(model, number);
        model->known[number].is_held = true;
        model->held[model->held_count++] = entry;
    }
}

static void let_go(struct model *model, bool must_end)
{
    if (model->held_count == 0) {
        return;
    }
    const size_t at = draw(&model->seed) % model->held_count;
    struct pk_entry *entry = model->held[at];
    struct known *known = &model->known[number_of(entry)];
    const int64_t wake_ms = model->now_ms + (int64_t)(draw(&model->seed) % 30);
    model->held[at] = model->held[--model->held_count];
    known->is_held = false;
    switch (must_end ? 0 : draw(&model->seed) % 4) {
    case 1:
        pk_lines_rest(&model->lines, entry, wake_ms, model->now_ms);
        break;
    case 2:
        known->was_left = true;
        pk_lines_leave(&model->lines, entry, wake_ms, model->now_ms);
        break;
    default:
        known->is_open = false;
        model->open--;
        pk_lines_end(&model->lines, entry, model->now_ms);
        break;
    }
}

static void step(struct model *model)
{
    char id[PK_UUID_TEXT];
    struct pk_entry *entry;
    switch (draw(&model->seed) % 6) {
    case 0:
        if (model->count < TASKS) {
            add(model);
        }
        break;
    case 1:
        model->now_ms += (int64_t)(draw(&model->seed) % 10);
        (void)pk_lines_tick(&model->lines, model->now_ms);
        break;
    case 2:
        name_task(id, draw(&model->seed) % TASKS);
        entry = pk_lines_find(&model->lines, id);
        if (entry) {
            pk_lines_nudge(&model->lines, entry, model->now_ms);
        }
        break;
    case 3:
        let_go(model, false);
        break;
    default:
        take(model);
        break;
    }
    assert_int_equal(model->lines.count, model->open);
}

/* From here on time passes and everything that is taken ends. */
static void drain(struct model *model)
{
    for (int i = 0; model->open > 0; i++) {
        assert_true(i < 100000);
        model->now_ms += 5;
        (void)pk_lines_tick(&model->lines, model->now_ms);
        take(model);
        let_go(model, true);
    }
}

TEST(everybody_is_taken_once_and_in_his_turn)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct model model = { .seed = seed, .now_ms = 1000 };
        pk_lines_init(&model.lines);
        for (int i = 0; i < STEPS / 10; i++) {
            step(&model);
        }
        drain(&model);
        assert_int_equal(model.lines.count, 0);
        assert_int_equal(model.lines.line_count, 0);
        assert_int_equal(model.lines.heap_count, 0);
        assert_int_equal(pk_lines_tick(&model.lines, model.now_ms), INT64_MAX);
        pk_lines_done(&model.lines);
    }
}

/* What was found in the store goes before what is younger, wherever that stands. */
TEST(an_older_one_that_comes_late_goes_first)
{
    struct pk_lines lines;
    pk_lines_init(&lines);
    (void)pk_lines_add(
        &lines, &(struct pk_entry_new){ .id = "young", .person = "p", .created_ms = 20 }, 100);
    (void)pk_lines_add(
        &lines,
        &(struct pk_entry_new){ .id = "old", .person = "p", .created_ms = 10, .is_inserted = true },
        100);
    struct pk_entry *first = pk_lines_take(&lines); /* 'young' was due already. */
    assert_non_null(first);
    assert_string_equal(first->id, "old");
    assert_null(pk_lines_take(&lines));
    pk_lines_end(&lines, first, 100);
    assert_string_equal(pk_lines_take(&lines)->id, "young");
    pk_lines_done(&lines);
}

/* ---- Who waits ---- */

static void count_up(void *context)
{
    (*(int *)context)++;
}

TEST(waits_end_with_their_tasks_and_with_their_time)
{
    struct pk_waits waits = { .count = 0 };
    int woken = 0;
    const struct pk_wait for_two = {
        .key = "p", .left = 2, .number = 5, .until_ns = 50, .wake = count_up, .context = &woken
    };
    const struct pk_wait for_one = {
        .key = "t", .left = 1, .until_ns = 100, .wake = count_up, .context = &woken
    };
    const struct pk_wait for_none = { .key = "n", .wake = count_up, .context = &woken };
    pk_waits_add(&waits, &for_two);
    pk_waits_add(&waits, &for_one);
    pk_waits_add(&waits, &for_none);
    assert_int_equal(waits.count, 2);
    pk_waits_call(waits.over);
    waits.over = NULL;
    assert_int_equal(woken, 1);
    pk_waits_end(&waits, "p", 6); /* One that came later. */
    pk_waits_end(&waits, "p", 4);
    pk_waits_end(&waits, "q", 4);
    assert_null(waits.over);
    pk_waits_end(&waits, "p", 5);
    pk_waits_expire(&waits, 99);
    pk_waits_call(waits.over);
    waits.over = NULL;
    assert_int_equal(woken, 2);
    pk_waits_expire(&waits, 100);
    pk_waits_call(waits.over);
    assert_int_equal(woken, 3);
    assert_int_equal(waits.count, 0);
}
