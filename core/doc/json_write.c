/* json_write.c - BSON to JSON text.
 *
 * One row per BSON type says how its values are written; a type without a row
 * has no form in JSON and is refused with its path, which is put together only
 * then (place.h).
 *
 * Doubles are written with the fewest of 15, 16 or 17 digits that read back as
 * the same bits, and always with '.' or 'e', so that they read back as doubles.
 * Most have few decimals: v * 10^k is then an integer below 10^15 for a small
 * k, and when dividing it by 10^k gives v again, its digits are the answer
 * (both are exact doubles, so the division rounds as a reader does).
 *
 * Recursion is as deep as the document. Any thread. */
/* SPDX-License-Identifier: MIT */
#include "doc/json.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/base64.h"
#include "doc/place.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    struct pk_buf *buf;
    enum pk_json_style style;
    size_t depth;          /* For the indentation. */
    struct pk_buf scratch; /* A key in its plain form. */
    struct pk_error *err;
};

static void writer_done(struct writer *writer)
{
    pk_buf_done(&writer->scratch);
}

/* ---- Strings ---- */

static void add_escaped(struct pk_buf *buf, uint8_t c)
{
    static const char short_table[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };
    static const char hex[] = "0123456789abcdef";
    char text[6] = { '\\', short_table[c] };
    size_t size = 2;
    if (!text[1]) {
        text[1] = 'u';
        text[2] = '0';
        text[3] = '0';
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
        size = 6;
    }
    pk_buf_add(buf, text, size);
}

void pk_json_add_string(struct pk_buf *buf, const char *text, size_t length)
{
    const uint8_t *byte = (const uint8_t *)text;
    size_t from = 0; /* What lies between 'from' and 'i' is copied as it is. */
    size_t i = 0;

    pk_buf_add(buf, "\"", 1);
    while (i < length) {
        uint8_t c = byte[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t step = c < 0x80 ? 0 : pk_utf8_step(byte + i, length - i);
        if (step > 0) {
            i += step;
            continue;
        }
        pk_buf_add(buf, text + from, i - from);
        if (c < 0x80) {
            add_escaped(buf, c);
        } else {
            pk_buf_add(buf, "\xEF\xBF\xBD", 3); /* U+FFFD */
        }
        from = ++i;
    }
    pk_buf_add(buf, text + from, length - from);
    pk_buf_add(buf, "\"", 1);
}

static void add_key(struct writer *writer, const char *key)
{
    size_t length = strlen(key);
    if (memchr(key, '%', length)) {
        pk_buf_clear(&writer->scratch);
        pk_key_unescape(&writer->scratch, key, length);
        key = writer->scratch.data;
        length = writer->scratch.size;
    }
    pk_json_add_string(writer->buf, key, length);
    pk_buf_add(writer->buf, ": ", writer->style == PK_JSON_PRETTY ? 2 : 1);
}

/* ---- Refusing ---- */

static bool refuse(const struct writer *writer, const struct pk_place *place, const char *what)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf path = { 0 };
    pk_place_add(&path, place);
    const char *text = pk_buf_text(&path);
    return pk_fail(writer->err, PK_INVALID, "store a number, text, date, boolean, list or object",
                   "no JSON form for %s at '%.*s'", what,
                   (int)pk_utf8_cut((const uint8_t *)text, path.size, 120), text);
}

/* ---- Scalars ---- */

static void add_int64(struct pk_buf *buf, int64_t value)
{
    char text[24];
    size_t at = sizeof(text);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) {
        text[--at] = '-';
    }
    pk_buf_add(buf, text + at, sizeof(text) - at);
}

/* Writes values of few decimals; false for all others. */
static bool add_simple_double(struct pk_buf *buf, double value)
{
    enum { DECIMALS = 6 };
    static const double power_of_ten[DECIMALS + 1] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };
    double size = fabs(value);
    if (size != 0 && (size < 1e-4 || size >= 1e9)) {
        return false;
    }
    for (size_t k = 1; k <= DECIMALS; k++) {
        double scaled = size * power_of_ten[k];
        if (scaled != floor(scaled) || scaled / power_of_ten[k] != size) {
            continue;
        }
        uint64_t digits = (uint64_t)scaled;
        uint64_t unit = (uint64_t)power_of_ten[k];
        if (signbit(value)) {
            pk_buf_add_char(buf, '-');
        }
        add_int64(buf, (int64_t)(digits / unit));
        char fraction[DECIMALS + 1] = { '.' };
        uint64_t rest = digits % unit;
        for (size_t i = k; i > 0; i--) {
            fraction[i] = (char)('0' + rest % 10);
            rest /= 10;
        }
        pk_buf_add(buf, fraction, k + 1);
        return true;
    }
    return false;
}

static void add_double(struct pk_buf *buf, double value)
{
    char text[40];
    if (add_simple_double(buf, value)) {
        return;
    }
    /* The process may run in any locale; '.' it must be. glibc: a constant, no memory. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = uselocale(c_locale);
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    uselocale(before);
    freelocale(c_locale);
    pk_buf_add_text(buf, text);
    if (!strpbrk(text, ".e")) {
        pk_buf_add(buf, ".0", 2);
    }
}

typedef bool write_fn(struct writer *writer, const bson_iter_t *value,
                      const struct pk_place *place);

static bool write_double(struct writer *writer, const bson_iter_t *value,
                         const struct pk_place *place)
{
    double number = bson_iter_double(value);
    if (!isfinite(number)) {
        return refuse(writer, place, isnan(number) ? "NaN" : "an infinite number");
    }
    add_double(writer->buf, number);
    return true;
}

static bool write_string(struct writer *writer, const bson_iter_t *value,
                         const struct pk_place *place)
{
    uint32_t length;
    const char *text = bson_iter_utf8(value, &length);
    (void)place;
    pk_json_add_string(writer->buf, text, length);
    return true;
}

static bool write_binary(struct writer *writer, const bson_iter_t *value,
                         const struct pk_place *place)
{
    bson_subtype_t subtype;
    uint32_t size;
    const uint8_t *data;
    (void)place;
    bson_iter_binary(value, &subtype, &size, &data);
    pk_buf_add_char(writer->buf, '"');
    pk_base64_add(writer->buf, data, size);
    pk_buf_add_char(writer->buf, '"');
    return true;
}

static bool write_bool(struct writer *writer, const bson_iter_t *value,
                       const struct pk_place *place)
{
    (void)place;
    pk_buf_add_text(writer->buf, bson_iter_bool(value) ? "true" : "false");
    return true;
}

static bool write_date(struct writer *writer, const bson_iter_t *value,
                       const struct pk_place *place)
{
    int64_t ms = bson_iter_date_time(value);
    char text[PK_TIME_TEXT];
    if (!pk_time_has_text(ms)) {
        return refuse(writer, place, "a date outside the years 0 to 9999");
    }
    pk_time_format(ms, text);
    pk_buf_add_char(writer->buf, '"');
    pk_buf_add_text(writer->buf, text);
    pk_buf_add_char(writer->buf, '"');
    return true;
}

static bool write_null(struct writer *writer, const bson_iter_t *value,
                       const struct pk_place *place)
{
    (void)value;
    (void)place;
    pk_buf_add(writer->buf, "null", 4);
    return true;
}

static bool write_int(struct writer *writer, const bson_iter_t *value, const struct pk_place *place)
{
    (void)place;
    add_int64(writer->buf, bson_iter_as_int64(value));
    return true;
}

/* ---- Objects and arrays ---- */

static bool write_value(struct writer *writer, const bson_iter_t *value,
                        const struct pk_place *place);

static void new_line(struct writer *writer)
{
    if (writer->style == PK_JSON_PRETTY) {
        size_t size = 2 * writer->depth;
        char *to = pk_buf_reserve(writer->buf, size + 1);
        to[0] = '\n';
        memset(to + 1, ' ', size);
        writer->buf->size += size + 1;
    }
}

/* The next character of a stored key in its plain form. */
static int next_plain(const char **key)
{
    static const struct {
        const char *escape;
        char plain;
    } row[] = { { "%2E", '.' }, { "%24", '$' }, { "%25", '%' } };
    const char *at = *key;
    if (*at == '%') {
        for (size_t i = 0; i < PK_COUNT(row); i++) {
            if (strncmp(at, row[i].escape, 3) == 0) {
                *key = at + 3;
                return row[i].plain;
            }
        }
    }
    *key = at + (*at != '\0');
    return (unsigned char)*at;
}

/* One field of an object that is being sorted. (No bson_iter_t: those want an alignment of 128,
 * which memory from the heap does not have.) */
struct member {
    const char *key;
    uint32_t key_length;
    uint32_t at; /* Offset in the object. */
};

/* By the bytes of the plain keys, as a reader of the JSON sees them; equal ones by their place. */
static int compare_keys(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    const char *key_a = a->key;
    const char *key_b = b->key;
    int char_a, char_b;
    do {
        char_a = next_plain(&key_a);
        char_b = next_plain(&key_b);
    } while (char_a == char_b && char_a != '\0');
    if (char_a != char_b) {
        return char_a < char_b ? -1 : 1;
    }
    return a->at < b->at ? -1 : 1;
}

static bool write_member(struct writer *writer, const bson_iter_t *value,
                         const struct pk_place *parent, size_t index, bool is_array)
{
    struct pk_place place = {
        .parent = parent,
        .key = is_array ? NULL : bson_iter_key_unsafe(value),
        .index = index,
    };
    if (index > 0) {
        pk_buf_add_char(writer->buf, ',');
    }
    new_line(writer);
    if (!is_array) {
        add_key(writer, place.key);
    }
    return write_value(writer, value, &place);
}

/* The fields of 'inside', sorted; freed by the caller. */
static struct member *sort_members(bson_iter_t *inside, size_t *out_count)
{
    struct member *member = NULL;
    size_t count = 0;
    size_t capacity = 0;
    while (bson_iter_next(inside)) {
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            member = pk_realloc(member, capacity * sizeof(*member));
        }
        member[count++] = (struct member){
            .key = bson_iter_key_unsafe(inside),
            .key_length = bson_iter_key_len(inside),
            .at = bson_iter_offset(inside),
        };
    }
    if (count > 1) {
        qsort(member, count, sizeof(*member), compare_keys);
    }
    *out_count = count;
    return member;
}

static bool write_sorted(struct writer *writer, bson_iter_t *inside, const struct pk_place *place,
                         size_t *out_count)
{
    const bson_iter_t object = *inside; /* At its end, an iterator forgets its bytes. */
    PK_CLEANUP(pk_freep) struct member *member = sort_members(inside, out_count);
    for (size_t i = 0; i < *out_count; i++) {
        bson_iter_t value;
        if (!bson_iter_init_from_data_at_offset(&value, object.raw, object.len, member[i].at,
                                                member[i].key_length)) {
            return refuse(writer, place, "damaged BSON");
        }
        if (!write_member(writer, &value, place, i, false)) {
            return false;
        }
    }
    return true;
}

/* 'inside' stands before the first field. */
static bool write_fields(struct writer *writer, bson_iter_t *inside, const struct pk_place *place,
                         bool is_array)
{
    size_t count = 0;
    pk_buf_add_char(writer->buf, is_array ? '[' : '{');
    writer->depth++;
    if (!is_array && writer->style == PK_JSON_CANONICAL) {
        if (!write_sorted(writer, inside, place, &count)) {
            return false;
        }
    } else {
        while (bson_iter_next(inside)) {
            if (!write_member(writer, inside, place, count++, is_array)) {
                return false;
            }
        }
    }
    writer->depth--;
    if (inside->err_off) {
        return refuse(writer, place, "damaged BSON");
    }
    if (count > 0) {
        new_line(writer);
    }
    pk_buf_add_char(writer->buf, is_array ? ']' : '}');
    return true;
}

static bool write_nested(struct writer *writer, const bson_iter_t *value,
                         const struct pk_place *place)
{
    bson_iter_t inside;
    if (!bson_iter_recurse(value, &inside)) {
        return refuse(writer, place, "damaged BSON");
    }
    return write_fields(writer, &inside, place, BSON_ITER_HOLDS_ARRAY(value));
}

/* A type without a row has no form in JSON. */
static write_fn *const type_table[256] = {
    [BSON_TYPE_DOUBLE] = write_double,   [BSON_TYPE_UTF8] = write_string,
    [BSON_TYPE_DOCUMENT] = write_nested, [BSON_TYPE_ARRAY] = write_nested,
    [BSON_TYPE_BINARY] = write_binary,   [BSON_TYPE_BOOL] = write_bool,
    [BSON_TYPE_DATE_TIME] = write_date,  [BSON_TYPE_NULL] = write_null,
    [BSON_TYPE_INT32] = write_int,       [BSON_TYPE_INT64] = write_int,
};

static bool write_value(struct writer *writer, const bson_iter_t *value,
                        const struct pk_place *place)
{
    write_fn *write = type_table[(uint8_t)bson_iter_type_unsafe(value)];
    if (!write) {
        return refuse(writer, place, "a BSON type that JSON lacks");
    }
    return write(writer, value, place);
}

bool pk_json_write(struct pk_buf *buf, const bson_t *doc, enum pk_json_style style,
                   struct pk_error *err)
{
    PK_CLEANUP(writer_done) struct writer writer = { .buf = buf, .style = style, .err = err };
    static const struct pk_place document = { 0 };
    size_t start = buf->size;
    bson_iter_t inside;

    (void)pk_buf_reserve(buf, doc->len);
    if (bson_iter_init(&inside, doc) && write_fields(&writer, &inside, &document, false)) {
        return true;
    }
    buf->size = start; /* Half a document helps nobody. */
    pk_buf_add(buf, "", 0);
    return false;
}
