/* test_generation.c - Sets of scripts: found, pinned, replaced whole, and gone with their last pin.
 */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "handmade.h"
#include "script/scripts.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 8, PUBLISHES = 1000, INFO_MAX = 64 };

static const char source[] = "return { map = function() return 1 end }";

static struct pk_scripts *open_scripts(void)
{
    return pk_scripts_new(&(struct pk_scripts_options){ 0 });
}

static uint64_t publish(struct pk_scripts *scripts, struct handmade *const *made, size_t count)
{
    struct pk_scripts_entry entry[8] = { { 0 } };
    for (size_t i = 0; i < count; i++) {
        entry[i].script = &made[i]->script;
    }
    return pk_scripts_publish(scripts, entry, count);
}

/* "3:2* 2:1": number and pins of those alive, '*' behind the one that serves. */
static const char *alive(struct pk_scripts *scripts)
{
    static char text[1024];
    struct pk_generation_info info[INFO_MAX];
    const size_t count = pk_scripts_generations(scripts, info, INFO_MAX);
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu:%zu%s", i ? " " : "",
                               (unsigned long long)info[i].number, info[i].calls,
                               info[i].is_serving ? "*" : "");
    }
    return text;
}

TEST(before_the_first_publication_an_empty_generation_serves)
{
    struct pk_scripts *scripts = open_scripts();
    struct pk_generation *pinned = pk_scripts_pin(scripts);
    assert_int_equal(pk_generation_number(pinned), 0);
    assert_int_equal(pk_generation_count(pinned), 0);
    assert_null(pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily"));
    assert_null(pk_generation_at(pinned, 0));
    assert_string_equal(alive(scripts), "0:1*");
    pk_generation_unpin(pinned);
    assert_string_equal(alive(scripts), "0:0*");
    pk_scripts_free(scripts);
}

TEST(scripts_are_found_by_kind_and_id)
{
    static char *calendar[] = { "calendar_event", "chat_log", NULL };
    static char *chat[] = { "chat_log", NULL };
    struct pk_scripts *scripts = open_scripts();
    struct handmade *made[] = {
        handmade_new(PK_SCRIPT_PROCESSOR, "talks", "1.0.0", source),
        handmade_new(PK_SCRIPT_MAPPER, "daily", "1.0.0", source),
        handmade_new(PK_SCRIPT_CONDITION, "daily", "2.0.0", source),
        handmade_new(PK_SCRIPT_PROCESSOR, "calendar", "1.0.0", source),
        handmade_new(PK_SCRIPT_MAPPER, "style", "1.0.0", source),
    };
    const struct pk_script *accepting[4];
    made[0]->script.accepts = chat;
    made[3]->script.accepts = calendar;
    assert_int_equal(publish(scripts, made, 5), 1);

    struct pk_generation *pinned = pk_scripts_pin(scripts);
    assert_ptr_equal(pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily"), &made[1]->script);
    assert_ptr_equal(pk_generation_find(pinned, PK_SCRIPT_MAPPER, "style"), &made[4]->script);
    assert_ptr_equal(pk_generation_find(pinned, PK_SCRIPT_CONDITION, "daily"), &made[2]->script);
    assert_null(pk_generation_find(pinned, PK_SCRIPT_CONDITION, "style"));
    assert_null(pk_generation_find(pinned, PK_SCRIPT_ANY, "daily"));
    assert_null(pk_generation_find(pinned, PK_SCRIPT_MAPPER, "dail"));
    assert_int_equal(pk_generation_count(pinned), 5);
    assert_ptr_equal(pk_generation_at(pinned, 0), &made[1]->script);
    /* In the order of ids. */
    assert_int_equal(pk_generation_accepting(pinned, "chat_log", accepting, 4), 2);
    assert_ptr_equal(accepting[0], &made[3]->script);
    assert_ptr_equal(accepting[1], &made[0]->script);
    assert_int_equal(pk_generation_accepting(pinned, "chat_log", accepting, 1), 1);
    assert_int_equal(pk_generation_accepting(pinned, "interview", accepting, 4), 0);
    pk_generation_unpin(pinned);
    pk_scripts_free(scripts);
    for (size_t i = 0; i < PK_COUNT(made); i++) {
        handmade_free(made[i]);
    }
}

TEST(a_pinned_generation_lives_until_its_last_pin)
{
    struct pk_scripts *scripts = open_scripts();
    struct handmade *one = handmade_new(PK_SCRIPT_MAPPER, "daily", "1.0.0", source);
    struct handmade *two = handmade_new(PK_SCRIPT_MAPPER, "daily", "2.0.0", source);

    assert_int_equal(publish(scripts, &one, 1), 1);
    struct pk_generation *first = pk_scripts_pin(scripts);
    struct pk_generation *again = pk_scripts_pin(scripts);
    pk_generation_unpin(pk_scripts_pin(scripts)); /* Given back while it serves. */
    assert_ptr_equal(first, again);
    assert_int_equal(publish(scripts, &two, 1), 2);
    struct pk_generation *second = pk_scripts_pin(scripts);
    assert_string_equal(alive(scripts), "2:1* 1:2");
    assert_int_equal(one->script.refs, 2);
    assert_string_equal(pk_generation_find(first, PK_SCRIPT_MAPPER, "daily")->version, "1.0.0");
    assert_string_equal(pk_generation_find(second, PK_SCRIPT_MAPPER, "daily")->version, "2.0.0");

    assert_int_equal(publish(scripts, NULL, 0), 3);
    assert_string_equal(alive(scripts), "3:0* 2:1 1:2");
    pk_generation_unpin(second); /* The one in the middle first. */
    assert_string_equal(alive(scripts), "3:0* 1:2");
    assert_int_equal(two->script.refs, 1);
    pk_generation_unpin(first);
    assert_string_equal(alive(scripts), "3:0* 1:1");
    assert_int_equal(one->script.refs, 2);
    pk_generation_unpin(again);
    assert_string_equal(alive(scripts), "3:0*");
    assert_int_equal(one->script.refs, 1);
    pk_scripts_free(scripts);
    handmade_free(one);
    handmade_free(two);
}

TEST(the_version_before_is_held_too)
{
    struct pk_scripts *scripts = open_scripts();
    struct handmade *one = handmade_new(PK_SCRIPT_MAPPER, "daily", "1.0.0", source);
    struct handmade *two = handmade_new(PK_SCRIPT_MAPPER, "daily", "2.0.0",
                                        "return { map = function() return 2 end }");
    struct pk_script_stats stats;
    const struct pk_scripts_entry entry = { .script = &two->script, .before = &one->script };

    (void)pk_scripts_publish(scripts, &entry, 1);
    assert_int_equal(one->script.refs, 2);
    assert_true(pk_scripts_stats(scripts, &one->script, &stats));
    assert_true(pk_scripts_stats(scripts, &two->script, &stats));
    (void)publish(scripts, &two, 1);
    assert_false(pk_scripts_stats(scripts, &one->script, &stats));
    assert_int_equal(one->script.refs, 1);
    pk_scripts_free(scripts);
    handmade_free(one);
    handmade_free(two);
}

TEST(more_generations_can_be_pinned_than_anybody_looks_at)
{
    struct pk_scripts *scripts = open_scripts();
    struct handmade *made = handmade_new(PK_SCRIPT_MAPPER, "daily", "1.0.0", source);
    struct pk_generation *pinned[2 * INFO_MAX];

    for (size_t i = 0; i < PK_COUNT(pinned); i++) {
        (void)publish(scripts, &made, 1);
        pinned[i] = pk_scripts_pin(scripts);
    }
    struct pk_generation_info info[INFO_MAX];
    assert_int_equal(pk_scripts_generations(scripts, info, INFO_MAX), INFO_MAX);
    assert_int_equal(info[0].number, PK_COUNT(pinned)); /* The newest first. */
    for (size_t i = 0; i < PK_COUNT(pinned); i++) {
        assert_int_equal(pk_generation_number(pinned[i]), i + 1);
        pk_generation_unpin(pinned[i]);
    }
    assert_int_equal(pk_scripts_generations(scripts, info, INFO_MAX), 1);
    pk_scripts_free(scripts);
    handmade_free(made);
}

/* ---- Under load ---- */

struct load {
    struct pk_scripts *scripts;
    struct handmade *made[2][2]; /* Two sets of two: a generation has one set, whole. */
    _Atomic bool is_over;
    _Atomic unsigned started;
    _Atomic uint64_t pins, torn, backwards;
};

/* What every request does: pins, looks, keeps it for a moment, gives it back. */
static void *pin_and_look(void *context)
{
    struct load *load = context;
    uint64_t pins = 0, last = 0;

    load->started++;
    while (!load->is_over) {
        struct pk_generation *pinned = pk_scripts_pin(load->scripts);
        const uint64_t number = pk_generation_number(pinned);
        const size_t set = number % 2;
        const struct pk_script *daily = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "daily");
        struct pk_generation *nested = pins % 16 ? NULL : pk_scripts_pin(load->scripts);
        const struct pk_script *style = pk_generation_find(pinned, PK_SCRIPT_MAPPER, "style");
        if (number &&
            (daily != &load->made[set][0]->script || style != &load->made[set][1]->script)) {
            load->torn++;
        }
        load->backwards += number < last;
        last = number;
        pk_generation_unpin(pinned);
        if (nested) {
            pk_generation_unpin(nested);
        }
        pins++;
    }
    load->pins += pins;
    return NULL;
}

TEST(a_thousand_publications_under_load_leak_nothing_and_tear_nothing)
{
    struct load load = { .scripts = open_scripts() };
    pthread_t thread[THREADS];
    size_t alive_max = 0;

    for (size_t set = 0; set < 2; set++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "return { map = function() return %zu end }", set);
        load.made[set][0] = handmade_new(PK_SCRIPT_MAPPER, "daily", set ? "2" : "1", text);
        load.made[set][1] = handmade_new(PK_SCRIPT_MAPPER, "style", set ? "2" : "1", text);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, pin_and_look, &load), 0);
    }
    while (load.started < THREADS) {
        (void)sched_yield();
    }
    for (uint64_t i = 1; i <= PUBLISHES; i++) {
        struct pk_generation_info info[INFO_MAX];
        assert_int_equal(publish(load.scripts, load.made[i % 2], 2), i);
        const size_t count = pk_scripts_generations(load.scripts, info, INFO_MAX);
        assert_int_equal(info[0].number, i);
        for (size_t old = 1; old < count; old++) {
            assert_true(info[old].calls > 0);
        }
        alive_max = count > alive_max ? count : alive_max;
        /* Each old one is held by a thread: no more than two by each. */
        assert_true(count <= 2 * THREADS + 1);
    }
    load.is_over = true;
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    assert_int_equal(load.torn, 0);
    assert_int_equal(load.backwards, 0);
    assert_true(load.pins > 0);
    assert_string_equal(alive(load.scripts), "1000:0*");
    print_message("# %llu pins, at most %zu generations alive at once\n",
                  (unsigned long long)load.pins, alive_max);
    pk_scripts_free(load.scripts);
    for (size_t set = 0; set < 2; set++) {
        handmade_free(load.made[set][0]);
        handmade_free(load.made[set][1]);
    }
}

struct crowd {
    struct pk_scripts *scripts;
    struct pk_generation *pinned;
    pthread_barrier_t *start;
};

static void *give_back(void *context)
{
    struct crowd *crowd = context;
    (void)pthread_barrier_wait(crowd->start);
    pk_generation_unpin(crowd->pinned);
    return NULL;
}

/* The last pins are given back at the very moment at which the next one is published. */
TEST(publication_and_last_unpin_at_once_end_a_generation_once)
{
    struct pk_scripts *scripts = open_scripts();
    struct handmade *made = handmade_new(PK_SCRIPT_MAPPER, "daily", "1.0.0", source);

    for (size_t round = 0; round < 200; round++) {
        pthread_barrier_t start;
        pthread_t thread[3];
        struct crowd crowd[3];
        (void)pthread_barrier_init(&start, NULL, 4);
        for (size_t i = 0; i < 3; i++) {
            crowd[i] = (struct crowd){ scripts, pk_scripts_pin(scripts), &start };
            assert_int_equal(pthread_create(&thread[i], NULL, give_back, &crowd[i]), 0);
        }
        (void)pthread_barrier_wait(&start);
        (void)publish(scripts, &made, 1);
        for (size_t i = 0; i < 3; i++) {
            (void)pthread_join(thread[i], NULL);
        }
        (void)pthread_barrier_destroy(&start);
        struct pk_generation_info info[2];
        assert_int_equal(pk_scripts_generations(scripts, info, 2), 1);
        assert_int_equal(info[0].calls, 0);
        assert_int_equal(made->script.refs, 2);
    }
    pk_scripts_free(scripts);
    handmade_free(made);
}
