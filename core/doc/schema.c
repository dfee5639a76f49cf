/* schema.c - The check of a document against its schema; and its stored form.
 *
 * One walk does both: pk_schema_check walks a stored document, pk_schema_accept
 * one that came as JSON, and writes the stored form as it goes ('out'; NULL
 * when checking). So the two can never disagree. Where they differ is a
 * handful of types: a date is a string in JSON, binary is base64, 5.0 may be
 * meant as the integer 5, and a text that may be written in several ways (the
 * case of a UUID) is stored in one, so that equal things are equal bytes.
 *
 * The walk is one pass over the document. The row of a field is looked for
 * from where the last one was found, so documents in the order of their schema
 * find each row at once, and others cost a few comparisons; which rows were
 * seen is a bit each, which gives missing and repeated fields. Faults do not
 * end the walk: all are named at once, until there are too many.
 *
 * null is an absence unless the row says PK_FIELD_NULLABLE: the check passes
 * over it, accept drops it, and what is required is missing. Elements of lists
 * are never absent. Within free-form values null stays what it is.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema_internal.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "doc/base64.h"
#include "doc/doc.h"
#include "doc/place.h"
#include "doc/writer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { ROWS_MAX = 256 }; /* Fields of one schema. */

/* One walk. */
struct walk {
    struct pk_faults *faults;
    struct pk_buf *out;   /* The stored form; NULL: the document is in it already. */
    struct pk_buf bytes;  /* Decoded base64, or a text in its stored spelling. */
    unsigned secret_rows; /* Open rows that are secret. */
    unsigned depth;       /* Open objects and arrays. */
};

static void walk_done(struct walk *walk)
{
    pk_buf_done(&walk->bytes);
}

/* ---- Faults ---- */

static void fault(struct walk *walk, const struct pk_place *place, const char *expected,
                  const char *got)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf path = { 0 };
    pk_place_add(&path, place);
    pk_faults_add(walk->faults, pk_buf_text(&path), expected, "%s", got);
}

/* 'value' is not what the row says; NULL: it is missing. */
static void fault_value(struct walk *walk, const struct pk_place *place,
                        const struct pk_field *field, const bson_iter_t *value)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf expected = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf got = { 0 };
    if (walk->faults->is_cut) {
        return;
    }
    pk_field_describe(&expected, field, walk->out != NULL);
    if (value) {
        bool is_secret = walk->secret_rows > 0 || (field->flags & PK_FIELD_SECRET);
        pk_value_describe(&got, value, is_secret);
    } else {
        pk_buf_add_text(&got, "nothing");
    }
    fault(walk, place, pk_buf_text(&expected), pk_buf_text(&got));
}

static void fault_unknown(struct walk *walk, const struct pk_place *place,
                          const struct pk_schema *schema)
{
    PK_CLEANUP(pk_buf_done) struct pk_buf expected = { 0 };
    if (walk->faults->is_cut) {
        return;
    }
    const char *nearest = pk_schema_nearest(schema, place->key);
    pk_buf_printf(&expected, "a field of %s", schema->name);
    if (nearest) {
        pk_buf_printf(&expected, ", perhaps '%s'", nearest);
    }
    fault(walk, place, pk_buf_text(&expected), "an unknown field");
}

static bool is_in_range(const struct pk_field *field, double value)
{
    if (field->min == 0 && field->max == 0) {
        return true;
    }
    return value >= field->min && (field->max == 0 || value <= field->max);
}

/* ---- Free-form values ---- */

/* The types that JSON has a form for. */
static bool is_json_value(const bson_iter_t *value)
{
    static const bool type_table[256] = {
        [BSON_TYPE_UTF8] = true,   [BSON_TYPE_DOCUMENT] = true,  [BSON_TYPE_ARRAY] = true,
        [BSON_TYPE_BOOL] = true,   [BSON_TYPE_INT32] = true,     [BSON_TYPE_INT64] = true,
        [BSON_TYPE_DOUBLE] = true, [BSON_TYPE_DATE_TIME] = true, [BSON_TYPE_NULL] = true,
        [BSON_TYPE_BINARY] = true,
    };
    if (BSON_ITER_HOLDS_DOUBLE(value)) {
        return isfinite(bson_iter_double(value));
    }
    if (BSON_ITER_HOLDS_DATE_TIME(value)) {
        return pk_time_has_text(bson_iter_date_time(value));
    }
    return type_table[(uint8_t)bson_iter_type(value)];
}

/* Keys as json.h stores them: '.' and '$' escaped, and no '%' but in an escape. */
static bool is_stored_key(const char *key)
{
    for (key += strcspn(key, ".$%"); *key; key += strcspn(key, ".$%")) {
        if (strncmp(key, "%2E", 3) != 0 && strncmp(key, "%24", 3) != 0 &&
            strncmp(key, "%25", 3) != 0) {
            return false;
        }
        key += 3;
    }
    return true;
}

static void check_key(struct walk *walk, const struct pk_place *place)
{
    if (!is_stored_key(place->key)) {
        fault(walk, place, "a key with '.', '$' and '%' escaped", "one that is not");
    }
}

static bool enter(struct walk *walk, const struct pk_place *place, const bson_iter_t *value,
                  bson_iter_t *out_inside)
{
    if (walk->depth >= PK_DOC_MAX_DEPTH) {
        fault(walk, place, "nesting of at most 64", "deeper nesting");
        return false;
    }
    if (!bson_iter_recurse(value, out_inside)) {
        fault(walk, place, "well-formed BSON", "damaged bytes");
        return false;
    }
    walk->depth++;
    return true;
}

/* Looks only; nothing in a free-form value changes on its way into the store. */
static void check_free(struct walk *walk, const struct pk_place *place, const bson_iter_t *value)
{
    bson_iter_t inside;
    if (!is_json_value(value)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf got = { 0 };
        pk_value_describe(&got, value, walk->secret_rows > 0);
        fault(walk, place, "what JSON can say", pk_buf_text(&got));
        return;
    }
    bool is_array = BSON_ITER_HOLDS_ARRAY(value);
    if ((!is_array && !BSON_ITER_HOLDS_DOCUMENT(value)) || !enter(walk, place, value, &inside)) {
        return;
    }
    struct pk_place child = { .parent = place };
    while (bson_iter_next(&inside) && !walk->faults->is_cut) {
        if (!is_array) {
            child.key = bson_iter_key_unsafe(&inside);
            check_key(walk, &child);
        }
        check_free(walk, &child, &inside);
        child.index++;
    }
    walk->depth--;
}

/* ---- Scalars: each checks 'value' and writes its stored form under 'key' ---- */

/* What a handler works on. */
struct item {
    const struct pk_place *place;
    const struct pk_field *field;
    const bson_iter_t *value;
    const char *key; /* Under which it is stored. */
    size_t key_length;
};

static void keep(struct walk *walk, const struct item *item)
{
    if (walk->out) {
        pk_writer_copy(walk->out, item->key, item->key_length, item->value);
    }
}

/* A value at fault is kept, too: a rule should see it rather than a gap. */
static void refuse(struct walk *walk, const struct item *item)
{
    fault_value(walk, item->place, item->field, item->value);
    keep(walk, item);
}

static bool is_allowed(const char *const *allowed, const char *text, size_t length)
{
    for (size_t i = 0; allowed[i]; i++) {
        /* By length: the text may have a NUL within. */
        if (strlen(allowed[i]) == length && memcmp(allowed[i], text, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool takes_any_case(const struct pk_field *field)
{
    return field->format == PK_FORMAT_UUID || (field->flags & PK_FIELD_ANY_CASE);
}

/* The letter as it is stored. */
static char fold(const struct pk_field *field, char c)
{
    if (field->format == PK_FORMAT_TRAIT_PATH) {
        return c == '/' ? '.' : c;
    }
    return takes_any_case(field) && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_folded(const struct pk_field *field, const char *text, size_t length)
{
    if (field->format != PK_FORMAT_TRAIT_PATH && !takes_any_case(field)) {
        return true; /* There is one way only. */
    }
    for (size_t i = 0; i < length; i++) {
        if (fold(field, text[i]) != text[i]) {
            return false;
        }
    }
    return true;
}

/* The stored spelling; valid until the next one. */
static const char *fold_text(struct walk *walk, const struct pk_field *field, const char *text,
                             size_t length)
{
    pk_buf_clear(&walk->bytes);
    pk_buf_add(&walk->bytes, text, length);
    for (size_t i = 0; i < length; i++) {
        walk->bytes.data[i] = fold(field, text[i]);
    }
    return walk->bytes.data;
}

static bool is_text_fit(const struct pk_field *field, const char *text, uint32_t length)
{
    bool is_closed = field->allowed && !(field->flags & PK_FIELD_OPEN_ENUM);
    if ((field->flags & PK_FIELD_OR_STAR) && length == 1 && text[0] == '*') {
        return true;
    }
    return is_in_range(field, length) && (!is_closed || is_allowed(field->allowed, text, length)) &&
           pk_format_is_valid(field->format, text, length);
}

static void walk_string(struct walk *walk, const struct item *item)
{
    const struct pk_field *field = item->field;
    uint32_t length = 0;
    const char *text =
        BSON_ITER_HOLDS_UTF8(item->value) ? bson_iter_utf8(item->value, &length) : NULL;
    bool is_stored = text && is_folded(field, text, length);
    if (text && !is_stored && walk->out) {
        text = fold_text(walk, field, text, length);
    }
    if (!text || (!is_stored && !walk->out) || !is_text_fit(field, text, length)) {
        refuse(walk, item);
    } else if (is_stored) {
        keep(walk, item);
    } else {
        pk_writer_key(walk->out, BSON_TYPE_UTF8, item->key, item->key_length);
        pk_writer_text(walk->out, text, length);
    }
}

static void walk_bool(struct walk *walk, const struct item *item)
{
    if (!BSON_ITER_HOLDS_BOOL(item->value)) {
        refuse(walk, item);
        return;
    }
    keep(walk, item);
}

static void walk_int(struct walk *walk, const struct item *item)
{
    static const double two_to_63 = 9223372036854775808.0;
    if (BSON_ITER_HOLDS_INT(item->value)) {
        if (!is_in_range(item->field, (double)bson_iter_as_int64(item->value))) {
            refuse(walk, item);
            return;
        }
        keep(walk, item);
        return;
    }
    /* Some languages write every number as a double: 5.0 is taken as 5. */
    double real = BSON_ITER_HOLDS_DOUBLE(item->value) ? bson_iter_double(item->value) : NAN;
    if (!walk->out || !(real >= -two_to_63 && real < two_to_63) || real != floor(real) ||
        !is_in_range(item->field, real)) {
        refuse(walk, item);
        return;
    }
    pk_writer_key(walk->out, BSON_TYPE_INT64, item->key, item->key_length);
    pk_writer_int64(walk->out, (int64_t)real);
}

static void walk_number(struct walk *walk, const struct item *item)
{
    bool is_int = BSON_ITER_HOLDS_INT(item->value);
    if (!is_int && !BSON_ITER_HOLDS_DOUBLE(item->value)) {
        refuse(walk, item);
        return;
    }
    double real = is_int ? (double)bson_iter_as_int64(item->value) : bson_iter_double(item->value);
    if (!isfinite(real) || !is_in_range(item->field, real)) {
        refuse(walk, item);
        return;
    }
    keep(walk, item);
}

static void walk_date(struct walk *walk, const struct item *item)
{
    if (!walk->out) {
        if (!BSON_ITER_HOLDS_DATE_TIME(item->value) ||
            !pk_time_has_text(bson_iter_date_time(item->value))) {
            refuse(walk, item);
        }
        return;
    }
    uint32_t length = 0;
    int64_t ms;
    const char *text =
        BSON_ITER_HOLDS_UTF8(item->value) ? bson_iter_utf8(item->value, &length) : NULL;
    if (!text || !pk_time_parse(text, length, &ms, NULL)) {
        refuse(walk, item);
        return;
    }
    pk_writer_key(walk->out, BSON_TYPE_DATE_TIME, item->key, item->key_length);
    pk_writer_int64(walk->out, ms);
}

static void walk_binary(struct walk *walk, const struct item *item)
{
    if (!walk->out) {
        uint32_t size = 0;
        const uint8_t *data;
        if (BSON_ITER_HOLDS_BINARY(item->value)) {
            bson_iter_binary(item->value, NULL, &size, &data);
        }
        if (!BSON_ITER_HOLDS_BINARY(item->value) || !is_in_range(item->field, size)) {
            refuse(walk, item);
        }
        return;
    }
    uint32_t length = 0;
    const char *text =
        BSON_ITER_HOLDS_UTF8(item->value) ? bson_iter_utf8(item->value, &length) : NULL;
    pk_buf_clear(&walk->bytes);
    if (!text || !pk_base64_read(&walk->bytes, text, length) ||
        !is_in_range(item->field, (double)walk->bytes.size)) {
        refuse(walk, item);
        return;
    }
    uint32_t size = BSON_UINT32_TO_LE((uint32_t)walk->bytes.size);
    pk_writer_key(walk->out, BSON_TYPE_BINARY, item->key, item->key_length);
    pk_buf_add(walk->out, &size, sizeof(size));
    pk_buf_add(walk->out, "\0", 1); /* Subtype 0: generic. */
    pk_buf_add(walk->out, walk->bytes.data, walk->bytes.size);
}

static void walk_free(struct walk *walk, const struct item *item)
{
    check_free(walk, item->place, item->value);
    keep(walk, item);
}

/* ---- Objects, lists and maps ---- */

static void walk_value(struct walk *walk, const struct item *item);
static void walk_fields(struct walk *walk, const struct pk_place *place,
                        const struct pk_schema *schema, bson_iter_t *inside);

/* Opens an object or a list, in the stored form, too: that starts at '*out_start'. False, with the
 * fault said, when the value is of another type or lies too deep. */
static bool begin(struct walk *walk, const struct item *item, bson_type_t type,
                  bson_iter_t *out_inside, size_t *out_start)
{
    if (bson_iter_type(item->value) != type) {
        refuse(walk, item);
        return false;
    }
    if (!enter(walk, item->place, item->value, out_inside)) {
        return false;
    }
    *out_start = 0;
    if (walk->out) {
        pk_writer_key(walk->out, type, item->key, item->key_length);
        *out_start = pk_writer_begin(walk->out);
    }
    return true;
}

static void end(struct walk *walk, size_t start)
{
    if (walk->out) {
        pk_writer_end(walk->out, start);
    }
    walk->depth--;
}

/* What no row can say: asked of the stored form. */
static void ask_rule(struct walk *walk, const struct pk_place *place,
                     const struct pk_schema *schema, const uint8_t *data, size_t size)
{
    bson_t view;
    if (schema->rule && bson_init_static(&view, data, size)) {
        PK_CLEANUP(pk_buf_done) struct pk_buf path = { 0 };
        pk_place_add(&path, place);
        schema->rule(&view, pk_buf_text(&path), walk->faults);
    }
}

static void walk_object(struct walk *walk, const struct item *item)
{
    bson_iter_t inside;
    size_t start;
    if (!begin(walk, item, BSON_TYPE_DOCUMENT, &inside, &start)) {
        return;
    }
    const uint8_t *data = inside.raw;
    size_t size = inside.len;
    walk_fields(walk, item->place, item->field->of, &inside);
    end(walk, start);
    if (walk->out) {
        data = (const uint8_t *)walk->out->data + start;
        size = walk->out->size - start;
    }
    ask_rule(walk, item->place, item->field->of, data, size);
}

static void walk_list(struct walk *walk, const struct item *item)
{
    bson_iter_t inside;
    size_t start;
    if (!begin(walk, item, BSON_TYPE_ARRAY, &inside, &start)) {
        return;
    }
    struct pk_place place = { .parent = item->place };
    char key[PK_ARRAY_KEY];
    while (bson_iter_next(&inside) && !walk->faults->is_cut) {
        struct item element = { &place, item->field->item, &inside, key, 0 };
        if (walk->out) {
            element.key_length = pk_writer_array_key(key, (uint32_t)place.index);
        }
        walk_value(walk, &element);
        place.index++;
    }
    end(walk, start);
    if (!is_in_range(item->field, (double)place.index)) {
        fault_value(walk, item->place, item->field, item->value);
    }
}

/* True when null is a value for this row. Free-form entries and elements may be anything. */
static bool takes_null(const struct pk_field *field)
{
    return (field->flags & PK_FIELD_NULLABLE) || (field->type == PK_TYPE_FREE && !field->name);
}

/* True when 'value' is an absence by the row 'field'. */
static bool is_absent(const struct pk_field *field, const bson_iter_t *value)
{
    return BSON_ITER_HOLDS_NULL(value) && !takes_null(field);
}

static void walk_map(struct walk *walk, const struct item *item)
{
    bson_iter_t inside;
    size_t start;
    if (!begin(walk, item, BSON_TYPE_DOCUMENT, &inside, &start)) {
        return;
    }
    size_t count = 0;
    struct pk_place place = { .parent = item->place };
    while (bson_iter_next(&inside) && !walk->faults->is_cut) {
        const char *key = bson_iter_key_unsafe(&inside);
        if (is_absent(item->field->item, &inside)) {
            continue;
        }
        place.key = key;
        check_key(walk, &place);
        struct item entry = { &place, item->field->item, &inside, key, strlen(key) };
        walk_value(walk, &entry);
        count++;
    }
    end(walk, start);
    if (!is_in_range(item->field, (double)count)) {
        fault_value(walk, item->place, item->field, item->value);
    }
}

static void (*const handler_table[])(struct walk *walk, const struct item *item) = {
    [PK_TYPE_STRING] = walk_string, [PK_TYPE_BOOL] = walk_bool, [PK_TYPE_INT] = walk_int,
    [PK_TYPE_NUMBER] = walk_number, [PK_TYPE_DATE] = walk_date, [PK_TYPE_OBJECT] = walk_object,
    [PK_TYPE_ARRAY] = walk_list,    [PK_TYPE_MAP] = walk_map,   [PK_TYPE_FREE] = walk_free,
    [PK_TYPE_BINARY] = walk_binary,
};

static void walk_value(struct walk *walk, const struct item *item)
{
    bool is_secret = (item->field->flags & PK_FIELD_SECRET) != 0;
    if (BSON_ITER_HOLDS_NULL(item->value)) {
        /* An element, or a null that is a value: absences have been passed over. */
        if (takes_null(item->field)) {
            keep(walk, item);
        } else {
            refuse(walk, item);
        }
        return;
    }
    walk->secret_rows += is_secret;
    handler_table[item->field->type](walk, item);
    walk->secret_rows -= is_secret;
}

/* ---- The fields of one object ---- */

/* The row of that name, looked for from '*next' on and then from the start; NULL when none. */
static const struct pk_field *find_row(const struct pk_schema *schema, const char *name,
                                       size_t *next)
{
    size_t i = *next;
    for (size_t tried = 0; tried < schema->count; tried++, i++) {
        if (i >= schema->count) {
            i = 0;
        }
        if (schema->field[i].name[0] == name[0] && strcmp(schema->field[i].name, name) == 0) {
            *next = i + 1;
            return &schema->field[i];
        }
    }
    return NULL;
}

static size_t count_elements(const bson_iter_t *array)
{
    bson_iter_t inside;
    size_t count = 0;
    if (bson_iter_recurse(array, &inside)) {
        while (bson_iter_next(&inside)) {
            count++;
        }
    }
    return count;
}

/* An embedding has as many numbers as its sibling 'dimension' says. 'object' stands before the
 * first field of the object. */
static void check_length(struct walk *walk, const struct pk_place *place,
                         const struct pk_field *field, const bson_iter_t *object)
{
    bson_iter_t array = *object;
    bson_iter_t length = *object;
    if (!bson_iter_find(&array, field->name) || !BSON_ITER_HOLDS_ARRAY(&array) ||
        !bson_iter_find(&length, field->length_from) || !BSON_ITER_HOLDS_NUMBER(&length)) {
        return; /* Absent, or of a wrong type, which has been said. */
    }
    size_t count = count_elements(&array);
    if ((double)count == bson_iter_as_double(&length)) {
        return;
    }
    PK_CLEANUP(pk_buf_done) struct pk_buf expected = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf got = { 0 };
    pk_buf_printf(&expected, "as many elements as '%s' says (%.15g)", field->length_from,
                  bson_iter_as_double(&length));
    pk_value_describe(&got, &array, walk->secret_rows > 0 || (field->flags & PK_FIELD_SECRET));
    fault(walk, place, pk_buf_text(&expected), pk_buf_text(&got));
}

/* What only the whole object shows: missing fields, and lengths that siblings give. */
static void check_rows(struct walk *walk, const struct pk_place *place,
                       const struct pk_schema *schema, const uint64_t *seen,
                       const bson_iter_t *object)
{
    struct pk_place child = { .parent = place };
    for (size_t i = 0; i < schema->count; i++) {
        const struct pk_field *field = &schema->field[i];
        bool is_seen = (seen[i / 64] >> (i % 64) & 1) != 0;
        child.key = field->name;
        if (!is_seen && (field->flags & PK_FIELD_REQUIRED)) {
            fault_value(walk, &child, field, NULL);
        } else if (is_seen && field->length_from) {
            check_length(walk, &child, field, object);
        }
    }
}

/* A field without a row. */
static void walk_open(struct walk *walk, const struct pk_place *place,
                      const struct pk_schema *schema, const bson_iter_t *value)
{
    if (!schema->is_open) {
        fault_unknown(walk, place, schema);
        return;
    }
    check_key(walk, place);
    check_free(walk, place, value);
    if (walk->out) {
        pk_writer_copy(walk->out, place->key, strlen(place->key), value);
    }
}

/* 'inside' stands before the first field. */
static void walk_fields(struct walk *walk, const struct pk_place *place,
                        const struct pk_schema *schema, bson_iter_t *inside)
{
    uint64_t seen[ROWS_MAX / 64] = { 0 };
    size_t next = 0;
    bson_iter_t object = *inside;
    struct pk_place child = { .parent = place };

    assert(schema->count <= ROWS_MAX);
    while (bson_iter_next(inside) && !walk->faults->is_cut) {
        child.key = bson_iter_key_unsafe(inside);
        const struct pk_field *field = find_row(schema, child.key, &next);
        if (!field) {
            walk_open(walk, &child, schema, inside);
            continue;
        }
        size_t row = (size_t)(field - schema->field);
        if (is_absent(field, inside)) {
            continue;
        }
        if (seen[row / 64] >> (row % 64) & 1) {
            fault(walk, &child, "this field once", "a repeated field");
        }
        seen[row / 64] |= 1ULL << (row % 64);
        struct item item = { &child, field, inside, field->name, strlen(field->name) };
        walk_value(walk, &item);
    }
    if (inside->err_off) {
        fault(walk, place, "well-formed BSON", "damaged bytes");
        return;
    }
    check_rows(walk, place, schema, seen, &object);
}

/* ---- From outside ---- */

static void walk_document(struct walk *walk, const struct pk_schema *schema, const bson_t *doc)
{
    static const struct pk_place document = { 0 };
    bson_iter_t inside;
    if (!bson_iter_init(&inside, doc)) {
        fault(walk, &document, "well-formed BSON", "damaged bytes");
        return;
    }
    walk->depth = 1;
    walk_fields(walk, &document, schema, &inside);
}

bool pk_schema_check(const struct pk_schema *schema, const bson_t *doc, struct pk_faults *faults)
{
    static const struct pk_place document = { 0 };
    struct walk walk = { .faults = faults };
    size_t before = faults->count;

    walk_document(&walk, schema, doc);
    ask_rule(&walk, &document, schema, bson_get_data(doc), doc->len);
    return faults->count == before && !faults->is_cut;
}

bool pk_schema_accept(const struct pk_schema *schema, const bson_t *doc, bson_t *out,
                      struct pk_faults *faults)
{
    static const struct pk_place document = { 0 };
    PK_CLEANUP(pk_buf_done) struct pk_buf bytes = { 0 };
    PK_CLEANUP(walk_done) struct walk walk = { .faults = faults, .out = &bytes };
    size_t before = faults->count;

    (void)pk_buf_reserve(&bytes, doc->len);
    size_t start = pk_writer_begin(&bytes);
    walk_document(&walk, schema, doc);
    pk_writer_end(&bytes, start);
    ask_rule(&walk, &document, schema, (const uint8_t *)bytes.data, bytes.size);
    if (faults->count != before || faults->is_cut) {
        return false;
    }
    pk_writer_take(&bytes, out);
    return true;
}
