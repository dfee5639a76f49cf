/* spoil.c - One thing wrong in a document, by the rows of its schema. */
/* SPDX-License-Identifier: MIT */
#include "spoil.h"

#include "base/alloc.h"
#include "doc/schema.h"

#include <string.h>

enum wrong {
    WRONG_MISSING,
    WRONG_NULL,
    WRONG_TYPE,
    WRONG_BELOW,
    WRONG_ABOVE,
    WRONG_WORD,
    WRONG_FORM,
    WRONG_COUNT /* How many there are. */
};
static const char *const way[WRONG_COUNT] = {
    [WRONG_MISSING] = "missing",       [WRONG_NULL] = "null",      [WRONG_TYPE] = "another type",
    [WRONG_BELOW] = "below its range", [WRONG_ABOVE] = "above it", [WRONG_WORD] = "not in its list",
    [WRONG_FORM] = "another form",
};

/* The value that is wrong in that way; false when the row cannot be wrong so. */
static bool append_wrong(const struct pk_field *field, enum wrong wrong, const char *key,
                         bson_t *out)
{
    bool is_number = field->type == PK_TYPE_INT || field->type == PK_TYPE_NUMBER;
    bool is_ranged = field->min != 0 || field->max != 0;
    bool is_closed = field->allowed && !(field->flags & PK_FIELD_OPEN_ENUM);
    PK_CLEANUP(pk_freep) char *text = NULL;
    switch (wrong) {
    case WRONG_MISSING:
        return field->name && (field->flags & PK_FIELD_REQUIRED);
    case WRONG_NULL:
        bson_append_null(out, key, -1);
        return field->name && (field->flags & PK_FIELD_REQUIRED) &&
               !(field->flags & PK_FIELD_NULLABLE);
    case WRONG_TYPE:
        if (field->type == PK_TYPE_STRING) {
            bson_append_int64(out, key, -1, 7);
        } else {
            bson_append_utf8(out, key, -1, "wrong", -1);
        }
        return field->type != PK_TYPE_FREE;
    case WRONG_BELOW:
        bson_append_int64(out, key, -1, (int64_t)field->min - 1);
        return is_number && is_ranged;
    case WRONG_ABOVE:
        if (is_number) {
            bson_append_int64(out, key, -1, (int64_t)field->max + 1);
            return field->max != 0;
        }
        if (field->type != PK_TYPE_STRING || field->max == 0 || field->max > 100000) {
            return false;
        }
        text = pk_alloc((size_t)field->max + 2);
        memset(text, 'a', (size_t)field->max + 1);
        text[(size_t)field->max + 1] = '\0';
        bson_append_utf8(out, key, -1, text, -1);
        return true;
    case WRONG_WORD:
        bson_append_utf8(out, key, -1, "no such word", -1);
        return is_closed;
    case WRONG_FORM:
        bson_append_utf8(out, key, -1, field->format == PK_FORMAT_TITLE ? "a\nb" : "?!", -1);
        return field->format != PK_FORMAT_NONE && !is_closed;
    case WRONG_COUNT:
        break;
    }
    return false;
}

/* A place in a document that is made wrong. */
struct spot {
    const char *path; /* "traits[0].confidence" */
    const struct pk_field *field;
    enum wrong wrong;
    bool is_hit;
};

/* Copies 'from' to 'out' with the spot made wrong. */
static void copy_wrong(struct spot *spot, const bson_iter_t *from, const char *path, bool is_list,
                       bson_t *out)
{
    bson_iter_t iter = *from;
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        PK_CLEANUP(pk_freep)
        char *at = is_list ? pk_strdupf("%s[%s]", path, key)
                           : pk_strdupf("%s%s%s", path, *path ? "." : "", key);
        size_t length = strlen(at);
        bson_iter_t inside;
        bson_t below;
        if (strcmp(at, spot->path) == 0) {
            spot->is_hit = append_wrong(spot->field, spot->wrong, key, out);
        } else if (strncmp(spot->path, at, length) != 0 ||
                   (spot->path[length] != '.' && spot->path[length] != '[')) {
            bson_append_iter(out, key, -1, &iter);
        } else if (BSON_ITER_HOLDS_ARRAY(&iter) && bson_iter_recurse(&iter, &inside)) {
            bson_append_array_begin(out, key, -1, &below);
            copy_wrong(spot, &inside, at, true, &below);
            bson_append_array_end(out, &below);
        } else if (bson_iter_recurse(&iter, &inside)) {
            bson_append_document_begin(out, key, -1, &below);
            copy_wrong(spot, &inside, at, false, &below);
            bson_append_document_end(out, &below);
        }
    }
}

struct trial {
    const bson_t *doc;
    pk_spoil_fn *each;
    void *context;
    size_t count;
};

static void try_wrong(struct trial *trial, const char *path, const struct pk_field *field)
{
    for (int wrong = 0; wrong < WRONG_COUNT; wrong++) {
        struct spot spot = { path, field, (enum wrong)wrong, false };
        bson_iter_t fields;
        bson_t doc;
        bson_init(&doc);
        if (bson_iter_init(&fields, trial->doc)) {
            copy_wrong(&spot, &fields, "", false, &doc);
        }
        if (spot.is_hit) {
            trial->each(trial->context, path, way[wrong], &doc);
            trial->count++;
        }
        bson_destroy(&doc);
    }
}

static void try_object(struct trial *trial, const struct pk_schema *schema,
                       const bson_iter_t *object, const char *path);

/* The value at 'path' and what lies below it. */
static void try_value(struct trial *trial, const struct pk_field *field, const bson_iter_t *value,
                      const char *path)
{
    bson_iter_t inside;
    try_wrong(trial, path, field);
    if (field->type == PK_TYPE_OBJECT && bson_iter_recurse(value, &inside)) {
        try_object(trial, field->of, &inside, path);
    } else if ((field->type == PK_TYPE_ARRAY || field->type == PK_TYPE_MAP) &&
               bson_iter_recurse(value, &inside) && bson_iter_next(&inside)) {
        PK_CLEANUP(pk_freep)
        char *first = pk_strdupf(field->type == PK_TYPE_ARRAY ? "%s[%s]" : "%s.%s", path,
                                 bson_iter_key(&inside));
        try_value(trial, field->item, &inside, first);
    }
}

static void try_object(struct trial *trial, const struct pk_schema *schema,
                       const bson_iter_t *object, const char *path)
{
    for (size_t i = 0; i < schema->count; i++) {
        bson_iter_t iter = *object;
        if (bson_iter_find(&iter, schema->field[i].name)) {
            PK_CLEANUP(pk_freep)
            char *at = pk_strdupf("%s%s%s", path, *path ? "." : "", schema->field[i].name);
            try_value(trial, &schema->field[i], &iter, at);
        }
    }
}

size_t pk_spoil_each(const struct pk_schema *schema, const bson_t *doc, pk_spoil_fn *each,
                     void *context)
{
    struct trial trial = { .doc = doc, .each = each, .context = context };
    bson_iter_t fields;
    if (bson_iter_init(&fields, doc)) {
        try_object(&trial, schema, &fields, "");
    }
    return trial.count;
}
