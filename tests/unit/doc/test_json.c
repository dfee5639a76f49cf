/* test_json.c - JSON to BSON and back: what is taken, and what is refused and where. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Help ---- */

static bool read_json(bson_t *out, const char *text, size_t length, size_t *offset,
                      struct pk_error *err)
{
    /* An exact copy on the heap: a byte read behind the end is seen by the sanitizer. */
    char *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    bool is_ok = pk_json_read(out, copy, length, offset, err);
    free(copy);
    return is_ok;
}

/* Reads 'text', writes it, and compares with 'expected'. */
static void assert_written(const char *text, const char *expected, enum pk_json_style style)
{
    struct pk_error err = { 0 };
    struct pk_buf buf = { 0 };
    bson_t doc;
    assert_ok(read_json(&doc, text, strlen(text), NULL, &err), &err);
    assert_ok(pk_json_write(&buf, &doc, style, &err), &err);
    assert_string_equal(pk_buf_text(&buf), expected);
    bson_destroy(&doc);
    pk_buf_done(&buf);
}

/* ---- What is taken ---- */

TEST(json_that_is_well_formed_is_taken_and_written_alike)
{
    static const struct {
        const char *text;
        const char *written; /* NULL: like 'text'. */
    } row[] = {
        { "{}", NULL },
        { " \t\r\n{ \n} \t\r\n", "{}" },
        { "{\"a\":1}", NULL },
        { "{\"a\":-1}", NULL },
        { "{\"a\":0}", NULL },
        { "{\"a\":-0}", "{\"a\":-0.0}" },
        { "{\"a\":-0.0}", NULL },
        { "{\"a\":9223372036854775807}", NULL },
        { "{\"a\":-9223372036854775808}", NULL },
        { "{\"a\":1.0}", NULL },
        { "{\"a\":1.5}", NULL },
        { "{\"a\":1e0}", "{\"a\":1.0}" },
        { "{\"a\":1E2}", "{\"a\":100.0}" },
        { "{\"a\":1e+2}", "{\"a\":100.0}" },
        { "{\"a\":1.5e-2}", "{\"a\":0.015}" },
        { "{\"a\":0e999999}", "{\"a\":0.0}" },
        { "{\"a\":1e22}", "{\"a\":1e+22}" },
        { "{\"a\":1e23}", "{\"a\":1e+23}" },
        { "{\"a\":0.1}", NULL },
        { "{\"a\":0.30000000000000004}", NULL },
        { "{\"a\":1.7976931348623157e+308}", NULL },
        { "{\"a\":2.2250738585072014e-308}", NULL },
        { "{\"a\":5e-324}", "{\"a\":4.94065645841247e-324}" },
        { "{\"a\":1e-400}", "{\"a\":0.0}" },
        { "{\"a\":123456789012345678901234567890e-10}", "{\"a\":1.2345678901234567e+19}" },
        { "{\"a\":9007199254740993.0}", "{\"a\":9007199254740992.0}" },
        { "{\"a\":9007199254740993e0}", "{\"a\":9007199254740992.0}" },
        { "{\"a\":18446744073709551616.0}", "{\"a\":1.8446744073709552e+19}" },
        { "{\"a\":true,\"b\":false,\"c\":null}", NULL },
        { "{\"a\":[]}", NULL },
        { "{\"a\":[ ]}", "{\"a\":[]}" },
        { "{\"a\":[1,2,[3,{\"b\":[]}]]}", NULL },
        { "{\"a\":[0,1,2,3,4,5,6,7,8,9,10,11]}", NULL },
        { "{\"a\":{\"b\":{\"c\":{}}}}", NULL },
        { "{\"\":1}", NULL },
        { "{\"a\":\"\"}", NULL },
        { "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\"}" },
        { "{\"a\":\"\\u0041\\u00e9\\u20AC\"}", "{\"a\":\"A\xC3\xA9\xE2\x82\xAC\"}" },
        { "{\"a\":\"\\uD83D\\uDE00\"}", "{\"a\":\"\xF0\x9F\x98\x80\"}" },
        { "{\"a\":\"\\uD800\\uDC00\"}", "{\"a\":\"\xF0\x90\x80\x80\"}" },
        { "{\"a\":\"\\uDBFF\\uDFFF\"}", "{\"a\":\"\xF4\x8F\xBF\xBF\"}" },
        { "{\"a\":\"\\uFFFF\"}", "{\"a\":\"\xEF\xBF\xBF\"}" },
        { "{\"a\":\"x\\u0000y\"}", NULL },
        { "{\"a\":\"\\u001f\x7F\"}", "{\"a\":\"\\u001f\\u007f\"}" },
        { "{\"a\":\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\"}", NULL },
        { "{\"a\":\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"}", NULL },
        { "{\"\\u0061\":1}", "{\"a\":1}" },
        { "{\"a.b\":1,\"$c\":2,\"100%\":3,\"%2E\":4}", NULL },
        { "{\"\\u002e\\u0024\\u0025\":1}", "{\".$%\":1}" },
        { "{\"\xC3\xA9\":1}", NULL },
        { "{\"a\":1,\"A\":2,\"aa\":3,\"\":4}", NULL },
        { "{\"a.b\":1,\"a%2Eb\":2}", NULL },
        { "{ \"a\" : [ 1 , { \"b\" : 2 } ] , \"c\" : \"d\" }",
          "{\"a\":[1,{\"b\":2}],\"c\":\"d\"}" },
        { "{\"__proto__\":{\"$ref\":1}}", NULL },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        assert_written(row[i].text, row[i].written ? row[i].written : row[i].text, PK_JSON_COMPACT);
    }
}

/* ---- What is refused ---- */

#define BAD(text, at, words)              \
    {                                     \
        text, sizeof(text) - 1, at, words \
    }

static const struct {
    const char *text;
    size_t length;
    size_t at;         /* The byte at fault. */
    const char *words; /* Part of the message. */
} bad_row[] = {
    BAD("", 0, "found the end, expected an object ('{') at byte 0"),
    BAD("   ", 3, "found the end"),
    BAD("[]", 0, "found '[', expected an object"),
    BAD("1", 0, "expected an object"),
    BAD("\"a\"", 0, "expected an object"),
    BAD("null", 0, "expected an object"),
    BAD("\xEF\xBB\xBF{}", 0, "found byte 0xef"),
    BAD("\0{}", 0, "found byte 0x00"),
    BAD("{", 1, "found the end, expected a key"),
    BAD("{\"a\"", 4, "found the end, expected ':'"),
    BAD("{\"a\":", 5, "found the end, expected a value"),
    BAD("{\"a\":1", 6, "found the end, expected ',' or '}'"),
    BAD("{\"a\":1,", 7, "expected a key"),
    BAD("{\"a\":1,}", 7, "found '}', expected a key"),
    BAD("{,}", 1, "found ',', expected a key"),
    BAD("{a:1}", 1, "found 'a', expected a key"),
    BAD("{'a':1}", 1, "expected a key"),
    BAD("{1:1}", 1, "expected a key"),
    BAD("{null:1}", 1, "expected a key"),
    BAD("{\"a\" 1}", 5, "found '1', expected ':'"),
    BAD("{\"a\",1}", 4, "expected ':'"),
    BAD("{\"a\"::1}", 5, "expected a value"),
    BAD("{\"a\":1 \"b\":2}", 7, "found '\"', expected ',' or '}'"),
    BAD("{\"a\":1,,\"b\":2}", 7, "expected a key"),
    BAD("{\"a\":1]", 6, "expected ',' or '}'"),
    BAD("{} x", 3, "found 'x', expected the end"),
    BAD("{}{}", 2, "expected the end"),
    BAD("{},", 2, "expected the end"),
    BAD("{}\0", 2, "found byte 0x00, expected the end"),
    BAD("{\"a\":[", 6, "expected a value"),
    BAD("{\"a\":[1", 7, "expected ',' or ']'"),
    BAD("{\"a\":[1,", 8, "expected a value"),
    BAD("{\"a\":[1,]}", 8, "found ']', expected a value"),
    BAD("{\"a\":[,1]}", 6, "expected a value"),
    BAD("{\"a\":[1}", 7, "found '}', expected ',' or ']'"),
    BAD("{\"a\":[1 2]}", 8, "expected ',' or ']'"),
    BAD("{\"a\":tru}", 8, "found '}', expected 'true'"),
    BAD("{\"a\":True}", 5, "expected a value"),
    BAD("{\"a\":truee}", 9, "expected ',' or '}'"),
    BAD("{\"a\":fals", 9, "found the end, expected 'false'"),
    BAD("{\"a\":nul0}", 8, "expected 'null'"),
    BAD("{\"a\":NaN}", 5, "expected a value"),
    BAD("{\"a\":nan}", 6, "expected 'null'"),
    BAD("{\"a\":Infinity}", 5, "expected a value"),
    BAD("{\"a\":-Infinity}", 6, "found 'I', expected a digit"),
    BAD("{\"a\":undefined}", 5, "expected a value"),
    BAD("{\"a\":+1}", 5, "found '+', expected a value"),
    BAD("{\"a\":-}", 6, "expected a digit"),
    BAD("{\"a\":01}", 6, "expected no digit behind a leading 0"),
    BAD("{\"a\":-01}", 7, "expected no digit behind a leading 0"),
    BAD("{\"a\":.5}", 5, "expected a value"),
    BAD("{\"a\":1.}", 7, "expected a digit behind '.'"),
    BAD("{\"a\":1.e1}", 7, "expected a digit behind '.'"),
    BAD("{\"a\":1e}", 7, "expected a digit in the exponent"),
    BAD("{\"a\":1e+}", 8, "expected a digit in the exponent"),
    BAD("{\"a\":1e1.5}", 8, "expected ',' or '}'"),
    BAD("{\"a\":0x10}", 6, "expected ',' or '}'"),
    BAD("{\"a\":1_000}", 6, "expected ',' or '}'"),
    BAD("{\"a\":\xEF\xBC\x91}", 5, "expected a value"),
    BAD("{\"a\":9223372036854775808}", 5, "an integer outside int64 at byte 5"),
    BAD("{\"a\":-9223372036854775809}", 5, "an integer outside int64"),
    BAD("{\"a\":99999999999999999999999}", 5, "an integer outside int64"),
    BAD("{\"a\":[1e309]}", 6, "a number outside double at byte 6"),
    BAD("{\"a\":-1e309}", 5, "a number outside double"),
    BAD("{\"a\":1.7976931348623159e308}", 5, "a number outside double"),
    BAD("{\"a\":1e99999999999999999999}", 5, "a number outside double"),
    BAD("{\"a\":\"x}", 8, "to end the string of byte 5"),
    BAD("{\"a\":\"x\\", 8, "found the end, expected one of"),
    BAD("{\"a\":\"\\x41\"}", 7, "found 'x', expected one of"),
    BAD("{\"a\":\"\\'\"}", 7, "expected one of"),
    BAD("{\"a\":\"\\U0041\"}", 7, "expected one of"),
    BAD("{\"a\":\"\\\0\"}", 7, "found byte 0x00, expected one of"),
    BAD("{\"a\":\"\\u12\"}", 10, "expected four hexadecimal digits"),
    BAD("{\"a\":\"\\u12G4\"}", 10, "expected four hexadecimal digits"),
    BAD("{\"a\":\"\\u", 8, "expected four hexadecimal digits"),
    BAD("{\"a\":\"\\uD800\"}", 6, "lone surrogate at byte 6"),
    BAD("{\"a\":\"\\uDC00\"}", 6, "lone surrogate"),
    BAD("{\"a\":\"\\uD800x\"}", 6, "lone surrogate"),
    BAD("{\"a\":\"\\uD800\\n\"}", 6, "lone surrogate"),
    BAD("{\"a\":\"\\uD800\\u0041\"}", 6, "lone surrogate"),
    BAD("{\"a\":\"\\uD800\\uD800\"}", 6, "lone surrogate"),
    BAD("{\"a\":\"\\uD800\\uZZZZ\"}", 14, "expected four hexadecimal digits"),
    BAD("{\"a\":\"\n\"}", 6, "found byte 0x0a, expected control characters"),
    BAD("{\"a\":\"12345678\x1F\"}", 14, "found byte 0x1f"),
    BAD("{\"a\":\"\0\"}", 6, "found byte 0x00"),
    BAD("{\"a\":\"\xFF\"}", 6, "invalid UTF-8 at byte 6"),
    BAD("{\"a\":\"\x80\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xC3\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xC0\x80\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xC1\xBF\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xE0\x9F\xBF\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xED\xA0\x80\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xED\xBF\xBF\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xF0\x8F\xBF\xBF\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xF4\x90\x80\x80\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xF5\x80\x80\x80\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xE2\x82\"}", 6, "invalid UTF-8"),
    BAD("{\"a\":\"\xF0\x9F\x98", 6, "invalid UTF-8"),
    BAD("{\"a\":\"abcdefghijkl\xE2\x28\xA1\"}", 18, "invalid UTF-8"),
    BAD("{\"\xFF\":1}", 2, "invalid UTF-8"),
    BAD("{\"a\\u0000\":1}", 1, "NUL in a key at byte 1"),
    BAD("{\"a\":1,\"a\":2}", 7, "repeated key 'a' at byte 7"),
    BAD("{\"a\":1,\"\\u0061\":2}", 7, "repeated key 'a'"),
    BAD("{\"\":1,\"\":2}", 6, "repeated key ''"),
    BAD("{\"a.b\":1,\"b\":2,\"a.b\":3}", 15, "repeated key 'a.b'"),
    BAD("{\"%2E\":1,\"%2E\":2}", 9, "repeated key '%2E'"),
    BAD("{\"x\":{\"a\":1,\"a\":2}}", 12, "repeated key 'a'"),
    BAD("{\"a\":1}/**/", 7, "expected the end"),
    BAD("{/**/}", 1, "expected a key"),
    BAD("{\"a\":1;}", 6, "expected ',' or '}'"),
    BAD("{\xC2\xA0}", 1, "found byte 0xc2"),
    BAD("{\x0C}", 1, "found byte 0x0c"),
};

TEST(json_at_fault_is_refused_with_its_byte)
{
    assert_true(PK_COUNT(bad_row) >= 80);
    for (size_t i = 0; i < PK_COUNT(bad_row); i++) {
        struct pk_error err = { 0 };
        size_t at = SIZE_MAX;
        bson_t doc;
        if (read_json(&doc, bad_row[i].text, bad_row[i].length, &at, &err)) {
            fail_msg("taken: %s", bad_row[i].text);
        }
        if (!strstr(err.message, bad_row[i].words) || at != bad_row[i].at) {
            fail_msg("%s: byte %zu, '%s'", bad_row[i].text, at, err.message);
        }
        char suffix[32];
        (void)snprintf(suffix, sizeof(suffix), "at byte %zu", at);
        assert_non_null(strstr(err.message, suffix));
        assert_int_equal(err.code, PK_INVALID);
        assert_non_null(err.hint);
    }
}

TEST(every_cut_of_a_text_is_refused)
{
    static const char text[] = "{\"a\":[1,-2.5e3,true,null,{\"b\":\"\\u00e9\\uD83D\\uDE00\xE2\x82"
                               "\xAC\"}],\"c\":false}";
    for (size_t length = 0; length < sizeof(text) - 1; length++) {
        bson_t doc;
        assert_false(read_json(&doc, text, length, NULL, NULL));
    }
    bson_t doc;
    assert_true(read_json(&doc, text, sizeof(text) - 1, NULL, NULL));
    bson_destroy(&doc);
}

/* {"a":{"a": ... 1}} with 'depth' objects, or lists within one object. */
static void add_nested(struct pk_buf *buf, size_t depth, bool is_array)
{
    for (size_t i = 0; i < depth; i++) {
        pk_buf_add_text(buf, is_array && i > 0 ? "[" : "{\"a\":");
    }
    pk_buf_add_text(buf, "1");
    for (size_t i = depth; i > 0; i--) {
        pk_buf_add_text(buf, is_array && i > 1 ? "]" : "}");
    }
}

TEST(nesting_of_64_is_taken_and_of_65_refused)
{
    for (int is_array = 0; is_array < 2; is_array++) {
        struct pk_buf buf = { 0 };
        struct pk_error err = { 0 };
        bson_t doc;
        add_nested(&buf, PK_DOC_MAX_DEPTH, is_array != 0);
        assert_ok(read_json(&doc, buf.data, buf.size, NULL, &err), &err);
        bson_destroy(&doc);

        size_t at = 0;
        pk_buf_clear(&buf);
        add_nested(&buf, PK_DOC_MAX_DEPTH + 1, is_array != 0);
        assert_false(read_json(&doc, buf.data, buf.size, &at, &err));
        assert_non_null(strstr(err.message, "nesting deeper than 64"));
        assert_int_equal(at, is_array ? 5 + 63 : 5 * 64);
        pk_buf_done(&buf);
    }
}

TEST(a_million_brackets_are_refused_without_a_stack_overflow)
{
    enum { COUNT = 1000000 };
    struct pk_buf buf = { 0 };
    bson_t doc;
    pk_buf_add_text(&buf, "{\"a\":");
    for (size_t i = 0; i < COUNT; i++) {
        pk_buf_add_char(&buf, '[');
    }
    assert_false(read_json(&doc, buf.data, buf.size, NULL, NULL));
    pk_buf_done(&buf);
}

TEST(repeated_keys_are_found_in_objects_of_any_size)
{
    enum { MOST = 300 };
    for (int count = 1; count <= MOST; count++) {
        for (int again = 0; again < count; again += 1 + count / 10) {
            struct pk_buf buf = { 0 };
            struct pk_error err = { 0 };
            bson_t doc;
            size_t at = 0;
            pk_buf_add_text(&buf, "{\"in\":{\"k0\":1},");
            for (int i = 0; i < count; i++) {
                pk_buf_printf(&buf, "\"k%d\":{\"k%d\":%d},", i, i, i);
            }
            size_t expected = buf.size;
            pk_buf_printf(&buf, "\"k%d\":0}", again);
            assert_false(read_json(&doc, buf.data, buf.size, &at, &err));
            assert_non_null(strstr(err.message, "repeated key"));
            assert_int_equal(at, expected);
            pk_buf_done(&buf);
        }
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double time_of_keys(size_t count)
{
    struct pk_buf buf = { 0 };
    bson_t doc;
    pk_buf_add_text(&buf, "{");
    for (size_t i = 0; i < count; i++) {
        pk_buf_printf(&buf, "%s\"key%zu\":1", i ? "," : "", i);
    }
    pk_buf_add_text(&buf, "}");
    double start = seconds();
    assert_true(pk_json_read(&doc, buf.data, buf.size, NULL, NULL));
    double took = seconds() - start;
    assert_int_equal(bson_count_keys(&doc), count);
    bson_destroy(&doc);
    pk_buf_done(&buf);
    return took;
}

TEST(time_grows_with_the_number_of_keys_and_not_with_its_square)
{
    double small = time_of_keys(10000);
    double large = time_of_keys(200000);
    print_message("# 10,000 keys %.1f ms, 200,000 keys %.1f ms\n", small * 1e3, large * 1e3);
    assert_true(large < 0.001 + small * 20 * 8); /* Squares would give 400 times. */
}

TEST(json_that_swells_beyond_the_limit_is_refused)
{
    struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    bson_t doc;
    pk_buf_add_text(&buf, "{\"a\":[1");
    for (size_t i = 0; i < 6 * 1024 * 1024; i++) {
        pk_buf_add(&buf, ",1", 2);
    }
    pk_buf_add_text(&buf, "]}");
    assert_false(pk_json_read(&doc, buf.data, buf.size, NULL, &err));
    assert_int_equal(err.code, PK_TOO_LARGE);
    pk_buf_done(&buf);
}

/* ---- Types ---- */

TEST(numbers_become_int64_or_double_by_how_they_are_written)
{
    static const char text[] = "{\"a\":1,\"b\":1.0,\"c\":1e0,\"d\":-0,\"e\":5e-324}";
    bson_t doc;
    bson_iter_t iter;
    assert_true(pk_json_read(&doc, text, strlen(text), NULL, NULL));
    assert_true(bson_iter_init_find(&iter, &doc, "a") && BSON_ITER_HOLDS_INT64(&iter));
    assert_true(bson_iter_init_find(&iter, &doc, "b") && BSON_ITER_HOLDS_DOUBLE(&iter));
    assert_true(bson_iter_init_find(&iter, &doc, "c") && BSON_ITER_HOLDS_DOUBLE(&iter));
    assert_true(bson_iter_init_find(&iter, &doc, "d") && BSON_ITER_HOLDS_DOUBLE(&iter));
    assert_true(signbit(bson_iter_double(&iter)));
    assert_true(bson_iter_init_find(&iter, &doc, "e"));
    assert_true(bson_iter_double(&iter) == 4.9406564584124654e-324);
    bson_destroy(&doc);
}

TEST(exact_halves_between_doubles_round_to_even_however_long_they_are)
{
    /* 2^53 + 1 lies halfway; a digit far behind decides. */
    static const struct {
        const char *tail;
        double expected;
    } row[] = {
        { "", 9007199254740992.0 },
        { "0", 9007199254740992.0 },
        { "1", 9007199254740994.0 },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_buf buf = { 0 };
        bson_t doc;
        bson_iter_t iter;
        pk_buf_add_text(&buf, "{\"a\":9007199254740993.");
        for (int k = 0; k < 900; k++) {
            pk_buf_add_char(&buf, '0');
        }
        pk_buf_printf(&buf, "%s}", row[i].tail);
        assert_true(read_json(&doc, buf.data, buf.size, NULL, NULL));
        assert_true(bson_iter_init_find(&iter, &doc, "a"));
        assert_true(bson_iter_double(&iter) == row[i].expected);
        bson_destroy(&doc);
        pk_buf_done(&buf);
    }
}

TEST(a_huge_exponent_is_not_mistaken_for_its_first_digits)
{
    struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    bson_t doc;
    pk_buf_add_text(&buf, "{\"a\":0.");
    for (int k = 0; k < 122; k++) {
        pk_buf_add_char(&buf, '0');
    }
    pk_buf_add_text(&buf, "1e1234}");
    assert_false(read_json(&doc, buf.data, buf.size, NULL, &err));
    assert_non_null(strstr(err.message, "a number outside double"));
    pk_buf_done(&buf);
}

TEST(an_exponent_that_a_long_fraction_takes_back_is_still_exact)
{
    struct pk_buf buf = { 0 };
    bson_t doc;
    bson_iter_t iter;
    pk_buf_add_text(&buf, "{\"a\":0.");
    for (int k = 0; k < 400; k++) {
        pk_buf_add_char(&buf, '0');
    }
    pk_buf_add_text(&buf, "125e400}");
    assert_true(read_json(&doc, buf.data, buf.size, NULL, NULL));
    assert_true(bson_iter_init_find(&iter, &doc, "a"));
    assert_true(bson_iter_double(&iter) == 0.125);
    bson_destroy(&doc);
    pk_buf_done(&buf);
}
