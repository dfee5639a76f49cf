/* json.c - JSON text to BSON bytes, in one pass.
 *
 * A recursive-descent reader of RFC 8259 that writes each value where it
 * belongs as soon as it is read (writer.h): strings are decoded, checked for
 * UTF-8 and copied once; a key is written with its type left open and the type
 * put in when the value is known. Its depth is bounded by PK_DOC_MAX_DEPTH.
 *
 * Everything is linear in the text: repeated keys are found by json_keys.c,
 * and what JSON swells to as BSON ("1," is 2 bytes of text and up to 17 as an
 * array element) is bounded by PK_JSON_MAX_BYTES.
 *
 * Numbers without fraction and exponent are int64. Others: when the digits fit
 * 53 bits and the power of ten is at most 22, both are exact doubles and one
 * multiplication or division rounds correctly (Clinger 1990); the rest goes to
 * strtod in the "C" locale. A number too small for a double becomes the
 * nearest one, as everywhere, which may be 0; one too large is refused.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/json.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/doc.h"
#include "doc/json_internal.h"
#include "doc/writer.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One text being read. */
struct reader {
    const uint8_t *text;
    size_t length;
    size_t at;                /* Next byte to look at. */
    size_t depth;             /* Open objects and arrays. */
    struct pk_buf out;        /* The BSON. */
    struct pk_buf scratch;    /* A key before it is escaped. */
    struct pk_json_keys keys; /* Of the open objects. */
    size_t fault_at;          /* Byte at fault, once something failed. */
    struct pk_error *err;
};

static void reader_done(struct reader *reader)
{
    pk_buf_done(&reader->out);
    pk_buf_done(&reader->scratch);
    pk_json_keys_done(&reader->keys);
}

/* ---- Refusing ---- */

static const char syntax_hint[] = "send one JSON object as RFC 8259 describes it, in UTF-8";

/* Says what stands at 'at', for people. */
static const char *describe(const struct reader *reader, size_t at, char out[16])
{
    if (at >= reader->length) {
        return "the end";
    }
    unsigned c = reader->text[at];
    (void)snprintf(out, 16, c > 0x20 && c < 0x7F ? "'%c'" : "byte 0x%02x", c);
    return out;
}

static bool refuse(struct reader *reader, size_t at, const char *hint, const char *what)
{
    reader->fault_at = at;
    return pk_fail(reader->err, PK_INVALID, hint, "invalid JSON: %s at byte %zu", what, at);
}

static bool expected(struct reader *reader, size_t at, const char *what)
{
    char found[16];
    reader->fault_at = at;
    return pk_fail(reader->err, PK_INVALID, syntax_hint,
                   "invalid JSON: found %s, expected %s at byte %zu", describe(reader, at, found),
                   what, at);
}

/* ---- White space and marks ---- */

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->length) {
        uint8_t c = reader->text[reader->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            break;
        }
        reader->at++;
    }
}

/* The byte after white space, or 0 at the end (0 itself is never legal there). */
static uint8_t peek(struct reader *reader)
{
    skip_space(reader);
    return reader->at < reader->length ? reader->text[reader->at] : 0;
}

/* ---- Strings ---- */

/* Bytes of a string that are copied as they are: ASCII without controls, '"' and '\'. */
static size_t plain_run(const uint8_t *text, size_t length)
{
    static const uint64_t ones = 0x0101010101010101ULL;
    static const uint64_t tops = 0x8080808080808080ULL;
    size_t i = 0;
    uint64_t word;
    /* Eight at a time. Each term has a top bit set where a byte is: above 127, below 32, equal to
     * '"', equal to '\' (x - 1 borrows exactly below the first byte that is 0; a borrow into
     * later bytes only makes us look closer). */
    while (length - i >= sizeof(word)) {
        memcpy(&word, text + i, sizeof(word));
        uint64_t quote = word ^ (ones * '"');
        uint64_t slash = word ^ (ones * '\\');
        if ((word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) & tops) {
            break;
        }
        i += sizeof(word);
    }
    while (i < length && text[i] >= 0x20 && text[i] < 0x80 && text[i] != '"' && text[i] != '\\') {
        i++;
    }
    return i;
}

static bool read_hex4(struct reader *reader, size_t at, uint32_t *out)
{
    uint32_t value = 0;
    for (size_t i = at; i < at + 4; i++) {
        uint8_t c = i < reader->length ? reader->text[i] : 0;
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return expected(reader, i, "four hexadecimal digits behind '\\u'");
        }
        value = value * 16 + digit;
    }
    *out = value;
    return true;
}

/* Behind "\u"; one code point, from two escapes where they are a surrogate pair. */
static bool read_unicode(struct reader *reader, struct pk_buf *to)
{
    size_t start = reader->at - 2;
    uint32_t code, low;

    if (!read_hex4(reader, reader->at, &code)) {
        return false;
    }
    reader->at += 4;
    if (code >= 0xD800 && code <= 0xDFFF) {
        bool has_low = code < 0xDC00 && reader->length - reader->at >= 6 &&
                       memcmp(reader->text + reader->at, "\\u", 2) == 0;
        if (has_low && !read_hex4(reader, reader->at + 2, &low)) {
            return false;
        }
        if (!has_low || low < 0xDC00 || low > 0xDFFF) {
            return refuse(reader, start, "write characters above U+FFFF as a pair of surrogates",
                          "lone surrogate");
        }
        reader->at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    char bytes[4];
    pk_buf_add(to, bytes, pk_utf8_put(bytes, code));
    return true;
}

static bool read_escape(struct reader *reader, struct pk_buf *to)
{
    static const char plain_table[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    size_t at = reader->at + 1; /* Behind the '\'. */
    uint8_t c = at < reader->length ? reader->text[at] : 0;

    if (c == 'u') {
        reader->at = at + 1;
        return read_unicode(reader, to);
    }
    if (!plain_table[c]) {
        return expected(reader, at, "one of \"\\/bfnrtu behind '\\'");
    }
    pk_buf_add_char(to, plain_table[c]);
    reader->at = at + 1;
    return true;
}

/* Appends the decoded string to 'to'; stands on its opening quote, ends behind its closing one. */
static bool read_string(struct reader *reader, struct pk_buf *to)
{
    size_t start = reader->at++;
    for (;;) {
        const uint8_t *text = reader->text + reader->at;
        size_t left = reader->length - reader->at;
        size_t run = plain_run(text, left);
        if (run) {
            pk_buf_add(to, text, run);
            reader->at += run;
        }
        if (run == left) {
            reader->fault_at = reader->length;
            return pk_fail(reader->err, PK_INVALID, syntax_hint,
                           "invalid JSON: found the end, expected '\"' to end the string of byte "
                           "%zu at byte %zu",
                           start, reader->length);
        }
        uint8_t c = text[run];
        if (c == '"') {
            reader->at++;
            return true;
        }
        if (c == '\\') {
            if (!read_escape(reader, to)) {
                return false;
            }
        } else if (c < 0x20) {
            return expected(reader, reader->at, "control characters written as '\\u00XX'");
        } else {
            size_t step = pk_utf8_step(text + run, left - run);
            if (step == 0) {
                return refuse(reader, reader->at, "send text as UTF-8", "invalid UTF-8");
            }
            pk_buf_add(to, text + run, step);
            reader->at += step;
        }
    }
}

static bool read_string_value(struct reader *reader)
{
    size_t start = reader->out.size;
    pk_buf_add(&reader->out, "\0\0\0\0", 4);
    if (!read_string(reader, &reader->out)) {
        return false;
    }
    pk_buf_add(&reader->out, "", 1);
    uint32_t size = BSON_UINT32_TO_LE((uint32_t)(reader->out.size - start - 4));
    memcpy(reader->out.data + start, &size, sizeof(size));
    return true;
}

/* ---- Numbers ---- */

/* A number taken apart. */
struct number {
    const char *text;
    size_t length;
    bool is_negative;
    bool is_whole;   /* No fraction, no exponent. */
    uint64_t digits; /* All digits as one integer ... */
    bool is_long;    /* ... unless they are more than it holds. */
    int64_t power;   /* The power of ten that 'digits' are to be multiplied with. */
};

static void add_digit(struct number *number, uint8_t c)
{
    uint64_t digit = (uint64_t)(c - '0');
    if (__builtin_mul_overflow(number->digits, 10, &number->digits) ||
        __builtin_add_overflow(number->digits, digit, &number->digits)) {
        number->is_long = true;
    }
}

static bool is_digit(const struct reader *reader)
{
    return reader->at < reader->length && reader->text[reader->at] >= '0' &&
           reader->text[reader->at] <= '9';
}

static bool is_byte(const struct reader *reader, uint8_t low, uint8_t other)
{
    return reader->at < reader->length &&
           (reader->text[reader->at] == low || reader->text[reader->at] == other);
}

static bool scan_exponent(struct reader *reader, struct number *number)
{
    /* Far outside double, and beyond what the longest fraction could take back. */
    static const int64_t power_max = 1000000000000;
    int64_t power = 0;
    bool is_negative = is_byte(reader, '-', '-');
    if (is_byte(reader, '-', '+')) {
        reader->at++;
    }
    if (!is_digit(reader)) {
        return expected(reader, reader->at, "a digit in the exponent");
    }
    while (is_digit(reader)) {
        if (power < power_max) {
            power = power * 10 + (reader->text[reader->at] - '0');
        }
        reader->at++;
    }
    number->power += is_negative ? -power : power;
    return true;
}

/* Walks over a number by the grammar of RFC 8259. */
static bool scan_number(struct reader *reader, struct number *number)
{
    size_t start = reader->at;
    *number = (struct number){ .is_whole = true };
    if (is_byte(reader, '-', '-')) {
        number->is_negative = true;
        reader->at++;
    }
    if (!is_digit(reader)) {
        return expected(reader, reader->at, "a digit");
    }
    if (is_byte(reader, '0', '0')) {
        reader->at++;
        if (is_digit(reader)) {
            return expected(reader, reader->at, "no digit behind a leading 0");
        }
    }
    while (is_digit(reader)) {
        add_digit(number, reader->text[reader->at++]);
    }
    if (is_byte(reader, '.', '.')) {
        number->is_whole = false;
        reader->at++;
        if (!is_digit(reader)) {
            return expected(reader, reader->at, "a digit behind '.'");
        }
        while (is_digit(reader)) {
            add_digit(number, reader->text[reader->at++]);
            number->power--;
        }
    }
    if (is_byte(reader, 'e', 'E')) {
        number->is_whole = false;
        reader->at++;
        if (!scan_exponent(reader, number)) {
            return false;
        }
    }
    number->text = (const char *)reader->text + start;
    number->length = reader->at - start;
    return true;
}

/* The slow, exact way. The text is copied for its NUL. */
static double parse_double(const struct number *number)
{
    char small[64];
    char *text = number->length < sizeof(small) ? small : pk_alloc(number->length + 1);
    memcpy(text, number->text, number->length);
    text[number->length] = '\0';

    locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc: a constant, no memory. */
    double value = strtod_l(text, NULL, locale);
    freelocale(locale);
    if (text != small) {
        pk_free(text);
    }
    return value;
}

static double to_double(const struct number *number)
{
    enum { EXACT_POWER = 22 }; /* 10^22 is the largest power of ten that a double holds exactly. */
    static const double power_of_ten[EXACT_POWER + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    if (number->is_long || number->digits > (1ULL << 53) || number->power > EXACT_POWER ||
        number->power < -EXACT_POWER) {
        return parse_double(number);
    }
    double value = (double)number->digits;
    value = number->power < 0 ? value / power_of_ten[-number->power]
                              : value * power_of_ten[number->power];
    return number->is_negative ? -value : value;
}

static bool read_number(struct reader *reader, size_t type_at)
{
    struct number number;
    size_t start = reader->at;
    if (!scan_number(reader, &number)) {
        return false;
    }
    bool is_minus_zero = number.is_negative && !number.is_long && number.digits == 0;
    if (number.is_whole && !is_minus_zero) {
        uint64_t limit = (uint64_t)INT64_MAX + (number.is_negative ? 1 : 0);
        if (number.is_long || number.digits > limit) {
            return refuse(reader, start, "write it as a string, or with an exponent as a double",
                          "an integer outside int64");
        }
        reader->out.data[type_at] = BSON_TYPE_INT64;
        pk_writer_int64(&reader->out,
                        (int64_t)(number.is_negative ? 0 - number.digits : number.digits));
        return true;
    }
    double value = to_double(&number);
    if (!isfinite(value)) {
        return refuse(reader, start, "write it as a string", "a number outside double");
    }
    reader->out.data[type_at] = BSON_TYPE_DOUBLE;
    pk_writer_double(&reader->out, value);
    return true;
}

/* ---- Values ---- */

static bool read_value(struct reader *reader, size_t type_at);

static bool read_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i < length; i++) {
        size_t at = reader->at + i;
        if (at >= reader->length || reader->text[at] != (uint8_t)word[i]) {
            char what[16];
            (void)snprintf(what, sizeof(what), "'%s'", word);
            return expected(reader, at, what);
        }
    }
    reader->at += length;
    return true;
}

static bool enter(struct reader *reader)
{
    if (reader->depth == PK_DOC_MAX_DEPTH) {
        char what[64];
        (void)snprintf(what, sizeof(what), "nesting deeper than %d", PK_DOC_MAX_DEPTH);
        return refuse(reader, reader->at, "send less deeply nested data", what);
    }
    reader->depth++;
    reader->at++;
    return true;
}

static bool refuse_repeated(struct reader *reader, size_t at, const char *key, size_t length)
{
    struct pk_buf *plain = &reader->scratch;
    pk_buf_clear(plain);
    pk_key_unescape(plain, key, length);
    size_t shown = pk_utf8_cut((const uint8_t *)plain->data, plain->size, 64);
    char what[96];
    (void)snprintf(what, sizeof(what), "repeated key '%.*s'", (int)shown, plain->data);
    return refuse(reader, at, "keep one of the two", what);
}

/* Writes the key with its type left open, escaped; refuses NUL and repeated keys. */
static bool read_key(struct reader *reader, struct pk_json_scope *scope)
{
    size_t start = reader->at;
    struct pk_buf *out = &reader->out;

    pk_buf_add(out, "", 1);
    size_t key_at = out->size;
    if (!read_string(reader, out)) {
        return false;
    }
    size_t length = out->size - key_at;
    if (memchr(out->data + key_at, '\0', length)) {
        return refuse(reader, start, "leave U+0000 out of keys", "NUL in a key");
    }
    bool is_plain = true;
    for (size_t i = key_at; i < out->size && is_plain; i++) {
        char c = out->data[i];
        is_plain = c != '.' && c != '$' && c != '%';
    }
    if (!is_plain) {
        pk_buf_clear(&reader->scratch);
        pk_buf_add(&reader->scratch, out->data + key_at, length);
        out->size = key_at;
        pk_key_escape(out, reader->scratch.data, length);
    }
    if (!pk_json_scope_add(&reader->keys, scope, out, key_at, out->size - key_at)) {
        return refuse_repeated(reader, start, out->data + key_at, out->size - key_at);
    }
    pk_buf_add(out, "", 1);
    return true;
}

static bool read_members(struct reader *reader, struct pk_json_scope *scope)
{
    if (peek(reader) == '}') {
        reader->at++;
        return true;
    }
    for (;;) {
        size_t type_at = reader->out.size;
        if (peek(reader) != '"') {
            return expected(reader, reader->at, "a key in '\"'");
        }
        if (!read_key(reader, scope)) {
            return false;
        }
        if (peek(reader) != ':') {
            return expected(reader, reader->at, "':'");
        }
        reader->at++;
        if (!read_value(reader, type_at)) {
            return false;
        }
        uint8_t c = peek(reader);
        if (c != ',' && c != '}') {
            return expected(reader, reader->at, "',' or '}'");
        }
        reader->at++;
        if (c == '}') {
            return true;
        }
    }
}

static bool read_object(struct reader *reader)
{
    struct pk_json_scope scope;
    if (!enter(reader)) {
        return false;
    }
    size_t start = pk_writer_begin(&reader->out);
    pk_json_scope_begin(&reader->keys, &scope);
    bool is_ok = read_members(reader, &scope);
    pk_json_scope_end(&reader->keys, &scope);
    if (is_ok) {
        pk_writer_end(&reader->out, start);
        reader->depth--;
    }
    return is_ok;
}

static bool read_array(struct reader *reader)
{
    if (!enter(reader)) {
        return false;
    }
    size_t start = pk_writer_begin(&reader->out);
    if (peek(reader) == ']') {
        reader->at++;
    } else {
        uint8_t c = ',';
        for (uint32_t i = 0; c == ','; i++) {
            char key[PK_ARRAY_KEY];
            size_t length = pk_writer_array_key(key, i);
            size_t type_at = pk_writer_key(&reader->out, BSON_TYPE_EOD, key, length);
            if (!read_value(reader, type_at)) {
                return false;
            }
            c = peek(reader);
            if (c != ',' && c != ']') {
                return expected(reader, reader->at, "',' or ']'");
            }
            reader->at++;
        }
    }
    pk_writer_end(&reader->out, start);
    reader->depth--;
    return true;
}

static bool read_value(struct reader *reader, size_t type_at)
{
    if (reader->out.size > PK_JSON_MAX_BYTES) {
        reader->fault_at = reader->at;
        return pk_fail(reader->err, PK_TOO_LARGE, "send it in parts",
                       "JSON needs more than %d bytes as a document at byte %zu", PK_JSON_MAX_BYTES,
                       reader->at);
    }
    uint8_t c = peek(reader);
    char *type = reader->out.data + type_at;
    switch (c) {
    case '"':
        *type = BSON_TYPE_UTF8;
        return read_string_value(reader);
    case '{':
        *type = BSON_TYPE_DOCUMENT;
        return read_object(reader);
    case '[':
        *type = BSON_TYPE_ARRAY;
        return read_array(reader);
    case 't':
        *type = BSON_TYPE_BOOL;
        pk_buf_add_char(&reader->out, 1);
        return read_word(reader, "true");
    case 'f':
        *type = BSON_TYPE_BOOL;
        pk_buf_add_char(&reader->out, 0);
        return read_word(reader, "false");
    case 'n':
        *type = BSON_TYPE_NULL;
        return read_word(reader, "null");
    default:
        if (c == '-' || (c >= '0' && c <= '9')) {
            return read_number(reader, type_at);
        }
        return expected(reader, reader->at, "a value");
    }
}

static bool read_all(struct reader *reader)
{
    if (reader->length > PK_JSON_MAX_BYTES) {
        return pk_fail(reader->err, PK_TOO_LARGE, "send it in parts",
                       "JSON of %zu bytes, %d are allowed", reader->length, PK_JSON_MAX_BYTES);
    }
    (void)pk_buf_reserve(&reader->out, reader->length);
    if (peek(reader) != '{') {
        return expected(reader, reader->at, "an object ('{')");
    }
    if (!read_object(reader)) {
        return false;
    }
    skip_space(reader);
    return reader->at == reader->length || expected(reader, reader->at, "the end");
}

bool pk_json_read(bson_t *out, const char *text, size_t length, size_t *out_offset,
                  struct pk_error *err)
{
    PK_CLEANUP(reader_done)
    struct reader reader = {
        .text = (const uint8_t *)text,
        .length = length,
        .err = err,
    };
    if (!read_all(&reader)) {
        if (out_offset) {
            *out_offset = reader.fault_at;
        }
        return false;
    }
    pk_writer_take(&reader.out, out);
    return true;
}
