/* json_schema.c - One function per type says what a row wants.
 *
 * A schema becomes a named component, written once however often it is used;
 * a component may refer to further ones while it is written, and to itself (a
 * condition holds conditions), so the list is walked by number until its end
 * no longer moves. The component of the sending side is called '...Input'.
 *
 * Which keyword is right where ours and theirs differ:
 *
 *     bytes, not characters    maxLength is the number of bytes: what is longer is surely refused.
 *                              A text with characters of several bytes may be refused earlier;
 *                              'x-max-bytes' says so. Formats are ASCII, where both are the same.
 *     open enumerations        'examples', not 'enum'
 *     any case                 the 'enum' has the stored spelling; 'x-any-case' is true
 *     null                     where it is taken for an absence, it is a type of its own
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/json_schema.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "doc/json_put.h"
#include "doc/schema.h"

#include <assert.h>
#include <string.h>

/* ---- Components ---- */

struct pk_json_component {
    const struct pk_schema *schema;
    enum pk_json_side side;
    char *name;
};

void pk_json_schemas_done(struct pk_json_schemas *all)
{
    for (size_t i = 0; i < all->count; i++) {
        pk_free(all->component[i].name);
    }
    pk_free(all->component);
    all->component = NULL;
    all->count = all->capacity = 0;
}

static bool has_name(const struct pk_json_schemas *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->component[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Two schemas of one name (a stored and a shown one) get a number. */
static char *make_name(const struct pk_json_schemas *all, const struct pk_schema *schema,
                       enum pk_json_side side)
{
    const char *tail = side == PK_JSON_IN ? "Input" : "";
    char *name = pk_strdupf("%s%s", schema->name, tail);
    for (int number = 2; has_name(all, name); number++) {
        pk_free(name);
        name = pk_strdupf("%s%d%s", schema->name, number, tail);
    }
    return name;
}

static const char *component_name(struct pk_json_schemas *all, const struct pk_schema *schema,
                                  enum pk_json_side side)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->component[i].schema == schema && all->component[i].side == side) {
            return all->component[i].name;
        }
    }
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? 2 * all->capacity : 32;
        all->component =
            pk_realloc(all->component, all->capacity * sizeof(struct pk_json_component));
    }
    struct pk_json_component *component = &all->component[all->count];
    *component = (struct pk_json_component){ schema, side, make_name(all, schema, side) };
    all->count++;
    return component->name;
}

static void put_ref(struct pk_json_schemas *all, struct pk_buf *out, const struct pk_schema *schema,
                    enum pk_json_side side)
{
    PK_CLEANUP(pk_freep)
    char *target = pk_strdupf("%s%s", all->prefix, component_name(all, schema, side));
    pk_json_put_text(out, "$ref", target);
}

void pk_json_schemas_ref(struct pk_json_schemas *all, struct pk_buf *out,
                         const struct pk_schema *schema, enum pk_json_side side)
{
    pk_buf_add_char(out, '{');
    put_ref(all, out, schema, side);
    pk_buf_add_char(out, '}');
}

/* ---- Rows ---- */

/* One row on its way. */
struct row {
    struct pk_json_schemas *all;
    const struct pk_field *field;
    enum pk_json_side side;
    bool takes_null;
};

static void put_row(struct pk_buf *out, const struct row *row);

static void put_type(struct pk_buf *out, const struct row *row, const char *type)
{
    if (!row->takes_null) {
        pk_json_put_text(out, "type", type);
        return;
    }
    pk_json_open(out, "type", '[');
    pk_json_put_text(out, NULL, type);
    pk_json_put_text(out, NULL, "null");
    pk_json_close(out, ']');
}

static bool has_range(const struct pk_field *field)
{
    return field->min != 0 || field->max != 0;
}

/* How much of it: both ends by their keywords. */
static void put_range(struct pk_buf *out, const struct pk_field *field, const char *least,
                      const char *most)
{
    if (field->min > 0) {
        pk_json_put_number(out, least, field->min);
    }
    if (field->max > 0) {
        pk_json_put_number(out, most, field->max);
    }
}

/* ---- Texts ---- */

#define HEX            "[0-9a-fA-F]"
#define UUID_ANY       HEX "{8}-" HEX "{4}-4" HEX "{3}-[89abAB]" HEX "{3}-" HEX "{12}"
#define LOW            "[0-9a-f]"
#define UUID_LOW       LOW "{8}-" LOW "{4}-4" LOW "{3}-[89ab]" LOW "{3}-" LOW "{12}"
#define NUMBER         "(?:0|[1-9][0-9]{0,15})" /* To 2^53 - 1, which has 16 digits. */
#define PRE            "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
#define BUILD          "[0-9A-Za-z-]+"
#define HIDING         "\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069"
#define MAIL           "[^ @" HIDING "]"
#define MAIL_NO_DOT    "[^ @." HIDING "]"
#define TRAIT          "[A-Za-z0-9_-]+"
#define DATE           "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
#define CLOCK          "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define BASE64         "[A-Za-z0-9+/]"
#define BASE64_PADDING BASE64 "[AQgw]==|" BASE64 "{2}[AEIMQUYcgkosw048]="

/* The regular expressions are those of ECMA 262 that Python and others read alike. */
static const struct {
    const char *name;     /* The keyword 'format', where there is one for it. */
    const char *pattern;  /* As sent. */
    const char *answered; /* As answered, where that is narrower. */
    int max;              /* Characters; 0: what the row says. */
} format_table[] = {
    [PK_FORMAT_NONE] = { NULL, NULL, NULL, 0 },
    [PK_FORMAT_UUID] = { "uuid", "^" UUID_ANY "$", "^" UUID_LOW "$", 36 },
    [PK_FORMAT_SCRIPT_ID] = { NULL, "^[a-z0-9][a-z0-9_-]*$", NULL, 64 },
    [PK_FORMAT_SEMVER] = { NULL,
                           "^" NUMBER "\\." NUMBER "\\." NUMBER "(?:-" PRE "(?:\\." PRE
                           ")*)?(?:\\+" BUILD "(?:\\." BUILD ")*)?$",
                           NULL, PK_FORMAT_SEMVER_MAX },
    [PK_FORMAT_TRAIT_PATH] = { NULL, "^" TRAIT "(?:[./]" TRAIT ")*$",
                               "^" TRAIT "(?:\\." TRAIT ")*$", 200 },
    [PK_FORMAT_MODEL_VERSION] = { NULL, "^(?:" UUID_ANY "|v_[0-9]{14}_[A-Za-z0-9]{1,32})$", NULL,
                                  0 },
    [PK_FORMAT_EMAIL] = { NULL, "^" MAIL "+@" MAIL_NO_DOT MAIL "*\\." MAIL "*" MAIL_NO_DOT "$",
                          NULL, 254 },
    [PK_FORMAT_HASH] = { NULL, "^[0-9a-f]{64}$", NULL, 64 },
    [PK_FORMAT_NAME] = { NULL, "^[A-Za-z0-9_.:-]+$", NULL, 0 },
    [PK_FORMAT_TITLE] = { NULL, "^ *[^ " HIDING "][^" HIDING "]*$", NULL, 0 },
};

static void put_enum(struct pk_buf *out, const struct row *row)
{
    const struct pk_field *field = row->field;
    bool is_open = (field->flags & PK_FIELD_OPEN_ENUM) != 0;
    pk_json_open(out, is_open ? "examples" : "enum", '[');
    for (size_t i = 0; field->allowed[i]; i++) {
        pk_json_put_text(out, NULL, field->allowed[i]);
    }
    if (row->takes_null && !is_open) {
        pk_json_put_raw(out, NULL, "null");
    }
    pk_json_close(out, ']');
    if (row->side == PK_JSON_IN && (field->flags & PK_FIELD_ANY_CASE)) {
        pk_json_put_bool(out, "x-any-case", true);
    }
}

static void put_length(struct pk_buf *out, const struct pk_field *field)
{
    int own = format_table[field->format].max;
    double max = own && (field->max == 0 || own < field->max) ? own : field->max;
    if (field->min > 0) {
        pk_json_put_number(out, "minLength", field->min);
    }
    if (max > 0) {
        pk_json_put_number(out, "maxLength", max);
    }
    bool is_ascii = field->format != PK_FORMAT_NONE && field->format != PK_FORMAT_EMAIL &&
                    field->format != PK_FORMAT_TITLE;
    if (max > 0 && !is_ascii) {
        pk_json_put_number(out, "x-max-bytes", max);
    }
}

/* 'pattern' is "^...$". */
static void put_pattern(struct pk_buf *out, const char *pattern, bool takes_star)
{
    PK_CLEANUP(pk_freep)
    char *either = pk_strdupf("^(?:[*]|%.*s)$", (int)strlen(pattern) - 2, pattern + 1);
    pk_json_put_text(out, "pattern", takes_star ? either : pattern);
}

static void put_string(struct pk_buf *out, const struct row *row)
{
    const struct pk_field *field = row->field;
    const char *pattern = format_table[field->format].pattern;
    const char *format = format_table[field->format].name;
    if (row->side == PK_JSON_OUT && format_table[field->format].answered) {
        pattern = format_table[field->format].answered;
    }
    put_type(out, row, "string");
    if (field->allowed) {
        put_enum(out, row);
        if (!(field->flags & PK_FIELD_OPEN_ENUM)) {
            return; /* The list says all. */
        }
    }
    if (field->flags & PK_FIELD_SECRET) {
        format = "password";
    } else if (field->flags & PK_FIELD_OR_STAR) {
        format = NULL; /* "*" is none. */
    }
    if (format) {
        pk_json_put_text(out, "format", format);
    }
    if (pattern) {
        put_pattern(out, pattern, (field->flags & PK_FIELD_OR_STAR) != 0);
    }
    put_length(out, field);
}

static void put_date(struct pk_buf *out, const struct row *row)
{
    put_type(out, row, "string");
    pk_json_put_text(out, "format", "date-time");
    pk_json_put_text(out, "pattern",
                     "^" DATE "T" CLOCK ":[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-]" CLOCK ")$");
}

static void put_binary(struct pk_buf *out, const struct row *row)
{
    const struct pk_field *field = row->field;
    put_type(out, row, "string");
    pk_json_put_text(out, "contentEncoding", "base64");
    pk_json_put_text(out, "pattern", "^(?:" BASE64 "{4})*(?:" BASE64_PADDING ")?$");
    if (field->min > 0) { /* Three bytes are four characters. */
        pk_json_put_number(out, "minLength", (double)(((long)field->min + 2) / 3 * 4));
    }
    if (field->max > 0) {
        pk_json_put_number(out, "maxLength", (double)(((long)field->max + 2) / 3 * 4));
        pk_json_put_number(out, "x-max-bytes", field->max);
    }
}

/* ---- Other scalars ---- */

static void put_bool(struct pk_buf *out, const struct row *row)
{
    put_type(out, row, "boolean");
}

static void put_limits(struct pk_buf *out, const struct pk_field *field)
{
    if (has_range(field)) {
        pk_json_put_number(out, "minimum", field->min);
    }
    if (field->max != 0) {
        pk_json_put_number(out, "maximum", field->max);
    }
}

static void put_int(struct pk_buf *out, const struct row *row)
{
    put_type(out, row, "integer");
    pk_json_put_text(out, "format", "int64");
    put_limits(out, row->field);
    if (!has_range(row->field)) {
        pk_json_put_raw(out, "minimum", "-9223372036854775808");
    }
    if (row->field->max == 0) {
        pk_json_put_raw(out, "maximum", "9223372036854775807");
    }
}

static void put_number(struct pk_buf *out, const struct row *row)
{
    put_type(out, row, "number");
    pk_json_put_text(out, "format", "double");
    put_limits(out, row->field);
}

/* Without a type it is anything, null, too. */
static void put_free(struct pk_buf *out, const struct row *row)
{
    if (!row->takes_null) {
        pk_json_put_raw(out, "type", "[\"object\",\"array\",\"string\",\"number\",\"boolean\"]");
    }
}

/* ---- Objects, lists and maps ---- */

static void put_object(struct pk_buf *out, const struct row *row)
{
    if (!row->takes_null) {
        put_ref(row->all, out, row->field->of, row->side);
        return;
    }
    pk_json_open(out, "anyOf", '[');
    pk_json_next(out);
    pk_json_schemas_ref(row->all, out, row->field->of, row->side);
    pk_json_put_raw(out, NULL, "{\"type\":\"null\"}");
    pk_json_close(out, ']');
}

/* Free-form entries may be anything. */
static bool takes_null(const struct pk_field *field)
{
    return (field->flags & PK_FIELD_NULLABLE) || (field->type == PK_TYPE_FREE && !field->name);
}

static void put_array(struct pk_buf *out, const struct row *row)
{
    const struct pk_field *field = row->field;
    struct row item = { row->all, field->item, row->side, takes_null(field->item) };
    put_type(out, row, "array");
    put_range(out, field, "minItems", "maxItems");
    if (field->length_from) {
        pk_json_put_text(out, "x-length-from", field->length_from);
    }
    pk_json_key(out, "items");
    put_row(out, &item);
}

static void put_map(struct pk_buf *out, const struct row *row)
{
    const struct pk_field *field = row->field;
    bool is_sent = row->side == PK_JSON_IN; /* An entry that is null is none. */
    struct row item = { row->all, field->item, row->side, is_sent || takes_null(field->item) };
    put_type(out, row, "object");
    put_range(out, field, "minProperties", "maxProperties");
    pk_json_key(out, "additionalProperties");
    put_row(out, &item);
}

/* ---- A row, a schema ---- */

static void (*const type_table[])(struct pk_buf *out, const struct row *row) = {
    [PK_TYPE_STRING] = put_string, [PK_TYPE_BOOL] = put_bool, [PK_TYPE_INT] = put_int,
    [PK_TYPE_NUMBER] = put_number, [PK_TYPE_DATE] = put_date, [PK_TYPE_OBJECT] = put_object,
    [PK_TYPE_ARRAY] = put_array,   [PK_TYPE_MAP] = put_map,   [PK_TYPE_FREE] = put_free,
    [PK_TYPE_BINARY] = put_binary,
};

static void put_members(struct pk_buf *out, const struct row *row)
{
    type_table[row->field->type](out, row);
    if (row->field->help) {
        pk_json_put_text(out, "description", row->field->help);
    }
}

static void put_row(struct pk_buf *out, const struct row *row)
{
    pk_buf_add_char(out, '{');
    put_members(out, row);
    pk_buf_add_char(out, '}');
}

/* null is a value for a field when the row says so, and an absence when it is sent. */
static bool field_takes_null(const struct pk_field *field, enum pk_json_side side)
{
    bool is_absence = side == PK_JSON_IN && !(field->flags & PK_FIELD_REQUIRED);
    return is_absence || takes_null(field);
}

void pk_json_schema_row(struct pk_buf *out, const struct pk_field *field, enum pk_json_side side)
{
    const struct row row = { NULL, field, side, field_takes_null(field, side) };
    assert(field->type != PK_TYPE_OBJECT && !field->item);
    put_members(out, &row);
}

static void put_properties(struct pk_json_schemas *all, struct pk_buf *out,
                           const struct pk_schema *schema, enum pk_json_side side)
{
    pk_json_open(out, "properties", '{');
    for (size_t i = 0; i < schema->count; i++) {
        const struct pk_field *field = &schema->field[i];
        struct row row = { all, field, side, field_takes_null(field, side) };
        pk_json_key(out, field->name);
        put_row(out, &row);
    }
    pk_json_close(out, '}');
}

static void put_required(struct pk_buf *out, const struct pk_schema *schema)
{
    pk_json_open(out, "required", '[');
    for (size_t i = 0; i < schema->count; i++) {
        if (schema->field[i].flags & PK_FIELD_REQUIRED) {
            pk_json_put_text(out, NULL, schema->field[i].name);
        }
    }
    pk_json_close(out, ']');
}

static void put_schema(struct pk_json_schemas *all, struct pk_buf *out,
                       const struct pk_schema *schema, enum pk_json_side side)
{
    pk_buf_add_char(out, '{');
    pk_json_put_text(out, "type", "object");
    if (schema->help) {
        pk_json_put_text(out, "description", schema->help);
    }
    put_required(out, schema);
    put_properties(all, out, schema, side);
    pk_json_put_bool(out, "additionalProperties", schema->is_open);
    pk_buf_add_char(out, '}');
}

void pk_json_schemas_write(struct pk_json_schemas *all, struct pk_buf *out)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct pk_schema *schema = all->component[i].schema;
        enum pk_json_side side = all->component[i].side;
        pk_json_key(out, all->component[i].name);
        put_schema(all, out, schema, side);
    }
}

void pk_json_schema_document(struct pk_buf *out, const struct pk_schema *schema,
                             enum pk_json_side side)
{
    PK_CLEANUP(pk_json_schemas_done) struct pk_json_schemas all = { .prefix = "#/$defs/" };
    pk_json_open(out, NULL, '{');
    pk_json_put_text(out, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_ref(&all, out, schema, side);
    pk_json_open(out, "$defs", '{');
    pk_json_schemas_write(&all, out);
    pk_json_close(out, '}');
    pk_json_close(out, '}');
}
