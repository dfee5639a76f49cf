/* test_doc.c - Documents: counting, reading, comparing, and bytes from outside. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct pk_doc *from_json(const char *text)
{
    bson_t bson;
    struct pk_error err = { 0 };
    assert_ok(pk_json_read(&bson, text, strlen(text), NULL, &err), &err);
    return pk_doc_take(&bson);
}

TEST(a_document_knows_its_id_wherever_it_stands)
{
    struct pk_doc *doc = from_json("{\"a\":1,\"_id\":\"x:1\",\"b\":2}");
    assert_string_equal(pk_doc_id(doc), "x:1");
    assert_int_equal(pk_doc_version(doc), 0);
    pk_doc_unref(doc);

    doc = from_json("{\"_id\":7}");
    assert_null(pk_doc_id(doc));
    pk_doc_unref(doc);

    doc = from_json("{\"a\":{\"_id\":\"inner\"}}");
    assert_null(pk_doc_id(doc));
    pk_doc_unrefp(&doc);
    assert_null(doc);
    pk_doc_unref(NULL);
}

TEST(a_stored_document_carries_its_version)
{
    bson_t bson = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&bson, "_id", "a");
    struct pk_doc *doc = pk_doc_new_versioned(&bson, 41);
    assert_int_equal(pk_doc_version(doc), 41);
    assert_int_equal(pk_doc_size(doc), bson.len);
    assert_memory_equal(pk_doc_data(doc), bson_get_data(&bson), bson.len);
    bson_destroy(&bson);
    pk_doc_unref(doc);
}

TEST(values_are_read_by_path_and_type)
{
    struct pk_doc *doc = from_json("{\"t\":\"text\",\"i\":5,\"d\":2.5,\"b\":true,\"n\":null,"
                                   "\"o\":{\"t\":\"inner\",\"l\":[1,\"two\"]}}");
    assert_string_equal(pk_doc_text(doc, "t"), "text");
    assert_string_equal(pk_doc_text(doc, "o.t"), "inner");
    assert_string_equal(pk_doc_text(doc, "o.l.1"), "two");
    assert_null(pk_doc_text(doc, "i"));
    assert_null(pk_doc_text(doc, "x"));
    assert_int_equal(pk_doc_int(doc, "i", -1), 5);
    assert_int_equal(pk_doc_int(doc, "d", -1), -1);
    assert_int_equal(pk_doc_int(doc, "b", -1), -1);
    assert_int_equal(pk_doc_int(doc, "x", -1), -1);
    assert_true(pk_doc_number(doc, "d", -1) == 2.5);
    assert_true(pk_doc_number(doc, "i", -1) == 5);
    assert_true(pk_doc_number(doc, "t", -1) == -1);
    assert_true(pk_doc_bool(doc, "b", false));
    assert_true(pk_doc_bool(doc, "i", true));
    assert_false(pk_doc_bool(doc, "n", false));
    assert_int_equal(pk_doc_date(doc, "t", 9), 9);
    pk_doc_unref(doc);

    bson_t bson = BSON_INITIALIZER;
    BSON_APPEND_DATE_TIME(&bson, "at", 1234);
    BSON_APPEND_INT32(&bson, "i", 3);
    doc = pk_doc_take(&bson);
    assert_int_equal(pk_doc_date(doc, "at", 9), 1234);
    assert_int_equal(pk_doc_int(doc, "i", 9), 3);
    pk_doc_unref(doc);
}

TEST(documents_are_the_same_whatever_the_order_of_fields)
{
    static const struct {
        const char *a, *b;
        bool is_same;
    } row[] = {
        { "{}", "{}", true },
        { "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true },
        { "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false },
        { "{\"a\":1}", "{\"b\":1}", false },
        { "{\"a\":1}", "{\"a\":1,\"b\":1}", false },
        { "{\"a\":1}", "{\"a\":1.0}", false },
        { "{\"a\":null}", "{\"b\":null}", false },
        { "{\"a\":{\"x\":1,\"y\":{\"p\":1,\"q\":2}}}", "{\"a\":{\"y\":{\"q\":2,\"p\":1},\"x\":1}}",
          true },
        { "{\"a\":[1,2]}", "{\"a\":[2,1]}", false },
        { "{\"a\":[{\"x\":1,\"y\":2},3]}", "{\"a\":[{\"y\":2,\"x\":1},3]}", true },
        { "{\"a\":\"x\",\"b\":\"y\"}", "{\"b\":\"x\",\"a\":\"y\"}", false },
        { "{\"a\":{\"b\":1}}", "{\"a\":[{\"b\":1}]}", false },
        { "{\"a\":true,\"b\":false}", "{\"b\":true,\"a\":false}", false },
        { "{\"c\":1,\"a\":1,\"b\":2}", "{\"c\":1,\"b\":2,\"a\":1}", true },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_doc *a = from_json(row[i].a);
        struct pk_doc *b = from_json(row[i].b);
        if (pk_doc_same(a, b) != row[i].is_same || pk_doc_same(b, a) != row[i].is_same) {
            fail_msg("%s and %s", row[i].a, row[i].b);
        }
        assert_true(pk_doc_same(a, a));
        pk_doc_unref(a);
        pk_doc_unref(b);
    }
}

TEST(large_documents_in_reverse_order_are_compared_quickly)
{
    enum { COUNT = 100000 };
    bson_t up = BSON_INITIALIZER;
    bson_t down = BSON_INITIALIZER;
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        BSON_APPEND_INT32(&up, key, i);
        (void)snprintf(key, sizeof(key), "k%d", COUNT - 1 - i);
        BSON_APPEND_INT32(&down, key, COUNT - 1 - i);
    }
    struct pk_doc *a = pk_doc_take(&up);
    struct pk_doc *b = pk_doc_take(&down);
    assert_true(pk_doc_same(a, b));
    pk_doc_unref(a);
    pk_doc_unref(b);
}

static void *hold_and_release(void *context)
{
    struct pk_doc *doc = context;
    for (int i = 0; i < 20000; i++) {
        struct pk_doc *mine = pk_doc_ref(doc);
        assert_non_null(pk_doc_id(mine));
        pk_doc_unref(mine);
    }
    pk_doc_unref(doc);
    return NULL;
}

TEST(many_threads_share_a_document_and_the_last_one_frees_it)
{
    pthread_t thread[4];
    struct pk_doc *doc = from_json("{\"_id\":\"shared\"}");
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, hold_and_release, pk_doc_ref(doc)), 0);
    }
    pk_doc_unref(doc);
    for (size_t i = 0; i < PK_COUNT(thread); i++) {
        pthread_join(thread[i], NULL);
    }
}

/* ---- Bytes from outside ---- */

#define BYTES(text) text, sizeof(text) - 1

TEST(bytes_that_are_no_bson_are_refused)
{
    static const struct {
        const char *data;
        size_t size;
        const char *words;
    } row[] = {
        { BYTES(""), "cut off" },
        { BYTES("\x05\0\0\0"), "cut off" },
        { BYTES("\x04\0\0\0\0"), "length does not fit" },
        { BYTES("\x06\0\0\0\0"), "length does not fit" },
        { BYTES("\xFF\xFF\xFF\xFF\0"), "length does not fit" },
        { BYTES("\x05\0\0\0\x01"), "does not end with NUL" },
        { BYTES("\x05\0\0\0\0\0"), "bytes behind" },
        { BYTES("\x08\0\0\0\x0A"
                "a\0\0\0"),
          "bytes behind" },
        { BYTES("\x08\0\0\0\x0A"
                "ab\0"),
          "a key is not ended" },
        { BYTES("\x08\0\0\0\x14"
                "a\0\0"),
          "unknown type" },
        { BYTES("\x09\0\0\0\x08"
                "a\0\x02\0"),
          "neither 0 nor 1" },
        { BYTES("\x08\0\0\0\x08"
                "a\0\0"),
          "neither 0 nor 1" },
        { BYTES("\x0B\0\0\0\x10"
                "a\0\x01\0\0\0"),
          "cut off" },
        { BYTES("\x0C\0\0\0\x02"
                "a\0\0\0\0\0\0"),
          "a string is cut off" },
        { BYTES("\x0D\0\0\0\x02"
                "a\0\0\0\0\0\0\0"),
          "string's length does not fit" },
        { BYTES("\x0D\0\0\0\x02"
                "a\0\x02\0\0\0\0\0"),
          "string's length does not fit" },
        { BYTES("\x0E\0\0\0\x02"
                "a\0\x02\0\0\0xy\0"),
          "a string does not end with NUL" },
        { BYTES("\x0E\0\0\0\x02"
                "a\0\x02\0\0\0\xFF\0\0"),
          "not valid UTF-8" },
        { BYTES("\x0F\0\0\0\x02"
                "a\0\x03\0\0\0\xC0\x80\0\0"),
          "not valid UTF-8" },
        { BYTES("\x10\0\0\0\x02"
                "a\0\x04\0\0\0\xED\xA0\x80\0\0"),
          "not valid UTF-8" },
        { BYTES("\x08\0\0\0\x0A"
                "\xFF\0\0"),
          "a key is not valid UTF-8" },
        { BYTES("\x0D\0\0\0\x03"
                "a\0\x06\0\0\0\0\0"),
          "length does not fit" },
        { BYTES("\x0D\0\0\0\x05"
                "a\0\x01\0\0\0\0\0"),
          "binary data does not fit" },
        { BYTES("\x12\0\0\0\x05"
                "a\0\x05\0\0\0\x02\0\0\0\0\0\0"),
          "subtype 2" },
        { BYTES("\x0D\0\0\0\x0F"
                "a\0\x05\0\0\0\0\0"),
          "unknown type" },
        { BYTES("\x0D\0\0\0\x0C"
                "a\0\x01\0\0\0\0\0"),
          "string's length does not fit" },
        { BYTES("\x09\0\0\0\x0B"
                "a\0x\0"),
          "a key is not ended" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_error err = { 0 };
        struct pk_doc *doc = NULL;
        char *copy = malloc(row[i].size ? row[i].size : 1);
        assert_non_null(copy);
        memcpy(copy, row[i].data, row[i].size);
        if (pk_doc_parse(&doc, copy, row[i].size, &err) || !strstr(err.message, row[i].words)) {
            fail_msg("row %zu: '%s'", i, err.message);
        }
        assert_null(doc);
        free(copy);
    }
}

TEST(every_type_of_bson_but_code_with_scope_is_well_formed)
{
    bson_t bson = BSON_INITIALIZER;
    bson_oid_t oid;
    bson_decimal128_t decimal = { 0 };
    bson_oid_init(&oid, NULL);
    BSON_APPEND_OID(&bson, "oid", &oid);
    BSON_APPEND_REGEX(&bson, "regex", "a.b", "i");
    BSON_APPEND_TIMESTAMP(&bson, "ts", 1, 2);
    BSON_APPEND_DECIMAL128(&bson, "dec", &decimal);
    BSON_APPEND_SYMBOL(&bson, "sym", "s");
    BSON_APPEND_CODE(&bson, "code", "x");
    BSON_APPEND_DBPOINTER(&bson, "db", "c", &oid);
    BSON_APPEND_MAXKEY(&bson, "max");
    BSON_APPEND_MINKEY(&bson, "min");
    BSON_APPEND_UNDEFINED(&bson, "und");
    BSON_APPEND_BINARY(&bson, "bin", BSON_SUBTYPE_UUID, oid.bytes, 12);
    bson_append_utf8(&bson, "nul", -1, "a\0b", 3);
    struct pk_error err = { 0 };
    struct pk_doc *doc = NULL;
    assert_ok(pk_doc_parse(&doc, bson_get_data(&bson), bson.len, &err), &err);
    assert_memory_equal(pk_doc_data(doc), bson_get_data(&bson), bson.len);
    pk_doc_unref(doc);
    bson_destroy(&bson);
}

TEST(every_cut_and_every_changed_byte_is_survived)
{
    struct pk_doc *whole =
        from_json("{\"_id\":\"a\",\"l\":[1,2.5,true,null,{\"t\":\"\xC3\xA9\"}],\"o\":{\"x\":{}}}");
    size_t size = pk_doc_size(whole);
    for (size_t cut = 0; cut < size; cut++) {
        struct pk_doc *doc = NULL;
        char *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, pk_doc_data(whole), cut);
        assert_false(pk_doc_parse(&doc, copy, cut, NULL));
        free(copy);
    }
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    for (size_t i = 0; i < size; i++) {
        for (unsigned value = 0; value < 256; value++) {
            struct pk_doc *doc = NULL;
            memcpy(copy, pk_doc_data(whole), size);
            copy[i] = (uint8_t)value;
            if (pk_doc_parse(&doc, copy, size, NULL)) {
                struct pk_buf json = { 0 };
                bson_t view;
                pk_doc_view(doc, &view);
                (void)pk_json_write(&json, &view, PK_JSON_CANONICAL, NULL);
                pk_buf_done(&json);
                pk_doc_unref(doc);
            }
        }
    }
    free(copy);
    pk_doc_unref(whole);
}

/* 'depth' documents within each other. */
static void add_nested(struct pk_buf *buf, size_t depth)
{
    for (size_t i = depth; i > 0; i--) {
        uint32_t size = (uint32_t)(5 + 8 * (i - 1)); /* Each level: type, "a", NUL, length, NUL. */
        pk_buf_add(buf, &size, sizeof(size));
        if (i > 1) {
            pk_buf_add(buf,
                       "\x03"
                       "a",
                       3);
        }
    }
    for (size_t i = 0; i < depth; i++) {
        pk_buf_add(buf, "", 1);
    }
}

TEST(bson_nested_deeper_than_64_is_refused)
{
    struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    struct pk_doc *doc = NULL;
    add_nested(&buf, PK_DOC_MAX_DEPTH);
    assert_ok(pk_doc_parse(&doc, buf.data, buf.size, &err), &err);
    pk_doc_unref(doc);
    pk_buf_clear(&buf);
    add_nested(&buf, PK_DOC_MAX_DEPTH + 1);
    assert_false(pk_doc_parse(&doc, buf.data, buf.size, &err));
    assert_non_null(strstr(err.message, "nested deeper than 64"));
    pk_buf_clear(&buf);
    add_nested(&buf, 1000000);
    assert_false(pk_doc_parse(&doc, buf.data, buf.size, &err));
    pk_buf_done(&buf);
}

TEST(a_document_above_the_limit_is_refused)
{
    struct pk_error err = { 0 };
    struct pk_doc *doc = NULL;
    assert_false(pk_doc_parse(&doc, "", (size_t)PK_DOC_MAX_BYTES + 1, &err));
    assert_int_equal(err.code, PK_TOO_LARGE);
}
