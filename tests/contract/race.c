/* race.c - Many writers at once: one wins, each hears its own outcome, and what was expected held.
 */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include <stdio.h>
#include <string.h>

enum { WRITERS = 32, CALLERS = 64, ROUNDS = 20 };

/* ---- Uniqueness ---- */

struct rush {
    struct bed *bed;
    int round;
    _Atomic int won, lost, other; /* Other: an outcome that should not be. */
};

static void rush_for_email(void *context, size_t number)
{
    struct rush *rush = context;
    struct pk_error err = { 0 };
    struct pk_commit out = { 0 };
    if (try_insert(rush->bed, "uniques",
                   doc("{'_id':'r%d-%zu','slug':'r%d','number':%zu,'email':'r%d@x'}", rush->round,
                       number, rush->round, number, rush->round),
                   &out, &err)) {
        rush->won++;
    } else if (err.code == PK_CONFLICT && strcmp(out.conflict_index, "one_email") == 0 &&
               out.conflict_write == 0) {
        rush->lost++;
    } else {
        rush->other++;
    }
}

TEST(of_32_writers_of_one_unique_key_one_wins_each_round)
{
    BED(bed);
    bed_open(&bed);
    for (int round = 0; round < ROUNDS; round++) {
        struct rush rush = { .bed = &bed, .round = round };
        run_threads(WRITERS, rush_for_email, &rush);
        assert_int_equal(rush.other, 0);
        assert_int_equal(rush.won, 1);
        assert_int_equal(rush.lost, WRITERS - 1);
    }
    assert_int_equal(count_docs(&bed, "uniques"), ROUNDS);
}

static void rush_for_id(void *context, size_t number)
{
    struct rush *rush = context;
    struct pk_error err = { 0 };
    struct pk_commit out = { 0 };
    if (try_insert(rush->bed, "things", doc("{'_id':'r%d','by':%zu}", rush->round, number), &out,
                   &err)) {
        rush->won++;
    } else if (err.code == PK_CONFLICT) {
        rush->lost++;
    } else {
        rush->other++;
    }
}

TEST(of_32_inserts_of_one_id_one_wins_each_round)
{
    BED(bed);
    bed_open(&bed);
    for (int round = 0; round < ROUNDS; round++) {
        struct rush rush = { .bed = &bed, .round = round };
        run_threads(WRITERS, rush_for_id, &rush);
        assert_int_equal(rush.other, 0);
        assert_int_equal(rush.won, 1);
    }
}

/* ---- Versions ---- */

static bool add_one(void *context, struct pk_writes *list, struct pk_error *err)
{
    struct bed *bed = context;
    struct pk_doc *found = NULL;
    if (!pk_store_get(bed->store, "guards", "sum", 0, &found, err)) {
        return false;
    }
    add_replace(list, "guards", doc("{'_id':'sum','n':%d}", (int)pk_doc_int(found, "n", 0) + 1),
                pk_doc_version(found));
    pk_doc_unref(found);
    return true;
}

static void add_many(void *context, size_t number)
{
    struct rush *rush = context;
    (void)number;
    for (int i = 0; i < 5; i++) {
        struct pk_error err = { 0 };
        if (pk_store_decide(rush->bed->store, add_one, rush->bed, soon(rush->bed), NULL, &err)) {
            rush->won++;
        } else {
            rush->other++;
        }
    }
}

TEST(no_update_is_lost_among_32_who_read_and_replace)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "guards", doc("{'_id':'sum','n':0}"));
    struct rush rush = { .bed = &bed };
    run_threads(WRITERS, add_many, &rush);
    DOC(found);
    found = get(&bed, "guards", "sum");
    assert_int_equal(rush.other, 0);
    assert_int_equal(pk_doc_int(found, "n", -1), rush.won);
}

static void count_many(void *context, size_t number)
{
    struct rush *rush = context;
    (void)number;
    for (int i = 0; i < 10; i++) {
        struct pk_error err = { 0 };
        LIST(list);
        pk_writes_count(&list, "guards", "sum", &(struct pk_count){ .path = "uses", .amount = 1 },
                        1);
        if (commit(rush->bed, &list, NULL, &err)) {
            rush->won++;
        } else {
            rush->other++;
        }
    }
}

TEST(counts_of_32_writers_add_up)
{
    BED(bed);
    bed_open(&bed);
    const int64_t version = put(&bed, "guards", doc("{'_id':'sum'}"));
    struct rush rush = { .bed = &bed };
    run_threads(WRITERS, count_many, &rush);
    DOC(found);
    found = get(&bed, "guards", "sum");
    assert_int_equal(rush.other, 0);
    assert_int_equal(pk_doc_int(found, "uses", -1), WRITERS * 10);
    assert_int_equal(pk_doc_version(found), version);
}

/* ---- Joined commits ---- */

enum outcome { WROTE, CONFLICTED, REFUSED };

struct joined {
    struct bed *bed;
    int round;
    _Atomic int wrong; /* Not the outcome that this caller must have. */
};

/* What every third and fifth caller sends can only conflict, every seventh only be refused. */
static enum outcome outcome_of(size_t number)
{
    return number % 7 == 6 ? REFUSED : number % 3 == 1 || number % 5 == 2 ? CONFLICTED : WROTE;
}

static void join(void *context, size_t number)
{
    struct joined *joined = context;
    struct pk_error err = { 0 };
    struct pk_commit out = { 0 };
    LIST(list);
    add_insert(&list, "things", doc("{'_id':'r%d-%zu-first','kind':'j'}", joined->round, number));
    if (number % 7 == 6) {
        add_insert(&list, "typed", doc("{'_id':'r%d-%zu','score':7}", joined->round, number));
    } else if (number % 3 == 1) { /* A taken key. */
        add_insert(&list, "uniques",
                   doc("{'_id':'r%d-%zu','slug':'taken','number':1}", joined->round, number));
    } else if (number % 5 == 2) { /* A version that never was: a short count on MongoDB. */
        add_replace(&list, "guards", doc("{'_id':'fixed'}"), 1);
    } else {
        add_insert(&list, "uniques",
                   doc("{'_id':'r%d-%zu','slug':'r%d','number':%zu}", joined->round, number,
                       joined->round, number));
    }
    add_insert(&list, "things", doc("{'_id':'r%d-%zu-last','kind':'j'}", joined->round, number));
    add_announce(&list, doc("{'_id':'r%d-%zu','n':%zu}", joined->round, number, number));

    const bool ok = commit(joined->bed, &list, &out, &err);
    const enum outcome expected = outcome_of(number);
    const char *index = number % 3 == 1 ? "one_slug" : "";
    const bool is_right = expected == WROTE ? ok && out.cursor[0]
                          : expected == CONFLICTED
                              ? !ok && err.code == PK_CONFLICT && out.conflict_write == 1 &&
                                    strcmp(out.conflict_index, index) == 0
                              : !ok && err.code == PK_INVALID;
    if (!is_right) {
        (void)fprintf(stderr, "# caller %zu: ok %d, %s, write %d, index '%s': %s\n", number, ok,
                      pk_code_name(err.code), out.conflict_write, out.conflict_index, err.message);
        joined->wrong++;
    }
}

TEST(each_of_64_joined_callers_hears_its_own_outcome)
{
    BED(bed);
    bed_open(&bed);
    (void)put(&bed, "uniques", doc("{'_id':'taken','slug':'taken','number':1}"));
    (void)put(&bed, "guards", doc("{'_id':'fixed'}"));
    for (int round = 0; round < ROUNDS / 2; round++) {
        struct joined joined = { .bed = &bed, .round = round };
        run_threads(CALLERS, join, &joined);
        assert_int_equal(joined.wrong, 0);
        for (size_t i = 0; i < CALLERS; i++) {
            static const char *const part[] = { "-first", "-last" };
            char id[64];
            for (size_t p = 0; p < PK_COUNT(part); p++) {
                (void)snprintf(id, sizeof(id), "r%d-%zu%s", round, i, part[p]);
                assert_int_equal(version_of(&bed, "things", id) > 0, outcome_of(i) == WROTE);
            }
            (void)snprintf(id, sizeof(id), "r%d-%zu", round, i);
            assert_int_equal(version_of(&bed, "uniques", id) > 0, outcome_of(i) == WROTE);
            assert_int_equal(version_of(&bed, "events", id) > 0, outcome_of(i) == WROTE);
        }
    }
    struct pk_store_stats stats = { 0 };
    pk_store_stats(bed.store, &stats);
    assert_true(stats.conflicts > 0);
    assert_int_equal(stats.unknowns, 0);
    assert_false(stats.is_stopped);
}

static void join_gladly(void *context, size_t number)
{
    struct rush *rush = context;
    for (int i = 0; i < 10; i++) {
        struct pk_error err = { 0 };
        rush->won +=
            try_insert(rush->bed, "things", doc("{'_id':'g%zu-%d'}", number, i), NULL, &err);
    }
}

TEST(callers_who_do_not_disturb_each_other_share_commits)
{
    BED(bed);
    bed_open(&bed);
    struct rush rush = { .bed = &bed };
    run_threads(CALLERS, join_gladly, &rush);
    assert_int_equal(rush.won, CALLERS * 10);
    struct pk_store_stats stats = { 0 };
    pk_store_stats(bed.store, &stats);
    assert_int_equal(stats.commits, CALLERS * 10);
    assert_true(stats.groups < stats.commits / 2);
}

/* ---- Expects under races ---- */

struct consent {
    struct bed *bed;
    int64_t version;      /* What the writers have read. */
    _Atomic bool is_over; /* The replacement has been acknowledged. */
    _Atomic int before, after, other;
    _Atomic int too_late; /* Committed although begun after the replacement was acknowledged. */
    bool is_absence;      /* They expect that there is none. */
};

static void write_under_consent(void *context, size_t number)
{
    struct consent *consent = context;
    struct pk_error err = { 0 };
    if (number == 0) {
        LIST(change);
        while (consent->before < 20 && consent->other == 0) {
            (void)sched_yield(); /* Some should come first. */
        }
        if (consent->is_absence) {
            add_insert(&change, "guards", doc("{'_id':'consent'}"));
        } else {
            add_replace(&change, "guards", doc("{'_id':'consent','no':true}"), consent->version);
        }
        consent->other += !commit(consent->bed, &change, NULL, &err);
        consent->is_over = true;
        return;
    }
    for (int i = 0; i < 200 && consent->after < WRITERS; i++) {
        const bool was_over = consent->is_over;
        struct pk_commit out = { 0 };
        LIST(list);
        add_insert(&list, "things",
                   doc("{'_id':'c%zu-%d','over':%s}", number, i, was_over ? "true" : "false"));
        if (consent->is_absence) {
            pk_writes_expect_absent(&list, "guards", "consent");
        } else {
            pk_writes_expect(&list, "guards", "consent", consent->version);
        }
        add_announce(&list, doc("{'_id':'c%zu-%d','kind':'write'}", number, i));
        if (commit(consent->bed, &list, &out, &err)) {
            consent->too_late += was_over;
            consent->before++;
        } else if (err.code == PK_CONFLICT && out.conflict_write == 1) {
            consent->after++;
        } else {
            (void)fprintf(stderr, "# %s: %s\n", pk_code_name(err.code), err.message);
            consent->other++;
        }
    }
}

static void race_for_consent(bool is_absence)
{
    for (int round = 0; round < 3; round++) {
        BED(bed);
        bed_open(&bed);
        struct consent consent = { .bed = &bed, .is_absence = is_absence };
        if (!is_absence) {
            consent.version = put(&bed, "guards", doc("{'_id':'consent'}"));
        }
        run_threads(WRITERS + 1, write_under_consent, &consent);
        assert_int_equal(consent.other, 0);
        assert_int_equal(consent.too_late, 0);
        assert_true(consent.before >= 20 && consent.after > 0);
        /* What was refused is not there; what was acknowledged is. */
        assert_int_equal(count_docs(&bed, "things"), consent.before);
        assert_int_equal(count_docs(&bed, "events"), consent.before);
    }
}

TEST(nobody_commits_on_a_version_after_it_was_replaced)
{
    race_for_consent(false);
}

TEST(nobody_commits_on_an_absence_after_it_ended)
{
    race_for_consent(true);
}

/* Each of two expects what the other writes: one at most may come through ("write skew"). */
struct skew {
    struct bed *bed;
    int round;
    int64_t version[2];
    _Atomic int won;
};

static void write_skewed(void *context, size_t number)
{
    struct skew *skew = context;
    struct pk_error err = { 0 };
    char other[32];
    LIST(list);
    (void)snprintf(other, sizeof(other), "s%d-%zu", skew->round, 1 - number);
    pk_writes_expect(&list, "guards", other, skew->version[1 - number]);
    add_replace(&list, "guards", doc("{'_id':'s%d-%zu','off':true}", skew->round, number),
                skew->version[number]);
    if (commit(skew->bed, &list, NULL, &err)) {
        skew->won++;
    }
}

TEST(two_who_expect_what_the_other_writes_do_not_both_commit)
{
    BED(bed);
    bed_open(&bed);
    for (int round = 0; round < ROUNDS * 2; round++) {
        struct skew skew = { .bed = &bed, .round = round };
        for (int i = 0; i < 2; i++) {
            skew.version[i] = put(&bed, "guards", doc("{'_id':'s%d-%d'}", round, i));
        }
        run_threads(2, write_skewed, &skew);
        assert_int_equal(skew.won, 1);
    }
}
