/* doc_parse.c - Raw BSON from outside, checked byte by byte before anyone trusts it.
 *
 * libbson's own bson_validate will not do. Measured on 1.23: 4 MB of nested
 * documents (500,000 levels) end it by a segmentation fault, for it recurses
 * without a limit; and it takes the overlong NUL (C0 80) when it takes NUL in
 * strings at all. So this is ours. It walks the bytes once,
 * with a stack of at most PK_DOC_MAX_DEPTH open documents, and refuses
 *
 *   - lengths that do not fit, a missing final NUL, unknown types;
 *   - booleans other than 0 and 1;
 *   - keys and strings that are not strict UTF-8 (NUL is fine within strings);
 *   - nesting above PK_DOC_MAX_DEPTH;
 *   - deprecated code with scope (a document hidden in a value).
 *
 * Other types that JSON cannot say (ObjectId, timestamps ...) are well-formed
 * BSON and pass here; the schema is what refuses them.
 *
 * Thread: any. */
/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/error.h"
#include "base/utf8.h"
#include "doc/doc.h"

#include <string.h>

static const char hint[] = "send BSON as a driver writes it, in UTF-8";

/* How the value of a type is laid out. */
enum layout {
    LAYOUT_UNKNOWN,  /* No such type, or one that is refused. */
    LAYOUT_FIXED,    /* 'size' bytes. */
    LAYOUT_STRING,   /* Length with NUL, text, NUL; then 'size' bytes. */
    LAYOUT_BINARY,   /* Length, subtype, bytes. */
    LAYOUT_DOCUMENT, /* A document of its own. */
    LAYOUT_BOOL,     /* One byte, 0 or 1. */
    LAYOUT_REGEX     /* Two texts, each with its NUL. */
};
static const struct {
    enum layout layout;
    uint8_t size;
} type_table[256] = {
    [BSON_TYPE_DOUBLE] = { LAYOUT_FIXED, 8 },      [BSON_TYPE_UTF8] = { LAYOUT_STRING, 0 },
    [BSON_TYPE_DOCUMENT] = { LAYOUT_DOCUMENT, 0 }, [BSON_TYPE_ARRAY] = { LAYOUT_DOCUMENT, 0 },
    [BSON_TYPE_BINARY] = { LAYOUT_BINARY, 0 },     [BSON_TYPE_UNDEFINED] = { LAYOUT_FIXED, 0 },
    [BSON_TYPE_OID] = { LAYOUT_FIXED, 12 },        [BSON_TYPE_BOOL] = { LAYOUT_BOOL, 0 },
    [BSON_TYPE_DATE_TIME] = { LAYOUT_FIXED, 8 },   [BSON_TYPE_NULL] = { LAYOUT_FIXED, 0 },
    [BSON_TYPE_REGEX] = { LAYOUT_REGEX, 0 },       [BSON_TYPE_DBPOINTER] = { LAYOUT_STRING, 12 },
    [BSON_TYPE_CODE] = { LAYOUT_STRING, 0 },       [BSON_TYPE_SYMBOL] = { LAYOUT_STRING, 0 },
    [BSON_TYPE_INT32] = { LAYOUT_FIXED, 4 },       [BSON_TYPE_TIMESTAMP] = { LAYOUT_FIXED, 8 },
    [BSON_TYPE_INT64] = { LAYOUT_FIXED, 8 },       [BSON_TYPE_DECIMAL128] = { LAYOUT_FIXED, 16 },
    [BSON_TYPE_MAXKEY] = { LAYOUT_FIXED, 0 },      [BSON_TYPE_MINKEY] = { LAYOUT_FIXED, 0 },
};

/* The walk through one document. */
struct walk {
    const uint8_t *data;
    size_t at;                    /* Next byte to look at. */
    size_t end[PK_DOC_MAX_DEPTH]; /* Where each open document ends, its NUL included. */
    size_t depth;                 /* Open documents. */
    struct pk_error *err;
};

static bool malformed(const struct walk *walk, size_t at, const char *what)
{
    return pk_fail(walk->err, PK_INVALID, hint, "malformed BSON at byte %zu: %s", at, what);
}

/* Bytes up to the end of the innermost document, without its NUL. */
static size_t room(const struct walk *walk)
{
    return walk->end[walk->depth - 1] - 1 - walk->at;
}

static uint32_t read_length(const struct walk *walk)
{
    uint32_t value;
    memcpy(&value, walk->data + walk->at, sizeof(value));
    return BSON_UINT32_FROM_LE(value);
}

static bool open_document(struct walk *walk, size_t available)
{
    if (walk->depth == PK_DOC_MAX_DEPTH) {
        return pk_fail(walk->err, PK_INVALID, "store less deeply nested data",
                       "BSON nested deeper than %d at byte %zu", PK_DOC_MAX_DEPTH, walk->at);
    }
    if (available < 5) {
        return malformed(walk, walk->at, "a document is cut off");
    }
    uint32_t size = read_length(walk);
    if (size < 5 || size > available) {
        return malformed(walk, walk->at, "a document's length does not fit");
    }
    if (walk->data[walk->at + size - 1] != 0) {
        return malformed(walk, walk->at + size - 1, "a document does not end with NUL");
    }
    walk->end[walk->depth++] = walk->at + size;
    walk->at += 4;
    return true;
}

/* A NUL-terminated text. */
static bool skip_text(struct walk *walk)
{
    const uint8_t *text = walk->data + walk->at;
    const uint8_t *nul = memchr(text, 0, room(walk));
    if (!nul) {
        return malformed(walk, walk->at, "a key is not ended");
    }
    size_t length = (size_t)(nul - text);
    size_t valid = pk_utf8_check(text, length);
    if (valid < length) {
        return malformed(walk, walk->at + valid, "a key is not valid UTF-8");
    }
    walk->at += length + 1;
    return true;
}

static bool skip_string(struct walk *walk, size_t behind)
{
    size_t available = room(walk);
    if (available < 5) {
        return malformed(walk, walk->at, "a string is cut off");
    }
    uint32_t size = read_length(walk); /* With its NUL. */
    if (size < 1 || size > available - 4 || available - 4 - size < behind) {
        return malformed(walk, walk->at, "a string's length does not fit");
    }
    const uint8_t *text = walk->data + walk->at + 4;
    if (text[size - 1] != 0) {
        return malformed(walk, walk->at + 3 + size, "a string does not end with NUL");
    }
    size_t valid = pk_utf8_check(text, size - 1);
    if (valid < size - 1) {
        return malformed(walk, walk->at + 4 + valid, "a string is not valid UTF-8");
    }
    walk->at += 4 + size + behind;
    return true;
}

static bool skip_binary(struct walk *walk)
{
    enum { OLD_BINARY = 2 }; /* A deprecated subtype: a second length within. */
    size_t available = room(walk);
    if (available < 5) {
        return malformed(walk, walk->at, "binary data is cut off");
    }
    uint32_t size = read_length(walk);
    if (size > available - 5) {
        return malformed(walk, walk->at, "the length of binary data does not fit");
    }
    if (walk->data[walk->at + 4] == OLD_BINARY) {
        return malformed(walk, walk->at + 4, "binary data of the deprecated subtype 2");
    }
    walk->at += 5 + size;
    return true;
}

static bool skip_value(struct walk *walk, uint8_t type, size_t type_at)
{
    size_t size = type_table[type].size;
    switch (type_table[type].layout) {
    case LAYOUT_UNKNOWN:
        return malformed(walk, type_at, "an unknown type");
    case LAYOUT_FIXED:
        if (room(walk) < size) {
            return malformed(walk, walk->at, "a value is cut off");
        }
        walk->at += size;
        return true;
    case LAYOUT_STRING:
        return skip_string(walk, size);
    case LAYOUT_BINARY:
        return skip_binary(walk);
    case LAYOUT_DOCUMENT:
        return open_document(walk, room(walk));
    case LAYOUT_BOOL:
        if (room(walk) < 1 || walk->data[walk->at] > 1) {
            return malformed(walk, walk->at, "a boolean is neither 0 nor 1");
        }
        walk->at++;
        return true;
    case LAYOUT_REGEX:
        return skip_text(walk) && skip_text(walk);
    }
    return malformed(walk, type_at, "an unknown type");
}

static bool check(struct walk *walk)
{
    while (walk->depth > 0) {
        if (room(walk) == 0) {
            walk->at++; /* The document's NUL; open_document has looked at it. */
            walk->depth--;
            continue;
        }
        size_t type_at = walk->at;
        uint8_t type = walk->data[walk->at++];
        if (!skip_text(walk) || !skip_value(walk, type, type_at)) {
            return false;
        }
    }
    return true;
}

bool pk_doc_parse(struct pk_doc **out, const void *data, size_t size, struct pk_error *err)
{
    struct walk walk = { .data = data, .err = err };

    if (size > PK_DOC_MAX_BYTES) {
        return pk_fail(err, PK_TOO_LARGE, "store it in parts",
                       "document of %zu bytes, %d are allowed", size, PK_DOC_MAX_BYTES);
    }
    if (!open_document(&walk, size)) {
        return false;
    }
    if (walk.end[0] != size) {
        return malformed(&walk, walk.end[0], "bytes behind the document");
    }
    if (!check(&walk)) {
        return false;
    }
    bson_t view;
    (void)bson_init_static(&view, data, size);
    *out = pk_doc_new(&view);
    return true;
}
