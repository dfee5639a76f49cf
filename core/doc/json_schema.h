/* json_schema.h - The tables of schema.h in the words of JSON Schema 2020-12.
 *
 *     struct pk_json_schemas all = { .prefix = "#/components/schemas/" };
 *     pk_json_schemas_ref(&all, &out, &pk_schema_actor, PK_JSON_OUT);   {"$ref": ".../Actor"}
 *     pk_json_schemas_write(&all, &out);                                "Actor":{...}, ...
 *     pk_json_schemas_done(&all);
 *
 * A schema may look different to who sends and who receives it: null is taken
 * for an absent field, and never answered; a UUID is taken in any case. So
 * there are two sides, and a named component for each that is used.
 *
 * What is said is what pk_schema_accept checks, with these exceptions: JSON
 * Schema counts characters where we count bytes ('x-max-bytes' says the
 * truth), and cannot say the rules between fields, nor that dates exist. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_JSON_SCHEMA_H
#define PK_DOC_JSON_SCHEMA_H

#include <stddef.h>

struct pk_buf;
struct pk_field;
struct pk_schema;

enum pk_json_side {
    PK_JSON_IN, /* What pk_schema_accept takes. */
    PK_JSON_OUT /* What is answered. */
};

struct pk_json_component; /* Opaque. */
/* The schemas that were referred to so far, in that order. */
struct pk_json_schemas {
    const char *prefix; /* Of references: "#/$defs/". */
    struct pk_json_component *component;
    size_t count, capacity;
};
void pk_json_schemas_done(struct pk_json_schemas *all);

/* Appends a reference to 'schema', and remembers it. */
void pk_json_schemas_ref(struct pk_json_schemas *all, struct pk_buf *out,
                         const struct pk_schema *schema, enum pk_json_side side);
/* Appends every remembered schema, and what those refer to, as members of an object. */
void pk_json_schemas_write(struct pk_json_schemas *all, struct pk_buf *out);

/* Appends the members of the object that describes one row without further schemas in it. */
void pk_json_schema_row(struct pk_buf *out, const struct pk_field *field, enum pk_json_side side);

/* A document of its own, with "$schema" and "$defs". */
void pk_json_schema_document(struct pk_buf *out, const struct pk_schema *schema,
                             enum pk_json_side side);

#endif
