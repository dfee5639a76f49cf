/* odd.c - Odd strings, binary, sizes: what goes in comes out, or is refused with a sentence. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void round_trip(struct bed *bed, struct pk_doc *taken)
{
    char *id = pk_strdup(pk_doc_id(taken));
    (void)put(bed, "guards", pk_doc_ref(taken));
    struct pk_doc *found = get(bed, "guards", id);
    if (!found) {
        fail_msg("'%s' is not found by its id", id);
    }
    if (!pk_doc_same(found, taken)) {
        fail_msg("'%s' comes back otherwise", id);
    }
    pk_doc_unref(found);
    pk_doc_unref(taken);
    pk_free(id);
}

static const char *const odd_id[] = {
    " ",
    "a b",
    "'",
    "\"",
    "\\",
    "%",
    "%2E",
    "a.b",
    "$where",
    "_id",
    "null",
    "\n\t",
    "\x7f",
    "\xc3\xa9",         /* e acute, composed ... */
    "e\xcc\x81",        /* ... and decomposed: two ids */
    "\xf0\x9f\x98\x80", /* Outside the basic plane. */
    "\xef\xbf\xbf",     /* U+FFFF */
    "A",
    "a",
    "\xc4\xb0",              /* Dotted capital I. */
    "\xe2\x80\xae reversed", /* A direction mark. */
    "m:p:instant",
};

TEST(odd_ids_are_kept_byte_by_byte)
{
    BED(bed);
    bed_open(&bed);
    for (size_t i = 0; i < PK_COUNT(odd_id); i++) {
        bson_t *bson = bson_new();
        bson_append_utf8(bson, "_id", -1, odd_id[i], -1);
        round_trip(&bed, pk_doc_take(bson));
    }
    assert_int_equal(count_docs(&bed, "guards") >= PK_COUNT(odd_id), 1);
}

TEST(ids_order_by_their_bytes)
{
    BED(bed);
    bed_open(&bed);
    LIST(list);
    static const char *const sorted[] = {
        "A", "B", "a", "a.", "aa", "b", "\xc3\xa9", "\xef\xbf\xbf", "\xf0\x9f\x98\x80"
    };
    for (size_t i = PK_COUNT(sorted); i > 0; i--) {
        bson_t *bson = BCON_NEW("_id", BCON_UTF8(sorted[i - 1]), "name", BCON_UTF8(sorted[i - 1]));
        add_insert(&list, "things", pk_doc_take(bson));
    }
    must_commit(&bed, &list, NULL);
    const char *all = "A B a a. aa b \xc3\xa9 \xef\xbf\xbf \xf0\x9f\x98\x80";
    expect_find(&bed, &(struct pk_query){ .collection = "things", .index = "_id" }, all);
    expect_find(&bed, &(struct pk_query){ .collection = "things", .index = "named_by_name" }, all);
}

TEST(an_id_has_512_bytes_and_not_one_more)
{
    BED(bed);
    bed_open(&bed);
    char id[PK_DOC_ID_MAX + 2];
    memset(id, 'i', sizeof(id));
    id[PK_DOC_ID_MAX] = '\0';
    round_trip(&bed, doc("{'_id':'%s'}", id));
    id[PK_DOC_ID_MAX] = 'i';
    id[PK_DOC_ID_MAX + 1] = '\0';
    struct pk_error err = { 0 };
    assert_false(try_insert(&bed, "guards", doc("{'_id':'%s'}", id), NULL, &err));
    assert_code(&err, PK_INVALID);
    assert_false(try_insert(&bed, "guards", doc("{'_id':''}"), NULL, &err));
    assert_code(&err, PK_INVALID);
    assert_false(try_insert(&bed, "guards", doc("{'_id':7}"), NULL, &err));
    assert_code(&err, PK_INVALID);
}

TEST(every_type_of_value_comes_back_bit_by_bit)
{
    BED(bed);
    bed_open(&bed);
    static const uint8_t bytes[] = { 0, 1, 2, 0xff, 0xfe, 0, 0x80 };
    bson_t *bson = bson_new();
    bson_append_utf8(bson, "_id", -1, "types", -1);
    bson_append_utf8(bson, "empty", -1, "", -1);
    bson_append_utf8(bson, "nul", -1, "a\0b", 3);
    bson_append_utf8(bson, "", -1, "an empty key", -1);
    bson_append_utf8(bson, "a%2Eb", -1, "an escaped key", -1);
    bson_append_utf8(bson, "%24gt", -1, "another", -1);
    bson_append_binary(bson, "binary", -1, BSON_SUBTYPE_BINARY, bytes, sizeof(bytes));
    bson_append_binary(bson, "nothing", -1, BSON_SUBTYPE_BINARY, bytes, 0);
    bson_append_int32(bson, "int32", -1, INT32_MIN);
    bson_append_int64(bson, "int64", -1, INT64_MIN);
    bson_append_int64(bson, "large", -1, INT64_MAX);
    bson_append_double(bson, "tenth", -1, 0.1);
    bson_append_double(bson, "tiny", -1, 5e-324);
    bson_append_double(bson, "minus zero", -1, -0.0);
    bson_append_date_time(bson, "before", -1, -62135596800000);
    bson_append_date_time(bson, "after", -1, 253402300799999);
    bson_append_null(bson, "null", -1);
    bson_append_bool(bson, "bool", -1, true);
    bson_t *inner = BCON_NEW("x", "[", "]", "y", "{", "}");
    bson_append_document(bson, "inner", -1, inner);
    bson_destroy(inner);
    round_trip(&bed, pk_doc_take(bson));
}

TEST(a_document_of_the_greatest_depth_comes_back)
{
    BED(bed);
    bed_open(&bed);
    bson_t *bson = BCON_NEW("leaf", BCON_INT32(1));
    for (int depth = 2; depth < PK_DOC_MAX_DEPTH; depth++) {
        bson_t *outer = bson_new();
        bson_append_document(outer, "d", -1, bson);
        bson_destroy(bson);
        bson = outer;
    }
    bson_t *whole = BCON_NEW("_id", BCON_UTF8("deep"));
    bson_append_document(whole, "d", -1, bson);
    bson_destroy(bson);
    round_trip(&bed, pk_doc_take(whole));
}

TEST(a_key_with_nul_in_an_index_is_refused)
{
    BED(bed);
    bed_open(&bed);
    bson_t *bson = BCON_NEW("_id", BCON_UTF8("a"));
    bson_append_utf8(bson, "kind", -1, "x\0y", 3);
    struct pk_error err = { 0 };
    assert_false(try_insert(&bed, "things", pk_doc_take(bson), NULL, &err));
    assert_code(&err, PK_INVALID);
    assert_non_null(strstr(err.message, "kind"));
}

/* ---- Sizes ---- */

TEST(nan_in_an_index_is_refused)
{
    BED(bed);
    bed_open(&bed);
    struct pk_error err = { 0 };
    struct pk_doc *rank = pk_doc_take(BCON_NEW("_id", BCON_UTF8("a"), "rank", BCON_DOUBLE(NAN)));
    assert_false(try_insert(&bed, "things", rank, NULL, &err));
    assert_code(&err, PK_INVALID);
    struct pk_doc *deep =
        pk_doc_take(BCON_NEW("_id", BCON_UTF8("a"), "metadata", "{", "x", BCON_DOUBLE(NAN), "}"));
    assert_false(try_insert(&bed, "things", deep, NULL, &err));
    assert_code(&err, PK_INVALID);
    /* Infinities have their place. */
    struct pk_doc *least =
        pk_doc_take(BCON_NEW("_id", BCON_UTF8("a"), "rank", BCON_DOUBLE(-INFINITY)));
    struct pk_doc *most =
        pk_doc_take(BCON_NEW("_id", BCON_UTF8("b"), "rank", BCON_DOUBLE(INFINITY)));
    (void)put(&bed, "things", most);
    (void)put(&bed, "things", least);
    (void)put(&bed, "things", doc("{'_id':'c','rank':-9007199254740993}"));
    expect_find(&bed, &(struct pk_query){ .collection = "things", .index = "by_rank" }, "a c b");
}

TEST(an_expiry_that_is_no_date_is_refused)
{
    BED(bed);
    bed_open(&bed);
    struct pk_error err = { 0 };
    assert_false(try_insert(&bed, "mortals", doc("{'_id':'a','expiresAt':5}"), NULL, &err));
    assert_code(&err, PK_INVALID);
    (void)put(&bed, "mortals", doc("{'_id':'b','expiresAt':null}")); /* Never. */
    LIST(list);
    pk_writes_count(&list, "mortals", "b", &(struct pk_count){ .path = "expiresAt", .amount = 1 },
                    1);
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_INVALID);
    assert_true(version_of(&bed, "mortals", "b") > 0);
}

TEST(dates_before_1970_come_in_their_order)
{
    BED(bed);
    bed_open(&bed);
    static const long long when[] = { 5, -62135596800000, 0, -1, 253402300799999 };
    for (size_t i = 0; i < PK_COUNT(when); i++) {
        (void)put(
            &bed, "things",
            doc("{'_id':'d%zu','flag':true,'when':{'$date':{'$numberLong':'%lld'}}}", i, when[i]));
    }
    struct pk_query query = { .collection = "things",
                              .index = "by_flag_when",
                              .equal = { PK_BOOL(true) },
                              .equal_count = 1 };
    expect_find(&bed, &query, "d4 d0 d2 d3 d1");
    query.max = (struct pk_bound){ .is_set = true, .is_exclusive = true, .value = PK_DATE(0) };
    expect_find(&bed, &query, "d3 d1");
}

/* A key of a mebibyte, which travels in the cursor, too. */
TEST(very_long_keys_are_found_and_paged)
{
    BED(bed);
    bed_open(&bed);
    const size_t length = 1024 * 1024;
    char *text = pk_alloc(length + 1);
    memset(text, 'k', length);
    text[length] = 0;
    for (int i = 0; i < 3; i++) {
        text[length - 1] = (char)('c' - i); /* They differ at the very end. */
        (void)put(&bed, "things", doc("{'_id':'l%d','name':'%s'}", i, text));
    }
    struct pk_query query = { .collection = "things", .index = "named_by_name" };
    expect_find(&bed, &query, "l2 l1 l0");
    query.equal[0] = PK_TEXT(text);
    query.equal_count = 1;
    expect_find(&bed, &query, "l2");
    pk_free(text);
}

TEST(documents_up_to_15_mib_are_kept_and_larger_ones_refused)
{
    BED(bed);
    bed_open(&bed);
    struct pk_doc *probe = big_doc("largest", PK_DOC_MAX_BYTES);
    const size_t spare = PK_DOC_MAX_BYTES - pk_doc_size(probe);
    pk_doc_unref(probe);
    struct pk_doc *largest = big_doc("largest", PK_DOC_MAX_BYTES + spare);
    assert_int_equal(pk_doc_size(largest), PK_DOC_MAX_BYTES);
    round_trip(&bed, largest);

    struct pk_error err = { 0 };
    struct pk_doc *larger = big_doc("too big", PK_DOC_MAX_BYTES + spare + 1);
    assert_int_equal(pk_doc_size(larger), PK_DOC_MAX_BYTES + 1);
    assert_false(try_insert(&bed, "guards", larger, NULL, &err));
    assert_code(&err, PK_TOO_LARGE);
    assert_non_null(strstr(err.message, "15728640"));
    assert_non_null(err.hint);
    assert_int_equal(version_of(&bed, "guards", "too big"), 0);
}

TEST(a_list_up_to_16_mib_is_kept_and_a_larger_one_refused)
{
    BED(bed);
    bed_open(&bed);
    struct pk_error err = { 0 };
    LIST(list);
    for (int i = 0; i < 4; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "b%d", i);
        add_insert(&list, "guards", big_doc(id, 4 * 1024 * 1024 - 1024));
    }
    must_commit(&bed, &list, NULL);
    assert_int_equal(count_docs(&bed, "guards"), 4);
    pk_writes_clear(&list);
    for (int i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "c%d", i);
        add_insert(&list, "guards", big_doc(id, 4 * 1024 * 1024));
    }
    assert_false(commit(&bed, &list, NULL, &err));
    assert_code(&err, PK_TOO_LARGE);
    assert_int_equal(count_docs(&bed, "guards"), 4);
}

/* Joined with others, a large list leaves them alone. */
static void write_large(void *context, size_t number)
{
    struct bed *bed = context;
    struct pk_error err = { 0 };
    char id[16];
    (void)snprintf(id, sizeof(id), "j%zu", number);
    (void)try_insert(bed, "guards", big_doc(id, number % 4 == 0 ? 6 * 1024 * 1024 : 2000), NULL,
                     &err);
}

TEST(large_and_small_lists_are_committed_side_by_side)
{
    BED(bed);
    bed_open(&bed);
    run_threads(16, write_large, &bed);
    assert_int_equal(count_docs(&bed, "guards"), 16);
}
