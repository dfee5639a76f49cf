/* test_json_write.c - BSON to JSON: every form of it, keys, and that nothing changes on the way
 * there and back. */
/* SPDX-License-Identifier: MIT */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/doc.h"
#include "doc/json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A generator of its own: the same on every machine. */
static uint64_t next_random(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15ULL;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* ---- Doubles ---- */

/* Writes {"a": value} and reads it again. */
static uint64_t bits_after(double value, struct pk_buf *buf)
{
    bson_t doc = BSON_INITIALIZER;
    bson_t again;
    bson_iter_t iter;
    struct pk_error err = { 0 };
    pk_buf_clear(buf);
    BSON_APPEND_DOUBLE(&doc, "a", value);
    assert_ok(pk_json_write(buf, &doc, PK_JSON_COMPACT, &err), &err);
    assert_ok(pk_json_read(&again, buf->data, buf->size, NULL, &err), &err);
    assert_true(bson_iter_init_find(&iter, &again, "a") && BSON_ITER_HOLDS_DOUBLE(&iter));
    double result = bson_iter_double(&iter);
    uint64_t bits;
    memcpy(&bits, &result, sizeof(bits));
    bson_destroy(&doc);
    bson_destroy(&again);
    return bits;
}

TEST(a_hundred_thousand_doubles_come_back_with_the_same_bits)
{
    uint64_t seed = 3;
    struct pk_buf buf = { 0 };
    for (size_t i = 0; i < 100000; i++) {
        uint64_t bits = next_random(&seed);
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value)) {
            assert_true(bits_after(value, &buf) == bits);
        }
        /* Those that people write: few decimals. */
        value = (double)(int64_t)(next_random(&seed) % 2000000000) / 1000.0 - 1000000.0;
        memcpy(&bits, &value, sizeof(bits));
        assert_true(bits_after(value, &buf) == bits);
    }
    pk_buf_done(&buf);
}

TEST(doubles_have_the_fewest_digits_that_read_back)
{
    uint64_t seed = 11;
    struct pk_buf buf = { 0 };
    for (size_t i = 0; i < 20000; i++) {
        double value = (double)(int64_t)(next_random(&seed) % 1000000000) /
                       pow(10, (double)(next_random(&seed) % 12));
        char expected[48];
        for (int digits = 1; digits <= 17; digits++) {
            (void)snprintf(expected, sizeof(expected), "%.*g", digits, value);
            if (strtod(expected, NULL) == value) {
                break;
            }
        }
        (void)bits_after(value, &buf);
        /* As many significant digits, whatever the notation. */
        size_t count = 0;
        size_t wanted = 0;
        size_t zeros = 0;
        for (const char *c = buf.data + 5; *c && *c != 'e' && *c != '}'; c++) {
            if (*c >= '1' && *c <= '9') {
                count += zeros + 1;
                zeros = 0;
            } else if (*c == '0' && count) {
                zeros++;
            }
        }
        zeros = 0;
        for (const char *c = expected; *c && *c != 'e'; c++) {
            if (*c >= '1' && *c <= '9') {
                wanted += zeros + 1;
                zeros = 0;
            } else if (*c == '0' && wanted) {
                zeros++;
            }
        }
        if (count > wanted) {
            fail_msg("'%s' for %s", buf.data, expected);
        }
    }
    pk_buf_done(&buf);
}

/* Makes a locale that writes 1,5 and switches to it. */
static bool use_decimal_comma(void)
{
    char command[1024];
    const char *folder = pk_test_folder();
    (void)snprintf(command, sizeof(command),
                   "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", folder);
    if (system(command) != 0) {
        return false;
    }
    setenv("LOCPATH", folder, 1);
    bool is_set = setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL;
    unsetenv("LOCPATH");
    return is_set;
}

TEST(a_locale_with_a_decimal_comma_changes_nothing)
{
    if (!use_decimal_comma()) {
        SKIP("no locale with a decimal comma, and no localedef to make one");
    }
    char text[16];
    (void)snprintf(text, sizeof(text), "%.1f", 1.5);
    assert_string_equal(text, "1,5");
    assert_written("{\"a\":0.1234567890123}", "{\"a\":0.1234567890123}", PK_JSON_COMPACT);
    assert_written("{\"a\":1.2345e-300}", "{\"a\":1.2345e-300}", PK_JSON_COMPACT);
    setlocale(LC_NUMERIC, "C");
}

/* ---- Writing ---- */

TEST(pretty_json_is_indented_by_two)
{
    assert_written("{\"a\":1,\"b\":[1,{\"c\":2}],\"d\":{},\"e\":[]}",
                   "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    {\n      \"c\": 2\n    }\n  ],\n"
                   "  \"d\": {},\n  \"e\": []\n}",
                   PK_JSON_PRETTY);
}

TEST(canonical_json_sorts_plain_keys_by_bytes_at_every_level)
{
    assert_written("{\"b\":{\"z\":1,\"y\":[{\"d\":1,\"c\":2}]},\"a\":2,\"\":0,\"ab\":3,\"B\":4}",
                   "{\"\":0,\"B\":4,\"a\":2,\"ab\":3,\"b\":{\"y\":[{\"c\":2,\"d\":1}],\"z\":1}}",
                   PK_JSON_CANONICAL);
    /* '%2E' is stored, and sorts below '/' and above '-' as the '.' that it stands for. */
    assert_written("{\"a/\":1,\"a.\":2,\"a-\":3,\"a%\":4,\"a$\":5,\"a#\":6}",
                   "{\"a#\":6,\"a$\":5,\"a%\":4,\"a-\":3,\"a.\":2,\"a/\":1}", PK_JSON_CANONICAL);
    /* Bytes above 127 sort behind ASCII. */
    assert_written("{\"\xC3\xA9\":1,\"z\":2}", "{\"z\":2,\"\xC3\xA9\":1}", PK_JSON_CANONICAL);
}

TEST(bson_types_of_ours_are_written)
{
    bson_t doc = BSON_INITIALIZER;
    struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    BSON_APPEND_INT32(&doc, "i", -5);
    BSON_APPEND_DATE_TIME(&doc, "d", 1763710320123);
    BSON_APPEND_BINARY(&doc, "b", BSON_SUBTYPE_BINARY, (const uint8_t *)"\x00\xFF\x10\x80", 4);
    BSON_APPEND_BINARY(&doc, "c", BSON_SUBTYPE_BINARY, (const uint8_t *)"", 0);
    assert_ok(pk_json_write(&buf, &doc, PK_JSON_COMPACT, &err), &err);
    assert_string_equal(pk_buf_text(&buf), "{\"i\":-5,\"d\":\"2025-11-21T07:32:00.123Z\","
                                           "\"b\":\"AP8QgA==\",\"c\":\"\"}");
    pk_buf_done(&buf);
    bson_destroy(&doc);
}

static void assert_unwritable(const bson_t *doc, const char *words)
{
    struct pk_buf buf = { 0 };
    struct pk_error err = { 0 };
    pk_buf_add_text(&buf, "before");
    assert_false(pk_json_write(&buf, doc, PK_JSON_COMPACT, &err));
    if (!strstr(err.message, words)) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(pk_buf_text(&buf), "before");
    pk_buf_done(&buf);
}

TEST(values_without_a_form_in_json_are_refused_with_their_path)
{
    bson_t doc = BSON_INITIALIZER;
    bson_t list, inner;
    bson_append_array_begin(&doc, "list", -1, &list);
    BSON_APPEND_INT32(&list, "0", 1);
    bson_append_document_begin(&list, "1", -1, &inner);
    BSON_APPEND_DOUBLE(&inner, "x", NAN);
    bson_append_document_end(&list, &inner);
    bson_append_array_end(&doc, &list);
    assert_unwritable(&doc, "NaN at 'list[1].x'");
    bson_reinit(&doc);
    BSON_APPEND_DOUBLE(&doc, "x", -INFINITY);
    assert_unwritable(&doc, "an infinite number at 'x'");
    bson_reinit(&doc);
    BSON_APPEND_TIMESTAMP(&doc, "t", 1, 2);
    assert_unwritable(&doc, "at 't'");
    bson_reinit(&doc);
    BSON_APPEND_DATE_TIME(&doc, "d", INT64_MAX);
    assert_unwritable(&doc, "a date outside the years 0 to 9999 at 'd'");
    bson_destroy(&doc);
}

TEST(strings_for_logs_are_mended)
{
    static const struct {
        const char *text;
        const char *written;
    } row[] = {
        { "", "\"\"" },
        { "a\"\\\n\x01", "\"a\\\"\\\\\\n\\u0001\"" },
        { "\xFFx\xC3", "\"\xEF\xBF\xBDx\xEF\xBF\xBD\"" },
        { "\xE2\x82\xAC", "\"\xE2\x82\xAC\"" },
    };
    for (size_t i = 0; i < PK_COUNT(row); i++) {
        struct pk_buf buf = { 0 };
        pk_json_add_string(&buf, row[i].text, strlen(row[i].text));
        assert_string_equal(pk_buf_text(&buf), row[i].written);
        pk_buf_done(&buf);
    }
}

/* ---- Keys ---- */

TEST(escaping_of_random_keys_is_reversible_and_leaves_no_dot_or_dollar)
{
    static const char letter[] = ".$%245Ea";
    uint64_t seed = 5;
    for (size_t i = 0; i < 50000; i++) {
        char key[24];
        size_t length = next_random(&seed) % (sizeof(key) + 1);
        for (size_t k = 0; k < length; k++) {
            uint64_t bits = next_random(&seed);
            key[k] = bits % 4 ? letter[(bits >> 8) % (sizeof(letter) - 1)] : (char)(bits >> 16);
        }
        struct pk_buf stored = { 0 };
        struct pk_buf plain = { 0 };
        pk_key_escape(&stored, key, length);
        for (size_t k = 0; k < stored.size; k++) {
            assert_true(stored.data[k] != '.' && stored.data[k] != '$');
        }
        pk_key_unescape(&plain, stored.data, stored.size);
        assert_int_equal(plain.size, length);
        assert_memory_equal(plain.data, key, length);
        pk_buf_done(&stored);
        pk_buf_done(&plain);
    }
}

TEST(a_percent_sign_that_is_no_escape_is_given_back)
{
    struct pk_buf plain = { 0 };
    pk_key_unescape(&plain, "%%2e%2E%24%25%2", 15);
    assert_string_equal(pk_buf_text(&plain), "%%2e.$%%2");
    pk_buf_done(&plain);
}

/* ---- Round trips ---- */

static void add_random_text(struct pk_buf *buf, uint64_t *state)
{
    static const char *const piece[] = {
        "a",
        "Z",
        " ",
        "/",
        ".",
        "$",
        "%",
        "%2E",
        "\\\"",
        "\\\\",
        "\\n",
        "\\u0001",
        "\xC3\xA9",
        "\xE2\x82\xAC",
        "\xF0\x9F\x98\x80",
        "0",
        "traits",
        "12345678",
    };
    size_t count = next_random(state) % 6;
    for (size_t i = 0; i < count; i++) {
        pk_buf_add_text(buf, piece[next_random(state) % PK_COUNT(piece)]);
    }
}

/* Writes a random value in the exact form that the writer gives it. */
static void add_random_value(struct pk_buf *buf, uint64_t *state, size_t depth)
{
    uint64_t kind = next_random(state) % (depth > 5 ? 6 : 8);
    if (kind == 0) {
        pk_buf_add_text(buf, "null");
    } else if (kind == 1) {
        pk_buf_add_text(buf, next_random(state) % 2 ? "true" : "false");
    } else if (kind == 2) {
        pk_buf_printf(buf, "%lld", (long long)(int64_t)next_random(state));
    } else if (kind == 3) {
        pk_buf_printf(buf, "%lld.5", (long long)(next_random(state) % 100000));
    } else if (kind < 6) {
        pk_buf_add_char(buf, '"');
        add_random_text(buf, state);
        pk_buf_add_char(buf, '"');
    } else {
        bool is_array = kind == 6;
        size_t count = next_random(state) % 24;
        pk_buf_add_char(buf, is_array ? '[' : '{');
        for (size_t i = 0; i < count; i++) {
            pk_buf_add_text(buf, i ? "," : "");
            if (!is_array) {
                pk_buf_printf(buf, "\"%zu:", i); /* Keys differ by their number. */
                add_random_text(buf, state);
                pk_buf_add_text(buf, "\":");
            }
            add_random_value(buf, state, depth + 1 + i / 4);
        }
        pk_buf_add_char(buf, is_array ? ']' : '}');
    }
}

TEST(random_documents_come_back_as_they_were)
{
    uint64_t seed = 42;
    for (size_t i = 0; i < 3000; i++) {
        struct pk_buf text = { 0 };
        struct pk_buf written = { 0 };
        struct pk_error err = { 0 };
        bson_t doc, again;
        pk_buf_add_text(&text, "{\"a\":");
        add_random_value(&text, &seed, 0);
        pk_buf_add_text(&text, "}");
        assert_ok(read_json(&doc, text.data, text.size, NULL, &err), &err);
        assert_true(bson_validate(&doc, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
        assert_ok(pk_json_write(&written, &doc, PK_JSON_COMPACT, &err), &err);
        assert_string_equal(pk_buf_text(&written), pk_buf_text(&text));

        /* Every style means the same document. */
        for (int style = PK_JSON_PRETTY; style <= PK_JSON_CANONICAL; style++) {
            pk_buf_clear(&written);
            assert_ok(pk_json_write(&written, &doc, (enum pk_json_style)style, &err), &err);
            assert_ok(read_json(&again, written.data, written.size, NULL, &err), &err);
            struct pk_doc *a = pk_doc_new(&doc);
            struct pk_doc *b = pk_doc_take(&again);
            assert_true(pk_doc_same(a, b));
            pk_doc_unref(a);
            pk_doc_unref(b);
        }
        bson_destroy(&doc);
        pk_buf_done(&text);
        pk_buf_done(&written);
    }
}

TEST(what_libbson_builds_and_what_we_read_are_the_same_bytes)
{
    static const char text[] = "{\"a\":1,\"b\":[true,null,\"x\"],\"c\":{\"d\":0.5}}";
    bson_t doc;
    bson_t expected = BSON_INITIALIZER;
    bson_t child;
    BSON_APPEND_INT64(&expected, "a", 1);
    bson_append_array_begin(&expected, "b", -1, &child);
    BSON_APPEND_BOOL(&child, "0", true);
    BSON_APPEND_NULL(&child, "1");
    BSON_APPEND_UTF8(&child, "2", "x");
    bson_append_array_end(&expected, &child);
    bson_append_document_begin(&expected, "c", -1, &child);
    BSON_APPEND_DOUBLE(&child, "d", 0.5);
    bson_append_document_end(&expected, &child);
    assert_true(pk_json_read(&doc, text, strlen(text), NULL, NULL));
    assert_true(bson_equal(&doc, &expected));
    BSON_APPEND_INT32(&doc, "more", 1); /* It can be appended to like any other. */
    assert_true(bson_has_field(&doc, "more"));
    bson_destroy(&doc);
    bson_destroy(&expected);
}
