/* schemas.c - Every schema there is, for schemas.py to compare with its JSON Schema.
 *
 *     schemas list     a line for each: {"name", "in", "out", "fit": [documents]}
 *     schemas check    reads lines 'NUMBER JSON' (the schema's place in the list), answers each
 *                      with a line: 'yes', or 'no' and what is wrong
 *
 * What JSON Schema has no words for, rules between fields and lengths given by
 * siblings, is taken out of copies of the schemas before they are asked. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "doc/inventory.h"
#include "doc/json.h"
#include "doc/json_put.h"
#include "doc/json_schema.h"
#include "generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPIES_MAX = 512, FIT = 4 };

/* ---- Copies without what cannot be said ---- */

static struct {
    const struct pk_schema *from;
    struct pk_schema *to;
} copied[COPIES_MAX];
static size_t copied_count;

static const struct pk_schema *copy_schema(const struct pk_schema *schema);

static void copy_row(struct pk_field *field)
{
    field->length_from = NULL;
    if (field->of) {
        field->of = copy_schema(field->of);
    }
    if (field->item) {
        struct pk_field *item = pk_alloc(sizeof(*item));
        *item = *field->item;
        copy_row(item);
        field->item = item;
    }
}

/* Once each: a schema may hold itself. They live as long as the program. */
static const struct pk_schema *copy_schema(const struct pk_schema *schema)
{
    for (size_t i = 0; i < copied_count; i++) {
        if (copied[i].from == schema) {
            return copied[i].to;
        }
    }
    if (copied_count == COPIES_MAX) {
        fprintf(stderr, "schemas: more than %d\n", COPIES_MAX);
        exit(1);
    }
    struct pk_schema *copy = pk_alloc(sizeof(*copy));
    copied[copied_count].from = schema;
    copied[copied_count++].to = copy;
    *copy = *schema;
    copy->rule = NULL;
    struct pk_field *field = pk_calloc(schema->count ? schema->count : 1, sizeof(*field));
    memcpy(field, schema->field, schema->count * sizeof(*field));
    for (size_t i = 0; i < schema->count; i++) {
        copy_row(&field[i]);
    }
    copy->field = field;
    return copy;
}

/* ---- The list: collections, then the shapes of HTTP ---- */

static size_t schema_count(void)
{
    size_t shapes;
    (void)pk_schemas(&shapes);
    return pk_inventory_builtin()->count + shapes;
}

static const struct pk_schema *schema_at(size_t i)
{
    const struct pk_inventory *inventory = pk_inventory_builtin();
    size_t shapes;
    const struct pk_schema *const *shape = pk_schemas(&shapes);
    return i < inventory->count ? inventory->collection[i].schema : shape[i - inventory->count];
}

static void add_document(struct pk_buf *out, size_t i, uint64_t seed)
{
    struct pk_generate how = { .seed = seed, .is_full = seed % 2 == 0 };
    const struct pk_inventory *inventory = pk_inventory_builtin();
    struct pk_error err;
    bson_t doc;
    if (i < inventory->count) {
        pk_generate_bson(&inventory->collection[i], &how, &doc);
    } else {
        pk_generate_schema(schema_at(i), &how, &doc);
    }
    pk_json_next(out);
    if (!pk_json_write(out, &doc, PK_JSON_COMPACT, &err)) {
        fprintf(stderr, "schemas: %s\n", err.message);
        exit(1);
    }
    bson_destroy(&doc);
}

static int list(void)
{
    for (size_t i = 0; i < schema_count(); i++) {
        PK_CLEANUP(pk_buf_done) struct pk_buf out = { 0 };
        pk_json_open(&out, NULL, '{');
        pk_json_put_text(&out, "name", schema_at(i)->name);
        pk_json_key(&out, "in");
        pk_json_schema_document(&out, schema_at(i), PK_JSON_IN);
        pk_json_key(&out, "out");
        pk_json_schema_document(&out, schema_at(i), PK_JSON_OUT);
        pk_json_open(&out, "fit", '[');
        for (uint64_t seed = 0; seed < FIT; seed++) {
            add_document(&out, i, seed);
        }
        pk_json_close(&out, ']');
        pk_json_close(&out, '}');
        puts(pk_buf_text(&out));
    }
    return 0;
}

static void judge(const struct pk_schema *schema, const char *text)
{
    struct pk_error err;
    struct pk_faults faults = { 0 };
    bson_t doc, stored;
    if (!pk_json_read(&doc, text, strlen(text), NULL, &err)) {
        printf("no JSON: %s\n", err.message);
        return;
    }
    if (pk_schema_accept(schema, &doc, &stored, &faults)) {
        puts("yes");
        bson_destroy(&stored);
    } else {
        printf("no %s: %s, not %s\n", faults.fault[0].path, faults.fault[0].expected,
               faults.fault[0].got);
    }
    pk_faults_done(&faults);
    bson_destroy(&doc);
}

static int check(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        char *text;
        line[strcspn(line, "\n")] = '\0';
        size_t i = strtoul(line, &text, 10);
        if (i >= schema_count() || *text != ' ') {
            fprintf(stderr, "schemas: not 'NUMBER JSON'\n");
            return 1;
        }
        judge(copy_schema(schema_at(i)), text + 1);
        fflush(stdout);
    }
    free(line);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        return list();
    }
    if (argc == 2 && strcmp(argv[1], "check") == 0) {
        return check();
    }
    fprintf(stderr, "usage: schemas list|check\n");
    return 2;
}
