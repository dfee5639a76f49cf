/* test_trait.c - The formulas against a table, and policies against paths. The table is
 * README.md's. */
/* SPDX-License-Identifier: MIT */
#include "mind_bed.h"

#include "persona/trait.h"

#include <math.h>
#include <string.h>

/* ---- Decay ---- */

static const struct {
    const char *volatility, *source_type;
    int64_t days;
} half_life_row[] = {
    { "low", "work_session", 365 },
    { "medium", "work_session", 90 },
    { "high", "work_session", 14 },
    { "low", "assessment", 730 },
    { "medium", "assessment", 180 },
    { "high", "assessment", 28 },
    { "medium", "interview", 135 },
    { "medium", "user_input", 135 },
    { "high", "user_input", 21 },
    { "medium", "chat_log", 45 },
    { "high", "chat_log", 7 },
    { "medium", NULL, 90 },
    { NULL, NULL, 90 },
    { "low", "curation", 0 },
    { "high", "curation", 0 },
    { "medium", "somebody's own", 90 },
};

TEST(half_lives_are_those_of_the_table)
{
    for (size_t i = 0; i < PK_COUNT(half_life_row); i++) {
        assert_int_equal(
            pk_decay_half_life(NULL, half_life_row[i].volatility, half_life_row[i].source_type),
            half_life_row[i].days * MIND_DAY);
    }
}

TEST(half_lives_may_be_others_by_volatility_and_source)
{
    static const char *const set[] = { "high=7d",  "low=12h",      "chat_log=0.25",
                                       "rumour=0", "chat_log=0.1", NULL };
    static const struct {
        const char *volatility, *source_type;
        double days;
    } row[] = {
        { "high", "work_session", 7 }, { "low", "work_session", 0.5 }, { "low", NULL, 0.5 },
        { "medium", NULL, 90 },        { "high", "chat_log", 0.7 },    { "high", "assessment", 14 },
        { "medium", "curation", 0 },   { "high", "rumour", 0 },
    };
    struct pk_error err = { 0 };
    struct pk_policies *policies = pk_policies_new(NULL, &err);
    assert_null(pk_policies_decay_key(NULL));
    assert_ok(pk_policies_decay(policies, NULL, &err), &err);
    assert_null(pk_policies_decay_key(policies));
    assert_ok(pk_policies_decay(policies, set, &err), &err);
    assert_int_equal(strlen(pk_policies_decay_key(policies)), 32);
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_near((double)pk_decay_half_life(policies, row[i].volatility, row[i].source_type) /
                        (double)MIND_DAY,
                    row[i].days);
    }
    pk_policies_free(policies);
}

TEST(a_half_life_that_is_none_is_refused_with_an_example)
{
    static const char *const wrong[] = { "high",         "=7d",       "high=",      "high=0d",
                                         "high=7",       "high=-1d",  "high=7dd",   "high=7w",
                                         "medium=0.5",   "chat_log=", "chat_log=x", "chat_log=-1",
                                         "chat_log=nan", "low=36501d" };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        const char *const set[] = { wrong[i], NULL };
        struct pk_error err = { 0 };
        struct pk_policies *policies = pk_policies_new(NULL, &err);
        assert_false(pk_policies_decay(policies, set, &err));
        assert_int_equal(err.code, PK_INVALID);
        assert_non_null(strstr(err.hint, "'high=7d'"));
        pk_policies_free(policies);
    }
}

static const struct {
    double confidence;
    int64_t half_life_days, elapsed_days;
    double left;
} decay_row[] = {
    { 0.8, 90, 0, 0.8 },
    { 0.8, 90, 90, 0.4 },
    { 0.8, 90, 180, 0.2 },
    { 0.8, 90, 45, 0.8 * 0.70710678118654752 },
    { 0.8, 0, 36500, 0.8 },
    { 0.8, 90, -5, 0.8 },
    { 1, 14, 28, 0.25 },
    { 0, 14, 28, 0 },
    { 0.5, 365, 3650, 0.5 / 1024 },
    { 1, 14, 1000000, 0 },
};

TEST(confidence_decays_by_the_half_life_and_never_grows)
{
    for (size_t i = 0; i < PK_COUNT(decay_row); i++) {
        const double left =
            pk_decay(decay_row[i].confidence, decay_row[i].half_life_days * MIND_DAY,
                     decay_row[i].elapsed_days * MIND_DAY);
        assert_near(left, decay_row[i].left);
    }
    assert_near(pk_decay(0.5, INT64_MAX, INT64_MAX), 0.25);
    assert_near(pk_decay(0.5, 1, INT64_MIN), 0.5);
}

TEST(a_trait_is_worth_less_with_time_unless_pinned_or_said_by_a_person)
{
    static const struct {
        const char *trait;
        int64_t after_days;
        double worth;
    } row[] = {
        { "{'volatility':'medium','confidence':0.8}", 90, 0.4 },
        { "{'volatility':'medium','confidence':0.8}", -90, 0.8 },
        { "{'volatility':'high','confidence':0.8}", 14, 0.4 },
        { "{'volatility':'low','confidence':0.8,'sourceType':'assessment'}", 730, 0.4 },
        { "{'volatility':'high','confidence':0.8,'pinned':true}", 1000, 0.8 },
        { "{'volatility':'high','confidence':0.8,'pinned':false}", 14, 0.4 },
        { "{'volatility':'high','confidence':0.8,'sourceType':'curation'}", 1000, 0.8 },
        { "{'confidence':1}", 90, 0.5 },
        { "{}", 90, 0 },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        bson_t json, trait = BSON_INITIALIZER;
        bson_iter_t iter;
        const uint8_t *data = NULL;
        uint32_t size = 0;
        bson_t inside;
        mind_json(&json, row[i].trait);
        assert_true(bson_iter_init_find(&iter, &json, "a"));
        bson_iter_document(&iter, &size, &data);
        assert_true(bson_init_static(&inside, data, size));
        (void)bson_concat(&trait, &inside);
        BSON_APPEND_DATE_TIME(&trait, "updatedAt", MIND_EPOCH);
        assert_near(pk_trait_confidence(NULL, &trait, MIND_EPOCH + row[i].after_days * MIND_DAY),
                    row[i].worth);
        bson_destroy(&trait);
        bson_destroy(&json);
    }
}

/* ---- Formulas ---- */

TEST(the_formulas_are_those_of_the_table)
{
    static const struct {
        double confidence, weight, ceiling, agreed, objected, weakened;
    } row[] = {
        { 0.0, 0.0, 0.99, 0.0, 0.0, 0.0 },        { 0.5, 0.5, 0.99, 0.75, 0.375, 0.25 },
        { 0.8, 0.5, 0.99, 0.9, 0.6, 0.4 },        { 0.9, 0.9, 0.99, 0.99, 0.495, 0.09 },
        { 0.9, 0.95, 0.99, 0.99, 0.4725, 0.045 }, { 0.6, 0.9, 0.7, 0.7, 0.33, 0.06 },
        { 0.8, 0.9, 0.7, 0.8, 0.44, 0.08 },       { 1.0, 0.5, 0.99, 1.0, 0.75, 0.5 },
        { 0.4, 1.0, 1.0, 1.0, 0.2, 0.0 },         { 0.4, 0.0, 0.99, 0.4, 0.4, 0.4 },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_near(pk_agree(row[i].confidence, row[i].weight, row[i].ceiling), row[i].agreed);
        assert_near(pk_object(row[i].confidence, row[i].weight), row[i].objected);
        assert_near(pk_weaken(row[i].confidence, row[i].weight), row[i].weakened);
    }
}

TEST(a_number_moves_by_its_share_of_the_weights)
{
    assert_near(pk_move_share(0.5, 0.5), 0.5);
    assert_near(pk_move_share(0.5, 1.5), 0.25);
    assert_near(pk_move_share(0.5, 300), 0.5 / 3.5);
    assert_near(pk_move_share(1, 0), 1);
    assert_near(pk_move_share(0, 0), 0);
    assert_near(pk_nearness(10, 10), 1);
    assert_near(pk_nearness(10, 5), 0.5);
    assert_near(pk_nearness(0, 5), 0);
    assert_near(pk_nearness(-5, 5), 0);
    assert_near(pk_nearness(0, -0.0), 1);
    assert_near(pk_nearness(1e308, -1e308), 0);
}

TEST(confidence_stays_within_its_bounds_whatever_is_asked)
{
    static const double odd[] = { -1e9, -1, -0.1, 0, 0.3, 0.999999, 1, 1.1, 7, 1e300 };
    for (size_t i = 0; i < PK_COUNT(odd); i++) {
        for (size_t k = 0; k < PK_COUNT(odd); k++) {
            for (size_t m = 0; m < PK_COUNT(odd); m++) {
                const double got[] = { pk_agree(odd[i], odd[k], odd[m]), pk_object(odd[i], odd[k]),
                                       pk_weaken(odd[i], odd[k]), pk_move_share(odd[i], odd[k]) };
                for (size_t n = 0; n < PK_COUNT(got); n++) {
                    assert_true(got[n] >= 0 && got[n] <= 1);
                }
            }
        }
    }
}

TEST(agreement_is_monotone_in_confidence_and_in_weight)
{
    for (int c = 0; c < 100; c++) {
        for (int w = 0; w < 100; w++) {
            const double now = pk_agree(c / 100.0, w / 100.0, PK_TRAIT_SURE);
            assert_true(now >= c / 100.0 - 1e-9);
            assert_true(pk_agree((c + 1) / 100.0, w / 100.0, PK_TRAIT_SURE) >= now);
            assert_true(pk_agree(c / 100.0, (w + 1) / 100.0, PK_TRAIT_SURE) >= now);
            assert_true(pk_object(c / 100.0, w / 100.0) <= c / 100.0 + 1e-9);
            assert_true(pk_weaken(c / 100.0, w / 100.0) <= c / 100.0 + 1e-9);
        }
    }
}

/* ---- Policies ---- */

TEST(the_first_policy_that_fits_wins)
{
    static const char *const conflict[] = { "work.focus=latest", "work.*=review", "*=keep_all",
                                            "life=latest", NULL };
    struct pk_error err = { 0 };
    struct pk_policies *policies = pk_policies_new(conflict, &err);
    assert_ok(policies != NULL, &err);
    assert_int_equal(pk_policies_of(policies, "work.focus"), PK_CONFLICT_LATEST);
    assert_int_equal(pk_policies_of(policies, "work.focus.deep"), PK_CONFLICT_REVIEW);
    assert_int_equal(pk_policies_of(policies, "work.mood"), PK_CONFLICT_REVIEW);
    assert_int_equal(pk_policies_of(policies, "work"), PK_CONFLICT_KEEP_ALL);
    assert_int_equal(pk_policies_of(policies, "workshop.x"), PK_CONFLICT_KEEP_ALL);
    assert_int_equal(pk_policies_of(policies, "life"), PK_CONFLICT_KEEP_ALL);
    pk_policies_free(policies);
    assert_int_equal(pk_policies_of(NULL, "work"), PK_CONFLICT_STRONGEST);
}

TEST(a_policy_that_is_none_is_refused_with_an_example)
{
    static const char *const wrong[] = {
        "work",         "work=",          "=review",   "work=loudest",
        "wo rk=latest", "work.**=latest", ".*=latest", ""
    };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        const char *const conflict[] = { "a=latest", wrong[i], NULL };
        struct pk_error err = { 0 };
        assert_null(pk_policies_new(conflict, &err));
        assert_int_equal(err.code, PK_INVALID);
        assert_non_null(strstr(err.hint, "work.*=review"));
    }
}
