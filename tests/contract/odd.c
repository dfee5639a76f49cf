/* odd.c - Odd strings, binary, sizes: what goes in comes out, or is refused with a sentence. */
/* SPDX-License-Identifier: MIT */
#include "contract.h"

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
