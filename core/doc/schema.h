/* schema.h - What a document may look like, as tables; and the check against them.
 *
 * A schema is a list of fields; a field is a row. From these rows come the
 * checks here, and later OpenAPI, Lua type stubs and the reference pages, so
 * each row carries its help text. Tables are 'static const'; any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PK_DOC_SCHEMA_H
#define PK_DOC_SCHEMA_H

#include <bson/bson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_buf;
struct pk_error;
struct pk_faults;

enum pk_type {
    PK_TYPE_STRING, /* min, max: bytes. */
    PK_TYPE_BOOL,
    PK_TYPE_INT,    /* int32 or int64; min, max: value. */
    PK_TYPE_NUMBER, /* int or double, finite; min, max: value. */
    PK_TYPE_DATE,   /* BSON date; ISO 8601 with a zone in JSON. */
    PK_TYPE_OBJECT, /* Fields of 'of'. */
    PK_TYPE_ARRAY,  /* Elements like the one row 'item'; min, max: elements. */
    PK_TYPE_MAP,    /* Any keys, values like the one row 'item'; min, max: entries. */
    PK_TYPE_FREE,   /* Anything JSON can say. */
    PK_TYPE_BINARY  /* min, max: bytes. Base64 in JSON. */
};

/* What a string must be made of, beyond its length. */
enum pk_format {
    PK_FORMAT_NONE,
    PK_FORMAT_UUID,          /* Version 4; taken in any case, stored in lower case. */
    PK_FORMAT_SCRIPT_ID,     /* Mapper, processor or plugin id. */
    PK_FORMAT_SEMVER,        /* 1.2.3-pre+build */
    PK_FORMAT_TRAIT_PATH,    /* Dot path; '/' is taken, and stored as '.'. */
    PK_FORMAT_MODEL_VERSION, /* UUID v4 or v_<14 digits>_<short>. */
    PK_FORMAT_EMAIL,         /* Something, one '@', a host with a dot. */
    PK_FORMAT_HASH,          /* 64 lower-case hexadecimal digits. */
    PK_FORMAT_NAME,          /* [A-Za-z0-9_.:-]+: event types, keys, identifiers of others. */
    PK_FORMAT_TITLE          /* What people call something: one line, and nothing that hides. */
};

/* Bytes of a semantic version: what any pre-release or build alone may have (base/id.h), and room
 * for three digits. */
enum { PK_FORMAT_SEMVER_MAX = 70 };

enum {
    PK_FIELD_REQUIRED = 1 << 0,  /* Must be there, and not null. */
    PK_FIELD_NULLABLE = 1 << 1,  /* null is a value, not an absence. */
    PK_FIELD_SECRET = 1 << 2,    /* Never in a log, an answer or an export. */
    PK_FIELD_OPEN_ENUM = 1 << 3, /* 'allowed' names the built-in values; others of the same format
                                  * are accepted, too. */
    PK_FIELD_ANY_CASE = 1 << 4,  /* Taken in any case from outside, stored in lower case. */
    PK_FIELD_OR_STAR = 1 << 5    /* "*" is taken, too, whatever the format: it stands for all. */
};

struct pk_field {
    const char *name; /* As stored. NULL only in an 'item' row. */
    enum pk_type type;
    enum pk_format format;
    unsigned flags;              /* PK_FIELD_... */
    double min, max;             /* See pk_type; both 0: no range (max 0 alone: no upper end). */
    const char *const *allowed;  /* Enumeration, NULL-terminated; or NULL. */
    const struct pk_schema *of;  /* PK_TYPE_OBJECT. */
    const struct pk_field *item; /* PK_TYPE_ARRAY and PK_TYPE_MAP. */
    const char *length_from;     /* An array's length must equal this sibling number. */
    const char *help;            /* One sentence, for people. */
};

struct pk_schema {
    const char *name; /* "Observation", "Goal": as the specification calls it. */
    const struct pk_field *field;
    size_t count;
    bool is_open; /* Fields that no row names are allowed, and free-form. */
    /* What no single row can say ("a curation names its trait"); adds to 'faults'. May be NULL.
     * 'doc' is the object in its stored form. It is called for objects with faults, too, so that
     * all are named at once: a field may be absent or of another type than its row says. */
    void (*rule)(const bson_t *doc, const char *path, struct pk_faults *faults);
    const char *help;
};

/* Everything wrong with a document, by path. '{ 0 }' is empty. Stops collecting at 100. */
struct pk_fault {
    char *path;     /* "traits[3].confidence"; "" for the document itself. */
    char *expected; /* "a number from 0 to 1" */
    char *got;      /* "1.5", shortened; never a secret's value. */
};
struct pk_faults {
    struct pk_fault *fault;
    size_t count;
    bool is_cut; /* There were more. */
};
void pk_faults_done(struct pk_faults *faults);
void pk_faults_add(struct pk_faults *faults, const char *path, const char *expected,
                   const char *got_format, ...) __attribute__((format(printf, 4, 5)));
/* Turns them into one PK_INVALID error that names the first and counts the rest; returns false.
 * 'err->field' points into 'faults'. */
bool pk_faults_fail(const struct pk_faults *faults, struct pk_error *err);
/* Lists all of them, one line each, for people. */
void pk_faults_print(const struct pk_faults *faults, struct pk_buf *out);

/* Checks a document in its stored form (dates are BSON dates, keys are escaped). Adds every fault;
 * true when there was none. */
bool pk_schema_check(const struct pk_schema *schema, const bson_t *doc, struct pk_faults *faults);

/* Takes a document that came as JSON (pk_json_read): checks it like pk_schema_check and writes its
 * stored form to 'out': strings in date fields become dates, base64 becomes binary, and what may be
 * written in several ways (the case of a UUID) becomes one. 'out' is initialised here and ended by
 * the caller, on success only. */
bool pk_schema_accept(const struct pk_schema *schema, const bson_t *doc, bson_t *out,
                      struct pk_faults *faults);

/* The row at a dot path ("traits[].confidence", "content.structured.x" for free-form), or NULL. */
const struct pk_field *pk_schema_field(const struct pk_schema *schema, const char *path);

/* Calls 'each' for every row, depth first, with its path ("traits[].confidence"). */
typedef void pk_schema_each_fn(void *context, const char *path, const struct pk_field *field);
void pk_schema_each(const struct pk_schema *schema, pk_schema_each_fn *each, void *context);

#endif
