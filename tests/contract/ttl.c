/* ttl.c - A document whose time has passed is not there, reclaimed or not.
 *
 * On SQLite the clock is the case's own. On MongoDB the server's own TTL
 * thread may or may not have been by: what is promised holds either way. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include "doc/inventory.h"

#include <string.h>

enum { HOUR_MS = 3600 * 1000, START_MS = 1700000000 * 1LL };

static int64_t now_ms(const struct bed *bed)
{
    return pk_clock_wall_ms(bed_clock(bed));
}

/* On MongoDB the real date: expiry follows the server's clock there. */
static void open_with_clock(struct bed *bed)
{
    if (is_mongodb()) {
        bed_open(bed);
    } else {
        bed_open_fake(bed, (int64_t)START_MS * 1000);
    }
}

static struct pk_doc *mortal(const char *id, const char *name, int64_t expires_ms)
{
    return doc("{'_id':'%s','name':'%s','owner':'o','expiresAt':{'$date':%lld}}", id, name,
               (long long)expires_ms);
}

/* Makes what was written with 'in an hour' expired: by the clock, or by writing it so. */
static int64_t soon_over(const struct bed *bed)
{
    return is_mongodb() ? now_ms(bed) - HOUR_MS : now_ms(bed) + HOUR_MS;
}

static void let_it_pass(struct bed *bed)
{
    if (!is_mongodb()) {
        pk_clock_fake_advance(&bed->fake, HOUR_MS);
    }
}

TEST(an_expired_document_is_not_found_by_any_way)
{
    BED(bed);
    open_with_clock(&bed);
    (void)put(&bed, "mortals", mortal("a", "n1", soon_over(&bed)));
    (void)put(&bed, "mortals", mortal("b", "n2", now_ms(&bed) + 10 * HOUR_MS));
    (void)put(&bed, "mortals", doc("{'_id':'c','owner':'o'}")); /* Without a date: stays. */
    let_it_pass(&bed);
    assert_int_equal(version_of(&bed, "mortals", "a"), 0);
    expect_find(&bed, &(struct pk_query){ .collection = "mortals", .index = "_id" }, "b c");
    expect_find(&bed,
                &(struct pk_query){ .collection = "mortals",
                                    .index = "by_owner",
                                    .equal = { PK_TEXT("o") },
                                    .equal_count = 1 },
                "b c");
    expect_find(&bed,
                &(struct pk_query){ .collection = "mortals",
                                    .index = "one_name",
                                    .equal = { PK_TEXT("n1") },
                                    .equal_count = 1 },
                "");
}

TEST_SQLITE(the_instant_of_expiry_is_expired)
{
    BED(bed);
    open_with_clock(&bed);
    (void)put(&bed, "mortals", mortal("a", "n1", now_ms(&bed) + 1000));
    pk_clock_fake_advance(&bed.fake, 999);
    assert_true(version_of(&bed, "mortals", "a") > 0);
    pk_clock_fake_advance(&bed.fake, 1);
    assert_int_equal(version_of(&bed, "mortals", "a"), 0);
}

TEST(an_insert_takes_the_place_of_an_expired_document)
{
    BED(bed);
    open_with_clock(&bed);
    const int64_t old = put(&bed, "mortals", mortal("a", "n1", soon_over(&bed)));
    let_it_pass(&bed);
    const int64_t fresh = put(&bed, "mortals", mortal("a", "n9", now_ms(&bed) + HOUR_MS));
    assert_true(fresh != old);
    assert_int_equal(version_of(&bed, "mortals", "a"), fresh);
    /* The old one's keys went with it. */
    expect_find(&bed, &(struct pk_query){ .collection = "mortals", .index = "one_name" }, "a");
    (void)put(&bed, "mortals", mortal("b", "n1", now_ms(&bed) + HOUR_MS));
}

TEST(an_expired_document_makes_room_for_one_of_its_own_id_and_key)
{
    BED(bed);
    open_with_clock(&bed);
    (void)put(&bed, "mortals", mortal("a", "n1", soon_over(&bed)));
    let_it_pass(&bed);
    const int64_t version = put(&bed, "mortals", mortal("a", "n1", now_ms(&bed) + HOUR_MS));
    assert_int_equal(version_of(&bed, "mortals", "a"), version);
}

TEST(an_expired_document_does_not_hold_its_unique_key)
{
    BED(bed);
    open_with_clock(&bed);
    (void)put(&bed, "mortals", mortal("a", "taken", soon_over(&bed)));
    let_it_pass(&bed);
    (void)put(&bed, "mortals", mortal("b", "taken", now_ms(&bed) + HOUR_MS));
    struct pk_error err = { 0 };
    struct pk_commit out = { 0 };
    assert_false(
        try_insert(&bed, "mortals", mortal("c", "taken", now_ms(&bed) + HOUR_MS), &out, &err));
    assert_code(&err, PK_CONFLICT);
    assert_string_equal(out.conflict_index, "one_name");
}

TEST(an_expired_document_cannot_be_replaced_deleted_expected_or_counted)
{
    BED(bed);
    open_with_clock(&bed);
    const int64_t version = put(&bed, "mortals", mortal("a", "n1", soon_over(&bed)));
    let_it_pass(&bed);
    struct pk_error err = { 0 };
    LIST(list);
    add_replace(&list, "mortals", mortal("a", "n2", now_ms(&bed) + HOUR_MS), version);
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_CONFLICT);
    pk_writes_clear(&list);
    pk_writes_delete(&list, "mortals", "a", version);
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_CONFLICT);
    pk_writes_clear(&list);
    pk_writes_expect(&list, "mortals", "a", version);
    add_insert(&list, "things", doc("{'_id':'t'}"));
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_CONFLICT);
    pk_writes_clear(&list);
    pk_writes_count(&list, "mortals", "a", &(struct pk_count){ .path = "n", .amount = 1 }, 1);
    must_commit(&bed, &list, NULL);
    assert_int_equal(version_of(&bed, "mortals", "a"), 0);
}

TEST(an_expired_document_counts_as_absent)
{
    BED(bed);
    open_with_clock(&bed);
    (void)put(&bed, "mortals", mortal("a", "n1", soon_over(&bed)));
    let_it_pass(&bed);
    LIST(list);
    pk_writes_expect_absent(&list, "mortals", "a");
    add_insert(&list, "things", doc("{'_id':'t'}"));
    must_commit(&bed, &list, NULL);
}

TEST(pages_skip_the_expired_and_still_fill)
{
    BED(bed);
    open_with_clock(&bed);
    LIST(list);
    for (int i = 0; i < 300; i++) {
        char id[16], name[16];
        (void)snprintf(id, sizeof(id), "m%03d", i);
        (void)snprintf(name, sizeof(name), "n%03d", i);
        add_insert(&list, "mortals",
                   mortal(id, name, i % 10 ? soon_over(&bed) : now_ms(&bed) + 5 * HOUR_MS));
    }
    must_commit(&bed, &list, NULL);
    let_it_pass(&bed);
    assert_int_equal(count_docs(&bed, "mortals"), 30);
    struct pk_query query = { .collection = "mortals", .index = "_id", .limit = 30 };
    struct pk_page page = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_store_find(bed.store, &query, soon(&bed), &page, &err), &err);
    assert_int_equal(page.count, 30);
    pk_page_done(&page);
}

TEST(reap_takes_the_expired_away_and_nothing_else)
{
    BED(bed);
    open_with_clock(&bed);
    for (int i = 0; i < 30; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "m%02d", i);
        (void)put(&bed, "mortals",
                  mortal(id, id, i % 3 ? soon_over(&bed) : now_ms(&bed) + 5 * HOUR_MS));
    }
    let_it_pass(&bed);
    struct pk_error err = { 0 };
    size_t count = 0, all = 0;
    do {
        assert_ok(pk_store_reap(bed.store, 7, &count, &err), &err);
        assert_true(count <= 7);
        all += count;
    } while (count > 0);
    assert_int_equal(all, is_mongodb() ? 0 : 20); /* There the server does it. */
    assert_int_equal(count_docs(&bed, "mortals"), 10);
}

/* ---- The server's own reaper ---- */

static int64_t raw_count(const struct bed *bed, const char *collection)
{
    bson_t *reply = mongo_command(bed->place, "{'count':'%s'}", collection);
    bson_iter_t iter;
    const int64_t n = bson_iter_init_find(&iter, reply, "n") ? bson_iter_as_int64(&iter) : -1;
    bson_destroy(reply);
    return n;
}

/* What listIndexes says of the index whose only key is 'path'; -1 when it has no expiry. */
static int64_t expire_after(const struct bed *bed, const char *collection, const char *path)
{
    bson_t *reply = mongo_command(bed->place, "{'listIndexes':'%s'}", collection);
    bson_iter_t iter, batch, index, key;
    int64_t seconds = -1;
    assert_true(bson_iter_init(&iter, reply) &&
                bson_iter_find_descendant(&iter, "cursor.firstBatch", &batch) &&
                bson_iter_recurse(&batch, &iter));
    while (bson_iter_next(&iter)) {
        bson_iter_t at = iter;
        assert_true(bson_iter_recurse(&iter, &index));
        if (bson_iter_find_descendant(&index, "key", &key) && bson_iter_recurse(&key, &index) &&
            bson_iter_next(&index) && strcmp(bson_iter_key(&index), path) == 0 &&
            bson_iter_recurse(&at, &index) && bson_iter_find(&index, "expireAfterSeconds")) {
            seconds = bson_iter_as_int64(&index);
        }
    }
    bson_destroy(reply);
    return seconds;
}

TEST_MONGODB(mongod_itself_deletes_what_has_expired)
{
    PK_CLEANUP(own_server_done) struct own_server own = { 0 };
    own_server_start(&own, 1, "--parameter ttlMonitorSleepSecs=1");
    BED(bed);
    bed_open(&bed);
    assert_int_equal(expire_after(&bed, "mortals", "expiresAt"), 0);
    for (int i = 0; i < 20; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "m%02d", i);
        (void)put(&bed, "mortals", mortal(id, id, now_ms(&bed) + (i % 2 ? -HOUR_MS : HOUR_MS)));
    }
    wait_until(raw_count(&bed, "mortals") == 10);
    assert_int_equal(count_docs(&bed, "mortals"), 10);
}

TEST_MONGODB(mongod_deletes_an_expired_persona_of_the_builtin_inventory)
{
    PK_CLEANUP(own_server_done) struct own_server own = { 0 };
    own_server_start(&own, 1, "--parameter ttlMonitorSleepSecs=1");
    BED(bed);
    bed_open_inventory(&bed, pk_inventory_builtin());
    assert_int_equal(expire_after(&bed, "personas", "expiresAt"), 0);
    /* As the server would see one that was written an hour ago. */
    bson_destroy(mongo_command(bed.place,
                               "{'insert':'personas','documents':[{'_id':'m:p:instant',"
                               "'expiresAt':{'$date':%lld}}]}",
                               (long long)now_ms(&bed) - HOUR_MS));
    wait_until(raw_count(&bed, "personas") == 0);
}
