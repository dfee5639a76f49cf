/* schema_find.c - The rows of a schema by path, and all of them in turn. */
/* SPDX-License-Identifier: MIT */
#include "doc/schema.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <string.h>

/* What an open schema says of a field that no row names. */
static const struct pk_field free_row = { .type = PK_TYPE_FREE, .help = "Free-form." };

static const struct pk_field *find_name(const struct pk_schema *schema, const char *name,
                                        size_t length)
{
    for (size_t i = 0; i < schema->count; i++) {
        const char *other = schema->field[i].name;
        if (strncmp(other, name, length) == 0 && other[length] == '\0') {
            return &schema->field[i];
        }
    }
    return schema->is_open ? &free_row : NULL;
}

/* One segment of a path: a name, "[]", "[3]" or "*". */
static size_t segment_length(const char *path)
{
    if (*path == '[') {
        const char *end = strchr(path, ']');
        return end ? (size_t)(end - path) + 1 : 0;
    }
    return strcspn(path, ".[");
}

static bool is_index(const char *segment, size_t length)
{
    if (*segment == '[') {
        return true;
    }
    return length > 0 && strspn(segment, "0123456789") >= length;
}

const struct pk_field *pk_schema_field(const struct pk_schema *schema, const char *path)
{
    size_t length = segment_length(path);
    const struct pk_field *field = length ? find_name(schema, path, length) : NULL;

    for (path += length; field && *path; path += length) {
        path += *path == '.';
        length = segment_length(path);
        if (length == 0) {
            return NULL;
        }
        switch (field->type) {
        case PK_TYPE_OBJECT:
            field = *path == '[' ? NULL : find_name(field->of, path, length);
            break;
        case PK_TYPE_ARRAY:
            field = is_index(path, length) ? field->item : NULL;
            break;
        case PK_TYPE_MAP:
            field = *path == '[' ? NULL : field->item;
            break;
        case PK_TYPE_FREE:
            break; /* Whatever lies below is free-form, too. */
        case PK_TYPE_STRING:
        case PK_TYPE_BOOL:
        case PK_TYPE_INT:
        case PK_TYPE_NUMBER:
        case PK_TYPE_DATE:
        case PK_TYPE_BINARY:
            return NULL; /* A scalar has nothing below. */
        }
    }
    return field;
}

/* The schemas that are being listed, innermost first. */
struct listed {
    const struct listed *outer;
    const struct pk_schema *schema;
};

/* Who wants the rows. */
struct listing {
    pk_schema_each_fn *each;
    void *context;
    struct pk_buf path;
};

static void listing_done(struct listing *listing)
{
    pk_buf_done(&listing->path);
}

static void list_schema(struct listing *listing, const struct pk_schema *schema,
                        const struct listed *outer);

/* The row itself and what lies below; the path names it already. */
static void list_row(struct listing *listing, const struct pk_field *field,
                     const struct listed *outer)
{
    size_t length = listing->path.size;
    listing->each(listing->context, pk_buf_text(&listing->path), field);
    if (field->type == PK_TYPE_OBJECT) {
        list_schema(listing, field->of, outer);
    } else if (field->type == PK_TYPE_ARRAY || field->type == PK_TYPE_MAP) {
        pk_buf_add_text(&listing->path, field->type == PK_TYPE_ARRAY ? "[]" : ".*");
        list_row(listing, field->item, outer);
        listing->path.size = length;
        listing->path.data[length] = '\0';
    }
}

static void list_schema(struct listing *listing, const struct pk_schema *schema,
                        const struct listed *outer)
{
    /* A condition holds conditions: a schema within itself is listed once. */
    for (const struct listed *other = outer; other; other = other->outer) {
        if (other->schema == schema) {
            return;
        }
    }
    struct listed self = { outer, schema };
    size_t length = listing->path.size;
    for (size_t i = 0; i < schema->count; i++) {
        if (length) {
            pk_buf_add_char(&listing->path, '.');
        }
        pk_buf_add_text(&listing->path, schema->field[i].name);
        list_row(listing, &schema->field[i], &self);
        listing->path.size = length;
        listing->path.data[length] = '\0';
    }
}

void pk_schema_each(const struct pk_schema *schema, pk_schema_each_fn *each, void *context)
{
    PK_CLEANUP(listing_done) struct listing listing = { .each = each, .context = context };
    list_schema(&listing, schema, NULL);
}
