/* schema_words.c - What a row wants and what a value is, in words for people; and the formats.
 *
 * One row per type and per format holds its words, so that a refusal, the
 * reference pages and the check agree. Values are shortened, control
 * characters in them escaped, and secrets never shown. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "base/utf8.h"

#include <string.h>

/* ---- Formats ---- */

static bool is_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == ':' || c == '-';
}

static bool is_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_name_char(text[i])) {
            return false;
        }
    }
    return length > 0;
}

static bool is_hash(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
    }
    return length == 64;
}

static bool is_semver(const char *text, size_t length)
{
    struct pk_semver version;
    return length <= PK_FORMAT_SEMVER_MAX && pk_semver_parse(text, length, &version);
}

/* Controls, what ends a line, and what turns the direction of text: none of it can be seen, and
 * all of it can make a name look like another one. */
static bool is_hiding(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point <= 0x9F) ||
           (point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
}

/* 'text' is UTF-8. */
static bool has_hiding(const char *text, size_t length)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t size; length > 0; at += size, length -= size) {
        size = pk_utf8_step(at, length);
        if (size == 0 || is_hiding(pk_utf8_point(at, size))) {
            return true;
        }
    }
    return false;
}

static bool is_title(const char *text, size_t length)
{
    size_t spaces = 0;
    while (spaces < length && text[spaces] == ' ') {
        spaces++;
    }
    return spaces < length && !has_hiding(text, length);
}

/* Something, one '@', and a host with a dot within; no spaces, nothing that hides. */
static bool is_email(const char *text, size_t length)
{
    enum { EMAIL_MAX = 254 }; /* RFC 5321: a path of 256 with its brackets. */
    const char *at = memchr(text, '@', length);
    if (!at || at == text || length > EMAIL_MAX) {
        return false;
    }
    const char *host = at + 1;
    const char *end = text + length;
    for (const char *c = text; c < end; c++) {
        if (*c == ' ' || (*c == '@' && c != at)) {
            return false;
        }
    }
    const char *dot = memchr(host, '.', (size_t)(end - host));
    return !has_hiding(text, length) && dot && dot != host && end[-1] != '.';
}

static const struct {
    bool (*is_valid)(const char *text, size_t length);
    const char *words;        /* Of what is taken from outside. */
    const char *stored_words; /* Of the stored form, where that is narrower. */
} format_table[] = {
    [PK_FORMAT_NONE] = { NULL, "a text", NULL },
    [PK_FORMAT_UUID] = { pk_uuid_is_v4, "a UUID of version 4",
                         "a UUID of version 4 in lower case" },
    [PK_FORMAT_SCRIPT_ID] = { pk_script_id_is_valid,
                              "an id of 1 to 64 characters a-z, 0-9, '_' and '-'", NULL },
    [PK_FORMAT_SEMVER] = { is_semver, "a semantic version like 1.2.3", NULL },
    [PK_FORMAT_TRAIT_PATH] = { pk_trait_path_is_valid, "a dot path like 'work.focus'", NULL },
    [PK_FORMAT_MODEL_VERSION] = { pk_model_version_is_valid,
                                  "a UUID of version 4 or v_<14 digits>_<short>", NULL },
    [PK_FORMAT_EMAIL] = { is_email, "an e-mail address", NULL },
    [PK_FORMAT_HASH] = { is_hash, "64 lower-case hexadecimal digits", NULL },
    [PK_FORMAT_NAME] = { is_name, "a name of A-Z, a-z, 0-9, '_', '.', ':' and '-'", NULL },
    [PK_FORMAT_TITLE] = { is_title, "a line of visible text", NULL },
};

bool pk_format_is_valid(enum pk_format format, const char *text, size_t length)
{
    return format == PK_FORMAT_NONE || format_table[format].is_valid(text, length);
}

/* ---- Rows ---- */

static const struct {
    const char *words;      /* Of the stored form. */
    const char *json_words; /* Of JSON, where it differs. */
    const char *unit;       /* What min and max count; "" when they are the value. NULL: nothing. */
} type_table[] = {
    [PK_TYPE_STRING] = { "a text", NULL, " bytes" },
    [PK_TYPE_BOOL] = { "true or false", NULL, NULL },
    [PK_TYPE_INT] = { "an integer", NULL, "" },
    [PK_TYPE_NUMBER] = { "a number", NULL, "" },
    [PK_TYPE_DATE] = { "a date of the years 0 to 9999",
                       "a date with time and zone like 2026-01-31T09:30:00Z", NULL },
    [PK_TYPE_OBJECT] = { "an object", NULL, NULL },
    [PK_TYPE_ARRAY] = { "a list", NULL, " elements" },
    [PK_TYPE_MAP] = { "an object", NULL, " entries" },
    [PK_TYPE_FREE] = { "what JSON can say", NULL, NULL },
    [PK_TYPE_BINARY] = { "binary data", "base64", " bytes" },
};

static void describe_allowed(struct pk_buf *out, const char *const *allowed)
{
    for (size_t i = 0; allowed[i]; i++) {
        bool is_last = i > 0 && !allowed[i + 1];
        pk_buf_add_text(out, i == 0 ? "" : is_last ? " or " : ", ");
        pk_buf_printf(out, "'%s'", allowed[i]);
    }
}

static void describe_range(struct pk_buf *out, const struct pk_field *field)
{
    const char *unit = type_table[field->type].unit;
    if (!unit || (field->min == 0 && field->max == 0)) {
        return;
    }
    if (field->max == 0) {
        pk_buf_printf(out, " of at least %.15g%s", field->min, unit);
    } else if (field->min == field->max) {
        pk_buf_printf(out, " of %.15g%s", field->min, unit);
    } else if (*unit && field->min == 0) {
        pk_buf_printf(out, " of at most %.15g%s", field->max, unit);
    } else {
        pk_buf_printf(out, *unit ? " of %.15g to %.15g%s" : " from %.15g to %.15g%s", field->min,
                      field->max, unit);
    }
}

void pk_field_describe(struct pk_buf *out, const struct pk_field *field, bool is_json)
{
    if (field->allowed && !(field->flags & PK_FIELD_OPEN_ENUM)) {
        describe_allowed(out, field->allowed);
        return;
    }
    const char *json_words = type_table[field->type].json_words;
    if (field->format != PK_FORMAT_NONE) {
        const char *stored_words = format_table[field->format].stored_words;
        pk_buf_add_text(out, !is_json && stored_words ? stored_words
                                                      : format_table[field->format].words);
    } else {
        pk_buf_add_text(out, is_json && json_words ? json_words : type_table[field->type].words);
    }
    describe_range(out, field);
    if (field->flags & PK_FIELD_OR_STAR) {
        pk_buf_add_text(out, " or '*'");
    }
    if (field->flags & PK_FIELD_NULLABLE) {
        pk_buf_add_text(out, " or null");
    }
}

/* ---- Values ---- */

enum { TEXT_SHOWN = 32 }; /* Bytes of a text that a refusal repeats. */

static void describe_text(struct pk_buf *out, const bson_iter_t *value)
{
    uint32_t length;
    const char *text = bson_iter_utf8(value, &length);
    size_t shown = pk_utf8_cut((const uint8_t *)text, length, TEXT_SHOWN);
    pk_buf_add_char(out, '\'');
    pk_text_escape(out, text, shown, false);
    pk_buf_add_char(out, '\'');
    if (shown < length) {
        pk_buf_printf(out, "... of %u bytes", length);
    }
}

static void describe_list(struct pk_buf *out, const bson_iter_t *value)
{
    bson_iter_t inside;
    size_t count = 0;
    bool is_list = BSON_ITER_HOLDS_ARRAY(value);
    if (bson_iter_recurse(value, &inside)) {
        while (bson_iter_next(&inside)) {
            count++;
        }
    }
    if (is_list) {
        pk_buf_printf(out, "a list of %zu element%s", count, count == 1 ? "" : "s");
    } else {
        pk_buf_printf(out, "an object of %zu field%s", count, count == 1 ? "" : "s");
    }
}

static void describe_date(struct pk_buf *out, const bson_iter_t *value)
{
    pk_buf_printf(out, "a date (%lld ms since 1970)", (long long)bson_iter_date_time(value));
}

static void describe_number(struct pk_buf *out, const bson_iter_t *value)
{
    if (BSON_ITER_HOLDS_DOUBLE(value)) {
        pk_buf_printf(out, "%.15g", bson_iter_double(value));
    } else {
        pk_buf_printf(out, "%lld", (long long)bson_iter_as_int64(value));
    }
}

static void describe_binary(struct pk_buf *out, const bson_iter_t *value)
{
    bson_subtype_t subtype;
    uint32_t size;
    const uint8_t *data;
    bson_iter_binary(value, &subtype, &size, &data);
    pk_buf_printf(out, "binary data of %u bytes", size);
}

static void describe_bool(struct pk_buf *out, const bson_iter_t *value)
{
    pk_buf_add_text(out, bson_iter_bool(value) ? "true" : "false");
}

static void describe_null(struct pk_buf *out, const bson_iter_t *value)
{
    (void)value;
    pk_buf_add_text(out, "null");
}

static const struct {
    void (*describe)(struct pk_buf *out, const bson_iter_t *value);
    const char *secret_words; /* Instead, when the value is a secret. */
} value_table[256] = {
    [BSON_TYPE_UTF8] = { describe_text, "a text that is not shown" },
    [BSON_TYPE_DOCUMENT] = { describe_list, "an object" },
    [BSON_TYPE_ARRAY] = { describe_list, "a list" },
    [BSON_TYPE_DATE_TIME] = { describe_date, "a date" },
    [BSON_TYPE_DOUBLE] = { describe_number, "a number that is not shown" },
    [BSON_TYPE_INT32] = { describe_number, "a number that is not shown" },
    [BSON_TYPE_INT64] = { describe_number, "a number that is not shown" },
    [BSON_TYPE_BINARY] = { describe_binary, "binary data that is not shown" },
    [BSON_TYPE_BOOL] = { describe_bool, "a boolean" },
    [BSON_TYPE_NULL] = { describe_null, "null" },
};

void pk_value_describe(struct pk_buf *out, const bson_iter_t *value, bool is_secret)
{
    uint8_t type = (uint8_t)bson_iter_type(value);
    if (!value_table[type].describe) {
        pk_buf_printf(out, "a value of BSON's type 0x%02x", type);
    } else if (is_secret) {
        pk_buf_add_text(out, value_table[type].secret_words);
    } else {
        value_table[type].describe(out, value);
    }
}

/* ---- Names ---- */

const char *pk_schema_nearest(const struct pk_schema *schema, const char *name)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 1; /* Names that differ more are not alike. */
    for (size_t i = 0; i < schema->count; i++) {
        size_t far = pk_text_distance(name, schema->field[i].name, best);
        if (far < best) {
            best = far;
            nearest = schema->field[i].name;
        }
    }
    return nearest;
}
