/* read.c - Finding: every kind of index, ranges, order, pages, cursors.
 *
 * What a query should find is worked out a second time by the plainest means
 * (look at every document, sort) and compared, for documents and queries that
 * are drawn at random from few values, so that ties and misses are common. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- By id ---- */

TEST(get_returns_what_was_put_and_null_for_what_was_not)
{
    BED(bed);
    bed_open(&bed);
    DOC(written);
    DOC(found);
    DOC(missing);
    written = doc("{'_id':'a','kind':'x','deep':{'list':[1,2.5,null,true,{'k':'v'}]}}");
    int64_t version = put(&bed, "things", pk_doc_ref(written));
    found = get(&bed, "things", "a");
    assert_non_null(found);
    assert_true(pk_doc_same(found, written));
    assert_int_equal(pk_doc_version(found), version);
    missing = get(&bed, "things", "b");
    assert_null(missing);
    assert_int_equal(version_of(&bed, "guards", "a"), 0); /* Another collection. */
}

TEST(unknown_names_and_ids_that_are_none_are_refused)
{
    BED(bed);
    bed_open(&bed);
    struct pk_error err = { 0 };
    struct pk_doc *found = NULL;
    struct pk_page page = { 0 };
    struct pk_query query = { .collection = "things", .index = "no_such_index" };

    assert_false(pk_store_get(bed.store, "nothing", "a", 0, &found, &err));
    assert_code(&err, PK_INVALID);
    assert_false(pk_store_get(bed.store, "things", "", 0, &found, &err));
    assert_code(&err, PK_INVALID);
    assert_false(pk_store_find(bed.store, &query, 0, &page, &err));
    assert_code(&err, PK_INVALID);
    assert_non_null(strstr(err.message, "no_such_index"));
    query = (struct pk_query){ .collection = "things", .index = "by_rank", .limit = 1001 };
    assert_false(pk_store_find(bed.store, &query, 0, &page, &err));
    assert_code(&err, PK_INVALID);
}

/* ---- Each kind of index, by hand ---- */

static void put_things(struct bed *bed)
{
    static const char *const thing[] = {
        "{'_id':'a','kind':'x','rank':1,'state':'open','name':'n1','flag':true,"
        "'when':{'$date':1000},'where':{'city':'Rome'},'tags':['red','blue']}",
        "{'_id':'b','kind':'x','rank':3,'state':'shut','urgent':true,'flag':true,"
        "'when':{'$date':3000},'tags':['red','red']}",
        "{'_id':'c','kind':'x','rank':2.5,'state':'open','urgent':false,'flag':false,"
        "'when':{'$date':2000},'where':{'city':'Oslo'},'tags':[]}",
        "{'_id':'d','kind':'y','rank':2,'urgent':true,'name':null,'tags':['blue',7,null]}",
        "{'_id':'e','kind':'y','rank':{'$numberLong':'9007199254740993'},'name':'n2'}",
        "{'_id':'f','kind':'x'}",
        "{'_id':'g','metadata':{'team':'blue','level':3,'in':{'room':'12','open':true},"
        "'list':['p','q']}}",
        "{'_id':'h','metadata':{'team':'red','level':3,'in':{'room':'12'}}}",
        "{'_id':'i','metadata':{'in%2Eroom':'12','level':4}}",
    };
    LIST(list);
    for (size_t i = 0; i < PK_COUNT(thing); i++) {
        add_insert(&list, "things", doc("%s", thing[i]));
    }
    must_commit(bed, &list, NULL);
}

#define FIND(bed, ids, ...) \
    expect_find(bed, &(struct pk_query){ .collection = "things", __VA_ARGS__ }, ids)
#define EQ1(a)    .equal = { a }, .equal_count = 1
#define FROM(v)   .min = { .is_set = true, .value = v }
#define AFTER(v)  .min = { .is_set = true, .is_exclusive = true, .value = v }
#define TO(v)     .max = { .is_set = true, .value = v }
#define BEFORE(v) .max = { .is_set = true, .is_exclusive = true, .value = v }

TEST(the_documents_themselves_come_in_order_of_their_ids)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "a b c d e f g h i", .index = "_id");
    FIND(&bed, "i h g f e d c b a", .index = "_id", .is_reversed = true);
    FIND(&bed, "c d e", .index = "_id", FROM(PK_TEXT("c")), TO(PK_TEXT("e")));
    FIND(&bed, "d", .index = "_id", AFTER(PK_TEXT("c")), BEFORE(PK_TEXT("e")));
    FIND(&bed, "d", .index = "_id", EQ1(PK_TEXT("d")));
    FIND(&bed, "", .index = "_id", EQ1(PK_TEXT("dd")));
}

TEST(an_ascending_and_descending_index_orders_as_declared)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "b c a f", .index = "by_kind_rank", EQ1(PK_TEXT("x")));
    FIND(&bed, "f a c b", .index = "by_kind_rank", EQ1(PK_TEXT("x")), .is_reversed = true);
    FIND(&bed, "b c", .index = "by_kind_rank", EQ1(PK_TEXT("x")), FROM(PK_INT(2)));
    FIND(&bed, "c a", .index = "by_kind_rank", EQ1(PK_TEXT("x")), TO(PK_DOUBLE(2.5)));
    FIND(&bed, "a", .index = "by_kind_rank", EQ1(PK_TEXT("x")), BEFORE(PK_DOUBLE(2.5)));
    FIND(&bed, "b", .index = "by_kind_rank", .equal = { PK_TEXT("x"), PK_INT(3) },
         .equal_count = 2);
    FIND(&bed, "", .index = "by_kind_rank", EQ1(PK_TEXT("z")));
}

TEST(integers_and_doubles_are_one_order_and_int64_is_exact)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "a d c b e", .index = "by_rank", FROM(PK_INT(0)));
    FIND(&bed, "a d c b", .index = "by_rank", TO(PK_DOUBLE(3.0)));
    FIND(&bed, "c", .index = "by_rank", EQ1(PK_DOUBLE(2.5)));
    FIND(&bed, "d", .index = "by_rank", EQ1(PK_DOUBLE(2.0)));
    FIND(&bed, "e", .index = "by_rank", EQ1(PK_INT(9007199254740993)));
    FIND(&bed, "", .index = "by_rank", EQ1(PK_INT(9007199254740992)));
    FIND(&bed, "e", .index = "by_rank", AFTER(PK_INT(9007199254740992)));
}

TEST(texts_never_lie_in_a_range_of_numbers)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    (void)put(&bed, "things", doc("{'_id':'t','rank':'2'}"));
    FIND(&bed, "a d c b e", .index = "by_rank", FROM(PK_INT(0)));
    FIND(&bed, "a d", .index = "by_rank", TO(PK_INT(2)));
    FIND(&bed, "t", .index = "by_rank", FROM(PK_TEXT("")));
    FIND(&bed, "t", .index = "by_rank", EQ1(PK_TEXT("2")));
}

TEST(dates_booleans_and_nested_fields_are_keys)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "b a", .index = "by_flag_when", EQ1(PK_BOOL(true)));
    FIND(&bed, "b", .index = "by_flag_when", EQ1(PK_BOOL(true)), AFTER(PK_DATE(1000)));
    FIND(&bed, "c", .index = "by_flag_when", EQ1(PK_BOOL(false)), FROM(PK_DATE(-5)));
    FIND(&bed, "c a", .index = "by_deep", FROM(PK_TEXT("")));
    FIND(&bed, "a", .index = "by_deep", EQ1(PK_TEXT("Rome")));
}

TEST(a_partial_index_holds_its_documents_and_no_others)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "d b", .index = "urgent_by_rank");
    FIND(&bed, "b", .index = "urgent_by_rank", AFTER(PK_INT(2)));
    FIND(&bed, "a e", .index = "named_by_name");
    FIND(&bed, "e", .index = "named_by_name", EQ1(PK_TEXT("n2")));
    FIND(&bed, "a c", .index = "open_by_kind", EQ1(PK_TEXT("x")));
    FIND(&bed, "", .index = "open_by_kind", EQ1(PK_TEXT("y")));
}

TEST(an_index_of_array_elements_finds_each_document_once)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "b a", .index = "by_tag", EQ1(PK_TEXT("red")));
    FIND(&bed, "d a", .index = "by_tag", EQ1(PK_TEXT("blue")));
    FIND(&bed, "d", .index = "by_tag", EQ1(PK_INT(7)));
    FIND(&bed, "a", .index = "by_tag", EQ1(PK_TEXT("blue")), TO(PK_INT(1)));
    FIND(&bed, "", .index = "by_tag", EQ1(PK_TEXT("green")));
    (void)put(&bed, "things", doc("{'_id':'k','keys':[{'keyId':'k1'},{'keyId':'k2'},{'x':1}]}"));
    FIND(&bed, "k", .index = "one_key_id", EQ1(PK_TEXT("k2")));
    FIND(&bed, "", .index = "one_key_id", EQ1(PK_TEXT("k3")));
    struct pk_error err = { 0 };
    struct pk_page page = { 0 };
    struct pk_query bare = { .collection = "things", .index = "by_tag" };
    assert_false(pk_store_find(bed.store, &bare, 0, &page, &err));
    assert_code(&err, PK_INVALID);
}

TEST(an_index_of_everything_below_finds_by_path_and_value)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    FIND(&bed, "g h", .index = "by_metadata", .below = "level", EQ1(PK_INT(3)));
    FIND(&bed, "g h", .index = "by_metadata", .below = "in.room", EQ1(PK_TEXT("12")));
    FIND(&bed, "i", .index = "by_metadata", .below = "in%2Eroom", EQ1(PK_TEXT("12")));
    FIND(&bed, "g", .index = "by_metadata", .below = "in.open", EQ1(PK_BOOL(true)));
    FIND(&bed, "g", .index = "by_metadata", .below = "team", EQ1(PK_TEXT("blue")));
    FIND(&bed, "", .index = "by_metadata", .below = "room", EQ1(PK_TEXT("12")));
    FIND(&bed, "", .index = "by_metadata", .below = "level", EQ1(PK_TEXT("3")));
}

TEST(indexes_follow_replaces_and_deletes)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    LIST(list);
    add_replace(&list, "things",
                doc("{'_id':'b','kind':'y','rank':9,'urgent':false,'tags':['green'],"
                    "'metadata':{'level':3}}"),
                version_of(&bed, "things", "b"));
    pk_writes_delete(&list, "things", "g", version_of(&bed, "things", "g"));
    must_commit(&bed, &list, NULL);
    FIND(&bed, "c a f", .index = "by_kind_rank", EQ1(PK_TEXT("x")));
    FIND(&bed, "a", .index = "by_tag", EQ1(PK_TEXT("red")));
    FIND(&bed, "b", .index = "by_tag", EQ1(PK_TEXT("green")));
    FIND(&bed, "d", .index = "urgent_by_rank");
    FIND(&bed, "b h", .index = "by_metadata", .below = "level", EQ1(PK_INT(3)));
}

/* ---- The same, worked out a second time ---- */

enum { ORACLE_DOCS = 300, ORACLE_QUERIES = 300 };

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

/* "a" to "d": few texts, few numbers, few dates, and sometimes nothing. */
static struct pk_doc *random_doc(uint64_t *state, size_t number)
{
    static const char *const key[] = { "a", "b", "c", "d" };
    bson_t *bson = bson_new();
    char id[32];
    (void)snprintf(id, sizeof(id), "id%04zu", (number * 7919) % 10000);
    bson_append_utf8(bson, "_id", -1, id, -1);
    for (size_t i = 0; i < PK_COUNT(key); i++) {
        const uint64_t value = draw(state, 4);
        if (i == 0) {
            char text[2] = { (char)('k' + value), '\0' };
            bson_append_utf8(bson, key[i], -1, text, -1);
        } else if (draw(state, 8) == 0) {
            continue;
        } else if (i == 1) {
            bson_append_int32(bson, key[i], -1, (int32_t)value);
        } else if (i == 2) {
            bson_append_date_time(bson, key[i], -1, (int64_t)value * 1000);
        } else {
            bson_append_double(bson, key[i], -1, (double)value / 2);
        }
    }
    return pk_doc_take(bson);
}

static const struct pk_index *four(void)
{
    return pk_collection_index(pk_inventory_find(contract_inventory(), "things"), "by_four");
}

static struct pk_query random_query(uint64_t *state, struct pk_doc **all)
{
    struct pk_query query = { .collection = "things", .index = "by_four" };
    const struct pk_doc *like = all[draw(state, ORACLE_DOCS)];
    const struct pk_doc *other = all[draw(state, ORACLE_DOCS)];
    query.equal_count = draw(state, 5);
    query.is_reversed = draw(state, 2) == 1;
    for (size_t i = 0; i < query.equal_count; i++) {
        query.equal[i] = oracle_value(like, four()->key[i].path);
    }
    if (query.equal_count < 4) {
        const char *path = four()->key[query.equal_count].path;
        struct pk_value low = oracle_value(like, path);
        struct pk_value high = oracle_value(other, path);
        query.min.is_set = low.type != PK_VALUE_NULL && draw(state, 2) == 1;
        query.max.is_set = high.type != PK_VALUE_NULL && draw(state, 2) == 1;
        query.min.is_exclusive = draw(state, 2) == 1;
        query.max.is_exclusive = draw(state, 2) == 1;
        query.min.value = low;
        query.max.value = high;
    }
    return query;
}

TEST(random_queries_find_what_looking_at_every_document_finds)
{
    static const size_t limit_table[] = { 1, 3, 10, 1000 };
    BED(bed);
    bed_open(&bed);
    struct pk_doc *all[ORACLE_DOCS];
    uint64_t seed = 42;
    LIST(list);
    for (size_t i = 0; i < ORACLE_DOCS; i++) {
        all[i] = random_doc(&seed, i);
        pk_writes_insert(&list, "things", all[i]);
    }
    must_commit(&bed, &list, NULL);
    for (size_t i = 0; i < ORACLE_QUERIES; i++) {
        struct pk_query query = random_query(&seed, all);
        PK_CLEANUP(pk_freep) char *expected = oracle_find(four(), all, ORACLE_DOCS, &query);
        const size_t limit = limit_table[query.equal_count == 0 ? 2 + i % 2 : i % 4];
        PK_CLEANUP(pk_freep) char *found = find_all(&bed, &query, limit);
        if (strcmp(found, expected) != 0) {
            fail_msg("query %zu (%zu equal, min %d%s, max %d%s, reversed %d, pages of %zu): "
                     "found '%.300s' instead of '%.300s'",
                     i, query.equal_count, query.min.is_set, query.min.is_exclusive ? "x" : "",
                     query.max.is_set, query.max.is_exclusive ? "x" : "", query.is_reversed, limit,
                     found, expected);
        }
    }
    for (size_t i = 0; i < ORACLE_DOCS; i++) {
        pk_doc_unref(all[i]);
    }
}

/* ---- Pages and cursors ---- */

static char *first_cursor(struct bed *bed, const struct pk_query *query)
{
    struct pk_page page = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_store_find(bed->store, query, soon(bed), &page, &err), &err);
    assert_non_null(page.next);
    char *cursor = pk_strdup(page.next);
    for (const char *c = cursor; *c; c++) {
        assert_true(*c > ' ' && *c < 127); /* It may travel. */
    }
    pk_page_done(&page);
    return cursor;
}

static void expect_refused(struct bed *bed, struct pk_query query, const char *cursor)
{
    struct pk_page page = { 0 };
    struct pk_error err = { 0 };
    query.cursor = cursor;
    if (pk_store_find(bed->store, &query, soon(bed), &page, &err)) {
        fail_msg("%s.%s took the cursor '%s'", query.collection, query.index, cursor);
    }
    assert_code(&err, PK_INVALID);
}

TEST(damaged_and_foreign_cursors_are_refused)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    const struct pk_query by_rank = { .collection = "things", .index = "by_rank", .limit = 2 };
    const struct pk_query by_kind = {
        .collection = "things", .index = "by_kind_rank", EQ1(PK_TEXT("x")), .limit = 2
    };
    PK_CLEANUP(pk_freep) char *cursor = first_cursor(&bed, &by_rank);

    expect_refused(&bed, by_rank, "nonsense");
    expect_refused(&bed, by_kind, cursor);
    struct pk_query other = by_rank;
    other.is_reversed = true;
    expect_refused(&bed, other, cursor);
    other = by_rank;
    other.min = (struct pk_bound){ .is_set = true, .value = PK_INT(1) };
    expect_refused(&bed, other, cursor);
    other = (struct pk_query){
        .collection = "things", .index = "by_kind_rank", EQ1(PK_TEXT("y")), .limit = 2
    };
    PK_CLEANUP(pk_freep) char *of_x = first_cursor(&bed, &by_kind);
    expect_refused(&bed, other, of_x);

    /* Each byte changed, and each length cut. */
    const size_t length = strlen(cursor);
    for (size_t i = 0; i < length; i++) {
        PK_CLEANUP(pk_freep) char *damaged = pk_strdup(cursor);
        damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
        expect_refused(&bed, by_rank, damaged);
        damaged[i] = '\0';
        if (i > 0) { /* No cursor at all is the first page. */
            expect_refused(&bed, by_rank, damaged);
        }
    }
}

TEST(a_cursor_outlives_the_document_it_points_at)
{
    BED(bed);
    bed_open(&bed);
    put_things(&bed);
    struct pk_query query = { .collection = "things", .index = "_id", .limit = 3 };
    PK_CLEANUP(pk_freep) char *cursor = first_cursor(&bed, &query);
    LIST(list);
    pk_writes_delete(&list, "things", "c", version_of(&bed, "things", "c"));
    must_commit(&bed, &list, NULL);
    bed_reopen(&bed); /* And the store's own restart. */
    struct pk_page page = { 0 };
    struct pk_error err = { 0 };
    query.cursor = cursor;
    assert_ok(pk_store_find(bed.store, &query, soon(&bed), &page, &err), &err);
    assert_int_equal(page.count, 3);
    assert_string_equal(pk_doc_id(page.doc[0]), "d");
    pk_page_done(&page);
}

struct churn {
    struct bed *bed;
    _Atomic bool is_over;
    _Atomic int failures;
    _Atomic int rounds; /* Of the writer. */
};

/* Writes around the documents that stay: before, between, after, and with equal keys. */
static void churn_write(struct churn *churn)
{
    for (int round = 0; !churn->is_over; round++) {
        LIST(list);
        int64_t version[10] = { 0 };
        for (int i = 0; i < 10; i++) {
            add_insert(&list, "things",
                       doc("{'_id':'k%03d-guest','kind':'x','rank':%d}",
                           (round * 37 + i * 50) % 500, i % 7));
        }
        struct pk_error err = { 0 };
        churn->failures += !commit(churn->bed, &list, NULL, &err);
        for (size_t i = 0; i < 10; i++) {
            version[i] = list.write[i].version;
        }
        LIST(gone);
        for (size_t i = 0; i < 10; i++) {
            pk_writes_delete(&gone, "things", list.write[i].id, version[i]);
        }
        churn->failures += !commit(churn->bed, &gone, NULL, &err);
        churn->rounds++;
    }
}

static bool churn_read(struct bed *bed, const char *index)
{
    struct pk_query query = { .collection = "things", .index = index, .limit = 13 };
    struct pk_error err = { 0 };
    PK_CLEANUP(pk_freep) char *cursor = NULL;
    int seen[500] = { 0 };
    if (strcmp(index, "by_kind_rank") == 0) {
        query.equal[0] = PK_TEXT("x");
        query.equal_count = 1;
    }
    do {
        struct pk_page page = { 0 };
        query.cursor = cursor;
        if (!pk_store_find(bed->store, &query, soon(bed), &page, &err)) {
            return false;
        }
        for (size_t i = 0; i < page.count; i++) {
            const char *id = pk_doc_id(page.doc[i]);
            if (!strstr(id, "guest")) {
                seen[atoi(id + 1)]++;
            }
        }
        pk_free(cursor);
        cursor = page.next ? pk_strdup(page.next) : NULL;
        pk_page_done(&page);
    } while (cursor);
    for (size_t i = 0; i < PK_COUNT(seen); i++) {
        if (seen[i] != 1) {
            return false;
        }
    }
    return true;
}

static void churn_work(void *context, size_t number)
{
    struct churn *churn = context;
    if (number == 0) {
        churn_write(churn);
        return;
    }
    for (int i = 0; i < 4 || churn->rounds < 4; i++) {
        churn->failures += !churn_read(churn->bed, number == 1 ? "_id" : "by_kind_rank");
    }
    if (number == 2) {
        churn->is_over = true;
    }
}

TEST(pages_show_each_lasting_document_once_whatever_others_write)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    for (int i = 0; i < 500; i++) {
        add_insert(&list, "things", doc("{'_id':'k%03d','kind':'x','rank':%d}", i, i % 5));
    }
    must_commit(&bed, &list, NULL);
    struct churn churn = { .bed = &bed };
    run_threads(3, churn_work, &churn);
    assert_int_equal(churn.failures, 0);
}

TEST(ten_thousand_documents_are_scanned_in_pages)
{
    BED(bed);
    bed_open(&bed);
    for (int list_number = 0; list_number < 10; list_number++) {
        LIST(list);
        for (int i = 0; i < 1000; i++) {
            const int number = list_number * 1000 + i;
            add_insert(&list, "things",
                       doc("{'_id':'s%05d','kind':'x','rank':%d,'tags':['all']}",
                           (number * 7919) % 10000, number % 100));
        }
        must_commit(&bed, &list, NULL);
    }
    assert_int_equal(count_docs(&bed, "things"), 10000);
    struct pk_query query = { .collection = "things", .index = "by_tag", EQ1(PK_TEXT("all")) };
    PK_CLEANUP(pk_freep) char *ids = find_all(&bed, &query, 250);
    assert_int_equal(strlen(ids), 10000 * 7 - 1);
    query.is_reversed = true;
    PK_CLEANUP(pk_freep) char *reversed = find_all(&bed, &query, 999);
    for (size_t i = 0; i < 10000; i++) {
        assert_memory_equal(ids + i * 7, reversed + (9999 - i) * 7, 6);
    }
}

TEST(a_page_ends_early_when_it_is_heavy)
{
    BED(bed);
    bed_open(&bed);
    for (int i = 0; i < 12; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "b%02d", i);
        (void)put(&bed, "things", big_doc(id, 4 * 1024 * 1024));
    }
    struct pk_query query = { .collection = "things", .index = "_id", .limit = 12 };
    struct pk_page page = { 0 };
    struct pk_error err = { 0 };
    assert_ok(pk_store_find(bed.store, &query, soon(&bed), &page, &err), &err);
    assert_true(page.count >= 1 && page.count < 12);
    assert_non_null(page.next);
    pk_page_done(&page);
    PK_CLEANUP(pk_freep) char *ids = find_all(&bed, &query, 12);
    assert_string_equal(ids, "b00 b01 b02 b03 b04 b05 b06 b07 b08 b09 b10 b11");
}
