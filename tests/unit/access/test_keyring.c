/* test_keyring.c - From key to principal: hits, refusals, revocation, silence, races. */
/* SPDX-License-Identifier: MIT */
#include "access/actor.h"
#include "access/keyring.h"
#include "access/pepper.h"
#include "base/alloc.h"
#include "scene.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct pk_feed_item quiet = { .kind = PK_FEED_QUIET };
static const struct pk_feed_item gap = { .kind = PK_FEED_GAP };

/* A scene with a keyring, an actor with a key, and the feed in the case's hand. */
struct set {
    struct scene scene;
    struct pk_keyring *ring;
    struct pk_feed *feed;
    char actor[PK_UUID_TEXT];
    struct pk_key key;
    char text[PK_KEY_TEXT];
    struct pk_principal *principal;
};

static void set_open_with(struct set *set, int64_t stale_read_ms, size_t capacity)
{
    *set = (struct set){ 0 };
    scene_open(&set->scene, NULL);
    const struct pk_keyring_options options = { .store = set->scene.store,
                                                .clock = &set->scene.clock.clock,
                                                .peppers = set->scene.peppers,
                                                .stale_read_ms = stale_read_ms,
                                                .capacity = capacity };
    set->ring = pk_keyring_new(&options);
    struct pk_doc *actor = make_actor(&set->scene, "a", "{'canRequestPersonas':true}");
    (void)snprintf(set->actor, sizeof(set->actor), "%s", pk_doc_id(actor));
    pk_doc_unref(actor);
    set->key = make_key(&set->scene, set->actor, NOW_MS + 3600000);
    pk_key_print(&set->key, set->text);
    assert_ok(pk_feed_open(&set->feed, set->scene.store, NULL, &set->scene.err), &set->scene.err);
    pk_keyring_hear(set->ring, &quiet);
}

static void set_open(struct set *set)
{
    set_open_with(set, 0, 0);
}

static void set_close(struct set *set)
{
    pk_principal_unref(set->principal);
    pk_feed_close(set->feed);
    pk_keyring_free(set->ring);
    scene_close(&set->scene);
}

/* Tells the ring all that the feed has. */
static size_t hear_all(struct set *set)
{
    size_t events = 0;
    for (;;) {
        struct pk_feed_item item;
        assert_ok(pk_feed_next(set->feed, 0, &item, &set->scene.err), &set->scene.err);
        pk_keyring_hear(set->ring, &item);
        pk_doc_unref(item.doc);
        if (item.kind == PK_FEED_QUIET) {
            return events;
        }
        events++;
    }
}

static enum pk_look look_for(struct set *set, const char *text, bool is_read)
{
    pk_principal_unref(set->principal);
    set->principal = NULL;
    set->scene.err = (struct pk_error){ 0 };
    const enum pk_look found =
        pk_keyring_look(set->ring, text, strlen(text), is_read, &set->principal, &set->scene.err);
    assert_int_equal(found == PK_LOOK_FOUND, set->principal != NULL);
    return found;
}

static enum pk_look look(struct set *set)
{
    return look_for(set, set->text, false);
}

static bool fetch_for(struct set *set, const char *text)
{
    pk_principal_unref(set->principal);
    set->principal = NULL;
    return pk_keyring_fetch(set->ring, text, strlen(text), false, 0, &set->principal,
                            &set->scene.err);
}

static bool fetch(struct set *set)
{
    return fetch_for(set, set->text);
}

TEST(a_key_is_fetched_once_and_then_found)
{
    struct set set;
    struct pk_keyring_stats stats;
    set_open(&set);
    assert_int_equal(look(&set), PK_LOOK_AWAY);
    assert_ok(fetch(&set), &set.scene.err);
    assert_string_equal(set.principal->actor_id, set.actor);
    assert_int_equal(set.principal->capabilities, PK_CAN_REQUEST);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(look(&set), PK_LOOK_FOUND);
    }
    pk_keyring_stats(set.ring, &stats);
    assert_int_equal(stats.fetches, 1);
    assert_true(stats.hits >= 10);
    set_close(&set);
}

static void expect_refused(struct set *set, const char *text)
{
    assert_false(fetch_for(set, text));
    expect_error(&set->scene.err, PK_UNAUTHORIZED, "the key is missing or not valid");
    if (strlen(text) >= PK_KEY_SIZE) {
        expect_silence(&set->scene.err, text);
    }
    assert_int_equal(look_for(set, text, false), PK_LOOK_REFUSED);
    expect_error(&set->scene.err, PK_UNAUTHORIZED, "the key is missing or not valid");
}

TEST(what_is_no_key_is_refused_without_the_store)
{
    static const char *const text[] = { "", "pk_", "pk__", "Bearer", "pk_a_b", "PK_AAAA", "*" };
    struct set set;
    set_open(&set);
    for (size_t i = 0; i < PK_COUNT(text); i++) {
        expect_refused(&set, text[i]);
    }
    char *large = pk_alloc(10241);
    memset(large, 'a', 10240);
    memcpy(large, set.text, PK_KEY_SIZE);
    large[10240] = '\0';
    expect_refused(&set, large);
    pk_free(large);
    struct pk_principal *principal;
    char nul[PK_KEY_SIZE];
    memcpy(nul, set.text, sizeof(nul));
    nul[30] = '\0';
    assert_int_equal(pk_keyring_look(set.ring, nul, sizeof(nul), true, &principal, &set.scene.err),
                     PK_LOOK_REFUSED);
    struct pk_keyring_stats stats;
    pk_keyring_stats(set.ring, &stats);
    assert_int_equal(stats.fetches, 0);
    set_close(&set);
}

TEST(a_wrong_secret_and_an_unknown_id_are_refused_alike)
{
    struct set set;
    char wrong[PK_KEY_TEXT];
    struct pk_key stranger;
    set_open(&set);
    memcpy(wrong, set.text, sizeof(wrong));
    wrong[40] = wrong[40] == 'a' ? 'b' : 'a';
    expect_refused(&set, wrong);
    pk_key_new(&stranger);
    pk_key_print(&stranger, wrong);
    expect_refused(&set, wrong);
    assert_ok(fetch(&set), &set.scene.err); /* And the right one still works. */
    set_close(&set);
}

TEST(a_key_that_has_fitted_before_opens_for_itself_alone)
{
    struct set set;
    char wrong[PK_KEY_TEXT];
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    for (size_t i = 0; i < PK_KEY_SECRET - 1; i++) { /* One character of the secret differs. */
        memcpy(wrong, set.text, sizeof(wrong));
        char *c = &wrong[PK_KEY_SIZE - PK_KEY_SECRET + i];
        *c = *c == 'b' ? 'c' : 'b';
        assert_int_equal(look_for(&set, wrong, false), PK_LOOK_REFUSED);
        assert_int_equal(look(&set), PK_LOOK_FOUND);
    }
    /* The secret of another key, behind this one's id. */
    const struct pk_key other = make_key(&set.scene, set.actor, NOW_MS + 3600000);
    char text[PK_KEY_TEXT];
    pk_key_print(&other, text);
    (void)hear_all(&set);
    assert_ok(fetch_for(&set, text), &set.scene.err);
    assert_ok(fetch(&set), &set.scene.err);
    memcpy(wrong, set.text, sizeof(wrong));
    memcpy(wrong + PK_KEY_SIZE - PK_KEY_SECRET, other.secret, PK_KEY_SECRET);
    assert_int_equal(look_for(&set, wrong, false), PK_LOOK_REFUSED);
    assert_int_equal(look_for(&set, text, false), PK_LOOK_FOUND);
    set_close(&set);
}

TEST(an_id_that_nobody_has_reaches_the_store_once_until_an_event)
{
    struct set set;
    struct pk_key stranger;
    struct pk_keyring_stats stats;
    char text[PK_KEY_TEXT];
    set_open(&set);
    pk_key_new(&stranger);
    pk_key_print(&stranger, text);
    for (int i = 0; i < 10; i++) {
        expect_refused(&set, text);
    }
    pk_keyring_stats(set.ring, &stats);
    assert_int_equal(stats.fetches, 1);
    pk_doc_unref(make_actor(&set.scene, "b", "{}"));
    assert_int_equal(hear_all(&set), 1);
    assert_int_equal(look_for(&set, text, false), PK_LOOK_AWAY);
    set_close(&set);
}

TEST(a_flood_of_unknown_ids_pushes_no_key_out)
{
    struct set set;
    char text[PK_KEY_TEXT];
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    for (int i = 0; i < 20000; i++) {
        struct pk_key stranger;
        pk_key_new(&stranger);
        pk_key_print(&stranger, text);
        assert_false(fetch_for(&set, text));
    }
    assert_int_equal(look(&set), PK_LOOK_FOUND);
    set_close(&set);
}

TEST(more_keys_than_it_holds_come_and_go)
{
    struct set set;
    set_open_with(&set, 0, 64);
    for (int i = 0; i < 600; i++) { /* More keys than it holds: some go, all can come back. */
        struct pk_key key = make_key(&set.scene, set.actor, 0);
        char text[PK_KEY_TEXT];
        pk_key_print(&key, text);
        assert_ok(fetch_for(&set, text), &set.scene.err);
        assert_ok(pk_actor_revoke_key(&set.scene.books, &set.scene.by, set.actor, 0, key.id, NULL,
                                      &set.scene.err),
                  &set.scene.err);
    }
    (void)hear_all(&set);
    assert_ok(fetch(&set), &set.scene.err);
    set_close(&set);
}

/* What ends a key, each heard through the feed. */
static void revoke_key(struct set *set)
{
    assert_ok(pk_actor_revoke_key(&set->scene.books, &set->scene.by, set->actor, 0, set->key.id,
                                  NULL, &set->scene.err),
              &set->scene.err);
}

static void suspend(struct set *set)
{
    assert_ok(pk_actor_move(&set->scene.books, &set->scene.by, set->actor, 0, PK_ACTOR_SUSPEND,
                            NULL, &set->scene.err),
              &set->scene.err);
}

static void archive(struct set *set)
{
    assert_ok(pk_actor_move(&set->scene.books, &set->scene.by, set->actor, 0, PK_ACTOR_ARCHIVE,
                            NULL, &set->scene.err),
              &set->scene.err);
}

TEST(revoked_suspended_and_archived_are_refused_once_heard)
{
    static void (*const end[])(struct set *) = { revoke_key, suspend, archive };
    for (size_t i = 0; i < PK_COUNT(end); i++) {
        struct set set;
        struct pk_principal *other = NULL;
        set_open(&set);
        assert_ok(fetch(&set), &set.scene.err);
        struct pk_principal *held = pk_principal_ref(set.principal);
        end[i](&set);
        assert_int_equal(look(&set), PK_LOOK_FOUND); /* Not heard yet. */
        assert_int_equal(hear_all(&set), 1);
        assert_int_equal(look(&set), PK_LOOK_AWAY);
        assert_int_equal(pk_keyring_still(set.ring, held, true, &set.scene.err), PK_LOOK_AWAY);
        assert_false(pk_keyring_renew(set.ring, held, true, 0, &other, &set.scene.err));
        expect_error(&set.scene.err, PK_UNAUTHORIZED, "not valid");
        expect_refused(&set, set.text);
        pk_principal_unref(held);
        set_close(&set);
    }
}

TEST(a_change_of_capabilities_is_seen_by_open_streams)
{
    struct set set;
    struct pk_principal *renewed = NULL;
    struct pk_doc *after = NULL;
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    assert_int_equal(pk_keyring_still(set.ring, set.principal, true, &set.scene.err),
                     PK_LOOK_FOUND);
    bson_t wanted = json("{'capabilities':{'grants':['curate']}}");
    assert_ok(pk_actor_change(&set.scene.books, &set.scene.by, set.actor, 0, &wanted, &after,
                              &set.scene.err),
              &set.scene.err);
    bson_destroy(&wanted);
    pk_doc_unref(after);
    (void)hear_all(&set);
    assert_int_equal(pk_keyring_still(set.ring, set.principal, true, &set.scene.err), PK_LOOK_AWAY);
    assert_ok(pk_keyring_renew(set.ring, set.principal, true, 0, &renewed, &set.scene.err),
              &set.scene.err);
    assert_int_equal(renewed->capabilities, PK_CAN_REQUEST | PK_CAN_CURATE);
    pk_principal_unref(renewed);
    set_close(&set);
}

TEST(a_key_ends_at_its_hour)
{
    struct set set;
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    pk_clock_fake_advance(&set.scene.clock, 3600000 - 1);
    pk_keyring_hear(set.ring, &quiet);
    assert_int_equal(look(&set), PK_LOOK_FOUND);
    struct pk_principal *held = pk_principal_ref(set.principal);
    pk_clock_fake_advance(&set.scene.clock, 1);
    assert_int_equal(pk_keyring_still(set.ring, held, true, &set.scene.err), PK_LOOK_REFUSED);
    expect_error(&set.scene.err, PK_UNAUTHORIZED, "not valid");
    expect_refused(&set, set.text);
    pk_principal_unref(held);
    set_close(&set);
}

TEST(a_gap_makes_everything_void)
{
    struct set set;
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    pk_keyring_hear(set.ring, &gap);
    assert_int_equal(look(&set), PK_LOOK_AWAY);
    assert_ok(fetch(&set), &set.scene.err);
    assert_int_equal(look(&set), PK_LOOK_FOUND);
    set_close(&set);
}

TEST(events_about_others_disturb_nobody)
{
    struct set set;
    struct pk_keyring_stats stats;
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    bson_t bson = json("{'eventType':'mindscape.updated','payload':{'entityId':'%s'}}", set.actor);
    struct pk_doc *doc = pk_doc_new(&bson);
    bson_destroy(&bson);
    const struct pk_feed_item item = { .kind = PK_FEED_EVENT, .doc = doc };
    pk_keyring_hear(set.ring, &item);
    pk_doc_unref(doc);
    assert_int_equal(look(&set), PK_LOOK_FOUND);
    pk_keyring_stats(set.ring, &stats);
    assert_int_equal(stats.voided, 0);
    set_close(&set);
}

TEST(after_two_seconds_of_silence_every_key_gets_503_and_never_401)
{
    struct set set;
    struct pk_key stranger;
    char unknown[PK_KEY_TEXT];
    set_open(&set);
    pk_key_new(&stranger);
    pk_key_print(&stranger, unknown);
    assert_ok(fetch(&set), &set.scene.err);
    pk_clock_fake_advance(&set.scene.clock, 2000);
    assert_int_equal(look(&set), PK_LOOK_FOUND);
    pk_clock_fake_advance(&set.scene.clock, 1);
    const char *const text[] = { set.text, unknown };
    for (size_t i = 0; i < 2; i++) {
        for (int is_read = 0; is_read < 2; is_read++) {
            assert_int_equal(look_for(&set, text[i], is_read), PK_LOOK_REFUSED);
            expect_error(&set.scene.err, PK_UNAVAILABLE, "no key can be confirmed");
        }
        assert_false(fetch_for(&set, text[i]));
        assert_int_equal(set.scene.err.code, PK_UNAVAILABLE);
    }
    assert_int_equal(pk_keyring_silence_ms(set.ring), 2001);
    pk_keyring_hear(set.ring, &quiet);
    assert_int_equal(look(&set), PK_LOOK_FOUND);
    set_close(&set);
}

TEST(reads_may_be_allowed_longer)
{
    struct set set;
    set_open_with(&set, 60000, 0);
    assert_ok(fetch(&set), &set.scene.err);
    pk_clock_fake_advance(&set.scene.clock, 60000);
    assert_int_equal(look_for(&set, set.text, true), PK_LOOK_FOUND);
    assert_int_equal(look_for(&set, set.text, false), PK_LOOK_REFUSED);
    pk_clock_fake_advance(&set.scene.clock, 1);
    assert_int_equal(look_for(&set, set.text, true), PK_LOOK_REFUSED);
    assert_int_equal(set.scene.err.code, PK_UNAVAILABLE);
    set_close(&set);
}

TEST(before_the_feed_was_heard_no_key_counts)
{
    struct scene scene;
    struct pk_principal *principal;
    scene_open(&scene, NULL);
    const struct pk_keyring_options options = { .store = scene.store,
                                                .clock = &scene.clock.clock,
                                                .peppers = scene.peppers };
    struct pk_keyring *ring = pk_keyring_new(&options);
    struct pk_key key;
    char text[PK_KEY_TEXT];
    pk_key_new(&key);
    pk_key_print(&key, text);
    assert_int_equal(pk_keyring_look(ring, text, PK_KEY_SIZE, true, &principal, &scene.err),
                     PK_LOOK_REFUSED);
    assert_int_equal(scene.err.code, PK_UNAVAILABLE);
    assert_true(pk_keyring_silence_ms(ring) == INT64_MAX);
    pk_keyring_free(ring);
    scene_close(&scene);
}

TEST(keys_of_an_older_pepper_go_on_and_new_ones_use_the_newest)
{
    struct set set;
    struct pk_peppers *more = NULL;
    set_open(&set);
    assert_ok(pk_peppers_rotate(set.scene.folder, &set.scene.err), &set.scene.err);
    assert_ok(pk_peppers_open(&more, set.scene.folder, set.scene.store, false, &set.scene.err),
              &set.scene.err);
    set.scene.books.peppers = more;
    struct pk_key key = make_key(&set.scene, set.actor, 0);
    char text[PK_KEY_TEXT];
    pk_key_print(&key, text);
    assert_false(fetch_for(&set, text)); /* Who has not read the new file cannot check it. */
    const struct pk_keyring_options options = { .store = set.scene.store,
                                                .clock = &set.scene.clock.clock,
                                                .peppers = more };
    struct pk_keyring *ring = pk_keyring_new(&options);
    pk_keyring_hear(ring, &quiet);
    const char *const both[] = { text, set.text };
    for (size_t i = 0; i < 2; i++) {
        struct pk_principal *principal = NULL;
        assert_ok(
            pk_keyring_fetch(ring, both[i], PK_KEY_SIZE, false, 0, &principal, &set.scene.err),
            &set.scene.err);
        pk_principal_unref(principal);
    }
    pk_keyring_free(ring);
    set_close(&set);
    pk_peppers_free(more);
}

/* ---- Races ---- */

struct race {
    struct set *set;
    _Atomic bool is_revoked; /* The ring has heard of it. */
    _Atomic bool is_over;
    _Atomic int granted, late;
};

/* No look-up that begins after the ring has heard may succeed, fetches included. */
static void ask_on(void *context, size_t number)
{
    struct race *race = context;
    struct set *set = race->set;
    if (number == 0) {
        while (race->granted < 1000) {
        }
        revoke_key(set);
        (void)hear_all(set);
        race->is_revoked = true;
        for (int i = 0; i < 100; i++) {
            (void)hear_all(set);
        }
        race->is_over = true;
        return;
    }
    while (!race->is_over) {
        struct pk_principal *principal = NULL;
        struct pk_error err;
        const bool was_revoked = race->is_revoked;
        const bool ok =
            number % 2
                ? pk_keyring_fetch(set->ring, set->text, PK_KEY_SIZE, false, 0, &principal, &err)
                : pk_keyring_look(set->ring, set->text, PK_KEY_SIZE, false, &principal, &err) ==
                      PK_LOOK_FOUND;
        race->granted += ok;
        race->late += ok && was_revoked;
        pk_principal_unref(principal);
    }
}

TEST(no_look_up_succeeds_once_a_revocation_was_heard)
{
    for (int round = 0; round < 5; round++) {
        struct set set;
        set_open(&set);
        struct race race = { .set = &set };
        run_threads(6, ask_on, &race);
        assert_true(race.granted >= 1000);
        assert_int_equal(race.late, 0);
        set_close(&set);
    }
}

/* Fills that race with invalidations: each thread fetches while the actor changes all the time;
 * what was read before an event must never be served after it. */
static void churn(void *context, size_t number)
{
    struct race *race = context;
    struct set *set = race->set;
    if (number == 0) {
        for (int i = 0; i < 60; i++) {
            bson_t wanted =
                json("{'capabilities':{'canRequestPersonas':%s}}", i % 2 ? "true" : "false");
            struct pk_error err = { 0 };
            assert_ok(pk_actor_change(&set->scene.books, &set->scene.by, set->actor, 0, &wanted,
                                      NULL, &err),
                      &err);
            bson_destroy(&wanted);
            (void)hear_all(set);
            struct pk_principal *principal = NULL;
            if (pk_keyring_fetch(set->ring, set->text, PK_KEY_SIZE, false, 0, &principal, &err)) {
                const unsigned want = i % 2 ? PK_CAN_REQUEST : 0;
                race->late += principal->capabilities != want;
            }
            pk_principal_unref(principal);
        }
        race->is_over = true;
        return;
    }
    while (!race->is_over) {
        struct pk_principal *principal = NULL;
        (void)pk_keyring_fetch(set->ring, set->text, PK_KEY_SIZE, false, 0, &principal, NULL);
        pk_principal_unref(principal);
    }
}

TEST(a_fill_that_began_before_an_event_is_dropped)
{
    struct set set;
    set_open(&set);
    struct race race = { .set = &set };
    run_threads(4, churn, &race);
    assert_int_equal(race.late, 0);
    set_close(&set);
}

static void revoke_and_hear(void *context)
{
    revoke_key(context);
    assert_int_equal(hear_all(context), 1);
}

/* The worst instant: a fill has read the store and not yet kept what it read. */
TEST(a_revocation_heard_between_read_and_keep_wins)
{
    struct set set;
    struct pk_principal *renewed = NULL;
    set_open(&set);
    interrupt_once("by_key", revoke_and_hear, &set);
    assert_false(fetch(&set));
    expect_error(&set.scene.err, PK_UNAUTHORIZED, "not valid");
    expect_refused(&set, set.text);
    set_close(&set);

    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    interrupt_once("by_key", revoke_and_hear, &set);
    assert_false(pk_keyring_renew(set.ring, set.principal, true, 0, &renewed, &set.scene.err));
    expect_error(&set.scene.err, PK_UNAUTHORIZED, "not valid");
    assert_true(was_interrupted());
    set_close(&set);
}

/* Of an actor with the most keys he may have, the oldest revoked one makes room for another. */
static void push_out(struct set *set)
{
    revoke_key(set);
    for (int i = 0; i < PK_ACTOR_KEYS_MAX; i++) {
        struct pk_key key = make_key(&set->scene, set->actor, 0);
        pk_key_wipe(&key);
    }
    assert_true(hear_all(set) > PK_ACTOR_KEYS_MAX);
}

TEST(a_key_that_was_known_and_is_gone_is_refused_and_not_read_for_again)
{
    struct set set;
    struct pk_keyring_stats before;
    struct pk_keyring_stats after;
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    push_out(&set);
    pk_keyring_stats(set.ring, &before);
    expect_refused(&set, set.text);
    expect_refused(&set, set.text);
    pk_keyring_stats(set.ring, &after);
    assert_int_equal(after.fetches - before.fetches, 1);
    set_close(&set);
}

/* ---- Cost ---- */

TEST(time_of_a_hit_is_told)
{
    enum { RUNS = 200000 };
    struct set set;
    set_open(&set);
    assert_ok(fetch(&set), &set.scene.err);
    const struct pk_clock *clock = pk_clock_system();
    const int64_t start_ns = pk_clock_mono_ns(clock);
    for (int i = 0; i < RUNS; i++) {
        struct pk_principal *principal = NULL;
        assert_int_equal(pk_keyring_look(set.ring, set.text, PK_KEY_SIZE, true, &principal, NULL),
                         PK_LOOK_FOUND);
        pk_principal_unref(principal);
    }
    print_message("# a hit: %.0f ns\n", (double)(pk_clock_mono_ns(clock) - start_ns) / RUNS);
    set_close(&set);
}
