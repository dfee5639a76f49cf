/* test_quarantine.c - Scripts that keep being killed rest, and may show that they are well. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "jailed.h"
#include "script/quarantine.h"

#include <string.h>

struct ward {
    struct pk_clock_fake clock;
    struct pk_quarantine *quarantine;
};

static void open_ward(struct ward *ward, size_t scripts_max)
{
    pk_clock_fake_init(&ward->clock, 1000000);
    ward->quarantine = pk_quarantine_new(&(struct pk_quarantine_options){
        .clock = &ward->clock.clock,
        .kills = 3,
        .window_ms = 1000,
        .bar_ms = 100,
        .bar_max_ms = 400,
        .scripts_max = scripts_max,
    });
}

static const uint8_t *hash_of(uint8_t number)
{
    static uint8_t hash[PK_QUARANTINE_HASH];
    memset(hash, number, sizeof(hash));
    return hash;
}

static enum pk_quarantine_verdict ask(struct ward *ward, uint8_t number)
{
    return pk_quarantine_ask(ward->quarantine, hash_of(number), 0, NULL);
}

static bool note_kill(struct ward *ward, uint8_t number)
{
    return pk_quarantine_note(ward->quarantine, hash_of(number), 0, true) == PK_QUARANTINE_FOR_ALL;
}

static void note_well(struct ward *ward, uint8_t number)
{
    assert_int_equal(pk_quarantine_note(ward->quarantine, hash_of(number), 0, false),
                     PK_QUARANTINE_NO_NEWS);
}

static void bar(struct ward *ward, uint8_t number)
{
    assert_false(note_kill(ward, number));
    assert_false(note_kill(ward, number));
    assert_true(note_kill(ward, number));
}

TEST(three_kills_within_the_window_bar_a_script)
{
    struct ward ward;
    open_ward(&ward, 8);
    assert_false(note_kill(&ward, 1));
    note_well(&ward, 1); /* One good call between two kills changes nothing. */
    assert_false(note_kill(&ward, 1));
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_RUN);
    assert_true(note_kill(&ward, 1));
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_BARRED);
    assert_int_equal(ask(&ward, 2), PK_QUARANTINE_RUN);
    assert_int_equal(pk_quarantine_count(ward.quarantine), 1);
    pk_quarantine_free(ward.quarantine);
}

static enum pk_quarantine_verdict ask_for(struct ward *ward, uint64_t person)
{
    return pk_quarantine_ask(ward->quarantine, hash_of(1), person, NULL);
}

static enum pk_quarantine_news note_for(struct ward *ward, uint64_t person)
{
    return pk_quarantine_note(ward->quarantine, hash_of(1), person, true);
}

TEST(one_person_bars_a_script_for_himself_alone)
{
    struct ward ward;
    open_ward(&ward, 32);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(note_for(&ward, 7), PK_QUARANTINE_NO_NEWS);
    }
    assert_int_equal(ask_for(&ward, 7), PK_QUARANTINE_RUN);
    assert_int_equal(note_for(&ward, 7), PK_QUARANTINE_FOR_ONE);
    assert_int_equal(ask_for(&ward, 7), PK_QUARANTINE_BARRED);
    assert_int_equal(ask_for(&ward, 8), PK_QUARANTINE_RUN);
    assert_int_equal(ask_for(&ward, 0), PK_QUARANTINE_RUN);
    assert_false(pk_quarantine_is_barred(ward.quarantine, hash_of(1)));
    pk_clock_fake_advance(&ward.clock, 101);
    assert_int_equal(ask_for(&ward, 7), PK_QUARANTINE_TRIAL);
    assert_int_equal(note_for(&ward, 7), PK_QUARANTINE_FOR_ONE);
    assert_int_equal(ask_for(&ward, 8), PK_QUARANTINE_RUN);
    assert_true(pk_quarantine_lift(ward.quarantine, hash_of(1)));
    assert_int_equal(ask_for(&ward, 7), PK_QUARANTINE_RUN);
    pk_quarantine_free(ward.quarantine);
}

TEST(three_persons_bar_a_script_for_all_and_another_tries_it)
{
    struct ward ward;
    open_ward(&ward, 32);
    for (uint64_t person = 1; person < 3; person++) {
        assert_int_equal(note_for(&ward, person), PK_QUARANTINE_NO_NEWS);
        assert_int_equal(note_for(&ward, person), PK_QUARANTINE_NO_NEWS);
        assert_int_equal(ask_for(&ward, 9), PK_QUARANTINE_RUN);
    }
    assert_int_equal(note_for(&ward, 3), PK_QUARANTINE_FOR_ALL);
    assert_int_equal(ask_for(&ward, 9), PK_QUARANTINE_BARRED);
    pk_clock_fake_advance(&ward.clock, 101);
    assert_int_equal(ask_for(&ward, 3), PK_QUARANTINE_BARRED); /* He would only do it again. */
    assert_int_equal(ask_for(&ward, 9), PK_QUARANTINE_TRIAL);
    assert_int_equal(ask_for(&ward, 10), PK_QUARANTINE_BARRED);
    pk_clock_fake_advance(&ward.clock, 1001); /* Nobody else came: then he may. */
    assert_int_equal(ask_for(&ward, 3), PK_QUARANTINE_TRIAL);
    pk_quarantine_free(ward.quarantine);
}

TEST(kills_far_apart_bar_nothing)
{
    struct ward ward;
    open_ward(&ward, 8);
    for (int i = 0; i < 10; i++) {
        assert_false(note_kill(&ward, 1));
        pk_clock_fake_advance(&ward.clock, 600);
        assert_int_equal(ask(&ward, 1), PK_QUARANTINE_RUN);
        if (i % 2) {
            pk_clock_fake_advance(&ward.clock, 600);
        }
    }
    pk_quarantine_free(ward.quarantine);
}

TEST(one_trial_decides_after_the_bar)
{
    struct ward ward;
    int64_t until = 0;
    open_ward(&ward, 8);
    bar(&ward, 1);
    (void)pk_quarantine_ask(ward.quarantine, hash_of(1), 0, &until);
    assert_int_equal(until, pk_clock_mono_ns(&ward.clock.clock) + 100 * 1000000);
    pk_clock_fake_advance(&ward.clock, 99);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_BARRED);
    pk_clock_fake_advance(&ward.clock, 1);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_TRIAL);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_BARRED); /* Only one. */
    note_well(&ward, 1);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_RUN);
    assert_int_equal(pk_quarantine_count(ward.quarantine), 0);
    pk_quarantine_free(ward.quarantine);
}

TEST(each_further_bar_is_twice_as_long_up_to_a_limit)
{
    static const int64_t bars_ms[] = { 100, 200, 400, 400 };
    struct ward ward;
    open_ward(&ward, 8);
    bar(&ward, 1);
    for (int i = 0; i < 4; i++) {
        pk_clock_fake_advance(&ward.clock, bars_ms[i] - 1);
        assert_int_equal(ask(&ward, 1), PK_QUARANTINE_BARRED);
        pk_clock_fake_advance(&ward.clock, 1);
        assert_int_equal(ask(&ward, 1), PK_QUARANTINE_TRIAL);
        assert_true(note_kill(&ward, 1));
    }
    pk_quarantine_free(ward.quarantine);
}

TEST(a_script_well_for_a_window_starts_clean)
{
    struct ward ward;
    open_ward(&ward, 8);
    bar(&ward, 1);
    pk_clock_fake_advance(&ward.clock, 100);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_TRIAL);
    note_well(&ward, 1);
    pk_clock_fake_advance(&ward.clock, 1001);
    note_well(&ward, 1);
    bar(&ward, 1);
    pk_clock_fake_advance(&ward.clock, 100);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_TRIAL);
    pk_quarantine_free(ward.quarantine);
}

TEST(a_trial_that_is_never_noted_does_not_bar_for_ever)
{
    struct ward ward;
    open_ward(&ward, 8);
    bar(&ward, 1);
    pk_clock_fake_advance(&ward.clock, 100);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_TRIAL);
    pk_clock_fake_advance(&ward.clock, 100);
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_TRIAL);
    pk_quarantine_free(ward.quarantine);
}

TEST(a_full_table_forgets_the_unbarred_first)
{
    struct ward ward;
    open_ward(&ward, 3);
    bar(&ward, 1);
    for (uint8_t i = 2; i < 50; i++) {
        pk_clock_fake_advance(&ward.clock, 1);
        assert_false(note_kill(&ward, i));
    }
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_BARRED);
    pk_quarantine_free(ward.quarantine);
}

TEST(an_operator_can_lift_a_bar)
{
    struct ward ward;
    open_ward(&ward, 8);
    bar(&ward, 1);
    assert_true(pk_quarantine_lift(ward.quarantine, hash_of(1)));
    assert_false(pk_quarantine_lift(ward.quarantine, hash_of(1)));
    assert_int_equal(ask(&ward, 1), PK_QUARANTINE_RUN);
    pk_quarantine_free(ward.quarantine);
}

TEST(a_script_that_is_killed_thrice_is_not_run_a_fourth_time)
{
    struct pk_jail *jail = jailed_new(1);
    struct ward ward;
    int runs = 0;
    open_ward(&ward, 8);
    for (int i = 0; i < 10; i++) {
        if (ask(&ward, 1) == PK_QUARANTINE_BARRED) {
            continue;
        }
        struct jailed jailed = { .source = "while true do end",
                                 .limits = { .soft_ms = 5, .hard_ms = 10 } };
        jailed_run(jail, &jailed);
        (void)pk_quarantine_note(ward.quarantine, hash_of(1), 0,
                                 jailed.result.end == PK_JAIL_KILLED);
        jailed_done(&jailed);
        runs++;
    }
    assert_int_equal(runs, 3);
    pk_quarantine_free(ward.quarantine);
    pk_jail_free(jail);
}
