/* test_merge_lives.c - Whatever is merged and undone, and wherever it is broken off.
 *
 * Lives are told twice, in stores of their own, by the same script with the
 * same ids and the same clock: once with merges and undoings in it, once
 * without. What is known of each must be the same in the end. */
/* SPDX-License-Identifier: MIT */
#include "merge_bed.h"

#include "persona/erase.h"
#include "persona/merge_internal.h"
#include "store/store.h"

#include <stdio.h>

/* ---- The property: random lives, with merges and without ---- */

struct life {
    unsigned seed;
    int merges; /* That were carried out. */
};

static unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* 'is_merging' false: merges and undoings are passed over. All else is the same. */
static void live(struct kit *kit, struct life *life, int64_t start_ms, bool is_merging)
{
    unsigned state = life->seed;
    struct pk_merged done[PEOPLE] = { { .id = "" } };
    pk_clock_fake_init(&kit->clock, start_ms);
    for (int i = 0; i < 26; i++) {
        const unsigned what = draw(&state, 10), who = draw(&state, PEOPLE);
        const unsigned whom = draw(&state, PEOPLE), minutes = draw(&state, 100);
        char id[PK_UUID_TEXT];
        (void)snprintf(id, sizeof(id), "e%07x-0000-4000-8000-%012d", life->seed & 0xFFFFFFF, i);
        if (what < 7) {
            struct pk_accepted accepted = send_as(kit, person[who], NULL, id, (int)minutes);
            assert_ok(accepted.is_ok, &accepted.err);
            pk_accepted_done(&accepted);
        } else if (is_merging && who != whom && !done[who].id[0] && what < 9) {
            if (try_merge(kit, person[who], person[whom], &done[who])) {
                expect_done(kit, done[who].task);
                life->merges++;
            } else {
                assert_true(kit->err.code == PK_CONFLICT || kit->err.code == PK_NOT_FOUND);
                done[who].id[0] = '\0';
            }
        } else if (is_merging && done[who].id[0]) {
            undo_merge(kit, done[who].into, done[who].id);
            done[who].id[0] = '\0';
        }
        kit_work(kit);
        pk_clock_fake_advance(&kit->clock, start_ms + (i + 1) * (int64_t)HOUR_MS - kit_now(kit));
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        if (done[i].id[0]) {
            undo_merge(kit, done[i].into, done[i].id);
        }
    }
}

static void check_lives(bool is_mongo, unsigned first, unsigned count)
{
    int merges = 0;
    for (unsigned i = 0; i < count; i++) {
        KIT(merging, is_mongo);
        KIT(plain, is_mongo);
        struct life life = { .seed = 7919u * (first + i) };
        const int64_t start_ms = kit_now(&merging);
        teach(&merging);
        teach(&plain);
        live(&merging, &life, start_ms, true);
        live(&plain, &life, start_ms, false);
        merges += life.merges;
        for (size_t k = 0; k < PEOPLE; k++) {
            print_message("seed %u, person %zu\n", life.seed, k);
            expect_same(essence_of(&merging, person[k]), essence_of(&plain, person[k]));
            static const char *const same[] = { "observations", "processing",   "knowledge",
                                                "graph_nodes",  "graph_edges",  "narratives",
                                                "trait_links",  "trait_history" };
            for (size_t n = 0; n < sizeof(same) / sizeof(same[0]); n++) {
                assert_int_equal(rows_of(&merging, same[n], person[k]),
                                 rows_of(&plain, same[n], person[k]));
            }
            expect_dense(&merging, person[k]);
        }
        assert_int_equal(kit_count(&merging, "tombstones", NULL, NULL), 0);
    }
    assert_true(merges >= (int)count);
}

TEST(undone_is_as_if_it_had_never_been)
{
    check_lives(false, 1, 4);
    check_lives(false, 5002, 4); /* Places that went and came, and facts that expired meanwhile. */
}

TEST(undone_is_as_if_it_had_never_been_on_mongodb)
{
    check_lives(true, 100, 2);
}

/* ---- Broken off behind every commit ---- */

/* When it comes to 0 the commit is made, and its caller is told that nobody knows. */
static int left_to_crash;
static int crashes;

bool __real_pk_store_commit(struct pk_store *store, struct pk_writes *list, int64_t deadline_ns,
                            struct pk_commit *out, struct pk_error *err);
bool __wrap_pk_store_commit(struct pk_store *store, struct pk_writes *list, int64_t deadline_ns,
                            struct pk_commit *out, struct pk_error *err);
bool __real_pk_store_decide(struct pk_store *store, pk_decide_fn *decide, void *context,
                            int64_t deadline_ns, struct pk_commit *out, struct pk_error *err);
bool __wrap_pk_store_decide(struct pk_store *store, pk_decide_fn *decide, void *context,
                            int64_t deadline_ns, struct pk_commit *out, struct pk_error *err);

static bool is_crash(void)
{
    if (__atomic_load_n(&left_to_crash, __ATOMIC_RELAXED) > 0 &&
        __atomic_sub_fetch(&left_to_crash, 1, __ATOMIC_RELAXED) == 0) {
        (void)__atomic_add_fetch(&crashes, 1, __ATOMIC_RELAXED);
        return true;
    }
    return false;
}

bool __wrap_pk_store_commit(struct pk_store *store, struct pk_writes *list, int64_t deadline_ns,
                            struct pk_commit *out, struct pk_error *err)
{
    return __real_pk_store_commit(store, list, deadline_ns, out, err) &&
           (!is_crash() || pk_fail(err, PK_UNKNOWN, "look", "the power went"));
}

bool __wrap_pk_store_decide(struct pk_store *store, pk_decide_fn *decide, void *context,
                            int64_t deadline_ns, struct pk_commit *out, struct pk_error *err)
{
    return __real_pk_store_decide(store, decide, context, deadline_ns, out, err) &&
           (!is_crash() || pk_fail(err, PK_UNKNOWN, "look", "the power went"));
}

struct outcome {
    char *one, *first, *second; /* Of B while they are one; of A and B afterwards. */
};

static void outcome_done(struct outcome *outcome)
{
    pk_free(outcome->one);
    pk_free(outcome->first);
    pk_free(outcome->second);
}

/* A short life with a merge and its undoing; each crashes once behind its n-th commit. */
static void live_shortly(bool is_mongo, int crash_at, struct outcome *out)
{
    KIT(kit, is_mongo);
    const int64_t start_ms = INT64_C(1795000000000);
    struct pk_merged merged, undone;
    teach(&kit);
    for (int i = 0; i < 5; i++) {
        char id[PK_UUID_TEXT];
        pk_clock_fake_advance(&kit.clock, start_ms + i * (int64_t)HOUR_MS - kit_now(&kit));
        (void)snprintf(id, sizeof(id), "e0000000-0000-4000-8000-00000000000%d", i);
        struct pk_accepted accepted = send_as(&kit, i % 2 ? A : B, NULL, id, 30 + i);
        assert_ok(accepted.is_ok, &accepted.err);
        pk_accepted_done(&accepted);
        kit_work(&kit);
    }
    agree(&kit, A, "research", false);
    agree(&kit, B, "research", true);
    agree(&kit, A, "ads", true);
    agree(&kit, B, "ads", false);
    assert_ok(try_merge(&kit, A, B, &merged), &kit.err);
    __atomic_store_n(&left_to_crash, crash_at, __ATOMIC_RELAXED);
    expect_done(&kit, merged.task);
    __atomic_store_n(&left_to_crash, 0, __ATOMIC_RELAXED);
    assert_false(agrees(&kit, B, "research"));
    expect_dense(&kit, B);
    out->one = essence_of(&kit, B);
    pk_clock_fake_advance(&kit.clock, 1);
    assert_ok(pk_merge_undo(&kit.domain, &kit.bed.by, NULL, B, merged.id, &undone, &kit.err),
              &kit.err);
    __atomic_store_n(&left_to_crash, crash_at, __ATOMIC_RELAXED);
    expect_done(&kit, undone.task);
    __atomic_store_n(&left_to_crash, 0, __ATOMIC_RELAXED);
    assert_true(agrees(&kit, B, "research"));
    assert_false(agrees(&kit, A, "research"));
    assert_true(agrees(&kit, A, "ads"));
    assert_false(agrees(&kit, B, "ads"));
    expect_dense(&kit, A);
    expect_dense(&kit, B);
    out->first = essence_of(&kit, A);
    out->second = essence_of(&kit, B);
}

static void crash_behind_commits(bool is_mongo, int step)
{
    PK_CLEANUP(outcome_done) struct outcome whole = { NULL, NULL, NULL };
    int begun = 0, at = 1;
    live_shortly(is_mongo, 0, &whole);
    __atomic_store_n(&crashes, 0, __ATOMIC_RELAXED);
    for (; __atomic_load_n(&crashes, __ATOMIC_RELAXED) > begun || at == 1; at += step) {
        PK_CLEANUP(outcome_done) struct outcome broken = { NULL, NULL, NULL };
        begun = __atomic_load_n(&crashes, __ATOMIC_RELAXED);
        live_shortly(is_mongo, at, &broken);
        assert_string_equal(broken.one, whole.one);
        assert_string_equal(broken.first, whole.first);
        assert_string_equal(broken.second, whole.second);
    }
    print_message("# %d crashes, behind each of up to %d commits\n",
                  __atomic_load_n(&crashes, __ATOMIC_RELAXED), at - step);
}

TEST(broken_off_behind_commits_it_goes_on_to_the_same_end)
{
    crash_behind_commits(false, 2);
}

TEST(broken_off_behind_commits_it_goes_on_to_the_same_end_on_mongodb)
{
    crash_behind_commits(true, 5);
}

/* ---- Versions ---- */

static int64_t version_of(struct kit *kit, const char *who)
{
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *mindscape = kit_get(kit, "mindscapes", who);
    return mindscape ? pk_doc_int(mindscape, "version", 0) : 0;
}

/* Whoever has read A as version n is never told that B, or A again, is that, too. */
TEST(no_version_is_told_twice_under_one_name)
{
    KIT(kit, false);
    struct pk_merged merged;
    teach(&kit);
    for (int i = 0; i < 4; i++) {
        say(&kit, A, i);
    }
    say(&kit, B, 9);
    kit_work(&kit);
    const int64_t of_a = version_of(&kit, A), of_b = version_of(&kit, B);
    assert_true(of_a > of_b);
    assert_ok(try_merge(&kit, A, B, &merged), &kit.err);
    const int64_t begun = version_of(&kit, B);
    assert_true(begun > of_a);
    expect_done(&kit, merged.task);
    say(&kit, A, 20);
    kit_work(&kit);
    const int64_t shared = version_of(&kit, B);
    assert_true(shared > begun);
    undo_merge(&kit, B, merged.id);
    assert_true(version_of(&kit, A) > shared);
    assert_true(version_of(&kit, B) > shared);
}

/* ---- Erased in the middle ---- */

/* A copy of one of A's observations: under B's id, on its way back. */
static void plant_late(struct kit *kit, const struct pk_doc *observation)
{
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bson_t view;
    bson_t *bson = bson_new();
    pk_doc_view(observation, &view);
    BSON_APPEND_UTF8(bson, "_id", NOBODY);
    BSON_APPEND_UTF8(bson, "userId", B);
    BSON_APPEND_UTF8(bson, "mergedFrom", A);
    bson_copy_to_excluding_noinit(&view, bson, "_id", "userId", "mergedFrom", NULL);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *late = pk_doc_take(bson);
    pk_writes_insert(&list, "observations", late);
    assert_ok(pk_store_commit(kit->domain.books->store, &list, 0, NULL, &kit->err), &kit->err);
}

/* The undo was broken off behind the split, and A was erased before it went on. */
TEST(who_is_erased_in_the_middle_of_an_undo_gets_nothing_back)
{
    KIT(kit, false);
    struct pk_merged merged, undone;
    char task[PK_UUID_TEXT];
    PK_CLEANUP(pk_writes_done) struct pk_writes list = { 0 };
    bson_t set = BSON_INITIALIZER;
    teach(&kit);
    say(&kit, A, 1);
    say(&kit, B, 2);
    kit_work(&kit);
    merged = merge_two(&kit, A, B);
    PK_CLEANUP(pk_page_done) struct pk_page page = { 0 };
    const struct pk_query query = { .collection = "observations", .index = "_id", .limit = 1 };
    assert_ok(pk_store_find(kit.domain.books->store, &query, 0, &page, &kit.err), &kit.err);
    undo_merge(&kit, B, merged.id);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *holder = kit_get(&kit, "people", B);
    BSON_APPEND_UTF8(&set, "status", "undoing");
    PK_CLEANUP(pk_doc_unrefp)
    struct pk_doc *undoing = merge_entry_set(holder, merged.id, &set, kit_now(&kit));
    pk_writes_replace(&list, "people", undoing, pk_doc_version(holder));
    assert_ok(pk_store_commit(kit.domain.books->store, &list, 0, NULL, &kit.err), &kit.err);
    bson_destroy(&set);
    assert_ok(pk_erase_person(&kit.domain, &kit.bed.by, A, task, &kit.err), &kit.err);
    expect_done(&kit, task);
    plant_late(&kit, page.doc[0]);
    assert_ok(pk_merge_undo(&kit.domain, &kit.bed.by, NULL, B, merged.id, &undone, &kit.err),
              &kit.err);
    expect_done(&kit, undone.task);
    PK_CLEANUP(pk_doc_unrefp) struct pk_doc *late = kit_get(&kit, "observations", NOBODY);
    assert_null(late);
    assert_int_equal(rows_of(&kit, "observations", A), 0);
    assert_int_equal(rows_of(&kit, "consents", A), 0);
    assert_int_equal(rows_of(&kit, "observations", B), 1);
    assert_int_equal(kit_count(&kit, "people", "_id", A), 0);
}
